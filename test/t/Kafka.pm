# A real broker of Kafka for the tests: one process of the jars that test/lib.sh has
# fetched, in the directory that ACTEON_KAFKA_JARS names, on free ports of the loopback.
package Kafka;

use strict;
use warnings;
use Exporter 'import';
use Encode;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Program;

our @EXPORT = qw(why_no_kafka start_kafka);

# What is missing; nothing if there is a broker to be had.
sub why_no_kafka
{
	return 'ACTEON_KAFKA_JARS names no directory with jars of Kafka' unless $ENV{ACTEON_KAFKA_JARS} && glob("$ENV{ACTEON_KAFKA_JARS}/kafka_*.jar");
	return 'there is no java' if system('java -version >/dev/null 2>&1') != 0;
	return 'there is no kcat' if system('kcat -V >/dev/null 2>&1') != 0;
	return '';
}

# Start a broker that creates no topics by itself.  It has a listener for everybody, and
# one for the user "relay" with the password "secret".
sub start_kafka
{
	my $self = bless { port => free_port(), sasl_port => free_port(), controller => free_port(), log => "$PostgreSQL::Test::Utils::log_path/kafka.log" }, 'Kafka';
	my $data = "$PostgreSQL::Test::Utils::tmp_check/kafka";

	system('rm', '-rf', $data);
	$self->{properties} = "$PostgreSQL::Test::Utils::tmp_check/kafka.properties";
	open(my $file, '>', $self->{properties}) or die "$self->{properties}: $!";
	print $file <<~"END";
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1\@127.0.0.1:$self->{controller}
		listeners=PLAINTEXT://127.0.0.1:$self->{port},SASL_PLAINTEXT://127.0.0.1:$self->{sasl_port},CONTROLLER://127.0.0.1:$self->{controller}
		listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
		controller.listener.names=CONTROLLER
		inter.broker.listener.name=PLAINTEXT
		sasl.enabled.mechanisms=PLAIN
		listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_relay="secret";
		log.dirs=$data
		auto.create.topics.enable=false
		offsets.topic.replication.factor=1
		END
	close($file) or die "$self->{properties}: $!";
	$self->java('kafka.tools.StorageTool', 'format', '-t', 'MkU3OEVBNTcwNTJENDM2Qg', '-c', $self->{properties});
	$self->start;
	return $self;
}

# A port that nobody listens on.
sub free_port
{
	return PostgreSQL::Test::Cluster::get_free_port();
}

# A command line for one of Kafka's programs.
sub command
{
	return ('java', '-Xmx256m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', "$ENV{ACTEON_KAFKA_JARS}/*", @_);
}

# Run one of them to its end.
sub java
{
	my ($self, @arguments) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ command(@arguments) ], '>', \$out, '2>', \$err) or BAIL_OUT("@arguments: $out$err");
	return $out;
}

# Start the broker, again if it was killed: with all that it had.
sub start
{
	my ($self) = @_;

	$self->{pid} = launch($self->{log}, command('kafka.Kafka', $self->{properties}));
	wait_until(sub { my $said = `kcat -L -b 127.0.0.1:$self->{port} -m 2 2>&1`; return ($? == 0, $said) }, 'the broker answers', 60) or BAIL_OUT('no broker');
	return;
}

# End it as if the machine had gone.
sub kill9
{
	my ($self) = @_;

	kill 'KILL', $self->{pid};
	return reap($self->{pid}, 30);
}

# Make it stand still, or go on.
sub signal
{
	my ($self, $signal) = @_;

	kill $signal, $self->{pid} or die "could not signal the broker: $!";
	return;
}

# Make a topic; further arguments are configuration.
sub create_topic
{
	my ($self, $topic, $partitions, @config) = @_;

	$self->java('org.apache.kafka.tools.TopicCommand', '--bootstrap-server', "127.0.0.1:$self->{port}", '--create', '--topic', $topic,
		'--partitions', $partitions, '--replication-factor', 1, map { ('--config', $_) } @config);
	return;
}

# The URL of a topic, for a relay.
sub sink
{
	my ($self, $topic, $port) = @_;

	return 'kafka://127.0.0.1:' . ($port // $self->{port}) . "/$topic";
}

# All messages of a topic, in the order of each partition: key, payload (the text), body
# (what that is), partition, offset, and headers by their names.
sub messages
{
	my ($self, $topic) = @_;
	my @messages;

	foreach my $line (split /\n/, `kcat -C -b 127.0.0.1:$self->{port} -t $topic -e -q -J -X fetch.wait.max.ms=10`)
	{
		my $message = decode_json($line);

		$message->{headers} = { @{ $message->{headers} // [] } };
		$message->{body} = decode_json(encode('UTF-8', $message->{payload}));
		push @messages, $message;
	}
	return sort { $a->{partition} <=> $b->{partition} || $a->{offset} <=> $b->{offset} } @messages;
}

1;
