-- Payloads that are patched while they are enqueued.
\set VERBOSITY terse
SET timezone = 'UTC';
SET datestyle = 'ISO';
CALL clean();
CREATE ROLE regress_acteon_patcher;
CREATE ROLE regress_acteon_replayer;
CREATE ROLE regress_acteon_boss;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions, may_patch) VALUES
	('regress_acteon_patcher', 'operator', '{acme.eu}', '{*}', '{*}', true), ('regress_acteon_patcher', 'operator', '{acme,initech}', '{*}', '{*}', false),
	('regress_acteon_replayer', 'operator', '{*}', '{*}', '{*}', false), ('regress_acteon_boss', 'admin', '{*}', '{*}', '{*}', false);
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions, may_patch) VALUES ('regress_acteon_patcher', 'operator', '{initech}', '{*}', '{email}', '{*}', true);
-- only who may replay may patch
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions, may_patch) VALUES ('regress_acteon_replayer', 'viewer', '{*}', '{*}', '{*}', true);
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions, may_patch) VALUES ('regress_acteon_replayer', 'gateway', '{*}', '{*}', '{*}', true);

/*
 * The merge itself.  All examples of RFC 7396: those of appendix A, and that of section 3.
 */
CREATE FUNCTION pg_temp.merge(target jsonb, patch jsonb) RETURNS jsonb AS '$libdir/acteon_replay', 'acteon_merge_patch' LANGUAGE C IMMUTABLE STRICT;
SELECT target, patch, result, pg_temp.merge(target, patch) AS merged, pg_temp.merge(target, patch) = result AS good FROM (VALUES
	('{"a":"b"}'::jsonb, '{"a":"c"}'::jsonb, '{"a":"c"}'::jsonb), ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'), ('{"a":"b"}', '{"a":null}', '{}'),
	('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'), ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'), ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
	('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'), ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'), ('["a","b"]', '["c","d"]', '["c","d"]'),
	('{"a":"b"}', '["c"]', '["c"]'), ('{"a":"foo"}', 'null', 'null'), ('{"a":"foo"}', '"bar"', '"bar"'), ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
	('[1,2]', '{"a":"b","c":null}', '{"a":"b"}'), ('{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
	('{"title":"Goodbye!","author":{"givenName":"John","familyName":"Doe"},"tags":["example","sample"],"content":"This will be unchanged"}',
	 '{"title":"Hello!","phoneNumber":"+01-123-456-7890","author":{"familyName":null},"tags":["example"]}',
	 '{"title":"Hello!","author":{"givenName":"John"},"tags":["example"],"content":"This will be unchanged","phoneNumber":"+01-123-456-7890"}')) AS example (target, patch, result);
-- nulls in an array stay; what is no object is none, however it looks
SELECT pg_temp.merge('{"a": 1}', '{"a": [null, {"b": null}]}'), pg_temp.merge('7', '{"a": {"b": null}}'), pg_temp.merge('null', '{"a": 1.50}'), pg_temp.merge('{"a": {}}', '{"a": {}}');

-- The same by another way, on generated objects with all kinds of values, of which some have many members: the results
-- are equal to the byte, so that they are found by their keys, compared and hashed like others.
CREATE FUNCTION pg_temp.slowly(target jsonb, patch jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	result jsonb := CASE WHEN jsonb_typeof(target) = 'object' THEN target ELSE '{}' END;
	member record;
BEGIN
	IF jsonb_typeof(patch) <> 'object' THEN
		RETURN patch;
	END IF;
	FOR member IN SELECT * FROM jsonb_each(patch) LOOP
		IF member.value = 'null' THEN
			result := result - member.key;
		ELSE
			result := result || jsonb_build_object(member.key, pg_temp.slowly(coalesce(result -> member.key, 'null'), member.value));
		END IF;
	END LOOP;
	RETURN result;
END $$;
CREATE FUNCTION pg_temp.some_value(n integer, depth integer) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	h integer := abs(hashint4(n));
BEGIN
	RETURN CASE WHEN depth = 3 OR depth > 0 AND h % 8 < 3 THEN
		(SELECT coalesce(jsonb_object_agg(left(md5((i % 60)::text), i % 5), pg_temp.some_value(n * 31 + i, depth - 1)), '{}') FROM generate_series(0, CASE WHEN depth = 3 AND h % 4 = 0 THEN 90 ELSE h % 7 END) AS i)
	ELSE (ARRAY['null', 'true', 'false', (h % 100000 / 8.0)::text, h::text, to_json(repeat('x', h % 5))::text, '[1, {"a": [null, "b"]}, 2.5]', '{}', '""', '1e40'])[1 + h % 10]::jsonb END;
END $$;
CREATE TEMPORARY TABLE made AS
	SELECT t, p, pg_temp.merge(t, p) AS merged, pg_temp.slowly(t, p) AS slowly, pg_column_size(pg_temp.merge(t, p)) AS merged_size, pg_column_size(pg_temp.slowly(t, p)) AS slowly_size
	FROM generate_series(1, 200) AS n, LATERAL (SELECT pg_temp.some_value(n * 8, 3) AS t, pg_temp.some_value(n * 13 + 5, 3) AS p OFFSET 0) AS v;
SELECT count(*), count(*) FILTER (WHERE (SELECT count(*) FROM jsonb_object_keys(merged)) > 32) > 10 AS large, count(*) FILTER (WHERE merged <> t) > 50 AS changed FROM made;
SELECT count(*) FROM made WHERE (merged = slowly AND merged::text = slowly::text AND jsonb_hash(merged) = jsonb_hash(slowly) AND merged_size = slowly_size) IS NOT TRUE;
SELECT count(*) AS members, count(*) FILTER (WHERE (merged -> m.key = m.value) IS NOT TRUE) AS not_found FROM made CROSS JOIN LATERAL jsonb_each(merged) AS m;
-- a payload that is deep, and a patch that is
SELECT pg_temp.merge(format('{"a": 1, "b": %s%s}', repeat('[', 3000), repeat(']', 3000))::jsonb, '{"a": 2}') @> '{"a": 2}' AS deep_payload,
	pg_temp.merge('{}', format('%s1%s', repeat('{"a":', 1000), repeat('}', 1000))::jsonb) = format('%s1%s', repeat('{"a":', 1000), repeat('}', 1000))::jsonb AS deep_patch;

/*
 * Replays with a patch.
 */
SELECT count(make_record('p-' || n, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s', tenant => CASE WHEN n = 3 THEN 'acme.eu' WHEN n = 4 THEN 'globex' ELSE 'acme' END,
	payload => CASE WHEN n = 2 THEN '{"template_id": "t-42", "to": "b"}' ELSE format('{"template_id": "t-%s", "to": "b", "old": 1}', n)::jsonb END)) FROM generate_series(1, 4) AS n;
SELECT make_record('sealed', at => '2026-01-01 13:00', payload => '"ENC[AES256-GCM,kid:k0,data:,iv:,tag:]"'), make_record('redacted', at => '2026-01-01 13:01', payload => '{"template_id": "[REDACTED]", "card": "x"}'),
	make_record('still redacted', at => '2026-01-01 13:02', payload => '{"template_id": "t", "card": "[REDACTED]"}'), make_record('no object', at => '2026-01-01 13:03', payload => '[1, 2]'),
	make_record('private', at => '2026-01-01 13:04', payload => NULL), make_record('large', at => '2026-01-01 13:05', payload => jsonb_build_object('a', repeat('x', 2 * 1024 * 1024 - 11))),
	make_record('too large', at => '2026-01-01 13:06', payload => jsonb_build_object('template_id', '', 'a', repeat('x', 2 * 1024 * 1024)));
CREATE TEMPORARY TABLE before AS SELECT * FROM acteon_audit;
-- what cannot be patched does not stop the others
\set patch '''{"template_id": "t-42", "old": null}''::jsonb'

-- the preview: what would be changed, what not, and what would fail; and it has read only
SELECT section, item, matched, replayable, note FROM acteon_replay_preview(from_time => '2000-01-01', patch => :patch) WHERE section NOT IN ('query', 'plan', 'cause', 'provider', 'action type', 'outcome', 'tenant');
SELECT p -> 'patch' AS patch, p -> 'not_replayed' AS not_replayed, s ->> 'action_id' AS sample, s -> 'before' AS before, s -> 'after' AS after, p -> 'query' -> 'patch' AS query
FROM acteon_replay_preview('{"from": "2000-01-01T00:00:00Z", "patch": {"template_id": "t-42", "old": null}}', 6) AS p CROSS JOIN jsonb_array_elements(p -> 'sample') AS s;
SELECT p ? 'patch' AS patch, p -> 'replayable' AS replayable, p #> '{sample,0}' ? 'before' AS shown FROM acteon_replay_preview('{"from": "2000-01-01T00:00:00Z"}', 1) AS p;
SELECT count(*) FROM acteon_dispatch_outbox;

-- in bulk: the preview was right
SELECT replayed, failed, skipped, (SELECT jsonb_agg(jsonb_build_array(r -> 'original_action_id', r -> 'error') ORDER BY r ->> 'original_action_id') FROM jsonb_array_elements(results) AS r WHERE r ->> 'success' = 'false') AS why
FROM acteon_replay_bulk(from_time => '2000-01-01', patch => :patch, reason => 'wrong template');
SELECT original_action_id, action_id = acteon_replay_id(original_action_id, 1) AS same_id, CASE WHEN length(payload::text) < 99 THEN payload END AS payload, labels - 'replayed_from' AS labels FROM acteon_dispatch_outbox ORDER BY id;
-- which ones were changed, by which patch, is with the batch, its items and the lineage
SELECT query -> 'patch' AS patch, encode(sha256(convert_to((query -> 'patch')::text, 'UTF8')), 'hex') AS hash FROM acteon_replay_batch;
SELECT original_action_id, patched FROM acteon_replay_items((SELECT max(id) FROM acteon_replay_batch));
SELECT id = 'p-1' AS original, generation, patch_sha256 FROM acteon_replay_lineage('p-1');
SELECT generation, patch_sha256 FROM acteon_replay_lineage('p-2');
-- the records are as they were
SELECT count(*) FROM (SELECT * FROM acteon_audit EXCEPT SELECT * FROM before) AS changed;
-- and what goes out is what is in the outbox
SELECT action -> 'payload' AS payload, action -> 'metadata' AS metadata FROM acteon_outbox_claim('c', 3);

-- an unpatched replay of the same action would get the same id, so each excludes the other
SELECT replayed, failed, skipped FROM acteon_replay_bulk(outcome => 'failed', to_time => '2026-01-01 12:30');
CALL clean();
SELECT make_record('p-1', at => '2026-01-01', payload => '{"a": 1}'), make_record('p-2', at => '2026-01-02', payload => '{"a": 1}');
SELECT acteon_replay_id('p-1', 1) = new_action_id AS same_id FROM acteon_replay('p-1');
SELECT acteon_replay_id('p-2', 1) = new_action_id AS same_id FROM acteon_replay('p-2', patch => '{"a": 2}');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', patch => '{"a": 3}');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT original_action_id, generation, payload, labels ? 'replay_patch' AS patched FROM acteon_dispatch_outbox ORDER BY id;

-- one action: both forms, and the errors in their order
CALL clean();
SELECT make_record('one', payload => '{"a": {"b": 1, "c": 2}}'), make_record('6f1c8f6e-0000-4000-8000-000000000001', payload => '{"a": 1}'), make_record('sealed', payload => '"ENC[AES256-GCM,kid:k0,data:,iv:,tag:]"'),
	make_record('redacted', payload => '{"a": "[REDACTED]", "b": "[REDACTED]"}'), make_record('large', payload => jsonb_build_object('a', repeat('x', 2 * 1024 * 1024))),
	make_record('globex', tenant => 'globex'), make_record('initech', tenant => 'initech'), make_record('eu', tenant => 'acme.eu'), make_record('acme', tenant => 'acme'), make_record('private', payload => NULL);
SELECT success FROM acteon_replay('one', patch => '{"a": {"b": null, "d": [null]}}');
SELECT success FROM acteon_replay('6f1c8f6e-0000-4000-8000-000000000001'::uuid, patch => '{"a": null}');
SELECT success FROM acteon_replay('one', patch => '{"a": {"b": 1}}');
SELECT original_action_id, payload, labels ? 'replay_patch' AS patched FROM acteon_dispatch_outbox ORDER BY id;
SELECT query FROM acteon_replay_batch ORDER BY id;
SELECT attempt($$SELECT acteon_replay('sealed', patch => '{"a": 1}')$$);
SELECT attempt($$SELECT acteon_replay('sealed', patch => '{"a": 1}', allow_redacted => true)$$);
SELECT attempt($$SELECT acteon_replay('redacted', patch => '{"a": 1}')$$);
SELECT attempt($$SELECT acteon_replay('large', patch => '{"b": 1}')$$);
SELECT attempt($$SELECT acteon_replay('private', patch => '{"b": 1}')$$);
SELECT success FROM acteon_replay('redacted', patch => '{"a": 1}', allow_redacted => true);
SELECT success FROM acteon_replay('redacted', patch => '{"a": 1, "b": null}');
SELECT payload FROM acteon_dispatch_outbox WHERE original_action_id = 'redacted' ORDER BY id;
-- what is no merge patch
SELECT p, attempt(format('SELECT acteon_replay(''one'', patch => %L)', p)) AS one, attempt(format('SELECT acteon_replay_bulk(from_time => ''2000-01-01'', patch => %L)', p)) AS bulk
FROM unnest(ARRAY['null', '7', '"t-42"', '[]', '[{"op": "remove", "path": "/a"}]', '{}']) AS p;
SELECT p, attempt(format('SELECT acteon_replay_bulk(''{"tenant": "nobody", "patch": %s}''::jsonb)', p)) AS wire FROM unnest(ARRAY['7', '"t-42"', '[]', '{}', 'null', '{"a": null}']) AS p;

-- who may: an admin, and an operator as far as a grant says so
GRANT SELECT ON acteon_audit TO regress_acteon_patcher, regress_acteon_replayer, regress_acteon_boss;
SET ROLE regress_acteon_replayer;
SELECT attempt($$SELECT acteon_replay('eu', patch => '{"a": 1}')$$);
SELECT attempt($$SELECT acteon_replay('no such action', patch => '{"a": 1}')$$);
SELECT attempt($$SELECT acteon_replay_bulk(tenant => 'nobody', patch => '{"a": 1}')$$);
SELECT attempt($$SELECT acteon_replay_preview(tenant => 'nobody', patch => '{"a": 1}')$$);
CALL acteon_replay_all(tenant => 'acme', patch => '{"a": 1}');
SET ROLE regress_acteon_patcher;
SELECT attempt($$SELECT acteon_replay('globex', patch => '{"a": 1}')$$);
SELECT attempt($$SELECT acteon_replay('acme', patch => '{"a": 1}')$$);
SELECT attempt($$SELECT acteon_replay('initech', patch => '{"a": 1}', provider_override => 'sms')$$);
SELECT success FROM acteon_replay('initech', patch => '{"a": 1}');
SELECT section, item, matched, replayable, note FROM acteon_replay_preview(from_time => '2000-01-01', patch => '{"a": 1}', sample => 0) WHERE section IN ('total', 'not replayed', 'patch') AND item <> 'records';
SELECT replayed, failed, skipped FROM acteon_replay_bulk(tenant => 'acme', patch => '{"x": 1}', include_replayed => true);
SELECT replayed, failed, skipped FROM acteon_replay_bulk(tenant => 'acme.eu', patch => '{"x": 1}', include_replayed => true);
SET ROLE regress_acteon_boss;
SELECT replayed, failed, skipped FROM acteon_replay_bulk(tenant => 'globex', patch => '{"x": 1}');
RESET ROLE;
SELECT count(*) AS unfinished FROM acteon_replay_batch WHERE NOT is_complete;
-- a grant that is taken away counts at once
UPDATE acteon_grants SET may_patch = false WHERE grantee = 'regress_acteon_patcher'::regrole;
SET ROLE regress_acteon_patcher;
SELECT attempt($$SELECT acteon_replay('eu', patch => '{"a": 1}')$$);
RESET ROLE;

-- any number, in chunks, and again after an interruption: the patch is the batch's
CALL clean();
SELECT count(make_record('c-' || n, at => timestamptz '2026-01-01' + n * interval '1 s', payload => jsonb_build_object('n', n, 'text', repeat(md5(n::text), n)))) FROM generate_series(1, 250) AS n;
CALL acteon_replay_all(from_time => '2000-01-01', patch => '{"template_id": 1}', chunk => 100);
SELECT count(*), count(*) FILTER (WHERE payload @> '{"template_id": 1}' AND payload - 'template_id' = jsonb_build_object('n', payload -> 'n', 'text', repeat(md5(payload ->> 'n'), (payload ->> 'n')::integer))) AS good, count(DISTINCT labels ->> 'replay_patch') AS patches FROM acteon_dispatch_outbox;
SELECT count(*) FILTER (WHERE patched) FROM acteon_replay_items((SELECT max(id) FROM acteon_replay_batch));

-- the next page may have another patch: it decides nothing about which records there are
CALL clean();
SELECT make_record('n-1', at => '2026-01-01', payload => '{"a": 1}'), make_record('n-2', at => '2026-01-02', payload => '{"a": 1}');
SELECT next_cursor FROM acteon_replay_bulk(outcome => 'failed', max_records => 1, patch => '{"a": 2}') \gset
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', patch => '{"a": 3}', cursor => :'next_cursor');
SELECT original_action_id, payload FROM acteon_dispatch_outbox ORDER BY id;

-- a record of a patched replay: what was changed then is not changed again, and its label is taken over
CALL clean();
SELECT make_record('again', payload => '{"a": 2}', metadata => '{"replayed_from": "x", "replay_patch": "0123456789abcdef"}');
SELECT success FROM acteon_replay('again');
SELECT success FROM acteon_replay('again', patch => '{"a": 3}');
SELECT labels, payload FROM acteon_dispatch_outbox ORDER BY id;
SELECT b.id - min(b.id) OVER () AS batch, i.patched FROM acteon_replay_batch AS b CROSS JOIN acteon_replay_items(b.id) AS i ORDER BY b.id;

CALL clean();
REVOKE SELECT ON acteon_audit FROM regress_acteon_patcher, regress_acteon_replayer, regress_acteon_boss;
DROP ROLE regress_acteon_patcher, regress_acteon_replayer, regress_acteon_boss;
