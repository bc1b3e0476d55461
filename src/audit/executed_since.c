/*
 * executed_since.c
 *		Whether actions that are to be replayed have been executed after
 *		all.
 *
 * An action has been executed if another of its records with the same or a
 * later time says so.  Finding that takes a search of the index on action ids
 * for each record, at random places, which takes longer than the rest of a preview.  So it
 * is done for a limited number of records, all at once, in the order of the
 * index.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "audit/audit_sql.h"
#include "audit/executed_since.h"
#include "base/identity.h"
#include "base/operators.h"

/*
 * Begin a search for records that say executed, in the current memory context.
 */
void
BeginExecutedSearch(ExecutedSearch *search)
{
	memset(search, 0, sizeof(*search));
	search->context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay search", ALLOCSET_DEFAULT_SIZES);
	InitActionSet(&search->hasher);
}

/*
 * Add a record to a search, if there are not enough yet.
 */
void
AddToExecutedSearch(ExecutedSearch *search, const AuditRecord *record)
{
	ActionTime *added;

	if (search->count == EXECUTED_SEARCH_LIMIT)
		return;
	if (search->count == search->allocated)
	{
		search->allocated = Max(1024, search->allocated * 2);
		search->records =
			search->records == NULL
				? MemoryContextAlloc(search->context, search->allocated * sizeof(ActionTime))
				: repalloc(search->records, search->allocated * sizeof(ActionTime));
	}
	added = &search->records[search->count++];
	added->action = HashAction(&search->hasher, record);
	added->time = record->dispatched_at;
	search->action_ids = accumArrayResult(search->action_ids, PointerGetDatum(record->action_id),
										  false, TEXTOID, search->context);
}

/*
 * Find the records of these actions that say executed, as the table's owner: by
 * action id, for which every version of the gateway makes an index, and in the
 * order in which they lie in the table, whatever the planner thinks of other
 * ways.  It need not know how many ids there are.  The actions are compared byte for
 * byte afterwards.
 */
static void
find_executed(ExecutedSearch *search, const AuditTable *table)
{
	Datum action_ids = makeArrayResult(search->action_ids, search->context);
	Oid type = TEXTARRAYOID;
	char *sql = psprintf("SELECT b.action_id, b.namespace, b.tenant, b.dispatched_at FROM %s AS b"
						 " WHERE b.action_id" EQ "ANY ($1) AND %s"
						 " AND b.namespace IS NOT NULL AND b.tenant IS NOT NULL"
						 " AND b.dispatched_at IS NOT NULL",
						 table->quoted_name, OutcomeTest(table, "b", EXECUTED_OUTCOME));
	MemoryContext old = CurrentMemoryContext;
	SPIPlanPtr plan;
	Identity caller;

	SwitchIdentity(&caller, table->owner);
	SetLocally("enable_seqscan", "off");
	SetLocally("enable_indexscan", "off");
	SetLocally("jit", "off");
	plan = SPI_prepare_cursor(sql, 1, &type, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL || SPI_execute_plan(plan, &action_ids, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read audit table: %s", SPI_result_code_string(SPI_result));
	SPI_freeplan(plan);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
}

/*
 * Make a table of the actions in the rows that were found, each with the time of
 * its last record.
 */
static HTAB *
collect_times(ExecutedSearch *search)
{
	HASHCTL control = {0};
	HTAB *times;

	control.keysize = sizeof(uint64);
	control.entrysize = sizeof(ActionTime);
	control.hcxt = search->context;
	times =
		hash_create("acteon_replay executed", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		Datum values[4];
		bool nulls[4];
		AuditRecord record;
		TimestampTz time;
		uint64 action;
		ActionTime *entry;
		bool found;

		heap_deform_tuple(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, values, nulls);
		record.action_id = DatumGetTextPP(values[0]);
		record.namespace = DatumGetTextPP(values[1]);
		record.tenant = DatumGetTextPP(values[2]);
		time = DatumGetTimestampTz(values[3]);
		action = HashAction(&search->hasher, &record);
		entry = hash_search(times, &action, HASH_ENTER, &found);
		entry->time = found ? Max(entry->time, time) : time;
	}
	return times;
}

/*
 * End a search.  Returns for how many of the added records there is another one
 * that says executed.  Needs an SPI connection.
 */
int64
EndExecutedSearch(ExecutedSearch *search, const AuditTable *table)
{
	MemoryContext old = MemoryContextSwitchTo(search->context);
	int64 executed = 0;

	if (search->count > 0)
	{
		HTAB *times;

		find_executed(search, table);
		times = collect_times(search);
		for (int i = 0; i < search->count; i++)
		{
			const ActionTime *entry =
				hash_search(times, &search->records[i].action, HASH_FIND, NULL);

			if (entry != NULL && entry->time >= search->records[i].time)
				executed++;
		}
		SPI_freetuptable(SPI_tuptable);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(search->context);
	return executed;
}
