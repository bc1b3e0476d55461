-- Who may steer a batch, and handing it over to another role.
\set VERBOSITY terse
CALL clean();
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_acteon_ho_starter, regress_acteon_ho_member, regress_acteon_ho_set, regress_acteon_ho_op, regress_acteon_ho_part, regress_acteon_ho_admin, regress_acteon_ho_viewer, regress_acteon_ho_none, regress_acteon_ho_next;
RESET client_min_messages;
CREATE ROLE regress_acteon_ho_starter;
CREATE ROLE regress_acteon_ho_member IN ROLE regress_acteon_ho_starter;
CREATE ROLE regress_acteon_ho_set NOINHERIT IN ROLE regress_acteon_ho_starter;
CREATE ROLE regress_acteon_ho_op;
CREATE ROLE regress_acteon_ho_part;
CREATE ROLE regress_acteon_ho_admin;
CREATE ROLE regress_acteon_ho_viewer;
CREATE ROLE regress_acteon_ho_none;
CREATE ROLE regress_acteon_ho_next;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES
	('regress_acteon_ho_starter', 'operator', '{acme,globex}', '{*}', '{*}'),
	('regress_acteon_ho_op', 'operator', '{*}', '{*}', '{*}'),
	('regress_acteon_ho_part', 'admin', '{acme}', '{*}', '{*}'),
	('regress_acteon_ho_admin', 'admin', '{acme,globex}', '{*}', '{*}'),
	('regress_acteon_ho_viewer', 'viewer', '{*}', '{*}', '{*}'),
	('regress_acteon_ho_next', 'operator', '{acme}', '{*}', '{*}');
