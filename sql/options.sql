-- What a replay can be asked.  The signatures and comments of the functions have what the
-- table of options says (src/query/options.def), and numbers are taken up to their bounds
-- and refused beyond them, by whatever way they come.
CALL clean();
CREATE FUNCTION pg_temp.replay_options() RETURNS json AS '$libdir/acteon_replay', 'acteon_replay_options' LANGUAGE C;
CREATE TEMPORARY TABLE option AS
	SELECT * FROM json_to_recordset(pg_temp.replay_options()) AS o (place integer, argument text, key text, type text, "default" text, least text, most text, below text, is_limit boolean, calls text[], choices text[], help text, in_sql text, over_http text, hint text, not_empty boolean, is_filter boolean);
SELECT count(*) > 35 AS there_are_some FROM option;

-- What the table wants of a function, and what the function has.  The reason is the first of
-- acteon_replay, and the times are the last; a call that takes any number of records has no default for it.
CREATE TEMPORARY VIEW wanted AS
	SELECT call AS function, o.argument, o.type,
		CASE WHEN o."default" IS NULL OR o.is_limit AND call <> 'acteon_replay_bulk' THEN 'NULL::' || o.type WHEN o.type = 'text' THEN quote_literal(o."default") || '::text' ELSE o."default" END AS "default",
		row_number() OVER (PARTITION BY call ORDER BY call = 'acteon_replay' AND o.argument = 'reason' DESC, call = 'acteon_replay' AND o.argument ~ '_time$', o.place) AS place
	FROM option AS o CROSS JOIN unnest(o.calls) AS call WHERE call ~ '^acteon_';
CREATE TEMPORARY VIEW form AS
	SELECT oid, proname AS function, (proargnames[1] = 'action_id')::integer AS before,
		proname || CASE proargnames[1] WHEN 'action_id' THEN format('(action_id %s)', format_type(proargtypes[0], NULL)) ELSE '' END AS name FROM pg_proc
	WHERE proname IN ('acteon_replay', 'acteon_replay_bulk', 'acteon_replay_preview', 'acteon_replay_all', 'acteon_replay_causes', 'acteon_replay_timeline') AND proargnames[1] <> 'query';
CREATE TEMPORARY VIEW found AS
	SELECT f.oid, f.name, p.proargnames[i] AS argument, format_type(p.proargtypes[i - 1], NULL) AS type, pg_get_function_arg_default(p.oid, i) AS "default", i - f.before AS place
	FROM form AS f JOIN pg_proc AS p USING (oid) CROSS JOIN generate_series(1 + f.before, p.pronargs) AS i WHERE coalesce(p.proargmodes[i], 'i') = 'i';
SELECT function, count(*) FROM form GROUP BY function ORDER BY function;
SELECT format('%s: ', coalesce(w.name, f.name) COLLATE "C") || CASE
		WHEN f.argument IS NULL THEN format('there is no argument %s %s DEFAULT %s', w.argument, w.type, w."default")
		WHEN w.argument IS NULL THEN format('the table has no option for the argument %s', f.argument)
		ELSE format('argument %s is %s DEFAULT %s at place %s, the table says %s DEFAULT %s at place %s', f.argument, f.type, coalesce(f."default", '(none)'), f.place, w.type, w."default", w.place) END AS wrong
FROM (SELECT form.oid, form.name, wanted.* FROM form JOIN wanted USING (function)) AS w FULL JOIN found AS f ON (f.oid, f.argument) = (w.oid, w.argument)
WHERE (f.argument, f.type, f."default", f.place) IS DISTINCT FROM (w.argument, w.type, w."default", w.place)
ORDER BY 1;

-- The comment of acteon_replay_bulk says what each argument means, those of the others what they have besides.
SELECT format('COMMENT ON %s has no line: %s: %s', f.function, o.argument, concat_ws('. ', o.help, o.in_sql)) AS wrong
FROM option AS o CROSS JOIN form AS f
WHERE f.function = CASE WHEN 'acteon_replay_bulk' = ANY (o.calls) THEN 'acteon_replay_bulk' ELSE o.calls[1] END
	AND format('%s: %s', o.argument, concat_ws('. ', o.help, o.in_sql)) <> ALL (string_to_array(obj_description(f.oid, 'pg_proc'), E'\n'))
ORDER BY o.place;

-- Help begins small, and no text ends with a full stop; a default is within the bounds, and one of the choices;
-- an integer has bounds; and where a value can be refused there is a hint.
SELECT argument, key FROM option WHERE help ~ '^[A-Z]' OR help IS NULL OR help || '  ' || coalesce(in_sql, 'x') || '  ' || coalesce(over_http, 'x') ~ '\.(?:  |$)'
	OR type IN ('integer', 'numeric') AND ("default"::numeric < least::numeric OR "default"::numeric > most::numeric OR "default"::numeric >= below::numeric)
	OR type = 'integer' AND (least IS NULL OR most IS NULL)
	OR 'query' = ANY (calls) AND hint IS NULL AND (type IN ('integer', 'numeric') OR choices <> '{}' OR not_empty)
	OR "default" IS NOT NULL AND choices <> '{}' AND "default" <> ALL (choices);

