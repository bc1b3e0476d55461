-- API keys, and the answers that are kept for an Idempotency-Key: arguments, errors, what is stored.
\set VERBOSITY terse
CALL clean();
CREATE ROLE regress_acteon_key;
CREATE ROLE regress_acteon_other;
CREATE ROLE regress_acteon_admin IN ROLE regress_acteon_key;
GRANT EXECUTE ON FUNCTION acteon_api_key_create, acteon_api_key_revoke TO regress_acteon_admin;

-- a key is shown once, and what is stored is its hash
SELECT acteon_api_key_create('laptop', 'regress_acteon_key') AS key \gset
SELECT :'key' ~ '^acteon_[A-Za-z0-9_-]{43}$' AS looks_like_a_key;
SELECT name, key_sha256 = sha256(:'key'::bytea) AS is_its_hash, role, created_at <= clock_timestamp() AS created, created_by = current_user AS by_me,
	last_used_at, expires_at, revoked_at
FROM acteon_api_keys;
SELECT count(*) FROM acteon_api_keys AS k WHERE k::text LIKE '%' || :'key' || '%';
SELECT key_id = (SELECT id FROM acteon_api_keys) AS its_id, key_name, role FROM acteon_api_login(sha256(:'key'::bytea));
-- no two are alike
CREATE TEMPORARY TABLE drawn AS
SELECT i, acteon_api_key_create('drawn ' || i, 'regress_acteon_key') AS key FROM generate_series(1, 100) AS i;
SELECT count(DISTINCT key) FROM drawn;
-- each of their 32 bytes is drawn, and none is another one again
CREATE TEMPORARY TABLE drawn_bytes AS
SELECT i, n, get_byte(decode(translate(substr(key, 8), '-_', '+/') || '=', 'base64'), n) AS byte FROM drawn, generate_series(0, 31) AS n;
SELECT count(*) FROM (SELECT FROM drawn_bytes GROUP BY n HAVING count(DISTINCT byte) > 50) AS varying;
SELECT count(*) FROM (SELECT FROM drawn_bytes AS a JOIN drawn_bytes AS b USING (i, byte) WHERE a.n < b.n GROUP BY a.n, b.n HAVING count(*) > 25) AS same;
DROP TABLE drawn, drawn_bytes;
SELECT count(DISTINCT key_sha256) FROM acteon_api_keys;
-- what the server does with it, in a transaction that is then somebody else's no more
BEGIN;
SELECT key_name, pg_catalog.set_config('role', role, true) FROM acteon_api_login(sha256(:'key'::bytea));
SELECT current_user, acteon_api_current_key();
COMMIT;
SELECT current_user <> 'regress_acteon_key' AS gone_after_commit, acteon_api_current_key() IS NULL AS no_key;
BEGIN;
SELECT key_name, pg_catalog.set_config('role', role, true) FROM acteon_api_login(sha256(:'key'::bytea));
ROLLBACK;
SELECT current_user <> 'regress_acteon_key' AS gone_after_rollback;
BEGIN;
SELECT key_name, pg_catalog.set_config('role', role, true) FROM acteon_api_login(sha256(:'key'::bytea));
SELECT 1 / 0;
COMMIT;
SELECT current_user <> 'regress_acteon_key' AS gone_after_error;

-- whatever is wrong with a key, the answer is the same
SELECT acteon_api_key_create('brief', 'regress_acteon_key', now() + interval '1 h') AS brief \gset
SELECT key_name FROM acteon_api_login(sha256(:'brief'::bytea));
SELECT key_id = (SELECT id FROM acteon_api_keys WHERE name = 'brief') AS its_id FROM acteon_api_login(sha256(:'brief'::bytea));
UPDATE acteon_api_keys SET expires_at = clock_timestamp() WHERE name = 'brief';
SELECT acteon_api_key_create('revoked', 'regress_acteon_key') AS revoked \gset
SELECT acteon_api_key_revoke('revoked') <= clock_timestamp() AS now;
CREATE ROLE regress_acteon_gone;
SELECT acteon_api_key_create('of nobody', 'regress_acteon_gone') AS of_nobody \gset
DROP ROLE regress_acteon_gone;
CREATE ROLE regress_acteon_promoted;
SELECT acteon_api_key_create('of a superuser', 'regress_acteon_promoted') AS of_a_superuser \gset
ALTER ROLE regress_acteon_promoted SUPERUSER;
SELECT what, attempt(format('SELECT key_name FROM acteon_api_login(%L)', hash)) FROM (VALUES
	(1, 'good', sha256(:'key'::bytea)),
	(2, 'unknown', sha256('acteon_0')),
	(3, 'expired', sha256(:'brief'::bytea)),
	(4, 'revoked', sha256(:'revoked'::bytea)),
	(5, 'its role was dropped', sha256(:'of_nobody'::bytea)),
	(6, 'its role is a superuser', sha256(:'of_a_superuser'::bytea)),
	(7, 'the key itself', :'key'::bytea),
	(8, 'too short', '\x00'),
	(9, 'one byte more', sha256(:'key'::bytea) || '\x00'),
	(10, 'empty', ''),
	(11, 'null', NULL)) AS v (n, what, hash) ORDER BY n;
