-- Policies: what a provider lost is replayed by itself when it works again.  There is no relay: the test claims and answers.
\set VERBOSITY terse
CALL clean();

-- quiet hours, as a function of the time: in the day, over midnight, at their bounds
SELECT at, acteon_quiet_until(at, q.f, q.t, 'Europe/Berlin') AT TIME ZONE 'UTC' AS until, q.f, q.t
FROM (VALUES ('12:00'::time, '13:30'::time), ('22:00', '06:00')) AS q (f, t),
	unnest('{2026-01-15 10:59:59+00,2026-01-15 11:00+00,2026-01-15 12:29:59.999999+00,2026-01-15 12:30+00,2026-01-15 20:59:59+00,2026-01-15 21:00+00,2026-01-15 23:30+00,2026-01-16 04:59:59+00,2026-01-16 05:00+00}'::timestamptz[]) AS at
ORDER BY q.f, at;
-- … where the clocks go from 2 to 3 on 29 March 2026, and from 3 back to 2 on 25 October
CREATE FUNCTION pg_temp.quiet(first timestamptz, last timestamptz, quiet_from time, quiet_to time, zone text DEFAULT 'Europe/Berlin') RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(DISTINCT format('%s to %s', begins AT TIME ZONE 'UTC', ends AT TIME ZONE 'UTC'), ', ')
	FROM (SELECT min(at) AS begins, ends FROM (SELECT at, acteon_quiet_until(at, quiet_from, quiet_to, zone) AS ends FROM generate_series(first, last, '30 min') AS at) AS m
		WHERE ends IS NOT NULL GROUP BY ends) AS q
$$;
SELECT d AS day, q.f, q.t, pg_temp.quiet((d || ' 12:00+00')::timestamptz - interval '1 day', (d || ' 12:00+00')::timestamptz, q.f, q.t) AS quiet
FROM unnest('{2026-03-29,2026-10-25,2026-06-01}'::text[]) AS d,
	(VALUES ('22:00'::time, '06:00'::time), ('22:00', '02:30'), ('02:30', '06:00'), ('02:00', '03:00'), ('02:10', '02:50')) AS q (f, t)
ORDER BY d, q.f DESC, q.t;
SELECT pg_temp.quiet('2026-04-04 09:00+00', '2026-04-05 09:00+00', '22:00', '01:45', 'Australia/Lord_Howe') AS "set back by half an hour",
	pg_temp.quiet('2026-06-01 00:00+00', '2026-06-02 00:00+00', '00:00', '23:59', 'UTC') AS "nearly all day",
	pg_temp.quiet('2026-06-01 00:00+00', '2026-06-02 00:00+00', '23:59', '23:58', 'Asia/Kathmandu') AS "the same, over midnight";
SELECT attempt($$SELECT acteon_quiet_until(now(), '22:00', '06:00', 'Mars/Olympus')$$);

-- who may
CREATE ROLE regress_acteon_policy;
CREATE ROLE regress_acteon_policy_other;
CREATE ROLE regress_acteon_policy_member IN ROLE regress_acteon_policy;
CREATE ROLE regress_acteon_policy_viewer;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES
	('regress_acteon_policy', 'operator', '{acme}', '{prod}', '{*}'), ('regress_acteon_policy_other', 'operator', '{*}', '{*}', '{*}'), ('regress_acteon_policy_viewer', 'viewer', '{*}', '{*}', '{*}');
SET ROLE regress_acteon_policy_viewer;
SELECT attempt($$SELECT acteon_replay_policy_set('p')$$);
SET ROLE regress_acteon_policy;
SELECT acteon_replay_policy_set('p', '{"tenant": "acme"}', rate => 1000, canary => 'off', time_zone => 'UTC', reason => 'as agreed');
SELECT name, provider, state, waits_for, set_by, filters, rate, canary, replayed_today, max_a_day, probe_every, max_age, reason FROM acteon_replay_policies;
SET ROLE regress_acteon_policy_other;
SELECT count(*) FROM acteon_replay_policies;
SELECT attempt($$SELECT acteon_replay_policy_set('p')$$);
SELECT attempt($$SELECT acteon_replay_policy_drop('p')$$);
SELECT attempt($$SELECT * FROM acteon_replay_policy_run('p')$$);
SELECT attempt($$TABLE acteon_replay_policy$$), attempt($$TABLE acteon_replay_policy_provider$$);
SELECT * FROM acteon_replay_policy_run();
SET ROLE regress_acteon_policy_member;
SELECT count(*) FROM acteon_replay_policies;
SELECT * FROM acteon_replay_policy_run('p');
RESET ROLE;
SELECT last_run_at IS NOT NULL AS was_run FROM acteon_replay_policies;

