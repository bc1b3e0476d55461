# A batch of acteon_replay_all is enqueuing while a call is at work on it, and interrupted
# as soon as none is, whatever has ended the call; then acteon_replay_continue goes on.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Acteon;
use Program;

my $node = new_server('primary', streaming => 1, conf => "restart_after_crash = on\n");

$node->safe_psql('postgres', q{
	SELECT count(make_record('i' || n, at => '2026-01-01 12:00+00'::timestamptz + n * interval '1 s',
		payload => CASE WHEN n % 10 = 3 THEN '{"to": "[REDACTED]"}' ELSE '{"to": "a@example.com"}' END::jsonb)) FROM generate_series(1, 400) AS n});

# Begin a statement in a session of its own.
sub begin_call
{
	my ($sql, $name) = @_;
	my $call = { out => '', err => '', name => $name // 'runner' };

	$call->{handle} = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr('postgres') . " application_name=$call->{name}", '-c', $sql ],
		'<', \undef, '>', \$call->{out}, '2>', \$call->{err});
	return $call;
}

# Its process on the server.
sub backend
{
	my ($name) = @_;

	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = '$name'");
}

my $batch = 'SELECT state FROM acteon_replay_batches WHERE batch_id = %d';

# At this rate a call enqueues a minute's worth, and waits for deliveries that nobody makes.
my $waits = q{CALL acteon_replay_all(from_time => '2000-01-01', include_replayed => true, rate => 1, chunk => 20, max_generation => 100, breaker_window => 0, canary => 'off')};
my $batches = 0;

my %ways = (
	'SIGKILL' => sub { crash($node, backend('runner')) },
	'pg_terminate_backend' => sub { $node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . backend('runner') . ')') },
	'pg_cancel_backend' => sub { $node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . backend('runner') . ')') },
	'a client that is gone' => sub { my ($call) = @_; $call->{handle}->kill_kill(grace => 0) },
	'an error' => sub { $node->safe_psql('postgres', q{ALTER TABLE acteon_audit RENAME TO elsewhere; SELECT acteon_replay_set_rate(max(id), NULL) FROM acteon_replay_batch}) });

foreach my $way (sort keys %ways)
{

	$batches++;

	my $call = begin_call($waits);
	wait_for_sql($node, 'SELECT count(*), (SELECT replayed > 40 FROM acteon_replay_batch ORDER BY id DESC LIMIT 1) FROM acteon_replay_batch', "$batches|t", "$way: the call is at work");
	my $number = $node->safe_psql('postgres', 'SELECT max(id) FROM acteon_replay_batch');
	is($node->safe_psql('postgres', sprintf($batch, $number)), 'enqueuing', '… so the batch is enqueuing');
	is($node->safe_psql('postgres', "SELECT state FROM acteon_replay_set_rate($number, 1)"), 'enqueuing', '… to those who steer it as well');
	$ways{$way}->($call);
	wait_for_sql($node, sprintf($batch, $number), 'interrupted', '… and interrupted afterwards');
	eval { $call->{handle}->finish };
	$node->safe_psql('postgres', 'ALTER TABLE elsewhere RENAME TO acteon_audit') if $way eq 'an error';
	is($node->safe_psql('postgres', "SELECT state FROM acteon_replay_set_rate($number, NULL)"), 'interrupted', '… to those who steer it as well');

	# Two go on at once: they take turns, and the batch stays in progress when one of them goes.
	$node->safe_psql('postgres', "SELECT acteon_replay_set_rate($number, 1)");
	my $first = begin_call("CALL acteon_replay_continue($number)", 'first');
	my $second = begin_call("CALL acteon_replay_continue($number)", 'second');
	wait_for_sql($node, qq{SELECT count(*) FROM acteon_replay_log WHERE event = 'continue' AND batch_id = $number}, '2', '… two go on with it');
	$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . backend('first') . ', 60000)');
	is($node->safe_psql('postgres', sprintf($batch, $number)), 'enqueuing', '… and one of them is enough');
	$node->safe_psql('postgres', "SELECT acteon_replay_set_rate($number, NULL)");
	$_->{handle}->finish foreach $first, $second;
	is($second->{out}, "$number|360|40|0\n", '… and comes to the end') or diag($second->{err});
	is($node->safe_psql('postgres', sprintf($batch, $number)), 'running', '… after which the batch is running');
	is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT original_action_id) FROM acteon_replay_items($number)"), '360|360', '… with everything once');
	is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT original_action_id), max(page_key) FROM acteon_replay_items($number, 'refused')"), '40|40|40',
		'… and all that was refused');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND classid = 'acteon_replay_batch'::regclass}), '0', '… and no lock is left');
}

done_testing();
