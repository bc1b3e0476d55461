-- What an outcome says about the effect, for every record and answer that was taken from the real gateway.
\set VERBOSITY terse
\set records `cat "$PG_ABS_SRCDIR/test/fixtures/gateway/audit_records.jsonl"`
\set answers `cat "$PG_ABS_SRCDIR/test/fixtures/gateway/dispatch_answers.jsonl"`
CREATE TEMP TABLE gateway_record AS
SELECT r ->> '_case' AS name, (r ->> '_provider_requests')::int AS requests, (r ->> '_provider_2xx')::int AS done_by_provider,
	r ->> 'outcome' AS outcome, r -> 'outcome_details' AS details, r ->> 'provider' AS provider, r ->> 'action_type' AS action_type, (r ->> 'duration_ms')::bigint AS duration_ms,
	acteon_effect(r ->> 'outcome', r -> 'outcome_details', r ->> 'provider', r ->> 'action_type', (r ->> 'duration_ms')::bigint) AS effect,
	acteon_effect(r ->> 'outcome', r -> 'outcome_details') AS effect_of_less
FROM string_to_table(:'records', E'\n') AS line, LATERAL (SELECT line::jsonb AS r) AS j WHERE line <> '';
CREATE TEMP TABLE gateway_answer AS
SELECT a ->> '_case' AS name, (a ->> 'status')::int AS status, a -> 'body' AS answer, acteon_answer_effect(a -> 'body') AS effect,
	CASE jsonb_typeof(a -> 'body') WHEN 'object' THEN (SELECT k FROM jsonb_object_keys(a -> 'body') AS k LIMIT 1) WHEN 'string' THEN a ->> 'body' ELSE jsonb_typeof(a -> 'body') END AS kind
FROM string_to_table(:'answers', E'\n') AS line, LATERAL (SELECT line::jsonb AS a) AS j
-- what a request had U+0000 in is no jsonb
WHERE line <> '' AND line !~ '\\u0000';

-- each kind of record, with what the provider had answered to
SELECT outcome, coalesce(details ->> 'status', details ->> 'code') AS how, details ->> 'attempts' AS attempts,
	CASE WHEN provider IN ('system', 'chain') THEN provider END AS internal, effect, count(*), min(done_by_provider) AS least_done, max(done_by_provider) AS most_done
FROM gateway_record GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5;
-- the truth: never none with an effect; never done without one, but for the log provider
SELECT name, outcome, details, provider, effect, done_by_provider FROM gateway_record
WHERE (done_by_provider > 0 AND effect = 'none') OR (done_by_provider = 0 AND effect = 'done' AND provider <> 'logp');
-- what is decided by the gateway, and what an outage is made of, had none in truth
SELECT name, outcome, effect FROM gateway_record WHERE effect = 'decided' AND done_by_provider > 0 OR outcome = 'circuit_open' AND effect <> 'none';
-- who knows less of a record is less certain, and never wrong; an answer of the same case says the same or more
SELECT outcome, details ->> 'code' AS code, details ->> 'attempts' AS attempts, effect, effect_of_less, count(*) FROM gateway_record WHERE effect_of_less <> effect GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3;
SELECT count(*) > 100 AS same FROM gateway_record AS r JOIN gateway_answer AS a USING (name) WHERE a.status = 200 AND a.effect = r.effect;
SELECT r.outcome, r.details ->> 'code' AS code, r.effect, a.answer, a.effect AS answer_effect
FROM gateway_record AS r JOIN gateway_answer AS a USING (name)
WHERE a.status = 200 AND a.effect <> r.effect AND r.outcome = ltrim(lower(regexp_replace(a.kind, '([A-Z])', '_\1', 'g')), '_')
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2;

