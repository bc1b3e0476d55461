# Large tables and large payloads: the gateway's indexes are used whatever the
# statistics say, and memory follows neither payloads nor rows.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $node = new_server('large', conf => "fsync = off\nautovacuum = off\nmax_wal_size = 4GB\n");

# 40,000 records, of which few have failed.  The planner is told of them in
# three wrong ways and in the right one, and the session's settings mislead it.
my %statistics = (
	'never analyzed' => 'DELETE FROM pg_statistic WHERE starelid = $$acteon_audit$$::regclass',
	'analyzed when nothing had failed' => q{
		BEGIN; UPDATE acteon_audit SET outcome = 'executed'; ANALYZE acteon_audit; COMMIT;
		UPDATE acteon_audit SET outcome = CASE WHEN right(id, 1) IN ('0', '5') THEN 'failed' ELSE 'executed' END; VACUUM acteon_audit},
	'analyzed when all had failed' => q{
		BEGIN; UPDATE acteon_audit SET outcome = 'failed'; ANALYZE acteon_audit; COMMIT;
		UPDATE acteon_audit SET outcome = CASE WHEN right(id, 1) IN ('0', '5') THEN 'failed' ELSE 'executed' END; VACUUM acteon_audit},
	'up to date' => 'VACUUM (ANALYZE) acteon_audit');
my %calls = (
	q{outcome => 'failed'} => 'acteon_audit_outcome_idx',
	q{namespace => 'prod', tenant => 'tenant-3'} => 'acteon_audit_ns_tenant_idx',
	q{provider => 'email', newest_first => true} => 'acteon_audit_provider_idx',
	q{outcome => 'failed', from_time => '2026-01-01 05:00+00', to_time => '2026-01-01 10:00+00'} => 'acteon_audit_outcome_idx',
	q{namespace => 'prod', tenant => 'tenant-3', provider => 'email', action_type => 'send_email', matched_rule => 'r'} => 'acteon_audit_(rule|ns_tenant|provider)_idx',
	q{outcome => 'pending', allow_unproven => true} => 'acteon_audit_outcome_idx',
	q{outcome => 'failed,throttled'} => 'acteon_audit_outcome_idx',
	q{outcome => 'failed,throttled', namespace => 'prod', tenant => 'tenant-3'} => 'acteon_audit_(outcome|ns_tenant)_idx',
	q{lost => true} => 'acteon_audit_outcome_idx');

$node->safe_psql('postgres', q{
	SELECT count(make_record(n::text, at => timestamptz '2026-01-01' + n * interval '1 s', tenant => 'tenant-' || n % 7, matched_rule => 'r',
		outcome => CASE WHEN n % 5 = 0 THEN 'failed' ELSE 'executed' END, id => 'rec-' || n, payload => jsonb_build_object('text', repeat('x', 200))))
	FROM generate_series(1, 40000) AS n});
