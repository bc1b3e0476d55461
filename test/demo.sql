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

\echo '--- Then the hour, oldest first, 50 a second so that the provider can recover.'
\echo
\set ECHO queries
SELECT batch_id, replayed, failed, skipped, next_cursor
FROM acteon_replay_bulk(provider => 'email', outcome => 'failed',
	from_time => '2026-01-15 12:00+00', to_time => '2026-01-15 13:00+00',
	max_records => 1000, rate => 50, reason => 'INC-42: e-mail provider was down');
\set ECHO none

\echo '--- A call takes 1,000 records at the most.  A loop does the rest: each page continues where the last one ended, and is due when that is through.'
\echo
\set ECHO queries
DO $$
DECLARE
	b record;
	page text;
	start timestamptz := now() + interval '20 s';
BEGIN
	LOOP
		SELECT * INTO b FROM acteon_replay_bulk(provider => 'email', outcome => 'failed',
			from_time => '2026-01-15 12:00+00', to_time => '2026-01-15 13:00+00',
			max_records => 1000, cursor => page, rate => 50, start_at => start,
			reason => 'INC-42: e-mail provider was down');
		COMMIT;
		RAISE NOTICE 'batch %: % replayed, % failed, % skipped', b.batch_id, b.replayed, b.failed, b.skipped;
		start := start + b.replayed / 50.0 * interval '1 s';
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
