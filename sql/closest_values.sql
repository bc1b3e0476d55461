-- A value that no record has is answered with the closest ones that exist, as far as the caller may see them.
CALL clean();
CREATE ROLE regress_acteon_close;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
	('regress_acteon_close', 'operator', '{acme}', '{*}', '{email,sms}', '{*}'), ('regress_acteon_close', 'viewer', '{initech}', '{*}', '{*}', '{*}');
SELECT count(make_record(format('%s %s %s', namespace, tenant, n), namespace => namespace, tenant => tenant, provider => provider, action_type => type, outcome => outcome, matched_rule => rule, chain_id => 'chain ' || n, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s'))
FROM (VALUES ('prod', 'acme', 'email', 'send_email', 'failed', 'quiet-hours'), ('prod', 'acme.eu-west', 'sms', 'send_text', 'suppressed', 'quiet-ours'), ('staging', 'acme', 'emails', 'send_secret', 'failed', 'secret-hours'),
	('prod', 'initech', 'fax', 'send_fax', 'odd outcome', 'fax-hours'), ('prod', 'globex', 'e-mail', 'send_e-mail', 'oddest outcome', 'globex-hours'), ('secret', 'acmes', 'smss', 'send_texts', 'failed', NULL)) AS r (namespace, tenant, provider, type, outcome, rule),
	generate_series(1, 3) AS n;
UPDATE acteon_audit SET caller_id = 'caller of ' || tenant;

-- What a preview shows of them, and what a replay says; the answer of a replay is what it was.
CREATE FUNCTION pg_temp.not_found(query jsonb) RETURNS TABLE (filter text, value text, closest jsonb) LANGUAGE sql AS
	$$SELECT f.* FROM jsonb_to_recordset(acteon_replay_preview(query) -> 'not_found') AS f (filter text, value text, closest jsonb)$$;
SELECT * FROM acteon_replay_preview(provider => 'emial', tenant => 'Acme', outcome => 'filed') WHERE section IN ('total', 'not found');
SELECT acteon_replay_bulk(provider => 'emial', tenant => 'acme');
SELECT acteon_replay_bulk('{"action_type": "send_mail"}'::jsonb);
CALL acteon_replay_all(tenant => 'globx', lost => true);
CALL acteon_replay_run('{"matched_rule": "quiet hours"}');
-- each filter
SELECT q.*, n.filter, n.closest FROM (VALUES (1, '{"namespace": "prd"}'::jsonb), (2, '{"tenant": "acme.eu"}'), (3, '{"provider": "mail"}'), (4, '{"action_type": "send-mail"}'), (5, '{"outcome": "failled,suppresed"}'),
	(6, '{"verdict": "alow"}'), (7, '{"matched_rule": "QUIET-HOURS"}'), (8, '{"caller_id": "caller of acm"}'), (9, '{"tenant": ""}')) AS q (n, query) LEFT JOIN LATERAL pg_temp.not_found(q.query) AS n ON true ORDER BY q.n, n.filter, n.value;
-- nothing is mistyped: it exists, alone or at another time, an outcome that the gateway has, the id of a chain
SELECT q.query, n.* FROM unnest(ARRAY['{"tenant": "initech", "provider": "sms"}'::jsonb, '{"tenant": "acme", "to": "2020-01-01T00:00:00Z"}', '{"outcome": "circuit_open,throttled"}', '{"chain_id": "chain 4"}', '{"tenant": "acme", "lost": true, "from": "2026-01-02T00:00:00Z"}',
	'{"lost": true, "certain": true, "matched_rule": "fax-hours"}', '{"from": "2026-01-02T00:00:00Z"}']) AS q (query) LEFT JOIN LATERAL pg_temp.not_found(q.query) AS n ON true;
-- a later page has nothing more to say
SELECT next_cursor AS cursor FROM acteon_replay_bulk(tenant => 'initech', max_records => 1, newest_first => true, allow_effective => true) \gset
DELETE FROM acteon_audit WHERE tenant = 'initech' AND action_id <> 'prod initech 3';
SELECT replayed FROM acteon_replay_bulk(tenant => 'initech', newest_first => true, allow_effective => true, cursor => :'cursor');

-- Grants: nothing is named of what they do not cover for reading.
SET ROLE regress_acteon_close;
SELECT acteon_replay_bulk(provider => 'e-mails');
SELECT q.query, n.filter, n.closest FROM unnest(ARRAY['{"namespace": "secrets"}'::jsonb, '{"tenant": "globe"}', '{"tenant": "acmess"}', '{"provider": "emailss"}', '{"provider": "faks"}', '{"action_type": "send_secrets"}', '{"action_type": "send_e-mails"}', '{"outcome": "oddest outcomes"}',
	'{"matched_rule": "globex-hour"}', '{"matched_rule": "secret-hour"}', '{"caller_id": "caller of globe"}']) AS q (query) LEFT JOIN LATERAL pg_temp.not_found(q.query) AS n ON true;
-- that a value exists is no secret to who names it: its records are counted
SELECT q.query, n.filter, n.closest, acteon_replay_preview(q.query) -> 'not_covered' AS not_covered FROM unnest(ARRAY['{"tenant": "globex"}'::jsonb, '{"tenant": "globex", "provider": "sms"}']) AS q (query) LEFT JOIN LATERAL pg_temp.not_found(q.query) AS n ON true;
RESET ROLE;
-- who may read nothing of what there is hears nothing
UPDATE acteon_grants SET tenants = '{nobody}';
SET ROLE regress_acteon_close;
SELECT acteon_replay_bulk(provider => 'emial', tenant => 'acm', matched_rule => 'quiet');
RESET ROLE;

-- Values that are long, empty, odd or not there at all.
CALL clean();
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, verdict_details, outcome_details, dispatched_at, completed_at, duration_ms, matched_rule)
SELECT n, n, 'prod', CASE n WHEN 1 THEN repeat('long', 1000) WHEN 2 THEN repeat('é', 64) WHEN 3 THEN '' ELSE E'new\nline' END, CASE n WHEN 4 THEN repeat('email', 1000) ELSE 'email' END, 'send', 'allow', 'failed', '{}', '{}', '2026-01-01 12:00+00', '2026-01-01 12:00+00', 1, NULL
FROM generate_series(1, 4) AS n;
SELECT q.query, n.filter, n.closest FROM (VALUES ('{"tenant": "long"}'::jsonb), (jsonb_build_object('tenant', repeat('é', 63))), (jsonb_build_object('tenant', repeat('é', 65))), ('{"provider": ""}'), ('{"matched_rule": "r"}')) AS q (query) LEFT JOIN LATERAL pg_temp.not_found(q.query) AS n ON true;

-- It is found through the gateway's indexes, and reads a bounded number of records whatever there is.
CALL clean();
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, verdict_details, outcome_details, dispatched_at, completed_at, duration_ms, caller_id)
SELECT n, n, 'prod', 'tenant ' || n % 20, 'provider ' || n % 3, 'send', 'allow', CASE n % 2 WHEN 0 THEN 'failed' ELSE 'executed' END, '{}', '{}', timestamptz '2026-01-01 12:00+00' + n * interval '1 ms', now(), 1, CASE n WHEN 1 THEN 'the first' ELSE 'caller' END
FROM generate_series(1, 20000) AS n;
VACUUM ANALYZE acteon_audit;
BEGIN;
SELECT seq_scan AS scans, idx_tup_fetch AS records FROM pg_stat_xact_user_tables WHERE relname = 'acteon_audit' \gset
SELECT pg_temp.not_found('{"provider": "provder 1", "tenant": "tennant 7", "namespace": "prods", "outcome": "filed"}');
SELECT seq_scan - :scans AS scans, idx_tup_fetch - :records < 2000 AS few_records FROM pg_stat_xact_user_tables WHERE relname = 'acteon_audit';
COMMIT;
-- where no index has the column, only some of the newest are searched
SELECT acteon_replay_bulk(caller_id => 'the frst', provider => 'provider 1', tenant => 'nobody');
BEGIN;
DO $$ DECLARE i regclass; BEGIN FOR i IN SELECT indexrelid FROM pg_index WHERE indrelid = 'acteon_audit'::regclass AND NOT indisprimary LOOP EXECUTE format('DROP INDEX %s', i); END LOOP; END $$;
SELECT pg_temp.not_found('{"provider": "provder 1", "tenant": "tennant 7"}');
CREATE INDEX ON acteon_audit (provider);
CREATE INDEX ON acteon_audit (namespace, tenant DESC, dispatched_at);
CREATE INDEX ON acteon_audit (outcome, dispatched_at) WHERE outcome = 'failed';
SELECT pg_temp.not_found('{"provider": "provder 1", "tenant": "tennant 7"}');
ROLLBACK;