-- a later role of the same name is another one; a renamed one is the same
CREATE ROLE regress_acteon_gone;
SELECT attempt(format('SELECT key_name FROM acteon_api_login(%L)', sha256(:'of_nobody'::bytea)));
DROP ROLE regress_acteon_gone;
ALTER ROLE regress_acteon_key RENAME TO "regress_acteon ""Odd"" key";
SELECT role FROM acteon_api_login(sha256(:'key'::bytea));
ALTER ROLE "regress_acteon ""Odd"" key" RENAME TO regress_acteon_key;
ALTER ROLE regress_acteon_promoted NOSUPERUSER;
SELECT role FROM acteon_api_login(sha256(:'of_a_superuser'::bytea));

-- what a key cannot be
SELECT attempt($$SELECT acteon_api_key_create(NULL, 'regress_acteon_key')$$);
SELECT attempt($$SELECT acteon_api_key_create('', 'regress_acteon_key')$$);
SELECT attempt($$SELECT acteon_api_key_create(repeat('ä', 101), 'regress_acteon_key')$$);
SELECT attempt($$SELECT length(acteon_api_key_create(repeat('ä', 100), 'regress_acteon_key'))$$);
SELECT attempt($$SELECT acteon_api_key_create('laptop', 'regress_acteon_other')$$);
SELECT attempt($$SELECT acteon_api_key_create('revoked', 'regress_acteon_key')$$);
SELECT attempt($$SELECT length(acteon_api_key_create('Laptop', 'regress_acteon_key'))$$);
SELECT attempt($$SELECT acteon_api_key_create('new', NULL)$$);
SELECT attempt($$SELECT acteon_api_key_create('new', 'no_such_role')$$);
SELECT attempt($$SELECT acteon_api_key_create('new', 4294967295)$$);
SELECT attempt($$SELECT acteon_api_key_create('new', '-')$$);
SELECT regexp_replace(attempt(format('SELECT acteon_api_key_create(%L, %L)', 'new', current_user)), '"[^"]*"', '"…"');
SELECT attempt($$SELECT acteon_api_key_create('new', 'regress_acteon_key', '2020-01-01 00:00+00')$$);
SELECT attempt($$SELECT acteon_api_key_create('new', 'regress_acteon_key', '-infinity')$$);
SELECT attempt($$SELECT length(acteon_api_key_create('for ever', 'regress_acteon_key', 'infinity'))$$);
SELECT expires_at FROM acteon_api_keys WHERE name = 'for ever';
SELECT count(*) FROM acteon_api_keys WHERE name = 'new';
-- nor by hand
SELECT split_part(attempt($$INSERT INTO acteon_api_keys (name, key_sha256, role, created_at, created_by) VALUES ('short', '\x00', 'regress_acteon_key', now(), 'me')$$), ' | ', 1);
SELECT split_part(attempt($$INSERT INTO acteon_api_keys (name, key_sha256, role, created_at, created_by) VALUES ('', sha256('x'), 'regress_acteon_key', now(), 'me')$$), ' | ', 1);
SELECT split_part(attempt($$INSERT INTO acteon_api_keys (name, key_sha256, role, created_at, created_by) VALUES ('zero', sha256('x'), 0, now(), 'me')$$), ' | ', 1);

