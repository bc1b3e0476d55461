-- Filters by hand-picked ids, by what is to be left out, by a tree of tenants, by error messages and by payloads: which
-- records they find, in every form, and what they refuse.
\set VERBOSITY terse
CALL clean();
-- which actions a query replays, in this order; nothing is kept
CREATE FUNCTION pg_temp.found(query jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb;
BEGIN
	answer := acteon_replay_bulk('{"limit": 1000}' || query);
	RAISE EXCEPTION USING ERRCODE = 'ZZ001',	-- undo
		MESSAGE = concat_ws('; ', coalesce((SELECT string_agg(coalesce(r ->> 'error', r ->> 'original_action_id'), ' ' ORDER BY n) FROM jsonb_array_elements(answer -> 'results') WITH ORDINALITY AS r (r, n)), 'nothing'),
			nullif(format('skipped %s', answer ->> 'skipped'), 'skipped 0'));
EXCEPTION WHEN SQLSTATE 'ZZ001' THEN
	RETURN SQLERRM;
END
$$;
-- what a preview counts of the same
CREATE FUNCTION pg_temp.counted(query jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', p ->> 'matched', p ->> 'replayable', nullif(p -> 'left_out', '{}'), nullif(p -> 'missing_ids', '{"count": 0, "first": []}')) FROM acteon_replay_preview(query) AS p
$$;
-- both, in one line; the replay and the preview agree on the number
CREATE FUNCTION pg_temp.tried(query jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN format('%s (%s)', pg_temp.found(query), pg_temp.counted(query));
EXCEPTION WHEN OTHERS THEN
	RETURN format('%s: %s', SQLSTATE, SQLERRM);
END
$$;

INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, matched_rule, outcome, action_payload, verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms)
SELECT 'rec-' || a.id || '-' || outcome, a.id, 'prod', tenant, provider, 'send', 'allow', rule, outcome, payload::jsonb, '{}', details::jsonb, '{}', '2026-01-01 12:00+00'::timestamptz + n * interval '1 min', now(), 1
FROM (VALUES
	(1, 'a', 'acme', 'email', NULL, 'failed', '{"to": "x@example.org", "template_id": 7}', '{"code": "TIMEOUT", "message": "timeout after 2s"}'),
	(2, 'b', 'acme.eu-west', 'email', 'quiet', 'failed', '{"to": "y@example.org", "template_id": 8, "tags": ["red", "hot"]}', '{"code": "CONNECTION", "message": "connection error: HTTP 500: 100% of\nit"}'),
	(3, 'c', 'acme.eu-west.prod', 'sms', 'quiet', 'suppressed', '{"template_id": 7}', '{"rule": "quiet"}'),
	(4, 'd', 'acmex', 'sms', NULL, 'failed', '[7, {"template_id": 7}]', '{"code": "TIMEOUT", "message": "Timeout after 2s"}'),
	(5, 'e', 'acme.', 'sms', NULL, 'failed', '"ENC[AES256-GCM,data:AA==,iv:AA==,tag:AA==]"', '{"message": "a_b"}'),
	(6, 'f', 'acme-corp', 'email', NULL, 'failed', '{"template_id": 7, "secret": "[REDACTED]"}', '{"message": "a\\b"}'),
	(7, 'g', 'Acme', 'email', NULL, 'failed', NULL, '{"message": "axb"}'),
	(8, 'h', 'globex', 'email', NULL, 'chain_step_failed', 'null', '{"error": "step timeout", "step_name": "two"}'),
	(9, 'i', 'globex', 'chain', NULL, 'chain_failed', '{}', '{"step_results": [{"error": "passed over"}, {"success": true}, {"error": "inner timeout", "success": false}, {"error": ""}, {"error": 7}, 7]}'),
	(10, 'j', 'globex', 'email', NULL, 'executed', '{"template_id": 7}', '{"status": "Failure"}'),
	(11, '', 'globex', 'email', NULL, 'failed', '7', '{"message": null}'),
	(12, 'k,l', 'globex', 'email', NULL, 'failed', '"template"', '{"message": ["timeout"]}')) AS a (n, id, tenant, provider, rule, outcome, payload, details);

-- hand-picked ids: in the records' order, each once, and no record is told
SELECT query, pg_temp.tried(query) FROM unnest(ARRAY[
	'{"action_ids": ["b", "a"]}', '{"action_ids": ["b", "a", "b"], "order": "newest"}', '{"action_ids": []}', '{"action_ids": [], "lost": true}', '{"action_ids": ["", "k,l"]}',
	'{"action_ids": ["none", "a", "b", "A", "a ", "also none", "x"]}', '{"action_ids": ["a", "b", "c", "d"], "outcome": "failed,suppressed"}', '{"action_ids": ["a", "b", "c"], "outcome": "suppressed"}',
	'{"action_ids": ["a", "c", "j"], "lost": true}', '{"action_ids": ["a", "b"], "tenant": "acme"}', '{"action_ids": ["j"]}', '{"action_ids": ["j"], "allow_effective": true}', '{"action_ids": ["a", "b", "c"], "limit": 2}',
	'{"action_ids": ["a", "b", "c"], "from": "2026-01-01T12:02:00Z"}', '{"action_ids": null, "tenant": "acmex"}']::jsonb[]) AS query;
SELECT replayed, jsonb_path_query_array(results, '$[*].original_action_id') FROM acteon_replay_bulk(action_ids => ARRAY(SELECT action_id FROM acteon_audit WHERE tenant = 'acme.eu-west'), reason => 'picked');
SELECT query FROM acteon_replay_batch;
-- what cannot be picked
SELECT attempt($$SELECT acteon_replay_bulk(action_ids => ARRAY['a', NULL])$$);
SELECT attempt($$SELECT acteon_replay_bulk(action_ids => NULL)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"action_ids": ["a", null]}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"action_ids": ["a", 7]}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"action_ids": "a"}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"action_ids": {"a": "b"}}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"action_ids": [["a"]]}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk(action_ids => ARRAY(SELECT 'id-' || i FROM generate_series(1, 100001) AS i))$$);
SELECT attempt($$SELECT acteon_replay_bulk(exclude_ids => ARRAY(SELECT 'id-' || i FROM generate_series(1, 100001) AS i), tenant => 'acme')$$);
-- a hundred thousand, of which two are there; more than that, of which many are the same
SELECT replayed, next_cursor FROM acteon_replay_bulk(action_ids => ARRAY(SELECT 'id-' || i FROM generate_series(1, 99998) AS i) || '{a,d}');
SELECT replayed FROM acteon_replay_bulk(action_ids => ARRAY(SELECT 'a' FROM generate_series(1, 200000) AS i) || '{d}', include_replayed => true);

