# What was committed stays, what was not leaves nothing: dump and restore,
# restart, crash, standby, cancelled statements.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $node = new_server('primary', streaming => 1, conf => "restart_after_crash = on\nwal_level = logical\n");

$node->safe_psql('postgres', q{
	CREATE ROLE op;
	CREATE ROLE gone;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions)
	VALUES ('op', 'operator', '{acme}', '{prod}', '{*}'), ('gone', 'admin', '{*}', '{*}', '{*}');
	DROP ROLE gone;
	SELECT make_record('a-' || n, at => timestamptz '2026-01-01' + n * interval '1 s') FROM generate_series(1, 300) AS n;
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 250, canary => 'off', reason => 'before the dump', rate => 50);
	SELECT acteon_replay($$a-8$$);
	SELECT finish((SELECT action_id FROM acteon_dispatch_outbox ORDER BY id DESC LIMIT 1), $$dead$$);
	SELECT acteon_replay('a-7');
	SELECT finish((SELECT action_id FROM acteon_dispatch_outbox ORDER BY id DESC LIMIT 1), 'delivered');
});

# All that must survive, as one text.
my $everything = q{
	SELECT string_agg(t, E'\n' ORDER BY t) FROM (
		SELECT 'grant ' || g.id || g.grantee::text || g.role || g.tenants::text AS t FROM acteon_grants AS g JOIN pg_roles AS r ON r.oid = g.grantee
		UNION ALL SELECT 'installation ' || i::text FROM acteon_replay_installation AS i
		UNION ALL SELECT 'batch ' || b::text FROM acteon_replay_batch AS b
		UNION ALL SELECT 'outbox ' || o::text FROM acteon_dispatch_outbox AS o
		UNION ALL SELECT 'segment ' || s::text FROM acteon_dispatch_segment AS s
		UNION ALL SELECT 'delivery ' || d::text FROM acteon_dispatch_delivery AS d) AS all_rows};
my $before = $node->safe_psql('postgres', $everything);
my $next_id = $node->safe_psql('postgres', q{BEGIN; SELECT new_action_id FROM acteon_replay('a-9'); ROLLBACK});
like($before, qr/grant .*installation.*outbox.*segment/s, 'there is something to lose') or diag($before);
like($before, qr/^delivery /m, '… deliveries as well');

# Dump and restore, with the plain and the custom format.
foreach my $format ('plain', 'custom')
{
	my $file = "$PostgreSQL::Test::Utils::tmp_check/dump.$format";

	$node->safe_psql('postgres', "CREATE DATABASE restored_$format");
	command_ok([ 'pg_dump', '-F', $format, '-f', $file, '-d', $node->connstr('postgres') ], "pg_dump, $format format");
	if ($format eq 'plain')
	{
		command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr("restored_$format"), '-f', $file ], 'psql restores it');
	}
	else
	{
		command_ok([ 'pg_restore', '-e', '-d', $node->connstr("restored_$format"), $file ], 'pg_restore restores it');
	}
	is($node->safe_psql("restored_$format", $everything), $before, "nothing is lost ($format)");
	is($node->safe_psql("restored_$format", q{SELECT new_action_id FROM acteon_replay('a-9')}), $next_id, 'ids stay the same');
	is($node->safe_psql("restored_$format", q{SELECT count(*) FROM acteon_grants WHERE grantee::text ~ '^[0-9]'}), '0', 'a grant of a dropped role is not carried over');
	is($node->safe_psql("restored_$format", q{
			SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 100);
			SELECT count(*) - count(DISTINCT id) FROM acteon_dispatch_outbox}), "50\n0", 'new rows get new ids');
	# A second dump of the restored database is no different.
	my $again = $node->safe_psql("restored_$format", $everything);
	$node->safe_psql('postgres', "CREATE DATABASE again_$format");
	system_or_bail('pg_dump', '-F', 'plain', '-f', "$file.again", '-d', $node->connstr("restored_$format"));
	system_or_bail('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr("again_$format"), '-f', "$file.again");
	is($node->safe_psql("again_$format", $everything), $again, 'and again');
}
# Before the first replay there is no namespace to carry, and a restore draws its own.
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION acteon_replay');
isnt($node->safe_psql('fresh', q{SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'acteon_replay_installation'::regclass AND adnum = 2}),
	$node->safe_psql('postgres', q{SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'acteon_replay_installation'::regclass AND adnum = 2}),
	'each installation draws its own namespace');

# Restart, and a crash with a replay under way.
$node->restart;
is($node->safe_psql('postgres', $everything), $before, 'a restart loses nothing');
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe('BEGIN');
$session->query_safe('SELECT replayed FROM acteon_replay_bulk(from_time => \'2000-01-01\', include_replayed => true, max_records => 300, canary => \'off\')');
my $pid = $session->query_safe('SELECT pg_backend_pid()');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', $everything), $before, 'a crash loses what was committed nowhere, and nothing of the rest is left');
is($node->safe_psql('postgres', q{BEGIN; SELECT new_action_id FROM acteon_replay('a-9'); ROLLBACK}), $next_id, 'ids stay the same');
eval { $session->quit };

