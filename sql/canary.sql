-- Canaries: a batch goes out in steps, and the next step begins when the audit table shows that the actions of the last one took effect.
\set VERBOSITY terse
CALL clean();
CREATE TEMP TABLE held (outbox_id bigint, lease_token bigint, action_id uuid);
CREATE FUNCTION pg_temp.make(last integer) RETURNS bigint LANGUAGE sql AS $$
	CALL clean();
	SELECT count(make_record('c' || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s')) FROM generate_series(1, last) AS i
$$;
-- Claims everything there is; how many, and the first and last of them.
CREATE FUNCTION pg_temp.take() RETURNS text LANGUAGE sql AS $$
	WITH got AS (INSERT INTO held SELECT outbox_id, lease_token, action_id FROM acteon_outbox_claim('c', 1000, '1 h') RETURNING *)
	SELECT count(*) || coalesce(': ' || min(outbox_id) || ' to ' || max(outbox_id), '') FROM got
$$;
-- The gateway records an outcome of the actions that are held.
CREATE FUNCTION pg_temp.record(outcome text DEFAULT 'executed', details jsonb DEFAULT '{"status": "Success"}', ids bigint[] DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
	WITH recorded AS (
		INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms)
		SELECT 'rec-' || h.action_id, h.action_id, namespace, tenant, provider, action_type, 'allow', record.outcome, payload, '{}', details, '{}', clock_timestamp(), clock_timestamp(), 1
		FROM held AS h JOIN acteon_dispatch_outbox AS o ON o.id = h.outbox_id WHERE ids IS NULL OR o.id = ANY (ids) ON CONFLICT DO NOTHING RETURNING 1)
	SELECT count(*) FROM recorded
$$;
-- They are answered.
CREATE FUNCTION pg_temp.answer(answer jsonb DEFAULT '{"Executed": {"status": "success"}}') RETURNS integer LANGUAGE sql AS $$
	WITH done AS (DELETE FROM held RETURNING *)
	SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg(answer), array_agg(action_id)) FROM done
$$;
CREATE VIEW pg_temp.batch AS
	SELECT batch_id, state, waiting, delivered, canary, regexp_replace(stop_reason, ' \(.*|, for example .*', '') AS stop_reason FROM acteon_replay_batches ORDER BY batch_id;
-- Takes step after step, with good records; which steps there were.
CREATE FUNCTION pg_temp.run() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	step text;
BEGIN
	LOOP
		step := pg_temp.take();
		EXIT WHEN step = '0';
		RETURN NEXT step;
		PERFORM pg_temp.record();
		PERFORM pg_temp.answer();
	END LOOP;
END $$;
-- Looks until something is handed out or the batch is stopped: records that are missing are not asked for all the time.
CREATE FUNCTION pg_temp.wait() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	step text;
BEGIN
	FOR i IN 1 .. 1000 LOOP
		step := pg_temp.take();
		EXIT WHEN step <> '0' OR EXISTS (SELECT FROM acteon_replay_batch WHERE stopped IS NOT NULL);
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN step;
END $$;

-- more than 100 actions begin so, by default
SELECT pg_temp.make(150);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 150);
SELECT * FROM pg_temp.batch;
SELECT depth, due, scheduled, canary FROM acteon_outbox_stats;
SELECT * FROM pg_temp.run();
SELECT * FROM pg_temp.batch;
SELECT first_id FROM acteon_dispatch_segment;
SELECT violation, outbox_id FROM acteon_outbox_check();
-- 100 do not; nor do more, if they are to go out at once
SELECT pg_temp.make(101);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 100);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 200, include_replayed => true, canary => 'off');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 3, include_replayed => true, canary => 'auto');
SELECT * FROM pg_temp.batch;
SELECT pg_temp.take();
DELETE FROM held;

