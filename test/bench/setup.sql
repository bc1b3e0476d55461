-- Data and both sides of the replay benchmark.  Variables: records, fixtures.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET maintenance_work_mem = '1GB';
SELECT setseed(0.42);

\ir ../fixtures/audit_table.sql
ALTER TABLE acteon_audit SET (autovacuum_enabled = off);
-- Two days, 240 tenants; the e-mail provider fails for the middle of them.
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, matched_rule,
	outcome, action_payload, verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms)
SELECT format('%s-7000-8000-%s', lpad(to_hex(n), 8, '0'), lpad(n::text, 12, '0')),
	md5(n::text)::uuid::text,
	(ARRAY['prod', 'prod', 'prod', 'staging'])[1 + n % 4],
	'tenant-' || t || CASE WHEN n % 3 = 0 THEN '.eu-west' ELSE '' END,
	p, 'send_' || p, CASE WHEN n % 50 = 0 THEN 'reroute' ELSE 'allow' END,
	CASE WHEN n % 10 = 0 THEN 'rule-' || n % 40 END,
	CASE WHEN p = 'email' AND n % 5 <> 0 THEN 'failed' WHEN n % 97 = 0 THEN 'suppressed' ELSE 'executed' END,
	jsonb_build_object('to', 'user' || n || '@example.com', 'subject', 'Order ' || n || ' has shipped',
		'template', 'order-shipped', 'locale', 'en_GB', 'items', jsonb_build_array(n, n + 1, n + 2),
		'body', repeat(md5(n::text), 8)),
	'{"rules_evaluated": 12}', '{"attempts": 3}',
	jsonb_build_object('team', 'orders', 'priority', n % 5, 'source', 'checkout', '__dedup_key', 'order-' || n,
		'__trace_id', md5(n::text)),
	timestamptz '2026-01-10 00:00:00+00' + n * interval '86 ms', timestamptz '2026-01-10 00:00:01+00' + n * interval '86 ms', 1000
FROM (SELECT n, 1 + n % 240 AS t, (ARRAY['email', 'slack', 'webhook', 'sms'])[1 + (hashint4(n) & 3)] AS p
	  FROM generate_series(1, :records) AS n) AS r;
\ir ../fixtures/audit_indexes.sql
VACUUM (ANALYZE) acteon_audit;

CREATE EXTENSION acteon_replay;
\ir ops.sql

