# A relay from its start to its end: draining, signals, and a database that
# goes away and comes back.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Relay;

my $node = new_relay_server('life', conf => "acteon_replay.max_attempts = 3\nacteon_replay.gateway_patience = 2\n");
my $gateway = start_gateway();
my $relay;

# Wait until so many requests are under way at the gateway.
sub wait_for_open
{
	my ($count, $description) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(sub { my $open = $gateway->stats->{open}; return ($open == $count, "$open under way") }, $description);
}

# How many backends the relay has, and their pids.
sub backends
{
	return $node->safe_psql('postgres', q{SELECT string_agg(pid::text, ',' ORDER BY pid) FROM pg_stat_activity WHERE usename = 'relay'});
}

# States of the segments and deliveries whose action ids begin with a prefix.
sub states
{
	my ($prefix) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM (
			SELECT coalesce(d.state || ' ' || d.attempts, 'waiting ' || s.attempt || CASE WHEN s.lease_token IS NOT NULL THEN ' leased' ELSE '' END) AS state, count(*) AS n
			FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
				LEFT JOIN acteon_dispatch_segment AS s ON o.id BETWEEN s.first_id AND s.last_id
			WHERE o.original_action_id LIKE '$prefix%' GROUP BY 1) AS t});
}

# Draining.
my ($status, $log) = run_relay($node, $gateway, '--drain');
is($status, 0, 'nothing to drain: exit code 0') or diag($log);
enqueue($node, name => 'drain-', count => 250);
$gateway->rules({ match => { attempt => [ 1, 2 ] }, probability => 0.1, answer => { status => 500 } });
($status, $log) = run_relay($node, $gateway, '--drain');
is($status, 0, 'a drain waits for retries: exit code 0') or diag($log);
is($node->safe_psql('postgres', q{SELECT count(*), min(state), max(state), max(attempts) > 1 FROM acteon_dispatch_delivery}), '250|delivered|delivered|t',
	'… and all are delivered, some by a further attempt');
$gateway->rules({ match => { action_type => 'bad' }, answer => { status => 400 } });
enqueue($node, name => 'bad-', count => 20, action_type => q{CASE n WHEN 7 THEN 'bad' ELSE 'good' END});
($status, $log) = run_relay($node, $gateway, '--drain');
is($status, 1, 'an action ends dead: exit code 1') or diag($log);
is(states('bad-'), 'dead 1 1, delivered 1 19', '… and the others are delivered');
($status, $log) = run_relay($node, $gateway, '--drain');
is($status, 0, 'a dead action of an earlier drain does not count') or diag($log);
$gateway->rules({ match => { action_type => 'wait', attempt => 1 }, answer => { status => 429, retry_after => 2 } });
enqueue($node, name => 'wait-', count => 5, action_type => q{'wait'});
($status, $log) = run_relay($node, $gateway, '--drain');
is($status, 0, 'a drain waits for what the gateway asked to come later: exit code 0') or diag($log);
# With replay protection the ids are burnt, which takes a request more to find out.
like(states('wait-'), qr/^delivered [12] 5$/, '… and that is delivered');
$node->safe_psql('postgres', q{
	SELECT make_record('later-1');
	SELECT replayed FROM acteon_replay_bulk(max_records => 1, from_time => '2026-01-01', to_time => '2026-01-02', start_at => now() + interval '1 hour')});
($status, $log) = run_relay($node, $gateway, '--drain');
is($status, 0, 'what is scheduled for later is not waited for') or diag($log);
is(states('later-'), 'waiting 0 1', '… and stays');
$node->safe_psql('postgres', q{SELECT state FROM acteon_replay_set_start((SELECT max(id) FROM acteon_replay_batch), NULL)});
($status, $log) = run_relay($node, $gateway, '--drain', '--max-rate', 1000, '--concurrency', 1, '--batch-size', 1);
is($status, 0, 'one at a time') or diag($log);
is(states('later-'), 'delivered 1 1', '… it is delivered when its time comes');
outbox_is_sound($node, 'draining');

# A rate is kept.
enqueue($node, name => 'rate-', count => 60);
$gateway->reset;
($status, $log) = run_relay($node, $gateway, '--drain', '--max-rate', 30);
is($status, 0, 'a drain with a rate') or diag($log);
my @begun = sort { $a <=> $b } map { $_->{log}[0][0] } values %{ $gateway->actions };
cmp_ok($begun[-1] - $begun[0], '>=', 0.9, '60 actions at 30 a second do not take less than about a second');
cmp_ok($begun[-1] - $begun[0], '<=', 4, '… nor much more than two');

