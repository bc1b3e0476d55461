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
-- … also where the table no longer says so
BEGIN;
ALTER TABLE acteon_grants DROP CONSTRAINT acteon_grants_may_patch_check;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions, may_patch) VALUES ('regress_acteon_replayer', 'viewer', '{*}', '{*}', '{*}', true), ('regress_acteon_replayer', 'gateway', '{*}', '{*}', '{*}', true);
SET LOCAL ROLE regress_acteon_replayer;
SELECT attempt($$SELECT acteon_replay_bulk(outcome => 'failed', patch => '{"a": 1}')$$);
ROLLBACK;

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

/*
 * A value at the places that a path selects.
 */
CREATE FUNCTION pg_temp.set_places(target jsonb, path jsonpath, value jsonb) RETURNS jsonb AS '$libdir/acteon_replay', 'acteon_set_places' LANGUAGE C IMMUTABLE STRICT;
CREATE TEMPORARY TABLE an_order AS SELECT '{"items": [{"sku": "a", "n": 1, "tags": ["x", "y"]}, {"sku": "b", "n": 2, "tags": []}, "none", [{"sku": "deep"}]], "to": {"sku": "c", "n": 3}, "sku": "d", "a b\"ä": null}'::jsonb AS o;
SELECT path, pg_temp.set_places(o, path::jsonpath, '"!"') AS set FROM an_order, unnest(ARRAY['$.sku', '$.to.sku', '$.items[*].sku', '$.items.sku', '$.items[0].sku', '$.items[last]', '$.items[last - 1]', '$.items[1 to last].sku', '$.items[0, 2]',
	'$.items[7]', '$.items[*].tags[*]', '$.items.tags[0]', '$.*', '$.*.sku', '$.**.sku', 'strict $.**.sku', '$.**', '$.items ? (@.sku == "b").n', '$.items[*] ? (@.n > 1 || @.sku == "a").tags', '$.items ? (@.n > 1)', '$.** ? (@ == "x")', '$.** ? (@.sku == "c")',
	'$.to ? (@.n == 4).sku', '$."a b\"ä"', '$.none', '$.to[0].sku', '$.to[*].sku', 'strict $.to[*].sku', 'strict $.items.sku', 'strict $.items[*].sku', 'strict $.items[0 to 9]', '$.items[0 to 9].n', '$.items ? (@.size() > 0).sku',
	'$.items ? (@.type() == "array")', '$.items[*] ? (@.type() == "array")', '$ ? (@.sku == "d").to', '$ ? (@.sku == "e").to', '$.items[*] ? (@.sku like_regex "^A$" flag "i" && exists (@.n ? (@ == 1))).n', '$.items[*] ? (@.sku == ")$(").n', '$[*].sku', '$[0]']) AS path;
-- The places are those of the server, which shows the values in them: in as many places is the new value.
SELECT count(*) AS pairs, sum(places) AS places, count(*) FILTER (WHERE places <> (SELECT count(*) FROM jsonb_path_query(pg_temp.set_places(target, path, '"the value"'), 'strict $.** ? (@ == "the value")'))) AS differ
FROM unnest(ARRAY['$.a', '$.a.b', '$.a[*].b', '$.a.b[*]', '$.*', '$.a[0]', '$.a[last]', '$.a[0 to 1].b', '$.a ? (@.b == 1)', '$.a ? (@.b == 1).c', '$.a[*] ? (@.b != 1)', '$.b.c', '$.c[1]', '$.c', '$[0].a', 'strict $.a', 'strict $.a[*]', 'strict $.b.c',
	'$.a.b ? (@ > 1)', '$.a ? (exists (@.c))', '$.b ? (@.c == "x").c', '$.d.d.d', '$[*].a', '$[*]', '$.a[*][*].b', '$.a[0][0].b', '$.*.c', '$.*[*]']::jsonpath[]) AS path
	CROSS JOIN unnest(ARRAY['{"a": 1}', '{"a": [1, 2, 3]}', '{"a": {"b": 1, "c": 2}}', '{"a": [{"b": 1}, {"b": 2, "c": 3}, 5], "c": [1, 2]}', '{"a": [[{"b": 1}], {"b": [1, 2]}], "b": {"c": "x"}}', '{"b": [{"c": "x"}, {"c": "y"}], "c": {"d": 1}}', '{"d": {"d": {"d": 1}}}', '[{"a": 1}, {"a": 2}]', '{}']::jsonb[]) AS target
	CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE v <> target) AS places FROM jsonb_path_query(target, path, '{}', true) AS v) AS found;
