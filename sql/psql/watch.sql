-- Draws how the batches of acteon_replay are going, every two seconds, until Ctrl-C.
--
--   \i `pg_config --sharedir`/acteon_replay/watch.sql
--
-- Before it, if you like:
--
--   \set acteon_batch 7        only this batch
--   \set acteon_seconds 5      every five seconds
--
-- Without acteon_batch it shows what is not finished, and what was begun, stopped
-- or enqueued in the last hour: the last 20 of these that your grants let you see.
--
-- In the bar, # was delivered, x failed (dead, or the gateway's outcome is Failed or
-- CircuitOpen), - was cancelled or expired, ? is in doubt, > is in flight, . waits; a blank is not
-- enqueued yet.

\if :{?acteon_batch}
	\set acteon_watched :acteon_batch
\else
	\set acteon_watched NULL
\endif
\if :{?acteon_seconds}
	\set acteon_interval :acteon_seconds
\else
	\set acteon_interval 2
\endif
SELECT max(n.nspname) AS acteon_schema
FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'acteon_replay' \gset
\if :{?acteon_schema}
\else
	\warn The extension acteon_replay is not in this database.
	\quit
\endif

SELECT id AS batch, state,
	'[' || repeat('#', good) || repeat('x', bad - good) || repeat('-', gone - bad) || repeat('?', unsure - gone)
		|| repeat('>', taken - unsure) || repeat('.', queued - taken) || repeat(' ', 20 - queued) || ']' || to_char(progress, '990.0 "%"') AS progress,
	to_char(delivered + dead + cancelled + expired, 'FM999,999,999,990') || ' of ' || to_char(replayed, 'FM999,999,999,990') AS ended,
	to_char(failing, 'FM999,999,999,990') AS failed,
	trim_scale(speed) || coalesce(' of ' || trim_scale(rate), '') AS "a second",
	to_char(make_interval(secs => extract(epoch FROM time_left)::double precision), 'HH24:MI:SS') AS "left",
	replace(replace(breaker, ' the last', ''), ' failed, opens above', ', limit') AS breaker,
	left(coalesce(stop_reason, reason), 40) AS why
FROM (
	SELECT *, floor(20 * (delivered + dead - failing) / whole)::integer AS good, floor(20 * (delivered + dead) / whole)::integer AS bad,
		floor(20 * (delivered + dead + cancelled + expired) / whole)::integer AS gone,
		floor(20 * (delivered + dead + cancelled + expired + in_doubt) / whole)::integer AS unsure,
		floor(20 * (delivered + dead + cancelled + expired + in_doubt + in_flight) / whole)::integer AS taken, floor(20 * replayed / whole)::integer AS queued
	FROM (
		SELECT *, dead + coalesce((delivered_by ->> 'Failed')::bigint, 0) + coalesce((delivered_by ->> 'CircuitOpen')::bigint, 0) AS failing,
			greatest(replayed + CASE WHEN state NOT IN ('running', 'cancelled', 'finished') THEN greatest(matched - replayed - failed - skipped - passed_over, 0) ELSE 0 END, 1)::numeric AS whole
		FROM :"acteon_schema".acteon_replay_read_batches(:acteon_watched)
		WHERE :acteon_watched IS NOT NULL OR state NOT IN ('finished', 'cancelled') OR in_flight > 0
			OR greatest(created_at, stopped_at, last_chunk_at) > now() - interval '1 hour'
		ORDER BY id DESC LIMIT 20) AS batch) AS bar
ORDER BY id
\watch :acteon_interval
