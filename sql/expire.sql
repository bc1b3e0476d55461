-- Actions that are of no use any more are not sent: by their age (expire_after), and by their own ends_at.
\set VERBOSITY terse
SET timezone = 'UTC';
SET datestyle = 'ISO';
CALL clean();
CREATE TEMP TABLE held (outbox_id bigint, lease_token bigint, action_id uuid, expires_at timestamptz);
-- Claims so much; which actions, and when they expire, in hours from now.
CREATE FUNCTION pg_temp.take(most integer DEFAULT 100, lease interval DEFAULT '1 h') RETURNS text LANGUAGE sql AS $$
	WITH got AS (INSERT INTO held SELECT outbox_id, lease_token, action_id, expires_at FROM acteon_outbox_claim('c', most, lease) RETURNING *)
	SELECT coalesce(string_agg(o.original_action_id || coalesce(' in ' || round(extract(epoch FROM g.expires_at - now()) / 3600), ''), ', ' ORDER BY g.outbox_id), 'nothing')
	FROM got AS g JOIN acteon_dispatch_outbox AS o ON o.id = g.outbox_id
$$;
CREATE FUNCTION pg_temp.answer() RETURNS integer LANGUAGE sql AS $$
	WITH done AS (DELETE FROM held RETURNING *)
	SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb), array_agg(action_id)) FROM done
$$;
-- So much time passes for all that waits; rows that are changed for it have no hash, as those of version 1.0.
CREATE FUNCTION pg_temp.pass(gone interval) RETURNS void LANGUAGE sql AS $$
	INSERT INTO acteon_replay_trail_head (hashed_from) VALUES (9223372036854775807) ON CONFLICT (singleton) DO UPDATE SET hashed_from = excluded.hashed_from;
	UPDATE acteon_dispatch_outbox SET expires_at = expires_at - gone, hash = NULL WHERE expires_at IS NOT NULL;
	UPDATE acteon_dispatch_segment SET expires_at = expires_at - gone WHERE expires_at IS NOT NULL;
$$;
CREATE VIEW pg_temp.ends AS
	SELECT o.original_action_id AS action, o.generation AS g, coalesce(d.state, 'open') AS state, d.attempts, d.resend, d.unproven, d.outcome, d.error, d.effect
	FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id ORDER BY o.id;
CREATE VIEW pg_temp.batch AS
	SELECT batch_id AS b, state, progress, replayed, passed_over, waiting, in_doubt, held, delivered, dead, cancelled, expired FROM acteon_replay_batches ORDER BY batch_id;

/*
 * How long is told in several ways.
 */
SELECT value, attempt(format('SELECT acteon_replay_bulk(tenant => ''none'', expire_after => %L)', value)) AS argument, attempt(format('SELECT acteon_replay_bulk(%L::jsonb)', jsonb_build_object('tenant', 'none', 'expire_after', value))) AS wire
FROM unnest(ARRAY['0', '-1 s', '1 us', '1 month -31 days', '100 years', '101 years', '1 year 864000 hours', '2000000000 days', '-2000000000 days', '178000000 years', 'PT0S', 'P1D', 'PT6H', '6:30', '1 day ago', '90']) AS value;
SELECT left(value, 30) AS value, attempt(format('SELECT acteon_replay_bulk(%L::jsonb)', format('{"tenant": "none", "expire_after": %s}', value))) AS wire
FROM unnest(ARRAY['5', 'true', '[]', '{}', 'null', '""', '" "', '"soon"', '"P"', '"PT"', '"1 hour 1 hour"', '"99999999999999999999 days"', '"2026-01-01"', '"now"', '"1 h\u00e4"', format('"%s"', repeat('1 h ', 200))]) AS value;
SET intervalstyle = 'sql_standard';
SELECT q, p -> 'query' ->> 'expire_after' AS kept, (p -> 'query') - '{from,to,limit}'::text[] AS query FROM unnest(ARRAY['P1M', '1 mon 2 days 03:04:05.6', 'PT0.000001S', '-1 day +49:00']) AS q, acteon_replay_preview(jsonb_build_object('tenant', 'none', 'expire_after', q, 'allow_ended', true)) AS p;
RESET intervalstyle;

