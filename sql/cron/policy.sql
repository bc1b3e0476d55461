-- policy.sql
--		By itself, within seconds: replay what a provider lost when it works again.
--
--		psql -d acteon -f policy.sql		(a superuser, after roles.sql)
--
-- The policy belongs to the role that sets it, and replays what the grants of this
-- role cover: up to a day old, at 20 a second, 20,000 a day, and not at night.  It
-- probes with a single action, replays the rest when that takes effect, and stops by
-- itself when the provider fails again.  A batch that a person has paused or cancelled
-- is left alone.  acteon_replay_policies shows what it waits for.
--
-- One job runs all policies of its role.  It takes the steps that are due every five
-- seconds, for most of a minute, and pg_cron starts it again.  From version 1.5 on,
-- pg_cron can do that as well: the schedule '5 seconds' with
-- SELECT acteon_replay_policy_run().  Runs exclude each other.
--
-- Use this rather than replay_failed.sql where providers fail for longer than
-- minutes: the latter replays what was lost in the last ten minutes, whether the
-- provider works or not, each action three times at most.

SET ROLE acteon_job;
SELECT acteon_replay_policy_set('what was lost', rate => 20, max_a_day => 20000,
	quiet_from => '23:00', quiet_to => '06:00', time_zone => 'Europe/Berlin', reason => 'scheduled');
RESET ROLE;

SELECT cron.schedule_in_database('acteon: policies', '* * * * *', $$
	DO $run$
	DECLARE
		began timestamptz := clock_timestamp();
	BEGIN
		LOOP
			PERFORM acteon_replay_policy_run();
			COMMIT;
			EXIT WHEN clock_timestamp() > began + interval '50 seconds';
			PERFORM pg_sleep(5);
		END LOOP;
	END $run$
$$, database => current_database(), username => 'acteon_job');
