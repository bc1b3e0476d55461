-- Names for what is: the states of batches, the records that are refused, and lists of items by who got what and when.
\set VERBOSITY terse
CALL clean();
CREATE TEMP TABLE held (outbox_id bigint, lease_token bigint, attempt integer, action json, action_id uuid);
CREATE FUNCTION pg_temp.take(actions integer) RETURNS bigint LANGUAGE sql AS $$
	WITH got AS (INSERT INTO held SELECT outbox_id, lease_token, attempt, action, action_id FROM acteon_outbox_claim('test', actions, '1 h') RETURNING *) SELECT count(*) FROM got
$$;
CREATE FUNCTION pg_temp.make(first integer, last integer, tenant text DEFAULT 'acme', payload jsonb DEFAULT '{"to": "a@example.com"}', provider text DEFAULT 'email') RETURNS bigint LANGUAGE sql AS $$
	SELECT count(make_record('s' || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s', tenant => make.tenant, payload => make.payload, provider => make.provider))
	FROM generate_series(first, last) AS i
$$;
CREATE VIEW pg_temp.states AS SELECT batch_id, state, waiting, in_flight, in_doubt FROM acteon_replay_batches;

-- scheduled until its start, then running; all that is left is in doubt; finished
SELECT pg_temp.make(1, 3);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', start_at => now() + interval '1 day');
SELECT * FROM pg_temp.states;
SELECT state FROM acteon_replay_pause(1);
SELECT state FROM acteon_replay_resume(1);
UPDATE acteon_replay_batch SET start_at = now() - interval '1 min';
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 min';
SELECT * FROM pg_temp.states;
SELECT pg_temp.take(3);
SELECT acteon_outbox_doubt(array_agg(outbox_id), array_agg(lease_token), array_agg('timed out'::text), array_agg(action_id)) > 0 AS doubted FROM held WHERE outbox_id < 3;
SELECT * FROM pg_temp.states;
SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('"Executed"'::jsonb)) FROM held WHERE outbox_id = 3;
SELECT * FROM pg_temp.states;
SELECT state FROM acteon_replay_pause(1);
SELECT state FROM acteon_replay_resume(1);
SELECT acteon_replay_settle(1, 'delivered', 'asked') > 0 AS settled;
SELECT * FROM pg_temp.states;
-- a batch that nobody enqueues is interrupted, whatever it says of its last chunk; pausing it tells so, too
UPDATE acteon_replay_batch SET is_complete = false, chunk = 10, matched = 5, last_chunk_at = now();
SELECT * FROM pg_temp.states;
SELECT state FROM acteon_replay_pause(1);
SELECT state FROM acteon_replay_resume(1);
-- a session that holds advisory locks, or reads with another snapshot, changes nothing
SELECT pg_advisory_lock_shared('acteon_replay_batch'::regclass::oid::integer, 1);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT state FROM acteon_replay_batches;
COMMIT;
SELECT pg_advisory_unlock_all();
-- … and nothing is left of the looks, nor of a call that came to its end, or to an error
CALL acteon_replay_continue(1);
SELECT * FROM pg_temp.states;
CREATE FUNCTION pg_temp.locks() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND classid = 'acteon_replay_batch'::regclass
$$;
SELECT pg_temp.locks();
ALTER TABLE acteon_dispatch_outbox ADD CONSTRAINT not_now CHECK (original_action_id <> 's8');
SELECT pg_temp.make(4, 9);
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 2);
SELECT pg_temp.locks();
SELECT batch_id, state, replayed FROM pg_temp.states JOIN acteon_replay_batch ON id = batch_id ORDER BY 1;
ALTER TABLE acteon_dispatch_outbox DROP CONSTRAINT not_now;
CALL acteon_replay_continue(2);
SELECT batch_id, state FROM pg_temp.states ORDER BY 1;

