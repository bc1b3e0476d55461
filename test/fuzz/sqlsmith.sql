-- sqlsmith.sql
--		What sqlsmith works with, in the schema smith: values, functions with fewer arguments, and
--		a catalogue of functions in which those of the extension are not one among thirty.
--		Run in the database of test/fixtures/practice.sql.
--
-- sqlsmith makes its expressions of columns, small numbers and NULL, so all that is worth
-- passing stands in a table.  It calls no functions that return sets and no procedures, and gives every
-- argument: behind the wrappers are all functions, each several times, with arguments that
-- are drawn by a hash, and so are the same in each run.
CREATE SCHEMA smith;
CREATE ROLE smith LOGIN;
GRANT oncall, acme_support, auditor, gateway TO smith;
GRANT USAGE ON SCHEMA smith TO smith;

-- A queue with actions in all states: waiting, leased, delivered, dead, in doubt, cancelled.
SELECT acteon_replay_bulk(provider => 'email', outcome => 'failed', max_records => 200, canary => 'off', reason => 'smith');
SELECT acteon_replay_bulk(provider => 'slack', outcome => 'suppressed', max_records => 100, canary => 'off', reason => 'smith');
SELECT acteon_replay_bulk(tenant => 'umbrella', outcome => 'failed', max_records => 50, start_at => '2100-01-01', canary => 'off', reason => 'smith');
SELECT acteon_replay_cancel(3);
CREATE TEMPORARY TABLE claimed AS SELECT * FROM acteon_outbox_claim('smith', 60, '1 day');
SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "Success"}}'::jsonb), array_agg(action_id))
FROM (SELECT * FROM claimed ORDER BY outbox_id LIMIT 15) AS c;
SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('400: no such template "x"'::text))
FROM (SELECT * FROM claimed ORDER BY outbox_id OFFSET 15 LIMIT 15) AS c;
SELECT acteon_outbox_doubt(array_agg(outbox_id), array_agg(lease_token), array_agg('timeout'::text), array_agg(action_id))
FROM (SELECT * FROM claimed ORDER BY outbox_id OFFSET 30 LIMIT 15) AS c;

CREATE TABLE smith.words (t text, n text, j jsonb, at timestamptz, i integer, b bigint, x numeric, d interval, u uuid, yes boolean,
	ta text[], ba bigint[], ja jsonb[], da interval[], ua uuid[], r regrole);
INSERT INTO smith.words
SELECT (ARRAY['', 'prod', 'acme', 'acme.eu-west', 'umbrella', '*', 'email', 'slack', 'send_email', 'failed', 'failed,circuit_open', 'executed', 'suppressed', 'pending',
		'any', 'off', 'on', 'auto', 'hold', 'resend', 'production', 'staging', '$.to', '$.a[*] ? (@ > 1)', 'strict $[', '%timeout%', 'json', 'csv', 'delivered', 'dead', 'doubt',
		'waiting', 'required', E'\u00fc\u20ac\U0001f600', repeat('x', 5000), '{"a":', '2026-01-15T12:00:00Z', 'P1Y', '-1', '99999999999999999999', E'a\nb\\'])[1 + i % 41],
	(SELECT action_id FROM acteon_audit ORDER BY id OFFSET i * 37 LIMIT 1),
	(ARRAY['{}', 'null', '[]', '1', '"x"', '{"tenant": "acme", "limit": 3, "outcome": "failed"}', '{"from": "2026-01-15T12:00:00Z", "to": "x"}',
		'{"limit": 1e400}', '{"limit": -9223372036854775809}', '{"exclude": {"provider": "email"}}', '{"to": null, "a": {"b": [1, {"c": 2}]}}', '[[[[[]]]]]',
		'{"Executed": {"status": "Success"}}', '{"Throttled": {"retry_after": {"secs": 1}}}', '"Deduplicated"', '{"target": "staging"}',
		'{"action_ids": ["x", 1, null]}', '{"rate": 0.5, "max_records": 2, "provider": "email"}'])[1 + i % 18]::jsonb,
	(ARRAY['-infinity', 'infinity', '4713-01-01 BC', '294276-12-31', '2026-01-15 12:00Z', '2026-01-15 13:00Z', '0001-01-01Z', '2000-01-01'])[1 + i % 8]::timestamptz,
	(ARRAY[0, 1, -1, 2, 10, 100, 1000, 2147483647, -2147483648])[1 + i % 9],
	(ARRAY[0, 1, 2, 3, -1, 9223372036854775807, -9223372036854775808])[1 + i % 7],
	(ARRAY['0', '1', '-1', '0.001', '1e300', 'NaN', 'Infinity', '100'])[1 + i % 8]::numeric,
	(ARRAY['0', '1 s', '-1 s', '1 day', '100000000 years', '5 min', '-178000000 years', '1 mon'])[1 + i % 8]::interval,
	coalesce((SELECT action_id FROM claimed ORDER BY outbox_id OFFSET i LIMIT 1), gen_random_uuid()), i % 2 = 0,
	(ARRAY['{}', '{acme}', '{acme,NULL}', '{"*"}', '{{a,b},{c,d}}', '[5:6]={x,y}', '{"timeout","400: x"}'])[1 + i % 7]::text[],
	CASE i % 5 WHEN 0 THEN '{}' WHEN 1 THEN '{1,NULL}' WHEN 2 THEN '{{1,2},{3,4}}' WHEN 3 THEN (SELECT array_agg(outbox_id) FROM claimed) ELSE (SELECT array_agg(lease_token) FROM claimed) END::bigint[],
	(ARRAY['{}', '{NULL}', '{"\"Deduplicated\"","1"}', '{"{}"}'])[1 + i % 4]::jsonb[],
	(ARRAY['{}', '{NULL}', '{"1 s","-1 day"}', '{"178000000 years"}'])[1 + i % 4]::interval[],
	CASE i % 3 WHEN 0 THEN '{}' WHEN 1 THEN '{NULL}' ELSE (SELECT array_agg(action_id) FROM claimed) END::uuid[],
	(ARRAY['oncall', 'smith', 'postgres', 'auditor'])[1 + i % 4]::regrole
