/*
 * record_list.c
 *		The list of records that the gateway's own interface has.
 *
 * It has every record that the filters match, intents among them, the newest first, as
 * far as a grant of the caller covers it.  What grants name narrows the statement; which
 * records they cover is decided here, row by row, since a caller may have any number of
 * them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timestamp.h"

#include "audit/audit_sql.h"
#include "audit/filter_sql.h"
#include "audit/gateway_record.h"
#include "audit/record_list.h"
#include "base/identity.h"
#include "base/operators.h"

#define LIKE " OPERATOR(pg_catalog.~~) "

/* Rows that are fetched at once. */
#define FETCHED_ROWS 1000

/* Where grants name more values than this, comparing each with every row takes longer. */
#define MAX_NAMED 50

/* The columns that grants are about. */
static const RecordColumn granted_columns[NUM_GRANT_FIELDS] = {
	[GRANT_TENANT] = COL_TENANT,
	[GRANT_NAMESPACE] = COL_NAMESPACE,
	[GRANT_PROVIDER] = COL_PROVIDER,
	[GRANT_ACTION_TYPE] = COL_ACTION_TYPE,
};

/* ----------------------------------------------------------------
 * Conditions
 * ----------------------------------------------------------------
 */

/*
 * An array of texts as a parameter; returns its number.
 */
static int
add_texts(Statement *st, Datum *texts, int count)
{
	return AddParameter(st, TEXTARRAYOID,
						PointerGetDatum(
							construct_array(texts, count, TEXTOID, -1, false, TYPALIGN_INT)));
}

/*
 * The pattern of LIKE for what is below a tenant: its name, a dot, and something more.
 */
static Datum
pattern_below(const char *tenant)
{
	StringInfoData pattern;

	initStringInfo(&pattern);
	for (; *tenant != '\0'; tenant++)
	{
		if (strchr("%_\\", *tenant) != NULL)
			appendStringInfoChar(&pattern, '\\');
		appendStringInfoChar(&pattern, *tenant);
	}
	appendStringInfoString(&pattern, "._%");
	return CStringGetTextDatum(pattern.data);
}

/*
 * Add that a record has a value that grants name, in all fields in which they do not
 * cover everything.
 */
static void
add_granted(Statement *st, const AuditTable *table)
{
	for (GrantField field = 0; field < NUM_GRANT_FIELDS; field++)
	{
		const char *column = RecordColumnNames[granted_columns[field]];
		Datum *named;
		int count;
		char *among;

		if (!GrantedValues(table->grants, field, &named, &count) || count > MAX_NAMED)
			continue;
		among = TextTest(table, "a", column, psprintf(EQ "ANY ($%d)", add_texts(st, named, count)));
		if (field != GRANT_TENANT)
		{
			appendStringInfo(&st->sql, " AND %s", among);
			continue;
		}
		for (int i = 0; i < count; i++)
			named[i] = pattern_below(TextDatumGetCString(named[i]));
		appendStringInfo(&st->sql, " AND (%s OR a.%s" C_ORDER LIKE "ANY ($%d))", among, column,
						 add_texts(st, named, count));
	}
}

/*
 * Add the records that a list is about, as "a", without regard to where it continues.  One
 * that has no place in its order is none of them.
 */
static void
add_listed(Statement *st, const RecordList *list, const AuditTable *table)
{
	const ReplayQuery *query = list->query;

	AddRecords(st, table);
	AddRecordFilters(st, table, query, "a");
	if (query->outcome_count == 1)
		AddEqual(st, table, "a", RecordColumnNames[COL_OUTCOME], "$%d",
				 AddParameter(st, TEXTOID, CStringGetTextDatum(query->outcomes[0])));
	else if (query->outcome_count > 1)
		AddEqual(st, table, "a", RecordColumnNames[COL_OUTCOME], "ANY ($%d)",
				 AddParameter(st, TEXTARRAYOID, OutcomeArray(query)));
	if (list->signer_id != NULL)
		AddTextFilter(st, table, "a", "signer_id", list->signer_id);
	if (list->kid != NULL)
		AddTextFilter(st, table, "a", "kid", list->kid);
	add_granted(st, table);
	if (!IsNeverNull(table, COL_ID))
		appendStringInfoString(&st->sql, " AND a.id IS NOT NULL");
	if (!IsNeverNull(table, COL_DISPATCHED_AT))
		appendStringInfoString(&st->sql, " AND a.dispatched_at IS NOT NULL");
}

/*
 * Add that a record is behind a place.  The comparison of the time alone is what indexes
 * and partitions can use.
 */
static void
add_place(Statement *st, const ListPlace *place)
{
	int time;

	if (!place->given)
		return;
	time = AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(place->dispatched_at));
	appendStringInfo(&st->sql, " AND a.dispatched_at%s$%d", place->id == NULL ? LT : LE, time);
	if (place->id != NULL)
		appendStringInfo(&st->sql, " AND (a.dispatched_at" LT "$%d OR a.id" C_ORDER LT "$%d)", time,
						 AddParameter(st, TEXTOID, PointerGetDatum(place->id)));
}

