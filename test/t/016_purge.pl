# Purging a large outbox: whole parts of it go at once, at next to no cost, without a lock that anybody waits for; what
# must stay stays, and what is purged leaves the same behind as a small purge does.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

# Lock waits are logged at once.
my $node = new_server('purge', conf => "fsync = off\nautovacuum = off\nlog_lock_waits = on\ndeadlock_timeout = 50ms\n");
my $range = 1_000_000_000_000;
my $actions = 30_000;

sub sql
{
	return $node->safe_psql('postgres', shift);
}

# Lets new actions go to the range n of ids, as the extension does when a part is large.
sub turn
{
	my ($n) = @_;

	sql("SELECT setval('acteon_dispatch_outbox_id_seq', $n * $range + 1)");
}

# Enqueues and delivers a batch of so many actions, which finished so many days ago.
sub deliver
{
	my ($name, $count, $days) = @_;

	sql('DELETE FROM acteon_audit');
	sql(qq{SELECT count(make_record('$name-' || n, payload => jsonb_build_object('text', repeat(md5(n::text), 10)))) FROM generate_series(1, $count) AS n});
	sql(qq{CALL acteon_replay_all(canary => 'off', from_time => '2000-01-01', chunk => 10000, breaker_window => 0)});
	sql(qq{
		DO \$\$
		BEGIN
			LOOP
				PERFORM acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb), array_agg(action_id)) FROM acteon_outbox_claim('one', 1000) HAVING count(*) > 0;
				EXIT WHEN NOT FOUND;
			END LOOP;
		END
		\$\$;
		UPDATE acteon_dispatch_delivery SET finished_at = finished_at - interval '$days days' WHERE outbox_id IN (SELECT id FROM acteon_dispatch_outbox WHERE original_action_id LIKE '$name-%');
		UPDATE acteon_replay_tally SET finished_at = finished_at - interval '$days days' WHERE batch_id = (SELECT max(id) FROM acteon_replay_batch)});
}

sub check_is_empty
{
	my ($name) = @_;

	is(sql('SELECT * FROM acteon_outbox_check()'), '', "no violations: $name");
}

# What a purge leaves, the same whether the actions were in one part or in several.
my $states = q{SELECT batch_id, state, replayed, waiting, delivered, dead, progress, delivered_by FROM acteon_replay_batches WHERE batch_id < 3 ORDER BY 1};

turn(1);
deliver('old', $actions, 100);
is(sql("SELECT min(id) > $range, max(id) < 2::bigint * $range, count(*) FROM acteon_dispatch_outbox"), "t|t|$actions", 'the actions are in the part of their range');
is(sql('SELECT count(*) FROM acteon_dispatch_outbox_1'), $actions, '… which is a table of its own');
is(sql('SELECT count(*) FROM acteon_dispatch_delivery_1'), $actions, '… as their deliveries');
# Three that are not finished, two of which wait for ever, and two that have just been delivered.
sql(q{SELECT make_record('late-' || n) FROM generate_series(1, 5) AS n});
sql(q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01')});
sql(q{SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb)) FROM acteon_outbox_claim('one', 2)});
sql(q{SELECT acteon_replay_pause(2)});
turn(2);
deliver('new', 1000, 1);
turn(3);

my $before = sql($states);
my $late = q{SELECT o.id, o.action_id, o.payload, d.state, d.outcome, s.first_id FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
	LEFT JOIN acteon_dispatch_segment AS s ON o.id BETWEEN s.first_id AND s.last_id WHERE o.original_action_id LIKE 'late-%' ORDER BY o.id};
my $late_before = sql($late);
my $size = q{SELECT pg_total_relation_size('acteon_dispatch_outbox_1') + pg_total_relation_size('acteon_dispatch_delivery_1')};
my $size_before = sql($size);
my ($steps, $id) = split(/\|/, sql(q{SELECT count(*), min(id) FROM acteon_replay_lineage('old-1') WHERE generation > 0}));
is($steps, 1, 'a lineage before the purge');

# While anybody reads or writes the part, it stays, and nobody waits.
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN');
$reader->query_safe('SELECT count(*) FROM acteon_dispatch_outbox_1');
is(sql(q{SELECT acteon_outbox_purge('90 days')}), 0, 'a part that is in use is left alone');
$reader->query_safe('COMMIT');
is(sql($late), $late_before, '… with all in it');

