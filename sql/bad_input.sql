-- Bad input: a clear error with its SQLSTATE, and nothing half done.
CALL clean();
SELECT make_record('a'), make_record('b');

-- max_records
SELECT attempt('SELECT acteon_replay_bulk(max_records => 0)');
SELECT attempt('SELECT acteon_replay_bulk(max_records => -1)');
SELECT attempt('SELECT acteon_replay_bulk(max_records => NULL)');
SELECT attempt($$SELECT acteon_replay_bulk('{"limit": 0}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"limit": -1e20}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"limit": 1.5}'::jsonb)$$);
BEGIN;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1001);
SELECT query FROM acteon_replay_batch;
ROLLBACK;
BEGIN;
SELECT acteon_replay_bulk('{"limit": 1e20, "to": "2100-01-01T00:00:00Z"}'::jsonb) -> 'replayed' AS replayed;
ROLLBACK;

-- times
SELECT attempt($$SELECT acteon_replay_bulk(from_time => '2026-01-02', to_time => '2026-01-01')$$);
SELECT attempt($$SELECT acteon_replay_bulk(from_time => '-infinity')$$);
SELECT attempt($$SELECT acteon_replay_bulk(from_time => 'infinity')$$);
SELECT attempt($$SELECT acteon_replay_bulk(to_time => 'infinity')$$);
SELECT attempt($$SELECT acteon_replay_bulk(start_at => 'infinity')$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"from": "2026-01-02T00:00:00"}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"to": "yesterday"}'::jsonb)$$);
-- an offset may lack its colon, as the gateway has it
SELECT attempt($$SELECT acteon_replay_bulk('{"from": "2026-01-02T00:00:00+0100", "to": "2026-01-01T23:00:00-00:00", "provider": "none"}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"from": "2026-01-02T00:00:00+0059", "to": "2026-01-01T23:00:00-0000", "provider": "none"}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"from": "2026-01-02T00:00:00+01"}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"from": "2026-01-02T00:00:00+01:000"}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"start_at": "infinity"}'::jsonb)$$);
SELECT attempt(format($$SELECT acteon_replay_bulk('{"to": "%s"}'::jsonb)$$, repeat('9', 1000)));

-- rate
SELECT attempt('SELECT acteon_replay_bulk(rate => 0)');
SELECT attempt('SELECT acteon_replay_bulk(rate => -1)');
SELECT attempt($$SELECT acteon_replay_bulk(rate => 'NaN')$$);
SELECT attempt($$SELECT acteon_replay_bulk(rate => 'Infinity')$$);
SELECT attempt('SELECT acteon_replay_bulk(rate => 1e-30)');
SELECT attempt($$SELECT acteon_replay_bulk('{"rate": 0}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"rate": 1e999}'::jsonb)$$);

SELECT attempt($$SELECT acteon_replay_bulk(start_at => '294276-12-31 23:59:59+00', rate => 0.001)$$);
-- a ramp leads up to a rate, in every call that takes one
SELECT attempt('SELECT acteon_replay_bulk(ramp => true)');
SELECT attempt($$SELECT acteon_replay_bulk('{"ramp": true}'::jsonb)$$);
SELECT attempt('SELECT * FROM acteon_replay_preview(ramp => true)');
SELECT attempt($$SELECT acteon_replay_preview('{"ramp": true}'::jsonb)$$);
CALL acteon_replay_all(ramp => true);
CALL acteon_replay_all('{"ramp": true}'::jsonb);

