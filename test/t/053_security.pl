# SECURITY.md says of each role what it cannot do: each of these is tried here, under the same name, and none is named
# there that is not.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;

my $node = new_server('security');

$node->safe_psql('postgres', q{
	CREATE ROLE nobody LOGIN;
	CREATE ROLE looker LOGIN;
	CREATE ROLE op LOGIN;
	CREATE ROLE boss_group;
	CREATE ROLE op_of_group LOGIN NOINHERIT IN ROLE boss_group;
	CREATE ROLE boss LOGIN;
	CREATE ROLE consumer LOGIN;
	CREATE ROLE gateway LOGIN;
	CREATE ROLE other_op LOGIN;
	CREATE ROLE backup LOGIN IN ROLE pg_read_all_data;
	CREATE ROLE root LOGIN SUPERUSER;
	CREATE SCHEMA own AUTHORIZATION nobody;
	GRANT USAGE, CREATE ON SCHEMA own TO PUBLIC;
	GRANT CREATE ON SCHEMA public TO gateway;
	ALTER TABLE acteon_audit OWNER TO gateway;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES
		('looker', 'viewer', '{acme}', '{*}', '{*}'), ('op', 'operator', '{acme}', '{*}', '{*}'), ('boss_group', 'admin', '{acme}', '{*}', '{*}'),
		('boss', 'admin', '{acme}', '{*}', '{*}'), ('other_op', 'operator', '{*}', '{*}', '{*}'), ('consumer', 'gateway', '{*}', '{*}', '{*}');
	SELECT make_record('mine-' || n) FROM generate_series(1, 20) AS n;
	SELECT make_record('theirs-' || n, tenant => CASE n % 2 WHEN 0 THEN 'globex' ELSE 'acme-corp' END, payload => '{"secret": "swordfish"}') FROM generate_series(1, 20) AS n;
	SELECT acteon_replay_bulk(provider => 'email', max_records => 1000, canary => 'off', reason => 'the first batch', start_at => now() + interval '1 day', tenant => t) FROM unnest('{acme,globex}'::text[]) AS t;
});
new_http_role($node);

# The tables, views and sequences of the extension.
my @relations = split /\n/, $node->safe_psql('postgres', q{
	SELECT c.oid::regclass FROM pg_depend AS d JOIN pg_class AS c ON c.oid = d.objid
	WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND c.relkind IN ('r', 'v', 'p') ORDER BY 1});
cmp_ok(scalar(@relations), '>', 20, 'the extension has ' . scalar(@relations) . ' tables and views');
my ($batch) = $node->safe_psql('postgres', q{SELECT batch_id FROM acteon_replay_batches WHERE query ->> 'tenant' = 'globex'});
my ($own_batch) = $node->safe_psql('postgres', q{SELECT batch_id FROM acteon_replay_batches WHERE query ->> 'tenant' = 'acme'});
ok($batch && $own_batch, 'there are two batches that wait');

# What a statement by a role ends with: "SQLSTATE: message", or "done".
sub by
{
	my ($role, $sql) = @_;

	return fails_with($node, $sql, connstr => $node->connstr('postgres') . " user=$role");
}

# What it returns.
sub value
{
	my ($role, $sql) = @_;

	return $node->safe_psql('postgres', $sql, connstr => $node->connstr('postgres') . " user=$role");
}

my %tried;

# One sentence of SECURITY.md, and what tries it.
sub cannot
{
	my ($what, $try) = @_;

	$tried{"It cannot $what"}++;
	subtest "It cannot $what" => $try;
	return;
}

# A statement that has to be refused for want of rights; who may not see a batch is told that there is none.
sub refused
{
	my ($role, $sql) = @_;

	like(by($role, $sql), qr/^(42501: |P0002: batch \d+ does not exist$)/, "$role: " . $sql =~ s/\s+/ /gr);
	return;
}

my @steering = (
	"acteon_replay_pause(%d, 'r')", "acteon_replay_resume(%d, 'r')", "acteon_replay_cancel(%d, 'r')", "acteon_replay_set_rate(%d, 1, 'r')", "acteon_replay_approve(%d, 'x', 'r')",
	"acteon_replay_settle(%d, 'cancel', 'r')", "acteon_replay_hand_over(%d, 'nobody', 'r')", q{acteon_replay_patch(%d, '{"a": 1}', reason => 'r')},
	"acteon_replay_set_start(%d, now(), 'r')");
