# The trail against a superuser: of 1,000 random changes with plain SQL all are found where a witness was kept, and what
# nobody can find without one is not found. ACTEON_SEED repeats a run, ACTEON_CASES sets the number of changes.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Program;

my $seed = $ENV{ACTEON_SEED} // int(rand(1_000_000));
my $cases = $ENV{ACTEON_CASES} // 1_000;
note("ACTEON_SEED=$seed ACTEON_CASES=$cases");
srand($seed);

my $node = new_server('verify', conf => "fsync = off\nacteon_replay.targets = 'staging'\n");

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub violations { return sql("SELECT subject, reference, detail FROM acteon_replay_verify(" . ($_[0] ? "'$_[0]'" : '') . ") WHERE verdict = 'violation'") }

# Link until everything that was done before is settled.
sub settle
{
	my $wanted = sql('SELECT max(id) FROM acteon_replay_log');

	wait_until(sub {
			my $links = sql('SELECT acteon_replay_trail_link()');
			my $head = sql("SELECT log_id >= $wanted AND (SELECT count(*) FROM acteon_replay_trail AS t WHERE t.position > h.position - 2 AND kind = 'settled') = 2 FROM acteon_replay_trail_head AS h");
			return ($links == 0 && $head eq 't', "$links links, $head");
		}, 'the trail is settled');
	return;
}

# What is covered: all of these columns, and no others, of which it is said why.
my %others = (
	acteon_dispatch_outbox => {},
	acteon_dispatch_delivery => {},
	acteon_replay_log => { role_oid => 'is another one where a dump is restored; role_name is covered' },
	acteon_replay_removal => {},
	acteon_replay_trail => {},
	acteon_replay_trail_head => {
		singleton => 'is always true',
		(map { $_ => 'is noted for a later call, and hides nothing that is linked' } qw(next_xid next_log_id next_batch_id next_removal_id next_outbox_id next_finished_at)) },
	acteon_replay_batch => {
		(map { $_ => 'is another one where a dump is restored; the name is covered' } qw(requested_by_oid session_role_oid)),
		(map { $_ => 'changes while the batch is enqueued, or is only shown' } qw(failed skipped scope passed_over failures matched chunk cursor last_chunk_at is_complete)),
		(map { $_ => 'changes while the batch runs; the log has what people do' } qw(start_at rate paced_until breaker_window breaker_share breaker_since stopped stopped_at stopped_by stop_reason
			canary canary_step canary_first_id canary_last_id canary_actions canary_held canary_unrecorded parts told)),
		(map { $_ => 'is in the log' } qw(awaits_until approved_at approved_by patches)) });
my %covered = (
	acteon_dispatch_outbox => [ qw(id batch_id created_at action_id generation original_action_id namespace tenant provider action_type payload labels dedup_key status fingerprint starts_at ends_at expires_at target hash) ],
	acteon_dispatch_delivery => [ qw(outbox_id finished_at attempts state outcome error effect resend unproven known_by relay) ],
	acteon_replay_log => [ qw(id logged_at event batch_id role_name session_role reason details api_key) ],
	acteon_replay_batch => [ qw(id created_at requested_by session_role reason query plan on_doubt api_key probe_of replayed first_outbox_id last_outbox_id rows_hash owner_oid) ],
	acteon_replay_removal => [ qw(id removed_at event first_id last_id part ids hashes) ],
	acteon_replay_trail => [ qw(position linked_at kind reference batch_id offsets hashes hash) ],
	acteon_replay_trail_head => [ qw(hashed_from position hash log_id batch_id removal_id outbox_id finished_at) ]);
foreach my $table (sort keys %covered)
{
	is(sql("SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute WHERE attrelid = '$table'::regclass AND attnum > 0 AND NOT attisdropped"),
		join(' ', sort @{ $covered{$table} }, keys %{ $others{$table} }), "$table: each column is covered, or it is said why not");
}

