# No statement of the extension takes for the server's what somebody has planted under the same name: every statement in
# the sources runs here, while the caller's search path begins with a schema in which another role has made functions,
# operators, types and tables of every name in those statements.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $source = "$FindBin::RealBin/../../src";

# A text with its white space made alike.
sub squeeze
{
	my ($text) = @_;

	return $text =~ s/\s+/ /gr;
}

# The statements in a source: string constants that begin like one, each with its longest part that is the same whenever
# it runs.
my %no_statement = map { $_ => 1 } ('control_log.c UPDATE', 'control_log.c DELETE', 'control_log.c DELETE TRUNCATE', 'audit_sql.c SELECT', 'audit_table.c SELECT on the table',
	'batch_list.c WITH ',
	# No plan, hence not in the log; what it has done is looked at.
	'purge_part.c TRUNCATE ONLY %s.%s, ONLY %s.%s');
my (@statements, $all_text, %has);
foreach my $file (glob("$source/*/*.c"))
{
	my ($name) = $file =~ m{([^/]*)$};
	my $text = slurp_file($file) =~ s{/\*.*?\*/}{}gsr;

	while ($text =~ /"((?:WITH|SELECT|INSERT|UPDATE|DELETE|MERGE|LOCK|TRUNCATE)\b(?:[^"\\]|\\.)*)"/g)
	{
		my ($constant) = $1 =~ s/\\t/ /gr =~ s/\\"/"/gr;

		# Those with "%sacteon_" are shown to the caller, and not run.
		next if $no_statement{"$name $constant"} || $constant !~ /^\w+ / || $constant =~ /%sacteon_/;
		my ($part) = sort { length $b <=> length $a } split /%%|%\d*\$?\w/, squeeze($constant);

		push @statements, [ $name, $part ];
		$has{$name} = 1;
	}
	# All that is in them, for the names to plant.
	$all_text .= join(' ', $text =~ /"((?:[^"\\]|\\.)*)"/g) . "\n" if $text =~ /SPI_|OPERATOR\(/;
	$has{$name} //= 0 if $text =~ /\b(?:SPI_prepare\w*|SPI_execute\w*|SPI_cursor_open\w*)\s*\(/;
}
cmp_ok(scalar(@statements), '>', 30, 'there are ' . scalar(@statements) . ' statements in the sources');
# These run what others have written down.
is(join(' ', grep { !$has{$_} } sort keys %has), 'audit_scan.c audit_sql.c kept_plan.c trail_reader.c', 'every file that runs statements has some');

my $node = new_server('planted', conf => q{
	session_preload_libraries = 'auto_explain'
	auto_explain.log_min_duration = 0
	auto_explain.log_nested_statements = on
	log_statement = none
});

