# The HTTP server from its start to its end, and a database that goes away and comes
# back: what was answered 200 is done, and what is repeated with its Idempotency-Key
# is done once.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use Acteon;
use Http;
use Program;
use Replays;

my ($node, $key) = new_replay_server('life', conf => "restart_after_crash = on\nmax_connections = 60\n");
my ($server, $client, $connection, $session, $answer, $begun);
my @started;

# What a request comes to that is repeated with its Idempotency-Key until it is
# answered 200; other answers must be those of a fault that passes.
sub repeat
{
	my ($id) = @_;
	my $told;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(
		sub {
			$told = $server->client($key)->post("/v1/audit/$id/replay", headers => { 'Idempotency-Key' => $id });
			BAIL_OUT("$id: $told->{status} $told->{body}") if $told->{status} !~ /^(0|200|500|503)$/;
			return ($told->{status} == 200, "$told->{status} $told->{body}");
		},
		"$id is done, in the end");
}

# Is it refused to connect to the server?
sub is_refused
{
	return !IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->{port});
}

# A database that is away.
$server = start_ready(arguments => ['--workers=2']);
$client = $server->client($key);
records('away', 20);
answers($client->post('/v1/audit/away-1/replay'), 200, qr/true/, 'a database that is there');
$session = hold_outbox();
@started = map { $client->start('POST', "/v1/audit/away-$_/replay", headers => $_ == 3 ? { 'Idempotency-Key' => 'away-3' } : {}) } 2 .. 3;
wait_for_locked(2, 'two requests are worked on');
$node->stop('immediate');
answers($started[0]->answer, 500, qr/whether it was done is not known/, 'the database goes: what was sent may have been done or not');
answers($started[1]->answer, 503, qr/nothing was done/, '… unless nothing was committed for sure');
eval { $session->quit };
wait_until(sub { $answer = $client->get('/health'); return ($answer->{status} == 503, $answer->{status}) }, 'it is not healthy');
is($answer->{json}{database}, 'unavailable', '… and says why');
$answer = $client->post('/v1/audit/away-4/replay');
answers($answer, 503, { error => 'the database cannot be reached; nothing was done' }, 'requests are sent away');
cmp_ok($answer->{headers}{'retry-after'}, '>', 0, '… for a while');
$answer = $client->post('/v1/audit/away-5/replay', headers => { 'Idempotency-Key' => 'away-5' });
is($answer->{status}, 503, '… also those with an Idempotency-Key');
answers($client->get('/metrics'), 200, qr/database_connections 0\n/, 'metrics are told all the same');
$node->start;
wait_until(sub { $answer = $client->get('/health'); return ($answer->{status} == 200, $answer->{body}) }, 'the database is back, and the server by itself');
is(replayed('away'), '1 at most 1', 'what was not answered 200 was not done');
repeat("away-$_") foreach 3, 5;
answers($client->post('/v1/audit/away-4/replay'), 200, qr/true/, 'it goes on');
is(replayed('away'), '4 at most 1', '… and all was done once');
ok(!$node->log_contains('PANIC'), 'the database did not complain');

# Backends that end in the middle of a request.
records('end', 100);
foreach my $headers ({}, { 'Idempotency-Key' => 'end-1' })
{
	$session = hold_outbox();
	$connection = $client->start('POST', '/v1/audit/end-1/replay', headers => $headers);
	wait_for_locked(1, 'a request is worked on');
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'acteon_http'});
	$answer = $connection->answer;
	like("$answer->{status} $answer->{body}", qr/^(500 .*not known|503 .*nothing was done)/, 'its backend is ended: the client is told that it is not known, or that nothing was done');
	$session->quit;
	wait_until(sub { my $status = $client->get('/health')->{status}; return ($status == 200, $status) }, 'the server connects again');
}
is(replayed('end'), '0 at most 0', '… and nothing was done');
my $seed = time;
srand($seed);
foreach my $i (1 .. 24)
{
	my @backends = split /\n/, $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE usename = 'acteon_http'});

	@started = map { $client->start('POST', "/v1/audit/end-$_/replay", headers => { 'Idempotency-Key' => "end-$_" }) } 3 * $i .. 3 * $i + 2;
	usleep(int(rand(5000)));
	if ($i % 8 == 0 && @backends)
	{
		crash($node, $backends[0]);
	}
	else
	{
		kill 'TERM', @backends;
	}
	foreach (@started)
	{
		$answer = $_->answer;
		BAIL_OUT("$answer->{status} $answer->{body}") if $answer->{status} !~ /^(200|500|503)$/;
	}
}
repeat("end-$_") foreach 3 .. 74;
is(replayed('end'), '72 at most 1', 'whatever ends, what is repeated with its Idempotency-Key is done once') or diag("seed $seed");
is($server->stop, 0, 'it ends in good order') or diag($server->log);

