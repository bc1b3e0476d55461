# Servers where pg_cron runs, and the recipes of sql/cron.
package Cron;

use strict;
use warnings;
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon ();

use Exporter 'import';
our @EXPORT = qw(require_cron new_cron_server recipe);

# Leave the test out, only where there is no package of pg_cron for this server.
sub require_cron
{
	chomp(my $bindir = `pg_config --bindir`);
	chomp(my $pkglibdir = `pg_config --pkglibdir`);
	my ($major) = `pg_config --version` =~ /(\d+)/;

	return if -e "$pkglibdir/pg_cron.so";
	my $package = "postgresql-$major-cron";
	my $is_packaged = $bindir eq "/usr/lib/postgresql/$major/bin" && `apt-cache policy $package 2>/dev/null` =~ /Candidate: \d/;

	plan skip_all => "there is no pg_cron for the PostgreSQL in $bindir" if !$is_packaged;
	fail("pg_cron is there: apt-get install $package");
	done_testing();
	exit;
}

# A server where pg_cron runs, as roles.sql has it.  It connects through a socket,
# where the server's own user may come in as the roles of the jobs; or, without
# a way in for anybody, it uses background workers.
sub new_cron_server
{
	my ($name, $in_background) = @_;
	my $server = PostgreSQL::Test::Cluster->new($name);
	my $server_user = getpwuid($<);
	my $hba = $server->data_dir . '/pg_hba.conf';
	my $jobs = 'local postgres acteon_job,acteon_keeper';

	$server->init;
	$server->append_conf('postgresql.conf', "fsync = off\nshared_preload_libraries = 'pg_cron'\ncron.database_name = 'postgres'\n"
		. ($in_background ? 'cron.use_background_workers = on' : "cron.host = '@{[ $server->host ]}'"));
	$server->append_conf('pg_ident.conf', "acteon_cron $server_user acteon_job\nacteon_cron $server_user acteon_keeper\n");
	my $others = slurp_file($hba);
	unlink $hba;
	append_to_file($hba, ($in_background ? "$jobs reject\n" : "$jobs peer map=acteon_cron\n") . $others);
	chmod 0600, $hba;
	$server->start;
	$server->safe_psql('postgres', 'CREATE EXTENSION acteon_replay');
	$server->safe_psql('postgres', Acteon::fixture($_)) foreach qw(audit_table audit_indexes helpers gateway_records);
	$server->safe_psql('postgres', q{
		CREATE ROLE relay LOGIN;
		CREATE ROLE oncall LOGIN;
		CREATE ROLE intern LOGIN;
		INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES
			('relay', 'gateway', '{*}', '{*}', '{*}'),
			('oncall', 'operator', '{*}', '{prod}', '{*}')});
	return $server;
}

# Run a recipe, with some of its text replaced.
sub recipe
{
	my ($server, $name, %replaced) = @_;
	my $text = slurp_file(dirname(__FILE__) . "/../../sql/cron/$name.sql");

	foreach my $part (keys %replaced)
	{
		$text =~ s/\Q$part\E/$replaced{$part}/ or die "$name.sql has no $part";
	}
	return $server->safe_psql('postgres', $text);
}

1;
