-- acteon_replay_all and acteon_replay_continue: any number of actions, in committed chunks.
CALL clean();
CREATE ROLE regress_acteon_all_op;
CREATE ROLE regress_acteon_all_other;
CREATE ROLE regress_acteon_all_admin;
CREATE ROLE regress_acteon_all_narrow;
GRANT USAGE ON SCHEMA public TO PUBLIC;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES
	('regress_acteon_all_op', 'operator', '{acme}', '{*}', '{*}'),
	('regress_acteon_all_other', 'operator', '{*}', '{*}', '{*}'),
	('regress_acteon_all_admin', 'admin', '{acme,globex}', '{*}', '{*}'),
	('regress_acteon_all_narrow', 'admin', '{acme.us-east}', '{*}', '{*}');
CREATE PROCEDURE make_incident(n integer) LANGUAGE sql AS $$
	SELECT count(make_record('a-' || lpad(i::text, 3, '0'), at => timestamptz '2026-01-01 12:00+00' + i * interval '1 s',
		tenant => CASE WHEN i % 10 = 3 THEN 'globex' ELSE 'acme' END,
		payload => CASE WHEN i % 10 = 4 THEN NULL WHEN i % 10 = 5 THEN '{"to": "[REDACTED]"}'::jsonb ELSE '{"to": "a@example.com"}' END))
	FROM generate_series(1, n) AS i
$$;
-- What there is of each batch; every chunk that has enqueued something is a transaction.
CREATE VIEW what_is_there AS
	SELECT b.id, b.matched, b.chunk, b.is_complete AS complete, b.replayed, b.failed, b.skipped, b.passed_over, b.failures, b.cursor IS NOT NULL AS cursor,
		count(o.id) AS enqueued, count(DISTINCT o.original_action_id) AS actions, count(DISTINCT o.xmin::text) AS chunks,
		min(o.id) IS NOT DISTINCT FROM b.first_outbox_id AND max(o.id) IS NOT DISTINCT FROM b.last_outbox_id AS range_is_right
	FROM acteon_replay_batch AS b LEFT JOIN acteon_dispatch_outbox AS o ON o.batch_id = b.id GROUP BY b.id ORDER BY b.id;

-- where it cannot be called
BEGIN;
CALL acteon_replay_all(from_time => '2000-01-01');
ROLLBACK;
BEGIN;
CALL acteon_replay_continue(1);
ROLLBACK;
DO $$
DECLARE
	batch bigint;
	n bigint;
BEGIN
	CALL acteon_replay_continue(batch, NULL, NULL, n, n, n);
EXCEPTION WHEN invalid_transaction_termination THEN
	RAISE NOTICE 'inside a block with an exception: %', SQLERRM;
END
$$;

-- in PL/pgSQL: without results it needs no variables
SELECT make_record('plpgsql ' || i) FROM generate_series(1, 5) AS i;
DO $$
BEGIN
	CALL acteon_replay_run(jsonb_build_object('tenant', 'acme', 'from', timestamptz '2000-01-01'), reason => 'from a block', chunk => 2);
	CALL acteon_replay_run('{"tenant": "nobody"}');
