/*
 * audit_value.c
 *		Single values out of the audit table.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/timestamp.h"

#include "audit/audit_value.h"
#include "base/identity.h"
#include "base/operators.h"

/*
 * The value, passed by value, that a statement selects; what it is otherwise if
 * that is NULL.  The statement runs as the table's owner.  Needs an SPI connection.
 */
Datum
AuditValue(const AuditTable *table, const char *sql, int nargs, Oid *types, Datum *values,
		   Datum otherwise)
{
	MemoryContext old = CurrentMemoryContext;
	Identity caller;
	bool isnull;
	Datum value;

	SwitchIdentity(&caller, table->owner);
	if (SPI_execute_with_args(sql, nargs, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read audit table: %s", SPI_result_code_string(SPI_result));
	RestoreIdentity(&caller);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	SPI_freetuptable(SPI_tuptable);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
	return isnull ? otherwise : value;
}

/*
 * When the newest record was dispatched of those that meet a condition on its time,
 * -infinity if there is none.  No index is on that time alone, so the newest of each
 * outcome is looked for, from one outcome to the next: two probes of an index each, of
 * which there are a score.
 */
static TimestampTz
find_newest(const AuditTable *table, const char *condition)
{
	const char *name = table->quoted_name;
	char *sql = psprintf("WITH RECURSIVE o (outcome) AS ("
						 "(SELECT a.outcome FROM %s AS a ORDER BY a.outcome LIMIT 1)"
						 " UNION ALL SELECT (SELECT a.outcome FROM %s AS a WHERE a.outcome" GT
						 "o.outcome ORDER BY a.outcome LIMIT 1) FROM o WHERE o.outcome IS NOT NULL)"
						 " SELECT pg_catalog.max((SELECT a.dispatched_at FROM %s AS a"
						 " WHERE a.outcome" EQ "o.outcome AND %s"
						 " ORDER BY a.dispatched_at DESC LIMIT 1)) FROM o",
						 name, name, name, condition);

	return DatumGetTimestampTz(
		AuditValue(table, sql, 0, NULL, NULL, TimestampTzGetDatum(DT_NOBEGIN)));
}

/*
 * When the newest record with a finite time was dispatched, -infinity if there is
 * none.  Needs an SPI connection.
 */
TimestampTz
AuditNewest(const AuditTable *table)
{
	return find_newest(table, IS_REAL_TIME("a.dispatched_at"));
}

/*
 * The latest time of a record, be it infinity; -infinity if there is none.  Needs an
 * SPI connection.
 */
TimestampTz
AuditLatest(const AuditTable *table)
{
	return find_newest(table, "a.dispatched_at IS NOT NULL");
}
