-- acteon_replay_bulk: what is picked, in which order, and what is reported.
CALL clean();
SELECT count(make_record(format('a-%s', lpad(n::text, 2, '0')), at => timestamptz '2026-01-01 12:00+00' + n * interval '1 min',
	tenant => CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'globex' END,
	namespace => CASE WHEN n % 3 = 0 THEN 'dev' ELSE 'prod' END,
	provider => CASE WHEN n % 5 = 0 THEN 'sms' ELSE 'email' END,
	action_type => CASE WHEN n % 7 = 0 THEN 'page' ELSE 'send_email' END,
	outcome => CASE WHEN n % 4 = 0 THEN 'suppressed' ELSE 'failed' END,
	verdict => CASE WHEN n % 4 = 0 THEN 'suppress' ELSE 'allow' END,
	matched_rule => CASE WHEN n % 4 = 0 THEN 'rule ' || n % 8 END,
	caller_id => CASE WHEN n % 9 = 0 THEN 'cron' ELSE '' END,
	chain_id => CASE WHEN n % 10 = 0 THEN 'chain' END)) FROM generate_series(1, 40) AS n;

-- each filter alone, and all together, pick exactly what SQL picks
CREATE FUNCTION picked(query jsonb) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb;
	ids text[];
BEGIN
	answer := acteon_replay_bulk('{"from": "2000-01-01T00:00:00Z", "allow_unproven": true}' || query);
	ids := ARRAY(SELECT r ->> 'original_action_id' FROM jsonb_array_elements(answer -> 'results') AS r);
	RAISE EXCEPTION USING ERRCODE = 'ZZ001', MESSAGE = ids::text;	-- undo
EXCEPTION WHEN SQLSTATE 'ZZ001' THEN
	RETURN SQLERRM::text[];
END
$$;
SELECT name, cardinality(picked(query)) AS picked, picked(query) = wanted AS same
FROM (VALUES
	('all', '{"limit": 1000}'::jsonb, ARRAY(SELECT action_id FROM acteon_audit ORDER BY dispatched_at)),
	('namespace', '{"namespace": "dev"}', ARRAY(SELECT action_id FROM acteon_audit WHERE namespace = 'dev' ORDER BY dispatched_at)),
	('tenant', '{"tenant": "globex"}', ARRAY(SELECT action_id FROM acteon_audit WHERE tenant = 'globex' ORDER BY dispatched_at)),
	('provider', '{"provider": "sms"}', ARRAY(SELECT action_id FROM acteon_audit WHERE provider = 'sms' ORDER BY dispatched_at)),
	('action_type', '{"action_type": "page"}', ARRAY(SELECT action_id FROM acteon_audit WHERE action_type = 'page' ORDER BY dispatched_at)),
	('outcome', '{"outcome": "suppressed"}', ARRAY(SELECT action_id FROM acteon_audit WHERE outcome = 'suppressed' ORDER BY dispatched_at)),
	('verdict', '{"verdict": "suppress"}', ARRAY(SELECT action_id FROM acteon_audit WHERE verdict = 'suppress' ORDER BY dispatched_at)),
	('matched_rule', '{"matched_rule": "rule 4"}', ARRAY(SELECT action_id FROM acteon_audit WHERE matched_rule = 'rule 4' ORDER BY dispatched_at)),
	('from', '{"from": "2026-01-01T12:30:00Z"}', ARRAY(SELECT action_id FROM acteon_audit WHERE dispatched_at >= '2026-01-01 12:30+00' ORDER BY dispatched_at)),
	('to', '{"to": "2026-01-01T13:05:00+01:00"}', ARRAY(SELECT action_id FROM acteon_audit WHERE dispatched_at <= '2026-01-01 12:05+00' ORDER BY dispatched_at)),
	('order', '{"order": "newest", "limit": 3}', ARRAY(SELECT action_id FROM acteon_audit ORDER BY dispatched_at DESC LIMIT 3)),
	('limit', '{"limit": 3}', ARRAY(SELECT action_id FROM acteon_audit ORDER BY dispatched_at LIMIT 3)),
	('caller_id', '{"caller_id": "cron"}', ARRAY(SELECT action_id FROM acteon_audit WHERE caller_id = 'cron' ORDER BY dispatched_at)),
	('chain_id', '{"chain_id": "chain"}', ARRAY(SELECT action_id FROM acteon_audit WHERE chain_id = 'chain' ORDER BY dispatched_at)),
	('newest_first', '{"newest_first": true, "limit": 5}', ARRAY(SELECT action_id FROM acteon_audit ORDER BY dispatched_at DESC LIMIT 5)),
	('together', '{"namespace": "prod", "tenant": "acme", "provider": "email", "action_type": "send_email", "outcome": "suppressed", "verdict": "suppress", "from": "2026-01-01T12:04:00Z", "to": "2026-01-01T12:32:00Z"}',
		ARRAY(SELECT action_id FROM acteon_audit WHERE namespace = 'prod' AND tenant = 'acme' AND provider = 'email' AND action_type = 'send_email'
			AND outcome = 'suppressed' AND verdict = 'suppress' AND dispatched_at BETWEEN '2026-01-01 12:04+00' AND '2026-01-01 12:32+00' ORDER BY dispatched_at)),
	('nothing', '{"tenant": "nobody"}', '{}')
) AS t (name, query, wanted);
SELECT count(*) AS left_by_that FROM acteon_dispatch_outbox;

