-- acteon_audit_verify: what was changed in the gateway's chain of hashes is found, and what no chain shows is not claimed.
SET timezone = 'Asia/Kathmandu';
SET datestyle = 'SQL, DMY';
\set VERBOSITY terse
\pset format unaligned
CALL clean();
-- Records that a gateway in its compliance mode wrote, run by run.
\set content `cat "$PG_ABS_SRCDIR/test/fixtures/gateway/audit_records.jsonl"`
CREATE TEMPORARY TABLE written AS
	SELECT line ->> '_run' AS run, (jsonb_populate_record(NULL::acteon_audit, line)).*
	FROM regexp_split_to_table(:'content', E'\n') AS l CROSS JOIN LATERAL CAST(l AS jsonb) AS line WHERE line ->> 'record_hash' IS NOT NULL;
SELECT count(*), count(DISTINCT (run, namespace, tenant)) AS chains FROM written;
CREATE PROCEDURE pg_temp.load(of_run text) LANGUAGE plpgsql AS $$
DECLARE
	columns text := (SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute WHERE attrelid = 'acteon_audit'::regclass AND attnum > 0 AND NOT attisdropped);
BEGIN
	TRUNCATE acteon_audit;
	EXECUTE format('INSERT INTO acteon_audit (%s) SELECT %s FROM written WHERE run = %L', columns, columns, of_run);
END
$$;
-- What a call finds, without what is the same for all.
CREATE FUNCTION pg_temp.found(call text DEFAULT $$'prod', 'acme'$$) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($q$SELECT concat_ws(' ', finding, sequence_number, record_id, '| ' || records, '| ' || regexp_replace(detail, ' Not shown by this.*', ''))
		FROM acteon_audit_verify(%s)$q$, call);
