# Nothing that a caller or the audit table's owner has planted runs with more
# rights than they have.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use Acteon;

my $node = new_server('hostile');
my $op = $node->connstr('postgres') . ' user=op';

# The extension is a superuser's; the audit table is the gateway's, who is none.
$node->safe_psql('postgres', q{
	CREATE ROLE gateway LOGIN;
	CREATE ROLE op LOGIN;
	ALTER TABLE acteon_audit OWNER TO gateway;
	GRANT CREATE ON SCHEMA public TO gateway;
	GRANT CREATE ON DATABASE postgres TO op;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('op', 'operator', '{acme}', '{*}', '{*}');
	SELECT make_record('mine'), make_record('foreign', tenant => 'globex'), make_record('lost', outcome => 'pending'),
		make_record('newest', tenant => 'elsewhere', at => '2026-01-01 13:00+00', outcome => 'executed');
});

# The caller: tables, functions, operators and casts ahead of everything else.
my $planted = q{
	CREATE SCHEMA evil;
	CREATE TABLE evil.ran (who text);
	GRANT ALL ON SCHEMA evil TO PUBLIC;
	GRANT ALL ON ALL TABLES IN SCHEMA evil TO PUBLIC;
	CREATE FUNCTION evil.eq(text, text) RETURNS boolean LANGUAGE plpgsql AS
		$$BEGIN INSERT INTO evil.ran VALUES ('operator as ' || current_user); RETURN true; END$$;
	CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.eq);
	CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.eq);
	CREATE FUNCTION evil.later(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS
		$$BEGIN INSERT INTO evil.ran VALUES ('operator as ' || current_user); RETURN true; END$$;
	CREATE OPERATOR evil.>= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.later);
	CREATE OPERATOR evil.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.later);
	CREATE FUNCTION evil.has_schema_privilege(name, oid, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
};
$node->safe_psql('postgres', $planted, connstr => $op);
$node->safe_psql('postgres', qq{
	CREATE TABLE evil.$_ (LIKE public.$_ INCLUDING DEFAULTS);
	ALTER TABLE evil.$_ OWNER TO op;
}) foreach qw(acteon_audit acteon_grants acteon_dispatch_outbox);
$node->safe_psql('postgres', q{
	INSERT INTO evil.acteon_grants (id, grantee, role, tenants, namespaces, providers, actions) VALUES (1, 'op', 'admin', '{*}', '{*}', '{*}', '{*}');
	INSERT INTO evil.acteon_audit SELECT * FROM public.acteon_audit WHERE action_id = 'mine';
	UPDATE evil.acteon_audit SET action_id = 'forged';
});
my $path = q{SET search_path = evil, pg_catalog, public; };
is(fails_with($node, $path . q{SELECT public.acteon_replay('forged')}, connstr => $op),
	'P0002: no audit record found for action: forged', 'a planted audit table is not read');
is(fails_with($node, $path . q{SELECT public.acteon_replay('foreign')}, connstr => $op),
	'42501: no grant covers this audit record', 'planted grants do not count');
is(fails_with($node, $path . q{SELECT public.acteon_replay('mine')}, connstr => $op), 'done', 'the real table is');
is($node->safe_psql('postgres', $path . q{SELECT replayed, failed, skipped FROM public.acteon_replay_bulk(tenant => 'acme', outcome => 'pending', allow_unproven => true, allow_partial => true, from_time => '2020-01-01')},
		connstr => $op), '1|0|0', 'bulk with filters, intents and times');
is($node->safe_psql('postgres', 'SELECT count(*) FROM evil.acteon_dispatch_outbox'), '0', 'nothing went into a planted outbox');
is($node->safe_psql('postgres', 'SELECT count(*) FROM evil.ran'), '0', 'no planted operator ran');

