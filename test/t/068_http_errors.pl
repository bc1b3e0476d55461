# Errors of the HTTP server for programs: a code for each reason, whatever the language of the
# database's messages; the id of a request, from the header to the database's log; pages of
# other origins; and what metrics count.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;
use Program;

my $node = new_server('errors', conf => "fsync = off\nlog_line_prefix = '%a|'\nlog_min_error_statement = error\n");
my $top = "$FindBin::RealBin/../..";

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

new_http_role($node);
sql(q{
	CREATE ROLE boss;
	CREATE ROLE op_acme;
	CREATE ROLE op_plain;
	CREATE ROLE viewer;
	CREATE ROLE nobody;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('boss', 'admin', '{*}', '{*}', '{*}', '{*}'),
		('op_acme', 'operator', '{acme}', '{*}', '{*}', '{*}'),
		('op_plain', 'operator', '{*}', '{*}', '{*}', '{*}'),
		('viewer', 'viewer', '{*}', '{*}', '{*}', '{*}');
	ALTER TABLE acteon_audit ADD COLUMN IF NOT EXISTS attachment_metadata jsonb NOT NULL DEFAULT '[]';
	SELECT make_record('a-1'), make_record('a-2', tenant => 'globex'), make_record('no-payload', payload => NULL),
		make_record('redacted', payload => '{"to": "[REDACTED]"}'), make_record('attached'), make_record('intent', outcome => 'pending');
	UPDATE acteon_audit SET attachment_metadata = '[{"id": "x"}]' WHERE action_id = 'attached';
});
my %key = map { $_ => api_key($node, "key of $_", $_) } qw(boss op_acme op_plain viewer nobody);
my $http = start_http($node, arguments => ['--max-body=100']);
my %client = map { $_ => $http->client($key{$_}) } keys %key;
my $boss = $client{boss};
my $anyone = $http->client;

# The table of codes: status and title by code.
my %codes;
my $table = slurp_file("$top/src/base/error_codes.def");
while ($table =~ /^CODE\(\w+, "(\w+)", (\d+), \d+,\s*"([^"]+)"/mg)
{
	$codes{$1} = { status => $2, title => $3 };
}
cmp_ok(scalar keys %codes, '>', 50, 'there are codes');

# Test that an answer is the error with a code, and in good form.
sub fails
{
	my ($answer, $code, $description, %others) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return answers($answer, $codes{$code}{status}, { error => $answer->{json}{error}, code => $code, title => $codes{$code}{title}, %others }, "$description: $code");
}

#
# Codes.
#

my $paused = $boss->post('/v1/audit/replay?provider=email&tenant=globex&reason=x')->{headers}{'acteon-batch-id'};
is($boss->post("/v1/replay/batches/$paused/cancel?reason=x")->{status}, 200, 'a batch is cancelled');
$boss->post('/v1/audit/a-1/replay?reason=first', headers => { 'Idempotency-Key' => 'once' });

