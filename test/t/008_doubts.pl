# What may have been sent, where it takes crashes, other servers or other versions to see it: failovers,
# damaged rows, a catalogue of version 1.0, and its update.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Digest::SHA qw(sha1);
use Test::More;
use Acteon;

my $node = new_server('doubts');

sub check_is_empty
{
	my ($name, $database) = @_;

	is($node->safe_psql($database, 'SELECT * FROM acteon_outbox_check()'), '', "no violations: $name");
}

# A database of its own, with the extension in a version, the audit table and so many records.
sub new_database
{
	my ($name, $version, $records, $options) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $name " . ($options // ''));
	$node->safe_psql($name, "CREATE EXTENSION acteon_replay VERSION '$version'");
	$node->safe_psql($name, fixture($_)) foreach qw(audit_table audit_indexes);
	# What 1.0 does not have, its helpers do not empty.
	my $helpers = fixture('helpers');
	$helpers =~ s/, acteon_dispatch_action[^;]*// if $version eq '1.0';
	$node->safe_psql($name, $helpers);
	$node->safe_psql($name, "SELECT count(make_record('a' || i, at => '2026-01-01'::timestamptz + i * interval '1 s')) FROM generate_series(1, $records) AS i") if $records > 0;
}

# One row that cannot be handed out: it ends dead alone, named in the error, the log and the check; the neighbours go out.
sub one_bad_row
{
	my ($name, $database, $message, %options) = @_;
	my $from = -s $node->logfile;
	my ($status, $out, $err) = $node->psql($database, ($options{settings} // '') . q{SELECT outbox_id FROM acteon_outbox_claim('c') ORDER BY 1});
	my @bad = @{ $options{bad} // [2] };
	my %bad = map { $_ => 1 } @bad;

	is($status, 0, "$name: the claim goes on") or diag($err);
	is($out, join("\n", grep { !$bad{$_} } 1 .. 3), "$name: the neighbours go out");
	is($err, '', "$name: without a warning");
	like($node->safe_psql($database, q{SELECT string_agg(outbox_id || ' ' || state || ': ' || error, E'\n' ORDER BY outbox_id) FROM acteon_dispatch_delivery}),
		qr/^@{[join "\n", map { "$_ dead: action $_ cannot be handed out: $message" } @bad]}$/, "$name: it ends dead, with its error");
	# It reads the whole outbox, which a damaged page does not let anybody.
	is($node->safe_psql($database, q{SELECT outbox_id FROM acteon_outbox_check() WHERE violation = 'cannot be handed out' ORDER BY 1}), join("\n", @bad), "$name: the check names it") unless $options{unreadable};
	like(slurp_file($node->logfile, $from), qr/LOG:  action $_ cannot be handed out: /, "$name: the log names it") foreach @bad;
	is($node->safe_psql($database, q{SELECT count(*) FROM acteon_outbox_claim('c')}), '0', "$name: that is all");
}

new_database('nested', '1.1', 3);
$node->safe_psql('nested', q{
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
	SET max_stack_depth = '7MB';
	UPDATE acteon_dispatch_outbox SET payload = (repeat('[', 40000) || repeat(']', 40000))::jsonb WHERE id = 2});
one_bad_row('a payload nested 40,000 deep', 'nested', 'stack depth limit exceeded');

new_database('ascii', '1.1', 0, q{ENCODING SQL_ASCII LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0});
$node->safe_psql('ascii', q{
	SET client_encoding = SQL_ASCII;
	SELECT make_record('a1', at => '2026-01-01'), make_record('a2', at => '2026-01-02', payload => E'{"a": "\377"}'), make_record('a3', at => '2026-01-03');
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01')});
one_bad_row('bytes that the client cannot receive', 'ascii', 'invalid byte sequence for encoding "UTF8": 0xff', settings => 'SET client_encoding = UTF8; ');

# What an earlier id of may have been executed does not end dead for it.
$node->safe_psql('ascii', q{
	TRUNCATE acteon_dispatch_delivery, acteon_replay_tally;
	INSERT INTO acteon_dispatch_segment (first_id, last_id, batch_id, due_at, attempt, was_claimed, resend, unproven) VALUES (2, 2, 1, now(), 1, true, 1, true)});
is($node->safe_psql('ascii', q{SET client_encoding = UTF8; SELECT count(*) FROM acteon_outbox_claim('c'); SELECT count(*) FROM acteon_outbox_claim('c')}), "0\n0", 'an unproven action that cannot be handed out');
is($node->safe_psql('ascii', q{SELECT doubt, held FROM acteon_dispatch_segment WHERE first_id = 2}), 'action 2 cannot be handed out: invalid byte sequence for encoding "UTF8": 0xff|it cannot be handed out', '… is held');

# Overwrites all pages of a table's file, or of its TOAST table's.
sub damage
{
	my ($database, $table, $content) = @_;
	my $file = $node->safe_psql($database, "CHECKPOINT; SELECT pg_relation_filepath($table)");
	my $path = $node->data_dir . "/$file";

	$node->stop('fast');
	my $size = -s $path;
	open(my $handle, '+<:raw', $path) or die "could not open $path: $!";
	print $handle $content x ($size / length($content));
	close($handle);
	$node->start;
}

new_database('toast', '1.1', 0);
$node->safe_psql('toast', q{
	ALTER TABLE acteon_dispatch_outbox ALTER COLUMN payload SET STORAGE EXTERNAL;
	SELECT make_record('a1', at => '2026-01-01'), make_record('a2', at => '2026-01-02', payload => (SELECT jsonb_agg(md5(i::text)) FROM generate_series(1, 5000) AS i)), make_record('a3', at => '2026-01-03');
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01')});
damage('toast', q{(SELECT reltoastrelid FROM pg_class WHERE oid = 'acteon_dispatch_outbox'::regclass)}, "\0" x 8192);
one_bad_row('a row whose TOAST data is damaged', 'toast', '.*');

# A page that cannot be read: nothing of it goes out, and each row says so itself.
new_database('page', '1.1', 3);
$node->safe_psql('page', q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01')});
damage('page', q{'acteon_dispatch_outbox'}, "\xde\xad\xbe\xef" x 2048);
one_bad_row('a damaged page', 'page', 'invalid page in block 0 .*', bad => [ 1, 2, 3 ], unreadable => 1);

# A library of 1.1 with a catalogue of 1.0: a clear error, from every function that differs.
new_database('old', '1.0', 9);
is($node->safe_psql('old', q{SELECT extversion FROM pg_extension WHERE extname = 'acteon_replay'}), '1.0', 'a catalogue of version 1.0');
$node->safe_psql('old', q{
	CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		hint text;
	BEGIN
		EXECUTE statement;
		RETURN 'done';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
		RETURN SQLSTATE || ' ' || hint;
	END
	$$});
foreach my $statement (
	q{SELECT * FROM acteon_replay('a1')}, q{SELECT * FROM acteon_replay_bulk(from_time => '2000-01-01')}, q{SELECT acteon_replay_bulk('{}'::jsonb)},
	q{SELECT * FROM acteon_replay_preview()}, q{SELECT * FROM acteon_replay_lineage('a1')}, q{SELECT * FROM acteon_replay_items(1)}, q{SELECT * FROM acteon_replay_batches},
	q{SELECT * FROM acteon_replay_pause(1)}, q{SELECT * FROM acteon_replay_resume(1)}, q{SELECT * FROM acteon_replay_cancel(1)}, q{SELECT * FROM acteon_replay_set_rate(1, 5)},
	q{SELECT * FROM acteon_outbox_claim('c')}, q{SELECT acteon_outbox_ack('{1}', '{1}', '{null}')}, q{SELECT acteon_outbox_nack('{1}', '{1}', '{null}')}, q{SELECT acteon_outbox_reject('{1}', '{1}', '{null}')},
	q{SELECT acteon_outbox_extend('{1}', '1 s')}, q{SELECT acteon_outbox_redrive()}, q{SELECT acteon_outbox_purge('1 day')}, q{SELECT * FROM acteon_outbox_stats}, q{SELECT * FROM acteon_outbox_check()})
{
	like($node->safe_psql('old', 'SELECT try($$' . $statement . '$$)'), qr/^55000 (?:Run )?ALTER EXTENSION acteon_replay UPDATE[.;]$/, "$statement with a catalogue of 1.0");
}

my ($status, $out, $err) = $node->psql('old', 'CALL acteon_replay_all()');
like($err, qr/ERROR:  .*HINT:  Run ALTER EXTENSION acteon_replay UPDATE/s, 'CALL acteon_replay_all() with a catalogue of 1.0');

# An update in the middle of everything: waiting, leased, retried, dead, delivered, cancelled, in a lane.
# What 1.0 has written is written here as it did, as its library is gone.
sub replay_id
{
	my ($action_id) = @_;
	my $bytes = substr(sha1(pack('H*', '11111111222243338444555555555555') . "$action_id/1"), 0, 16);

	vec($bytes, 6, 8) = vec($bytes, 6, 8) & 0x0f | 0x50;
	vec($bytes, 8, 8) = vec($bytes, 8, 8) & 0x3f | 0x80;
	return join('-', unpack('H8 H4 H4 H4 H12', $bytes));
}
$node->safe_psql('old', q{
	INSERT INTO acteon_replay_installation (namespace) VALUES ('11111111-2222-4333-8444-555555555555');
	INSERT INTO acteon_replay_batch (id, created_at, requested_by, requested_by_oid, session_role, query, replayed, failed, skipped, scope, first_outbox_id, last_outbox_id)
	VALUES (nextval('acteon_replay_batch_id_seq'), now() - interval '1 h', current_user, (SELECT oid FROM pg_roles WHERE rolname = current_user), session_user, '{}', 9, 0, 0,
		'[{"tenant": "acme", "namespace": "prod", "provider": "email", "action_type": "send_email"}]', 1, 9);
	SELECT nextval('acteon_dispatch_outbox_id_seq')});
$node->safe_psql('old', "INSERT INTO acteon_dispatch_outbox VALUES ($_, 1, now() - interval '1 h', '" . replay_id("a$_") . "', 1, 'a$_', 'prod', 'acme', 'email', 'send_email', '{}', '{\"replayed_from\": \"a$_\"}', NULL, NULL, "
	. ($_ >= 8 ? q{'f'} : 'NULL') . ', NULL, NULL)') foreach 1 .. 9;
$node->safe_psql('old', q{
	INSERT INTO acteon_dispatch_segment (first_id, last_id, batch_id, due_at, attempt, was_claimed, lane, lease_token, holder) VALUES
		(1, 1, 1, now(), 0, false, NULL, NULL, NULL), (2, 2, 1, now() + interval '1 h', 1, true, NULL, 42, 'old consumer'), (3, 3, 1, now() - interval '1 min', 2, true, NULL, NULL, NULL),
		(7, 7, 1, now() + interval '1 hour', 0, false, NULL, NULL, NULL), (8, 8, 1, now() - interval '1 min', 1, true, acteon_dispatch_lane('acme', 'f'), NULL, NULL), (9, 9, 1, now() - interval '1 min', 0, false, acteon_dispatch_lane('acme', 'f'), NULL, NULL);
	INSERT INTO acteon_dispatch_delivery VALUES (4, now(), 3, 'dead', NULL, 'time-out'), (5, now(), 1, 'delivered', '{"Executed": {"status": "success"}}', NULL), (6, now(), 0, 'cancelled', NULL, NULL);
	INSERT INTO acteon_replay_tally VALUES (1, now(), 'dead', NULL, 1), (1, now(), 'delivered', 'Executed', 1), (1, now(), 'cancelled', NULL, 1);
	ALTER EXTENSION acteon_replay UPDATE});
check_is_empty('after the update', 'old');
is($node->safe_psql('old', q{SELECT string_agg(outbox_id || ' ' || state, ', ') FROM acteon_replay_items(1)}),
	'1 waiting, 2 running, 3 in_doubt, 4 dead, 5 delivered, 6 cancelled, 7 waiting, 8 in_doubt, 9 waiting', 'what was handed out and given back is in doubt');
is($node->safe_psql('old', q{SELECT waiting, in_flight, in_doubt, delivered, dead, cancelled FROM acteon_replay_batches}), '3|1|2|1|1|1', '… and counted so');
is($node->safe_psql('old', q{SELECT outbox_id, attempt, action_id = (action ->> 'id')::uuid FROM acteon_outbox_claim('new')}), '1|1|t', 'only what was never handed out goes out, and of a lane nothing');
is($node->safe_psql('old', q{SELECT acteon_outbox_ack('{2}', '{42}', '{"{\"Executed\": {\"status\": \"success\"}}"}')}), '1', 'the lease of a consumer of 1.0 lasts, which names no ids');
is($node->safe_psql('old', q{SELECT state, effect FROM acteon_replay_items(1) WHERE outbox_id = 2}), 'delivered|done', '… and its answer has its effect');
my $found = replay_id('a3');
$node->safe_psql('old', qq{
	INSERT INTO acteon_audit (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, action_payload, verdict_details, outcome_details, dispatched_at, completed_at, duration_ms)
	VALUES ('r', '$found', 'prod', 'acme', 'email', 'send_email', 'allow', 'executed', '{}', '{}', '{"status": "Success"}', now(), now(), 1);
	UPDATE acteon_dispatch_segment SET due_at = now(), doubt_since = now() - interval '1 h' WHERE doubt_since IS NOT NULL});
is($node->safe_psql('old', q{SELECT outbox_id, attempt, action_id = acteon_replay_id('a8', 1, 1) FROM acteon_outbox_claim('new')}), '8|2|t', 'what has no record goes out under a new id, first of its lane');
is($node->safe_psql('old', q{SELECT state, effect, known_by FROM acteon_replay_items(1) WHERE outbox_id = 3}), 'delivered|done|record', 'what has one is delivered');
is($node->safe_psql('old', q{SELECT replayed FROM acteon_replay_bulk(outcome => 'failed')}), '2', 'what was dead and cancelled can be replayed');
is($node->safe_psql('old', q{SELECT string_agg(original_action_id || ' ' || generation, ', ' ORDER BY id) FROM acteon_dispatch_outbox WHERE batch_id > 1}), 'a4 2, a6 2', '… as the next generation, with numbers of their own');
check_is_empty('after it goes on', 'old');

# The catalogue of the updated database is that of a fresh one.
new_database('fresh', '1.1', 0);
my $catalogue = q{
	WITH e AS (SELECT d.classid, d.objid FROM pg_depend AS d JOIN pg_extension AS x ON x.oid = d.refobjid AND x.extname = 'acteon_replay' WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')
	SELECT pg_describe_object(classid, objid, 0) || ' ' || coalesce(obj_description(objid, classid::regclass::name), '') FROM e
	UNION ALL SELECT pg_get_functiondef(objid) || coalesce(p.proacl::text, '') FROM e JOIN pg_proc AS p ON p.oid = objid WHERE classid = 'pg_proc'::regclass
	UNION ALL SELECT c.relname || ' ' || a.attnum || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' ' || coalesce(CASE WHEN a.attname <> 'namespace' THEN pg_get_expr(ad.adbin, ad.adrelid) END, '') || ' ' || coalesce(col_description(c.oid, a.attnum), '') || coalesce(c.relacl::text, '') || coalesce(c.reloptions::text, '')
		FROM e JOIN pg_class AS c ON c.oid = objid JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped LEFT JOIN pg_attrdef AS ad ON ad.adrelid = c.oid AND ad.adnum = a.attnum WHERE classid = 'pg_class'::regclass
	UNION ALL SELECT indexrelid::regclass || ' ' || pg_get_indexdef(indexrelid) FROM e JOIN pg_index ON indrelid = objid WHERE classid = 'pg_class'::regclass
	UNION ALL SELECT conname || ' ' || pg_get_constraintdef(k.oid) FROM e JOIN pg_constraint AS k ON k.conrelid = objid WHERE classid = 'pg_class'::regclass
	UNION ALL SELECT polname || ' ' || coalesce(pg_get_expr(polqual, polrelid), '') FROM e JOIN pg_policy ON polrelid = objid WHERE classid = 'pg_class'::regclass
	UNION ALL SELECT pg_get_viewdef(objid) FROM e JOIN pg_class AS c ON c.oid = objid AND c.relkind = 'v' WHERE classid = 'pg_class'::regclass
	UNION ALL SELECT a.attname || ' ' || a.attnum FROM pg_type AS t JOIN pg_attribute AS a ON a.attrelid = t.typrelid WHERE t.typname = 'acteon_replay_item'
	ORDER BY 1};
my $fresh = $node->safe_psql('fresh', $catalogue);
cmp_ok(length($fresh), '>', 50_000, 'there is something to compare');
is($node->safe_psql('old', $catalogue), $fresh, 'an updated catalogue equals a fresh one');

# Whoever locks the audit table stops no claim: nothing can be said meanwhile.
new_database('locked', '1.1', 3);
$node->safe_psql('locked', q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 2)});
$node->safe_psql('locked', q{SELECT acteon_outbox_doubt(array_agg(outbox_id), array_agg(lease_token), array_agg('x'::text)) FROM acteon_outbox_claim('c')});
$node->safe_psql('locked', q{SELECT success FROM acteon_replay('a3'); UPDATE acteon_dispatch_segment SET due_at = now(), doubt_since = now() - interval '1 h' WHERE doubt_since IS NOT NULL});
my $gateway = $node->background_psql('locked');
$gateway->query_safe('BEGIN; LOCK TABLE acteon_audit');
is($node->safe_psql('locked', q{SET statement_timeout = '60 s'; SELECT outbox_id FROM acteon_outbox_claim('c')}), '101', 'a claim does not wait for the lock of the audit table');
is($node->safe_psql('locked', q{SELECT held FROM acteon_dispatch_segment WHERE first_id = 1}), 'the audit table is missing or cannot be read', '… which cannot be read meanwhile');
$gateway->quit;

# A failover that two sessions notice at once: one acts, the other waits for it and finds it done; nothing that may have been sent goes out.
new_database('failover', '1.1', 300);
$node->safe_psql('failover', q{
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 200, canary => 'off');
	UPDATE acteon_replay_installation SET server = '1/1'});
my $one = $node->background_psql('failover');
my $other = $node->background_psql('failover');
is($one->query_safe(q{BEGIN; SELECT count(*) FROM acteon_outbox_claim('one')}), '0', 'whoever notices a failover gets nothing');
my $pid = $other->query_safe('SELECT pg_backend_pid()');
$other->query_until(qr/asked/, "\\echo asked\nSELECT 'other ' || count(*) FROM acteon_outbox_claim('other');\n");
ok($node->poll_query_until('failover', "SELECT wait_event = 'advisory' FROM pg_stat_activity WHERE pid = $pid"), 'another one waits for it');
$one->query_safe('COMMIT');
is($other->query_safe(q{SELECT 'after'}) =~ s/\s+/ /gr, 'other 0 after', '… and gets nothing either');
is($node->safe_psql('failover', q{SELECT count(*) FROM acteon_replay_log WHERE event = 'failover'}), '1', 'it is logged once');
is($node->safe_psql('failover', q{SELECT count(*) FILTER (WHERE doubt_since IS NULL) FROM acteon_dispatch_segment}), '0', 'all that was due is in doubt');
# … and rolled back, it is noticed again by the same session
$node->safe_psql('failover', q{
	UPDATE acteon_dispatch_segment SET doubt_since = NULL, doubt = NULL, due_at = now();
	UPDATE acteon_replay_installation SET server = '1/1'});
$one->quit;
$one = $node->background_psql('failover');
is($one->query_safe(q{BEGIN; SELECT count(*) FROM acteon_outbox_claim('one'); SELECT count(*) FROM acteon_outbox_claim('one'); ROLLBACK}), "0\n0", 'noticed, and rolled back');
is($one->query_safe(q{SELECT count(*) FROM acteon_outbox_claim('one')}), '0', 'noticed again');
$one->quit;
$other->quit;
check_is_empty('after a failover', 'failover');

# Who steers a batch notices a failover as well: what may have been sent is not cancelled, and what gets other due times is not sent unasked.
new_database('steered', '1.1', 300);
$node->safe_psql('steered', q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 100, canary => 'off')}) foreach 1 .. 3;
foreach my $steered ([ 1, 'acteon_replay_cancel(1)' ], [ 2, 'acteon_replay_set_rate(2, 1)' ], [ 3, q{acteon_replay_cancel(3, tenant => 'acme')} ])
{
	my ($batch, $call) = @$steered;

	$node->safe_psql('steered', q{UPDATE acteon_dispatch_segment SET doubt_since = NULL, doubt = NULL, due_at = now(); UPDATE acteon_replay_installation SET server = '1/1'});
	$node->safe_psql('steered', "SELECT $call");
	is($node->safe_psql('steered', "SELECT sum(last_id - first_id + 1), count(*) FILTER (WHERE doubt LIKE 'the database was promoted%') = count(*) FROM acteon_dispatch_segment WHERE batch_id = $batch"),
		'100|t', "$call leaves in doubt what may have been sent");
}
is($node->safe_psql('steered', q{SELECT count(*) FROM acteon_dispatch_delivery}), '0', '… and ends none of it');
check_is_empty('after a failover that was noticed by steering', 'steered');
# What was cancelled and is not swept yet, a part and a whole batch, is not in doubt after a failover, and free.
new_database('cancelled', '1.1', 200);
$node->safe_psql('cancelled', $_) foreach (
	q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 100, canary => 'off')},
	q{CREATE TABLE claimed AS SELECT outbox_id, lease_token FROM acteon_outbox_claim('c', 1)},
	q{SELECT acteon_replay_cancel(1, tenant => 'acme')},
	q{SELECT acteon_outbox_nack(array_agg(outbox_id), array_agg(lease_token), array_agg('down'::text)) FROM claimed},
	q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 150, canary => 'off')},
	# As a cancel of too many at once.
	q{UPDATE acteon_replay_batch SET stopped = 'cancelling', stopped_at = now(), stopped_by = requested_by WHERE id = 2},
	q{UPDATE acteon_replay_installation SET server = '1/1'});
