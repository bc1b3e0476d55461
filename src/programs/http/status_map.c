/*
 * status_map.c
 *		What an error of the database becomes in HTTP.
 *
 * The extension's messages are the gateway's, so most of them pass through.
 * Retry-After is only given where nothing was done.
 */
#include "http/status_map.h"

#include <stddef.h>
#include <string.h>

static const Fault faults[] = {
	{"28000", 401, NULL, 0, false},                     /* no such key */
	{"42501", 403, NULL, 0, false},                     /* no grant */
	{"P0002", 404, NULL, 0, false},                     /* no such record, no such batch */
	{"42P01", 404, "audit is not enabled", 0, true},    /* no audit table */
	{"55000", 422, NULL, 0, false},                     /* no payload, redacted, cancelled */
	{"42710", 422, NULL, 0, false},                     /* an idempotency key for another request */
	{"22", 400, NULL, 0, false},                        /* a bad argument */
	{"42704", 400, NULL, 0, false},                     /* no such role */
	{"0A000", 400, NULL, 0, false},                     /* one that cannot be evaluated */
	{"54", 400, NULL, 0, false},                        /* one that is too complex */
	{"25006", 503, "the database only reads", 5, true}, /* a standby */
	{"40", 503, "the database is busy, nothing was done", 1, true}, /* a deadlock */
	{"53", 503, "the database is busy, nothing was done", 5, true},
	{"55P03", 503, "the database is busy, nothing was done", 1, true}, /* lock_timeout */
	{"57014", 504, "the database took too long, nothing was done", 0, true},
	{"57", 503, "the database cannot be used", 5, true},
	{"", 500, "internal error", 0, true},
};

/*
 * Find what a SQLSTATE becomes; there is something for all of them.
 */
const Fault *
FaultFind(const char *sqlstate)
{
	const Fault *fault = faults;

	while (strncmp(fault->sqlstate, sqlstate, strlen(fault->sqlstate)) != 0)
		fault++;
	return fault;
}
