# Maintenance of the extension's tables: REINDEX, VACUUM FULL, CLUSTER and pg_repack
# wait for calls, and calls for them, and all go on.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Acteon;

my $node = new_server('maintenance', conf => 'max_connections = 30');
my @tables = split /\n/, $node->safe_psql('postgres', q{
	SELECT c.relname FROM pg_class AS c
		JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
		JOIN pg_extension AS x ON x.oid = d.refobjid AND x.extname = 'acteon_replay'
	WHERE c.relkind IN ('r', 'p') ORDER BY c.relname});

# A queue in which every call has something to do: batches that wait, that are paused,
# cancelled and behind their rates; actions that are leased, in doubt, dead, delivered.
my $ack = q{acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {}}'::jsonb))};
my $replay = q{acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true, max_records => 20};
my $batch = '(SELECT max(id) FROM acteon_replay_batch)';
$node->safe_psql('postgres', $_) foreach (
	q{SELECT count(make_record('a' || i, at => '2026-01-01'::timestamptz + i * interval '1 s')) FROM generate_series(1, 40) AS i},
	q{SELECT count(make_record('l' || i, at => now() - interval '1 h' - i * interval '1 s', outcome => 'pending')) FROM generate_series(1, 5) AS i},
	'CREATE ROLE ops',
	q{INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('ops', 'operator', '{*}', '{*}', '{*}', '{*}')},
	q{SELECT make_record('d1', at => '1999-01-01'); SELECT acteon_replay('d1')},
	q{SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('never'::text)) FROM acteon_outbox_claim('x', 5)},
	"SELECT $replay)",
	"SELECT $ack FROM acteon_outbox_claim('x', 5)",
	q{SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('never'::text)) FROM acteon_outbox_claim('x', 5)},
	q{SELECT acteon_outbox_doubt(array_agg(outbox_id), array_agg(lease_token), array_agg('lost'::text)) FROM acteon_outbox_claim('x', 3)},
	q{UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE doubt_since IS NOT NULL},
	q{CREATE TABLE held AS SELECT * FROM acteon_outbox_claim('x', 5, '1 day')},
	"SELECT $replay); SELECT acteon_replay_pause($batch)",
	"SELECT $replay); SELECT acteon_replay_cancel($batch)",
	q{SELECT acteon_replay_trail_link()},
	"SELECT $replay, rate => 0.1, breaker_window => 2, breaker_share => 0.5)",
	"UPDATE acteon_dispatch_segment SET due_at = now() - interval '10 min' WHERE batch_id = (SELECT max(id) FROM acteon_replay_batch)",
	"SELECT $replay)",
	q{SELECT acteon_api_key_create('key', 'ops')},
	q{SET acteon_replay.targets = 'staging'; SELECT acteon_replay('a40', target => 'staging')},
	q{SELECT acteon_replay_policy_set('kept', '{"provider": "sms"}')},
	q{SELECT acteon_replay_limit_set(provider => 'sms', rate => 1)},
	q{CREATE TABLE finished AS SELECT d.outbox_id, o.action_id FROM acteon_dispatch_delivery AS d JOIN acteon_dispatch_outbox AS o ON o.id = d.outbox_id});

# The calls, with arguments that are read beforehand: only what a call itself reads counts.
$batch = $node->safe_psql('postgres', "SELECT $batch");
my $doubtful = $node->safe_psql('postgres', 'SELECT batch_id FROM acteon_dispatch_segment WHERE doubt_since IS NOT NULL LIMIT 1');

