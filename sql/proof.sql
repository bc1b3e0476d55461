-- What the audit table says of the actions of a batch, and what it does not say.
\set VERBOSITY terse
CALL clean();
SET TIME ZONE 'UTC';
-- A batch of actions with these names, one segment each, none of which was handed out.
CREATE FUNCTION pg_temp.batch(names text[], metadata jsonb DEFAULT '{}') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	answer bigint;
BEGIN
	PERFORM make_record(name, at => '2025-12-01 12:00+00'::timestamptz + n * interval '1 s', metadata => batch.metadata, matched_rule => names[1]) FROM unnest(names) WITH ORDINALITY AS u (name, n);
	answer := (acteon_replay_bulk(jsonb_build_object('matched_rule', names[1], 'limit', 1000)) ->> 'batch_id')::bigint;
	DELETE FROM acteon_dispatch_segment WHERE batch_id = answer;
	INSERT INTO acteon_dispatch_segment (first_id, last_id, batch_id, due_at, attempt, was_claimed) SELECT id, id, batch_id, now(), 0, false FROM acteon_dispatch_outbox WHERE batch_id = answer;
	UPDATE acteon_dispatch_outbox SET created_at = '2026-01-01 12:00+00' WHERE batch_id = answer;
	RETURN answer;
END
$$;
CREATE FUNCTION pg_temp.outbox_id(name text) RETURNS bigint LANGUAGE sql AS 'SELECT id FROM acteon_dispatch_outbox WHERE original_action_id = name';
-- What a consumer has told of an action: how it was delivered, or ended otherwise.
CREATE FUNCTION pg_temp.tell(name text, state text DEFAULT 'delivered', effect text DEFAULT NULL, outcome jsonb DEFAULT NULL, resend integer DEFAULT 0, known_by text DEFAULT NULL, attempts integer DEFAULT 1) RETURNS void LANGUAGE sql AS $$
	DELETE FROM acteon_dispatch_segment WHERE first_id = pg_temp.outbox_id(name);
	INSERT INTO acteon_dispatch_delivery (outbox_id, finished_at, attempts, state, effect, outcome, resend, known_by)
	VALUES (pg_temp.outbox_id(name), '2026-01-01 12:10+00', tell.attempts, tell.state, tell.effect, tell.outcome, tell.resend, tell.known_by);
$$;
-- An action was handed out, and what has become of it: it waits, is in flight or in doubt.
CREATE FUNCTION pg_temp.hand_out(name text, becomes text, resend integer DEFAULT 0) RETURNS void LANGUAGE sql AS $$
	UPDATE acteon_dispatch_segment SET sent_at = '2026-01-01 12:01+00', was_claimed = true, resend = hand_out.resend, attempt = 1,
		lease_token = CASE WHEN becomes IN ('in flight', 'lost lease') THEN 1 END, holder = CASE WHEN becomes IN ('in flight', 'lost lease') THEN 'c' END,
		due_at = CASE becomes WHEN 'in flight' THEN now() + interval '1 h' ELSE now() - interval '1 h' END,
		doubt_since = CASE becomes WHEN 'in doubt' THEN now() END, doubt = CASE becomes WHEN 'in doubt' THEN 'a time-out' END
	WHERE first_id = pg_temp.outbox_id(name);
$$;
-- A record of an action, under one of its ids.
CREATE FUNCTION pg_temp.record(name text, outcome text, details jsonb DEFAULT '{}', resend integer DEFAULT 0, seconds numeric DEFAULT 0, tenant text DEFAULT 'acme', namespace text DEFAULT 'prod',
	provider text DEFAULT 'email', action_type text DEFAULT 'send_email', metadata jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	-- The ids of an action are what the proof looks for.
	SELECT action_ids[record.resend + 1]::text INTO answer FROM acteon_replay_proof_items((SELECT batch_id FROM acteon_dispatch_outbox WHERE id = pg_temp.outbox_id(name)), after => pg_temp.outbox_id(name) - 1, max_items => 1);
	INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms)
	VALUES (format('%s/%s/%s', name, record.resend, outcome) || CASE WHEN seconds > 0 THEN '/' || seconds ELSE '' END, answer, namespace, tenant, provider, action_type, 'allow', outcome, '{}', details, metadata, '2026-01-01 12:05+00'::timestamptz + seconds * interval '1 s', now(), 1);
	RETURN answer;
