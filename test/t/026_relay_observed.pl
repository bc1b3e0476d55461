# What a relay lets others see: log, metrics, and never a key; and payloads that
# are sealed.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Relay;

my $api_key = 'SECRET-api-key-7f3a';
my %payload_keys = (k0 => '5ec0' x 16, k1 => '5ec1' x 16, k2 => '5ec2' x 16, k9 => '5ec9' x 16);
my $node = new_relay_server('observed', conf => "log_statement = all\nlog_min_duration_statement = 0\nacteon_replay.max_attempts = 2\n");
my $gateway = start_gateway(key => $api_key);
my $directory = PostgreSQL::Test::Utils::tempdir();
my $metrics_file = "$directory/acteon.prom";
my $serial = 0;

# Seal a JSON text; returns the JSON string that the audit table has.
sub seal
{
	my ($text, $key, @arguments) = @_;
	my $sealed = '';

	IPC::Run::run([ 'python3', "$FindBin::RealBin/../gateway/seal.py", $payload_keys{$key}, @arguments ], '<', \$text, '>', \$sealed)
		or die 'could not seal';
	return encode_json([$sealed]) =~ s/^\[(.*)\]$/$1/sr;
}

# The samples of a metrics file by name and labels; dies if it is not well-formed.
sub metrics
{
	my ($text) = @_;
	my (%samples, %type);

	die 'it does not end with a newline' if $text !~ /\n\z/;
	foreach my $line (split /\n/, $text)
	{
		if ($line =~ /^# TYPE (\w+) (counter|gauge|histogram)$/)
		{
			die "two types: $line" if $type{$1};
			$type{$1} = $2;
		}
		elsif ($line =~ /^([a-z0-9_]+)((?:\{(?:[a-z0-9_]+="(?:[^"\\\n]|\\["\\n])*",?)+\})?) (-?[0-9.]+(?:e[+-]?\d+)?|\+Inf|NaN)$/)
		{
			my ($name, $labels, $value) = ($1, $2, $3);
			my $family = $name =~ s/_(?:bucket|sum|count)$//r;

			die "twice: $line" if exists $samples{"$name$labels"};
			die "no type: $line" if !$type{$name} && ($type{$family} // '') ne 'histogram';
			die "a counter is called ..._total: $line" if ($type{$name} // '') eq 'counter' && $name !~ /_total$/;
			$samples{"$name$labels"} = $value;
		}
		elsif ($line !~ /^# HELP \w+ \S/)
		{
			die "no metrics line: $line";
		}
	}
	return \%samples;
}

# A relay at work, with everything that a key may slip into.
my $keys = private_file('payload-keys', join('', "# the gateway's keys\n\n", map { "$_:$payload_keys{$_}\n" } qw(k1)) . "$payload_keys{k0}\n");
my $more_keys = private_file('more-payload-keys', 'k2:' . do { require MIME::Base64; MIME::Base64::encode_base64(pack('H*', $payload_keys{k2}), '') } . "\n");
$gateway->control(digest_payloads => 1);
$gateway->rules({ match => { action_type => 'failing' }, answer => { status => 500, body => { error => 'a "quoted" line' . "\n" . 'and = another' } } },
	{ match => { action_type => 'bad' }, answer => { status => 400 } },
	{ match => { action_type => 'slow' }, answer => { delay_ms => 300 } });
my $relay = start_relay($node, $gateway, '--log-level', 'debug', '--metrics-file', $metrics_file, '--payload-key-file', $keys, '--payload-key-file', $more_keys);
enqueue($node, name => 'plain-', count => 50);
enqueue($node, name => 'mixed-', count => 9, action_type => q{(ARRAY['failing', 'bad', 'slow'])[1 + n % 3]});

# Sealed payloads: what is inside, how it is sealed, and what the gateway gets or
# what the error says.
my @sealed = (
	[ 'a known key', '{"to": "a@example.com", "n": [1, 2.50, null]}', 'k1', [ '--kid', 'k1' ], undef ],
	[ 'a key in base64', '{"to": "ü"}', 'k2', [ '--kid', 'k2' ], undef ],
	[ 'no kid is k0', '"just text"', 'k0', [], undef ],
	[ 'k0 by name', '[]', 'k0', [ '--kid', 'k0' ], undef ],
	[ 'a large one', '{"text": "' . 'x' x 50_000 . '"}', 'k1', [ '--kid', 'k1' ], undef ],
	[ 'an unknown key', '{}', 'k9', [ '--kid', 'k9' ], qr/k9/ ],
	[ 'the wrong key', '{}', 'k9', [ '--kid', 'k1' ], qr/k1/ ],
	[ 'a wrong tag', '{}', 'k1', [ '--kid', 'k1', '--break-tag' ], qr/k1/ ],
	[ 'no JSON inside', 'SECRET {', 'k1', [ '--kid', 'k1' ], qr/JSON/ ],
	[ 'two JSON texts inside', '{} {}', 'k1', [ '--kid', 'k1' ], qr/JSON/ ],
	[ 'another action inside', '{}, "id": "x"', 'k1', [ '--kid', 'k1' ], qr/JSON/ ],
	[ 'nothing inside', '', 'k1', [ '--kid', 'k1' ], qr/JSON|empty/ ]);
my @malformed = ('ENC[AES256-GCM,', 'ENC[AES256-GCM,]', 'ENC[AES256-GCM,data:,iv:,tag:]',
	'ENC[AES256-GCM,kid:k1,data:!!,iv:AAAAAAAAAAAAAAAA,tag:AAAAAAAAAAAAAAAAAAAAAA==]', 'ENC[AES256-GCM,kid:k1,data:AA==,iv:AAAA,tag:AAAAAAAAAAAAAAAAAAAAAA==]',
	'ENC[AES256-GCM,kid:k1,data:AA==,iv:AAAAAAAAAAAAAAAA,tag:AAAA]', 'ENC[AES256-GCM,kid:k1,data:AA==,iv:AAAAAAAAAAAAAAAA,tag:AAAAAAAAAAAAAAAAAAAAAA==');
my @payloads = ((map { seal($_->[1], $_->[2], @{ $_->[3] }) } @sealed), map { qq{"$_"} } @malformed);
my $payloads = join(', ', map { "'$_'" } @payloads);
enqueue($node, name => 'sealed-', count => scalar @payloads, payload => "(ARRAY[$payloads]::jsonb[])[n]", action_type => q{'sealed ' || n});
# Not sealed, though it looks like it: inside of another value, or of a label, or
# with another start.
my @unsealed = ('{"payload": "ENC[AES256-GCM,data:]"}', '["ENC["]', '"not ENC["', '"ENC["', '"ENC[]"', '"ENC[AES256-GCM]"', '"enc[AES256-GCM,"',
	'"ENC[AES128-CBC,kid:k1,data:AA==,iv:AAAAAAAAAAAAAAAA,tag:AAAAAAAAAAAAAAAAAAAAAA==]"');
my $unsealed = join(', ', map { "'$_'" } @unsealed);
enqueue($node, name => 'looks-sealed-', count => scalar @unsealed, metadata => q{'{"label": ", \"payload\": \"ENC[AES256-GCM]\""}'},
	payload => "(ARRAY[$unsealed]::jsonb[])[n]");
wait_for_sql($node, 'SELECT depth FROM acteon_outbox_stats', 0, 'all of them end', 60);

# Id, state, attempts and error of the action of a type.
sub fate
{
	my ($type) = @_;

	return split /\|/, $node->safe_psql('postgres', qq{
		SELECT o.action_id, d.state, d.attempts, d.error FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
		WHERE o.action_type = '$type'});
}
my $seen = $gateway->actions;
foreach my $n (1 .. @sealed)
{
	my ($name, $text, undef, undef, $expected) = @{ $sealed[ $n - 1 ] };
	my ($id, $state, $attempts, $error) = fate("sealed $n");

	if ($expected)
	{
		is("$state $attempts", 'dead 1', "sealed, $name: ends dead at once");
		like($error, $expected, "sealed, $name: says why");
		unlike($error, qr/SECRET/, "sealed, $name: … and not more");
		ok(!$seen->{$id}, "sealed, $name: is not sent");
	}
	else
	{
		is("$state $attempts", 'delivered 1', "sealed, $name: delivered") or diag($error);
		is($seen->{$id}{payload_digest}, payload_digest($text), "sealed, $name: the gateway gets what is inside");
	}
}
foreach my $n (1 .. @malformed)
{
	my ($id, $state, $attempts, $error) = fate('sealed ' . ($n + @sealed));

	is("$state $attempts", 'dead 1', "$malformed[$n - 1]: ends dead at once");
	like($error, qr/./, "$malformed[$n - 1]: says why");
	ok(!$seen->{$id}, "$malformed[$n - 1]: is not sent");
}
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
	WHERE o.original_action_id LIKE 'looks-sealed-%' AND d.state = 'delivered'}), scalar @unsealed, 'what only looks sealed is delivered');
$gateway->has_no_violations;

# Metrics while it runs, and at its end.
my $metrics;
wait_until(
	sub {
		$metrics = -e $metrics_file ? metrics(slurp_file($metrics_file)) : {};
		return (($metrics->{acteon_relay_dead_total} // 0) > 0 && $metrics->{acteon_relay_delivered_total} > 50, join(', ', %$metrics));
	},
	'the metrics file is well-formed, and follows', 30);
is($metrics->{acteon_relay_gateway_up}, 1, 'the gateway is up');
is($metrics->{acteon_relay_database_up}, 1, 'the database is up');

# A key is nowhere to be seen.
my @secrets = ($api_key, values %payload_keys, map { MIME::Base64::encode_base64(pack('H*', $_), '') } values %payload_keys);
sub no_secrets
{
	my ($text, $description) = @_;
	my @found = grep { index($text, $_) >= 0 } @secrets, 'SECRET {';

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is("@found", '', "no key in $description");
}
my $pid = $relay->{pid};
no_secrets(slurp_file("/proc/$pid/cmdline"), 'the command line');
no_secrets($node->safe_psql('postgres', q{SELECT string_agg(a::text, E'\n') FROM pg_stat_activity AS a}), 'pg_stat_activity');
no_secrets(slurp_file($metrics_file), 'the metrics');
like(slurp_file("/proc/$pid/limits"), qr/^Max core file size +0 +0 /m, 'there are no core dumps');
SKIP:
{
	skip 'a build with sanitizers keeps its memory open to them', 1 if Relay::Process::program() =~ /asan/;
	skip 'root may read it', 1 if $> == 0;
	ok(!open(my $memory, '<', "/proc/$pid/mem"), 'its memory is closed to others of its user');
}
is($relay->stop, 0, 'exit code 0');
no_secrets($relay->log, 'the log, even at level debug');
no_secrets(slurp_file($node->logfile), "the server's log");
no_secrets($node->safe_psql('postgres', q{SELECT string_agg(d::text, E'\n') FROM acteon_dispatch_delivery AS d}), 'the deliveries');
is(join(' ', glob "$metrics_file.*"), '', 'no temporary file is left');

# At the end the figures add up.
$metrics = metrics(slurp_file($metrics_file));
my $stats = $gateway->stats;
my ($delivered, $dead) = split /\|/, $node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE state = 'delivered'), count(*) FILTER (WHERE state = 'dead') FROM acteon_dispatch_delivery});
is($metrics->{acteon_relay_delivered_total}, $delivered, "$delivered delivered");
is($metrics->{acteon_relay_dead_total}, $dead, "$dead dead");
is($metrics->{acteon_relay_sent_total}, $stats->{requests}, "$stats->{requests} sent");
is($metrics->{qq{acteon_relay_answers_total{status="$_"}}}, $stats->{answers}{$_}, "answers of $_") foreach sort keys %{ $stats->{answers} };
is($metrics->{acteon_relay_in_flight}, 0, 'nothing in flight');
is($metrics->{acteon_relay_held}, 0, 'nothing held');
my ($infinity) = grep { /bucket.*le="\+Inf"/ } keys %$metrics;
my $histogram = $infinity =~ s/_bucket.*//r;
is($metrics->{$infinity}, $stats->{requests}, 'the histogram counts every request');
is($metrics->{"${histogram}_count"}, $stats->{requests}, '… and so does its count');
my @buckets = map { $metrics->{$_} } sort { ($a =~ /le="([^"]+)"/)[0] <=> ($b =~ /le="([^"]+)"/)[0] } grep { /^\Q$histogram\E_bucket/ && !/Inf/ } keys %$metrics;
is(scalar(grep { $buckets[$_] < $buckets[ $_ - 1 ] } 1 .. $#buckets), 0, '… and its buckets grow');
cmp_ok($buckets[0], '<', $stats->{requests}, '… from less than all');

# Every line of the log is an event with time, level and fields.
my $value = qr/"(?:[^"\\\n]|\\.)*"|[^\s"=]+/;
my @lines = split /\n/, $relay->log;
cmp_ok(scalar @lines, '>', 5, 'there is a log');
my @odd = grep { !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?:error|warning|info|debug) event="(?:[^"\\]|\\.)+"(?: [a-z_]+=$value)*$/ } @lines;
is(join("\n", @odd), '', 'every line of the log can be parsed');

