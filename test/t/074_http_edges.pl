# The edges of the HTTP interface: what clients make of odd ids never becomes a larger
# request than was meant, misspelled parameters are refused on every path, and numbers,
# times and limits are read as the description says.
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

my $node = new_server('edges', conf => "fsync = off\n");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

new_http_role($node);
sql(q{
	CREATE ROLE boss;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('boss', 'admin', '{*}', '{*}', '{*}', '{*}');
	SELECT make_record(id) FROM unnest(ARRAY['a', 'a/b', '.', '..', 'x/..', 'a b', 'a+b', 'a%b', 'a?b', 'a#b', '100%', 'a\b', 'replay?limit=3#']) AS id;
	SELECT count(make_record('done-' || n, chain_id => 'done', outcome => 'executed')) FROM generate_series(1, 5) AS n;
	SELECT count(make_record('n-' || n, chain_id => 'n', at => '2026-01-01 12:00:00+00'::timestamptz + n * interval '1 min')) FROM generate_series(1, 9) AS n;
	SELECT count(make_record('many-' || n, chain_id => 'many', at => '2026-02-01 12:00:00+00'::timestamptz + n * interval '1 s')) FROM generate_series(1, 1005) AS n;
});
my $http = start_http($node);
my $boss = $http->client(api_key($node, 'boss', 'boss'));

# How many actions have been enqueued.
sub enqueued
{
	return sql('SELECT count(*) FROM acteon_dispatch_outbox');
}

