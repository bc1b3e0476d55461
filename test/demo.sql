\set ON_ERROR_STOP off
\set VERBOSITY default
\pset footer off
SET timezone = 'UTC';

\echo '--- What has happened?  The e-mail provider was down from 12:00 to 13:00, and a rule was too strict.'
\echo
\set ECHO all
SELECT provider, outcome, matched_rule, count(*), min(dispatched_at)::time(0) AS first, max(dispatched_at)::time(0) AS last
FROM acteon_audit WHERE outcome <> 'executed' GROUP BY 1, 2, 3 ORDER BY 4 DESC;
\set ECHO none

\echo '--- We are on call: operators for e-mail and Slack, for all tenants.  What can we do?'
\echo
\set ECHO all
SET ROLE oncall;
SELECT topic, why, statement FROM acteon_replay_help() \gx
\set ECHO none

\echo '--- Why was it lost?  And what would a replay of that hour do?  Most of what was lost did not get past the gateway''s circuit breaker and is not called failed; lost => true finds all of it.'
\echo
\set ECHO all
SELECT provider, outcome, signature, records, tenants, some_tenants FROM acteon_replay_causes(lost => true);
SELECT * FROM acteon_replay_preview(lost => true, provider => 'email',
	from_time => '2026-01-15 12:00+00', to_time => '2026-01-15 13:00+00', rate => 500, sample => 2) WHERE section <> 'plan';
\set ECHO none

\echo '--- The plan of it: what was shown is what runs, or nothing.'
\echo
\set ECHO all
SELECT note AS plan FROM acteon_replay_preview(lost => true, provider => 'email',
	from_time => '2026-01-15 12:00+00', to_time => '2026-01-15 13:00+00', rate => 500) WHERE section = 'plan' \gset
\set ECHO none
\echo

\echo '--- One action first, to see that it works.'
\echo
\set ECHO all
SELECT * FROM acteon_replay('invoice/2026-01/8417', reason => 'INC-42: does it go out?');
\set ECHO none

\echo '--- Then all of it: oldest first, 500 a second so that the provider can recover.  But one action has been replayed meanwhile, and the plan does not hold any more.'
\echo
\set ECHO all
CALL acteon_replay_all(plan => :'plan', reason => 'INC-42: e-mail provider was down');
\set ECHO none

\echo '--- That is the one which we tried.  So, with a new plan.  It commits chunk by chunk; whatever ends it, acteon_replay_continue goes on.  It begins with a canary: 1, 2, 5, 20, … actions, and stops if their records show that they failed.'
\echo
\set ECHO all
SELECT note AS plan FROM acteon_replay_preview(lost => true, provider => 'email',
	from_time => '2026-01-15 12:00+00', to_time => '2026-01-15 13:00+00', rate => 500) WHERE section = 'plan' \gset
CALL acteon_replay_all(plan => :'plan', reason => 'INC-42: e-mail provider was down');
\set ECHO none

\echo '--- Why were some refused, and which?  Their recipients were redacted: a replay would have mailed the placeholder.'
\echo
\set ECHO all
SELECT batch_id, state, replayed, refused, skipped, passed_over, failures FROM acteon_replay_batches WHERE refused > 0;
SELECT original_action_id, tenant, error FROM acteon_replay_items(2, 'refused') LIMIT 3;
\set ECHO none

\echo '--- What has a replay is passed over, so the same call again does no harm.'
\echo
\set ECHO all
CALL acteon_replay_all(lost => true, provider => 'email',
	from_time => '2026-01-15 12:00+00', to_time => '2026-01-15 13:00+00', rate => 500, reason => 'INC-42: is anything left?');
\set ECHO none

\echo '--- The gateway crashed once in between.  An intent without an outcome is a doubt, not a loss: the action may have been executed, and nothing tells whether it had attachments.'
\echo '--- The provider was asked: it does not have this one.'
\echo
\set ECHO all
SELECT replayed, results -> 0 ->> 'original_action_id' AS original_action_id
FROM acteon_replay_bulk(outcome => 'pending', allow_unproven => true, allow_partial => true, reason => 'INC-42: cut off in the crash');
\set ECHO none