-- cursor
SELECT next_cursor AS cursor FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 1) \gset
SELECT attempt($$SELECT acteon_replay_bulk(cursor => '')$$);
SELECT attempt($$SELECT acteon_replay_bulk(cursor => 'garbage')$$);
SELECT attempt($$SELECT acteon_replay_bulk(cursor => 'v2.0000000000000000.1.x')$$);
SELECT attempt(format('SELECT acteon_replay_bulk(from_time => ''2000-01-01'', cursor => %L)', left(:'cursor', 15)));
SELECT attempt(format('SELECT acteon_replay_bulk(from_time => ''2000-01-01'', cursor => %L)', left(:'cursor', 20)));
SELECT attempt(format('SELECT acteon_replay_bulk(from_time => ''2000-01-01'', cursor => %L)', left(:'cursor', 20) || 'x.id'));
SELECT attempt(format('SELECT acteon_replay_bulk(from_time => ''2000-01-01'', cursor => %L)', left(:'cursor', 20) || '99999999999999999999.id'));
SELECT attempt(format('SELECT acteon_replay_bulk(from_time => ''2000-01-01'', cursor => %L)', left(:'cursor', 20) || ' 1.id'));
SELECT attempt(format('SELECT acteon_replay_bulk(from_time => ''2000-01-01'', cursor => %L, tenant => %L)', :'cursor', 'acme'));
SELECT attempt(format('SELECT acteon_replay_bulk(from_time => ''2000-01-01'', cursor => %L, newest_first => true)', :'cursor'));
SELECT attempt(format('SELECT acteon_replay_bulk(cursor => %L, from_time => %L)', :'cursor', '2020-01-01'));
SELECT attempt(format('SELECT acteon_replay_bulk(from_time => ''2000-01-01'', cursor => %L, to_time => %L)', :'cursor', '2020-01-01'));
-- what does not decide which records are found may change from page to page
BEGIN;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 7, cursor => :'cursor', reason => 'another', rate => 5, include_replayed => true, allow_redacted => true);
ROLLBACK;

-- the jsonb query
SELECT attempt('SELECT acteon_replay_bulk(NULL::jsonb)');
SELECT attempt($$SELECT acteon_replay_bulk('[]'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('"text"'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('null'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"tennant": "acme"}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"max_records": 5}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"": 5}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"tenant": 5}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"tenant": ["acme"]}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"limit": "5"}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"from": 5}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"include_replayed": "true"}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"rate": "5"}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"cursor": 5}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"reason": {}}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"tenant": "\u0000"}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"order": "newest_first"}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"order": ""}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"order": true}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"order": "oldest", "newest_first": true}'::jsonb)$$);
SELECT attempt($$SELECT acteon_replay_bulk('{"order": "newest", "newest_first": false}'::jsonb)$$);
-- a JSON null is as good as no key
BEGIN;
SELECT acteon_replay_bulk('{"to": "2100-01-01T00:00:00Z", "namespace": null, "from": null, "limit": null, "include_replayed": null, "rate": null, "cursor": null, "reason": null}'::jsonb) -> 'replayed' AS replayed;
SELECT query FROM acteon_replay_batch ORDER BY id DESC LIMIT 1;
ROLLBACK;
-- values never become SQL
SELECT replayed FROM acteon_replay_bulk(tenant => ''' OR true --', namespace => '$1', provider => E'\\', outcome => '"; DROP TABLE acteon_audit; --');
SELECT replayed FROM acteon_replay_bulk(tenant => '', namespace => '', matched_rule => '', caller_id => '');

-- transactions that cannot write
BEGIN READ ONLY;
SELECT acteon_replay('a');
ROLLBACK;
BEGIN READ ONLY;
SELECT acteon_replay_bulk(from_time => '2000-01-01');
ROLLBACK;
BEGIN READ ONLY;
SELECT count(*) > 0 AS lineage_only_reads FROM acteon_replay_lineage('a');
ROLLBACK;

-- any isolation level will do
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT success FROM acteon_replay('a');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
ROLLBACK;

-- nothing is left of all that but the first page
SELECT count(*) AS actions FROM acteon_dispatch_outbox;
SELECT count(*) AS segments FROM acteon_dispatch_segment;
SELECT count(*) AS batches FROM acteon_replay_batch;
CALL clean();

-- What counts as failed: a state, and no other word.
SELECT state, acteon_is_failure(state, NULL, NULL) FROM unnest('{waiting,running,in_doubt,delivered,dead,cancelled,expired,NULL}'::text[]) AS state;
SELECT acteon_is_failure('dead ', NULL, NULL);
SELECT acteon_is_failure('', 'Failed', 'none');
