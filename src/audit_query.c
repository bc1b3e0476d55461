/*
 * audit_query.c
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
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit_query.h"
#include "identity.h"
#include "settings.h"

/*
 * Begin a statement, with nothing in it yet.
 */
void
BeginStatement(Statement *st)
{
	initStringInfo(&st->sql);
	st->nargs = 0;
}

/*
 * Add a parameter; returns its number.
 */
int
AddParameter(Statement *st, Oid type, Datum value)
{
	Assert(st->nargs < lengthof(st->types));
	st->types[st->nargs] = type;
	st->values[st->nargs] = value;
	return ++st->nargs;
}

/*
 * Begin a statement that selects the records' columns from the table, as "a".
 */
void
SelectRecords(Statement *st, const AuditTable *table)
{
	BeginStatement(st);
	for (int i = 0; i < NUM_RECORD_COLUMNS; i++)
	{
		bool exists = i != COL_ATTACHMENTS || table->has_attachments;

		appendStringInfo(&st->sql, "%s %s%s", i == 0 ? "SELECT" : ",",
						 exists ? "a." : "NULL::pg_catalog.jsonb AS ", RecordColumnNames[i]);
	}
	appendStringInfo(&st->sql, " FROM %s AS a WHERE true", table->quoted_name);
}

/*
 * Add the text filters that were given.
 */
static void
add_text_filters(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	for (int i = 0; i < NUM_TEXT_FILTERS; i++)
	{
		const char *name = TextFilterNames[i];

		if (query->filters[i] == NULL)
			continue;
		if (AuditColumn(table, name) == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("cannot filter by %s: audit table %s has no such column", name,
							table->quoted_name),
					 errhint("This gateway's version does not record it; leave the filter out.")));
		CheckAuditColumn(table, name, TEXTOID);
		appendStringInfo(&st->sql, " AND a.%s" EQ "$%d", name,
						 AddParameter(st, TEXTOID, CStringGetTextDatum(query->filters[i])));
	}
}

/*
 * Add one bound of the time range.
 */
static void
add_time_bound(Statement *st, const char *operator, const OptionalTime * bound)
{
	if (bound->given)
		appendStringInfo(&st->sql, " AND a.dispatched_at%s$%d", operator,
						 AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(bound->time)));
}

/*
 * Add the cursor.  The plain comparison of dispatched_at is what an index can
 * use; the rest decides among records of the same time.
 */
static void
add_cursor(Statement *st, const ReplayQuery *query)
{
	int time, id;

	if (query->cursor_text == NULL)
		return;
	time = AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(query->cursor.dispatched_at));
	id = AddParameter(st, TEXTOID, CStringGetTextDatum(query->cursor.id));
	if (query->newest_first)
		appendStringInfo(&st->sql,
						 " AND a.dispatched_at" LE "$%d"
						 " AND (a.dispatched_at" LT "$%d OR a.id" C_ORDER LT "$%d)",
						 time, time, id);
	else
		appendStringInfo(&st->sql,
						 " AND a.dispatched_at" GE "$%d"
						 " AND (a.dispatched_at" GT "$%d OR a.id" C_ORDER GT "$%d)",
						 time, time, id);
}

/*
 * Add what a query asks of a record, whatever its outcome means.
 */
static void
add_filters(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	add_text_filters(st, table, query);
	add_time_bound(st, GE, &query->from);
	add_time_bound(st, LE, &query->to);
	add_cursor(st, query);
	appendStringInfoString(&st->sql, " AND a.dispatched_at IS NOT NULL AND a.id IS NOT NULL");
}

/*
 * Whether a query asks for intent records.
 */
static bool
asks_for_intents(const ReplayQuery *query)
{
	const char *outcome = query->filters[FILTER_OUTCOME];

	return outcome != NULL && strcmp(outcome, INTENT_OUTCOME) == 0;
}

/*
 * Add that a record is old enough, or not, for the gateway not to be working on
 * it any more.
 */
static void
add_grace(Statement *st, const char *operator)
{
	TimestampTz newest =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -(int64) IntentGrace * 1000);

	appendStringInfo(&st->sql, " AND a.dispatched_at%s$%d", operator,
					 AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(newest)));
}

