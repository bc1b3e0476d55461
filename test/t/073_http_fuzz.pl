# Nonsense over HTTP, for a while, to a server with sanitizers: it stays alive and
# answers HTTP, and nothing reaches the database but its own statements.
# ACTEON_FUZZ_SECONDS says for how long, ACTEON_SEED repeats a run.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Http;
use Program;
use Replays;

my $top = "$FindBin::RealBin/../..";
my $seconds = $ENV{ACTEON_FUZZ_SECONDS} || 60;
my $seed = $ENV{ACTEON_SEED} // time;

if (Http::Server::program() !~ /\.asan$/)
{
	# Not the make that runs this test.
	delete @ENV{qw(MAKEFLAGS MAKELEVEL MAKEOVERRIDES MFLAGS)};
	run_log([ 'make', '-s', '-C', $top, 'http-asan', 'PG_CONFIG=pg_config' ]) or BAIL_OUT('no server with sanitizers');
	$ENV{ACTEON_REPLAY_HTTP} = "$top/acteon-replay-http.asan";
}

# Parameters are left out of the log: what is asked for is in them, all else is text of ours.
my ($node, $key) = new_replay_server('fuzz', conf => q{
	log_statement = all
	log_parameter_max_length = 0
	log_error_verbosity = terse
	log_line_prefix = '%u|'});
my ($server, $client, $answer);

# The distinct statements that the server's role has had executed.
sub statements
{
	my %seen;

	open(my $log, '<', $node->logfile) or die $node->logfile . ": $!";
	while (<$log>)
	{
		$seen{$1}++ if /^acteon_http\|LOG:  (?:execute |statement: )(.*)$/;
		$seen{"other than a statement: $_"}++ if /^acteon_http\|LOG:  (?!execute |statement: |duration|disconnection|connection)/;
	}
	close($log);
	return \%seen;
}

# What no request may change, nor one of this key.
sub others
{
	return $node->safe_psql('postgres', q{
		SELECT md5(string_agg(a::text, ' ' ORDER BY id)) FROM acteon_audit AS a
		UNION ALL SELECT md5(string_agg(g::text, ' ' ORDER BY id)) FROM acteon_grants AS g
		UNION ALL SELECT md5(string_agg(concat_ws(' ', id, name, key_sha256, role, expires_at, revoked_at), ' ' ORDER BY id)) FROM acteon_api_keys
		UNION ALL SELECT md5(string_agg(concat_ws(' ', rolname, rolsuper, rolcanlogin, rolconfig), ' ' ORDER BY rolname)) FROM pg_roles
		UNION ALL SELECT md5(string_agg(concat_ws(' ', oid, relname, relacl), ' ' ORDER BY oid)) FROM pg_class WHERE relkind IN ('r', 'v', 'S', 'p')});
}

$node->safe_psql('postgres', q{
	CREATE ROLE other;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('other', 'operator', '{*}', '{*}', '{*}');
	SELECT count(make_record('fuzz-' || i, tenant => (ARRAY['acme', 'globex', '', 'a''b'])[1 + i % 4],
		outcome => (ARRAY['failed', 'executed', 'pending'])[1 + i % 3], at => '2026-01-01'::timestamptz + i * interval '1 min',
		payload => CASE WHEN i % 7 > 0 THEN '{"to": "x"}'::jsonb END)) FROM generate_series(1, 400) AS i});
my $other_key = api_key($node, 'other', 'other');
$server = start_ready(arguments => [ '--max-body=4096', '--idle-timeout=2s', '--request-timeout=2s', '--queue=50', '--log-level=warning' ]);

