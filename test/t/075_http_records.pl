# GET /v1/audit and GET /v1/audit/{action_id}: what the gateway itself was recorded to answer (fixtures/gateway/audit_http.jsonl)
# is answered here, member by member and byte by byte; to whom grants cover it, and to nobody else; by the gateway's indexes,
# whatever the statistics say.  The gateway's other paths are known by name.
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

my $node = new_server('records', conf => q{
	fsync = off
	session_preload_libraries = 'auto_explain'
	auto_explain.log_min_duration = 0
	auto_explain.log_nested_statements = on
	auto_explain.log_level = log
});
my $json = JSON::PP->new->utf8->canonical;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# The settings of sessions are none of the gateway's.
new_http_role($node);
sql(q{
	ALTER ROLE acteon_http SET timezone = 'Asia/Kathmandu';
	ALTER ROLE acteon_http SET datestyle = 'SQL, DMY';
	ALTER ROLE acteon_http SET extra_float_digits = 0;
	CREATE ROLE boss; CREATE ROLE reader; CREATE ROLE narrow; CREATE ROLE globex; CREATE ROLE nobody; CREATE ROLE relay;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('boss', 'admin', '{*}', '{*}', '{*}', '{*}'), ('reader', 'viewer', '{*}', '{*}', '{*}', '{*}'),
		('narrow', 'operator', '{acme}', '{prod}', '{email}', '{*}'), ('globex', 'viewer', '{globex}', '{*}', '{*}', '{*}'),
		('relay', 'gateway', '{*}', '{*}', '{*}', '{*}')});
my $http = start_http($node);
my %client = map { $_ => $http->client(api_key($node, $_, $_)) } qw(boss reader narrow globex nobody relay);
$client{none} = $http->client;
my %role = ('X-API-Key: admin key, grant on everything' => 'boss', 'X-API-Key: viewer key, grant on everything' => 'reader',
	'X-API-Key: operator key, grant tenant acme / namespace prod / provider email only' => 'narrow', none => 'none');

# The recorded cases.
my @cases = grep { $_->{request}{method} eq 'GET' && $_->{request}{path} =~ m{^/v1/audit} } map { decode_json($_) } split /\n/, slurp_file("$FindBin::RealBin/../fixtures/gateway/audit_http.jsonl");
cmp_ok(scalar @cases, '>', 45, 'cases were recorded');
my %case = map { $_->{_case} => $_ } @cases;

# The records in their answers, of which a list shows the first only.
sub records_of
{
	my ($case) = @_;
	my $body = $case->{body};

	return () if !ref $body;
	return grep { ref } $body->{records} ? @{ $body->{records} } : $body->{verdict} ? $body : ();
}

# Put records into the audit table.
sub add_records
{
	my (@records) = @_;
	my $text = $json->encode([ map { { attachment_metadata => [], %$_ } } @records ]);

	utf8::decode($text);
	sql("INSERT INTO acteon_audit SELECT (jsonb_populate_record(NULL::acteon_audit, r)).* FROM jsonb_array_elements(\$json\$$text\$json\$) AS r");
	# Unlike NULL, JSON null is a payload.
	return;
}
my %listed = map { $_->{id} => $_ } map { records_of($_) } grep { exists $_->{body}{records} } grep { ref $_->{body} } @cases;
is(scalar keys %listed, 8, 'of the thirteen that were there, eight are shown');
# Of two of the others a cursor has the time and the id.  All five meet what the filters and grants find.
my $other = { %{ (values %listed)[0] }, action_type => 'send_email', verdict => 'allow', matched_rule => undef, caller_id => 'client', namespace => 'prod' };
my @others = (
	{ id => '01a21a4d-f158-7e03-b83c-7c5151e8ee22', dispatched_at => '2026-11-27T00:00:45.400500Z', tenant => 'acme', provider => 'email', outcome => 'executed' },
	{ id => '01a21a4d-f13e-75d0-b242-68742ac4244e', dispatched_at => '2026-11-27T00:00:45.374500Z', tenant => 'acme', provider => 'down', outcome => 'failed' },
	{ id => '01a21a4d-f160-7000-8000-000000000001', dispatched_at => '2026-11-27T00:00:45.410000Z', tenant => 'globex', provider => 'email', outcome => 'executed' },
	{ id => '01a21a4d-f148-7000-8000-000000000002', dispatched_at => '2026-11-27T00:00:45.380000Z', tenant => 'acme.eu', provider => 'email', outcome => 'executed' },
	{ id => '01a21a4d-f12a-7000-8000-000000000003', dispatched_at => '2026-11-27T00:00:45.355000Z', tenant => 'acme-corp', provider => 'down', outcome => 'failed' });
add_records(values %listed, map { { %$other, %$_, action_id => "other $_->{id}" } } @others);

