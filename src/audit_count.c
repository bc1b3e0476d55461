/*
 * audit_count.c
 *		How many records there are.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "audit_query.h"
#include "identity.h"

#define EXECUTED_OUTCOME "executed"

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

/*
 * An array of texts of records as a parameter of a statement.
 */
static int
add_texts(Statement *st, Datum *values, int count)
{
	return AddParameter(st, TEXTARRAYOID,
						PointerGetDatum(
							construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT)));
}

/*
 * How many of some records have another record of their action that says it was
 * executed, at the same time or later.  They are looked up by action id, the one
 * index that every version of the gateway makes for it, whatever the planner
 * thinks of reading the whole table.  Needs an SPI connection.
 */
int64
AuditCountExecuted(const AuditTable *table, const AuditRecord *const *records, int count)
{
	Datum *actions = palloc(count * sizeof(Datum));
	Datum *namespaces = palloc(count * sizeof(Datum));
	Datum *tenants = palloc(count * sizeof(Datum));
	Datum *times = palloc(count * sizeof(Datum));
	Statement st;
	Identity caller;
	int action, namespace, tenant, time;
	int64 number;

	if (count == 0)
		return 0;
	for (int i = 0; i < count; i++)
	{
		actions[i] = PointerGetDatum(records[i]->action_id);
		namespaces[i] = PointerGetDatum(records[i]->namespace);
		tenants[i] = PointerGetDatum(records[i]->tenant);
		times[i] = TimestampTzGetDatum(records[i]->dispatched_at);
	}
	BeginStatement(&st);
	action = add_texts(&st, actions, count);
	namespace = add_texts(&st, namespaces, count);
	tenant = add_texts(&st, tenants, count);
	time = AddParameter(&st, TIMESTAMPTZARRAYOID,
						PointerGetDatum(construct_array(times, count, TIMESTAMPTZOID,
														sizeof(TimestampTz), FLOAT8PASSBYVAL,
														TYPALIGN_DOUBLE)));
	appendStringInfo(
		&st.sql,
		"WITH executed AS MATERIALIZED ("
		"SELECT b.action_id, b.namespace, b.tenant, b.dispatched_at FROM %s AS b"
		" WHERE b.action_id" EQ "ANY ($%d) AND b.outcome" EQ "'" EXECUTED_OUTCOME
		"'::pg_catalog.text) "
		"SELECT pg_catalog.count(*)"
		" FROM ROWS FROM (pg_catalog.unnest($%d), pg_catalog.unnest($%d), pg_catalog.unnest($%d),"
		" pg_catalog.unnest($%d)) AS a (action_id, namespace, tenant, dispatched_at)"
		" WHERE EXISTS (SELECT FROM executed AS e WHERE e.action_id" EQ "a.action_id"
		" AND e.namespace" EQ "a.namespace AND e.tenant" EQ "a.tenant"
		" AND e.dispatched_at" GE "a.dispatched_at)",
		table->quoted_name, action, action, namespace, tenant, time);

	SwitchIdentity(&caller, table->owner);
	SetLocally("enable_seqscan", "off");
	SetLocally("enable_nestloop", "off");
	number = select_number(table, &st);
	RestoreIdentity(&caller);
	return number;
}