-- bad arguments
SELECT regexp_replace(attempt(format($$SELECT acteon_replay_policy_set(%s)$$, a)), 'Known keys are .*', 'Known keys are …') AS attempt FROM (VALUES (1, $$NULL$$), (2, $$''$$), (3, $$repeat('x', 201)$$), (4, $$'x', NULL$$), (5, $$'x', '{"limit": 5}'$$),
	(6, $$'x', '{"outcome": "failed"}'$$), (7, $$'x', '{"action_ids": ["a"]}'$$), (8, $$'x', '{"to": "2026-01-01T00:00:00Z"}'$$), (9, $$'x', '{"canary": "off"}'$$), (10, $$'x', '{"nothing": 1}'$$),
	(11, $$'x', '{"error_like": "\\"}'$$), (12, $$'x', rate => 0$$), (13, $$'x', canary => 'hold'$$), (14, $$'x', canary => NULL$$), (15, $$'x', canary => true$$), (16, $$'x', quiet_from => '22:00'$$),
	(17, $$'x', quiet_from => '22:00', quiet_to => '22:00'$$), (18, $$'x', quiet_from => '00:00', quiet_to => '24:00'$$), (19, $$'x', quiet_from => '22:00:30', quiet_to => '06:00'$$),
	(20, $$'x', time_zone => 'Mars/Olympus'$$), (21, $$'x', max_a_day => 0$$), (22, $$'x', probe_every => '0.5 s'$$), (23, $$'x', probe_every => NULL$$), (24, $$'x', max_age => '1 month'$$), (25, $$'x', max_age => '59 s'$$), (26, $$'x', '{"target": "staging"}'$$), (27, $$'x', time_zone => 'CEST'$$)) AS v (n, a) ORDER BY n;
SELECT attempt($$SELECT acteon_replay_policy_drop('x')$$), attempt($$SELECT acteon_replay_policy_drop(NULL)$$), attempt($$SELECT * FROM acteon_replay_policy_run('x')$$);
SELECT count(*) FROM acteon_replay_policies;

-- From here on: records of the last minutes, and answers.
CREATE FUNCTION pg_temp.lose(name text, first integer, last integer, provider text DEFAULT 'email', payload jsonb DEFAULT '{}', tenant text DEFAULT 'acme') RETURNS bigint LANGUAGE sql AS $$
	SELECT count(make_record(name || i, at => now() - interval '10 min' + i * interval '1 ms', provider => lose.provider, payload => lose.payload, tenant => lose.tenant)) FROM generate_series(first, last) AS i
$$;
-- Claim, answer and record everything that is due.
CREATE FUNCTION pg_temp.answer(provider text, outcome jsonb, most integer DEFAULT 1000) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n integer;
BEGIN
	UPDATE acteon_dispatch_segment SET due_at = now() WHERE due_at > now() AND lease_token IS NULL AND due_at < 'infinity';
	SELECT acteon_outbox_ack(coalesce(array_agg(outbox_id), '{}'), coalesce(array_agg(lease_token), '{}'), coalesce(array_agg(outcome), '{}')) INTO n
	FROM acteon_outbox_claim('test', most, '1 h') WHERE action ->> 'provider' = answer.provider;
	INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms)
	SELECT 'rec-' || o.action_id, o.action_id::text, o.namespace, o.tenant, o.provider, o.action_type, 'allow', CASE WHEN d.outcome::jsonb ? 'Failed' THEN 'failed' WHEN d.outcome::jsonb ? 'Scheduled' THEN 'scheduled' ELSE 'executed' END,
		o.payload, '{}', coalesce(d.outcome::jsonb -> 'Failed', d.outcome::jsonb -> 'Scheduled', '{"status": "Success"}'), o.labels, clock_timestamp(), clock_timestamp(), 0
	FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id WHERE d.state = 'delivered' ON CONFLICT DO NOTHING;
	RETURN coalesce(n, 0) || ' answered';
END
$$;
\set works '''{"Executed": {"status": "success"}}'''
\set down '''{"Failed": {"code": "CONNECTION", "message": "connection error: connection refused", "retryable": true, "attempts": 3}}'''
\set poison '''{"Failed": {"code": "EXECUTION_FAILED", "message": "execution failed: 550 no such user", "retryable": false, "attempts": 1}}'''
\set unknown '''{"Failed": {"code": "PROVIDER_NOT_FOUND", "message": "provider not found: email", "retryable": false, "attempts": 0}}'''
-- As if time had gone by, and a run then.
CREATE FUNCTION pg_temp.run() RETURNS SETOF text LANGUAGE sql AS $$
	UPDATE acteon_replay_policy_provider SET try_at = now() WHERE try_at > now();
	UPDATE acteon_replay_policy SET look_at = NULL;
	SELECT format('%s %s: %s', policy, provider, what) FROM acteon_replay_policy_run();
$$;
CREATE FUNCTION pg_temp.go(outcome jsonb, most integer DEFAULT 1000, rounds integer DEFAULT 1) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	said text;
BEGIN
	FOR i IN 1 .. rounds LOOP
		said := pg_temp.answer('email', outcome, most);
		said := said || coalesce((SELECT ', ' || string_agg(r, ', ') FROM pg_temp.run() AS r), '');
	END LOOP;
	RETURN said;
