# Many sessions replay the same records at the same moment: every action is
# enqueued once, what the sessions report adds up, and nothing is left over.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $node = new_server('race', conf => "fsync = off\nmax_connections = 40\ndeadlock_timeout = 200ms\n");
my $records = 3000;

$node->safe_psql('postgres', qq{
	SELECT make_record('a-' || n, at => timestamptz '2026-01-01' + n * interval '1 ms') FROM generate_series(1, $records) AS n});

# Every invariant of the outbox that a race could break.
my $violations = q{
	SELECT 'action twice: ' || original_action_id FROM acteon_dispatch_outbox GROUP BY original_action_id, generation HAVING count(*) > 1
	UNION ALL
	SELECT 'covered ' || covers || ' times: ' || id FROM (SELECT id, (SELECT count(*) FROM acteon_dispatch_segment AS s
		WHERE o.id BETWEEN s.first_id AND s.last_id AND s.batch_id = o.batch_id) AS covers FROM acteon_dispatch_outbox AS o) AS c WHERE covers <> 1
	UNION ALL
	SELECT 'segment without actions: ' || first_id FROM acteon_dispatch_segment AS s
	WHERE NOT EXISTS (SELECT FROM acteon_dispatch_outbox AS o WHERE o.id = s.first_id) OR NOT EXISTS (SELECT FROM acteon_dispatch_outbox AS o WHERE o.id = s.last_id)
	UNION ALL
	SELECT 'count of batch ' || id FROM acteon_replay_batch AS b WHERE replayed <> (SELECT count(*) FROM acteon_dispatch_outbox AS o WHERE o.batch_id = b.id)};

# Run a pgbench script with all its clients at once.  Nobody may fail; only
# with tries may a deadlock be tried again.
sub race
{
	my ($clients, $transactions, $script, $tries) = @_;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/race.sql";
	my ($out, $err);

	unlink $file;
	append_to_file($file, $script);
	run_log([ 'pgbench', '-n', '-c', $clients, '-j', 4, '-t', $transactions, '-f', $file, '--max-tries=' . ($tries // 1), '-d', $node->connstr('postgres') ],
		'>', \$out, '2>', \$err);
	like($out, qr{number of transactions actually processed: @{[ $clients * $transactions ]}/@{[ $clients * $transactions ]}}, 'all transactions went through')
		or diag($out, $err);
	return $out;
}

foreach my $round (1 .. 8)
{
	$node->safe_psql('postgres', 'TRUNCATE acteon_dispatch_outbox, acteon_dispatch_action, acteon_dispatch_segment, acteon_replay_batch');
	# Each client replays all of it, in calls of 1,000.
	race(6, 4, q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');});
	is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM acteon_dispatch_outbox), (SELECT sum(replayed) FROM acteon_replay_batch)'),
		"$records|$records", "round $round: every action once, and as often as was reported");
	is($node->safe_psql('postgres', $violations), '', "round $round: no invariant is broken");
}
# Some of them must have met between looking and inserting, or this shows
# nothing: rows that were inserted and rolled back count as inserted, too.
$node->poll_query_until('postgres', qq{SELECT n_tup_ins > 8 * $records FROM pg_stat_user_tables WHERE relname = 'acteon_dispatch_outbox'})
	or diag('no session has ever lost a race');
cmp_ok($node->safe_psql('postgres', q{SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'acteon_dispatch_outbox'}), '>', 8 * $records,
	'rows of losers were taken back');

# One call a transaction never deadlocks, in whatever direction it goes, and
# with actions in between that were replayed before.
$node->safe_psql('postgres', 'DELETE FROM acteon_dispatch_outbox WHERE random() < 0.5; TRUNCATE acteon_dispatch_segment, acteon_replay_batch');
race(8, 10, q{
\set newest random(0, 1)
\set records random(1, 900)
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => :records, newest_first => :newest = 1);
});
is($node->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT original_action_id) FROM acteon_dispatch_outbox'), '0', 'single calls in both directions: every action once at the most');

# Calls in both directions inside one transaction may end in a deadlock: the
# server picks one, which is told, loses nothing, and can try again.
$node->safe_psql('postgres', 'TRUNCATE acteon_dispatch_outbox, acteon_dispatch_action, acteon_dispatch_segment, acteon_replay_batch');
race(6, 2, q{
\set newest random(0, 1)
BEGIN;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 700, canary => 'off', newest_first => :newest = 1);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 700, canary => 'off', newest_first => :newest = 0);
COMMIT;
}, 100);
$node->safe_psql('postgres', 'SELECT acteon_replay_bulk(from_time => \'2000-01-01\', max_records => 1000, canary => \'off\') FROM generate_series(1, 3)');
is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM acteon_dispatch_outbox), (SELECT sum(replayed) FROM acteon_replay_batch)'),
	"$records|$records", 'both directions: every action once, and as often as was reported');
is($node->safe_psql('postgres', $violations), '', 'both directions: no invariant is broken');

# Sessions that roll back half of the time.
$node->safe_psql('postgres', 'TRUNCATE acteon_dispatch_outbox, acteon_dispatch_action, acteon_dispatch_segment, acteon_replay_batch');
race(6, 6, q{
\set undo random(0, 1)
BEGIN;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 600, canary => 'off');
\if :undo
ROLLBACK;
\else
COMMIT;
\endif
});
is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM acteon_dispatch_outbox) = (SELECT coalesce(sum(replayed), 0) FROM acteon_replay_batch)'),
	't', 'rolling back: as many as was reported');
is($node->safe_psql('postgres', $violations), '', 'rolling back: no invariant is broken');

# Single replays of few actions by many: each generation once, each success a row.
$node->safe_psql('postgres', 'TRUNCATE acteon_dispatch_outbox, acteon_dispatch_action, acteon_dispatch_segment, acteon_replay_batch; CREATE TABLE told (id uuid, success boolean)');
# No deadlock either: each transaction replays one.
race(8, 50, q{
\set n random(1, 5)
INSERT INTO told SELECT new_action_id, success FROM acteon_replay('a-' || :n);
});
is($node->safe_psql('postgres', $violations), '', 'single replays: no invariant is broken');
is($node->safe_psql('postgres', q{
	SELECT (SELECT count(*) FROM told WHERE success) = (SELECT count(*) FROM acteon_dispatch_outbox),
		(SELECT count(*) FROM told WHERE id NOT IN (SELECT action_id FROM acteon_dispatch_outbox)),
		(SELECT count(*) FROM (SELECT id FROM told WHERE success GROUP BY id HAVING count(*) > 1) AS t)}),
	't|0|0', 'single replays: each id that was told exists, and each success is its own');

done_testing();
