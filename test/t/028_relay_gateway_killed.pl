# A gateway that is killed while it executes: what it was sent is in doubt, also if
# the library that sends tries again by itself and finds nobody any more.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Relay;

my $node = new_relay_server('killed');
my $gateway = start_gateway(node => $node, ledger => 1, gateway => { providers => { fast => {}, slow => { delay_ms => 60000 } } });
my $relay = start_relay($node, $gateway, '--request-timeout', '20s', '--lease', '60s');

# Connections are kept, and used again.
enqueue($node, provider => q{'fast'}, count => 20);
all_delivered($node, 'the first ones are delivered');
my $name = enqueue($node, provider => q{'slow'}, count => 5);
wait_until(sub { my $n = $gateway->stats->{effects}; return ($n == 25, $n) }, 'the others are being executed');
$gateway->kill9;
wait_for_sql($node, 'SELECT in_doubt FROM acteon_outbox_stats', 5, 'they are in doubt');
$gateway->start;
my $last = enqueue($node, provider => q{'fast'});
wait_for_sql($node, qq{SELECT count(*) FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id WHERE original_action_id LIKE '$last%'},
	1, 'the gateway is there again');
my $lineages = $gateway->ledger->{lineages};
is(join(' ', map { $lineages->{"$name$_"}{requests} } 1 .. 5), '1 1 1 1 1', 'none of them was sent again');
is($relay->stop, 0, 'the relay ends');
outbox_is_sound($node);

done_testing();
