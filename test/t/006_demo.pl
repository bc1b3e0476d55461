# The demo's walk-through does what it says.
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('demo');
$node->init;
$node->start;
my $test = "$FindBin::RealBin/..";

my ($out, $err);
ok(run_log([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', "$test/fixtures/incident.sql" ]), 'the incident');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_audit'), '==', 20000, '20,000 records');
run_log([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-f', "$test/demo.sql" ], '>', \$out, '2>', \$err);
my @errors = $err =~ /ERROR:  (.*)/g;
is_deeply(\@errors, [ 'no grant covers this audit record', 'insufficient permissions: replay requires admin or operator role' ],
	'it fails where it says, and nowhere else');

# All that was lost is in the outbox, once, but for what cannot be replayed.
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM acteon_audit AS a
	WHERE (provider = 'email' AND outcome IN ('failed', 'pending') OR outcome = 'suppressed')
		AND action_payload IS NOT NULL AND NOT action_payload ->> 'to' = '[REDACTED]'
		AND (SELECT count(*) FROM acteon_dispatch_outbox AS o WHERE o.original_action_id = a.action_id) <> 1}), '0',
	'every lost action is in the outbox once');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM acteon_dispatch_outbox AS o JOIN acteon_audit AS a ON a.action_id = o.original_action_id
	WHERE a.outcome = 'executed' OR a.action_payload IS NULL OR a.action_payload ->> 'to' = '[REDACTED]'}), '0', '… and nothing else is');
cmp_ok($node->safe_psql('postgres', q{SELECT sum(skipped) FROM acteon_replay_batch}), '>', 0, 'some were skipped');
cmp_ok($node->safe_psql('postgres', q{
	SELECT max(n) FROM (SELECT count(*) AS n FROM acteon_dispatch_segment AS s JOIN acteon_dispatch_outbox AS o ON o.id BETWEEN s.first_id AND s.last_id
		JOIN acteon_replay_batch AS b ON b.id = s.batch_id WHERE b.query ? 'rate' GROUP BY date_trunc('second', due_at)) AS t}), '<=', 100,
	'no second gets more than the rate, but where two calls meet');

done_testing();
