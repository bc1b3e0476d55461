# What a relay needs: its options, --check, the versions, its grant, and TLS.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Relay;

# As patient as the relay of these tests.
my $node = new_relay_server('check', conf => "acteon_replay.gateway_patience = 1\n");
my $gateway = start_gateway();
my $key = private_file('key', "test-key\n");
my $program = Relay::Process::program();

# The command line.
program_help_ok($program);
program_version_ok($program);
program_options_handling_ok($program);
foreach my $wrong (
	[ 'no gateway' => qr/gateway-url/ ],
	[ 'an option without a value' => qr/--lease/, '--lease' ],
	[ 'a bad duration' => qr/soon.*--lease/s, '--lease', 'soon' ],
	[ 'a bad number' => qr/many.*--concurrency/s, '--concurrency', 'many' ],
	[ 'nothing at once' => qr/--concurrency/, '--concurrency', '0' ],
	[ 'a bad level' => qr/loud.*--log-level/s, '--log-level', 'loud' ],
	[ 'a bad URL' => qr/--gateway-url/, '--gateway-url', 'ftp://example.com' ],
	[ 'a URL with a password' => qr/--gateway-url/, '--gateway-url', 'http://user:secret@example.com' ],
	[ 'no share at all' => qr/0.*--share/s, '--share', '0' ],
	[ 'more than all' => qr/1\.5.*--share/s, '--share', '1.5' ],
	[ 'half of what to check with' => qr/--check-as/, '--gateway-url', $gateway->url, '--check-as', 'acme/prod' ],
	[ 'an argument' => qr/extra/, 'extra' ])
{
	my ($what, $expected, @arguments) = @$wrong;
	my ($status, $out, $err) = (0, '', '');

	run_log([ $program, @arguments ], '>', \$out, '2>', \$err);
	is($? >> 8, 2, "$what: exit code 2");
	like($err, $expected, "$what: says what is wrong");
	like($err, qr/--help/, "$what: … and where help is");
	is($out, '', "$what: nothing on stdout");
}
{
	local $ENV{ACTEON_RELAY_GATEWAY_URL} = $gateway->url;
	local $ENV{ACTEON_RELAY_DATABASE} = relay_database($node);
	local $ENV{ACTEON_RELAY_API_KEY_FILE} = $key;
	my ($status, $log) = run_relay(undef, undef, '--drain');
	is($status, 0, 'options by environment') or diag($log);
	{
		local $ENV{ACTEON_RELAY_DATABASE} = 'host=/nowhere';
		($status, $log) = run_relay($node, undef, '--drain');
		is($status, 0, 'the command line wins') or diag($log);
	}
	local $ENV{ACTEON_RELAY_LEASE} = 'soon';
	run_log([ $program, '--drain' ], '2>', \$log);
	is($? >> 8, 2, 'a bad variable: exit code 2');
	like($log, qr/ACTEON_RELAY_LEASE/, '… which is named');
}

