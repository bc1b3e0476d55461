-- Parts of a batch that are steered on their own: one tenant, one provider, actions that are named.
\set VERBOSITY terse
CALL clean();
-- tenants take turns, so that segments hold actions of several
CREATE FUNCTION pg_temp.make(first integer, last integer, tenants text[] DEFAULT '{acme,globex}', providers text[] DEFAULT '{email}') RETURNS bigint LANGUAGE sql AS $$
	SELECT count(make_record('p-' || n, tenant => tenants[1 + (n - 1) % cardinality(tenants)], provider => providers[1 + (n - 1) % cardinality(providers)],
		at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s')) FROM generate_series(first, last) AS n
$$;
-- What a claim takes: how many of which tenant.
CREATE FUNCTION pg_temp.claim(actions integer DEFAULT 1000) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(tenant || ' ' || n, ', ' ORDER BY tenant), 'nothing')
	FROM (SELECT action ->> 'tenant' AS tenant, count(*) AS n FROM acteon_outbox_claim('c', actions, '1 h') GROUP BY 1) AS c
$$;
CREATE FUNCTION pg_temp.release(after interval DEFAULT '0 s') RETURNS integer LANGUAGE sql AS $$
	SELECT (acteon_outbox_nack(array_agg(id), array_agg(lease_token), array_agg(NULL::text), array_agg(after))).given_back
	FROM acteon_dispatch_segment, generate_series(first_id, last_id) AS id WHERE lease_token IS NOT NULL
$$;
CREATE FUNCTION pg_temp.items(batch bigint) RETURNS TABLE (tenant text, provider text, state text, paused boolean, n bigint) LANGUAGE sql AS $$
	SELECT tenant, provider, state, paused, count(*) FROM acteon_replay_items(batch) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
$$;
CREATE FUNCTION pg_temp.parts(batch bigint) RETURNS TABLE (part jsonb) LANGUAGE sql AS $$
	SELECT p - 'by' - 'at' - 'paced_until' FROM acteon_replay_batches, jsonb_array_elements(parts) WITH ORDINALITY AS e (p, n) WHERE batch_id = batch ORDER BY n
$$;

-- Has what waits for a time wait no longer.
CREATE FUNCTION pg_temp.due() RETURNS void LANGUAGE sql AS $$
	UPDATE acteon_dispatch_segment SET due_at = clock_timestamp() WHERE isfinite(due_at) AND due_at > clock_timestamp() AND lease_token IS NULL AND doubt IS NULL
$$;

-- one tenant is paused, the other goes on
SELECT pg_temp.make(1, 250);
SELECT batch_id, replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off') \gset
SELECT state, waiting, in_flight FROM acteon_replay_pause(:batch_id, 'acme is angry', tenant => 'acme');
SELECT state, waiting, paused FROM acteon_replay_batches WHERE batch_id = :batch_id;
SELECT * FROM pg_temp.parts(:batch_id);
SELECT p ->> 'by' = current_user AS by_me, (p ->> 'at')::timestamptz = now() OR (p ->> 'at')::timestamptz > now() - interval '1 min' AS just_now FROM acteon_replay_batches, jsonb_array_elements(parts) AS p;
SELECT * FROM pg_temp.items(:batch_id);
SELECT depth, due, paused FROM acteon_outbox_stats;
SELECT * FROM acteon_outbox_check();
SELECT pg_temp.claim();
SELECT pg_temp.claim();
-- again: there is nothing left to pause
SELECT state FROM acteon_replay_pause(:batch_id, tenant => 'acme');
SELECT pg_temp.release();
-- the whole batch is paused and resumed: the part stays
SELECT state FROM acteon_replay_pause(:batch_id);
SELECT pg_temp.claim();
SELECT state, waiting FROM acteon_replay_resume(:batch_id);
SELECT pg_temp.claim();
SELECT pg_temp.release();
-- another rate for all, and a resumption of what is not paused, wake nothing up either
SELECT state FROM acteon_replay_set_rate(:batch_id, 1000);
SELECT state FROM acteon_replay_set_rate(:batch_id, NULL);
SELECT state FROM acteon_replay_set_start(:batch_id, NULL);
SELECT pg_temp.due();
SELECT pg_temp.claim();
SELECT pg_temp.release();
SELECT state FROM acteon_replay_resume(:batch_id);
-- resumed, it goes on
SELECT state FROM acteon_replay_resume(:batch_id, 'friends again', tenant => 'acme');
SELECT paused, parts FROM acteon_replay_batches WHERE batch_id = :batch_id;
SELECT pg_temp.claim();
SELECT pg_temp.release();
-- while the batch is paused, a part is not resumed before the batch is
SELECT state FROM acteon_replay_pause(:batch_id, tenant => 'acme');
SELECT state FROM acteon_replay_pause(:batch_id);
SELECT state FROM acteon_replay_resume(:batch_id, tenant => 'acme');
SELECT pg_temp.claim();
SELECT state FROM acteon_replay_resume(:batch_id);
SELECT pg_temp.claim();
SELECT pg_temp.release();
-- all of it, with everything in it
SELECT state FROM acteon_replay_pause(:batch_id, tenant => 'acme');
SELECT state FROM acteon_replay_pause(:batch_id, action_ids => '{p-2,p-4,p-6,no-such}');
SELECT state FROM acteon_replay_pause(:batch_id);
SELECT state FROM acteon_replay_resume(:batch_id, parts => true);
SELECT details FROM acteon_replay_log WHERE event = 'resume' ORDER BY id DESC LIMIT 1;
SELECT paused, parts FROM acteon_replay_batches WHERE batch_id = :batch_id;
SELECT pg_temp.claim();
SELECT pg_temp.release();
SELECT * FROM acteon_outbox_check();
-- by their original ids, and by their new ones
SELECT array_agg(action_id::text) AS new_ids FROM acteon_dispatch_outbox WHERE original_action_id IN ('p-1', 'p-3') \gset
SELECT state FROM acteon_replay_pause(:batch_id, action_ids => :'new_ids');
SELECT attempt(format('SELECT acteon_replay_pause(%s, action_ids => ''{p-2}'', tenant => ''acme'')', :batch_id));
SELECT state FROM acteon_replay_pause(:batch_id, action_ids => '{p-2}', tenant => 'globex');
SELECT original_action_id FROM acteon_replay_items(:batch_id) WHERE paused;
SELECT pg_temp.claim();
SELECT pg_temp.release();
SELECT state FROM acteon_replay_resume(:batch_id, action_ids => '{p-1,p-2,p-3}');
SELECT count(*) FROM acteon_replay_items(:batch_id) WHERE paused;

-- what a consumer holds is completed; given back, it waits with its part
SELECT pg_temp.claim(10);
SELECT state, waiting, in_flight FROM acteon_replay_pause(:batch_id, tenant => 'acme');
SELECT acteon_outbox_ack(array[first_id], array[lease_token], array['"Executed"'::jsonb]) FROM acteon_dispatch_segment WHERE lease_token IS NOT NULL AND stopped = 'paused' ORDER BY first_id LIMIT 1;
SELECT pg_temp.release();
SELECT pg_temp.claim();
SELECT pg_temp.release();
SELECT * FROM pg_temp.items(:batch_id);
-- one whose lease runs out is looked up, and not sent again
SELECT state FROM acteon_replay_resume(:batch_id, tenant => 'acme');
SELECT state FROM acteon_replay_pause(:batch_id, tenant => 'globex');
SELECT pg_temp.claim(2);
SELECT state FROM acteon_replay_resume(:batch_id, tenant => 'globex');
SELECT state FROM acteon_replay_pause(:batch_id, tenant => 'acme');
SET acteon_replay.gateway_patience = 0;
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE lease_token IS NOT NULL;
SELECT pg_temp.claim();
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE doubt IS NOT NULL;
SELECT pg_temp.claim();
SELECT tenant, held FROM acteon_replay_items(:batch_id, 'in_doubt');
RESET acteon_replay.gateway_patience;
SELECT acteon_replay_settle(:batch_id, 'resend', 'never sent');
SELECT pg_temp.claim();
SELECT pg_temp.release();
SELECT acteon_replay_settle(:batch_id, 'cancel', 'never sent');
SELECT * FROM pg_temp.items(:batch_id);
SELECT * FROM acteon_outbox_check();

-- cancelled, its actions are free, and the others go on
SELECT state, waiting, cancelled FROM acteon_replay_cancel(:batch_id, 'wrong tenant', tenant => 'acme');
SELECT * FROM pg_temp.parts(:batch_id);
SELECT * FROM pg_temp.items(:batch_id);
SELECT state FROM acteon_replay_resume(:batch_id, tenant => 'acme');
SELECT state FROM acteon_replay_resume(:batch_id, parts => true);
SELECT * FROM pg_temp.parts(:batch_id);
SELECT replayed FROM acteon_replay_bulk(tenant => 'acme', from_time => '2000-01-01', max_records => 3, canary => 'off');
SELECT pg_temp.claim();
SELECT * FROM acteon_outbox_check();
-- what comes back of it is cancelled
CALL clean();
SELECT pg_temp.make(1, 6);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000) \gset
SELECT pg_temp.claim(2);
SELECT state, waiting, in_flight, cancelled FROM acteon_replay_cancel(:batch_id, tenant => 'acme');
SELECT * FROM pg_temp.items(:batch_id);
SELECT pg_temp.release('0 s');
SELECT * FROM pg_temp.items(:batch_id);
SELECT l.state FROM acteon_replay_lineage('p-1') AS l;
-- … everywhere, also before a claim has swept it, and it can be replayed again
SELECT waiting, in_flight, cancelled FROM acteon_replay_batches;
SELECT depth, due, paused FROM acteon_outbox_stats;
SELECT state, waiting, in_flight, cancelled FROM acteon_replay_set_rate(:batch_id, NULL);
SELECT verdict, told, actions FROM acteon_replay_proof(:batch_id);
SELECT batch_id AS again, replayed FROM acteon_replay_bulk(tenant => 'acme', from_time => '2000-01-01', max_records => 1000) \gset
SELECT * FROM acteon_outbox_check();
SELECT state, cancelled FROM acteon_replay_cancel(:again);
SELECT pg_temp.claim();
SELECT * FROM pg_temp.items(:batch_id);
SELECT * FROM acteon_outbox_check();
-- the rest of the batch ends it
SELECT acteon_outbox_ack(array_agg(id), array_agg(lease_token), array_agg('"Executed"'::jsonb)) FROM acteon_dispatch_segment, generate_series(first_id, last_id) AS id WHERE lease_token IS NOT NULL;
SELECT state, cancelled, delivered FROM acteon_replay_batches;
SELECT state FROM acteon_replay_cancel(:batch_id, tenant => 'globex');
-- given back for later, or deferred, it is swept at once all the same: neither its lane waits for that time …
CALL clean();
SELECT count(make_record('l-' || n, metadata => '{"__fingerprint": "f"}', at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s')) FROM generate_series(1, 3) AS n;
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', canary => 'off') \gset
SELECT pg_temp.claim();
SELECT state FROM acteon_replay_cancel(:batch_id, action_ids => '{l-1}');
SELECT pg_temp.release('1 h');
SELECT pg_temp.claim() AS sweeps, pg_temp.claim();
SELECT state FROM acteon_replay_cancel(:batch_id, action_ids => '{l-2}');
SELECT acteon_outbox_ack(array[first_id], array[lease_token], array['{"Throttled": {"retry_after": {"secs": 3600, "nanos": 0}}}'::jsonb]) FROM acteon_dispatch_segment WHERE lease_token IS NOT NULL;
SELECT pg_temp.claim() AS sweeps, pg_temp.claim();
SELECT waiting, in_flight, cancelled FROM acteon_replay_batches;
-- … nor the canary
CALL clean();
SELECT pg_temp.make(1, 3);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', canary => 'auto') \gset
SELECT pg_temp.claim();
SELECT state FROM acteon_replay_cancel(:batch_id, action_ids => '{p-1}');
SELECT pg_temp.release('1 h');
SELECT pg_temp.claim() AS sweeps, pg_temp.claim();
-- what is told of a batch counts what has not been swept as cancelled, too
CALL clean();
SELECT pg_temp.make(1, 6);
SELECT acteon_replay_notify_set('ops', 'slack', 'message', 'ops', 'platform', events => '{held}', reason => 'x', payload => '{"text": "{{waiting}} wait, {{in_doubt}} in doubt, {{cancelled}} cancelled"}');
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', canary => 'off', on_doubt => 'hold') \gset
SELECT pg_temp.claim(2);
SELECT state FROM acteon_replay_cancel(:batch_id, tenant => 'acme');
SELECT acteon_outbox_nack(array[1], array[lease_token], array[NULL]) FROM acteon_dispatch_segment WHERE first_id = 1;
UPDATE acteon_dispatch_segment SET due_at = now() + CASE WHEN first_id = 1 THEN interval '1 h' ELSE '-1 s' END WHERE was_claimed;
SET acteon_replay.gateway_patience = 0;
SELECT state FROM acteon_replay_pause(:batch_id);
SELECT pg_temp.claim();
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE doubt IS NOT NULL;
SELECT action #>> '{payload,text}' AS told FROM acteon_outbox_claim('c', 100);
RESET acteon_replay.gateway_patience;
SELECT acteon_replay_notify_drop('ops', 'x');
-- dead actions of a part are not redriven into what is cancelled, and wait in what is paused
CALL clean();
SELECT pg_temp.make(1, 4);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000) \gset
SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('bad'::text)) FROM acteon_outbox_claim('c', 2);
SELECT state FROM acteon_replay_cancel(:batch_id, tenant => 'acme');
SELECT state FROM acteon_replay_pause(:batch_id, tenant => 'globex');
SELECT * FROM acteon_outbox_redrive(batch_id => :batch_id);
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE doubt IS NOT NULL;
SELECT pg_temp.claim();
SELECT state FROM acteon_replay_resume(:batch_id, tenant => 'globex');
SELECT pg_temp.claim();
SELECT * FROM acteon_outbox_check();