# Whatever the server may ask of the database it asks here, or when it connects.
foreach my $case (
	[ 200, 'POST', '/v1/audit/fuzz-1/replay' ],
	[ 200, 'POST', '/v1/audit/fuzz-3/replay?wait=0.1' ],
	[ 200, 'POST', '/v1/audit/fuzz-4/replay', 'first' ],
	[ 200, 'POST', '/v1/audit/replay?limit=1&outcome=failed&outcome=throttled&on_doubt=hold' ],
	[ 200, 'POST', '/v1/audit/replay?limit=1&lost=true&certain=false' ],
	[ 200, 'POST', '/v1/audit/replay?limit=1&action_ids=fuzz-7,fuzz-10&exclude_ids=fuzz-7&exclude=%7B%22provider%22%3A%22sms%22%7D&payload=%7B%22to%22%3A%22x%22%7D&payload_path=$.to&tenant_tree=acme' ],
	[ 200, 'POST', '/v1/audit/replay?limit=1&error_like=%25time%25' ],
	[ 200, 'POST', '/v1/audit/replay?limit=1&dry_run=true', 'second' ],
	[ 200, 'GET', '/v1/audit/fuzz-1' ],
	[ 200, 'GET', '/v1/audit?tenant=acme&limit=1&outcome=failed,executed' ],
	[ 200, 'GET', '/v1/replay/batches' ],
	[ 200, 'GET', '/v1/replay/batches/1' ],
	[ 200, 'POST', '/v1/replay/batches/1/pause' ],
	[ 200, 'POST', '/v1/replay/batches/1/resume' ],
	[ 200, 'POST', '/v1/replay/batches/1/cancel' ],
	[ 200, 'GET', '/health' ],
	[ 404, 'POST', '/v1/audit/missing/replay', 'third' ])
{
	my ($status, $method, $path, $idempotency_key) = @$case;

	$answer = $server->client($other_key)->request($method, $path, headers => { 'Idempotency-Key' => $idempotency_key });
	is($answer->{status}, $status, "$method $path") or diag($answer->{body});
}
wait_for_sql($node, q{SELECT last_used_at IS NOT NULL FROM acteon_api_keys WHERE name = 'other'}, 't', 'the use of the key is noted');
my $known = statements();
cmp_ok(scalar keys %$known, '>', 15, 'statements of the server');
my $before = others();

my ($out, $err);
note("seed $seed");
IPC::Run::run([ 'python3', "$FindBin::RealBin/../http/fuzz.py", $server->{port}, $seed, $seconds, $key ], '>', \$out, '2>', \$err);
is($?, 0, "$seconds s of nonsense: every answer is one of HTTP, and of the interface") or diag("seed $seed: $err");
note($out);
my $told = eval { decode_json($out) } // {};
cmp_ok($told->{statuses}{$_} // 0, '>', 0, "… some are $_") foreach 200, 400, 401, 404, 405;
answers($server->client($key)->post('/v1/audit/fuzz-6/replay'), 200, qr/"success" : true/, 'it is alive');
wait_for_gauge($server, 'connections', 1, 'no connection is left');
wait_for_gauge($server, 'requests_in_progress', 1, '… nor a request');
is($server->stop, 0, 'it ends in good order, without a leak') or diag($server->log);
unlike($server->log, qr/AddressSanitizer|LeakSanitizer|runtime error:/, 'the sanitizers have found nothing') or diag($server->log);
unlike($server->log, qr/ error event=/, 'the server has found no error of its own');

# The database.
my $after = statements();
is(join("\n", grep { !$known->{$_} && $_ ne '<unnamed>: ROLLBACK' } sort keys %$after), '', 'the database was asked nothing else than before') or diag("seed $seed");
is(others(), $before, 'records, grants, keys, roles and tables are as they were');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT requested_by, ' ' ORDER BY requested_by) FROM acteon_replay_batch}), 'ops other', 'what was replayed was asked for by the key');
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_outbox AS o WHERE NOT EXISTS (SELECT FROM acteon_replay_batch AS b WHERE b.id = o.batch_id)}), 0, '… all of it');
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_api_answers WHERE status IS NULL}), 0, 'no request is half kept');
ok(!$node->log_contains('(PANIC|FATAL|terminated by signal)'), 'the database has not suffered');

done_testing();
