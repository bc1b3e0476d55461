# The same request made again, with an Idempotency-Key: it gets the first answer and
# does nothing, whatever happens at the same time.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;
use Program;

my $node = new_server('again', conf => "fsync = off\nmax_prepared_transactions = 5\n");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# How many replays there are of an action.
sub replays
{
	my ($id) = @_;

	return sql("SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id = '$id'");
}

# Make a request with an Idempotency-Key.
sub again
{
	my ($client, $path, $key) = @_;

	return $client->post($path, headers => { 'Idempotency-Key' => $key });
}

# Wait until a server that has just been started can work.
sub reaches_database
{
	my ($server) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(sub { my $answer = $server->client->get('/health'); return ($answer->{status} == 200, $answer->{body}) }, 'the server reaches the database');
}

# Test that an answer is the first one, and whether it says that it is a repeated one.
sub is_first
{
	my ($answer, $first, $repeated, $description) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	answers($answer, $first->{status}, $first->{body}, $description);
	is($answer->{headers}{'idempotency-replayed'}, $repeated ? 'true' : undef, $repeated ? '… and says that it is the first one' : '… and is the first one');
	is($answer->{headers}{$_}, $first->{headers}{$_}, "… with its $_") foreach qw(acteon-batch-id acteon-next-cursor content-type);
	return;
}

new_http_role($node);
sql(q{
	CREATE ROLE boss;
	CREATE ROLE other;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('boss', 'admin', '{*}', '{*}', '{*}', '{*}'), ('other', 'admin', '{*}', '{*}', '{*}', '{*}');
	SELECT make_record('a-' || n) FROM generate_series(0, 9) AS n;
	SELECT make_record('b-' || n, chain_id => 'b', at => '2026-01-01 12:00+00'::timestamptz + n * interval '1 s') FROM generate_series(1, 9) AS n;
	SELECT make_record('é "1"');
});
my $http = start_http($node);
reaches_database($http);
my $boss_key = api_key($node, 'boss', 'boss');
my $boss = $http->client($boss_key);
my $same_role = $http->client(api_key($node, 'boss again', 'boss'));
my $other = $http->client(api_key($node, 'other', 'other'));

#
# One after the other.
#

my $first = again($boss, '/v1/audit/a-1/replay', 'k1');
is($first->{status}, 200, 'a request with an Idempotency-Key');
is_first($first, $first, 0, 'it is made');
is_first(again($boss, '/v1/audit/a-1/replay', 'k1'), $first, 1, "made again, number $_") foreach 1 .. 3;
is_first(again($boss, '/v1/audit/a-1/replay', '"k1"'), $first, 1, 'a key in quotes is the same key');
is(replays('a-1'), 1, 'it was replayed once');
my $used = '{"error": "Idempotency-Key was used for another request"}';
answers(again($boss, $_, 'k1'), 422, $used, "another request: $_: 422")
	foreach '/v1/audit/a-2/replay', '/v1/audit/a-1/replay?reason=x', '/v1/audit/replay', '/v1/replay/batches/1/pause';
is(replays('a-2'), 0, 'which is not made');
is(replays('a-1') . sql('SELECT stopped IS NULL FROM acteon_replay_batch'), '1t', '… nor are the others');
my $second = again($boss, '/v1/audit/a-1/replay', 'K1');
isnt($second->{body}, $first->{body}, 'keys are compared byte for byte');
is_first(again($boss, '/v1/audit/a-1/replay', 'K1'), $second, 1, 'and each has its answer');
isnt($boss->post('/v1/audit/a-1/replay')->{body}, $first->{body}, 'without a key it is made');
is(replays('a-1'), 3, 'as often as it was to be');
$second = again($boss, '/v1/audit/%C3%A9%20%221%22/replay', "cl\xc3\xa9 '\"");
is_first(again($boss, '/v1/audit/%C3%A9%20%221%22/replay', "cl\xc3\xa9 '\""), $second, 1, 'any text is a key');
answers($boss->get('/v1/replay/batches?limit=1', headers => { 'Idempotency-Key' => 'k1' }), 200, qr/batches/, 'a GET has none');

