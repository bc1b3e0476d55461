-- Doubts: what may have been sent and has no answer is looked up in the audit table, waits, goes out again under a new id, or is held.
\set VERBOSITY terse
CALL clean();
CREATE TEMP TABLE held (outbox_id bigint, lease_token bigint, attempt integer, action json, action_id uuid, n serial);
CREATE FUNCTION pg_temp.make(first integer, last integer, metadata jsonb DEFAULT '{}', tenant text DEFAULT 'acme') RETURNS bigint LANGUAGE sql AS $$
	SELECT count(make_record('d' || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s', metadata => make.metadata, tenant => make.tenant)) FROM generate_series(first, last) AS i
$$;
CREATE FUNCTION pg_temp.take(actions integer DEFAULT 100, lease interval DEFAULT '1 h') RETURNS text LANGUAGE sql AS $$
	WITH got AS (INSERT INTO held SELECT outbox_id, lease_token, attempt, action, action_id FROM acteon_outbox_claim('c', actions, lease) RETURNING *)
	SELECT coalesce(string_agg(outbox_id || ' (attempt ' || attempt || ')', ', ' ORDER BY outbox_id), 'nothing') FROM got
$$;
CREATE FUNCTION pg_temp.token(id bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT lease_token FROM held WHERE outbox_id = id ORDER BY n DESC LIMIT 1 $$;
-- Which id is meant: the one that was sent last, or an earlier one by its number.
CREATE FUNCTION pg_temp.sent(id bigint, resend integer DEFAULT NULL) RETURNS uuid LANGUAGE sql AS $$
	SELECT CASE WHEN resend IS NULL THEN (SELECT action_id FROM held WHERE outbox_id = o.id ORDER BY n DESC LIMIT 1)
		ELSE acteon_replay_id(o.original_action_id, o.generation, resend) END FROM acteon_dispatch_outbox AS o WHERE o.id = sent.id
$$;
CREATE FUNCTION pg_temp.ack(id bigint, outcome jsonb, resend integer DEFAULT NULL) RETURNS integer LANGUAGE sql AS $$
	SELECT acteon_outbox_ack(ARRAY[id], ARRAY[pg_temp.token(id)], ARRAY[outcome], ARRAY[pg_temp.sent(id, resend)])
$$;
CREATE FUNCTION pg_temp.nack(id bigint, error text, seen boolean DEFAULT true) RETURNS text LANGUAGE sql AS $$
	SELECT acteon_outbox_nack(ARRAY[id], ARRAY[pg_temp.token(id)], ARRAY[error], ARRAY[interval '0'], ARRAY[CASE WHEN seen THEN pg_temp.sent(id) END])::text
$$;
CREATE FUNCTION pg_temp.doubt(ids bigint[], why text DEFAULT 'timed out') RETURNS integer LANGUAGE sql AS $$
	SELECT acteon_outbox_doubt(ids, array_agg(pg_temp.token(id)), array_agg(why), array_agg(pg_temp.sent(id))) FROM unnest(ids) AS id
$$;
-- What the gateway records of an id, at this moment.
CREATE FUNCTION pg_temp.record(id bigint, outcome text, details jsonb DEFAULT '{}', resend integer DEFAULT 0, at timestamptz DEFAULT clock_timestamp(), tenant text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms)
	SELECT 'rec-' || record.id || '-' || record.outcome || '-' || resend, acteon_replay_id(original_action_id, generation, resend), namespace, coalesce(record.tenant, o.tenant), provider, action_type, 'allow', record.outcome, payload, '{}', details,
		CASE WHEN dedup_key IS NULL THEN '{}' ELSE jsonb_build_object('__dedup_key', dedup_key) END, at, at, 1000
	FROM acteon_dispatch_outbox AS o WHERE o.id = record.id
$$;
-- Another action is recorded: the table is alive.
CREATE FUNCTION pg_temp.live() RETURNS text LANGUAGE sql AS $$
	DELETE FROM acteon_audit WHERE id = 'live';
	SELECT make_record('somebody else', id => 'live', at => clock_timestamp(), outcome => 'executed')
$$;
-- The next look is due; the patience is over.
CREATE FUNCTION pg_temp.look() RETURNS text LANGUAGE sql AS $$
	UPDATE acteon_dispatch_segment SET due_at = clock_timestamp() WHERE doubt_since IS NOT NULL;
	SELECT pg_temp.take();
$$;
CREATE FUNCTION pg_temp.wait_and_look() RETURNS text LANGUAGE sql AS $$
	UPDATE acteon_dispatch_segment SET doubt_since = doubt_since - interval '5 min' WHERE doubt_since IS NOT NULL;
	SELECT pg_temp.look();
$$;
-- whoever runs the test is shown as postgres
CREATE VIEW pg_temp.actions AS
	SELECT i.outbox_id AS id, i.state, i.attempts, i.resends, i.unproven, i.effect, i.known_by, coalesce(replace(i.outcome::text, format('"by": "%s"', session_user), '"by": "postgres"'), i.error, i.doubt) AS why, i.held
	FROM acteon_replay_batch AS b CROSS JOIN LATERAL acteon_replay_items(b.id) AS i ORDER BY 1;
CREATE VIEW pg_temp.log AS SELECT event, batch_id, role_name = current_user AS by_me, reason, details FROM acteon_replay_log WHERE event NOT IN ('purge', 'redrive', 'start') ORDER BY id;

-- the record is found: delivered as it was, with its effect
SELECT pg_temp.make(1, 8);
SELECT batch_id, replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT bool_and(h.action_id = o.action_id AND h.action_id = acteon_replay_id(original_action_id, generation)) AS first_ids FROM held AS h JOIN acteon_dispatch_outbox AS o ON o.id = outbox_id;
SELECT pg_temp.doubt('{1,2,3,4,5,6,7,8}');
-- … nothing of another tenant's, and nothing that names no action
SELECT pg_temp.record(8, 'executed', '{"status": "Success"}', tenant => 'acme.other');
SELECT pg_temp.record(1, 'executed', '{"status": "Success"}'), pg_temp.record(2, 'executed', '{"status": "Failure"}'),
	pg_temp.record(3, 'failed', '{"code": "CONNECTION", "message": "connection error: error sending request for url (http://x/)", "retryable": true, "attempts": 1}'),
	pg_temp.record(4, 'failed', '{"code": "TIMEOUT", "message": "timeout after 30s", "retryable": true, "attempts": 4}'), pg_temp.record(5, 'circuit_open'), pg_temp.record(6, 'scheduled'), pg_temp.record(7, 'suppressed', '{"rule": "r"}');
SELECT depth, due, leased, in_doubt, held FROM acteon_outbox_stats;
-- … not before the next look is due
SELECT pg_temp.take();
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions;
SELECT state, outcome, effect, sum(actions) FROM acteon_replay_tally GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT array_agg(outbox_id) AS failed FROM acteon_replay_items(1, 'failed');
SELECT state, in_doubt, held, delivered, done, delivered_by, breaker FROM acteon_replay_batches;
SELECT l.state FROM acteon_replay_lineage('d8') AS l;
SELECT * FROM acteon_outbox_check();

-- what a limit holds after it was given up without proof is looked up once more before it goes out
CALL clean();
TRUNCATE held;
SELECT pg_temp.make(1, 1);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1}');
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 0);
SELECT pg_temp.live() IS NOT NULL AS alive, pg_temp.wait_and_look();
SELECT due_at = 'infinity' AS parked, unproven, resend FROM acteon_dispatch_segment;
SELECT pg_temp.record(1, 'executed', '{"status": "Success"}');
SELECT acteon_replay_limit_set(provider => 'email');
SELECT pg_temp.take();
SELECT * FROM pg_temp.actions;
SELECT * FROM acteon_outbox_check();
TRUNCATE held;

-- several records of one id: what was done counts, else the newest that is not later
CALL clean();
SELECT pg_temp.make(1, 3);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1,2,3}');
SELECT pg_temp.record(1, 'executed', '{"status": "Success"}', at => now() - interval '5 s'), pg_temp.record(1, 'failed', '{"code": "x"}'), pg_temp.record(2, 'failed', '{"code": "y"}', at => now() - interval '5 s'), pg_temp.record(2, 'scheduled'),
	pg_temp.record(3, 'pending', at => now() - interval '5 s'), pg_temp.record(3, 'circuit_open', at => now() - interval '5 s');
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions;