/* ----------------------------------------------------------------
 * Reading
 * ----------------------------------------------------------------
 */

/* A list that is being read. */
typedef struct ListReader
{
	RecordList *list;
	const AuditTable *table;
	ListPlace place; /* what has been looked at */
	int64 skip;      /* so many records are left to skip, and to list */
	int listed;
} ListReader;

/*
 * Tell the planner to follow the order of an index, if there is one.  With several
 * outcomes none has the records in the order of the list.
 */
static void
guide_planner(const RecordList *list, const AuditTable *table)
{
	ReplayQuery query = *list->query;

	if (query.outcome_count != 1)
		query.filters[FILTER_OUTCOME] = NULL;
	GuidePlanner(table, &query);
}

/*
 * Open the cursor of the next records of a list, at most so many.
 */
static Portal
open_list(const ListReader *reader, int64 most)
{
	MemoryContext old = CurrentMemoryContext;
	Statement st;
	Identity caller;
	Portal portal;

	SelectGatewayRecords(&st, reader->table);
	add_listed(&st, reader->list, reader->table);
	add_place(&st, &reader->place);
	appendStringInfo(&st.sql,
					 " ORDER BY a.dispatched_at DESC, a.id" C_ORDER " DESC LIMIT " INT64_FORMAT,
					 most);
	SwitchIdentity(&caller, reader->table->owner);
	SetLocally("jit", "off");
	guide_planner(reader->list, reader->table);
	portal = SPI_cursor_open_with_args(NULL, st.sql.data, st.nargs, st.types, st.values, NULL, true,
									   CURSOR_OPT_FAST_PLAN);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
	return portal;
}

/*
 * Note a place, whose id the list keeps.
 */
static void
note_place(RecordList *list, ListPlace *place, const GatewayRow *row)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(list->records));

	place->given = true;
	place->dispatched_at = row->dispatched_at;
	place->id = (text *) PG_DETOAST_DATUM_COPY(PointerGetDatum(row->id));
	MemoryContextSwitchTo(old);
}

/*
 * Look at a row that was fetched.  Returns whether the list is complete.
 */
static bool
take_row(ListReader *reader, HeapTuple tuple, TupleDesc desc, bool is_last)
{
	RecordList *list = reader->list;
	GatewayRow row;

	ReadGatewayRow(&row, tuple, desc);
	if (is_last)
		note_place(list, &reader->place, &row);
	if (!GrantsCoverRow(reader->table->grants, &row))
		return false;
	if (reader->skip > 0)
	{
		reader->skip--;
		return false;
	}
	if (reader->listed == list->limit)
	{
		list->has_more = true;
		return true;
	}
	if (reader->listed++ > 0)
		appendStringInfoChar(list->records, ',');
	AppendGatewayRecord(list->records, tuple, desc);
	if (reader->listed == list->limit)
		note_place(list, &list->last, &row);
	return false;
}

/*
 * Look at the next records, at most so many.  Returns whether the list is complete: it has
 * enough of them, or there are no more.
 */
static bool
read_some(ListReader *reader, int64 most)
{
	MemoryContext window =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay window", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;
	Portal portal = open_list(reader, most);
	int64 seen = 0;
	uint64 count;
	bool complete = false;

	do
	{
		count = FetchRows(reader->table, portal, FETCHED_ROWS);
		MemoryContextSwitchTo(window);
		for (uint64 i = 0; i < count && !complete; i++)
			complete = take_row(reader, SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
								++seen == most || i + 1 == count);
		MemoryContextSwitchTo(old);
		MemoryContextReset(window);
		SPI_freetuptable(SPI_tuptable);
	} while (!complete && count == FETCHED_ROWS && seen < most);
	SPI_cursor_close(portal);
	MemoryContextDelete(window);
	return complete || seen < most;
}

/*
 * List the records that a caller's grants cover: those behind a place, without the first
 * ones, up to the limit; the records are appended to list->records, and list->last is set
 * if there are more.  Needs an SPI connection; the table has the grants.
 */
void
ListRecords(RecordList *list, const AuditTable *table)
{
	ListReader reader = {.list = list, .table = table, .place = list->after, .skip = list->skip};
	/* One more than is wanted tells whether there are more. */
	int64 most = list->skip + list->limit + 1;

	list->has_more = false;
	while (!read_some(&reader, most))
		most *= 2;
}

/* ----------------------------------------------------------------
 * Counting
 * ----------------------------------------------------------------
 */

/*
 * Whether a grant covers the records that a row of counts is about.
 */
