/*
 * filter_sql.c
 *		What a query asks of a record, in a statement.
 *
 * Each filter that was given adds a condition; what is not given adds nothing.  The
 * operators are those of pg_catalog, and texts are compared by their bytes, whatever the
 * collation of the column is.  What postgres_fdw leaves to the foreign server has no text
 * in it but that of columns: all filters but tenant_tree with a nondeterministic
 * collation.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit/error_filter.h"
#include "audit/filter_sql.h"
#include "base/operators.h"
#include "base/settings.h"
#include "base/text.h"

#define PREFIX " OPERATOR(pg_catalog.^@) "
#define CONTAINS " OPERATOR(pg_catalog.@>) "
#define FINDS " OPERATOR(pg_catalog.@?) "

/* What a payload that the gateway has encrypted begins with. */
#define SEALED_PATH "strict $ ? (@ starts with \"ENC[\")"

/*
 * Add that a record has exactly this value in a text column, which not every version of
 * the gateway may have.
 */
void
AddTextFilter(Statement *st, const AuditTable *table, const char *alias, const char *name,
			  const char *value)
{
	if (AuditColumn(table, name) == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot filter by %s: audit table %s has no such column", name,
						table->quoted_name),
				 errhint("This gateway's version does not record it; leave the filter out.")));
	CheckAuditColumn(table, name, TEXTOID);
	AddEqual(st, table, alias, name, "$%d", AddParameter(st, TEXTOID, CStringGetTextDatum(value)));
}

/*
 * Add the text filters that were given, but for the outcome.
 */
static void
add_text_filters(Statement *st, const AuditTable *table, const ReplayQuery *query,
				 const char *alias)
{
	for (int i = 0; i < NUM_TEXT_FILTERS; i++)
	{
		if (query->filters[i] != NULL && i != FILTER_OUTCOME)
			AddTextFilter(st, table, alias, TextFilterNames[i], query->filters[i]);
	}
}

/*
 * Add one bound of the time range.
 */
void
AddTimeBound(Statement *st, const char *alias, const char *operator, const OptionalTime * bound)
{
	if (bound->given)
		appendStringInfo(&st->sql, " AND %s.dispatched_at%s$%d", alias, operator,
						 AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(bound->time)));
}

/*
 * The outcomes that a query asks for, as an array.
 */
