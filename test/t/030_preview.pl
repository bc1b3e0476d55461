# A preview's numbers are those of the replay that follows, whatever the data:
# random records, earlier replays in every state, random filters and options.
# ACTEON_SEED repeats a run, ACTEON_CASES sets how many cases there are.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $seed = $ENV{ACTEON_SEED} // int(rand(1_000_000));
my $cases = $ENV{ACTEON_CASES} // 250;
my $node = new_server('preview', streaming => 1, conf => "fsync = off\nautovacuum = off\n");

$node->safe_psql('postgres', q{
	CREATE ROLE super SUPERUSER;
	CREATE ROLE everything;
	CREATE ROLE acme;
	CREATE ROLE mail;
	CREATE ROLE mixed;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('everything', 'admin', '{*}', '{*}', '{*}', '{*}'), ('acme', 'operator', '{acme}', '{*}', '{*}', '{*}'),
		('mail', 'operator', '{*}', '{prod}', '{email}', '{*}'), ('mail', 'viewer', '{*}', '{*}', '{*}', '{page}'),
		('mixed', 'operator', '{acme.eu,globex}', '{prod,dev}', '{sms,push}', '{send}'), ('mixed', 'operator', '{acme}', '{dev}', '{*}', '{*}');

	-- One of the values.
	CREATE FUNCTION one_of(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
		SELECT choices[1 + floor(random() * cardinality(choices))::integer]
	$$;
	CREATE FUNCTION one_of(VARIADIC choices integer[]) RETURNS integer LANGUAGE sql VOLATILE AS $$
		SELECT choices[1 + floor(random() * cardinality(choices))::integer]
	$$;
	CREATE FUNCTION chance(share float) RETURNS boolean LANGUAGE sql VOLATILE AS 'SELECT random() < share';

	-- Records: several tenants and namespaces, often the same action, all that a payload can be.
	CREATE PROCEDURE make_records(wanted integer, prefix text) LANGUAGE sql AS $$
		INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload,
			verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms, attachment_metadata, chain_id)
		SELECT prefix || md5(n || ' ' || random()), 'action-' || floor(random() * wanted * 0.8),
			one_of('prod', 'prod', 'dev'), one_of('acme', 'acme', 'acme.eu', 'acme-corp', 'globex'), one_of('email', 'email', 'sms', 'push'),
			one_of('send', 'send', 'send', 'page', 'page', CASE WHEN chance(0.3) THEN 'group_notification' ELSE 'page' END), 'allow', one_of('failed', 'failed', 'failed', 'executed', 'executed', 'suppressed', 'pending', 'circuit_open', 'circuit_open', 'throttled', one_of('scheduled', 'deduplicated', 'chain_step_failed', 'rerouted')),
			CASE WHEN chance(0.08) THEN NULL WHEN chance(0.08) THEN '{"to": {"card": "[REDACTED]"}}' WHEN chance(0.05) THEN '"ENC[AES256-GCM,data:x]"'
				WHEN chance(0.05) THEN jsonb_build_object('text', (SELECT string_agg(md5(n || ' ' || i), '') FROM generate_series(1, 200) AS i), 'card', one_of('[REDACTED]', 'none'))
				ELSE '{"to": "a@example.com"}' END,
			'{}', one_of('{}', '{"status": "Success"}', '{"status": "Failure"}', '{"code": "CONFIGURATION", "attempts": 1}')::jsonb,
			CASE WHEN chance(0.2) THEN jsonb_build_object('__dedup_key', 'key-' || floor(random() * 9)) ELSE '{}' END
				|| CASE WHEN chance(0.08) THEN '{"replayed_from": "somewhere else"}'::jsonb ELSE '{}' END,
			CASE WHEN chance(0.1) THEN now() - interval '1 min' ELSE timestamptz '2026-01-01 12:00+00' + floor(random() * wanted) * interval '1 s' END, now(), 1,
			CASE WHEN chance(0.08) THEN '[{"id": "a1", "name": "bill.pdf"}]'::jsonb ELSE '[]' END, CASE WHEN chance(0.1) THEN 'c' END
		FROM generate_series(1, wanted) AS n
	$$;

	-- Random arguments of a replay.
	CREATE FUNCTION random_query() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
		SELECT q || CASE WHEN q ->> 'outcome' ~ 'pending' THEN '{"allow_unproven": true}' ELSE '{}' END::jsonb
			|| CASE WHEN q ->> 'outcome' = 'executed' THEN '{"allow_effective": true}' ELSE '{}' END::jsonb
		FROM (SELECT floor(random() * 10) AS what) AS r, LATERAL (SELECT jsonb_strip_nulls(jsonb_build_object(
			'namespace', CASE WHEN chance(0.2) THEN one_of('prod', 'dev') END,
			'tenant', CASE WHEN chance(0.3) THEN one_of('acme', 'acme.eu', 'globex') END,
			'provider', CASE WHEN chance(0.2) THEN one_of('email', 'sms') END,
			'action_type', CASE WHEN chance(0.1) THEN one_of('send', 'page') END,
			'outcome', CASE WHEN what < 4 THEN one_of('failed', 'failed', 'executed,suppressed', 'pending', 'pending', 'circuit_open,failed', 'failed,pending,throttled', 'executed') END,
			'lost', CASE WHEN what > 7 THEN true END,
			'certain', CASE WHEN what > 7 AND chance(0.3) THEN true END,
			'allow_effective', CASE WHEN chance(0.3) THEN true END,
			'on_doubt', CASE WHEN chance(0.1) THEN one_of('hold', 'resend') END,
			'from', CASE WHEN chance(0.2) THEN to_char(timestamp '2026-01-01 12:00' + floor(random() * 30) * interval '1 s', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END,
			'to', CASE WHEN chance(0.2) THEN to_char(timestamp '2026-01-01 12:00:30' + floor(random() * 100) * interval '1 s', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END,
			'limit', CASE WHEN chance(0.4) THEN one_of(1, 5, 20, 50, 1000) END,
			'newest_first', CASE WHEN chance(0.3) THEN true END,
			'include_replayed', CASE WHEN chance(0.3) THEN true END,
			'allow_redacted', CASE WHEN chance(0.3) THEN true END,
			'allow_partial', CASE WHEN chance(0.3) THEN true END,
			'dedup', CASE WHEN chance(0.2) THEN one_of('keep', 'drop') END,
			'provider_override', CASE WHEN chance(0.15) THEN one_of('email', 'sms', 'fax') END,
			'max_generation', CASE WHEN chance(0.4) THEN one_of(1, 2, 4) END,
			'max_depth', CASE WHEN chance(0.4) THEN one_of(1, 2, 4) END,
			'verify', CASE WHEN chance(0.2) THEN one_of('required', 'required', 'off') END,
			'rate', CASE WHEN chance(0.2) THEN 20 END)) AS q) AS q
	$$;

	-- What the gateway's side makes of what is queued: some waits, some runs, some is over; and batches are stopped.
	CREATE PROCEDURE live() LANGUAGE plpgsql AS $$
	DECLARE
		ids bigint[];
		tokens bigint[];
	BEGIN
		FOR i IN 1 .. 3 LOOP
			SELECT array_agg(outbox_id), array_agg(lease_token) INTO ids, tokens FROM acteon_outbox_claim('c', floor(random() * 12)::integer + 1);
			CONTINUE WHEN ids IS NULL;
			CASE one_of('ack', 'ack', 'ack', 'reject', 'reject', 'nack', 'hold', 'doubt')
				WHEN 'ack' THEN PERFORM acteon_outbox_ack(ids, tokens, array_fill(one_of('{"Executed": {"status": "success"}}', '{"CircuitOpen": {}}', '{"CircuitOpen": {}}', '{"Failed": {}}')::jsonb, ARRAY[cardinality(ids)]));
				WHEN 'doubt' THEN PERFORM acteon_outbox_doubt(ids, tokens, array_fill('cut'::text, ARRAY[cardinality(ids)]));
				WHEN 'reject' THEN PERFORM acteon_outbox_reject(ids, tokens, array_fill('bad'::text, ARRAY[cardinality(ids)]));
				WHEN 'nack' THEN PERFORM acteon_outbox_nack(ids, tokens, array_fill('later'::text, ARRAY[cardinality(ids)]));
				ELSE NULL;
			END CASE;
		END LOOP;
		PERFORM acteon_replay_pause(id) FROM acteon_replay_batch WHERE stopped IS NULL AND chance(0.2);
		PERFORM acteon_replay_cancel(id) FROM acteon_replay_batch WHERE stopped IS DISTINCT FROM 'cancelled' AND stopped IS DISTINCT FROM 'cancelling' AND chance(0.3);
		-- what was replayed has records of its own, which fail again
		INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload,
			verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms)
		SELECT 'again-' || md5(o.id || ' ' || random()), o.action_id, o.namespace, o.tenant, o.provider, o.action_type, 'allow', one_of('failed', 'circuit_open', 'circuit_open', 'executed'),
			o.payload, '{}', '{"status": "Success"}', o.labels, timestamptz '2026-01-01 12:00+00' + floor(random() * 60) * interval '1 s', now(), 1
		FROM acteon_dispatch_outbox AS o WHERE chance(0.3);
	END
	$$;

	-- What a bulk replay raises.
	CREATE FUNCTION error_of(query jsonb) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM acteon_replay_bulk(query);
		RETURN NULL;
	EXCEPTION WHEN invalid_parameter_value THEN
		RETURN SQLERRM;
	END
	$$;

	CREATE TABLE checked (id integer, who name, query jsonb, what text, shown text, done text);
	CREATE TABLE met (what text);

	-- A random case: data, earlier replays, then a preview in both forms and the replay that it speaks of.
	CREATE PROCEDURE run_case(case_id integer) LANGUAGE plpgsql AS $$
	DECLARE
		who name := one_of('super', 'everything', 'acme', 'acme', 'mail', 'mixed');
		query jsonb;
		shown jsonb;
		answer jsonb;
		batch acteon_replay_batch;
		named record;
		stored record;
		before text;
		passed_over bigint;
	BEGIN
		TRUNCATE acteon_audit, acteon_replay_batch, acteon_replay_refused, acteon_replay_tally, acteon_dispatch_outbox, acteon_dispatch_action, acteon_dispatch_segment, acteon_dispatch_delivery;
		COMMIT;
		CALL make_records(one_of(4, 20, 60, 120), 'r-');
		-- chains, with what was changed, removed or written otherwise
		CALL make_chain('prod', 'acme');
		CALL make_chain('dev', 'acme');
		UPDATE acteon_audit SET verdict = 'deny' WHERE sequence_number IS NOT NULL AND chance(0.1);
		UPDATE acteon_audit SET record_hash = md5(id) WHERE sequence_number IS NOT NULL AND chance(0.1);
		FOR i IN 1 .. one_of(0, 1, 2, 4) LOOP
			PERFORM acteon_replay_bulk('{"from": "2000-01-01T00:00:00Z"}' || random_query() - 'outcome' || jsonb_build_object('limit', one_of(5, 20, 100)));
			COMMIT;
			CALL live();
			COMMIT;
		END LOOP;
		query := random_query();
		IF chance(0.15) THEN
			query := '{"to": "2100-01-01T00:00:00Z"}' || query;
			answer := acteon_replay_bulk(query || '{"limit": 3}');
			query := query || jsonb_strip_nulls(jsonb_build_object('cursor', answer -> 'next_cursor'));
		END IF;
		-- without a filter a replay is refused, and that of what the preview makes of it as well
		shown := acteon_replay_preview(query, 0);
		IF shown ->> 'refused' ~ 'filter' THEN
			INSERT INTO checked SELECT case_id, who, query, 'refused', shown ->> 'refused', error_of(shown -> 'query');
			query := '{"to": "2100-01-01T00:00:00Z"}' || query;
		END IF;
		COMMIT;

		SET TRANSACTION READ ONLY;
		SELECT count(*) || ' ' || coalesce(max(id), 0) INTO before FROM acteon_dispatch_outbox;
		PERFORM set_config('role', who, false);
		shown := acteon_replay_preview(query, 3);
		SELECT sum(matched) FILTER (WHERE section = 'total') AS matched, sum(replayable) FILTER (WHERE section = 'total') AS replayable,
			jsonb_object_agg(item, matched ORDER BY item) FILTER (WHERE section = 'not replayed' AND item NOT IN ('no grant covers it', 'no stored payload')
				AND item !~ '^(already|another|took effect|not lost|lost, but|a later)') AS failures,
			sum(matched) FILTER (WHERE section IN ('provider') OR item = '(not covered by your grants)') AS by_provider,
			sum(matched) FILTER (WHERE section = 'tenant') AS by_tenant,
			sum(replayable) FILTER (WHERE section = 'action type') AS replayable_by_type,
			sum(replayable) FILTER (WHERE section = 'outcome') AS replayable_by_outcome,
			jsonb_agg(item ORDER BY n) FILTER (WHERE section = 'sample') AS sample,
			max(note) FILTER (WHERE section = 'query')::jsonb AS query
		INTO named
		FROM acteon_replay_preview(namespace => query ->> 'namespace', tenant => query ->> 'tenant', provider => query ->> 'provider', action_type => query ->> 'action_type',
			outcome => query ->> 'outcome', from_time => (query ->> 'from')::timestamptz, to_time => (query ->> 'to')::timestamptz, max_records => (query ->> 'limit')::integer,
			include_replayed => (query ->> 'include_replayed')::boolean, allow_redacted => (query ->> 'allow_redacted')::boolean, newest_first => (query ->> 'newest_first')::boolean,
			cursor => query ->> 'cursor', rate => (query ->> 'rate')::numeric, allow_partial => (query ->> 'allow_partial')::boolean, dedup => query ->> 'dedup',
			provider_override => query ->> 'provider_override', max_generation => (query ->> 'max_generation')::integer, max_depth => (query ->> 'max_depth')::integer, lost => (query ->> 'lost')::boolean,
			certain => (query ->> 'certain')::boolean, allow_effective => (query ->> 'allow_effective')::boolean, allow_unproven => (query ->> 'allow_unproven')::boolean, on_doubt => query ->> 'on_doubt', verify => query ->> 'verify', sample => 3)
			WITH ORDINALITY AS p (section, item, matched, replayable, note, n);
		PERFORM set_config('role', 'none', false);
		COMMIT;
		INSERT INTO checked SELECT case_id, who, query, 'a preview writes nothing', before, count(*) || ' ' || coalesce(max(id), 0) FROM acteon_dispatch_outbox;
		COMMIT;

		PERFORM set_config('role', who, false);
		-- by the plan as well as by the query: nothing has changed
		answer := acteon_replay_bulk(CASE WHEN shown ->> 'plan' IS NOT NULL AND chance(0.5) THEN jsonb_build_object('plan', shown -> 'plan') ELSE shown -> 'query' END);
		PERFORM set_config('role', 'none', false);
		INSERT INTO met SELECT jsonb_object_keys(shown -> 'not_replayed') UNION ALL SELECT jsonb_object_keys(shown -> 'left_out') UNION ALL SELECT jsonb_object_keys(shown -> 'beware');
		SELECT * INTO batch FROM acteon_replay_batch WHERE id = (answer ->> 'batch_id')::bigint;
		SELECT coalesce(sum(value::bigint), 0) INTO passed_over FROM jsonb_each_text(shown -> 'not_replayed') WHERE key IN ('same_action', 'waiting', 'running', 'in_doubt', 'delivered', 'same_moment', 'effective', 'not_lost', 'uncertain', 'newer');
		INSERT INTO checked SELECT case_id, who, query, c.what, c.shown, c.done FROM (VALUES
			('replayable', shown ->> 'replayable', answer ->> 'replayed'),
			('failed', (SELECT coalesce(sum(value::bigint), 0)::text FROM jsonb_each_text(shown -> 'not_replayed')
				WHERE key IN ('missing', 'max_generation', 'max_depth', 'redacted', 'attachments', 'maybe_attachments', 'internal', 'chain', 'no_hash', 'hash_mismatch', 'link_broken')), answer ->> 'failed'),
			('skipped', (SELECT coalesce(sum(value::bigint), 0)::text FROM jsonb_each_text(shown -> 'not_replayed') WHERE key IN ('no_grant', 'no_payload')), answer ->> 'skipped'),
			('passed over', passed_over::text, coalesce(batch.passed_over, passed_over)::text),
			('matched', shown ->> 'matched', ((answer ->> 'replayed')::bigint + (answer ->> 'failed')::bigint + (answer ->> 'skipped')::bigint + coalesce(batch.passed_over, passed_over))::text),
			('failures', coalesce(named.failures, '{}')::text, coalesce(batch.failures, '{}')::text),
			('sample', coalesce(named.sample, '[]')::text, (SELECT coalesce(jsonb_agg(r.value -> 'original_action_id' ORDER BY n), '[]')::text FROM
				(SELECT * FROM jsonb_array_elements(answer -> 'results') WITH ORDINALITY AS r (value, n) WHERE (value -> 'success')::boolean ORDER BY n LIMIT 3) AS r)),
			('sample in both forms', coalesce(named.sample, '[]')::text, jsonb_path_query_array(shown, '$.sample[*].action_id')::text),
			('both forms: matched', named.matched::text, shown ->> 'matched'),
			('both forms: replayable', named.replayable::text, shown ->> 'replayable'),
			('both forms: query', (named.query - 'to')::text, ((shown -> 'query') - 'to' - 'cursor' || CASE WHEN query ? 'cursor' THEN jsonb_build_object('cursor', named.query -> 'cursor') ELSE '{}' END)::text),
			('by provider', coalesce(named.by_provider, 0)::text, shown ->> 'matched'),
			('by tenant', coalesce(named.by_tenant, 0)::text, shown ->> 'matched'),
			('by action type', coalesce(named.replayable_by_type, 0)::text, shown ->> 'replayable'),
			('by outcome', coalesce(named.replayable_by_outcome, 0)::text, shown ->> 'replayable')) AS c (what, shown, done);
		COMMIT;

		-- of an action and its replays one is replayed
		INSERT INTO checked SELECT case_id, who, query, 'one of a line', count(DISTINCT root)::text, count(*)::text
		FROM (SELECT o.id, (WITH RECURSIVE line (action_id, depth) AS (SELECT o.original_action_id, 0
				UNION ALL SELECT p.original_action_id, depth + 1 FROM line JOIN acteon_dispatch_outbox AS p ON p.action_id::text = line.action_id AND p.tenant = o.tenant AND p.namespace = o.namespace)
				SELECT o.tenant || o.namespace || action_id FROM line ORDER BY depth DESC LIMIT 1) AS root
			FROM acteon_dispatch_outbox AS o WHERE o.batch_id = (answer ->> 'batch_id')::bigint) AS roots
		WHERE query ? 'lost';
		COMMIT;

		-- what is there, in plain SQL
		IF NOT query ?| '{cursor,limit}' THEN
			WITH matching AS (
				SELECT *, outcome IN ('failed', 'circuit_open', 'throttled') OR outcome = 'executed' AND outcome_details ->> 'status' = 'Failure' AS is_lost,
					dispatched_at >= (SELECT max(dispatched_at) FROM acteon_audit) - interval '5 min' AS is_young
				FROM acteon_audit AS a
				WHERE namespace = coalesce(query ->> 'namespace', namespace) AND tenant = coalesce(query ->> 'tenant', tenant) AND provider = coalesce(query ->> 'provider', provider)
					AND action_type = coalesce(query ->> 'action_type', action_type) AND outcome = ANY (coalesce(string_to_array(query ->> 'outcome', ','), ARRAY[outcome]))
					AND dispatched_at >= coalesce((query ->> 'from')::timestamptz, '-infinity') AND dispatched_at <= coalesce((query ->> 'to')::timestamptz, 'infinity')),
			afterwards AS (
				SELECT a.id, count(b) FILTER (WHERE b.outcome <> 'pending') > 0 AS has_companion,
					count(b) FILTER (WHERE b.outcome NOT IN ('pending', 'failed', 'circuit_open', 'throttled') AND (b.outcome = 'executed' AND b.outcome_details ->> 'status' = 'Failure') IS NOT TRUE) > 0 AS has_other,
					max(b.dispatched_at) FILTER (WHERE b.outcome = 'pending') > max(b.dispatched_at) FILTER (WHERE b.outcome <> 'pending') AS ends_in_doubt
				FROM matching AS a LEFT JOIN acteon_audit AS b ON b.action_id = a.action_id AND b.tenant = a.tenant AND b.namespace = a.namespace AND b.dispatched_at >= a.dispatched_at
				GROUP BY a.id)
			SELECT count(*) FILTER (WHERE CASE WHEN query ? 'lost' THEN is_lost AND NOT has_other AND ends_in_doubt IS NOT TRUE
						AND NOT EXISTS (SELECT FROM matching AS b WHERE b.is_lost AND b.action_id = a.action_id AND b.tenant = a.tenant AND b.namespace = a.namespace
							AND (b.dispatched_at, b.id COLLATE "C") > (a.dispatched_at, a.id COLLATE "C"))
					WHEN outcome <> 'pending' THEN true
					ELSE query ? 'outcome' AND NOT has_companion AND NOT is_young AND chain_id IS NULL END) AS matched,
				jsonb_strip_nulls(jsonb_build_object(
					'intent', nullif(count(*) FILTER (WHERE NOT query ?| '{outcome,lost}' AND outcome = 'pending'), 0),
					'step', nullif(count(*) FILTER (WHERE query ? 'outcome' AND outcome = 'pending' AND chain_id IS NOT NULL), 0),
					'young', nullif(count(*) FILTER (WHERE query ? 'outcome' AND outcome = 'pending' AND chain_id IS NULL AND is_young), 0),
					'finished', nullif(count(*) FILTER (WHERE query ? 'outcome' AND outcome = 'pending' AND chain_id IS NULL AND has_companion AND NOT is_young), 0))) AS left_out
			INTO stored
			FROM matching AS a JOIN afterwards USING (id);
			INSERT INTO checked VALUES (case_id, who, query, 'what the filters match', shown ->> 'matched', stored.matched::text),
				(case_id, who, query, 'left out', shown ->> 'left_out', stored.left_out::text);
		END IF;
		COMMIT;
	END
	$$;

	CREATE PROCEDURE run_cases(seed integer, wanted integer) LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM setseed(seed / 1000000.0);
		FOR i IN 1 .. wanted LOOP
			CALL run_case(i);
		END LOOP;
	END
	$$;
});

note("ACTEON_SEED=$seed ACTEON_CASES=$cases");
my ($status, $out, $err) = $node->psql('postgres', "SET client_min_messages = warning; CALL run_cases($seed, $cases)");
is($status, 0, "$cases random cases ran") or diag("ACTEON_SEED=$seed: $err");
is($node->safe_psql('postgres', 'SELECT count(DISTINCT id) FROM checked'), $cases, '… all of them');
foreach my $what (split /\n/, $node->safe_psql('postgres', 'SELECT DISTINCT what FROM checked ORDER BY 1'))
{
	is($node->safe_psql('postgres', qq{
			SELECT format('case %s as %s, %s: shown %s, done %s', id, who, query, shown, done) FROM checked
			WHERE what = '$what' AND shown IS DISTINCT FROM done ORDER BY id LIMIT 3}),
		'', "shown is done: $what") or diag("ACTEON_SEED=$seed");
}

# The cases are worth something only if everything happens in them.
note($node->safe_psql('postgres', q{SELECT string_agg(what || ' ' || n, ', ' ORDER BY n) FROM (SELECT what, count(*) AS n FROM met GROUP BY 1) AS m}));
SKIP:
{
	skip('too few cases to meet everything', 1) if $cases < 200;
	is($node->safe_psql('postgres', q{SELECT string_agg(what, ' ' ORDER BY what COLLATE "C") FROM (SELECT what FROM met GROUP BY 1) AS m}),
		'attachments chain dedup_key delivered effective executed finished hash_mismatch in_doubt intent internal link_broken max_depth max_generation maybe_attachments newer no_grant no_hash no_payload redacted replayed_before running same_action sealed step uncertain unchained waiting young',
		'the cases have met everything') or diag("ACTEON_SEED=$seed");
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_outbox_check()}), '0', 'the outbox is sound');

