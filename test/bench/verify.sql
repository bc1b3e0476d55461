-- What test/bench/verify measures with.

-- A chain of prod and acme: of each three records two are an intent and its outcome half of the time, so that half of all are such.
CREATE PROCEDURE fill_chain(records integer) LANGUAGE plpgsql AS $$
DECLARE
	n integer := 0;
	action integer := 0;
	previous text;
	hash text;
	at timestamptz;
	digits integer;
	is_pair boolean;
	record_id text;
	action_id text;
BEGIN
	WHILE n < records LOOP
		-- As many pairs as two lone records.
		is_pair := action % 3 = 0;
		action := action + 1;
		at := '2026-01-01 00:00+00'::timestamptz + action * interval '1 ms' + floor(random() * 1000) * interval '1 us';
		digits := 1 + floor(random() * 999);
		record_id := gen_random_uuid();
		action_id := gen_random_uuid();
		FOREACH hash IN ARRAY CASE WHEN is_pair THEN '{pending,executed}'::text[] ELSE '{failed}'::text[] END LOOP
			DECLARE
				its_id text := record_id || CASE hash WHEN 'pending' THEN '-intent' ELSE '' END;
				outcome text := hash;
			BEGIN
				hash := encode(sha256(convert_to(format(
					'{"action_id":"%s","action_type":"send_email","dispatched_at":"%s%s+00:00","id":"%s","namespace":"prod","outcome":"%s","previous_hash":%s,"provider":"email","tenant":"acme","verdict":"allow"}',
					action_id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), lpad(digits::text, 3, '0'), its_id, outcome, coalesce('"' || previous || '"', 'null')), 'UTF8')), 'hex');
				INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload,
					verdict_details, outcome_details, metadata, dispatched_at, completed_at, duration_ms, record_hash, previous_hash, sequence_number)
				VALUES (its_id, action_id, 'prod', 'acme', 'email', 'send_email', 'allow', outcome,
					jsonb_build_object('to', 'user' || n || '@example.com', 'subject', 'Order ' || n || ' has shipped', 'body', repeat(md5(n::text), 8)),
					'{}', '{}', '{"team": "orders"}', at, at, 5, hash, previous, n);
				previous := hash;
				n := n + 1;
			END;
		END LOOP;
	END LOOP;
END
$$;

CREATE TABLE figures (what text, us double precision);

CREATE FUNCTION median(of text) RETURNS double precision LANGUAGE sql AS $$
	SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY us) FROM figures WHERE what = of
$$;

CREATE PROCEDURE measure_chain(rounds integer, records integer, actions integer) LANGUAGE plpgsql AS $$
DECLARE
	begun double precision;
	took double precision;
	last_row record;
	checked bigint;
	how text;
BEGIN
	FOR i IN 1 .. rounds LOOP
		begun := bench_cpu();
		SELECT count(*), max(v.records) INTO STRICT last_row FROM acteon_audit_verify('prod', 'acme') AS v;
		took := bench_cpu() - begun;
		ASSERT last_row.count = 1 AND last_row.max >= records;
		INSERT INTO figures VALUES ('whole', took / last_row.max);

		checked := 0;
		begun := bench_cpu();
		SELECT NULL::bigint AS sequence_number, NULL::text AS record_hash, 'more' AS finding, 0::bigint AS records INTO last_row;
		WHILE last_row.finding = 'more' LOOP
			SELECT v.sequence_number, v.record_hash, v.finding, v.records INTO STRICT last_row
			FROM acteon_audit_verify('prod', 'acme', after_sequence => last_row.sequence_number, after_hash => last_row.record_hash, max_records => records / 10) AS v;
			checked := checked + last_row.records;
		END LOOP;
		took := bench_cpu() - begun;
		ASSERT last_row.finding = 'checked' AND checked >= records;
		INSERT INTO figures VALUES ('tenths', took / checked);

		FOREACH how IN ARRAY '{off,required}'::text[] LOOP
			-- Taken back, so that the next one finds the same.
			BEGIN
				begun := bench_cpu();
				SELECT replayed INTO last_row FROM acteon_replay_bulk(outcome => 'failed', max_records => actions, canary => 'off', verify => how);
				took := bench_cpu() - begun;
				ASSERT last_row.replayed = actions;
				RAISE EXCEPTION USING ERRCODE = 'ZZ000';
			EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
				INSERT INTO figures VALUES (how, took / actions);
			END;
		END LOOP;
		COMMIT;
	END LOOP;
END
$$;