-- no record: patience first, then once more, under a new id, marked
CALL clean();
SELECT pg_temp.make(1, 2);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1,2}');
SELECT pg_temp.live();
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions;
SELECT due_at - clock_timestamp() BETWEEN '0.5 s' AND '2 s' AS soon FROM acteon_dispatch_segment;
UPDATE acteon_dispatch_segment SET doubt_since = clock_timestamp() - interval '100 s';
SELECT pg_temp.look();
SELECT due_at - clock_timestamp() BETWEEN '58 s' AND '60 s' AS in_a_minute FROM acteon_dispatch_segment;
UPDATE acteon_dispatch_segment SET doubt_since = clock_timestamp() - interval '290 s';
SELECT pg_temp.look();
SELECT due_at - clock_timestamp() BETWEEN '5 s' AND '10 s' AS when_the_patience_is_over FROM acteon_dispatch_segment;
SELECT pg_temp.wait_and_look();
SELECT first_id, last_id, attempt, resend, unproven, doubt, held FROM acteon_dispatch_segment;
SELECT outbox_id, attempt, action ->> 'id' = h.action_id::text AS says_so, h.action_id = acteon_replay_id(o.original_action_id, o.generation, 1) AS new, h.action_id <> o.action_id AS other FROM held AS h JOIN acteon_dispatch_outbox AS o ON o.id = outbox_id WHERE n IN (SELECT n FROM held ORDER BY n DESC LIMIT 2) ORDER BY 1;
SELECT pg_temp.ack(1, '{"Executed": {"status": "success"}}');
SELECT * FROM pg_temp.actions;
-- … a second doubt is held, and still ends when a record appears, whichever id it is of
SELECT pg_temp.doubt('{2}', 'timed out again');
SELECT pg_temp.live();
SELECT pg_temp.wait_and_look();
SELECT * FROM pg_temp.actions;
SELECT pg_temp.record(2, 'failed', '{"code": "x"}');
SELECT pg_temp.wait_and_look();
SELECT held FROM pg_temp.actions WHERE id = 2;
SELECT pg_temp.record(2, 'executed', '{"status": "Success"}');
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions;
SELECT outbox_id, resend, unproven, known_by FROM acteon_dispatch_delivery ORDER BY 1;
SELECT * FROM acteon_outbox_check();
-- … that the last id had no effect, by answer or record, says nothing of the one that was given up: nothing is lost again
CALL clean();
SELECT pg_temp.make(1, 2);
SELECT replayed FROM acteon_replay_bulk(lost => true);
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1,2}');
SELECT pg_temp.live();
SELECT pg_temp.wait_and_look();
SELECT pg_temp.ack(1, '{"Failed": {"code": "CIRCUIT_OPEN", "message": "circuit open", "retryable": true, "attempts": 0}}');
SELECT pg_temp.doubt('{2}', 'timed out again');
SELECT pg_temp.record(2, 'circuit_open', resend => 1);
SELECT pg_temp.look();
SELECT id, state, resends, unproven, effect, known_by FROM pg_temp.actions;
SELECT replayed FROM acteon_replay_bulk(lost => true, action_ids => '{d1,d2}');