# A role that plants, and one in whose search path it does.  The functions and operators are of every name in the
# statements and of all arguments that the server's have; what is planted tells who has run it.
my %names = map { $_ => 1 } $all_text =~ /\b([a-z_]\w*)\s*\(/g;
my $functions = join ', ', map { "'$_'" } sort keys %names;
my %operators = map { $_ => 1 } ($all_text =~ /OPERATOR\(pg_catalog\.([^)]+)\)/g), qw(= <> < <= > >= + - * / || -> ->> @> @? ^@ ~ ~~ %);
my $operators = join ', ', map { "'$_'" } sort keys %operators;
my @types = qw(text jsonpath int4 int8 timestamptz interval jsonb json uuid bool numeric oid name regrole);
$node->safe_psql('postgres', qq{
	CREATE ROLE mallory LOGIN;
	CREATE ROLE op LOGIN;
	CREATE ROLE gateway;
	ALTER TABLE acteon_audit OWNER TO gateway;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('op', 'admin', '{acme}', '{*}', '{*}'), ('op', 'gateway', '{*}', '{*}', '{*}');
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('op', 'admin', '{*}', '{*}', '{push}', '{*}');
	ALTER ROLE op SET acteon_replay.targets = 'staging';
	GRANT EXECUTE ON FUNCTION acteon_api_begin, acteon_api_finish, acteon_api_housekeeping TO op;
	GRANT SELECT, UPDATE ON acteon_replay_installation TO op;
	CREATE SCHEMA evil AUTHORIZATION mallory;
	GRANT USAGE ON SCHEMA evil TO PUBLIC;
	CREATE TABLE evil.ran (what text, who text);
	ALTER TABLE evil.ran OWNER TO mallory;
	GRANT ALL ON evil.ran TO PUBLIC;
	GRANT CREATE ON SCHEMA public TO mallory;
});
# Who may not make a planted table cannot be told apart by rights: it is empty, or full of nonsense.
my $plant = q{
	CREATE FUNCTION %1$s.planted(what text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $f$BEGIN
		IF current_user <> 'mallory' THEN INSERT INTO evil.ran VALUES (what, current_user); END IF;
	EXCEPTION WHEN read_only_sql_transaction THEN RAISE EXCEPTION 'planted: %% as %%', what, current_user; END$f$;
	DO $do$
	DECLARE
		r record;
	BEGIN
		SET LOCAL check_function_bodies = off;
		FOR r IN SELECT DISTINCT ON (p.proname, p.proargtypes::text) p.proname, pg_get_function_identity_arguments(p.oid) AS arguments, p.prorettype::regtype AS result, p.proretset
			FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname IN (%2$s) AND p.prokind IN ('f', 'a', 'w') AND p.prorettype NOT IN ('internal'::regtype, 'trigger'::regtype)
				AND NOT ('internal'::regtype = ANY (p.proargtypes::oid[]) OR p.prorettype IN (SELECT oid FROM pg_type WHERE typtype = 'p') OR EXISTS (SELECT FROM unnest(p.proargtypes::oid[]) AS a JOIN pg_type AS t ON t.oid = a WHERE t.typtype = 'p' AND t.typname NOT IN ('anyarray', 'anyelement', 'anynonarray'))) LOOP
			BEGIN
				EXECUTE format('CREATE FUNCTION %1$s.%%I(%%s) RETURNS %%s%%s LANGUAGE plpgsql AS %%L', r.proname, (SELECT string_agg(format_type(a, NULL), ', ') FROM unnest((SELECT proargtypes::oid[] FROM pg_proc WHERE proname = r.proname AND pronamespace = 'pg_catalog'::regnamespace AND pg_get_function_identity_arguments(oid) = r.arguments LIMIT 1)) AS a),
					CASE WHEN r.proretset THEN 'SETOF ' ELSE '' END, r.result, format('BEGIN PERFORM evil.planted(%%L); RETURN%%s; END', 'function ' || r.proname, CASE WHEN r.proretset THEN '' ELSE ' NULL' END));
			EXCEPTION WHEN duplicate_function OR invalid_function_definition OR insufficient_privilege THEN NULL;
			END;
		END LOOP;
		FOR r IN SELECT o.oprname, o.oprleft::regtype AS left, o.oprright::regtype AS right, o.oprresult::regtype AS result, row_number() OVER () AS n
			FROM pg_operator AS o WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprname IN (%3$s) AND o.oprleft::regtype::text = ANY (%4$L::regtype[]::text[]) AND o.oprright::regtype::text = ANY (%4$L::regtype[]::text[]) LOOP
			EXECUTE format('CREATE FUNCTION %1$s.%%I(%%s, %%s) RETURNS %%s LANGUAGE plpgsql AS %%L', 'operator_' || r.n, r.left, r.right, r.result, format('BEGIN PERFORM evil.planted(%%L); RETURN NULL; END', format('operator %%s of %%s and %%s', r.oprname, r.left, r.right)));
			EXECUTE format('CREATE OPERATOR %1$s.%%s (LEFTARG = %%s, RIGHTARG = %%s, FUNCTION = %1$s.%%I)', r.oprname, r.left, r.right, 'operator_' || r.n);
		END LOOP;
	END
	$do$;
};
my $types = '{' . join(',', @types) . '}';
foreach my $schema (qw(evil public))
{
	my $sql = $plant =~ s/%1\$s/$schema/gr =~ s/%2\$s/$functions/gr =~ s/%3\$s/$operators/gr =~ s/%4\$L/'$types'/gr =~ s/%%/%/gr;

	$sql =~ s/^\s*CREATE FUNCTION public\.planted.*?\$f\$;//ms if $schema eq 'public';
	$node->safe_psql('postgres', "SET ROLE mallory;\n$sql");
}
# Functions of the extension's own names, which fit a call better: with an outcome where there is a jsonb, or without what
# has a default.
$node->safe_psql('postgres', q{
	SET ROLE mallory;
	DO $do$
	DECLARE
		r record;
	BEGIN
		FOR r IN SELECT p.proname, p.prorettype::regtype AS result, p.proargtypes::oid[]::regtype[] AS types, p.pronargs, p.pronargdefaults
			FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'acteon_replay'
			WHERE p.proname IN (} . $functions . q{) AND p.provolatile <> 'v' AND NOT p.proretset LOOP
			FOR n IN r.pronargs - r.pronargdefaults .. r.pronargs LOOP
				BEGIN
					EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', r.proname, (SELECT string_agg(CASE t WHEN 'jsonb'::regtype THEN 'public.acteon_outcome' ELSE t::text END, ', ' ORDER BY i) FROM unnest(r.types) WITH ORDINALITY AS a (t, i) WHERE i <= n),
						r.result, format('BEGIN PERFORM evil.planted(%L); RETURN NULL; END', 'overloaded ' || r.proname));
				EXCEPTION WHEN duplicate_function OR insufficient_privilege THEN NULL;
				END;
			END LOOP;
		END LOOP;
	END
	$do$;
});
my $overloaded = $node->safe_psql('postgres', q{SELECT string_agg(DISTINCT proname, ' ' ORDER BY proname) FROM pg_proc WHERE proname LIKE 'acteon%' AND proowner = 'mallory'::regrole});
like($overloaded, qr/acteon_answer_name.*acteon_replay_id/, "functions of ours are overloaded: $overloaded");
# Types and relations: domains whose check tells, and tables and views of our names and of the catalogues' in the statements.
$node->safe_psql('postgres', "SET ROLE mallory;\n" . join('', map { "CREATE DOMAIN evil.$_ AS pg_catalog.$_ CHECK (evil.planted('type $_'::pg_catalog.text) IS NULL);\n" } @types));
my @relations = split /\n/, $node->safe_psql('postgres', q{SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname LIKE 'acteon%'});
my @catalogues = do { my %seen; grep { $_ ne 'pg_catalog' && !$seen{$_}++ } $all_text =~ /\b(?:FROM|JOIN) (?:pg_catalog\.)?(pg_[a-z_]+)\b(?!\()/g };
$node->safe_psql('postgres', join('', map { "CREATE TABLE evil.$_ (LIKE public.$_); ALTER TABLE evil.$_ OWNER TO mallory; GRANT ALL ON evil.$_ TO PUBLIC;\n" } @relations)
	. join('', map { "CREATE VIEW evil.$_ AS TABLE pg_catalog.$_;\nALTER VIEW evil.$_ OWNER TO mallory;\n" } @catalogues));
my ($count) = $node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM pg_proc WHERE pronamespace IN ('evil'::regnamespace, 'public'::regnamespace) AND proowner = 'mallory'::regrole) || ' ' || (SELECT count(*) FROM pg_operator WHERE oprowner = 'mallory'::regrole)}) =~ /(.*)/;
like($count, qr/^\d{3,} \d{3,}$/, "functions and operators are planted: $count");

