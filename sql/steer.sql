-- Steering a batch: pause, resume, cancel, set_rate; its circuit breaker; the log.
\set VERBOSITY terse
CALL clean();
CREATE FUNCTION pg_temp.make(first integer, last integer, tenant text DEFAULT 'acme') RETURNS bigint LANGUAGE sql AS $$
	SELECT count(make_record('s-' || n, tenant => make.tenant, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s')) FROM generate_series(first, last) AS n
$$;
-- Claims, and answers all of it: an outcome, an error of a nack, or a rejection.
CREATE FUNCTION pg_temp.claim(actions integer DEFAULT 1000) RETURNS text LANGUAGE sql AS $$
	SELECT count(*) || coalesce(': ' || min(outbox_id) || ' to ' || max(outbox_id), '') FROM acteon_outbox_claim('c', actions)
$$;
CREATE FUNCTION pg_temp.deliver(actions integer, outcome jsonb) RETURNS integer LANGUAGE sql AS $$
	SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg(outcome)) FROM acteon_outbox_claim('c', actions)
$$;
CREATE FUNCTION pg_temp.reject(actions integer) RETURNS integer LANGUAGE sql AS $$
	SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('bad'::text)) FROM acteon_outbox_claim('c', actions)
$$;
-- Gives everything back that is leased.
CREATE FUNCTION pg_temp.release() RETURNS integer LANGUAGE sql AS $$
	SELECT (acteon_outbox_nack(array_agg(id), array_agg(lease_token), array_agg(NULL::text))).given_back
	FROM acteon_dispatch_segment, generate_series(first_id, last_id) AS id WHERE lease_token IS NOT NULL
$$;
CREATE VIEW pg_temp.stops AS
	SELECT id, stopped, stopped_by = current_user AS by_me, stop_reason FROM acteon_replay_batch ORDER BY id;

-- a paused batch is not handed out, another one is
SELECT pg_temp.make(1, 250), pg_temp.make(301, 310, 'globex');
SELECT batch_id, replayed FROM acteon_replay_bulk(tenant => 'acme', max_records => 1000, canary => 'off');
SELECT batch_id, replayed FROM acteon_replay_bulk(tenant => 'globex');
SELECT pg_temp.claim(20);
SELECT * FROM acteon_replay_pause(1, 'provider is slow');
SELECT * FROM pg_temp.stops;
SELECT pg_temp.claim();
SELECT pg_temp.claim();
SELECT depth, due, leased, scheduled, retrying, paused, oldest_due_age FROM acteon_outbox_stats;
-- what waits was put aside; what is held can be answered
SELECT first_id, last_id, due_at = 'infinity' AS parked, holder FROM acteon_dispatch_segment ORDER BY first_id;
SELECT acteon_outbox_ack(array[1, 2], array[lease_token, lease_token], array[NULL, '"Executed"'::jsonb]) FROM acteon_dispatch_segment WHERE first_id = 1;
SELECT acteon_outbox_nack(array[3, 4], array[lease_token, lease_token], array['boom', NULL], array['0 s', '0 s']::interval[]) FROM acteon_dispatch_segment WHERE first_id = 3;
SELECT pg_temp.claim();
SELECT * FROM acteon_replay_pause(1);
SELECT * FROM acteon_outbox_check();
-- a replay of a paused action is still in the way
SELECT replayed FROM acteon_replay_bulk(tenant => 'acme', max_records => 1000, canary => 'off');
-- resumed, it goes on
SELECT * FROM acteon_replay_resume(1, 'it is quick again');
SELECT * FROM acteon_replay_resume(1);
SELECT * FROM pg_temp.stops;
SELECT pg_temp.claim();
SELECT * FROM acteon_outbox_check();