# Under systemd the journal has the time; it wants the level in front.
{
	local $ENV{JOURNAL_STREAM} = '8:12345';
	my ($status, $log) = run_relay($node, $gateway, '--drain');
	is($status, 0, 'for the journal') or diag($log);
	my @strange = grep { !/^<[3467]>(?:error|warning|info|debug) event=/ } split /\n/, $log;
	is("@strange", '', '… every line begins with its level');
}

# Without any keys a sealed payload is rejected as well.
enqueue($node, name => 'no-keys-', payload => "'$payloads[0]'::jsonb", action_type => q{'no keys'});
my ($status, $log) = run_relay($node, $gateway, '--drain');
is($status, 1, 'no payload keys: exit code 1 as it ends dead');
like((fate('no keys'))[3], qr/k1/, 'no payload keys: the error names the key');
# A key that comes with SIGHUP.
my $late = private_file('late-keys', "k1:$payload_keys{k1}\n");
$relay = start_relay($node, $gateway, '--payload-key-file', $late);
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay'}, 2, 'it runs');
my $lines = () = $relay->log =~ /\n/g;
private_file('late-keys', "k1:$payload_keys{k1}\nk9:$payload_keys{k9}\n");
$relay->signal('HUP');
wait_until(sub { my $log = $relay->log; my $n = () = $log =~ /\n/g; return ($n > $lines, $log) }, 'SIGHUP is noticed');
enqueue($node, name => 'late-', payload => "'$payloads[5]'::jsonb");
all_from($node, 'late-');
is($relay->stop, 0, 'exit code 0');

