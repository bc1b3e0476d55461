-- Why records are not replayed: the order of the reasons, the limits that end loops, and what would replay wrongly.
\set VERBOSITY terse
CALL clean();
CREATE FUNCTION pg_temp.replay(query jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb := acteon_replay_bulk('{"from": "2000-01-01T00:00:00Z"}' || query);
BEGIN
	RETURN format('%s replayed, %s failed, %s skipped: %s', answer -> 'replayed', answer -> 'failed', answer -> 'skipped',
		(SELECT failures FROM acteon_replay_batch WHERE id = (answer ->> 'batch_id')::bigint));
END
$$;
-- Ends all that waits in one way.
CREATE FUNCTION pg_temp.finish_all(state text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(CASE state
		WHEN 'dead' THEN acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('bad'::text))
		WHEN 'delivered' THEN acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {}}'::jsonb)) END, 0) || ' ' || state
	FROM acteon_outbox_claim('c', 1000)
$$;
-- The record that the gateway writes of each replay, which has failed again.
CREATE FUNCTION pg_temp.fail_again() RETURNS text LANGUAGE sql AS $$
	SELECT count(make_record(action_id::text, tenant => tenant, metadata => labels, at => timestamptz '2026-01-02' + id * interval '1 s')) || ' failed again'
	FROM acteon_dispatch_outbox AS o WHERE NOT EXISTS (SELECT FROM acteon_audit AS a WHERE a.action_id = o.action_id::text)
$$;
CREATE ROLE regress_acteon_judge;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('regress_acteon_judge', 'operator', '{acme}', '{*}', '{email}', '{*}');

-- the first reason counts: one after the other is repaired
SELECT make_record('wrong', tenant => 'globex', payload => NULL, metadata => '{"replayed_from": "gone"}');
UPDATE acteon_audit SET attachment_metadata = '[{"id": "a", "name": "bill.pdf"}]';
SET ROLE regress_acteon_judge;
SELECT pg_temp.replay('{"max_depth": 1}');
RESET ROLE;
UPDATE acteon_audit SET tenant = 'acme';
SET ROLE regress_acteon_judge;
SELECT pg_temp.replay('{"max_depth": 1}');
RESET ROLE;
UPDATE acteon_audit SET action_payload = '"[REDACTED]"';
SET ROLE regress_acteon_judge;
SELECT pg_temp.replay('{"max_depth": 1}');
SELECT pg_temp.replay();
SELECT pg_temp.replay('{"allow_redacted": true}');
SELECT pg_temp.replay('{"allow_redacted": true, "allow_partial": true}');
SELECT pg_temp.replay('{"allow_redacted": true, "allow_partial": true}');
RESET ROLE;
SELECT query, failures, passed_over FROM acteon_replay_batch ORDER BY id;

-- attachments
CALL clean();
SELECT make_record('with'), make_record('without'), make_record('null'), make_record('odd');
UPDATE acteon_audit SET attachment_metadata = '[{"id": "a", "name": "bill.pdf"}]' WHERE action_id = 'with';
UPDATE acteon_audit SET attachment_metadata = '{"a": 1}' WHERE action_id = 'null';
UPDATE acteon_audit SET attachment_metadata = '"a string"' WHERE action_id = 'odd';
SELECT pg_temp.replay();
SELECT attempt($$SELECT acteon_replay('with')$$);
SELECT success FROM acteon_replay('with', allow_partial => true);
SELECT query FROM acteon_replay_batch ORDER BY id DESC LIMIT 1;
-- a large one is not fetched to find that out; SQL NULL is none
ALTER TABLE acteon_audit ALTER attachment_metadata DROP NOT NULL;
UPDATE acteon_audit SET attachment_metadata = (SELECT jsonb_agg(jsonb_build_object('id', md5(n::text))) FROM generate_series(1, 500) AS n) WHERE action_id = 'with';
UPDATE acteon_audit SET attachment_metadata = NULL WHERE action_id = 'null';
SELECT pg_temp.replay('{"include_replayed": true}');
-- an older gateway has no such column, and another type is an error
BEGIN;
ALTER TABLE acteon_audit ALTER attachment_metadata TYPE text;
SELECT attempt($$SELECT pg_temp.replay()$$);
ALTER TABLE acteon_audit DROP attachment_metadata;
SELECT pg_temp.replay('{"include_replayed": true}');
SELECT success FROM acteon_replay('with');
ROLLBACK;
UPDATE acteon_audit SET attachment_metadata = '[]' WHERE attachment_metadata IS NULL;
ALTER TABLE acteon_audit ALTER attachment_metadata SET NOT NULL;

-- dedup keys
CALL clean();
SELECT make_record('keyed', metadata => '{"__dedup_key": "k1", "team": "ops"}'), make_record('keyed too', metadata => '{"__dedup_key": "k2"}', at => '2026-01-02');
SELECT pg_temp.replay('{"limit": 1}'), pg_temp.replay('{"dedup": "drop"}');
SELECT success FROM acteon_replay('keyed', dedup => 'drop');
SELECT success FROM acteon_replay('keyed', dedup => 'keep');
SELECT o.original_action_id, o.dedup_key, o.labels, b.query FROM acteon_dispatch_outbox AS o JOIN acteon_replay_batch AS b ON b.id = o.batch_id ORDER BY o.id;
SELECT attempt($$SELECT acteon_replay('keyed', dedup => 'lose')$$);

-- another provider: needs a grant on both
CALL clean();
SELECT make_record('mail'), make_record('text', provider => 'sms', at => '2026-01-02');
SET ROLE regress_acteon_judge;
SELECT pg_temp.replay('{"provider_override": "sms"}');
SELECT attempt($$SELECT acteon_replay('mail', provider_override => 'sms')$$);
SELECT attempt($$SELECT acteon_replay('text', provider_override => 'email')$$);
RESET ROLE;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('regress_acteon_judge', 'operator', '{acme}', '{*}', '{sms}', '{*}');
SET ROLE regress_acteon_judge;
SELECT pg_temp.replay('{"provider_override": "sms"}');
SELECT success FROM acteon_replay('text', provider_override => 'email', allow_partial => true, allow_redacted => true, dedup => 'drop');
SELECT attempt($$SELECT acteon_replay('text', provider_override => 'fax')$$);
SELECT attempt($$SELECT acteon_replay('text', provider_override => '')$$);
RESET ROLE;
SELECT o.original_action_id, o.provider, b.query, b.scope FROM acteon_dispatch_outbox AS o JOIN acteon_replay_batch AS b ON b.id = o.batch_id ORDER BY o.id;

-- an action is replayed three times, not counting what was cancelled, nor another tenant's of the same id
CALL clean();
SELECT make_record('poison'), make_record('poison', tenant => 'globex', id => 'other');
SELECT pg_temp.replay('{"tenant": "acme"}'), pg_temp.finish_all('dead');
SELECT pg_temp.replay('{"tenant": "globex"}');
SELECT state FROM acteon_replay_cancel(2);
SELECT pg_temp.replay('{"tenant": "acme"}');
SELECT state FROM acteon_replay_cancel(3);
SELECT pg_temp.replay('{"tenant": "acme", "max_generation": 1}');
SELECT pg_temp.replay('{"tenant": "acme"}'), pg_temp.finish_all('dead');
SELECT pg_temp.replay('{"tenant": "acme"}'), pg_temp.finish_all('dead');
SELECT pg_temp.replay('{"tenant": "acme"}');
SELECT pg_temp.replay('{"tenant": "acme", "max_generation": 2}');
SELECT pg_temp.replay('{"tenant": "globex"}');
SELECT pg_temp.replay('{"tenant": "acme", "max_generation": 4}'), pg_temp.finish_all('delivered');
-- passed over comes before; but who includes what was delivered is told
SELECT pg_temp.replay('{"tenant": "acme"}');
SELECT pg_temp.replay('{"tenant": "acme", "include_replayed": true}');
-- whoever names the action knows
SELECT success FROM acteon_replay('poison');
SELECT tenant, generation, batch_id FROM acteon_dispatch_outbox ORDER BY id;

-- a replay of a replay of a replay is not replayed
CALL clean();
SELECT make_record('loop'), make_record('ours', metadata => '{"replayed_from": "purged"}', at => '2026-01-03'), make_record('no label', metadata => '{"replayed_from": 5}', at => '2026-01-03');
SELECT pg_temp.replay('{"max_depth": 1}'), pg_temp.finish_all('delivered'), pg_temp.fail_again();
SELECT pg_temp.replay(), pg_temp.finish_all('delivered'), pg_temp.fail_again();
SELECT pg_temp.replay(), pg_temp.finish_all('delivered'), pg_temp.fail_again();
SELECT pg_temp.replay();
SELECT pg_temp.replay('{"max_depth": 2}');
SELECT pg_temp.replay('{"max_depth": 4}'), pg_temp.finish_all('delivered'), pg_temp.fail_again();
SELECT pg_temp.replay('{"max_depth": 4}');
-- a record of another tenant that bears the id of a replay is one deep by its label
SELECT count(make_record((SELECT action_id::text FROM acteon_dispatch_outbox ORDER BY id DESC LIMIT 1), tenant => 'globex', metadata => '{"replayed_from": "x"}'));
SELECT pg_temp.replay('{"tenant": "globex", "max_depth": 2}');
-- whoever names the action knows
SET client_min_messages = warning;
SELECT count(success) FROM (SELECT action_id FROM acteon_audit ORDER BY dispatched_at DESC LIMIT 3) AS a, acteon_replay(a.action_id);
RESET client_min_messages;

SELECT * FROM acteon_outbox_check();
DELETE FROM acteon_grants;
DROP ROLE regress_acteon_judge;
CALL clean();