\echo '--- Now what the rule suppressed, in the form that the gateway speaks.'
\echo
\set ECHO all
SELECT acteon_replay_bulk('{"matched_rule": "quiet-hours", "outcome": "suppressed", "from": "2026-01-15T12:30:00Z",
	"limit": 1000, "canary": "off", "reason": "INC-43: rule quiet-hours was too strict"}'::jsonb) - 'results' AS answer;
\set ECHO none

\echo '--- A mistake: somebody asks for all Slack messages of acme, which did go out.  What took effect is not replayed by accident.'
\echo
\set ECHO all
CALL acteon_replay_all(provider => 'slack', tenant => 'acme', reason => 'INC-43');
\set ECHO none

\echo '--- A worse one: the same, insisting.  Nothing of it has been sent yet; it is taken back.'
\echo
\set ECHO all
CALL acteon_replay_all(provider => 'slack', tenant => 'acme', allow_effective => true, start_at => now() + interval '10 s', reason => 'INC-43');
SELECT * FROM acteon_replay_cancel(7, 'INC-43: these had gone out');
\set ECHO none

\echo '--- The support team of acme may replay for acme and below, and sees nothing else.'
\echo
\set ECHO all
SET ROLE acme_support;
SELECT tenant, provider, count(*) FROM acteon_dispatch_outbox GROUP BY 1, 2 ORDER BY 1, 2;
SELECT batch_id, state, replayed, waiting, cancelled, requested_by, reason FROM acteon_replay_batches ORDER BY 1;
SELECT * FROM acteon_replay('5b1e1d9c-0000-4000-8000-000000006126');
\set ECHO none

\echo
\echo '--- An auditor may read everything and replay nothing.'
\echo
\set ECHO all
SET ROLE auditor;
SELECT * FROM acteon_replay('invoice/2026-01/8417');
SELECT batch_id, requested_by, reason, replayed, failed, skipped, cancelled FROM acteon_replay_batches ORDER BY batch_id;
\set ECHO none

\echo '--- An action in the outbox, and where it came from.'
\echo
\set ECHO all
RESET ROLE;
SELECT action_id, tenant, action_type, payload, labels, dedup_key
FROM acteon_dispatch_outbox WHERE original_action_id = 'invoice/2026-01/8417' \gx
SELECT id, source, generation, batch_id, requested_by, reason, state FROM acteon_replay_lineage('invoice/2026-01/8417');
\set ECHO none

\echo '--- Now the relay takes them to the gateway.  Is everything in place for it?'
\echo
\echo '$ acteon-relay --check'
\! acteon-relay --check 2>&1
\echo
\echo '--- It runs until it is told to stop.  Here somebody watches; the large batch goes out at the rate that it was given.'
\echo
\echo '$ acteon-relay 2>relay.log &'
\! acteon-relay 2>"$DEMO_DIR/relay.log" & echo $! >"$DEMO_DIR/relay.pid"
\set ECHO all
SELECT pg_sleep(6) \g /dev/null
SET ROLE oncall;
SELECT batch_id, state, progress, waiting, in_flight, delivered, dead, rate, time_left, breaker FROM acteon_replay_batches WHERE batch_id = 2;
\set ECHO none

\echo '--- The provider writes that it is too much for it.  Pause; ask; go on more slowly.  (And so that this demo ends: faster again.)'
\echo
\set ECHO all
SELECT * FROM acteon_replay_pause(2, 'INC-42: provider asks to wait');
SELECT batch_id, state, waiting, in_flight, stopped_by, stop_reason FROM acteon_replay_batches WHERE batch_id = 2;
SELECT * FROM acteon_replay_set_rate(2, 50, 'INC-42: they can take 50 a second');
SELECT * FROM acteon_replay_resume(2);
SELECT pg_sleep(2) \g /dev/null
SELECT batch_id, state, progress, waiting, rate, time_left FROM acteon_replay_batches WHERE batch_id = 2;
SELECT * FROM acteon_replay_set_rate(2, 1000, 'INC-42: they are well again');
RESET ROLE;
\set ECHO none
DO $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN (SELECT depth = 0 FROM acteon_outbox_stats);
		COMMIT;
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
\echo
\echo '… and when everything is through:'
\echo
\set ECHO all
SELECT batch_id, state, progress, delivered, done, delivered_by, dead, cancelled, breaker FROM acteon_replay_batches ORDER BY 1;
SELECT depth, due, scheduled, retrying, leased, in_doubt, held, dead, delivered_1m FROM acteon_outbox_stats;
\set ECHO none
\echo '$ kill $!; cat relay.log'
\! kill "$(cat "$DEMO_DIR/relay.pid")"; while kill -0 "$(cat "$DEMO_DIR/relay.pid")" 2>/dev/null; do sleep 0.05; done; cat "$DEMO_DIR/relay.log"

