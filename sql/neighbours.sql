-- What others put on the extension's tables: foreign keys, triggers, rules.
\set VERBOSITY terse
CALL clean();
SET timezone = 'UTC';

-- Claims everything and acks it; returns how much.
CREATE FUNCTION deliver() RETURNS bigint LANGUAGE sql AS $$
	SELECT sum(acteon_outbox_ack(ARRAY[outbox_id], ARRAY[lease_token], '{"{\"Executed\": {}}"}'))
	FROM (SELECT * FROM acteon_outbox_claim('x')) AS c
$$;
-- All calls that write, under what a test has put on the tables.
CREATE FUNCTION everything() RETURNS TABLE (call text, result text) LANGUAGE plpgsql AS $$
DECLARE
	b bigint;
BEGIN
	PERFORM make_record('n' || i, at => '2026-01-01'::timestamptz + i * interval '1 min') FROM generate_series(1, 6) AS i;
	RETURN QUERY SELECT 'single', success::text FROM acteon_replay('n1');
	RETURN QUERY SELECT 'bulk', replayed::text FROM acteon_replay_bulk(from_time => '2000-01-01');
	SELECT max(id) INTO b FROM acteon_replay_batch;
	PERFORM acteon_replay_limit_set(provider => 'email', rate => 100000, concurrency => 1000);
	PERFORM acteon_replay_notify_set('ops', 'email', 'message', 'ops', 'platform', events => '{held}');
	UPDATE acteon_replay_limit SET refilled_at = NULL;
	RETURN QUERY SELECT 'pause', state FROM acteon_replay_pause(b);
	RETURN QUERY SELECT 'set_rate', state FROM acteon_replay_set_rate(b, 1000);
	RETURN QUERY SELECT 'resume', state FROM acteon_replay_resume(b);
	UPDATE acteon_dispatch_segment SET due_at = now();
	RETURN QUERY SELECT 'nack', acteon_outbox_nack(ARRAY[outbox_id], ARRAY[lease_token], '{no}', '{0}')::text FROM acteon_outbox_claim('x', 1);
	RETURN QUERY SELECT 'reject', acteon_outbox_reject(ARRAY[outbox_id], ARRAY[lease_token], '{never}')::text FROM acteon_outbox_claim('x', 1);
	RETURN QUERY SELECT 'doubt', acteon_outbox_doubt(ARRAY[outbox_id], ARRAY[lease_token], '{lost}')::text FROM acteon_outbox_claim('x', 1);
	RETURN QUERY SELECT 'settle', acteon_replay_settle(batch_id, 'delivered', 'seen')::text FROM acteon_dispatch_segment WHERE doubt_since IS NOT NULL;
	RETURN QUERY SELECT 'ack', deliver()::text;
	RETURN QUERY SELECT 'redrive', redriven::text FROM acteon_outbox_redrive();
	PERFORM acteon_replay('n2');
	RETURN QUERY SELECT 'cancel', state || ' ' || cancelled FROM (SELECT max(id) AS id FROM acteon_replay_batch) AS r, acteon_replay_cancel(r.id);
	RETURN QUERY SELECT 'purge', acteon_outbox_purge('0')::text;
	RETURN QUERY SELECT 'left', format('%s outbox, %s segments, %s deliveries', (SELECT count(*) FROM acteon_dispatch_outbox), (SELECT count(*) FROM acteon_dispatch_segment), (SELECT count(*) FROM acteon_dispatch_delivery));
	RETURN QUERY SELECT 'check', violation FROM acteon_outbox_check();
END
$$;
BEGIN;
SET LOCAL client_min_messages = error;
SELECT * FROM everything();
ROLLBACK;

-- foreign keys to every table do not stop anything
BEGIN;
SET LOCAL client_min_messages = error;
CREATE TABLE incident (
	number serial PRIMARY KEY,
	batch_id bigint REFERENCES acteon_replay_batch,
	outbox_id bigint REFERENCES acteon_dispatch_outbox ON DELETE CASCADE,
	action_id uuid REFERENCES acteon_dispatch_action ON DELETE SET NULL,
	segment_id bigint REFERENCES acteon_dispatch_segment ON UPDATE CASCADE ON DELETE SET NULL,
	delivery_id bigint REFERENCES acteon_dispatch_delivery DEFERRABLE INITIALLY DEFERRED,
	log_id bigint REFERENCES acteon_replay_log,
	api_key bigint REFERENCES acteon_api_keys);