-- not these
SELECT query, pg_temp.tried('{"include_replayed": true}' || query) FROM unnest(ARRAY[
	'{"outcome": "failed"}', '{"outcome": "failed", "exclude_ids": ["a", "none", "a"]}', '{"outcome": "failed", "exclude_ids": []}', '{"action_ids": ["a", "b", "d"], "exclude_ids": ["b"]}', '{"lost": true, "exclude_ids": ["d"]}',
	'{"outcome": "failed", "exclude": {"provider": "email"}}', '{"outcome": "failed,suppressed", "exclude": {"outcome": "failed"}}', '{"outcome": "failed,suppressed", "exclude": {"provider": "sms", "outcome": "failed, throttled"}}',
	'{"outcome": "failed", "exclude": {"matched_rule": "quiet"}}', '{"outcome": "failed", "exclude": {"tenant_tree": "acme"}}', '{"outcome": "failed", "exclude": {"error_like": "%imeout%"}}', '{"outcome": "failed", "exclude": {"payload": {"template_id": 7}}}',
	'{"outcome": "failed", "exclude": {"payload_path": "$.tags"}}', '{"outcome": "failed", "exclude": {"from": "2026-01-01T12:02:00Z", "to": "2026-01-01T12:11:00Z"}}', '{"outcome": "failed", "exclude": {"action_ids": ["a", "b"], "provider": "email", "tenant": "acme"}}',
	'{"lost": true, "exclude": {"error_like": "%imeout%", "provider": "sms"}}', '{"outcome": "failed", "exclude": {"signature": "timeout after <time>"}}', '{"outcome": "failed", "exclude": {"signature": "Timeout after 5s"}}',
	'{"outcome": "failed", "exclude": {"signature": "Timeout after 5s"}, "signature_rules": "uuid"}', '{"outcome": "failed", "exclude": {"signature": "Timeout after 2s"}, "signature_rules": "uuid"}',
	'{"outcome": "failed", "exclude": {"signature": "timeout after <time>", "tenant_tree": "acme.eu-west"}}', '{"outcome": "failed,suppressed", "exclude": {"signature": "quiet", "error_like": "q%"}}', '{"outcome": "failed,suppressed", "exclude": {"signature": "quiet", "error_like": "Q%"}}',
	'{"signature": "no error text", "exclude": {"error_like": "%", "action_ids": ["k,l"]}}', '{"lost": true, "exclude": {"error_like": "provider answered%"}}', '{"outcome": "failed", "exclude": {"error_like": "%imeout%"}, "limit": 2}', '{"outcome": "failed", "exclude": {"error_like": "%imeout%"}, "limit": 2, "order": "newest"}',
	'{"outcome": "failed,suppressed", "exclude": {"error_like": "%", "payload": {"template_id": 7}}}']::jsonb[]) AS query;
