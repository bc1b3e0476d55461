-- Fingerprints: actions of one tenant with the same one never overtake each other and are never in flight together.
\set VERBOSITY terse
CALL clean();
CREATE VIEW pg_temp.lanes AS
	SELECT first_id, last_id, attempt, holder, dense_rank() OVER (ORDER BY lane) AS lane FROM acteon_dispatch_segment ORDER BY first_id;
CREATE FUNCTION pg_temp.fire(action_id text, second integer, fingerprint text, tenant text DEFAULT 'acme') RETURNS text LANGUAGE sql AS $$
	SELECT make_record(action_id, at => '2026-01-01 12:00+00'::timestamptz + second * interval '1 s', tenant => tenant,
		metadata => CASE WHEN fingerprint IS NULL THEN '{}' ELSE jsonb_build_object('__fingerprint', fingerprint) END)
$$;
CREATE FUNCTION pg_temp.take(consumer text, actions integer DEFAULT 100) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(action -> 'metadata' ->> 'replayed_from', ' ' ORDER BY outbox_id) FROM acteon_outbox_claim(consumer, actions, '1 h')
$$;
-- Answers for everything that a consumer holds.
CREATE FUNCTION pg_temp.held(consumer text) RETURNS TABLE (id bigint, token bigint) LANGUAGE sql AS $$
	SELECT id, lease_token FROM acteon_dispatch_segment, generate_series(first_id, last_id) AS id WHERE holder = consumer ORDER BY id
$$;
CREATE FUNCTION pg_temp.ack(consumer text) RETURNS integer LANGUAGE sql AS $$
	SELECT acteon_outbox_ack(array_agg(id), array_agg(token), array_agg(NULL::jsonb)) FROM pg_temp.held(consumer)
