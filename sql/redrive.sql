-- Dead letters and their redrive, purge, stats, and the check that sees what is broken.
\set VERBOSITY terse
CALL clean();
CREATE FUNCTION pg_temp.kill(ids bigint[], reason text DEFAULT '400: no such template') RETURNS integer LANGUAGE sql AS $$
	SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg(reason))
	FROM acteon_outbox_claim('killer', 1000) WHERE outbox_id = ANY (ids)
$$;
-- Gives everything back that is leased.
CREATE FUNCTION pg_temp.release() RETURNS integer LANGUAGE sql AS $$
	SELECT (acteon_outbox_nack(array_agg(id), array_agg(lease_token), array_agg(NULL::text))).given_back
	FROM acteon_dispatch_segment, generate_series(first_id, last_id) AS id WHERE lease_token IS NOT NULL
$$;
CREATE FUNCTION pg_temp.deliver(consumer text DEFAULT 'gateway') RETURNS integer LANGUAGE sql AS $$
	SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {}}'::jsonb)) FROM acteon_outbox_claim(consumer, 1000)
$$;

-- an empty queue has stats
SELECT * FROM acteon_outbox_stats;
SELECT * FROM acteon_outbox_check();
SELECT * FROM acteon_outbox_redrive();
SELECT acteon_outbox_purge('0');

SELECT count(make_record('r' || lpad(i::text, 2, '0'), at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s',
	tenant => CASE WHEN i % 2 = 0 THEN 'acme' ELSE 'globex' END, provider => CASE WHEN i % 3 = 0 THEN 'slack' ELSE 'email' END)) FROM generate_series(1, 12) AS i;
SELECT batch_id, replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 8);
SELECT batch_id, replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 8);
SELECT pg_temp.kill(array_agg(id)) FROM acteon_dispatch_outbox WHERE original_action_id <= 'r10';
SELECT pg_temp.release();
SELECT depth, due, retrying, scheduled, leased, dead, oldest_due_age >= '0' AS age, delivered_1m, delivered_5m, dead_5m FROM acteon_outbox_stats;
-- by every filter, and all of them together
SELECT * FROM acteon_outbox_redrive(outbox_id => '{1,2,999}');
SELECT * FROM acteon_outbox_redrive(batch_id => 1, tenant => 'acme', provider => 'slack');
SELECT * FROM acteon_outbox_redrive(batch_id => 2, max_actions => 1);
SELECT * FROM acteon_outbox_redrive(provider => 'slack', max_actions => 1);
SELECT * FROM acteon_outbox_redrive(tenant => 'nobody');
SELECT s.first_id, s.last_id, s.batch_id, s.attempt, s.holder, array_agg(o.original_action_id ORDER BY o.id) AS actions
FROM acteon_dispatch_segment AS s JOIN acteon_dispatch_outbox AS o ON o.id BETWEEN s.first_id AND s.last_id GROUP BY 1 ORDER BY 1;
-- paced; with all its attempts, under its old id
SELECT * FROM acteon_outbox_redrive(rate => 2);
SELECT o.original_action_id, round(extract(epoch FROM due_at - now()), 1) AS due_in FROM acteon_dispatch_segment AS s JOIN acteon_dispatch_outbox AS o ON o.id = s.first_id WHERE due_at > now() ORDER BY 1;
SELECT * FROM acteon_outbox_check();
UPDATE acteon_dispatch_segment SET due_at = now();
SELECT count(*), count(DISTINCT action ->> 'id') AS ids, max(attempt) AS attempt FROM acteon_outbox_claim('one', 1000);
SELECT pg_temp.release();
SELECT pg_temp.deliver();
SELECT * FROM acteon_outbox_check();

SELECT details FROM acteon_replay_log WHERE event = 'redrive' ORDER BY id;