# What is answered otherwise, and why.
my %differs = (
	'audit_param_sort_by_sequence_asc=true&limit=1' => 'not documented there, and unknown here',
	'audit_param_unknown=1&limit=1' => 'a parameter that nobody knows is refused here',
	'audit_bad_from=2020-01-01T00:00:00+02:00' => 'the + of an offset need not be escaped here',
	audit_narrow_all => 'only what the grants cover is listed here', audit_narrow_sub => 'the same',
	'audit_bad_cursor=garbage' => 'it is the fault of the client', audit_no_key => 'a server of ours has another text',
	audit_get_soc2 => 'which of the two comes is not defined there', get_encrypted => 'only the gateway can open it',
	audit_get_slash_raw => 'slashes in an id may stand as they are here');
is(join(' ', grep { !$case{$_} } keys %differs), '', 'those that differ are cases');

# Compare an answer with a recorded one.
sub compare
{
	my ($case) = @_;
	my ($name, $expected) = ($case->{_case}, $case->{body});
	my $answer = $client{ $role{ $case->{request}{auth} } // die "unknown key: $case->{request}{auth}" }->get($case->{request}{path});

	is($answer->{status}, $case->{status}, "$name: status") or diag($answer->{body});
	is($answer->{headers}{'content-type'}, 'application/json', "$name: JSON");
	if ($case->{status} >= 400)
	{
		my $said = ref $expected ? $expected->{error} : ($expected =~ /: (\w+): /)[0];

		ref $expected ? is($answer->{json}{error}, $said, "$name: the gateway's words") : like($answer->{json}{error}, qr/^\Q$said\E: /, "$name: the parameter is named");
		return;
	}
	if (!$expected->{records})
	{
		is($answer->{body}, $json->encode($expected), "$name: byte by byte");
		return;
	}
	my @records = @{ $answer->{json}{records} };
	my %page = %{ $answer->{json} };
	my %wanted = %$expected;

	is(scalar @records, delete $wanted{_records_returned}, "$name: number of records");
	delete $page{records};
	delete $wanted{records};
	is_deeply(\%page, \%wanted, "$name: the rest of the page");
	is($json->encode($records[0] // {}), $json->encode(($expected->{records}[0]) // {}), "$name: the first record");
	is($answer->{body}, $json->encode($answer->{json}), "$name: in the gateway's order, without blanks");
	is($answer->{headers}{'acteon-next-cursor'}, $expected->{next_cursor}, "$name: the cursor is in a header, too");
	return;
}
compare($_) foreach grep { !$differs{ $_->{_case} } && $_->{request}{path} !~ m{^/v1/audit/} } @cases;
my @singles = grep { $_->{_case} ne 'get_encrypted' && !$listed{ $_->{id} } } map { records_of($case{$_}) } qw(audit_get_slash_encoded audit_get_soc2);
add_records(@singles);
compare($_) foreach grep { !$differs{ $_->{_case} } && $_->{request}{path} =~ m{^/v1/audit/} } @cases;

# What differs.
my %narrow = map { $_ => $client{narrow}->get($case{$_}{request}{path})->{json} } qw(audit_narrow_all audit_narrow_sub);
is(join(' ', map { "$_->{tenant}/$_->{provider}" } @{ $narrow{audit_narrow_all}{records} }), 'acme/email acme/email acme.eu/email acme/email acme.eu/email acme/email', 'a list has what the grants cover');
is($narrow{audit_narrow_all}{total}, 6, '… and counts that');
is($narrow{audit_narrow_sub}{total}, 2, '… of a tenant, too');
is($client{none}->get('/v1/audit')->{status}, 401, 'no key');
is($client{none}->get('/v1/audit/nope')->{status}, 401, '… for a single record');
is($client{boss}->get($case{'audit_bad_cursor=garbage'}{request}{path})->{status}, 400, 'a cursor that is none');
is($client{boss}->get('/v1/audit?from=2020-01-01T00:00:00+02:00')->{json}{total}, 15, 'a + that is not escaped');
is($client{boss}->get('/v1/audit/invoice/2026/1')->{body}, $json->encode($case{audit_get_slash_encoded}{body}), 'slashes that are not escaped');
my $intent = $case{audit_get_soc2}{body};
is($client{boss}->get("/v1/audit/$intent->{action_id}")->{body}, $json->encode($intent), 'an intent alone');
add_records({ %$intent, id => $intent->{id} =~ s/-intent$//r, outcome => 'executed', outcome_details => { status => 'Success' }, sequence_number => 1 });
is($client{boss}->get("/v1/audit/$intent->{action_id}")->{json}{outcome}, 'executed', 'of an intent and its outcome of the same time, the outcome');
my $sealed = { %{ $case{get_encrypted}{body} }, action_payload => 'ENC[AES256-GCM,data:AA==,iv:AA==,tag:AA==]' };
add_records($sealed);
is($client{boss}->get("/v1/audit/$sealed->{action_id}")->{body}, $json->encode($sealed), 'an encrypted payload as it is stored');

# Nobody gets what no grant covers, by whatever way.
my $theirs = $case{audit_get}{body}{action_id};
answers($client{globex}->get("/v1/audit/$theirs"), 403, qr/"no grant covers this audit record"/, 'the record of another tenant');
answers($client{globex}->get('/v1/audit?tenant=acme'), 403, qr/"no grant covers tenant=acme"/, 'the records of another tenant');
answers($client{$_}->get("/v1/audit/$theirs"), 403, qr/insufficient permissions/, "$_ has no grant to read") foreach qw(nobody relay);
answers($client{$_}->get('/v1/audit'), 403, qr/insufficient permissions/, "… nor a list") foreach qw(nobody relay);
my %seen;
foreach my $query ('', 'limit=1', 'limit=1000', 'offset=1', 'provider=down', 'outcome=failed', 'outcome=failed,executed', 'namespace=prod', 'caller_id=client', "cursor=$case{audit_page1}{body}{next_cursor}", "cursor=$case{audit_page3}{body}{next_cursor}", 'to=2026-11-27T00:00:46Z', 'tenant=globex')
{
	my $list = $client{globex}->get("/v1/audit?$query");

	is($list->{status}, 200, "globex: $query");
	$seen{ $_->{tenant} }++ foreach @{ $list->{json}{records} };
	unlike($list->{body}, qr/acme/, '… without anything of others');
}
is(join(' ', keys %seen), 'globex', 'only its own');

# A record that is revoked from view is gone from the next request.
sql(q{UPDATE acteon_grants SET tenants = '{initech}' WHERE grantee = 'globex'::regrole});
is($client{globex}->get('/v1/audit')->{json}{total}, 0, 'a grant that is changed counts at once');

# The gateway's other paths, and what is no path at all.
foreach my $request ('POST /v1/dispatch', 'POST /v1/dispatch/batch', 'GET /v1/rules', 'GET /v1/compliance/status', 'GET /v1/chains/c-1', 'DELETE /v1/silences/7', 'GET /v1/stream', 'GET /admin/circuit-breakers', 'GET /.well-known/acteon-signing-keys', 'PUT /v1/rules/r/enabled')
{
	my ($method, $path) = split / /, $request;

	foreach my $who (qw(boss none))
	{
		my $answer = $client{$who}->request($method, $path, body => $method eq 'POST' ? '{"id": "x"}' : '');

		answers($answer, 501, qr/"only the gateway itself has this path: send the request to it/, "$request: $who");
	}
}
is($client{boss}->get('/v1/unknown')->{status}, 404, 'a path that nobody has');
is($client{boss}->post("/v1/audit/$theirs")->{status}, 405, 'another method');
is($client{boss}->get("/v1/audit/$theirs/replay")->{status}, 405, '… of a replay');
is($client{boss}->request('HEAD', "/v1/audit/$theirs")->{status}, 200, 'HEAD');

# A large table, never analyzed or with statistics of when it was empty: the order comes from the gateway's indexes.
sub plans
{
	my ($query) = @_;
	my $from = -s $node->logfile;
	my $answer = $client{boss}->get($query);

	is($answer->{status}, 200, $query) or diag($answer->{body});
	return grep { /SELECT a\.action_id/ } split /(?=duration: [\d.]+ ms +plan:)/, slurp_file($node->logfile, $from);
}
foreach my $state ('never analyzed', 'analyzed when it was empty')
{
	sql('DROP TABLE acteon_audit');
	sql(fixture($_)) foreach qw(audit_table audit_indexes);
	sql('ALTER TABLE acteon_audit SET (autovacuum_enabled = off)');
	sql('ANALYZE acteon_audit') if $state ne 'never analyzed';
	sql(q{SELECT count(make_record('a-' || n, at => '2026-01-01'::timestamptz + n * interval '1 s', outcome => CASE WHEN n % 3 = 0 THEN 'failed' ELSE 'executed' END)) FROM generate_series(1, 20000) AS n});
	foreach my $case ([ 'outcome=failed', 'acteon_audit_outcome_idx' ], [ 'provider=email', 'acteon_audit_provider_idx' ], [ 'namespace=prod&tenant=acme', 'acteon_audit_ns_tenant_idx|acteon_audit_rule_idx' ])
	{
		foreach my $more ('', '&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z')
		{
			my @plans = plans("/v1/audit?limit=5&$case->[0]$more");

			is(scalar @plans, 1, "$state: $case->[0]: one statement for the page");
			like($plans[0], qr/Index Scan (?:Backward )?using (?:$case->[1])/, '… which follows the index');
			unlike($plans[0], qr/Seq Scan|Bitmap|(?<!Incremental )Sort\b(?! Key)/, '… in its order') or diag($plans[0]);
		}
	}
	my @plans = plans('/v1/audit/a-7');

	is(scalar @plans, 1, "$state: one statement for a record");
	like($plans[0], qr/Index Scan using/, '… which follows an index');
}

is($http->stop, 0, 'the server ends in good order') or diag($http->log);
done_testing();