END
$$;
-- What is found after changes, which are undone.
CREATE FUNCTION pg_temp.tampered(VARIADIC changes text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	change text;
	seen text;
BEGIN
	FOREACH change IN ARRAY changes LOOP
		EXECUTE change;
	END LOOP;
	SELECT string_agg(f, E'\n') INTO seen FROM pg_temp.found() AS f;
	RAISE EXCEPTION USING MESSAGE = seen;
EXCEPTION WHEN raise_exception THEN
	RETURN QUERY SELECT * FROM regexp_split_to_table(SQLERRM, E'\n');
END
$$;

-- Every record that a gateway wrote is as it wrote it.
CREATE TEMPORARY TABLE verdicts (run text, namespace text, tenant text, verdict text);
DO $$
DECLARE
	runs text;
BEGIN
	FOR runs IN SELECT DISTINCT run FROM written LOOP
		CALL pg_temp.load(runs);
		INSERT INTO verdicts SELECT runs, c.namespace, c.tenant, f
		FROM (SELECT DISTINCT namespace, tenant FROM acteon_audit) AS c, pg_temp.found(format('%L, %L', c.namespace, c.tenant)) AS f;
	END LOOP;
END
$$;
SELECT * FROM verdicts ORDER BY run COLLATE "C", namespace COLLATE "C", tenant COLLATE "C", verdict COLLATE "C";

-- The result says what it does not show, and where to continue.
CALL pg_temp.load('soc2');
\pset expanded on
SELECT * FROM acteon_audit_verify('prod', 'acme');
SELECT * FROM acteon_audit_verify('prod', 'nobody');
\pset expanded off
SELECT pg_temp.found($$'prod', 'acme', max_records => 10$$);
SELECT pg_temp.found(format($$'prod', 'acme', after_sequence => 9, after_hash => %L$$, (SELECT record_hash FROM acteon_audit WHERE namespace = 'prod' AND tenant = 'acme' AND sequence_number = 9)));
SELECT pg_temp.found($$'prod', 'acme', after_sequence => 9, max_records => 15$$);
SELECT pg_temp.found($$'prod', 'acme', after_sequence => 24$$);
-- A time that is over at once leaves one record a call.
SELECT pg_temp.found($$'prod', 'acme', max_time => '0'$$);
SELECT pg_temp.found($$'prod', 'acme', max_time => '0', after_sequence => 23$$);
SELECT pg_temp.found($$'prod', 'acme', max_time => '0', max_records => 10, to_time => '2020-01-01'$$);
SELECT pg_temp.found($$'prod', 'acme', max_time => '1 day', max_records => 24$$);
-- Part of it, by time: all between the first and the last record of these times.
SELECT min(sequence_number), max(sequence_number), count(*) FROM acteon_audit WHERE namespace = 'prod' AND tenant = 'acme' AND dispatched_at >= (SELECT dispatched_at FROM acteon_audit WHERE namespace = 'prod' AND tenant = 'acme' AND sequence_number = 10);
SELECT pg_temp.found(format($$'prod', 'acme', from_time => %L$$, (SELECT dispatched_at FROM acteon_audit WHERE namespace = 'prod' AND tenant = 'acme' AND sequence_number = 10)));
SELECT pg_temp.found(format($$'prod', 'acme', to_time => %L, from_time => '2020-01-01'$$, (SELECT dispatched_at FROM acteon_audit WHERE namespace = 'prod' AND tenant = 'acme' AND sequence_number = 10)));
SELECT pg_temp.found($$'prod', 'acme', to_time => '2020-01-01'$$);

-- What is hashed.
CREATE FUNCTION pg_temp.set_of(number bigint, change text) RETURNS text LANGUAGE sql AS $$
	SELECT format('UPDATE acteon_audit SET %s WHERE namespace = ''prod'' AND tenant = ''acme'' AND sequence_number = %s', change, number)
$$;
SELECT change, pg_temp.tampered(pg_temp.set_of(5, change)) AS found FROM unnest(ARRAY['provider = ''sms''', 'dispatched_at = dispatched_at + interval ''1 us''', 'outcome = outcome || '' ''', 'verdict = ''deny''', 'action_type = ''x''',
	'action_id = ''x''', 'id = ''x''', 'tenant = ''acme.eu''', 'namespace = ''x''', 'previous_hash = record_hash', 'previous_hash = NULL', 'record_hash = upper(record_hash)', 'record_hash = NULL', 'record_hash = previous_hash', 'record_hash = ''''',
	'dispatched_at = ''infinity''', 'dispatched_at = ''0001-01-01 BC''']) AS change;
-- The first, the last, and an intent whose outcome is found without it.
SELECT pg_temp.tampered(pg_temp.set_of(0, 'previous_hash = record_hash'));
SELECT pg_temp.tampered(pg_temp.set_of(24, 'outcome = ''executed !'''));
-- What is not hashed is not found, as said.
SELECT pg_temp.tampered(pg_temp.set_of(5, 'action_payload = ''{"to": "somebody else"}'', metadata = ''{}'', outcome_details = ''{}'', caller_id = ''x'', matched_rule = ''x'', chain_id = ''x'', signature = ''x'', completed_at = now()'));
-- Records removed: in the middle, at the beginning as by expiry, at the end, which only shows if a record of it is known.
SELECT pg_temp.tampered($$DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number IN (5, 6, 7, 20)$$);
SELECT pg_temp.tampered($$DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number < 7$$);
SELECT pg_temp.tampered($$DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number < 7$$, pg_temp.set_of(7, 'previous_hash = NULL'));
SELECT pg_temp.tampered($$DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number > 20$$);
SELECT pg_temp.tampered($$DELETE FROM acteon_audit WHERE tenant = 'acme'$$);
-- Where it breaks: at the record, or at the first one behind what is missing.  The last row knows the first record, and how many are outside of the chain: of the times that are asked for, also behind a known record.
BEGIN;
DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number IN (0, 5, 6);
UPDATE acteon_audit SET provider = 'sms' WHERE tenant = 'acme' AND sequence_number = 9;
UPDATE acteon_audit SET previous_hash = NULL WHERE tenant = 'acme' AND sequence_number = 11;
UPDATE acteon_audit SET sequence_number = NULL WHERE tenant = 'acme' AND sequence_number = 24;
SELECT make_record('outside-' || n, tenant => 'acme', at => '2026-01-01'::timestamptz + n * interval '1 day') FROM generate_series(1, 3) AS n;
SELECT v.finding, v.sequence_number AS number, v.broken_at = v.record_id AS by_itself, b.sequence_number AS broken_at, f.sequence_number AS first, v.unchained
FROM acteon_audit_verify('prod', 'acme') WITH ORDINALITY AS v LEFT JOIN acteon_audit AS b ON b.id = v.broken_at LEFT JOIN acteon_audit AS f ON f.id = v.first_record_id ORDER BY v.ordinality;
SELECT finding, broken_at IS NOT NULL AS breaks, unchained FROM acteon_audit_verify('prod', 'acme', after_sequence => 12, from_time => '2026-01-02 12:00+00', to_time => '2026-01-03 12:00+00');
SELECT finding, broken_at IS NOT NULL AS breaks, unchained FROM acteon_audit_verify('prod', 'acme', after_sequence => 24);
SELECT finding, unchained FROM acteon_audit_verify('prod', 'acme', after_sequence => 12, max_records => 2);
ROLLBACK;
-- Numbers: swapped, shifted over a gap, used twice, negative, taken away.
SELECT pg_temp.tampered(pg_temp.set_of(5, 'sequence_number = 100'), pg_temp.set_of(6, 'sequence_number = 5'), pg_temp.set_of(100, 'sequence_number = 6'));
SELECT pg_temp.tampered($$UPDATE acteon_audit SET sequence_number = sequence_number + 100 WHERE tenant = 'acme' AND sequence_number > 10$$);
SELECT pg_temp.tampered($$DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number = 10$$, $$UPDATE acteon_audit SET sequence_number = sequence_number + 100 WHERE tenant = 'acme' AND sequence_number > 10$$,
	$$UPDATE acteon_audit SET sequence_number = sequence_number - 101 WHERE tenant = 'acme' AND sequence_number > 100$$);
SELECT pg_temp.tampered('DROP INDEX acteon_audit_sequence_idx', pg_temp.set_of(6, 'sequence_number = 5'));
SELECT pg_temp.tampered(pg_temp.set_of(6, 'sequence_number = -9223372036854775808'), pg_temp.set_of(7, 'sequence_number = 9223372036854775807'));
SELECT pg_temp.tampered(pg_temp.set_of(6, 'sequence_number = NULL'));
SELECT pg_temp.tampered(pg_temp.set_of(6, 'sequence_number = NULL, record_hash = NULL, previous_hash = NULL'), $$SELECT make_record('outside')$$);
-- A record put in between, with a right hash of its own, and one that was rewritten with a new hash.
SELECT pg_temp.tampered(pg_temp.set_of(6, $$provider = 'sms', record_hash = encode(sha256(convert_to(format('{"action_id":%s,"action_type":%s,"dispatched_at":"%s+00:00","id":%s,"namespace":"prod","outcome":%s,"previous_hash":"%s","provider":"sms","tenant":"acme","verdict":%s}',
	to_json(action_id), to_json(action_type), to_char(dispatched_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), to_json(id), to_json(outcome), previous_hash, to_json(verdict)), 'UTF8')), 'hex')$$));

-- A record that is known from elsewhere.
CREATE FUNCTION pg_temp.known(changes text, VARIADIC calls text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	seen text;
	hash text := (SELECT record_hash FROM acteon_audit WHERE namespace = 'prod' AND tenant = 'acme' AND sequence_number = 20);
BEGIN
	EXECUTE changes;
	SELECT string_agg(f, E'\n') INTO seen FROM unnest(calls) AS call, pg_temp.found(format(call, hash)) AS f;
	RAISE EXCEPTION USING MESSAGE = seen;
EXCEPTION WHEN raise_exception THEN
	RETURN QUERY SELECT * FROM regexp_split_to_table(SQLERRM, E'\n');
END
$$;
\set known '''''''prod'''', ''''acme'''', after_sequence => 20, after_hash => %L'''
SELECT pg_temp.known('SELECT 1', :known);
SELECT pg_temp.known($$DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number > 20$$, :known);
SELECT pg_temp.known($$DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number >= 20$$, :known);
SELECT pg_temp.known($$DELETE FROM acteon_audit WHERE tenant = 'acme'$$, :known);
SELECT pg_temp.known($$DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number <= 20$$, :known);
SELECT pg_temp.known($$DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number = 20$$, :known);
SELECT pg_temp.known($$DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number <= 20; UPDATE acteon_audit SET previous_hash = record_hash WHERE tenant = 'acme' AND sequence_number = 21$$, :known);
SELECT pg_temp.known($$UPDATE acteon_audit SET record_hash = previous_hash WHERE tenant = 'acme' AND sequence_number = 20$$, :known);

-- One that was changed and kept its hash, whether others are behind it or not.
SELECT pg_temp.known(pg_temp.set_of(20, 'provider = ''sms'''), :known, :known || $$, max_records => 1$$, $$'prod', 'acme', after_sequence => 20$$);
SELECT pg_temp.known(pg_temp.set_of(20, 'outcome = ''failed''') || $$; DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number > 20$$, :known, $$'prod', 'acme', after_sequence => 20$$);
SELECT pg_temp.known(pg_temp.set_of(20, 'previous_hash = ''x'''), :known || $$, to_time => '2000-01-01'$$);

-- Times do not keep the known record from being looked at, nor its end from being missed.
SELECT pg_temp.known($$DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number >= 19$$, :known || $$, from_time => '2100-01-01'$$, :known || $$, to_time => '2100-01-01'$$, :known || $$, to_time => '2000-01-01'$$);
SELECT pg_temp.known($$UPDATE acteon_audit SET record_hash = previous_hash WHERE tenant = 'acme' AND sequence_number = 20$$, :known || $$, from_time => '2100-01-01'$$);
-- One without a hash is told of, although it is only what others are compared with.
SELECT pg_temp.known(pg_temp.set_of(20, 'record_hash = NULL'), $$'prod', 'acme', after_sequence => 20$$);
-- A part ends behind one more that has its last number, and numbers below 0 do not fill it, but are not more than is wanted, either.
SELECT substring(k from '^(duplicate|more)') AS found FROM pg_temp.known('DROP INDEX acteon_audit_sequence_idx; ' || pg_temp.set_of(10, 'sequence_number = 9'), $$'prod', 'acme', max_records => 10$$) AS k WHERE k ~ '^(duplicate|more)';
SELECT pg_temp.known(pg_temp.set_of(6, 'sequence_number = -5'), $$'prod', 'acme', max_records => 2$$);
SELECT substring(k from '^(duplicate|more)') AS found FROM pg_temp.known('DROP INDEX acteon_audit_sequence_idx; UPDATE acteon_audit SET sequence_number = 3 WHERE tenant = ''acme'' AND sequence_number BETWEEN 3 AND 9', $$'prod', 'acme', max_records => 4$$, $$'prod', 'acme', max_records => 1, after_sequence => 2$$) AS k WHERE k ~ '^(duplicate|more)';
SELECT pg_temp.known('UPDATE acteon_audit SET sequence_number = -sequence_number WHERE tenant = ''acme'' AND sequence_number BETWEEN 1 AND 9', $$'prod', 'acme', max_records => 2$$, $$'prod', 'acme', max_time => '0'$$, $$'prod', 'acme', max_records => 1, to_time => '2000-01-01'$$);
-- Those without a hash are counted by each part between the times of the one before it and its last one: all of them once.
BEGIN;
SELECT make_record('outside-' || n, tenant => 'acme', at => dispatched_at + CASE WHEN n = 0 THEN interval '-1 day' WHEN n = 24 THEN '1 day' ELSE '0' END) FROM acteon_audit, unnest(ARRAY[0, 10, 24]) AS n WHERE tenant = 'acme' AND namespace = 'prod' AND sequence_number = n;
SELECT n, finding, unchained FROM generate_series(-1, 19, 5) AS n, acteon_audit_verify('prod', 'acme', after_sequence => nullif(n, -1), max_records => 5) ORDER BY n;
ROLLBACK;
-- What is longer than anything that the gateway writes is not hashed a thousand times.
SELECT pg_temp.tampered(pg_temp.set_of(24, 'verdict = repeat(''x'', 2000000)'));

-- Of 1,000 random changes of what is hashed, all are found: with this seed.
\set seed 0.42
SELECT setseed(:seed);
CREATE TEMPORARY TABLE changed (n integer, change text, found text[]);
DO $$
DECLARE
	columns text[] := ARRAY['id', 'action_id', 'namespace', 'tenant', 'provider', 'action_type', 'verdict', 'outcome', 'dispatched_at', 'previous_hash', 'record_hash', 'sequence_number'];
	r acteon_audit;
	field text;
	value text;
	change text;
	seen text[];
BEGIN
	FOR n IN 1 .. 1000 LOOP
		SELECT a.* INTO r FROM acteon_audit AS a ORDER BY namespace COLLATE "C", tenant COLLATE "C", sequence_number OFFSET floor(random() * (SELECT count(*) FROM acteon_audit)) LIMIT 1;
		field := columns[1 + floor(random() * cardinality(columns))];
		value := CASE field
			WHEN 'dispatched_at' THEN format('dispatched_at + %s * interval ''1 us''', (1 + floor(random() * 10 ^ floor(1 + random() * 14))) * (CASE WHEN random() < 0.5 THEN 1 ELSE -1 END))
			WHEN 'sequence_number' THEN (1000 + floor(random() * 1000))::text
			WHEN 'previous_hash' THEN CASE WHEN random() < 0.1 AND r.previous_hash IS NOT NULL THEN 'NULL' ELSE quote_literal(md5(random()::text) || md5(random()::text)) END
			ELSE (ARRAY[format('%I || %L', field, chr(33 + floor(random() * 90)::integer)), format('''x'' || %I', field), format('overlay(%I placing %L from %s)', field, chr(256 + floor(random() * 90)::integer), 1 + floor(random() * 3)),
				format('left(%I, -1)', field), format('reverse(%I || ''!'')', field), quote_literal(''), quote_literal(random()::text)])[1 + floor(random() * 7)]
		END;
		change := format('UPDATE acteon_audit SET %I = %s WHERE id = %L', field, value, r.id);
		seen := NULL;
		BEGIN
			EXECUTE change;
			-- of the tenant that it had, and of the one that it has
			SELECT array_agg(DISTINCT finding) INTO seen
			FROM (SELECT r.namespace, r.tenant UNION SELECT a.namespace, a.tenant FROM acteon_audit AS a WHERE a.id = r.id) AS c, acteon_audit_verify(c.namespace, c.tenant) WHERE finding <> 'checked';
			RAISE EXCEPTION 'undone';
		EXCEPTION WHEN raise_exception THEN
		END;
		INSERT INTO changed VALUES (n, change, seen);
	END LOOP;
END
$$;
SELECT count(*) AS changes, count(found) AS found FROM changed;
SELECT n, change FROM changed WHERE found IS NULL;

-- verify => 'required': only what has its hash, and is linked to the record before it, is replayed, whichever function is called.
CREATE FUNCTION pg_temp.replayed(VARIADIC changes text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	change text;
	seen text;
BEGIN
	FOREACH change IN ARRAY changes LOOP
		EXECUTE change;
	END LOOP;
	SELECT format('%s replayed, %s failed, %s skipped', replayed, failed, skipped) || coalesce((SELECT string_agg(E'\n' || concat_ws(' ', a.sequence_number, r ->> 'error'), '' ORDER BY a.sequence_number)
		FROM jsonb_array_elements(results) AS r JOIN acteon_audit AS a ON a.action_id = r ->> 'original_action_id' AND a.outcome <> 'pending' WHERE r ->> 'error' IS NOT NULL), '') INTO seen
	FROM acteon_replay_bulk(tenant => 'acme', namespace => 'prod', outcome => 'executed,failed,rerouted', allow_effective => true, allow_redacted => true, allow_partial => true, verify => 'required');
	RAISE EXCEPTION USING MESSAGE = seen;
EXCEPTION WHEN raise_exception THEN
	RETURN QUERY SELECT * FROM regexp_split_to_table(SQLERRM, E'\n');
END
$$;
SELECT sequence_number, outcome FROM acteon_audit WHERE namespace = 'prod' AND tenant = 'acme' AND outcome <> 'pending' ORDER BY sequence_number;
SELECT pg_temp.replayed('SELECT 1');
SELECT pg_temp.replayed(pg_temp.set_of(5, 'provider = ''sms'''), pg_temp.set_of(7, 'previous_hash = NULL'), pg_temp.set_of(8, 'record_hash = md5(id)'), pg_temp.set_of(10, 'provider = ''sms'''), $$DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number = 14$$);
SELECT pg_temp.replayed(pg_temp.set_of(1, 'sequence_number = -9223372036854775808'), pg_temp.set_of(3, 'sequence_number = NULL'), pg_temp.set_of(5, 'record_hash = NULL'), pg_temp.set_of(7, 'sequence_number = -5'));
-- What is not hashed does not count.
SELECT pg_temp.replayed(pg_temp.set_of(5, 'action_payload = ''{"to": "somebody else"}'''));
SELECT pg_temp.replayed('ALTER TABLE acteon_audit DROP COLUMN record_hash');
-- One action.
CREATE FUNCTION pg_temp.replayed_one(number bigint, how text, VARIADIC changes text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	change text;
	seen text;
BEGIN
	FOREACH change IN ARRAY changes LOOP
		EXECUTE change;
	END LOOP;
	seen := attempt(format('SELECT success FROM acteon_replay(%L, verify => %L, allow_redacted => true, allow_partial => true)', (SELECT action_id FROM acteon_audit WHERE namespace = 'prod' AND tenant = 'acme' AND sequence_number = number), how));
	RAISE EXCEPTION USING MESSAGE = seen;
EXCEPTION WHEN raise_exception THEN
	RETURN SQLERRM;
END
$$;
SET client_min_messages = error;
SELECT how, change, pg_temp.replayed_one(5, how, change) FROM unnest(ARRAY['required', 'off', 'none']) AS how, unnest(ARRAY['SELECT 1', pg_temp.set_of(5, 'provider = ''sms'''), pg_temp.set_of(5, 'previous_hash = NULL'), pg_temp.set_of(5, 'record_hash = NULL'),
	pg_temp.set_of(4, 'record_hash = ''x'''), $$DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number = 4$$]) AS change WHERE how = 'required' OR change LIKE '%sms%';
RESET client_min_messages;
-- All, and the preview, which counts them as well if they are not refused.
UPDATE acteon_audit SET provider = 'sms' WHERE namespace = 'prod' AND tenant = 'acme' AND sequence_number = 5;
UPDATE acteon_audit SET record_hash = NULL, previous_hash = NULL, sequence_number = NULL WHERE namespace = 'prod' AND tenant = 'acme' AND sequence_number = 7;
SELECT item, matched, replayable, note FROM acteon_replay_preview(tenant => 'acme', namespace => 'prod', outcome => 'executed,failed,rerouted', allow_effective => true, allow_redacted => true, allow_partial => true, verify => 'required') WHERE section IN ('not replayed', 'beware', 'summary');
SELECT item, matched, replayable, note FROM acteon_replay_preview(tenant => 'acme', namespace => 'prod', outcome => 'executed,failed,rerouted', allow_effective => true, allow_redacted => true, allow_partial => true) WHERE section = 'beware';
SELECT p -> 'not_replayed' AS not_replayed, p -> 'beware' AS beware FROM acteon_replay_preview('{"tenant": "acme", "namespace": "prod", "outcome": "executed,failed,rerouted", "allow_effective": true, "allow_redacted": true, "allow_partial": true, "verify": "required"}'::jsonb) AS p;
CALL acteon_replay_all(tenant => 'acme', namespace => 'prod', outcome => 'executed,failed,rerouted', allow_effective => true, allow_redacted => true, allow_partial => true, verify => 'required', chunk => 2);
SELECT query -> 'verify' AS verify, failures FROM acteon_replay_batches;
SELECT original_action_id, state, error FROM acteon_replay_items((SELECT max(batch_id) FROM acteon_replay_batches), state => 'refused');
CALL clean();
CALL pg_temp.load('soc2');

-- Who may: whose grants cover all providers and action types of the tenant.
CREATE ROLE viewer_acme;
CREATE ROLE operator_email;
CREATE ROLE only_gateway;
CREATE ROLE nobody;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
	('viewer_acme', 'viewer', '{acme}', '{prod}', '{*}', '{*}'),
	('operator_email', 'operator', '{*}', '{*}', '{email}', '{*}'),
	('operator_email', 'viewer', '{acme}', '{*}', '{*}', '{send_email}'),
	('only_gateway', 'gateway', '{*}', '{*}', '{*}', '{*}');
CREATE FUNCTION pg_temp.as_role(who regrole, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE 'SET LOCAL ROLE ' || who;
	answer := attempt(statement);
	RESET ROLE;
	RETURN answer;
END
$$;
SELECT who, call, pg_temp.as_role(who::regrole, format('SELECT finding || '' '' || records FROM acteon_audit_verify(%s)', call)) AS answer
FROM unnest(ARRAY['viewer_acme', 'operator_email', 'only_gateway', 'nobody']) AS who, unnest(ARRAY[$$'prod', 'acme'$$, $$'staging', 'globex'$$, $$'prod', 'none'$$, $$'prod', 'acme.none'$$]) AS call
WHERE who IN ('viewer_acme', 'operator_email') OR call LIKE '%acme''';
DELETE FROM acteon_grants;
DROP ROLE viewer_acme, operator_email, only_gateway, nobody;

-- Arguments that are wrong, and tables that have no chain.
SELECT call, attempt('SELECT finding FROM acteon_audit_verify(' || call || ')') FROM unnest(ARRAY['NULL, ''acme''', '''prod'', NULL', '''prod'', ''acme'', after_sequence => -1', '''prod'', ''acme'', after_sequence => 9223372036854775807',
	'''prod'', ''acme'', after_sequence => 9223372036854775806', '''prod'', ''acme'', after_hash => ''x''', '''prod'', ''acme'', max_records => 0', '''prod'', ''acme'', max_time => ''-1 s''', '''prod'', ''acme'', max_time => ''999999999 days''', '''prod'', ''acme'', from_time => ''-infinity'', to_time => ''infinity''']) AS call;
BEGIN;
ALTER TABLE acteon_audit DROP COLUMN previous_hash;
SELECT attempt($$SELECT finding FROM acteon_audit_verify('prod', 'acme')$$);
ROLLBACK;
BEGIN;
ALTER TABLE acteon_audit RENAME TO elsewhere;
SELECT attempt($$SELECT finding FROM acteon_audit_verify('prod', 'acme')$$);
ROLLBACK;
CALL clean();
