/*
 * subtransaction.c
 *		Running code that may fail or has to be rolled back.
 *
 * An error must end its subtransaction before it is passed on: code that
 * catches it further up expects its own subtransaction to be the current one.
 * So the error is returned, and a caller that does not want to handle it raises
 * it again (ReThrowError).
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/subtransaction.h"

/*
 * Do something in a subtransaction and in the current memory context.  It is kept or
 * taken back, as the work says; if it raises an error it is taken back.  Returns the
 * error, in the given memory context, or NULL.
 */
ErrorData *
TryInSubtransaction(SubtransactionWork work, void *argument, MemoryContext errors)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (work(argument))
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(errors);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/*
 * Whether an error wants the whole transaction to end.
 */
bool
EndsTransaction(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		   error->sqlerrcode == ERRCODE_OUT_OF_MEMORY ||
		   ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK;
}