END
$$;
-- The role sets its policy.
CREATE PROCEDURE pg_temp.set_p(filters jsonb DEFAULT '{}', canary text DEFAULT 'off', rate numeric DEFAULT NULL, probe_every interval DEFAULT '5 s') LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL ROLE regress_acteon_policy;
	PERFORM acteon_replay_policy_set('p', filters, rate => set_p.rate, canary => set_p.canary, time_zone => 'UTC', probe_every => set_p.probe_every);
END
$$;
CREATE VIEW pg_temp.batches AS SELECT batch_id, state, replayed, refused, delivered, done, cancelled, rate, requested_by, reason FROM acteon_replay_batches ORDER BY batch_id;
CREATE VIEW pg_temp.policies AS SELECT name, provider, state, regexp_replace(waits_for, '\d+', 'N') AS waits_for, failing_since IS NOT NULL AS fails FROM acteon_replay_policies ORDER BY name, provider;
CREATE VIEW pg_temp.sends AS SELECT split_part(original, '-', 1) AS of, sends, count(*) AS actions FROM (
	WITH RECURSIVE replay AS (
		SELECT original_action_id AS original, action_id FROM acteon_dispatch_outbox AS o WHERE NOT EXISTS (SELECT FROM acteon_dispatch_outbox AS e WHERE e.action_id::text = o.original_action_id)
		UNION ALL SELECT r.original, o.action_id FROM replay AS r JOIN acteon_dispatch_outbox AS o ON o.original_action_id = r.action_id::text)
	SELECT original, count(*) AS sends FROM replay GROUP BY 1) AS s GROUP BY 1, 2 ORDER BY 1, 2;
DELETE FROM acteon_replay_policy;
CALL pg_temp.set_p(probe_every => '1 h');

-- nothing is lost: nothing is done, and nothing is left behind
SELECT pg_temp.run();
SELECT * FROM pg_temp.policies;
-- one action is a probe; nothing else is replayed before it has an answer
SELECT pg_temp.lose('a-', 1, 5), pg_temp.lose('g-', 1, 5, tenant => 'globex'), pg_temp.lose('null-', 1, 2, payload => NULL);
SELECT pg_temp.run();
SELECT * FROM acteon_replay_policy_run();
SELECT * FROM pg_temp.batches;
SELECT * FROM pg_temp.policies;
-- as long as probes fail, another follows, no sooner than it should
SELECT pg_temp.answer('email', :down);
SELECT format('%s %s: %s', policy, provider, what) FROM acteon_replay_policy_run();
SELECT format('%s %s: %s', policy, provider, what) FROM acteon_replay_policy_run();
SELECT * FROM pg_temp.policies;
SELECT try_at - last_run_at BETWEEN '50 min' AND '1 h' AS in_time FROM acteon_replay_policy_provider AS r JOIN acteon_replay_policy AS p ON p.name = r.policy;
SELECT pg_temp.run();
SELECT count(*) FROM pg_temp.batches;
-- … for a long time, which costs no action: all five of them have been probes several times by now
SELECT pg_temp.go(:down, rounds => 26);
SELECT count(*) > 20 AS many, max(replayed) AS actions, max(refused) AS refused FROM pg_temp.batches;
SELECT sum(actions) AS actions, max(sends) > 1 AS again FROM pg_temp.sends;
SELECT * FROM pg_temp.policies;
-- it works again: the rest is replayed, what were probes first, each once
SELECT pg_temp.answer('email', :works);
SELECT pg_temp.run();
SELECT pg_temp.answer('email', :works);
SELECT pg_temp.run();
SELECT pg_temp.answer('email', :works);
SELECT pg_temp.run();
SELECT * FROM pg_temp.policies;
SELECT (acteon_replay_preview('{"lost": true, "tenant": "acme"}'::jsonb) -> 'replayable') AS left, (SELECT count(*) FROM acteon_audit WHERE outcome = 'executed') AS executed;
SELECT event, role_name, details ->> 'provider' AS provider, details ->> 'what' AS what FROM acteon_replay_log WHERE event = 'policy' AND role_name = 'regress_acteon_policy' ORDER BY id;

-- many: batches of at most a thousand and of at most a minute, one after the other
CALL clean();
SELECT pg_temp.lose('m-', 1, 2500);
SELECT pg_temp.run();
SELECT pg_temp.answer('email', :works);
SELECT pg_temp.run();
SELECT pg_temp.run();
SELECT replayed FROM pg_temp.batches;
SELECT pg_temp.go(:works);
SELECT replayed FROM pg_temp.batches;
SELECT pg_temp.go(:works);
SELECT pg_temp.go(:works);
SELECT * FROM pg_temp.batches;
SELECT * FROM pg_temp.policies;
SELECT * FROM pg_temp.sends;
-- at a rate, a batch is what that is in a minute
CALL clean();
CALL pg_temp.set_p(rate => 0.5);
SELECT pg_temp.lose('r-', 1, 100);
SELECT pg_temp.run();
SELECT pg_temp.go(:works);
SELECT batch_id, replayed, rate FROM pg_temp.batches;