-- a new id of an action that was sent under several
CALL clean();
SELECT pg_temp.make(1, 2);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000) \gset
SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('bad'::text)) FROM acteon_outbox_claim('c', 1000) \gset
SELECT * FROM acteon_outbox_redrive(batch_id => :batch_id);
SET acteon_replay.gateway_patience = 0;
CREATE TEMP TABLE sent AS SELECT c.*, original_action_id, o.action_id AS first_id FROM acteon_outbox_claim('c', 1000) AS c JOIN acteon_dispatch_outbox AS o ON o.id = outbox_id;
RESET acteon_replay.gateway_patience;
SELECT original_action_id, action_id <> first_id AS is_new, attempt(format('SELECT acteon_replay_pause(%s, action_ids => array[%L])', :batch_id, action_id)), attempt(format('SELECT acteon_replay_resume(%s, action_ids => array[%L])', :batch_id, first_id)) FROM sent ORDER BY 1;
-- what has ended can be named, to no effect; what the batch never had cannot
SELECT pg_temp.release();
SELECT state FROM acteon_replay_cancel(:batch_id, action_ids => '{p-1}');
SELECT state FROM acteon_replay_cancel(:batch_id, action_ids => '{p-1}');
SELECT attempt(format('SELECT acteon_replay_%s, action_ids => ''{no-such,neither}'')', c)) FROM (SELECT format(f, :batch_id) AS c FROM unnest('{pause(%s,resume(%s,cancel(%s,"set_rate(%s, 1"}'::text[]) AS f) AS c;

