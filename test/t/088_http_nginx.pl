# The gateway's own UI behind nginx, as doc/http.md has it: the requests of its replay button
# go to the HTTP server, if the gateway accepts the user's token, and nothing else does.
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
use Pages;
use Program;

my $nginx = find_program('nginx');
plan skip_all => 'nginx is not installed' if !defined $nginx;

my $node = new_server('nginx');
$node->safe_psql('postgres', q{
	CREATE ROLE oncall;
	INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('oncall', 'operator', '{acme}', '{*}', '{*}');
	SELECT make_record('lost'), make_record('a/b', at => '2026-01-15'), make_record('other', tenant => 'globex')});
new_http_role($node);
my $http = start_http($node);
my $key = api_key($node, 'button', 'oncall');

# What stands for the gateway notes the requests that it gets.  It knows two tokens, as the gateway does: an unknown one is
# a 401, one whose role may not read the audit trail a 403.
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/gateway.log";
append_to_file($log, '');
append_to_file("$dir/gateway.py", <<'END');
import http.server, sys
class Gateway(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = self.headers.get("Authorization")
        status = 200 if token == "Bearer user" else 403 if token == "Bearer guest" else 401
        with open(sys.argv[1], "a") as log:
            log.write(f"{self.command} {self.path} {token} {status}\n")
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"{}")
    do_GET = do_POST = do_PUT = do_DELETE = answer
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
with open(sys.argv[2], "w") as file:
    file.write(f"{server.server_port}\n")
server.serve_forever()
END
my $gateway = launch("$dir/gateway.out", 'python3', "$dir/gateway.py", $log, "$dir/port");
my $gateway_port;
wait_until(sub { $gateway_port = -s "$dir/port" ? slurp_file("$dir/port") =~ s/\n//r : 0; return ($gateway_port, 'no port') }, 'there is a gateway');

my $port = PostgreSQL::Test::Cluster::get_free_port();
my ($recipe) = blocks('doc/http.md', 'nginx');
ok(defined $recipe, 'the page has the recipe');
$recipe =~ s/listen 8090/listen 127.0.0.1:$port/ or BAIL_OUT('no port');
$recipe =~ s/:8080\b/:$gateway_port/g;
$recipe =~ s/:8081\b/:$http->{port}/g;
$recipe =~ s{/etc/nginx/acteon-replay-key.conf}{$dir/key.conf} or BAIL_OUT('no file with the key');
append_to_file("$dir/key.conf", qq{proxy_set_header Authorization "Bearer $key";\n});
append_to_file("$dir/nginx.conf", "daemon off;\nmaster_process off;\npid $dir/nginx.pid;\nerror_log $dir/error.log;\nevents {}\nhttp {\naccess_log off;\n"
	. join('', map { "${_}_temp_path $dir/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi)) . "$recipe}\n");
my $proxy = launch("$dir/nginx.out", $nginx, '-p', $dir, '-e', "$dir/error.log", '-c', "$dir/nginx.conf");
wait_until(sub { my $answer = eval { Http::Client->new($port, 'user')->get('/ui') }; return ($answer && $answer->{status} == 200, -e "$dir/error.log" ? slurp_file("$dir/error.log") : 'nothing') }, 'nginx answers');

# What the gateway has been asked since the last time.
my $seen = length slurp_file($log);
sub asked
{
	my $all = slurp_file($log);
	my $new = substr($all, $seen);

	$seen = length $all;
	return $new;
}
my %client = map { $_ => Http::Client->new($port, $_) } qw(user guest stranger);

my $answer = $client{user}->post('/v1/audit/lost/replay');
is("$answer->{status} $answer->{json}{original_action_id}", '200 lost', 'the button replays');
is($node->safe_psql('postgres', q{SELECT original_action_id, (SELECT requested_by FROM acteon_replay_batch) FROM acteon_dispatch_outbox}), 'lost|oncall', '… with the role of the key');
is(asked(), "GET /v1/audit?limit=1 Bearer user 200\n", '… after the gateway was asked who it is');
is($client{user}->post('/v1/audit/a/b/replay')->{json}{original_action_id}, 'a/b', 'an id may have slashes');
is($client{user}->post('/v1/audit/other/replay')->{status}, 403, 'what the grants do not cover is not replayed');
is($client{guest}->post('/v1/audit/lost/replay')->{status}, 403, 'who may not read the audit trail may not replay');
is($client{stranger}->post('/v1/audit/lost/replay')->{status}, 401, 'an unknown token is refused');
is($client{stranger}->post('/v1/audit/lost/replay', headers => { 'X-API-Key' => $key })->{status}, 401, '… whatever else comes with it');
is($node->safe_psql('postgres', 'SELECT count(*) FROM acteon_dispatch_outbox'), 2, '… and nothing was replayed');
asked();
$client{user}->get('/v1/audit/lost');
$client{user}->post('/v1/audit/replay');
$client{user}->post('/v1/dispatch');
is(asked(), "GET /v1/audit/lost Bearer user 200\nPOST /v1/audit/replay Bearer user 200\nPOST /v1/dispatch Bearer user 200\n", 'everything else goes to the gateway, as it came');
is($client{user}->get('/may-replay')->{status}, 404, 'the question is not for everybody');

kill 'TERM', $proxy, $gateway;
waitpid($_, 0) foreach $proxy, $gateway;
is($http->stop, 0, 'exit code 0');
done_testing();