END
$$;
CREATE PROCEDURE regress_acteon_job(INOUT batch bigint DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	CALL acteon_replay_run('{"tenant": "acme", "include_replayed": true, "limit": 3}', reason => 'from a procedure');
	CALL acteon_replay_all(tenant => 'acme', include_replayed => true, max_records => 1, batch_id => batch, replayed => n, failed => n, skipped => n);
END
$$;
CALL regress_acteon_job();
SELECT reason, chunk, replayed, is_complete FROM acteon_replay_batch ORDER BY id;
BEGIN;
CALL acteon_replay_run('{"tenant": "acme"}');
ROLLBACK;
CALL acteon_replay_run('{"tenant": "acme"}', rate => 0);
CALL acteon_replay_run(NULL);
DROP PROCEDURE regress_acteon_job;
CALL clean();

-- arguments
CALL acteon_replay_all('{"tenant": "acme"}');
CALL acteon_replay_all('{"from": "2000-01-01T00:00:00Z", "tenants": "acme"}'::jsonb);
CALL acteon_replay_all(NULL::jsonb);
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 0);
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 10001);
CALL acteon_replay_all('{"from": "2000-01-01T00:00:00Z"}'::jsonb, chunk => -1);
CALL acteon_replay_all(from_time => '2000-01-01', max_records => 0);
CALL acteon_replay_all(from_time => '2000-01-01', rate => 0);
CALL acteon_replay_all('{"from": "2000-01-01T00:00:00Z", "rate": 5}'::jsonb, rate => 'NaN');
CALL acteon_replay_all(from_time => '2026-01-02', to_time => '2026-01-01');
CALL acteon_replay_all(from_time => '2000-01-01', cursor => 'v1.x');
CALL acteon_replay_continue(NULL);
CALL acteon_replay_continue(1, 0);
CALL acteon_replay_continue(1);
SET acteon_replay.require_reason = on;
CALL acteon_replay_all(tenant => 'acme');
CALL acteon_replay_all('{"tenant": "acme", "reason": " "}'::jsonb);
CALL acteon_replay_continue(1);
RESET acteon_replay.require_reason;
SET default_transaction_read_only = on;
CALL acteon_replay_all(from_time => '2000-01-01');
CALL acteon_replay_continue(1);
RESET default_transaction_read_only;

-- nothing matches: no batch
CALL acteon_replay_all(tenant => 'acme');
CALL acteon_replay_all('{"tenant": "acme"}'::jsonb);
SELECT count(*) FROM acteon_replay_batch;

-- all that matches, chunk by chunk
CALL make_incident(100);
SET ROLE regress_acteon_all_op;
CALL acteon_replay_all(outcome => 'failed', reason => 'provider was down', chunk => 30);
RESET ROLE;
SELECT * FROM what_is_there;
SELECT requested_by, reason, query - 'to' AS query, (query ->> 'to')::timestamptz = created_at AS ends_now, scope, last_chunk_at >= created_at AS chunk_at, paced_until, breaker_window
FROM acteon_replay_batch;
SELECT array_agg(original_action_id ORDER BY id) = array_agg(original_action_id ORDER BY original_action_id) AS oldest_first FROM acteon_dispatch_outbox;
SELECT * FROM acteon_outbox_check();
-- again: what is on its way is passed over
CALL acteon_replay_all(tenant => 'acme');
SELECT * FROM what_is_there WHERE id = 2;
-- as jsonb; the arguments beside it stand before it
CALL acteon_replay_all('{"from": "2000-01-01T00:00:00Z", "include_replayed": true, "reason": "not this", "rate": 1, "limit": 7}'::jsonb, 1000, '2126-01-01 00:00+00', 'this', 3);
SELECT * FROM what_is_there WHERE id = 3;
SELECT reason, query - 'to' AS query, rate, start_at FROM acteon_replay_batch WHERE id = 3;
-- complete, and others that are not to be gone on with
CALL acteon_replay_continue(1);
SELECT batch_id, replayed FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true, max_records => 2);
CALL acteon_replay_continue(4);
SELECT count(*) FROM acteon_replay_log WHERE event NOT IN ('start', 'grant');

-- the order, the limit, the cursor and the end in time
CALL clean();
CALL make_incident(40);
SELECT next_cursor FROM acteon_replay_bulk(tenant => 'globex', max_records => 1) \gset
CALL acteon_replay_all(tenant => 'globex', cursor => :'next_cursor', chunk => 2);
SELECT original_action_id FROM acteon_dispatch_outbox WHERE batch_id = 2 ORDER BY id;
CALL acteon_replay_all(tenant => 'acme', newest_first => true, max_records => 9, chunk => 4, from_time => '2026-01-01 12:00:10+00', to_time => '2026-01-01 12:00:38+00');
SELECT array_agg(original_action_id ORDER BY id) FROM acteon_dispatch_outbox WHERE batch_id = 3;
SELECT * FROM what_is_there WHERE id = 3;
-- what is recorded later, or for a later time, is not looked for
SELECT make_record('later', at => now() + interval '1 hour');
CALL acteon_replay_all(to_time => now() + interval '1 day', include_replayed => true, tenant => 'acme', max_records => 100);
SELECT count(*) FILTER (WHERE original_action_id = 'later') AS later, count(*) FROM acteon_dispatch_outbox WHERE batch_id = 4;

