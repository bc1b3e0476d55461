-- replay_failed.sql
--		Every five minutes: replay what was lost in the last ten, at 20 a second.
--
--		psql -d acteon -f replay_failed.sql		(a superuser, after roles.sql)
--
-- Lost is what had no effect, whatever its outcome is called (failed,
-- circuit_open, throttled, executed with an error), and what failed; of an action
-- and its replays, the latest record.  certain => true would leave out what may
-- have had an effect, such as a time-out.
--
-- This is for failures that are over soon.  policy.sql finds out when a provider works
-- again, and replays then; use one of the two for the same actions, or what one has
-- stopped is replayed by the other.
--
-- The windows overlap on purpose: what has been replayed is passed over, and a
-- run that finds nothing else leaves no batch behind.  A replay that is lost again
-- has a record of its own, which the next run picks, as a replay of the replay;
-- max_depth (3 unless given) ends that, and the run counts such a record as
-- failed.  pg_cron does not run a job twice at once; other jobs and people may
-- replay the same records at the same time.
--
-- If the provider goes down again, the batch pauses itself.  The job then waits,
-- as long as more than a minute's worth of the batch is still to come, until
-- somebody resumes or cancels it.
--
-- The command must be one statement: several are one transaction to the server,
-- and acteon_replay_all commits.

SELECT cron.schedule_in_database('acteon: replay what failed', '*/5 * * * *', $$
	CALL acteon_replay_all(lost => true, from_time => now() - interval '10 min',
		rate => 20, reason => 'scheduled')
$$, database => current_database(), username => 'acteon_job');