my @consuming = (
	q{acteon_outbox_claim('me')}, q{acteon_outbox_ack('{1}', '{1}', '{"{}"}')}, q{acteon_outbox_nack('{1}', '{1}', '{x}')}, q{acteon_outbox_reject('{1}', '{1}', '{x}')},
	q{acteon_outbox_doubt('{1}', '{1}', '{x}')}, q{acteon_outbox_extend('{1}', '1 min')}, q{acteon_outbox_redrive()}, q{acteon_outbox_purge('1 s')});
my @steering_all = (q{acteon_replay_pause_all('r')}, q{acteon_replay_resume_all('r')}, q{acteon_replay_limit_set(provider => 'email', rate => 1, reason => 'r')});
my @replaying = (
	q{acteon_replay('mine-1')}, q{acteon_replay_bulk(tenant => 'acme')}, q{acteon_replay_bulk('{"tenant": "acme"}'::jsonb)}, q{acteon_replay_open('{"tenant": "acme"}'::jsonb)});
my @looking = (
	q{acteon_replay_preview(tenant => 'acme')}, q{acteon_replay_causes(tenant => 'acme')}, q{acteon_replay_timeline(tenant => 'acme')},
	"acteon_replay_items($own_batch)", "acteon_replay_proof($own_batch)", q{acteon_replay_verify()}, q{acteon_replay_witness()});

