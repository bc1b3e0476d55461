-- Grants: what the table refuses, and whom a row counts for.
SELECT current_user AS superuser \gset
CREATE ROLE regress_acteon_ops;
CREATE ROLE regress_acteon_member IN ROLE regress_acteon_ops;
CREATE ROLE regress_acteon_noinherit NOINHERIT IN ROLE regress_acteon_ops;
CREATE ROLE regress_acteon_viewer;
CREATE ROLE regress_acteon_nobody;
GRANT USAGE ON SCHEMA public TO PUBLIC;

-- each column refuses what would grant by mistake
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('no_such_role', 'admin', '{*}', '{*}', '{*}')$$);
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES (0, 'admin', '{*}', '{*}', '{*}')$$);
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ops', 'owner', '{*}', '{*}', '{*}')$$);
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ops', NULL, '{*}', '{*}', '{*}')$$);
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ops', 'admin', '{}', '{*}', '{*}')$$);
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ops', 'admin', '{acme,NULL}', '{*}', '{*}')$$);
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ops', 'admin', '{""}', '{*}', '{*}')$$);
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ops', 'admin', '{{acme},{b}}', '{*}', '{*}')$$);
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ops', 'admin', '{*}', '{}', '{*}')$$);
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ops', 'admin', '{*}', '{NULL}', '{*}')$$);
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('regress_acteon_ops', 'admin', '{*}', '{*}', '{}', '{*}')$$);
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('regress_acteon_ops', 'admin', '{*}', '{*}', '{""}', '{*}')$$);
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ops', 'admin', '{*}', '{*}', '{}')$$);
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ops', 'admin', '{*}', '{*}', NULL)$$);
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ops', 'gateway', '{acme}', '{*}', '{*}')$$);

INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES
	('regress_acteon_ops', 'operator', '{acme,initech.eu}', '{prod}', '{send_email,page}'),
	('regress_acteon_ops', 'viewer', '{globex}', '{*}', '{*}'),
	('regress_acteon_ops', 'gateway', '{*}', '{*}', '{*}'),
	('regress_acteon_viewer', 'viewer', '{acme}', '{*}', '{*}');
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
	('regress_acteon_ops', 'operator', '{umbrella}', '{prod}', '{sms}', '{*}');

-- lists: exact but for tenants, which are hierarchical
SET ROLE regress_acteon_ops;
SELECT tenant, namespace, provider, action_type, acteon_authorized(tenant, namespace, provider, action_type)
FROM (VALUES
	(1, 'acme', 'prod', 'email', 'send_email'),
	(2, 'acme.us-east', 'prod', 'email', 'send_email'),
	(3, 'acme.us-east.prod', 'prod', 'email', 'page'),
	(4, 'acme-corp', 'prod', 'email', 'send_email'),
	(5, 'acmecorp', 'prod', 'email', 'send_email'),
	(6, 'acme.', 'prod', 'email', 'send_email'),
	(7, 'Acme', 'prod', 'email', 'send_email'),
	(8, 'acm', 'prod', 'email', 'send_email'),
	(9, '', 'prod', 'email', 'send_email'),
	(10, 'initech', 'prod', 'email', 'page'),
	(11, 'initech.eu', 'prod', 'email', 'page'),
	(12, 'initech.us', 'prod', 'email', 'page'),
	(13, 'initech.eu.berlin', 'prod', 'email', 'page'),
	(14, 'acme', 'Prod', 'email', 'send_email'),
	(15, 'acme', 'prod2', 'email', 'send_email'),
	(16, 'acme', 'prod', 'email', 'send_emails'),
	(17, 'acme', 'prod', 'email', '*'),
	(18, 'umbrella', 'prod', 'sms', 'anything'),
	(19, 'umbrella', 'prod', 'email', 'anything'),
	(20, 'umbrella.labs', 'prod', 'sms', 'anything'),
	(21, 'globex', 'dev', 'x', 'y'),
	(22, '*', 'prod', 'email', 'send_email'),
	(23, NULL, 'prod', 'email', 'send_email'),
	(24, 'acme', NULL, 'email', 'send_email'),
	(25, 'acme', 'prod', NULL, 'send_email'),
	(26, 'acme', 'prod', 'email', NULL)
) AS t (n, tenant, namespace, provider, action_type) ORDER BY n;

