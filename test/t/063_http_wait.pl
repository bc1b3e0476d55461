# wait=SECONDS: an answer that tells what the gateway made of a replay, with a real
# relay and the stub gateway; nothing is held meanwhile.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Acteon;
use Http;
use Relay;

my $node = new_relay_server('wait');
my $gateway = start_gateway(node => $node);

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

new_http_role($node);
sql(q{
	CREATE ROLE boss;
	CREATE ROLE op_acme;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('boss', 'admin', '{*}', '{*}', '{*}', '{*}'), ('op_acme', 'operator', '{acme}', '{*}', '{*}', '{*}');
});
my $http = start_http($node, arguments => [ '--workers=1', '--grace=5s' ]);
my $boss = $http->client(api_key($node, 'boss', 'boss'));
my $op_acme = $http->client(api_key($node, 'op_acme', 'op_acme'));

# What the gateway answers to actions by their type, and what waiting then tells.
my $executed = { Executed => { status => 'success', body => { n => 1 }, headers => {} } };
my $failed = { Failed => { code => 'E1', message => 'the provider said "no"', retryable => JSON::PP::false, attempts => 3 } };
my %told = (
	executed     => [ { body => $executed }, 'delivered', $executed, JSON::PP::true, undef ],
	failed       => [ { body => $failed }, 'delivered', $failed, JSON::PP::false, 'the provider said "no"' ],
	silent       => [ { body => { Failed => {} } }, 'delivered', { Failed => {} }, JSON::PP::false, '{"Failed": {}}' ],
	circuit      => [ { body => { CircuitOpen => { provider => 'email' } } }, 'delivered', { CircuitOpen => { provider => 'email' } }, JSON::PP::false, '{"CircuitOpen": {"provider": "email"}}' ],
	open         => [ { text => '"CircuitOpen"' }, 'delivered', 'CircuitOpen', JSON::PP::false, '"CircuitOpen"' ],
	deduplicated => [ { text => '"Deduplicated"' }, 'delivered', 'Deduplicated', JSON::PP::true, undef ],
	suppressed   => [ { body => { Suppressed => { rule => 'Failed' } } }, 'delivered', { Suppressed => { rule => 'Failed' } }, JSON::PP::true, undef ],
	rerouted     => [ { body => { Rerouted => { to => 'sms' } } }, 'delivered', { Rerouted => { to => 'sms' } }, JSON::PP::true, undef ],
	cut          => [ { reset => 'body', effect => JSON::PP::true }, 'delivered', { Executed => { status => 'success' } }, JSON::PP::true, undef ],
	dead         => [ { status => 400, body => { error => 'bad field' } }, 'dead', undef, JSON::PP::false, '400: bad field' ]);

sub rules
{
	$gateway->rules(map { { match => { action_type => $_ }, answer => $told{$_}[0] } } sort keys %told);
	return;
}

#
# A single action.
#

my $relay = start_relay($node, $gateway);
rules();
foreach my $type (sort keys %told)
{
	my (undef, $state, $outcome, $success, $error) = @{ $told{$type} };
	my $start = time;

	sql("SELECT make_record('$type', action_type => '$type')");
	my $answer = $op_acme->post("/v1/audit/$type/replay?wait=30");
	answers($answer, 200, { original_action_id => $type, new_action_id => $answer->{json}{new_action_id}, state => $state, outcome => $outcome, success => $success, error => $error },
		"$type: $state, as the gateway decided");
	cmp_ok(time - $start, '<', 15, '… as soon as it has');
}

#
# Many.
#