-- all kinds of values, and what is written is equal to the byte
SELECT value, pg_temp.set_places('{"a": {"b": 1, "z": 2.5}, "c": 3}', '$.a.b', value) AS set, pg_column_size(pg_temp.set_places('{"a": {"b": 1, "z": 2.5}, "c": 3}', '$.a.b', value)) = pg_column_size(jsonb_set('{"a": {"b": 1, "z": 2.5}, "c": 3}', '{a,b}', value)) AS same_size
FROM unnest(ARRAY['null', 'true', '7.25', '""', '"text"', '[]', '{}', '[1, [2]]', '{"x": {"y": null}}']::jsonb[]) AS value;
SELECT count(*) > 1000 AS many, count(*) FILTER (WHERE (r = s AND r::text = s::text AND jsonb_hash(r) = jsonb_hash(s) AND pg_column_size(r) = pg_column_size(s)) IS NOT TRUE) AS wrong
FROM made CROSS JOIN LATERAL jsonb_object_keys(merged) AS key
	CROSS JOIN LATERAL (SELECT pg_temp.set_places(merged, format('$.%s', to_json(key))::jsonpath, '{"a": [1.5]}') AS r, jsonb_set(merged, ARRAY[key], '{"a": [1.5]}', false) AS s OFFSET 0) AS v;
-- what is deep, or becomes it
SELECT pg_temp.set_places(format('{"a": 1, "b": %s%s}', repeat('[', 1900), repeat(']', 1900))::jsonb, '$.a', format('%s%s', repeat('[', 1900), repeat(']', 1900))::jsonb) IS NOT NULL AS beside,
	pg_temp.set_places(format('{"b": %s1%s}', repeat('[', 1900), repeat(']', 1900))::jsonb, 'strict $.** ? (@ == 1)', format('%s%s', repeat('[', 50), repeat(']', 50))::jsonb) IS NOT NULL AS below,
	pg_temp.set_places(format('{"b": %s1%s}', repeat('[', 1900), repeat(']', 1900))::jsonb, 'strict $.** ? (@ == 1)', format('%s%s', repeat('[', 200), repeat(']', 200))::jsonb) IS NULL AS too_deep;

-- what is no path to places, and what does not fit together
SELECT p, attempt(format('SELECT acteon_replay_bulk(from_time => ''2000-01-01'', patch_path => %L, patch_value => ''1'')', p)) AS result
FROM unnest(ARRAY['', 'a', '$', 'strict $', '$.a.size()', '$.a + 1', '-$.a', '$.a == 1', '$.**{2}.a', '$.a[$.n]', '$.a[1.5]', '$.a[-1]', '$.a ? (@.b == $.c)', '$.a ? (@.b == $x)', '$x.a', '$.a.keyvalue()', '$.a[99999999999]', '$$', '$' || repeat('.a', 32)]) AS p;
SELECT attempt($$SELECT acteon_replay_bulk(tenant => 'nobody', patch_path => '$' || repeat('.a', 31), patch_value => '1')$$);
SELECT attempt($$SELECT acteon_replay_bulk(from_time => '2000-01-01', patch_path => '$.a')$$);
SELECT attempt($$SELECT acteon_replay_bulk(from_time => '2000-01-01', patch_value => '1')$$);
SELECT attempt($$SELECT acteon_replay_bulk(from_time => '2000-01-01', patch_value => 'null')$$);
SELECT attempt($$SELECT acteon_replay_bulk(from_time => '2000-01-01', patch => '{"a": 1}', patch_path => '$.a', patch_value => '1')$$);
SELECT q, attempt(format('SELECT acteon_replay_bulk(%L::jsonb)', q)) AS wire FROM unnest(ARRAY['{"tenant": "nobody", "patch_path": null, "patch_value": null}', '{"tenant": "nobody", "patch_path": "$.a", "patch_value": null}', '{"tenant": "nobody", "patch_path": "$.a"}', '{"tenant": "nobody", "patch_value": 1}', '{"tenant": "nobody", "patch_path": 7, "patch_value": 1}']) AS q;

