-- The trail: what was changed, removed or inserted behind the extension's back is found, whatever it is; and nothing else.
\set VERBOSITY terse
CALL clean();
CREATE FUNCTION pg_temp.tampered(VARIADIC changes text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	change text;
	seen text;
BEGIN
	FOREACH change IN ARRAY changes LOOP
		EXECUTE change;
	END LOOP;
	SELECT string_agg(regexp_replace(concat_ws(' ', violation, outbox_id, '| ' || detail), '\d{5,}', 'N', 'g'), E'\n' ORDER BY violation, outbox_id, detail) INTO seen FROM acteon_outbox_check()
	WHERE violation !~ '^(lost|covered twice|unknown action|wrong batch|wrong lane|no batch|outside its batch|gap in generations|id not kept|wrong tally|finished and waiting|cannot be handed out)$';
	RAISE EXCEPTION USING MESSAGE = coalesce(seen, 'nothing');
EXCEPTION WHEN raise_exception THEN
	RETURN QUERY SELECT * FROM regexp_split_to_table(SQLERRM, E'\n');
END
$$;
-- Links until what was done before is settled: no transaction of before is at work any more.
CREATE PROCEDURE pg_temp.settle() LANGUAGE plpgsql AS $$
DECLARE
	wanted bigint := (SELECT max(id) FROM acteon_replay_log);
BEGIN
	FOR i IN 1 .. 600 LOOP
		PERFORM acteon_replay_trail_link();
		COMMIT;
		IF (SELECT h.log_id >= wanted AND h.next_finished_at > h.finished_at FROM acteon_replay_trail_head AS h) THEN
			RETURN;
		END IF;
		PERFORM pg_sleep(0.05);
	END LOOP;
	RAISE EXCEPTION 'not settled in 30 s, up to % of %', (SELECT h.log_id FROM acteon_replay_trail_head AS h), wanted;
END
$$;
CREATE FUNCTION pg_temp.answer(number integer, state text) RETURNS text LANGUAGE sql AS $$
	WITH c AS MATERIALIZED (SELECT * FROM acteon_outbox_claim('trail', number))
	SELECT CASE state
		WHEN 'ack' THEN acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success", "body": {"n": 1.50}}}'::jsonb))::text
		ELSE acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('no'::text))::text END
	FROM c
$$;

-- nothing, twice
SELECT acteon_replay_trail_link(), acteon_replay_trail_link();
SELECT attempt('SELECT acteon_replay_witness()');
SELECT * FROM acteon_outbox_check();

-- some of everything: 250 actions in three blocks, one by one, with a fingerprint, with what a label and a payload can be
SELECT count(make_record('t' || i, at => '2026-01-01'::timestamptz + i * interval '1 s', payload => jsonb_build_object('n', i * 1.10, 'a', '[null, true, false, {"x": []}, "é"]'::jsonb),
	metadata => CASE i % 3 WHEN 0 THEN '{"__dedup_key": "d", "__starts_at": "2026-01-01T00:00:00.123456789Z"}' WHEN 1 THEN '{"l": "x"}' ELSE '{}' END::jsonb)) FROM generate_series(1, 250) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 250, canary => 'off', reason => 'first');
SELECT make_record('s1', outcome => 'circuit_open', metadata => '{"__fingerprint": "f"}'), make_record('s2', outcome => 'circuit_open');
SELECT success FROM acteon_replay('s1');
SELECT success FROM acteon_replay('s2');
CREATE ROLE regress_acteon_trail;
SELECT acteon_api_key_create('trail', 'regress_acteon_trail') IS NULL AS none;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES (current_user::regrole, 'viewer', '{acme}', '{*}', '{*}');
UPDATE acteon_grants SET tenants = '{globex}' WHERE grantee = current_user::regrole;
DELETE FROM acteon_grants WHERE grantee = current_user::regrole;
SELECT event, details #- '{old,id}' #- '{new,id}' #- '{old,grantee}' #- '{new,grantee}' AS details, role_name = current_user AS by_me FROM acteon_replay_log WHERE event = 'grant' ORDER BY id;
SELECT event, batch_id, reason, details FROM acteon_replay_log WHERE event = 'start' ORDER BY id;

-- every row has a hash, and the same contents have the same one
SELECT count(*), count(DISTINCT hash), min(octet_length(hash)), max(octet_length(hash)) FROM acteon_dispatch_outbox;
SELECT id, octet_length(rows_hash) FROM acteon_replay_batch ORDER BY id;

