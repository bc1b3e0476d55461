-- The audit table: which ones work, which are refused; and what a DBA may do to the extension's own tables.
\set VERBOSITY terse
CALL clean();
CREATE SCHEMA regress_acteon_other;
\set fixtures `echo "$PG_ABS_SRCDIR/test/fixtures"`

-- missing, renamed, or not a table
SET acteon_replay.audit_table = 'acteon_audits';
SELECT attempt('SELECT acteon_replay_bulk(from_time => ''2000-01-01'')');
SET acteon_replay.audit_table = 'regress_acteon_other.acteon_audit';
SELECT attempt('SELECT acteon_replay_bulk(from_time => ''2000-01-01'')');
SET acteon_replay.audit_table = 'no_such_schema.acteon_audit';
SELECT attempt('SELECT acteon_replay_bulk(from_time => ''2000-01-01'')');
RESET acteon_replay.audit_table;
ALTER TABLE acteon_audit RENAME TO kept_audit;
SELECT attempt($$SELECT acteon_replay('a')$$);
SELECT attempt('SELECT acteon_replay_bulk(from_time => ''2000-01-01'')');
CREATE VIEW acteon_audit AS SELECT * FROM kept_audit;
SELECT attempt($$SELECT acteon_replay('a')$$);
DROP VIEW acteon_audit;
CREATE MATERIALIZED VIEW acteon_audit AS SELECT * FROM kept_audit;
SELECT attempt($$SELECT acteon_replay('a')$$);
DROP MATERIALIZED VIEW acteon_audit;
CREATE INDEX acteon_audit ON kept_audit (duration_ms);
SELECT attempt('SELECT acteon_replay_bulk(from_time => ''2000-01-01'')');
DROP INDEX acteon_audit;

-- not to be read by its owner, who is named
CREATE ROLE regress_acteon_owner;
ALTER TABLE kept_audit RENAME TO acteon_audit;
ALTER TABLE acteon_audit OWNER TO regress_acteon_owner;
REVOKE SELECT ON acteon_audit FROM regress_acteon_owner;
SELECT attempt($$SELECT acteon_replay('a')$$);
SELECT attempt($$SELECT acteon_replay_preview(from_time => '2000-01-01')$$);
GRANT SELECT ON acteon_audit TO regress_acteon_owner;
SELECT split_part(attempt($$SELECT acteon_replay('a')$$), ' |', 1) AS attempt;
ALTER TABLE acteon_audit SET SCHEMA regress_acteon_other;
SET acteon_replay.audit_table = 'regress_acteon_other.acteon_audit';
SELECT attempt($$SELECT acteon_replay('a')$$);
RESET acteon_replay.audit_table;
ALTER TABLE regress_acteon_other.acteon_audit SET SCHEMA public;
SELECT current_user AS superuser \gset
ALTER TABLE acteon_audit OWNER TO :"superuser";
DROP ROLE regress_acteon_owner;
ALTER TABLE acteon_audit RENAME TO kept_audit;