-- what nobody answered about on the last attempt is in doubt, paused or not, and held when the patience is over
SELECT pg_temp.make(351, 353, 'initech');
SELECT batch_id FROM acteon_replay_bulk(tenant => 'initech') \gset
SET acteon_replay.max_attempts = 1;
SELECT pg_temp.claim(1), pg_temp.claim(1);
SELECT state, waiting, in_flight FROM acteon_replay_pause(:batch_id);
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE batch_id = :batch_id AND holder IS NOT NULL;
SELECT pg_temp.claim();
SELECT state, attempts, doubt, held FROM acteon_replay_items(:batch_id);
SELECT state, waiting, in_flight, in_doubt FROM acteon_replay_batches WHERE batch_id = :batch_id;
SELECT state, waiting, in_flight FROM acteon_replay_resume(:batch_id);
SELECT pg_temp.claim();
SET acteon_replay.gateway_patience = 0;
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE batch_id = :batch_id AND doubt IS NOT NULL;
SELECT pg_temp.claim();
SELECT state, attempts, held FROM acteon_replay_items(:batch_id, 'held');
SELECT acteon_replay_settle(:batch_id, 'cancel', 'initech has none');
SELECT state, attempts, error, known_by FROM acteon_replay_items(:batch_id);
RESET acteon_replay.gateway_patience;
RESET acteon_replay.max_attempts;
SELECT * FROM acteon_outbox_check();

-- a cancelled batch is not handed out, and its actions are free
SELECT pg_temp.make(401, 700);
SELECT batch_id, replayed FROM acteon_replay_bulk(from_time => '2026-01-01 12:06:41+00', max_records => 1000, canary => 'off');
SELECT pg_temp.claim(10);
SELECT batch_id FROM acteon_dispatch_outbox WHERE original_action_id = 's-401' \gset
SELECT * FROM acteon_replay_cancel(:batch_id, 'wrong tenant');
SELECT * FROM acteon_replay_cancel(:batch_id);
SELECT stopped, stop_reason FROM acteon_replay_batch WHERE id = :batch_id;
SELECT state, outcome, sum(actions) FROM acteon_replay_tally WHERE batch_id = :batch_id GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*), min(d.attempts), max(d.attempts), min(d.error) FROM acteon_dispatch_delivery AS d JOIN acteon_dispatch_outbox AS o ON o.id = d.outbox_id WHERE o.batch_id = :batch_id AND state = 'cancelled';
SELECT pg_temp.claim();
SELECT original_action_id, (SELECT string_agg(l.state, ', ' ORDER BY l.generation) FROM acteon_replay_lineage(original_action_id) AS l) AS states
FROM acteon_dispatch_outbox WHERE original_action_id IN ('s-401', 's-700');
-- what was in flight ends as it ends; what comes back is cancelled
SELECT lease_token AS token, first_id FROM acteon_dispatch_segment WHERE batch_id = :batch_id \gset
SELECT acteon_outbox_ack(array[:first_id], array[:token], array['"Executed"'::jsonb]);
SELECT acteon_outbox_nack(array[:first_id + 1], array[:token], array['boom'], array['1 h']::interval[]);
SELECT l.state FROM acteon_dispatch_outbox AS o, acteon_replay_lineage(o.original_action_id) AS l WHERE o.id BETWEEN :first_id AND :first_id + 2 AND l.id = o.action_id::text ORDER BY o.id;
SELECT depth, due, leased, scheduled, retrying, paused FROM acteon_outbox_stats;
SELECT batch_id, replayed, skipped FROM acteon_replay_bulk(from_time => '2026-01-01 12:06:41+00', max_records => 1000, canary => 'off');
SELECT generation, count(*), count(*) FILTER (WHERE s.first_id IS NOT NULL) AS queued FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_segment AS s ON o.id BETWEEN s.first_id AND s.last_id
WHERE original_action_id >= 's-401' GROUP BY 1 ORDER BY 1;
SELECT * FROM acteon_outbox_check();
SELECT attempt(format('SELECT acteon_replay_%s(%s)', what, :batch_id)) FROM unnest(array['pause', 'resume']) AS what;
SELECT attempt(format('SELECT acteon_replay_set_rate(%s, 5)', :batch_id));
-- a lease that runs out in a cancelled batch is not handed out again: it is in doubt, and not cancelled before a person says so
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE batch_id = :batch_id AND lease_token IS NOT NULL;
SELECT count(*) FROM acteon_dispatch_segment WHERE batch_id = :batch_id;
SELECT acteon_outbox_purge('1 day');
SELECT pg_temp.claim();
SELECT sum(last_id - first_id + 1) AS actions, count(holder) AS held_by, min(doubt) AS doubt FROM acteon_dispatch_segment WHERE batch_id = :batch_id;
SELECT stopped FROM acteon_replay_batch WHERE id = :batch_id;
SELECT state, in_doubt, cancelled FROM acteon_replay_batches WHERE batch_id = :batch_id;
SELECT acteon_replay_settle(:batch_id, 'cancel', 'never sent');
SELECT acteon_outbox_purge('1 day');
SELECT count(*) FROM acteon_dispatch_segment WHERE batch_id = :batch_id;
SELECT stopped FROM acteon_replay_batch WHERE id = :batch_id;
SELECT * FROM acteon_outbox_check();
-- what a cancel leaves to the claims is not handed out, however much it is
CALL clean();
SELECT pg_temp.make(1, 1300);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off') \gset
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
UPDATE acteon_replay_batch SET stopped = 'cancelling', stopped_at = now();
SELECT pg_temp.claim(), depth FROM acteon_outbox_stats;
SELECT state, count(*) FROM acteon_dispatch_outbox AS o, acteon_replay_lineage(original_action_id) AS l WHERE l.id = o.action_id::text GROUP BY 1;
SELECT pg_temp.claim(), (SELECT string_agg(stopped, ', ') FROM acteon_replay_batch) AS stopped;
SELECT pg_temp.claim();
SELECT count(*), min(state) FROM acteon_dispatch_delivery;
SELECT * FROM acteon_outbox_check();
-- dead actions of a cancelled batch are not redriven
CALL clean();
SELECT pg_temp.make(801, 802);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2026-01-01 12:13:21+00') \gset
SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('bad'::text)) FROM acteon_outbox_claim('c', 1) AS c;
SELECT acteon_replay_cancel(:batch_id);
SELECT * FROM acteon_outbox_redrive(batch_id => :batch_id);