FROM generate_series(1, 500) AS i;
GRANT SELECT ON smith.words TO smith;

-- Functions of at most four of the arguments, drawn by a hash.
DO $$
DECLARE
	f record;
	variant integer;
	taken integer[];
	passed text;
	required integer;
BEGIN
	FOR f IN SELECT p.oid, p.proname, p.pronargs, p.pronargdefaults, p.prokind, p.proretset,
			coalesce(p.proallargtypes::oid[], ARRAY(SELECT unnest(p.proargtypes))) AS types, p.proargnames AS names,
			coalesce(p.proargmodes, array_fill('i'::"char", ARRAY[greatest(p.pronargs, 1)])) AS modes
		FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
			JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'acteon_replay'
		WHERE p.prorettype <> 'trigger'::regtype AND p.prokind IN ('f', 'p') AND p.prorettype <> 'cstring'::regtype
			AND NOT p.proargtypes::oid[] && '{cstring,internal}'::regtype[]::oid[]
	LOOP
		required := f.pronargs - f.pronargdefaults;
		FOR variant IN 0..(CASE WHEN f.pronargdefaults > 4 THEN 19 WHEN f.pronargdefaults > 0 THEN 4 ELSE 0 END) LOOP
			-- Of the arguments that can be left out: one in the first variant, up to four in others.
			SELECT coalesce(array_agg(i ORDER BY i), '{}') INTO taken
			FROM (SELECT i FROM generate_subscripts(f.types, 1) AS i WHERE f.modes[i] IN ('i', 'b')
				ORDER BY i > required, md5(format('%s %s %s', f.proname, variant, i)) LIMIT required + least(f.pronargdefaults, variant % 5)) AS t;
			SELECT string_agg(CASE WHEN f.names[i] <> '' THEN format('%I => $%s', f.names[i], n) ELSE '$' || n END, ', ' ORDER BY n) INTO passed
			FROM unnest(taken) WITH ORDINALITY AS a (i, n);
			EXECUTE format('CREATE FUNCTION smith.%I(%s) RETURNS %s VOLATILE LANGUAGE %s AS %L', left(f.proname, 50) || '_' || f.oid || '_' || variant,
				(SELECT string_agg(format_type(f.types[i], NULL), ', ' ORDER BY n) FROM unnest(taken) WITH ORDINALITY AS a (i, n)),
				CASE WHEN f.prokind = 'p' THEN 'void' ELSE 'jsonb' END, CASE WHEN f.prokind = 'p' THEN 'plpgsql' ELSE 'sql' END,
				CASE WHEN f.prokind = 'p' THEN format('BEGIN EXECUTE %L%s; END', format('CALL %I(%s)', f.proname, passed),
						(SELECT ' USING ' || string_agg('$' || n, ', ' ORDER BY n) FROM unnest(taken) WITH ORDINALITY AS a (i, n)))
					ELSE format('SELECT to_jsonb(r) FROM (SELECT * FROM %I(%s) LIMIT 50) AS r', f.proname, passed) END);
		END LOOP;
	END LOOP;