-- what is held back is not handed out, whenever it is due
SELECT pg_temp.make(12);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', canary => 'auto');
UPDATE acteon_dispatch_segment SET due_at = now();
SELECT pg_temp.take(), pg_temp.take();
SELECT first_id, last_id, due_at = 'infinity' AS held_back FROM acteon_dispatch_segment ORDER BY 1;
-- one that ends behind the step is cut
UPDATE acteon_dispatch_segment SET first_id = 2, due_at = now() WHERE first_id > 1;
UPDATE acteon_replay_batch SET canary_last_id = 4;
SELECT pg_temp.take(), pg_temp.take();
SELECT first_id, last_id, due_at = 'infinity' AS held_back FROM acteon_dispatch_segment ORDER BY 1;
SELECT violation, outbox_id FROM acteon_outbox_check();
-- and a lease behind it is found, as is what would never be due
UPDATE acteon_replay_batch SET canary_last_id = 3;
SELECT violation, outbox_id FROM acteon_outbox_check();
UPDATE acteon_replay_batch SET canary_step = NULL, canary_first_id = NULL, canary_last_id = NULL;
SELECT violation, outbox_id FROM acteon_outbox_check();
DELETE FROM held;

-- Each kind of failure stops the batch after the first action, whatever was answered.
CREATE FUNCTION pg_temp.fails(outcome text, details jsonb, answer jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	step text;
BEGIN
	PERFORM pg_temp.make(120);
	PERFORM acteon_replay_bulk(from_time => '2000-01-01', max_records => 120);
	step := pg_temp.take();
	IF outcome IS NOT NULL THEN
		PERFORM pg_temp.record(outcome, details);
	END IF;
	IF answer IS NULL THEN
		PERFORM acteon_outbox_reject(ARRAY[outbox_id], ARRAY[lease_token], ARRAY['413: too large']) FROM held;
		DELETE FROM held;
	ELSE
		PERFORM pg_temp.answer(answer);
	END IF;
	RETURN concat_ws(' | ', step, pg_temp.take(), (SELECT state || ' | ' || stop_reason FROM acteon_replay_batches),
		(SELECT l.event || ' ' || l.details::text FROM acteon_replay_log AS l WHERE l.event <> 'start'));
END $$;
SELECT answer, outcome, pg_temp.fails(outcome, details, answer::jsonb) FROM (VALUES
	('executed', '{"status": "Failure"}'::jsonb, '{"Executed": {"status": "failure"}}'),
	('executed', '{"status": "Failure"}', '{"Executed": {"status": "success"}}'),
	('failed', '{"error": "connection refused", "code": "CONNECTION", "retryable": true}', '{"Failed": {"code": "CONNECTION", "message": "x", "retryable": true, "attempts": 4}}'),
	('circuit_open', '{}', '{"CircuitOpen": {"provider": "email", "fallback_chain": []}}'),
	('suppressed', '{}', '{"Suppressed": {"rule": "quiet-hours"}}'),
	('muted', '{}', '{"Muted": {"interval": "night"}}'),
	(NULL, NULL, NULL)) AS f (outcome, details, answer);
-- what is done according to its record is good, whatever was answered
SELECT pg_temp.fails('executed', '{"status": "Success"}', '{"Failed": {"code": "TIMEOUT", "message": "x", "retryable": true, "attempts": 4}}');
DELETE FROM held;

-- In the third step, one of three is enough; then a person decides, and later steps may have a tenth.
SELECT pg_temp.make(120);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 120);
SELECT pg_temp.take(), pg_temp.record(), pg_temp.answer();
SELECT pg_temp.take(), pg_temp.record(), pg_temp.answer();
SELECT pg_temp.take(), pg_temp.record('failed', '{"code": "CONNECTION", "error": "refused"}', '{4}'), pg_temp.record(), pg_temp.answer();
SELECT pg_temp.take();
SELECT state, canary, stop_reason FROM acteon_replay_batches;
SELECT state, waiting FROM acteon_replay_resume(1, 'one is nothing');
SELECT event, reason, details FROM acteon_replay_log WHERE event <> 'start' ORDER BY id;
SELECT pg_temp.take(), pg_temp.record('failed', '{"code": "CONNECTION", "error": "refused"}', '{7}'), pg_temp.record(), pg_temp.answer();
SELECT * FROM pg_temp.batch;
-- nine of 80 are too many
SELECT pg_temp.take(), pg_temp.record('failed', '{"code": "CONNECTION", "error": "refused"}', '{31,32,33,34,35,36,37,38,39}'), pg_temp.record(), pg_temp.answer();
SELECT pg_temp.take();
SELECT * FROM pg_temp.batch;
SELECT state FROM acteon_replay_resume(1);
SELECT * FROM pg_temp.run();
SELECT * FROM pg_temp.batch;

