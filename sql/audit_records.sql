-- acteon_audit_record and acteon_audit_records: records in the form of the gateway's interface, for those whom grants cover.
SET timezone = 'Asia/Kathmandu';
SET datestyle = 'SQL, DMY';
SET extra_float_digits = 0;
\pset format unaligned
CALL clean();
CREATE ROLE viewer_acme;
CREATE ROLE operator_email;
CREATE ROLE admin_all;
CREATE ROLE nobody;
CREATE ROLE only_gateway;
CREATE ROLE many_tenants;
GRANT USAGE ON SCHEMA public TO viewer_acme, operator_email, admin_all, nobody, only_gateway, many_tenants;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
	('viewer_acme', 'viewer', '{acme}', '{*}', '{*}', '{*}'),
	('operator_email', 'operator', '{acme,globex}', '{prod}', '{email}', '{*}'),
	-- what these two cover is less than what they name together
	('operator_email', 'viewer', '{acme-corp}', '{test}', '{sms}', '{*}'),
	('many_tenants', 'viewer', ARRAY(SELECT 't' || n FROM generate_series(1, 60) AS n) || '{acme}'::text[], '{*}', '{*}', '{*}'),
	('admin_all', 'admin', '{*}', '{*}', '{*}', '{*}'),
	('only_gateway', 'gateway', '{*}', '{*}', '{*}', '{*}');

-- All columns, with all kinds of values: members by name, no blanks, what is empty left out or null.
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, matched_rule, outcome, action_payload, verdict_details,
	outcome_details, metadata, dispatched_at, completed_at, duration_ms, expires_at, caller_id, auth_method, chain_id, record_hash, previous_hash,
	sequence_number, attachment_metadata, signature, signer_id, canonical_hash, kid)
VALUES ('full', e'say "no"\té/😀', 'prod', 'acme', 'email', 'send_email', 'allow', 'quiet', 'executed', '{"to": "a@b", "a": [1, {"z": null, "bb": true}], "é": "\u0001\n"}',
	'{"verdict": "allow"}', '{"status": "Success"}', '{"k": "v"}', '2026-01-02 03:04:05.678901+00', '2026-01-02 03:04:06.67+00', 42, '2027-01-01 00:00+00',
	'client', 'api_key', 'c-1', 'h1', 'h0', 7, '[{"id": "f", "name": "n", "size_bytes": 1}]', 'sig', 'ops', 'c', 'k0');
SELECT acteon_audit_record(e'say "no"\té/😀');
SELECT make_record('plain', payload => NULL);
SELECT acteon_audit_record('plain');
SELECT make_record('null', payload => 'null', at => '0001-01-01 00:00:00.5+00');
SELECT acteon_audit_record('null') ->> 'action_payload' AS payload, acteon_audit_record('null') ->> 'dispatched_at' AS at;
SELECT make_record('forever', at => 'infinity');
SELECT acteon_audit_record('forever') ->> 'dispatched_at' AS at;
UPDATE acteon_audit SET attachment_metadata = '{"no": "array"}', duration_ms = -1 WHERE action_id = 'plain';
SELECT acteon_audit_record('plain') -> 'attachment_metadata' AS attachments, acteon_audit_record('plain') ->> 'duration_ms' AS duration;

-- Numbers, as the gateway reads and prints them.
SELECT make_record('numbers', payload => ('[' || string_agg(n, ',' ORDER BY i) || ']')::jsonb)
FROM unnest(ARRAY['0', '-0', '1', '-1', '0.0', '-0.0', '12.0', '1.50', '18446744073709551615', '18446744073709551616', '-9223372036854775808', '-9223372036854775809',
	'1e15', '1e16', '1e19', '1e20', '1e21', '1.5e21', '123456789012345680000', '0.1', '0.00001', '0.000001', '1e-7', '1.25e-7', '123456.789', '1e308', '1e309', '1.7976931348623157e308', '5e-324', '1e-400',
	'3.141592653589793', '0.30000000000000004', '9007199254740993.0', '2.2250738585072014e-308', '12345678901234567890.5', '18446744073709551614.99', '100.0']) WITH ORDINALITY AS v (n, i);
