-- runs.sql
--		How the jobs went, in the last week.
--
--		psql -d acteon -f runs.sql		(a superuser)

-- Runs that failed; for what succeeded, take the condition out.
SELECT r.start_time, j.jobname, r.username, r.status, r.return_message
FROM cron.job_run_details AS r LEFT JOIN cron.job AS j USING (jobid)
WHERE r.start_time > now() - interval '7 days' AND r.status = 'failed'
ORDER BY r.start_time DESC;

-- What they replayed, what they could not replay and why, and what is stopped.
SELECT batch_id, created_at, state, progress, replayed, failed, skipped, delivered_by, failures, stop_reason
FROM acteon_replay_batches
WHERE requested_by = 'acteon_job' AND created_at > now() - interval '7 days'
ORDER BY batch_id DESC;