# It does happen to those who write no schema.
my $path = "SET search_path = evil, pg_catalog, public;\n";
my $temporary = join('', map { "CREATE TEMP TABLE $_ (LIKE evil.$_);\n" } @relations);
my $op = $node->connstr('postgres') . ' user=op';
$node->psql('postgres', $path . q{SELECT 'a'::pg_catalog.text = 'b'::pg_catalog.text, pg_catalog.current_user()}, connstr => $op);
$node->psql('postgres', $path . q{SELECT 'a'::pg_catalog.text = 'b'::pg_catalog.text}, connstr => $op);
is($node->safe_psql('postgres', q{SELECT DISTINCT what || ' as ' || who FROM evil.ran WHERE what = 'operator = of text and text'}), 'operator = of text and text as op', 'what is planted runs where nobody takes care');
$node->safe_psql('postgres', 'TRUNCATE evil.ran');

# Call what there is, as the role with the path: nothing but calls, so that nothing of ours here is taken for theirs.
sub call
{
	my ($sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "$temporary$path$sql", connstr => $op, on_error_stop => 0);
	my $errors = join "\n", grep { /ERROR/ } split /\n/, $err;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($errors, '', 'calls: ' . substr(squeeze($sql), 0, 100));
	return $out;
}

my $records = q{SELECT make_record(name || '-' || i, at => now() - interval '10 min' + i * interval '1 s', tenant => CASE i WHEN 5 THEN 'globex' ELSE 'acme' END, outcome => o, metadata => '{"__dedup_key": "d", "__fingerprint": "f"}')
	FROM (VALUES ('f', 'failed'), ('c', 'circuit_open'), ('p', 'pending'), ('x', 'executed')) AS v (name, o), generate_series(1, 6) AS i};