-- what a claim has parked or swept stands in a lane that it looks at later
CALL clean();
SELECT count(make_record('l-' || n, at => timestamptz '2026-01-01' + n * interval '1 s', metadata => '{"__fingerprint": "f"}')) FROM generate_series(1, 2) AS n;
SELECT count(make_record('m-1', at => '2026-01-02'));
SELECT batch_id AS one FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1) \gset
SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('bad'::text)) FROM acteon_outbox_claim('c');
SELECT batch_id AS two FROM acteon_replay_bulk(from_time => '2026-01-01 00:00:02', max_records => 1) \gset
SELECT batch_id AS three FROM acteon_replay_bulk(from_time => '2026-01-02') \gset
SELECT outbox_id FROM acteon_outbox_claim('c', 1);
SELECT pg_temp.release();
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 h' WHERE was_claimed;
SELECT state FROM acteon_replay_pause(:two);
SELECT redriven FROM acteon_outbox_redrive(batch_id => :one);
SELECT batch_id FROM acteon_outbox_claim('c') AS c JOIN acteon_dispatch_outbox AS o ON o.id = c.outbox_id ORDER BY 1;
SELECT batch_id FROM acteon_outbox_claim('c') AS c JOIN acteon_dispatch_outbox AS o ON o.id = c.outbox_id ORDER BY 1;
SELECT * FROM acteon_outbox_check();

-- the rate, while it runs
CALL clean();
SELECT pg_temp.make(1, 250);
CREATE FUNCTION pg_temp.pace(batch bigint) RETURNS TABLE (actions bigint, from_s numeric, to_s numeric, gap_s text) LANGUAGE sql AS $$
	WITH s AS (SELECT last_id - first_id + 1 AS n, due_at, min(due_at) OVER () AS start, lead(due_at) OVER (ORDER BY first_id) AS next FROM acteon_dispatch_segment WHERE batch_id = batch)
	SELECT n, round(extract(epoch FROM min(due_at) - min(start)), 1), round(extract(epoch FROM max(due_at) - min(start)), 1), string_agg(DISTINCT round(extract(epoch FROM next - due_at), 1)::text, ' ')
	FROM s GROUP BY n ORDER BY n