SELECT attempt($$SELECT acteon_replay_bulk(exclude => '{"provider": "email"}')$$);
SELECT attempt($$SELECT acteon_replay_bulk(exclude_ids => '{a}')$$);
SELECT exclude, attempt(format('SELECT acteon_replay_bulk(tenant => ''acme'', exclude => %L)', exclude)) FROM unnest(ARRAY[
	'{}', '{"provider": null}', '[]', '7', 'null', '{"exclude": {"provider": "email"}}', '{"exclude_ids": ["a"]}', '{"lost": true}', '{"rate": 5}', '{"provider": 7}', '{"no such": 1}', '{"from": "yesterday"}', '{"to": "infinity"}',
	'{"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}', '{"outcome": "a,,b"}', '{"error_like": "x\\"}', '{"payload": null}', '{"action_ids": [null]}', '{"tenant_tree": ""}']::jsonb[]) AS exclude;

-- a tenant and what is below it
SELECT tree, pg_temp.tried(jsonb_build_object('tenant_tree', tree, 'include_replayed', true)) FROM unnest('{acme,acme.eu-west,acme.eu,acme.,Acme,globex,none,%,_cme}'::text[]) AS tree;
SELECT attempt($$SELECT acteon_replay_bulk(tenant_tree => '')$$);

-- error messages
SELECT pattern, pg_temp.tried(jsonb_build_object('error_like', pattern, 'include_replayed', true)) FROM unnest(ARRAY['%timeout%', 'timeout', 'timeout%', 'Timeout%', '%', 'a_b', 'a\_b', 'a\\b', 'a\\\\b', '%100\%%', '%of_it', '%inner%', '%passed over%', '%["timeout"]%', 'quiet', 'provider answered%', 'no error text']) AS pattern;
-- these are the errors of which causes have the signatures
SELECT provider, outcome, signature, records FROM acteon_replay_causes(from_time => '2000-01-01', signature_rules => '');
SELECT provider, outcome, signature, records FROM acteon_replay_causes(tenant_tree => 'acme', exclude => '{"signature": "quiet"}');
SELECT provider, outcome, signature, records FROM acteon_replay_causes(exclude_ids => '{d}', payload_path => '$.template_id', error_like => '%t%');
SELECT attempt($$SELECT acteon_replay_bulk(error_like => '%x\')$$), attempt($$SELECT (acteon_replay_bulk(error_like => '%x\\')).replayed$$), attempt($$SELECT acteon_replay_bulk(error_like => '')$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"error_like": "\\"}'::jsonb)$$);

