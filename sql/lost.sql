-- What an incident lost: which records lost => true finds, and which of an action and its replays.
\set VERBOSITY terse
CALL clean();
CREATE FUNCTION pg_temp.lost(query jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb;
BEGIN
	answer := acteon_replay_bulk('{"lost": true, "limit": 1000}' || query);
	RAISE EXCEPTION USING ERRCODE = 'ZZ001',	-- undo
		MESSAGE = coalesce((SELECT string_agg(coalesce(r ->> 'error', r ->> 'original_action_id'), ', ' ORDER BY n) FROM jsonb_array_elements(answer -> 'results') WITH ORDINALITY AS r (r, n)), 'nothing');
EXCEPTION WHEN SQLSTATE 'ZZ001' THEN
	RETURN SQLERRM;
END
$$;
CREATE FUNCTION pg_temp.preview(query jsonb, OUT section text, OUT item text, OUT matched bigint, OUT replayable bigint) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT 'matched', NULL, (p ->> 'matched')::bigint, (p ->> 'replayable')::bigint FROM acteon_replay_preview(query) AS p
	UNION ALL SELECT s, k, v::bigint, NULL FROM acteon_replay_preview(query) AS p, unnest(ARRAY['not_replayed', 'beware', 'left_out']) AS s, jsonb_each_text(p -> s) AS e (k, v)
$$;

-- each outcome that the gateway writes, with the details that it writes
CREATE TABLE outcomes (outcome text, details jsonb, lost boolean, certain boolean);
INSERT INTO outcomes VALUES
	('executed', '{"status": "Success"}', false, false),
	('executed', '{"status": "Failure"}', true, true),
	('executed', '{}', false, false),
	('failed', '{"code": "CONNECTION", "message": "connection error: error sending request for url (http://127.0.0.1:9/)", "attempts": 1, "retryable": true}', true, true),
	('failed', '{"code": "TIMEOUT", "message": "timeout", "attempts": 4, "retryable": true}', true, false),
	('failed', '{"code": "EXECUTION_FAILED", "message": "reset", "attempts": 1, "retryable": false}', true, false),
	('failed', '{"code": "PROVIDER_NOT_FOUND", "message": "no such provider", "attempts": 0, "retryable": false}', true, true),
	('failed', '{}', true, false),
	('circuit_open', '{"provider": "email", "fallback_chain": []}', true, true),
	('throttled', '{"retry_after_secs": 5}', true, true),
	('quota_exceeded', '{"used": 5, "limit": 5, "tenant": "acme", "overage_behavior": "block"}', true, true),
	('rerouted', '{"new_provider": "sms", "original_provider": "email"}', false, false),
	('suppressed', '{"rule": "quiet"}', false, false),
	('silenced', '{"silence_id": "s"}', false, false),
	('muted', '{"interval": "night"}', false, false),
	('deduplicated', '{}', false, false),
	('scheduled', '{"action_id": "x"}', false, false),
	('grouped', '{"group_id": "g"}', false, false),
	('pending_approval', '{"approval_id": "a"}', false, false),
	('chain_started', '{"chain_id": "c"}', false, false),
	('chain_step_failed', '{"error": "x"}', false, false),
	('pending', '{"phase": "intent"}', false, false),
	('something_new', '{}', false, false);
SELECT count(make_record(n || ' ' || o.outcome, id => 'o' || n, outcome => o.outcome, details => o.details, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s'))
FROM (SELECT *, row_number() OVER () AS n FROM outcomes) AS o;
SELECT pg_temp.lost();
SELECT pg_temp.lost('{"certain": true}');
SELECT pg_temp.lost() = string_agg(n || ' ' || outcome, ', ' ORDER BY n) FILTER (WHERE lost) AS lost,
	pg_temp.lost('{"certain": true}') = string_agg(n || ' ' || outcome, ', ' ORDER BY n) FILTER (WHERE certain) AS certain,
	pg_temp.lost('{"newest_first": true}') = string_agg(n || ' ' || outcome, ', ' ORDER BY n DESC) FILTER (WHERE lost) AS newest_first
FROM (SELECT *, row_number() OVER () AS n FROM outcomes) AS o;
-- the preview counts what may have had an effect apart
SELECT * FROM pg_temp.preview('{"lost": true}');
SELECT * FROM pg_temp.preview('{"lost": true, "certain": true}');
SELECT item, replayable, note FROM acteon_replay_preview(lost => true) WHERE section = 'beware';
SELECT note FROM acteon_replay_preview(lost => true, certain => true, max_records => 5, to_time => '2026-01-02 00:00+00', on_doubt => 'hold') WHERE section = 'query';
-- pages: every record once, whatever their size
CREATE FUNCTION pg_temp.pages(size integer, query jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb := '{}';
	ids text := '';
BEGIN
	LOOP
		answer := acteon_replay_bulk(jsonb_build_object('lost', true, 'limit', size, 'include_replayed', true, 'max_generation', 100) || query || jsonb_build_object('cursor', answer -> 'next_cursor'));
		ids := ids || (SELECT coalesce(string_agg(left(r ->> 'original_action_id', 2), '' ORDER BY n), '') FROM jsonb_array_elements(answer -> 'results') WITH ORDINALITY AS r (r, n)) || '|';
		EXIT WHEN answer ->> 'next_cursor' IS NULL;
	END LOOP;
	RETURN ids;
END
$$;
SELECT pg_temp.pages(1), pg_temp.pages(4), pg_temp.pages(4, '{"newest_first": true}'), pg_temp.pages(100);
SELECT pg_temp.pages(4, '{"tenant": "acme", "namespace": "prod"}'), pg_temp.pages(4, '{"provider": "email"}');
-- in chunks
CALL clean();
SELECT count(make_record(n || ' ' || o.outcome, id => 'o' || n, outcome => o.outcome, details => o.details, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s'))
FROM (SELECT *, row_number() OVER () AS n FROM outcomes) AS o;
CALL acteon_replay_all(lost => true, chunk => 2, reason => 'outage');
SELECT query - 'to' AS query, replayed, failed, skipped, passed_over FROM acteon_replay_batch;
CALL acteon_replay_all(lost => true);
DROP TABLE outcomes;

-- what became of the action afterwards
CALL clean();
SELECT count(make_record(a, id => a || n, outcome => o, details => d::jsonb, at => timestamptz '2026-01-01 12:00+00' + s * interval '1 s', tenant => t)) FROM (VALUES
	('a executed later', 1, 'failed', '{}', 0, 'acme'), ('a executed later', 2, 'executed', '{"status": "Success"}', 9, 'acme'),
	('b executed before', 1, 'executed', '{"status": "Success"}', 0, 'acme'), ('b executed before', 2, 'failed', '{}', 9, 'acme'),
	('c at the same time', 1, 'failed', '{}', 0, 'acme'), ('c at the same time', 2, 'executed', '{"status": "Success"}', 0, 'acme'),
	('d another tenant', 1, 'failed', '{}', 0, 'acme'), ('d another tenant', 2, 'executed', '{"status": "Success"}', 9, 'globex'),
	('e later', 1, 'throttled', '{}', 0, 'acme'), ('e later', 2, 'scheduled', '{}', 9, 'acme'),
	('f decided', 1, 'circuit_open', '{}', 0, 'acme'), ('f decided', 2, 'suppressed', '{}', 9, 'acme'),
	('g unknown', 1, 'circuit_open', '{}', 0, 'acme'), ('g unknown', 2, 'rerouted', '{}', 9, 'acme'),
	('h failed again', 1, 'circuit_open', '{}', 0, 'acme'), ('h failed again', 2, 'failed', '{}', 9, 'acme'),
	('i its own intent', 1, 'pending', '{}', 0, 'acme'), ('i its own intent', 2, 'failed', '{}', 0, 'acme'),
	('j a later intent', 1, 'failed', '{}', 0, 'acme'), ('j a later intent', 2, 'pending', '{}', 9, 'acme'),
	('k and its outcome', 1, 'failed', '{}', 0, 'acme'), ('k and its outcome', 2, 'pending', '{}', 9, 'acme'), ('k and its outcome', 3, 'circuit_open', '{}', 9, 'acme'),
	('l failed again', 1, 'failed', '{}', 0, 'acme'), ('l failed again', 2, 'executed', '{"status": "Failure"}', 9, 'acme'),
	('m a chain', 1, 'failed', '{}', 0, 'acme'), ('m a chain', 2, 'chain_step_completed', '{}', 9, 'acme')) AS r (a, n, o, d, s, t);
SELECT pg_temp.lost();
-- filters are about the record, not about what became of it
SELECT pg_temp.lost('{"to": "2026-01-01T12:00:05Z"}');

-- of an action and its replays one record, the latest that matches
CALL clean();
-- The record that the gateway writes of each replay, so many minutes after noon.
CREATE FUNCTION pg_temp.record(outcome text, details jsonb, minutes integer, resend integer DEFAULT 0) RETURNS text LANGUAGE sql AS $$
	SELECT count(make_record(new.id::text, id => 'of-' || new.id, outcome => record.outcome, details => record.details, at => timestamptz '2026-01-01 12:00+00' + minutes * interval '1 min',
		metadata => jsonb_build_object('replayed_from', original_action_id))) || ' recorded'
	FROM acteon_dispatch_outbox AS o, acteon_replay_id(original_action_id, generation, resend) AS new (id)
	WHERE NOT EXISTS (SELECT FROM acteon_audit AS a WHERE a.action_id = new.id::text)
$$;
-- The first action of the line of replays that an id belongs to, and how far down it is.
CREATE FUNCTION pg_temp.whose(query jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
	SELECT coalesce((SELECT string_agg(coalesce((WITH RECURSIVE line (id, depth) AS (SELECT i, 0 UNION ALL SELECT (a.metadata ->> 'replayed_from'), depth + 1 FROM line JOIN acteon_audit AS a ON a.action_id = line.id AND a.metadata ? 'replayed_from')
		SELECT id || repeat('''', depth) FROM line ORDER BY depth DESC LIMIT 1), i), ', ') FROM string_to_table(pg_temp.lost(query), ', ') AS i), '')
$$;
SELECT count(make_record('x' || n, outcome => 'circuit_open', at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s')) FROM generate_series(1, 3) AS n;
SELECT pg_temp.whose();
SELECT replayed FROM acteon_replay_bulk(lost => true);
-- waiting, running
SELECT pg_temp.whose();
SELECT * FROM pg_temp.preview('{"lost": true}');
SELECT count(*) FROM acteon_outbox_claim('c', 1000);
SELECT pg_temp.whose();
-- its replays had no effect: their records are the latest; before these are there, the first ones
SELECT acteon_outbox_ack(array_agg(o.id), array_agg(s.lease_token), array_agg('{"CircuitOpen": {"provider": "email", "fallback_chain": []}}'::jsonb))
FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_segment AS s ON o.id BETWEEN s.first_id AND s.last_id;
SELECT pg_temp.whose(), pg_temp.record('circuit_open', '{}', 10), pg_temp.whose();
SELECT * FROM pg_temp.preview('{"lost": true}');
-- without lost an action that was delivered has been replayed
SELECT replayed FROM acteon_replay_bulk(outcome => 'circuit_open', to_time => '2026-01-01 12:05+00');
-- the latest that matches
SELECT pg_temp.whose('{"to": "2026-01-01T12:05:00Z"}'), pg_temp.whose('{"from": "2026-01-01T12:05:00Z"}');
-- a second round, of which one has an effect, one none, and one nobody knows
SELECT replayed FROM acteon_replay_bulk(lost => true);
SELECT pg_temp.whose();
SELECT acteon_outbox_ack(array_agg(outbox_id ORDER BY outbox_id), array_agg(lease_token ORDER BY outbox_id),
	ARRAY['{"Executed": {"status": "success"}}', '{"Failed": {"code": "TIMEOUT", "message": "", "retryable": true, "attempts": 4}}', '{"CircuitOpen": {}}']::jsonb[])
FROM acteon_outbox_claim('c', 1000);
SELECT pg_temp.whose('{"to": "2026-01-01T12:20:00Z"}');
SELECT count(make_record(o.action_id::text, id => 'second-' || o.id, outcome => r.outcome, details => r.details::jsonb, at => timestamptz '2026-01-01 12:30+00' + o.id * interval '1 s', metadata => jsonb_build_object('replayed_from', original_action_id)))
FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM acteon_dispatch_outbox WHERE batch_id = (SELECT max(batch_id) FROM acteon_dispatch_outbox)) AS o
JOIN (VALUES (1, 'executed', '{"status": "Success"}'), (2, 'failed', '{"code": "TIMEOUT", "message": "", "attempts": 4}'), (3, 'circuit_open', '{}')) AS r (n, outcome, details) ON r.n = o.n;
SELECT pg_temp.whose(), pg_temp.whose('{"certain": true}'), pg_temp.whose('{"to": "2026-01-01T12:20:00Z"}');
-- a loop of replays ends all the same
SELECT pg_temp.lost('{"max_depth": 2}');
-- one that was given up, or cancelled, is no obstacle
CALL clean();
SELECT make_record('dead', outcome => 'circuit_open'), make_record('gone', outcome => 'circuit_open', at => '2026-01-01 12:01+00');
SELECT success FROM acteon_replay('dead');
SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('bad'::text)) FROM acteon_outbox_claim('c', 10);
SELECT success FROM acteon_replay('gone');
SELECT state FROM acteon_replay_cancel(2);
SELECT pg_temp.lost();
-- a replay that was given a new id since: its record has that one
CALL clean();
SELECT make_record('r', outcome => 'circuit_open');
SELECT success FROM acteon_replay('r');
SELECT count(*) FROM acteon_outbox_claim('c', 10);
UPDATE acteon_dispatch_segment SET resend = 2;
SELECT acteon_outbox_ack(array_agg(first_id), array_agg(lease_token), array_agg('{"CircuitOpen": {}}'::jsonb)) FROM acteon_dispatch_segment;
SELECT resend, effect FROM acteon_dispatch_delivery;
SELECT pg_temp.record('circuit_open', '{}', 10, resend => 2), pg_temp.whose();
SELECT replayed FROM acteon_replay_bulk(lost => true);
SELECT original_action_id = acteon_replay_id('r', 1, 2)::text AS of_the_new_id FROM acteon_dispatch_outbox ORDER BY id DESC LIMIT 1;
SELECT pg_temp.whose();
-- in doubt
CALL clean();
SELECT make_record('d', outcome => 'circuit_open');
SELECT success FROM acteon_replay('d');
SELECT acteon_outbox_doubt(array_agg(outbox_id), array_agg(lease_token), array_agg('no answer'::text)) FROM acteon_outbox_claim('c', 10);
SELECT pg_temp.lost(), pg_temp.lost('{"include_replayed": true}');
SELECT * FROM pg_temp.preview('{"lost": true}');

-- what the real gateway has recorded: certainly lost is only what no provider has answered to with success
CALL clean();
\set records `cat "$PG_ABS_SRCDIR/test/fixtures/gateway/audit_records.jsonl"`
CREATE TEMP TABLE truth AS
SELECT (r ->> '_provider_2xx')::int AS done_by_provider, (jsonb_populate_record(NULL::acteon_audit, r)).*
FROM string_to_table(:'records', E'\n') AS line, LATERAL (SELECT line::jsonb || '{"sequence_number": null}' AS r) AS j WHERE line <> '';
INSERT INTO acteon_audit SELECT (jsonb_populate_record(NULL::acteon_audit, to_jsonb(t))).* FROM truth AS t;
CREATE FUNCTION pg_temp.taken(query jsonb) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT string_to_table(pg_temp.lost('{"include_replayed": true, "allow_redacted": true, "allow_partial": true, "max_depth": 99}' || query), ', ')
$$;
SELECT count(*) FILTER (WHERE done_by_provider > 0) AS wrongly_certain, count(DISTINCT action_id) AS actions
FROM pg_temp.taken('{"certain": true}') AS action_id JOIN truth USING (action_id);
SELECT outcome, details ->> 'code' AS code, count(*), max(done_by_provider) AS most_done
FROM pg_temp.taken('{}') AS action_id JOIN truth USING (action_id), LATERAL (SELECT outcome_details AS details) AS d GROUP BY 1, 2 ORDER BY 1, 2;
-- and what is replayed unless somebody says otherwise is none that had an effect for certain
SELECT count(*) FILTER (WHERE acteon_effect(outcome, outcome_details, provider, action_type, duration_ms) IN ('done', 'later') OR outcome = 'deduplicated') AS effective, count(*) > 30 AS some
FROM pg_temp.taken('{"lost": false, "from": "2000-01-01T00:00:00Z"}') AS action_id JOIN truth USING (action_id)
WHERE NOT EXISTS (SELECT FROM truth AS t WHERE t.action_id = truth.action_id AND t.id <> truth.id);
DROP TABLE truth;

-- what goes with what
SELECT attempt('SELECT acteon_replay_bulk(lost => true, outcome => ''failed'')');
SELECT attempt('SELECT acteon_replay_bulk(certain => true, tenant => ''acme'')');
SELECT attempt('SELECT acteon_replay_preview(certain => true)');
SELECT attempt($$SELECT acteon_replay_bulk('{"lost": true, "outcome": "failed"}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"lost": "yes"}'::jsonb)$$);
CALL clean();
