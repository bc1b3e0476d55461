/*
 * audit_sql.c
 *		The statements that search the audit table.
 *
 * A statement is built from the filters that were given: quoted identifiers,
 * operators of pg_catalog, values as parameters.  Columns that the gateway added
 * in later versions are read only where a filter asks for them, or where they
 * are there.  The table is "a" in it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit/audit_sql.h"
#include "audit/audit_value.h"
#include "audit/filter_sql.h"
#include "base/identity.h"
#include "base/partial_index.h"
#include "base/settings.h"
#include "base/text.h"

/*
 * What was lost, by the names of the outcomes: LOST_OUTCOMES, and what was
 * executed and failed.  effect.c has the last word on those that were found.  They
 * are compared in a form that postgres_fdw leaves to the foreign server: no text in
 * them has a collation that is not that of a column, and there is no IS TRUE.
 */
#define LOST_OUTCOMES \
	FAILED_OUTCOME, CIRCUIT_OPEN_OUTCOME, THROTTLED_OUTCOME, QUOTA_EXCEEDED_OUTCOME
#define HAS_FAILED(alias) \
	alias ".outcome_details OPERATOR(pg_catalog.@>) '{\"status\": \"Failure\"}'::pg_catalog.jsonb"

/* A record is dated in the future if it is so much later than now. */
#define FUTURE_TOLERANCE USECS_PER_MINUTE

/*
 * The condition that a record has one of the outcomes that we know.
 */
char *
OutcomeTest(const AuditTable *table, const char *alias, const char *outcome)
{
	return TextTest(table, alias, RecordColumnNames[COL_OUTCOME],
					psprintf(EQ "'%s'::pg_catalog.text", outcome));
}

/*
 * The condition that a record says that its action was lost.
 */
char *
LostTest(const AuditTable *table, const char *alias)
{
	return psprintf(
		"(%s OR %s AND %s.outcome_details IS NOT NULL AND " HAS_FAILED("%s") ")",
		TextTest(table, alias, RecordColumnNames[COL_OUTCOME],
				 EQ "ANY ('{failed,circuit_open,throttled,quota_exceeded}'::pg_catalog.text[])"),
		OutcomeTest(table, alias, EXECUTED_OUTCOME), alias, alias);
}

/*
 * Whether a column is a part of the action, and not of what became of it.
 */
static bool
is_of_action(RecordColumn column)
{
	return column == COL_PAYLOAD || column == COL_METADATA || column == COL_ATTACHMENTS;
}

/*
 * Begin a statement that selects the records' columns of "a", which is to follow;
 * without what is in the actions if that is not wanted.  A query that is not NULL adds
 * what it needs besides.
 */
static void
select_columns(Statement *st, const AuditTable *table, const ReplayQuery *query, bool with_actions)
{
	BeginStatement(st);
	for (int i = 0; i < NUM_RECORD_COLUMNS; i++)
	{
		const char *absent = is_of_action(i) || i == COL_DETAILS ? "NULL::pg_catalog.jsonb AS "
																 : "NULL::pg_catalog.text AS ";
		bool selected = table->has[i] && (with_actions || !is_of_action(i));

		appendStringInfo(&st->sql, "%s %s%s", i == 0 ? "SELECT" : ",", selected ? "a." : absent,
						 RecordColumnNames[i]);
	}
	if (query != NULL)
		AddExcludedElse(st, table, query);
}

/*
 * Begin a statement that selects the records' columns of "a", which is to follow, for a
 * query or for NULL.
 */
void
SelectRecords(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	select_columns(st, table, query, true);
}

/*
 * The same without payload, metadata and attachments.
 */
void
SelectOutcomes(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	select_columns(st, table, query, false);
}

/*
 * Add the table, as "a".
 */
void
AddRecords(Statement *st, const AuditTable *table)
{
	appendStringInfo(&st->sql, " FROM %s AS a WHERE true", table->quoted_name);
}

/*
 * Add the cursor.  The comparison of the time alone is what partitions, indexes on it
 * and foreign servers can use; that of both decides among records of the same time,
 * and an index on both can use it.  Where several can have one time and one id,
 * AuditScanTake passes over those that were looked at.
 */
