# The recipes: alert rules, the dashboard, the exporter's queries, units, images and the
# completion name what is there.  What only Prometheus can tell is asked of a real one, if
# it is installed.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use File::Basename;
use File::Copy;
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Http;
use Pages;
use Program;
use Relay;

my $top = "$FindBin::RealBin/../..";
my $recipes = "$top/recipes";
my $node = new_relay_server('recipes');
my $gateway = start_gateway();
my $directory = PostgreSQL::Test::Utils::tempdir();

# YAML as JSON has it; undef if there is nothing that reads it.
sub read_yaml
{
	my ($file) = @_;
	my $out = '';

	return IPC::Run::run([ 'python3', '-c', 'import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))', $file ], '>', \$out, '2>', '/dev/null')
		? decode_json($out) : undef;
}

# The families of metrics in a text.
sub families
{
	return { map { $_ => 1 } $_[0] =~ /^# TYPE (\w+) /mg };
}

# A relay and a server with something to tell, and a batch that is not finished.
$node->safe_psql('postgres', q{
	CREATE ROLE ops;
	CREATE ROLE exporter LOGIN;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES
		('ops', 'operator', '{*}', '{*}', '{*}'), ('exporter', 'gateway', '{*}', '{*}', '{*}'), ('exporter', 'viewer', '{*}', '{*}', '{*}');
	SELECT acteon_replay_limit_set(provider => 'slow', rate => 5, reason => 'test')});
new_http_role($node);
my $http = start_http($node);
my $key = api_key($node, 'ops', 'ops');
enqueue($node, name => 'a-', count => 20);
enqueue($node, name => 'p-', count => 3, tenant => q{'other'});
$node->safe_psql('postgres', q{SELECT acteon_replay_pause((SELECT max(id) FROM acteon_replay_batch), 'to look at it')});
my $relay = start_relay($node, $gateway, '--listen', '127.0.0.1:0');
wait_until(sub { return (scalar($relay->log =~ /event="?listening"? .*port=\d+/), $relay->log) }, 'the relay listens', 30) or BAIL_OUT('no relay');
my ($port) = $relay->log =~ /event="?listening"? .*port=(\d+)/;
my $status = Http::Client->new($port);
wait_until(sub { my $text = $status->get('/metrics')->{body}; return ($text =~ /^acteon_replay_batch_paused/m && $text =~ /^acteon_relay_gateway_up 1/m && $text =~ /^acteon_relay_delivered_total 20/m, $text) }, 'it has delivered and tells of a batch', 60);
$http->client($key)->get('/v1/replay/batches');
my %figures = (%{ families($status->get('/metrics')->{body}) }, %{ families($http->client->get('/metrics')->{body}) });

# The exporter's queries: each runs as a role that may do nothing else, and has the columns
# that are described.
SKIP:
{
	my $queries = read_yaml("$recipes/postgres_exporter-queries.yml") or skip 'python3-yaml is not installed', 1;

	foreach my $name (sort keys %$queries)
	{
		my ($code, $out, $err) = $node->psql('postgres', $queries->{$name}{query} =~ s/;?\s*\z//r, connstr => $node->connstr('postgres') . ' user=exporter', extra_params => [ '-P', 'tuples_only=off', '-P', 'footer=off' ]);
		my ($head, @rows) = split /\n/, $out;
		my @described = map { keys %$_ } @{ $queries->{$name}{metrics} };

		is($code, 0, "exporter, $name: the query runs") || diag($err);
		is($head, join('|', @described), '… and has the columns that are described');
		cmp_ok(scalar(@rows), '>=', 1, '… and rows');
		$figures{"${name}_$_"} = 1 foreach @described;
	}
}

# The names in alert rules, the dashboard and the pages are those of figures that there are.
my $dashboard = decode_json(slurp_file("$recipes/grafana-dashboard.json"));
my @expressions = map { $_->{expr} } map { @{ $_->{targets} // [] } } @{ $dashboard->{panels} };
my $rules = slurp_file("$recipes/prometheus-alerts.yml");
my @alerts = $rules =~ /^ +expr: (.*)$/mg;
cmp_ok(scalar(@expressions), '>', 30, 'the dashboard has expressions');
cmp_ok(scalar(@alerts), '>', 10, '… and there are alert rules');
my %texts = ('the dashboard' => join("\n", @expressions), 'the alert rules' => join("\n", @alerts), map { $_ => page_text($_) } pages());
foreach my $where (sort keys %texts)
{
	my %named = map { $_ => 1 } $texts{$where} =~ /\b(acteon_(?:relay|replay_http|replay_batch|outbox|batches|provider)_\w+)\b/g;
	# Of the pages, what is no function, table or column.
	my @unknown = grep { !$figures{$_} && !$figures{ s/_(?:bucket|sum|count)$//r } } sort keys %named;
	@unknown = grep { $node->safe_psql('postgres', "SELECT count(*) FROM (SELECT proname::text AS n FROM pg_proc UNION ALL SELECT relname FROM pg_class UNION ALL SELECT typname FROM pg_type) AS t WHERE n = '$_'") == 0 } @unknown
		if $where =~ /\.md$/;
	is_deeply(\@unknown, [], "$where: the figures that it names are there");
}
# The pages of the programs name all of them.
my $relay_page = page_text('doc/relay.md');
is_deeply([ grep { /^acteon_relay_/ && $relay_page !~ /`\Q$_\E[`{]/ } sort keys %figures ], [], 'doc/relay.md names all of the relay');

# The layout of the dashboard: panels do not overlap, and ids are unique.
my (%ids, %cells, @overlaps);
foreach my $panel (@{ $dashboard->{panels} })
{
	my $at = $panel->{gridPos};

	push(@overlaps, $panel->{title}) if $ids{ $panel->{id} }++ || $at->{x} + $at->{w} > 24;
	foreach my $x ($at->{x} .. $at->{x} + $at->{w} - 1)
	{
		push(@overlaps, $panel->{title}) if grep { $cells{"$x $_"}++ } $at->{y} .. $at->{y} + $at->{h} - 1;
	}
}
is_deeply(\@overlaps, [], 'panels do not overlap');

# What Prometheus makes of them.
SKIP:
{
	my $promtool = find_program('promtool') or skip 'promtool is not installed (Debian: prometheus)', 1;
	copy("$recipes/$_", "$directory/$_") foreach qw(prometheus-alerts.yml prometheus.yml);
	copy("$top/test/recipes/alerts_test.yml", "$directory/alerts_test.yml");
	chdir $directory or die "could not change the directory: $!";
	ok(run_log([ $promtool, 'check', 'rules', 'prometheus-alerts.yml' ]), 'promtool takes the alert rules');
	ok(run_log([ $promtool, 'test', 'rules', 'alerts_test.yml' ]), '… which fire when they should');
	ok(run_log([ $promtool, 'check', 'config', 'prometheus.yml' ]), 'promtool takes the configuration');
	chdir $top;
}
SKIP:
{
	my $prometheus = find_program('prometheus') or skip 'Prometheus is not installed (Debian: prometheus)', 1;
	my $at = '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
	my $client = HTTP::Tiny->new(timeout => 30, no_proxy => ['127.0.0.1']);
	append_to_file("$directory/scrape.yml", slurp_file("$recipes/prometheus.yml") =~ s/scrape_interval: 15s/scrape_interval: 1s/r =~ s/'relay:8081'/'127.0.0.1:$port'/r =~ s/'http:8080'/'127.0.0.1:$http->{port}'/r);
	my $pid = launch("$PostgreSQL::Test::Utils::log_path/prometheus.log", $prometheus, "--config.file=$directory/scrape.yml", "--storage.tsdb.path=$directory/tsdb", "--web.listen-address=$at");
	# Ask for an expression: the number of series, or what is wrong with it.
	my $ask = sub {
		my $answer = $client->get("http://$at/api/v1/query?query=" . encode_uri($_[0]));
		my $said = eval { decode_json($answer->{content}) } // { error => $answer->{content} };
		return ($said->{status} // '') eq 'success' ? scalar(@{ $said->{data}{result} }) : $said->{error};
	};
	wait_until(sub { my $seen = $ask->('count_over_time(acteon_relay_up[1m]) > 3 and on () count_over_time(acteon_replay_http_connections[1m]) > 3'); return ($seen eq '1', $seen) }, 'Prometheus has scraped both', 60);
	foreach my $expression (@expressions)
	{
		like($ask->($expression =~ s/\$__rate_interval/1m/gr), qr/^[1-9]\d*$/, "the dashboard shows something for $expression");
	}
	foreach my $expression (@alerts)
	{
		is($ask->($expression), 0, "nothing is wrong by $expression");
	}
	kill 'TERM', $pid;
	reap($pid, 30);
}

# Units: systemd finds nothing wrong with them, and their manual pages are there.
my %programs = ('acteon-relay' => [ Relay::Process::program(), 'relay' ], 'acteon-replay-http' => [ Http::Server::program(), 'http' ]);
foreach my $name (sort keys %programs)
{
	my ($program, $part) = @{ $programs{$name} };
	my $unit = slurp_file("$top/src/programs/$part/$name.service");
	my ($page) = $unit =~ /^Documentation=man:(\S+)$/m;

	is($page, "$name(1)", "$name: the unit names its manual page");
	mkdir("$directory/$_") foreach qw(man man/man1 units);
	ok(IPC::Run::run([ $program, '--man' ], '>', "$directory/man/man1/$name.1"), '… which the program prints');
	SKIP:
	{
		skip 'man is not installed', 1 if !find_program('man');
		ok(IPC::Run::run([ 'man', '-M', "$directory/man", '-w', '1', $name ], '>', '/dev/null', '2>', \my $err), '… and man finds');
	}
	SKIP:
	{
		skip 'systemd is not installed', 1 if !find_program('systemd-analyze');
		append_to_file("$directory/units/$name.service", $unit =~ s/^ExecStart=.*/ExecStart=$program/mr);
		my $said = '';
		local $ENV{MANPATH} = "$directory/man:";
		IPC::Run::run([ 'systemd-analyze', 'verify', '--man=yes', "$directory/units/$name.service" ], '>&', \$said);
		unlike($said, qr/\Q$name\E\.service/, '… and systemd verifies') || diag($said);
	}
}

# The completion for bash: names of options, values, and files.
foreach my $name (sort keys %programs)
{
	my ($program) = @{ $programs{$name} };
	my $complete = sub {
		my (@words) = @_;
		my $words = join(' ', map { "'$_'" } $name, @words);
		my $script = "eval \"\$($program --completion)\"; COMP_WORDS=($words); COMP_CWORD=" . scalar(@words) . "; _$name 2>/dev/null; printf '%s\\n' \"\${COMPREPLY[\@]}\"";
		IPC::Run::run([ 'bash', '-c', $script ], '>', \my $out, '2>', \my $err);
		return $out . $err;
	};

	is($complete->('--dat'), "--database=\n", "$name: bash completes an option");
	is($complete->('--log-level', '=', 'w'), "warning\n", '… a value after an equals sign');
	is($complete->('--log-level', '='), "error\nwarning\ninfo\ndebug\n", '… or all of them');
	is($complete->('--log-level', 'd'), "debug\n", '… a value after a blank');
	my ($file) = $complete->('--help') ? '--' . ($name eq 'acteon-relay' ? 'api-key-file' : 'tls-cert') : '';
	is($complete->($file, '=', "$directory/uni"), "$directory/units\n", '… a file');
	IPC::Run::run([ $program, '--help' ], '>', \my $help);
	my @missing = grep { index($complete->($_), $_) != 0 } $help =~ /^  (--[\w-]+)/mg;
	is_deeply(\@missing, [], '… each option that --help has');
}

# Images and services: the options that they pass are there, and the stages and files that
# they name.
my $containers = slurp_file("$recipes/Containerfile");
my %stages = map { $_ => 1 } $containers =~ /^FROM \S+ AS (\S+)$/mg;
is_deeply([ grep { !/^(?:FROM|RUN|COPY|USER|STOPSIGNAL|EXPOSE|ENTRYPOINT) |^#|^$/ } split /\n/, $containers ], [], 'Containerfile: each line is an instruction');
is_deeply([ grep { !$stages{$_} } $containers =~ /(?:--from=|--target )(\S+)/g ], [], '… and names stages that there are');
my ($packages) = page_text('doc/install.md') =~ /^apt-get install -y (make .*)$/m;
is_deeply([ grep { my $package = $_; $package !~ /^postgresql-server-dev-\d+$/ && $packages !~ /(?:^| )\Q$package\E(?: |$)/ } map { grep { /dev$|^make$|^gcc$/ } split } $containers =~ /--no-install-recommends (.*)$/mg ], [], '… and installs to build what doc/install.md does');
SKIP:
{
	my $compose = read_yaml("$recipes/compose.yaml") or skip 'python3-yaml is not installed', 1;
	my $services = $compose->{services};

	is_deeply([ grep { my $build = $services->{$_}{build}; $build && !$stages{ $build->{target} } } sort keys %$services ], [], 'compose.yaml: the images are made');
	is_deeply([ grep { !$compose->{secrets}{$_} } map { @{ $services->{$_}{secrets} // [] } } sort keys %$services ], [], '… the secrets are declared');
	is_deeply([ grep { m{^\./([^:]+):} && !-e "$recipes/$1" } map { @{ $services->{$_}{volumes} // [] } } sort keys %$services ], [], '… the files are there');
	foreach my $service (qw(relay http))
	{
		my ($program) = @{ $programs{ $service eq 'relay' ? 'acteon-relay' : 'acteon-replay-http' } };
		IPC::Run::run([ $program, '--help' ], '>', \my $help);
		is_deeply([ grep { my ($option) = /^(--[\w-]+)/; $help !~ /^  \Q$option\E[= ]/m } @{ $services->{$service}{command} } ], [], "… the options of $service are there");
	}
	my $pod = read_yaml("$recipes/kubernetes-probes.yaml");
	my ($container) = @{ $pod->{containers} };
	is($status->get($container->{readinessProbe}{httpGet}{path})->{status}, 200, 'readiness probe');
	is($container->{livenessProbe}{tcpSocket}{port}, $container->{ports}[0]{name}, 'liveness probe');
}

done_testing();