-- the two forms are one: same arguments, same picks, same batch
BEGIN;
SELECT replayed, failed, skipped, next_cursor FROM acteon_replay_bulk(namespace => 'prod', tenant => 'acme', provider => 'email', action_type => 'send_email', outcome => 'failed',
	verdict => 'allow', from_time => '2026-01-01 12:02+00', to_time => '2026-01-01 12:38+00', max_records => 4, caller_id => '', newest_first => true,
	rate => 2.5, start_at => '2126-01-01 00:00+00', reason => 'both forms', include_replayed => false, allow_redacted => true);
SELECT query FROM acteon_replay_batch;
SELECT answer - 'results' AS answer, jsonb_array_length(answer -> 'results') AS results
FROM acteon_replay_bulk((SELECT query || '{"include_replayed": true}' FROM acteon_replay_batch)) AS answer;
SELECT array_agg(original_action_id ORDER BY id) FROM acteon_dispatch_outbox GROUP BY batch_id ORDER BY batch_id;
SELECT query FROM acteon_replay_batch ORDER BY id DESC LIMIT 1;
ROLLBACK;

-- the answer
SELECT * FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 2, reason => 'first two');
SELECT jsonb_pretty(acteon_replay_bulk('{"from": "2000-01-01T00:00:00Z", "limit": 1, "reason": "next one"}'::jsonb));
SELECT * FROM acteon_replay_bulk(tenant => 'nobody');
SELECT acteon_replay_bulk('{"tenant": "nobody"}'::jsonb);
SELECT id, reason, query, replayed, scope FROM acteon_replay_batch ORDER BY id;

-- a literal without a type is taken for the namespace: say so
SELECT replayed FROM acteon_replay_bulk('{"tenant": "acme"}');

-- pages: every record once, in order, whatever the direction; the last page has no cursor
CREATE FUNCTION pages(query jsonb) RETURNS TABLE (page integer, ids text) LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb;
BEGIN
	page := 0;
	LOOP
		answer := acteon_replay_bulk('{"from": "2000-01-01T00:00:00Z"}' || query || '{"include_replayed": true}' || CASE WHEN page = 0 THEN '{}' ELSE jsonb_build_object('cursor', answer -> 'next_cursor') END);
		page := page + 1;
		ids := (SELECT string_agg(r ->> 'original_action_id', ' ') FROM jsonb_array_elements(answer -> 'results') AS r);
		RETURN NEXT;
		EXIT WHEN answer ->> 'next_cursor' IS NULL;
	END LOOP;
END
$$;
CALL clean();
SELECT count(make_record('p' || n, id => 'id-' || (100 - n), at => timestamptz '2026-01-01 12:00+00' + n / 4 * interval '1 microsecond')) FROM generate_series(1, 10) AS n;
SELECT * FROM pages('{"limit": 3}');
SELECT * FROM pages('{"limit": 3, "newest_first": true}');
SELECT * FROM pages('{"limit": 5}');
SELECT * FROM pages('{"limit": 10}');
SELECT * FROM pages('{"limit": 3, "tenant": "acme", "namespace": "prod"}');

-- no grant and no payload take a place in the window; the cursor gets past them
CALL clean();
CREATE ROLE regress_acteon_bulk;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_bulk', 'operator', '{acme}', '{*}', '{*}');
SELECT make_record('s1', at => '2026-01-01 12:01+00', tenant => 'acme-corp'), make_record('s2', at => '2026-01-01 12:02+00', payload => NULL),
	make_record('s3', at => '2026-01-01 12:03+00', payload => '["[REDACTED]"]'), make_record('s4', at => '2026-01-01 12:04+00'),
	make_record('s5', at => '2026-01-01 12:05+00', tenant => 'acme.eu');
SET ROLE regress_acteon_bulk;
SELECT replayed, failed, skipped, results, next_cursor FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 2) \gset first_
SELECT :first_replayed AS replayed, :first_failed AS failed, :first_skipped AS skipped, :'first_results' AS results;
SELECT replayed, failed, skipped, jsonb_path_query_array(results, '$[*].original_action_id') AS ids, results -> 0 -> 'error' AS first_error, next_cursor
FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 2, cursor => :'first_next_cursor') \gset second_
SELECT :second_replayed AS replayed, :second_failed AS failed, :second_skipped AS skipped, :'second_ids' AS ids, :'second_first_error' AS first_error;
SELECT replayed, failed, skipped, jsonb_path_query_array(results, '$[*].original_action_id') AS ids, next_cursor
FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 2, cursor => :'second_next_cursor');
SELECT id, replayed, failed, skipped, scope FROM acteon_replay_batch ORDER BY id;
RESET ROLE;
-- with the flag it goes out, and is told apart in the batch
SELECT replayed, failed FROM acteon_replay_bulk(tenant => 'acme', allow_redacted => true);
SELECT query FROM acteon_replay_batch ORDER BY id DESC LIMIT 1;
DELETE FROM acteon_grants;
DROP ROLE regress_acteon_bulk;

