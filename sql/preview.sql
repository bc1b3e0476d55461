-- acteon_replay_preview: what a replay would do, without doing it.
\set VERBOSITY terse
SET timezone = 'UTC';
SET datestyle = 'ISO';
CALL clean();
CREATE ROLE regress_acteon_preview;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
	('regress_acteon_preview', 'operator', '{acme}', '{*}', '{*}', '{*}'), ('regress_acteon_preview', 'viewer', '{initech}', '{*}', '{*}', '{*}');
-- The rows but the query and the plan, whose end is the time of the call.
CREATE FUNCTION pg_temp.preview(query jsonb, sample integer DEFAULT 0) RETURNS TABLE (section text, item text, matched bigint, replayable bigint, note text) LANGUAGE sql AS $$
	SELECT * FROM acteon_replay_preview(tenant => query ->> 'tenant', outcome => query ->> 'outcome', max_records => (query ->> 'limit')::integer, from_time => (query ->> 'from')::timestamptz,
		include_replayed => (query ->> 'include_replayed')::boolean, allow_redacted => (query ->> 'allow_redacted')::boolean, newest_first => (query ->> 'newest_first')::boolean,
		rate => (query ->> 'rate')::numeric, start_at => (query ->> 'start_at')::timestamptz, ramp => (query ->> 'ramp')::boolean, dedup => query ->> 'dedup',
		allow_partial => (query ->> 'allow_partial')::boolean, provider_override => query ->> 'provider_override', max_generation => (query ->> 'max_generation')::integer, sample => sample)
	WHERE section NOT IN ('query', 'plan')
$$;

-- nothing
SELECT * FROM pg_temp.preview('{}');
SELECT acteon_replay_preview('{}'::jsonb) - '{query,plan}'::text[] AS preview, acteon_replay_preview('{"to": "2026-01-01T00:00:00Z"}'::jsonb) -> 'query' AS query;

-- an incident with everything in it
SELECT count(make_record('i-' || n, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s', tenant => CASE WHEN n % 10 = 0 THEN 'acme.eu' ELSE 'acme' END,
	provider => CASE WHEN n % 8 = 0 THEN 'sms' ELSE 'email' END, metadata => CASE WHEN n > 90 THEN jsonb_build_object('__dedup_key', 'key ' || n % 3) ELSE '{}' END))
FROM generate_series(1, 100) AS n;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 12);
SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg(NULL::jsonb)) FROM acteon_outbox_claim('c', 2);
SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('bad'::text)) FROM acteon_outbox_claim('c', 3);
SELECT count(*) FROM acteon_outbox_claim('c', 4);
SELECT make_record('null payload', payload => NULL), make_record('redacted', payload => '{"a": ["[REDACTED]"]}'), make_record('sealed', payload => '"ENC[AES256-GCM,kid:k0,data:,iv:,tag:]"'),
	make_record('not sealed', payload => '["ENC["]'), make_record('attached'), make_record('i-51', id => 'again', at => '2026-01-01 13:00+00'),
	make_record('i-62', id => 'done', outcome => 'executed', at => '2026-01-01 12:02+00'), make_record('i-61', id => 'done before', outcome => 'executed', at => '2026-01-01 11:59+00'),
	make_record('lost', outcome => 'pending'), make_record('young', outcome => 'pending', at => now()), make_record('i-71', outcome => 'pending', at => '2026-01-01 12:01:11+00'),
	make_record('secret', tenant => 'globex', provider => 'pigeon', at => '2025-01-01'), make_record('readable', tenant => 'initech', provider => 'fax');