-- Whether a statement runs, or what it says.
CREATE FUNCTION pg_temp.tried(statement text) RETURNS text LANGUAGE sql AS $$SELECT regexp_replace(public.attempt($1), '^(?!22023: ).*$', 'taken')$$;

-- A replay of many has a filter: each of these is enough, be it empty, and nothing else is, but what is wrong by itself; a plan brings its own.
CREATE TEMPORARY VIEW alone AS
	SELECT o.place, o.argument, o.key, o.is_filter, v.value, CASE WHEN o.type IN ('integer', 'numeric', 'boolean', 'jsonb') THEN v.value WHEN o.type = 'text[]' THEN to_json(v.value::text[])::text ELSE to_json(v.value)::text END AS json
	FROM option AS o CROSS JOIN LATERAL unnest(CASE WHEN o.choices <> '{}' THEN o.choices WHEN o.type = 'text' THEN ARRAY['none', ''] WHEN o.type = 'boolean' THEN ARRAY['true', 'false']
		WHEN o.type IN ('integer', 'numeric') THEN ARRAY[o.least] WHEN o.type = 'text[]' THEN ARRAY['{none}', '{}'] WHEN o.type = 'interval' THEN ARRAY['PT1H'] WHEN o.type = 'jsonb' THEN ARRAY['{"provider": "none"}'] ELSE ARRAY['2020-01-01T00:00:00Z'] END) AS v (value) WHERE 'query' = ANY (o.calls);
SELECT is_filter, array_agg(key ORDER BY place) AS keys FROM option WHERE 'query' = ANY (calls) GROUP BY is_filter ORDER BY is_filter;
-- (without what the server says of a path, which differs between its versions)
SELECT a.key, a.value, f.form, regexp_replace(t.said, ' \| [^|]*jsonpath[^|]*', '') AS said FROM alone AS a CROSS JOIN LATERAL (VALUES
		('bulk', format('SELECT acteon_replay_bulk(%s => %L)', a.argument, a.value)), ('bulk of jsonb', format('SELECT acteon_replay_bulk(%L::jsonb)', format('{"%s": %s}', a.key, a.json)))) AS f (form, statement)
	CROSS JOIN LATERAL pg_temp.tried(f.statement) AS t (said)
WHERE a.key <> 'plan' AND (a.argument IS NOT NULL OR f.form <> 'bulk') AND CASE WHEN a.is_filter AND a.value <> 'false' THEN t.said <> 'taken' ELSE t.said !~ '^22023: a bulk replay needs a filter' END
ORDER BY a.place, a.value, f.form;
-- what the option is not given for is as if it were not there
SELECT DISTINCT split_part(pg_temp.tried(format('SELECT acteon_replay_bulk(%I => NULL)', argument)), ' |', 1) AS said FROM option WHERE is_filter;
SELECT DISTINCT split_part(pg_temp.tried(format('SELECT acteon_replay_bulk(''{"%s": null}''::jsonb)', key)), ' |', 1) AS said FROM option WHERE is_filter;

-- Numbers as arguments.
CREATE TEMPORARY TABLE number AS
	SELECT place, argument, key, type, is_limit, v.value, v.nth FROM option CROSS JOIN LATERAL unnest(
		CASE type WHEN 'integer' THEN ARRAY['-2147483648', '-1', '0', least, most, (most::bigint + 1)::text, '2147483647']
		ELSE ARRAY['''-Infinity''', '-1', '0', '1e-30', '0.0009', '0.001', '0.5', '0.999', '1', '1e30', '1e400', '''Infinity''', '''NaN'''] END) WITH ORDINALITY AS v (value, nth)
	WHERE 'acteon_replay_bulk' = ANY (calls) AND type IN ('integer', 'numeric') AND (v.value <> '2147483648' AND (type = 'numeric' OR most <> '2147483647' OR nth < 6));
SELECT format('%s => %s', argument, value) AS given, pg_temp.tried(format('SELECT acteon_replay_bulk(matched_rule => ''none'', %I => %s)', argument, value)) AS bulk FROM number ORDER BY place, nth;
-- a preview says the same, but for the number of records
SELECT format('%s => %s', argument, value) AS given, preview FROM number CROSS JOIN LATERAL pg_temp.tried(format('SELECT acteon_replay_preview(matched_rule => ''none'', %I => %s)', argument, value)) AS preview
WHERE is_limit OR preview IS DISTINCT FROM pg_temp.tried(format('SELECT acteon_replay_bulk(matched_rule => ''none'', %I => %s)', argument, value)) ORDER BY place, nth;
SELECT format('sample => %s', value) AS given, pg_temp.tried(format('SELECT acteon_replay_preview(matched_rule => ''none'', sample => %s)', value)) AS preview FROM unnest(ARRAY['-1', '0', '1000', '1001', '2147483647', 'NULL']) AS value;
SELECT format('CALL acteon_replay_all(matched_rule => ''none'', %s => %s)', argument, value) FROM (
	SELECT argument, value, place, nth FROM number WHERE is_limit OR argument = 'rate'
	UNION ALL VALUES ('max_records', 'NULL', 99, 0) UNION ALL SELECT 'chunk', value, 100, nth FROM unnest(ARRAY['-1', '0', '1', '10000', '10001', 'NULL']) WITH ORDINALITY AS c (value, nth)) AS call (argument, value, place, nth)
