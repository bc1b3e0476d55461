# The pages of the documentation: the reference is what doc/make-reference makes, links
# lead somewhere, and the statements and commands that are shown without their output
# run.  Those with output are compared by 006_demo.pl, programs by 055_clients.pl.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use File::Basename;
use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;
use Pages;
use Relay;

my $top = "$FindBin::RealBin/../..";
my @languages = qw(python javascript go java rust);

# What all pages have.
cmp_ok(-s "$top/README.md", '<=', 20 * 1024, 'README is a short face');
my %anchors;
foreach my $page (pages())
{
	my @kinds = map { $_->[0] } blocks($page);
	my @unknown = grep { my $kind = $_; !grep { $kind eq $_ } ('', qw(sql sh nginx text), @languages) } @kinds;

	is_deeply(\@unknown, [], "$page: each block is of a kind that is tested");
	is(scalar(() = page_text($page) =~ /^```/mg), 2 * @kinds, "$page: … and none is left open");
	my @statements = grep { /^\s*(?:\$ |SELECT |CALL \w+\(.*\);|INSERT )/m } blocks($page, 'text');
	is_deeply(\@statements, [], "$page: pictures have no statements in them");
	my $text = page_text($page) =~ s/^```.*?^```$//msgr;
	$anchors{$page}{ lc($_) =~ s/[^\w\- ]//gr =~ s/ /-/gr } = 1 foreach $text =~ /^#+ (.*)$/mg;
}
foreach my $page (pages())
{
	my $text = page_text($page) =~ s/^```.*?^```$//msgr =~ s/`[^`\n]*`//gr;
	my @broken;

	foreach my $link ($text =~ /\]\(([^)\s]+)\)/g)
	{
		my ($file, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;
		my $to = $file eq '' ? $page : dirname($page) eq '.' ? $file : "doc/$file" =~ s{^doc/\.\./}{}r;

		push(@broken, $link) if !-e "$top/$to" || defined $anchor && !$anchors{$to}{$anchor};
	}
	is_deeply(\@broken, [], "$page: its links lead somewhere");
}

# The hints and comments that name a page.
my %named;
foreach my $file (glob("$top/src/*.c"), glob("$top/src/*/*.c"), glob("$top/src/*/*/*.c"), glob("$top/sql/acteon_replay--*.sql"), "$top/acteon_replay.control")
{
	$named{$_} = 1 foreach slurp_file($file) =~ m{\b(doc/\w+\.md)}g;
}
is_deeply([ grep { !-e "$top/$_" } sort keys %named ], [], 'the pages that hints and comments name are there');
cmp_ok(scalar(keys %named), '>=', 3, '… some of them');

# The incident of the handbook, on a server that drivers reach over TCP as well.
my $node = PostgreSQL::Test::Cluster->new('docs');
$node->init;
$node->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'\nfsync = off\n");
$node->start;
local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres');
ok(run_log([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$top/test/fixtures/incident.sql" ]), 'the incident');
is($node->safe_psql('postgres', q{SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'acteon_replay'}),
	slurp_file("$top/acteon_replay.control") =~ s/.*^comment = '([^']*)'.*/$1/msr, 'the extension has the comment of the control file');

# The reference.  The programs are those that the tests of the programs run.
my $programs = PostgreSQL::Test::Utils::tempdir;
symlink($_, "$programs/" . basename($_)) foreach (Relay::Process::program(), Http::Server::program());
my ($made, $said) = ('', '');
ok(IPC::Run::run([ 'python3', "$top/doc/make-reference", $programs ], '>', \$made, '2>', \$said), 'the reference is made') || diag($said);
my @made = split(/\n/, $made);
my @is = split(/\n/, slurp_file("$top/doc/reference.md"));
my @differs = grep { ($made[$_] // '') ne ($is[$_] // '') } 0 .. (@made > @is ? $#made : $#is);
is(@differs ? "line $differs[0]: " . ($is[ $differs[0] ] // '') : '', @differs ? "line $differs[0]: " . ($made[ $differs[0] ] // '') : '',
	'doc/reference.md is what it makes; if not: doc/make-reference >doc/reference.md');

# What the statements of a page need besides the incident, and are not to change.
my %before = (
	'doc/handbook.md' => q{
		DELETE FROM acteon_grants; DROP ROLE oncall, gateway;
		-- The batch that is steered, and who takes it over.
		ALTER SEQUENCE acteon_replay_batch_id_seq RESTART WITH 2;
		SELECT acteon_replay_bulk(provider => 'email', lost => true, max_records => 1000);
		CREATE ROLE colleague;
		INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('colleague', 'operator', '{*}', '{*}', '{*}');},
	'doc/relay.md' => q{
		-- The numbers of other pages' batches are not given back.
		ALTER SEQUENCE acteon_replay_batch_id_seq RESTART;
		SELECT acteon_replay('invoice/2026-01/8417');
		SELECT acteon_replay_bulk(lost => true, max_records => 10);
		SELECT count(acteon_outbox_doubt(ARRAY[outbox_id], ARRAY[lease_token], ARRAY['timed out'])) FROM acteon_outbox_claim('docs', 5);},
	'doc/http.md' => q{
		\set key_sha256 '\\\\x' `printf %064d 0`
		\set request_sha256 '\\\\x' `printf %064d 1`
		\set idempotency_key INC-46
		\set query '{"lost": true, "limit": 1}'
		\set answer '{}'});

# What a page says for several servers is run by 036_other_machines.pl.
sub statements
{
	my ($page) = @_;

	return join('', grep { !/^-- (?:gateway|operations|shards)\n/ } blocks($page, 'sql'));
}

# The blocks of a page are one script, in a transaction that is rolled back, so that
# each page begins with the incident alone; but for what cannot be in one.
my (@with_variables, @with_witness);
foreach my $page (pages())
{
	my $script = statements($page);
	my $err;

	next if $script eq '';
	$script =~ s/^CALL .*?;\n//msg;
	# There is no witness of what is not committed.
	push @with_witness, $script =~ /^(.*acteon_replay_witness\(\).*;)\n/mg;
	$script =~ s/^.*acteon_replay_witness\(\).*;\n//mg;
	$script =~ s/^(?:BEGIN|COMMIT);\n//mg;
	# A key that is known.
	$script =~ s/(?=^SELECT key_id FROM acteon_api_login)/UPDATE acteon_api_keys SET key_sha256 = :'key_sha256';\n/m;
	IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', '-' ], '<', \"BEGIN;\n$before{$page}\n$script\nROLLBACK;\n", '>', \my $out, '2>', \$err);
	unlike($err, qr/ERROR|invalid command/, "$page: its statements run") || diag($err);
	foreach my $call (statements($page) =~ /^(CALL .*?;)\n/msg)
	{
		# One that takes what a statement before it has put into a variable comes last: it
		# has a batch, whose number other pages do not reckon with.
		if ($call =~ /:'/)
		{
			push @with_variables, [ $page, join("\n", (grep { /AS (\w+) FROM/ && $call =~ /:'$1'/ } statements($page) =~ /^(SELECT [^;]*?\\gset)$/msg), $call) ];
			next;
		}
		is(($node->psql('postgres', $call))[0], 0, "$page: so does $call");
	}
}

# Statements within the text as well: what they name is there, though their numbers of
# batches and actions may not be.
foreach my $page (pages())
{
	my @inline = page_text($page) =~ s/^```.*?^```$//msgr =~ /`((?:SELECT|CALL|INSERT|UPDATE|DELETE|ALTER) [^`]*)`/g;
	my @wrong;

	foreach my $statement (grep { !/…|\$\d|^ALTER (?:ROLE|DATABASE|SYSTEM)$|^DELETE \// } @inline)
	{
		my $run = $statement =~ /^CALL|^ALTER/ ? "$statement;" : "BEGIN; $statement; ROLLBACK;";
		my ($status, $out, $err) = $node->psql('postgres', $run, extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);

		push(@wrong, "$statement: $err") if $err =~ /ERROR:  42(?!501)/;
	}
	is_deeply(\@wrong, [], "$page: so do the statements within its text") if @inline;
}

# Options of the programs, and names of ours.
my %options = map { $_ => 1 } $made =~ /^\| `(--[\w-]+)/mg;
my $sources = join('', map { slurp_file($_) } glob("$top/sql/acteon_replay--*.sql"), glob("$top/sql/*/*.sql"), glob("$top/src/*.[ch]"), glob("$top/src/*/*.[ch]"),
	glob("$top/src/*/*/*.[ch]"), glob("$top/test/fixtures/*.sql"));
foreach my $page (pages())
{
	my $text = page_text($page);
	my %unknown = map { $_ => 1 } grep { !$options{$_} } $text =~ /`(--[a-z][\w-]*)/g, $text =~ /\bacteon-re\w+(?:-http)? (--[\w-]+)/g;

	# Names of metrics stand in the sources without what all of them begin with.
	foreach my $name ($text =~ /\bacteon_(?!relay\b|http\b|client\b)\w+/g)
	{
		my $metric = $name =~ s/^acteon_(?:replay_http|replay_batch|relay)_//r;

		$unknown{$name} = 1 if $sources !~ /\b\Q$name\E|[" ]\Q$metric\E[{"]/;
	}
	is_deeply([ sort keys %unknown ], [], "$page: options and names that it mentions are there");
}

# watch.sql draws what the reference shows.
{
	my ($shown) = grep { /progress/ } blocks('doc/reference.md', 'text');
	chomp(my $sharedir = `pg_config --sharedir`);
	my $watch = slurp_file("$sharedir/acteon_replay/watch.sql") =~ s/^\\watch .*$/\\g/mr;
	IPC::Run::run([ 'psql', '-X', '-q', '-f', '-' ], '<', \$watch, '>', \my $out);
	my ($header) = $out =~ /^(.*progress.*)$/m;
	is(join(' ', split(' ', (split(/\n/, $shown))[0])), join(' ', split(' ', $header // '')), 'watch.sql has the columns that are shown');
}

# The commands of a page, as they stand, but for where they write and what changes the
# machine: such a command is replaced by one that does nothing, or, as for another
# user, does it as this one.
my $shims = "$programs/shims";
my $etc = "$programs/etc";
make_path($shims, "$etc/systemd/system");
foreach my $command (qw(apt-get make service systemctl runuser))
{
	append_to_file("$shims/$command", "#!/bin/sh\necho \"$command \$*\" >>'$programs/commands'\n"
		. ($command eq 'runuser' ? "while [ \"\$1\" != -- ]; do shift; done; shift; exec \"\$@\"\n" : ''));
	chmod 0755, "$shims/$command";
}
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $script = join('', blocks('doc/install.md', 'sh'));
cmp_ok($script =~ s{/etc/}{$etc/}g, '>', 5, 'the page about installing writes files');
cmp_ok($script =~ s{\b8765\b}{$port}g, '==', 2, '… and has a gateway to try it with');
append_to_file("$programs/install.sh", "set -eu\ncd '$top'\n" . $script =~ s/^(python3 .*) &$/$1 &\necho \$! >'$programs\/gateway.pid'\nfor i in `seq 100`; do python3 -c 'import socket; socket.create_connection(("127.0.0.1", $port))' 2>\/dev\/null \&\& break; sleep 0.1; done/mr);
$node->stop;
$node->start;
$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS gateway; DROP OWNED BY oncall; DROP ROLE oncall');
{
	my $bindir = dirname(Relay::Process::program());
	local %ENV = (%ENV, PATH => "$shims:$bindir:$ENV{PATH}");
	delete $ENV{PGDATABASE};
	my $done = IPC::Run::run([ 'sh', "$programs/install.sh" ], '>&', \my $out, IPC::Run::timeout(180));
	kill 'TERM', slurp_file("$programs/gateway.pid") + 0 if -s "$programs/gateway.pid";
	ok($done, 'what is written about installing works') || diag($out);
	unlike($out, qr/^bad/m, 'acteon-relay --check finds nothing wrong');
	like($out, qr/^ok +API key: works for tenant "acme", /m, '… it has found the gateway, which takes the key');
	like($out, qr/total .* records .* 1 \| +1 \|/, 'the preview finds the lost action');
	like($out, qr/finished \| +1 \| +1 \| a first try/, 'it is delivered, and done');
}
my $unit = slurp_file("$etc/systemd/system/acteon-relay.service");
like($unit, qr/^LoadCredential=pg_service\.conf:.*^Environment=PGSERVICEFILE=/ms, 'the unit takes the service file');
like($unit, qr{^ExecStart=/\S*/acteon-relay$}m, '… and starts what was installed');
is((stat("$etc/acteon/api-key"))[2] & 0777, 0600, 'the key is for nobody else to read');

# What is installed is what the page says.
my $commands = slurp_file("$programs/commands");
like($commands, qr/^make \nmake install\n/m, 'it is built and installed');
my ($packages) = $commands =~ /^apt-get install -y (make .*)$/m;
foreach my $package (slurp_file("$top/test/lib.sh") =~ /\b(make|gcc|libc6-dev|uuid-dev|lib\w+-dev|libcurl4-openssl-dev)\b/g)
{
	fail("$package is not among the packages of doc/install.md") if $packages !~ /(?:^| )\Q$package\E(?: |$)/;
}
chomp(my $docdir = `pg_config --docdir`);
is_deeply([ map { basename($_) } sort glob("$docdir/extension/acteon_replay/doc/*.md") ], [ map { basename($_) } grep { m{/} } pages() ], 'the pages are installed');
ok(-s "$docdir/extension/acteon_replay/README.md", '… and README');

is(($node->psql('postgres', $_->[1]))[0], 0, "$_->[0]: so does $_->[1]") foreach @with_variables;
$node->safe_psql('postgres', 'SELECT acteon_replay_trail_link()');
cmp_ok(scalar @with_witness, '>=', 3, 'statements about witnesses');
is(($node->psql('postgres', $_))[0], 0, "so does $_") foreach @with_witness;

done_testing();
