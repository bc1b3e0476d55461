# Large and partitioned audit tables: a single replay reads the newest partitions until it has found the record, the
# one that a plain table gives, and locks what it reads; records of one time, partitions without the index of the others and tables without an index are read
# ahead once, not once a page; and what is replayed is the same as on a plain table, each record once and in order.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $node = new_server('partitions', conf => "fsync = off\nautovacuum = off\nmax_wal_size = 4GB\nmax_locks_per_transaction = 512\n");

$node->safe_psql('postgres', q{
	CREATE TABLE plain (LIKE acteon_audit INCLUDING ALL);
	ALTER TABLE acteon_audit RENAME TO kept_audit;
	CREATE FUNCTION empty_outbox() RETURNS void LANGUAGE sql AS $$
		TRUNCATE acteon_replay_batch, acteon_replay_refused, acteon_dispatch_outbox, acteon_dispatch_segment, acteon_dispatch_delivery, acteon_replay_tally, acteon_dispatch_action $$;
	-- 120 days, the last twenty of them in the future
	CREATE TABLE acteon_audit (LIKE kept_audit INCLUDING DEFAULTS) PARTITION BY RANGE (dispatched_at);
	SELECT format('CREATE TABLE day_%s PARTITION OF acteon_audit FOR VALUES FROM (%L) TO (%L)', 120 - n,
		date_trunc('day', now()) + (20 - n) * interval '1 day', date_trunc('day', now()) + (21 - n) * interval '1 day') FROM generate_series(1, 120) AS n \gexec
	ALTER TABLE acteon_audit ADD PRIMARY KEY (id, dispatched_at);
	CREATE INDEX audit_outcome ON acteon_audit (outcome, dispatched_at DESC);
	CREATE INDEX ON acteon_audit (action_id);});

# The time so many days ago, and a record of then.
sub days_ago
{
	my ($days) = @_;

	return "date_trunc('day', now()) - interval '$days days' + interval '1 hour'";
}

sub make_record
{
	my ($id, $days, %more) = @_;
	my $options = join('', map { ", $_ => '$more{$_}'" } sort keys %more);

	return $node->safe_psql('postgres', "SELECT make_record('$id', at => " . days_ago($days) . "$options)");
}

# What a statement returns, and how many partitions and indexes of them its transaction has locked then.
sub with_locks
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', qq{
		SET client_min_messages = error;
		BEGIN;
		$sql;
		SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation::regclass::text ~ '^day_';});
}

#
# Single replays.
#

make_record("d$_", $_) foreach 0, 5, 40, 90;
is(with_locks("SELECT success FROM acteon_replay('d$_')"), "t\n1", "a record of $_ days ago: nothing but its partition stays locked") foreach 0, 5, 90;
is(with_locks(qq{SELECT success FROM acteon_replay('d90', from_time => date_trunc('day', now()) - interval '91 days', to_time => date_trunc('day', now()) - interval '89 days')}),
	"t\n1", '… nor within a range of times');
like(fails_with($node, qq{SELECT acteon_replay('d90', from_time => now() - interval '30 days')}), qr/^P0002: no audit record found for action: d90/, 'it is not found where it is not');
like(fails_with($node, qq{SELECT acteon_replay('d90', to_time => now() - interval '99 days')}), qr/^P0002/, '… nor before it');
like(fails_with($node, qq{SELECT acteon_replay('d90', from_time => now(), to_time => now() - interval '1 day')}), qr/^22023: from_time is after to_time/, 'a range has an end');
like(fails_with($node, q{SELECT acteon_replay('nothing')}), qr/^P0002/, 'an action without a record has none in any step');