-- a dead action that was replayed again is not redriven: it would go out twice
CALL clean();
SELECT make_record('twice'), make_record('thrice');
SELECT count(*) FROM acteon_replay_bulk(from_time => '2000-01-01') AS b;
SELECT pg_temp.kill('{1,2}');
SELECT success FROM acteon_replay('twice');
SELECT * FROM acteon_outbox_redrive();
SELECT o.original_action_id, o.generation, d.state FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id ORDER BY 1, 2;
-- even if that is dead as well: only the latest goes out again
SELECT pg_temp.kill(array_agg(id)) FROM acteon_dispatch_outbox;
SELECT * FROM acteon_outbox_redrive();
SELECT o.original_action_id, o.generation FROM acteon_dispatch_segment AS s JOIN acteon_dispatch_outbox AS o ON o.id = s.first_id ORDER BY 1, 2;
-- and what is in the queue again is passed over
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT original_action_id, generation FROM acteon_dispatch_outbox ORDER BY 1, 2;
SELECT * FROM acteon_outbox_check();
-- another tenant's replay of the same action id is not a later one
CALL clean();
SELECT make_record('shared', id => 'rec-1'), make_record('shared', tenant => 'globex', id => 'rec-2');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.kill(array_agg(id)) FROM acteon_dispatch_outbox;
SELECT * FROM acteon_outbox_redrive();

-- what goes back into the queue of a paused batch waits, and the caller is told
CALL clean();
SELECT count(make_record('p' || i)) FROM generate_series(1, 6) AS i;
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 2);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 2);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 2);
SELECT pg_temp.kill(array_agg(DISTINCT first)) FROM (SELECT min(id) AS first FROM acteon_dispatch_outbox GROUP BY batch_id) AS o;
SELECT pg_temp.release();
SELECT state FROM acteon_replay_pause(1);
SELECT state FROM acteon_replay_pause(2);
BEGIN;
\set VERBOSITY default
SELECT * FROM acteon_outbox_redrive(batch_id => 2);
SELECT * FROM acteon_outbox_redrive();
\set VERBOSITY terse
ROLLBACK;
SELECT * FROM acteon_outbox_redrive(batch_id => 3);
SELECT * FROM acteon_outbox_redrive();
SELECT count(*) FROM acteon_outbox_claim('one', 1000);
SELECT state, waiting FROM acteon_replay_resume(1);
SELECT state, waiting FROM acteon_replay_resume(2);
SELECT count(*) FROM acteon_outbox_claim('one', 1000);
SELECT * FROM acteon_outbox_check();

-- purge: all replays of an action go together, when all are finished and old enough
CALL clean();
SELECT make_record('old'), make_record('young'), make_record('mixed'), make_record('open');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.kill(array_agg(id)) FROM acteon_dispatch_outbox WHERE original_action_id = 'mixed';
SELECT success FROM acteon_replay('mixed');
SELECT pg_temp.release();
SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg(NULL::jsonb)) FROM acteon_outbox_claim('one')
WHERE action -> 'metadata' ->> 'replayed_from' <> 'open';
UPDATE acteon_dispatch_delivery AS d SET finished_at = now() - interval '40 days' FROM acteon_dispatch_outbox AS o
WHERE o.id = d.outbox_id AND (o.original_action_id = 'old' OR (o.original_action_id = 'mixed' AND generation = 1));
SELECT acteon_outbox_purge('30 days');
SELECT original_action_id, generation FROM acteon_dispatch_outbox ORDER BY 1, 2;
-- of what the gateway still knows: a warning
\set VERBOSITY default
SELECT acteon_outbox_purge('23:59:59', max_actions => 1);
SELECT acteon_outbox_purge('1 day', max_actions => 1);
\set VERBOSITY terse
SELECT acteon_outbox_purge('0');
SELECT original_action_id, generation FROM acteon_dispatch_outbox ORDER BY 1, 2;
SELECT count(*) FROM acteon_dispatch_delivery;
SELECT * FROM acteon_outbox_check();
-- what is purged counts as never replayed; its next replay has another id
SELECT success FROM acteon_replay('old');
SELECT generation FROM acteon_dispatch_outbox WHERE original_action_id = 'old';