# What is told is independent of the language of messages, if the server has it.
my $language = sql(q{SELECT count(*) FROM pg_settings WHERE name = 'lc_messages'}) && `locale -a` =~ /^(de_DE\.utf-?8)$/mi ? $1 : '';
foreach my $messages ('C', $language || ())
{
	sql("ALTER ROLE acteon_http SET lc_messages = '$messages'");
	sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'acteon_http'});
	Program::wait_until(sub { $boss->get('/v1/replay/batches')->{status} == 200 }, 'the server is connected again', 30);

	# The things that are 422: each has its own.
	fails($boss->post('/v1/audit/no-payload/replay'), 'no_payload', "$messages: no payload");
	fails($boss->post('/v1/audit/redacted/replay'), 'redacted', "$messages: a redacted payload", hint => 'Pass allow_redacted=true to replay it anyway.')
		if $messages eq 'C';
	fails($boss->post('/v1/audit/redacted/replay'), 'redacted', "$messages: a redacted payload");
	fails($boss->post('/v1/audit/attached/replay'), 'attachments', "$messages: lost attachments");
	fails($boss->post('/v1/audit/intent/replay'), 'unproven', "$messages: an intent");
	fails($boss->post("/v1/replay/batches/$paused/resume"), 'batch_cancelled', "$messages: a cancelled batch");
	fails($boss->post('/v1/audit/a-1/replay', headers => { 'Idempotency-Key' => 'once' }), 'idempotency_key_reused', "$messages: an Idempotency-Key of another request");
	fails($boss->post('/v1/audit/a-1/replay?expire_after=1+second'), 'expired', "$messages: an action that has expired");
	fails($boss->post('/v1/audit/replay?plan=x'), 'invalid_parameter', "$messages: no plan");

	fails($boss->post('/v1/audit/replay'), 'filter_needed', "$messages: no filter");
	fails($boss->post('/v1/audit/replay?outcome=executed'), 'took_effect', "$messages: actions that took effect");
	fails($boss->post('/v1/audit/replay?outcome=pending'), 'intents', "$messages: intents");
	fails($boss->post('/v1/audit/replay?provider=email&limit=x'), 'invalid_parameter', "$messages: a bad value");
	fails($boss->post('/v1/audit/replay?provider=email&from=yesterday'), 'invalid_parameter', "$messages: a value that the extension refuses");
	fails($boss->post('/v1/audit/replay?provder=email'), 'unknown_parameter', "$messages: an unknown parameter");
	fails($boss->post('/v1/audit/replay?tenant=a&tenant=b'), 'repeated_parameter', "$messages: a parameter that is given twice");
	fails($boss->post('/v1/audit/a-1/replay?tenant=a'), 'misplaced_parameter', "$messages: a filter for one action");
	fails($boss->post('/v1/audit/a-1/replay', body => 'x'), 'body_not_empty', "$messages: a body");
	fails($boss->post('/v1/audit/a-1/replay', headers => { 'Idempotency-Key' => '' }), 'bad_idempotency_key', "$messages: a bad Idempotency-Key");
	fails($boss->post('/v1/audit/%FF/replay'), 'bad_path', "$messages: a bad path");
	fails($anyone->post('/v1/audit/a-1/replay'), 'unauthenticated', "$messages: no key");
	fails($client{viewer}->post('/v1/audit/a-1/replay'), 'no_role', "$messages: a viewer");
	fails($client{op_acme}->post('/v1/audit/a-2/replay'), 'no_grant', "$messages: another tenant's record");
	fails($client{op_plain}->post('/v1/audit/a-1/replay?patch=%7B%22a%22%3A1%7D'), 'no_patch_grant', "$messages: a patch by an operator");
	fails($boss->post('/v1/audit/a-1/replay?target=shadow'), 'target_not_allowed', "$messages: a target");
	fails($client{op_plain}->post("/v1/replay/batches/$paused/resume"), 'may_not_steer', "$messages: another's batch");
	fails($boss->post('/v1/audit/none/replay'), 'no_record', "$messages: no record");
	fails($boss->get('/v1/audit/none'), 'no_record', "$messages: no record to show");
	fails($client{op_acme}->get('/v1/audit/a-2'), 'no_grant', "$messages: another tenant's record is not shown");
	fails($client{op_acme}->get('/v1/audit?tenant=globex'), 'no_grant', "$messages: … nor listed");
	fails($client{nobody}->get('/v1/audit/a-1'), 'no_role', "$messages: no grant to read");
	fails($boss->get('/v1/replay/batches/4711'), 'no_batch', "$messages: no batch");
	fails($boss->post('/v1/replay/batches/4711/pause'), 'no_batch', "$messages: no batch to pause", hint => 'GET /v1/replay/batches lists the batches that this key may see.');
	fails($boss->get('/nowhere'), 'no_path', "$messages: no path");
	fails($boss->get('/v1/audit/replay'), 'method_not_allowed', "$messages: a wrong method");
	fails($boss->post('/v1/audit/a-1/replay', body => 'x' x 101), 'body_too_large', "$messages: a large body");
}
sql('ALTER ROLE acteon_http RESET lc_messages');

