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

# Two attempts: what is counted once is delivered, what is always counted ends dead.
my $node = new_relay_server('answers', conf => "acteon_replay.max_attempts = 2\n");
my $gateway = start_gateway();
my $redirect = { Location => $gateway->url . '/elsewhere' };
my $own = { error => 'lock acquisition failed' };

# Answers that prove nothing, and answers that never come: the action may have been
# executed.  It is sent once, and then in doubt.
my %doubts = (
	'500 of a proxy' => [ { status => 500, text => 'oops' }, qr/500: oops/ ],
	'500 of another type' => [ { status => 500, text => '{"error": "x"}', headers => { 'Content-Type' => 'text/html' } }, qr/500: x/ ],
	'500 with more in it' => [ { status => 500, text => '{"error": "x", "trace": 1}' }, qr/500: x/ ],
	'502 that is not JSON' => [ { status => 502, text => '<html>Bad Gateway</html>' }, qr/502/ ],
	'502 after effect' => [ { status => 502, body => $own, effect => JSON::PP::true }, qr/502: lock/ ],
	'503' => [ { status => 503 }, qr/503/ ],
	'504' => [ { status => 504 }, qr/504/ ],
	'201' => [ { status => 201, effect => JSON::PP::true }, qr/201/ ],
	'202' => [ { status => 202 }, qr/202/ ],
	'204' => [ { status => 204, text => '' }, qr/204/ ],
	'302' => [ { status => 302, headers => $redirect }, qr/302/ ],
	'307' => [ { status => 307, headers => $redirect }, qr/307/ ],
	'418' => [ { status => 418 }, qr/418/ ],
	'reset' => [ { reset => 'body' }, qr/./ ],
	'reset after effect' => [ { reset => 'body', effect => JSON::PP::true }, qr/./ ],
	'hung up without an answer' => [ { raw => '' }, qr/./ ],
	'time-out' => [ { delay_ms => 4000, effect => JSON::PP::false }, qr/time-out/ ],
	'time-out after effect' => [ { delay_ms => 4000, effect => JSON::PP::true }, qr/time-out/ ],
	'drip' => [ { drip_ms => 300, effect => JSON::PP::false }, qr/time-out/ ],
	'half a head' => [ { half => 'head' }, qr/./ ],
	'half a body' => [ { half => 'body' }, qr/./ ],
	'not HTTP' => [ { raw => "SSH-2.0-OpenSSH_9.2\r\n" }, qr/./ ],
	'not JSON' => [ { text => 'it works!' }, qr/JSON/ ],
	'a number and a zero byte' => [ { text => "{\"Executed\": {\"n\": 1\0}}" }, qr/not JSON: / ],
	'empty' => [ { text => '' }, qr/JSON/ ],
	'2 MiB' => [ { size => 2 * 1024 * 1024 }, qr/MiB/ ]);