my $of_held = 'array_agg(outbox_id), array_agg(lease_token)';
my @calls = (
	[ 'single', q{SELECT acteon_replay('a1')} ],
	[ 'bulk', "SELECT $replay)" ],
	[ 'lost', q{SELECT acteon_replay_bulk(lost => true, from_time => now() - interval '1 day')} ],
	[ 'claim', q{SELECT acteon_outbox_claim('x', 1000)} ],
	[ 'two claims', q{SELECT acteon_outbox_claim('x', 1); SELECT acteon_outbox_claim('x', 1000)} ],
	[ 'ack', "SELECT $ack FROM held" ],
	[ 'late ack', q{SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(1), array_agg('{}'::jsonb), array_agg(action_id)) FROM finished} ],
	[ 'nack', "SELECT acteon_outbox_nack($of_held, array_agg('x'::text)) FROM held" ],
	[ 'reject', "SELECT acteon_outbox_reject($of_held, array_agg('x'::text)) FROM held" ],
	[ 'doubt', "SELECT acteon_outbox_doubt($of_held, array_agg('x'::text)) FROM held" ],
	[ 'extend', q{SELECT acteon_outbox_extend(array_agg(lease_token), '2 h') FROM held} ],
	[ 'redrive', 'SELECT acteon_outbox_redrive()' ],
	[ 'purge', q{SELECT acteon_outbox_purge('0')} ],
	[ 'pause', "SELECT acteon_replay_pause($batch)" ],
	[ 'cancel', "SELECT acteon_replay_cancel($batch)" ],
	[ 'pause all', 'SELECT acteon_replay_pause_all()' ],
	[ 'resume all', 'SELECT acteon_replay_pause_all(); SELECT acteon_replay_resume_all()' ],
	[ 'set_rate', "SELECT acteon_replay_set_rate($batch, 5)" ],
	[ 'settle', "SELECT acteon_replay_settle($doubtful, 'resend', 'seen')" ],
	[ 'a part', "SELECT acteon_replay_pause($batch, tenant => 'acme')" ],
	[ 'set_start', "SELECT acteon_replay_set_start($batch, now() + interval '1 h')" ],
	[ 'hand over', "SELECT acteon_replay_hand_over($batch, 'ops')" ],
	[ 'patch', qq{SELECT acteon_replay_patch($batch, patch => '{"x": 1}')} ],
	[ 'limit', q{SELECT acteon_replay_limit_set(provider => 'email', rate => 1000)} ],
	[ 'breaker', q{SELECT acteon_replay_breaker_close('email')} ],
	[ 'notify', q{SELECT acteon_replay_notify_set('calls', 'chat', 'message', 'prod', 'acme')} ],
	[ 'no more', q{SELECT acteon_replay_notify_set('told', 'chat', 'message', 'prod', 'acme'); SELECT acteon_replay_notify_drop('told')} ],
	[ 'policy', q{SELECT acteon_replay_policy_set('calls', '{"provider": "email"}')} ],
	[ 'policy again', q{SELECT acteon_replay_policy_set('kept', '{"provider": "email"}')} ],
	[ 'policy run', q{SELECT acteon_replay_policy_run()} ],
	[ 'no policy', q{SELECT acteon_replay_policy_drop('kept')} ],
	[ 'elsewhere', "SET LOCAL acteon_replay.targets = 'staging'; SELECT $replay, target => 'staging')" ],
	[ 'claim elsewhere', q{SELECT acteon_outbox_claim('y', 10, target => 'staging', gateway => 'https://staging.example.com')} ],
	[ 'link', q{SELECT acteon_replay_trail_link()} ],
	[ 'verify', q{SELECT acteon_replay_verify()} ],
	[ 'witness', q{SELECT acteon_replay_witness()} ],
	[ 'grants', q{INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('ops', 'viewer', '{acme}', '{*}', '{*}')} ],
	[ 'answers', q{SELECT acteon_api_begin(1, 'k', sha256('a')); SELECT acteon_api_finish(1, 'k', 200, '{}')} ],
	[ 'housekeeping', q{SELECT acteon_api_housekeeping('{1}', '{2030-01-01}')} ],
	[ 'key', q{SELECT acteon_api_key_create('another', 'ops'); SELECT acteon_api_key_revoke('key')} ]);