END
$$;
CREATE FUNCTION pg_temp.executed(name text, resend integer DEFAULT 0, seconds numeric DEFAULT 0) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.record(name, 'executed', '{"status": "Success"}', resend, seconds)
$$;
-- What is proven of a batch.
CREATE FUNCTION pg_temp.proof(batch_id bigint) RETURNS TABLE (name text, verdict text, told text, effect text, outcome jsonb, record_ids text[], at text) LANGUAGE sql AS $$
	SELECT o.original_action_id, p.verdict, p.told, p.effect, p.outcome, p.record_ids, to_char(p.dispatched_at, 'HH24:MI:SS')
	FROM acteon_replay_proof_items(batch_id) AS p JOIN acteon_dispatch_outbox AS o ON o.id = p.outbox_id ORDER BY p.outbox_id
$$;
SELECT make_record('from long ago', at => '2025-01-01', outcome => 'executed') AS old;

-- each verdict, by one record or none
SELECT pg_temp.batch('{done,failed,refused,timeout,scheduled,approval,suppressed,rerouted,teleported,intent,unanswered intent,unrecorded,nothing,never,in flight,lost lease,waits,rejected,never rejected,swept,by record,settled,chain,internal}') AS batch \gset
SELECT pg_temp.tell(name, effect => effect) FROM (VALUES ('done', 'done'), ('failed', 'unknown'), ('refused', 'none'), ('scheduled', 'later'), ('approval', 'later'), ('suppressed', 'decided'), ('rerouted', 'done'),
	('teleported', 'unknown'), ('intent', 'done'), ('unrecorded', 'done'), ('timeout', 'unknown'), ('chain', 'later')) AS v (name, effect) \g /dev/null
SELECT pg_temp.tell('rejected', 'dead'), pg_temp.tell('never rejected', 'dead', attempts => 0), pg_temp.tell('swept', 'cancelled', attempts => 0), pg_temp.tell('by record', effect => 'done', known_by => 'record'), pg_temp.tell('settled', effect => 'done', known_by => 'settled') \g /dev/null
SELECT pg_temp.hand_out('unanswered intent', 'in doubt'), pg_temp.hand_out('nothing', 'in doubt'), pg_temp.hand_out('in flight', 'in flight'), pg_temp.hand_out('lost lease', 'lost lease'), pg_temp.hand_out('waits', 'waits') \g /dev/null
SELECT count(r) FROM (VALUES (pg_temp.executed('done')), (pg_temp.record('failed', 'failed', '{"code": "EXECUTION_FAILED", "message": "execution failed: x", "attempts": 1, "retryable": false}')),
	(pg_temp.record('refused', 'failed', '{"code": "CONNECTION", "message": "connection error: error sending request for url (http://x/)", "attempts": 1, "retryable": true}')),
	(pg_temp.record('timeout', 'failed', '{"code": "TIMEOUT", "message": "timeout after 30s", "attempts": 4, "retryable": true}')), (pg_temp.record('scheduled', 'scheduled', '{"action_id": "x"}')),
	(pg_temp.record('approval', 'pending_approval', '{"approval_id": "x"}')), (pg_temp.record('suppressed', 'suppressed', '{"rule": "r"}')), (pg_temp.record('rerouted', 'rerouted', '{"new_provider": "sms"}')),
	(pg_temp.record('teleported', 'tele_ported', '{"to": "moon"}')), (pg_temp.record('intent', 'pending', '{"phase": "intent"}')), (pg_temp.record('unanswered intent', 'pending', '{"phase": "intent"}')),
	(pg_temp.executed('by record')), (pg_temp.record('chain', 'chain_started', '{"chain_id": "c"}')), (pg_temp.record('internal', 'executed', '{}', provider => 'system', action_type => 'recurring.create'))) AS v (r);
SELECT * FROM pg_temp.proof(:batch);
SELECT verdict, told, actions, next FROM acteon_replay_proof(:batch);

