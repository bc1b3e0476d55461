-- Targets: actions that are delivered elsewhere, and what production sees of that: nothing.
\set VERBOSITY terse
SET timezone = 'UTC';
SET datestyle = 'ISO';
CALL clean();
CREATE ROLE regress_acteon_eu;
CREATE ROLE regress_acteon_boss;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_eu', 'operator', '{acme.eu}', '{*}', '{*}'),
	('regress_acteon_boss', 'admin', '{*}', '{*}', '{*}');
CREATE FUNCTION pg_temp.make(prefix text, last integer, tenant text DEFAULT 'acme', provider text DEFAULT 'email', fingerprint text DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(make_record(prefix || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s', provider => make.provider, tenant => make.tenant,
		metadata => CASE WHEN fingerprint IS NULL THEN '{}' ELSE jsonb_build_object('__fingerprint', fingerprint) END))
	FROM generate_series(1, last) AS i
$$;
-- What a claim for a target hands out: the original actions.
CREATE FUNCTION pg_temp.take(target text, actions integer DEFAULT 100, consumer text DEFAULT 'one', gateway text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(o.original_action_id, ' ' ORDER BY o.id), 'nothing')
	FROM acteon_outbox_claim(consumer, actions, '1 h', take.target, take.gateway) AS c JOIN acteon_dispatch_outbox AS o ON o.id = c.outbox_id
$$;
-- Answers for what is leased, by original actions that match a pattern.
CREATE FUNCTION pg_temp.answer(pattern text, outcome jsonb DEFAULT '{"Executed": {"status": "success"}}') RETURNS integer LANGUAGE sql AS $$
	SELECT acteon_outbox_ack(array_agg(o.id), array_agg(s.lease_token), array_agg(outcome))
	FROM acteon_dispatch_segment AS s JOIN acteon_dispatch_outbox AS o ON o.id BETWEEN s.first_id AND s.last_id
	WHERE s.lease_token IS NOT NULL AND o.original_action_id ~ pattern
$$;

/*
 * Which targets there are
 */
SELECT pg_temp.make('a', 3);
SELECT attempt($$SELECT acteon_replay('a1', target => 'staging')$$);
SELECT attempt($$SELECT acteon_replay_bulk(outcome => 'failed', target => 'staging')$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"outcome": "failed", "target": "staging"}'::jsonb)$$);
SELECT attempt($$CALL acteon_replay_all(outcome => 'failed', target => 'staging')$$);
SELECT attempt($$SELECT acteon_replay_preview(outcome => 'failed', target => 'staging')$$);
SET acteon_replay.targets = 'staging, Load';
SET acteon_replay.targets = 'staging,1st';
SET acteon_replay.targets = ' ';
SET acteon_replay.targets = 'staging, load_2-b';
SELECT t AS target, attempt(format($$SELECT acteon_replay_bulk(outcome => 'none', target => %L)$$, t)) AS bulk, attempt(format($$SELECT acteon_outbox_claim('x', target => %L)$$, t)) AS claim
FROM unnest(ARRAY['production', 'staging', 'load_2-b', 'load', 'Staging', 'st.aging', 'a/b', 'a@b', '1a', 'a b', repeat('x', 63), repeat('x', 64), 'é', '', NULL]) AS t;
-- only a superuser allows a target; what is allowed is allowed to all roles of the session
SET ROLE regress_acteon_boss;
SET acteon_replay.targets = 'prod2';
SELECT success FROM acteon_replay('a1', target => 'staging');
RESET ROLE;
-- the grants must cover the records, as always
SET ROLE regress_acteon_eu;
SELECT attempt($$SELECT acteon_replay('a2', target => 'staging')$$);
SELECT replayed, skipped FROM acteon_replay_bulk(outcome => 'failed', target => 'staging');
RESET ROLE;

/*
 * Each target by itself
 */
CALL clean();
SELECT pg_temp.make('a', 3);
SELECT replayed, failed, skipped FROM acteon_replay_bulk(outcome => 'failed', target => 'staging', reason => 'try');
SELECT replayed, failed, skipped FROM acteon_replay_bulk(outcome => 'failed', target => 'staging');
-- a replay to staging is none for production, nor for another target
SELECT item, matched, replayable, note FROM acteon_replay_preview(outcome => 'failed') WHERE section IN ('total', 'not replayed') AND matched > 0;
SELECT item, matched, replayable, note FROM acteon_replay_preview(outcome => 'failed', target => 'staging') WHERE section IN ('total', 'not replayed') AND matched > 0;
SELECT item, matched, replayable, note FROM acteon_replay_preview(outcome => 'failed', target => 'load_2-b') WHERE section IN ('total', 'not replayed') AND matched > 0;
SELECT replayed, failed, skipped FROM acteon_replay_bulk(outcome => 'failed', max_records => 2);
SELECT success FROM acteon_replay('a3');
SELECT success FROM acteon_replay('a3', target => 'load_2-b');
SELECT o.id, batch_id, generation, original_action_id, target, action_id = acteon_replay_id(original_action_id, generation, 0, coalesce(target, 'production')) AS its_own,
	action_id = acteon_replay_id(original_action_id, generation) AS as_production
FROM acteon_dispatch_outbox AS o ORDER BY id;
SELECT count(*), count(DISTINCT action_id) FROM acteon_dispatch_action;
SELECT batch_id, state, waiting, target, query ->> 'target' AS asked FROM acteon_replay_batches ORDER BY batch_id;
-- each generation of a target has an id, and so have the new ones
SELECT count(DISTINCT acteon_replay_id(a, g, r, t)) FROM unnest('{a,a/1,a/1@staging}'::text[]) AS a, generate_series(1, 3) AS g, generate_series(0, 2) AS r, unnest('{production,staging,load}'::text[]) AS t;
SELECT attempt($$SELECT acteon_replay_id('a', 1, 0, 'a/b')$$);

/*
 * A consumer is handed out what its target is for
 */
SELECT pg_temp.take('load_2-b'), pg_temp.take('load');
SELECT pg_temp.take('production', 2);
SELECT pg_temp.take('staging', 2, 'two', 'http://staging.example:8080');
SELECT pg_temp.take('production');
SELECT pg_temp.take('staging', 5, 'two', 'http://staging.example:8080');
SELECT pg_temp.take('production'), pg_temp.take('staging');
-- version 1.0 has no more arguments
SELECT count(*) FROM acteon_outbox_claim('one', 100, '1 h');
SELECT name, target, gateway, id <> 0 AS numbered, first_claim_at > now() - interval '1 min' AS just_now FROM acteon_dispatch_relay ORDER BY name COLLATE "C", target COLLATE "C";
SELECT first_id, last_id, s.target, holder, r.name, r.target, r.gateway FROM acteon_dispatch_segment AS s LEFT JOIN acteon_dispatch_relay AS r ON r.id = s.relay ORDER BY first_id;
SELECT pg_temp.answer('a1');
SELECT pg_temp.answer('a2', '{"Failed": {"code": "CONNECTION", "attempts": 1, "message": "connection error: refused", "retryable": true}}');
SELECT batch_id, i.outbox_id, original_action_id, i.state, i.effect, i.target, i.relay, i.gateway FROM acteon_replay_batches AS b CROSS JOIN acteon_replay_items(b.batch_id) AS i ORDER BY outbox_id;
SELECT outbox_id, d.relay IS NOT NULL AS known, r.name, r.target FROM acteon_dispatch_delivery AS d LEFT JOIN acteon_dispatch_relay AS r ON r.id = d.relay ORDER BY outbox_id;
SELECT * FROM acteon_outbox_check();
-- a late answer counts by the id that was sent, which is one of the target
BEGIN;
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE holder IS NOT NULL;
SELECT o.id, o.target, acteon_outbox_ack(ARRAY[o.id], '{1}', '{"\"Suppressed\""}', ARRAY[acteon_replay_id(original_action_id, generation, 0, 'production')]) AS by_other,
	acteon_outbox_ack(ARRAY[o.id], '{1}', '{"\"Suppressed\""}', ARRAY[o.action_id]) AS by_its_own
FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_segment AS s ON o.id BETWEEN s.first_id AND s.last_id WHERE o.target = 'staging' ORDER BY o.id;
ROLLBACK;
-- figures, for each target
SELECT t AS target, depth, due, leased, dead, delivered_5m FROM unnest('{production,staging,load_2-b,load}'::text[]) AS t CROSS JOIN acteon_outbox_read_stats(t);
SELECT depth, due, leased, dead, delivered_5m FROM acteon_outbox_stats;
SELECT attempt($$SELECT acteon_outbox_read_stats('')$$), attempt($$SELECT acteon_outbox_read_stats(NULL)$$);

-- the chain that an action is part of: production's, and that of what is allowed or asked for
SELECT source, generation, depth, batch_id, state, delivered_to FROM acteon_replay_lineage('a3');
SELECT source, generation, batch_id, state, delivered_to FROM acteon_replay_lineage('a3', 'load_2-b');
SELECT source, generation, batch_id, state, delivered_to FROM acteon_replay_lineage('a3', 'production');
SELECT l.source, l.generation, l.delivered_to FROM acteon_dispatch_outbox AS o CROSS JOIN acteon_replay_lineage(o.action_id::text, o.target) AS l WHERE o.target = 'staging' AND o.original_action_id = 'a1';
-- … and in any case to that of the action itself
SET acteon_replay.targets = '';
SELECT l.source, l.generation, l.delivered_to FROM acteon_dispatch_outbox AS o CROSS JOIN acteon_replay_lineage(o.action_id::text) AS l WHERE o.target = 'staging' AND o.original_action_id = 'a1';
SELECT l.source, l.generation, l.delivered_to FROM acteon_dispatch_outbox AS o CROSS JOIN acteon_replay_lineage(o.action_id::text) AS l WHERE o.target IS NULL AND o.original_action_id = 'a1';
SET acteon_replay.targets = 'staging, load_2-b';
SELECT attempt($$SELECT acteon_replay_lineage('a3', 'A')$$), (SELECT count(*) FROM acteon_replay_lineage(NULL));

/*
 * The address that a consumer tells
 */
CALL clean();
SELECT pg_temp.make('g', 3);
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', target => 'staging');
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed');
-- one that is too long is clipped, between characters: a consumer must not stop for it
SELECT pg_temp.take('staging', 1, 'long', repeat('x', 499) || 'éé');
SELECT name, gateway = repeat('x', 499) AS clipped FROM acteon_dispatch_relay;
-- one that is known as that of another target: a warning, once
SELECT pg_temp.take('staging', 1, 'two', 'http://staging.example:8080');
SELECT pg_temp.take('production', 1, 'one', 'http://elsewhere.example');
SELECT pg_temp.take('production', 1, 'astray', 'http://staging.example:8080');
SELECT pg_temp.take('production', 1, 'astray', 'http://staging.example:8080');
SELECT acteon_outbox_other_target('http://staging.example:8080'), acteon_outbox_other_target('http://staging.example:8080', 'load') AS latest, acteon_outbox_other_target('http://elsewhere.example') AS none, acteon_outbox_other_target('x') AS unknown;
SELECT attempt($$SELECT acteon_outbox_other_target(NULL)$$), attempt($$SELECT acteon_outbox_other_target('x', NULL)$$), attempt($$SELECT acteon_outbox_other_target('x', 'X')$$);
SET ROLE regress_acteon_eu;
SELECT attempt($$SELECT acteon_outbox_other_target('x')$$);
RESET ROLE;

/*
 * Many that wait for another target do not stand in the way: neither are read
 */
CALL clean();
SELECT pg_temp.make('w', 3000);
SELECT pg_temp.make('p', 2, provider => 'sms');
CALL acteon_replay_run('{"provider": "email", "from": "2000-01-01T00:00:00Z", "target": "staging", "canary": "off"}');
SELECT replayed FROM acteon_replay_bulk(provider => 'sms', start_at => now() - interval '1 s');
SELECT pg_stat_force_next_flush();
SELECT idx_tup_fetch AS before FROM pg_stat_user_indexes WHERE indexrelname = 'acteon_dispatch_segment_due_idx' \gset
SELECT pg_temp.take('production', 500);
SELECT pg_temp.take('production', 500);
SELECT pg_stat_force_next_flush();
SELECT idx_tup_fetch - :before <= 4 AS few_are_read FROM pg_stat_user_indexes WHERE indexrelname = 'acteon_dispatch_segment_due_idx';
-- the place where a claim ended is that of its target
SELECT array_length(string_to_array(pg_temp.take('staging', 150), ' '), 1) AS one, pg_temp.take('production', 5), array_length(string_to_array(pg_temp.take('staging', 150), ' '), 1) AS two;

/*
 * Lanes
 */
CALL clean();
SELECT pg_temp.make('l', 2, fingerprint => 'f');
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', target => 'staging');
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed');
SELECT pg_temp.take('production'), pg_temp.take('staging'), pg_temp.take('staging');
SELECT lane = acteon_dispatch_lane('acme', 'f') AS of_production, lane = acteon_dispatch_lane('acme', 'f', 'staging') AS of_staging, target, count(*) FROM acteon_dispatch_segment GROUP BY 1, 2, 3 ORDER BY 3;
SELECT * FROM acteon_outbox_check();

/*
 * Limits and circuit breakers of providers are those of production's
 */
CALL clean();
SELECT pg_temp.make('b', 60);
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 1);
SELECT replayed FROM acteon_replay_bulk(provider => 'email', target => 'staging', max_records => 1000, canary => 'off', breaker_window => 100);
SELECT replayed FROM acteon_replay_bulk(provider => 'email', max_records => 1000, canary => 'off');
SELECT array_length(string_to_array(pg_temp.take('staging'), ' '), 1) AS staging, pg_temp.take('production') AS production;
SELECT name, in_flight, breaker FROM acteon_replay_limits;
SELECT acteon_outbox_ack(array_agg(o.id), array_agg(s.lease_token), array_agg('{"Failed": {"code": "CONNECTION", "attempts": 1, "message": "connection error: refused", "retryable": true}}'::jsonb))
FROM acteon_dispatch_segment AS s JOIN acteon_dispatch_outbox AS o ON o.id BETWEEN s.first_id AND s.last_id WHERE s.lease_token IS NOT NULL AND s.target = 'staging';
SELECT name, in_flight, breaker FROM acteon_replay_limits;
SELECT pg_temp.answer('b');
SELECT pg_temp.take('production');
-- a batch has a circuit breaker of its own, which counts what it has sent
SELECT batch_id, state, target, breaker FROM acteon_replay_batches ORDER BY batch_id;