# SIGTERM: what is in flight is finished and recorded, the rest goes back.
$gateway->control(replay_protection => 0);
$gateway->reset;
$gateway->rules({ answer => { delay_ms => 600 } });
$relay = start_relay($node, $gateway, '--concurrency', 4, '--lease', '60s');
enqueue($node, name => 'term-', count => 90);
wait_for_open(4, 'SIGTERM: four are in flight');
my $begun = time;
is($relay->stop, 0, 'SIGTERM: exit code 0') or diag($relay->log);
cmp_ok(time - $begun, '<', 10, 'SIGTERM: at once');
my $effects = $gateway->stats->{effects};
cmp_ok($effects, '>=', 4, 'SIGTERM: some were sent');
is(states('term-'), "delivered 1 $effects, waiting 0 " . (90 - $effects), 'SIGTERM: what was sent is recorded, the rest is given back and not counted');
is($node->safe_psql('postgres', 'SELECT due, leased FROM acteon_outbox_stats'), (90 - $effects) . '|0', 'SIGTERM: the rest is due');
outbox_is_sound($node, 'SIGTERM');
$gateway->rules();
($status, $log) = run_relay($node, $gateway, '--drain');
is($status, 0, 'SIGTERM: another relay goes on') or diag($log);
is(join(' ', @{ $gateway->stats }{qw(requests effects duplicates)}), '90 90 0', 'SIGTERM: each was sent once');

# SIGTERM with requests that do not end within the grace time.
$gateway->rules({ limit => 2, answer => { delay_ms => 30000 } });
$relay = start_relay($node, $gateway, '--grace', '500ms', '--request-timeout', '5s', '--lease', '10s');
enqueue($node, name => 'grace-', count => 2);
wait_for_open(2, 'grace time: two are in flight');
$begun = time;
$relay->signal('TERM');
is($relay->wait_for_end(30), 1, 'grace time: exit code 1') or diag($relay->log);
cmp_ok(time - $begun, '<', 3, 'grace time: it is kept');
is($node->safe_psql('postgres', 'SELECT leased, in_doubt FROM acteon_outbox_stats'), '0|2', 'grace time: what was in flight is in doubt');
outbox_is_sound($node, 'grace time');

# Have what is in doubt sent again.
sub send_again
{
	$node->safe_psql('postgres', q{SELECT acteon_replay_settle(batch_id, 'resend', 'test') FROM acteon_replay_batches WHERE in_doubt > 0});
	return;
}
send_again();

# A second signal ends it at once: it breaks off what is in flight, and says so.
$gateway->reset;
$gateway->rules({ limit => 2, answer => { delay_ms => 30000 } });
$relay = start_relay($node, $gateway, '--request-timeout', '2s', '--lease', '4s', '--grace', '60s');
wait_for_open(2, 'second signal: two are in flight');
$relay->signal('TERM');
$relay->says(qr/event="stopping"/, 'second signal: the first one was noticed');
$begun = time;
$relay->signal('TERM');
is($relay->wait_for_end(30), 1, 'second signal: exit code 1') or diag($relay->log);
cmp_ok(time - $begun, '<', 4, 'second signal: at once');
is($node->safe_psql('postgres', 'SELECT leased, in_doubt FROM acteon_outbox_stats'), '0|2', 'second signal: what was in flight is in doubt');
send_again();
($status, $log) = run_relay($node, $gateway, '--drain');
is($status, 0, 'second signal: what a person lets go out again is delivered') or diag($log);
like(states('grace-'), qr/^delivered . 2$|^delivered . 1, delivered . 1$/, 'second signal: nothing is lost');

# SIGINT is the same as SIGTERM.
$relay = start_relay($node, $gateway);
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay'}, 2, 'two connections');
$relay->signal('INT');
is($relay->wait_for_end(30), 0, 'SIGINT: exit code 0');

# SIGHUP reads the key again.  A bad file is reported, and the old key is kept.
$gateway->reset;
$relay = start_relay($node, $gateway);
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay'}, 2, 'SIGHUP: it runs');
my $key_name = (split m{/}, $relay->{key_file})[-1];
private_file($key_name, "second-key\n");
my $lines = scalar(split /\n/, $relay->log);
$relay->signal('HUP');
wait_until(sub { my @said = split /\n/, $relay->log; return (@said > $lines, $said[-1]) }, 'SIGHUP: it is noticed');
$gateway->control(key => 'second-key');
enqueue($node, name => 'hup-', count => 3);
wait_for_sql($node, q{SELECT depth FROM acteon_outbox_stats}, 0, 'SIGHUP: the new key is used');
is($gateway->stats->{unauthorized}, 0, 'SIGHUP: … from the first request on');
private_file($key_name, '');
$relay->signal('HUP');
$relay->says(qr/ error .*\Q$key_name\E/, 'SIGHUP: an empty file is an error');
unlink $relay->{key_file};
$relay->signal('HUP');
wait_until(sub { my $log = $relay->log; my $n = () = $log =~ / error .*\Q$key_name\E/g; return ($n >= 2, $log) }, 'SIGHUP: so is a missing one');
enqueue($node, name => 'hup2-', count => 3);
wait_for_sql($node, q{SELECT depth FROM acteon_outbox_stats}, 0, 'SIGHUP: the old key is kept');
is($gateway->stats->{unauthorized}, 0, 'SIGHUP: … and used');
is($relay->stop, 0, 'SIGHUP: exit code 0');
$gateway->control(key => 'test-key');

