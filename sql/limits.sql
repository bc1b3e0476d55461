-- Limits of providers and tenants, which all batches keep together, and circuit breakers of providers.
\set VERBOSITY terse
CALL clean();
CREATE FUNCTION pg_temp.make(prefix text, first integer, last integer, provider text, tenant text DEFAULT 'acme', fingerprint text DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(make_record(prefix || i, at => '2026-01-01 12:00+00'::timestamptz + i * interval '1 s', provider => make.provider, tenant => make.tenant,
		metadata => CASE WHEN fingerprint IS NULL THEN '{}' ELSE jsonb_build_object('__fingerprint', fingerprint) END))
	FROM generate_series(first, last) AS i
$$;
-- What a claim hands out, by provider and tenant.
CREATE FUNCTION pg_temp.take(actions integer DEFAULT 100, consumer text DEFAULT 'one') RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(format('%s/%s: %s', provider, tenant, n), ', ' ORDER BY provider, tenant), 'nothing')
	FROM (SELECT action ->> 'provider' AS provider, action ->> 'tenant' AS tenant, count(*) AS n FROM acteon_outbox_claim(consumer, actions, '1 h') GROUP BY 1, 2) AS c
$$;
-- Answers for what is leased of a provider, at most so many.
CREATE FUNCTION pg_temp.answer(provider text, most integer, outcome jsonb DEFAULT '{"Executed": {"status": "success"}}') RETURNS integer LANGUAGE sql AS $$
	SELECT acteon_outbox_ack(array_agg(id), array_agg(lease_token), array_agg(outcome))
	FROM (SELECT id, lease_token FROM acteon_dispatch_segment AS s, generate_series(first_id, last_id) AS id
		WHERE s.lease_token IS NOT NULL AND s.provider = answer.provider ORDER BY id LIMIT most) AS held
$$;
-- As if time had gone by for a limit.
CREATE FUNCTION pg_temp.pass(name text, ago interval) RETURNS void LANGUAGE sql AS $$
	UPDATE acteon_replay_limit AS l SET refilled_at = refilled_at - ago, retry_at = retry_at - ago WHERE l.name = pass.name
$$;
CREATE VIEW pg_temp.limits AS SELECT kind, name, rate, concurrency, in_flight, held, breaker FROM acteon_replay_limits ORDER BY kind, name;
CREATE VIEW pg_temp.segments AS
	SELECT first_id, last_id, provider, lease_token IS NOT NULL AS leased, due_at = 'infinity' AS parked, provider_limit IS NOT NULL AS by_provider, tenant_limit IS NOT NULL AS by_tenant
	FROM acteon_dispatch_segment ORDER BY first_id;

-- a segment is for one provider, also where they take turns
SELECT pg_temp.make('m' || p, 1, 30, p) FROM unnest('{email,sms}'::text[]) AS p;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT * FROM pg_temp.segments;
-- … and for the one that the actions go to
CALL clean();
SELECT pg_temp.make('m' || p, 1, 3, p) FROM unnest('{email,sms}'::text[]) AS p;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', provider_override => 'push');
SELECT * FROM pg_temp.segments;

-- concurrency: what is in flight counts, of all consumers and batches
CALL clean();
SELECT pg_temp.make('c', 1, 20, 'email'), pg_temp.make('d', 1, 20, 'email'), pg_temp.make('e', 1, 10, 'sms');
SELECT replayed FROM acteon_replay_bulk(provider => 'email', max_records => 20);
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 7, reason => 'they asked');
SELECT pg_temp.take();
SELECT pg_temp.take(consumer => 'two');
SELECT * FROM pg_temp.limits;
SELECT kind, name, set_by = current_user AS by_me, set_at > now() - interval '1 min' AS just_now, reason, opened_at, retry_at, open_reason FROM acteon_replay_limits;
SELECT * FROM pg_temp.segments;
SELECT pg_temp.answer('email', 3);
SELECT pg_temp.take();
-- an expired lease is in flight no more
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE lease_token IS NOT NULL AND provider = 'email';
SELECT pg_temp.take(3);
SELECT * FROM pg_temp.limits;
-- changed while they run; NULL removes it
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 0);
SELECT pg_temp.take();
SELECT acteon_replay_limit_set(provider => 'email');
SELECT pg_temp.take(10), pg_temp.take(100);
SELECT * FROM pg_temp.limits;
SELECT * FROM acteon_outbox_check();

