# Clients that openapi-generator makes of the description of the HTTP interface work, and
# schemathesis, which makes requests of it, finds no answer that it does not describe.
use strict;
use warnings;
use File::Path qw(make_path);
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;

# What test/lib.sh has fetched: jar/, python/ (a virtual environment), gomod/.
my $fetched = $ENV{ACTEON_GENERATED};
my ($jar) = defined $fetched ? glob("$fetched/jar/openapi-generator-cli-*.jar") : ();
my $from = "$FindBin::RealBin/../generated";
my $scratch = PostgreSQL::Test::Utils::tempdir;

plan skip_all => 'there is no openapi-generator' if !defined $jar;
delete @ENV{ qw(GOROOT GOFLAGS NODE_OPTIONS PYTHONPATH http_proxy HTTP_PROXY) };
%ENV = (
	%ENV,
	HOME => $scratch,
	JDK_JAVA_OPTIONS => '-XX:TieredStopAtLevel=1 -XX:-UsePerfData',
	PYTHONDONTWRITEBYTECODE => 1,
	GO111MODULE => 'on',
	GOCACHE => "$scratch/go-cache",
	GOMODCACHE => "$fetched/gomod",
	GOTOOLCHAIN => 'local',
	GOPROXY => 'off',
	GOFLAGS => '-mod=mod -buildvcs=false',
	CGO_ENABLED => 0);

my $node = new_server('generated', conf => 'fsync = off');
$node->safe_psql('postgres', q{
	CREATE ROLE oncall LOGIN;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('oncall', 'operator', '{acme}', '{prod}', '{*}')});
new_http_role($node);
my $http = start_http($node);
%ENV = (%ENV, ACTEON_URL => $http->url, ACTEON_API_KEY => api_key($node, 'generated', 'oncall'));
append_to_file("$scratch/openapi.json", $http->client->get('/openapi.json')->{body});

# Run a command; returns what it says, or what it says before it fails.
sub said
{
	my (@command) = @_;
	my ($out, $err);
	my $done = eval { IPC::Run::run(\@command, '>', \$out, '2>', \$err, IPC::Run::timeout(600)) };

	return $done ? $out : "failed: $out$err" . ($@ // '');
}

# Generate a client.
sub generate
{
	my ($generator, $to) = @_;
	my $said = said('java', '-jar', $jar, 'generate', '-g', $generator, '-i', "$scratch/openapi.json", '-o', $to);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return unlike($said, qr/^failed:|ERROR/m, "$generator: a client can be made");
}

# What both clients do and say.
sub uses
{
	my ($language, @command) = @_;

	$node->safe_psql('postgres', q{
		CALL clean();
		SELECT make_record('invoice/1', provider => 'sms'), make_record('a', at => '2026-01-15 12:00+00'), make_record('b', at => '2026-01-15 12:01+00'), make_record('none', payload => NULL),
			make_record('globex', tenant => 'globex')});
	my $said = said(@command);
	is($said =~ s/^(refused: 404 Not Found) \{.*?"no audit record found for action: nothing".*/$1/mr, <<'END', "$language: it replays, previews, lists and steers");
one: true of invoice/1
preview: 2 of 4
many: 2 replayed, 2 skipped, a first
causes: 3 records of email
paused: paused, 2 waiting
batch: paused, generated
items: 2, waiting
cancelled: cancelled, 2
refused: 404 Not Found
END
	is($node->safe_psql('postgres', q{SELECT string_agg(original_action_id, ' ' ORDER BY id) FROM acteon_dispatch_outbox}), 'invoice/1 a b', '… what it was asked for');
	return;
}

subtest 'Python' => sub {
	my $python = "$fetched/python/bin/python";

	plan skip_all => 'the packages that a client needs are missing' if said($python, '-c', 'import pydantic') =~ /^failed/;
	uses('Python', $python, "$from/use.py", "$scratch/python") if generate('python', "$scratch/python");
};

subtest 'Go' => sub {
	plan skip_all => 'there is no Go, or not the module that a client needs' if !-x '/usr/bin/go' || !-d "$fetched/gomod/gopkg.in";
	return if !generate('go', "$scratch/client");
	make_path("$scratch/module/client");
	system("cp $from/go/* $scratch/module && cp $scratch/client/*.go $scratch/module/client") == 0 or BAIL_OUT('could not copy');
	chdir "$scratch/module" or BAIL_OUT("could not change directory: $!");
	is(said('/usr/bin/go', 'build', '-o', "$scratch/use", '.'), '', 'Go: it builds');
	uses('Go', "$scratch/use");
};

subtest 'schemathesis' => sub {
	my $schemathesis = "$fetched/python/bin/schemathesis";

	plan skip_all => 'there is no schemathesis' if !-x $schemathesis;
	chdir $scratch or BAIL_OUT("could not change directory: $!");
	$node->safe_psql('postgres', q{
		CALL clean();
		SELECT count(make_record('s-' || n)) FROM generate_series(1, 50) AS n; SELECT acteon_replay_bulk(provider => 'email', max_records => 20, canary => 'off')});
	# A request that the schema allows can be wrong all the same: two parameters that exclude each other, a batch that is not there;
	# and it can ask for a result that it waits for, a minute long.
	my $said = said($schemathesis, 'run', "$scratch/openapi.json", '--url', $http->url, '-H', "Authorization: Bearer $ENV{ACTEON_API_KEY}",
		'--checks', 'all', '--exclude-checks', 'positive_data_acceptance', '--phases', 'examples,coverage,fuzzing', '--max-examples', '40', '--request-timeout', '180', '--max-response-time', '120');
	unlike($said, qr/^failed|Failures:|Errors:/m, 'it finds nothing') or diag($said);
	like($said, qr/Test cases:\s+\d{3,} generated/, '… with hundreds of requests');
	is($http->client->get('/health')->{status}, 200, '… and the server is well');
};

is($http->stop, 0, 'exit code 0');
done_testing();