static void
add_cursor(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	int time, id;

	if (query->cursor_text == NULL)
		return;
	time = AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(query->cursor.dispatched_at));
	id = AddParameter(st, TEXTOID, CStringGetTextDatum(query->cursor.id));
	appendStringInfo(&st->sql,
					 " AND a.dispatched_at%s$%d"
					 " AND ROW(a.dispatched_at, a.id" C_ORDER ")%sROW($%d, $%d)",
					 query->newest_first ? LE : GE, time,
					 HasUniquePlaces(table) ? (query->newest_first ? LT : GT)
											: (query->newest_first ? LE : GE),
					 time, id);
}

/*
 * Add what a query asks of a record, whatever its outcome means and whichever actions
 * are picked.
 */
static void
add_filters(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	AddRecordFilters(st, table, query, "a");
	add_cursor(st, table, query);
	appendStringInfoString(&st->sql, " AND a.dispatched_at IS NOT NULL AND a.id IS NOT NULL");
}

/*
 * Add that the outcome is a given one.
 */
static void
add_outcome(Statement *st, const AuditTable *table, const char *outcome)
{
	AddEqual(st, table, "a", RecordColumnNames[COL_OUTCOME], "$%d",
			 AddParameter(st, TEXTOID, CStringGetTextDatum(outcome)));
}

/*
 * Add the condition that a record is old enough, or not, for the gateway to
 * have stopped working on it.  The age is measured against the newest record,
 * because the clock also advances while a gateway is down or being restored.
 */
static void
add_grace(Statement *st, const AuditTable *table, const char *operator)
{
	TimestampTz newest = AuditNewest(table);

	if (!TIMESTAMP_NOT_FINITE(newest))
		newest = TimestampTzPlusMilliseconds(newest, -(int64) IntentGrace * 1000);
	appendStringInfo(&st->sql, " AND a.dispatched_at%s$%d", operator,
					 AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(newest)));
}

/*
 * Add that a record is of the action of another one, and not earlier.  Only the id can be
 * looked up in an index: without statistics, as after a restore, the planner takes two
 * equal columns for more selective than one, and reads all of a tenant for each record.
 */
static void
add_same_action(Statement *st, const AuditTable *table, const char *record, const char *other)
{
	static const RecordColumn columns[] = {COL_ACTION_ID, COL_NAMESPACE, COL_TENANT};

	for (int i = 0; i < lengthof(columns); i++)
	{
		const char *name = RecordColumnNames[columns[i]];

		appendStringInfo(&st->sql, columns[i] == COL_ACTION_ID ? "%s AND " : "(%s) IS TRUE AND ",
						 TextTest(table, record, name, psprintf(EQ "%s.%s", other, name)));
	}
	appendStringInfo(&st->sql, "%s.dispatched_at" GE "%s.dispatched_at", record, other);
}

/*
 * Add that an intent has a companion in a source of records, or has none: an outcome
 * record of the same action, at the same time or later.
 */
static void
add_companion(Statement *st, const AuditTable *table, const char *source, const char *exists,
			  const char *intent)
{
	appendStringInfo(&st->sql, " AND %s (SELECT FROM %s AS c WHERE ", exists, source);
	add_same_action(st, table, "c", intent);
	appendStringInfo(&st->sql, " AND NOT %s)", OutcomeTest(table, "c", INTENT_OUTCOME));
}

/*
 * Add that an intent is, or is not, that of a chain's step.  Its outcome has the
 * id of the action that started the chain.
 */
static void
add_step(Statement *st, const AuditTable *table, bool is_step)
{
	if (table->has[COL_CHAIN_ID])
		appendStringInfo(&st->sql, " AND a.chain_id IS %sNULL", is_step ? "NOT " : "");
	else if (is_step)
		appendStringInfoString(&st->sql, " AND false");
}

/*
 * Add that something is known of a record's action afterwards, or nothing: a record
 * with another effect, an intent without an outcome, or a later record that was lost,
 * too, and that the query finds instead.
 */