ORDER BY place, nth
\gexec

-- Numbers of a query in the wire form.
CREATE TEMPORARY TABLE wire AS
	SELECT o.place, o.key, v.nth, format('{"matched_rule": "none", "%s": %s}', o.key, v.value) AS query
	FROM option AS o CROSS JOIN unnest(ARRAY['-1e400', '-99999999999', '-2147483649', '-1', '-0', '0.999', '1e-400', '1e1', '1.5', '1.0', '1.00000000000000000001', '2147483647', '2147483648', '99999999999', '1e400', '"5"', '""', 'true', '[5]', '{}', 'null']) WITH ORDINALITY AS v (value, nth)
	WHERE 'query' = ANY (o.calls) AND o.type IN ('integer', 'numeric');
SELECT query, pg_temp.tried(format('SELECT acteon_replay_bulk(%L::jsonb)', query)) AS bulk FROM wire ORDER BY place, nth;
SELECT query, preview FROM wire CROSS JOIN LATERAL pg_temp.tried(format('SELECT acteon_replay_preview(%L::jsonb)', query)) AS preview
WHERE preview IS DISTINCT FROM pg_temp.tried(format('SELECT acteon_replay_bulk(%L::jsonb)', query)) ORDER BY place, nth;
SELECT format('CALL acteon_replay_all(%L::jsonb)', query) FROM wire WHERE key = 'limit' ORDER BY nth
\gexec
-- Numbers of the other functions.
CREATE TEMPORARY TABLE other (place integer GENERATED ALWAYS AS IDENTITY, call text, numbers text[]);
INSERT INTO other (call, numbers) VALUES
	('acteon_outbox_claim(''c'', %s)', '{-2147483648,-1,0,1,2147483647,NULL}'),
	('acteon_outbox_claim(''c'', 1, ''%s'')', '{-1 s,0,1 us,1 day,1 day 1 us,1000000 years}'),
	('acteon_outbox_extend(''{}'', ''%s'')', '{-1 s,0,1 us,1 day,1 day 1 us}'),
	('acteon_outbox_purge(''%s'')', '{-1 s,90 days}'),
	('acteon_outbox_purge(''90 days'', %s)', '{-1,0,1,9223372036854775807,NULL}'),
	('acteon_outbox_redrive(max_actions => %s)', '{-1,0,1,2147483647,NULL}'),
	('acteon_outbox_redrive(rate => ''%s'')', '{NaN,Infinity,-1,0,0.0009,0.001,1e400}'),
	('acteon_replay_set_rate(1, ''%s'')', '{NaN,-Infinity,-1,0,0.0009,1e400}'),
	('acteon_replay_id(''x'', %s)', '{-2147483648,-1,0,1,2147483647,NULL}'),
	('acteon_replay_id(''x'', 1, %s)', '{-2147483648,-1,0,2147483647,NULL}'),
	('acteon_replay_read_batches(newest => %s)', '{-9223372036854775808,-1,0,1,9223372036854775807,NULL}');
SELECT call, pg_temp.tried('SELECT 1 FROM ' || call) AS answer
FROM (SELECT o.place, v.nth, format(o.call, v.number) AS call FROM other AS o CROSS JOIN unnest(array_replace(o.numbers, NULL, 'NULL')) WITH ORDINALITY AS v (number, nth)) AS c
ORDER BY place, nth;
CALL acteon_replay_continue(1, -1);
CALL acteon_replay_continue(1, 10001);
CALL acteon_replay_all('{}'::jsonb, rate => 0);
CALL acteon_replay_all('{}'::jsonb, rate => 'NaN');
CALL acteon_replay_all('{}'::jsonb, chunk => 0);
CALL acteon_replay_all('{}'::jsonb, chunk => 10001);
-- a number that is none is not "all"
SELECT make_record('one'), make_record('two');
CALL acteon_replay_all('{"from": "2000-01-01T00:00:00Z", "limit": -99999999999}'::jsonb);
CALL acteon_replay_all('{"from": "2000-01-01T00:00:00Z", "limit": -2147483648}'::jsonb);
CALL acteon_replay_all(from_time => '2000-01-01', max_records => -2147483648);
SELECT count(*) AS actions FROM acteon_dispatch_outbox;
CALL acteon_replay_all('{"from": "2000-01-01T00:00:00Z", "limit": 1}'::jsonb);
CALL acteon_replay_all('{"from": "2000-01-01T00:00:00Z", "limit": null}'::jsonb);
SELECT count(*) AS actions FROM acteon_dispatch_outbox;
CALL clean();