# --check: a line each.  Everything is well.
sub check
{
	my ($description, $expected, $text, @arguments) = @_;
	my ($status, $log) = run_relay($node, $gateway, '--check', @arguments);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($status, $expected, "--check, $description: exit code $expected") or diag($log);
	like($log, $text, "--check, $description: says so");
	return $log;
}
enqueue($node, name => 'waiting-', count => 5);
my $log = check('all is well', 0, qr/ok/);
unlike($log, qr/error|wrong|fail/i, '… and nothing else');
check('no API key', 1, qr/credentials|401|key/, '--api-key-file', private_file('no-key', ''));
check('no such database', 1, qr/nonesuch/, '--database', relay_database($node) . ' dbname=nonesuch');
check('no such server', 1, qr/nowhere|No such file|connect/, '--database', 'host=/nowhere port=1');
check('a database without the extension', 1, qr/CREATE EXTENSION|acteon_replay/, '--database', relay_database($node) . ' dbname=template1');
check('the wrong key', 1, qr/401/, '--api-key-file', private_file('wrong-key', 'wrong'));
check('no key file', 1, qr/nonesuch/, '--api-key-file', '/nonesuch');
check('nobody listens', 1, qr/gateway/, '--gateway-url', 'http://127.0.0.1:1');
check('not HTTP', 1, qr/gateway/, '--gateway-url', 'http://127.0.0.1:' . $node->port) if !$PostgreSQL::Test::Utils::use_unix_sockets;
check('an HTTPS URL of a plain port', 1, qr/gateway/, '--gateway-url', $gateway->url =~ s/^http:/https:/r);
chmod 0644, $key;
like(run_relay_check_text('--api-key-file', $key), qr/others|readable|mode/i, '--check: a key file that others may read is warned of');
chmod 0600, $key;
check('no such payload keys', 1, qr/nonesuch/, '--payload-key-file', '/nonesuch');
check('payload keys that are none', 1, qr/bad-payload-keys/, '--payload-key-file', private_file('bad-payload-keys', "k1:0123\n"));
check('payload keys', 0, qr/ok/, '--payload-key-file', private_file('payload-keys', "# keys\n\nk1:" . 'ab' x 32 . "\n" . 'cd' x 32 . "\n"));
$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN');
check('a role without a grant', 1, qr/grant/i, '--database', $node->connstr('postgres') . ' user=stranger');
is($node->safe_psql('postgres', 'SELECT depth, due FROM acteon_outbox_stats'), '5|5', '--check claims nothing');
is($gateway->stats->{requests}, 0, '… and sends nothing unless it knows what');

# What the gateway says to a dispatch that it does not execute.
my @as = ('--check-as', 'acme/prod/email/send_email');
$log = check('the key is tried', 0, qr/ok +API key: works for tenant "acme", namespace "prod", provider "email", action type "send_email"/, @as);
like($log, qr/ok +signing: not required/, '… and so is whether signatures are asked for');
like($log, is_protected() ? qr/ok +replay protection: on/ : qr/ok +replay protection: off/, '… and whether there is replay protection');
is($gateway->stats->{effects}, 0, '… but nothing is executed');
check('the wrong key, tried', 1, qr/FAILED +API key: .*401.*--api-key-file/, @as, '--api-key-file', private_file('wrong-key', 'wrong'));
$gateway->rules({ match => { tenant => 'stranger' }, answer => { status => 403, body => { error => 'forbidden: no grant covers this' } } });
check('a key that is not for this', 1, qr/FAILED +API key: .*403: forbidden: no grant.*grants/, '--check-as', 'stranger/prod/email/send_email');
$gateway->rules({ answer => { status => 400, body => { error => 'unsigned action rejected: signing.reject_unsigned is enabled' } } });
check('signatures are asked for', 1, qr/FAILED +signing: .*reject_unsigned/, @as);
$gateway->rules({ answer => { status => 200, text => '{"Executed": {"status": "success"}}', effect => JSON::PP::false } });
check('an answer to something else', 1, qr/FAILED +gateway: .*dry run/, @as);
$gateway->rules();
check('a path that leads nowhere', 1, qr/FAILED +gateway: .*404/, @as, '--gateway-url', $gateway->url . '/nowhere');
# A batch that asked for one kind of action tells what to try the key with.
$node->safe_psql('postgres', q{
	SELECT make_record('one-kind', at => '2026-01-01');
	SELECT replayed FROM acteon_replay_bulk(namespace => 'prod', tenant => 'acme', provider => 'email', action_type => 'send_email',
		from_time => '2026-01-01', to_time => '2026-01-02')});
check('what a batch asked for', 0, qr/ok +API key: works for tenant "acme"/);
# Time-outs that do not go together, and the audit table.
check('impatient', 1, qr/FAILED +time-outs: .*--request-timeout.*gateway_patience/, '--request-timeout', '500ms');
check('no grace', 1, qr/FAILED +time-outs: .*--grace/, '--grace', '0s');
like($log, qr/ok +audit table: acteon_audit is there; .*relay may not read it/, '--check: an audit table that the role may not read is enough');
$node->safe_psql('postgres', 'GRANT SELECT ON acteon_audit TO relay');
check('the audit table', 0, qr/ok +audit table: acteon_audit, newest record of \d{4}-/);
$node->safe_psql('postgres', 'REVOKE SELECT ON acteon_audit FROM relay; ALTER TABLE acteon_audit RENAME TO gone');
check('no audit table', 1, qr/FAILED +audit table: .*acteon_replay\.audit_table/);
$node->safe_psql('postgres', 'ALTER TABLE gone RENAME TO acteon_audit');

