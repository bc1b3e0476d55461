# Everything runs in a database that is published FOR ALL TABLES, and a subscriber
# has the same rows in the end; replica identities are honoured.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use Acteon;

my $roles = 'CREATE ROLE ops; CREATE ROLE http';
my $node = new_server('published', streaming => 1, conf => 'wal_level = logical');
my $subscriber = new_server('subscriber');
$_->safe_psql('postgres', $roles) foreach $node, $subscriber;
$node->safe_psql('postgres', q{
	CREATE PUBLICATION everything FOR ALL TABLES;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('ops', 'operator', '{*}', '{*}', '{*}');
	SELECT make_record('before')});
$node->safe_psql('postgres', q{SELECT acteon_replay('before')});
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION everything CONNECTION '" . $node->connstr . " dbname=postgres' PUBLICATION everything");
$subscriber->wait_for_subscription_sync($node, 'everything');

# Every table has a key, with which the server can tell a subscriber which row it means.
my $tables = q{
	SELECT c.oid::regclass::text FROM pg_class AS c
		JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
		JOIN pg_extension AS x ON x.oid = d.refobjid AND x.extname = 'acteon_replay'
	WHERE c.relkind IN ('r', 'p')};
is($node->safe_psql('postgres', "SELECT t FROM ($tables) AS c (t) WHERE NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = t::regclass AND i.indisprimary)"),
	'', 'every table has a primary key');

# Claims what is due, at most so many, and answers with a function of acteon_outbox_.
sub answer
{
	my ($function, $values, $most) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT acteon_outbox_$function(array_agg(outbox_id), array_agg(lease_token), array_fill($values, ARRAY[count(*)::int]))
		FROM acteon_outbox_claim('x', $most)});
}

# All calls that write, with what they return.
my $query = "from_time => '2000-01-01'";
my $delivered = q{'{"Executed": {}}'::jsonb};
my $last = '(SELECT max(id) FROM acteon_replay_batch)';
$node->safe_psql('postgres', q{SELECT count(make_record('a' || i, at => '2026-01-01'::timestamptz + i * interval '1 s')) FROM generate_series(1, 250) AS i});
is($node->safe_psql('postgres', q{SELECT success FROM acteon_replay('a1')}), 't', 'single');
is($node->safe_psql('postgres', "SELECT replayed FROM acteon_replay_bulk($query, max_records => 50)"), 50, 'bulk');
$node->safe_psql('postgres', "CALL acteon_replay_all($query, canary => 'off', chunk => 100, replayed => NULL, failed => NULL, skipped => NULL, batch_id => NULL)");
is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_dispatch_outbox'), 251, 'all');
is($node->safe_psql('postgres', "SELECT state FROM acteon_replay_pause($last)"), 'paused', 'pause');
is($node->safe_psql('postgres', "SELECT state FROM acteon_replay_set_rate($last, 100000)"), 'paused', 'set_rate');
is($node->safe_psql('postgres', "SELECT state FROM acteon_replay_resume($last)"), 'running', 'resume');
$node->safe_psql('postgres', 'UPDATE acteon_dispatch_segment SET due_at = now()');
$node->safe_psql('postgres', q{SELECT acteon_replay_limit_set(provider => 'email', rate => 100000, concurrency => 100000)});
$node->safe_psql('postgres', q{UPDATE acteon_replay_limit SET tokens = 100000});
$node->safe_psql('postgres', q{SELECT acteon_replay_notify_set(n, 'slack', 'message', 'ops', 'platform', tenants => '{nobody}') FROM unnest('{a,b,b}'::text[]) AS n});
is($node->safe_psql('postgres', q{SELECT acteon_replay_notify_drop('a')}), 't', 'notifications');
$node->safe_psql('postgres', q{
	SELECT acteon_replay_policy_set('p', rate => 5), acteon_replay_policy_set('q');
	SELECT count(*) FROM acteon_replay_policy_run();
	INSERT INTO acteon_replay_policy_provider (policy, provider, state, batch_id, is_probe, is_ours, failing_since, try_at, failures, cursor, at_end, probed, floor_at, sweep_from, sweep_to)
		VALUES ('p', 'email', 'probing', 2, true, false, now(), now(), 3, 'c', false, '{a,b}', now(), now(), now());
	SELECT acteon_replay_policy_drop('q')});
is(answer('ack', $delivered, 30), 30, 'ack');
is(answer('nack', q{'no'::text}, 10), '(10,0)', 'nack');
is(answer('reject', q{'never'::text}, 10), 10, 'reject');
is(answer('doubt', q{'lost'::text}, 10), 10, 'doubt');
is($node->safe_psql('postgres', q{
		SELECT sum(acteon_replay_settle(batch_id, 'delivered', 'seen')) FROM (SELECT DISTINCT batch_id FROM acteon_dispatch_segment WHERE held IS NOT NULL OR doubt_since IS NOT NULL) AS b}),
	10, 'settle');
