/*
 * audit_count.c
 *		How many records there are.
 */
#include "postgres.h"

#include "executor/spi.h"

#include "audit_query.h"
#include "identity.h"

/*
 * The number that a statement selects.  It runs as the table's owner.
 */
static int64
select_number(const AuditTable *table, Statement *st)
{
	MemoryContext old = CurrentMemoryContext;
	Identity caller;
	bool isnull;
	int64 number;

	SwitchIdentity(&caller, table->owner);
	if (SPI_execute_with_args(st->sql.data, st->nargs, st->types, st->values, NULL, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not count audit records: %s", SPI_result_code_string(SPI_result));
	RestoreIdentity(&caller);
	number = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
	return number;
}

/*
 * How many records match a query, max_records at most.  Needs an SPI
 * connection.
 */
int64
AuditCount(const AuditTable *table, const ReplayQuery *query)
{
	Statement st;

	BeginStatement(&st);
	appendStringInfo(&st.sql, "SELECT pg_catalog.count(*) FROM (SELECT FROM %s AS a WHERE true",
					 table->quoted_name);
	AddConditions(&st, table, query);
	if (query->max_records != ANY_NUMBER)
		appendStringInfo(&st.sql, " LIMIT %d", query->max_records);
	appendStringInfoString(&st.sql, ") AS matching");
	return select_number(table, &st);
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
	appendStringInfo(&st.sql, "SELECT pg_catalog.count(*) FROM %s AS a WHERE true",
					 table->quoted_name);
	return AddLeftOut(&st, table, query, which) ? select_number(table, &st) : 0;
}
