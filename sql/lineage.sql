-- The chain of replays that an action is part of, from any of its actions.
CALL clean();
SELECT make_record('root', at => '2026-01-01'), make_record('alone', at => '2026-01-01');
SELECT new_action_id AS r1 FROM acteon_replay('root', reason => 'first') \gset
SELECT finish(:'r1', 'dead');
SELECT new_action_id AS r2 FROM acteon_replay('root', reason => 'second') \gset
SELECT finish(:'r2', 'delivered');
SELECT make_record(:'r2', at => '2026-01-02', metadata => '{"replayed_from": "root"}');
SELECT new_action_id AS r21 FROM acteon_replay(:'r2'::text) \gset
SELECT finish(:'r21', 'cancelled');
SELECT make_record(:'r21', at => '2026-01-03');
SELECT new_action_id AS r211 FROM acteon_replay(:'r21'::uuid, reason => 'deep') \gset
SELECT new_action_id AS r212 FROM acteon_replay(:'r21'::uuid, reason => 'deeper') \gset

SELECT id, source, generation, depth, batch_id, requested_by = current_user AS by_me, requested_at IS NOT NULL AS at, reason, state FROM acteon_replay_lineage('root');
-- from every action of it the same
SELECT start, (SELECT array_agg(l ORDER BY l.depth, l.batch_id) FROM acteon_replay_lineage(start) AS l)
	= (SELECT array_agg(l ORDER BY l.depth, l.batch_id) FROM acteon_replay_lineage('root') AS l) AS same
FROM unnest(ARRAY[:'r1', :'r2', :'r21', :'r211', :'r212', upper(:'r212')]) AS start;
-- nothing for what was never replayed, or never was
SELECT count(*) FROM acteon_replay_lineage('alone');
SELECT count(*) FROM acteon_replay_lineage('no such action');
SELECT count(*) FROM acteon_replay_lineage('');
SELECT count(*) FROM acteon_replay_lineage(NULL);
-- who has signed its actions, as far as their records tell
UPDATE acteon_audit SET signature = 'c2lnbmF0dXJl', signer_id = 'ci-bot' WHERE action_id IN ('root', :'r21');
UPDATE acteon_audit SET signature = 'c2lnbmF0dXJl', signer_id = 'relay' WHERE action_id = :'r2';
SELECT depth, generation, signer_id FROM acteon_replay_lineage('root');
SELECT depth, generation, signer_id FROM acteon_replay_lineage(:'r21');
SELECT s ->> 'action_id' AS action_id, s ->> 'signer_id' AS signer_id FROM jsonb_array_elements(acteon_replay_preview('{"include_replayed": true, "to": "2026-01-01T12:00:00Z"}', 10) -> 'sample') AS s ORDER BY 1;
SELECT item, regexp_replace(note, '.*email', '…') AS note FROM acteon_replay_preview(include_replayed => true, to_time => '2026-01-01 12:00:00Z', sample => 10) WHERE section = 'sample' ORDER BY 1;
-- … of its own tenant, where the caller may read them
UPDATE acteon_audit SET tenant = 'other' WHERE action_id = :'r2';
SELECT depth, generation, signer_id FROM acteon_replay_lineage('root');
UPDATE acteon_audit SET tenant = 'acme' WHERE action_id = :'r2';
CREATE ROLE lineage_reader;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('lineage_reader', 'viewer', '{acme}', '{prod}', '{send_email}');
UPDATE acteon_audit SET action_type = 'secret' WHERE action_id = 'root';
SET ROLE lineage_reader;
SELECT depth, generation, signer_id FROM acteon_replay_lineage('root');
RESET ROLE;
DELETE FROM acteon_grants WHERE grantee = 'lineage_reader'::regrole;
DROP ROLE lineage_reader;
-- … if there is an audit table, and it has such a column
ALTER TABLE acteon_audit RENAME signer_id TO signer;
SELECT count(*), count(signer_id) FROM acteon_replay_lineage('root');
ALTER TABLE acteon_audit RENAME signer TO signer_id;
ALTER TABLE acteon_audit RENAME TO gone;
SELECT count(*), count(signer_id) FROM acteon_replay_lineage('root');
ALTER TABLE gone RENAME TO acteon_audit;
DROP INDEX acteon_audit_action_id_idx;
SELECT count(*), count(signer_id) FROM acteon_replay_lineage('root');
CREATE INDEX acteon_audit_action_id_idx ON acteon_audit (action_id);
-- it needs the outbox only: the records may have expired
DELETE FROM acteon_audit;
SELECT count(*) FROM acteon_replay_lineage('root');
-- a batch that is gone leaves the rest
DELETE FROM acteon_replay_batch WHERE reason = 'deep';
SELECT id = :'r211' AS r211, batch_id, requested_by IS NOT NULL AS by_whom, requested_at IS NOT NULL AS at, reason FROM acteon_replay_lineage('root') WHERE source = :'r21' ORDER BY generation;

-- only what the caller's grants cover
CREATE ROLE regress_acteon_lineage;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_lineage', 'viewer', '{globex}', '{*}', '{*}');
SELECT make_record('root', tenant => 'globex');
SELECT success FROM acteon_replay('root');
SET ROLE regress_acteon_lineage;
SELECT generation, depth, state FROM acteon_replay_lineage('root');
SELECT count(*) FROM acteon_replay_lineage(:'r212');
RESET ROLE;
-- an action of another tenant with the same id is another chain
SELECT count(*) FROM acteon_replay_lineage(:'r212');
SELECT count(*) FROM acteon_replay_lineage('root');
DELETE FROM acteon_grants;
DROP ROLE regress_acteon_lineage;
CALL clean();
