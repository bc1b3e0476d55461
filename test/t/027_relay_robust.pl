# A relay that nothing stops: a gateway that takes no connections, a server whose
# processes hang or wait, a role that is given little, and results that cannot be
# recorded.
use strict;
use warnings;
use FindBin;
use IO::Socket::INET;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Relay;

my $node = new_relay_server('robust', conf => "acteon_replay.gateway_patience = 1\nwal_level = replica\nmax_wal_senders = 2\n");
my $gateway = start_gateway();
my $relay;

# Test that all of a prefix is delivered, each by its first attempt.
sub delivered_by_first
{
	my ($prefix, $count, $description, $seconds) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_for_sql($node, qq{
		SELECT string_agg(x.state || ' ' || x.attempts || ' ' || x.n, ', ' ORDER BY x.state, x.attempts) FROM (
			SELECT COALESCE(d.state, 'waiting') AS state, COALESCE(d.attempts, 0) AS attempts, count(*) AS n
			FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
			WHERE o.original_action_id LIKE '$prefix%' GROUP BY 1, 2) AS x}, "delivered 1 $count", $description, $seconds);
}

# The process that does a relay's work: the one that has claimed something.
sub worker
{
	return $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE usename = 'relay' AND query LIKE '%acteon_outbox_%' AND query NOT LIKE '%acteon_outbox_sleep%' ORDER BY backend_start DESC LIMIT 1});
}

# Wait until so many requests are under way at the gateway.
sub wait_for_open
{
	my ($count, $description) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(sub { my $n = $gateway->stats->{open}; return ($n >= $count, "$n open") }, $description);
}

# A gateway that takes no connections for a while, and then does: connecting times
# out, and libcurl closes sockets of which others have the number soon after.
$gateway->stop;
my $deaf = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $gateway->{port}, Listen => 1, ReuseAddr => 1)
	or BAIL_OUT("cannot listen: $!");
enqueue($node, name => 'deaf-', count => 600);
$relay = start_relay($node, $gateway, '--request-timeout', '2s', '--lease', '60s', '--concurrency', 32);
$relay->says(qr/gateway unavailable/, 'no connections: it is noticed', 30);
$deaf->close;
$gateway->start;
wait_for_sql($node, q{SELECT depth - in_doubt FROM acteon_outbox_stats}, 0, 'no connections: all is delivered, or in doubt if it was sent', 60);
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_delivery WHERE state = 'delivered' AND attempts = 1}), '>=', 600 - 32, 'no connections: what was not sent is delivered by its first attempt');
unlike($relay->log, qr/cannot wait for a descriptor/, 'no connections: every socket is watched');
is($relay->stop, 0, 'no connections: exit code 0');

# A relay that stands still for longer than a request may take: what has been
# answered meanwhile is read before anything is called late.
$gateway->reset;
$gateway->rules({ answer => { delay_ms => 500 } });
$relay = start_relay($node, $gateway, '--lease', '60s', '--request-timeout', '2s', '--concurrency', 8);
enqueue($node, name => 'still-', count => 8);
wait_for_open(8, 'still: requests are in flight');
$relay->signal('STOP');
my $stopped_at = time;
wait_until(sub { my $n = $gateway->stats->{answers}{200} // 0; return ($n == 8 && time > $stopped_at + 4, $n) }, 'still: all is answered, and time has passed');
$relay->signal('CONT');
$relay->says(qr/stood still/, 'still: it is noticed');
delivered_by_first('still-', 8, 'still: all is delivered by its first attempt', 30);
is($gateway->stats->{duplicates}, 0, 'still: nothing was sent twice');
is($relay->stop, 0, 'still: exit code 0');

# A lock that lasts: statements are cancelled, and repeated, and no lease is lost.
$gateway->reset;
$gateway->rules({ answer => { delay_ms => 300 } });
$relay = start_relay($node, $gateway, '--lease', '6s', '--concurrency', 8);
enqueue($node, name => 'lock-', count => 8);
wait_for_open(8, 'a lock: requests are in flight');
my $locker = start_psql($node, 'postgres', 'BEGIN; LOCK TABLE acteon_dispatch_delivery; SELECT pg_sleep(8); COMMIT');
$relay->says(qr/57014/, 'a lock: a statement is cancelled', 30);
is($locker->wait_for_end(60), 0, 'a lock: it is over');
delivered_by_first('lock-', 8, 'a lock: all is delivered by its first attempt', 30);
is($gateway->stats->{duplicates}, 0, 'a lock: nothing was sent twice');
unlike($relay->log, qr/lease was lost/, 'a lock: no lease was lost');
is($relay->stop, 0, 'a lock: exit code 0');

# Processes of the server that hang, one after the other: each is given up, but not
# more than a few.
$gateway->reset;
$relay = start_relay($node, $gateway, '--lease', '6s');
my %stopped;
foreach my $round (1 .. 5)
{
	my $worker = '';

	wait_until(sub { $worker = worker(); return (scalar($worker ne '' && !$stopped{$worker}), $worker) }, "hanging $round: there is a process", 20)
		if $round <= 4;
	kill 'STOP', $worker if $worker;
	$stopped{$worker} = 1 if $worker;
	enqueue($node, name => "hang-$round-", count => 5) if $round <= 4;
}
$relay->says(qr/the server's processes hang/, 'hanging: the relay stops to make connections', 30);
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay'}), '<=', 5, 'hanging: few connections are there');
kill 'CONT', keys %stopped;
# A claim of which the answer was lost is one of which nobody knows what was sent.
wait_for_sql($node, q{SELECT depth - in_doubt FROM acteon_outbox_stats}, 0, 'hanging: nothing is left when they go on', 60);
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_delivery AS d JOIN acteon_dispatch_outbox AS o ON o.id = d.outbox_id WHERE o.original_action_id LIKE 'hang-%' AND d.attempts > 1}), 0, 'hanging: nothing was sent twice');
is($relay->stop, 0, 'hanging: exit code 0');