-- it fails again: the batch is cancelled, and a probe comes later, and then later still
CALL clean();
CALL pg_temp.set_p();
SELECT pg_temp.lose('f-', 1, 200);
SELECT pg_temp.run();
SELECT pg_temp.answer('email', :works);
SELECT pg_temp.run();
SELECT pg_temp.answer('email', :down, 8);
SELECT pg_temp.run();
SELECT state, cancelled + waiting AS never_sent FROM acteon_replay_batches ORDER BY batch_id DESC LIMIT 1;
SELECT try_at - last_run_at AS in, failures FROM acteon_replay_policy_provider AS r JOIN acteon_replay_policy AS p ON p.name = r.policy;
SELECT pg_temp.run();
SELECT pg_temp.go(:works);
SELECT pg_temp.go(:down, 8);
SELECT try_at - last_run_at AS in, failures FROM acteon_replay_policy_provider AS r JOIN acteon_replay_policy AS p ON p.name = r.policy;
SELECT pg_temp.run();
SELECT pg_temp.go(:works);
SELECT pg_temp.go(:works);
SELECT * FROM pg_temp.policies;
SELECT failures FROM acteon_replay_policy_provider;
SELECT replayable::text FROM (SELECT acteon_replay_preview('{"lost": true, "tenant": "acme"}'::jsonb) -> 'replayable' AS replayable) AS p;

-- … by the circuit breaker of the provider, which others have opened: then its trials are as frequent as probes
CALL clean();
SELECT pg_temp.lose('b-', 1, 200);
SELECT pg_temp.run();
SELECT pg_temp.go(:works);
SELECT acteon_replay_limit_set(provider => 'email', rate => 100000);
UPDATE acteon_replay_limit SET opened_at = now(), open_reason = 'test', retry_at = now() + interval '10 min', backoff = 600, rate = NULL;
SELECT pg_temp.run();
SELECT batch_id, state, replayed, delivered FROM pg_temp.batches;
SELECT pg_temp.run();
SELECT pg_temp.run();
SELECT batch_id, state, replayed, delivered FROM pg_temp.batches;
-- … if its role may limit the provider: the breaker holds the batches of all
SELECT retry_at < now() + interval '5 s' AND retry_at > now() + interval '3 s' AS soon FROM acteon_replay_limit;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_policy', 'admin', '{*}', '{*}', '{*}');
SELECT pg_temp.run();
SELECT retry_at < now() + interval '5 s' AND retry_at > now() + interval '3 s' AS soon FROM acteon_replay_limit;
DELETE FROM acteon_grants WHERE grantee = 'regress_acteon_policy'::regrole AND role = 'admin';
SELECT pg_temp.go(:works);
UPDATE acteon_replay_limit SET retry_at = now();
SELECT pg_temp.go(:works);
SELECT breaker FROM acteon_replay_limits;

-- … in a batch whose actions were patched: what was cancelled for that does not count
CALL clean();
CALL pg_temp.set_p('{"breaker_window": 0}');
SELECT pg_temp.lose('n-', 1, 11);
SELECT pg_temp.run();
SELECT pg_temp.go(:works);
SELECT patched FROM acteon_replay_patch(2, patch => '{"x": 1}');
SELECT pg_temp.answer('email', :down, 6);
SELECT pg_temp.go(:works);
CALL pg_temp.set_p();

-- poison: what the provider rejects for good is tried as often as it may be, and no more, and stops nothing else
CALL clean();
SELECT pg_temp.lose('p-', 1, 2);
SELECT pg_temp.go(:poison, rounds => 16);
SELECT * FROM pg_temp.sends;
SELECT * FROM pg_temp.policies;

-- … but a provider that the gateway does not know rejects nothing: such an outage costs no action
CALL clean();
SELECT pg_temp.lose('z-', 1, 2);
SELECT pg_temp.go(:unknown, rounds => 16);
SELECT * FROM pg_temp.policies;
SELECT pg_temp.go(:works, rounds => 4);
SELECT * FROM pg_temp.policies;
SELECT count(*) FROM acteon_audit WHERE outcome = 'executed';

-- providers apart: one works, the other one does not
CALL clean();
SELECT pg_temp.lose('e-', 1, 10), pg_temp.lose('s-', 1, 10, 'sms');
SELECT pg_temp.run();
SELECT count(*) FROM pg_temp.batches;
SELECT outbox_id AS id, lease_token AS token FROM acteon_outbox_claim('test', 10, '1 h') WHERE action ->> 'provider' = 'sms' \gset
UPDATE acteon_dispatch_segment SET lease_token = NULL, holder = NULL, was_claimed = false, sent_at = NULL, attempt = 0 WHERE lease_token IS NOT NULL AND first_id <> :id;
SELECT acteon_outbox_ack(ARRAY[:id], ARRAY[:token], ARRAY[:down::jsonb]);
SELECT pg_temp.answer('email', :works);
SELECT * FROM pg_temp.run() AS r ORDER BY r;
SELECT * FROM pg_temp.policies;