$$;
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off', rate => 50) \gset
SELECT * FROM pg_temp.pace(:batch_id);
SELECT * FROM acteon_replay_set_rate(:batch_id, 10, 'slower');
SELECT * FROM pg_temp.pace(:batch_id);
SELECT rate, paced_until - now() BETWEEN '24 s' AND '26 s' AS paced FROM acteon_replay_batch;
SELECT * FROM acteon_replay_set_rate(:batch_id, NULL);
SELECT count(DISTINCT due_at), bool_and(due_at <= clock_timestamp()) AS due FROM acteon_dispatch_segment;
SELECT rate, paced_until FROM acteon_replay_batch;
-- resumed, it keeps its rate, from now on
SELECT * FROM acteon_replay_set_rate(:batch_id, 25);
SELECT * FROM acteon_replay_pause(:batch_id);
UPDATE acteon_dispatch_segment SET due_at = due_at - interval '1 h';
SELECT pg_temp.claim();
SELECT * FROM acteon_replay_set_rate(:batch_id, 50);
SELECT * FROM acteon_replay_resume(:batch_id);
SELECT * FROM pg_temp.pace(:batch_id);
SELECT min(due_at) BETWEEN now() - interval '1 min' AND now() + interval '1 s' AS from_now FROM acteon_dispatch_segment;
-- a retry is not due before its time; what was in flight when its lease ran out is in doubt, and neither paced nor parked
SELECT acteon_outbox_nack(array_agg(outbox_id), array_agg(lease_token), array_agg('boom'::text), array_agg('1 h'::interval)) FROM acteon_outbox_claim('c', 1);
SELECT outbox_id FROM acteon_outbox_claim('c', 1);
SELECT * FROM acteon_replay_set_rate(:batch_id, 50);
SELECT first_id, attempt, due_at > now() + interval '50 min' AS later FROM acteon_dispatch_segment WHERE was_claimed AND lease_token IS NULL;
SELECT acteon_replay_pause(:batch_id);
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s';
SELECT pg_temp.claim();
SELECT count(*) FILTER (WHERE due_at = 'infinity' AND lease_token IS NULL) AS parked, count(doubt) AS in_doubt FROM acteon_dispatch_segment;
SELECT * FROM acteon_replay_resume(:batch_id);
SELECT * FROM acteon_replay_set_rate(:batch_id, NULL);
SELECT pg_temp.claim();
SELECT * FROM acteon_outbox_check();
SELECT pg_temp.release();
SELECT acteon_replay_settle(:batch_id, 'cancel', 'never sent');
-- nobody claims for a minute: what fell due does not come as a flood
SELECT acteon_replay_cancel(:batch_id);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off', rate => 10, max_generation => 100) \gset
UPDATE acteon_dispatch_segment SET due_at = due_at - interval '1 min' WHERE batch_id = :batch_id;
SELECT pg_temp.claim();
SELECT pg_temp.claim();
SELECT * FROM pg_temp.pace(:batch_id);
SELECT min(due_at) > now() - interval '1 min' AND min(due_at) <= now() + interval '1 s' AS from_now FROM acteon_dispatch_segment WHERE batch_id = :batch_id AND lease_token IS NULL;
SELECT paced_until - clock_timestamp() BETWEEN '20 s' AND '26 s' AS paced FROM acteon_replay_batch WHERE id = :batch_id;
-- a little late is just late; so is what was given back
UPDATE acteon_dispatch_segment SET due_at = clock_timestamp() - interval '4 s' WHERE batch_id = :batch_id AND lease_token IS NULL;
SELECT pg_temp.claim(30);
SELECT pg_temp.release();
UPDATE acteon_dispatch_segment SET due_at = clock_timestamp() - interval '1 h' WHERE batch_id = :batch_id AND was_claimed;
SELECT pg_temp.claim(40);
SELECT * FROM acteon_outbox_check();
SELECT pg_temp.release();
-- never before its time
SELECT acteon_replay_cancel(:batch_id);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off', start_at => '2100-01-01') \gset
SELECT acteon_replay_pause(:batch_id);
SELECT acteon_replay_resume(:batch_id);
SELECT acteon_replay_set_rate(:batch_id, 100);
SELECT min(due_at) >= '2100-01-01' AS not_yet FROM acteon_dispatch_segment;
SELECT acteon_replay_set_rate(:batch_id, NULL);
SELECT min(due_at) >= '2100-01-01' AS not_yet FROM acteon_dispatch_segment;
SELECT * FROM acteon_outbox_check();

