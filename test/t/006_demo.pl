# The demo's walk-through does what it says, to the last delivery; and so do the tasks to practice on.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use File::Basename;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Http;
use Pages;
use Relay;

my $node = PostgreSQL::Test::Cluster->new('demo');
$node->init;
$node->start;
my $test = "$FindBin::RealBin/..";

my $out;
ok(run_log([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', "$test/fixtures/incident.sql" ]), 'the incident');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_audit'), '==', 20000, '20,000 records');

# What test/demo sets up for the relay and the HTTP server that the walk-through runs.
my $gateway = start_gateway(key => 'demo-key', node => $node);
$gateway->control(%{ decode_json(slurp_file("$test/gateway/incident.json")) });
my $directory = PostgreSQL::Test::Utils::tempdir;
append_to_file("$directory/api-key", "demo-key\n");
chmod 0600, "$directory/api-key";
local %ENV = (%ENV,
	PATH => join(':', dirname(Relay::Process::program()), dirname(Http::Server::program()), $ENV{PATH}),
	ACTEON_RELAY_GATEWAY_URL => $gateway->url,
	ACTEON_RELAY_API_KEY_FILE => "$directory/api-key",
	ACTEON_RELAY_DATABASE => $node->connstr('postgres') . ' user=gateway',
	ACTEON_REPLAY_HTTP_DATABASE => $node->connstr('postgres') . ' user=acteon_http',
	ACTEON_REPLAY_HTTP_LISTEN => '127.0.0.1:0',
	ACTEON_REPLAY_HTTP_PORT_FILE => "$directory/port",
	DEMO_DIR => $directory,
	DEMO_SHOW => "$test/show",
	DEMO_FIX => "python3 $test/gateway/tell.py $gateway->{port} {\"rules\":[]}");
run_log([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-f', "$test/demo.sql" ], '>&', \$out);
my @errors = $out =~ /ERROR:  (.*)/g;
is_deeply(\@errors, [ 'plan no longer holds', 'no grant covers this audit record', 'insufficient permissions: replay requires admin or operator role' ],
	'it fails where it says, and nowhere else');

# All that was lost is in the outbox, once, but for what cannot be replayed.
$node->safe_psql('postgres', 'ANALYZE');
is($node->safe_psql('postgres', q{
	WITH delivered AS MATERIALIZED (SELECT o.original_action_id, count(*) AS times FROM acteon_dispatch_outbox AS o
		JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id WHERE d.state = 'delivered' GROUP BY 1)
	SELECT count(*) FROM acteon_audit AS a LEFT JOIN delivered AS d ON d.original_action_id = a.action_id
	WHERE (provider = 'email' AND outcome IN ('failed', 'circuit_open', 'pending') OR outcome = 'suppressed')
		AND dispatched_at < '2026-02-01' -- replays have records of their own
		AND action_payload IS NOT NULL AND NOT action_payload ->> 'to' = '[REDACTED]'
		AND d.times IS DISTINCT FROM 1}), '0', 'every lost action is delivered once');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM acteon_dispatch_outbox AS o JOIN acteon_audit AS a ON a.action_id = o.original_action_id
		JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id AND d.state = 'delivered'
	WHERE a.outcome = 'executed' OR a.action_payload IS NULL OR a.action_payload ->> 'to' = '[REDACTED]'}), '0', '… and nothing else is');
cmp_ok($node->safe_psql('postgres', q{SELECT sum(skipped) FROM acteon_replay_batch}), '>', 0, 'some were skipped');

