# The page for people, in a browser that a script drives (test/page/walk.js): what keys of
# several roles see and are offered, 20,000 actions from what is lost to what was done with
# them, approval by a second key, export, the keyboard alone, texts that would be scripts, and
# what axe-core finds.  Its pictures, which doc/http.md shows, go to the folder pictures of its tmp_check.
use strict;
use warnings;
use File::Path qw(make_path);
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;
use Program;
use Relay;

my ($chromium) = grep { defined } map { find_program($_) } qw(chromium chromium-browser google-chrome);
plan skip_all => 'Chromium is not installed' if !$chromium;
plan skip_all => 'Node.js is not installed' if system('node --version >/dev/null 2>&1') != 0;

my $directory = "$FindBin::RealBin/../page";
my $axe = "$directory/node_modules/axe-core/axe.min.js";
my $scratch = PostgreSQL::Test::Utils::tempdir;
my $pictures = "$PostgreSQL::Test::Utils::tmp_check/pictures";
my $node = new_relay_server('page');

sub sql { return $node->safe_psql('postgres', $_[0]) }

new_http_role($node);
sql(q{
	CREATE ROLE oncall; CREATE ROLE boss; CREATE ROLE viewer; CREATE ROLE globex; CREATE ROLE keeper;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('oncall', 'operator', '{acme,globex,initech}', '{*}', '{*}', '{*}'), ('oncall', 'admin', '{acme}', '{*}', '{*}', '{*}'),
		('boss', 'admin', '{*}', '{*}', '{*}', '{*}'), ('viewer', 'viewer', '{acme}', '{*}', '{*}', '{*}'), ('globex', 'operator', '{globex}', '{*}', '{*}', '{*}'),
		('keeper', 'viewer', '{acme,evil}', '{*}', '{*}', '{*}'), ('keeper', 'gateway', '{*}', '{*}', '{*}', '{*}');
	SELECT count(make_record('mail-' || n, at => '2026-01-15 12:00+00'::timestamptz + n * interval '0.54 s' + sin(n / 3000.0) * interval '20 min',
		tenant => (ARRAY['acme', 'globex', 'initech'])[1 + n % 7 % 3], provider => CASE WHEN n % 5 = 0 THEN 'sms' ELSE 'email' END,
		action_type => CASE WHEN n % 5 = 0 THEN 'send_sms' ELSE 'send_email' END,
		payload => jsonb_build_object('to', 'user-' || n || '@example.com', 'template_id', 't-' || n % 40),
		details => jsonb_build_object('code', 'PROVIDER_ERROR', 'message', CASE WHEN n % 5 = 0 THEN 'HTTP 503 from carrier' WHEN n % 11 = 0 THEN 'connection reset by peer' ELSE 'timeout after ' || n % 30 || 's' END,
			'retryable', true, 'attempts', 3))) FROM generate_series(1, 20000) AS n;
	SELECT make_record('<img src=x onerror=alert(1)>', at => '2026-01-15 14:00+00', tenant => 'evil', provider => 'evil"><script>alert(2)</script>',
		payload => '{"html": "<script>alert(3)</script><img src=x onerror=alert(4)>", "__proto__": {"x": 1}}',
		details => '{"code": "<b>", "message": "</pre></script><script>alert(5)</script><svg onload=alert(6)>", "retryable": false, "attempts": 1}');
	SELECT make_record('single-' || n, outcome => 'executed', at => '2026-01-15 11:00+00') FROM generate_series(1, 4) AS n;
	SELECT make_record('numbers', outcome => 'executed', at => '2026-01-15 11:00+00', payload => '{"id": 9007199254740993, "list": [], "text": "a, \\"b\\": ["}');
	SELECT acteon_replay_bulk(action_ids => '{single-2,single-3,single-4}', allow_effective => true, on_doubt => 'hold', reason => '<iframe src=javascript:alert(8)>');
	WITH held AS MATERIALIZED (SELECT * FROM acteon_outbox_claim('test', 2))
	SELECT acteon_outbox_doubt(array_agg(outbox_id), array_agg(lease_token), array_agg('timed out'::text), array_agg(action_id)) FROM held;
	VACUUM ANALYZE acteon_audit;
});
my %names = (oncall => 'on call', boss => 'the boss', viewer => 'a viewer', globex => 'globex', keeper => 'the keeper');
my %keys = map { $_ => api_key($node, $names{$_}, $_) } sort keys %names;
my $http = start_http($node);

make_path($pictures);
# Chromium keeps profiles and downloads there.
chmod 0700, $scratch;
my $config = "$scratch/config.json";
# Of what the parts need to know by name or number.
my %known;
my $write = sub { unlink $config; append_to_file($config, encode_json({ names => \%known, url => $http->url, keys => \%keys, chromium => $chromium, scratch => $scratch, axe => -f $axe ? $axe : undef, pictures => $pictures })) };
$write->();

