/*
 * audit.c
 *		Which records are picked, and what is in them.
 *
 * A record is a row of the gateway's audit table.  The table is read through
 * SPI, as its owner, with one statement built from the filters that were
 * given: quoted identifiers, operators of pg_catalog, values as parameters.
 * Columns that the gateway added in later versions are read only where a
 * filter asks for them.  audit_table.c finds and checks the table.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit.h"
#include "identity.h"
#include "settings.h"

#define INTENT_OUTCOME "pending"

/* Operators and the sort order of ids, spelt so that nobody can plant others. */
#define EQ " OPERATOR(pg_catalog.=) "
#define NE " OPERATOR(pg_catalog.<>) "
#define LT " OPERATOR(pg_catalog.<) "
#define LE " OPERATOR(pg_catalog.<=) "
#define GT " OPERATOR(pg_catalog.>) "
#define GE " OPERATOR(pg_catalog.>=) "
#define C_ORDER " COLLATE pg_catalog.\"C\""
#define IS_INTENT(alias) alias ".outcome" EQ "'" INTENT_OUTCOME "'::pg_catalog.text"
#define IS_NO_INTENT(alias) alias ".outcome" NE "'" INTENT_OUTCOME "'::pg_catalog.text"

/* A statement that is being built, with its parameters. */
typedef struct Statement
{
	StringInfoData sql;
	int nargs;
	Oid types[NUM_TEXT_FILTERS + 5];
	Datum values[NUM_TEXT_FILTERS + 5];
} Statement;

/* ----------------------------------------------------------------
 * The statement
 * ----------------------------------------------------------------
 */

/*
 * Add a parameter; returns its number.
 */
static int
add_parameter(Statement *st, Oid type, Datum value)
{
	Assert(st->nargs < lengthof(st->types));
	st->types[st->nargs] = type;
	st->values[st->nargs] = value;
	return ++st->nargs;
}

/*
 * Begin a statement: the record's columns from the table, as "a".
 */
static void
begin_select(Statement *st, const AuditTable *table)
{
	initStringInfo(&st->sql);
	st->nargs = 0;
	for (int i = 0; i < NUM_RECORD_COLUMNS; i++)
		appendStringInfo(&st->sql, "%s a.%s", i == 0 ? "SELECT" : ",", RecordColumnNames[i]);
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
						 add_parameter(st, TEXTOID, CStringGetTextDatum(query->filters[i])));
	}
}

/*
 * Leave intent records out, unless they are what is asked for: then only lone
 * ones, which the gateway cannot be working on any more.  An outcome record of
 * the same action, at the same time or later, is a companion.
 */
static void
add_intent_rule(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	const char *outcome = query->filters[FILTER_OUTCOME];

	if (outcome == NULL)
		appendStringInfoString(&st->sql, " AND " IS_NO_INTENT("a"));
	else if (strcmp(outcome, INTENT_OUTCOME) == 0)
	{
		TimestampTz newest =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -(int64) IntentGrace * 1000);

		appendStringInfo(&st->sql,
						 " AND a.dispatched_at" LT "$%d"
						 " AND NOT EXISTS (SELECT FROM %s AS b"
						 " WHERE b.action_id" EQ "a.action_id AND b.namespace" EQ "a.namespace"
						 " AND b.tenant" EQ "a.tenant AND b.dispatched_at" GE "a.dispatched_at"
						 " AND " IS_NO_INTENT("b") ")",
						 add_parameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(newest)),
						 table->quoted_name);
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
						 add_parameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(bound->time)));
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
	time = add_parameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(query->cursor.dispatched_at));
	id = add_parameter(st, TEXTOID, CStringGetTextDatum(query->cursor.id));
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
 * Add all that a query asks of a record.
 */
