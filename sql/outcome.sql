-- The type acteon_outcome: jsonb in fewer bytes, which reads and compares as jsonb does.
CALL clean();

-- What the gateway answers, and what it never would.
CREATE TEMP TABLE answers (n integer GENERATED ALWAYS AS IDENTITY, answer jsonb NOT NULL);
INSERT INTO answers (answer) VALUES
	('{"Executed": {"body": {"accepted": true}, "headers": {}, "status": "success"}}'),
	('{"Executed": {"body": {"error": "down"}, "headers": {}, "status": "failure"}}'),
	('{"Executed": {"body": {"bytes": 814, "message_id": "msg-1234567"}, "headers": {}, "status": "success"}}'),
	('{"Executed": {"body": null, "headers": {}, "status": "success"}}'),
	('{"Executed": {"body": {}, "headers": {}, "status": "success"}}'),
	('{"Executed": {"body": {"a": 1}, "headers": {"x": "y"}, "status": "success"}}'),
	('{"Executed": {"body": {"a": 1}, "extra": 2, "headers": {}, "status": "success"}}'),
	('{"Executed": {"body": {"a": 1}, "status": "success"}}'),
	('{"Executed": {"body": ", \"status\": \"success\", \"headers\": {}}}", "headers": {}, "status": "success"}}'),
	('{"Executed": {"body": 1, "headers": {}, "status": "success"}, "More": {"body": 1, "status": "success", "headers": {}}}'),
	('[{"Executed": {"body": 1, "headers": {}, "status": "success"}}]'),
	('{"Executed": {}}'), ('{}'), ('[]'), ('null'), ('true'), ('0'), ('""'), ('"Deduplicated"'),
	('{"Failed": {"attempts": 1, "code": "CONNECTION", "message": "connection error: \"x\"\n\\", "retryable": true}}'),
	('{"n": [1.50, 1e3, -0.0, 12345678901234567890.123456789, 1E-20], "": {"": ""}, "é": "\u20ac\u0001"}'),
	(jsonb_build_object('Executed', jsonb_build_object('body', repeat('long ', 1000), 'headers', '{}'::jsonb, 'status', 'success')));
CREATE TEMP TABLE stored (n integer, outcome acteon_outcome, again acteon_outcome);
-- Written as text, and as a jsonb as it is, which is what version 1.0 has left.
INSERT INTO stored SELECT n, answer::text::acteon_outcome, answer FROM answers;

-- Both are the answer, as jsonb and as text.
SELECT count(*), bool_and(outcome::jsonb = answer AND again::jsonb = answer) AS jsonb,
	bool_and(outcome::text = answer::text AND again::text = answer::text) AS text,
	bool_and(outcome::json::text = answer::text AND again::json::text = answer::text) AS json,
	bool_and(acteon_outcome_send(outcome) = jsonb_send(answer) AND acteon_outcome_send(again) = jsonb_send(answer)) AS binary,
	bool_and(outcome = again AND acteon_outcome_cmp(outcome, again) = 0 AND acteon_outcome_hash(outcome) = jsonb_hash(answer)) AS compared
FROM stored JOIN answers USING (n);
-- Fewer bytes, and how many.
SELECT n, pg_column_size(outcome) AS stored, pg_column_size(again) AS as_jsonb, left(outcome::text, 60) AS outcome FROM stored WHERE n < 12 ORDER BY n;
SELECT bool_and(pg_column_size(outcome) <= pg_column_size(again)) AS never_more FROM stored;

-- Any jsonb: nested, of all types and sizes.
SELECT setseed(0.5);
WITH RECURSIVE made (n, depth, value) AS (
	SELECT n, 0, to_jsonb(n) FROM generate_series(1, 500) AS n
	UNION ALL
	SELECT n, depth + 1, CASE floor(random() * 7)
		WHEN 0 THEN jsonb_build_object('Executed', jsonb_build_object('body', value, 'headers', '{}'::jsonb, 'status', 'success'))
		WHEN 1 THEN jsonb_build_object('Executed', jsonb_build_object('body', value, 'headers', '{}'::jsonb, 'status', 'failure', 'b', n))
		WHEN 2 THEN jsonb_build_array(value, n, NULL, random() < 0.5)
		WHEN 3 THEN to_jsonb(value::text)
		WHEN 4 THEN jsonb_build_object(chr(33 + n % 90), value, 'k', (random() * 1e6)::numeric, '', repeat(chr(34 + n % 60), n % 50))
		WHEN 5 THEN jsonb_build_object('body', value, 'status', 'success', 'headers', '{}'::jsonb)
		ELSE to_jsonb((random() * 10 ^ (n % 30))::numeric) END
	FROM made WHERE depth < 5)
SELECT count(*), count(*) FILTER (WHERE outcome::jsonb IS DISTINCT FROM value OR outcome::text <> value::text) AS wrong
FROM (SELECT value, value::text::acteon_outcome AS outcome FROM made) AS m;

