# acteon_replay_all in many chunks: whatever ends it, nothing is replayed twice
# or left out; it can be steered while it runs, and it stays a bounded lead ahead
# of the deliveries.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Acteon;

my $records = 24_000;
my $seed = $ENV{ACTEON_SEED} // int(rand(1_000_000));
srand($seed);
note("seed $seed (set ACTEON_SEED to repeat)");

my $node = new_server('primary', streaming => 1, conf => "restart_after_crash = on\nautovacuum = off\n");

# Records of $records actions, some of them with a second record, without a
# payload, redacted, or of a tenant that op has no grant for.
$node->safe_psql('postgres', q{
	CREATE ROLE op LOGIN;
	CREATE ROLE relay LOGIN;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions)
	VALUES ('op', 'operator', '{acme}', '{prod}', '{*}'), ('relay', 'gateway', '{*}', '{*}', '{*}');
	CREATE PROCEDURE incident(actions integer) LANGUAGE sql AS $$
		INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details,
			metadata, dispatched_at, completed_at, duration_ms)
		SELECT 'rec-' || lpad(n::text, 7, '0') || k, 'a-' || n, 'prod', CASE WHEN n % 60 = 7 THEN 'globex' ELSE 'acme' END, 'email', 'send_email', 'allow', 'failed',
			CASE WHEN n % 50 = 3 THEN NULL WHEN n % 50 = 4 THEN '{"to": "[REDACTED]"}'::jsonb ELSE '{"to": "a@example.com"}' END, '{}', '{}', '{}',
			timestamptz '2026-01-01' + (n * 10 + k * 333) * interval '1 s', now(), 1
		FROM generate_series(1, actions) AS n, generate_series(0, 1) AS k
		WHERE k = 0 OR n % 40 = 1;
		ANALYZE acteon_audit
	$$;

	-- Waits until a query is true.  It looks every few milliseconds: what runs meanwhile shall not have come to its end.
	CREATE PROCEDURE wait_for(query text, seconds integer) LANGUAGE plpgsql AS $$
	DECLARE
		deadline CONSTANT timestamptz := clock_timestamp() + seconds * interval '1 s';
		is_true boolean;
	BEGIN
		LOOP
			EXECUTE query INTO is_true;
			EXIT WHEN is_true;
			IF clock_timestamp() > deadline THEN
				RAISE EXCEPTION 'not true in % s: %', seconds, query USING DETAIL = (SELECT jsonb_agg(b) FROM acteon_replay_batch AS b);
			END IF;
			COMMIT;
			PERFORM pg_sleep(0.005);
		END LOOP;
	END
	$$;

	-- A minute passes, in which a relay delivers whatever falls due, at once: so nothing is ever late, however slow the machine.
	CREATE PROCEDURE pass_minute() LANGUAGE plpgsql AS $$
	DECLARE
		passed interval := '0';
		step interval;
	BEGIN
		WHILE passed < '1 min' LOOP
			SELECT least(greatest(min(due_at) - clock_timestamp(), '0'), interval '1 min' - passed) INTO step FROM acteon_dispatch_segment;
			UPDATE acteon_replay_batch SET paced_until = paced_until - step;
			UPDATE acteon_dispatch_segment SET due_at = due_at - step;
			CALL deliver();
			passed := passed + step;
			COMMIT;
		END LOOP;
	END
	$$;

	-- A relay delivers what is due.
	CREATE PROCEDURE deliver() LANGUAGE sql AS $$
		WITH claimed AS MATERIALIZED (SELECT outbox_id, lease_token FROM acteon_outbox_claim('fake', 1000))
		SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_fill('"Executed"'::jsonb, ARRAY[count(*)::integer])) FROM claimed HAVING count(*) > 0
	$$;
});

# What a batch of everything must have come to, whatever happened on the way.
my $expected = $node->safe_psql('postgres', qq{
	CALL incident($records);
	SELECT count(DISTINCT action_id) FILTER (WHERE tenant = 'acme' AND action_payload = '{"to": "a\@example.com"}'),
		count(*) FILTER (WHERE tenant = 'acme' AND action_payload <> '{"to": "a\@example.com"}'),
		count(*) FILTER (WHERE tenant <> 'acme' OR action_payload IS NULL),
		count(*)
	FROM acteon_audit});