-- a ramp: the first tenth at a tenth of the rate
CALL clean();
SELECT pg_temp.make(1, 200);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off', rate => 20, ramp => true) \gset
SELECT n, round(extract(epoch FROM due_at - start), 1) AS due_s FROM (SELECT row_number() OVER (ORDER BY first_id) AS n, due_at, min(due_at) OVER () AS start FROM acteon_dispatch_segment) AS s ORDER BY n;
-- … and what is left of it, whatever happens on the way: a pause, another rate, nobody who claims
CREATE FUNCTION pg_temp.due() RETURNS TABLE (due_s numeric, actions numeric) LANGUAGE sql AS $$
	SELECT round(extract(epoch FROM due_at - min(due_at) OVER ()), 1), last_id - first_id + 1 FROM acteon_dispatch_segment ORDER BY due_at LIMIT 4
$$;
UPDATE acteon_dispatch_segment SET due_at = now() WHERE first_id = (SELECT min(first_id) FROM acteon_dispatch_segment);
SELECT pg_temp.deliver(15, '"Executed"');
SELECT rate, time_left FROM acteon_replay_batches;
SELECT state FROM acteon_replay_pause(:batch_id);
SELECT state FROM acteon_replay_resume(:batch_id);
SELECT * FROM pg_temp.due();
SELECT state FROM acteon_replay_set_rate(:batch_id, 40);
SELECT * FROM pg_temp.due();
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 min';
SELECT pg_temp.claim();
SELECT * FROM pg_temp.due();
UPDATE acteon_dispatch_segment SET due_at = now();
SELECT pg_temp.deliver(15, '"Executed"');
SELECT state FROM acteon_replay_set_rate(:batch_id, 20);
SELECT * FROM pg_temp.due();
SELECT rate, time_left FROM acteon_replay_batches;

-- the circuit breaker
CALL clean();
SELECT pg_temp.make(1, 400);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 100, breaker_window => 20, breaker_share => 0.25) \gset
SELECT query, breaker_window, breaker_share FROM acteon_replay_batch;
SELECT pg_temp.deliver(5, '{"Failed": {"code": "x"}}');
SELECT pg_temp.deliver(5, '{"Executed": {}}');
SELECT stopped FROM acteon_replay_batch;
SELECT pg_temp.deliver(10, '{"Executed": {}}');
SELECT stopped FROM acteon_replay_batch;
SELECT pg_temp.deliver(10, '{"Executed": {}}');
SELECT pg_temp.deliver(5, '"CircuitOpen"');
SELECT stopped FROM acteon_replay_batch;
SELECT pg_temp.reject(1);
SELECT stopped, stopped_by, stop_reason FROM acteon_replay_batch;
SELECT pg_temp.claim();
-- resumed, it begins anew; and it does not wait until its window is full
SELECT * FROM acteon_replay_resume(:batch_id);
SELECT pg_temp.reject(5);
SELECT stopped FROM acteon_replay_batch;
SELECT pg_temp.reject(1);
SELECT stopped, stop_reason FROM acteon_replay_batch;
SELECT state, outcome, sum(actions) FROM acteon_replay_tally GROUP BY 1, 2 ORDER BY 1, 2;
SELECT redriven FROM acteon_outbox_redrive(batch_id => :batch_id);
SELECT state, outcome, sum(actions) FROM acteon_replay_tally GROUP BY 1, 2 ORDER BY 1, 2;
SELECT * FROM acteon_outbox_check();
-- by default half of fifty; 0 turns it off
SELECT batch_id FROM acteon_replay_bulk(max_records => 100, from_time => '2026-01-01 12:01:41+00') \gset
SELECT pg_temp.reject(25);
SELECT stopped FROM acteon_replay_batch WHERE id = :batch_id;
SELECT pg_temp.reject(1);
SELECT stopped, stop_reason FROM acteon_replay_batch WHERE id = :batch_id;
SELECT batch_id FROM acteon_replay_bulk(max_records => 100, from_time => '2026-01-01 12:03:21+00', breaker_window => 0) \gset
SELECT pg_temp.reject(100);
SELECT stopped, breaker_window, breaker_share FROM acteon_replay_batch WHERE id = :batch_id;
SELECT * FROM acteon_replay_pause(:batch_id);
SELECT * FROM acteon_replay_cancel(:batch_id);