-- without a required column, or with one of another type
CREATE FUNCTION spoilt(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	CREATE TABLE acteon_audit (LIKE kept_audit);
	EXECUTE 'ALTER TABLE acteon_audit ' || change;
	answer := attempt($q$SELECT acteon_replay_bulk(caller_id => 'x')$q$);
	DROP TABLE acteon_audit;
	RETURN answer;
END
$$;
SELECT column_name, spoilt(format('DROP COLUMN %I', column_name))
FROM unnest(ARRAY['id', 'action_id', 'namespace', 'tenant', 'provider', 'action_type', 'outcome', 'dispatched_at', 'action_payload', 'metadata']) AS column_name;
SELECT spoilt('ALTER COLUMN action_payload TYPE json USING action_payload::json');
SELECT spoilt('ALTER COLUMN dispatched_at TYPE timestamp');
SELECT spoilt('ALTER COLUMN action_id TYPE uuid USING NULL');
SELECT spoilt('ALTER COLUMN tenant TYPE varchar(100)');
CREATE DOMAIN regress_acteon_text AS text;
SELECT spoilt('ALTER COLUMN tenant TYPE regress_acteon_text');
DROP DOMAIN regress_acteon_text;
-- a filter needs its column, of the right type
SELECT spoilt('DROP COLUMN caller_id');
SELECT spoilt('ALTER COLUMN caller_id TYPE name');
DROP FUNCTION spoilt;

-- an old installation: only the first version's columns
CREATE TABLE acteon_audit (id text PRIMARY KEY, action_id text NOT NULL, namespace text NOT NULL, tenant text NOT NULL, provider text NOT NULL, action_type text NOT NULL,
	verdict text NOT NULL, matched_rule text, outcome text NOT NULL, action_payload jsonb, verdict_details jsonb NOT NULL, outcome_details jsonb NOT NULL,
	metadata jsonb NOT NULL DEFAULT '{}', dispatched_at timestamptz NOT NULL, completed_at timestamptz NOT NULL, duration_ms bigint NOT NULL, expires_at timestamptz);
INSERT INTO acteon_audit VALUES ('1', 'old', 'prod', 'acme', 'email', 'send', 'allow', NULL, 'failed', '{"a": 1}', '{}', '{}', '{"l": 1}', '2026-01-01', '2026-01-01', 1);
SELECT success FROM acteon_replay('old');
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', include_replayed => true);
SELECT attempt($$SELECT acteon_replay_bulk(chain_id => 'c')$$);
DROP TABLE acteon_audit;

-- partitioned by time, with columns in another order in a partition
CREATE TABLE acteon_audit (LIKE kept_audit INCLUDING DEFAULTS) PARTITION BY RANGE (dispatched_at);
CREATE TABLE acteon_audit_1 PARTITION OF acteon_audit FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
CREATE TABLE acteon_audit_2 (dropped integer, LIKE kept_audit INCLUDING DEFAULTS);
ALTER TABLE acteon_audit_2 DROP COLUMN dropped;
ALTER TABLE acteon_audit ATTACH PARTITION acteon_audit_2 FOR VALUES FROM ('2026-01-02') TO ('2026-01-03');
CREATE INDEX ON acteon_audit (outcome, dispatched_at DESC);
CREATE INDEX ON acteon_audit (namespace, tenant, dispatched_at DESC);
CREATE INDEX ON acteon_audit (action_id);
SELECT make_record('day 2', at => '2026-01-02 10:00+00'), make_record('day 1', at => '2026-01-01 10:00+00'), make_record('day 1 late', at => '2026-01-01 23:59+00');
SELECT success FROM acteon_replay('day 2');
SELECT jsonb_path_query_array(results, '$[*].original_action_id') AS replayed FROM acteon_replay_bulk(outcome => 'failed', include_replayed => true);
SELECT jsonb_path_query_array(results, '$[*].original_action_id') AS replayed FROM acteon_replay_bulk(newest_first => true, namespace => 'prod', tenant => 'acme', include_replayed => true);
DROP TABLE acteon_audit;

-- another prefix, another schema, a name that needs quotes
CREATE TABLE regress_acteon_other."My ""Audit"".Table" (LIKE kept_audit INCLUDING ALL);
INSERT INTO regress_acteon_other."My ""Audit"".Table" (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details, dispatched_at, completed_at, duration_ms)
VALUES ('1', 'quoted', 'prod', 'acme', 'email', 'send', 'allow', 'failed', '{}', '{}', '{}', '2026-01-01', '2026-01-01', 1);
SET acteon_replay.audit_table = 'regress_acteon_other."My ""Audit"".Table"';
SELECT success FROM acteon_replay('quoted');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true);
SET acteon_replay.audit_table = 'KEPT_audit';
SELECT attempt($$SELECT success FROM acteon_replay('quoted')$$);
RESET acteon_replay.audit_table;

