# What a session has set changes nothing of what is enqueued, logged, previewed and listed: every setting that a user or
# a superuser can change is set to each of its extremes while a fixed scenario runs.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use Acteon;

my $node = new_server('settings');

# Values of settings that are strings, and of numbers whose extremes end a statement before it has begun.
my %values = (
	DateStyle => [ 'German, DMY', 'SQL, MDY', 'Postgres, YMD', 'ISO, DMY' ],
	TimeZone => [ 'Asia/Kathmandu', 'America/St_Johns', 'Pacific/Kiritimati', '-167:59' ],
	search_path => [ '', 'pg_catalog', 'elsewhere, pg_catalog', 'pg_temp', '"$user"' ],
	client_encoding => [ 'LATIN1', 'SQL_ASCII', 'EUC_JP', 'WIN1251', 'SJIS' ],
	lc_monetary => ['C'], lc_numeric => ['C'], lc_time => ['C'], lc_messages => ['C'],
	statement_timeout => ['1h'], lock_timeout => ['1h'], idle_session_timeout => ['1h'], idle_in_transaction_session_timeout => ['1h'],
	transaction_timeout => ['1h'], client_connection_check_interval => ['1h'],
	default_text_search_config => ['pg_catalog.german'], timezone_abbreviations => ['Australia'],
	role => [], session_authorization => [], default_table_access_method => [], default_tablespace => [], temp_tablespaces => [],
	application_name => ["it''s; --"], dynamic_library_path => [''], log_statement_stats => [],
	stats_fetch_consistency => [ 'none', 'snapshot' ],
	max_stack_depth => [ '100kB', '2MB' ], temp_file_limit => [ '64kB', '-1' ], vacuum_cost_delay => ['100'],
	local_preload_libraries => [], session_preload_libraries => [], wal_consistency_checking => ['all'],
	createrole_self_grant => ['set, inherit'], extension_destdir => [], output_plugin_libraries => [], restrict_nonsystem_relation_kind => [''],
	# One that is well-formed is kept with what is replayed; see 086_trace.pl.
	'acteon_replay.traceparent' => [ 'malformed', 'x' x 1000 ], 'acteon_replay.tracestate' => ['a=b'],
	# These change what is replayed on purpose.
	(map { ("acteon_replay.$_" => []) } qw(audit_table redaction_placeholder intent_grace max_attempts gateway_patience audit_is_live require_reason plan_above approval_above targets dedup_window)),
);
# Under these the scenario is refused, by the server, as any change is; then nothing must have been done.
my %refused = (
	'default_transaction_read_only=on' => qr/read-only transaction/, 'transaction_read_only=on' => undef,
	'default_transaction_isolation=serializable' => undef, 'default_transaction_isolation=repeatable read' => undef,
);

$node->safe_psql('postgres', q{
	CREATE SCHEMA elsewhere;
	CREATE ROLE op;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('op', 'admin', '{acme}', '{*}', '{*}'), ('op', 'gateway', '{*}', '{*}', '{*}');
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES ('op', 'admin', '{*}', '{*}', '{push}', '{*}');
	CREATE TABLE seen (n serial, what text, value text);
	GRANT INSERT, SELECT ON seen TO op; GRANT USAGE ON SEQUENCE seen_n_seq TO op; CREATE TABLE claimed (id bigint, token bigint, action json);
	GRANT INSERT, SELECT ON claimed TO op;
	SELECT make_record('id-' || i, at => timestamptz '2026-03-29 00:59:59.999999+00' + i * interval '1 h', tenant => CASE WHEN i % 5 = 4 THEN 'globex' ELSE 'acme' END,
		outcome => (ARRAY['failed', 'circuit_open', 'executed', 'pending', 'throttled'])[1 + i % 5], payload => jsonb_build_object('n', i * 0.1, 'big', 1e300::numeric, 'text', CASE WHEN i > 0 THEN chr(233) || chr(8364) END || '\\x"', 'at', '2026-02-01'),
		metadata => jsonb_build_object('__starts_at', '2026-03-29T01:30:00.123456789Z', '__ends_at', '2996-10-25T02:30:00+02:00', '__fingerprint', 'f' || i % 3, 'price', 1.10, 'k', CASE WHEN i > 0 THEN chr(233) END))
	FROM generate_series(0, 19) AS i;
	CALL make_chain();
	CREATE TABLE kept AS TABLE acteon_audit;
});

