# Who may do what: one table, each line a role, a record and what it gets.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use Acteon;

my $node = new_server('roles');

$node->safe_psql('postgres', q{
	CREATE ROLE admin_all LOGIN;
	CREATE ROLE op_acme LOGIN;
	CREATE ROLE op_acme_member LOGIN IN ROLE op_acme;
	CREATE ROLE op_acme_noinherit LOGIN NOINHERIT IN ROLE op_acme;
	CREATE ROLE op_acme_eu LOGIN;
	CREATE ROLE op_prod_email LOGIN;
	CREATE ROLE op_page LOGIN;
	CREATE ROLE viewer_all LOGIN;
	CREATE ROLE viewer_op LOGIN;
	CREATE ROLE gateway LOGIN;
	CREATE ROLE nobody_special LOGIN;
	CREATE ROLE dropped LOGIN;
	CREATE ROLE boss LOGIN SUPERUSER;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions) VALUES
		('admin_all', 'admin', '{*}', '{*}', '{*}', '{*}'),
		('op_acme', 'operator', '{acme}', '{*}', '{*}', '{*}'),
		('op_acme_eu', 'operator', '{acme.eu}', '{*}', '{*}', '{*}'),
		('op_prod_email', 'operator', '{*}', '{prod}', '{email}', '{*}'),
		('op_page', 'operator', '{acme,globex}', '{*}', '{*}', '{page}'),
		('viewer_all', 'viewer', '{*}', '{*}', '{*}', '{*}'),
		('viewer_op', 'viewer', '{acme}', '{*}', '{*}', '{*}'),
		('viewer_op', 'operator', '{globex}', '{*}', '{*}', '{*}'),
		('gateway', 'gateway', '{*}', '{*}', '{*}', '{*}'),
		('dropped', 'admin', '{*}', '{*}', '{*}', '{*}');
	DROP ROLE dropped;
	CREATE ROLE dropped LOGIN;
	SELECT make_record('acme'), make_record('acme.eu', tenant => 'acme.eu'), make_record('acme-corp', tenant => 'acme-corp'),
		make_record('acme.', tenant => 'acme.'), make_record('globex', tenant => 'globex'), make_record('dev', namespace => 'dev'),
		make_record('sms', provider => 'sms'), make_record('page', action_type => 'page');
});

my $grant = 'no grant covers this audit record';
my $role = 'insufficient permissions: replay requires admin or operator role';
my @records = ('acme', 'acme.eu', 'acme-corp', 'acme.', 'globex', 'dev', 'sms', 'page');

# Role and, for each record in the order above, whether its replay is ok (+) or
# refused for want of a grant (-); or refused for want of a role (.), which is
# for all alike.
my @matrix = (
	[ 'boss',              '+ + + + + + + +' ],
	[ 'admin_all',         '+ + + + + + + +' ],
	[ 'op_acme',           '+ + - - - + + +' ],
	[ 'op_acme_member',    '+ + - - - + + +' ],
	[ 'op_acme_noinherit', '. . . . . . . .' ],
	[ 'op_acme_eu',        '- + - - - - - -' ],
	[ 'op_prod_email',     '+ + + + + - - +' ],
	[ 'op_page',           '- - - - - - - +' ],
	[ 'viewer_all',        '. . . . . . . .' ],
	[ 'viewer_op',         '- - - - + - - -' ],
	[ 'gateway',           '. . . . . . . .' ],
	[ 'nobody_special',    '. . . . . . . .' ],
	[ 'dropped',           '. . . . . . . .' ]);

foreach my $line (@matrix)
{
	my ($user, $marks) = @$line;
	my @wanted = split ' ', $marks;
	my $skipped = grep { $_ eq '-' } @wanted;
	my $replayed = grep { $_ eq '+' } @wanted;

	foreach my $i (0 .. $#records)
	{
		my $got = fails_with($node, "SELECT success FROM acteon_replay('$records[$i]')", connstr => $node->connstr('postgres') . " user=$user");
		my $wanted = { '+' => 'done', '-' => "42501: $grant", '.' => "42501: $role" }->{ $wanted[$i] };

		is($got, $wanted, "acteon_replay by $user of $records[$i]");
	}
	my ($status, $out, $err) = $node->psql('postgres', 'SELECT replayed, failed, skipped FROM acteon_replay_bulk(from_time => \'2000-01-01\', include_replayed => true, max_generation => 1000)',
		connstr => $node->connstr('postgres') . " user=$user");
	if ($wanted[0] eq '.')
	{
		like($err, qr/$role/, "acteon_replay_bulk by $user");
	}
	else
	{
		is($out, "$replayed|0|$skipped", "acteon_replay_bulk by $user");
	}
	# What the role may replay it may read; nothing else but for viewers.
	my $visible = $node->safe_psql('postgres', 'SELECT count(DISTINCT original_action_id) FROM acteon_dispatch_outbox',
		connstr => $node->connstr('postgres') . " user=$user");
	my $readable = $user eq 'viewer_all' ? 8 : $user eq 'viewer_op' ? 6 : $replayed;
	is($visible, $readable, "rows of the outbox that $user can see");
}

# SET ROLE and definer functions: the current role counts, as everywhere.
my $as_op = $node->connstr('postgres') . ' user=nobody_special';
$node->safe_psql('postgres', q{
	GRANT op_acme TO op_prod_email;
	GRANT CREATE ON SCHEMA public TO op_acme;
	SET ROLE op_acme;
	CREATE FUNCTION replay_acme(text) RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
		AS 'SELECT success FROM acteon_replay($1)';
});
is(fails_with($node, q{SELECT replay_acme('acme')}, connstr => $as_op), 'done', 'a definer function acts for its owner');
is(fails_with($node, q{SELECT replay_acme('globex')}, connstr => $as_op), "42501: $grant", '… and for nobody else');
is($node->safe_psql('postgres', q{SELECT requested_by, session_role FROM acteon_replay_batch ORDER BY id DESC LIMIT 1}),
	'op_acme|nobody_special', 'the batch names both roles');
is(fails_with($node, q{SET ROLE op_acme; SELECT acteon_replay('page')}, connstr => $node->connstr('postgres') . ' user=op_prod_email'),
	'done', 'SET ROLE takes its grants');

done_testing();
