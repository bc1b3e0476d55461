-- Audit records with and without fingerprints, and calls that replay them by turns.  Variables: records (of each), rounds.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

\ir ../fixtures/audit_table.sql
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, matched_rule,
	outcome, action_payload, verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms)
SELECT format('%s-7000-8000-%s', lpad(to_hex(n), 8, '0'), lpad(n::text, 12, '0')),
	md5(n::text)::uuid::text, 'prod', 'tenant-' || n % 240, p, 'send_' || p, 'allow', NULL, 'failed',
	jsonb_build_object('to', 'user' || n || '@example.com', 'subject', 'Order ' || n || ' has shipped', 'body', repeat(md5(n::text), 8)),
	'{}', '{}',
	jsonb_build_object('team', 'orders', '__dedup_key', 'order-' || n)
		|| CASE p WHEN 'lanes' THEN jsonb_build_object('__fingerprint', 'order-' || n / 8) ELSE '{}' END,
	timestamptz '2026-01-10 00:00:00+00' + n * interval '86 ms', timestamptz '2026-01-10 00:00:01+00' + n * interval '86 ms', 1000
FROM (SELECT n, (ARRAY['plain', 'lanes'])[1 + n % 2] AS p FROM generate_series(1, 2 * :records) AS n) AS r;
\ir ../fixtures/audit_indexes.sql
VACUUM (ANALYZE) acteon_audit;
CREATE EXTENSION acteon_replay;

CREATE TABLE enqueued (what text, seconds float8, rows integer);

CREATE PROCEDURE alternate(rounds integer)
LANGUAGE plpgsql AS $$
DECLARE
	cursors text[] := '{NULL,NULL}';
	sides text[] := '{plain,lanes}';
	began timestamptz;
	n integer;
	next text;
	side integer;
BEGIN
	FOR i IN 1 .. 2 * rounds LOOP
		-- plain, lanes, lanes, plain, …
		side := 1 + i / 2 % 2;
		began := clock_timestamp();
		SELECT b.replayed, b.next_cursor INTO n, next
		FROM acteon_replay_bulk(provider => sides[side], outcome => 'failed', max_records => 1000, canary => 'off', cursor => cursors[side]) AS b;
		COMMIT;
		IF i > 4 THEN
			INSERT INTO enqueued VALUES (sides[side], extract(epoch FROM clock_timestamp() - began), n);
		END IF;
		cursors[side] := next;
	END LOOP;
END
$$;
CALL alternate(:rounds);