-- what waits under its new id is looked up once more before it is handed out: the old one may have been recorded meanwhile
CALL clean();
SELECT pg_temp.make(1, 2);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1,2}');
SELECT pg_temp.live();
UPDATE acteon_dispatch_segment SET doubt_since = doubt_since - interval '5 min', due_at = clock_timestamp();
SELECT pg_temp.take(1);
SELECT first_id, resend, unproven, holder FROM acteon_dispatch_segment ORDER BY 1;
SELECT pg_temp.record(2, 'executed', '{"status": "Success"}');
SELECT pg_temp.take();
SELECT * FROM pg_temp.actions;

-- on_doubt is hold: never again by itself, and the record still ends it
CALL clean();
SELECT pg_temp.make(1, 2);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
UPDATE acteon_replay_batch SET on_doubt = 'hold';
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1,2}');
SELECT pg_temp.live();
SELECT pg_temp.wait_and_look();
SELECT * FROM pg_temp.actions;
SELECT depth, due, leased, in_doubt, held FROM acteon_outbox_stats;
SELECT in_doubt, held, on_doubt FROM acteon_replay_batches;
SELECT pg_temp.record(1, 'executed', '{"status": "Success"}');
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions;
-- … what has kept it is looked at again
UPDATE acteon_replay_batch SET on_doubt = 'resend';
SELECT pg_temp.look();

-- an intent alone is held, whatever on_doubt says, however often the action may be tried; one with its outcome is none
CALL clean();
SELECT pg_temp.make(1, 1);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.record(1, 'pending');
SELECT pg_temp.doubt('{1}');
SELECT pg_temp.live();
SELECT pg_temp.look();
SELECT held FROM pg_temp.actions;
SELECT pg_temp.wait_and_look();
SELECT held FROM pg_temp.actions;
SELECT pg_temp.record(1, 'executed', '{"status": "Success"}');
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions;

-- what is missing tells nothing: the claim goes on, the doubts are held, and go out when it tells again
CALL clean();
SELECT pg_temp.make(1, 2);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1);
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1}');
-- … nothing was recorded that was sent later
SELECT pg_temp.wait_and_look();
SELECT held FROM pg_temp.actions;
-- … the records of its time are gone
SELECT pg_temp.live();
UPDATE acteon_audit SET dispatched_at = clock_timestamp() + interval '1 s' WHERE id <> 'live';
UPDATE acteon_audit SET dispatched_at = clock_timestamp() + interval '2 s' WHERE id = 'live';
SELECT pg_temp.look();
SELECT held FROM pg_temp.actions;
UPDATE acteon_audit SET dispatched_at = '2026-01-01 12:00+00' WHERE id <> 'live';
-- … it is no live table
SET acteon_replay.audit_is_live = off;
SELECT replayed FROM acteon_replay_bulk(tenant => 'acme');
SELECT pg_temp.look();
SELECT held FROM pg_temp.actions WHERE held IS NOT NULL;
RESET acteon_replay.audit_is_live;
-- … somebody else may still execute it: any role may say so
BEGIN;
SET LOCAL ROLE regress_acteon_ops;
SET LOCAL acteon_replay.hold_doubts = on;
RESET ROLE;
SELECT pg_temp.look();
SELECT held FROM pg_temp.actions WHERE held IS NOT NULL;
ROLLBACK;
-- … it cannot be read, or is not there
BEGIN;
ALTER TABLE acteon_audit RENAME COLUMN tenant TO client;
SELECT pg_temp.look();
SELECT held FROM pg_temp.actions WHERE held IS NOT NULL;
ROLLBACK;
BEGIN;
ALTER TABLE acteon_audit RENAME TO acteon_audit_away;
SELECT pg_temp.look();
SELECT held FROM pg_temp.actions WHERE held IS NOT NULL;
ROLLBACK;
BEGIN;
ALTER TABLE acteon_audit RENAME TO acteon_audit_of_gateway;
CREATE FUNCTION pg_temp.fail(text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'not for you'; END$$;
CREATE VIEW acteon_audit AS SELECT id, pg_temp.fail(action_id) AS action_id, namespace, tenant, provider, action_type, verdict, outcome, matched_rule, action_payload, verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms FROM acteon_audit_of_gateway;
SELECT pg_temp.look();
SELECT held FROM pg_temp.actions WHERE held IS NOT NULL;
ROLLBACK;
SELECT count(*) AS leased FROM acteon_dispatch_segment WHERE lease_token IS NOT NULL;
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions;

-- Throttled and QuotaExceeded: not delivered; again when the gateway says, under a new id, not counted
CALL clean();
SELECT pg_temp.make(1, 4);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.ack(1, '{"Throttled": {"retry_after": {"secs": 600, "nanos": 0}}}'), pg_temp.ack(2, '{"QuotaExceeded": {"limit": 1}}'), pg_temp.ack(3, '"Throttled"'), pg_temp.ack(4, '{"Throttled": {"retry_after": {"secs": 1000000, "nanos": 5}}}');
SELECT first_id, attempt, resend, unproven, doubt, due_at - clock_timestamp() BETWEEN '599 s' AND '600 s' AS in_ten_minutes, due_at - clock_timestamp() BETWEEN '0' AND '2 s' AS soon, due_at - clock_timestamp() BETWEEN '23:59' AND '24:00' AS in_a_day FROM acteon_dispatch_segment ORDER BY 1;
SELECT count(*) FROM acteon_dispatch_delivery;
SELECT breaker FROM acteon_replay_batches;
UPDATE acteon_dispatch_segment SET due_at = clock_timestamp();
SELECT pg_temp.take();
SELECT bool_and(h.action_id = acteon_replay_id(o.original_action_id, o.generation, 1)) AS new FROM held AS h JOIN acteon_dispatch_outbox AS o ON o.id = outbox_id WHERE n IN (SELECT n FROM held ORDER BY n DESC LIMIT 4);
-- … at most for a day, after the first time it was sent
SELECT pg_temp.ack(1, '"Throttled"');
UPDATE acteon_dispatch_segment SET sent_at = sent_at - interval '24 h 1 s' WHERE first_id > 1;
SELECT pg_temp.ack(2, '"Throttled"'), pg_temp.ack(3, '{"QuotaExceeded": {}}');
SELECT * FROM pg_temp.actions;
-- … an unproven one does not end dead for it
UPDATE acteon_dispatch_segment SET unproven = true WHERE first_id = 4;
SELECT pg_temp.ack(4, '"Throttled"');
SELECT * FROM pg_temp.actions WHERE id = 4;
-- … and found as a record the same
CALL clean();
SELECT pg_temp.make(1, 1);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1}');
SELECT pg_temp.record(1, 'throttled', '{"retry_after_secs": 5}');
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions;

