# Notifications with relays and the stand-in of the gateway: what happens to batches arrives there,
# each event once, also when relays are killed and the gateway is away; and nothing tells of what tells.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Relay;

my $node = new_relay_server('notify', conf => "acteon_replay.gateway_patience = 2\n");
my $gateway = start_gateway(node => $node, ledger => 1, gateway => { providers => { email => {}, bad => { refuse => \1 }, slack => {} } });

$node->safe_psql('postgres', q{
	SELECT acteon_replay_notify_set('ops', 'slack', 'message', 'ops', 'platform');
	CREATE VIEW told AS SELECT metadata ->> 'acteon_batch_id' AS batch, metadata ->> 'acteon_event' AS event, action_payload FROM acteon_audit
		WHERE provider = 'slack' AND outcome = 'executed';
	-- What was enqueued to tell, and has not been told; and batches that wait to be told about.
	CREATE VIEW untold AS SELECT (SELECT count(*) FROM acteon_dispatch_outbox AS o WHERE provider = 'slack' AND NOT EXISTS (SELECT FROM acteon_dispatch_delivery AS d WHERE d.outbox_id = o.id))
		|| ' and ' || (SELECT count(*) FROM acteon_replay_batch WHERE told = '{}') AS n;
});

# A batch of so many actions to a provider; returns its number.
sub replay
{
	my ($name, $count, $provider, $more) = @_;

	$node->safe_psql('postgres', qq{SELECT count(make_record('$name' || n, at => now() - interval '1 h' + n * interval '1 us', provider => '$provider')) FROM generate_series(1, $count) AS n});
	return $node->safe_psql('postgres', qq{SELECT batch_id FROM acteon_replay_bulk(provider => '$provider', action_ids => (SELECT array_agg('$name' || n) FROM generate_series(1, $count) AS n), canary => 'off'@{[$more // '']})});
}

# What was told of a batch, in order of the events' names.
sub told
{
	my ($batch) = @_;

	return "SELECT string_agg(event, ' ' ORDER BY event) FROM told WHERE batch = '$batch'";
}

# The end, and a pause, are told by the relay that brings them about.
my $relay = start_relay($node, $gateway);
my $good = replay('g', 50, 'email');
wait_for_sql($node, told($good), 'finished', 'the end of a batch is told');
is($node->safe_psql('postgres', "SELECT action_payload ->> 'text' FROM told WHERE batch = '$good'"), "Batch $good is finished: of 50 actions 50 took effect, 0 are dead", '… in words');
my $bad = replay('b', 50, 'bad', ', breaker_window => 5');
wait_for_sql($node, told($bad), 'paused', 'a pause is told');
$gateway->ask('POST', '/_providers', { email => {}, bad => {}, slack => {} });
$node->safe_psql('postgres', "SELECT acteon_replay_breaker_close('bad')");
# The gateway's own circuit breaker may still be open: then it pauses itself again, which is told again.
wait_until(
	sub {
		my $seen = $node->safe_psql('postgres', "SELECT b.state || ', told ' || (SELECT count(*) FROM told WHERE batch = '$bad' AND event = 'paused') || ' of ' || (SELECT count(*) FROM acteon_replay_log WHERE event = 'breaker' AND batch_id = $bad)
			FROM acteon_replay_batches AS b WHERE batch_id = $bad");

		$node->safe_psql('postgres', "SELECT acteon_replay_resume($bad)") if $seen =~ /^paused, told (\d+) of \1$/;
		return (scalar($seen =~ /^finished, told (\d+) of \1$/), $seen);
	}, '… each time, until it is resumed and ends');
wait_for_sql($node, "SELECT string_agg(DISTINCT event, ' ') FROM told WHERE batch = '$bad'", 'finished paused', '… which is told as well');

# While a relay sleeps: a batch that waits for approval.
$node->safe_psql('postgres', q{SELECT make_record('w' || n, at => now() - interval '1 h' + n * interval '1 us') FROM generate_series(1, 5) AS n});
$node->safe_psql('postgres', q{SET acteon_replay.approval_above = 3; CALL acteon_replay_all(provider => 'email', action_ids => '{w1,w2,w3,w4,w5}')});
my $waiting = $node->safe_psql('postgres', 'SELECT max(batch_id) FROM acteon_replay_batches WHERE awaits_until IS NOT NULL');
wait_for_sql($node, told($waiting), 'approval', 'what waits for approval is told');
$node->safe_psql('postgres', "SELECT acteon_replay_cancel($waiting)");
wait_for_sql($node, told($waiting), 'approval cancelled', '… and that it is cancelled');
is($relay->stop, 0, 'the relay ends');

# The gateway is away: what happens meanwhile is told when it is back.
my $away = replay('a', 20, 'email');
$gateway->stop;
$relay = start_relay($node, $gateway);
$node->safe_psql('postgres', "SELECT acteon_replay_cancel($away, 'the gateway is away')");
wait_for_sql($node, qq{SELECT count(*) FROM acteon_replay_batch WHERE query \@> '{"batch_id": $away, "event": "cancelled"}'}, 1, 'an event is noticed while the gateway is away');
is($node->safe_psql('postgres', told($away)), '', '… and not told');
$gateway->start;
$gateway->ask('POST', '/_providers', { email => {}, bad => {}, slack => {} });
wait_for_sql($node, told($away), 'cancelled', '… until it is back', 60);
is($relay->stop, 0, 'the relay ends');

# A drain tells of what it ends.
my $drained = replay('d', 20, 'email');
my ($status, $log) = run_relay($node, $gateway, '--drain');
is($status, 0, 'a drain') or diag($log);
wait_for_sql($node, told($drained), 'finished', '… tells of the batch that it has ended'); # records come after answers

# Many batches, and relays that are killed again and again.
my @batches = map { replay("k$_-", 20, 'email') } 1 .. 30;
my @relays = map { start_relay($node, $gateway, '--lease', '2s') } 1 .. 2;
foreach my $kill (1 .. 10)
{
	my $goal = 3 * $kill;
	my $noticed = "SELECT count(DISTINCT query ->> 'batch_id') FROM acteon_replay_batch WHERE query ->> 'event' = 'finished' AND (query ->> 'batch_id')::bigint = ANY ('{@{[join(',', @batches)]}}')";

	# What was on its way when a relay was killed is held later, when its lease has ended.
	wait_until(sub { resend_held($node); my $ends = $node->safe_psql('postgres', $noticed); return ($ends >= $goal, $ends) }, "kill $kill: $goal ends are noticed", 120) or last;
	(shift @relays)->kill9;
	push @relays, start_relay($node, $gateway, '--lease', '2s');
}
wait_until(sub { resend_held($node); my $untold = $node->safe_psql('postgres', 'SELECT n FROM untold'); return ($untold eq '0 and 0', $untold) }, 'all is told', 120);
is($node->safe_psql('postgres', "SELECT count(*) || ' ' || count(DISTINCT query ->> 'batch_id') FROM acteon_replay_batch WHERE query ->> 'event' = 'finished' AND (query ->> 'batch_id')::bigint = ANY ('{@{[join(',', @batches)]}}')"),
	'30 30', 'each end is told once');
is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id WHERE o.provider = \'slack\' AND d.state <> \'delivered\''), 0, '… and each message is delivered');
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_replay_batch AS b JOIN acteon_replay_batch AS a ON a.id = (b.query ->> 'batch_id')::bigint WHERE b.query ? 'notify' AND a.query ? 'notify'}), 0, 'nothing tells of what tells');

# Two claims at once, of which one is held up: only one of them tells.
$_->stop foreach @relays;
my $raced = replay('r', 1, 'email');
my ($id, $token) = split /\|/, $node->safe_psql('postgres', q{SELECT outbox_id, lease_token FROM acteon_outbox_claim('x')});
$node->safe_psql('postgres', qq{SELECT acteon_outbox_ack('{$id}', '{$token}', '{"{\\"Executed\\": {\\"status\\": \\"success\\"}}"}')});
my $first = $node->background_psql('postgres', on_error_stop => 1);
$first->query_safe('BEGIN');
my $claimed = $first->query_safe(q{SELECT count(*) FROM acteon_outbox_claim('one')});
my $other = $node->safe_psql('postgres', q{SELECT count(*) FROM acteon_outbox_claim('two')});
$first->query_safe('COMMIT');
$first->quit;
is("$claimed $other", '1 0', 'of two claims one tells');
is($node->safe_psql('postgres', qq{SELECT count(*) FROM acteon_replay_batch WHERE query \@> '{"batch_id": $raced}'}), 1, '… once');
outbox_is_sound($node);
$gateway->has_no_violations;

done_testing();
