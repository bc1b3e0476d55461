# Audit tables of other databases, set up as doc/scale.md says: by postgres_fdw, in shards and by a subscription.  What
# is replayed from them is what a local table gives, in few round trips; what has not arrived yet does not look lost;
# and the extension moves to another server by logical replication.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Pages;

my $conf = "fsync = off\nautovacuum = off\nwal_level = logical\nmax_wal_size = 2GB\n";
my $gateway = PostgreSQL::Test::Cluster->new('gateway');
$gateway->init(allows_streaming => 'logical');
$gateway->append_conf('postgresql.conf', $conf);
$gateway->start;

# The SQL blocks of the page that begin with this comment, with the servers of the test.
sub recipe
{
	my ($name, $which) = @_;
	my @blocks = grep { /^-- $name\n/ } blocks('doc/scale.md', 'sql');
	my $host = $gateway->host;
	my $port = $gateway->port;

	die "doc/scale.md has no such block: $name" if !defined $blocks[$which];
	return $blocks[$which] =~ s/host 'gateway\.example\.com', dbname 'acteon'/host '$host', port '$port', dbname 'postgres'/r
		=~ s/host=gateway\.example\.com dbname=acteon/host=$host port=$port dbname=postgres/r;
}

# A server for an operations database, without anything in it.
sub new_operations
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', $conf);
	$node->start;
	return $node;
}

# The gateway's table in a database, with records: failed and executed ones over two days, some with a second record of
# the same action; 300 of one time; intents, of which every third is lone; and webhooks that failed.  Every shard has its own.
sub fill_gateway
{
	my ($database, $shard, $shards) = @_;

	$gateway->safe_psql($database, $_) foreach map { fixture($_) } qw(audit_table audit_indexes);
	$gateway->safe_psql($database, qq{
		INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details, dispatched_at, completed_at, duration_ms)
		SELECT md5(n || o), 'a-' || n, 'prod', 'acme-' || n % 7 || CASE WHEN n % 28 = 3 THEN '.eu' ELSE '' END, 'email', 'send', 'allow', o, jsonb_build_object('n', n % 5), '{}', CASE WHEN n % 90 = 1 AND o = 'executed' THEN '{"status": "Failure"}' ELSE '{"status": "Success"}' END::jsonb || CASE o WHEN 'failed' THEN jsonb_build_object('message', 'no answer ' || n % 5) ELSE '{}' END,
			CASE WHEN n BETWEEN 1001 AND 1300 THEN now() - interval '1 day' ELSE now() - interval '2 days' + n * interval '80 s' END, now(), 1
		FROM (SELECT n, CASE WHEN n % 3 = 0 THEN 'failed' WHEN n % 40 = 0 THEN 'circuit_open' WHEN n % 10 = 7 THEN 'pending' ELSE 'executed' END AS o FROM generate_series(1, 2000) AS n
			UNION ALL SELECT n, 'executed' FROM generate_series(1, 2000) AS n WHERE n % 10 = 7 AND n % 3 = 1 OR n % 60 = 0
			UNION ALL SELECT 3000, 'executed') AS r
		WHERE n % $shards = $shard;
		ANALYZE acteon_audit;});
}

# Replays everything that a query selects, in chunks, and returns what was enqueued, in order.
sub replays
{
	my ($node, $table, $arguments) = @_;

	return $node->safe_psql('postgres', qq{
		SET client_min_messages = error;
		SET acteon_replay.audit_table = '$table';
		SET acteon_replay.audit_is_live = on;
		TRUNCATE acteon_replay_batch, acteon_replay_refused, acteon_dispatch_outbox, acteon_dispatch_segment, acteon_dispatch_delivery, acteon_replay_tally, acteon_dispatch_action;
		CALL acteon_replay_all($arguments, chunk => 100, include_replayed => true);
		SELECT string_agg(original_action_id, ' ' ORDER BY id) FROM acteon_dispatch_outbox;}) =~ s/.*\n//sr;
}