-- wider and narrower parts: what is listed is what holds
CALL clean();
SELECT pg_temp.make(1, 8, providers => '{email,email,sms,sms}');
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000) \gset
SELECT state FROM acteon_replay_pause(:batch_id, tenant => 'acme', provider => 'email');
SELECT state FROM acteon_replay_pause(:batch_id, tenant => 'globex', provider => 'sms');
SELECT state FROM acteon_replay_resume(:batch_id, tenant => 'acme');
SELECT * FROM pg_temp.parts(:batch_id);
SELECT state FROM acteon_replay_resume(:batch_id, provider => 'sms');
SELECT * FROM pg_temp.parts(:batch_id);
SELECT state FROM acteon_replay_pause(:batch_id, tenant => 'acme');
SELECT state FROM acteon_replay_resume(:batch_id, tenant => 'acme', provider => 'sms');
SELECT * FROM pg_temp.parts(:batch_id);
SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('bad'::text)) FROM acteon_outbox_claim('c', 100);
SELECT * FROM acteon_outbox_redrive(batch_id => :batch_id);
SELECT * FROM pg_temp.items(:batch_id);
SELECT state FROM acteon_replay_cancel(:batch_id, tenant => 'acme');
SELECT * FROM pg_temp.parts(:batch_id);

-- a rate of its own
CALL clean();
SELECT pg_temp.make(1, 200);
CREATE FUNCTION pg_temp.pace(batch bigint) RETURNS TABLE (tenant text, actions bigint, from_s numeric, to_s numeric) LANGUAGE sql AS $$
	SELECT o.tenant, count(*), round(extract(epoch FROM min(s.due_at) - clock_timestamp()), 0), round(extract(epoch FROM max(s.due_at) - clock_timestamp()), 0)
	FROM acteon_dispatch_segment AS s JOIN acteon_dispatch_outbox AS o ON o.id BETWEEN s.first_id AND s.last_id WHERE s.batch_id = batch GROUP BY 1 ORDER BY 1
