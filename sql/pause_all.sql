-- Stopping everything at once, and going on with exactly that.
CALL clean();
CREATE ROLE regress_acteon_pa_boss;
CREATE ROLE regress_acteon_pa_acme;
CREATE ROLE regress_acteon_pa_starter;
CREATE ROLE regress_acteon_pa_viewer;
CREATE ROLE regress_acteon_pa_none;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_pa_boss', 'admin', '{*}', '{*}', '{*}'),
	('regress_acteon_pa_acme', 'operator', '{acme}', '{*}', '{*}'), ('regress_acteon_pa_starter', 'operator', '{globex}', '{*}', '{*}'),
	('regress_acteon_pa_viewer', 'viewer', '{*}', '{*}', '{*}');
CREATE FUNCTION pg_temp.stopped() RETURNS TABLE (batch_id bigint, state text, stop_reason text, stopped_by text) LANGUAGE sql AS
	'SELECT batch_id, state, stop_reason, replace(stopped_by::text, session_user, ''postgres'') FROM acteon_replay_batches WHERE kind <> ''notification'' ORDER BY 1';
-- nothing to stop
SELECT * FROM acteon_replay_pause_all();
SELECT * FROM acteon_replay_resume_all();
-- … is not said to who may stop nothing in any case
SET ROLE regress_acteon_pa_none;
SELECT * FROM acteon_replay_pause_all();
SET ROLE regress_acteon_pa_viewer;
SELECT * FROM acteon_replay_resume_all();
RESET ROLE;
-- 1: acme, runs; 2: globex, runs; 3: single; 4: paused by somebody; 5: cancelled; 6: finished; 7: begins later; 8: interrupted; 9: as if it were a notification
SELECT count(make_record(t || ' ' || n, tenant => t)) FROM unnest('{acme,globex,initech,hooli}'::text[]) AS t, generate_series(1, 3) AS n;
SELECT make_record('single'), make_record('ended', provider => 'sms'), make_record('later', provider => 'push');
SELECT replayed FROM acteon_replay_bulk(action_ids => '{acme 1,acme 2,acme 3}', rate => 1);
SET ROLE regress_acteon_pa_starter;
SELECT replayed FROM acteon_replay_bulk(tenant => 'globex', reason => 'mine');
RESET ROLE;
SELECT success FROM acteon_replay('single');
SELECT replayed FROM acteon_replay_bulk(tenant => 'initech');
SELECT state FROM acteon_replay_pause(4, 'by itself');
SELECT replayed FROM acteon_replay_bulk(tenant => 'hooli');
SELECT state FROM acteon_replay_cancel(5);
SELECT success FROM acteon_replay('ended');
SELECT finish(action_id, 'delivered') FROM acteon_dispatch_outbox WHERE original_action_id = 'ended' \gset
SELECT replayed FROM acteon_replay_bulk(provider => 'push', start_at => '2100-01-01');
SELECT batch_id FROM acteon_replay_open('{"tenant": "acme", "include_replayed": true}');
SELECT make_record('told', provider => 'chat');
SELECT success FROM acteon_replay('told');
UPDATE acteon_replay_batch SET query = query || '{"notify": "ops"}' WHERE id = 9;
SELECT count(*) FROM acteon_outbox_claim('c', 1);
SELECT max(id) AS before FROM acteon_replay_log \gset
-- who may do nothing is told so, and nothing is done; a viewer may not steer
SET ROLE regress_acteon_pa_none;
SELECT * FROM acteon_replay_pause_all('stop');
SET ROLE regress_acteon_pa_viewer;
SELECT * FROM acteon_replay_pause_all('stop');
RESET ROLE;
-- an operator stops what is its tenant's; it is told that others go on
SET ROLE regress_acteon_pa_acme;
SELECT * FROM acteon_replay_pause_all('acme is angry');
-- it may not resume what it did not start, as with single batches
SELECT * FROM acteon_replay_resume_all('again');
RESET ROLE;
SELECT * FROM pg_temp.stopped();
-- the rest
SELECT * FROM acteon_replay_pause_all('everything is on fire');
SELECT * FROM pg_temp.stopped();
-- nothing but notifications goes out; these are not stopped
SELECT * FROM acteon_replay_pause_all('once more');
SELECT DISTINCT o.provider FROM acteon_outbox_claim('c', 3, lease => '1 h') AS c JOIN acteon_dispatch_outbox AS o ON o.id = c.outbox_id;
-- each has an entry, and all of one call the same time
SELECT batch_id, event, replace(role_name::text, session_user, 'postgres') AS role, reason, details ? 'all' AS of_all, dense_rank() OVER (ORDER BY details ->> 'all') AS call FROM acteon_replay_log WHERE id > :before AND event IN ('pause', 'resume') ORDER BY id;
-- what starts afterwards is not stopped
SELECT success FROM acteon_replay('later');
SELECT state FROM acteon_replay_batches WHERE batch_id = (SELECT max(id) FROM acteon_replay_batch WHERE NOT query ? 'notify');
SELECT max(id) AS later FROM acteon_replay_batch WHERE NOT query ? 'notify' \gset
SELECT state FROM acteon_replay_cancel(:later, 'enough');
-- what was resumed, and paused again, stays; what was cancelled, too
SELECT state FROM acteon_replay_resume(3);
SELECT state FROM acteon_replay_pause(3, 'this one not');
SELECT state FROM acteon_replay_cancel(7, 'not needed');
-- who has started one may go on with that
SET ROLE regress_acteon_pa_starter;
SELECT * FROM acteon_replay_resume_all('globex works');
RESET ROLE;
SET ROLE regress_acteon_pa_boss;
SELECT * FROM acteon_replay_resume_all('all works');
SELECT * FROM acteon_replay_resume_all();
RESET ROLE;
SELECT * FROM pg_temp.stopped();
SELECT batch_id, event, replace(role_name::text, session_user, 'postgres') AS role, reason FROM acteon_replay_log WHERE event = 'resume' ORDER BY id;
SELECT * FROM acteon_outbox_check();
-- a reason is demanded where reasons are
SET acteon_replay.require_reason = on;
SELECT * FROM acteon_replay_pause_all();
SELECT * FROM acteon_replay_pause_all(' ');
SELECT * FROM acteon_replay_resume_all();
RESET acteon_replay.require_reason;
BEGIN READ ONLY;
SELECT * FROM acteon_replay_pause_all('x');
ROLLBACK;
-- what is rolled back was not
BEGIN;
SELECT count(*) > 0 AS some FROM acteon_replay_pause_all('x');
ROLLBACK;
SELECT * FROM acteon_replay_resume_all();
-- the entries of a batch are found by an index, and so are those of a page of them
DO $$
DECLARE
	line text;