is($node->safe_psql('cancelled', q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 200, canary => 'off')}), '200', 'after a failover all that is cancelled is free');
is($node->safe_psql('cancelled', q{SELECT sum(last_id - first_id + 1), count(doubt_since) FROM acteon_dispatch_segment WHERE batch_id < 3}), '151|0', '… though it is not swept yet, and not in doubt');
check_is_empty('after a failover in a cancel', 'cancelled');
is($node->safe_psql('cancelled', q{SELECT count(*) FROM acteon_outbox_claim('c', 1000)}), '200', '… and goes out once');
is($node->safe_psql('cancelled', q{SELECT state, count(*) FROM acteon_dispatch_delivery GROUP BY 1}), 'cancelled|250', '… as the rest is swept');
# An answer notices it, too, which may be the first thing that comes, and which counts by its id: before a canary releases its next step.
new_database('answered', '1.1', 300);
$node->safe_psql('answered', q{SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 100, canary => 'off');
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', max_records => 100, canary => 'off');
	UPDATE acteon_replay_installation SET server = '1/1'});
$node->safe_psql('answered', q{SELECT acteon_outbox_ack('{1}', '{12345}', ARRAY['{"Executed": {"status": "success"}}'::jsonb], ARRAY[action_id]) FROM acteon_dispatch_outbox WHERE id = 1});
is($node->safe_psql('answered', q{SELECT sum(last_id - first_id + 1), count(*) FILTER (WHERE doubt LIKE 'the database was promoted%') = count(*) FROM acteon_dispatch_segment}),
	'199|t', 'an answer notices a failover');
