/*
 * damaged.c
 *		Reading data that may be damaged.
 *
 * A value may be stored out of line and be missing there, or be nested too
 * deeply for the stack.  Functions that read many rows continue after such a
 * value.
 */
#include "postgres.h"

#include "base/damaged.h"
#include "base/subtransaction.h"

/*
 * Whether an error is about the value that was read, and not about the session, the
 * server or the statement.
 */
bool
IsAboutValue(const ErrorData *error)
{
	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_INTERNAL_ERROR || category == ERRCODE_DATA_EXCEPTION ||
		   error->sqlerrcode == ERRCODE_STATEMENT_TOO_COMPLEX ||
		   error->sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

/* What is guarded. */
typedef struct Guarded
{
	GuardedWork work;
	void *argument;
} Guarded;

static bool
run(void *argument)
{
	Guarded *guarded = argument;

	guarded->work(guarded->argument);
	return true;
}

/*
 * Do something, which must not open anything that stays open, in a subtransaction
 * and in the current memory context.  Returns NULL, or what is wrong with the value
 * that it has read.  Raises every other error.
 */
char *
RunGuarded(GuardedWork work, void *argument)
{
	Guarded guarded = {.work = work, .argument = argument};
	ErrorData *error = TryInSubtransaction(run, &guarded, CurrentMemoryContext);

	if (error == NULL)
		return NULL;
	if (!IsAboutValue(error))
		ReThrowError(error);
	return error->message;
}
