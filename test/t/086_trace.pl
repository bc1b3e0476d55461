# Traces: W3C's traceparent and tracestate go from the request that replays an action to
# the request that the gateway gets, and change nothing else; those that are malformed
# are ignored.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Http;
use Relay;

my $node = new_relay_server('trace');
my $gateway = start_gateway();
$node->safe_psql('postgres', q{
	CREATE ROLE ops;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('ops', 'operator', '{*}', '{*}', '{*}')});
new_http_role($node);
my $http = start_http($node);
my $client = $http->client(api_key($node, 'ops', 'ops'));
my $trace_id = '0af7651916cd43dd8448eb211c80319c';
my $parent = "00-$trace_id-b7ad6b7169203331-01";
my $state = 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE';
my $serial = 0;

# A record to replay; returns its id.
sub record
{
	my (%options) = @_;
	my $id = 'r-' . ++$serial;
	my $arguments = join('', map { ", $_ => $options{$_}" } sort keys %options);

	$node->safe_psql('postgres', "SELECT make_record('$id'$arguments)");
	return $id;
}

# The new id of a record's last replay.
sub new_id
{
	my ($id) = @_;

	return $node->safe_psql('postgres', "SELECT action_id FROM acteon_dispatch_outbox WHERE original_action_id = '$id' ORDER BY id DESC LIMIT 1");
}

# Replay a record over HTTP with such headers; returns the new id.
sub replay
{
	my ($id, %headers) = @_;
	my $answer = $client->post("/v1/audit/$id/replay", headers => \%headers);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($answer->{status}, 200, 'a replay') || diag($answer->{body});
	return $answer->{json}{new_action_id};
}

# Each value of the headers, and what arrives at the gateway.
my $quoted = 'a=x"y\\\\z ,b= c';
my @cases = (
	[ 'none', {}, undef, undef ],
	[ 'a trace', { traceparent => $parent }, $parent, undef ],
	[ '… that is not sampled', { traceparent => $parent =~ s/01$/00/r }, $parent =~ s/01$/00/r, undef ],
	[ '… with a state', { traceparent => $parent, tracestate => $state }, $parent, $state ],
	[ '… of odd characters', { TraceParent => $parent, TraceState => $quoted }, $parent, $quoted ],
	[ '… of a later version', { traceparent => "cc-$trace_id-b7ad6b7169203331-03-more" }, $parent, undef ],
	[ '… of one that is not sampled', { traceparent => "01-$trace_id-b7ad6b7169203331-02" }, $parent =~ s/01$/00/r, undef ],
	[ 'a state alone', { tracestate => $state }, undef, undef ],
	[ 'a state that is too long', { traceparent => $parent, tracestate => 'a=' . 'x' x 511 }, $parent, undef ],
	[ '… that is just not', { traceparent => $parent, tracestate => 'a=' . '"' x 510 }, $parent, 'a=' . '"' x 510 ],
	[ '… of too many members', { traceparent => $parent, tracestate => join(',', map { "k$_=v" } 1 .. 33) }, $parent, undef ],
	[ '… with empty places in the list, which do not count, and tabs', { traceparent => $parent, tracestate => "a=1,, \t,b=\"\\t,\tc=3\t," . ',' x 40 . 'd=4' }, $parent, "a=1,, \t,b=\"\\t,\tc=3\t," . ',' x 40 . 'd=4' ],
	[ '… that is a list of nothing', { traceparent => $parent, tracestate => ', ,' }, $parent, undef ],
	[ '… with a tab in a value', { traceparent => $parent, tracestate => "a=1\t2" }, $parent, undef ],
	[ '… with a value of blanks', { traceparent => $parent, tracestate => 'a= ,b=1' }, $parent, undef ],
	[ '… of words', { traceparent => $parent, tracestate => 'hello' }, $parent, undef ],
	[ '… that is not ASCII', { traceparent => $parent, tracestate => "a=\xe9" }, $parent, undef ],
	(map { [ "malformed: $_", { traceparent => $_, tracestate => $state }, undef, undef ] } (
		'', 'x', "00-$trace_id-b7ad6b7169203331", "$parent-", "$parent-x", "${parent}0", uc $parent, "ff-$trace_id-b7ad6b7169203331-01",
		'00-' . '0' x 32 . '-b7ad6b7169203331-01', "00-$trace_id-" . '0' x 16 . '-01', "00-$trace_id-b7ad6b7169203331-0g",
		"0x-$trace_id-b7ad6b7169203331-01", "00_${trace_id}_b7ad6b7169203331_01", "'; DROP TABLE acteon_grants; --", "\xc3\xa9" x 28)));
