-- Plans: what a preview has shown is replayed exactly so, or not at all.
\set VERBOSITY terse
SET timezone = 'UTC';
SET datestyle = 'ISO';
CALL clean();
CREATE ROLE regress_acteon_plan;
CREATE ROLE regress_acteon_plan_2 IN ROLE regress_acteon_plan;
CREATE ROLE regress_acteon_plan_backup IN ROLE pg_read_all_data;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
	('regress_acteon_plan', 'operator', '{acme}', '{*}', '{*}', '{*}'), ('regress_acteon_plan', 'operator', '{globex}', '{*}', '{*}', '{*}');
-- The plan of a query, and what a bulk replay says to a plan; what it comes to is undone.
CREATE FUNCTION pg_temp.plan(query jsonb) RETURNS text LANGUAGE sql AS $$SELECT acteon_replay_preview(query) ->> 'plan'$$;
CREATE FUNCTION pg_temp.says(plan text, more jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb;
	detail text;
BEGIN
	answer := acteon_replay_bulk(more || jsonb_build_object('plan', plan));
	RAISE EXCEPTION USING ERRCODE = 'ZZ002', MESSAGE = format('%s replayed, %s failed, %s skipped', answer -> 'replayed', answer -> 'failed', answer -> 'skipped');
EXCEPTION
	WHEN SQLSTATE 'ZZ002' THEN
		RETURN SQLERRM;
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
		RETURN concat_ws(' ', SQLSTATE || ':', SQLERRM || '.', nullif(detail, ''));
END
$$;
-- What is in a plan, and a plan with other contents and the seal of this installation: HMAC-SHA-256 made by hand.
CREATE FUNCTION pg_temp.contents(plan text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT convert_from(decode(rpad(translate(p, '-_', '+/'), (length(p) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::jsonb FROM split_part(plan, '.', 2) AS p
$$;
CREATE FUNCTION pg_temp.hmac(key bytea, message bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
	inner_pad bytea := decode(repeat('36', 64), 'hex');
	outer_pad bytea := decode(repeat('5c', 64), 'hex');
BEGIN
	FOR i IN 0 .. length(key) - 1 LOOP
		inner_pad := set_byte(inner_pad, i, get_byte(inner_pad, i) # get_byte(key, i));
		outer_pad := set_byte(outer_pad, i, get_byte(outer_pad, i) # get_byte(key, i));
	END LOOP;
	RETURN sha256(outer_pad || sha256(inner_pad || message));
END
$$;
CREATE FUNCTION pg_temp.seal(contents text, OUT plan text) LANGUAGE sql SECURITY DEFINER AS $$
	SELECT format('plan.%s.%s', e, left(encode(pg_temp.hmac(key, e::bytea), 'hex'), 32))
	FROM acteon_replay_secret, rtrim(translate(encode(convert_to(contents, 'UTF8'), 'base64'), E'+/\n', '-_'), '=') AS e
$$;
GRANT EXECUTE ON FUNCTION pg_temp.seal(text) TO regress_acteon_plan;

SELECT count(make_record('a-' || n, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s')) FROM generate_series(1, 10) AS n;
SELECT make_record('g-1', at => '2026-01-01 12:00:05+00', tenant => 'globex'), make_record('i-1', at => '2026-01-01 12:00:06+00', tenant => 'initech'), make_record('x-1', at => '2026-01-01 12:00:07+00', provider => 'sms');
-- nobody else reads the secret, and no dump has it
SELECT has_table_privilege('regress_acteon_plan', 'acteon_replay_secret', 'SELECT'), (SELECT count(*) FROM acteon_replay_secret WHERE length(key) = 32),
	(SELECT 'acteon_replay_secret'::regclass = ANY (extconfig) FROM pg_extension WHERE extname = 'acteon_replay') AS dumped;
SET ROLE regress_acteon_plan_backup;
SELECT count(*) FROM acteon_replay_secret;

SET ROLE regress_acteon_plan;
-- the preview has a plan, which says when it ends, in both forms, and in a transaction that writes nothing
BEGIN READ ONLY;
SELECT section, item ~ '^until 2' AS until, note ~ '^plan\.[A-Za-z0-9_-]+\.[0-9a-f]{32}$' AS looks_so FROM acteon_replay_preview(outcome => 'failed') WHERE section = 'plan';
SELECT (pg_temp.contents(pg_temp.plan('{"outcome": "failed", "provider": "email"}')) #- '{query,to}') - '{caller,database,system,expires,digest}'::text[] AS contents;
COMMIT;
-- it is sealed as the documentation says
SELECT pg_temp.seal(pg_temp.contents(p)::text) = p AS same FROM pg_temp.plan('{"tenant": "acme"}') AS p;
-- none where nothing is there, or is replayed
SELECT section FROM acteon_replay_preview(outcome => 'failed', tenant => 'no one') WHERE section = 'plan';
SELECT acteon_replay_preview('{}'::jsonb) -> 'plan' AS no_filter, acteon_replay_preview('{"outcome": "executed"}'::jsonb) -> 'plan' AS effective;

-- a plan alone, with the same query, and with a reason
SELECT pg_temp.says(pg_temp.plan('{"outcome": "failed", "provider": "email"}'));
SELECT m.more, pg_temp.says(pg_temp.plan('{"outcome": "failed", "provider": "email", "from": "2026-01-01T12:00:02Z", "rate": 5}'), m.more)
FROM unnest('{"{\"outcome\": \"failed\", \"provider\": \"email\", \"from\": \"2026-01-01T12:00:02Z\", \"rate\": 5}","{\"reason\": \"why\"}","{\"outcome\": \"failed\", \"provider\": \"email\"}","{\"rate\": 50}","{\"provider\": \"sms\"}","{\"lost\": true}"}'::jsonb[]) AS m (more);
-- what the preview has added may be given or not
SELECT pg_temp.says(p, '{"tenant": "acme"}'), pg_temp.says(p, '{"tenant": "acme", "to": "2100-01-01T00:00:00Z"}') AS later_end, pg_temp.says(p, '{"tenant": "acme", "to": "2026-01-01T13:00:00Z"}') AS earlier_end,
	pg_temp.says(p, '{"tenant": "acme", "limit": 50}') AS another_limit FROM pg_temp.plan('{"tenant": "acme"}') AS p;

-- forged and damaged: whichever character is another one, and whatever it is instead
SELECT left(says, 5) AS says, count(*) > 500 AS many FROM (SELECT overlay(p PLACING CASE substr(p, i, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM i FOR 1) AS damaged FROM pg_temp.plan('{"tenant": "acme"}') AS p, generate_series(1, length(p)) AS i) AS d, pg_temp.says(damaged) GROUP BY 1;
SELECT DISTINCT pg_temp.says(v) FROM pg_temp.plan('{"tenant": "acme"}') AS p, unnest(ARRAY['', 'plan', 'plan.', 'plan..', 'plan.e30.' || repeat('0', 32), p || 'A', left(p, -1), upper(p), ' ' || p, split_part(p, '.', 1) || '..' || split_part(p, '.', 3), p || '.' || p]) AS v;
-- sealed, but not by a preview
SELECT DISTINCT pg_temp.says(pg_temp.seal(c)) FROM unnest(ARRAY['{}', '[]', '{"reasons": 1}', (pg_temp.contents(pg_temp.plan('{"tenant": "acme"}')) - 'expires')::text, jsonb_set(pg_temp.contents(pg_temp.plan('{"tenant": "acme"}')), '{matched}', '"x"')::text]) AS c;
-- expired, of another database, of another server, of another role
SELECT pg_temp.says(pg_temp.seal((pg_temp.contents(p) || c)::text)) FROM pg_temp.plan('{"tenant": "acme"}') AS p, unnest(ARRAY[jsonb_build_object('expires', (extract(epoch FROM now() - timestamptz '2000-01-01') * 1e6)::bigint), '{"database": 1}', '{"system": 1}', '{"caller": 1}']) AS c;
SELECT (pg_temp.contents(pg_temp.plan('{"tenant": "acme"}')) ->> 'expires')::bigint / 1e6 - extract(epoch FROM now() - timestamptz '2000-01-01') BETWEEN 3599 AND 3700 AS an_hour;
SELECT pg_temp.plan('{"tenant": "acme"}') AS plan \gset
SET ROLE regress_acteon_plan_2;
SELECT pg_temp.says(:'plan');
RESET ROLE;
SELECT pg_temp.says(:'plan');

-- records come, go, are others, and are replayed; grants go
SET ROLE regress_acteon_plan;
SELECT pg_temp.plan('{"outcome": "failed", "provider": "email", "from": "2026-01-01T12:00:00Z", "to": "2026-01-01T13:00:00Z"}') AS plan \gset
RESET ROLE;
CREATE FUNCTION pg_temp.meanwhile(statement text, plan text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	said text;
BEGIN
	EXECUTE statement;
	SET LOCAL ROLE regress_acteon_plan;
	said := pg_temp.says(plan);
	RAISE EXCEPTION USING MESSAGE = said, ERRCODE = 'ZZ001';
EXCEPTION WHEN SQLSTATE 'ZZ001' THEN
	RETURN SQLERRM;
END
$$;
SELECT statement, pg_temp.meanwhile(statement, :'plan') AS says FROM unnest(ARRAY['SELECT 1',
	$$SELECT make_record('a-11', at => '2026-01-01 12:00:08.5+00')$$,
	$$SELECT make_record('a-11', at => '2026-01-01 12:59:59+00', payload => NULL), make_record('a-12', at => '2026-01-01 12:00:00+00')$$,
	$$DELETE FROM acteon_audit WHERE action_id = 'a-3'$$,
	$$UPDATE acteon_audit SET outcome = 'suppressed' WHERE action_id IN ('a-3', 'a-4')$$,
	$$DELETE FROM acteon_audit WHERE action_id = 'a-3'; SELECT make_record('a-33', at => '2026-01-01 12:00:03+00')$$,
	$$DELETE FROM acteon_audit WHERE action_id = 'i-1'; SELECT make_record('i-2', at => '2026-01-01 12:00:06+00', tenant => 'initech')$$,
	$$DELETE FROM acteon_audit WHERE action_id = 'a-10'; SELECT make_record('a-10', at => '2026-01-01 12:00:11+00')$$,
	$$UPDATE acteon_audit SET action_payload = '"[REDACTED]"' WHERE action_id = 'a-5'$$,
	$$SELECT acteon_replay_bulk(tenant => 'acme', max_records => 3)$$,
	$$DELETE FROM acteon_grants WHERE grantee = 'regress_acteon_plan'::regrole AND tenants = '{globex}'$$,
	$$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('regress_acteon_plan', 'operator', '{initech}', '{*}', '{*}', '{*}')$$,
	$$DELETE FROM acteon_grants WHERE grantee = 'regress_acteon_plan'::regrole$$]) AS statement;
-- what nobody asked for may come
SELECT pg_temp.meanwhile($$SELECT make_record('later', at => '2026-01-01 14:00+00'), make_record('sms', at => '2026-01-01 12:00:03+00', provider => 'sms')$$, :'plan');

-- any number: the batch is the plan's, and keeps its digest, as the log does
SET ROLE regress_acteon_plan;
\set VERBOSITY default
CALL acteon_replay_all(plan => :'plan', tenant => 'acme');
CALL acteon_replay_all(plan => 'plan.x.y');
\set VERBOSITY terse
CALL acteon_replay_all(plan => :'plan', reason => 'INC-1');
SELECT l.event, l.batch_id, l.reason, l.details - 'plan' AS details, b.plan = l.details ->> 'plan' AS same, b.plan ~ '^[0-9a-f]{16}$' AS looks_so, b.query - 'to' AS query, b.reason, b.matched
FROM acteon_replay_log AS l JOIN acteon_replay_batch AS b ON b.id = l.batch_id WHERE l.event <> 'start';
-- a second time nothing is left of it
\set VERBOSITY default
CALL acteon_replay_all(plan => :'plan');
\set VERBOSITY terse
-- nothing of a refused call is kept
SELECT count(*) AS batches FROM acteon_replay_batch;
-- in the wire form, with a rate beside it, and without results
SELECT pg_temp.plan('{"tenant": "acme", "provider": "sms", "rate": 100}') AS plan \gset
CALL acteon_replay_all(jsonb_build_object('plan', :'plan'), rate => 1);
CALL acteon_replay_run(jsonb_build_object('plan', :'plan'));
SELECT id, query - 'to' AS query, plan IS NOT NULL AS planned FROM acteon_replay_batch ORDER BY id;

-- a plan of a plan is previewed again; with newest first and from a cursor
SELECT pg_temp.contents(p) ->> 'matched' AS matched, pg_temp.contents(pg_temp.plan(jsonb_build_object('plan', p))) -> 'query' = pg_temp.contents(p) -> 'query' AS same
FROM pg_temp.plan('{"tenant": "acme", "include_replayed": true, "newest_first": true, "limit": 4}') AS p;
SELECT next_cursor AS cursor FROM acteon_replay_bulk(tenant => 'acme', include_replayed => true, max_records => 4) \gset
SELECT pg_temp.says(p), pg_temp.says(p, jsonb_build_object('tenant', 'acme', 'include_replayed', true, 'cursor', :'cursor')) AS same, pg_temp.says(p, '{"tenant": "acme", "include_replayed": true}') AS without
FROM pg_temp.plan(jsonb_build_object('tenant', 'acme', 'include_replayed', true, 'cursor', :'cursor')) AS p;
RESET ROLE;

-- above a number of records a plan is needed
CALL clean();
SELECT count(make_record('b-' || n, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s', tenant => CASE WHEN n > 1100 THEN 'globex' ELSE 'acme' END)) FROM generate_series(1, 1104) AS n;
SET acteon_replay.plan_above = 3;
SET ROLE regress_acteon_plan;
SET acteon_replay.plan_above = 5;
\set VERBOSITY default
SELECT acteon_replay_bulk(tenant => 'globex', to_time => '2026-01-02');
CALL acteon_replay_all(tenant => 'globex', to_time => '2026-01-02');
CALL acteon_replay_run('{"tenant": "globex", "to": "2026-01-02T00:00:00Z"}');
\set VERBOSITY terse
SELECT replayed FROM acteon_replay_bulk(tenant => 'globex', max_records => 3);
-- a batch that needs none does not grow beyond what was counted
CALL acteon_replay_all(tenant => 'globex', from_time => '2026-01-01 12:18:23+00', include_replayed => true);
SELECT matched, query -> 'limit' AS at_most FROM acteon_replay_batches ORDER BY batch_id DESC LIMIT 1;
SELECT pg_temp.plan('{"tenant": "acme"}') AS plan \gset
SELECT pg_temp.says(:'plan');
CALL acteon_replay_all(plan => :'plan');
SELECT pg_temp.plan('{"tenant": "globex", "include_replayed": true, "max_generation": 9, "max_depth": 9}') AS plan \gset
SELECT replayed FROM acteon_replay_bulk(plan => :'plan', tenant => 'globex', include_replayed => true, max_generation => 9, max_depth => 9);
-- … and not a second time
SELECT pg_temp.says(:'plan');
RESET ROLE;
RESET acteon_replay.plan_above;

-- another secret: plans of before are valid as long as the old one is there
SELECT pg_temp.plan('{"tenant": "globex", "include_replayed": true}') AS plan \gset
INSERT INTO acteon_replay_secret DEFAULT VALUES;
SELECT pg_temp.says(:'plan');
DELETE FROM acteon_replay_secret WHERE made_at < (SELECT max(made_at) FROM acteon_replay_secret);
SELECT pg_temp.says(:'plan'), pg_temp.says(pg_temp.plan('{"tenant": "globex", "include_replayed": true}')) AS new;
BEGIN;
DELETE FROM acteon_replay_secret;
SELECT attempt($$SELECT acteon_replay_preview(tenant => 'globex')$$);
ROLLBACK;

DELETE FROM acteon_grants WHERE grantee = 'regress_acteon_plan'::regrole;
REVOKE EXECUTE ON FUNCTION pg_temp.seal(text) FROM regress_acteon_plan;
DROP ROLE regress_acteon_plan_2, regress_acteon_plan, regress_acteon_plan_backup;
