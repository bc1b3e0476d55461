# Incidents, from the first look to the end of it, with a real relay and a stub
# gateway that keeps a ledger of its own.  Each ends with a sound outbox, with
# the same counts on both sides, and with every lost action done exactly once.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Relay;

my $node = new_relay_server('incidents');
my $gateway = start_gateway();
my %down = (effect => JSON::PP::false, body => { Failed => { code => '421', message => 'provider is down', retryable => JSON::PP::true, attempts => 3 } });

$node->safe_psql('postgres', Acteon::fixture('gateway_records'));
$node->safe_psql('postgres', q{
	CREATE ROLE oncall LOGIN;
	CREATE ROLE acme_support LOGIN;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('oncall', 'operator', '{*}', '{prod}', '{*}', '{*}'),
		('acme_support', 'operator', '{acme}', '{prod}', '{slack}', '{*}')});

# Records of an hour, n of them: the name that their ids begin with, when the hour
# begins, and arguments of make_record() as SQL expressions in n.
sub records
{
	my ($name, $hour, $count, %arguments) = @_;
	my $arguments = join('', map { ", $_ => $arguments{$_}" } sort keys %arguments);

	return $node->safe_psql('postgres', qq{
		SELECT count(make_record('$name' || n, at => timestamptz '$hour' + n * interval '1 hour' / $count, payload => jsonb_build_object('order', n)$arguments))
		FROM generate_series(1, $count) AS n});
}

# A relay.  It is patient: an answer that it did not wait for is one that the
# gateway's ledger has, and the view has not.
sub relay
{
	return start_relay($node, $gateway, '--request-timeout', '60s', '--lease', '150s', @_);
}

# What a role is told by a statement.
sub as_role
{
	my ($role, $sql) = @_;

	return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]);
}

# A column of a batch in the view.
sub batch
{
	my ($id, $column) = @_;

	return $node->safe_psql('postgres', "SELECT $column FROM acteon_replay_batches WHERE batch_id = $id");
}

# Run a statement as a role to its end, and return the number of the batch that
# it tells of, and all that it tells.
sub call
{
	my ($role, $sql) = @_;
	my $session = start_psql($node, $role, $sql);
	my $status = $session->wait_for_end;
	my $log = $session->log;

	is($status, 0, "$role: " . ($sql =~ s/\s+/ /gr =~ s/(.{60}).+/$1.../r)) or diag($log);
	return ($log =~ /batch (\d+)/, $log);
}

# The gateway's ledger of a batch's actions: their histories by id.
sub ledger
{
	my ($batch) = @_;
	my $actions = $gateway->actions;

	return { map { $actions->{$_} ? ($_ => $actions->{$_}) : () }
		split(/\n/, $node->safe_psql('postgres', "SELECT action_id FROM acteon_dispatch_outbox WHERE batch_id = $batch")) };
}

# How many actions of a batch the gateway saw for the first time after a moment of its clock.
sub begun_after
{
	my ($batch, $moment) = @_;

	return scalar(grep { $_->{log}[0][0] > $moment } values %{ ledger($batch) });
}

# Test that the gateway comes to see so many actions of the only batch that goes
# out, beside those that it knew.
sub gone_out
{
	my ($known, $goal) = @_;

	return wait_until(sub { my $seen = $gateway->stats->{ids} - $known; return ($seen >= $goal, $seen) }, "$goal of it have gone out");
}

# Test that something that is replayed now goes through: the relay is at work, and
# has been at the queue since whatever was done before.
sub relay_is_at_work
{
	my ($name) = @_;

	records($name, '2026-01-31 00:00+00', 1, provider => q{'probe'});
	as_role('oncall', "SELECT acteon_replay('${name}1', reason => 'does anything go out?')");
	return wait_for_sql($node, "SELECT state FROM acteon_replay_lineage('${name}1') WHERE generation = 1", 'delivered', 'what is replayed meanwhile goes out');
}