my $key = private_file('key', "test-key\n");
my %new = map { ($_->[0] => replay(record(), %{ $_->[1] })) } @cases;
my ($status, $log) = run_relay($node, $gateway, '--drain', '--log-level', 'debug');
is($status, 0, 'all are delivered') || diag($log);
my $actions = $gateway->actions;
foreach my $case (@cases)
{
	my ($name, undef, $expected, $expected_state) = @$case;

	is_deeply($actions->{ $new{$name} }{traces}, defined $expected ? [ [ $expected, $expected_state ] ] : [], "$name: what the gateway gets");
}
like($log, qr/event="answer".* trace=$trace_id /, "the relay's log names the trace");
like($http->log, qr/event="request".* trace=$trace_id /, "… and so does the server's");

# Two traceparents are none.
my $two = record();
my $connection = $http->connect;
$connection->send("POST /v1/audit/$two/replay HTTP/1.1\r\nHost: x\r\n$_\r\nContent-Length: 0\r\ntraceparent: $parent\r\ntraceparent: $parent\r\n\r\n")
	foreach map { "Authorization: $_" } $client->{headers}{Authorization};
is($connection->answer->{status}, 200, 'two headers');
is($node->safe_psql('postgres', "SELECT labels ? '__traceparent' FROM acteon_dispatch_outbox WHERE original_action_id = '$two'"), 'f', '… are no trace');

# Bulk replays, with an Idempotency-Key, which is the same with another trace.
record(tenant => q{'bulk'}) foreach 1 .. 3;
my @bulk = map { $client->post('/v1/audit/replay?tenant=bulk', headers => { 'Idempotency-Key' => 'k', traceparent => $_ }) } $parent, $parent =~ s/b7/b8/r;
is("$_->{status} $_->{json}{replayed}", '200 3', 'a bulk replay') foreach @bulk;
is($bulk[1]{headers}{'idempotency-replayed'}, 'true', '… the second time with another trace');
# Later requests over the same connections are in no trace.
my $after = replay(record());
is($node->safe_psql('postgres', q{
	SELECT string_agg(DISTINCT labels ->> '__traceparent', ' ') || ' ' || count(*) FROM acteon_dispatch_outbox WHERE tenant = 'bulk'}), "$parent 3", 'all of its actions are in the trace');
is($node->safe_psql('postgres', "SELECT labels ? '__traceparent' FROM acteon_dispatch_outbox WHERE action_id = '$after'"), 'f', 'the next request is not');

# In SQL, by a setting that any role has.
my $sql = record(metadata => q{'{"traceparent": "a label", "__traceparent": "of a record", "__tracestate": "x=y", "__fingerprint": "f", "k": "v"}'});
my $plain = record(tenant => q{'other'}, metadata => q{'{"traceparent": "a label", "__traceparent": "of a record", "__tracestate": "x=y", "__fingerprint": "f", "k": "v"}'});
$node->safe_psql('postgres', "SET ROLE ops; SELECT acteon_replay('$plain'); SET acteon_replay.traceparent = '$parent'; SET acteon_replay.tracestate = '$state'; SELECT acteon_replay('$sql')");
my $is = sub { return $node->safe_psql('postgres', "SELECT $_[1] FROM acteon_dispatch_outbox WHERE original_action_id = '$_[0]'") };
is($is->($sql, 'fingerprint'), 'f', 'the fingerprint is what it was');
is($is->($sql, q{labels - '__traceparent' - '__tracestate' - 'replayed_from'}), $is->($plain, q{labels - 'replayed_from'}), 'the labels are what they are without a trace');
is($is->($sql, q{labels ->> '__traceparent'}), $parent, 'the trace of a record is not restored, but that of the session is taken');