# Walk through a part of it.
sub walk
{
	my ($part) = @_;
	my ($out, $err);
	my $good = eval { IPC::Run::run([ 'node', "$directory/walk.js", $part, $config ], '>', \$out, '2>', \$err, IPC::Run::timeout(300)) };

	foreach my $line (split /\n/, $out // '')
	{
		if ($line =~ /^(not )?ok - (.*)/)
		{
			ok(!$1, $2);
		}
		else
		{
			diag($line =~ s/^# //r);
		}
	}
	ok($good && $out =~ /^ok/m, "$part: has been walked through") or diag($@, $err);
	return;
}

# The page as it is sent.
my $client = $http->client;
my $page = $client->get('/');
is($page->{status}, 200, 'no key is needed for the page itself');
is($page->{headers}{'content-type'}, 'text/html; charset=utf-8', 'it is HTML');
cmp_ok(length $page->{body}, '<=', 100_000, 'it has at most 100 kB');
is_deeply([ grep { $_ ne 'http://www.w3.org/2000/svg' } $page->{body} =~ m{((?:https?:)?//[\w.-]+\.\w+[^'"\s]*)}g ], [], 'it names nothing elsewhere');
my $policy = $page->{headers}{'content-security-policy'};
like($policy, qr/^default-src 'none'; script-src 'sha256-[^']{44}'; style-src 'sha256-[^']{44}'; connect-src 'self'; /, 'its policy permits its own script and style');
like($policy, qr/$_/, "… and has $_") foreach qr/frame-ancestors 'none'/, qr/base-uri 'none'/, qr/form-action 'none'/, qr/require-trusted-types-for 'script'/;
unlike($policy, qr/unsafe|\*|https?:/, '… and nothing that is unsafe');
is($client->get('/', headers => { 'If-None-Match' => $page->{headers}{etag} })->{status}, 304, 'what a browser has is not sent again');
is($client->get('/', headers => { 'If-None-Match' => '"other"' })->{body}, $page->{body}, '… but another version is');
is($client->request('HEAD', '/')->{headers}{'content-length'}, length $page->{body}, 'HEAD');
is($client->post('/')->{status}, 405, 'nothing can be sent to it');

walk('login');
walk('viewer');
walk('keyboard');
is(sql(q{SELECT requested_by || ' ' || reason FROM acteon_replay_batch WHERE id = 2}), 'oncall INC-43: by keyboard', 'what was done by keyboard was done once, with its reason');
walk('hostile');
walk('settle');
is(sql(q{SELECT string_agg(concat_ws(' ', details->>'decision', reason, api_key), ', ' ORDER BY id) FROM acteon_replay_log WHERE event = 'settle'}),
	'delivered the provider has it the boss, cancel the provider has it not the boss', 'the log has who settled the doubts, and why');

my $gateway = start_gateway(node => $node);
my $relay = start_relay($node, $gateway);
walk('run');
is(sql(q{SELECT string_agg(event || ': ' || reason, ', ' ORDER BY id) FROM acteon_replay_log WHERE batch_id = 3 AND event IN ('set_rate', 'pause', 'resume', 'cancel')}),
	'set_rate: slower, pause: let us look, resume: go on, cancel: enough', 'the log has what was done with the batch, and why');
is(sql(q{SELECT requested_by || ' ' || state || ' ' || replayed || ' ' || reason FROM acteon_replay_batches WHERE batch_id = 3}), 'oncall cancelled 20000 INC-42: provider was down', 'and so the batch is');

walk('unanswered');
is(sql(q{SELECT string_agg(requested_by || ' ' || reason || ' ' || replayed, ', ') FROM acteon_replay_batches WHERE reason LIKE 'INC-44%'}), 'oncall INC-44: lost answer 1', 'what was sent again was done once, as it was asked for');
walk('paced');

$node->append_conf('postgresql.conf', 'acteon_replay.approval_above = 100');
$node->reload;
wait_until(sub { my $above = $http->client($keys{oncall})->get('/v1/replay/me')->{json}{settings}{approval_above} // 0; return ($above == 100, $above) }, 'more than 100 actions need approval');
walk('approve');
is(sql(q{SELECT requested_by || ' ' || approved_by FROM acteon_replay_batches WHERE batch_id = 7}), 'oncall boss', 'one role has asked, and the other one has approved');
cmp_ok(sql(q{SELECT replayed FROM acteon_replay_batches WHERE batch_id = 7}), '>', 100, '… before it was enqueued');

$node->append_conf('postgresql.conf', 'acteon_replay.approval_above = -1');
$node->reload;
wait_for_sql($node, 'SHOW acteon_replay.approval_above', '-1', 'nothing needs approval any more');

# What is handed over waits for a day that never comes.
sql(q{SELECT make_record('late-' || n, tenant => 'globex', provider => 'pager', at => '2026-01-15 15:00+00') FROM generate_series(1, 3) AS n});
$known{batch} = sql(q{SET SESSION AUTHORIZATION oncall; SELECT batch_id FROM acteon_replay_bulk(provider => 'pager', start_at => '2999-01-01', reason => 'INC-46')});
$write->();
walk('handover');
is(sql("SELECT requested_by || ' ' || handed_to || ' ' || rate FROM acteon_replay_batches WHERE batch_id = $known{batch}"), 'oncall globex 7', 'the batch was handed over');
is(sql("SELECT string_agg(event || ': ' || role_name || ': ' || reason, ', ' ORDER BY id) FROM acteon_replay_log WHERE batch_id = $known{batch} AND event IN ('hand_over', 'set_rate')"),
	'hand_over: oncall: INC-46: end of shift, set_rate: globex: INC-46: mine now', '… which the log has');

walk('everything');
is(sql("SELECT string_agg(concat_ws(' ', batch_id, event, role_name, reason), ', ' ORDER BY id) FROM acteon_replay_log WHERE reason LIKE 'INC-49%'"),
	"$known{batch} pause globex INC-49: stop, $known{batch} resume globex INC-49: on", 'what is paused at once is what the key may pause, and the log has each');

my $holder = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT FROM acteon_replay_batch WHERE id = $known{batch} FOR NO KEY UPDATE");
walk('busy');
$holder->query_safe('ROLLBACK');
$holder->quit;

# What the gateway does not take is dead, and is taken when it is redriven.
$gateway->rules({ match => { provider => 'fax' }, answer => { status => 422, effect => JSON::PP::false, body => { error => 'no such fax <script>alert(13)</script>' } } });
sql(q{SELECT make_record('fax-' || n, provider => 'fax', at => '2026-01-15 15:00+00'::timestamptz + n * interval '1 s') FROM generate_series(1, 6) AS n;
	SELECT make_record('<img src=x onerror=alert(14)>', provider => 'fax', tenant => 'evil', at => '2026-01-15 16:00+00')});
$known{dead} = sql(q{SELECT batch_id FROM acteon_replay_bulk(provider => 'fax', reason => 'INC-47')});
wait_for_sql($node, 'SELECT count(*) FROM acteon_dead_letters', '7', 'what the gateway does not take is dead');
$gateway->rules();
$write->();
walk('dead');
is(sql(q{SELECT string_agg(concat_ws(' ', role_name, api_key, reason, details->>'redriven'), ', ' ORDER BY id) FROM acteon_replay_log WHERE event = 'redrive'}),
	'keeper the keeper INC-47: number is back 2, keeper the keeper INC-47: all of them 3', 'the log has what was redriven, and why');
wait_for_sql($node, q{SELECT count(*) FROM acteon_dispatch_delivery AS d JOIN acteon_dispatch_outbox AS o ON o.id = d.outbox_id WHERE provider = 'fax' AND d.state = 'delivered'}, '5', '… and it is delivered');

walk('limits');
is(sql(q{SELECT string_agg(concat_ws(' ', kind, name, coalesce(rate::text, 'none'), coalesce(concurrency::text, 'none'), set_by, reason), ', ' ORDER BY kind) FROM acteon_replay_limits}),
	'provider <img src=x onerror=alert(15)> 2.5 4 boss INC-48: <script>alert(16)</script>, tenant acme none none oncall INC-48: over', 'limits are as they were set, with their reasons');

sql(q{SELECT count(acteon_replay_limit_set(tenant => 'many-' || to_char(n, 'FM0000'), rate => n)) FROM generate_series(1, 1001) AS n});
walk('many_limits');
sql(q{SELECT count(acteon_replay_limit_set(tenant => 'many-' || to_char(n, 'FM0000'))) FROM generate_series(1, 1001) AS n});

# Of three records one has the hash that the gateway would write, one was changed, and one has none.
sql(q{SELECT count(make_record('ledger-' || n, tenant => 'acme', namespace => 'ledger', provider => 'ledger', at => '2026-01-15 15:00:00.123456+00'::timestamptz + n * interval '1 s')) FROM generate_series(0, 2) AS n;
	UPDATE acteon_audit AS a SET sequence_number = 0, record_hash = encode(sha256(convert_to(format('{"action_id":%s,"action_type":%s,"dispatched_at":"%s+00:00","id":%s,"namespace":"ledger","outcome":%s,"previous_hash":null,"provider":"ledger","tenant":"acme","verdict":%s}',
		to_json(action_id), to_json(action_type), to_char(dispatched_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), to_json(id), to_json(outcome), to_json(verdict)), 'UTF8')), 'hex') WHERE action_id = 'ledger-0';
	UPDATE acteon_audit AS a SET sequence_number = 1, record_hash = md5('x') || md5('y'), previous_hash = (SELECT record_hash FROM acteon_audit WHERE action_id = 'ledger-0') WHERE action_id = 'ledger-1'});
walk('chain');
is(sql(q{SELECT b.query ->> 'verify' || ' ' || string_agg(o.original_action_id, ' ') FROM acteon_replay_batch AS b JOIN acteon_dispatch_outbox AS o ON o.batch_id = b.id WHERE b.reason = 'INC-50: verified' GROUP BY b.id}), 'required ledger-0', 'only what fits into the chain was replayed');

diag('axe-core is not installed (npm ci in test/page): barriers are not looked for') if !-f $axe;
walk('views');
is($relay->stop, 0, 'exit code of the relay');
is($http->stop, 0, 'exit code of the server');

done_testing();