static void
add_conditions(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	add_text_filters(st, table, query);
	add_intent_rule(st, table, query);
	add_time_bound(st, GE, &query->from);
	add_time_bound(st, LE, &query->to);
	add_cursor(st, query);
	appendStringInfoString(&st->sql, " AND a.dispatched_at IS NOT NULL AND a.id IS NOT NULL");
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
static void
guide_planner(const AuditTable *table, const ReplayQuery *query)
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

/* ----------------------------------------------------------------
 * Records
 * ----------------------------------------------------------------
 */

/*
 * A text column of a row; notes the column as missing if it is NULL.
 */
static text *
text_column(AuditRecord *record, const Datum *values, const bool *nulls, RecordColumn column)
{
	if (nulls[column])
	{
		record->missing = RecordColumnNames[column];
		return NULL;
	}
	return DatumGetTextPP(values[column]);
}

/*
 * Take a row apart, in the current memory context.
 */
static void
read_record(AuditRecord *record, HeapTuple row, TupleDesc desc)
{
	Datum values[NUM_RECORD_COLUMNS];
	bool nulls[NUM_RECORD_COLUMNS];
	text *outcome;

	heap_deform_tuple(row, desc, values, nulls);
	record->missing = NULL;
	record->id = text_column(record, values, nulls, COL_ID);
	record->action_id = text_column(record, values, nulls, COL_ACTION_ID);
	record->namespace = text_column(record, values, nulls, COL_NAMESPACE);
	record->tenant = text_column(record, values, nulls, COL_TENANT);
	record->provider = text_column(record, values, nulls, COL_PROVIDER);
	record->action_type = text_column(record, values, nulls, COL_ACTION_TYPE);
	outcome = text_column(record, values, nulls, COL_OUTCOME);
	record->is_intent = outcome != NULL && VARSIZE_ANY_EXHDR(outcome) == strlen(INTENT_OUTCOME) &&
						memcmp(VARDATA_ANY(outcome), INTENT_OUTCOME, strlen(INTENT_OUTCOME)) == 0;
	record->dispatched_at =
		nulls[COL_DISPATCHED_AT] ? 0 : DatumGetTimestampTz(values[COL_DISPATCHED_AT]);
	record->payload = values[COL_PAYLOAD];
	record->has_payload = !nulls[COL_PAYLOAD];
	record->metadata = values[COL_METADATA];
	record->has_metadata = !nulls[COL_METADATA];
}

/*
 * The plan of a statement, kept for the next call: single replays ask the same
 * statement again and again.  There is one audit table, so one plan is enough.
 */
static SPIPlanPtr
kept_plan(Statement *st)
{
	static char *kept_sql = NULL;
	static SPIPlanPtr kept = NULL;
	SPIPlanPtr plan;

	if (kept_sql != NULL && strcmp(kept_sql, st->sql.data) == 0)
		return kept;
	plan = SPI_prepare(st->sql.data, st->nargs, st->types);
	if (plan == NULL)
		elog(ERROR, "could not prepare reading of audit table: %s",
			 SPI_result_code_string(SPI_result));
	if (kept_sql != NULL)
	{
		pfree(kept_sql);
		kept_sql = NULL;
		SPI_freeplan(kept);
	}
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep plan");
	kept = plan;
	kept_sql = MemoryContextStrdup(TopMemoryContext, st->sql.data);
	return kept;
}

/*
 * A copy of a text of a record, or NULL.
 */
static text *
copy_text(const text *value)
{
	return value == NULL ? NULL
						 : (text *) DatumGetPointer(datumCopy(PointerGetDatum(value), false, -1));
}

/*
 * Copy a record into the current memory context.  Toasted values stay toasted:
 * they are small until they are needed.
 */
void
CopyAuditRecord(AuditRecord *copy, const AuditRecord *record)
{
	*copy = *record;
	copy->id = copy_text(record->id);
	copy->action_id = copy_text(record->action_id);
	copy->namespace = copy_text(record->namespace);
	copy->tenant = copy_text(record->tenant);
	copy->provider = copy_text(record->provider);
	copy->action_type = copy_text(record->action_type);
	if (record->has_payload)
		copy->payload = datumCopy(record->payload, false, -1);
	if (record->has_metadata)
		copy->metadata = datumCopy(record->metadata, false, -1);
}

/*
 * Find the record of an action: the one with the greatest dispatched_at, an
 * outcome record before an intent record of the same time.  Returns false if
 * there is none.  Needs an SPI connection; the record lives as long as that.
 */
bool
AuditFindAction(const AuditTable *table, const char *action_id, AuditRecord *record)
{
	Statement st;
	Identity caller;
	SPIPlanPtr plan;
	bool found;

	begin_select(&st, table);
	appendStringInfo(&st.sql,
					 " AND a.action_id" EQ
					 "$%d ORDER BY a.dispatched_at DESC, (" IS_INTENT("a") "), a.id" C_ORDER
																		   " DESC LIMIT 1",
					 add_parameter(&st, TEXTOID, CStringGetTextDatum(action_id)));

	SwitchIdentity(&caller, table->owner);
	plan = kept_plan(&st);
	if (SPI_execute_plan(plan, st.values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read audit table: %s", SPI_result_code_string(SPI_result));
	RestoreIdentity(&caller);

	found = SPI_processed > 0;
	if (found)
		read_record(record, SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
	return found;
}

/*
 * How many records match a query, max_records at most.  Needs an SPI
 * connection.
 */
int64
AuditCount(const AuditTable *table, const ReplayQuery *query)
{
	Statement st = {.nargs = 0};
	Identity caller;
	bool isnull;

	initStringInfo(&st.sql);
	appendStringInfo(&st.sql, "SELECT pg_catalog.count(*) FROM (SELECT FROM %s AS a WHERE true",
					 table->quoted_name);
	add_conditions(&st, table, query);
	if (query->max_records != ANY_NUMBER)
		appendStringInfo(&st.sql, " LIMIT %d", query->max_records);
	appendStringInfoString(&st.sql, ") AS matching");
	SwitchIdentity(&caller, table->owner);
	if (SPI_execute_with_args(st.sql.data, st.nargs, st.types, st.values, NULL, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not count audit records: %s", SPI_result_code_string(SPI_result));
	RestoreIdentity(&caller);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * Begin a search for the records that match a query, in the query's order.
 * Needs an SPI connection.
 */
void
AuditScanBegin(AuditScan *scan, const AuditTable *table, const ReplayQuery *query)
{
	MemoryContext old = CurrentMemoryContext;
	Statement st;
	Identity caller;
	const char *direction = query->newest_first ? "DESC" : "ASC";

	begin_select(&st, table);
	add_conditions(&st, table, query);
	appendStringInfo(&st.sql, " ORDER BY a.dispatched_at %s, a.id" C_ORDER " %s", direction,
					 direction);

	memset(scan, 0, sizeof(*scan));
	scan->table = table;
	scan->next_fetch = query->max_records + 1; /* one more tells whether there are more */
	SwitchIdentity(&caller, table->owner);
	guide_planner(table, query);
	scan->portal = SPI_cursor_open_with_args(NULL, st.sql.data, st.nargs, st.types, st.values, NULL,
											 true, CURSOR_OPT_FAST_PLAN);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old);
}

/*
 * Fetch rows, unless some are left from the fetch before.  Later fetches grow:
 * they are needed where records are passed over, perhaps a great many.
 */
static void
fetch_rows(AuditScan *scan)
{
	MemoryContext old = CurrentMemoryContext;
	Identity caller;

	if (scan->taken < scan->count || scan->exhausted)
		return;
	if (scan->rows != NULL)
		SPI_freetuptable(scan->rows);
	SwitchIdentity(&caller, scan->table->owner);
	SPI_cursor_fetch(scan->portal, true, scan->next_fetch);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
	scan->rows = SPI_tuptable;
	scan->count = SPI_processed;
	scan->taken = 0;
	scan->exhausted = scan->count < scan->next_fetch;
	scan->next_fetch = Min(scan->next_fetch * 2, MAX_RECORDS_LIMIT);
}

/*
 * Take the next records of a search, at most as many as wanted; fewer do not
 * mean that there are no more, none do.  They live until the next call; the
 * array is made in the current memory context.
 */
int
AuditScanTake(AuditScan *scan, int want, AuditRecord **records)
{
	int count;

	fetch_rows(scan);
	count = (int) Min(scan->count - scan->taken, want);
	*records = palloc(Max(count, 1) * sizeof(AuditRecord));
	for (int i = 0; i < count; i++)
		read_record(&(*records)[i], scan->rows->vals[scan->taken++], scan->rows->tupdesc);
	return count;
}

/*
 * Whether there are records that have not been taken.  Ends the life of those
 * that have.
 */
bool
AuditScanHasMore(AuditScan *scan)
{
	fetch_rows(scan);
	return scan->taken < scan->count;
}

/*
 * End a search.
 */
void
AuditScanEnd(AuditScan *scan)
{
	if (scan->rows != NULL)
		SPI_freetuptable(scan->rows);
	SPI_cursor_close(scan->portal);
}