$node->safe_psql('postgres', $records);
$node->safe_psql('postgres', 'CALL make_chain()');
call(q{
	SELECT public.acteon_replay('f-1', reason => 'r');
	SELECT public.acteon_replay('f-1', on_doubt => 'hold');
	SELECT public.acteon_replay_bulk(tenant => 'acme', provider => 'email', outcome => 'failed,circuit_open', from_time => '2020-01-01', max_records => 2, include_replayed => true, rate => 10);
	SELECT next_cursor AS c FROM public.acteon_replay_bulk(outcome => 'failed', max_records => 1, newest_first => true) \gset
	SELECT public.acteon_replay_bulk(outcome => 'failed', max_records => 1, newest_first => true, cursor => :'c');
	SELECT public.acteon_replay_bulk(lost => true, max_records => 1);
	SELECT public.acteon_replay_bulk(outcome => 'pending', allow_unproven => true, allow_partial => true, max_records => 1);
	SELECT public.acteon_replay_preview(lost => true);
	SELECT public.acteon_replay_preview(outcome => 'failed,pending', include_replayed => true);
	SELECT public.acteon_replay_preview('{"tenant": "acme"}');
	SELECT public.acteon_replay_preview(tenant => 'acme', include_replayed => true, patch => '{"a": 2, "b": {"c": null}}');
	SELECT public.acteon_replay_bulk(outcome => 'failed', include_replayed => true, max_records => 1, patch => '{"a": 2, "b": {"c": null}}');
	SELECT public.acteon_replay_preview(tenant => 'acme', include_replayed => true, patch_path => '$.** ? (@.a == 1 && @.b like_regex "x").a', patch_value => '7');
	SELECT batch_id AS b FROM public.acteon_replay_bulk(outcome => 'failed', include_replayed => true, max_records => 2, start_at => '2099-01-01') \gset
	SELECT public.acteon_replay_patch(:b, patch_path => '$.a', patch_value => '2', reason => 'r');
	SELECT public.acteon_replay_patch(:b, patch => '{"z": 2}', tenant => 'acme', provider => 'email', action_ids => '{f-1,f-2,f-3}');
	SELECT public.acteon_replay_preview(tenant => 'acm', provider => 'emial', outcome => 'filed', action_type => 'none');
	SELECT public.acteon_replay_bulk(action_ids => '{f-2,f-3,none}', exclude_ids => '{f-3}', exclude => '{"outcome": "executed", "tenant_tree": "globex", "error_like": "%", "payload": {"a": 1}, "payload_path": "$.a", "action_ids": ["x"]}', include_replayed => true);
	SELECT public.acteon_replay_bulk(lost => true, tenant_tree => 'acme', error_like => '%', payload => '{}', payload_path => '$', include_replayed => true);
	SELECT public.acteon_replay_preview(outcome => 'failed', tenant_tree => 'acme', error_like => '%', payload => '{}', payload_path => '$', action_ids => '{f-1,none}');
	CALL public.acteon_replay_all(lost => true, action_ids => '{f-4,f-5,f-6,c-1,none}', exclude => '{"provider": "sms"}', include_replayed => true, chunk => 1);
	SELECT public.acteon_replay_causes();
	SELECT public.acteon_audit_record('f-1');
	SELECT public.acteon_audit_records(outcome => 'failed', max_records => 1);
	SELECT public.acteon_audit_records(outcome => 'failed,executed', max_records => 1, cursor => public.acteon_audit_records(max_records => 1) OPERATOR(pg_catalog.->>) 'next_cursor');
	SELECT public.acteon_audit_verify('prod', 'acme');
	SELECT public.acteon_audit_verify('prod', 'acme', from_time => '2020-01-01', to_time => '2099-01-01', max_records => 3);
	SELECT public.acteon_audit_verify('prod', 'acme', after_sequence => 2, after_hash => 'x');
	SELECT public.acteon_replay('f-1', verify => 'required');
	SELECT public.acteon_replay_bulk(outcome => 'failed', max_records => 3, include_replayed => true, verify => 'required');
	SELECT public.acteon_replay_timeline();
	SELECT public.acteon_replay_timeline(tenant => 'acme', outcome => 'failed,circuit_open', signature_rules => 'number', buckets => 3);
	SELECT public.acteon_replay_causes(tenant => 'acme', outcome => 'failed,circuit_open', signature_rules => 'number');
	SELECT * FROM public.acteon_replay_help();
	SELECT * FROM public.acteon_replay_help('pause');
	SELECT public.acteon_replay_preview(lost => true, signature => 'no error text');
	SELECT public.acteon_replay_preview(outcome => 'failed', signature => 'no error text');
	SELECT public.acteon_replay_bulk(outcome => 'failed', signature => 'no error text', max_records => 1, include_replayed => true);
	SELECT public.acteon_replay_causes(outcome => 'failed', tenant_tree => 'acme', error_like => '%', payload => '{}', payload_path => '$', action_ids => '{f-1,none}', exclude_ids => '{f-2}', exclude => '{"signature": "none", "tenant": "globex"}');
	SELECT public.acteon_replay_preview(lost => true, error_like => '%', exclude => '{"error_like": "none", "outcome": "failed", "tenant_tree": "acme", "payload": {"a": 1}, "payload_path": "$.a", "action_ids": ["x"]}');
	SELECT public.acteon_replay_bulk(outcome => 'failed', exclude => '{"signature": "none", "provider": "email"}', max_records => 1, include_replayed => true);
	SELECT public.acteon_error_signature('550 5.1.1 <bob@x.example>: rejected');
	CALL public.acteon_replay_run('{"lost": true}', chunk => 2);
	CALL public.acteon_replay_run('{"tenant": "acme", "signature": "no error text"}', chunk => 2);
	CALL public.acteon_replay_all(outcome => 'failed', include_replayed => true, max_records => 1);
	SELECT public.acteon_replay_lineage('f-1');
	SELECT public.acteon_replay_may(1);
	SELECT public.acteon_replay_open('{"outcome": "failed", "include_replayed": true}');
	SELECT public.acteon_replay_pause(1);
	SELECT public.acteon_replay_resume(1);
	SELECT public.acteon_replay_set_rate(1, 5);
	SELECT public.acteon_replay_pause(1, tenant => 'acme', provider => 'email', action_ids => '{f-1}');
	SELECT public.acteon_replay_set_rate(1, 5, tenant => 'acme');
	SELECT public.acteon_replay_resume(1, tenant => 'acme');
	SELECT public.acteon_replay_resume(1, parts => true);
	SELECT public.acteon_replay_set_start(1, NULL);
	SELECT public.acteon_replay_pause_all('stop');
	SELECT public.acteon_replay_resume_all('go on');
	SELECT public.acteon_replay_hand_over(1, 'postgres'::pg_catalog.regrole);
	SELECT public.acteon_replay_limit_set(provider => 'push', rate => 100000, concurrency => 100000, reason => 'r');
	SELECT public.acteon_replay_limit_set(tenant => 'acme', concurrency => 100000);
	SELECT public.acteon_replay_breaker_close('push');
	SELECT public.acteon_replay_notify_set('ops', 'push', 'message', 'ops', 'acme', '{"text": "{{summary}} {{what_to_do}}", "done": "{{done}}"}', tenants => '{acme}', namespaces => '{prod}', events => '{finished,cancelled,paused,canary,approval,interrupted,held}', reason => 'r');
	SELECT * FROM public.acteon_replay_batches;
	SELECT * FROM public.acteon_replay_read_batches(kinds => '{bulk,all}', tenant => 'acme');
	SELECT public.acteon_replay_continue_step(pg_catalog.max(id), 5) FROM public.acteon_replay_batch WHERE chunk IS NOT NULL;
	SELECT public.acteon_api_current_key();
	SELECT public.acteon_replay_items(1);
	SELECT public.acteon_replay_items(2, 'waiting');
	SELECT public.acteon_replay_items(2, 'refused');
	SELECT public.acteon_outbox_audit_tells('2026-01-01', '2026-01-02');
	SELECT public.acteon_outbox_other_target('http://x', 'staging');
	SELECT pg_catalog.array_agg(outbox_id) AS ids, pg_catalog.array_agg(lease_token) AS tokens FROM public.acteon_outbox_claim('c', 100, gateway => 'http://x') \gset
	SELECT * FROM public.acteon_replay_limits;
	SELECT public.acteon_outbox_extend(:'tokens', '1 min');
	SELECT public.acteon_outbox_sleep(true);
});
# Every kind of answer, for what is out.
my ($first, @others) = split /\n/, $node->safe_psql('postgres', q{SELECT format('{%s} {%s}', first_id, lease_token) FROM acteon_dispatch_segment WHERE lease_token IS NOT NULL ORDER BY first_id});
my ($id, $token) = split / /, $first;
call(qq{SELECT public.acteon_outbox_ack('$id', '$token', '{"{\\"Executed\\": {\\"status\\": \\"success\\"}}"}')});
foreach my $other (@others)
{
	($id, $token) = split / /, $other;
	call(qq{SELECT public.acteon_outbox_doubt('$id', '$token', '{cut}')});
}
call(q{SELECT pg_catalog.count(*) FROM public.acteon_outbox_claim('c', 100)});
# Doubts, which the audit table ends: by a record, and by one of another action with the same key; and failures.
$node->safe_psql('postgres', q{
	SELECT make_record(action_id::text, outcome => 'deduplicated', at => now(), metadata => '{"__dedup_key": "d"}') FROM acteon_dispatch_outbox;
	UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 min', doubt_since = now() - interval '1 h', doubt = 'cut', sent_at = now() - interval '1 h', lease_token = NULL, holder = NULL;
});
call(q{
	SELECT outbox_id AS id, lease_token AS token FROM public.acteon_outbox_claim('c', 1) \gset
	SELECT public.acteon_replay_proof(1);
	SELECT public.acteon_replay_proof_items(2);
	SELECT public.acteon_replay_settle(1, 'cancel', 'why');
});
$node->safe_psql('postgres', q{UPDATE acteon_dispatch_segment SET doubt_since = NULL, doubt = NULL, held = NULL, due_at = now() - interval '1 min', sent_at = NULL, lease_token = NULL, holder = NULL});
call(q{SELECT pg_catalog.count(*) FROM public.acteon_outbox_claim('c', 100)});
($first, @others) = split /\n/, $node->safe_psql('postgres', q{SELECT format('{%s} {%s}', first_id, lease_token) FROM acteon_dispatch_segment WHERE lease_token IS NOT NULL ORDER BY first_id});
if (defined $first)
{
	($id, $token) = split / /, $first;
	call(qq{SELECT public.acteon_outbox_reject('$id', '$token', '{no}'); SELECT public.acteon_outbox_nack('$id', '$token', '{no}')});
}
# So many answers in a session that the tally is folded.
$node->safe_psql('postgres', q{SELECT make_record('many-' || i, outcome => 'throttled', at => now()) FROM generate_series(1, 300) AS i});
call(q{
	CALL public.acteon_replay_run('{"outcome": "throttled", "canary": "off"}');
	SELECT pg_catalog.count(*) FROM public.acteon_outbox_claim('c', 500);
});
my @leased = split /\n/, $node->safe_psql('postgres', q{SELECT format('{%s} {%s}', id, lease_token) FROM acteon_dispatch_segment, generate_series(first_id, last_id) AS id WHERE lease_token IS NOT NULL ORDER BY id});
call(join('', map { my ($one, $lease) = split / /; qq{SELECT public.acteon_outbox_reject('$one', '$lease', '{no}');\n} } @leased));
# What expires before it is claimed.
$node->safe_psql('postgres', q{SELECT make_record('late-' || i, tenant => 'acme', outcome => 'quota_exceeded', at => now()) FROM generate_series(1, 3) AS i});
call(q{
	SELECT public.acteon_replay_preview(outcome => 'quota_exceeded', expire_after => '1 h', allow_ended => true, rate => 1);
	CALL public.acteon_replay_run('{"outcome": "quota_exceeded", "expire_after": "PT1H"}');
});
$node->safe_psql('postgres', q{
	UPDATE acteon_dispatch_outbox SET expires_at = now() - interval '1 s' WHERE expires_at IS NOT NULL;
	UPDATE acteon_dispatch_segment SET expires_at = now() - interval '1 s' WHERE expires_at IS NOT NULL});
