# What the relay makes of each answer of the gateway.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Relay;

# Two attempts: what fails once is delivered, what always fails ends dead.
my $node = new_relay_server('answers', conf => "acteon_replay.max_attempts = 2\n");
my $gateway = start_gateway();
my $redirect = { Location => $gateway->url . '/elsewhere' };

# Faults of the gateway: each is answered once to the action type <name>/once,
# and always to <name>/always.
my %faults = (
	'500' => [ { status => 500 }, qr/500/ ],
	'500 with effect' => [ { status => 500, effect => JSON::PP::true }, qr/500/ ],
	'502 that is not JSON' => [ { status => 502, text => '<html>Bad Gateway</html>' }, qr/502/ ],
	'503 without a delay' => [ { status => 503 }, qr/503/ ],
	'202' => [ { status => 202 }, qr/202/ ],
	'302' => [ { status => 302, headers => $redirect }, qr/302/ ],
	'307' => [ { status => 307, headers => $redirect }, qr/307/ ],
	'reset' => [ { reset => 'body' }, qr/./ ],
	'reset after effect' => [ { reset => 'body', effect => JSON::PP::true }, qr/./ ],
	'hung up without an answer' => [ { raw => '' }, qr/./ ],
	'time-out' => [ { delay_ms => 4000, effect => JSON::PP::false }, qr/time/i ],
	'time-out after effect' => [ { delay_ms => 4000, effect => JSON::PP::true }, qr/time/i ],
	'drip' => [ { drip_ms => 300, effect => JSON::PP::false }, qr/time/i ],
	'half a head' => [ { half => 'head' }, qr/./ ],
	'half a body' => [ { half => 'body' }, qr/./ ],
	'not HTTP' => [ { raw => "SSH-2.0-OpenSSH_9.2\r\n" }, qr/./ ],
	'not JSON' => [ { text => 'it works!' }, qr/JSON/ ],
	'empty' => [ { text => '' }, qr/JSON/ ],
	'2 MiB' => [ { size => 2 * 1024 * 1024 }, qr/MiB|large|long|bytes/i ]);
# Answers that are final: state, what the outcome is, what the error is like.
my %final = (
	'Executed' => [ {}, 'delivered', '{"Executed": {"body": {"accepted": true}, "status": "success", "headers": {}}}' ],
	'Failed' => [
		{ body => { Failed => { code => 'E', message => 'm', retryable => JSON::PP::true, attempts => 3 } } }, 'delivered',
		'{"Failed": {"code": "E", "message": "m", "attempts": 3, "retryable": true}}'
	],
	'Deduplicated' => [ { text => '"Deduplicated"' }, 'delivered', '"Deduplicated"' ],
	'Throttled' => [ { body => { Throttled => { retry_after => { secs => 1, nanos => 0 } } } }, 'delivered', '{"Throttled": {"retry_after": {"secs": 1, "nanos": 0}}}' ],
	'Umlaute' => [ { text => '{"Suppressed": {"rule": "\u00fcber"}}' }, 'delivered', '{"Suppressed": {"rule": "' . "\x{fc}" . 'ber"}}' ],
	'1 MiB, nearly' => [ { size => 1024 * 1024 - 100 }, 'delivered' ],
	'chunked' => [ { chunked => JSON::PP::true }, 'delivered' ],
	'Connection: close' => [ { headers => { Connection => 'close' } }, 'delivered' ],
	'hung up after the answer' => [ { hang_up => JSON::PP::true }, 'delivered' ],
	'an outcome that jsonb cannot store' => [ { text => '{"Failed": {"message": "a\u0000b"}}' }, 'delivered', qr/unstorable/ ],
	'409' => [ { status => 409 }, 'delivered', '{"AlreadyDispatched": {"error": "told to answer 409"}}' ],
	'400' => [ { status => 400, body => { error => 'unknown provider "fax"' } }, 'dead', undef, qr/^400: .*unknown provider "fax"/ ],
	'400 that is not JSON' => [ { status => 400, text => "a\0b\xff\n" . 'x' x 2000 }, 'dead', undef, qr/^400: .{10,600}$/s ],
	'413' => [ { status => 413 }, 'dead', undef, qr/413/ ],
	'422' => [ { status => 422 }, 'dead', undef, qr/^422: .*told to answer 422/ ]);

