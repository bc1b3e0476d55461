# A folder of its own for each test, below the one of all of them: files of tests that run
# side by side do not get into each other's way.  The ports are shared out in one place.
# PostgreSQL::Test::Utils makes its own folder, tmp_check, in what TESTDIR names, before the
# test itself runs.
package Apart;

use strict;
use warnings;
use File::Basename;
use File::Path;

BEGIN
{
	my $all = ($ENV{TESTDIR} // '.') . '/tmp_check';

	$ENV{PG_TEST_PORT_DIR} //= "$all/ports";
	$ENV{TESTDIR} = "$all/" . basename($0, '.pl');
	mkpath([ $ENV{TESTDIR}, $ENV{PG_TEST_PORT_DIR} ]);
}

1;
