/*
 * unit.c
 *		Tests of the HTTP server's parts that need neither a database nor a client.
 *		Prints TAP; exits with 1 if a test failed.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/nearest.h"
#include "http/body.h"
#include "http/cors.h"
#include "http/credentials.h"
#include "http/numbers.h"
#include "http/openapi.h"
#include "http/parameters.h"
#include "http/problem.h"
#include "http/request.h"
#include "http/routes.h"
#include "http/server_int.h"
#include "http/settings.h"
#include "common/socket.h"
#include "http/status_map.h"
#include "tap.h"

/*
 * Look for a route and compare: the method that the path takes and its statement,
 * and the name in it, or what there is instead of a route.
 */
static void
routed(const char *method, const char *uri, const char *expected)
{
	const Route *route = NULL;
	Buffer name = {0};
	char *title = Format("%s %s", method, uri);
	char *got;

	switch (RouteFind(method, uri, &route, &name))
	{
		case ROUTE_FOUND:
			got = Format("%s <%s>", route->path, BufferText(&name));
			break;
		case ROUTE_NO_METHOD:
			got = Format("takes %s", RouteMethods(route));
			break;
		case ROUTE_OF_GATEWAY:
			got = DuplicateText("the gateway's");
			break;
		default:
			got = DuplicateText("nothing");
			break;
	}
	is(got, expected, title);
	free(got);
	free(title);
	BufferFree(&name);
}

/*
 * What is behind paths.
 */