/*
 * What has expired when a replay begins is passed over.  The age counts from the record's own time.
 */
SELECT make_record('old', at => now() - interval '3 h'), make_record('young', at => now() - interval '1 h'), make_record('yesterday', at => now() - interval '1 day', metadata => '{"__ends_at": "9999-12-31T23:59:59Z"}'),
	make_record('old and redacted', at => now() - interval '3 h', payload => '{"a": "[REDACTED]"}'), make_record('old and private', at => now() - interval '3 h', payload => NULL),
	make_record('old and done', at => now() - interval '3 h', outcome => 'executed', details => '{"status": "Success"}');
-- the newer record of an action is replayed where the older one is too old
SELECT make_record('twice', at => now() - interval '5 h'), make_record('twice', id => 'later', at => now() - interval '30 min', outcome => 'throttled');
SELECT item, matched, note FROM acteon_replay_preview(from_time => '2000-01-01', expire_after => '2 h') WHERE section = 'not replayed';
SELECT p -> 'replayable' AS replayable, p -> 'not_replayed' AS not_replayed FROM acteon_replay_preview('{"from": "2000-01-01T00:00:00Z", "expire_after": "PT2H"}'::jsonb) AS p;
BEGIN;
SELECT replayed, failed, skipped, jsonb_path_query_array(results, '$[*].original_action_id') AS ids FROM acteon_replay_bulk(from_time => '2000-01-01', expire_after => '2 h');
SELECT * FROM pg_temp.batch;
ROLLBACK;
BEGIN;
SELECT answer - '{batch_id,results}'::text[] AS answer FROM acteon_replay_bulk('{"from": "2000-01-01T00:00:00Z", "expire_after": "2 hours"}'::jsonb) AS answer;
ROLLBACK;
-- they take no place in the window
BEGIN;
SELECT replayed, next_cursor IS NOT NULL AS more FROM acteon_replay_bulk(outcome => 'failed', expire_after => '2 h', max_records => 1);
ROLLBACK;
CALL acteon_replay_all(from_time => '2000-01-01', expire_after => '2 h');
SELECT * FROM pg_temp.batch;
-- nothing is left but what has expired: there is no batch
CALL acteon_replay_all(from_time => '2000-01-01', expire_after => '2 h');
SELECT regexp_replace(attempt($$SELECT acteon_replay('old', expire_after => '2 h')$$), '\d+-[-\d:. ]*\d\+00', 'then') AS attempt;
SELECT success FROM acteon_replay('old', expire_after => '4 h');
SELECT query FROM acteon_replay_batches ORDER BY batch_id DESC LIMIT 1;
SELECT o.original_action_id, o.expires_at - r.dispatched_at AS after, s.expires_at = o.expires_at AS first FROM acteon_dispatch_outbox AS o JOIN acteon_audit AS r ON r.action_id = o.original_action_id AND r.id <> 'rec-twice-failed' JOIN acteon_dispatch_segment AS s ON o.id BETWEEN s.first_id AND s.last_id ORDER BY o.id;
CALL clean();

/*
 * ends_at, with nanoseconds and any offset.  One that had passed when the action was dispatched is no reason, and what is none says nothing.
 */
SELECT make_record('ended', at => '2026-01-01 12:00+00', metadata => '{"__ends_at": "2026-01-01T14:00:00.000000001+01:00"}'), make_record('resolved', at => '2026-01-01 12:00+00', metadata => '{"__ends_at": "2026-01-01T11:59:59.999999999Z"}'),
	make_record('at its end', at => '2026-01-01 12:00+00', metadata => '{"__ends_at": "2026-01-01T12:00:00Z"}'), make_record('no time', at => '2026-01-01 12:00+00', metadata => '{"__ends_at": "2026-01-01 12:30"}'),
	make_record('a number', at => '2026-01-01 12:00+00', metadata => '{"__ends_at": 1}'), make_record('no object', at => '2026-01-01 12:00+00', metadata => '["__ends_at"]'),
	make_record('later', at => '2026-01-01 12:00+00', metadata => '{"__ends_at": "2199-01-01T00:00:00.000000999+00:30", "__starts_at": "2026-01-01T00:00:00Z"}'), make_record('a label', at => '2026-01-01 12:00+00', metadata => '{"ends_at": "2026-01-01T13:00:00Z"}');
