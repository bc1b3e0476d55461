# What the tests of the queue and the relay share: the stub gateway, relays and
# actions to deliver; and, from Program.pm, waiting for things to happen.
package Relay;

use strict;
use warnings;
use Exporter 'import';
use File::Basename;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Program;

our @EXPORT = qw(new_relay_server start_gateway is_protected start_relay run_relay relay_database enqueue
	all_delivered all_settled resend_held took_effect outbox_is_sound gateway_agrees wait_until wait_for_sql private_file start_psql payload_digest);

my $stub = dirname(__FILE__) . '/../gateway/stub_gateway.py';
my $serial = 0;

# A server as in Acteon.pm, with a role "relay" that may take actions from the outbox.
sub new_relay_server
{
	my ($name, %options) = @_;
	my $node = new_server($name, conf => "fsync = off\n" . ($options{conf} // ''));

	$node->safe_psql('postgres', q{
		CREATE ROLE relay LOGIN;
		INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('relay', 'gateway', '{*}', '{*}', '{*}');
	});
	return $node;
}

# Where a relay finds the database.
sub relay_database
{
	my ($node) = @_;

	return $node->connstr('postgres') . ' user=relay';
}

# Make records and replay them, in the order of their numbers.  count; name, a
# prefix of the action ids; and any argument of make_record() but those of
# action id and time, as an SQL expression in which n is the number.
sub enqueue
{
	my ($node, %options) = @_;
	my $count = delete $options{count} // 1;
	my $name = delete $options{name} // 'a' . ++$serial . '-';
	my $arguments = join('', map { ", $_ => $options{$_}" } sort keys %options);

	# One page follows the other, as a call takes 1,000 at the most.
	$node->safe_psql('postgres', qq{
		SELECT count(make_record('$name' || n, at => now() + n * interval '1 us'$arguments)) FROM generate_series(1, $count) AS n;
		DO \$\$
		DECLARE
			page text;
			wanted timestamptz := (SELECT min(dispatched_at) FROM acteon_audit WHERE action_id LIKE '$name%');
		BEGIN
			LOOP
				SELECT next_cursor INTO page FROM acteon_replay_bulk(from_time => wanted, cursor => page, max_records => 1000, canary => 'off', breaker_window => 0);
				EXIT WHEN page IS NULL;
			END LOOP;
		END \$\$;
	});
	is($node->safe_psql('postgres', qq{SELECT count(*) FROM acteon_dispatch_outbox WHERE original_action_id LIKE '$name%'}), $count, "$count in the outbox: $name")
		or BAIL_OUT('nothing to deliver');
	return $name;
}

# Test that nothing is left, and that every action was delivered.
sub all_delivered
{
	my ($node, $description, $seconds) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_for_sql($node, q{
		SELECT count(*) FILTER (WHERE d.state IS NULL) || ' waiting, ' || count(*) FILTER (WHERE d.state <> 'delivered') || ' not delivered'
		FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id}, '0 waiting, 0 not delivered', $description, $seconds);
}

# A person has those sent again that are held.
sub resend_held
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{
		SELECT acteon_replay_settle(batch_id, 'resend', 'test') FROM (
			SELECT DISTINCT batch_id FROM acteon_dispatch_segment WHERE held IS NOT NULL) AS held});
	return;
}

# Test that nothing is left and every action was delivered, when those are sent again
# that are held.
sub all_settled
{
	my ($node, $description, $seconds) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(
		sub {
			resend_held($node);
			my $seen = $node->safe_psql('postgres', q{
				SELECT count(*) FILTER (WHERE d.state IS NULL) || ' waiting, ' || count(*) FILTER (WHERE d.state <> 'delivered') || ' not delivered'
				FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id});
			return ($seen eq '0 waiting, 0 not delivered', $seen);
		},
		$description, $seconds);
}

# Test that so many actions took effect, by the gateway's ledger: each once, but for those
# that are marked as sent again unproven and of which an earlier effect was cut, or left
# no record.
sub took_effect
{
	my ($node, $gateway, $count, $description) = @_;
	my $ledger = $gateway->ledger;
	my %unproven = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', q{
		SELECT o.original_action_id FROM acteon_dispatch_outbox AS o JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id WHERE d.unproven});
	my (%unseen, @wrong);

	foreach my $id (values %{ $ledger->{ids} })
	{
		$unseen{ $id->{root} } = 1 if $id->{effects} && ($id->{cut} || !$id->{recorded});
	}
	my $lineages = $ledger->{lineages};
	foreach my $root (sort keys %$lineages)
	{
		my $effects = $lineages->{$root}{effects};

		push @wrong, "$root $effects" if $effects != 1 && !($effects > 1 && $unproven{$root} && $unseen{$root});
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return Test::More::is(scalar(keys %$lineages) . ": @wrong[0 .. ($#wrong < 9 ? $#wrong : 9)]", "$count: ", $description);
}