-- several records of one action: once, the oldest
CALL clean();
SELECT make_record('same', id => 'x1', at => '2026-01-01 12:01+00', payload => '1'), make_record('other', at => '2026-01-01 12:02+00'),
	make_record('same', id => 'x2', at => '2026-01-01 12:03+00', payload => '2'), make_record('same', id => 'x3', at => '2026-01-01 12:04+00', payload => '3');
SELECT replayed, jsonb_array_length(results) AS results FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true);
SELECT original_action_id, payload, generation FROM acteon_dispatch_outbox ORDER BY id;
-- also when they come in different windows, and when they fail
SELECT make_record('bad', id => 'z1', at => '2026-01-01 13:01+00', payload => '"[REDACTED]"'), make_record('bad', id => 'z2', at => '2026-01-01 13:02+00', payload => '"[REDACTED]"');
SELECT failed, jsonb_array_length(results) AS results FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 2);
SELECT failed, jsonb_array_length(results) AS results FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true, max_records => 3);

-- intents: left out, unless asked for; then the lone ones that are old enough, by the newest record
CALL clean();
SELECT make_record('lost', outcome => 'pending'), make_record('done', outcome => 'pending'), make_record('done', outcome => 'executed'),
	make_record('later', outcome => 'pending'), make_record('later', outcome => 'failed', at => '2026-01-01 12:00:01+00'),
	make_record('lost again', outcome => 'failed', at => '2026-01-01 11:00+00'), make_record('lost again', outcome => 'pending', at => '2026-01-01 13:00+00'),
	make_record('young', outcome => 'pending', at => now() - interval '4 min'), make_record('old enough', outcome => 'pending', at => now() - interval '6 min'), make_record('newest', at => now(), outcome => 'executed');
SELECT picked('{}'), picked('{"outcome": "pending"}');
SET acteon_replay.intent_grace = '3 min';
SELECT picked('{"outcome": "pending"}');
RESET acteon_replay.intent_grace;

-- two tenants with the same action id are two actions
CALL clean();
SELECT make_record('order-1', id => 'o1', tenant => 'acme'), make_record('order-1', id => 'o2', tenant => 'globex'), make_record('order-1', id => 'o3', namespace => 'dev');
SELECT replayed, results FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT tenant, namespace, generation FROM acteon_dispatch_outbox ORDER BY action_id;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT count(*) FROM acteon_replay_lineage('order-1');
SELECT count(*) FROM acteon_replay_lineage((SELECT action_id::text FROM acteon_dispatch_outbox WHERE tenant = 'globex'));

-- pace: when each segment is due, and how long it is
CALL clean();
SELECT count(make_record('r' || n, at => timestamptz '2026-01-01' + n * interval '1 s')) FROM generate_series(1, 250) AS n;
CREATE VIEW due AS
	SELECT s.batch_id, s.last_id - s.first_id + 1 AS actions, count(*) AS segments,
		min(due_at - b.created_at) AS first_due, max(due_at - b.created_at) AS last_due
	FROM acteon_dispatch_segment AS s JOIN acteon_replay_batch AS b ON b.id = s.batch_id
	GROUP BY 1, 2 ORDER BY 1, 2 DESC;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 250, canary => 'off');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 250, canary => 'off', include_replayed => true, rate => 20);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 250, canary => 'off', include_replayed => true, rate => 1000);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 5, include_replayed => true, rate => 0.5, max_generation => 9);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 5, include_replayed => true, start_at => '2000-01-01', max_generation => 9);
SELECT * FROM due;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 30, include_replayed => true, start_at => '2126-01-01 00:00+00', rate => 10, max_generation => 9);
SELECT first_id, last_id, due_at AT TIME ZONE 'UTC' AS due_at FROM acteon_dispatch_segment WHERE due_at > '2100-01-01' ORDER BY first_id;
-- every outbox row is covered by exactly one segment
SELECT count(*) AS actions, count(*) FILTER (WHERE covers = 1) AS covered_once
FROM (SELECT (SELECT count(*) FROM acteon_dispatch_segment AS s WHERE o.id BETWEEN s.first_id AND s.last_id AND s.batch_id = o.batch_id) AS covers
	FROM acteon_dispatch_outbox AS o) AS c;
-- who has not said how many is told that there are more; not who has, nor who goes on
SELECT replayed, next_cursor AS cursor FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true, max_generation => 99) \gset
SELECT replayed, next_cursor IS NULL AS is_last FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true, max_generation => 99, cursor => :'cursor');
SELECT replayed, next_cursor IS NULL AS is_last FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true, max_generation => 99, max_records => 49);
SELECT replayed, next_cursor IS NULL AS is_last FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true, max_generation => 99, max_records => 1000);
DROP VIEW due;

DROP FUNCTION picked, pages;
CALL clean();