SELECT item, matched FROM acteon_replay_preview(outcome => 'failed') WHERE section = 'not replayed';
SELECT attempt($$SELECT acteon_replay('ended')$$);
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed');
SELECT original_action_id, expires_at FROM acteon_dispatch_outbox ORDER BY id;
SELECT expires_at FROM acteon_dispatch_segment;
-- whoever wants them all the same
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', allow_ended => true, include_replayed => true, max_generation => 9);
SELECT original_action_id, expires_at FROM acteon_dispatch_outbox WHERE original_action_id IN ('ended', 'later') ORDER BY id;
SELECT success FROM acteon_replay('ended', allow_ended => true);
-- a claim says when, whoever has it in its hands may not send it later
SELECT pg_temp.take(1), pg_temp.take(1, '1 s'), (SELECT count(*) FROM held WHERE expires_at IS NOT NULL) AS expire;
TRUNCATE held;
CALL clean();

/*
 * What expires while it waits ends so when it is claimed; the others go out.
 */
SELECT count(make_record('w-' || i, at => now() - i * interval '1 h', tenant => CASE i % 2 WHEN 0 THEN 'acme' ELSE 'globex' END)) FROM generate_series(1, 9) AS i;
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', expire_after => '60 h', newest_first => true, reason => 'too late');
SELECT pg_temp.pass('55 h');
SELECT pg_temp.take();
SELECT * FROM pg_temp.ends;
SELECT * FROM pg_temp.batch;
SELECT count(*) AS due_or_leased, sum(last_id - first_id + 1) AS actions, count(*) FILTER (WHERE expires_at IS NULL) AS lost FROM acteon_dispatch_segment;
SELECT pg_temp.answer();
SELECT * FROM pg_temp.batch;
SELECT state, actions, provider, effect FROM acteon_replay_tally ORDER BY state;
SELECT original_action_id, state, attempts, expires_at < now() AS over, finished_at IS NOT NULL AS finished FROM acteon_replay_items(1, 'expired');
SELECT count(*) FROM acteon_replay_items(1, 'failed');
SELECT attempt($$SELECT acteon_replay_items(1, 'over')$$);
SELECT verdict, told, actions FROM acteon_replay_proof(1);
SELECT generation, state FROM acteon_replay_lineage('w-9');
SELECT acteon_is_failure('expired', NULL, NULL), breaker FROM acteon_replay_batches;
SELECT depth, due, dead FROM acteon_outbox_stats;
SELECT * FROM acteon_outbox_check();
-- they are free, and their replays count for nothing; a redrive leaves them alone
SELECT redriven, skipped FROM acteon_outbox_redrive();
SELECT item, matched, replayable, note FROM acteon_replay_preview(outcome => 'failed', max_generation => 1) WHERE section = 'beware' OR (section = 'not replayed');
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', max_generation => 1);
SELECT action, g, state FROM pg_temp.ends WHERE g > 1;
CALL clean();

/*
 * Where it stops nothing and is stopped by nothing: lanes, limits, a pause, a retry, one action at a time.
 */
