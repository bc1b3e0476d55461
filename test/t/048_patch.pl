# Patched payloads at the gateway: what was previewed is what arrives, the same bytes at
# every attempt; patches over HTTP; and what waits is patched while a relay is at work.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;
use Relay;

my $node = new_relay_server('patch', conf => "restart_after_crash = on\n");
my $gateway = start_gateway();
$gateway->control(digest_payloads => JSON::PP::true());
# The first request of every second action fails, so that it is sent again.
$gateway->rules(
	{ match => { attempt => 1, action_type => 'twice' }, answer => { status => 500, body => { error => 'lock acquisition failed' } } });

$node->safe_psql('postgres', q{
	SELECT count(make_record('a-' || n, at => timestamptz '2026-01-01 12:00+00' + n * interval '1 s', action_type => CASE n % 2 WHEN 0 THEN 'twice' ELSE 'once' END, payload => CASE WHEN n % 3 = 0 THEN '{"template": "t-42", "n": 3}'
		ELSE jsonb_build_object('template', 't-41', 'n', n, 'old', repeat('x', n * 250), 'deep', '{"a": {"b": [1, {"c": null}]}, "z": 1.50}'::jsonb) END)) FROM generate_series(1, 30) AS n;
	CREATE TABLE previewed AS SELECT s ->> 'action_id' AS id, s -> 'after' AS payload, p -> 'patch' AS patch, p -> 'query' AS query
		FROM acteon_replay_preview('{"outcome": "failed", "patch": {"template": "t-42", "old": null, "deep": {"a": null, "new": "ä"}}}', 1000) AS p CROSS JOIN jsonb_array_elements(p -> 'sample') AS s});
is($node->safe_psql('postgres', q{SELECT count(*), min(patch ->> 'changed'), min(patch ->> 'unchanged') FROM previewed}), '30|30|0', 'the preview shows what becomes of each');
$node->safe_psql('postgres', q{SELECT acteon_replay_bulk(query) FROM previewed LIMIT 1});
my $relay = start_relay($node, $gateway);
all_delivered($node, 'all are delivered');
my $seen = $gateway->actions;
my %wrong;
foreach my $row (split /\n/, $node->safe_psql('postgres', q{
	SELECT acteon_replay_id(i.original_action_id, i.generation, i.resends), p.payload FROM previewed AS p JOIN acteon_dispatch_outbox AS o ON o.original_action_id = p.id
		JOIN acteon_replay_items(o.batch_id) AS i ON i.outbox_id = o.id WHERE o.payload = p.payload AND i.patched}))
{
	my ($id, $payload) = split /\|/, $row, 2;

	$wrong{$id} = $payload if ($seen->{$id}{payload_digest} // '') ne payload_digest($payload);
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM previewed AS p JOIN acteon_dispatch_outbox AS o ON o.original_action_id = p.id AND o.payload = p.payload}), 30, 'what is enqueued is what was previewed');
is_deeply(\%wrong, {}, '… and what the gateway was sent');
cmp_ok($gateway->stats->{requests}, '>=', 45, 'every second one was sent more than once');
$gateway->has_no_violations('every request was right, and the bodies of one id are identical');
outbox_is_sound($node);

# Over HTTP.
new_http_role($node);
$node->safe_psql('postgres', q{
	CREATE ROLE boss; CREATE ROLE op;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('boss', 'admin', '{*}', '{*}', '{*}'), ('op', 'operator', '{*}', '{*}', '{*}');
	SELECT make_record('one', payload => '{"a": 1, "b": {"c": 2}}'), make_record('two', payload => '{"a": 1}', chain_id => 'bulk'), make_record('three', payload => '"ENC[AES256-GCM,data:,iv:,tag:]"', chain_id => 'bulk')});
my $http = start_http($node);
my $boss = $http->client(api_key($node, 'boss', 'boss'));
my $op = $http->client(api_key($node, 'op', 'op'));
my $patch = 'patch=' . encode_uri('{"b": {"c": null, "d": 3}}');
my $answer = $op->post("/v1/audit/one/replay?$patch");
answers($answer, 403, qr/a patch requires admin role, or may_patch/, 'a patch needs a grant for it');
answers($boss->post('/v1/audit/one/replay?patch=' . encode_uri('[1]')), 400, qr/patch must be a JSON object/, 'a patch that is none');
answers($boss->post('/v1/audit/one/replay?patch=null'), 400, qr/patch: expected JSON other than null/, '… nor null');
$answer = $boss->post("/v1/audit/one/replay?$patch");
is($answer->{status}, 200, 'one action with a patch');
is($node->safe_psql('postgres', q{SELECT payload FROM acteon_dispatch_outbox WHERE original_action_id = 'one'}), '{"a": 1, "b": {"d": 3}}', '… is patched');
$answer = $boss->post("/v1/audit/replay?chain_id=bulk&dry_run=true&$patch");
is("@{ $answer->{json}{patch} }{qw(changed unchanged)} $answer->{json}{not_replayed}{sealed}", '1 0 1', 'a preview of many');
is_deeply([ map { $_->{after} } @{ $answer->{json}{sample} } ], [ { a => 1, b => { d => 3 } } ], '… with what becomes of them');
$answer = $boss->post("/v1/audit/replay?chain_id=bulk&$patch");
is("@{ $answer->{json} }{qw(replayed failed skipped)}", '1 1 0', 'many with a patch');
is($node->safe_psql('postgres', q{SELECT payload FROM acteon_dispatch_outbox WHERE original_action_id = 'two'}), '{"a": 1, "b": {"d": 3}}', '… are patched');
$node->safe_psql('postgres', q{SELECT make_record('four', payload => '{"items": [{"sku": "a"}, {"sku": "b"}, 7]}', chain_id => 'paths')});
my $path = 'patch_path=' . encode_uri('$.items ? (@.sku == "b").sku') . '&patch_value=' . encode_uri('null');
answers($op->post("/v1/audit/four/replay?$path"), 403, qr/a patch requires admin role, or may_patch/, 'a path needs a grant for it');
answers($boss->post('/v1/audit/four/replay?patch_path=' . encode_uri('$.items')), 400, qr/patch_path needs patch_value/, 'a path without a value');
answers($boss->post('/v1/audit/four/replay?patch_value=1&patch_path=' . encode_uri('$.items.size()')), 400, qr/patch_path has a step that does not lead to places: \.size/, 'a path to something else');
$answer = $boss->post("/v1/audit/replay?chain_id=paths&dry_run=true&$path");
is_deeply([ map { $_->{after} } @{ $answer->{json}{sample} } ], [ { items => [ { sku => 'a' }, { sku => undef }, 7 ] } ], 'what becomes of the places of a path');
is($boss->post("/v1/audit/four/replay?$path")->{status}, 200, 'one action with a path');
is($node->safe_psql('postgres', q{SELECT payload FROM acteon_dispatch_outbox WHERE original_action_id = 'four'}), '{"items": [{"sku": "a"}, {"sku": null}, 7]}', '… is patched');
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_audit WHERE action_payload::text LIKE '%"d": 3%'}), 0, 'and the records are as they were');
$gateway->has_no_violations('nothing of that was wrong');