-- the check sees each kind of damage
CALL clean();
SELECT count(make_record('c' || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s', metadata => CASE WHEN i = 5 THEN '{"__fingerprint": "f"}' ELSE '{}' END::jsonb)) FROM generate_series(1, 5) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
CREATE FUNCTION pg_temp.damage(VARIADIC changes text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	change text;
	seen text;
BEGIN
	FOREACH change IN ARRAY changes LOOP
		EXECUTE change;
	END LOOP;
	SELECT string_agg(format('%s %s: %s', outbox_id, violation, detail), ' | ' ORDER BY outbox_id, violation) INTO seen FROM acteon_outbox_check();
	RAISE EXCEPTION USING MESSAGE = regexp_replace(coalesce(seen, 'nothing'), 'lane -?\d+', 'lane N', 'g');
EXCEPTION WHEN raise_exception THEN
	RETURN SQLERRM;
END
$$;
SELECT pg_temp.damage('DELETE FROM acteon_dispatch_segment WHERE first_id = 5');
SELECT pg_temp.damage('UPDATE acteon_dispatch_segment SET last_id = 3 WHERE first_id = 1');
SELECT pg_temp.damage('INSERT INTO acteon_dispatch_segment SELECT 4, 4, 1, now(), 0, false');
SELECT pg_temp.damage($$INSERT INTO acteon_dispatch_delivery VALUES (2, now(), 1, 'delivered')$$);
SELECT pg_temp.damage($$INSERT INTO acteon_dispatch_delivery VALUES (2000, now(), 1, 'delivered')$$);
SELECT pg_temp.damage('UPDATE acteon_dispatch_segment SET last_id = 6 WHERE first_id = 5');
SELECT pg_temp.damage('UPDATE acteon_dispatch_segment SET batch_id = 7 WHERE first_id = 5');
SELECT pg_temp.damage('UPDATE acteon_dispatch_segment SET lane = NULL WHERE first_id = 5');
SELECT pg_temp.damage('UPDATE acteon_dispatch_segment SET attempt = -1 WHERE first_id = 5');
SELECT pg_temp.damage('DELETE FROM acteon_replay_batch');
SELECT pg_temp.damage('UPDATE acteon_dispatch_outbox SET generation = 3 WHERE id = 5');
SELECT pg_temp.damage($$INSERT INTO acteon_dispatch_outbox SELECT 6, batch_id, created_at, gen_random_uuid(), 2, original_action_id, namespace, tenant, provider, action_type, payload, labels FROM acteon_dispatch_outbox WHERE id = 2$$,
	'INSERT INTO acteon_dispatch_segment SELECT 6, 6, 1, now(), 0, false');
SELECT pg_temp.damage('DELETE FROM acteon_dispatch_segment WHERE first_id = 5', $$INSERT INTO acteon_dispatch_delivery (outbox_id, finished_at, attempts, state, unproven) VALUES (5, now(), 1, 'cancelled', true)$$,
	$$INSERT INTO acteon_replay_tally (batch_id, finished_at, state, actions) VALUES (1, now(), 'cancelled', 1)$$);
SELECT pg_temp.damage('UPDATE acteon_dispatch_outbox SET generation = 3 WHERE id = 5', $$INSERT INTO acteon_dispatch_action VALUES (acteon_replay_id('c5', 2), 1000)$$);
SELECT pg_temp.damage('UPDATE acteon_dispatch_outbox SET generation = 3 WHERE id = 5', $$INSERT INTO acteon_dispatch_action VALUES (acteon_replay_id('c4', 2), 1000)$$);
SELECT pg_temp.damage('SELECT 1');
-- … in ranges of ids, and how far it is
SELECT pg_temp.damage($$INSERT INTO acteon_dispatch_delivery SELECT id, now(), 1, 'delivered' FROM unnest('{-9223372036854775000,2000000,30000000000,9223372036854775807}'::bigint[]) AS id$$);
BEGIN;
UPDATE acteon_dispatch_segment SET batch_id = 7;
INSERT INTO acteon_dispatch_outbox SELECT id + 100000, batch_id, created_at, gen_random_uuid(), generation, original_action_id, namespace, tenant, provider, action_type, payload, labels FROM acteon_dispatch_outbox WHERE id = 2;
SELECT outbox_id, violation FROM acteon_outbox_check();
SELECT outbox_id, violation FROM acteon_outbox_check(to_id => 3);
SELECT outbox_id, violation FROM acteon_outbox_check(from_id => 4);
SELECT outbox_id, violation FROM acteon_outbox_check(3, 4);
SELECT outbox_id, violation FROM acteon_outbox_check(4, 3);
INSERT INTO acteon_dispatch_delivery SELECT i * 100000, now(), 1, 'delivered' FROM generate_series(1, 70) AS i;
SELECT count(*), max(outbox_id) FROM acteon_outbox_check();
ROLLBACK;
CALL clean();