my ($replayable, $failing, $skipped, $all) = split(/\|/, $expected);
my $passed_over = $all - $replayable - $failing - $skipped;
cmp_ok($passed_over, '>', 100, 'some actions have several records');

# Begin a statement in a session of its own, as a role.
sub begin_call
{
	my ($sql, %options) = @_;
	my $call = { out => '', err => '', name => $options{name} // 'runner' };
	my $role = $options{role} // 'op';

	$call->{handle} = IPC::Run::start(
		[ 'psql', '-X', '-q', '-A', '-t', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres') . " application_name=$call->{name} user=$role", '-c', $sql ],
		'<', \undef, '>', \$call->{out}, '2>', \$call->{err});
	return $call;
}

# Wait until it ends; returns what it said on standard output.
sub end_call
{
	my ($call) = @_;

	$call->{handle}->finish;
	chomp $call->{out};
	return $call->{out};
}

# Wait until a query is true.
sub wait_for
{
	my ($sql, $what) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "CALL wait_for(\$query\$$sql\$query\$, $PostgreSQL::Test::Utils::timeout_default)");

	die "$what: $err" if $status != 0;
	return;
}

# Kill the runner's backend, unless it has come to its end, and wait until the
# server is back.
sub kill_backend
{
	my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE application_name = 'runner'});

	crash($node, $pid) if $pid ne '';
	return;
}

# A number out of the one batch.
sub batch
{
	my ($columns) = @_;

	return $node->safe_psql('postgres', "SELECT $columns FROM acteon_replay_batch ORDER BY id DESC LIMIT 1");
}

# Everything there is of all batches, as one line: every action once, and all counts equal.
my $state = q{
	SELECT concat_ws(' ', sum(b.replayed), sum(b.failed), sum(b.skipped), sum(b.passed_over), bool_and(b.is_complete),
		(SELECT count(*) FROM acteon_dispatch_outbox), (SELECT count(DISTINCT (tenant, original_action_id)) FROM acteon_dispatch_outbox),
		(SELECT sum(last_id - first_id + 1) FROM acteon_dispatch_segment), (SELECT count(*) FROM acteon_replay_refused),
		bool_and((b.failures ->> 'payload is redacted')::bigint = b.failed),
		bool_and(b.replayed = (SELECT count(*) FROM acteon_dispatch_outbox AS o WHERE o.batch_id = b.id AND o.id BETWEEN b.first_outbox_id AND b.last_outbox_id)),
		(SELECT count(*) FROM acteon_outbox_check()))
	FROM acteon_replay_batch AS b};
my $right = "$replayable $failing $skipped $passed_over t $replayable $replayable $replayable $failing t t 0";

# Empty everything but the records.
sub start_over
{
	wait_for(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'runner'}, 'no runner is left');
	$node->safe_psql('postgres', q{
		ALTER TABLE acteon_replay_log DISABLE TRIGGER acteon_replay_log_append_only;
		TRUNCATE acteon_replay_batch, acteon_replay_refused, acteon_dispatch_outbox, acteon_dispatch_action, acteon_dispatch_segment, acteon_dispatch_delivery, acteon_replay_tally, acteon_replay_log;
		ALTER TABLE acteon_replay_log ENABLE ALWAYS TRIGGER acteon_replay_log_append_only;
		ALTER SEQUENCE acteon_dispatch_outbox_id_seq RESTART;
		ALTER SEQUENCE acteon_replay_batch_id_seq RESTART});
	return;
}

# Undisturbed, and in how many transactions.
is(end_call(begin_call(q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', reason => 'undisturbed', chunk => 500)})), "1|$replayable|$failing|$skipped", 'undisturbed');
is($node->safe_psql('postgres', $state), $right, 'everything once');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT xmin::text) FROM acteon_dispatch_outbox}), int(($all + 499) / 500), 'a chunk is a transaction');

# End the runner, if there is one.
sub terminate_runner
{
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'runner'});
	return;
}

# Ended again and again, at random moments, in every way.
my %ways = (
	'SIGKILL of the backend' => \&kill_backend,
	'an immediate stop of the server' => sub { $node->stop('immediate'); $node->start },
	'pg_cancel_backend' => sub { $node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'runner'}) },
	'pg_terminate_backend' => \&terminate_runner,
	# The backend learns of it when it has something to say, which may take a while.
	'SIGKILL of psql' => sub { $_[0]{handle}->signal('KILL'); terminate_runner() });
