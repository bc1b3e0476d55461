-- What the benchmark of incidents does with the queue: steering, seeing, claiming.  Needs incident.sql.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

/*
 * Steering batch 1 while a consumer is at it
 */

-- What a consumer got of the batch that is steered, and of others; and what was called.
CREATE TABLE claimed (began timestamptz NOT NULL, ended timestamptz NOT NULL, steered integer NOT NULL, others integer NOT NULL);
CREATE TABLE calls (id integer GENERATED ALWAYS AS IDENTITY, shape text, call text, began timestamptz, ended timestamptz);
-- What was found about them later, in seconds.
CREATE TABLE steered (shape text, call text, took float8, last_after float8, others_after float8, slowest_claim float8, done_after float8);
-- The consumer works while there is a row.
CREATE TABLE at_work (since timestamptz DEFAULT now());

-- Claims and acks of a hundred, one after the other, each committed.
CREATE PROCEDURE consume()
LANGUAGE plpgsql AS $$
DECLARE
	ids bigint[];
	tokens bigint[];
	began timestamptz;
	n integer;
BEGIN
	WHILE EXISTS (SELECT FROM at_work) LOOP
		began := clock_timestamp();
		SELECT coalesce(array_agg(outbox_id), '{}'), array_agg(lease_token) INTO ids, tokens
		FROM acteon_outbox_claim('bench', 100);
		n := (SELECT count(*) FROM acteon_dispatch_outbox WHERE id = ANY (ids) AND batch_id = 1);
		INSERT INTO claimed VALUES (began, clock_timestamp(), n, cardinality(ids) - n);
		COMMIT;
		IF cardinality(ids) > 0 THEN
			PERFORM acteon_outbox_ack(ids, tokens, array_fill('{"Executed": {}}'::jsonb, ARRAY[cardinality(ids)]));
		ELSE
			PERFORM pg_sleep(0.001);
		END IF;
		COMMIT;
	END LOOP;
END
$$;

-- Wait until a query is true.
CREATE PROCEDURE await(query text)
LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '5 min';
	met boolean;
BEGIN
	LOOP
		EXECUTE query INTO met;
		COMMIT;
		EXIT WHEN met;
		IF clock_timestamp() > deadline THEN
			RAISE EXCEPTION 'this did not become true: %', query;
		END IF;
		PERFORM pg_sleep(0.005);
	END LOOP;
END
$$;

-- Wait until the consumer has got something so many times since the last call began.
CREATE PROCEDURE await_claims(claims integer, whose text)
LANGUAGE plpgsql AS $$
BEGIN
	CALL await(format('SELECT count(*) >= %s FROM claimed WHERE %I > 0 AND began > (SELECT max(began) FROM calls)', claims, whose));
END
$$;

-- Note a moment.
CREATE PROCEDURE note(shape text, moment text)
LANGUAGE sql AS $$
	INSERT INTO calls (shape, call, began, ended) VALUES (shape, moment, clock_timestamp(), clock_timestamp())
$$;

-- Steer, and note when that began and when it was committed.
CREATE PROCEDURE steer(shape text, call text)
LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz := clock_timestamp();
BEGIN
	EXECUTE format('SELECT FROM acteon_replay_%s(1)', call);
	COMMIT;
	INSERT INTO calls (shape, call, began, ended) VALUES (shape, call, began, clock_timestamp());
	COMMIT;
END
$$;

-- A small batch that is due after all that there is.
CREATE PROCEDURE fill_another()
LANGUAGE plpgsql AS $$
BEGIN
	CALL fill_outbox(1000);
	UPDATE acteon_dispatch_segment SET due_at = clock_timestamp()
	WHERE batch_id = (SELECT max(id) FROM acteon_replay_batch);
	COMMIT;
END
$$;

-- What became of each call, by what the consumer got between it and the next.
CREATE PROCEDURE note_steered()
LANGUAGE sql AS $$
	INSERT INTO steered
	SELECT c.shape, c.call, extract(epoch FROM c.ended - c.began), extract(epoch FROM f.last - c.ended),
		extract(epoch FROM f.other - c.began), f.slowest, extract(epoch FROM c.done - c.ended)
	FROM (SELECT *, lead(began) OVER (ORDER BY id) AS until,
			CASE WHEN lead(call) OVER (ORDER BY id) = 'done' THEN lead(began) OVER (ORDER BY id) END AS done
		FROM calls) AS c,
		LATERAL (SELECT max(k.ended) FILTER (WHERE k.steered > 0 AND c.done IS NOT NULL) AS last,
			min(k.ended) FILTER (WHERE k.others > 0 AND k.began > c.began AND c.done IS NOT NULL) AS other,
			max(extract(epoch FROM k.ended - k.began)) FILTER (WHERE k.began > c.began) AS slowest
		FROM claimed AS k WHERE k.began < c.until) AS f
	WHERE c.call IN ('pause', 'resume', 'cancel');
	TRUNCATE claimed, calls;
$$;

/*
 * Pause the batch.  The consumer gets through to another batch, and goes on
 * until he has put aside all that was stopped: the most that a resume can meet.
 */
