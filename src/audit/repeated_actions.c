/*
 * repeated_actions.c
 *		Which actions have several records.
 *
 * Whether an action was lost depends on its other records, but most actions have
 * none.  A search that reads a great part of the table therefore reads through it
 * once beforehand, to know for which records others must be looked for; finding
 * them by joining the table with itself takes several times as long.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timestamp.h"

#include "audit/audit_sql.h"
#include "audit/repeated_actions.h"
#include "base/compat.h"
#include "base/identity.h"

struct RepeatedActions
{
	ActionSet met;      /* all */
	ActionSet repeated; /* of these, those that have several records */
};

/*
 * Note the actions of the rows that were fetched.  Those that lack one of the columns
 * are no other records of an action.
 */
static void
note_rows(RepeatedActions *actions)
{
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		Datum values[3];
		bool nulls[3];
		AuditRecord record;
		uint64 action;

		heap_deform_tuple(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, values, nulls);
		if (nulls[0] || nulls[1] || nulls[2])
			continue;
		record.action_id = DatumGetTextPP(values[0]);
		record.namespace = DatumGetTextPP(values[1]);
		record.tenant = DatumGetTextPP(values[2]);
		action = HashAction(&actions->met, &record);
		if (ActionSetHas(&actions->met, action))
			ActionSetAdd(&actions->repeated, action);
		else
			ActionSetAdd(&actions->met, action);
	}
}

/*
 * Find out which actions have several records, of those that can tell something of the
 * records that match a query: later ones do.  Returns NULL without reading any if
 * there are probably more records than most.  Needs an SPI connection; the result is made
 * in the current memory context.
 */
RepeatedActions *
FindRepeatedActions(const AuditTable *table, const ReplayQuery *query, double most)
{
	RepeatedActions *actions = NULL;
	MemoryContext old = CurrentMemoryContext;
	MemoryContext rows = AllocSetContextCreate(old, "acteon_replay rows", ALLOCSET_DEFAULT_SIZES);
	Statement st;
	Identity caller;
	Portal portal;

	BeginStatement(&st);
	appendStringInfoString(&st.sql, "SELECT a.action_id, a.namespace, a.tenant");
	AddRecords(&st, table);
	if (query->from.given)
		appendStringInfo(&st.sql, " AND a.dispatched_at" GE "$%d",
						 AddParameter(&st, TIMESTAMPTZOID, TimestampTzGetDatum(query->from.time)));
	SwitchIdentity(&caller, table->owner);
	SetLocally("jit", "off");
	portal =
		SPI_cursor_open_with_args(NULL, st.sql.data, st.nargs, st.types, st.values, NULL, true, 0);
	if (PortalGetPrimaryStmt(portal)->planTree->plan_rows <= most)
	{
		MemoryContextSwitchTo(old);
		actions = palloc(sizeof(RepeatedActions));
		InitActionSet(&actions->met);
		InitActionSet(&actions->repeated);
		MemoryContextSwitchTo(rows);
		for (SPI_cursor_fetch(portal, true, MAX_RECORDS_LIMIT); SPI_processed > 0;
			 SPI_cursor_fetch(portal, true, MAX_RECORDS_LIMIT))
		{
			CHECK_FOR_INTERRUPTS();
			MemoryContextSwitchTo(rows); /* SPI leaves its own one behind */
			note_rows(actions);
			SPI_freetuptable(SPI_tuptable);
			MemoryContextReset(rows);
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(rows);
	return actions;
}

/*
 * Put those records that have others of their actions first among the rows of a search.
 * Returns how many these are.
 */
uint64
PutRepeatedFirst(const RepeatedActions *repeated, SPITupleTable *rows, uint64 count)
{
	uint64 first = 0;

	for (uint64 i = 0; i < count; i++)
	{
		Datum values[NUM_ROW_COLUMNS];
		bool nulls[NUM_ROW_COLUMNS];
		HeapTuple tuple = rows->vals[i];
		AuditRecord record;

		heap_deform_tuple(tuple, rows->tupdesc, values, nulls);
		if (nulls[COL_ACTION_ID] || nulls[COL_NAMESPACE] || nulls[COL_TENANT])
			continue;
		record.action_id = DatumGetTextPP(values[COL_ACTION_ID]);
		record.namespace = DatumGetTextPP(values[COL_NAMESPACE]);
		record.tenant = DatumGetTextPP(values[COL_TENANT]);
		if (!ActionSetHas(&repeated->repeated, HashAction(&repeated->met, &record)))
			continue;
		rows->vals[i] = rows->vals[first];
		rows->vals[first++] = tuple;
	}
	return first;
}
