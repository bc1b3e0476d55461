# Large and partitioned audit tables: a single replay reads and locks the newest partitions until it has found the
# record; records of one time, partitions without the index of the others and tables without an index are read
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
		TRUNCATE acteon_replay_batch, acteon_dispatch_outbox, acteon_dispatch_segment, acteon_dispatch_delivery, acteon_replay_tally, acteon_dispatch_action $$;
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

# What a statement returns, and how many partitions its transaction has locked then.
sub with_locks
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', qq{
		SET client_min_messages = error;
		BEGIN;
		$sql;
		SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation::regclass::text ~ '^day_[0-9]+\$';});
}

#
# Single replays.
#

make_record("d$_", $_) foreach 0, 5, 40, 90;
like(with_locks(q{SELECT success FROM acteon_replay('d0')}), qr/^t\n(?:[1-9]|1\d|2[0-5])$/, 'the record of today: the future and today are locked, and little else');
my ($locks) = with_locks(q{SELECT success FROM acteon_replay('d5')}) =~ /^t\n(\d+)$/;
cmp_ok($locks // 999, '<=', 32, 'one of last week: some more');
like(with_locks(q{SELECT success FROM acteon_replay('d90')}), qr/^t\n\d+$/, 'an old one is found');
like(with_locks(qq{SELECT success FROM acteon_replay('d90', from_time => date_trunc('day', now()) - interval '91 days', to_time => date_trunc('day', now()) - interval '89 days')}),
	qr/^t\n[1-8]$/, '… and within a range of times little is locked');
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
# A chain begins before the range, and is replayed from there.
make_record('chain', 60, outcome => 'chain_started', chain_id => 'c', provider => 'start');
make_record('chain', 1, outcome => 'chain_step_failed', chain_id => 'c', provider => 'step');
is($node->safe_psql('postgres', "SET client_min_messages = error; SELECT success FROM acteon_replay('chain', from_time => now() - interval '10 days'); $provider"), "t\nstart", 'a chain is replayed from its start, which may be older than the range');
$node->safe_psql('postgres', q{TRUNCATE acteon_audit});

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
my $call = q{CALL acteon_replay_all(outcome => 'failed', chunk => 100, include_replayed => true)};
my $read = rows_read("SET acteon_replay.audit_table = 'public.plain'; SELECT empty_outbox(); $call", '^plain$');
$node->safe_psql('postgres', q{CREATE INDEX ON plain (outcome, dispatched_at)});
my $read_tied = rows_read("SET acteon_replay.audit_table = 'public.plain'; SELECT empty_outbox(); $call", '^plain$');
cmp_ok($read_tied, '<=', 25_000, "records of one time are read ahead, not once a page ($read_tied rows)");
# An index on both reads no more than the pages have.
$node->safe_psql('postgres', q{CREATE INDEX ON plain (outcome, dispatched_at, id COLLATE "C")});
$read_tied = rows_read("SET acteon_replay.audit_table = 'public.plain'; SELECT empty_outbox(); $call", '^plain$');
cmp_ok($read_tied, '<=', 13_000, "… and not even that with an index on time and id ($read_tied rows)");
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

# A record that has gone is left out, and no other.
$node->safe_psql('postgres', q{DELETE FROM acteon_audit WHERE action_id = 'a-4321'});
is(scalar(split(' ', replays(q{outcome => 'failed'}))), 4899, 'a record that has gone is not replayed, the others are');

# What a statement works with stays, also if statistics are collected in between.
{
	my $analyze = $node->background_psql('postgres');
	$analyze->query_until(qr/begun/, qq{\\echo begun\n} . ("ANALYZE acteon_replay_batch;\n" x 400));
	$node->safe_psql('postgres', q{SET client_min_messages = error; SELECT empty_outbox(); CALL acteon_replay_all(outcome => 'failed', chunk => 10, include_replayed => true)});
	is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_dispatch_outbox'), 4899, 'a batch runs while its table is analyzed');
	$analyze->quit;
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_outbox_check()'), 0, 'the outbox is sound');

done_testing();
