/*
 * audit_count.c
 *		How many records there are.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/timestamp.h"

#include "audit/audit_sql.h"
#include "base/identity.h"

/*
 * The value, passed by value, that a statement selects; what it is otherwise if
 * that is NULL.  The statement runs as the table's owner.
 */
static Datum
select_value(const AuditTable *table, Statement *st, Datum otherwise)
{
	MemoryContext old = CurrentMemoryContext;
	Identity caller;
	bool isnull;
	Datum value;

	SwitchIdentity(&caller, table->owner);
	if (SPI_execute_with_args(st->sql.data, st->nargs, st->types, st->values, NULL, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not count audit records: %s", SPI_result_code_string(SPI_result));
	RestoreIdentity(&caller);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	SPI_freetuptable(SPI_tuptable);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
	return isnull ? otherwise : value;
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
	return DatumGetInt64(select_value(table, &st, 0));
}

/*
 * How many records a query's filters match that are no candidates all the same.
 * Needs an SPI connection.
 */
int64
AuditCountLeftOut(const AuditTable *table, const ReplayQuery *query, LeftOut which)
{
	Statement st;

	BeginStatement(&st);
	appendStringInfoString(&st.sql, "SELECT pg_catalog.count(*)");
	return AddLeftOut(&st, table, query, which) ? DatumGetInt64(select_value(table, &st, 0)) : 0;
}

/*
 * When the newest record was dispatched, -infinity if there is none.  No index is
 * on that time alone, so the newest of each outcome is looked for, from one outcome
 * to the next: two probes of an index each, of which there are a score.  Needs an
 * SPI connection.
 */
TimestampTz
AuditNewest(const AuditTable *table)
{
	Statement st;

	BeginStatement(&st);
	appendStringInfo(&st.sql,
					 "WITH RECURSIVE o (outcome) AS ("
					 "(SELECT a.outcome FROM %s AS a ORDER BY a.outcome LIMIT 1)"
					 " UNION ALL SELECT (SELECT a.outcome FROM %s AS a WHERE a.outcome" GT
					 "o.outcome ORDER BY a.outcome LIMIT 1) FROM o WHERE o.outcome IS NOT NULL)"
					 " SELECT pg_catalog.max((SELECT a.dispatched_at FROM %s AS a"
					 " WHERE a.outcome" EQ "o.outcome AND a.dispatched_at IS NOT NULL"
					 " ORDER BY a.dispatched_at DESC LIMIT 1)) FROM o",
					 table->quoted_name, table->quoted_name, table->quoted_name);
	return DatumGetTimestampTz(select_value(table, &st, TimestampTzGetDatum(DT_NOBEGIN)));
}