# While a purge that has emptied a part is not committed, calls that need other parts do not wait.
my $wal = sql('SELECT pg_current_wal_insert_lsn()');
my $purge = $node->background_psql('postgres');
$purge->query_safe('BEGIN');
is($purge->query_safe(q{SELECT acteon_outbox_purge('90 days')}), $actions, 'old actions are purged as a whole');
$node->safe_psql('postgres', q{SET lock_timeout = '100ms'; SELECT make_record('during-1'); SELECT success FROM acteon_replay('during-1');
	SELECT count(acteon_outbox_ack(ARRAY[outbox_id], ARRAY[lease_token], '{NULL}', ARRAY[action_id])) FROM acteon_outbox_claim('two')});
is(sql(q{SELECT count(*) FROM acteon_dispatch_outbox_3}), 1, 'a replay and its delivery do not wait for a purge under way');
$purge->query_safe('COMMIT');
$purge->quit;
is(scalar(() = slurp_file($node->logfile) =~ /still waiting for \w+Lock on relation/g), 0, '… nor does anybody for any lock on a table');
$wal = sql("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$wal')");
cmp_ok($wal, '<', 500_000, 'it writes little WAL');
note "WAL: $wal bytes, of $size_before that were there";
cmp_ok(sql($size), '<', $size_before / 50, 'the space is given back');
is(sql($late), $late_before, 'what is not finished, or not old, stays as it is');
is(sql($states), $before, 'the batches say what they said');
is(sql(q{SELECT count(*) FROM acteon_replay_items(1)}), 0, 'the items of a purged batch are gone');
is(sql(q{SELECT count(*) FROM acteon_replay_lineage('old-1')}), 0, '… and its lineages');
is(sql(q{SELECT count(*) FROM acteon_dispatch_action}), $actions + 1006, '… but not the ids');
check_is_empty('after a purge');

# What is left ends as any, and goes on.
sql(q{SELECT make_record('old-1')});
sql(q{SELECT acteon_replay_resume(2)});
is(sql(q{SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb)) FROM acteon_outbox_claim('one')}), 3, 'what was not finished is handed out');
is(sql(q{SELECT state, delivered FROM acteon_replay_batches WHERE batch_id = 2}), 'finished|5', '… and ends');
is(sql(q{SELECT new_action_id = acteon_replay_id('old-1', 2), new_action_id::text <> '} . $id . q{' FROM acteon_replay('old-1')}), 't|t', 'a purged action is replayed under another id');
is(sql(q{SELECT count(*) FROM acteon_replay_lineage('old-1') WHERE generation > 0}), 1, '… and has a lineage again');
check_is_empty('after more replays');

# Many that are not finished: the part is thinned, row by row.
turn(5);
deliver('held', 3000, 100);
sql('DELETE FROM acteon_audit');
sql(q{SELECT count(make_record('wait-' || n)) FROM generate_series(1, 1500) AS n});
sql(q{CALL acteon_replay_all(canary => 'off', from_time => '2000-01-01', breaker_window => 0, start_at => '2100-01-01')});
turn(6);
is(sql(q{SELECT acteon_outbox_purge('90 days')}), 3000, 'a part with many unfinished actions is purged, too');
is(sql(q{SELECT count(*), (SELECT sum(last_id - first_id + 1) FROM acteon_dispatch_segment) FROM acteon_dispatch_outbox_5}), '1500|1500', '… with these left');
check_is_empty('after thinning');

# The tally of batches that have ended is folded, from where the last purge ended.
sql(q{
	INSERT INTO acteon_replay_batch (id, created_at, requested_by, requested_by_oid, session_role, query, replayed, failed, skipped, scope, first_outbox_id, last_outbox_id)
	SELECT n, now(), current_user, oid, session_user, '{}', 50, 0, 0, '[]', 1, 50 FROM pg_roles, generate_series(1001, 3000) AS n WHERE rolname = current_user;
	INSERT INTO acteon_replay_tally (batch_id, finished_at, state, outcome, effect, actions)
	SELECT b, now() - interval '100 days', CASE WHEN n > 40 THEN 'dead' ELSE 'delivered' END, CASE WHEN n <= 40 THEN 'Executed' END, CASE WHEN n <= 40 THEN 'done' END, 1
	FROM generate_series(1001, 3000) AS b, generate_series(1, 50) AS n;
	SELECT setval('acteon_replay_batch_id_seq', 3000);
	UPDATE acteon_replay_tally SET finished_at = now() WHERE batch_id = 2500;
	DELETE FROM acteon_dispatch_segment; DELETE FROM acteon_dispatch_outbox WHERE original_action_id LIKE 'wait-%';
	CALL forget_trail();
	DELETE FROM acteon_replay_batch WHERE id = (SELECT max(id) FROM acteon_replay_batch WHERE id < 1000);
	UPDATE acteon_replay_tally SET finished_at = now() - interval '100 days' WHERE batch_id < 1000});