/*
 * Doubts: nothing follows from an audit table that another gateway writes
 */
CALL clean();
SELECT pg_temp.make('d', 4);
SET acteon_replay.gateway_patience = 0;
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', target => 'staging');
SELECT count(*) FROM acteon_outbox_claim('one', 4, '1 h', 'staging');
-- that of a lease that has run out, and that of a consumer
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s';
SELECT pg_temp.take('staging');
SELECT first_id, last_id, doubt, held FROM acteon_dispatch_segment;
-- … and not looked at any more, as no record can come
SELECT due_at FROM acteon_dispatch_segment;
-- also if there is a record with its id, which is none of that gateway
SELECT make_record(action_id::text, outcome => 'executed', at => now()) IS NOT NULL AS made FROM acteon_dispatch_outbox WHERE original_action_id = 'd1';
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s';
SELECT pg_temp.take('production'), pg_temp.take('staging');
SELECT state, count(*) FROM acteon_replay_items(1) GROUP BY state;
-- a person decides
SELECT acteon_replay_settle(1, 'resend', 'nothing arrived', ARRAY[(SELECT min(id) FROM acteon_dispatch_outbox), (SELECT min(id) + 1 FROM acteon_dispatch_outbox)]);
SELECT acteon_replay_settle(1, 'delivered', 'it is there', ARRAY[(SELECT min(id) + 2 FROM acteon_dispatch_outbox)]);
SELECT pg_temp.take('staging', 1), pg_temp.take('staging', 1), pg_temp.take('staging');
SELECT i.original_action_id, i.state, resends, i.unproven, i.known_by, i.held, new_action_id = acteon_replay_id(i.original_action_id, 1, resends, 'staging') AS its_id, relay FROM acteon_replay_items(1) AS i;
-- what is known not to have been executed goes out again: a 409 to an id that was refused before
SELECT (acteon_outbox_nack(ARRAY[o.id], ARRAY[s.lease_token], ARRAY['500'], ARRAY['0 s'::interval], ARRAY[acteon_replay_id('d1', 1, 1, 'staging')])).given_back
FROM acteon_dispatch_segment AS s JOIN acteon_dispatch_outbox AS o ON o.id BETWEEN s.first_id AND s.last_id WHERE o.original_action_id = 'd1';
SELECT pg_temp.take('staging');
SELECT pg_temp.answer('d1', '{"AlreadyDispatched": {}}');
SELECT pg_temp.take('staging');
SELECT i.original_action_id, i.state, resends FROM acteon_replay_items(1) AS i WHERE original_action_id = 'd1';
-- … and a dead one that is redriven
SELECT acteon_outbox_reject(ARRAY[s.first_id], ARRAY[s.lease_token], ARRAY['400']) FROM acteon_dispatch_segment AS s JOIN acteon_dispatch_outbox AS o ON o.id = s.first_id WHERE o.original_action_id = 'd2';
SELECT original_action_id, state, held FROM acteon_replay_items(1) ORDER BY 1;
SELECT success FROM acteon_replay('d4', target => 'load_2-b');
SELECT outbox_id AS id, lease_token AS token FROM acteon_outbox_claim('one', 1, '1 h', 'load_2-b') \gset
SELECT acteon_outbox_reject(ARRAY[:id], ARRAY[:token], ARRAY['400']);
SELECT t AS target, dead FROM unnest('{production,staging,load_2-b}'::text[]) AS t CROSS JOIN acteon_outbox_read_stats(t);
SELECT original_action_id, target FROM acteon_dead_letters;
SELECT * FROM acteon_outbox_redrive(ARRAY[:id]);
SELECT pg_temp.take('production'), pg_temp.take('staging'), pg_temp.take('load_2-b');
SELECT target, resend, relay IS NOT NULL AS has_relay FROM acteon_dispatch_segment WHERE first_id = :id;
SELECT * FROM acteon_outbox_check();
-- the proof asks the audit table, which has nothing to say
SELECT attempt($$SELECT acteon_replay_proof(1)$$);
SELECT attempt($$SELECT acteon_replay_proof_items(1)$$);
-- a claim leaves the doubts of other targets alone: what its consumer knows of its gateway says nothing about theirs
CALL clean();
SELECT pg_temp.make('e', 1), make_record('live', at => clock_timestamp() + interval '1 h') IS NOT NULL AS live;
SELECT success FROM acteon_replay('e1');
SELECT success FROM acteon_replay('e1', target => 'staging');
SELECT outbox_id AS id, lease_token AS token FROM acteon_outbox_claim('kafka', 1, '1 h') \gset
SELECT acteon_outbox_doubt(ARRAY[:id], ARRAY[:token], ARRAY['published, perhaps']);
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s', doubt_since = now() - interval '1 min', sent_at = now() - interval '1 min' WHERE doubt IS NOT NULL;
SELECT pg_temp.take('staging');
SELECT resend, unproven, held, due_at < now() AS still_due FROM acteon_dispatch_segment WHERE first_id = :id;
SET acteon_replay.hold_doubts = on;
SELECT pg_temp.take('production');
SELECT resend, unproven, held FROM acteon_dispatch_segment WHERE first_id = :id;
RESET acteon_replay.hold_doubts;
-- the other way round, too
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE target IS NOT NULL;
SELECT pg_temp.take('production');
SELECT lease_token IS NOT NULL AS still_leased, held FROM acteon_dispatch_segment WHERE target IS NOT NULL;
SELECT pg_temp.take('staging');
SELECT lease_token IS NOT NULL AS still_leased, held FROM acteon_dispatch_segment WHERE target IS NOT NULL;
RESET acteon_replay.gateway_patience;