-- 409: the id was seen. Known as refused, and no record: a new id at once; otherwise in doubt
CALL clean();
SELECT pg_temp.make(1, 5);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.live();
-- … 1: answered with 429 before; 2: never reached the gateway; 3: answered, and recorded all the same; 4: 409 at the first attempt; 5: answered, then without an answer
SELECT pg_temp.nack(1, NULL), pg_temp.nack(2, NULL, seen => false), pg_temp.nack(3, 'Internal error'), pg_temp.ack(4, '{"AlreadyDispatched": {"error": "seen"}}'), pg_temp.nack(5, NULL);
SELECT first_id, attempt, resend, id_refused, doubt FROM acteon_dispatch_segment ORDER BY 1;
SELECT pg_temp.take();
SELECT pg_temp.record(3, 'executed', '{"status": "Success"}');
SELECT pg_temp.ack(1, '{"AlreadyDispatched": null}'), pg_temp.ack(2, '{"AlreadyDispatched": null}'), pg_temp.ack(3, '{"AlreadyDispatched": null}'), pg_temp.doubt('{5}');
SELECT pg_temp.take();
SELECT first_id, attempt, resend, id_refused, unproven, holder, doubt FROM acteon_dispatch_segment ORDER BY 1;
SELECT * FROM pg_temp.actions WHERE state = 'delivered';
-- … an intent says that more has happened
SELECT pg_temp.nack(1, NULL);
SELECT pg_temp.take();
SELECT pg_temp.record(1, 'pending', resend => 1);
SELECT pg_temp.ack(1, '"AlreadyDispatched"');
SELECT pg_temp.take();
SELECT * FROM pg_temp.actions WHERE id = 1;
-- … only refused ones are no doubts to the breaker
SELECT breaker FROM acteon_replay_batches;

-- Deduplicated ends an action, but not when an earlier id of it may have taken the key
CALL clean();
SELECT pg_temp.make(1, 3, '{"__dedup_key": "k"}');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.ack(1, '"Deduplicated"');
SELECT pg_temp.doubt('{2,3}');
SELECT pg_temp.live();
SELECT pg_temp.wait_and_look();
SELECT pg_temp.ack(2, '"Deduplicated"');
SELECT pg_temp.doubt('{3}');
SELECT pg_temp.record(3, 'deduplicated', resend => 1);
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions;
SELECT pg_temp.wait_and_look();
SELECT * FROM pg_temp.actions;
-- … the record of another one with the key that was executed decides
SELECT pg_temp.record(1, 'executed', '{"status": "Success"}');
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions;

