-- Tables and fills of the queue benchmark.  Needs the extensions acteon_replay and pgq, and the role bench.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

\ir fill.sql

-- The wire form of an action, for the side that stores it.
CREATE FUNCTION wire_form(action_id uuid, namespace text, tenant text, provider text, action_type text, payload jsonb,
	labels jsonb, dedup_key text, created_at timestamptz)
RETURNS text LANGUAGE sql STABLE AS $$
	SELECT json_build_object('id', action_id, 'namespace', namespace, 'tenant', tenant, 'provider', provider,
		'action_type', action_type, 'payload', payload, 'metadata', labels, 'dedup_key', dedup_key, 'status', NULL,
		'fingerprint', NULL, 'starts_at', NULL, 'ends_at', NULL, 'created_at', created_at)::text
$$;

/*
 * The usual queue, one row and one lock an action: what is waiting and leased
 * in one wide table, what is finished in another.
 */
CREATE SCHEMA usual;
CREATE TABLE usual.queue (
	id bigint PRIMARY KEY,
	action_id uuid NOT NULL UNIQUE,
	original_action_id text NOT NULL,
	namespace text NOT NULL,
	tenant text NOT NULL,
	provider text NOT NULL,
	action_type text NOT NULL,
	payload jsonb NOT NULL,
	labels jsonb NOT NULL,
	dedup_key text,
	status text NOT NULL DEFAULT 'pending',
	attempts integer NOT NULL DEFAULT 0,
	due_at timestamptz NOT NULL,
	lease_token bigint,
	holder text,
	created_at timestamptz NOT NULL
) WITH (
	fillfactor = 70,
	autovacuum_vacuum_scale_factor = 0,
	autovacuum_vacuum_threshold = 20000,
	autovacuum_vacuum_insert_threshold = -1,
	autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX ON usual.queue (due_at, id) WHERE status = 'pending';
CREATE TABLE usual.archive (
	id bigint PRIMARY KEY,
	action_id uuid NOT NULL,
	original_action_id text NOT NULL,
	namespace text NOT NULL,
	tenant text NOT NULL,
	provider text NOT NULL,
	action_type text NOT NULL,
	payload jsonb NOT NULL,
	labels jsonb NOT NULL,
	dedup_key text,
	attempts integer NOT NULL,
	created_at timestamptz NOT NULL,
	finished_at timestamptz NOT NULL,
	outcome jsonb
);

CREATE PROCEDURE fill_usual(first_n bigint, count bigint)
LANGUAGE sql AS $$
	INSERT INTO usual.queue (id, action_id, original_action_id, namespace, tenant, provider, action_type, payload, labels,
		dedup_key, due_at, created_at)
	SELECT n, action_id, original_action_id, namespace, tenant, provider, action_type, payload, labels, dedup_key,
		clock_timestamp() - interval '1 minute', now()
	FROM make_actions(first_n, count)
$$;

/*
 * PgQ: the action's JSON as the event, a tick after every hundred.  Its package
 * has no cooperative consumers, so each client has a queue of its own.
 */
CREATE FUNCTION make_pgq(queue text)
RETURNS void LANGUAGE sql AS $$
	SELECT pgq.create_queue(queue);
	SELECT pgq.register_consumer(queue, 'bench');
	SELECT pgq.set_queue_config(queue, 'ticker_max_count', '1');
$$;

CREATE PROCEDURE fill_pgq(name text, first_n bigint, count bigint)
LANGUAGE plpgsql AS $$
DECLARE
	events text := pgq.current_event_table(name);
	sequence text := (SELECT queue_event_seq FROM pgq.queue WHERE queue_name = name);
BEGIN
	SET LOCAL synchronous_commit = off;
	FOR n IN first_n .. first_n + count - 1 BY 100 LOOP
		EXECUTE format('INSERT INTO %s (ev_id, ev_time, ev_type, ev_data)
			SELECT nextval(%L), now(), ''action'', wire_form(action_id, namespace, tenant, provider, action_type, payload,
				labels, dedup_key, now())
			FROM make_actions($1, 100)', events, sequence) USING n;
		COMMIT;
		SET LOCAL synchronous_commit = off;
		PERFORM pgq.ticker(name);
		COMMIT;
		SET LOCAL synchronous_commit = off;
	END LOOP;
END
$$;

-- Bring a queue back to so many waiting actions, in hundreds: a run never leaves a part of one.
CREATE TABLE waiting (queue text PRIMARY KEY, count bigint NOT NULL, filled bigint NOT NULL);

CREATE PROCEDURE top_up(which text, wanted bigint)
LANGUAGE plpgsql AS $$
DECLARE
	missing bigint;
	next_n bigint;
BEGIN
	INSERT INTO waiting VALUES (which, 0, 0) ON CONFLICT DO NOTHING;
	SELECT (wanted - w.count) / 100 * 100, w.filled + 1 INTO missing, next_n FROM waiting AS w WHERE w.queue = which;
	IF missing <= 0 THEN
		RETURN;
	END IF;
	UPDATE waiting AS w SET count = w.count + missing, filled = w.filled + missing WHERE w.queue = which;
	COMMIT;
	IF which = 'ours' THEN
		CALL fill_outbox(missing);
	ELSIF which = 'usual' THEN
		CALL fill_usual(next_n, missing);
	ELSE
		CALL fill_pgq(which, next_n, missing);
	END IF;
END
$$;

/*
 * How long claims take inside the server: a number of claims, each in a
 * transaction of its own and followed by the ack, which is not timed.
 */
CREATE TABLE claims (what text, seconds float8, actions integer);

CREATE PROCEDURE time_claims(what text, calls integer)
LANGUAGE plpgsql AS $$
DECLARE
	ids bigint[];
	tokens bigint[];
	bytes bigint;
	began timestamptz;
	took float8;
BEGIN
	FOR i IN 1 .. calls LOOP
		began := clock_timestamp();
		SELECT array_agg(outbox_id), array_agg(lease_token), sum(length(action::text)) INTO ids, tokens, bytes
		FROM acteon_outbox_claim('bench', 100);
		took := extract(epoch FROM clock_timestamp() - began);
		COMMIT;
		PERFORM acteon_outbox_ack(ids, tokens, array_fill('{"Executed": {}}'::jsonb, ARRAY[cardinality(ids)]));
		INSERT INTO claims VALUES (what, took, cardinality(ids));
		UPDATE waiting SET count = waiting.count - cardinality(ids) WHERE queue = 'ours';
		COMMIT;
	END LOOP;
END
$$;

-- What was measured: messages a second, and bytes of WAL, those of full-page images among them.
CREATE TABLE measured (clients integer, side text, rate float8, messages bigint, wal numeric, images numeric);

-- The client is nobody special.
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions)
VALUES ('bench', 'gateway', '{*}', '{*}', '{*}', '{*}');
GRANT USAGE ON SCHEMA usual TO bench;
GRANT ALL ON ALL TABLES IN SCHEMA usual TO bench;
GRANT pgq_reader TO bench;

/*
 * Tables that only grow are vacuumed when we say, so that the vacuum of one
 * side does not run while another is measured.  Where rows are updated and
 * deleted, autovacuum is a part of the cost and does what it does.
 */
ALTER TABLE acteon_dispatch_outbox SET (autovacuum_enabled = off);
ALTER TABLE acteon_dispatch_delivery SET (autovacuum_enabled = off);
ALTER TABLE acteon_replay_batch SET (autovacuum_enabled = off);
ALTER TABLE usual.archive SET (autovacuum_enabled = off);
