# Bulk replays through the HTTP server as the SDKs make them, without a cursor: what the
# caller cannot replay never keeps a call from what is behind it, however much it is.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;

my $node = new_server('window', conf => "fsync = off\n");

sub sql { return $node->safe_psql('postgres', $_[0]) }

new_http_role($node);
sql(q{
	CREATE ROLE op_acme;
	CREATE ROLE boss;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('op_acme', 'operator', '{acme}', '{*}', '{*}', '{*}'), ('boss', 'admin', '{*}', '{*}', '{*}', '{*}');
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions, may_patch) VALUES ('op_acme', 'operator', '{initech}', '{*}', '{*}', '{*}', true);
});
my $http = start_http($node);
my %client = map { $_ => $http->client(api_key($node, $_, $_)) } qw(op_acme boss);

# Make records of a chain, which is the filter: so many, one a second from a second on, the ids from the name.
sub records
{
	my ($chain, $name, $count, $second, %more) = @_;
	my $more = join('', map { ", $_ => $more{$_}" } sort keys %more);

	sql("SELECT count(make_record('$chain-$name-' || to_char(n, 'FM00000'), chain_id => '$chain', at => '2026-01-01 12:00+00'::timestamptz + ($second + n) * interval '1 s'$more)) FROM generate_series(1, $count) AS n");
	return;
}
my $globex = "'globex'";