-- rate: a bucket that is empty at first and has room for two seconds
CALL clean();
SELECT pg_temp.make('r', 1, 300, 'email'), pg_temp.make('s', 1, 250, 'sms');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT acteon_replay_limit_set(provider => 'email', rate => 0.1);
SELECT pg_temp.take(1000);
SELECT pg_temp.pass('email', '10 s');
SELECT pg_temp.take(1000);
SELECT pg_temp.pass('email', '1 h');
SELECT pg_temp.take(1000);
SELECT acteon_replay_limit_set(provider => 'email', rate => 20);
SELECT pg_temp.pass('email', '1 h');
SELECT pg_temp.take(1000);
SELECT held FROM pg_temp.limits;
SELECT acteon_replay_limit_set(provider => 'email', rate => 20, concurrency => 50);
SELECT pg_temp.pass('email', '1 h');
SELECT pg_temp.take(1000);
-- what waits does not starve what is due, nor the other way round
SELECT acteon_replay_limit_set(provider => 'email');
SELECT pg_temp.make('t', 301, 400, 'sms');
SELECT replayed FROM acteon_replay_bulk(provider => 'sms', max_records => 1000, canary => 'off');
SELECT pg_temp.take(40);
SELECT pg_temp.take(1000);
SELECT * FROM acteon_outbox_check();

-- tenants: only their actions, wherever they are; together with a provider's
CALL clean();
SELECT pg_temp.make(t, i, i, 'email', t) FROM generate_series(1, 5) AS i, unnest('{acme,globex,initech}'::text[]) AS t;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT acteon_replay_limit_set(tenant => 'globex', concurrency => 2);
SELECT pg_temp.take(7);
SELECT pg_temp.take();
SELECT * FROM pg_temp.limits;
SELECT count(*) AS segments, sum(last_id - first_id + 1) AS actions, parked, by_tenant FROM pg_temp.segments GROUP BY 3, 4 ORDER BY 3, 4;
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 12);
SELECT acteon_replay_limit_set(tenant => 'globex');
SELECT pg_temp.take();
SELECT pg_temp.answer('email', 100);
SELECT pg_temp.take();
SELECT * FROM acteon_outbox_check();

-- lanes keep their order across providers: what is held holds what comes behind it
CALL clean();
SELECT pg_temp.make('l1-', 1, 2, 'email', 'acme', 'A'), pg_temp.make('l2-', 3, 4, 'sms', 'acme', 'A'), pg_temp.make('l3-', 5, 5, 'email', 'acme', 'A');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT first_id, last_id, provider FROM pg_temp.segments;
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 0);
SELECT pg_temp.take(), pg_temp.take();
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 1);
SELECT pg_temp.take(), pg_temp.answer('email', 1), pg_temp.take(), pg_temp.answer('email', 1), pg_temp.take(), pg_temp.answer('sms', 1), pg_temp.take();
-- … and is parked with what comes behind it, so that no claim meets that again
CALL clean();
SELECT pg_temp.make('l', 1, 1, 'email', 'acme', 'A');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.make('l', 2, 2, 'email', 'acme', 'A');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 0);
SELECT pg_temp.take();
SELECT held FROM pg_temp.limits;
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 5);
SELECT pg_temp.take(), pg_temp.answer('email', 1), pg_temp.take();

-- segments of version 1.0, for several providers, are cut when they are met
CALL clean();
SELECT pg_temp.make('o' || p, 1, 3, p) FROM unnest('{email,sms}'::text[]) AS p;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
DELETE FROM acteon_dispatch_segment WHERE first_id > 1;
UPDATE acteon_dispatch_segment SET last_id = 6, provider = NULL;
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 1);
SELECT pg_temp.take();
SELECT * FROM pg_temp.segments;
SELECT * FROM acteon_outbox_check();

