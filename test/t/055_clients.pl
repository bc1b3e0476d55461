# The snippets of the pages, of doc/programs.md above all: in five languages, with the language's
# PostgreSQL driver against the database, and with the gateway's SDK (a small client
# that sends what the SDK sends) against the HTTP server.  Compilers and drivers are
# Debian's own.
use strict;
use warnings;
use File::Copy;
use File::Path qw(make_path);
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;
use Pages;
use Program;

my $clients = "$FindBin::RealBin/../clients";
my $scratch = PostgreSQL::Test::Utils::tempdir;

# Nothing of what is built, cached or looked up comes from whoever runs the test.
delete @ENV{ qw(GOROOT GOFLAGS CARGO_TARGET_DIR RUSTFLAGS CLASSPATH NODE_OPTIONS PYTHONPATH http_proxy HTTP_PROXY) };
$ENV{HOME} = $scratch;
%ENV = (
	%ENV,
	GO111MODULE => 'off',
	GOPATH => "$scratch/go:/usr/share/gocode",
	GOCACHE => "$scratch/go-cache",
	GOTOOLCHAIN => 'local',
	CGO_ENABLED => 0,
	CARGO_HOME => "$scratch/cargo",
	RUSTC => '/usr/bin/rustc',
	JDK_JAVA_OPTIONS => '-XX:TieredStopAtLevel=1 -XX:-UsePerfData',
	PYTHONDONTWRITEBYTECODE => 1);

my $jars = join(':', map { "/usr/share/java/$_.jar" } qw(postgresql jackson-core jackson-databind jackson-annotations));
my $rust_build;    # the one that takes long is built while the others are tested