SELECT * FROM everything();
SELECT acteon_api_key_create('neighbour', 'regress_acteon_ops') IS NOT NULL AS api_key;
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;

-- what refers to a row holds it, follows it, goes with it, or lets it go
CREATE TABLE incident (number integer PRIMARY KEY, outbox_id bigint REFERENCES acteon_dispatch_outbox, segment_id bigint REFERENCES acteon_dispatch_segment);
SELECT make_record('f1'), make_record('f2');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
INSERT INTO incident SELECT 1, NULL, first_id FROM acteon_dispatch_segment;
-- a segment that gets another first id, or goes
SELECT outbox_id, lease_token FROM acteon_outbox_claim('x', 1) \gset
PREPARE ack AS SELECT acteon_outbox_ack(ARRAY[:outbox_id], ARRAY[:lease_token], '{NULL}');
SELECT attempt('EXECUTE ack');
ALTER TABLE incident DROP CONSTRAINT incident_segment_id_fkey,
	ADD FOREIGN KEY (segment_id) REFERENCES acteon_dispatch_segment ON UPDATE CASCADE ON DELETE SET NULL;
EXECUTE ack;
SELECT number, segment_id - :outbox_id AS segment FROM incident;
SELECT deliver();
SELECT number, segment_id - :outbox_id AS segment FROM incident;
-- an action that is purged
INSERT INTO incident SELECT 2, id FROM acteon_dispatch_outbox WHERE original_action_id = 'f1';
SET client_min_messages = error;
SELECT attempt($$SELECT acteon_outbox_purge('0')$$);
ALTER TABLE incident DROP CONSTRAINT incident_outbox_id_fkey,
	ADD FOREIGN KEY (outbox_id) REFERENCES acteon_dispatch_outbox DEFERRABLE INITIALLY DEFERRED;
BEGIN;
SELECT acteon_outbox_purge('0');
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
BEGIN;
SELECT acteon_outbox_purge('0');
DELETE FROM incident WHERE outbox_id IS NOT NULL;
COMMIT;
SELECT number FROM incident;
DROP TABLE incident;
CALL clean();

