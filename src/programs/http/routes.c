/*
 * routes.c
 *		The paths of the interface, and what is behind each.
 *
 * Those under /v1/audit are the gateway's (its SDKs put an action id into the
 * path as it is, slashes too), the others are ours.  The gateway's other paths are
 * known by name, so that nobody takes what is not there for what does not exist.
 */
#include "http/routes.h"

#include <string.h>

const Route routes[] = {
	{"POST", "/v1/audit/replay", ROUTE_CALL, STATEMENT_BULK, CALL_HTTP_BULK, false, true},
	{"POST", "/v1/audit/*/replay", ROUTE_CALL, STATEMENT_REPLAY, CALL_HTTP_SINGLE, false, true},
	{"POST", "/v1/audit/verify", ROUTE_CALL, STATEMENT_CHAIN, CALL_HTTP_CHAIN, false, false},
	{"GET", "/v1/audit/*", ROUTE_CALL, STATEMENT_RECORD, CALL_NONE, false, false},
	{"GET", "/v1/audit", ROUTE_CALL, STATEMENT_RECORDS, CALL_HTTP_RECORDS, false, false},
	{"POST", "/v1/replay/all", ROUTE_CALL, STATEMENT_ALL, CALL_HTTP_ALL, false, false},
	{"GET", "/v1/replay/causes", ROUTE_CALL, STATEMENT_CAUSES, CALL_HTTP_CAUSES, false, false},
	{"GET", "/v1/replay/timeline", ROUTE_CALL, STATEMENT_TIMELINE, CALL_HTTP_TIMELINE, false,
	 false},
	{"GET", "/v1/replay/batches", ROUTE_CALL, STATEMENT_BATCHES, CALL_HTTP_BATCHES, false, false},
	{"POST", "/v1/replay/batches/*/pause", ROUTE_CALL, STATEMENT_PAUSE, CALL_HTTP_STEERING, true,
	 false},
	{"POST", "/v1/replay/batches/*/resume", ROUTE_CALL, STATEMENT_RESUME,
	 CALL_HTTP_STEERING | CALL_HTTP_RESUME, true, false},
	{"POST", "/v1/replay/batches/*/cancel", ROUTE_CALL, STATEMENT_CANCEL, CALL_HTTP_STEERING, true,
	 false},
	{"POST", "/v1/replay/pause_all", ROUTE_CALL, STATEMENT_PAUSE_ALL, CALL_HTTP_OF_ALL, false,
	 false},
	{"POST", "/v1/replay/resume_all", ROUTE_CALL, STATEMENT_RESUME_ALL, CALL_HTTP_OF_ALL, false,
	 false},
	{"POST", "/v1/replay/batches/*/rate", ROUTE_CALL, STATEMENT_RATE, CALL_HTTP_RATE, true, false},
	{"POST", "/v1/replay/batches/*/start", ROUTE_CALL, STATEMENT_START, CALL_HTTP_START, true,
	 false},
	{"POST", "/v1/replay/batches/*/settle", ROUTE_CALL, STATEMENT_SETTLE, CALL_HTTP_SETTLE, true,
	 false},
	{"POST", "/v1/replay/batches/*/approve", ROUTE_CALL, STATEMENT_APPROVE, CALL_HTTP_APPROVE, true,
	 false},
	{"POST", "/v1/replay/batches/*/hand_over", ROUTE_CALL, STATEMENT_HAND_OVER, CALL_HTTP_HAND_OVER,
	 true, false},
	{"POST", "/v1/replay/batches/*/continue", ROUTE_CALL, STATEMENT_CONTINUE, CALL_HTTP_CONTINUE,
	 true, false},
	{"POST", "/v1/replay/batches/*/patch", ROUTE_CALL, STATEMENT_PATCH, CALL_HTTP_PATCH, true,
	 false},
	{"GET", "/v1/replay/batches/*/may", ROUTE_CALL, STATEMENT_MAY, CALL_NONE, true, false},
	{"GET", "/v1/replay/batches/*/log", ROUTE_CALL, STATEMENT_BATCH_LOG, CALL_HTTP_LOG, true,
	 false},
	{"GET", "/v1/replay/log", ROUTE_CALL, STATEMENT_LOG, CALL_HTTP_LOG, false, false},
	{"GET", "/v1/replay/lineage/*", ROUTE_CALL, STATEMENT_LINEAGE, CALL_HTTP_LINEAGE, false, false},
	{"GET", "/v1/replay/dead_letters", ROUTE_CALL, STATEMENT_DEAD_LETTERS, CALL_HTTP_DEAD_LETTERS,
	 false, false},
	{"POST", "/v1/replay/redrive", ROUTE_CALL, STATEMENT_REDRIVE, CALL_HTTP_REDRIVE, false, false},
	{"GET", "/v1/replay/limits", ROUTE_CALL, STATEMENT_LIMITS, CALL_HTTP_LIMITS, false, false},
	{"POST", "/v1/replay/limits", ROUTE_CALL, STATEMENT_LIMIT_SET, CALL_HTTP_LIMIT_SET, false,
	 false},
	{"DELETE", "/v1/replay/limits", ROUTE_CALL, STATEMENT_LIMIT_REMOVE, CALL_HTTP_LIMIT_REMOVE,
	 false, false},
	{"POST", "/v1/replay/verify", ROUTE_CALL, STATEMENT_TRAIL, CALL_HTTP_TRAIL, false, false},
	{"GET", "/v1/replay/witness", ROUTE_CALL, STATEMENT_WITNESS, CALL_NONE, false, false},
	{"GET", "/v1/replay/me", ROUTE_CALL, STATEMENT_ME, CALL_NONE, false, false},
	{"GET", "/v1/replay/batches/*/items", ROUTE_CALL, STATEMENT_ITEMS, CALL_HTTP_ITEMS, true,
	 false},
	{"GET", "/v1/replay/batches/*", ROUTE_CALL, STATEMENT_BATCH, CALL_NONE, true, false},
	{"GET", "/health", ROUTE_HEALTH, STATEMENT_NONE, CALL_NONE, false, false},
	{"GET", "/metrics", ROUTE_METRICS, STATEMENT_NONE, CALL_NONE, false, false},
	{"GET", "/", ROUTE_PAGE, STATEMENT_NONE, CALL_NONE, false, false},
	{"GET", "/openapi.json", ROUTE_OPENAPI, STATEMENT_NONE, CALL_NONE, false, false},
};

