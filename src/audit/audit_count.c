/*
 * audit_count.c
 *		How many records there are that a query selects, for totals and for plans.
 *
 * The server counts them where it can apply all of the query, and the records are read
 * and counted here where it cannot.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "audit/audit_count.h"
#include "audit/audit_scan.h"
#include "audit/audit_value.h"
#include "audit/audit_lookup.h"
#include "audit/error_filter.h"
#include "base/message.h"

/*
 * The number that a statement selects.
 */
static int64
select_count(const AuditTable *table, Statement *st)
{
	return DatumGetInt64(
		AuditValue(table, st->sql.data, st->nargs, st->types, st->values, Int64GetDatum(0)));
}

/*
 * Take all records of a search, at most as many as wanted, and end it.  Returns their
 * number.
 */
static int64
count_search(AuditScan *scan, int64 most)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay count", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AuditRecord *records;
	int64 count = 0;
	int taken;

	while (count < most &&
		   (taken = AuditScanTake(scan, Min(most - count, MAX_RECORDS_LIMIT), &records)) > 0)
	{
		CHECK_FOR_INTERRUPTS();
		count += taken;
		MemoryContextReset(context);
	}
	AuditScanEnd(scan);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return count;
}

/*
 * How many records match a query, max_records at most.  Where other records of their
 * actions may be on a foreign server, these are not looked at, and the number may be too
 * large.  Needs an SPI connection.
 */
int64
AuditCount(const AuditTable *table, const ReplayQuery *query)
{
	CandidateUse use = {.alone = AuditTableIsRemote(table)};
	Statement st;

	if (SearchesContents(query))
	{
		AuditScan scan;

		AuditScanBeginOutcomes(&scan, table, query);
		return count_search(&scan, query->is_limited ? query->max_records : PG_INT64_MAX);
	}
	BeginStatement(&st);
	appendStringInfoString(&st.sql, "SELECT pg_catalog.count(*) FROM (SELECT");
	AddCandidates(&st, table, query, &use);
	if (query->is_limited)
		appendStringInfo(&st.sql, " LIMIT %d", query->max_records);
	appendStringInfoString(&st.sql, ") AS matching");
	return select_count(table, &st);
}

/*
 * Whether a few probes of an index show that no record is dated in the future, so that
 * they need not be searched for.
 */
static bool
lacks_future(const AuditTable *table, const ReplayQuery *query)
{
	return query->is_cut && TimesAreByOutcome(table) && AuditLatest(table) <= query->to.time;
}

/*
 * How many intents of a table on a foreign server a query leaves out because they have
 * an outcome: those that a search drops.
 */
static int64
count_finished_apart(const AuditTable *table, const ReplayQuery *query)
{
	AuditScan scan;

	AuditScanBegin(&scan, table, query, PG_INT64_MAX, NULL);
	(void) count_search(&scan, PG_INT64_MAX);
	return scan.dropped;
}

/*
 * Count the records that match a query's filters, also those that look into contents,
 * but are no candidates.
 */
static int64
count_by_search(const AuditTable *table, const ReplayQuery *query, LeftOut which)
{
	AuditScan scan;

	return AuditScanBeginLeftOut(&scan, table, query, which) ? count_search(&scan, PG_INT64_MAX)
															 : 0;
}

/*
 * Count the records that match a query's filters but are not candidates.  Needs
 * an SPI connection.
 */
int64
AuditCountLeftOut(const AuditTable *table, const ReplayQuery *query, LeftOut which)
{
	bool are_intents = which != LEFT_OUT_FUTURE && which != LEFT_OUT_NO_PLACE;
	Statement st;

	if (which == LEFT_OUT_FUTURE && lacks_future(table, query))
		return 0;
	/* Intents have no errors: none is asked for by one, and none left out. */
	if (are_intents && AsksForError(query))
		return 0;
	if (SearchesContents(query))
		return count_by_search(table, query, which);
	BeginStatement(&st);
	appendStringInfoString(&st.sql, "SELECT pg_catalog.count(*)");
	if (!AddLeftOut(&st, table, query, which))
		return 0;
	if (which == LEFT_OUT_FINISHED && AuditTableIsRemote(table))
		return count_finished_apart(table, query);
	return select_count(table, &st);
}

/*
 * Build the statement that selects those ids of $1 that no record has, each with the
 * number of them all.  They are looked up one by one, by the index on the action id; from
 * a foreign server all records that they have are fetched at once.
 */
static char *
missing_sql(const AuditTable *table)
{
	const char *action_id = RecordColumnNames[COL_ACTION_ID];
	const char *equals = TextTest(table, "a", action_id, EQ "k.id");

	if (!AuditTableIsRemote(table))
		return psprintf(
			"SELECT k.id, pg_catalog.count(*) OVER () FROM pg_catalog.unnest($1) AS k (id)"
			" LEFT JOIN LATERAL (SELECT true AS is_there FROM %s AS a WHERE %s LIMIT 1) AS r ON true"
			" WHERE r.is_there IS NULL LIMIT %d",
			table->quoted_name, equals, NAMED_MISSING);
	return psprintf("SELECT k.id, pg_catalog.count(*) OVER () FROM pg_catalog.unnest($1) AS k (id)"
					" WHERE NOT EXISTS (SELECT FROM (SELECT a.action_id FROM %s AS a"
					" WHERE %s OFFSET 0) AS a WHERE %s) LIMIT %d",
					table->quoted_name, TextTest(table, "a", action_id, EQ "ANY ($1)"), equals,
					NAMED_MISSING);
}

/*
 * Find out which of the ids that a query picks or leaves out no record has, whatever else
 * the query asks for.  Needs an SPI connection.
 */
void
AuditFindMissing(const AuditTable *table, const TextList *ids, MissingIds *missing)
{
	Statement st;

	memset(missing, 0, sizeof(*missing));
	if (ids->count == 0)
		return;
	BeginStatement(&st);
	(void) AddParameter(&st, TEXTARRAYOID, PointerGetDatum(ids->array));
	appendStringInfoString(&st.sql, missing_sql(table));
	ReadByIndexes(table, &st, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;

		missing->first[i] = TextDatumGetCString(SPI_getbinval(tuple, desc, 1, &isnull));
		missing->count = DatumGetInt64(SPI_getbinval(tuple, desc, 2, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * The first of the ids that are missing, with commas between them, for messages.
 */
char *
NameMissing(const MissingIds *missing)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < NAMED_MISSING && missing->first[i] != NULL; i++)
		appendStringInfo(&names, "%s\"%s\"", i > 0 ? ", " : "",
						 ClipForMessage(missing->first[i], strlen(missing->first[i])));
	if (missing->count > NAMED_MISSING)
		appendStringInfoString(&names, ", ...");
	return names.data;
}