# Some of everything, with gaps in all numbers.
sql(fixture('attack'));
sql(q{
	CREATE ROLE ops; CREATE ROLE guest; CREATE ROLE auditor; CREATE ROLE other;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('ops', 'admin', '{*}', '{*}', '{*}'), ('auditor', 'viewer', '{*}', '{*}', '{*}'), ('guest', 'viewer', '{acme}', '{*}', '{*}');
	SELECT count(make_record('a-' || n, at => '2026-01-01 12:00+00'::timestamptz + n * interval '1 s', payload => jsonb_build_object('to', 'user' || n, 'text', 'hello ü', 'n', '[1.50, null, true, {}]'::jsonb), tenant => (ARRAY['acme', 'globex'])[1 + n % 2],
		metadata => CASE WHEN n % 3 = 0 THEN jsonb_build_object('k', 'v' || n) WHEN n % 3 = 1 THEN '{"__dedup_key": "d", "__starts_at": "2026-01-01T00:00:00Z"}' ELSE '{}' END)) FROM generate_series(1, 60) AS n});
is(fails_with($node, 'SELECT acteon_replay_witness()'), 'done', 'the grants are linked') if sql('SELECT acteon_replay_trail_link()') > 0;
foreach my $replay (q{SELECT acteon_replay_bulk(from_time => '2026-01-01 12:00:01+00', max_records => 20, canary => 'off', reason => 'one')},
	q{SELECT acteon_replay_bulk(from_time => '2026-01-01 12:00:25+00', max_records => 14, canary => 'off', reason => 'two', expire_after => '10 years')},
	q{SELECT acteon_replay('a-45', 'three')},
	q{SELECT acteon_replay('a-46', 'three', target => 'staging')})
{
	# What is rolled back leaves gaps.
	sql(qq{BEGIN; SELECT acteon_replay('a-60'); SELECT acteon_replay_pause(1) WHERE EXISTS (SELECT FROM acteon_replay_batch WHERE id = 1); SELECT nextval('acteon_replay_removal_id_seq'); ROLLBACK;
		SET ROLE ops; $replay});
}
sql(q{
	SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success", "body": {"n": 1.50}}}'::jsonb)) FROM acteon_outbox_claim('c', 4);
	SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('no'::text)) FROM acteon_outbox_claim('c', 3);
	SELECT acteon_replay_pause(batch_id, 'wait', tenant => 'acme'), acteon_replay_cancel(batch_id, 'enough', tenant => 'globex') FROM acteon_replay_batches WHERE reason = 'two';
	SELECT acteon_replay_hand_over(batch_id, 'ops', 'my shift ends') FROM acteon_replay_batches WHERE reason = 'three' AND target = 'staging';
	SELECT acteon_replay_patch(batch_id, patch => '{"x": "y"}') FROM acteon_replay_batches WHERE reason = 'three' AND target = 'production'});
sql('SELECT acteon_replay_trail_link()');
sql(q{SELECT redriven FROM acteon_outbox_redrive(max_actions => 1)});
sql(q{SET client_min_messages = error; SELECT acteon_outbox_purge('0', 4)});
sql(q{UPDATE acteon_dispatch_segment SET due_at = now() WHERE stopped IS NULL AND isfinite(due_at);
	SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb)) FROM acteon_outbox_claim('d', 8);
	SELECT acteon_outbox_reject(array_agg(outbox_id), array_agg(lease_token), array_agg('no'::text)) FROM acteon_outbox_claim('d', 4);
	SELECT redriven FROM acteon_outbox_redrive(max_actions => 1)});
settle();
my $early = sql('SELECT acteon_replay_witness()');
sql('CREATE TABLE attack.early AS SELECT * FROM acteon_replay_trail_head');
sql(q{SET ROLE ops; SELECT acteon_replay_bulk(from_time => '2026-01-01 12:00:50+00', max_records => 3, canary => 'off', reason => 'late')});
settle();
my $witness = sql('SELECT acteon_replay_witness()');
like($witness, qr/^acteon-witness 1 [0-9a-f]{16} \d+ [0-9a-f]{64} [0-9T:.-]+Z [0-9a-f]{8}$/, 'a witness');
is(violations(), '', 'nothing was changed: no violations');
is(violations("Jan 1 host postgres: LOG:  $early\n\n  $witness"), '', '… nor against witnesses, as a log has them');
is(sql(qq{SELECT subject || ' ' || count(*) FROM acteon_replay_verify('$witness') WHERE verdict = 'checked' GROUP BY subject ORDER BY subject COLLATE "C"}) =~ tr/\n/,/r,
	'batches 1,chain 1,deliveries 1,log entries 1,removals 1,rows 1,witness 1', '… and it says what was checked');