# SIGTERM.
records('term', 20);
$server = start_ready(arguments => [ '--workers=2', '--grace=60s' ]);
$client = $server->client($key);
my $idle = $server->connect;
my $waits = $client->start('POST', '/v1/audit/term-1/replay', query => [ wait => 60 ]);
wait_for_sql($node, q{SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id = 'term-1'}, 1, 'a client waits for deliveries');
$session = hold_outbox();
@started = map { $client->start('POST', "/v1/audit/term-$_/replay", headers => $_ == 3 ? { 'Idempotency-Key' => 'term-3' } : {}) } 2 .. 4;
wait_for_locked(2, 'SIGTERM: two requests are worked on');
# With the first, and with the one that asks.
wait_for_gauge($server, 'requests_in_progress', 5, '… and one waits for its turn');
$server->signal('TERM');
wait_until(\&is_refused, 'nobody can connect any more');
ok($idle->is_closed(60), 'an idle connection is closed');
answers($waits->answer, 200, qr/"success" ?: true/, 'whoever waits for deliveries is told what is known');
$session->quit;
foreach (@started)
{
	$answer = $_->answer;
	answers($answer, 200, qr/true/, 'a request under way is finished');
	is($answer->{headers}{connection}, 'close', '… and is the last one');
	ok($_->is_closed(60), '… of its connection');
}
is($server->wait_for_end(60), 0, 'exit code 0') or diag($server->log);
is(replayed('term'), '4 at most 1', 'all are done once');
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'acteon_http'}, 0, 'no connection to the database is left');

# … when requests take longer than the grace time.
records('grace', 20);
$server = start_ready(arguments => [ '--workers=2', '--grace=500ms' ]);
$client = $server->client($key);
$session = hold_outbox();
@started = map { $client->start('POST', "/v1/audit/grace-$_/replay", headers => $_ == 2 ? { 'Idempotency-Key' => 'grace-2' } : {}) } 1 .. 3;
wait_for_locked(2, 'the grace time: two requests are worked on');
wait_for_gauge($server, 'queue_length', 1, '… and one waits for its turn');
$server->signal('TERM');
answers($_->answer, 503, qr/nothing was done/, 'what is under way is broken off') foreach @started;
is($server->wait_for_end(60), 1, 'exit code 1') or diag($server->log);
wait_for_locked(0, '… in the database, too');
$session->quit;
is(replayed('grace'), '0 at most 0', 'nothing was done');

# A second one.
$server = start_ready(arguments => [ '--workers=2', '--grace=60s' ]);
$client = $server->client($key);
$session = hold_outbox();
$connection = $client->start('POST', '/v1/audit/grace-4/replay');
wait_for_locked(1, 'a second SIGTERM: a request is worked on');
$server->signal('TERM');
$server->says(qr/event="stopping"/, 'the first one was noticed');
$begun = time;
$server->signal('TERM');
is($server->wait_for_end(60), 1, 'exit code 1') or diag($server->log);
cmp_ok(time - $begun, '<', 20, 'it ends without waiting');
is($connection->answer->{status}, 0, 'nothing is answered');
$session->quit;

# The server is killed.
records('kill', 100);
foreach my $round (1 .. 4)
{
	my @ids = map { "kill-$_" } 20 * $round .. 20 * $round + 19;

	$server = start_ready(arguments => ['--workers=3']);
	$client = $server->client($key);
	@started = map { $client->start('POST', "/v1/audit/$_/replay", headers => { 'Idempotency-Key' => $_ }) } @ids;
	usleep(int(rand(20_000)));
	is($server->kill9, 'signal 9', "round $round: the server is killed");
	$server = start_ready(arguments => ['--workers=3']);
	repeat($_) foreach @ids;
	is($server->stop, 0, 'exit code 0') or diag($server->log);
}
is(replayed('kill'), '80 at most 1', 'what is repeated with its Idempotency-Key is done once') or diag("seed $seed");

# The secrets of TLS are not written for others to read.
{
	local $ENV{SSLKEYLOGFILE} = "$PostgreSQL::Test::Utils::tmp_check/secrets";
	my $refused = Program::Running->run('keylog', Http::Server::program(), '--database', $node->connstr('postgres'), '--listen=127.0.0.1:0');

	is($refused->wait_for_end(20), 1, 'SSLKEYLOGFILE: exit code 1');
	like($refused->log, qr/SSLKEYLOGFILE/, 'SSLKEYLOGFILE: it says so');
}

done_testing();