my %queries = (
	'of one outcome' => q{outcome => 'failed'},
	'from the newest' => q{outcome => 'failed', newest_first => true},
	'of two outcomes' => q{outcome => 'failed,circuit_open'},
	'of a tenant' => q{tenant => 'acme-3'},
	'intents' => q{outcome => 'pending', allow_unproven => true, allow_partial => true},
	'intents and others' => q{outcome => 'pending,failed', allow_unproven => true, allow_partial => true},
	'lost ones' => q{lost => true},
	'lost ones of a tenant, not all' => q{lost => true, tenant => 'acme-3', max_records => 70},
	'by what has no index' => q{verdict => 'allow', max_records => 250},
	'hand-picked' => "action_ids => '{" . join(',', map { 'a-' . $_ * 3 } 1 .. 400) . "}', exclude_ids => '{a-300}'",
	'hand-picked lost ones' => "lost => true, action_ids => '{" . join(',', map { "a-$_" } 1 .. 900) . "}', exclude => '{\"payload\": {\"n\": 1}}'",
	'all but many' => "outcome => 'failed', exclude_ids => '{" . join(',', map { "a-$_" } 1 .. 1500) . "}'",
	'all but some' => q{outcome => 'failed', exclude => '{"tenant_tree": "acme-3", "error_like": "%1"}'},
	'a tree of tenants' => q{outcome => 'failed', tenant_tree => 'acme-3'},
	'lost ones by their messages' => q{lost => true, error_like => '%answer _'},
	'lost ones by their payloads' => q{lost => true, payload => '{"n": 3}', payload_path => '$.n ? (@ > 2)'});

# What each query and a preview give is what they give of a local table with the same records.
sub same_as_local
{
	my ($node, $table, $name) = @_;

	$node->safe_psql('postgres', "DROP TABLE IF EXISTS plain; CREATE TABLE plain AS SELECT * FROM $table; CREATE INDEX ON plain (action_id); ANALYZE plain");
	foreach my $query (sort keys %queries)
	{
		my $expected = replays($node, 'public.plain', $queries{$query});

		cmp_ok(scalar(split(' ', $expected)), '>', 20, "$name, $query: there are some") if $query ne 'intents';
		is(replays($node, $table, $queries{$query}), $expected, "$name, $query: as of a local table");
	}
	my @previews = map {
		$node->safe_psql('postgres', qq{
			SET client_min_messages = error; SET acteon_replay.audit_table = '$_'; SET acteon_replay.audit_is_live = on;
			SELECT section, item, matched, replayable FROM acteon_replay_preview(outcome => 'pending', allow_unproven => true, sample => 0) WHERE section NOT IN ('query', 'plan');})
	} ('public.plain', $table);
	isnt($previews[0], '', 'a preview has something');
	is($previews[1], $previews[0], "$name: a preview of intents, too");
}

# The statements that the gateway's server has got since a place in its log.
sub remote_statements
{
	my ($from) = @_;

	return slurp_file($gateway->logfile, $from) =~ /DECLARE \w+ CURSOR FOR\s+(.*)/g;
}

#
# By postgres_fdw.
#

fill_gateway('postgres', 0, 1);
my $fdw = new_operations('fdw');
$gateway->safe_psql('postgres', recipe('gateway', 1));
$fdw->safe_psql('postgres', recipe('operations', 1));
is($fdw->safe_psql('postgres', q{SELECT success FROM acteon_replay('a-3')}), 't', 'a single action is replayed from a foreign table');
like($fdw->safe_psql('postgres', q{SET client_min_messages = error; SELECT success FROM acteon_replay('a-6', from_time => now() - interval '3 days')}), qr/t$/, '… and from a range of times');
same_as_local($fdw, 'public.acteon_audit', 'foreign table');

# The foreign server sorts, and is asked once a page for what other records say.
{
	my $from = -s $gateway->logfile;
	my $count = $fdw->safe_psql('postgres', q{
		SET client_min_messages = error; SET acteon_replay.audit_is_live = on;
		SELECT replayed FROM acteon_replay_bulk(outcome => 'pending', allow_unproven => true, allow_partial => true, include_replayed => true, max_records => 1000, canary => 'off')});
	my @statements = remote_statements($from);

	cmp_ok($count, '>', 50, 'lone intents are replayed');
	cmp_ok(scalar(@statements), '<=', 12, 'in a few round trips') || diag(join("\n", @statements));
	is(scalar(grep { /ORDER BY dispatched_at ASC/ } @statements), 1, '… in which the records come in order');
	$from = -s $gateway->logfile;
	$fdw->safe_psql('postgres', q{SET client_min_messages = error; SELECT replayed FROM acteon_replay_bulk(lost => true, include_replayed => true, max_records => 300, canary => 'off')});
	@statements = remote_statements($from);
	cmp_ok(scalar(@statements), '<=', 15, 'so are lost ones') || diag(join("\n", @statements));
	is(scalar(grep { !/WHERE/ || !/outcome|action_id/ } @statements), 0, '… of which the foreign server selects') || diag(join("\n", @statements));
}