-- pause, resume, cancel: what waits for a limit is like anything that waits
CALL clean();
SELECT pg_temp.make('p', 1, 250, 'email');
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 250, canary => 'off') \gset
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 0);
SELECT pg_temp.take();
SELECT held FROM pg_temp.limits;
SELECT state, waiting FROM acteon_replay_pause(:batch_id);
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 10);
SELECT pg_temp.take();
SELECT held FROM pg_temp.limits;
SELECT state, waiting FROM acteon_replay_resume(:batch_id);
SELECT pg_temp.take();
SELECT held FROM pg_temp.limits;
SELECT state, waiting, due, scheduled FROM acteon_outbox_stats, acteon_replay_batches;
SELECT state, waiting, in_flight, cancelled FROM acteon_replay_cancel(:batch_id);
SELECT held, in_flight FROM pg_temp.limits;
SELECT * FROM acteon_outbox_check();

-- a batch with a rate goes on at its rate when a limit is removed
CALL clean();
SELECT pg_temp.make('q', 1, 100, 'email');
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 100, rate => 10) \gset
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 0);
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s';
SELECT pg_temp.take();
SELECT held FROM pg_temp.limits;
SELECT acteon_replay_limit_set(provider => 'email');
SELECT pg_temp.take();
SELECT count(*), max(due_at) - min(due_at) AS over FROM acteon_dispatch_segment;
SELECT held FROM pg_temp.limits;

-- a circuit breaker: of two providers of one batch one fails; the other goes on, and the batch
CALL clean();
SELECT pg_temp.make('f', 1, 400, 'email'), pg_temp.make('g', 1, 400, 'sms');
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 800, canary => 'off') \gset
SELECT pg_temp.take(200);
SELECT pg_temp.answer('email', 25, '{"Failed": {"code": "x"}}'), pg_temp.answer('sms', 20);
SELECT * FROM pg_temp.limits;
SELECT pg_temp.answer('email', 1, '{"Failed": {"code": "x"}}');
SELECT * FROM pg_temp.limits;
SELECT opened_at IS NOT NULL AS opened, retry_at - opened_at AS first_trial, open_reason FROM acteon_replay_limits;
SELECT state, stop_reason, breaker FROM acteon_replay_batches;
SELECT pg_temp.answer('email', 100, '{"Failed": {"code": "x"}}'), pg_temp.answer('sms', 100);
SELECT state, stop_reason, breaker FROM acteon_replay_batches;
SELECT pg_temp.take(250);
SELECT * FROM pg_temp.limits;
-- a trial that fails: one action, and twice the time; none before
SELECT pg_temp.take(1000);
SELECT pg_temp.pass('email', '31 s');
SELECT pg_temp.take(1000), pg_temp.take(1000);
SELECT name, in_flight, breaker FROM acteon_replay_limits;
SELECT pg_temp.answer('email', 1, '{"Failed": {"code": "x"}}');
SELECT name, opened_at IS NOT NULL AS open, backoff, retry_at > now() AS later FROM acteon_replay_limit;
SELECT pg_temp.take(1000);
-- a trial is out as long as it is leased; when the lease of a consumer that has died ends, another one can follow
SELECT pg_temp.pass('email', '61 s');
SELECT pg_temp.take(1000), pg_temp.take(1000);
SELECT pg_temp.pass('email', '2 h');
SELECT pg_temp.take(1000);
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE first_id = (SELECT trial_id FROM acteon_replay_limit WHERE name = 'email');
SELECT pg_temp.take(1000);
SELECT pg_temp.pass('email', '2 s');
SELECT pg_temp.take(1000), pg_temp.take(1000);
-- one that was given back tells nothing: the next can follow at once
SELECT given_back FROM acteon_dispatch_segment AS s, acteon_replay_limit AS l,
	acteon_outbox_nack(ARRAY[l.trial_id], ARRAY[s.lease_token], '{NULL}', '{1 h}') WHERE s.first_id = l.trial_id;
