# Targets with relays and the stand-in of the gateway: production and staging at the same time, a relay that is killed,
# a relay that knows nothing of targets, and what either gateway has seen in the end.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Relay;

my $node = new_relay_server('target', conf => "acteon_replay.gateway_patience = 2\nacteon_replay.targets = 'staging'\n");
# Production writes its records into our audit table; staging writes them somewhere else.
my $production = start_gateway(node => $node);
my $staging = start_gateway();

# The ids that were sent to a gateway, one a line, in order.
sub seen
{
	my ($gateway) = @_;

	return join("\n", sort keys %{ $gateway->actions });
}

# The ids of what was replayed to a target, but for those with new ones.
sub replayed_to
{
	my ($target) = @_;

	return $node->safe_psql('postgres', qq{SELECT action_id FROM acteon_dispatch_outbox WHERE coalesce(target, 'production') = '$target' ORDER BY action_id::text COLLATE "C"});
}

# How many actions to a target are delivered.
sub delivered
{
	my ($target) = @_;

	return "SELECT count(*) FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id WHERE d.state = 'delivered' AND coalesce(o.target, 'production') = '$target'";
}

# The same actions for both, staging first.  A relay for production finds none of those of staging.
$node->safe_psql('postgres', q{SELECT count(make_record('a' || n, at => now() - interval '1 h' + n * interval '1 ms')) FROM generate_series(1, 300) AS n});
my $replay = q{CALL acteon_replay_run('{"provider": "email", "outcome": "failed", "canary": "off", "to": "2100-01-01T00:00:00Z"%s}')};
$node->safe_psql('postgres', sprintf($replay, ', "target": "staging"'));
my ($status, $said) = run_relay($node, $production, '--drain');
is($status, 0, 'a relay for production has nothing to do') || diag($said);
is(seen($production), '', '… and has sent nothing');
$node->safe_psql('postgres', sprintf($replay, ''));
is($node->safe_psql('postgres', q{SELECT count(*) || ' ' || count(DISTINCT action_id) || ' ' || max(generation) FROM acteon_dispatch_outbox}), '600 600 1', 'the same actions are replayed to both, under ids of their own');

# Both at the same time.
my @relays = (start_relay($node, $production, '--consumer', 'p'), start_relay($node, $staging, '--consumer', 's', '--target', 'staging'));
wait_for_sql($node, delivered('production'), 300, 'production is delivered');
wait_for_sql($node, delivered('staging'), 300, 'so is staging');
is($_->stop, 0, 'a relay ends') foreach @relays;
is(seen($production), replayed_to('production'), 'production has seen what is for it, and nothing else');
is(seen($staging), replayed_to('staging'), 'so has staging');
is($node->safe_psql('postgres', q{SELECT string_agg(format('%s %s %s %s %s', target, relay, gateway, state, n), E'\n' ORDER BY target) FROM (SELECT i.target, i.relay, i.gateway, i.state, count(*) AS n
		FROM acteon_replay_batches AS b CROSS JOIN acteon_replay_items(b.batch_id) AS i GROUP BY 1, 2, 3, 4) AS x}),
	'production p ' . $production->url . " delivered 300\nstaging s " . $staging->url . ' delivered 300', 'each delivery tells which relay it was, and where');
is($node->safe_psql('postgres', q{SELECT same || ' ' || effect || ' ' || other_effect || ' ' || actions FROM acteon_replay_shadow_counts(1, 2)}), 'true done done 300', 'both have answered the same');
outbox_is_sound($node);

# A relay for staging whose --target was forgotten.
($status, $said) = run_relay($node, $staging, '--check', '--request-timeout', '5s');
is($status, 1, '--check fails for a gateway that another target has');
like($said, qr/relays for target staging have delivered to \S+, and this one is for target production/, '… and says so');
($status, $said) = run_relay($node, $staging, '--check', '--request-timeout', '5s', '--target', 'staging');
is($status, 0, '… but not with its own target') || diag($said);
like($said, qr/target: staging/, '… which it says');
($status, $said) = run_relay($node, $staging, '--drain');
like($said, qr/delivers to \S+, where consumers for target \W*staging\W* have delivered/, 'without --check, the relay logs the warning of its first claim');