Datum
OutcomeArray(const ReplayQuery *query)
{
	Datum outcomes[MAX_OUTCOMES];

	for (int i = 0; i < query->outcome_count; i++)
		outcomes[i] = CStringGetTextDatum(query->outcomes[i]);
	return PointerGetDatum(
		construct_array(outcomes, query->outcome_count, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Add that a record is of a tenant or of one below it, which has the name of that one, a
 * dot, and something more.
 */
static void
add_tenant_tree(Statement *st, const AuditTable *table, const char *tenant, const char *alias)
{
	const char *column = RecordColumnNames[COL_TENANT];
	Form_pg_attribute attribute =
		TupleDescAttr(RelationGetDescr(table->rel), AuditColumn(table, column) - 1);
	const char *bytes = HasExactCollation(attribute) ? "" : C_ORDER;
	int top = AddParameter(st, TEXTOID, CStringGetTextDatum(tenant));
	int below = AddParameter(st, TEXTOID, CStringGetTextDatum(psprintf("%s.", tenant)));

	appendStringInfo(&st->sql, " AND (%s OR %s.%s%s" PREFIX "$%d AND %s.%s%s" NE "$%d)",
					 TextTest(table, alias, column, psprintf(EQ "$%d", top)), alias, column, bytes,
					 below, alias, column, bytes, below);
}

/*
 * Add that a path finds something in a record's payload, or nothing.
 */
static void
add_path(Statement *st, const char *condition, Datum path, const char *alias)
{
	appendStringInfo(&st->sql, " AND %s%s.action_payload" FINDS "$%d", condition, alias,
					 AddParameter(st, JSONPATHOID, path));
}

static Datum
make_path(const char *text)
{
	return DirectFunctionCall1(jsonpath_in, CStringGetDatum(text));
}

/*
 * Add that a payload is neither encrypted nor redacted (payload_kind.c): what is not in
 * it cannot be compared.
 */
static void
add_readable(Statement *st, const char *alias)
{
	StringInfoData path;

	add_path(st, "NOT ", make_path(SEALED_PATH), alias);
	if (RedactionPlaceholder[0] == '\0')
		return;
	initStringInfo(&path);
	appendStringInfoString(&path, "strict $.** ? (@ == ");
	escape_json(&path, RedactionPlaceholder);
	appendStringInfoChar(&path, ')');
	add_path(st, "NOT ", make_path(path.data), alias);
}

/*
 * Add what is asked of a record's payload.  Whether it can be read is looked at last, as
 * that takes the longest.
 */
static void
add_payload_filters(Statement *st, const ReplayQuery *query, const char *alias)
{
	if (query->payload == NULL && query->payload_path == NULL)
		return;
	if (query->payload != NULL)
		appendStringInfo(&st->sql, " AND %s.action_payload" CONTAINS "$%d", alias,
						 AddParameter(st, JSONBOID, JsonbPGetDatum(query->payload)));
	if (query->payload_path != NULL)
		add_path(st, "", query->path, alias);
	add_readable(st, alias);
}

/*
 * Add the conditions that a query has besides the outcome, the ids and the error.
 */
static void
add_conditions(Statement *st, const AuditTable *table, const ReplayQuery *query, const char *alias)
{
	add_text_filters(st, table, query, alias);
	AddTimeBound(st, alias, GE, &query->from);
	AddTimeBound(st, alias, LE, &query->to);
	if (query->tenant_tree != NULL)
		add_tenant_tree(st, table, query->tenant_tree, alias);
	add_payload_filters(st, query, alias);
}

/*
 * Add whether a record matches all conditions of an exclusion but that on its error.  It
 * does not if one of them cannot be told, for a column that is NULL.
 */
static void
add_excluded(Statement *st, const AuditTable *table, const ReplayQuery *excluded, const char *alias)
{
	appendStringInfoString(&st->sql, " CASE WHEN true");
	add_conditions(st, table, excluded, alias);
	if (excluded->outcome_count > 0)
		AddEqual(st, table, alias, RecordColumnNames[COL_OUTCOME], "ANY ($%d)",
				 AddParameter(st, TEXTARRAYOID, OutcomeArray(excluded)));
	if (excluded->action_ids.given)
		AddEqual(st, table, alias, RecordColumnNames[COL_ACTION_ID], "ANY ($%d)",
				 AddParameter(st, TEXTARRAYOID, PointerGetDatum(excluded->action_ids.array)));
	appendStringInfoString(&st->sql, " THEN true ELSE false END");
}

/*
 * Add a column, after others, that says whether "a" matches all but the error of what
 * a query leaves out, if that is records with a certain error: see MatchesError.
 */
void
AddExcludedElse(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	if (!ExcludesError(query))
		return;
	appendStringInfoChar(&st->sql, ',');
	add_excluded(st, table, query->excluded, "a");
}

/*
 * Add what a query asks of a record wherever a search stands, whatever its outcome
 * means, whichever actions are picked, and whatever its error is.
 */
void
AddRecordFilters(Statement *st, const AuditTable *table, const ReplayQuery *query,
				 const char *alias)
{
	add_conditions(st, table, query, alias);
	if (query->excluded == NULL || ExcludesError(query))
		return;
	appendStringInfoString(&st->sql, " AND NOT");
	add_excluded(st, table, query->excluded, alias);
}

/*
 * Add that the action of "a" is among those that are picked by hand.
 */
void
AddPicked(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	if (query->action_ids.given)
		AddEqual(st, table, "a", RecordColumnNames[COL_ACTION_ID], "ANY ($%d)",
				 AddParameter(st, TEXTARRAYOID, PointerGetDatum(query->action_ids.array)));
}

/*
 * Add that the action of "a" is not among those that are left out by hand.  A record
 * without an action id, in a table that permits it, is not.
 */
void
AddUnpicked(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	const char *column = RecordColumnNames[COL_ACTION_ID];
	const char *present = "";
	char *among;

	if (!query->exclude_ids.given)
		return;
	if (!IsNeverNull(table, COL_ACTION_ID))
		present = psprintf("a.%s IS NOT NULL AND ", column);
	among = psprintf(EQ "ANY ($%d)",
					 AddParameter(st, TEXTARRAYOID, PointerGetDatum(query->exclude_ids.array)));
	appendStringInfo(&st->sql, " AND NOT (%s%s)", present, TextTest(table, "a", column, among));
}

/*
 * Whether a query picks actions by hand, or leaves them out so.
 */
bool
PicksActions(const ReplayQuery *query)
{
	return query->action_ids.given || query->exclude_ids.given;
}

/*
 * Whether an action is picked so, and not left out.
 */
bool
IsPicked(const ReplayQuery *query, const text *action_id)
{
	return (!query->action_ids.given || TextListHas(&query->action_ids, action_id)) &&
		   !TextListHas(&query->exclude_ids, action_id);
}

/*
 * Whether a query, or what it leaves out, compares a column.
 */
static bool
compares(const ReplayQuery *query, TextFilter filter)
{
	return query->filters[filter] != NULL ||
		   (query->excluded != NULL && query->excluded->filters[filter] != NULL);
}

/*
 * Whether a query, or what it leaves out, looks into payloads.
 */
bool
SearchesPayloads(const ReplayQuery *query)
{
	return query->payload != NULL || query->payload_path != NULL ||
		   (query->excluded != NULL && SearchesPayloads(query->excluded));
}

/*
 * Add the columns, after others, by which a query selects records besides their
 * outcome and time, and which AddKnownOtherwise needs in its source.
 */
void
AddFilterColumns(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	for (TextFilter i = 0; i < NUM_TEXT_FILTERS; i++)
	{
		if (compares(query, i) && i != FILTER_OUTCOME && i != FILTER_NAMESPACE &&
			i != FILTER_TENANT)
			appendStringInfo(&st->sql, ", a.%s", TextFilterNames[i]);
	}
	if (SearchesPayloads(query))
		appendStringInfo(&st->sql, ", a.%s", RecordColumnNames[COL_PAYLOAD]);
}
