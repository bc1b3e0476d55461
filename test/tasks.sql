-- The tasks of test/practice, each with its statements.  test/t/006_demo.pl runs them, and compares what they print with
-- doc/handbook.md.  What stands behind "--- Task:" names one: test/practice lists these.
\set ON_ERROR_STOP off
\set VERBOSITY default
\pset footer off
SET timezone = 'UTC';
CREATE PROCEDURE pg_temp.wait_for_deliveries() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 1200 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM acteon_replay_batches WHERE state IN ('enqueuing', 'running', 'in doubt'));
		COMMIT;
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;
SET ROLE oncall;

\echo '--- Task: Find what was lost, by tenant and cause.'
\echo
\set ECHO all
SELECT tenant, provider, outcome, signature, records
FROM unnest('{acme,acme.eu-west,globex,initech,umbrella}'::text[]) AS tenant, acteon_replay_causes(lost => true, tenant => tenant);
\set ECHO none

\echo '--- Task: Replay the e-mails of one tenant (umbrella) of one hour, five a second.'
\echo
\set ECHO all
CALL acteon_replay_all(lost => true, tenant => 'umbrella', provider => 'email', rate => 5,
	from_time => '2026-01-15 12:00+00', to_time => '2026-01-15 13:00+00', reason => 'INC-42: e-mail provider was down');
\set ECHO none

\echo '--- Task: Schedule a replay of what the circuit breaker stopped (circuit_open) for later; then take one tenant (globex) out of the waiting batch.'
\echo
\set ECHO all
CALL acteon_replay_all(outcome => 'circuit_open', start_at => now() + interval '2 h', reason => 'INC-42: after the peak hour');
SELECT * FROM acteon_replay_cancel(2, 'INC-42: globex needs it now', tenant => 'globex');
\set ECHO none

\echo '--- Task: The template of the receipts was renamed (receipt-v1 is receipt-v2 now): replay them with the new one to staging first.'
\echo
\set ECHO all
CALL acteon_replay_all(payload => '{"template_id": "receipt-v1"}', lost => true,
	patch => '{"template_id": "receipt-v2"}', target => 'staging', reason => 'INC-44: does the new template work?');
\set ECHO none
CALL pg_temp.wait_for_deliveries();
\set ECHO all
SELECT target, relay, state, effect, patched, count(*) FROM acteon_replay_items(3) GROUP BY 1, 2, 3, 4, 5;
\set ECHO none

\echo '--- Task: Now replay them with the new template to production.'
\echo
\set ECHO all
SELECT section, matched, replayable, note FROM acteon_replay_preview(payload => '{"template_id": "receipt-v1"}', lost => true,
	patch => '{"template_id": "receipt-v2"}', sample => 1) WHERE section IN ('total', 'patch', 'sample');
CALL acteon_replay_all(payload => '{"template_id": "receipt-v1"}', lost => true,
	patch => '{"template_id": "receipt-v2"}', reason => 'INC-44: the template was renamed');
\set ECHO none

\echo '--- Task: Replay what globex lost, but not the action that makes the provider crash.'
\echo
\set ECHO all
SELECT sample_action_id, signature FROM acteon_replay_causes(lost => true, tenant => 'globex', error_like => '%crashed%');
CALL acteon_replay_all(lost => true, tenant => 'globex', exclude_ids => ARRAY['order/6130'], reason => 'INC-42: all but the one that crashes');
\set ECHO none

\echo '--- Task: Some records of that were refused. Which ones, and why?'
\echo
\set ECHO all
SELECT batch_id, refused, failures FROM acteon_replay_batches WHERE batch_id = 5;
SELECT original_action_id, tenant, error FROM acteon_replay_items(5, 'refused') LIMIT 3;
\set ECHO none

\echo '--- Task: Your shift ends: hand the waiting batch over to a colleague.'
\echo
\set ECHO all
SELECT acteon_replay_hand_over(2, 'colleague', 'INC-42: end of my shift');
SELECT batch_id, state, requested_by, handed_to, waiting, cancelled FROM acteon_replay_batches WHERE handed_to = 'colleague';
\set ECHO none

CALL pg_temp.wait_for_deliveries();
\echo '--- Task: Export what a customer (umbrella) got.'
\echo
\set ECHO all
\copy (SELECT original_action_id, new_action_id, state, effect, finished_at FROM acteon_replay_items(1, tenant => 'umbrella', effect => 'done')) TO 'umbrella.csv' CSV HEADER
\set ECHO none
\echo '$ wc -l <umbrella.csv'
\! wc -l <umbrella.csv
\echo

\echo '--- Task: Prove to an auditor who did what, and what became of it.'
\echo
\set ECHO all
SET ROLE auditor;
SELECT batch_id, target, requested_by, handed_to, reason, replayed, refused, delivered, done, query ->> 'patch' AS patch FROM acteon_replay_batches ORDER BY 1;
SELECT b.batch_id, p.verdict, p.told, p.actions FROM acteon_replay_batches AS b, acteon_replay_proof(b.batch_id) AS p WHERE target = 'production' ORDER BY 1, 3;
\set ECHO none
RESET ROLE;