# SQL sees the same names.
is(sql(q{
	CREATE FUNCTION reason_of(text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE reason text;
	BEGIN
		EXECUTE $1;
		RETURN 'none';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS reason = CONSTRAINT_NAME;
		RETURN reason;
	END $$;
	SET ROLE boss;
	SELECT reason_of($$SELECT acteon_replay('redacted')$$)}), 'redacted', 'PL/pgSQL gets the reason as CONSTRAINT_NAME');

# What an installation lacks is for its owner, not for the client, and not its fault.
sql(q{ALTER TABLE acteon_replay_log OWNER TO op_plain});
my $broken = $boss->post('/v1/audit/a-1/replay');
fails($broken, 'broken_installation', 'tables of several owners');
unlike($broken->{body}, qr/owner|acteon_replay_log|op_plain/i, '… of which the client learns nothing');
$http->says(qr/error event="the database refuses".*id=\Q$broken->{json}{request_id}\E code=broken_installation.*detail=.*op_plain.*hint=.*OWNER TO/, '… but the log');
sql('ALTER TABLE acteon_replay_log OWNER TO CURRENT_USER');
sql(q{CREATE ROLE reader; ALTER TABLE acteon_audit OWNER TO reader; REVOKE ALL ON acteon_audit FROM reader});
$broken = $boss->post('/v1/audit/a-1/replay');
fails($broken, 'audit_unreadable', "an audit table that its owner cannot read");
unlike($broken->{body}, qr/reader|GRANT/, '… of which the client learns nothing');
sql(q{ALTER TABLE acteon_audit OWNER TO CURRENT_USER; GRANT ALL ON acteon_audit TO CURRENT_USER});
sql('ALTER TABLE acteon_audit RENAME TO hidden');
fails($boss->post('/v1/audit/a-1/replay'), 'audit_not_enabled', 'no audit table');
sql('ALTER TABLE hidden RENAME TO acteon_audit');

# What a key is told are not others' matters: an operator of one tenant.
foreach my $path ('/v1/audit/a-2/replay', '/v1/audit/none/replay', '/v1/audit/replay', "/v1/replay/batches/$paused/resume", '/v1/audit/replay?provider=email&from=x')
{
	my $answer = $client{op_acme}->post($path);

	cmp_ok($answer->{status}, '>=', 400, "op_acme: $path: $answer->{status}");
	unlike(join(' ', map { $answer->{json}{$_} // '' } qw(detail hint)), qr/globex|boss|op_plain|viewer|nobody/, '… of which detail and hint name nothing of others');
}

# A plan, and an approval.
sql('ALTER ROLE acteon_http SET acteon_replay.plan_above = 1');
sql(q{SELECT make_record('many-' || n, tenant => 'many') FROM generate_series(1, 3) AS n});
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'acteon_http'});
Program::wait_until(sub { $boss->get('/v1/replay/batches')->{status} == 200 }, 'the server is connected again', 30);
my $unplanned = $boss->post('/v1/audit/replay?tenant=many');
fails($unplanned, 'plan_needed', 'too many records without a plan');
like($unplanned->{json}{hint}, qr/dry_run=true/, '… with a hint about HTTP');
my $plan = $boss->post('/v1/audit/replay?tenant=many&dry_run=true')->{json}{plan};
sql(q{SELECT make_record('many-4', tenant => 'many')});
fails($boss->post('/v1/audit/replay', query => [ plan => $plan ]), 'plan_changed', 'a plan that no longer holds');
sql('ALTER ROLE acteon_http RESET ALL');

# What is wrong with the installation is no matter of the client.
sql('CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$; CREATE TRIGGER look BEFORE INSERT ON acteon_replay_batch FOR EACH ROW EXECUTE FUNCTION look()');
fails($boss->post('/v1/audit/a-1/replay'), 'broken_installation', 'a trigger that cannot be run', error => 'internal error');
$http->says(qr/error event=.*cannot run trigger/, '… the log says what it is');
sql('DROP TRIGGER look ON acteon_replay_batch');

#
# Ids of requests.
#

my $answer = $boss->get('/health', headers => { 'X-Request-Id' => 'INC-45/7' });
is($answer->{headers}{'x-request-id'}, 'INC-45/7', 'the id of a request is the one that the client sends');
$http->says(qr/info event="request" method=GET path=\/health status=200.* id=INC-45\/7 code="" trace="" ended=sent/, '… in the log, too');
foreach my $bad ('x' x 41, 'a b', 'a"b', "a\xffb")
{
	$answer = $boss->post('/v1/audit/none/replay', headers => { 'X-Request-Id' => $bad });
	like($answer->{headers}{'x-request-id'}, qr/^[0-9a-f]{16}$/, "… unless it is such as '$bad'");
	is($answer->{json}{request_id}, $answer->{headers}{'x-request-id'}, '… and the error has the one that is made');
}
foreach my $case ([ 'GET', '/metrics' ], [ 'GET', '/openapi.json' ], [ 'GET', '/nowhere' ], [ 'OPTIONS', '/health' ], [ 'HEAD', '/health' ], [ 'GET', '/v1/replay/batches' ])
{
	ok($boss->request(@$case)->{headers}{'x-request-id'}, "@$case has an id");
}
isnt($boss->get('/health')->{headers}{'x-request-id'}, $boss->get('/health')->{headers}{'x-request-id'}, 'two requests have two');
my $refused = $http->connect;
$refused->send("GET / HTTP/1.1\r\nX-Request-Id: twice\r\nHost: a\r\nHost: b\r\n\r\n");
fails($refused->answer, 'bad_request', 'a head with two hosts', request_id => 'twice');
$boss->post('/v1/audit/redacted/replay', headers => { 'X-Request-Id' => '7f3b6c1e-5d55-4a52-9a43-0d4d3a2a9a3e' });
like(slurp_file($node->logfile), qr/^acteon-replay-http 7f3b6c1e-5d55-4a52-9a43-0d4d3a2a9a3e key of [^|]*\|ERROR: .*redacted/m, "the database's log has the id and the key");
$boss->post('/v1/audit/redacted/replay', headers => { 'X-Request-Id' => 'kept', 'Idempotency-Key' => 'other' });
like(slurp_file($node->logfile), qr/^acteon-replay-http kept key of boss\|ERROR: .*redacted/m, '… with an Idempotency-Key, too');
my $long = 'r' x 40;
$boss->post('/v1/audit/redacted/replay', headers => { 'X-Request-Id' => $long });
like(slurp_file($node->logfile), qr/^acteon-replay-http $long k/m, '… whole, if it is as long as it may be');

#
# Pages of other origins.
#

my $page = 'https://ops.example.com';
my %preflight = (Origin => $page, 'Access-Control-Request-Method' => 'POST', 'Access-Control-Request-Headers' => 'authorization');
$answer = $anyone->request('OPTIONS', '/v1/audit/replay', headers => \%preflight);
fails($answer, 'method_not_allowed', 'without --allow-origin, a preflight is refused');
ok(!(grep { /^access-control|^vary/ } keys %{ $answer->{headers} }), '… without a header for browsers');
ok(!(grep { /^access-control|^vary/ } keys %{ $boss->get('/health', headers => { Origin => $page })->{headers} }), '… as any answer');

my $open = start_http($node, arguments => [ "--allow-origin=$page,http://localhost:3000" ]);
my $browser = $open->client($key{boss});
$answer = $open->client->request('OPTIONS', '/v1/audit/a-1/replay', headers => \%preflight);
is("$answer->{status} $answer->{body}", '204 ', 'a preflight of an allowed origin is answered without a key');
is($answer->{headers}{'access-control-allow-origin'}, $page, '… with its origin');
like($answer->{headers}{'access-control-allow-methods'}, qr/\bPOST, DELETE\b/, '… the methods');
like($answer->{headers}{'access-control-allow-headers'}, qr/\b\Q$_\E\b/, "… the header $_") foreach qw(Authorization X-API-Key Idempotency-Key X-Request-Id);
like($answer->{headers}{vary}, qr/\bOrigin\b.*\bAccess-Control-Request-Method\b/, '… and on what it depends');
ok(!exists $answer->{headers}{'access-control-allow-credentials'}, '… and nothing of cookies');
ok($answer->{headers}{'x-request-id'}, '… with an id');
$answer = $browser->post('/v1/audit/none/replay', headers => { Origin => 'http://localhost:3000' });
fails($answer, 'no_record', 'a request of the other one');
is($answer->{headers}{'access-control-allow-origin'}, 'http://localhost:3000', '… may read the error');
like($answer->{headers}{'access-control-expose-headers'}, qr/\b\Q$_\E\b/, "… and the header $_") foreach qw(Acteon-Batch-Id Acteon-Next-Cursor X-Request-Id Retry-After Link);
is($answer->{headers}{vary}, 'Origin', '… which depends on the origin');
foreach my $origin ('https://evil.example', 'https://ops.example.com.evil.example', 'http://ops.example.com', 'null', "$page:8443")
{
	$answer = $open->client->request('OPTIONS', '/v1/audit/replay', headers => { %preflight, Origin => $origin });
	fails($answer, 'origin_not_allowed', "a preflight of $origin");
	ok(!exists $answer->{headers}{'access-control-allow-origin'}, '… which no page may read');
	$answer = $browser->get('/health', headers => { Origin => $origin });
	ok($answer->{status} == 200 && !exists $answer->{headers}{'access-control-allow-origin'}, '… nor other answers');
	is($answer->{headers}{vary}, 'Origin', '… which depend on the origin');
}
is($browser->get('/health')->{headers}{vary}, 'Origin', 'so do those without one');
fails($open->client->request('OPTIONS', '/v1/audit/replay'), 'method_not_allowed', 'OPTIONS that is no preflight is refused');
fails($open->client->request('OPTIONS', '/nowhere', headers => \%preflight), 'no_path', 'so is one for nothing');
is($open->stop, 0, 'the server ends well');

my $all = start_http($node, arguments => ['--allow-origin=*']);
$answer = $all->client->request('OPTIONS', '/v1/audit/replay', headers => { %preflight, Origin => 'https://any.example' });
is("$answer->{status} $answer->{headers}{'access-control-allow-origin'}", '204 *', 'all origins');
fails($all->client->post('/v1/audit/a-1/replay', headers => { Origin => 'https://any.example' }), 'unauthenticated', '… which need a key all the same');
is($all->stop, 0, 'the server ends well');

# The options.
foreach my $case ([ [ '--allow-origin=*', '--allow-anonymous=boss' ], qr/--allow-origin=\* cannot be used with --allow-anonymous/ ],
	[ ['--allow-origin=ops.example.com'], qr/allow-origin.*expected origins/ ], [ ["--allow-origin=$page/"], qr/allow-origin.*expected origins/ ])
{
	my $err;
	IPC::Run::run([ Http::Server::program(), @{ $case->[0] } ], '>', \my $out, '2>', \$err);
	is($? >> 8, 2, "@{ $case->[0] }: refused");
	like($err, $case->[1], '… with the reason');
}
# A page that is allowed is still none that may act without a key.
my $dev = start_http($node, arguments => [ "--allow-origin=$page", '--allow-anonymous=boss' ]);
fails($dev->client->post('/v1/audit/a-1/replay', headers => { Origin => $page }), 'from_web_page', 'a page without a key');
is($dev->stop, 0, 'the server ends well');

#
# Metrics.
#

my $metrics = $anyone->get('/metrics')->{body};
like($metrics, qr/^acteon_replay_http_requests_total\{\Q$_\E\} [1-9]/m, "metrics count $_")
	foreach 'method="GET",route="/v1/audit/replay",status="405"', 'method="OPTIONS",route="/v1/audit/replay",status="405"', 'method="HEAD",route="/health",status="200"',
	'method="GET",route="none",status="404"';
unlike($metrics, qr/method=""/, '… and nothing without a method');

#
# The description.
#

my $openapi = $anyone->get('/openapi.json')->{json};
is_deeply([ sort @{ $openapi->{components}{schemas}{Error}{properties}{code}{'x-extensible-enum'} } ], [ sort keys %codes ], 'the description has all codes');
my %documented;
my $doc = slurp_file("$top/doc/http.md");
while ($doc =~ /^\| (\d+) \| `(\w+)` \| (.*?) \|$/mg)
{
	$documented{$2} = { status => $1, title => $3 };
}
is_deeply(\%documented, \%codes, 'doc/http.md lists the codes');
# Reasons for which a record is not replayed are codes.
my @reasons = slurp_file("$top/src/replay/eligibility.c") =~ /^\t\[REASON_\w+\] =\s*\{"(\w+)", ITEM_FAILED/mg;
cmp_ok(scalar @reasons, '>', 8, 'there are reasons');
is(join(' ', grep { !$codes{$_} && !/^max_/ } @reasons, qw(no_grant no_patch_grant no_payload expired)), '', '… each with a code');

is($http->stop, 0, 'the server ends well');
done_testing();
