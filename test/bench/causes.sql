-- Records of an outage, and what is measured of them.  Variables: records.
SET client_min_messages = warning;
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload,
	verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms)
SELECT format('%s-7000-8000-%s', lpad(to_hex(n), 8, '0'), lpad(n::text, 12, '0')), md5(n::text)::uuid::text, 'prod', 'tenant-' || 1 + n % 240,
	(ARRAY['email', 'sms', 'webhook'])[1 + n % 3], 'send', 'allow', CASE WHEN n % 50 = 0 THEN 'circuit_open' ELSE 'failed' END,
	jsonb_build_object('to', 'user' || n || '@example.com', 'subject', 'Order ' || n || ' has shipped', 'body', repeat(md5(n::text), 4)), '{"verdict": "allow"}',
	CASE WHEN n % 50 = 0 THEN '{"provider": "down", "fallback_chain": []}'::jsonb ELSE jsonb_build_object('code', 'CONNECTION', 'attempts', 3, 'retryable', true, 'message',
		CASE n % 7
			WHEN 0 THEN format('timeout after %ss', 1 + n % 9)
			WHEN 1 THEN format('connection error: error sending request for url (http://10.0.%s.7:8080/v1/send/%s)', n % 200, n)
			WHEN 2 THEN format('execution failed: 550 5.1.1 <user%s@example.com>: Recipient address rejected: User unknown in virtual mailbox table (in reply to RCPT TO command) id=%s', n, md5(n::text)::uuid)
			WHEN 3 THEN format('connection error: HTTP 503 Service Unavailable: {"error":"upstream overloaded","request_id":"%s","retry_after":%s}', md5(n::text), n % 60)
			WHEN 4 THEN format('rate limited: bucket "tenant-%s" is empty until 2026-01-15T12:00:%s.123Z', n % 240, lpad((n % 60)::text, 2, '0'))
			WHEN 5 THEN format('panic at provider.go:%s: runtime error: invalid memory address or nil pointer dereference [signal 0x%s addr=0x0 pc=0x%s]', n % 900, to_hex(n), to_hex(n * 31))
			ELSE 'provider not found: nosuch' END) END,
	'{"team": "orders"}', timestamptz '2026-01-10 00:00:00+00' + n * interval '86 ms', timestamptz '2026-01-10 00:00:01+00' + n * interval '86 ms', 1000
FROM generate_series(1, :records) AS n;
\ir ../fixtures/audit_indexes.sql
VACUUM (ANALYZE) acteon_audit;

CREATE ROLE causes_ops;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions)
SELECT 'causes_ops', 'operator', array_agg('tenant-' || n), '{prod}', '{send}' FROM generate_series(1, 240) AS n;
GRANT SELECT ON acteon_audit, acteon_grants TO causes_ops;
CREATE TABLE causes_figures (what text, ms double precision);
GRANT INSERT ON causes_figures TO causes_ops;

-- Measures each by turns, in one session on one core.  By hand: a count of the records that the grants cover, with
-- the errors read.
CREATE PROCEDURE measure_causes(rounds integer) LANGUAGE plpgsql SET max_parallel_workers_per_gather = 0 SET jit = off AS $$
DECLARE
	begun timestamptz;
	what text;
	statement text;
	found bigint;
BEGIN
	FOR round IN 1 .. rounds LOOP
		FOR what, statement IN VALUES
			('count by hand', $sql$SELECT count(outcome_details ->> 'message') FROM acteon_audit AS a WHERE outcome IN ('failed', 'circuit_open')
				AND EXISTS (SELECT FROM acteon_grants AS g WHERE g.role IN ('admin', 'operator') AND pg_has_role(current_user, g.grantee::oid, 'USAGE')
					AND ('*' = ANY (g.tenants) OR a.tenant = ANY (g.tenants) OR EXISTS (SELECT FROM unnest(g.tenants) AS t WHERE starts_with(a.tenant, t || '.')))
					AND ('*' = ANY (g.namespaces) OR a.namespace = ANY (g.namespaces)) AND ('*' = ANY (g.providers) OR a.provider = ANY (g.providers))
					AND ('*' = ANY (g.actions) OR a.action_type = ANY (g.actions)) OFFSET 0)$sql$),
			('count, errors read', $sql$SELECT count(outcome_details ->> 'message') FROM acteon_audit WHERE outcome IN ('failed', 'circuit_open')$sql$),
			('causes', $sql$SELECT sum(records) FROM acteon_replay_causes(outcome => 'failed,circuit_open')$sql$),
			('causes, lost', $sql$SELECT sum(records) FROM acteon_replay_causes(lost => true)$sql$),
			('timeline', $sql$SELECT sum(records) FROM acteon_replay_timeline(outcome => 'failed,circuit_open')$sql$),
			('timeline, lost', $sql$SELECT sum(records) FROM acteon_replay_timeline(lost => true)$sql$),
			('preview', $sql$SELECT sum(matched) FROM acteon_replay_preview(outcome => 'failed,circuit_open') WHERE section = 'total'$sql$)
		LOOP
			begun := clock_timestamp();
			EXECUTE statement INTO found;
			INSERT INTO causes_figures VALUES (what, extract(epoch FROM clock_timestamp() - begun) * 1000);
		END LOOP;
	END LOOP;
END
$$;