-- Of a table that is partitioned by time the newest partitions are read; a value is looked up in all of them.
CREATE TABLE parts (LIKE acteon_audit INCLUDING DEFAULTS) PARTITION BY RANGE (dispatched_at);
CREATE INDEX ON parts (provider, dispatched_at DESC);
CREATE INDEX ON parts (outcome, dispatched_at DESC);
CREATE INDEX ON parts (namespace, tenant, dispatched_at DESC);
CREATE INDEX ON parts (action_id);
SELECT format('CREATE TABLE parts_%s PARTITION OF parts FOR VALUES FROM (%L) TO (%L)', n, timestamptz '2026-01-01 00:00+00' + n * interval '1 day', timestamptz '2026-01-02 00:00+00' + n * interval '1 day') FROM generate_series(1, 9) AS n
\gexec
INSERT INTO parts (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, verdict_details, outcome_details, dispatched_at, completed_at, duration_ms)
SELECT n, n, 'prod', 'tenant ' || n, 'provider ' || n, 'send', 'allow', 'failed', '{}', '{}', timestamptz '2026-01-01 12:00+00' + n * interval '1 day', now(), 1 FROM generate_series(1, 9) AS n;
SET acteon_replay.audit_table = 'parts';
SELECT q.query, n.filter, n.closest FROM unnest(ARRAY['{"tenant": "tenat 1"}'::jsonb, '{"tenant": "tenant 1", "provider": "provider 2"}', '{"provider": "provder 2"}']) AS q (query) LEFT JOIN LATERAL pg_temp.not_found(q.query) AS n ON true;
RESET acteon_replay.audit_table;
DROP TABLE parts;
DELETE FROM acteon_grants;
DROP ROLE regress_acteon_close;
CALL clean();
