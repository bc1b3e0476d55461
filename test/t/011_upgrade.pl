# From 1.0 to the present version: nothing is lost, nothing goes out twice, what the administrator has added stays, and
# the catalogue is that of a fresh extension.  The database is one that 1.0 itself has left.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $node = new_server('upgrade');
my $version = $node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'acteon_replay'});

# What the statement returns, as a role.
sub as_role
{
	my ($role, $sql) = @_;

	return $node->safe_psql('old', "SET ROLE $role; $sql");
}

sub check_is_empty
{
	my ($name) = @_;

	is($node->safe_psql('old', 'SELECT * FROM acteon_outbox_check()'), '', "no violations: $name");
}

# The grants of functions, by name and first argument: the others may change.
my $acl = q{SELECT string_agg(p.proname || '(' || CASE p.proname WHEN 'acteon_outbox_read_stats' THEN '' ELSE coalesce(p.proargtypes[0]::regtype::text, '') END || ') ' || p.proowner::regrole || ' ' || coalesce(p.proacl::text, 'default'), E'\n' ORDER BY p.proname, p.proargtypes[0]::regtype::text)
	FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' WHERE p.proname ~ %s};
my $changed = q{'^acteon_(replay|replay_bulk|replay_preview|replay_all|outbox_claim|outbox_ack|outbox_nack|outbox_reject|outbox_read_stats|replay_read_batches|dispatch_lane)$'};

# The statements of acteon-relay 1.0.
my $claim = q{SELECT outbox_id, lease_token, attempt, action FROM public.acteon_outbox_claim('relay 1'::pg_catalog.text, %d::pg_catalog.int4, '1 day'::pg_catalog.interval)};
my $ack = q{SELECT public.acteon_outbox_ack('{%s}'::pg_catalog.int8[], '{%s}'::pg_catalog.int8[], ARRAY['{"Executed": {"status": "success"}}']::pg_catalog.jsonb[])};
my $nack = q{SELECT given_back, dead FROM public.acteon_outbox_nack('{%s}'::pg_catalog.int8[], '{%s}'::pg_catalog.int8[], '{%s}'::pg_catalog.text[], '{NULL}'::pg_catalog.interval[])};
my $reject = q{SELECT public.acteon_outbox_reject('{%s}'::pg_catalog.int8[], '{%s}'::pg_catalog.int8[], '{"400 Bad Request"}'::pg_catalog.text[])};
my $extend = q{SELECT pg_catalog.unnest(public.acteon_outbox_extend('{%s}'::pg_catalog.int8[], '1 day'::pg_catalog.interval))};
my $stats = q{SELECT depth, due, retrying, scheduled, leased, dead, EXTRACT(epoch FROM oldest_due_age) >= 0, paused FROM public.acteon_outbox_stats};
my $batches = q{SELECT batch_id, waiting, in_flight, delivered, dead, cancelled, state OPERATOR(pg_catalog.=) 'paused'::pg_catalog.text FROM public.acteon_replay_batches
	WHERE state OPERATOR(pg_catalog.=) ANY ('{enqueuing,running,paused}'::pg_catalog.text[]) OR in_flight OPERATOR(pg_catalog.>) 0::pg_catalog.int8 ORDER BY batch_id DESC LIMIT 50};

$node->safe_psql('postgres', 'CREATE DATABASE old');
$node->safe_psql('old', q{CREATE EXTENSION acteon_replay VERSION '1.0'});
$node->safe_psql('old', fixture($_)) foreach qw(audit_table audit_indexes);
$node->safe_psql('old', fixture('helpers') =~ s/, acteon_dispatch_action[^;]*//r);
$node->safe_psql('old', fixture('version_1.0'));

# What an administrator may have done to it.
$node->safe_psql('old', q{
	CREATE ROLE reporter; CREATE ROLE auditor; CREATE ROLE keeper;
	GRANT USAGE, CREATE ON SCHEMA public TO keeper;
	ALTER TABLE acteon_grants ADD COLUMN ticket text;
	UPDATE acteon_grants SET ticket = 'OPS-' || id;
	ALTER TABLE acteon_dispatch_outbox ADD COLUMN note text;
	-- tables that the update makes wider, one of them with a hole as well
	ALTER TABLE acteon_replay_batch ADD COLUMN ticket text, ADD COLUMN gone integer;
	ALTER TABLE acteon_replay_batch DROP COLUMN gone;
	ALTER TABLE acteon_dispatch_segment ADD COLUMN gone integer, ADD COLUMN also_gone text;
	ALTER TABLE acteon_dispatch_segment DROP COLUMN gone, DROP COLUMN also_gone;
	ALTER TABLE acteon_dispatch_delivery ADD COLUMN seen integer, ADD COLUMN note text;
	ALTER TABLE acteon_replay_tally ADD COLUMN note text;
	ALTER TABLE acteon_replay_installation ADD COLUMN site integer;
	UPDATE acteon_replay_batch SET ticket = 'INC-' || id;
	UPDATE acteon_dispatch_delivery SET seen = outbox_id, note = 'n';
	UPDATE acteon_replay_installation SET site = 7;
	CREATE INDEX own_outbox_idx ON acteon_dispatch_outbox (tenant, created_at);
	CREATE INDEX own_grants_idx ON acteon_grants (ticket);
	CREATE VIEW own_view AS SELECT s.depth, b.state FROM acteon_outbox_stats AS s, acteon_replay_batches AS b;
	GRANT SELECT, DELETE ON acteon_replay_tally TO reporter;
	GRANT SELECT ON acteon_outbox_stats, acteon_dispatch_segment TO reporter;
	GRANT SELECT (reason) ON acteon_replay_log TO auditor;
	DO $$
	DECLARE
		f regprocedure;
	BEGIN
		FOR f IN SELECT oid FROM pg_proc WHERE proname IN ('acteon_replay_bulk', 'acteon_replay', 'acteon_replay_all', 'acteon_outbox_claim', 'acteon_replay_pause') LOOP
			EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', f);
			EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO oncall, relay, reporter WITH GRANT OPTION', f);
			EXECUTE format('SET ROLE reporter; GRANT EXECUTE ON ROUTINE %s TO auditor; RESET ROLE', f);
		END LOOP;
	END
	$$;
	REVOKE EXECUTE ON FUNCTION acteon_replay_lineage FROM PUBLIC;
	ALTER FUNCTION acteon_outbox_nack OWNER TO keeper});
my $grants = $node->safe_psql('old', sprintf($acl, $changed));
my $others = $node->safe_psql('old', sprintf($acl, q{'^acteon_(replay_pause$|replay_lineage|authorized|api_(begin|finish|housekeeping|key|login))'}));
like($grants, qr/^acteon_replay_bulk\(text\) \w+ \{.*oncall=X\*.*auditor=X\/reporter/m, 'the administrator has granted functions');
my $rows = q{SELECT string_agg(t, E'\n') FROM (
	SELECT 'outbox ' || id || action_id || original_action_id || generation FROM acteon_dispatch_outbox UNION ALL
	SELECT 'delivery ' || outbox_id || finished_at || state || coalesce(outcome::text, error, '') || seen || note FROM acteon_dispatch_delivery UNION ALL
	SELECT 'batch ' || id || requested_by || query || replayed || coalesce(stopped, '') || coalesce(cursor, '') || ticket FROM acteon_replay_batch UNION ALL
	SELECT 'log ' || id || event || coalesce(reason, '') FROM acteon_replay_log UNION ALL
	SELECT 'key ' || id || name || key_sha256::text || role || (revoked_at IS NULL) FROM acteon_api_keys UNION ALL
	SELECT 'grant ' || id || grantee || role || ticket FROM acteon_grants UNION ALL
	SELECT 'tally ' || batch_id || state || coalesce(outcome, '') || actions FROM acteon_replay_tally UNION ALL
	SELECT 'segment ' || first_id || ' ' || last_id || batch_id || attempt || was_claimed || coalesce(holder, '') || coalesce(lease_token::text, '') FROM acteon_dispatch_segment
	ORDER BY 1) AS r (t)};
my $before = $node->safe_psql('old', $rows);
my $file_of_deliveries = q{SELECT pg_relation_filenode('acteon_dispatch_delivery')};
my $file_before = $node->safe_psql('old', $file_of_deliveries);

$node->safe_psql('old', 'ALTER EXTENSION acteon_replay UPDATE');
is($node->safe_psql('old', q{SELECT extversion FROM pg_extension WHERE extname = 'acteon_replay'}), $version, 'it is the present version');

# Nothing is lost.
is($node->safe_psql('old', $rows), $before, 'every row is there');
is($node->safe_psql('old', $file_of_deliveries), $file_before, '… and the deliveries, which may be many, were not rewritten');
is($node->safe_psql('old', q{SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = 'acteon_dispatch_delivery'::regclass AND attname = 'outcome'}), 'acteon_outcome', '… though their outcomes have another type');
is($node->safe_psql('old', sprintf($acl, $changed)), $grants, 'functions that were made anew have their owners and grants');
is($node->safe_psql('old', sprintf($acl, q{'^acteon_(replay_pause$|replay_lineage|authorized|api_(begin|finish|housekeeping|key|login))'})), $others, '… and so have the others');
is($node->safe_psql('old', q{SELECT count(*) FROM pg_proc WHERE proname ~ '_1_0$'}), '0', '… and nothing of the old ones is left');
is($node->safe_psql('old', q{SELECT has_table_privilege('reporter', 'acteon_replay_tally', 'DELETE'), has_table_privilege('reporter', 'acteon_dispatch_segment', 'SELECT'), has_column_privilege('auditor', 'acteon_replay_log', 'reason', 'SELECT')}), 't|t|t', 'grants on tables stay');
is($node->safe_psql('old', q{SELECT count(*) FROM pg_index WHERE indexrelid IN ('own_outbox_idx'::regclass, 'own_grants_idx'::regclass) AND indisvalid}), '2', 'own indexes stay');
is($node->safe_psql('old', q{SELECT count(*) FROM own_view}), '5', 'an own view on the extension\'s views works');
is($node->safe_psql('old', q{SELECT count(*) FROM pg_init_privs AS i JOIN pg_proc AS p ON p.oid = i.objoid WHERE i.classoid = 'pg_proc'::regclass AND i.initprivs::text LIKE '%oncall%'}), '0', 'what the administrator has granted is not made the extension\'s');
my $file = "$PostgreSQL::Test::Utils::tmp_check/old.sql";
$node->command_ok([ 'pg_dump', '--schema-only', '--file', $file, $node->connstr('old') ], 'it can be dumped');
my $dump = slurp_file($file);
like($dump, qr/^GRANT ALL ON FUNCTION public\.acteon_replay_bulk\(.*\) TO oncall WITH GRANT OPTION;$/m, 'a dump has the grants');
like($dump, qr/^REVOKE ALL ON FUNCTION public\.acteon_outbox_claim\(.*\) FROM PUBLIC;$/m, '… and what was revoked');
my ($status, $out, $err) = $node->psql('old', 'DROP ROLE reporter');
like($err, qr/privileges for function acteon_replay_bulk\(/, 'a role that has grants cannot be dropped');
is($node->safe_psql('old', q{SELECT key_name, role FROM acteon_api_login('\x478373d6b2866bdfac2890c071f4b66a9c5c5c4189b496d1d90bfa71df2c42be')}), 'dashboard|oncall', 'an API key works');
like(($node->psql('old', q{SELECT * FROM acteon_api_login('\xe7f882207cb4e4ef271d940aa8754926668efe02847e88b806b28ac5631cefc4')}))[2], qr/ERROR/, '… and a revoked one does not');
check_is_empty('after the update');

# The states of batches, of leases, of dead letters.
is($node->safe_psql('old', q{SELECT batch_id, state, replayed, waiting, in_flight, in_doubt, delivered, dead, cancelled, on_doubt FROM acteon_replay_batches ORDER BY 1}),
	"1|finished|3|0|0|0|3|0|0|resend\n2|cancelled|6|0|1|0|1|0|4|resend\n3|running|12|4|2|3|2|1|0|resend\n4|paused|4|4|0|0|0|0|0|resend\n5|interrupted|10|10|0|0|0|0|0|resend",
	'batches are in the states that they were in');
is(as_role('oncall', q{SELECT outbox_id, error FROM acteon_dead_letters}), '204|400 Bad Request', 'a dead letter is one');

# A relay of 1.0 that is still running, and one of the present version beside it.
is(as_role('relay', $batches), "4|4|0|0|0|0|t\n3|4|2|2|1|0|f\n2|0|1|1|0|4|f", 'a relay of 1.0 sees the batches, but for the interrupted one, whose state it does not know');
like(as_role('relay', $stats), qr/^\d+\|\d+\|\d+\|\d+\|3\|1\|t\|4$/, '… and the queue');
my %token = split(/[|\n]/, $node->safe_psql('old', q{SELECT first_id, lease_token FROM acteon_dispatch_segment WHERE holder = 'relay 1'}));
is(join(' ', sort { $a <=> $b } keys %token), '102 206', 'the leases of the relay of 1.0');
is(as_role('relay', sprintf($extend, $token{206})), $token{206}, '… can be extended');
is(as_role('relay', sprintf($ack, 102, $token{102})), '1', '… and answered');
is(as_role('relay', sprintf($reject, 206, $token{206})), '1', '… also with a rejection');
is(as_role('relay', sprintf($nack, 207, $token{206}, 'time-out')), '1|0', '… and given back');
my @claimed;
foreach my $relay ($claim, q{SELECT outbox_id, lease_token, attempt, action FROM acteon_outbox_claim('relay 2', %d)})
{
	my $claimed = as_role('relay', sprintf($relay, 2));
	push @claimed, map { [ split(/\|/) ] } split(/\n/, $claimed);
}
is(join(' ', map { $_->[0] } @claimed), '209 210 211 212', 'relays of both versions get what was never handed out, each something else');
is(as_role('relay', sprintf($ack, @{ $claimed[0] }[0, 1])), '1', 'the one answers without ids');
my $id = $claimed[2][3] =~ /"id": ?"([^"]+)"/ ? $1 : '';
is(as_role('relay', qq{SELECT acteon_outbox_ack('{$claimed[2][0]}', '{$claimed[2][1]}', ARRAY['{"Executed": {"status": "success"}}'::jsonb], '{$id}')}), '1', '… the other with');
is(as_role('relay', sprintf($ack, @{ $claimed[1] }[0, 1])) + as_role('relay', sprintf($ack, @{ $claimed[3] }[0, 1])), 2, '… and so the rest');
check_is_empty('with relays of both versions');

# The batches go on.
is(as_role('oncall', q{SELECT state FROM acteon_replay_resume(4); SELECT state FROM acteon_replay_set_rate(4, NULL); SELECT state FROM acteon_replay_set_rate(5, NULL)}), "running\nrunning\ninterrupted", 'the paused batch is resumed');
as_role('oncall', q{CALL acteon_replay_continue(5)});
is($node->safe_psql('old', q{SELECT replayed, state FROM acteon_replay_batches WHERE batch_id = 5}), '40|running', 'acteon_replay_all goes on where 1.0 was cancelled');
is($node->safe_psql('old', q{SELECT count(*), count(DISTINCT original_action_id), count(DISTINCT action_id), max(generation) FROM acteon_dispatch_outbox}), '65|65|65|1', '… with nothing twice');
# What is in doubt goes out again when the audit table, which is alive, has no record of it.
$node->safe_psql('old', q{
	SELECT make_record('alive', at => clock_timestamp(), outcome => 'executed', details => '{"status": "Success"}');
	UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE lease_token IS NULL OR first_id = 208});
my %handed;
for (1 .. 10)
{
	$node->safe_psql('old', q{UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s', doubt_since = now() - interval '1 h' WHERE doubt_since IS NOT NULL});
	$node->safe_psql('old', q{UPDATE acteon_dispatch_segment SET due_at = now() - interval '1 s' WHERE lease_token IS NULL});
	foreach (split(/\n/, as_role('relay', sprintf($claim, 20))))
	{
		my ($outbox_id, $token) = split(/\|/);

		$handed{$outbox_id}++;
		as_role('relay', sprintf($ack, $outbox_id, $token));
	}
}
is(scalar(grep { $_ > 1 } values %handed), 0, 'nothing is handed out twice');
is($node->safe_psql('old', q{SELECT string_agg(outbox_id || ' ' || resend || ' ' || unproven, ', ' ORDER BY 1) FROM acteon_dispatch_delivery WHERE resend > 0}), '203 1 true, 205 1 true, 208 1 true', '… what 1.0 had handed out goes under a new id');
is($node->safe_psql('old', q{SELECT count(*) FROM acteon_dispatch_segment}), '0', 'nothing is left in the queue');
is($node->safe_psql('old', q{SELECT state, count(*) FROM acteon_dispatch_delivery GROUP BY 1 ORDER BY 1}), "cancelled|4\ndead|2\ndelivered|59", 'every action has ended, once');
is($node->safe_psql('old', q{SELECT batch_id, state, delivered, dead, cancelled FROM acteon_replay_batches ORDER BY 1}), "1|finished|3|0|0\n2|cancelled|2|0|4\n3|finished|10|2|0\n4|finished|4|0|0\n5|finished|40|0|0", '… and counts in its batch');
is($node->safe_psql('old', q{SELECT count(ticket), count(*) FROM acteon_replay_batch}), '5|5', 'own columns keep what they had');
is($node->safe_psql('old', q{SELECT count(seen), sum(seen - outbox_id), count(*) FROM acteon_dispatch_delivery}), '11|0|65', '… and what comes later has nothing in them');
is($node->safe_psql('old', q{SELECT replayed FROM acteon_replay_bulk(matched_rule => 'running', include_replayed => true, allow_effective => true, on_doubt => 'hold', max_records => 3); SELECT ticket, on_doubt FROM acteon_replay_batch ORDER BY id DESC LIMIT 1; SELECT site FROM acteon_replay_installation}), "3\n|hold\n7", '… as new batches, too');
is($node->safe_psql('old', q{SELECT state, cancelled FROM acteon_replay_cancel(6)}), 'cancelled|3', '… which are steered as any');
check_is_empty('at the end');

# The catalogue of the updated database is that of a fresh one, but for what the administrator did.
$node->safe_psql('old', q{DROP VIEW own_view; DROP INDEX own_outbox_idx, own_grants_idx; ALTER TABLE acteon_grants DROP COLUMN ticket; ALTER TABLE acteon_dispatch_outbox DROP COLUMN note;
	ALTER TABLE acteon_replay_batch DROP COLUMN ticket; ALTER TABLE acteon_dispatch_delivery DROP COLUMN seen, DROP COLUMN note; ALTER TABLE acteon_replay_tally DROP COLUMN note; ALTER TABLE acteon_replay_installation DROP COLUMN site});
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION acteon_replay');
$node->safe_psql('postgres', 'CREATE DATABASE updated');
$node->safe_psql('updated', q{CREATE EXTENSION acteon_replay VERSION '1.0'; ALTER EXTENSION acteon_replay UPDATE});
my $catalogue = q{
	WITH e AS (SELECT d.classid, d.objid FROM pg_depend AS d JOIN pg_extension AS x ON x.oid = d.refobjid AND x.extname = 'acteon_replay' WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'),
	r AS (SELECT c.* FROM e JOIN pg_class AS c ON c.oid = objid WHERE classid = 'pg_class'::regclass)
	SELECT line FROM (SELECT 'object ' || pg_describe_object(classid, objid, 0) || ' ' || coalesce(obj_description(objid, classid::regclass::name), '') FROM e
	UNION ALL SELECT 'function ' || concat_ws(' ', pg_get_functiondef(p.oid), p.proacl, p.proowner::regrole, p.prosrc) FROM e JOIN pg_proc AS p ON p.oid = objid WHERE classid = 'pg_proc'::regclass
	UNION ALL SELECT 'relation ' || concat_ws(' ', r.relname, r.relkind, r.relpersistence, r.relrowsecurity, r.relforcerowsecurity, r.relowner::regrole, r.relacl, r.reloptions) FROM r
	UNION ALL SELECT 'column ' || concat_ws(' ', r.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attcollation::regcollation, a.attstorage, a.attacl, CASE WHEN a.attname <> 'namespace' THEN pg_get_expr(ad.adbin, ad.adrelid) END, col_description(r.oid, a.attnum))
		FROM r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped LEFT JOIN pg_attrdef AS ad ON ad.adrelid = r.oid AND ad.adnum = a.attnum
	UNION ALL SELECT 'index ' || pg_get_indexdef(i.indexrelid) || i.indisvalid || coalesce(obj_description(i.indexrelid, 'pg_class'), '') FROM r JOIN pg_index AS i ON i.indrelid = r.oid
	UNION ALL SELECT 'constraint ' || conname || ' ' || pg_get_constraintdef(k.oid) || k.convalidated FROM r JOIN pg_constraint AS k ON k.conrelid = r.oid WHERE k.contype <> 'n'
	UNION ALL SELECT 'policy ' || concat_ws(' ', polname, polrelid::regclass, polcmd, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) FROM r JOIN pg_policy ON polrelid = r.oid
	UNION ALL SELECT 'view ' || pg_get_viewdef(r.oid) FROM r WHERE r.relkind = 'v'
	UNION ALL SELECT 'trigger ' || concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled) FROM r JOIN pg_trigger AS t ON t.tgrelid = r.oid
	UNION ALL SELECT 'sequence ' || concat_ws(' ', r.relname, s.seqincrement, s.seqstart, s.seqmin, s.seqmax, s.seqcache) FROM r JOIN pg_sequence AS s ON s.seqrelid = r.oid
	UNION ALL SELECT 'attribute ' || t.typname || ' ' || a.attnum || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || coalesce(col_description(t.typrelid, a.attnum), '') FROM e JOIN pg_type AS t ON t.oid = objid AND t.typtype = 'c' JOIN pg_class AS k ON k.oid = t.typrelid AND k.relkind = 'c' JOIN pg_attribute AS a ON a.attrelid = t.typrelid AND a.attnum > 0 WHERE classid = 'pg_type'::regclass
	UNION ALL SELECT 'dumped ' || c::regclass || ' ' || w FROM pg_extension AS x, unnest(x.extconfig, x.extcondition) AS u (c, w) WHERE x.extname = 'acteon_replay'
	UNION ALL SELECT 'initial privileges ' || pg_describe_object(i.classoid, i.objoid, i.objsubid) || i.initprivs::text FROM e JOIN pg_init_privs AS i ON i.classoid = e.classid AND i.objoid = e.objid
	) AS c (line) ORDER BY line COLLATE "C"};
my $fresh = $node->safe_psql('fresh', $catalogue);
cmp_ok(scalar(split(/\n/, $fresh)), '>', 400, 'there is something to compare');
is($node->safe_psql('updated', $catalogue), $fresh, 'an updated catalogue equals a fresh one');
$node->safe_psql('old', sprintf(q{
	ALTER FUNCTION acteon_outbox_nack OWNER TO %s;
	DO $$
	DECLARE
		f regprocedure;
	BEGIN
		FOR f IN SELECT objid FROM pg_depend WHERE classid = 'pg_proc'::regclass AND deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'acteon_replay') LOOP
			EXECUTE format('REVOKE ALL ON ROUTINE %%s FROM oncall, relay, reporter CASCADE', f);
		END LOOP;
	END
	$$;
	REVOKE ALL ON acteon_replay_tally, acteon_outbox_stats, acteon_dispatch_segment FROM reporter;
	REVOKE ALL (reason) ON acteon_replay_log FROM auditor}, $node->safe_psql('old', 'SELECT current_user')));
# What is left of grants that were taken back says so; that is not compared.
sub without_acl { my ($text) = @_; return join("\n", grep { !/^(function|relation|column) / } split(/\n(?=[a-z]+ )/, $text)); }
is(without_acl($node->safe_psql('old', $catalogue)), without_acl($fresh), '… also with everything in it');

done_testing();
