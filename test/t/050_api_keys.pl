# API keys and kept answers: who may do what with them, what a request may do
# that comes with a key, and what of it survives dumps, standbys and hostile
# callers.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $node = new_server('primary', streaming => 1);

# The connection string of a role.
sub as_role
{
	my ($role) = @_;

	return (connstr => $node->connstr('postgres') . " user=$role");
}

# http is the HTTP server's role, dba makes keys, op and viewer are roles of keys.
$node->safe_psql('postgres', q{
	CREATE ROLE op LOGIN;
	CREATE ROLE viewer LOGIN;
	CREATE ROLE other LOGIN;
	CREATE ROLE http LOGIN NOINHERIT IN ROLE op, viewer;
	CREATE ROLE dba LOGIN IN ROLE op;
	CREATE ROLE reader LOGIN;
	CREATE ROLE boss LOGIN SUPERUSER;
	GRANT EXECUTE ON FUNCTION acteon_api_login, acteon_api_begin, acteon_api_finish, acteon_api_housekeeping TO http;
	GRANT EXECUTE ON FUNCTION acteon_api_key_create, acteon_api_key_revoke TO dba;
	GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES
		('op', 'operator', '{acme}', '{*}', '{*}'), ('viewer', 'viewer', '{*}', '{*}', '{*}');
	SELECT make_record('mine'), make_record('second'), make_record('foreign', tenant => 'globex');
	INSERT INTO acteon_api_answers VALUES (1, 'k', sha256('r'), 200, 'an answer', now());
});
my %keys = map { $_ => $node->safe_psql('postgres', "SELECT acteon_api_key_create('key of $_', '$_')") } qw(op viewer other);

# Who may do what: a statement and, for each role, whether it is done (+), refused
# for want of a right (-), or shows nothing (0).
my @roles = qw(boss dba http op other reader);
my @matrix = (
	[ '+ - + - - -', "SELECT key_name FROM acteon_api_login(sha256('$keys{op}'))" ],
	[ '+ - + - - -', "SELECT * FROM acteon_api_begin(1, 'k', sha256('r'))" ],
	[ '+ - + - - -', "BEGIN; SELECT * FROM acteon_api_begin(1, 'new', sha256('r')); SELECT acteon_api_finish(1, 'new', 200, ''); ROLLBACK; SELECT 1" ],
	[ '+ - + - - -', "SELECT acteon_api_housekeeping('{}', '{}')" ],
	[ '+ + - - - -', "BEGIN; SELECT acteon_api_key_create('new', 'op')" ],
	[ '+ - - - - -', "BEGIN; SELECT acteon_api_key_create('new', 'other')" ],
	[ '+ - - - - -', "BEGIN; SELECT acteon_api_key_create('new', 'http')" ],
	[ '+ + - - - -', "BEGIN; SELECT acteon_api_key_create('new', 'dba')" ],
	[ '+ + - - - -', "BEGIN; SELECT acteon_api_key_revoke('key of op')" ],
	[ '+ - - - - -', "BEGIN; SELECT acteon_api_key_revoke('key of other')" ],
	[ '+ - - - - 0', 'SELECT * FROM acteon_api_keys' ],
	[ '+ - - - - 0', 'SELECT key_sha256 FROM acteon_api_keys' ],
	[ '+ - - - - 0', 'SELECT * FROM acteon_api_answers' ],
	[ '+ - - - - -', "BEGIN; INSERT INTO acteon_api_keys (name, key_sha256, role, created_at, created_by) VALUES ('forged', sha256('x'), 'op', now(), 'me') RETURNING id" ],
	[ '+ - - - - -', "BEGIN; UPDATE acteon_api_keys SET role = 'op' RETURNING id" ],
	[ '+ - - - - -', 'BEGIN; UPDATE acteon_api_keys SET revoked_at = NULL RETURNING id' ],
	[ '+ - - - - -', 'BEGIN; DELETE FROM acteon_api_keys RETURNING id' ],
	[ '+ - - - - -', "BEGIN; UPDATE acteon_api_answers SET answer = 'forged' RETURNING key_id" ],
	[ '+ - - - - -', 'BEGIN; DELETE FROM acteon_api_answers RETURNING key_id' ],
	[ '+ - - - - -', "SELECT nextval('acteon_api_keys_id_seq')" ],
	# The HTTP server's role may become op, and may nothing itself; dba inherits.
	[ '+ + - + - -', "BEGIN; SELECT acteon_replay('mine')" ],
	[ '+ 0 0 0 0 0', 'SELECT * FROM acteon_replay_log' ],
	# Superusers have no keys, whoever asks.
	[ '- - - - - -', "SELECT acteon_api_key_create('new', 'boss')" ],
);

