-- acteon_replay_causes: what is lost, and why; and the signatures of errors, by which records are counted and selected.
SET timezone = 'UTC';
SET datestyle = 'ISO';
CALL clean();

-- What errors become.
CREATE TABLE error_text (n integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY, error text);
INSERT INTO error_text (error) VALUES
	-- as the gateway writes them
	('connection error: error sending request for url (http://127.0.0.1:38873/x)'),
	('provider not found: nosuch'),
	('connection error: HTTP 500 Internal Server Error: {"error":"down"}'),
	('timeout after 2s'),
	('timeout after 1m30s'),
	('timeout after 30000ms'),
	('execution failed: error sending request for url (http://127.0.0.1:38871/reset/reset)'),
	('rate limited, retry after 17.5s'),
	-- mail
	('550 5.1.1 <bob@x.example>: Recipient address rejected: User unknown in virtual mailbox table'),
	('421 4.7.0 [203.0.113.7] Our system has detected an unusual rate of unsolicited mail. e13si2204131qkj.282 - gsmtp'),
	('452 4.2.2 The email account that you tried to reach is over quota: jane.doe+news@mail.example.org'),
	('554 5.7.1 Service unavailable; Client host [198.51.100.23] blocked using zen.spamhaus.org'),
	('451 4.3.0 <4Fk9dQ0xYzz3hPq@mx1.example.com>: temporary failure (queue id 4Fk9dQ0xYz)'),
	('Message bounced at Thu, 15 Jan 2026 12:00:00 GMT'),
	('Date: 3 Feb 2026 04:05:06 +0100; permanent failure'),
	-- HTTP
	('HTTP 429 Too Many Requests'),
	('GET https://api.example.com/v1/users/12345/orders/550e8400-e29b-41d4-a716-446655440000?token=abc&page=2#top: 404'),
	('POST https://user:secret@hooks.example.com:8443/T02AB/B03CD/x9Y8z7 failed'),
	('{"error":"rate limit exceeded","request_id":"req_9f3kZx92Qa","retry_after":17}'),
	('{"error": {"code": "E42", "message": "no such template 1234", "trace": "a b c"}, "user": "bob"}'),
	('{"title":"Not found","status":404,"instance":"/orders/77"}'),
	('<html><head><title>502 Bad Gateway</title></head></html>'),
	('upstream connect error or disconnect/reset before headers. reset reason: connection timeout, transport failure reason: delayed connect error: 111'),
	('x-request-id: 5b2f7d1e-98a1-4b6c-8d7e-0f1a2b3c4d5e'),
	('Retry-After: 2026-01-15T12:30:00Z'),
	-- networks
	('dial tcp 10.1.2.3:443: connect: connection refused'),
	('dial tcp [2001:db8::1]:443: i/o timeout'),
	('fe80::1ff:fe23:4567:890a: no route to host'),
	('lookup smtp.example.com:587: no such host'),
	('could not connect to localhost:5432'),
	('getaddrinfo ENOTFOUND db-1.internal'),
	('read tcp 10.0.0.1:51234->10.0.0.2:443: read: connection reset by peer'),
	('TLS handshake failed: certificate expired 2026-01-14 23:59:59 UTC'),
	('no route to ::1'),
	-- databases
	('ERROR:  duplicate key value violates unique constraint "orders_pkey" DETAIL:  Key (id)=(12345) already exists.'),
	('column "foo" of relation "bar" does not exist'),
	('deadlock detected: Process 4711 waits for ShareLock on transaction 99812; blocked by process 4712.'),
	('ORA-00001: unique constraint (APP.PK_ORDERS) violated'),
	('Duplicate entry ''bob@x.example'' for key ''users.email'''),
	-- programs
	('panic: runtime error: invalid memory address [signal SIGSEGV: segmentation violation code=0x1 addr=0x7ffde1a2 pc=0x6b1c2d]'),
	('at com.acme.mail.Mailer.send(Mailer.java:142)'),
	('  File "/srv/app/send.py", line 17, in send'),
	('TypeError: Cannot read properties of undefined (reading ''to'') at render (/app/src/render.js:10:25)'),
	('thread ''tokio-runtime-worker'' panicked at src/main.rs:88:14'),
	('terminate called after throwing an instance of std::bad_alloc'),
	('Faraday::TimeoutError: execution expired'),
	('worker-12 job 8f14e45fceea167a5a36dedd4bea2543 failed'),
	('commit 0dd2f6c not found; sha256 mismatch'),
	('order A-2041/7 (v1.2.3-rc1) x86_64 utf8'),
	('1,234,567 of 2,000,000 rows'),
	('price is 1.50, not 12.25'),
	-- quotation marks
	('can''t connect to ''db-1'': don''t know why'),
	('unexpected token `foo bar` near "baz'),
	('empty "" and '''' are kept'),
	('"say \"hi\"" is not JSON'),
	-- languages
	('Empfänger »Müller« unbekannt: Straße 12'),
	('エラー 123 が発生しました: ユーザー 45'),
	('не найден пользователь 77'),
	('用户 42 不存在'),
	('😀 12 😀'),
	-- space, placeholders, nothing
	(E'line one\n\tline  two\r\n\r\n  line three 3  '),
	('already <number> and <email>, <b>bold</b>'),
	('1 2 3'),
	('-'),
	('   '),
	(''),
	(NULL),
	-- long ones end between two words or characters
	(repeat('word 12 ', 200)),
	(repeat('エ', 1000)),
	(repeat('x', 1000)),
	(repeat('<', 1000));
SELECT n, acteon_error_signature(error) AS signature FROM error_text WHERE n <= (SELECT count(*) - 4 FROM error_text) ORDER BY n;
SELECT n, octet_length(error) AS bytes, octet_length(s) AS of_signature, left(s, 20) AS from_here, right(s, 20) AS to_here
FROM error_text, acteon_error_signature(error) AS s WHERE n > (SELECT count(*) - 4 FROM error_text) ORDER BY n;

-- The signature of a signature is itself.
SELECT n, error FROM error_text WHERE acteon_error_signature(acteon_error_signature(error)) <> acteon_error_signature(error);
-- … also with some of the rules, of what is nearly an address or a time, has other blanks, or is cut.
SELECT right(error, 30) AS error, right(s, 30) AS signature, acteon_error_signature(s, rules) = s AS stable
FROM (VALUES ('~0:0:::0:0:::]', 'ip'), (')::2:2:3::.4::', 'ip'), ('/::d:d:d4::d:dd:4d:::d:d4', 'time,ip'), ('fe80::1: refused, 10.0.0.1. Again', 'ip'), (E'5\tJan 2026 12:00:00\n UTC', 'time'), (E'Thu,\t15\x01Jan  2026', 'time'), (E'2026-01-15\t12:00:00', 'time'), ('22:00:00.5Z4e', 'time,id'), (repeat('x ', 252) || '5.6.7.8.9V5', 'ip')) AS t (error, rules),
	acteon_error_signature(error, rules) AS s;
-- Texts that differ only in their numbers, which may be longer or shorter, have the same.
SELECT n, changed FROM error_text, regexp_replace(error, '(^|[^0-9.,:a-zA-Z<-])[0-9]+(?=$|[^0-9.,:a-zA-Z-])', '\16' || repeat('1', n % 7), 'g') AS changed
WHERE error !~ '[0-9]{4}-[0-9]{2}|[0-9] (Jan|Feb)' AND acteon_error_signature(changed) <> acteon_error_signature(error);
SELECT count(*) FROM generate_series(0, 5000) AS i WHERE acteon_error_signature('request ' || i || ' took ' || i * i || ' of ' || i % 7 || '.' || i || ' seconds') <> 'request <number> took <number> of <number> seconds';
-- No signature is longer than 512 bytes, or empty unless the text is.
SELECT n FROM error_text WHERE octet_length(acteon_error_signature(error)) > 512 OR (acteon_error_signature(error) = '') <> (error !~ '\S');
-- Random texts out of what rules look at.
SELECT setseed(0.13);
SELECT count(*), count(*) FILTER (WHERE acteon_error_signature(s) <> s) AS unstable, min(t) FILTER (WHERE acteon_error_signature(s) <> s) AS example, bool_and(octet_length(s) <= 512) AS short
FROM (SELECT t, acteon_error_signature(t) AS s
	FROM (SELECT (SELECT string_agg((ARRAY['''', '"', '`', '<', '>', '@', 'http://', '?', '#', ':', '::', '.', '-', ',', '1', '12', '2026-01-15', '12:00:00', 'T', 'Z', 'ms', 's', ' ', '{', '}', '"error":',
				'"k"', 'ab1', 'dead', 'beef', '0x', '1.2.3.4', 'fe80', 'x.com', 'é', 'エ', '\', '<number>', '<value>', '%', '_', '[', ']', '(', ')', '/', 'Thu, ', '15 Jan 2026', 'a1b2c3', E'\n', 'bob', 'word'])[1 + floor(random() * 52)::integer], '')
			FROM generate_series(1, 1 + i % 300) WHERE i > 0) AS t FROM generate_series(1, 6000) AS i OFFSET 0) AS r OFFSET 0) AS made;