-- a person pauses: the policy waits, and goes on when the batch is resumed
CALL clean();
SELECT pg_temp.lose('h-', 1, 20);
SELECT pg_temp.run();
SELECT pg_temp.go(:works);
SET ROLE regress_acteon_policy_member;
SELECT state FROM acteon_replay_pause(2, 'wait');
RESET ROLE;
SELECT pg_temp.lose('i-', 1, 5);
SELECT pg_temp.run();
SELECT pg_temp.run();
SELECT * FROM pg_temp.policies;
SELECT waits_for FROM acteon_replay_policies;
SELECT batch_id, state, replayed FROM pg_temp.batches;
SELECT state FROM acteon_replay_resume(2);
SELECT pg_temp.run();
-- … and cancels: what the batch had is left alone, what is lost later is not
SELECT state, cancelled FROM acteon_replay_cancel(2, 'these must not go out');
SELECT pg_temp.run();
SELECT pg_temp.run();
SELECT * FROM pg_temp.policies;
SELECT count(make_record('later-' || i, at => clock_timestamp())) FROM generate_series(1, 3) AS i;
SELECT pg_temp.run();
SELECT pg_temp.go(:works);
SELECT pg_temp.go(:works);
SELECT * FROM pg_temp.sends;
SELECT batch_id, state, replayed, done, cancelled FROM pg_temp.batches;

-- quiet hours: what waits is paused, nothing is begun, and it goes on afterwards
CALL clean();
SELECT pg_temp.lose('q-', 1, 10);
SELECT pg_temp.run();
SELECT pg_temp.go(:works);
CREATE FUNCTION pg_temp.quiet_hours(begins interval, ends interval) RETURNS void LANGUAGE sql AS $$
	UPDATE acteon_replay_policy SET quiet_from = date_trunc('minute', timezone('UTC', now()) + begins)::time, quiet_to = date_trunc('minute', timezone('UTC', now()) + ends)::time $$;
SELECT pg_temp.quiet_hours('-1 h', '1 h');
SELECT pg_temp.run();
SELECT batch_id, state FROM pg_temp.batches;
SELECT * FROM pg_temp.policies;
SELECT timezone('UTC', next_try)::time = quiet_to AND next_try - now() BETWEEN '30 min' AND '1 h' AS when_they_end FROM acteon_replay_policies;
SELECT stop_reason FROM acteon_replay_batches WHERE state = 'paused';
SELECT pg_temp.go(:works);
SELECT pg_temp.quiet_hours('1 h', '2 h');
SELECT pg_temp.run();
SELECT batch_id, state FROM pg_temp.batches;
SELECT pg_temp.go(:works);
SELECT batch_id, state, done FROM pg_temp.batches;
SELECT * FROM pg_temp.policies;
SELECT pg_temp.lose('q-', 11, 20);
UPDATE acteon_replay_policy SET rate = 1;
SELECT pg_temp.quiet_hours('-2 h', '-1 h');
-- a person who resumes a batch meanwhile is obeyed
SELECT pg_temp.run();
SELECT pg_temp.quiet_hours('-1 h', '1 h');
SELECT pg_temp.run();
SELECT state FROM acteon_replay_resume(3, 'now');
SELECT pg_temp.run();
SELECT batch_id, state FROM pg_temp.batches;
-- … and so is one who pauses it again, or cancels it
SELECT state FROM acteon_replay_pause(3, 'no');
SELECT pg_temp.quiet_hours('-2 h', '-1 h');
SELECT pg_temp.run();
SELECT batch_id, state FROM pg_temp.batches WHERE batch_id = 3;
SELECT * FROM pg_temp.policies;
SELECT state FROM acteon_replay_resume(3);
SELECT pg_temp.quiet_hours('-1 h', '1 h');
SELECT pg_temp.run();
SELECT batch_id, state FROM pg_temp.batches WHERE batch_id = 3;
SELECT state FROM acteon_replay_cancel(3);
SELECT pg_temp.quiet_hours('-2 h', '-1 h');
SELECT pg_temp.run();
SELECT pg_temp.run();
SELECT batch_id, state FROM pg_temp.batches;
SELECT * FROM pg_temp.policies;
UPDATE acteon_replay_policy SET rate = NULL, quiet_from = NULL, quiet_to = NULL;