# A preview waits for nobody: another session is replaying the same records.
$node->safe_psql('postgres', q{
	TRUNCATE acteon_audit, acteon_replay_batch, acteon_replay_refused, acteon_replay_tally, acteon_dispatch_outbox, acteon_dispatch_action, acteon_dispatch_segment, acteon_dispatch_delivery;
	SELECT count(make_record('w-' || n, at => timestamptz '2026-01-01' + n * interval '1 s')) FROM generate_series(1, 3000) AS n});
my $other = $node->background_psql('postgres');
$other->query_safe('BEGIN');
is($other->query_safe('SELECT replayed FROM acteon_replay_bulk(from_time => \'2000-01-01\', max_records => 100)'), '100', 'another session replays');
is($node->safe_psql('postgres', q{
	SET statement_timeout = '20 s';
	BEGIN READ ONLY;
	SELECT matched, replayable FROM acteon_replay_preview() WHERE section = 'total';
	SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation IS NOT NULL AND mode <> 'AccessShareLock';
	SELECT pg_current_xact_id_if_assigned() IS NULL}),
	"3000|3000\n0\nt", 'a preview does not wait for it, nor lock anything');
$other->query_safe('COMMIT');
$other->quit;
is($node->safe_psql('postgres', q{SELECT acteon_replay_preview('{}'::jsonb) #>> '{not_replayed,waiting}'}), '100', '… and sees it when it is committed');

# It works on a standby.
$node->backup('standby');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'standby', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', q{
	SET ROLE everything;
	SELECT matched, replayable FROM acteon_replay_preview() WHERE section = 'total';
	SELECT acteon_replay_preview('{"limit": 200}'::jsonb) -> 'not_replayed'}),
	qq{3000|2900\n{"waiting": 100}}, 'a preview on a standby');
$standby->stop;

# Nothing of a preview stays in the session, and memory does not follow the records.
my $session = $node->background_psql('postgres');
$session->query_safe('SELECT matched FROM acteon_replay_preview()');
my $before = $session->query_safe('SELECT sum(total_bytes) FROM pg_backend_memory_contexts');
$session->query_safe(q{DO $$BEGIN FOR i IN 1 .. 20 LOOP PERFORM acteon_replay_preview(); END LOOP; END$$});
my $after = $session->query_safe('SELECT sum(total_bytes) FROM pg_backend_memory_contexts');
cmp_ok($after, '<', $before + 1024 * 1024, 'a session that previews on and on does not grow');
$session->quit;

done_testing();
