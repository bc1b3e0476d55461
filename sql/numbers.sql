-- Numbers that are no options of a replay (those are in options.sql): at and beyond its
-- bounds, each is taken or refused with a reason, by every function.
\set VERBOSITY terse
CALL clean();
SELECT count(make_record('n' || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s')) FROM generate_series(1, 6) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 6);
SELECT outbox_id AS claimed, lease_token AS token FROM acteon_outbox_claim('numbers', 1, '1 h') \gset
SELECT acteon_api_key_create('numbers', current_user::text) IS NOT NULL AS key;

-- What is asked; a number stands in the place of %s.
CREATE TEMP TABLE asked (function text, argument text, call text);
INSERT INTO asked VALUES
	('acteon_api_begin', 'key_id', 'acteon_api_begin(%s, ''k'', decode(repeat(''00'', 32), ''hex''))'),
	('acteon_api_finish', 'key_id', 'acteon_api_finish(%s, ''k'', 200, ''{}'')'),
	('acteon_api_finish', 'status', 'acteon_api_finish(0, ''k'', %s, ''{}'')'),
	('acteon_api_housekeeping', 'key_ids', 'acteon_api_housekeeping(ARRAY[%s]::bigint[], ARRAY[now()])'),
	('acteon_effect', 'duration_ms', 'acteon_effect(''failed'', ''{"code": "CONNECTION", "attempts": 3, "message": "connection error: error sending request for url (http://x)"}'', ''hook'', ''x'', %s)'),
	('acteon_audit_records', 'max_records', 'acteon_audit_records(max_records => %s)::text'),
	('acteon_audit_verify', 'after_sequence', '(SELECT finding FROM acteon_audit_verify(''prod'', ''acme'', after_sequence => %s) LIMIT 1)'),
	('acteon_audit_verify', 'max_records', '(SELECT finding FROM acteon_audit_verify(''prod'', ''acme'', max_records => %s) LIMIT 1)'),
	('acteon_audit_verify', 'max_time', '(SELECT finding FROM acteon_audit_verify(''prod'', ''acme'', max_time => %s) LIMIT 1)'),
	('acteon_audit_records', 'skip', 'acteon_audit_records(skip => %s)::text'),
	('acteon_outbox_ack', 'outbox_id', format('acteon_outbox_ack(ARRAY[%%s]::bigint[], ARRAY[%s]::bigint[], ARRAY[''{}''::jsonb])', :token)),
	('acteon_outbox_ack', 'lease_token', format('acteon_outbox_ack(ARRAY[%s]::bigint[], ARRAY[%%s]::bigint[], ARRAY[''{}''::jsonb])', :claimed)),
	('acteon_outbox_check', 'from_id', '(SELECT count(*) FROM acteon_outbox_check(%s, NULL))'),
	('acteon_outbox_check', 'to_id', '(SELECT count(*) FROM acteon_outbox_check(NULL, %s))'),
	('acteon_outbox_claim', 'max_actions', '(SELECT count(*) FROM acteon_outbox_claim(''c'', %s))'),
	('acteon_outbox_claim', 'lease', '(SELECT count(*) FROM acteon_outbox_claim(''c'', 1, %s))'),
	('acteon_outbox_describe', 'outbox_ids', '(SELECT count(*) FROM acteon_outbox_describe(ARRAY[%s]::bigint[]))'),
	('acteon_outbox_doubt', 'outbox_id', format('acteon_outbox_doubt(ARRAY[%%s]::bigint[], ARRAY[%s]::bigint[], ARRAY[''x''])', :token)),
	('acteon_outbox_doubt', 'lease_token', format('acteon_outbox_doubt(ARRAY[%s]::bigint[], ARRAY[%%s]::bigint[], ARRAY[''x''])', :claimed)),
	('acteon_outbox_extend', 'lease_token', 'acteon_outbox_extend(ARRAY[%s]::bigint[], ''1 h'')'),
	('acteon_outbox_extend', 'lease', format('cardinality(acteon_outbox_extend(ARRAY[%s]::bigint[], %%s))', :token)),
	('acteon_outbox_nack', 'outbox_id', format('acteon_outbox_nack(ARRAY[%%s]::bigint[], ARRAY[%s]::bigint[], ARRAY[''x''])', :token)),
	('acteon_outbox_nack', 'lease_token', format('acteon_outbox_nack(ARRAY[%s]::bigint[], ARRAY[%%s]::bigint[], ARRAY[''x''])', :claimed)),
	('acteon_outbox_nack', 'retry_after', format('acteon_outbox_nack(ARRAY[%s]::bigint[], ARRAY[%s]::bigint[], ARRAY[''x''], ARRAY[%%s]::interval[])', :claimed, :token)),
	('acteon_outbox_purge', 'older_than', 'acteon_outbox_purge(%s, 1)'),
	('acteon_outbox_purge', 'max_actions', 'acteon_outbox_purge(''1 day'', %s)'),
	('acteon_outbox_redrive', 'outbox_id', 'acteon_outbox_redrive(ARRAY[%s]::bigint[])'),
	('acteon_outbox_redrive', 'batch_id', 'acteon_outbox_redrive(batch_id => %s)'),
	('acteon_replay_trail_link', 'max_rows', 'acteon_replay_trail_link(%s)'),
	('acteon_outbox_redrive', 'max_actions', 'acteon_outbox_redrive(batch_id => 1, max_actions => %s)'),
	('acteon_outbox_redrive', 'rate', 'acteon_outbox_redrive(batch_id => 1, rate => %s)'),
	('acteon_outbox_reject', 'outbox_id', format('acteon_outbox_reject(ARRAY[%%s]::bigint[], ARRAY[%s]::bigint[], ARRAY[''x''])', :token)),
	('acteon_outbox_reject', 'lease_token', format('acteon_outbox_reject(ARRAY[%s]::bigint[], ARRAY[%%s]::bigint[], ARRAY[''x''])', :claimed)),
	('acteon_replay_approve', 'batch_id', 'acteon_replay_approve(%s, ''x'')'),
	('acteon_replay_cancel', 'batch_id', 'acteon_replay_cancel(%s)'),
	('acteon_replay_timeline', 'buckets', '(SELECT count(*) FROM acteon_replay_timeline(buckets => %s))'),
	('acteon_replay_causes', 'max_causes', '(SELECT count(*) FROM acteon_replay_causes(max_causes => %s))'),
	('acteon_replay_id', 'generation', 'acteon_replay_id(''n1'', %s)'),
	('acteon_replay_id', 'resend', 'acteon_replay_id(''n1'', 1, %s)'),
	('acteon_replay_items', 'batch_id', '(SELECT count(*) FROM acteon_replay_items(%s))'),
	('acteon_replay_items', 'after_id', '(SELECT count(*) FROM acteon_replay_items(1, after_id => %s))'),
	('acteon_replay_items', 'max_items', '(SELECT count(*) FROM acteon_replay_items(1, max_items => %s))'),
	('acteon_replay_may', 'batch_id', 'acteon_replay_may(%s)'),
	('acteon_replay_hand_over', 'batch_id', 'acteon_replay_hand_over(%s, current_user::regrole)'),
	('acteon_replay_limit_set', 'rate', 'acteon_replay_limit_set(provider => ''x'', rate => %s)'),
	('acteon_replay_limit_set', 'concurrency', 'acteon_replay_limit_set(provider => ''x'', concurrency => %s)'),
	('acteon_replay_limit_set', 'breaker_window', 'acteon_replay_limit_set(provider => ''x'', breaker_window => %s)'),
	('acteon_replay_limit_set', 'breaker_share', 'acteon_replay_limit_set(provider => ''x'', breaker_share => %s)'),
	('acteon_replay_notify_set', 'min_actions', 'acteon_replay_notify_set(''n'', ''p'', ''t'', ''n'', ''t'', min_actions => %s)'),
	('acteon_replay_patch', 'batch_id', 'acteon_replay_patch(%s, ''{"a": 1}'')'),
	('acteon_replay_pause', 'batch_id', 'acteon_replay_pause(%s)'),
	('acteon_replay_policy_set', 'rate', 'acteon_replay_policy_set(''x'', rate => %s)'),
	('acteon_replay_policy_set', 'max_a_day', 'acteon_replay_policy_set(''x'', max_a_day => %s)'),
	('acteon_replay_policy_set', 'probe_every', 'acteon_replay_policy_set(''x'', probe_every => %s)'),
	('acteon_replay_policy_set', 'max_age', 'acteon_replay_policy_set(''x'', max_age => %s)'),
	('acteon_replay_proof', 'batch_id', '(SELECT sum(actions) FROM acteon_replay_proof(%s))'),
	('acteon_replay_proof', 'after', '(SELECT sum(actions) FROM acteon_replay_proof(1, after => %s))'),
	('acteon_replay_proof', 'max_actions', '(SELECT sum(actions) FROM acteon_replay_proof(1, max_actions => %s))'),
	('acteon_replay_proof_items', 'batch_id', '(SELECT count(*) FROM acteon_replay_proof_items(%s))'),
	('acteon_replay_proof_items', 'after', '(SELECT count(*) FROM acteon_replay_proof_items(1, after => %s))'),
	('acteon_replay_proof_items', 'max_items', '(SELECT count(*) FROM acteon_replay_proof_items(1, max_items => %s))'),
	('acteon_replay_preview', 'sample', '(SELECT acteon_replay_preview(''{"from": "2000-01-01T00:00:00Z"}''::jsonb, %s) IS NOT NULL)'),
	('acteon_replay_continue_step', 'batch_id', '(SELECT replayed FROM acteon_replay_continue_step(%s))'),
	('acteon_replay_continue_step', 'chunk', '(SELECT replayed FROM acteon_replay_continue_step(1, %s))'),
	('acteon_replay_read_batches', 'batch_id', '(SELECT count(*) FROM acteon_replay_read_batches(%s))'),
	('acteon_replay_read_batches', 'before', '(SELECT count(*) FROM acteon_replay_read_batches(before => %s))'),
	('acteon_replay_read_batches', 'newest', '(SELECT count(*) FROM acteon_replay_read_batches(newest => %s))'),
	('acteon_replay_resume', 'batch_id', 'acteon_replay_resume(%s)'),
	('acteon_replay_set_rate', 'batch_id', 'acteon_replay_set_rate(%s, 5)'),
	('acteon_replay_set_rate', 'rate', 'acteon_replay_set_rate(1, %s)'),
	('acteon_replay_set_start', 'batch_id', 'acteon_replay_set_start(%s, NULL)'),
	('acteon_replay_settle', 'batch_id', 'acteon_replay_settle(%s, ''cancel'', ''x'')'),
	('acteon_replay_settle', 'outbox_id', 'acteon_replay_settle(1, ''cancel'', ''x'', ARRAY[%s]::bigint[])'),
	('acteon_replay_shadow', 'batch_id', '(SELECT count(*) FROM acteon_replay_shadow(%s))'),
	('acteon_replay_shadow', 'other_batch_id', '(SELECT count(*) FROM acteon_replay_shadow(1, %s))'),
	('acteon_replay_shadow', 'after_id', '(SELECT count(*) FROM acteon_replay_shadow(1, other_target => ''staging'', after_id => %s))'),
	('acteon_replay_shadow', 'max_rows', '(SELECT count(*) FROM acteon_replay_shadow(1, other_target => ''staging'', max_rows => %s))'),
	('acteon_replay_shadow_counts', 'batch_id', '(SELECT count(*) FROM acteon_replay_shadow_counts(%s))'),
	('acteon_replay_shadow_counts', 'other_batch_id', '(SELECT count(*) FROM acteon_replay_shadow_counts(1, %s))');
-- Every such argument is there, but options, and those of procedures, which commit; see options.sql.
SELECT p.proname AS function, a.name AS argument
FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'acteon_replay'
	JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid AND d.deptype = 'e' AND p.prokind = 'f',
	unnest(p.proargtypes::oid[], p.proargnames[1:p.pronargs]) AS a (type, name)
WHERE a.type::regtype::text IN ('integer', 'bigint', 'numeric', 'interval', 'integer[]', 'bigint[]', 'numeric[]', 'interval[]')
	AND p.proname NOT IN ('acteon_replay', 'acteon_replay_bulk', 'acteon_replay_run') AND NOT (p.proname = 'acteon_replay_preview' AND a.name <> 'sample')
EXCEPT SELECT function, argument FROM asked ORDER BY 1, 2;

-- What comes of a call, which is taken back.
CREATE FUNCTION pg_temp.ask(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'SELECT ' || call;
	RAISE SQLSTATE 'AC000';
EXCEPTION WHEN SQLSTATE 'AC000' THEN
	RETURN 'taken';
WHEN OTHERS THEN
	RETURN format('%s: %s', SQLSTATE, regexp_replace(SQLERRM, '^batch -?\d+', 'batch N'));
END
$$;
SELECT function, argument, pg_temp.ask(format(call, value)) AS answer, string_agg(label, ', ' ORDER BY nth) AS numbers
FROM (SELECT a.*, format_type(t.type, NULL) AS type FROM asked AS a, LATERAL (
		SELECT u.type FROM pg_proc AS p, unnest(p.proargtypes::oid[], p.proargnames[1:p.pronargs]) AS u (type, name)
		WHERE p.proname = a.function AND u.name = a.argument ORDER BY p.pronargs DESC LIMIT 1) AS t) AS a
	JOIN (VALUES ('integer', '(-2147483648)', 1), ('integer', '(-1)', 2), ('integer', '0', 3), ('integer', '1', 4), ('integer', '2147483647', 5),
		('bigint', '(-9223372036854775808)', 1), ('bigint', '(-1)', 2), ('bigint', '0', 3), ('bigint', '9223372036854775807', 5),
		('numeric', '''-Infinity''', 1), ('numeric', '(-1)', 2), ('numeric', '0', 3), ('numeric', '0.00099', 4), ('numeric', '0.001', 5), ('numeric', '1e300', 6), ('numeric', '1e400', 7), ('numeric', '''Infinity''', 8), ('numeric', '''NaN''', 9),
		('interval', '''-178000000 years''::interval', 1), ('interval', '''-1 us''::interval', 2), ('interval', '''0''::interval', 3), ('interval', '''1 us''::interval', 4), ('interval', '''1 day''::interval', 5), ('interval', '''178000000 years''::interval', 6))
		AS v (of_type, value, nth) ON v.of_type = rtrim(a.type, '[]'),
	LATERAL (SELECT trim(replace(v.value, '::interval', ''), '()') AS label) AS l
GROUP BY function, argument, answer ORDER BY function COLLATE "C", argument COLLATE "C", min(nth);
CALL clean();
DELETE FROM acteon_api_keys WHERE name = 'numbers';