# Each API key has its own, also those of one role.
foreach my $client ($same_role, $other)
{
	my $theirs = again($client, '/v1/audit/a-1/replay', 'k1');

	isnt($theirs->{body}, $first->{body}, "another API key's Idempotency-Key is another");
	is_first($theirs, $theirs, 0, '… which is new');
	is_first(again($client, '/v1/audit/a-1/replay', 'k1'), $theirs, 1, '… and then known');
}
is_first(again($boss, '/v1/audit/a-1/replay', 'k1'), $first, 1, "and does not replace anybody else's");

# What belongs to an answer comes again.
$first = again($boss, '/v1/audit/replay?chain_id=b&limit=4', 'bulk');
is($first->{json}{replayed}, 4, 'a bulk');
ok(defined $first->{headers}{'acteon-batch-id'} && defined $first->{headers}{'acteon-next-cursor'}, '… with a batch and a cursor');
is_first(again($boss, '/v1/audit/replay?chain_id=b&limit=4', 'bulk'), $first, 1, '… made again');
is(sql(q{SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id LIKE 'b-%'}), 4, '… is replayed once');
my $batch = $first->{headers}{'acteon-batch-id'};
$first = again($boss, '/v1/audit/replay?chain_id=b&dry_run=true', 'dry');
is_first(again($boss, '/v1/audit/replay?chain_id=b&dry_run=true', 'dry'), $first, 1, 'a preview');
foreach my $what (qw(pause resume cancel))
{
	$first = again($boss, "/v1/replay/batches/$batch/$what", $what);
	is($first->{status}, 200, $what);
	is_first(again($boss, "/v1/replay/batches/$batch/$what", $what), $first, 1, '… made again');
	is(sql("SELECT count(*) FROM acteon_replay_log WHERE event = '$what'"), 1, '… is done once');
}
$first = again($boss, "/v1/replay/batches/$batch/resume", 'resume');
is($first->{json}{state}, 'running', 'an old answer tells how it was then');

# An error is none that is kept.
answers(again($boss, '/v1/audit/late/replay', 'late'), 404, qr/late/, 'no record');
answers(again($boss, '/v1/audit/late/replay', 'late'), 404, qr/late/, '… still none');
sql(q{SELECT make_record('late')});
$first = again($boss, '/v1/audit/late/replay', 'late');
is_first($first, $first, 0, '… then there is one');
is_first(again($boss, '/v1/audit/late/replay', 'late'), $first, 1, '… made again');
answers(again($boss, '/v1/audit/a-1/replay?reason=%FF', 'bad'), 400, qr/reason/, 'a bad parameter');
answers(again($boss, '/v1/audit/a-1/replay', 'bad'), 200, qr/true/, '… leaves its Idempotency-Key free');
answers(again($boss, '/v1/audit/replay?cursor=x', 'bad 2'), 400, qr/cursor/, 'one that the extension refuses');
answers(again($boss, '/v1/audit/a-1/replay', 'bad 2'), 200, qr/true/, '… as well');
is(sql('SELECT count(*) FROM acteon_api_answers WHERE status IS NULL'), 0, 'no answer is missing');

# After a day they end.
$first = again($boss, '/v1/audit/a-3/replay', 'day');
sql(q{UPDATE acteon_api_answers SET created_at = now() - interval '23 h 59 min' WHERE idempotency_key = 'day'});
is_first(again($boss, '/v1/audit/a-3/replay', 'day'), $first, 1, 'just within a day');
sql(q{UPDATE acteon_api_answers SET created_at = now() - interval '24 h 1 s' WHERE idempotency_key = 'day'});
$second = again($boss, '/v1/audit/a-3/replay', 'day');
is_first($second, $second, 0, 'after a day it is made again');
isnt($second->{body}, $first->{body}, '… anew');
is_first(again($boss, '/v1/audit/a-3/replay', 'day'), $second, 1, '… and that is kept again');
sql(q{UPDATE acteon_api_answers SET created_at = now() - interval '24 h 1 s' WHERE idempotency_key = 'day'});
is(again($boss, '/v1/audit/a-4/replay', 'day')->{status}, 200, 'then the key is free for another request');
is(replays('a-3') . replays('a-4'), 21, 'each was replayed when it was to be');

