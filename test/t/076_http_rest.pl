# What psql can do, over HTTP: the log, lineage, dead letters, limits, who one is, and all
# that changes a batch.  Each call does what its function does, as the role of the key:
# with a key of another tenant it shows nothing and does nothing.
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
use Program;

my $node = new_server('rest', conf => "fsync = off\n");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

new_http_role($node);
sql(q{
	CREATE ROLE boss;
	CREATE ROLE boss_2;
	CREATE ROLE "Op Acme";
	CREATE ROLE op_globex;
	CREATE ROLE viewer_acme;
	CREATE ROLE nobody;
	CREATE ROLE worker;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('boss', 'admin', '{*}', '{*}', '{*}', '{*}'),
		('boss_2', 'admin', '{*}', '{*}', '{*}', '{*}'),
		('"Op Acme"', 'operator', '{acme}', '{*}', '{*}', '{*}'),
		('op_globex', 'admin', '{globex}', '{*}', '{*}', '{*}'),
		('viewer_acme', 'viewer', '{acme}', '{*}', '{*}', '{*}'),
		('worker', 'gateway', '{*}', '{*}', '{*}', '{*}');
	SELECT count(make_record('a-' || n, at => '2026-01-01 12:00+00'::timestamptz + n * interval '1 s')) FROM generate_series(1, 9) AS n;
	SELECT count(make_record('g-' || n, tenant => 'globex', at => '2026-02-01 12:00+00'::timestamptz + n * interval '1 s')) FROM generate_series(1, 3) AS n;
});
my $http = start_http($node);
my %client = map { $_ => $http->client(api_key($node, "key of $_", $_)) } qw(boss boss_2 op_globex viewer_acme nobody worker);
$client{'Op Acme'} = $http->client(sql(q{GRANT "Op Acme" TO acteon_http; SELECT acteon_api_key_create('key of Op Acme', '"Op Acme"'::regrole)}));
my @strangers = qw(op_globex viewer_acme nobody worker);

sub post
{
	my ($role, $path, @query) = @_;

	return $client{$role}->post("/v1/replay/$path", query => [@query]);
}

sub get
{
	my ($role, $path, @query) = @_;

	return $client{$role}->get("/v1/replay/$path", query => [@query]);
}

# A batch of acme's next records that have no replay.
sub new_batch
{
	my ($role, $limit, @query) = @_;

	return $client{$role}->post('/v1/audit/replay', query => [ tenant => 'acme', from => '2000-01-01T00:00:00Z', limit => $limit, @query ])->{headers}{'acteon-batch-id'};
}

# The only error of an answer that nothing was done for.
sub refused
{
	my ($answer, $status, $pattern, $description) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($answer->{status}, $status, $description)
		&& like($answer->{json}{error}, $pattern, '… and why') || diag($answer->{body});
}