is($node->safe_psql('postgres', q{SELECT redriven FROM acteon_outbox_redrive()}), 10, 'redrive');
is($node->safe_psql('postgres', q{SELECT count(acteon_outbox_extend(ARRAY[lease_token], '1 min')) FROM acteon_outbox_claim('x', 10)}), 10, 'extend');
like($node->safe_psql('postgres', "SELECT state, cancelled > 0 FROM acteon_replay_cancel($last)"), qr/^cancelled\|t$/, 'cancel');
like($node->safe_psql('postgres', q{SELECT acteon_api_key_create('key', 'ops')}), qr/^acteon_/, 'an API key');
$node->safe_psql('postgres', q{
	BEGIN; SELECT acteon_api_begin(1, 'k', sha256('a')); SELECT acteon_api_finish(1, 'k', 200, '{}'); COMMIT;
	BEGIN; SELECT acteon_api_begin(1, 'old', sha256('a')); SELECT acteon_api_finish(1, 'old', 200, '{}'); COMMIT;
	UPDATE acteon_api_answers SET created_at = now() - interval '2 days' WHERE idempotency_key = 'old'});
is($node->safe_psql('postgres', q{SELECT acteon_api_housekeeping('{1}', '{2026-01-01}')}), 1, 'API answers');
like($node->safe_psql('postgres', q{SELECT acteon_api_key_revoke('key')}), qr/^\d{4}-/, 'an API key is revoked');

# A purge, of which the tally is a part.
my $tally = 'SELECT count(*) FROM acteon_replay_tally';
my $before = $node->safe_psql('postgres', $tally);
cmp_ok($node->safe_psql('postgres', q{SELECT acteon_outbox_purge('0', 20)}), '>=', 20, 'purge');
my $batch = $node->safe_psql('postgres', 'SELECT batch_id FROM acteon_replay_tally GROUP BY batch_id, state, outcome, effect HAVING count(*) > 1 LIMIT 1');
$node->safe_psql('postgres', q{UPDATE acteon_dispatch_segment SET due_at = now() WHERE lease_token IS NULL});
answer('ack', $delivered, 1) foreach 1 .. 5;
$node->safe_psql('postgres', q{SELECT acteon_outbox_ack(ARRAY[i], ARRAY[lease_token], '{"{\"Executed\": {}}"}')
	FROM acteon_dispatch_segment, generate_series(first_id, last_id) AS i WHERE lease_token IS NOT NULL});
answer('ack', $delivered, 1000);
$before = $node->safe_psql('postgres', $tally);
$node->safe_psql('postgres', q{SELECT acteon_outbox_purge('0')});
cmp_ok($node->safe_psql('postgres', $tally), '<', $before, 'the tally is folded');
is($node->safe_psql('postgres', 'SELECT * FROM acteon_outbox_check()'), '', 'nothing is wrong');

# Both sides have the same, but for the secret with which a database seals plans: each has its own, too.
sub contents
{
	my ($server) = @_;

	return join("\n", map {
		my $table = $_;
		$server->safe_psql('postgres', qq{SELECT '$table', count(*), md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE "C")) FROM $table AS t})
	} grep { $_ ne 'acteon_replay_secret' } sort split /\n/, $server->safe_psql('postgres', "$tables UNION ALL SELECT 'acteon_audit'"));
}
$node->wait_for_catchup('everything');
is(contents($subscriber), contents($node), 'the subscriber has the same rows');

# Without a replica identity a table cannot be changed, as with the server's own statements.
$node->safe_psql('postgres', q{SELECT make_record('identity'); SELECT acteon_replay('identity')});
$node->safe_psql('postgres', 'ALTER TABLE acteon_dispatch_segment REPLICA IDENTITY NOTHING');
like(fails_with($node, q{SELECT acteon_outbox_claim('x')}), qr/^55000: cannot update table "acteon_dispatch_segment" because it does not have a replica identity/, 'no replica identity: refused');
$node->safe_psql('postgres', q{ALTER PUBLICATION everything SET (publish = 'insert')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_outbox_claim('x')}), 1, '… unless updates are not published');
$node->safe_psql('postgres', q{ALTER PUBLICATION everything SET (publish = 'insert, update')});
is($node->safe_psql('postgres', q{SELECT acteon_outbox_check()}), '', 'reading needs none');
like(fails_with($node, q{SELECT acteon_outbox_extend(array_agg(lease_token), '2 min') FROM acteon_dispatch_segment WHERE lease_token IS NOT NULL}), qr/^55000: cannot update/, 'extending needs one');
is($node->safe_psql('postgres', q{
		SELECT acteon_outbox_ack(ARRAY[first_id], ARRAY[lease_token], '{"{\"Executed\": {}}"}') FROM acteon_dispatch_segment WHERE first_id = last_id AND lease_token IS NOT NULL}),
	1, '… and deletes are refused only where they are published');
$node->safe_psql('postgres', q{
	SELECT make_record('full');
	ALTER TABLE acteon_dispatch_segment REPLICA IDENTITY FULL;
	ALTER PUBLICATION everything SET (publish = 'insert, update, delete, truncate')});
$node->safe_psql('postgres', q{SELECT acteon_replay('full')});
is(answer('ack', $delivered, 10), 1, 'the whole row as its identity will do');

$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION everything');
done_testing();