$$;
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'off', rate => 10) \gset
SELECT * FROM pg_temp.pace(:batch_id);
SELECT state FROM acteon_replay_set_rate(:batch_id, 2, 'slowly', tenant => 'acme');
SELECT * FROM pg_temp.pace(:batch_id);
SELECT * FROM pg_temp.parts(:batch_id);
-- which it keeps beside another rate of the batch, through a pause, and when the batch has fallen behind
SELECT state FROM acteon_replay_set_rate(:batch_id, 50);
SELECT * FROM pg_temp.pace(:batch_id);
SELECT state FROM acteon_replay_pause(:batch_id);
SELECT state FROM acteon_replay_resume(:batch_id);
SELECT * FROM pg_temp.pace(:batch_id);
UPDATE acteon_dispatch_segment SET due_at = due_at - interval '1 h';
SELECT pg_temp.claim(1);
SELECT * FROM pg_temp.pace(:batch_id);
SELECT state FROM acteon_replay_set_rate(:batch_id, NULL);
SELECT * FROM pg_temp.pace(:batch_id);
UPDATE acteon_dispatch_segment SET due_at = due_at - interval '1 h';
SELECT pg_temp.claim(1000);
SELECT * FROM pg_temp.pace(:batch_id) WHERE tenant = 'acme';
SELECT pg_temp.release();
-- another one, and none
SELECT state FROM acteon_replay_set_rate(:batch_id, 5, tenant => 'acme');
SELECT * FROM pg_temp.pace(:batch_id) WHERE tenant = 'acme';
SELECT state FROM acteon_replay_set_rate(:batch_id, NULL, tenant => 'acme');
SELECT * FROM pg_temp.pace(:batch_id);
SELECT pg_temp.claim();
-- without a rate, nothing of it can fall behind
SELECT pg_temp.release();
UPDATE acteon_dispatch_segment SET due_at = due_at - interval '1 h';
SELECT pg_temp.claim();
SELECT event, details - 'waiting' - 'others' AS details FROM acteon_replay_log WHERE event = 'set_rate' ORDER BY id DESC LIMIT 2;
SELECT * FROM acteon_outbox_check();

