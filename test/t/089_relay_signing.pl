# The relay signs actions for a gateway that asks for signatures: what it sends is accepted, with the key for its tenant
# and namespace; a key that is not accepted, or missing, loses no action; and no key is seen by others.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Relay;

plan skip_all => 'Python\'s cryptography is not installed: the stand-in cannot verify signatures'
	if system('python3', '-c', 'import cryptography') != 0;

my %seeds = (ci => '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', ops => '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
	wrong => '5ec1e7' . 'ab' x 29);
my %public = (ci => '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=', ops => 'PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=');
my $seed_of_ops = do { require MIME::Base64; MIME::Base64::encode_base64(pack('H*', $seeds{ops}), '') };
my @keyring = ({ signer_id => 'ci-bot', kid => 'k0', public_key => $public{ci} },
	{ signer_id => 'ops-bot', kid => 'k2', public_key => $public{ops}, tenants => ['acme'], namespaces => ['prod'] });
my $payload_key = '5ec1' x 16;
my $node = new_relay_server('signing', conf => "log_statement = all\nlog_min_duration_statement = 0\nacteon_replay.max_attempts = 2\n");
my $gateway = start_gateway(node => $node, gateway => { signing => { reject_unsigned => JSON::PP::true, keyring => \@keyring } });

# A file with keys.
sub keys_file
{
	my ($name, @lines) = @_;

	return private_file($name, join('', map { "$_\n" } '# Keys that sign', @lines));
}

# Who signed the records of actions, by action.
sub signers
{
	my ($name) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT string_agg(DISTINCT concat_ws(' ', a.tenant, a.namespace, coalesce(a.signer_id, 'nobody'), a.kid), ', ' ORDER BY concat_ws(' ', a.tenant, a.namespace, coalesce(a.signer_id, 'nobody'), a.kid))
		FROM acteon_audit AS a JOIN acteon_dispatch_outbox AS o ON a.action_id = o.action_id::text WHERE o.original_action_id LIKE '$name%'});
}

# The states of actions, and the errors.
sub fates
{
	my ($name) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT string_agg(DISTINCT concat_ws(' ', o.tenant, coalesce(d.state, 'waiting'), d.attempts, d.error), ', ' ORDER BY concat_ws(' ', o.tenant, coalesce(d.state, 'waiting'), d.attempts, d.error))
		FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id WHERE o.original_action_id LIKE '$name%'});
}

# Without keys: the gateway refuses everything, which is not the actions' fault.
my $relay = start_relay($node, $gateway);
enqueue($node, name => 'unsigned-', count => 20);
$relay->says(qr/error event="gateway refuses us" .*400: unsigned action rejected.*--signing-key-file/, 'without keys: the relay says that signatures are asked for');
is(fates('unsigned-'), 'acme waiting', 'without keys: nothing ends dead');
is($relay->stop, 0, 'without keys: exit code 0');

# With keys: what waited is delivered, and all that a gateway may read in another way than it is written.
my $all_keys = keys_file('signing-keys', "ci-bot:k0 * * $seeds{ci}", "ops-bot:k2\tacme  prod  $seed_of_ops");
my $sealed = do {
	my ($text, $out) = ('{"z": 1e3, "a": {"c": 0.1, "b": "\u00fc"}}', '');

	IPC::Run::run([ 'python3', "$FindBin::RealBin/../gateway/seal.py", $payload_key, '--kid', 'k1' ], '<', \$text, '>', \$out) or die 'could not seal';
	qq{"$out"};
};
$relay = start_relay($node, $gateway, '--log-level', 'debug', '--signing-key-file', $all_keys, '--payload-key-file', private_file('payload-keys', "k1:$payload_key\n"));
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET extra_float_digits = 3');
enqueue($node, name => 'other-', count => 5, tenant => q{'other'});
enqueue($node, name => 'test-', count => 5, namespace => q{'test'});
enqueue($node, name => 'below-', count => 5, tenant => q{'acme.eu'});
enqueue($node, name => 'doubles-', count => 100, payload => q{jsonb_build_object('n', random() * 10 ^ (random() * 40 - 20)::integer, 'm', -1 * random()::numeric, 'i', (random() * 2 ^ 63)::numeric * 3,
	'zz', 9007199254740993, 'z', 18446744073709551615, 'aaa', 18446744073709551616, 'a', -9223372036854775808, 'b', -9223372036854775809, 'c', 1e300::numeric, 'd', 0.000001, 'e', 12.0, 'f', 5.684341886080802e-14::numeric)});