static void
add_later(Statement *st, const AuditTable *table, const ReplayQuery *query, const char *source,
		  const char *exists)
{
	appendStringInfo(&st->sql, " AND %s (SELECT FROM %s AS b WHERE ", exists, source);
	add_same_action(st, table, "b", "a");
	appendStringInfo(&st->sql,
					 " AND (NOT %s AND NOT %s OR %s AND b.dispatched_at" GT "a.dispatched_at",
					 OutcomeTest(table, "b", INTENT_OUTCOME), LostTest(table, "b"),
					 OutcomeTest(table, "b", INTENT_OUTCOME));
	add_companion(st, table, source, "NOT EXISTS", "b");
	appendStringInfo(&st->sql,
					 " OR %s AND (b.dispatched_at" GT "a.dispatched_at OR b.id" C_ORDER GT "a.id)",
					 LostTest(table, "b"));
	AddRecordFilters(st, table, query, "b");
	appendStringInfoString(&st->sql, "))");
}

/*
 * Add what is asked of the records with one outcome, NULL for any.  Intent records
 * are no candidates, unless they are what is asked for: then the lone ones, which
 * the gateway cannot be working on any more.
 */
static void
add_conditions(Statement *st, const AuditTable *table, const char *outcome, const char *filters,
			   const CandidateUse *use)
{
	appendStringInfoString(&st->sql, filters);
	if (outcome == NULL)
		appendStringInfo(&st->sql, " AND NOT %s", OutcomeTest(table, "a", INTENT_OUTCOME));
	else
		add_outcome(st, table, outcome);
	if (outcome != NULL && strcmp(outcome, INTENT_OUTCOME) == 0)
	{
		add_grace(st, table, LT);
		if (!use->alone)
			add_companion(st, table, table->quoted_name, "NOT EXISTS", "a");
		add_step(st, table, false);
	}
}

/*
 * The filters of a query as text; their parameters are added to the statement.
 */
static char *
make_filters(Statement *st, const AuditTable *table, const ReplayQuery *query,
			 const CandidateUse *use)
{
	StringInfoData sql = st->sql;
	char *filters;

	initStringInfo(&st->sql);
	if (!use->picked_apart)
		AddPicked(st, table, query);
	if (!use->picked_apart && !use->left_out_apart)
		AddUnpicked(st, table, query);
	if (use->named != NULL)
		AddRecordFilters(st, table, query, "a");
	else
		add_filters(st, table, query);
	AddTimeBound(st, "a", GE, &use->first);
	AddTimeBound(st, "a", LE, &use->last);
	if (use->among != NULL)
		AddEqual(st, table, "a", RecordColumnNames[COL_ACTION_ID], "ANY ($%d)",
				 AddParameter(st, TEXTARRAYOID, PointerGetDatum(use->among)));
	filters = st->sql.data;
	st->sql = sql;
	return filters;
}

/*
 * The order in which a query reads the records, as far as an index has it; nothing
 * where they are read in any.
 */
static const char *
time_order(const ReplayQuery *query, const CandidateUse *use)
{
	if (!use->in_order)
		return "";
	return query->newest_first ? " ORDER BY dispatched_at DESC" : " ORDER BY dispatched_at ASC";
}

/*
 * Add the order in which a query reads the records.
 */
void
AddOrder(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	const char *direction = query->newest_first ? "DESC" : "ASC";

	appendStringInfo(&st->sql, " ORDER BY a.dispatched_at %s, a.id" C_ORDER " %s", direction,
					 direction);
	if (!HasUniquePlaces(table))
		appendStringInfoString(&st->sql, ", a.action_id" C_ORDER ", a.namespace" C_ORDER
										 ", a.tenant" C_ORDER);
}

/*
 * Add the records with several outcomes, as "a": those of each, one after the other,
 * or each in the query's order, which an index on (outcome, dispatched_at) gives, for
 * the server to merge.  only is a further condition for those that were executed.
 */
static void
add_union(Statement *st, const AuditTable *table, int count, const char *const *outcomes,
		  const char *filters, const CandidateUse *use, const char *order, const char *only)
{
	appendStringInfoString(&st->sql, " FROM (");
	for (int i = 0; i < count; i++)
	{
		appendStringInfo(&st->sql, "%s(SELECT a.*", i == 0 ? "" : " UNION ALL ");
		AddRecords(st, table);
		add_conditions(st, table, outcomes[i], filters, use);
		if (strcmp(outcomes[i], EXECUTED_OUTCOME) == 0)
			appendStringInfoString(&st->sql, only);
		appendStringInfo(&st->sql, "%s)", order);
	}
}

/*
 * Add the records that were lost, in the query's order.  Most of the table are
 * executed records, and no index shows which of them had no effect.  So they are
 * first merged by time and then checked: otherwise the server would read through all
 * of them to find the first that is lost, for each page again.  But from a foreign
 * server they would all be fetched; it checks them itself.
 */