-- replays: preview, bulk, one, and any number
CALL clean();
SELECT count(make_record('s-' || n, at => timestamptz '2026-01-01' + n * interval '1 s', payload => CASE n WHEN 4 THEN '{"to": "b"}' WHEN 5 THEN '"ENC[AES256-GCM,kid:k0,data:,iv:,tag:]"' WHEN 6 THEN '[1]' WHEN 7 THEN '{"items": [{"sku": "A-1", "price": "[REDACTED]"}]}'
	ELSE jsonb_build_object('items', jsonb_build_array(jsonb_build_object('sku', 'A-' || n, 'price', n), jsonb_build_object('sku', 'A-1', 'price', 0))) END)) FROM generate_series(1, 7) AS n;
\set places 'patch_path => ''$.items[*] ? (@.sku == "A-1").price'', patch_value => ''12.5'''
SELECT section, item, matched, replayable, note FROM acteon_replay_preview(from_time => '2000-01-01', :places) WHERE section NOT IN ('query', 'plan', 'cause', 'provider', 'action type', 'outcome', 'tenant');
SELECT p -> 'patch' AS patch, (p -> 'query') - '{from,to}'::text[] AS query, p -> 'sample' -> 0 -> 'after' AS after FROM acteon_replay_preview('{"from": "2000-01-01T00:00:00Z", "patch_path": "$.items.price", "patch_value": null}', 1) AS p;
SELECT replayed, failed, skipped FROM acteon_replay_bulk(from_time => '2000-01-01', :places, max_records => 6);
SELECT original_action_id, payload, labels ->> 'replay_patch' AS label FROM acteon_dispatch_outbox ORDER BY id;
SELECT encode(sha256(convert_to(jsonb_build_object('patch_path', query -> 'patch_path', 'patch_value', query -> 'patch_value')::text, 'UTF8')), 'hex') AS hash FROM acteon_replay_batch;
SELECT original_action_id, patched FROM acteon_replay_items((SELECT max(id) FROM acteon_replay_batch)) WHERE state <> 'refused';
SELECT patch_sha256 FROM acteon_replay_lineage('s-1') WHERE generation = 1;
SELECT success FROM acteon_replay('s-7', :places);
SELECT payload FROM acteon_dispatch_outbox WHERE original_action_id = 's-7';
CALL acteon_replay_all(from_time => '2000-01-01', include_replayed => true, patch_path => '$.items[0]', patch_value => 'null', chunk => 2, max_records => 3);
SELECT query - '{from,to}'::text[] AS query, is_complete FROM acteon_replay_batch ORDER BY id DESC LIMIT 1;
SELECT payload FROM acteon_dispatch_outbox WHERE batch_id = (SELECT max(id) FROM acteon_replay_batch) ORDER BY id;
SET ROLE regress_acteon_replayer;
SELECT attempt($$SELECT acteon_replay_bulk(tenant => 'nobody', patch_path => '$.a', patch_value => '1')$$);
RESET ROLE;

/*
 * What waits.
 */
CALL clean();
SELECT count(make_record('w-' || n, at => timestamptz '2026-01-01' + n * interval '1 s', tenant => CASE WHEN n > 150 THEN 'globex' ELSE 'acme' END, provider => CASE WHEN n % 2 = 0 THEN 'email' ELSE 'sms' END,
	payload => CASE WHEN n = 7 THEN '"ENC[AES256-GCM,kid:k0,data:,iv:,tag:]"' WHEN n IN (8, 9) THEN '{"template": "t-42"}' ELSE jsonb_build_object('template', 't-41', 'n', n) END)) FROM generate_series(1, 300) AS n;