# The newest record decides, wherever its partition is; between two times, the newest of those.
make_record('twice', 80, outcome => 'failed', provider => 'old');
make_record('twice', 3, outcome => 'failed', provider => 'new', id => 'twice-2');
my $provider = q{SELECT provider FROM acteon_dispatch_outbox ORDER BY id DESC LIMIT 1};
is($node->safe_psql('postgres', "SET client_min_messages = error; SELECT success FROM acteon_replay('twice'); $provider"), "t\nnew", 'of several records the newest counts');
is($node->safe_psql('postgres', "SET client_min_messages = error; SELECT success FROM acteon_replay('twice', to_time => now() - interval '10 days'); $provider"), "t\nold", '… of the range');
# The bound itself belongs to the range, whichever partition it begins.
$node->safe_psql('postgres', q{SELECT make_record('bound', at => date_trunc('day', now()) - interval '50 days')});
is($node->safe_psql('postgres', q{SELECT success FROM acteon_replay('bound')}), 't', 'a record at the bound of a partition is found');
is($node->safe_psql('postgres', q{SET client_min_messages = error; SELECT success FROM acteon_replay('bound', from_time => date_trunc('day', now()) - interval '50 days', to_time => date_trunc('day', now()) - interval '50 days')}),
	't', '… also by this time alone');

# Partitions are opened when their turn comes, from the newest on. Day 100 is today.
{
	my $locker = $node->background_psql('postgres');
	$locker->query_safe('BEGIN; LOCK TABLE day_94 IN ACCESS EXCLUSIVE MODE');
	is($node->safe_psql('postgres', q{SET lock_timeout = '20s'; SELECT success FROM acteon_replay('d5')}), 't', 'a partition that is older than the record is not opened');
	like(fails_with($node, q{SET lock_timeout = '10ms'; SELECT acteon_replay('d40')}), qr/^55P03/, '… and a newer one is');
	is($node->safe_psql('postgres', q{SET lock_timeout = '20s'; SELECT success FROM acteon_replay('d40', to_time => now() - interval '20 days')}), 't', '… unless it lies outside of the range');
	$locker->query_safe('ROLLBACK');
	$locker->quit;
}

# A partition that is being detached is there for older snapshots only; one that is being attached is not there yet.
{
	my ($older, $changer) = map { $node->background_psql('postgres') } 1 .. 2;
	$older->query_safe('SET client_min_messages = error; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM acteon_audit');
	$changer->query_until(qr/begun/, qq{\\echo begun\nALTER TABLE acteon_audit DETACH PARTITION day_60 CONCURRENTLY;\n});
	ok($node->poll_query_until('postgres', q{SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = 'day_60'::regclass}), 'a partition is being detached');
	like(fails_with($node, q{SELECT acteon_replay('d40')}), qr/^P0002/, 'a record in a partition that is being detached is not found');
	is($older->query_safe(q{SELECT success FROM acteon_replay('d40')}), 't', '… except with an older snapshot');
	$older->query_safe('ROLLBACK');
	$older->quit;
	my $bounds = q{FOR VALUES FROM (date_trunc('day', now()) - interval '40 days') TO (date_trunc('day', now()) - interval '39 days')};
	$changer->query_safe("BEGIN; ALTER TABLE acteon_audit ATTACH PARTITION day_60 $bounds");
	like(fails_with($node, q{SET lock_timeout = '20s'; SELECT acteon_replay('d40')}), qr/^P0002/, 'one that is being attached is neither searched nor waited for');
	$changer->query_safe('COMMIT');
	is($node->safe_psql('postgres', q{SELECT success FROM acteon_replay('d40')}), 't', '… and then it is searched');
	$changer->quit;
}

# The owner's rights on the table count, not those on its partitions, and so do its policies.
$node->safe_psql('postgres', 'CREATE ROLE keeper; ALTER TABLE acteon_audit OWNER TO keeper; ALTER TABLE day_10 ENABLE ROW LEVEL SECURITY');
is($node->safe_psql('postgres', q{SELECT success FROM acteon_replay('d90')}), 't', 'the owner of the table need not be that of its partitions');
$node->safe_psql('postgres', q{CREATE POLICY none ON acteon_audit USING (false); ALTER TABLE acteon_audit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY});
like(fails_with($node, q{SELECT acteon_replay('d90')}), qr/^P0002/, 'policies that hold for the owner are obeyed');
$node->safe_psql('postgres', 'ALTER TABLE acteon_audit DISABLE ROW LEVEL SECURITY, OWNER TO CURRENT_USER; ALTER TABLE day_10 DISABLE ROW LEVEL SECURITY');