# Which filters the foreign server applies, and which are applied here to what it sends.
foreach my $case (
	[ q{action_ids => '{a-3,a-6}'}, qr/action_id = ANY/ ],
	[ q{outcome => 'failed', exclude_ids => '{a-3,a-6}'}, qr/NOT|<> ALL/ ],
	[ q{outcome => 'failed', exclude => '{"tenant_tree": "acme-3", "payload": {"n": 1}, "provider": "sms"}'}, qr/CASE WHEN/ ],
	[ q{outcome => 'failed', tenant_tree => 'acme-3'}, qr/\^@/ ],
	[ q{outcome => 'failed', payload => '{"n": 3}'}, qr/@>/ ],
	[ q{outcome => 'failed', payload_path => '$.n ? (@ == 3)'}, qr/@\?/ ],
	[ q{outcome => 'failed', error_like => '%1'}, undef, qr/message/ ])
{
	my ($filters, $there, $here) = @$case;
	my $from = -s $gateway->logfile;

	$fdw->safe_psql('postgres', "SET client_min_messages = error; SELECT replayed FROM acteon_replay_bulk($filters, include_replayed => true, max_records => 10)");
	my $statements = join("\n", remote_statements($from));

	like($statements, $there, "$filters: applied by the foreign server") if defined $there;
	unlike($statements, $here, "$filters: applied here") if defined $here;
}
is($fdw->safe_psql('postgres', q{SELECT note FROM acteon_replay_preview(action_ids => '{a-3,a-6,none}') WHERE section = 'not found'}), 'no record has them: "none"', 'an id that has no record on the foreign server is told');

# Nothing can be concluded from what is missing in it, unless it is said.
my $pending = q{SELECT replayed FROM acteon_replay_bulk(outcome => 'pending', allow_unproven => true, allow_partial => true)};
like(fails_with($fdw, $pending), qr/^55000: intents cannot be replayed from audit table public\.acteon_audit/, 'intents of a foreign table are refused');
like(fails_with($fdw, q{SELECT acteon_replay('a-17', allow_unproven => true, allow_partial => true)}), qr/^55000: intents cannot/, '… and a single one');
my $tells = q{SELECT coalesce(acteon_outbox_audit_tells(now() - interval '%s', now() - interval '%s'), 'recorded nowhere')};
like($fdw->safe_psql('postgres', sprintf($tells, '1 day', '1 day')), qr/is a copy/, 'nor is a doubt ended by it');

# Where it is said, time is what the table knows: the newest record is as old as the gateway takes, after the end.
my $newest = q{extract(epoch FROM now() - (SELECT max(dispatched_at) FROM acteon_audit))::int};
my $age = $fdw->safe_psql('postgres', "SELECT $newest");
foreach my $case ([ 299, qr/later/ ], [ 320, qr/recorded nowhere/ ])
{
	my ($before, $expected) = @$case;
	my $ago = ($age + $before) . ' s';

	like($fdw->safe_psql('postgres', 'SET acteon_replay.audit_is_live = on;' . sprintf($tells, $ago, $ago)), $expected, "the newest record is $before s after the end of a request");
}

# What is no table.
$fdw->safe_psql('postgres', q{CREATE VIEW seen AS SELECT * FROM acteon_audit; CREATE MATERIALIZED VIEW kept AS SELECT * FROM acteon_audit});
like(fails_with($fdw, q{SET acteon_replay.audit_table = 'public.seen'; SELECT acteon_replay('a-3')}), qr/^42809: audit table public\.seen is a view/, 'a view is refused');
like(fails_with($fdw, q{SET acteon_replay.audit_table = 'public.kept'; SELECT acteon_replay('a-3')}), qr/^42809: audit table public\.kept is a materialized view/, '… and so is a materialized one');

#
# Shards, in two databases of that server.
#