\echo
\echo '--- Delivered means that its outcome is known; done, that it had its effect.  What is there to do now?  And which ones have failed again?'
\echo
\set ECHO all
SET ROLE oncall;
SELECT topic, statement FROM acteon_replay_help();
SELECT original_action_id, state, outcome -> 'Failed' ->> 'message' AS message FROM acteon_replay_items(2, 'failed') LIMIT 3;
\set ECHO none

\echo '--- The dead letters: the gateway would not take them, because a template was missing.  It is put back, and they are sent again, under new ids: the gateway may refuse the old ones.'
\echo
\! $DEMO_FIX
\set ECHO all
SELECT batch_id, provider, error, count(*) FROM acteon_dead_letters GROUP BY 1, 2, 3;
SET ROLE gateway;
SELECT * FROM acteon_outbox_redrive(provider => 'slack', reason => 'INC-44: template is back');
RESET ROLE;
\set ECHO none
\echo
\echo '$ acteon-relay --drain'
\! acteon-relay --drain 2>&1; echo "exit status $?"
\echo
\set ECHO all
SELECT state, count(*) FROM acteon_dispatch_delivery GROUP BY 1 ORDER BY 1;
\set ECHO none

\echo '--- Two days later somebody finds more lost invoices, and has no psql at hand.  acteon-replay-http answers what the gateway''s SDKs ask.'
\echo '--- It logs in as a role that may do nothing but look API keys up and become their roles; each key acts as its role.'
\echo
\set ECHO all
CREATE ROLE acteon_http LOGIN NOINHERIT;
GRANT EXECUTE ON FUNCTION acteon_api_login, acteon_api_begin, acteon_api_finish, acteon_api_housekeeping TO acteon_http;
GRANT oncall TO acteon_http;
SELECT acteon_api_key_create('laptop of the one on call', 'oncall') AS key \gset
\set ECHO none
\setenv KEY :key
INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload,
	verdict_details, outcome_details, dispatched_at, completed_at, duration_ms)
SELECT 'invoice-' || n, 'invoice/2026-01/' || n, 'prod', 'acme', 'email', 'send_email', 'allow', 'failed',
	jsonb_build_object('to', 'user' || n || '@example.com', 'subject', 'Invoice ' || n),
	'{}', '{"code": "CONNECTION", "message": "connection error: error sending request for url (https://mail.example.com/v1/send)", "attempts": 1, "retryable": true}',
	timestamptz '2026-01-15 15:00+00' + n * interval '1 s', timestamptz '2026-01-15 15:00+00' + n * interval '1 s', 40