-- each kind of answer
SELECT kind, coalesce(answer #>> ARRAY[kind, 'status'], answer #>> ARRAY[kind, 'code'], answer #>> ARRAY[kind, 'response', 'status']) AS how, effect, count(*)
FROM gateway_answer WHERE status = 200 GROUP BY 1, 2, 3 ORDER BY kind, 2;
-- the words are those of the column
SELECT count(*) FILTER (WHERE effect NOT IN ('done', 'none', 'later', 'decided', 'unknown')) FROM (SELECT effect FROM gateway_record UNION ALL SELECT effect FROM gateway_answer) AS e;

-- failures: what makes one certain, and what takes that away
CREATE FUNCTION pg_temp.failure(code text, message text, attempts text, provider text DEFAULT NULL, duration_ms bigint DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT acteon_effect('failed', jsonb_strip_nulls(jsonb_build_object('code', code, 'message', message, 'attempts', attempts::int)), provider, 'send', duration_ms)
$$;
\set refused 'connection error: error sending request for url (http://127.0.0.1:1/x)'
SELECT attempts, pg_temp.failure('CONNECTION', :'refused', attempts, 'hook') AS refused, pg_temp.failure('RATE_LIMITED', 'rate limited', attempts) AS rate_limited,
	pg_temp.failure('TIMEOUT', 'timeout after 30s', attempts) AS timeout, pg_temp.failure('EXECUTION_FAILED', 'execution failed: HTTP 400', attempts) AS execution_failed,
	pg_temp.failure('PROVIDER_NOT_FOUND', 'provider not found: x', attempts) AS not_found, pg_temp.failure('SERIALIZATION', 'x', attempts) AS serialization, pg_temp.failure('NEW_CODE', 'x', attempts) AS new_code
FROM unnest('{0,1,2,4,NULL}'::text[]) AS attempts;
-- several attempts, none of which can have timed out: four of a refused connection take 0.8 s
SELECT attempts, duration_ms, pg_temp.failure('CONNECTION', :'refused', attempts, 'hook', duration_ms) FROM (VALUES ('4', 801), ('4', 1699), ('4', 1700), ('2', 130), ('2', 1000), ('100', 9000), ('100', 30000), ('4', -1)) AS v (attempts, duration_ms);
SELECT provider, pg_temp.failure('CONNECTION', :'refused', '1', provider) AS refused FROM unnest('{hook,email,slack,teams,aws-sns,gcp-pubsub,slack2,NULL}'::text[]) AS provider;
-- the messages of native providers, and one that quotes ours
SELECT message, pg_temp.failure('CONNECTION', message, '1', 'hook') FROM (VALUES ('connection error: HTTP 503: down'), ('connection error: error sending request'), ('connection error: SMTP error: Connection error'),
	('connection error: HTTP 500: connection error: error sending request for url (http://x)'), (' connection error: error sending request for url (http://x)'), ('connection error: error sending request for url (http://x'),
	('connection error: error sending request for url (https://x)'), (''), (NULL)) AS v (message);
-- odd details
SELECT details, acteon_effect('failed', details, 'hook', 't') AS failed, acteon_effect('executed', details, 'hook', 't') AS executed, acteon_effect('rerouted', details, 'hook', 't') AS rerouted
FROM string_to_table($$null
1
"Success"
[]
["Success"]
{}
{"status": "Success"}
{"status": "failure"}
{"status": "Partial"}
{"status": 1}
{"status": {"a": "success"}}
{"code": "PROVIDER_NOT_FOUND"}
{"code": "PROVIDER_NOT_FOUND", "attempts": 1e99}
{"code": "PROVIDER_NOT_FOUND", "attempts": "1"}
{"response": {"status": "success"}}
{"response": [1]}$$, E'\n') AS line, LATERAL (SELECT line::jsonb AS details) AS d;
-- names that are not known, or nearly
SELECT outcome, acteon_effect(outcome) FROM unnest('{"",executed,Executed,EXECUTED,"executed ",pending,state_changed,recurring_created,dry_run,teleported,chain_started,chain_step_completed,chain_step_failed,chain_completed,chain_cancelled,NULL}'::text[]) AS outcome;
-- what the gateway records of itself has none; a client's own provider of such a name may have had one
SELECT provider, action_type, acteon_effect('executed', '{"status": "Success"}', provider, action_type), acteon_effect('completed', '{}', provider, action_type) AS completed
FROM (VALUES ('system', 'recurring.create'), ('system', 'send'), ('a2a', 'a2a.task.transition'), ('a2a', 'send'), ('chain', 'pipeline'), ('parallel', 'x'), ('email', 'group_notification'), ('email', NULL), (NULL, 'recurring.create')) AS v (provider, action_type);

-- answers that are not known, or none
SELECT answer, acteon_answer_name(answer) AS name, acteon_answer_effect(answer) FROM string_to_table($$null
1
true
[]
{}
""
"Executed"
"Deduplicated"
["Deduplicated"]
{"Executed": null}
{"Executed": {}}
{"Executed": {"status": "success"}}
{"Executed": {"status": "partial"}}
{"executed": {"status": "success"}}
{"Teleported": {"status": "success"}}
{"AlreadyDispatched": null}
{"AlreadyDispatched": {"error": "seen"}}
{"Published": {"topic": "t", "partition": 0, "offset": 1}}
{"Rerouted": {"response": {"status": "success"}}}
{"Rerouted": {"response": {"status": "failure"}}}
{"Rerouted": {}}
{"Failed": {"code": "TIMEOUT", "attempts": 1}}
{"Failed": "x"}
{"error": "provider not found"}
{"QuotaExceeded": {}}
{"DryRun": {}}$$, E'\n') AS line, LATERAL (SELECT line::jsonb AS answer) AS a;
SELECT acteon_answer_effect(NULL) IS NULL AS of_nothing, acteon_answer_effect(to_jsonb(repeat('Ж', 1000))) AS of_much, acteon_answer_name(NULL) IS NULL AS no_name, acteon_answer_name(to_jsonb(repeat('Ж', 1000))) = repeat('Ж', 1000)::name::text AS short_name;
SELECT proname, provolatile, proparallel FROM pg_proc WHERE proname IN ('acteon_effect', 'acteon_answer_effect', 'acteon_answer_name') ORDER BY 1;