my $shards = new_operations('shards');
foreach my $shard (1, 2)
{
	$gateway->safe_psql('postgres', "CREATE DATABASE shard_$shard");
	fill_gateway("shard_$shard", $shard - 1, 2);
	$shards->safe_psql('postgres', "CREATE EXTENSION IF NOT EXISTS postgres_fdw; CREATE SERVER shard_$shard FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '"
		. $gateway->host . "', port '" . $gateway->port . "', dbname 'shard_$shard'); CREATE USER MAPPING FOR CURRENT_USER SERVER shard_$shard");
}
$shards->safe_psql('postgres', recipe('shards', 0) . 'CREATE EXTENSION acteon_replay;');
is($shards->safe_psql('postgres', q{SELECT string_agg(success::text, ' ') FROM unnest('{a-3,a-6}'::text[]) AS id CROSS JOIN LATERAL acteon_replay(id)}), 'true true', 'single actions of both shards are replayed');
same_as_local($shards, 'public.acteon_audit', 'shards');
like(fails_with($shards, $pending), qr/^55000: intents cannot be replayed/, 'intents of shards are refused');
# As partitions: by a hash of a column by which they are not divided, so without filters on it.
$shards->safe_psql('postgres', q{
	CREATE TABLE parts (LIKE acteon_audit) PARTITION BY HASH (id);
	ALTER FOREIGN TABLE shard_1.acteon_audit NO INHERIT acteon_audit; ALTER FOREIGN TABLE shard_2.acteon_audit NO INHERIT acteon_audit;
	ALTER TABLE parts ATTACH PARTITION shard_1.acteon_audit FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	ALTER TABLE parts ATTACH PARTITION shard_2.acteon_audit FOR VALUES WITH (MODULUS 2, REMAINDER 1);});
{
	my $from = -s $gateway->logfile;
	my $found = replays($shards, 'public.parts', q{outcome => 'failed', max_records => 90});
	my @pages = grep { /ORDER BY dispatched_at ASC/ } remote_statements($from);

	is($found, replays($shards, 'public.plain', q{outcome => 'failed', max_records => 90}), 'foreign partitions: as of a local table');
	is(scalar(@pages), 2, '… each asked in order, once for the page') || diag(join("\n", @pages));
}
$shards->stop;

#
# By a subscription.
#

my $copy = new_operations('copy');
$gateway->safe_psql('postgres', recipe('gateway', 0));
{
	local %ENV = (%ENV, GATEWAY => $gateway->connstr('postgres'), OPERATIONS => $copy->connstr('postgres'));
	my ($command) = blocks('doc/scale.md', 'sh');

	ok(run_log([ 'sh', '-ec', $command ]), 'the definition of the table is copied');
}
$copy->safe_psql('postgres', recipe('operations', 0));

sub caught_up
{
	$copy->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_subscription_rel WHERE srsubstate = 'r'}) or die 'the table is not copied';
	$gateway->wait_for_catchup('acteon_audit');
}

caught_up();
same_as_local($copy, 'public.acteon_audit', 'subscribed table');
like(fails_with($copy, $pending), qr/^55000: intents cannot be replayed from audit table public\.acteon_audit/, 'intents of a subscribed table are refused');
like($copy->safe_psql('postgres', sprintf($tells, '1 day', '1 day')), qr/is a copy/, 'nor is a doubt ended by it');

# It lags: five intents have an outcome that it does not know.  Even where it counts as live, they do not look lost.
sub insert_records
{
	my ($outcome, $ago) = @_;

	$gateway->safe_psql('postgres', qq{INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details, dispatched_at, completed_at, duration_ms)
		SELECT '$outcome-' || n, 'new-' || n, 'prod', 'acme', 'email', 'send', 'allow', '$outcome', '{}', '{}', '{}', now() - interval '$ago', now(), 1 FROM generate_series(1, 5) AS n});
}

$gateway->safe_psql('postgres', q{DELETE FROM acteon_audit WHERE dispatched_at > now() - interval '1 hour'});
insert_records('pending', '10 min');
caught_up();
$copy->safe_psql('postgres', 'ALTER SUBSCRIPTION acteon_audit DISABLE');
$copy->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_subscription WHERE pid IS NOT NULL}) or die 'the subscription goes on';
insert_records('executed', '10 min');
my $new = q{SET client_min_messages = error; SET acteon_replay.audit_is_live = on; SELECT replayed FROM acteon_replay_bulk(outcome => 'pending', tenant => 'acme', allow_unproven => true, allow_partial => true)};
is($copy->safe_psql('postgres', $new), 0, 'executed intents of a copy that lags are not replayed: it knows nothing later');
my $during = sprintf($tells, '10 min 10 s', '10 min 10 s');
like($copy->safe_psql('postgres', "SET acteon_replay.audit_is_live = on; $during"), qr/later/, '… nor does a doubt end');
$copy->safe_psql('postgres', 'ALTER SUBSCRIPTION acteon_audit ENABLE');
caught_up();
is($copy->safe_psql('postgres', $new), 0, 'nor are they when it has caught up');
$gateway->safe_psql('postgres', q{DELETE FROM acteon_audit WHERE id ~ '^executed-[12]$'; UPDATE acteon_audit SET dispatched_at = now() WHERE id = md5('1' || 'executed')});
caught_up();
is($copy->safe_psql('postgres', $new), 2, 'only those without an outcome are, once it knows something later');