foreach my $way (sort keys %ways)
{
	my $call;
	my $ends = 0;

	start_over();
	$call = begin_call(q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', reason => 'disturbed', chunk => 5)});
	for my $i (1 .. 4)
	{
		# At its first chunk, or after a share of what there is.
		my $from = 1 + ($i == 1 ? 0 : batch('replayed + failed + skipped + passed_over'));

		wait_for(sprintf('SELECT coalesce(max(replayed + failed + skipped + passed_over), 0) >= %d FROM acteon_replay_batch', $from + int(rand($all / 8))), $way);
		$ways{$way}->($call);
		end_call($call);
		wait_for(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'runner'}, 'the runner ends');
		last if batch('is_complete') eq 't';
		$ends++;
		is($node->safe_psql('postgres', q{SELECT replayed = (SELECT count(*) FROM acteon_dispatch_outbox) AND replayed = (SELECT sum(last_id - first_id + 1) FROM acteon_dispatch_segment)
				AND (SELECT count(*) FROM acteon_outbox_check()) = 0 FROM acteon_replay_batch}), 't', "$way: the batch says what is there");
		like($call->{err}, qr/^(CONTEXT:  )?batch 1, which CALL acteon_replay_continue\(1\) goes on with/m, '… and the error how to go on') if $way eq 'pg_cancel_backend';
		$call = begin_call('CALL acteon_replay_continue(1, 5)');
	}
	cmp_ok($ends, '>=', 2, "$way: it was ended half-way");
	end_call($call);
	$node->safe_psql('postgres', 'CALL acteon_replay_continue(1)');
	is($node->safe_psql('postgres', $state), $right, "$way: everything once");
	cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_replay_log WHERE event = 'continue' AND batch_id = 1}), '>=', $ends, '… and every continuation is logged');
}

