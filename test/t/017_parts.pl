# Purges of whole parts of the outbox where much else is going on: older snapshots, other purges, sequences that are
# behind the rows, purges that are not committed, subscribers that are told of half of it, dumps of version 1.0.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $node = new_server('parts', conf => "autovacuum = off\n");
my $range = 1_000_000_000_000;
my $version = $node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'acteon_replay'});

sub sql
{
	return $node->safe_psql('postgres', shift);
}

# Lets new actions go to the range n of ids.
my $turned = 0;
sub turn
{
	my ($n) = @_;

	sql("SELECT setval('acteon_dispatch_outbox_id_seq', $n * $range + 1)");
	# Where it goes back, as it never does by itself, new actions look as if they had been added to old ones.
	sql('CALL forget_trail()') if $n < $turned;
	$turned = $n;
}

my $answer = q{SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb), array_agg(action_id)) FROM acteon_outbox_claim('one')};

# Replays actions of a name, and delivers them, so many days ago.
sub deliver
{
	my ($name, $count, $days) = @_;

	sql("SELECT count(make_record('$name-' || n)) FROM generate_series(1, $count) AS n");
	replay($name, $count);
	sql($answer);
	sql(qq{UPDATE acteon_dispatch_delivery SET finished_at = finished_at - interval '$days days' WHERE outbox_id IN (SELECT id FROM acteon_dispatch_outbox WHERE original_action_id LIKE '$name-%');
		CALL forget_trail()});
}

# Replays them only.
sub replay
{
	my ($name, $count) = @_;

	is(sql("SELECT count(*) FILTER (WHERE r.success) FROM generate_series(1, $count) AS n, acteon_replay('$name-' || n) AS r"), $count, "$name: replayed");
}

# What a statement returns and says.
sub run_of
{
	my ($server, $sql) = @_;
	my ($status, $out, $err) = $server->psql('postgres', $sql);

	is($status, 0, "$sql: succeeds");
	$err =~ s/^psql:\S+ //mg;
	return join "\n", grep { length } $out, $err;
}

sub check_is_empty
{
	my ($name) = @_;

	is(sql('SELECT * FROM acteon_outbox_check()'), '', "no violations: $name");
}

# What has happened since the snapshot of a purge: the part stays.
turn(1);
deliver('old', 20, 100);
sql(q{SELECT make_record('waiting-1'), make_record('fresh-1')});
replay('waiting', 1);
foreach my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	my $purge = $node->background_psql('postgres');

	$purge->query_safe("BEGIN ISOLATION LEVEL $level");
	$purge->query_safe('SELECT count(*) FROM acteon_grants');
	replay('fresh', 1) if $level eq 'REPEATABLE READ';
	is(sql($answer), $level eq 'REPEATABLE READ' ? 2 : 1, 'actions are finished');
	sql(q{SELECT make_record('last-1')}) if $level eq 'REPEATABLE READ';
	replay('last', 1) if $level eq 'REPEATABLE READ';
	turn(2) if $level eq 'REPEATABLE READ';
	is($purge->query_safe(q{SET client_min_messages = error; SELECT acteon_outbox_purge('90 days')}), 0, "$level: nothing goes that others may see otherwise");
	$purge->query_safe('COMMIT');
	$purge->quit;
	is(sql('SELECT count(*) FROM acteon_dispatch_outbox_1'), 23, '… and all is there');
	check_is_empty("a purge that is $level");
}
is(sql(q{SELECT acteon_outbox_purge('90 days')}), 20, 'the next purge empties the part');
is(sql('SELECT count(*) FROM acteon_dispatch_outbox_1'), 3, '… but for what is not old');
check_is_empty('the next purge');

# A transaction with an older snapshot, which has not read the outbox before: pg_dump takes its locks after its snapshot.
# What is in a part may have been finished, redriven or added since.
my $seen = q{SELECT o.original_action_id, d.state, s.first_id IS NOT NULL FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
	LEFT JOIN acteon_dispatch_segment AS s ON o.id BETWEEN s.first_id AND s.last_id WHERE o.original_action_id ~ '^seen' ORDER BY 1};