-- whose keys one may make and revoke: those of the roles that one may become
SET ROLE regress_acteon_admin;
SELECT attempt($$SELECT length(acteon_api_key_create('by a member', 'regress_acteon_key'))$$);
SELECT attempt($$SELECT length(acteon_api_key_create('my own', 'regress_acteon_admin'))$$);
SELECT attempt($$SELECT acteon_api_key_create('not mine', 'regress_acteon_other')$$);
RESET ROLE;
SELECT length(acteon_api_key_create('of another', 'regress_acteon_other'));
SET ROLE regress_acteon_admin;
SELECT attempt($$SELECT acteon_api_key_revoke('of another')$$);
SELECT attempt($$SELECT acteon_api_key_revoke('by a member') IS NOT NULL$$);
SELECT attempt($$SELECT acteon_api_key_revoke('of nobody')$$) ~ '^42501: insufficient permissions: a key for role "[0-9]+" requires SET ROLE' AS refused;
RESET ROLE;
SELECT acteon_api_key_revoke('of nobody') IS NOT NULL AS by_a_superuser;
SELECT name, created_by FROM acteon_api_keys WHERE created_by = 'regress_acteon_admin' ORDER BY id;
-- a revoked key keeps its time
SELECT acteon_api_key_revoke('laptop') AS first \gset
SELECT acteon_api_key_revoke('laptop') = :'first' AS same, (SELECT revoked_at = :'first' FROM acteon_api_keys WHERE name = 'laptop') AS stored;
SELECT :'first'::timestamptz BETWEEN now() - interval '1 h' AND clock_timestamp() AS just_now;
-- also while the same statement is changing it
WITH changed AS (UPDATE acteon_api_keys SET expires_at = 'infinity' WHERE name = 'drawn 2' RETURNING name)
SELECT acteon_api_key_revoke(name) = acteon_api_key_revoke(name) AS same FROM changed;
SELECT expires_at, revoked_at IS NOT NULL AS revoked FROM acteon_api_keys WHERE name = 'drawn 2';
SELECT attempt($$SELECT acteon_api_key_revoke('no such key')$$);
SELECT attempt($$SELECT acteon_api_key_revoke('')$$);
SELECT attempt($$SELECT acteon_api_key_revoke(NULL)$$);
BEGIN READ ONLY;
SELECT attempt($$SELECT acteon_api_key_create('new', 'regress_acteon_key')$$);
SELECT attempt($$SELECT acteon_api_key_revoke('brief')$$);
SELECT attempt(format('SELECT key_name FROM acteon_api_login(%L)', sha256(:'of_a_superuser'::bytea)));
SELECT attempt($$SELECT acteon_api_begin(0, 'k', sha256('request'))$$);
SELECT attempt($$SELECT acteon_api_finish(0, 'k', 200, '{}')$$);
SELECT attempt($$SELECT acteon_api_housekeeping('{}', '{}')$$);
ROLLBACK;

-- the log
SELECT event, batch_id, role_name = session_role AS by_me, reason, details FROM acteon_replay_log
WHERE details ->> 'name' !~ '^(drawn|brief$|of nobody$|ä)' ORDER BY id;
SELECT event, (details ->> 'expires')::timestamptz - created_at BETWEEN interval '59 min' AND interval '1 h' AS in_an_hour
FROM acteon_replay_log JOIN acteon_api_keys AS k ON k.name = details ->> 'name' WHERE k.name = 'brief';