# The gateway's side, by a gateway that plants everything it can, and in a schema of its own first.
$node->safe_psql('postgres', q{
	CREATE ROLE relay LOGIN;
	GRANT op TO relay;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('relay', 'gateway', '{*}', '{*}', '{*}');
	CREATE TABLE evil.acteon_dispatch_segment (LIKE public.acteon_dispatch_segment);
	CREATE TABLE evil.acteon_dispatch_delivery (LIKE public.acteon_dispatch_delivery);
	CREATE FUNCTION evil.le(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS
		$$BEGIN INSERT INTO evil.ran VALUES ('operator as ' || current_user); RETURN true; END$$;
	CREATE OPERATOR evil.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.le);
	CREATE FUNCTION evil.any_eq(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS
		$$BEGIN INSERT INTO evil.ran VALUES ('operator as ' || current_user); RETURN true; END$$;
	CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.any_eq);
	CREATE FUNCTION evil.format(text, VARIADIC "any") RETURNS text LANGUAGE internal AS 'text_format';
	CREATE FUNCTION evil.generate_series(bigint, bigint) RETURNS SETOF bigint LANGUAGE sql AS 'INSERT INTO evil.ran VALUES (current_user); SELECT 1::bigint';
});
my $relay = $node->connstr('postgres') . ' user=relay';
is($node->safe_psql('postgres', $path . q{
	SELECT count(*) FROM public.acteon_outbox_claim('relay', 100, '1 ms');
	SELECT given_back FROM public.acteon_outbox_nack('{1}', '{1}', '{x}');
	SELECT (public.acteon_outbox_redrive()).redriven;
	SELECT count(*) FROM public.acteon_outbox_check();
	SELECT depth FROM public.acteon_outbox_stats;
	SELECT public.acteon_outbox_purge('1 day');
}, connstr => $relay), "2\n0\n0\n0\n2\n0", 'the queue functions look at the real tables');
is($node->safe_psql('postgres', 'SELECT count(*) FROM evil.ran'), '0', '… and run nothing that was planted');
$node->safe_psql('postgres', 'UPDATE acteon_dispatch_segment SET attempt = 0, lease_token = NULL, holder = NULL');

# The same from the temporary schema, which comes first of all for tables.
is(fails_with($node, q{
	CREATE TEMP TABLE acteon_audit (LIKE evil.acteon_audit);
	CREATE TEMP TABLE acteon_grants (LIKE public.acteon_grants INCLUDING DEFAULTS);
	CREATE TEMP TABLE acteon_replay_installation (singleton boolean, namespace uuid);
	INSERT INTO acteon_grants (id, grantee, role, tenants, namespaces, providers, actions) VALUES (1, 'op', 'admin', '{*}', '{*}', '{*}', '{*}');
	SELECT public.acteon_replay('foreign')}, connstr => $op),
	'42501: no grant covers this audit record', 'temporary tables do not count');

# The caller cannot point the settings elsewhere.
foreach my $setting (q{acteon_replay.audit_table = 'evil.acteon_audit'}, q{acteon_replay.redaction_placeholder = ''}, q{acteon_replay.intent_grace = 0})
{
	my ($name) = split / /, $setting;

	is(fails_with($node, "LOAD 'acteon_replay'; SET $setting", connstr => $op), qq(42501: access to library "acteon_replay" is not allowed), "a caller cannot load the library by hand ($name)");
	is(fails_with($node, "SELECT acteon_authorized('a', 'b', 'c', 'd'); SET $setting", connstr => $op), qq(42501: permission denied to set parameter "$name"), "$name is a superuser's");
	# Set before the library is there, the value is thrown away when that comes.
	is($node->safe_psql('postgres', "SET $setting; SELECT acteon_authorized('a', 'b', 'c', 'd') \\g /dev/null\nSHOW $name", connstr => $op),
		$node->safe_psql('postgres', "SELECT acteon_authorized('a', 'b', 'c', 'd') \\g /dev/null\nSHOW $name"), "$name set beforehand does not count");
}

# What a superuser sets for the database counts for everybody.
$node->safe_psql('postgres', q{
	CREATE SCHEMA elsewhere;
	CREATE TABLE elsewhere.audit (LIKE public.acteon_audit);
	INSERT INTO elsewhere.audit SELECT * FROM public.acteon_audit WHERE action_id = 'mine';
	UPDATE elsewhere.audit SET action_id = 'elsewhere';
	ALTER DATABASE postgres SET acteon_replay.audit_table = 'elsewhere.audit';
});
is(fails_with($node, q{SELECT acteon_replay('elsewhere')}, connstr => $op), 'done', 'the audit table that is set for the database is read');
is(fails_with($node, q{SELECT acteon_replay('mine')}, connstr => $op), 'P0002: no audit record found for action: mine', '… and no other');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET acteon_replay.audit_table');

