# The HTTP server and clients that are greedy, slow, many or gone: none of them
# harms another, and nothing is done that was not answered, nor twice.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IPC::Open2;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use Http;
use Program;
use Replays;

my ($node, $key) = new_replay_server('robust', conf => "max_connections = 60\n");
my ($server, $client, $other, $connection, $session, $answer);

# Another session that holds an Idempotency-Key until it quits: requests with it wait.
sub hold_key
{
	my ($name) = @_;
	my $holder = $node->background_psql('postgres');

	$holder->query_safe('BEGIN');
	$holder->query_safe("SELECT acteon_api_begin((SELECT id FROM acteon_api_keys WHERE name = 'ops'), '$name', sha256('$name'))");
	return $holder;
}

# Bodies.  Clients that take too long are ended soon here.
$server = start_ready(arguments => [ '--max-body=1000', '--request-timeout=2s', '--idle-timeout=2s' ]);
records('body', 10);
$client = $server->client($key);
answers($client->post('/v1/audit/body-1/replay', body => ' ' x 1000), 200, qr/"success" : true/, 'a body as large as may be is taken');
$connection = $client->start('POST', '/v1/audit/body-2/replay', headers => { 'Content-Length' => 1001 });
answers($connection->answer, 413, { error => 'the body is too large' }, 'a body that is announced as too large is refused at once');
ok($connection->is_closed(60), '… and not waited for');
$connection = $client->start('POST', '/v1/audit/body-3/replay', headers => { 'Content-Length' => undef, 'Transfer-Encoding' => 'chunked' });
$connection->send("3e9\r\n" . 'x' x 1001 . "\r\n0\r\n\r\n");
answers($connection->answer, 413, { error => 'the body is too large' }, 'a chunked body that is too large is refused');
$connection = $client->start('POST', '/v1/audit/body-4/replay', headers => { 'Content-Length' => undef, 'Transfer-Encoding' => 'chunked' });
for (1 .. 3000) { $connection->send("400\r\n" . 'x' x 1024 . "\r\n") or last }
ok($connection->is_closed(60), 'one without an end is broken off');
SKIP:
{
	skip 'the sanitizers keep what is freed for a while', 1 if Http::Server::program() =~ /asan/;
	my $most = sub { return slurp_file('/proc/' . $server->pid . '/status') =~ /^VmHWM:\s+(\d+) kB/m ? $1 : die };
	my $before = $most->();
	my $chunk = "10000\r\n" . ' ' x 65536 . "\r\n";
	my @senders = map { $server->client($_ % 2 ? $key : undef)->start('POST', '/v1/audit/verify', headers => { 'Content-Length' => undef, 'Transfer-Encoding' => 'chunked' }) } 1 .. 40;

	for (1 .. 15) { $_->send($chunk) foreach @senders }
	$_->send("0\r\n\r\n") foreach @senders;
	answers($senders[0]->answer, 413, { error => 'the body is too large' }, 'the body of a verification is refused like any other');
	cmp_ok($most->() - $before, '<', 15_000, '… and not kept meanwhile');
}
$connection = $client->start('POST', '/v1/audit/body-5/replay', headers => { 'Content-Length' => 10 }, body => 'short');
ok($connection->is_closed(60), 'a body that does not come is not waited for longer than --request-timeout');
$connection = $client->start('POST', '/v1/audit/body-6/replay', headers => { 'Content-Length' => 100 });
wait_until(sub { $connection->send('x'); usleep(100_000); return $connection->is_closed },
	'nor is one of which a byte comes now and then');
is(replayed('body'), '1 at most 1', 'what was refused or broken off was not done');

