\set ON_ERROR_STOP off
\set VERBOSITY default
\pset footer off
SET timezone = 'UTC';

\echo '--- What has happened?  The e-mail provider was down from 12:00 to 13:00, and a rule was too strict.'
\echo
\set ECHO queries
SELECT provider, outcome, matched_rule, count(*), min(dispatched_at)::time(0) AS first, max(dispatched_at)::time(0) AS last
FROM acteon_audit WHERE outcome <> 'executed' GROUP BY 1, 2, 3 ORDER BY 4 DESC;
\set ECHO none

\echo '--- We are on call: operators for e-mail and Slack, for all tenants.  First one action, to see that it works.'
\echo
\set ECHO queries
SET ROLE oncall;
SELECT * FROM acteon_replay('invoice/2026-01/8417', reason => 'INC-42: does it go out?');
\set ECHO none

\echo '--- Then the hour, oldest first, 500 a second so that the provider can recover.'
\echo
\set ECHO queries
SELECT batch_id, replayed, failed, skipped, next_cursor
FROM acteon_replay_bulk(provider => 'email', outcome => 'failed',
	from_time => '2026-01-15 12:00+00', to_time => '2026-01-15 13:00+00',
	max_records => 1000, rate => 500, reason => 'INC-42: e-mail provider was down');
\set ECHO none

\echo '--- A call takes 1,000 records at the most.  A loop does the rest: each page continues where the last one ended, and is due when that is through.'
\echo
\set ECHO queries
DO $$
DECLARE
	b record;
	page text;
	start timestamptz := now() + interval '2 s';
BEGIN
	LOOP
		SELECT * INTO b FROM acteon_replay_bulk(provider => 'email', outcome => 'failed',
			from_time => '2026-01-15 12:00+00', to_time => '2026-01-15 13:00+00',
			max_records => 1000, cursor => page, rate => 500, start_at => start,
			reason => 'INC-42: e-mail provider was down');
		COMMIT;
		RAISE NOTICE 'batch %: % replayed, % failed, % skipped', b.batch_id, b.replayed, b.failed, b.skipped;
		start := start + b.replayed / 500.0 * interval '1 s';
		page := b.next_cursor;
		EXIT WHEN page IS NULL;
	END LOOP;
END $$;
\set ECHO none

\echo
\echo '--- What has a replay is passed over, so the same call again does no harm: it finds only what could not be replayed.'
\echo
\set ECHO queries
SELECT batch_id, replayed, failed, skipped, next_cursor
FROM acteon_replay_bulk(provider => 'email', outcome => 'failed',
	from_time => '2026-01-15 12:00+00', to_time => '2026-01-15 13:00+00',
	max_records => 1000, reason => 'INC-42: is anything left?');
\set ECHO none

\echo '--- Why did some fail?  Their recipients were redacted: a replay would have mailed the placeholder.'
\echo
\set ECHO queries
SELECT r ->> 'error' AS error, count(*), min(r ->> 'original_action_id') AS for_example
FROM acteon_replay_bulk(provider => 'email', outcome => 'failed', max_records => 1000,
	from_time => '2026-01-15 12:00+00', to_time => '2026-01-15 13:00+00',
	reason => 'INC-42: why not?') AS b,
	jsonb_array_elements(b.results) AS r GROUP BY 1;
\set ECHO none

\echo '--- The gateway crashed once in between: an intent without an outcome is an action that it had accepted and lost.'
\echo
\set ECHO queries
SELECT replayed, results -> 0 ->> 'original_action_id' AS original_action_id
FROM acteon_replay_bulk(outcome => 'pending', reason => 'INC-42: lost in the crash');
\set ECHO none

\echo '--- Now what the rule suppressed, in the form that the gateway speaks.'
\echo
\set ECHO queries
SELECT acteon_replay_bulk('{"matched_rule": "quiet-hours", "outcome": "suppressed", "from": "2026-01-15T12:30:00Z",
	"limit": 1000, "reason": "INC-43: rule quiet-hours was too strict"}'::jsonb) - 'results' AS answer;
\set ECHO none

\echo '--- The support team of acme may replay for acme and below, and sees nothing else.'
\echo
\set ECHO queries
SET ROLE acme_support;
SELECT tenant, provider, count(*) FROM acteon_dispatch_outbox GROUP BY 1, 2 ORDER BY 1, 2;
SELECT * FROM acteon_replay('5b1e1d9c-0000-4000-8000-000000006126');
\set ECHO none