-- answers: the first call of a request makes it, the next ones get what it answered
BEGIN;
SELECT * FROM acteon_api_begin(1, 'k', sha256('request'));
SELECT attempt($$SELECT acteon_api_begin(1, 'k', sha256('request'))$$);
SELECT acteon_api_finish(1, 'k', 200, '{"replayed": 1}');
SELECT * FROM acteon_api_begin(1, 'k', sha256('request'));
SELECT attempt($$SELECT acteon_api_finish(1, 'k', 500, 'again')$$);
COMMIT;
SELECT * FROM acteon_api_begin(1, 'k', sha256('request'));
SELECT attempt($$SELECT acteon_api_finish(1, 'k', 500, 'later')$$);
-- another request under the same key; another API key's; another case
SELECT attempt($$SELECT acteon_api_begin(1, 'k', sha256('another'))$$);
BEGIN;
SELECT * FROM acteon_api_begin(0, 'k', sha256('another'));
SELECT * FROM acteon_api_begin(1, 'K', sha256('another'));
ROLLBACK;
SELECT key_id, idempotency_key, request_sha256 = sha256('request') AS request, status, answer FROM acteon_api_answers;
-- what is rolled back was not made
BEGIN;
SELECT * FROM acteon_api_begin(1, 'l', sha256('request'));
SELECT acteon_api_finish(1, 'l', 200, 'lost');
ROLLBACK;
BEGIN;
SELECT * FROM acteon_api_begin(1, 'l', sha256('request'));
SAVEPOINT s;
SELECT acteon_api_finish(1, 'l', 200, 'lost');
ROLLBACK TO s;
SELECT acteon_api_finish(1, 'l', 201, '');
COMMIT;
SELECT * FROM acteon_api_begin(1, 'l', sha256('request'));
-- a request that was begun in a subtransaction, and one of another transaction that was never finished
BEGIN;
SAVEPOINT s;
SELECT * FROM acteon_api_begin(1, 'm', sha256('request'));
RELEASE s;
SELECT acteon_api_finish(1, 'm', 200, 'in a subtransaction');
COMMIT;
SELECT * FROM acteon_api_begin(1, 'm', sha256('request'));
SELECT * FROM acteon_api_begin(1, 'unfinished', sha256('request'));
SELECT attempt($$SELECT acteon_api_begin(1, 'unfinished', sha256('request'))$$);
SELECT attempt($$SELECT acteon_api_finish(1, 'unfinished', 200, '')$$);
SELECT attempt($$SELECT acteon_api_finish(1, 'never begun', 200, '')$$);
-- after a day it is as if it had not been
UPDATE acteon_api_answers SET created_at = now() - interval '23 h 59 min';
SELECT * FROM acteon_api_begin(1, 'k', sha256('request'));
UPDATE acteon_api_answers SET created_at = now() - interval '24 h';
BEGIN;
SELECT * FROM acteon_api_begin(1, 'k', sha256('another'));
SELECT status, answer, created_at > now() - interval '1 min' AS new FROM acteon_api_answers WHERE idempotency_key = 'k';
SELECT acteon_api_finish(1, 'k', 202, 'anew');
COMMIT;
SELECT * FROM acteon_api_begin(1, 'k', sha256('another'));
-- arguments
SELECT attempt($$SELECT acteon_api_begin(NULL, 'k', sha256('request'))$$);
SELECT attempt($$SELECT acteon_api_begin(1, NULL, sha256('request'))$$);
SELECT attempt($$SELECT acteon_api_begin(1, '', sha256('request'))$$);
SELECT attempt($$SELECT acteon_api_begin(1, repeat('ä', 128), sha256('request'))$$);
SELECT attempt($$SELECT count(*) FROM acteon_api_begin(1, repeat('ä', 127) || 'x', sha256('request'))$$);
SELECT attempt($$SELECT acteon_api_begin(1, 'k', NULL)$$);
SELECT attempt($$SELECT acteon_api_begin(1, 'k', '\x00')$$);
SELECT attempt($$SELECT acteon_api_finish(NULL, 'k', 200, '')$$);
SELECT attempt($$SELECT acteon_api_finish(1, 'k', NULL, '')$$);
SELECT attempt($$SELECT acteon_api_finish(1, 'k', 99, '')$$);
SELECT attempt($$SELECT acteon_api_finish(1, 'k', 600, '')$$);
SELECT attempt($$SELECT acteon_api_finish(1, 'k', 200, NULL)$$);