const int route_count = sizeof(routes) / sizeof(routes[0]);

/* The other paths of the gateway, with all that is below them. */
static const char *const of_gateway[] = {
	"/.well-known/acteon-signing-keys",
	"/a2a",
	"/admin",
	"/api-doc",
	"/metrics/prometheus",
	"/swagger-ui",
	"/v1/a2a",
	"/v1/actions",
	"/v1/analytics",
	"/v1/approvals",
	"/v1/auth",
	"/v1/bus",
	"/v1/chains",
	"/v1/compliance",
	"/v1/dispatch",
	"/v1/dlq",
	"/v1/embeddings",
	"/v1/events",
	"/v1/executions",
	"/v1/groups",
	"/v1/plugins",
	"/v1/providers",
	"/v1/queues",
	"/v1/quotas",
	"/v1/recurring",
	"/v1/retention",
	"/v1/rules",
	"/v1/silences",
	"/v1/stream",
	"/v1/subscribe",
	"/v1/swarm",
	"/v1/templates",
	"/v1/time-intervals",
	"/v1/workflows",
};

/*
 * Is a path one that only the gateway has?
 */
static bool
is_of_gateway(const char *path, size_t len)
{
	for (size_t i = 0; i < sizeof(of_gateway) / sizeof(of_gateway[0]); i++)
	{
		size_t part = strlen(of_gateway[i]);

		if (len >= part && memcmp(path, of_gateway[i], part) == 0 &&
			(len == part || path[part] == '/'))
			return true;
	}
	return false;
}

