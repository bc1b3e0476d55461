# Canaries with relays and a gateway: what makes all actions fail, or all from some moment
# on, harms five at the most, however it fails and whatever is killed meanwhile; and what
# works goes out by itself, each action once.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Relay;

my $node = new_relay_server('canary', conf => "acteon_replay.gateway_patience = 2\nacteon_replay.max_attempts = 2\n");
my %down = (status => 503);
my $gateway = start_gateway(node => $node, ledger => 1, gateway => {
	scale => 50,
	providers => {
		'*' => {},
		slow => { delay_ms => 2000 },
		answers_503 => {%down},
		fails => { type => 'native', refuse => \1 },
		resets => { type => 'native', reset => \1 },
		breaks => { after => 3, then => {%down} },
		breaks_later => { after => 30, then => {%down} },
		breaks_in_chunks => { after => 3, then => {%down} } },
	verdicts => [ { verdict => 'suppress', name => 'quiet', match => { provider => 'hushed' } } ] });

# Records of actions for a provider, and their replay; the name that the actions begin with, and the batch.
sub replay
{
	my ($provider, $count, $arguments) = @_;
	my $name = "$provider-";

	$node->safe_psql('postgres', qq{SELECT count(make_record('$name' || n, at => now() + n * interval '1 us', provider => '$provider')) FROM generate_series(1, $count) AS n});
	return $node->safe_psql('postgres', qq{SELECT batch_id FROM acteon_replay_bulk(provider => '$provider', outcome => 'failed', max_records => 1000$arguments)});
}

# How many actions of a provider the gateway has been sent.
sub sent
{
	my ($provider) = @_;
	my $lineages = $gateway->ledger->{lineages};

	return scalar(grep { /^\Q$provider\E-/ && $lineages->{$_}{requests} > 0 } keys %$lineages);
}

sub is_stopped
{
	my ($batch, $most, $provider, $reason) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_for_sql($node, "SELECT state FROM acteon_replay_batches WHERE batch_id = $batch", 'paused', "$provider: the batch is paused", 120);
	like($node->safe_psql('postgres', "SELECT stop_reason FROM acteon_replay_batches WHERE batch_id = $batch"), $reason, '… and says why');
	cmp_ok(sent($provider), '<=', $most, "… and $most were sent at the most");
	return;
}

my @relays = map { start_relay($node, $gateway) } 1 .. 2;

# What works goes out by itself, and its records are what it is judged by.
my $good = replay('good', 300, '');
wait_for_sql($node, "SELECT state FROM acteon_replay_batches WHERE batch_id = $good", 'finished', 'a good batch goes out by itself', 60);
is($node->safe_psql('postgres', "SELECT canary, done FROM acteon_replay_batches WHERE batch_id = $good"), 'passed|300', '… judged by its records');

# Each kind of failure, from the beginning and after three.
my @kinds = (
	[ 'answers_503', 1, qr/^canary: step 1 of 6, up to action 1: 1 of 1 failed \(1 Executed\)/ ],
	[ 'fails', 1, qr/^canary: step 1 of 6, .*1 of 1 failed \(1 Failed\)/ ],
	[ 'resets', 1, qr/^canary: step 1 of 6, .*1 of 1 failed \(1 Failed\)/ ],
	[ 'refused', 1, qr/^canary: step 1 of 6, .*1 of 1 failed \(1 dead\)/ ],
	[ 'faulty', 1, qr/^canary: step 1 of 6, .*1 of 1 failed \(1 dead\)/ ],
	[ 'hushed', 1, qr/^canary: step 1 of 6, .*only 0 of 1 took effect \(1 Suppressed\)/ ],
	[ 'breaks', 5, qr/^canary: step 3 of 6, up to action 5: 2 of 3 failed \(2 Executed\)/ ],
	[ 'breaks_later', 100, qr/^canary: step 5 of 6, up to action 100: \d+ of 80 failed|^circuit breaker: / ]);
$gateway->rules({ match => { provider => 'refused' }, answer => { status => 413 } }, { match => { provider => 'faulty' }, answer => { status => 500 } });
my %batches = map { $_->[0] => replay($_->[0], 120, '') } @kinds;
is_stopped($batches{ $_->[0] }, $_->[1], $_->[0], $_->[2]) foreach @kinds;

