-- check.sql
--		Every week: check the whole outbox, and fail if something is wrong.
--
--		psql -d acteon -f check.sql		(a superuser, after roles.sql)
--
-- acteon_outbox_check() returns a row for each thing that should not be, and a
-- job that returns rows has succeeded.  So this one raises an error, which is in
-- cron.job_run_details and in the server's log, with the first ten of them.

SELECT cron.schedule_in_database('acteon: check', '15 4 * * 0', $$
	DO $check$
	DECLARE
		violations bigint;
		first_ten text;
	BEGIN
		SELECT count(*),
			string_agg(format('%s%s: %s', violation, ' at ' || outbox_id, detail), E'\n') FILTER (WHERE n <= 10)
		INTO violations, first_ten
		FROM (SELECT *, row_number() OVER () AS n FROM acteon_outbox_check()) AS found;
		IF violations > 0 THEN
			RAISE EXCEPTION 'acteon_outbox_check() found % violations', violations
				USING ERRCODE = 'data_corrupted', DETAIL = first_ten;
		END IF;
	END $check$
$$, database => current_database(), username => 'acteon_keeper');