# A chain begins before the range, and is replayed from there.
make_record('chain', 60, outcome => 'chain_started', chain_id => 'c', provider => 'start');
make_record('chain', 1, outcome => 'chain_step_failed', chain_id => 'c', provider => 'step');
is($node->safe_psql('postgres', "SET client_min_messages = error; SELECT success FROM acteon_replay('chain', from_time => now() - interval '10 days'); $provider"), "t\nstart", 'a chain is replayed from its start, which may be older than the range');
$node->safe_psql('postgres', q{TRUNCATE acteon_audit});

# Two hundred records of forty actions, at times twelve hours apart, so that many have the same time and many are at
# the bounds of partitions; in a plain table, and in partitions of all kinds.
$node->safe_psql('postgres', q{
	CREATE FUNCTION day(n int) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT '2026-03-01 00:00+00'::timestamptz + n * interval '1 day' $$;
	CREATE TABLE by_day (LIKE kept_audit INCLUDING DEFAULTS) PARTITION BY RANGE (dispatched_at);
	CREATE TABLE oldest PARTITION OF by_day FOR VALUES FROM (MINVALUE) TO (day(1));
	CREATE TABLE second PARTITION OF by_day FOR VALUES FROM (day(1)) TO (day(2));
	CREATE TABLE others PARTITION OF by_day DEFAULT;
	CREATE TABLE tenants PARTITION OF by_day FOR VALUES FROM (day(4)) TO (day(5)) PARTITION BY LIST (tenant);
	CREATE TABLE tenant_a PARTITION OF tenants FOR VALUES IN ('a');
	CREATE TABLE tenant_others PARTITION OF tenants DEFAULT;
	SELECT format('CREATE TABLE turned (gone int, %s)', string_agg(format('%I %s%s', attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN ' NOT NULL' END), ', ' ORDER BY attnum DESC))
	FROM pg_attribute WHERE attrelid = 'by_day'::regclass AND attnum > 0 \gexec
	ALTER TABLE turned DROP COLUMN gone;
	ALTER TABLE by_day ATTACH PARTITION turned FOR VALUES FROM (day(5)) TO (day(7));
	CREATE TABLE newest PARTITION OF by_day FOR VALUES FROM (day(7)) TO (MAXVALUE) PARTITION BY RANGE (dispatched_at);
	CREATE TABLE eighth PARTITION OF newest FOR VALUES FROM (day(7)) TO (day(8));
	CREATE TABLE later PARTITION OF newest DEFAULT;
	-- another column decides which of the partitions has the records of a bound
	CREATE TABLE by_both (LIKE kept_audit INCLUDING DEFAULTS) PARTITION BY RANGE (dispatched_at, tenant);
	CREATE TABLE both_1 PARTITION OF by_both FOR VALUES FROM (MINVALUE, MINVALUE) TO (day(1), 'm');
	CREATE TABLE both_2 PARTITION OF by_both FOR VALUES FROM (day(1), 'm') TO (day(3), MINVALUE);
	CREATE TABLE both_3 PARTITION OF by_both FOR VALUES FROM (day(3), MINVALUE) TO (day(3), 'c');
	CREATE TABLE both_4 PARTITION OF by_both FOR VALUES FROM (day(3), 'c') TO (day(6), 'p');
	CREATE TABLE both_5 PARTITION OF by_both FOR VALUES FROM (day(6), 'p') TO (MAXVALUE, MAXVALUE);
	CREATE INDEX ON by_day (action_id);
	CREATE INDEX ON by_both (action_id);
	SELECT setseed(0.35);
	INSERT INTO plain (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details, dispatched_at, completed_at, duration_ms)
	SELECT 'r' || n, 'x' || n % 40 + 1, 'prod', ('{a,f,p,z}'::text[])[ceil(random() * 4)], 'r' || n, 'send', 'allow', ('{failed,pending,executed}'::text[])[ceil(random() * 3)], '{}', '{}', '{}',
		CASE WHEN n % 50 = 7 THEN 'infinity' WHEN n % 50 = 8 THEN '-infinity' ELSE day(0) + floor(random() * 20) * interval '12 hours' END, now(), 1
	FROM generate_series(1, 200) AS n;
	INSERT INTO by_day SELECT * FROM plain;
	INSERT INTO by_both SELECT * FROM plain;
	-- the records that single replays take, of each action
	CREATE FUNCTION taken(first timestamptz, last timestamptz) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		taken text;
		new uuid;
	BEGIN
		FOR n IN 1 .. 40 LOOP
			BEGIN
				SELECT new_action_id INTO new FROM acteon_replay('x' || n, allow_unproven => true, allow_partial => true, from_time => first, to_time => last);
				taken := concat_ws(' ', taken, (SELECT provider FROM acteon_dispatch_outbox WHERE action_id = new));
			EXCEPTION WHEN no_data_found THEN
				taken := concat_ws(' ', taken, '-');
			END;
		END LOOP;
		RETURN taken;
	END $$;});