# The id of a replay does not depend on it: generations are the same.
my ($one, $generation) = split /\|/, $node->safe_psql('postgres', qq{
	BEGIN; SET acteon_replay.traceparent = '$parent'; SELECT new_action_id FROM acteon_replay('$plain'); ROLLBACK;
	BEGIN; SELECT new_action_id FROM acteon_replay('$plain'); ROLLBACK}) =~ s/\n/|/r;
is($one, $generation, 'ids are the same with a trace and without');

# The body: the same without a trace, and with one a valid action that has it at its end.
# A payload that looks like the end of one deceives nobody.
my $spoof = q{'{"a": 1, "trace_context": {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "created_at": "2026-01-01T00:00:00Z"}'};
my $deceiver = new_id(do { my $id = record(payload => $spoof); $node->safe_psql('postgres', "SELECT acteon_replay('$id')"); $id });
my $end = ', "trace_context": {"traceparent": "' . $parent . '"}, "created_at": "';
my $fields = new_id(do { my $id = record(metadata => qq{jsonb_build_object('__status', '$end')}); $node->safe_psql('postgres', "SELECT acteon_replay('$id')"); $id });
my %claimed = map { /^([^|]+)\|(.*)$/ ? ($1 => $2) : () } split /\n/, $node->safe_psql('postgres', q{
	BEGIN; SELECT action_id || '|' || action FROM acteon_outbox_claim('look', 1000, '1 s'); ROLLBACK});
my $action = decode_json($claimed{ new_id($sql) });
is_deeply($action->{trace_context}, { traceparent => $parent, tracestate => $state }, 'the action has its trace');
is($action->{metadata}{traceparent}, 'a label', '… and a label of that name');
unlike($claimed{ new_id($sql) }, qr/__trace/, '… and no other');
unlike($claimed{$after}, qr/trace/, 'an action without a trace does not speak of one');
($status, $log) = run_relay($node, $gateway, '--drain');
$actions = $gateway->actions;
is_deeply($actions->{$deceiver}{traces}, [], 'a payload is not taken for a trace');
is_deeply($actions->{$fields}{traces}, [], '… nor a field');

# With --trace every request has one, of its own, or that of its action.
my ($with, $without) = (replay(record(), traceparent => $parent, tracestate => $state), replay(record()));
enqueue($node, name => 'own-', count => 40);
($status, $log) = run_relay($node, $gateway, '--drain', '--trace');
is($status, 0, '--trace: all are delivered');
$actions = $gateway->actions;
is_deeply($actions->{$with}{traces}, [ [ $parent, $state ] ], '… with the trace that they have');
my @own = map { @{ $actions->{$_}{traces} } } $without, split /\n/, $node->safe_psql('postgres', "SELECT action_id FROM acteon_dispatch_outbox WHERE original_action_id LIKE 'own-%'");
is(scalar(@own), 41, '… or with one of their own');
is_deeply([ grep { $_->[0] !~ /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01$/ || defined $_->[1] } @own ], [], '… that is well-formed');
my %ids = map { (substr($_->[0], 3, 32) => 1) } @own;
is(scalar(keys %ids), 41, '… and each another one');
$gateway->has_no_violations;

# Patching waiting actions, and replaying what was replayed.
my $patched = record(tenant => q{'patched'}, outcome => q{'failed'}, payload => q{'{"a": 1}'});
$client->post('/v1/audit/replay?tenant=patched', headers => { traceparent => $parent });
my $batch = $node->safe_psql('postgres', q{SELECT max(id) FROM acteon_replay_batch});
$node->safe_psql('postgres', qq{SELECT acteon_replay_patch($batch, '{"a": 2}', reason => 'test')});
is($node->safe_psql('postgres', "SELECT count(*) || ' ' || count(DISTINCT labels ->> '__traceparent') FROM acteon_dispatch_outbox WHERE original_action_id = '$patched'"), '2 1',
	'an action that is patched while it waits stays in its trace');
($status, $log) = run_relay($node, $gateway, '--drain');
is($status, 0, '… and is delivered');
outbox_is_sound($node);

done_testing();