# A backend killed with SIGKILL in the middle of a transaction.
$session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe('BEGIN');
$session->query_safe('SELECT replayed FROM acteon_replay_bulk(from_time => \'2000-01-01\', max_records => 300, canary => \'off\')');
$pid = $session->query_safe('SELECT pg_backend_pid()');
crash($node, $pid);
is($node->safe_psql('postgres', $everything), $before, 'a killed backend leaves nothing');
eval { $session->quit };

# Hot standby: refused with the SQLSTATE for it; looking is allowed.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is(fails_with($standby, q{SELECT acteon_replay('a-1')}), '25006: cannot execute acteon_replay() during recovery', 'acteon_replay on a standby');
is(fails_with($standby, q{SELECT acteon_replay_bulk(from_time => '2000-01-01')}), '25006: cannot execute acteon_replay_bulk() during recovery', 'acteon_replay_bulk on a standby');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM acteon_replay_lineage('a-7')}),
	$node->safe_psql('postgres', q{SELECT count(*) FROM acteon_replay_lineage('a-7')}), 'acteon_replay_lineage on a standby');
is($standby->safe_psql('postgres', q{SELECT acteon_authorized('a', 'b', 'c', 'd')}), 't', 'acteon_authorized on a standby');
my $proof = 'SELECT verdict, told, actions, next FROM acteon_replay_proof((SELECT max(id) FROM acteon_replay_batch))';
like($standby->safe_psql('postgres', $proof), qr/^[a-z, ]+\|\w+\|\d+\|$/, 'acteon_replay_proof on a standby');
is($standby->safe_psql('postgres', $proof), $node->safe_psql('postgres', $proof), '... as on the primary');

# After a failover that lost the last commits, the same replay has the same id.
$standby->stop('immediate');
my $lost = $node->safe_psql('postgres', q{SELECT new_action_id FROM acteon_replay('a-299')});
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
$standby->start;
$standby->promote;
$standby->safe_psql('postgres', 'SELECT 1');
my $again = $standby->safe_psql('postgres', q{SELECT new_action_id FROM acteon_replay('a-299')});
is($again, $lost, 'a replay made again after a failover has the id that was lost');
$standby->stop;

# Ctrl-C in the middle.  A check on the outbox makes the replay slow enough to be caught.
$before = $node->safe_psql('postgres', $everything);
$node->safe_psql('postgres', q{
	CREATE FUNCTION dawdle() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.05); RETURN true; END$$;
	ALTER TABLE acteon_dispatch_outbox ADD CONSTRAINT slow CHECK (dawdle()) NOT VALID;
});
$session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe(q{SET application_name = 'caught'});
$session->query_until(qr/started/, "\\echo started\nSELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true, max_records => 300, canary => 'off');\n");
$node->poll_query_until('postgres', q{SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE application_name = 'caught'}) or die 'the replay did not start';
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'caught'});
$node->poll_query_until('postgres', q{SELECT state = 'idle' FROM pg_stat_activity WHERE application_name = 'caught'}) or die 'the replay did not stop';
$node->safe_psql('postgres', 'ALTER TABLE acteon_dispatch_outbox DROP CONSTRAINT slow; DROP FUNCTION dawdle()');
is($node->safe_psql('postgres', $everything), $before, 'a cancelled replay enqueues nothing');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = 'caught' AND locktype = 'relation'}),
	'0', '… and holds nothing');
# The session that was cancelled goes on with its own identity and settings.
is($session->query('SELECT current_user = session_user, current_setting($$search_path$$)'), 't|"$user", public', '… and is what it was before');
is($session->query('SELECT replayed FROM acteon_replay_bulk(from_time => \'2000-01-01\', max_records => 300, canary => \'off\')'), '49', '… and replays what is left');
$session->quit;

# Errors inside a block that catches them: the identity comes back, nothing stays.
is($node->safe_psql('postgres', q{
	SET ROLE op;
	DO $$BEGIN
		PERFORM acteon_replay('no such action');
	EXCEPTION WHEN no_data_found THEN
		PERFORM set_config('test.who', current_user || ' ' || current_setting('search_path'), false);
	END$$;
	SELECT current_setting('test.who')}), 'op "$user", public', 'an error that is caught leaves role and search path alone');

# Logical decoding sees the rows, so the outbox can be followed that way.
$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('s', 'test_decoding')});
$node->safe_psql('postgres', q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true, max_records => 150, canary => 'off')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_logical_slot_get_changes('s', NULL, NULL) WHERE data LIKE 'table public.acteon_dispatch_outbox: INSERT:%'}),
	'150', 'logical decoding sees every row');

done_testing();
