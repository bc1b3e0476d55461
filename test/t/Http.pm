# What the tests of the HTTP server share: the server, and keys for it.
package Http;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Program;

our @EXPORT = qw(new_http_role api_key start_http);

# The role that the server logs in as: it may look keys up, and nothing else.
sub new_http_role
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{
		CREATE ROLE acteon_http LOGIN NOINHERIT;
		GRANT EXECUTE ON FUNCTION acteon_api_login, acteon_api_begin, acteon_api_finish, acteon_api_housekeeping TO acteon_http});
	return;
}

# A new key for a role, which the server may become with it.
sub api_key
{
	my ($node, $name, $role) = @_;

	return $node->safe_psql('postgres', qq{
		GRANT "$role" TO acteon_http;
		SELECT acteon_api_key_create('$name', '$role'::regrole)});
}

# A server of a node's database on a free port of the loopback, that takes
# requests.  It has url, pid, log and stop: see Program::Running.  Options:
# role, which it logs in as (acteon_http); arguments, further ones or
# others than the defaults; tls, whether these make it speak TLS.
sub start_http
{
	return Http::Server->new(@_);
}

package Http::Server;

use IO::Socket::INET;
use PostgreSQL::Test::Utils;

our @ISA = ('Program::Running');

my $serial = 0;

# The program: ACTEON_REPLAY_HTTP, or what is installed beside the server's programs.
sub program
{
	return Program::installed('acteon-replay-http', 'ACTEON_REPLAY_HTTP');
}

sub new
{
	my ($class, $node, %options) = @_;
	my $name = 'http-' . ++$serial;
	my $port_file = "$PostgreSQL::Test::Utils::tmp_check/$name.port";

	unlink $port_file;
	# What is given later counts.
	my $self = $class->run($name, program(),
		'--database=' . $node->connstr('postgres') . ' user=' . ($options{role} // 'acteon_http'),
		'--listen=127.0.0.1:0', "--port-file=$port_file", @{ $options{arguments} // [] });
	Program::wait_until(
		sub {
			$self->{port} = -e $port_file && slurp_file($port_file) =~ /^(\d+)$/ ? $1 : 0;
			return ($self->{port} && IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}), $self->log);
		},
		"$name takes connections", 30)
		or Test::More::BAIL_OUT('no HTTP server');
	$self->{url} = ($options{tls} ? 'https://localhost:' : 'http://127.0.0.1:') . $self->{port};
	return $self;
}

# Its address, for a client.
sub url
{
	my ($self) = @_;

	return $self->{url};
}

1;
