# POST /v1/audit/verify, POST /v1/replay/verify and GET /v1/replay/witness: the requests of the gateway's SDKs (as recorded in
# fixtures/gateway/audit_http.jsonl) are answered with the members that they read, and nothing is called valid or verified that
# was changed, is not known, or was not looked at.
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

my $node = new_server('verify', conf => 'fsync = off');
my $json = JSON::PP->new->utf8->canonical;
my $recorded = "$FindBin::RealBin/../fixtures/gateway";

sub sql { return $node->safe_psql('postgres', $_[0]) }

# The settings of sessions are none of the gateway's.
new_http_role($node);
sql(q{
	ALTER ROLE acteon_http SET timezone = 'Asia/Kathmandu';
	ALTER ROLE acteon_http SET datestyle = 'SQL, DMY';
	CREATE ROLE boss; CREATE ROLE reader; CREATE ROLE acme; CREATE ROLE narrow; CREATE ROLE relay; CREATE ROLE nobody;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('boss', 'admin', '{*}', '{*}', '{*}', '{*}'), ('reader', 'viewer', '{*}', '{*}', '{*}', '{*}'), ('acme', 'viewer', '{acme}', '{prod}', '{*}', '{*}'),
		('narrow', 'operator', '{acme}', '{prod}', '{email}', '{*}'), ('relay', 'gateway', '{*}', '{*}', '{*}', '{*}')});
my $http = start_http($node);
my %client = map { $_ => $http->client(api_key($node, $_, $_)) } qw(boss reader acme narrow relay nobody);
$client{none} = $http->client;

# Ask for the check of a chain, as an SDK does.
sub chain
{
	my ($who, %body) = @_;

	return $client{$who}->post('/v1/audit/verify', body => $json->encode({ namespace => 'prod', tenant => 'acme', %body }), headers => { 'Content-Type' => 'application/json' });
}

