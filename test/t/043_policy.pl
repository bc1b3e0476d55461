# The recipe of a policy with a real pg_cron, a relay and the stand-in for the gateway: a provider is down, works again,
# fails in the middle, and works again; a person pauses; runs at the same time; a role that is dropped.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Cron;
use Relay;

require_cron();
my $node = new_cron_server('policy', 0);
my $gateway = start_gateway(node => $node, ledger => 1, gateway => { scale => 50, providers => { '*' => {}, email => { type => 'native', refuse => \1 } } });
my $relay = start_relay($node, $gateway);

sub provider
{
	my (%email) = @_;

	return $gateway->ask('POST', '/_providers', { '*' => {}, email => {%email} });
}

# Actions that were lost just now.
sub lose
{
	my ($name, $count, $provider) = @_;

	$provider //= 'email';
	return $node->safe_psql('postgres', qq{SELECT count(make_record('$name-' || n, at => clock_timestamp() - interval '1 min' + n * interval '1 us', provider => '$provider')) FROM generate_series(1, $count) AS n});
}

# How many actions of a name had an effect, and how many of these more than once.
sub effects
{
	my ($name) = @_;
	my $effects = $gateway->effects;
	my @done = grep { /^\Q$name\E-/ && $effects->{$_} > 0 } keys %$effects;

	return sprintf('%d, %d twice', scalar(@done), scalar(grep { $effects->{$_} > 1 } @done));
}

sub all_done
{
	my ($name, $count) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(sub { my $seen = effects($name); return ($seen eq "$count, 0 twice", $seen) }, "$name: all $count had an effect, each once", 120);
}

sub wait_for_state
{
	my ($expected, $description, $provider) = @_;

	$provider //= 'email';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_for_sql($node, "SELECT state || CASE WHEN failing_since IS NOT NULL THEN ', fails' ELSE '' END FROM acteon_replay_policies WHERE provider = '$provider'", $expected, $description, 120);
}

# A provider that is down: probes, and nothing else.
lose('down', 200);
recipe($node, 'roles');
recipe($node, 'policy', 'rate => 20, max_a_day => 20000' => 'rate => 100', q{quiet_from => '23:00', quiet_to => '06:00', time_zone => 'Europe/Berlin', } => '',
	"interval '50 seconds'" => "interval '53 seconds'");
wait_for_state('probing, fails', 'pg_cron runs the policy, which finds the provider down');
wait_for_sql($node, 'SELECT count(*) > 3 FROM acteon_replay_batches', 't', '… and probes again', 60);
is($node->safe_psql('postgres', 'SELECT max(replayed), string_agg(DISTINCT requested_by, $$ $$), string_agg(DISTINCT reason, $$ $$) FROM acteon_replay_batches'), '1|acteon_job|scheduled', '… with one action at a time, as its role');
is(effects('down'), '0, 0 twice', '… which have no effect');

# It works again.
provider();
my $recovered = time;
wait_until(sub { my $seen = effects('down'); return ($seen !~ /^0,/, $seen) }, 'when it works again, actions go out', 60);
cmp_ok(time - $recovered, '<', 10, sprintf('… after %.1f s', time - $recovered));
all_done('down', 200);
wait_for_state('idle', '… and then the policy waits for something to be lost');

# It fails in the middle, and works again.
lose('middle', 1500);
wait_until(sub { my ($seen) = split /,/, effects('middle'); return ($seen > 100, $seen) }, 'what is lost later goes out', 120);
provider(type => 'native', refuse => \1);
wait_for_state('probing, fails', 'when the provider fails again, the policy stops');
my $sent = $node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_delivery WHERE effect <> 'done'});
my ($done) = split /,/, effects('middle');
wait_for_sql($node, q{SELECT count(*) FROM acteon_replay_batches WHERE state IN ('running', 'paused') AND replayed > 1}, 0, '… its batch is cancelled');
cmp_ok($node->safe_psql('postgres', q{SELECT sum(delivered - done) FROM acteon_replay_batches WHERE state = 'cancelled'}), '<', 250, '… after what the relay held, two seconds of it at most');
provider();
all_done('middle', 1500);
like($node->safe_psql('postgres', q{SELECT string_agg(details ->> 'what', '; ' ORDER BY id) FROM acteon_replay_log WHERE event = 'policy'}),
	qr/^a probe failed: probing; a probe took effect: replaying; a probe took effect: replaying; stopped, as the provider failed again: .*; a probe took effect: replaying/, 'the log says what it found out');

# A person pauses the batch: the policy keeps off.
wait_for_state('idle', 'the policy is done');
lose('paused', 1000);
wait_until(sub { my ($seen) = split /,/, effects('paused'); return ($seen > 50, $seen) }, 'a batch goes out', 120);
my $batch = $node->safe_psql('postgres', q{SELECT batch_id FROM acteon_replay_policies WHERE provider = 'email'});
$node->safe_psql('postgres', "SELECT acteon_replay_pause($batch, 'let me look')");
wait_for_state('held', '… until a person pauses it');
my $before = $node->safe_psql('postgres', 'SELECT max(batch_id) FROM acteon_replay_batches');
my $run = $node->safe_psql('postgres', q{SELECT last_run_at FROM acteon_replay_policies WHERE provider = 'email'});
wait_for_sql($node, "SELECT last_run_at > timestamptz '$run' + interval '6 s' FROM acteon_replay_policies WHERE provider = 'email'", 't', '… the policy is run meanwhile', 60);
is($node->safe_psql('postgres', "SELECT max(batch_id) = $before, (SELECT state FROM acteon_replay_batches WHERE batch_id = $batch) FROM acteon_replay_batches"), 't|paused', '… and makes no other batch');
$node->safe_psql('postgres', "SELECT acteon_replay_resume($batch)");
all_done('paused', 1000);

# Two runs at once, and one that is killed: the policy is not run twice.
wait_for_state('idle', 'the policy is done again');
$node->safe_psql('postgres', 'SELECT cron.unschedule(jobid) FROM cron.job');
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'acteon_job'}, 0, 'no job is left', 90);
lose('twice', 50);
my @runs = map { $node->background_psql('postgres') } 1 .. 2;
$runs[0]->query_safe('BEGIN; UPDATE acteon_replay_policy SET look_at = NULL; SELECT * FROM acteon_replay_policy_run();');
is($runs[1]->query_safe('SELECT * FROM acteon_replay_policy_run()'), '', 'a second run does not wait, and does nothing');
my $pid = $runs[0]->query_safe('SELECT pg_backend_pid()');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
wait_for_sql($node, "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", 0, 'the first is killed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id LIKE 'twice-%'}), 0, '… and leaves nothing');
wait_until(sub { $runs[1]->query_safe('SELECT * FROM acteon_replay_policy_run()'); my $seen = effects('twice'); return ($seen eq '50, 0 twice', $seen) },
	'twice: all 50 had an effect, each once', 120);
$runs[1]->quit;

# The role is dropped.
$node->safe_psql('postgres', q{DELETE FROM acteon_grants WHERE grantee = 'acteon_job'::regrole; DROP ROLE acteon_job});
lose('dropped', 5);
$node->safe_psql('postgres', 'SELECT * FROM acteon_replay_policy_run()');
is($node->safe_psql('postgres', q{SELECT DISTINCT state, waits_for FROM acteon_replay_policies}), 'disabled|the role that set it was dropped', 'the policy of a dropped role is disabled');
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id LIKE 'dropped-%'}), 0, '… and replays nothing');
outbox_is_sound($node);
is($relay->stop, 0, 'exit code 0');

done_testing();