call(q{SELECT pg_catalog.count(*) FROM public.acteon_outbox_claim('c', 100)});
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_delivery WHERE state = 'expired'}), 3, 'some have expired');
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
# A table whose indexes give no order, and one on another server.
$node->safe_psql('postgres', q{DO $$ DECLARE i regclass; BEGIN
	FOR i IN SELECT indexrelid FROM pg_index WHERE indrelid = 'acteon_audit'::regclass AND NOT indisprimary LOOP EXECUTE format('DROP INDEX %s', i); END LOOP; END $$});
call(q{CALL public.acteon_replay_run('{"outcome": "failed", "include_replayed": true}', chunk => 2)});
$node->safe_psql('postgres', qq{
	CREATE EXTENSION postgres_fdw;
	CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '@{[$node->host]}', port '@{[$node->port]}', dbname 'postgres');
	CREATE USER MAPPING FOR CURRENT_USER SERVER far;
	CREATE USER MAPPING FOR gateway SERVER far OPTIONS (user '$superuser', password_required 'false');
	CREATE SCHEMA far;
	GRANT USAGE ON SCHEMA far TO gateway, op;
	IMPORT FOREIGN SCHEMA public LIMIT TO (acteon_audit) FROM SERVER far INTO far;
	ALTER FOREIGN TABLE far.acteon_audit OWNER TO gateway;
	ALTER ROLE op SET acteon_replay.audit_table = 'far.acteon_audit'});