-- refused records are kept with their reasons, numbered through all chunks, in every form but the single one
CALL clean();
SELECT pg_temp.make(1, 9), pg_temp.make(11, 14, payload => '{"to": "[REDACTED]"}'), pg_temp.make(21, 22, 'globex', '{"to": "[REDACTED]"}'), pg_temp.make(31, 32, payload => NULL);
SELECT make_record('s33', attachments => '[{"id": "x"}]', at => '2026-01-01 13:00+00');
SELECT replayed, failed, skipped FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 12);
CALL acteon_replay_all(from_time => '2000-01-01', chunk => 3, reason => 'the rest');
SELECT attempt($$SELECT acteon_replay('s11')$$);
SELECT batch_id, number, action_id, tenant, reason, error FROM acteon_replay_refused ORDER BY 1, 2;
SELECT batch_id, refused, failed, failures FROM acteon_replay_batches ORDER BY 1;
SELECT outbox_id, new_action_id, original_action_id, tenant, state, error, effect, reason, page_key FROM acteon_replay_items(2, 'refused');
-- page by page, and filtered
SELECT original_action_id, page_key FROM acteon_replay_items(2, 'refused', after_id => 2, max_items => 3);
SELECT original_action_id FROM acteon_replay_items(2, 'refused', tenant => 'globex');
SELECT original_action_id FROM acteon_replay_items(2, 'refused', tenant => 'globex', provider => 'sms');
SELECT count(*) FROM acteon_replay_items(2, 'refused', effect => 'none');
SELECT count(*) FROM acteon_replay_items(2, 'refused', from_time => '2000-01-01');
-- they are no actions, and not failed
SELECT count(*) FROM acteon_replay_items(2) WHERE state = 'refused';
SELECT count(*) FROM acteon_replay_items(2, 'failed');
-- who may see the tenant's rows, and nobody else
CREATE ROLE sees_globex;
CREATE ROLE sees_nothing;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('sees_globex', 'viewer', '{globex}', '{*}', '{*}');
SET ROLE sees_globex;
SELECT original_action_id, tenant, reason FROM acteon_replay_items(2, 'refused');
SELECT batch_id, action_id FROM acteon_replay_refused ORDER BY 1, 2;
SELECT attempt($$INSERT INTO acteon_replay_refused VALUES (1, 9, 'x', 'x', 'globex', 'x', 'x', 'x', 'x')$$);
SET ROLE sees_nothing;
SELECT attempt($$SELECT * FROM acteon_replay_items(2, 'refused')$$);
SELECT count(*) FROM acteon_replay_refused;
RESET ROLE;
-- a record without a tenant is seen by those who need no grant
UPDATE acteon_replay_refused SET tenant = NULL WHERE batch_id = 2 AND number = 1;
SELECT count(*) FROM acteon_replay_items(2, 'refused');
SET ROLE sees_globex;
SELECT count(*) FROM acteon_replay_refused;
RESET ROLE;
-- what is rolled back is not kept
BEGIN;
SELECT failed FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true);
SELECT count(*) FROM acteon_replay_refused;
ROLLBACK;
SELECT count(*) FROM acteon_replay_refused;
-- they are purged when their batch is old, unless it is not complete; those of no batch as well
SELECT count(*) FROM (SELECT acteon_outbox_purge('30 days')) AS purged;
SELECT batch_id, count(*) FROM acteon_replay_refused GROUP BY 1 ORDER BY 1;
UPDATE acteon_replay_batch SET created_at = created_at - interval '40 days', last_chunk_at = last_chunk_at - interval '40 days';
UPDATE acteon_replay_batch SET is_complete = false WHERE id = 1;
INSERT INTO acteon_replay_refused (batch_id, number, reason, error) VALUES (77, 1, 'redacted', 'of a batch that was deleted');
SELECT count(*) FROM (SELECT acteon_outbox_purge('30 days')) AS purged;
SELECT batch_id, count(*) FROM acteon_replay_refused GROUP BY 1 ORDER BY 1;
SELECT batch_id, refused, state FROM acteon_replay_batches ORDER BY 1;
UPDATE acteon_replay_batch SET is_complete = true WHERE id = 1;
SELECT count(*) FROM (SELECT acteon_outbox_purge('30 days', max_actions => 1)) AS purged;
SELECT count(*) FROM acteon_replay_refused;

