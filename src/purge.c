/*
 * purge.c
 *		acteon_outbox_purge: finished actions out of the tables.
 *
 * The replays of an action are found generation by generation, up to the first
 * one that is missing.  So they go together, when all of them are finished and
 * old enough, or not at all.  Who replays the action at the same moment holds
 * the delivery row of its first generation (HoldDelivery in state.c); such
 * actions are left for the next purge.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "chain.h"
#include "consumer.h"

/* Actions that are fetched, and then deleted, at once. */
#define CHUNK_ACTIONS 1000

/* %1$s is the extension's schema; see redrive.c about the search path. */
#define OLD_ACTIONS \
	"SELECT o.id, o.original_action_id " \
	"FROM %1$s.acteon_dispatch_delivery AS d " \
	"JOIN %1$s.acteon_dispatch_outbox AS o ON o.id = d.outbox_id " \
	"WHERE d.finished_at < $1 AND o.generation = 1 FOR UPDATE OF d SKIP LOCKED"

/* A purge under way. */
typedef struct Purge
{
	TimestampTz before; /* what finished earlier may go */
	ChainReader chains;
	TableFinder deliveries;
	Datum *ids; /* of what goes next */
	int count;
	int allocated;
} Purge;

PG_FUNCTION_INFO_V1(acteon_outbox_purge);

static void
add_id(Purge *purge, Datum id)
{
	if (purge->count == purge->allocated)
	{
		purge->allocated *= 2;
		purge->ids = repalloc(purge->ids, purge->allocated * sizeof(Datum));
	}
	purge->ids[purge->count++] = id;
}

/*
 * Add all replays of an action to what goes, if all of them may.
 */
static void
add_chain(Purge *purge, Datum first_id, const text *action_id)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	int count_before = purge->count;

	add_id(purge, first_id);
	for (int generation = 2; FindInChain(&purge->chains, action_id, generation, snapshot);
		 generation++)
	{
		bool isnull;
		Datum id = FoundColumn(&purge->chains.outbox, Anum_outbox_id, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (!FindRow(&purge->deliveries, F_INT8EQ, id, snapshot) ||
			DatumGetTimestampTz(FoundColumn(&purge->deliveries, Anum_delivery_finished_at,
											&isnull)) >= purge->before)
		{
			purge->count = count_before;
			break;
		}
		add_id(purge, id);
	}
	UnregisterSnapshot(snapshot);
}

/*
 * Delete the rows of what goes from a table.
 */
static void
delete_rows(Purge *purge, const char *schema, const char *table, const char *column)
{
	Oid type = INT8ARRAYOID;
	Datum ids = PointerGetDatum(construct_array(purge->ids, purge->count, INT8OID, sizeof(int64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	char *sql = psprintf("DELETE FROM %s.%s WHERE %s = ANY ($1)", schema, table, column);

	if (SPI_execute_with_args(sql, 1, &type, &ids, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not delete from %s: %s", table, SPI_result_code_string(SPI_result));
	pfree(sql);
	pfree(DatumGetPointer(ids));
}

/*
 * Purge everything that may go, chunk by chunk.  Returns how many rows of the
 * outbox went.
 */
static int64
purge_all(Purge *purge, const char *schema, MemoryContext context)
{
	Oid type = TIMESTAMPTZOID;
	Datum before = TimestampTzGetDatum(purge->before);
	Portal portal = SPI_cursor_open_with_args(NULL, psprintf(OLD_ACTIONS, schema), 1, &type,
											  &before, NULL, false, 0);
	int64 purged = 0;

	for (;;)
	{
		SPI_cursor_fetch(portal, true, CHUNK_ACTIONS);
		MemoryContextSwitchTo(context);
		if (SPI_processed == 0)
			break;
		purge->count = 0;
		for (int row = 0; row < SPI_processed; row++)
		{
			HeapTuple tuple = SPI_tuptable->vals[row];
			TupleDesc desc = SPI_tuptable->tupdesc;
			bool isnull;

			CHECK_FOR_INTERRUPTS();
			add_chain(purge, SPI_getbinval(tuple, desc, 1, &isnull),
					  DatumGetTextPP(SPI_getbinval(tuple, desc, 2, &isnull)));
		}
		SPI_freetuptable(SPI_tuptable);
		delete_rows(purge, schema, DELIVERY_TABLE, "outbox_id");
		delete_rows(purge, schema, OUTBOX_TABLE, "id");
		purged += purge->count;
	}
	SPI_cursor_close(portal);
	return purged;
}

/*
 * acteon_outbox_purge(older_than interval) → bigint
 *
 * Deletes the rows of actions whose every replay finished longer ago than
 * older_than; returns how many rows of the outbox went.  Raises
 * insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_outbox_purge(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	ConsumerCall call;
	Purge purge = {0};
	int64 purged = 0;

	BeginConsumerCall(&call, fcinfo, "acteon_outbox_purge()", true);
	if (!PG_ARGISNULL(0))
		purge.before = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
															   TimestampTzGetDatum(call.now),
															   PG_GETARG_DATUM(0)));
	if (PG_ARGISNULL(0) || purge.before > call.now)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("older_than must be a time that is not negative")));
	purge.allocated = CHUNK_ACTIONS;
	purge.ids = palloc(purge.allocated * sizeof(Datum));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(context);
	if (OpenChains(&purge.chains, call.schema))
	{
		OpenFinder(&purge.deliveries, OwnTable(call.schema, DELIVERY_TABLE),
				   Anum_delivery_outbox_id);
		purged = purge_all(&purge, quote_identifier(get_namespace_name(call.schema)), context);
		CloseFinder(&purge.deliveries);
		CloseChains(&purge.chains);
	}
	SPI_finish();
	MemoryContextSwitchTo(context);
	EndConsumerCall(&call);
	PG_RETURN_INT64(purged);
}