# Whoever holds an index and asks for the right to write its table meets a REINDEX,
# which holds the table and asks for the index.  So no call may do that: while the
# table is held as REINDEX holds it, a call that waits for it holds none of its indexes.
my $holder = $node->background_psql('postgres');
my $watcher = $node->background_psql('postgres');
my $caller = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $caller->query_safe('SELECT pg_backend_pid()');
my %waits;
sub check_locks
{
	my ($table, $where) = @_;
	my @wrong;

	foreach (@calls)
	{
		my ($name, $sql) = @$_;
		my $state = '';

		$holder->query_safe("BEGIN; LOCK TABLE ONLY $table IN SHARE MODE");
		$caller->{stdin} .= "BEGIN;\nSET LOCAL client_min_messages = error;\n$sql;\nSELECT 'the end';\n";
		$caller->{run}->pump_nb;
		for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
		{
			$caller->{run}->pump_nb;
			$state = $watcher->query_safe("SELECT CASE WHEN EXISTS (SELECT FROM pg_locks WHERE pid = $pid AND NOT granted AND relation = '$table'::regclass) THEN 'waits' WHEN state = 'idle in transaction' AND query LIKE '%the end%' THEN 'done' WHEN state LIKE '%(aborted)' THEN 'failed' ELSE '' END FROM pg_stat_activity WHERE pid = $pid");
			last if $state;
			usleep(5_000);
		}
		if ($state eq 'waits')
		{
			my $held = $watcher->query_safe("SELECT string_agg(indexrelid::regclass::text, ', ') FROM pg_locks AS l JOIN pg_index AS i ON i.indexrelid = l.relation WHERE l.pid = $pid AND l.granted AND i.indrelid = '$table'::regclass");

			push @wrong, "$name holds $held" if $held;
			$waits{"$table$where"}{$name} = 1;
		}
		# It may wait for something else a moment, as for autovacuum; but not for good.
		push @wrong, "$name: $state, waits for " . $watcher->query_safe("SELECT string_agg(concat_ws(' ', locktype, relation::regclass), ', ') FROM pg_locks WHERE pid = $pid AND NOT granted") if $state !~ /^(waits|done)$/;
		$holder->query_safe('ROLLBACK');
		$caller->query('ROLLBACK');
		push @wrong, "$name: $caller->{stderr}" if $caller->{stderr} =~ /ERROR/;
		$caller->{stderr} = '';
	}
	is(join('; ', @wrong), '', "$table: locked before its indexes are read$where");
}
check_locks($_, '') foreach @tables;
# The same where new actions go to another part of the outbox than those are in that calls look for, redrive or, because of
# the reference, purge row by row.
my $last = $node->safe_psql('postgres', 'SELECT last_value FROM acteon_dispatch_outbox_id_seq');
$node->safe_psql('postgres', q{SELECT setval('acteon_dispatch_outbox_id_seq', 3000000000001); CREATE TABLE incident (action bigint REFERENCES acteon_dispatch_outbox)});
check_locks($_, ', of another part') foreach qw(acteon_dispatch_outbox acteon_dispatch_delivery);
$node->safe_psql('postgres', "DROP TABLE incident; SELECT setval('acteon_dispatch_outbox_id_seq', $last)");
$_->quit foreach $holder, $watcher, $caller;
# So that the above is not about nothing.
is(join(' ', map { $waits{acteon_dispatch_segment}{$_} // 0 } qw(single bulk claim ack nack reject doubt extend redrive purge pause cancel settle)), join(' ', (1) x 13),
	'segments: these calls write them');
is(join(' ', map { $waits{acteon_dispatch_outbox}{$_} // 0 } qw(single bulk purge claim ack)), '1 1 1 0 0', 'outbox: replays and purges write it, claims and acks do not');

is(join(' ', map { $waits{'acteon_dispatch_delivery, of another part'}{$_} // 0 } qw(ack reject redrive purge bulk)), '1 1 1 1 0', 'deliveries of another part: these write them, replays do not');

# All of it under load.
$node->safe_psql('postgres', q{
	CREATE TABLE stop (now boolean);
	INSERT INTO stop VALUES (false);
	CREATE PROCEDURE deliver() LANGUAGE plpgsql AS $$
	DECLARE
		ids bigint[];
		tokens bigint[];
		n integer := 0;
	BEGIN
		WHILE NOT (SELECT now FROM public.stop) LOOP
			SELECT array_agg(outbox_id), array_agg(lease_token) INTO ids, tokens FROM acteon_outbox_claim('x', 20);
			COMMIT;
			n := n + 1;
			IF ids IS NOT NULL AND n % 10 = 0 THEN
				PERFORM acteon_outbox_nack(ids, tokens, array_fill('no'::text, ARRAY[cardinality(ids)]), array_fill('0'::interval, ARRAY[cardinality(ids)]));
			ELSIF ids IS NOT NULL THEN
				PERFORM acteon_outbox_ack(ids, tokens, array_fill('{"Executed": {}}'::jsonb, ARRAY[cardinality(ids)]));
			END IF;
			COMMIT;
		END LOOP;
	END
	$$;
	CREATE PROCEDURE replay() LANGUAGE plpgsql AS $$
	DECLARE
		n integer := 0;
	BEGIN
		WHILE NOT (SELECT now FROM public.stop) LOOP
			n := n % 40 + 1;
			PERFORM acteon_replay('a' || n);
			COMMIT;
		END LOOP;
	END
	$$;
	CREATE PROCEDURE steer() LANGUAGE plpgsql AS $$
	DECLARE
		b bigint;
	BEGIN
		WHILE NOT (SELECT now FROM public.stop) LOOP
			SELECT batch_id INTO b FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true, max_records => 30);
			COMMIT;
			CONTINUE WHEN b IS NULL; -- another had all of them at the same moment
			PERFORM acteon_replay_pause(b);
			COMMIT;
			PERFORM acteon_replay_set_rate(b, 1000);
			COMMIT;
			PERFORM acteon_replay_resume(b);
			COMMIT;
			PERFORM acteon_replay_cancel(b);
			COMMIT;
		END LOOP;
	END
	$$;
	CREATE PROCEDURE keep() LANGUAGE plpgsql AS $$
	DECLARE
		n integer := 0;
	BEGIN
		WHILE NOT (SELECT now FROM public.stop) LOOP
			n := n + 1;
			PERFORM acteon_outbox_purge('0', 200);
			COMMIT;
			PERFORM acteon_outbox_redrive();
			COMMIT;
			PERFORM acteon_api_begin(1, n::text, sha256('a'));
			PERFORM acteon_api_finish(1, n::text, 200, '{}');
			COMMIT;
			PERFORM acteon_api_key_create('k' || n, 'ops');
			COMMIT;
			PERFORM acteon_api_housekeeping(ARRAY[n], ARRAY[now()]);
			PERFORM acteon_api_key_revoke('k' || n);
			COMMIT;
		END LOOP;
	END
	$$});
my @workers;
foreach my $procedure (qw(deliver deliver replay steer keep))
{
	my %worker = (name => $procedure, err => '');

	$worker{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
			'-c', 'SET client_min_messages = error', '-c', "CALL $procedure()" ], '>', \my $out, '2>', \$worker{err});
	push @workers, \%worker;
}

chomp(my $bindir = `pg_config --bindir`);
chomp(my $pkglibdir = `pg_config --pkglibdir`);
my $repack = -x "$bindir/pg_repack" && -e "$pkglibdir/pg_repack.so";
$node->safe_psql('postgres', $repack ? 'CREATE EXTENSION pg_repack' : q{
	CREATE TABLE copied (table_name name, rows jsonb[]);
	CREATE TABLE changes (old jsonb, new jsonb);
	CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	BEGIN
		INSERT INTO public.changes VALUES (to_jsonb(OLD), to_jsonb(NEW));
		RETURN NULL;
	END
	$$});

# What pg_repack does to a table; or, where there is none, its locks and its trigger, by
# which a copy of the table follows it.
sub repack
{
	my ($table) = @_;

	if ($repack)
	{
		my $file = "SELECT pg_relation_filenode('$table')";
		my $before = $node->safe_psql('postgres', $file);
		my ($done, $said);

		# It waits for the lock with statement_timeout, in a loop; the time can run out in the
		# statement behind, and then it gives up.
		for (1 .. 10)
		{
			$said = '';
			$done = IPC::Run::run([ "$bindir/pg_repack", '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-t', "public.$table", '--no-kill-backend' ], '>&', \$said);
			last if $done || $said !~ /statement timeout/;
		}
		return $done && $node->safe_psql('postgres', $file) ne $before ? '' : "pg_repack of $table: $said";
	}
	$node->safe_psql('postgres', "BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE; TRUNCATE changes, copied;
		CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON $table FOR EACH ROW EXECUTE FUNCTION note_change();
		ALTER TABLE $table ENABLE ALWAYS TRIGGER note_change; INSERT INTO copied SELECT '$table', array_agg(to_jsonb(t)) FROM $table AS t; COMMIT");
	usleep(200_000);
	return $node->safe_psql('postgres', "BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE; DROP TRIGGER note_change ON $table;
		SELECT '$table differs: ' || line::text FROM (
			SELECT line, 1 AS n FROM copied, unnest(rows) AS line
			UNION ALL SELECT new, 1 FROM changes WHERE new IS NOT NULL UNION ALL SELECT old, -1 FROM changes WHERE old IS NOT NULL
			UNION ALL SELECT to_jsonb(t), -1 FROM $table AS t) AS x GROUP BY line HAVING sum(n) <> 0; COMMIT");
}

foreach my $table (@tables)
{
	my ($key) = $node->safe_psql('postgres', "SELECT indexrelid::regclass FROM pg_index WHERE indrelid = '$table'::regclass AND indisprimary");
	my @wrong;

	foreach my $command ("VACUUM FULL $table", "CLUSTER $table USING $key", "REINDEX TABLE $table", "REINDEX INDEX $key", "REINDEX TABLE CONCURRENTLY $table", "VACUUM $table", "ANALYZE $table")
	{
		my ($status, $out, $err) = $node->psql('postgres', $command);

		push @wrong, "$command: $err" if $status != 0;
	}
	push @wrong, grep { $_ } repack($table);
	is(join("\n", @wrong), '', "$table: is maintained under load");
	is(join("\n", map { $_->{run}->pumpable ? () : "$_->{name} has ended: $_->{err}" } @workers), '', '… which goes on');
}
$node->safe_psql('postgres', 'UPDATE stop SET now = true');
foreach my $worker (@workers)
{
	IPC::Run::finish($worker->{run});
	is($worker->{err}, '', "$worker->{name} went well");
}
note('replayed under load: ' . $node->safe_psql('postgres', 'SELECT count(*) FROM acteon_replay_batch'));
is($node->safe_psql('postgres', 'SELECT * FROM acteon_outbox_check()'), '', 'nothing is wrong with the queue');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_index WHERE NOT indisvalid'), 0, 'no index was left invalid');

done_testing();