foreach my $line (@matrix)
{
	my ($marks, $sql) = @$line;
	my @wanted = split ' ', $marks;

	foreach my $i (0 .. $#roles)
	{
		my ($status, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-v', 'VERBOSITY=verbose' ], as_role($roles[$i]));
		my $refused = $roles[$i] eq 'boss' || $sql =~ /'boss'/ && $roles[$i] eq 'dba' ? qr/ERROR:  (22023|42501)/ : qr/ERROR:  42501/;
		my $got = $status == 0 ? $out eq '' ? '0' : '+' : $err =~ $refused ? '-' : $err;

		is($got, $wanted[$i], "$roles[$i]: $sql");
	}
}
is(fails_with($node, "SELECT acteon_api_key_create('new', 'boss')"),
	'22023: role "boss" is a superuser, and superusers cannot have API keys', 'no key for a superuser');
is(fails_with($node, "SELECT acteon_api_key_create('new', 'other')", as_role('dba')),
	'42501: insufficient permissions: a key for role "other" requires SET ROLE to it', 'no key for a role that is not the caller\'s');

# The role that counts is the current one.
$node->safe_psql('postgres', 'GRANT dba TO other');
is(fails_with($node, "BEGIN; SET ROLE dba; SELECT acteon_api_key_create('new', 'op')", as_role('other')), 'done', 'SET ROLE counts');
$node->safe_psql('postgres', 'REVOKE dba FROM other');
SKIP:
{
	skip 'this server does not tell inheriting from SET ROLE', 1 if $node->pg_version < 16;
	$node->safe_psql('postgres', 'GRANT other TO dba WITH INHERIT TRUE, SET FALSE');
	is(fails_with($node, "SELECT acteon_api_key_create('new', 'other')", as_role('dba')),
		'42501: insufficient permissions: a key for role "other" requires SET ROLE to it', 'inheriting alone is not enough');
	$node->safe_psql('postgres', 'REVOKE other FROM dba');
}

# A request: what comes with a key acts as the key's role, until its transaction ends.
my $login = q{SELECT key_id, key_name, pg_catalog.set_config('role', role, true) FROM acteon_api_login(sha256('%s'))};
my $log_in_op = sprintf $login, $keys{op};
my $http = $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', 'http' ]);
my $key_id = $node->safe_psql('postgres', q{SELECT id FROM acteon_api_keys WHERE name = 'key of op'});

is($http->query(qq{BEGIN; SELECT * FROM acteon_api_begin($key_id, 'request 1', sha256('r')); $log_in_op}), "$key_id|key of op|op", 'a key logs in');
is($http->query('SELECT success FROM acteon_replay($$mine$$)'), 't', '… may what its role may');
is($http->query(qq{SET LOCAL ROLE NONE; SELECT acteon_api_finish($key_id, 'request 1', 200, 'replayed'); COMMIT; SELECT current_user}), "\nhttp", '… and is gone after the commit');
is($node->safe_psql('postgres', 'SELECT requested_by, session_role FROM acteon_replay_batch'), 'op|http', 'the batch names both roles');
is($http->query(qq{SELECT * FROM acteon_api_begin($key_id, 'request 1', sha256('r'))}), '200|replayed', 'the request is answered as before');
$http->query("BEGIN; $log_in_op");
$http->query('SELECT success FROM acteon_replay($$foreign$$)');
like($http->{stderr}, qr/no grant covers this audit record/, 'a key may nothing that its role may not');
$http->{stderr} = '';
is($http->query('ROLLBACK; SELECT current_user'), 'http', '… and is gone after a rollback');
$http->query("BEGIN; $log_in_op");
$http->query(q{SELECT acteon_api_key_create('mine', 'op')});
like($http->{stderr}, qr/permission denied for function acteon_api_key_create/, 'a key makes no keys');
$http->{stderr} = '';
$http->query('ROLLBACK');
is(fails_with($node, 'BEGIN; ' . (sprintf $login, $keys{other}), as_role('http')), '42501: permission denied to set role "other"',
	'a key of a role that the HTTP server may not become lets nobody in');
# What is committed meanwhile counts at once, in a session that has logged in before.
$node->safe_psql('postgres', q{SELECT acteon_api_key_revoke('key of op')}, as_role('dba'));
$http->query("BEGIN; $log_in_op");
like($http->{stderr}, qr/API key is unknown, expired or revoked/, 'a revoked key lets nobody in');
$http->{stderr} = '';
is($http->query('ROLLBACK; SELECT current_user'), 'http', '… and changes nothing');
$http->quit;
$keys{op} = $node->safe_psql('postgres', q{SELECT acteon_api_key_create('second key of op', 'op', '2999-01-01')}, as_role('dba'));

# The log shows its own entries, and all of it to those who look after it.
is($node->safe_psql('postgres', 'SELECT event, role_name, session_role, reason, details FROM acteon_replay_log WHERE event <> $$start$$', as_role('dba')),
	qq{api_key_revoke|dba|dba||{"name": "key of op", "role": "op"}\n}
	  . q{api_key_create|dba|dba||{"name": "second key of op", "role": "op", "expires": "2999-01-01T00:00:00.000000Z"}}, 'dba sees what it has done');
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_replay_log WHERE details::text LIKE '%acteon\_%'}), '0', 'no key is in the log');