my %ranges = (
	'at any time' => 'NULL, NULL',
	'from a bound' => 'day(4), NULL',
	'up to a bound' => 'NULL, day(4)',
	'of two days' => q{day(2), day(4) - interval '1 s'},
	'at a bound' => 'day(3), day(3)',
	'within the default partition' => q{day(2) + interval '1 hour', day(3) + interval '13 hours'});

# Compares what is taken from a table with what a statement of its own says.
sub takes_the_same
{
	my ($table, $what) = @_;

	foreach my $range (sort keys %ranges)
	{
		my ($expected, $taken) = split(/\n/, $node->safe_psql('postgres', qq{
			SET client_min_messages = error;
			SET acteon_replay.audit_table = 'public.$table';
			SELECT string_agg(coalesce(r.id, '-'), ' ' ORDER BY n) FROM generate_series(1, 40) AS n LEFT JOIN LATERAL
				(SELECT p.id FROM plain AS p, (VALUES ($ranges{$range})) AS t (first, last)
				WHERE p.action_id = 'x' || n AND p.dispatched_at BETWEEN coalesce(t.first::timestamptz, '-infinity') AND coalesce(t.last::timestamptz, 'infinity')
				ORDER BY p.dispatched_at DESC, p.outcome = 'pending', p.id COLLATE "C" DESC LIMIT 1) AS r ON true;
			SELECT taken($ranges{$range});}));
		is($taken, $expected, "$what, $range: the records of a plain table are taken");
	}
}

takes_the_same('plain', 'a plain table');
takes_the_same('by_day', 'partitions by time');
takes_the_same('by_both', 'partitions by time and tenant');
foreach (['tenant_a', 'a partition of a partition'], ['turned', 'a partition with its columns in another order'])
{
	my ($partition, $what) = @$_;

	is($node->safe_psql('postgres', qq{
		SET client_min_messages = error;
		SET acteon_replay.audit_table = 'public.by_day';
		SELECT action_id, dispatched_at FROM $partition WHERE outcome <> 'pending' AND action_id NOT IN (SELECT action_id FROM others) ORDER BY dispatched_at, id LIMIT 1 \\gset
		BEGIN;
		SELECT success FROM acteon_replay(:'action_id', allow_unproven => true, allow_partial => true, to_time => :'dispatched_at');
		SELECT string_agg(relation::regclass::text, ' ') FROM pg_locks WHERE pid = pg_backend_pid() AND relation IN (SELECT inhrelid FROM pg_inherits)}),
		"t\n$partition", "$what: nothing but it stays locked");
}
# A row that another partition must not have, of any time, is in the default partition; one without a time never counts.
$node->safe_psql('postgres', q{
	ALTER TABLE by_day ALTER dispatched_at DROP NOT NULL;
	INSERT INTO by_day SELECT (p).* FROM (SELECT jsonb_populate_record(p, '{"dispatched_at": null, "id": "timeless"}') AS p FROM plain AS p WHERE id = 'r1') AS p;});