-- Each rule alone, and none.
SELECT rule, acteon_error_signature('at 12:00:00 bob@x.example 10.0.0.1 db.example:5432 "v" 0xff a1b2c3g4 550e8400-e29b-41d4-a716-446655440000 https://u@h/?q 7', rule) AS signature
FROM unnest('{url,email,uuid,time,ip,host,quoted,hex,id,number,"","number, id",NULL}'::text[]) AS rule;
SELECT acteon_error_signature('1', 'number,nosuch');
-- It can be indexed.
CREATE INDEX error_text_signature ON error_text (acteon_error_signature(error));
SELECT provolatile, proparallel, proisstrict FROM pg_proc WHERE proname = 'acteon_error_signature';

-- An outage under several names, and what is none.
CREATE ROLE regress_acteon_causes;
CREATE ROLE regress_acteon_causes_reader;
CREATE ROLE regress_acteon_causes_nobody;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
	('regress_acteon_causes', 'operator', '{acme}', '{*}', '{*}', '{*}'), ('regress_acteon_causes', 'viewer', '{initech}', '{*}', '{*}', '{*}'), ('regress_acteon_causes_reader', 'viewer', '{*}', '{*}', '{*}', '{*}');
CREATE FUNCTION pg_temp.failed(name text, message text, at text DEFAULT '12:00', tenant text DEFAULT 'acme', provider text DEFAULT 'email') RETURNS text LANGUAGE sql AS
	$$SELECT make_record(name, tenant => tenant, provider => provider, at => ('2026-01-01 ' || at || '+00')::timestamptz, details => jsonb_build_object('code', 'X', 'message', message, 'attempts', 1, 'retryable', true))$$;
