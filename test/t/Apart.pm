# A folder of its own for each test, below the one of all of them: files of tests that run
# side by side do not get into each other's way.  The ports are shared out in one place.
# PostgreSQL::Test::Utils makes its own folder, tmp_check, in what TESTDIR names, before the
# test itself runs.
#
# And a time for each test, ACTEON_TEST_LIMIT seconds: one that waits for what never comes
# fails, and ends its servers, in place of keeping all of them waiting.
package Apart;

use strict;
use warnings;
use File::Basename;
use File::Path;

my $limit = $ENV{ACTEON_TEST_LIMIT} // 1200;

BEGIN
{
	my $all = ($ENV{TESTDIR} // '.') . '/tmp_check';

	$ENV{PG_TEST_PORT_DIR} //= "$all/ports";
	$ENV{TESTDIR} = "$all/" . basename($0, '.pl');
	mkpath([ $ENV{TESTDIR}, $ENV{PG_TEST_PORT_DIR} ]);
}

# Who waits may take a first one for the failure of an attempt.
$SIG{ALRM} = sub { alarm 10; die "the test has not ended within $limit s\n" };
alarm $limit;

# The servers have the time that they need to stop.  What is compiled last ends first, and the
# modules that stop them are compiled after this one.
INIT { eval 'END { alarm 0 } 1' or die $@; }

1;
