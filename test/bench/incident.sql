-- Data of the benchmark of incidents, its previews and replays.  Variable: records.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET maintenance_work_mem = '1GB';

-- Two days, 240 tenants: half of the traffic is e-mail, and all of that fails.
\ir ../fixtures/audit_table.sql
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, matched_rule,
	outcome, action_payload, verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms)
SELECT format('%s-7000-8000-%s', lpad(to_hex(n), 8, '0'), lpad(n::text, 12, '0')),
	md5(n::text)::uuid::text,
	(ARRAY['prod', 'prod', 'prod', 'staging'])[1 + n / 2 % 4],
	'tenant-' || 1 + n / 2 % 240 || CASE WHEN n % 3 = 0 THEN '.eu-west' ELSE '' END,
	p, 'send_' || p, 'allow', CASE WHEN n % 10 = 0 THEN 'rule-' || n % 40 END,
	CASE p WHEN 'email' THEN 'failed' ELSE 'executed' END,
	jsonb_build_object('to', 'user' || n || '@example.com', 'subject', 'Order ' || n || ' has shipped',
		'template', 'order-shipped', 'locale', 'en_GB', 'items', jsonb_build_array(n, n + 1, n + 2),
		'body', repeat(md5(n::text), 8)),
	'{"rules_evaluated": 12}', '{"attempts": 3}',
	jsonb_build_object('team', 'orders', 'priority', n % 5, 'source', 'checkout', '__dedup_key', 'order-' || n,
		'__trace_id', md5(n::text)),
	began + n * interval '2 days' / :records, began + n * interval '2 days' / :records + interval '1 s', 1000
FROM (SELECT n, (ARRAY['email', 'slack', 'email', 'webhook'])[1 + n % 4] AS p, timestamptz '2026-01-10 00:00:00+00' AS began
	  FROM generate_series(1, :records) AS n) AS r;
\ir ../fixtures/audit_indexes.sql
VACUUM (ANALYZE) acteon_audit;

CREATE EXTENSION acteon_replay;
\ir ops.sql
GRANT SELECT ON acteon_audit TO ops;
\ir fill.sql

-- What only grows is vacuumed when we say; where rows are updated and deleted, autovacuum is a part of the cost.
ALTER TABLE acteon_audit SET (autovacuum_enabled = off);
ALTER TABLE acteon_dispatch_outbox SET (autovacuum_enabled = off);
ALTER TABLE acteon_dispatch_delivery SET (autovacuum_enabled = off);
ALTER TABLE acteon_replay_tally SET (autovacuum_enabled = off);

-- What was measured.
CREATE TABLE measured (what text, side text, seconds float8, rows bigint);
GRANT ALL ON measured TO ops;

-- Forget everything that was replayed, but for the log, which cannot be emptied.  The next batch is number 1.
CREATE PROCEDURE rewind() LANGUAGE sql AS $$
	TRUNCATE acteon_dispatch_outbox, acteon_dispatch_action, acteon_dispatch_segment, acteon_dispatch_delivery, acteon_replay_tally, acteon_replay_batch RESTART IDENTITY
$$;

/*
 * Previewing
 */

-- A tenth of the time, so a twentieth of the records: what an incident of five hours has lost.
CREATE VIEW lost AS
	SELECT timestamptz '2026-01-11 00:00:00.01+00' AS began, timestamptz '2026-01-11 04:48:00+00' AS ended;
GRANT SELECT ON lost TO ops;

/*
 * What one would write by hand to know how many records an operator may replay.
 * The planner reads the grants once, so picking out the role's own beforehand
 * does not make it faster.
 */
CREATE FUNCTION count_by_hand() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE (SELECT format($sql$
		SELECT count(*) FROM acteon_audit AS a
		WHERE a.provider = 'email' AND a.outcome = 'failed' AND a.dispatched_at >= %L AND a.dispatched_at <= %L
			AND EXISTS (SELECT FROM acteon_grants AS g
				WHERE g.role IN ('admin', 'operator') AND pg_has_role(g.grantee, 'USAGE')
					AND ('*' = ANY (g.tenants) OR a.tenant = ANY (g.tenants)
						OR EXISTS (SELECT FROM unnest(g.tenants) AS t WHERE starts_with(a.tenant, t || '.')))
					AND ('*' = ANY (g.namespaces) OR a.namespace = ANY (g.namespaces))
					AND ('*' = ANY (g.providers) OR a.provider = ANY (g.providers))
					AND ('*' = ANY (g.actions) OR a.action_type = ANY (g.actions)))
		$sql$, began, ended) FROM lost) INTO n;
	RETURN n;