-- many records of an action, in many chunks: it is replayed once
CALL clean();
SELECT count(make_record('same', id => 'rec-' || n, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s')) FROM generate_series(1, 20) AS n;
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 3);
SELECT * FROM what_is_there;
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 3, include_replayed => true, max_generation => 10);
SELECT generation, batch_id FROM acteon_dispatch_outbox ORDER BY generation;

-- all of it is passed over: no batch is left behind
CALL clean();
SELECT count(make_record('over-' || n, at => timestamptz '2026-01-01' + n * interval '1 s')) FROM generate_series(1, 5) AS n;
CALL acteon_replay_all(from_time => '2000-01-01');
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 2, reason => 'every five minutes');
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 1000, rate => 1);
SELECT id, replayed FROM acteon_replay_batch;
-- one that somebody goes on with stays
ALTER TABLE acteon_replay_batch ADD CONSTRAINT planted CHECK (id < 4 OR last_chunk_at IS NULL);
\set VERBOSITY terse
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 2);
\set VERBOSITY default
ALTER TABLE acteon_replay_batch DROP CONSTRAINT planted;
CALL acteon_replay_continue(4);
SELECT id, replayed, passed_over, is_complete FROM acteon_replay_batch;
SELECT * FROM acteon_outbox_check();

-- a rate that is taken away takes its ramp along
CALL clean();
SELECT count(make_record('r-' || n, at => timestamptz '2026-01-01' + n * interval '1 s')) FROM generate_series(1, 40) AS n;
CALL acteon_replay_all(from_time => '2000-01-01', rate => 5, ramp => true, max_records => 40);
UPDATE acteon_replay_batch SET is_complete = false;
SELECT state FROM acteon_replay_set_rate(1, NULL);
CALL acteon_replay_continue(1);

-- ended half-way by an error: what was committed stays, and it goes on from there
CALL clean();
CALL make_incident(100);
ALTER TABLE acteon_dispatch_outbox ADD CONSTRAINT planted CHECK (original_action_id <> 'a-047');
SET ROLE regress_acteon_all_op;
\set VERBOSITY terse
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 20, reason => 'half-way');
\set VERBOSITY default
RESET ROLE;
SELECT * FROM what_is_there;
SELECT * FROM acteon_outbox_check();
ALTER TABLE acteon_dispatch_outbox DROP CONSTRAINT planted;
-- by whom it may be gone on with
SET ROLE regress_acteon_all_other;
CALL acteon_replay_continue(1);
SET ROLE regress_acteon_all_narrow;
CALL acteon_replay_continue(1);
RESET ROLE;
DELETE FROM acteon_grants WHERE grantee = 'regress_acteon_all_op'::regrole;
SET ROLE regress_acteon_all_op;
CALL acteon_replay_continue(1);
RESET ROLE;
SELECT * FROM what_is_there;
SELECT count(*) FROM acteon_replay_log WHERE event NOT IN ('start', 'grant');
-- the grants of who goes on count from here
-- what is still to come may be anybody's: an admin of what has come so far does not do
SET ROLE regress_acteon_all_admin;
CALL acteon_replay_continue(1, 33, 'took over');
SELECT acteon_replay_pause(1);
RESET ROLE;
UPDATE acteon_grants SET tenants = '{*}' WHERE grantee = 'regress_acteon_all_admin'::regrole;
SET ROLE regress_acteon_all_admin;
CALL acteon_replay_continue(1, 33, 'took over');
RESET ROLE;
SELECT * FROM what_is_there;
SELECT requested_by, scope FROM acteon_replay_batch;
SELECT event, batch_id, role_name, reason, details - 'cursor' AS details, details ? 'cursor' AS cursor FROM acteon_replay_log WHERE event NOT IN ('start', 'grant');
SELECT min(original_action_id), count(*) FROM acteon_dispatch_outbox WHERE tenant = 'globex';
SELECT * FROM acteon_outbox_check();
-- cancelled
CALL clean();
CALL make_incident(30);
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 10, max_records => 10);
UPDATE acteon_replay_batch SET is_complete = false;
SELECT state, waiting, cancelled FROM acteon_replay_cancel(1);
CALL acteon_replay_continue(1);