static void
add_lost_in_order(Statement *st, const AuditTable *table, const char *filters,
				  const CandidateUse *use, const char *order)
{
	static const char *const outcomes[] = {LOST_OUTCOMES, EXECUTED_OUTCOME};
	const char *only = AuditTableIsRemote(table) ? " AND " HAS_FAILED("a") : "";

	add_union(st, table, lengthof(outcomes), outcomes, filters, use, order, only);
	appendStringInfo(&st->sql, "%s OFFSET 0) AS a WHERE (NOT %s OR " HAS_FAILED("a") ")", order,
					 OutcomeTest(table, "a", EXECUTED_OUTCOME));
}

/*
 * Add the records with one outcome, NULL for any, as "a".  A foreign server sorts by
 * the time, but would not by the id as this one compares it; so the order by time
 * stands for itself.
 */
static void
add_of_outcome(Statement *st, const AuditTable *table, const char *outcome, const char *filters,
			   const CandidateUse *use, const char *order)
{
	bool apart = order[0] != '\0' && AuditTableIsRemote(table);

	if (apart)
		appendStringInfoString(&st->sql, " FROM (SELECT a.*");
	AddRecords(st, table);
	add_conditions(st, table, outcome, filters, use);
	if (apart)
		appendStringInfo(&st->sql, "%s OFFSET 0) AS a WHERE true", order);
}

/*
 * Whether a valid index finds records by a column.
 */
bool
HasIndexOn(const AuditTable *table, RecordColumn column)
{
	List *indexes = RelationGetIndexList(table->rel);
	bool found = false;
	ListCell *lc;

	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);

		found |= index->rd_index->indisvalid && index->rd_rel->relam == BTREE_AM_OID &&
				 index->rd_index->indkey.values[0] == table->columns[column] &&
				 !IsPartialIndex(index);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
}

/*
 * Add that a record has one of the outcomes that a query asks for.
 */
static void
add_outcomes_at_once(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	CandidateUse alone = {.alone = true};

	if (query->lost)
		appendStringInfo(&st->sql, " AND %s", LostTest(table, "a"));
	else if (query->outcome_count == 0)
		add_conditions(st, table, NULL, "", &alone);
	else
	{
		appendStringInfoString(&st->sql, " AND (false");
		for (int i = 0; i < query->outcome_count; i++)
		{
			appendStringInfoString(&st->sql, " OR (true");
			add_conditions(st, table, query->outcomes[i], "", &alone);
			appendStringInfoChar(&st->sql, ')');
		}
		appendStringInfoChar(&st->sql, ')');
	}
}

/*
 * Add that an intent has no companion, if a query asks for intents among others and the
 * caller does not check that.
 */
static void
add_lone(Statement *st, const AuditTable *table, const ReplayQuery *query, const CandidateUse *use)
{
	if (use->alone || !AsksForOutcome(query, INTENT_OUTCOME))
		return;
	appendStringInfo(&st->sql, " AND (NOT %s OR true", OutcomeTest(table, "a", INTENT_OUTCOME));
	add_companion(st, table, table->quoted_name, "NOT EXISTS", "a");
	appendStringInfoChar(&st->sql, ')');
}

/*
 * Add the records that are named and are candidates of a query, as "a".  Their times,
 * which the query has found to be right, say in which partitions they are.  They are
 * searched one by one if an index has the ids: the planner cannot know that another
 * index would find a great many of the same time.  Elsewhere, and on a foreign server,
 * all are searched for at once.
 */
static void
add_named_candidates(Statement *st, const AuditTable *table, const ReplayQuery *query,
					 const char *filters, const CandidateUse *use)
{
	int ids = AddParameter(st, TEXTARRAYOID, PointerGetDatum(use->named->ids));
	bool one_by_one = !AuditTableIsRemote(table) && HasIndexOn(table, COL_ID);

	if (one_by_one)
		appendStringInfo(&st->sql,
						 " FROM pg_catalog.unnest($%d) AS k (id) CROSS JOIN LATERAL (SELECT a.*",
						 ids);
	AddRecords(st, table);
	if (one_by_one)
		appendStringInfo(&st->sql, " AND %s",
						 TextTest(table, "a", RecordColumnNames[COL_ID], EQ "k.id"));
	else
		AddEqual(st, table, "a", RecordColumnNames[COL_ID], "ANY ($%d)", ids);
	appendStringInfo(&st->sql, " AND a.dispatched_at" GE "$%d AND a.dispatched_at" LE "$%d%s",
					 AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(use->named->first)),
					 AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(use->named->last)),
					 filters);
	add_outcomes_at_once(st, table, query);
	if (one_by_one)
		appendStringInfoString(&st->sql, " OFFSET 0) AS a WHERE true");
	add_lone(st, table, query, use);
}