/*
 * Does a path fit, and what is the name in it?
 */
static bool
path_fits(const char *pattern, const char *path, size_t len, const char **name, size_t *name_len)
{
	size_t before = strcspn(pattern, "*");
	size_t after;

	*name = NULL;
	*name_len = 0;
	if (pattern[before] == '\0')
		return len == before && memcmp(path, pattern, len) == 0;
	after = strlen(pattern + before + 1);
	if (len <= before + after || memcmp(path, pattern, before) != 0 ||
		memcmp(path + len - after, pattern + before + 1, after) != 0)
		return false;
	*name = path + before;
	*name_len = len - before - after;
	return true;
}

/*
 * Is it the number of a batch?
 */
static bool
is_number(const char *text, size_t len)
{
	return len > 0 && len <= 18 && strspn(text, "0123456789") >= len;
}

/*
 * Does a request of this route change anything?
 */
bool
RouteChanges(const Route *route)
{
	return strcmp(route->method, "GET") != 0 && !RouteTakesBody(route);
}

/*
 * May parameters of a request of this route stand in its body?
 */
bool
RouteTakesBody(const Route *route)
{
	return (route->takes & CALLS_HTTP_VERIFY) != 0;
}

/*
 * May a request of this route, which anybody may repeat who may read, take the database as long
 * as it is allowed to?
 */
bool
RouteIsLong(const Route *route)
{
	return (route->takes & CALLS_HTTP_VERIFY) != 0;
}

/*
 * The methods that the path of a route takes, as the header Allow names them.
 */
const char *
RouteMethods(const Route *route)
{
	/* By whether there are routes of GET, POST and DELETE. */
	static const char *const methods[2][2][2] = {{{"", "DELETE"}, {"POST", "POST, DELETE"}},
												 {{"GET, HEAD", "GET, HEAD, DELETE"},
												  {"GET, HEAD, POST", "GET, HEAD, POST, DELETE"}}};
	bool get = false, post = false, delete = false;

	for (const Route *other = routes; other < routes + route_count; other++)
	{
		if (strcmp(other->path, route->path) != 0)
			continue;
		get = get || strcmp(other->method, "GET") == 0;
		post = post || strcmp(other->method, "POST") == 0;
		delete = delete || strcmp(other->method, "DELETE") == 0;
	}
	return methods[get][post][delete];
}

/*
 * Find the route of a request from its method and its URI, as it was sent; name
 * gets the name in the path, as it was sent.  HEAD is as good as GET.  A path belongs to
 * the first row that it fits, and to those with the same path and other methods.
 */
RouteFound
RouteFind(const char *method, const char *uri, const Route **route, Buffer *name)
{
	size_t len = strcspn(uri, "?");
	RouteFound found = ROUTE_NO_PATH;

	if (strcmp(method, "HEAD") == 0)
		method = "GET";
	for (const Route *candidate = routes; candidate < routes + route_count; candidate++)
	{
		const char *start;
		size_t name_len;

		if (!path_fits(candidate->path, uri, len, &start, &name_len) ||
			(candidate->has_number && !is_number(start, name_len)))
			continue;
		if (found == ROUTE_NO_METHOD && strcmp(candidate->path, (*route)->path) != 0)
			continue;
		*route = candidate;
		if (strcmp(candidate->method, method) != 0)
		{
			found = ROUTE_NO_METHOD;
			continue;
		}
		BufferAppend(name, start != NULL ? start : "", name_len);
		return ROUTE_FOUND;
	}
	if (is_of_gateway(uri, len))
	{
		*route = NULL;
		return ROUTE_OF_GATEWAY;
	}
	return found;
}
