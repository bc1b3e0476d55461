-- acteon_replay(uuid) and acteon_replay(text): one action, and its errors in their order.
CALL clean();
SELECT make_record('6f1c8f6e-0000-4000-8000-000000000001', metadata => '{"team": "ops", "__dedup_key": "d1"}'),
	make_record('any string', tenant => 'globex'), make_record('hidden', payload => NULL), make_record('json null', payload => 'null'),
	make_record('redacted', payload => '{"card": {"number": "[REDACTED]"}}');

SELECT * FROM acteon_replay('6f1c8f6e-0000-4000-8000-000000000001'::uuid, reason => 'provider was down');
SELECT * FROM acteon_replay('any string');
SELECT * FROM acteon_replay('json null');
SELECT id, batch_id, action_id, generation, original_action_id, namespace, tenant, provider, action_type, payload, labels, dedup_key
FROM acteon_dispatch_outbox ORDER BY id;
SELECT o.created_at = b.created_at AS same_time, b.requested_by = current_user AS by_me, b.session_role = session_user AS in_my_session,
	b.reason, b.query, b.replayed, b.failed, b.skipped, b.scope
FROM acteon_replay_batch AS b JOIN acteon_dispatch_outbox AS o ON o.batch_id = b.id ORDER BY b.id;
SELECT first_id, last_id, batch_id, due_at <= now() AS due, attempt, lease_token, holder FROM acteon_dispatch_segment ORDER BY first_id;

-- the same again: a new generation, and a notice of the one before
SELECT * FROM acteon_replay('any string');

-- a UUID stands for its lower-case form; as text it is compared byte for byte
SELECT success FROM acteon_replay('6F1C8F6E-0000-4000-8000-000000000001'::uuid);
SELECT attempt($$SELECT acteon_replay('6F1C8F6E-0000-4000-8000-000000000001'::text)$$);

-- of several records the latest one, an outcome before an intent of the same time
SELECT make_record('many', id => 'm1', at => '2026-01-01 10:00+00', payload => '1'),
	make_record('many', id => 'm2', at => '2026-01-01 12:00+00', payload => '2', outcome => 'pending'),
	make_record('many', id => 'm3', at => '2026-01-01 12:00+00', payload => '3', outcome => 'failed'),
	make_record('many', id => 'm4', at => '2026-01-01 11:00+00', payload => '4');
SELECT success FROM acteon_replay('many');
SELECT payload FROM acteon_dispatch_outbox WHERE original_action_id = 'many';

-- a young intent may still be running
SELECT make_record('young', at => now(), outcome => 'pending');
SELECT success FROM acteon_replay('young', allow_unproven => true, allow_partial => true);
SET acteon_replay.intent_grace = 0;
SELECT success FROM acteon_replay('young', allow_unproven => true, allow_partial => true);
RESET acteon_replay.intent_grace;

-- redacted
SELECT attempt($$SELECT acteon_replay('redacted')$$);
SELECT success FROM acteon_replay('redacted', allow_redacted => true);
SELECT query FROM acteon_replay_batch ORDER BY id DESC LIMIT 1;

-- the order of the checks: role, audit table, record, grant, payload
CREATE ROLE regress_acteon_order;
SET ROLE regress_acteon_order;
SELECT attempt($$SELECT acteon_replay('no such action')$$);
RESET ROLE;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_order', 'operator', '{acme}', '{*}', '{*}');
SET acteon_replay.audit_table = 'no_such_table';
SET ROLE regress_acteon_order;
SELECT attempt($$SELECT acteon_replay('no such action')$$);
RESET ROLE;
RESET acteon_replay.audit_table;
SELECT make_record('hidden elsewhere', tenant => 'globex', payload => NULL);
SET ROLE regress_acteon_order;
SELECT attempt($$SELECT acteon_replay('no such action')$$);
SELECT attempt($$SELECT acteon_replay('hidden elsewhere')$$);
SELECT attempt($$SELECT acteon_replay('hidden')$$);
RESET ROLE;
DELETE FROM acteon_grants;
DROP ROLE regress_acteon_order;

-- replayed twice by one statement is replayed once: nobody can have meant a second one
SELECT make_record('twice'), make_record('twice', id => 'twice again', at => '2026-01-02');
SELECT r.original_action_id, r.success, r.error FROM acteon_audit AS a, acteon_replay(a.action_id) AS r WHERE a.action_id = 'twice';
SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id = 'twice';

-- odd ids
SELECT make_record('it''s "quoted" \ and $1; --'), make_record('日本語 𝄞'), make_record(repeat('x', 10000));
SELECT original_action_id, success FROM acteon_replay('it''s "quoted" \ and $1; --');
SELECT original_action_id, success FROM acteon_replay('日本語 𝄞');
SELECT length(original_action_id), success FROM acteon_replay(repeat('x', 10000));
SELECT length(attempt(format('SELECT acteon_replay(%L)', repeat('é', 10000)))) < 500 AS message_is_short;
SELECT labels ->> 'replayed_from' = original_action_id AS traced, count(*) FROM acteon_dispatch_outbox GROUP BY 1;