/*
 * Add the records of hand-picked actions that are candidates of a query, as "a".  They
 * are found by the action ids, once, whatever else is asked for and however few of them
 * are wanted: in the order of time most of the table might come before them.
 */
static void
add_picked_candidates(Statement *st, const AuditTable *table, const ReplayQuery *query,
					  const char *filters, const CandidateUse *use)
{
	appendStringInfoString(&st->sql, " FROM (SELECT a.*");
	AddRecords(st, table);
	appendStringInfoString(&st->sql, filters);
	add_outcomes_at_once(st, table, query);
	appendStringInfoString(&st->sql, " OFFSET 0) AS a WHERE true");
	add_lone(st, table, query, use);
}

/*
 * Add the records that are candidates of a query, as "a".
 */
void
AddCandidates(Statement *st, const AuditTable *table, const ReplayQuery *query,
			  const CandidateUse *use)
{
	const char *filters = make_filters(st, table, query, use);
	const char *order = time_order(query, use);

	if (use->named != NULL)
		add_named_candidates(st, table, query, filters, use);
	else if (query->action_ids.given)
		add_picked_candidates(st, table, query, filters, use);
	else if (query->lost && use->in_order)
		add_lost_in_order(st, table, filters, use, order);
	else if (query->lost)
	{
		AddRecords(st, table);
		appendStringInfo(&st->sql, "%s AND %s", filters, LostTest(table, "a"));
	}
	else if (query->outcome_count > 1)
	{
		add_union(st, table, query->outcome_count, (const char *const *) query->outcomes, filters,
				  use, order, "");
		appendStringInfoString(&st->sql, ") AS a WHERE true");
	}
	else
		add_of_outcome(st, table, query->outcome_count == 0 ? NULL : query->outcomes[0], filters,
					   use, order);
	if (query->lost && !use->alone)
		add_later(st, table, query, table->quoted_name, "NOT EXISTS");
}

/*
 * Whether other records of its action decide whether a record is a candidate.
 */
bool
DependsOnOthers(const ReplayQuery *query)
{
	return query->lost || AsksForOutcome(query, INTENT_OUTCOME);
}

/*
 * Add that the other records of its action, which are in a source, make "a" no
 * candidate, for a query that depends on them.
 */
void
AddKnownOtherwise(Statement *st, const AuditTable *table, const ReplayQuery *query,
				  const char *source)
{
	if (query->lost)
		add_later(st, table, query, source, "EXISTS");
	else
	{
		appendStringInfoString(&st->sql, " AND a.is_intent");
		add_companion(st, table, source, "EXISTS", "a");
	}
}

/*
 * Add the records that a query, which was given an end, would find after it.  The
 * clock of the gateway may be a little ahead, and records are written meanwhile.
 */
static bool
add_future(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	static const CandidateUse use = {.in_order = false};
	ReplayQuery later = *query;

	if (!query->is_cut)
		return false;
	later.from = (OptionalTime){true, query->to.time + FUTURE_TOLERANCE};
	later.to = query->uncut_to;
	AddCandidates(st, table, &later, &use);
	return true;
}

/*
 * Add the records that have no place in the order of a search, as far as a query asks
 * for them.
 */
static bool
add_no_place(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	ReplayQuery uncut = *query;

	if (IsNeverNull(table, COL_ID) && IsNeverNull(table, COL_DISPATCHED_AT))
		return false;
	if (query->is_cut)
		uncut.to = query->uncut_to;
	AddRecords(st, table);
	AddRecordFilters(st, table, &uncut, "a");
	AddPicked(st, table, query);
	AddUnpicked(st, table, query);
	appendStringInfoString(&st->sql, " AND (a.id IS NULL OR a.dispatched_at IS NULL)");
	if (query->lost)
		appendStringInfo(&st->sql, " AND %s", LostTest(table, "a"));
	else if (query->outcome_count == 0)
		appendStringInfo(&st->sql, " AND NOT %s", OutcomeTest(table, "a", INTENT_OUTCOME));
	else
		AddEqual(st, table, "a", RecordColumnNames[COL_OUTCOME], "ANY ($%d)",
				 AddParameter(st, TEXTARRAYOID, OutcomeArray(query)));
	return true;
}

