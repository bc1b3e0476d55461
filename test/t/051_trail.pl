# The trail: what was changed after it was enqueued is not sent; who holds an API key is told from others; and nothing
# that may happen to a database makes it say that something was tampered with when nothing was.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;
use Program;
use Relay;

my $node = new_server('trail', streaming => 1, conf => "fsync = off\nacteon_replay.gateway_patience = 1\n");
$node->safe_psql('postgres', q{
	CREATE ROLE relay LOGIN;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('relay', 'gateway', '{*}', '{*}', '{*}')});
my $gateway = start_gateway();

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Link until everything that was done before is settled.
sub settle
{
	my ($server, $database) = @_;
	my $wanted = $server->safe_psql($database, 'SELECT max(id) FROM acteon_replay_log');

	$server->safe_psql($database, 'SELECT acteon_replay_trail_link()');
	wait_until(sub {
			$server->safe_psql($database, 'SELECT acteon_replay_trail_link()');
			my $settled = $server->safe_psql($database, 'SELECT log_id FROM acteon_replay_trail_head');
			return ($settled >= $wanted, "settled up to $settled of $wanted");
		}, "the trail of $database is settled");
	return;
}

# What is wrong.
sub violations
{
	my ($server, $database) = @_;

	return $server->safe_psql($database, 'SELECT * FROM acteon_outbox_check()');
}

# A relay does not send what was changed, and sends the rest.
enqueue($node, name => 'sent-', count => 150);
my $changed = sql(q{
	UPDATE acteon_dispatch_outbox SET payload = '{"to": "mallory"}' WHERE original_action_id = 'sent-70';
	UPDATE acteon_dispatch_outbox SET payload = '{"to": "mallory"}', hash = NULL WHERE original_action_id = 'sent-120';
	UPDATE acteon_dispatch_outbox SET provider = 'sms' WHERE original_action_id = 'sent-140';
	SELECT count(*) FROM acteon_dispatch_outbox WHERE payload ->> 'to' = 'mallory' OR provider = 'sms'});
is($changed, '3', 'three actions are changed while they wait');
my ($status, $log) = run_relay($node, $gateway, '--drain');
is($status, 1, 'a drain: some end dead') or diag($log);
is(sql(q{SELECT state || ' ' || count(*) FROM acteon_dispatch_delivery GROUP BY state ORDER BY state}), "dead 3\ndelivered 147", 'those are not sent, the others are');
is(sql(q{SELECT count(*) FROM acteon_dispatch_delivery WHERE state = 'dead' AND error LIKE '%was changed after it was enqueued'}), '3', '… with an error that says so');
is(scalar(keys %{ $gateway->actions }), 147, '… and the gateway has seen none of them');
is(sql(q{SELECT string_agg(DISTINCT violation, ', ' ORDER BY violation) FROM acteon_outbox_check()}), 'cannot be handed out, row changed', 'acteon_outbox_check tells of them');
sql('SELECT redriven FROM acteon_outbox_redrive()');
run_relay($node, $gateway, '--drain');
is(sql(q{SELECT state || ' ' || count(*) FROM acteon_dispatch_delivery GROUP BY state ORDER BY state}), "dead 3\ndelivered 147", 'nor are they sent when they are redriven');
sql('CALL clean()');

# Two holders of keys for one role are told apart, in the batches and in the log.
new_http_role($node);
sql(q{
	CREATE ROLE ops;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('ops', 'admin', '{*}', '{*}', '{*}');
	SELECT make_record('h-' || n, at => '2026-01-01 12:00+00'::timestamptz + n * interval '1 s') FROM generate_series(1, 20) AS n});
my $http = start_http($node);
my %client = map { $_ => $http->client(api_key($node, $_, 'ops')) } qw(alice bob);
foreach my $who (qw(alice bob alice))
{
	is($client{$who}->post('/v1/audit/replay?from=2000-01-01T00:00:00Z&limit=5')->{status}, 200, "$who replays");
}
is($client{bob}->post('/v1/audit/h-20/replay')->{status}, 200, 'bob replays one');
is($client{bob}->post('/v1/replay/batches/1/pause')->{status}, 200, '… and pauses a batch of alice');
sql(q{SET ROLE ops; SELECT acteon_replay_bulk(from_time => '2000-01-01')});
is(sql(q{SELECT id || ' ' || requested_by || ' ' || coalesce(api_key, 'none') FROM acteon_replay_batch ORDER BY id}), "1 ops alice\n2 ops bob\n3 ops alice\n4 ops bob\n5 ops none", 'the batches have the names of the keys');
is(sql(q{SELECT event || ' ' || batch_id || ' ' || role_name || ' ' || coalesce(api_key, 'none') FROM acteon_replay_log WHERE batch_id IS NOT NULL ORDER BY id}),
	"start 1 ops alice\nstart 2 ops bob\nstart 3 ops alice\nstart 4 ops bob\npause 1 ops bob\nstart 5 ops none", '… and so has the log');