-- the start, in either direction
CALL clean();
SELECT pg_temp.make(1, 20);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, rate => 10, start_at => '2100-01-01 00:00+00') \gset
SELECT state FROM acteon_replay_set_start(:batch_id, '2099-01-01 00:00+00', 'a year earlier');
SELECT start_at = '2099-01-01 00:00+00' AS moved FROM acteon_replay_batches;
SELECT min(due_at) = '2099-01-01 00:00+00' AS moved, max(due_at) - min(due_at) AS takes FROM acteon_dispatch_segment;
SELECT state FROM acteon_replay_set_start(:batch_id, '2101-01-01 00:00+00');
SELECT min(due_at) = '2101-01-01 00:00+00' AS moved FROM acteon_dispatch_segment;
SELECT state FROM acteon_replay_set_start(:batch_id, NULL);
SELECT start_at, state FROM acteon_replay_batches;
SELECT max(due_at) < now() + interval '1 min' AS now FROM acteon_dispatch_segment;
SELECT state FROM acteon_replay_set_rate(:batch_id, NULL);
SELECT pg_temp.claim(5);
SELECT state, waiting, in_flight FROM acteon_replay_set_start(:batch_id, '2100-01-01');
SELECT pg_temp.claim();
-- what comes back waits for the start, too
SELECT pg_temp.release();
SELECT pg_temp.claim();
SELECT count(*) FROM acteon_dispatch_segment WHERE due_at <> '2100-01-01';
-- when the batch has fallen behind its rate as well
SELECT state FROM acteon_replay_set_start(:batch_id, NULL);
SELECT state FROM acteon_replay_set_rate(:batch_id, 10);
SELECT pg_temp.claim(3);
SELECT state FROM acteon_replay_set_start(:batch_id, '2100-01-01');
SELECT pg_temp.release();
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 h' WHERE due_at < '2100-01-01';
SELECT pg_temp.claim();
SELECT min(due_at) >= '2100-01-01' AS later FROM acteon_dispatch_segment;
-- while it is paused, it can be moved as well
SELECT state FROM acteon_replay_set_rate(:batch_id, NULL);
SELECT state FROM acteon_replay_set_start(:batch_id, NULL);
SELECT state FROM acteon_replay_pause(:batch_id);
SELECT state FROM acteon_replay_set_start(:batch_id, '2100-01-01');
SELECT state FROM acteon_replay_resume(:batch_id);
SELECT pg_temp.claim();
SELECT state FROM acteon_replay_pause(:batch_id);
SELECT state FROM acteon_replay_set_start(:batch_id, NULL);
SELECT pg_temp.claim();
SELECT state FROM acteon_replay_resume(:batch_id);
SELECT pg_temp.claim();
SELECT attempt(format('SELECT acteon_replay_set_start(%s, %L)', :batch_id, t)) FROM unnest('{infinity,-infinity,10000-01-01 00:00+00,0001-01-01 00:00+00 BC,9999-12-31 23:59+00}'::text[]) AS t;
SELECT state, start_at = '9999-12-31 23:59+00' AS moved FROM acteon_replay_batches;
SELECT attempt('SELECT acteon_replay_set_start(4711, NULL)');
SELECT * FROM acteon_outbox_check();

