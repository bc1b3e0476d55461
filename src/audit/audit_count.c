/*
 * audit_count.c
 *		How many records there are.
 */
#include "postgres.h"

#include "audit/audit_count.h"
#include "audit/audit_value.h"
#include "audit/lookup.h"

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
 * How many records match a query, max_records at most.  Needs an SPI
 * connection.
 */
int64
AuditCount(const AuditTable *table, const ReplayQuery *query)
{
	static const CandidateUse use = {.in_order = false};
	Statement st;

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
 * Count the records that match a query's filters but are not candidates.  Needs
 * an SPI connection.
 */
int64
AuditCountLeftOut(const AuditTable *table, const ReplayQuery *query, LeftOut which)
{
	Statement st;

	if (which == LEFT_OUT_FUTURE && lacks_future(table, query))
		return 0;
	BeginStatement(&st);
	appendStringInfoString(&st.sql, "SELECT pg_catalog.count(*)");
	return AddLeftOut(&st, table, query, which) ? select_count(table, &st) : 0;
}