is(sql(qq{SELECT subject, detail FROM acteon_replay_verify('$witness') WHERE verdict = 'unknown'}) =~ s/\d+/N/r, 'rows|N others were linked and are not there: they were purged, as acteon_replay_removal says, and so were their deliveries.', '… and what cannot be known');
like(sql(q{SELECT detail FROM acteon_replay_verify() WHERE verdict = 'unknown' AND subject = 'chain'}), qr/^Without a witness/, '… without a witness, more');
like(sql(qq{SELECT detail FROM acteon_replay_verify('$early') WHERE verdict = 'unknown' AND subject = 'chain'}), qr/^Of the links after/, '… with an early one, something else');

# Who may, and what is refused.
foreach my $call ('acteon_replay_verify()', 'acteon_replay_witness()')
{
	like(fails_with($node, "SET ROLE other; SELECT $call"), qr/^42501: insufficient permissions: \Q$call\E/, "$call: not everybody");
	like(fails_with($node, "SET ROLE guest; SELECT $call"), qr/^42501/, '… nor who may read only some');
	is(fails_with($node, "SET ROLE auditor; SELECT $call"), 'done', '… but who may read everything');
}
like(fails_with($node, q{BEGIN; SELECT make_record('b'); SELECT acteon_replay('b'); SELECT acteon_replay_trail_link(); SELECT acteon_replay_witness()}), qr/^25001/, 'no witness of what may be rolled back');
my $damaged = $witness =~ s/ (\d)(\d* \w{64} )/ ' ' . (($1 % 9) + 1) . $2/er;
like(fails_with($node, "SELECT acteon_replay_verify('$damaged')"), qr/^22023: line 1 of witness/, 'a damaged witness is refused');
like(fails_with($node, "SELECT acteon_replay_verify(E'$witness\\n" . substr($witness, 0, -1) . "')"), qr/^22023: line 2 of witness/, '… as is one that was cut');
like(fails_with($node, "SELECT acteon_replay_verify('$witness $_->[0]')"), qr/^22023: line 1 of witness/, "… and a line with $_->[1] behind the witness") foreach [ $damaged, 'a damaged one' ], [ 'x', 'something else' ];
is(sql(qq{SELECT count(*) FROM acteon_replay_verify('Jan 1 host: $early Jan 2 host: $witness ') WHERE verdict = 'checked' AND subject = 'witness'}), '2', 'two witnesses in a line are both looked at');
like(fails_with($node, q{SELECT acteon_replay_verify(E' \n')}), qr/^22023: witness is empty/, '… and none');

# What is there to be changed.
my %key = (acteon_dispatch_outbox => 'id', acteon_dispatch_delivery => 'outbox_id', acteon_replay_log => 'id', acteon_replay_batch => 'id', acteon_replay_removal => 'id', acteon_replay_trail => 'position', acteon_replay_trail_head => 'position');
my (%keys, %type, %nullable, %free);
foreach my $table (keys %key)
{
	$keys{$table} = [ split /\n/, sql("SELECT $key{$table} FROM $table ORDER BY 1") ];
	foreach my $line (split /\n/, sql("SELECT attname, atttypid::regtype, NOT attnotnull FROM pg_attribute WHERE attrelid = '$table'::regclass AND attnum > 0 AND NOT attisdropped"))
	{
		my ($column, $type, $nullable) = split /\|/, $line;
		$type{"$table.$column"} = $type;
		$nullable{"$table.$column"} = $nullable eq 't';
	}
}
my @tables = sort grep { $_ ne 'acteon_replay_trail_head' } keys %key;
note(join(', ', map { "$_: " . scalar @{ $keys{$_} } } @tables));
foreach my $table (qw(acteon_replay_log acteon_replay_batch acteon_replay_removal))
{
	$free{$table} = [ split /\n/, sql("SELECT n FROM generate_series(-3, (SELECT max(id) FROM $table)) AS n WHERE NOT EXISTS (SELECT FROM $table WHERE id = n)") ];
	cmp_ok(scalar @{ $free{$table} }, '>', 4, "$table has gaps");
}
$free{acteon_dispatch_outbox} = [ split /\n/, sql("SELECT n FROM generate_series(-3, (SELECT max(id) FROM acteon_dispatch_outbox)) AS n WHERE NOT EXISTS (SELECT FROM acteon_dispatch_outbox WHERE id = n)") ];
$free{acteon_dispatch_delivery} = [ split /\n/, sql('SELECT id FROM acteon_dispatch_outbox WHERE NOT EXISTS (SELECT FROM acteon_dispatch_delivery WHERE outbox_id = id)') ];
my $handed = join(', ', split /\n/, sql(q{SELECT batch_id FROM acteon_replay_log WHERE event = 'hand_over'}));