# All of it is delivered, after the dead letters were redriven, but for what was
# cancelled; the stand-in for the gateway has seen as many actions, each with one
# effect.
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT state, ', ') FROM acteon_dispatch_delivery}), 'cancelled, delivered', 'everything is delivered, or cancelled');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT b.stopped, ', '), count(*) FROM acteon_dispatch_delivery AS d JOIN acteon_dispatch_outbox AS o ON o.id = d.outbox_id
	JOIN acteon_replay_batch AS b ON b.id = o.batch_id WHERE d.state = 'cancelled'}), 'cancelled|1002', '… what somebody has cancelled');
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_outbox WHERE id NOT IN (SELECT outbox_id FROM acteon_dispatch_delivery)}), '0', '… all of it');
is($node->safe_psql('postgres', q{SELECT * FROM acteon_outbox_check()}), '', 'the outbox is sound');
like($out, qr/slack *\| 422: template shipped-v2 does not exist *\| *20\b/, 'there were dead letters');
like($out, qr/paused .*INC-42: provider asks to wait/, 'a batch was paused');
like($out, qr/NOTICE:  1000 records were passed over: their actions took effect, or will/, 'what took effect is not replayed by accident');
like($out, qr/^ proven +\| done +\| +5836 \|/m, 'the audit table proves what was done');
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_delivery WHERE unproven}), '0', 'nothing was sent again without proof');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_delivery WHERE known_by = 'record'}), '>', 50, 'what had no answer was found in the audit table');
like($out, qr/exit status 0/, 'the drain ends well');

# Over HTTP, every path.
my $http = $out =~ s/.*(?=\$ acteon-replay-http --check)//sr;
unlike($http, qr/^bad/m, 'the HTTP server has all that it needs');
like($http, qr{curl -s "\$URL/health"'?\n\{"status": "ok", }, 'it is well');
like($http, qr/\{"error": "API key is unknown, expired or revoked", "code": "unauthenticated", /, 'it asks for a key');
like($http, qr/"state": "delivered".*"original_action_id": "invoice\/2026-01\/9001"/, 'a single replay waits for its delivery');
like($http, qr/"replayable": 2,/, 'a preview');
like($http, qr/"state" : "$_"/, "a batch is $_") foreach qw(paused scheduled cancelled);
like($http, qr/"replayed": 2\}.*Idempotency-Replayed: true.*"replayed": 2\}/s, 'a bulk replay is made once');
my %operations = map { $_ => 1 } $http =~ /"operationId": "(\w+)"/g;
is(scalar(keys %operations), 39, 'the description has all paths');
my %routes = map { $_ => 1 } $http =~ /requests_total\{method="\w+",route="([^"]+)",status="200"\}/g;
is(scalar(keys %routes), 8, '… and all of them were used, but for those that are shown after the figures');
my $stats = $gateway->stats;
$gateway->has_no_violations;
is($stats->{effects}, $node->safe_psql('postgres', q{SELECT sum(delivered) FROM acteon_replay_batches}), 'the gateway has counted the same');

# The tasks of test/practice, which the handbook shows, too: each with at most two statements.
my $practice = PostgreSQL::Test::Cluster->new('practice');
$practice->init;
$practice->start;
ok(run_log([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $practice->connstr('postgres'), '-f', "$test/fixtures/practice.sql" ]), 'the incident to practice on');
my $practice_gateway = start_gateway(key => 'demo-key', node => $practice);
my $staging = start_gateway(key => 'demo-key');
$_->control(%{ decode_json(slurp_file("$test/gateway/practice.json")) }) foreach ($practice_gateway, $staging);
my $tasks;
{
	local %ENV = (%ENV, ACTEON_RELAY_DATABASE => $practice->connstr('postgres') . ' user=gateway');
	my @relays = map { IPC::Run::start([ Relay::Process::program(), "--gateway-url=$_->[1]", "--target=$_->[0]", "--consumer=$_->[0]" ], '2>', "$directory/$_->[0].log") }
		([ 'production', $practice_gateway->url ], [ 'staging', $staging->url ]);
	run_log([ 'sh', '-c', 'cd "$1" && psql -X -q -P pager=off -d "$2" -f "$3"', 'sh', $directory, $practice->connstr('postgres'), "$test/tasks.sql" ], '>&', \$tasks);
	$_->signal('TERM') foreach @relays;
	$_->finish foreach @relays;
}
unlike($tasks, qr/ERROR|NOTICE:  found no/, 'the tasks are done');
my ($none, @tasks) = split(/^--- Task: /m, $tasks);
is(scalar(@tasks), 10, 'there are ten tasks');
is_deeply([ grep { (() = /^(?:SELECT|CALL|\\copy) /mg) > 2 } @tasks ], [], '… and none takes more than two statements');
$_->has_no_violations foreach ($practice_gateway, $staging);
is($practice->safe_psql('postgres', q{
	SELECT (SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id = 'order/6130'), (SELECT count(*) FROM acteon_dispatch_outbox WHERE payload ->> 'template_id' = 'receipt-v1'),
		(SELECT count(*) FROM acteon_dispatch_outbox WHERE payload ->> 'template_id' = 'receipt-v2' AND target IS NULL), (SELECT count(DISTINCT tenant) FROM acteon_dispatch_outbox WHERE id IN (SELECT outbox_id FROM acteon_dispatch_delivery WHERE state = 'delivered'))}),
	'0|0|80|3', '… as they are meant');