-- from a block of code, which can commit, and in other isolation levels
CALL clean();
CALL make_incident(30);
DO $$
DECLARE
	batch bigint;
	replayed bigint;
	failed bigint;
	skipped bigint;
BEGIN
	CALL acteon_replay_all(from_time => '2000-01-01', chunk => 10, reason => 'from code', batch_id => batch, replayed => replayed, failed => failed, skipped => skipped);
	RAISE NOTICE 'batch % has replayed %', batch, replayed;
	CALL acteon_replay_continue(batch_id => batch, replayed => replayed, failed => failed, skipped => skipped);
END
$$;
SET default_transaction_isolation = 'repeatable read';
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 10, include_replayed => true);
SET default_transaction_isolation = 'serializable';
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 10, include_replayed => true);
RESET default_transaction_isolation;
SELECT * FROM what_is_there;
SELECT count(*) AS transactions_left FROM pg_locks WHERE pid = pg_backend_pid() AND mode <> 'AccessShareLock' AND locktype = 'relation';

-- a rate: chunks go on where the one before stopped, the first tenth slower if it is to ramp up
CALL clean();
SELECT count(make_record('p-' || lpad(n::text, 3, '0'), at => timestamptz '2026-01-01' + n * interval '1 s')) FROM generate_series(1, 100) AS n;
CALL acteon_replay_all(from_time => '2000-01-01', rate => 10, start_at => '2126-01-01 00:00+00', chunk => 15);
SELECT extract(epoch FROM s.due_at - b.start_at)::numeric(10, 3) AS due, count(*) AS segments, sum(last_id - first_id + 1) AS actions
FROM acteon_dispatch_segment AS s JOIN acteon_replay_batch AS b ON b.id = batch_id GROUP BY 1 ORDER BY 1;
SELECT paced_until FROM acteon_replay_batch;
CALL clean();
SELECT count(make_record('p-' || lpad(n::text, 3, '0'), at => timestamptz '2026-01-01' + n * interval '1 s')) FROM generate_series(1, 100) AS n;
CALL acteon_replay_all(from_time => '2000-01-01', rate => 5, start_at => '2126-01-01 00:00+00', ramp => true, chunk => 6);
SELECT extract(epoch FROM s.due_at - b.start_at)::numeric(10, 3) AS due, count(*) AS segments, sum(last_id - first_id + 1) AS actions
FROM acteon_dispatch_segment AS s JOIN acteon_replay_batch AS b ON b.id = batch_id GROUP BY 1 ORDER BY 1;
-- without one the start is kept all the same
CALL acteon_replay_all(from_time => '2000-01-01', start_at => '2126-01-01 00:00+00', include_replayed => true, chunk => 60);
SELECT DISTINCT due_at FROM acteon_dispatch_segment WHERE batch_id = 2;
SELECT * FROM acteon_outbox_check();

-- a scope and a query that are stored apart from the batch's row
CALL clean();
SELECT count(make_record('w-' || n, at => timestamptz '2026-01-01' + n * interval '1 s', action_type => md5(n::text) || sha512(n::text::bytea)::text)) FROM generate_series(1, 120) AS n;
SELECT string_agg(md5(n::text), ' ') AS story FROM generate_series(1, 300) AS n \gset
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 25, reason => :'story');
SELECT pg_column_size(scope) > 10000 AS wide_scope, pg_column_size(query) > 2000 AS wide_query, jsonb_array_length(scope) AS elements, replayed, is_complete FROM acteon_replay_batch;
SELECT state FROM acteon_replay_pause(1);
SELECT state FROM acteon_replay_resume(1);
SELECT * FROM acteon_outbox_check();

DROP VIEW what_is_there;
DROP PROCEDURE make_incident;
DELETE FROM acteon_grants;
DROP ROLE regress_acteon_all_op, regress_acteon_all_other, regress_acteon_all_admin, regress_acteon_all_narrow;