# The append-only tables refuse a superuser as well, also one that plays the replica, until the triggers are disabled.
foreach my $table (qw(acteon_replay_log acteon_replay_trail acteon_replay_removal))
{
	foreach my $how ('', 'SET session_replication_role = replica; ')
	{
		isnt(fails_with($node, "${how}UPDATE $table SET $key{$table} = $key{$table}"), 'done', "$table is append-only: ${how}UPDATE");
		isnt(fails_with($node, "${how}DELETE FROM $table"), 'done', '… DELETE');
	}
	sql("ALTER TABLE $table DISABLE TRIGGER USER");
}

is(sql('SELECT count(*) FROM acteon_dispatch_outbox AS o WHERE hash IS DISTINCT FROM attack.row_hash(o)'), '0', 'the attacker computes the hashes of rows');
is(sql(q{SELECT count(*) FROM acteon_replay_log AS l JOIN acteon_replay_trail AS t ON t.kind = 'log' AND t.reference = l.id WHERE t.hashes <> attack.log_hash(l)}), '0', '… of entries');
is(sql('SELECT count(*) FROM acteon_replay_trail AS t WHERE position > 1 AND hash <> attack.link_hash(t, (SELECT hash FROM acteon_replay_trail AS b WHERE b.position = t.position - 1))'), '0', '… and of links');

