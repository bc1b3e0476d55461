# The relay delivers to a topic of Kafka, with a real broker: each action once, in the order of its lane, with key
# and headers; batches are paused, cancelled and paced as with a gateway; what fails, and what is in doubt.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Kafka;
use Program;
use Relay;

my $without = why_no_kafka();
plan skip_all => $without if $without;

my $node = new_relay_server('kafka', conf => "acteon_replay.gateway_patience = 1\nacteon_replay.max_attempts = 3\n");
my $kafka = start_kafka();

# A relay that is patient enough for a broker that has just started.
sub start_sink
{
	my ($topic, @arguments) = @_;

	return start_relay($node, undef, '--sink', $kafka->sink($topic), '--request-timeout', '30s', @arguments);
}

# Deliver what there is; returns the exit code and what the relay said.
sub drain
{
	my ($topic, @arguments) = @_;
	my $relay = start_sink($topic, '--drain', @arguments);

	return ($relay->wait_for_end(90) // 'did not end', $relay->log);
}

# How often each action is in a topic, by what it replays.
sub published
{
	my ($topic) = @_;
	my %count;

	$count{ $_->{headers}{original_action_id} }++ foreach $kafka->messages($topic);
	return \%count;
}

# Test that a topic has each action of a name once.
sub published_once
{
	my ($topic, $name, $count, $description) = @_;
	my $published = published($topic);
	my @actions = grep { /^\Q$name\E/ } keys %$published;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(@actions . ' actions, more than once: ' . join(' ', grep { $published->{$_} != 1 } sort @actions), "$count actions, more than once: ", $description);
}

# How many actions of a name have ended: "state count, ...".
sub ended
{
	my ($name) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM (SELECT coalesce(d.state, 'open') AS state, count(*) AS n
			FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id WHERE o.original_action_id LIKE '$name%' GROUP BY 1) AS s});
}

# Test that all of a name are delivered, when a person has those sent again that are held.
sub ends_delivered
{
	my ($name, $count, $description, $resends) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(sub { resend_held($node) if $resends; my $seen = ended($name); return ($seen eq "delivered $count", $seen) }, $description, 120);
}

# Test that so many of a name are delivered.
sub gets_to
{
	my ($name, $count, $description) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(sub { my $seen = ended($name); return (($seen =~ /delivered (\d+)/ ? $1 : 0) >= $count, $seen) }, $description);
}

# Options that cannot be, and what they say.
sub refuses
{
	my ($expected, $description, @arguments) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ Relay::Process::program(), '--database', relay_database($node), @arguments ], '>', \$out, '2>', \$err);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($? >> 8, 2, $description) && like($err, $expected, '… and says why');
}

my $sink = $kafka->sink('replays');
refuses(qr/--gateway-url is required/, 'no sink at all');
refuses(qr/cannot be used together/, 'two sinks', '--sink', $sink, '--gateway-url', 'http://localhost');
foreach my $bad ('kafka://localhost/t', 'kafka://localhost:9092', 'kafka://localhost:9092/', 'kafka://localhost:9092/a/b', 'kafka://u:sesame@localhost:9092/t', 'kafka://localhost:99999/t', 'kafka://a:1,,b:2/t', 'kafka://localhost:9092/..', 'http://localhost:9092/t')
{
	my ($out, $err) = ('', '');
	IPC::Run::run([ Relay::Process::program(), '--sink', $bad ], '>', \$out, '2>', \$err);
	is($? >> 8, 2, "no sink: $bad");
	unlike($err, qr/sesame/, '… which is not shown');
}
refuses(qr/sasl.password holds a secret: put it into --kafka-option-file/, 'a secret on the command line', '--sink', $sink, '--kafka-option', 'sasl.password=sesame');
refuses(qr/acks cannot be set/, 'what is ours', '--sink', $sink, '--kafka-option', 'acks=1');
refuses(qr/expected NAME=VALUE/, 'no option', '--sink', $sink, '--kafka-option', 'zstd');
refuses(qr/are for a gateway/, 'a certificate for a gateway', '--sink', $sink, '--api-key-file', '/dev/null');
{
	my ($status, $log) = drain('replays', '--kafka-option', 'compresion.type=zstd');
	is($status, 1, 'an option that librdkafka does not have');
	like($log, qr/librdkafka has no option \\"compresion.type\\"/, '… is named');
}

