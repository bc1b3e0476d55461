-- The queue protocol: claim, ack, nack, reject, extend.
\set VERBOSITY terse
CALL clean();
CREATE TEMP TABLE held (consumer text, outbox_id bigint, lease_token bigint, attempt integer, action json, action_id uuid);
-- Claims and remembers; shows ids and attempts.
CREATE FUNCTION pg_temp.take(consumer text, actions integer, lease interval DEFAULT '1 h') RETURNS text LANGUAGE sql AS $$
	WITH got AS (INSERT INTO held SELECT take.consumer, outbox_id, lease_token, attempt, action, action_id FROM acteon_outbox_claim(take.consumer, actions, lease) AS c RETURNING *)
	SELECT format('%s: %s', string_agg(DISTINCT 'attempt ' || attempt, ', '), string_agg(outbox_id::text, ',' ORDER BY outbox_id)) FROM got
$$;
-- The three answers, about ids under the token that a consumer got last.
CREATE FUNCTION pg_temp.token(consumer text, id bigint) RETURNS bigint LANGUAGE sql AS $$
	SELECT lease_token FROM held WHERE held.consumer = token.consumer AND outbox_id = id ORDER BY attempt DESC LIMIT 1
$$;
-- The id that a consumer sent last for an action.
CREATE FUNCTION pg_temp.sent(consumer text, id bigint) RETURNS uuid LANGUAGE sql AS $$
	SELECT action_id FROM held WHERE held.consumer = sent.consumer AND outbox_id = id ORDER BY attempt DESC LIMIT 1
$$;
CREATE FUNCTION pg_temp.ack(consumer text, ids bigint[], with_id boolean DEFAULT false) RETURNS integer LANGUAGE sql AS $$
	SELECT acteon_outbox_ack(array_agg(id), array_agg(pg_temp.token(consumer, id)), array_agg(jsonb_build_object('Executed', id)),
		CASE WHEN with_id THEN array_agg(pg_temp.sent(consumer, id)) END) FROM unnest(ids) AS id
