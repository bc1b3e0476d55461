# Certificates of the HTTP server: they are read again at SIGHUP, connections go on with the one
# they began with, and a bad new one leaves the old one in place.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use File::Copy qw(copy);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;
use Program;

my $node = new_server('tls', conf => "fsync = off\n");
my $dir = PostgreSQL::Test::Utils::tempdir;

new_http_role($node);
$node->safe_psql('postgres', q{CREATE ROLE boss; INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('boss', 'admin', '{*}', '{*}', '{*}', '{*}')});
my $key = api_key($node, 'boss', 'boss');

# Certificates: two that sign themselves, with an EC and with an RSA key; one of an intermediate
# authority; one that has expired.
sub openssl
{
	my $said;

	IPC::Run::run([ 'openssl', @_ ], '<', \'', '>', \$said, '2>&1') or BAIL_OUT("openssl @_: $said");
	return;
}

my @ec = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes');
openssl('req', '-x509', @ec, '-subj', '/CN=localhost/O=one', '-days', 2, '-addext', 'subjectAltName=DNS:localhost', '-keyout', "$dir/one.key", '-out', "$dir/one.pem");
openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost/O=two', '-days', 2, '-addext', 'subjectAltName=DNS:localhost', '-keyout', "$dir/two.key", '-out', "$dir/two.pem");
openssl('req', '-x509', @ec, '-subj', '/CN=root', '-days', 2, '-keyout', "$dir/root.key", '-out', "$dir/root.pem");
append_to_file("$dir/authority.ext", "basicConstraints=critical,CA:TRUE\n");
append_to_file("$dir/leaf.ext", "subjectAltName=DNS:localhost\n");
foreach my $issued ([ 'middle', 'root', 'authority', '/CN=middle' ], [ 'leaf', 'middle', 'leaf', '/CN=localhost/O=leaf' ])
{
	my ($name, $issuer, $extensions, $subject) = @$issued;

	openssl('req', @ec, '-subj', $subject, '-keyout', "$dir/$name.key", '-out', "$dir/$name.csr");
	openssl('x509', '-req', '-in', "$dir/$name.csr", '-CA', "$dir/$issuer.pem", '-CAkey', "$dir/$issuer.key", '-CAcreateserial', '-days', 2,
		'-extfile', "$dir/$extensions.ext", '-out', "$dir/$name.pem");
}
append_to_file("$dir/chain.pem", slurp_file("$dir/leaf.pem") . slurp_file("$dir/middle.pem"));
append_to_file("$dir/tangled.pem", slurp_file("$dir/leaf.pem") . slurp_file("$dir/root.pem") . slurp_file("$dir/middle.pem"));
openssl('x509', '-in', "$dir/one.pem", '-signkey', "$dir/one.key", '-days', 0, '-out', "$dir/old.pem");
openssl('ec', '-in', "$dir/one.key", '-aes256', '-passout', 'pass:secret', '-out', "$dir/locked.key");
append_to_file("$dir/nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
append_to_file("$dir/empty.pem", '');
append_to_file("$dir/half.pem", substr(slurp_file("$dir/two.pem"), 0, 300));

# Put a certificate and a key where the server looks for them.
sub install_certificate
{
	my ($cert, $private) = @_;

	unlink "$dir/server.pem", "$dir/server.key";
	copy("$dir/$cert", "$dir/server.pem") || die $! if defined $cert;
	copy("$dir/$private", "$dir/server.key") || die $!;
	chmod(0600, "$dir/server.key");
	return;
}

# What the log says from a place on.
my $seen = 0;

sub says_next
{
	my ($http, $expected, $description) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $said = Program::wait_until(sub { my $log = substr($http->log, $seen); return (scalar($log =~ $expected), $log) }, $description, 20);
	$seen = length $http->log;
	return $said;
}

# The organization in the certificate that new connections get, and how many certificates.
sub served
{
	my ($http, @options) = @_;
	my $said;

	IPC::Run::run([ 'openssl', 's_client', '-connect', "127.0.0.1:$http->{port}", '-servername', 'localhost', '-showcerts', @options ],
		'<', \'', '>', \$said, '2>&1', IPC::Run::timeout(30));
	my ($organization) = $said =~ /^subject=.*O ?= ?(\w+)/m;
	my $count = () = $said =~ /BEGIN CERTIFICATE/g;
	return ($organization // 'none') . " $count";
}

# Ask with curl, which verifies the certificate.
sub curl
{
	my ($http, $authority, @arguments) = @_;
	my ($out, $err);

	IPC::Run::run([ 'curl', '-sS', '--max-time', 30, '--cacert', "$dir/$authority", @arguments, '-H', "Authorization: Bearer $key", "$http->{url}/v1/replay/batches" ], '>', \$out, '2>', \$err);
	return $out . $err;
}

install_certificate('one.pem', 'one.key');
my $http = start_http($node, tls => 1, arguments => [ "--tls-cert=$dir/server.pem", "--tls-key=$dir/server.key" ]);
is(served($http), 'one 1', 'the certificate is served');
like(curl($http, 'one.pem'), qr/^\{"batches": \[\]\}$/, '… and a client that trusts it is answered');
like(curl($http, 'two.pem'), qr/certificate/, '… and one that does not goes away');
like(curl($http, 'one.pem', '--tls-max', '1.2'), qr/^\{"batches": \[\]\}$/, '… also with TLS 1.2');

# A connection that is there goes on.
my ($in, $out) = ('', '');
my $open = IPC::Run::start([ 'openssl', 's_client', '-connect', "127.0.0.1:$http->{port}", '-quiet' ], '<', \$in, '>', \$out, '2>', \my $err, IPC::Run::timeout(120));
sub ask_open
{
	$out = '';
	$in .= "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
	$open->pump until $out =~ /\r\n\r\n\{.*\}/s;
	return $out =~ /^HTTP\/1.1 200/ ? 'answered' : $out;
}
is(ask_open(), 'answered', 'a connection');
$seen = length $http->log;
install_certificate('two.pem', 'two.key');
$http->signal('HUP');
says_next($http, qr/info event="the certificate was read again"/, 'SIGHUP: the certificate is read again');
is(served($http), 'two 1', '… and served to new connections');
is(curl($http, 'two.pem'), '{"batches": []}', '… which are answered');
like(curl($http, 'one.pem'), qr/certificate/, '… and the old one is served no more');
is(ask_open(), 'answered', '… and the connection goes on');

# What cannot be used leaves the old one in place, and the log says why.
foreach my $case (
	[ 'one.pem', 'two.key', qr/the key does not belong to the certificate/ ],
	[ 'nonsense.pem', 'one.key', qr/--tls-cert contains no certificate in PEM format/ ],
	[ 'empty.pem', 'one.key', qr/--tls-cert contains no certificate in PEM format/ ],
	[ 'half.pem', 'two.key', qr/--tls-cert contains no certificate in PEM format/ ],
	[ 'one.pem', 'one.pem', qr/--tls-key contains no private key/ ],
	[ 'one.pem', 'locked.key', qr/--tls-key contains no private key in PEM format without a password/ ],
	[ 'old.pem', 'one.key', qr/the certificate has expired/ ],
	[ undef, 'one.key', qr/cannot open .*server\.pem/ ])
{
	my ($cert, $private, $why) = @$case;
	my $name = ($cert // 'no certificate') . " with $private";

	install_certificate($cert, $private);
	$http->signal('HUP');
	says_next($http, qr/error event="the new certificate cannot be used, the old one is kept" error=.*$why/, "$name: the log says why");
	is(served($http), 'two 1', '… and the old one is kept');
}
is(curl($http, 'two.pem'), '{"batches": []}', 'requests are answered');

# A chain, in any order.
foreach my $case ([ 'chain.pem', 2 ], [ 'tangled.pem', 3 ])
{
	install_certificate($case->[0], 'leaf.key');
	$http->signal('HUP');
	says_next($http, qr/info event="the certificate was read again"/, "$case->[0] is read");
	is(served($http), "leaf $case->[1]", '… and all of it is served');
	is(curl($http, 'root.pem'), '{"batches": []}', '… so that a client that trusts the root is answered');
}

# Again and again, while clients connect.
my @clients = map { IPC::Run::start([ 'sh', '-c', "for i in 1 2 3 4 5 6 7 8 9 10; do curl -skS --max-time 30 '$http->{url}/health' || exit 1; done" ], '>', \my $said, '2>&1') } 1 .. 3;
foreach my $n (1 .. 30)
{
	install_certificate($n % 2 ? ('one.pem', 'one.key') : ('two.pem', 'two.key'));
	$http->signal('HUP');
	$_->pump_nb foreach grep { $_->pumpable } @clients;
	select(undef, undef, undef, 0.02);
}
ok($_->finish, 'a client that connects meanwhile is always answered') foreach @clients;
install_certificate('one.pem', 'one.key');
$seen = length $http->log;
$http->signal('HUP');
says_next($http, qr/info event="the certificate was read again"/, 'and once more');
is(served($http), 'one 1', '… it is the last one');
is(ask_open(), 'answered', 'the connection goes on after all of them');
$in .= "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
$open->finish;
is($http->stop, 0, 'the server ends well');

# At the start.
install_certificate('old.pem', 'one.key');
$http = start_http($node, tls => 1, arguments => [ "--tls-cert=$dir/server.pem", "--tls-key=$dir/server.key" ]);
$http->says(qr/warning event="the certificate has expired"/, 'an expired certificate is better than none: a warning');
is($http->stop, 0, '… and the server runs');
install_certificate('one.pem', 'two.key');
IPC::Run::run([ Http::Server::program(), '--listen=127.0.0.1:0', "--tls-cert=$dir/server.pem", "--tls-key=$dir/server.key" ], '>', \my $said, '2>&1', IPC::Run::timeout(60));
is($? >> 8, 1, 'a key of another certificate: the server does not start');
like($said, qr/error event="cannot speak TLS" error="the key does not belong to the certificate"/, '… and says why');

# Without TLS.
$http = start_http($node);
$http->signal('HUP');
$http->says(qr/info event="nothing is read again without TLS"/, 'SIGHUP without TLS');
is($http->client($key)->get('/v1/replay/batches')->{status}, 200, '… does nothing');
is($http->stop, 0, 'the server ends well');
done_testing();
