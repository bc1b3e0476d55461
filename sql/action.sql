-- Reconstruction: what of the metadata becomes labels and fields.
CALL clean();
CREATE FUNCTION rebuilt(metadata jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb;
BEGIN
	DELETE FROM acteon_audit WHERE action_id = 'a';
	PERFORM make_record('a', metadata => metadata);
	PERFORM acteon_replay('a', allow_ended => true);
	SELECT jsonb_strip_nulls(jsonb_build_object('labels', labels - 'replayed_from', 'dedup_key', dedup_key, 'status', status, 'fingerprint', fingerprint,
			'starts_at', starts_at AT TIME ZONE 'UTC', 'ends_at', ends_at AT TIME ZONE 'UTC')) INTO answer
	FROM acteon_dispatch_outbox ORDER BY id DESC LIMIT 1;
	RETURN answer;
END
$$;
SET client_min_messages = warning;

-- values that are no strings become their compact JSON text, keys in the order of their bytes
SELECT value, rebuilt(jsonb_build_object('k', value::jsonb)) -> 'labels' ->> 'k' AS label
FROM (VALUES (1, '"text"'), (2, '""'), (3, 'true'), (4, 'false'), (5, 'null'), (6, '1'), (7, '-0'), (8, '1.50'), (9, '1e3'), (10, '1.0e-7'),
	(11, '123456789012345678901234567890.123456789'), (12, '[]'), (13, '{}'), (14, '[1, "a", null, [true, {}]]'),
	(15, '{"b": 1, "a": [1, 2]}'), (16, '{"bb": 1, "a": 2, "aa": 3, "b": 4, "": 5, "B": 6}'),
	(17, '{"outer": {"zz": {"y": 1, "x": 2}, "z": "deep"}, "inner": []}'),
	(18, '["quote \" backslash \\ slash \/ tab \t newline \n cr \r bs \b ff \f bell \u0007 del \u007f"]'),
	(19, '["é ü 日本語 𝄞 \u00e9"]'), (20, '{"é": 1, "z": 2, "ÿ": 3}')) AS v (n, value) ORDER BY n;

-- the compact text is JSON again, with the same value
SELECT bool_and((rebuilt(jsonb_build_object('k', value)) -> 'labels' ->> 'k')::jsonb = value) AS all_round_trips
FROM (SELECT jsonb_build_array(chr(n), jsonb_build_object(chr(n) || chr(n + 1), n)) AS value FROM generate_series(1, 300, 7) AS n) AS v;

-- keys: system keys are dropped but for five; one underscore is no system key; empty keys are keys
SELECT rebuilt('{"__dedup_key": "d", "__status": "firing", "__fingerprint": "f", "__starts_at": "2026-01-31T12:00:00Z", "__ends_at": "2026-01-31T14:30:00.123456789+02:00",
	"__trace": "x", "__": "x", "___": "x", "__replayed": {"a": 1}, "_one": "kept", "a__b": "kept", "": "empty key"}');

-- system keys that are no strings are dropped
SELECT rebuilt('{"__dedup_key": 1, "__status": null, "__fingerprint": ["f"], "__starts_at": 1767225600, "__ends_at": {}}');
SELECT rebuilt('{"__dedup_key": "", "__status": "", "__fingerprint": ""}');

-- times: RFC 3339 and nothing else
SELECT time, rebuilt(jsonb_build_object('__starts_at', time)) ->> 'starts_at' AS starts_at
FROM (VALUES (1, '2026-01-31T12:00:00Z'), (2, '2026-01-31t12:00:00z'), (3, '2026-01-31 12:00:00+00:00'), (4, '2026-01-31T12:00:00.5-05:30'),
	(5, '2024-02-29T23:59:60Z'), (6, '0001-01-01T00:00:00Z'), (7, '9999-12-31T23:59:59.999999Z'), (8, '2026-01-31T12:00:00.1234567Z'),
	(9, '2026-01-31T12:00:00'), (10, '2026-01-31'), (11, '2026-02-29T12:00:00Z'), (12, '2026-13-01T12:00:00Z'), (13, '2026-01-31T24:00:00Z'),
	(14, '2026-01-31T12:00:00+24:00'), (15, '2026-01-31T12:00:00+0100'), (16, '2026-01-31T12:00:00.Z'), (17, '2026-01-31T12:00Z'), (18, ' 2026-01-31T12:00:00Z'),
	(19, '2026-01-31T12:00:00Z '), (20, 'now'), (21, 'infinity'), (22, ''), (23, '0000-01-01T00:00:00Z'), (24, '26-01-31T12:00:00Z'), (25, '+026-01-31T12:00:00Z'),
	(26, '2026-01-31T12:00:00 Z'), (27, '2026-00-10T12:00:00Z'), (28, '2026-01-00T12:00:00Z')) AS t (n, time) ORDER BY n;

-- metadata that is no object has no labels
SELECT metadata, rebuilt(metadata::jsonb) FROM (VALUES (1, '[]'), (2, '["a", {"b": 1}]'), (3, '"text"'), (4, '1'), (5, 'null'), (6, 'true'), (7, '{}')) AS m (n, metadata) ORDER BY n;

-- replayed_from goes over an older one, among keys of every length
SELECT labels FROM acteon_dispatch_outbox ORDER BY id DESC LIMIT 1;
SELECT rebuilt('{"replayed_from": "older", "replayed_fron": "1", "replayed_frol": "2", "replayed_fro": "3", "replayed_from_": "4"}');
SELECT labels FROM acteon_dispatch_outbox ORDER BY id DESC LIMIT 1;

-- many labels: the jsonb that is written is what the server would write
DELETE FROM acteon_audit;
SELECT count(make_record('labels-' || n, metadata => (SELECT coalesce(jsonb_object_agg(repeat('k', 1 + i % 17) || i, CASE i % 4 WHEN 0 THEN to_jsonb(i) WHEN 1 THEN to_jsonb(repeat('v', i)) WHEN 2 THEN '""' ELSE 'null' END), '{}')
	FROM generate_series(1, n) AS i))) FROM unnest(ARRAY[0, 1, 30, 31, 32, 33, 63, 64, 65, 500]) AS n;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT o.original_action_id, o.labels = w.labels AS same, jsonb_send(o.labels) = jsonb_send(w.labels) AS same_text,
	o.labels::text::jsonb = o.labels AND pg_column_size(o.labels::text::jsonb) = pg_column_size(w.labels) AS same_size,
	(SELECT bool_and(o.labels -> key = value) FROM jsonb_each(w.labels)) AS every_key_found
FROM ONLY acteon_dispatch_outbox AS o JOIN acteon_audit AS a ON a.action_id = o.original_action_id,
	LATERAL (SELECT coalesce(jsonb_object_agg(key, CASE jsonb_typeof(value) WHEN 'string' THEN value ELSE to_jsonb(value::text) END), '{}')
		|| jsonb_build_object('replayed_from', a.action_id) AS labels FROM jsonb_each(a.metadata)) AS w
ORDER BY o.id;

-- payloads go out as they are stored: any JSON, small or large, compressed or not
DELETE FROM acteon_audit;
CALL clean();
SELECT make_record('p1', payload => '"scalar"'), make_record('p2', payload => '1.500'), make_record('p3', payload => 'null'), make_record('p4', payload => '[]'),
	make_record('p5', payload => jsonb_build_object('x', repeat('compressible ', 100000))),
	make_record('p6', payload => (SELECT jsonb_agg(md5(i::text)) FROM generate_series(1, 100000) AS i)),
	make_record('p7', payload => jsonb_build_object('x', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 200000) AS i)));
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT o.original_action_id, o.payload = a.action_payload AND o.payload::text = a.action_payload::text AS same, length(o.payload::text) AS length
FROM acteon_dispatch_outbox AS o JOIN acteon_audit AS a ON a.action_id = o.original_action_id ORDER BY 1;
-- they are the outbox's own copies
DELETE FROM acteon_audit;
VACUUM acteon_audit;
SELECT original_action_id, length(payload::text) FROM acteon_dispatch_outbox WHERE original_action_id > 'p4' ORDER BY 1;

