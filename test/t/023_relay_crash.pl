# 20,000 actions, two relays that are killed again and again, a database that is
# restarted, and a gateway that fails every fifth time: nothing is lost, and
# nothing takes effect twice but what nobody could know of.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Relay;

my $actions = $ENV{CRASH_ACTIONS} // 20000;
my $kills = 30;
my %restarts = (8 => 'fast', 16 => 'immediate', 24 => 'fast');    # after so many kills

# A crash of the database must lose nothing either: fsync stays on.
my $node = new_relay_server('crash', conf => "fsync = on\nacteon_replay.max_attempts = 100\nacteon_replay.gateway_patience = 2\n");
my $gateway = start_gateway(node => $node);
my $begun = time;

# One in five; the last holds a request up for long.
$gateway->control(
	seed => 20260115,
	rules => [
		{ probability => 0.06, answer => { status => 500 } },
		{ probability => 0.04, answer => { status => 502, effect => \1 } },
		{ probability => 0.04, answer => { reset => 'body', effect => \1 } },
		{ probability => 0.005, answer => { status => 503 } },
		{ probability => 0.045, answer => { half => 'body', effect => \1 } },
		{ probability => 0.002, answer => { delay_ms => 3000, effect => \1 } } ]);
enqueue($node, count => $actions, name => 'a-', tenant => q{(ARRAY['acme', 'globex', 'initech'])[1 + n % 3]},
	payload => q{jsonb_build_object('n', n, 'text', repeat('x', n % 500))},
	metadata => q{CASE WHEN n % 10 = 0 THEN jsonb_build_object('__fingerprint', 'event-' || n % 400) ELSE '{"team": "orders"}' END});

my @relays = map { start_relay($node, $gateway, '--lease', '3s') } 1 .. 2;
my $done = 0;
foreach my $kill (1 .. $kills)
{
	# Spread over what is left: the next one when so much more has taken effect.
	my $goal = $done + int(($actions - $done) / ($kills - $kill + 5));
	wait_until(sub { resend_held($node); $done = $gateway->stats->{ids_with_effect}; return ($done >= $goal, "$done of $goal") }, "kill $kill: $goal have taken effect")
		or last;
	my $victim = shift @relays;
	is($victim->kill9, 'signal 9', "kill $kill");
	push @relays, start_relay($node, $gateway, '--lease', '3s');
	if ($restarts{$kill})
	{
		$node->stop($restarts{$kill});
		$node->start;
		pass("the database was restarted, $restarts{$kill}");
		outbox_is_sound($node, "… and is sound");
	}
}
all_settled($node, 'every action is delivered', 300);
outbox_is_sound($node);
is($_->stop, 0, 'exit code 0') foreach @relays;
my $stats = $gateway->stats;
$gateway->has_no_violations('every request was right, and the bodies of one id are identical');
took_effect($node, $gateway, $actions, 'each took effect, and once but for what nobody could know');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT outbox_id) FROM acteon_dispatch_delivery'), "$actions|$actions", 'and was recorded once');
cmp_ok($stats->{requests} - $stats->{answers}{200} // 0, '>', $actions / 10, 'the gateway did fail');

# What has effect in a lane is in order.
my $lanes = $gateway->lanes;
my $wrong = 0;
foreach my $row (split /\n/, $node->safe_psql('postgres', q{
	SELECT tenant || ' ' || fingerprint || '|' || string_agg(original_action_id, ' ' ORDER BY id)
	FROM acteon_dispatch_outbox WHERE fingerprint IS NOT NULL GROUP BY tenant, fingerprint}))
{
	my ($lane, $ids) = split /\|/, $row;
	$wrong++ if $ids ne join(' ', @{ $lanes->{$lane} // [] });
}
is($wrong, 0, scalar(keys %$lanes) . ' lanes are in order');

my $attempts = $node->safe_psql('postgres', 'SELECT sum(attempts - 1) FROM acteon_dispatch_delivery');
diag(sprintf('%d actions in %.0f s: %d requests sent, %d of them duplicates, %d attempts counted beyond the first',
	$actions, time - $begun, $stats->{requests}, $stats->{duplicates}, $attempts));
diag('answers: ' . join(', ', map { "$_: $stats->{answers}{$_}" } sort keys %{ $stats->{answers} }) . "; ids in flight twice at once: $stats->{id_overlaps}");

done_testing();