# Answers that are final: state, what the outcome is, what the error is like.
my %final = (
	'Executed' => [ {}, 'delivered', '{"Executed": {"body": {"accepted": true}, "status": "success", "headers": {}}}' ],
	'Failed' => [
		{ body => { Failed => { code => 'E', message => 'm', retryable => JSON::PP::true, attempts => 3 } } }, 'delivered',
		'{"Failed": {"code": "E", "message": "m", "attempts": 3, "retryable": true}}'
	],
	'Deduplicated' => [ { text => '"Deduplicated"' }, 'delivered', '"Deduplicated"' ],
	'Umlaute' => [ { text => '{"Suppressed": {"rule": "\u00fcber"}}' }, 'delivered', '{"Suppressed": {"rule": "' . "\x{fc}" . 'ber"}}' ],
	'1 MiB, nearly' => [ { size => 1024 * 1024 - 100 }, 'delivered' ],
	'chunked' => [ { chunked => JSON::PP::true }, 'delivered' ],
	'Connection: close' => [ { headers => { Connection => 'close' } }, 'delivered' ],
	'hung up after the answer' => [ { hang_up => JSON::PP::true }, 'delivered' ],
	'an outcome that jsonb cannot store' => [ { text => '{"Failed": {"message": "a\u0000b"}}' }, 'delivered', qr/unstorable/ ],
	'numbers that no double holds' => [
		{ text => '{"Executed":{"body":[1e400,18446744073709551616,0.10,123456789012345678901.50,{"a":1,"a":2}]}}' }, 'delivered',
		'{"Executed": {"body": [1' . '0' x 400 . ', 18446744073709551616, 0.10, 123456789012345678901.50, {"a": 2}]}}'
	],
	'half a surrogate pair' => [ { text => '{"Failed": {"message": "\ud800"}}' }, 'delivered', qr/unstorable.*ud800/ ],
	'a key that jsonb cannot store' => [ { text => '{"Executed": {"a\u0000b": 1}}' }, 'delivered', qr/unstorable/ ],
	'a number that jsonb cannot store' => [ { text => '{"Executed": {"n": 1e200000}}' }, 'delivered', qr/unstorable.*1e200000/ ],
	'400' => [ { status => 400, body => { error => 'unknown provider "fax"' } }, 'dead', undef, qr/^400: .*unknown provider "fax"/ ],
	'400 that is not JSON' => [ { status => 400, text => "a\0b\xff\n" . 'x' x 2000 }, 'dead', undef, qr/^400: .{10,600}$/s ],
	'413' => [ { status => 413 }, 'dead', undef, qr/413/ ],
	'415' => [ { status => 415, text => 'Expected request with `Content-Type: application/json`' }, 'dead', undef, qr/^415: Expected/ ],
	'422' => [ { status => 422 }, 'dead', undef, qr/^422: .*told to answer 422/ ]);
# A fault that the gateway itself tells of: nothing was executed.  It is answered once
# to the one, and always to the other.  With replay protection its id is burnt, which
# takes a request more to find out.
my %counted = ('500/once' => [ qr/^delivered [23]$/, undef ], '500/always' => [ qr/^dead [23]$/, qr/^500: lock acquisition failed$/ ]);

sub rules_of_answers
{
	my @rules;

	push @rules, { match => { action_type => $_ }, answer => $doubts{$_}[0] } foreach sort keys %doubts;
	push @rules, { match => { action_type => '500/once', attempt => 1 }, answer => { status => 500, body => $own } };
	push @rules, { match => { action_type => '500/always' }, answer => { status => 500, body => $own } };
	push @rules, map { { match => { action_type => $_ }, answer => $final{$_}[0] } } grep { %{ $final{$_}[0] } } sort keys %final;
	return @rules;
}

# What became of the actions of a type: state, attempts, outcome and error.
sub fate
{
	my ($type) = @_;
	my $text = $node->safe_psql('postgres', qq{
		SELECT json_build_object('id', o.action_id, 'state', coalesce(d.state, CASE WHEN s.doubt IS NOT NULL THEN 'in doubt' ELSE 'waiting' END),
			'attempts', coalesce(d.attempts, s.attempt), 'outcome', d.outcome::text, 'error', coalesce(d.error, s.doubt))
		FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
			LEFT JOIN acteon_dispatch_segment AS s ON o.id BETWEEN s.first_id AND s.last_id WHERE o.action_type = '$type'});

	return $text eq '' ? {} : decode_json($text);
}

# How many actions have not ended, and how many of them are in doubt.
sub unfinished
{
	return split /\|/, $node->safe_psql('postgres', 'SELECT depth, in_doubt FROM acteon_outbox_stats');
}

my @types = (sort(keys %doubts), sort(keys %counted), sort(keys %final));
my $types = join(', ', map { "\$\$$_\$\$" } @types);