/*
 * A canary judges by the answers
 */
CALL clean();
SELECT pg_temp.make('k', 5);
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', target => 'staging', canary => 'auto');
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', canary => 'auto');
SELECT pg_temp.take('staging'), pg_temp.take('production');
SELECT pg_temp.answer('k');
SELECT pg_temp.take('staging'), pg_temp.take('production');
SELECT batch_id, target, canary FROM acteon_replay_batches ORDER BY batch_id;
SELECT pg_temp.answer('k', '{"Failed": {"code": "CONNECTION", "attempts": 1, "message": "connection error: refused", "retryable": true}}');
SELECT pg_temp.take('staging');
SELECT batch_id, state, target, canary, stop_reason FROM acteon_replay_batches ORDER BY batch_id;

/*
 * What was lost: replays elsewhere say nothing about it, whatever became of them
 */
CALL clean();
SELECT pg_temp.make('n', 2);
SELECT replayed FROM acteon_replay_bulk(lost => true);
SELECT pg_temp.take('production');
SELECT pg_temp.answer('n', '{"Failed": {"code": "CONNECTION", "attempts": 1, "message": "connection error: refused", "retryable": true}}');
SELECT make_record(action_id::text, outcome => 'failed', at => now() - interval '1 min', metadata => labels, details => '{"code": "CONNECTION", "attempts": 1, "message": "connection error: error sending request for url (http://x/): error trying to connect: tcp connect error: Connection refused (os error 111)", "retryable": true}') IS NOT NULL AS made
FROM acteon_dispatch_outbox WHERE original_action_id = 'n1';
-- one of an action and its replay, for each target
SELECT count(*) AS records FROM acteon_audit;
SELECT replayed FROM acteon_replay_bulk(lost => true, target => 'staging');
SELECT replayed FROM acteon_replay_bulk(lost => true, target => 'staging');
SELECT replayed FROM acteon_replay_bulk(lost => true);
SELECT target, generation, original_action_id ~ '^n' AS original, count(*) FROM acteon_dispatch_outbox GROUP BY 1, 2, 3 ORDER BY 1 NULLS FIRST, 2, 3;
SELECT delivered_to, depth, generation, state FROM acteon_replay_lineage('n1', 'staging');