SELECT replayed, batch_id AS batch FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off') \gset
-- six are out, two of them have ended
CREATE TEMPORARY TABLE taken AS SELECT * FROM acteon_outbox_claim('c', 6);
SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb)) FROM (SELECT * FROM taken ORDER BY outbox_id LIMIT 2) AS t;
CREATE TEMPORARY TABLE before_patch AS SELECT * FROM acteon_dispatch_outbox;
SELECT * FROM acteon_replay_patch(:batch, patch => '{"template": "t-42"}', reason => 'wrong template', tenant => 'acme', provider => 'sms');
SELECT * FROM acteon_outbox_check();
-- the rows are as they were; the patched ones are cancelled, and each has a copy, which differs in its payload alone
SELECT count(*) FROM (SELECT * FROM before_patch EXCEPT SELECT * FROM acteon_dispatch_outbox) AS changed;
SELECT count(*) AS copies, count(*) FILTER (WHERE n.action_id = acteon_replay_id(o.original_action_id, 2) AND n.batch_id = o.batch_id AND n.payload = o.payload || '{"template": "t-42"}' AND n.tenant = 'acme' AND n.provider = 'sms'
	AND n.labels - 'replay_patch' = o.labels AND (n.namespace, n.action_type, n.status, n.dedup_key, n.fingerprint, n.starts_at, n.ends_at) IS NOT DISTINCT FROM (o.namespace, o.action_type, o.status, o.dedup_key, o.fingerprint, o.starts_at, o.ends_at)) AS good,
	count(*) FILTER (WHERE d.state = 'cancelled') AS cancelled
FROM acteon_dispatch_outbox AS n JOIN before_patch AS o ON o.original_action_id = n.original_action_id LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id WHERE n.generation = 2;
SELECT state, replayed, waiting, in_flight, delivered, cancelled FROM acteon_replay_batches WHERE batch_id = :batch;
SELECT state, count(*), count(*) FILTER (WHERE patched) AS patched FROM acteon_replay_items(:batch, max_items => 1000) GROUP BY state ORDER BY state;
SELECT generation, state, patch_sha256 IS NOT NULL AS patched FROM acteon_replay_lineage('w-21');
SELECT event, reason, details FROM acteon_replay_log WHERE event = 'patch' AND batch_id = :batch;
SELECT patches FROM acteon_replay_batch WHERE id = :batch;
-- again: nothing is left to be changed; and others, by their ids
SELECT * FROM acteon_replay_patch(:batch, patch => '{"template": "t-42"}', tenant => 'acme', provider => 'sms');
SELECT * FROM acteon_replay_patch(:batch, patch_path => '$.template', patch_value => '"t-43"', action_ids => '{w-21,w-200,w-1,none}');
SELECT original_action_id, generation, payload, labels ->> 'replay_patch' AS label FROM acteon_dispatch_outbox WHERE original_action_id IN ('w-21', 'w-200') ORDER BY original_action_id, generation;
SELECT count(*) FROM acteon_outbox_check();
-- what is handed out: each action once, the patched ones as they are now
CREATE TEMPORARY TABLE rest AS SELECT (SELECT original_action_id FROM acteon_dispatch_outbox AS o WHERE o.id = c.outbox_id) AS original, c.action FROM acteon_outbox_claim('c', 1000) AS c;
SELECT count(*), count(DISTINCT original), count(*) FILTER (WHERE original IN (SELECT o.original_action_id FROM taken AS t JOIN acteon_dispatch_outbox AS o ON o.id = t.outbox_id)) AS again, count(*) FILTER (WHERE action #>> '{payload,template}' = 't-42') AS t42, count(*) FILTER (WHERE action #>> '{payload,template}' = 't-43') AS t43 FROM rest;
SELECT * FROM acteon_replay_patch(:batch, patch => '{"template": "t-44"}');

-- with a rate the times stay
CALL clean();
SELECT count(make_record('r-' || n, at => timestamptz '2026-01-01' + n * interval '1 s', payload => jsonb_build_object('n', n))) FROM generate_series(1, 10) AS n;
SELECT replayed, batch_id AS batch FROM acteon_replay_bulk(from_time => '2000-01-01', rate => 2, start_at => '2099-01-01') \gset
CREATE TEMPORARY TABLE due AS SELECT due_at, sum(last_id - first_id + 1) AS actions FROM acteon_dispatch_segment GROUP BY due_at;
SELECT patched FROM acteon_replay_patch(:batch, patch => '{"x": 1}');
SELECT count(*) FROM (SELECT due_at, sum(last_id - first_id + 1) AS actions FROM acteon_dispatch_segment GROUP BY due_at EXCEPT SELECT * FROM due) AS moved;
-- a ramp stays one: what was cancelled for a copy is not what has been sent slowly
CALL clean();
SELECT count(make_record('v-' || n, at => timestamptz '2026-01-01' + n * interval '1 s', payload => jsonb_build_object('n', n))) FROM generate_series(1, 100) AS n;
SELECT batch_id AS batch FROM acteon_replay_bulk(from_time => '2000-01-01', rate => 10, ramp => true, start_at => '2099-01-01', max_records => 100) \gset
SELECT patched FROM acteon_replay_patch(:batch, patch => '{"x": 1}');
SELECT state FROM acteon_replay_pause(:batch);
SELECT state FROM acteon_replay_resume(:batch);
SELECT sum(last_id - first_id + 1) AS slowly FROM acteon_dispatch_segment WHERE due_at < (SELECT min(due_at) FROM acteon_dispatch_segment) + interval '15 s';
-- a step of a canary has as many actions as before; and a batch that is paused
CALL clean();
SELECT count(make_record('q-' || n, at => timestamptz '2026-01-01' + n * interval '1 s', payload => jsonb_build_object('n', n))) FROM generate_series(1, 120) AS n;
SELECT replayed, batch_id AS batch FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000) \gset
SELECT canary_step, canary_actions, canary_last_id - first_outbox_id AS last FROM acteon_replay_batch WHERE id = :batch;
SELECT patched FROM acteon_replay_patch(:batch, patch => '{"x": 1}', action_ids => '{q-1,q-2}');
SELECT canary_step, canary_actions, canary_last_id - first_outbox_id AS last FROM acteon_replay_batch WHERE id = :batch;
SELECT count(*) FROM acteon_outbox_check();
SELECT action #> '{payload}' AS payload FROM acteon_outbox_claim('c', 100);
SELECT state FROM acteon_replay_pause(:batch);
SELECT * FROM acteon_replay_patch(:batch, patch => '{"y": 1}');
SELECT state, waiting, in_flight FROM acteon_replay_resume(:batch);
SELECT count(*) FROM acteon_outbox_check();
SELECT count(*) FROM acteon_outbox_claim('c', 100);

