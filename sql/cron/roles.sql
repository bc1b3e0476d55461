-- roles.sql
--		What the scheduled jobs need, once; by a superuser, in the gateway's database.
--
--		psql -d acteon -f roles.sql
--
-- pg_cron runs in one database and connects to it as the job's role, like any
-- other client.  In postgresql.conf, with a restart of the server:
--
--		shared_preload_libraries = 'pg_cron'
--		cron.database_name = 'acteon'
--		cron.host = '/var/run/postgresql'
--
-- The last line has it use the server's socket.  To let it in there without a
-- password, as these two roles and nobody else, above the other lines of
-- pg_hba.conf
--
--		local  acteon  acteon_job,acteon_keeper  peer  map=acteon_cron
--
-- and in pg_ident.conf, where postgres is the server's operating system user:
--
--		acteon_cron  postgres  acteon_job
--		acteon_cron  postgres  acteon_keeper
--
-- With cron.use_background_workers = on instead of cron.host it makes no
-- connections and needs none of that, but a worker (max_worker_processes) for
-- each job that runs.

CREATE EXTENSION IF NOT EXISTS pg_cron;

-- Replays, and nothing but what this tenant and those below it have in this
-- namespace; everything else is skipped, and counted.
CREATE ROLE acteon_job LOGIN;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions)
VALUES ('acteon_job', 'operator', '{acme}', '{prod}', '{*}');

-- Looks after the outbox: may purge and check it, and replay nothing.
CREATE ROLE acteon_keeper LOGIN;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions)
VALUES ('acteon_keeper', 'gateway', '{*}', '{*}', '{*}');
