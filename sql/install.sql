-- The extension installs, in any schema, with a comment on everything.
\set VERBOSITY terse
\set fixtures `echo "$PG_ABS_SRCDIR/test/fixtures"`
CREATE EXTENSION acteon_replay;
SELECT extversion, extrelocatable FROM pg_extension WHERE extname = 'acteon_replay';

-- what there is
\pset format unaligned
SELECT pg_describe_object(classid, objid, 0) AS object
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'acteon_replay')
	AND classid IN ('pg_proc'::regclass, 'pg_class'::regclass)
ORDER BY pg_describe_object(classid, objid, 0) COLLATE "C";

-- everything that users meet has a comment
WITH members AS (
	SELECT d.classid, d.objid FROM pg_depend AS d
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'acteon_replay'))
SELECT objid::regprocedure::text AS without_comment FROM members
WHERE classid = 'pg_proc'::regclass AND obj_description(objid, 'pg_proc') IS NULL
UNION ALL
SELECT objid::regclass::text FROM members JOIN pg_class AS c ON c.oid = objid
WHERE classid = 'pg_class'::regclass AND relkind = 'r' AND obj_description(objid, 'pg_class') IS NULL
UNION ALL
SELECT objid::regclass || '.' || attname FROM members JOIN pg_class AS c ON c.oid = objid
	JOIN pg_attribute AS a ON a.attrelid = c.oid AND attnum > 0
WHERE classid = 'pg_class'::regclass AND relkind = 'r' AND attinhcount = 0 AND col_description(objid, attnum) IS NULL;

-- the contract: names, arguments, defaults, results
SELECT p.proname, pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result
FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'acteon_replay')
ORDER BY p.proname COLLATE "C", p.pronargs, p.oid;

\pset format aligned
-- what is not for everybody to call
SELECT p.oid::regprocedure AS not_for_public
FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'acteon_replay') AND NOT has_function_privilege('public', p.oid, 'EXECUTE')
ORDER BY p.proname COLLATE "C";
-- and what is for everybody to read, as far as row-level security lets them
SELECT c.relname AS readable, c.relkind, c.relrowsecurity AS by_row, (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) AS policies
FROM pg_class AS c JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'acteon_replay') AND c.relkind IN ('r', 'v')
	AND has_any_column_privilege('public', c.oid, 'SELECT')
ORDER BY c.relname COLLATE "C";

-- everything in it is in the dump, except the secret: a restored database has its own
SELECT c.relname AS not_in_dump
FROM pg_depend AS d JOIN pg_class AS c ON c.oid = d.objid
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'acteon_replay'
WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relkind IN ('r', 'S') AND NOT c.oid = ANY (e.extconfig);

-- the settings belong to superusers
SELECT name, setting, unit, context FROM pg_settings WHERE name LIKE 'acteon_replay.%' ORDER BY name;
SET acteon_replay.audit_table = 'a.b.c';
SET acteon_replay.audit_table = '"unbalanced';
SET acteon_replay.audit_table = '';
SET acteon_replay.no_such_setting = 1;

-- in a schema of its own, beside nothing of the caller's
DROP EXTENSION acteon_replay;
CREATE SCHEMA "Odd ""Name""";
CREATE EXTENSION acteon_replay SCHEMA "Odd ""Name""";
CREATE TABLE outside (n integer);
\i :fixtures/audit_table.sql
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload,
	verdict_details, outcome_details, dispatched_at, completed_at, duration_ms)
VALUES ('r1', 'elsewhere', 'prod', 'acme', 'email', 'send', 'allow', 'failed', '{}', '{}', '{}', '2026-01-01', '2026-01-01', 1);
SELECT original_action_id, success, error FROM "Odd ""Name""".acteon_replay('elsewhere');
SELECT replayed FROM "Odd ""Name""".acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true);
SELECT id, generation, state FROM "Odd ""Name""".acteon_replay_lineage('elsewhere') WHERE depth = 0;
-- and it can move
CREATE SCHEMA moved;
ALTER EXTENSION acteon_replay SET SCHEMA moved;
SELECT success FROM moved.acteon_replay('elsewhere');
SELECT count(*) FROM moved.acteon_dispatch_outbox;
DROP EXTENSION acteon_replay;
DROP TABLE outside, acteon_audit;
DROP SCHEMA moved, "Odd ""Name""";

-- for the tests that follow
CREATE EXTENSION acteon_replay;
INSERT INTO acteon_replay_installation (namespace) VALUES ('11111111-2222-4333-8444-555555555555');
\i :fixtures/audit_table.sql
\i :fixtures/audit_indexes.sql
\i :fixtures/helpers.sql