-- parts: what is paused stays paused, what has a rate keeps it, and what is cancelled is not patched
CALL clean();
SELECT count(make_record('t-' || n, at => timestamptz '2026-01-01' + n * interval '1 s', tenant => (ARRAY['acme', 'globex', 'initech', 'umbrella'])[n % 4 + 1], payload => jsonb_build_object('n', n))) FROM generate_series(1, 40) AS n;
SELECT batch_id AS batch FROM acteon_replay_bulk(from_time => '2000-01-01') \gset
SELECT state FROM acteon_replay_pause(:batch, tenant => 'acme');
SELECT state FROM acteon_replay_cancel(:batch, tenant => 'globex');
SELECT state FROM acteon_replay_set_rate(:batch, 0.001, tenant => 'initech');
SELECT state FROM acteon_replay_pause(:batch, action_ids => '{t-3,t-7}');
CREATE TEMPORARY VIEW marks AS SELECT o.tenant, s.stopped, s.pace, s.due_at = 'infinity' AS parked, count(*), count(*) FILTER (WHERE o.payload ? 'x') AS patched
FROM acteon_dispatch_segment AS s JOIN acteon_dispatch_outbox AS o ON o.id BETWEEN s.first_id AND s.last_id GROUP BY 1, 2, 3, s.due_at = 'infinity' ORDER BY 1, 2, 3;
SELECT * FROM marks;
SELECT * FROM acteon_replay_patch(:batch, patch => '{"x": 1}');
SELECT * FROM marks;
SELECT count(*) FROM acteon_outbox_check();
SELECT state, replayed, waiting, cancelled FROM acteon_replay_batches WHERE batch_id = :batch;
SELECT count(*), count(*) FILTER (WHERE action ->> 'tenant' IN ('acme', 'globex')) AS stopped, count(*) FILTER (WHERE action::jsonb -> 'payload' ? 'x') AS patched FROM acteon_outbox_claim('c', 100);
SELECT state FROM acteon_replay_pause(:batch);
SELECT patched, sent FROM acteon_replay_patch(:batch, patch => '{"y": 1}', tenant => 'acme');
SELECT state FROM acteon_replay_resume(:batch);
SELECT count(*) FROM acteon_outbox_claim('c', 100);
-- what is named is found by its new id, too, and goes on by its original one
SELECT o.action_id AS new_id FROM acteon_dispatch_outbox AS o WHERE original_action_id = 't-7' ORDER BY id DESC LIMIT 1 \gset
SELECT patched FROM acteon_replay_patch(:batch, patch => '{"z": 1}', action_ids => ARRAY[:'new_id']);
SELECT state FROM acteon_replay_resume(:batch, action_ids => '{t-3,t-7}');
SELECT state FROM acteon_replay_resume(:batch, tenant => 'acme');
SELECT count(*), count(*) FILTER (WHERE action::jsonb -> 'payload' ?& '{x,y}') AS twice, count(*) FILTER (WHERE action::jsonb -> 'payload' ?& '{x,z}') AS named FROM acteon_outbox_claim('c', 100);
SELECT count(*) FROM acteon_outbox_check();
SELECT details - 'sha256' AS details FROM acteon_replay_log WHERE event = 'patch' AND batch_id = :batch ORDER BY id;
-- arguments that are NULL because a query finds nothing would mean all of the batch
SELECT regexp_replace(attempt(format('SELECT acteon_replay_patch(%s, patch => ''{"a": 1}'', tenant => (SELECT tenant FROM acteon_audit WHERE false))', :batch)), 'batch \d+', 'batch N') AS nothing_found, attempt(format('SELECT acteon_replay_patch(%s, patch => ''{"a": 1}'', action_ids => ''{}'')', :batch)) AS no_ids;