# It goes with the API key: a revoked one is told nothing.
sql(q{SELECT acteon_api_key_revoke('other')});
answers(again($other, '/v1/audit/a-1/replay', 'k1'), 401, qr/error/, 'a revoked API key gets no old answer');

#
# Two at once.
#

# Requests under way, which a lock holds up; returns those, for their answers.
sub held_up
{
	my (@requests) = @_;
	my @started;

	sql(q{BEGIN; LOCK TABLE acteon_audit; PREPARE TRANSACTION 'held'});
	foreach my $request (@requests)
	{
		my ($client, $path, $key) = @$request;

		push @started, $client->start('POST', $path, headers => { 'Idempotency-Key' => $key });
		wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'acteon_http' AND wait_event_type = 'Lock'}, scalar(@started),
			'a request waits, number ' . @started);
	}
	return @started;
}

sub release
{
	sql(q{COMMIT PREPARED 'held'});
	return map { $_->answer } @_;
}

my ($one, $two, $three) = release(held_up(map { [ $boss, '/v1/audit/a-5/replay', 'at once' ] } 1 .. 3));
answers($one, 200, qr/"a-5"/, 'three at once: the first is made');
is_first($one, $one, 0, '… as if there were no others');
is_first($two, $one, 1, '… which get its answer');
is_first($three, $one, 1, '… all of them');
is(replays('a-5'), 1, 'it was replayed once');

($one, $two) = release(held_up([ $boss, '/v1/audit/a-6/replay', 'differs' ], [ $boss, '/v1/audit/a-7/replay', 'differs' ]));
answers($one, 200, qr/"a-6"/, 'two different ones at once: the first is made');
answers($two, 422, $used, '… the second is not');
is(replays('a-7'), 0, '… and has done nothing');

($one, $two) = release(held_up([ $boss, '/v1/audit/a-8/replay', 'apart' ], [ $same_role, '/v1/audit/b-9/replay', 'apart' ]));
answers($one, 200, qr/"a-8"/, 'two API keys at once do not wait for each other');
answers($two, 200, qr/"b-9"/, '… but each makes its own');

# The first one fails: the second is the first then.
my @held = held_up(map { [ $boss, '/v1/audit/soon/replay', 'fails' ] } 1 .. 2);
my ($pid) = split /\n/, sql(q{SELECT pid FROM pg_stat_activity WHERE usename = 'acteon_http' AND wait_event = 'relation'});
sql("SELECT pg_cancel_backend($pid)");
answers($held[0]->answer, 504, '{"error": "the database took too long, nothing was done"}', 'the first is cancelled');
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'acteon_http' AND wait_event = 'relation'}, 1, 'the second is the first then');
sql(q{COMMIT PREPARED 'held'});
answers($held[1]->answer, 404, qr/soon/, '… and has its own answer');
is(sql('SELECT count(*) FROM acteon_api_answers WHERE status IS NULL'), 0, 'no answer is missing');
is($http->stop, 0, 'the server ends well');

#
# Who asks is looked at again when a request has waited for another one with its key.
#

# What becomes of a request that has waited, while something is done.
sub meanwhile
{
	my ($name, $key, $path, $statement) = @_;
	my $started;

	sql(qq{BEGIN; SELECT acteon_api_begin(id, 'meanwhile', sha256('')) FROM acteon_api_keys WHERE name = '$name'; PREPARE TRANSACTION 'held'});
	$started = $http->client($key)->start('POST', $path, headers => { 'Idempotency-Key' => 'meanwhile' });
	wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'acteon_http' AND wait_event_type = 'Lock'}, 1, 'a request waits');
	sql($statement);
	sql(q{ROLLBACK PREPARED 'held'});
	return $started->answer;
}

