# From one PostgreSQL major to another with pg_upgrade: everything comes along, and as the new cluster is another server,
# what may have been sent is looked up before it goes out again.
use strict;
use warnings;
use Cwd qw(abs_path getcwd);
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

# The pg_config of an older major: what the environment says, or one of Debian's that has the extension.
sub older
{
	my ($present) = `pg_config --version` =~ /(\d+)/;

	foreach my $config ($ENV{ACTEON_OLD_PG_CONFIG} // (), glob('/usr/lib/postgresql/*/bin/pg_config'))
	{
		my ($major) = `$config --version` =~ /PostgreSQL (\d+)/ or next;
		chomp(my $share = `$config --sharedir`);
		return ($config, $major, $present) if $major < $present && -f "$share/extension/acteon_replay.control";
	}
	return;
}

my ($config, $from, $to) = older();
plan skip_all => 'there is no older PostgreSQL major that has the extension; ACTEON_OLD_PG_CONFIG names one' unless $config;
chomp(my $old_bin = `$config --bindir`);
chomp(my $new_bin = `pg_config --bindir`);

my $old = PostgreSQL::Test::Cluster->new('old', install_path => $old_bin =~ s{/bin$}{}r);
$old->init;
$old->start;
$old->safe_psql('postgres', 'CREATE EXTENSION acteon_replay');
$old->safe_psql('postgres', fixture($_)) foreach qw(audit_table audit_indexes helpers);
$old->safe_psql('postgres', q{
	CREATE ROLE oncall;
	CREATE ROLE relay;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('oncall', 'operator', '{acme}', '{prod}', '{*}'), ('relay', 'gateway', '{*}', '{*}', '{*}');
	REVOKE EXECUTE ON FUNCTION acteon_outbox_claim FROM PUBLIC;
	GRANT EXECUTE ON FUNCTION acteon_outbox_claim TO relay;
	ALTER TABLE acteon_replay_batch ADD COLUMN ticket text;
	CREATE INDEX own_idx ON acteon_dispatch_outbox (tenant, created_at);
	SELECT acteon_api_key_create('dashboard', 'oncall');
	SELECT count(make_record('a' || i, at => '2026-01-01'::timestamptz + i * interval '1 s')) FROM generate_series(1, 12) AS i;
	SET ROLE oncall;
	SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', breaker_window => 0);
	SET ROLE relay;
	SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb)) FROM acteon_outbox_claim('c', 3);
	SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('400'::text)) FROM acteon_outbox_claim('c', 2);
	SELECT count(*) FROM acteon_outbox_claim('c', 3, '1 hour');
	RESET ROLE;
	UPDATE acteon_replay_batch SET ticket = 'INC-1'});
# Something in the other tables, too, which has nothing to do with the batch.
$old->safe_psql('postgres', q{
	SELECT acteon_replay_limit_set(provider => 'sms', rate => 2.5, reason => 'agreed');
	SELECT acteon_replay_notify_set('ops', 'slack', 'message', 'ops', 'platform', '{"text": "{{summary}}"}', tenants => '{globex}');
	SELECT acteon_replay_policy_set('p', '{"tenant": "globex"}', quiet_from => '22:00', quiet_to => '06:00', time_zone => 'Europe/Berlin');
	BEGIN;
	SELECT * FROM acteon_api_begin(1, 'request', sha256('r'));
	SELECT acteon_api_finish(1, 'request', 200, 'answer');
	COMMIT;
	SELECT acteon_replay_trail_link()});
# All that the tables and sequences of the extension have, a line for each row.
my @own = split /\n/, $old->safe_psql('postgres', q{
	SELECT format('%s %s', c.relkind, c.relname) FROM pg_depend AS d JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
	WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'acteon_replay') AND d.deptype = 'e' AND c.relkind IN ('r', 'S') ORDER BY 1});