static bool
covers_counted(Grants *grants, HeapTuple tuple, TupleDesc desc)
{
	text *values[NUM_GRANT_FIELDS];
	GatewayRow row = {0};

	for (GrantField field = 0; field < NUM_GRANT_FIELDS; field++)
	{
		bool isnull;
		Datum value = SPI_getbinval(tuple, desc, field + 1, &isnull);

		values[field] = isnull ? NULL : DatumGetTextPP(value);
	}
	row.target.tenant = values[GRANT_TENANT];
	row.target.namespace = values[GRANT_NAMESPACE];
	row.target.provider = values[GRANT_PROVIDER];
	row.target.action_type = values[GRANT_ACTION_TYPE];
	return GrantsCoverRow(grants, &row);
}

/*
 * Count by what grants are about, and add up what they cover.
 */
static int64
count_covered(const AuditTable *table, Statement *st)
{
	MemoryContext old = CurrentMemoryContext;
	Identity caller;
	Portal portal;
	uint64 rows;
	int64 total = 0;

	SwitchIdentity(&caller, table->owner);
	SetLocally("jit", "off");
	portal = SPI_cursor_open_with_args(NULL, st->sql.data, st->nargs, st->types, st->values, NULL,
									   true, 0);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old);
	do
	{
		rows = FetchRows(table, portal, FETCHED_ROWS);
		for (uint64 i = 0; i < rows; i++)
		{
			HeapTuple tuple = SPI_tuptable->vals[i];
			TupleDesc desc = SPI_tuptable->tupdesc;
			bool isnull;

			if (covers_counted(table->grants, tuple, desc))
				total += DatumGetInt64(SPI_getbinval(tuple, desc, NUM_GRANT_FIELDS + 1, &isnull));
		}
		SPI_freetuptable(SPI_tuptable);
	} while (rows == FETCHED_ROWS);
	SPI_cursor_close(portal);
	return total;
}

/*
 * How many records a list has, wherever it continues and however many it skips.  Needs an
 * SPI connection.
 */
int64
CountListed(const RecordList *list, const AuditTable *table)
{
	Statement st;

	BeginStatement(&st);
	/* In the order of GrantField. */
	appendStringInfoString(&st.sql,
						   "SELECT a.tenant" C_ORDER " AS tenant, a.namespace" C_ORDER
						   " AS namespace, a.provider" C_ORDER " AS provider, a.action_type" C_ORDER
						   " AS action_type, pg_catalog.count(*) AS listed");
	add_listed(&st, list, table);
	appendStringInfoString(&st.sql, " GROUP BY 1, 2, 3, 4");
	return count_covered(table, &st);
}

/* ----------------------------------------------------------------
 * Single records
 * ----------------------------------------------------------------
 */

/*
 * Run a statement that finds one record.  Returns whether it has found one, which is in
 * SPI_tuptable then.
 */
static bool
find_one(const AuditTable *table, Statement *st)
{
	ReadByIndexes(table, st, 1);
	return SPI_processed > 0;
}

/*
 * Find the place of the record that has an id and a time between two, the last of which is
 * not among them.  Returns false if there is none that the caller's grants cover.  Needs
 * an SPI connection; what is found lives as long as that.
 */
bool
FindListPlace(ListPlace *place, const AuditTable *table, const char *id, TimestampTz first,
			  TimestampTz last)
{
	GatewayRow row;
	Statement st;

	SelectGatewayRecords(&st, table);
	AddRecords(&st, table);
	AddEqual(&st, table, "a", RecordColumnNames[COL_ID], "$%d",
			 AddParameter(&st, TEXTOID, CStringGetTextDatum(id)));
	appendStringInfo(&st.sql, " AND a.dispatched_at" GE "$%d AND a.dispatched_at" LT "$%d",
					 AddParameter(&st, TIMESTAMPTZOID, TimestampTzGetDatum(first)),
					 AddParameter(&st, TIMESTAMPTZOID, TimestampTzGetDatum(last)));
	if (!find_one(table, &st))
		return false;
	ReadGatewayRow(&row, SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
	place->given = true;
	place->dispatched_at = row.dispatched_at;
	place->id = row.id;
	return GrantsCoverRow(table->grants, &row);
}

/*
 * Append the record that has these ids and this time.  Returns false if it is not there.
 * Needs an SPI connection.
 */
bool
AppendRecordOf(StringInfo out, const AuditTable *table, const char *action_id, const text *id,
			   TimestampTz dispatched_at)
{
	Statement st;

	SelectGatewayRecords(&st, table);
	AddRecords(&st, table);
	AddEqual(&st, table, "a", RecordColumnNames[COL_ACTION_ID], "$%d",
			 AddParameter(&st, TEXTOID, CStringGetTextDatum(action_id)));
	AddEqual(&st, table, "a", RecordColumnNames[COL_ID], "$%d",
			 AddParameter(&st, TEXTOID, PointerGetDatum(id)));
	appendStringInfo(&st.sql, " AND a.dispatched_at" EQ "$%d",
					 AddParameter(&st, TIMESTAMPTZOID, TimestampTzGetDatum(dispatched_at)));
	if (!find_one(table, &st))
		return false;
	AppendGatewayRecord(out, SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
	return true;
}