$gateway->rules(rules_of_answers());
enqueue($node, count => scalar @types, action_type => "(ARRAY[$types])[n]");
# A bound so high that as many faults at once are no outage.
my $relay = start_relay($node, $gateway, '--concurrency', 128);
# What is looked up is in doubt for a moment, too.
wait_until(sub { my ($left, $doubts) = unfinished(); return ($left == keys %doubts && $doubts == $left, "$left unfinished, $doubts in doubt") },
	'all of them end, or are in doubt', 120);
my $seen = $gateway->actions;
foreach my $name (sort keys %doubts)
{
	my ($answer, $error) = @{ $doubts{$name} };
	my $fate = fate($name);

	is("$fate->{state} $fate->{attempts}", 'in doubt 1', "$name: in doubt");
	like($fate->{error}, $error, "$name: says why");
	cmp_ok(length($fate->{error} // ''), '<=', 1000, "$name: in short");
	is($seen->{ $fate->{id} }{requests}, 1, "$name: was sent once, also by the library that sends");
}
foreach my $name (sort keys %counted)
{
	my ($state, $error) = @{ $counted{$name} };
	my $fate = fate($name);

	like("$fate->{state} $fate->{attempts}", $state, "$name: counts as an attempt");
	like($fate->{error} // '', $error // qr/^$/, "$name: error");
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
# What is in doubt is not what the rest is about.
$node->safe_psql('postgres', q{SELECT acteon_replay_settle(batch_id, 'cancel', 'test') FROM acteon_replay_batches WHERE in_doubt > 0});

# A delay that the gateway asks for is kept, and is not counted as an attempt:
# three of them are more than there are attempts.
my %delays = (
	'429 with seconds' => [ { status => 429, retry_after => 1 }, 0.9 ],
	'429 without a delay' => [ { status => 429 }, 0.9 ],
	# A date has no fraction of a second, so up to one is cut off.
	'429 with a date' => [ { status => 429, retry_after_date => 2 }, 0.9 ]);
foreach my $name (sort keys %delays)
{
	my ($answer, $least) = @{ $delays{$name} };

	$gateway->reset;
	$gateway->rules({ match => { action_type => $name, attempt => [ 1, 2, 3 ] }, answer => $answer });
	enqueue($node, action_type => "\$\$$name\$\$");
	wait_until(sub { my ($left) = unfinished(); return ($left == 0, "$left unfinished") }, "$name: is over", 60);
	my $fate = fate($name);
	is($fate->{state}, 'delivered', "$name: delivered, whatever the number of attempts");
	# Its ids may have changed meanwhile: those that were refused are burnt.
	my @log = sort { $a->[0] <=> $b->[0] } map { @{ $_->{log} } } values %{ $gateway->actions };
	my @delayed = grep { ($_->[2] // 0) == 429 } @log;
	cmp_ok(scalar @delayed, '>=', 2, "$name: was refused more than once");
	foreach my $n (0 .. $#delayed)
	{
		my ($next) = grep { $_->[0] > $delayed[$n][0] } @log;

		cmp_ok($next->[0] - $delayed[$n][1], '>=', $least, "$name: the delay was kept");
		cmp_ok($next->[0] - $delayed[$n][1], '<=', 15, "$name: … and not much more");
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

# A connection that is reset before the request is read.  Whether it was is known
# to nobody but the gateway, if it was written.
foreach my $reset (qw(head connect))
{
	$gateway->reset;
	$gateway->rules({ limit => 1, answer => { reset => $reset } });
	enqueue($node, name => "$reset-", action_type => qq{'$reset'});
	wait_until(sub { my ($left, $doubts) = unfinished(); return ($left == $doubts, "$left unfinished, $doubts in doubt") }, "reset at $reset: is over", 30);
	like(fate($reset)->{state}, qr/^(delivered|in doubt)$/, "reset at $reset: delivered or in doubt");
	cmp_ok($gateway->stats->{requests}, '<=', 1, "reset at $reset: … and not sent again");
}
$node->safe_psql('postgres', q{SELECT acteon_replay_settle(batch_id, 'cancel', 'test') FROM acteon_replay_batches WHERE in_doubt > 0});

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