-- what the canary has passed by was not counted in its step, and is not taken from it
CALL clean();
SELECT count(make_record('y-' || n, at => timestamptz '2026-01-01' + n * interval '1 s', tenant => CASE WHEN n BETWEEN 2 AND 50 THEN 'acme' ELSE 'globex' END, payload => jsonb_build_object('n', n))) FROM generate_series(1, 150) AS n;
SELECT batch_id AS batch FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'hold', start_at => now() + interval '1 h') \gset
SELECT state FROM acteon_replay_pause(:batch, tenant => 'acme');
SELECT patched FROM acteon_replay_patch(:batch, patch => '{"x": 1}', action_ids => '{y-1}');
SELECT canary_step, canary_actions, canary_last_id - first_outbox_id AS last FROM acteon_replay_batch WHERE id = :batch;
SELECT patched FROM acteon_replay_patch(:batch, patch => '{"x": 1}', tenant => 'acme');
SELECT canary_step, canary_actions, canary_last_id - first_outbox_id AS last FROM acteon_replay_batch WHERE id = :batch;
SELECT patched FROM acteon_replay_patch(:batch, patch => '{"x": 1}', tenant => 'globex');
SELECT canary_step, canary_actions FROM acteon_replay_batch WHERE id = :batch;
SELECT sum(s.last_id - s.first_id + 1) AS released FROM acteon_dispatch_segment AS s JOIN acteon_replay_batch AS b ON b.id = s.batch_id WHERE s.first_id <= b.canary_last_id AND s.stopped IS NULL;
SELECT count(*) FROM acteon_outbox_check();

-- what expires: the copy when the original would have; what has expired is not patched
CALL clean();
SELECT count(make_record('x-' || n, at => now() - n * interval '1 h', payload => jsonb_build_object('n', n))) FROM generate_series(1, 6) AS n;
SELECT batch_id AS batch FROM acteon_replay_bulk(outcome => 'failed', expire_after => '10 h') \gset
UPDATE acteon_dispatch_outbox SET expires_at = expires_at - interval '6 h', hash = NULL;
INSERT INTO acteon_replay_trail_head (hashed_from) VALUES (9223372036854775807) ON CONFLICT (singleton) DO UPDATE SET hashed_from = excluded.hashed_from;
UPDATE acteon_dispatch_segment SET expires_at = expires_at - interval '6 h';
SELECT * FROM acteon_replay_patch(:batch, patch => '{"x": 1}');
SELECT o.original_action_id, o.generation, o.payload, n.expires_at = o.expires_at AS same, s.expires_at <= n.expires_at AS noted
FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_outbox AS n ON n.original_action_id = o.original_action_id AND n.generation = 2 LEFT JOIN acteon_dispatch_segment AS s ON n.id BETWEEN s.first_id AND s.last_id WHERE o.generation = 1 ORDER BY o.id;
SELECT count(*) FROM acteon_outbox_check();
UPDATE acteon_dispatch_outbox SET expires_at = expires_at - interval '2 h', hash = NULL WHERE generation = 2;
UPDATE acteon_dispatch_segment SET expires_at = expires_at - interval '2 h';
SELECT action -> 'payload' AS payload FROM acteon_outbox_claim('c', 100);
SELECT state, count(*) FROM acteon_replay_items(:batch) GROUP BY state ORDER BY state;
SELECT count(*) FROM acteon_outbox_check();