# Nothing that is planted in the caller's path runs or is read.
$node->safe_psql('postgres', q{
	CREATE SCHEMA evil;
	GRANT ALL ON SCHEMA evil TO http, dba;
	CREATE TABLE evil.ran (who text);
	GRANT ALL ON evil.ran TO PUBLIC;
	CREATE FUNCTION evil.trap() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN INSERT INTO evil.ran VALUES (current_user); RETURN true; END$$;
	CREATE FUNCTION evil.yes(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT evil.trap()';
	CREATE FUNCTION evil.yes(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT evil.trap()';
	CREATE FUNCTION evil.yes(bytea, bytea) RETURNS boolean LANGUAGE sql AS 'SELECT evil.trap()';
	CREATE FUNCTION evil.yes(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT evil.trap()';
	CREATE FUNCTION evil.yes(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS 'SELECT evil.trap()';
	CREATE FUNCTION evil.octet_length(text) RETURNS integer LANGUAGE sql AS 'SELECT evil.trap()::integer';
	CREATE FUNCTION evil.octet_length(bytea) RETURNS integer LANGUAGE sql AS 'SELECT evil.trap()::integer';
	CREATE FUNCTION evil.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$SELECT evil.trap()::text::bytea$$;
} . join "\n", map {
	my $type = $_;

	"CREATE OPERATOR evil.= (LEFTARG = $type, RIGHTARG = $type, FUNCTION = evil.yes);"
	  . "CREATE OPERATOR evil.< (LEFTARG = $type, RIGHTARG = $type, FUNCTION = evil.yes);"
	  . "CREATE OPERATOR evil.>= (LEFTARG = $type, RIGHTARG = $type, FUNCTION = evil.yes);"
	  . "CREATE OPERATOR evil.<= (LEFTARG = $type, RIGHTARG = $type, FUNCTION = evil.yes);"
} qw(bigint text bytea integer timestamptz));
$node->safe_psql('postgres', qq{
	CREATE TABLE evil.$_ (LIKE public.$_);
	GRANT ALL ON evil.$_ TO PUBLIC;
}) foreach qw(acteon_api_keys acteon_api_answers acteon_replay_log);
$node->safe_psql('postgres', q{
	INSERT INTO evil.acteon_api_keys VALUES (1, 'forged', sha256('forged'), 'op', now(), 'me');
	INSERT INTO evil.acteon_api_answers VALUES (9, 'forged', sha256('r'), 200, 'forged', now());
});
my $path = 'SET search_path = evil, pg_catalog, public; ';
is($node->safe_psql('postgres', $path . qq{
	SELECT key_name FROM public.acteon_api_login(pg_catalog.sha256('$keys{op}'));
	SELECT count(*) FROM public.acteon_api_begin(9, 'forged', pg_catalog.sha256('r'));
	SELECT status FROM public.acteon_api_begin($key_id, 'request 1', pg_catalog.sha256('r'));
	BEGIN;
	SELECT count(*) FROM public.acteon_api_begin(9, 'another', pg_catalog.sha256('r'));
	SELECT public.acteon_api_finish(9, 'another', 200, '');
	COMMIT;
	SELECT public.acteon_api_housekeeping(ARRAY[$key_id], ARRAY[pg_catalog.now()]);
	SHOW search_path;
	SHOW enable_seqscan;
}, as_role('http')), "second key of op\n0\n200\n0\n\n0\nevil, pg_catalog, public\non", 'the functions of the HTTP server look at the real tables');
is(fails_with($node, $path . q{SELECT public.acteon_api_login(pg_catalog.sha256('forged'))}, as_role('http')),
	'28000: API key is unknown, expired or revoked', 'a planted key lets nobody in');
is($node->safe_psql('postgres', $path . q{
	SELECT pg_catalog.length(public.acteon_api_key_create('hostile', 'op'));
	SELECT public.acteon_api_key_revoke('hostile') IS NOT NULL;
}, as_role('dba')), "50\nt", 'so do those that make keys');
is($node->safe_psql('postgres', 'SELECT count(*) FROM evil.ran'), '0', 'nothing that was planted ran');
is($node->safe_psql('postgres', q{SELECT count(*) FROM evil.acteon_api_keys WHERE name <> 'forged'}), '0', '… or was written to');
# What the owner of the tables plants runs as that owner.
$node->safe_psql('postgres', q{
	CREATE ROLE extowner;
	GRANT CREATE ON SCHEMA public TO extowner;
	ALTER TABLE acteon_api_keys OWNER TO extowner;
	ALTER TABLE acteon_api_answers OWNER TO extowner;
	SET ROLE extowner;
	CREATE FUNCTION public.planted(bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE NOTICE 'runs as %', current_user; RETURN true; END$$;
	CREATE INDEX planted_keys ON acteon_api_keys (created_at) WHERE public.planted(id);
	CREATE INDEX planted_answers ON acteon_api_answers (status) WHERE public.planted(key_id);
});
my ($status, $out, $err) = $node->psql('postgres', qq{
	BEGIN;
	SELECT acteon_api_key_create('planted', 'op');
	SELECT acteon_api_begin(9, 'planted', sha256('r'));
	SELECT acteon_api_finish(9, 'planted', 200, '');
	SELECT acteon_api_housekeeping(ARRAY[$key_id], ARRAY[now()]);
	SELECT acteon_api_key_revoke('planted');
	SELECT key_name FROM acteon_api_login(sha256('$keys{op}'));
	ROLLBACK});
is($status, 0, 'a superuser\'s calls with planted indexes');
like($err, qr/runs as extowner/, '… which do run');
unlike($err, qr/runs as (?!extowner)/, '… as the owner of the tables');
$node->safe_psql('postgres', q{DROP INDEX planted_keys, planted_answers; DROP FUNCTION public.planted});
$node->safe_psql('postgres', "ALTER TABLE $_ OWNER TO CURRENT_USER") foreach qw(acteon_api_keys acteon_api_answers);

# A standby lets the same keys in, and writes nothing.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
my $brief = $node->safe_psql('postgres', q{SELECT acteon_api_key_create('on the standby', 'viewer')});
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT key_name, role FROM acteon_api_login(sha256('$brief'))"), 'on the standby|viewer', 'a key logs in on a standby');
$node->safe_psql('postgres', q{SELECT acteon_api_key_revoke('on the standby')});
$node->wait_for_catchup($standby);
is(fails_with($standby, "SELECT acteon_api_login(sha256('$brief'))"), '28000: API key is unknown, expired or revoked', '… and no more when it was revoked');
foreach my $call (q{acteon_api_key_create('x', 'op')}, q{acteon_api_key_revoke('key of op')}, q{acteon_api_begin(1, 'k', sha256('r'))},
	q{acteon_api_finish(1, 'k', 200, '')}, q{acteon_api_housekeeping('{}', '{}')})
{
	my ($name) = split /\(/, $call;

	is(fails_with($standby, "SELECT $call"), "25006: cannot execute $name() during recovery", "$name on a standby");
}
$standby->stop;

# A dump takes keys and answers along, also to a cluster where roles have other numbers.
$node->safe_psql('postgres', q{CREATE ROLE gone});
my $lost = $node->safe_psql('postgres', q{SELECT acteon_api_key_create('key of gone', 'gone')});
$node->safe_psql('postgres', q{
	DROP ROLE gone;
	DROP SCHEMA evil CASCADE;
	CREATE ROLE "Odd ""name""";
});
my $odd = $node->safe_psql('postgres', q{SELECT acteon_api_key_create('key of odd', '"Odd ""name"""')});
my $elsewhere = PostgreSQL::Test::Cluster->new('elsewhere');
$elsewhere->init;
$elsewhere->start;
# gone has a number there that is another's here, and op another one.
$elsewhere->safe_psql('postgres', join ';', map { "CREATE ROLE $_ LOGIN" } 'filler', 'boss', 'reader', 'dba', 'http', 'extowner', '"Odd ""name"""', 'other', 'viewer', 'op', 'last');
my $oids = q{SELECT string_agg(rolname || '=' || oid, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname IN ('op', 'viewer')};
isnt($elsewhere->safe_psql('postgres', $oids), $node->safe_psql('postgres', $oids), 'roles have other numbers elsewhere');
my $file = "$PostgreSQL::Test::Utils::tmp_check/api_keys.dump";
command_ok([ 'pg_dump', '-F', 'custom', '-f', $file, '-d', $node->connstr('postgres') ], 'pg_dump');
command_ok([ 'pg_restore', '-e', '-d', $elsewhere->connstr('postgres'), $file ], 'pg_restore elsewhere');
my $everything = q{
	SELECT string_agg(t, E'\n' ORDER BY t) FROM (
		SELECT 'key ' || k::text AS t FROM acteon_api_keys AS k JOIN pg_roles AS r ON r.oid = k.role
		UNION ALL SELECT 'answer ' || a::text FROM acteon_api_answers AS a) AS all_rows};
my $before = $node->safe_psql('postgres', $everything);
like($before, qr/answer .*\nkey .*\nkey /s, 'there is something to lose');
is($elsewhere->safe_psql('postgres', $everything), $before, 'nothing is lost');
is($elsewhere->safe_psql('postgres', "SELECT role FROM acteon_api_login(sha256('$keys{op}')); SELECT role FROM acteon_api_login(sha256('$keys{viewer}')); SELECT role FROM acteon_api_login(sha256('$odd'))"),
	qq{op\nviewer\nOdd "name"}, 'keys log in as the roles that they name');
is(fails_with($elsewhere, "SELECT acteon_api_login(sha256('$lost'))"), '28000: API key is unknown, expired or revoked', 'a key of a dropped role is not carried over');
is($elsewhere->safe_psql('postgres', qq{SELECT * FROM acteon_api_begin($key_id, 'request 1', sha256('r'))}), '200|replayed', 'a request is answered as before');
is($elsewhere->safe_psql('postgres', q{
	SELECT length(acteon_api_key_create('made elsewhere', 'op'));
	SELECT id > ALL (SELECT id FROM acteon_api_keys WHERE name <> 'made elsewhere') FROM acteon_api_keys WHERE name = 'made elsewhere'}), "50\nt", 'new keys get new numbers');

done_testing();