SELECT row_number() OVER () AS n, value::text FROM json_array_elements(acteon_audit_record('numbers') -> 'action_payload');

-- Which record of an action: the newest, and the outcome rather than the intent.
SELECT make_record('twice', outcome => 'scheduled', at => '2026-01-01 12:00+00'), make_record('twice', outcome => 'executed', at => '2026-01-01 13:00+00');
SELECT make_record('soc2', outcome => 'pending', id => 'z-intent'), make_record('soc2', outcome => 'failed', id => 'a');
SELECT make_record('lone', outcome => 'pending');
SELECT a ->> 'id' AS id, a ->> 'outcome' AS outcome FROM unnest(ARRAY['twice', 'soc2', 'lone']) AS id CROSS JOIN acteon_audit_record(id) AS a;

-- Who may: any grant to read that covers the record.
SELECT make_record('acme-1'), make_record('below', tenant => 'acme.eu'), make_record('corp', tenant => 'acme-corp'), make_record('dot', tenant => 'acme.'),
	make_record('globex-1', tenant => 'globex'), make_record('sms', provider => 'sms'), make_record('test', namespace => 'test');
CREATE FUNCTION pg_temp.as_role(who regrole, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE 'SET LOCAL ROLE ' || who;
	BEGIN
		EXECUTE statement INTO answer;
	EXCEPTION WHEN OTHERS THEN
		answer := SQLSTATE || ': ' || SQLERRM;
	END;
	SET LOCAL ROLE NONE;
	RETURN answer;
END
$$;
SELECT who, string_agg(format('%s: %s', id, pg_temp.as_role(who::regrole, format('SELECT acteon_audit_record(%L) ->> ''action_id''', id))), e'\n' ORDER BY n) AS answers
FROM unnest(ARRAY['viewer_acme', 'operator_email', 'admin_all', 'nobody', 'only_gateway']) AS who
	CROSS JOIN unnest(ARRAY['acme-1', 'below', 'corp', 'dot', 'globex-1', 'sms', 'test', 'missing']) WITH ORDINALITY AS i (id, n) GROUP BY who ORDER BY who COLLATE "C";
SELECT acteon_audit_record(NULL);
SELECT acteon_audit_record(repeat('x', 1000));

-- Lists.
CREATE FUNCTION pg_temp.ids(page json) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s of %s: %s', json_array_length(page -> 'records'), coalesce(page ->> 'total', '?'), (SELECT string_agg(r ->> 'action_id', ' ' ORDER BY n) FROM json_array_elements(page -> 'records') WITH ORDINALITY AS x (r, n)))
$$;
TRUNCATE acteon_audit;
SELECT acteon_audit_records();
SELECT count(make_record('r-' || lpad(n::text, 2, '0'), at => '2026-01-01 12:00+00'::timestamptz + n * interval '100 us', tenant => (ARRAY['acme', 'acme.eu', 'globex', 'acme-corp', 'acme_x', 'acme.'])[1 + n % 6],
	provider => (ARRAY['email', 'sms'])[1 + n % 2], outcome => (ARRAY['failed', 'executed', 'pending', 'circuit_open'])[1 + n % 4], namespace => (ARRAY['prod', 'test'])[1 + n / 20])) FROM generate_series(0, 29) AS n;
UPDATE acteon_audit SET signer_id = 'ops', kid = 'k' || right(action_id, 1) WHERE action_id ~ '1$';
SELECT regexp_replace(acteon_audit_records(max_records => 1)::text, '"records":.*\]', '"records":[…]') AS page;
SELECT filter, pg_temp.ids(page) FROM (
	SELECT 'all' AS filter, acteon_audit_records() AS page
	UNION ALL SELECT 'namespace', acteon_audit_records('test')
	UNION ALL SELECT 'tenant', acteon_audit_records(tenant => 'acme')
	UNION ALL SELECT 'provider', acteon_audit_records(provider => 'sms')
	UNION ALL SELECT 'outcome', acteon_audit_records(outcome => 'failed')
	UNION ALL SELECT 'outcomes', acteon_audit_records(outcome => 'failed, pending')
	UNION ALL SELECT 'no outcome', acteon_audit_records(outcome => '')
	UNION ALL SELECT 'no tenant', acteon_audit_records(tenant => '')
	UNION ALL SELECT 'signer', acteon_audit_records(signer_id => 'ops')
	UNION ALL SELECT 'kid', acteon_audit_records(signer_id => 'ops', kid => 'k1', namespace => 'prod')
	UNION ALL SELECT 'caller, chain, rule', acteon_audit_records(caller_id => 'x', chain_id => 'y', matched_rule => 'z', verdict => 'v', action_type => 't')
	UNION ALL SELECT 'times', acteon_audit_records(from_time => '2026-01-01 12:00:00.0005+00', to_time => '2026-01-01 12:00:00.0007+00')
	UNION ALL SELECT 'skip', acteon_audit_records(skip => 27)
	UNION ALL SELECT 'skip too many', acteon_audit_records(skip => 2147483647, max_records => 1000)
	UNION ALL SELECT 'skip in between', acteon_audit_records(skip => 5, max_records => 2)) AS lists;
SELECT who, pg_temp.as_role(who::regrole, $$SELECT pg_temp.ids(acteon_audit_records())$$) AS list FROM unnest(ARRAY['viewer_acme', 'operator_email', 'many_tenants', 'admin_all', 'nobody', 'only_gateway']) AS who;
SELECT who, tenant, pg_temp.as_role(who::regrole, format('SELECT pg_temp.ids(acteon_audit_records(tenant => %L))', tenant)) AS list
FROM unnest(ARRAY['viewer_acme', 'operator_email', 'many_tenants']) AS who CROSS JOIN unnest(ARRAY['acme', 'acme.eu', 'acme-corp', 'acme.', 'globex', 'nobody']) AS tenant;

-- Page by page, of any size: everything once, though a cursor has only milliseconds.
CREATE FUNCTION pg_temp.pages(size integer, VARIADIC filters text[] DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	page json;
	seen text := '';
	pages integer := 0;
BEGIN
	LOOP
		page := acteon_audit_records(max_records => size, cursor => page ->> 'next_cursor', outcome => filters[1]);
		seen := concat_ws(' ', seen, (SELECT string_agg(r ->> 'action_id', ' ' ORDER BY n) FROM json_array_elements(page -> 'records') WITH ORDINALITY AS x (r, n)));
		pages := pages + 1;
		EXIT WHEN page ->> 'next_cursor' IS NULL OR pages > 100;
	END LOOP;
	RETURN format('%s pages: %s', pages, md5(seen));
END
$$;
SELECT size, pg_temp.pages(size) FROM unnest(ARRAY[1, 2, 3, 7, 10, 29, 30, 31, 1000]) AS size;
SELECT size, pg_temp.as_role('operator_email', format('SELECT pg_temp.pages(%s)', size)) FROM unnest(ARRAY[1, 2, 1000]) AS size;
-- a thousand of one time, by their ids, and of many others between few of one's own
SELECT count(make_record('same-' || n, at => '2026-01-03 12:00+00', tenant => CASE WHEN n % 400 = 0 THEN 'acme' ELSE 'other' END, id => 'id-' || lpad(n::text, 5, '0'))) FROM generate_series(1, 3000) AS n;
SELECT pg_temp.pages(1000), pg_temp.as_role('viewer_acme', 'SELECT pg_temp.pages(2)'), pg_temp.as_role('viewer_acme', 'SELECT pg_temp.pages(1000)'),
	pg_temp.as_role('viewer_acme', 'SELECT pg_temp.ids(acteon_audit_records(skip => 5, max_records => 3))') AS skipped;
DELETE FROM acteon_audit WHERE tenant = 'other';

-- The cursor is the gateway's; one whose record is gone goes on with its millisecond.
SELECT convert_from(decode(rpad(translate(c, '-_', '+/'), (length(c) + 3) / 4 * 4, '='), 'base64'), 'UTF8') AS cursor FROM (SELECT acteon_audit_records(max_records => 8) ->> 'next_cursor' AS c) AS x;
CREATE FUNCTION pg_temp.cursor(content text) RETURNS text LANGUAGE sql AS $$SELECT rtrim(translate(encode(convert_to(content, 'UTF8'), 'base64'), E'+/\n', '-_'), '=')$$;
SELECT c, pg_temp.ids(acteon_audit_records(namespace => 'prod', max_records => 4, cursor => pg_temp.cursor(c))) FROM unnest(ARRAY[
	'{"v":1,"k":"ts","t":1767268800001,"i":"rec-r-12-failed"}', '{"v":1,"k":"ts","t":1767268800001,"i":"gone"}', '{"v":1,"k":"ts","t":1767268800000,"i":"rec-r-12-failed"}', '{"v":1,"k":"ts","t":-1,"i":""}']) AS c;
-- one of a record that the caller may not read tells nothing of it
SELECT pg_temp.as_role('viewer_acme', format('SELECT pg_temp.ids(acteon_audit_records(max_records => 3, namespace => ''prod'', cursor => %L))', pg_temp.cursor(c))) FROM unnest(ARRAY[
	'{"v":1,"k":"ts","t":1767268800001,"i":"rec-r-15-circuit_open"}', '{"v":1,"k":"ts","t":1767268800001,"i":"rec-r-14-pending"}', '{"v":1,"k":"ts","t":1767268800001,"i":"gone"}']) AS c;
SELECT c, attempt(format('SELECT acteon_audit_records(cursor => %L)', c)) FROM unnest(ARRAY['', 'garbage', 'e30', 'bnVsbA', 'not base64!', pg_temp.cursor('{"v":2,"k":"ts","t":1,"i":"x"}'), pg_temp.cursor('{"v":1,"k":"seq","s":1,"i":"x"}'),
	pg_temp.cursor('{"v":1,"k":"ts","t":"1","i":"x"}'), pg_temp.cursor('{"v":1,"k":"ts","t":1e300,"i":"x"}'), pg_temp.cursor('{"v":1,"k":"ts","t":9223372036854775807,"i":"x"}'), pg_temp.cursor('{"v":1,"k":"ts","t":1,"i":"\u0000"}'), pg_temp.cursor('[1]'), '_w']) AS c;
SELECT call, attempt('SELECT acteon_audit_records(' || call || ')') FROM unnest(ARRAY['max_records => 0', 'max_records => 1001', 'skip => -1', 'from_time => ''infinity''', 'outcome => ''failed,,x''', 'to_time => ''5000-01-01 BC''']) AS call;
SELECT pg_temp.ids(acteon_audit_records(max_records => NULL, skip => NULL, namespace => 'prod', outcome => 'failed'));

-- An older gateway's table.
ALTER TABLE acteon_audit RENAME TO newer_audit;
CREATE TABLE acteon_audit (LIKE newer_audit INCLUDING DEFAULTS);
INSERT INTO acteon_audit SELECT * FROM newer_audit WHERE action_id = 'r-05';
ALTER TABLE acteon_audit DROP COLUMN caller_id, DROP COLUMN auth_method, DROP COLUMN chain_id, DROP COLUMN record_hash, DROP COLUMN previous_hash, DROP COLUMN sequence_number, DROP COLUMN attachment_metadata,
	DROP COLUMN signature, DROP COLUMN signer_id, DROP COLUMN canonical_hash, DROP COLUMN kid;
SELECT acteon_audit_record('r-05');
SELECT attempt('SELECT acteon_audit_records(signer_id => ''ops'')'), attempt('SELECT acteon_audit_records(caller_id => ''x'')');
ALTER TABLE acteon_audit ALTER completed_at TYPE text;
SELECT attempt('SELECT acteon_audit_record(''r-05'')');
DROP TABLE acteon_audit;
SELECT attempt('SELECT acteon_audit_record(''r-05'')'), attempt('SELECT acteon_audit_records()');
ALTER TABLE newer_audit RENAME TO acteon_audit;

DROP OWNED BY viewer_acme, operator_email, admin_all, nobody, only_gateway, many_tenants;
DELETE FROM acteon_grants WHERE grantee::text ~ '^(viewer_acme|operator_email|admin_all|only_gateway|many_tenants)$';
DROP ROLE viewer_acme, operator_email, admin_all, nobody, only_gateway, many_tenants;
CALL clean();