SELECT name, breaker FROM acteon_replay_limits;
SELECT pg_temp.pass('email', '2 s');
SELECT pg_temp.take(1000);
-- one in doubt has failed
SELECT acteon_outbox_doubt(ARRAY[l.trial_id], ARRAY[s.lease_token], '{timeout}') FROM acteon_dispatch_segment AS s, acteon_replay_limit AS l WHERE s.first_id = l.trial_id;
SELECT name, opened_at IS NOT NULL AS open, backoff, retry_at > now() AS later FROM acteon_replay_limit;
-- a trial that takes effect closes it
SELECT pg_temp.pass('email', '10 min');
SELECT pg_temp.take(1000);
SELECT pg_temp.answer('email', 1000);
SELECT * FROM pg_temp.limits;
SELECT pg_temp.take(1000);
SELECT state, stop_reason FROM acteon_replay_batches;
-- what failed before it closed counts neither for it nor for the batch
SELECT pg_temp.answer('email', 25, '{"Failed": {"code": "x"}}');
SELECT name, breaker FROM acteon_replay_limits;
SELECT stop_reason, breaker FROM acteon_replay_batches;
SELECT pg_temp.answer('email', 1, '{"Failed": {"code": "x"}}');
SELECT name, breaker FROM acteon_replay_limits;
-- by hand
SELECT acteon_replay_breaker_close('email', 'repaired'), acteon_replay_breaker_close('sms', 'was never open');
SELECT name, breaker, retry_at FROM acteon_replay_limits;
SELECT event, batch_id, reason, details FROM acteon_replay_log WHERE event <> 'start' ORDER BY id;
SELECT * FROM acteon_outbox_check();

-- a window and a share of its own; what the gateway rejects, and batches without a circuit breaker, do not count
CALL clean();
SELECT pg_temp.make('h', 1, 100, 'email'), pg_temp.make('i', 101, 200, 'email');
SELECT batch_id FROM acteon_replay_bulk(to_time => '2026-01-01 12:01:40+00', max_records => 100) \gset
SELECT replayed FROM acteon_replay_bulk(from_time => '2026-01-01 12:01:41+00', max_records => 100, breaker_window => 0);
SELECT acteon_replay_limit_set(provider => 'email', breaker_window => 4, breaker_share => 0.25);
SELECT pg_temp.take(200);
SELECT sum(acteon_outbox_reject(ARRAY[id], ARRAY[lease_token], '{bad}')) FROM acteon_dispatch_segment AS s, generate_series(first_id, first_id + 9) AS id WHERE s.batch_id = :batch_id;
SELECT sum(acteon_outbox_ack(ARRAY[id], ARRAY[lease_token], '{"\"CircuitOpen\""}')) FROM acteon_dispatch_segment AS s, generate_series(first_id, first_id + 9) AS id WHERE s.batch_id > :batch_id;
SELECT name, breaker FROM acteon_replay_limits;
SELECT pg_temp.answer('email', 2, '{"Failed": {"code": "x"}}');
SELECT name, breaker, open_reason FROM acteon_replay_limits;
-- the limit is changed, and its circuit breaker stays as it is
SELECT acteon_replay_limit_set(provider => 'email', rate => 5);
SELECT name, rate, breaker FROM acteon_replay_limits;
SELECT breaker_window, breaker_share FROM acteon_replay_limit;

-- who may
CREATE ROLE regress_acteon_limits_admin;
CREATE ROLE regress_acteon_limits_operator;
CREATE ROLE regress_acteon_limits_gateway;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
	('regress_acteon_limits_admin', 'admin', '{*}', '{*}', '{email}', '{*}'),
	('regress_acteon_limits_admin', 'admin', '{acme}', '{*}', '{*}', '{*}'),
	('regress_acteon_limits_admin', 'admin', '{globex}', '{prod}', '{*}', '{*}'),
	('regress_acteon_limits_operator', 'operator', '{*}', '{*}', '{*}', '{*}'),
	('regress_acteon_limits_gateway', 'gateway', '{*}', '{*}', '{*}', '{*}');
SELECT acteon_replay_limit_set(tenant => 'initech', concurrency => 3);
SET ROLE regress_acteon_limits_admin;
SELECT attempt($$SELECT acteon_replay_limit_set(provider => 'email', rate => 3)$$);
SELECT attempt($$SELECT acteon_replay_limit_set(provider => 'sms', rate => 3)$$);
SELECT attempt($$SELECT acteon_replay_limit_set(tenant => 'acme', concurrency => 3)$$);
SELECT attempt($$SELECT acteon_replay_limit_set(tenant => 'globex', concurrency => 3)$$);
SELECT attempt($$SELECT acteon_replay_breaker_close('email')$$);
SELECT attempt($$SELECT acteon_replay_breaker_close('sms')$$);
SELECT kind, name FROM acteon_replay_limits;
SELECT attempt('SELECT count(*) FROM acteon_replay_limit');
SET ROLE regress_acteon_limits_operator;
SELECT attempt($$SELECT acteon_replay_limit_set(provider => 'email', rate => 3)$$);
SELECT kind, name FROM acteon_replay_limits;
SET ROLE regress_acteon_limits_gateway;
SELECT attempt($$SELECT acteon_replay_limit_set(provider => 'email', rate => 3)$$);
SELECT kind, name FROM acteon_replay_limits;
RESET ROLE;
SELECT event, details FROM acteon_replay_log WHERE role_name = 'regress_acteon_limits_admin' ORDER BY id;
DELETE FROM acteon_grants WHERE grantee::text LIKE 'regress_acteon_limits%';
DROP ROLE regress_acteon_limits_admin, regress_acteon_limits_operator, regress_acteon_limits_gateway;