# What came of it, in short: members of the answer.
sub told
{
	my ($answer) = @_;
	my $said = $answer->{json};

	return "$answer->{status} $answer->{body}" if $answer->{status} != 200;
	return join(' ', $said->{state}, ($said->{valid} ? 'valid' : 'not valid'), $said->{records_checked}, map { "$_->{finding} " . ($_->{sequence_number} // '?') } @{ $said->{first_findings} });
}

sub member { return $_[0]->{json}{ $_[1] } }

# What is told of the chain while something is changed.
sub changed
{
	my ($change, $back, @body) = @_;

	sql($change);
	my $answer = chain('boss', @body);
	sql($back);
	return $answer;
}

# Records that a gateway in its compliance mode wrote.
my @records = grep { $_->{_run} eq 'soc2' && defined $_->{record_hash} } map { decode_json($_) } grep { /\S/ } split /\n/, slurp_file("$recorded/audit_records.jsonl");
my $content = $json->encode(\@records);
utf8::decode($content);
sql("CREATE TABLE written AS SELECT l FROM jsonb_array_elements(\$all\$$content\$all\$) AS l");
my $load = q{TRUNCATE acteon_audit; INSERT INTO acteon_audit SELECT (jsonb_populate_record(NULL::acteon_audit, '{"attachment_metadata": []}'::jsonb || l)).* FROM written};
sql($load);
sub id_of { return sql("SELECT id FROM acteon_audit WHERE namespace = 'prod' AND tenant = 'acme' AND sequence_number = $_[0]") }
my @ids = map { id_of($_) } 0 .. 24;
my $hash = sql(q{SELECT record_hash FROM acteon_audit WHERE namespace = 'prod' AND tenant = 'acme' AND sequence_number = 24});

# What SDKs send, and what they read.
my @cases = grep { $_->{request}{path} eq '/v1/audit/verify' } map { decode_json($_) } split /\n/, slurp_file("$recorded/audit_http.jsonl");
cmp_ok(scalar @cases, '>', 7, 'requests were recorded');
foreach my $case (grep { $_->{status} == 200 } @cases)
{
	my $body = $case->{request}{body};
	my $answer = $client{boss}->post('/v1/audit/verify', body => $json->encode($body), headers => { 'Content-Type' => 'application/json' });
	my $name = "$case->{_case}: " . $json->encode($body);
	my @members = grep { $_ ne 'first_broken_at' } keys %{ $case->{body} };

	is($answer->{status}, 200, $name) or diag($answer->{body});
	is_deeply([ grep { !exists $answer->{json}{$_} } @members ], [], '… has the members of the gateway');
	is(JSON::PP::is_bool(member($answer, 'valid')) && member($answer, 'records_checked') =~ /^\d+$/ ? 'yes' : 'no', 'yes', '… of their types');
	is(member($answer, 'first_record_id'), $case->{body}{first_record_id}, '… and begins with the same record');
	ok(!exists $answer->{json}{first_broken_at}, '… and nothing is broken');
	is($answer->{json}{valid} ? 'valid' : 'not valid', $case->{body}{records_checked} ? 'valid' : 'not valid', '… which is valid, if there is something');
}
my $all = chain('boss');
is_deeply([ sort keys %{ $all->{json} } ], [ sort qw(valid records_checked first_record_id last_record_id state last_sequence last_hash unchained findings first_findings detail) ], 'what has no value is left out');
is(told($all), 'valid valid 25', 'a chain that nobody has touched');
is(join(' ', map { member($all, $_) } qw(first_record_id last_record_id last_sequence last_hash unchained findings)), "$ids[0] $ids[24] 24 $hash 0 0", '… from its first to its last record');
like(member($all, 'detail'), qr/^25 records, .*Not shown by this: changes of columns that are not hashed/, '… and what that does not show');
is($all->{headers}{'acteon-batch-id'}, undef, 'no header of others');

# Parameters stand in the query string, too, but not twice.
is(told($client{boss}->post('/v1/audit/verify?namespace=prod&tenant=acme')), 'valid valid 25', 'in the query string');
is(told($client{boss}->post('/v1/audit/verify?namespace=prod', body => '{"tenant": "acme", "from": null, "limit": 100}')), 'valid valid 25', 'some here, some there');
is(told($client{boss}->post('/v1/audit/verify?namespace=prod&tenant=acme', body => $_)), 'valid valid 25', "a body of nothing: '$_'") foreach '', "{}\n", " \n";
foreach my $wrong (
	[ '{"namespace": "prod", "tenant": "acme", "from": "yesterday"}', 'from: expected a time in the form of RFC 3339' ],
	[ '{"namespace": "prod"}', 'tenant is required' ], [ '{"tenant": "acme"}', 'namespace is required' ], [ '', 'namespace is required' ],
	[ '{"namespace": "prod", "tenant": null}', 'tenant is required' ],
	[ '{"namespace": "prod", "tenant": "acme", "tennant": "acme"}', 'unknown parameter: tennant (perhaps you meant tenant)' ],
	[ '{"namespace": "prod", "tenant": "acme", "from_time": "2020-01-01T00:00:00Z"}', 'unknown parameter: from_time (it is called from here)' ],
	[ '{"namespace": "prod", "tenant": "acme", "tenant": "globex"}', 'tenant is given twice' ],
	[ '{"namespace": "prod", "tenant": 7}', 'tenant: expected a string' ], [ '{"namespace": "prod", "tenant": ["acme"]}', 'tenant: expected a string or a number' ],
	[ '{"namespace": "prod", "tenant": "acme\ud800"}', 'the body has half a surrogate pair' ], [ '{"namespace": "prod", "tenant": "acme", "\ud800": null}', 'the body has half a surrogate pair' ],
	[ '{"namespace": "prod", "tenant": "acme", "from": "2026-11-27T00:00:00Z", "from": null}', 'from is given twice' ], [ '{"namespace": "prod", "tenant": null, "tenant": "acme"}', 'tenant is given twice' ],
	[ '{"namespace": "prod", "tenant": "acme", "fron": null}', 'unknown parameter: fron (perhaps you meant from)' ],
	[ '{"namespace": "prod", "tenant": {"a": "b"}}', 'tenant: expected a string or a number' ], [ '{"namespace": "prod", "tenant": true}', 'tenant: expected a string or a number' ],
	[ '{"namespace": "prod", "tenant": "a\u0000"}', 'tenant is not text in UTF-8' ],
	[ '{"namespace": "prod", "tenant": "acme", "limit": -1}', 'limit: expected a whole number, 0 or more' ], [ '{"namespace": "prod", "tenant": "acme", "limit": 1.5}', 'limit: expected a whole number, 0 or more' ],
	[ '{"namespace": "prod", "tenant": "acme", "after_sequence": 3}', 'after_sequence and after_hash need each other' ], [ '{"namespace": "prod", "tenant": "acme", "after_hash": "x"}', 'after_sequence and after_hash need each other' ],
	[ '{"namespace": "prod", "tenant": "acme", "after_sequence": 9223372036854775807, "after_hash": "x"}', 'after_sequence: expected a whole number from 0 to 9223372036854775806' ],
	(map { [ $_, 'the body is not a JSON object' ] } '[]', '"x"', 'null', '7', '{"namespace": "prod"', "{\"namespace\": \"\xff\"}", '{} {}', 'namespace=prod&tenant=acme'))
{
	my ($body, $said) = @$wrong;

	answers($client{boss}->post('/v1/audit/verify', body => $body), 400, { error => $said }, "refused: '$body'");
}
answers($client{boss}->post('/v1/audit/verify?namespace=prod&tenant=globex', body => '{"tenant": "acme"}'), 400, { error => 'tenant is given twice', code => 'repeated_parameter' }, 'given here and there');
answers($client{boss}->post('/v1/audit/verify?namespace=prod&tenant=acme', body => '{"tenant": null}'), 400, { error => 'tenant is given twice', code => 'repeated_parameter' }, '… even without a value');
answers($client{boss}->post('/v1/audit/replay?tenant=acme', body => '{"tenant": "acme"}'), 400, qr/body_not_empty/, 'a replay still takes no body');
my $long = chain('boss', tenant => 'x' x 40_000);
is(told($long), 'unknown not valid 0', 'a text that no header could have');
answers(chain('boss', tenant => 'x' x 70_000), 413, qr/body_too_large/, 'a body that is too large');

# Who may, before anything is said.
answers($client{none}->post('/v1/audit/verify', body => '[]'), 401, qr/unauthenticated/, 'no key: not told what is wrong');
is(told(chain($_)), 'valid valid 25', "$_ may") foreach qw(reader acme);
answers(chain('acme', tenant => 'globex'), 403, { code => 'no_grant', error => 'no grant covers all records of tenant=globex' }, '… no other tenant');
answers(chain('narrow'), 403, { code => 'no_grant' }, 'who may see only some of a chain may not');
answers(chain($_), 403, { code => 'no_role' }, "$_ may not") foreach qw(relay nobody);

# What is wrong is told, and is not called valid.
my $set = q{UPDATE acteon_audit SET %s WHERE namespace = 'prod' AND tenant = 'acme' AND sequence_number = %d};
my $broken = changed(sprintf($set, q{provider = 'sms'}, 5), $load);
is(told($broken), 'broken not valid 25 content 5', 'a column that was changed');
is(member($broken, 'first_broken_at'), $ids[5], '… at that record');
is_deeply([ map { member($broken, $_)} qw(findings next) ], [ 1, undef ], '… and nothing else');
is_deeply([ map { $broken->{json}{first_findings}[0]{$_} } qw(record_id broken_at records) ], [ $ids[5], $ids[5], 1 ], '… as the finding says');
like($broken->{json}{first_findings}[0]{dispatched_at}, qr/^2026-11-2\dT[\d:.]+\+\d\d:\d\d$/, '… with a time in ISO 8601');
my $gap = changed(q{DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number IN (5, 6, 7)}, $load);
is(told($gap), 'broken not valid 22 gap 5', 'records that were removed');
is(member($gap, 'first_broken_at'), $ids[8], '… at the one behind them');
ok(!exists $gap->{json}{first_findings}[0]{record_id}, '… as there is none there');
my $begun = changed(q{DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number < 7}, $load);
is(told($begun), 'broken not valid 18 beginning 0', 'the first ones, as by expiry');
is(join(' ', map { member($begun, $_) } qw(first_broken_at first_record_id)), "$ids[7] $ids[7]", '… at the first that is there, as in the gateway');
my $many = changed(q{UPDATE acteon_audit SET record_hash = md5(id), previous_hash = md5(id)}, $load);
is(member($many, 'findings'), 50, 'more is wrong: all of it is counted');
is(changed(q{UPDATE acteon_audit SET record_hash = NULL, previous_hash = NULL, sequence_number = NULL; DELETE FROM acteon_audit WHERE namespace <> 'prod' OR tenant <> 'acme'}, $load)->{json}{state}, 'unknown', 'records without hashes alone');
my $outside = changed(q{SELECT make_record('outside')}, q{DELETE FROM acteon_audit WHERE action_id = 'outside'});
is(told($outside), 'unknown not valid 25', 'of a record outside of the chain nothing is known');
is(member($outside, 'unchained'), 1, '… and how many there are');
# Each part looks for records outside of the chain, by time; one is enough for the part not to be continued.
my $early = changed(q{SELECT make_record('outside', at => '2026-01-01')}, q{DELETE FROM acteon_audit WHERE action_id = 'outside'}, limit => 10);
is(told($early), 'unknown not valid 10', 'the first part finds what is outside before its end');
ok(!exists $early->{json}{next}, '… and is not continued');
is(told(changed(q{SELECT make_record('outside', at => '2099-01-01')}, q{DELETE FROM acteon_audit WHERE action_id = 'outside'}, limit => 10)), 'incomplete not valid 10', '… but not what is behind');
is(told(changed(q{SELECT make_record('outside', at => '2099-01-01')}, q{DELETE FROM acteon_audit WHERE action_id = 'outside'}, after_sequence => 24, after_hash => $hash)), 'unknown not valid 0', '… which the last one finds');
# Numbers below 0 and numbers that are used again end like others.
like(told(changed(q{INSERT INTO acteon_audit SELECT (jsonb_populate_record(a, jsonb_build_object('id', 'n' || n, 'sequence_number', -n))).* FROM acteon_audit AS a CROSS JOIN generate_series(1, 2000) AS n WHERE namespace = 'prod' AND tenant = 'acme' AND sequence_number = 9}, $load, limit => 1)), qr/^broken not valid 2 number -2000 /, 'numbers below 0: as many as the limit');
like(told(changed(q{DROP INDEX acteon_audit_sequence_idx; INSERT INTO acteon_audit SELECT (jsonb_populate_record(a, jsonb_build_object('id', 'd' || n))).* FROM acteon_audit AS a CROSS JOIN generate_series(1, 2000) AS n WHERE namespace = 'prod' AND tenant = 'acme' AND sequence_number = 0},
	"$load; CREATE UNIQUE INDEX acteon_audit_sequence_idx ON acteon_audit (namespace, tenant, sequence_number) WHERE sequence_number IS NOT NULL", limit => 1)), qr/^broken not valid 2 .*\bduplicate 0\b/, 'one number again and again: one more than the limit');
is(told(chain('boss', to => '2020-01-01T00:00:00Z')), 'unknown not valid 0', 'no records');
is(told(chain('boss', from => '2020-01-01T00:00:00+00:00', to => '2099-01-01T00:00:00Z')), 'valid valid 25', 'times');
sql(sprintf($set, q{provider = 'sms'}, 24));
my $time = sql(q{SELECT to_char(dispatched_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM acteon_audit WHERE tenant = 'acme' AND namespace = 'prod' AND sequence_number = 10});
like(told(chain('boss', to => $time)), qr/^valid valid \d+$/, '… are all that is looked at');
like(told(chain('boss', from => $time)), qr/^broken not valid \d+ content 24$/, '… or not');
sql($load);

# A hundred findings at most, and all that were found are counted.
sql(q{CREATE TABLE kept AS TABLE acteon_audit; INSERT INTO acteon_audit SELECT (jsonb_populate_record(a, jsonb_build_object('id', 'x' || n, 'sequence_number', 100 + 2 * n))).* FROM kept AS a CROSS JOIN generate_series(1, 150) AS n WHERE a.namespace = 'prod' AND a.tenant = 'acme' AND a.sequence_number = 24});
my $flood = chain('boss');
is(scalar @{ $flood->{json}{first_findings} }, 100, 'a hundred findings');
cmp_ok(member($flood, 'findings'), '>=', 300, '… of more');
is($flood->{json}{first_findings}[0]{sequence_number}, 25, '… the first ones');
sql($load);

# In parts: nothing is valid before the end, and only what has no finding so far is continued.
my (@parts, %next);
do
{
	push @parts, chain('boss', limit => 10, %next);
	%next = %{ member($parts[-1], 'next') // {} };
} while (%next && @parts < 10);
is(join(', ', map { told($_) } @parts), 'incomplete not valid 10, incomplete not valid 10, valid valid 5', 'in three parts');
is(join(' ', map { member($_, 'first_record_id') } @parts), "$ids[0] $ids[10] $ids[20]", '… each behind the one before');
is(member($parts[0], 'unchained'), 0, '… with nothing outside so far');
is(told(changed(sprintf($set, q{provider = 'sms'}, 24), $load, limit => 10)), 'incomplete not valid 10', 'what is behind a part does not show');
is(told(changed(sprintf($set, q{provider = 'sms'}, 24), $load, limit => 10, %{ member($parts[1], 'next') })), 'broken not valid 5 content 24', '… but in its own');
my $stopped = changed(sprintf($set, q{provider = 'sms'}, 3), $load, limit => 10);
is(told($stopped), 'broken not valid 10 content 3', 'what is broken is not continued');
ok(!exists $stopped->{json}{next}, '… for nobody who follows it may come to an end that is valid');
is(told(changed(sprintf($set, q{record_hash = md5(id)}, 9), $load, limit => 10, %{ member($parts[0], 'next') })), 'broken not valid 10 witness 9 content 9 link 10', 'a part is linked to the one before by its hash');
is(chain('boss', limit => 0)->{headers}{'acteon-limit'}, '1', 'a limit of 0 is 1');
is(chain('boss', limit => 2_000_000)->{headers}{'acteon-limit'}, '1000000', '… and a large one 1,000,000');

# What takes long ends in time, and says where: hashes that do not fit take longest.
my $hasty = start_http($node, arguments => [ '--statement-timeout=2s' ]);
sql(q{INSERT INTO acteon_audit SELECT (jsonb_populate_record(a, jsonb_build_object('id', 'x' || n, 'tenant', 'long', 'sequence_number', n, 'record_hash', repeat(md5(n::text), 2), 'previous_hash', repeat(md5((n - 1)::text), 2)))).* FROM acteon_audit AS a CROSS JOIN generate_series(0, 19999) AS n
	WHERE a.namespace = 'prod' AND a.tenant = 'acme' AND a.sequence_number = 24; ANALYZE acteon_audit});
my $ended = $hasty->client(api_key($node, 'hasty', 'boss'))->post('/v1/audit/verify?namespace=prod&tenant=long');
is($ended->{status}, 200, 'a check that takes long has an answer') or diag($ended->{body});
cmp_ok(member($ended, 'records_checked'), '<', 20_000, '… before its end') and cmp_ok(member($ended, 'records_checked'), '>', 0, '… and behind its beginning');
like($ended->{json}{detail}, qr/^\d+ records, sequence_number 0 to \d+: /, '… which says so');
is($hasty->stop, 0, 'the hasty server ends in good order');
sql($load);

# A record that is known from elsewhere.
my %known = (after_sequence => 24, after_hash => $hash);
is(told(chain('boss', %known)), 'valid valid 0', 'it is as it was, and nothing is behind it');
is(told(changed(sprintf($set, q{provider = 'sms'}, 24), $load, %known)), 'broken not valid 0 content 24', 'it has its hash, but another content');
is(told(changed(sprintf($set, q{provider = 'sms'}, 24), $load, %known, to => '2020-01-01T00:00:00Z')), 'broken not valid 0 content 24', '… also where nothing else is looked at');
is(told(chain('boss', %known, after_hash => $hash =~ tr/0-9a-f/1-9a-f0/r)), 'broken not valid 0 witness 24', 'it has another hash');
is(told(changed(q{DELETE FROM acteon_audit WHERE tenant = 'acme' AND sequence_number > 20}, $load, %known)), 'broken not valid 0 end 21', 'the end was cut off');
is(told(changed(q{DELETE FROM acteon_audit WHERE tenant = 'acme'}, $load, %known)), 'broken not valid 0 end 24', 'all of it was');

# The same with a table that has no chain, or none at all.
answers(changed('ALTER TABLE acteon_audit RENAME COLUMN record_hash TO x', 'ALTER TABLE acteon_audit RENAME COLUMN x TO record_hash'), 400, { code => 'no_hash_chain' }, 'no chain, as in the gateway: 400');
answers(changed('ALTER TABLE acteon_audit RENAME TO x', 'ALTER TABLE x RENAME TO acteon_audit'), 404, { error => 'audit is not enabled' }, 'no audit table');

# It reads only: nothing is kept for an Idempotency-Key, and another method is none.
is(told($client{boss}->post('/v1/audit/verify?namespace=prod&tenant=acme', headers => { 'Idempotency-Key' => 'k' })), 'valid valid 25', 'an Idempotency-Key is not looked at') for 1 .. 2;
is(sql('SELECT count(*) FROM acteon_api_answers'), '0', '… and nothing kept');
is($client{boss}->get('/v1/audit/verify')->{headers}{allow}, 'POST', 'no record is asked for at this path');

# The trail.
sub trail { return $client{ $_[0] }->post('/v1/replay/verify', defined $_[1] ? (body => $json->encode({ witness => $_[1] })) : ()) }
sub verdict { my $said = $_[0]->{json}; return join(' ', ($said->{verified} ? 'verified' : 'not verified'), @$said{ qw(violations unknown) }) }
sub settle
{
	wait_until(sub { my $links = sql('SELECT acteon_replay_trail_link()'); return ($links == 0 && sql('SELECT log_id >= (SELECT max(id) FROM acteon_replay_log) FROM acteon_replay_trail_head') eq 't', $links) }, 'everything is linked');
	return;
}
answers($client{boss}->get('/v1/replay/witness'), 422, { code => 'not_possible' }, 'no witness of nothing');
is(verdict(trail('boss')) =~ s/\d+$/N/r, 'not verified 0 N', 'nothing is linked: nothing is verified');
sql(q{SELECT count(make_record('r-' || n)) FROM generate_series(1, 150) AS n; SELECT acteon_replay_bulk(provider => 'email', outcome => 'failed', max_records => 150, canary => 'off')});
settle();
my $witness = member($client{boss}->get('/v1/replay/witness'), 'witness');
is($witness, sql('SELECT acteon_replay_witness()'), 'a witness');
is(verdict(trail('boss', $witness)), 'verified 0 0', 'with the witness of the last link everything is known');
is(verdict(trail('boss')), 'not verified 0 1', '… and without it not');
is(verdict(trail('boss', "Jan 1 host log: $witness\n\n")), 'verified 0 0', '… also out of a log');
answers(trail('boss', "$witness " . ($witness =~ s/\w{8}$/00000000/r)), 400, { code => 'invalid_parameter' }, '… with nothing else behind it');
is(verdict($client{boss}->post('/v1/replay/verify?witness=' . encode_uri($witness))), 'verified 0 0', '… or in the query string');
is_deeply([ grep { my $row = $_; grep { !exists $row->{$_} } qw(verdict subject reference detail) } @{ trail('boss')->{json}{findings} } ], [], 'each row has all members');
sql(q{SELECT acteon_replay('r-1')});
is(verdict(trail('boss', $witness)) =~ s/\d+$/N/r, 'not verified 0 N', 'what is not linked yet is not known');
settle();
is(verdict(trail('boss', $witness)), 'not verified 0 1', '… nor are links behind the witness');
answers(trail('boss', 'x'), 400, { code => 'invalid_parameter' }, 'no witness');
answers($client{boss}->post('/v1/replay/verify', body => '{"tenant": "x"}'), 400, { code => 'unknown_parameter' }, 'another parameter');
sql(q{ALTER TABLE acteon_dispatch_outbox DISABLE TRIGGER ALL; UPDATE acteon_dispatch_outbox SET payload = '{"to": "somebody else"}'; ALTER TABLE acteon_dispatch_outbox ENABLE TRIGGER ALL});
my $forged = trail('boss', $witness);
like(verdict($forged), qr/^not verified 15\d 1$/, 'what was changed is a violation');
is(scalar(grep { $_->{verdict} eq 'violation' } @{ $forged->{json}{findings} }), 100, '… of which the first hundred are shown');
ok(scalar(grep { $_->{verdict} eq 'checked' && $_->{subject} eq 'chain' } @{ $forged->{json}{findings} }), '… and what was checked as well');
foreach my $who (qw(reader relay))
{
	is($client{$who}->get('/v1/replay/witness')->{status}, 200, "$who: a witness");
	is(trail($who)->{status}, 200, "$who: the check");
}
foreach my $who (qw(acme narrow nobody))
{
	answers($_, 403, { code => 'no_role' }, "$who: not for everybody") foreach $client{$who}->get('/v1/replay/witness'), trail($who);
}
answers($_, 401, qr/unauthenticated/, 'no key') foreach $client{none}->get('/v1/replay/witness'), trail('none'), $client{none}->post('/v1/replay/verify', body => '[');

# All of this is read only: it works where nothing can be written.
sql('ALTER DATABASE postgres SET default_transaction_read_only = on; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = \'acteon_http\'');
wait_until(sub { my $answer = trail('boss'); return ($answer->{status} == 200, "$answer->{status} $answer->{body}") }, 'the trail is checked where nothing is written');
is(told(chain('boss', limit => 3)), 'unknown not valid 3', '… and so is a chain, of whose tenant there are others now');
is($client{boss}->get('/v1/replay/witness')->{status}, 200, '… and there is a witness');

is($http->stop, 0, 'the server ends in good order') or diag($http->log);
done_testing();