CREATE PROCEDURE pause_and_resume(shape text)
LANGUAGE plpgsql AS $$
BEGIN
	CALL note(shape, 'begin');
	CALL await_claims(5, 'steered');
	CALL fill_another();
	CALL steer(shape, 'pause');
	CALL await_claims(5, 'others');
	CALL await($q$SELECT NOT EXISTS (SELECT FROM acteon_dispatch_segment WHERE batch_id = 1 AND due_at < 'infinity')$q$);
	CALL note(shape, 'done');
	CALL steer(shape, 'resume');
	CALL await_claims(5, 'steered');
	DELETE FROM at_work;
END
$$;

-- Cancel the batch.  The consumer goes on until all of it is swept.
CREATE PROCEDURE cancel(shape text)
LANGUAGE plpgsql AS $$
BEGIN
	CALL note(shape, 'begin');
	CALL await_claims(5, 'steered');
	CALL fill_another();
	CALL steer(shape, 'cancel');
	CALL await_claims(5, 'others');
	CALL await($q$SELECT stopped = 'cancelled' FROM acteon_replay_batch WHERE id = 1$q$);
	CALL note(shape, 'done');
	DELETE FROM at_work;
END
$$;

/*
 * Seeing
 */

-- An auditor who may read a tenth of the tenants.
CREATE ROLE auditor;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions)
SELECT 'auditor', 'viewer', array_agg('tenant-' || i), '{*}', '{*}', '{*}' FROM generate_series(0, 239, 10) AS i;

/*
 * End a share of each batch from one on, fifty actions at a time; one of five
 * hundred fails, by turns in the gateway and for good.
 */
CREATE PROCEDURE finish(first_batch bigint, share float8)
LANGUAGE sql AS $$
	WITH ended AS MATERIALIZED (
		DELETE FROM acteon_dispatch_segment AS s USING acteon_replay_batch AS b
		WHERE b.id >= first_batch AND s.batch_id = b.id
			AND s.first_id < b.first_outbox_id + (b.last_outbox_id - b.first_outbox_id + 1) * share
		RETURNING s.batch_id, s.first_id, s.last_id
	), finished AS MATERIALIZED (
		SELECT batch_id, id, now() - interval '1 hour' + id / 50 % 10000 * interval '300 ms' AS finished_at,
			CASE WHEN id % 1000 = 0 THEN 'dead' ELSE 'delivered' END AS state,
			CASE id % 1000 WHEN 0 THEN NULL WHEN 500 THEN 'Failed' ELSE 'Executed' END AS outcome
		FROM ended, generate_series(first_id, last_id) AS id
	), deliveries AS (
		INSERT INTO acteon_dispatch_delivery (outbox_id, finished_at, attempts, state, outcome, error)
		SELECT id, finished_at, 1, state, jsonb_build_object(outcome, '{}'::jsonb), NULL FROM finished WHERE state = 'delivered'
		UNION ALL
		SELECT id, finished_at, 1, state, NULL, '422: no such template' FROM finished WHERE state = 'dead'
	)
	INSERT INTO acteon_replay_tally (batch_id, finished_at, state, outcome, actions)
	SELECT batch_id, finished_at, state, outcome, count(*) FROM finished GROUP BY batch_id, id / 50, 2, 3, 4
$$;

-- The scopes of batches, which fill_outbox leaves to others.
CREATE PROCEDURE set_scopes()
LANGUAGE sql AS $$
	UPDATE acteon_replay_batch AS b SET scope = s.scope
	FROM (SELECT batch_id, jsonb_agg(DISTINCT jsonb_build_array(tenant, namespace, provider, action_type)) AS scope
		  FROM acteon_dispatch_outbox GROUP BY 1) AS s
	WHERE s.batch_id = b.id
$$;

-- A query, some times over, as one role or another.
CREATE PROCEDURE time_query(what text, role text, query text, rounds integer)
LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz;
	took float8;
	n bigint;
BEGIN
	FOR i IN 0 .. rounds LOOP
		PERFORM set_config('role', role, true);
		began := clock_timestamp();
		EXECUTE format('SELECT count(*) FROM (%s OFFSET 0) AS q', query) INTO n;
		took := extract(epoch FROM clock_timestamp() - began);
		PERFORM set_config('role', 'none', true);
		INSERT INTO measured SELECT what, role, took, n WHERE i > 0;
		COMMIT;
	END LOOP;
END
$$;

/*
 * Claiming
 */

-- Claims of a hundred, each followed by the ack; the first few warm up.
CREATE PROCEDURE time_claims(side text, claims integer)
LANGUAGE plpgsql AS $$
DECLARE
	ids bigint[];
	tokens bigint[];
	bytes bigint;
	began timestamptz;
	claim_ended timestamptz;
BEGIN
	FOR i IN -9 .. claims LOOP
		began := clock_timestamp();
		SELECT array_agg(outbox_id), array_agg(lease_token), sum(length(action::text)) INTO STRICT ids, tokens, bytes
		FROM acteon_outbox_claim('bench', 100);
		COMMIT;
		claim_ended := clock_timestamp();
		PERFORM acteon_outbox_ack(ids, tokens, array_fill('{"Executed": {}}'::jsonb, ARRAY[cardinality(ids)]));
		COMMIT;
		INSERT INTO measured
		SELECT c.what, side, extract(epoch FROM c.took), cardinality(ids)
		FROM (VALUES ('claim', claim_ended - began), ('ack', clock_timestamp() - claim_ended)) AS c (what, took) WHERE i > 0;
		COMMIT;
	END LOOP;
END
$$;