-- late answers: by the id that was sent, of an older one only if it was executed
CALL clean();
SELECT pg_temp.make(1, 4);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1,2,3,4}');
SELECT acteon_outbox_ack('{1}', '{424242}', '{"{\"Executed\": {\"status\": \"success\"}}"}');
SELECT acteon_outbox_ack('{1}', '{424242}', '{"{\"Executed\": {\"status\": \"success\"}}"}', ARRAY[pg_temp.sent(2)]);
SELECT acteon_outbox_ack('{1}', '{424242}', '{"{\"Executed\": {\"status\": \"success\"}}"}', '{NULL}');
SELECT acteon_outbox_nack('{1}', '{424242}', '{no}', NULL, ARRAY[pg_temp.sent(1)]), acteon_outbox_reject('{1}', '{424242}', '{no}', ARRAY[pg_temp.sent(1)]), acteon_outbox_doubt('{1}', '{424242}', '{no}', ARRAY[pg_temp.sent(1)]);
SELECT pg_temp.ack(1, '{"Failed": {"code": "x"}}');
SELECT pg_temp.live();
SELECT pg_temp.wait_and_look();
-- … Failed, 409 and Throttled of an older id say nothing of the one that is out, also under its lease
SELECT pg_temp.ack(2, '{"Failed": {"code": "x"}}', resend => 0), pg_temp.ack(2, '"Throttled"', resend => 0), pg_temp.ack(2, '{"AlreadyDispatched": null}', resend => 0), acteon_outbox_reject('{2}', ARRAY[pg_temp.token(2)], '{bad}', ARRAY[pg_temp.sent(2, 0)]) AS reject;
SELECT * FROM pg_temp.actions WHERE id = 2;
SELECT acteon_outbox_ack('{2}', ARRAY[pg_temp.token(2)], '{"{\"Failed\": {}}"}');
SELECT acteon_outbox_ack('{3}', '{1}', '{"{\"Failed\": {}}"}', ARRAY[pg_temp.sent(3, 0)]), acteon_outbox_ack('{3}', '{1}', '{"\"Throttled\""}', ARRAY[pg_temp.sent(3, 0)]), acteon_outbox_ack('{3}', '{1}', '{"{\"AlreadyDispatched\": null}"}', ARRAY[pg_temp.sent(3, 0)]);
SELECT acteon_outbox_ack('{3}', '{1}', '{"{\"Executed\": {\"status\": \"success\"}}"}', ARRAY[pg_temp.sent(3, 0)]);
SELECT * FROM pg_temp.actions;
-- … the answer to the new one is a contradiction then; the same again is none, nor is one without an effect
SELECT pg_temp.ack(3, '{"Executed": {"status": "success"}}', resend => 0), pg_temp.ack(3, '{"Failed": {}}');
SELECT * FROM pg_temp.log;
SELECT pg_temp.ack(3, '{"Executed": {"status": "success"}}');
SELECT * FROM pg_temp.log;
-- … so is one about what ended as it should not have
SELECT pg_temp.ack(1, '{"Executed": {"status": "success"}}');
SELECT acteon_outbox_reject('{4}', ARRAY[pg_temp.token(4)], '{bad}');
SELECT * FROM pg_temp.actions WHERE id = 4;
SELECT acteon_replay_settle(1, 'cancel', 'nobody got it', '{4}');
SELECT pg_temp.ack(4, '{"Executed": {"status": "success"}}', resend => 0);
SELECT pg_temp.make(5, 5);
SELECT success FROM acteon_replay('d5');
SELECT pg_temp.take();
SELECT id AS five FROM acteon_dispatch_outbox WHERE original_action_id = 'd5' \gset
SELECT acteon_outbox_reject(ARRAY[:five], ARRAY[pg_temp.token(:five)], '{bad}');
SELECT pg_temp.ack(:five, '{"Executed": {"status": "success"}}');
SELECT event, reason, details FROM pg_temp.log;

-- … and so is each of several in one call
CALL clean();
SELECT pg_temp.make(1, 3);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT acteon_outbox_reject('{1,2}', ARRAY[pg_temp.token(1), pg_temp.token(2)], '{bad,bad}');
SELECT acteon_outbox_ack('{1,2,3}', ARRAY[pg_temp.token(1), pg_temp.token(2), pg_temp.token(3)], array_fill(jsonb '{"Executed": {"status": "success"}}', ARRAY[3]), ARRAY[pg_temp.sent(1), pg_temp.sent(2), pg_temp.sent(3)]);
SELECT event, details FROM pg_temp.log;
SELECT outbox_id, state, known_by FROM acteon_dispatch_delivery ORDER BY 1;

-- an action counts as in doubt once, whatever is answered about it then
CALL clean();
SELECT pg_temp.make(1, 1);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1}');
UPDATE acteon_dispatch_segment SET unproven = true;
SELECT pg_temp.ack(1, '"Deduplicated"');
SELECT first_id, doubt, held FROM acteon_dispatch_segment;
SELECT state, sum(actions) FROM acteon_replay_tally GROUP BY 1;

-- under the lease for a new id, an answer about an earlier one counts if that was executed
CALL clean();
SELECT pg_temp.make(1, 1);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
UPDATE acteon_dispatch_segment SET resend = 1;
SELECT pg_temp.ack(1, '{"Failed": {}}', resend => 0), pg_temp.ack(1, '{"Executed": {"status": "success"}}', resend => 0);
SELECT state, effect, resend FROM acteon_dispatch_delivery;

-- two ids that were executed, by the records
CALL clean();
SELECT pg_temp.make(1, 1);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1}');
SELECT pg_temp.live();
SELECT pg_temp.wait_and_look();
SELECT pg_temp.doubt('{1}');
SELECT pg_temp.record(1, 'executed', '{"status": "Success"}'), pg_temp.record(1, 'executed', '{"status": "Success"}', resend => 1);
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions;
SELECT * FROM pg_temp.log;

