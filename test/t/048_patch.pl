# Patched payloads at the gateway: what was previewed is what arrives, the same bytes at
# every attempt; and patches over HTTP.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Http;
use Relay;

my $node = new_relay_server('patch');
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
is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_audit WHERE action_payload::text LIKE '%"d": 3%'}), 0, 'and the records are as they were');
is($relay->stop, 0, 'the relay ends');
$gateway->has_no_violations('nothing of that was wrong');

done_testing();
