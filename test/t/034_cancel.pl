# Whatever takes long can be cancelled, at any moment, and ends soon then.  Each call
# is given a statement_timeout, after which the server cancels it as pg_cancel_backend
# does; what it takes longer than that is what cancelling takes.  CANCELS (3) is how
# often each is cancelled, LIMIT (5 seconds) what that may take on a loaded machine; a
# quiet one takes a tenth of it.  ONLY picks calls by a pattern of their names.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Acteon;

my $cancels = $ENV{CANCELS} || 3;
my $limit = $ENV{LIMIT} || 5;
my $actions = 100_000;

my $node = new_server('cancel', conf => "fsync = off\nautovacuum = off\nmax_wal_size = 4GB\n");

sub sql { return $node->safe_psql('postgres', $_[0]) }

# What is enqueued by hand has no hashes.
sql(q{INSERT INTO acteon_replay_trail_head (hashed_from) VALUES (9223372036854775807)});

# Batches of so many actions each, as if they had been enqueued: one that waits in
# segments of one, which is the most there can be, one that was parked while it was
# paused, one that ended dead, and one that was delivered.
sub make_batch
{
	my ($id, %is) = @_;
	my $first = $id * 1_000_000;
	my $due = $is{parked} ? q('infinity') : 'now()';

	sql(qq{
		INSERT INTO acteon_replay_batch (id, created_at, requested_by, requested_by_oid, session_role, query, replayed, failed, skipped, scope, first_outbox_id, last_outbox_id, stopped, stopped_at)
		SELECT $id, now(), current_user, oid, session_user, '{}', $actions, 0, 0, '[]', $first + 1, $first + $actions, @{[$is{parked} ? q('paused', now()) : 'NULL, NULL']}
		FROM pg_roles WHERE rolname = current_user;
		INSERT INTO acteon_dispatch_outbox (id, batch_id, created_at, action_id, generation, original_action_id, namespace, tenant, provider, action_type, payload, labels)
		SELECT $first + n, $id, now(), acteon_replay_id('$id-' || n, 1), 1, '$id-' || n, 'prod', 'acme', 'email', 'send', '{}', '{}'
		FROM generate_series(1, $actions) AS n;});
	if (my $state = $is{state})
	{
		sql(qq{
			INSERT INTO acteon_dispatch_delivery (outbox_id, finished_at, attempts, state, outcome, error, effect)
			SELECT $first + n, now() - interval '1 year', 1, '$state', CASE '$state' WHEN 'delivered' THEN '"Executed"'::jsonb END,
				CASE '$state' WHEN 'dead' THEN 'no' END, CASE '$state' WHEN 'delivered' THEN 'done' END
			FROM generate_series(1, $actions) AS n;
			INSERT INTO acteon_replay_tally (batch_id, finished_at, state, outcome, actions, effect)
			SELECT $id, now() - interval '1 year', '$state', CASE '$state' WHEN 'delivered' THEN 'Executed' END, $actions, CASE '$state' WHEN 'delivered' THEN 'done' END});
	}
	else
	{
		sql(qq{
			INSERT INTO acteon_dispatch_segment (first_id, last_id, batch_id, due_at, attempt, was_claimed)
			SELECT $first + n, $first + n, $id, $due, 0, false FROM generate_series(1, $actions) AS n});
	}
}

sql(qq{
	INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms)
	SELECT 'r' || n, 'a' || n, 'prod', 'acme', 'email', 'send', 'allow', 'failed', '{"to": "a\@example.com"}', '{}', '{}', '{"k": "v"}', now() - interval '1 day' + n * interval '1 ms', now(), 5
	FROM generate_series(1, $actions) AS n});
# The first replay draws what ids are made of.
sql(q{SELECT * FROM acteon_replay('a1')});
make_batch(2);
make_batch(3, parked => 1);
make_batch(4, state => 'dead');
make_batch(5, state => 'delivered');
# An action that was replayed again and again.
sql(qq{
	INSERT INTO acteon_dispatch_outbox (id, batch_id, created_at, action_id, generation, original_action_id, namespace, tenant, provider, action_type, payload, labels)
	SELECT 6000000 + n, 5, now(), acteon_replay_id('often', n), n, 'often', 'prod', 'acme', 'email', 'send', '{}', '{}' FROM generate_series(1, $actions / 2) AS n});