# Heads that are too large, or can be read in two ways.
records('head', 6400);
foreach my $case (
	[ 'two lengths', "Content-Length: 0\r\nContent-Length: 5\r\n" ],
	[ 'a length and an encoding', "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" ],
	[ 'an encoding that nobody knows', "Transfer-Encoding: gzip, chunked\r\n" ],
	[ 'an encoding twice', "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" ],
	[ 'a length that is none', "Content-Length: 0x10\r\n" ],
	[ 'a negative length', "Content-Length: -1\r\n" ],
	[ 'a blank before a colon', "Content-Length : 5\r\n" ],
	[ 'a line that is no header', "what is this\r\n" ],
	[ 'two hosts', "Host: b\r\n" ],
	[ 'a zero byte in the URI', '', "POST /v1/audit/head-1/replay\0?wait=1 HTTP/1.1" ],
	[ 'a zero byte in a whole URI', '', "POST http://a/v1/audit/head-1/replay\0?wait=1 HTTP/1.1" ],
	[ 'a zero byte in the query', '', "POST /v1/audit/replay?tenant=acme\0&outcome=executed HTTP/1.1" ],
	[ 'a blank in the URI', '', "POST /v1/audit/head-1/replay ?x HTTP/1.1" ],
	[ 'a control character in the URI', '', "POST /v1/audit/head-1/replay?x=\x01 HTTP/1.1" ])
{
	my ($name, $headers, $first) = @$case;

	$connection = $server->connect;
	$connection->send(($first // 'POST /v1/audit/head-1/replay HTTP/1.1') . "\r\nHost: a\r\nX-API-Key: $key\r\n$headers\r\n");
	$answer = $connection->answer;
	# Some versions of the library refuse it themselves, in their words or without any.
	like($answer->{status}, qr/^(400|501|0)$/, "$name is refused") or diag($answer->{body});
	ok($connection->is_closed(60), '… and ends the connection');
}
$connection = $server->connect;
$connection->send("POST /v1/audit/head-1/replay HTTP/1.1\r\nX-API-Key: $key\r\n\r\n");
answers($connection->answer, 400, qr/Host.*header/, 'a request without a Host is refused');
is(replayed('head'), '0 at most 0', 'none of them was done');
foreach my $case (
	[ 'one large header', '/health', { 'X-Large' => 'x' x 40_000 } ],
	[ 'many headers', '/health', { map { +"X-$_" => 'x' } 1 .. 2000 } ],
	[ 'a large cookie', '/health', { Cookie => 'a=' . 'x' x 20_000 } ],
	[ 'a long URI', '/health?' . 'x' x 40_000, {} ])
{
	my ($name, $path, $headers) = @$case;

	$connection = $server->client->start('GET', $path, headers => $headers);
	like($connection->answer->{status}, qr/^(414|431)$/, "$name is refused");
	ok($connection->is_closed(60), '… and ends the connection');
}
answers($server->client->get('/nowhere?' . 'x&' x 10_000), 404, { error => 'there is nothing at this path' }, 'many parameters are read');
# The library keeps head and answer in the same memory.
my (%told, $answered);
for (my ($number, $len) = (1, 30_000); $len < 38_000; $number++, $len += 67)
{
	$answer = $server->client($key)->post("/v1/audit/head-$number/replay", headers => { 'X-Large' => 'x' x $len });
	$told{ $answer->{status} }++;
}
$answered = $told{200} // 0;
is(join(' ', grep { !/^(0|200|431)$/ } keys %told), '', 'heads of all sizes are taken, or refused');
cmp_ok($answered, '>', 20, '… the smaller ones are taken');
cmp_ok($told{431} // 0, '>', 20, '… the larger ones are refused');
is(replayed('head'), "$answered at most 1", '… and all that was done was answered');

# Slow clients.
$connection = $server->connect;
$connection->send('GET /health HT');
wait_until(
	sub {
		$connection->send('x');
		usleep(100_000);
		$answer = $server->client->get('/health');
		return ($connection->is_closed || $answer->{status} != 200, $answer->{status});
	},
	'a head of which a byte comes now and then is not waited for longer than --idle-timeout');
is($answer->{status}, 200, '… and meanwhile others were served');
$connection = $server->connect;
ok($connection->is_closed(60), 'nor is a connection without a request');
$connection = $server->client->start('GET', '/metrics');
$connection->answer;
ok($connection->is_closed(60), 'nor one after a request');
$connection = $server->connect;
setsockopt($connection->{socket}, Socket::SOL_SOCKET(), Socket::SO_RCVBUF(), 4096);
$connection->{socket}->blocking(0);
# As many as the server takes: what it has answered is not read, so it comes to wait for that.
my $requests = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" x 100;
for (1 .. 200) { last if !defined syswrite($connection->{socket}, $requests) }
cmp_ok(gauge($server, 'connections'), '>=', 2, 'a client that does not read');
wait_for_gauge($server, 'connections', 1, '… is not waited for longer than --request-timeout, and meanwhile others are served');
$answer = $client->post('/v1/audit/body-7/replay', query => [ wait => 5 ]);
answers($answer, 200, qr/"success": true/, 'whoever asked for it may wait for longer than --request-timeout');
is($server->stop, 0, 'it ends in good order') or diag($server->log);

# Pipelining.
$server = start_ready(arguments => ['--workers=2']);
$client = $server->client($key);
records('pipe', 30);
$connection = $server->connect;
my $head = "HTTP/1.1\r\nHost: a\r\nX-API-Key: $key\r\n";
$connection->send(join('', map { "POST /v1/audit/pipe-$_/replay $head\r\n" } 1 .. 10));
is(join(' ', map { $answer = $connection->answer; $answer->{json}{original_action_id} // $answer->{body} } 1 .. 10),
	join(' ', map { "pipe-$_" } 1 .. 10), 'ten requests in one packet are answered in their order');
is(replayed('pipe'), '10 at most 1', '… and each was done once');
$connection->send(join('', map { "$_ $head\r\n" }
	'GET /openapi.json', 'POST /v1/audit/pipe-11/replay', 'GET /nowhere', 'GET /metrics', 'GET /health', "POST /v1/audit/replay?matched_rule=none", 'PUT /health',
	'POST /v1/audit/missing/replay', 'GET /v1/replay/batches/999', 'POST /v1/audit/pipe-12/replay?wait=x', 'POST /v1/audit/pipe-12/replay'));
is(join(' ', map { $connection->answer->{status} } 1 .. 11), '200 200 404 200 200 200 405 404 404 400 200', 'those for the database and others take their turns');
$connection->send("POST /v1/audit/pipe-13/replay $head" . "Content-Length: 5\r\n\r\nGET /POST /v1/audit/pipe-14/replay $head\r\n");
is(join(' ', map { $connection->answer->{status} } 1 .. 2), '400 200', 'a body is none of them');
is(replayed('pipe'), '13 at most 1', 'each was done once');
# A client that closes its side of the connection counts as one that has gone: what
# it has not been answered yet may be done or not, but none of it twice.
$connection = $server->connect;
$connection->send(join('', map { "POST /v1/audit/pipe-$_/replay $head\r\n" } 15 .. 20));
shutdown($connection->{socket}, 1);
my @ids;
while (($answer = $connection->answer(60))->{status}) { push @ids, $answer->{json}{original_action_id} if $answer->{status} == 200 }
is($answer->{reason}, 'the connection was closed', 'a client that says no more is answered what was ready, and let go');
wait_for_gauge($server, 'requests_in_progress', 1, '… and nothing is left');
is($node->safe_psql('postgres', 'SELECT count(DISTINCT original_action_id) FROM acteon_dispatch_outbox WHERE original_action_id IN (' . join(', ', map { "'$_'" } @ids, 'none') . ')'),
	scalar(@ids), '… what it was told to be done is done');
like(replayed('pipe'), qr/ at most 1$/, '… and nothing was done twice');

# Many requests over one connection, and many connections, one after the other.
SKIP:
{
	skip 'the sanitizers keep what is freed for a while', 1 if Http::Server::program() =~ /asan/;
	my $memory = sub { return slurp_file('/proc/' . $server->pid . '/status') =~ /^VmRSS:\s+(\d+) kB/m ? $1 : die };

	$client->get('/health') foreach 1 .. 500;
	my $before = $memory->();
	for (1 .. 3000)
	{
		my $status = $client->post("/v1/audit/missing-$_/replay", query => [ reason => 'x' x 500 ])->{status};

		$status == 404 or BAIL_OUT("status $status");
	}
	cmp_ok($memory->() - $before, '<', 1000, '3,000 requests over one connection leave nothing in memory');
}
is($server->stop, 0, 'it ends in good order') or diag($server->log);
{
	my $few = private_file('few-files', "#!/bin/sh\nulimit -n 40\nexec '" . Http::Server::program() . "' \"\$@\"\n");

	chmod(0700, $few);
	local $ENV{ACTEON_REPLAY_HTTP} = $few;
	$server = start_ready(arguments => [ '--workers=1', '--max-connections=10' ]);
	$session = hold_key('held');
	$client = $server->client($key);
	for (1 .. 60)
	{
		$connection = $client->start('POST', '/v1/audit/pipe-21/replay', headers => { 'Idempotency-Key' => 'held' });
		wait_until(sub { return gauge($server, 'database_connections_busy') }, 'it waits') if $_ % 20 == 1;
		$connection->close;
		$server->client->get('/health')->{status} == 200 or BAIL_OUT('health');
	}
	$session->quit;
	answers($client->get('/health'), 200, qr/ok/, '120 connections and 60 requests that were cancelled leave no file open');
	is($server->stop, 0, 'it ends in good order') or diag($server->log);
}

# A crowd.
$server = start_ready(arguments => ['--max-connections=1002']);
my $pid = open2(my $from, my $to, 'python3', "$FindBin::RealBin/../http/crowd.py", $server->{port}, 1000);
is(scalar(<$from>), "there\n", '1,000 connections');
records('crowd', 10);
$client = $server->client($key);
answers($client->post('/v1/audit/crowd-1/replay'), 200, qr/true/, 'one more is served');
wait_for_gauge($server, 'connections', 1002, '… which makes all that there may be');
$connection = $client->start('POST', '/v1/audit/crowd-2/replay');
$other = $client->start('POST', '/v1/audit/crowd-3/replay');
answers($client->post('/v1/audit/crowd-4/replay'), 200, qr/true/, 'whoever is there is served');
# One place is free between the requests of wait_for_gauge.
ok(!grep({ $_->answer(0.5)->{status} } $other), 'whoever comes later is not');
print $to "\n";
is(scalar(<$from>), "1000\n", 'all that are idle are served again');
close($to);
waitpid($pid, 0);
foreach ($connection, $other)
{
	$answer = $_->answer;
	ok($answer->{status} == 200 || $answer->{reason} =~ /closed/, 'when there is room, a client that waited is served, if it was not sent away');
}
answers($server->client($key)->post('/v1/audit/crowd-5/replay'), 200, qr/true/, '… and new ones are');
is($server->stop, 0, 'it ends in good order') or diag($server->log);

# Verifications leave room for others.
$server = start_ready(arguments => [ '--workers=4', '--queue=6' ]);
$client = $server->client($key);
my @chain = ('POST', '/v1/audit/verify?namespace=prod&tenant=acme');
my $alone = $client->post($chain[1])->{status};
$session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
$session->query_safe('LOCK TABLE acteon_audit IN ACCESS EXCLUSIVE MODE');
my @checks = map { $client->start(@chain) } 1 .. 5;
wait_for_locked(2, 'two of four workers verify');
wait_for_gauge($server, 'queue_length', 3, '… the other verifications wait');
is(gauge($server, 'database_connections_busy'), 2, '… though workers are free');
answers($client->get('/v1/replay/me'), 200, qr/ops/, '… which others get');
$answer = $client->post($chain[1]);
answers($answer, 503, { error => 'the server is busy; nothing was done' }, 'for more than half of the queue there is no room');
is($answer->{headers}{'retry-after'}, 1, '… and they may come again soon');
$other = $client->start('POST', '/v1/replay/verify', headers => { 'Content-Length' => 0 });
is($other->answer->{status}, 503, '… also those of the trail');
answers($client->post($chain[1] . '&nobody=1'), 400, { code => 'unknown_parameter' }, '… unless there is nothing to verify');
$session->quit;
is(join(' ', map { $_->answer->{status} } @checks), join(' ', ($alone) x 5), 'all that waited are answered in the end');
is($server->stop, 0, 'it ends in good order') or diag($server->log);

# More than the database may be asked at once.
records('queue', 10);
$server = start_ready(arguments => [ '--workers=2', '--queue=3' ]);
$client = $server->client($key);
$session = hold_outbox();
my @started = map { $client->start('POST', "/v1/audit/queue-$_/replay") } 1 .. 5;
wait_for_locked(2, 'two requests are worked on');
wait_for_gauge($server, 'queue_length', 3, 'three wait for their turn');
$answer = $client->post('/v1/audit/queue-6/replay');
answers($answer, 503, { error => 'the server is busy; nothing was done' }, 'the sixth is sent away at once');
is($answer->{headers}{'retry-after'}, 1, '… and may come again soon');
answers($server->client->get('/metrics'), 200, qr/queue_length 3/, 'metrics are told all the same');
$session->quit;
is(join(' ', map { $_->answer->{status} } @started), '200 200 200 200 200', 'all others are done when they can be');
answers($client->post('/v1/audit/queue-6/replay'), 200, qr/true/, '… and then the sixth, too');
is(replayed('queue'), '6 at most 1', 'each was done once');
is($server->stop, 0, 'it ends in good order') or diag($server->log);

# What takes too long.
records('late', 10);
$server = start_ready(arguments => [ '--workers=1', '--statement-timeout=1s' ]);
$client = $server->client($key);
$session = hold_outbox();
@started = map { $client->start('POST', "/v1/audit/late-$_/replay") } 1 .. 2;
answers($started[0]->answer, 504, { error => 'the database took too long, nothing was done' }, 'a request that waits longer than --statement-timeout is given up');
like($started[1]->answer->{status}, qr/^50[34]$/, '… and one behind it');
$answer = $client->post('/v1/audit/late-3/replay', headers => { 'Idempotency-Key' => 'late' });
is($answer->{status}, 504, '… also with an Idempotency-Key');
$session->quit;
wait_for_locked(0, '… and the database has given up, too');
is(replayed('late'), '0 at most 0', 'nothing was done');
$answer = $client->post('/v1/audit/late-3/replay', headers => { 'Idempotency-Key' => 'late' });
answers($answer, 200, qr/true/, 'the same request can be made again');
is(replayed('late'), '1 at most 1', '… and is done');
is($server->stop, 0, 'it ends in good order') or diag($server->log);

# Clients that go away.
records('gone', 600);
$server = start_ready(arguments => ['--workers=1']);
$client = $server->client($key);
foreach my $headers ({}, { 'Idempotency-Key' => 'gone' })
{
	$session = hold_outbox();
	$connection = $client->start('POST', '/v1/audit/gone-1/replay', headers => $headers);
	wait_for_locked(1, 'a client waits');
	$other = $client->start('POST', '/v1/audit/gone-2/replay');
	wait_for_gauge($server, 'queue_length', 1, '… and another for its turn');
	$other->close;
	wait_for_gauge($server, 'queue_length', 0, 'one that goes away has no turn');
	$connection->close;
	wait_for_locked(0, 'what is done for one that goes away is cancelled in the database');
	$session->quit;
	answers($client->get('/health'), 200, qr/ok/, 'the next one is served');
}
is(replayed('gone'), '0 at most 0', 'nothing was done for those who went');
$connection = $client->start('POST', '/v1/audit/gone-3/replay', query => [ wait => 30 ]);
wait_for_sql($node, q{SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id = 'gone-3'}, 1, 'a client waits for deliveries');
$connection->close;
wait_for_gauge($server, 'requests_in_progress', 1, '… no longer than it is there');
is($server->stop, 0, 'it ends in good order') or diag($server->log);

# A backend that is asked to cancel before it has begun with a statement does not.
$server = start_ready(arguments => ['--workers=1']);
$client = $server->client($key);
$session = hold_key('held');
my $backend = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE usename = 'acteon_http'});
kill 'STOP', $backend;
$connection = $client->start('POST', '/v1/audit/gone-4/replay', headers => { 'Idempotency-Key' => 'held' });
wait_for_gauge($server, 'database_connections_busy', 1, 'a request is sent to a backend that sleeps');
$connection->close;
wait_until(sub { my ($pending) = slurp_file("/proc/$backend/status") =~ /^ShdPnd:\s+(\S+)/m; return (hex($pending) & 2, $pending) }, '… which is asked to cancel it');
kill 'CONT', $backend;
wait_for_gauge($server, 'database_connections_busy', 0, '… and does so all the same when it wakes up');
$session->quit;

# A request to cancel that takes long: the database does not hear it while its first process sleeps.
$session = hold_key('held');
$other = hold_key('other');
my $watcher = $node->background_psql('postgres');
my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
$connection = $client->start('POST', '/v1/audit/gone-4/replay', headers => { 'Idempotency-Key' => 'held' });
wait_for_locked(1, 'a request is worked on');
my $next = $client->start('POST', '/v1/audit/gone-5/replay', headers => { 'Idempotency-Key' => 'other' });
wait_for_gauge($server, 'queue_length', 1, '… and another waits for its turn');
kill 'STOP', $postmaster;
$connection->close;
wait_for_gauge($server, 'abandoned_total', 2, 'the client of the first one goes');
$session->quit;
wait_until(
	sub {
		my $state = $watcher->query_safe(q{SELECT CASE WHEN wait_event_type = 'Lock' THEN query ELSE state END FROM pg_stat_activity WHERE usename = 'acteon_http'});
		return (scalar($state !~ /login_begin|acteon_api_login|active/) || gauge($server, 'queue_length') == 0, $state);
	},
	'… which is over by itself');
kill 'CONT', $postmaster;
wait_for_locked(1, 'the next one is worked on');
ok(!$next->answer(1)->{status}, '… and is not cancelled');
push @{ $next->{methods} }, 'POST';
$other->quit;
answers($next->answer, 200, qr/true/, '… but done');
$watcher->quit;
is(replayed('gone'), '2 at most 1', '… and what was abandoned is not');
is($server->stop, 0, 'it ends in good order') or diag($server->log);

# The same with clients that go at any time.
$server = start_ready(arguments => [ '--workers=1', '--log-level=warning' ]);
$client = $server->client($key);
$session = hold_key('held');
my $seed = time;
my %statuses;
srand($seed);
for my $i (1 .. 200)
{
	# Some are in the middle of something for sure, the others may be anywhere.
	my $headers = { 'Idempotency-Key' => $i % 3 == 0 ? 'held' : "gone-$i" };

	$connection = $client->start('POST', "/v1/audit/gone-" . (100 + $i) . '/replay', headers => $i % 3 == 1 ? {} : $headers);
	$next = $client->start('POST', "/v1/audit/gone-" . (300 + $i) . '/replay');
	usleep(int(rand($i % 3 == 0 ? 4000 : 1500)));
	$connection->close;
	$answer = $next->answer;
	$statuses{ $answer->{status} }++;
}
is(join(' ', map { "$_: $statuses{$_}" } sort keys %statuses), '200: 200', 'whoever comes after one that has gone is not hit') or diag("seed $seed");
$session->quit;
is($node->safe_psql('postgres', q{SELECT count(*), max(generation) FROM acteon_dispatch_outbox WHERE original_action_id ~ '^gone-[345]..$' AND original_action_id <> 'gone-300'}),
	'200|1', '… and is done once');
like(replayed('gone'), qr/ at most 1$/, '… as is the other, or not');
is($server->stop, 0, 'it ends in good order') or diag($server->log);

# TLS.
my $cert = "$PostgreSQL::Test::Utils::tmp_check/cert.pem";
my $key_file = private_file('tls-key.pem', '');
my $wrong_key = private_file('wrong-key.pem', '');
foreach ([ $cert, $key_file ], [ "$cert.other", $wrong_key ])
{
	run_log([ qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost), '-out', $_->[0], '-keyout', $_->[1] ])
		or BAIL_OUT('no certificate');
}

# Speak TLS to a server: what openssl s_client has seen and said.
sub over_tls
{
	my ($bytes, @options) = @_;
	my $input = private_file('tls-input', $bytes);

	return scalar `openssl s_client -connect 127.0.0.1:$server->{port} -servername localhost -verify_hostname localhost -CAfile $cert -verify_return_error -ign_eof @options <$input 2>&1`;
}

$server = start_http($node, tls => 1, arguments => [ "--tls-cert=$cert", "--tls-key=$key_file", '--idle-timeout=20s' ]);
my $request = "POST /v1/audit/tls-1/replay HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-API-Key: $key\r\n\r\n";
wait_until(sub { my $said = over_tls("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); return (scalar($said =~ /HTTP\/1\.1 200 OK/), $said) },
	'it is ready, over TLS');
records('tls', 10);
$connection = $server->connect;    # says nothing, and keeps nobody
foreach my $version ('1.2', '1.3')
{
	my $option = '-tls' . $version =~ tr/./_/r;

	like(over_tls($request =~ s/tls-1/$version eq '1.2' ? 'tls-1' : 'tls-2'/er, $option), qr/TLSv$version.*HTTP\/1\.1 200 OK\r\n.*"success" : true/s, "TLS $version");
}
# That openssl itself could speak it shows in what it has sent.
my $refused = over_tls($request, '-tls1_1', '-cipher', 'DEFAULT:@SECLEVEL=0');
like($refused, qr/written [1-9]\d* bytes.*Cipher is \(NONE\)/s, 'TLS 1.1 is refused');
unlike($refused, qr/HTTP\/1\.1 \d/, '… and nothing answered');
is(replayed('tls'), '2 at most 1', 'each was done once');
$other = $server->connect;
$other->send($request);
ok($other->is_closed(60), 'HTTP without TLS is not answered');
$other = $server->connect;
$other->send("\x16\x03\x01\x02\x00\x01" . "\xff" x 600);
ok($other->is_closed(60), 'nor is nonsense');
like(over_tls($request =~ s/tls-1/tls-3/r, '-tls1_3'), qr/HTTP\/1\.1 200 OK/, 'others are served');
is($server->stop, 0, 'it ends in good order') or diag($server->log);
foreach my $case (
	[ 'the key of another certificate', qr/the key does not belong to the certificate/, $cert, $wrong_key ],
	[ 'no key', qr/--tls-key contains no private key/, $cert, $cert ],
	[ 'no certificate', qr/--tls-cert contains no certificate/, $key_file, $key_file ])
{
	my ($name, $why, @files) = @$case;
	my ($out, $err) = ('', '');
	my $status = IPC::Run::run([ Http::Server::program(), '--listen=127.0.0.1:0', "--tls-cert=$files[0]", "--tls-key=$files[1]" ], '>', \$out, '2>', \$err)
		? 0 : $? >> 8;

	is($status, 1, "$name: it does not begin") or diag($err);
	like($err, $why, '… and says why');
}

done_testing();