-- each outcome in the form of an answer: the names and shapes are those of POST /v1/dispatch
SELECT pg_temp.batch('{a1,a2,a3,a4,a5,a6,a7,a8}') AS batch \gset
SELECT count(r) FROM (VALUES (pg_temp.record('a1', 'executed', '{"status": "Failure"}')), (pg_temp.record('a2', 'throttled', '{"retry_after_secs": 60}')), (pg_temp.record('a3', 'circuit_open', '{"provider": "down", "fallback_chain": []}')),
	(pg_temp.record('a4', 'quota_exceeded', '{"used": 2, "limit": 1, "tenant": "q", "overage_behavior": "block"}')), (pg_temp.record('a5', 'deduplicated')), (pg_temp.record('a6', 'silenced', '{"silence_id": "s", "matched_rule": null}')),
	(pg_temp.record('a7', 'executed', '{"status": "Partial"}')), (pg_temp.record('a8', 'suppressed', '"odd"'))) AS v (r);
SELECT name, outcome, effect, acteon_answer_effect(outcome) = effect AS same FROM pg_temp.proof(:batch);

-- several records of one id: done, else the newest that is not later, else later; an intent counts where no outcome followed
SELECT pg_temp.batch('{failed then done,done then failed,done then later,scheduled then refused,refused then scheduled,intent and outcome,intent and scheduled,intent after outcome,intent after scheduled,same time,steps}') AS batch \gset
SELECT count(r) FROM (VALUES (pg_temp.record('failed then done', 'circuit_open')), (pg_temp.executed('failed then done', seconds => 1)), (pg_temp.record('done then failed', 'circuit_open', seconds => 1)), (pg_temp.executed('done then failed')),
	(pg_temp.executed('done then later')), (pg_temp.record('done then later', 'scheduled', seconds => 1)), (pg_temp.record('scheduled then refused', 'scheduled')), (pg_temp.record('scheduled then refused', 'circuit_open', seconds => 1)),
	(pg_temp.record('refused then scheduled', 'circuit_open')), (pg_temp.record('refused then scheduled', 'scheduled', seconds => 1)), (pg_temp.record('intent and outcome', 'pending')), (pg_temp.record('intent and outcome', 'suppressed')),
	(pg_temp.record('intent and scheduled', 'pending')), (pg_temp.record('intent and scheduled', 'scheduled')), (pg_temp.record('intent after outcome', 'circuit_open')), (pg_temp.record('intent after outcome', 'pending', seconds => 0.000001)),
	(pg_temp.record('intent after scheduled', 'scheduled')), (pg_temp.record('intent after scheduled', 'pending', seconds => 1)), (pg_temp.record('same time', 'circuit_open')), (pg_temp.record('same time', 'suppressed')),
	(pg_temp.record('steps', 'chain_started')), (pg_temp.record('steps', 'chain_step_completed', seconds => 2)), (pg_temp.record('steps', 'chain_completed', provider => 'chain'))) AS v (r);
SELECT name, verdict, effect, record_ids, at FROM pg_temp.proof(:batch);

-- several ids of one action: all are looked for
SELECT pg_temp.batch('{second,first late,both,second refused,first refused,one answered,three,second scheduled,first scheduled late,first unknown late,first intent late,second intent,both decided}') AS batch \gset
SELECT pg_temp.tell('second', effect => 'done', resend => 1), pg_temp.tell('first late', effect => 'none', resend => 1), pg_temp.tell('both', effect => 'done', resend => 1), pg_temp.tell('second refused', effect => 'none', resend => 1),
	pg_temp.tell('one answered', effect => 'done', resend => 1), pg_temp.hand_out('first refused', 'in doubt', 1), pg_temp.hand_out('three', 'in doubt', 3), pg_temp.tell('second scheduled', effect => 'later', resend => 1), pg_temp.tell('first scheduled late', effect => 'none', resend => 1),
	pg_temp.tell('first unknown late', effect => 'none', resend => 1), pg_temp.tell('first intent late', effect => 'none', resend => 1), pg_temp.hand_out('second intent', 'in doubt', 1), pg_temp.tell('both decided', effect => 'decided', resend => 1) \g /dev/null
