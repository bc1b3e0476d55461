# Who sees what of a replay: batches, actions, deliveries, dead letters, the log.
# An operator sees the tenants of their grants and of nobody else, counts included.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $node = new_server('operators', streaming => 1);

$node->safe_psql('postgres', q{
	CREATE ROLE boss LOGIN;
	CREATE ROLE op_acme LOGIN;
	CREATE ROLE op_globex LOGIN;
	CREATE ROLE op_sms LOGIN;
	CREATE ROLE admin_acme LOGIN;
	CREATE ROLE viewer_acme LOGIN;
	CREATE ROLE gateway LOGIN;
	CREATE ROLE nobody_special LOGIN;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('boss', 'admin', '{*}', '{*}', '{*}', '{*}'),
		('op_acme', 'operator', '{acme}', '{*}', '{*}', '{*}'),
		('op_globex', 'operator', '{globex}', '{*}', '{*}', '{*}'),
		('op_sms', 'operator', '{*}', '{*}', '{sms}', '{*}'),
		('admin_acme', 'admin', '{acme}', '{*}', '{*}', '{*}'),
		('viewer_acme', 'viewer', '{acme}', '{*}', '{*}', '{*}'),
		('gateway', 'gateway', '{*}', '{*}', '{*}', '{*}');
});

# What a statement returns to a role, or its SQLSTATE and error.
sub as
{
	my ($role, $sql, $server) = @_;
	my ($status, $out, $err) = ($server // $node)->psql('postgres', $sql, connstr => ($server // $node)->connstr('postgres') . " user=$role",
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	return $status == 0 ? $out : $err =~ /ERROR:\s+(.*)/ ? $1 : $err;
}

# Three batches: of both tenants, of acme (below it, too), of globex.  What cannot be
# replayed is of globex.
$node->safe_psql('postgres', q{SELECT make_record('mixed-' || n, at => '2026-01-01 12:00+00'::timestamptz + n * interval '1 s', tenant => (ARRAY['acme', 'globex'])[1 + n % 2],
	payload => CASE WHEN n > 12 THEN '"[REDACTED]"' ELSE '{}' END::jsonb) FROM generate_series(1, 13) AS n});
as('boss', q{SELECT acteon_replay_bulk(from_time => '2000-01-01', reason => 'INC-42, and globex is bankrupt')});
$node->safe_psql('postgres', q{SELECT make_record('acme-' || n, at => '2026-01-01 13:00+00'::timestamptz + n * interval '1 s', tenant => 'acme' || CASE WHEN n > 2 THEN '.eu' ELSE '' END) FROM generate_series(1, 4) AS n});
as('op_acme', q{SELECT acteon_replay_bulk(tenant => 'acme'), acteon_replay_bulk(tenant => 'acme.eu')});
$node->safe_psql('postgres', q{SELECT make_record('globex-' || n, at => '2026-01-01 14:00+00'::timestamptz + n * interval '1 s', tenant => 'globex') FROM generate_series(1, 4) AS n});
as('op_globex', q{SELECT acteon_replay_bulk(from_time => '2026-01-01 14:00+00', tenant => 'globex')});
is($node->safe_psql('postgres', q{
	SELECT string_agg(batch || ' ' || requested_by || ' ' || replayed || ' ' || failed, ', ' ORDER BY batch) FROM (
		SELECT id AS batch, requested_by, replayed, failed FROM acteon_replay_batch) AS b}),
	'1 boss 12 1, 2 op_acme 2 0, 3 op_acme 2 0, 4 op_globex 4 0', 'there are four batches');

# What becomes of the actions, by their original ids; the rest waits.
$node->safe_psql('postgres', q{
	CREATE TABLE fates (original text, fate text, outcome jsonb);
	INSERT INTO fates VALUES ('mixed-1', 'ack', '{"Executed": {}}'), ('mixed-2', 'ack', '{"Executed": {}}'), ('mixed-3', 'ack', '{"Failed": {}}'),
		('mixed-4', 'ack', '"Suppressed"'), ('mixed-5', 'reject', NULL), ('mixed-6', 'hold', NULL), ('mixed-7', 'hold', NULL), ('mixed-8', 'hold', NULL),
		('mixed-9', 'reject', NULL), ('acme-1', 'reject', NULL), ('acme-3', 'ack', '{"Executed": {}}'), ('globex-1', 'ack', '{"Executed": {}}'),
		('globex-2', 'reject', NULL);
	CREATE TABLE held AS SELECT c.outbox_id, c.lease_token, f.fate, f.outcome, 'bad template'::text AS error
		FROM acteon_outbox_claim('test', 100, '1 h') AS c JOIN acteon_dispatch_outbox AS o ON o.id = c.outbox_id LEFT JOIN fates AS f ON f.original = o.original_action_id;
	SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg(outcome)) FROM held WHERE fate = 'ack';
	SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg(error)) FROM held WHERE fate = 'reject';
	SELECT acteon_outbox_nack(array_agg(outbox_id), array_agg(lease_token), array_agg(NULL::text)) FROM held WHERE fate IS NULL;
});