-- A person after each step.
SELECT pg_temp.make(12);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', canary => true);
SELECT query -> 'canary' AS canary FROM acteon_replay_batch;
SELECT pg_temp.take(), pg_temp.record(), pg_temp.answer();
SELECT * FROM pg_temp.batch;
SELECT pg_temp.take();
SELECT state FROM acteon_replay_pause(1);
SELECT state FROM acteon_replay_resume(1);
SELECT pg_temp.take();
-- who pauses a step and resumes it does not begin the next one
SELECT state FROM acteon_replay_pause(1, 'wait');
SELECT state FROM acteon_replay_resume(1);
SELECT * FROM pg_temp.batch;
SELECT pg_temp.take(), pg_temp.record(), pg_temp.answer();
SELECT * FROM pg_temp.batch;
SELECT state FROM acteon_replay_resume(1);
SELECT pg_temp.take(), pg_temp.record(), pg_temp.answer();
SELECT state FROM acteon_replay_resume(1);
SELECT * FROM pg_temp.run();
SELECT * FROM pg_temp.batch;
SELECT violation, outbox_id FROM acteon_outbox_check();

-- Records come later than answers, or never.
SELECT pg_temp.make(12);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', canary => 'auto');
SELECT pg_temp.take(), pg_temp.answer();
SELECT pg_temp.take();
SELECT * FROM pg_temp.batch;
SELECT acteon_outbox_sleep(true) AS may_sleep_long, acteon_outbox_sleep(false);
INSERT INTO held SELECT id, 0, action_id FROM acteon_dispatch_outbox WHERE id = 1;
SELECT pg_temp.record();
DELETE FROM held;
SELECT pg_temp.wait();
SELECT acteon_outbox_sleep(true) AS may_sleep_long, acteon_outbox_sleep(false);
-- this one never gets one
SELECT pg_temp.answer();
SELECT pg_temp.wait();
SELECT * FROM pg_temp.batch;
-- where a missing record tells nothing, the answer counts at once
SET acteon_replay.audit_is_live = off;
SELECT pg_temp.answer('{"Executed": {"status": "failure"}}');
SELECT * FROM pg_temp.batch;
RESET acteon_replay.audit_is_live;

-- Doubts are waited for, and cancelled actions do not count.
SELECT pg_temp.make(12);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', canary => 'auto');
SELECT pg_temp.take(), pg_temp.record();
SELECT acteon_outbox_doubt(array_agg(outbox_id), array_agg(lease_token), array_agg('timed out'::text), array_agg(action_id)) FROM held;
SELECT * FROM pg_temp.batch;
UPDATE acteon_dispatch_segment SET due_at = now() WHERE doubt_since IS NOT NULL;
DELETE FROM held;
SELECT pg_temp.wait();
SELECT acteon_outbox_doubt(array_agg(outbox_id), array_agg(lease_token), array_agg('timed out'::text), array_agg(action_id)) FROM held;
DELETE FROM held;
SELECT pg_temp.take();
SELECT acteon_replay_settle(1, 'cancel', 'not this one');
SELECT pg_temp.wait();
SELECT * FROM pg_temp.batch;
SELECT state, cancelled FROM acteon_replay_cancel(1);
SELECT * FROM pg_temp.batch;
SELECT violation, outbox_id FROM acteon_outbox_check();