# A key is a matter of its transaction.
is(sql(q{BEGIN; SELECT key_name FROM acteon_api_login((SELECT key_sha256 FROM acteon_api_keys WHERE name = 'bob')); COMMIT; SELECT acteon_replay_resume(1) \g /dev/null
	SELECT coalesce(api_key, 'none') FROM acteon_replay_log ORDER BY id DESC LIMIT 1}), "bob\nnone", 'after the transaction of a request its key is forgotten');
is(sql(q{SET ROLE ops; SELECT has_function_privilege('acteon_api_login(bytea)', 'EXECUTE')}), 'f', 'nobody else can claim to hold a key');
$http->stop;
settle($node, 'postgres');
is(violations($node, 'postgres'), '', 'no violations');

# Sessions that enqueue, answer, redrive, purge and link at the same time, some of which roll back: whatever the order in
# which they commit, everything is linked once, and nothing is missed.
sql(q{SELECT count(make_record('c-' || n, at => '2026-02-01 12:00+00'::timestamptz + n * interval '1 s')) FROM generate_series(1, 4000) AS n});
my @sessions;
foreach my $session (1 .. 4)
{
	my $script = join('', map { my $from = ($session * 20 + $_ - 20) * 30; qq{
		BEGIN;
		SELECT replayed FROM acteon_replay_bulk(from_time => timestamptz '2026-02-01 12:00+00' + interval '$from s', max_records => 30, include_replayed => true, max_generation => 100, canary => 'off', breaker_window => 0);
		SELECT pg_sleep(0.02 * random());
		@{[$_ % 7 == $session ? 'ROLLBACK' : 'COMMIT']};
		SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb)) FROM acteon_outbox_claim('c$session', 25);
		SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('no'::text)) FROM acteon_outbox_claim('c$session', 3);
		SELECT acteon_replay_trail_link();
		@{[$_ % 5 == 0 ? "SELECT acteon_outbox_redrive(max_actions => 2); SELECT acteon_outbox_purge('0', 10);" : '']}
	} } 1 .. 20);
	my ($in, $out, $err) = ("SET client_min_messages = error;\n$script", '', '');

	push @sessions, { out => \$out, err => \$err, run => IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$err) };
}
foreach my $session (@sessions)
{
	$session->{run}->finish;
	is(join("\n", grep { /ERROR/ && !/could not serialize|deadlock|must not be null/ } split /\n/, ${ $session->{err} }), '', 'a session is done');
}
settle($node, 'postgres');
is(violations($node, 'postgres'), '', 'after many sessions at once: no violations');
is(sql(q{SELECT count(*) FROM acteon_dispatch_outbox AS o WHERE NOT EXISTS (SELECT FROM acteon_replay_trail AS t WHERE t.kind = 'rows' AND t.reference = o.id - (o.id - 1) % 100)}), '0', 'all rows are linked');
is(sql(q{SELECT count(*) FROM (SELECT reference FROM acteon_replay_trail WHERE kind IN ('rows', 'log', 'batch', 'removal') GROUP BY kind, reference HAVING count(*) > 1) AS t}), '0', '… once');
is(sql(q{SELECT (SELECT count(*) FROM acteon_replay_log) - (SELECT count(*) FROM acteon_replay_trail WHERE kind = 'log')}), '0', '… and so are all entries of the log');
is(sql(q{SELECT max(position) - count(*) FROM acteon_replay_trail}), '0', 'the chain has no gaps');

# A transaction that is open for long holds nothing up, and what it commits in the end is linked, and no violation.
my $open = $node->background_psql('postgres');
$open->query_safe(q{BEGIN; SELECT replayed FROM acteon_replay_bulk(from_time => '2026-02-01 13:00+00', max_records => 5, include_replayed => true, max_generation => 100)});
my $late = sql('SELECT last_value FROM acteon_dispatch_outbox_id_seq');
sql(q{SELECT replayed FROM acteon_replay_bulk(from_time => '2026-02-01 12:30+00', max_records => 5, include_replayed => true, max_generation => 100)});
sql('SELECT acteon_replay_trail_link()') foreach 1 .. 4;
is(sql("SELECT count(*) FROM acteon_replay_trail WHERE kind = 'rows' AND reference > $late"), '1', 'while a replay is open, a later one is linked');
$open->query_safe('COMMIT');
$open->quit;
settle($node, 'postgres');
is(sql("SELECT count(*) FROM acteon_replay_trail WHERE kind = 'rows' AND reference = $late"), '1', '… and the open one when it is committed');
is(violations($node, 'postgres'), '', '… without violations');

