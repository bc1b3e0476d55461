/*
 * asked.c
 *		Queries for many records that must be made explicitly.
 *
 * A preview accepts any query, and shows why a replay would refuse it; a replay of
 * many does not.  A query without a filter, one that selects only actions that took
 * effect, and one for intents are refused before a record is read, unless they are
 * explicitly allowed.  Which options are filters stands in the table of options.
 */
#include "postgres.h"

#include "base/error_reason.h"
#include "queue/effect.h"
#include "replay/asked.h"

/*
 * Whether a query asks for nothing but outcomes of what took effect, or will.
 * Some of the records that say executed have had none, but who wants those asks
 * for what was lost.
 */
static bool
asks_for_effects_only(const ReplayQuery *query)
{
	static const char *const effective[] = {EXECUTED_OUTCOME,  DEDUPLICATED_OUTCOME,
											SCHEDULED_OUTCOME, PENDING_APPROVAL_OUTCOME,
											GROUPED_OUTCOME,   CHAIN_ORIGIN_OUTCOME};
	int count = 0;

	for (int i = 0; i < lengthof(effective); i++)
		count += AsksForOutcome(query, effective[i]);
	return count > 0 && count == query->outcome_count;
}

/*
 * Raise the error for intents in a table in which a missing outcome proves
 * nothing.
 */
void
ReportAuditTellsNothing(const AuditTable *table)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason(CODE_AUDIT_NOT_LIVE),
		 errmsg("intents cannot be replayed from audit table %s", table->quoted_name),
		 errdetail(
			 "acteon_replay.audit_is_live is off for it, so a missing outcome may merely not have arrived yet."),
		 errhint("Replay them in the database in which the gateway writes its records.")));
}

/*
 * Whether a replay of a query for many records is refused because the query is not
 * explicit enough, and with which words.
 */
bool
IsRefused(const ReplayQuery *query, Refusal *refusal)
{
	memset(refusal, 0, sizeof(*refusal));
	if (!HasFilter(query))
	{
		refusal->code = CODE_FILTER_NEEDED;
		refusal->message = _("a bulk replay needs a filter");
		refusal->hint = psprintf(
			_("Give at least one of %s. For what had no effect: lost => true. See doc/handbook.md."),
			FilterNames(query));
	}
	else if (!query->allow_effective && asks_for_effects_only(query))
	{
		refusal->code = CODE_TOOK_EFFECT;
		refusal->message = psprintf(_("outcome \"%s\" selects actions that took effect, or will"),
									query->filters[FILTER_OUTCOME]);
		refusal->hint = _(
			"Pass allow_effective => true to replay them again. To select actions that had no effect, executed ones included, use lost => true.");
	}
	else if (!query->allow_unproven && AsksForOutcome(query, INTENT_OUTCOME))
	{
		refusal->code = CODE_INTENTS;
		refusal->message =
			psprintf(_("outcome \"%s\" selects intents, whose outcome is unknown"), INTENT_OUTCOME);
		refusal->detail =
			_("Such an action may have been executed, although its outcome is missing.");
		refusal->hint = _("Pass allow_unproven => true to replay them.");
	}
	return refusal->message != NULL;
}

/*
 * Refuse a query for many records that is not explicit enough, with
 * invalid_parameter_value; and one for intents in a table in which a missing
 * outcome proves nothing, with object_not_in_prerequisite_state.
 */
void
CheckAsked(const AuditTable *table, const ReplayQuery *query)
{
	Refusal refusal;

	if (IsRefused(query, &refusal))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errreason(refusal.code),
						errmsg_internal("%s", refusal.message),
						refusal.detail == NULL ? 0 : errdetail_internal("%s", refusal.detail),
						errhint("%s", refusal.hint)));
	if (AsksForOutcome(query, INTENT_OUTCOME) && !AuditTableIsLive(table))
		ReportAuditTellsNothing(table);
}