# The subscription may fill a partition, or a table that the audit table is a partition of.
$copy->safe_psql('postgres', q{
	CREATE TABLE above (LIKE acteon_audit) PARTITION BY RANGE (dispatched_at);
	CREATE TABLE beside (LIKE acteon_audit);
	ALTER TABLE above ATTACH PARTITION beside FOR VALUES FROM ('2000-01-01') TO ('2001-01-01');});
my $refused = qr/^55000: intents cannot be replayed/;
is($copy->safe_psql('postgres', qq{SET acteon_replay.audit_table = 'public.beside'; $pending}), 0, 'intents of another table are not refused');
$copy->safe_psql('postgres', q{ALTER TABLE above ATTACH PARTITION acteon_audit FOR VALUES FROM ('2001-01-01') TO ('2100-01-01')});
like(fails_with($copy, qq{SET acteon_replay.audit_table = 'public.above'; $pending}), $refused, '… those of a table with a subscribed partition are');
$copy->safe_psql('postgres', q{ALTER TABLE above DETACH PARTITION acteon_audit; ALTER SUBSCRIPTION acteon_audit DISABLE; ALTER SUBSCRIPTION acteon_audit SET (slot_name = NONE); DROP SUBSCRIPTION acteon_audit});
is($copy->safe_psql('postgres', qq{SET client_min_messages = error; $pending}) > 0, 1, 'without the subscription they are not');

#
# Another server, by logical replication.
#

$copy->safe_psql('postgres', q{SET client_min_messages = error; SELECT acteon_replay('a-3'); SELECT acteon_replay('a-9'); CREATE PUBLICATION move FOR ALL TABLES});
my $next = new_operations('next');
{
	local %ENV = (%ENV, FROM => $copy->connstr('postgres'), TO => $next->connstr('postgres'));

	ok(run_log([ 'sh', '-ec', 'pg_dump --schema-only --no-publications --no-subscriptions "$FROM" | psql -q -v ON_ERROR_STOP=1 "$TO"' ]), 'the definitions are restored');
}
$next->safe_psql('postgres', sprintf(q{CREATE SUBSCRIPTION move CONNECTION '%s' PUBLICATION move}, $copy->connstr('postgres') =~ s/'/''/gr));
$next->poll_query_until('postgres', q{SELECT count(*) > 10 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel}) or die 'the tables are not copied';
$copy->wait_for_catchup('move');
$next->safe_psql('postgres', 'ALTER SUBSCRIPTION move DISABLE; ALTER SUBSCRIPTION move SET (slot_name = NONE); DROP SUBSCRIPTION move');
my $state = q{SELECT (SELECT namespace FROM acteon_replay_installation), (SELECT string_agg(action_id || ' ' || original_action_id, ',' ORDER BY id) FROM acteon_dispatch_outbox)};
is($next->safe_psql('postgres', $state), $copy->safe_psql('postgres', $state), 'outbox and namespace have moved');
my $again = q{SET client_min_messages = error; SELECT new_action_id FROM acteon_replay('a-12')};
is($next->safe_psql('postgres', $again), $copy->safe_psql('postgres', $again), 'the same replay has the same id on the new server');
like($next->safe_psql('postgres', q{SELECT count(*), count(DISTINCT id) FROM acteon_dispatch_outbox}), qr/^(\d+)\|\1$/, 'numbers go on behind those that came');
is($next->safe_psql('postgres', q{SET client_min_messages = error; SELECT count(*) FROM acteon_outbox_claim('relay', 1000)}), 1, 'what was due is in doubt, and only the new action is handed out');
is($next->safe_psql('postgres', q{SELECT count(*) FROM acteon_replay_log WHERE event = 'failover'}), 1, '… which the log says');
is($next->safe_psql('postgres', 'SELECT count(*) FROM acteon_outbox_check()'), 0, 'the outbox is sound');

done_testing();
