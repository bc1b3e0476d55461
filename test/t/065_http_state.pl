# How the HTTP server is: /health and /metrics, when keys were last used, what
# happens to it when the extension changes while it runs, and --check.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;
use Program;

my $node = new_server('state', conf => "fsync = off\nmax_prepared_transactions = 5\n");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

new_http_role($node);
sql(q{
	CREATE ROLE boss;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('boss', 'admin', '{*}', '{*}', '{*}', '{*}');
	SELECT make_record('a-1');
});
my $key = api_key($node, 'boss', 'boss');
my $unused = api_key($node, 'unused', 'boss');
my $http = start_http($node, arguments => ['--workers=2']);
my $boss = $http->client($key);
my $anyone = $http->client;

#
# When keys were last used, and answers that are too old.
#

my $before = sql('SELECT now()');
answers($boss->post('/v1/audit/a-1/replay', headers => { 'Idempotency-Key' => $_ }), 200, qr/true/, "a request, $_") foreach qw(old new);
answers($boss->get('/v1/replay/batches'), 200, qr/batches/, 'another one');
answers($http->client('x')->get('/v1/replay/batches'), 401, qr/error/, 'one with a wrong key');
sql(q{UPDATE acteon_api_answers SET created_at = now() - interval '25 h' WHERE idempotency_key = 'old'});

#
# Health.
#

my $version = sql(q{SELECT extversion FROM pg_extension WHERE extname = 'acteon_replay'});
# The programs' version has a number more: that of the release.
my $release = slurp_file("$FindBin::RealBin/../../META.json") =~ /"version": "([\d.]+)"/ ? $1 : die 'META.json has no version';
my %good = (status => 'ok', version => $release, database => 'ok', extension => $version);
answers($anyone->get('/health'), 200, \%good, 'all is well, for whoever asks');
answers($anyone->get('/health', headers => { Authorization => 'Bearer x' }), 200, \%good, 'with any key');
my $head = $anyone->request('HEAD', '/health');
is("$head->{status} $head->{body} $head->{headers}{'content-length'}", '200  ' . length($anyone->get('/health')->{body}), 'HEAD tells as much, without the body');
sql(q{UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'acteon_replay'});
answers($anyone->get('/health'), 503, { %good, status => 'unavailable', extension => '0.9' }, 'another version of the extension');
sql("UPDATE pg_extension SET extversion = '$version' WHERE extname = 'acteon_replay'");
answers($anyone->get('/health'), 200, \%good, 'the right one again');

#
# Metrics.
#