BEGIN
	SET LOCAL enable_seqscan = off;
	SET LOCAL enable_sort = off;
	FOR line IN EXPLAIN (COSTS off) SELECT id FROM acteon_replay_log WHERE batch_id = 1 AND id < 100 ORDER BY id DESC LIMIT 10 LOOP
		RAISE NOTICE '%', line;
	END LOOP;
END
$$;
-- more batches than there are locks
CALL clean();
SELECT count(make_record('many ' || n)) FROM generate_series(1, 9000) AS n;
SELECT count(acteon_replay('many ' || n)) FROM generate_series(1, 9000) AS n;
BEGIN;
SELECT count(*), sum(waiting) AS waiting FROM acteon_replay_pause_all('all');
SELECT count(*) < 1000 AS few FROM pg_locks WHERE pid = pg_backend_pid();
COMMIT;
BEGIN;
SELECT count(*), sum(waiting) AS waiting FROM acteon_replay_resume_all('all');
SELECT count(*) < 1000 AS few FROM pg_locks WHERE pid = pg_backend_pid();
COMMIT;
CALL clean();
DELETE FROM acteon_grants WHERE grantee::text LIKE 'regress_acteon_pa_%';
DROP ROLE regress_acteon_pa_boss, regress_acteon_pa_acme, regress_acteon_pa_starter, regress_acteon_pa_viewer, regress_acteon_pa_none;