-- its rate as well
CALL clean();
SELECT pg_temp.make(1, 20);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, rate => 1) \gset
SELECT state FROM acteon_replay_pause(:batch_id);
SELECT state FROM acteon_replay_set_rate(:batch_id, NULL);
SELECT pg_temp.claim();
SELECT state FROM acteon_replay_resume(:batch_id);
SELECT pg_temp.claim();

-- beside a canary: what is paused is passed by, and holds it up neither; what it has passed by goes out only behind it
CALL clean();
SELECT pg_temp.make(1, 40);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'auto') \gset
SELECT state FROM acteon_replay_pause(:batch_id, tenant => 'globex');
CREATE FUNCTION pg_temp.deliver(actions integer DEFAULT 1000) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	a record;
	n integer := 0;
BEGIN
	FOR a IN SELECT * FROM acteon_outbox_claim('c', actions) LOOP
		INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, metadata, dispatched_at, completed_at, outcome_details, verdict_details, duration_ms, caller_id, attachment_metadata)
		SELECT 'new-' || a.outbox_id, a.action_id, namespace, tenant, provider, action_type, 'allow', 'executed', '{}', now(), now(), '{"status": "success"}', '{}', 1, '', '[]'
		FROM acteon_dispatch_outbox AS o WHERE o.id = a.outbox_id;
		PERFORM acteon_outbox_ack(array[a.outbox_id], array[a.lease_token], array['{"Executed": {"status": "success"}}'::jsonb]);
		n := n + 1;
	END LOOP;
	RETURN n;
END
$$;
SELECT canary, paused FROM acteon_replay_batches;
SELECT pg_temp.deliver();
SELECT pg_temp.deliver();
SELECT canary FROM acteon_replay_batches;
SELECT attempt(format('SELECT acteon_replay_resume(%s, tenant => ''globex'')', :batch_id));
SELECT pg_temp.deliver(), pg_temp.deliver(), pg_temp.deliver(), pg_temp.deliver(), pg_temp.deliver();
SELECT canary, waiting, paused, delivered FROM acteon_replay_batches;
SELECT state FROM acteon_replay_resume(:batch_id, tenant => 'globex');
SELECT pg_temp.deliver();
SELECT canary, state, delivered FROM acteon_replay_batches;
SELECT * FROM acteon_outbox_check();

-- … with all parts cancelled it has nothing to hold back, and the batch is finished
CALL clean();
SELECT pg_temp.make(1, 40);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'auto') \gset
SELECT t, (acteon_replay_cancel(:batch_id, tenant => t)).state FROM (SELECT tenant AS t FROM acteon_dispatch_outbox GROUP BY 1 ORDER BY 1) AS tenants;
SELECT pg_temp.deliver();
SELECT canary, state, waiting, cancelled, stop_reason FROM acteon_replay_batches;
SELECT * FROM acteon_outbox_check();

