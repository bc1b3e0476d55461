# Actions that expire: nothing of them reaches the gateway at that time or later, whether
# they wait in the outbox or in the hands of a relay; and expiry over HTTP.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Http;
use Relay;

my $node = new_relay_server('expire');
my $gateway = start_gateway();

# How long after its time a request came, at most, in seconds; negative if none was late.
sub latest
{
	my $actions = $gateway->actions;
	my $latest = -1e9;

	foreach my $row (split /\n/, $node->safe_psql('postgres', q{
		SELECT action_id, extract(epoch FROM expires_at) FROM acteon_dispatch_outbox WHERE expires_at IS NOT NULL}))
	{
		my ($id, $expires_at) = split /\|/, $row;

		foreach my $request (@{ ($actions->{$id} // {})->{log} // [] })
		{
			my ($begun) = @$request;

			$latest = $begun - $expires_at if $begun - $expires_at > $latest;
		}
	}
	return $latest;
}

# What has expired before it is claimed.
$node->safe_psql('postgres', q{
	SELECT count(make_record('waits-' || i, at => now() - interval '59 min 59.9 s')) FROM generate_series(1, 250) AS i;
	SELECT count(make_record('lives-' || i, at => now())) FROM generate_series(1, 250) AS i;
	SELECT acteon_replay_bulk(from_time => '2000-01-01', expire_after => '1 h', max_records => 1000, canary => 'off')});
wait_for_sql($node, q{SELECT bool_and(expires_at < now()) FROM acteon_dispatch_outbox WHERE original_action_id LIKE 'waits-%'}, 't', 'the first half expires');
my $relay = start_relay($node, $gateway, '--concurrency' => 1);
wait_for_sql($node, q{SELECT state || ', ' || delivered || ' delivered, ' || expired || ' expired' FROM acteon_replay_batches}, 'finished, 250 delivered, 250 expired', 'what has expired is not sent, the rest is');
is($gateway->stats->{requests}, 250, 'the gateway has seen no other');

# What expires while the relay has it: the first one takes the gateway longer than the others live.
my $sent = 0;
for (my $lifetime = 2; !$sent && $lifetime < 200; $lifetime *= 3)
{
	my $name = "held-$lifetime-";

	$gateway->rules({ match => { action_type => 'slow' }, answer => { status => 200, delay_ms => 1000 * ($lifetime + 1) } });
	is($relay->stop, 0, 'the relay ends');
	$relay = start_relay($node, $gateway, '--concurrency' => 1, '--request-timeout' => '600s', '--lease' => '60s');
	$node->safe_psql('postgres', qq{
		SELECT make_record('${name}0', at => now() - interval '1 s', action_type => 'slow'), count(make_record('$name' || i, at => now())) FROM generate_series(1, 20) AS i;
		SELECT acteon_replay_bulk(action_ids => ARRAY(SELECT '$name' || i FROM generate_series(0, 20) AS i), expire_after => '@{[$lifetime + 1]} s')});
	wait_for_sql($node, q{SELECT string_agg(DISTINCT state, ', ') FROM acteon_replay_batches}, 'finished', "all have ended that lived for $lifetime s") or last;
	my $first = $node->safe_psql('postgres', qq{SELECT action_id FROM acteon_dispatch_outbox WHERE original_action_id = '${name}0'});
	$sent = ($gateway->actions->{$first} // {})->{requests} // 0;
}
is($sent, 1, 'the first one was sent in time');
is($node->safe_psql('postgres', q{SELECT state, sum(attempts) FROM acteon_dispatch_delivery AS d JOIN acteon_replay_batch AS b ON d.outbox_id BETWEEN b.first_outbox_id AND b.last_outbox_id
	WHERE b.id = (SELECT max(id) FROM acteon_replay_batch) GROUP BY state ORDER BY state}), "delivered|1\nexpired|0", 'what the relay held meanwhile was given back unsent, and has expired');
cmp_ok(latest(), '<', 0, 'no request came later than its action was of use');
like($node->safe_psql('postgres', q{SELECT breaker FROM acteon_replay_batches ORDER BY batch_id DESC LIMIT 1}), qr/^0 of /, 'nothing of that counts as failed');
$gateway->has_no_violations('every request was right');
outbox_is_sound($node);

# Over HTTP.
new_http_role($node);
$node->safe_psql('postgres', q{
	CREATE ROLE op;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('op', 'operator', '{*}', '{*}', '{*}');
	SELECT make_record('old', at => now() - interval '2 h', chain_id => 'x'), make_record('new', at => now(), chain_id => 'x'),
		make_record('over', at => now() - interval '2 h', chain_id => 'x', metadata => jsonb_build_object('__ends_at', to_char((now() - interval '1 h') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')))});
my $http = start_http($node);
my $op = $http->client(api_key($node, 'op', 'op'));
answers($op->post('/v1/audit/old/replay?expire_after=PT1H'), 422, qr/action has expired/, 'one that is too old');
answers($op->post('/v1/audit/over/replay'), 422, qr/action has expired/, '… or over');
answers($op->post("/v1/audit/old/replay?expire_after=$_"), 400, qr/interval|expire_after/, "a lifetime that is none: $_") foreach qw(soon P -PT1H 0);
my $answer = $op->post('/v1/audit/replay?chain_id=x&dry_run=true&expire_after=1+hour');
is("$answer->{json}{replayable} of $answer->{json}{matched}, $answer->{json}{not_replayed}{expired} expired", '1 of 3, 2 expired', 'a preview counts them');
$answer = $op->post('/v1/audit/replay?chain_id=x&expire_after=PT1H');
is("@{ $answer->{json} }{qw(replayed failed skipped)}", '1 0 2', 'a bulk replay skips them');
is_deeply([ sort keys %{ $answer->{json} } ], [qw(failed replayed results skipped)], '… and says nothing that the gateway does not');
$answer = $op->post('/v1/audit/over/replay?allow_ended=true&expire_after=1+day&wait=20');
is($answer->{json}{state}, 'delivered', 'who wants it nevertheless has it');
$node->safe_psql('postgres', q{SELECT make_record('soon', at => now()); SELECT acteon_replay('soon', expire_after => '1 s')}) if $relay->stop == 0;
like($relay->log, qr/ given_back=[1-9]/, 'the relay has given some back');
wait_for_sql($node, q{SELECT expires_at < now() FROM acteon_dispatch_outbox WHERE original_action_id = 'soon'}, 't', 'one expires while no relay is there');
$node->safe_psql('postgres', q{SELECT count(*) FROM acteon_outbox_claim('x')});
my $batch = $node->safe_psql('postgres', q{SELECT max(id) FROM acteon_replay_batch});
$answer = $op->get("/v1/replay/batches/$batch");
is("$answer->{json}{state} $answer->{json}{expired}", 'finished 1', 'the batch tells');
$answer = $op->get("/v1/replay/batches/$batch/items?state=expired");
is(join(' ', map { "$_->{original_action_id} $_->{state}" } @{ $answer->{json}{items} }), 'soon expired', 'and so do its items');
ok($answer->{json}{items}[0]{expires_at}, '… with the time');

done_testing();