# What replays keep of each.
sql(q{INSERT INTO acteon_dispatch_action (action_id, outbox_id) SELECT action_id, id FROM acteon_dispatch_outbox WHERE batch_id > 1});
# Batches with a scope each.
sql(qq{
	INSERT INTO acteon_replay_batch (id, created_at, requested_by, requested_by_oid, session_role, query, replayed, failed, skipped, scope)
	SELECT 7000000 + n, now(), current_user, oid, session_user, '{}', 0, 0, 0, '[["acme", "prod", "email", "send"]]' FROM pg_roles, generate_series(1, $actions / 2) AS n WHERE rolname = current_user});
# What was leased and is to be answered; the lease lasts.
sql(qq{
	CREATE TABLE leased AS SELECT outbox_id, lease_token FROM acteon_outbox_claim('c', $actions / 2, '1 day');
	CREATE TABLE answers AS SELECT array_agg(outbox_id ORDER BY random()) AS ids, array_agg(lease_token ORDER BY random()) AS tokens, array_fill('"Executed"'::jsonb, ARRAY[count(*)::integer]) AS outcomes FROM leased;
	ANALYZE});

# Each call, and the time in milliseconds within which it is cancelled, unless that is 1500.
my @calls = (
	[ 'acteon_replay_bulk', q{SELECT count(*) FROM (SELECT acteon_replay_bulk(outcome => 'failed', max_records => 1000) FROM generate_series(1, 100)) AS b} ],
	[ 'acteon_replay_all', q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', chunk => 10000, include_replayed => true, max_generation => 1000)} ],
	[ 'acteon_replay_preview', q{SELECT count(*) FROM acteon_replay_preview(outcome => 'failed', max_records => NULL, include_replayed => true)} ],
	[ 'acteon_outbox_claim', qq{SELECT count(*) FROM acteon_outbox_claim('c', $actions)} ],
	[ 'acteon_outbox_ack', q{SELECT acteon_outbox_ack(ids, tokens, outcomes) FROM answers} ],
	[ 'acteon_outbox_redrive, with a rate', qq{SELECT acteon_outbox_redrive(batch_id => 4, max_actions => $actions, rate => 100000)}, 5000 ],
	[ 'acteon_outbox_purge', q{SELECT acteon_outbox_purge('1 month')} ],
	[ 'acteon_replay_proof', q{SELECT count(*) FROM acteon_replay_proof(5)} ],
	[ 'acteon_replay_set_rate', q{SELECT acteon_replay_set_rate(2, 1000)} ],
	[ 'acteon_replay_resume', q{SELECT acteon_replay_resume(3)} ],
	[ 'acteon_replay_cancel', q{SELECT acteon_replay_cancel(2)} ],
	[ 'acteon_outbox_check', q{SELECT count(*) FROM acteon_outbox_check()} ],
	[ 'acteon_replay_batches', q{SELECT count(*) FROM acteon_replay_batches} ],
	[ 'acteon_replay_items', q{SELECT count(*) FROM acteon_replay_items(2)} ],
	[ 'acteon_replay_lineage', q{SELECT count(*) FROM acteon_replay_lineage('often')} ]);

my $session = $node->background_psql('postgres', on_error_stop => 0);
my $slowest = 0;

foreach (grep { !$ENV{ONLY} || $_->[0] =~ $ENV{ONLY} } @calls)
{
	my ($name, $call, $longest) = @$_;
	my ($count, $most) = (0, 0);

	for my $n (1 .. $cancels)
	{
		# The first ones early: then it is under way for certain.
		my $timeout = $n == 1 ? 10 + int rand 40 : 10 + int rand($longest || 1500);
		my $is_procedure = $call =~ /^CALL/;
		my ($begin, $end, $said);

		$session->query($is_procedure ? "SET statement_timeout = $timeout" : "BEGIN; SET LOCAL statement_timeout = $timeout");
		$session->{stderr} = '';
		$begin = time;
		$session->query($call);
		$end = time;
		$said = $session->{stderr};
		$session->query($is_procedure ? 'RESET statement_timeout' : 'ROLLBACK');
		next unless $said =~ /canceling statement due to statement timeout/;
		$count++;
		$most = $end - $begin - $timeout / 1000 if $end - $begin - $timeout / 1000 > $most;
	}
	cmp_ok($count, '>', 0, "$name runs long enough to be cancelled");
	cmp_ok($most, '<', $limit, sprintf('%s ends soon when it is cancelled: %d of %d times, %.3f s at most', $name, $count, $cancels, $most));
	$slowest = $most if $most > $slowest;
}
$session->quit;
note sprintf('cancelling takes %.3f s at most', $slowest);
is(sql('SELECT count(*) FROM acteon_dispatch_segment WHERE batch_id IN (2, 3)'), 2 * $actions, 'what was cancelled has changed nothing');

done_testing();
