# pg_dump and pg_restore, by whoever makes backups: a dump is complete or fails, a restore is complete or replays and
# claims are refused, and a role stays the one that started a batch.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $node = new_server('primary');
my $tmp = $PostgreSQL::Test::Utils::tmp_check;

$node->safe_psql('postgres', q{
	CREATE ROLE alice LOGIN;
	CREATE ROLE bob LOGIN;
	CREATE ROLE gone LOGIN;
	CREATE ROLE backup LOGIN IN ROLE pg_read_all_data;
	CREATE ROLE bypass LOGIN BYPASSRLS IN ROLE pg_read_all_data;
	CREATE ROLE reader LOGIN;
	GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
	GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO reader;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions)
	VALUES ('alice', 'operator', '{acme}', '{prod}', '{*}'), ('bob', 'operator', '{acme}', '{prod}', '{*}'), ('gone', 'operator', '{acme}', '{prod}', '{*}');
	SELECT count(make_record('a-' || n, at => timestamptz '2026-01-01' + n * interval '1 s')) FROM generate_series(1, 500) AS n;
	SELECT acteon_api_key_create('dashboard', 'alice');
	BEGIN;
	SELECT * FROM acteon_api_begin(1, 'request', sha256('r'));
	SELECT acteon_api_finish(1, 'request', 200, 'answer');
	COMMIT;
	-- Purged, so that acteon_dispatch_action has rows.
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 20);
	SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb)) FROM acteon_outbox_claim('c', 20);
	UPDATE acteon_dispatch_delivery SET finished_at = now() - interval '40 days';
	SELECT acteon_outbox_purge('30 days');
	-- Something in each part of the outbox.
	DO $$
	BEGIN
		FOR part IN 1 .. 15 LOOP
			PERFORM setval('acteon_dispatch_outbox_id_seq', part * 1000000000000 + 1), acteon_replay('a-' || 480 + part);
			PERFORM acteon_outbox_ack(ARRAY[outbox_id], ARRAY[lease_token], '{NULL}') FROM acteon_outbox_claim('c');
		END LOOP;
	END
	$$;
	UPDATE acteon_audit SET action_payload = '{"secret": "[REDACTED]"}' WHERE action_id = 'a-100';
	SET ROLE alice;
	SELECT replayed FROM acteon_replay_bulk(from_time => '2026-01-01 00:00:21+00', max_records => 250, canary => 'off', reason => 'of alice', rate => 50);
	RESET ROLE;
	SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb)) FROM acteon_outbox_claim('c', 5);
	SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('400'::text)) FROM acteon_outbox_claim('c', 5);
	SELECT acteon_replay_limit_set(provider => 'email', rate => 2.5, concurrency => 100000, reason => 'agreed'), acteon_replay_limit_set(tenant => 'globex', concurrency => 1);
	SELECT acteon_replay_policy_set('p', '{"tenant": "acme"}', rate => 2.5, quiet_from => '22:00', quiet_to => '06:00', time_zone => 'Europe/Berlin', max_a_day => 100, reason => 'agreed');
	INSERT INTO acteon_replay_policy_provider (policy, provider, state, batch_id, is_probe, is_ours, failing_since, try_at, failures, cursor, at_end, probed, floor_at, sweep_from, sweep_to)
		VALUES ('p', 'email', 'probing', 2, true, false, now(), now(), 3, 'c', false, '{a,b}', now(), now(), now());
	SET ROLE alice;
	SELECT acteon_replay_pause(max(batch_id), 'wait') FROM acteon_replay_batches;
	SELECT acteon_replay_policy_set('of alice');
	SET ROLE gone;
	SELECT acteon_replay_policy_set('of gone');
	SELECT acteon_replay('a-400', 'of gone');
	SELECT acteon_replay('a-401', 'of gone, too');
	RESET ROLE;
	SELECT count(*) FROM acteon_outbox_claim('c', 1);
	SELECT acteon_replay_notify_set('ops', 'slack', 'message', 'ops', 'platform', '{"text": "{{summary}}"}', events => '{finished,held}', tenants => '{acme,globex}', namespaces => '{prod}', min_actions => 7, reason => 'agreed');
	ALTER ROLE alice RENAME TO alicia;
	DROP ROLE gone;
	CREATE ROLE gone LOGIN;
	CREATE ROLE alice LOGIN;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) SELECT r, 'operator', '{acme}', '{prod}', '{*}' FROM unnest('{alice,gone}'::regrole[]) AS r;
});