takes_the_same('by_day', 'a record without a time');

# Where a partition has no index that can be used, a statement searches.
$node->safe_psql('postgres', q{
	UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'second_action_id_idx'::regclass;
	ALTER TABLE by_both DETACH PARTITION both_3;
	DROP INDEX both_3_action_id_idx, by_both_action_id_idx;
	CREATE INDEX ON both_5 (action_id);
	CREATE INDEX ON both_4 (action_id) WHERE outcome = 'failed';
	ALTER TABLE by_both ATTACH PARTITION both_3 FOR VALUES FROM (day(3), MINVALUE) TO (day(3), 'c');});
takes_the_same('by_day', 'a partition with an invalid index');
takes_the_same('by_both', 'partitions without an index');
$node->safe_psql('postgres', q{TRUNCATE plain; DROP TABLE by_day, by_both});

#
# Pages.
#

# What a query replays, in its order, in chunks of a hundred.
sub replays
{
	my ($arguments) = @_;

	return $node->safe_psql('postgres', qq{
		SET client_min_messages = error;
		SELECT empty_outbox();
		CALL acteon_replay_all($arguments, chunk => 100, include_replayed => true);
		SELECT string_agg(original_action_id, ' ' ORDER BY id) FROM acteon_dispatch_outbox;}) =~ s/.*\n//sr;
}

# The same of the plain table, which is filled with what the other has.
sub replays_of_plain
{
	my ($arguments) = @_;

	$node->safe_psql('postgres', 'TRUNCATE plain; INSERT INTO plain SELECT * FROM acteon_audit; ANALYZE plain');
	return replays_with(q{SET acteon_replay.audit_table = 'public.plain';}, $arguments);
}

sub replays_with
{
	my ($setting, $arguments) = @_;

	return $node->safe_psql('postgres', qq{
		SET client_min_messages = error;
		$setting
		SELECT empty_outbox();
		CALL acteon_replay_all($arguments, chunk => 100, include_replayed => true);
		SELECT string_agg(original_action_id, ' ' ORDER BY id) FROM acteon_dispatch_outbox;}) =~ s/.*\n//sr;
}

# How many rows of the audit table a statement has fetched.
sub rows_read
{
	my ($sql, $tables) = @_;
	my $rows = qq{SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables WHERE relname ~ '$tables'};

	$node->safe_psql('postgres', 'SELECT pg_stat_force_next_flush()');
	my $before = $node->safe_psql('postgres', $rows);
	$node->safe_psql('postgres', qq{SET client_min_messages = error; $sql; SELECT pg_stat_force_next_flush()});
	return $node->safe_psql('postgres', $rows) - $before;
}

# 5,000 failed records: 3,000 of one time with ids in no order, the others around it over ten days.
$node->safe_psql('postgres', q{
	INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details, dispatched_at, completed_at, duration_ms)
	SELECT md5(n::text), 'a-' || n, 'prod', 'acme-' || n % 7, 'email', 'send', CASE WHEN n % 5 = 0 THEN 'deny' ELSE 'allow' END, CASE WHEN n % 50 = 0 THEN 'circuit_open' ELSE 'failed' END, '{}', '{}', '{}',
		CASE WHEN n BETWEEN 1001 AND 4000 THEN date_trunc('day', now()) - interval '5 days' ELSE date_trunc('day', now()) - interval '10 days' + n * interval '150 s' END, now(), 1
	FROM generate_series(1, 5000) AS n;
	-- and 600 intents of that time, of which every third has no outcome
	INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details, dispatched_at, completed_at, duration_ms)
	SELECT o || md5(n::text), 'p-' || n, 'prod', 'acme', 'email', 'send', 'allow', o, '{}', '{}', '{}', date_trunc('day', now()) - interval '5 days', now(), 1
	FROM generate_series(1, 600) AS n CROSS JOIN unnest('{pending,executed}'::text[]) AS o WHERE o = 'pending' OR n % 3 <> 0;
	ANALYZE acteon_audit;});