# How often the lost actions took effect whose ids begin with a name: "1: 3000".
sub effects_of
{
	my ($name) = @_;
	my $effects = $gateway->effects;
	my %count;

	$count{ $effects->{$_} }++ foreach grep { /^$name\d+$/ } keys %$effects;
	return join(', ', map { "$_: $count{$_}" } sort keys %count);
}

# How every incident ends.
sub all_is_well
{
	outbox_is_sound($node);
	gateway_agrees($node, $gateway);
	$gateway->has_no_violations;
	return;
}

# The provider was down for an hour, comes back, and goes down again half-way.
sub provider_down_and_back
{
	my $relay = relay();

	records('down-', '2026-01-15 12:00+00', 3000, provider => q{'email'}, tenant => q{(ARRAY['acme', 'acme.eu-west', 'globex', 'initech'])[1 + n % 4]});
	records('sms-', '2026-01-15 12:00+00', 300, provider => q{'sms'}, tenant => q{'acme'});
	records('fine-', '2026-01-15 12:00+00', 500, provider => q{'email'}, outcome => q{'executed'});

	# What would it do?
	my $plan = decode_json(as_role('oncall', q{SELECT acteon_replay_preview('{"provider": "email", "outcome": "failed",
		"from": "2026-01-15T12:00:00Z", "to": "2026-01-15T13:00:00Z", "rate": 1000, "ramp": true}'::jsonb)}));
	is("$plan->{matched} $plan->{replayable}", '3000 3000', 'the preview tells what was lost');
	my $query = encode_json($plan->{query});

	# After a third of it the provider will be down again.  The batch is to notice, not the provider's own circuit breaker.
	$node->safe_psql('postgres', q{SELECT acteon_replay_limit_set(provider => 'email', breaker_window => 0)});
	$gateway->rules({ match => { provider => 'email', after => 1000 }, answer => \%down });

	# It does that, and the first tenth slowly.
	my ($batch) = call('oncall', "CALL acteon_replay_all('$query'::jsonb, reason => 'INC-42: e-mail provider was down')");
	is(batch($batch, 'replayed, failed, skipped, requested_by'), '3000|0|0|oncall', 'what was shown is what runs');

	# The provider is down again.
	wait_for_sql($node, "SELECT state FROM acteon_replay_batches WHERE batch_id = $batch", 'paused', 'the batch pauses itself');
	like(batch($batch, 'stop_reason, stopped_by IS NULL'), qr/^circuit breaker: \d+ of the last 50 deliveries failed\|t$/, '… and says why');
	is($node->safe_psql('postgres', "SELECT event, role_name FROM acteon_replay_log WHERE batch_id = $batch ORDER BY id"), "start|oncall\nbreaker|relay", '… in the log, too');
	wait_for_sql($node, "SELECT in_flight FROM acteon_replay_batches WHERE batch_id = $batch", '0', 'what was in flight comes to its end');
	my $sent = keys %{ ledger($batch) };
	my $failed = $gateway->stats->{outcomes}{Failed};
	cmp_ok($failed, '>=', 26, 'more than half of fifty deliveries had failed');
	cmp_ok($sent, '<', 2000, 'most of the rest was kept back');
	is($sent - $failed, 1000, 'before that a third was delivered');
	is(batch($batch, 'waiting'), 3000 - $sent, '… and waits');
	relay_is_at_work('paused-');
	is(scalar(keys %{ ledger($batch) }), $sent, 'but nothing of the paused batch');
	outbox_is_sound($node, 'a paused batch is sound');

	# It is up again: on with it.
	$gateway->rules();
	is(as_role('oncall', "SELECT state FROM acteon_replay_resume($batch, reason => 'provider is up again')"), 'running', 'resumed');
	wait_for_sql($node, "SELECT state FROM acteon_replay_batches WHERE batch_id = $batch", 'finished', 'all of it is delivered');
	is_deeply(decode_json(batch($batch, 'delivered_by')), { Executed => 3000 - $failed, Failed => $failed }, 'but some to a provider that was down');

	# The first tenth went at a tenth of the rate, which takes 3 seconds.
	my @begun = sort { $a <=> $b } map { $_->{log}[0][0] } values %{ ledger($batch) };
	cmp_ok($begun[299] - $begun[0], '>', 1.5, 'the ramp held the first tenth back');

	# Those are in the gateway's records as failed, and are replayed as any other.
	$node->safe_psql('postgres', 'SELECT gateway_records()');
	my ($again) = call('oncall', q{CALL acteon_replay_all(provider => 'email', outcome => 'failed', from_time => '2026-01-15 12:00+00', reason => 'INC-42: what failed again')});
	is(batch($again, 'matched, replayed, failed, passed_over'), 3000 + $failed . "|$failed|0|3000", 'what failed again is replayed again, and nothing else');
	wait_for_sql($node, "SELECT state FROM acteon_replay_batches WHERE batch_id = $again", 'finished', 'it is delivered');
	is(effects_of('down-'), '1: 3000', 'each lost action is done once');
	is(effects_of('(?:sms|fine)-'), '', '… and no other');
	is($node->safe_psql('postgres', "SELECT count(*), max(depth) FROM acteon_dispatch_outbox AS o, LATERAL (SELECT max(depth) AS depth FROM acteon_replay_lineage(o.action_id::text)) AS l WHERE o.batch_id = $again"),
		"$failed|2", 'lineage knows them as replays of replays');
	all_is_well();
	is($relay->stop, 0, 'exit code 0');
	return;
}

# A rule suppressed too much.  Somebody with grants for one tenant and one provider
# brings back what is theirs.
sub rule_too_strict
{
	my $relay = relay();
	my %suppressed = (provider => q{'slack'}, outcome => q{'suppressed'}, verdict => q{'suppress'});

	records('quiet-acme-', '2026-01-16 12:00+00', 60, %suppressed, matched_rule => q{'quiet-hours'}, tenant => q{(ARRAY['acme', 'acme.eu-west'])[1 + n % 2]});
	records('quiet-globex-', '2026-01-16 12:00+00', 30, %suppressed, matched_rule => q{'quiet-hours'}, tenant => q{'globex'});
	records('quiet-email-', '2026-01-16 12:00+00', 7, %suppressed, matched_rule => q{'quiet-hours'}, provider => q{'email'});
	records('fraud-', '2026-01-16 12:00+00', 10, %suppressed, matched_rule => q{'fraud'});

	my $preview = q{FROM acteon_replay_preview(matched_rule => 'quiet-hours', outcome => 'suppressed', from_time => '2026-01-16 12:00+00', reason => 'INC-43: too strict')};
	is(as_role('acme_support', "SELECT matched, replayable $preview WHERE section = 'total'"), '97|60', 'the preview tells what is theirs');
	is(as_role('acme_support', "SELECT count(*) $preview WHERE concat(item, note) LIKE '%globex%'"), '0', '… and does not name the others');
	my $query = as_role('acme_support', "SELECT note $preview WHERE section = 'query'");
	my ($batch) = as_role('acme_support', "SELECT acteon_replay_bulk('$query'::jsonb) - 'results' ->> 'batch_id'") =~ /^(\d+)$/;
	is(batch($batch, 'replayed, failed, skipped, requested_by, reason'), '60|0|37|acme_support|INC-43: too strict', 'what was shown is what runs');
	wait_for_sql($node, "SELECT state FROM acteon_replay_batches WHERE batch_id = $batch", 'finished', 'it is delivered');
	is(effects_of('quiet-acme-'), '1: 60', 'each suppressed action of theirs is done once');
	is(effects_of('(?:quiet-globex|quiet-email|fraud)-'), '', '… and no other');
	all_is_well();
	is($relay->stop, 0, 'exit code 0');
	return;
}

# The wrong tenant was picked: all of a big one, where a part of it was meant.
sub wrong_tenant
{
	my $relay = relay();

	records('big-email-', '2026-01-17 12:00+00', 4000, tenant => q{'bigcorp'}, provider => q{'email'});
	records('big-sms-', '2026-01-17 12:00+00', 4000, tenant => q{'bigcorp'}, provider => q{'sms'});
	$gateway->rules({ answer => { delay_ms => 20 } });
	my $known = $gateway->stats->{ids};
	my ($batch) = call('oncall', q{CALL acteon_replay_all(tenant => 'bigcorp', outcome => 'failed', rate => 200, reason => 'INC-44')});
	is(batch($batch, 'replayed'), '8000', 'all of it is in the queue');
	gone_out($known, 300);

	# Nothing that was not in flight when this commits will reach the gateway.
	my ($state, $in_flight, $cancelled) = split /\|/, as_role('oncall', "SELECT state, in_flight, cancelled FROM acteon_replay_cancel($batch, reason => 'the wrong filter')");
	my $moment = $gateway->stats->{now};
	is($state, 'cancelled', 'noticed and cancelled');
	cmp_ok($cancelled, '>=', 2000, 'thousands that waited are cancelled');
	relay_is_at_work('cancelled-');
	wait_for_sql($node, "SELECT in_flight, waiting FROM acteon_replay_batches WHERE batch_id = $batch", '0|0', 'what was in flight comes to its end');
	my $delivered = keys %{ ledger($batch) };
	is(batch($batch, 'state, delivered, cancelled'), "cancelled|$delivered|" . (8000 - $delivered), 'all of it was delivered or is cancelled');
	is(8000 - $delivered, $cancelled, '… as many as the call said');
	outbox_is_sound($node, 'a cancelled batch is sound');

	# The part that was meant: but for what went out already.
	my $gone = grep { /^big-email-/ } keys %{ $gateway->effects };
	my $wrong = $delivered - $gone;
	$gateway->rules();
	my ($right) = call('oncall', q{CALL acteon_replay_all(tenant => 'bigcorp', provider => 'email', outcome => 'failed', reason => 'INC-44: e-mail only')});
	is(batch($right, 'replayed, failed, passed_over'), 4000 - $gone . "|0|$gone", 'what was cancelled is free to be replayed');
	wait_for_sql($node, "SELECT state FROM acteon_replay_batches WHERE batch_id = $right", 'finished', 'it is delivered');
	is(effects_of('big-email-'), '1: 4000', 'what was meant is done once each');
	is(effects_of('big-sms-'), $wrong > 0 ? "1: $wrong" : '', '… and of the rest what had gone out before the cancel');
	cmp_ok(begun_after($batch, $moment), '<=', $in_flight, "of the cancelled batch nothing has gone out since then but what was in flight, $in_flight");
	is($node->safe_psql('postgres', "SELECT event, role_name, reason FROM acteon_replay_log WHERE batch_id = $batch ORDER BY id"), "start|oncall|INC-44\ncancel|oncall|the wrong filter", 'the log tells who cancelled it');
	all_is_well();
	is($relay->stop, 0, 'exit code 0');
	return;
}

# A pause while a relay is at work, at full speed.
sub pause_in_full_swing
{
	my $claimed = 20;
	my $relay = relay('--batch-size', $claimed, '--concurrency', 8);

	records('swing-', '2026-01-18 12:00+00', 3000, tenant => q{'globex'});
	$gateway->rules({ answer => { delay_ms => 40 } });
	my $known = $gateway->stats->{ids};
	my ($batch) = call('oncall', q{CALL acteon_replay_all(tenant => 'globex', outcome => 'failed', from_time => '2026-01-18 12:00+00', to_time => '2026-01-18 13:00+00')});
	foreach my $goal (300, 900)
	{
		gone_out($known, $goal);
		my ($state, $in_flight) = split /\|/, as_role('oncall', "SELECT state, in_flight FROM acteon_replay_pause($batch, reason => 'what is this?')");
		my $moment = $gateway->stats->{now};
		is($state, 'paused', 'paused');
		relay_is_at_work("swing-paused-$goal-");
		wait_for_sql($node, "SELECT in_flight FROM acteon_replay_batches WHERE batch_id = $batch", '0', 'what was in flight comes to its end');
		# A pause waits for nobody: a claim may be under way.
		cmp_ok(begun_after($batch, $moment), '<=', $in_flight + $claimed, "of the paused batch nothing has gone out but what was in flight, $in_flight");
		my $sent = keys %{ ledger($batch) };
		cmp_ok($sent, '<', 3000, 'the rest waits');
		is(batch($batch, 'waiting, delivered'), 3000 - $sent . "|$sent", '… as the view says');
		is(as_role('oncall', "SELECT state FROM acteon_replay_resume($batch)"), 'running', 'resumed');
	}
	$gateway->rules();
	wait_for_sql($node, "SELECT state FROM acteon_replay_batches WHERE batch_id = $batch", 'finished', 'all of it is delivered');
	is(effects_of('swing-'), '1: 3000', 'each lost action is done once');
	all_is_well();
	is($relay->stop, 0, 'exit code 0');
	return;
}

# The laptop is closed while acteon_replay_all is at work.
sub laptop_closed
{
	my $relay = relay();

	# At this rate it waits for its deliveries when it is a minute's worth ahead.
	records('lap-', '2026-01-19 12:00+00', 5000, tenant => q{'initech'});
	my $session = start_psql($node, 'oncall', q{SET client_connection_check_interval = '200ms'},
		q{CALL acteon_replay_all(tenant => 'initech', outcome => 'failed', from_time => '2026-01-19 12:00+00', to_time => '2026-01-19 13:00+00', rate => 20, chunk => 100, reason => 'INC-46')});
	wait_for_sql($node, q{SELECT state FROM acteon_replay_batches WHERE reason = 'INC-46' AND delivered > 0 AND replayed >= 500}, 'enqueuing', 'it is half-way');
	is($session->kill9, 'signal 9', 'the laptop is closed');
	wait_for_sql($node, qq{SELECT count(*) FROM pg_stat_activity WHERE application_name = '$session->{name}'}, '0', 'the server has noticed');
	my $batch = $node->safe_psql('postgres', q{SELECT batch_id FROM acteon_replay_batches WHERE reason = 'INC-46'});
	my ($state, $matched, $replayed) = split /\|/, batch($batch, 'state, matched, replayed');
	is("$state $matched", 'interrupted 5000', 'the view says that it is not through');
	cmp_ok($replayed, '<', 5000, "… but has come to $replayed");
	outbox_is_sound($node, 'a batch that was left half-way is sound');

	# Another machine, the same role; and two of them, as one does not know of the other.
	as_role('oncall', "SELECT acteon_replay_set_rate($batch, 2000, reason => 'it bears more')");
	my @sessions = map { start_psql($node, 'oncall', "CALL acteon_replay_continue($batch, reason => 'laptop was closed')") } 1 .. 2;
	is($_->wait_for_end, 0, 'continued') || diag($_->log) foreach @sessions;
	is(batch($batch, 'matched, replayed, failed, skipped, passed_over'), '5000|5000|0|0|0', 'all that matched has been replayed, by one batch');
	wait_for_sql($node, "SELECT state FROM acteon_replay_batches WHERE batch_id = $batch", 'finished', 'it is delivered');
	is(effects_of('lap-'), '1: 5000', 'each lost action is done once');
	like($node->safe_psql('postgres', "SELECT DISTINCT event, role_name, reason FROM acteon_replay_log WHERE batch_id = $batch ORDER BY 1"),
		qr/^continue\|oncall\|laptop was closed\nset_rate\|oncall\|it bears more\nstart\|oncall\|INC-46$/, 'the log tells who went on with it');
	all_is_well();
	is($relay->stop, 0, 'exit code 0');
	return;
}

subtest 'the provider was down, and comes back' => \&provider_down_and_back;
subtest 'a rule was too strict' => \&rule_too_strict;
subtest 'the wrong tenant was picked' => \&wrong_tenant;
subtest 'paused in full swing' => \&pause_in_full_swing;
subtest 'the laptop is closed' => \&laptop_closed;

done_testing();