-- an action of which an earlier id is in doubt never ends dead or cancelled
CALL clean();
SELECT pg_temp.make(1, 4);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1,2,3,4}');
SELECT pg_temp.live();
SELECT pg_temp.wait_and_look();
SET acteon_replay.max_attempts = 2;
SELECT acteon_outbox_reject('{1}', ARRAY[pg_temp.token(1)], '{"400: bad"}'), pg_temp.nack(2, 'down'), pg_temp.nack(3, NULL);
RESET acteon_replay.max_attempts;
SELECT * FROM pg_temp.actions;
-- … held it stays, from look to look
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions;
SELECT acteon_replay_cancel(1, 'all wrong');
SELECT pg_temp.nack(4, NULL);
SELECT pg_temp.take();
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions;
SELECT state, in_doubt, held, cancelled FROM acteon_replay_batches;
SELECT pg_temp.record(4, 'executed', '{"status": "Success"}');
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions WHERE id = 4;
SELECT * FROM acteon_outbox_check();
-- … after its last attempt a doubt is held
CALL clean();
SELECT pg_temp.make(1, 1);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1}');
SELECT pg_temp.live();
SET acteon_replay.max_attempts = 1;
SELECT pg_temp.wait_and_look();
SELECT * FROM pg_temp.actions;
RESET acteon_replay.max_attempts;

-- a pause and a cancel stop the resend; the looking goes on
CALL clean();
SELECT pg_temp.make(1, 3);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take(2);
SELECT pg_temp.doubt('{1,2}');
SELECT pg_temp.live();
SELECT state, waiting FROM acteon_replay_pause(1);
SELECT pg_temp.wait_and_look();
SELECT id, state, held FROM pg_temp.actions;
SELECT pg_temp.record(1, 'executed', '{"status": "Success"}');
SELECT pg_temp.look();
SELECT id, state, held FROM pg_temp.actions;
SELECT state, waiting FROM acteon_replay_resume(1);
SELECT pg_temp.look();
SELECT pg_temp.doubt('{2}'), pg_temp.nack(3, NULL);
SELECT state, waiting, in_flight, cancelled FROM acteon_replay_cancel(1);
SELECT pg_temp.live();
SELECT pg_temp.wait_and_look();
SELECT id, state, held FROM pg_temp.actions;
SELECT stopped FROM acteon_replay_batch;
SELECT pg_temp.record(2, 'executed', '{"status": "Success"}', resend => 1);
SELECT pg_temp.look();
SELECT * FROM pg_temp.actions;
SELECT pg_temp.take();
SELECT stopped FROM acteon_replay_batch;
SELECT * FROM acteon_outbox_check();

-- a doubt keeps its lane, held or not; the end of it frees the lane
CALL clean();
SELECT pg_temp.make(1, 3, '{"__fingerprint": "f"}');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1}');
SELECT pg_temp.live();
SELECT pg_temp.take(), pg_temp.look();
UPDATE acteon_replay_batch SET on_doubt = 'hold';
SELECT pg_temp.wait_and_look();
SELECT id, state, held FROM pg_temp.actions;
SELECT pg_temp.record(1, 'executed', '{"status": "Success"}');
SELECT pg_temp.look(), pg_temp.take();
SELECT pg_temp.doubt('{2}');
SELECT acteon_replay_settle(1, 'resend', 'not there');
SELECT pg_temp.take();
-- … also a later one's, when an earlier one of the lane comes back
CALL clean();
SELECT pg_temp.make(1, 2, '{"__fingerprint": "f"}');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT acteon_outbox_reject('{1}', ARRAY[pg_temp.token(1)], '{bad}');
SELECT pg_temp.take();
SELECT pg_temp.doubt('{2}');
UPDATE acteon_dispatch_segment SET due_at = now() + interval '1 h';
SELECT redriven FROM acteon_outbox_redrive();
SELECT pg_temp.take(), pg_temp.take();
SELECT first_id, resend, holder, doubt FROM acteon_dispatch_segment ORDER BY 1;
SELECT pg_temp.record(2, 'executed', '{"status": "Success"}');
SELECT pg_temp.look();

-- a person decides
CALL clean();
SELECT pg_temp.make(1, 8);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 7);
UPDATE acteon_replay_batch SET on_doubt = 'hold';
SELECT pg_temp.take(6);
SELECT pg_temp.doubt('{1,2,3,4}');
SELECT pg_temp.live();
SELECT pg_temp.wait_and_look();
SELECT statement, attempt(statement) FROM unnest(ARRAY[
	$$SELECT acteon_replay_settle(1, 'resend', NULL)$$,
	$$SELECT acteon_replay_settle(1, 'resend', '')$$,
	$$SELECT acteon_replay_settle(1, 'resend', '  ')$$,
	$$SELECT acteon_replay_settle(1, NULL, 'x')$$,
	$$SELECT acteon_replay_settle(1, 'Resend', 'x')$$,
	$$SELECT acteon_replay_settle(NULL, 'resend', 'x')$$,
	$$SELECT acteon_replay_settle(4711, 'resend', 'x')$$,
	$$SELECT acteon_replay_settle(1, 'resend', 'x', '{NULL}')$$,
	$$SELECT acteon_replay_settle(1, 'resend', 'x', '{{1}}')$$,
	$$SELECT acteon_replay_settle(1, 'cancel', 'x', '{}')$$,
	$$SELECT acteon_replay_settle(1, 'cancel', 'x', '{4711,7,5}')$$]) AS statement;