-- what is there is linked, once
SELECT acteon_replay_trail_link() > 0 AS linked;
SELECT kind, count(*), sum(octet_length(hashes) / 16) AS hashes FROM acteon_replay_trail WHERE kind IN ('batch', 'rows') GROUP BY kind ORDER BY kind;
SELECT acteon_replay_trail_link();
SELECT pg_temp.answer(20, 'ack'), pg_temp.answer(10, 'reject');
SELECT redriven FROM acteon_outbox_redrive(ARRAY[21, 22]);
SELECT acteon_replay_pause(1), acteon_replay_resume(1) \gset
CALL pg_temp.settle();
SELECT * FROM acteon_outbox_check();
SELECT acteon_replay_trail_link();
-- … also after a purge, that links first, and of what was redriven and ended again
UPDATE acteon_dispatch_segment SET due_at = now(), doubt_since = NULL, doubt = NULL, resend = 0, held = NULL WHERE first_id IN (21, 22);
SELECT pg_temp.answer(2, 'ack');
SET client_min_messages = error;
SELECT acteon_outbox_purge('0', 5);
RESET client_min_messages;
CALL pg_temp.settle();
SELECT event, first_id, last_id, part, cardinality(ids), octet_length(hashes) FROM acteon_replay_removal ORDER BY id;
SELECT count(*) AS left FROM acteon_dispatch_outbox;
SELECT pg_temp.answer(40, 'ack'), pg_temp.answer(2, 'reject');
SELECT acteon_replay_cancel(2) \gset
CALL pg_temp.settle();
SELECT * FROM acteon_outbox_check();
SELECT min(id) AS dead FROM acteon_dispatch_delivery JOIN acteon_dispatch_outbox ON id = outbox_id WHERE state = 'dead' AND id > 40 \gset

-- rows of the outbox
SELECT pg_temp.tampered('SELECT 1');
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET payload = payload || '{"to": "mallory"}' WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET payload = jsonb_set(payload, '{n}', '165.0') WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET labels = labels || '{"l": "y"}' WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET provider = 'sms' WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET tenant = 'globex' WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET namespace = 'x' WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET action_type = 'x' WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET original_action_id = 'x' WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET action_id = gen_random_uuid() WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET generation = 2 WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET created_at = created_at + interval '1 us' WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET dedup_key = '' WHERE id = 149$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET status = '' WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET starts_at = now() WHERE id = 149$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET ends_at = now() WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET fingerprint = 'g' WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET batch_id = 2 WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET hash = NULL WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET hash = '\x00' WHERE id = 150$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET hash = substr(sha256('x'), 1, 16) WHERE id = 150$$);
SELECT pg_temp.tampered($$DELETE FROM acteon_dispatch_outbox WHERE id = 150$$);
SELECT count(*) FROM pg_temp.tampered($$TRUNCATE acteon_dispatch_outbox$$);
-- … two that change places, one that is moved, one that is inserted
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET id = -1 WHERE id = 150$$, $$UPDATE acteon_dispatch_outbox SET id = 150 WHERE id = 151$$, $$UPDATE acteon_dispatch_outbox SET id = 151 WHERE id = -1$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_outbox SET id = 260 WHERE id = 150$$);
SELECT pg_temp.tampered($$INSERT INTO acteon_dispatch_outbox SELECT 260, batch_id, created_at, gen_random_uuid(), 1, 'x', namespace, tenant, provider, action_type, payload, labels FROM acteon_dispatch_outbox WHERE id = 150$$);
SELECT pg_temp.tampered($$INSERT INTO acteon_dispatch_outbox SELECT 260, batch_id, created_at, action_id, 1, original_action_id, namespace, tenant, provider, action_type, payload, labels, dedup_key, status, fingerprint, starts_at, ends_at, expires_at, target, hash FROM acteon_dispatch_outbox WHERE id = 150$$);
-- … in a range
SELECT outbox_id, violation FROM acteon_outbox_check(100, 200);