-- the copy goes to the target of the original, under an id of that target; its lane is one of that target
CALL clean();
SET acteon_replay.targets = 'staging';
SELECT count(make_record('z-' || n, at => timestamptz '2026-01-01' + n * interval '1 s', metadata => CASE WHEN n > 3 THEN '{"__fingerprint": "a"}' ELSE '{}' END::jsonb, payload => jsonb_build_object('n', n))) FROM generate_series(1, 5) AS n;
SELECT batch_id AS batch FROM acteon_replay_bulk(outcome => 'failed', target => 'staging') \gset
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed');
SELECT * FROM acteon_replay_patch(:batch, patch => '{"x": 1}');
SELECT o.original_action_id, o.generation, o.target, o.payload ? 'x' AS patched, o.action_id = acteon_replay_id(o.original_action_id, o.generation, 0, coalesce(o.target, 'production')) AS its_own, s.target IS NOT DISTINCT FROM o.target AS same,
	s.lane IS NOT DISTINCT FROM acteon_dispatch_lane(o.tenant, o.fingerprint, coalesce(o.target, 'production')) AS same_lane
FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_segment AS s ON o.id BETWEEN s.first_id AND s.last_id ORDER BY o.id;
SELECT count(*) FROM acteon_outbox_check();
SELECT count(*), count(*) FILTER (WHERE action::jsonb -> 'payload' ? 'x') AS patched FROM acteon_outbox_claim('p', 100);
SELECT count(*), count(*) FILTER (WHERE action::jsonb -> 'payload' ? 'x') AS patched FROM acteon_outbox_claim('s', 100, '1 min', 'staging');
SELECT generation, batch_id - :batch AS batch, state FROM acteon_replay_lineage('z-1') ORDER BY batch_id, generation;
RESET acteon_replay.targets;

-- handed over: whose grants permit it, as before
CALL clean();
SELECT make_record('o-1', tenant => 'acme.eu', payload => '{"x": 0}'), make_record('o-2', tenant => 'acme.eu', payload => '{"x": 0}');
SELECT batch_id AS batch FROM acteon_replay_bulk(tenant => 'acme.eu') \gset
SELECT acteon_replay_hand_over(:batch, 'regress_acteon_replayer');
SET ROLE regress_acteon_replayer;
SELECT regexp_replace(attempt(format('SELECT acteon_replay_patch(%s, patch => ''{"a": 1}'')', :batch)), 'batch \d+', 'batch N');
SELECT state FROM acteon_replay_pause(:batch);
SET ROLE regress_acteon_boss;
SELECT patched FROM acteon_replay_patch(:batch, patch => '{"a": 1}');
RESET ROLE;
SELECT state, replayed, waiting, cancelled FROM acteon_replay_batches WHERE batch_id = :batch;

-- lanes: what would be overtaken stays
CALL clean();
SELECT count(make_record('l-' || n, at => timestamptz '2026-01-01' + n * interval '1 s', metadata => jsonb_build_object('__fingerprint', CASE WHEN n > 4 THEN 'b' ELSE 'a' END), payload => CASE WHEN n = 2 THEN '{"x": 1}' ELSE '{"x": 0}' END::jsonb)) FROM generate_series(1, 7) AS n;
SELECT batch_id AS batch FROM acteon_replay_bulk(from_time => '2000-01-01') \gset
SELECT count(*) AS lanes FROM (SELECT DISTINCT lane FROM acteon_dispatch_segment WHERE lane IS NOT NULL) AS l;
SELECT * FROM acteon_replay_patch(:batch, patch => '{"x": 1}');
SELECT o.original_action_id, o.payload FROM acteon_dispatch_segment AS s JOIN acteon_dispatch_outbox AS o ON o.id BETWEEN s.first_id AND s.last_id ORDER BY o.id;
SELECT count(*) FROM acteon_outbox_check();
SELECT make_record('l-8', at => '2026-01-02', metadata => '{"__fingerprint": "b"}');
SELECT replayed FROM acteon_replay_bulk(from_time => '2026-01-02');
SELECT * FROM acteon_replay_patch(:batch, patch => '{"x": 2}');