my $reject = q{SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('no'::text)) FROM acteon_outbox_claim('one')};
my $place = 66;
foreach (
	[ 'added', '90 days', sub { sql(q{SELECT make_record('seen-added-1')}); replay('seen-added', 1) }, 5, 2 ],
	[ 'finished', '0', sub { sql($answer) }, 6, 0 ],
	[ 'redriven', '90 days', sub { is(sql('SELECT redriven FROM acteon_outbox_redrive()'), 1, 'redriven: redriven') }, 5, 1 ],
	[ 'nothing', '90 days', sub { }, 0, 1 ])
{
	my ($name, $age, $change, $next, $left) = @$_;
	my $older = $node->background_psql('postgres');
	my $before;

	turn($place);
	deliver('seen', 5, 100);
	sql(q{SELECT make_record('seen-open-1')});
	replay('seen-open', 1);
	sql($reject) if $name eq 'redriven';
	$before = sql($seen);
	$older->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM acteon_grants');
	$change->();
	turn($place + 1);
	like(run_of($node, "SELECT acteon_outbox_purge('$age')"), $name eq 'nothing' ? qr/^5$/ : qr/^0\n.*NOTICE: +1 part of the outbox is in use/s, "$name: a purge beside an older snapshot");
	is($older->query_safe($seen), $name eq 'nothing' ? 'seen-open-1||t' : $before, '… which shows what it has shown before, of all that is not old');
	$older->query_safe('COMMIT');
	$older->quit;
	is(sql("SELECT acteon_outbox_purge('$age')"), $next, '… and the next purge takes the rest');
	is(sql("SELECT count(*) FROM ($seen) AS s"), $left, '… leaves what has to stay');
	check_is_empty($name);
	sql("$answer HAVING count(*) > 0");
	sql(q{UPDATE acteon_dispatch_delivery SET finished_at = finished_at - interval '100 days'});
	sql(q{SELECT acteon_outbox_purge('90 days'); DELETE FROM acteon_audit WHERE action_id ~ '^seen'});
	$place += 16;
}

# Two purges at once: the second one leaves all to the first.
sql(q{UPDATE acteon_replay_tally SET finished_at = finished_at - interval '100 days'});
turn(132);
deliver('twice', 5, 100);
turn(133);
my $first = $node->background_psql('postgres');
$first->query_safe('BEGIN');
is($first->query_safe(q{SELECT acteon_outbox_purge('90 days')}), 5, 'a purge that is not committed');
like(run_of($node, q{SET lock_timeout = '100ms'; SELECT acteon_outbox_purge('90 days')}), qr/^0\nNOTICE: +another purge is under way/, '… is not waited for by another one');
$first->query_safe('COMMIT');
$first->quit;
is(run_of($node, q{SELECT acteon_outbox_purge('90 days')}), 0, '… and not in the way of the next one');
check_is_empty('two purges');

# Foreign keys of both kinds, that came when there were rows in other parts.
turn(3);
sql(q{SELECT make_record('dead-1'), make_record('dead-2')});
replay('dead', 2);
sql(q{SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('no'::text)) FROM acteon_outbox_claim('one') WHERE action ->> 'id' IN (SELECT action_id::text FROM acteon_dispatch_outbox WHERE original_action_id LIKE 'dead-%')});
sql(q{CREATE TABLE at_once (delivery_id bigint REFERENCES acteon_dispatch_delivery ON DELETE CASCADE);
	CREATE TABLE later (delivery_id bigint REFERENCES acteon_dispatch_delivery DEFERRABLE INITIALLY DEFERRED)});
is(sql(q{SELECT redriven FROM acteon_outbox_redrive()}), 2, 'foreign keys to the table: what is dead in another part is redriven');
check_is_empty('redriven from another part');
sql(q{DROP TABLE at_once, later});

# A sequence that is behind the rows, as where these came by logical replication.
turn(5);
deliver('behind', 20, 100);
sql(q{SELECT make_record('still-1')});
replay('still', 1);
sql(q{SELECT setval('acteon_dispatch_outbox_id_seq', 1, false)});
is(sql(q{SELECT acteon_outbox_purge('90 days')}), 20, 'a sequence behind the rows: old actions are purged');
is(sql($answer), 1, '… and what was not finished is still there');
check_is_empty('a sequence behind the rows');

# A place that was purged is used again.
turn(6);
sql(q{UPDATE acteon_dispatch_delivery SET finished_at = finished_at - interval '100 days'});
sql(q{SELECT acteon_outbox_purge('90 days')});
turn(5);
sql(q{SELECT count(make_record('again-' || n)) FROM generate_series(1, 20) AS n});
replay('again', 20);
sql($answer);
is(sql(q{SELECT count(DISTINCT outbox_id) < count(*) FROM acteon_dispatch_action}), 't', 'two actions have had one place');
is(sql(q{SELECT r.success, r.new_action_id = acteon_replay_id('behind-1', 2) FROM acteon_replay('behind-1') AS r}), 't|t', '… and are not taken for one another');
is(sql(q{SELECT count(*) FROM acteon_replay_lineage('behind-1') WHERE generation > 0}), 1, '… nor in a lineage');