# The second of two claims tells what the first has not told, as the one before them was full.
# What is handed out is ASCII: what the client's encoding does not have ends dead.  No operators, casts and literals that a setting gives another meaning, but what is called.
my $scenario = q{
	INSERT INTO public.seen (what, value) SELECT 'preview', pg_catalog.jsonb_set(public.acteon_replay_preview('{"lost": true, "from": "2026-03-29T00:00:00Z", "to": "2026-04-01T00:00:00+02:00", "rate": 12.5, "ramp": true}'::jsonb), '{plan}', 'null')::text;
	INSERT INTO public.seen (what, value) SELECT 'timeline', row(extract(epoch FROM t.bucket_from), extract(epoch FROM t.bucket_to), t.records)::text FROM public.acteon_replay_timeline() AS t;
	INSERT INTO public.seen (what, value) SELECT 'cause', row(c.provider, c.outcome, c.signature, c.records, c.tenants, c.sample_action_id)::text FROM public.acteon_replay_causes() AS c;
	INSERT INTO public.seen (what, value) SELECT 'record', public.acteon_audit_record('id-0')::text;
	INSERT INTO public.seen (what, value) SELECT 'records', public.acteon_audit_records()::text;
	INSERT INTO public.seen (what, value) SELECT 'chain', row(v.finding, v.sequence_number, v.record_id, v.action_id, extract(epoch FROM v.dispatched_at), v.record_hash, v.records, v.detail)::text FROM public.acteon_audit_verify('prod', 'acme', from_time => '2026-03-29T00:00:00Z', max_records => 3) AS v;
	INSERT INTO public.seen (what, value) SELECT 'signature', public.acteon_error_signature('at 2026-03-29 01:00:00.5+02:00 1.50 "x"');
	INSERT INTO public.seen (what, value) SELECT 'single', row(r.*)::text FROM public.acteon_replay('id-0', reason => 'because') AS r;
	INSERT INTO public.seen (what, value) SELECT 'bulk', row(replayed, failed, skipped, results, next_cursor)::text FROM public.acteon_replay_bulk(tenant => 'acme', outcome => 'failed,circuit_open', from_time => '2026-03-29 00:00:00+00', to_time => '2026-04-01 00:00:00+00', max_records => 3, rate => 0.125, include_replayed => true);
	CALL public.acteon_replay_run('{"lost": true, "from": "2026-03-29T00:00:00.5Z", "to": "2026-04-01T00:00:00+02:00", "rate": 1000, "expire_after": "P90Y1M2DT1H30.5S"}', chunk => 2, reason => 'all');
	INSERT INTO public.seen (what, value) SELECT 'limit', public.acteon_replay_limit_set(tenant => 'acme', rate => 100000000.5, concurrency => 1000, reason => 'agreed')::text;
	INSERT INTO public.seen (what, value) SELECT 'policy', public.acteon_replay_policy_set('p', '{"tenant": "nobody", "from": "2026-03-29T00:00:00Z", "exclude_ids": ["id-1"]}', rate => 0.5, quiet_from => '22:30', quiet_to => '06:00', time_zone => 'Europe/Berlin', max_a_day => 1000, probe_every => '00:00:05', max_age => '2 days 01:30:00', reason => 'agreed')::text;
	INSERT INTO public.seen (what, value) SELECT 'quiet', extract(epoch FROM public.acteon_quiet_until('2026-03-28 21:30:00+00', '22:30', '02:30', 'Europe/Berlin'))::text;
	INSERT INTO public.seen (what, value) SELECT 'run', count(*)::text FROM public.acteon_replay_policy_run();
	INSERT INTO public.seen (what, value) SELECT 'closed', public.acteon_replay_breaker_close('push')::text;
	INSERT INTO public.seen (what, value) SELECT 'notify', public.acteon_replay_notify_set('ops', 'push', 'message', 'ops', 'acme', '{"text": "{{summary}}", "share": 0.5, "actions": "{{replayed}}"}', events => '{cancelled,finished}', tenants => '{acme}', reason => 'agreed')::text;
	INSERT INTO public.claimed SELECT outbox_id, lease_token, action FROM public.acteon_outbox_claim('c', 1);
	INSERT INTO public.seen (what, value) SELECT 'claim', regexp_replace(action::text, '"created_at": "[^"]*"', '') FROM public.claimed;
	INSERT INTO public.seen (what, value) SELECT 'ack', public.acteon_outbox_ack(array_agg(id), array_agg(token), array_agg('{"Executed": {"status": "success", "n": 1.50}}'::jsonb))::text FROM public.claimed;
	INSERT INTO public.seen (what, value) SELECT 'audit tells', public.acteon_outbox_audit_tells('2026-03-29 00:00:00+00', '2026-03-29 02:00:00+00');
	INSERT INTO public.seen (what, value) SELECT 'pause', row(p.*)::text FROM public.acteon_replay_pause(2, 'wait') AS p;
	INSERT INTO public.seen (what, value) SELECT 'rate', row(p.*)::text FROM public.acteon_replay_set_rate(2, 0.5, 'slower') AS p;
	INSERT INTO public.seen (what, value) SELECT 'pause all', row(p.*)::text FROM public.acteon_replay_pause_all('stop') AS p;
	INSERT INTO public.seen (what, value) SELECT 'resume all', row(p.*)::text FROM public.acteon_replay_resume_all('go') AS p;
	INSERT INTO public.seen (what, value) SELECT 'cancel', row(p.*)::text FROM public.acteon_replay_cancel(3, 'enough') AS p;
	INSERT INTO public.seen (what, value) SELECT 'told', regexp_replace(action::text, '"created_at": "[^"]*"', '') FROM public.acteon_outbox_claim('c', 100) WHERE action #>> '{metadata,acteon_notify}' IS NOT NULL;
	INSERT INTO public.seen (what, value) SELECT 'told', regexp_replace(action::text, '"created_at": "[^"]*"', '') FROM public.acteon_outbox_claim('c', 100) WHERE action #>> '{metadata,acteon_notify}' IS NOT NULL;
	INSERT INTO public.seen (what, value) SELECT 'lineage', row(id, source, generation, depth, batch_id, reason, state)::text FROM public.acteon_replay_lineage('id-0');
	INSERT INTO public.seen (what, value) SELECT 'items', row(outbox_id, original_action_id, state, outcome, error, effect)::text FROM public.acteon_replay_items(1) ORDER BY outbox_id;
	INSERT INTO public.seen (what, value) SELECT 'batch', row(batch_id, state, query, replayed, waiting, in_flight, delivered, cancelled, progress, rate, reason)::text FROM public.acteon_replay_batches ORDER BY batch_id;
	INSERT INTO public.seen (what, value) SELECT 'proof', row(p.*)::text FROM public.acteon_replay_proof(1) AS p;
	INSERT INTO public.seen (what, value) SELECT 'stats', row(depth, leased, dead, paused, in_doubt)::text FROM public.acteon_outbox_stats;
	INSERT INTO public.seen (what, value) SELECT 'check', row(c.*)::text FROM public.acteon_outbox_check() AS c;
	SELECT public.acteon_replay_trail_link() IS NULL;
	INSERT INTO public.seen (what, value) SELECT 'verify', row(v.verdict, v.subject)::text FROM public.acteon_replay_verify(public.acteon_replay_witness()) AS v;
	INSERT INTO public.seen (what, value) SELECT 'required', row(replayed, failed, skipped, results)::text FROM public.acteon_replay_bulk(tenant => 'acme', outcome => 'failed', max_records => 2, include_replayed => true, verify => 'required');
	INSERT INTO public.seen (what, value) SELECT 'purge', public.acteon_outbox_purge('P90DT1H30M')::text;
};