SELECT acteon_replay_settle(1, 'delivered', 'the provider has it', '{1,1,4711}'), acteon_replay_settle(1, 'cancel', 'the provider wants it no more', '{2}'), acteon_replay_settle(1, 'resend', 'the provider never got it', '{3}');
SELECT * FROM pg_temp.actions;
SELECT state, outcome, effect, sum(actions) FROM acteon_replay_tally GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT jsonb_object_keys(outcome) AS outcome, outcome #> '{Settled,reason}' AS reason FROM acteon_dispatch_delivery WHERE known_by = 'settled' AND state = 'delivered';
SELECT * FROM pg_temp.log;
-- … what was cancelled is free to be replayed, under an id of its own; what was called delivered is passed over
SELECT results -> 0 ->> 'original_action_id' AS first, replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1);
SELECT state, in_doubt, held, done FROM acteon_replay_batches ORDER BY batch_id;
-- … what was sent again is looked up before, has all its attempts, and is held at the next doubt
SELECT pg_temp.take(2);
SELECT pg_temp.doubt('{3}');
SELECT pg_temp.live();
UPDATE acteon_replay_batch SET on_doubt = 'resend';
SELECT pg_temp.wait_and_look();
SELECT * FROM pg_temp.actions WHERE id = 3;
-- … a lease that has run out is a doubt, also before a claim has met it; one that lasts is none
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE first_id = 5;
SELECT acteon_replay_settle(1, 'delivered', 'all of it');
SELECT * FROM pg_temp.actions WHERE state <> 'waiting';
SELECT * FROM acteon_outbox_check();
BEGIN READ ONLY;
SELECT acteon_replay_settle(1, 'delivered', 'x');
ROLLBACK;
-- … whoever may steer the batch
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_acteon_a, regress_acteon_b, regress_acteon_admin, regress_acteon_other;
RESET client_min_messages;
CREATE ROLE regress_acteon_a;
CREATE ROLE regress_acteon_b;
CREATE ROLE regress_acteon_admin;
CREATE ROLE regress_acteon_other;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES
	('regress_acteon_a', 'operator', '{acme}', '{*}', '{*}'), ('regress_acteon_b', 'operator', '{*}', '{*}', '{*}'), ('regress_acteon_admin', 'admin', '{acme}', '{*}', '{*}'), ('regress_acteon_other', 'admin', '{globex}', '{*}', '{*}');
CALL clean();
SELECT pg_temp.make(1, 2);
SET ROLE regress_acteon_a;
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01') \gset
RESET ROLE;
SELECT pg_temp.take();
SELECT pg_temp.doubt('{1,2}');
CREATE FUNCTION pg_temp.try(who name, batch bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE format('SET ROLE %I', who);
	answer := left(attempt(format('SELECT acteon_replay_settle(%s, ''resend'', ''x'', ''{}'')', batch)), 120);
	RESET ROLE;
	RETURN answer;
END
$$;
SELECT who, pg_temp.try(who, :batch_id) FROM unnest('{regress_acteon_a,regress_acteon_b,regress_acteon_admin,regress_acteon_other,regress_acteon_nobody}'::text[]) AS who;
DELETE FROM acteon_grants WHERE grantee IN ('regress_acteon_a'::regrole, 'regress_acteon_b'::regrole, 'regress_acteon_admin'::regrole, 'regress_acteon_other'::regrole);
SELECT pg_temp.try('regress_acteon_a', :batch_id);
DROP ROLE regress_acteon_a, regress_acteon_b, regress_acteon_admin, regress_acteon_other;

-- the breaker counts what had no effect, every Failed, and each doubt once
CALL clean();
SELECT pg_temp.make(1, 60);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 60, breaker_window => 10, breaker_share => 0.5);
SELECT pg_temp.take(20);
SELECT count(pg_temp.ack(id, '{"Executed": {"status": "success"}}')) FROM generate_series(1, 5) AS id;
SELECT breaker FROM acteon_replay_batches;
SELECT pg_temp.ack(6, '{"Executed": {"status": "failure"}}'), pg_temp.ack(7, '{"Failed": {"code": "TIMEOUT", "attempts": 4}}'), pg_temp.ack(8, '{"CircuitOpen": {}}');
SELECT breaker FROM acteon_replay_batches;
-- … what was decided, and what goes on, is no failure, and what was put off has not ended
SELECT pg_temp.ack(9, '{"Suppressed": {"rule": "x"}}'), pg_temp.ack(10, '{"Scheduled": {}}'), pg_temp.ack(11, '{"Throttled": {}}');
SELECT breaker FROM acteon_replay_batches;
SELECT pg_temp.doubt('{12,13}');
SELECT breaker FROM acteon_replay_batches;
SELECT pg_temp.look();
SELECT breaker FROM acteon_replay_batches;
SELECT stopped FROM acteon_replay_batch;
-- … found as failed it is one more
SELECT pg_temp.record(12, 'failed', '{"code": "x"}');
SELECT pg_temp.look();
SELECT stopped, stop_reason FROM acteon_replay_batch;
SELECT state, in_doubt, breaker FROM acteon_replay_batches;
-- … what a person cancelled says nothing: neither to the view nor to the breaker itself
CALL clean();
SELECT pg_temp.make(1, 10);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 10, breaker_window => 4, breaker_share => 0.5);
SELECT pg_temp.take(10);
SELECT pg_temp.doubt('{1,2}');
SELECT acteon_replay_settle(1, 'cancel', 'not wanted any more');
SELECT state, cancelled, breaker FROM acteon_replay_batches;
SELECT pg_temp.ack(3, '{"Failed": {"code": "x"}}');
SELECT state, stop_reason, breaker FROM acteon_replay_batches;