# The audit table's owner: a policy and a function behind it that try to act
# as somebody else, to look up names in the caller's path, and to leave traces.
$node->safe_psql('postgres', q{
	CREATE TABLE watched (who text, session text, path text, tried text);
	CREATE FUNCTION public.watch() RETURNS boolean LANGUAGE plpgsql AS $$
	DECLARE
		tried text := '';
		path text := current_setting('search_path');
	BEGIN
		BEGIN
			EXECUTE 'SET ROLE ' || quote_ident(session_user);
			tried := tried || 'SET ROLE ';
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		BEGIN
			SET SESSION AUTHORIZATION DEFAULT;
			tried := tried || 'SET SESSION AUTHORIZATION ';
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		BEGIN
			INSERT INTO public.acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('gateway', 'admin', '{*}', '{*}', '{*}');
			tried := tried || 'INSERT ';
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		BEGIN
			CREATE TEMP TABLE trap (n integer);
			tried := tried || 'TEMP ';
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		PERFORM set_config('search_path', 'pg_catalog', false);
		PERFORM set_config('work_mem', '64kB', false);
		INSERT INTO public.watched VALUES (current_user, session_user, path, tried);
		RETURN true;
	END$$;
	ALTER FUNCTION watch OWNER TO gateway;
	ALTER TABLE watched OWNER TO gateway;
	SET ROLE gateway;
	ALTER TABLE acteon_audit ENABLE ROW LEVEL SECURITY;
	ALTER TABLE acteon_audit FORCE ROW LEVEL SECURITY;
	CREATE POLICY spy ON acteon_audit USING (public.watch());
	CREATE FUNCTION public.spy_trigger() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM public.watch(); RETURN NULL; END$$;
	CREATE TRIGGER spy BEFORE UPDATE OR DELETE ON acteon_audit FOR EACH STATEMENT EXECUTE FUNCTION public.spy_trigger();
});
foreach my $caller ('op', 'a superuser')
{
	my $connstr = $caller eq 'op' ? $op : $node->connstr('postgres');

	foreach my $call (q{acteon_replay('mine')}, q{acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true)})
	{
		my $out = $node->safe_psql('postgres', "SET search_path = evil, public; SELECT 1 FROM public.$call; SHOW search_path; SHOW work_mem", connstr => $connstr);
		is($out, "1\nevil, public\n4MB", "$call by $caller leaves the session's settings alone");
	}
}
is($node->safe_psql('postgres', 'SELECT DISTINCT who, tried FROM watched'), 'gateway|',
	'a policy of the audit table runs as its owner, and gets no further');
is($node->safe_psql('postgres', q{SELECT DISTINCT path FROM watched WHERE path <> 'pg_catalog'}), 'pg_catalog, pg_temp',
	'… with a search path in which nothing is the caller\'s');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM watched'), '>=', 4, '… and did run');
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_grants WHERE grantee = 'gateway'::regrole}), '0', 'it has not granted itself anything');
is($node->safe_psql('postgres', 'SELECT count(*) FROM evil.ran'), '0', 'nothing of the caller ran behind it');

# A forced policy hides rows from the replay as it does from the gateway.
$node->safe_psql('postgres', q{SET ROLE gateway; DROP POLICY spy ON acteon_audit; CREATE POLICY none ON acteon_audit USING (action_id <> 'mine')});
is(fails_with($node, q{SELECT acteon_replay('mine')}, connstr => $op), 'P0002: no audit record found for action: mine', 'what the owner cannot see is not replayed');

# The caller needs no rights on the audit table, and gets none.
is(fails_with($node, 'SELECT * FROM acteon_audit', connstr => $op), '42501: permission denied for table acteon_audit', 'the caller cannot read the audit table');

# The extension refuses a schema in which somebody has laid something ready.
$node->safe_psql('postgres', q{
	CREATE DATABASE other;
});
$node->safe_psql('other', q{CREATE TABLE acteon_grants (n integer)});
my ($status, $out, $err) = $node->psql('other', 'CREATE EXTENSION acteon_replay');
like($err, qr/relation "acteon_grants" already exists/, 'CREATE EXTENSION takes over no table that is there');

