/*
 * readable_audit.c
 *		What functions about the gateway's records begin with.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "api/readable_audit.h"
#include "base/error_reason.h"
#include "base/table_access.h"

/*
 * Open the audit table for a caller that may read.  Raises insufficient_privilege for one
 * without any grant, and undefined_table.
 */
void
OpenReadableAudit(AuditTable *audit, FunctionCallInfo fcinfo)
{
	Oid schema = CalledSchema(fcinfo);
	Grants *grants = LoadGrants(GetUserId(), schema);

	if (!GrantsMayRead(grants))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_NO_ROLE),
				 errmsg("insufficient permissions: reading audit records requires admin, operator "
						"or viewer role"),
				 errdetail("Role \"%s\" has no such grant in acteon_grants.",
						   GetUserNameFromId(GetUserId(), false))));
	OpenAuditTable(audit, schema);
	audit->grants = grants;
}

/*
 * Read a time that may be NULL.
 */
OptionalTime
ReadTimeArgument(FunctionCallInfo fcinfo, int argument)
{
	OptionalTime time = {.given = !PG_ARGISNULL(argument)};

	if (time.given)
		time.time = PG_GETARG_TIMESTAMPTZ(argument);
	return time;
}