# Test that the invariants hold.
sub outbox_is_sound
{
	my ($node, $description) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($node->safe_psql('postgres', 'SELECT * FROM acteon_outbox_check()'), '', $description // 'no invariant is broken');
}

# Test that the view of the batches and the gateway's own ledger tell the same: of
# each batch, how many actions were delivered, by outcome.
sub gateway_agrees
{
	my ($node, $gateway, $description) = @_;
	my $actions = $gateway->actions;
	my (%seen, %told);

	foreach my $row (split /\n/, $node->safe_psql('postgres', 'SELECT batch_id, action_id FROM acteon_dispatch_outbox'))
	{
		my ($batch, $id) = split /\|/, $row;
		my $action = delete $actions->{$id};

		$seen{$batch}{ $action->{outcome} }++ if $action && $action->{outcome};
	}
	foreach my $row (split /\n/, $node->safe_psql('postgres', 'SELECT batch_id, delivered_by FROM acteon_replay_batches WHERE delivered > 0'))
	{
		my ($batch, $outcomes) = split /\|/, $row, 2;
		$told{$batch} = decode_json($outcomes);
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_deeply(\%told, \%seen, $description // 'acteon_replay_batches and the gateway count the same');
	is(scalar(keys %$actions), 0, '… and the gateway knows no other action');
	return;
}

# A psql in the background, as a role, which runs statements one after the other;
# see Relay::Session.
sub start_psql
{
	return Relay::Session->new(@_);
}

# Whether the gateway has replay protection in this run of the tests: all tests of
# deliveries are run with it and without, as ACTEON_TEST_PROTECTION (on, off) says.
sub is_protected
{
	return ($ENV{ACTEON_TEST_PROTECTION} // 'on') ne 'off';
}

# The stand-in's hash of a payload: its JSON with sorted keys and no blanks.
sub payload_digest
{
	my ($text) = @_;
	my $digest = '';

	IPC::Run::run([ 'python3', '-c', 'import hashlib, json, sys; print(hashlib.sha256(json.dumps(json.load(sys.stdin.buffer, parse_int=float), sort_keys=True).encode()).hexdigest(), end="")' ],
		'<', \$text, '>', \$digest) or die 'could not hash';
	return $digest;
}

# A stand-in of the gateway on a free port of the loopback.  Options: key; prefix; cert
# and client_ca, files for TLS; node, a server in whose audit table it writes its records;
# ledger, for what it has done to be known after it was killed; gateway and audit, what it
# is told about itself (stub_gateway.py), again whenever it starts.
sub start_gateway
{
	return Relay::Gateway->new(@_);
}

# A relay from a node to a gateway.  What is not given is chosen so that things
# happen soon.
sub start_relay
{
	return Relay::Process->new(@_);
}

# Run a relay to its end.  Returns its exit code and what it said.
sub run_relay
{
	my $relay = start_relay(@_);
	my $status = $relay->wait_for_end(60);

	return ($status // 'did not end', $relay->log);
}

package Relay::Gateway;

use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Utils;

sub new
{
	my ($class, %options) = @_;
	my $self = bless { %options, key => $options{key} // 'test-key', port => 0, name => 'gateway-' . ++$serial }, $class;

	$self->{http} = HTTP::Tiny->new(timeout => 60, no_proxy => ['127.0.0.1']);
	$self->start;
	return $self;
}

# Start it, again if it was stopped: on the port that it had, remembering nothing.
sub start
{
	my ($self) = @_;
	my $log = "$PostgreSQL::Test::Utils::log_path/$self->{name}.log";
	my $said = '';

	unlink $log;
	$self->{pid} = Relay::launch($log, 'python3', $stub, '--port', $self->{port}, '--key', $self->{key},
		$self->{prefix} ? ('--prefix', $self->{prefix}) : (),
		'--replay-protection', Relay::is_protected() ? 'on' : 'off',
		$self->{node} ? ('--database', $self->{node}->connstr('postgres')) : (),
		$self->{ledger} ? ('--ledger', "$PostgreSQL::Test::Utils::tmp_check/$self->{name}.ledger") : (),
		$self->{cert} ? ('--cert', $self->{cert}) : (),
		$self->{client_ca} ? ('--client-ca', $self->{client_ca}) : ());
	my $expected = $self->{cert} ? qr/control on (\d+)/ : qr/listening on (\d+)/;
	Relay::wait_until(sub { $said = -e $log ? slurp_file($log) : ''; return (scalar($said =~ $expected), $said) }, 'the stub gateway listens', 30)
		or Test::More::BAIL_OUT("no stub gateway: $said");
	($self->{control_port}) = $said =~ $expected;
	($self->{port}) = $said =~ /listening on (\d+)/;
	my %told = map { $_ => $self->{$_} } grep { $self->{$_} } qw(gateway audit);
	$self->control(%told) if %told;
	return;
}

# Its address, for a relay.
sub url
{
	my ($self) = @_;

	return ($self->{cert} ? 'https://localhost:' : 'http://127.0.0.1:') . $self->{port} . ($self->{prefix} // '');
}

# Ask it for something, and return what it says.
sub ask
{
	my ($self, $method, $path, $content) = @_;
	my $answer = $self->{http}->request($method, "http://127.0.0.1:$self->{control_port}$path",
		defined $content ? { content => encode_json($content) } : {});

	die "$method $path: $answer->{status} $answer->{content}" if !$answer->{success};
	return decode_json($answer->{content});
}

# Tell it what to answer; see stub_gateway.py.
sub control
{
	my ($self, %told) = @_;

	return $self->ask('POST', '/_control', \%told);
}

# Tell it the rules, and nothing else.
sub rules
{
	my ($self, @rules) = @_;

	return $self->control(rules => \@rules);
}

sub reset
{
	my ($self) = @_;

	return $self->ask('POST', '/_reset', {});
}

sub stats
{
	my ($self) = @_;

	return $self->ask('GET', '/_stats');
}

sub actions
{
	my ($self) = @_;

	return $self->ask('GET', '/_actions');
}

sub lanes
{
	my ($self) = @_;

	return $self->ask('GET', '/_lanes');
}

# What became of each id and of each lineage in truth; see stub_gateway.py.
sub ledger
{
	my ($self) = @_;

	return $self->ask('GET', '/_ledger');
}

# How often each action took effect, by the action that was lost in the first
# place: whatever is a replay, or a replay of a replay, counts for that one.
sub effects
{
	my ($self) = @_;
	my $actions = $self->actions;
	my %effects;

	foreach my $action (values %$actions)
	{
		my $source = $action->{source};

		$source = $actions->{$source}{source} while $actions->{$source};
		$effects{$source} += $action->{effects};
	}
	return \%effects;
}

# Test that every request was what the gateway accepts.
sub has_no_violations
{
	my ($self, $description) = @_;
	my $stats = $self->stats;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return Test::More::is($stats->{violations}, 0, $description // 'the gateway has nothing to object to')
		|| Test::More::diag(join("\n", @{ $stats->{examples} }));
}

sub stop
{
	my ($self) = @_;

	kill 'TERM', $self->{pid};
	return Relay::reap($self->{pid}, 30);
}

# End it as if its machine had gone: what it had not written is lost.
sub kill9
{
	my ($self) = @_;

	kill 'KILL', $self->{pid};
	return Relay::reap($self->{pid}, 30);
}

package Relay::Session;

use PostgreSQL::Test::Utils;

our @ISA = ('Program::Running');

sub new
{
	my ($class, $node, $role, @statements) = @_;
	my $name = 'psql-' . ++$serial;

	return $class->run($name, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1',
		'-d', $node->connstr('postgres') . " user=$role application_name=$name", map { ('-c', $_) } @statements);
}

package Relay::Process;

use PostgreSQL::Test::Utils;

our @ISA = ('Program::Running');

# The program: ACTEON_RELAY, or what is installed beside the server's programs.
sub program
{
	return Program::installed('acteon-relay', 'ACTEON_RELAY');
}

sub new
{
	my ($class, $node, $gateway, @arguments) = @_;
	my $name = 'relay-' . ++$serial;
	my %defaults = (
		'--consumer' => $name,
		'--request-timeout' => '1s',
		'--lease' => '5s');

	$defaults{'--database'} = Relay::relay_database($node) if $node;
	if ($gateway)
	{
		$defaults{'--gateway-url'} = $gateway->url;
		$defaults{'--api-key-file'} = Relay::private_file('api-key-' . $name, "$gateway->{key}\n");
	}
	my %given = map { $_ => 1 } @arguments;
	my @defaults = map { ($_, $defaults{$_}) } grep { !$given{$_} } sort keys %defaults;
	my $self = $class->run($name, program(), @defaults, @arguments);
	$self->{key_file} = $defaults{'--api-key-file'};
	return $self;
}

1;