-- The hand-written equivalent: one wide queue table.
CREATE SCHEMA hand;
CREATE TABLE hand.outbox (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	new_action_id uuid NOT NULL UNIQUE,
	original_action_id text NOT NULL,
	namespace text NOT NULL,
	tenant text NOT NULL,
	provider text NOT NULL,
	action_type text NOT NULL,
	payload jsonb NOT NULL,
	metadata jsonb NOT NULL,
	dedup_key text,
	status text NOT NULL DEFAULT 'pending',
	attempts integer NOT NULL DEFAULT 0,
	due_at timestamptz NOT NULL DEFAULT now(),
	locked_by text,
	locked_until timestamptz,
	requested_by text NOT NULL DEFAULT current_user,
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON hand.outbox (original_action_id);
CREATE INDEX ON hand.outbox (due_at) WHERE status = 'pending';
CREATE TABLE hand.naive (LIKE hand.outbox INCLUDING ALL);
ALTER TABLE hand.outbox SET (autovacuum_enabled = off);

-- Tuned: ordered by an index, values known to the planner, grants as a subplan of each row.
CREATE FUNCTION hand.replay(after_time timestamptz, after_id text, wanted integer, wanted_outcome text,
	OUT replayed integer, OUT last_time timestamptz, OUT last_id text)
LANGUAGE plpgsql SET enable_sort = off SET enable_bitmapscan = off AS $$
BEGIN
	EXECUTE format($sql$
	WITH picked AS MATERIALIZED (
		SELECT a.id, a.action_id, a.namespace, a.tenant, a.provider, a.action_type, a.action_payload, a.metadata, a.dispatched_at
		FROM acteon_audit AS a
		WHERE %s AND a.provider = 'email'
			AND a.dispatched_at >= %L AND (a.dispatched_at, a.id) > (%L, %L)
			AND a.action_payload IS NOT NULL
			AND EXISTS (SELECT FROM acteon_grants AS g
				WHERE g.role IN ('admin', 'operator') AND pg_has_role('ops', g.grantee, 'USAGE')
					AND ('*' = ANY (g.tenants) OR a.tenant = ANY (g.tenants)
						OR EXISTS (SELECT FROM unnest(g.tenants) AS t WHERE starts_with(a.tenant, t || '.')))
					AND ('*' = ANY (g.namespaces) OR a.namespace = ANY (g.namespaces))
					AND ('*' = ANY (g.providers) OR a.provider = ANY (g.providers))
					AND ('*' = ANY (g.actions) OR a.action_type = ANY (g.actions)) OFFSET 0)
		ORDER BY a.dispatched_at, a.id LIMIT %s
	), inserted AS (
		INSERT INTO hand.outbox (new_action_id, original_action_id, namespace, tenant, provider, action_type,
			payload, metadata, dedup_key)
		SELECT gen_random_uuid(), action_id, namespace, tenant, provider, action_type, action_payload,
			(SELECT coalesce(jsonb_object_agg(key, CASE jsonb_typeof(value) WHEN 'string' THEN value ELSE to_jsonb(value::text) END), '{}')
			 FROM jsonb_each(metadata) WHERE left(key, 2) <> '__')
			|| jsonb_build_object('replayed_from', action_id),
			metadata ->> '__dedup_key'
		FROM picked
	)
	SELECT count(*)::integer, max(dispatched_at),
		(SELECT id FROM picked ORDER BY dispatched_at DESC, id DESC LIMIT 1)
	FROM picked
	$sql$, CASE WHEN wanted_outcome IS NULL THEN 'true' ELSE format('a.outcome = %L', wanted_outcome) END,
		after_time, after_time, after_id, wanted)
	INTO replayed, last_time, last_id;
END
$$;

-- Naive: the grants as a join, the rest left to the planner.
CREATE FUNCTION hand.naive(wanted integer) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO hand.naive (new_action_id, original_action_id, namespace, tenant, provider, action_type, payload, metadata, dedup_key)
	SELECT gen_random_uuid(), action_id, namespace, tenant, provider, action_type, action_payload, labels, dedup_key
	FROM (SELECT DISTINCT ON (a.dispatched_at, a.id) a.*,
			(SELECT coalesce(jsonb_object_agg(key, CASE jsonb_typeof(value) WHEN 'string' THEN value ELSE to_jsonb(value::text) END), '{}')
			 FROM jsonb_each(a.metadata) WHERE left(key, 2) <> '__')
			|| jsonb_build_object('replayed_from', a.action_id) AS labels,
			a.metadata ->> '__dedup_key' AS dedup_key
		FROM acteon_audit AS a
		JOIN acteon_grants AS g ON g.role IN ('admin', 'operator') AND pg_has_role('ops', g.grantee, 'USAGE')
			AND ('*' = ANY (g.tenants) OR a.tenant = ANY (g.tenants)
				OR EXISTS (SELECT FROM unnest(g.tenants) AS t WHERE starts_with(a.tenant, t || '.')))
			AND ('*' = ANY (g.namespaces) OR a.namespace = ANY (g.namespaces))
			AND ('*' = ANY (g.providers) OR a.provider = ANY (g.providers))
			AND ('*' = ANY (g.actions) OR a.action_type = ANY (g.actions))
		WHERE a.provider = 'email' AND a.outcome = 'failed' AND a.action_payload IS NOT NULL
		ORDER BY a.dispatched_at, a.id LIMIT wanted) AS picked
$$;

-- Where each side has got to, and what was measured.
CREATE TABLE progress (side text PRIMARY KEY, cursor text, last_time timestamptz, last_id text);
CREATE TABLE measured (what text, side text, calls integer, seconds float8, wal bigint, rows integer);
GRANT ALL ON progress, measured TO ops;

CREATE PROCEDURE rewind() LANGUAGE sql AS $$
	TRUNCATE progress, hand.outbox, hand.naive, acteon_dispatch_outbox, acteon_dispatch_action, acteon_dispatch_segment, acteon_replay_batch;
	INSERT INTO progress VALUES ('ours', NULL, NULL, NULL), ('hand', NULL, '-infinity', '');
$$;

-- A number of calls of 1,000 records, each a transaction of its own, with the time and the WAL that they took together.
CREATE PROCEDURE measure(what text, side text, calls integer, outcome text DEFAULT 'failed')
LANGUAGE plpgsql AS $$
DECLARE
	p progress;
	began timestamptz;
	wal pg_lsn;
	took float8;
	n integer;
	total integer := 0;
BEGIN
	SELECT * INTO p FROM progress WHERE progress.side = measure.side;
	COMMIT;
	wal := pg_current_wal_insert_lsn();
	began := clock_timestamp();
	FOR i IN 1 .. calls LOOP
		IF side = 'ours' THEN
			SELECT b.replayed, b.next_cursor INTO n, p.cursor
			FROM acteon_replay_bulk(provider => 'email', outcome => measure.outcome, max_records => 1000, canary => 'off', cursor => p.cursor) AS b;
		ELSIF side = 'hand' THEN
			SELECT h.replayed, h.last_time, h.last_id INTO n, p.last_time, p.last_id
			FROM hand.replay(p.last_time, p.last_id, 1000, measure.outcome) AS h;
		ELSE
			PERFORM hand.naive(1000);
			n := 1000;
		END IF;
		COMMIT;
		total := total + n;
	END LOOP;
	took := extract(epoch FROM clock_timestamp() - began);
	INSERT INTO measured VALUES (what, side, calls, took, pg_current_wal_insert_lsn() - wal, total);
	UPDATE progress SET cursor = p.cursor, last_time = p.last_time, last_id = p.last_id WHERE progress.side = measure.side;
END
$$;

-- Single calls, the sides by turns, in one warm session: what a cursor's next page costs.
CREATE PROCEDURE alternate(rounds integer)
LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. rounds LOOP
		IF i % 2 = 0 THEN
			CALL measure(CASE WHEN i <= 4 THEN 'warm-up' ELSE 'call' END, 'ours', 1);
			CALL measure(CASE WHEN i <= 4 THEN 'warm-up' ELSE 'call' END, 'hand', 1);
		ELSE
			CALL measure(CASE WHEN i <= 4 THEN 'warm-up' ELSE 'call' END, 'hand', 1);
			CALL measure(CASE WHEN i <= 4 THEN 'warm-up' ELSE 'call' END, 'ours', 1);
		END IF;
	END LOOP;
END
$$;
