/*
 * acteon_replay.c
 *		The module: its magic block and its settings.
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "compat.h"
#include "settings.h"

PG_MODULE_MAGIC;

char *AuditTableSetting;
char *RedactionPlaceholder;
int IntentGrace;
int MaxAttempts;
bool RequireReason;

void _PG_init(void);

/*
 * Accept a table name, with or without a schema, quoted as in SQL.
 */
static bool
check_audit_table(char **newval, void **extra, GucSource source)
{
	char *copy = pstrdup(*newval);
	List *names = NIL;
	bool valid;

	valid = SplitIdentifierString(copy, '.', &names) && list_length(names) >= 1 &&
			list_length(names) <= 2;
	if (!valid)
		GUC_check_errdetail("It must be a table name, with or without a schema, quoted as in SQL.");
	list_free(names);
	pfree(copy);
	return valid;
}

/*
 * Define the settings when the library is loaded, which needs no
 * shared_preload_libraries.  All of them guard something against the caller,
 * so only superusers, or those who were granted SET on them, may change them.
 */
void
_PG_init(void)
{
	DefineCustomStringVariable(
		"acteon_replay.audit_table", "The gateway's audit table.",
		"Without a schema it is looked for in the extension's schema, then in public.",
		&AuditTableSetting, "acteon_audit", PGC_SUSET, 0, check_audit_table, NULL, NULL);
	DefineCustomStringVariable(
		"acteon_replay.redaction_placeholder",
		"What the gateway stores in place of a redacted value.",
		"A payload that holds it is not replayed unless allow_redacted is set. Empty: no payload counts as redacted.",
		&RedactionPlaceholder, "[REDACTED]", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("acteon_replay.intent_grace",
							"Age below which an intent record counts as still being executed.",
							NULL, &IntentGrace, 300, 0, INT_MAX / 1000, PGC_SUSET, GUC_UNIT_S, NULL,
							NULL, NULL);
	DefineCustomIntVariable(
		"acteon_replay.max_attempts", "Attempts after which an action ends dead.",
		"It counts when an attempt fails; what is waiting then is not looked at.", &MaxAttempts, 10,
		1, INT_MAX / 2, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("acteon_replay.require_reason",
							 "Refuse to replay, or to steer a batch, without a reason.", NULL,
							 &RequireReason, false, PGC_SUSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("acteon_replay");
}