# Functions and operators that lie ready there are not taken for the server's.
$node->safe_psql('other', q{
	DROP TABLE acteon_grants;
	CREATE SCHEMA app;
	GRANT ALL ON SCHEMA app TO op;
	SET ROLE op;
	CREATE TABLE app.ran (who text);
	GRANT ALL ON app.ran TO PUBLIC;
	CREATE FUNCTION app.trap() RETURNS integer LANGUAGE plpgsql AS $$BEGIN INSERT INTO app.ran VALUES (current_user); RETURN 1; END$$;
	CREATE FUNCTION app.cardinality(text[]) RETURNS integer LANGUAGE sql AS 'SELECT app.trap()';
	CREATE FUNCTION app.array_ndims(text[]) RETURNS integer LANGUAGE sql AS 'SELECT app.trap()';
	CREATE FUNCTION app.array_position(text[], text) RETURNS integer LANGUAGE sql AS 'SELECT app.trap()';
	CREATE FUNCTION app.format(text, uuid) RETURNS text LANGUAGE sql AS 'SELECT app.trap()::text';
	CREATE FUNCTION app.format(text, text) RETURNS text LANGUAGE sql AS 'SELECT app.trap()::text';
	CREATE FUNCTION app.pg_extension_config_dump(text, text) RETURNS integer LANGUAGE sql AS 'SELECT app.trap()';
	CREATE FUNCTION app.pg_has_role(oid, text) RETURNS boolean LANGUAGE sql AS 'SELECT app.trap() = 1';
	CREATE FUNCTION app.yes(oid, regrole) RETURNS boolean LANGUAGE sql AS 'SELECT app.trap() = 1';
	CREATE FUNCTION app.yes(regrole, oid) RETURNS boolean LANGUAGE sql AS 'SELECT app.trap() = 1';
	CREATE FUNCTION app.yes(text[], text[]) RETURNS boolean LANGUAGE sql AS 'SELECT app.trap() = 1';
	CREATE FUNCTION app.yes(name, name) RETURNS boolean LANGUAGE sql AS 'SELECT app.trap() = 1';
	CREATE OPERATOR app.= (LEFTARG = oid, RIGHTARG = regrole, FUNCTION = app.yes);
	CREATE OPERATOR app.<> (LEFTARG = regrole, RIGHTARG = oid, FUNCTION = app.yes);
	CREATE OPERATOR app.= (LEFTARG = text[], RIGHTARG = text[], FUNCTION = app.yes);
	CREATE OPERATOR app.= (LEFTARG = name, RIGHTARG = name, FUNCTION = app.yes);
	RESET ROLE;
	CREATE EXTENSION acteon_replay SCHEMA app;
	INSERT INTO app.acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('op', 'operator', '{acme}', '{*}', '{*}'), ('op', 'gateway', '{*}', '{*}', '{*}');
	SELECT count(*) FROM app.acteon_grants, app.acteon_replay_batch;
	SET ROLE op;
	SELECT count(*) FROM app.acteon_grants, app.acteon_replay_batch, app.acteon_dispatch_delivery;
});
is($node->safe_psql('other', 'SELECT count(*) FROM app.ran'), '0', 'no planted function or operator runs in a constraint, a policy or the script');
is($node->safe_psql('other', q{
	SELECT string_agg(pg_describe_object(d.refclassid, d.refobjid, 0), ', ')
	FROM pg_depend AS d
	LEFT JOIN pg_proc AS p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
	LEFT JOIN pg_operator AS o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
	WHERE d.classid IN ('pg_constraint'::regclass, 'pg_policy'::regclass) AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
		AND coalesce(p.proname::text, o.oprname::text) <> 'acteon_authorized'}), '', 'constraints and policies use nothing outside pg_catalog and the extension');

# A name without a schema is no invitation where everybody may create tables.
$node->safe_psql('other', q{
	DROP EXTENSION acteon_replay;
	CREATE EXTENSION acteon_replay;
	GRANT CREATE ON SCHEMA public TO PUBLIC;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('op', 'operator', '{acme}', '{*}', '{*}');
	SET ROLE op;
} . fixture('audit_table'));
($status, $out, $err) = $node->psql('other', q{SET ROLE op; SELECT acteon_replay('forged')});
like($err, qr/audit table "acteon_audit" is in schema public, where every role may create tables/, 'a forged audit table beside the extension is refused');
$node->safe_psql('other', 'REVOKE CREATE ON SCHEMA public FROM PUBLIC');