# What a call of the SDK's form has done.
my %enqueued;
sub called
{
	my ($query, $role) = @_;
	my $answer = $client{ $role // 'op_acme' }->post("/v1/audit/replay?$query");
	my $results = $answer->{json}{results} // [];

	is($answer->{status}, 200, "200 for $query") or diag($answer->{body});
	is(scalar @$results, ($answer->{json}{replayed} // 0) + ($answer->{json}{failed} // 0), '… with a result for each that was tried');
	$enqueued{ $_->{original_action_id} }++ foreach grep { $_->{success} && !defined $role } @$results;
	$answer->{counts} = join(' ', map { $answer->{json}{$_} // '-' } qw(replayed failed skipped));
	return $answer;
}

# Another tenant's records in front.
records('sixty', 'globex', 60, 0, tenant => $globex);
records('sixty', 'acme', 70, 60);
is(sql(q{SET ROLE op_acme; SELECT replayed, failed, skipped FROM acteon_replay_bulk('{"chain_id": "sixty"}'::jsonb) AS a, jsonb_to_record(a) AS r (replayed int, failed int, skipped int)}), '0|0|50', 'in SQL, which has the cursor, they take the places');
is(called('chain_id=sixty')->{counts}, '50 0 60', '60 records of another tenant in front: the limit is full');
my $answer = called('chain_id=sixty');
is($answer->{counts}, '20 0 60', '… the next call replays the rest');
ok(!exists $answer->{headers}{'acteon-next-cursor'}, '… and is at the end');
is(called('chain_id=sixty')->{counts}, '0 0 60', '… and then there is nothing left');
is(join(' ', grep { /globex/ } sort keys %enqueued), '', 'nothing of the other tenant was replayed, or is named');
is(sql(q{SELECT string_agg(DISTINCT tenant, ' ') FROM acteon_dispatch_outbox}), 'acme', '… nor in the outbox');
is(called('chain_id=sixty&limit=1', 'boss')->{counts}, '1 0 0', 'an admin replays it');

records('thousands', 'globex', 5000, 0, tenant => $globex);
records('thousands', 'acme', 3, 5000);
is(called('chain_id=thousands')->{counts}, '3 0 5000', '5,000 records in front');
is(called('chain_id=thousands&limit=1&include_replayed=true')->{counts}, '1 0 5000', '… with a limit of 1');
is(called('chain_id=thousands&newest_first=true&include_replayed=true&max_generation=9&limit=2')->{counts}, '2 0 0', 'what is not reached does not count');

# Whatever else the caller cannot replay, and what is passed over anyway.
my @fronts = (
	[ 'payload', { payload => 'NULL' }, '3 0 60', 'without a payload' ],
	[ 'redacted', { payload => q{'"[REDACTED]"'} }, '3 50 10', 'redacted: as many failures as the limit are told' ],
	[ 'executed', { outcome => q{'executed'}, details => q{'{"status": "Success"}'} }, '3 0 60', 'that took effect' ],
	[ 'internal', { provider => q{'chain'} }, '3 50 10', "of the gateway's own" ],
	[ 'replay', { metadata => q{'{"replayed_from": "x"}'} }, '3 50 10', 'that are replays themselves', '&max_depth=1' ],
	[ 'expired', { metadata => q{'{"__ends_at": "2026-02-01T00:00:00Z"}'} }, '3 0 60', 'that have expired' ],
	[ 'patch', {}, '3 0 60', 'that the caller may not patch', '&patch=' . encode_uri('{"a": 1}') ]);
foreach my $front (@fronts)
{
	my ($name, $more, $counts, $what, $query) = @$front;

	records($name, 'front', 60, 0, %$more);
	records($name, 'good', 3, 60, tenant => q{'initech'});
	$query = "chain_id=$name" . ($query // '');
	is(called($query)->{counts}, $counts, "60 records $what");
	is(called($query)->{counts} =~ s/^0 //r, $counts =~ s/^3 //r, '… the next call does the same, without what was replayed');
}
is(sql(q{SELECT DISTINCT failed || ' ' || skipped FROM acteon_replay_batch WHERE query ->> 'chain_id' = 'redacted'}), '50 10', 'the batch counts them so');
is(sql(q{SELECT count(*) FROM acteon_replay_items((SELECT min(id) FROM acteon_replay_batch WHERE query ->> 'chain_id' = 'redacted'), 'refused')}), '50', '… and keeps the failures');

# A client that calls until nothing is replayed gets all there is, once each.
records('mixed', 'a', 400, 0, tenant => q{CASE WHEN n % 5 > 0 THEN 'globex' ELSE 'acme' END}, payload => q{CASE n % 15 WHEN 0 THEN '"[REDACTED]"'::jsonb WHEN 5 THEN NULL ELSE '{"a": 1}' END});
my $wanted = sql(q{SELECT count(*) FROM acteon_audit WHERE action_id ~ '^mixed' AND tenant = 'acme' AND action_payload = '{"a": 1}'});
my $calls = 0;
while ($calls < 50 && called('chain_id=mixed&limit=7')->{json}{replayed} > 0)
{
	$calls++;
}
is($calls, int(($wanted + 6) / 7), 'so many calls as pages');
is(scalar(grep { /^mixed/ } keys %enqueued), $wanted, '… replay all there is');
is(scalar(grep { /^mixed/ && $enqueued{$_} != 1 } keys %enqueued), 0, '… once each');

# One that goes on at the cursor does, too.
sub pages
{
	my ($query, $role) = @_;
	my ($cursor, @seen);
	my $sum = 0;

	foreach (1 .. 50)
	{
		my $page = called($query . (defined $cursor ? "&cursor=$cursor" : ''), $role);

		push @seen, map { $_->{original_action_id} } grep { $_->{success} } @{ $page->{json}{results} };
		$sum += $page->{json}{skipped};
		$cursor = $page->{headers}{'acteon-next-cursor'};
		last if !defined $cursor;
	}
	return "@seen[0, -1] " . scalar(@seen) . " $sum";
}
is(pages('chain_id=mixed&limit=7&include_replayed=true'), join(' ', sql(q{SELECT min(action_id), max(action_id), count(*) FROM acteon_audit WHERE action_id ~ '^mixed' AND tenant = 'acme' AND action_payload = '{"a": 1}'}) =~ s/\|/ /gr,
	sql(q{SELECT count(*) FROM acteon_audit WHERE action_id ~ '^mixed' AND (tenant = 'globex' OR action_payload IS NULL)})), 'page by page, all is replayed and counted once');

# Something in front of very many: the call ends, and the next one gets further, with the cursor or without.
records('far', 'first', 1, 0);
records('far', 'globex', 12000, 1, tenant => $globex);
records('far', 'last', 60, 12001);
my $first = called('chain_id=far');
is($first->{counts}, '1 0 10000', 'a call that has something examines 10,000 more records');
my $cursor = $first->{headers}{'acteon-next-cursor'};
ok(defined $cursor, '… and tells where it has ended');
is(called("chain_id=far&limit=10&cursor=$cursor")->{counts}, '10 0 2000', '… where another goes on');
is(called('chain_id=far')->{counts}, '50 0 12000', 'one that has nothing yet goes on by itself');

# A preview does what the call then does, and so does its plan, whoever carries it out.
records('plan', 'globex', 1100, 0, tenant => $globex);
records('plan', 'redacted', 60, 1100, payload => q{'"[REDACTED]"'});
records('plan', 'good', 90, 1160);
my $preview = $client{op_acme}->post('/v1/audit/replay?chain_id=plan&dry_run=true')->{json};
is("$preview->{matched} $preview->{replayable} $preview->{not_replayed}{no_grant} $preview->{not_replayed}{redacted}", '1210 50 1100 60', 'a preview');
is(called("plan=$preview->{plan}&chain_id=plan")->{counts}, '50 50 1110', '… is what its plan replays, also beside its parameters');
$preview = $client{op_acme}->post('/v1/audit/replay?chain_id=plan&dry_run=true&limit=20')->{json};
is("$preview->{matched} $preview->{replayable}", '1230 20', 'another one passes over what was replayed');
is($client{op_acme}->post("/v1/audit/replay?plan=$preview->{plan}&dry_run=true")->{json}{replayable}, 20, '… as does a preview of its plan');
is($node->safe_psql('postgres', "SET ROLE op_acme; CALL acteon_replay_all(plan => '$preview->{plan}', chunk => 7)") =~ s/^\d+//r, '|20|60|1100', '… and in SQL it replays the same, in chunks');
is(sql(q{SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id ~ '^plan-good'}), 70, '… and nothing else');
$preview = $node->safe_psql('postgres', q{SET ROLE op_acme; SELECT acteon_replay_preview('{"chain_id": "plan", "limit": 50}'::jsonb) ->> 'plan'});
is(called("plan=$preview")->{counts}, '0 0 50', 'a plan that was made in SQL counts as SQL does');
is($node->safe_psql('postgres', q{SET ROLE op_acme; CALL acteon_replay_all('{"chain_id": "plan", "limit": 15, "fill_limit": true}'::jsonb, chunk => 100)}) =~ s/^\d+//r, '|15|60|1100', 'in SQL it can be asked for');

ok(!scalar(grep { /globex/ } keys %enqueued), 'nothing of the other tenant was ever named to the operator') or diag(join(' ', grep { /globex/ } keys %enqueued));

is($http->stop, 0, 'the server ends well');
done_testing();