/*
 * Add that an intent has a companion, or has none: an outcome record of the same
 * action, at the same time or later.
 */
static void
add_companion(Statement *st, const AuditTable *table, const char *exists)
{
	appendStringInfo(&st->sql,
					 " AND %s (SELECT FROM %s AS b"
					 " WHERE b.action_id" EQ "a.action_id AND b.namespace" EQ "a.namespace"
					 " AND b.tenant" EQ "a.tenant AND b.dispatched_at" GE "a.dispatched_at"
					 " AND " IS_NO_INTENT("b") ")",
					 exists, table->quoted_name);
}

/*
 * Add all that makes a record a candidate.  Intent records are none, unless they
 * are what is asked for: then the lone ones, which the gateway cannot be working
 * on any more.
 */
void
AddConditions(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	add_filters(st, table, query);
	if (query->filters[FILTER_OUTCOME] == NULL)
		appendStringInfoString(&st->sql, " AND " IS_NO_INTENT("a"));
	else if (asks_for_intents(query))
	{
		add_grace(st, LT);
		add_companion(st, table, "NOT EXISTS");
	}
}

/*
 * Add what makes a record no candidate although the filters match it.  Returns
 * false if there are no such records.
 */
bool
AddLeftOut(Statement *st, const AuditTable *table, const ReplayQuery *query, LeftOut which)
{
	add_filters(st, table, query);
	switch (which)
	{
		case LEFT_OUT_INTENT:
			appendStringInfoString(&st->sql, " AND " IS_INTENT("a"));
			return query->filters[FILTER_OUTCOME] == NULL;
		case LEFT_OUT_YOUNG:
			add_grace(st, GE);
			return asks_for_intents(query);
		case LEFT_OUT_FINISHED:
			add_grace(st, LT);
			add_companion(st, table, "EXISTS");
			return asks_for_intents(query);
	}
	return false;
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
	return false;
}

/* What an index can do for a query. */
typedef enum IndexUse
{
	INDEX_OF_NO_USE,
	INDEX_GIVES_ORDER, /* columns that the query compares, then dispatched_at */
	INDEX_FINDS_FEW    /* nothing but columns that the query compares */
} IndexUse;

/*
 * Tell what an index can do for a query.
 */
static IndexUse
index_use(const AuditTable *table, Relation index, const ReplayQuery *query)
{
	Form_pg_index form = index->rd_index;
	AttrNumber order = AuditColumn(table, RecordColumnNames[COL_DISPATCHED_AT]);

	if (!form->indisvalid)
		return INDEX_OF_NO_USE;
	for (int k = 0; k < form->indnkeyatts; k++)
	{
		AttrNumber column = form->indkey.values[k];

		if (column == order && k > 0 && index->rd_rel->relam == BTREE_AM_OID &&
			RelationGetIndexPredicate(index) == NIL)
			return INDEX_GIVES_ORDER;
		if (!is_compared(table, column, query))
			return INDEX_OF_NO_USE;
	}
	return INDEX_FINDS_FEW;
}

/*
 * Whether the records are best read in the order of an index: one can deliver
 * it, and none is made to find just the records that are asked for, as the one
 * on chain_id is.
 */
static bool
order_comes_from_index(const AuditTable *table, const ReplayQuery *query)
{
	List *indexes = RelationGetIndexList(table->rel);
	bool ordered = false;
	bool few = false;
	ListCell *lc;

	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);
		IndexUse use = index_use(table, index, query);

		ordered |= use == INDEX_GIVES_ORDER;
		few |= use == INDEX_FINDS_FEW;
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return ordered && !few;
}

/*
 * Tell the planner what we know and it does not: that we stop early, so that
 * reading in the order of an index beats collecting and sorting all matches,
 * whatever the statistics say.  Where no index has the order it decides alone.
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

	if (!order_comes_from_index(table, query))
		return;
	for (int i = 0; i < lengthof(settings); i++)
		SetLocally(settings[i][0], settings[i][1]);
}
