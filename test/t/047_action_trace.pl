# acteon_replay.trace_actions: the server log says what becomes of each action, in the order in which it does, and of
# nothing while it is off.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $node = new_server('trace');

# What the log says of actions while statements run in one session.
sub said_while
{
	my ($statements) = @_;
	my $from = -s $node->logfile;

	$node->safe_psql('postgres', $statements);
	return map { decode_json($_) } slurp_file($node->logfile, $from) =~ /LOG:  acteon_replay action: (\{.*\})$/mg;
}

# Some columns of what is said.
sub told
{
	my ($event) = @_;

	return join ' ', map { my $value = $event->{$_} // '-'; "$_=" . (ref $value ? ($value ? 1 : 0) : $value) } @_[ 1 .. $#_ ];
}

my $life = q{
	SELECT replayed FROM acteon_replay_bulk(lost => true);
	CREATE TEMP TABLE held AS SELECT * FROM acteon_outbox_claim('c', 2);
	SELECT acteon_outbox_ack(ARRAY[outbox_id], ARRAY[lease_token], ARRAY['{"Executed": {"status": "success"}}'::jsonb], ARRAY[action_id]) FROM held WHERE outbox_id = 1;
	SELECT acteon_outbox_doubt(ARRAY[outbox_id], ARRAY[lease_token], '{timed out}', ARRAY[action_id]) FROM held WHERE outbox_id = 2;
};

$node->safe_psql('postgres', q{SELECT count(make_record('t' || i)) FROM generate_series(1, 2) AS i});
my @events = said_while("SET acteon_replay.trace_actions = on; $life");
# Ids are inserted in their order, which is random.
is(join("\n", sort map { told($_, 'event', 'call', 'id', 'original', 'generation') } grep { $_->{event} ne 'segment' } @events),
	"event=delivery call=acteon_outbox_ack() id=1 original=- generation=-\nevent=enqueued call= id=1 original=t1 generation=1\nevent=enqueued call= id=2 original=t2 generation=1\n"
	. "event=handed out call=acteon_outbox_claim() id=1 original=- generation=-\nevent=handed out call=acteon_outbox_claim() id=2 original=- generation=-",
	'what is enqueued, what is handed out and what ends is told');
is(join("\n", sort map { told($_, 'event', 'id', 'batch', 'action_id') . ($_->{lease_token} ? ' leased' : '') } grep { $_->{event} =~ /enqueued|handed out/ } @events),
	$node->safe_psql('postgres', q{
		SELECT format('event=enqueued id=%s batch=%s action_id=%s', id, batch_id, action_id) FROM acteon_dispatch_outbox UNION ALL
		SELECT format('event=handed out id=%s batch=- action_id=%s leased', id, action_id) FROM acteon_dispatch_outbox ORDER BY 1}),
	'… in which batch, and under which ids');
is(join("\n", map { told($_, 'call', 'first_id', 'last_id', 'attempt', 'doubt', 'held', 'refused', 'unproven') . ($_->{lease_token} ? ' leased' : '') } grep { $_->{event} eq 'segment' } @events),
	"call= first_id=1 last_id=2 attempt=0 doubt=0 held=0 refused=0 unproven=0\n"
	. "call=acteon_outbox_claim() first_id=1 last_id=2 attempt=1 doubt=0 held=0 refused=0 unproven=0 leased\n"
	. "call=acteon_outbox_ack() first_id=2 last_id=2 attempt=1 doubt=0 held=0 refused=0 unproven=0 leased\n"
	. "call=acteon_outbox_doubt() first_id=2 last_id=2 attempt=1 doubt=1 held=0 refused=0 unproven=0",
	'… and each change of a segment, with the call that made it');
is($node->safe_psql('postgres', "SELECT pg_xact_status('$_->{xid}')"), 'committed', "… and the transaction, $_->{event}") foreach $events[0], $events[-1];

$node->safe_psql('postgres', q{SELECT count(make_record('u' || i)) FROM generate_series(1, 2) AS i});
is(scalar(said_while(q{SELECT replayed FROM acteon_replay_bulk(lost => true); SELECT count(*) FROM acteon_outbox_claim('c', 2)})), 0, 'nothing is told while it is off');

# A new id, after the first one was given up.
@events = said_while(q{SET acteon_replay.trace_actions = on; SET acteon_replay.gateway_patience = 0; SET acteon_replay.audit_is_live = on;
	SELECT success FROM acteon_replay('t1', on_doubt => 'resend');
	SELECT count(*) FROM acteon_outbox_claim('c', 100);
	SELECT acteon_outbox_nack(array_agg(first_id), array_agg(lease_token), array_agg('429'::text), array_agg('0 s'::interval), array_agg(gen_random_uuid()))
		FROM acteon_dispatch_segment WHERE first_id = (SELECT max(first_id) FROM acteon_dispatch_segment);
	SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('"AlreadyDispatched"'::jsonb), array_agg(action_id)) FROM acteon_outbox_claim('c', 100);
	SELECT count(*) FROM acteon_outbox_claim('c', 100)});
is_deeply([ map { $_->{action_id} } grep { $_->{event} eq 'handed out' && $_->{id} == $events[0]->{id} } @events ],
	[ split /\n/, $node->safe_psql('postgres', "SELECT acteon_replay_id('t1', 2, n) FROM (VALUES (0), (0), (1)) AS v (n)") ],
	'what is handed out again, under which id');

# In a transaction that is rolled back the lines are there, and the transaction tells.
@events = said_while(q{SET acteon_replay.trace_actions = on; BEGIN; SELECT success FROM acteon_replay('t1'); ROLLBACK});
is($node->safe_psql('postgres', "SELECT pg_xact_status('$events[0]->{xid}')"), 'aborted', 'what is rolled back can be told apart');

done_testing();