$http = start_http($node);
reaches_database($http);
sql(q{CREATE ROLE weak; CREATE ROLE strong; GRANT strong TO acteon_http;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('strong', 'admin', '{*}', '{*}', '{*}', '{*}');
	SELECT make_record(n) FROM unnest('{revoked,renamed}'::text[]) AS n});
answers(meanwhile('revoked', api_key($node, 'revoked', 'boss'), '/v1/audit/revoked/replay', q{SELECT acteon_api_key_revoke('revoked')}),
	401, qr/revoked/, '… whose API key is revoked meanwhile: 401');
answers(meanwhile('weak', api_key($node, 'weak', 'weak'), '/v1/audit/renamed/replay', 'ALTER ROLE weak RENAME TO weaker; ALTER ROLE strong RENAME TO weak'),
	403, qr/insufficient permissions/, '… whose role gives its name to another one: 403');
is(replays('revoked') . replays('renamed'), '00', 'nothing was replayed');
is($http->stop, 0, 'the server ends well');

#
# A client that closes its side, but reads on, is given up, and what it asked for is taken
# back; it is not told that it was done.  That the database's answer has come when the
# server notices is because that stands still meanwhile.
#

$http = start_http($node, arguments => ['--workers=1']);
reaches_database($http);
sql(q{BEGIN; LOCK TABLE acteon_audit; PREPARE TRANSACTION 'held'});
my $half = $http->client($boss_key)->start('POST', '/v1/audit/a-0/replay', headers => { 'Idempotency-Key' => 'half' });
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'acteon_http' AND wait_event_type = 'Lock'}, 1, 'a request waits');
$http->signal('STOP');
$half->shut;
sql(q{COMMIT PREPARED 'held'});
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'acteon_http' AND state = 'idle in transaction'}, 1, 'its replay is made, but not committed');
$http->signal('CONT');
answers($half->answer, 503, '{"error": "the client has gone; nothing was done"}', '… and taken back, which is not told as done');
is(replays('a-0'), 0, '… and it was not');
answers(again($http->client($boss_key), '/v1/audit/a-0/replay', 'half'), 200, qr/"a-0"/, '… so that it can be made again');
is(replays('a-0'), 1, '… once');
is($http->stop, 0, 'the server ends well');

#
# Who has no key.
#

sql('GRANT boss TO acteon_http');
$http = start_http($node, arguments => [ '--allow-anonymous=boss', '--workers=1' ]);
reaches_database($http);
my $anyone = $http->client;
$first = again($anyone, '/v1/audit/a-9/replay', 'k1');
is_first($first, $first, 0, 'an anonymous request');
is_first(again($anyone, '/v1/audit/a-9/replay', 'k1'), $first, 1, '… made again');
is_first(again($http->client, '/v1/audit/a-9/replay', 'k1'), $first, 1, '… over another connection');
is(replays('a-9'), 1, '… is replayed once');
answers(again($anyone, '/v1/audit/a-1/replay', 'k1'), 422, $used, 'another one with the key: 422');
answers(again($anyone, '/v1/audit/none/replay', 'k2'), 404, qr/none/, 'an error');
answers($http->client('x')->post('/v1/audit/a-9/replay'), 401, qr/unknown/, 'a wrong key is not as good as none');
is(sql(q{SELECT requested_by || ' ' || session_role FROM acteon_replay_batch ORDER BY id DESC LIMIT 1}), 'boss acteon_http', 'the batch is of the role that was given');
is($http->stop, 0, 'the server ends well');
like($http->log, qr/warning event="requests without a key are taken" role=boss/, 'and has warned of it');
done_testing();
