-- When a missing record tells anything: only if the table is alive, shows something later, and still keeps what was then.
\set VERBOSITY terse
CALL clean();
SET TIME ZONE 'UTC';
-- What is told of an action that was sent at a time of that day, and has to be recorded before anything that was sent later than another.
CREATE FUNCTION pg_temp.tells(sent_at text DEFAULT '12:00', later_than text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(acteon_outbox_audit_tells('2026-01-01'::timestamptz + sent_at::interval, '2026-01-01'::timestamptz + later_than::interval), 'it was not recorded')
$$;

-- empty; only older; only newer; both
SELECT pg_temp.tells();
SELECT make_record('older', at => '2026-01-01 11:00', outcome => 'suppressed') AS record;
SELECT pg_temp.tells();
DELETE FROM acteon_audit;
SELECT make_record('newer', at => '2026-01-01 12:30', outcome => 'muted') AS record;
SELECT pg_temp.tells();
SELECT make_record('older', at => '2026-01-01 11:00', outcome => 'circuit_open') AS record;
SELECT pg_temp.tells();
-- to the microsecond, either way
SELECT sent_at, later_than, pg_temp.tells(sent_at, later_than) FROM (VALUES ('11:00', NULL), ('10:59:59.999999', NULL), ('12:00', '12:30'), ('12:00', '12:29:59.999999'), ('12:00', '12:30:00.000001'), ('12:30', '11:00')) AS v (sent_at, later_than);
-- without times: of what was sent as long ago as the gateway is waited for
SELECT acteon_outbox_audit_tells();
SELECT make_record('now', at => now() - interval '1 min', outcome => 'executed') AS record;
SELECT acteon_outbox_audit_tells();
SET acteon_replay.gateway_patience = 30;
SELECT acteon_outbox_audit_tells();
RESET acteon_replay.gateway_patience;
DELETE FROM acteon_audit WHERE action_id = 'now';

-- any outcome that is known shows that the table is alive; one that is not, does not
DELETE FROM acteon_audit WHERE action_id = 'newer';
SELECT outcome, pg_temp.tells() FROM (SELECT outcome, make_record('newer', at => '2026-01-01 12:30', outcome => outcome) FROM unnest('{teleported}'::text[]) AS outcome) AS r;
DELETE FROM acteon_audit WHERE action_id = 'newer';
DO $$
DECLARE
	known text;
BEGIN
	FOREACH known IN ARRAY '{executed,failed,pending,circuit_open,suppressed,deduplicated,rerouted,throttled,quota_exceeded,silenced,muted,scheduled,grouped,chain_started,chain_completed,chain_step_completed,pending_approval}'::text[] LOOP
		PERFORM make_record('newer', at => '2026-01-01 12:30', outcome => known);
		IF pg_temp.tells() <> 'it was not recorded' THEN
			RAISE NOTICE '% does not show that the table is alive', known;
		END IF;
		DELETE FROM acteon_audit WHERE action_id = 'newer';
	END LOOP;
END
$$;
SELECT make_record('newer', at => '2026-01-01 12:30', outcome => 'muted') AS record;

-- by whatever index there is; without one, a small table is read and a large one is not
DROP INDEX acteon_audit_outcome_idx;
SELECT pg_temp.tells(), pg_temp.tells('10:00'), pg_temp.tells('13:00');
CREATE INDEX acteon_audit_time_idx ON acteon_audit (dispatched_at);
SELECT pg_temp.tells(), pg_temp.tells('10:00'), pg_temp.tells('13:00');
DROP INDEX acteon_audit_time_idx;
CREATE INDEX acteon_audit_time_idx ON acteon_audit (outcome, dispatched_at) WHERE provider = 'sms';
SELECT pg_temp.tells();
BEGIN;
ALTER TABLE acteon_audit ADD COLUMN filler text;
ALTER TABLE acteon_audit ALTER filler SET STORAGE PLAIN;
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, verdict_details, outcome_details, dispatched_at, completed_at, duration_ms, filler)
SELECT n::text, n::text, 'prod', 'acme', 'email', 'send_email', 'allow', 'executed', '{}', '{}', '2026-01-01 12:20'::timestamptz, now(), 1, repeat('x', 8000) FROM generate_series(1, 1100) AS n;
SELECT pg_temp.tells();
ROLLBACK;
DROP INDEX acteon_audit_time_idx;
CREATE INDEX acteon_audit_outcome_idx ON acteon_audit (outcome, dispatched_at DESC);