-- Strings of each length, with each kind of character at each place.
SELECT count(*), count(*) FILTER (WHERE outcome::text <> value::text OR outcome::jsonb <> value) AS wrong, bool_and(pg_column_size(outcome) < pg_column_size(value)) AS packed
FROM (SELECT value, value::text::acteon_outcome AS outcome FROM (
	SELECT jsonb_build_object('Executed', jsonb_build_object('body', overlay(repeat('x', len) PLACING c FROM pos FOR 1), 'status', 'success', 'headers', '{}'::jsonb)) AS value
	FROM generate_series(1, 35) AS len, generate_series(1, len) AS pos, unnest(ARRAY['"', E'\\', E'\n', E'\b', E'\x01', E'\x1f', ' ', '!', '#', '[', ']', '/', E'\x7f', 'é', '€']) AS c
	UNION ALL SELECT '{"Executed": {"body": "", "status": "success", "headers": {}}}') AS v) AS m;

-- All that reads jsonb reads it.
SELECT outcome -> 'Executed' ->> 'status' AS status, outcome #>> '{Executed,body,message_id}' AS path, outcome ? 'Executed' AS has,
	outcome @> '{"Executed": {"status": "success"}}' AS contains, jsonb_path_query_first(outcome, '$.Executed.body.bytes') AS jsonpath,
	coalesce(outcome, '{}'::jsonb) -> 'x' IS NULL AS coalesced, outcome = '{"Executed": {}}'::jsonb AS equals
FROM (SELECT outcome::jsonb AS outcome FROM stored WHERE n = 3) AS s;
SELECT outcome -> 'Executed' ->> 'status' AS status, outcome #>> '{Executed,body,message_id}' AS path, outcome ? 'Executed' AS has,
	outcome @> '{"Executed": {"status": "success"}}' AS contains, jsonb_path_query_first(outcome, '$.Executed.body.bytes') AS jsonpath,
	coalesce(outcome, '{}'::jsonb) -> 'x' IS NULL AS coalesced, outcome = '{"Executed": {}}'::jsonb AS equals
FROM stored WHERE n = 3;
SELECT to_jsonb(outcome) -> 'Executed' -> 'body' AS to_jsonb, row_to_json(s) -> 'outcome' -> 'Executed' -> 'body' AS row_to_json,
	jsonb_build_object('o', outcome) #> '{o,Executed,body}' AS built, (json_agg(outcome) OVER ()) -> 0 -> 'Executed' -> 'body' AS agg
FROM stored AS s WHERE n = 3;
SELECT outcome -> 'Executed' -> 'status' AS status, count(*), count(DISTINCT outcome) FROM (SELECT outcome FROM stored UNION ALL SELECT again FROM stored) AS s
WHERE outcome ? 'Executed' GROUP BY 1 ORDER BY 1;
SET enable_hashagg = off;
SELECT count(*) FROM (SELECT outcome FROM (SELECT outcome FROM stored UNION ALL SELECT again FROM stored) AS s GROUP BY outcome) AS g;
RESET enable_hashagg;
SET enable_sort = off;
SELECT count(*) FROM (SELECT outcome FROM (SELECT outcome FROM stored UNION ALL SELECT again FROM stored) AS s GROUP BY outcome) AS g;
RESET enable_sort;
SELECT array_agg(n ORDER BY outcome, n) = array_agg(n ORDER BY outcome::jsonb, n) AS sorted FROM stored;
-- What is no JSON is refused in the words of jsonb.
\set VERBOSITY terse
SELECT '{"Executed"'::acteon_outcome;

-- What was acked is read as it was sent, and what is said about it follows from it.
SELECT count(make_record('o' || n, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s')) FROM answers;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
CREATE TEMP TABLE sent AS
SELECT a.n, c.outbox_id, c.lease_token, a.answer FROM (SELECT *, row_number() OVER (ORDER BY outbox_id) AS n FROM acteon_outbox_claim('c')) AS c JOIN answers AS a USING (n);
SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg(answer)) FROM sent;
SELECT count(*), bool_and(d.outcome::text = answer::text) AS deliveries, bool_and(i.outcome = answer) AS items, bool_and(d.effect = acteon_answer_effect(answer)) AS effects,
	sum(pg_column_size(d.outcome)) FILTER (WHERE n < 12) < 0.7 * sum(pg_column_size(answer)) FILTER (WHERE n < 12) AS smaller
FROM sent JOIN acteon_dispatch_delivery AS d USING (outbox_id) JOIN acteon_replay_items((SELECT max(id) FROM acteon_replay_batch)) AS i USING (outbox_id);
-- A row of version 1.0, which has no effect, is read in the same way, packed or as it was.
CREATE FUNCTION pg_temp.read() RETURNS TABLE (deliveries bigint, same boolean, items boolean, verdicts text) LANGUAGE sql AS $$
	SELECT count(*), bool_and(d.outcome::text = answer::text), bool_and(i.outcome = answer),
		(SELECT string_agg(v, ', ' ORDER BY v) FROM (SELECT verdict || ' ' || count(*) FROM acteon_replay_proof_items(max(i.batch_id)) GROUP BY verdict) AS p (v))
	FROM sent JOIN acteon_dispatch_delivery AS d USING (outbox_id)
		JOIN (SELECT b.id AS batch_id, i.* FROM (SELECT max(id) AS id FROM acteon_replay_batch) AS b, acteon_replay_items(b.id) AS i) AS i USING (outbox_id)
$$;
SELECT * FROM pg_temp.read();
UPDATE acteon_dispatch_delivery AS d SET effect = NULL;
SELECT * FROM pg_temp.read();
UPDATE acteon_dispatch_delivery AS d SET outcome = answer FROM sent WHERE sent.outbox_id = d.outbox_id;
SELECT * FROM pg_temp.read();
