# The recipes of sql/cron with a real pg_cron, every minute instead of every five,
# and a relay with a stub gateway.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Cron;
use Relay;

require_cron();
my $node = new_cron_server('cron', 0);
my $other = new_cron_server('cron_in_background', 1);

# The time of a server.
sub now
{
	my ($server) = @_;

	return ($server // $node)->safe_psql('postgres', 'SELECT clock_timestamp()');
}

# Test that a job comes to have a run with a status which began after a time.  How
# many minutes that takes, and how many runs there are besides, plays no part.
sub runs
{
	my ($job, $status, $since, $server) = @_;

	return wait_until(
		sub {
			# A minute is long: no need to look all the time.
			usleep(200_000);
			my ($found, $seen) = split /\|/, ($server // $node)->safe_psql('postgres', qq{
				SELECT count(*) FILTER (WHERE status = '$status' AND start_time > '$since'), string_agg(concat_ws(': ', start_time, status, return_message), ', ' ORDER BY runid)
				FROM cron.job_run_details JOIN cron.job USING (jobid) WHERE jobname = '$job'}), 2;
			return ($found > 0, $seen);
		},
		"$job: $status");
}

# Test that the gateway comes to have taken what is in the queue.
sub all_is_delivered
{
	return wait_for_sql($node, 'SELECT depth FROM acteon_outbox_stats', '0', 'the relay delivers what was replayed');
}

# The gateway writes its records, which the next run of a job will find: whatever
# is to be seen before that has been looked at.
sub gateway_follows
{
	all_is_delivered();
	return $node->safe_psql('postgres', 'SELECT gateway_records()');
}

# The replays of lost actions whose ids begin with a name, those of replays
# included: how many actions have so many.
sub replays
{
	my ($name) = @_;

	return $node->safe_psql('postgres', qq{
		WITH RECURSIVE replay AS (
			SELECT original_action_id AS lost, action_id FROM acteon_dispatch_outbox WHERE original_action_id LIKE '$name%'
			UNION ALL SELECT r.lost, o.action_id FROM replay AS r JOIN acteon_dispatch_outbox AS o ON o.original_action_id = r.action_id::text)
		SELECT coalesce(string_agg(actions || ' have ' || times, ', '), 'none')
		FROM (SELECT times, count(*) AS actions FROM (SELECT lost, count(*) AS times FROM replay GROUP BY lost) AS a GROUP BY times ORDER BY times) AS b});
}

my $gateway = start_gateway();
# It is patient: an answer that it did not wait for would count on one side only.
my $relay = start_relay($node, $gateway, '--request-timeout', '60s', '--lease', '150s');
$gateway->rules({ match => { action_type => 'poison' },
		answer => { effect => JSON::PP::false, body => { Failed => { code => '554', message => 'poison', retryable => JSON::PP::false, attempts => 1 } } } });

# Poison that has been replayed twice by hand, and failed again each time.
$node->safe_psql('postgres', q{SELECT count(make_record('old-poison-' || n, at => now(), action_type => 'poison')) FROM generate_series(1, 2) AS n});
foreach my $depth (1 .. 2)
{
	$node->safe_psql('postgres', q{SELECT acteon_replay_bulk(action_type => 'poison', outcome => 'failed', reason => 'by hand')});
	is(gateway_follows(), 2, "poison is in the gateway's records again");
}
is(replays('old-poison-'), '2 have 2', 'the poison that was replayed by hand is two deep');

# What has failed just now, of several tenants; what failed long ago; and what was
# delivered long ago.
$node->safe_psql('postgres', q{
	SELECT count(make_record('long-gone-' || n, at => now() - interval '100 days')) FROM generate_series(1, 5) AS n;
	SELECT acteon_replay_bulk(outcome => 'failed', to_time => now() - interval '99 days', reason => 'by hand')});
