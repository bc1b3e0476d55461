# What the TAP tests share: a server with the extension, the gateway's audit
# table and records in it.
package Acteon;

use strict;
use warnings;
use Apart;
use Exporter 'import';
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);

our @EXPORT = qw(new_server fixture fails_with crash);

my $fixtures = dirname(__FILE__) . '/../fixtures';

# The text of a fixture file.
sub fixture
{
	my ($name) = @_;

	return slurp_file("$fixtures/$name.sql");
}

# A running server with the extension, the audit table and the helpers of
# fixtures/helpers.sql.  Options: conf, further lines of its configuration;
# streaming, whether standbys may follow it.
sub new_server
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(allows_streaming => $options{streaming} ? 1 : 0);
	$node->append_conf('postgresql.conf', $options{conf}) if $options{conf};
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION acteon_replay');
	$node->safe_psql('postgres', fixture($_)) foreach qw(audit_table audit_indexes helpers);
	return $node;
}

# Kill one of a server's backends with SIGKILL, which restarts all of them, and
# wait until it takes connections again.  What the server says tells that it has
# noticed; until then it may take some that it ends at once.  And a psql that finds
# no server ends before it has its statement, which kills whoever gives it one.
sub crash
{
	my ($node, $pid) = @_;
	my $from = -s $node->logfile;

	kill 'KILL', $pid or die "could not kill $pid: $!";
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $from);
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if eval { ($node->psql('postgres', 'SELECT 1'))[0] == 0 };
		usleep(100_000);
	}
	die 'the server did not come back';
}

# Run a statement that must fail, and return "SQLSTATE: message"; or "done" if
# it did not fail.
sub fails_with
{
	my ($node, $sql, %options) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-v', 'VERBOSITY=verbose' ], %options);

	return 'done' if $status == 0;
	return $err =~ /ERROR:\s+(.*)/ ? $1 : $err;
}

1;