\echo
\echo '--- An auditor may read everything and replay nothing.'
\echo
\set ECHO queries
SET ROLE auditor;
SELECT * FROM acteon_replay('invoice/2026-01/8417');
SELECT id, requested_by, reason, replayed, failed, skipped FROM acteon_replay_batch ORDER BY id;
\set ECHO none

\echo '--- What stands in the outbox, and when it is due.'
\echo
\set ECHO queries
RESET ROLE;
SELECT o.provider, count(*) AS actions, min(o.id) AS first_id, max(o.id) AS last_id FROM acteon_dispatch_outbox AS o GROUP BY 1 ORDER BY 1;
SELECT batch_id, count(*) AS segments, sum(last_id - first_id + 1) AS actions, max(due_at) - min(due_at) AS spread
FROM acteon_dispatch_segment GROUP BY 1 ORDER BY 1;
SELECT action_id, tenant, action_type, payload, labels, dedup_key
FROM acteon_dispatch_outbox WHERE original_action_id = 'invoice/2026-01/8417' \gx
\set ECHO none

\echo '--- And where that action came from.'
\echo
\set ECHO queries
SELECT id, source, generation, batch_id, requested_by, reason, state FROM acteon_replay_lineage('invoice/2026-01/8417');
\set ECHO none

\echo '--- Now the relay takes them to the gateway.  Is everything in place for it?'
\echo
\echo '$ acteon-relay --check'
\! acteon-relay --check 2>&1
\echo
\echo '--- It runs until it is told to stop.  Here somebody watches; the batches go out at the rate that they were given.'
\echo
\echo '$ acteon-relay 2>relay.log &'
\! acteon-relay 2>"$DEMO_DIR/relay.log" & echo $! >"$DEMO_DIR/relay.pid"
\set ECHO queries
SELECT pg_sleep(4) \g /dev/null
SELECT depth, due, scheduled, retrying, leased, dead, delivered_1m FROM acteon_outbox_stats;
\set ECHO none
DO $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN (SELECT depth = 0 FROM acteon_outbox_stats);
		COMMIT;
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
\echo '… and when everything is through:'
\echo
\set ECHO queries
SELECT depth, due, scheduled, retrying, leased, dead, delivered_1m FROM acteon_outbox_stats;
\set ECHO none
\echo '$ kill $!; cat relay.log'
\! kill "$(cat "$DEMO_DIR/relay.pid")"; while kill -0 "$(cat "$DEMO_DIR/relay.pid")" 2>/dev/null; do sleep 0.05; done; cat "$DEMO_DIR/relay.log"

\echo
\echo '--- What did the gateway answer?  Delivered means that it took the action; what its provider made of that stands in the outcome.'
\echo
\set ECHO queries
SELECT o.provider, d.state, coalesce((SELECT key FROM jsonb_object_keys(d.outcome) AS key), d.error) AS answer, count(*), max(d.attempts) AS attempts
FROM acteon_dispatch_delivery AS d JOIN acteon_dispatch_outbox AS o ON o.id = d.outbox_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT o.original_action_id, d.outcome -> 'Failed' ->> 'message' AS message
FROM acteon_dispatch_delivery AS d JOIN acteon_dispatch_outbox AS o ON o.id = d.outbox_id WHERE d.outcome ? 'Failed' ORDER BY 1 LIMIT 3;
\set ECHO none

\echo '--- The dead letters: the gateway would not take them, because a template was missing.  It is put back, and they are sent again, under their old ids.'
\echo
\! $DEMO_FIX
\set ECHO queries
SET ROLE gateway;
SELECT * FROM acteon_outbox_redrive(provider => 'slack');
RESET ROLE;
\set ECHO none
\echo '$ acteon-relay --drain'
\! acteon-relay --drain 2>&1; echo "exit status $?"
\echo
\set ECHO queries
SELECT state, count(*) FROM acteon_dispatch_delivery GROUP BY 1;
SELECT id, source, generation, state FROM acteon_replay_lineage('invoice/2026-01/8417');
\set ECHO none

\echo '--- And the whole outbox is sound: nothing lost, nothing twice.'
\echo
\set ECHO queries
SELECT * FROM acteon_outbox_check();
