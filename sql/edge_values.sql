-- Values at the edge of what a column can hold: they are replayed, counted or refused by name, and stop nothing else.
\set VERBOSITY terse
CALL clean();

-- the ends of time
SELECT make_record('before', at => '-infinity'), make_record('after', at => 'infinity'), make_record('now'), make_record('far', at => '10000-01-01'), make_record('early', at => '4000-01-01 BC');
SELECT section, item, matched, replayable FROM acteon_replay_preview(outcome => 'failed') WHERE section IN ('total', 'left out', 'sample');
SELECT p ->> 'matched' AS matched, p ->> 'oldest' AS oldest, p -> 'left_out' AS left_out, (p -> 'query') - 'to'::text AS query, p #> '{sample,0,dispatched_at}' AS first FROM acteon_replay_preview('{"outcome": "failed", "allow_redacted": true}'::jsonb) AS p;
SELECT acteon_replay_bulk((SELECT p -> 'query' FROM acteon_replay_preview('{"outcome": "failed"}'::jsonb) AS p)) - 'results' - 'batch_id' AS as_previewed;
CALL clean();
-- … in bulk, in their order, a page at a time, in both directions
SELECT make_record('before', at => '-infinity'), make_record('after', at => 'infinity'), make_record('now'), make_record('before 2', at => '-infinity'), make_record('after 2', at => 'infinity');
CREATE FUNCTION pages(page integer, newest boolean) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	r record;
	next_page text;
BEGIN
	LOOP
		SELECT * INTO r FROM acteon_replay_bulk(outcome => 'failed', max_records => page, include_replayed => true, max_generation => 100, newest_first => newest, cursor => next_page);
		RETURN NEXT (SELECT string_agg(i ->> 'original_action_id', ', ' ORDER BY n) FROM jsonb_array_elements(r.results) WITH ORDINALITY AS i (i, n));
		EXIT WHEN r.next_cursor IS NULL;
		next_page := r.next_cursor;
	END LOOP;
END
$$;
SELECT pages(2, false);
SELECT pages(2, true);
CALL acteon_replay_all(outcome => 'failed', include_replayed => true, max_generation => 100, chunk => 1, batch_id => NULL, replayed => NULL, failed => NULL, skipped => NULL);
SELECT success FROM acteon_replay('before');
SELECT success FROM acteon_replay('after');
SELECT matched, replayable, note FROM acteon_replay_preview(lost => true, include_replayed => true, max_generation => 100) WHERE section = 'total';
SELECT replayed, failed FROM acteon_replay_bulk(lost => true, include_replayed => true, max_generation => 100);
CALL clean();
-- … an intent is not old, and the table not alive, because of a record at the end of time; nor has it records from then because of one at the beginning
SELECT make_record('intent', outcome => 'pending', at => now()), make_record('later', outcome => 'executed', at => now()), make_record('after', outcome => 'executed', at => 'infinity'), make_record('endless', outcome => 'pending', at => 'infinity');
SELECT section, item, matched FROM acteon_replay_preview(outcome => 'pending', allow_unproven => true) WHERE section IN ('total', 'left out');
SELECT replayed FROM acteon_replay_bulk(outcome => 'pending', allow_unproven => true, allow_partial => true);
SELECT success FROM acteon_replay('intent', allow_unproven => true, allow_partial => true);
SELECT success FROM acteon_replay('endless', allow_unproven => true, allow_partial => true);
SELECT acteon_outbox_audit_tells(now() - interval '1 h', now() + interval '1 h');
DELETE FROM acteon_audit WHERE isfinite(dispatched_at);
SELECT make_record('before', outcome => 'executed', at => '-infinity'), make_record('later', outcome => 'executed', at => now() + interval '2 h');
SELECT acteon_outbox_audit_tells(now() - interval '1 h', now() + interval '1 h');
CALL clean();
-- … and where an index by time alone is asked, or none
DROP INDEX acteon_audit_outcome_idx;
SELECT make_record('later', outcome => 'executed', at => now()), make_record('after', outcome => 'executed', at => 'infinity');
SELECT acteon_outbox_audit_tells(now() - interval '1 h', now() + interval '1 h');
CREATE INDEX acteon_audit_outcome_idx ON acteon_audit (outcome, dispatched_at DESC);
-- … what became of an action with such a record
SELECT make_record('a', at => now() - interval '1 h');
SELECT batch_id AS batch FROM acteon_replay_bulk(outcome => 'failed') \gset
SELECT count(*) FROM acteon_outbox_claim('c');
SELECT count(make_record(action_id::text, outcome => 'executed', details => '{"status": "Success"}', at => 'infinity')) FROM acteon_dispatch_outbox;
SELECT verdict, p.record_ids IS NOT NULL AS records FROM acteon_replay_proof_items(:batch) AS p;
SELECT item, replayable FROM acteon_replay_preview(outcome => 'failed', include_replayed => true, max_generation => 100) WHERE section = 'beware';
CALL clean();

