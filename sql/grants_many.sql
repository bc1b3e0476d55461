-- Thousands of grants: what the index of them finds is what the plain rule says, and what a session keeps of them is
-- what the table has.
SELECT current_user AS superuser \gset
CREATE ROLE regress_acteon_many;
CREATE ROLE regress_acteon_few;
CALL clean();
TRUNCATE acteon_grants;

-- values that are like each other, with hierarchies, and dots where they mean nothing
CREATE FUNCTION pg_temp.some(kind text) RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT CASE kind
		WHEN 'tenant' THEN (ARRAY['acme', 'acme-corp', 'globex', 'a', 'a.', '.a', 'Acme', 'acme2'])[1 + floor(random() ^ 2 * 8)]
			|| (ARRAY['', '', '.eu', '.eu.berlin', '.us', '.', '..eu', '.eu.'])[1 + floor(random() * 8)]
			|| (ARRAY['', '', '', '.x', '.y', '.1'])[1 + floor(random() * 6)]
		ELSE kind || floor(random() ^ 3 * 40)
	END
$$;
CREATE FUNCTION pg_temp.some_of(kind text, everything float) RETURNS text[] LANGUAGE sql VOLATILE AS $$
	SELECT array_agg(CASE WHEN random() < everything THEN '*' ELSE pg_temp.some(kind) END) FROM generate_series(1, 1 + floor(random() ^ 4 * 6)::integer)
$$;
-- the rule, as doc/handbook.md has it
CREATE FUNCTION pg_temp.plainly(tenant text, namespace text, provider text, action_type text, roles text[]) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT EXISTS (
		SELECT FROM acteon_grants AS g
		WHERE g.grantee = 'regress_acteon_many'::regrole AND g.role = ANY (roles)
			AND ('*' = ANY (g.actions) OR $4 = ANY (g.actions))
			AND ('*' = ANY (g.providers) OR $3 = ANY (g.providers))
			AND ('*' = ANY (g.namespaces) OR $2 = ANY (g.namespaces))
			AND ('*' = ANY (g.tenants) OR EXISTS (SELECT FROM unnest(g.tenants) AS t (entry)
				WHERE $1 = entry OR (starts_with($1, entry || '.') AND length($1) > length(entry) + 1))))
$$;
SELECT setseed(0.42) IS NOT NULL AS seeded;
INSERT INTO acteon_audit (id, action_id, tenant, namespace, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details,
	metadata, dispatched_at, completed_at, duration_ms)
SELECT 'r' || n, 'many-' || n, CASE WHEN n % 97 = 0 THEN '*' ELSE pg_temp.some('tenant') END, CASE WHEN n % 89 = 0 THEN '*' ELSE pg_temp.some('namespace') END,
	CASE WHEN n % 83 = 0 THEN '' ELSE pg_temp.some('provider') END, pg_temp.some('action'), 'allow', 'failed', '{}', '{}', '{}', '{}', '2026-01-01', '2026-01-01', 1
FROM generate_series(1, 2000) AS n;
-- a few grants for everything, many that are narrow, and some of another role that count for nothing
CREATE FUNCTION pg_temp.add_grants(how_many integer) RETURNS void LANGUAGE sql AS $$
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions)
	SELECT CASE WHEN n % 10 = 0 THEN 'regress_acteon_few'::regrole ELSE 'regress_acteon_many'::regrole END, (ARRAY['viewer', 'operator', 'admin'])[1 + n % 3],
		pg_temp.some_of('tenant', 0.01), pg_temp.some_of('namespace', 0.15), pg_temp.some_of('provider', 0.15), pg_temp.some_of('action', 0.1)
	FROM generate_series(1, how_many) AS n
$$;
-- Records for which the two differ, whether some are covered and some are not, and records that differ for a replay.
CREATE FUNCTION pg_temp.compare(OUT grants bigint, OUT differ bigint, OUT both_kinds boolean, OUT replays_differ bigint) LANGUAGE plpgsql AS $$
DECLARE
	covered bigint;
BEGIN
	grants := (SELECT count(*) FROM acteon_grants);
	CREATE TEMP TABLE plain ON COMMIT DROP AS
	SELECT id, pg_temp.plainly(tenant, namespace, provider, action_type, '{viewer,operator,admin}') AS reads,
		pg_temp.plainly(tenant, namespace, provider, action_type, '{operator,admin}') AS replays FROM acteon_audit;
	GRANT SELECT ON plain, acteon_audit TO regress_acteon_many;
	SET LOCAL ROLE regress_acteon_many;
	SELECT count(*) FILTER (WHERE acteon_authorized(tenant, namespace, provider, action_type) IS DISTINCT FROM p.reads),
		count(*) FILTER (WHERE p.reads) INTO differ, covered
	FROM acteon_audit JOIN plain AS p USING (id);
	both_kinds := covered BETWEEN 20 AND 1980;
	replays_differ := (SELECT replayable FROM acteon_replay_preview(max_generation => 1000) WHERE section = 'total') - (SELECT count(*) FROM plain WHERE replays);
	RESET ROLE;
	REVOKE SELECT ON acteon_audit FROM regress_acteon_many;