/*
 * Side by side
 */
CALL clean();
SELECT pg_temp.make('s', 5), pg_temp.make('t', 1, 'acme.eu');
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', target => 'staging');
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', newest_first => true, max_records => 5);
SELECT * FROM acteon_replay_shadow(1, 2);
SELECT pg_temp.take('staging', 5), pg_temp.take('production', 4);
SELECT pg_temp.answer('s[12]'), pg_temp.answer('t1', '{"Deduplicated": null}');
SELECT acteon_outbox_ack(array_agg(o.id), array_agg(s.lease_token), array_agg('{"Executed": {"status": "success", "body": {"id": 7}}}'::jsonb))
FROM acteon_dispatch_segment AS s JOIN acteon_dispatch_outbox AS o ON o.id BETWEEN s.first_id AND s.last_id WHERE s.lease_token IS NOT NULL AND s.target IS NULL AND o.original_action_id = 's3';
SELECT pg_temp.answer('s[34]', '{"Failed": {"code": "CONNECTION", "attempts": 1, "message": "connection error: refused", "retryable": true}}');
SELECT outbox_id, original_action_id AS original, state, effect, acteon_answer_name(outcome) AS outcome, other_outbox_id AS other, other_state, other_effect, acteon_answer_name(other_outcome) AS other_outcome, same
FROM acteon_replay_shadow(1, 2);
SELECT original_action_id AS original, effect, other_effect, same FROM acteon_replay_shadow(2, 1);
-- by target, by default production; there is no third
SELECT (SELECT json_agg(s) FROM acteon_replay_shadow(1, 2) AS s)::text = (SELECT json_agg(s) FROM acteon_replay_shadow(1) AS s)::text AS production,
	(SELECT json_agg(s) FROM acteon_replay_shadow(2, 1) AS s)::text = (SELECT json_agg(s) FROM acteon_replay_shadow(2, other_target => 'staging') AS s)::text AS staging,
	(SELECT count(other_outbox_id) FROM acteon_replay_shadow(1, other_target => 'load_2-b')) AS none;