# One entry a language: its name in a fence of a page, the directory and the programs;
# a command that shows whether all is there, and the packages that it needs; how to
# build; how to run; and what the bulk replay of its SDK finds.
my @languages = (
	{ name => 'Python', fence => 'python', driver => 'replay_driver.py', sdk => 'replay_sdk.py',
		probe => [ '/usr/bin/python3', '-c', 'import psycopg' ], packages => 'python3-psycopg',
		run => sub { ('/usr/bin/python3', "$clients/python/$_[0]") } },
	{ name => 'Node.js', fence => 'javascript', driver => 'replay_driver.js', sdk => 'replay_sdk.mjs',
		probe => [ '/usr/bin/node', '-e', "module.paths.unshift('$clients/nodejs/node_modules'); require('pg')" ],
		packages => 'nodejs, node-pg', build => \&build_nodejs,
		run => sub { ('/usr/bin/node', ($_[0] =~ /sdk/ ? "$scratch/nodejs" : "$clients/nodejs") . "/$_[0]") } },
	{ name => 'Go', fence => 'go', driver => 'replay_driver.go', sdk => 'replay_sdk.go',
		probe => [ '/usr/bin/go', 'list', 'github.com/lib/pq' ], packages => 'golang-go, golang-github-lib-pq-dev', build => \&build_go,
		run => sub { "$scratch/go/bin/" . $_[0] =~ s/\.go$//r } },
	{ name => 'Java', fence => 'java', driver => 'ReplayDriver.java', sdk => 'ReplaySdk.java',
		probe => [ 'ls', '/usr/bin/javac', split(/:/, $jars) ], packages => 'default-jdk-headless, libpostgresql-jdbc-java, libjackson2-databind-java',
		build => \&build_java,
		run => sub { ('/usr/bin/java', '-cp', "$scratch/java:$jars", $_[0] =~ s/\.java$//r) },
		# It has no times.
		sdk_bulk => 'replayed 4, failed 1, skipped 2', sdk_replays => 'too-early invoice/2026-01/8417 late-1 too-late' },
	{ name => 'Rust', fence => 'rust', driver => 'replay_driver.rs', sdk => 'replay_sdk.rs',
		probe => [ 'ls', '/usr/bin/cargo', '/usr/bin/rustc', glob('/usr/share/cargo/registry/tokio-postgres-*') || 'tokio-postgres' ],
		packages => 'cargo, rustc, librust-tokio-postgres-dev', build => \&build_rust,
		run => sub { "$scratch/rust/target/debug/" . $_[0] =~ s/\.rs$//r } });

# Test that a command succeeds, and tell what it says if not.
sub succeeds
{
	my ($description, @command) = @_;
	my ($out, $err);
	my $done = eval { IPC::Run::run(\@command, '>', \$out, '2>', \$err) };

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($done, $description) || diag($@ || "$out$err");
}

# Whether a command succeeds.
sub is_there
{
	my (@command) = @_;

	return eval { IPC::Run::run(\@command, '>&', \my $said) };
}

# Copy a directory with what is in it.
sub copy_tree
{
	my ($from, $to) = @_;

	make_path($to);
	system('cp', '-R', "$from/.", $to) == 0 or BAIL_OUT("could not copy $from");
	return;
}

sub build_nodejs
{
	copy_tree("$clients/nodejs/acteon_client", "$scratch/nodejs/node_modules/\@acteon/client");
	copy("$clients/nodejs/replay_sdk.mjs", "$scratch/nodejs") or BAIL_OUT("could not copy: $!");
	return 1;
}

sub build_go
{
	copy_tree("$clients/go/acteon", "$scratch/go/src/github.com/penserai/acteon/clients/go/acteon");
	return succeeds('it builds', '/usr/bin/go', 'build', '-o', "$scratch/go/bin/replay_driver", "$clients/go/replay_driver.go")
		&& succeeds('so does the other', '/usr/bin/go', 'build', '-o', "$scratch/go/bin/replay_sdk", "$clients/go/replay_sdk.go");
}

sub build_java
{
	return succeeds('it builds', '/usr/bin/javac', '-d', "$scratch/java", '-cp', $jars, '-sourcepath', "$clients/java",
		"$clients/java/ReplayDriver.java", "$clients/java/ReplaySdk.java");
}

# Begin to build, from the crates of Debian and nothing else.
sub begin_rust
{
	copy_tree("$clients/rust", "$scratch/rust");
	make_path("$scratch/cargo");
	append_to_file("$scratch/cargo/config.toml", qq{[source.crates-io]\nreplace-with = "debian"\n[source.debian]\ndirectory = "/usr/share/cargo/registry"\n});
	return launch("$PostgreSQL::Test::Utils::log_path/cargo.log", '/usr/bin/cargo', 'build', '--offline', '--manifest-path', "$scratch/rust/Cargo.toml");
}

sub build_rust
{
	return is(reap($rust_build, 900), 0, 'it builds') || diag(slurp_file("$PostgreSQL::Test::Utils::log_path/cargo.log"));
}

# What stands between the marks in a program.
sub snippet
{
	my ($path) = @_;
	my ($snippet) = slurp_file($path) =~ m{^(?:#|//) snippet: begin\n(.*?)^(?:#|//) snippet: end$}ms;

	return ($snippet // '') =~ s/\n+\z/\n/r;
}

my $node = new_server('clients', conf => "listen_addresses = '127.0.0.1'\nfsync = off\n");
$node->safe_psql('postgres', q{
	CREATE ROLE oncall LOGIN;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('oncall', 'operator', '{acme}', '{prod}', '{*}')});

# Where the programs find the database, as far as their drivers look into the
# environment, and the server.
my $port = $node->port;
my %found = (
	PGHOST => '127.0.0.1', PGPORT => $port, PGUSER => 'oncall', PGDATABASE => 'postgres', PGSSLMODE => 'disable',
	DATABASE_URL => "postgresql://oncall\@127.0.0.1:$port/postgres",
	JDBC_URL => "jdbc:postgresql://127.0.0.1:$port/postgres?user=oncall");

# Records of an incident, from 12 to 13 o'clock, none replayed.
sub records
{
	$node->safe_psql('postgres', q{
		CALL clean();
		SELECT make_record('5b1e1d9c-0000-4000-8000-000000006126', at => '2026-01-15 12:00+00');
		SELECT make_record('invoice/2026-01/8417', at => '2026-01-15 12:10+00');
		SELECT make_record('late-1', at => '2026-01-15 13:00+00');
		SELECT make_record('redacted', at => '2026-01-15 12:30+00', payload => '{"to": "[REDACTED]"}');
		SELECT make_record('private', at => '2026-01-15 12:40+00', payload => NULL);
		SELECT make_record('globex-1', at => '2026-01-15 12:50+00', tenant => 'globex');
		SELECT make_record('too-early', at => '2026-01-15 11:59:59.999999+00');
		SELECT make_record('too-late', at => '2026-01-15 13:00:00.000001+00');
		SELECT make_record('delivered', at => '2026-01-15 12:20+00', outcome => 'executed');
		SELECT make_record('slack', at => '2026-01-15 12:20+00', provider => 'slack')});
	return;
}

# What is in the outbox: original ids in the order of their numbers.
sub outbox
{
	return $node->safe_psql('postgres', q{SELECT string_agg(original_action_id, ' ' ORDER BY id) FROM acteon_dispatch_outbox});
}

# The new id of an action.
sub new_id
{
	my ($action_id) = @_;

	return $node->safe_psql('postgres', qq{SELECT action_id FROM acteon_dispatch_outbox WHERE original_action_id = '$action_id'});
}

# Run a program with the ids of actions; returns what it says.
sub said
{
	my ($language, $program, @action_ids) = @_;
	my ($out, $err);
	local %ENV = (%ENV, %found);
	my $done = eval { IPC::Run::run([ $language->{run}->($program), @action_ids ], '>', \$out, '2>', \$err, IPC::Run::timeout(60)) };

	return $done ? $out : "failed: $out$err" . ($@ // '');
}

# The statements of the driver's snippet, as they show in the database.
sub test_driver
{
	my ($language) = @_;

	records();
	my $said = said($language, $language->{driver}, 'invoice/2026-01/8417', 'no-such-action', 'globex-1');
	my $new_id = new_id('invoice/2026-01/8417');
	is($said, <<"END", 'what a driver answers: results, SQLSTATEs and texts of refusals, counts');
invoice/2026-01/8417: replayed as $new_id
no-such-action: P0002 no audit record found for action: no-such-action
globex-1: 42501 no grant covers this audit record
would replay 2 of 6
replayed 2, failed 1, skipped 2
END
	is(outbox(), 'invoice/2026-01/8417 5b1e1d9c-0000-4000-8000-000000006126 late-1', 'in the outbox is what was named and what matches, once each');
	is($node->safe_psql('postgres', q{SELECT DISTINCT reason, requested_by, session_role FROM acteon_replay_batch}), q{INC-42: provider's down|oncall|oncall},
		'the reason is kept as it is, with the role of the connection');
	like(said($language, $language->{driver}), qr/^would replay 0 of 6\nreplayed 0, failed 1, skipped 2\n$/, 'the same again replays nothing');
	return;
}

# The requests of the SDK's snippet, as they show in the database.
sub test_sdk
{
	my ($language) = @_;
	my $id = '5b1e1d9c-0000-4000-8000-000000006126';

	records();
	my $said = said($language, $language->{sdk}, $id, 'no-such-action', 'globex-1', 'private');
	my $new_id = new_id($id);
	my $bulk = $language->{sdk_bulk} // 'replayed 2, failed 1, skipped 2';
	is($said, <<"END", 'what an SDK makes of the answers: results, statuses of refusals, counts');
$id: replayed as $new_id
no-such-action: 404
globex-1: 403
private: 422
$bulk
END
	is(outbox(), "$id " . ($language->{sdk_replays} // 'invoice/2026-01/8417 late-1'), 'in the outbox is what was named and what matches, once each');
	is($node->safe_psql('postgres', q{SELECT DISTINCT requested_by FROM acteon_replay_batch}), 'oncall', '… for the role of the key');

	# However an SDK writes an id into a path.
	$node->safe_psql('postgres', q{SELECT make_record('Müller/2026&8417;v=1+1')});
	like(said($language, $language->{sdk}, 'Müller/2026&8417;v=1+1'), qr{1\+1: replayed as \S{36}\n}, 'an id may have slashes and more');
	{
		local $found{ACTEON_API_KEY} = 'wrong';
		like(said($language, $language->{sdk}, $id), qr/$id: 401\n/, 'a wrong key is told');
	}
	return;
}

new_http_role($node);
my $http = start_http($node);
%found = (%found, ACTEON_URL => $http->url, ACTEON_API_KEY => api_key($node, 'clients', 'oncall'));

my ($rust) = grep { $_->{fence} eq 'rust' } @languages;
$rust_build = begin_rust() if is_there(@{ $rust->{probe} });

foreach my $language (@languages)
{
	my $directory = "$clients/" . lc($language->{name} =~ s/\W//gr);
	my @blocks = map { blocks($_, $language->{fence}) } pages();

	is_deeply(\@blocks, [ map { snippet("$directory/$language->{$_}") } qw(driver sdk) ], "the pages have the snippets in $language->{name} that are tested, and no others");
	subtest $language->{name} => sub {
		plan skip_all => "$language->{name}: needs $language->{packages}" if !is_there(@{ $language->{probe} });
		if (!$language->{build} || $language->{build}->())
		{
			test_driver($language);
			test_sdk($language);
		}
	};
}
is($http->stop, 0, 'exit code 0');

done_testing();