UPDATE acteon_audit SET attachment_metadata = '[{"id": "a"}]' WHERE action_id = 'attached';
SET ROLE regress_acteon_preview;
SELECT * FROM pg_temp.preview('{"rate": 20}', sample => 3);
-- nothing was written
SELECT count(*) AS actions, count(DISTINCT batch_id) AS batches FROM acteon_dispatch_outbox;
-- the same for programs
SELECT jsonb_pretty(acteon_replay_preview('{"to": "2026-01-02T00:00:00Z", "rate": 20, "limit": 1000}'::jsonb, 1) #- '{plan}');
-- and then, as shown
SELECT acteon_replay_preview('{"namespace": "prod"}'::jsonb) -> 'query' AS query \gset
BEGIN;
SELECT acteon_replay_bulk(:'query'::jsonb) - 'results' AS answer \gset
SELECT replayed, failed, skipped, passed_over, failures FROM acteon_replay_batch WHERE id = (:'answer'::jsonb -> 'batch_id')::bigint;
ROLLBACK;
-- but without a filter it is refused as before, and the preview says so
SELECT p ->> 'refused' AS refused, p -> 'query' AS query, p -> 'matched' AS matched FROM acteon_replay_preview('{}'::jsonb) AS p;
SELECT q AS query, acteon_replay_preview(q::jsonb) ->> 'refused' AS refused, split_part(attempt(format('SELECT acteon_replay_bulk(%L::jsonb)', acteon_replay_preview(q::jsonb) -> 'query')), ' | ', 1) AS as_shown
FROM unnest(ARRAY['{"limit": 5, "newest_first": true}', '{"lost": false}', '{"outcome": "executed"}', '{"outcome": "pending"}', '{"tenant": ""}']) AS q;
-- what took effect, if it is to happen once more
SELECT * FROM acteon_replay_preview(tenant => 'acme', allow_effective => true) WHERE item ~ 'effect';
SELECT acteon_replay_preview('{"tenant": "acme", "allow_effective": true}'::jsonb) #> '{beware,effective}' AS allowed, p #> '{beware,effective}' AS effective, p #> '{not_replayed,effective}' AS passed_over FROM acteon_replay_preview('{"tenant": "acme"}'::jsonb) AS p;
SELECT * FROM pg_temp.preview('{"include_replayed": true, "allow_redacted": true, "allow_partial": true, "dedup": "drop", "tenant": "acme"}');
RESET ROLE;

-- intents that are asked for
SELECT * FROM pg_temp.preview('{"outcome": "pending"}') WHERE section IN ('total', 'left out');
SELECT * FROM pg_temp.preview('{"outcome": "failed"}') WHERE section IN ('total', 'left out', 'beware');

-- the limits that end loops, and the other provider
SELECT item, matched, note FROM pg_temp.preview('{"max_generation": 1}') WHERE section = 'not replayed';
SET ROLE regress_acteon_preview;
SELECT * FROM pg_temp.preview('{"provider_override": "fax"}') WHERE section IN ('total', 'not replayed', 'provider');
RESET ROLE;

-- a limit ends it where the replay would end
SELECT * FROM pg_temp.preview('{"limit": 5, "from": "2026-01-01T12:00:01Z"}') WHERE section IN ('total', 'not replayed');
SELECT * FROM pg_temp.preview('{"limit": 5, "newest_first": true}', 2) WHERE section IN ('total', 'not replayed', 'sample');
SELECT q - 'cursor' - 'to' AS query, q ? 'cursor' AS goes_on
FROM (SELECT acteon_replay_preview(jsonb_build_object('cursor', next_cursor)) -> 'query' AS q FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 90)) AS p;

-- how long it takes
SELECT arguments, note, item FROM (VALUES ('{"rate": 0.001}'::jsonb), ('{"rate": 0.5}'), ('{"rate": 1, "ramp": true}'), ('{"rate": 1000}'), ('{}'), ('{"rate": 20.50, "start_at": "2126-01-01 02:00+00"}'), ('{"start_at": "2126-01-01 02:00+00"}')) AS a (arguments),
	pg_temp.preview(arguments) WHERE section = 'time';

-- twenty of each are named
CALL clean();
SELECT count(make_record('v-' || n, at => timestamptz '2026-01-01' + n * interval '1 s', action_type => 'type ' || n * n % 24)) FROM generate_series(1, 500) AS n;
SELECT count(make_record('w-' || n, at => timestamptz '2026-01-02' + n * interval '1 s', action_type => 'type ' || n)) FROM generate_series(1, 23) AS n;
SELECT section, item, matched, replayable FROM pg_temp.preview('{}') WHERE section = 'action type';
SELECT acteon_replay_preview('{}'::jsonb) #> '{others,action_type}' AS others;

-- a query in the wrong place, and bad input
SELECT count(*) FROM acteon_replay_preview('{"tenant": "acme"}');
SELECT attempt('SELECT acteon_replay_preview(sample => -1)'), attempt('SELECT acteon_replay_preview(''{}''::jsonb, 1001)');
SELECT attempt('SELECT acteon_replay_preview(NULL::jsonb)'), attempt('SELECT acteon_replay_preview(''[]''::jsonb)');
SELECT attempt('SELECT acteon_replay_preview(''{"limit": 0}''::jsonb)'), attempt('SELECT acteon_replay_preview(rate => 0)');
SELECT attempt('SELECT acteon_replay_preview(from_time => ''2026-01-02'', to_time => ''2026-01-01'')');
SELECT matched, replayable FROM acteon_replay_preview(max_records => 2000000000, rate => 20, sample => NULL) WHERE section = 'total';
SELECT acteon_replay_preview('{"from": "2126-01-01T00:00:00Z"}'::jsonb) -> 'query' AS query;
-- only who may replay, and without a reason
SET acteon_replay.require_reason = on;
SELECT matched FROM acteon_replay_preview() WHERE section = 'total';
RESET acteon_replay.require_reason;
DELETE FROM acteon_grants WHERE role = 'operator';
SET ROLE regress_acteon_preview;
SELECT attempt('SELECT acteon_replay_preview()');
RESET ROLE;
DELETE FROM acteon_grants;
DROP ROLE regress_acteon_preview;
CALL clean();
-- another record of the same moment says executed: the action may have happened already; an earlier one does not
SELECT make_record('same moment'), make_record('same moment', id => 'same', outcome => 'executed'),
	make_record('before'), make_record('before', id => 'just before', outcome => 'executed', at => at - interval '1 us')
FROM (VALUES (timestamptz '2026-01-01 12:00+00')) AS v (at);
SELECT section, item, matched, replayable FROM acteon_replay_preview(outcome => 'failed') WHERE section IN ('total', 'beware');
CALL clean();
