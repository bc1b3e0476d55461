# The queue under crashes, restores, failovers and many clients: nothing is
# lost, nothing is handed out twice, and only the gateway may touch it.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $node = new_server('queue', streaming => 1, conf => 'restart_after_crash = on');

# The invariants hold; call it after everything that could break them.
sub check_is_empty
{
	my ($server, $name, $database) = @_;

	is($server->safe_psql($database // 'postgres', 'SELECT * FROM acteon_outbox_check()'), '', "no violations: $name");
}

# Who may: one table, each line a role and whether it may deliver.
$node->safe_psql('postgres', q{
	CREATE ROLE gateway LOGIN;
	CREATE ROLE gateway_member LOGIN IN ROLE gateway;
	CREATE ROLE gateway_noinherit LOGIN NOINHERIT IN ROLE gateway;
	CREATE ROLE admin_all LOGIN;
	CREATE ROLE op_all LOGIN;
	CREATE ROLE viewer_all LOGIN;
	CREATE ROLE nobody_special LOGIN;
	CREATE ROLE boss LOGIN SUPERUSER;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('gateway', 'gateway', '{*}', '{*}', '{*}', '{*}'),
		('admin_all', 'admin', '{*}', '{*}', '{*}', '{*}'),
		('op_all', 'operator', '{*}', '{*}', '{*}', '{*}'),
		('viewer_all', 'viewer', '{*}', '{*}', '{*}', '{*}');
	SELECT count(make_record('r-' || i, at => '2026-01-01'::timestamptz + i * interval '1 s',
		metadata => CASE WHEN i % 10 = 0 THEN jsonb_build_object('__fingerprint', 'f' || i % 70) ELSE '{}' END)) FROM generate_series(1, 2000) AS i;
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
});
my @calls = (
	[ 'acteon_outbox_claim()',   q{SELECT count(*) FROM acteon_outbox_claim('x', 1, '1 ms')} ],
	[ 'acteon_outbox_ack()',     q{SELECT acteon_outbox_ack('{0}', '{0}', '{null}')} ],
	[ 'acteon_outbox_nack()',    q{SELECT acteon_outbox_nack('{0}', '{0}', '{null}')} ],
	[ 'acteon_outbox_reject()',  q{SELECT acteon_outbox_reject('{0}', '{0}', '{null}')} ],
	[ 'acteon_outbox_doubt()',   q{SELECT acteon_outbox_doubt('{0}', '{0}', '{null}')} ],
	[ 'acteon_outbox_sleep()',   q{SELECT acteon_outbox_sleep(true)} ],
	[ 'acteon_outbox_extend()',  q{SELECT acteon_outbox_extend('{0}', '1 s')} ],
	[ 'acteon_outbox_redrive()', q{SELECT acteon_outbox_redrive()} ],
	[ 'acteon_outbox_purge()',   q{SELECT acteon_outbox_purge('1 day')} ],
	[ 'acteon_outbox_check()',   q{SELECT acteon_outbox_check()} ],
	[ 'acteon_outbox_stats',     q{SELECT * FROM acteon_outbox_stats} ]);
my @matrix = (
	[ 'boss',              'ok' ],
	[ 'gateway',           'ok' ],
	[ 'gateway_member',    'ok' ],
	[ 'gateway_noinherit', 'refused' ],
	[ 'admin_all',         'refused' ],
	[ 'op_all',            'refused' ],
	[ 'viewer_all',        'refused' ],
	[ 'nobody_special',    'refused' ]);
foreach my $line (@matrix)
{
	my ($user, $wanted) = @$line;

	foreach my $call (@calls)
	{
		is(fails_with($node, $call->[1], connstr => $node->connstr('postgres') . " user=$user"),
			$wanted eq 'ok' ? 'done' : "42501: insufficient permissions: $call->[0] requires gateway role", "$call->[0] by $user: $wanted");
	}
	is(fails_with($node, 'SELECT * FROM acteon_dispatch_segment', connstr => $node->connstr('postgres') . " user=$user"),
		$user eq 'boss' ? 'done' : '42501: permission denied for table acteon_dispatch_segment', "nobody reads the segments: $user");
}
$node->safe_psql('postgres', q{UPDATE acteon_dispatch_segment SET attempt = 0, lease_token = NULL, holder = NULL, doubt_since = NULL, doubt = NULL, due_at = now()});
check_is_empty($node, 'before all');

# Everything about the queue, to compare.
my $everything = q{
	SELECT first_id, last_id, due_at, attempt, lease_token, holder, resend, sent_at, id_refused, unproven, doubt_since, doubt, held FROM acteon_dispatch_segment ORDER BY 1;
	SELECT * FROM acteon_dispatch_delivery ORDER BY 1;
};
my $take = q{
	CREATE TABLE IF NOT EXISTS held AS SELECT outbox_id, lease_token FROM acteon_outbox_claim('never', 1) LIMIT 0;
	INSERT INTO held SELECT outbox_id, lease_token FROM acteon_outbox_claim('a', 150, '1 h');
};
$node->safe_psql('postgres', $take);
my @crashes = (
	[ 'a claim', q{SELECT count(*) FROM acteon_outbox_claim('b', 250, '1 h')} ],
	[ 'an extend', q{SELECT acteon_outbox_extend(array_agg(DISTINCT lease_token), '5 h') FROM held} ],
	[ 'an ack', q{SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{}'::jsonb)) FROM held WHERE outbox_id % 2 = 0} ],
	[ 'a doubt', q{SELECT acteon_outbox_doubt(array_agg(outbox_id), array_agg(lease_token), array_agg('x'::text)) FROM held WHERE outbox_id % 2 = 1 AND outbox_id < 20} ],
	[ 'a nack', q{SELECT acteon_outbox_nack(array_agg(outbox_id), array_agg(lease_token), array_agg('x'::text)) FROM held} ]);
foreach my $crash (@crashes)
{
	my ($what, $statement) = @$crash;
	my $before = $node->safe_psql('postgres', $everything);

	foreach my $how ('an immediate stop', 'a SIGKILL')
	{
		my $session = $node->background_psql('postgres', on_error_stop => 0);
		my $pid = $session->query_safe('SELECT pg_backend_pid()');

		$session->query_safe('BEGIN');
		$session->query_safe($statement);
		if ($how eq 'a SIGKILL')
		{
			crash($node, $pid);
		}
		else
		{
			$node->stop('immediate');
			$node->start;
		}
		eval { $session->quit };
		is($node->safe_psql('postgres', $everything), $before, "$how in the middle of $what leaves nothing of it");
	}
	$node->safe_psql('postgres', $statement);
	check_is_empty($node, "after $what");
	$node->stop('immediate');
	$node->start;
	isnt($node->safe_psql('postgres', $everything), $before, "$what that was committed survives a crash");
	check_is_empty($node, "after $what and a crash");
}

# A dump in the middle of leases, restored elsewhere: the same queue.
my $dump = $node->basedir . '/dump';
my $before = $node->safe_psql('postgres', $everything);
system_or_bail('pg_dump', '-F', 'custom', '-f', $dump, '-d', $node->connstr('postgres'));
$node->safe_psql('postgres', 'CREATE DATABASE restored');
system_or_bail('pg_restore', '-d', $node->connstr('restored'), $dump);
is($node->safe_psql('restored', $everything), $before, 'a restored dump has the queue with its leases');
check_is_empty($node, 'restored', 'restored');
# As if it were the same database: else what may have been sent is looked up first.
$node->safe_psql('restored', q{
	UPDATE acteon_replay_installation SET database = (SELECT oid FROM pg_database WHERE datname = current_database());
	UPDATE acteon_dispatch_segment SET due_at = now()});
is($node->safe_psql('restored', q{SELECT count(*) FROM acteon_outbox_claim('r', 5000)}),
	$node->safe_psql('restored', q{SELECT sum(last_id - first_id + 1) FROM acteon_dispatch_segment WHERE holder = 'r'}), '… and it can be claimed');

# A standby shows the stats; after a failover that lost a claim, its token counts for nothing.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is(fails_with($standby, q{SELECT acteon_outbox_claim('x')}), '25006: cannot execute acteon_outbox_claim() during recovery', 'no claim on a standby');
is($standby->safe_psql('postgres', 'SELECT depth FROM acteon_outbox_stats'), $node->safe_psql('postgres', 'SELECT depth FROM acteon_outbox_stats'), 'stats on a standby');
check_is_empty($standby, 'on a standby');
$standby->stop('immediate');
my $lost = $node->safe_psql('postgres', q{SELECT outbox_id, lease_token, action_id FROM acteon_outbox_claim('lost', 1, '1 h')});
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
$standby->start;
$standby->promote;
my ($id, $token, $action_id) = split /\|/, $lost;
is($standby->safe_psql('postgres', "SELECT acteon_outbox_nack('{$id}', '{$token}', '{late}')"), '(0,0)', 'a nack of the lost lease changes nothing');
is($standby->safe_psql('postgres', "SELECT acteon_outbox_extend('{$token}', '1 h')"), '{}', '… nor is it held');
is($standby->safe_psql('postgres', "SELECT acteon_outbox_ack('{$id}', '{$token}', '{null}')"), '0', 'its token proves nothing');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM acteon_outbox_claim('new', 10000, '1 h')}), '0', 'nothing goes out before it was looked up');
is($standby->safe_psql('postgres', "SELECT doubt LIKE 'the database was promoted%' FROM acteon_dispatch_segment WHERE $id BETWEEN first_id AND last_id"), 't', 'what was claimed on the lost server is in doubt');
is($standby->safe_psql('postgres', "SELECT acteon_outbox_ack('{$id}', '{$token}', ARRAY['{\"Executed\": {\"status\": \"success\"}}'::jsonb], '{$action_id}')"), '1', 'an ack that names the id is recorded: the action was delivered');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM acteon_replay_log WHERE event = 'failover'}), '1', 'the failover is logged');
# Numbers that were given out on the lost server are not given out again.
is($standby->safe_psql('postgres', q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 10)}), '10', 'replays after the failover');
is($standby->safe_psql('postgres', q{SELECT min(id) > 10000000 FROM acteon_dispatch_outbox WHERE batch_id = (SELECT max(id) FROM acteon_replay_batch)}), 't', 'get numbers far behind');
check_is_empty($standby, 'after the failover');
$standby->stop;