my $tally = q{SELECT count(*), sum(actions), count(DISTINCT batch_id) FROM acteon_replay_tally WHERE batch_id > 1000};
is(sql(q{SELECT acteon_outbox_purge('90 days')}), 0, 'a purge that deletes nothing');
is(sql($tally), (1999 * 2 + 50) . '|100000|2000', '… makes one row of a kind of the old ones in the tally');
is(sql('SELECT folded_batch FROM acteon_replay_installation'), 2499, '… and notes where all is folded');
sql(q{INSERT INTO acteon_replay_tally (batch_id, finished_at, state, actions) SELECT b, now() - interval '100 days', 'dead', n FROM unnest('{2000,2700}'::bigint[]) AS b, unnest('{-1,1}'::int[]) AS n});
is(sql(q{SELECT acteon_outbox_purge('90 days')}), 0, 'the next purge');
is(sql($tally), (1999 * 2 + 50 + 2) . '|100000|2000', '… begins there');
check_is_empty('after folding');

# Replays, claims and answers while parts are left and purged all the time.
sql(q{DELETE FROM acteon_audit; SELECT count(make_record('load-' || n)) FROM generate_series(1, 600) AS n});
my $output = '';
my @loads = map {
	IPC::Run::start([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', qq{
		DO \$\$
		BEGIN
			FOR n IN 1 .. 300 LOOP
				PERFORM acteon_replay('load-' || (2 * n - $_));
				COMMIT;
				IF n % 50 <> 0 THEN
					PERFORM acteon_outbox_ack(ARRAY[outbox_id], ARRAY[lease_token], '{NULL}', ARRAY[action_id]) FROM acteon_outbox_claim('load $_', 3);
					COMMIT;
				END IF;
			END LOOP;
		END
		\$\$} ], '>', '/dev/null', '2>', \$output)
} 0, 1;
for (my $n = 7; $loads[0]->pumpable || $loads[1]->pumpable; $n++)
{
	turn($n);
	sql(q{SELECT acteon_outbox_purge('0')});
	$_->pumpable && $_->pump_nb foreach @loads;
}
ok($_->finish, 'replays, claims and answers succeed beside purges') foreach @loads;
is($output, '', '… without a word');
sql(q{DO $$
	BEGIN
		LOOP
			PERFORM acteon_outbox_ack(ARRAY[outbox_id], ARRAY[lease_token], '{NULL}', ARRAY[action_id]) FROM acteon_outbox_claim('load', 100);
			EXIT WHEN NOT FOUND;
		END LOOP;
	END
	$$});
is(sql(q{SELECT sum(replayed), sum(delivered), sum(waiting + in_flight + in_doubt) FROM acteon_replay_batches WHERE query ->> 'action_id' LIKE 'load-%'}), '600|600|0', '… and each is delivered once');
turn(100);
sql(q{SELECT acteon_outbox_purge('0')});
is(sql(q{SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id LIKE 'load-%'}), 0, '… and purged in the end');
check_is_empty('after purges under load');
sql(q{SELECT make_record('last-' || n) FROM generate_series(1, 5) AS n; SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 3)});

# Restored, the parts are what they were.
my $dump = "$PostgreSQL::Test::Utils::tmp_check/purge.sql";
my $rows = q{SELECT count(*), count(DISTINCT tableoid), sum(hashtext(o::text)) FROM acteon_dispatch_outbox AS o};
$node->command_ok([ 'pg_dump', '--file', $dump, $node->connstr('postgres') ], 'it can be dumped');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], '… and restored');
is($node->safe_psql('restored', $rows), sql($rows), '… with each row in its part');
is($node->safe_psql('restored', 'SELECT * FROM acteon_outbox_check()'), '', '… and no violations');

# A table that others refer to, or that a publication has without its parts, is not left.
sql('CREATE TABLE incident (action bigint REFERENCES acteon_dispatch_outbox (id))');
sql(q{UPDATE acteon_replay_installation SET server = 'x/1'});
sql(q{SELECT make_record('referred-1'); SELECT success FROM acteon_replay('referred-1')});
is(sql(q{INSERT INTO incident SELECT id FROM acteon_dispatch_outbox WHERE original_action_id = 'referred-1' RETURNING action % (16 * } . $range . q{) < } . $range), 't', 'rows that others refer to go to the table itself');
check_is_empty('with a reference');

is(scalar(() = slurp_file($node->logfile) =~ /still waiting for AccessExclusiveLock on relation|deadlock detected/g), 0, 'no purge has waited for a lock on a table');

$node->stop;
done_testing();