-- for whom a row counts
RESET ROLE;
CREATE FUNCTION authorized_as(role text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', role);
	RETURN acteon_authorized('acme', 'prod', 'email', 'send_email');
END
$$;
BEGIN;
SELECT r, authorized_as(r) FROM unnest(ARRAY['regress_acteon_ops', 'regress_acteon_member', 'regress_acteon_noinherit', 'regress_acteon_viewer']) AS r;
ROLLBACK;
BEGIN;
SELECT authorized_as('regress_acteon_nobody');
ROLLBACK;
SELECT authorized_as(:'superuser');
SET ROLE regress_acteon_member;
SELECT grantee, role, tenants FROM acteon_grants ORDER BY id;
SET ROLE regress_acteon_nobody;
SELECT count(*) FROM acteon_grants;
SELECT attempt($$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_nobody', 'admin', '{*}', '{*}', '{*}')$$);
RESET ROLE;

-- grants are read once a query, but not once a loop
BEGIN;
DO $$
BEGIN
	FOR i IN 1 .. 3 LOOP
		IF i = 1 THEN SET LOCAL ROLE regress_acteon_nobody; END IF;
		RAISE NOTICE '%', acteon_authorized('hooli', 'prod', 'email', 'send_email');
		IF i = 1 THEN
			RESET ROLE;
			INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_nobody', 'viewer', '{hooli}', '{*}', '{*}');
			SET LOCAL ROLE regress_acteon_nobody;
		ELSE
			SET LOCAL ROLE regress_acteon_viewer;
		END IF;
	END LOOP;
END
$$;
ROLLBACK;

-- a viewer's grant lets read, and does not lend its tenants to an operator's
CALL clean();
SELECT make_record('a-acme'), make_record('a-globex', tenant => 'globex', namespace => 'dev');
SET ROLE regress_acteon_viewer;
SELECT attempt($$SELECT * FROM acteon_replay('a-acme')$$);
SELECT attempt($$SELECT * FROM acteon_replay_bulk(tenant => 'acme')$$);
SET ROLE regress_acteon_ops;
SELECT attempt($$SELECT * FROM acteon_replay('a-globex')$$);
SELECT replayed, failed, skipped, results FROM acteon_replay_bulk(from_time => '2000-01-01');
RESET ROLE;

-- who may read what: outbox, deliveries and batches follow the grants
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_nobody', 'operator', '{hooli}', '{*}', '{*}');
SELECT success FROM acteon_replay('a-globex');
SELECT finish((SELECT action_id FROM acteon_dispatch_outbox WHERE tenant = 'acme'), 'delivered');
SELECT finish((SELECT action_id FROM acteon_dispatch_outbox WHERE tenant = 'globex'), 'dead');
SET ROLE regress_acteon_viewer;
SELECT tenant FROM acteon_dispatch_outbox;
SELECT state FROM acteon_dispatch_delivery;
SELECT id, scope FROM acteon_replay_batch;
SET ROLE regress_acteon_ops;
SELECT tenant FROM acteon_dispatch_outbox ORDER BY id;
SELECT state FROM acteon_dispatch_delivery ORDER BY outbox_id;
SELECT id, requested_by = current_user AS by_me, scope FROM acteon_replay_batch ORDER BY id;
SET ROLE regress_acteon_nobody;
SELECT (SELECT count(*) FROM acteon_dispatch_outbox) AS outbox, (SELECT count(*) FROM acteon_dispatch_delivery) AS deliveries,
	(SELECT count(*) FROM acteon_replay_batch) AS batches;
SELECT count(*) FROM acteon_replay_lineage('a-acme');
SELECT attempt('SELECT count(*) FROM acteon_dispatch_segment');
SELECT attempt('SELECT count(*) FROM acteon_replay_installation');
SELECT attempt('DELETE FROM acteon_dispatch_outbox');
SELECT attempt($$SELECT nextval('acteon_dispatch_outbox_id_seq')$$);
RESET ROLE;
-- a batch over two tenants is not shown to somebody who may read one of them
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true);
SET ROLE regress_acteon_viewer;
SELECT id, scope FROM acteon_replay_batch;
SELECT tenant, count(*) FROM acteon_dispatch_outbox GROUP BY tenant;
-- lineage says no more of that batch than the policy does
SELECT source, requested_by IS NOT NULL AS by_whom, requested_at IS NOT NULL AS at, state FROM acteon_replay_lineage('a-acme') ORDER BY generation;
RESET ROLE;
-- a later role of the same name does not see what the first one asked for
CREATE ROLE regress_acteon_reused;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_reused', 'operator', '{acme}', '{*}', '{*}');
SET ROLE regress_acteon_reused;
SELECT replayed FROM acteon_replay_bulk(tenant => 'acme', include_replayed => true, reason => 'mine');
SELECT reason FROM acteon_replay_batch WHERE requested_by = current_user;
RESET ROLE;
DELETE FROM acteon_grants WHERE grantee = 'regress_acteon_reused'::regrole;
DROP ROLE regress_acteon_reused;
CREATE ROLE regress_acteon_reused;
SET ROLE regress_acteon_reused;
SELECT count(*) FROM acteon_replay_batch;
RESET ROLE;
DROP ROLE regress_acteon_reused;
-- nor is a batch over a tenant whose name begins with theirs and has the same hash
CALL clean();
SELECT hashtext('acme') = hashtext('acmenycnmbq') AS same_hash;
SELECT make_record('b-acme'), make_record('b-other', tenant => 'acmenycnmbq', at => '2026-01-01 12:00:01+00');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SELECT scope FROM acteon_replay_batch;
SET ROLE regress_acteon_viewer;
SELECT (SELECT count(*) FROM acteon_dispatch_outbox) AS outbox, (SELECT count(*) FROM acteon_replay_batch) AS batches;
RESET ROLE;
-- who owns the database is a member of pg_database_owner without having been made one, and only as long
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('pg_database_owner', 'viewer', '{owned}', '{*}', '{*}');
SELECT current_user AS owner \gset
SET ROLE regress_acteon_viewer;
SELECT acteon_authorized('owned', 'prod', 'email', 'page');
RESET ROLE;
ALTER DATABASE :"DBNAME" OWNER TO regress_acteon_viewer;
SET ROLE regress_acteon_viewer;
SELECT acteon_authorized('owned', 'prod', 'email', 'page');
RESET ROLE;
ALTER DATABASE :"DBNAME" OWNER TO :"owner";
SET ROLE regress_acteon_viewer;
SELECT acteon_authorized('owned', 'prod', 'email', 'page');
RESET ROLE;
-- a session keeps what it has read only as long as each change is announced: not with a trigger that leaves any out
CREATE FUNCTION viewed() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
	SELECT string_agg(t, ' ' ORDER BY t) FROM unnest('{first,second,third}'::text[]) AS t WHERE acteon_authorized(t, 'prod', 'email', 'page')
$$;
ALTER FUNCTION viewed OWNER TO regress_acteon_viewer;
CREATE TEMP TABLE triggers AS
SELECT n, made, enabled, changed FROM (VALUES
	(1, 'INSERT OR UPDATE OR DELETE ON acteon_grants FOR EACH ROW', 'ENABLE ALWAYS', $$UPDATE acteon_grants SET tenants = '{second}'$$),
	(2, 'INSERT OR UPDATE OR DELETE ON acteon_grants FOR EACH ROW', 'DISABLE', $$UPDATE acteon_grants SET tenants = '{second}'$$),
	(3, 'INSERT OR UPDATE OR DELETE ON acteon_grants FOR EACH ROW WHEN (now() IS NULL)', 'ENABLE ALWAYS', $$UPDATE acteon_grants SET tenants = '{second}'$$),
	(4, 'INSERT OR DELETE OR UPDATE OF role ON acteon_grants FOR EACH ROW', 'ENABLE ALWAYS', $$UPDATE acteon_grants SET tenants = '{second}'$$),
	(5, 'UPDATE OR DELETE ON acteon_grants FOR EACH ROW', 'ENABLE ALWAYS',
		$$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_viewer', 'viewer', '{third}', '{*}', '{*}')$$),
	(6, 'INSERT OR DELETE ON acteon_grants FOR EACH ROW', 'ENABLE ALWAYS', $$UPDATE acteon_grants SET tenants = '{second}'$$),
	(7, 'INSERT OR UPDATE ON acteon_grants FOR EACH ROW', 'ENABLE ALWAYS', 'DELETE FROM acteon_grants')) AS t (n, made, enabled, changed);
\pset tuples_only on
SELECT 'TRUNCATE acteon_grants',
	'DROP TRIGGER acteon_grants_changed ON acteon_grants',
	format('CREATE TRIGGER acteon_grants_changed AFTER %s EXECUTE FUNCTION acteon_grants_changed()', made),
	format('ALTER TABLE acteon_grants %s TRIGGER acteon_grants_changed', enabled),
	$$INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_viewer', 'viewer', '{first}', '{*}', '{*}')$$,
	format('SELECT %s AS n, viewed() AS before', n),
	changed,
	'SELECT viewed() AS after'
FROM triggers ORDER BY n DESC \gexec
\pset tuples_only off
DROP TABLE triggers;
DROP FUNCTION viewed;
-- they are read once and kept, whatever else changes; a transaction with one snapshot reads them once for all rows of a query
DROP TRIGGER acteon_grants_changed ON acteon_grants;
CREATE TRIGGER acteon_grants_changed AFTER INSERT OR UPDATE OR DELETE ON acteon_grants FOR EACH ROW EXECUTE FUNCTION acteon_grants_changed();
ALTER TABLE acteon_grants ENABLE ALWAYS TRIGGER acteon_grants_changed;
CREATE VIEW pg_temp.reads AS SELECT coalesce(sum(seq_scan), 0) AS reads FROM pg_stat_xact_user_tables WHERE relname = 'acteon_grants';
GRANT SELECT ON pg_temp.reads TO PUBLIC;
CREATE FUNCTION pg_temp.look() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM generate_series(1, 5) AS n WHERE acteon_authorized('third', 'prod', 'email', n::text) $$;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_viewer', 'viewer', '{third}', '{*}', '{*}');
BEGIN;
SET LOCAL ROLE regress_acteon_viewer;
SELECT reads AS before FROM pg_temp.reads \gset
SELECT pg_temp.look();
CREATE TEMP TABLE unrelated () ON COMMIT DROP;
SELECT pg_temp.look(), pg_temp.look();
SELECT reads - :before AS reads FROM pg_temp.reads;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SET LOCAL ROLE regress_acteon_viewer;
SELECT reads AS before FROM pg_temp.reads \gset
SELECT count(*) FROM generate_series(1, 5) AS n WHERE acteon_authorized('third', 'prod', 'email', n::text);
SELECT reads - :before AS reads FROM pg_temp.reads;
COMMIT;
-- … without a trigger of that name, each time
ALTER TRIGGER acteon_grants_changed ON acteon_grants RENAME TO another;
BEGIN;
SET LOCAL ROLE regress_acteon_viewer;
SELECT reads AS before FROM pg_temp.reads \gset
SELECT pg_temp.look(), pg_temp.look();
SELECT reads - :before AS reads FROM pg_temp.reads;
COMMIT;
ALTER TRIGGER another ON acteon_grants RENAME TO acteon_grants_changed;
-- a grant of the gateway lets nobody read
UPDATE acteon_grants SET role = 'gateway', tenants = '{*}';
SET ROLE regress_acteon_viewer;
SELECT pg_temp.look(), attempt('SELECT count(*) FROM acteon_audit_records()');
RESET ROLE;
DROP VIEW pg_temp.reads;
DROP FUNCTION pg_temp.look;
DROP FUNCTION authorized_as;
CALL clean();
TRUNCATE acteon_grants;