-- where rows follow ours and others hold them until the end, both are heeded; what fires on rows that follow cannot be put off
-- until the commit, when it would run as the caller
CREATE TABLE follows (outbox_id bigint REFERENCES acteon_dispatch_outbox ON DELETE CASCADE, segment_id bigint REFERENCES acteon_dispatch_segment ON UPDATE CASCADE ON DELETE CASCADE);
CREATE TABLE holds (outbox_id bigint REFERENCES acteon_dispatch_outbox DEFERRABLE INITIALLY DEFERRED, segment_id bigint REFERENCES acteon_dispatch_segment DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION at_the_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'as %', current_user; RETURN NULL; END $$;
SELECT make_record('c1'), make_record('c2');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
INSERT INTO follows (outbox_id) SELECT id FROM acteon_dispatch_outbox;
INSERT INTO follows (segment_id) SELECT first_id FROM acteon_dispatch_segment;
CREATE CONSTRAINT TRIGGER at_the_end AFTER UPDATE OR DELETE ON follows INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_the_end();
SELECT attempt($$SELECT deliver()$$);
ALTER TABLE follows DISABLE TRIGGER at_the_end;
SELECT deliver();
ALTER TABLE follows ENABLE TRIGGER at_the_end;
SELECT attempt($$SELECT acteon_outbox_purge('0')$$);
ALTER TABLE follows DISABLE TRIGGER at_the_end;
BEGIN;
INSERT INTO holds (outbox_id) SELECT min(id) FROM acteon_dispatch_outbox;
SELECT acteon_outbox_purge('0');
SELECT attempt('SET CONSTRAINTS ALL IMMEDIATE');
DELETE FROM holds;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT count(*) FROM follows;
COMMIT;
DROP TABLE follows, holds;
DROP FUNCTION at_the_end;
RESET client_min_messages;
CALL clean();

-- foreign keys from the tables are checked where a row is written, or at the end
BEGIN;
SET LOCAL client_min_messages = error;
ALTER TABLE acteon_dispatch_outbox ADD FOREIGN KEY (batch_id) REFERENCES acteon_replay_batch DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE acteon_dispatch_segment ADD FOREIGN KEY (batch_id) REFERENCES acteon_replay_batch DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE acteon_dispatch_delivery ADD FOREIGN KEY (outbox_id) REFERENCES acteon_dispatch_outbox ON DELETE CASCADE;
ALTER TABLE acteon_replay_tally ADD FOREIGN KEY (batch_id) REFERENCES acteon_replay_batch;
SELECT * FROM everything();
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
BEGIN;
CREATE TABLE tenants (name text PRIMARY KEY);
INSERT INTO tenants VALUES ('acme');
ALTER TABLE acteon_dispatch_outbox ADD FOREIGN KEY (tenant) REFERENCES tenants;
SELECT make_record('t1'), make_record('t2', tenant => 'globex');
SELECT success FROM acteon_replay('t1');
SELECT attempt($$SELECT acteon_replay('t2')$$);
SELECT attempt($$SELECT acteon_replay_bulk(from_time => '2000-01-01')$$);
SELECT count(*) FROM acteon_dispatch_outbox;
ROLLBACK;

-- a condition on what is computed, by a column where the server can do that for each reading
BEGIN;
DO $$
BEGIN
	IF current_setting('server_version_num')::integer >= 180000 THEN
		EXECUTE 'ALTER TABLE acteon_dispatch_outbox ADD COLUMN place text GENERATED ALWAYS AS (tenant || original_action_id) VIRTUAL,
			ADD CONSTRAINT place CHECK (place <> ''acmev2'')';
	ELSE
		ALTER TABLE acteon_dispatch_outbox ADD CONSTRAINT place CHECK (tenant || original_action_id <> 'acmev2');
	END IF;
END
$$;
SELECT make_record('v1'), make_record('v2');
SELECT success FROM acteon_replay('v1');
SELECT left(attempt($$SELECT success FROM acteon_replay('v2')$$), 84);
ROLLBACK;

-- a unique constraint that is checked at the end
BEGIN;
ALTER TABLE acteon_dispatch_outbox ADD CONSTRAINT once UNIQUE (dedup_key) DEFERRABLE INITIALLY DEFERRED;
SELECT make_record('u1', metadata => '{"__dedup_key": "same"}'), make_record('u2', metadata => '{"__dedup_key": "same"}');
SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;

-- AFTER triggers FOR EACH ROW see every row, as the tables' owner, and their conditions count
BEGIN;
SET LOCAL client_min_messages = error;
CREATE TABLE seen (t name, op text, old jsonb, new jsonb, who name DEFAULT current_user);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.seen VALUES (TG_TABLE_NAME, TG_OP, to_jsonb(OLD), to_jsonb(NEW));
	RETURN NULL;
END
$$;
GRANT INSERT ON seen TO PUBLIC;
DO $$
DECLARE
	t name;
BEGIN
	FOREACH t IN ARRAY '{acteon_replay_batch,acteon_dispatch_outbox,acteon_dispatch_segment,acteon_dispatch_delivery,acteon_replay_tally,acteon_replay_log,acteon_dispatch_action,acteon_replay_limit,acteon_replay_notify,acteon_dispatch_relay,acteon_replay_installation}'::name[] LOOP
		EXECUTE format('CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION see()', t);
	END LOOP;
END
$$;
CREATE TABLE copy AS SELECT 'acteon_dispatch_outbox'::name AS t, to_jsonb(o) AS line FROM acteon_dispatch_outbox AS o
	UNION ALL SELECT 'acteon_dispatch_segment', to_jsonb(o) FROM acteon_dispatch_segment AS o
	UNION ALL SELECT 'acteon_dispatch_delivery', to_jsonb(o) FROM acteon_dispatch_delivery AS o
	UNION ALL SELECT 'acteon_replay_batch', to_jsonb(o) FROM acteon_replay_batch AS o
	UNION ALL SELECT 'acteon_replay_tally', to_jsonb(o) FROM acteon_replay_tally AS o
	UNION ALL SELECT 'acteon_replay_log', to_jsonb(o) FROM acteon_replay_log AS o
	UNION ALL SELECT 'acteon_replay_limit', to_jsonb(o) FROM acteon_replay_limit AS o
	UNION ALL SELECT 'acteon_replay_notify', to_jsonb(o) FROM acteon_replay_notify AS o
	UNION ALL SELECT 'acteon_dispatch_relay', to_jsonb(o) FROM acteon_dispatch_relay AS o
	UNION ALL SELECT 'acteon_dispatch_action', to_jsonb(o) FROM acteon_dispatch_action AS o;
SELECT * FROM everything();
SELECT t, op, count(*) > 0 AS any, every(who = (SELECT tableowner FROM pg_tables WHERE tablename = t)) AS as_owner FROM seen GROUP BY t, op ORDER BY t COLLATE "C", op COLLATE "C";
-- what was seen, added up, is what is in the tables
SELECT t, sum(n) AS too_many FROM (
	SELECT t, line, 1 AS n FROM copy
	UNION ALL SELECT t, new, 1 FROM seen WHERE new IS NOT NULL
	UNION ALL SELECT t, old, -1 FROM seen WHERE old IS NOT NULL
	UNION ALL SELECT 'acteon_dispatch_outbox', to_jsonb(o), -1 FROM acteon_dispatch_outbox AS o
	UNION ALL SELECT 'acteon_dispatch_segment', to_jsonb(o), -1 FROM acteon_dispatch_segment AS o
	UNION ALL SELECT 'acteon_dispatch_delivery', to_jsonb(o), -1 FROM acteon_dispatch_delivery AS o
	UNION ALL SELECT 'acteon_replay_batch', to_jsonb(o), -1 FROM acteon_replay_batch AS o
	UNION ALL SELECT 'acteon_replay_tally', to_jsonb(o), -1 FROM acteon_replay_tally AS o
	UNION ALL SELECT 'acteon_replay_log', to_jsonb(o), -1 FROM acteon_replay_log AS o
	UNION ALL SELECT 'acteon_replay_limit', to_jsonb(o), -1 FROM acteon_replay_limit AS o
	UNION ALL SELECT 'acteon_replay_notify', to_jsonb(o), -1 FROM acteon_replay_notify AS o
	UNION ALL SELECT 'acteon_dispatch_relay', to_jsonb(o), -1 FROM acteon_dispatch_relay AS o
	UNION ALL SELECT 'acteon_dispatch_action', to_jsonb(o), -1 FROM acteon_dispatch_action AS o) AS x
WHERE t <> 'acteon_replay_installation' GROUP BY t, line HAVING sum(n) <> 0;
ROLLBACK;
BEGIN;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not %', TG_NAME; END $$;
CREATE TRIGGER of_globex AFTER INSERT ON acteon_dispatch_outbox FOR EACH ROW WHEN (NEW.tenant = 'globex') EXECUTE FUNCTION refuse();
CREATE TRIGGER of_leased AFTER UPDATE ON acteon_dispatch_segment FOR EACH ROW WHEN (OLD.lease_token IS NOT NULL) EXECUTE FUNCTION refuse();
SELECT make_record('w1'), make_record('w2', tenant => 'globex');
SELECT attempt($$SELECT acteon_replay('w2')$$), attempt($$SELECT acteon_replay('w1')$$) ~ '^\(w1' AS w1;
SELECT attempt($$SELECT 'claimed' FROM acteon_outbox_claim('x')$$), attempt($$SELECT acteon_outbox_nack(ARRAY[first_id], ARRAY[lease_token], '{no}') FROM acteon_dispatch_segment$$);
ROLLBACK;

-- the other triggers are refused by name, unless they are disabled or for replicas only
SELECT make_record('r1');
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER before_row BEFORE INSERT ON acteon_dispatch_outbox FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT attempt($$SELECT acteon_replay('r1')$$);
SET session_replication_role = replica;
SELECT attempt($$SELECT success FROM acteon_replay('r1')$$);
RESET session_replication_role;
ALTER TABLE acteon_dispatch_outbox DISABLE TRIGGER before_row;
SELECT attempt($$SELECT success FROM acteon_replay('r1')$$);
ALTER TABLE acteon_dispatch_outbox ENABLE REPLICA TRIGGER before_row;
SELECT attempt($$SELECT success FROM acteon_replay('r1')$$);
ALTER TABLE acteon_dispatch_outbox ENABLE ALWAYS TRIGGER before_row;
SET session_replication_role = replica;
SELECT attempt($$SELECT success FROM acteon_replay('r1')$$);
RESET session_replication_role;
DROP TRIGGER before_row ON acteon_dispatch_outbox;
CREATE TRIGGER of_column AFTER UPDATE OF due_at ON acteon_dispatch_segment FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT attempt($$SELECT acteon_outbox_claim('x')$$);
DROP TRIGGER of_column ON acteon_dispatch_segment;
CREATE TRIGGER transitions AFTER INSERT ON acteon_dispatch_segment REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT attempt($$SELECT acteon_outbox_claim('x')$$);
DROP TRIGGER transitions ON acteon_dispatch_segment;
CREATE CONSTRAINT TRIGGER at_the_end AFTER INSERT ON acteon_dispatch_outbox INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT attempt($$SELECT acteon_replay('r1')$$);
DROP TRIGGER at_the_end ON acteon_dispatch_outbox;
-- those for updates and deletes do not concern a table that is only inserted into
CREATE TRIGGER of_update BEFORE UPDATE OR DELETE ON acteon_dispatch_outbox FOR EACH STATEMENT EXECUTE FUNCTION nothing();
SELECT attempt($$SELECT success FROM acteon_replay('r1')$$);
DROP TRIGGER of_update ON acteon_dispatch_outbox;

-- rules are refused by name, for the statements, too
CREATE RULE kept AS ON DELETE TO acteon_dispatch_delivery DO INSTEAD NOTHING;
SELECT attempt($$SELECT acteon_outbox_purge('0')$$);
SELECT attempt($$SELECT acteon_outbox_claim('x')$$);
ALTER TABLE acteon_dispatch_delivery DISABLE RULE kept;
SELECT deliver() > 0 AS delivered;
DROP RULE kept ON acteon_dispatch_delivery;
SELECT attempt($$SELECT 'set', acteon_replay_policy_set('ruled', '{"provider": "email"}')$$);
CREATE FUNCTION pg_temp.ruled(command text, rel text, call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE format('CREATE RULE kept AS ON %s TO %I DO INSTEAD NOTHING', command, rel);
	answer := split_part(attempt(call), ' | ', 1);
	EXECUTE format('DROP RULE kept ON %I', rel);
	RETURN answer;
END
$$;
SELECT rel, pg_temp.ruled(command, rel, call) FROM (VALUES
	('INSERT', 'acteon_replay_policy', $$SELECT acteon_replay_policy_set('ruled', '{"provider": "sms"}')$$),
	('UPDATE', 'acteon_replay_policy', 'SELECT acteon_replay_policy_run()'),
	('DELETE', 'acteon_replay_policy_provider', $$SELECT acteon_replay_policy_drop('ruled')$$),
	('INSERT', 'acteon_replay_notify', $$SELECT acteon_replay_notify_set('ruled', 'chat', 'message', 'prod', 'acme')$$),
	('INSERT', 'acteon_replay_trail', 'SELECT acteon_replay_trail_link()'),
	('INSERT', 'acteon_replay_trail_head', 'SELECT acteon_replay_trail_link()'),
	('INSERT', 'acteon_replay_removal', $$SELECT acteon_outbox_purge('0')$$),
	('INSERT', 'acteon_dispatch_relay', $$SELECT acteon_outbox_claim('x')$$),
	('UPDATE', 'acteon_replay_limit', $$SELECT acteon_replay_limit_set(provider => 'email', rate => 1)$$)) AS c (command, rel, call);
SELECT acteon_replay_policy_drop('ruled');
CREATE RULE kept AS ON INSERT TO acteon_api_answers DO ALSO NOTHING;
SELECT attempt($$SELECT acteon_api_begin(1, 'k', sha256('a'))$$);
DROP RULE kept ON acteon_api_answers;

DROP FUNCTION nothing, deliver, everything;
RESET timezone;
CALL clean();

-- a trigger that keeps answers out of their table is reported, and no request is made without one
CREATE FUNCTION regress_acteon_none() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER none BEFORE INSERT ON acteon_api_answers FOR EACH ROW EXECUTE FUNCTION regress_acteon_none();
SELECT attempt($$SELECT acteon_api_begin(0, 'kept out', sha256('a'))$$);
DROP TRIGGER none ON acteon_api_answers;
DROP FUNCTION regress_acteon_none();