-- replayed again meanwhile: the later one counts
CALL clean();
SELECT make_record('twice', at => '2026-01-01', payload => '{"x": 0}'), make_record('once', at => '2026-01-02', payload => '{"x": 0}'), make_record('hidden', at => '2026-01-03', payload => '{"x": "[REDACTED]"}');
SELECT batch_id AS batch FROM acteon_replay_bulk(from_time => '2000-01-01', allow_redacted => true) \gset
SELECT success FROM acteon_replay('twice');
SELECT * FROM acteon_replay_patch(:batch, patch => '{"y": 1}');
SELECT original_action_id, generation, payload FROM acteon_dispatch_outbox ORDER BY id;
SELECT count(*) FROM acteon_outbox_check();
-- no patch, no batch, and batches that cannot be patched
SELECT attempt(format('SELECT acteon_replay_patch(%s)', :batch)) AS no_patch, attempt(format('SELECT acteon_replay_patch(%s, patch_path => ''$.a'')', :batch)) AS no_value, attempt('SELECT acteon_replay_patch(999999999, patch => ''{"a": 1}'')') AS no_batch, attempt('SELECT acteon_replay_patch(NULL, patch => ''{"a": 1}'')') AS null_batch;
UPDATE acteon_replay_batch SET is_complete = false WHERE id = :batch;
SELECT regexp_replace(attempt(format('SELECT acteon_replay_patch(%s, patch => ''{"a": 1}'')', :batch)), '\d+ is', 'N is');
UPDATE acteon_replay_batch SET is_complete = true, approved_at = now() WHERE id = :batch;
SELECT regexp_replace(attempt(format('SELECT acteon_replay_patch(%s, patch => ''{"a": 1}'')', :batch)), '\d+ was', 'N was');
UPDATE acteon_replay_batch SET approved_at = NULL WHERE id = :batch;
SELECT state FROM acteon_replay_cancel(:batch);
SELECT regexp_replace(attempt(format('SELECT acteon_replay_patch(%s, patch => ''{"a": 1}'')', :batch)), '\d+ is', 'N is');

-- who may: whose grants permit it for all of the batch, whoever has started it
CALL clean();
SELECT make_record('g-1', tenant => 'acme.eu', payload => '{"x": 0}'), make_record('g-2', tenant => 'acme', payload => '{"x": 0}');
UPDATE acteon_grants SET may_patch = true WHERE grantee = 'regress_acteon_patcher'::regrole AND 'acme.eu' = ANY (tenants);
SET ROLE regress_acteon_patcher;
SELECT batch_id AS batch FROM acteon_replay_bulk(outcome => 'failed', tenant_tree => 'acme') \gset
SELECT regexp_replace(attempt(format('SELECT acteon_replay_patch(%s, patch => ''{"a": 1}'', tenant => ''acme.eu'')', :batch)), 'batch \d+', 'batch N');
RESET ROLE;
SET ROLE regress_acteon_replayer;
SELECT regexp_replace(attempt(format('SELECT acteon_replay_patch(%s, patch => ''{"a": 1}'')', :batch)), 'batch \d+', 'batch N');
SET ROLE regress_acteon_boss;
SELECT patched FROM acteon_replay_patch(:batch, patch => '{"a": 1}', tenant => 'acme');
RESET ROLE;
SELECT state FROM acteon_replay_cancel(:batch);
SET ROLE regress_acteon_patcher;
SELECT batch_id AS batch FROM acteon_replay_bulk(tenant => 'acme.eu') \gset
SELECT patched FROM acteon_replay_patch(:batch, patch => '{"a": 1}');
RESET ROLE;
SELECT count(*) FROM acteon_outbox_check();

CALL clean();
REVOKE SELECT ON acteon_audit FROM regress_acteon_patcher, regress_acteon_replayer, regress_acteon_boss;
DROP ROLE regress_acteon_patcher, regress_acteon_replayer, regress_acteon_boss;