$$;
CREATE FUNCTION pg_temp.nack(consumer text, ids bigint[], error text DEFAULT 'boom', retry_after interval DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT (acteon_outbox_nack(array_agg(id), array_agg(pg_temp.token(consumer, id)), array_agg(error), array_agg(retry_after)))::text FROM unnest(ids) AS id
$$;
CREATE FUNCTION pg_temp.reject(consumer text, ids bigint[]) RETURNS integer LANGUAGE sql AS $$
	SELECT acteon_outbox_reject(array_agg(id), array_agg(pg_temp.token(consumer, id)), array_agg('bad ' || id)) FROM unnest(ids) AS id
$$;
CREATE VIEW pg_temp.segments AS
	SELECT first_id, last_id, attempt, holder, CASE WHEN due_at > now() THEN 'later' ELSE 'due' END AS due, doubt FROM acteon_dispatch_segment ORDER BY first_id;
-- Lets the leases that a consumer holds run out.
CREATE FUNCTION pg_temp.run_out(consumer text) RETURNS void LANGUAGE sql AS $$
	UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE holder = consumer
$$;

-- the shape of an action, byte for byte
SELECT make_record('shape', tenant => 'tenant "q" \ é', payload => '{"b": [1, 2.50, null], "a": "line\nbreak \u00e9"}',
	metadata => '{"k": {"y": true, "x": 1}, "__dedup_key": "d\"k", "__status": "open", "__fingerprint": "fp", "__starts_at": "2026-01-01T10:00:00+02:00", "__ends_at": "2026-01-01T10:00:00.123456Z"}');
SELECT success FROM acteon_replay('shape');
SELECT replace(action::text, to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'CREATED') AS action
FROM acteon_outbox_claim('one') AS c JOIN acteon_dispatch_outbox AS o ON o.id = c.outbox_id;
SELECT make_record('bare', payload => 'null', metadata => '[]');
SELECT success FROM acteon_replay('bare');
SELECT replace(action::text, to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'CREATED') AS action, pg_typeof(action)
FROM acteon_outbox_claim('one') AS c JOIN acteon_dispatch_outbox AS o ON o.id = c.outbox_id;
-- what a router needs besides, in the order in which it asks
SELECT d.batch_id = o.batch_id AS batch, d.original_action_id, d.generation, d.namespace, d.tenant, d.provider, d.action_type, d.fingerprint
FROM acteon_outbox_describe((SELECT array_agg(id ORDER BY id DESC) || 0::bigint FROM acteon_dispatch_outbox)) WITH ORDINALITY AS d JOIN acteon_dispatch_outbox AS o ON o.id = d.outbox_id ORDER BY d.ordinality;

-- payloads and labels are the bytes that the server would make of them
CALL clean();
SELECT count(make_record('json' || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s', payload => payload::jsonb)) FROM (VALUES
	(1, '{}'), (2, '[]'), (3, '"just a string"'), (4, '-12.3400e-5'), (5, 'true'), (6, '[[[]], {}, [{"": {}}], null, false, 1e30, 0]'),
	(7, '{"a\"b": "\\ \/ \b\f\n\r\t \u0001\u001f\u007f é \ud83d\ude00", "": [1, "2", {"3": [4]}], "z": -0.0}'),
	(8, (SELECT jsonb_agg(i) FROM generate_series(1, 100) AS i)::text), (9, (SELECT jsonb_object_agg('k' || i, repeat(chr(i), i)) FROM generate_series(1, 100) AS i)::text),
	(10, repeat('[', 500) || repeat(']', 500)), (11, (SELECT jsonb_object_agg(i, jsonb_build_array(i, i::text, jsonb_build_object('n', i))) FROM generate_series(1, 70) AS i)::text)) AS v (i, payload);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT count(*) AS actions, count(*) FILTER (WHERE (action -> 'payload')::text = o.payload::text AND (action -> 'metadata')::text = o.labels::text) AS same
FROM acteon_outbox_claim('json') AS c JOIN acteon_dispatch_outbox AS o ON o.id = c.outbox_id;

-- at most max_actions, oldest first, across segments; what is left of one stays
CALL clean();
SELECT count(make_record('q' || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s')) FROM generate_series(1, 250) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT pg_temp.take('a', 3);
SELECT pg_temp.take('b', 99);
SELECT * FROM pg_temp.segments;
SELECT outbox_id, action ->> 'id' = (SELECT action_id::text FROM acteon_dispatch_outbox WHERE id = outbox_id) AS right_id,
	action ->> 'id' = action_id::text AS named, action -> 'metadata' ->> 'replayed_from' AS replayed_from FROM held WHERE consumer = 'a' ORDER BY 1;
-- one token a call, another for each call
SELECT consumer, count(DISTINCT lease_token), bool_and(lease_token > 0 AND lease_token < 9007199254740992) AS fits_a_double FROM held GROUP BY 1 ORDER BY 1;

-- answers: the rest of the segment stays leased
SELECT pg_temp.ack('a', '{2}');
SELECT * FROM pg_temp.segments LIMIT 3;
SELECT outbox_id, attempts, state, outcome, error FROM acteon_dispatch_delivery;
-- again: nothing happens
SELECT pg_temp.ack('a', '{2,2}');
SELECT pg_temp.nack('a', '{2}');
SELECT pg_temp.reject('a', '{2}');
SELECT pg_temp.reject('a', '{3}');
SELECT pg_temp.nack('a', '{1}', 'down', '10 min');
SELECT first_id, last_id, attempt, lease_token, holder, due_at - now() BETWEEN '9 min' AND '11 min' AS in_ten_minutes FROM acteon_dispatch_segment WHERE first_id < 4;
SELECT outbox_id, attempts, state, outcome, error FROM acteon_dispatch_delivery ORDER BY 1;
-- in any order, in slices, with ids of several segments, unknown ones, and ids given twice
SELECT pg_temp.ack('b', '{102,4,100,50,101,51,4,4}');
SELECT acteon_outbox_ack('{999999}', '{1}', '{null}');
SELECT * FROM pg_temp.segments;
SELECT count(*), count(DISTINCT outbox_id) FROM acteon_dispatch_delivery WHERE state = 'delivered';
SELECT * FROM acteon_outbox_check();
-- given back unattempted: due at once, the attempt not counted, neighbours together again
SELECT pg_temp.nack('b', array_agg(i), NULL) FROM generate_series(5, 49) AS i;
SELECT * FROM pg_temp.segments LIMIT 3;
SELECT pg_temp.take('c', 45);
SELECT pg_temp.nack('c', '{103}', NULL, '1 h');
SELECT first_id, last_id, attempt, due_at > now() + interval '59 min' AS in_an_hour FROM acteon_dispatch_segment WHERE first_id = 103;

-- back-off: exponential, at random, within 1 s and 10 min
CALL clean();
TRUNCATE held;
SELECT make_record('backoff');
SELECT success FROM acteon_replay('backoff');
SET acteon_replay.max_attempts = 15;
CREATE FUNCTION pg_temp.delay() RETURNS TABLE (attempt integer, lowest integer, highest integer, within boolean) LANGUAGE plpgsql AS $$
DECLARE
	seconds double precision;
BEGIN
	FOR i IN 1 .. 14 LOOP
		PERFORM pg_temp.take('d', 1);
		PERFORM pg_temp.nack('d', ARRAY[1]);
		SELECT s.attempt, extract(epoch FROM due_at - clock_timestamp()) INTO attempt, seconds FROM acteon_dispatch_segment AS s;
		highest := least(600, 2 ^ attempt);
		lowest := greatest(1, highest / 2);
		within := seconds BETWEEN lowest - 0.5 AND highest;
		RETURN NEXT;
		UPDATE acteon_dispatch_segment SET due_at = now();
	END LOOP;
END
$$;
SELECT * FROM pg_temp.delay();
-- the last attempt ends dead, with its error
SELECT pg_temp.take('d', 1);
SELECT pg_temp.nack('d', '{1}', 'the last straw');
SELECT outbox_id, attempts, state, outcome, error FROM acteon_dispatch_delivery;
SELECT count(*) FROM acteon_dispatch_segment;
RESET acteon_replay.max_attempts;
-- delays spread
CALL clean();
SELECT count(make_record('s' || i)) FROM generate_series(1, 100) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
TRUNCATE held;
SELECT length(pg_temp.take('d', 100));
SELECT pg_temp.nack('d', array_agg(i)) FROM generate_series(1, 100) AS i;
SELECT count(DISTINCT due_at) > 90 AS spread FROM acteon_dispatch_segment;

-- a lease that ran out: a doubt, without any daemon, which the next claim puts down and looks up; nobody gets it meanwhile
CALL clean();
TRUNCATE held;
SELECT count(make_record('l' || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s')) FROM generate_series(1, 6) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT pg_temp.take('slow', 6);
SELECT pg_temp.take('quick', 6);
SELECT pg_temp.run_out('slow');
-- a late nack, reject or doubt changes nothing, even while nobody has looked; it is not revived
SELECT pg_temp.nack('slow', '{1}', 'late', '1 h');
SELECT pg_temp.reject('slow', '{2}');
SELECT acteon_outbox_doubt('{3}', ARRAY[pg_temp.token('slow', 3)], '{late}', ARRAY[pg_temp.sent('slow', 3)]);
SELECT acteon_outbox_extend(ARRAY[pg_temp.token('slow', 1)], '1 h');
SELECT * FROM pg_temp.segments;
SELECT depth, due, retrying, leased, in_doubt, held FROM acteon_outbox_stats;
SELECT pg_temp.take('quick', 4);
SELECT pg_temp.nack('slow', '{1}', 'late', '1 h');
SELECT pg_temp.reject('slow', '{2}');
SELECT * FROM pg_temp.segments;
SELECT doubt_since = (SELECT max(doubt_since) FROM acteon_dispatch_segment) AND doubt_since < now() AS since_its_end, due_at > doubt_since AS again_later, held FROM acteon_dispatch_segment;
SELECT depth, due, retrying, leased, in_doubt, held FROM acteon_outbox_stats;
-- a late ack is recorded, once, if it names the id that was sent, whatever its token; the token of a lost lease proves nothing
SELECT pg_temp.ack('slow', '{1,5}');
SELECT pg_temp.ack('slow', '{1,5}', true);
SELECT pg_temp.ack('slow', '{1,5}', true);
SELECT acteon_outbox_ack('{2}', '{424242}', '{"\"Executed\""}');
SELECT acteon_outbox_ack('{2}', '{424242}', '{"\"Executed\""}', ARRAY[pg_temp.sent('slow', 3)]);
SELECT acteon_outbox_ack('{2}', '{424242}', '{"\"Executed\""}', ARRAY[pg_temp.sent('slow', 2)]);
SELECT * FROM pg_temp.segments;
SELECT outbox_id, attempts, state, outcome, effect, resend, unproven, known_by FROM acteon_dispatch_delivery ORDER BY 1;
SELECT * FROM acteon_outbox_check();
-- nor does any token where nothing was ever claimed; the right id says that it was sent all the same, before a failover
SELECT make_record('never claimed');
SELECT success FROM acteon_replay('never claimed');
SELECT acteon_outbox_ack(array_agg(id), array_agg(77::bigint), array_agg('{}'::jsonb)) FROM acteon_dispatch_outbox WHERE original_action_id = 'never claimed';
-- a lease that lasts is worth more than any id
SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token + 1), array_agg('"Executed"'::jsonb)) FROM acteon_outbox_claim('somebody');
SELECT pg_temp.take('quick', 10);
SELECT first_id, holder FROM acteon_dispatch_segment WHERE lease_token IS NOT NULL;
UPDATE acteon_dispatch_segment SET lease_token = NULL, holder = NULL, doubt_since = NULL, doubt = NULL, due_at = now();
SELECT pg_temp.take('quick', 2);

-- heartbeat
SELECT pg_temp.take('beat', 10, '10 s');
SELECT acteon_outbox_extend(ARRAY[4711, pg_temp.token('beat', 6), pg_temp.token('quick', 3), pg_temp.token('beat', 6)], '2 h')
	= ARRAY[pg_temp.token('beat', 6), pg_temp.token('quick', 3), pg_temp.token('beat', 6)] AS extended;
SELECT first_id, last_id, holder, round(extract(epoch FROM due_at - now()) / 3600) AS hours FROM acteon_dispatch_segment ORDER BY 1;
SELECT acteon_outbox_extend('{}', '1 h');

-- claim and answer in one statement
SELECT pg_temp.nack('quick', '{3,4}', NULL);
SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {}}'::jsonb)) FROM acteon_outbox_claim('both');
SELECT count(*) FROM acteon_dispatch_segment WHERE holder = 'both';

-- what nobody ever answers about is never handed out again under its id, however many attempts it has left
CALL clean();
TRUNCATE held;
SELECT count(make_record('p' || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s')) FROM generate_series(1, 6) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT pg_temp.take('x', 6);
SELECT pg_temp.run_out('x');
SELECT pg_temp.take('x', 6);
SELECT * FROM pg_temp.segments;
UPDATE acteon_dispatch_segment SET due_at = now(), doubt_since = now() - interval '1 day';
SELECT pg_temp.take('x', 6);
-- the audit table has no record of anything that was sent later: nothing can be concluded from what is missing
SELECT first_id, last_id, attempt, resend, held FROM acteon_dispatch_segment;
SELECT depth, due, leased, in_doubt, held FROM acteon_outbox_stats;
SELECT * FROM acteon_outbox_check();

-- large actions: a claim ends at 16 MB of JSON, but never without an action
CALL clean();
TRUNCATE held;
SELECT count(make_record('big' || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s',
	payload => jsonb_build_object('blob', repeat('0123456789', CASE WHEN i IN (3, 4) THEN 1700000 ELSE 400000 END)))) FROM generate_series(1, 6) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT pg_temp.take('l', 100);
SELECT * FROM pg_temp.segments;
SELECT pg_temp.take('l', 2);
SELECT * FROM pg_temp.segments;
SELECT pg_temp.take('l', 100);
SELECT pg_temp.take('l', 100);
SELECT pg_temp.take('l', 100);
SELECT * FROM acteon_outbox_check();
-- … also if it is the last action of a segment that does not fit: a smaller one does not overtake it
CALL clean();
TRUNCATE held;
SELECT make_record('big ' || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s', payload => jsonb_build_object('blob', repeat('0123456789', 900000))) FROM generate_series(1, 2) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT make_record('small');
SELECT success FROM acteon_replay('small');
SELECT pg_temp.take('l', 100);
SELECT pg_temp.take('l', 100);
TRUNCATE held;
-- of all that a dead consumer held, more than is looked up at once, nothing goes out
CALL clean();
SELECT count(make_record('many ' || i, at => timestamptz '2026-01-01 12:00+00' + i * interval '1 s')) FROM generate_series(1, 1150) AS i;
SELECT replayed FROM acteon_replay_bulk(to_time => '2026-01-01 12:10+00', max_records => 1000, canary => 'off');
SELECT replayed FROM acteon_replay_bulk(from_time => '2026-01-01 12:10:01+00', max_records => 1000, canary => 'off');
SELECT count(*), min(attempt), max(attempt) FROM acteon_outbox_claim('dead', 2000);
SELECT pg_temp.run_out('dead');
SELECT count(*) FROM acteon_outbox_claim('alive', 2000);
SELECT sum(last_id - first_id + 1), holder, doubt, held, due_at > now() AS later FROM acteon_dispatch_segment GROUP BY 2, 3, 4, 5;
SELECT * FROM acteon_outbox_check();

-- what waits behind thousands of its actions waits for one claim, and not until all are looked up
CALL clean();
SELECT count(make_record('behind ' || i, at => timestamptz '2026-01-01 00:00+00' + i * interval '1 s')) FROM generate_series(0, 6099) AS i;
SELECT sum(replayed) FROM generate_series(0, 6) AS n, LATERAL acteon_replay_bulk(from_time => timestamptz '2026-01-01 00:00+00' + n * interval '1000 s',
	to_time => timestamptz '2026-01-01 00:00+00' + n * interval '1000 s' + interval '999 s', max_records => 1000, canary => 'off') AS b;
SELECT count(*) FROM generate_series(1, 86) AS i, LATERAL acteon_outbox_claim(CASE WHEN i > 0 THEN 'dead' END, 70);
SELECT pg_temp.take('doubtful', 1);
UPDATE acteon_dispatch_segment SET due_at = now() + interval '1 h' WHERE lease_token IS NULL;
-- … after a claim that has found nothing, the next one begins at the beginning
SELECT count(*) FROM acteon_outbox_claim('alive');
SELECT pg_temp.run_out('dead');
UPDATE acteon_dispatch_segment SET due_at = now() WHERE lease_token IS NULL;
CREATE VIEW pg_temp.looked_up AS
	SELECT sum(last_id - first_id + 1) AS actions, doubt_since IS NOT NULL AS in_doubt, holder FROM acteon_dispatch_segment GROUP BY 2, 3 ORDER BY 3, 2;
BEGIN;
SELECT array(SELECT outbox_id FROM acteon_outbox_claim('alive', 3));
SELECT * FROM pg_temp.looked_up;
SELECT array(SELECT outbox_id FROM acteon_outbox_claim('alive', 3));
SELECT * FROM pg_temp.looked_up;
ROLLBACK;
-- … the same where they do not make up exactly a thousand
BEGIN;
UPDATE acteon_dispatch_segment SET due_at = now() + interval '1 h' WHERE last_id <= 70;
SELECT array(SELECT outbox_id FROM acteon_outbox_claim('alive', 3));
SELECT * FROM pg_temp.looked_up;
ROLLBACK;
-- … nor does what goes out again after it was looked up: then the claim goes on
SELECT acteon_outbox_doubt(ARRAY[outbox_id], ARRAY[lease_token], '{"timed out"}', ARRAY[action_id]) FROM held;
UPDATE acteon_dispatch_segment SET doubt_since = now() - interval '1 h', sent_at = now() - interval '1 h', due_at = now() WHERE doubt_since IS NOT NULL;
SELECT make_record('somebody else', at => clock_timestamp(), outcome => 'executed');
SELECT array(SELECT outbox_id FROM acteon_outbox_claim('alive', 100) ORDER BY 1) @> array(SELECT outbox_id FROM held) AS goes_out;
SELECT * FROM pg_temp.looked_up;
DROP VIEW pg_temp.looked_up;
CALL clean();
TRUNCATE held;

-- a claim writes each segment once, and an answer that does not count none
CALL clean();
CREATE VIEW pg_temp.writes AS SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) AS writes FROM pg_stat_xact_user_tables WHERE relname = 'acteon_dispatch_segment';
SELECT make_record('write 1'), make_record('write 2');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
BEGIN;
SELECT writes AS before FROM pg_temp.writes \gset
SELECT count(*) FROM acteon_outbox_claim('w');
SELECT writes - :before AS writes FROM pg_temp.writes;
SELECT acteon_outbox_ack('{1}', '{1}', '{null}'), acteon_outbox_reject('{2}', '{1}', '{bad}');
SELECT writes - :before AS writes FROM pg_temp.writes;
COMMIT;
DROP VIEW pg_temp.writes;

-- a consumer's name has 200 bytes at the most
SELECT count(*) FROM acteon_outbox_claim(repeat('é', 100));
SELECT attempt($$SELECT acteon_outbox_claim(repeat('é', 100) || 'x')$$);

-- the token of each claim is a random number that fits into a double
CALL clean();
SELECT count(make_record('token ' || i)) FROM generate_series(1, 150) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT count(*), count(DISTINCT lease_token) AS tokens, bool_and(lease_token BETWEEN 1 AND 2::numeric ^ 53 - 1) AS fits, count(*) FILTER (WHERE lease_token < 2::numeric ^ 52) BETWEEN 30 AND 120 AS spread
FROM generate_series(1, 150) AS i CROSS JOIN LATERAL acteon_outbox_claim(CASE WHEN i > 0 THEN 't' END, 1);

-- a session goes on where its last claim ended, for a second, as long as it finds enough; then, what has become due before that place comes first
CALL clean();
SELECT count(make_record('place ' || i)) FROM generate_series(1, 6) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT acteon_outbox_nack(array_agg(outbox_id), array_agg(lease_token), array_agg(NULL::text), array_agg(outbox_id * interval '1 min')) FROM acteon_outbox_claim('p');
CREATE FUNCTION pg_temp.order() RETURNS void LANGUAGE sql AS $$ UPDATE acteon_dispatch_segment SET due_at = timestamptz '2001-01-01' + first_id * interval '1 s' $$;
SELECT pg_temp.order();
CREATE FUNCTION pg_temp.next() RETURNS bigint LANGUAGE sql AS $$
	WITH got AS (INSERT INTO held SELECT 'p', outbox_id, lease_token, attempt, action, action_id FROM acteon_outbox_claim('p', 1) RETURNING *) SELECT outbox_id FROM got
$$;
DO $$
DECLARE
	goes_on boolean := false;
	looks integer := 0;
BEGIN
	-- More than once only if a second passes meanwhile.
	FOR i IN 1 .. 100 LOOP
		PERFORM pg_temp.next();
		UPDATE acteon_dispatch_segment SET due_at = '2000-01-01' WHERE first_id = 6;
		goes_on := pg_temp.next() <> 6;
		PERFORM acteon_outbox_nack(array_agg(outbox_id), array_agg(lease_token), array_agg(NULL::text)) FROM held WHERE consumer = 'p';
		DELETE FROM held WHERE consumer = 'p';
		PERFORM pg_temp.order();
		EXIT WHEN goes_on;
	END LOOP;
	RAISE NOTICE 'goes on: %', goes_on;
	PERFORM pg_temp.next();
	UPDATE acteon_dispatch_segment SET due_at = '2000-01-01' WHERE first_id = 6;
	-- Claims that go on do not put it off.
	FOR i IN 1 .. 3 LOOP
		PERFORM pg_sleep(0.4);
		EXIT WHEN pg_temp.next() = 6;
		looks := i;
	END LOOP;
	RAISE NOTICE 'after a second: %', looks < 3;
END $$;
SELECT count(*) > 0 AS others FROM acteon_outbox_claim('p');

-- what cannot be handed out does not stop the others: one whose row was changed ends dead, or is held if it may have been sent; so is one whose row is missing
CALL clean();
SELECT count(make_record('spoilt ' || i, at => timestamptz '2026-01-01 12:00+00' + i * interval '1 s')) FROM generate_series(1, 9) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
UPDATE acteon_dispatch_outbox SET payload = '{"other": "payload"}' WHERE id IN (2, 3, 7, 9);
DELETE FROM acteon_dispatch_outbox WHERE id = 4;
-- … the claim takes others in their place
SELECT make_record('behind 1'), make_record('behind 2'), make_record('behind 3'), make_record('behind 4');
SELECT count(acteon_replay('behind ' || i)) FROM generate_series(1, 4) AS i;
SELECT pg_temp.take('s', 5);
CREATE VIEW pg_temp.spoilt AS
	SELECT first_id, last_id, attempt, lease_token IS NOT NULL AS leased, doubt, held, unproven, due_at > now() AS later FROM acteon_dispatch_segment ORDER BY first_id;
SELECT * FROM pg_temp.spoilt;
SELECT outbox_id, attempts, state, resend, relay IS NOT NULL AS by_whom, error FROM acteon_dispatch_delivery ORDER BY outbox_id;
UPDATE acteon_dispatch_segment SET unproven = true, resend = 1 WHERE first_id = 6;
SELECT pg_temp.take('s', 5);
SELECT * FROM pg_temp.spoilt;
SELECT outbox_id FROM acteon_dispatch_delivery ORDER BY outbox_id;
SELECT violation, outbox_id FROM acteon_outbox_check() ORDER BY 1, 2;
-- … also if it is all that there is
CALL clean();
SELECT make_record('spoilt');
SELECT success FROM acteon_replay('spoilt');
UPDATE acteon_dispatch_outbox SET payload = '{"other": "payload"}';
SELECT pg_temp.take('s', 5);
SELECT * FROM pg_temp.spoilt;
SELECT outbox_id, state FROM acteon_dispatch_delivery;
DROP VIEW pg_temp.spoilt;
-- … every other one of a whole segment
CALL clean();
SELECT count(make_record('gap ' || i, at => timestamptz '2026-01-01 12:00+00' + i * interval '1 s')) FROM generate_series(1, 100) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 100, canary => 'off');
DELETE FROM acteon_dispatch_outbox WHERE id % 2 = 0;
SELECT count(*) AS handed_out, count(DISTINCT outbox_id) FILTER (WHERE outbox_id % 2 = 1) AS there FROM acteon_outbox_claim('s', 200);
SELECT count(*) AS segments, sum(last_id - first_id + 1) AS actions, first_id % 2 = 1 AS there, lease_token IS NOT NULL AS leased, held FROM acteon_dispatch_segment GROUP BY 3, 4, 5 ORDER BY 3;
-- … about a thousand in a claim, the others in the next one
CALL clean();
SELECT count(make_record('dead ' || i, at => timestamptz '2026-01-01 12:00+00' + i * interval '1 s')) FROM generate_series(1, 1110) AS i;
SELECT replayed FROM acteon_replay_bulk(to_time => '2026-01-01 12:10+00', max_records => 1000, canary => 'off');
SELECT replayed FROM acteon_replay_bulk(from_time => '2026-01-01 12:10:01+00', max_records => 1000, canary => 'off');
UPDATE acteon_dispatch_outbox SET payload = '{"other": "payload"}' WHERE id <= 1100;
SELECT count(*) FROM acteon_outbox_claim('s', 2000);
SELECT count(*), min(outbox_id), max(outbox_id) FROM acteon_dispatch_delivery WHERE state = 'dead';
SELECT count(*) FROM acteon_outbox_claim('s', 2000);
SELECT count(*), max(outbox_id) FROM acteon_dispatch_delivery WHERE state = 'dead';
-- an action counts as sent from its last attempt on, under a new id from the first one under that
CALL clean();
TRUNCATE held;
SELECT make_record('sent 1'), make_record('sent 2'), make_record('sent 3');
SELECT success FROM acteon_replay('sent 1');
SELECT success FROM acteon_replay('sent 2');
SELECT success FROM acteon_replay('sent 3');
SELECT pg_temp.take('s', 3);
SELECT pg_temp.nack('s', array_agg(outbox_id), NULL) FROM held;
UPDATE acteon_dispatch_segment SET resend = CASE first_id WHEN 1 THEN 0 ELSE 1 END, sent_at = CASE WHEN first_id < 200 THEN now() - interval '1 h' END;
SELECT pg_temp.take('s', 3);
SELECT first_id, resend, now() - sent_at < '1 min' AS just_now FROM acteon_dispatch_segment ORDER BY 1;
-- an ack counts also after its action was given back unattempted, if it names its id; after it died and was redriven, too: that id was executed
CALL clean();
TRUNCATE held;
SELECT make_record('m1', at => '2026-01-01 12:00+00'), make_record('m2', at => '2026-01-01 12:01+00');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take('m', 2);
SELECT pg_temp.nack('m', '{1}', NULL);
SELECT pg_temp.reject('m', '{2}');
SELECT redriven FROM acteon_outbox_redrive();
SELECT * FROM pg_temp.segments;
SELECT first_id, attempt, resend, id_refused, unproven, was_claimed FROM acteon_dispatch_segment;
SELECT pg_temp.ack('m', '{1,2}');
-- what else an answer about an older id says is of no account
SELECT pg_temp.ack('m', '{1,2}', true);
SELECT acteon_outbox_ack('{2}', '{1}', '{"{\"Executed\": {\"status\": \"success\"}}"}', ARRAY[pg_temp.sent('m', 2)]);
SELECT outbox_id, state, effect, resend, unproven FROM acteon_dispatch_delivery ORDER BY 1;
-- a retry is put off by a day at the most
SELECT make_record('m3');
SELECT success FROM acteon_replay('m3');
SELECT pg_temp.take('m', 1) IS NOT NULL AS taken;
SELECT given_back FROM (SELECT (acteon_outbox_nack(array_agg(outbox_id), array_agg(lease_token), '{x}', '{1000000 years}')).* FROM held WHERE outbox_id > 2) AS n;
SELECT due_at - now() BETWEEN '23 h' AND '1 day' AS in_a_day FROM acteon_dispatch_segment;
-- what was given back for later is no new action, though its attempt was not counted
SELECT make_record('m4');
SELECT success FROM acteon_replay('m4');
SELECT acteon_outbox_nack(array_agg(outbox_id), array_agg(lease_token), '{null}', '{1 h}') FROM acteon_outbox_claim('m');
SELECT depth, due, retrying, scheduled FROM acteon_outbox_stats;
-- a late answer that would have an action sent again says nothing while another consumer holds it; one that ends it does
CALL clean();
TRUNCATE held;
SELECT make_record('n1', at => '2026-01-01 12:00+00'), make_record('n2', at => '2026-01-01 12:01+00');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take('late', 2);
SELECT pg_temp.nack('late', '{1,2}', NULL);
SELECT pg_temp.take('n', 2);
SELECT acteon_outbox_ack('{1,2}', '{1,1}', '{"\"Throttled\"", "\"AlreadyDispatched\""}', ARRAY[pg_temp.sent('late', 1), pg_temp.sent('late', 2)]);
SELECT first_id, last_id, attempt, resend, holder, doubt FROM acteon_dispatch_segment ORDER BY 1;
SELECT acteon_outbox_ack('{1}', '{1}', '{"\"Suppressed\""}', ARRAY[pg_temp.sent('late', 1)]);
SELECT first_id, last_id, attempt, resend, holder, doubt FROM acteon_dispatch_segment ORDER BY 1;
-- answers come in any order; of several about one action the first counts
CALL clean();
SELECT count(make_record('o' || i, at => timestamptz '2026-01-01 12:00+00' + i * interval '1 s')) FROM generate_series(1, 4) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
CREATE TEMP TABLE mine AS SELECT lease_token AS token FROM acteon_outbox_claim('o') LIMIT 1;
SELECT acteon_outbox_ack('{4,1,3,1,4,3}', array_fill(token, ARRAY[6]), '{"\"Suppressed\"","\"Throttled\"","\"Throttled\"","\"Suppressed\"","\"Throttled\"","\"Suppressed\""}') FROM mine;
SELECT first_id, last_id, attempt, resend, holder FROM acteon_dispatch_segment ORDER BY 1;
SELECT outbox_id, outcome FROM acteon_dispatch_delivery ORDER BY 1;
SELECT state, actions FROM acteon_replay_tally ORDER BY 1;
SELECT acteon_outbox_ack('{2,2}', ARRAY[token], '{null,null}') FROM mine;
-- what is put off was no attempt, whatever was before, and goes out when the gateway says, also at once; what is in doubt is looked up in a second
SELECT acteon_outbox_nack('{2}', ARRAY[token], '{down}', '{0}') FROM mine;
UPDATE acteon_dispatch_segment SET due_at = 'infinity' WHERE first_id <> 2;
SELECT outbox_id, attempt FROM acteon_outbox_claim('o');
SELECT acteon_outbox_ack('{2}', ARRAY[lease_token], ARRAY[jsonb '{"Throttled": {"retry_after": {"secs": 0, "nanos": 0}}}']) FROM acteon_dispatch_segment WHERE first_id = 2;
SELECT attempt, due_at <= clock_timestamp() AS due FROM acteon_dispatch_segment WHERE first_id = 2;
SELECT outbox_id, attempt FROM acteon_outbox_claim('o');
SELECT acteon_outbox_doubt('{2}', ARRAY[lease_token], '{hm}') FROM acteon_dispatch_segment WHERE first_id = 2;
SELECT due_at - doubt_since AS looked_up_in FROM acteon_dispatch_segment WHERE first_id = 2;
DROP TABLE mine;
-- a transaction that is not to write anything answers nothing
BEGIN READ ONLY;
SELECT statement, attempt(statement) FROM unnest(ARRAY[
	$$SELECT acteon_outbox_ack('{2}', '{1}', '{null}')$$,
	$$SELECT acteon_outbox_nack('{2}', '{1}', '{null}')$$,
	$$SELECT acteon_outbox_reject('{2}', '{1}', '{null}')$$,
	$$SELECT acteon_outbox_doubt('{2}', '{1}', '{null}')$$]) AS statement;
ROLLBACK;

-- only for the gateway: no other grant counts
CALL clean();
DELETE FROM acteon_grants;
SELECT make_record('mine');
SELECT success FROM acteon_replay('mine');
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ops', 'admin', '{*}', '{*}', '{*}');
SET ROLE regress_acteon_ops;
SELECT statement, attempt(statement) FROM unnest(ARRAY[
	$$SELECT acteon_outbox_claim('x')$$,
	$$SELECT acteon_outbox_ack('{1}', '{1}', '{null}')$$,
	$$SELECT acteon_outbox_nack('{1}', '{1}', '{null}')$$,
	$$SELECT acteon_outbox_reject('{1}', '{1}', '{null}')$$,
	$$SELECT acteon_outbox_doubt('{1}', '{1}', '{null}')$$,
	$$SELECT acteon_outbox_sleep(true)$$,
	$$SELECT acteon_outbox_describe('{1}')$$,
	$$SELECT acteon_outbox_extend('{1}', '1 min')$$,
	$$SELECT acteon_outbox_redrive()$$,
	$$SELECT acteon_outbox_purge('1 day')$$,
	$$SELECT acteon_outbox_check()$$,
	$$SELECT * FROM acteon_outbox_stats$$,
	$$SELECT * FROM acteon_dispatch_segment$$]) AS statement;
RESET ROLE;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ops', 'gateway', '{*}', '{*}', '{*}');
-- a member of the gateway inherits it, a member that does not inherit has nothing
SET ROLE regress_acteon_member;
SELECT outbox_id, attempt FROM acteon_outbox_claim('member');
SELECT depth, due, leased FROM acteon_outbox_stats;
SELECT * FROM acteon_outbox_check();
RESET ROLE;
SET ROLE regress_acteon_noinherit;
SELECT split_part(attempt($$SELECT acteon_outbox_claim('x')$$), ' |', 1) AS attempt;
RESET ROLE;
DELETE FROM acteon_grants;

-- bad input, before anything is done
SELECT statement, attempt(statement) FROM unnest(ARRAY[
	$$SELECT acteon_outbox_claim(NULL)$$,
	$$SELECT acteon_outbox_claim('')$$,
	$$SELECT acteon_outbox_claim(repeat('x', 201))$$,
	$$SELECT acteon_outbox_claim('x', 0)$$,
	$$SELECT acteon_outbox_claim('x', NULL)$$,
	$$SELECT acteon_outbox_claim('x', 1, '0')$$,
	$$SELECT acteon_outbox_claim('x', 1, '-1 s')$$,
	$$SELECT acteon_outbox_claim('x', 1, NULL)$$,
	$$SELECT acteon_outbox_claim('x', 1, '1 day 1 s')$$,
	$$SELECT acteon_outbox_ack(NULL, '{1}', '{null}')$$,
	$$SELECT acteon_outbox_ack('{1,NULL}', '{1,1}', '{null,null}')$$,
	$$SELECT acteon_outbox_ack('{1}', '{NULL}', '{null}')$$,
	$$SELECT acteon_outbox_ack('{1}', '{1,2}', '{null}')$$,
	$$SELECT acteon_outbox_ack('{1}', '{1}', '{}')$$,
	$$SELECT acteon_outbox_ack('{{1}}', '{1}', '{null}')$$,
	$$SELECT acteon_outbox_ack('{1}', '{1}', '{null}', '{}')$$,
	$$SELECT acteon_outbox_ack('{1}', '{1}', '{null}', '{{12345678-1234-1234-1234-123456789012}}')$$,
	$$SELECT acteon_outbox_nack('{1}', '{1}', '{a}', '{}')$$,
	$$SELECT acteon_outbox_nack('{1}', '{1}', '{a}', NULL, '{NULL,NULL}')$$,
	$$SELECT acteon_outbox_nack('{1}', '{1}', '{a}', '{-1 s}')$$,
	$$SELECT acteon_outbox_nack('{1}', '{1}', NULL)$$,
	$$SELECT acteon_outbox_reject('{1}', '{1}', '{a,b}')$$,
	$$SELECT acteon_outbox_reject('{1}', '{1}', '{a}', '{NULL,NULL}')$$,
	$$SELECT acteon_outbox_doubt('{1}', '{1}', '{a}', '{NULL,NULL}')$$,
	$$SELECT acteon_outbox_doubt('{NULL}', '{1}', '{a}')$$,
	$$SELECT acteon_outbox_doubt('{1}', '{1}', NULL)$$,
	$$SELECT acteon_outbox_describe(NULL)$$,
	$$SELECT acteon_outbox_describe('{1,NULL}')$$,
	$$SELECT acteon_outbox_describe('{{1}}')$$,
	$$SELECT acteon_outbox_extend('{1}', '0')$$,
	$$SELECT acteon_outbox_extend(NULL, '1 s')$$,
	$$SELECT acteon_outbox_extend('{NULL}', '1 s')$$,
	$$SELECT acteon_outbox_redrive(max_actions => 0)$$,
	$$SELECT acteon_outbox_redrive(rate => 0)$$,
	$$SELECT acteon_outbox_redrive(rate => 'NaN')$$,
	$$SELECT acteon_outbox_purge(NULL)$$,
	$$SELECT acteon_outbox_purge('-1 s')$$,
	$$SELECT acteon_outbox_purge('1 s', 0)$$]) AS statement;
-- nothing to say is no error
SELECT acteon_outbox_ack('{}', '{}', '{}'), acteon_outbox_nack('{}', '{}', '{}'), acteon_outbox_reject('{}', '{}', '{}'), acteon_outbox_doubt('{}', '{}', '{}');
BEGIN READ ONLY;
SELECT acteon_outbox_claim('x');
ROLLBACK;
-- a table that has lost what the queue needs is refused
BEGIN;
DROP INDEX acteon_dispatch_segment_due_idx;
SELECT attempt($$SELECT acteon_outbox_claim('x')$$);
ROLLBACK;
-- also if another one just looks like it
BEGIN;
CREATE INDEX regress_acteon_due ON acteon_dispatch_segment (due_at, first_id) WHERE lease_token IS NULL;
CREATE INDEX regress_acteon_down ON acteon_dispatch_segment (due_at DESC, first_id);
DROP INDEX acteon_dispatch_segment_due_idx;
SELECT attempt($$SELECT acteon_outbox_claim('x')$$);
ROLLBACK;
BEGIN;
CREATE FUNCTION regress_acteon_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER t AFTER UPDATE ON acteon_dispatch_segment FOR EACH STATEMENT EXECUTE FUNCTION regress_acteon_trigger();
SELECT attempt($$SELECT acteon_outbox_claim('x')$$);
ROLLBACK;
CALL clean();
DROP TABLE held CASCADE;
-- a late answer with the token of a lease says which relay has sent it; with another token that is not known
SELECT count(make_record('told ' || i, at => timestamptz '2026-01-01 12:00+00' + i * interval '1 s')) FROM generate_series(1, 2) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
CREATE TEMPORARY TABLE told AS SELECT * FROM acteon_outbox_claim('teller');
SELECT pg_temp.run_out('teller');
SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(CASE original_action_id WHEN 'told 1' THEN lease_token ELSE 424242 END), array_agg('"Executed"'::jsonb), array_agg(c.action_id))
FROM told AS c JOIN acteon_dispatch_outbox AS o ON o.id = c.outbox_id;
SELECT original_action_id, relay IS NOT NULL AS by_whom FROM acteon_dispatch_delivery AS d JOIN acteon_dispatch_outbox AS o ON o.id = d.outbox_id ORDER BY 1;
DROP TABLE told;
CALL clean();
