-- What has a replay already: passed over while that is waiting, running or delivered, free again when it is dead or cancelled.
CALL clean();
SELECT make_record(a, at => timestamptz '2026-01-01' + n * interval '1 min')
FROM unnest(ARRAY['fresh', 'waiting', 'leased', 'lapsed', 'delivered', 'dead', 'cancelled', 'dead then waiting']) WITH ORDINALITY AS t (a, n);
CREATE FUNCTION latest(original text) RETURNS uuid LANGUAGE sql AS $$
	SELECT action_id FROM acteon_dispatch_outbox WHERE original_action_id = original ORDER BY id DESC LIMIT 1
$$;
SELECT count(acteon_replay(action_id)) FROM acteon_audit WHERE action_id <> 'fresh';
UPDATE acteon_dispatch_segment AS s SET attempt = 1, lease_token = 7, holder = 'relay-1',
	due_at = CASE original_action_id WHEN 'leased' THEN now() + interval '1 hour' ELSE now() - interval '1 s' END
FROM acteon_dispatch_outbox AS o WHERE o.id = s.first_id AND original_action_id IN ('leased', 'lapsed');
SELECT finish(latest('delivered'), 'delivered') > 0, finish(latest('dead'), 'dead') > 0, finish(latest('cancelled'), 'cancelled') > 0,
	finish(latest('dead then waiting'), 'dead') > 0;
SELECT success FROM acteon_replay('dead then waiting');

-- each state as lineage tells it
SELECT l.source, l.generation, l.state FROM acteon_audit AS a, acteon_replay_lineage(a.action_id) AS l WHERE l.depth = 1 ORDER BY l.source, l.generation;

BEGIN;
SELECT replayed, failed, skipped, jsonb_path_query_array(results, '$[*].original_action_id') AS replayed_ids FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT original_action_id, max(generation) AS generation FROM acteon_dispatch_outbox GROUP BY 1 ORDER BY 1;
ROLLBACK;

-- passed over does not count against the limit
BEGIN;
SELECT replayed, next_cursor IS NULL AS at_the_end FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 3);
ROLLBACK;
BEGIN;
SELECT replayed, next_cursor IS NULL AS at_the_end FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 2);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 2);
ROLLBACK;

-- unless they are asked for: every one gets its next generation
BEGIN;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true);
SELECT original_action_id, max(generation) AS generation FROM acteon_dispatch_outbox GROUP BY 1 ORDER BY 1;
-- twice in one statement is once
SELECT a.replayed, b.replayed FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true, max_generation => 9) AS a, acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true, max_generation => 9) AS b;
ROLLBACK;

-- the named one says what there is
SELECT success FROM acteon_replay('delivered');
SELECT success FROM acteon_replay('leased');
SELECT success FROM acteon_replay('dead');

-- ids are deterministic: the same replay, made again after it was lost, has the same id
BEGIN;
SELECT new_action_id AS lost FROM acteon_replay('fresh') \gset
ROLLBACK;
SELECT new_action_id = :'lost' AS same_id, substr(new_action_id::text, 15, 1) AS version FROM acteon_replay('fresh');
-- and are what any UUIDv5 of the installation's namespace and "<original action id>/<generation>" gives
SELECT action_id = '91084abb-dd81-5aa0-84df-12153a57d0ad' AS as_documented FROM acteon_dispatch_outbox WHERE original_action_id = 'fresh';

-- a replayed action that fails again has a record of its own, and can be replayed in turn
CALL clean();
SELECT make_record('first', at => '2026-01-01');
SELECT new_action_id AS second FROM acteon_replay('first', reason => 'try') \gset
SELECT finish(:'second', 'delivered');
SELECT make_record(:'second', at => '2026-01-02', metadata => '{"replayed_from": "first"}');
SELECT replayed, results FROM acteon_replay_bulk(outcome => 'failed', reason => 'again');
SELECT labels FROM acteon_dispatch_outbox ORDER BY id;

-- an action id that several tenants have used: in one call, too, each replay has an id of its own
CALL clean();
SELECT count(make_record('same', id => 'same ' || n, tenant => 'tenant ' || n)) FROM generate_series(1, 4) AS n;
SELECT replayed, failed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT generation, count(*), count(*) FILTER (WHERE action_id = acteon_replay_id('same', generation)) AS its_id FROM acteon_dispatch_outbox GROUP BY 1 ORDER BY 1;
SELECT count(finish(action_id, CASE tenant WHEN 'tenant 1' THEN 'delivered' ELSE 'dead' END)) FROM acteon_dispatch_outbox;
SELECT replayed, failed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT generation, count(*), count(*) FILTER (WHERE action_id = acteon_replay_id('same', generation)) AS its_id FROM acteon_dispatch_outbox GROUP BY 1 ORDER BY 1;
DROP FUNCTION latest;
CALL clean();