call(q{CALL public.acteon_replay_run('{"lost": true, "include_replayed": true}', chunk => 2)});
call(q{CALL public.acteon_replay_run('{"lost": true, "include_replayed": true, "action_ids": ["f-1", "f-2", "f-3", "none"], "exclude": {"payload": {"a": 1}, "verdict": "deny"}, "payload_path": "$"}', chunk => 2)});
$node->safe_psql('postgres', q{ALTER ROLE op RESET acteon_replay.audit_table;
	CREATE INDEX acteon_audit_outcome_idx ON acteon_audit (outcome)});
# Folding, purging and checking, on what is old enough; and what is noticed after a restore.
$node->safe_psql('postgres', q{INSERT INTO acteon_dispatch_relay (id, name, target, first_claim_at) SELECT i, 'drain-' || i, 'production', now() - interval '1 year' FROM generate_series(1, 1001) AS i});
$node->safe_psql('postgres', q{
	INSERT INTO acteon_replay_tally (batch_id, finished_at, state, actions) SELECT 1, now() - interval '1 day' - i * interval '1 s', 'delivered', 1 FROM generate_series(1, 3000) AS i;
});
call(q{
	SELECT public.acteon_replay_items(b.batch_id, 'failed') FROM public.acteon_replay_batches AS b;
	SELECT public.acteon_outbox_redrive();
	SELECT public.acteon_replay_cancel(2);
	SELECT pg_catalog.count(*) FROM public.acteon_outbox_claim('c', 100);
	SELECT public.acteon_outbox_check();
	SELECT * FROM public.acteon_outbox_stats;
	SELECT public.acteon_replay_bulk(outcome => 'failed', tenant => 'acme', target => 'staging');
	SELECT pg_catalog.count(*) FROM public.acteon_outbox_claim('c', 1, '1 s', 'staging', 'http://x');
	SELECT public.acteon_outbox_read_stats('staging');
	SELECT public.acteon_replay_lineage('f-1', 'staging');
	SELECT public.acteon_replay_shadow(b.batch_id, other_target => 'staging'), public.acteon_replay_shadow_counts(b.batch_id, other_target => 'staging') FROM public.acteon_replay_batches AS b WHERE b.target OPERATOR(pg_catalog.=) 'production';
	SELECT public.acteon_replay_trail_link();
	SELECT public.acteon_outbox_check();
	SELECT public.acteon_replay_verify(public.acteon_replay_witness());
	SELECT public.acteon_outbox_purge('0');
});
# The first part of the outbox at rest, and a second one that is large enough to be left.
$node->safe_psql('postgres', q{
	SELECT setval('acteon_dispatch_outbox_id_seq', 1000000000001);
	INSERT INTO acteon_dispatch_outbox (id, batch_id, created_at, action_id, generation, original_action_id, namespace, tenant, provider, action_type, payload, labels)
		SELECT 500000 + n, 1, now() - interval '1 day', gen_random_uuid(), 1, 'x', 'prod', 'acme', 'email', 'x', '{}', '{}' FROM generate_series(1, 10) AS n;
	INSERT INTO acteon_dispatch_delivery (outbox_id, finished_at, attempts, state) SELECT 500000 + n, now() - interval '1 hour', 1, 'dead' FROM generate_series(1, 10) AS n;
	INSERT INTO acteon_dispatch_outbox_1 (id, batch_id, created_at, action_id, generation, original_action_id, namespace, tenant, provider, action_type, payload, labels)
		SELECT 1000000000001 + n, 1, now() - interval '1 day', gen_random_uuid(), 1, 'x', 'prod', 'acme', 'email', 'x', to_jsonb((SELECT string_agg(md5(n::text || m), '') FROM generate_series(1, 50) AS m)), '{}' FROM generate_series(1, 14000) AS n;
});
$node->safe_psql('postgres', q{UPDATE acteon_replay_batch SET replayed = replayed + 1 WHERE replayed > 0});
call(q{SELECT public.acteon_replay_verify()});
$node->safe_psql('postgres', q{UPDATE acteon_replay_batch SET replayed = replayed - 1 WHERE replayed > 0});
call(q{SELECT public.acteon_outbox_purge('0'); SELECT public.acteon_outbox_check()});
is($node->safe_psql('postgres', q{SELECT count(*) || ' ' || (pg_relation_size('acteon_dispatch_delivery') > 0) FROM acteon_dispatch_outbox WHERE id BETWEEN 500001 AND 500010}), '0 false', 'a part is truncated');
$node->safe_psql('postgres', 'DELETE FROM acteon_dispatch_outbox_1');
$node->safe_psql('postgres', q{UPDATE acteon_replay_installation SET server = 'x/1'; DROP INDEX acteon_audit_outcome_idx; SELECT make_record('late-' || i, at => now()) FROM generate_series(1, 3) AS i});
call(q{
	SELECT public.acteon_replay('late-1');
	SELECT public.acteon_outbox_audit_tells('2026-01-01', '2026-01-02');
});
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_replay_batch WHERE query ? 'notify'}), '>', 0, 'notifications were enqueued');
call(q{SELECT public.acteon_replay_notify_drop('ops')});
# The HTTP server's side.
my $key = $node->safe_psql('postgres', q{SELECT acteon_api_key_create('k', 'op') \g /dev/null
	SELECT id FROM acteon_api_keys});