-- deliveries
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_delivery SET outcome = '{"Executed": {"status": "failure", "body": {"n": 1.50}}}' WHERE outbox_id = 35$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_delivery SET outcome = '{"Executed": {"status": "success", "body": {"n": 1.5}}}' WHERE outbox_id = 35$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_delivery SET state = 'dead' WHERE outbox_id = 35$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_delivery SET effect = 'none' WHERE outbox_id = 35$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_delivery SET attempts = 7 WHERE outbox_id = 35$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_delivery SET finished_at = finished_at - interval '1 us' WHERE outbox_id = 35$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_delivery SET error = 'x' WHERE outbox_id = 35$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_delivery SET known_by = 'settled', unproven = true WHERE outbox_id = 35$$);
SELECT pg_temp.tampered($$UPDATE acteon_dispatch_delivery SET resend = 1 WHERE outbox_id = 35$$);
SELECT pg_temp.tampered($$DELETE FROM acteon_dispatch_delivery WHERE outbox_id = 35$$);
SELECT pg_temp.tampered(format('DELETE FROM acteon_dispatch_delivery WHERE outbox_id = %s', :dead), format('INSERT INTO acteon_dispatch_segment SELECT %s, %1$s, 1, now(), 0, false', :dead)) LIKE 'delivery missing%' AS dead_again;
SELECT pg_temp.tampered($$INSERT INTO acteon_dispatch_delivery (outbox_id, finished_at, attempts, state) VALUES (200, now() - interval '1 day', 1, 'delivered')$$);
SELECT count(*) > 30 AS all FROM pg_temp.tampered($$TRUNCATE acteon_dispatch_delivery$$);

-- batches
SELECT pg_temp.tampered($$DELETE FROM acteon_replay_batch WHERE id = 2$$);
SELECT pg_temp.tampered($$UPDATE acteon_replay_batch SET reason = 'second' WHERE id = 1$$);
SELECT pg_temp.tampered($$UPDATE acteon_replay_batch SET requested_by = 'mallory' WHERE id = 1$$);
SELECT pg_temp.tampered($$UPDATE acteon_replay_batch SET session_role = 'mallory' WHERE id = 1$$);
SELECT pg_temp.tampered($$UPDATE acteon_replay_batch SET created_at = '2026-01-01' WHERE id = 1$$);
SELECT pg_temp.tampered($$UPDATE acteon_replay_batch SET query = '{}' WHERE id = 1$$);
SELECT pg_temp.tampered($$UPDATE acteon_replay_batch SET api_key = 'other' WHERE id = 1$$);
SELECT pg_temp.tampered($$UPDATE acteon_replay_batch SET rows_hash = sha256('') WHERE id = 1$$);
SELECT pg_temp.tampered($$INSERT INTO acteon_replay_batch (id, created_at, requested_by, requested_by_oid, session_role, query, replayed, failed, skipped, scope) VALUES (0, now(), 'x', 0, 'x', '{}', 0, 1, 0, '[]')$$);