# A server that has the rows and not the sequence, and begins behind all that were ever used.
turn(9);
deliver('highest', 1, 100);
my $highest = sql('SELECT max(id) FROM acteon_dispatch_outbox');
turn(10);
sql(q{SELECT acteon_outbox_purge('90 days')});
sql(q{SELECT setval('acteon_dispatch_outbox_id_seq', 1, false); UPDATE acteon_replay_installation SET server = '1/1'});
sql(q{SELECT make_record('promoted-1')});
replay('promoted', 1);
is(sql("SELECT id > $highest FROM acteon_dispatch_outbox WHERE original_action_id = 'promoted-1'"), 't', 'ids that were used before a promotion are not used again, though their rows are gone');
sql(q{UPDATE acteon_dispatch_segment SET doubt_since = NULL, doubt = NULL});
sql($answer);
check_is_empty('after a promotion');

# Nobody waits for a purge that has emptied a part and is not committed, also who looks for another part.
turn(20);
deliver('emptied', 5, 100);
turn(21);
deliver('large', 1, 1);
my $file = sql(q{SELECT current_setting('data_directory') || '/' || pg_relation_filepath('acteon_dispatch_outbox_5')});
$node->stop;
truncate($file, 128 * 1024 * 1024) or die "could not extend $file: $!"; # pages without anything
$node->start;
turn(22);
my $purge = $node->background_psql('postgres');
$purge->query_safe('BEGIN');
$purge->query_safe(q{SELECT acteon_outbox_purge('90 days', max_actions => 1)});
is(sql(q{SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'acteon_dispatch_outbox_4'::regclass}), 1, 'a purge has emptied a part');
turn(37);
is(sql(q{SET lock_timeout = '100ms'; SELECT make_record('beside-1'); SELECT success FROM acteon_replay('beside-1')}), "beside-1\nt", '… and a replay does not wait for it');
$purge->query_safe('COMMIT');
$purge->quit;
check_is_empty('after a purge that took long');

# A batch that has gone on to another part: nothing goes through the ids between, of which there are a trillion.
turn(40);
sql(q{SELECT make_record('long-1', matched_rule => 'long'), make_record('long-2', matched_rule => 'long'), make_record('far-1', matched_rule => 'long')});
sql(q{SELECT replayed FROM acteon_replay_bulk(matched_rule => 'long', max_records => 2)});
turn(42);
replay('far', 1);
my $batch = sql(q{SELECT min(batch_id) FROM acteon_dispatch_outbox WHERE original_action_id ~ 'far|long'});
sql(q{INSERT INTO acteon_replay_trail_head (hashed_from) VALUES (9223372036854775807) ON CONFLICT (singleton) DO UPDATE SET hashed_from = excluded.hashed_from});
sql(qq{WITH joined AS (UPDATE acteon_dispatch_outbox SET batch_id = $batch, hash = NULL WHERE original_action_id ~ 'far|long' RETURNING id),
		segments AS (UPDATE acteon_dispatch_segment SET batch_id = $batch WHERE first_id IN (SELECT id FROM joined)),
		emptied AS (UPDATE acteon_replay_batch SET replayed = 0, first_outbox_id = NULL, last_outbox_id = NULL WHERE id = $batch + 1)
	UPDATE acteon_replay_batch SET rows_hash = NULL, replayed = 3, last_outbox_id = (SELECT max(id) FROM joined) WHERE id = $batch});
foreach my $state ('NULL', qw('waiting' 'delivered' 'cancelled' 'dead' 'failed' 'held'))
{
	my $count = $state =~ /NULL|waiting/ ? 3 : 0;

	is(sql("SET statement_timeout = '${PostgreSQL::Test::Utils::timeout_default}s'; SELECT count(*) FROM acteon_replay_items($batch, $state)"), $count, "a batch in two parts: its actions that are $state");
}
is(sql(qq{SELECT replayed, waiting FROM acteon_replay_batches WHERE batch_id = $batch}), '3|3', '… its state');
sql($answer);
is(sql("SET statement_timeout = '${PostgreSQL::Test::Utils::timeout_default}s'; SELECT count(*) FROM acteon_replay_items($batch, 'delivered')"), 3, '… and those that are delivered');
check_is_empty('a batch in two parts');