my @types = sort keys %told;
sql("SELECT make_record('bulk-' || n, action_type => (string_to_array('@types', ' '))[n], chain_id => 'bulk', at => '2026-01-01 12:00+00'::timestamptz + n * interval '1 s') FROM generate_series(1, " . @types . ') AS n');
sql(q{SELECT make_record('bulk-redacted', chain_id => 'bulk', payload => '"[REDACTED]"', at => '2026-01-02 12:00+00'), make_record('bulk-none', chain_id => 'bulk', payload => NULL)});
my $answer = $op_acme->post('/v1/audit/replay?chain_id=bulk&wait=30&limit=100');
is($answer->{status}, 200, 'a bulk');
is_deeply([ sort keys %{ $answer->{json} } ], [qw(failed replayed results skipped)], '… has the four keys');
is_deeply([ map { [ @$_{qw(original_action_id state outcome success error)} ] } @{ $answer->{json}{results} } ],
	[ (map { [ "bulk-$_", @{ $told{ $types[ $_ - 1 ] } }[ 1 .. 4 ] ] } 1 .. @types), [ 'bulk-redacted', undef, undef, JSON::PP::false, $answer->{json}{results}[-1]{error} ] ],
	'… and tells of each, in order');
like($answer->{json}{results}[-1]{error}, qr/redacted/, '… also of one that was not replayed');
is($answer->{json}{results}[-1]{new_action_id}, '', '… which has no new id');
my $good = grep { $told{$_}[3] } @types;
is("@{ $answer->{json} }{qw(replayed failed skipped)}", join(' ', $good, @types - $good + 1, 1), 'the counts tell how it ended');
ok($answer->{headers}{'acteon-batch-id'}, 'the batch is named');
sql(q{SELECT count(make_record('large-' || n, chain_id => 'large')) FROM generate_series(1, 1000) AS n});
$answer = $boss->post('/v1/audit/replay?chain_id=large&wait=60&limit=1000');
is("@{ $answer->{json} }{qw(replayed failed skipped)}", '1000 0 0', 'a thousand');
is(scalar(grep { $_->{state} eq 'delivered' } @{ $answer->{json}{results} }), 1000, '… all of them delivered');
answers($boss->post('/v1/audit/replay?chain_id=nothing&wait=30'), 200, { replayed => 0, failed => 0, skipped => 0, results => [] }, 'nothing to wait for');
answers($boss->post('/v1/audit/none/replay?wait=30'), 404, qr/none/, 'an error is told at once');
is($relay->stop, 0, 'the relay ends');

#
# Nothing is delivered.
#

sql(q{SELECT make_record('slow-' || n, chain_id => 'slow', at => '2026-01-01 12:00+00'::timestamptz + n * interval '1 s') FROM generate_series(1, 30) AS n});
my $start = time;
$answer = $boss->post('/v1/audit/slow-1/replay?wait=1.5');
my $took = time - $start;
answers($answer, 200, { original_action_id => 'slow-1', new_action_id => $answer->{json}{new_action_id}, state => 'waiting', success => JSON::PP::true, error => undef }, 'it waits still');
ok($took >= 1.5 && $took < 5, '… after that time') or diag($took);
is_deeply([ sort keys %{ $boss->post('/v1/audit/slow-1/replay?wait=0')->{json} } ], [qw(error new_action_id original_action_id success)], 'wait=0 is not waiting');
$answer = $boss->post('/v1/audit/replay?chain_id=slow&limit=3&wait=0.1');
is("@{ $answer->{json} }{qw(replayed failed skipped)}", '3 0 0', 'what waits counts as what it is: enqueued');
is(join(' ', map { $_->{state} } @{ $answer->{json}{results} }), 'waiting waiting waiting', '… and is told to wait');

