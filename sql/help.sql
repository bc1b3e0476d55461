-- acteon_replay_help: what the caller can do now, and short help on topics.
\set VERBOSITY terse
\pset format unaligned
SET timezone = 'UTC';
SET datestyle = 'ISO';
CALL clean();
CREATE ROLE regress_acteon_ask;
CREATE ROLE regress_acteon_other;
CREATE ROLE regress_acteon_look;
CREATE ROLE regress_acteon_send;
CREATE ROLE regress_acteon_none;
CREATE ROLE regress_acteon_peer;
CREATE ROLE regress_acteon_part;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
	('regress_acteon_ask', 'operator', '{acme}', '{*}', '{*}', '{*}'), ('regress_acteon_other', 'operator', '{globex}', '{*}', '{*}', '{*}'),
	('regress_acteon_look', 'viewer', '{acme}', '{*}', '{*}', '{*}'), ('regress_acteon_send', 'gateway', '{*}', '{*}', '{*}', '{*}'),
	('regress_acteon_peer', 'operator', '{acme}', '{*}', '{*}', '{*}'), ('regress_acteon_part', 'operator', '{acme}', '{*}', '{sms}', '{*}');
CREATE VIEW pg_temp.help AS
	SELECT topic, statement, regexp_replace(regexp_replace(why, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.?\d*\+00', 'TIME', 'g'), 'Ask "[^"]*"', 'Ask OWNER') AS why FROM acteon_replay_help();
GRANT SELECT ON pg_temp.help TO PUBLIC;
-- Of a topic: what it says.
CREATE FUNCTION pg_temp.on_topic(of_topic text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s | %s', statement, why) FROM pg_temp.help WHERE topic = of_topic
$$;

-- who has no grant is told whom to ask; nobody is told more than that
SET ROLE regress_acteon_none;
SELECT * FROM pg_temp.help;
-- … or which role to become, if it can be one that may replay; who may grant is told that it may
RESET ROLE;
ALTER ROLE regress_acteon_none NOINHERIT;
GRANT regress_acteon_ask, regress_acteon_look, regress_acteon_send TO regress_acteon_none;
GRANT INSERT ON acteon_grants TO regress_acteon_none;
SET ROLE regress_acteon_none;
SELECT * FROM pg_temp.help;
RESET ROLE;
REVOKE INSERT ON acteon_grants FROM regress_acteon_none;
REVOKE regress_acteon_ask, regress_acteon_look, regress_acteon_send FROM regress_acteon_none;
-- an empty table
SET ROLE regress_acteon_ask;
SELECT * FROM pg_temp.help;
RESET ROLE;

-- what was lost in the day before the newest record: without what is older, took effect, has no payload or belongs to others
SELECT count(make_record(name, at => '2026-01-02 12:00+00'::timestamptz + ago, tenant => tenant, outcome => outcome, details => details, payload => payload)) FROM (VALUES
	('f1', interval '0', 'acme', 'failed', '{}'::jsonb, '{"to": "a"}'::jsonb), ('f2', '-1 h', 'acme', 'circuit_open', '{}', '{"to": "a"}'),
	('f3', '-2 h', 'acme', 'throttled', '{}', '{"to": "a"}'), ('f4', '-23 h', 'acme', 'executed', '{"status": "Failure"}', '{"to": "a"}'),
	('old', '-25 h', 'acme', 'failed', '{}', '{"to": "a"}'), ('done', '-1 h', 'acme', 'executed', '{"status": "Success"}', '{"to": "a"}'),
	('rule', '-1 h', 'acme', 'suppressed', '{}', '{"to": "a"}'), ('bare', '-1 h', 'acme', 'failed', '{}', NULL),
	('red', '-1 h', 'acme', 'failed', '{}', '{"to": "[REDACTED]"}'), ('theirs', '-1 h', 'globex', 'failed', '{}', '{"to": "a"}')) AS v (name, ago, tenant, outcome, details, payload);
-- an action that was executed in the end is not lost
SELECT make_record('again', at => '2026-01-02 10:00+00'), make_record('again', at => '2026-01-02 10:01+00', outcome => 'executed', details => '{"status": "Success"}', id => 'again-2');
SET ROLE regress_acteon_ask;
SELECT * FROM pg_temp.help;
-- … as many as the preview has that it shows
SELECT replace(statement, ';', $$ WHERE section = 'total'$$) FROM acteon_replay_help() WHERE topic = 'preview' \gexec
SET ROLE regress_acteon_other;
SELECT pg_temp.on_topic('causes');
-- who may only look is shown what others could replay; who may only deliver is not told to replay
SET ROLE regress_acteon_look;
SELECT * FROM pg_temp.help;
SET ROLE regress_acteon_send;
SELECT * FROM pg_temp.help;
RESET ROLE;
-- many: not all are read
SELECT count(make_record('many-' || n, at => '2026-01-02 11:00+00'::timestamptz + n * interval '1 s')) FROM generate_series(1, 600) AS n;
SET ROLE regress_acteon_ask;
SELECT pg_temp.on_topic('causes');
RESET ROLE;
DELETE FROM acteon_audit WHERE action_id LIKE 'many-%';
-- … nor all that was executed, of which more may have had no effect, as f4
SELECT count(make_record('many-' || n, at => '2026-01-02 11:00+00'::timestamptz + n * interval '1 s', outcome => 'executed', details => '{"status": "Success"}')) FROM generate_series(1, 300) AS n;
SET ROLE regress_acteon_ask;
SELECT pg_temp.on_topic('causes');
RESET ROLE;
DELETE FROM acteon_audit WHERE action_id LIKE 'many-%';
-- without the index that finds them, with a table that has none of the columns, and without a table
DROP INDEX acteon_audit_outcome_idx;
SELECT pg_temp.on_topic('causes');
CREATE INDEX acteon_audit_outcome_idx ON acteon_audit (outcome, dispatched_at DESC);
SET acteon_replay.audit_table = 'acteon_grants';
SELECT * FROM pg_temp.help;
SET acteon_replay.audit_table = 'none';
SELECT pg_temp.on_topic('audit_table');
RESET acteon_replay.audit_table;

-- what has been replayed is not lost any more; the batch runs, and nobody takes its actions
SET ROLE regress_acteon_ask;
SELECT batch_id, replayed, failed, skipped FROM acteon_replay_bulk(lost => true);
SELECT * FROM pg_temp.help;
RESET ROLE;
UPDATE acteon_dispatch_segment SET due_at = due_at - interval '1 min';
SET ROLE regress_acteon_ask;
SELECT pg_temp.on_topic('relay');
-- … which others are not told who see nothing of it
SET ROLE regress_acteon_other;
SELECT topic FROM pg_temp.help;
-- … and who may look, who is told who can steer it
SET ROLE regress_acteon_look;
SELECT pg_temp.on_topic('batches');
-- a consumer sleeps or is at work: then somebody takes them
SET ROLE regress_acteon_send;
SELECT count(*) FROM acteon_outbox_claim('c', 1);
SET ROLE regress_acteon_ask;
SELECT pg_temp.on_topic('relay');
RESET ROLE;
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 min', lease_token = NULL, holder = NULL;
SELECT pg_temp.on_topic('relay') ~ 'no relay claims them' AS untaken;

-- paused: by a person, by itself
SET ROLE regress_acteon_ask;
SELECT state FROM acteon_replay_pause(1, 'wait');
SELECT pg_temp.on_topic(t) FROM unnest('{items,resume,relay}'::text[]) AS t;
RESET ROLE;
UPDATE acteon_replay_batch SET stopped_by = NULL, stop_reason = 'more than half failed';
SELECT pg_temp.on_topic(t) FROM unnest('{items,resume}'::text[]) AS t;
-- a part of it: the whole batch can go on without it
SET ROLE regress_acteon_ask;
SELECT paused FROM acteon_replay_batches WHERE (acteon_replay_pause(1, 'they asked for it', tenant => 'acme')).state = 'paused';
SELECT statement, why FROM acteon_replay_help() WHERE statement ~ 'parts';
SELECT state FROM acteon_replay_resume(1);
SELECT statement, why FROM acteon_replay_help() WHERE topic = 'resume';
SET ROLE regress_acteon_look;
SELECT why FROM acteon_replay_help() WHERE topic = 'resume';
SET ROLE regress_acteon_peer;
SELECT why FROM acteon_replay_help() WHERE topic = 'resume';
SET ROLE regress_acteon_part;
SELECT why FROM acteon_replay_help() WHERE topic = 'resume';
-- handed over: who has it now is told so, and who had it
RESET ROLE;
SELECT acteon_replay_hand_over(1, 'regress_acteon_peer');
SET ROLE regress_acteon_peer;
SELECT why FROM acteon_replay_help() WHERE topic = 'resume';
SET ROLE regress_acteon_ask;
SELECT why FROM acteon_replay_help() WHERE topic = 'resume';
-- the statement does it
SET ROLE regress_acteon_peer;
SELECT statement FROM acteon_replay_help() WHERE topic = 'resume' \gexec
SELECT paused FROM acteon_replay_batches;
SELECT count(*) FROM acteon_replay_help() WHERE topic = 'resume';
RESET ROLE;
SELECT acteon_replay_hand_over(1, 'regress_acteon_ask');
UPDATE acteon_replay_batch SET stopped = 'paused', stopped_at = now(), stop_reason = 'more than half failed';
SET acteon_replay.require_reason = on;
SELECT statement FROM acteon_replay_help() WHERE topic = 'resume';
RESET acteon_replay.require_reason;
UPDATE acteon_replay_batch SET stopped = NULL, stopped_at = NULL, stop_reason = NULL;
-- a call that has ended before its end
UPDATE acteon_replay_batch SET is_complete = false, chunk = 1000, matched = 100;
SELECT pg_temp.on_topic('continue');
UPDATE acteon_replay_batch SET is_complete = true;
-- held doubts
UPDATE acteon_dispatch_segment SET doubt_since = now(), doubt = 'timed out', held = 'the audit table does not tell';
SELECT pg_temp.on_topic('settle');
UPDATE acteon_dispatch_segment SET doubt_since = NULL, doubt = NULL, held = NULL;
-- dead and refused, for a while
SELECT count(finish(action_id, 'dead')) FROM acteon_dispatch_outbox WHERE original_action_id IN ('f1', 'f2');
SET ROLE regress_acteon_ask;
SELECT pg_temp.on_topic(t) FROM unnest('{redrive,items}'::text[]) AS t;
SET ROLE regress_acteon_send;
SELECT pg_temp.on_topic('redrive');
RESET ROLE;
-- expired, for a while: which
SET ROLE regress_acteon_ask;
SELECT batch_id, replayed FROM acteon_replay_bulk(action_ids => ARRAY['red'], allow_redacted => true, expire_after => '100 years') \gset
RESET ROLE;
UPDATE acteon_dispatch_outbox SET expires_at = now() - interval '1 s' WHERE original_action_id = 'red';
UPDATE acteon_dispatch_segment SET expires_at = now() - interval '1 s' WHERE batch_id = :batch_id;
SELECT count(*) FROM acteon_outbox_claim('c', 100);
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 min', lease_token = NULL, holder = NULL;
SET ROLE regress_acteon_ask;
SELECT statement, why FROM acteon_replay_help() WHERE why ~ 'expired';
SELECT original_action_id FROM acteon_replay_items(:batch_id, 'expired');
RESET ROLE;
-- nobody is told: how to change that, for who may; not once somebody is
SELECT pg_temp.on_topic('notify_set');
SET ROLE regress_acteon_ask;
SELECT pg_temp.on_topic('notify_set');
RESET ROLE;
BEGIN;
SELECT replace(statement, ';', '') FROM acteon_replay_help() WHERE topic = 'notify_set' \gexec
SELECT pg_temp.on_topic('notify_set');
ROLLBACK;
UPDATE acteon_replay_batch SET created_at = created_at - interval '2 days';
SELECT topic FROM acteon_replay_help();
UPDATE acteon_replay_batch SET created_at = created_at - interval '6 days';
SELECT topic FROM acteon_replay_help();
-- a circuit breaker that is open
SELECT acteon_replay_limit_set(provider => 'email', rate => 1000);
UPDATE acteon_replay_limit SET opened_at = now(), retry_at = now(), open_reason = '26 of the last 50 failed' WHERE name = 'email';
SELECT pg_temp.on_topic('breaker_close');
SET ROLE regress_acteon_ask;
SELECT pg_temp.on_topic('breaker_close');
RESET ROLE;
-- a second person
CALL clean();
SELECT count(make_record('b' || n)) FROM generate_series(1, 4) AS n;
SET acteon_replay.approval_above = 3;
SET ROLE regress_acteon_ask;
CALL acteon_replay_all(lost => true, to_time => '2026-01-02');
SELECT regexp_replace(pg_temp.on_topic('approve'), '''[0-9a-f]{16}''', 'PLAN');
RESET ROLE;
UPDATE acteon_replay_batch SET awaits_until = NULL, approved_at = now(), approved_by = 'boss';
RESET acteon_replay.approval_above;
SET ROLE regress_acteon_ask;
SELECT pg_temp.on_topic('continue');

-- what goes elsewhere waits for a relay of its own: one of production at work is none
RESET ROLE;
BEGIN;
SET LOCAL acteon_replay.targets = 'staging';
SELECT replayed FROM acteon_replay_bulk(action_ids => '{b1,b2}', target => 'staging');
SELECT replayed FROM acteon_replay_bulk(action_ids => '{b1}');
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 min';
SELECT count(*) FROM acteon_outbox_claim('c', 1);
SELECT pg_temp.on_topic('relay');
ROLLBACK;
SET ROLE regress_acteon_ask;

-- every statement runs, wherever the extension is found; and nothing is written
SELECT topic, split_part(attempt(regexp_replace(statement, ';$', '')), ':', 1) ~ '^[0-9A-Z]{5}$' AS fails FROM acteon_replay_help() WHERE statement LIKE 'SELECT%';
SET search_path = pg_catalog;
SELECT topic, substring(statement FROM 'public\.\w+') AS named FROM public.acteon_replay_help();
RESET search_path;
BEGIN READ ONLY;
SELECT count(*) > 2 AS reads_only FROM acteon_replay_help();
COMMIT;

-- short help: by the name, by any part of it, by what is an argument
SELECT * FROM acteon_replay_help('pause');
SELECT * FROM acteon_replay_help(' ACTEON_REPLAY_CONTINUE(); ');
SELECT * FROM acteon_replay_help('dead letters');
SELECT * FROM acteon_replay_help('exclude_ids');
SELECT topic, statement FROM acteon_replay_help('breaker');
SELECT topic, statement FROM acteon_replay_help('allow');
SELECT topic, statement FROM acteon_replay_help('approval_above');
SELECT topic, statement FROM acteon_replay_help('patch');
-- … by what mentions it
SELECT topic FROM acteon_replay_help('Export');
SELECT topic FROM acteon_replay_help('waiting room');
SELECT topic, statement FROM acteon_replay_help('relay');
-- … an argument does not hide what has its name in it, and a word for what somebody wants to do leads to what does it
SELECT topic FROM acteon_replay_help('rate');
SELECT topic FROM acteon_replay_help('target');
SELECT wish, (SELECT string_agg(topic, ' ') FROM acteon_replay_help(wish)) AS topics FROM unnest('{auditor,colleague,csv,customer,duplicate,export,faster,How far,permission,progress,rights,schedule,shift,skip,slow,slower,staging,status,stop,twice,undo}'::text[]) AS wish;
-- … of many the first, which is told
SELECT count(*) FROM acteon_replay_help('acteon_');
SELECT * FROM acteon_replay_help('no such thing');
SELECT * FROM acteon_replay_help('');
SELECT * FROM acteon_replay_help('%');
SELECT * FROM acteon_replay_help('''; DROP TABLE acteon_audit; --');
-- all that there is has help, and so have the topics of the rows
RESET ROLE;
SELECT name FROM (
	SELECT proname::text FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'acteon_replay') AND prorettype <> 'trigger'::regtype AND proname !~ '^acteon_(outcome|role|canary)(_|$)|_read_'
	UNION SELECT name FROM pg_settings WHERE name LIKE 'acteon_replay.%'
	UNION SELECT unnest('{grants,causes,preview,audit_table,items,resume,continue,settle,redrive,batches,relay,breaker_close,approve,notify_set,help}'::text[])) AS n (name)
WHERE NOT EXISTS (SELECT FROM acteon_replay_help(name) WHERE why <> '' AND statement <> '');

CALL clean();
DELETE FROM acteon_grants WHERE grantee::text ~ '^regress_acteon_';
DROP ROLE regress_acteon_ask, regress_acteon_other, regress_acteon_look, regress_acteon_send, regress_acteon_none, regress_acteon_peer, regress_acteon_part;