-- operators of all of a batch may pause it, and not resume it; the policy waits for whoever did it
CALL clean();
SELECT pg_temp.lose('w-', 1, 10);
SELECT pg_temp.run();
SELECT pg_temp.go(:works);
SET ROLE regress_acteon_policy_other;
SELECT state FROM acteon_replay_pause(2, 'wait');
SELECT attempt($$SELECT state FROM acteon_replay_resume(2)$$);
RESET ROLE;
SELECT pg_temp.run();
SELECT * FROM pg_temp.policies;
SET ROLE regress_acteon_policy_member;
SELECT state FROM acteon_replay_resume(2);
-- a part of a batch is paused: the rest goes on, and nothing new is begun, as it could belong to the part
SELECT waiting FROM acteon_replay_pause(2, 'not this one', action_ids => ARRAY(SELECT original_action_id FROM acteon_replay_items(2) ORDER BY outbox_id LIMIT 1));
RESET ROLE;
SELECT pg_temp.lose('y-', 1, 5);
SELECT pg_temp.go(:works, rounds => 2);
SELECT * FROM pg_temp.policies;
SELECT batch_id, state, replayed, done, waiting, paused FROM acteon_replay_batches ORDER BY batch_id;
-- … which quiet hours do not change
SELECT pg_temp.quiet_hours('-1 h', '1 h');
SELECT pg_temp.run();
SELECT pg_temp.quiet_hours('-2 h', '-1 h');
SELECT pg_temp.go(:works, rounds => 2);
SELECT batch_id, state, replayed, done, waiting, paused FROM acteon_replay_batches ORDER BY batch_id;
SELECT waiting FROM acteon_replay_resume(2, action_ids => ARRAY(SELECT original_action_id FROM acteon_replay_items(2) ORDER BY outbox_id LIMIT 1));
SELECT pg_temp.go(:works, rounds => 4);
SELECT * FROM pg_temp.policies;
SELECT * FROM pg_temp.sends;
-- … is cancelled: the rest goes on; of what was lost before, nothing is replayed any more, the part least of all
CALL clean();
SELECT pg_temp.lose('k-', 1, 10);
SELECT pg_temp.run();
SELECT pg_temp.go(:works);
SELECT cancelled FROM acteon_replay_cancel(2, 'not this one', action_ids => ARRAY(SELECT original_action_id FROM acteon_replay_items(2) ORDER BY outbox_id LIMIT 1));
SELECT count(make_record('since-' || i, at => clock_timestamp())) FROM generate_series(1, 3) AS i;
SELECT pg_temp.go(:works);
SELECT pg_temp.go(:works, rounds => 4);
SELECT * FROM pg_temp.sends;
SELECT batch_id, state, replayed, done, cancelled FROM pg_temp.batches;
SELECT * FROM pg_temp.policies;
-- … also if the policy cancels the rest
CALL clean();
SELECT pg_temp.lose('j-', 1, 40);
SELECT pg_temp.run();
SELECT pg_temp.go(:works);
SELECT cancelled FROM acteon_replay_cancel(2, 'not this one', action_ids => ARRAY(SELECT original_action_id FROM acteon_replay_items(2) ORDER BY outbox_id DESC LIMIT 1));
SELECT pg_temp.go(:down, 10);
SELECT pg_temp.go(:works);
SELECT pg_temp.go(:works, rounds => 3);
SELECT batch_id, state, replayed, done FROM pg_temp.batches;
SELECT * FROM pg_temp.policies;

-- a batch that was handed over is not steered any more, neither for quiet hours nor because the provider fails; the policy waits for its end
CALL clean();
SELECT pg_temp.lose('o-', 1, 20);
SELECT pg_temp.run();
SELECT pg_temp.go(:works);
SELECT pg_temp.quiet_hours('-1 h', '1 h');
SELECT pg_temp.run();
SET ROLE regress_acteon_policy;
SELECT acteon_replay_hand_over(2, 'regress_acteon_policy_other', 'yours');
SET ROLE regress_acteon_policy_other;
SELECT state FROM acteon_replay_resume(2);
RESET ROLE;
SELECT pg_temp.run();
SELECT batch_id, state FROM pg_temp.batches;
SELECT pg_temp.quiet_hours('-2 h', '-1 h');
SET ROLE regress_acteon_policy_other;
SELECT state FROM acteon_replay_pause(2, 'policy p: quiet hours');
RESET ROLE;
SELECT pg_temp.run();
SELECT batch_id, state FROM pg_temp.batches;
SELECT * FROM pg_temp.policies;
SET ROLE regress_acteon_policy_other;
SELECT state FROM acteon_replay_resume(2);
RESET ROLE;
SELECT pg_temp.go(:down, 10);
SELECT batch_id, state FROM pg_temp.batches;
SELECT state FROM acteon_replay_resume(2);
SELECT pg_temp.go(:works);
SELECT pg_temp.go(:works, rounds => 4);
SELECT * FROM pg_temp.policies;
SELECT count(*) FROM acteon_audit WHERE outcome = 'executed';