SELECT count(make_record('l-' || i, at => now() - (10 - i) * interval '1 h', metadata => '{"__fingerprint": "f"}')) FROM generate_series(1, 4) AS i;
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', expire_after => '60 h');
SELECT pg_temp.take(), count(*) AS segments, count(expires_at) AS expire FROM acteon_dispatch_segment;
SELECT pg_temp.pass('53 h 30 min');
SELECT pg_temp.take();
SELECT pg_temp.answer();
SELECT pg_temp.take();
SELECT action, state FROM pg_temp.ends;
SELECT * FROM acteon_outbox_check();
TRUNCATE held;
CALL clean();
SELECT count(make_record('p-' || i, at => now() - (10 - i) * interval '1 h')) FROM generate_series(1, 6) AS i;
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 1);
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', expire_after => '60 h', max_records => 6);
SELECT pg_temp.take();
SELECT pg_temp.take();
SELECT state, waiting FROM acteon_replay_pause(1);
SELECT pg_temp.pass('53 h 30 min');
SELECT pg_temp.take();
SELECT state, waiting FROM acteon_replay_resume(1);
SELECT pg_temp.answer();
SELECT pg_temp.take();
SELECT action, state FROM pg_temp.ends;
-- it is given back: known not to have been sent
SELECT given_back, dead FROM held, acteon_outbox_nack(ARRAY[outbox_id], ARRAY[lease_token], ARRAY['500'], ARRAY[interval '0']);
TRUNCATE held;
SELECT pg_temp.pass('60 h');
SELECT pg_temp.take();
SELECT action, state, attempts FROM pg_temp.ends;
SELECT * FROM pg_temp.batch;
SELECT * FROM acteon_outbox_check();
CALL clean();
-- cancelled is cancelled
SELECT make_record('c', at => now());
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', expire_after => '1 h');
SELECT pg_temp.pass('2 h');
SELECT state FROM acteon_replay_cancel(1);
SELECT pg_temp.take();
SELECT action, state FROM pg_temp.ends;
CALL clean();

/*
 * What may have been sent does not expire: it is not sent again, and held.
 */
SELECT make_record('d-' || i, at => now()) FROM generate_series(1, 3) AS i;
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', expire_after => '1 h');
SELECT pg_temp.take();
SELECT acteon_outbox_doubt(array_agg(outbox_id), array_agg(lease_token), array_agg('cut'::text)) FROM held WHERE outbox_id < 3;
SELECT pg_temp.pass('2 h');
-- a lease that has run out as well
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s', doubt_since = CASE WHEN doubt_since IS NOT NULL THEN now() - interval '1 h' END;
SELECT pg_temp.take();
SELECT first_id, held FROM acteon_dispatch_segment, generate_series(first_id, last_id) AS id ORDER BY id;
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s', doubt_since = now() - interval '1 h';
SELECT pg_temp.take();
SELECT original_action_id, state, held FROM acteon_replay_items(1);
SELECT * FROM pg_temp.batch;
-- a record tells what became of one
SELECT make_record((SELECT action_id::text FROM acteon_dispatch_outbox WHERE id = 1), at => now(), outcome => 'executed', details => '{"status": "Success"}');
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s';
SELECT pg_temp.take();
SELECT action, state, effect FROM pg_temp.ends;
-- a person decides: that it is sent in spite of it, which is looked up once more
SELECT acteon_replay_settle(1, 'resend', 'the customer asks for it', '{2}');
SELECT pg_temp.take();
SELECT acteon_replay_settle(1, 'cancel', 'useless', '{3}');
SELECT pg_temp.answer();
SELECT action, state, resend, unproven FROM pg_temp.ends;
SELECT * FROM acteon_outbox_check();
TRUNCATE held;
CALL clean();
-- decided without knowing that it has expired: it is held once more
SELECT make_record('u', at => now());
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', expire_after => '1 h', on_doubt => 'hold');
SELECT pg_temp.take();
SELECT acteon_outbox_doubt(ARRAY[outbox_id], ARRAY[lease_token], '{cut}') FROM held;
TRUNCATE held;
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s', doubt_since = now() - interval '1 h';
SELECT pg_temp.take();
SELECT held FROM acteon_replay_items(1);
SELECT acteon_replay_settle(1, 'resend', 'why not');
SELECT pg_temp.pass('2 h');
SELECT pg_temp.take();
SELECT state, unproven, held FROM acteon_replay_items(1);
SELECT acteon_replay_settle(1, 'resend', 'really');
SELECT pg_temp.take();
TRUNCATE held;
CALL clean();
-- held as it has expired it stays so, also where the records are elsewhere: a decision to send it in spite of that counts
SET acteon_replay.targets = 'staging';
SELECT make_record('elsewhere', at => now());
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', target => 'staging', expire_after => '1 h');
RESET acteon_replay.targets;
SELECT count(*) FROM acteon_outbox_claim('c', target => 'staging');
SELECT acteon_outbox_doubt(ARRAY[first_id], ARRAY[lease_token], '{cut}') FROM acteon_dispatch_segment;
SELECT pg_temp.pass('2 h');
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s', doubt_since = NULL, doubt = NULL, held = NULL, unproven = true;
SELECT count(*) FROM acteon_outbox_claim('c', target => 'staging');
SELECT held FROM acteon_dispatch_segment;
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s', doubt_since = now() - interval '1 h';
SELECT count(*) FROM acteon_outbox_claim('c', target => 'staging');
SELECT held FROM acteon_dispatch_segment;
SELECT acteon_replay_settle(1, 'resend', 'it is wanted all the same');
SELECT count(*) FROM acteon_outbox_claim('c', target => 'staging');
TRUNCATE held;
CALL clean();

