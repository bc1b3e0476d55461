-- Seeing: batches, their actions, dead letters, the log.
\set VERBOSITY terse
CALL clean();
CREATE TEMP TABLE held (outbox_id bigint, lease_token bigint, attempt integer, action json, action_id uuid, n serial);
-- Claims and remembers.
CREATE FUNCTION pg_temp.take(actions integer, lease interval DEFAULT '1 h') RETURNS bigint LANGUAGE sql AS $$
	WITH got AS (INSERT INTO held SELECT outbox_id, lease_token, attempt, action, action_id FROM acteon_outbox_claim('test', actions, lease) RETURNING *) SELECT count(*) FROM got
$$;
-- The token of an action that was claimed last.
CREATE FUNCTION pg_temp.token(id bigint) RETURNS bigint LANGUAGE sql AS $$
	SELECT lease_token FROM held WHERE outbox_id = id ORDER BY n DESC LIMIT 1
$$;
CREATE FUNCTION pg_temp.ack(ids bigint[], outcome jsonb) RETURNS integer LANGUAGE sql AS $$
	SELECT acteon_outbox_ack(array_agg(id), array_agg(pg_temp.token(id)), array_agg(outcome)) FROM unnest(ids) AS id
$$;
CREATE FUNCTION pg_temp.nack(ids bigint[], retry_after interval) RETURNS text LANGUAGE sql AS $$
	SELECT (acteon_outbox_nack(array_agg(id), array_agg(pg_temp.token(id)), array_agg('down'::text), array_agg(retry_after)))::text FROM unnest(ids) AS id
$$;
CREATE FUNCTION pg_temp.reject(ids bigint[]) RETURNS integer LANGUAGE sql AS $$
	SELECT acteon_outbox_reject(array_agg(id), array_agg(pg_temp.token(id)), array_agg('bad ' || id)) FROM unnest(ids) AS id
$$;
CREATE VIEW pg_temp.batches AS
	SELECT batch_id, state, progress, replayed, waiting, in_flight, in_doubt, held, delivered, done, delivered_by, dead, cancelled, breaker FROM acteon_replay_batches;
-- Every count is that of the single actions, and they add up.
CREATE VIEW pg_temp.miscounted AS
	SELECT b.batch_id, i.* FROM acteon_replay_batches AS b CROSS JOIN LATERAL (
		SELECT count(*) AS actions, count(*) FILTER (WHERE state = 'waiting') AS waiting, count(*) FILTER (WHERE state = 'running') AS running,
			count(*) FILTER (WHERE state = 'in_doubt') AS in_doubt, count(*) FILTER (WHERE held IS NOT NULL) AS held, count(*) FILTER (WHERE effect = 'done') AS done,
			count(*) FILTER (WHERE state = 'delivered') AS delivered, count(*) FILTER (WHERE state = 'dead') AS dead,
			count(*) FILTER (WHERE state = 'cancelled') AS cancelled
		FROM acteon_replay_items(b.batch_id)) AS i
	WHERE (i.actions, i.waiting, i.running, i.in_doubt, i.held, i.done, i.delivered, i.dead, i.cancelled)
		<> (b.replayed, b.waiting, b.in_flight, b.in_doubt, b.held, b.done, b.delivered, b.dead, b.cancelled)
		OR b.replayed <> b.waiting + b.in_flight + b.in_doubt + b.delivered + b.dead + b.cancelled;

-- what is shown has a comment on everything
SELECT c.relname, a.attname AS without_comment FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relname IN ('acteon_replay_batches', 'acteon_replay_item', 'acteon_dead_letters', 'acteon_outbox_stats') AND col_description(c.oid, a.attnum) IS NULL;
SELECT obj_description('acteon_replay_batches'::regclass) <> '' AND obj_description('acteon_dead_letters'::regclass) <> ''
	AND obj_description('acteon_replay_item'::regtype) <> '' AS described;

