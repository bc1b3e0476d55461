# What a relay lets others see of itself while it runs, over HTTP and in a file, and
# when it has ended: whether it can work, and figures that are true.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time);
use Http;
use Relay;

my $node = new_relay_server('watched', conf => "acteon_replay.max_attempts = 2\n");
my $gateway = start_gateway();
my $file = PostgreSQL::Test::Utils::tempdir() . '/acteon.prom';

# A relay that is asked to serve, and a client of it.
sub start_watched
{
	my ($of, @arguments) = @_;
	my $relay = start_relay($node, $of, '--listen', '127.0.0.1:0', @arguments);

	wait_until(sub { return (scalar($relay->log =~ /event="?listening"? .*port=\d+/), $relay->log) }, 'it listens', 30) or BAIL_OUT('no relay');
	my ($port) = $relay->log =~ /event="?listening"? .*port=(\d+)/;
	return ($relay, Http::Client->new($port), $port);
}

# The samples of a text with metrics.
sub samples
{
	return { $_[0] =~ /^([a-z0-9_]+(?:\{[^}]*\})?) (\S+)$/mg };
}

# Test that the relay says that it is well, or unwell for reasons like these.
sub health_is
{
	my ($client, $status, $reasons, $description) = @_;
	my $answer;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_until(
		sub {
			$answer = $client->get('/health');
			my @why = @{ $answer->{json}{why} // [] };
			return ($answer->{status} == $status && @why == @$reasons && !grep({ $why[$_] !~ $reasons->[$_] } 0 .. $#why), "$answer->{status} $answer->{body}");
		},
		$description, 30);
	return $answer->{json};
}

# Test that a figure comes to a value; undef: that it is not there.
sub figure_is
{
	my ($client, $name, $expected, $description) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(
		sub {
			my $seen = samples($client->get('/metrics')->{body})->{$name};
			return (defined $expected ? defined $seen && $seen == $expected : !defined $seen, "$name " . ($seen // 'is not there'));
		},
		$description, 30);
}

# While there is nothing to send.
my ($relay, $client, $port) = start_watched($gateway, '--metrics-file', $file);
my $health = health_is($client, 200, [], 'an idle relay that reaches both is well');
is_deeply([ @$health{qw(status database gateway)} ], [qw(ok ok ok)], '… and says so');
like($health->{version}, qr/^\d+\.\d+/, '… and its version');
figure_is($client, 'acteon_relay_gateway_up', 1, 'the gateway is up, before anything was sent');
figure_is($client, 'acteon_relay_sent_total', 0, '… indeed');
figure_is($client, 'acteon_relay_queue_depth', 0, 'the figures of the queue come');

# What is asked for and how.
my $answer = $client->get('/metrics');
is($answer->{status}, 200, '/metrics');
is($answer->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8', '… is what Prometheus expects');
$answer = $client->request('HEAD', '/metrics');
is("$answer->{status} $answer->{body}", '200 ', 'HEAD has no body');
$answer = $client->post('/health', body => 'x' x 50_000);
is("$answer->{status} $answer->{headers}{allow}", '405 GET, HEAD', 'nothing can be posted');
is($client->get('/')->{status}, 404, 'nothing else is there');
is($client->get('/metrics/../health')->{status}, 404, '… however it is written');
is($client->get('/health?verbose=1')->{status}, 200, 'a query does not matter');

# Every metric has its help; the same is in the file, and in neither is what only some
# may know.
my $text = $client->get('/metrics')->{body};
my ($names, %helped) = (samples($text));
$helped{$1} = 1 while $text =~ /^# HELP (\w+) \S/mg;
is_deeply([ grep { !$helped{ s/\{.*//r } && !$helped{ s/_(?:bucket|sum|count)(?:\{.*)?$//r } } sort keys %$names ], [], 'each figure has its help');
wait_until(
	sub {
		my $written = -e $file ? samples(slurp_file($file)) : {};
		return (join(' ', sort keys %$written) eq join(' ', sort keys %{ samples($client->get('/metrics')->{body}) }), join(' ', sort keys %$written));
	},
	'the file has the same figures', 30);
ok(exists $names->{"acteon_relay_$_"}, "$_ is among them") foreach qw(queue_retrying queue_dead_5m queue_in_doubt queue_held queue_oldest_due_age_seconds);
my $secrets = join('|', map { quotemeta } $gateway->{key}, $gateway->url, $node->host, 'acme');
unlike($text . $client->get('/health')->{body}, qr/$secrets/, 'no key, address or tenant is told');

# Clients that send nothing, or half of a request, keep nobody waiting: neither another
# client nor the gateway.  One that never comes to an end is ended.
my @slow = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, LocalAddr => '127.0.0.2') } 1 .. 40;
{
	local $SIG{PIPE} = 'IGNORE';
	syswrite($_, "GET /metrics HTTP/1.1\r\nHost: x") foreach @slow;
}
is($client->get('/health')->{status}, 200, 'others are answered while forty clients of an address are slow');
enqueue($node, name => 'beside-', count => 50);
all_delivered($node, '… and actions are delivered', 30);
wait_until(
	sub {
		my $open = 0;

		local $SIG{PIPE} = 'IGNORE';
		foreach my $socket (grep { !IO::Select->new($_)->can_read(0) } @slow)
		{
			syswrite($socket, 'x');
			$open++;
		}
		return ($open == 0, "$open are open");
	},
	'… which end although they never stop sending', 60);
undef @slow;

# Figures of what fails.
$gateway->rules({ match => { action_type => 'failing' }, answer => { status => 500, body => { error => 'not today' } } });
enqueue($node, name => 'failing-', count => 3, action_type => q{'failing'});
figure_is($client, 'acteon_relay_queue_dead_5m', 3, 'dead actions are counted, those of the last minutes');
figure_is($client, 'acteon_relay_queue_dead', 3, '… and all of them');
$gateway->rules();

# Without the gateway.
$gateway->stop;
$health = health_is($client, 503, [qr/^the gateway cannot be reached$/], 'the gateway is away: it is noticed without an action');
is_deeply([ @$health{qw(status database gateway)} ], [qw(unavailable ok unavailable)], '… and what is missing is said');
figure_is($client, 'acteon_relay_gateway_up', 0, '… in the metrics as well');
is($client->get('/metrics')->{status}, 200, '… which are still served');
$gateway->start;
health_is($client, 200, [], 'the gateway is back: it is noticed as well');
figure_is($client, 'acteon_relay_gateway_up', 1, '… in the metrics, too');

# Without the database, whose figures are not told any more when they are old.
$node->stop('immediate');
$health = health_is($client, 503, [qr/^the database cannot be reached$/], 'the database is away');
is($health->{database}, 'unavailable', '… which is said');
figure_is($client, 'acteon_relay_database_up', 0, '… in the metrics as well');
figure_is($client, 'acteon_relay_gateway_up', 1, '… and the gateway is not');
$node->start;
health_is($client, 200, [], 'the database is back');

# Its end.
my $before = samples($client->get('/metrics')->{body});
$relay->stop;
is(IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port), undef, 'nothing is served when it has ended');
my $after = samples(slurp_file($file));
is($before->{acteon_relay_up}, 1, 'it is up while it runs');
is($after->{acteon_relay_up}, 0, '… and the file that it leaves says that it has ended');
is_deeply([ grep { /_up$|queue_|replay_batch_|effective/ } sort keys %$after ], ['acteon_relay_up'], '… and nothing of how things stand');
is($after->{acteon_relay_delivered_total}, 50, '… but what it has done');
cmp_ok(abs($after->{acteon_relay_written_time_seconds} - time), '<', 60, '… and when it was written');

# A relay that has never reached anything does not claim to.
my $nobody = { key => 'x', port => PostgreSQL::Test::Cluster::get_free_port() };
bless $nobody, 'Relay::Gateway';
($relay, $client) = start_watched($nobody);
is($client->get('/health')->{status}, 503, 'it is not well before it has reached the gateway');
health_is($client, 503, [qr/^the gateway cannot be reached$/], 'nothing is there');
figure_is($client, 'acteon_relay_gateway_up', 0, 'the gateway is not up');
is($relay->stop, 0, 'exit code 0');

# What the answer to a probe shows.
foreach my $case ([ 500, 200 ], [ 503, 503, qr/^the gateway cannot be reached$/ ])
{
	my ($said, $expected, @why) = @$case;
	my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die;
	my $pid = fork // die;

	# It ends alone: the servers are not its own.
	($SIG{ALRM} = 'DEFAULT', alarm 300) if $pid == 0;
	while ($pid == 0)
	{
		my $asked = $listener->accept or next;

		sysread($asked, my $request, 4096);
		syswrite($asked, "HTTP/1.1 $said x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	}
	($relay, $client) = start_watched(bless({ key => 'x', port => $listener->sockport }, 'Relay::Gateway'));
	health_is($client, $expected, \@why, "/health of the gateway answers $said");
	is($relay->stop, 0, 'exit code 0');
	kill 'KILL', $pid;
	waitpid $pid, 0;
}

# One whose key is refused.
$nobody = bless { %$gateway, key => 'wrong', unused => PostgreSQL::Test::Cluster::get_free_port() }, 'Relay::Gateway';
enqueue($node, name => 'refused-');
($relay, $client) = start_watched($nobody);
health_is($client, 503, [qr/^the gateway refuses the relay's key/], 'the gateway refuses the key');
figure_is($client, 'acteon_relay_gateway_up', 0, '… so it takes no actions');
is($relay->stop, 0, 'exit code 0');

# Kafka, which librdkafka plays itself, and none.
SKIP:
{
	my (undef, $said) = run_relay($node, undef, '--sink', 'kafka://127.0.0.1:1/t', '--check');

	skip 'the relay was built without Kafka', 1 if $said =~ /without Kafka/;
	($relay, $client) = start_watched(undef, '--sink', 'kafka://127.0.0.1:9092/t', '--kafka-option', 'test.mock.num.brokers=1');
	health_is($client, 200, [], 'a broker of Kafka is reached before anything was sent');
	figure_is($client, 'acteon_relay_gateway_up', 1, '… in the metrics as well');
	is($relay->stop, 0, 'exit code 0');
	($relay, $client) = start_watched(undef, '--sink', "kafka://127.0.0.1:$nobody->{unused}/t");
	health_is($client, 503, [qr/^the gateway cannot be reached$/], 'no broker of Kafka is there');
	figure_is($client, 'acteon_relay_gateway_up', 0, '… in the metrics as well');
	is($relay->stop, 0, 'exit code 0');
}

# Addresses.
my ($status, $log) = run_relay($node, $gateway, '--listen', "127.0.0.1:$gateway->{port}");
is($status, 1, 'an address in use: exit code 1');
like($log, qr/event="cannot listen"/, '… and why');
($status, $log) = run_relay($node, $gateway, '--listen', 'localhost:80');
is($status, 2, 'a name is no address: exit code 2');
($relay, $client) = start_watched($gateway, '--drain');
$relay->wait_for_end(60);
outbox_is_sound($node);

done_testing();
