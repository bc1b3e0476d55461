-- Fills the outbox without an audit table.  Needs the extension acteon_replay.
\set ON_ERROR_STOP on

-- As after a first replay: without a namespace there are no claims.
INSERT INTO acteon_replay_installation DEFAULT VALUES ON CONFLICT DO NOTHING;
INSERT INTO acteon_replay_begun DEFAULT VALUES ON CONFLICT DO NOTHING;

-- What is enqueued by hand has no hashes.
INSERT INTO acteon_replay_trail_head (hashed_from) VALUES (9223372036854775807) ON CONFLICT DO NOTHING;

-- Actions: about 800 bytes of JSON each.  Making them should not take longer than storing them,
-- so a thousand payloads are made in advance.
CREATE TABLE payloads (n integer PRIMARY KEY, payload jsonb NOT NULL);
INSERT INTO payloads
SELECT n, jsonb_build_object('to', 'user' || n || '@example.com', 'subject', 'Order ' || n || ' has shipped',
	'template', 'order-shipped', 'locale', 'en_GB', 'items', jsonb_build_array(n, n + 1, n + 2),
	'body', repeat(md5(n::text), 8))
FROM generate_series(1000000, 1000999) AS n;
ANALYZE payloads;

CREATE FUNCTION make_actions(first_n bigint, count bigint)
RETURNS TABLE (n bigint, action_id uuid, original_action_id text, namespace text, tenant text, provider text,
	action_type text, payload jsonb, labels jsonb, dedup_key text)
LANGUAGE sql STABLE AS $$
	SELECT i, md5('action ' || i)::uuid, o.id, 'prod', 'tenant-' || i % 240, 'email', 'send_email', p.payload,
		('{"team": "orders", "source": "checkout", "priority": "3", "replayed_from": "' || o.id || '"}')::jsonb, 'order-' || i
	FROM generate_series(first_n, first_n + count - 1) AS i
	CROSS JOIN LATERAL (SELECT md5('original ' || i)::uuid::text OFFSET 0) AS o (id)
	JOIN payloads AS p ON p.n = 1000000 + i % 1000
$$;

/*
 * Rows and segments as acteon_replay_bulk would leave them: a batch for every
 * so many actions, and segments of so many (at most 100).  With attempts they
 * are such as wait for another one.
 */
CREATE PROCEDURE fill_outbox(count bigint, per_batch bigint DEFAULT 1000, per_segment integer DEFAULT 100,
	attempts integer DEFAULT 0)
LANGUAGE sql AS $$
	WITH batches AS MATERIALIZED (
		SELECT nextval('acteon_replay_batch_id_seq') AS id, least(per_batch, count - f) AS actions,
			clock_timestamp() - interval '1 minute' AS due_at
		FROM generate_series(0, count - 1, per_batch) AS f
	), blocks AS MATERIALIZED (
		SELECT b.id AS batch_id, b.due_at, nextval('acteon_dispatch_outbox_id_seq') AS first_id, least(100, b.actions - f) AS actions
		FROM batches AS b, generate_series(0, b.actions - 1, 100) AS f
	), new_batches AS (
		INSERT INTO acteon_replay_batch (id, created_at, requested_by, requested_by_oid, session_role, query,
			replayed, failed, skipped, scope, first_outbox_id, last_outbox_id)
		SELECT batch_id, min(due_at), 'postgres', 10, 'postgres', '{"provider": "email"}', sum(actions), 0, 0,
			'[["tenant-0", "prod", "email", "send_email"]]', min(first_id), max(first_id + actions - 1)
		FROM blocks GROUP BY batch_id
	), new_segments AS (
		INSERT INTO acteon_dispatch_segment (first_id, last_id, batch_id, due_at, attempt, was_claimed)
		SELECT f, least(f + per_segment, first_id + actions) - 1, batch_id, due_at, attempts, attempts > 0
		FROM blocks, generate_series(first_id, first_id + actions - 1, per_segment) AS f
	), new_actions AS (
		INSERT INTO acteon_dispatch_action (action_id, outbox_id)
		SELECT a.action_id, a.n FROM blocks AS b, LATERAL make_actions(b.first_id, b.actions) AS a
	)
	INSERT INTO acteon_dispatch_outbox (id, batch_id, created_at, action_id, generation, original_action_id, namespace,
		tenant, provider, action_type, payload, labels, dedup_key)
	SELECT a.n, b.batch_id, b.due_at, a.action_id, 1, a.original_action_id, a.namespace, a.tenant, a.provider,
		a.action_type, a.payload, a.labels, a.dedup_key
	FROM blocks AS b, LATERAL make_actions(b.first_id, b.actions) AS a
$$;