sub quoted { return "'" . ($_[0] =~ s/'/''/gr) . "'" }
sub found { my ($witness, @changes) = @_; return 'SELECT attack.found(' . join(', ', $witness ? quoted($witness) : 'NULL', map { quoted($_) } @changes) . ')' }
sub one_of { return $_[int(rand(@_))] }
sub key_of { my ($table) = @_; return one_of(@{ $keys{$table} }) }

# What nobody can find without a witness is found with one, also with an early one if it was there already.
my $entry = sql('SELECT min(id) FROM acteon_replay_log WHERE reason IS NOT NULL');
my $row = sql('SELECT min(id) FROM acteon_dispatch_outbox');
foreach my $attack ([ 'an entry is changed, and the chain computed again', "CALL attack.entry($entry, 'forged')", 1 ],
	[ 'an entry goes, and its link', "CALL attack.no_entry($entry)", 1 ],
	[ 'an action gets another payload', qq(CALL attack.row($row, 'payload', '{"to": "mallory"}')), 1 ],
	[ 'the extension makes the chain again', "CALL attack.again()", 1 ],
	[ 'a delivery is changed, and all is linked again', "UPDATE acteon_dispatch_delivery SET error = 'forged';CALL attack.again()", 1 ],
	[ 'the end is cut off, with all that it is about', 'CALL attack.cut()', 0 ])
{
	my ($name, $changes, $is_early) = @{$attack};
	my @changes = split /;/, $changes;

	# All of it would be linked again but for what was purged, of which there are no rows any more.
	my $without = $changes =~ /again\(\)/ ? qr/^found: wrong rows$/ : qr/^NOT FOUND$/;
	like(sql(found(undef, @changes)), $without, "$name: without a witness this is not found");
	like(sql(found($witness, @changes)), qr/^found: .*witness (differs|missing)/, '… but with one');
	like(sql(found($early, @changes)), $is_early ? qr/^found: .*witness (differs|missing)/ : qr/^NOT FOUND$/, $is_early ? '… also with an early one' : '… not with one of before');
}
is(sql(found($witness, "UPDATE acteon_replay_installation SET namespace = gen_random_uuid()")), 'found: witness of another installation', 'another installation');
like(sql(found(undef, 'CALL attack.another_entry(' . one_of(@{ $free{acteon_replay_log} }) . ')')), qr/^found: log entry added$/, 'an entry is added where there was a gap, and linked');
like(sql(found(undef, 'CALL attack.another_delivery(' . one_of(@{ $free{acteon_dispatch_delivery} }) . ')')), qr/^found: delivery added$/, '… a delivery');

# Another value for a column.
my %values = ('acteon_dispatch_delivery.state' => [qw(delivered dead cancelled expired)], 'acteon_dispatch_delivery.effect' => [qw(done none later unknown)], 'acteon_dispatch_delivery.known_by' => [qw(answer audit settled)],
	'acteon_replay_log.event' => [qw(pause resume cancel purge start grant redrive)], 'acteon_replay_removal.event' => [qw(purge redrive probes)], 'acteon_replay_trail.kind' => [qw(log batch removal rows deliveries settled)],
	'acteon_replay_batch.on_doubt' => [qw(resend hold)], 'acteon_dispatch_outbox.target' => [qw(staging production)], 'acteon_dispatch_delivery.outcome' => [ '{"Executed": {"status": "success", "body": {"n": 1.5}}}', '"Deduplicated"', '{"Failed": {"code": "X", "message": "m", "retryable": false, "attempts": 1}}' ],
	'acteon_replay_batch.owner_oid' => [qw(ops other guest)]);

sub new_value
{
	my ($table, $column) = @_;
	my $name = "$table.$column";
	my $type = $type{$name};
	my $n = int(rand(1_000_000));

	return 'NULL' if $nullable{$name} && rand() < 0.15;
	return quoted(one_of(@{ $values{$name} })) . ($type eq 'text' ? '' : "::$type") if $values{$name};
	return one_of("coalesce($column, 0) + 1", "coalesce($column, 0) - 1", $n, "-$n", 0) if $type =~ /^(bigint|integer)$/;
	return "NOT $column" if $type eq 'boolean';
	return one_of("coalesce($column, now()) + interval '1 us'", "coalesce($column, now()) - interval '$n s'", "'infinity'::timestamptz") if $type eq 'timestamp with time zone';
	return "md5('$n')::uuid" if $type eq 'uuid';
	return one_of("coalesce($column, '{}') || '{\"x$n\": $n}'", "'{}'::jsonb", "jsonb_build_array($column)", "'null'::jsonb") if $type eq 'jsonb';
	return one_of("coalesce($column, '') || '\\x00'", "substr($column, 2)", "set_byte($column, $n % octet_length($column), (get_byte($column, $n % octet_length($column)) + 1 + $n % 255) % 256)", "''::bytea", "sha256(coalesce($column, ''))") if $type eq 'bytea';
	return one_of("$column || ${n}::bigint", "'{}'::bigint[]", "NULL::bigint || $column", "$column" . "[2:]") if $type eq 'bigint[]';
	return one_of("left(coalesce($column, '') || 'x$n', 60)::$type", "''::$type", "upper($column)::$type", "' '::$type || $column") if $type =~ /^(text|name)$/;
	die "no values of type $type";
}

sub change_column
{
	my $table = rand() < 0.08 ? 'acteon_replay_trail_head' : one_of(@tables);
	my $column = one_of(@{ $covered{$table} });
	my $value = new_value($table, $column);
	my $only = $column eq 'owner_oid' && $handed ne '' ? " AND id NOT IN ($handed)" : '';

	return ("$table.$column", "UPDATE $table SET $column = $value WHERE $key{$table} = " . key_of($table) . " AND $column IS DISTINCT FROM $value$only");
}

sub remove_row
{
	my $table = one_of(@tables);

	return ("$table: removed", rand() < 0.1 ? "CALL attack.truncate('$table')" : "DELETE FROM $table WHERE $key{$table} = " . key_of($table));
}

sub swap_rows
{
	my $table = one_of(@tables);
	my ($a, $b) = (key_of($table), key_of($table));
	my @columns = grep { $_ ne $key{$table} && $_ ne 'owner_oid' } @{ $covered{$table} };

	@columns = one_of(@columns) if rand() < 0.5;
	@columns = ('payload') if $table eq 'acteon_dispatch_outbox' && rand() < 0.5;
	my $columns = join(', ', @columns);
	return ("$table: swapped", "UPDATE $table AS x SET ($columns) = (SELECT $columns FROM $table AS y WHERE $key{$table} = CASE x.$key{$table} WHEN $a THEN $b ELSE $a END) WHERE $key{$table} IN ($a, $b)"
			. " AND (SELECT ROW($columns)::text FROM $table WHERE $key{$table} = $a) <> (SELECT ROW($columns)::text FROM $table WHERE $key{$table} = $b)");
}

sub insert_row
{
	my $table = one_of(grep { @{ $free{$_} // [] } } @tables);

	return ("$table: inserted", "INSERT INTO $table SELECT (jsonb_populate_record(x, '{\"$key{$table}\": " . one_of(@{ $free{$table} }) . "}')).* FROM $table AS x WHERE $key{$table} = " . key_of($table));
}

sub cut_tail
{
	my $links = 1 + int(rand(10));
	my @changes = ("DELETE FROM acteon_replay_trail WHERE position > (SELECT max(position) - $links FROM acteon_replay_trail)");

	push @changes, 'UPDATE acteon_replay_trail_head AS h SET position = t.position, hash = t.hash FROM acteon_replay_trail AS t WHERE t.position = (SELECT max(position) FROM acteon_replay_trail)' if rand() < 0.6;
	@changes = ('CALL attack.cut()') if rand() < 0.3;
	return ('tail cut', @changes);
}

sub knowing
{
	my $n = int(rand(1000));

	return ('computed again', one_of(
			'CALL attack.entry(' . key_of('acteon_replay_log') . ", 'forged $n')",
			'CALL attack.no_entry(' . key_of('acteon_replay_log') . ')',
			'CALL attack.row(' . key_of('acteon_dispatch_outbox') . qq{, 'payload', '{"to": "m$n"}')},
			'CALL attack.row(' . key_of('acteon_dispatch_outbox') . ", 'provider', 'p$n')",
			'CALL attack.another_entry(' . one_of(@{ $free{acteon_replay_log} }) . ')',
			'CALL attack.another_delivery(' . one_of(@{ $free{acteon_dispatch_delivery} }) . ')'));
}

sub relinked
{
	my ($name, @changes) = one_of(\&change_column, \&remove_row, \&swap_rows)->();

	return ("$name, linked again", @changes, 'CALL attack.again()');
}

# The cases are drawn until there are so many that change anything.
my @ways = ((\&change_column) x 10, (\&remove_row) x 2, (\&swap_rows) x 3, (\&insert_row) x 2, \&cut_tail, \&knowing, \&relinked);
my ($count, $n, %answers) = (0, 0);
while ($count < $cases && $n < 10 * $cases)
{
	my $script = "SET client_min_messages = error;\n";
	my @drawn;

	foreach (1 .. 200)
	{
		my ($what, @changes) = one_of(@ways)->();

		unshift @changes, 'SET LOCAL session_replication_role = replica' if rand() < 0.3;
		push @drawn, [ $what, join('; ', @changes) ];
		$script .= found($witness, @changes) . ";\n";
	}
	my @found = split /\n/, $node->safe_psql('postgres', $script);
	is(scalar @found, scalar @drawn, 'answers to all changes');
	foreach my $i (0 .. $#drawn)
	{
		last if $count == $cases;
		$n++;
		my $kind = $found[$i] =~ /^found: / ? 'found' : $found[$i] =~ /^NOT FOUND/ ? 'NOT FOUND' : 'refused';
		$answers{$kind}++;
		if ($kind eq 'refused')
		{
			$answers{"refused: $found[$i]"}++;
			next;
		}
		$count++;
		push @{ $answers{missed} }, "$drawn[$i][0]: $drawn[$i][1]" if $kind ne 'found';
		$answers{what}{ $drawn[$i][0] =~ s/\..*//r }++;
	}
}
is($count, $cases, "$cases changes were made");
is(join("\n", @{ $answers{missed} // [] }), '', '… and all are found') or diag("ACTEON_SEED=$seed");
note("$n drawn, $answers{found} found; refused by the server, or no change: " . ($answers{refused} // 0));
note("$_: $answers{what}{$_}") foreach sort keys %{ $answers{what} };
note("$answers{$_} $_") foreach sort grep { /^refused: / } keys %answers;
is(violations($witness), '', 'afterwards nothing has changed');

done_testing();