# Steering, for the log.
as('op_acme', q{SELECT acteon_replay_set_rate(2, 5, 'slowly'), acteon_replay_pause(3, 'lunch')});
as('boss', q{SELECT acteon_replay_pause(1, 'globex is bankrupt')});
as('op_globex', q{SELECT acteon_replay_cancel(4, 'the wrong hour')});
as('gateway', q{SELECT acteon_outbox_redrive(tenant => 'nobody')});

# What a role sees, in a line for each thing that there is to see.
my %questions = (
	batches => q{SELECT string_agg(format('%s %s %s: %s = %s waiting, %s in flight, %s delivered %s, %s dead, %s cancelled', batch_id,
			CASE WHEN requested_by IS NULL THEN 'in part' ELSE 'of ' || requested_by END, state, replayed, waiting, in_flight, delivered, delivered_by, dead, cancelled),
		E'\n' ORDER BY batch_id) FROM acteon_replay_batches},
	items => q{SELECT string_agg(DISTINCT tenant, ' ') || ' ' || count(*) FROM acteon_replay_items(%d)},
	deliveries => 'SELECT count(*) FROM acteon_dispatch_delivery',
	letters => q{SELECT string_agg(original_action_id || ': ' || error, ', ' ORDER BY outbox_id) FROM acteon_dead_letters},
	log => q{SELECT string_agg(event || coalesce(' ' || batch_id, ''), ', ' ORDER BY id) FROM acteon_replay_log WHERE event NOT IN ('start', 'grant')});

my $all = <<'END';
1 of boss paused: 12 = 3 waiting, 3 in flight, 4 delivered {"Failed": 1, "Executed": 2, "Suppressed": 1}, 2 dead, 0 cancelled
2 of op_acme running: 2 = 1 waiting, 0 in flight, 0 delivered {}, 1 dead, 0 cancelled
3 of op_acme paused: 2 = 1 waiting, 0 in flight, 1 delivered {"Executed": 1}, 0 dead, 0 cancelled
4 of op_globex cancelled: 4 = 0 waiting, 0 in flight, 1 delivered {"Executed": 1}, 1 dead, 2 cancelled
END
my $acme = <<'END';
1 in part paused: 6 = 2 waiting, 2 in flight, 2 delivered {"Executed": 1, "Suppressed": 1}, 0 dead, 0 cancelled
2 of op_acme running: 2 = 1 waiting, 0 in flight, 0 delivered {}, 1 dead, 0 cancelled
3 of op_acme paused: 2 = 1 waiting, 0 in flight, 1 delivered {"Executed": 1}, 0 dead, 0 cancelled
END
my $globex = <<'END';
1 in part paused: 6 = 1 waiting, 1 in flight, 2 delivered {"Failed": 1, "Executed": 1}, 2 dead, 0 cancelled
4 of op_globex cancelled: 4 = 0 waiting, 0 in flight, 1 delivered {"Executed": 1}, 1 dead, 2 cancelled
END
my $none = [ map { "P0002: batch $_ does not exist" } 1 .. 4 ];
my @items = ('acme globex 12', 'acme 2', 'acme.eu 2', 'globex 4');
my @acme_items = ('acme 6', 'acme 2', 'acme.eu 2', $none->[3]);
my $log = 'set_rate 2, pause 3, pause 1, cancel 4, redrive';
my $dead = 'mixed-5: bad template, mixed-9: bad template, acme-1: bad template, globex-2: bad template';

