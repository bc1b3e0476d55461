# What the tests of the HTTP server share: the server, keys for it, and a client
# that sends what it is told to, byte for byte.
package Http;

use strict;
use warnings;
use Exporter 'import';
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Program;

our @EXPORT = qw(new_http_role api_key start_http answers encode_uri);

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
# requests, and, if there is a database, answers them.  It has url, client, connect, and pid, log, stop: see Program::Running.  Options:
# role, which it logs in as (acteon_http); arguments, further ones or
# others than the defaults; tls, whether these make it speak TLS.
sub start_http
{
	return Http::Server->new(@_);
}

# Percent-encode bytes, all that are not unreserved.
sub encode_uri
{
	my ($bytes) = @_;

	return $bytes =~ s/([^A-Za-z0-9\-._~])/sprintf('%%%02X', ord $1)/ger;
}

# What is wrong with the answer's form if it is an error: its members, and that these and
# the headers say the same.  An empty string if nothing is.
sub error_fault
{
	my ($answer) = @_;
	my $error = $answer->{json};

	return 'no JSON object' if ref $error ne 'HASH';
	foreach my $member (qw(error code type title request_id))
	{
		return "no $member" if !defined $error->{$member} || ref $error->{$member} || $error->{$member} eq '';
	}
	my @others = grep { !/^(?:error|code|type|title|detail|hint|request_id)$/ } sort keys %$error;
	return "members @others" if @others;
	return "code $error->{code}" if $error->{code} !~ /^[a-z]+(?:_[a-z]+)*$/;
	return "type $error->{type}" if $error->{type} ne "urn:acteon-replay:error:$error->{code}";
	return "request_id $error->{request_id}" if $error->{request_id} ne ($answer->{headers}{'x-request-id'} // '');
	return '';
}

# Test an answer: its status, and its body, which is a text, a pattern, or data
# that its JSON must be.  Of an error, which is to be in good form, only the members that the
# data has.
sub answers
{
	my ($answer, $status, $body, $description) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $told = $answer->{status} == $status;
	$body = JSON::PP->new->decode($body) if $status >= 400 && !ref $body && $body =~ /^\{"error": /;
	my $got = $answer->{json};
	my $fault = $told && $status >= 400 && ref $body eq 'HASH' && exists $body->{error} ? error_fault($answer) : '';
	$got = { map { ($_ => $got->{$_}) } grep { exists $got->{$_} } keys %$body } if $status >= 400 && ref $body eq 'HASH' && ref $got eq 'HASH';
	$told &&=
		  ref $body eq 'Regexp' ? $answer->{body} =~ $body
		: ref $body             ? $got && JSON::PP->new->canonical->encode($got) eq JSON::PP->new->canonical->encode($body)
		:                         $answer->{body} eq $body;
	$body = JSON::PP->new->canonical->encode($body) if ref $body && ref $body ne 'Regexp';
	return ok($told && $fault eq '', $description) || diag("     got: $answer->{status} $answer->{body}", "\n", "expected: $status $body", "\n", "fault: $fault");
}

package Http::Server;

use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);

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
	# One without a database is wanted by some.
	for (1 .. 250)
	{
		last if $self->log =~ /event="?ready"?/ || $self->log =~ / error event=/;
		usleep(20_000);
	}
	$self->{url} = ($options{tls} ? 'https://localhost:' : 'http://127.0.0.1:') . $self->{port};
	return $self;
}

# Its address, for a client.
sub url
{
	my ($self) = @_;

	return $self->{url};
}

# A client of it, with an API key or none; see Http::Client.
sub client
{
	my ($self, $key) = @_;

	return Http::Client->new($self->{port}, $key);
}

# A connection to it; see Http::Connection.
sub connect
{
	my ($self) = @_;

	return Http::Connection->new($self->{port});
}

# A client: it makes one request after the other over one connection, which it
# opens anew when it has to, with a key as "Authorization: Bearer".
package Http::Client;

sub new
{
	my ($class, $port, $key) = @_;

	return bless { port => $port, headers => defined $key ? { Authorization => "Bearer $key" } : {} }, $class;
}