gateway_follows();
$node->safe_psql('postgres', q{
	UPDATE acteon_dispatch_delivery SET finished_at = now() - interval '99 days' WHERE outbox_id IN (SELECT id FROM acteon_dispatch_outbox WHERE original_action_id LIKE 'long-gone-%');
	DELETE FROM acteon_audit WHERE action_id LIKE 'long-gone-%';
	SELECT count(make_record('acme-' || n, at => now(), tenant => (ARRAY['acme', 'acme.eu-west'])[1 + n % 2])) FROM generate_series(1, 60) AS n;
	SELECT count(make_record('globex-' || n, at => now(), tenant => 'globex')) FROM generate_series(1, 40) AS n;
	SELECT count(make_record('staging-' || n, at => now(), namespace => 'staging')) FROM generate_series(1, 10) AS n;
	SELECT count(make_record('earlier-' || n, at => now() - interval '30 min')) FROM generate_series(1, 10) AS n;
	SELECT count(make_record('poison-' || n, at => now(), action_type => 'poison')) FROM generate_series(1, 3) AS n});

# A person is at it, too, and has not committed yet when the jobs begin.
my $person = $node->background_psql('postgres', extra_params => [ '-U', 'oncall' ]);
$person->query_safe(q{BEGIN;
	SELECT replayed FROM acteon_replay_bulk(tenant => 'acme', action_type => 'send_email', outcome => 'failed', from_time => now() - interval '10 min', max_records => 20, reason => 'by hand')});

# Every minute; twice, under another name; and as somebody without a grant.
wait_until(sub { my $second = (localtime)[0]; return ($second < 45, "second $second") }, 'there is time to schedule them all in the same minute', 30);
my $scheduled = now();
my $scheduled_there = now($other);
my %minutely = ("'*/5 * * * *'" => "'* * * * *'");
recipe($node, 'roles');
recipe($node, 'replay_failed', %minutely);
recipe($node, 'replay_failed', %minutely, 'acteon: replay what failed' => 'the same again');
recipe($node, 'replay_failed', %minutely, 'acteon: replay what failed' => 'of an intern', "'acteon_job'" => "'intern'");
recipe($node, 'purge', "'30 3 * * *'" => "'* * * * *'");
recipe($node, 'check', "'15 4 * * 0'" => "'* * * * *'");
is($node->safe_psql('postgres', q{SELECT username, count(*) FROM cron.job GROUP BY 1 ORDER BY 1}), "acteon_job|2\nacteon_keeper|2\nintern|1", 'the jobs are there, of their roles');

# In background workers, too, where nobody delivers: a batch of its own.
$other->safe_psql('postgres', q{SELECT count(make_record('acme-' || n, at => now())) FROM generate_series(1, 900) AS n});
recipe($other, 'roles');
recipe($other, 'replay_failed', %minutely);
recipe($other, 'check', "'15 4 * * 0'" => "'* * * * *'");

wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'acteon_job' AND query LIKE '%CALL acteon_replay_all%' AND wait_event_type = 'Lock'},
	2, 'both jobs have met the person, at the same moment');
$person->query_safe('COMMIT');
$person->query_safe(q{SELECT replayed FROM acteon_replay_bulk(tenant => 'acme', action_type => 'send_email', outcome => 'failed', from_time => now() - interval '10 min', max_records => 1000, reason => 'by hand')});
$person->quit;

runs('acteon: replay what failed', 'succeeded', $scheduled);
runs('the same again', 'succeeded', $scheduled);
runs('of an intern', 'failed', $scheduled);
runs('acteon: purge', 'succeeded', $scheduled);
runs('acteon: check', 'succeeded', $scheduled);
all_is_delivered();
is(replays('acme-'), '60 have 1', 'what failed in the window is replayed once each, whoever did it');
is(replays('globex-') . replays('staging-'), 'nonenone', 'nothing of another tenant or namespace is');
is(replays('earlier-'), 'none', '… nor what failed earlier');
is(replays('poison-'), '3 have 1', 'poison is replayed');
is(replays('old-poison-'), '2 have 3', '… also that which was replayed by hand before');
is(replays('long-gone-'), 'none', 'what was delivered long ago is purged');
is($node->safe_psql('postgres', q{SELECT DISTINCT role_name, reason FROM acteon_replay_log WHERE event = 'purge'}), 'acteon_keeper|scheduled', '… as the log says');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT requested_by, ' ' ORDER BY requested_by) FROM acteon_replay_batches WHERE reason = 'scheduled'}), 'acteon_job', 'the jobs ran as their role');
is($node->safe_psql('postgres', q{
		SELECT sum(replayed) FILTER (WHERE requested_by = 'oncall') BETWEEN 20 AND 60, sum(replayed)
		FROM acteon_replay_batches WHERE requested_by IN ('oncall', 'acteon_job')}), 't|65', 'what the jobs and the person replayed adds up');
