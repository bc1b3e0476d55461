-- What the part "outbox" of the benchmark of size needs in a database.
\set ON_ERROR_STOP on
CREATE EXTENSION acteon_replay;

-- CPU time of this backend, in seconds.
CREATE FUNCTION cpu_time() RETURNS float8
LANGUAGE sql VOLATILE AS $$
	SELECT (f[12]::bigint + f[13]::bigint) / 100.0
	FROM string_to_array(split_part(pg_read_file('/proc/self/stat'), ') ', 2), ' ') AS f
$$;

-- Executes a statement so many times, and returns what it took in all, in seconds.
CREATE FUNCTION timed(times integer, statement text, OUT elapsed float8, OUT cpu float8)
LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz := clock_timestamp();
	cpu_began float8 := cpu_time();
BEGIN
	FOR n IN 1 .. times LOOP
		EXECUTE 'SELECT count(*) FROM (' || statement || ' OFFSET 0) AS s';
	END LOOP;
	elapsed := extract(epoch FROM clock_timestamp() - began);
	cpu := cpu_time() - cpu_began;
END
$$;

-- Bytes of the outbox and of the deliveries, with their indexes.
CREATE FUNCTION outbox_size() RETURNS bigint
LANGUAGE sql VOLATILE AS $$
	SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relkind = 'r' AND relname ~ '^acteon_dispatch_(outbox|delivery)'
$$;

-- Purges what has finished before a time, and returns how much that was and what it took.
CREATE FUNCTION timed_purge(before timestamptz, OUT purged bigint, OUT elapsed float8, OUT wal bigint, OUT size_before bigint,
	OUT size_after bigint)
LANGUAGE plpgsql AS $$
DECLARE
	wal_began pg_lsn := pg_current_wal_insert_lsn();
	began timestamptz := clock_timestamp();
BEGIN
	size_before := outbox_size();
	purged := acteon_outbox_purge(now() - before);
	elapsed := extract(epoch FROM clock_timestamp() - began);
	wal := pg_current_wal_insert_lsn() - wal_began;
	size_after := outbox_size();
END
$$;

-- The same by DELETE, of so many actions that have finished after a time.
CREATE FUNCTION timed_delete(after timestamptz, most bigint, OUT purged bigint, OUT elapsed float8, OUT wal bigint)
LANGUAGE plpgsql AS $$
DECLARE
	ids bigint[] := ARRAY(SELECT outbox_id FROM (SELECT outbox_id FROM acteon_dispatch_delivery WHERE finished_at > after LIMIT most) AS d ORDER BY 1);
	wal_began pg_lsn := pg_current_wal_insert_lsn();
	began timestamptz := clock_timestamp();
BEGIN
	DELETE FROM acteon_dispatch_delivery WHERE outbox_id = ANY (ids);
	DELETE FROM acteon_dispatch_outbox WHERE id = ANY (ids);
	GET DIAGNOSTICS purged = ROW_COUNT;
	elapsed := extract(epoch FROM clock_timestamp() - began);
	wal := pg_current_wal_insert_lsn() - wal_began;
END
$$;

-- So many batches that have ended, each with so many rows in the tally, as an ack of one action after the other leaves them.
CREATE PROCEDURE make_tally(batches bigint, rows_each bigint)
LANGUAGE sql AS $$
	INSERT INTO acteon_replay_batch (id, created_at, requested_by, requested_by_oid, session_role, query, replayed, failed, skipped,
		scope, first_outbox_id, last_outbox_id)
	SELECT 1000 + n, now(), current_user, oid, session_user, '{}', rows_each, 0, 0, '[]', 1, rows_each
	FROM pg_roles, generate_series(1, batches) AS n WHERE rolname = current_user;
	INSERT INTO acteon_replay_tally (batch_id, finished_at, state, outcome, effect, actions)
	SELECT 1000 + b, now() - n * interval '1 ms', 'delivered', 'Executed', 'done', 1
	FROM generate_series(1, batches) AS b, generate_series(1, rows_each) AS n
$$;
CREATE PROCEDURE drop_tally()
LANGUAGE sql AS $$
	DELETE FROM acteon_replay_tally WHERE batch_id > 1000;
	DELETE FROM acteon_replay_batch WHERE id > 1000
$$;
