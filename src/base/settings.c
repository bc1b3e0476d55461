/*
 * settings.c
 *		The settings acteon_replay.*.
 */
#include "postgres.h"

#include <limits.h>

#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "base/compat.h"
#include "base/settings.h"

char *AuditTableSetting;
char *RedactionPlaceholder;
int IntentGrace;
int MaxAttempts;
int GatewayPatience;
bool AuditIsLive;
bool AuditIsLiveIsSaid;
int NotifySetting;
bool RequireReason;

static const struct config_enum_entry notify_values[] = {
	{"off", NOTIFY_OFF, false},  {"on", NOTIFY_ON, false},  {"smart", NOTIFY_SMART, false},
	{"false", NOTIFY_OFF, true}, {"true", NOTIFY_ON, true}, {NULL, 0, false}};

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
 * Note whether acteon_replay.audit_is_live was set by somebody, or has its
 * default, which does not hold for every table.
 */
static bool
check_audit_is_live(bool *newval, void **extra, GucSource source)
{
	bool *is_said = ActeonGucMalloc(sizeof(bool));

	if (is_said == NULL)
		return false;
	*is_said = source > PGC_S_DEFAULT;
	*extra = is_said;
	return true;
}

static void
assign_audit_is_live(bool newval, void *extra)
{
	AuditIsLiveIsSaid = *(bool *) extra;
}

/*
 * Define the settings.  All of them guard something against the caller, so only
 * superusers, or those who were granted SET on them, may change them.
 */
void
DefineSettings(void)
{
	DefineCustomStringVariable(
		"acteon_replay.audit_table",
		"The gateway's audit table, with or without schema, quoted as in SQL.",
		"Without a schema it is looked for in the extension's schema, then in public, but not taken from a schema in which everybody may create tables. The search path plays no part.",
		&AuditTableSetting, "acteon_audit", PGC_SUSET, 0, check_audit_table, NULL, NULL);
	DefineCustomStringVariable(
		"acteon_replay.redaction_placeholder",
		"What the gateway stores in place of a redacted value.",
		"A payload in which some string value is exactly this is not replayed without allow_redacted. Empty: no payload counts as redacted.",
		&RedactionPlaceholder, "[REDACTED]", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("acteon_replay.intent_grace",
							"Age below which an intent record counts as still being executed.",
							"It is measured against the newest record of the audit table.",
							&IntentGrace, 300, 0, INT_MAX / 1000, PGC_SUSET, GUC_UNIT_S, NULL, NULL,
							NULL);
	DefineCustomIntVariable(
		"acteon_replay.max_attempts", "Attempts after which an action ends dead.",
		"It counts when an attempt fails; what is waiting then is not looked at.", &MaxAttempts, 10,
		1, INT_MAX / 2, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("acteon_replay.require_reason",
							 "Refuse to replay, steer, redrive or purge without a reason.", NULL,
							 &RequireReason, false, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"acteon_replay.gateway_patience",
		"How long a record of an action may be missing before that tells anything.",
		"At least as long as the gateway can take to execute an action and to record it. It counts from the end of the request, or of the lease.",
		&GatewayPatience, 300, 0, INT_MAX / 1000, PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomBoolVariable(
		"acteon_replay.audit_is_live",
		"Whether the gateway writes its records into the audit table as they are made.",
		"Off for a copy: nothing is concluded from what is missing in it, doubts are held, and intents are not replayed. Unless it is set, it is off for a table that a subscription fills, and for one that has a foreign partition or one that a subscription fills.",
		&AuditIsLive, true, PGC_SUSET, 0, check_audit_is_live, assign_audit_is_live, NULL);
	DefineCustomEnumVariable(
		"acteon_replay.notify", "When a replay wakes consumers up by NOTIFY.",
		"on, off, or smart: only if a consumer sleeps. Commits with a NOTIFY wait for each other, in the whole cluster.",
		&NotifySetting, NOTIFY_SMART, notify_values, PGC_SUSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("acteon_replay");
}