# No topic: that is nobody's fault, so nothing is dead and no attempt counts.
my $name = enqueue($node, count => 5, name => 'early-');
my $relay = start_sink('replays');
$relay->says(qr/kafka refuses us.*UNKNOWN_TOPIC.*create the topic/, 'without the topic the relay stops');
is($node->safe_psql('postgres', 'SELECT dead, depth FROM acteon_outbox_stats'), '0|5', '… and keeps the actions');
$kafka->create_topic('replays', 3);
ends_delivered($name, 5, 'when there is one they are delivered');
is($relay->stop, 0, 'the relay stops in good order');
is($node->safe_psql('postgres', 'SELECT max(attempts) FROM acteon_dispatch_delivery'), '1', 'no attempt was counted');
published_once('replays', $name, 5, 'each of them once');

# Every action once, with key and headers, in the order of its lane.
$node->safe_psql('postgres', q{SELECT acteon_outbox_purge('0 s')});
$name = enqueue($node, count => 300, name => 'lane-', action_type => q{'change'},
	tenant => q{CASE n % 2 WHEN 0 THEN 'acme' ELSE 'globex' END},
	metadata => q{CASE WHEN n % 5 = 0 THEN '{}' ELSE jsonb_build_object('__fingerprint', 'é ' || n % 7, '__status', 'state ' || n, 'label', 'x') END});