$$;
CREATE FUNCTION pg_temp.nack(consumer text, error text, retry_after interval DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT acteon_outbox_nack(array_agg(id), array_agg(token), array_agg(error), array_agg(retry_after))::text FROM pg_temp.held(consumer)
$$;

-- one lane an event: a segment of its own, in the order of the records
SELECT pg_temp.fire('a1', 1, 'A'), pg_temp.fire('b1', 2, 'B'), pg_temp.fire('free1', 3, NULL), pg_temp.fire('a2', 4, 'A'), pg_temp.fire('a3', 5, 'A'),
	pg_temp.fire('free2', 6, NULL), pg_temp.fire('b2', 7, 'B'), pg_temp.fire('other', 8, 'A', tenant => 'globex');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT o.id, o.original_action_id, o.fingerprint, o.tenant FROM acteon_dispatch_outbox AS o ORDER BY (fingerprint, tenant, id);
SELECT count(*) AS segments, count(lane) AS in_lanes, count(DISTINCT lane) AS lanes FROM acteon_dispatch_segment;
SELECT s.lane = acteon_dispatch_lane(o.tenant, o.fingerprint) AS right_lane, count(*) FROM acteon_dispatch_segment AS s JOIN acteon_dispatch_outbox AS o ON o.id = s.first_id GROUP BY 1 ORDER BY 1;
SELECT acteon_dispatch_lane('acme', NULL) IS NULL AS none, acteon_dispatch_lane('a', 'cme') <> acteon_dispatch_lane('ac', 'me') AS differ;

-- the first of each lane, and whatever has none
SELECT array(SELECT unnest(string_to_array(pg_temp.take('one'), ' ')) ORDER BY 1);
SELECT pg_temp.take('two');
-- more of the same event comes later and waits behind it, also from another batch
SELECT pg_temp.fire('a4', 9, 'A');
SELECT success FROM acteon_replay('a4');
SELECT pg_temp.take('two');
SELECT pg_temp.ack('one');
SELECT array(SELECT unnest(string_to_array(pg_temp.take('two'), ' ')) ORDER BY 1);
-- a failed one is tried again before the next
SELECT pg_temp.nack('two', 'down', '1 h');
SELECT pg_temp.take('two');
UPDATE acteon_dispatch_segment SET due_at = now() WHERE attempt > 0;
SELECT array(SELECT unnest(string_to_array(pg_temp.take('three'), ' ')) ORDER BY 1);
-- a lease that runs out does not let the next one pass: it is in doubt, and its lane waits until that is over
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE holder = 'three';
SELECT pg_temp.take('four');
SELECT first_id, attempt, holder, doubt IS NOT NULL AS in_doubt FROM acteon_dispatch_segment ORDER BY 1;
SELECT pg_temp.take('four');
-- … also when it is held, and while the next look is not due
UPDATE acteon_dispatch_segment SET held = 'for ever', due_at = now() + interval '1 h' WHERE doubt IS NOT NULL;
SELECT pg_temp.take('four');
SELECT first_id, acteon_replay_settle(batch_id, 'resend', 'the provider has none', ARRAY[first_id]) FROM acteon_dispatch_segment WHERE doubt IS NOT NULL ORDER BY 1;
SELECT array(SELECT unnest(string_to_array(pg_temp.take('four'), ' ')) ORDER BY 1);
UPDATE acteon_dispatch_segment SET unproven = false;
-- a dead one lets the next pass
SET acteon_replay.max_attempts = 1;
SELECT pg_temp.nack('four', 'dead now');
RESET acteon_replay.max_attempts;
SELECT pg_temp.take('five');
SELECT * FROM acteon_outbox_check();
-- what is redriven while a later one is in flight waits for that one's end
SELECT redriven FROM acteon_outbox_redrive();
SELECT pg_temp.take('six');
SELECT first_id, last_id, attempt, holder FROM acteon_dispatch_segment ORDER BY 1;
SELECT pg_temp.ack('five');
SELECT pg_temp.take('six');
SELECT pg_temp.ack('six');
SELECT pg_temp.take('seven');
SELECT * FROM acteon_outbox_check();

-- also where the one behind it has been due for longer
CALL clean();
SELECT pg_temp.fire('g1', 1, 'G'), pg_temp.fire('g2', 2, 'G');
SELECT count(*) FROM (SELECT acteon_replay('g1') UNION ALL SELECT acteon_replay('g2')) AS both_of_them;
SELECT pg_temp.take('one');
SELECT pg_temp.nack('one', 'down', '0');
SELECT pg_temp.take('two');

-- the first of a lane is found, though the last has been due for longest and the middle one is not due yet
CALL clean();
SELECT pg_temp.fire('h1', 1, 'H'), pg_temp.fire('h2', 2, 'H'), pg_temp.fire('h3', 3, 'H');
SELECT count(*) FROM (SELECT acteon_replay('h1') UNION ALL SELECT acteon_replay('h2') UNION ALL SELECT acteon_replay('h3')) AS all_of_them;
UPDATE acteon_dispatch_segment SET due_at = now() + CASE first_id WHEN 1 THEN '-1 s' WHEN 101 THEN '1 h' ELSE '-1 h' END::interval;
UPDATE acteon_dispatch_segment SET attempt = 1, was_claimed = true WHERE first_id = 1;
SELECT pg_temp.take('one');

-- a lane that runs over several blocks keeps its order; one claim takes one of it
CALL clean();
SELECT count(pg_temp.fire('e' || lpad(i::text, 3, '0'), i, 'E')) FROM generate_series(1, 150) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT first_id, last_id FROM acteon_dispatch_segment ORDER BY 1;
CREATE FUNCTION pg_temp.drain() RETURNS TABLE (claims integer, in_order boolean) LANGUAGE plpgsql AS $$
DECLARE
	taken text;
	before text := '';
BEGIN
	claims := 0;
	in_order := true;
	LOOP
		taken := pg_temp.take('drain');
		EXIT WHEN taken IS NULL;
		claims := claims + 1;
		in_order := in_order AND taken > before AND position(' ' IN taken) = 0;
		before := taken;
		PERFORM pg_temp.ack('drain');
	END LOOP;
	RETURN NEXT;
END
$$;
SELECT * FROM pg_temp.drain();
SELECT depth FROM acteon_outbox_stats;
SELECT * FROM acteon_outbox_check();

-- two in flight would be seen
SELECT pg_temp.fire('f1', 1, 'F'), pg_temp.fire('f2', 2, 'F');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT pg_temp.take('one');
UPDATE acteon_dispatch_segment SET holder = 'two', lease_token = 2, attempt = 1, due_at = now() + interval '1 h' WHERE holder IS NULL;
SELECT violation, outbox_id FROM acteon_outbox_check();
CALL clean();
