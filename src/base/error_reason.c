/*
 * error_reason.c
 *		The reason of an error, for programs.
 *
 * Many errors have the same SQLSTATE, and messages are translated.  So the reason has
 * a name in the error's field CONSTRAINT NAME, which the protocol passes on and PL/pgSQL
 * shows as CONSTRAINT_NAME.  Violations of real constraints have SQLSTATEs of a class of
 * their own, 23.
 */
#include "postgres.h"

#include "base/error_reason.h"

static const char *const names[NUM_ERROR_CODES] = {
#define CODE(id, name, ...) [CODE_##id] = name,
#include "base/error_codes.def"
#undef CODE
};

/*
 * Name the reason of the error that ereport is reporting.
 */
int
errreason(ErrorCode code)
{
	return code == CODE_NONE ? 0 : errreason_name(names[code]);
}

/*
 * The same by its name, which the table of codes has, too.
 */
int
errreason_name(const char *name)
{
	return err_generic_string(PG_DIAG_CONSTRAINT_NAME, name);
}
