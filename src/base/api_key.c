/*
 * api_key.c
 *		The API key with which the transaction acts.
 *
 * The HTTP server begins the transaction of a request with acteon_api_login, which only
 * roles may call that were granted it, and which wants the hash of a key: so nobody can
 * act under the name of a key that is not theirs.  What the transaction writes down of
 * itself, batches and entries of the log, has the name.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "base/api_key.h"

static char *name = NULL; /* in TopMemoryContext; NULL: no key */

/*
 * Forget the key at the end of the transaction.
 */
static void
transaction_ends(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (name != NULL)
		pfree(name);
	name = NULL;
}

/*
 * Note the name of the key with which the transaction acts from now on.
 */
void
NoteApiKey(const char *key)
{
	static bool registered = false;
	char *copy = MemoryContextStrdup(TopMemoryContext, key);

	if (!registered)
		RegisterXactCallback(transaction_ends, NULL);
	registered = true;
	if (name != NULL)
		pfree(name);
	name = copy;
}

/*
 * The name of that key; NULL if the transaction does not act with one.
 */
const char *
CurrentApiKey(void)
{
	return name;
}