END
$$;
SELECT pg_temp.add_grants(12);
SELECT * FROM pg_temp.compare();
SELECT pg_temp.add_grants(200);
SELECT * FROM pg_temp.compare();
SELECT pg_temp.add_grants(2000);
SELECT * FROM pg_temp.compare();
-- one row of thousands of tenants
DELETE FROM acteon_grants;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions)
SELECT 'regress_acteon_many', 'operator', array_agg('t' || n) || '{acme.eu,a}', '{*}', '{*}' FROM generate_series(1, 1500) AS n;
SELECT * FROM pg_temp.compare();

-- what a session keeps: each change counts for the next statement
DELETE FROM acteon_grants;
CREATE FUNCTION pg_temp.may(role text DEFAULT 'regress_acteon_many') RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	answer boolean;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', role);
	answer := acteon_authorized('acme', 'prod', 'email', 'page');
	RESET ROLE;
	RETURN answer;
END
$$;
SELECT pg_temp.may();
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_many', 'viewer', '{acme}', '{*}', '{*}');
SELECT pg_temp.may();
UPDATE acteon_grants SET tenants = '{globex}';
SELECT pg_temp.may();
BEGIN;
UPDATE acteon_grants SET tenants = '{acme}';
SELECT pg_temp.may();
SAVEPOINT s;
DELETE FROM acteon_grants;
SELECT pg_temp.may();
ROLLBACK TO s;
SELECT pg_temp.may();
ROLLBACK;
SELECT pg_temp.may();
-- what an error undoes before the trigger could announce it is not kept
CREATE FUNCTION pg_temp.fail(seen boolean) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'seen: %', seen;
END
$$;
UPDATE acteon_grants SET tenants = '{globex}'; -- so that they are read anew
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_many', 'viewer', '{acme}', '{*}', '{*}')
	RETURNING pg_temp.fail(pg_temp.may())$$);
SELECT pg_temp.may();
UPDATE acteon_grants SET tenants = '{acme}';
SELECT pg_temp.may(), pg_temp.may('regress_acteon_few');
GRANT regress_acteon_many TO regress_acteon_few;
SELECT pg_temp.may('regress_acteon_few');
REVOKE regress_acteon_many FROM regress_acteon_few;
SELECT pg_temp.may('regress_acteon_few');
ALTER ROLE regress_acteon_few SUPERUSER;
SELECT pg_temp.may('regress_acteon_few');
ALTER ROLE regress_acteon_few NOSUPERUSER;
SELECT pg_temp.may('regress_acteon_few');
TRUNCATE acteon_grants;
SELECT pg_temp.may();
SET session_replication_role = replica;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_many', 'viewer', '{acme}', '{*}', '{*}');
SELECT pg_temp.may();
RESET session_replication_role;
-- without the trigger nothing is kept
ALTER TABLE acteon_grants DISABLE TRIGGER acteon_grants_changed;
SELECT pg_temp.may();
DELETE FROM acteon_grants;
SELECT pg_temp.may();
ALTER TABLE acteon_grants ENABLE ALWAYS TRIGGER acteon_grants_changed;
SELECT pg_temp.may();
-- many roles, more than a session keeps
DO $$
BEGIN
	FOR i IN 1 .. 250 LOOP
		EXECUTE format('CREATE ROLE regress_acteon_many_%s', i);
		INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions)
		SELECT format('regress_acteon_many_%s', i)::regrole, 'viewer', CASE WHEN i % 2 = 0 THEN '{acme}' ELSE '{globex}' END::text[], '{*}', '{*}';
	END LOOP;
END
$$;
SELECT count(*) FILTER (WHERE pg_temp.may('regress_acteon_many_' || i) = (i % 2 = 0)) FROM generate_series(1, 250) AS i;
SELECT count(*) FILTER (WHERE pg_temp.may('regress_acteon_many_' || i) = (i % 2 = 0)) FROM generate_series(1, 250) AS i;
-- what a session keeps is not read again: of twenty roles in turn, the grants of each once, or little more if something else changes
BEGIN;
SELECT pg_stat_get_xact_numscans('acteon_grants'::regclass) AS before \gset
SELECT count(pg_temp.may('regress_acteon_many_' || 1 + i % 20)) FROM generate_series(1, 400) AS i;
SELECT pg_stat_get_xact_numscans('acteon_grants'::regclass) - :before BETWEEN 1 AND 100 AS kept;
COMMIT;
SELECT acteon_grants_changed();
TRUNCATE acteon_grants;
DO $$
BEGIN
	FOR i IN 1 .. 250 LOOP
		EXECUTE format('DROP ROLE regress_acteon_many_%s', i);
	END LOOP;
END
$$;
CALL clean();
DROP ROLE regress_acteon_many, regress_acteon_few;