sub faults
{
	my @rules;

	foreach my $name (sort keys %faults)
	{
		push @rules, { match => { action_type => "$name/once", attempt => 1 }, answer => $faults{$name}[0] };
		push @rules, { match => { action_type => "$name/always" }, answer => $faults{$name}[0] };
	}
	push @rules, map { { match => { action_type => $_ }, answer => $final{$_}[0] } } sort keys %final;
	return @rules;
}

# What became of the actions of a type: state, attempts, outcome and error.
sub fate
{
	my ($type) = @_;
	my $text = $node->safe_psql('postgres', qq{
		SELECT json_build_object('id', o.action_id, 'state', d.state, 'attempts', d.attempts, 'outcome', d.outcome::text, 'error', d.error)
		FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id WHERE o.action_type = '$type'});

	return $text eq '' ? {} : decode_json($text);
}

sub unfinished
{
	return $node->safe_psql('postgres', 'SELECT depth FROM acteon_outbox_stats');
}

my @types = ((map { ("$_/once", "$_/always") } sort keys %faults), sort keys %final);
my $types = join(', ', map { "\$\$$_\$\$" } @types);

$gateway->rules(faults());
enqueue($node, count => scalar @types, action_type => "(ARRAY[$types])[n]");
# Concurrency so high that as many faults at once are no outage.
my $relay = start_relay($node, $gateway, '--concurrency', 128);
wait_until(sub { my $left = unfinished(); return ($left == 0, "$left unfinished") }, 'all of them end', 120);
my $seen = $gateway->actions;
foreach my $name (sort keys %faults)
{
	my ($answer, $error) = @{ $faults{$name} };
	my $effect = $answer->{effect} ? 1 : 0;
	my $fate = fate("$name/once");

	is("$fate->{state} $fate->{attempts}", 'delivered 2', "$name, once: delivered by the second attempt");
	is($seen->{ $fate->{id} }{effects}, 1, "$name, once: took effect once");
	like($fate->{outcome}, $effect ? qr/AlreadyDispatched/ : qr/Executed/, "$name, once: outcome");
	is($fate->{error}, undef, "$name, once: no error");
	$fate = fate("$name/always");
	is("$fate->{state} $fate->{attempts}", 'dead 2', "$name, always: ends dead by the last attempt");
	like($fate->{error}, $error, "$name, always: says why");
	cmp_ok(length($fate->{error} // ''), '<=', 1000, "$name, always: in short");
	# libcurl itself sends a request again, up to five times, if a connection
	# that was used before ends without a byte of an answer.
	my $requests = $seen->{ $fate->{id} }{requests};
	my $most = $name =~ /reset|without an answer/ ? 12 : 2;
	ok($requests >= 2 && $requests <= $most, "$name, always: was sent twice") or diag("sent $requests times");
}
foreach my $name (sort keys %final)
{
	my (undef, $state, $outcome, $error) = @{ $final{$name} };
	my $fate = fate($name);

	is("$fate->{state} $fate->{attempts}", "$state 1", "$name: $state by the first attempt");
	is($seen->{ $fate->{id} }{requests}, 1, "$name: was sent once");
	if (ref $outcome)
	{
		like($fate->{outcome}, $outcome, "$name: outcome");
	}
	elsif (defined $outcome)
	{
		is($fate->{outcome}, $outcome, "$name: outcome");
	}
	like($fate->{error} // '', $error // qr/^$/, "$name: error");
}
$gateway->has_no_violations('no redirect was followed, and every request was right');
outbox_is_sound($node, 'after all of them');

# A delay that the gateway asks for is kept, and is not counted as an attempt:
# three of them are more than there are attempts.
my %delays = (
	'429 with seconds' => [ { status => 429, retry_after => 1 }, 0.9 ],
	'429 without a delay' => [ { status => 429 }, 0.9 ],
	'503 with seconds' => [ { status => 503, retry_after => 1 }, 0.9 ],
	# A date has no fraction of a second, so up to one is cut off.
	'429 with a date' => [ { status => 429, retry_after_date => 2 }, 0.9 ],
	'503 with a date' => [ { status => 503, retry_after_date => 2 }, 0.9 ]);
foreach my $name (sort keys %delays)
{
	my ($answer, $least) = @{ $delays{$name} };

	$gateway->reset;
	$gateway->rules({ match => { action_type => $name, attempt => [ 1, 2, 3 ] }, answer => $answer });
	enqueue($node, action_type => "\$\$$name\$\$");
	wait_until(sub { my $left = unfinished(); return ($left == 0, "$left unfinished") }, "$name: is over", 60);
	my $fate = fate($name);
	is("$fate->{state} $fate->{attempts}", 'delivered 1', "$name: delivered, and only the last attempt counts");
	my @log = @{ ($gateway->actions->{ $fate->{id} } // { log => [] })->{log} };
	is(scalar @log, 4, "$name: was sent four times");
	foreach my $n (1 .. $#log)
	{
		cmp_ok($log[$n][0] - $log[ $n - 1 ][1], '>=', $least, "$name: the delay was kept");
		cmp_ok($log[$n][0] - $log[ $n - 1 ][1], '<=', 15, "$name: … and not much more");
	}
}
outbox_is_sound($node, 'after the delays');

# While the gateway asks for a delay, nothing else is sent either.
$gateway->reset;
$gateway->rules({ limit => 1, answer => { status => 429, retry_after => 3 } });
enqueue($node, name => 'first-');
wait_until(sub { my $n = $gateway->stats->{answers}{429} // 0; return ($n == 1, "$n answers of 429") }, 'it is told to wait');
enqueue($node, name => 'second-', count => 5);
all_delivered_but_dead('a delay passes', 60);
my @begun = sort { $a <=> $b } map { $_->[0] } map { @{ $_->{log} } } values %{ $gateway->actions };
cmp_ok($begun[1] - $begun[0], '>=', 2.9, 'nobody was sent while it was asked to wait');

# Test that only what died above is not delivered.
sub all_delivered_but_dead
{
	my ($description, $seconds) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_for_sql($node, q{
		SELECT count(*) FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
		WHERE d.state IS DISTINCT FROM 'delivered' AND o.action_type = 'send_email'}, '0', $description, $seconds);
}

# What an outage must not do: use up the attempts.
sub attempts
{
	my ($prefix) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT DISTINCT d.state || ' ' || d.attempts FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
		WHERE o.original_action_id LIKE '$prefix%' ORDER BY 1});
}

# A connection that is reset before the request is read.
foreach my $reset (qw(head connect))
{
	$gateway->rules({ limit => 1, answer => { reset => $reset } });
	enqueue($node, name => "$reset-");
	all_delivered_but_dead("reset at $reset: delivered", 30);
}

# Wrong credentials: nothing is lost, nothing dies, no attempt is counted, and it
# goes on by itself, when the gateway takes the key or when the file has the right one.
my $dead = $node->safe_psql('postgres', 'SELECT dead FROM acteon_outbox_stats');
foreach my $case (qw(401 file 403 404))
{
	$gateway->reset;
	$gateway->rules($case =~ /^40[34]/ ? { answer => { status => $case + 0 } } : ());
	$gateway->control(key => 'another-key') if $case =~ /401|file/;
	enqueue($node, name => "refused-$case-", count => 300);
	my $said = $case eq 'file' ? 401 : $case;
	wait_until(sub { my $log = $relay->log; return (scalar(grep { /error/ && /\b$said\b/ } split(/\n/, $log)) == ($case eq 'file' ? 2 : 1), $log) },
		"$case: it says so, once");
	wait_for_sql($node, 'SELECT depth, leased, dead FROM acteon_outbox_stats', "300|0|$dead", "$case: all are given back, none is dead");
	# The first forbidden ones could be the actions' own fault.
	cmp_ok($node->safe_psql('postgres', 'SELECT sum((last_id - first_id + 1) * attempt) FROM acteon_dispatch_segment'), '<=', $case eq '403' ? 4 : 0, "$case: no attempt is counted");
	my $before = $gateway->stats;
	cmp_ok($before->{unauthorized} + $before->{requests}, '<=', 64 * 2, "$case: it stops sending");
	outbox_is_sound($node, "$case: no invariant is broken");
	$gateway->rules();
	if ($case eq 'file')
	{
		private_file((split m{/}, $relay->{key_file})[-1], "another-key\n");
	}
	else
	{
		$gateway->control(key => 'test-key');
	}
	all_delivered_but_dead("$case: it goes on by itself", 90);
	like(attempts("refused-$case-"), $case eq '403' ? qr/^delivered 1(\ndelivered 2)?$/ : qr/^delivered 1$/, "$case: one attempt each");
	if ($case eq 'file')
	{
		$gateway->control(key => 'test-key');
		private_file((split m{/}, $relay->{key_file})[-1], "test-key\n");
		$relay->signal('HUP');
	}
}
$gateway->has_no_violations;
is($relay->stop, 0, 'the relay ends in good order');

# A URL that leads elsewhere.
$gateway->reset;
$relay = start_relay($node, undef, '--gateway-url', $gateway->url . '/nowhere', '--api-key-file', private_file('key', "test-key\n"));
enqueue($node, name => 'elsewhere-', count => 150);
$relay->says(qr/error.*404/, 'a wrong URL: it says so');
wait_for_sql($node, 'SELECT depth, leased FROM acteon_outbox_stats', '150|0', 'a wrong URL: all are given back');
is($gateway->stats->{requests}, 0, 'a wrong URL: nothing was dispatched');
is($relay->stop, 0, 'a wrong URL: the relay ends in good order');
wait_for_sql($node, 'SELECT due FROM acteon_outbox_stats', 150, 'a wrong URL: all are due again');
# A URL with a path in front, and a slash too many at the end.
$gateway->control(prefix => '/acteon');
$gateway->reset;
my ($status, $log) = run_relay($node, undef, '--drain', '--gateway-url', $gateway->url . '/acteon/', '--api-key-file', private_file('key', "test-key\n"));
is($status, 0, 'a URL with a path in front') or diag($log);
is($gateway->stats->{effects}, 150, '… leads to the gateway');
$gateway->has_no_violations;
$gateway->control(prefix => '');

# Nobody listens: the attempts of the backlog are not used up.
$gateway->stop;
$relay = start_relay($node, $gateway);
enqueue($node, name => 'down-', count => 500);
$relay->says(qr/unavailable/, 'nobody listens: it says so');
wait_for_sql($node, 'SELECT depth, leased FROM acteon_outbox_stats', '500|0', 'nobody listens: all are given back');
is($node->safe_psql('postgres', 'SELECT count(*) > 400 FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_segment AS s ON o.id BETWEEN s.first_id AND s.last_id WHERE s.attempt = 0'),
	't', 'nobody listens: most have not been tried');
outbox_is_sound($node, 'nobody listens: no invariant is broken');
$gateway->start;
all_delivered_but_dead('it goes on by itself', 90);
$relay->says(qr/gateway is back/, '… and says so');
my $stats = $gateway->stats;
is("$stats->{effects} $stats->{ids_with_effects}", '500 0', 'each took effect once');
$gateway->has_no_violations;
is($relay->stop, 0, 'the relay ends in good order');
is($gateway->stop, 0, 'and so does the stub');
outbox_is_sound($node, 'at the end');

done_testing();