-- beside itself, everything would be the same
SELECT attempt($$SELECT acteon_replay_shadow(2)$$), attempt($$SELECT acteon_replay_shadow(2, 2)$$), attempt($$SELECT acteon_replay_shadow(1, other_target => 'staging')$$), attempt($$SELECT acteon_replay_shadow_counts(2, other_target => 'production')$$);
-- what was not sent tells nothing
BEGIN;
SELECT waiting, cancelled FROM acteon_replay_cancel(1, 'enough');
SELECT waiting, cancelled FROM acteon_replay_cancel(2, 'enough');
SELECT sum(acteon_outbox_purge('1 day', 1)) AS swept;
SELECT original_action_id AS original, state, other_state, same FROM acteon_replay_shadow(1, 2) WHERE 'cancelled' IN (state, other_state);
ROLLBACK;
-- in pages
SELECT array_agg(original_action_id) FROM acteon_replay_shadow(1, 2, max_rows => 2);
SELECT array_agg(original_action_id) FROM acteon_replay_shadow(1, 2, after_id => (SELECT max(outbox_id) FROM acteon_replay_shadow(1, 2, max_rows => 2)), max_rows => 2);
SELECT count(*) FROM acteon_replay_shadow(1, 2, max_rows => 0);
SELECT * FROM acteon_replay_shadow_counts(1, 2);
-- who sees a part compares that
SET ROLE regress_acteon_eu;
SELECT original_action_id, same, other_outbox_id IS NOT NULL AS other FROM acteon_replay_shadow(1, 2);
SELECT sum(actions) FROM acteon_replay_shadow_counts(1);
RESET ROLE;
SELECT attempt($$SELECT acteon_replay_shadow(99)$$), attempt($$SELECT acteon_replay_shadow(1, 99)$$), attempt($$SELECT acteon_replay_shadow(1, 2, 'staging')$$), attempt($$SELECT acteon_replay_shadow(1, other_target => 'X')$$),
	attempt($$SELECT acteon_replay_shadow(1, max_rows => -1)$$), attempt($$SELECT acteon_replay_shadow(NULL)$$);

