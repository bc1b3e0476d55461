# The extension can be created, and works, in a database of every encoding that the server has, and says there what it
# says everywhere.
use strict;
use warnings;
use utf8;
use Encode qw(encode_utf8);
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Acteon;

my $node = new_server('encodings');
my $dir = "$FindBin::RealBin/../../sql";

# CREATE EXTENSION takes the bytes of a script for the database's encoding: only ASCII is the same in all of them.
foreach my $file (glob("$dir/acteon_replay--*.sql"), "$dir/../acteon_replay.control")
{
	my ($name) = $file =~ m{([^/]*)$};

	unlike(slurp_file($file), qr/[^\x00-\x7f]/, "$name is ASCII");
}

# What every database says of the extension.
my $described = q{
	SELECT md5(string_agg(identity || ': ' || coalesce(description, '-'), E'\n' ORDER BY identity COLLATE "C")) FROM (
		SELECT (pg_identify_object(classid, objid, n)).identity, obj_description(classid, objid) AS whole,
			CASE WHEN n = 0 THEN obj_description(objid, classid::regclass::name) ELSE col_description(objid, n) END AS description
		FROM pg_depend AS d,
			LATERAL (SELECT 0 AS n UNION ALL SELECT attnum FROM pg_attribute AS a WHERE d.classid = 'pg_class'::regclass AND a.attrelid = d.objid AND attnum > 0 AND NOT attisdropped) AS part
		WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'acteon_replay')) AS object
} =~ s/ obj_description\(classid, objid\) AS whole,//r;
my $expected = $node->safe_psql('postgres', $described);

# The encodings of databases; the others, which only clients can have, are refused as such.
my @encodings = split /\n/, $node->safe_psql('postgres', q{SELECT pg_encoding_to_char(i) FROM generate_series(0, 99) AS i WHERE pg_encoding_to_char(i) <> '' ORDER BY i});
my @letters = map { encode_utf8($_) } qw(日 é ş я ш ก ا α א ế);
my @tried;