-- payloads: those that are missing, encrypted or redacted never match
SELECT payload, pg_temp.tried(jsonb_build_object('payload', payload, 'include_replayed', true, 'allow_redacted', true, 'allow_effective', true)) FROM unnest(ARRAY['{"template_id": 7}', '{"tags": ["hot"]}', '[7]', '7', '{}', '[]', '"template"', '{"secret": "[REDACTED]"}', '"ENC[AES256-GCM,data:AA==,iv:AA==,tag:AA==]"']::jsonb[]) AS payload;
SELECT path, pg_temp.tried(jsonb_build_object('payload_path', path, 'include_replayed', true, 'allow_redacted', true, 'allow_effective', true)) FROM unnest(ARRAY[
	'$', '$.template_id ? (@ == 7)', '$.template_id ? (@ > 7)', '$.tags[*] ? (@ starts with "h")', '$ ? (@.to like_regex "^Y@" flag "i")', 'strict $.no.such', '$ ? (@ == null)', '$.template_id.size() ? (@ == 1)', '$.template_id.datetime()', '$.to.double()', '$.template_id / 0', '$ ? (@."$" == 1)']) AS path;
SELECT pg_temp.tried('{"payload": {"template_id": 7}, "payload_path": "$.to", "tenant_tree": "acme", "error_like": "time%", "include_replayed": true}');
SET acteon_replay.redaction_placeholder = '7"';
SELECT pg_temp.tried('{"payload": {"secret": "[REDACTED]"}, "include_replayed": true}');
SET acteon_replay.redaction_placeholder = '';
SELECT pg_temp.tried('{"payload": {"secret": "[REDACTED]"}, "include_replayed": true}');
RESET acteon_replay.redaction_placeholder;
SELECT path, split_part(attempt(format('SELECT acteon_replay_bulk(payload_path => %L)', path)), ' | ', 1) AS attempt FROM unnest(ARRAY['', '$[', 'x', '$.a == ', '$ ? (@ like_regex "(")', '$ ? (@ == $x)', '$."$x" ? (@ == "\"$y" || @ == $"z z")', '$ ? (@ like_regex "a" flag "z")', '$[last', '$.a ; DROP TABLE x', '$.$']) AS path;
SELECT attempt($$SELECT acteon_replay_bulk(payload_path => '$.a = 7')$$) ~ 'syntax error at or near "="' AS names_the_place, attempt($$SELECT acteon_replay_bulk(payload_path => '$ ? (@ like_regex "a" flag "z")')$$) ~ 'nrecognized flag character "z"' AS tells_more;
SELECT attempt($$SELECT acteon_replay_bulk(payload => 'null')$$);
SELECT attempt($$SELECT acteon_replay_preview(payload => 'null')$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"payload": null}'::jsonb)$$);

-- ids to leave out that no record has leave nothing out, which is told: a mistyped id would be replayed
SELECT section, item, matched, note FROM acteon_replay_preview(outcome => 'failed', exclude_ids => '{a,A,none}') WHERE section = 'not found';
SELECT query, answer -> 'missing_ids' AS missing_ids, answer -> 'missing_exclude_ids' AS missing_exclude_ids FROM unnest(ARRAY['{"exclude_ids": ["a", "A", "none"]}', '{"exclude_ids": ["a"]}', '{"exclude_ids": []}', '{}', '{"action_ids": ["b", "one"], "exclude_ids": ["x1", "x2", "x3", "x4"]}']::jsonb[]) AS query, acteon_replay_preview('{"outcome": "failed"}' || query) AS answer;
\set VERBOSITY default
SELECT replayed FROM acteon_replay_bulk(action_ids => '{a,one}', exclude_ids => '{a,A}', include_replayed => true);
\set VERBOSITY terse