sub run_relay_check_text
{
	my ($status, $text) = run_relay($node, $gateway, '--check', @_);

	return $text;
}

# Another version: it says so, does no work, and goes on when that has changed.
my $version = $node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'acteon_replay'});
$node->safe_psql('postgres', q{UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'acteon_replay'});
check('another version', 1, qr/0\.9.*\Q$version\E|\Q$version\E.*0\.9/s);
my $relay = start_relay($node, $gateway);
$relay->says(qr/error.*0\.9/, 'another version: it says so');
is($node->safe_psql('postgres', 'SELECT depth, due FROM acteon_outbox_stats'), '6|6', 'another version: it does no work');
$node->safe_psql('postgres', "UPDATE pg_extension SET extversion = '$version' WHERE extname = 'acteon_replay'");
all_delivered($node, 'another version: it goes on when the versions are the same', 60);
is($relay->stop, 0, 'another version: exit code 0');

# A role without a grant: the same.
enqueue($node, name => 'stranger-', count => 5);
$relay = start_relay($node, $gateway, '--database', $node->connstr('postgres') . ' user=stranger');
$relay->says(qr/error.*(grant|42501|permission|privilege)/i, 'no grant: it says so');
$node->safe_psql('postgres', q{INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('stranger', 'gateway', '{*}', '{*}', '{*}')});
all_delivered($node, 'no grant: it goes on when it has one', 60);
my $errors = () = $relay->log =~ / error /g;
cmp_ok($errors, '<=', 2, 'no grant: it says so once') or diag($relay->log);
is($relay->stop, 0, 'no grant: exit code 0');

# An extension in a schema that is on nobody's search path, and whose tables the
# search path of the role would hide.
$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
$node->safe_psql('elsewhere', q{
	CREATE SCHEMA "Odd ""Schema";
	CREATE EXTENSION acteon_replay SCHEMA "Odd ""Schema";
	GRANT USAGE ON SCHEMA "Odd ""Schema" TO relay;
	INSERT INTO "Odd ""Schema".acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('relay', 'gateway', '{*}', '{*}', '{*}');
	CREATE SCHEMA trap;
	GRANT USAGE ON SCHEMA trap TO PUBLIC;
	CREATE FUNCTION trap.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped'; END$$;
	CREATE FUNCTION trap.acteon_outbox_claim(text, integer, interval) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped'; END$$;
	ALTER ROLE relay IN DATABASE elsewhere SET search_path = trap, pg_catalog;
});
my ($status, $said) = run_relay($node, $gateway, '--drain', '--database', $node->connstr('elsewhere') . ' user=relay');
is($status, 0, 'a schema that is on no search path') or diag($said);
unlike($said, qr/trapped/, '… with a search path that is a trap');

# A database that is not there yet: a drain waits for it.
$node->stop;
$relay = start_relay($node, $gateway, '--drain');
$relay->says(qr/(error|warning) /, 'no database: it says so');
$node->start;
is($relay->wait_for_end(60), 0, 'no database: a drain waits for it') or diag($relay->log);