SELECT count(make_record('h-' || n, tenant => CASE n % 2 WHEN 0 THEN 'acme' ELSE 'globex' END, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s')) FROM generate_series(1, 10) AS n;
SET ROLE regress_acteon_ho_starter;
SELECT batch_id FROM acteon_replay_bulk(from_time => '2000-01-01', rate => 10, reason => 'INC-1') \gset
RESET ROLE;

-- What a role may do: the first letters of what succeeds.
CREATE FUNCTION pg_temp.may(who name, batch bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	statement text;
	answer text := '';
BEGIN
	FOREACH statement IN ARRAY array['pause(%s)', 'resume(%s)', 'set_rate(%s, 5)', 'set_rate(%s, 20)', 'set_rate(%s, NULL)', 'set_rate(%s, 10)', 'set_rate(%s, 1, tenant => ''acme'')', 'set_rate(%s, 30, tenant => ''acme'')',
		'set_start(%s, ''2100-01-01'')', 'set_start(%s, NULL)', 'settle(%s, ''cancel'', ''no'')', 'hand_over(%s, current_user::regrole)', 'pause(%s, tenant => ''acme'')', 'resume(%s, tenant => ''acme'')', 'cancel(%s, action_ids => ''{h-1}'')'] LOOP
		BEGIN
			EXECUTE format('SET ROLE %I', who);
			EXECUTE 'SELECT acteon_replay_' || format(statement, batch);
			answer := answer || split_part(statement, '(', 1) || CASE WHEN statement ~ 'set_rate' THEN ' ' || substring(statement FROM ', (\w+)') ELSE '' END || CASE WHEN statement ~ 'tenant|ids' THEN ' part' WHEN statement ~ 'start' THEN CASE WHEN statement ~ 'NULL' THEN ' now' ELSE ' later' END ELSE '' END || ', ';
			RAISE EXCEPTION 'undo' USING ERRCODE = 'ZZZZZ';
		EXCEPTION WHEN insufficient_privilege OR SQLSTATE 'ZZZZZ' THEN
			NULL;
		END;
		RESET ROLE;
	END LOOP;
	RETURN rtrim(answer, ', ');
END
$$;
SET client_min_messages = warning;
SELECT who, pg_temp.may('regress_acteon_ho_' || who, :batch_id) FROM unnest('{starter,member,set,op,part,admin,viewer,none,next}'::text[]) AS who;
RESET client_min_messages;

CREATE FUNCTION pg_temp.try(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE format('SET ROLE %I', who);
	answer := attempt(statement);
	RESET ROLE;
	RETURN answer;
END
$$;
-- who may only restrain makes no part go beside the rest of the batch, at a rate of its own; he lowers a rate that it has
SET client_min_messages = warning;
BEGIN;
SELECT state FROM acteon_replay_set_rate(:batch_id, 4, tenant => 'acme');
SELECT rate, tenant, pg_temp.try('regress_acteon_ho_op', format('SELECT (acteon_replay_set_rate(%s, %s, tenant => %L)).state', :batch_id, rate, tenant)) NOT LIKE '42501%' AS may
FROM (VALUES (3, 'globex'), (5, 'acme'), (3, 'acme'), (4, 'acme')) AS r (rate, tenant);
SELECT pg_temp.try('regress_acteon_ho_op', format('SELECT (acteon_replay_set_rate(%s, 1, provider => ''email'')).state', :batch_id)) NOT LIKE '42501%' AS may;
SELECT state FROM acteon_replay_set_rate(:batch_id, NULL);
SELECT state FROM acteon_replay_set_rate(:batch_id, NULL, tenant => 'acme');
SELECT rate, part, pg_temp.try('regress_acteon_ho_op', format('SELECT (acteon_replay_set_rate(%s, %s, %s)).state', :batch_id, rate, part)) NOT LIKE '42501%' AS may
FROM (VALUES (30, 'tenant => ''globex'''), (10, 'tenant => ''acme'''), (5, 'tenant => ''acme'', provider => ''email'''), (5, 'action_ids => ''{h-1}'''), (9, 'tenant => ''acme''')) AS r (rate, part);
ROLLBACK;
RESET client_min_messages;

-- what the errors say: who could, as far as the caller may know
SELECT who, pg_temp.try('regress_acteon_ho_' || who, format('SELECT acteon_replay_resume(%s)', :batch_id)) FROM unnest('{set,op,part,viewer,none}'::text[]) AS who;
SELECT who, pg_temp.try('regress_acteon_ho_' || who, format('SELECT acteon_replay_cancel(%s)', :batch_id)) FROM unnest('{set,part,viewer,none}'::text[]) AS who;
-- not more than five
SET client_min_messages = warning;
SELECT format('DROP ROLE IF EXISTS regress_acteon_n%s', n) FROM generate_series(1, 7) AS n \gexec
RESET client_min_messages;
SELECT format('CREATE ROLE regress_acteon_n%s ROLE regress_acteon_ho_set', n) FROM generate_series(1, 7) AS n \gexec
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) SELECT ('regress_acteon_n' || n)::regrole, 'admin', '{*}', '{*}', '{*}' FROM generate_series(1, 7) AS n;
SELECT length(answer) - length(replace(answer, 'regress_acteon_n', 'regress_acteon_')) AS named FROM pg_temp.try('regress_acteon_ho_set', format('SELECT acteon_replay_cancel(%s)', :batch_id)) AS answer;
DELETE FROM acteon_grants WHERE grantee::text LIKE 'regress_acteon_n_';
SELECT format('DROP ROLE regress_acteon_n%s', n) FROM generate_series(1, 7) AS n \gexec

-- a starter without grants, and its members, may do nothing any more
BEGIN;
DELETE FROM acteon_grants WHERE grantee = 'regress_acteon_ho_starter'::regrole;
SELECT who, pg_temp.try('regress_acteon_ho_' || who, format('SELECT acteon_replay_pause(%s)', :batch_id)) FROM unnest('{starter,member}'::text[]) AS who;
ROLLBACK;

-- while it is being enqueued, grants for what it has so far are not enough
BEGIN;
UPDATE acteon_replay_batch SET is_complete = false;
SELECT who, left(pg_temp.try('regress_acteon_ho_' || who, format('SELECT acteon_replay_pause(%s)', :batch_id)), 60) FROM unnest('{op,admin,part}'::text[]) AS who;
UPDATE acteon_replay_batch SET query = query || '{"tenant": "acme"}', scope = jsonb_path_query_array(scope, '$[*] ? (@[0] == "acme")');
SELECT who, left(pg_temp.try('regress_acteon_ho_' || who, format('SELECT acteon_replay_pause(%s)', :batch_id)), 60) FROM unnest('{op,admin,part,next}'::text[]) AS who;
ROLLBACK;
-- one that has enqueued nothing is about nothing
BEGIN;
UPDATE acteon_replay_batch SET scope = '[]';
SELECT who, left(pg_temp.try('regress_acteon_ho_' || who, format('SELECT acteon_replay_pause(%s)', :batch_id)), 60) FROM unnest('{starter,op,admin}'::text[]) AS who;
ROLLBACK;

-- handing over: to a role that could have started it
SELECT pg_temp.try('regress_acteon_ho_starter', format('SELECT acteon_replay_hand_over(%s, ''regress_acteon_ho_next'', ''shift ends'')', :batch_id));
SELECT pg_temp.try('regress_acteon_ho_starter', format('SELECT acteon_replay_hand_over(%s, ''regress_acteon_ho_viewer'')', :batch_id));
SELECT pg_temp.try('regress_acteon_ho_op', format('SELECT acteon_replay_hand_over(%s, ''regress_acteon_ho_op'')', :batch_id));
SELECT pg_temp.try('regress_acteon_ho_starter', format('SELECT acteon_replay_hand_over(%s, %L)', :batch_id, role)) FROM unnest('{NULL,0,4294967295,no_such_role}'::text[]) AS role;
UPDATE acteon_grants SET tenants = '{globex,acme}' WHERE grantee = 'regress_acteon_ho_next'::regrole;
SELECT pg_temp.try('regress_acteon_ho_starter', format('SELECT acteon_replay_hand_over(%s, ''regress_acteon_ho_starter'')', :batch_id));
SELECT pg_temp.try('regress_acteon_ho_member', format('SELECT acteon_replay_hand_over(%s, ''regress_acteon_ho_next'', ''shift ends'')', :batch_id));
SELECT requested_by, handed_to FROM acteon_replay_batches;
SELECT event, role_name, reason, details FROM acteon_replay_log WHERE event = 'hand_over';
SET client_min_messages = warning;
SELECT who, pg_temp.may('regress_acteon_ho_' || who, :batch_id) FROM unnest('{starter,member,next,admin,none}'::text[]) AS who;
RESET client_min_messages;
SELECT who, pg_temp.try('regress_acteon_ho_' || who, format('SELECT acteon_replay_resume(%s)', :batch_id)) FROM unnest('{starter,viewer}'::text[]) AS who;
-- it follows the role's name, and a later role of the name is another one
ALTER ROLE regress_acteon_ho_next RENAME TO regress_acteon_ho_other;
SELECT handed_to FROM acteon_replay_batches;
SELECT pg_temp.try('regress_acteon_ho_admin', format('SELECT acteon_replay_hand_over(%s, ''regress_acteon_ho_op'', ''the other has left'')', :batch_id));
DELETE FROM acteon_grants WHERE grantee::text = 'regress_acteon_ho_op';
SELECT pg_temp.try('regress_acteon_ho_op', format('SELECT acteon_replay_pause(%s)', :batch_id));
DROP ROLE regress_acteon_ho_op;
SELECT handed_to FROM acteon_replay_batches;
CREATE ROLE regress_acteon_ho_op;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ho_op', 'operator', '{*}', '{*}', '{*}');
SELECT left(pg_temp.try('regress_acteon_ho_op', format('SELECT acteon_replay_resume(%s)', :batch_id)), 60);
SELECT pg_temp.try('regress_acteon_ho_admin', format('SELECT acteon_replay_hand_over(%s, ''regress_acteon_ho_starter'', ''back'')', :batch_id));
SELECT requested_by, handed_to FROM acteon_replay_batches;

-- nothing is left to steer of a batch that is finished or cancelled: that is told, and it is handed over all the same
SELECT state, pg_temp.try('regress_acteon_ho_starter', format('SELECT acteon_replay_hand_over(%s, ''regress_acteon_ho_other'')', :batch_id)) FROM acteon_replay_batches;
SET client_min_messages = warning;
SELECT acteon_replay_cancel(:batch_id, 'no', tenant => 'acme') IS NOT NULL, acteon_replay_cancel(:batch_id, 'no', tenant => 'globex') IS NOT NULL;
RESET client_min_messages;
SELECT state, pg_temp.try('regress_acteon_ho_other', format('SELECT acteon_replay_hand_over(%s, ''regress_acteon_ho_starter'')', :batch_id)) FROM acteon_replay_batches;
SELECT requested_by, handed_to FROM acteon_replay_batches;
BEGIN;
SET LOCAL ROLE regress_acteon_ho_starter;
SELECT batch_id AS cancelled FROM acteon_replay_bulk(from_time => '2000-01-01', start_at => '2100-01-01', reason => 'INC-2') \gset
SELECT state, cancelled FROM acteon_replay_cancel(:cancelled, 'no');
RESET ROLE;
SELECT pg_temp.try('regress_acteon_ho_starter', format('SELECT acteon_replay_hand_over(%s, ''regress_acteon_ho_other'')', :cancelled));
ROLLBACK;

-- viewers may preview, see the causes and the lists, and replay nothing
SET ROLE regress_acteon_ho_viewer;
SELECT section, item, matched FROM acteon_replay_preview(tenant => 'acme', include_replayed => true) WHERE section IN ('total', 'plan', 'not replayable') OR item = 'matched' ORDER BY 1, 2;
SELECT j -> 'matched' AS matched, j -> 'replayable' AS replayable, j -> 'plan' AS plan FROM acteon_replay_preview('{"tenant": "acme", "include_replayed": true}'::jsonb) AS p (j);
SELECT provider, outcome, records FROM acteon_replay_causes(lost => true);
SELECT count(*) FROM acteon_replay_items(:batch_id);
SELECT public.attempt('SELECT acteon_replay_bulk(tenant => ''acme'')');
SELECT public.attempt('SELECT acteon_replay(''h-1'')');
SELECT public.attempt('SELECT * FROM acteon_replay_preview(tenant => ''acme'', patch => ''{"a": 1}'')');
RESET ROLE;
SELECT pg_temp.try('regress_acteon_ho_none', 'SELECT acteon_replay_preview(tenant => ''acme'')');
SELECT pg_temp.try('regress_acteon_ho_none', 'SELECT acteon_replay_causes(lost => true)');
-- one who may replay some, and read more, is shown what it may replay
UPDATE acteon_grants SET role = 'viewer' WHERE grantee = 'regress_acteon_ho_op'::regrole;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('regress_acteon_ho_op', 'operator', '{acme}', '{*}', '{*}');
SET ROLE regress_acteon_ho_op;
SELECT j -> 'matched' AS matched, j -> 'replayable' AS replayable FROM acteon_replay_preview('{"from": "2000-01-01T00:00:00Z", "include_replayed": true}'::jsonb) AS p (j);
RESET ROLE;

CALL clean();
DELETE FROM acteon_grants;
DROP ROLE regress_acteon_ho_starter, regress_acteon_ho_member, regress_acteon_ho_set, regress_acteon_ho_op, regress_acteon_ho_part, regress_acteon_ho_admin, regress_acteon_ho_viewer, regress_acteon_ho_none, regress_acteon_ho_other;