SELECT count(pg_temp.failed('time ' || n, format('timeout after %ss', n), '12:' || 10 + n, tenant => CASE n % 4 WHEN 0 THEN 'acme.eu' ELSE 'acme' END)) FROM generate_series(1, 9) AS n;
SELECT count(pg_temp.failed('mail ' || n, format('550 5.1.1 <u%s@x.example>: rejected', n), '13:' || 10 + n)) FROM generate_series(1, 6) AS n;
SELECT count(make_record('open ' || n, outcome => 'circuit_open', at => '2026-01-01 12:30+00', details => '{"provider": "email", "fallback_chain": []}')) FROM generate_series(1, 4) AS n;
SELECT pg_temp.failed('secret', 'secret of globex', tenant => 'globex'), pg_temp.failed('time globex', 'timeout after 5s', '14:00', 'globex'), pg_temp.failed('time initech', 'timeout after 5s', '10:00', 'initech'),
	make_record('no text'), make_record('odd', details => '[1]'), make_record('odd 2', details => '{"message": 7, "error": "the error"}'),
	make_record('refused', outcome => 'executed', details => '{"status": "Failure"}', at => '2026-01-01 11:00+00', provider => 'hook'), make_record('refused 2', outcome => 'executed', details => '{"status": "Failure", "status_code": 503}', provider => 'hook'),
	make_record('well', outcome => 'executed', details => '{"status": "Success"}'), make_record('throttled', outcome => 'throttled', details => '{"retry_after_secs": 60}'),
	make_record('quota', outcome => 'quota_exceeded', details => '{"used": 2, "limit": 1}'), make_record('ruled', outcome => 'suppressed', verdict => 'suppress', details => '{"rule": "block 7"}'),
	make_record('ruled 2', outcome => 'suppressed', verdict => 'suppress', details => '{"rule": "block 8"}'), make_record('muted', outcome => 'muted', details => '{"reason": "mute_time_interval", "interval": "night 1"}'),
	make_record('silenced', outcome => 'silenced', details => '{"silence_id": "01a21a4c-696e-7b91-b4a6-3b015f74131c"}'), make_record('intent', outcome => 'pending', details => '{"phase": "intent"}'),
	make_record('step', outcome => 'chain_step_failed', details => '{"error": "step 3 failed"}'), pg_temp.failed('internal', 'internal', provider => 'chain');
-- one that failed twice, and one that succeeded afterwards
SELECT pg_temp.failed('twice', 'timeout after 7s', '12:50'), make_record('twice', id => 'again', outcome => 'circuit_open', at => '2026-01-01 12:51+00'),
	pg_temp.failed('mended', 'timeout after 7s', '12:52'), make_record('mended', outcome => 'executed', at => '2026-01-01 12:53+00', details => '{"status": "Success"}');