# A relay for staging that is killed: what it had sent without an answer is held, whatever on_doubt is, and nothing is sent twice.
# Meanwhile production goes on, though the actions have the same fingerprints.
$node->safe_psql('postgres', q{SELECT count(make_record('b' || n, at => now() - interval '1 h' + n * interval '1 ms', provider => 'sms', metadata => jsonb_build_object('__fingerprint', 'f' || n % 7))) FROM generate_series(1, 40) AS n});
$staging->ask('POST', '/_providers', { sms => { delay_ms => 2000 } });
$replay =~ s/email/sms/;
$node->safe_psql('postgres', sprintf($replay, ', "target": "staging"'));
my $killed = start_relay($node, $staging, '--consumer', 'k', '--target', 'staging', '--lease', '3s', '--request-timeout', '30s');
wait_until(sub { my $n = keys %{ $staging->actions }; return ($n > 300, $n) }, 'something of it is out', 60);
$killed->kill9;
$node->safe_psql('postgres', sprintf($replay, ''));
($status, $said) = run_relay($node, $production, '--drain');
is($status, 0, 'production is drained') || diag($said);
is($node->safe_psql('postgres', delivered('production')), 340, '… of all its actions');
$staging->ask('POST', '/_providers', { sms => {} });
my $relay = start_relay($node, $staging, '--consumer', 't', '--target', 'staging');
wait_for_sql($node, q{SELECT count(*) > 0 AND bool_and(held IS NOT NULL) FROM acteon_dispatch_segment WHERE doubt_since IS NOT NULL AND target = 'staging'}, 't', 'what the killed relay had sent is held');
is($node->safe_psql('postgres', q{SELECT DISTINCT held FROM acteon_dispatch_segment WHERE held IS NOT NULL}), 'its target keeps its records elsewhere', '… because nothing can be looked up');
is($node->safe_psql('postgres', q{SELECT in_doubt FROM acteon_outbox_stats}), 0, '… which is none of production');
my $sent = join(',', keys %{ $staging->actions });
# Under whichever of its ids: one that was given another one has been sent again.
sub sent_twice
{
	my ($ids) = @_;

	return $node->safe_psql('postgres', qq{SELECT o.original_action_id FROM acteon_dispatch_outbox AS o CROSS JOIN generate_series(0, 5) AS r
		WHERE o.target = 'staging' AND acteon_replay_id(o.original_action_id, o.generation, r, o.target) = ANY ('{$ids}'::uuid[])
		GROUP BY o.id, o.original_action_id HAVING count(*) > 1 ORDER BY o.id});
}
is(sent_twice($sent), '', '… and nothing was sent twice, under whichever id');
# A person decides, and the rest follows.
my $batch = $node->safe_psql('postgres', q{SELECT max(batch_id) FROM acteon_replay_batches WHERE target = 'staging'});
$node->safe_psql('postgres', "SELECT acteon_replay_settle($batch, 'resend', 'it is only staging')");
wait_until(
	sub {
		# What was leased and not sent yet comes in doubt later.
		$node->safe_psql('postgres', "SELECT acteon_replay_settle($batch, 'resend', 'it is only staging')") if $node->safe_psql('postgres', q{SELECT EXISTS (SELECT FROM acteon_dispatch_segment WHERE held IS NOT NULL)}) eq 't';
		my $done = $node->safe_psql('postgres', delivered('staging'));

		return ($done == 340, $done);
	}, 'all of staging is delivered', 120);
is($relay->stop, 0, 'the relay ends');
isnt(sent_twice(join(',', keys %{ $staging->actions })), '', 'what a person decided to send again was sent again');
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_audit WHERE outcome = 'executed' AND action_id NOT IN (SELECT action_id::text FROM acteon_dispatch_outbox WHERE target IS NULL)}), 0, 'no record of production is of staging');
is(seen($production), replayed_to('production'), 'production has seen what is for it, and nothing else');
outbox_is_sound($node);

# A consumer of version 1.0: three arguments.
$node->safe_psql('postgres', q{SELECT count(make_record('c' || n, at => now() - interval '1 h', provider => 'push')) FROM generate_series(1, 3) AS n});
$replay =~ s/sms/push/;
$node->safe_psql('postgres', sprintf($replay, $_)) foreach ', "target": "staging"', '';
is($node->safe_psql('postgres', q{SELECT count(*) || ' ' || count(o.target) FROM acteon_outbox_claim('old', 100, '1 min') AS c JOIN acteon_dispatch_outbox AS o ON o.id = c.outbox_id}), '3 0', 'a consumer of version 1.0 is handed out what is for production');

# The names of targets.
foreach my $name ('', 'Staging', 'st.aging', '1', 'x' x 64)
{
	($status, $said) = run_relay($node, $staging, '--target', $name);
	is($status, 2, "there is no target \"$name\"");
	like($said, qr/target/, '… says the relay');
}

done_testing();
