# Batches over HTTP: who sees what of them, pages of them, and who may pause,
# resume and cancel them.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;
use Program;

my $node = new_server('steering', conf => "fsync = off\n");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

new_http_role($node);
sql(q{
	CREATE ROLE boss;
	CREATE ROLE admin_acme;
	CREATE ROLE op_acme;
	CREATE ROLE op_acme_2;
	CREATE ROLE op_globex;
	CREATE ROLE viewer_acme;
	CREATE ROLE nobody;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('boss', 'admin', '{*}', '{*}', '{*}', '{*}'),
		('admin_acme', 'admin', '{acme}', '{*}', '{*}', '{*}'),
		('op_acme', 'operator', '{acme}', '{*}', '{*}', '{*}'),
		('op_acme_2', 'operator', '{acme}', '{*}', '{*}', '{*}'),
		('op_globex', 'operator', '{globex}', '{*}', '{*}', '{*}'),
		('viewer_acme', 'viewer', '{acme}', '{*}', '{*}', '{*}');
	SELECT make_record('a-' || n, at => '2026-01-01 12:00+00'::timestamptz + n * interval '1 s') FROM generate_series(1, 7) AS n;
});
my $http = start_http($node);
my %client = map { $_ => $http->client(api_key($node, $_, $_)) } qw(boss admin_acme op_acme op_acme_2 op_globex viewer_acme nobody);