-- the log, whose trigger a superuser disables first
CREATE FUNCTION pg_temp.opened(change text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT pg_temp.tampered('ALTER TABLE acteon_replay_log DISABLE TRIGGER USER', 'ALTER TABLE acteon_replay_trail DISABLE TRIGGER USER', 'ALTER TABLE acteon_replay_removal DISABLE TRIGGER USER', change)
$$;
SELECT min(id) AS entry FROM acteon_replay_log WHERE event = 'pause' \gset
SELECT regexp_replace(pg_temp.opened(format('DELETE FROM acteon_replay_log WHERE id = %s', :entry)), ' \d+ ', ' N ') AS opened;
SELECT regexp_replace(pg_temp.opened(format($$UPDATE acteon_replay_log SET reason = 'x' WHERE id = %s$$, :entry)), ' \d+ ', ' N ') AS opened;
SELECT regexp_replace(pg_temp.opened(format($$UPDATE acteon_replay_log SET role_name = 'x' WHERE id = %s$$, :entry)), ' \d+ ', ' N ') AS opened;
SELECT regexp_replace(pg_temp.opened(format($$UPDATE acteon_replay_log SET details = '{"a": 1}' WHERE id = %s$$, :entry)), ' \d+ ', ' N ') AS opened;
SELECT regexp_replace(pg_temp.opened(format($$UPDATE acteon_replay_log SET api_key = 'x' WHERE id = %s$$, :entry)), ' \d+ ', ' N ') AS opened;
SELECT pg_temp.opened($$INSERT INTO acteon_replay_log (id, logged_at, event, role_name, role_oid, session_role, details) VALUES (0, now(), 'pause', 'x', 0, 'x', '{}')$$);
-- … with the highest number there is: nothing tells it from what the extension does, linked or not
SELECT pg_temp.opened($$INSERT INTO acteon_replay_log (id, logged_at, event, role_name, role_oid, session_role, details) VALUES (9223372036854775807, now(), 'pause', 'x', 0, 'x', '{}')$$);
SELECT count(*) > 5 AS all FROM pg_temp.opened('TRUNCATE acteon_replay_log');

-- what was removed, and the chain itself
SELECT regexp_replace(t, ' (\d|\|).*', '') AS opened, count(*) FROM pg_temp.opened('DELETE FROM acteon_replay_removal WHERE event = ''purge''') AS t GROUP BY 1 ORDER BY 1;
SELECT regexp_replace(pg_temp.opened('UPDATE acteon_replay_removal SET ids = ids || 150::bigint, last_id = 200 WHERE event = ''purge'''), '\d+', 'N') AS opened;
SELECT regexp_replace(pg_temp.opened('UPDATE acteon_replay_removal SET ids = array_fill(NULL::bigint, ''{10000000}'') || ids WHERE event = ''purge'''), '\d+', 'N') AS opened;
SELECT regexp_replace(pg_temp.opened('UPDATE acteon_replay_trail SET hashes = sha256(hashes) WHERE position = 3'), 'entry \d+', 'entry N') AS opened;
SELECT pg_temp.opened('UPDATE acteon_replay_trail SET linked_at = linked_at - interval ''1 us'' WHERE position = 3');
SELECT pg_temp.opened('UPDATE acteon_replay_trail SET hash = sha256(hash) WHERE position = 3');
SELECT count(*) > 0 AS found FROM pg_temp.opened('DELETE FROM acteon_replay_trail WHERE position = 3') AS t WHERE t LIKE 'chain broken%';
SELECT count(*) > 0 AS found FROM pg_temp.opened('DELETE FROM acteon_replay_trail WHERE position = (SELECT max(position) FROM acteon_replay_trail)') AS t WHERE t LIKE 'chain broken%';
SELECT count(*) FROM pg_temp.opened('TRUNCATE acteon_replay_trail_head') AS t WHERE t LIKE 'chain broken%';
SELECT regexp_replace(t, '\d+', 'N', 'g') AS opened FROM pg_temp.opened('UPDATE acteon_replay_trail_head SET position = position + 1') AS t;

SELECT left(t, 12) AS opened, count(*) FROM pg_temp.opened('DELETE FROM acteon_replay_trail WHERE kind = ''rows'' AND reference = 101') AS t GROUP BY 1 ORDER BY 1;

-- a row that was changed is not sent, the others are
UPDATE acteon_dispatch_outbox SET payload = '{"to": "mallory"}' WHERE id = 152;
UPDATE acteon_dispatch_outbox SET payload = '{"to": "mallory"}', hash = NULL WHERE id = 154;
DELETE FROM acteon_dispatch_segment WHERE first_id < 101 OR first_id > 200;
UPDATE acteon_dispatch_segment SET due_at = now() WHERE lease_token IS NULL;
SELECT min(outbox_id), max(outbox_id), count(*), count(*) FILTER (WHERE action ->> 'payload' LIKE '%mallory%') AS changed FROM acteon_outbox_claim('trail', 1000);
SELECT outbox_id, state, error FROM acteon_dispatch_delivery WHERE outbox_id IN (152, 154) ORDER BY 1;

-- what is shown to an auditor, without a witness and with one
CALL pg_temp.settle();
SELECT verdict, subject, reference IS NOT NULL AS has_reference, regexp_replace(detail, '\d[-0-9T:.]*Z?', 'N', 'g') AS detail FROM acteon_replay_verify() WHERE verdict <> 'violation';
SELECT verdict, subject, count(*) FROM acteon_replay_verify() WHERE verdict = 'violation' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT acteon_replay_witness() AS witness, position FROM acteon_replay_trail_head \gset
SELECT verdict, subject, reference = :position AS here, regexp_replace(detail, '\d[-0-9T:.]*Z?', 'N', 'g') AS detail FROM acteon_replay_verify(:'witness') WHERE subject IN ('witness', 'chain');
SELECT regexp_replace(:'witness', '\w{8,}|\d{2,}[-0-9T:.]*Z?', 'N', 'g') AS witness;
SELECT attempt($$SELECT * FROM acteon_replay_verify('x acteon-witness 1 0123456789abcdef 12')$$);
SELECT attempt($$SELECT * FROM acteon_replay_verify('')$$);

-- who may link, and read
SELECT attempt('SELECT acteon_replay_trail_link(0)');
SET ROLE regress_acteon_nobody;
SELECT attempt('SELECT acteon_replay_trail_link()');
SELECT attempt('SELECT acteon_replay_verify()');
SELECT attempt('SELECT acteon_replay_witness()');
SELECT attempt('SELECT count(*) FROM acteon_replay_trail');
RESET ROLE;
SELECT attempt('UPDATE acteon_replay_trail SET position = 1');
SELECT attempt('DELETE FROM acteon_replay_removal');
-- parts of a batch that are paused, slowed down and cancelled, its start that is moved, what expires, and a batch that is handed over
CALL clean();
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_trail', 'operator', '{*}', '{*}', '{*}');
SELECT count(make_record('p' || i, tenant => (ARRAY['acme', 'globex', 'initech'])[1 + i % 3])) FROM generate_series(1, 150) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 150, canary => 'off');
DO $$
BEGIN
	PERFORM make_record('late', outcome => 'throttled', at => clock_timestamp());
	PERFORM acteon_replay('late', expire_after => '3 s');
