-- Batches that are written down in a transaction and enqueued later, and what roles may do with them
\set VERBOSITY terse
CREATE ROLE regress_acteon_op_asks;
CREATE ROLE regress_acteon_op_part;
CREATE ROLE regress_acteon_op_admin;
CREATE ROLE regress_acteon_op_none;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES
	('regress_acteon_op_asks', 'operator', '{acme}', '{*}', '{*}'), ('regress_acteon_op_part', 'operator', '{globex}', '{*}', '{*}'),
	('regress_acteon_op_admin', 'admin', '{*}', '{*}', '{*}');
SELECT count(make_record('o-' || n, at => '2026-01-01 12:00+00'::timestamptz + n * interval '1 s')) FROM generate_series(1, 5) AS n;

CREATE FUNCTION pg_temp.as_role(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	PERFORM set_config('role', role, true);
	answer := public.attempt(statement);
	PERFORM set_config('role', 'none', true);
	RETURN answer;
END
$$;

-- it is there, and nothing of it is enqueued; a transaction that fails leaves none
BEGIN;
SELECT pg_temp.as_role('regress_acteon_op_asks', $$SELECT o::text FROM acteon_replay_open('{"tenant": "acme", "canary": "off"}', 'INC-1') AS o$$);
ROLLBACK;
SELECT count(*) FROM acteon_replay_batch;
SELECT pg_temp.as_role('regress_acteon_op_asks', $$SELECT (o.matched, o.plan, o.awaits_approval)::text FROM acteon_replay_open('{"tenant": "acme", "canary": "off"}', 'INC-1') AS o$$);
SELECT max(id) AS batch FROM acteon_replay_batch \gset
SELECT state, requested_by, reason, matched, replayed, waiting FROM acteon_replay_batches;
SELECT role, pg_temp.as_role('regress_acteon_op_' || role, format('SELECT acteon_replay_may(%s)', :batch)) AS may FROM unnest('{asks,part,admin,none}'::text[]) AS role;
SELECT pg_temp.as_role('regress_acteon_op_asks', format('SELECT s::text FROM acteon_replay_continue_step(%s, 3) AS s', :batch));
-- while it is paused a call examines nothing, and leaves no entry
SELECT state FROM acteon_replay_pause(:batch);
SELECT pg_temp.as_role('regress_acteon_op_asks', format('SELECT s::text FROM acteon_replay_continue_step(%s) AS s', :batch));
SELECT pg_temp.as_role('regress_acteon_op_asks', format('SELECT s::text FROM acteon_replay_continue_step(%s) AS s', :batch));
SELECT state FROM acteon_replay_resume(:batch);
SELECT event, reason, details FROM acteon_replay_log WHERE batch_id = :batch ORDER BY id;
SELECT pg_temp.as_role('regress_acteon_op_asks', format('SELECT s::text FROM acteon_replay_continue_step(%s) AS s', :batch));
SELECT pg_temp.as_role('regress_acteon_op_asks', format('SELECT s::text FROM acteon_replay_continue_step(%s) AS s', :batch));
-- … nor does one of a batch that is complete
SELECT event, reason, details - 'cursor' AS details FROM acteon_replay_log WHERE batch_id = :batch AND event = 'continue' ORDER BY id;
SELECT state, replayed, waiting FROM acteon_replay_batches;

-- nothing matches, is permitted, or is asked for
SELECT pg_temp.as_role('regress_acteon_op_asks', $$SELECT o::text FROM acteon_replay_open('{"tenant": "nobody"}') AS o$$);
SELECT pg_temp.as_role('regress_acteon_op_none', $$SELECT o::text FROM acteon_replay_open('{"tenant": "acme"}') AS o$$);
SELECT pg_temp.as_role('regress_acteon_op_asks', $$SELECT o::text FROM acteon_replay_open('{}') AS o$$);
SELECT pg_temp.as_role('regress_acteon_op_asks', $$SELECT o::text FROM acteon_replay_open(NULL) AS o$$);
SELECT pg_temp.as_role('regress_acteon_op_asks', 'SELECT acteon_replay_may(NULL)');
SELECT pg_temp.as_role('regress_acteon_op_admin', 'SELECT acteon_replay_may(999999)');
SELECT count(*) FROM acteon_replay_batch;

-- the second person may approve, and only the first one may begin then
SET acteon_replay.approval_above = 2;
SELECT pg_temp.as_role('regress_acteon_op_asks', $$SELECT (o.matched, o.plan IS NOT NULL, o.awaits_approval)::text FROM acteon_replay_open('{"tenant": "acme", "include_replayed": true}', 'INC-2') AS o$$);
SELECT max(id) AS batch FROM acteon_replay_batch \gset
SELECT plan FROM acteon_replay_batch WHERE id = :batch \gset
SELECT state FROM acteon_replay_batches WHERE batch_id = :batch;
SELECT role, pg_temp.as_role('regress_acteon_op_' || role, format('SELECT acteon_replay_may(%s)', :batch)) AS may FROM unnest('{asks,part,admin,none}'::text[]) AS role;
-- this session's own role is the same for both, so it is approved by hand
SELECT pg_temp.as_role('regress_acteon_op_admin', format('SELECT acteon_replay_approve(%s, %L)', :batch, :'plan'));
UPDATE acteon_replay_batch SET approved_at = now(), approved_by = 'regress_acteon_op_admin' WHERE id = :batch;
SELECT role, pg_temp.as_role('regress_acteon_op_' || role, format('SELECT acteon_replay_may(%s)', :batch)) AS may FROM unnest('{asks,admin}'::text[]) AS role;
RESET acteon_replay.approval_above;

-- of a cancelled one the rights are the same; what the state permits is another matter
SELECT state FROM acteon_replay_cancel(:batch);
SELECT pg_temp.as_role('regress_acteon_op_asks', format('SELECT acteon_replay_may(%s)', :batch));

CALL clean();
DELETE FROM acteon_grants;
DROP ROLE regress_acteon_op_asks, regress_acteon_op_part, regress_acteon_op_admin, regress_acteon_op_none;