-- cursors go on with the same filters only
SELECT next_cursor AS cursor FROM acteon_replay_bulk(action_ids => '{a,b,d}', exclude_ids => '{e}', exclude => '{"tenant": "x"}', tenant_tree => 'acme', error_like => '%', payload => '{}', payload_path => '$', max_records => 1, include_replayed => true) \gset
SELECT changed, pg_temp.tried(jsonb_build_object('action_ids', '{d,b,a}'::text[], 'exclude_ids', '{e}'::text[], 'exclude', '{"tenant": "x"}'::jsonb, 'tenant_tree', 'acme', 'error_like', '%', 'payload', '{}'::jsonb, 'payload_path', '$', 'include_replayed', true, 'cursor', :'cursor') || changed) FROM unnest(ARRAY[
	'{}', '{"action_ids": ["a", "b"]}', '{"action_ids": null}', '{"exclude_ids": ["f"]}', '{"exclude_ids": []}', '{"exclude": {"tenant": "y"}}', '{"exclude": null}', '{"tenant_tree": "acm"}', '{"error_like": "%%"}', '{"payload": []}', '{"payload_path": "$.to"}', '{"rate": 5}']::jsonb[]) AS changed;

-- any number: the query is kept with the batch, and a preview's query asks for the same
CALL acteon_replay_all(action_ids => '{d,none,a,c,b}', exclude_ids => '{d}', exclude => '{"outcome": "suppressed"}', include_replayed => true, max_generation => 100, chunk => 1);
SELECT query - 'to' AS query FROM acteon_replay_batch ORDER BY id DESC LIMIT 1;
SELECT section, item, matched, note FROM acteon_replay_preview(action_ids => '{a,b,n1,n2,n3,n4}', include_replayed => true, max_generation => 100, sample => 2) WHERE section IN ('total', 'not found', 'sample');
SELECT note::jsonb - 'to' AS query FROM acteon_replay_preview(action_ids => '{b,a}', exclude_ids => '{c}', exclude => '{"error_like": "a\\b"}', tenant_tree => 'acme', error_like => '%', payload => '{"x": [1.10]}', payload_path => '$.x', from_time => '2026-01-01') WHERE section = 'query';
SELECT note AS query FROM acteon_replay_preview(action_ids => '{b,a}', include_replayed => true, max_generation => 100) WHERE section = 'query' \gset
CALL acteon_replay_all(:'query'::jsonb, chunk => 1);
SELECT string_agg(original_action_id, ' ' ORDER BY id) FROM acteon_dispatch_outbox WHERE batch_id = (SELECT max(id) FROM acteon_replay_batch);
-- ids that psql or a file has
SELECT array_agg(action_id) AS ids FROM acteon_audit WHERE provider = 'sms' AND outcome = 'suppressed' \gset
CALL acteon_replay_all(action_ids => :'ids', include_replayed => true);
CALL acteon_replay_all(action_ids => string_to_array('a,d', ','), include_replayed => true, max_generation => 100);
-- chunk by chunk through the keys that are read ahead, as page by page
SELECT count(make_record('many-' || i, at => '2026-02-01'::timestamptz + i % 50 * interval '1 min', outcome => CASE i % 3 WHEN 0 THEN 'throttled' ELSE 'failed' END)) FROM generate_series(1, 600) AS i;
SELECT array_agg('many-' || i) AS ids FROM generate_series(1, 600, 2) AS i \gset
CALL acteon_replay_all(action_ids => :'ids', exclude_ids => '{many-5}', outcome => 'failed,throttled', chunk => 7);
SELECT count(*), count(DISTINCT original_action_id), bool_and(right(original_action_id, 1) IN ('1', '3', '5', '7', '9')) AS picked, bool_or(original_action_id = 'many-5') AS left_out
FROM acteon_dispatch_outbox WHERE batch_id = (SELECT max(id) FROM acteon_replay_batch);
SELECT count(*) AS out_of_order FROM (SELECT a.dispatched_at < lag(a.dispatched_at) OVER (ORDER BY o.id) AS wrong FROM acteon_dispatch_outbox AS o JOIN acteon_audit AS a ON a.action_id = o.original_action_id
	WHERE o.batch_id = (SELECT max(id) FROM acteon_replay_batch)) AS x WHERE wrong;