sub as { return (connstr => $_[0]->connstr($_[1]) . " user=$_[2]"); }

# What the tables and sequences of the extension have, a line for each row.
my @tables = split /\n/, $node->safe_psql('postgres', q{
	SELECT c.relname FROM pg_depend AS d JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND c.relkind IN ('r', 'p') ORDER BY 1});
my @sequences = split /\n/, $node->safe_psql('postgres', q{
	SELECT c.relname FROM pg_depend AS d JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND c.relkind = 'S' ORDER BY 1});
# Each database has a secret of its own.
@tables = grep { $_ ne 'acteon_replay_secret' } @tables;
# Grants of dropped roles stay behind.
my %only = (acteon_grants => 'WHERE grantee IN (SELECT oid FROM pg_roles)');

sub rows_of
{
	my ($server, $database) = @_;
	my %rows;

	foreach my $table (@tables)
	{
		$rows{$table} = $server->safe_psql($database, "SELECT t::text FROM $table AS t " . ($only{$table} // '') . ' ORDER BY 1');
	}
	$rows{$_} = $server->safe_psql($database, "SELECT last_value, is_called FROM $_") foreach @sequences;
	return \%rows;
}

my $next = q{BEGIN; SELECT new_action_id FROM acteon_replay('a-30'); ROLLBACK; BEGIN; SELECT new_action_id FROM acteon_replay('a-5'); ROLLBACK; BEGIN; SELECT new_action_id FROM acteon_replay('a-450'); ROLLBACK};
my $next_ids = $node->safe_psql('postgres', $next);
my $before = rows_of($node, 'postgres');
my @empty = grep { $before->{$_} eq '' } @tables;
is("@empty", '', 'each table has something to lose');
sub compare
{
	my ($server, $database, $what) = @_;
	my $after = rows_of($server, $database);

	is($after->{$_}, $before->{$_}, "$what: $_") foreach sort keys %$before;
	isnt($server->safe_psql($database, 'SELECT key FROM acteon_replay_secret'), $node->safe_psql('postgres', 'SELECT key FROM acteon_replay_secret'), "$what: the secret is another one");
	is($server->safe_psql($database, $next), $next_ids, "$what: ids of further replays");
	is($server->safe_psql($database, q{SELECT replayed FROM acteon_replay_bulk(from_time => '2026-01-01 00:00:40+00', to_time => '2026-01-01 00:01:00+00')}), '0',
		"$what: what was replayed is not replayed again");
	is($server->safe_psql($database, 'SELECT * FROM acteon_outbox_check()'), '', "$what: no violations");
}

# Dump a database as a role and restore it into a new one as the superuser.  Options: dump and restore, arguments of
# the two; on, the server for the new one; before, statements there before the restore; fails, whether it does.
my $count = 0;

sub dump_and_restore
{
	my ($what, $user, %options) = @_;
	my $to = $options{on} // $node;
	my $database = 'restored_' . ++$count;
	my $file = "$tmp/dump_$count";
	my @dump = ('pg_dump', @{ $options{dump} // ['-Fc'] }, '-f', $file, '-d', $node->connstr('postgres') . " user=$user");

	$options{loud} ? $node->command_checks_all(\@dump, 1, [], [ $options{loud} ], "pg_dump, $what, is refused") : $node->command_ok(\@dump, "pg_dump, $what");
	return if $options{loud};
	$to->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0");
	$to->safe_psql($database, $options{before}) if $options{before};
	my @restore = grep({ $_ eq '-Fp' } @dump)
		? ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $to->connstr($database), '-f', $file)
		: ('pg_restore', @{ $options{restore} // ['-e'] }, '-d', $to->connstr($database), $file);
	$options{fails} ? $to->command_fails(\@restore, "$what: the restore fails in part") : $to->command_ok(\@restore, "$what: it can be restored");
	return $database;
}

chomp(my $me = `id -un`);
my $audit = fixture('audit_table');
foreach my $way (
	[ 'custom format', $me ],
	[ 'plain format', $me, dump => ['-Fp'] ],
	[ 'directory format, two jobs', $me, dump => [ '-Fd', '-j2' ], restore => [ '-e', '-j2' ] ],
	[ 'row security', $me, dump => [ '-Fc', '--enable-row-security' ] ],
	[ 'inserts', $me, dump => [ '-Fc', '--rows-per-insert=7' ] ],
	[ 'data only', $me, dump => [ '-Fc', '--data-only' ], before => "CREATE EXTENSION acteon_replay; $audit" ],
	[ 'BYPASSRLS', 'bypass' ],
	[ 'a member of pg_read_all_data, row security', 'backup', dump => [ '-Fc', '--enable-row-security' ] ],
	[ 'the same, plain', 'backup', dump => [ '-Fp', '--enable-row-security' ] ],
	[ 'the same, two jobs', 'backup', dump => [ '-Fd', '-j2', '--enable-row-security' ], restore => [ '-e', '-j2' ] ])
{
	my ($what, $user, %options) = @$way;
	my $database = dump_and_restore($what, $user, %options);

	compare($node, $database, $what);
}

# What row-level security would cut is refused by the server before anything is lost.
dump_and_restore("$_, without row security", $_, loud => qr/query would be affected by row-level security policy/) foreach 'backup', 'reader';
my ($status, $out, $err) = $node->psql('template1', 'CREATE DATABASE other');
($status, $out, $err) = $node->psql('other', 'CREATE EXTENSION acteon_replay');
like($err, qr/WARNING:  pg_dump of this database will fail for these members of pg_read_all_data: backup\n.*ALTER ROLE .* BYPASSRLS/s, 'CREATE EXTENSION says whose backups will fail');
# A role that reads all tables by grants of its own can still leave out what it may not see.
my $cut = dump_and_restore('grants on all tables, row security', 'reader', dump => [ '-Fc', '--enable-row-security' ]);
is($node->safe_psql($cut, 'SELECT (SELECT count(*) FROM acteon_dispatch_outbox), (SELECT count(*) FROM acteon_replay_installation)'), '0|0', 'such a dump lacks what the role may not see');
my $lost = '55000: the ids of earlier replays are lost: "acteon_replay_installation" is empty';
is(fails_with($node, $_, connstr => $node->connstr($cut)), $lost, "refused there: $_")
	foreach q{SELECT acteon_replay('a-30')}, q{SELECT acteon_replay_bulk(from_time => '2000-01-01')}, q{SELECT acteon_outbox_claim('c')};
is($node->safe_psql($cut, 'SELECT (SELECT count(*) FROM acteon_dispatch_outbox), (SELECT count(*) FROM acteon_replay_installation)'), '0|0', 'nothing was written there');
# What was rolled back has begun nothing.
is($node->safe_psql('other', $audit . fixture('helpers') . q{; SELECT make_record('r'); BEGIN; SELECT success FROM acteon_replay('r'); ROLLBACK; SELECT success FROM acteon_replay('r')}) =~ s/.*\n(?=t\nt)//rs, "t\nt",
	'a first replay that was rolled back stands in no way');

# A restore that fails for a table, as it does for added columns, is noticed before anything goes out.
foreach my $half (
	[ 'acteon_dispatch_outbox', 'unknown action' ],
	[ 'acteon_dispatch_segment', 'lost' ],
	[ 'acteon_dispatch_delivery', 'lost' ],
	[ 'acteon_replay_batch', 'no batch' ],
	[ 'acteon_replay_installation', undef ])
{
	my ($table, $violation) = @$half;
	my $incomplete = '55000: the tables of acteon_replay were not restored completely';

	$node->safe_psql('postgres', "ALTER TABLE $table ADD COLUMN ticket text");
	my $database = dump_and_restore("own column in $table", $me, fails => 1, restore => []);
	$node->safe_psql('postgres', "ALTER TABLE $table DROP COLUMN ticket");
	is($node->safe_psql($database, "SELECT count(*) FROM $table"), '0', "$table is empty there");
	$incomplete = $lost unless $violation;
	is(fails_with($node, $_, connstr => $node->connstr($database)), $incomplete, "$table: refused: $_")
		foreach q{SELECT acteon_replay('a-30')}, q{SELECT acteon_replay_bulk(from_time => '2000-01-01')}, q{SELECT acteon_outbox_claim('c')};
	next unless $violation;
	is($node->safe_psql($database, "SELECT count(*) > 0 FROM acteon_outbox_check() WHERE violation = '$violation'"), 't', "acteon_outbox_check: $violation");
}
# … also where the database itself is loaded again, which looks like no other place.
my $again = dump_and_restore('loaded again', $me);
$node->safe_psql($again, q{
	SELECT replayed FROM acteon_replay_bulk(from_time => '2026-01-01 00:06:50+00', max_records => 3);
	DELETE FROM acteon_dispatch_outbox WHERE original_action_id = 'a-411'});
is($node->safe_psql($again, q{SELECT count(*) FROM acteon_outbox_claim('c')}), '2', 'a claim hands out what there is');
is($node->safe_psql($again, q{SELECT count(*), min(held) FROM acteon_dispatch_segment WHERE doubt LIKE '%is not in the outbox' AND held IS NOT NULL}), '1|it cannot be handed out', '… and holds what is missing');
is($node->safe_psql($again, q{SELECT count(*) FROM acteon_outbox_check() WHERE violation = 'unknown action'}), '1', 'acteon_outbox_check tells of it');

# Another database of the same server is noticed as well.
my $copy = dump_and_restore('a copy beside it', $me);
is($node->safe_psql($copy, q{SELECT count(*) FROM acteon_outbox_claim('c'); SELECT details ->> 'before' ~ ', database \d+$' FROM acteon_replay_log WHERE event = 'failover'}), "0\nt", 'a claim notices another database');

# Who started a batch: the role, not its name.
my $pause = sub {
	my ($server, $database, $user, $reason) = @_;
	return fails_with($server, "SELECT acteon_replay_resume((SELECT id FROM acteon_replay_batch WHERE reason = '$reason'), 'x')", as($server, $database, $user));
};
my $not = qr/^42501: insufficient permissions: batch \d+ can be steered by the role that started it, by its members, and by admins$/;
is($pause->($node, 'postgres', 'alicia', 'of alice'), 'done', 'a role that was renamed steers its batch');
like($pause->($node, 'postgres', 'alice', 'of alice'), $not, '… and a later role of its name does not');
like($pause->($node, 'postgres', 'gone', 'of gone'), $not, '… nor does one that was dropped and made again');
like($pause->($node, 'postgres', 'bob', 'of alice'), $not, '… nor another operator');
is($node->safe_psql('postgres', q{SELECT requested_by, requested_by_oid, requested_by_oid = 'alicia'::regrole FROM acteon_replay_batch WHERE reason = 'of alice'}), 'alice|alicia|t', 'the name is the one of then, the role is the one of now');
is($node->safe_psql('postgres', q{SELECT requested_by, requested_by_oid FROM acteon_replay_batch WHERE reason = 'of gone'}), 'gone|', 'a dropped role is nobody');
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_replay_log WHERE reason = 'wait'}, as($node, 'postgres', 'alicia')), '1', 'a renamed role sees its entries of the log');

# Roles have other numbers elsewhere, and one does not exist.
my $elsewhere = PostgreSQL::Test::Cluster->new('elsewhere');
$elsewhere->init;
$elsewhere->start;
$elsewhere->safe_psql('postgres', "CREATE ROLE $_ LOGIN") foreach 'filler', 'gone', 'bob', 'alice', 'reader', 'bypass', 'backup', 'alicia';
my $oids = q{SELECT string_agg(rolname || oid, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname IN ('alice', 'alicia', 'bob')};
isnt($elsewhere->safe_psql('postgres', $oids), $node->safe_psql('postgres', $oids), 'roles have other numbers elsewhere');
my $there = dump_and_restore('elsewhere', $me, on => $elsewhere);
is($pause->($elsewhere, $there, 'alicia', 'of alice'), 'done', 'elsewhere a role steers its batch');
like($pause->($elsewhere, $there, $_->[0], $_->[1]), $not, "… $_->[0] does not") foreach [ 'alice', 'of alice' ], [ 'gone', 'of gone' ], [ 'bob', 'of alice' ];
$elsewhere->safe_psql($there, 'DROP ROLE IF EXISTS nobody; ALTER ROLE alicia RENAME TO alicja');
is($pause->($elsewhere, $there, 'alicja', 'of alice'), 'done', '… also renamed there');
my $numbers = $elsewhere->safe_psql($there, q{SELECT string_agg(id::text, ',') FROM acteon_replay_batch WHERE requested_by_oid NOT IN (SELECT oid FROM pg_roles) AND reason = 'of gone'});
isnt($numbers, '', '… and what a dropped role began is nobody\'s');
is($elsewhere->safe_psql($there, q{SELECT count(*) FROM acteon_outbox_claim('c'); SELECT details ->> 'now' ~ '^\\d+/\\d+$' FROM acteon_replay_log WHERE event = 'failover'}), "0\nt", 'a claim notices another server');

done_testing();
