# The description of the HTTP interface and the server agree: its paths, parameters,
# answers and examples.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;
use Relay;

plan skip_all => 'python3-jsonschema is not installed' if system('python3 -c "import jsonschema" 2>/dev/null') != 0;

my $node = new_relay_server('openapi');
my $script = "$FindBin::RealBin/../http/openapi_check.py";
my $seen = "$PostgreSQL::Test::Utils::tmp_check/openapi.seen";

new_http_role($node);
$node->safe_psql('postgres', q{
	CREATE ROLE operator; CREATE ROLE viewer; CREATE ROLE narrow; CREATE ROLE stranger; CREATE ROLE asker;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('operator', 'admin', '{*}', '{*}', '{*}', '{*}'),
		('viewer', 'viewer', '{acme}', '{*}', '{*}', '{*}'),
		('asker', 'admin', '{*}', '{*}', '{*}', '{*}'),
		('operator', 'gateway', '{*}', '{*}', '{*}', '{*}'),
		('narrow', 'operator', '{acme}', '{*}', '{odd,email}', '{*}');
	SELECT count(make_record('walk-' || n, tenant => 'globex', provider => 'slack')) FROM generate_series(1, 3) AS n;
	SELECT count(make_record('mail-' || n, at => timestamptz '2026-01-02 12:00+00' + n * interval '1 s',
		tenant => CASE n % 2 WHEN 0 THEN 'acme' ELSE 'globex' END)) FROM generate_series(1, 100) AS n;
	SELECT make_record('walk/1 é'), make_record('walk-private', payload => NULL, provider => 'odd'),
		make_record('walk-redacted', payload => '"[REDACTED]"', provider => 'odd'),
		make_record('walk-failing', provider => 'odd', action_type => 'failing'),
		make_record('walk-refused', provider => 'odd', action_type => 'refused'),
		make_record('walk-fine', provider => 'odd');
});
my %keys = map { $_ => api_key($node, $_, $_) } qw(operator viewer narrow stranger asker);
my $gateway = start_gateway();
$gateway->rules(
	{ match => { action_type => 'failing' }, answer => { status => 200, effect => JSON::PP::true(),
		body => { Failed => { code => 'X', message => 'mailbox unavailable', retryable => JSON::PP::true(), attempts => 3 } } } },
	{ match => { action_type => 'refused' }, answer => { status => 400, body => { error => 'template does not exist' } } });
my $relay = start_relay($node, $gateway);

# Run a part of the script; what it says is what is tested.
sub run_part
{
	my ($server, $part, %options) = @_;
	my ($out, $err);
	my $good = IPC::Run::run([ 'python3', $script, 'url=' . $server->url, "seen=$seen", (map { "$_=$options{$_}" } sort keys %options), $part ],
		'>', \$out, '2>', \$err);

	foreach my $line (split /\n/, $out)
	{
		if ($line =~ /^(not )?ok (.*)/)
		{
			ok(!$1, $2);
		}
		else
		{
			diag($line =~ s/^# //r);
		}
	}
	ok($good, "the part $part comes to its end") or diag($err);
	return;
}

unlink $seen;
my $server = start_http($node);
# The batch number 1, which nothing of is due.
$node->safe_psql('postgres', q{SELECT acteon_replay_bulk('{"provider": "slack", "rate": 0.01}'::jsonb)});
# One that waits for a second person.
$node->safe_psql('postgres', q{SET client_min_messages = error; SET acteon_replay.approval_above = 0; SET SESSION AUTHORIZATION asker; CALL acteon_replay_all(provider => 'email', tenant => 'globex', rate => 0.01)});
my ($awaiting, $plan) = split /\|/, $node->safe_psql('postgres', q{SELECT batch_id, plan FROM acteon_replay_batches WHERE state = 'awaiting approval'});
$node->safe_psql('postgres', q{SELECT acteon_replay_limit_set(provider => 'odd', rate => 1000)});
run_part($server, 'unlinked', %keys);
wait_until(sub { my $links = $node->safe_psql('postgres', 'SELECT acteon_replay_trail_link()'); return ($links > 0, $links) }, 'there is something to be a witness of');
run_part($server, 'walk', %keys, awaiting => $awaiting, plan => $plan);
run_part($server, 'document', %keys);

# Nobody has a key; somebody has changed what the server goes by; and back.
my $open = start_http($node, arguments => [ '--allow-anonymous=operator' ]);
run_part($open, 'each', state => 'nobody has a key');
is($open->stop, 0, 'the open one ends well');
foreach my $change (
	[ 'audit is off', q{ALTER TABLE acteon_audit RENAME TO elsewhere}, q{ALTER TABLE elsewhere RENAME TO acteon_audit} ],
	[ 'the batches are not for everybody', q{
		REVOKE EXECUTE ON FUNCTION acteon_replay_read_batches, acteon_replay_items, acteon_replay_lineage, acteon_replay_read_limits, acteon_api_current_key FROM PUBLIC;
		REVOKE SELECT ON acteon_replay_log, acteon_dead_letters FROM PUBLIC}, q{
		GRANT EXECUTE ON FUNCTION acteon_replay_read_batches, acteon_replay_items, acteon_replay_lineage, acteon_replay_read_limits, acteon_api_current_key TO PUBLIC;
		GRANT SELECT ON acteon_replay_log, acteon_dead_letters TO PUBLIC} ],
	[ 'the server may not look keys up', q{REVOKE EXECUTE ON FUNCTION acteon_api_login FROM acteon_http}, q{GRANT EXECUTE ON FUNCTION acteon_api_login TO acteon_http} ])
{
	my ($state, $there, $back) = @$change;

	$node->safe_psql('postgres', $there);
	run_part($server, 'each', operator => $keys{operator}, state => $state);
	$node->safe_psql('postgres', $back);
}

# A database that takes too long, and none.
my $hasty = start_http($node, arguments => [ '--statement-timeout=200ms' ]);
my $lock = start_psql($node, 'postgres', q{BEGIN; LOCK TABLE acteon_api_keys; SELECT 'locked', pg_sleep(600)});
wait_for_sql($node, q{SELECT count(*) FROM pg_locks WHERE relation = 'acteon_api_keys'::regclass AND mode = 'AccessExclusiveLock' AND granted}, '1', 'the keys are locked');
run_part($hasty, 'each', operator => $keys{operator}, state => 'the database takes too long');
$lock->kill9;
$relay->stop;
$node->stop('immediate');
$server->says(qr/lost the database/, 'the database has gone');
run_part($server, 'each', operator => $keys{operator}, state => 'there is no database');
run_part($server, 'complete');
is($_->stop, 0, 'a server ends well') foreach $server, $hasty;

done_testing();