my $sha = '\\x' . '00' x 32;
call(qq{
	BEGIN;
	SELECT public.acteon_api_begin($key, 'once', '$sha');
	SELECT public.acteon_api_finish($key, 'once', 200, 'ok');
	COMMIT;
	SELECT public.acteon_api_begin($key, 'once', '$sha');
	SELECT public.acteon_api_housekeeping('{$key}', '{2026-01-01}');
});
# A database in which nothing was replayed yet.
$node->safe_psql('postgres', q{
	TRUNCATE acteon_replay_installation, acteon_replay_begun, acteon_replay_batch, acteon_replay_refused, acteon_replay_tally, acteon_dispatch_outbox, acteon_dispatch_segment, acteon_dispatch_delivery, acteon_dispatch_action;
	SELECT make_record('anew', at => now())});
call(q{SELECT public.acteon_replay('anew')});
# A policy, whose probe waits for the circuit breaker of its provider, and is paused in its quiet hours.
$node->safe_psql('postgres', q{SELECT make_record('policy-' || i, at => now()) FROM generate_series(1, 3) AS i});
call(q{
	SELECT public.acteon_replay_policy_set('p', '{"tenant": "acme"}', time_zone => 'UTC');
	SELECT public.acteon_replay_policy_run();
	SELECT public.acteon_quiet_until('2026-01-01 00:00+00', '22:00', '06:00', 'UTC');
	SELECT public.acteon_known_time_zone('UTC');
});
$node->safe_psql('postgres', q{INSERT INTO acteon_replay_limit (key, kind, name, opened_at, retry_at, backoff) VALUES (1, 'provider', 'email', now(), now() + interval '1 h', 600)});
$node->safe_psql('postgres', q{INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('op', 'admin', '{*}', '{*}', '{email}', '{*}')});
call(q{SELECT public.acteon_replay_policy_run('p')});
$node->safe_psql('postgres', q{DELETE FROM acteon_grants WHERE providers = '{email}'});
is($node->safe_psql('postgres', q{SELECT retry_at < now() + interval '1 min' FROM acteon_replay_limit WHERE key = 1}), 't', 'the policy does not wait for the next trial');
$node->safe_psql('postgres', q{UPDATE acteon_replay_policy SET quiet_from = date_trunc('minute', timezone('UTC', now()) - interval '1 h')::time, quiet_to = date_trunc('minute', timezone('UTC', now()) + interval '1 h')::time});
call(q{
	SELECT public.acteon_replay_policy_run('p');
	SELECT * FROM public.acteon_replay_policies;
});
is($node->safe_psql('postgres', q{SELECT state FROM acteon_replay_batches ORDER BY batch_id DESC LIMIT 1}), 'paused', 'the policy has paused its probe');
# … whose time zone is gone, and which gets other filters.
$node->safe_psql('postgres', q{UPDATE acteon_replay_policy SET time_zone = 'gone'});
call(q{
	SELECT public.acteon_replay_policy_run('p');
	SELECT public.acteon_replay_policy_set('p', '{"tenant": "acme", "max_depth": 2}', time_zone => 'UTC');
});
call(q{SELECT public.acteon_replay_policy_drop('p')});

is($node->safe_psql('postgres', q{SELECT what || ' as ' || who FROM evil.ran ORDER BY 1 LIMIT 20}), '', 'nothing that is planted has run');
is($node->safe_psql('postgres', 'SELECT count(*) FROM (' . join(' UNION ALL ', map { "SELECT 1 FROM evil.$_" } @relations) . ') AS t'), '0', '… and no planted table has a row');

# All statements of the sources have run meanwhile.
my $log = squeeze(slurp_file($node->logfile));
foreach my $statement (@statements)
{
	my ($file, $part) = @$statement;

	ok(index($log, squeeze($part)) >= 0, "$file: $part");
}

done_testing();
