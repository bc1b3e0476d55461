/*
 * status_map.c
 *		What an error of the database becomes in HTTP.
 *
 * The extension names the reasons of its errors; what it does not name, and what
 * the database itself reports, is told by the SQLSTATE.  The extension's messages are the
 * gateway's, so most of them pass through.  Retry-After is only given where nothing was done.
 */
#include "http/status_map.h"

#include <stddef.h>
#include <string.h>

const Fault faults[NUM_ERROR_CODES] = {
#define CODE(id, ...) [CODE_##id] = {__VA_ARGS__},
#include "base/error_codes.def"
#undef CODE
};

static const struct
{
	const char *sqlstate; /* or its class, two characters */
	ErrorCode code;
} by_sqlstate[] = {
	{"28000", CODE_UNAUTHENTICATED},
	{"42501", CODE_FORBIDDEN},
	{"P0002", CODE_NOT_FOUND},
	{"42P01", CODE_AUDIT_NOT_ENABLED},
	{"42704", CODE_NO_SUCH_ROLE},
	{"55000", CODE_NOT_POSSIBLE},
	{"42710", CODE_IDEMPOTENCY_KEY_REUSED},
	{"22", CODE_INVALID_PARAMETER},
	{"0A000", CODE_NOT_SUPPORTED},
	{"54", CODE_TOO_COMPLEX},
	{"25006", CODE_READ_ONLY}, /* a standby */
	{"40", CODE_CONFLICT},     /* a deadlock */
	{"53", CODE_DATABASE_BUSY},
	{"55P03", CODE_CONFLICT}, /* lock_timeout */
	{"57014", CODE_TIMEOUT},
	{"57", CODE_DATABASE_UNAVAILABLE},
	{"", CODE_SERVER_ERROR},
};

/*
 * Find what an error becomes, from its SQLSTATE and the name of its reason, which is
 * NULL if it has none.  There is something for all of them.  Names that come with a
 * violation of a constraint are those of constraints.
 */
ErrorCode
FaultFind(const char *sqlstate, const char *reason)
{
	size_t i = 0;

	if (reason != NULL && strncmp(sqlstate, "23", 2) != 0)
	{
		for (int code = CODE_NONE + 1; code < NUM_ERROR_CODES; code++)
		{
			if (strcmp(faults[code].code, reason) == 0)
				return (ErrorCode) code;
		}
	}
	while (strncmp(by_sqlstate[i].sqlstate, sqlstate, strlen(by_sqlstate[i].sqlstate)) != 0)
		i++;
	return by_sqlstate[i].code;
}
