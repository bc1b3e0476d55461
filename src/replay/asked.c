/*
 * asked.c
 *		Queries for many records that must be made explicitly.
 *
 * A preview accepts any query; a bulk replay does not.  One without a filter,
 * one that selects only actions that took effect, and one for intents are
 * refused before a record is read, unless they are explicitly allowed.
 */
#include "postgres.h"

#include "queue/effect.h"
#include "replay/asked.h"

/*
 * Whether a query says which records it is about.
 */
static bool
has_filter(const ReplayQuery *query)
{
	for (int i = 0; i < NUM_TEXT_FILTERS; i++)
	{
		if (query->filters[i] != NULL)
			return true;
	}
	return query->from.given || query->to.given || query->lost;
}

/*
 * Whether a query asks for nothing but outcomes of what took effect, or will.
 * Some of the records that say executed have had none, but who wants those asks
 * for what was lost.
 */
static bool
asks_for_effects_only(const ReplayQuery *query)
{
	static const char *const effective[] = {EXECUTED_OUTCOME, "deduplicated",
											"scheduled",      "pending_approval",
											"grouped",        CHAIN_ORIGIN_OUTCOME};
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
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		 errmsg("intents cannot be replayed from audit table %s", table->quoted_name),
		 errdetail(
			 "acteon_replay.audit_is_live is off for it, so a missing outcome may merely not have arrived yet."),
		 errhint("Replay them in the database in which the gateway writes its records.")));
}

/*
 * Refuse a query for many records that is not explicit enough, with
 * invalid_parameter_value; and one for intents in a table in which a missing
 * outcome proves nothing, with object_not_in_prerequisite_state.
 */
void
CheckAsked(const AuditTable *table, const ReplayQuery *query)
{
	if (!has_filter(query))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a bulk replay needs a filter"),
			 errhint(
				 "Give namespace, tenant, provider, action_type, outcome, verdict, matched_rule, caller_id, chain_id, %s or %s, or lost => true for what had no effect. See doc/handbook.md.",
				 OptionName(query, OPTION_FROM), OptionName(query, OPTION_TO))));
	if (!query->allow_effective && asks_for_effects_only(query))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("outcome \"%s\" selects actions that took effect, or will",
					query->filters[FILTER_OUTCOME]),
			 errhint(
				 "Pass allow_effective => true to replay them again. To select actions that had no effect, executed ones included, use lost => true.")));
	if (!query->allow_unproven && AsksForOutcome(query, INTENT_OUTCOME))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("outcome \"%s\" selects intents, whose outcome is unknown", INTENT_OUTCOME),
				 errdetail(
					 "Such an action may have been executed, although its outcome is missing."),
				 errhint("Pass allow_unproven => true to replay them.")));
	if (AsksForOutcome(query, INTENT_OUTCOME) && !AuditTableIsLive(table))
		ReportAuditTellsNothing(table);
}