# Make a request and return its answer; see Http::Connection::ask and answer.
sub request
{
	my ($self, $method, $path, %options) = @_;

	$self->{connection} = Http::Connection->new($self->{port})
		if !$self->{connection} || $self->{connection}->is_closed;
	$self->{connection}->ask($method, $path, %options, headers => { %{ $self->{headers} }, %{ $options{headers} // {} } });
	my $answer = $self->{connection}->answer;

	# The server's end may not have arrived yet.
	delete $self->{connection} if lc($answer->{headers}{connection} // '') eq 'close';
	return $answer;
}

sub get
{
	my ($self, @arguments) = @_;

	return $self->request('GET', @arguments);
}

sub post
{
	my ($self, @arguments) = @_;

	return $self->request('POST', @arguments);
}

# Make a request over a connection of its own, and do not wait for the answer,
# which the connection that is returned has.
sub start
{
	my ($self, $method, $path, %options) = @_;
	my $connection = Http::Connection->new($self->{port});

	$connection->ask($method, $path, %options, headers => { %{ $self->{headers} }, %{ $options{headers} // {} } });
	return $connection;
}

# A connection, over which any bytes can be sent, and requests without waiting
# for the answers to those before.
package Http::Connection;

use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time);

sub new
{
	my ($class, $port) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)
		or die "could not connect to port $port: $!";

	binmode $socket;
	return bless { socket => $socket, unread => '', methods => [] }, $class;
}

# Send bytes.  Returns false if the server does not take them.
sub send
{
	my ($self, $bytes) = @_;

	local $SIG{PIPE} = 'IGNORE';
	while (length $bytes)
	{
		my $sent = syswrite($self->{socket}, $bytes) or return 0;

		substr($bytes, 0, $sent, '');
	}
	return 1;
}

# Send a request.  The path goes out as it is.  Options: query, a list of names and
# values, which are encoded; headers, by name, where undef leaves one out that is sent
# otherwise; body.
sub ask
{
	my ($self, $method, $path, %options) = @_;
	my @query = @{ $options{query} // [] };
	my %headers = (
		Host => '127.0.0.1',
		$method =~ /^P/ || defined $options{body} ? ('Content-Length' => length($options{body} // '')) : (),
		%{ $options{headers} // {} });
	my $separator = $path =~ /\?/ ? '&' : '?';

	while (my ($name, $value) = splice(@query, 0, 2))
	{
		$path .= $separator . Http::encode_uri($name) . '=' . Http::encode_uri($value);
		$separator = '&';
	}
	push @{ $self->{methods} }, $method;
	return $self->send("$method $path HTTP/1.1\r\n"
			. join('', map { "$_: $headers{$_}\r\n" } grep { defined $headers{$_} } sort keys %headers)
			. "\r\n"
			. ($options{body} // ''));
}

# Read more of what the server sends, until a time.  Returns the number of bytes: 0 at
# the end, undef if none have come.
sub read_more
{
	my ($self, $deadline) = @_;
	my $left = $deadline - time;

	return undef if !IO::Select->new($self->{socket})->can_read($left > 0 ? $left : 0);
	return sysread($self->{socket}, $self->{unread}, 65536, length $self->{unread}) // 0;
}

# The answer to the next request that has none: status, reason, headers by their
# names in lower case, body, and json, which is the body decoded if it is JSON.
# Status 0, with a reason, if there is none in time.
sub answer
{
	my ($self, $seconds) = @_;
	my $deadline = time + ($seconds // $PostgreSQL::Test::Utils::timeout_default);
	my $none = { status => 0, reason => 'no answer in time', headers => {}, body => '' };
	my $method = shift @{ $self->{methods} } // '';
	my ($answer, $length);

	do
	{
		while ($self->{unread} !~ /\r\n\r\n/)
		{
			my $got = $self->read_more($deadline) // return $none;

			return { %$none, reason => 'the connection was closed', body => $self->{unread} } if !$got;
		}
		(my $head, $self->{unread}) = split /\r\n\r\n/, $self->{unread}, 2;
		my ($first, @lines) = split /\r\n/, $head;
		$answer = { headers => {}, body => '' };
		@$answer{qw(version status reason)} = $first =~ /^HTTP\/(\S+) (\d+) (.*)$/ or die "no answer of HTTP: $first";
		foreach my $line (@lines)
		{
			my ($name, $value) = $line =~ /^([^:\s]+): *(.*?) *$/ or die "no header: $line";
			my $before = $answer->{headers}{ lc $name };

			$answer->{headers}{ lc $name } = defined $before ? "$before, $value" : $value;
		}
	} while ($answer->{status} < 200);

	$length = $method eq 'HEAD' || $answer->{status} == 204 ? 0 : $answer->{headers}{'content-length'};
	while (!defined $length || length $self->{unread} < $length)
	{
		my $got = $self->read_more($deadline) // return $none;

		last if !$got && !defined $length;
		return { %$none, reason => 'the answer was cut off' } if !$got;
	}
	$answer->{body} = substr($self->{unread}, 0, $length // length $self->{unread}, '');
	$answer->{json} = eval { decode_json($answer->{body}) };
	return $answer;
}

# Has the server closed it, within some seconds?
sub is_closed
{
	my ($self, $seconds) = @_;
	my $deadline = time + ($seconds // 0);
	my $got;

	do { $got = $self->read_more($deadline) } while ($got);
	return defined $got;
}

# Send no more, and read on.
sub shut
{
	my ($self) = @_;

	return $self->{socket}->shutdown(1);
}

# Close it.
sub close
{
	my ($self) = @_;

	return $self->{socket}->close;
}

1;
