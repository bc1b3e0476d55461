-- Ids and names are compared byte for byte, also where the audit table's columns have a collation that takes others
-- for the same. Such collations are ICU's: the test is left out on a server without it.
\set VERBOSITY terse
CALL clean();
SELECT make_record('a1', at => now() - interval '1 h'), make_record('a2', at => now() - interval '1 h'), make_record('a3', at => now() - interval '1 h');
SELECT batch_id AS batch FROM acteon_replay_bulk(outcome => 'failed') \gset
SELECT count(*) FROM acteon_outbox_claim('c');
-- the record of one is in another namespace, that of another has its id in capitals
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, verdict_details, outcome_details, dispatched_at, completed_at, duration_ms)
SELECT 'of ' || original_action_id, CASE original_action_id WHEN 'a2' THEN upper(action_id::text) ELSE action_id::text END, CASE original_action_id WHEN 'a1' THEN 'PROD' ELSE 'prod' END,
	'acme', 'email', 'send_email', 'allow', 'executed', '{}', '{"status": "Success"}', clock_timestamp(), clock_timestamp(), 1
FROM acteon_dispatch_outbox WHERE batch_id = :batch;
CREATE COLLATION regress_acteon_nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
ALTER TABLE acteon_audit ALTER action_id TYPE text COLLATE regress_acteon_nocase, ALTER namespace TYPE text COLLATE regress_acteon_nocase;
SELECT original_action_id, verdict, p.record_ids FROM acteon_replay_proof_items(:batch) AS p JOIN acteon_dispatch_outbox AS o ON o.id = p.outbox_id ORDER BY 1;
UPDATE acteon_audit SET action_id = lower(action_id), namespace = lower(namespace);
SELECT original_action_id, verdict, p.record_ids FROM acteon_replay_proof_items(:batch) AS p JOIN acteon_dispatch_outbox AS o ON o.id = p.outbox_id ORDER BY 1;
ALTER TABLE acteon_audit ALTER action_id TYPE text COLLATE "default", ALTER namespace TYPE text COLLATE "default";
DROP COLLATION regress_acteon_nocase;
CALL clean();