# The numbers of the batches that somebody is shown.
sub listed
{
	my ($role, $query) = @_;
	my $answer = $client{$role}->get('/v1/replay/batches' . ($query // ''));

	is_deeply([ sort keys %{ $answer->{json} // {} } ], ['batches'], "$role: batches" . ($query // ''));
	return join(' ', map { $_->{batch_id} } @{ $answer->{json}{batches} // [] });
}

# Seven batches of op_acme, one action each.
is(listed('boss'), '', 'there is no batch');
foreach my $n (1 .. 7)
{
	my $answer = $client{op_acme}->post("/v1/audit/replay?from=2000-01-01T00:00:00Z&reason=INC-$n&limit=1");

	is($answer->{headers}{'acteon-batch-id'}, $n, "batch $n");
}

#
# Lists.
#

is(listed('boss'), '7 6 5 4 3 2 1', 'the newest first');
is(listed('boss', '?limit=3'), '7 6 5', 'a page');
is(listed('boss', '?limit=3&before=5'), '4 3 2', 'the next one');
is(listed('boss', '?limit=3&before=2'), '1', 'the last one');
is(listed('boss', '?before=1'), '', 'nothing is older');
is(listed('boss', '?before=999999999999999999'), '7 6 5 4 3 2 1', 'all are older than a large number');
is(listed('boss', '?limit=0'), '7', 'one at least');
is(listed('boss', '?limit=999999999999'), '7 6 5 4 3 2 1', 'and as many as there are');
answers($client{boss}->get('/v1/replay/batches?befor=3'), 400, qr/unknown parameter: befor \(perhaps you meant before\)/, 'what nobody knows is refused');
sql(q{SELECT acteon_replay_pause(2), acteon_replay_cancel(5), finish((SELECT action_id FROM acteon_dispatch_outbox WHERE batch_id = 3), 'delivered')});
is(listed('boss', '?state=paused'), '2', 'those that are paused');
is(listed('boss', '?state=cancelled'), '5', '… cancelled');
is(listed('boss', '?state=finished'), '3', '… finished');
is(listed('boss', '?state=running&limit=2&before=7'), '6 4', '… running, page by page');
is(listed('boss', '?state=enqueuing'), '', '… enqueuing');
sql(q{SELECT acteon_replay_resume(2)});
# The speed goes down as time goes by: what is asked for lies between two views that are the same.
my ($list, $view);
wait_until(
	sub {
		my $all = 'SELECT jsonb_agg(to_jsonb(b) ORDER BY batch_id DESC) FROM acteon_replay_batches AS b';

		$view = sql($all);
		$list = $client{boss}->get('/v1/replay/batches')->{json}{batches};
		return (sql($all) eq $view, $view);
	}, 'the speed is the same for a while');
is_deeply($list, decode_json($view), 'a list tells what acteon_replay_batches tells');
my $one = $client{boss}->get('/v1/replay/batches/7');
is_deeply($one->{json}, $list->[0], 'one batch is told as in the list');
is($one->{headers}{'acteon-batch-id'}, 7, '… and named in the header');
is($one->{json}{requested_by} . $one->{json}{reason} . $one->{json}{state}, 'op_acmeINC-7running', '… with who, why and how it is');
is_deeply($client{boss}->get('/v1/replay/batches/0007')->{json}, $list->[0], 'zeros in front do not matter');

#
# Who sees what.
#

my $globex = sql(q{
	SELECT make_record('g-' || n, tenant => 'globex', at => '2026-02-01 12:00+00'::timestamptz + n * interval '1 s') FROM generate_series(1, 3) AS n
}) && $client{op_globex}->post('/v1/audit/replay?tenant=globex&from=2026-02-01T00:00:00Z&reason=secret')->{headers}{'acteon-batch-id'};
is($globex, 8, "another tenant's batch");
is(listed('boss'), '8 7 6 5 4 3 2 1', 'boss sees all');
is(listed($_), '7 6 5 4 3 2 1', "$_ sees those of acme") foreach qw(admin_acme op_acme op_acme_2 viewer_acme);
is(listed('op_globex'), '8', 'op_globex sees its own');
is(listed('nobody'), '', 'who has no grant sees none');
foreach my $role (qw(admin_acme op_acme op_acme_2 viewer_acme nobody))
{
	answers($client{$role}->get('/v1/replay/batches/8'), 404, { error => 'batch 8 does not exist' }, "$role: there is no batch 8");
	unlike($client{$role}->get('/v1/replay/batches')->{body}, qr/secret|globex/, '… and nothing is told of it');
}
answers($client{op_globex}->get('/v1/replay/batches/1'), 404, { error => 'batch 1 does not exist' }, 'op_globex: there is no batch 1');

#
# Steering.
#

# Steer a batch; returns the answer.
sub steer
{
	my ($role, $batch, $what) = @_;

	return $client{$role}->post("/v1/replay/batches/$batch/$what");
}

sub event
{
	return sql('SELECT event, batch_id, role_name, session_role, reason FROM acteon_replay_log ORDER BY id DESC LIMIT 1');
}

my %waiting = (waiting => 1, in_flight => 0, cancelled => 0);
answers(steer('op_acme', 7, 'pause?reason=INC-7:+it+is+not+over'), 200, { batch_id => 7, state => 'paused', %waiting }, 'who has started it pauses it');
is(event(), 'pause|7|op_acme|acteon_http|INC-7: it is not over', '… which is logged');
is(sql(q{SELECT state || ': ' || stop_reason || ' by ' || stopped_by FROM acteon_replay_batches WHERE batch_id = 7}), 'paused: INC-7: it is not over by op_acme', '… and takes effect');
answers(steer('op_acme', 7, 'pause'), 200, { batch_id => 7, state => 'paused', %waiting }, 'again');
is(sql(q{SELECT count(*) FROM acteon_outbox_claim('x', 100)}), 7, 'it is not handed out');
answers(steer('admin_acme', 7, 'resume?reason=over'), 200, { batch_id => 7, state => 'running', %waiting }, 'an admin resumes it');
is(event(), 'resume|7|admin_acme|acteon_http|over', '… which is logged');
is(sql(q{SELECT count(*) FROM acteon_outbox_claim('x', 100)}), 1, 'it is handed out');
answers(steer('boss', 7, 'pause'), 200, { batch_id => 7, state => 'paused', waiting => 0, in_flight => 1, cancelled => 0 }, 'what is in flight is told');
answers(steer('op_acme', 2, 'cancel?reason=no'), 200, qr/^\{"batch_id" : 2, "state" : "cancelled", /, 'it is cancelled');
is(event(), 'cancel|2|op_acme|acteon_http|no', '… which is logged');
answers(steer('op_acme', 2, $_), 422, { error => 'batch 2 is cancelled' }, "what is cancelled stays so: $_: 422") foreach qw(pause resume);
answers(steer('op_acme', 2, 'cancel'), 200, qr/"cancelled"/, '… but may be cancelled again');
answers(steer('op_acme', 3, 'pause'), 200, { batch_id => 3, state => 'finished', waiting => 0, in_flight => 0, cancelled => 0 }, 'there is nothing to pause in what is finished');
is(sql('SELECT stopped IS NULL FROM acteon_replay_batch WHERE id = 3'), 't', '… so it is not');

my $before = sql('SELECT count(*) FROM acteon_replay_log');
my $steered = 'can be steered by the role that started it, by its members, and by admins';
my $restrained = 'can be paused and cancelled by the role that started it, by its members, and by admins and operators of all of it';
foreach my $what (qw(pause resume cancel))
{
	my $who = $what eq 'resume' ? $steered : $restrained;

	answers(steer($_->[0], $_->[1], $what), 403, { error => "insufficient permissions: batch $_->[1] $who" }, "$_->[0] may not $what batch $_->[1]")
		foreach [ 'viewer_acme', 6 ], [ 'op_globex', 6 ], [ 'nobody', 6 ], [ 'admin_acme', 8 ], [ 'op_globex', 7 ], $what eq 'resume' ? [ 'op_acme_2', 6 ] : ();
	answers($http->client->post("/v1/replay/batches/6/$what"), 401, qr/error/, '… and without a key nothing is told');
}
is(sql('SELECT count(*) FROM acteon_replay_log'), $before, 'none of which has done anything');
is(sql('SELECT stopped IS NULL FROM acteon_replay_batch WHERE id = 6'), 't', 'the batch runs');

# Another operator of all of it may pause it, and not resume it.
answers(steer('op_acme_2', 6, 'pause'), 200, qr/"paused"/, 'an operator whose grants cover all of it pauses it');
answers(steer('op_acme_2', 6, 'resume'), 403, { error => "insufficient permissions: batch 6 $steered" }, '… and cannot resume it');
answers(steer('op_acme', 6, 'resume'), 200, qr/"running"/, 'who has started it can');

# A part of a batch.
sql(q{
	SELECT make_record('p-' || n, tenant => CASE WHEN n <= 3 THEN 'acme' ELSE 'globex' END, provider => CASE WHEN n % 3 = 0 THEN 'sms' ELSE 'email' END, at => '2026-03-01 12:00+00'::timestamptz + n * interval '1 s') FROM generate_series(1, 6) AS n
});
my $mixed = $client{boss}->post('/v1/audit/replay?from=2026-03-01T00:00:00Z&reason=parts')->{headers}{'acteon-batch-id'};

sub paused
{
	return sql("SELECT coalesce(string_agg(original_action_id, ' ' ORDER BY outbox_id), '') FROM acteon_replay_items($mixed) WHERE paused");
}
answers(steer('boss', $mixed, 'pause?tenant=acme'), 200, { batch_id => 0 + $mixed, state => 'running', waiting => 6, in_flight => 0, cancelled => 0 }, 'a tenant is paused');
is(paused(), 'p-1 p-2 p-3', '… and nothing else');
is($client{boss}->get("/v1/replay/batches/$mixed")->{json}{paused}, 3, '… which is shown');
answers(steer('boss', $mixed, 'pause?provider=sms&action_ids=p-6,none&reason=r'), 200, qr/"running"/, 'an action, if it is of a provider');
is(paused(), 'p-1 p-2 p-3 p-6', '… is paused, too');
answers(steer('boss', $mixed, 'resume?action_ids=p-1&action_ids=%5B%22p-6%22%5D'), 200, qr/"running"/, 'actions are resumed by their ids');
is(paused(), 'p-2 p-3', '… and nothing else');
answers(steer('boss', $mixed, 'resume?parts=true'), 200, qr/"running"/, 'all parts are resumed');
is(paused(), '', '… indeed');
answers(steer('boss', $mixed, 'pause?parts=true'), 400, { error => 'unknown parameter: parts' }, 'only resuming takes them');
answers(steer('boss', $mixed, 'pause?action_ids=p-2,p-3'), 200, qr/"running"/, 'some are paused again');
answers(steer('boss', $mixed, 'cancel?tenant=globex&provider=email'), 200, { batch_id => 0 + $mixed, state => 'running', waiting => 4, in_flight => 0, cancelled => 2 }, 'a part is cancelled');
answers(steer('boss', $mixed, "cancel?$_->[0]"), $_->[1], { error => $_->[2] }, "nothing is cancelled by cancel?$_->[0]") foreach
	[ 'tennant=acme', 400, 'unknown parameter: tennant (perhaps you meant tenant)' ],
	[ 'tenant=', 404, "batch $mixed has no actions of tenant \"\"" ],
	[ 'tenant=initech', 404, "batch $mixed has no actions of tenant \"initech\"" ],
	[ 'action_ids=%5B%5D', 400, 'action_ids must not be empty' ],
	[ 'tenant=acme&tenant=globex', 400, 'tenant is given twice' ];
is(sql("SELECT cancelled || ' of ' || replayed || coalesce(stop_reason, '') FROM acteon_replay_batches WHERE batch_id = $mixed"), '2 of 6', '… indeed');

is($http->stop, 0, 'the server ends well');
done_testing();