SELECT count(r) FROM (VALUES (pg_temp.record('second', 'throttled')), (pg_temp.executed('second', 1, 1)), (pg_temp.executed('first late')), (pg_temp.record('first late', 'circuit_open', resend => 1, seconds => 1)), (pg_temp.executed('both')), (pg_temp.executed('both', 1, 1)),
	(pg_temp.record('second refused', 'throttled')), (pg_temp.record('second refused', 'circuit_open', resend => 1, seconds => 1)), (pg_temp.record('first refused', 'throttled')), (pg_temp.record('one answered', 'throttled')), (pg_temp.executed('three', 3)),
	(pg_temp.record('second scheduled', 'throttled')), (pg_temp.record('second scheduled', 'scheduled', resend => 1, seconds => 1)), (pg_temp.record('first scheduled late', 'scheduled')), (pg_temp.record('first scheduled late', 'circuit_open', resend => 1, seconds => 1)),
	(pg_temp.record('first unknown late', 'rerouted', seconds => 5)), (pg_temp.record('first unknown late', 'circuit_open', resend => 1, seconds => 1)), (pg_temp.record('first intent late', 'pending')), (pg_temp.record('first intent late', 'suppressed', resend => 1, seconds => 1)),
	(pg_temp.record('second intent', 'throttled')), (pg_temp.record('second intent', 'pending', resend => 1, seconds => 1)), (pg_temp.record('both decided', 'suppressed')), (pg_temp.record('both decided', 'circuit_open', resend => 1, seconds => 1))) AS v (r);
SELECT name, verdict, told, effect, outcome, record_ids FROM pg_temp.proof(:batch);
SELECT array_length(action_ids, 1) AS ids, action_ids[1] = o.action_id AS first, (SELECT count(DISTINCT i) FROM unnest(action_ids) AS i) AS different FROM acteon_replay_proof_items(:batch) AS p JOIN acteon_dispatch_outbox AS o ON o.id = p.outbox_id;

-- whichever way the ids sort
SELECT pg_temp.batch(ARRAY(SELECT 'late ' || n FROM generate_series(1, 20) AS n)) AS batch \gset
SELECT pg_temp.tell('late ' || n, effect => 'none', resend => 2), pg_temp.executed('late ' || n, n % 2), pg_temp.record('late ' || n, 'throttled', resend => 1 - n % 2, seconds => 1), pg_temp.record('late ' || n, 'circuit_open', resend => 2, seconds => 2) FROM generate_series(1, 20) AS n \g /dev/null
SELECT verdict, told, actions FROM acteon_replay_proof(:batch);

-- the opposite of what was told; and what is no contradiction
SELECT pg_temp.batch('{told none,told decided,told dead,told cancelled,told done,told done decided,told unknown,told later,told settled}') AS batch \gset
SELECT pg_temp.tell('told none', effect => 'none'), pg_temp.tell('told decided', effect => 'decided'), pg_temp.tell('told dead', 'dead'), pg_temp.tell('told cancelled', 'cancelled'), pg_temp.tell('told done', effect => 'done'), pg_temp.tell('told done decided', effect => 'done'),
	pg_temp.tell('told unknown', effect => 'unknown'), pg_temp.tell('told later', effect => 'later'), pg_temp.tell('told settled', effect => 'done', known_by => 'settled') \g /dev/null
SELECT count(pg_temp.executed(name)) FROM unnest('{told none,told decided,told dead,told cancelled,told unknown,told later}'::text[]) AS name;
SELECT pg_temp.record('told done', 'executed', '{"status": "Failure"}') <> '' AND pg_temp.record('told done decided', 'suppressed') <> '' AND pg_temp.record('told settled', 'circuit_open') <> '' AS ok;
SELECT name, verdict, told, effect FROM pg_temp.proof(:batch);

-- deliveries of version 1.0 have no effect stored
SELECT pg_temp.batch('{old done,old failed,old nothing}') AS batch \gset
SELECT pg_temp.tell('old done', outcome => '{"Executed": {"status": "success"}}'), pg_temp.tell('old failed', outcome => '{"CircuitOpen": {}}'), pg_temp.tell('old nothing') \g /dev/null
SELECT name, verdict, told FROM pg_temp.proof(:batch);