# What is there afterwards, in a session that has set nothing; times of the run itself are left out.
my $result = q{
	SELECT what, value FROM seen ORDER BY n;
	SELECT 'outbox', row(id, batch_id, action_id, generation, original_action_id, namespace, tenant, provider, action_type, payload, labels, dedup_key, status, fingerprint, starts_at, ends_at, expires_at) FROM acteon_dispatch_outbox ORDER BY id;
	SELECT 'segment', row(first_id, last_id, batch_id, attempt, was_claimed, lane) FROM acteon_dispatch_segment ORDER BY first_id;
	SELECT 'delivery', row(outbox_id, state, outcome, error, effect, resend) FROM acteon_dispatch_delivery ORDER BY outbox_id;
	SELECT 'batch', row(id, requested_by, reason, query, replayed, failed, skipped, passed_over, failures, scope, matched, chunk, cursor, is_complete, rate, stopped) FROM acteon_replay_batch ORDER BY id;
	SELECT 'limit', row(key, kind, name, rate, concurrency, breaker_window, breaker_share, opened_at, reason) FROM acteon_replay_limit ORDER BY key;
	SELECT 'notify', row(name, provider, payload, events, tenants, namespaces, min_actions, set_by, reason) FROM acteon_replay_notify ORDER BY name;
	SELECT 'policy', row(name, role_name, query, rate, canary, quiet_from, quiet_to, time_zone, max_a_day, probe_every, max_age, reason, day_actions, disabled, error) FROM acteon_replay_policy ORDER BY name;
	SELECT 'log', row(event, batch_id, role_name, reason, details - 'all') FROM acteon_replay_log ORDER BY id;
};

# Run the scenario under some settings; returns what was said of errors, and what is there.
sub run_under
{
	my (@settings) = @_;
	my $set = join('', map { my ($name, $value) = /^(.*?)=(.*)$/s; $name = qq("$name") if $name !~ /\./; "SET $name = " . ($name =~ /search_path|DateStyle/i ? ($value eq '' ? "''" : $value) : "'$value'") . ";\n" } @settings);

	$node->safe_psql('postgres', q{CALL clean(); TRUNCATE seen, claimed RESTART IDENTITY; INSERT INTO acteon_audit TABLE kept});
	my $said = run_session("SELECT public.acteon_authorized('a', 'b', 'c', 'd');\n${set}SET ROLE op;\n$scenario");

	return ($said, $node->safe_psql('postgres', $result));
}

