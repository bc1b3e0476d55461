# Actions of one tenant with one fingerprint are state changes of one event:
# they take effect one after the other, in order, whatever fails in between.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Relay;

my $node = new_relay_server('lanes', conf => "acteon_replay.gateway_patience = 1\n");
my $gateway = start_gateway(node => $node);
my @relays;

# The actions of a lane in the order of the outbox, and of their effects.
sub lanes
{
	my ($condition) = @_;
	my %lanes;

	foreach my $row (split /\n/, $node->safe_psql('postgres', qq{
		SELECT o.tenant || ' ' || o.fingerprint || '|' || string_agg(o.original_action_id, ' ' ORDER BY o.id)
		FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
		WHERE o.fingerprint IS NOT NULL AND $condition GROUP BY o.tenant, o.fingerprint}))
	{
		my ($lane, $actions) = split /\|/, $row;
		$lanes{$lane} = $actions;
	}
	return \%lanes;
}

# Test that every lane took effect in the order of the outbox.
sub in_order
{
	my ($expected, $description) = @_;
	my $effects = $gateway->lanes;
	my @wrong = grep { $expected->{$_} ne join(' ', @{ $effects->{$_} // [] }) } sort keys %$expected;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is("@wrong", '', $description) || diag("$wrong[0]\nexpected: $expected->{$wrong[0]}\ngot:      @{ $effects->{$wrong[0]} // [] }");
}

# Two relays and several batches; a third of the answers comes sooner than the others, some
# fail in all the ways that there are.
my @answers = (
	{ match => { action_type => 'change' }, probability => 0.3, answer => { delay_ms => 15 } },
	{ probability => 0.03, answer => { status => 500 } },
	{ probability => 0.02, answer => { reset => 'body', effect => \1 } },
	{ probability => 0.01, answer => { half => 'body', delay_ms => 20, effect => \1 } },
	{ answer => { delay_ms => 50 } });
$gateway->rules(@answers);
push @relays, start_relay($node, $gateway, '--batch-size', 20) foreach 1 .. 2;
# 6 lanes of 40 actions: the same fingerprints in two tenants.
foreach my $batch (1 .. 4)
{
	enqueue($node, count => 60, name => "change-$batch-", action_type => q{'change'},
		tenant => q{CASE n % 2 WHEN 0 THEN 'acme' ELSE 'globex' END},
		metadata => q{jsonb_build_object('__fingerprint', 'event-' || n % 3, '__status', 'state ' || n)});
	enqueue($node, count => 200, name => "free-$batch-");
}
# Kill a relay whenever a lane is under way, and start another.
foreach my $kill (1 .. 6)
{
	my $done = $gateway->stats->{requests};
	wait_until(
		sub {
			my $stats = $gateway->stats;
			my $left = $node->safe_psql('postgres', 'SELECT depth FROM acteon_outbox_stats');
			return (($stats->{requests} >= $done + 30 && $stats->{open} > 0) || $left == 0, "$stats->{requests} requests, $left left");
		},
		"kill $kill: there is something to interrupt");
	(shift @relays)->kill9;
	push @relays, start_relay($node, $gateway, '--batch-size', 20);
}
# What a killed relay had claimed is in doubt; what is so a second time, a person decides.
all_settled($node, 'all are delivered', 150);
in_order(lanes('true'), 'the effects of each lane are in order');
is(scalar keys %{ $gateway->lanes }, 6, 'there were six lanes');
$gateway->has_no_violations('two of one lane were never in flight together');
my $stats = $gateway->stats;
took_effect($node, $gateway, 1040, 'each took effect once, but for what nobody could know');
cmp_ok($stats->{most_open}, '>', 4, 'lanes do not wait for each other');
note("requests $stats->{requests}, duplicates $stats->{duplicates}, at most $stats->{most_open} at once");
outbox_is_sound($node);

# While a lane waits for a retry, the others go on; a dead one lets the next pass.
my @lane = map { "stuck-$_" } 1 .. 3;
$gateway->reset;
$gateway->rules(
	{ match => { action_type => 'stuck-1', attempt => 1 }, answer => { status => 429, retry_after => 1 } },
	{ match => { action_type => 'stuck-2' }, answer => { status => 400 } });
$node->safe_psql('postgres', 'TRUNCATE acteon_dispatch_outbox, acteon_dispatch_action, acteon_dispatch_delivery, acteon_dispatch_segment, acteon_replay_batch, acteon_replay_refused, acteon_replay_tally');
enqueue($node, count => 3, name => 'stuck-', action_type => q{'stuck-' || n}, metadata => q{'{"__fingerprint": "stuck"}'});
wait_for_sql($node, 'SELECT depth FROM acteon_outbox_stats', 0, 'a dead action does not hold up its lane');
is($node->safe_psql('postgres', q{
	SELECT string_agg(o.action_type || ' ' || d.state, ', ' ORDER BY o.id)
	FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id}),
	'stuck-1 delivered, stuck-2 dead, stuck-3 delivered', '… and only that one is dead');
in_order(lanes(q{d.state = 'delivered'}), 'what is left is in order');
$gateway->has_no_violations;

# A lane of 200 is no slower than a request and two statements each.
$gateway->reset;
$gateway->rules();
enqueue($node, count => 200, name => 'long-', metadata => q{'{"__fingerprint": "long"}'});
wait_for_sql($node, 'SELECT depth FROM acteon_outbox_stats', 0, 'a lane of 200 does not wait for polls', 40);
in_order(lanes(q{o.original_action_id LIKE 'long-%'}), '… and is in order');

is($_->stop, 0, 'exit code 0') foreach @relays;
outbox_is_sound($node, 'at the end');

done_testing();