-- a redrive looks first: what was dead is known not to have been executed, so its new id goes out at once
CALL clean();
SELECT pg_temp.make(1, 3);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT count(acteon_outbox_reject(ARRAY[id], ARRAY[pg_temp.token(id)], '{bad}')) FROM generate_series(1, 3) AS id;
SELECT pg_temp.record(1, 'executed', '{"status": "Success"}'), pg_temp.record(2, 'pending');
SELECT redriven FROM acteon_outbox_redrive();
SELECT pg_temp.take();
SELECT * FROM pg_temp.actions;
SELECT action_id = acteon_replay_id('d3', 1, 1) AS new FROM held ORDER BY n DESC LIMIT 1;

-- sequences that are behind their tables are set forward: no id twice, no error
CALL clean();
SELECT pg_temp.make(1, 250);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 120);
SELECT setval('acteon_dispatch_outbox_id_seq', 1, false), setval('acteon_replay_batch_id_seq', 1, false), setval('acteon_replay_log_id_seq', 1, false);
SELECT acteon_replay_pause(1), acteon_replay_resume(1);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 120);
SELECT setval('acteon_dispatch_outbox_id_seq', 1, true);
SELECT success FROM acteon_replay('d249');
SELECT success FROM acteon_replay('d250');
SELECT count(*), count(DISTINCT id) AS ids, count(DISTINCT batch_id) AS batches, min(id), max(id) FROM acteon_dispatch_outbox;
SELECT count(*) AS events, count(DISTINCT id) AS ids FROM acteon_replay_log WHERE event <> 'start';
SELECT * FROM acteon_outbox_check();

-- a replay after a purge goes on behind the generation that was reached: another id; preview, lineage and check agree
CALL clean();
SELECT pg_temp.make(1, 2);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT pg_temp.ack(1, '{"Executed": {"status": "success"}}'), pg_temp.ack(2, '{"Failed": {}}');
SELECT success FROM acteon_replay('d1');
SELECT pg_temp.take();
SELECT count(pg_temp.ack(id, '{"Executed": {"status": "success"}}')) FROM acteon_dispatch_outbox WHERE generation = 2 GROUP BY id;
CREATE TEMP TABLE used AS SELECT action_id FROM acteon_dispatch_outbox;
UPDATE acteon_dispatch_delivery SET finished_at = finished_at - interval '2 days';
SELECT acteon_outbox_purge('1 day');
SELECT count(*) FROM acteon_dispatch_outbox;
SELECT action_id = acteon_replay_id('d1', 1) AS one, action_id = acteon_replay_id('d1', 2) AS two, action_id = acteon_replay_id('d2', 1) AS other FROM acteon_dispatch_action ORDER BY outbox_id;
SELECT * FROM acteon_outbox_check();
SELECT count(*) FROM acteon_replay_lineage('d1');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT original_action_id, generation, action_id = acteon_replay_id(original_action_id, generation) AS by_generation, action_id IN (SELECT action_id FROM used) AS used FROM acteon_dispatch_outbox ORDER BY 1;
SELECT id = acteon_replay_id('d1', 3)::text AS third, generation, state FROM acteon_replay_lineage('d1') ORDER BY generation;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.take();
SELECT acteon_outbox_reject(ARRAY[id], ARRAY[pg_temp.token(id)], '{bad}') FROM acteon_dispatch_outbox;
UPDATE acteon_dispatch_delivery SET finished_at = finished_at - interval '2 days';
SELECT acteon_outbox_purge('1 day');
SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM acteon_dispatch_outbox AS o WHERE o.action_id = a.action_id)) AS left FROM acteon_dispatch_action AS a;
SELECT attempt($$SELECT success FROM acteon_replay('d1')$$), attempt($$SELECT success FROM acteon_replay('d2')$$);
SELECT original_action_id, generation, count(*) OVER (PARTITION BY action_id) FROM acteon_dispatch_outbox ORDER BY 1;
SELECT * FROM acteon_outbox_check();

-- another server has written last: what is due may have been sent, numbers may have been given out; noticed once
CALL clean();
SELECT pg_temp.make(1, 300);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 100);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 100, start_at => '2100-01-01');
SELECT pg_temp.take(2);
SELECT pg_temp.nack(1, 'down');
UPDATE acteon_dispatch_segment SET due_at = now() + interval '1 h' WHERE first_id = 1;
SELECT pg_temp.live();
SELECT server = (SELECT system_identifier || '/' || timeline_id FROM pg_control_system(), pg_control_checkpoint()) AS known FROM acteon_replay_installation;
UPDATE acteon_replay_installation SET server = 'x/1';
\c -
SELECT outbox_id FROM acteon_outbox_claim('after', 1);
SELECT first_id, last_id, holder IS NOT NULL AS held, due_at > now() + interval '30 min' AS later, doubt FROM acteon_dispatch_segment ORDER BY 1;
SELECT server = (SELECT system_identifier || '/' || timeline_id FROM pg_control_system(), pg_control_checkpoint()) AS known FROM acteon_replay_installation;
SELECT outbox_id FROM acteon_outbox_claim('after', 1);
SELECT event, reason, details - 'now' AS details FROM acteon_replay_log WHERE event <> 'start';
SELECT success FROM acteon_replay('d250');
SELECT id > 100000 AS far, batch_id > 100000 AS far_batch FROM acteon_dispatch_outbox WHERE original_action_id = 'd250';
SELECT * FROM acteon_outbox_check();
-- … by a replay, too, before it draws a number
UPDATE acteon_replay_installation SET server = 'x/1';
\c -
SELECT success FROM acteon_replay('d251');
SELECT count(*) FROM acteon_replay_log WHERE event = 'failover';
SELECT max(id) > 20000000 AS far FROM acteon_dispatch_outbox;
CALL clean();
