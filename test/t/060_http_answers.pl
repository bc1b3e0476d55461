# What the HTTP server answers to replays: every status, with and without grants,
# in the gateway's words; bulk replays with all that they can be asked; and action
# ids that are anything.
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

my $node = new_server('answers', conf => "fsync = off\n");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub error
{
	return { error => $_[0] };
}

new_http_role($node);
sql(q{
	CREATE ROLE boss;
	CREATE ROLE op_acme;
	CREATE ROLE op_sms;
	CREATE ROLE viewer;
	CREATE ROLE nobody;
	CREATE ROLE stranger;
	CREATE ROLE leaver;
	CREATE ROLE climber;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('boss', 'admin', '{*}', '{*}', '{*}', '{*}'),
		('stranger', 'admin', '{*}', '{*}', '{*}', '{*}'),
		('leaver', 'admin', '{*}', '{*}', '{*}', '{*}'),
		('climber', 'admin', '{*}', '{*}', '{*}', '{*}'),
		('op_acme', 'operator', '{acme}', '{*}', '{*}', '{*}'),
		('op_sms', 'operator', '{*}', '{*}', '{sms}', '{*}'),
		('viewer', 'viewer', '{*}', '{*}', '{*}', '{*}');
	SELECT make_record('a-1'), make_record('a-2', tenant => 'globex'), make_record('no-payload', payload => NULL),
		make_record('no-payload-globex', payload => NULL, tenant => 'globex'), make_record('redacted', payload => '{"to": "[REDACTED]"}');
	ALTER TABLE acteon_audit ADD COLUMN IF NOT EXISTS attachment_metadata jsonb NOT NULL DEFAULT '[]';
	SELECT make_record('attached');
	UPDATE acteon_audit SET attachment_metadata = '[{"id": "x"}]' WHERE action_id = 'attached';
});
my %key = map { $_ => api_key($node, "key of $_", $_) } qw(boss op_acme op_sms viewer nobody stranger leaver climber);
my $http = start_http($node, arguments => [ '--max-body=100' ]);
my %client = map { $_ => $http->client($key{$_}) } keys %key;
my $boss = $client{boss};
my $anyone = $http->client;

#
# Who may: 401 and 403.
#