-- with expire_after: what has expired is not lost, and a probe that expires says nothing about the provider
CALL clean();
UPDATE acteon_replay_policy SET quiet_from = NULL, quiet_to = NULL;
CALL pg_temp.set_p('{"expire_after": "PT5M"}');
SELECT pg_temp.lose('old-', 1, 20);
SELECT pg_temp.run();
SELECT * FROM pg_temp.batches;
SELECT * FROM pg_temp.policies;
SELECT count(make_record('new-' || i, at => clock_timestamp())) FROM generate_series(1, 3) AS i;
SELECT pg_temp.run();
UPDATE acteon_dispatch_segment SET expires_at = now() - interval '1 s';
UPDATE acteon_dispatch_outbox SET expires_at = now() - interval '1 s';
SELECT pg_temp.answer('email', :works);
SELECT state, outcome FROM acteon_replay_items(1);
SELECT pg_temp.run();
SELECT * FROM pg_temp.policies;
SELECT failures, cardinality(probed) AS probed FROM acteon_replay_policy_provider;
SELECT pg_temp.go(:works);
SELECT pg_temp.go(:works);
SELECT * FROM pg_temp.sends;
SELECT * FROM pg_temp.policies;
CALL pg_temp.set_p();

-- probes do not pile up: they go with their actions, and nothing else does
CALL clean();
SELECT pg_temp.lose('u-', 1, 3);
SELECT pg_temp.run();
SELECT pg_temp.go(:down, rounds => 4);
SELECT pg_temp.go(:works);
SELECT pg_temp.go(:works, rounds => 2);
SELECT pg_temp.lose('u-', 4, 4);
SELECT pg_temp.run();
SELECT pg_temp.go(:works, rounds => 3);
SELECT batch_id, replayed, (SELECT probe_of FROM acteon_replay_batch AS p WHERE p.id = b.batch_id) AS probe_of FROM pg_temp.batches AS b;
SELECT acteon_outbox_purge('1 h');
SELECT count(*) FROM pg_temp.batches;
\set purged 'SELECT (SELECT array_agg(id ORDER BY id) FROM acteon_replay_batch) AS batches, (SELECT array_agg(DISTINCT batch_id ORDER BY batch_id) FROM acteon_replay_tally) AS tally;'
SELECT acteon_outbox_purge('0');
:purged
SELECT * FROM acteon_outbox_check();

-- at most so many a day, probes included; the next day goes on
CALL clean();
UPDATE acteon_replay_policy SET max_a_day = 7, day = NULL;
SELECT pg_temp.lose('d-', 1, 20);
SELECT pg_temp.run();
SELECT pg_temp.go(:works, rounds => 5);
SELECT batch_id, replayed FROM pg_temp.batches;
SELECT * FROM pg_temp.policies;
SELECT replayed_today, next_try = (timezone('UTC', now())::date + 1)::timestamp AT TIME ZONE 'UTC' AS tomorrow FROM acteon_replay_policies;
UPDATE acteon_replay_policy SET day = day - 1;
SELECT replayed_today FROM acteon_replay_policies;
SELECT pg_temp.run();
SELECT batch_id, replayed FROM pg_temp.batches;
-- … what has not ended at midnight counts for the next day as well
UPDATE acteon_replay_policy SET day = day - 1;
SELECT pg_temp.run();
SELECT replayed_today FROM acteon_replay_policies;
UPDATE acteon_replay_policy SET max_a_day = NULL;

-- with a canary, and other filters
CALL clean();
CALL pg_temp.set_p('{"namespace": "prod", "exclude_ids": ["c-3"], "max_depth": 1}', canary => 'auto');
SELECT pg_temp.lose('c-', 1, 8);
SELECT pg_temp.run();
SELECT pg_temp.go(:works);
SELECT batch_id, replayed, canary IS NOT NULL AS canary FROM acteon_replay_batches ORDER BY batch_id;
SELECT query - 'from' - 'to' AS query FROM acteon_replay_batches WHERE batch_id = 2;

-- other filters: a sweep begins again, what they exclude is not begun, and the result of an old probe begins nothing
CALL clean();
CALL pg_temp.set_p();
SELECT pg_temp.lose('mail-', 1, 1500);
SELECT pg_temp.run();
SELECT pg_temp.go(:works);
SELECT state, cursor IS NOT NULL AS continues FROM acteon_replay_policy_provider;
CALL pg_temp.set_p('{"exclude": {"action_type": "none"}}');
SELECT pg_temp.go(:works);
SELECT * FROM pg_temp.policies;
SELECT pg_temp.go(:works, rounds => 3);
SELECT pg_temp.lose('sms-', 1, 5, 'sms'), pg_temp.lose('mail-', 1501, 1505);
SELECT pg_temp.run();
SELECT * FROM pg_temp.policies;
-- the same filters, and the probes go on
SET ROLE regress_acteon_policy;
SELECT acteon_replay_policy_set('p', '{"exclude": {"action_type": "none"}}', canary => 'off', time_zone => 'UTC', rate => 900);
SELECT provider, state FROM acteon_replay_policies ORDER BY provider;
SELECT acteon_replay_policy_set('p', '{"provider": "email"}', canary => 'off', time_zone => 'UTC');
RESET ROLE;
SELECT pg_temp.answer('sms', :works);
UPDATE acteon_dispatch_segment SET lease_token = NULL, holder = NULL, was_claimed = false, sent_at = NULL, attempt = 0 WHERE lease_token IS NOT NULL;
SELECT * FROM pg_temp.run() AS r ORDER BY r;
SELECT * FROM pg_temp.policies;
SELECT pg_temp.go(:works, rounds => 4);
SELECT * FROM pg_temp.sends;
-- … also if the table says otherwise
UPDATE acteon_replay_policy_provider SET state = 'probing' WHERE provider = 'sms';
SELECT pg_temp.run();
SELECT * FROM pg_temp.policies;

