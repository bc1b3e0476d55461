# Batches that are too large to be dealt with in one call: what a cancel leaves
# to others is cancelled all the same, and what was parked bit by bit comes back.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $node = new_server('steer_large', conf => "fsync = off\nautovacuum = off\nmax_wal_size = 4GB\n");
# As the first replay does; and the first claim takes note of the server.  Were that left to the
# cancel below, a claim would wait for its commit.
$node->safe_psql('postgres', q{INSERT INTO acteon_replay_installation DEFAULT VALUES; SELECT acteon_outbox_claim('c', 1)});

# What is enqueued by hand has no hashes.
$node->safe_psql('postgres', 'INSERT INTO acteon_replay_trail_head (hashed_from) VALUES (9223372036854775807)');

# A batch of so many actions, in segments of so many, as if it had been enqueued.
sub make_batch
{
	my ($id, $actions, $length) = @_;
	my $first = $id * 1_000_000;

	$node->safe_psql('postgres', qq{
		INSERT INTO acteon_replay_batch (id, created_at, requested_by, requested_by_oid, session_role, query, replayed, failed, skipped, scope, first_outbox_id, last_outbox_id)
		SELECT $id, now(), current_user, oid, session_user, '{}', $actions, 0, 0, '[]', $first + 1, $first + $actions FROM pg_roles WHERE rolname = current_user;
		INSERT INTO acteon_dispatch_outbox (id, batch_id, created_at, action_id, generation, original_action_id, namespace, tenant, provider, action_type, payload, labels)
		SELECT $first + n, $id, now(), gen_random_uuid(), 1, '$id-' || n, 'prod', 'acme', 'email', 'send', '{}', '{}' FROM generate_series(1, $actions) AS n;
		INSERT INTO acteon_dispatch_action (action_id, outbox_id) SELECT action_id, id FROM acteon_dispatch_outbox WHERE batch_id = $id;
		INSERT INTO acteon_dispatch_segment (first_id, last_id, batch_id, due_at, attempt, was_claimed)
		SELECT $first + n, least($first + n + $length - 1, $first + $actions), $id, now(), 0, false FROM generate_series(1, $actions, $length) AS n;});
}

# What a claim in a session of its own gets, as a number of actions.
sub claim
{
	my ($actions) = @_;

	return $node->safe_psql('postgres', "SELECT count(*) FROM acteon_outbox_claim('c', $actions)");
}

# More than a cancel sweeps at once.
make_batch(1, 150_000, 100);
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
is($session->query_safe('SELECT acteon_replay_cancel(1)'), '(cancelled,0,0,150000)', 'all of a large batch is cancelled');
is(claim(20_000), 0, 'while that is not committed nothing of it is handed out');
$session->query_safe('COMMIT');
my $swept = $node->safe_psql('postgres', 'SELECT count(*) FROM acteon_dispatch_delivery');
cmp_ok($swept, '<', 150_000, "a part of it is left to others ($swept are done)");
is($node->safe_psql('postgres', 'SELECT depth, due, paused FROM acteon_outbox_stats'), '0|0|0', 'what is left does not count as waiting');
is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_outbox_check()'), 0, 'the outbox is sound with it');
for (1 .. 100)
{
	is(claim(20_000), 0, 'and is not handed out') or last;
	last if $node->safe_psql('postgres', 'SELECT stopped FROM acteon_replay_batch') eq 'cancelled';
}
is($node->safe_psql('postgres', 'SELECT b.stopped, (SELECT count(*) FROM acteon_dispatch_segment), (SELECT count(*) FROM acteon_dispatch_delivery), (SELECT sum(actions) FROM acteon_replay_tally) FROM acteon_replay_batch AS b'),
	'cancelled|0|150000|150000', 'claims have swept the rest');
is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_outbox_check()'), 0, 'the outbox is sound');

# The same left to a purge, with no claim in between.
make_batch(2, 150_000, 1);
is($node->safe_psql('postgres', 'SELECT acteon_replay_cancel(2)'), '(cancelled,0,0,150000)', 'all of a batch in single segments is cancelled');
$node->safe_psql('postgres', q{SELECT acteon_outbox_purge('1 day')});
is($node->safe_psql('postgres', 'SELECT stopped, (SELECT count(*) FROM acteon_dispatch_segment) FROM acteon_replay_batch WHERE id = 2'), 'cancelled|0', 'a purge sweeps all that is left');
is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_outbox_check()'), 0, 'the outbox is sound');

# More segments than a claim parks at once; in between somebody needs another batch.
make_batch(3, 25_000, 1);
make_batch(4, 300, 100);
$node->safe_psql('postgres', 'SELECT acteon_replay_pause(3)');
is(claim(100), 100, 'a claim gets past a paused batch');
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_segment WHERE batch_id = 3 AND due_at = 'infinity'}), 10_000, 'having put a part of it aside');
is(claim(1_000), 200, '… and the next one gets the rest of the other batch');
is($node->safe_psql('postgres', 'SELECT acteon_replay_resume(3)'), '(running,25000,0,0)', 'it is resumed');
is(claim(100_000), 25_000, '… and all of it is handed out');
is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_outbox_check()'), 0, 'the outbox is sound');

$session->quit;
done_testing();