END
$$;

-- The same by a preview, with everything else that it finds out.
CREATE FUNCTION count_by_preview() RETURNS bigint
LANGUAGE sql AS $$
	SELECT p.matched FROM lost AS l, acteon_replay_preview(provider => 'email', outcome => 'failed',
		from_time => l.began, to_time => l.ended) AS p WHERE p.section = 'total'
$$;

-- The sides by turns, in one warm session; the first turn warms up.
CREATE PROCEDURE compare_previews(what text, rounds integer)
LANGUAGE plpgsql AS $$
DECLARE
	side text;
	began timestamptz;
	n bigint;
BEGIN
	FOR i IN 0 .. rounds LOOP
		FOREACH side IN ARRAY CASE i % 2 WHEN 0 THEN '{preview,hand}' ELSE '{hand,preview}' END::text[] LOOP
			began := clock_timestamp();
			n := CASE side WHEN 'preview' THEN count_by_preview() ELSE count_by_hand() END;
			INSERT INTO measured SELECT what, side, extract(epoch FROM clock_timestamp() - began), n WHERE i > 0;
			COMMIT;
		END LOOP;
	END LOOP;
	IF (SELECT count(DISTINCT rows) FROM measured AS m WHERE m.what = compare_previews.what) <> 1 THEN
		RAISE EXCEPTION 'the sides have counted different numbers';
	END IF;
END
$$;

/*
 * Replay so many of them, in twenty batches, and see to it that a fifth each is
 * delivered, dead, running, cancelled and waiting.  Needs rights on everything.
 */
CREATE PROCEDURE replay_some(count integer)
LANGUAGE plpgsql AS $$
DECLARE
	l lost := (SELECT lost FROM lost);
	b record;
	page text;
	ids bigint[];
	tokens bigint[];
BEGIN
	FOR i IN 0 .. 19 LOOP
		SELECT * INTO STRICT b FROM acteon_replay_bulk(provider => 'email', outcome => 'failed', from_time => l.began,
			to_time => l.ended, max_records => count / 20, cursor => page,
			start_at => CASE WHEN i % 5 = 4 THEN now() + interval '1 day' END);
		page := b.next_cursor;
		COMMIT;
		IF i % 5 = 3 THEN
			PERFORM acteon_replay_cancel(b.batch_id);
		ELSIF i % 5 < 3 THEN
			SELECT array_agg(outbox_id), array_agg(lease_token) INTO ids, tokens
			FROM acteon_outbox_claim('bench', count, '1 day');
			IF i % 5 = 0 THEN
				PERFORM acteon_outbox_ack(ids, tokens, array_fill('{"Executed": {}}'::jsonb, ARRAY[cardinality(ids)]));
			ELSIF i % 5 = 1 THEN
				PERFORM acteon_outbox_reject(ids, tokens, array_fill('422: no such template'::text, ARRAY[cardinality(ids)]));
			END IF;
		END IF;
		COMMIT;
	END LOOP;
END
$$;

-- Replay what is left of them, and leave it waiting.
CREATE PROCEDURE replay_rest()
LANGUAGE plpgsql AS $$
DECLARE
	l lost := (SELECT lost FROM lost);
	n bigint;
BEGIN
	CALL acteon_replay_all(provider => 'email', outcome => 'failed', from_time => l.began, to_time => l.ended,
		batch_id => n, replayed => n, failed => n, skipped => n);
END
$$;

/*
 * Replaying any number
 */

-- By hand: calls of a thousand, each committed.
CREATE PROCEDURE replay_in_calls()
LANGUAGE plpgsql AS $$
DECLARE
	page text;
BEGIN
	LOOP
		SELECT b.next_cursor INTO page
		FROM acteon_replay_bulk(provider => 'email', outcome => 'failed', max_records => 1000, canary => 'off', cursor => page) AS b;
		COMMIT;
		EXIT WHEN page IS NULL;
	END LOOP;
END
$$;