-- so many ids to be left out that they are looked up page by page; and with what was lost
SELECT array_agg('many-' || i) AS ids FROM generate_series(1, 1200) AS i WHERE i % 20 > 0 \gset
CALL acteon_replay_all(outcome => 'failed,throttled', from_time => '2026-02-01', exclude_ids => :'ids', include_replayed => true, max_generation => 100, chunk => 7);
SELECT count(*), bool_and(original_action_id ~ '^many-([0-9]*[02468])?0$') AS picked FROM acteon_dispatch_outbox WHERE batch_id = (SELECT max(id) FROM acteon_replay_batch);
SELECT replayed, jsonb_path_query_array(results, '$[*].original_action_id') AS picked FROM acteon_replay_bulk(lost => true, from_time => '2026-02-01', exclude_ids => :'ids', action_ids => '{many-1,many-20,many-40}', include_replayed => true, max_generation => 100);
SELECT matched, replayable FROM acteon_replay_preview(lost => true, from_time => '2026-02-01', exclude_ids => :'ids', include_replayed => true, max_generation => 100) WHERE section = 'total';

-- an index finds them, even if other records come first
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, verdict_details, outcome_details, dispatched_at, completed_at, duration_ms)
SELECT 'bulk-' || i, 'bulk-' || i, 'prod', 'acme', 'email', 'send', 'allow', 'failed', '{}', '{}', '2025-01-01', now(), 1 FROM generate_series(1, 20000) AS i;
ANALYZE acteon_audit;
BEGIN;
SELECT pg_stat_get_xact_tuples_returned('acteon_audit'::regclass) AS before \gset
SELECT replayed FROM acteon_replay_bulk(action_ids => '{many-2,many-4,many-6}', max_records => 2);
SELECT pg_stat_get_xact_tuples_returned('acteon_audit'::regclass) - :before AS read_by_scans;
ROLLBACK;

-- a record without an action id is not one of those that are left out
ALTER TABLE acteon_audit ALTER action_id DROP NOT NULL;
SELECT make_record(NULL, id => 'no action', at => '2026-03-01'), make_record('with', at => '2026-03-01');
SELECT ids, pg_temp.tried(jsonb_build_object('from', '2026-03-01T00:00:00Z', 'outcome', 'failed', 'exclude_ids', ARRAY['x'] || ARRAY(SELECT 'n' || i FROM generate_series(1, ids) AS i))) FROM unnest('{1,1500}'::integer[]) AS ids;
DELETE FROM acteon_audit WHERE action_id IS NULL;
ALTER TABLE acteon_audit ALTER action_id SET NOT NULL;

-- a column that this gateway does not record
ALTER TABLE acteon_audit RENAME COLUMN chain_id TO chain;
SELECT attempt($$SELECT acteon_replay_bulk(tenant => 'acme', exclude => '{"chain_id": "x"}')$$);
ALTER TABLE acteon_audit RENAME COLUMN chain TO chain_id;

-- nobody replays what they have no grant for by naming it
CREATE ROLE filters_role;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('filters_role', 'operator', '{globex}', '{*}', '{*}');
SET ROLE filters_role;
SELECT pg_temp.tried('{"action_ids": ["a", "d", "", "none"], "include_replayed": true}');
SELECT pg_temp.tried('{"tenant_tree": "acme", "include_replayed": true}');
SELECT section, item, matched FROM acteon_replay_preview(action_ids => '{a,""}', include_replayed => true) WHERE section IN ('total', 'not replayed', 'tenant', 'sample');
-- … and nobody finds out by the number of records found what is in those that no grant covers
SELECT section, item, matched FROM acteon_replay_preview(tenant_tree => 'acme', payload_path => '$', include_replayed => true) WHERE section IN ('total', 'not replayed');
SELECT section, item, matched FROM acteon_replay_preview(tenant_tree => 'acme', error_like => '%', include_replayed => true) WHERE section IN ('total', 'not replayed');
SELECT section, item, matched FROM acteon_replay_preview(tenant_tree => 'acme', exclude => '{"payload_path": "$.never"}', include_replayed => true) WHERE section IN ('total', 'not replayed');
SELECT replayed, skipped FROM acteon_replay_bulk(tenant_tree => 'acme', payload => '{}', include_replayed => true);
CALL acteon_replay_all(tenant_tree => 'acme', payload => '{}', include_replayed => true);
RESET ROLE;
DELETE FROM acteon_grants WHERE grantee = 'filters_role'::regrole;
DROP ROLE filters_role;
CALL clean();