-- of several uses of a key, in any order, the last one is noted
BEGIN;
SELECT acteon_api_key_create('k', 'regress_acteon_key') IS NOT NULL AS one_byte;
SELECT acteon_api_housekeeping(array_fill(id, ARRAY[3]), '{2026-01-02,2026-01-04,2026-01-03}') FROM acteon_api_keys WHERE name = 'k';
SELECT last_used_at::date FROM acteon_api_keys WHERE name = 'k';
ROLLBACK;
-- housekeeping: the old ones go
SELECT acteon_api_housekeeping('{}', '{}');
SELECT idempotency_key FROM acteon_api_answers WHERE octet_length(idempotency_key) < 255 ORDER BY 1;
-- so many in a call
INSERT INTO acteon_api_answers (key_id, idempotency_key, request_sha256, created_at)
SELECT 0, 'old ' || i, sha256('x'), now() - interval '2 days' FROM generate_series(1, 10003) AS i;
SELECT acteon_api_housekeeping('{}', '{}') FROM generate_series(1, 3);
-- the last use of a key, never an earlier one, whatever order they come in
SELECT array_agg(id ORDER BY id) AS ids FROM acteon_api_keys WHERE name IN ('laptop', 'drawn 1') \gset
SELECT acteon_api_housekeeping(:'ids'::bigint[] || (:'ids'::bigint[])[1] || '{4711}'::bigint[], '{2026-01-02,2026-01-05,2026-01-03,2026-01-01}');
SELECT name, last_used_at::date FROM acteon_api_keys WHERE last_used_at IS NOT NULL ORDER BY id;
SELECT acteon_api_housekeeping(:'ids', '{2026-01-02,2026-01-06}');
SELECT name, last_used_at::date FROM acteon_api_keys WHERE last_used_at IS NOT NULL ORDER BY id;
SELECT attempt($$SELECT acteon_api_housekeeping(NULL, '{}')$$);
SELECT attempt($$SELECT acteon_api_housekeeping('{}', NULL)$$);
SELECT attempt($$SELECT acteon_api_housekeeping('{1}', '{}')$$);
SELECT attempt($$SELECT acteon_api_housekeeping('{NULL}', '{2026-01-01}')$$);
SELECT attempt($$SELECT acteon_api_housekeeping('{1}', '{NULL}')$$);
SELECT attempt($$SELECT acteon_api_housekeeping('{{1}}', '{{2026-01-01}}')$$);

-- columns and indexes that a DBA has added are kept; a trigger that would not run is refused
BEGIN;
ALTER TABLE acteon_api_keys ADD COLUMN owner text DEFAULT 'nobody';
ALTER TABLE acteon_api_answers ADD COLUMN note text;
CREATE INDEX regress_acteon_used_idx ON acteon_api_keys (last_used_at);
SELECT length(acteon_api_key_create('wider', 'regress_acteon_key'));
UPDATE acteon_api_keys SET owner = 'somebody' WHERE name = 'wider';
SELECT acteon_api_housekeeping(ARRAY[id], '{2026-01-07}') FROM acteon_api_keys WHERE name = 'wider';
SELECT acteon_api_key_revoke('wider') IS NOT NULL AS revoked;
SELECT owner, last_used_at::date, revoked_at IS NOT NULL AS revoked FROM acteon_api_keys WHERE name = 'wider';
SET LOCAL enable_seqscan = off;
SELECT name FROM acteon_api_keys WHERE last_used_at = '2026-01-07';
SELECT * FROM acteon_api_begin(2, 'wider', sha256('request'));
SELECT acteon_api_finish(2, 'wider', 200, 'kept');
SELECT answer, note FROM acteon_api_answers WHERE key_id = 2;
CREATE FUNCTION pg_temp.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER nothing BEFORE UPDATE ON acteon_api_keys FOR EACH ROW EXECUTE FUNCTION pg_temp.nothing();
SELECT attempt($$SELECT acteon_api_key_revoke('laptop')$$);
ROLLBACK;
-- the statements that a session has kept follow the extension
SELECT acteon_api_housekeeping('{}', '{}');
CREATE SCHEMA "regress acteon";
ALTER EXTENSION acteon_replay SET SCHEMA "regress acteon";
SELECT * FROM "regress acteon".acteon_api_begin(1, 'k', sha256('another'));
ALTER SCHEMA "regress acteon" RENAME TO regress_acteon_there;
SELECT * FROM regress_acteon_there.acteon_api_begin(1, 'k', sha256('another'));
ALTER EXTENSION acteon_replay SET SCHEMA public;
SELECT * FROM acteon_api_begin(1, 'k', sha256('another'));
DROP SCHEMA regress_acteon_there;

TRUNCATE acteon_api_keys, acteon_api_answers;
CALL clean();
REVOKE ALL ON FUNCTION acteon_api_key_create, acteon_api_key_revoke FROM regress_acteon_admin;
DROP ROLE regress_acteon_key, regress_acteon_other, regress_acteon_admin, regress_acteon_promoted;
