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
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/memutils.h"

#include "base/api_key.h"

static char *name = NULL;           /* in TopMemoryContext; NULL: no key */
static Oid key_role = InvalidOid;   /* as which it acts */
static Oid login_role = InvalidOid; /* who may have the key; see LoginRole */

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
	key_role = login_role = InvalidOid;
}

/*
 * Note the name of the key with which the transaction acts from now on, its role, and the
 * name of the role that created it.
 */
void
NoteApiKey(const char *key, Oid role, const char *created_by)
{
	static bool registered = false;
	char *copy = MemoryContextStrdup(TopMemoryContext, key);

	if (!registered)
		RegisterXactCallback(transaction_ends, NULL);
	registered = true;
	if (name != NULL)
		pfree(name);
	name = copy;
	key_role = role;
	login_role = get_role_oid(created_by, true);
	if (!OidIsValid(login_role) || superuser_arg(login_role))
		login_role = role;
}

/*
 * The name of that key; NULL if the transaction does not act with one.
 */
const char *
CurrentApiKey(void)
{
	return name;
}

/*
 * The role that has logged in to do what the caller does: that of the session, or, if the
 * caller acts with an API key, the one that created the key, which has seen it and may have
 * kept it; if that is a superuser, who can do everything anyway, the role of the key.  All
 * keys of an HTTP server share the role of its sessions, which is a member of theirs and says
 * nothing of who holds them.  A session that has noted a key and acts as another role than
 * that of the key is not that key.
 */
Oid
LoginRole(Oid caller)
{
	return name != NULL && key_role == caller ? login_role : GetSessionUserId();
}