FROM generate_series(9001, 9003) AS n;
\echo
\echo '$ acteon-replay-http --check'
\! acteon-replay-http --check 2>&1
\echo
\echo '$ acteon-replay-http 2>http.log &'
\! acteon-replay-http 2>"$DEMO_DIR/http.log" & echo $! >"$DEMO_DIR/http.pid"
\echo '$ acteon-relay 2>relay.log &'
\! acteon-relay 2>"$DEMO_DIR/relay.log" & echo $! >"$DEMO_DIR/relay.pid"
-- It listens before it is connected to the database with all that it needs.
\! i=0; until [ -s "$DEMO_DIR/port" ] && [ "$(grep -c "connected to the database" "$DEMO_DIR/http.log")" -ge 4 ] || [ $i -gt 300 ]; do sleep 0.1; i=$((i + 1)); done
\set url `echo http://127.0.0.1:$(cat "$DEMO_DIR/port")`
\setenv URL :url
\echo '$ URL=':url
\echo
\! "$DEMO_SHOW" 'curl -s "$URL/health"'
\echo '--- Without a key the answer is an error.'
\echo
\! "$DEMO_SHOW" 'curl -s -X POST "$URL/v1/audit/replay"'
\echo '--- What replay_action(id) of the SDKs sends; here it waits until the gateway has taken it.'
\echo
\! "$DEMO_SHOW" 'curl -s -X POST -H "Authorization: Bearer $KEY" "$URL/v1/audit/invoice%2F2026-01%2F9001/replay?reason=INC-45&wait=20"'
\echo '--- What would replay_audit(query) do with the others?'
\echo
\! "$DEMO_SHOW" 'curl -s -X POST -H "X-API-Key: $KEY" "$URL/v1/audit/replay?provider=email&lost=true&from=2026-01-15T15:00:00Z&to=2026-01-15T18:00:00Z&dry_run=true&sample=1"'
\echo '--- It does it, but at a time that was mistyped.  How is it going?  Pause; go on; no: cancel.'
\echo
\! "$DEMO_SHOW" 'curl -s -X POST -H "Authorization: Bearer $KEY" "$URL/v1/audit/replay?provider=email&lost=true&from=2026-01-15T15:00:00Z&to=2026-01-15T18:00:00Z&start_at=2062-01-18T20:00:00Z"'
\! "$DEMO_SHOW" 'curl -s -H "Authorization: Bearer $KEY" "$URL/v1/replay/batches?limit=1"'
SELECT max(batch_id) AS batch FROM acteon_replay_batches \gset
\setenv BATCH :batch
\! "$DEMO_SHOW" 'curl -s -X POST -H "Authorization: Bearer $KEY" "$URL/v1/replay/batches/$BATCH/pause?reason=INC-45"'
\! "$DEMO_SHOW" 'curl -s -X POST -H "Authorization: Bearer $KEY" "$URL/v1/replay/batches/$BATCH/resume"'
\! "$DEMO_SHOW" 'curl -s -X POST -H "Authorization: Bearer $KEY" "$URL/v1/replay/batches/$BATCH/cancel?reason=INC-45:+not+in+2062"'
\! "$DEMO_SHOW" 'curl -s -H "Authorization: Bearer $KEY" "$URL/v1/replay/batches/$BATCH"'
\echo '--- Again, now.  A client that does not get the answer repeats the request with the same Idempotency-Key, and nothing is done twice.'
\echo
\! "$DEMO_SHOW" 'curl -s -X POST -H "Authorization: Bearer $KEY" -H "Idempotency-Key: INC-45" "$URL/v1/audit/replay?provider=email&lost=true&from=2026-01-15T15:00:00Z&to=2026-01-15T18:00:00Z"'
\! "$DEMO_SHOW" 'curl -si -X POST -H "Authorization: Bearer $KEY" -H "Idempotency-Key: INC-45" "$URL/v1/audit/replay?provider=email&lost=true&from=2026-01-15T15:00:00Z&to=2026-01-15T18:00:00Z"'
\echo '--- What Prometheus gets, and the description of it all.'
\echo
\! "$DEMO_SHOW" 'curl -s "$URL/metrics" | grep -E "requests_total|repeated"'
\! "$DEMO_SHOW" 'curl -s "$URL/openapi.json" | grep -o "\"operationId\": \"[a-z_]*\""'
DO $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN (SELECT depth = 0 FROM acteon_outbox_stats);
		COMMIT;
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
\echo '$ kill %1 %2; tail -n 2 http.log'
\! for name in http relay; do pid=$(cat "$DEMO_DIR/$name.pid"); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.05; done; done; tail -n 2 "$DEMO_DIR/http.log"
\echo

\echo '--- Who has steered what, and what became of the first action?'
\echo
\set ECHO all
SELECT event, batch_id, role_name, reason, details FROM acteon_replay_log ORDER BY id;
SELECT id, source, generation, batch_id, requested_by, reason, state FROM acteon_replay_lineage('invoice/2026-01/8417');
\set ECHO none

\echo '--- What does the gateway''s own audit table say of the large batch, beside what the relay was told?'
\echo
\set ECHO all
SELECT * FROM acteon_replay_proof(2);
\set ECHO none

\echo '--- And the whole outbox is sound: nothing lost, nothing twice.'
\echo
\set ECHO all
SELECT * FROM acteon_outbox_check();