/*
 * A plan is for its target; purging and cancelling go by targets
 */
CALL clean();
SELECT pg_temp.make('x', 2);
SELECT note AS plan FROM acteon_replay_preview(outcome => 'failed', target => 'staging') WHERE section = 'plan' \gset
SELECT attempt(format($$SELECT acteon_replay_bulk(plan => %L, outcome => 'failed', target => 'load_2-b')$$, :'plan')) AS refused;
SELECT attempt(format($$SELECT acteon_replay_bulk(plan => %L, outcome => 'failed')$$, :'plan')) AS refused;
SELECT replayed FROM acteon_replay_bulk(plan => :'plan');
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed');
SELECT target, count(*) FROM acteon_dispatch_outbox GROUP BY 1 ORDER BY 1;
SELECT pg_temp.take('staging');
SELECT pg_temp.answer('x');
UPDATE acteon_dispatch_delivery SET finished_at = now() - interval '3 days';
SELECT acteon_outbox_purge('2 days', 100);
SELECT target, original_action_id FROM acteon_dispatch_outbox ORDER BY id;
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', target => 'staging');
SELECT target, generation, original_action_id FROM acteon_dispatch_outbox ORDER BY id;
SELECT waiting, cancelled FROM acteon_replay_cancel(3, 'enough');
SELECT pg_temp.take('staging'), pg_temp.take('production');
SELECT * FROM acteon_outbox_check();