END
$$;
SELECT acteon_replay_set_start(1, '2100-01-01'), acteon_replay_set_start(1, NULL) \gset
SELECT acteon_replay_pause(1, 'acme waits', tenant => 'acme'), acteon_replay_cancel(1, 'globex has left', tenant => 'globex'), acteon_replay_set_rate(1, 1000, tenant => 'initech') \gset
CALL pg_temp.settle();
SELECT * FROM acteon_outbox_check();
DO $$
BEGIN
	WHILE EXISTS (SELECT FROM acteon_dispatch_outbox WHERE expires_at > clock_timestamp() - interval '10 ms') LOOP
		PERFORM pg_sleep(0.05);
	END LOOP;
	UPDATE acteon_dispatch_segment SET due_at = clock_timestamp() WHERE isfinite(due_at) AND due_at > clock_timestamp();
END
$$;
SELECT pg_temp.answer(30, 'ack'), pg_temp.answer(10, 'reject');
SELECT state, count(*) FROM acteon_dispatch_delivery GROUP BY 1 ORDER BY 1;
CALL pg_temp.settle();
SELECT * FROM acteon_outbox_check();
SELECT acteon_replay_resume(1, tenant => 'acme'), acteon_replay_hand_over(1, 'regress_acteon_trail', 'my shift ends') \gset
SELECT pg_temp.answer(20, 'ack');
CALL pg_temp.settle();
SELECT event, count(*) FROM acteon_replay_log GROUP BY 1 ORDER BY 1;
SELECT kind, sum(octet_length(hashes) / 16) AS hashes FROM acteon_replay_trail WHERE kind <> 'settled' GROUP BY kind ORDER BY kind;
SELECT * FROM acteon_outbox_check();
SELECT outbox_id AS expired FROM acteon_dispatch_delivery WHERE state = 'expired' \gset
SELECT pg_temp.tampered(format('UPDATE acteon_dispatch_outbox SET expires_at = NULL WHERE id = %s', :expired));
SELECT pg_temp.tampered(format('UPDATE acteon_dispatch_outbox SET expires_at = expires_at - interval ''1 us'' WHERE id = %s', :expired));
SELECT pg_temp.tampered('UPDATE acteon_dispatch_outbox SET expires_at = ''2100-01-01'' WHERE id = 60');
SELECT pg_temp.tampered(format('UPDATE acteon_dispatch_delivery SET state = ''delivered'' WHERE outbox_id = %s', :expired));
SELECT pg_temp.tampered(format('UPDATE acteon_dispatch_delivery SET state = ''cancelled'' WHERE outbox_id = %s', :expired));
SELECT pg_temp.tampered(format('UPDATE acteon_dispatch_delivery SET finished_at = finished_at - interval ''1 h'' WHERE outbox_id = %s', :expired));
SELECT pg_temp.tampered(format('DELETE FROM acteon_dispatch_delivery WHERE outbox_id = %s', :expired));
SELECT pg_temp.tampered('UPDATE acteon_dispatch_delivery SET state = ''expired'' WHERE outbox_id = (SELECT min(outbox_id) FROM acteon_dispatch_delivery WHERE state = ''cancelled'')');
SELECT min(id) AS entry FROM acteon_replay_log WHERE event = 'hand_over' \gset
SELECT regexp_replace(pg_temp.opened(format($$UPDATE acteon_replay_log SET details = details || '{"to": "mallory"}' WHERE id = %s$$, :entry)), ' \d+ ', ' N ') AS opened;
SELECT regexp_replace(pg_temp.opened(format('DELETE FROM acteon_replay_log WHERE id = %s', :entry)), ' \d+ ', ' N ') AS opened;
SELECT regexp_replace(pg_temp.opened('UPDATE acteon_replay_log SET event = ''pause'' WHERE event = ''set_start'''), ' \d+ ', ' N ') AS opened;
SELECT regexp_replace(pg_temp.opened('UPDATE acteon_replay_log SET details = details - ''tenant'' WHERE event = ''cancel'''), ' \d+ ', ' N ') AS opened;
-- … an owner of whom the log knows nothing
SELECT pg_temp.tampered($$UPDATE acteon_replay_batch SET owner_oid = 'regress_acteon_trail' WHERE id = 2$$);
DELETE FROM acteon_grants WHERE grantee = 'regress_acteon_trail'::regrole;
-- only parts of it
CALL clean();
SELECT count(make_record('p' || i)) FROM generate_series(1, 250) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 250, include_replayed => true, canary => 'off');
DO $$
BEGIN
	FOR i IN 1 .. 10 LOOP
		PERFORM acteon_replay_trail_link(1);
	END LOOP;