-- a name without a schema: beside the extension first, then public, but not where everybody may create tables
ALTER EXTENSION acteon_replay SET SCHEMA regress_acteon_other;
ALTER TABLE kept_audit RENAME TO acteon_audit;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
SELECT attempt($$SELECT regress_acteon_other.acteon_replay('nothing here')$$);
GRANT CREATE ON SCHEMA public TO PUBLIC;
SELECT attempt($$SELECT regress_acteon_other.acteon_replay('nothing here')$$);
SET acteon_replay.audit_table = 'public.acteon_audit';
SELECT attempt($$SELECT regress_acteon_other.acteon_replay('nothing here')$$);
RESET acteon_replay.audit_table;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
ALTER EXTENSION acteon_replay SET SCHEMA public;

-- records with NULL where the gateway never has one fail by themselves
CALL clean();
ALTER TABLE acteon_audit ALTER action_id DROP NOT NULL, ALTER tenant DROP NOT NULL, ALTER dispatched_at DROP NOT NULL;
SELECT make_record('good', at => '2026-01-03'), make_record('no tenant', tenant => NULL, at => '2026-01-02');
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details, dispatched_at, completed_at, duration_ms)
VALUES ('no action id', NULL, 'prod', 'acme', 'email', 'send', 'allow', 'failed', '{}', '{}', '{}', '2026-01-01', '2026-01-01', 1),
	('no time', 'no time', 'prod', 'acme', 'email', 'send', 'allow', 'failed', '{}', '{}', '{}', NULL, '2026-01-01', 1);
SELECT replayed, failed, skipped, jsonb_path_query_array(results, '$[*].error') AS errors FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT attempt($$SELECT acteon_replay('no tenant')$$);
CALL clean();
ALTER TABLE acteon_audit ALTER action_id SET NOT NULL, ALTER tenant SET NOT NULL, ALTER dispatched_at SET NOT NULL;