/*
 * Names of consumers of which nothing is left: purged when there are many
 */
CALL clean();
SELECT pg_temp.make('r', 3);
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed');
SELECT pg_temp.take('production', 1, 'answered'), pg_temp.take('production', 1, 'at work');
SELECT pg_temp.answer('r1');
BEGIN;
UPDATE acteon_dispatch_relay SET first_claim_at = now() - interval '3 days';
INSERT INTO acteon_dispatch_relay (id, name, target, first_claim_at) SELECT 1000 + i, 'drain-' || i, 'production', now() - interval '3 days' FROM generate_series(1, 998) AS i;
INSERT INTO acteon_dispatch_relay (id, name, target) VALUES (1, 'young', 'production');
SELECT acteon_outbox_purge('2 days'), (SELECT count(*) FROM acteon_dispatch_relay) AS left;
SELECT count(*) AS few_stay FROM acteon_dispatch_relay;
INSERT INTO acteon_dispatch_relay (id, name, target, first_claim_at) VALUES (2, 'one more', 'production', now() - interval '3 days');
SELECT acteon_outbox_purge('2 days');
SELECT name FROM acteon_dispatch_relay ORDER BY name;
ROLLBACK;

/*
 * What no relay claims: a relay of another target that is at work does not hide it
 */