# Whatever is wrong with a key, the answer is the same.
my $unknown = '{"error": "API key is unknown, expired or revoked"}';
my $last = substr($key{boss}, -1) eq 'A' ? 'E' : 'A';
my %revoked = map { $_ => api_key($node, $_, 'boss') } qw(revoked expired);
my %bad_credentials = (
	'no key'               => {},
	'an empty key'         => { 'X-API-Key' => '' },
	'an empty bearer'      => { Authorization => 'Bearer ' },
	'another scheme'       => { Authorization => 'Basic YTpi' },
	'no scheme'            => { Authorization => $key{boss} },
	'an unknown key'       => { 'X-API-Key' => 'acteon_unknown' },
	'a key less a letter'  => { 'X-API-Key' => substr($key{boss}, 0, -1) },
	'another last letter'  => { 'X-API-Key' => substr($key{boss}, 0, -1) . $last },
	'a key in upper case'  => { 'X-API-Key' => uc $key{boss} },
	'the hash of a key'    => { 'X-API-Key' => sql("SELECT encode(sha256('$key{boss}'), 'hex')") },
	'the name of a key'    => { 'X-API-Key' => 'key of boss' },
	'a wrong bearer'       => { Authorization => 'Bearer x', 'X-API-Key' => $key{boss} },
	'a quote'              => { 'X-API-Key' => q{' OR true --} },
	'bytes'                => { 'X-API-Key' => "\xff\xfe" },
	'a long key'           => { 'X-API-Key' => 'k' x 10000 },
	'a revoked key'        => { 'X-API-Key' => $revoked{revoked} },
	'an expired key'       => { 'X-API-Key' => $revoked{expired} },
	'a key whose role is a superuser now' => { 'X-API-Key' => $key{climber} },
	'a key of a dropped role'             => { 'X-API-Key' => $key{leaver} });
answers($http->client($key{$_})->get('/v1/replay/batches'), 200, { batches => [] }, "the key of $_ is one")
	foreach qw(leaver climber);
answers($http->client($revoked{$_})->get('/v1/replay/batches'), 200, { batches => [] }, "so is what is going to be $_")
	foreach sort keys %revoked;
sql(q{
	SELECT acteon_api_key_revoke('revoked');
	UPDATE acteon_api_keys SET expires_at = now() - interval '1 s', created_at = now() - interval '1 h' WHERE name = 'expired';
	ALTER ROLE climber SUPERUSER;
	DELETE FROM acteon_grants WHERE grantee = 'leaver'::regrole;
	DROP ROLE leaver;
});
foreach my $case (sort keys %bad_credentials)
{
	my $answer = $anyone->post('/v1/audit/a-1/replay', headers => $bad_credentials{$case});

	answers($answer, 401, $unknown, "$case: 401");
	is($answer->{headers}{'www-authenticate'}, 'Bearer', '… and what is wanted');
	answers($anyone->post('/v1/audit/replay?limit=x', headers => $bad_credentials{$case}), 401, $unknown, '… as for a bad parameter');
	answers($anyone->get('/v1/replay/batches/1', headers => { %{ $bad_credentials{$case} }, 'Idempotency-Key' => 'x' }), 401, $unknown, '… as anywhere');
}
answers($anyone->post('/v1/audit/a-1/replay', headers => { 'Idempotency-Key' => 'x' }), 401, $unknown, 'with an Idempotency-Key as without');
is(sql('SELECT count(*) FROM acteon_dispatch_outbox'), 0, 'nobody has replayed anything');

my @good_credentials = (
	{ Authorization => "Bearer $key{boss}" }, { Authorization => "bearer $key{boss}" }, { Authorization => "BEARER   $key{boss}" },
	{ 'X-API-Key' => $key{boss} }, { 'x-api-key' => $key{boss} }, { Authorization => 'Basic YTpi', 'X-API-Key' => $key{boss} },
	{ Authorization => "Bearer $key{boss}", 'X-API-Key' => 'x' });
answers($anyone->get('/v1/replay/batches', headers => $_), 200, { batches => [] }, join(' ', map { s/acteon_\S*/…/r } %$_))
	foreach @good_credentials;

my $no_role = error('insufficient permissions: replay requires admin or operator role');
my $no_grant = error('no grant covers this audit record');
answers($client{$_}->post('/v1/audit/a-1/replay'), 403, $no_role, "$_: 403 for a record") foreach qw(viewer nobody);
answers($client{$_}->post('/v1/audit/none/replay'), 403, $no_role, "$_: 403 for no record") foreach qw(viewer nobody);
answers($client{$_}->post('/v1/audit/replay'), 403, $no_role, "$_: 403 for a bulk") foreach qw(viewer nobody);
answers($client{nobody}->post('/v1/audit/replay?dry_run=true'), 403, error('insufficient permissions: preview requires admin, operator or viewer role'), 'nobody: 403 for a preview');
my $viewed = $client{viewer}->post('/v1/audit/replay?dry_run=true');
is("$viewed->{status} " . ($viewed->{json}{plan} // 'without a plan'), '200 without a plan', 'viewer: a preview');
answers($client{op_acme}->post('/v1/audit/a-2/replay'), 403, $no_grant, "another tenant's record: 403");
answers($client{op_acme}->post('/v1/audit/a-1/replay?provider_override=sms'), 200, qr/"success" : true/, 'another provider that a grant covers');
answers($client{op_sms}->post('/v1/audit/a-1/replay?provider_override=sms'), 403, $no_grant, 'one that covers the other provider only: 403');

# A key whose role the server may not become: that is for the one who runs it.
sql('REVOKE stranger FROM acteon_http');
foreach my $headers ({}, { 'Idempotency-Key' => 'stranger' })
{
	my $answer = $client{stranger}->post('/v1/audit/a-1/replay', headers => $headers);

	answers($answer, 500, error('internal error'), 'a role that the server may not become: 500');
	unlike(join(' ', $answer->{body}, %{ $answer->{headers} }), qr/stranger|role|42501/, '… of which the client learns nothing');
}
$http->says(qr/error event="the database refuses".*sqlstate=42501 error="permission denied to set role.*stranger.*hint=\S/, 'the log tells, with a hint');

#
# What there is not: 404, 405, 413.
#

my $nothing = error('there is nothing at this path');
foreach my $path ('/index.html', '/v1/audit/', '/v1/audits', '/v1/Audit/a-1/replay', '/v2/audit/replay',
	'/v1/replay/batches/', '/v1/replay/batches/x', '/v1/replay/batches/-1', '/v1/replay/batches/1/stop', '/v1/replay/batches/9999999999999999999', '/..', '/%2e', '/v1%2Faudit/replay')
{
	answers($boss->post($path), 404, $nothing, "POST $path: nothing");
	answers($anyone->get($path), 404, $nothing, "GET $path: nothing, whoever asks");
}
my %method = (
	'/v1/audit' => 'GET', '/v1/audit/a-1' => 'GET', '/v1/audit/replay' => 'POST', '/v1/audit/a-1/replay' => 'POST', '/v1/replay/batches' => 'GET', '/v1/replay/batches/1' => 'GET',
	'/v1/replay/batches/1/pause' => 'POST', '/v1/replay/batches/1/resume' => 'POST', '/v1/replay/batches/1/cancel' => 'POST',
	'/health' => 'GET', '/metrics' => 'GET', '/openapi.json' => 'GET');
foreach my $path (sort keys %method)
{
	foreach my $wrong (grep { $_ ne $method{$path} } qw(GET POST PUT DELETE PATCH OPTIONS))
	{
		my $answer = $boss->request($wrong, $path);

		answers($answer, 405, error('this path supports another method'), "$wrong $path: 405");
		is($answer->{headers}{allow}, $method{$path} eq 'GET' ? 'GET, HEAD' : 'POST', '… and which it takes');
	}
	my $answer = $boss->request('HEAD', $path);
	is($answer->{status}, $method{$path} eq 'POST' ? 405 : 200, "HEAD $path is as good as GET");
	is($answer->{body}, '', '… without a body');
	cmp_ok($answer->{headers}{'content-length'}, '>', 10, '… whose length is told');
}
answers($boss->post('/v1/audit/none/replay'), 404, error('no audit record found for action: none'), 'no record: 404');
answers($client{op_acme}->post('/v1/audit/none/replay'), 404, error('no audit record found for action: none'), 'before any grant');
answers($boss->get('/v1/replay/batches/12345'), 404, error('batch 12345 does not exist'), 'no batch: 404');
answers($boss->post("/v1/replay/batches/12345/$_"), 404, error('batch 12345 does not exist'), "no batch to $_: 404") foreach qw(pause resume cancel);

answers($boss->post('/v1/audit/a-1/replay', body => 'x' x 101), 413, error('the body is too large'), 'a body that is too large: 413');
answers($anyone->post('/v1/audit/a-1/replay', body => 'x' x 101), 413, error('the body is too large'), '… whoever sends it');
# Whoever writes filters into a body shall not get a replay without any.
my $body_says = error('parameters belong in the query string, a body is not read');
foreach my $body ('{"limit": 5}', 'outcome=failed&dry_run=true', '{} {}', '[]', 'null', '{', "\0")
{
	answers($boss->post($_, body => $body), 400, $body_says, "a body that says something to $_: 400")
		foreach '/v1/audit/replay', '/v1/audit/a-1/replay', '/v1/replay/batches/1/cancel';
	answers($anyone->post('/v1/audit/replay', body => $body), 401, $unknown, '… but not to anybody');
}
answers($boss->post('/v1/audit/none/replay', body => $_), 404, qr/no audit record/, 'one that says nothing is taken') foreach '{}', " \r\n", "{ }\n";
answers($boss->post('/v1/audit/none/replay', headers => { 'Content-Length' => undef, 'Transfer-Encoding' => 'chunked' }, body => "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"),
	404, qr/no audit record/, '… in pieces as well');
answers($boss->post('/v1/audit/none/replay', headers => { 'Content-Length' => undef, 'Transfer-Encoding' => 'chunked' }, body => "65\r\n" . ('x' x 101) . "\r\n0\r\n\r\n"),
	413, error('the body is too large'), 'in chunks as well');
answers($boss->post('/v1/audit/none/replay', headers => { 'Content-Length' => undef, 'Transfer-Encoding' => 'chunked' }, body => "64\r\n" . (' ' x 100) . "\r\n0\r\n\r\n"),
	404, qr/no audit record/, 'small chunks are taken');

#
# The order of the checks: role, audit table, record, grant, payload.
#

sql('ALTER TABLE acteon_audit RENAME TO hidden');
answers($client{viewer}->post('/v1/audit/a-1/replay'), 403, $no_role, 'the role is looked at before the audit table');
answers($client{viewer}->post('/v1/audit/replay'), 403, $no_role, '… of a bulk, too');
answers($boss->post('/v1/audit/none/replay'), 404, error('audit is not enabled'), 'the audit table before the record');
answers($boss->post('/v1/audit/replay'), 404, error('audit is not enabled'), '… of a bulk, too');
answers($boss->post('/v1/audit/replay?dry_run=1'), 404, error('audit is not enabled'), '… and of a preview');
sql('ALTER TABLE hidden RENAME TO acteon_audit');
$http->says(qr/error event="the database refuses".*sqlstate=42P01/, 'the log tells of the table, too');
answers($client{op_acme}->post('/v1/audit/no-payload-globex/replay'), 403, $no_grant, 'the grant before the payload');
my $no_payload = error('audit record has no stored payload (privacy mode was enabled)');
answers($client{$_}->post('/v1/audit/no-payload/replay'), 422, $no_payload, "$_: no payload: 422") foreach qw(boss op_acme);
answers($boss->post('/v1/audit/redacted/replay'), 422, qr/^\{"error": "[^"]*redacted[^"]*"[,}]/, 'a redacted payload: 422');
answers($boss->post('/v1/audit/redacted/replay?allow_redacted=true'), 200, qr/"success" : true/, '… unless that is wanted');
answers($boss->post('/v1/audit/attached/replay'), 422, qr/^\{"error": "[^"]*attachment[^"]*"[,}]/, 'attachments: 422');
answers($boss->post('/v1/audit/attached/replay?allow_partial=1'), 200, qr/"success" : true/, '… unless that is wanted');

#
# Bad parameters: 400, with the name of each.
#

answers($boss->post("/v1/audit/a-1/replay?$_=x"), 400, error("$_ is not for the replay of a single action"), "$_ to a single action: 400")
	foreach qw(tenant from limit start_at rate cursor include_replayed lost allow_effective sample order);

my @bad = (
	(map { ("$_=%00", "$_=%FF", "$_=a&$_=a") } qw(namespace tenant provider action_type verdict matched_rule caller_id chain_id cursor reason dedup provider_override on_doubt order)),
	(map { "outcome=$_" } ('%00', '%FF', 'a&outcome=%FF', 'a&outcome=', ',a', 'a,')),
	(map { ("$_=maybe", "$_=", "$_=1&$_=1") } qw(include_replayed allow_redacted newest_first allow_partial ramp lost certain allow_effective allow_unproven dry_run)),
	(map { ("$_=", "$_=yesterday", "$_=2026-01-01", "$_=2026-01-01T12:00:00", "$_=2026-13-01T12:00:00Z", "$_=infinity", "$_=%00", "$_=2026-01-01T12:00:00Z&$_=2026-01-01T12:00:00Z") } qw(from to start_at)),
	(map { ("$_=", "$_=x", "$_=1.5", "$_=0", "$_=-1", "$_=-99999999999", "$_=2147483648", "$_=9223372036854775808", "$_=1e-1", "$_=1e10", "$_=+5", "$_=%2B5", "$_=%20") } qw(max_generation max_depth)),
	(map { ("$_=", "$_=x", "$_=1.5", "$_=100001", "$_=99999999999", "$_=2147483648", "$_=-1", "$_=1e6", "$_=%2B5", "$_=%20") } qw(breaker_window)),
	(map { ("$_=", "$_=x", "$_=NaN", "$_=Infinity", "$_=1e", "$_=1e400", "$_=-1", "$_=-0.5", "$_=%2B5", "$_=%20") } qw(rate wait breaker_share)),
	(map { ("dry_run=1&sample=$_") } qw(x 1.5 -1 1e4 1001 %2B5 %20 2147483648 99999 99999999999 99999999999999999999)),
	'rate=0', 'rate=0.0001', 'rate=1e-4', 'wait=60.5', 'wait=1e2', 'breaker_share=1', 'ramp=1', 'dedup=maybe', 'provider_override=', 'on_doubt=guess', 'order=newest_first', 'order=', 'order=newest&newest_first=false', 'order=oldest&newest_first=true', 'certain=true', 'lost=true&outcome=failed', 'outcome=executed', 'outcome=pending', 'outcome=failed,pending', 'outcome=executed&outcome=scheduled',
	'limit=', 'limit=x', 'limit=5.5', 'limit=-1', 'limit=-0', 'limit=-99999999999', 'limit=-99999999999999999999', 'limit=1e-1', 'limit=-1e1', 'limit=+5', 'limit=%20', 'limit=5&limit=5', 'cursor=x', 'cursor=', 'cursor=v1.00.1.x',
	'from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z');
foreach my $query (@bad)
{
	my ($name) = $query =~ /^(?:dry_run=1&(?=sample))?(\w+)/;

	answers($boss->post("/v1/audit/replay?$query"), 400, qr/^\{"error": "[^"]*(\\")?\b$name\b.*"\}$/, "400 for $query");
}
answers($boss->post("/v1/audit/replay$_"), 400, error('a bulk replay needs a filter'), "400 for a bulk without a filter: $_")
	foreach '', '?limit=3', '?reason=all&newest_first=true', '?lost=false&limit=3', '?&';
answers($boss->post("/v1/audit/replay?provider=email&$_->[0]"), 400, error("unknown parameter$_->[1]"), "400 for a filter that is misspelled: $_->[0]")
	foreach [ 'outcme=failed', ': outcme (perhaps you meant outcome)' ], [ 'Tenant=acme', ': Tenant (perhaps you meant tenant)' ], [ 'dry_run=1&tennant', ': tennant (perhaps you meant tenant)' ], [ 'from_time=2026-01-01T00:00:00Z', ': from_time (it is called from here)' ],
	[ 'max_records=1', ': max_records (it is called limit here)' ], [ '=x', '' ], [ '%FF=x', '' ], [ 'x' x 65 . '=1', '' ], [ 'x' x 64 . '=1', ': ' . 'x' x 64 ], [ '%22=1', ': "' ];
answers($boss->post('/v1/audit/a-1/replay?' . $_), 400, qr/^\{"error": "[^"]*\b(?:reason|wait|allow_redacted|allow_partial|dedup|provider_override|allow_unproven|on_doubt|dry_run)\b.*"\}$/, "400 for an action and $_")
	foreach 'reason=%00', 'wait=x', 'wait=61', 'allow_redacted=x', 'allow_partial=', 'dedup=x', 'provider_override=', 'allow_unproven=x', 'on_doubt=x', 'dry_run=x', 'dry_run=true';
answers($boss->get('/v1/replay/batches?' . $_), 400, qr/^\{"error": "[^"]*\b(?:limit|before|state)\b.*"\}$/, "400 for batches and $_")
	foreach 'limit=x', 'limit=-1', 'limit=', 'limit=1e-1', 'before=', 'before=1e-1', 'before=1e19', 'before=%2B5', 'before=1.5', 'before=x', 'before=-1', 'before=99999999999999999999', 'state=%FF', 'state=x', 'before=1&before=1';
answers($boss->post('/v1/replay/batches/1/pause?reason=%FF'), 400, error('reason is not text in UTF-8'), '400 for steering');
answers($boss->post('/v1/audit/%FF/replay'), 400, error('the name in the path is not text in UTF-8'), '400 for an id that is no text');
answers($boss->post('/v1/audit/replay', headers => { 'Idempotency-Key' => 'k' x 256 }), 400, error('Idempotency-Key: expected 1 to 255 bytes of UTF-8'), '400 for a long Idempotency-Key');
answers($client{viewer}->post('/v1/audit/replay?limit=x'), 400, qr/limit/, 'who has a key is told what is wrong, before anything else');
is(sql('SELECT count(*) FROM acteon_dispatch_outbox'), 3, 'and nothing was replayed by any of that');

#
# Action ids are any string.
#

my $long = 'long-' . 'x' x 10000;
my %paths = (
	'replay'       => [ 'replay', '%72eplay' ],
	'replay/replay' => [ 'replay/replay', 'replay%2freplay' ],
	'a/b'          => [ 'a/b', 'a%2Fb', 'a%2fb' ],
	'/'            => [ '/', '%2F' ],
	'//x//'        => [ '//x//' ],
	'../x'         => [ '../x', '%2e%2e/x', '..%2Fx' ],
	'.'            => ['.'],
	'100%'         => [ '100%', '100%25' ],
	'%41'          => ['%2541'],
	'%zz'          => [ '%zz', '%25zz' ],
	'a+b'          => [ 'a+b', 'a%2Bb' ],
	'a b'          => ['a%20b'],
	' '            => ['%20'],
	' a '          => ['%20a%20'],
	"a\tb\nc"      => ['a%09b%0Ac'],
	"\x01\x7f"     => ['%01%7F'],
	q{it's}        => [ q{it's}, 'it%27s' ],
	'"quoted"'     => [ '"quoted"', '%22quoted%22' ],
	'a\\b'         => [ 'a\\b', 'a%5Cb' ],
	'a?b#c&d=e;f'  => ['a%3Fb%23c%26d=e;f'],
	'*'            => [ '*', '%2A' ],
	'{x}'          => ['{x}'],
	'$1'           => [ '$1', '%241' ],
	"'; DROP TABLE acteon_audit; --" => [ '%27%3B%20DROP%20TABLE%20acteon_audit%3B%20--' ],
	"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" => [ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", '%C3%A9%E2%82%AC%F0%9F%98%80' ],
	"e\xcc\x81"    => ["e\xcc\x81"],
	"\xe2\x80\xae" => ['%E2%80%AE'],
	'true'         => ['true'],
	'null'         => ['null'],
	'0'            => ['0'],
	'00000000-0000-0000-0000-000000000000' => ['00000000-0000-0000-0000-000000000000'],
	$long          => [$long]);
foreach my $id (sort keys %paths)
{
	my $quoted = $id =~ s/'/''/gr;
	my $name = encode_uri(substr($id, 0, 40));

	sql("SELECT make_record('$quoted')");
	foreach my $path (@{ $paths{$id} })
	{
		my $answer = $boss->post("/v1/audit/$path/replay?reason=r");

		is($answer->{status}, 200, "the action $name, as " . substr($path, 0, 40)) or diag($answer->{body});
		utf8::encode(my $original = $answer->{json}{original_action_id} // '');
		is($original, $id, '… is named in the answer');
		is(sql("SELECT original_action_id = '$quoted' FROM acteon_dispatch_outbox WHERE action_id = '" . ($answer->{json}{new_action_id} // '') . q{'}), 't', '… and replayed');
	}
}
answers($boss->post('/v1/audit/A%2Fb/replay'), 404, error('no audit record found for action: A/b'), 'ids are compared byte for byte');
answers($boss->post('/v1/audit/%22%0A%5C/replay'), 404, error('no audit record found for action: " \\'), 'and shown as text that is safe');
is(sql('SELECT count(DISTINCT original_action_id) FROM acteon_dispatch_outbox'), 3 + keys %paths, 'each was replayed');
answers($boss->post("http://127.0.0.1$_"), 200, qr/true/, "the whole URI is as good as its path: $_") foreach '/v1/audit/a-1/replay', '/v1/audit/a%2Fb/replay?reason=x';
my $first = $boss->post('/v1/audit/a-1/replay')->{json};
my $second = $boss->post('/v1/audit/a-1/replay')->{json};
is_deeply([ sort keys %$first ], [qw(error new_action_id original_action_id success)], 'an answer has the four keys');
isnt($first->{new_action_id}, $second->{new_action_id}, 'an action that is named is replayed again');

is($http->stop, 0, 'the server ends well');
unlike($http->log, qr/\Q$key{boss}\E/, 'and has not told a key');
#
# Requests without a key, where these are taken: none that a web page can have a browser send.
#

my $open = start_http($node, arguments => ['--allow-anonymous=boss']);
my $keyless = $open->client;
my $from_page = error('requests without a key are not accepted from web pages');
foreach my $headers ({ Origin => 'http://evil.example' }, { Origin => 'null' }, { 'Sec-Fetch-Site' => 'cross-site' }, { 'Sec-Fetch-Site' => 'same-site' },
	{ Host => 'evil.example' }, { Host => 'localhost.evil.example' }, { Host => '127.0.0.1.evil.example:80' }, { Host => '10.0.0.1' })
{
	my $shown = join(' ', %$headers);

	answers($keyless->post('/v1/audit/none/replay', headers => $headers), 403, $from_page, "$shown: 403");
	answers($keyless->get('/v1/replay/batches', headers => $headers), 403, $from_page, '… for reading, too');
	answers($keyless->post('/v1/audit/none/replay', headers => { %$headers, 'X-API-Key' => $key{boss} }), 404, qr/no audit record/, '… but not with a key');
}
answers($keyless->post('/v1/audit/none/replay', headers => $_), 404, qr/no audit record/, join(' ', 'taken:', %$_))
	foreach {}, { 'Sec-Fetch-Site' => 'none' }, { 'Sec-Fetch-Site' => 'same-origin' }, { Host => 'localhost' }, { Host => 'LocalHost:8080' }, { Host => '127.3.2.1:1' }, { Host => '[::1]:80' }, { Host => '[::1]' };
is($keyless->get('/health', headers => { Origin => 'http://evil.example' })->{status}, 200, 'health is for everybody');
$open->stop;
sql('CREATE ROLE root_like SUPERUSER; GRANT root_like TO acteon_http');
$open = start_http($node, arguments => ['--allow-anonymous=root_like']);
$open->says(qr/error event="the role of requests without a key is a superuser"/, 'requests without a key are none of a superuser');
answers($open->client->post('/v1/audit/none/replay'), 503, qr/cannot be reached/, '… who answers nobody');
$open->stop;
sql('DROP ROLE root_like');

done_testing();