# Many clients doing everything at random, with leases that run out under them.
$node->safe_psql('postgres', q{
	UPDATE acteon_dispatch_segment SET due_at = now() WHERE doubt_since IS NULL;
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
	-- Half of what happens would open a circuit breaker.
	UPDATE acteon_replay_batch SET breaker_window = NULL;
	-- Every action that was ever handed out, to find whether two held one at a time.
	CREATE UNLOGGED TABLE seen (outbox_id bigint, token bigint, body text, action_id uuid, at timestamptz DEFAULT clock_timestamp());
	-- Those that a consumer has sent and never answered about.
	CREATE UNLOGGED TABLE died (action_id uuid, at timestamptz DEFAULT clock_timestamp());
	CREATE FUNCTION step(choice integer) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		ids bigint[];
		tokens bigint[];
		sent uuid[];
	BEGIN
		WITH got AS (SELECT * FROM acteon_outbox_claim('c' || choice, 1 + choice % 37, make_interval(secs => (choice % 7) * 0.005 + 0.001))),
			noted AS (INSERT INTO seen SELECT outbox_id, lease_token, (action::jsonb - 'id')::text, action_id FROM got)
		SELECT array_agg(outbox_id), array_agg(lease_token), array_agg(action_id) INTO ids, tokens, sent FROM got;
		IF ids IS NULL THEN
			RETURN;
		END IF;
		PERFORM pg_sleep((choice % 5) * 0.002);
		CASE choice % 11
			WHEN 0 THEN PERFORM acteon_outbox_nack(ids, tokens, array_fill('no'::text, ARRAY[cardinality(ids)]), array_fill('1 ms'::interval, ARRAY[cardinality(ids)]));
			WHEN 1 THEN PERFORM acteon_outbox_nack(ids[2:], tokens[2:], array_fill(NULL::text, ARRAY[cardinality(ids) - 1])) WHERE cardinality(ids) > 1;
			WHEN 2 THEN PERFORM acteon_outbox_reject(ids[1:1], tokens[1:1], '{bad}');
			WHEN 3 THEN PERFORM acteon_outbox_extend(tokens, '10 ms');
			WHEN 4 THEN PERFORM acteon_outbox_redrive(max_actions => 20);
			WHEN 5 THEN INSERT INTO died SELECT unnest(sent);
			WHEN 6 THEN PERFORM acteon_outbox_doubt(ids, tokens, array_fill('no answer'::text, ARRAY[cardinality(ids)]), sent);
			WHEN 7 THEN PERFORM acteon_outbox_ack(ids, tokens, array_fill((ARRAY['{"Throttled": {}}', '{"AlreadyDispatched": null}']::jsonb[])[1 + choice % 2], ARRAY[cardinality(ids)]), sent);
			WHEN 8 THEN PERFORM acteon_replay_settle(max(id), 'resend', 'stress') FROM acteon_replay_batch;
			ELSE PERFORM acteon_outbox_ack(ids, tokens, array_fill('{}'::jsonb, ARRAY[cardinality(ids)]), sent);
		END CASE;
	END
	$$;
	ALTER SYSTEM SET acteon_replay.max_attempts = 1000;
	SELECT pg_reload_conf();
});
my $script = $node->basedir . '/stress.sql';
append_to_file($script, "\\set choice random(0, 100000)\nSELECT step(:choice);\n");
$node->command_ok([ 'pgbench', '-n', '-c', '8', '-j', '2', '-t', '250', '-f', $script, 'postgres' ], 'eight clients do everything at random');
check_is_empty($node, 'after all that');
is($node->safe_psql('postgres', 'SELECT count(*) FROM (SELECT FROM seen GROUP BY outbox_id HAVING count(DISTINCT body) > 1) AS s'), '0', 'one action has one body, but for its id');
is($node->safe_psql('postgres', 'SELECT count(*) FROM died AS d JOIN seen AS s ON s.action_id = d.action_id AND s.at > d.at'), '0', 'no id is handed out again that was sent and not answered');
$node->safe_psql('postgres', q{UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s'});
$node->safe_psql('postgres', q{
	DO $$
	DECLARE
		n integer;
	BEGIN
		PERFORM acteon_replay_settle(id, 'cancel', 'the end') FROM acteon_replay_batch;
		LOOP
			SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg(NULL::jsonb)) INTO n FROM acteon_outbox_claim('last') HAVING count(*) > 0;
			EXIT WHEN n IS NULL;
			COMMIT;
		END LOOP;
	END$$});
is($node->safe_psql('postgres', q{SELECT depth FROM acteon_outbox_stats}), '0', 'the queue can be emptied');
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_outbox WHERE id NOT IN (SELECT outbox_id FROM acteon_dispatch_delivery)}), '0', 'every action is finished');
check_is_empty($node, 'at the end');

done_testing();
