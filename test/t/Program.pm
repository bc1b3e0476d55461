# Programs that a test runs in the background, and waiting for what they do.  They
# end when the test does, however it ends.
package Program;

use strict;
use warnings;
use Apart;
use Exporter 'import';
use POSIX ':sys_wait_h';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(find_program launch reap private_file wait_until wait_for_sql);

my %running;    # pid: 1 of every process that was started here

# However the test ends, its processes end first: before the server, whose own
# clean-up was declared earlier.
$SIG{$_} = sub { exit 1 }
	foreach qw(TERM INT HUP);

END
{
	my $status = $?;

	kill 'CONT', keys %running;
	kill 'KILL', keys %running;
	waitpid($_, 0) foreach keys %running;
	$? = $status;
}

# Where a program of ours is: what a variable of the environment says, or what is
# installed beside the server's programs.
sub installed
{
	my ($name, $variable) = @_;
	my $bindir;

	return $ENV{$variable} if $ENV{$variable};
	chomp($bindir = `pg_config --bindir`);
	return "$bindir/$name";
}

# Where a program of others is, which may be one for administrators, or one that test/check
# has fetched without installing it (ACTEON_UNPACKED); undef if it is nowhere.
sub find_program
{
	my ($name) = @_;
	my ($found) = grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin', $ENV{ACTEON_UNPACKED} // ();

	return $found;
}

# Run a program in the background, with its output in a log file.
sub launch
{
	my ($log, @command) = @_;
	my $pid = fork() // die "could not fork: $!";

	if ($pid == 0)
	{
		# Not inherited: the harness ignores it, which would hide a fault.
		$SIG{PIPE} = 'DEFAULT';
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>>', $log) or POSIX::_exit(126);
		open(STDERR, '>&', \*STDOUT) or POSIX::_exit(126);
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	$running{$pid} = 1;
	note("started @command as $pid, log $log");
	return $pid;
}

# The exit status of a process that was launched: its exit code, or "signal N";
# undef, and the process is killed, if it does not end in time.
sub reap
{
	my ($pid, $seconds) = @_;
	my $deadline = time + ($seconds // $PostgreSQL::Test::Utils::timeout_default);
	my $status;

	while (waitpid($pid, WNOHANG) == 0)
	{
		if (time > $deadline)
		{
			kill 'KILL', $pid;
			waitpid($pid, 0);
			delete $running{$pid};
			return undef;
		}
		usleep(10_000);
	}
	$status = $?;
	delete $running{$pid};
	return ($status & 127) ? 'signal ' . ($status & 127) : $status >> 8;
}

# A file that only its owner may read; returns its name.
sub private_file
{
	my ($name, $content) = @_;
	my $path = "$PostgreSQL::Test::Utils::tmp_check/$name";

	unlink "$path.new";
	open(my $file, '>', "$path.new") or die "$path.new: $!";
	chmod(0600, "$path.new");
	print $file $content;
	close($file) or die "$path.new: $!";
	rename("$path.new", $path) or die "$path: $!";
	return $path;
}

# Test that a condition comes true.  It is a function that returns whether it
# is, and what it has seen, which is told if it never comes true.  One that dies
# is not true yet: a psql that finds no server ends before it has its statement.
sub wait_until
{
	my ($condition, $description, $seconds) = @_;
	my $deadline = time + ($seconds // $PostgreSQL::Test::Utils::timeout_default);
	my $look = sub { my @found = eval { $condition->() }; return $@ ? (0, $@) : @found };
	my ($done, $seen) = $look->();

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	while (!$done && time < $deadline)
	{
		usleep(20_000);
		($done, $seen) = $look->();
	}
	return ok($done, $description) || diag('last seen: ' . ($seen // 'nothing'));
}

# Test that a query comes to return a value.
sub wait_for_sql
{
	my ($node, $sql, $expected, $description, $seconds) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(
		sub {
			my ($status, $out, $err) = $node->psql('postgres', $sql);
			return ($status == 0 && $out eq $expected, $status == 0 ? $out : $err);
		},
		$description, $seconds);
}

# A program that runs; relays, servers and psql are such.
package Program::Running;

use PostgreSQL::Test::Utils;

# Start it, with a log file of that name.
sub run
{
	my ($class, $name, @command) = @_;
	my $self = bless { name => $name, log => "$PostgreSQL::Test::Utils::log_path/$name.log" }, $class;

	unlink $self->{log};
	$self->{pid} = Program::launch($self->{log}, @command);
	return $self;
}

sub pid
{
	my ($self) = @_;

	return $self->{pid};
}

# All that it has said.
sub log
{
	my ($self) = @_;

	return -e $self->{log} ? slurp_file($self->{log}) : '';
}

# Test that it says something.
sub says
{
	my ($self, $expected, $description, $seconds) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return Program::wait_until(sub { my $log = $self->log; return (scalar($log =~ $expected), $log) }, $description, $seconds);
}

sub signal
{
	my ($self, $signal) = @_;

	kill $signal, $self->{pid} or die "could not signal $self->{name}: $!";
	return;
}

# Wait for its end; see reap().
sub wait_for_end
{
	my ($self, $seconds) = @_;

	return Program::reap(delete $self->{pid}, $seconds);
}

# End it in good order; returns its exit code.
sub stop
{
	my ($self) = @_;

	$self->signal('TERM');
	return $self->wait_for_end(60);
}

# End it as if the machine had gone.
sub kill9
{
	my ($self) = @_;

	$self->signal('KILL');
	return $self->wait_for_end(60);
}

1;