CALL clean();
SELECT pg_temp.make('u', 2);
SELECT success FROM acteon_replay('u1');
SELECT success FROM acteon_replay('u2', target => 'staging');
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 h';
BEGIN;
SELECT pg_temp.take('production');
SELECT statement, regexp_replace(why, 'since .*?, and', 'since …, and') AS why FROM acteon_replay_help() WHERE topic = 'relay';
ROLLBACK;
BEGIN;
SELECT pg_temp.take('staging');
SELECT statement, regexp_replace(why, 'since .*?, and', 'since …, and') AS why FROM acteon_replay_help() WHERE topic = 'relay';
-- … nor what a relay had that has died, which only one for the same target looks up
UPDATE acteon_dispatch_segment SET due_at = now() + interval '1 h' WHERE target IS NULL;
SELECT count(*) AS none FROM acteon_replay_help() WHERE topic = 'relay';
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s', lease_token = 1, holder = 'dead', attempt = 1 WHERE target IS NULL;
SELECT count(*) AS not_yet FROM acteon_replay_help() WHERE topic = 'relay';
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 min' WHERE target IS NULL;
SELECT statement FROM acteon_replay_help() WHERE topic = 'relay';
ROLLBACK;

/*
 * Notifications can tell the target; they go to production
 */
CALL clean();
SELECT pg_temp.make('h', 1);
SELECT acteon_replay_notify_set('where', 'push', 'message', 'ops', 'acme', '{"text": "{{event}}: {{target}}"}', reason => 'r') IS NOT NULL AS set;
SELECT success FROM acteon_replay('h1', target => 'staging');
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', target => 'load_2-b');
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed');
SELECT pg_temp.take(t) FROM unnest('{staging,load_2-b,production}'::text[]) AS t;
SELECT pg_temp.answer('h1');
SELECT count(*) > 0 AS told FROM acteon_outbox_claim('one', 100);
SELECT payload, target FROM acteon_dispatch_outbox WHERE provider = 'push' ORDER BY id;
SELECT acteon_replay_notify_drop('where') IS NOT NULL AS dropped;

/*
 * What acteon_outbox_check finds, and what cannot be
 */
SELECT split_part(attempt(format($$UPDATE acteon_dispatch_segment SET target = %L$$, t)), ' | ', 1) AS refused FROM unnest('{production,St,a/b,""}'::text[]) AS t;
SELECT split_part(attempt(format($$UPDATE acteon_dispatch_outbox SET target = %L$$, t)), ' | ', 1) AS refused FROM unnest(ARRAY['production', repeat('x', 64)]) AS t;
BEGIN;
UPDATE acteon_dispatch_segment SET target = 'staging';
SELECT violation, detail FROM acteon_outbox_check() ORDER BY outbox_id;
ROLLBACK;

/*
 * Where the last claim for one target ended, a claim for another one does not go on
 */
CALL clean();
SELECT pg_temp.make('k', 3);
SELECT success FROM acteon_replay('k1');
SELECT success FROM acteon_replay('k2', target => 'staging');
SELECT success FROM acteon_replay('k3');
SELECT pg_temp.take('staging', 1), pg_temp.take('production', 1);

-- a warning once, also of names that are as long as they may be
SELECT pg_temp.take('production', 1, 'one', rpad('http://long.example/', 500, 'y'));
SET acteon_replay.targets = 'staging, load_2-b, xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx';
SELECT pg_temp.take(repeat('x', 63), 1, 'astray', rpad('http://long.example/', 500, 'y'));
SELECT pg_temp.take(repeat('x', 63), 1, 'astray', rpad('http://long.example/', 500, 'y'));
SET acteon_replay.targets = 'staging, load_2-b';

/*
 * What the owner of the tables has broken
 */
CALL clean();
SELECT pg_temp.make('j', 2);
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed');
-- a target that is no text counts as none
UPDATE acteon_replay_batch SET query = query || '{"target": 7}';
SELECT attempt($$SELECT acteon_replay_shadow(1)$$), (SELECT count(*) FROM acteon_replay_shadow(1, other_target => 'staging')) AS shown;
-- a trigger keeps consumers out of their table
CREATE FUNCTION pg_temp.keep_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER keep_out BEFORE INSERT ON acteon_dispatch_relay FOR EACH ROW EXECUTE FUNCTION pg_temp.keep_out();
SELECT attempt($$SELECT acteon_outbox_claim('late')$$);
DROP TRIGGER keep_out ON acteon_dispatch_relay;
SELECT pg_temp.take('production');

CALL clean();
RESET acteon_replay.targets;
DELETE FROM acteon_grants WHERE grantee IN ('regress_acteon_eu', 'regress_acteon_boss');
DROP ROLE regress_acteon_eu, regress_acteon_boss;