my %queries = (
	'of one outcome' => q{outcome => 'failed'},
	'from the newest' => q{outcome => 'failed', newest_first => true},
	'of two outcomes' => q{outcome => 'failed,circuit_open'},
	'of intents' => q{outcome => 'pending', allow_unproven => true, allow_partial => true},
	'of intents and others' => q{outcome => 'pending,failed', allow_unproven => true, allow_partial => true},
	'lost ones' => q{lost => true},
	'by what has no index' => q{verdict => 'deny'},
	'hand-picked ones' => "action_ids => '{" . join(',', map { 'a-' . $_ * 7 } 1 .. 900) . "}', exclude_ids => '{a-700}'",
	'hand-picked lost ones' => "lost => true, action_ids => '{" . join(',', map { 'a-' . $_ * 3 } 1 .. 900) . "}', max_records => 500",
	'hand-picked intents' => "outcome => 'pending,failed', allow_unproven => true, allow_partial => true, action_ids => '{" . join(',', map { ("p-$_", "a-$_") } 1 .. 400) . "}'",
	'all but many' => "outcome => 'failed', exclude_ids => '{" . join(',', map { "a-$_" } 1 .. 4500) . "}'",
	'those of a tree of tenants but one' => q{outcome => 'failed', tenant_tree => 'acme-3', exclude => '{"verdict": "deny"}', payload => '{}'},
	'not all' => q{outcome => 'failed', max_records => 2345});
foreach my $name (sort keys %queries)
{
	my $expected = $node->safe_psql('postgres', q{SELECT string_agg(action_id, ' ' ORDER BY dispatched_at, id COLLATE "C") FROM acteon_audit WHERE outcome = 'failed'});
	my $found = replays($queries{$name});

	is($found, $expected, 'many records of one time are replayed in order, each once') if $name eq 'of one outcome';
	is($found, replays_of_plain($queries{$name}), "$name: as of a plain table");
}

is(scalar(split(' ', replays($queries{'of intents'}))), 200, 'only lone intents are replayed');

# A tie is read once a call.  Each page would read what is left of it: 3,000 + 2,900 + … + 100.
my $call = q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', chunk => 100, include_replayed => true)};
my $read = rows_read("SET acteon_replay.audit_table = 'public.plain'; SELECT empty_outbox(); $call", '^plain$');
$node->safe_psql('postgres', q{CREATE INDEX ON plain (outcome, dispatched_at)});
my $read_tied = rows_read("SET acteon_replay.audit_table = 'public.plain'; SELECT empty_outbox(); $call", '^plain$');
# Calls that read a page each, one after the other.
my $pages = q{DO $$ DECLARE place text; BEGIN
	LOOP
		SELECT next_cursor INTO place FROM acteon_replay_bulk(outcome => 'failed', max_records => 100, canary => 'off', cursor => place);
		EXIT WHEN place IS NULL;
	END LOOP; END $$};
