# What the tests of the HTTP server under stress share: a database to replay in,
# what was replayed, and what the server is at.
package Replays;

use strict;
use warnings;
use Exporter 'import';
use Test::More;
use Acteon;
use Http;
use Program;

our @EXPORT = qw(new_replay_server start_ready records replayed gauge wait_for_gauge hold_outbox wait_for_locked);

my $node;

# A server as new_server makes it, with a key of a role that may replay everything;
# returns both.  The functions below are about the last one.
sub new_replay_server
{
	my ($name, %options) = @_;

	$node = new_server($name, %options);
	$node->safe_psql('postgres', q{
		CREATE ROLE ops;
		INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('ops', 'operator', '{*}', '{*}', '{*}')});
	new_http_role($node);
	return ($node, api_key($node, 'ops', 'ops'));
}

# An HTTP server as start_http makes it, all of whose connections to the database are there.
sub start_ready
{
	my (%options) = @_;
	my $server = start_http($node, %options);
	my ($workers) = map { /^--workers=(\d+)$/ } @{ $options{arguments} // [] };

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_for_gauge($server, 'database_connections', $workers // 4, '… and has its connections to the database');
	return $server;
}

# Records whose action ids are a name and a number.
sub records
{
	my ($name, $count) = @_;

	$node->safe_psql('postgres', "SELECT count(make_record('$name-' || i)) FROM generate_series(1, $count) AS i");
	return;
}

# How many of those were replayed, and how often at most.
sub replayed
{
	my ($name) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT count(*) || ' at most ' || coalesce(max(n), 0) FROM (
			SELECT count(*) AS n FROM acteon_dispatch_outbox WHERE original_action_id LIKE '$name-%' GROUP BY original_action_id) AS t});
}

# What a gauge of an HTTP server says.
sub gauge
{
	my ($server, $name) = @_;
	my ($value) = $server->client->get('/metrics')->{body} =~ /^acteon_replay_http_$name (\S+)$/m;

	return $value;
}

# Test that a gauge comes to a value.
sub wait_for_gauge
{
	my ($server, $name, $expected, $description) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(sub { my $value = gauge($server, $name); return ($value == $expected, $value) }, $description);
}

# Another session, which holds a lock that replays wait for until it quits.
sub hold_outbox
{
	my $session = $node->background_psql('postgres');

	$session->query_safe('BEGIN');
	$session->query_safe('LOCK TABLE acteon_dispatch_outbox IN SHARE MODE');
	return $session;
}

# Test that so many requests wait for a lock.
sub wait_for_locked
{
	my ($count, $description) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'acteon_http' AND wait_event_type = 'Lock'}, $count, $description);
}

1;