foreach my $known (sort keys %statistics)
{
	$node->safe_psql('postgres', $_) foreach split /;/, $statistics{$known};
	foreach my $call (sort keys %calls)
	{
		my ($status, $out, $err) = $node->psql('postgres', qq{
			LOAD 'auto_explain';
			SET auto_explain.log_min_duration = 0;
			SET auto_explain.log_nested_statements = on;
			SET auto_explain.log_analyze = on;
			SET auto_explain.log_level = notice;
			SET cursor_tuple_fraction = 1;
			SET enable_incremental_sort = off;
			SET enable_indexscan = off;
			BEGIN;
			SELECT replayed FROM acteon_replay_bulk($call, max_records => 100);
			ROLLBACK;});
		my ($plan) = $err =~ /(Query Text: SELECT a\.id.*?)(?=NOTICE:|\z)/s;

		like($plan // $err, qr/Index Scan (Backward )?using $calls{$call} on acteon_audit/, "$known: $call uses the index");
		unlike($plan // $err, qr/Seq Scan|->  Sort|Hash/, "$known: … and neither reads nor sorts all there is");
	}
}

# A table that was never analyzed, not even its size, as after a restore: what was lost is found without reading all of a tenant
# for each record (which would take more than an hour).
$node->safe_psql('postgres', q{
	DELETE FROM pg_statistic WHERE starelid = 'acteon_audit'::regclass;
	UPDATE acteon_audit SET outcome = 'failed', tenant = 'acme';
	UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid = 'acteon_audit'::regclass});
is($node->safe_psql('postgres', q{SET statement_timeout = '120 s'; SELECT acteon_replay_preview('{"lost": true}'::jsonb) ->> 'matched'}),
	40000, 'restored: all that was lost is found');

# An index that finds just the few records is not given up for one that has the order.
$node->safe_psql('postgres', q{UPDATE acteon_audit SET chain_id = 'chain' WHERE id IN ('rec-5', 'rec-20000'); ANALYZE acteon_audit});
my ($few) = ($node->psql('postgres', q{
	LOAD 'auto_explain';
	SET auto_explain.log_min_duration = 0;
	SET auto_explain.log_nested_statements = on;
	SET auto_explain.log_level = notice;
	SELECT replayed FROM acteon_replay_bulk(chain_id => 'chain', outcome => 'failed')}))[2] =~ /(Query Text: SELECT a\.id.*?)(?=NOTICE:|\z)/s;
like($few // '', qr/acteon_audit_chain_idx/, 'a chain is found by its index');

# Where no index has the order, the planner is left alone.
my ($status, $out, $err) = $node->psql('postgres', q{SELECT replayed FROM acteon_replay_bulk(verdict => 'allow', max_records => 1000, canary => 'off')});
is($out, '1000', 'a filter that no index serves works');

# 80 MB of payloads that do not compress, in one call: far more than the backend may grow.
$node->safe_psql('postgres', q{
	CALL clean();
	CREATE UNLOGGED TABLE noise AS SELECT n, string_agg(md5(n || ' ' || i), '') AS text FROM generate_series(1, 4) AS n, generate_series(1, 32768) AS i GROUP BY n;
	SELECT count(make_record('big-' || i, at => timestamptz '2026-01-01' + i * interval '1 s', payload => jsonb_build_object('n', i, 'text', text)))
	FROM generate_series(1, 80) AS i JOIN noise ON noise.n = 1 + i % 4;
	SELECT count(make_record('small-' || i, at => timestamptz '2026-01-02' + i * interval '1 s')) FROM generate_series(1, 900) AS i});

# What the backend's own memory (without shared memory) has grown by, in MB.
sub own_memory
{
	my ($pid) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m;

	return $kb / 1024;
}
# The check constraints of our tables stay with the session.
my $session = $node->background_psql('postgres');
my $pid = $session->query_safe('SELECT pg_backend_pid()');
$session->query_safe('BEGIN');
is($session->query_safe(q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1)}), '1', 'warmed up');
my $before = own_memory($pid);
is($session->query_safe(q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off')}), '979', '80 MB of payloads in one call');
$session->query_safe('COMMIT');
my $used = $session->query_safe(q{SELECT (sum(total_bytes) / 1048576)::integer FROM pg_backend_memory_contexts});
cmp_ok(own_memory($pid) - $before, '<', 24, 'the backend has not kept the payloads');
cmp_ok($used, '<', 24, '… nor have its memory contexts');
is($session->query_safe(q{SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'acteon_replay%' AND name <> 'acteon_replay constraints'}), '0', 'no memory of a call is left over');
is($session->query_safe(q{SELECT count(*) FROM acteon_dispatch_outbox AS o JOIN acteon_audit AS a ON a.action_id = o.original_action_id WHERE o.payload = a.action_payload}),
	'980', 'every payload came through');
$session->quit;

# Under a limit that the payloads together exceed many times.
$node->safe_psql('postgres', 'TRUNCATE acteon_dispatch_outbox, acteon_dispatch_action, acteon_dispatch_segment, acteon_replay_batch, acteon_replay_refused');
$session = $node->background_psql('postgres');
$pid = $session->query_safe('SELECT pg_backend_pid()');
$session->query_safe('SELECT count(*) FROM acteon_audit');
my ($size) = slurp_file("/proc/$pid/status") =~ /^VmSize:\s+(\d+)/m;
# 48 MB more than it has now: a handful of payloads, where all of them take 80 MB.
is(system('prlimit', "--pid=$pid", '--as=' . ($size + 48 * 1024) * 1024), 0, 'the backend may grow by 48 MB');
is($session->query(q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off')}), '980', '… which is enough for all of them');
$session->quit;

# Call after call in one session: nothing piles up.
$session = $node->background_psql('postgres');
$session->query_safe('SET client_min_messages = warning');
$session->query_safe(q{DO $$BEGIN FOR i IN 1 .. 20 LOOP PERFORM acteon_replay_bulk(max_records => 1000, canary => 'off', from_time => '2026-01-02', include_replayed => true); END LOOP; END$$});
my $first = $session->query_safe(q{SELECT sum(total_bytes) FROM pg_backend_memory_contexts});
$session->query_safe(q{DO $$BEGIN FOR i IN 1 .. 20 LOOP PERFORM acteon_replay_bulk(max_records => 1000, canary => 'off', from_time => '2026-01-02', include_replayed => true); END LOOP; END$$});
$session->query_safe(q{DO $$BEGIN FOR i IN 1 .. 500 LOOP PERFORM acteon_replay('small-' || i); END LOOP; END$$});
my $last = $session->query_safe(q{SELECT sum(total_bytes) FROM pg_backend_memory_contexts});
cmp_ok($last, '<', $first + 2 * 1024 * 1024, 'a session that replays on and on does not grow');
$session->quit;

# The queue: a claim takes 16 MB at the most, so draining 80 MB of payloads does not need them at once; nor does memory grow
# from claim to claim.
$node->safe_psql('postgres', q{
	TRUNCATE acteon_dispatch_outbox, acteon_dispatch_action, acteon_dispatch_segment, acteon_dispatch_delivery, acteon_replay_batch, acteon_replay_refused;
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off')});
$session = $node->background_psql('postgres');
$pid = $session->query_safe('SELECT pg_backend_pid()');
$session->query_safe('SET work_mem = 64');
$session->query_safe(q{
	CREATE FUNCTION drain(n integer) RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE
		total bigint := 0;
		taken record;
	BEGIN
		FOR i IN 1 .. n LOOP
			SELECT array_agg(outbox_id) AS ids, array_agg(lease_token) AS tokens, count(*) AS n, sum(length(action::text)) AS bytes INTO taken
			FROM acteon_outbox_claim('drain', 1000);
			ASSERT coalesce(taken.bytes, 0) <= 16777216;
			EXIT WHEN taken.n = 0;
			total := total + acteon_outbox_ack(taken.ids, taken.tokens, array_fill('{"Executed": {}}'::jsonb, ARRAY[taken.n::integer]));
		END LOOP;
		RETURN total;
	END$$});
cmp_ok($session->query_safe('SELECT drain(1)'), '<=', 16, 'a claim is full at 16 MB');
$before = own_memory($pid);
is($session->query_safe('SELECT drain(100) > 900'), 't', 'and further claims bring the rest');
cmp_ok(own_memory($pid) - $before, '<', 24, '… without more memory');
is($session->query_safe(q{SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'acteon_replay%' AND name <> 'acteon_replay constraints'}), '0', 'nothing of a claim is left over');
is($session->query_safe('SELECT depth FROM acteon_outbox_stats'), '0', 'all are delivered');
$session->quit;

# One that is too large to be handed out does not stop the others, and ends dead.
$node->safe_psql('postgres', q{
	CALL clean();
	SELECT make_record('huge', payload => jsonb_build_object('text', repeat('0123456789', 14000000))), make_record('small');
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01')});
is($node->safe_psql('postgres', q{
	SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg(NULL::jsonb)) FROM acteon_outbox_claim('one');
	SELECT o.original_action_id, d.state, d.error FROM acteon_dispatch_delivery AS d JOIN acteon_dispatch_outbox AS o ON o.id = d.outbox_id ORDER BY 1}),
	"1\nhuge|dead|action 1 cannot be handed out: its JSON is 140000336 bytes long, which exceeds the maximum of 134217728 bytes\nsmall|delivered|", 'what is too large does not stop the others, and ends dead');

done_testing();