# TLS: authorities, a certificate for the gateway, one for the client.
my $tls = PostgreSQL::Test::Utils::tempdir();
sub openssl
{
	my ($out, $err);

	run_log([ 'openssl', @_ ], '>', \$out, '2>', \$err) or BAIL_OUT("openssl @_: $err");
	return;
}
sub authority
{
	my ($name) = @_;

	openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', 2, '-subj', "/CN=$name", '-keyout', "$tls/$name.key", '-out', "$tls/$name.pem",
		'-addext', 'basicConstraints=critical,CA:TRUE');
	return;
}
sub certificate
{
	my ($name, $authority, $names) = @_;

	append_to_file("$tls/$name.ext", "subjectAltName=$names\n");
	openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', "/CN=$name", '-keyout', "$tls/$name.key", '-out', "$tls/$name.csr");
	openssl('x509', '-req', '-in', "$tls/$name.csr", '-CA', "$tls/$authority.pem", '-CAkey', "$tls/$authority.key", '-CAcreateserial', '-days', 2,
		'-extfile', "$tls/$name.ext", '-out', "$tls/$name.crt");
	append_to_file("$tls/$name.pem", slurp_file("$tls/$name.crt") . slurp_file("$tls/$name.key"));
	return;
}
authority($_) foreach qw(authority stranger);
certificate('server', 'authority', 'DNS:localhost');
certificate('client', 'authority', 'DNS:client');
certificate('impostor', 'stranger', 'DNS:localhost');
certificate('other-host', 'authority', 'DNS:example.com');
my $secure = start_gateway(cert => "$tls/server.pem", client_ca => "$tls/authority.pem");
my @client = ('--client-cert', "$tls/client.crt", '--client-key', "$tls/client.key");
enqueue($node, name => 'tls-', count => 100);
($status, $said) = run_relay($node, $secure, '--drain', '--ca-file', "$tls/authority.pem", @client);
is($status, 0, 'TLS with an authority of its own and a client certificate') or diag($said);
all_delivered($node, '… delivers');
is($secure->stats->{effects}, 100, '… to that gateway');
$secure->has_no_violations;
# Never to somebody else, however often it is tried.
sub refused
{
	my ($description, $expected, $to, @arguments) = @_;

	enqueue($node, count => 3);
	my $relay = start_relay($node, $to, '--log-level', 'debug', @arguments);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$relay->says($expected, "TLS, $description: says so", 60);
	is($to->stats->{requests} + $to->stats->{unauthorized}, 0, "TLS, $description: nothing is sent");
	is($relay->stop, 0, "TLS, $description: exit code 0");
	my ($status, $log) = run_relay($node, $to, '--check', @arguments);
	is($status, 1, "TLS, $description: --check, exit code 1");
	like($log, $expected, "TLS, $description: --check says so");
	return;
}
$secure->reset;
refused('an authority that is not trusted', qr/certificate|SSL/i, $secure, @client);
refused('the wrong authority', qr/certificate|SSL/i, $secure, '--ca-file', "$tls/stranger.pem", @client);
# With TLS 1.3 a client learns of this after the handshake, if at all.
my $broken = qr/certificate|SSL|alert|Empty reply|reset/i;
refused('no client certificate', $broken, $secure, '--ca-file', "$tls/authority.pem");
refused("a stranger's client certificate", $broken, $secure, '--ca-file', "$tls/authority.pem", '--client-cert', "$tls/impostor.pem");
my $impostor = start_gateway(cert => "$tls/impostor.pem");
refused('an impostor', qr/certificate|SSL/i, $impostor, '--ca-file', "$tls/authority.pem");
my $other = start_gateway(cert => "$tls/other-host.pem");
refused('a certificate of another host', qr/certificate|SSL|host/i, $other, '--ca-file', "$tls/authority.pem");
check('TLS', 0, qr/ok/, '--gateway-url', $secure->url, '--ca-file', "$tls/authority.pem", @client);
# A request was perhaps on its way before the gateway refused the client: a relay cannot know.
$node->safe_psql('postgres', q{SELECT acteon_replay_settle(batch_id, 'resend', 'nothing was sent') FROM acteon_replay_batches WHERE in_doubt > 0});
($status, $said) = run_relay($node, $secure, '--drain', '--ca-file', "$tls/authority.pem", '--client-cert', "$tls/client.pem");
is($status, 0, 'TLS with certificate and key in one file') or diag($said);
all_delivered($node, 'at last');
outbox_is_sound($node);

done_testing();