# A synchronous standby that is gone: commits wait, and are told not to.
$gateway->reset;
$gateway->rules({ answer => { delay_ms => 2000 } });
$relay = start_relay($node, $gateway, '--lease', '60s', '--request-timeout', '10s', '--concurrency', 5);
enqueue($node, name => 'sync-', count => 5);
wait_for_open(5, 'no standby: requests are in flight');
$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'gone'});
$node->safe_psql('postgres', q{SELECT pg_reload_conf()});
$relay->says(qr/57014|wait for synchronous replication/, 'no standby: waiting for it is given up');
delivered_by_first('sync-', 5, 'no standby: all is delivered by its first attempt', 60);
is($gateway->stats->{duplicates}, 0, 'no standby: nothing was sent twice');
$node->safe_psql('postgres', q{SET synchronous_commit = local; ALTER SYSTEM RESET synchronous_standby_names});
$node->safe_psql('postgres', q{SELECT pg_reload_conf()});
is($relay->stop, 0, 'no standby: exit code 0');

# Figures that take for ever: the work goes on.
$gateway->reset;
$gateway->rules();
$node->safe_psql('postgres', q{
	ALTER FUNCTION acteon_outbox_read_stats RENAME TO acteon_outbox_quick;
	CREATE FUNCTION acteon_outbox_read_stats(target text) RETURNS SETOF acteon_outbox_stats LANGUAGE plpgsql
		AS $$ BEGIN PERFORM pg_sleep(600); RETURN QUERY SELECT * FROM acteon_outbox_stats; END $$});
$relay = start_relay($node, $gateway, '--metrics-file', "$PostgreSQL::Test::Utils::tmp_check/slow.prom");
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay' AND query LIKE '%acteon_outbox_read_stats%' AND state = 'active'}, 1, 'slow figures: they are asked for');
enqueue($node, name => 'slow-', count => 50);
delivered_by_first('slow-', 50, 'slow figures: all is delivered', 60);
$relay->signal('TERM');
is($relay->wait_for_end(60), 0, 'slow figures: exit code 0');
$node->safe_psql('postgres', 'DROP FUNCTION acteon_outbox_read_stats; ALTER FUNCTION acteon_outbox_quick RENAME TO acteon_outbox_read_stats');

# Results that cannot be recorded for a reason of others: they wait, and say what was
# answered.
$node->safe_psql('postgres', q{
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE invalid_text_representation; END $$;
	CREATE TRIGGER refuse BEFORE INSERT ON acteon_dispatch_delivery FOR EACH ROW EXECUTE FUNCTION refuse()});
$relay = start_relay($node, $gateway, '--lease', '6s');
enqueue($node, name => 'refused-', count => 70);
$relay->says(qr/cannot be recorded, and is tried again.*trigger/, 'a trigger: it is told');
wait_until(sub { my $n = $gateway->stats->{answers}{200} // 0; return ($n >= 70, $n) }, 'a trigger: all is sent');
$node->safe_psql('postgres', 'DROP TRIGGER refuse ON acteon_dispatch_delivery');
delivered_by_first('refused-', 70, 'a trigger: without it all is delivered', 90);
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_delivery WHERE outcome::text LIKE '%unstorable%'}), 0, 'a trigger: no outcome was replaced');
is($gateway->stats->{duplicates}, 0, 'a trigger: nothing was sent twice');
is($relay->stop, 0, 'a trigger: exit code 0');