-- ids that are not unique, or missing: on a table without the gateway's primary key
ALTER TABLE acteon_audit DROP CONSTRAINT acteon_audit_pkey, ALTER id DROP NOT NULL, ALTER dispatched_at DROP NOT NULL;
SELECT make_record('a' || i, id => 'same') FROM generate_series(1, 5) AS i;
SELECT make_record('b' || i, id => 'same', at => '2026-01-01 13:00+00') FROM generate_series(1, 3) AS i;
SELECT pages(2, false);
SELECT pages(3, true);
SELECT pages(1, false);
CALL acteon_replay_all(outcome => 'failed', include_replayed => true, max_generation => 100, chunk => 2, batch_id => NULL, replayed => NULL, failed => NULL, skipped => NULL);
SELECT matched, replayed, failed, skipped FROM acteon_replay_batch ORDER BY id DESC LIMIT 1;
SELECT count(DISTINCT original_action_id) FROM acteon_dispatch_outbox WHERE batch_id = (SELECT max(id) FROM acteon_replay_batch);
-- … also when one is deleted before it is its turn
SELECT next_cursor AS cursor FROM acteon_replay_bulk(outcome => 'failed', max_records => 3, include_replayed => true, max_generation => 100) \gset
DELETE FROM acteon_audit WHERE action_id = 'a5';
SELECT string_agg(i ->> 'original_action_id', ', ' ORDER BY n) FROM acteon_replay_bulk(outcome => 'failed', max_records => 3, include_replayed => true, max_generation => 100, cursor => :'cursor') AS r, jsonb_array_elements(r.results) WITH ORDINALITY AS i (i, n);
SELECT attempt(format('SELECT acteon_replay_bulk(outcome => ''failed'', cursor => %L)', regexp_replace(:'cursor', '\+\d+', plus))) FROM unnest('{+,+0,+x,+99999999999,+-1}'::text[]) AS plus;
CALL clean();
SELECT make_record('a'), make_record('no id'), make_record('no time'), make_record('neither'), make_record('other', outcome => 'throttled');
UPDATE acteon_audit SET id = CASE WHEN action_id IN ('no id', 'neither', 'other') THEN NULL ELSE id END, dispatched_at = CASE WHEN action_id IN ('no time', 'neither') THEN NULL ELSE dispatched_at END;
SELECT replayed, failed, skipped FROM acteon_replay_bulk(outcome => 'failed', include_replayed => true, max_generation => 100);
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', include_replayed => true, max_generation => 100, from_time => '2026-01-01');
SELECT replayed FROM acteon_replay_bulk(lost => true);
SELECT replayed FROM acteon_replay_bulk(tenant => 'acme', include_replayed => true, max_generation => 100);
CALL acteon_replay_all(outcome => 'failed,throttled', include_replayed => true, max_generation => 100, batch_id => NULL, replayed => NULL, failed => NULL, skipped => NULL);
SELECT section, item, matched FROM acteon_replay_preview(outcome => 'failed', include_replayed => true, max_generation => 100) WHERE section IN ('total', 'left out');
SELECT attempt($$SELECT acteon_replay('no id')$$);
SELECT success FROM acteon_replay('no time');
-- … the newest record is one that has a time
SELECT make_record('no time', tenant => 'globex');
SELECT success FROM acteon_replay('no time');
SELECT tenant FROM acteon_dispatch_outbox ORDER BY id DESC LIMIT 1;
CALL clean();
ALTER TABLE acteon_audit ADD PRIMARY KEY (id), ALTER dispatched_at SET NOT NULL;

-- times that timestamptz does not hold go out as the gateway wrote them, the others as they always did
SELECT make_record('nanos', metadata => '{"__starts_at": "2026-01-31T12:00:00.123456789Z", "__ends_at": "2026-01-31T14:30:00.000000001+02:00", "k": "v", "zzzzzzzzzzzzzzzzzzzzz": "last", "__other": "dropped"}'),
	make_record('micros', metadata => '{"__starts_at": "2026-01-31T12:00:00.123456000Z", "__ends_at": "2026-01-31T14:30:00+02:00", "k": "v"}'),
	make_record('leap', metadata => '{"__starts_at": "2016-12-31T23:59:60Z", "__ends_at": "9999-12-31T23:59:60Z"}'),
	make_record('offset', metadata => '{"__starts_at": "0001-01-01T00:00:00+01:00", "__ends_at": "9999-12-31T23:59:59-01:00"}'),
	make_record('wrong', metadata => '{"__starts_at": "10000-01-01T00:00:00Z", "__ends_at": 5, "k": "v"}');
SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', allow_ended => true);
SELECT regexp_replace(action::text, '^.*"metadata": (.*), "dedup_key".*("starts_at".*), "created_at".*$', '\1 \2') AS action FROM acteon_outbox_claim('c') ORDER BY outbox_id;
CALL clean();

-- what is logged does not depend on how the session shows values
SET IntervalStyle = iso_8601;
SELECT acteon_outbox_purge('90 days 01:30:00');
SET IntervalStyle = sql_standard;
SELECT acteon_outbox_purge('90 days 01:30:00');
SET IntervalStyle = postgres_verbose;
SELECT acteon_outbox_purge('90 days 01:30:00');
RESET IntervalStyle;
SELECT details FROM acteon_replay_log ORDER BY id;
CALL clean();

-- an action of few bytes whose JSON is too long does not stop the others: it ends dead
SELECT make_record('before', at => '2026-01-01 12:00+00'), make_record('digits', at => '2026-01-01 12:01+00', payload => (SELECT jsonb_agg('1e100000'::numeric) FROM generate_series(1, 11000))),
	make_record('behind', at => '2026-01-01 12:02+00');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT outbox_id, attempt FROM acteon_outbox_claim('d', 2);
SELECT first_id, last_id, attempt, holder FROM acteon_dispatch_segment ORDER BY first_id;
-- (PostgreSQL 18 says it in other words)
SELECT outbox_id, attempts, state, regexp_replace(error, 'string buffer exceeds .*', 'out of memory') AS error FROM acteon_dispatch_delivery;
SELECT violation, outbox_id, regexp_replace(detail, 'string buffer exceeds .*', 'out of memory') AS detail FROM acteon_outbox_check();
CALL clean();
DROP FUNCTION pages;