# Several who go on with one batch at once.
start_over();
my $call = begin_call(q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', chunk => 5)});
wait_for('SELECT max(replayed) > 500 FROM acteon_replay_batch', 'it has begun');
my @others = map { begin_call('CALL acteon_replay_continue(1)', name => "other$_") } 1 .. 3;
end_call($_) foreach $call, @others;
is($node->safe_psql('postgres', $state), $right, 'four runners at once: everything once');
is(join(' ', map { $_->{out} } $call, @others), join(' ', ("1|$replayable|$failing|$skipped") x 4), 'each of them says how it ended');
is(join('', map { $_->{err} =~ /ERROR/ ? $_->{err} : '' } $call, @others), '', 'none of them fails');

# Two batches for the same records at once, and calls of acteon_replay_bulk between them.
start_over();
@others = map { begin_call(qq{CALL acteon_replay_all(canary => 'off', outcome => 'failed', chunk => 97, newest_first => $_)}, name => "other$_") } 'true', 'false';
for (1 .. 5)
{
	$node->safe_psql('postgres', q{SET ROLE op; SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', max_records => 500)});
}
end_call($_) foreach @others;
is($node->safe_psql('postgres', q{SELECT concat_ws(' ', count(*), count(DISTINCT (tenant, original_action_id)), (SELECT sum(replayed) FROM acteon_replay_batch),
		(SELECT count(*) FROM acteon_outbox_check())) FROM acteon_dispatch_outbox}), "$replayable $replayable $replayable 0", 'batches for the same records: every action once')
	or diag(map { $_->{err} } @others);

# Paused while it runs, with records that come and go meanwhile; then resumed.
start_over();
$call = begin_call(q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', chunk => 5, reason => 'steered')});
wait_for('SELECT max(replayed) > 500 FROM acteon_replay_batch', 'it has begun');
$node->safe_psql('postgres', q{SET ROLE op; SELECT acteon_replay_pause(1, 'the provider is down again')});
my $paused_at = batch('replayed');
$node->safe_psql('postgres', q{
	INSERT INTO acteon_audit SELECT (jsonb_populate_record(NULL::acteon_audit, to_jsonb(a) || jsonb_build_object('id', 'new-' || n, 'action_id', 'new-' || n, 'dispatched_at', now()))).*
	FROM (SELECT * FROM acteon_audit WHERE action_id = 'a-1' LIMIT 1) AS a, generate_series(1, 100) AS n;
	DELETE FROM acteon_audit WHERE dispatched_at >= (SELECT max(dispatched_at) FROM acteon_audit WHERE action_id LIKE 'a-%') - interval '1 hour' AND action_id LIKE 'a-%'});
wait_for(q{SELECT wait_event = 'Extension' FROM pg_stat_activity WHERE application_name = 'runner'}, 'the runner waits');
is(batch('replayed'), $paused_at, 'a paused batch stays where it is');
my $gone = $all - $node->safe_psql('postgres', q{SELECT count(*) FROM acteon_audit WHERE action_id LIKE 'a-%'});
cmp_ok($gone, '>', 100, 'records have gone meanwhile');
# While it waits it holds nothing that a vacuum would have to respect: only the lock that
# tells that somebody goes on with the batch.  What it waits for and what it holds are not
# read at one moment, so now and then it seems to.
my $free = 0;
for (1 .. 20)
{
	$free += $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'runner' AND wait_event = 'Extension'
		AND backend_xid IS NULL AND backend_xmin IS NULL AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype NOT IN ('virtualxid', 'object') AND pid IS NOT NULL)});
	usleep(50_000);
}
sleep(5);	# longer than it goes on without telling its progress
cmp_ok($free, '>=', 10, 'a runner that waits holds no transaction, no snapshot and no locks');
$node->safe_psql('postgres', q{SET ROLE op; SELECT acteon_replay_resume(1)});
end_call($call);
is($node->safe_psql('postgres', q{SELECT concat_ws(' ', count(*) = b.replayed, count(DISTINCT (tenant, original_action_id)) = b.replayed, b.is_complete,
		b.matched - (b.replayed + b.failed + b.skipped + b.passed_over), count(*) FILTER (WHERE original_action_id LIKE 'new-%'), (SELECT count(*) FROM acteon_outbox_check()))
		FROM acteon_dispatch_outbox AS o JOIN acteon_replay_batch AS b ON b.id = o.batch_id GROUP BY b.id}), "t t t $gone 0 0",
	'what was recorded meanwhile is left out, what was deleted is not there, the rest once');
like($call->{err}, qr/NOTICE:  00000: batch 1 is paused\nDETAIL:  Reason: the provider is down again/, 'the runner says that it is paused');
is(scalar(() = $call->{err} =~ /batch 1 is paused/g), 1, '… once');
like($call->{err}, qr/batch 1 is paused.*batch 1 continues\n.*records examined \(\d{1,2} %\).*records examined/s, '… and that it goes on, and how far it has come');
$node->safe_psql('postgres', "TRUNCATE acteon_audit; CALL incident($records)");

# A grant that is taken away ends it; one that comes back has it go on.
start_over();
$call = begin_call(q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', chunk => 5)});
wait_for('SELECT max(replayed) > 500 FROM acteon_replay_batch', 'it has begun');
$node->safe_psql('postgres', q{DELETE FROM acteon_grants WHERE grantee = 'op'::regrole});
end_call($call);
like($call->{err}, qr/ERROR:  42501: insufficient permissions: replay requires admin or operator role/, 'without a grant it ends');
is(fails_with($node, 'SET ROLE op; CALL acteon_replay_continue(1)'), '42501: insufficient permissions: batch 1 can be steered by the role that started it, by its members, and by admins',
	'… and cannot be gone on with');
$node->safe_psql('postgres', q{INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('op', 'operator', '{acme}', '{prod}', '{*}')});
end_call(begin_call('CALL acteon_replay_continue(1)'));
is($node->safe_psql('postgres', $state), $right, 'with a grant again: everything once');

# Cancelled while it runs: it ends, and what it has enqueued is free.
start_over();
$call = begin_call(q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', chunk => 5)});
wait_for('SELECT max(replayed) > 500 FROM acteon_replay_batch', 'it has begun');
$node->safe_psql('postgres', q{SET ROLE op; SELECT acteon_replay_cancel(1)});
end_call($call);
like($call->{err}, qr/batch 1 is cancelled/, 'the runner says that the batch is cancelled');
is($call->{out}, batch(q{concat_ws('|', id, replayed, failed, skipped)}), '… and how far it came');
cmp_ok(batch('replayed'), '<', $replayable, '… which is not to the end');
end_call(begin_call(q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', chunk => 5000)}));
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_segment WHERE batch_id = 2}) > 0 ? batch('replayed') : '', $replayable, 'its actions are free for another batch');
is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_outbox_check()'), '0', 'nothing is lost or doubled');

# A rate: a minute ahead of the deliveries and no further.  The test moves the
# clock by moving the due times.
start_over();
my $ahead = q{SELECT b.replayed - coalesce((SELECT sum(actions) FROM acteon_replay_tally), 0) FROM acteon_replay_batch AS b};
$call = begin_call(q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', rate => 5, reason => 'slowly')});
# Records that are skipped or fail take their places; a few that are left are not worth a chunk.
wait_for('SELECT max(replayed) > 225 FROM acteon_replay_batch', 'the first lead');
my $lead = batch('replayed');
$node->safe_psql('postgres', q{UPDATE acteon_replay_batch SET paced_until = now()});
sleep(2);
is(batch('replayed'), $lead, 'time alone does not have it go on');
cmp_ok($lead, '<=', 300, "a minute's worth is enqueued at once");
my @ahead;
for my $round (1 .. 4)
{
	my $before = batch('replayed');

	$node->safe_psql('postgres', 'CALL pass_minute()');
	wait_for("SELECT replayed > $before FROM acteon_replay_batch", "round $round");
	push @ahead, $node->safe_psql('postgres', $ahead);
}
is(scalar(grep { $_ > 300 } @ahead), 0, "never more than a minute's worth ahead") or diag("@ahead");
# Deliveries alone do not, either: the due times are far ahead.
$node->safe_psql('postgres', q{UPDATE acteon_replay_batch SET paced_until = now() + interval '1 hour'; UPDATE acteon_dispatch_segment SET due_at = now(); CALL deliver()});
my $stays = batch('replayed');
sleep(2);
is(batch('replayed'), $stays, 'deliveries alone do not have it go on');
# The rate is read again for each chunk.
$node->safe_psql('postgres', q{SET ROLE op; SELECT acteon_replay_set_rate(1, 50)});
wait_for("SELECT replayed > $stays + 500 FROM acteon_replay_batch", 'another rate');
cmp_ok($node->safe_psql('postgres', $ahead), '<=', 3000, 'another rate has another lead');
$node->safe_psql('postgres', q{SET ROLE op; SELECT acteon_replay_set_rate(1, NULL)});
end_call($call);
is(batch("is_complete || ' ' || replayed"), "true $replayable", 'without a rate it goes on to the end');
is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_outbox_check()'), '0', 'nothing is lost or doubled');
# Meanwhile the caller is told every five seconds how far it is, and whether nobody takes what is due.
start_over();
$call = begin_call(q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', rate => 5)});
# Wait until the caller has been told something so many times.
sub wait_until_told
{
	my ($pattern, $times) = @_;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my @told = $call->{err} =~ /$pattern/g;

		return @told if @told >= $times || !$call->{handle}->pumpable;
		$call->{handle}->pump_nb;
		usleep(100_000);
	}
	return;
}
my @due_for = wait_until_told(qr/NOTICE: .*records examined .* replayed, .*; 0 finished\n.*due for (\d+) s, and no relay claims them/, 4);
is(scalar(@due_for), 4, 'a caller who waits is told that no relay takes anything') or diag($call->{err});
cmp_ok($due_for[0], '>=', 5, '… once it has been due for a while');
my ($shortest) = sort { $a <=> $b } map { $due_for[$_] - $due_for[ $_ - 1 ] } 1 .. $#due_for;
ok($shortest >= 5 && $shortest <= 7, '… every five seconds') or diag("@due_for");
my $all_due = $node->safe_psql('postgres', q{UPDATE acteon_dispatch_segment SET due_at = now(); CALL deliver(); SELECT sum(actions) FROM acteon_replay_tally});
is(scalar(wait_until_told(qr/; $all_due finished\n(?!.*no relay)/, 1)), 1, '… and how many are finished') or diag($call->{err});
terminate_runner();
end_call($call);
# In a maintenance window that is to come: the first minute's worth is enqueued, the rest waits for it.
start_over();
$call = begin_call(q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', rate => 1, start_at => now() + interval '1 hour')});
wait_for('SELECT max(replayed) > 45 FROM acteon_replay_batch', 'the first lead');
sleep(1);
is($node->safe_psql('postgres', q{SELECT concat_ws(' ', b.replayed BETWEEN 46 AND 60, min(s.due_at) = b.start_at, count(DISTINCT s.due_at) = b.replayed,
		b.paced_until - b.start_at = b.replayed * interval '1 s')
		FROM acteon_replay_batch AS b JOIN acteon_dispatch_segment AS s ON s.batch_id = b.id GROUP BY b.id}), 't t t t', 'a start to come: the first minute waits for it');
is(scalar(wait_until_told(qr/NOTICE: .*batch 1 waits for its start at .*\nHINT: .*can be cancelled meanwhile/, 1)), 1, '… and the caller is told, and that it need not wait') or diag($call->{err});
terminate_runner();
end_call($call);

# Who records failures while the batch's row is locked cannot pause it.  Whoever runs it does, before the next chunk.
start_over();
$call = begin_call(q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', chunk => 5, breaker_window => 4, breaker_share => 0.5)});
wait_for('SELECT max(replayed) >= 10 FROM acteon_replay_batch', 'the first chunks');
terminate_runner();
end_call($call);
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; SELECT FROM acteon_replay_batch FOR UPDATE');
$node->safe_psql('postgres', q{SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('no such thing'::text)) FROM acteon_outbox_claim('c', 5)});
$holder->query_safe('ROLLBACK');
$holder->quit;
is(batch('is_complete, stopped IS NULL'), 'f|t', 'what fails while the row is locked pauses nothing');
my $replayed = batch('replayed');
$call = begin_call('CALL acteon_replay_continue(1, 5)');
wait_for(q{SELECT is_complete OR stopped = 'paused' FROM acteon_replay_batch}, 'the runner looks at the breaker');
is(batch('is_complete, replayed, stop_reason'), "f|$replayed|circuit breaker: 4 of the last 4 deliveries failed", '… but the batch is paused before anything else is enqueued');
$node->safe_psql('postgres', 'SELECT acteon_replay_cancel(1)');
end_call($call);

# However many chunks, the memory stays the same, but for what one of them needs.
start_over();
$call = begin_call(q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', chunk => 1)}, role => 'postgres');
wait_for(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'runner'}, 'the runner is there');
my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE application_name = 'runner'});
my @memory;
foreach my $share (0.1, 0.4, 0.7)
{
	my $from = -s $node->logfile;

	wait_for(sprintf('SELECT max(replayed) > %d FROM acteon_replay_batch', $share * $replayable), 'it goes on');
	$node->safe_psql('postgres', "SELECT pg_log_backend_memory_contexts($pid)");
	for (1 .. 600)
	{
		last if slurp_file($node->logfile, $from) =~ /\[$pid\].*Grand total: (\d+) bytes/;
		usleep(50_000);
	}
	push @memory, slurp_file($node->logfile, $from) =~ /\[$pid\].*Grand total: (\d+) bytes/ ? $1 : 0;
}
end_call($call);
ok((!grep { $_ == 0 } @memory) && $memory[2] < $memory[0] + 700_000, 'memory does not grow with the chunks') or diag("@memory");

# On a standby.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is(fails_with($standby, q{CALL acteon_replay_all(canary => 'off', outcome => 'failed')}), '25006: cannot execute acteon_replay_all() during recovery', 'acteon_replay_all on a standby');
is(fails_with($standby, 'CALL acteon_replay_continue(1)'), '25006: cannot execute acteon_replay_continue() during recovery', 'acteon_replay_continue on a standby');

# A failover in mid-run: the standby goes on with what it has got.
start_over();
$call = begin_call(q{CALL acteon_replay_all(canary => 'off', outcome => 'failed', chunk => 5)});
$standby->poll_query_until('postgres', 'SELECT max(replayed) > 500 FROM acteon_replay_batch') or die 'the standby does not follow';
$node->stop('immediate');
end_call($call);
$standby->promote;
is($standby->safe_psql('postgres', 'SELECT id, is_complete FROM acteon_replay_batch'), '1|f', 'the standby has it half-way');
$standby->safe_psql('postgres', 'CALL acteon_replay_continue(1)');
is($standby->safe_psql('postgres', q{SELECT concat_ws(' ', count(*) = b.replayed, count(DISTINCT (tenant, original_action_id)) = b.replayed, b.is_complete,
		b.matched = b.replayed + b.failed + b.skipped + b.passed_over, (SELECT count(*) FROM acteon_outbox_check()))
		FROM acteon_dispatch_outbox AS o JOIN acteon_replay_batch AS b ON b.id = o.batch_id GROUP BY b.id}), 't t t t 0', 'after a failover: everything once');

done_testing();