# The errors that a session reports.
sub run_session
{
	my ($sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 0);

	return join("\n", grep { /ERROR|FATAL|PANIC/ } split /\n/, $err);
}

my ($said, $expected) = run_under();
is($said, '', 'the scenario runs') or die;
like($expected, qr/^outbox\|.*^delivery\|.*^batch\|.*^log\|/ms, '… and leaves something of everything');
is((run_under())[1], $expected, '… the same each time');

# All settings, by what the server says of them.
my @variants;
foreach my $line (split /\n/, $node->safe_psql('postgres', q{
	SELECT acteon_authorized('a', 'b', 'c', 'd') \g /dev/null
	SELECT name, vartype, array_to_string(enumvals, ','), min_val, max_val FROM pg_settings WHERE context IN ('user', 'superuser') AND name !~ '^(log_|debug_|trace_|track_|backtrace|ignore_|zero_damaged|allow_in_place|exit_on_error|update_process_title)' ORDER BY name}))
{
	my ($name, $type, $enum, $min, $max) = split /\|/, $line, -1;
	my ($given) = grep { lc $_ eq lc $name } keys %values;
	my @values = $given ? @{ $values{$given} } : $type eq 'bool' ? qw(on off) : $type eq 'enum' ? split(/,/, $enum) : $type eq 'string' ? () : ($min, $max);

	fail("$name is a string: no values of it are tried") if $type eq 'string' && !$given;
	push @variants, map { "$name=$_" } @values;
}
cmp_ok(scalar(@variants), '>', 250, 'there are ' . scalar(@variants) . ' values of settings');

# Several at a time; if there is a difference, one by one.
my %alone = map { $_ => 1 } keys %refused;
my @together = grep { !$alone{$_} } @variants;
my (%groups, %count);
foreach my $variant (@together)
{
	my ($name) = split /=/, $variant;

	push @{ $groups{ $count{$name}++ } }, $variant;
}
foreach my $nth (sort { $a <=> $b } keys %groups)
{
	my @group = @{ $groups{$nth} };

	while (my @part = splice @group, 0, 8)
	{
		my ($errors, $there) = run_under(@part);

		next if ok($errors eq '' && $there eq $expected, join(', ', @part));
		foreach my $variant (@part)
		{
			my ($error, $single) = run_under($variant);

			is($error, '', "$variant: no error");
			is($single, $expected, "$variant: the same is there") if $error eq '';
		}
	}
}
foreach my $variant (grep { $alone{$_} } @variants)
{
	my ($error, $there) = run_under($variant);

	if (defined $refused{$variant})
	{
		like($error, $refused{$variant}, "$variant: refused");
		unlike($there, qr/^(outbox|batch|log|delivery|segment)\|/m, '… and nothing is done');
	}
	else
	{
		is($error, '', "$variant: no error");
		is($there, $expected, "$variant: the same is there");
	}
}

# ALTER SYSTEM knows the settings where the library is loaded, and only there before PostgreSQL 17.
my ($status, $out, $err) = $node->psql('postgres', q{ALTER SYSTEM SET acteon_replay.max_attempts = 4});
if ($node->safe_psql('postgres', 'SHOW server_version_num') < 170000)
{
	like($err, qr/unrecognized configuration parameter "acteon_replay.max_attempts"/, 'ALTER SYSTEM in a fresh session');
}
else
{
	is($status, 0, 'ALTER SYSTEM in a fresh session');
}
my $open = $node->background_psql('postgres');
is($open->query_safe(q{SELECT acteon_authorized('a', 'b', 'c', 'd')}), 't', 'a session is open');
$node->safe_psql('postgres', q{LOAD 'acteon_replay'});
($status, $out, $err) = $node->psql('postgres', qq{LOAD 'acteon_replay';\nALTER SYSTEM SET acteon_replay.max_attempts = 5;\nSELECT pg_reload_conf()});
is("$status $err", '0 ', '… after LOAD');
ok($node->poll_query_until('postgres', q{SELECT setting = '5' FROM (SELECT acteon_authorized('a', 'b', 'c', 'd')) AS a, LATERAL current_setting('acteon_replay.max_attempts') AS setting}), '… and it counts in new sessions');
is($open->query_safe('SHOW acteon_replay.max_attempts'), '5', '… and in those that are open');
$open->quit;
($status, $out, $err) = $node->psql('postgres', qq{LOAD 'acteon_replay';\nALTER SYSTEM SET acteon_replay.max_attempts = 0});
like($err, qr/0 is outside the valid range for parameter "acteon_replay.max_attempts"/, 'a wrong value is refused');

done_testing();