/*
 * What is dead is not redriven once it has expired; before, it keeps its time.
 */
SELECT make_record('r-' || i, at => now() - i * interval '1 h') FROM generate_series(1, 2) AS i;
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', expire_after => '3 h');
SELECT pg_temp.take();
SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('422'::text)) FROM held;
SELECT pg_temp.pass('90 min');
SELECT redriven, skipped FROM acteon_outbox_redrive();
SELECT first_id, expires_at > now() AS later FROM acteon_dispatch_segment;
SELECT pg_temp.pass('90 min');
SELECT pg_temp.take();
SELECT action, state FROM pg_temp.ends;
SELECT * FROM pg_temp.batch;
TRUNCATE held;
CALL clean();

/*
 * A canary's step that has expired is repeated with the next actions.
 */
SELECT count(make_record('k-' || i, at => now() - (200 - i) * interval '1 h')) FROM generate_series(1, 10) AS i;
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', expire_after => '360 h', canary => 'auto');
SELECT pg_temp.pass('167 h 30 min');
-- the first step is out already; what it would release next is ended before
SELECT pg_temp.take(), canary FROM acteon_replay_batches;
SELECT pg_temp.take();
SELECT action, state FROM pg_temp.ends;
SELECT * FROM pg_temp.batch;
SELECT canary FROM acteon_replay_batches;
-- a step that is answered is judged; those that expire do not count
SELECT make_record((SELECT action_id::text FROM held), at => now(), outcome => 'executed', details => '{"status": "Success"}'), pg_temp.answer();
SELECT pg_temp.pass('15 day');
SELECT pg_temp.take(), pg_temp.take();
SELECT * FROM pg_temp.batch;
SELECT canary, stop_reason FROM acteon_replay_batches;
SELECT * FROM acteon_outbox_check();
TRUNCATE held;
CALL clean();

-- the next step has as many actions as it should have when the one before was repeated
SELECT count(make_record('s-' || i, at => now() - (100 - i) * interval '1 h')) FROM generate_series(1, 12) AS i;
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', expire_after => '100 h', canary => 'auto');
SELECT pg_temp.take(1);
-- behind the first action, three have expired when the second step opens; the one that it releases expires as well
SELECT pg_temp.pass('4 h 30 min');
SELECT make_record((SELECT action_id::text FROM held), at => now(), outcome => 'executed', details => '{"status": "Success"}'), pg_temp.answer();
SELECT canary, expired FROM acteon_replay_batches;
SELECT pg_temp.pass('1 h');
SELECT pg_temp.take();
SELECT pg_temp.take();
SELECT canary, expired, waiting, in_flight FROM acteon_replay_batches;
TRUNCATE held;
CALL clean();
-- what is paused on its own does not expire, as little as what a paused batch has
SELECT count(make_record('t-' || i, at => now() - (100 - i) * interval '1 h', tenant => CASE i % 3 WHEN 0 THEN 'globex' ELSE 'acme' END)) FROM generate_series(1, 9) AS i;
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', expire_after => '100 h', canary => 'auto');
SELECT pg_temp.take(1);
SELECT state FROM acteon_replay_pause(1, tenant => 'globex');
SELECT pg_temp.pass('4 h 30 min');
SELECT make_record((SELECT action_id::text FROM held), at => now(), outcome => 'executed', details => '{"status": "Success"}'), pg_temp.answer();
SELECT canary, expired FROM acteon_replay_batches;
SELECT action, state FROM pg_temp.ends;
TRUNCATE held;
CALL clean();