# Role: batches; items of each; deliveries; dead letters; log.
my @matrix = (
	[ 'postgres',       $all,    \@items,                                              12, $dead,                  $log ],
	[ 'boss',           $all,    \@items,                                              12, $dead,                  $log ],
	[ 'gateway',        $all,    [ ('') x 4 ],                                         0,  '',                     $log ],
	[ 'op_acme',        $acme,   \@acme_items,                                         4,  'acme-1: bad template', 'set_rate 2, pause 3' ],
	[ 'admin_acme',     $acme,   \@acme_items,                                         4,  'acme-1: bad template', 'set_rate 2, pause 3' ],
	[ 'viewer_acme',    $acme,   \@acme_items,                                         4,  'acme-1: bad template', 'set_rate 2, pause 3' ],
	[ 'op_globex',      $globex, [ 'globex 6', $none->[1], $none->[2], 'globex 4' ],   8,  $dead =~ s/acme-1: bad template, //r, 'cancel 4' ],
	[ 'op_sms',         '',      $none,                                                0,  '',                     '' ],
	[ 'nobody_special', '',      $none,                                                0,  '',                     '' ]);

# Test everything that a role sees, on a server.
sub sees_its_own
{
	my ($server, $where, $role, $batches, $items, $deliveries, $letters, $entries) = @_;

	is(as($role, $questions{batches}, $server), $batches =~ s/\n\z//r, "$role sees the batches$where");
	is(as($role, sprintf($questions{items}, $_), $server), $items->[ $_ - 1 ], "$role sees the actions of batch $_$where") foreach 1 .. 4;
	is(as($role, $questions{deliveries}, $server), $deliveries, "$role sees the deliveries$where");
	is(as($role, $questions{letters}, $server), $letters, "$role sees the dead letters$where");
	is(as($role, $questions{log}, $server), $entries, "$role sees the log$where");
	return;
}

foreach my $line (@matrix)
{
	sees_its_own($node, '', @$line);
	next if $line->[0] eq 'gateway';
	# Whatever is counted can be read, action by action.
	is(as($line->[0], q{
		SELECT b.batch_id, i.* FROM acteon_replay_batches AS b CROSS JOIN LATERAL (
			SELECT count(*), count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'running'), count(*) FILTER (WHERE state = 'delivered'),
				count(*) FILTER (WHERE state = 'dead'), count(*) FILTER (WHERE state = 'cancelled')
			FROM acteon_replay_items(b.batch_id)) AS i (a, w, r, d, x, c)
		WHERE (a, w, r, d, x, c) <> (b.replayed, b.waiting, b.in_flight, b.delivered, b.dead, b.cancelled)}),
		'', "what $line->[0] sees counted is what $line->[0] can read");
}

# Of a batch that is seen in part nothing tells of the rest.
unlike(as('op_acme', 'SELECT * FROM acteon_replay_batches WHERE batch_id = 1'), qr/globex|bankrupt|boss|REDACTED|redacted/, 'a part says nothing of the rest');
is(as('op_acme', q{SELECT string_agg(key, ' ' ORDER BY key) FROM acteon_replay_batches AS b, jsonb_each_text(to_jsonb(b)) WHERE batch_id = 1 AND value IS NOT NULL}),
	'batch_id cancelled created_at dead delivered delivered_by done expired held in_doubt in_flight kind on_doubt progress replayed speed state stopped_at target waiting', '… and has just these columns');
is(as('op_acme', 'SELECT progress FROM acteon_replay_batches WHERE batch_id = 1'), '33.3', '… with the progress of the part');
is(as('op_acme', 'SELECT count(*) FROM acteon_replay_batch WHERE id = 1'), '0', '… and no row of the table');
is(as('op_acme', q{SELECT count(*) FROM acteon_replay_items(1, 'failed')}), '0', '… nor failures of others');
is(as('op_globex', q{SELECT string_agg(original_action_id, ' ' ORDER BY outbox_id) FROM acteon_replay_items(1, 'failed')}), 'mixed-3 mixed-5 mixed-9', '… only the own');

# The plan for few dead letters does not depend on how much there is besides.
$node->safe_psql('postgres', q{
	INSERT INTO acteon_dispatch_outbox (id, batch_id, created_at, action_id, generation, original_action_id, namespace, tenant, provider, action_type, payload, labels)
		SELECT n, 99, now(), gen_random_uuid(), 1, 'x', 'prod', 'initech', 'email', 'x', '{}', '{}' FROM generate_series(1000000, 1020000) AS n;
	INSERT INTO acteon_dispatch_delivery (outbox_id, finished_at, attempts, state) SELECT n, now(), 1, 'delivered' FROM generate_series(1000000, 1020000) AS n;
	ANALYZE acteon_dispatch_outbox, acteon_dispatch_delivery});
foreach my $role ('op_acme', 'boss', 'postgres')
{
	my $explained = as($role, 'EXPLAIN (COSTS OFF) SELECT * FROM acteon_dead_letters');

	like($explained, qr/acteon_dispatch_delivery_dead_idx/, "dead letters are found by their index by $role");
	# Parts that are empty may well be read.
	unlike($explained, qr/Seq Scan on acteon_dispatch_(?:outbox|delivery) /, '… without reading the rest');
}
$node->safe_psql('postgres', 'DELETE FROM acteon_dispatch_delivery WHERE outbox_id >= 1000000; DELETE FROM acteon_dispatch_outbox WHERE id >= 1000000');

# The log can be added to by the functions, and by nobody else changed.
foreach my $role ('op_acme', 'boss', 'gateway')
{
	is(as($role, $_), '42501: permission denied for table acteon_replay_log', "$role: $_")
		foreach 'DELETE FROM acteon_replay_log', "UPDATE acteon_replay_log SET reason = ''", 'TRUNCATE acteon_replay_log',
		q{INSERT INTO acteon_replay_log (logged_at, event, role_name, role_oid, session_role, details) VALUES (now(), 'purge', 'x', 0, 'x', '{}')};
}
is(as('postgres', $_), '55000: ' . (split / /)[0] . ' is refused: table "acteon_replay_log" is append-only', "a superuser: $_")
	foreach 'DELETE FROM acteon_replay_log', "UPDATE acteon_replay_log SET reason = ''", 'TRUNCATE acteon_replay_log';
is(as('postgres', 'SET session_replication_role = replica; DELETE FROM acteon_replay_log'), '55000: DELETE is refused: table "acteon_replay_log" is append-only', '… also as a replica');
is(as('postgres', q{SELECT string_agg(concat_ws(' ', event, batch_id, role_name, session_role, reason), ', ' ORDER BY id) FROM acteon_replay_log WHERE event NOT IN ('start', 'grant')}),
	'set_rate 2 op_acme op_acme slowly, pause 3 op_acme op_acme lunch, pause 1 boss boss globex is bankrupt, cancel 4 op_globex op_globex the wrong hour, redrive gateway gateway',
	'it says who did what and why');

# All the same on a standby, and in a transaction that only reads.
$node->backup('for_standby');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'for_standby', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
sees_its_own($standby, ' on a standby', @$_) foreach @matrix;
$standby->stop;
is(as('op_acme', "BEGIN READ ONLY; $questions{batches}"), $acme =~ s/\n\z//r, 'a transaction that only reads sees them, too');

# Whoever asked for a batch sees it as a whole as long as any grant is left, and of its actions what is covered.
$node->safe_psql('postgres', q{UPDATE acteon_grants SET tenants = '{acme.eu}' WHERE grantee = 'op_acme'::regrole});
is(as('op_acme', q{SELECT string_agg(batch_id || ' ' || requested_by || ' ' || replayed, ', ' ORDER BY batch_id) FROM acteon_replay_batches}), '2 op_acme 2, 3 op_acme 2', 'the own batches stay');
is(as('op_acme', 'SELECT count(*) FROM acteon_replay_items(2)'), '0', '… the actions do not');
is(as('op_acme', 'SELECT count(*) FROM acteon_replay_items(1)'), $none->[0], '… nor what others asked for');
$node->safe_psql('postgres', q{DELETE FROM acteon_grants WHERE grantee = 'op_acme'::regrole});
is(as('op_acme', $questions{batches}), '', 'without a grant there is nothing');
is(as('op_acme', 'SELECT count(*) FROM acteon_replay_items(2)'), $none->[1], '… nor any action');
is(as('op_acme', $questions{log}), 'set_rate 2, pause 3', '… but what was done stays known to who did it');

# The script for psql draws the same: what it repeats is asked once here.
my $sharedir = `pg_config --sharedir` =~ s/\n\z//r;
my $script = slurp_file("$sharedir/acteon_replay/watch.sql") =~ s/^\\watch .*$/\\g/mr;
my $drawn = as('boss', $script);
like($drawn, qr/^1\|paused\|\[#####xxxxx>>>>>\.\.\.\.\.\]  50\.0 %\|6 of 12\|3\|[^\n]*\|globex is bankrupt$/m, 'the script draws');
unlike(as('op_globex', $script), qr/^[23]\|/m, '… what a role may see');
like(as('boss', "\\set acteon_batch 3\n$script"), qr/\A3\|paused\|[^\n]*\z/, '… or one batch');

is($node->safe_psql('postgres', 'SELECT * FROM acteon_outbox_check()'), '', 'no invariant is broken');
done_testing();