-- deduplicated: decided only where the other one is known to be executed, or to be so later
SELECT pg_temp.batch('{d1}', '{"__dedup_key": "k1"}') AS b1, pg_temp.batch('{d2}', '{"__dedup_key": "k\"2"}') AS b2, pg_temp.batch('{d3}', '{"__dedup_key": "k3"}') AS b3, pg_temp.batch('{d4}', '{"__dedup_key": "k4"}') AS b4, pg_temp.batch('{d5,d6}') AS b5 \gset
SELECT count(r) FROM unnest('{d1,d2,d3,d4,d5,d6}'::text[]) AS n, LATERAL pg_temp.record(n, 'deduplicated', metadata => '{"__dedup_key": "k1"}', seconds => 1) AS r;
SELECT make_record('other 1', outcome => 'executed', metadata => '{"__dedup_key": "k1"}'), make_record('other 2', outcome => 'scheduled', metadata => '{"__dedup_key": "k\"2"}'),
	make_record('other 3', outcome => 'executed', metadata => '{"__dedup_key": "k3"}', tenant => 'globex'), make_record('other 4', outcome => 'failed', metadata => '{"__dedup_key": "k4"}') \g /dev/null
UPDATE acteon_audit SET outcome_details = '{"status": "Success"}' WHERE action_id IN ('other 1', 'other 3');
SELECT pg_temp.record('d6', 'scheduled') <> '' AS ok;
SELECT (SELECT jsonb_agg(name || ': ' || verdict) FROM pg_temp.proof(b)) AS proof FROM unnest(ARRAY[:b1, :b2, :b3, :b4, :b5]) AS b;
-- without the index, nobody searches the whole table for a key
DROP INDEX acteon_audit_metadata_idx;
SELECT name, verdict FROM pg_temp.proof(:b1);
CREATE INDEX acteon_audit_metadata_idx ON acteon_audit USING gin (metadata);

-- records that are nobody's, or another's
SELECT pg_temp.batch('{other tenant,other namespace,upper case,no outcome}') AS batch \gset
SELECT pg_temp.hand_out(n, 'in doubt') FROM unnest('{other tenant,other namespace,upper case,no outcome}'::text[]) AS n \g /dev/null
ALTER TABLE acteon_audit ALTER outcome DROP NOT NULL;
SELECT pg_temp.record('other tenant', 'executed', '{"status": "Success"}', tenant => 'acme.eu') <> '' AND pg_temp.record('other namespace', 'executed', '{"status": "Success"}', namespace => 'Prod') <> '' AND pg_temp.executed('upper case') <> '' AND pg_temp.executed('no outcome') <> '' AS ok;
UPDATE acteon_audit SET action_id = upper(action_id) WHERE id LIKE 'upper case/%';
UPDATE acteon_audit SET outcome = NULL WHERE id LIKE 'no outcome/%';
SELECT name, verdict FROM pg_temp.proof(:batch);
UPDATE acteon_audit SET action_id = lower(action_id) WHERE id LIKE 'upper case/%';
SELECT name, verdict FROM pg_temp.proof(:batch);

-- a record that cannot be read is something nobody knows, and hides nothing else
SELECT pg_temp.batch('{damaged,next to it,missing}') AS batch \gset
SELECT pg_temp.hand_out(n, 'in doubt') FROM unnest('{damaged,next to it,missing}'::text[]) AS n \g /dev/null
ALTER TABLE acteon_audit ALTER outcome_details SET STORAGE EXTERNAL;
SELECT pg_temp.record('damaged', 'executed', jsonb_build_object('status', 'Success', 'body', repeat('x', 10000))) <> '' AND pg_temp.executed('next to it') <> '' AS ok;
SELECT reltoastrelid::regclass::text AS toast FROM pg_class WHERE oid = 'acteon_audit'::regclass \gset
BEGIN;
UPDATE pg_class SET relkind = 'r' WHERE oid = :'toast'::regclass;
SET LOCAL allow_system_table_mods = on;
TRUNCATE :toast;
UPDATE pg_class SET relkind = 't' WHERE oid = :'toast'::regclass;
SELECT name, verdict, told, effect, outcome FROM pg_temp.proof(:batch);
ROLLBACK;
SELECT name, verdict FROM pg_temp.proof(:batch);

