-- A second person approves large replays; before that nothing is enqueued, by whatever way.
\set VERBOSITY terse
SET timezone = 'UTC';
SET datestyle = 'ISO';
CALL clean();
CREATE ROLE regress_acteon_ask;
CREATE ROLE regress_acteon_group;
CREATE ROLE regress_acteon_below IN ROLE regress_acteon_ask;
GRANT regress_acteon_group TO regress_acteon_ask;
CREATE ROLE regress_acteon_chief;
CREATE ROLE regress_acteon_part;
CREATE ROLE regress_acteon_op;
CREATE ROLE regress_acteon_super SUPERUSER;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions)
SELECT r::regrole, CASE WHEN r IN ('regress_acteon_ask', 'regress_acteon_op') THEN 'operator' ELSE 'admin' END, CASE r WHEN 'regress_acteon_part' THEN ARRAY['acme'] ELSE ARRAY['acme', 'globex'] END, '{*}', '{*}', '{*}'
FROM unnest('{regress_acteon_ask,regress_acteon_group,regress_acteon_below,regress_acteon_chief,regress_acteon_part,regress_acteon_op}'::text[]) AS r;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('regress_acteon_op', 'gateway', '{*}', '{*}', '{*}', '{*}');
SELECT count(make_record('a-' || n, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s', tenant => CASE n WHEN 5 THEN 'globex' ELSE 'acme' END)) FROM generate_series(1, 5) AS n;
SET acteon_replay.approval_above = 3;

SET SESSION AUTHORIZATION regress_acteon_ask;
SET acteon_replay.approval_above = 100;
-- the batch is written down, and nothing else; it goes on by no way
CALL acteon_replay_all(outcome => 'failed', to_time => '2026-01-02', rate => 1000, reason => 'INC-1');
SELECT batch_id, state, plan ~ '^[0-9a-f]{16}$' AS plan, awaits_until - created_at AS waits, approved_by, matched, replayed, waiting, progress, time_left, query FROM acteon_replay_batches;
SELECT plan FROM acteon_replay_batches \gset
SELECT f, split_part(attempt(format('SELECT acteon_replay_%s', f)), ' | ', 1) FROM unnest('{resume(1),pause(1),"set_rate(1, NULL)"}'::text[]) AS f;
CALL acteon_replay_continue(1);
SELECT attempt($$SELECT acteon_replay_bulk(outcome => 'failed')$$);
-- it has nothing that could be settled
SELECT attempt($$SELECT acteon_replay_settle(1, 'resend', 'r')$$);
-- who asked cannot approve: by itself, by a role of which it is a member, by one that is a member of it
SELECT attempt(format('SELECT acteon_replay_approve(1, %L)', :'plan'));
SET ROLE regress_acteon_group;
SELECT attempt(format('SELECT acteon_replay_approve(1, %L)', :'plan'));
SET SESSION AUTHORIZATION regress_acteon_group;
SELECT attempt(format('SELECT acteon_replay_approve(1, %L)', :'plan'));
SET SESSION AUTHORIZATION regress_acteon_below;
SELECT attempt(format('SELECT acteon_replay_approve(1, %L)', :'plan'));
-- nor can who is no admin, or not of all of it
SET SESSION AUTHORIZATION regress_acteon_op;
SELECT attempt(format('SELECT acteon_replay_approve(1, %L)', :'plan'));
SELECT count(*) AS claimed FROM acteon_outbox_claim('c', 10);
SET SESSION AUTHORIZATION regress_acteon_part;
SELECT attempt(format('SELECT acteon_replay_approve(1, %L)', :'plan'));
-- another plan, none, no reason where one is needed
SET SESSION AUTHORIZATION regress_acteon_chief;
SELECT attempt('SELECT acteon_replay_approve(1, ''0123456789abcdef'')'), attempt('SELECT acteon_replay_approve(1, NULL)'), attempt('SELECT acteon_replay_approve(2, ''x'')');
RESET SESSION AUTHORIZATION;
SET acteon_replay.require_reason = on;
SELECT attempt(format('SELECT acteon_replay_approve(1, %L)', :'plan'));
RESET acteon_replay.require_reason;
SELECT count(*) AS actions FROM acteon_dispatch_outbox;
SELECT event, role_name, reason, details - 'plan' AS details, details ->> 'plan' = :'plan' AS same FROM acteon_replay_log WHERE event NOT IN ('start', 'grant') ORDER BY id;

-- a second person approves, and the first one goes on
SET SESSION AUTHORIZATION regress_acteon_chief;
SELECT acteon_replay_approve(1, :'plan', reason => 'seen it');
SELECT attempt(format('SELECT acteon_replay_approve(1, %L)', :'plan'));
SELECT state, awaits_until, approved_by, plan = :'plan' AS same FROM acteon_replay_batches;
-- only the first one: the grants of others may cover more than was approved
CALL acteon_replay_continue(1);
SET SESSION AUTHORIZATION regress_acteon_ask;
CALL acteon_replay_continue(1);
RESET SESSION AUTHORIZATION;
SELECT event, role_name, session_role, reason FROM acteon_replay_log WHERE event NOT IN ('start', 'grant') ORDER BY id;
SELECT approved_at BETWEEN created_at AND now() AS approved, scope FROM acteon_replay_batch;

-- what was passed over when it was planned is not approved
CALL clean();
SELECT count(make_record('p-' || n, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s', tenant => CASE n WHEN 3 THEN 'globex' ELSE 'acme' END, outcome => CASE WHEN n IN (3, 4) THEN 'executed' ELSE 'failed' END)) FROM generate_series(1, 7) AS n;
SET SESSION AUTHORIZATION regress_acteon_ask;
CALL acteon_replay_all(provider => 'email', to_time => '2026-01-02');
SELECT plan FROM acteon_replay_batches \gset
SET SESSION AUTHORIZATION regress_acteon_part;
SELECT acteon_replay_approve(1, :'plan');
RESET SESSION AUTHORIZATION;
UPDATE acteon_audit SET outcome = 'failed' WHERE action_id IN ('p-3', 'p-4');
SET SESSION AUTHORIZATION regress_acteon_ask;
\set VERBOSITY default
CALL acteon_replay_continue(1);
\set VERBOSITY terse
RESET SESSION AUTHORIZATION;
UPDATE acteon_audit SET outcome = 'executed' WHERE action_id = 'p-3';
SET SESSION AUTHORIZATION regress_acteon_ask;
CALL acteon_replay_continue(1);
RESET SESSION AUTHORIZATION;
SELECT scope FROM acteon_replay_batch;

-- superusers are no exception, whatever role they take on
CALL clean();
SELECT count(make_record('b-' || n, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s')) FROM generate_series(1, 5) AS n;
SET SESSION AUTHORIZATION regress_acteon_super;
SET acteon_replay.approval_above = 3;
SET ROLE regress_acteon_ask;
CALL acteon_replay_all(tenant => 'acme');
RESET ROLE;
SELECT plan FROM acteon_replay_batches \gset
SELECT attempt(format('SELECT acteon_replay_approve(1, %L)', :'plan'));
SET ROLE regress_acteon_chief;
SELECT attempt(format('SELECT acteon_replay_approve(1, %L)', :'plan'));
RESET ROLE;
-- it is cancelled, and that cannot be approved
SELECT state FROM acteon_replay_cancel(1);
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_acteon_chief;
SELECT attempt(format('SELECT acteon_replay_approve(1, %L)', :'plan'));
RESET SESSION AUTHORIZATION;

-- by a plan; not approved in time, it is cancelled
SET SESSION AUTHORIZATION regress_acteon_ask;
SELECT acteon_replay_preview('{"tenant": "acme"}'::jsonb) ->> 'plan' AS token \gset
CALL acteon_replay_all(plan => :'token');
SELECT plan FROM acteon_replay_batches WHERE batch_id = 2 \gset
RESET SESSION AUTHORIZATION;
SELECT event, batch_id, details ->> 'plan' = :'plan' AS same FROM acteon_replay_log WHERE batch_id = 2 AND event <> 'start' ORDER BY id;
UPDATE acteon_replay_batch SET awaits_until = '2026-01-02' WHERE id = 2;
SELECT state, stop_reason, stopped_at, stopped_by, progress, time_left FROM acteon_replay_batches WHERE batch_id = 2;
SET SESSION AUTHORIZATION regress_acteon_chief;
SELECT attempt(format('SELECT acteon_replay_approve(2, %L)', :'plan')), attempt('SELECT acteon_replay_resume(2)');
SET SESSION AUTHORIZATION regress_acteon_ask;
CALL acteon_replay_continue(2);
-- many small ones: what was replayed within an hour counts together
SELECT replayed FROM acteon_replay_bulk(tenant => 'acme', max_records => 2);
SELECT replayed FROM acteon_replay_bulk(tenant => 'acme', max_records => 1);
SELECT attempt($$SELECT acteon_replay_bulk(tenant => 'acme', max_records => 1)$$), attempt($$SELECT acteon_replay('b-5')$$), attempt($$SELECT acteon_replay_bulk('{"tenant": "acme", "limit": 1}'::jsonb)$$);
CALL acteon_replay_all(tenant => 'acme', max_records => 1);
SET ROLE regress_acteon_group;
SELECT attempt($$SELECT acteon_replay_bulk(tenant => 'acme', max_records => 1)$$);
RESET SESSION AUTHORIZATION;
UPDATE acteon_replay_batch SET created_at = created_at - interval '61 min';
SET SESSION AUTHORIZATION regress_acteon_ask;
-- … those of one statement, too
SELECT attempt($$SELECT count(acteon_replay('b-' || n)) FROM generate_series(1, 4) AS n$$);
SELECT success FROM acteon_replay('b-5');
-- of what was cancelled, only what was replayed counts
RESET SESSION AUTHORIZATION;
UPDATE acteon_replay_batch SET is_complete = false, matched = 100, stopped = 'cancelled', stopped_at = now() WHERE id = (SELECT max(id) FROM acteon_replay_batch);
SET SESSION AUTHORIZATION regress_acteon_ask;
SELECT replayed FROM acteon_replay_bulk(tenant => 'acme', max_records => 1, include_replayed => true, max_generation => 9);
RESET SESSION AUTHORIZATION;
SELECT count(*) AS actions FROM acteon_dispatch_outbox;
SELECT * FROM acteon_outbox_check();

RESET acteon_replay.approval_above;
DELETE FROM acteon_grants WHERE grantee::oid IN (SELECT oid FROM pg_roles WHERE rolname ~ '^regress_acteon_(ask|group|below|chief|part|op)$');
DROP ROLE regress_acteon_below, regress_acteon_ask, regress_acteon_group, regress_acteon_chief, regress_acteon_part, regress_acteon_op, regress_acteon_super;
