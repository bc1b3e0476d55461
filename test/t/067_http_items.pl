# The items of a batch over HTTP: as JSON, JSON lines and CSV, page by page, of those whom
# the key's grants cover only, and the refused records; and the causes of what was lost.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;
use Http;

my $node = new_server('items', conf => "fsync = off\n");

sub sql { return $node->safe_psql('postgres', $_[0]) }

new_http_role($node);

# Ids that CSV has to quote, or that a spreadsheet would take for a formula.
sql(q{
	CREATE ROLE boss;
	CREATE ROLE viewer_globex;
	CREATE ROLE nobody;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('boss', 'admin', '{*}', '{*}', '{*}', '{*}'), ('viewer_globex', 'viewer', '{globex}', '{*}', '{*}', '{*}');
	SELECT count(make_record('i-' || n, at => '2026-01-01 12:00+00'::timestamptz + n * interval '1 s', tenant => CASE WHEN n % 3 = 0 THEN 'globex' ELSE 'acme' END)) FROM generate_series(1, 20) AS n;
	SELECT make_record(e'say "no", or\r\n=1+1; é', at => '2026-01-01 12:00:21+00', tenant => 'globex');
	SELECT make_record('=1+1', at => '2026-01-01 12:00:22+00', tenant => 'globex');
	SELECT make_record('hidden', at => '2026-01-01 12:00:23+00', tenant => 'globex', payload => '"[REDACTED]"');
	SELECT make_record('hidden-acme', at => '2026-01-01 12:00:24+00', payload => '"[REDACTED]"');
	SELECT replayed FROM acteon_replay_bulk(from_time => '2000-01-01');
	WITH taken AS MATERIALIZED (SELECT * FROM acteon_outbox_claim('test', 100))
	SELECT acteon_outbox_ack(array_agg(outbox_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success"}}'::jsonb)) FROM taken WHERE outbox_id < 22;
});
my $http = start_http($node);
my %client = map { $_ => $http->client(api_key($node, $_, $_)) } qw(boss viewer_globex nobody);
my $path = '/v1/replay/batches/1/items';

sub items
{
	my ($role, $query, %options) = @_;
	my $answer = $client{$role}->get($path . ($query // ''), %options);

	is($answer->{status}, 200, "$role: items" . ($query // '')) or diag($answer->{body});
	return $answer;
}

# JSON, and what is in it.
my $answer = items('boss');
is($answer->{headers}{'content-type'}, 'application/json', 'JSON');
is(scalar @{ $answer->{json}{items} }, 22, 'all actions');
is($answer->{json}{next_cursor}, undef, 'on the last page');
is($answer->{headers}{'acteon-batch-id'}, 1, 'of the batch');
my @columns = split /\n/, sql(q{SELECT attname FROM pg_attribute WHERE attrelid = 'acteon_replay_item'::regclass AND attnum > 0 ORDER BY attnum});
is_deeply([ sort keys %{ $answer->{json}{items}[0] } ], [ sort @columns ], 'with all columns');

# Page by page, in every format: the same as in one go.
my @ids = map { $_->{original_action_id} } @{ $answer->{json}{items} };
foreach my $format (qw(json jsonl csv))
{
	my (@seen, $cursor);

	do
	{
		my $page = items('boss', "?limit=5&format=$format" . (defined $cursor ? "&cursor=$cursor" : ''));

		push @seen, $format eq 'json' ? map { $_->{original_action_id} } @{ $page->{json}{items} }
			: $format eq 'jsonl' ? map { JSON::PP->new->utf8->decode($_)->{original_action_id} } split /\n/, $page->{body}
			: csv_ids($page->{body});
		$cursor = $page->{headers}{'acteon-next-cursor'};
	} while (defined $cursor);
	is_deeply(\@seen, \@ids, "$format: the pages are the whole");
}

# The fields of CSV as RFC 4180 has it; NULL for what is not quoted.
sub csv_rows
{
	my ($text) = @_;
	my @rows = ([]);

	while ($text =~ /\G(?:"((?:[^"]|"")*)"|)(,|\r\n)/gc)
	{
		my ($value, $end) = ($1, $2);

		$value =~ s/""/"/g if defined $value;
		utf8::decode($value) if defined $value;
		push @{ $rows[-1] }, $value;
		push @rows, [] if $end ne ',';
	}
	is(pos($text) // 0, length $text, 'it is CSV to its end');
	pop @rows;
	return @rows;
}

sub csv_ids
{
	my ($header, @rows) = csv_rows($_[0]);

	is_deeply($header, \@columns, 'the names of the columns come first');
	return map { $_->[2] } @rows;
}

$answer = items('boss', '?format=csv&tenant=globex&limit=10000');
is($answer->{headers}{'content-type'}, 'text/csv; charset=utf-8; header=present', 'CSV');
like($answer->{body}, qr/,"say ""no"", or\r\n=1\+1; \xc3\xa9",/, 'what must be quoted is');
like($answer->{body}, qr/,"=1\+1",/, 'a formula is not changed');
like($answer->{body}, qr/^"22",.*,"running","1",,,,,,"0","false",,,,,"22","false",,"false","production","test",\r$/m, 'NULL is an empty field') or diag($answer->{body});

# What the client accepts.
is(items('boss', '', headers => { Accept => 'text/csv' })->{headers}{'content-type'}, 'text/csv; charset=utf-8; header=present', 'Accept: text/csv');
is(items('boss', '', headers => { Accept => 'text/html, Application/X-NDJSON;q=0.9, text/csv' })->{headers}{'content-type'}, 'application/x-ndjson', 'the first that is known');
is(items('boss', '', headers => { Accept => '*/*' })->{headers}{'content-type'}, 'application/json', 'anything is JSON');
is(items('boss', '?format=json', headers => { Accept => 'text/csv' })->{headers}{'content-type'}, 'application/json', 'format says more than Accept');

# Filters.
is(scalar @{ items('boss', '?effect=done')->{json}{items} }, 21, 'by effect');
is(scalar @{ items('boss', '?effect=done&tenant=globex')->{json}{items} }, 7, '… and tenant');
is(scalar @{ items('boss', '?effect=done&to=2026-01-01T00:00:00Z')->{json}{items} }, 0, '… and time');
is(scalar @{ items('boss', '?from=2026-01-01T00:00:00%2B00:00')->{json}{items} }, 21, 'what has not ended has no time');
is(scalar @{ items('boss', '?provider=sms')->{json}{items} }, 0, 'by provider');
is(items('boss', '?provider=sms&format=jsonl')->{body}, '', 'nothing, in lines');
is(join(' ', map { "$_->{original_action_id} $_->{reason}" } @{ items('boss', '?state=refused')->{json}{items} }), 'hidden redacted hidden-acme redacted', 'refused records');

# Who sees what.
is(join(' ', map { $_->{tenant} } @{ items('viewer_globex')->{json}{items} }), join(' ', ('globex') x 8), 'a viewer sees its tenant');
is(join(' ', map { $_->{original_action_id} } @{ items('viewer_globex', '?state=refused')->{json}{items} }), 'hidden', '… also of the refused records');
is(scalar @{ items('viewer_globex', '?tenant=acme')->{json}{items} }, 0, '… whatever it asks for');
answers($client{nobody}->get("$path?format=csv"), 404, qr/^\{"error": "batch 1 does not exist",/, 'nobody sees nothing');
answers($client{boss}->get('/v1/replay/batches/99/items', headers => { Accept => 'text/csv' }), 404, qr/batch 99 does not exist/, 'a batch that is not there');
is($client{boss}->get('/v1/replay/batches/99/items?format=csv')->{headers}{'content-type'}, 'application/json', 'an error is JSON');

# Causes: what was lost, and what filters select, of those that the key's grants cover.
sql(q{
	SELECT make_record('cause-' || n, at => '2026-01-02 12:00+00'::timestamptz + n * interval '1 s', tenant => CASE n WHEN 1 THEN 'globex' ELSE 'acme' END, provider => 'sms',
		details => jsonb_build_object('error', format('timeout after %s s', n))) FROM generate_series(1, 3) AS n;
});
sub causes
{
	my ($role, $query) = @_;
	my $found = $client{$role}->get('/v1/replay/causes' . ($query // ''));

	is($found->{status}, 200, "$role: causes" . ($query // '')) or diag($found->{body});
	return $found->{json}{causes};
}
is_deeply(causes('boss', '?provider=sms'), JSON::PP->new->decode(sql(q{SELECT jsonb_agg(c) FROM acteon_replay_causes(provider => 'sms') AS c})), 'causes with all columns');
is(causes('boss', '?provider=sms')->[0]{records}, 3, '… of all records');
is_deeply(causes('boss'), JSON::PP->new->decode(sql(q{SELECT jsonb_agg(c) FROM acteon_replay_causes() AS c})), 'without a filter, what was lost, in the same order');
is(scalar @{ causes('boss', '?max_causes=1') }, 1, 'so many at most');
is(causes('boss', '?action_ids=cause-1,cause-2&exclude_ids=cause-2')->[0]{sample_action_id}, 'cause-1', 'lists of ids');
is(causes('boss', '?exclude=' . encode_uri('{"tenant": "acme"}') . '&provider=sms&from=2026-01-02T12:00:00Z&to=2026-01-02T14:00:00%2B01:00')->[0]{records}, 1, 'exclusions and times');
is_deeply(causes('boss', '?provider=nobody'), [], 'none');
answers($client{nobody}->get('/v1/replay/causes'), 403, qr/insufficient permissions/, 'nobody sees none');
answers($client{boss}->get('/v1/replay/causes?tennant=acme'), 400, qr/unknown parameter: tennant/, 'a mistyped filter');
answers($client{boss}->get('/v1/replay/causes?max_records=1'), 400, qr/unknown parameter: max_records/, 'what only replays take');
answers($client{boss}->get('/v1/replay/causes?from=yesterday'), 400, qr/from: expected a time in the form of RFC 3339/, 'a time that is none');
answers($client{boss}->get('/v1/replay/causes?max_causes=0'), 400, qr/max_causes: expected a whole number from 1 to 10000/, 'no causes at all');
answers($client{boss}->get('/v1/replay/causes?certain=true&outcome=failed'), 400, qr/certain needs lost/, 'a query that contradicts itself');
answers($client{boss}->post('/v1/replay/causes'), 405, qr/another method/, 'causes are only read');

# The same over time.
sub timeline
{
	my ($role, $query) = @_;
	my $found = $client{$role}->get('/v1/replay/timeline' . ($query // ''));

	is($found->{status}, 200, "$role: timeline" . ($query // '')) or diag($found->{body});
	return $found->{json};
}
is_deeply(timeline('boss', '?provider=sms'), { from => '2026-01-02T12:00:01+00:00', to => '2026-01-02T12:00:04+00:00', bucket_seconds => 1,
	buckets => [ map { { from => "2026-01-02T12:00:0$_+00:00", count => 1 } } 1 .. 3 ] }, 'a timeline');
is_deeply(timeline('viewer_globex', '?provider=sms'), { from => '2026-01-02T12:00:01+00:00', to => '2026-01-02T12:00:02+00:00', bucket_seconds => 1,
	buckets => [ { from => '2026-01-02T12:00:01+00:00', count => 1 } ] }, '… of what a viewer may read');
is_deeply(timeline('boss', '?provider=nobody'), { from => undef, to => undef, bucket_seconds => undef, buckets => [] }, '… of nothing');
my $day = timeline('boss', '?from=2026-01-01T00:00:00Z&to=2026-01-03T00:00:00Z&buckets=4&provider=nobody');
is(scalar @{ $day->{buckets} } . " $day->{from} $day->{to} $day->{bucket_seconds}", '4 2026-01-01T00:00:00+00:00 2026-01-03T00:00:00+00:00 43200', '… from and to the times that are given');
my $lost = timeline('boss');
is($lost->{bucket_seconds}, 1800, 'without a filter, what was lost');
is(eval { my $sum = 0; $sum += $_->{count} foreach @{ $lost->{buckets} }; $sum }, sql('SELECT sum(records) FROM acteon_replay_timeline()'), '… all of it');
answers($client{nobody}->get('/v1/replay/timeline'), 403, qr/insufficient permissions/, 'nobody sees none');
answers($client{boss}->get('/v1/replay/timeline?tennant=acme'), 400, qr/unknown parameter: tennant/, 'a mistyped filter');
answers($client{boss}->get('/v1/replay/timeline?max_causes=5'), 400, qr/unknown parameter: max_causes/, 'what only causes take');
answers($client{boss}->get("/v1/replay/timeline?buckets=$_"), 400, qr/buckets: expected a whole number from 2 to 1000/, "$_ buckets") foreach 1, 1001, 'x';
answers($client{boss}->post('/v1/replay/timeline'), 405, qr/another method/, 'it is only read');

# What is wrong.
answers($client{boss}->get("$path?format=xml"), 400, { error => 'format: expected json, jsonl or csv' }, 'a format');
answers($client{boss}->get("$path?state=refuse"), 400, qr/state: expected waiting, /, 'a state');
answers($client{boss}->get("$path?effect=don"), 400, qr/unknown effect/, 'an effect');
answers($client{boss}->get("$path?cursor=x"), 400, qr/invalid input syntax/, 'a cursor');
answers($client{boss}->get("$path?from=yesterdaz"), 400, qr/from: expected a time in the form of RFC 3339/, 'a time');
answers($client{boss}->post($path), 405, qr/another method/, 'a method');

is($http->stop, 0, 'exit code 0');
done_testing();