-- Any number of actions, in chunks, at a rate: what is enqueued while a step is open is released as far as it has room.
SELECT pg_temp.make(150);
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 40);
SELECT first_id, last_id, due_at = 'infinity' AS held_back FROM acteon_dispatch_segment ORDER BY 1;
SELECT * FROM pg_temp.run();
SELECT * FROM pg_temp.batch;
CALL acteon_replay_all(from_time => '2000-01-01', include_replayed => true, chunk => 3, max_records => 12, canary => true);
SELECT * FROM pg_temp.batch;
-- a batch that turns out to be small needs none, wherever it begins
CALL clean();
SELECT setval('acteon_dispatch_outbox_id_seq', 701);
SELECT count(make_record('c' || i, payload => CASE WHEN i <= 60 THEN '{}'::jsonb END)) FROM generate_series(1, 120) AS i;
CALL acteon_replay_all(from_time => '2000-01-01');
SELECT * FROM pg_temp.batch;
SELECT first_id, last_id, due_at = 'infinity' AS held_back FROM acteon_dispatch_segment ORDER BY 1;
-- the steps keep the rate
SELECT pg_temp.make(12);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', canary => 'auto', rate => 2, start_at => '2100-01-01');
SELECT first_id, last_id, due_at FROM acteon_dispatch_segment ORDER BY 1;
SELECT due, scheduled, canary FROM acteon_outbox_stats;
UPDATE acteon_replay_batch SET start_at = NULL, paced_until = NULL;
SELECT state FROM acteon_replay_set_rate(1, 1);
SELECT first_id, last_id, due_at = 'infinity' AS held_back FROM acteon_dispatch_segment ORDER BY 1;
SELECT pg_temp.take(), pg_temp.record(), pg_temp.answer(), pg_temp.take();
SELECT s.first_id, s.last_id, s.due_at > now() AS later, s.due_at + interval '1 s' = b.paced_until AS at_the_rate FROM acteon_dispatch_segment AS s JOIN acteon_replay_batch AS b ON b.id = s.batch_id WHERE s.due_at < 'infinity';

-- How it can be written.
SELECT call, attempt(call) FROM (SELECT 'SELECT acteon_replay_bulk(' || a || ')' FROM unnest(ARRAY[
	'tenant => ''x'', canary => true', 'tenant => ''x'', canary => false', 'tenant => ''x'', canary => ''auto''', 'tenant => ''x'', canary => ''hold''::text', 'tenant => ''x'', canary => NULL',
	'tenant => ''x'', canary => ''true''', 'tenant => ''x'', canary => ''often''', 'tenant => ''x'', canary => 1',
	'''{"tenant": "x", "canary": true}''::jsonb', '''{"tenant": "x", "canary": "off"}''::jsonb', '''{"tenant": "x", "canary": 1}''::jsonb', '''{"tenant": "x", "canary": "no"}''::jsonb', '''{"tenant": true}''::jsonb']) AS a) AS c (call);
SELECT pg_temp.make(3);
SELECT section, item, note FROM acteon_replay_preview(tenant => 'acme', canary => 'hold') WHERE section = 'canary';
SELECT acteon_replay_preview('{"tenant": "acme", "canary": "auto"}'::jsonb) -> 'canary' AS canary, acteon_replay_preview('{"tenant": "acme"}'::jsonb) -> 'canary' AS by_default;
SELECT true::acteon_canary, 'auto'::acteon_canary;

-- canaries that wait for long, and be they many, stop no other
SELECT pg_temp.make(80);
SELECT batch_id FROM acteon_replay_bulk(action_ids => ARRAY['c61', 'c62', 'c63'], canary => 'auto') \gset
SELECT pg_temp.take();
SELECT pg_temp.record(), pg_temp.answer();
SELECT pg_temp.wait();
SELECT count(b.replayed) AS batches FROM generate_series(1, 20) AS n,
	LATERAL acteon_replay_bulk(action_ids => ARRAY['c' || 2 * n, 'c' || 2 * n + 1], start_at => '2100-01-01', canary => 'auto') AS b;
SELECT pg_temp.record(), pg_temp.answer();
SELECT pg_temp.wait();
SELECT canary FROM pg_temp.batch WHERE batch_id = :batch_id;
DELETE FROM held;
CALL clean();
