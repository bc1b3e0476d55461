/*
 * guard.c
 *		Reading what may be damaged.
 *
 * A value may be stored apart from its row and be gone there, or be nested deeper
 * than the stack is.  Whoever reads many rows reads on after such a one.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/guard.h"

/*
 * Whether an error is about the value that was read, and not about the session, the
 * server or the statement.
 */
static bool
is_about_value(const ErrorData *error)
{
	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_INTERNAL_ERROR || category == ERRCODE_DATA_EXCEPTION ||
		   error->sqlerrcode == ERRCODE_STATEMENT_TOO_COMPLEX ||
		   error->sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

/*
 * Do something, which must not open anything that stays open, in a subtransaction
 * and in the current memory context.  Returns NULL, or what is wrong with the value
 * that it has read.  Raises every other error.
 */
char *
RunGuarded(GuardedWork work, void *argument)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char *volatile damage = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(argument);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!is_about_value(error))
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		damage = error->message;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return damage;
}