END
$$;
SELECT kind, count(*) FROM acteon_replay_trail WHERE kind = 'rows' GROUP BY kind;
SELECT * FROM acteon_outbox_check();
-- … and rows that are there twice, in two parts of the outbox: more than a block has
SELECT pg_temp.tampered('CALL forget_trail()', 'INSERT INTO acteon_dispatch_outbox_1 SELECT * FROM ONLY acteon_dispatch_outbox', 'SELECT acteon_replay_trail_link()') AS twice;
-- what waits was patched: the copies are rows of the batch
CALL clean();
SELECT count(make_record('c' || i)) FROM generate_series(1, 3) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT patched FROM acteon_replay_patch(1, patch => '{"x": 1}');
SELECT patched FROM acteon_replay_patch(1, patch => '{"x": 2}', action_ids => '{c1}');
SELECT acteon_replay_trail_link() > 0 AS linked;
SELECT * FROM acteon_outbox_check();
SELECT pg_temp.tampered('UPDATE acteon_dispatch_outbox SET payload = ''{}'' WHERE generation = 3');
-- a purge removes the rows of probes, and says so
CALL clean();
SELECT count(make_record('d' || i)) FROM generate_series(1, 2) AS i;
SELECT count(success) FROM (SELECT (acteon_replay('d' || i)).success FROM generate_series(1, 2) AS i) AS r;
UPDATE acteon_replay_batch SET probe_of = 'p' WHERE id = 1;
SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb)) FROM acteon_outbox_claim('trail', 10);
SELECT acteon_replay_trail_link() > 0 AS linked;
SELECT pg_temp.tampered('DELETE FROM acteon_replay_batch WHERE id = 1');
SELECT acteon_outbox_purge('0') > 0 AS purged;
SELECT id FROM acteon_replay_batch ORDER BY id;
SELECT event, ids FROM acteon_replay_removal WHERE event = 'probes';
SELECT * FROM acteon_outbox_check();
SELECT acteon_replay_trail_link() > 0 AS linked;
SELECT * FROM acteon_outbox_check();
SELECT pg_temp.tampered('DELETE FROM acteon_replay_batch WHERE id = 2');
-- rows of version 1.0 are not covered, and are sent
CALL clean();
SELECT make_record('old');
SELECT success FROM acteon_replay('old');
INSERT INTO acteon_replay_trail_head (hashed_from) VALUES (101);
UPDATE acteon_dispatch_outbox SET hash = NULL;
UPDATE acteon_replay_batch SET rows_hash = NULL;
SELECT * FROM acteon_outbox_check();
SELECT count(*) FROM acteon_outbox_claim('trail', 10);
CALL clean();
DELETE FROM acteon_api_keys WHERE name = 'trail';
DROP ROLE regress_acteon_trail;
