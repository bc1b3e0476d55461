/*
 * audit_value.c
 *		Single values out of the audit table.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#include "audit/audit_value.h"
#include "audit/time_steps.h"
#include "base/identity.h"
#include "base/operators.h"
#include "queue/effect.h"

/* Those that most records have. */
#define FREQUENT_OUTCOMES EXECUTED_OUTCOME "," INTENT_OUTCOME ",failed,circuit_open"

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
 * The statement that finds the newest time between $1 and $2 that meets a condition.  No
 * index is on that alone, so the newest of each outcome is looked for, from one outcome
 * to the next: two probes of an index each, of which there are a score.
 */
static char *
newest_sql(const AuditTable *table, const char *condition)
{
	const char *records =
		psprintf("FROM %s AS a WHERE a.dispatched_at" GE "$1 AND a.dispatched_at" LE "$2",
				 table->quoted_name);

	return psprintf("WITH RECURSIVE o (outcome) AS ("
					"(SELECT a.outcome %s ORDER BY a.outcome LIMIT 1)"
					" UNION ALL SELECT (SELECT a.outcome %s AND a.outcome" GT
					"o.outcome ORDER BY a.outcome LIMIT 1) FROM o WHERE o.outcome IS NOT NULL)"
					" SELECT pg_catalog.max((SELECT a.dispatched_at %s"
					" AND a.outcome" EQ "o.outcome AND %s"
					" ORDER BY a.dispatched_at DESC LIMIT 1)) FROM o",
					records, records, records, condition);
}

/*
 * The same for a table of which a foreign server has records: each probe is a round
 * trip to each server, so only the most frequent outcomes are asked for.  The result
 * may be a little too old, which is the cautious side.
 */
static char *
newest_frequent_sql(const AuditTable *table, const char *condition)
{
	return psprintf("SELECT pg_catalog.max(p.dispatched_at)"
					" FROM pg_catalog.unnest('{" FREQUENT_OUTCOMES "}'::pg_catalog.text[]) AS o"
					" CROSS JOIN LATERAL (SELECT a.dispatched_at FROM %s AS a"
					" WHERE a.outcome" EQ "o AND %s"
					" ORDER BY a.dispatched_at DESC LIMIT 1) AS p",
					table->quoted_name, condition);
}

/*
 * The time that a statement selects, -infinity if there is none.
 */
static TimestampTz
select_time(const AuditTable *table, const char *sql, int nargs, Oid *types, Datum *values)
{
	return DatumGetTimestampTz(
		AuditValue(table, sql, nargs, types, values, TimestampTzGetDatum(DT_NOBEGIN)));
}

/*
 * When the newest record was dispatched of those that meet a condition on its time,
 * -infinity if there is none.  A table that is partitioned by time is searched from its
 * newest partitions on.
 */
static TimestampTz
find_newest(const AuditTable *table, const char *condition)
{
	static Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	const OptionalTime any = {false};
	TimestampTz from, to;
	TimestampTz newest = DT_NOBEGIN;
	TimeSteps steps;

	if (AuditTableIsRemote(table))
		return select_time(table, newest_frequent_sql(table, condition), 0, NULL, NULL);
	BeginTimeSteps(&steps, table, &any, &any);
	while (TIMESTAMP_IS_NOBEGIN(newest) && NextTimeStep(&steps, &from, &to))
	{
		Datum values[] = {TimestampTzGetDatum(from), TimestampTzGetDatum(to)};

		newest = select_time(table, newest_sql(table, condition), lengthof(types), types, values);
	}
	return newest;
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
