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
#include "base/target.h"

char *AuditTableSetting;
char *RedactionPlaceholder;
int IntentGrace;
int MaxAttempts;
int GatewayPatience;
bool AuditIsLive;
bool AuditIsLiveIsSaid;
bool HoldDoubts;
bool TraceActions;
int NotifySetting;
bool RequireReason;
int PlanAbove;
int ApprovalAbove;
char *AllowedTargets;
char *Traceparent;
char *Tracestate;

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
 * Accept names of targets, separated by commas.
 */
static bool
check_targets(char **newval, void **extra, GucSource source)
{
	if (IsTargetList(*newval))
		return true;
	GUC_check_errdetail("It must be names separated by commas: lower-case letters, digits, _ and "
						"-, with a letter first.");
	return false;
}

/*
 * Note whether acteon_replay.audit_is_live was set explicitly, or has its
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
 * Define the settings.  All but three guard something against the caller, so only
 * superusers, or those who were granted SET on them, may change them.
 * acteon_replay.hold_doubts only makes claims more careful, and a trace decides nothing,
 * so anybody may set them.
 */
void
DefineSettings(void)
{
	DefineCustomStringVariable(
		"acteon_replay.audit_table",
		"Sets the name of the gateway's audit table, with or without schema, quoted as in SQL.",
		"Without a schema it is searched for in the extension's schema, then in public. A table "
		"in a schema in which every role may create tables is not used. The search path is "
		"ignored.",
		&AuditTableSetting, "acteon_audit", PGC_SUSET, 0, check_audit_table, NULL, NULL);
	DefineCustomStringVariable(
		"acteon_replay.redaction_placeholder",
		"Sets the text that the gateway stores in place of a redacted value.",
		"A payload with a string value that is exactly this text is not replayed without "
		"allow_redacted. If it is empty, no payload counts as redacted.",
		&RedactionPlaceholder, "[REDACTED]", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("acteon_replay.intent_grace",
							"Sets the age below which an intent counts as still being executed.",
							"It is measured against the newest record of the audit table.",
							&IntentGrace, 300, 0, INT_MAX / 1000, PGC_SUSET, GUC_UNIT_S, NULL, NULL,
							NULL);
	DefineCustomIntVariable("acteon_replay.max_attempts",
							"Sets the number of attempts after which an action becomes "
							"dead.",
							"It is applied when an attempt fails, not to actions that are waiting.",
							&MaxAttempts, 10, 1, INT_MAX / 2, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("acteon_replay.require_reason",
							 "Requires a reason for replaying, steering, redriving and purging.",
							 NULL, &RequireReason, false, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"acteon_replay.plan_above",
		"Sets the number of records above which a replay needs the plan of a preview.",
		"It applies to acteon_replay_all and acteon_replay_bulk. -1 turns it off.", &PlanAbove, -1,
		-1, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"acteon_replay.approval_above",
		"Sets the number of records above which a replay needs the approval of a second person.",
		"What a role has replayed without approval within the last hour counts together. -1 turns "
		"it off.",
		&ApprovalAbove, -1, -1, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"acteon_replay.targets", "Sets the targets besides production to which can be replayed.",
		"A list of names, separated by commas. A replay to another target sends payloads of "
		"production there. What the session has counts: ALTER ROLE ... SET acts on a login as "
		"that role, not on SET ROLE.",
		&AllowedTargets, "", PGC_SUSET, 0, check_targets, NULL, NULL);
	DefineCustomIntVariable(
		"acteon_replay.gateway_patience",
		"Sets the time after which the absence of an action's audit record is taken into account.",
		"It must be at least as long as the gateway can take to execute an action and to record "
		"it. It is measured from the end of the request, or of the lease.",
		&GatewayPatience, 300, 0, INT_MAX / 1000, PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomBoolVariable(
		"acteon_replay.audit_is_live",
		"Specifies whether the gateway itself writes to the audit table.",
		"Turn it off for a copy: then nothing is concluded from missing records, actions in doubt "
		"are held, and intents are not replayed. Unless it is set, it is off for a table that is "
		"foreign or that a subscription fills, also if only a part of it is. If it is set to on "
		"for such a table, missing records count by its newest record instead of the clock.",
		&AuditIsLive, true, PGC_SUSET, 0, check_audit_is_live, assign_audit_is_live, NULL);
	DefineCustomBoolVariable(
		"acteon_replay.hold_doubts",
		"Holds actions in doubt that have no audit record, whatever on_doubt of their batch is.",
		"For sessions of consumers whose actions are executed later, by somebody else: there a "
		"missing record does not show that an action was not sent. acteon-relay sets it when it "
		"delivers to Kafka. Every role may set it.",
		&HoldDoubts, false, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"acteon_replay.traceparent", "Sets the trace that replays of this session are a part of.",
		"In the form of W3C's Trace Context. acteon-relay sends it to the gateway with each action "
		"that is replayed. A malformed value is ignored. Every role may set it.",
		&Traceparent, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"acteon_replay.tracestate",
		"Sets what tracing systems want to be passed on with acteon_replay.traceparent.",
		"In the form of W3C's Trace Context. A malformed value is ignored. Every role may set it.",
		&Tracestate, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable(
		"acteon_replay.trace_actions",
		"Writes each change of the state of an action into the server log.",
		"For debugging, and for the comparison of what happens with the model in test/model. "
		"A line in JSON for each action that is enqueued or handed out, each change of a segment and each delivery.",
		&TraceActions, false, PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomEnumVariable(
		"acteon_replay.notify", "Sets when a replay wakes up consumers with NOTIFY.",
		"on, off, or smart (only if a consumer is sleeping). Transactions that send a "
		"NOTIFY wait for each other when they commit, in the whole cluster.",
		&NotifySetting, NOTIFY_SMART, notify_values, PGC_SUSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("acteon_replay");
}