# The database goes away while requests are in flight: their answers are kept,
# and recorded when it is back.
foreach my $how (qw(fast immediate))
{
	$gateway->reset;
	$gateway->rules({ answer => { delay_ms => 500 } });
	$relay = start_relay($node, $gateway, '--lease', '30s');
	wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay'}, 2, "$how shutdown: it runs");
	enqueue($node, name => "$how-", count => 40);
	wait_for_open(10, "$how shutdown: as many requests as it begins with are in flight");
	$node->stop($how);
	wait_until(sub { my $n = $gateway->stats->{answers}{200} // 0; return ($n >= 10, "$n answered") }, "$how shutdown: what is in flight is finished");
	# What was claimed and is safe to send may still be sent; then it waits.
	wait_for_open(0, "$how shutdown: nothing else is sent");
	$relay->says(qr/(error|warning) .*(database|connection)/i, "$how shutdown: it says that the database is away");
	$node->start;
	all_delivered_by_first($how);
	is($gateway->stats->{duplicates}, 0, "$how shutdown: nothing was sent twice");
	wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay'}, 2, "$how shutdown: both connections are back");
	$gateway->rules();
	outbox_is_sound($node, "$how shutdown");
	is($relay->stop, 0, "$how shutdown: exit code 0");
}

# Test that all of a prefix is delivered by its first attempt.
sub all_delivered_by_first
{
	my ($prefix) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(sub { my $states = states("$prefix-"); return ($states eq 'delivered 1 40', $states) }, "$prefix: delivered by the first attempt", 60);
}

# Both connections are lost, again and again, and are made again; the relay is
# still woken by notifications.
$relay = start_relay($node, $gateway);
foreach my $round (1 .. 3)
{
	wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay'}, 2, 'two connections');
	my $before = backends();
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'relay'});
	wait_until(sub { my $now = backends(); return ($now ne $before && scalar($now =~ m{^\d+,\d+$}), $now) }, "round $round: both are made again");
	enqueue($node, name => "lost-$round-", count => 10);
	wait_for_sql($node, q{SELECT depth FROM acteon_outbox_stats}, 0, "round $round: deliveries go on");
}
# Only the listening one is lost: polling goes on, and it comes back.
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay' AND query LIKE '%LISTEN%' OR query = 'SELECT 1' AND usename = 'relay'}, 1, 'one listens');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'relay' AND query LIKE '%LISTEN%'});
enqueue($node, name => 'poll-', count => 10);
wait_for_sql($node, q{SELECT depth FROM acteon_outbox_stats}, 0, 'polling covers a lost listener');
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay'}, 2, 'the listener is back');
# A notification is quicker than polling: of some deliveries most take less than a poll.
my @delays;
foreach my $n (1 .. 10)
{
	$gateway->reset;
	enqueue($node, name => "woken-$n-", count => 1);
	wait_until(sub { my $n = $gateway->stats->{requests}; return ($n == 1, "$n requests") }, "woken $n");
	push @delays, $node->safe_psql('postgres', qq{
		SELECT extract(epoch FROM d.finished_at - o.created_at) FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
		WHERE o.original_action_id LIKE 'woken-$n-%'}) || 0;
}
@delays = sort { $a <=> $b } @delays;
cmp_ok($delays[7], '<', 0.4, 'notifications wake it') or diag("@delays");
is($relay->stop, 0, 'exit code 0');

# Without listening there is one connection, and polling does it all.
$relay = start_relay($node, $gateway, '--no-listen');
enqueue($node, name => 'no-listen-', count => 300);
wait_for_sql($node, q{SELECT depth FROM acteon_outbox_stats}, 0, '--no-listen: delivered');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay'}), 1, '--no-listen: one connection');
is($relay->stop, 0, '--no-listen: exit code 0');

# A relay that sleeps for longer than its lease, with requests in flight: another
# one does its work, and what it finds on waking does no harm.  What was in flight is
# looked up, so this gateway writes its records.
$gateway = start_gateway(node => $node);
$gateway->rules({ match => { attempt => 1 }, answer => { delay_ms => 300 } });
$relay = start_relay($node, $gateway, '--lease', '2s', '--concurrency', 8);
enqueue($node, name => 'sleeper-', count => 150);
wait_for_open(8, 'asleep: requests are in flight');
$relay->signal('STOP');
($status, $log) = run_relay($node, $gateway, '--drain');
is($status, 0, 'asleep: another relay does its work') or diag($log);
$relay->signal('CONT');
$relay->stop;
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
	WHERE d.state = 'delivered' AND o.original_action_id LIKE 'sleeper-%'}), 150, 'asleep: all are delivered');
my $stats = $gateway->stats;
is("$stats->{ids_with_effect} $stats->{ids_with_effects}", '150 0', 'asleep: each took effect once');
is($stats->{duplicates}, 0, 'asleep: nothing was sent twice');
outbox_is_sound($node, 'asleep');
$gateway->has_no_violations;

done_testing();
