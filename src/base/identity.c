/*
 * identity.c
 *		As whom the extension acts.
 *
 * The functions are called with the rights of the current role and check that
 * role's grants.  They then read the audit table as that table's owner and
 * write their own tables as those tables' owner, the way the server runs
 * referential-integrity triggers (ri_triggers.c) and maintenance commands.
 * So whatever a table's owner has planted on it runs with that owner's rights
 * and no others, and nothing that is on the caller's search_path is found
 * meanwhile.
 *
 * Nothing here is undone by PG_TRY: an error aborts the (sub)transaction, and
 * that puts back the user id, the security context and the settings.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rls.h"

#include "base/identity.h"

/*
 * Become the given user until RestoreIdentity.  While it lasts, SET ROLE and
 * SET SESSION AUTHORIZATION are refused, temporary objects and deferred
 * triggers cannot be made, and the search path finds nothing of the caller's:
 * code reached from a policy of the audit table must not look up names there.
 * Policies apply whatever the caller has set.
 */
void
SwitchIdentity(Identity *saved, Oid user)
{
	GetUserIdAndSecContext(&saved->user, &saved->sec_context);
	SetUserIdAndSecContext(user, saved->sec_context | SECURITY_LOCAL_USERID_CHANGE |
									 SECURITY_RESTRICTED_OPERATION);
	saved->guc_level = NewGUCNestLevel();
	SetLocally("search_path", "pg_catalog, pg_temp");
	if (!row_security)
		SetLocally("row_security", "on");
}

/*
 * Give a setting a value until RestoreIdentity.
 */
void
SetLocally(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

/*
 * Be the user from before again.  Settings changed meanwhile, by us or by
 * code that we reached, go back to what they were.
 */
void
RestoreIdentity(const Identity *saved)
{
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->user, saved->sec_context);
}

/*
 * The name of a role as a datum.
 */
Datum
RoleName(Oid role)
{
	return DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(role, false)));
}
