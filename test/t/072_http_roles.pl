# Requests of several API keys share the server's connections to the database, and
# clients' connections, too: none is ever answered with another's rights.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IPC::Open2;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;
use Program;

my $count = $ENV{ACTEON_ROLES_REQUESTS} // 10000;
my $seed = $ENV{ACTEON_SEED} // time;
my $node = new_server('roles');
my %roles = (acme => 'acme_ops', globex => 'globex_ops', viewer => 'watcher', leaver => 'leaver_ops', expired => 'expired_ops');
my %keys = (unknown => { key => 'acteon_' . 'x' x 43, role => 'nobody' });

$node->safe_psql('postgres', join(';', map { "CREATE ROLE $_" } values %roles));
$node->safe_psql('postgres', qq{
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES
		('acme_ops', 'operator', '{acme}', '{*}', '{*}'), ('leaver_ops', 'operator', '{acme}', '{*}', '{*}'), ('expired_ops', 'admin', '{*}', '{*}', '{*}'),
		('globex_ops', 'operator', '{globex}', '{*}', '{*}'), ('watcher', 'viewer', '{*}', '{*}', '{*}');
	SELECT count(make_record(name || '-' || i, tenant => CASE name WHEN 'globex' THEN name ELSE 'acme' END))
	FROM unnest('{acme,globex,leaver}'::text[]) AS name, generate_series(0, $count + 100) AS i;
	SELECT count(make_record(tenant || '-left' || i, tenant => tenant)) FROM unnest('{acme,globex}'::text[]) AS tenant, generate_series(0, 99) AS i;
	SELECT count(make_record(tenant || '-same', tenant => tenant)), count(make_record(tenant || '-nothing', tenant => tenant, payload => NULL))
	FROM unnest('{acme,globex}'::text[]) AS tenant;
	ANALYZE});
new_http_role($node);
$keys{$_} = { key => api_key($node, $_, $roles{$_}), role => $roles{$_} } foreach keys %roles;
$node->safe_psql('postgres', q{UPDATE acteon_api_keys SET expires_at = now() WHERE name = 'expired'});

my $server = start_http($node, arguments => [ '--workers=3', '--queue=1000', '--statement-timeout=2s', '--log-level=error' ]);
wait_until(sub { my $status = $server->client->get('/health')->{status}; return ($status == 200, $status) }, 'it is ready');

# Whoever uses this Idempotency-Key waits.
# It lasts as long as all the requests.
my $session = $node->background_psql('postgres', timeout => 10 * $PostgreSQL::Test::Utils::timeout_default);
$session->query_safe('BEGIN');
$session->query_safe(q{SELECT acteon_api_begin(id, 'held', sha256('held')) FROM acteon_api_keys WHERE name IN ('acme', 'globex')});

my $pid = open2(my $from, my $to, 'python3', "$FindBin::RealBin/../http/roles.py", $server->{port}, $seed, $count, private_file('keys.json', encode_json(\%keys)));
is(scalar(<$from>), "half\n", "$count requests: half-way") or diag("seed $seed");
$node->safe_psql('postgres', q{SELECT acteon_api_key_revoke('leaver')});
print $to "\n";
my $statuses = decode_json(scalar(<$from>) // '{}');
waitpid($pid, 0);
is($?, 0, 'each was answered with the rights of its own key') or diag("seed $seed");
note(join(', ', map { "$_: $statuses->{$_}" } sort keys %$statuses));
is(join(' ', grep { !/^(200|401|403|404|422|503|504)$/ } keys %$statuses), '', 'no other status than was to be expected');
# On a busy machine some have waited for too long.
my $answered = $count - ($statuses->{503} // 0) - ($statuses->{504} // 0);
cmp_ok($answered, '>', $count / 20, '… many were answered');
cmp_ok($statuses->{200}, '>', $answered / 3, '… many of these were good');
cmp_ok($statuses->{$_} // 0, '>', $answered / 50, "… many were $_") foreach 401, 403, 404, 422;
cmp_ok($statuses->{504} // 0, '>', 0, '… and some took too long');
$session->quit;

# What is in the database agrees: each request had its key's role as its reason.
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_replay_batch WHERE reason IS DISTINCT FROM requested_by::text}), 0, 'each batch was asked for by the role of the key that asked');
is($node->safe_psql('postgres', q{
	SELECT string_agg(DISTINCT b.requested_by || ' ' || o.tenant, ', ' ORDER BY b.requested_by || ' ' || o.tenant)
	FROM acteon_replay_batch AS b JOIN acteon_dispatch_outbox AS o ON o.batch_id = b.id}),
	'acme_ops acme, globex_ops globex, leaver_ops acme', '… and is of its tenant');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM (
		SELECT FROM acteon_replay_batch AS b JOIN acteon_dispatch_outbox AS o ON o.batch_id = b.id
		WHERE b.query ? 'action_id' AND o.original_action_id !~ '-left' GROUP BY o.original_action_id
		HAVING count(*) > CASE WHEN o.original_action_id ~ '-same$' THEN 50 ELSE 1 END) AS t}), 0, '… and nothing was done twice for one Idempotency-Key, nor without one');

# A session that had kept a role of a key could not look keys up: only the server's role may.
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'acteon_http' AND state = 'active'}, 0, 'nothing is under way any more');
my @connections = map { $server->client('acteon_unknown')->start('POST', '/v1/audit/acme-1/replay') } 1 .. 30;
is(join(' ', map { $_->answer->{status} } @connections), join(' ', (401) x 30), 'no session has kept a role');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT state, ' ') FROM pg_stat_activity WHERE usename = 'acteon_http'}), 'idle', '… nor a transaction');
is($server->stop, 0, 'it ends in good order') or diag($server->log);

done_testing();