-- a table that is not live tells nothing: said so, or filled by a subscription and not said otherwise
SET acteon_replay.audit_is_live = off;
SELECT pg_temp.tells();
RESET acteon_replay.audit_is_live;
SELECT pg_temp.tells();
BEGIN;
SET LOCAL allow_system_table_mods = on;
INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) VALUES (1, 'acteon_audit'::regclass, 'r');
SELECT pg_temp.tells();
SET LOCAL acteon_replay.audit_is_live = on;
SELECT pg_temp.tells();
SET LOCAL acteon_replay.audit_is_live = off;
SELECT pg_temp.tells();
ROLLBACK;
-- partitioned: one partition that is filled so is enough
ALTER TABLE acteon_audit RENAME TO kept_audit;
CREATE TABLE acteon_audit (LIKE kept_audit INCLUDING DEFAULTS) PARTITION BY RANGE (dispatched_at);
CREATE TABLE regress_acteon_early PARTITION OF acteon_audit FOR VALUES FROM (MINVALUE) TO ('2026-01-01 12:00');
CREATE TABLE regress_acteon_late PARTITION OF acteon_audit FOR VALUES FROM ('2026-01-01 12:00') TO (MAXVALUE);
INSERT INTO acteon_audit SELECT * FROM kept_audit;
SELECT pg_temp.tells();
CREATE INDEX ON acteon_audit (outcome, dispatched_at DESC);
SELECT pg_temp.tells(), pg_temp.tells('10:00'), pg_temp.tells('13:00');
BEGIN;
SET LOCAL allow_system_table_mods = on;
INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) VALUES (1, 'regress_acteon_late'::regclass, 'r');
SELECT pg_temp.tells();
ROLLBACK;
CREATE FOREIGN DATA WRAPPER regress_acteon_wrapper;
CREATE SERVER regress_acteon_server FOREIGN DATA WRAPPER regress_acteon_wrapper;
DROP TABLE regress_acteon_early;
CREATE FOREIGN TABLE regress_acteon_early PARTITION OF acteon_audit FOR VALUES FROM (MINVALUE) TO ('2026-01-01 12:00') SERVER regress_acteon_server;
SELECT pg_temp.tells();
-- it cannot be read at all, which is no error of the caller's
SET acteon_replay.audit_is_live = on;
SELECT pg_temp.tells();
RESET acteon_replay.audit_is_live;
DROP TABLE acteon_audit;
DROP FOREIGN DATA WRAPPER regress_acteon_wrapper CASCADE;
SELECT pg_temp.tells();
ALTER TABLE kept_audit RENAME TO acteon_audit;
CREATE ROLE regress_acteon_owner;
ALTER TABLE acteon_audit OWNER TO regress_acteon_owner;
REVOKE ALL ON acteon_audit FROM regress_acteon_owner;
SELECT pg_temp.tells();
ALTER TABLE acteon_audit OWNER TO CURRENT_USER;
GRANT ALL ON acteon_audit TO CURRENT_USER;
DROP ROLE regress_acteon_owner;
-- but whoever cancels the call, or gave it a time, has his way
CREATE FUNCTION regress_acteon_sleep() RETURNS boolean LANGUAGE sql STABLE AS 'SELECT pg_sleep(60) IS NOT NULL';
CREATE ROLE regress_acteon_slow;
CREATE POLICY regress_acteon_slow ON acteon_audit USING (public.regress_acteon_sleep());
ALTER TABLE acteon_audit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE acteon_audit OWNER TO regress_acteon_slow;
GRANT SELECT ON acteon_audit TO regress_acteon_slow;
SET statement_timeout = '50 ms';
SELECT pg_temp.tells();
RESET statement_timeout;
ALTER TABLE acteon_audit OWNER TO CURRENT_USER;
ALTER TABLE acteon_audit DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
DROP POLICY regress_acteon_slow ON acteon_audit;
DROP FUNCTION regress_acteon_sleep();
-- who may ask
SET ROLE regress_acteon_slow;
SELECT attempt('SELECT acteon_outbox_audit_tells()');
RESET ROLE;
DROP ROLE regress_acteon_slow;
CALL clean();