static void
test_routes(void)
{
	static const struct
	{
		const char *method;
		const char *uri;
		const char *expected;
	} cases[] = {
		{"POST", "/v1/audit/replay", "/v1/audit/replay <>"},
		{"POST", "/v1/audit/replay?limit=1", "/v1/audit/replay <>"},
		{"POST", "/v1/audit/replay?x=/v1/audit/a/replay", "/v1/audit/replay <>"},
		{"POST", "/v1/audit/a/replay", "/v1/audit/*/replay <a>"},
		{"POST", "/v1/audit/a/replay?reason=x/replay", "/v1/audit/*/replay <a>"},
		{"POST", "/v1/audit/replay/replay", "/v1/audit/*/replay <replay>"},
		{"POST", "/v1/audit/a/b//c/replay", "/v1/audit/*/replay <a/b//c>"},
		{"POST", "/v1/audit/a/replay/replay", "/v1/audit/*/replay <a/replay>"},
		{"POST", "/v1/audit///replay", "/v1/audit/*/replay </>"},
		{"POST", "/v1/audit/../replay", "/v1/audit/*/replay <..>"},
		{"POST", "/v1/audit/100%/replay", "/v1/audit/*/replay <100%>"},
		{"POST", "/v1/audit/a%2Fb/replay", "/v1/audit/*/replay <a%2Fb>"},
		{"POST", "/v1/audit/a+b/replay", "/v1/audit/*/replay <a+b>"},
		{"POST", "/v1/audit/a*/replay", "/v1/audit/*/replay <a*>"},
		{"POST", "/v1/audit//replay", "takes GET, HEAD"},
		{"POST", "/v1/audit/a", "takes GET, HEAD"},
		{"POST", "/v1/audit/a/replay/", "takes GET, HEAD"},
		{"POST", "/v1/audit/replay/", "takes GET, HEAD"},
		{"POST", "/v1/audit/a/Replay", "takes GET, HEAD"},
		{"POST", "/v1/audit/", "nothing"},
		{"POST", "/v1/audit", "takes GET, HEAD"},
		{"GET", "/v1/audit", "/v1/audit <>"},
		{"HEAD", "/v1/audit?limit=1", "/v1/audit <>"},
		{"GET", "/v1/audit/", "nothing"},
		{"GET", "/v1/audit/a", "/v1/audit/* <a>"},
		{"HEAD", "/v1/audit/a?x=/v1/audit/b", "/v1/audit/* <a>"},
		{"GET", "/v1/audit/a/b", "/v1/audit/* <a/b>"},
		{"GET", "/v1/audit/a/replays", "/v1/audit/* <a/replays>"},
		{"GET", "/v1/audit/replays", "/v1/audit/* <replays>"},
		{"GET", "/v1/audits", "nothing"},
		{"POST", "/v1/audit/verify", "/v1/audit/verify <>"},
		{"GET", "/v1/audit/verify", "takes POST"},
		{"GET", "/v1/audit/%76erify", "/v1/audit/* <%76erify>"},
		{"POST", "/v1/dispatch", "the gateway's"},
		{"POST", "/v1/dispatch?dry_run=true", "the gateway's"},
		{"POST", "/v1/dispatch/batch", "the gateway's"},
		{"POST", "/v1/dispatches", "nothing"},
		{"POST", "/v1/dispatch%2Fbatch", "nothing"},
		{"GET", "/v1/chains/definitions/x/dag", "the gateway's"},
		{"DELETE", "/v1/silences/7", "the gateway's"},
		{"GET", "/metrics/prometheus", "the gateway's"},
		{"GET", "/a2a/prod/acme/.well-known/agent.json", "the gateway's"},
		{"GET", "/.well-known/acteon-signing-keys", "the gateway's"},
		{"GET", "/v1", "nothing"},
		{"POST", "//v1/audit/replay", "nothing"},
		{"POST", "/v1/audit/replay#x", "takes GET, HEAD"},
		{"POST", "v1/audit/replay", "nothing"},
		{"POST", "*", "nothing"},
		{"POST", "", "nothing"},
		{"POST", "?", "nothing"},
		{"POST", "http://host/v1/audit/replay", "nothing"},
		{"GET", "/v1/audit/replay", "takes POST"},
		{"GET", "/v1/audit/a/replay", "takes POST"},
		{"HEAD", "/v1/audit/a/replay", "takes POST"},
		{"PUT", "/v1/audit/a/replay", "takes POST"},
		{"post", "/v1/audit/a/replay", "takes POST"},
		{"OPTIONS", "/v1/audit/a/replay", "takes POST"},
		{"GET", "/v1/replay/causes?lost=true", "/v1/replay/causes <>"},
		{"POST", "/v1/replay/causes", "takes GET, HEAD"},
		{"GET", "/v1/replay/timeline?lost=true", "/v1/replay/timeline <>"},
		{"POST", "/v1/replay/timeline", "takes GET, HEAD"},
		{"GET", "/v1/replay/batches", "/v1/replay/batches <>"},
		{"HEAD", "/v1/replay/batches?limit=1", "/v1/replay/batches <>"},
		{"POST", "/v1/replay/batches", "takes GET, HEAD"},
		{"GET", "/v1/replay/batches/7/log?limit=5", "/v1/replay/batches/*/log <7>"},
		{"POST", "/v1/replay/batches/7/settle", "/v1/replay/batches/*/settle <7>"},
		{"POST", "/v1/replay/batches/x/settle", "nothing"},
		{"GET", "/v1/replay/log", "/v1/replay/log <>"},
		{"GET", "/v1/replay/lineage/a/b%2F", "/v1/replay/lineage/* <a/b%2F>"},
		{"GET", "/v1/replay/lineage/", "nothing"},
		{"POST", "/v1/replay/redrive?batch_id=1", "/v1/replay/redrive <>"},
		{"GET", "/v1/replay/redrive", "takes POST"},
		{"POST", "/v1/replay/pause_all", "/v1/replay/pause_all <>"},
		{"POST", "/v1/replay/resume_all?reason=x", "/v1/replay/resume_all <>"},
		{"GET", "/v1/replay/pause_all", "takes POST"},
		{"GET", "/v1/replay/limits", "/v1/replay/limits <>"},
		{"HEAD", "/v1/replay/limits", "/v1/replay/limits <>"},
		{"POST", "/v1/replay/limits?provider=email", "/v1/replay/limits <>"},
		{"DELETE", "/v1/replay/limits?provider=email", "/v1/replay/limits <>"},
		{"PUT", "/v1/replay/limits", "takes GET, HEAD, POST, DELETE"},
		{"GET", "/v1/replay/batches/", "nothing"},
		{"GET", "/v1/replay/batches/7", "/v1/replay/batches/* <7>"},
		{"HEAD", "/v1/replay/batches/7", "/v1/replay/batches/* <7>"},
		{"GET", "/v1/replay/batches/7/items?limit=5", "/v1/replay/batches/*/items <7>"},
		{"POST", "/v1/replay/batches/7/items", "takes GET, HEAD"},
		{"GET", "/v1/replay/batches/x/items", "nothing"},
		{"DELETE", "/v1/replay/batches/7", "takes GET, HEAD"},
		{"GET", "/v1/replay/batches/123456789012345678",
		 "/v1/replay/batches/* <123456789012345678>"},
		{"GET", "/v1/replay/batches/1234567890123456789", "nothing"},
		{"GET", "/v1/replay/batches/-7", "nothing"},
		{"GET", "/v1/replay/batches/+7", "nothing"},
		{"GET", "/v1/replay/batches/7x", "nothing"},
		{"GET", "/v1/replay/batches/7/", "nothing"},
		{"GET", "/v1/replay/batches/7.0", "nothing"},
		{"GET", "/v1/replay/batches/%37", "nothing"},
		{"GET", "/v1/replay/batches/0x7", "nothing"},
		{"GET", "/v1/replay/batches/a", "nothing"},
		{"POST", "/v1/replay/batches/7/pause", "/v1/replay/batches/*/pause <7>"},
		{"POST", "/v1/replay/batches/7/resume", "/v1/replay/batches/*/resume <7>"},
		{"POST", "/v1/replay/batches/7/cancel?reason=x", "/v1/replay/batches/*/cancel <7>"},
		{"GET", "/v1/replay/batches/7/cancel", "takes POST"},
		{"POST", "/v1/replay/batches/7/delete", "nothing"},
		{"POST", "/v1/replay/batches/x/pause", "nothing"},
		{"POST", "/v1/replay/batches//pause", "nothing"},
		{"POST", "/v1/replay/batches/7/7/pause", "nothing"},
		{"GET", "/health", "/health <>"},
		{"HEAD", "/health", "/health <>"},
		{"POST", "/health", "takes GET, HEAD"},
		{"GET", "/healthy", "nothing"},
		{"GET", "/health?x", "/health <>"},
		{"GET", "/metrics", "/metrics <>"},
		{"GET", "/openapi.json", "/openapi.json <>"},
		{"GET", "/", "/ <>"},
		{"POST", "/", "takes GET, HEAD"},
		{"GET", "//", "nothing"},
		{"GET", "/index.html", "nothing"},
		{"POST", "/v1/replay/all?lost=true", "/v1/replay/all <>"},
		{"GET", "/v1/replay/batches/7/may", "/v1/replay/batches/*/may <7>"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		routed(cases[i].method, cases[i].uri, cases[i].expected);
	for (int i = 0; i < route_count; i++)
		ok((routes[i].kind == ROUTE_CALL) == (routes[i].statement != STATEMENT_NONE) &&
			   (!routes[i].can_wait ||
				(routes[i].takes & (CALL_HTTP_BULK | CALL_HTTP_SINGLE)) != 0),
		   "%s %s: the row of the table fits together", routes[i].method, routes[i].path);
}

/*
 * Read a query string and compare: the query for the extension, or what is wrong.
 */
static void
read_as(const char *query, CallSet takes, const char *expected)
{
	Parameters parameters = {0};
	Buffer json = {0};
	char *wrong = ParametersRead(&parameters, query, takes);

	if (wrong == NULL)
		wrong = ParametersComplete(&parameters, takes);

	ParametersToQuery(&parameters, &json);
	is(wrong != NULL ? wrong : json.data, expected, query != NULL ? query : "no query");
	ok(wrong != NULL || JsonIsValid(json.data, json.len), "and is JSON, if nothing is wrong");
	free(wrong);
	BufferFree(&json);
	ParametersFree(&parameters);
	ParametersFree(&parameters);
}

/*
 * Read a body and compare: the tenant, a comma and the limit, or what is wrong.
 */
static void
read_body_as(const char *text, const char *expected)
{
	Parameters parameters = {0};
	Buffer body = {0};
	char *wrong, *got;

	BufferAppendText(&body, text);
	wrong = BodyRead(&parameters, &body, CALL_HTTP_CHAIN);
	got = wrong != NULL ? DuplicateText(wrong)
						: Format("%s, %s",
								 parameters.values[OPTION_CHAIN_TENANT] != NULL
									 ? parameters.values[OPTION_CHAIN_TENANT]
									 : "-",
								 parameters.values[OPTION_CHAIN_LIMIT] != NULL
									 ? parameters.values[OPTION_CHAIN_LIMIT]
									 : "-");
	is(got, expected, text);
	free(got);
	free(wrong);
	BufferFree(&body);
	ParametersFree(&parameters);
}

#define HALF_PAIR "the body has half a surrogate pair"

/*
 * Members of an object are parameters, as they are.
 */
static void
test_body(void)
{
	read_body_as("", "-, -");
	read_body_as(" \r\n", "-, -");
	read_body_as("{}", "-, -");
	read_body_as("{\"tenant\": \"a%20b+c&d\"}", "a%20b+c&d, -");
	read_body_as("{\"tenant\": \"\\u00e9\\n\", \"limit\": 7}", "\xc3\xa9\n, 7");
	read_body_as("{\"tenant\": null, \"limit\": 1e2}", "-, 100");
	read_body_as("{\"limit\": \"7\"}", "-, 7");
	read_body_as("{\"limit\": 2000000}", "-, 1000000");
	read_body_as("{\"tenant\": \"\"}", ", -");
	read_body_as("{\"tenant\": \"a\", \"tenant\": \"b\"}", "tenant is given twice");
	read_body_as("{\"tenant\": \"a\", \"tenant\": null}", "tenant is given twice");
	read_body_as("{\"tenant\": null, \"tenant\": \"a\"}", "tenant is given twice");
	read_body_as("{\"tenant\": null, \"tenant\": null}", "tenant is given twice");
	read_body_as("{\"tenant\": \"a\", \"\\u0074enant\": \"a\"}", "tenant is given twice");
	read_body_as("{\"nobody\": null}", "unknown parameter: nobody");
	read_body_as("{\"tennant\": null}", "unknown parameter: tennant (perhaps you meant tenant)");
	read_body_as("{\"tenant\": 7}", "tenant: expected a string");
	read_body_as("{\"tenant\": \"a\\u0000\"}", "tenant is not text in UTF-8");
	read_body_as("{\"a\\u0000\": \"a\"}", "the body is not text in UTF-8");
	read_body_as("{\"tenant\": \"\\ud83D\\uDE00\\ud83d\\ude00\"}",
				 "\xf0\x9f\x98\x80\xf0\x9f\x98\x80, -");
	read_body_as("{\"tenant\": \"\\\\ud83d\\\\\\u0061\\ud7ff\"}", "\\ud83d\\a\xed\x9f\xbf, -");
	read_body_as("{\"tenant\": \"acme\\ud800\"}", HALF_PAIR);
	read_body_as("{\"tenant\": \"acm\\uDBFFe\"}", HALF_PAIR);
	read_body_as("{\"tenant\": \"\\ud800\\u0061\"}", HALF_PAIR);
	read_body_as("{\"tenant\": \"\\ud800\\\\udc00\"}", HALF_PAIR);
	read_body_as("{\"tenant\": \"\\\\\\ud800\"}", HALF_PAIR);
	read_body_as("{\"tenant\": \"\\ud800\\ud800\\udc00\"}", HALF_PAIR);
	read_body_as("{\"tenant\": \"\\udc00\"}", HALF_PAIR);
	read_body_as("{\"\\ud800\": null}", HALF_PAIR);
	read_body_as("{\"tenant\": \"\\ud80", "the body is not a JSON object");
	read_body_as("{\"tenant\": {\"tenant\": \"a\"}}", "tenant: expected a string or a number");
	read_body_as("{\"tenant\": [\"a\"]}", "tenant: expected a string or a number");
	read_body_as("{\"nobody\": [\"a\"]}", "nobody: expected a string or a number");
	read_body_as("{\"nobody\": \"a\"}", "unknown parameter: nobody");
	read_body_as("{\"\": \"a\"}", "unknown parameter");
	read_body_as("{\"action_type\": \"a\"}", "unknown parameter: action_type");
	read_body_as("[{\"tenant\": \"a\"}]", "the body is not a JSON object");
	read_body_as("{\"tenant\": \"a\"", "the body is not a JSON object");
	read_body_as("{\"tenant\": \"a\"} {}", "the body is not a JSON object");
	read_body_as("\"a\"", "the body is not a JSON object");
	read_body_as("null", "the body is not a JSON object");
	read_body_as("x", "the body is not a JSON object");
}

/*
 * How values are decoded, and which are given to the extension.
 */
static void
test_parameters(void)
{
	Parameters batches = {0};
	static const struct
	{
		const char *query;
		const char *expected;
	} cases[] = {
		{NULL, "{\"limit\": 50}"},
		{"", "{\"limit\": 50}"},
		{"&&&", "{\"limit\": 50}"},
		{"tenant=acme&outcome=failed",
		 "{\"tenant\": \"acme\", \"outcome\": \"failed\", \"limit\": 50}"},
		{"tenant=a+b%20c%2B", "{\"tenant\": \"a b c+\", \"limit\": 50}"},
		{"tenant=%E2%82%AC%c3%a9", "{\"tenant\": \"\xe2\x82\xac\xc3\xa9\", \"limit\": 50}"},
		{"tenant=\xc3\xa9", "{\"tenant\": \"\xc3\xa9\", \"limit\": 50}"},
		{"tenant=100%", "{\"tenant\": \"100%\", \"limit\": 50}"},
		{"tenant=%4", "{\"tenant\": \"%4\", \"limit\": 50}"},
		{"tenant=%g1%1g%%41", "{\"tenant\": \"%g1%1g%A\", \"limit\": 50}"},
		{"tenant=%2541", "{\"tenant\": \"%41\", \"limit\": 50}"},
		{"tenant=a=b", "{\"tenant\": \"a=b\", \"limit\": 50}"},
		{"tenant=a%26b%3Dc", "{\"tenant\": \"a&b=c\", \"limit\": 50}"},
		{"tenant", "{\"tenant\": \"\", \"limit\": 50}"},
		{"tenant=", "{\"tenant\": \"\", \"limit\": 50}"},
		{"ten%61nt=x", "{\"tenant\": \"x\", \"limit\": 50}"},
		{"tenant=%22%5C%0A%09%01%7F/'",
		 "{\"tenant\": \"\\\"\\\\\\u000a\\u0009\\u0001\177/'\", \"limit\": 50}"},
		{"tenant=%22%2C%20%22limit%22%3A%201000%2C%20%22x%22%3A%20%22",
		 "{\"tenant\": \"\\\", \\\"limit\\\": 1000, \\\"x\\\": \\\"\", \"limit\": 50}"},
		{"tenant=a;outcome=b", "{\"tenant\": \"a;outcome=b\", \"limit\": 50}"},
		{"tenant=?", "{\"tenant\": \"?\", \"limit\": 50}"},

		{"tenant=%00", "tenant is not text in UTF-8"},
		{"tenant=a%00b", "tenant is not text in UTF-8"},
		{"tenant=%FF", "tenant is not text in UTF-8"},
		{"tenant=%C3", "tenant is not text in UTF-8"},
		{"tenant=%C0%80", "tenant is not text in UTF-8"},
		{"tenant=%ED%A0%80", "tenant is not text in UTF-8"},
		{"tenant=\xe9", "tenant is not text in UTF-8"},
		{"outcome=%00", "outcome is not text in UTF-8"},
		{"outcome=a&outcome=%FF", "outcome is not text in UTF-8"},
		{"outcome=failed,circuit_open", "{\"outcome\": \"failed,circuit_open\", \"limit\": 50}"},
		{"outcome=failed&tenant=x&outcome=a%2Cb+&outcome=c",
		 "{\"tenant\": \"x\", \"outcome\": \"failed,a,b ,c\", \"limit\": 50}"},
		{"outcome=&outcome=a", "{\"outcome\": \",a\", \"limit\": 50}"},
		{"lost=1&certain=false&allow_effective=true&allow_unproven=0&on_doubt=hold",
		 "{\"limit\": 50, \"lost\": true, \"certain\": false, \"allow_effective\": true, \"allow_unproven\": false, \"on_doubt\": \"hold\"}"},
		{"lost=&certain=1", "lost: expected true or false"},
		{"action_ids=a", "{\"limit\": 50, \"action_ids\": [\"a\"]}"},
		{"action_ids=a,b%2C+c+&exclude_ids=d&action_ids=%22",
		 "{\"limit\": 50, \"action_ids\": [\"a\", \"b\", \"c\", \"\\\"\"], \"exclude_ids\": [\"d\"]}"},
		{"action_ids=[%22a,b%22,+%22%22]&action_ids=c&action_ids=[+]",
		 "{\"limit\": 50, \"action_ids\": [\"a,b\", \"\", \"c\"]}"},
		{"action_ids=[]", "{\"limit\": 50, \"action_ids\": []}"},
		{"action_ids=[]&action_ids=[]&action_ids=a", "{\"limit\": 50, \"action_ids\": [\"a\"]}"},
		{"action_ids=[1,{}]", "{\"limit\": 50, \"action_ids\": [1,{}]}"},
		{"action_ids", "action_ids: expected ids, separated by commas, or a JSON array"},
		{"action_ids=", "action_ids: expected ids, separated by commas, or a JSON array"},
		{"action_ids=a,,b", "action_ids: expected ids, separated by commas, or a JSON array"},
		{"action_ids=a&action_ids=",
		 "action_ids: expected ids, separated by commas, or a JSON array"},
		{"action_ids=[a]", "action_ids: expected ids, separated by commas, or a JSON array"},
		{"action_ids=[1],+%22limit%22:+[2]",
		 "action_ids: expected ids, separated by commas, or a JSON array"},
		{"action_ids=[1", "action_ids: expected ids, separated by commas, or a JSON array"},
		{"action_ids=%00", "action_ids is not text in UTF-8"},
		{"exclude=%7B%22tenant%22:+%22a%22%7D&payload=7&payload_path=$.a&error_like=%25x%25&tenant_tree=acme",
		 "{\"limit\": 50, \"exclude\": {\"tenant\": \"a\"}, \"tenant_tree\": \"acme\", \"error_like\": \"%x%\", \"payload\": 7, \"payload_path\": \"$.a\"}"},
		{"target=staging&provider=a",
		 "{\"provider\": \"a\", \"limit\": 50, \"target\": \"staging\"}"},
		{"target=a&target=a", "target is given twice"},
		{"payload=null", "payload: expected JSON other than null"},
		{"payload=+null+", "payload: expected JSON other than null"},
		{"payload=", "payload: expected JSON other than null"},
		{"payload=7,+%22limit%22:+9", "payload: expected JSON other than null"},
		{"payload={}&payload={}", "payload is given twice"},
		{"exclude=x", "exclude: expected JSON other than null"},
		{"patch=%7B%22a%22:+null%7D", "{\"limit\": 50, \"patch\": {\"a\": null}}"},
		{"patch=7", "{\"limit\": 50, \"patch\": 7}"},
		{"patch=null", "patch: expected JSON other than null"},
		{"patch=+null+", "patch: expected JSON other than null"},
		{"patch=", "patch: expected JSON other than null"},
		{"patch=x", "patch: expected JSON other than null"},
		{"patch={},+%22limit%22:+9", "patch: expected JSON other than null"},
		{"patch={}&patch={}", "patch is given twice"},
		{"patch_path=$.a&patch_value=null",
		 "{\"limit\": 50, \"patch_path\": \"$.a\", \"patch_value\": null}"},
		{"patch_value=%22x%22", "{\"limit\": 50, \"patch_value\": \"x\"}"},
		{"patch_value=", "patch_value: expected JSON"},
		{"patch_value=x", "patch_value: expected JSON"},
		{"patch_value=1,+%22limit%22:+9", "patch_value: expected JSON"},
		{"tenant=a&tenant=b", "tenant is given twice"},
		{"tenant=a&tenant=a", "tenant is given twice"},
		{"tenant&tenant", "tenant is given twice"},
		{"limit=5&limit=5", "limit is given twice"},

		{"tenant=a&outcme=failed", "unknown parameter: outcme (perhaps you meant outcome)"},
		{"outcme", "unknown parameter: outcme (perhaps you meant outcome)"},
		{"Tenant=a", "unknown parameter: Tenant (perhaps you meant tenant)"},
		{"tenant%20=c", "unknown parameter: tenant  (perhaps you meant tenant)"},
		{"=b", "unknown parameter"},
		{"tenant%00=a", "unknown parameter"},
		{"%FF=%FF", "unknown parameter"},
		{"from_time=x", "unknown parameter: from_time (it is called from here)"},
		{"max_records=5", "unknown parameter: max_records (it is called limit here)"},
		{"before=5&state=active", "unknown parameter: before"},
		{"offset=5", "unknown parameter: offset"},
		{"frobnicate=5", "unknown parameter: frobnicate"},
		{"tenant=a&x/replay", "unknown parameter: x/replay"},
		{"form=2026-01-01T12:00:00Z", "unknown parameter: form (perhaps you meant from)"},
		{"dryrun=true", "unknown parameter: dryrun (perhaps you meant dry_run)"},
		{"outcomes=failed", "unknown parameter: outcomes (perhaps you meant outcome)"},
		{"actionType=x", "unknown parameter: actionType (perhaps you meant action_type)"},
		{"toto=x", "unknown parameter: toto (perhaps you meant to)"},
		{"t=x", "unknown parameter: t"},
		/* Those that the gateway's SDKs send. */
		{"namespace=n&tenant=t&provider=p&action_type=a&outcome=failed&verdict=v&matched_rule=r&"
		 "from=2026-01-01T12%3A00%3A00%2B0000&to=2026-01-01T12:00:00Z&limit=7",
		 "{\"namespace\": \"n\", \"tenant\": \"t\", \"provider\": \"p\", \"action_type\": \"a\", "
		 "\"outcome\": \"failed\", \"verdict\": \"v\", \"matched_rule\": \"r\", "
		 "\"from\": \"2026-01-01T12:00:00+0000\", \"to\": \"2026-01-01T12:00:00Z\", \"limit\": 7}"},

		{"limit=0", "{\"limit\": 1}"},
		{"limit=1", "{\"limit\": 1}"},
		{"limit=1000", "{\"limit\": 1000}"},
		{"limit=1001", "{\"limit\": 1000}"},
		{"limit=-5", "limit: expected a whole number, 0 or more"},
		{"limit=-0", "limit: expected a whole number, 0 or more"},
		{"limit=%2B5", "{\"limit\": 5}"},
		{"limit=007", "{\"limit\": 7}"},
		{"limit=4294967297", "{\"limit\": 1000}"},
		{"limit=9223372036854775808", "{\"limit\": 1000}"},
		{"limit=99999999999999999999999999999999999999999", "{\"limit\": 1000}"},
		{"limit=-99999999999999999999999999999999999999999",
		 "limit: expected a whole number, 0 or more"},
		{"limit=2147483648", "{\"limit\": 1000}"},
		{"limit=000", "{\"limit\": 1}"},
		{"limit=%2B00", "{\"limit\": 1}"},
		{"limit=%20", "limit: expected a whole number, 0 or more"},
		{"limit=", "limit: expected a whole number, 0 or more"},
		{"limit", "limit: expected a whole number, 0 or more"},
		{"limit=-", "limit: expected a whole number, 0 or more"},
		{"limit=--5", "limit: expected a whole number, 0 or more"},
		{"limit=5.5", "limit: expected a whole number, 0 or more"},
		{"limit=1e3", "{\"limit\": 1000}"},
		{"limit=1.5E+1", "{\"limit\": 15}"},
		{"limit=5.0", "{\"limit\": 5}"},
		{"limit=%2B1e1", "{\"limit\": 10}"},
		{"limit=1e300", "{\"limit\": 1000}"},
		{"limit=1e-300", "limit: expected a whole number, 0 or more"},
		{"limit=1e999", "limit: expected a whole number, 0 or more"},
		{"limit=-1e3", "limit: expected a whole number, 0 or more"},
		{"limit=0x10", "limit: expected a whole number, 0 or more"},
		{"limit=+5", "limit: expected a whole number, 0 or more"},
		{"limit=5%20", "limit: expected a whole number, 0 or more"},
		{"limit=ten", "limit: expected a whole number, 0 or more"},

		{"ramp=true", "{\"limit\": 50, \"ramp\": true}"},
		{"ramp=1", "{\"limit\": 50, \"ramp\": true}"},
		{"ramp=false", "{\"limit\": 50, \"ramp\": false}"},
		{"ramp=0", "{\"limit\": 50, \"ramp\": false}"},
		{"ramp", "ramp: expected true or false"},
		{"ramp=", "ramp: expected true or false"},
		{"ramp=yes", "ramp: expected true or false"},
		{"ramp=True", "ramp: expected true or false"},
		{"ramp=true%20", "ramp: expected true or false"},

		{"rate=2.5", "{\"limit\": 50, \"rate\": 2.5}"},
		{"rate=-1", "{\"limit\": 50, \"rate\": -1}"},
		{"rate=0", "{\"limit\": 50, \"rate\": 0}"},
		{"rate=", "rate: expected a number"},
		{"rate=.5", "rate: expected a number"},
		{"rate=5.", "rate: expected a number"},
		{"rate=05", "rate: expected a number"},
		{"rate=1e5", "{\"limit\": 50, \"rate\": 1e5}"},
		{"rate=1E%2B06", "{\"limit\": 50, \"rate\": 1E+06}"},
		{"rate=1e+06", "{\"limit\": 50, \"rate\": 1e+06}"},
		{"rate=1e", "rate: expected a number"},
		{"rate=e1", "rate: expected a number"},
		{"rate=1e1e1", "rate: expected a number"},
		{"rate=1e%20%206", "rate: expected a number"},
		{"rate=1%20e6", "rate: expected a number"},
		{"rate=1e400", "rate: expected a number"},
		{"rate=1e-400", "rate: expected a number"},
		{"rate=0e400", "{\"limit\": 50, \"rate\": 0e400}"},
		{"rate=0x1p3", "rate: expected a number"},
		{"rate=NaN", "rate: expected a number"},
		{"rate=Infinity", "rate: expected a number"},
		{"rate=1.2.3", "rate: expected a number"},
		{"rate=1-1", "rate: expected a number"},
		{"rate=1,\"limit\":1000", "rate: expected a number"},
		{"rate=123456789012345678901234567890",
		 "{\"limit\": 50, \"rate\": 123456789012345678901234567890}"},
		{"rate=1234567890123456789012345678901",
		 "{\"limit\": 50, \"rate\": 1234567890123456789012345678901}"},

		{"order=newest", "{\"limit\": 50, \"order\": \"newest\"}"},
		{"order=newest&order=newest", "order is given twice"},
		{"max_depth=0", "{\"limit\": 50, \"max_depth\": 0}"},
		{"max_depth=20", "{\"limit\": 50, \"max_depth\": 20}"},
		{"max_depth=2147483648", "{\"limit\": 50, \"max_depth\": 2147483648}"},
		{"max_depth=1e1", "{\"limit\": 50, \"max_depth\": 10}"},
		{"max_depth=1e-1", "max_depth: expected a whole number"},
		{"max_depth=1e30", "max_depth: expected a whole number"},
		{"max_depth=%2B5", "max_depth: expected a whole number"},
		{"max_depth=%20", "max_depth: expected a whole number"},
		{"max_depth=-1", "{\"limit\": 50, \"max_depth\": -1}"},
		{"max_depth=1.5", "max_depth: expected a whole number"},
		{"max_depth=00", "max_depth: expected a whole number"},
		{"max_depth=", "max_depth: expected a whole number"},

		{"from=2026-01-01T12:00:00Z", "{\"from\": \"2026-01-01T12:00:00Z\", \"limit\": 50}"},
		{"from=2026-01-01T12:00:00+02:00",
		 "{\"from\": \"2026-01-01T12:00:00+02:00\", \"limit\": 50}"},
		{"from=2026-01-01T12:00:00%2B02:00",
		 "{\"from\": \"2026-01-01T12:00:00+02:00\", \"limit\": 50}"},
		{"from=2026-01-01T12%3A00%3A00.25%2B02%3A00",
		 "{\"from\": \"2026-01-01T12:00:00.25+02:00\", \"limit\": 50}"},
		{"to=2026-01-01T12:00:00.25+02:00",
		 "{\"to\": \"2026-01-01T12:00:00.25+02:00\", \"limit\": 50}"},
		{"to=2026-01-01T12:00:00-05:00", "{\"to\": \"2026-01-01T12:00:00-05:00\", \"limit\": 50}"},
		{"to=2026-01-01+12:00:00Z", "{\"to\": \"2026-01-01 12:00:00Z\", \"limit\": 50}"},
		{"to=2026-01-01+12:00:00+02:00", "{\"to\": \"2026-01-01 12:00:00+02:00\", \"limit\": 50}"},
		{"to=2026-01-01%2012:00:00%2002:00",
		 "{\"to\": \"2026-01-01 12:00:00+02:00\", \"limit\": 50}"},
		{"start_at=2026-01-01T12:00:00+02:00",
		 "{\"limit\": 50, \"start_at\": \"2026-01-01T12:00:00+02:00\"}"},
		{"to=", "{\"to\": \"\", \"limit\": 50}"},
		{"to=+", "{\"to\": \" \", \"limit\": 50}"},
		{"to=yester+day+and+then", "{\"to\": \"yester day and+then\", \"limit\": 50}"},
		{"reason=a+b", "{\"limit\": 50, \"reason\": \"a b\"}"},

		{"dry_run=true&sample=3&wait=5", "{\"limit\": 50}"},
		{"dry_run=perhaps", "dry_run: expected true or false"},
		{"sample=0&wait=0", "{\"limit\": 50}"},
		{"sample=1000&wait=60", "{\"limit\": 50}"},
		{"sample=", "sample: expected a whole number from 0 to 1000"},
		{"sample=x", "sample: expected a whole number from 0 to 1000"},
		{"sample=-1", "sample: expected a whole number from 0 to 1000"},
		{"sample=1001", "sample: expected a whole number from 0 to 1000"},
		{"sample=2147483648", "sample: expected a whole number from 0 to 1000"},
		{"sample=99999999999999999999", "sample: expected a whole number from 0 to 1000"},
		{"sample=1e1", "{\"limit\": 50}"},
		{"sample=1e4", "sample: expected a whole number from 0 to 1000"},
		{"sample=%2B5", "sample: expected a whole number from 0 to 1000"},
		{"wait=soon", "wait: expected a number from 0 to 60"},
		{"wait=", "wait: expected a number from 0 to 60"},
		{"wait=60.5", "wait: expected a number from 0 to 60"},
		{"wait=-0.5", "wait: expected a number from 0 to 60"},
		{"wait=1e1", "{\"limit\": 50}"},
		{"wait=1e2", "wait: expected a number from 0 to 60"},
		{"from=2026-01-01T12:00:00+0000",
		 "{\"from\": \"2026-01-01T12:00:00+0000\", \"limit\": 50}"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		read_as(cases[i].query, CALL_HTTP_BULK, cases[i].expected);
	read_as("reason=r", CALL_HTTP_STEERING, "{\"reason\": \"r\"}");
	/* What is misspelt would leave a call that is about all of the batch. */
	read_as("reason=r&tennant=acme", CALL_HTTP_STEERING,
			"unknown parameter: tennant (perhaps you meant tenant)");
	read_as("limit=5", CALL_HTTP_STEERING, "unknown parameter: limit");
	read_as("tenant=%00", CALL_HTTP_STEERING, "tenant is not text in UTF-8");
	read_as("reason=r&dedup=drop", CALL_HTTP_SINGLE, "{\"reason\": \"r\", \"dedup\": \"drop\"}");
	read_as("reason=r&nobody=7", CALL_HTTP_SINGLE, "unknown parameter: nobody");
	read_as("resaon=r", CALL_HTTP_SINGLE, "unknown parameter: resaon (perhaps you meant reason)");
	read_as("reason=r&limit=7", CALL_HTTP_SINGLE, "limit is not for the replay of a single action");
	read_as("", CALL_NONE, "{}");
	read_as("limit=x", CALL_NONE, "unknown parameter: limit");
	read_as("before=007", CALL_HTTP_BATCHES, "before: expected the number of a batch");
	read_as("befor=7", CALL_HTTP_BATCHES, "unknown parameter: befor (perhaps you meant before)");
	read_as("page=%00", CALL_HTTP_BATCHES, "unknown parameter: page");
	ok(ParametersRead(&batches, "limit=2000&before=9223372036854775807&state=paused",
					  CALL_HTTP_BATCHES) == NULL,
	   "a page of batches");
	is(batches.values[OPTION_BATCH_LIMIT], "1000", "its limit is clamped");
	is(batches.clamped, "1000", "and it is known that it was");
	is(batches.values[OPTION_BEFORE], "9223372036854775807", "any number can be one of a batch");
	ParametersFree(&batches);
	ok(ParametersRead(&batches, "limit=1e3&before=7e0", CALL_HTTP_BATCHES) == NULL,
	   "another page of batches");
	ok(batches.clamped == NULL, "a limit that was kept is none that was clamped");
	is(batches.values[OPTION_BEFORE], "7", "a number of a batch becomes digits");
	ParametersFree(&batches);
	ok(ParametersRead(&batches, "limit=0", CALL_HTTP_BATCHES) == NULL, "the page of nothing");
	is(batches.clamped, "1", "becomes one of one");
	ParametersFree(&batches);
	read_as("before=-5", CALL_HTTP_BATCHES, "before: expected the number of a batch");
	read_as("before=1.5", CALL_HTTP_BATCHES, "before: expected the number of a batch");
	read_as("before=9223372036854775808", CALL_HTTP_BATCHES,
			"before: expected the number of a batch");
	read_as("before=1e300", CALL_HTTP_BATCHES, "before: expected the number of a batch");
	read_as("limit=-1", CALL_HTTP_BATCHES, "limit: expected a whole number, 0 or more");
	read_as("cursor=", CALL_HTTP_ITEMS, "cursor: expected a text that is not empty");
	read_as("from=2026-01-01T12:00:00+0000&to=2026-01-01T12:00:00-05:30", CALL_HTTP_ITEMS, "{}");
	read_as("from=2026-01-01T12:00:00+000", CALL_HTTP_ITEMS,
			"from: expected a time in the form of RFC 3339");
	read_as("from=2026-01-01T12:00:00+00:0", CALL_HTTP_ITEMS,
			"from: expected a time in the form of RFC 3339");
	read_as("from=2026-01-01T12:00:00+00000", CALL_HTTP_ITEMS,
			"from: expected a time in the form of RFC 3339");
	read_as("from=2026-01-01T12:00:00+0", CALL_HTTP_ITEMS,
			"from: expected a time in the form of RFC 3339");
	read_as(
		"state=done", CALL_HTTP_BATCHES,
		"state: expected awaiting approval, enqueuing, interrupted, scheduled, running, in doubt, "
		"paused, cancelled or finished");
	read_as("kind=bulk&kind=all,single", CALL_HTTP_BATCHES, "{}");
	read_as("kind=bulk,", CALL_HTTP_BATCHES,
			"kind: expected single, bulk, all, notification or probe");
	/* What is left out is not meant. */
	read_as("reason=r", CALL_HTTP_RATE, "rate is required");
	read_as("rate=&reason=r", CALL_HTTP_RATE, "rate: expected a text that is not empty");
	read_as("reason=r", CALL_HTTP_REDRIVE,
			"a redrive needs outbox_id, batch_id, tenant or provider");
	read_as("reason=r&provider=email", CALL_HTTP_REDRIVE, "{\"reason\": \"r\"}");
	/* Nobody removes a limit by leaving out what it is. */
	read_as("provider=email", CALL_HTTP_LIMIT_SET, "a limit needs a rate or a concurrency");
	read_as("provider=email&breaker_window=5", CALL_HTTP_LIMIT_SET,
			"a limit needs a rate or a concurrency");
	read_as("provider=email&rate=", CALL_HTTP_LIMIT_SET, "rate: expected a text that is not empty");
	read_as("provider=email&concurrency=-1", CALL_HTTP_LIMIT_SET,
			"concurrency: expected a whole number from 0 to 2147483647");
	read_as("provider=email&rate=5&reason=r", CALL_HTTP_LIMIT_SET, "{\"reason\": \"r\"}");
	read_as("provider=email&rate=5", CALL_HTTP_LIMIT_REMOVE, "unknown parameter: rate");
	read_as("provider=email", CALL_HTTP_LIMIT_REMOVE, "{}");
	read_as("parts=1", CALL_HTTP_STEERING, "unknown parameter: parts");
	read_as("parts=1&reason=r", CALL_HTTP_STEERING | CALL_HTTP_RESUME, "{\"reason\": \"r\"}");
	read_as("x=1", CALL_NONE, "unknown parameter: x");
}

/*
 * The query strings of next pages.
 */
static void
test_pages(void)
{
	static const struct
	{
		const char *query;
		const char *value;
		const char *expected;
	} cases[] = {
		{NULL, "7", "before=7"},
		{"?", "7", "before=7"},
		{"?limit=5", "7", "limit=5&before=7"},
		{"?before=9&limit=5", "7", "limit=5&before=7"},
		{"?b%65fore=9&&limit=5&", "7", "limit=5&before=7"},
		{"?tenant=a%26b&before", "7", "tenant=a%26b&before=7"},
		{"?beforehand=1", "7", "beforehand=1&before=7"},
		{"?x=<>\";rel=%22", "7", "x=%3C%3E%22;rel=%22&before=7"},
		{"?x=\303\251", "a&b c", "x=%C3%A9&before=a%26b%20c"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char *next = ParametersNextPage(cases[i].query, "before", cases[i].value);

		is(next, cases[i].expected, "the query string of a next page");
		free(next);
	}
	is(ParametersPage(CALL_HTTP_BATCHES), "before", "batches have pages");
	is(ParametersPage(CALL_HTTP_ITEMS), "cursor", "items have pages");
	is(ParametersPage(CALL_HTTP_DEAD_LETTERS), "before", "dead letters have pages");
	is(ParametersPage(CALL_HTTP_LINEAGE), "cursor", "a lineage has pages");
	is(ParametersPage(CALL_HTTP_LIMITS), "cursor", "limits have pages");
	ok(ParametersPage(CALL_HTTP_BULK) == NULL && ParametersPage(CALL_HTTP_CAUSES) == NULL,
	   "others have none");
}

/*
 * Read a number and compare: its digits if it is whole, "a fraction", or "none".
 */
static void
numbered(const char *text, const char *expected)
{
	char *copy = DuplicateText(text);
	char *whole = NumberRead(copy) ? NumberWhole(copy) : NULL;

	is(whole != NULL ? whole : NumberRead(copy) ? "a fraction" : "none", expected, text);
	free(whole);
	free(copy);
}

/*
 * Numbers as JSON writes them.
 */
static void
test_numbers(void)
{
	static const char *const none[] = {"",      "-",      ".",
									   "1.",    ".5",     "01",
									   "+1",    "1e",     "e",
									   "1e-",   "1e++",   "1e 1 ",
									   " 1",    "1 ",     "0x1",
									   "1e1.5", "inf",    "nan",
									   "1e999", "1e-999", "1,5",
									   "1_0",   "--1",    "1e1e1",
									   "1  ",   "[1]",    "1e99999999999999999999"};
	char *nines = Allocate(402);

	numbered("0", "0");
	numbered("-0", "0");
	numbered("0.000", "0");
	numbered("0e99999999999999999999", "0");
	numbered("7", "7");
	numbered("-7", "-7");
	numbered("7.0", "7");
	numbered("7.50", "a fraction");
	numbered("1e0", "1");
	numbered("1e3", "1000");
	numbered("1E+3", "1000");
	numbered("1e 3", "1000");
	numbered("-0.05e2", "-5");
	numbered("0.05e1", "a fraction");
	numbered("1200e-2", "12");
	numbered("1230e-2", "a fraction");
	numbered("123.456e3", "123456");
	numbered("123.456e5", "12345600");
	numbered("9223372036854775807", "9223372036854775807");
	numbered("9.223372036854775807e18", "9223372036854775807");
	numbered("1e-5", "a fraction");
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		numbered(none[i], "none");
	memset(nines, '9', 401);
	nines[401] = '\0';
	numbered(nines, "none");
	nines[300] = '\0';
	numbered(nines, nines);
	free(nines);
}

/*
 * The distance of two names, both ways.
 */
static void
distant(const char *a, const char *b, int expected)
{
	ok(EditDistance(a, strlen(a), b, strlen(b)) == expected &&
		   EditDistance(b, strlen(b), a, strlen(a)) == expected,
	   "from \"%s\" to \"%s\": %d", a, b, expected);
}

/*
 * Names that are near.
 */
static void
test_nearest(void)
{
	Nearest nearest;
	char name[66];

	distant("", "", 0);
	distant("", "abc", 3);
	distant("abc", "abc", 0);
	distant("abc", "ABC", 0);
	distant("abc", "acb", 1);
	distant("abc", "ab", 1);
	distant("abc", "axc", 1);
	distant("ab", "ba", 1);
	distant("ca", "abc", 3);
	distant("kitten", "sitting", 3);
	distant("tenant", "tennant", 1);
	memset(name, 'a', 65);
	name[65] = '\0';
	ok(EditDistance(name, 65, "a", 1) > 1000 && EditDistance("a", 1, name, 65) > 1000,
	   "a long name is near to none");
	ok(EditDistance(name, 64, "a", 1) == 63, "one less long has a distance");
	NearestStart(&nearest, "abcd", 4);
	NearestTry(&nearest, "xyzt");
	ok(nearest.name == NULL, "what is far is not taken");
	NearestTry(&nearest, "abxy");
	is(nearest.name, "abxy", "half may be wrong");
	NearestTry(&nearest, "abyx");
	is(nearest.name, "abxy", "the first of two counts");
	NearestTry(&nearest, "abcx");
	is(nearest.name, "abcx", "the nearer one more");
	NearestStart(&nearest, "abcdefghijklmnop", 16);
	NearestTry(&nearest, "abcdefghijkxxxxx");
	ok(nearest.name == NULL, "five edits are too many");
	NearestTry(&nearest, "abcdefghijklxxxx");
	is(nearest.name, "abcdefghijklxxxx", "four are not");
}

/*
 * The table of options: what its rows must have for this program.
 */
static void
test_table(void)
{
	int arguments = 1;

	for (int id = 0; id < NUM_OPTIONS; id++)
	{
		const ReplayOption *option = &ReplayOptions[id];
		const char *name = option->key != NULL ? option->key : option->argument;

		arguments += (option->calls & CALL_HTTP_SINGLE) != 0 && (option->calls & CALL_SINGLE) != 0;
		ok(option->key != NULL || (option->calls & (CALLS_HTTP | CALL_QUERY)) == 0,
		   "%s: has a name, if it can be asked over HTTP", name);
		ok(!option->is_limit || (option->initial != NULL && option->least != NULL &&
								 option->most != NULL && option->kind == KIND_INTEGER),
		   "%s: a limit has all that clamping it needs", name);
		ok(option->most == NULL || option->least != NULL, "%s: has both bounds or none", name);
		/* But for a range of time, which the gateway's own interface has not there. */
		ok((option->calls & CALL_SINGLE) == 0 || (option->calls & CALL_HTTP_SINGLE) != 0 ||
			   id == OPTION_FROM || id == OPTION_TO,
		   "%s: a single replay has the same options over HTTP", name);
		ok(((option->calls & CALL_QUERY) == 0) == ((option->calls & CALL_HTTP_BULK) == 0) ||
			   (option->calls & (CALL_BULK | CALL_QUERY)) == 0 || id == OPTION_FILL_LIMIT,
		   "%s: a bulk replay has the same options over HTTP", name);
	}
	ok(arguments <= MAX_PARAMS, "a statement can have the %d arguments of a single replay",
	   arguments);
}

/*
 * The description of the interface.
 */
static void
test_document(void)
{
	const Buffer *document = OpenapiDocument();

	ok(JsonIsValid(document->data, document->len), "the description is JSON");
	ok(strstr(document->data, "\"@") == NULL, "nothing is left to be filled in");
	ok(strstr(
		   document->data,
		   "{\"name\": \"breaker_share\", \"in\": \"query\", \"description\": \"Share of the ") !=
		   NULL,
	   "help becomes a sentence");
	ok(strstr(document->data,
			  "\"schema\": {\"type\": \"number\", \"default\": 0.5, \"minimum\": 0, "
			  "\"exclusiveMaximum\": 1}") != NULL,
	   "a number has its bounds");
	ok(strstr(document->data, "{\"type\": \"string\", \"enum\": [\"keep\", \"drop\"], "
							  "\"default\": \"keep\"}") != NULL,
	   "a text has its values");
	ok(OpenapiDocument() == document, "it is made once");
}

/*
 * Decode a name in a path and compare; NULL is none.
 */
static void
decoded_as(const char *text, const char *expected)
{
	char *name = DecodeName(text, strlen(text));

	is(name != NULL ? name : "(none)", expected != NULL ? expected : "(none)", text);
	free(name);
}

/*
 * Names in paths.
 */
static void
test_names(void)
{
	char *name = DecodeName("abc%41", 4);

	is(name, "abc%", "no more than its length is read");
	free(name);
	decoded_as("", "");
	decoded_as("a+b", "a+b");
	decoded_as("a%2Bb%2fc%20d", "a+b/c d");
	decoded_as("100%", "100%");
	decoded_as("%4", "%4");
	decoded_as("%zz%25", "%zz%");
	decoded_as("%252F", "%2F");
	decoded_as("%E2%82%AC\xe2\x82\xac", "\xe2\x82\xac\xe2\x82\xac");
	decoded_as("%00", NULL);
	decoded_as("a%00b", NULL);
	decoded_as("%E2%82", NULL);
	decoded_as("\xff", NULL);
	decoded_as("%0A%22", "\n\"");
}

/*
 * The hash of what headers say, and whether they say anything.
 */
static void
hashed_as(const char *authorization, const char *x_api_key, const char *key, bool is_there)
{
	unsigned char got[SHA256_BYTES], expected[SHA256_BYTES];
	bool found = CredentialsHash(authorization, x_api_key, got);

	if (key != NULL)
		Sha256(key, strlen(key), expected);
	else
		(void) CredentialsHash(NULL, NULL, expected);
	ok(found == is_there && memcmp(got, expected, SHA256_BYTES) == 0,
	   "Authorization: %s, X-API-Key: %s", authorization != NULL ? authorization : "(none)",
	   x_api_key != NULL ? x_api_key : "(none)");
}

/*
 * Which key a request carries.
 */
static void
test_credentials(void)
{
	static const unsigned char zero[SHA256_BYTES];
	static const unsigned char empty[] = "\xe3\xb0\xc4\x42\x98\xfc\x1c\x14";
	unsigned char nobody[SHA256_BYTES], hash[SHA256_BYTES];
	char text[2 * SHA256_BYTES + 1];

	Sha256("abc", 3, hash);
	for (int i = 0; i < SHA256_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	is(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "SHA-256");
	ok(CredentialsStart(), "random bytes are drawn");
	ok(!CredentialsHash(NULL, NULL, nobody) && memcmp(nobody, zero, SHA256_BYTES) != 0 &&
		   memcmp(nobody, empty, 8) != 0,
	   "nobody has a hash that is not guessed");
	hashed_as("Bearer k", NULL, "k", true);
	hashed_as("bearer k", NULL, "k", true);
	hashed_as("BEARER k", NULL, "k", true);
	hashed_as("Bearer   k", NULL, "k", true);
	hashed_as("Bearer k k", NULL, "k k", true);
	hashed_as(NULL, "k", "k", true);
	hashed_as(NULL, "Bearer k", "Bearer k", true);
	hashed_as("Bearer a", "b", "a", true);
	hashed_as("Bearer ", "b", NULL, true);
	hashed_as("Basic YTpi", "b", "b", true);
	hashed_as("Basic YTpi", NULL, NULL, true);
	hashed_as("Bearer", NULL, NULL, true);
	hashed_as("Bearer ", NULL, NULL, true);
	hashed_as("Bearerk", NULL, NULL, true);
	hashed_as("k", NULL, NULL, true);
	hashed_as("", NULL, NULL, true);
	hashed_as(NULL, "", NULL, true);
	hashed_as(NULL, NULL, NULL, false);
}

/*
 * Compare, under a name that is made.
 */
static void __attribute__((format(printf, 3, 4)))
compare(const char *got, const char *expected, const char *format, ...)
{
	char name[400];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	is(got, expected, name);
}

/*
 * What errors of the database become.
 */
static void
test_faults(void)
{
	static const struct
	{
		const char *sqlstate;
		const char *reason;
		const char *code;
		int status;
		int retry_after;
		bool is_told; /* the database's message */
	} cases[] = {
		{"28000", NULL, "unauthenticated", 401, 0, true},
		{"42501", NULL, "forbidden", 403, 0, true},
		{"42501", "no_grant", "no_grant", 403, 0, true},
		{"P0002", NULL, "not_found", 404, 0, true},
		{"P0002", "no_record", "no_record", 404, 0, true},
		{"42P01", NULL, "audit_not_enabled", 404, 0, false},
		{"42P01", "broken_installation", "broken_installation", 500, 0, false},
		{"42704", NULL, "no_such_role", 400, 0, true},
		{"55000", NULL, "not_possible", 422, 0, true},
		{"55000", "something new", "not_possible", 422, 0, true},
		{"55000", "", "not_possible", 422, 0, true},
		{"55000", "redacted", "redacted", 422, 0, true},
		{"55000", "batch_cancelled", "batch_cancelled", 422, 0, true},
		{"55000", "version_mismatch", "version_mismatch", 503, 5, false},
		{"42710", NULL, "idempotency_key_reused", 422, 0, true},
		{"22023", NULL, "invalid_parameter", 400, 0, true},
		{"22023", "filter_needed", "filter_needed", 400, 0, true},
		{"22P02", NULL, "invalid_parameter", 400, 0, true},
		{"22003", NULL, "invalid_parameter", 400, 0, true},
		{"0A000", NULL, "not_supported", 400, 0, true},
		{"54001", NULL, "too_complex", 400, 0, true},
		{"25006", NULL, "read_only", 503, 5, false},
		{"40001", NULL, "conflict", 503, 1, false},
		{"40P01", NULL, "conflict", 503, 1, false},
		{"53300", NULL, "database_busy", 503, 5, false},
		{"53100", NULL, "database_busy", 503, 5, false},
		{"55P03", NULL, "conflict", 503, 1, false},
		{"57014", NULL, "timeout", 504, 0, false},
		{"57P01", NULL, "database_unavailable", 503, 5, false},
		{"42883", NULL, "server_error", 500, 0, false},
		{"XX000", NULL, "server_error", 500, 0, false},
		{"XX001", NULL, "server_error", 500, 0, false},
		{"28P01", NULL, "server_error", 500, 0, false},
		{"P0001", NULL, "server_error", 500, 0, false},
		/* A constraint that happens to have the name of a reason. */
		{"23514", "redacted", "server_error", 500, 0, false},
		{"", NULL, "server_error", 500, 0, false},
		{"2", NULL, "server_error", 500, 0, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const Fault *fault = &faults[FaultFind(cases[i].sqlstate, cases[i].reason)];

		compare(fault->code, cases[i].code, "SQLSTATE %s, %s", cases[i].sqlstate,
				cases[i].reason != NULL ? cases[i].reason : "no reason");
		ok(fault->status == cases[i].status && fault->retry_after == cases[i].retry_after &&
			   (fault->text == NULL) == cases[i].is_told,
		   "… and its answer: %d", cases[i].status);
	}
	for (int code = CODE_NONE + 1; code < NUM_ERROR_CODES; code++)
	{
		const Fault *fault = &faults[code];
		int same = 0;

		for (int other = CODE_NONE + 1; other < NUM_ERROR_CODES; other++)
			same += strcmp(faults[other].code, fault->code) == 0;
		ok(same == 1 && fault->code[strspn(fault->code, "abcdefghijklmnopqrstuvwxyz_")] == '\0',
		   "code %s is one, and in snake case", fault->code);
		ok(fault->status >= 400 && fault->status < 600 && *fault->title != '\0' &&
			   (fault->retry_after == 0) == (fault->status != 503),
		   "… with a status and a title, and Retry-After with 503");
	}
}

/*
 * Take a request id, and compare with what becomes of it; NULL: another is made.
 */
static void
identified(const char *given, const char *expected)
{
	Request *request = RequestNew("/health");
	char made[MAX_REQUEST_ID + 1];

	ok(strlen(request->id) == 16 && strspn(request->id, "0123456789abcdef") == 16,
	   "a request has an id: %s", request->id);
	memcpy(made, request->id, sizeof(made));
	RequestIdTake(request->id, given);
	compare(request->id, expected != NULL ? expected : made, "X-Request-Id: %s",
			given != NULL ? given : "none");
	RequestFree(request);
}

/*
 * Ids of requests.
 */
static void
test_request_ids(void)
{
	Request *one = RequestNew("/health"), *other = RequestNew("/health");

	ok(strcmp(one->id, other->id) != 0, "two requests have two ids");
	RequestFree(one);
	RequestFree(other);
	identified(NULL, NULL);
	identified("", NULL);
	identified("a", "a");
	identified("7f3b6c1e-5d55-4a52-9a43-0d4d3a2a9a3e", "7f3b6c1e-5d55-4a52-9a43-0d4d3a2a9a3e");
	identified("Root=1-67891233-abcdef012345678912345678",
			   "Root=1-67891233-abcdef012345678912345678");
	identified("12345678901234567890123456789012345678901", NULL);
	identified("a b", NULL);
	identified("a\tb", NULL);
	identified("a\x7f", NULL);
	identified("\xc3\xa4", NULL);
	identified("\"", NULL);
	identified("a'b", NULL);
	identified("a\\b", NULL);
}

/*
 * What an error is, in full.
 */
static void
test_problems(void)
{
	Request *request = RequestNew("/v1/audit/a/replay");
	Buffer expected = {0};

	RequestIdTake(request->id, "id-1");
	AnswerProblem(request, CODE_REDACTED, "payload is redacted",
				  "Its replay would send \"[REDACTED]\" to the provider.",
				  "Pass allow_redacted => true to replay it anyway.");
	is(BufferText(&request->answer.body),
	   "{\"error\": \"payload is redacted\", \"code\": \"redacted\", "
	   "\"type\": \"urn:acteon-replay:error:redacted\", \"title\": \"The payload is redacted\", "
	   "\"detail\": \"Its replay would send \\\"[REDACTED]\\\" to the provider.\", "
	   "\"hint\": \"Pass allow_redacted=true to replay it anyway.\", \"request_id\": \"id-1\"}",
	   "an error with detail and hint");
	ok(request->answer.status == 422 && request->answer.retry_after == 0, "… and its status");
	AnswerProblem(request, CODE_INVALID_PARAMETER, "a", NULL,
				  "from_time => x, nothing => y, => z, lost => true; a =>");
	BufferAppendText(&expected, BufferText(&request->answer.body));
	ok(strstr(BufferText(&expected), "\"hint\": \"from=x, nothing => y, => z, lost=true; a =>\"") !=
		   NULL,
	   "arguments in hints become parameters: %s", BufferText(&expected));
	ok(strstr(BufferText(&expected), "\"detail\"") == NULL, "… without a detail there is none");
	AnswerProblem(request, CODE_PLAN_NEEDED, "a", NULL, "SELECT acteon_replay_preview()");
	ok(strstr(BufferText(&request->answer.body), "SELECT") == NULL &&
		   strstr(BufferText(&request->answer.body), "dry_run=true") != NULL,
	   "a hint of the table takes the place of the database's");
	AnswerCode(request, CODE_SERVER_BUSY);
	ok(request->answer.status == 503 && request->answer.retry_after == 1 &&
		   strstr(BufferText(&request->answer.body), "\"hint\"") == NULL,
	   "an error that is always the same");
	BufferFree(&expected);
	RequestFree(request);
}

/*
 * Read origins and compare what is said to the page of one.
 */
static void
allowed(const char *text, const char *origin, const char *expected)
{
	TextList origins = {0};
	const char *wrong = ReadOrigins(NULL, text, &origins);
	const char *said = wrong != NULL ? "wrong" : OriginAllowed(&origins, origin);

	compare(said != NULL ? said : "none", expected, "--allow-origin=%s, Origin: %s", text,
			origin != NULL ? origin : "none");
	for (int i = 0; i < origins.count; i++)
		free(origins.texts[i]);
	free(origins.texts);
}

/*
 * Origins of web pages.
 */
static void
test_origins(void)
{
	static const char *const bad[] = {"example.com",
									  "https://",
									  "https://example.com/",
									  "https://example.com/x",
									  "https://Example.com",
									  "https://example.com:",
									  "https://example.com:x",
									  "https://example.com:0",
									  "https://example.com:123456",
									  "https://a b",
									  "https://u@example.com",
									  "ftp://example.com",
									  "null",
									  "https://*.example.com",
									  "https://a.example, b"};

	allowed("", "https://a.example", "none");
	allowed("https://a.example", NULL, "none");
	allowed("https://a.example", "https://a.example", "https://a.example");
	allowed("https://a.example", "https://a.example:8443", "none");
	allowed("https://a.example", "http://a.example", "none");
	allowed("https://a.example", "https://a.example.evil", "none");
	allowed("https://a.example", "null", "none");
	allowed("https://a.example,http://[::1]:3000, http://b:1", "http://[::1]:3000",
			"http://[::1]:3000");
	allowed("https://a.example, http://b:1", "http://b:1", "http://b:1");
	allowed("*", "https://a.example", "*");
	allowed("*", "null", "*");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		allowed(bad[i], "null", "wrong");
}

/*
 * What metrics count.
 */
static void
test_counts(void)
{
	static Figures figures;
	PoolFigures pool = {0};
	Buffer out = {0};
	static const char *const lines[] = {
		"requests_total{method=\"GET\",route=\"/health\",status=\"200\"} 2\n",
		"requests_total{method=\"HEAD\",route=\"/health\",status=\"200\"} 1\n",
		"requests_total{method=\"OPTIONS\",route=\"/health\",status=\"405\"} 1\n",
		"requests_total{method=\"other\",route=\"/health\",status=\"405\"} 2\n",
		"requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1\n",
	};
	const Route *health = NULL;
	Buffer name = {0};

	RouteFind("GET", "/health", &health, &name);
	FiguresCount(&figures, health, "GET", 200, 1);
	FiguresCount(&figures, health, "GET", 200, 1);
	FiguresCount(&figures, health, "HEAD", 200, 1);
	FiguresCount(&figures, health, "OPTIONS", 405, 1);
	FiguresCount(&figures, health, "BREW", 405, 1);
	FiguresCount(&figures, health, "get", 405, 1);
	FiguresCount(&figures, NULL, "GET", 404, 1);
	FiguresWrite(&figures, &pool, &out);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		ok(strstr(BufferText(&out), lines[i]) != NULL, "counted: %s", lines[i]);
	ok(figures.answer_count == 5, "there are as many counts as there were kinds of answers");
	free(figures.answers);
	BufferFree(&name);
	BufferFree(&out);
}

/*
 * Read an address and compare: loopback, other, or none.
 */
static void
listens(const char *text, const char *expected)
{
	Address address = {0};
	const char *wrong = ReadAddress(NULL, text, &address);

	is(wrong != NULL ? "none" : AddressIsLoopback(&address) ? "loopback" : "other", expected, text);
	if (wrong == NULL)
		is(address.text, text, "and it is told as it was given");
}

/*
 * Addresses to listen at.
 */
static void
test_addresses(void)
{
	static const char *const bad[] = {
		"",
		":",
		"8080",
		":8080",
		"localhost:8080",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:-1",
		"127.0.0.1:+1",
		"127.0.0.1: 1",
		"1.2.3.4:x",
		"1.2.3.4:1x",
		"1.2.3:80",
		"256.1.1.1:80",
		"1.2.3.4:65536",
		"::1:8080",
		"[::1]",
		"[::1]:",
		"[::1:80",
		"[]:80",
		"[1.2.3.4]:80",
		"[::1]x:80",
		"[:80",
		"]:80",
		"1.2.3.4:99999999999999999999",
		"[::1%lo]:80",
		"[1:2:3:4:5:6:7:8:9]:80",
		"[0000000000000000000000000000000000000000000000000000000000000001]:80"};
	struct sockaddr_in *ip;
	Address address;
	int port = 0, fd, second;

	listens("127.0.0.1:8080", "loopback");
	listens("127.1.2.3:0", "loopback");
	listens("[::1]:65535", "loopback");
	listens("0.0.0.0:80", "other");
	listens("[::]:80", "other");
	listens("128.0.0.1:80", "other");
	listens("10.0.0.127:80", "other");
	listens("[::2]:80", "other");
	listens("[::ffff:127.0.0.1]:80", "other");
	listens("[fe80::1]:80", "other");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		listens(bad[i], "none");
	ReadAddress(NULL, "127.0.0.1:8080", &address);
	ip = (struct sockaddr_in *) &address.storage;
	ok(ntohs(ip->sin_port) == 8080 && ntohl(ip->sin_addr.s_addr) == 0x7f000001,
	   "address and port are read");
	ReadAddress(NULL, "127.0.0.1:0", &address);
	fd = SocketListen(&address, &port);
	ok(fd >= 0 && port > 0, "port 0 is one that is free");
	ip->sin_port = htons((uint16_t) port);
	second = SocketListen(&address, &port);
	ok(second < 0, "one that is taken is refused");
	close(fd);
}

/*
 * Read the head of a request and compare: the status and body of its answer, if it
 * has one yet.
 */
static void
asked(const char *method, const char *uri, const char *idempotency_key, int status,
	  const char *body)
{
	Request *request = RequestNew(uri);
	char *name = Format("%s %s", method, uri);

	RequestRead(request, method, &(RequestHeaders){.idempotency_key = idempotency_key}, false);
	ok(request->answer.status == status && request->has_key, "%s: %d", name, status);
	/* Only the text: test_problems looks at the rest. */
	if (*body != '\0')
	{
		char *expected = Format("%.*s, \"code\": ", (int) strlen(body) - 1, body);
		char *text = Duplicate(BufferText(&request->answer.body), strlen(expected));

		is(text, expected, name);
		free(expected);
		free(text);
	}
	else
		is(BufferText(&request->answer.body), body, name);
	RequestFree(request);
	free(name);
}

/*
 * Read the head of a request and compare the code of the error.
 */
static void
wrong(const char *method, const char *uri, const char *code)
{
	Request *request = RequestNew(uri);

	RequestRead(request, method, &(RequestHeaders){.host = "localhost"}, false);
	compare(request->answer.code, code, "%s %s", method, uri);
	RequestFree(request);
}

#define BAD_KEY "{\"error\": \"Idempotency-Key: expected 1 to 255 bytes of UTF-8\"}"
#define BAD_WAIT "{\"error\": \"wait: expected a number from 0 to 60\"}"

/*
 * Heads of requests.
 */
static void
test_requests(void)
{
	char key[258];
	Request *one, *other;

	asked("POST", "http://host:80/v1/audit/replay?limit=x", NULL, 400,
		  "{\"error\": \"limit: expected a whole number, 0 or more\"}");
	asked("POST", "HTTPS://h/v1/audit/http://x/replay?wait=1", NULL, 0, "");
	asked("GET", "http://host", NULL, 404, "{\"error\": \"there is nothing at this path\"}");
	asked("GET", "http://?/health", NULL, 404, "{\"error\": \"there is nothing at this path\"}");
	asked("GET", "/nowhere", NULL, 404, "{\"error\": \"there is nothing at this path\"}");
	asked("GET", "/v1/audit/replay?limit=x", NULL, 405,
		  "{\"error\": \"this path supports another method\"}");
	asked("POST", "/v1/audit/%FF/replay", NULL, 400,
		  "{\"error\": \"the name in the path is not text in UTF-8\"}");
	asked("POST", "/v1/audit/replay?limit=x", NULL, 400,
		  "{\"error\": \"limit: expected a whole number, 0 or more\"}");
	asked("POST", "/v1/audit/a/replay?dry_run=1", NULL, 400,
		  "{\"error\": \"dry_run: a single action is replayed or not, only bulk replays have a "
		  "preview\"}");
	asked("POST", "/v1/audit/a/replay?dry_run=0", NULL, 0, "");
	asked("POST", "/v1/audit/replay?wait=-1", NULL, 400, BAD_WAIT);
	asked("POST", "/v1/audit/replay?wait=60.1", NULL, 400, BAD_WAIT);
	asked("POST", "/v1/audit/replay?wait=99999999999999999999", NULL, 400, BAD_WAIT);
	asked("POST", "/v1/audit/replay?wait=60", NULL, 0, "");
	asked("POST", "/v1/audit/a/replay?wait=0.25", NULL, 0, "");
	asked("GET", "/v1/replay/batches?wait=x", NULL, 400,
		  "{\"error\": \"unknown parameter: wait\"}");
	asked("GET", "/health?probe=1", NULL, 400, "{\"error\": \"unknown parameter: probe\"}");
	/* What an SDK makes of the id a/replay?b: without the rest it would be another action. */
	asked("POST", "/v1/audit/a/replay?b/replay", NULL, 400,
		  "{\"error\": \"unknown parameter: b/replay\"}");
	memset(key, 'k', sizeof(key));
	key[256] = '\0';
	asked("POST", "/v1/audit/replay", key, 400, BAD_KEY);
	asked("POST", "/v1/audit/replay", "", 400, BAD_KEY);
	asked("POST", "/v1/audit/replay", "\"\"", 400, BAD_KEY);
	asked("POST", "/v1/audit/replay", "\xff", 400, BAD_KEY);
	asked("GET", "/v1/replay/batches", "\xff", 0, "");
	asked("POST", "/v1/audit/replay", key + 1, 0, "");
	key[0] = key[256] = '"';
	key[257] = '\0';
	asked("POST", "/v1/audit/replay", key, 0, "");

	wrong("GET", "/nowhere", "no_path");
	wrong("GET", "/v1/audit/replay", "method_not_allowed");
	wrong("POST", "/v1/audit/%FF/replay", "bad_path");
	wrong("POST", "/v1/audit/replay?limit=x", "invalid_parameter");
	wrong("POST", "/v1/audit/replay?limt=1", "unknown_parameter");
	wrong("POST", "/v1/audit/replay?tenant=a&tenant=b", "repeated_parameter");
	wrong("POST", "/v1/audit/a/replay?tenant=a", "misplaced_parameter");
	wrong("POST", "/v1/audit/a/replay?dry_run=1", "misplaced_parameter");

	one = RequestNew("/v1/audit/a/replay?reason=x");
	other = RequestNew("/v1/audit/a/replay?reason=y");
	RequestRead(one, "POST", &(RequestHeaders){.idempotency_key = "\"k\"", .host = "localhost"},
				true);
	RequestRead(other, "POST", &(RequestHeaders){.idempotency_key = "k", .x_api_key = "x"}, true);
	is(one->idempotency_key, other->idempotency_key, "the quotes of a key are none of it");
	ok(memcmp(one->hash, other->hash, SHA256_BYTES) != 0, "requests differ by their parameters");
	ok(!one->has_key && other->has_key, "who has no key is anonymous, if that may be");
	RequestFree(one);
	RequestFree(other);
	one = RequestNew("/v1/audit/replay");
	RequestRead(one, "POST", &(RequestHeaders){.authorization = ""}, true);
	ok(one->has_key, "who has an empty one is not");
	AnswerProblem(one, CODE_NOT_POSSIBLE, "a\n\"b\"\\\xff", NULL, NULL);
	ok(strncmp(BufferText(&one->answer.body),
			   "{\"error\": \"a \\\"b\\\"\\\\?\", \"code\": \"not_possible\", ", 46) == 0,
	   "an error is JSON: %s", BufferText(&one->answer.body));
	RequestFree(one);
}

/*
 * Send a body in pieces of 40 bytes of which 100 may be kept: how much of it is, at most and in
 * the end.
 */
static void
keeps(const char *path, const char *key, bool allow_anonymous, int pieces, size_t most, size_t end)
{
	Request *request = RequestNew(path);
	size_t kept = 0;
	char piece[40];

	memset(piece, ' ', sizeof(piece));
	RequestRead(request, "POST", &(RequestHeaders){.x_api_key = key, .host = "localhost"},
				allow_anonymous);
	for (int i = 0; i < pieces; i++)
	{
		RequestTakeBody(request, piece, sizeof(piece), 100);
		kept = request->body.len > kept ? request->body.len : kept;
	}
	ok(kept == most && request->body.len == end && (end > 0 || request->body.data == NULL),
	   "%s: of %d pieces %zu bytes are kept, in the end %zu", path, pieces, kept,
	   request->body.len);
	ok(request->body_len == (size_t) pieces * sizeof(piece), "... and all are counted");
	RequestFree(request);
}

/*
 * What is kept of bodies.
 */
static void
test_kept(void)
{
	keeps("/v1/audit/verify", "k", false, 2, 80, 80);
	keeps("/v1/audit/verify", "k", false, 30000, 80, 0);
	keeps("/v1/replay/verify", "k", false, 3, 80, 0);
	keeps("/v1/audit/verify", NULL, false, 2, 0, 0);
	keeps("/v1/audit/verify", NULL, true, 2, 80, 80);
	keeps("/v1/audit/replay", "k", false, 2, 0, 0);
	keeps("/v1/audit/verify/%FF", "k", false, 2, 0, 0);
}

/*
 * Read options, and tell some of them.
 */
static void
tell_options(int argc, char **argv)
{
	Settings settings = {0};

	SettingsRead(&settings, argc, argv);
	printf("%s %s %d %d %d %d %lld %lld %lld %lld", settings.listen.text,
		   settings.anonymous != NULL ? settings.anonymous : "-", settings.workers, settings.queue,
		   settings.max_connections, settings.max_body,
		   (long long) (settings.statement_timeout / SECOND),
		   (long long) (settings.request_timeout / SECOND),
		   (long long) (settings.idle_timeout / SECOND), (long long) (settings.grace / SECOND));
}

#define TRY(...) \
	run_in_child(tell_options, (char *[]){PROGRAM, __VA_ARGS__, NULL}, said, sizeof(said))

/*
 * Options, and what must fit together.
 */
static void
test_options(void)
{
	static const char anonymous[] = PROGRAM
		": --allow-anonymous needs a loopback address in --listen: anyone who can reach the port "
		"can do what the role can";
	static const char tls[] = PROGRAM ": --tls-cert and --tls-key must be used together";
	char said[512];

	ok(TRY("--database=") == 0, "nothing is required");
	is(said, "127.0.0.1:8080 - 4 100 2000 65536 30 30 60 20", "the defaults");
	ok(TRY("--allow-anonymous=me", "--listen=[::1]:0", "--workers=1", "--queue=0") == 0,
	   "anonymous requests at the loopback");
	is(said, "[::1]:0 me 1 0 2000 65536 30 30 60 20", "are taken");
	ok(TRY("--allow-anonymous=me", "--listen=0.0.0.0:80") == 2, "elsewhere");
	is(said, anonymous, "they are not");
	ok(TRY("--listen=10.0.0.1:80", "--allow-anonymous", "me") == 2, "in no order of the options");
	is(said, anonymous, "nor elsewhere");
	ok(TRY("--allow-anonymous=none") == 2 && strstr(said, "none") != NULL,
	   "none is no role: it would be the server's own");
	ok(TRY("--listen=[::]:80") == 0, "with keys any address is one");
	setenv("ACTEON_REPLAY_HTTP_ALLOW_ANONYMOUS", "me", 1);
	ok(TRY("--listen=0.0.0.0:80") == 2, "the environment is not another way");
	is(said, anonymous, "and is refused in the same words");
	unsetenv("ACTEON_REPLAY_HTTP_ALLOW_ANONYMOUS");
	ok(TRY("--tls-cert=/etc/passwd") == 2, "a certificate without a key");
	is(said, tls, "is refused");
	ok(TRY("--tls-key=/etc/passwd") == 2, "a key without a certificate");
	is(said, tls, "as well");
	ok(TRY("--tls-cert=/etc/passwd", "--tls-key=/nonexistent") == 2 &&
		   strstr(said, "--tls-key") != NULL,
	   "a file that is not there is named");
	ok(TRY("--tls-cert=/", "--tls-key=/etc/passwd") == 2 && strstr(said, "--tls-cert") != NULL,
	   "so is one that is none");
	ok(TRY("--tls-cert=/etc/passwd", "--tls-key=/etc/passwd") == 0, "a pair is taken");
	ok(TRY("--listen=localhost:80") == 2 && strstr(said, "an IP address and a port") != NULL,
	   "an address is checked");
	ok(TRY("--workers=0") == 2 && TRY("--workers=101") == 2 && TRY("--queue=-1") == 2 &&
		   TRY("--max-connections=0") == 2 && TRY("--max-body=-1") == 2 &&
		   TRY("--statement-timeout=99ms") == 2 && TRY("--grace=2h") == 2 &&
		   TRY("--log-level=loud") == 2,
	   "so are numbers and words");
	ok(TRY("--database=host=x password='s3cret") == 2 && strstr(said, "s3cret") == NULL,
	   "a wrong connection string is not shown");
	ok(TRY("--help") == 0 && TRY("--version") == 0 && TRY("--man") == 0 && TRY("--markdown") == 0,
	   "what only prints exits with 0");
}

/*
 * When to look for the first time, and for how long not again, by what is usual.
 */
static void
test_looks(void)
{
	static const struct
	{
		int64_t usual;
		int64_t first;
		int64_t delay;
		const char *title;
	} looks[] = {
		{0, 20000, 40000, "where nothing is known, after 20 ms"},
		{-300, 20000, 40000, "… as after a delivery that was before the wait"},
		{9600, 10200, 1200, "else a little later than the last delivery"},
		{160, 170, 1000, "the second look is a millisecond later at least"},
		{18800, 19975, 2350, "the first one is not later than without knowing"},
		{18900, 20000, 40000, "what takes longer does not matter"},
		{INT64_MAX / 2, 20000, 40000, "… however much"},
	};

	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
	{
		int64_t delay = -1;
		int64_t first = WaitFirstLook(looks[i].usual, &delay);

		ok(first == looks[i].first && delay == looks[i].delay, "%s", looks[i].title);
	}
}

int
main(void)
{
	test_routes();
	test_parameters();
	test_body();
	test_numbers();
	test_nearest();
	test_pages();
	test_table();
	test_document();
	test_names();
	test_credentials();
	test_faults();
	test_request_ids();
	test_problems();
	test_origins();
	test_counts();
	test_addresses();
	test_requests();
	test_kept();
	test_options();
	test_looks();
	return done_testing();
}