enqueue($node, name => 'texts-', count => 10, payload => q{jsonb_build_object('ключ', E'\t"\\\\/\x7f\u2028', 'ab', '{"b": [], "a": {"zz": null, "b": true}}'::jsonb, 'b', n)},
	metadata => q{'{"zeta": "1", "Beta": "ü", "alpha": {"b": 1, "a": 1.50}, "__fingerprint": "f", "__dedup_key": null, "__status": "open",
		"__starts_at": "2026-01-02T03:04:05.500000Z", "__ends_at": "2999-01-02T03:04:05.123456789Z"}'::jsonb});
enqueue($node, name => 'scalars-', count => 6, payload => q{(ARRAY['null', '"text"', '[]', '7', 'true', '[1, "a", {"b": 1, "a": []}]']::jsonb[])[n]});
enqueue($node, name => 'sealed-', count => 2, payload => "'$sealed'::jsonb");
$node->safe_psql('postgres', q{
	SET acteon_replay.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
	SET acteon_replay.tracestate = 'a=b';
	SELECT make_record('traced-1'); SELECT acteon_replay('traced-1')});
all_delivered($node, 'with keys: everything is delivered', 60);
is(signers('unsigned-'), 'acme prod ops-bot k2', 'the key for tenant and namespace is used');
is(signers('other-'), 'other prod ci-bot k0', '… or that for any');
is(signers('test-'), 'acme test ci-bot k0', '… also for another namespace');
is(signers('below-'), 'acme.eu prod ci-bot k0', '… and for a tenant below');
is(signers('traced-'), 'acme prod ops-bot k2', 'a trace is signed');
is(signers('sealed-'), 'acme prod ops-bot k2', 'so is what was sealed');
$gateway->has_no_violations('the signature is all that is added');
took_effect($node, $gateway, 154, 'each of them once');
is($relay->stop, 0, 'with keys: exit code 0');
my $told = $relay->log;

# Keys that are wrong for some tenants: their actions end dead, when others have been accepted.  Where one is missing,
# another relay may have it.
$relay = start_relay($node, $gateway, '--signing-key-file', keys_file('some-keys', "ops-bot:k2 acme prod $seeds{ops}", "ci-bot:k0 bad * $seeds{wrong}", "ops-bot:k2 scoped * $seeds{ops}"));
enqueue($node, name => 'first-', count => 5);
wait_for_sql($node, 'SELECT depth FROM acteon_outbox_stats', 0, 'some keys: those that have one are delivered', 60);
enqueue($node, name => 'some-', count => 4, tenant => q{(ARRAY['acme', 'bad', 'scoped', 'none'])[n]});
wait_for_sql($node, 'SELECT depth FROM acteon_outbox_stats', 1, 'some keys: all that have one end', 60);
$relay->says(qr/error event="cannot sign an action" .*tenant .*none/, 'some keys: the log says which one is missing');
is(fates('some-'), join(', ', 'acme delivered 1', q{bad dead 2 400: signature verification failed for signer 'ci-bot'},
	'none waiting', q{scoped dead 2 400: signer 'ops-bot' is not authorized for tenant=scoped namespace=prod}),
	'some keys: what is refused ends dead after the last attempt, and says why; what has none waits');
is($node->safe_psql('postgres', 'SELECT max(attempt) FROM acteon_dispatch_segment'), '0', 'some keys: … and its attempts do not count');
is($relay->stop, 0, 'some keys: exit code 0');
$relay = start_relay($node, $gateway, '--signing-key-file', keys_file('all-keys-now', "ci-bot:k0 * * $seeds{ci}"));
wait_for_sql($node, 'SELECT depth FROM acteon_outbox_stats', 0, 'some keys: a relay that has the key delivers it', 60);
is($relay->stop, 0, 'some keys: … exit code 0');

# A key that is accepted for nothing: nothing ends dead, and SIGHUP reads a better one.
my $rotated = keys_file('rotated', "ci-bot:k0 * * $seeds{wrong}");
$relay = start_relay($node, $gateway, '--signing-key-file', $rotated);
enqueue($node, name => 'rotated-', count => 10);
$relay->says(qr/error event="gateway refuses us" .*signature verification failed/, 'a wrong key: the relay says so');
is(fates('rotated-'), 'acme waiting', 'a wrong key: nothing ends dead');
keys_file('rotated', "ci-bot:k0 * * $seeds{wrong}x");
$relay->signal('HUP');
$relay->says(qr/error event="cannot read a key file" .*line 2 of .*rotated/, 'SIGHUP: a bad file is an error');
keys_file('rotated', "ci-bot:k0 * * $seeds{ci}");
chmod 0640, $rotated;
$relay->signal('HUP');
$relay->says(qr/others can read .*rotated/, 'SIGHUP: so is one that others can read');
chmod 0600, $rotated;
$relay->signal('HUP');
wait_for_sql($node, 'SELECT depth FROM acteon_outbox_stats', 0, 'SIGHUP: the new key is used', 60);
is(signers('rotated-'), 'acme prod ci-bot k0', 'SIGHUP: … for what waited');
keys_file('rotated', '');
$relay->signal('HUP');
$relay->says(qr/rotated.* holds no key/, 'SIGHUP: an empty file is an error');
enqueue($node, name => 'kept-', count => 3);
wait_for_sql($node, 'SELECT depth FROM acteon_outbox_stats', 0, 'SIGHUP: the old key is kept', 60);
is(signers('kept-'), 'acme prod ci-bot k0', 'SIGHUP: … and used');
my ($pid) = $relay->pid;
my $arguments = slurp_file("/proc/$pid/cmdline");
is($relay->stop, 0, 'SIGHUP: exit code 0');
$told .= $relay->log;

# Files that are refused when the relay starts.
chmod 0644, $all_keys;
my ($status, $log) = run_relay($node, $gateway, '--drain', '--signing-key-file', $all_keys);
is($status, 1, 'others can read the file: the relay does not start');
like($log, qr/others can read .*chmod 600/, '… and says why');
($status, $log) = run_relay($node, $gateway, '--check', '--signing-key-file', $all_keys);
is($status, 1, '--check: the same');
like($log, qr/FAILED +signing keys: others can read/, '… and says so');
chmod 0600, $all_keys;
($status, $log) = run_relay($node, $gateway, '--drain', '--signing-key-file', '/nonesuch');
is($status, 1, 'no file: the relay does not start');

# --check: whether signatures are asked for, and ours accepted.
sub check
{
	my ($description, $expected, $text, @arguments) = @_;

	($status, $log) = run_relay($node, $gateway, '--check', '--request-timeout', '5m', '--check-as', 'acme/prod/email/send_email', @arguments);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($status, $expected, "--check, $description: exit code $expected") or diag($log);
	like($log, $text, "--check, $description: says so");
	return;
}
my $effects = $gateway->stats->{effects};
check('no keys', 1, qr/FAILED +signing: .*400: unsigned action rejected.*--signing-key-file/);
check('right keys', 0, qr/ok +signing keys: 2 read\n.*ok +signing: required, and the gateway accepts the signatures of this relay/s, '--signing-key-file', $all_keys);
like($log, is_protected() ? qr/ok +replay protection: on/ : qr/ok +replay protection: off/, '… and goes on');
check('a wrong key', 1, qr/FAILED +signing: .*400: signature verification failed.*keyring/, '--signing-key-file', keys_file('wrong', "ci-bot:k0 * * $seeds{wrong}"));
check('no key for this', 1, qr/FAILED +signing: this relay has no key to sign for tenant "acme"/, '--signing-key-file', keys_file('no-key', "ci-bot:k0 other * $seeds{ci}"));
# The answers to each of its dry runs but the first, one after the other, as another version of the gateway or a busy one may give them.
foreach my $try (1 .. 3)
{
	my $seen = $gateway->stats->{requests};

	$gateway->rules({ match => { nth => $seen + 1 + $try }, answer => { status => 503 } });
	check("a gateway that is busy at try $try", $try < 3 ? 1 : 0, $try < 3 ? qr/FAILED +signing: whether .* could not be found out/ : qr/ok +signing: required/, '--signing-key-file', $all_keys);
}
my $seen = $gateway->stats->{requests};
$gateway->rules({ match => { nth => $seen + 4 }, answer => { status => 400, body => { error => q{signature verification failed for signer 'ci-bot'} } } });
check('a gateway that prints numbers in another way', 1, qr/FAILED +signing: .*very large, very small or very precise numbers/, '--signing-key-file', $all_keys);
$gateway->rules();
$gateway->control(gateway => { signing => { reject_unsigned => JSON::PP::false, keyring => \@keyring } });
check('signatures are checked, but not required', 0, qr/ok +signing: not required, and the gateway accepts/, '--signing-key-file', $all_keys);
check('… without keys', 0, qr/ok +signing: not required\n/);
$gateway->control(gateway => {});
check('signatures are not checked', 0, qr/ok +signing: not required, and the gateway does not verify signatures/, '--signing-key-file', $all_keys);
is($gateway->stats->{effects}, $effects, '--check: nothing was executed');

# Without the option nothing is signed.
$relay = start_relay($node, $gateway);
enqueue($node, name => 'plain-', count => 3);
wait_for_sql($node, 'SELECT depth FROM acteon_outbox_stats', 0, 'without the option: delivered', 60);
is(signers('plain-'), 'acme prod nobody', 'without the option: not signed');
is($relay->stop, 0, 'without the option: exit code 0');

# No key is anywhere but in its file.
my $dump = '';
IPC::Run::run([ 'pg_dumpall', '--dbname', $node->connstr('postgres') ], '>', \$dump) or die 'could not dump';
my $server_log = slurp_file($node->logfile);
foreach my $name (sort keys %seeds)
{
	foreach my $place ([ 'the log of the relay', $told ], [ 'that of the server', $server_log ], [ 'the database', $dump ], [ 'the command line', $arguments ])
	{
		ok(index($place->[1], $seeds{$name}) < 0 && index($place->[1], $seed_of_ops) < 0, "the key $name is not in $place->[0]");
	}
}
outbox_is_sound($node);
done_testing();