-- redaction: a string value that is the placeholder, at any depth
CREATE FUNCTION redacted(payload jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM acteon_audit;
	PERFORM make_record('r', payload => payload);
	PERFORM acteon_replay('r');
	RETURN false;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	RETURN true;
END
$$;
SELECT payload, redacted(payload::jsonb)
FROM (VALUES (1, '{"a": "[REDACTED]"}'), (2, '"[REDACTED]"'), (3, '[1, ["[REDACTED]"]]'), (4, '{"a": {"b": [{"c": "[REDACTED]"}]}}'),
	(5, '{"[REDACTED]": 1}'), (6, '{"a": "was [REDACTED] here"}'), (7, '{"a": "[REDACTED"}'), (8, '["[REDA", "CTED]"]'), (9, '{"a": "[redacted]"}'), (10, '{}')) AS p (n, payload) ORDER BY n;
SELECT redacted(jsonb_build_object('long', repeat('x', 1000000), 'a', '[REDACTED]')) AS in_a_toasted_payload;
SET acteon_replay.redaction_placeholder = '***';
SELECT redacted('{"a": "[REDACTED]"}'), redacted('{"a": "***"}');
SET acteon_replay.redaction_placeholder = '';
SELECT redacted('{"a": "[REDACTED]"}'), redacted('{"a": ""}');
RESET acteon_replay.redaction_placeholder;
RESET client_min_messages;
DROP FUNCTION rebuilt, redacted;
CALL clean();