-- purging folds the tally and keeps its sums
SELECT count(acteon_replay_cancel(id, 'over')) FROM acteon_replay_batch WHERE id < :batch_id;
UPDATE acteon_replay_tally SET finished_at = finished_at - interval '2 days';
CREATE TEMP TABLE sums AS SELECT batch_id, state, outcome, sum(actions) FROM acteon_replay_tally GROUP BY 1, 2, 3 HAVING sum(actions) <> 0;
SELECT acteon_outbox_purge('1 day', reason => 'nightly');
SELECT count(*) AS rows, (SELECT count(*) FROM sums) AS sums FROM acteon_replay_tally;
SELECT batch_id, state, outcome, actions FROM acteon_replay_tally EXCEPT SELECT * FROM sums;
SELECT * FROM acteon_outbox_check();

-- the log
SELECT event, batch_id, role_name = current_user AS by_me, session_role = session_user AS my_session, reason, details FROM acteon_replay_log ORDER BY id;

-- bad input
SELECT attempt('SELECT acteon_replay_pause(4711)'), attempt('SELECT acteon_replay_pause(NULL)'), attempt('SELECT acteon_replay_cancel(NULL)');
SELECT attempt(format('SELECT acteon_replay_set_rate(1, %s)', rate)) FROM unnest(array['0', '-1', '''NaN''', '''Infinity''']) AS rate;
SELECT attempt(format('SELECT acteon_replay_bulk(%s)', arguments)) FROM unnest(array['breaker_window => -1', 'breaker_share => 1', 'breaker_share => -0.1', 'breaker_share => ''NaN''',
	'dedup => ''maybe''', 'provider_override => ''''', 'max_generation => 0', 'max_depth => 0']) AS arguments;
SET acteon_replay.require_reason = on;
SELECT attempt('SELECT acteon_replay_pause(1)'), attempt('SELECT acteon_replay_bulk(outcome => ''failed'', reason => '' '')'), attempt('SELECT acteon_replay(''s-1'')'), attempt('SELECT acteon_outbox_purge(''1 day'')'), attempt('SELECT acteon_outbox_redrive()');
RESET acteon_replay.require_reason;

-- who may steer
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_acteon_a, regress_acteon_b, regress_acteon_admin, regress_acteon_none;
RESET client_min_messages;
CREATE ROLE regress_acteon_a;
CREATE ROLE regress_acteon_b;
CREATE ROLE regress_acteon_admin;
CREATE ROLE regress_acteon_none;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES
	('regress_acteon_a', 'operator', '{acme}', '{*}', '{*}'), ('regress_acteon_b', 'operator', '{*}', '{*}', '{*}'), ('regress_acteon_admin', 'admin', '{acme}', '{*}', '{*}');
SELECT pg_temp.make(1001, 1004), pg_temp.make(1005, 1006, 'globex');
SET ROLE regress_acteon_a;
SELECT batch_id AS of_a FROM acteon_replay_bulk(from_time => '2026-01-01 12:16:41+00', to_time => '2026-01-01 12:16:42+00') \gset
SET ROLE regress_acteon_b;
SELECT batch_id AS of_b FROM acteon_replay_bulk(from_time => '2026-01-01 12:16:43+00') \gset
RESET ROLE;
CREATE FUNCTION pg_temp.try(who name, batch bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE format('SET ROLE %I', who);
	answer := left(attempt(format('SELECT state FROM acteon_replay_pause(%s)', batch)), 100);
	EXECUTE format('SELECT acteon_replay_resume(%s)', batch);
	RESET ROLE;
	RETURN answer;
EXCEPTION WHEN insufficient_privilege THEN
	RESET ROLE;
	RETURN answer;
END
$$;
SELECT who, pg_temp.try(who, :of_a) AS of_a, pg_temp.try(who, :of_b) AS of_b FROM unnest(array['regress_acteon_a', 'regress_acteon_b', 'regress_acteon_admin', 'regress_acteon_none']) AS who;
-- one who lost his grants loses this, too
DELETE FROM acteon_grants WHERE grantee = 'regress_acteon_a'::regrole;
SELECT pg_temp.try('regress_acteon_a', :of_a);
DELETE FROM acteon_grants;
DROP ROLE regress_acteon_a, regress_acteon_b, regress_acteon_admin, regress_acteon_none;