-- a part at a time, and what to go on after
SELECT pg_temp.batch(ARRAY(SELECT 'm' || n FROM generate_series(1, 1000) AS n)) AS batch \gset
SELECT min(id) - 1 AS before, max(id) AS last FROM acteon_dispatch_outbox WHERE batch_id = :batch \gset
SELECT verdict, actions, next - :before AS next FROM acteon_replay_proof(:batch, NULL, 999);
SELECT verdict, actions, next - :before AS next FROM acteon_replay_proof(:batch, :before + 999, 1);
SELECT verdict, actions, next - :before AS next FROM acteon_replay_proof(:batch, max_actions => 1000);
SELECT verdict, actions, next - :before AS next FROM acteon_replay_proof(:batch, max_actions => 1001);
SELECT * FROM acteon_replay_proof(:batch, :last);
SELECT count(*), min(outbox_id) - :before AS first FROM acteon_replay_proof_items(:batch, after => :before + 10, max_items => 3);
SELECT count(*) FROM acteon_replay_proof_items(:batch);
SELECT count(*) FROM acteon_replay_proof_items(:batch, max_items => NULL);
SELECT pg_temp.executed('m7') <> '' AND pg_temp.executed('m990') <> '' AS ok;
SELECT outbox_id - :before AS place, verdict FROM acteon_replay_proof_items(:batch, 'proven');
SELECT outbox_id - :before AS place, verdict FROM acteon_replay_proof_items(:batch, 'proven', max_items => 1);
SELECT count(*) FROM acteon_replay_proof_items(:batch, 'no record');

-- records that are gone: only what would be older than all that is kept is expired
SELECT pg_temp.batch('{ended early,ended late,sent early,sent late,not sent}') AS batch \gset
SELECT pg_temp.tell('ended early', effect => 'done'), pg_temp.tell('ended late', effect => 'done'), pg_temp.hand_out('sent early', 'in doubt'), pg_temp.hand_out('sent late', 'in doubt') \g /dev/null
UPDATE acteon_dispatch_delivery SET finished_at = '2026-01-02 12:00+00' WHERE outbox_id = pg_temp.outbox_id('ended late');
UPDATE acteon_dispatch_segment SET sent_at = '2026-01-02 12:00+00' WHERE first_id = pg_temp.outbox_id('sent late');
DELETE FROM acteon_audit WHERE dispatched_at < '2026-01-02';
SELECT make_record('oldest', at => '2026-01-02 11:00+00', outcome => 'suppressed') AS oldest;
SELECT name, verdict, told FROM pg_temp.proof(:batch);
-- by each way to find that out: another index, none on a small table
ALTER INDEX acteon_audit_outcome_idx RENAME TO regress_kept;
DROP INDEX regress_kept;
SELECT string_agg(name || ': ' || verdict, ', ') FROM pg_temp.proof(:batch);
CREATE INDEX acteon_audit_time_idx ON acteon_audit (dispatched_at);
SELECT string_agg(name || ': ' || verdict, ', ') FROM pg_temp.proof(:batch);
DROP INDEX acteon_audit_time_idx;
CREATE INDEX acteon_audit_outcome_idx ON acteon_audit (outcome, dispatched_at DESC);
TRUNCATE acteon_audit;
SELECT string_agg(name || ': ' || verdict, ', ') FROM pg_temp.proof(:batch);

-- who sees what: as in acteon_replay_items
CREATE ROLE regress_acteon_all;
CREATE ROLE regress_acteon_part;
CREATE ROLE regress_acteon_none;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('regress_acteon_all', 'viewer', '{*}', '{*}', '{*}', '{*}'), ('regress_acteon_part', 'viewer', '{acme.eu}', '{*}', '{*}', '{*}');
SELECT make_record('eu ' || n, tenant => CASE WHEN n < 3 THEN 'acme.eu' ELSE 'acme' END) FROM generate_series(1, 5) AS n \g /dev/null
SELECT (acteon_replay_bulk('{"outcome": "failed"}'::jsonb) ->> 'batch_id')::bigint AS batch \gset
SET ROLE regress_acteon_all;
SELECT verdict, told, actions FROM acteon_replay_proof(:batch);
SET ROLE regress_acteon_part;
SELECT verdict, told, actions FROM acteon_replay_proof(:batch);
SELECT verdict, told, actions, next IS NULL AS finished FROM acteon_replay_proof(:batch, max_actions => 2);
SELECT count(*) FROM acteon_replay_proof_items(:batch);
SET ROLE regress_acteon_none;
SELECT replace(attempt(format('SELECT acteon_replay_proof(%s)', :batch)), :'batch', '0') = attempt('SELECT acteon_replay_proof(0)') AS as_if_it_were_not_there;
SELECT regexp_replace(attempt(format('SELECT acteon_replay_proof(%s)', :batch)), '\d+ does', 'N does');
SELECT regexp_replace(attempt(format('SELECT acteon_replay_proof_items(%s)', :batch)), '\d+ does', 'N does');
RESET ROLE;