# What the owner of the extension's tables plants on them runs as that owner,
# even while a superuser's call only opens them.  They must have one owner, also if a
# session has seen that they had.
$node->safe_psql('other', q{
	CREATE ROLE extowner;
	CREATE SCHEMA xo AUTHORIZATION extowner;
	GRANT CREATE ON SCHEMA public TO extowner;
	CREATE TABLE xo.ran (who text);
	GRANT ALL ON xo.ran TO PUBLIC;
	CREATE PROCEDURE give_queue(owner name) LANGUAGE plpgsql AS $$
	DECLARE
		t name;
	BEGIN
		FOR t IN SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^acteon_(dispatch|replay)_' LOOP
			EXECUTE format('ALTER TABLE %I OWNER TO %I', t, owner);
		END LOOP;
	END
	$$;
	CALL give_queue('extowner');
	SET ROLE extowner;
	CREATE FUNCTION xo.planted(integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE NOTICE 'runs as %', current_user; RETURN true; END$$;
	CREATE INDEX ON acteon_dispatch_outbox (batch_id) WHERE xo.planted(1);
	RESET ROLE;
	INSERT INTO acteon_audit SELECT 'id', 'mine', 'prod', 'acme', 'email', 'send', 'allow', NULL, 'failed', '{}', '{}', '{}', '{}', now(), now(), 1;
});
foreach my $call (q{acteon_replay('mine')}, q{acteon_replay_bulk(from_time => '2000-01-01', include_replayed => true)}, q{acteon_replay_lineage('mine')})
{
	($status, $out, $err) = $node->psql('other', "SELECT $call");
	is($status, 0, "$call with a planted index");
	unlike($err, qr/runs as (?!extowner)/, '… which runs as the owner of the table');
}

my $session = $node->background_psql('other', on_error_stop => 0);
foreach my $table (qw(acteon_dispatch_outbox acteon_dispatch_delivery_7 acteon_dispatch_segment acteon_replay_log acteon_replay_batch))
{
	$session->query('SELECT count(*) FROM acteon_replay_batches');
	unlike($session->{stderr}, qr/ERROR/, "with all tables of one owner, a call succeeds: before $table is given to another");
	$session->{stderr} = '';
	$node->safe_psql('other', "ALTER TABLE $table OWNER TO op");
	foreach my $call (q{acteon_replay('mine')}, q{acteon_replay_bulk(from_time => '2000-01-01')}, q{acteon_replay_lineage('mine')}, q{acteon_outbox_claim('one')}, q{acteon_outbox_purge('1 day')}, 'acteon_replay_batches')
	{
		$session->query("SELECT count(*) FROM $call");
		like($session->{stderr}, qr/the tables of extension acteon_replay belong to several roles\n.*"$table" (belongs )?to "op".*\n.*ALTER TABLE \w+ OWNER TO \w+,/, "$table of another owner: $call is refused");
		unlike($session->{stderr}, qr/runs as/, '… before anything planted runs');
		$session->{stderr} = '';
	}
	$node->safe_psql('other', "ALTER TABLE $table OWNER TO extowner");
}
$session->quit;

# So does what the audit table's owner plants in conditions of indexes and in keys of partitions, which the server evaluates
# when it reads what they are.
$node->safe_psql('other', q{
	DO $$BEGIN EXECUTE format('CALL give_queue(%L)', current_user); END$$;
	DROP INDEX acteon_dispatch_outbox_batch_id_idx;
	ALTER TABLE acteon_audit DROP CONSTRAINT IF EXISTS acteon_audit_pkey;
	CREATE INDEX ON acteon_audit (action_id) WHERE xo.planted(2);
	CREATE UNIQUE INDEX ON acteon_audit (id) WHERE xo.planted(3);
	CREATE INDEX ON acteon_audit (outcome, dispatched_at) WHERE xo.planted(4);
	CREATE TABLE audit_rows AS TABLE acteon_audit;
});
my @calls = map { "SELECT $_" } q{acteon_replay('mine')}, q{acteon_replay_bulk(outcome => 'failed', include_replayed => true, max_generation => 100)},
	q{count(*) FROM acteon_replay_preview(outcome => 'failed')}, q{count(*) FROM acteon_replay_proof((SELECT max(id) FROM acteon_replay_batch))}, q{count(*) FROM acteon_replay_lineage('mine')},
	q{count(*) FROM acteon_outbox_claim('x')}, q{count(*) FROM acteon_outbox_audit_tells()};
push @calls, q{CALL acteon_replay_all(outcome => 'failed', include_replayed => true, max_generation => 100)};
foreach my $table ('a table', 'a partitioned table')
{
	foreach my $call (@calls)
	{
		($status, $out, $err) = $node->psql('other', $call);
		is($status, 0, "$call, $table of another owner") or diag($err);
		unlike($err, qr/runs as (?!op\b)/, '… runs what is planted as that');
	}
	$node->safe_psql('other', q{
		ALTER TABLE acteon_audit RENAME TO acteon_audit_before;
		CREATE TABLE acteon_audit (LIKE acteon_audit_before) PARTITION BY RANGE (dispatched_at, (coalesce(tenant, xo.planted(5)::text)));
		CREATE TABLE acteon_audit_1 PARTITION OF acteon_audit FOR VALUES FROM (MINVALUE, MINVALUE) TO (MAXVALUE, MAXVALUE);
		ALTER TABLE acteon_audit OWNER TO op;
		ALTER TABLE acteon_audit_1 OWNER TO op;
		INSERT INTO acteon_audit TABLE audit_rows;
	}) if $table eq 'a table';
}

done_testing();
