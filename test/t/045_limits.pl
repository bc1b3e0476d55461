# Limits of providers and tenants with relays and the stand-in of the gateway: two batches to two providers of which one
# fails; a rate and a concurrency that two relays keep together; a relay that is killed meanwhile.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Relay;

my $actions = 3000;
my $node = new_relay_server('limits', conf => "acteon_replay.gateway_patience = 2\n");
my $gateway = start_gateway(node => $node, ledger => 1, gateway => { providers => { good => {}, bad => { refuse => \1 } } });

# A batch with a circuit breaker, of so many actions to a provider.
sub replay
{
	my ($name, $provider, $count, $tenant) = @_;

	$tenant //= 'acme';
	$node->safe_psql('postgres', qq{
		SELECT count(make_record('$name' || n, at => now() - interval '1 h' + n * interval '1 us', provider => '$provider', tenant => '$tenant')) FROM generate_series(1, $count) AS n;
		CALL acteon_replay_run(jsonb_build_object('provider', '$provider', 'tenant', '$tenant', 'outcome', 'failed', 'canary', 'off', 'to', now() - interval '30 min'))});
	is($node->safe_psql('postgres', "SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id ~ '^$name\\d'"), $count, "$count to $provider: $name") or die;
	return;
}

# How many actions to a provider have ended.
sub ended
{
	my ($provider) = @_;

	return "SELECT count(*) FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id WHERE o.provider = '$provider'";
}

# The one that fails is enqueued first: what waits for it is in front of the other.
replay('b', 'bad', $actions);
replay('g', 'good', $actions);
my $relay = start_relay($node, $gateway);
wait_for_sql($node, ended('good'), $actions, 'what goes to the other provider is delivered', 120);
my $failed = $node->safe_psql('postgres', ended('bad'));
cmp_ok($failed, '<', $actions / 2, "… while what goes to the one that fails is held after $failed");
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT state, ',') || ' ' || count(stop_reason) FROM acteon_replay_batches WHERE waiting > 0}), 'running 0', '… its batch is not paused');
wait_for_sql($node, q{SELECT kind || ' ' || name || ' ' || in_flight FROM acteon_replay_limits WHERE breaker = 'open'}, 'provider bad 0', '… its circuit breaker is open');
is($node->safe_psql('postgres', "SELECT held FROM acteon_replay_limits"), $actions - $node->safe_psql('postgres', ended('bad')), '… and shows what is held');

# A trial that fails; then the provider works again.
$node->safe_psql('postgres', 'UPDATE acteon_replay_limit SET retry_at = now()');
wait_for_sql($node, 'SELECT backoff FROM acteon_replay_limit', 60, 'a trial fails');
cmp_ok($node->safe_psql('postgres', ended('bad')), '<=', $failed + 1, '… one action');
$gateway->ask('POST', '/_providers', { bad => {}, good => {} });
$relay->kill9;
$node->safe_psql('postgres', 'UPDATE acteon_replay_limit SET retry_at = now()');
$relay = start_relay($node, $gateway);
wait_for_sql($node, q{SELECT breaker FROM acteon_replay_limits}, 'closed', 'a trial that takes effect closes it');
wait_for_sql($node, ended('bad'), $actions, 'what was held is delivered', 120);
is($node->safe_psql('postgres', q{SELECT string_agg(event, ' ' ORDER BY id) FROM acteon_replay_log WHERE event NOT IN ('start', 'grant')}), 'breaker breaker_close', 'the log has both');
outbox_is_sound($node);
is($relay->stop, 0, 'the relay ends');

# A rate and a concurrency, which two relays keep together, one of which is killed.
$node->safe_psql('postgres', q{SELECT acteon_replay_limit_set(provider => 'good', rate => 40, concurrency => 7, reason => 'agreed')});
$gateway->ask('POST', '/_providers', { good => { delay_ms => 20 }, bad => {} });
replay('r', 'good', 200);
my @relays = map { start_relay($node, $gateway, '--lease', '5s', '--request-timeout', '1s') } 1 .. 2;
my $begun = time;
my $most = 0;
wait_until(
	sub {
		my $in_flight = $node->safe_psql('postgres', q{SELECT in_flight FROM acteon_replay_limits WHERE name = 'good'});
		my $done = $node->safe_psql('postgres', ended('good')) - $actions;

		$most = $in_flight if $in_flight > $most;
		return ($done >= 60, $done);
	}, 'some are delivered', 60);
$relays[0]->kill9;
wait_until(
	sub {
		my $in_flight = $node->safe_psql('postgres', q{SELECT in_flight FROM acteon_replay_limits WHERE name = 'good'});
		my $done = $node->safe_psql('postgres', ended('good')) - $actions;

		resend_held($node);
		$most = $in_flight if $in_flight > $most;
		return ($done == 200, $done);
	}, 'all are delivered, when a relay was killed meanwhile', 120);
# At most 40 a second, after the 80 of the first two seconds.
cmp_ok(time - $begun, '>', 2, '… not faster than the rate');
cmp_ok($most, '<=', 7, "… and not more at a time than the limit: $most");
cmp_ok($most, '>', 0, '… but some');

# A limit of a tenant holds only its actions, and is removed while they wait.
$node->safe_psql('postgres', q{SELECT acteon_replay_limit_set(provider => 'good'), acteon_replay_limit_set(tenant => 'globex', concurrency => 0)});
replay('t', 'good', 50, 'globex');
replay('u', 'good', 50, 'initech');
wait_for_sql($node, ended('good'), $actions + 250, 'the other tenant goes on');
wait_for_sql($node, q{SELECT held FROM acteon_replay_limits WHERE kind = 'tenant'}, 50, '… and the one with a limit waits');
$node->safe_psql('postgres', q{SELECT acteon_replay_limit_set(tenant => 'globex', rate => 1000)});
wait_for_sql($node, ended('good'), $actions + 300, '… until it may');
outbox_is_sound($node);
is($relays[1]->stop, 0, 'the other relay ends');

done_testing();