# A dump, restored here, and in a database of another encoding; rows go out from there, and what is changed does not.
sql(q{SELECT make_record('umlaut', at => '2026-03-01', payload => '{"é": "ü", "zz": 1.10, "ä": {"ß": [1e3]}, "bb": "€"}', metadata => '{"ö": "x", "k": "ñ"}') \g /dev/null
	SELECT success FROM acteon_replay('umlaut')});
settle($node, 'postgres');
my $dump = "$PostgreSQL::Test::Utils::tmp_check/trail.dump";
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'dump');
foreach my $encoding ('UTF8', 'LATIN9')
{
	my $database = lc $encoding;

	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0 ENCODING $encoding LC_COLLATE 'C' LC_CTYPE 'C'");
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr($database), $dump ], "restored: $encoding");
	is(violations($node, $database), '', '… without violations');
	is($node->safe_psql($database, q{SELECT count(*) FROM acteon_replay_log WHERE event = 'grant'}), sql(q{SELECT count(*) FROM acteon_replay_log WHERE event = 'grant'}), '… and with the log that there was');
	is($node->safe_psql($database, q{
		UPDATE acteon_dispatch_segment SET due_at = now(), lease_token = NULL, holder = NULL, doubt_since = NULL, doubt = NULL, held = NULL, was_claimed = false, sent_at = NULL;
		SELECT acteon_outbox_claim('c', 1) \g /dev/null
		UPDATE acteon_dispatch_segment SET due_at = now(), lease_token = NULL, holder = NULL, doubt_since = NULL, doubt = NULL, held = NULL, was_claimed = false, sent_at = NULL;
		SELECT (SELECT count(*) FROM acteon_outbox_claim('c', 10000)) = (SELECT count(*) FROM acteon_dispatch_outbox AS o WHERE NOT EXISTS (SELECT FROM acteon_dispatch_delivery AS d WHERE d.outbox_id = o.id))}), 't', '… and all that waits goes out');
	settle($node, $database);
	is(violations($node, $database), '', '… and nothing is wrong afterwards');
}

# A standby that is promoted.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
sql(q{SELECT replayed FROM acteon_replay_bulk(from_time => '2026-02-01 12:10+00', max_records => 5, include_replayed => true, max_generation => 100)});
settle($node, 'postgres');
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', 'SELECT count(*) FROM acteon_outbox_check()'), '0', 'a standby checks the trail');
$node->stop('immediate');
$standby->promote;
is($standby->safe_psql('postgres', q{SELECT replayed FROM acteon_replay_bulk(from_time => '2026-02-01 12:20+00', max_records => 5, include_replayed => true, max_generation => 100)}), '5', 'after a promotion a replay');
settle($standby, 'postgres');
is(violations($standby, 'postgres'), '', '… and no violations');

# What version 1.0 has left is not covered, and goes out; what is enqueued then is.
$standby->safe_psql('postgres', 'CREATE DATABASE old');
$standby->safe_psql('old', q{CREATE EXTENSION acteon_replay VERSION '1.0'});
$standby->safe_psql('old', fixture($_)) foreach qw(audit_table audit_indexes);
$standby->safe_psql('old', fixture('helpers') =~ s/, acteon_dispatch_action[^;]*//r);
$standby->safe_psql('old', fixture('version_1.0') =~ s{CREATE ROLE relay;}{}r);
$standby->safe_psql('old', 'ALTER EXTENSION acteon_replay UPDATE');
is(violations($standby, 'old'), '', 'after the update: no violations');
is($standby->safe_psql('old', q{SELECT count(*) > 0 AND bool_and(hash IS NULL) AND max(id) < (SELECT hashed_from FROM acteon_replay_trail_head) FROM acteon_dispatch_outbox}), 't', '… of rows without hashes');
is($standby->safe_psql('old', q{SELECT count(*) > 0 FROM acteon_outbox_claim('c', 100)}), 't', '… which go out');
$standby->safe_psql('old', q{SELECT make_record('new'); SELECT acteon_replay('new')});
is($standby->safe_psql('old', q{SELECT count(*) FROM acteon_dispatch_outbox WHERE hash IS NOT NULL AND id >= (SELECT hashed_from FROM acteon_replay_trail_head)}), '1', 'a new row has a hash');
settle($standby, 'old');
is(violations($standby, 'old'), '', '… and no violations');
is($standby->safe_psql('old', q{BEGIN; UPDATE acteon_dispatch_outbox SET hash = NULL WHERE hash IS NOT NULL; SELECT violation FROM acteon_outbox_check(); ROLLBACK}), 'row changed', '… but when it loses it');

done_testing();