is($practice->safe_psql('postgres', q{SELECT state, count(*), count(*) FILTER (WHERE tenant = 'globex') FROM acteon_replay_items(2) GROUP BY 1 ORDER BY 1}),
	"cancelled|1189|1189\nwaiting|3660|0", '… one tenant was taken out of the batch that waits, and no other');
is($staging->stats->{effects}, 80, '… what went to staging first went there');
like(slurp_file("$directory/umbrella.csv"), qr/^original_action_id,.*\n(welcome\/\d+,.*,delivered,done,.*\n){120}\z/, '… the export, too');
$out .= $tasks;

# What the pages show with its output is what was printed, in the order of each page.
# What differs from run to run is not compared: ids, places, times, widths of columns,
# and the numbers of what is on its way just then; nor what is cut out at a "…".
sub normal
{
	my ($line) = @_;

	$line =~ s/^psql:\S+ //;
	$line =~ s/ \(Debian [^)]*\)//g;
	$line =~ s/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/ID/g;
	$line =~ s/(database \S+ on|read from|http:) ?[^\s"]+/$1/g;
	$line =~ s/server \S+/server/;
	$line =~ s/\d+(?= of (?:the last|them due))/N/g;
	$line =~ s/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(?!000000)\d{6}Z/TIME/g;
	$line =~ s/\d+/N/g if $line =~ /^\S+Z |running|paused \|/;
	$line =~ s/-+/-/g if $line =~ /^[-+]+$/;
	$line =~ s/\s+/ /g;
	return $line =~ s/ $//r;
}

# Whether a line that a page shows is a line that was printed, both normal.
sub is_shown
{
	my ($shown, $printed) = @_;

	return $shown eq $printed if $shown !~ /…/;
	my $pattern = join('.*', map { quotemeta } split(/…/, $shown, -1));
	return $printed =~ /^$pattern$/;
}

append_to_file("$PostgreSQL::Test::Utils::log_path/demo.out", $out);
my @printed = map { normal($_) } split(/\n/, $out);
my %shown;
foreach my $page (pages())
{
	my @lines = grep { $_ ne '' } map { normal($_) } map { split(/\n/) } blocks($page, '');
	my ($at, @missing) = (0);

	foreach my $line (@lines)
	{
		my $next = $at;

		$next++ while $next < @printed && !is_shown($line, $printed[$next]);
		if ($next < @printed) { $at = $next + 1 }
		else { push(@missing, $line) }
	}
	$shown{$page} = @lines;
	is_deeply(\@missing, [], "$page: all that it shows is what the demo prints, in this order") if @lines;
}
cmp_ok($shown{'doc/handbook.md'}, '>', 100, 'there is a handbook');
cmp_ok($shown{'README.md'}, '>', 20, 'README shows an incident');
cmp_ok($shown{'doc/http.md'}, '>', 5, 'the page about HTTP shows requests');

done_testing();