is($node->safe_psql('answered', q{SELECT outbox_id, state, effect FROM acteon_dispatch_delivery}), '1|delivered|done', '… and counts');
check_is_empty('after a failover that was noticed by an answer', 'answered');

# A dead consumer's leases, more than a claim looks up, stop nothing that waits behind them, nor do doubts that are held.
new_database('many', '1.1', 7400);
$node->safe_psql('many', q{
	CALL acteon_replay_all(canary => 'off', from_time => '2000-01-01', on_doubt => 'hold', breaker_window => 0);
	SELECT count(*) FROM acteon_outbox_claim('dead', 7000);
	UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 h' WHERE lease_token IS NOT NULL});
is($node->safe_psql('many', q{SELECT count(*), min(outbox_id) FROM acteon_outbox_claim('c', 50)}), '0|', 'leases that ran out in front of what waits: a claim looks up only so many');
is($node->safe_psql('many', q{SELECT count(*), min(outbox_id) FROM acteon_outbox_claim('c', 50)}), '50|7001', '… and the next one gets what waits');
is($node->safe_psql('many', q{SELECT sum(last_id - first_id + 1) FROM acteon_dispatch_segment WHERE doubt_since IS NOT NULL}), '7000', '… while all of them are in doubt');
$node->safe_psql('many', q{UPDATE acteon_dispatch_segment SET due_at = now(), doubt_since = now() - interval '1 d' WHERE doubt_since IS NOT NULL});
is($node->safe_psql('many', q{SELECT count(*), min(outbox_id) FROM acteon_outbox_claim('c', 50)}), '50|7051', 'doubts that are due: a claim gets what waits at once');
is($node->safe_psql('many', q{SELECT sum(last_id - first_id + 1) FROM acteon_dispatch_segment WHERE doubt_since IS NOT NULL AND due_at > now()}), '1000', '… and looks up so many of them');
check_is_empty('with many doubts', 'many');

# An action that is sent again without proof, in a batch that has fallen behind its rate: neither stops the claims, whichever a claim meets first.
new_database('behind', '1.1', 20);
my $held = q{CREATE TEMP TABLE held AS SELECT * FROM acteon_outbox_claim('c', 1);};
my $of_held = 'array_agg(outbox_id), array_agg(lease_token)';
$node->safe_psql('behind', qq{
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01', rate => 1);
	$held
	SELECT acteon_outbox_doubt($of_held, array_agg('timed out'::text), array_agg(action_id)) FROM held;
	UPDATE acteon_dispatch_segment SET doubt_since = doubt_since - interval '10 min', due_at = now() WHERE doubt_since IS NOT NULL});
$node->safe_psql('behind', qq{
	SELECT make_record('somebody else', at => clock_timestamp(), outcome => 'executed');
	$held
	SELECT acteon_outbox_nack($of_held, array_agg('500'::text), array_agg(interval '0'), array_agg(action_id)) FROM held});
is($node->safe_psql('behind', 'SELECT first_id, resend FROM acteon_dispatch_segment WHERE unproven'), '1|1', 'an action waits to be sent again without proof');
foreach my $order ('1 min', '-1 min')
{
	$node->safe_psql('behind', "UPDATE acteon_dispatch_segment SET due_at = clock_timestamp() - interval '10 min' + CASE WHEN unproven THEN interval '$order' ELSE '0' END");
	my ($status, undef, $err) = $node->psql('behind', q{BEGIN; SELECT count(*) FROM acteon_outbox_claim('c', 1); ROLLBACK});
	is("$status $err", '0 ', "… met $order later than the others, in a batch that has fallen behind: the claim goes on");
}
ok($node->poll_query_until('behind', q{SELECT outbox_id FROM acteon_outbox_claim('c', 1)}, '1'), '… and it goes out');
check_is_empty('in a batch that has fallen behind', 'behind');

# While nobody can look, nothing that may have been executed goes out again.
$node->safe_psql('behind', q{
	UPDATE acteon_dispatch_segment SET lease_token = NULL, holder = NULL, due_at = clock_timestamp() WHERE unproven;
	SELECT make_record(action_id::text, at => clock_timestamp(), outcome => 'executed', details => '{"status": "Success"}') FROM acteon_dispatch_outbox WHERE id = 1;
	SELECT state FROM acteon_replay_pause(1)});
$gateway = $node->background_psql('behind');
$gateway->query_safe('BEGIN; LOCK TABLE acteon_audit');
is($node->safe_psql('behind', q{SELECT outbox_id FROM acteon_outbox_claim('c')}), '', 'the audit table is locked: an unproven action is not sent again without a look');
$gateway->quit;
$node->safe_psql('behind', 'UPDATE acteon_dispatch_segment SET due_at = clock_timestamp() WHERE unproven');
is($node->safe_psql('behind', q{SELECT count(*) FROM acteon_outbox_claim('c'); SELECT state, known_by, resend FROM acteon_dispatch_delivery WHERE outbox_id = 1}), "0\ndelivered|record|0", '… and its record is found afterwards');

# A claim that does not get a lock in time fails as a whole: the actions are not at fault.
new_database('locked_toast', '1.1', 0);
$node->safe_psql('locked_toast', q{
	SELECT make_record('a' || i, payload => jsonb_build_object('x', (SELECT string_agg(md5(random()::text || n || i), '') FROM generate_series(1, 400) AS n))) FROM generate_series(1, 3) AS i;
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01')});
$other = $node->background_psql('locked_toast');
$other->query_safe('BEGIN; REINDEX TABLE ' . $node->safe_psql('locked_toast', q{SELECT reltoastrelid::regclass FROM pg_class WHERE relname = 'acteon_dispatch_outbox'}));
(undef, undef, my $timed_out) = $node->psql('locked_toast', q{SET lock_timeout = '100 ms'; SELECT count(*) FROM acteon_outbox_claim('c')});
like($timed_out, qr/ERROR:  canceling statement due to lock timeout/, 'a claim that runs into lock_timeout');
$other->quit;
is($node->safe_psql('locked_toast', q{SELECT count(*) FROM acteon_dispatch_delivery; SELECT count(*) FROM acteon_outbox_claim('c')}), "0\n3", '… ends no action');

# What was put off under several ids and then cancelled is one action: of its records one is lost.
new_database('put_off', '1.1', 1);
$node->safe_psql('put_off', q{UPDATE acteon_audit SET outcome = 'circuit_open'; SELECT replayed FROM acteon_replay_bulk(lost => true)});
foreach my $resend (0, 1)
{
	$node->safe_psql('put_off', qq{
		$held
		SELECT acteon_outbox_ack($of_held, array_agg('{"Throttled": {"retry_after": {"secs": 0, "nanos": 0}}}'::jsonb), array_agg(action_id)) FROM held;
		SELECT make_record(h.action_id::text, outcome => 'throttled', at => '2026-02-01'::timestamptz + $resend * interval '1 min', metadata => jsonb_build_object('replayed_from', original_action_id)) FROM held AS h JOIN acteon_dispatch_outbox AS o ON o.id = outbox_id});
}
foreach my $moment ('before', 'after')
{
	$node->safe_psql('put_off', 'SELECT state FROM acteon_replay_cancel(1)') if $moment eq 'before';
	is($node->safe_psql('put_off', q{SELECT matched, replayable FROM acteon_replay_preview(lost => true) WHERE section = 'total' AND item = 'records'}), '3|1', "put off twice and cancelled: one record is lost, $moment it is swept");
	$node->safe_psql('put_off', q{SELECT count(*) FROM acteon_outbox_claim('c')});
}
is($node->safe_psql('put_off', q{SELECT replayed FROM acteon_replay_bulk(lost => true); SELECT count(*) FROM acteon_outbox_claim('c')}), "1\n1", '… and goes out once');

# An index of the administrator's that keeps what its insertions have read (BRIN, from PostgreSQL 17 on).
new_database('own_index', '1.1', 3);
is($node->safe_psql('own_index', q{
	CREATE INDEX ON acteon_dispatch_outbox USING brin (created_at);
	SELECT success FROM acteon_replay('a1');
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01')}), "t\n2", 'a block range index on the outbox');

done_testing();