my $log = slurp_file($node->logfile);
like($node->safe_psql('postgres', q{SELECT return_message FROM cron.job_run_details WHERE username = 'intern' LIMIT 1}),
	qr/ERROR:  insufficient permissions/, 'a job without a grant is told so, where pg_cron keeps it');
like($log, qr/ERROR:  insufficient permissions/, '… and in the server log');

# In background workers it is no different.
runs('acteon: replay what failed', 'succeeded', $scheduled_there, $other);
runs('acteon: check', 'succeeded', $scheduled_there, $other);
is($other->safe_psql('postgres', q{SELECT requested_by, matched, replayed FROM acteon_replay_batches}), 'acteon_job|900|900', 'in a background worker the job replays, and commits, as its role');
outbox_is_sound($other);
$other->stop;

# Something that should not be: a delivered action is in the queue as well.
my $violation = $node->safe_psql('postgres', q{
	INSERT INTO acteon_dispatch_segment (first_id, last_id, batch_id, due_at, attempt, was_claimed)
	SELECT id, id, batch_id, 'infinity', 1, true FROM acteon_dispatch_outbox WHERE original_action_id = 'acme-1' RETURNING first_id});
runs('acteon: check', 'failed', $scheduled);
$node->safe_psql('postgres', "DELETE FROM acteon_dispatch_segment WHERE first_id = $violation");
my $mended = now();
my $failures = recipe($node, 'runs');
like($failures, qr/\|acteon: check\|acteon_keeper\|failed\|ERROR:  acteon_outbox_check\(\) found \d+ violations\n.*finished and waiting at $violation: /s, 'the check fails, and says what it found');
like(slurp_file($node->logfile), qr/ERROR:  acteon_outbox_check\(\) found \d+ violations\n.*DETAIL:.*finished and waiting at $violation: /s, '… also in the server log');

# Poison has new records, which are in the window of the next minute's runs; returns
# when these begin at the earliest.
sub poison_comes_back
{
	is(gateway_follows() > 0, 1, "poison is in the gateway's records again");
	my $since = now();
	runs('acteon: replay what failed', 'succeeded', $since);
	runs('the same again', 'succeeded', $since);
	all_is_delivered();
	return $since;
}

poison_comes_back();
is(replays('poison-'), '3 have 2', 'poison is replayed as a replay of a replay');
is(replays('old-poison-'), '2 have 3', '… but not for ever');
is(replays('acme-'), '60 have 1', 'what was delivered is not replayed');
like($node->safe_psql('postgres', q{SELECT DISTINCT failures FROM acteon_replay_batches WHERE reason = 'scheduled' AND failed > 0}), qr/^\{"[^"]*3 deep": 2\}$/, 'the view of the batches says why');

# And once more.
runs('acteon: check', 'succeeded', $mended);
my $before = $node->safe_psql('postgres', q{SELECT count(*) FROM cron.job_run_details WHERE status = 'failed' AND username = 'acteon_keeper'});
my $since = poison_comes_back();
is(replays('poison-') . ', ' . replays('old-poison-'), '3 have 3, 2 have 3', 'all poison comes to its end');
runs('acteon: check', 'succeeded', $since);
is($node->safe_psql('postgres', q{SELECT count(*) FROM cron.job_run_details WHERE status = 'failed' AND username = 'acteon_keeper'}), $before, 'the check has nothing to object to any more');
$node->safe_psql('postgres', 'SELECT cron.unschedule(jobid) FROM cron.job');

# Both sides have counted the same; what is no poison took effect once.
outbox_is_sound($node);
my $effects = $gateway->effects;
is(scalar(grep { /^acme-/ && $effects->{$_} == 1 } keys %$effects), 60, 'each lost action is done once');
is(scalar(grep { /^(globex|staging|earlier)-/ } keys %$effects), 0, '… and no other');
is_deeply(
	decode_json($node->safe_psql('postgres', q{
		SELECT jsonb_object_agg(outcome, actions) FROM (SELECT key AS outcome, sum(value::bigint) AS actions FROM acteon_replay_batches, jsonb_each_text(delivered_by) GROUP BY key) AS s})),
	$gateway->stats->{outcomes}, 'acteon_replay_batches and the gateway count the same');
$gateway->has_no_violations;
is($relay->stop, 0, 'exit code 0');

done_testing();
