# Bulk replays through the HTTP server: each parameter does what it says, pages
# come to an end, and a preview tells what a replay then does.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;
use Program;

my $node = new_server('bulk', conf => "fsync = off\n");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

new_http_role($node);
sql(q{
	CREATE ROLE boss;
	CREATE ROLE op_acme;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('boss', 'admin', '{*}', '{*}', '{*}', '{*}'),
		('op_acme', 'operator', '{acme}', '{*}', '{*}', '{*}');
});
my $http = start_http($node);
my $boss = $http->client(api_key($node, 'boss', 'boss'));
my $op_acme = $http->client(api_key($node, 'op_acme', 'op_acme'));

# A bulk replay with a query; returns the answer, which must be of the SDKs' form: each
# result has four keys, and its new id is a text.
sub bulk
{
	my ($query, $client, @rest) = @_;
	my $answer = ($client // $boss)->post("/v1/audit/replay?$query", @rest);
	my @odd = grep { join(' ', sort keys %$_) ne 'error new_action_id original_action_id success' || !defined $_->{new_action_id} || !defined $_->{original_action_id} }
		@{ $answer->{json}{results} // [] };

	ok($answer->{status} == 200 && !@odd, "200 for $query")
		or diag($answer->{body});
	return $answer;
}

# The actions that an answer names, in its order.
sub named
{
	my ($answer) = @_;

	return join(' ', map { $_->{original_action_id} } @{ $answer->{json}{results} // [] });
}

# A column of the batch that an answer names.
sub batch
{
	my ($answer, $expression) = @_;

	return sql("SELECT $expression FROM acteon_replay_batch WHERE id = " . ($answer->{headers}{'acteon-batch-id'} // 0));
}

#
# Nothing to do, and the form of an answer.
#

my $answer = bulk('tenant=nobody');
answers($answer, 200, { replayed => 0, failed => 0, skipped => 0, results => [] }, 'nothing to replay');
ok(!exists $answer->{headers}{$_}, "… without $_") foreach qw(acteon-batch-id acteon-next-cursor idempotency-replayed);

sql(q{
	SELECT make_record('mixed-good', chain_id => 'mixed'), make_record('mixed-redacted', chain_id => 'mixed', payload => '"[REDACTED]"'),
		make_record('mixed-none', chain_id => 'mixed', payload => NULL), make_record('mixed-globex', chain_id => 'mixed', tenant => 'globex')
});
$answer = bulk('chain_id=mixed', $op_acme);
is_deeply([ sort keys %{ $answer->{json} } ], [qw(failed replayed results skipped)], 'an answer has the four keys');
is("@{ $answer->{json} }{qw(replayed failed skipped)}", '1 1 2', 'what is not covered or has no payload is skipped');
is_deeply([ map { join(' ', sort keys %$_) } @{ $answer->{json}{results} } ], [ ('error new_action_id original_action_id success') x 2 ], '… and not listed; each result has the four keys');
my %result = map { $_->{original_action_id} => $_ } @{ $answer->{json}{results} };
is(sql("SELECT original_action_id FROM acteon_dispatch_outbox WHERE action_id = '$result{'mixed-good'}{new_action_id}'"), 'mixed-good', 'what was replayed has its new id');
ok($result{'mixed-good'}{success} && !defined $result{'mixed-good'}{error}, '… and no error');
is($result{'mixed-redacted'}{new_action_id}, '', 'what was not has an empty one, which is a text');
ok(!$result{'mixed-redacted'}{success} && $result{'mixed-redacted'}{error} =~ /redacted/, '… and an error');
is(batch($answer, 'requested_by || replayed || failed || skipped'), 'op_acme112', 'the header names the batch');
is($answer->{headers}{'content-type'}, 'application/json', 'it is JSON');
$answer = bulk('chain_id=mixed&allow_redacted=true');
is(named($answer), 'mixed-globex mixed-redacted', 'another caller may replay the rest');
is($answer->{json}{skipped}, 1, '… but what has no payload');

#
# Filters.
#

# For each, a record that it finds and one that it does not, told from others by another filter.
my %filters = (
	namespace => 'chain_id', tenant => 'chain_id', provider => 'chain_id', action_type => 'chain_id', outcome => 'chain_id',
	verdict => 'chain_id', matched_rule => 'chain_id', caller_id => 'chain_id', chain_id => 'caller_id');
foreach my $filter (sort keys %filters)
{
	my $value = $filter eq 'outcome' ? 'suppressed' : "it's a+b & 100%/\xc3\xa9";
	my $quoted = $value =~ s/'/''/gr;

	sql("SELECT make_record('$filter-found', $filter => '$quoted', $filters{$filter} => 'for $filter'), make_record('$filter-other', $filters{$filter} => 'for $filter')");
	is(named(bulk($filters{$filter} . "=for%20$filter&$filter=" . encode_uri($value))), "$filter-found", "$filter finds what it names");
	is(named(bulk($filters{$filter} . "=for%20$filter")), "$filter-other", '… and nothing else');
}

#
# Times: RFC 3339 with any offset, both ends included.
#

sql(q{SELECT make_record('time-' || n, chain_id => 'time', at => '2026-01-01 12:00:00+00'::timestamptz + n * interval '1 s') FROM generate_series(0, 4) AS n});
foreach my $times (
	'from=2026-01-01T12:00:01Z&to=2026-01-01T12:00:03Z',
	'from=2026-01-01T12%3A00%3A01Z&to=2026-01-01T12%3A00%3A03Z',
	'from=2026-01-01T12:00:01.000000Z&to=2026-01-01T12:00:03.000Z',
	'from=2026-01-01t12:00:01z&to=2026-01-01t12:00:03z',
	'from=2026-01-01T14:00:01+02:00&to=2026-01-01T14:00:03+02:00',
	'from=2026-01-01T14:00:01%2B02:00&to=2026-01-01T14:00:03%2B02:00',
	'from=2026-01-01T14%3A00%3A01%2B02%3A00&to=2026-01-01T14%3A00%3A03%2b02%3a00',
	'from=2026-01-01T07:00:01-05:00&to=2026-01-01T07:00:03-05:00',
	'from=2026-01-01T12:00:01+00:00&to=2026-01-01T12:00:03-00:00',
	'from=2026-01-02T01:59:01+13:59&to=2026-01-01T00:01:03-11:59',
	'from=2026-01-01+12:00:01Z&to=2026-01-01%2012:00:03Z',
	'from=2026-01-01+14:00:01+02:00&to=2026-01-01%2014:00:03%2B02:00',
	'from=2026-01-01T12:00:00.000001Z&to=2026-01-01T12:00:03.999999Z')
{
	is(named(bulk("chain_id=time&include_replayed=true&$times")), 'time-1 time-2 time-3', '… finds what was in that time');
}
is(named(bulk('chain_id=time&include_replayed=true&from=2026-01-01T12:00:04Z')), 'time-4', 'from alone');
is(named(bulk('chain_id=time&include_replayed=true&to=2026-01-01T12:00:00Z')), 'time-0', 'to alone');
is(named(bulk('chain_id=time&include_replayed=true&from=2026-01-01T12:00:04.000001Z')), '', 'nothing after the last');

#
# The limit, and what was replayed already.
#

sql(q{SELECT count(make_record('many-' || to_char(n, 'FM0000'), chain_id => 'many', at => '2026-01-01 12:00:00+00'::timestamptz + n * interval '1 s')) FROM generate_series(1, 1100) AS n});
my $done = 0;
foreach my $case ([ '', 50 ], [ '&limit=0', 1 ], [ '&limit=000', 1 ], [ '&limit=7', 7 ], [ '&limit=99999999999999999999', 1000 ])
{
	my $some = bulk("chain_id=many$case->[0]")->{json}{results};

	is(scalar(@$some), $case->[1], "limit: $case->[1]");
	is($some->[0]{original_action_id}, sprintf('many-%04d', $done + 1), '… the oldest that have no replay yet');
	$done += @$some;
}
is(bulk('chain_id=many&limit=1000')->{json}{replayed}, 1100 - $done, 'the rest');
is(bulk('chain_id=many&limit=1000')->{json}{replayed}, 0, 'nothing is replayed again');
is(bulk('chain_id=many&limit=1000&include_replayed=true')->{json}{replayed}, 1000, 'unless that is wanted');

#
# Pages.
#

sql(q{SELECT count(make_record('page-' || to_char(n, 'FM000'), chain_id => 'it''s a "page" é+%', at => '2026-01-01 12:00:00+00'::timestamptz + n / 10 * interval '1 s', id => 'é +%"' || n)) FROM generate_series(1, 125) AS n});
foreach my $case ([ 'raw', 'limit=10', 13 ], [ 'newest first', 'limit=60&newest_first=true&include_replayed=true', 3 ], [ 'order', 'limit=60&order=newest&include_replayed=true', 3 ])
{
	my (@seen, $cursor);
	my $pages = 0;
	my $query = 'chain_id=' . encode_uri("it's a \"page\" \xc3\xa9+%") . "&$case->[1]";

	do
	{
		# The header can go into a URL as it is.
		my $page = bulk($query . (defined $cursor ? "&cursor=$cursor" : ''));

		push @seen, map { $_->{original_action_id} } @{ $page->{json}{results} };
		$cursor = $page->{headers}{'acteon-next-cursor'};
		$pages++;
	} while (defined $cursor && $pages < 50);
	is(join(' ', sort @seen), join(' ', map { sprintf('page-%03d', $_) } 1 .. 125), "$case->[0]: every action once");
	is($pages, $case->[2], '… in so many pages');
	cmp_ok($seen[0], $case->[0] eq 'raw' ? 'lt' : 'gt', $seen[-1], '… in order');
}
my $cursor = bulk('chain_id=many&limit=1&include_replayed=1')->{headers}{'acteon-next-cursor'};
answers($boss->post("/v1/audit/replay?chain_id=other&cursor=$cursor"), 400, { error => 'cursor belongs to another query' }, "another query's cursor is refused");

#
# Further arguments have their effect.
#

my $serial = 0;
sub with
{
	my ($query, $expression, $expected, %record) = @_;
	my $chain = 'with-' . ++$serial;

	sql("SELECT make_record('$chain', chain_id => '$chain'" . join('', map { ", $_ => $record{$_}" } sort keys %record) . ')');
	my $given = bulk("chain_id=$chain&$query");
	is($given->{json}{replayed}, 1, '… replays it') or diag($given->{body});
	is(batch($given, $expression), $expected, "… and so it is written down: $expression");
	return $given;
}
my $outbox = '(SELECT %s FROM acteon_dispatch_outbox WHERE batch_id = acteon_replay_batch.id)';
with('reason=INC-7%3A+back+%C3%A9%0A', 'quote_literal(reason)', "'INC-7: back \xc3\xa9\n'");
with('rate=2.5', 'rate', '2.5');
with('rate=0.001', 'rate', '0.001');
with('rate=5&ramp=true', q{query ->> 'ramp'}, 'true');
with('start_at=2030-01-01T12:00:00%2B02:00', q{start_at AT TIME ZONE 'UTC'}, '2030-01-01 10:00:00');
with('start_at=2030-01-01T12:00:00+02:00', q{(SELECT due_at >= '2030-01-01 10:00+00' FROM acteon_dispatch_segment WHERE batch_id = acteon_replay_batch.id)}, 't');
with('newest_first=true', q{query ->> 'newest_first'}, 'true');
with('order=newest', q{(query ->> 'newest_first') || (query -> 'order' IS NULL)}, 'truetrue');
with('order=newest&newest_first=true', q{query ->> 'newest_first'}, 'true');
with('order=oldest', q{query -> 'newest_first' IS NULL}, 't');
with('order=oldest&newest_first=0', q{query -> 'newest_first' IS NULL}, 't');
with('include_replayed=1', q{query ->> 'include_replayed'}, 'true');
with('breaker_window=7', 'breaker_window', '7');
with('breaker_window=0', 'breaker_window IS NULL', 't');
with('breaker_share=0.25', 'breaker_share', '0.25');
with('max_generation=7', q{query ->> 'max_generation'}, '7');
with('max_depth=4', q{query ->> 'max_depth'}, '4');
with('provider_override=sms', sprintf($outbox, 'provider'), 'sms');
with('dedup=drop', sprintf($outbox, 'dedup_key IS NULL'), 't', metadata => q{'{"__dedup_key": "k"}'});
with('dedup=keep', sprintf($outbox, 'dedup_key'), 'k', metadata => q{'{"__dedup_key": "k"}'});
with('allow_redacted=true', sprintf($outbox, 'payload'), '"[REDACTED]"', payload => q{'"[REDACTED]"'});
with('on_doubt=hold', 'on_doubt', 'hold');
with('limit=7', q{query ->> 'limit'}, '7');
with('lost=true&certain=0', q{query ->> 'lost'}, 'true');
with('allow_effective=true&allow_unproven=true', q{(query ->> 'allow_effective') || (query ->> 'allow_unproven')}, 'truetrue');
sql(q{ALTER TABLE acteon_audit ADD COLUMN IF NOT EXISTS attachment_metadata jsonb NOT NULL DEFAULT '[]'; SELECT make_record('attached', chain_id => 'attached');
	UPDATE acteon_audit SET attachment_metadata = '[{"id": "x"}]' WHERE action_id = 'attached'});
is(bulk('chain_id=attached')->{json}{failed}, 1, 'attachments fail a record');
is(bulk('chain_id=attached&allow_partial=true')->{json}{replayed}, 1, '… unless that is wanted');

# The same for a single action.
sql(q{SELECT make_record('single', payload => '"[REDACTED]"', metadata => '{"__dedup_key": "k"}')});
answers($boss->post('/v1/audit/single/replay?reason=a+b&allow_redacted=true&allow_partial=1&dedup=drop&provider_override=sms'), 200, qr/"success" : true/, 'a single action with all that it can have');
is(sql(q{SELECT b.reason || ' ' || o.provider || ' ' || (o.dedup_key IS NULL) || ' ' || b.query FROM acteon_dispatch_outbox AS o JOIN acteon_replay_batch AS b ON b.id = o.batch_id WHERE o.original_action_id = 'single'}),
	'a b sms true {"dedup": "drop", "action_id": "single", "allow_partial": true, "allow_redacted": true, "provider_override": "sms"}', 'all of it was taken');

# The SDKs send no body, or an empty one.
sql(q{SELECT make_record('body', chain_id => 'body')});
is(bulk('chain_id=body', $boss, body => '{}', headers => { 'Content-Type' => 'application/json' })->{json}{replayed}, 1, 'a body that says nothing is taken');

#
# Several outcomes, what was lost, what took effect.
#

sql(q{SELECT make_record(o || '-' || n, chain_id => 'effects', outcome => o, details => d::jsonb, at => '2026-01-01 12:00+00'::timestamptz + n * interval '1 s')
	FROM (VALUES (1, 'executed', '{"status": "Success"}'), (2, 'executed', '{"status": "Failure"}'), (3, 'failed', '{"code": "TIMEOUT", "attempts": 4}'), (4, 'circuit_open', '{}'),
		(5, 'throttled', '{}'), (6, 'scheduled', '{}'), (7, 'suppressed', '{}')) AS r (n, o, d)});
my $effects = 'chain_id=effects&include_replayed=true&max_generation=100';
is(named(bulk("$effects&outcome=failed,circuit_open")), 'failed-3 circuit_open-4', 'outcomes with a comma');
is(named(bulk("$effects&outcome=circuit_open&outcome=failed&outcome=failed")), 'failed-3 circuit_open-4', '… or one by one');
is(named(bulk("$effects&outcome=throttled")), 'throttled-5', '… or a single one');
is(named(bulk("$effects&lost=true")), 'executed-2 failed-3 circuit_open-4 throttled-5', 'what was lost');
is(named(bulk("$effects&lost=true&certain=true")), 'executed-2 circuit_open-4 throttled-5', '… for certain');
$answer = bulk("$effects");
is(named($answer) . " $answer->{json}{skipped}", 'executed-2 failed-3 circuit_open-4 throttled-5 suppressed-7 2', 'what took effect is skipped');
is(join(' ', sort keys %{ $answer->{json} }), 'failed replayed results skipped', '… in an answer of the form that SDKs know');
$answer = bulk("$effects&allow_effective=true");
is("$answer->{json}{replayed} $answer->{json}{skipped}", '7 0', '… unless that is wanted');
is(bulk("$effects&outcome=executed&allow_effective=true")->{json}{replayed}, 2, '… by its outcome, too');
is(bulk("$effects&lost=true&dry_run=true")->{json}{beware}{uncertain}, 1, 'a preview counts what may have had an effect');
is(bulk("$effects&dry_run=true")->{json}{beware}{effective}, 2, '… and what took effect');
is(bulk("$effects&allow_effective=true&dry_run=true")->{json}{beware}{effective}, 2, '… which is repeated if that is allowed');

# What is mistyped, and what is missing.
$answer = bulk('provider=emial');
is(join(' ', map { "$_=" . (ref $answer->{json}{$_} ? scalar @{ $answer->{json}{$_} } : $answer->{json}{$_}) } sort keys %{ $answer->{json} }), 'failed=0 replayed=0 results=0 skipped=0', 'a value that no record has: an answer of the form that SDKs know');
$answer = bulk('provider=emial&dry_run=true');
is("$answer->{json}{not_found}[0]{filter} $answer->{json}{not_found}[0]{value} $answer->{json}{not_found}[0]{closest}[0]", 'provider emial email', '… of which a preview tells the closest one');
is($answer->{json}{refused}, undef, '… and no reason why it would be refused');
$answer = bulk('dry_run=true&limit=3');
is($answer->{json}{refused}, 'a bulk replay needs a filter', '… as there is without a filter');
is(bulk('tenant=&dry_run=true')->{json}{matched}, 0, 'a filter that is empty is not one that is missing');
is(bulk('tenant=&allow_effective=true')->{json}{replayed}, 0, '… in a replay neither');
sql(q{SELECT make_record('lone', chain_id => 'intent', outcome => 'pending', at => '2025-01-01 12:00+00'); UPDATE acteon_audit SET chain_id = NULL, matched_rule = 'intent' WHERE action_id = 'lone'});
is(bulk('matched_rule=intent&outcome=pending&allow_unproven=true&allow_partial=true')->{json}{replayed}, 1, 'a lone intent, if that is wanted');
answers($boss->post('/v1/audit/lone/replay'), 422, qr/intent/, 'a single one: 422');
answers($boss->post('/v1/audit/lone/replay?allow_unproven=true&allow_partial=true&on_doubt=hold'), 200, qr/"success" : true/, '… unless that is wanted');
is(sql('SELECT on_doubt FROM acteon_replay_batch ORDER BY id DESC LIMIT 1'), 'hold', '… and what becomes of doubts is kept');

#
# A preview.
#

sql(q{SELECT make_record('dry-' || n, chain_id => 'dry', payload => CASE n WHEN 1 THEN NULL WHEN 2 THEN '"[REDACTED]"'::jsonb ELSE '{}' END, tenant => CASE WHEN n < 5 THEN 'acme' ELSE 'globex' END) FROM generate_series(1, 9) AS n});
bulk('chain_id=dry&tenant=globex&limit=1');
my $counts = 'SELECT (SELECT count(*) FROM acteon_replay_batch), (SELECT count(*) FROM acteon_dispatch_outbox), (SELECT count(*) FROM acteon_dispatch_segment)';
foreach my $case ([ 'op_acme', $op_acme, 2, 6 ], [ 'boss', $boss, 4, 1 ])
{
	my ($name, $client, $replayable, $skipped) = @$case;
	my $before = sql($counts);
	my $preview = bulk('chain_id=dry&dry_run=true&sample=2&rate=2&reason=x&wait=30', $client);
	my $told = $preview->{json};

	is(sql($counts), $before, "$name: a preview changes nothing");
	ok(!exists $preview->{headers}{'acteon-batch-id'}, '… and has no batch');
	is(scalar(@{ $told->{sample} }), 2, '… but the sample that was asked for');
	is("$told->{matched} $told->{replayable}", "9 $replayable", '… and what would be replayed');
	my $replay = bulk('chain_id=dry&dry_run=false', $client)->{json};
	is($replay->{replayed}, $told->{replayable}, 'a replay then replays as many');
	is($replay->{failed}, $told->{not_replayed}{redacted}, '… as many fail');
	is($replay->{skipped}, $told->{not_replayed}{no_payload} + ($told->{not_replayed}{no_grant} // 0), '… and as many are skipped');
	is($replay->{skipped}, $skipped, '… which it should be');
}
is(scalar(@{ bulk('chain_id=dry&dry_run=true&include_replayed=true')->{json}{sample} }), 5, 'five are the sample that nobody asked for');

is($http->stop, 0, 'the server ends well');
done_testing();