# The links to further pages, until there is none; returns the values of a member of all.
sub pages
{
	my ($role, $path, $list, $member) = @_;
	my @values;

	for (my $next = $path; defined $next;)
	{
		my $answer = $client{$role}->get("/v1/replay/$next");

		is($answer->{status}, 200, "$role: $next") or return diag($answer->{body});
		push @values, join(' ', map { $_->{$member} } @{ $answer->{json}{$list} });
		my ($query) = ($answer->{headers}{link} // '') =~ /^<(\?[^<>]*)>; rel="next"$/;
		$next = defined $query ? ($next =~ s/\?.*//r) . $query : undef;
	}
	return join(' | ', @values);
}

# Two batches of acme, one of globex, and a single replay of each.
my $one = new_batch('Op Acme', 2, reason => 'INC-1', rate => '0.01');
my $two = new_batch('boss', 2, reason => 'secret', rate => '0.01');
my $globex = $client{op_globex}->post('/v1/audit/replay?tenant=globex&from=2000-01-01T00:00:00Z&limit=2')->{headers}{'acteon-batch-id'};
is($client{'Op Acme'}->post('/v1/audit/a-9/replay')->{status}, 200, 'a single replay');
is($client{op_globex}->post('/v1/audit/g-3/replay')->{status}, 200, '… and one of globex');

#
# Batches by kind, and by tenant.
#

my $single = $globex + 1;
is(pages('boss', 'batches', 'batches', 'batch_id'), join(' ', $single + 1, $single, $globex, $two, $one), 'all batches');
is(pages('boss', 'batches?kind=bulk', 'batches', 'batch_id'), "$globex $two $one", 'bulk replays');
is(pages('boss', 'batches?kind=single', 'batches', 'kind'), 'single single', 'single ones');
is(pages('boss', 'batches?kind=all&kind=single,bulk', 'batches', 'kind'), 'single single bulk bulk bulk', 'of several kinds');
is(pages('boss', 'batches?kind=notification,probe', 'batches', 'kind'), '', 'there is none of others');
is(pages('boss', 'batches?kind=bulk&limit=1', 'batches', 'batch_id'), "$globex | $two | $one | ", 'page by page, by the links');
is(pages('boss', 'batches?limit=3&tenant=acme', 'batches', 'batch_id'), "$single $two $one | ", 'those of a tenant');
is(pages('boss', 'batches?tenant=globex', 'batches', 'batch_id'), join(' ', $single + 1, $globex), '… of another one');
is(pages('boss', 'batches?tenant=acm', 'batches', 'batch_id'), '', '… of none');
is(pages('Op Acme', 'batches?tenant=globex', 'batches', 'batch_id'), '', 'what is not seen is not found by its tenant');
refused(get('boss', 'batches', kind => 'bulk,none'), 400, qr/^kind: expected single, bulk, all, notification or probe$/, 'a kind that does not exist');

# A batch of both tenants is found by either, but not by the one that is not seen.
sql(q{SELECT count(make_record('m-' || n, tenant => CASE n % 2 WHEN 0 THEN 'acme' ELSE 'globex' END, provider => 'mixed')) FROM generate_series(1, 4) AS n});
my $mixed = $client{boss}->post('/v1/audit/replay?provider=mixed&rate=0.01')->{headers}{'acteon-batch-id'};
is(pages('boss', "batches?tenant=$_&limit=1&before=999", 'batches', 'batch_id') =~ s/ .*//r, $mixed, "both: $_") foreach qw(acme globex);
is(pages('Op Acme', 'batches?tenant=acme&limit=1&before=999', 'batches', 'batch_id') =~ s/ .*//r, $mixed, 'a part of it is seen');
is(pages('Op Acme', 'batches?tenant=globex', 'batches', 'batch_id'), '', '… and not found by the rest');

#
# Rate, start.
#

# What a batch is like, for whoever sees all of it.
sub shown
{
	my ($batch, $what) = @_;

	return sql("SELECT coalesce(($what)::text, '') FROM acteon_replay_batches WHERE batch_id = $batch");
}

sub event
{
	return sql('SELECT event, batch_id, role_name, api_key, reason FROM acteon_replay_log ORDER BY id DESC LIMIT 1');
}

my %waiting = (waiting => 2, in_flight => 0, cancelled => 0);
answers(post('Op Acme', "batches/$one/rate", rate => '5', reason => 'slower'), 200, { batch_id => 0 + $one, state => 'running', %waiting }, 'a new rate');
is(shown($one, 'rate'), '5', '… is there');
is(event(), "set_rate|$one|Op Acme|key of Op Acme|slower", '… and in the log');
answers(post('Op Acme', "batches/$one/rate", rate => 'none'), 200, qr/running/, 'no rate');
is(shown($one, 'rate'), '', '… is none');
refused(post('Op Acme', "batches/$one/rate"), 400, qr/^rate is required$/, 'no rate is meant only where it is said');
refused(post('Op Acme', "batches/$one/rate", rate => $_), 400, qr/./, "a rate of $_") foreach qw(0 -1 NaN many 1e400);
refused(post('Op Acme', "batches/$one/rate", rate => 5, tennant => 'acme'), 400, qr/^unknown parameter: tennant/, 'a mistyped tenant');
answers(post('boss', "batches/$mixed/rate", rate => 2, tenant => 'acme'), 200, qr/running/, 'the rate of a part');
like(shown($mixed, 'parts'), qr/"rate": 2\b.*acme|acme.*"rate": 2\b/, '… is that of a part');
is(shown($mixed, 'rate'), '0.01', '… and the batch has its own');
answers(post('Op Acme', "batches/$one/start", start_at => '2999-01-01T00:00:00Z'), 200, { batch_id => 0 + $one, state => 'scheduled', %waiting }, 'a start');
like(shown($one, "start_at at time zone 'UTC'"), qr/^2999-01-01/, '… is there');
answers(post('Op Acme', "batches/$one/start", start_at => '2000-01-01T00:00:00Z'), 200, { batch_id => 0 + $one, state => 'running', %waiting }, 'at once');
refused(post('Op Acme', "batches/$one/start"), 400, qr/^start_at is required$/, 'a start without a time');
refused(post('Op Acme', "batches/$one/start", start_at => 'tomorrow'), 400, qr/^start_at: expected a time/, 'a start at no time');

#
# The payload of what waits.
#

answers(post('boss', "batches/$two/patch", patch => '{"template": "new"}', reason => 'typo'), 200,
	{ batch_id => 0 + $two, patched => 2, unchanged => 0, refused => 0, sent => 0, passed_over => 0 }, 'a patch');
is(event(), "patch|$two|boss|key of boss|typo", '… is in the log');
is(sql(qq{SELECT count(*) FROM acteon_dispatch_outbox WHERE batch_id = $two AND payload::jsonb ->> 'template' = 'new'}), 2, '… and done');
answers(post('boss', "batches/$two/patch", patch_path => '$.template', patch_value => 'null', action_ids => 'a-3'), 200, qr/"patched" : 1/, 'a path, of one action, to null');
refused(post('boss', "batches/$two/patch"), 400, qr/patch/, 'a patch of nothing');
refused(post('Op Acme', "batches/$one/patch", patch => '{"a": 1}'), 403, qr/patch/, 'a patch without a grant for it');

#
# Doubts.
#

sql(qq{SELECT outbox_id, lease_token FROM acteon_outbox_claim('w', 100)});
my $doubtful = sql(qq{
	WITH d AS (SELECT first_id, last_id, lease_token FROM acteon_dispatch_segment WHERE batch_id = $one AND lease_token IS NOT NULL)
	SELECT acteon_outbox_doubt(array_agg(id), array_agg(lease_token), array_agg('lost'::text))
	FROM d CROSS JOIN LATERAL generate_series(first_id, last_id) AS id});
is($doubtful, 2, 'two actions are in doubt');
my @doubts = split /\n/, sql(qq{SELECT outbox_id FROM acteon_replay_items($one, 'in_doubt')});
refused(post('Op Acme', "batches/$one/settle", decision => 'delivered'), 400, qr/reason/, 'a decision without a reason');
refused(post('Op Acme', "batches/$one/settle", reason => 'seen'), 400, qr/^decision is required$/, 'a reason without a decision');
refused(post('Op Acme', "batches/$one/settle", reason => 'seen', decision => 'perhaps'), 400, qr/^decision: expected resend, delivered or cancel$/, 'no decision');
refused(post('Op Acme', "batches/$one/settle", reason => 'seen', decision => 'cancel', outbox_id => $_), 400, qr/./, "what is no number: $_") foreach 'x', '1,,2';
is(sql(qq{SELECT count(*) FROM acteon_replay_items($one, 'in_doubt')}), 2, '… settles nothing');
is(post('Op Acme', "batches/$one/settle", reason => 'seen', decision => 'cancel', outbox_id => '')->{json}{settled} // 0, 0, 'none of them');
answers(post('Op Acme', "batches/$one/settle", reason => 'seen', decision => 'delivered', outbox_id => $doubts[0]), 200, { batch_id => 0 + $one, settled => 1 }, 'one is settled');
is(event(), "settle|$one|Op Acme|key of Op Acme|seen", '… which is in the log');
answers(post('Op Acme', "batches/$one/settle", reason => 'not seen', decision => 'cancel'), 200, { batch_id => 0 + $one, settled => 1 }, 'the rest is settled');
is(shown($one, q{delivered || ' ' || cancelled}), '1 1', '… as it was decided');

#
# Dead letters.
#

refused(post('worker', 'redrive'), 400, qr/^a redrive needs outbox_id, batch_id, tenant or provider$/, 'a redrive of everything');
sql(q{
	SELECT acteon_outbox_reject(array_agg(o.id), array_agg(s.lease_token), array_agg('no such template'::text))
	FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_segment AS s ON o.id BETWEEN s.first_id AND s.last_id
	WHERE original_action_id IN ('g-1', 'g-2', 'a-9')});
my @dead = split /\n/, sql(q{SELECT outbox_id FROM acteon_dead_letters ORDER BY outbox_id DESC});
is(scalar(@dead), 3, 'three are dead');
is(pages('boss', 'dead_letters?limit=2', 'dead_letters', 'outbox_id'), "$dead[0] $dead[1] | $dead[2]", 'all that are dead');
is(pages('boss', "dead_letters?batch_id=$globex", 'dead_letters', 'original_action_id'), 'g-2 g-1', '… of a batch');
is(pages('boss', "dead_letters?tenant=acme&provider=email", 'dead_letters', 'original_action_id'), 'a-9', '… of a tenant');
is(pages('boss', 'dead_letters?provider=none', 'dead_letters', 'original_action_id'), '', '… of no provider');
is_deeply(get('boss', 'dead_letters')->{json}{dead_letters}, decode_json(sql('SELECT jsonb_agg(to_jsonb(d) ORDER BY outbox_id DESC) FROM acteon_dead_letters AS d')), '… as the view has them');
is(pages('op_globex', 'dead_letters', 'dead_letters', 'original_action_id'), 'g-2 g-1', 'op_globex sees its own');
is(pages($_, 'dead_letters', 'dead_letters', 'original_action_id'), 'a-9', "$_ sees those of acme") foreach 'Op Acme', 'viewer_acme';
is(pages('nobody', 'dead_letters', 'dead_letters', 'original_action_id'), '', 'who has no grant sees none');
refused(post($_, 'redrive', tenant => 'globex', reason => 'x'), 403, qr/./, "$_ redrives nothing") foreach 'boss', 'Op Acme', qw(op_globex viewer_acme nobody);
is(sql('SELECT count(*) FROM acteon_dead_letters'), 3, '… indeed');
answers(post('worker', 'redrive', outbox_id => $dead[2], reason => 'again'), 200, { redriven => 1, skipped => 0 }, 'one is redriven');
is(event() =~ s/\|\d*\|/||/r, 'redrive||worker|key of worker|again', '… which is in the log');
answers(post('worker', 'redrive', tenant => 'globex', max_actions => 5, rate => 100), 200, { redriven => 1, skipped => 0 }, 'the rest of a tenant');
is(pages('boss', 'dead_letters', 'dead_letters', 'original_action_id'), 'a-9', '… and nothing else');

#
# Lineage.
#

is(pages('boss', 'lineage/a-9', 'lineage', 'state'), 'original dead', 'an action and its replay');
my $replay = get('boss', 'lineage/a-9')->{json}{lineage}[1]{id};
is_deeply(get('boss', 'lineage/a-9')->{json}{lineage},
	decode_json(sql(q{SELECT jsonb_agg(to_jsonb(l)) FROM acteon_replay_lineage('a-9') AS l})), '… as the function has it');
is_deeply(get('boss', "lineage/$replay")->{json}, get('boss', 'lineage/a-9')->{json}, '… by the id of the replay, too');
is_deeply(get('boss', 'lineage/a%2F%C3%A9')->{json}, { lineage => [] }, 'an action that was never replayed');
is_deeply(get('boss', 'lineage/a-9', target => 'production')->{json}, get('boss', 'lineage/a-9')->{json}, 'to a target');
is(pages('boss', 'lineage/a-9?limit=1', 'lineage', 'state'), 'original | dead | ', '… page by page');
is(pages('boss', "lineage/$replay?limit=1&target=production", 'lineage', 'id'), "a-9 | $replay | ", '… of the same call');
is(get('boss', 'lineage/a-9', cursor => 'x')->{json}{lineage}[0]{state}, 'original', 'behind an action that is not there any more it begins anew');
is(get('boss', 'lineage/a-9', limit => 1_001)->{headers}{'acteon-limit'}, '1000', 'there are bounds');
is_deeply(get($_, 'lineage/a-9')->{json}, { lineage => [] }, "$_ sees none of it") foreach qw(op_globex nobody);

#
# The log.
#

is(pages('boss', "batches/$one/log?limit=3", 'log', 'event') =~ s/ \| / /gr, sql("SELECT string_agg(event, ' ' ORDER BY id DESC) FROM acteon_replay_log WHERE batch_id = $one"), 'the log of a batch');
is_deeply(get('boss', 'log', limit => 1000)->{json}{log},
	decode_json(sql(q{SELECT jsonb_agg(to_jsonb(l) - 'role_oid' ORDER BY id DESC) FROM acteon_replay_log AS l})), 'all of the log, for an admin of everything');
is(pages('boss', 'log?limit=5', 'log', 'id') =~ s/ \| / /gr, sql("SELECT string_agg(id::text, ' ' ORDER BY id DESC) FROM acteon_replay_log"), '… page by page');
unlike(get('Op Acme', 'log')->{body}, qr/globex|op_globex|worker/, 'the log of acme tells nothing of globex');
unlike(get('op_globex', 'log')->{body}, qr/acme|secret|Op Acme|boss/i, '… nor the other way');
is_deeply(get('nobody', 'log')->{json}, { log => [] }, 'who has no grant reads none');
refused(get($_, "batches/$one/log"), 404, qr/^batch $one does not exist$/, "$_: there is no log of what is not seen") foreach qw(op_globex nobody);
refused(get('boss', 'batches/99999/log'), 404, qr/^batch 99999 does not exist$/, 'nor of what does not exist');
refused(get('boss', 'log', limit => -1), 400, qr/limit/, 'a negative limit');

#
# Handing over.
#

answers(post('boss', "batches/$two/hand_over", role => 'Op Acme', reason => 'shift'), 200, { batch_id => 0 + $two, handed_to => 'Op Acme' }, 'a batch is handed over');
is(shown($two, 'handed_to'), 'Op Acme', '… to that role');
is(event(), "hand_over|$two|boss|key of boss|shift", '… and in the log');
refused(post('boss', "batches/$two/hand_over", role => $_), 400, qr/does not exist/, "there is no role $_") foreach 'op acme', 'x; y', '"Op Acme"';
refused(post('boss', "batches/$two/hand_over"), 400, qr/^role is required$/, 'to nobody');
refused(post('boss', "batches/$two/hand_over", role => 'op_globex'), 403, qr/./, 'to a role that may not steer it');

#
# Everything at once.
#

# Batches that go on, or could, of one tenant alone or of any.
sub going_on
{
	my ($tenant) = @_;

	return sql(q{SELECT string_agg(batch_id::text, ' ' ORDER BY batch_id) FROM acteon_replay_batches AS b WHERE state IN ('running', 'interrupted', 'in doubt', 'scheduled')}
		. (defined $tenant ? qq{ AND (SELECT every(tenant = '$tenant') FROM acteon_dispatch_outbox AS o WHERE o.batch_id = b.batch_id)} : ''));
}
sub ids
{
	return join(' ', sort { $a <=> $b } map { $_->{batch_id} } @_);
}
my $going = going_on();
my $theirs = going_on('globex');
isnt($theirs, '', 'something goes on, also of a tenant alone');
refused(post($_, 'pause_all', reason => 'stop'), 403, qr/no batch was paused/, "$_ can pause none") foreach qw(viewer_acme nobody worker);
is(going_on(), $going, '… and does not');
my $paused = post('op_globex', 'pause_all', reason => 'globex is down');
is($paused->{status} == 200 ? ids(@{ $paused->{json}{paused} }) : '', $theirs, 'a role pauses what it may');
is_deeply([ map { $paused->{json}{$_} } qw(busy others unseen) ], [ [], 1, JSON::PP::true ], '… and is told how many others it sees, and that there are some that it does not see');
my $all = post('boss', 'pause_all', reason => 'everything is down');
is(going_on(), '', 'nothing goes on any more');
is(ids(@{ $all->{json}{paused} }, @{ $paused->{json}{paused} // [] }), $going, '… and all that did is in the answers');
like(event(), qr/^pause\|\d+\|boss\|key of boss\|everything is down$/, '… and in the log');
answers(post('boss', 'pause_all', reason => 'again'), 200, { paused => [], busy => [], others => 0, unseen => JSON::PP::false }, 'there is nothing left');
refused(post('viewer_acme', 'resume_all'), 403, qr/no batch was resumed/, 'who may resume none');
is(ids(@{ post('boss', 'resume_all', reason => 'it works')->{json}{resumed} }), $going, 'it goes on');
is(going_on(), $going, '… exactly that');
# One that somebody else holds is named, and the others are paused; what a role sees and may not steer is counted.
my ($held) = split / /, $theirs;
my $holder = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT FROM acteon_replay_batch WHERE id = $held FOR NO KEY UPDATE");
$all = post('boss', 'pause_all', reason => 'everything is down again');
is_deeply([ $all->{status}, $all->{json}{busy} ], [ 200, [ 0 + $held ] ], 'what somebody holds is in the answer');
is(going_on(), $held, '… and the rest is paused');
$holder->query_safe('ROLLBACK');
$holder->quit;
is(ids(@{ post('boss', 'pause_all', reason => 'and now')->{json}{paused} }), $held, '… which another request pauses');
my $refused = post('op_globex', 'resume_all');
is($refused->{status}, 200, 'who may resume none of these may resume others');
cmp_ok($refused->{json}{others}, '>=', 1, '… and is told how many it sees');
post('boss', 'resume_all', reason => 'it works');
refused(post('boss', 'pause_all', x => 1), 400, qr/unknown parameter: x/, 'there are no other parameters');

#
# Who one is, and limits.
#

answers(get('Op Acme', 'me'), 200,
	{   role => 'Op Acme',
		key => 'key of Op Acme',
		grants => [ { grantee => 'Op Acme', role => 'operator', tenants => ['acme'], namespaces => ['*'], providers => ['*'], actions => ['*'], may_patch => JSON::PP::false } ],
		settings => { plan_above => undef, approval_above => undef, require_reason => JSON::PP::false }
	},
	'who one is');
sql('GRANT pg_read_all_data TO nobody; GRANT viewer_acme TO nobody');
is(join(' ', map { $_->{grantee} } @{ get('nobody', 'me')->{json}{grants} }), 'viewer_acme', 'the grants of roles that one is a member of, and no others');
sql('REVOKE pg_read_all_data, viewer_acme FROM nobody');
refused(get('boss', $_, x => 1), 400, qr/^unknown parameter: x$/, "$_ takes no parameters") foreach 'me', 'limits';
sql(q{SELECT acteon_replay_limit_set(provider => 'email', rate => 50, reason => 'contract'), acteon_replay_limit_set(tenant => 'globex', concurrency => 3)});
is(pages('boss', 'limits', 'limits', 'name'), 'email globex', 'limits');
is_deeply(get('boss', 'limits')->{json}{limits}, decode_json(sql('SELECT jsonb_agg(to_jsonb(l)) FROM (SELECT * FROM acteon_replay_limits ORDER BY kind, name) AS l')), '… as the view has them');
is(pages('boss', 'limits?limit=1', 'limits', 'name'), 'email | globex | ', '… page by page');
is(get('boss', 'limits', limit => 9_999)->{headers}{'acteon-limit'}, '1000', 'there are bounds');
is(pages('op_globex', 'limits', 'limits', 'name'), 'globex', 'those of what a grant covers');
is(pages('Op Acme', 'limits', 'limits', 'name'), '', '… and no others');

# Setting and removing them.
sub remove
{
	my ($role, @query) = @_;

	return $client{$role}->request('DELETE', '/v1/replay/limits', query => [@query]);
}

sub limit
{
	my ($kind, $name) = @_;

	return sql("SELECT concat_ws('|', coalesce(rate::text, 'none'), coalesce(concurrency::text, 'none'), breaker, set_by, reason) FROM acteon_replay_limits WHERE kind = '$kind' AND name = '$name'");
}
answers(post('boss', 'limits', provider => 'email', rate => '2.5', concurrency => 7, reason => 'slower'), 200, { kind => 'provider', name => 'email', rate => 2.5, concurrency => 7 }, 'a limit is set');
is(limit('provider', 'email'), '2.5|7|closed|boss|slower', '… as it was asked for');
like(event(), qr/^limit_set\|.*boss\|key of boss\|slower$/, '… and in the log');
answers(post('boss', 'limits', provider => 'email', rate => 'none', breaker_window => 0, breaker_share => '0.9'), 200, { kind => 'provider', name => 'email', rate => undef, concurrency => undef }, 'what is left out is no limit');
is(limit('provider', 'email'), 'none|none|off|boss', '… and a circuit breaker is turned off');
answers(post('op_globex', 'limits', tenant => 'globex', concurrency => 0, reason => 'none goes out'), 200, { kind => 'tenant', name => 'globex', rate => undef, concurrency => 0 }, 'an admin of a tenant limits the tenant');
is(limit('tenant', 'globex'), 'none|0|op_globex|none goes out', '… so that nothing goes out');
answers(post('op_globex', 'limits', tenant => 'globex.eu', rate => 3), 200, qr/globex\.eu/, '… and a tenant below it');
answers(remove('op_globex', tenant => 'globex', reason => 'on again'), 200, { kind => 'tenant', name => 'globex', rate => undef, concurrency => undef }, '… and removes the limit');
is(limit('tenant', 'globex'), 'none|none|op_globex|on again', '… which is none then');
like(event(), qr/^limit_set\|.*op_globex\|key of op_globex\|on again$/, '… and in the log');
{
	my $state = sub { return sql('SELECT string_agg(l::text, chr(10) ORDER BY key) FROM acteon_replay_limit AS l') . sql('SELECT count(*) FROM acteon_replay_log') };
	my $there = $state->();

	refused(post('boss', 'limits', @$_), 400, qr/^a limit needs a rate or a concurrency$/, "nothing to limit: @$_") foreach [ provider => 'email' ], [ provider => 'email', breaker_window => 5 ];
	refused($_->('boss', rate => 5), 400, qr/exactly one of provider and tenant|^unknown parameter: rate/, 'nobody to limit') foreach sub { post(shift, 'limits', @_) }, \&remove;
	refused(post('boss', 'limits', provider => 'email', tenant => 'acme', rate => 5), 400, qr/exactly one of provider and tenant/, 'a provider and a tenant');
	refused(remove('boss'), 400, qr/exactly one of provider and tenant/, 'not all limits are removed at once');
	refused(post('boss', 'limits', provider => 'email', rate => $_), 400, qr/./, "a rate of $_") foreach '', qw(0 -1 NaN many 1e400);
	refused(post('boss', 'limits', provider => 'email', concurrency => $_), 400, qr/^concurrency: expected/, "a concurrency of $_") foreach '', qw(-1 1.5 many 2147483648);
	refused(post('boss', 'limits', provider => 'email', rate => 5, breaker_share => 1), 400, qr/breaker_share/, 'a share that is all');
	refused(post('boss', 'limits', tenant => 'acme', rate => 5, breaker_window => 5), 400, qr/no circuit breaker/, 'a circuit breaker of a tenant');
	refused(post($_, 'limits', provider => 'email', rate => 5), 403, qr/can be limited by admins/, "$_ limits no provider") foreach 'Op Acme', @strangers;
	refused(post($_, 'limits', tenant => 'acme', rate => 5), 403, qr/can be limited by admins/, "$_ limits no other tenant") foreach 'Op Acme', @strangers;
	refused(remove($_, provider => 'email'), 403, qr/can be limited by admins/, "$_ removes no limit") foreach 'Op Acme', @strangers;
	is($http->client->request($_, '/v1/replay/limits', query => [ provider => 'email', $_ eq 'POST' ? (rate => 5) : () ])->{status}, 401, "$_: nobody without a key") foreach qw(POST DELETE);
	refused($client{boss}->request('PUT', '/v1/replay/limits', query => [ provider => 'email' ]), 405, qr/another method/, 'another method');
	is($client{boss}->request('PUT', '/v1/replay/limits')->{headers}{allow}, 'GET, HEAD, POST, DELETE', '… and those that there are');
	refused($client{boss}->request('DELETE', '/v1/replay/limits', query => [ provider => 'email' ], body => '{"provider": "sms"}'), 400, qr/body/, 'a body that says something else');
	is($state->(), $there, '… and nothing was done');
	my @once = ('DELETE', '/v1/replay/limits', query => [ provider => 'email', reason => 'once' ], headers => { 'Idempotency-Key' => 'remove' });
	is($client{boss}->request(@once)->{status}, 200, 'with an Idempotency-Key');
	post('boss', 'limits', provider => 'email', rate => 9);
	is($client{boss}->request(@once)->{headers}{'idempotency-replayed'}, 'true', '… it is removed once');
	like(limit('provider', 'email'), qr/^9\|/, '… and a limit that was set since then stays');
}

#
# A second person, and a batch of any size, step by step.
#

# A batch of boss that has to be approved.
sub asked
{
	my ($provider) = @_;

	sql("SELECT count(make_record('$provider-' || n, provider => '$provider')) FROM generate_series(1, 7) AS n");
	sql("SET client_min_messages = error; SET acteon_replay.approval_above = 3; SET SESSION AUTHORIZATION boss; CALL acteon_replay_all(provider => '$provider', chunk => 3)");
	return split /\|/, sql('SELECT batch_id, plan FROM acteon_replay_batches ORDER BY batch_id DESC LIMIT 1');
}
my ($big, $plan) = asked('big');
is(get('boss', "batches/$big")->{json}{kind} . ' ' . shown($big, 'state'), 'all awaiting approval', 'a batch waits for a second person');
is(pages('boss', 'batches?kind=all&state=awaiting+approval', 'batches', 'batch_id'), $big, '… and is found by that');
refused(post('boss', "batches/$big/continue"), 422, qr/is awaiting approval/, 'not before');
refused(post('boss', "batches/$big/approve", plan => $plan), 403, qr/must be approved by a second person/, 'not by the first person');
refused(post($_, "batches/$big/approve", plan => $plan), 403, qr/can be approved by admins/, "not by $_") foreach 'Op Acme', 'op_globex', 'viewer_acme';
refused(post('boss_2', "batches/$big/approve"), 400, qr/^plan is required$/, 'not without its plan');
refused(post('boss_2', "batches/$big/approve", plan => '0123456789abcdef'), 400, qr/plan is not that of batch $big/, 'not another plan');
answers(post('boss_2', "batches/$big/approve", plan => $plan, reason => 'looked at it'), 200, { batch_id => 0 + $big, approved => JSON::PP::true }, 'by another key');
is(event(), "approve|$big|boss_2|key of boss_2|looked at it", '… which is in the log');
refused(post('boss_2', "batches/$big/approve", plan => $plan), 422, qr/not awaiting approval/, 'once');
refused(post('boss_2', "batches/$big/continue"), 403, qr/was approved for the role that started it/, 'it is replayed by the role that asked');
refused(post('boss', "batches/$big/continue", chunk => $_), 400, qr/^chunk: expected a whole number from 1 to 10000$/, "a chunk of $_") foreach 0, 10001, 'all';
my %progress = (batch_id => 0 + $big, failed => 0, skipped => 0);
answers(post('boss', "batches/$big/continue", reason => 'go'), 200, { %progress, replayed => 3, is_complete => JSON::PP::false }, 'a chunk');
is(sql(q{SELECT role_name || '|' || api_key || '|' || reason FROM acteon_replay_log WHERE event = 'continue'}), 'boss|key of boss|go', '… which is in the log');
my %step = (headers => { 'Idempotency-Key' => 'step' }, query => [ chunk => 2 ]);
answers($client{boss}->post("/v1/replay/batches/$big/continue", %step), 200, { %progress, replayed => 5, is_complete => JSON::PP::false }, 'another one');
answers($client{boss}->post("/v1/replay/batches/$big/continue", %step), 200, { %progress, replayed => 5, is_complete => JSON::PP::false }, '… once with an Idempotency-Key');
is(shown($big, "state || ' ' || replayed"), 'interrupted 5', 'what is left is seen');
post('boss', "batches/$big/pause");
answers(post('boss', "batches/$big/continue"), 200, { %progress, replayed => 5, is_complete => JSON::PP::false }, 'nothing while it is paused');
post('boss', "batches/$big/resume");
answers(post('boss', "batches/$big/continue"), 200, { %progress, replayed => 7, is_complete => JSON::PP::true }, 'the rest') foreach 1 .. 2;
is(sql("SELECT count(*) || ' ' || count(DISTINCT original_action_id) FROM acteon_dispatch_outbox WHERE batch_id = $big"), '7 7', 'each action was replayed once');
is(shown($big, 'state'), 'running', '… and it runs');
refused(post('boss', "batches/$two/continue"), 422, qr/is not one of acteon_replay_all/, 'what was enqueued at once');

# The server's role alone, or with the key of the first person, is no second person.
($big, $plan) = asked('other');
my $hash = sql(q{SELECT encode(key_sha256, 'hex') FROM acteon_api_keys WHERE name = 'key of boss'});
foreach my $login ('', "SELECT acteon_api_login('\\x$hash');")
{
	my ($status, undef, $error) = $node->psql('postgres', "SET client_min_messages = error; SET SESSION AUTHORIZATION acteon_http; BEGIN; $login SET LOCAL ROLE boss_2; SELECT acteon_replay_approve($big, '$plan')");

	like($error, qr/must be approved by a second person/, 'not by the server' . ($login ? ' with the first key' : ''));
}
# Whoever creates keys of both roles is one person, though each key has a role of its own.
sql('CREATE ROLE keeper IN ROLE boss, boss_2; GRANT EXECUTE ON FUNCTION acteon_api_key_create TO keeper');
$client{keeper} = $http->client(sql(q{SET ROLE keeper; SELECT acteon_api_key_create('kept', 'boss_2')}));
refused(post('keeper', "batches/$big/approve", plan => $plan), 403, qr/must be approved by a second person/, 'not by who could have the first key, too');
is(shown($big, 'state'), 'awaiting approval', '… indeed');
refused(post('boss', "batches/$big/hand_over", role => 'boss_2'), 422, qr/awaiting approval/, 'it cannot be handed over');
answers(post('boss', "batches/$big/cancel"), 200, qr/cancelled/, 'but withdrawn');

#
# What strangers do is nothing.
#

my $before = sql('SELECT count(*) || md5(string_agg(b::text, chr(10) ORDER BY id)) FROM acteon_replay_batch AS b') . sql('SELECT count(*) FROM acteon_replay_log');
foreach my $role (@strangers)
{
	my %calls = (
		rate => [ rate => '0.001' ],
		start => [ start_at => '2999-01-01T00:00:00Z' ],
		settle => [ decision => 'cancel', reason => 'x' ],
		approve => [ plan => 'x' ],
		hand_over => [ role => $role ],
		continue => [ chunk => 1 ],
		patch => [ patch => '{"a": 1}' ]);

	refused(post($role, "batches/$one/$_", @{ $calls{$_} }), $_ eq 'approve' ? qr/403|422/ : 403, qr/./, "$role may not: $_")
		foreach grep { $_ ne 'approve' } sort keys %calls;
	refused(post($role, "batches/99999/$_", @{ $calls{$_} }), 404, qr/99999/, "$role: there is no such batch: $_") foreach sort keys %calls;
	isnt(post($role, "batches/$one/approve", plan => 'x')->{status}, 200, "$role may not: approve");
	is($http->client->post("/v1/replay/batches/$one/$_")->{status}, 401, "nobody may without a key: $_") foreach sort keys %calls;
}
is(sql('SELECT count(*) || md5(string_agg(b::text, chr(10) ORDER BY id)) FROM acteon_replay_batch AS b') . sql('SELECT count(*) FROM acteon_replay_log'), $before, '… and nothing was done');

#
# Idempotency keys.
#

my %again = (headers => { 'Idempotency-Key' => 'once' }, query => [ rate => 7 ]);
my $first = $client{boss}->post("/v1/replay/batches/$two/rate", %again);
answers($first, 200, qr/running/, 'with an Idempotency-Key');
sql(qq{SELECT acteon_replay_set_rate($two, 3)});
my $second = $client{boss}->post("/v1/replay/batches/$two/rate", %again);
is($second->{body} . $second->{headers}{'idempotency-replayed'}, $first->{body} . 'true', '… gets the first answer again');
is(shown($two, 'rate'), 3, '… and does nothing');

is($http->stop, 0, 'the server ends well');
done_testing();
