# What the extension says of itself leads somewhere: the words of acteon_replay_help to names that there are, and the
# hints of errors to functions that there are.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $top = "$FindBin::RealBin/../..";
my $node = new_server('names');

my ($wishes) = slurp_file("$top/src/help/help_topic.c") =~ /^\} wishes\[\] = \{\n(.*?)^\};/ms;
my @wishes;
push(@wishes, [ $1, $2 ]) while ($wishes // '') =~ /\{"(\w+)", "(\w+)"\}/g;
cmp_ok(scalar(@wishes), '>=', 20, 'words of acteon_replay_help');
foreach my $wish (@wishes)
{
	my ($word, $topic) = @$wish;
	my @found = split /\n/, $node->safe_psql('postgres', "SELECT topic FROM acteon_replay_help('$word')");

	ok((grep { /^(?:acteon_(?:replay_|outbox_|dispatch_|api_)?)?\Q$topic\E$/ } @found), "$word leads to $topic") || diag("found: @found");
}

my %functions = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', q{SELECT DISTINCT proname FROM pg_proc WHERE proname LIKE 'acteon%'});
my %named;
foreach my $file (glob("$top/src/*.c"), glob("$top/src/*/*.c"))
{
	foreach my $text (slurp_file($file) =~ /"((?:[^"\\\n]|\\.)*)"/g)
	{
		$named{$_} = $file foreach $text =~ /\b(acteon_\w+)\(/g;
	}
}
cmp_ok(scalar(keys %named), '>=', 20, 'functions that messages name');
is_deeply([ map { "$_ in $named{$_}" } grep { !$functions{$_} } sort keys %named ], [], '… are there');

done_testing();