my ($status, $log) = drain('replays', '--batch-size', 20);
is($status, 0, 'a drain delivers all') or diag($log);
published_once('replays', $name, 300, 'each action once');
{
	my @messages = grep { $_->{headers}{original_action_id} =~ /^lane-/ } $kafka->messages('replays');
	my (%lanes, %partitions, @wrong);
	my %rows = map { my @row = split /\|/; ($row[0] => \@row) } split /\n/, $node->safe_psql('postgres', q{
		SELECT o.id, o.action_id, o.batch_id, o.original_action_id, o.generation, o.namespace, o.tenant, o.provider, o.action_type, o.fingerprint, o.payload
		FROM acteon_dispatch_outbox AS o});
	foreach my $message (@messages)
	{
		my $headers = $message->{headers};
		my $row = $rows{ $headers->{outbox_id} };
		my @told = map { $headers->{$_} // '' } qw(outbox_id action_id batch_id original_action_id generation namespace tenant provider action_type);

		utf8::encode(my $fingerprint = $headers->{fingerprint} // '');
		utf8::encode(my $key = $message->{key});
		push @wrong, "headers @told" if "@told $fingerprint" ne join(' ', @$row[ 0 .. 9 ]);
		push @wrong, "key $key" if $key ne ($row->[9] || $row->[1]);
		push @wrong, "replayed_from $headers->{replayed_from}" if $headers->{replayed_from} ne $row->[3] || $message->{body}{metadata}{replayed_from} ne $row->[3];
		push @wrong, "body $message->{payload}" if $message->{body}{id} ne $row->[1] || $message->{body}{tenant} ne $row->[6] || !exists $message->{body}{created_at} || encode_json($message->{body}{payload}) ne encode_json(decode_json($row->[10]));
		next if !$row->[9];
		push @{ $lanes{"$row->[6] $row->[9]"} }, $headers->{outbox_id};
		$partitions{ $row->[9] }{ $message->{partition} } = 1;
	}
	is("@wrong[0 .. ($#wrong < 4 ? $#wrong : 4)]", '', 'key, headers and body say what the outbox has');
	is(scalar(keys %lanes), 14, 'there were 14 lanes');
	is(join(' ', grep { keys %{ $partitions{$_} } > 1 } sort keys %partitions), '', 'one fingerprint, one partition');
	is(join(' ', grep { "@{ $lanes{$_} }" ne join(' ', sort { $a <=> $b } @{ $lanes{$_} }) } sort keys %lanes), '', 'each lane is in the order of the outbox');
}

# What that means: somebody goes on with them, and the audit table tells when he has.
is($node->safe_psql('postgres', q{SELECT DISTINCT effect, outcome #>> '{Published,topic}', outcome #>> '{Published,offset}' ~ '^\d+$' FROM acteon_dispatch_delivery}), 'later|replays|t', 'what is published has its effect later');
is($node->safe_psql('postgres', q{SELECT state, delivered, done FROM acteon_replay_batches ORDER BY batch_id DESC LIMIT 1}), 'finished|300|0', 'delivered, and not done');
is($node->safe_psql('postgres', q{SELECT verdict, told, actions FROM acteon_replay_proof((SELECT max(batch_id) FROM acteon_replay_batches))}), 'answered, no outcome record|later|300', 'nothing proves an effect');
$node->safe_psql('postgres', q{
	SELECT count(make_record(o.action_id::text, at => clock_timestamp(), outcome => 'executed', tenant => o.tenant, namespace => o.namespace, details => '{"status": "Success"}')) FROM acteon_dispatch_outbox AS o});
is($node->safe_psql('postgres', q{SELECT verdict, told, actions FROM acteon_replay_proof((SELECT max(batch_id) FROM acteon_replay_batches))}), 'proven|later|300', '… until who reads the topic has executed them');

# The action id as the key.
$name = enqueue($node, count => 3, name => 'keyed-', metadata => q{'{"__fingerprint": "f"}'});
drain('replays', '--kafka-key', 'action-id', '--kafka-option', 'compression.type=gzip');
is(join(' ', map { $_->{key} eq $_->{body}{id} } grep { $_->{headers}{original_action_id} =~ /^keyed-/ } $kafka->messages('replays')), '1 1 1', 'the key can be the action id');

# --check says what is there, writes nothing, and creates nothing.
{
	my $before = $kafka->messages('replays');
	my ($code, $said) = run_relay($node, undef, '--sink', $sink, '--check', '--request-timeout', '10s', '--grace', '10s');
	is($code, 0, 'a check finds all well') or diag($said);
	like($said, qr/^ok\s+topic: replays has 3 partitions, each with 1 replicas in sync/m, '… and tells of the topic');
	($code, $said) = run_relay($node, undef, '--sink', $kafka->sink('replay'), '--check');
	is($code, 1, 'a check of a topic that is not there');
	like($said, qr/^FAILED\s+topic: .*create the topic/m, '… says so');
	($code, $said) = run_relay($node, undef, '--sink', $kafka->sink('replays', $kafka->{sasl_port}), '--check');
	is($code, 1, 'a check of a broker that wants a password');
	like($said, qr/^FAILED\s+Kafka: /m, '… says so');
	is(scalar($kafka->messages('replays')), $before, 'nothing was written');
}

# Pause, cancel and rate hold here as well.
$name = enqueue($node, count => 400, name => 'paused-');
$node->safe_psql('postgres', q{SELECT acteon_replay_set_rate(max(batch_id), 50), acteon_replay_pause(max(batch_id)) FROM acteon_replay_batches});
$relay = start_sink('replays');
$name = enqueue($node, count => 1, name => 'beside-');
wait_until(sub { return (published('replays')->{'beside-1'}, 'no') }, 'another batch goes out');
is(scalar(grep { /^paused-/ } keys %{ published('replays') }), 0, 'a paused one does not');
$node->safe_psql('postgres', q{SELECT acteon_replay_resume(max(batch_id) - 1) FROM acteon_replay_batches});
my $from = time;
wait_until(sub { my $count = grep { /^paused-/ } keys %{ published('replays') }; return ($count >= 60, $count) }, 'resumed, it goes out');
cmp_ok(scalar(grep { /^paused-/ } keys %{ published('replays') }), '<=', 50 * (time - $from + 2) + 50, '… at its rate');
my $cancelled = $node->safe_psql('postgres', q{SELECT cancelled FROM acteon_replay_cancel((SELECT max(batch_id) - 1 FROM acteon_replay_batches))});
wait_for_sql($node, q{SELECT in_flight + waiting FROM acteon_replay_batches ORDER BY batch_id DESC OFFSET 1 LIMIT 1}, '0', 'cancelled, it ends');
is(scalar(grep { /^paused-/ } keys %{ published('replays') }), 400 - $cancelled, '… and what was cancelled is not in the topic');
cmp_ok($cancelled, '>', 100, '… which was most of it');
is($relay->stop, 0, 'the relay stops in good order');

# What is too large, for us and for the topic, is dead; its neighbours are not.
$kafka->create_topic('narrow', 1, 'max.message.bytes=4000');
$node->safe_psql('postgres', q{SELECT acteon_replay_cancel(batch_id) FROM acteon_replay_batches WHERE waiting > 0});
$name = enqueue($node, count => 21, name => 'large-', payload => q{jsonb_build_object('x', repeat(md5(n::text), CASE n WHEN 7 THEN 40000 WHEN 14 THEN 200 ELSE 1 END))});
($status, $log) = drain('narrow');
is($status, 1, 'a drain with dead actions says so');
is($node->safe_psql('postgres', q{
	SELECT string_agg(o.original_action_id || ' ' || d.attempts || ' ' || left(d.error, 18), ', ' ORDER BY o.id) FROM acteon_dispatch_delivery AS d JOIN acteon_dispatch_outbox AS o ON o.id = d.outbox_id
	WHERE d.state = 'dead'}) =~ s/large-14 [123] /large-14 n /r, 'large-7 1 MSG_SIZE_TOO_LARGE, large-14 n MSG_SIZE_TOO_LARGE', 'what is too large is dead') or diag($log);
published_once('narrow', $name, 19, 'the others are delivered');

# The broker goes away and comes back: nothing is lost, doubled, dead or in doubt, no attempt counts.
$name = enqueue($node, count => 1500, name => 'outage-');
$relay = start_sink('replays', '--max-rate', 500, '--lease', '10s');
gets_to($name, 200, 'delivery is under way');
$kafka->kill9;
$relay->says(qr/kafka is away/, 'the broker is missed', 60);
$kafka->start;
ends_delivered($name, 1500, 'all are delivered');
is($relay->stop, 0, 'the relay stops in good order');
published_once('replays', $name, 1500, 'each of them once');
is($node->safe_psql('postgres', q{SELECT max(attempts), max(resend), bool_or(d.unproven) FROM acteon_dispatch_delivery AS d JOIN acteon_dispatch_outbox AS o ON o.id = d.outbox_id WHERE o.original_action_id LIKE 'outage-%'}), '1|0|f', '… at the first attempt');
# One that is away from the start.
$kafka->kill9;
$name = enqueue($node, count => 50, name => 'absent-');
$relay = start_sink('replays');
$relay->says(qr/kafka unavailable.*Connection refused/, 'no broker: it is noticed', 30);
like(ended($name), qr/^open 50$/, '… and all stay in the queue');
$kafka->start;
$relay->says(qr/kafka is back/, 'it is found', 60);
ends_delivered($name, 50, 'all are delivered');
is($relay->stop, 0, 'the relay stops in good order');
published_once('replays', $name, 50, 'each of them once');

# A broker that does not answer: what was sent is in doubt, and is held, since who reads the topic may still execute
# it.  Here the broker has it after all.
$relay = start_sink('replays', '--request-timeout', '3s');
ends_delivered(enqueue($node, count => 1, name => 'heard-'), 1, 'the broker answers');
$kafka->signal('STOP');
my $live = q{SELECT make_record('live-' || clock_timestamp(), at => clock_timestamp(), outcome => 'executed', details => '{"status": "Success"}')};
enqueue($node, count => 1, name => 'silent-');
my $silent = q{SELECT o.action_id::text FROM acteon_dispatch_outbox AS o WHERE o.original_action_id = 'silent-1'};
wait_for_sql($node, q{SELECT split_part(doubt, ':', 1) FROM acteon_dispatch_segment}, '_MSG_TIMED_OUT', 'one that was sent and not acknowledged is in doubt', 30);
$kafka->signal('CONT');
wait_until(sub { $node->safe_psql('postgres', $live); my $seen = $node->safe_psql('postgres', q{SELECT held FROM acteon_dispatch_segment}); return (scalar($seen =~ /hold_doubts/), $seen) }, '… and held');
is(published('replays')->{'silent-1'}, 1, 'it is in the topic, once');
$node->safe_psql('postgres', qq{SELECT make_record(($silent), at => clock_timestamp(), outcome => 'executed', details => '{"status": "Success"}')});
wait_for_sql($node, q{SELECT d.state, d.effect, d.known_by, d.resend FROM acteon_dispatch_delivery AS d ORDER BY outbox_id DESC LIMIT 1}, 'delivered|done|record|0', 'it is delivered when it has been executed', 90);
is($relay->stop, 0, 'the relay stops in good order');

# Relays are killed: what they held is in doubt, and held; nothing goes out twice but by a person's decision.
$name = enqueue($node, count => 1500, name => 'killed-');
foreach my $kill (1 .. 3)
{
	$relay = start_sink('replays', '--lease', '2s', '--max-rate', 400);
	gets_to($name, $kill * 200, "kill $kill: delivery is under way");
	$relay->kill9;
}
$relay = start_sink('replays', '--lease', '2s');
my $left = q{SELECT sum(waiting + in_flight), sum(in_doubt - held), sum(held) > 0 FROM acteon_replay_batches};
# The table is alive, and has nothing of them: with a gateway, they would go out again.
wait_until(sub { $node->safe_psql('postgres', $live); my $seen = $node->safe_psql('postgres', $left); return ($seen eq '0|0|t', $seen) }, 'what the killed relays held is held', 90);
like($node->safe_psql('postgres', q{SELECT DISTINCT held FROM acteon_dispatch_segment WHERE held IS NOT NULL}), qr/^acteon_replay.hold_doubts is on/, '… as somebody may still execute it');
my %held = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', q{
	SELECT o.original_action_id FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_segment AS s ON o.id BETWEEN s.first_id AND s.last_id WHERE s.held IS NOT NULL});
my $seen = published('replays');
my @killed = map { "killed-$_" } 1 .. 1500;
is(join(' ', grep { ($seen->{$_} // 0) > 1 } @killed), '', 'no action is there twice');
is(join(' ', grep { !$seen->{$_} && !$held{$_} } @killed), '', 'what is missing is held');
# One that is in the topic ends when it has been executed.
my ($executed) = grep { $held{$_} && $seen->{$_} } @killed;
SKIP:
{
	skip 'nothing that is held has got into the topic', 1 unless $executed;
	$node->safe_psql('postgres', qq{
		SELECT make_record(action_id::text, at => clock_timestamp(), outcome => 'executed', details => '{"status": "Success"}') FROM acteon_dispatch_outbox WHERE original_action_id = '$executed'});
	wait_for_sql($node, qq{SELECT d.state, d.effect, d.known_by FROM acteon_dispatch_delivery AS d JOIN acteon_dispatch_outbox AS o ON o.id = d.outbox_id WHERE o.original_action_id = '$executed'}, 'delivered|done|record',
		'one that was published is delivered when its record appears', 90);
	delete $held{$executed};
}
ends_delivered($name, 1500, 'a person has the others sent again', 1);
$seen = published('replays');
is(join(' ', grep { !$seen->{$_} } @killed), '', 'every action is in the topic');
is(join(' ', grep { $seen->{$_} > 1 && !$held{$_} } @killed), '', '… and those alone twice that a person has sent again');
is($relay->stop, 0, 'the relay stops in good order');

# A password, which is in a file and is read again.
my $options = private_file('kafka-options', "# for the relay\nsecurity.protocol = SASL_PLAINTEXT\nsasl.mechanism=PLAIN\r\nsasl.username=relay\nsasl.password=sesame\n" =~ s/ = /=/r);
$name = enqueue($node, count => 3, name => 'sasl-');
$relay = start_relay($node, undef, '--sink', $kafka->sink('replays', $kafka->{sasl_port}), '--request-timeout', '30s', '--kafka-option-file', $options);
$relay->says(qr/kafka refuses us.*AUTHENTICATION.*check security.protocol/, 'a wrong password', 60);
is($node->safe_psql('postgres', q{SELECT waiting, dead FROM acteon_replay_batches ORDER BY batch_id DESC LIMIT 1}), '3|0', '… is not the fault of the actions');
private_file('kafka-options', "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=relay\nsasl.password=secret\n");
$relay->signal('HUP');
ends_delivered($name, 3, 'the right one is used after SIGHUP');
unlike($relay->log, qr/sesame|secret/, 'neither is in the log');
is($relay->stop, 0, 'the relay stops in good order');
published_once('replays', $name, 3, 'each of them once');

outbox_is_sound($node);
done_testing();