SELECT * FROM acteon_replay_causes();
SELECT count(*), sum(records) FROM acteon_replay_causes(lost => true);
-- what the filters say
SELECT outcome, signature, records FROM acteon_replay_causes(outcome => 'suppressed,muted,silenced,executed,pending,chain_step_failed');
SELECT provider, outcome, signature, records FROM acteon_replay_causes(from_time => '2026-01-01 13:00+00', to_time => '2026-01-01 15:00+00');
SELECT outcome, signature, records FROM acteon_replay_causes(verdict => 'suppress');
SELECT provider, outcome, signature, records FROM acteon_replay_causes(lost => true, certain => true);
SELECT signature, records FROM acteon_replay_causes(outcome => 'failed', signature_rules => 'email') WHERE signature ~ '550|after 5s' ORDER BY signature COLLATE "C";
SELECT signature, records FROM acteon_replay_causes(max_causes => 2);
SELECT acteon_replay_causes(max_causes => 0);
SELECT acteon_replay_causes(signature_rules => 'x');
SELECT acteon_replay_causes(certain => true, tenant => 'acme');

-- A caller sees the causes of what its grants cover, and nothing of the rest.
SET ROLE regress_acteon_causes;
SELECT provider, outcome, signature, records, tenants, some_tenants, sample_action_id FROM acteon_replay_causes();
SELECT count(*) FROM acteon_replay_causes() WHERE signature ~ 'globex' OR sample_action_id ~ 'globex|secret' OR some_tenants::text ~ 'globex';
SELECT item, matched, replayable FROM acteon_replay_preview(lost => true) WHERE section = 'cause';
-- the first five causes, and how many others there are
SELECT item, matched, replayable, note FROM acteon_replay_preview(outcome => 'failed,circuit_open,throttled,suppressed,quota_exceeded') WHERE section = 'cause';
SELECT jsonb_pretty(acteon_replay_preview('{"outcome": "circuit_open"}'::jsonb) -> 'causes') AS causes;
SELECT count(*) FROM acteon_replay_preview(outcome => 'executed') WHERE section = 'cause';
SET ROLE regress_acteon_causes_nobody;
SELECT acteon_replay_causes();
RESET ROLE;

-- The signature is a filter: it selects what the cause counts, in every call.
SELECT c.provider, c.outcome, c.signature, c.records, p.matched
FROM acteon_replay_causes() AS c, LATERAL (SELECT matched FROM acteon_replay_preview(lost => true, provider => c.provider, signature => c.signature) WHERE section = 'total') AS p
WHERE p.matched <> (SELECT sum(records) FROM acteon_replay_causes() AS other WHERE (other.provider, other.signature) = (c.provider, c.signature));
SELECT c.signature, c.records, p.matched
FROM acteon_replay_causes(from_time => '2000-01-01') AS c, LATERAL (SELECT matched FROM acteon_replay_preview(provider => c.provider, outcome => c.outcome, signature => c.signature) WHERE section = 'total') AS p WHERE p.matched <> c.records;
-- so does the error as a pattern; and what is left out by its error is all that has it
SELECT c.outcome, c.signature, c.records, p.matched, r.matched AS others, s.matched AS without_pattern, a.matched AS in_all
FROM acteon_replay_causes(from_time => '2000-01-01', signature_rules => '') AS c,
	regexp_replace(c.signature, '[\\%_]', '\\\&', 'g') AS pattern,
	LATERAL (SELECT matched FROM acteon_replay_preview(provider => c.provider, outcome => c.outcome, error_like => pattern) WHERE section = 'total') AS p,
	LATERAL (SELECT matched FROM acteon_replay_preview(provider => c.provider, outcome => c.outcome, signature_rules => '', exclude => jsonb_build_object('signature', c.signature)) WHERE section = 'total') AS r,
	LATERAL (SELECT matched FROM acteon_replay_preview(provider => c.provider, outcome => c.outcome, exclude => jsonb_build_object('error_like', pattern)) WHERE section = 'total') AS s,
	LATERAL (SELECT matched FROM acteon_replay_preview(provider => c.provider, outcome => c.outcome) WHERE section = 'total') AS a
