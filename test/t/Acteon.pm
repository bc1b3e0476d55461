# What the TAP tests share: a server with the extension, the gateway's audit
# table and records in it.
package Acteon;

use strict;
use warnings;
use Exporter 'import';
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);

our @EXPORT = qw(new_server fixture fails_with is_back);

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

# Wait until a server that has crashed takes connections again; returns whether
# it does.  A psql that finds no server ends before it has its statement, which
# kills whoever gives it one.
sub is_back
{
	my ($node) = @_;

	for (1 .. 1800)
	{
		return 1 if eval { ($node->psql('postgres', 'SELECT 1'))[0] == 0 };
		usleep(100_000);
	}
	return 0;
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