-- one that is turned off does not stay open
UPDATE acteon_replay_limit SET opened_at = now(), retry_at = now(), open_reason = 'x' WHERE name = 'email';
SELECT acteon_replay_limit_set(provider => 'email', breaker_window => 0);
SELECT name, breaker, opened_at FROM acteon_replay_limits;
SELECT event, details FROM acteon_replay_log WHERE event = 'breaker_close';

-- a claim cuts segments of several tenants no further than it needs, about; the next one goes on
CALL clean();
SELECT sum(pg_temp.make(t, i, i, 'email', t)) FROM generate_series(1, 1000) AS i, unnest('{acme,globex}'::text[]) AS t;
SELECT b.replayed FROM generate_series(1, 2) AS n, LATERAL acteon_replay_bulk(from_time => '2000-01-01'::timestamptz + n * interval '1 s', max_records => 1000, canary => 'off', include_replayed => n < 0) AS b;
SELECT acteon_replay_limit_set(tenant => 'acme', concurrency => 0);
SELECT pg_temp.take(10);
SELECT count(*) FILTER (WHERE last_id > first_id) > 0 AS some_are_whole FROM pg_temp.segments;

-- … after two turns, and what it meets behind them is looked up all the same
CALL clean();
SELECT sum(pg_temp.make(t, i, i, 'email', t)) FROM generate_series(1, 1250) AS i, unnest('{acme,globex}'::text[]) AS t;
SELECT b.replayed FROM generate_series(1, 3) AS n, LATERAL acteon_replay_bulk(from_time => '2000-01-01'::timestamptz + n * interval '1 s', max_records => 1000, canary => 'off', include_replayed => n < 0) AS b;
SELECT acteon_replay_limit_set(tenant => 'acme', concurrency => 0), acteon_replay_limit_set(tenant => 'globex', concurrency => 0);
UPDATE acteon_dispatch_segment SET due_at = now(), attempt = 1, was_claimed = true, sent_at = now(), lease_token = 1, holder = 'dead' WHERE last_id = 2500;
SELECT pg_temp.take(10);
SELECT count(*) AS segments, sum(last_id - first_id + 1) AS actions, due_at = 'infinity' AS parked, lease_token IS NOT NULL AS leased, doubt FROM acteon_dispatch_segment GROUP BY 3, 4, 5 ORDER BY 3, 4, 5;

-- what two limits hold does not go to and fro between them
CALL clean();
SELECT sum(pg_temp.make('b' || i, i, i, 'email', 'acme', 'f' || i)) FROM generate_series(1, 450) AS i;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off');
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 0);
SELECT pg_temp.take(10);
SELECT acteon_replay_limit_set(tenant => 'acme', concurrency => 0), acteon_replay_limit_set(provider => 'email', concurrency => 5);
SELECT pg_temp.take(10);
SELECT count(*) FILTER (WHERE by_tenant) AS moved FROM pg_temp.segments;

-- claims of one action take what is parked and what is due in turn
CALL clean();
SELECT pg_temp.make('v', 1, 40, 'email'), pg_temp.make('w', 1, 40, 'sms');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 80);
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 0);
SELECT pg_temp.take(1);
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 1000);
DO $$
BEGIN
	FOR i IN 1 .. 30 LOOP
		PERFORM pg_temp.take(1);
	END LOOP;