#
# A role without grants
#
cannot('replay, preview or look at anything', sub {
	refused('nobody', "SELECT * FROM $_") foreach @replaying, @looking;
	refused('nobody', q{CALL acteon_replay_all(tenant => 'acme')});
	is(value('nobody', q{SELECT count(*) FROM acteon_replay_lineage('mine-1')}), '0', 'that an action was replayed is not told');
});
cannot('tell whether there is a record of an action id', sub {
	is(by('nobody', "SELECT $_('mine-1')"), by('nobody', "SELECT $_('no-such-action')"), $_) foreach qw(acteon_replay acteon_audit_record);
	refused('nobody', "SELECT $_('mine-1')") foreach qw(acteon_replay acteon_audit_record);
});
cannot(q{read a row of the extension's tables and views}, sub {
	foreach my $relation (@relations)
	{
		my $outcome = by('nobody', "DO \$\$BEGIN IF EXISTS (SELECT FROM $relation AS t WHERE t IS NOT NULL OR t IS NULL) THEN RAISE 'a row'; END IF; END\$\$");

		like($outcome, qr/^(done$|42501: )/, $relation);
	}
});
cannot('write to any of them', sub {
	foreach my $role (qw(nobody looker op boss consumer gateway acteon_http backup))
	{
		is($node->safe_psql('postgres', qq{SELECT string_agg(c::text, ' ') FROM unnest('{@{[join ',', @relations]}}'::regclass[]) AS c WHERE has_table_privilege('$role', c, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') OR has_any_column_privilege('$role', c, 'INSERT, UPDATE, REFERENCES')}),
			'', "$role has no right to");
		is($node->safe_psql('postgres', qq{SELECT string_agg(c.oid::regclass::text, ' ') FROM pg_class AS c WHERE c.relname LIKE 'acteon%' AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege('$role', c.oid, 'UPDATE, USAGE') END}), '', '… nor on its sequences');
	}
});
cannot('make a function use a table, function, operator, type or setting of its own', sub {
	value('nobody', q{
		CREATE TABLE own.acteon_audit (LIKE public.acteon_grants);
		CREATE TABLE own.acteon_grants AS SELECT 1 AS id, current_user::regrole AS grantee, 'admin'::text AS role, '{*}'::text[] AS tenants, '{*}'::text[] AS namespaces, '{*}'::text[] AS providers, '{*}'::text[] AS actions, true AS may_patch;
		CREATE FUNCTION own.always(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
		CREATE OPERATOR own.= (LEFTARG = text, RIGHTARG = text, FUNCTION = own.always);
		CREATE FUNCTION own.acteon_authorized(text, text, text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'});
	refused('nobody', "SET search_path = own, public; SELECT public.acteon_replay('mine-1')");
	refused('nobody', "SELECT public.acteon_authorized('a', 'b', 'c', 'd'); SET acteon_replay.audit_table = 'own.acteon_audit'");
	is(value('nobody', "SET search_path = own, pg_catalog, public; SELECT public.acteon_authorized('acme', 'prod', 'email', 'send')"), 'f', 'grants that it has made do not count');
	# 014_planted.pl does this with every statement.
});
cannot('claim, acknowledge, reject, extend or redrive anything, whatever the token', sub {
	refused('nobody', "SELECT $_") foreach @consuming;
});
cannot('steer, approve, settle, patch or hand over a batch', sub {
	refused('nobody', 'SELECT ' . sprintf($_, $own_batch)) foreach @steering;
	refused('nobody', 'SELECT ' . sprintf($_, 4711)) foreach $steering[0];
	refused('nobody', "SELECT $_") foreach @steering_all;
});
cannot('make, see, use or revoke an API key', sub {
	refused('nobody', "SELECT $_") foreach q{acteon_api_key_create('k', 'nobody')}, q{acteon_api_key_revoke('k')}, q{acteon_api_login('\x00')}, q{count(*) FROM acteon_api_keys};
});

#
# A viewer of a tenant
#
cannot('replay what it may read', sub {
	refused('looker', "SELECT * FROM $_") foreach @replaying;
	refused('looker', 'SELECT ' . sprintf($_, $own_batch)) foreach @steering;
	refused('looker', "SELECT $_") foreach @steering_all;
});
cannot('see records, actions, batches and payloads of other tenants', sub {
	is(value('looker', q{SELECT count(*) FILTER (WHERE tenant = 'acme') > 0, count(*) FILTER (WHERE tenant <> 'acme') FROM acteon_dispatch_outbox}), 't|0', 'the outbox');
	is(value('looker', 'SELECT string_agg(batch_id::text, \',\') FROM acteon_replay_batches'), $own_batch, 'batches');
	unlike(value('looker', q{SELECT acteon_audit_records(max_records => 1000)}), qr/globex|acme-corp|swordfish/, 'records');
	refused('looker', q{SELECT acteon_audit_records(tenant => 'globex')});
	unlike(value('looker', q{SELECT * FROM acteon_replay_preview(from_time => '2000-01-01', sample => 100)}), qr/swordfish|theirs/, 'previews');
	unlike(value('looker', q{SELECT * FROM acteon_replay_lineage('theirs-1')}), qr/the first batch|swordfish/, 'lineage');
	refused('looker', "SELECT * FROM acteon_replay_items($batch)");
});
cannot('learn from counts what is in the payloads of other tenants', sub {
	my @counts = map { value('looker', qq{SELECT item, matched, replayable, note FROM acteon_replay_preview(from_time => '2000-01-01', payload => '{"secret": "$_"}') WHERE section NOT IN ('query', 'plan')}) } qw(swordfish mackerel);

	is($counts[0], $counts[1], 'a payload that they have, and one that they have not');
	@counts = map { value('looker', qq{SELECT item, matched, replayable, note FROM acteon_replay_preview(from_time => '2000-01-01', payload_path => '\$.secret == "$_"') WHERE section NOT IN ('query', 'plan')}) } qw(swordfish mackerel);
	is($counts[0], $counts[1], 'by jsonpath');
});

#
# An operator of a tenant
#
cannot('replay actions of other tenants, by whatever filter', sub {
	refused('op', q{SELECT acteon_replay('theirs-1')});
	refused('op', q{SELECT acteon_replay('theirs-2')});
	foreach my $filters (q{tenant => 'globex'}, q{tenant => 'acme-corp'}, q{tenant_tree => 'acme-corp'}, q{from_time => '2000-01-01'}, q{action_ids => '{theirs-1,theirs-2}'}, q{payload => '{"secret": "swordfish"}'}, q{provider => 'email', include_replayed => true})
	{
		value('op', "SELECT 1 FROM acteon_replay_bulk($filters, max_records => 1000)");
	}
	is($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_outbox AS o JOIN acteon_replay_batch AS b ON b.id = o.batch_id WHERE b.requested_by::text = 'op' AND o.tenant <> 'acme'}), '0', 'in bulk');
	cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM acteon_dispatch_outbox AS o JOIN acteon_replay_batch AS b ON b.id = o.batch_id WHERE b.requested_by::text = 'op'}), '>', 0, '… while it replays its own');
});
cannot('use the grants of a role whose privileges it does not inherit', sub {
	refused('op_of_group', q{SELECT acteon_replay('mine-2')});
});
cannot('change payloads without may_patch', sub {
	refused('op', q{SELECT acteon_replay_bulk(tenant => 'acme', patch => '{"to": "me"}')});
});
cannot('approve what it has asked for', sub {
	$node->safe_psql('postgres', q{ALTER ROLE boss SET acteon_replay.approval_above = 0});
	value('boss', q{CALL acteon_replay_all(tenant => 'acme', include_replayed => true, reason => 'large')});
	my $waiting = $node->safe_psql('postgres', q{SELECT batch_id FROM acteon_replay_batches WHERE state = 'awaiting approval'});
	my $plan = $node->safe_psql('postgres', qq{SELECT plan FROM acteon_replay_batches WHERE batch_id = $waiting});

	refused('boss', "SELECT acteon_replay_approve($waiting, '$plan', 'yes')");
	value('boss', "SELECT acteon_replay_cancel($waiting)");
	$node->safe_psql('postgres', q{ALTER ROLE boss RESET acteon_replay.approval_above});
});
cannot('replay to a target that no superuser has allowed', sub {
	refused('op', q{SELECT acteon_replay_bulk(tenant => 'acme', target => 'staging')});
});
cannot('claim actions, nor record results', sub {
	refused('op', "SELECT $_") foreach @consuming;
});
cannot('steer a batch with actions that it may not replay', sub {
	refused('op', 'SELECT ' . sprintf($_, $batch)) foreach @steering;
	refused('op', "SELECT $steering_all[2]");
	is($node->safe_psql('postgres', q{SET SESSION AUTHORIZATION op;
		BEGIN;
		SELECT string_agg(concat_ws(' ', batch_id, outcome), ', ' ORDER BY batch_id) FROM acteon_replay_pause_all('r') WHERE batch_id IN (} . "$batch, $own_batch" . q{) OR batch_id IS NULL;
		ROLLBACK}), "$own_batch paused, refused", 'all at once: its own, and of the others it is told that there are some');
});

#
# An admin of a tenant
#
cannot('grant anything, to itself or to others', sub {
	refused('boss', q{INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('boss', 'admin', '{*}', '{*}', '{*}')});
	refused('boss', q{UPDATE acteon_grants SET tenants = '{*}'});
	like(by('boss', q{ALTER TABLE acteon_grants DISABLE ROW LEVEL SECURITY}), qr/^42501: must be owner/, 'row-level security stays');
});
cannot('change or remove what was logged', sub {
	refused('boss', $_) foreach q{UPDATE acteon_replay_log SET reason = 'x'}, q{DELETE FROM acteon_replay_log}, q{DELETE FROM acteon_replay_batch}, q{TRUNCATE acteon_replay_trail}, q{DELETE FROM acteon_dispatch_delivery};
	like(fails_with($node, q{UPDATE acteon_replay_log SET reason = 'x'}), qr/^55000: /, 'not even the owner, without disabling a trigger');
});
cannot('switch off a check by a setting', sub {
	my %harmless = map { $_ => 1 } qw(acteon_replay.hold_doubts acteon_replay.traceparent acteon_replay.tracestate);

	foreach my $setting (split /\n/, value('root', q{SELECT FROM acteon_authorized('a', 'b', 'c', 'd') \g /dev/null
		SELECT name FROM pg_settings WHERE name LIKE 'acteon_replay.%' AND context = 'user' ORDER BY 1}))
	{
		ok($harmless{$setting}, "$setting can be set by anybody, and checks nothing");
	}
	cmp_ok($node->safe_psql('postgres', q{SELECT FROM acteon_authorized('a', 'b', 'c', 'd') \g /dev/null
		SELECT count(*) FROM pg_settings WHERE name LIKE 'acteon_replay.%' AND context = 'superuser'}), '>=', 10, 'the others cannot');
	refused('boss', q{SELECT acteon_authorized('a', 'b', 'c', 'd'); SET acteon_replay.plan_above = -1});
});
cannot('make a key for a role that it is not a member of', sub {
	$node->safe_psql('postgres', 'GRANT EXECUTE ON FUNCTION acteon_api_key_create TO boss');
	refused('boss', q{SELECT acteon_api_key_create('stolen', 'other_op')});
	refused('boss', q{SELECT acteon_api_key_create('stolen', 'root')});
	$node->safe_psql('postgres', 'REVOKE EXECUTE ON FUNCTION acteon_api_key_create FROM boss');
});

#
# A consumer
#
cannot('read the payload of an action that it does not claim, nor replay', sub {
	refused('consumer', "SELECT * FROM $_") foreach @replaying, @looking[0 .. 2], @steering_all;
	refused('consumer', q{SELECT acteon_audit_record('mine-1')});
	is(value('consumer', 'SELECT count(*) FROM acteon_replay_batches WHERE query IS NOT NULL'), $node->safe_psql('postgres', 'SELECT count(*) FROM acteon_replay_batches'), 'it does see all batches, with their queries');
	is(value('consumer', "SELECT count(*) FROM acteon_replay_items($_)"), '0', "the actions of batch $_") foreach $batch, $own_batch;
	is(value('consumer', 'SELECT count(*) FROM acteon_dispatch_outbox'), '0', 'the outbox shows it nothing');
	is(value('consumer', q{SELECT count(*) FROM acteon_outbox_claim('consumer') WHERE action ->> 'tenant' = 'globex'}), '0', 'what is for tomorrow cannot be claimed');
});
cannot('put actions into the outbox', sub {
	refused('consumer', q{INSERT INTO acteon_dispatch_outbox (batch_id) VALUES (1)});
	refused('consumer', q{INSERT INTO acteon_dispatch_segment (first_id) VALUES (1)});
});
cannot('record results with a token that it does not hold', sub {
	$node->safe_psql('postgres', q{SELECT acteon_replay('mine-9')});
	my ($id, $token) = split /\|/, value('consumer', q{SELECT outbox_id, lease_token FROM acteon_outbox_claim('consumer', 1)});

	ok($id, 'there was something to claim');
	is(value('consumer', qq{SELECT acteon_outbox_ack('{$id}', '{@{[$token + 1]}}', ARRAY['{"Executed": {}}'::jsonb])}), '0', 'ack');
	is(value('consumer', qq{SELECT acteon_outbox_reject('{$id}', '{@{[$token + 1]}}', '{x}')}), '0', 'reject');
	is(value('consumer', qq{SELECT given_back FROM acteon_outbox_nack('{$id}', '{@{[$token + 1]}}', '{x}')}), '0', 'nack');
	is($node->safe_psql('postgres', "SELECT count(*) FROM acteon_dispatch_delivery WHERE outbox_id = $id"), '0', 'nothing is recorded');
});

#
# The owner of the audit table
#
cannot(q{run anything with the rights of a caller or of the extension's owner}, sub {
	value('gateway', q{
		CREATE TABLE ran (who text);
		GRANT INSERT ON ran TO PUBLIC;
		CREATE FUNCTION spy() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.ran VALUES (current_user); RETURN true; END$$;
		CREATE FUNCTION spy(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$BEGIN PERFORM public.spy(); RETURN $1; END$$;
		ALTER TABLE acteon_audit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
		CREATE POLICY spy ON acteon_audit USING (public.spy());
		CREATE INDEX ON acteon_audit (spy(tenant)) WHERE tenant IS NOT NULL});
	value('gateway', 'TRUNCATE ran');
	foreach my $role (qw(op boss root))
	{
		by($role, q{SELECT acteon_replay('mine-3')});
		by($role, q{SELECT acteon_replay_bulk(tenant => 'acme', include_replayed => true)});
		by($role, q{SELECT count(*) FROM acteon_replay_preview(tenant => 'acme')});
		by($role, "SELECT count(*) FROM acteon_replay_proof($own_batch)");
	}
	is($node->safe_psql('postgres', 'SELECT DISTINCT who FROM ran'), 'gateway', 'what it has planted runs as itself');
	value('gateway', 'DROP POLICY spy ON acteon_audit; ALTER TABLE acteon_audit DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY; DROP FUNCTION spy(text) CASCADE');
});
cannot('read the outbox, nor replay', sub {
	is(value('gateway', 'SELECT count(*) FROM acteon_dispatch_outbox'), '0', 'the outbox shows it nothing');
	refused('gateway', "SELECT * FROM $_") foreach @replaying, @consuming;
});

#
# API keys
#
my $key = api_key($node, 'of op', 'op');
my $revoked = api_key($node, 'revoked', 'op');
$node->safe_psql('postgres', q{SELECT acteon_api_key_revoke('revoked')});
my $server = start_http($node);

# The status of a request with a key.
sub status
{
	my ($with, $method, $path, $body) = @_;
	my $client = $server->client($with);

	return $client->request($method, $path, defined $body ? (body => $body) : ())->{status};
}
cannot(q{act as another role than the key's}, sub {
	is(status($key, 'POST', '/v1/audit/theirs-1/replay'), 403, 'an action of another tenant');
	is(status($key, 'POST', '/v1/audit/mine-4/replay'), 200, 'one of its own');
	is(status($key, 'POST', '/v1/audit/mine-5/replay?role=boss'), 400, 'a role in the request');
	is(status($key, 'POST', "/v1/replay/batches/$batch/pause?reason=r", '{}'), 403, 'a batch of others');
	is(status($key, 'POST', "/v1/replay/batches/$batch/pause", '{"reason": "r"}'), 400, '… nor by a body, which is no place for arguments');
});
cannot('use a key that was revoked or whose role is a superuser', sub {
	is(status($key, 'GET', '/v1/audit?tenant=acme'), 200, 'one that is good');
	is(status($revoked, 'GET', '/v1/audit?tenant=acme'), 401, 'revoked');
	is(status('acteon_' . 'x' x 43, 'GET', '/v1/audit?tenant=acme'), 401, 'guessed');
	like(fails_with($node, q{SELECT acteon_api_key_create('root', 'root')}), qr/^\w{5}: /, 'a key of a superuser cannot be made');
	$node->safe_psql('postgres', 'ALTER ROLE op SUPERUSER');
	is(status($key, 'GET', '/v1/audit?tenant=acme'), 401, 'a role that has become one');
	$node->safe_psql('postgres', 'ALTER ROLE op NOSUPERUSER');
});
cannot(q{do anything as the server's role itself}, sub {
	refused('acteon_http', "SELECT * FROM $_") foreach @replaying, @looking, @consuming;
	refused('acteon_http', 'SELECT ' . sprintf($_, $own_batch)) foreach @steering;
	refused('acteon_http', "SELECT * FROM $_") foreach @steering_all;
	refused('acteon_http', $_) foreach q{SELECT * FROM acteon_api_keys}, q{SELECT acteon_api_key_create('mine', 'acteon_http')};
});
cannot('have a part of its request executed as SQL', sub {
	my $rows = $node->safe_psql('postgres', 'SELECT count(*) FROM acteon_grants');

	foreach my $text (q{'; DELETE FROM acteon_grants; --}, q{$$; DELETE FROM acteon_grants; $$}, q{\\'; DELETE FROM acteon_grants; --}, "E'\\x27'")
	{
		status($key, 'POST', '/v1/audit/' . encode_uri($text) . '/replay');
		status($key, 'POST', '/v1/audit/replay?tenant=' . encode_uri($text));
		status($key, 'GET', '/v1/audit?tenant=' . encode_uri($text));
	}
	is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_grants'), $rows, 'the grants are all there');
	unlike(slurp_file($node->logfile), qr/syntax error/, 'the server has never seen a statement that it could not read');
});
is($server->stop, 0, 'the server ends');

#
# A member of pg_read_all_data
#
cannot('write, replay or claim anything', sub {
	refused('backup', "SELECT * FROM $_") foreach @replaying, @consuming, @steering_all;
	refused('backup', 'DELETE FROM acteon_grants');
});

# The page says all of this, and nothing more.
my @said = slurp_file("$FindBin::RealBin/../../SECURITY.md") =~ /^- (It cannot .+)$/mg;
is(join("\n", sort @said), join("\n", sort keys %tried), 'what SECURITY.md says was tried');
done_testing();