foreach my $encoding (@encodings)
{
	my ($status, $out, $err) = $node->psql('postgres', qq{CREATE DATABASE "$encoding" TEMPLATE template0 ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C'});

	if ($status != 0)
	{
		like($err, qr/\Q$encoding\E is not a valid encoding name|invalid server encoding/, "$encoding is one of clients only");
		next;
	}
	push @tried, $encoding;
	($status, $out, $err) = $node->psql($encoding, 'CREATE EXTENSION acteon_replay');
	is("$status $err", '0 ', "$encoding: CREATE EXTENSION") or next;
	is($node->safe_psql($encoding, $described), $expected, "$encoding: comments are what they are elsewhere");
	$node->safe_psql($encoding, fixture($_)) foreach qw(audit_table audit_indexes helpers);

	# Signatures of random texts are cut between characters only, and are their own signatures.
	my ($with, @known) = ($encoding =~ /^(SQL_ASCII|MULE_INTERNAL)$/ ? $encoding : 'UTF8');

	@known = grep { ($node->psql($encoding, "SET client_encoding = UTF8; SELECT '$_'"))[0] == 0 } @letters if $with eq 'UTF8';
	is($node->safe_psql($encoding, qq{SET client_encoding = $with; SELECT setseed(0.5);
		SELECT count(*), count(*) FILTER (WHERE acteon_error_signature(s) <> s OR octet_length(s) > 512 OR convert_from(convert_to(s, '$encoding'), '$encoding') <> s)
		FROM (SELECT acteon_error_signature(t) AS s FROM (
			SELECT (SELECT string_agg(substr(alphabet, 1 + g * 0 + floor(random() * length(alphabet))::integer, 1), '') FROM generate_series(1, i) AS g) AS t
			FROM generate_series(1, 1500, 3) AS i, (SELECT '@known@known@{known}ab1 2"''<>\@.:/' AS alphabet) AS a OFFSET 0) AS r OFFSET 0) AS made}) =~ s/^\n//r, '500|0', "$encoding: signatures of random texts");

	# A letter that the encoding has; clients send and get UTF-8.  Two have no conversion to that.
	my $client = $encoding =~ /^(SQL_ASCII|MULE_INTERNAL)$/ ? $encoding : 'UTF8';
	my ($letter) = $client eq 'MULE_INTERNAL' ? "\x81\xe9"
	  : grep { ($node->psql($encoding, "SET client_encoding = $client; SELECT '$_'"))[0] == 0 } @letters;

	ok(defined $letter, "$encoding: has a letter") or next;
	$node->safe_psql($encoding, qq{SET client_encoding = $client;
		INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES (current_user::text::regrole, 'gateway', '{*}', '{*}', '{*}');
		SELECT make_record('id-$letter-' || i, tenant => '$letter', provider => 'p$letter', payload => '{"to": "$letter"}', metadata => '{"k$letter": "v$letter", "deep": {"$letter": ["$letter"]}, "__fingerprint": "f$letter"}', id => 'r$letter' || i) FROM generate_series(1, 3) AS i});
	is($node->safe_psql($encoding, qq{SET client_encoding = $client;
		SELECT success FROM acteon_replay('id-$letter-1', 'reason $letter');
		SELECT replayed, failed, skipped FROM acteon_replay_bulk(tenant => '$letter', provider => 'p$letter', max_records => 1, reason => '$letter');
		CALL acteon_replay_all(tenant => '$letter', reason => '$letter', batch_id => NULL, replayed => NULL, failed => NULL, skipped => NULL)}),
		"t\n1|0|0\n3|1|0|0", "$encoding: replays by a tenant with $letter");
	if ($client eq 'UTF8')
	{
		is($node->safe_psql($encoding, qq{SET client_encoding = UTF8;
			CALL make_chain('prod', '$letter');
			SELECT finding, records FROM acteon_audit_verify('prod', '$letter')}), 'checked|3', "$encoding: hashes are those of UTF-8");
		# A byte without a meaning is in what somebody else has written, and stops nothing.
		is($node->safe_psql($encoding, qq{SET client_encoding = UTF8;
			BEGIN;
			UPDATE acteon_audit SET verdict = chr(129) WHERE id = 'r${letter}2';
			SELECT finding, records FROM acteon_audit_verify('prod', '$letter');
			ROLLBACK}), "content|1\nchecked|3", "$encoding: a text that has no form in UTF-8") if $encoding eq 'WIN1252';
	}
	is($node->safe_psql($encoding, qq{SET client_encoding = $client;
		SELECT action::jsonb ->> 'tenant', action::jsonb -> 'payload' ->> 'to', action::jsonb -> 'metadata' ->> 'k$letter', action::jsonb -> 'metadata' ->> 'deep', action::jsonb -> 'metadata' ->> 'replayed_from'
		FROM (SELECT * FROM acteon_outbox_claim('relay $letter', 1) UNION ALL SELECT * FROM acteon_outbox_claim('relay $letter', 1)) AS c ORDER BY outbox_id}),
		qq($letter|$letter|v$letter|{"$letter":["$letter"]}|id-$letter-1), "$encoding: what the gateway gets");
	is($node->safe_psql($encoding, qq{SET client_encoding = $client;
		SELECT acteon_outbox_ack(array_agg(first_id), array_agg(lease_token), array_agg('{"Executed": {"status": "success", "body": "$letter"}}'::jsonb)) FROM acteon_dispatch_segment WHERE lease_token IS NOT NULL;
		SELECT state, outcome -> 'Executed' ->> 'body' FROM acteon_dispatch_delivery;
		SELECT acteon_replay_pause(2, 'because of $letter') IS NOT NULL;
		SELECT reason FROM acteon_replay_log WHERE event <> 'grant' ORDER BY id;
		SELECT reason FROM acteon_replay_batches ORDER BY batch_id;
		SELECT id, state FROM acteon_replay_lineage('id-$letter-1') WHERE depth = 0;
		SELECT item FROM acteon_replay_preview(tenant => '$letter', include_replayed => true) WHERE section IN ('tenant', 'sample') ORDER BY item COLLATE "C";
		SELECT count(*) FROM acteon_outbox_check()}) =~ s/\n/ /gr,
		qq(1 delivered|$letter t reason $letter $letter $letter because of $letter reason $letter $letter $letter id-$letter-1|original ) . join(' ', map { "id-$letter-$_" } 1 .. 3) . " $letter 0", "$encoding: what is logged, listed and previewed");
}

# What a client sends in an encoding that only clients can have: a character whose second byte is a backslash.
foreach my $server (qw(EUC_JP UTF8))
{
	is($node->safe_psql($server, "SET client_encoding = SJIS; SELECT octet_length(acteon_error_signature(repeat('\x8f\x5c 12 ', 300))) <= 512, acteon_error_signature('\x8f\x5c 12 \"\x8f\x5c\"') = '\x8f\x5c <number> \"<value>\"'"),
		't|t', "$server: signatures of what a client sends in SJIS");
}
cmp_ok(scalar(@tried), '>=', 35, 'all encodings of databases are tried');
like(join(' ', @tried), qr/EUC_JP EUC_CN EUC_KR EUC_TW .*UTF8 .*LATIN1 .*WIN1252 .*KOI8U/, '… those, too, that scripts of other bytes would fail or be garbled in');

done_testing();