-- all of the open step is paused, or cancelled: others are tried in its place
CALL clean();
SELECT pg_temp.make(1, 40);
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1000, canary => 'auto') \gset
SELECT pg_temp.claim();
SELECT pg_temp.release();
SELECT state FROM acteon_replay_pause(:batch_id, tenant => 'acme');
SELECT canary FROM acteon_replay_batches;
SELECT pg_temp.deliver(), pg_temp.deliver();
SELECT canary, state, delivered FROM acteon_replay_batches;
SELECT pg_temp.claim();
SELECT pg_temp.release();
SELECT state FROM acteon_replay_cancel(:batch_id, tenant => 'globex');
-- nothing but what is paused is left: when it is resumed, the steps go on with it
SELECT pg_temp.claim(), pg_temp.claim();
SELECT canary, state, delivered, waiting, paused FROM acteon_replay_batches;
SELECT state FROM acteon_replay_resume(:batch_id, tenant => 'acme');
SELECT n, pg_temp.deliver() AS delivered FROM generate_series(1, 6) AS n;
SELECT canary, state, delivered FROM acteon_replay_batches;
SELECT * FROM acteon_outbox_check();
-- of a part that has the rate of its batch again, what is enqueued later keeps that
CALL clean();
SELECT pg_temp.make(1, 30);
CALL acteon_replay_all(from_time => '2000-01-01', canary => 'off', rate => 1000, chunk => 6);
SELECT pg_temp.make(31, 90);
UPDATE acteon_replay_batch SET is_complete = false, query = query - 'to', cursor = NULL, matched = 90, rate = NULL;
SELECT state FROM acteon_replay_set_rate(1, 5, tenant => 'acme');
SELECT state FROM acteon_replay_set_rate(1, NULL, tenant => 'acme');
CALL acteon_replay_continue(1, 100);
UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 h';
SELECT pg_temp.claim();
SELECT * FROM acteon_outbox_check();

-- what is enqueued later keeps the rate and the start of its batch beside parts, and is not kept waiting by what they hold back
CALL clean();
SELECT pg_temp.make(1, 30);
CALL acteon_replay_all(from_time => '2000-01-01', canary => 'off', rate => 1000, chunk => 6);
SELECT pg_temp.make(31, 130);
UPDATE acteon_replay_batch SET is_complete = false, query = query - 'to', cursor = NULL, matched = 130;
SELECT state FROM acteon_replay_pause(1, tenant => 'acme');
SELECT state FROM acteon_replay_resume(1, tenant => 'acme', provider => 'email');
SELECT state FROM acteon_replay_set_rate(1, 2, tenant => 'globex');
SELECT state FROM acteon_replay_set_start(1, now() + interval '1 h');
SELECT state FROM acteon_replay_set_rate(1, 5);
CALL acteon_replay_continue(1, 10);
SELECT tenant, count(*), min(due_at) = start_at AS from_start, round(extract(epoch FROM max(due_at) - start_at), 1) AS takes_s
FROM acteon_replay_batch AS b JOIN acteon_dispatch_segment AS s ON s.batch_id = b.id JOIN acteon_dispatch_outbox AS o ON o.id BETWEEN first_id AND last_id GROUP BY tenant, start_at ORDER BY 1;
SELECT round(extract(epoch FROM paced_until - start_at), 1) AS takes_s FROM acteon_replay_batch;
CALL clean();
SELECT pg_temp.make(1, 30);
CALL acteon_replay_all(from_time => '2000-01-01', canary => 'off', rate => 1000, chunk => 6);
SELECT pg_temp.make(31, 40);
UPDATE acteon_replay_batch SET is_complete = false, query = query - 'to', cursor = NULL, matched = 40;
SELECT state FROM acteon_replay_set_rate(1, 0.6);
SELECT state FROM acteon_replay_pause(1);
SELECT state FROM acteon_replay_pause(1, action_ids => array(SELECT 'p-' || n FROM generate_series(1, 30) AS n));
SELECT state FROM acteon_replay_resume(1);
-- so that this ends at all
SET statement_timeout = '20 s';
CALL acteon_replay_continue(1, 10);
RESET statement_timeout;
SELECT replayed, is_complete FROM acteon_replay_batch;