-- who got it: by tenant, provider, effect and the time of the delivery, in each combination and for each size of a page
CALL clean();
TRUNCATE held;
SELECT pg_temp.make(1, 300), pg_temp.make(301, 340, 'globex'), pg_temp.make(341, 380, 'acme', provider => 'sms'), pg_temp.make(381, 600, 'acme', provider => 'sms');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT count(*) FROM (SELECT pg_temp.take(90) FROM generate_series(1, 6)) AS taken;
SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg(CASE WHEN outbox_id % 5 = 2 THEN '{"Suppressed": {"rule": "x"}}' ELSE '{"Executed": {"status": "success"}}' END::jsonb)) > 0 FROM held WHERE outbox_id % 7 <> 3;
UPDATE acteon_dispatch_delivery SET finished_at = '2026-01-02 00:00+00'::timestamptz + outbox_id * interval '1 min';
CREATE FUNCTION pg_temp.pages(of_state text, of_tenant text, of_provider text, of_from timestamptz, of_to timestamptz, of_effect text, size bigint) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	result bigint[] := '{}';
	page bigint[];
	last bigint;
BEGIN
	LOOP
		SELECT array_agg(i.outbox_id), max(i.page_key) INTO page, last
		FROM acteon_replay_items(1, of_state, last, size, of_tenant, of_provider, of_from, of_to, of_effect) AS i;
		EXIT WHEN page IS NULL;
		result := result || page;
		EXIT WHEN size IS NULL;
	END LOOP;
	RETURN result;
END
$$;
CREATE TEMP TABLE everything AS SELECT * FROM acteon_replay_items(1);
SELECT count(*) AS combinations, count(*) FILTER (WHERE right_ones <> '{}') > 20 AS many_with_rows, count(*) FILTER (WHERE right_ones IS DISTINCT FROM pages) AS wrong
FROM (SELECT coalesce((SELECT array_agg(e.outbox_id ORDER BY e.outbox_id) FROM everything AS e
		WHERE (s IS NULL OR e.state = s) AND (t IS NULL OR e.tenant = t) AND (p IS NULL OR e.provider = p)
			AND (f IS NULL OR e.finished_at >= f) AND (u IS NULL OR e.finished_at < u) AND (x IS NULL OR e.effect = x)), '{}') AS right_ones,
		pg_temp.pages(s, t, p, f, u, x, size) AS pages
	FROM unnest('{NULL,waiting,running,delivered}'::text[]) AS s, unnest('{NULL,globex,none}'::text[]) AS t, unnest('{NULL,sms}'::text[]) AS p,
		unnest('{NULL,2026-01-02 05:20+00}'::timestamptz[]) AS f, unnest('{NULL,2026-01-02 05:30+00}'::timestamptz[]) AS u,
		unnest('{NULL,decided,done}'::text[]) AS x, unnest('{NULL,7}'::bigint[]) AS size) AS c;
-- the bounds: the first is included, the last is not
SELECT min(finished_at), max(finished_at) FROM acteon_replay_items(1, from_time => '2026-01-02 00:04+00', to_time => '2026-01-02 00:07+00');
SELECT attempt($$SELECT * FROM acteon_replay_items(1, effect => 'don')$$);
SELECT attempt($$SELECT * FROM acteon_replay_items(1, 'refuse')$$);
\copy (SELECT original_action_id, effect FROM acteon_replay_items(1, tenant => 'globex', effect => 'decided') LIMIT 2) TO STDOUT CSV HEADER
DELETE FROM acteon_grants WHERE grantee IN ('sees_globex'::regrole);
DROP ROLE sees_globex, sees_nothing;
CALL clean();