/*
 * Many that have expired in lanes of their own stop nothing behind them.
 */
SELECT count(make_record('o-' || i, at => now() - interval '1 h' + i * interval '1 ms', metadata => jsonb_build_object('__fingerprint', i::text))) FROM generate_series(1, 3500) AS i;
SELECT make_record('last', at => now(), metadata => '{"__fingerprint": "3500"}');
CALL acteon_replay_all(outcome => 'failed', expire_after => '2 h', canary => 'off', to_time => now() + interval '1 day');
SELECT pg_temp.pass('90 min');
SELECT pg_temp.take();
SELECT waiting, in_flight, expired FROM acteon_replay_batches;
TRUNCATE held;
CALL clean();

/*
 * A great many that have expired, in front of one that has not: a claim ends a bounded number of them, finds what is behind, and the next claims go on.
 */
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms)
	SELECT 'm' || i, 'm' || i, 'prod', 'acme', 'email', 'send_email', 'allow', 'failed', '{}', '{}', '{}', '{}', now() - CASE WHEN i > 25000 THEN interval '0' ELSE interval '30 min' END + i * interval '1 us', now(), 1 FROM generate_series(1, 25002) AS i;
CALL acteon_replay_all(outcome => 'failed', expire_after => '1 h', canary => 'off', chunk => 10000, to_time => now() + interval '1 day');
SELECT pg_temp.pass('40 min');
SELECT pg_temp.take(1);
SELECT expired BETWEEN 10000 AND 10100 AS some, in_flight FROM acteon_replay_batches;
SELECT pg_temp.take(1), pg_temp.take(1);
-- for a second after a claim, the next one may go on from where that ended
SELECT in_flight, expired >= 20000 AS more FROM acteon_replay_batches;
SELECT pg_temp.answer();
DO $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '1 min';
	left_over bigint;
BEGIN
	LOOP
		SELECT waiting INTO left_over FROM acteon_replay_batches;
		EXIT WHEN left_over = 0;
		IF clock_timestamp() > deadline THEN
			RAISE '% that have expired are still waiting', left_over;
		END IF;
		PERFORM pg_sleep(0.05);
		PERFORM acteon_outbox_claim('c', 1);
		COMMIT;
	END LOOP;
END $$;
SELECT * FROM pg_temp.batch;
SELECT * FROM acteon_outbox_check();
CALL clean();

/*
 * The preview estimates what will expire before its turn.
 */
SELECT count(make_record('e-' || i, at => now() - interval '10 min' * i)) FROM generate_series(1, 10) AS i;
SELECT rate, start, p -> 'replayable' AS replayable, p -> 'not_replayed' AS not_replayed, p -> 'beware' -> 'will_expire' AS will_expire
FROM (VALUES (NULL, NULL), (1, NULL), (0.001, NULL), (NULL, '30 min'), (0.001, '30 min'), (0.001, '3 h')) AS v (rate, start),
	acteon_replay_preview(jsonb_build_object('outcome', 'failed', 'expire_after', '6300 s', 'rate', rate, 'start_at', to_char(now() + start::interval, 'YYYY-MM-DD"T"HH24:MI:SSOF:00'))) AS p;
SELECT item, replayable, note FROM acteon_replay_preview(outcome => 'failed', expire_after => '6300 s', rate => 0.001) WHERE section = 'beware';
-- a plan says what has expired since
SELECT note AS plan FROM acteon_replay_preview(outcome => 'failed', expire_after => '6300 s') WHERE section = 'plan' \gset
UPDATE acteon_audit SET metadata = jsonb_build_object('__ends_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) WHERE action_id = 'e-5';
SELECT attempt(format('SELECT acteon_replay_bulk(plan => %L)', :'plan'));
-- a segment that would let its actions go out too late is reported
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', expire_after => '2 h');
UPDATE acteon_dispatch_segment SET expires_at = expires_at + interval '45 min';
SELECT violation, count(*) FROM acteon_outbox_check() GROUP BY violation;
CALL clean();
DROP VIEW pg_temp.ends, pg_temp.batch;