WHERE p.matched <> c.records OR r.matched <> a.matched - c.records OR s.matched <> r.matched;
-- an error as it is stands for its signature; the name of a rule is one
SELECT signature, (SELECT sum(records) FROM acteon_replay_causes(signature => s.signature)) AS records FROM (VALUES ('timeout after <time>'), ('timeout after 5s'), ('timeout after 5'), ('block 7'), ('block <number>'), ('')) AS s (signature);
SELECT section, item, matched, replayable FROM acteon_replay_preview(signature => 'timeout after 1s', sample => 2) WHERE section NOT IN ('query', 'plan', 'time', 'action type');
SELECT (acteon_replay_preview('{"signature": "timeout after 1s", "signature_rules": "time"}'::jsonb) -> 'query') - '{to,from}'::text[] AS query;
-- with lost it is the last record of an action that counts
SELECT s, matched FROM unnest('{timeout after <time>,circuit breaker is open}'::text[]) AS s, acteon_replay_preview(lost => true, signature => s) WHERE section = 'total';
SELECT s, matched FROM unnest('{timeout%,circuit breaker is open}'::text[]) AS s, acteon_replay_preview(lost => true, error_like => s) WHERE section = 'total';
SELECT s, matched, replayable FROM unnest('{timeout%,circuit breaker is open,none}'::text[]) AS s, acteon_replay_preview(lost => true, exclude => jsonb_build_object('error_like', s)) WHERE section = 'total';
-- what is left out has the signature as well
SELECT pg_temp.failed('future', 'timeout after 1s', '12:00'), pg_temp.failed('future 2', 'other', '12:00');
UPDATE acteon_audit SET dispatched_at = '2100-01-01' WHERE action_id ~ '^future';
SELECT section, item, matched FROM acteon_replay_preview(signature => 'timeout after <time>') WHERE section = 'left out';
SELECT section, item, matched FROM acteon_replay_preview(outcome => 'failed,pending') WHERE section = 'left out';
SELECT section, item, matched FROM acteon_replay_preview(outcome => 'failed,pending', exclude => '{"error_like": "timeout%"}') WHERE section = 'left out';
SELECT section, item, matched FROM acteon_replay_preview(exclude => '{"signature": "timeout after <time>", "tenant": "acme"}') WHERE section = 'left out';

-- A bulk replay goes on from page to page, and what does not match takes no place.
SELECT replayed, failed, skipped, next_cursor IS NOT NULL AS more FROM acteon_replay_bulk(outcome => 'failed', tenant => 'acme', signature => 'timeout after <time>', max_records => 3);
CREATE TEMPORARY TABLE page AS SELECT 0 AS n, next_cursor FROM acteon_replay_bulk(tenant => 'acme', signature => '550 5.1.1 <a@b>: rejected', max_records => 2);
INSERT INTO page SELECT 1, b.next_cursor FROM page AS p, acteon_replay_bulk(tenant => 'acme', signature => '550 5.1.1 <a@b>: rejected', max_records => 2, cursor => p.next_cursor) AS b WHERE n = 0;
INSERT INTO page SELECT 2, b.next_cursor FROM page AS p, acteon_replay_bulk(tenant => 'acme', signature => '550 5.1.1 <a@b>: rejected', max_records => 2, cursor => p.next_cursor) AS b WHERE n = 1;
SELECT n, next_cursor IS NOT NULL AS more FROM page ORDER BY n;
SELECT acteon_replay_bulk(tenant => 'acme', signature => 'another', cursor => next_cursor) FROM page WHERE n = 0;
SELECT batch_id, count(*), min(original_action_id), max(original_action_id) FROM acteon_dispatch_outbox GROUP BY batch_id ORDER BY batch_id;
CALL acteon_replay_all(tenant => 'acme', signature => 'timeout after <time>', outcome => 'failed', chunk => 2);
SELECT matched, replayed FROM acteon_replay_batch ORDER BY id DESC LIMIT 1;
SELECT acteon_replay_bulk('{"signature": "circuit breaker is open", "limit": 2}'::jsonb) - 'results' - 'next_cursor' AS answer;
SELECT acteon_replay_bulk('{"signature": 7}'::jsonb);
SELECT query FROM acteon_replay_batch ORDER BY id DESC LIMIT 1;
SELECT count(*) AS of_others FROM acteon_dispatch_outbox AS o JOIN acteon_audit AS a ON a.action_id = o.original_action_id AND a.dispatched_at < '2026-01-02'
WHERE a.outcome_details ->> 'message' !~ '^(timeout|550)' AND a.outcome <> 'circuit_open';

DROP TABLE error_text;
DELETE FROM acteon_grants WHERE grantee::text ~ '^regress_acteon_causes';
DROP ROLE regress_acteon_causes, regress_acteon_causes_reader, regress_acteon_causes_nobody;
CALL clean();