-- an effect that comes later shows that a provider works
CALL clean();
SELECT pg_temp.lose('t-', 1, 3);
SELECT pg_temp.run();
SELECT pg_temp.go('{"Scheduled": {"action_id": "x", "scheduled_for": "2030-01-01T00:00:00Z"}}');
SELECT done, delivered FROM acteon_replay_batches ORDER BY batch_id;
SELECT * FROM pg_temp.policies;

-- errors: one policy's stop no other; they are shown, and it is tried again
CALL clean();
DELETE FROM acteon_grants WHERE grantee = 'regress_acteon_policy'::regrole;
SELECT acteon_replay_policy_set('z', time_zone => 'UTC', canary => 'off');
SELECT pg_temp.lose('x-', 1, 2);
SELECT pg_temp.run();
SELECT * FROM pg_temp.policies;
SELECT next_try - last_run_at AS in FROM acteon_replay_policies WHERE name = 'p';
SELECT batch_id, replayed, requested_by = current_user AS mine FROM acteon_replay_batches;
SELECT acteon_replay_policy_drop('z', 'was a test');
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_policy', 'operator', '{acme}', '{prod}', '{*}');
-- … such as a time zone that is gone
UPDATE acteon_replay_policy SET time_zone = 'Mars/Olympus', quiet_from = '22:00', quiet_to = '06:00', retry_at = NULL WHERE name = 'p';
SELECT acteon_replay_policy_set('z', time_zone => 'UTC', canary => 'off');
SELECT format('%s: %s', policy, what) FROM acteon_replay_policy_run();
SELECT format('%s: %s', policy, what) FROM acteon_replay_policy_run();
SELECT * FROM pg_temp.policies;
SELECT last_run_at > set_at AS was_run FROM acteon_replay_policy WHERE name = 'z';
SELECT acteon_replay_policy_drop('z');
UPDATE acteon_replay_policy SET time_zone = 'UTC', quiet_from = NULL, quiet_to = NULL WHERE name = 'p';
-- … and what the role may replay only with a plan, or with an approval, whoever runs the policy
ALTER ROLE regress_acteon_policy SET acteon_replay.approval_above = 0;
UPDATE acteon_replay_policy SET retry_at = NULL WHERE name = 'p';
SELECT pg_temp.lose('v-', 1, 2);
SELECT pg_temp.run();
ALTER ROLE regress_acteon_policy RESET ALL;
ALTER ROLE regress_acteon_policy IN DATABASE :"DBNAME" SET acteon_replay.plan_above = 0;
UPDATE acteon_replay_policy SET retry_at = NULL WHERE name = 'p';
SELECT pg_temp.run();
ALTER ROLE regress_acteon_policy IN DATABASE :"DBNAME" RESET ALL;
SHOW acteon_replay.plan_above;
SELECT count(*) FROM acteon_replay_policy_run();
UPDATE acteon_replay_policy SET retry_at = now() WHERE name = 'p';
SELECT pg_temp.run();
SELECT * FROM pg_temp.policies;
SELECT event, reason, details ->> 'policy' AS policy FROM acteon_replay_log WHERE event LIKE 'policy\__%' ORDER BY id;

-- a role that is dropped: its policies are disabled, and a later role of its name has nothing to do with them
DELETE FROM acteon_grants WHERE grantee = 'regress_acteon_policy'::regrole;
REASSIGN OWNED BY regress_acteon_policy TO CURRENT_USER;
DROP ROLE regress_acteon_policy;
CREATE ROLE regress_acteon_policy;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_policy', 'operator', '{acme}', '{prod}', '{*}');
SELECT pg_temp.run();
SELECT pg_temp.run();
SELECT * FROM pg_temp.policies;
SET ROLE regress_acteon_policy;
SELECT count(*) FROM acteon_replay_policies;
SELECT attempt($$SELECT acteon_replay_policy_set('p')$$);
RESET ROLE;
SELECT acteon_replay_policy_drop('p');
SELECT count(*) FROM acteon_replay_policy_provider;

DELETE FROM acteon_grants WHERE grantee::regrole::text LIKE 'regress_acteon_policy%';
DROP ROLE regress_acteon_policy, regress_acteon_policy_other, regress_acteon_policy_member, regress_acteon_policy_viewer;
CALL clean();
