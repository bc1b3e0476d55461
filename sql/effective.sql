-- What is replayed only if it is said in so many words: everything, what took effect, what nobody knows; and what never is.
CALL clean();
-- The actions that a replay takes, or why it does not; it is undone.
CREATE FUNCTION pg_temp.picked(query jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb;
BEGIN
	answer := acteon_replay_bulk(query);
	RAISE EXCEPTION USING ERRCODE = 'ZZ001',
		MESSAGE = format('%s replayed, %s failed, %s skipped, %s effective: %s', answer -> 'replayed', answer -> 'failed', answer -> 'skipped', answer -> 'effective',
			(SELECT string_agg(coalesce((r ->> 'original_action_id') || coalesce(' (' || (r ->> 'error') || ')', '')), ', ' ORDER BY n) FROM jsonb_array_elements(answer -> 'results') WITH ORDINALITY AS r (r, n)));
EXCEPTION WHEN SQLSTATE 'ZZ001' THEN
	RETURN SQLERRM;
END
$$;

-- a replay of many has a filter
SELECT attempt('SELECT acteon_replay_bulk()');
SELECT attempt('SELECT acteon_replay_bulk(max_records => 5, newest_first => true, reason => ''all of it'')');
SELECT attempt('SELECT acteon_replay_bulk(''{"limit": 5}''::jsonb)');
CALL acteon_replay_all();
CALL acteon_replay_all('{"reason": "all of it"}'::jsonb);
SELECT count(*) FROM acteon_replay_preview() WHERE section = 'total';

-- several outcomes
SELECT count(make_record(format('%s %s', o, n), outcome => o, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 min' + length(o) * interval '1 s'))
FROM unnest(ARRAY['failed', 'circuit_open', 'throttled', 'a,b']) AS o, generate_series(1, 2) AS n;
SELECT pg_temp.picked('{"outcome": "failed,circuit_open"}');
SELECT pg_temp.picked('{"outcome": " circuit_open ,\tfailed,failed ", "newest_first": true}');
SELECT pg_temp.picked('{"outcome": "nothing,throttled", "tenant": "acme", "namespace": "prod"}');
SELECT pg_temp.picked('{"outcome": "failed"}'), pg_temp.picked('{"outcome": ""}'), pg_temp.picked('{"outcome": " failed"}');
SELECT attempt(format('SELECT acteon_replay_bulk(outcome => %L)', o)) FROM unnest(ARRAY[',', 'failed,', ',failed', 'failed, ,throttled']) AS o;
SELECT attempt(format('SELECT acteon_replay_bulk(outcome => %L)', string_agg('o' || n, ','))) FROM generate_series(1, 33) AS n;
-- their pages: the cursor is that of the names, however they are written
SELECT next_cursor AS cursor FROM acteon_replay_bulk(outcome => 'failed , circuit_open', max_records => 3) \gset
SELECT replayed, jsonb_path_query_array(results, '$[*].original_action_id') AS ids, next_cursor FROM acteon_replay_bulk(outcome => 'failed,circuit_open', cursor => :'cursor');
SELECT query FROM acteon_replay_batch ORDER BY id;

-- what took effect, or will, is passed over
CALL clean();
SELECT count(make_record(n || ' ' || o, outcome => o, details => d::jsonb, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s'))
FROM (VALUES (1, 'executed', '{"status": "Success"}'), (2, 'executed', '{"status": "Failure"}'), (3, 'executed', '{}'), (4, 'failed', '{}'), (5, 'scheduled', '{}'),
	(6, 'pending_approval', '{}'), (7, 'grouped', '{}'), (8, 'deduplicated', '{}'), (9, 'chain_started', '{}'), (10, 'rerouted', '{}'), (11, 'suppressed', '{}')) AS r (n, o, d);
SELECT pg_temp.picked('{"tenant": "acme"}');
SELECT pg_temp.picked('{"tenant": "acme", "allow_effective": true}');
-- it takes no place in the window, and is counted up to its end
SELECT pg_temp.picked('{"tenant": "acme", "limit": 2}');
SELECT pg_temp.picked('{"tenant": "acme", "limit": 3}');
SELECT pg_temp.picked('{"outcome": "executed,failed"}');
CALL acteon_replay_all(tenant => 'acme', chunk => 3);
SELECT replayed, failed, skipped, passed_over FROM acteon_replay_batch;
SELECT item, matched, note FROM acteon_replay_preview(tenant => 'acme', include_replayed => true) WHERE section = 'not replayed';
-- a batch of before, when a call needed no filter, is continued nevertheless, without what took effect
UPDATE acteon_replay_batch SET is_complete = false, query = query - 'tenant', cursor = NULL RETURNING query - 'to' AS query;
SELECT count(make_record('new ' || o, outcome => o, details => '{"status": "Success"}')) FROM unnest(ARRAY['failed', 'executed']) AS o;
SELECT format('CALL acteon_replay_continue(%s)', id) FROM acteon_replay_batch
\gexec
SELECT attempt(format('SELECT acteon_replay_bulk(%L::jsonb)', query - 'to')) AS anew FROM acteon_replay_batch;
DELETE FROM acteon_audit WHERE action_id LIKE 'new %';
-- who asks for nothing else is told so
SELECT attempt('SELECT acteon_replay_bulk(outcome => ''executed'')');
SELECT attempt('SELECT acteon_replay_bulk(outcome => ''scheduled, executed'', tenant => ''acme'')');
CALL acteon_replay_all(outcome => 'deduplicated');
SELECT pg_temp.picked('{"outcome": "executed", "allow_effective": true, "include_replayed": true}');
SELECT section, matched, replayable FROM acteon_replay_preview(outcome => 'executed') WHERE section IN ('total', 'not replayed') ORDER BY section;
-- it does not stand in the way of another record of the action
CALL clean();
SELECT make_record('a', id => 'a1', outcome => 'executed', details => '{"status": "Success"}'), make_record('a', id => 'a2', at => '2026-01-01 12:01+00');
SELECT pg_temp.picked('{"tenant": "acme"}');
-- what no grant covers is skipped whatever became of it
CREATE ROLE regress_acteon_effect;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_effect', 'operator', '{globex}', '{*}', '{*}');
SET ROLE regress_acteon_effect;
SELECT replayed, failed, skipped FROM acteon_replay_bulk(tenant => 'acme');
RESET ROLE;
DELETE FROM acteon_grants;
DROP ROLE regress_acteon_effect;
-- a single one needs no flag, and is warned of
SELECT make_record('b', outcome => 'executed', details => '{"status": "Success"}'), make_record('c', outcome => 'executed', details => '{"status": "Failure"}'), make_record('d', outcome => 'scheduled');
SELECT success FROM acteon_replay('b');
SELECT success FROM acteon_replay('c');
SELECT success FROM acteon_replay('d');
-- so is one of whose replays one took effect, whatever became of later ones
CALL clean();
SELECT make_record('e');
CREATE PROCEDURE pg_temp.ended(replay integer, new_state text, new_effect text, at timestamptz) LANGUAGE sql AS $$
	SELECT finish(action_id, new_state) FROM acteon_dispatch_outbox WHERE generation = replay;
	UPDATE acteon_dispatch_delivery SET effect = new_effect, finished_at = at
	WHERE outbox_id = (SELECT id FROM acteon_dispatch_outbox WHERE generation = replay);
$$;
SELECT success FROM acteon_replay('e');
CALL pg_temp.ended(1, 'delivered', 'none', '2026-01-02 12:00+00');
SELECT success FROM acteon_replay('e');
CALL pg_temp.ended(2, 'delivered', 'done', '2026-01-03 12:00+00');
SELECT success, new_action_id <> (SELECT action_id FROM acteon_dispatch_outbox WHERE generation = 2) AS another FROM acteon_replay('e');
CALL pg_temp.ended(3, 'dead', NULL, '2026-01-04 12:00+00');
SELECT success FROM acteon_replay('e');
CALL pg_temp.ended(4, 'delivered', 'later', '2026-01-05 12:00+00');
SELECT success FROM acteon_replay('e');
-- the records tell it, too, and when it was
SELECT make_record('e', id => 'later', at => '2026-01-01 13:00+00', outcome => 'executed', details => '{"status": "Success"}');
SELECT success FROM acteon_replay('e', to_time => '2026-01-01 13:00+00');

-- intents: nobody knows how they ended
CALL clean();
SELECT make_record('lone', outcome => 'pending'), make_record('step', outcome => 'pending', chain_id => 'c1'), make_record('ended', outcome => 'pending'), make_record('ended'),
	make_record('young', outcome => 'pending', at => '2026-01-01 12:06+00'), make_record('newest', at => '2026-01-01 12:10+00', outcome => 'suppressed');
SELECT attempt('SELECT acteon_replay_bulk(outcome => ''pending'')');
SELECT attempt('SELECT acteon_replay_bulk(outcome => ''failed,pending'')');
CALL acteon_replay_all(outcome => 'pending');
-- they may have had attachments
SELECT pg_temp.picked('{"outcome": "pending", "allow_unproven": true}');
SELECT pg_temp.picked('{"outcome": "pending", "allow_unproven": true, "allow_partial": true}');
SELECT pg_temp.picked('{"outcome": "pending,failed", "allow_unproven": true, "allow_partial": true}');
SELECT section, item, matched, replayable, note FROM acteon_replay_preview(outcome => 'pending', allow_partial => true) WHERE section IN ('total', 'not replayed', 'left out');
SELECT section, item, matched, replayable FROM acteon_replay_preview(outcome => 'pending', allow_unproven => true, allow_partial => true) WHERE section IN ('total', 'not replayed', 'left out');
-- how old they are is measured by the newest record
SELECT make_record('last', at => '2026-01-01 12:20+00', outcome => 'executed');
SELECT pg_temp.picked('{"outcome": "pending", "allow_unproven": true, "allow_partial": true}');
-- a single one
SELECT acteon_replay('lone');
SELECT acteon_replay('lone', allow_unproven => true);
SELECT success FROM acteon_replay('lone', allow_unproven => true, allow_partial => true);
SELECT acteon_replay('step', allow_unproven => true, allow_partial => true);
SELECT success FROM acteon_replay('ended');
SELECT query FROM acteon_replay_batch ORDER BY id;
-- in a copy of the audit table it tells nothing that an outcome is missing
SET acteon_replay.audit_is_live = off;
SELECT acteon_replay_bulk(outcome => 'pending', allow_unproven => true);
SELECT acteon_replay('lone', allow_unproven => true, allow_partial => true);
CALL acteon_replay_all(outcome => 'failed,pending', allow_unproven => true);
SELECT pg_temp.picked('{"outcome": "failed", "include_replayed": true}');
RESET acteon_replay.audit_is_live;

-- chains: the record of the beginning is replayed, and no other
CALL clean();
SELECT count(make_record('chain', id => 'c' || n, outcome => o, provider => p, at => timestamptz '2026-01-01 12:00+00' + s * interval '1 s', chain_id => 'c1', payload => to_jsonb(n)))
FROM (VALUES (1, 'chain_completed', 'chain', 0), (2, 'chain_started', 'email', 1), (3, 'chain_step_completed', 'sms', 2), (4, 'chain_step_failed', 'email', 3), (5, 'chain_step_completed', 'parallel', 4)) AS r (n, o, p, s);
SELECT pg_temp.picked('{"tenant": "acme"}');
SELECT pg_temp.picked('{"tenant": "acme", "allow_effective": true}');
SELECT pg_temp.picked('{"outcome": "chain_step_failed"}');
SELECT item, matched, note FROM acteon_replay_preview(tenant => 'acme', allow_effective => true) WHERE section = 'not replayed';
SELECT success FROM acteon_replay('chain');
SELECT provider, payload FROM acteon_dispatch_outbox;
DELETE FROM acteon_audit WHERE outcome = 'chain_started';
SELECT acteon_replay('chain');

-- the gateway's own records are nobody's actions
CALL clean();
SELECT make_record('i1', provider => 'system', action_type => 'recurring.create', outcome => 'executed'), make_record('i2', provider => 'a2a', action_type => 'a2a.task.transition', outcome => 'completed', payload => NULL),
	make_record('i3', provider => 'webhook', action_type => 'group_notification'), make_record('i4', provider => 'system', action_type => 'page'), make_record('i5');
SELECT pg_temp.picked('{"tenant": "acme"}');
SELECT pg_temp.picked('{"lost": true}');
SELECT item, matched, note FROM acteon_replay_preview(tenant => 'acme') WHERE section = 'not replayed';
SELECT acteon_replay('i3');

-- doubts: what was asked for is kept with the batch
CALL clean();
SELECT make_record('d1'), make_record('d2'), make_record('d3');
SELECT success FROM acteon_replay('d1', on_doubt => 'hold');
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', on_doubt => 'hold', max_records => 1);
CALL acteon_replay_all(outcome => 'failed', on_doubt => 'resend');
SELECT id, on_doubt, query - 'to' AS query FROM acteon_replay_batch ORDER BY id;
SELECT attempt('SELECT acteon_replay_bulk(outcome => ''failed'', on_doubt => ''guess'')'), attempt('SELECT acteon_replay(''d1'', on_doubt => ''guess'')');
SELECT acteon_replay_bulk('{"outcome": "failed", "on_doubt": "hold", "include_replayed": true}'::jsonb) -> 'replayed' AS replayed;
SELECT on_doubt FROM acteon_replay_batch ORDER BY id DESC LIMIT 1;

-- one record that cannot be read fails alone, whatever of it is damaged
\set VERBOSITY terse
CALL clean();
ALTER TABLE acteon_audit ALTER action_payload SET STORAGE EXTERNAL, ALTER metadata SET STORAGE EXTERNAL, ALTER outcome_details SET STORAGE EXTERNAL, ALTER attachment_metadata SET STORAGE EXTERNAL;
SELECT count(make_record('u' || n, id => 'u' || n, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s', outcome => CASE WHEN n = 4 THEN 'rerouted' ELSE 'failed' END,
	payload => CASE WHEN n = 2 THEN to_jsonb(repeat('x', 9000)) ELSE '{}' END, metadata => CASE WHEN n = 3 THEN jsonb_build_object('k', repeat('x', 9000)) ELSE '{}' END,
	details => CASE WHEN n = 4 THEN jsonb_build_object('k', repeat('x', 9000)) ELSE '{}' END, attachments => CASE WHEN n = 5 THEN jsonb_build_array(repeat('x', 9000)) ELSE '[]' END))
FROM generate_series(1, 9) AS n;
SET max_stack_depth = '7MB';
UPDATE acteon_audit SET action_payload = (repeat('[', 5000) || repeat(']', 5000))::jsonb WHERE id = 'u6';
UPDATE acteon_audit SET metadata = jsonb_build_object('deep', (repeat('[', 20000) || repeat(']', 20000))::jsonb) WHERE id = 'u7';
RESET max_stack_depth;
SELECT pg_temp.picked('{"tenant": "acme", "allow_partial": true}');
SELECT reltoastrelid::regclass AS toast FROM pg_class WHERE oid = 'acteon_audit'::regclass \gset
BEGIN;
SET LOCAL allow_system_table_mods = on;
UPDATE pg_class SET relkind = 'r' WHERE oid = :'toast'::regclass;
TRUNCATE :toast;
UPDATE pg_class SET relkind = 't' WHERE oid = :'toast'::regclass;
COMMIT;
SELECT matched, replayable FROM acteon_replay_preview(tenant => 'acme') WHERE section = 'total';
SELECT item, matched FROM acteon_replay_preview(tenant => 'acme') WHERE section = 'not replayed';
SELECT replayed, failed, (SELECT string_agg(regexp_replace(r ->> 'error', 'pg_toast_\d+|value \d+', '…', 'g'), E'\n' ORDER BY n) FROM jsonb_array_elements(results) WITH ORDINALITY AS r (r, n)) AS errors FROM acteon_replay_bulk(tenant => 'acme');
SELECT array_agg(original_action_id ORDER BY id) FROM acteon_dispatch_outbox;
CALL acteon_replay_all(tenant => 'acme', include_replayed => true, chunk => 2);
SELECT count(*) FROM acteon_outbox_claim('c', 100);

\set VERBOSITY default
CALL clean();
ALTER TABLE acteon_audit ALTER action_payload SET STORAGE EXTENDED, ALTER metadata SET STORAGE EXTENDED, ALTER outcome_details SET STORAGE EXTENDED, ALTER attachment_metadata SET STORAGE EXTENDED;

-- with the functions of an earlier version the library says what is to be done
CREATE FUNCTION pg_temp.acteon_replay_bulk(namespace text, tenant text, OUT batch_id bigint, OUT replayed integer, OUT failed integer, OUT skipped integer, OUT results jsonb, OUT next_cursor text)
RETURNS record AS '$libdir/acteon_replay', 'acteon_replay_bulk' LANGUAGE C;
SELECT replayed FROM pg_temp.acteon_replay_bulk('prod', 'acme');
CREATE FUNCTION pg_temp.acteon_replay(action_id text, OUT original_action_id text, OUT new_action_id uuid, OUT success boolean, OUT error text)
RETURNS record AS '$libdir/acteon_replay', 'acteon_replay_text' LANGUAGE C;
SELECT success FROM pg_temp.acteon_replay('u1');
CALL clean();