END
$$;

-- A call of any of the functions, with values of the words, drawn at random.
CREATE FUNCTION smith.any_value(type oid) RETURNS text VOLATILE LANGUAGE sql AS $$
	SELECT CASE type::regtype
		WHEN 'text'::regtype THEN CASE WHEN random() < 0.2 THEN n ELSE t END WHEN 'jsonb'::regtype THEN j::text WHEN 'timestamptz'::regtype THEN at::text
		WHEN 'integer'::regtype THEN i::text WHEN 'bigint'::regtype THEN b::text WHEN 'numeric'::regtype THEN x::text WHEN 'double precision'::regtype THEN x::text
		WHEN 'interval'::regtype THEN d::text WHEN 'uuid'::regtype THEN u::text WHEN 'boolean'::regtype THEN yes::text WHEN 'text[]'::regtype THEN ta::text
		WHEN 'bigint[]'::regtype THEN ba::text WHEN 'jsonb[]'::regtype THEN ja::text WHEN 'interval[]'::regtype THEN da::text WHEN 'uuid[]'::regtype THEN ua::text
		WHEN 'regrole'::regtype THEN r::text WHEN 'json'::regtype THEN j::text WHEN 'bytea'::regtype THEN sha256(convert_to(t, 'UTF8'))::text
		WHEN 'timestamptz[]'::regtype THEN ARRAY[at, NULL, at]::text WHEN 'time'::regtype THEN (ARRAY['00:00', '24:00', '23:59:59.999999'])[1 + abs(i % 3)] ELSE CASE WHEN random() < 0.5 THEN t END END
	FROM smith.words OFFSET floor(random() * 500)::integer LIMIT 1
$$;
CREATE VIEW smith.calls AS
SELECT format(CASE WHEN p.prokind = 'p' THEN 'CALL %s(%s)' ELSE 'SELECT * FROM %s(%s)' END, p.oid::regproc, (
		SELECT string_agg(format(CASE WHEN names[i] <> '' THEN '%1$I => ' ELSE '' END || '%2$L::%3$s', names[i],
			CASE WHEN random() > 0.05 THEN smith.any_value(types[i]) END, format_type(types[i], NULL)), ', ' ORDER BY i)
		FROM generate_subscripts(types, 1) AS i
		WHERE coalesce(modes[i], 'i') IN ('i', 'b') AND (i <= p.pronargs - p.pronargdefaults OR random() < least(1, 3.0 / p.pronargs)))) AS statement
FROM (SELECT p.*, coalesce(proallargtypes::oid[], ARRAY(SELECT unnest(proargtypes))) AS types, proargnames AS names, proargmodes AS modes
	FROM pg_catalog.pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
		JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'acteon_replay'
	WHERE prorettype <> 'trigger'::regtype AND NOT proargtypes::oid[] && '{internal}'::regtype[]::oid[]) AS p, generate_series(1, 10);
GRANT SELECT ON smith.calls TO smith;

-- What sqlsmith takes for the catalogue: the wrappers, the extension's functions, and some of the server's that change
-- nothing, of types that have operators.
CREATE VIEW smith.pg_proc AS
SELECT p.* FROM pg_catalog.pg_proc AS p
WHERE p.pronamespace = 'smith'::regnamespace OR (p.proname LIKE 'acteon%' AND p.pronamespace <> 'pg_catalog'::regnamespace)
	OR (p.pronamespace = 'pg_catalog'::regnamespace AND p.provolatile = 'i' AND p.prokind = 'f' AND p.oid::integer % 4 = 0
		AND p.prorettype || p.proargtypes::oid[]
			<@ '{boolean,smallint,integer,bigint,numeric,text,jsonb,timestamptz,interval,uuid,text[],bigint[]}'::regtype[]::oid[]);
GRANT SELECT ON smith.pg_proc TO smith;
ALTER DATABASE postgres SET search_path = smith, pg_catalog, public;
ALTER DATABASE postgres SET statement_timeout = '2s';
-- Of ranges and enumerations, which there are none of, it only makes what cannot be parsed; the cluster is a private one.
SET allow_system_table_mods = on;
DELETE FROM pg_catalog.pg_operator
WHERE oprleft = ANY ('{anyrange,anymultirange,anyenum,point,polygon}'::regtype[]) OR oprright = ANY ('{anyrange,anymultirange,anyenum,point,polygon}'::regtype[]);
