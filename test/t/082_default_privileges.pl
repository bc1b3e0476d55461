# A database whose default privileges give PUBLIC nothing: the extension's script
# grants what it means to grant, and an update leaves what the administrator decides.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use Test::More;
use Acteon;

my $node = new_server('plain');
my $hardened = q{
	ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
	ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC};
my $public = q{
	SELECT pg_describe_object(d.classid, d.objid, 0) COLLATE "C" FROM pg_depend AS d JOIN pg_extension AS x ON x.oid = d.refobjid AND x.extname = 'acteon_replay'
	WHERE d.deptype = 'e' AND CASE
		WHEN d.classid = 'pg_proc'::regclass THEN has_function_privilege('public', d.objid, 'EXECUTE')
		WHEN d.classid = 'pg_type'::regclass THEN has_type_privilege('public', d.objid, 'USAGE')
		WHEN d.classid = 'pg_class'::regclass THEN has_any_column_privilege('public', d.objid, 'SELECT') END
	ORDER BY 1};
my @plain = grep { !/acteon_replay_log_refuse|acteon_replay_limit_refuse|acteon_grants_changed|acteon_grants_logged/ } split /\n/, $node->safe_psql('postgres', $public);
cmp_ok(scalar(@plain), '>', 40, 'there is something to compare');

$node->safe_psql('postgres', 'CREATE DATABASE hard');
$node->safe_psql('hard', "$hardened; CREATE SCHEMA \"of its own\"; CREATE EXTENSION acteon_replay SCHEMA \"of its own\"");
is(join("\n", map { s/"of its own"\.//gr } split /\n/, $node->safe_psql('hard', $public)), join("\n", @plain), 'PUBLIC has what it has in other databases, but for trigger functions');

# Everything that an operator and a gateway use works, views and policies included.
$node->safe_psql('postgres', 'CREATE DATABASE used');
$node->safe_psql('used', "$hardened; CREATE EXTENSION acteon_replay");
$node->safe_psql('used', fixture($_)) foreach qw(audit_table audit_indexes helpers);
$node->safe_psql('used', q{
	CREATE ROLE ops LOGIN;
	CREATE ROLE relay LOGIN;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('ops', 'admin', '{*}', '{*}', '{*}'), ('relay', 'gateway', '{*}', '{*}', '{*}');
	SELECT make_record('a'), make_record('b')});
my ($ops, $relay) = ([ '-U', 'ops' ], [ '-U', 'relay' ]);
is($node->safe_psql('used', $_->[1], extra_params => $_->[0]), $_->[2], $_->[1]) foreach (
	[ $ops, q{SELECT success FROM acteon_replay('a')}, 't' ],
	[ $ops, q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01')}, 1 ],
	[ $ops, q{SELECT state FROM acteon_replay_pause(1)}, 'paused' ],
	[ $ops, q{SELECT count(*) FROM acteon_replay_batches}, 2 ],
	[ $ops, q{SELECT count(*) FROM acteon_dispatch_outbox}, 2 ],
	[ $ops, q{SELECT count(*) FROM acteon_replay_items(1)}, 1 ],
	[ $ops, q{SELECT acteon_audit_record('a') ->> 'action_id', acteon_audit_records() ->> 'total'}, 'a|2' ],
	[ $ops, q{SELECT finding, records FROM acteon_audit_verify('prod', 'acme')}, 'checked|0' ],
	[ $ops, q{SELECT count(*) FROM acteon_replay_log}, 5 ],
	[ $relay, q{SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('x'::text)) FROM acteon_outbox_claim('x')}, 1 ],
	[ $relay, q{SELECT dead, paused FROM acteon_outbox_stats}, '1|1' ],
	[ $ops, q{SELECT count(*) FROM acteon_dead_letters}, 1 ]);

# An update grants what it creates; of what was there, the administrator decides.
$node->safe_psql('postgres', 'CREATE DATABASE updated');
$node->safe_psql('updated', q{CREATE EXTENSION acteon_replay VERSION '1.0'});
$node->safe_psql('updated', "$hardened; REVOKE EXECUTE ON FUNCTION acteon_replay_lineage, acteon_outbox_nack FROM PUBLIC; GRANT EXECUTE ON FUNCTION acteon_outbox_nack TO relay");
$node->safe_psql('updated', 'ALTER EXTENSION acteon_replay UPDATE');
is(join("\n", split /\n/, $node->safe_psql('updated', $public)), join("\n", sort grep { !/acteon_replay_lineage|acteon_outbox_nack/ } @plain, 'function acteon_replay_log_refuse()'),
	'an update grants what it creates, and nothing that was revoked');
is($node->safe_psql('updated', q{SELECT has_function_privilege('relay', oid, 'EXECUTE') FROM pg_proc WHERE proname = 'acteon_outbox_nack'}), 't', '… and keeps what was granted');

# In other databases the script grants nothing: it would become part of the extension.
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_proc WHERE proname IN ('acteon_replay', 'acteon_outbox_claim', 'acteon_replay_proof') AND proacl IS NOT NULL}), 0, 'where PUBLIC has it by default, nothing is granted');

done_testing();
