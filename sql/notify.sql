-- Notifications: an action of its own tells that a batch ends, pauses itself or needs a person, once.
\set VERBOSITY terse
SET timezone = 'UTC';
SET datestyle = 'ISO';
CALL clean();
CREATE FUNCTION pg_temp.make(prefix text, actions integer, tenant text DEFAULT 'acme') RETURNS bigint LANGUAGE sql AS $$
	SELECT count(make_record(prefix || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s', tenant => make.tenant)) FROM generate_series(1, actions) AS i
$$;
-- A claim: what it hands out of actions that tell, as what they say, and how many others.
CREATE FUNCTION pg_temp.take(actions integer DEFAULT 100) RETURNS SETOF text LANGUAGE sql AS $$
	WITH c AS (SELECT * FROM acteon_outbox_claim('c', actions, '1 h'))
	SELECT action #>> '{payload,text}' FROM c WHERE action #>> '{metadata,acteon_notify}' IS NOT NULL
	UNION ALL SELECT count(*) || ' actions' FROM c WHERE action #>> '{metadata,acteon_notify}' IS NULL HAVING count(*) > 0
$$;
-- Answers for what is leased of a batch, or of those that tell.
CREATE FUNCTION pg_temp.answer(batch bigint DEFAULT NULL, outcome jsonb DEFAULT '{"Executed": {"status": "success"}}', most integer DEFAULT 1000) RETURNS integer LANGUAGE sql AS $$
	SELECT acteon_outbox_ack(array_agg(id), array_agg(lease_token), array_agg(outcome))
	FROM (SELECT id, lease_token FROM acteon_dispatch_segment AS s, generate_series(first_id, last_id) AS id
		WHERE s.lease_token IS NOT NULL AND CASE WHEN batch IS NULL THEN (SELECT query ? 'notify' FROM acteon_replay_batch AS b WHERE b.id = s.batch_id) ELSE s.batch_id = batch END
		ORDER BY id LIMIT most) AS held
$$;
-- whoever runs the test is shown as postgres
CREATE FUNCTION pg_temp.plain(value jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(replace(value::text, format('"%s"', session_user), '"postgres"'), '\d{4}-\d\d-\d\dT[0-9:.]+(Z|\+00:00)', 'TIME', 'g')
$$;
CREATE VIEW pg_temp.watched AS SELECT id, told FROM acteon_replay_batch WHERE told IS NOT NULL ORDER BY id;
CREATE VIEW pg_temp.tellings AS
	SELECT b.id, b.query, b.reason, o.original_action_id, o.generation, o.action_id = acteon_replay_id(o.original_action_id, o.generation) AS as_replay, o.labels, o.namespace, o.tenant, o.provider, o.action_type
	FROM acteon_replay_batch AS b JOIN acteon_dispatch_outbox AS o ON o.batch_id = b.id WHERE b.query ? 'notify' ORDER BY b.id;

-- without one nothing is watched, and nothing is told
SELECT pg_temp.make('n', 2);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT * FROM pg_temp.take();
SELECT pg_temp.answer(1);
SELECT * FROM pg_temp.take();
SELECT * FROM pg_temp.watched;

-- a batch ends: its last answer is followed by an action, in the next claim
SELECT acteon_replay_notify_set('ops', 'slack', 'message', 'ops', 'platform', reason => 'INC-1');
SELECT name, provider, action_type, namespace, tenant, events, tenants, namespaces, min_actions, reason FROM acteon_replay_notify;
SELECT * FROM pg_temp.watched;
SELECT pg_temp.make('f', 3);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', reason => 'an "odd" {{batch_id}} reason');
SELECT * FROM pg_temp.watched;
SELECT * FROM pg_temp.take();
SELECT * FROM pg_temp.take();
SELECT pg_temp.answer(2, most => 2);
SELECT * FROM pg_temp.take();
SELECT acteon_outbox_reject(ARRAY[id], ARRAY[lease_token], '{no}') FROM acteon_dispatch_segment AS s, generate_series(first_id, last_id) AS id WHERE batch_id = 2;
SELECT acteon_outbox_sleep(true) AS may_sleep_long;
SELECT acteon_outbox_sleep(false);
SELECT * FROM pg_temp.take();
SELECT * FROM pg_temp.take();
SELECT * FROM pg_temp.watched;
SELECT * FROM pg_temp.tellings;
SELECT pg_temp.plain(payload) FROM acteon_dispatch_outbox WHERE batch_id = 3;
-- it is a batch of its own, in no other's counts
SELECT batch_id, state, replayed, done, dead, in_flight, requested_by = session_user AS by_me, reason FROM acteon_replay_batches ORDER BY batch_id;
SELECT * FROM acteon_outbox_check();
-- nothing tells of it, however it ends
SELECT pg_temp.answer();
SELECT * FROM pg_temp.take();
SELECT count(*) FROM pg_temp.tellings;

-- a batch pauses itself, is resumed, and pauses itself again: each is told
SELECT pg_temp.make('p', 40);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', rate => 0.001, breaker_window => 1);
SELECT * FROM pg_temp.take();
SELECT pg_temp.answer(4, '{"Failed": {"code": "x", "message": "down", "retryable": false, "attempts": 1}}');
SELECT * FROM pg_temp.take();
SELECT * FROM pg_temp.take();
SELECT * FROM pg_temp.watched;
SELECT count(*) FROM acteon_replay_resume(4);
SELECT * FROM pg_temp.take();
SELECT * FROM pg_temp.watched;
SELECT pg_temp.answer(4, '{"Failed": {"code": "x", "message": "down", "retryable": false, "attempts": 1}}');
SELECT * FROM pg_temp.take();
SELECT query, generation, as_replay FROM pg_temp.tellings WHERE query ->> 'batch_id' = '4';
-- … also while the first one waits, and neither is the replay of the other
SELECT * FROM acteon_outbox_check();
-- … but not that a person pauses or resumes it
SELECT count(*) FROM acteon_replay_resume(4);
SELECT count(*) FROM acteon_replay_pause(4);
SELECT * FROM pg_temp.take();
-- cancelled: told when nothing of it is out
SELECT count(*) FROM acteon_replay_resume(4);
SELECT * FROM pg_temp.take();
SELECT count(*) FROM acteon_replay_cancel(4, 'enough');
SELECT * FROM pg_temp.take();
SELECT pg_temp.answer(4);
SELECT * FROM pg_temp.take();
SELECT * FROM pg_temp.watched;

-- it needs a person: approval, a canary, doubts, a call that was interrupted
CALL clean();
SELECT acteon_replay_notify_set('ops', 'slack', 'message', 'ops', 'platform');
SELECT pg_temp.make('a', 4);
SET acteon_replay.approval_above = 3;
CALL acteon_replay_all(outcome => 'failed', to_time => '2026-01-02');
SELECT pg_temp.plain(to_jsonb(t)) FROM pg_temp.take() AS t;
RESET acteon_replay.approval_above;
SELECT * FROM pg_temp.take();
UPDATE acteon_replay_batch SET awaits_until = now() - interval '1 s' WHERE id = 1;
SELECT * FROM pg_temp.take();
SELECT batch_id AS b FROM acteon_replay_bulk(from_time => '2000-01-01') \gset
SELECT * FROM pg_temp.take();
UPDATE acteon_replay_batch SET stopped = 'paused', stopped_at = now(), stop_reason = 'step 1 is good', canary = 'hold', canary_step = 1, canary_first_id = first_outbox_id, canary_last_id = last_outbox_id, canary_actions = 4, canary_held = true WHERE id = :b;
SELECT * FROM pg_temp.take();
UPDATE acteon_replay_batch SET stopped = NULL, stopped_at = NULL, stop_reason = NULL, canary = NULL, canary_step = NULL, canary_first_id = NULL, canary_last_id = NULL, canary_actions = NULL, canary_held = false WHERE id = :b;
SELECT acteon_outbox_doubt(array_agg(id), array_agg(lease_token), array_agg('cut'::text)) FROM acteon_dispatch_segment AS s, generate_series(first_id, last_id) AS id WHERE batch_id = :b;
SELECT * FROM pg_temp.take();
UPDATE acteon_dispatch_segment SET held = 'a test', due_at = now() + interval '1 h' WHERE doubt_since IS NOT NULL AND first_id % 2 = 0;
SELECT * FROM pg_temp.take();
UPDATE acteon_dispatch_segment SET held = 'a test', due_at = now() + interval '1 h' WHERE doubt_since IS NOT NULL;
SELECT * FROM pg_temp.take();
UPDATE acteon_replay_batch SET is_complete = false WHERE id = :b;
SELECT * FROM pg_temp.take();
SELECT told FROM pg_temp.watched;
-- doubts of an action that tells are told by nobody
SELECT acteon_outbox_doubt(array_agg(first_id), array_agg(lease_token), array_agg('cut'::text)) FROM acteon_dispatch_segment WHERE lease_token IS NOT NULL;
UPDATE acteon_dispatch_segment SET held = 'a test', due_at = now() + interval '1 h' WHERE doubt_since IS NOT NULL;
SELECT * FROM pg_temp.take();
SELECT count(*) FROM pg_temp.tellings;

-- a transaction that is rolled back has told nothing
CALL clean();
SELECT acteon_replay_notify_set('ops', 'slack', 'message', 'ops', 'platform');
SELECT pg_temp.make('r', 1);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT * FROM pg_temp.take();
SELECT pg_temp.answer(1);
BEGIN;
SELECT * FROM pg_temp.take();
ROLLBACK;
SELECT * FROM pg_temp.take();
SELECT query, generation FROM pg_temp.tellings;

-- several, each with what it is about
CALL clean();
SELECT acteon_replay_notify_set('acme', 'slack', 'message', 'ops', 'platform', '{"text": "acme {{batch_id}} {{event}}"}', tenants => '{acme}', events => '{finished,finished}');
SELECT acteon_replay_notify_set('staging', 'slack', 'message', 'ops', 'platform', '{"text": "staging {{batch_id}}"}', namespaces => '{staging}');
SELECT acteon_replay_notify_set('large', 'slack', 'message', 'ops', 'platform', '{"text": "large {{batch_id}} {{event}}"}', min_actions => 3);
SELECT name, events FROM acteon_replay_notify ORDER BY 1;
SELECT pg_temp.make('x', 2), pg_temp.make('y', 1, 'acme.us'), pg_temp.make('z', 3, 'acme-corp'), make_record('s', namespace => 'staging', tenant => 'globex'), make_record('u', tenant => 'acme.');
SELECT b.replayed FROM unnest('{acme,acme.us,acme-corp,globex,acme.}'::text[]) WITH ORDINALITY AS t (tenant, n), acteon_replay_bulk(tenant => t.tenant, outcome => 'failed') AS b ORDER BY n;
SELECT replayed FROM acteon_replay_bulk(tenant_tree => 'acme', outcome => 'failed', include_replayed => true);
SELECT replayed FROM acteon_replay_bulk(provider => 'email', outcome => 'failed', include_replayed => true);
SELECT * FROM pg_temp.take();
SELECT pg_temp.answer(b) FROM generate_series(1, 7) AS b;
SELECT take FROM pg_temp.take() ORDER BY 1;
-- of what is awaiting approval, the filters tell
SET acteon_replay.approval_above = 0;
CALL acteon_replay_all(outcome => 'failed', tenant => 'acme.us', to_time => '2026-01-02', include_replayed => true);
CALL acteon_replay_all(outcome => 'failed', namespace => 'staging', to_time => '2026-01-02', include_replayed => true);
RESET acteon_replay.approval_above;
SELECT take FROM pg_temp.take() ORDER BY 1;

-- templates: every placeholder; what is filled in is text, and no JSON, SQL or template
CALL clean();
SELECT acteon_replay_notify_set('all "of" it', 'webhook', 'post', 'ops', 'platform', (SELECT jsonb_object_agg(p, '{{' || p || '}}') || jsonb_build_object('in text', jsonb_agg(p || '={{' || p || '}}'), '{{batch_id}}', '{{batch_id}}{{event}}{{}} {{ event }} {{Event', 'nested', '[[{"a": [1, true, null, "{{event}}"]}]]'::jsonb)
	FROM unnest('{notification,event,summary,what_to_do,batch_id,state,reason,requested_by,stop_reason,replayed,refused,skipped,passed_over,waiting,in_flight,in_doubt,held,delivered,done,dead,cancelled,expired}'::text[]) AS p));
SELECT pg_temp.make('q', 3);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', reason => '", "x": {{event}} '' \u0041 \');
SELECT count(*) FROM pg_temp.take();
SELECT pg_temp.answer(1, most => 1);
SELECT acteon_outbox_reject(array_agg(id), array_agg(lease_token), array_agg('no'::text)) FROM acteon_dispatch_segment AS s, generate_series(first_id, last_id) AS id WHERE batch_id = 1;
SELECT count(*) FROM pg_temp.take();
SELECT key, value FROM acteon_dispatch_outbox AS o, jsonb_each(pg_temp.plain(payload)::jsonb) WHERE o.provider = 'webhook' ORDER BY key COLLATE "C";
-- … and any jsonb
SELECT acteon_replay_notify_set('number', 'webhook', 'post', 'ops', 'platform', '17'), acteon_replay_notify_set('times', 'webhook', 'post', 'ops', 'platform', '["{{at}}", "{{created_at}}"]'), acteon_replay_notify_set('all "of" it', 'webhook', 'post', 'ops', 'platform', '"{{batch_id}}"');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true);
SELECT count(*) FROM pg_temp.take();
SELECT pg_temp.answer((SELECT max(id) FROM acteon_replay_batch));
SELECT count(*) FROM pg_temp.take();
SELECT original_action_id, pg_temp.plain(payload) FROM acteon_dispatch_outbox WHERE provider = 'webhook' AND batch_id > 3 ORDER BY id;

-- those under way are watched when one is set; none is when the last is dropped
CALL clean();
SELECT pg_temp.make('w', 1), pg_temp.make('v', 1, 'globex');
SELECT replayed FROM acteon_replay_bulk(tenant => 'acme', outcome => 'failed');
SELECT * FROM pg_temp.take();
SELECT pg_temp.answer(1);
SELECT replayed FROM acteon_replay_bulk(tenant => 'globex', outcome => 'failed');
SELECT * FROM pg_temp.take();
SELECT acteon_replay_notify_set('ops', 'slack', 'message', 'ops', 'platform'), acteon_replay_notify_set('two', 'slack', 'message', 'ops', 'platform', '"{{event}}"');
SELECT * FROM pg_temp.watched;
SELECT acteon_replay_notify_drop('two'), acteon_replay_notify_drop('two');
SELECT * FROM pg_temp.watched;
SELECT acteon_replay_notify_drop('ops');
SELECT * FROM pg_temp.watched;
SELECT pg_temp.answer(2);
SELECT * FROM pg_temp.take();
SELECT count(*) FROM pg_temp.tellings;

-- a replay by filters passes over what tells: else each would make a batch that is told about
CALL clean();
SELECT acteon_replay_notify_set('ops', 'slack', 'message', 'ops', 'platform');
SELECT make_record('m', provider => 'slack', namespace => 'ops', tenant => 'platform', metadata => '{"acteon_notify": "ops"}', outcome => 'circuit_open');
SELECT replayed, failed, skipped FROM acteon_replay_bulk(lost => true);
SELECT acteon_replay_preview('{"lost": true}'::jsonb) -> 'not_replayed' AS not_replayed;
SELECT success FROM acteon_replay('m');

-- arguments
SELECT attempt(format('SELECT acteon_replay_notify_set(%s)', a)) FROM unnest(array[$$NULL, 'p', 't', 'n', 't'$$, $$'', 'p', 't', 'n', 't'$$, $$repeat('x', 201), 'p', 't', 'n', 't'$$, $$'a', NULL, 't', 'n', 't'$$, $$'a', 'p', '', 'n', 't'$$, $$'a', 'p', 't', NULL, 't'$$, $$'a', 'p', 't', 'n', NULL$$,
	$$'a', 'p', 't', 'n', 't', '{"a": ["{{batch_id}} {{nothing}}"]}'$$, $$'a', 'p', 't', 'n', 't', to_jsonb(repeat('x', 70000))$$, $$'a', 'p', 't', 'n', 't', events => '{}'$$, $$'a', 'p', 't', 'n', 't', events => '{ended}'$$, $$'a', 'p', 't', 'n', 't', events => '{NULL}'$$,
	$$'a', 'p', 't', 'n', 't', tenants => '{}'$$, $$'a', 'p', 't', 'n', 't', tenants => '{*}'$$, $$'a', 'p', 't', 'n', 't', namespaces => '{a,NULL}'$$, $$'a', 'p', 't', 'n', 't', min_actions => 0$$]) AS a;
SELECT attempt('SELECT acteon_replay_notify_drop(NULL)');
SET acteon_replay.require_reason = on;
SELECT attempt($$SELECT acteon_replay_notify_set('a', 'p', 't', 'n', 't')$$), attempt($$SELECT acteon_replay_notify_drop('a')$$);
RESET acteon_replay.require_reason;
SET default_transaction_read_only = on;
SELECT attempt($$SELECT acteon_replay_notify_set('a', 'p', 't', 'n', 't')$$);
RESET default_transaction_read_only;

-- who may: admins of the action that tells, and of all that is told about
CREATE ROLE regress_acteon_notify_admin;
CREATE ROLE regress_acteon_notify_operator;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
	('regress_acteon_notify_admin', 'admin', '{platform}', '{ops}', '{slack}', '{message}'),
	('regress_acteon_notify_admin', 'admin', '{acme}', '{prod,staging}', '{*}', '{*}'),
	('regress_acteon_notify_operator', 'operator', '{*}', '{*}', '{*}', '{*}');
SET ROLE regress_acteon_notify_admin;
SELECT attempt($$SELECT acteon_replay_notify_set('mine', 'slack', 'message', 'ops', 'platform')$$);
SELECT attempt($$SELECT acteon_replay_notify_set('mine', 'slack', 'message', 'ops', 'platform', tenants => '{acme}')$$);
SELECT attempt($$SELECT acteon_replay_notify_set('mine', 'slack', 'message', 'ops', 'platform', tenants => '{acme,globex}', namespaces => '{prod}')$$);
SELECT attempt($$SELECT acteon_replay_notify_set('mine', 'email', 'message', 'ops', 'platform', tenants => '{acme}', namespaces => '{prod}')$$);
SELECT attempt($$SELECT acteon_replay_notify_set('mine', 'slack', 'message', 'ops', 'platform', tenants => '{acme,acme.us}', namespaces => '{prod,staging}')$$);
-- … and of what it replaces or drops
SELECT attempt($$SELECT acteon_replay_notify_set('ops', 'slack', 'message', 'ops', 'platform', tenants => '{acme}', namespaces => '{prod}')$$);
SELECT attempt($$SELECT acteon_replay_notify_drop('ops')$$);
SELECT name FROM acteon_replay_notify ORDER BY 1;
SELECT attempt($$UPDATE acteon_replay_notify SET provider = 'x'$$);
SET ROLE regress_acteon_notify_operator;
SELECT attempt($$SELECT acteon_replay_notify_set('mine', 'slack', 'message', 'ops', 'platform', tenants => '{acme}', namespaces => '{prod}')$$);
SELECT attempt($$SELECT acteon_replay_notify_drop('mine')$$);
RESET ROLE;
SELECT event, details FROM acteon_replay_log WHERE role_name = 'regress_acteon_notify_admin' ORDER BY id;
-- the batches of what tells belong to the role that has set it, or, without that, to the tables' owner
SELECT acteon_replay_notify_drop('ops');
SELECT pg_temp.make('o', 1);
SELECT replayed FROM acteon_replay_bulk(tenant => 'acme', outcome => 'failed') \gset
SELECT count(*) FROM pg_temp.take();
SELECT max(id) AS last FROM acteon_replay_batch \gset
SELECT pg_temp.answer(:last);
SELECT * FROM pg_temp.take();
SELECT requested_by FROM acteon_replay_batches ORDER BY batch_id DESC LIMIT 1;
DELETE FROM acteon_grants WHERE grantee::text LIKE 'regress_acteon_notify%';
DROP ROLE regress_acteon_notify_admin, regress_acteon_notify_operator;
SELECT replayed FROM acteon_replay_bulk(tenant => 'acme', outcome => 'failed', include_replayed => true) \gset
SELECT count(*) FROM pg_temp.take();
SELECT max(id) AS last FROM acteon_replay_batch \gset
SELECT pg_temp.answer(:last);
SELECT * FROM pg_temp.take();
SELECT requested_by = session_user AS by_owner FROM acteon_replay_batches ORDER BY batch_id DESC LIMIT 1;
SELECT * FROM acteon_outbox_check();
-- purged like others, and their ids are kept: nothing is told twice
SELECT pg_temp.answer();
SELECT count(*) FROM pg_temp.tellings;
SELECT acteon_outbox_purge('0') > 0 AS purged;
SELECT count(*) FROM pg_temp.tellings;
SELECT * FROM pg_temp.take();

-- what has expired is counted; a long reason is cut, between characters
CALL clean();
SELECT acteon_replay_notify_set('ops', 'slack', 'message', 'ops', 'platform', '{"text": "{{summary}}", "expired": "{{expired}}", "reason": "{{reason}}{{reason}}"}');
SELECT make_record('e1', at => now()), make_record('e2', at => now());
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', expire_after => '1 h', reason => 'x' || repeat('ä', 100000));
UPDATE acteon_dispatch_outbox SET expires_at = now();
UPDATE acteon_dispatch_segment SET expires_at = now();
SELECT * FROM pg_temp.take();
SELECT * FROM pg_temp.take();
SELECT payload -> 'expired' AS expired, length(payload ->> 'reason') AS reason FROM acteon_dispatch_outbox WHERE provider = 'slack';

-- what is redriven makes its batch end once more, which is told; what tells is not told about then either
CALL clean();
SELECT acteon_replay_notify_set('ops', 'slack', 'message', 'ops', 'platform');
SELECT pg_temp.make('d', 2);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT * FROM pg_temp.take();
SELECT acteon_outbox_reject(array_agg(id), array_agg(lease_token), array_agg('no'::text)) FROM acteon_dispatch_segment AS s, generate_series(first_id, last_id) AS id WHERE lease_token IS NOT NULL;
SELECT * FROM pg_temp.take();
SELECT acteon_outbox_reject(array_agg(id), array_agg(lease_token), array_agg('no'::text)) FROM acteon_dispatch_segment AS s, generate_series(first_id, last_id) AS id WHERE lease_token IS NOT NULL;
SELECT * FROM pg_temp.watched;
SELECT redriven FROM acteon_outbox_redrive();
SELECT * FROM pg_temp.watched;
SELECT count(*) FROM acteon_outbox_claim('c');
SELECT pg_temp.answer(1);
SELECT * FROM pg_temp.take();
SELECT query ->> 'notify' AS notify, query -> 'batch_id' AS about, generation, as_replay FROM pg_temp.tellings;

-- what refuses an action that tells, such as a trigger, stops neither a consumer nor the others; consumers need not try again at once
CALL clean();
SELECT acteon_replay_notify_set('chat', 'slack', 'message', 'ops', 'platform'), acteon_replay_notify_set('web', 'webhook', 'post', 'ops', 'platform');
CREATE FUNCTION pg_temp.no_messages() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.provider = 'slack' THEN RAISE EXCEPTION 'no messages'; END IF; RETURN NULL; END $$;
CREATE TRIGGER no_messages AFTER INSERT ON acteon_dispatch_outbox FOR EACH ROW EXECUTE FUNCTION pg_temp.no_messages();
SELECT pg_temp.make('t', 2), pg_temp.make('u', 1, 'globex');
SELECT replayed FROM acteon_replay_bulk(tenant => 'acme', outcome => 'failed');
SELECT * FROM pg_temp.take();
SELECT pg_temp.answer(1);
SELECT count(*) FROM pg_temp.take();
SELECT query ->> 'notify' AS notify FROM pg_temp.tellings;
SELECT * FROM pg_temp.watched;
SELECT pg_temp.answer();
SELECT acteon_replay_notify_drop('web');
SELECT replayed FROM acteon_replay_bulk(tenant => 'globex', outcome => 'failed') \gset
SELECT * FROM pg_temp.take();
SELECT max(id) AS last FROM acteon_replay_batch \gset
SELECT pg_temp.answer(:last);
SELECT * FROM pg_temp.take();
SELECT acteon_outbox_sleep(true) AS may_sleep_long;
SELECT acteon_outbox_sleep(false);
DROP TRIGGER no_messages ON acteon_dispatch_outbox;
SELECT * FROM pg_temp.take();
-- another session tries at once
\c -
SELECT acteon_outbox_sleep(true) AS may_sleep_long;
SELECT action ->> 'provider' AS provider FROM acteon_outbox_claim('c', 10);
CALL clean();

-- with more doubts than are looked at, what was told as held is not told again
SELECT acteon_replay_notify_set('ops', 'slack', 'message', 'ops', 'platform');
SELECT make_record('h');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT acteon_outbox_doubt(array_agg(outbox_id), array_agg(lease_token), array_agg('cut'::text)) FROM acteon_outbox_claim('c');
UPDATE acteon_dispatch_segment SET held = 'a test', due_at = now() + interval '1 h';
SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {}}'::jsonb)) FROM acteon_outbox_claim('c');
SELECT told FROM acteon_replay_batch WHERE id = 1;
INSERT INTO acteon_dispatch_segment SELECT r.* FROM acteon_dispatch_segment AS s, generate_series(1, 10001) AS i, jsonb_populate_record(s, jsonb_build_object('first_id', i + 1000000, 'last_id', i + 1000000, 'batch_id', 77, 'held', NULL, 'due_at', now() + interval '30 min')) AS r WHERE s.first_id = 1;
SELECT count(*) FROM acteon_outbox_claim('c');
SELECT told FROM acteon_replay_batch WHERE id = 1;
DELETE FROM acteon_dispatch_segment WHERE batch_id = 77 AND first_id > 1002000;
\c -
-- a session that has read much and found nothing does not look again at once; another one does
DO $$ BEGIN PERFORM acteon_outbox_claim('c'); UPDATE acteon_dispatch_segment SET held = NULL WHERE first_id = 1; PERFORM acteon_outbox_claim('c'); END $$;
SELECT told FROM acteon_replay_batch WHERE id = 1;
\c -
SELECT count(*) FROM acteon_outbox_claim('c');
SELECT told FROM acteon_replay_batch WHERE id = 1;
CALL clean();