/*
 * Add what makes a record no candidate although the filters match it.  Returns
 * false if there are no such records.
 */
bool
AddLeftOut(Statement *st, const AuditTable *table, const ReplayQuery *query, LeftOut which)
{
	if (which == LEFT_OUT_FUTURE)
		return add_future(st, table, query);
	if (which == LEFT_OUT_NO_PLACE)
		return add_no_place(st, table, query);
	AddRecords(st, table);
	add_filters(st, table, query);
	AddPicked(st, table, query);
	AddUnpicked(st, table, query);
	appendStringInfo(&st->sql, " AND %s", OutcomeTest(table, "a", INTENT_OUTCOME));
	if (which == LEFT_OUT_INTENT)
		return query->outcome_count == 0 && !query->lost;
	if (!AsksForOutcome(query, INTENT_OUTCOME))
		return false;
	add_step(st, table, which == LEFT_OUT_STEP);
	if (which == LEFT_OUT_STEP)
		return true;
	add_grace(st, table, which == LEFT_OUT_YOUNG ? GE : LT);
	if (which == LEFT_OUT_FINISHED)
		add_companion(st, table, table->quoted_name, "EXISTS", "a");
	return true;
}

/*
 * Whether a query compares a column for equality.
 */
static bool
is_compared(const AuditTable *table, AttrNumber column, const ReplayQuery *query)
{
	for (int i = 0; i < NUM_TEXT_FILTERS; i++)
	{
		if (query->filters[i] != NULL && column == AuditColumn(table, TextFilterNames[i]))
			return true;
	}
	/* So it is in each part of the statement. */
	return query->lost && column == AuditColumn(table, RecordColumnNames[COL_OUTCOME]);
}

/* What an index can do for a query. */
typedef enum IndexUse
{
	INDEX_OF_NO_USE,
	INDEX_GIVES_TIME,        /* columns that the query compares, then dispatched_at */
	INDEX_GIVES_TIME_AND_ID, /* the same, then id, by its bytes */
	INDEX_FINDS_FEW          /* nothing but columns that the query compares */
} IndexUse;

/*
 * Whether the key column of an index behind one on the time is the id in the order of
 * the query, so that the index has both.
 */
static bool
continues_with_id(const AuditTable *table, Relation index, int key)
{
	Form_pg_index form = index->rd_index;

	return key + 1 < form->indnkeyatts &&
		   form->indkey.values[key + 1] == AuditColumn(table, RecordColumnNames[COL_ID]) &&
		   index->rd_indcollation[key + 1] == C_COLLATION_OID &&
		   index->rd_indoption[key] == index->rd_indoption[key + 1];
}

/*
 * Determine how an index can be used for a query.  That of a partitioned table is
 * invalid as long as one partition has none; the others have it.
 */
static IndexUse
index_use(const AuditTable *table, Relation index, const ReplayQuery *query)
{
	Form_pg_index form = index->rd_index;
	AttrNumber order = AuditColumn(table, RecordColumnNames[COL_DISPATCHED_AT]);
	bool partitioned = index->rd_rel->relkind == RELKIND_PARTITIONED_INDEX;

	if (!form->indisvalid && !partitioned)
		return INDEX_OF_NO_USE;
	for (int k = 0; k < form->indnkeyatts; k++)
	{
		AttrNumber column = form->indkey.values[k];

		if (!HasCollationOf(index, k, table->rel))
			return INDEX_OF_NO_USE;

		if (column == order && k > 0 && index->rd_rel->relam == BTREE_AM_OID &&
			!IsPartialIndex(index))
			return form->indisvalid && continues_with_id(table, index, k) ? INDEX_GIVES_TIME_AND_ID
																		  : INDEX_GIVES_TIME;
		if (!is_compared(table, column, query))
			return INDEX_OF_NO_USE;
	}
	return form->indisvalid ? INDEX_FINDS_FEW : INDEX_OF_NO_USE;
}

