/*
 * routes.h
 *		The paths of the interface, and what is behind each.
 */
#ifndef ROUTES_H
#define ROUTES_H

#include <stdbool.h>

#include "common/buffer.h"
#include "http/parameters.h"
#include "http/statements.h"

/* How a request is answered. */
typedef enum RouteKind
{
	ROUTE_CALL,    /* by a function of the extension, as the key's role */
	ROUTE_HEALTH,  /* by asking the database how it is */
	ROUTE_METRICS, /* from our own counters */
	ROUTE_OPENAPI, /* with a file */
	ROUTE_PAGE     /* with the page for people */
} RouteKind;

typedef struct Route
{
	const char *method;
	const char *path; /* one * stands for a name in it */
	RouteKind kind;
	StatementId statement; /* of a call */
	CallSet takes;         /* the parameters it looks at */
	bool has_number;       /* the name is the number of a batch */
	bool can_wait;         /* there are deliveries to wait for */
} Route;

/* What came of looking for one. */
typedef enum RouteFound
{
	ROUTE_FOUND,
	ROUTE_NO_PATH,
	ROUTE_NO_METHOD, /* the path takes another */
	ROUTE_OF_GATEWAY /* only the gateway has it */
} RouteFound;

extern const Route routes[];
extern const int route_count;

extern bool RouteChanges(const Route *route);
extern bool RouteTakesBody(const Route *route);
extern bool RouteIsLong(const Route *route);
extern const char *RouteMethods(const Route *route);
extern RouteFound RouteFind(const char *method, const char *uri, const Route **route, Buffer *name);

#endif