# The error of an answer.
sub told
{
	my ($answer) = @_;

	return "$answer->{status} " . ($answer->{json}{error} // '');
}

# The ids in an answer, in its order.
sub named
{
	my ($answer) = @_;

	return join(' ', map { $_->{original_action_id} } @{ $answer->{json}{results} // [] });
}

#
# What clients send for odd ids, as doc/http.md has it: each is the request of the first
# column.  Either the action is replayed that was meant, or nothing is.
#

my @sent = (
	# by clients that resolve dot segments: Python, Node.js, Rust
	[ '.', '/v1/audit/replay', 400, 'a bulk replay needs a filter' ],
	[ 'x/..', '/v1/audit/replay', 400, 'a bulk replay needs a filter' ],
	[ '..', '/v1/replay', 404 ],
	# by all that do not encode # and ?
	[ 'replay?limit=3#', '/v1/audit/replay?limit=3', 400, 'a bulk replay needs a filter' ],
	[ 'replay?x', '/v1/audit/replay?x/replay', 400, 'unknown parameter: x/replay' ],
	[ 'replay?limit=3', '/v1/audit/replay?limit=3/replay', 400, 'limit: expected' ],
	[ 'a/replay?b', '/v1/audit/a/replay?b/replay', 400, 'unknown parameter: b/replay' ],
	[ 'a/replay?', '/v1/audit/a/replay?/replay', 400, 'unknown parameter: /replay' ],
	[ '../replay/batches/1/cancel?', '/v1/replay/batches/1/cancel?/replay', 400, 'unknown parameter: /replay' ]);
foreach my $case (@sent)
{
	my ($id, $path, $status, $error) = (@$case, '');

	like(told($boss->post($path)), qr/^$status .*\Q$error\E/, "the id $id, sent as $path: $status");
}
foreach my $path ('/v1/audit/a?b/replay', '/v1/audit/a')
{
	# No such path, or one that is not for POST.
	like(told($boss->post($path)), qr/^(404|405) /, "a cut off id, sent as $path");
}
is(enqueued(), 0, 'none of these has replayed anything');
foreach my $case (
	[ '.', '.' ], [ '..', '..' ], [ 'x/..', 'x/..', 'x%2F..' ], [ 'a/b', 'a/b', 'a%2Fb' ], [ 'a b', 'a%20b' ], [ 'a+b', 'a+b', 'a%2Bb' ],
	[ 'a%b', 'a%25b', 'a%b' ], [ 'a?b', 'a%3Fb' ], [ 'a#b', 'a%23b' ], [ '100%', '100%25', '100%' ], [ 'a\b', 'a\b', 'a%5Cb' ], [ 'replay?limit=3#', 'replay%3Flimit%3D3%23' ])
{
	my ($id, @forms) = @$case;

	is($boss->post("/v1/audit/$_/replay")->{json}{original_action_id}, $id, "$_ is $id") foreach @forms;
}
# Some clients cannot send these in a path at all.
is(named($boss->post("/v1/audit/replay?include_replayed=true&action_ids=$_")), $_, "$_ in a list") foreach '.', '..', 'x/..';
is(sql(q{SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id LIKE 'done-%'}), 0, 'no action was replayed that nobody named');

#
# Unknown parameters, on every path.
#

my $before = enqueued();
my $batch = $boss->post('/v1/audit/replay?chain_id=n&limit=1&to=2026-01-01T12:01:00Z&start_at=2090-01-01T00:00:00Z')->{headers}{'acteon-batch-id'};
foreach my $case (
	[ 'POST', '/v1/audit/replay?outcom=failed', 'outcom', 'outcome' ],
	[ 'POST', '/v1/audit/replay?dry_run=true&lst=true', 'lst', 'lost' ],
	[ 'POST', '/v1/audit/a/replay?resaon=x', 'resaon', 'reason' ],
	[ 'POST', '/v1/audit/a/replay?Wait=1', 'Wait', 'wait' ],
	[ 'GET',  '/v1/replay/causes?provder=x', 'provder', 'provider' ],
	[ 'GET',  '/v1/replay/batches?sate=running', 'sate', 'state' ],
	[ 'GET',  "/v1/replay/batches/$batch/items?efect=done", 'efect', 'effect' ],
	[ 'GET',  "/v1/replay/batches/$batch?limit=5", 'limit' ],
	[ 'POST', "/v1/replay/batches/$batch/cancel?tennant=acme", 'tennant', 'tenant' ],
	[ 'POST', "/v1/replay/batches/$batch/pause?colour=red", 'colour' ],
	[ 'GET',  '/health?x=y', 'x' ],
	[ 'GET',  '/metrics?x=y', 'x' ],
	[ 'HEAD', '/metrics?x=y' ],
	[ 'GET',  '/openapi.json?x=y', 'x' ])
{
	my ($method, $path, $name, $nearest) = @$case;
	my $answer = $boss->request($method, $path);
	my $said = defined $nearest ? "unknown parameter: $name (perhaps you meant $nearest)" : 'unknown parameter: ' . ($name // '');

	is(told($answer), $method eq 'HEAD' ? '400 ' : "400 $said", "$method $path");
}
is(enqueued(), $before + 1, 'none of these has replayed anything');
is(sql("SELECT state FROM acteon_replay_batches WHERE batch_id = $batch"), 'scheduled', '… or touched the batch');
# The names that the gateway's SDKs send are all known.
is($boss->post('/v1/audit/replay', query => [
	namespace => 'none', tenant => 'acme', provider => 'email', action_type => 'send', outcome => 'failed', verdict => 'allow', matched_rule => 'rule',
	from => '2026-01-01T00:00:00Z', to => '2026-01-02T00:00:00Z', limit => 10 ])->{status}, 200, 'the ten names of the SDKs are known');

#
# The order: the oldest first, unless the newest are asked for.
#

my $in_n = 'chain_id=n&from=2026-01-01T12:02:00Z&limit=2';
is(named($boss->post("/v1/audit/replay?$in_n")), 'n-2 n-3', 'the oldest come first');
is(named($boss->post("/v1/audit/replay?$in_n&order=newest")), 'n-9 n-8', 'with order=newest, as in the gateway, the newest');
is(named($boss->post("/v1/audit/replay?$in_n&order=oldest")), 'n-4 n-5', 'order=oldest is what there is without it');
is(named($boss->post("/v1/audit/replay?$in_n&newest_first=true")), 'n-7 n-6', 'newest_first is the same as order=newest');

#
# Times: an offset without a colon is one.
#

foreach my $case (
	[ '2026-01-01T13:03:00+0100', '2026-01-01T12:04:00+0000', 'n-3 n-4' ],
	[ '2026-01-01T13:03:00%2B0100', '2026-01-01T12:04:00%2B0000', 'n-3 n-4' ],
	[ '2026-01-01+11:03:00-0100', '2026-01-01T12:04:00-00:00', 'n-3 n-4' ])
{
	my ($from, $to, $found) = @$case;

	is(named($boss->post("/v1/audit/replay?chain_id=n&include_replayed=true&from=$from&to=$to")), $found, "from $from to $to");
}
is($boss->get("/v1/replay/causes?from=2026-01-01T00:00:00+0000&chain_id=n")->{status}, 200, 'of causes, too');
is($boss->get("/v1/replay/batches/$batch/items?from=2026-01-01T00:00:00+0000")->{status}, 200, '… and items');
like(told($boss->post("/v1/audit/replay?chain_id=n&from=2026-01-01T12:00:00$_")), qr/^400 .*from/, "not $_")
	foreach '+000', '+00', '+00:0', '+00000', '+2400', '+0060', '+00+00', '';

#
# Limits.
#

my $answer = $boss->post('/v1/audit/replay?chain_id=many&limit=5000&start_at=2090-01-01T00:00:00Z');
is($answer->{json}{replayed}, 1000, 'a limit above 1,000 is 1,000');
is($answer->{headers}{'acteon-limit'}, 1000, '… and the answer says so');
is($boss->post('/v1/audit/replay?chain_id=many&limit=3e3&dry_run=true')->{headers}{'acteon-limit'}, 1000, '… that of a preview, too');
$answer = $boss->post('/v1/audit/replay?chain_id=many&limit=0', headers => { 'Idempotency-Key' => 'k' });
is("$answer->{json}{replayed} $answer->{headers}{'acteon-limit'}", '1 1', 'a limit of 0 is 1, and the answer says so');
$answer = $boss->post('/v1/audit/replay?chain_id=many&limit=0', headers => { 'Idempotency-Key' => 'k' });
is(($answer->{headers}{'idempotency-replayed'} // '') . " $answer->{headers}{'acteon-limit'}", 'true 1', '… the repeated one, too');
is($boss->get('/v1/replay/batches?limit=1001')->{headers}{'acteon-limit'}, 1000, 'batches');
is($boss->get("/v1/replay/batches/$batch/items?limit=99999999999999999999")->{headers}{'acteon-limit'}, 10000, 'items');
is($boss->get("/v1/replay/batches?limit=$_")->{headers}{'acteon-limit'}, undef, "a limit of $_ is as it was given") foreach 1, 50, 1000, '1e3', '%2B7', '007';
is($boss->get('/v1/replay/batches')->{headers}{'acteon-limit'}, undef, 'the default is nothing to tell');
is($boss->post('/v1/audit/replay?chain_id=many&limit=5000&from=x')->{headers}{'acteon-limit'}, undef, 'an error does not say it');
like(told($boss->get("/v1/replay/batches?limit=$_")), qr/^400 limit: expected a whole number, 0 or more/, "limit=$_: 400") foreach '-1', '-0', '-1e3', '-9223372036854775809';

#
# Numbers: with exponents, as JSON has them, in every parameter that is one.
#

sub rate
{
	my ($rate) = @_;
	my $number = $boss->post("/v1/audit/replay?chain_id=n&include_replayed=true&limit=1&start_at=2090-01-01T00:00:00Z&rate=$rate")->{headers}{'acteon-batch-id'};

	return defined $number ? sql("SELECT rate::float8 FROM acteon_replay_batches WHERE batch_id = $number") : undef;
}

is(rate($_->[0]), $_->[1], "rate=$_->[0]") foreach [ '5e1', 50 ], [ '1E%2B06', 1e6 ], [ '1e+06', 1e6 ], [ '25e-1', 2.5 ], [ '1.0E7', 1e7 ];
is(scalar @{ $boss->get("/v1/replay/batches?limit=$_")->{json}{batches} }, 2, "limit=$_") foreach '2e0', '2.0', '0.02e2', '200E-2';
is($boss->get("/v1/replay/batches?before=$_")->{json}{batches}[0]{batch_id}, 1, "before=$_") foreach '2', '2e0', '2.0';
is(scalar @{ $boss->post('/v1/audit/replay?chain_id=many&include_replayed=true&dry_run=true&sample=1e1')->{json}{sample} }, 10, 'sample=1e1');
is($boss->post('/v1/audit/replay?chain_id=n&include_replayed=true&limit=1&max_depth=1e1&breaker_share=5e-1&breaker_window=1e2&wait=1e-2')->{status}, 200, 'all at once');
like(told($boss->post("/v1/audit/replay?chain_id=n&$_")), qr/^400 \w+: expected a/, "$_: 400")
	foreach 'rate=1e', 'rate=e1', 'rate=1e999', 'rate=1e-999', 'rate=0x1', 'max_depth=15e-1', 'limit=1e-1', 'wait=61e0', 'dry_run=true&sample=1e4';
like(told($boss->post("/v1/audit/replay?chain_id=n&$_->[0]")), qr/^400 .*$_->[1]/, "$_->[0]: 400, by its bounds")
	foreach [ 'max_depth=-1', 'max_depth' ], [ 'max_generation=1e10', 'max_generation' ], [ 'breaker_window=1e6', 'breaker_window' ], [ 'rate=1e-9', 'rate' ];

#
# Bounds of pages.
#

is($boss->get('/v1/replay/batches?before=9223372036854775807')->{status}, 200, 'before takes any number that a batch can have');
is_deeply($boss->get('/v1/replay/batches?before=0')->{json}{batches}, [], '… also 0');
like(told($boss->get("/v1/replay/batches?before=$_")), qr/^400 before: expected the number of a batch/, "before=$_: 400") foreach '9223372036854775808', '1e19', '-1', '', 'x', '1.5';
like(told($boss->post('/v1/audit/replay?chain_id=n&cursor=')), qr/^400 cursor must not be empty/, 'an empty cursor is none');
like(told($boss->get("/v1/replay/batches/$batch/items?cursor=")), qr/^400 cursor: expected a text that is not empty/, '… of items, neither');

done_testing();