# Batches that are not finished: their actions by state, and whether they are paused.
enqueue($node, name => 'paused-', count => 3);
my $batch = $node->safe_psql('postgres', q{SELECT max(id) FROM acteon_replay_batch});
$node->safe_psql('postgres', "SELECT acteon_replay_pause($batch, 'to look at it')");
unlink $metrics_file;
$relay = start_relay($node, $gateway, '--metrics-file', $metrics_file);
wait_until(
	sub {
		$metrics = -e $metrics_file ? metrics(slurp_file($metrics_file)) : {};
		return (($metrics->{qq{acteon_replay_batch_paused{batch="$batch"}}} // 0) == 1, join(', ', %$metrics));
	},
	'the metrics tell of a paused batch', 30);
is(join(' ', map { $metrics->{qq{acteon_replay_batch_actions{batch="$batch",state="$_"}}} // 'none' } qw(waiting running delivered dead cancelled)),
	'3 0 0 0 0', '… and how its actions are');
is(join(' ', grep { /^acteon_replay_batch/ && !/batch="$batch"/ } keys %$metrics), '', '… and of none that is finished');
is($relay->stop, 0, 'exit code 0');
$node->safe_psql('postgres', "SELECT acteon_replay_resume($batch)");
($status) = run_relay($node, $gateway, '--drain');
is($status, 0, 'it is delivered when it has been resumed');
outbox_is_sound($node);

# Test that the only action of a prefix is delivered.
sub all_from
{
	my ($from, $prefix) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_for_sql($from, qq{
		SELECT d.state FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
		WHERE o.original_action_id LIKE '$prefix%'}, 'delivered', "$prefix: delivered", 30);
}

done_testing();