-- what is enqueued later is of its part: a batch that was interrupted is continued
CALL clean();
SELECT pg_temp.make(1, 30);
CALL acteon_replay_all(from_time => '2000-01-01', canary => 'off', rate => 1000, chunk => 6);
SELECT pg_temp.make(31, 90, providers => '{email,email,sms,sms}');
UPDATE acteon_replay_batch SET is_complete = false, query = query - 'to', cursor = NULL, matched = 90, rate = NULL;
SELECT state FROM acteon_replay_pause(1, tenant => 'acme');
SELECT state FROM acteon_replay_resume(1, tenant => 'acme', provider => 'sms');
SELECT state FROM acteon_replay_cancel(1, tenant => 'globex', provider => 'sms');
SELECT state FROM acteon_replay_set_rate(1, 1, tenant => 'globex');
SELECT attempt('SELECT acteon_replay_pause(1, tenant => ''not yet'')');
SELECT * FROM pg_temp.parts(1);
CALL acteon_replay_continue(1, 7);
SELECT * FROM pg_temp.items(1);
SELECT o.provider, count(*), round(extract(epoch FROM max(s.due_at) - min(s.due_at)), 0) AS takes_s
FROM acteon_dispatch_segment AS s JOIN acteon_dispatch_outbox AS o ON o.id BETWEEN s.first_id AND s.last_id WHERE tenant = 'globex' GROUP BY 1;
SELECT pg_temp.claim(100);
SELECT * FROM acteon_outbox_check();

-- bad input
SELECT attempt(format('SELECT acteon_replay_%s', c)) FROM unnest(array[
	'pause(1, tenant => ''acmee'')', 'pause(1, provider => ''emial'')', 'cancel(1, tenant => ''acme'', provider => ''sms'')',
	'cancel(1, action_ids => ''{}'')', 'cancel(1, action_ids => (SELECT array_agg(action_id) FROM acteon_audit WHERE false))',
	'cancel(1, tenant => (SELECT tenant FROM acteon_audit WHERE false))', 'cancel(1, action_ids => ''{a,NULL}'')',
	'resume(1, tenant => ''acme'', parts => true)', 'set_rate(1, 0, tenant => ''acme'')', 'pause(4711, tenant => ''acme'')', 'set_rate(1, NULL, tenant => ''acmee'')']) AS c;
SELECT attempt($$SELECT acteon_replay_cancel(1, action_ids => ids) FROM (SELECT array_agg(action_id) FROM acteon_audit WHERE false) AS a (ids)$$);
SELECT attempt($$SELECT acteon_replay_cancel(1, action_ids => array_agg(action_id)) FROM acteon_audit WHERE false$$);
SELECT attempt($$SELECT acteon_replay_cancel(1, action_ids => array_agg(n)::text[]) FROM generate_series(1, 0) AS n$$);
SELECT attempt($$SELECT acteon_replay_cancel(1, action_ids => ids::text[]) FROM (SELECT array_agg(action_id::varchar) FROM acteon_audit WHERE false) AS a (ids)$$);
SELECT attempt($$SELECT acteon_replay_cancel(1, tenant => t::varchar) FROM (VALUES (NULL::name), (NULL)) AS v (t)$$);
SELECT attempt($$SELECT acteon_replay_cancel(1, tenant => (SELECT tenant::varchar FROM acteon_audit WHERE false)::text)$$);
SELECT attempt($$SELECT acteon_replay_cancel(1, provider => lower(p)) FROM (SELECT max(provider) FROM acteon_audit WHERE false) AS a (p)$$);
SELECT stopped FROM acteon_replay_batch;
SELECT * FROM pg_temp.parts(1);
-- too many parts
SELECT pg_temp.make(101, 205, tenants => (SELECT array_agg('t' || n) FROM generate_series(1, 105) AS n));
SELECT batch_id FROM acteon_replay_bulk(from_time => '2026-01-01 12:01:41+00', max_records => 1000, canary => 'off') \gset
SET client_min_messages = warning;
SELECT attempt(format('SELECT count(acteon_replay_pause(%s, tenant => ''t'' || n)) FROM generate_series(1, 101) AS n', :batch_id));
SELECT attempt(format('SELECT count(acteon_replay_pause(%s, tenant => ''t'' || n)) FROM generate_series(1, 100) AS n', :batch_id));
RESET client_min_messages;

-- the log
SELECT event, batch_id, reason, details FROM acteon_replay_log WHERE event NOT IN ('continue', 'start') ORDER BY id LIMIT 7;
CALL clean();
