/*
 * others.c
 *		What the other records of their actions say of the records of a page.
 *
 * An intent with an outcome is none to be replayed, nor is a record whose action has
 * another effect since.  In a local table the statement that searches for records looks
 * for such others itself, record by record.  Where a foreign server has them, that is a
 * round trip for each record, or all records of the server are fetched.  So they are
 * looked for here, for a page at once: one statement fetches the other records of all
 * its actions, by an array of their ids.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "audit/filter_sql.h"
#include "audit/others.h"
#include "base/text.h"

/* What the statement is told of the records of the page, each as an array. */
static const RecordColumn told[] = {COL_ACTION_ID, COL_NAMESPACE, COL_TENANT, COL_ID,
									COL_DISPATCHED_AT};

#define TOLD_TIME 4
#define NUM_TOLD ((int) lengthof(told))

/* The records of a page, column by column. */
typedef struct PageColumns
{
	ArrayBuildState *told[NUM_TOLD];
	ArrayBuildState *is_intent;
	TimestampTz earliest;
} PageColumns;

/*
 * Add a record to the columns.
 */
static void
add_record(PageColumns *page, HeapTuple tuple, TupleDesc desc)
{
	Datum values[NUM_ROW_COLUMNS];
	bool nulls[NUM_ROW_COLUMNS];
	bool is_intent;

	heap_deform_tuple(tuple, desc, values, nulls);
	for (int i = 0; i < NUM_TOLD; i++)
		page->told[i] =
			accumArrayResult(page->told[i], values[told[i]], nulls[told[i]],
							 i == TOLD_TIME ? TIMESTAMPTZOID : TEXTOID, CurrentMemoryContext);
	is_intent = !nulls[COL_OUTCOME] && TextIs(DatumGetTextPP(values[COL_OUTCOME]), INTENT_OUTCOME);
	page->is_intent = accumArrayResult(page->is_intent, BoolGetDatum(is_intent), false, BOOLOID,
									   CurrentMemoryContext);
	/* The search wants a time of each record. */
	page->earliest = Min(page->earliest, DatumGetTimestampTz(values[COL_DISPATCHED_AT]));
}

/*
 * Build the statement that selects the places of those records of a page of which the
 * others say something.
 */
static void
build_statement(Statement *st, const AuditTable *table, const ReplayQuery *query,
				const PageColumns *page)
{
	BeginStatement(st);
	for (int i = 0; i < NUM_TOLD; i++)
		AddParameter(st, i == TOLD_TIME ? TIMESTAMPTZARRAYOID : TEXTARRAYOID,
					 makeArrayResult(page->told[i], CurrentMemoryContext));
	AddParameter(st, BOOLARRAYOID, makeArrayResult(page->is_intent, CurrentMemoryContext));
	appendStringInfoString(&st->sql, "WITH other AS MATERIALIZED (SELECT a.id, a.action_id,"
									 " a.namespace, a.tenant, a.outcome, a.dispatched_at,"
									 " a.outcome_details");
	AddFilterColumns(st, table, query);
	AddRecords(st, table);
	appendStringInfo(&st->sql, " AND a.action_id" EQ "ANY ($1) AND a.dispatched_at" GE "$%d)",
					 AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(page->earliest)));
	appendStringInfoString(
		&st->sql, " SELECT a.place FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
				  " pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5),"
				  " pg_catalog.unnest($6)) WITH ORDINALITY AS a (action_id, namespace, tenant, id,"
				  " dispatched_at, is_intent, place) WHERE true");
	AddKnownOtherwise(st, table, query, "other");
}

/*
 * Take those records out of a page, the first ones of rows, that are no candidates of a
 * query by what the other records of their actions say.  Returns how many are left; they
 * keep their order.  Needs an SPI connection.
 */
uint64
DropKnownOtherwise(const AuditTable *table, const ReplayQuery *query, SPITupleTable *rows,
				   uint64 count)
{
	PageColumns page = {.earliest = DT_NOEND};
	uint64 kept = 0;
	Statement st;

	if (count == 0)
		return 0;
	for (uint64 i = 0; i < count; i++)
		add_record(&page, rows->vals[i], rows->tupdesc);
	build_statement(&st, table, query, &page);
	ReadByIndexes(table, &st, 0);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool isnull;
		int64 place = DatumGetInt64(
			SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull));

		rows->vals[place - 1] = NULL;
	}
	SPI_freetuptable(SPI_tuptable);
	for (uint64 i = 0; i < count; i++)
	{
		if (rows->vals[i] != NULL)
			rows->vals[kept++] = rows->vals[i];
	}
	return kept;
}