my $read_pages = rows_read("SET acteon_replay.audit_table = 'public.plain'; SELECT empty_outbox(); $pages", '^plain$');
cmp_ok($read_pages, '>', 25_000, "calls of their own read what is left of a time each ($read_pages rows)");
cmp_ok($read_tied, '<=', 25_000, "records of one time are read ahead, not once a page ($read_tied rows)");
# An index on both reads no more than the pages have.
$node->safe_psql('postgres', q{CREATE INDEX ON plain (outcome, dispatched_at, id COLLATE "C")});
$read_tied = rows_read("SET acteon_replay.audit_table = 'public.plain'; SELECT empty_outbox(); $call", '^plain$');
cmp_ok($read_tied, '<=', 13_000, "… and not even that with an index on time and id ($read_tied rows)");
$read_pages = rows_read("SET acteon_replay.audit_table = 'public.plain'; SELECT empty_outbox(); $pages", '^plain$');
cmp_ok($read_pages, '<=', 13_000, "… which also has calls of their own read no more than their pages ($read_pages rows)");
is(replays_with(q{SET acteon_replay.audit_table = 'public.plain';}, $queries{'from the newest'}), replays($queries{'from the newest'}), '… which gives the same order, backwards');

# Old partitions without the index, and with nothing but a block range index: the parent's index is invalid.
$node->safe_psql('postgres', q{
	DROP INDEX audit_outcome;
	CREATE INDEX audit_outcome ON ONLY acteon_audit (outcome, dispatched_at DESC);
	SELECT format('CREATE INDEX part_%s ON %s (outcome, dispatched_at DESC); ALTER INDEX audit_outcome ATTACH PARTITION part_%s', n, relid, n)
	FROM (SELECT relid, row_number() OVER () AS n FROM pg_partition_tree('acteon_audit') WHERE isleaf AND relid::text ~ '[02468]$') AS p \gexec
	SELECT format('CREATE INDEX ON %s USING brin (dispatched_at)', relid) FROM pg_partition_tree('acteon_audit') WHERE isleaf AND relid::text ~ '[13579]$' \gexec});
is($node->safe_psql('postgres', q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'audit_outcome'::regclass}), 'f', 'the index of the partitioned table is invalid');
foreach my $name (sort keys %queries)
{
	is(replays($queries{$name}), replays_of_plain($queries{$name}), "$name: the same where partitions have no index");
}
$read = rows_read("SELECT empty_outbox(); $call", '^day_');
cmp_ok($read, '<=', 40_000, "partitions without an index are not read once a page ($read rows)");

# No more partitions are read ahead than it takes: here the one of 95 days ago, and not that of 11 days ago.
$node->safe_psql('postgres', 'INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms)
	SELECT d || $$-$$ || n, d || $$-$$ || n, $$prod$$, $$many$$, $$email$$, $$send$$, $$allow$$, $$failed$$, $${}$$, $${}$$, $${}$$, $${}$$, ' . days_ago(0) . ' - d * interval $$1 day$$ + n * interval $$1 ms$$, now(), 1
	FROM (VALUES (95, 100100), (11, 1000)) AS v (d, count), generate_series(1, count) AS n');
$read = rows_read(q{SELECT empty_outbox(); CALL acteon_replay_all(tenant => 'many', outcome => 'failed', chunk => 10, max_records => 25)}, '^day_89$');
is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_dispatch_outbox'), 25, 'some of a great many records are replayed');
is($read, 0, '… without reading partitions ahead that are not needed');
$node->safe_psql('postgres', q{DELETE FROM acteon_audit WHERE tenant = 'many'});

# A record that has gone is left out, and no other.
$node->safe_psql('postgres', q{DELETE FROM acteon_audit WHERE action_id = 'a-4321'});
is(scalar(split(' ', replays(q{outcome => 'failed'}))), 4899, 'a record that has gone is not replayed, the others are');

# What a statement works with stays, also if statistics are collected in between.
{
	my $analyze = $node->background_psql('postgres');
	$analyze->query_until(qr/begun/, qq{\\echo begun\n} . ("ANALYZE acteon_replay_batch;\n" x 400));
	$node->safe_psql('postgres', q{SET client_min_messages = error; SELECT empty_outbox(); CALL acteon_replay_all(canary => 'off', outcome => 'failed', chunk => 10, include_replayed => true)});
	is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_dispatch_outbox'), 4899, 'a batch runs while its table is analyzed');
	$analyze->quit;
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_outbox_check()'), 0, 'the outbox is sound');

done_testing();