# An action that has no answer holds its step until it is known what became of it.
$gateway->rules({ match => { provider => 'cut' }, limit => 1, answer => { reset => 'body', effect => \1 } });
my $cut = replay('cut', 120, '');
wait_for_sql($node, "SELECT state, done FROM acteon_replay_batches WHERE batch_id = $cut", 'finished|120', 'a doubt that ends well', 60);

# Relays and the server are killed in the middle of steps.
my $slow = replay('slow', 130, '');
foreach my $size (2, 5, 20)
{
	wait_until(
		sub {
			resend_held($node); # what was on its way when a relay was killed
			my $n = sent('slow');
			return ($n >= $size, "$n of $size");
		}, "the gateway has $size", 120) or last;
	is($relays[0]->kill9, 'signal 9', "a relay is killed when it does");
	shift @relays;
	if ($size == 5)
	{
		$node->stop('immediate');
		$node->start;
	}
	is($node->safe_psql('postgres', q{SELECT violation, detail FROM acteon_outbox_check() WHERE violation ~ 'early|due'}), '', '… and what is held back stays so');
	push @relays, start_relay($node, $gateway);
}
wait_until(
	sub {
		resend_held($node);
		my $seen = $node->safe_psql('postgres', "SELECT state, canary FROM acteon_replay_batches WHERE batch_id = $slow");
		return (scalar($seen =~ /^(?:finished\|passed|paused)/), $seen);
	}, 'the batch gets to its end', 120);
is($node->safe_psql('postgres', "SELECT state, delivered FROM acteon_replay_batches WHERE batch_id = $slow"), 'finished|130', '… with everything delivered');
outbox_is_sound($node);

# Thousands in chunks that are committed one by one.
$node->safe_psql('postgres', q{SELECT count(make_record('breaks_in_chunks-' || n, at => now() + n * interval '1 us', provider => 'breaks_in_chunks')) FROM generate_series(1, 5000) AS n});
my $call = start_psql($node, 'postgres', q{CALL acteon_replay_all(provider => 'breaks_in_chunks', outcome => 'failed', chunk => 50)});
wait_for_sql($node, 'SELECT count(*) FROM acteon_replay_batch WHERE stopped IS NOT NULL AND matched = 5000', 1, 'a batch of 5,000 is paused', 60);
cmp_ok(sent('breaks_in_chunks'), '<=', 5, '… with five sent at the most');
$node->safe_psql('postgres', q{SELECT acteon_replay_cancel(id) FROM acteon_replay_batch WHERE matched = 5000});
$call->wait_for_end(60);
cmp_ok(sent('breaks_in_chunks'), '<=', 5, '… and when it is cancelled');
outbox_is_sound($node);
is($_->stop, 0, 'exit code 0') foreach @relays;

# A drain goes through the steps, and ends where a person is waited for.
$gateway->rules;
$gateway->control(audit => { late_ms => 200 * 50 });
my $drained = replay('good2', 150, '');
my ($status, $log) = run_relay($node, $gateway, '--drain');
is($node->safe_psql('postgres', "SELECT state, canary FROM acteon_replay_batches WHERE batch_id = $drained"), 'finished|passed', 'a drain waits for the records of each step');
$gateway->control(audit => { late_ms => 0 });
my $asked = replay('good3', 12, ', canary => true');
foreach my $delivered (1, 2, 5)
{
	($status, $log) = run_relay($node, $gateway, '--drain');
	is($status, 1, 'a drain ends where a person decides');
	like($log, qr/batches are paused/, '… and says so');
	is($node->safe_psql('postgres', "SELECT delivered, state, canary FROM acteon_replay_batches WHERE batch_id = $asked"),
		"$delivered|paused|step " . ($delivered == 1 ? 1 : $delivered == 2 ? 2 : 3) . " of 4: $delivered of 12 actions, held", "… after $delivered");
	$node->safe_psql('postgres', "SELECT acteon_replay_resume($asked)");
}
run_relay($node, $gateway, '--drain');
is($node->safe_psql('postgres', "SELECT delivered, canary FROM acteon_replay_batches WHERE batch_id = $asked"), '12|passed', 'the last step has the rest');

# Without records, the answers count after a while.
$gateway->control(audit => { never => \1 });
my $unrecorded = replay('good4', 2, q{, canary => 'auto'});
run_relay($node, $gateway, '--drain');
is($node->safe_psql('postgres', "SELECT state, canary FROM acteon_replay_batches WHERE batch_id = $unrecorded"),
	'finished|passed, 1 judged by their answers, without records', 'records that never come');
outbox_is_sound($node);

done_testing();
