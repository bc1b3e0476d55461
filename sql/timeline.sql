-- acteon_replay_timeline: how many records were lost, or match, over time.
CALL clean();
SET timezone = 'UTC';
CREATE ROLE regress_acteon_timeline;
CREATE ROLE regress_acteon_timeline_nobody;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
	('regress_acteon_timeline', 'viewer', '{acme}', '{*}', '{*}', '{*}');
CREATE FUNCTION pg_temp.failed(name text, at text, tenant text DEFAULT 'acme') RETURNS text LANGUAGE sql AS
	$$SELECT make_record(name, tenant => tenant, outcome => 'failed', at => at::timestamptz)$$;
-- How many intervals there are, from when to when, how long they are (each the same), and where how many records are.
CREATE FUNCTION pg_temp.shape(OUT rows bigint, OUT bucket_from text, OUT bucket_to text, OUT lengths text, OUT gaps bigint, OUT sum numeric, OUT at_these text, call text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT count(*), to_char(min(t.bucket_from), ''YYYY-MM-DD HH24:MI:SS''), to_char(max(t.bucket_to), ''YYYY-MM-DD HH24:MI:SS''), string_agg(DISTINCT (t.bucket_to - t.bucket_from)::text, '' ''),
		count(*) FILTER (WHERE t.bucket_from <> t.before), sum(t.records), string_agg(nth || '':'' || t.records, '' '' ORDER BY nth) FILTER (WHERE t.records > 0)
		FROM (SELECT t.*, lag(t.bucket_to) OVER (ORDER BY nth) AS before FROM acteon_replay_timeline(%s) WITH ORDINALITY AS t (bucket_from, bucket_to, records, nth)) AS t', call)
		INTO rows, bucket_from, bucket_to, lengths, gaps, sum, at_these;
END$$;

-- Nothing there: no rows, unless both ends are given.
SELECT * FROM acteon_replay_timeline();
SELECT * FROM acteon_replay_timeline(from_time => '2026-01-01');
SELECT * FROM acteon_replay_timeline(to_time => '2026-01-01');
SELECT * FROM acteon_replay_timeline(from_time => '2026-01-01 12:00', to_time => '2026-01-01 12:03', buckets => 3);

-- An incident of an hour; what is not lost does not count.
SELECT count(pg_temp.failed('a ' || n, format('2026-01-01 12:%s:00', to_char(n, 'FM00')))) FROM generate_series(10, 19) AS n;
SELECT count(pg_temp.failed('b ' || n, '2026-01-01 12:45:59.999999')) FROM generate_series(1, 5) AS n;
SELECT count(pg_temp.failed('c ' || n, '2026-01-01 12:46:00')) FROM generate_series(1, 3) AS n;
SELECT make_record('well', outcome => 'executed', at => '2026-01-01 12:30', details => '{"status": "Success"}'), make_record('intent', outcome => 'pending', at => '2026-01-01 12:30'),
	make_record('ruled', outcome => 'suppressed', at => '2026-01-01 12:31'), make_record('step', outcome => 'chain_step_failed', at => '2026-01-01 12:31'), pg_temp.failed('globex', '2026-01-01 12:32', 'globex'),
	make_record('mended', outcome => 'failed', at => '2026-01-01 12:33'), make_record('mended', outcome => 'executed', at => '2026-01-01 12:34', details => '{"status": "Success"}');
SELECT * FROM acteon_replay_timeline() WHERE records > 0;
SELECT * FROM acteon_replay_timeline(buckets => 4);
SELECT s.* FROM unnest('{2,3,7,8,36,37,60,1000}'::text[]) AS n, pg_temp.shape('buckets => ' || n) AS s;
SELECT s.* FROM pg_temp.shape('NULL') AS s;
SELECT s.* FROM pg_temp.shape('buckets => NULL') AS s;
-- what filters say
SELECT s.* FROM unnest(ARRAY['lost => true', 'outcome => ''suppressed''', 'outcome => ''executed,failed''', 'tenant => ''globex''', 'tenant => ''nobody''', 'from_time => ''2000-01-01''', 'lost => true, exclude_ids => ''{a 10,a 19}''']) AS call, pg_temp.shape(call) AS s;
-- the ends: both belong to it, and the extent follows them
SELECT s.* FROM pg_temp.shape($$from_time => '2026-01-01 12:00', to_time => '2026-01-01 13:00'$$) AS s;
SELECT s.* FROM pg_temp.shape($$from_time => '2026-01-01 12:00:30', to_time => '2026-01-01 13:00:30'$$) AS s;
SELECT s.* FROM pg_temp.shape($$from_time => '2026-01-01 12:00'$$) AS s;
SELECT s.* FROM pg_temp.shape($$to_time => '2026-01-01 12:46'$$) AS s;
SELECT s.* FROM pg_temp.shape($$from_time => '2026-01-01 12:46', to_time => '2026-01-01 12:46'$$) AS s;
SELECT s.* FROM pg_temp.shape($$from_time => '2025-12-01', to_time => '2026-02-01', buckets => 31$$) AS s;
-- nothing is in the future
SELECT rows > 0 AS some, bucket_to::timestamptz < now() + interval '100 days' AS until_now, sum FROM pg_temp.shape($$from_time => '2026-01-01', to_time => '2999-01-01'$$) AS s;
SELECT s.* FROM pg_temp.shape($$from_time => '2999-01-01', to_time => '2999-01-02'$$) AS s;
-- UTC, whatever the session's time zone is; weeks begin on Monday
SET timezone = 'Asia/Kathmandu';
SELECT s.bucket_from, s.lengths FROM pg_temp.shape($$from_time => '2025-12-20 00:00Z', to_time => '2026-01-05 00:00Z', buckets => 20$$) AS s;
SET timezone = 'UTC';
SELECT bucket_from, extract(isodow FROM bucket_from) AS day, records FROM acteon_replay_timeline(from_time => '2025-12-01', to_time => '2026-01-30', buckets => 10);

-- The sum is what a preview finds, and each count is that of the records in it.
SELECT t.sum, p.matched FROM (SELECT sum(records) FROM acteon_replay_timeline(lost => true)) AS t, (SELECT matched FROM acteon_replay_preview(lost => true) WHERE section = 'total') AS p WHERE t.sum <> p.matched;
SELECT n, t.* FROM generate_series(2, 70) AS n, acteon_replay_timeline(buckets => n, outcome => 'failed') AS t
WHERE t.records <> (SELECT count(*) FROM acteon_audit AS a WHERE a.outcome = 'failed' AND a.dispatched_at >= t.bucket_from AND a.dispatched_at < t.bucket_to);

-- A caller sees what its grants cover, and nothing of the rest, neither in the counts nor in the extent.
SELECT pg_temp.failed('early', '2020-01-01', 'globex'), pg_temp.failed('late', '2026-06-01', 'globex');
SET ROLE regress_acteon_timeline;
SELECT bucket_from, bucket_to, records FROM acteon_replay_timeline(buckets => 4);
SELECT * FROM acteon_replay_timeline(tenant => 'globex');
SET ROLE regress_acteon_timeline_nobody;
SELECT acteon_replay_timeline();
RESET ROLE;

-- What is refused.
SELECT acteon_replay_timeline(buckets => 1);
SELECT acteon_replay_timeline(buckets => 1001);
SELECT acteon_replay_timeline(certain => true, tenant => 'acme');
SELECT acteon_replay_timeline(from_time => '2026-01-02', to_time => '2026-01-01');
SELECT acteon_replay_timeline(from_time => '-infinity');

-- Any extent, in any order: years, also before the epoch and in year 1, and a time that is none.
SELECT pg_temp.failed('old', '0001-01-01 BC'), pg_temp.failed('oldest', '4714-11-24 00:00:00+00 BC'), pg_temp.failed('never', '-infinity');
SELECT s.rows <= n AS enough, s.gaps, s.sum FROM unnest('{2,3,60,1000}'::integer[]) AS n, pg_temp.shape('tenant => ''acme'', outcome => ''failed'', buckets => ' || n) AS s;
SELECT n, t.* FROM generate_series(2, 60, 7) AS n, acteon_replay_timeline(buckets => n, outcome => 'failed') AS t
WHERE t.records <> (SELECT count(*) FROM acteon_audit AS a WHERE a.outcome = 'failed' AND a.dispatched_at >= t.bucket_from AND a.dispatched_at < t.bucket_to);
CALL clean();
SELECT setseed(0.14);
SELECT count(pg_temp.failed('r ' || n, ('2026-01-01'::timestamptz - (random() ^ 9) * interval '20 years' + random() * interval '10 s')::text)) FROM generate_series(1, 2000) AS n;
SELECT n, t.* FROM unnest('{2,3,5,11,47,60,200,1000}'::integer[]) AS n, acteon_replay_timeline(buckets => n) AS t
WHERE t.records <> (SELECT count(*) FROM acteon_audit AS a WHERE a.dispatched_at >= t.bucket_from AND a.dispatched_at < t.bucket_to);
SELECT n, s.rows BETWEEN greatest(n / 3, 1) AND n AS enough, s.gaps, s.sum FROM unnest('{2,3,5,11,47,60,200,1000}'::integer[]) AS n, pg_temp.shape('buckets => ' || n) AS s;

RESET timezone;
DELETE FROM acteon_grants WHERE grantee::text ~ '^regress_acteon_timeline';
DROP ROLE regress_acteon_timeline, regress_acteon_timeline_nobody;
CALL clean();