-- nothing
SELECT * FROM pg_temp.batches;
SELECT * FROM acteon_replay_items(1);
SELECT attempt('SELECT * FROM acteon_replay_items(1)');
SELECT attempt('SELECT * FROM acteon_replay_items(NULL)');

-- from the beginning to the end
SELECT count(make_record('a' || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s')) FROM generate_series(1, 12) AS i;
SELECT batch_id, replayed FROM acteon_replay_bulk(from_time => '2000-01-01', reason => 'INC-42', max_records => 12);
SELECT * FROM pg_temp.batches;
-- pages of items: one after the other they are the whole list, of each state and for each size; says what is not
CREATE FUNCTION pg_temp.pages(of_batch bigint, sizes bigint[] DEFAULT '{1,2,5,100}', OUT wrong text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	of_state text;
	size bigint;
	last_id bigint;
	page acteon_replay_item[];
	pages acteon_replay_item[];
BEGIN
	FOR of_state, size IN
		SELECT s, n FROM unnest('{waiting,running,in_doubt,held,delivered,dead,cancelled,failed,NULL}'::text[]) AS s,
			unnest(sizes) AS n
	LOOP
		pages := '{}';
		last_id := NULL;
		LOOP
			SELECT array_agg(i ORDER BY n) INTO page
			FROM (SELECT i, row_number() OVER () AS n FROM acteon_replay_items(of_batch, of_state, last_id, size) AS i) AS i;
			EXIT WHEN page IS NULL;
			IF cardinality(page) > size THEN
				wrong := format('a page of %s has %s', size, cardinality(page));
				RETURN NEXT;
			END IF;
			pages := pages || page;
			last_id := page[cardinality(page)].outbox_id;
		END LOOP;
		IF pages IS DISTINCT FROM (SELECT coalesce(array_agg(i ORDER BY n), '{}')
			FROM (SELECT i, row_number() OVER () AS n FROM acteon_replay_items(of_batch, of_state) AS i) AS i)
		THEN
			wrong := format('%s in pages of %s: %s', coalesce(of_state, 'all'), size, pages);
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;
SELECT pg_temp.take(8);
SELECT * FROM pg_temp.batches;
SELECT pg_temp.ack('{1,2}', '{"Executed": {"status": "success"}}'), pg_temp.ack('{3}', '"Deduplicated"'), pg_temp.ack('{4}', '{"Failed": {"code": "x"}}'),
	pg_temp.ack('{5}', NULL), pg_temp.reject('{6}'), pg_temp.nack('{7}', '1 h');
SELECT * FROM pg_temp.batches;
SELECT outbox_id, original_action_id, namespace, tenant, provider, action_type, generation, state, attempts, due_at IS NOT NULL AS due,
	finished_at IS NOT NULL AS finished, outcome, error, effect, resends, unproven, known_by, doubt, held FROM acteon_replay_items(1);
SELECT bool_and(i.new_action_id = o.action_id) FROM acteon_replay_items(1) AS i JOIN acteon_dispatch_outbox AS o ON o.id = i.outbox_id;
SELECT s AS asked_for, array_agg(outbox_id ORDER BY n) FILTER (WHERE outbox_id IS NOT NULL) AS found
FROM unnest('{waiting,running,in_doubt,held,delivered,dead,cancelled,failed}'::text[]) AS s LEFT JOIN LATERAL acteon_replay_items(1, s) WITH ORDINALITY AS i
	(outbox_id, new_action_id, original_action_id, namespace, tenant, provider, action_type, generation, state, attempts, due_at, finished_at, outcome, error, effect, resends, unproven, known_by, doubt, held, reason, page_key, patched, expires_at, paused, target, relay, gateway, n) ON true
GROUP BY s ORDER BY s;
SELECT attempt($$SELECT * FROM acteon_replay_items(1, 'Failed')$$);
SELECT * FROM pg_temp.pages(1);
SELECT array_agg(outbox_id) FROM acteon_replay_items(1, max_items => 3, after_id => 5);
SELECT array_agg(outbox_id) FROM acteon_replay_items(1, after_id => -9223372036854775808, max_items => 9223372036854775807);
SELECT count(*) FROM acteon_replay_items(1, after_id => 9223372036854775807);
SELECT count(*) FROM acteon_replay_items(1, max_items => 0);
SELECT attempt('SELECT * FROM acteon_replay_items(1, max_items => -1)');
SELECT outbox_id, batch_id, original_action_id, tenant, generation, attempts, error, dead_at IS NOT NULL AS dated FROM acteon_dead_letters;
SELECT batch_id, requested_by = current_user AS mine, session_role = session_user AS my_session, reason, matched, failed, skipped, passed_over, rate, start_at,
	stop_reason, stopped_by, stopped_at, failures, last_chunk_at, query FROM acteon_replay_batches;
-- a lease that has run out is a doubt, whether a claim has met it or not
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE first_id = 8;
SELECT state, waiting, in_flight, in_doubt FROM acteon_replay_batches;
SELECT state, attempts, due_at < now() AS overdue, doubt FROM acteon_replay_items(1) WHERE outbox_id = 8;
SELECT * FROM pg_temp.miscounted;
SELECT count(*) FROM acteon_outbox_claim('other', 5);
SELECT state, attempts, due_at > now() AS later, doubt FROM acteon_replay_items(1, 'in_doubt');
SELECT acteon_replay_settle(1, 'resend', 'the provider has none');
SELECT acteon_outbox_nack(array_agg(id), array_agg(lease_token), array_agg(NULL::text)) FROM acteon_dispatch_segment, generate_series(first_id, last_id) AS id WHERE holder = 'other';
SELECT * FROM pg_temp.miscounted;
-- a redrive takes what is dead back
SELECT * FROM acteon_outbox_redrive(batch_id => 1);
SELECT * FROM pg_temp.batches;
SELECT * FROM pg_temp.miscounted;
-- the end
UPDATE acteon_dispatch_segment SET due_at = now();
SELECT pg_temp.take(20);
SELECT pg_temp.ack(array_agg(id), '{"CircuitOpen": {}}') FROM generate_series(6, 12) AS id;
SELECT * FROM pg_temp.batches;
SELECT time_left FROM acteon_replay_batches;
-- 100 is said of nothing that is not finished
UPDATE acteon_replay_batch SET replayed = 100000;
INSERT INTO acteon_replay_tally VALUES (1, now(), 'delivered', 'Executed', 99987);
INSERT INTO acteon_dispatch_segment (first_id, last_id, batch_id, due_at, attempt, was_claimed) VALUES (12, 12, 1, now(), 0, false);
SELECT state, progress FROM acteon_replay_batches;

-- pace: the speed is that of the last minute
CALL clean();
SELECT count(make_record('p' || i)) FROM generate_series(1, 100) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 100);
SELECT count(*), count(attempts), count(due_at) FROM acteon_replay_items(1, 'waiting');
SELECT speed, time_left FROM acteon_replay_batches;
UPDATE acteon_replay_batch SET created_at = now() - interval '1 day', replayed = 400;
INSERT INTO acteon_replay_tally VALUES (1, now() - interval '2 min', 'delivered', 'Executed', 100), (1, now() - interval '50 s', 'delivered', 'Executed', 100),
	(1, now() - interval '10 s', 'dead', NULL, 20), (1, now() - interval '10 s', 'dead', NULL, -20), (1, now() - interval '5 s', 'cancelled', NULL, 100);
SELECT speed, time_left, delivered, dead, cancelled FROM acteon_replay_batches;
UPDATE acteon_replay_batch SET rate = 20;
SELECT speed, time_left FROM acteon_replay_batches;
UPDATE acteon_replay_batch SET start_at = now() + interval '1 h';
SELECT time_left - (start_at - now()) BETWEEN '3 s' AND '5 s' AS from_then_on, start_at IS NOT NULL AS has_start FROM acteon_replay_batches;
-- … or since the batch has begun
UPDATE acteon_replay_batch SET rate = NULL, start_at = now() - interval '20 s';
INSERT INTO acteon_replay_tally VALUES (1, now(), 'delivered', 'Executed', 100), (1, now(), 'delivered', 'Executed', -100);
SELECT speed BETWEEN 10 AND 11 AS of_20_seconds FROM acteon_replay_batches;
-- no rate is too small
UPDATE acteon_replay_batch SET rate = 1e-100, start_at = NULL;
SELECT time_left > '99 years' AS for_ever FROM acteon_replay_batches;
-- while records are being picked
UPDATE acteon_replay_batch SET rate = 20, is_complete = false, matched = 1000, chunk = 100, failed = 60, skipped = 30, passed_over = 10;
SELECT state, progress, matched, time_left FROM acteon_replay_batches;
UPDATE acteon_replay_batch SET matched = 100;
SELECT state, progress, time_left FROM acteon_replay_batches;
UPDATE acteon_replay_batch SET stopped = 'paused', stopped_at = now(), stopped_by = 'somebody', stop_reason = 'lunch';
SELECT state, progress, waiting, time_left, stopped_by, stopped_at IS NOT NULL AS dated, stop_reason FROM acteon_replay_batches;
UPDATE acteon_replay_batch SET stopped = 'cancelled';
SELECT state, time_left FROM acteon_replay_batches;
UPDATE acteon_replay_batch SET stopped = NULL, stopped_at = NULL, replayed = 0, first_outbox_id = NULL, last_outbox_id = NULL, matched = 0, failed = 0, skipped = 0, passed_over = 0;
DELETE FROM acteon_dispatch_segment;
DELETE FROM acteon_replay_tally;
SELECT state, progress, time_left FROM acteon_replay_batches;
UPDATE acteon_replay_batch SET is_complete = true, failed = 3;
SELECT state, progress, replayed, time_left FROM acteon_replay_batches;

-- paused and cancelled: what nobody holds
CALL clean();
SELECT count(make_record('c' || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s')) FROM generate_series(1, 10) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 10);
SELECT pg_temp.take(4);
SELECT pg_temp.ack('{1}', '{"Executed": {}}');
SELECT * FROM acteon_replay_pause(1, 'lunch');
SELECT pg_temp.take(10);
SELECT * FROM pg_temp.batches;
SELECT outbox_id, state, due_at FROM acteon_replay_items(1, 'waiting');
SELECT * FROM pg_temp.miscounted;
-- … before it is swept
UPDATE acteon_replay_batch SET stopped = 'cancelling';
SELECT * FROM pg_temp.batches;
SELECT outbox_id, state, due_at, finished_at FROM acteon_replay_items(1, 'cancelled');
SELECT count(*) FROM acteon_replay_items(1, 'waiting');
SELECT * FROM pg_temp.pages(1);
SELECT * FROM pg_temp.miscounted;
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE first_id = 2;
SELECT * FROM pg_temp.batches;
SELECT * FROM pg_temp.miscounted;
-- … and after that
UPDATE acteon_replay_batch SET stopped = 'paused';
SELECT * FROM acteon_replay_cancel(1, 'the wrong tenant');
SELECT * FROM pg_temp.batches;
SELECT stopped_by = current_user AS by_me, stopped_at IS NOT NULL AS dated, stop_reason, speed <= 1 AS without_them FROM acteon_replay_batches;
SELECT state, count(*), min(attempts), max(attempts), bool_and(finished_at IS NOT NULL) AS finished FROM acteon_replay_items(1) GROUP BY 1 ORDER BY 1;
SELECT * FROM pg_temp.pages(1);
SELECT * FROM pg_temp.miscounted;
SELECT * FROM acteon_outbox_check();

-- several batches in between each other; a batch alone
CALL clean();
SELECT count(make_record('m' || i)) FROM generate_series(1, 6) AS i;
SELECT count(*) FROM (SELECT acteon_replay('m' || i) FROM generate_series(1, 6) AS i) AS done;
SELECT pg_temp.take(6);
SELECT pg_temp.ack('{101}', '{"Executed": {}}'), pg_temp.ack('{201}', '{"Failed": {}}');
UPDATE acteon_replay_batch SET first_outbox_id = 1, last_outbox_id = 501;
SELECT batch_id, state, replayed, in_flight, delivered, delivered_by FROM acteon_replay_batches ORDER BY batch_id;
SELECT id, state, in_flight, delivered FROM acteon_replay_read_batches(3);
SELECT * FROM acteon_replay_read_batches(7);
SELECT id, state, in_flight, delivered FROM acteon_replay_read_batches(before => 4, newest => 2) ORDER BY id;
SELECT array_agg(id ORDER BY id) AS newest FROM acteon_replay_read_batches(newest => 2);
SELECT array_agg(id ORDER BY id) AS before FROM acteon_replay_read_batches(before => 3);
SELECT count(*) AS none FROM acteon_replay_read_batches(newest => 0);
-- of some kinds, and of a tenant, as many as are asked for
SELECT kind, array_agg(id ORDER BY id) = (SELECT array_agg(b.id ORDER BY b.id) FROM acteon_replay_read_batches(kinds => ARRAY[kind]) AS b) AS found, count(*)
FROM acteon_replay_read_batches() GROUP BY kind ORDER BY kind;
SELECT count(*) AS none FROM acteon_replay_read_batches(kinds => '{}');
SELECT (SELECT count(*) FROM acteon_replay_read_batches(newest => 1, tenant => t.tenant)) AS newest,
	(SELECT array_agg(id ORDER BY id) FROM acteon_replay_read_batches(tenant => t.tenant))
		= (SELECT array_agg(DISTINCT batch_id ORDER BY batch_id) FROM acteon_dispatch_outbox AS o WHERE o.tenant = t.tenant) AS those_with_actions
FROM (SELECT DISTINCT tenant FROM acteon_dispatch_outbox) AS t;
SELECT count(*) AS none FROM acteon_replay_read_batches(tenant => 'nobody');
SELECT outbox_id FROM acteon_replay_items(2);
SELECT * FROM pg_temp.miscounted;

-- outcomes by their names, as the tally has them
CALL clean();
SELECT count(make_record('o' || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s')) FROM generate_series(1, 9) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take(9);
SELECT pg_temp.ack(ARRAY[i], (ARRAY['{"Failed": 1}', '"Failed"', '{"CircuitOpen": {}, "x": 1}', '["Failed"]', '{}', '""', 'null', '{"Executed": {"Failed": 1}}', format('{"%s": 1}', repeat('ü', 50))]::jsonb[])[i])
FROM generate_series(1, 9) AS i;
SELECT delivered, delivered_by FROM acteon_replay_batches;
SELECT array_agg(outbox_id) FROM acteon_replay_items(1, 'failed');
SELECT * FROM pg_temp.pages(1);
-- … of a batch that is read in several ranges of ids, among which are another one's
CALL clean();
SELECT count(make_record('b' || i)) FROM generate_series(1, 700) AS i;
SELECT replayed, failed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 700, canary => 'off');
INSERT INTO acteon_replay_trail_head (hashed_from) VALUES (1000);
UPDATE acteon_dispatch_outbox SET batch_id = 2, hash = NULL WHERE id BETWEEN 201 AND 400;
SELECT count(*) FROM (SELECT pg_temp.take(100) FROM generate_series(1, 5)) AS taken;
SELECT pg_temp.ack(array_agg(i), '{"Executed": {"status": "success"}}') FROM generate_series(1, 500) AS i WHERE i % 7 <> 3;
SELECT pg_temp.ack(array_agg(i), '{"Failed": {}}'), pg_temp.reject(array_agg(i + 7)) FROM generate_series(3, 498, 49) AS i;
SELECT s AS asked_for, count(i), min(i.outbox_id), max(i.outbox_id), count(DISTINCT i.outbox_id)
FROM unnest('{waiting,running,in_doubt,held,delivered,dead,cancelled,failed,NULL}'::text[]) AS s LEFT JOIN LATERAL acteon_replay_items(1, s) AS i ON true
GROUP BY s ORDER BY s;
SELECT * FROM pg_temp.pages(1, '{7,100,400}');

-- the circuit breaker: its window, newest first, what one call has finished together
CALL clean();
INSERT INTO acteon_replay_batch (id, created_at, requested_by, requested_by_oid, session_role, query, replayed, failed, skipped, scope, first_outbox_id, last_outbox_id, breaker_window, breaker_share)
VALUES (1, now(), 'x', 0, 'x', '{}', 1000, 0, 0, '[]', 1, 1000, 50, 0.5);
CREATE TEMP TABLE beginning AS SELECT now() AS at;
CREATE FUNCTION pg_temp.ends(ago interval, state text, outcome text, actions bigint) RETURNS text LANGUAGE sql AS $$
	INSERT INTO acteon_replay_tally SELECT 1, at - ago, state, outcome, actions FROM beginning;
	SELECT breaker FROM acteon_replay_batches;
$$;
SELECT breaker FROM acteon_replay_batches;
SELECT pg_temp.ends('60 s', 'delivered', 'Failed', 30);
SELECT pg_temp.ends('50 s', 'delivered', 'Executed', 18);
SELECT pg_temp.ends('40 s', 'dead', NULL, 1);
SELECT pg_temp.ends('30 s', 'cancelled', NULL, 500);
SELECT pg_temp.ends('20 s', 'dead', NULL, -1);
SELECT pg_temp.ends('10 s', 'delivered', 'CircuitOpen', 1);
SELECT pg_temp.ends('9 s', 'delivered', 'Executed', 30);
SELECT pg_temp.ends('8 s', 'delivered', NULL, 60);
SELECT pg_temp.ends('8 s', 'delivered', 'Failed', 40);
UPDATE acteon_replay_batch SET breaker_share = 0.125, breaker_since = at - interval '9 s' FROM beginning;
SELECT pg_temp.ends('7 s', 'delivered', 'Executed', 49);
UPDATE acteon_replay_batch SET breaker_since = at - interval '7 s' FROM beginning;
SELECT breaker FROM acteon_replay_batches;
-- … with more rows than it has places
UPDATE acteon_replay_batch SET breaker_window = 2, breaker_since = NULL;
SELECT breaker FROM acteon_replay_batches;
SELECT pg_temp.ends('6 s', 'dead', NULL, 1), pg_temp.ends('6 s', 'delivered', 'Failed', 1), pg_temp.ends('6 s', 'delivered', 'Executed', 1), pg_temp.ends('6 s', 'delivered', NULL, 5);
UPDATE acteon_replay_batch SET breaker_window = NULL;
SELECT breaker FROM acteon_replay_batches;
-- … by the rule by which it opens, if the provider's own does not open first
CALL clean();
SELECT acteon_replay_limit_set(provider => 'email', breaker_window => 0);
SELECT count(make_record('b' || i)) FROM generate_series(1, 100) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 100);
SELECT pg_temp.take(100);
SELECT acteon_outbox_ack(array_agg(id), array_agg(pg_temp.token(id)), array_agg(CASE WHEN id % 4 = 0 THEN '"Failed"' ELSE '"Executed"' END::jsonb)) FROM generate_series(1, 40) AS id;
SELECT acteon_outbox_ack(array_agg(id), array_agg(pg_temp.token(id)), array_agg(CASE WHEN id > 53 THEN '"CircuitOpen"' ELSE '"Executed"' END::jsonb)) FROM generate_series(41, 75) AS id;
SELECT state, stop_reason, stopped_by, breaker FROM acteon_replay_batches;
SELECT state FROM acteon_replay_resume(1);
SELECT breaker FROM acteon_replay_batches;

-- reads only
BEGIN READ ONLY;
SELECT count(*) FROM acteon_replay_batches;
SELECT count(*) FROM acteon_replay_items(1);
SELECT count(*) FROM acteon_dead_letters;
COMMIT;

-- the log is append-only, for superusers and replicas, too
INSERT INTO acteon_replay_log (logged_at, event, batch_id, role_name, role_oid, session_role, details) VALUES (now(), 'pause', 1, 'x', 0, 'x', '{}');
SELECT attempt('UPDATE acteon_replay_log SET reason = NULL');
SELECT attempt('DELETE FROM acteon_replay_log WHERE false');
SELECT attempt('TRUNCATE acteon_replay_log');
SET session_replication_role = replica;
SELECT attempt('DELETE FROM acteon_replay_log');
RESET session_replication_role;
SELECT attempt('MERGE INTO acteon_replay_log AS l USING (SELECT 1) AS s ON true WHEN MATCHED THEN DELETE');
SELECT attempt('SELECT acteon_replay_log_refuse()');
SELECT count(*) FROM acteon_replay_log;

-- the tally stays short while a batch is delivered one by one, and counts the same
CALL clean();
SELECT count(make_record('t' || i)) FROM generate_series(1, 300) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 300, canary => 'off');
UPDATE acteon_replay_batch SET replayed = replayed + 6000;
INSERT INTO acteon_replay_tally (batch_id, finished_at, state, outcome, effect, actions)
SELECT 1, now() - i * interval '100 ms', CASE WHEN i % 3 = 0 THEN 'dead' ELSE 'delivered' END, CASE i % 3 WHEN 1 THEN 'Executed' WHEN 2 THEN 'Failed' END,
	CASE i % 3 WHEN 1 THEN 'done' WHEN 2 THEN 'unknown' END, 1
FROM generate_series(1, 6000) AS i;
SELECT count(*) FROM (SELECT pg_temp.take(100) FROM generate_series(1, 3)) AS taken;
DO $$BEGIN FOR i IN 1 .. 300 LOOP PERFORM pg_temp.ack(ARRAY[i::bigint], '{"Executed": {"status": "success"}}'); END LOOP; END$$;
SELECT count(*) BETWEEN 1000 AND 2300 AS is_short, sum(actions) AS actions, max(actions) > 50 AS old_ones_are_one,
	count(*) FILTER (WHERE finished_at < now() - interval '5 min 1 s') < 10 AS few_old FROM acteon_replay_tally;
SELECT delivered, done, dead, delivered_by, breaker FROM acteon_replay_batches;
SELECT * FROM acteon_outbox_check();
CALL clean();
-- a batch of which nothing is left is not paused by its circuit breaker, whatever failed; one of which something is left is
SELECT count(make_record('over ' || i, at => timestamptz '2026-01-01 12:00+00' + i * interval '1 s')) FROM generate_series(1, 3) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', breaker_window => 2, breaker_share => 0.5, canary => 'off');
SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('no'::text)) FROM acteon_outbox_claim('c');
SELECT state, stop_reason, dead, waiting FROM acteon_replay_batches;
CALL clean();
SELECT count(make_record('left ' || i, at => timestamptz '2026-01-01 12:00+00' + i * interval '1 s')) FROM generate_series(1, 3) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', breaker_window => 2, breaker_share => 0.5, canary => 'off');
-- … when more than the share has failed, not when just that has
SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('no'::text)) FROM acteon_outbox_claim('c', 1);
SELECT state, stop_reason, dead, waiting FROM acteon_replay_batches;
SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('no'::text)) FROM acteon_outbox_claim('c', 1);
SELECT state, stop_reason, dead, waiting FROM acteon_replay_batches;
CALL clean();
