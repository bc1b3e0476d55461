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
CALL clean();

-- every text column of the audit table: what is asked for is found, and nothing that only looks like it
SELECT format('ALTER TABLE acteon_audit %s', string_agg(format('ALTER %I TYPE text COLLATE %I', attname, c), ', ')) AS alter FROM pg_attribute, (VALUES ('regress_acteon_nocase')) AS v (c) WHERE attrelid = 'acteon_audit'::regclass AND atttypid = 'text'::regtype AND attname <> 'id' \gset
:alter;
SELECT make_record('inv-1', at => '2026-01-01 10:00+00', id => 'lower'), make_record('INV-1', tenant => 'ACME', at => '2026-01-01 11:00+00', id => 'upper'),
	make_record('tenant', tenant => 'Acme'), make_record('namespace', namespace => 'Prod'), make_record('provider', provider => 'Email'), make_record('type', action_type => 'Send_Email'),
	make_record('outcome', outcome => 'Failed'), make_record('verdict', verdict => 'Allow'), make_record('rule', matched_rule => 'Rule'), make_record('caller', caller_id => 'Caller'), make_record('chain', chain_id => 'Chain'),
	make_record('right', matched_rule => 'rule', caller_id => 'caller', chain_id => 'chain');
SELECT original_action_id, success, error FROM acteon_replay('inv-1');
SELECT original_action_id, tenant FROM acteon_dispatch_outbox;
SELECT attempt($$SELECT acteon_replay('Inv-1')$$);
SELECT argument, (SELECT count(*) FROM acteon_audit WHERE CASE argument WHEN 'tenant' THEN tenant = 'acme' WHEN 'namespace' THEN namespace = 'prod' WHEN 'outcome' THEN outcome = 'failed' ELSE true END) AS looks_like_it,
	attempt(format('SELECT (SELECT string_agg(r ->> ''original_action_id'', '','' ORDER BY r ->> ''original_action_id'' COLLATE "C") FROM jsonb_array_elements(results) AS r) FROM acteon_replay_bulk(%I => %L, include_replayed => true)', argument, value)) AS replayed
FROM (VALUES ('tenant', 'acme'), ('tenant', 'ACME'), ('namespace', 'prod'), ('namespace', 'PROD'), ('provider', 'email'), ('action_type', 'send_email'), ('outcome', 'failed'), ('outcome', 'suppressed,failed'), ('verdict', 'allow'), ('matched_rule', 'rule'), ('caller_id', 'caller'), ('chain_id', 'chain')) AS v (argument, value);
SELECT matched, note FROM acteon_replay_preview(tenant => 'acme', include_replayed => true) WHERE section = 'total';
-- … those that are picked or left out, and a tree of tenants
SELECT make_record('below', tenant => 'acme.eu', provider => 'tree'), make_record('BELOW', tenant => 'ACME.EU', provider => 'tree'), make_record('odd', tenant => 'acme.', provider => 'tree');
SELECT query, attempt(format('SELECT coalesce((SELECT string_agg(r ->> ''original_action_id'', '','' ORDER BY r ->> ''original_action_id'' COLLATE "C") FROM jsonb_array_elements(acteon_replay_bulk(%L::jsonb) -> ''results'') AS r), ''nothing'')', query || '{"include_replayed": true, "max_generation": 100}')) AS replayed
FROM unnest(ARRAY['{"action_ids": ["INV-1"]}', '{"action_ids": ["Inv-1", "inv-1"]}', '{"action_ids": ["Inv-1"]}', '{"provider": "tree"}', '{"provider": "tree", "exclude_ids": ["below", "ODD"]}', '{"provider": "tree", "exclude": {"tenant": "ACME.EU"}}', '{"provider": "tree", "exclude": {"action_ids": ["BELOW"]}}',
	'{"tenant_tree": "acme", "provider": "tree"}', '{"tenant_tree": "ACME"}', '{"tenant_tree": "Acme.EU"}']::jsonb[]) AS query;
