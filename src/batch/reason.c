/*
 * reason.c
 *		The reason that a caller gives, and whether one must be given.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "base/error_reason.h"
#include "base/settings.h"
#include "batch/reason.h"

/*
 * Whether there is no reason, or nothing but white space.
 */
bool
IsBlankReason(const char *reason)
{
	return reason == NULL || strspn(reason, " \t\n\r") == strlen(reason);
}

/*
 * A reason for the functions that take one; raises the error if it is missing
 * and acteon_replay.require_reason is on.
 */
void
CheckReason(const char *reason)
{
	if (RequireReason && IsBlankReason(reason))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errreason(CODE_REASON_NEEDED),
				 errmsg("a reason must be given"), errdetail("acteon_replay.require_reason is on."),
				 errhint("Pass reason => 'why', for example a ticket number.")));
}

/*
 * Read a reason, NULL if none is given; raises the error if one is required.
 */
const char *
ReasonArgument(FunctionCallInfo fcinfo, int argument)
{
	const char *reason =
		PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));

	CheckReason(reason);
	return reason;
}