/* What the indexes of a table can do for a query. */
typedef struct IndexUses
{
	bool few;
	bool time;
	bool time_and_id;
	bool everywhere; /* a valid one gives the time */
} IndexUses;

/*
 * Find out what the indexes can do.
 */
static IndexUses
index_uses(const AuditTable *table, const ReplayQuery *query)
{
	List *indexes = RelationGetIndexList(table->rel);
	IndexUses uses = {0};
	ListCell *lc;

	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);
		IndexUse use = index_use(table, index, query);

		uses.few |= use == INDEX_FINDS_FEW;
		uses.time |= use == INDEX_GIVES_TIME || use == INDEX_GIVES_TIME_AND_ID;
		uses.time_and_id |= use == INDEX_GIVES_TIME_AND_ID;
		uses.everywhere |= use != INDEX_OF_NO_USE && index->rd_index->indisvalid;
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return uses;
}

/*
 * How far a valid index has the records in the order of a query.  One that finds just
 * the records that are asked for, as the one on chain_id does, is better than that.
 * A foreign server is supposed to have the gateway's own indexes.  But it looks for
 * executed records that were lost as far as there are any (see add_lost_in_order).
 */
IndexOrder
OrderOfIndexes(const AuditTable *table, const ReplayQuery *query)
{
	IndexUses uses = index_uses(table, query);

	if (query->action_ids.given)
		return ORDER_BY_NOTHING; /* they are searched for by their actions */
	if (AuditTableIsRemote(table))
		return query->lost ? ORDER_BY_NOTHING : ORDER_BY_TIME;
	if (uses.few || !uses.everywhere)
		return ORDER_BY_NOTHING;
	return uses.time_and_id ? ORDER_BY_TIME_AND_ID : ORDER_BY_TIME;
}

/*
 * Tell the planner what it cannot know: that we stop early, so that reading in
 * the order of an index is better than collecting and sorting all matches,
 * whatever the statistics say.  If no index provides the order, the planner
 * decides alone; a foreign server is asked for it.  Partitions without the index
 * are sorted; a block range index can then say where to begin.
 */
void
GuidePlanner(const AuditTable *table, const ReplayQuery *query)
{
	static const char *const settings[][2] = {
		{"enable_seqscan", "off"},   {"enable_bitmapscan", "off"},
		{"enable_sort", "off"},      {"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"}, {"enable_material", "off"},
		{"enable_indexscan", "on"},  {"enable_incremental_sort", "on"},
		{"enable_nestloop", "on"},   {"jit", "off"},
	};
	IndexUses uses;

	if (query->action_ids.given)
	{
		SetLocally("enable_seqscan", "off");
		SetLocally("jit", "off");
		return;
	}
	uses = index_uses(table, query);
	if (!AuditTableIsRemote(table) && (!uses.time || uses.few))
		return;
	for (int i = 0; i < lengthof(settings); i++)
		SetLocally(settings[i][0], settings[i][1]);
	if (!uses.everywhere)
		SetLocally("enable_bitmapscan", "on");
}

/*
 * Run a statement as the audit table's owner and by indexes, whatever the statistics say.
 * Leaves at most so many rows, 0 for all, in SPI_tuptable.  Needs an SPI connection; keeps
 * the current memory context.
 */
void
ReadByIndexes(const AuditTable *table, Statement *st, long most)
{
	MemoryContext old = CurrentMemoryContext;
	Identity caller;

	SwitchIdentity(&caller, table->owner);
	SetLocally("enable_seqscan", "off");
	SetLocally("jit", "off");
	if (SPI_execute_with_args(st->sql.data, st->nargs, st->types, st->values, NULL, true, most) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read audit table: %s", SPI_result_code_string(SPI_result));
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
}

/*
 * Fetch the next rows of a cursor as the audit table's owner, at most so many, into
 * SPI_tuptable.  Returns how many there are; keeps the current memory context.
 */
uint64
FetchRows(const AuditTable *table, Portal portal, long most)
{
	MemoryContext old = CurrentMemoryContext;
	Identity caller;

	CHECK_FOR_INTERRUPTS();
	SwitchIdentity(&caller, table->owner);
	SPI_cursor_fetch(portal, true, most);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
	return SPI_processed;
}