END
$$;
SELECT provider, count(*) > 1 AS some FROM acteon_dispatch_segment WHERE lease_token IS NOT NULL GROUP BY 1 ORDER BY 1;
-- … of two, one and one
SELECT DISTINCT pg_temp.take(2) FROM generate_series(1, 10);
-- … and if nothing is due, all that is parked
CALL clean();
SELECT pg_temp.make('u', 1, 1, 'email');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT pg_temp.make('u', 2, 3, 'email');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT acteon_replay_limit_set(tenant => 'acme', concurrency => 0);
SELECT pg_temp.take(2);
SELECT acteon_replay_limit_set(tenant => 'acme', concurrency => 10);
SELECT pg_temp.take(2);
-- what was parked is no place to go on from: what is due since before comes before what is due since now
CALL clean();
SELECT pg_temp.make('x', 1, 1, 'email');
SELECT success FROM acteon_replay('x1');
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 0);
SELECT pg_temp.take(1);
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 10);
SELECT pg_temp.make('x', 2, 3, 'sms');
SELECT success FROM acteon_replay('x2');
UPDATE acteon_dispatch_segment SET due_at = now() + interval '1 h' WHERE provider = 'sms';
SELECT pg_temp.take(1);
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 h' WHERE provider = 'sms';
SELECT success FROM acteon_replay('x3');
SELECT outbox_id FROM acteon_outbox_claim('one', 1);

-- a batch with a rate that a limit has held goes on at its rate also if the same claim has taken something of it before
CALL clean();
SELECT pg_temp.make('y', 1, 10, 'email'), pg_temp.make('z', 1, 10, 'sms');
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', rate => 10, canary => 'off') \gset
UPDATE acteon_dispatch_segment SET due_at = now();
SELECT acteon_replay_limit_set(provider => 'email', concurrency => 1), acteon_replay_limit_set(provider => 'sms', concurrency => 0);
SELECT pg_temp.take(), pg_temp.take(), pg_temp.answer('email', 1);
SELECT acteon_replay_limit_set(provider => 'sms', concurrency => 5);
-- It is drawn which limit comes first.
DO $$
BEGIN
	FOR i IN 1 .. 100 LOOP
		BEGIN
			EXIT WHEN pg_temp.take() <> 'nothing';
			RAISE SQLSTATE 'ZZZZZ';
		EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN NULL;
		END;
	END LOOP;
END
$$;
SELECT count(*) AS segments, sum(last_id - first_id + 1) AS actions, provider, leased, parked FROM pg_temp.segments GROUP BY 3, 4, 5 ORDER BY 3, 4, 5;
SELECT max(due_at) - min(due_at) AS over FROM acteon_dispatch_segment WHERE lease_token IS NULL;
SELECT * FROM acteon_outbox_check();

-- only what is handed out is spent
CALL clean();
SELECT pg_temp.make('j', 1, 10, 'email');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
UPDATE acteon_dispatch_outbox SET payload = '{"other": "payload"}' WHERE id % 3 = 0;
SELECT acteon_replay_limit_set(provider => 'email', rate => 100, concurrency => 8);
SELECT pg_temp.pass('email', '1 h');
SELECT pg_temp.take();
SELECT tokens FROM acteon_replay_limit;
SELECT in_flight FROM pg_temp.limits;

-- the rows stay, or what is parked would be due no more
SELECT attempt('DELETE FROM acteon_replay_limit'), attempt('SELECT acteon_replay_limit_refuse()');

-- bad input
SELECT attempt(format('SELECT acteon_replay_limit_set(%s)', arguments)) FROM unnest(array['', $$provider => 'a', tenant => 'b'$$, $$provider => 'a', rate => 0$$,
	$$provider => 'a', rate => 'NaN'$$, $$provider => 'a', concurrency => -1$$, $$tenant => 'a', breaker_window => 5$$, $$provider => 'a', breaker_window => -1$$,
	$$provider => 'a', breaker_window => 100001$$, $$provider => 'a', breaker_share => 1$$, $$provider => 'a', breaker_share => 'NaN'$$]) AS arguments;
SELECT attempt('SELECT acteon_replay_breaker_close(NULL)');
SET acteon_replay.require_reason = on;
SELECT attempt($$SELECT acteon_replay_limit_set(provider => 'a', rate => 1)$$);
RESET acteon_replay.require_reason;
BEGIN READ ONLY;
SELECT count(*) FROM acteon_replay_limits;
SELECT attempt($$SELECT acteon_replay_limit_set(provider => 'a', rate => 1)$$);
COMMIT;
CALL clean();