# Parts are read through the table they are parts of, and ids by whom sees their actions.
sql(q{CREATE ROLE reader; CREATE ROLE nobody;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) SELECT 'reader', 'operator', ARRAY[tenant], ARRAY[namespace], '{*}' FROM acteon_audit LIMIT 1});
my $all = sql('SELECT count(*) FROM acteon_dispatch_outbox');
cmp_ok($all, '<', sql('SELECT count(*) FROM acteon_dispatch_action'), 'some ids are of actions that were purged');
foreach my $role (qw(reader nobody))
{
	my $seen = $role eq 'reader' ? $all : 0;

	is(sql("SET ROLE $role; SELECT count(*) FROM acteon_dispatch_outbox"), $seen, "$role: actions");
	is(sql("SET ROLE $role; SELECT count(*) FROM acteon_dispatch_action AS k JOIN acteon_dispatch_outbox AS o ON o.id = k.outbox_id AND o.action_id = k.action_id"), $seen, '… and by their ids');
	like(fails_with($node, "SET ROLE $role; SELECT FROM $_"), qr/^42501/, "… not $_") foreach qw(acteon_dispatch_outbox_8 acteon_dispatch_delivery_8);
}

# Subscribers that are not told of truncations.
turn(55);
deliver('told', 20, 100);
sql(q{SELECT make_record('untold-1')});
replay('untold', 1);
turn(56);
sql(q{CREATE PUBLICATION half FOR ALL TABLES WITH (publish = 'insert, update, delete')});
my $filenode = sql(q{SELECT pg_relation_filenode('acteon_dispatch_outbox_7')});
is(sql(q{SELECT acteon_outbox_purge('90 days')}), 20, 'a part whose truncation is not published is purged');
is(sql(q{SELECT pg_relation_filenode('acteon_dispatch_outbox_7')}), $filenode, '… row by row');
sql(q{DROP PUBLICATION half});
check_is_empty('after a purge that is published');

# A dump of 1.0 that is loaded into this version has no table of ids, so all could be replayed twice.
my $dump = "$PostgreSQL::Test::Utils::tmp_check/version_1.0";
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'BEGIN ISOLATION LEVEL SERIALIZABLE; CREATE EXTENSION acteon_replay; COMMIT');
$node->safe_psql('postgres', 'CREATE DATABASE old');
$node->safe_psql('old', q{CREATE EXTENSION acteon_replay VERSION '1.0'});
$node->safe_psql('old', fixture($_)) foreach qw(audit_table audit_indexes);
$node->safe_psql('old', fixture('helpers') =~ s/, acteon_dispatch_action[^;]*//r);
$node->safe_psql('old', fixture('version_1.0'));
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('old') ], 'a dump of 1.0');
sql("CREATE DATABASE $_") foreach qw(straight updated);
$node->command_ok([ 'pg_restore', '-e', '-d', $node->connstr('straight'), $dump ], '… can be loaded');
like(fails_with($node, $_, connstr => $node->connstr('straight')), qr/^55000: the tables of acteon_replay were not restored completely/, "… but not used by this version: $_")
	foreach q{SELECT * FROM acteon_replay('f1')}, q{SELECT * FROM acteon_outbox_claim('one')};
$node->safe_psql('updated', q{CREATE EXTENSION acteon_replay VERSION '1.0'});
$node->command_ok([ 'pg_restore', '-e', '-d', $node->connstr('updated'), $dump ], 'loaded into 1.0');
like(fails_with($node, "BEGIN ISOLATION LEVEL $_; ALTER EXTENSION acteon_replay UPDATE TO '$version'", connstr => $node->connstr('updated')), qr/^55000: extension acteon_replay cannot be updated in a transaction that is $_/, "… it is not updated by one old snapshot: $_")
	foreach 'REPEATABLE READ', 'SERIALIZABLE';
$node->safe_psql('updated', "ALTER EXTENSION acteon_replay UPDATE TO '$version'");
is($node->safe_psql('updated', q{SELECT r.new_action_id = acteon_replay_id('f1', 2) FROM acteon_replay('f1') AS r}), 't', '… it can be updated, and no id is used twice');
is($node->safe_psql('updated', 'SELECT * FROM acteon_outbox_check()'), '', '… and has no violations');

$node->stop;
done_testing();