# Somebody holds a row of the queue: its neighbours do not wait.
$gateway->reset;
$gateway->rules({ answer => { delay_ms => 300 } });
enqueue($node, name => 'row-', count => 1);
enqueue($node, name => 'neighbour-', count => 7);
$relay = start_relay($node, $gateway, '--lease', '12s', '--batch-size', 1);
wait_for_open(8, 'a row: requests are in flight');
$locker = start_psql($node, 'postgres', q{BEGIN; SELECT FROM acteon_dispatch_segment WHERE batch_id = (SELECT batch_id FROM acteon_dispatch_outbox WHERE original_action_id = 'row-1') FOR UPDATE; SELECT pg_sleep(25); COMMIT});
delivered_by_first('neighbour-', 7, 'a row: neighbours are delivered', 24);
is($locker->wait_for_end(60), 0, 'a row: it is free again');
wait_for_sql($node, q{SELECT count(*) FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id WHERE o.original_action_id = 'row-1'}, 1, 'a row: its action is, too', 30);
$gateway->rules();
is($relay->stop, 0, 'a row: exit code 0');

# A role that is given little.
$node->safe_psql('postgres', q{
	ALTER ROLE relay CONNECTION LIMIT 1;
	ALTER ROLE relay SET idle_session_timeout = '200ms';
	ALTER ROLE relay SET statement_timeout = '20ms';
	ALTER ROLE relay SET lock_timeout = '1ms';
	ALTER ROLE relay SET idle_in_transaction_session_timeout = '1ms';
	ALTER ROLE relay SET default_transaction_read_only = on;
	ALTER ROLE relay SET default_transaction_isolation = 'serializable';
	ALTER ROLE relay SET row_security = off;
	ALTER ROLE relay SET client_encoding = 'LATIN1';
	ALTER ROLE relay SET search_path = 'nowhere'});
$relay = start_relay($node, $gateway, '--metrics-file', "$PostgreSQL::Test::Utils::tmp_check/little.prom");
enqueue($node, name => 'little-', count => 50);
delivered_by_first('little-', 50, 'little: all is delivered over the one connection', 60);
$relay->says(qr/cannot connect.*connection=(listen|figures)/, 'little: the others are refused');
enqueue($node, name => 'later-', count => 50, payload => q{jsonb_build_object('t', 'é€')});
delivered_by_first('later-', 50, 'little: so is what comes later', 60);
unlike($relay->log, qr/lost the database.*connection=work/, 'little: the work keeps its connection');
# Whoever of them is first to connect again, the work has it in the end.
foreach my $round (1 .. 5)
{
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'relay'});
	enqueue($node, name => "again-$round-", count => 5);
	delivered_by_first("again-$round-", 5, "little: when it is lost, the work has the next one, $round", 60);
}
is($relay->stop, 0, 'little: exit code 0');
my ($status, $log) = run_relay($node, $gateway, '--drain');
is($status, 0, 'little: a drain needs no other connection') or diag($log);
$node->safe_psql('postgres', 'ALTER ROLE relay CONNECTION LIMIT -1; ALTER ROLE relay RESET ALL');

# Secrets of TLS are not written for others to read.
{
	local $ENV{SSLKEYLOGFILE} = "$PostgreSQL::Test::Utils::tmp_check/secrets";
	($status, $log) = run_relay($node, $gateway, '--drain');
	is($status, 1, 'SSLKEYLOGFILE: refused');
	like($log, qr/SSLKEYLOGFILE/, 'SSLKEYLOGFILE: it says so');
	($status, $log) = run_relay($node, $gateway, '--check');
	is($status, 1, 'SSLKEYLOGFILE: refused with --check');
}

# Nothing to do: the relay says that it sleeps, and is woken at once.
$gateway->reset;
$relay = start_relay($node, $gateway);
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay' AND query LIKE '%acteon_outbox_sleep%' AND state = 'idle'}, 1, 'asleep: it says so');
my @delays;
foreach my $n (1 .. 20)
{
	enqueue($node, name => "wake-$n-");
	delivered_by_first("wake-$n-", 1, "asleep: woken $n", 60);
	wait_for_sql($node, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted}, 1, "asleep: it sleeps again $n", 60);
	push @delays, $node->safe_psql('postgres', qq{
		SELECT 1000 * extract(epoch FROM d.finished_at - o.created_at) FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
		WHERE o.original_action_id = 'wake-$n-1'});
}
@delays = sort { $a <=> $b } @delays;
note("from the call to the delivery, ms: @delays");
cmp_ok($delays[10], '<', 100, 'asleep: it is woken when something is enqueued') or diag("@delays");
is($relay->stop, 0, 'asleep: exit code 0');

outbox_is_sound($node);
$gateway->has_no_violations;

done_testing();