# What there is to read: by name and labels.  Tests that all of it is in the text format.
sub metrics
{
	my $answer = $anyone->get('/metrics');
	my (%value, %type, %help, @wrong, $family);

	is($answer->{status} . $answer->{headers}{'content-type'}, '200text/plain; version=0.0.4; charset=utf-8', 'metrics');
	foreach my $line (split /\n/, $answer->{body}, -1)
	{
		if ($line =~ /^# HELP ([a-z_]+) \S.*\.$/) { push @wrong, $line if $help{$1}++; $family = $1 }
		elsif ($line =~ /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/) { push @wrong, $line if $type{$1} || $1 ne $family; $type{$1} = $2 }
		elsif (my ($name, $labels, $number) = $line =~ /^([a-z_]+)((?:\{(?:[a-z]+="(?:[^"\\]|\\["\\n])*",?)+\})?) (-?\d+(?:\.\d+)?(?:e[-+]\d+)?)$/)
		{
			push @wrong, $line
				if exists $value{"$name$labels"} || $name !~ /^\Q$family\E(_bucket|_sum|_count)?$/ || ($type{$family} eq 'counter') != ($family =~ /_total$/);
			$value{"$name$labels"} = $number;
		}
		elsif ($line ne '') { push @wrong, $line }
	}
	is(join("\n", @wrong), '', '… in the text format');
	like($answer->{body}, qr/\n\z/, '… to the end');
	is_deeply([ sort keys %help ], [ sort keys %type ], '… each with its help');
	return \%value;
}

my $p = 'acteon_replay_http_';
my $first = metrics();
is($first->{"${p}requests_total{method=\"GET\",route=\"/health\",status=\"200\"}"}, 4, 'requests are counted by route and status');
is($first->{"${p}requests_total{method=\"HEAD\",route=\"/health\",status=\"200\"}"}, 1, '… by their method');
is($first->{"${p}requests_total{method=\"GET\",route=\"/health\",status=\"503\"}"}, 1, '… those that failed apart');
is($first->{"${p}requests_total{method=\"POST\",route=\"/v1/audit/*/replay\",status=\"200\"}"}, 2, '… without the ids in paths');
is($first->{"${p}requests_total{method=\"GET\",route=\"/v1/replay/batches\",status=\"401\"}"}, 1, '… and without keys');
is($first->{"${p}build_info{version=\"$release\"}"}, 1, 'the version is told');
is($first->{"${p}database_connections"}, 2, '… and how many connections there are');
cmp_ok(abs($first->{"${p}start_time_seconds"} - time), '<', 120, '… and since when it runs');
$boss->post('/v1/audit/a-1/replay', headers => { 'Idempotency-Key' => 'new' }) for 1 .. 3;
$anyone->get('/nowhere/' . $_) for 1 .. 2;
$anyone->post('/health');
my $second = metrics();
is($second->{"${p}requests_total{method=\"POST\",route=\"/v1/audit/*/replay\",status=\"200\"}"}, 5, 'counters go up');
is($second->{"${p}requests_total{method=\"GET\",route=\"none\",status=\"404\"}"}, 2, '… also of what there is not');
is($second->{"${p}requests_total{method=\"POST\",route=\"/health\",status=\"405\"}"}, 1, '… and of methods that a path does not take');
is($second->{"${p}repeated_total"} - $first->{"${p}repeated_total"}, 3, '… and of requests that were made again');
is($second->{"${p}request_duration_seconds_count"} - $first->{"${p}request_duration_seconds_count"}, 7, '… and of how long they took');
is($second->{"${p}request_duration_seconds_bucket{le=\"+Inf\"}"}, $second->{"${p}request_duration_seconds_count"}, '… the last bucket is all');
my @buckets = map { $second->{$_} } sort { ($a =~ /le="([\d.]+)/)[0] <=> ($b =~ /le="([\d.]+)/)[0] } grep { /_bucket\{le="\d/ } keys %$second;
is("@buckets", join(' ', sort { $a <=> $b } @buckets), '… and each holds those before it');
my @idle = map { $http->connect } 1 .. 3;
wait_until(sub { my $n = ($anyone->get('/metrics')->{body} =~ /^${p}connections (\d+)/m)[0]; return ($n >= 5, $n) }, 'connections are counted');
$_->close foreach @idle;
wait_until(sub { my $n = ($anyone->get('/metrics')->{body} =~ /^${p}connections (\d+)/m)[0]; return ($n <= 3, $n) }, '… until they are closed');
is($anyone->request('HEAD', '/metrics')->{body}, '', 'HEAD has no body');

#
# What the housekeeping does.
#

wait_for_sql($node, "SELECT last_used_at >= '$before'::timestamptz - interval '1 s' AND last_used_at <= now() FROM acteon_api_keys WHERE name = 'boss'", 't', 'it is written down when a key was last used', 30);
is(sql(q{SELECT last_used_at IS NULL FROM acteon_api_keys WHERE name = 'unused'}), 't', '… and not for others');
wait_for_sql($node, 'SELECT string_agg(idempotency_key, $$ $$) FROM acteon_api_answers', 'new', 'answers that are too old are deleted', 30);

#
# The extension goes and comes back elsewhere.
#

is($http->log =~ /error event="(?!the database refuses)/ ? $http->log : '', '', 'the log has no complaints so far');
sql('DROP EXTENSION acteon_replay CASCADE');
answers($anyone->get('/health'), 503, { %good, status => 'unavailable', extension => undef }, 'there is no extension');
my $answer = $boss->get('/v1/replay/batches');
like($answer->{status}, qr/^50[03]$/, 'a request fails') or diag($answer->{body});
unlike($answer->{body}, qr/acteon_|function|schema|42883/, '… of which the client learns nothing') if $answer->{status} == 500;
$http->says(qr/error event="[^"]*extension[^"]*".*hint=\S/, 'the log tells what to do');
sql(q{
	CREATE SCHEMA "else where";
	CREATE EXTENSION acteon_replay SCHEMA "else where";
	GRANT USAGE ON SCHEMA "else where" TO acteon_http, boss;
	SET search_path = "else where";
	GRANT EXECUTE ON FUNCTION acteon_api_login, acteon_api_begin, acteon_api_finish, acteon_api_housekeeping TO acteon_http;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('boss', 'admin', '{*}', '{*}', '{*}', '{*}');
});
$key = sql(q{SELECT "else where".acteon_api_key_create('boss', 'boss')});
$boss = $http->client($key);
wait_until(sub { my $found = $boss->get('/v1/replay/batches'); return ($found->{status} == 200, $found->{body}) }, 'it goes on by itself, when the extension is there again, in another schema', 30);
answers($boss->get('/v1/replay/batches'), 200, { batches => [] }, "… request $_") foreach 1 .. 5;
answers($anyone->get('/health'), 200, \%good, '… and says so');
answers($boss->post('/v1/audit/a-1/replay'), 200, qr/true/, '… and replays');
$http->says(qr/info event="the extension can be used again"/, 'the log says so');

# From one schema to another, without anybody asking meanwhile.
sql(q{
	DROP EXTENSION acteon_replay CASCADE;
	CREATE EXTENSION acteon_replay SCHEMA public;
	GRANT EXECUTE ON FUNCTION acteon_api_login, acteon_api_begin, acteon_api_finish, acteon_api_housekeeping TO acteon_http;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('boss', 'admin', '{*}', '{*}', '{*}', '{*}');
});
$boss = $http->client(sql(q{SELECT acteon_api_key_create('boss', 'boss')}));
my $failed = 0;
wait_until(sub { my $found = $boss->get('/v1/replay/batches'); $failed++ if $found->{status} == 500; return ($found->{status} == 200, $found->{body}) }, 'it finds out by itself', 30);
cmp_ok($failed, '<=', 1, '… and one request notices at the most');
# Two at once, each over a connection of its own, which a lock holds up.
sql(q{BEGIN; LOCK TABLE acteon_replay_batch; PREPARE TRANSACTION 'held'});
my @held = map { $boss->start('GET', '/v1/replay/batches') } 1 .. 2;
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'acteon_http' AND wait_event_type = 'Lock'}, 2, '… as both connections were looked over', 60);
sql(q{COMMIT PREPARED 'held'});
answers($_->answer, 200, { batches => [] }, '… and work') foreach @held;
is($http->stop, 0, 'the server ends well');

#
# --check.
#

# Run the program with --check.  Test its exit code and a line of what it says.
sub check
{
	my ($description, $status, $expected, @arguments) = @_;
	my $run = Program::Running->run('http-check', Http::Server::program(), '--check', '--listen=127.0.0.1:0',
		'--database=' . $node->connstr('postgres') . ' user=acteon_http', @arguments);

	is($run->wait_for_end(60), $status, "$description: exit status $status");
	like($run->log, $expected, "$description: says so");
	return $run->log;
}

my $listener = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $!;
sql(q{CREATE ROLE inheriting LOGIN INHERIT; CREATE ROLE powerless LOGIN NOINHERIT; CREATE DATABASE other});
sql('GRANT EXECUTE ON FUNCTION acteon_api_login, acteon_api_begin, acteon_api_finish, acteon_api_housekeeping TO inheriting');
my $said = check('all is well', 0, qr/^ok\b.*role: acteon_http, which can become 1 other role$/m);
like($said, qr/^ok\b.*TLS: off$/m, '… TLS');
like($said, qr/^ok\b.*listening: 127\.0\.0\.1:0 is available$/m, '… the address');
unlike($said, qr/^(?!ok\b)/m, '… and nothing else');
sub db { my ($role, $database) = @_; return '--database=' . $node->connstr($database // 'postgres') . " user=$role" }
check('a role that inherits', 1, qr/inherits.*NOINHERIT/s, db('inheriting'));
check('a superuser', 1, qr/it is a superuser/, db($ENV{USER} // getpwuid($<)));
$said = check('a role without rights', 1, qr/acteon_api_login.*may not call it/, db('powerless'));
like($said, qr/$_.*may not call it.*\n?.*GRANT/, "… $_") foreach qw(acteon_api_begin acteon_api_finish acteon_api_housekeeping);
sql('CREATE ROLE lonely LOGIN NOINHERIT; GRANT EXECUTE ON FUNCTION acteon_api_login, acteon_api_begin, acteon_api_finish, acteon_api_housekeeping TO lonely');
check('a role that is a member of none', 1, qr/it is a member of no role.*GRANT/s, db('lonely'));
sql('CREATE ROLE root_like SUPERUSER; CREATE ROLE between NOLOGIN; GRANT root_like TO between; GRANT between TO acteon_http');
check('a role that can become a superuser', 1, qr/it can become the superuser root_like.*REVOKE/s, '--allow-anonymous=root_like');
sql('DROP ROLE root_like, between');
check('no such role', 1, qr/role "nobody" does not exist/, db('nobody'));
check('no extension', 1, qr/extension/, db('acteon_http', 'other'));
check('no server', 1, qr/connect|No such file/, "--database=host=$PostgreSQL::Test::Utils::tmp_check port=1");
sql(q{UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'acteon_replay'});
check('another version', 1, qr/0\.9/);
sql("UPDATE pg_extension SET extversion = '$version' WHERE extname = 'acteon_replay'");
check('an address that is taken', 1, qr/the address is not available/, '--listen=127.0.0.1:' . $listener->sockport);
my $tls = "$PostgreSQL::Test::Utils::tmp_check/http-tls";
mkdir $tls;
foreach my $name (qw(one other))
{
	system_or_bail('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', "/CN=$name", '-days', 2,
		'-keyout', "$tls/$name.key", '-out', "$tls/$name.pem");
}
system_or_bail('openssl', 'ec', '-in', "$tls/one.key", '-aes256', '-passout', 'pass:secret', '-out', "$tls/locked.key");
system_or_bail('openssl', 'x509', '-in', "$tls/one.pem", '-signkey', "$tls/one.key", '-days', 0, '-out', "$tls/old.pem");
chmod(0600, glob "$tls/*.key");
sub tls { my ($cert, $tls_key) = @_; return ("--tls-cert=$tls/$cert", "--tls-key=$tls/$tls_key") }
check('TLS', 0, qr/^ok\b.*TLS: with the certificate in .*one\.pem$/m, tls('one.pem', 'one.key'));
check("another's key", 1, qr/the key does not belong to the certificate/, tls('one.pem', 'other.key'));
check('no certificate', 1, qr/--tls-cert contains no certificate in PEM format/, tls('one.key', 'one.key'));
check('no key', 1, qr/--tls-key contains no private key/, tls('one.pem', 'one.pem'));
check('a key with a password', 1, qr/--tls-key contains no private key in PEM format without a password/, tls('one.pem', 'locked.key'));
check('an old certificate', 1, qr/the certificate has expired/, tls('old.pem', 'one.key'));
chmod(0644, "$tls/one.key");
check('a key that others can read', 1, qr/others can read the private key/, tls('one.pem', 'one.key'));
check('anonymous requests', 0, qr/^ok\b.*requests without a key: act as boss$/m, '--allow-anonymous=boss');
check('anonymous requests as a role that the server may not become', 1, qr/requests without a key: .*permission denied to set role "powerless".*GRANT/s, '--allow-anonymous=powerless');
check('anonymous requests as a role that there is not', 1, qr/role "nothing" does not exist/, '--allow-anonymous=nothing');
check('keys that cross the network', 0, qr/^ok\b.*TLS: off; API keys are sent in plain text/m, '--listen=0.0.0.0:0');
sql('DROP EXTENSION acteon_replay CASCADE; CREATE SCHEMA closed; CREATE EXTENSION acteon_replay SCHEMA closed');
check('a schema that the role may not use', 1, qr/permission denied for schema closed.*USAGE ON SCHEMA/s);
done_testing();
