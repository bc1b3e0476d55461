-- purge.sql
--		Every night: delete what has been finished for three months.
--
--		psql -d acteon -f purge.sql		(a superuser, after roles.sql)
--
-- A purged action counts as never replayed.  Keep at least what the audit table
-- keeps, or an old record may be replayed twice.  Most go by truncation; a million
-- actions a night that are deleted row by row keep the transaction short, and what is
-- left goes in the next.

SELECT cron.schedule_in_database('acteon: purge', '30 3 * * *', $$
	SELECT acteon_outbox_purge(older_than => interval '90 days', max_actions => 1000000,
		reason => 'scheduled')
$$, database => current_database(), username => 'acteon_keeper');
