/*
 * routes.c
 *		The paths of the interface, and what is behind each.
 *
 * The two under /v1/audit are the gateway's (its SDKs put an action id into the
 * path as it is, slashes too), the others are ours.
 */
#include "http/routes.h"

#include <string.h>

const Route routes[] = {
	{"POST", "/v1/audit/replay", ROUTE_CALL, STATEMENT_BULK, CALL_HTTP_BULK, false, true},
	{"POST", "/v1/audit/*/replay", ROUTE_CALL, STATEMENT_REPLAY, CALL_HTTP_SINGLE, false, true},
	{"GET", "/v1/replay/causes", ROUTE_CALL, STATEMENT_CAUSES, CALL_HTTP_CAUSES, false, false},
	{"GET", "/v1/replay/timeline", ROUTE_CALL, STATEMENT_TIMELINE, CALL_HTTP_TIMELINE, false,
	 false},
	{"GET", "/v1/replay/batches", ROUTE_CALL, STATEMENT_BATCHES, CALL_HTTP_BATCHES, false, false},
	{"POST", "/v1/replay/batches/*/pause", ROUTE_CALL, STATEMENT_PAUSE, CALL_HTTP_STEERING, true,
	 false},
	{"POST", "/v1/replay/batches/*/resume", ROUTE_CALL, STATEMENT_RESUME, CALL_HTTP_STEERING, true,
	 false},
	{"POST", "/v1/replay/batches/*/cancel", ROUTE_CALL, STATEMENT_CANCEL, CALL_HTTP_STEERING, true,
	 false},
	{"GET", "/v1/replay/batches/*/items", ROUTE_CALL, STATEMENT_ITEMS, CALL_HTTP_ITEMS, true,
	 false},
	{"GET", "/v1/replay/batches/*", ROUTE_CALL, STATEMENT_BATCH, CALL_NONE, true, false},
	{"GET", "/health", ROUTE_HEALTH, STATEMENT_NONE, CALL_NONE, false, false},
	{"GET", "/metrics", ROUTE_METRICS, STATEMENT_NONE, CALL_NONE, false, false},
	{"GET", "/openapi.json", ROUTE_OPENAPI, STATEMENT_NONE, CALL_NONE, false, false},
};

const int route_count = sizeof(routes) / sizeof(routes[0]);

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
 * Find the route of a request from its method and its URI, as it was sent; name
 * gets the name in the path, as it was sent.  HEAD is as good as GET.
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
		*route = candidate;
		if (strcmp(candidate->method, method) != 0)
		{
			/* The gateway's path for a single action fits others of ours, never the other way. */
			found = ROUTE_NO_METHOD;
			continue;
		}
		BufferAppend(name, start != NULL ? start : "", name_len);
		return ROUTE_FOUND;
	}
	return found;
}