# What waits is patched while the relay takes it: each action goes out once, as it was or as
# it is then.
$node->safe_psql('postgres', q{SELECT count(make_record('w-' || n, at => now() + n * interval '1 us', provider => 'waits', payload => jsonb_build_object('n', n, 'v', 0))) FROM generate_series(1, 2000) AS n});
$node->safe_psql('postgres', q{SELECT acteon_replay_bulk(provider => 'waits', max_records => 1000, canary => 'off', rate => 400); SELECT acteon_replay_bulk(provider => 'waits', max_records => 1000, canary => 'off')});
my $batch = $node->safe_psql('postgres', q{SELECT max(batch_id) - 1 FROM acteon_replay_batches});
my $patched = 0;
foreach my $version (1 .. 6)
{
	foreach my $id ($batch, $batch + 1)
	{
		$patched += $node->safe_psql('postgres', qq{SELECT patched FROM acteon_replay_patch($id, patch_path => '\$.v', patch_value => '$version')});
	}
}
cmp_ok($patched, '>', 0, "some were patched while they waited: $patched times");
wait_for_sql($node, q{SELECT count(*) FROM acteon_dispatch_segment}, '0', 'nothing waits any more');
is($node->safe_psql('postgres', qq{SELECT count(*), count(DISTINCT o.original_action_id) FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
	WHERE o.batch_id IN ($batch, $batch + 1) AND d.state = 'delivered'}), '2000|2000', '… once each');
is($node->safe_psql('postgres', qq{SELECT count(*) FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id WHERE o.batch_id IN ($batch, $batch + 1) AND d.state = 'cancelled'}), $patched, 'what was patched is cancelled');
my %sent = %{ $gateway->actions };
is(scalar(grep { exists $sent{$_} } split /\n/, $node->safe_psql('postgres', qq{SELECT o.action_id FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id WHERE o.batch_id IN ($batch, $batch + 1) AND d.state = 'cancelled'})), 0, '… and never went out');
outbox_is_sound($node);
$gateway->has_no_violations('the bodies are right');
is($relay->stop, 0, 'the relay ends');

# The server is killed in the middle of a patch: nothing of it is there.  A trigger of
# somebody else keeps it there.
$node->safe_psql('postgres', q{
	SELECT count(make_record('k-' || n, at => now() + n * interval '1 us', provider => 'killed', payload => jsonb_build_object('n', n))) FROM generate_series(1, 250) AS n;
	SELECT acteon_replay_bulk(provider => 'killed', max_records => 1000, canary => 'off');
	CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(48); RETURN NULL; END $$;
	CREATE TRIGGER stay AFTER INSERT ON acteon_dispatch_outbox FOR EACH ROW WHEN (NEW.original_action_id = 'k-230') EXECUTE FUNCTION stay();
});
my $holder = start_psql($node, 'postgres', q{SELECT pg_advisory_lock(48), pg_sleep(600)});
wait_for_sql($node, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 48 AND granted}, '1', 'the trigger will wait');
my $patcher = start_psql($node, 'postgres', q{SELECT acteon_replay_patch((SELECT max(batch_id) FROM acteon_replay_batches), patch => '{"x": 1}')});
wait_for_sql($node, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 48 AND NOT granted}, '1', 'the patch is in the middle');
crash($node, $node->safe_psql('postgres', q{SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 48 AND NOT granted}));
is($node->safe_psql('postgres', q{SELECT count(*), count(*) FILTER (WHERE generation = 1 AND NOT payload ? 'x'), (SELECT count(*) FROM acteon_dispatch_delivery AS d JOIN acteon_dispatch_outbox AS o ON o.id = d.outbox_id WHERE o.provider = 'killed')
	FROM acteon_dispatch_outbox WHERE provider = 'killed'}), '250|250|0', 'nothing of it has happened');
outbox_is_sound($node);
is($node->safe_psql('postgres', q{SELECT patched FROM acteon_replay_patch((SELECT max(batch_id) FROM acteon_replay_batches), patch => '{"x": 1}')}), 250, 'it can be done again');
outbox_is_sound($node);

done_testing();