-- a replay inside a transaction that rolls back leaves nothing
SELECT count(*) AS before FROM acteon_dispatch_outbox \gset
BEGIN;
SELECT success FROM acteon_replay('json null');
SAVEPOINT s;
SELECT success FROM acteon_replay('json null');
ROLLBACK TO s;
SELECT success FROM acteon_replay('json null');
ROLLBACK;
SELECT count(*) = :before AS nothing_left FROM acteon_dispatch_outbox;

-- which of several records is replayed, read from the index on action ids and by a statement
CREATE FUNCTION pg_temp.replayed(action text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	PERFORM acteon_replay(action, allow_unproven => true, allow_partial => true, allow_redacted => true);
	SELECT payload ->> 'n' INTO found FROM acteon_dispatch_outbox WHERE original_action_id = action ORDER BY generation DESC LIMIT 1;
	RAISE EXCEPTION USING MESSAGE = found;
EXCEPTION
	WHEN raise_exception THEN
		RETURN 'record ' || SQLERRM;
	WHEN OTHERS THEN
		RETURN SQLSTATE;
END
$$;
SELECT count(make_record('one of ' || c.n, outcome => o, id => i || ' ' || c.n, at => timestamptz '2026-01-01' + t * interval '1 s', payload => jsonb_build_object('n', i), chain_id => chain))
FROM (VALUES (1, 'failed', 'a', 1, NULL),
	(2, 'failed', 'a', 1, NULL), (2, 'failed', 'b', 2, NULL), (2, 'failed', 'c', 0, NULL),
	(3, 'failed', 'a', 1, NULL), (3, 'failed', 'B', 1, NULL), (3, 'failed', 'ab', 1, NULL), (3, 'failed', 'aa', 1, NULL),
	(4, 'pending', 'z', 1, NULL), (4, 'failed', 'a', 1, NULL),
	(5, 'pending', 'z', 2, NULL), (5, 'failed', 'a', 1, NULL),
	(6, 'failed', repeat('long', 500), 1, NULL), (6, 'failed', 'a', 1, NULL),
	(7, 'chain_started', 'a', 1, 'c'), (7, 'chain_completed', 'b', 2, 'c'), (7, 'chain_step', 'c', 3, 'c')) AS c (n, o, i, t, chain);
CREATE TEMP TABLE by_index AS SELECT n, left(pg_temp.replayed('one of ' || n), 20) AS replayed FROM generate_series(1, 8) AS n;
BEGIN;
DROP INDEX acteon_audit_action_id_idx;
SELECT n, i.replayed, i.replayed = left(pg_temp.replayed('one of ' || n), 20) AS same FROM by_index AS i ORDER BY n;
ROLLBACK;
-- … and where only a statement finds what is there: in a child, with a policy, without the right to read, or computed
BEGIN;
DO $$
BEGIN
	EXECUTE 'ALTER TABLE acteon_audit DROP COLUMN namespace CASCADE, ADD COLUMN namespace text GENERATED ALWAYS AS (''of '' || tenant) '
		|| CASE WHEN current_setting('server_version_num')::integer >= 180000 THEN 'VIRTUAL' ELSE 'STORED' END;
END
$$;
SELECT pg_temp.replayed('one of 1');
ROLLBACK;
BEGIN;
CREATE TABLE child () INHERITS (acteon_audit);
INSERT INTO child SELECT * FROM acteon_audit WHERE action_id = 'one of 1';
DELETE FROM ONLY acteon_audit WHERE action_id = 'one of 1';
SELECT pg_temp.replayed('one of 1');
ROLLBACK;
BEGIN;
CREATE ROLE regress_acteon_auditor;
GRANT CREATE ON SCHEMA public TO regress_acteon_auditor;
ALTER TABLE acteon_audit OWNER TO regress_acteon_auditor;
ALTER TABLE acteon_audit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY not_all ON acteon_audit USING (id <> 'b 2');
SELECT pg_temp.replayed('one of 2');
ALTER TABLE acteon_audit DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
SELECT pg_temp.replayed('one of 2');
SAVEPOINT s;
REVOKE SELECT ON acteon_audit FROM regress_acteon_auditor;
SELECT pg_temp.replayed('one of 2');
ROLLBACK TO s;
REVOKE USAGE ON SCHEMA public FROM PUBLIC;
SELECT pg_temp.replayed('one of 2');
ROLLBACK;

-- NULLs
SELECT attempt('SELECT acteon_replay(NULL::text)');
SELECT attempt('SELECT acteon_replay(NULL::uuid)');
SELECT success FROM acteon_replay('json null', reason => NULL, allow_redacted => NULL);
CALL clean();