-- what a DBA adds to the extension's tables: indexes are kept, columns are left NULL, constraints hold, triggers are refused
SELECT make_record('x1', at => '2026-01-01'), make_record('x2', at => '2026-01-02', tenant => 'globex'), make_record('x3', at => '2026-01-03');
CREATE INDEX regress_acteon_tenant ON acteon_dispatch_outbox (lower(tenant)) WHERE generation = 1;
CREATE UNIQUE INDEX regress_acteon_unique ON acteon_dispatch_outbox (original_action_id, generation);
ALTER TABLE acteon_dispatch_outbox ADD COLUMN note text;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT original_action_id FROM ONLY acteon_dispatch_outbox WHERE lower(tenant) = 'globex' AND generation = 1;
SELECT original_action_id, note FROM acteon_dispatch_outbox WHERE lower(tenant) = 'globex' AND generation = 1;
RESET enable_seqscan;
ALTER TABLE acteon_dispatch_outbox DROP COLUMN note;
DROP INDEX regress_acteon_tenant, regress_acteon_unique;
CALL clean();
ALTER TABLE acteon_dispatch_outbox ADD CONSTRAINT regress_acteon_check CHECK (tenant <> 'globex');
SELECT make_record('y1'), make_record('y2', tenant => 'globex');
SELECT split_part(attempt('SELECT acteon_replay_bulk(from_time => ''2000-01-01'')'), ' |', 1) AS attempt;
SELECT count(*) FROM acteon_dispatch_outbox;
ALTER TABLE acteon_dispatch_outbox DROP CONSTRAINT regress_acteon_check;
-- … also when they, or the functions in them, change in the middle of a session
CREATE FUNCTION regress_acteon_inlined(tenant text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$SELECT tenant <> 'acme'$$;
CREATE FUNCTION regress_acteon_called(tenant text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN tenant <> 'globex'; END$$;
CREATE FUNCTION pg_temp.tried() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(a || ': ' || regexp_replace(attempt(format('SELECT success FROM acteon_replay(%L)', a)), ' \|.*', ''), ', ' ORDER BY a) FROM unnest('{y1,y2}'::text[]) AS a
$$;
SET client_min_messages = warning;
SELECT pg_temp.tried();
ALTER TABLE acteon_dispatch_outbox ADD CONSTRAINT regress_acteon_inlined CHECK (regress_acteon_inlined(tenant)) NOT VALID, ADD CONSTRAINT regress_acteon_called CHECK (regress_acteon_called(tenant)) NOT VALID;
SELECT pg_temp.tried();
SELECT pg_temp.tried();
CREATE OR REPLACE FUNCTION regress_acteon_inlined(tenant text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$SELECT tenant <> 'globex'$$;
CREATE OR REPLACE FUNCTION regress_acteon_called(tenant text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN NULL; END$$;
SELECT pg_temp.tried();
ALTER TABLE acteon_dispatch_outbox DROP CONSTRAINT regress_acteon_inlined;
SELECT pg_temp.tried();
-- … and the conditions of indexes
CREATE INDEX regress_acteon_partial ON acteon_dispatch_outbox (tenant) WHERE regress_acteon_called(tenant);
SELECT pg_temp.tried();
CREATE OR REPLACE FUNCTION regress_acteon_called(tenant text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN tenant = 'globex'; END$$;
ALTER TABLE acteon_dispatch_outbox DROP CONSTRAINT regress_acteon_called;
SELECT pg_temp.tried();
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM ONLY acteon_dispatch_outbox WHERE regress_acteon_called(tenant);
SELECT count(*), min(tenant) FROM acteon_dispatch_outbox WHERE regress_acteon_called(tenant);
RESET enable_seqscan;
RESET enable_bitmapscan;
RESET client_min_messages;
DROP INDEX regress_acteon_partial;
DROP FUNCTION regress_acteon_inlined, regress_acteon_called;
CALL clean();
SELECT make_record('y1'), make_record('y2', tenant => 'globex');
CREATE FUNCTION regress_acteon_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER t BEFORE INSERT ON acteon_dispatch_outbox FOR EACH ROW EXECUTE FUNCTION regress_acteon_trigger();
SELECT attempt('SELECT acteon_replay_bulk(from_time => ''2000-01-01'')');
DROP TRIGGER t ON acteon_dispatch_outbox;
CREATE TRIGGER t AFTER INSERT ON acteon_replay_batch FOR EACH STATEMENT EXECUTE FUNCTION regress_acteon_trigger();
SELECT attempt($$SELECT acteon_replay('y1')$$);
DROP TRIGGER t ON acteon_replay_batch;
DROP FUNCTION regress_acteon_trigger;
BEGIN;
ALTER TABLE acteon_dispatch_outbox ADD COLUMN where_to text GENERATED ALWAYS AS (tenant || provider) STORED;
SELECT attempt($$SELECT acteon_replay('y1')$$);
ROLLBACK;
-- a forced policy holds whatever row_security says
ALTER TABLE acteon_audit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SET row_security = off;
SELECT replayed FROM acteon_replay_bulk(tenant => 'acme', include_replayed => true);
RESET row_security;
ALTER TABLE acteon_audit DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
-- without the unique index on the ids replays are refused
BEGIN;
ALTER TABLE acteon_dispatch_action DROP CONSTRAINT acteon_dispatch_action_pkey;
SELECT attempt($$SELECT acteon_replay('y1')$$);
ROLLBACK;
-- so is a table that was moved out of the extension's schema
BEGIN;
ALTER TABLE acteon_dispatch_segment SET SCHEMA regress_acteon_other;
SELECT attempt($$SELECT acteon_replay('y1')$$);
ROLLBACK;
SELECT success FROM acteon_replay('y1');

-- clean up after all the tests
CALL clean();
DROP TABLE acteon_audit;
DROP SCHEMA regress_acteon_other CASCADE;
DROP FUNCTION make_record, finish, attempt;
DROP PROCEDURE clean, forget_trail;
DROP EXTENSION acteon_replay;
DROP ROLE regress_acteon_ops, regress_acteon_member, regress_acteon_noinherit, regress_acteon_viewer, regress_acteon_nobody;
