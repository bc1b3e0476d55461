-- Data of the benchmark of acteon-replay-http.  Variable: records.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

\ir ../fixtures/audit_table.sql
ALTER TABLE acteon_audit SET (autovacuum_enabled = off);
-- A record each second: all of them failed, so that any can be replayed.
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome,
	action_payload, verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms)
SELECT format('%s-7000-8000-%s', lpad(to_hex(n), 8, '0'), lpad(n::text, 12, '0')),
	'5b1e1d9c-0000-4000-8000-' || 100000000000 + n, 'prod', 'tenant-' || n % 240, 'email', 'send_email', 'allow', 'failed',
	jsonb_build_object('to', 'user' || n || '@example.com', 'subject', 'Order ' || n || ' has shipped',
		'template', 'order-shipped', 'locale', 'en_GB', 'items', jsonb_build_array(n, n + 1, n + 2),
		'body', repeat(md5(n::text), 8)),
	'{"rules_evaluated": 12}', '{"attempts": 3}',
	jsonb_build_object('team', 'orders', 'priority', n % 5, 'source', 'checkout', '__dedup_key', 'order-' || n,
		'__trace_id', md5(n::text)),
	to_timestamp(1767225600 + n), to_timestamp(1767225601 + n), 1000
FROM generate_series(1, :records) AS n;
\ir ../fixtures/audit_indexes.sql
VACUUM (ANALYZE) acteon_audit;

CREATE EXTENSION acteon_replay;
\ir ops.sql
CREATE ROLE acteon_http LOGIN NOINHERIT;
GRANT EXECUTE ON FUNCTION acteon_api_login, acteon_api_begin, acteon_api_finish, acteon_api_housekeeping TO acteon_http;
GRANT ops TO acteon_http;

-- Nothing was replayed.
CREATE PROCEDURE rewind() LANGUAGE sql AS $$
	TRUNCATE acteon_dispatch_outbox, acteon_dispatch_action, acteon_dispatch_segment, acteon_replay_batch, acteon_replay_refused;
$$;