SELECT item, matched, note FROM acteon_replay_preview(action_ids => '{Inv-1,inv-1}') WHERE section = 'not found';
CALL clean();
-- … what another tenant's action, or an intent that looks like one, tells
SELECT make_record('lost-1', at => '2026-01-01 10:00+00'), make_record('LOST-1', outcome => 'executed', details => '{"status": "Success"}', at => '2026-01-01 11:00+00'),
	make_record('lost-2', at => '2026-01-01 10:00+00'), make_record('lost-2', tenant => 'Acme', outcome => 'executed', details => '{"status": "Success"}', at => '2026-01-01 11:00+00'),
	make_record('lost-3', at => '2026-01-01 10:00+00'), make_record('lost-3', outcome => 'executed', details => '{"status": "Success"}', at => '2026-01-01 11:00+00'),
	make_record('intent', outcome => 'PENDING', at => '2026-01-01 10:00+00'),
	make_record('real', outcome => 'pending', at => '2026-01-01 10:00+00'), make_record('REAL', outcome => 'executed', at => '2026-01-01 10:01+00');
SELECT r ->> 'original_action_id' AS lost FROM acteon_replay_bulk(lost => true), jsonb_array_elements(results) AS r ORDER BY r ->> 'original_action_id' COLLATE "C";
SELECT r ->> 'original_action_id' AS lone FROM acteon_replay_bulk(outcome => 'pending', allow_unproven => true, allow_partial => true), jsonb_array_elements(results) AS r;
SELECT r ->> 'original_action_id' AS no_intent FROM acteon_replay_bulk(outcome => 'PENDING'), jsonb_array_elements(results) AS r;
SELECT item, replayable FROM acteon_replay_preview(outcome => 'failed', include_replayed => true) WHERE section = 'beware' AND item = 'another record executed';
CALL clean();

-- An index in another collation than its column's gives no order, and what is read does not depend on it.
SELECT replace(:'alter', 'regress_acteon_nocase', '"default"') AS alter \gset
:alter;
CREATE COLLATION regress_acteon_order (provider = icu, locale = 'de-u-co-phonebk');
DROP INDEX acteon_audit_outcome_idx, acteon_audit_action_id_idx;
CREATE INDEX acteon_audit_outcome_idx ON acteon_audit (outcome COLLATE regress_acteon_order, dispatched_at DESC);
CREATE INDEX acteon_audit_action_id_idx ON acteon_audit (action_id COLLATE regress_acteon_nocase);
SELECT make_record('inv-1', at => now() - interval '1 h'), make_record('INV-1', at => now() - interval '1 h'), make_record('b', outcome => 'Failed');
SELECT r ->> 'original_action_id' AS id FROM acteon_replay_bulk(outcome => 'failed'), jsonb_array_elements(results) AS r ORDER BY r ->> 'original_action_id' COLLATE "C";
SELECT original_action_id, success FROM acteon_replay('INV-1');
SELECT count(*) FROM acteon_outbox_claim('c');
SELECT acteon_outbox_audit_tells(now() - interval '2 h', now() - interval '2 h');
DROP INDEX acteon_audit_outcome_idx, acteon_audit_action_id_idx;
CREATE INDEX acteon_audit_outcome_idx ON acteon_audit (outcome, dispatched_at DESC);
CREATE INDEX acteon_audit_action_id_idx ON acteon_audit (action_id);
CALL clean();

-- A table of ours is refused by name where a column that is compared has such a collation; others' columns may have any.
ALTER TABLE acteon_replay_batch ALTER stopped TYPE text COLLATE regress_acteon_nocase, ADD note text COLLATE regress_acteon_nocase;
SELECT make_record('a');
SELECT attempt($$SELECT acteon_replay('a')$$);
-- … but for one that only orders otherwise, also where an index is searched
ALTER TABLE acteon_replay_batch ALTER stopped TYPE text COLLATE regress_acteon_order;
SELECT success FROM acteon_replay('a');
SELECT acteon_replay_cancel(max(id)) IS NOT NULL AS cancelled FROM acteon_replay_batch;
SELECT count(*) FROM acteon_outbox_claim('c');
SELECT state FROM acteon_dispatch_delivery;
ALTER TABLE acteon_replay_batch ALTER stopped TYPE text COLLATE "default", DROP note;
DROP COLLATION regress_acteon_nocase, regress_acteon_order;
CALL clean();