-- bad arguments
SELECT attempt('SELECT acteon_replay_proof(NULL)');
SELECT attempt('SELECT acteon_replay_proof(0)');
SELECT attempt('SELECT acteon_replay_proof_items(0)');
SELECT attempt(format('SELECT acteon_replay_proof(%s, -1)', :batch));
SELECT attempt(format('SELECT acteon_replay_proof(%s, 1, 0)', :batch));
SELECT attempt(format('SELECT acteon_replay_proof_items(%s, max_items => -5)', :batch));
SELECT attempt(format('SELECT acteon_replay_proof_items(%s, %L)', :batch, 'prove'));
-- no audit table, or none that can be read
ALTER TABLE acteon_audit RENAME TO kept_audit;
SELECT attempt(format('SELECT acteon_replay_proof(%s)', :batch));
ALTER TABLE kept_audit RENAME TO acteon_audit;
ALTER TABLE acteon_audit RENAME outcome_details TO details;
SELECT attempt(format('SELECT acteon_replay_proof(%s)', :batch));
ALTER TABLE acteon_audit RENAME details TO outcome_details;
CREATE ROLE regress_acteon_owner;
ALTER TABLE acteon_audit OWNER TO regress_acteon_owner;
REVOKE ALL ON acteon_audit FROM regress_acteon_owner;
SELECT attempt(format('SELECT acteon_replay_proof(%s)', :batch));
GRANT SELECT ON acteon_audit TO regress_acteon_owner;
SELECT attempt(format('SELECT verdict FROM acteon_replay_proof(%s)', :batch));
-- the caller goes on after that; and nothing was written
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT verdict, told, actions FROM acteon_replay_proof(:batch);
SELECT count(*) FROM acteon_replay_proof_items(:batch);
COMMIT;
DO $$ DECLARE verdicts text; BEGIN SELECT string_agg(verdict, ',') INTO verdicts FROM acteon_replay_proof((SELECT max(id) FROM acteon_replay_batch)); RAISE NOTICE '%', verdicts; END $$;
-- the state of what is queued is decided in C for the proof and in a statement for the items: both say the same of every segment there can be
SELECT pg_temp.batch((SELECT array_agg('segment ' || i ORDER BY i) FROM generate_series(0, 15) AS i)) AS segments \gset
UPDATE acteon_dispatch_segment AS s SET was_claimed = true, sent_at = now(), lease_token = CASE WHEN leased THEN first_id END, holder = CASE WHEN leased THEN 'c' END,
	due_at = now() + CASE WHEN n & 2 > 0 THEN interval '1 h' ELSE interval '-1 h' END, doubt_since = CASE WHEN doubted THEN now() END, doubt = CASE WHEN doubted THEN 'x' END, unproven = n & 8 > 0, attempt = 1
FROM (SELECT o.id, substr(o.original_action_id, 9)::integer AS n FROM acteon_dispatch_outbox AS o WHERE o.batch_id = :segments) AS o, LATERAL (SELECT n & 1 > 0 AS leased, n & 5 = 4 AS doubted) AS l WHERE o.id = s.first_id;
PREPARE both_states AS SELECT i.state, p.told, count(*) FROM acteon_replay_items(:segments) AS i JOIN acteon_replay_proof_items(:segments) AS p USING (outbox_id) GROUP BY 1, 2 ORDER BY 1, 2;
EXECUTE both_states;
UPDATE acteon_replay_batch SET stopped = 'cancelling', stopped_at = now() WHERE id = :segments;
EXECUTE both_states;
UPDATE acteon_replay_batch SET stopped = 'paused' WHERE id = :segments;
EXECUTE both_states;
ALTER TABLE acteon_audit OWNER TO CURRENT_USER;
GRANT ALL ON acteon_audit TO CURRENT_USER;
DELETE FROM acteon_grants WHERE grantee::text LIKE 'regress_acteon_%';
DROP ROLE regress_acteon_all, regress_acteon_part, regress_acteon_none, regress_acteon_owner;
CALL clean();
ALTER TABLE acteon_audit ALTER outcome SET NOT NULL, ALTER outcome_details SET STORAGE EXTENDED;
