# The pages of the documentation and the blocks in them, for the tests that run what
# they show.  A block is between two fences; what stands behind the first one says what
# it is: nothing (statements or commands with their output), sql, sh, the name of a
# programming language, nginx, or text (a picture, or a signature of the reference).
package Pages;

use strict;
use warnings;
use Exporter 'import';
use File::Basename;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(pages page_text blocks);

my $top = dirname(__FILE__) . '/../..';

# All pages: the names of their files, below the top directory.
sub pages
{
	return ('README.md', map { 'doc/' . basename($_) } sort glob("$top/doc/*.md"));
}

sub page_text
{
	my ($page) = @_;

	return slurp_file("$top/$page");
}

# The texts of the blocks of a kind in a page; or of all blocks, [kind, text] each.
sub blocks
{
	my ($page, $kind) = @_;
	my @blocks;

	foreach (page_text($page) =~ /^```(\w*\n.*?)^```$/msg)
	{
		my ($fence, $text) = /^(\w*)\n(.*)\z/s;
		push(@blocks, defined $kind ? $text : [ $fence, $text ]) if !defined $kind || $fence eq $kind;
	}
	return @blocks;
}

1;
