# The queue's functions through PgBouncer with transaction pooling: no call needs
# a session of its own.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Program;
use Relay;

my $program = find_program('pgbouncer');
plan skip_all => 'there is no pgbouncer here' if !$program;

my $node = new_relay_server('pooled');
my $gateway = start_gateway();
my $directory = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $pooled = "host=$directory port=$port dbname=postgres user=relay";

# Two server connections for everybody.
private_file('users.txt', qq{"relay" ""\n});
my $settings = private_file('pgbouncer.ini', <<"EOT");
[databases]
postgres = host=@{[ $node->host ]} port=@{[ $node->port ]} dbname=postgres
[pgbouncer]
listen_addr =
unix_socket_dir = $directory
listen_port = $port
auth_type = trust
auth_file = $PostgreSQL::Test::Utils::tmp_check/users.txt
pool_mode = transaction
default_pool_size = 2
max_client_conn = 100
stats_users = relay
EOT
my $log = "$PostgreSQL::Test::Utils::log_path/pgbouncer.log";
Relay::launch($log, $program, $settings);
# A psql that finds nobody to connect to ends before it is given its statement, which would end the test as well.
wait_until(sub { return (-S "$directory/.s.PGSQL.$port", 'no socket') }, 'PgBouncer listens', 30) or BAIL_OUT('no PgBouncer');
wait_until(sub { my ($status, undef, $err) = $node->psql('postgres', 'SELECT 1', connstr => $pooled); return ($status == 0, $err . slurp_file($log)) },
	'PgBouncer answers', 30) or BAIL_OUT('no PgBouncer');

# Sessions that get another backend for every statement.
sub session
{
	return $node->background_psql('postgres', extra_params => [ '-d', $pooled ]);
}

my ($one, $two, $consumer) = map { session() } 1 .. 3;
enqueue($node, name => 'by-hand-', count => 10);
# Others hold now the one backend, now the other.
sub through
{
	my ($backend, $sql) = @_;
	my ($first, $second) = ($one, $two);
	my $pid = $first->query_safe("BEGIN;\nSELECT pg_backend_pid();");

	if ($pid eq $backend)
	{
		# This is the one that the consumer is to get: hold the other, too, then let go of it.
		$second->query_safe("BEGIN;\nSELECT pg_backend_pid();");
		$first->query_safe('COMMIT');
		($first, $second) = ($second, $first);
	}
	my $answer = $consumer->query_safe($sql);
	$first->query_safe('COMMIT');
	return $answer;
}

# Make both backends, and find their pids.
my $a = $one->query_safe("BEGIN;\nSELECT pg_backend_pid();");
my $b = $two->query_safe("BEGIN;\nSELECT pg_backend_pid();");
$_->query_safe('COMMIT') foreach $one, $two;
isnt($a, $b, 'there are two backends');
my ($pid, $ids, $tokens) = split /\|/, through($a, q{
	SELECT pg_backend_pid(), array_agg(outbox_id), array_agg(lease_token) FROM acteon_outbox_claim('pooled', 6, '1 minute')});
is($pid, $a, 'a claim by one backend');
is($ids =~ tr/,//, 5, '… of six actions');
is(through($b, qq{SELECT pg_backend_pid() = $b AND acteon_outbox_extend(('$tokens'::bigint[])[1:1], '2 minutes') = ('$tokens'::bigint[])[1:1]}), 't', 'its lease is extended by the other');
is(through($b, qq{SELECT pg_backend_pid() = $b, acteon_outbox_ack(('$ids'::bigint[])[1:2], ('$tokens'::bigint[])[1:2], ARRAY['"yes"', '"yes"']::jsonb[])}), 't|2', 'acks by the other');
is(through($a, qq{SELECT pg_backend_pid() = $a, * FROM acteon_outbox_nack(('$ids'::bigint[])[3:4], ('$tokens'::bigint[])[3:4], ARRAY[NULL, 'failed'])}), 't|2|0', 'nacks by the first');
is(through($b, qq{SELECT pg_backend_pid() = $b, acteon_outbox_reject(('$ids'::bigint[])[5:5], ('$tokens'::bigint[])[5:5], ARRAY['never'])}), 't|1', 'a rejection by the other');
is(through($a, q{SELECT depth, leased, dead FROM acteon_outbox_stats}), '7|1|1', 'and what the view shows');
outbox_is_sound($node, 'by hand');
$_->quit foreach $one, $two, $consumer;
$node->safe_psql('postgres', 'TRUNCATE acteon_dispatch_outbox, acteon_dispatch_action, acteon_dispatch_segment, acteon_dispatch_delivery, acteon_replay_batch, acteon_replay_refused, acteon_replay_tally');

# Ten clients at once.
enqueue($node, name => 'crowd-', count => 2000, metadata => q{CASE WHEN n % 5 = 0 THEN jsonb_build_object('__fingerprint', 'f' || n % 20) ELSE '{}' END});
my $script = "$PostgreSQL::Test::Utils::tmp_check/crowd.sql";
unlink $script;
append_to_file($script, q{
\set what random(1, 10)
SELECT coalesce(array_agg(outbox_id), '{}') AS ids, coalesce(array_agg(lease_token), '{}') AS tokens, count(*) AS n FROM acteon_outbox_claim('client :client_id', 7, '1 minute') \gset
SELECT acteon_outbox_extend(':tokens', '1 minute');
\if :what < 7
SELECT acteon_outbox_ack(':ids', ':tokens', array_fill('"taken"'::jsonb, ARRAY[:n]));
\elif :what < 9
SELECT acteon_outbox_nack(':ids', ':tokens', array_fill(NULL::text, ARRAY[:n]));
\elif :what = 9
SELECT acteon_outbox_nack(':ids', ':tokens', array_fill('failed'::text, ARRAY[:n]), array_fill('0'::interval, ARRAY[:n]));
\else
SELECT acteon_outbox_reject(':ids', ':tokens', array_fill('refused'::text, ARRAY[:n]));
\endif
});
my ($out, $err);
run_log([ 'pgbench', '-n', '-c', 10, '-j', 2, '-t', 20, '-f', $script, '-d', $pooled ], '>', \$out, '2>', \$err);
like($out, qr{number of transactions actually processed: 200/200}, 'ten clients over two backends') or diag($out, $err);
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay'}), '2', 'there were only two');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_dispatch_delivery'), '>', 100, 'much is done');
outbox_is_sound($node, 'after the crowd');
is($node->safe_psql('postgres', 'SELECT leased FROM acteon_outbox_stats'), '0', 'and nobody holds anything');

# The relay.
my $left = $node->safe_psql('postgres', 'SELECT depth FROM acteon_outbox_stats');
cmp_ok($left, '>', 100, 'something is left');
$gateway->rules({ probability => 0.05, answer => { status => 500 } });
my ($status, $said) = run_relay($node, $gateway, '--drain', '--no-listen', '--database', $pooled, '--lease', '3s');
is($status, 0, 'a relay drains the rest') or diag($said);
is($node->safe_psql('postgres', 'SELECT depth FROM acteon_outbox_stats'), '0', '… all of it');
is($gateway->stats->{ids_with_effect}, $left, '… which the gateway got');
$gateway->has_no_violations;
outbox_is_sound($node, 'after the relay');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay'}), '2', 'there are still only two backends');
unlike($node->safe_psql('postgres', q{SELECT string_agg(query, E'\n') FROM pg_stat_activity WHERE usename = 'relay'}), qr/\bLISTEN\b/, 'nobody listens');

done_testing();