# One connection to the database, and ten that wait: it is free for others.
my @waiting = map { $boss->start('POST', "/v1/audit/slow-$_/replay?wait=50") } 11 .. 20;
wait_for_sql($node, q{SELECT count(DISTINCT original_action_id) FROM acteon_dispatch_outbox WHERE original_action_id ~ '^slow-(1[1-9]|20)$'}, 10, 'ten requests wait');
foreach my $n (1 .. 5)
{
	$start = time;
	is($op_acme->get('/v1/replay/batches?limit=1')->{status}, 200, 'others are answered meanwhile');
	cmp_ok(time - $start, '<', 1, '… at once');
	is($op_acme->get('/health')->{status}, 200, '… and all is well');
}
like($http->client->get('/metrics')->{body}, qr/^acteon_replay_http_requests_in_progress 11$/m, 'they wait still');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'acteon_http' AND xact_start < now() - interval '2 s'}), 0, 'no transaction is held');
$relay = start_relay($node, $gateway);
foreach my $waiting (@waiting)
{
	my $got = $waiting->answer(60);

	is($got->{status} . ($got->{json}{state} // ''), '200delivered', 'one that has waited is told');
}
is($relay->stop, 0, 'the relay ends again');

#
# What else may happen.
#

# Steered by others.
my $held = $boss->start('POST', '/v1/audit/replay?chain_id=slow&limit=1&wait=50&reason=to-cancel');
wait_for_sql($node, q{SELECT count(*) FROM acteon_replay_batch WHERE reason = 'to-cancel'}, 1, 'one waits');
sql(q{SELECT acteon_replay_cancel(id) FROM acteon_replay_batch WHERE reason = 'to-cancel'});
$answer = $held->answer(30);
is("@{ $answer->{json} }{qw(replayed failed)} $answer->{json}{results}[0]{state} $answer->{json}{results}[0]{error}", '0 1 cancelled cancelled', 'what was cancelled ends the waiting, and is no success');

# Made again: it is not replayed, but waited for.
my %key = (headers => { 'Idempotency-Key' => 'w' });
my $first = $boss->post('/v1/audit/slow-21/replay?wait=0.2', %key);
is($first->{json}{state}, 'waiting', 'with an Idempotency-Key it waits as well');
my $second = $boss->start('POST', '/v1/audit/slow-21/replay?wait=0.2', headers => { 'Idempotency-Key' => 'w', Authorization => $boss->{headers}{Authorization} })->answer;
is($second->{json}{state} . $second->{headers}{'idempotency-replayed'}, 'waitingtrue', 'made again, it waits again');
sql("SELECT finish('$first->{json}{new_action_id}', 'delivered')");
$second = $boss->post('/v1/audit/slow-21/replay?wait=0.2', %key);
is($second->{json}{new_action_id} . $second->{json}{state}, $first->{json}{new_action_id} . 'delivered', 'and tells what has become of it');
is(sql(q{SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id = 'slow-21'}), 1, 'it was replayed once');

# A key that is revoked meanwhile: what was done is told, and no more.
my $leaver = $http->client(api_key($node, 'leaver', 'boss'));
$held = $leaver->start('POST', '/v1/audit/slow-22/replay?wait=50');
wait_for_sql($node, q{SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id = 'slow-22'}, 1, 'one more waits');
sql(q{SELECT acteon_api_key_revoke('leaver')});
$answer = $held->answer(30);
is($answer->{status} . $answer->{json}{original_action_id}, '200slow-22', 'who loses the key while waiting learns that it was replayed');

# The server ends: it lets nobody wait.
$held = $boss->start('POST', '/v1/audit/slow-23/replay?wait=50');
wait_for_sql($node, q{SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id = 'slow-23'}, 1, 'the last one waits');
$start = time;
$http->signal('TERM');
$answer = $held->answer(30);
is($answer->{status} . ($answer->{json}{original_action_id} // ''), '200slow-23', 'who waits while the server ends is told what is known');
is($http->wait_for_end(30), 0, 'the server ends well');
cmp_ok(time - $start, '<', 5, '… and soon');

# Who has no key waits as well.
sql('GRANT boss TO acteon_http');
$http = start_http($node, arguments => ['--allow-anonymous=boss']);
$answer = $http->client->post('/v1/audit/slow-24/replay?wait=0.3');
is($answer->{json}{state}, 'waiting', 'an anonymous request waits');
$relay = start_relay($node, $gateway);
$answer = $http->client->post('/v1/audit/slow-25/replay?wait=30');
is($answer->{json}{state}, 'delivered', '… and is told');
is($relay->stop, 0, 'the relay ends at last');
is($http->stop, 0, '… and the server');

$gateway->has_no_violations;
outbox_is_sound($node);
done_testing();
