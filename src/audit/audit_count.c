/*
 * audit_count.c
 *		How many records there are.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "audit/audit_count.h"
#include "audit/audit_scan.h"
#include "audit/audit_value.h"
#include "audit/audit_lookup.h"

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

	if (query->signature != NULL)
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
 * Count the records with a certain error that match a query's filters but are no
 * candidates.  Intents have none.
 */
static int64
count_with_error(const AuditTable *table, const ReplayQuery *query, LeftOut which)
{
	AuditScan scan;

	if ((which != LEFT_OUT_FUTURE && which != LEFT_OUT_NO_PLACE) ||
		!AuditScanBeginLeftOut(&scan, table, query, which))
		return 0;
	return count_search(&scan, PG_INT64_MAX);
}

/*
 * Count the records that match a query's filters but are not candidates.  Needs
 * an SPI connection.
 */
int64
AuditCountLeftOut(const AuditTable *table, const ReplayQuery *query, LeftOut which)
{
	Statement st;

	if (which == LEFT_OUT_FUTURE && lacks_future(table, query))
		return 0;
	if (query->signature != NULL)
		return count_with_error(table, query, which);
	BeginStatement(&st);
	appendStringInfoString(&st.sql, "SELECT pg_catalog.count(*)");
	if (!AddLeftOut(&st, table, query, which))
		return 0;
	if (which == LEFT_OUT_FINISHED && AuditTableIsRemote(table))
		return count_finished_apart(table, query);
	return select_count(table, &st);
}