my $rows = 'SELECT t FROM (' . join(' UNION ALL ', map { /^S (.*)/ ? "SELECT concat_ws(' ', '$1', last_value, is_called) FROM $1" : /^r (.*)/ ? "SELECT '$1 ' || t::text FROM ONLY $1 AS t" : die } @own) . ') AS r (t) ORDER BY 1';
my $before = $old->safe_psql('postgres', $rows);
like($before, qr/^$_ /m, "$_ has something to bring along") foreach qw(acteon_dispatch_outbox acteon_dispatch_relay acteon_api_answers acteon_replay_limit acteon_replay_notify acteon_replay_policy acteon_replay_trail);
my $id = $old->safe_psql('postgres', q{SELECT acteon_replay_id('a1', 1), acteon_replay_id('new', 1)});
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(extra => $from < 18 && $to >= 18 ? ['--no-data-checksums'] : []);
# It writes into the current directory.
my $here = getcwd;
my @data = map { abs_path($_->data_dir) } $old, $new;
chdir($PostgreSQL::Test::Utils::tmp_check) or die "chdir: $!";
my $done = run_log([ 'pg_upgrade', '--no-sync', '-d', $data[0], '-D', $data[1], '-b', $old_bin, '-B', $new_bin, '-s', $new->host, '-p', $old->port, '-P', $new->port ]);
chdir($here) or die "chdir: $!";
# Newer minor releases dump what older ones of another major do not know.
my ($unknown) = map { slurp_file($_) =~ /ERROR:  (unrecognized parameter .*)/ ? $1 : () } glob("$data[1]/pg_upgrade_output.d/*/log/pg_upgrade_dump_*.log");
plan skip_all => "this server's minor release is too old for the other's: $unknown" if !$done && $unknown;
ok($done, "pg_upgrade from $from to $to");
$new->start;

# A batch's requester is kept with its oid, which pg_upgrade keeps as well.
is($new->safe_psql('postgres', $rows), $before, 'every row comes along');
is($new->safe_psql('postgres', q{SELECT acteon_replay_id('a1', 1), acteon_replay_id('new', 1)}), $id, 'ids stay what they are');
is($new->safe_psql('postgres', q{SELECT has_function_privilege('relay', p.oid, 'EXECUTE'), has_function_privilege('oncall', p.oid, 'EXECUTE') FROM pg_proc AS p WHERE proname = 'acteon_outbox_claim'}), 't|f', 'grants on functions come along');
is($new->safe_psql('postgres', q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'own_idx'::regclass}), 't', 'an own index, too');
is($new->safe_psql('postgres', 'SELECT * FROM acteon_outbox_check()'), '', 'no violations');
is($new->safe_psql('postgres', q{SELECT waiting, in_flight, delivered, dead FROM acteon_replay_batches}), '4|3|3|2', 'the batch is in the state that it was in');

# The new cluster has another system identifier: to the extension it might be a restored one.
is($new->safe_psql('postgres', q{SET ROLE relay; SELECT count(*) FROM acteon_outbox_claim('c')}), '0', 'the first claim gets nothing');
is($new->safe_psql('postgres', q{SELECT string_agg(event, ',') FROM acteon_replay_log WHERE event = 'failover'}), 'failover', '… as it notices another server');
is($new->safe_psql('postgres', q{SELECT waiting, in_flight, in_doubt, delivered, dead FROM acteon_replay_batches}), '0|3|4|3|2', '… and what was due is in doubt');
$new->safe_psql('postgres', q{
	SELECT make_record('alive', at => clock_timestamp(), outcome => 'executed', details => '{"status": "Success"}');
	UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s', doubt_since = now() - interval '1 h' WHERE doubt_since IS NOT NULL});
is($new->safe_psql('postgres', q{SET ROLE relay; SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb), array_agg(action_id)) FROM acteon_outbox_claim('c', 10)}), '4', 'what has no record goes out, and is delivered');
is($new->safe_psql('postgres', q{SET ROLE relay; SELECT acteon_outbox_ack(array_agg(first_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb)) FROM (SELECT generate_series(first_id, last_id) AS first_id, lease_token FROM acteon_dispatch_segment) AS s}), '3', 'leases of before last')
	if $new->safe_psql('postgres', 'GRANT SELECT ON acteon_dispatch_segment TO relay; CREATE POLICY own ON acteon_dispatch_segment FOR SELECT TO relay USING (true); SELECT 1');
is($new->safe_psql('postgres', q{SELECT state, delivered, dead FROM acteon_replay_batches}), 'finished|10|2', 'the batch ends');
is($new->safe_psql('postgres', q{SET ROLE oncall; SELECT replayed FROM acteon_replay_bulk(outcome => 'failed')}), '2', 'what was dead can be replayed');
is($new->safe_psql('postgres', 'SELECT * FROM acteon_outbox_check()'), '', 'no violations at the end');

done_testing();
