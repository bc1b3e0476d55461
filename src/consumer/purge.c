/*
 * purge.c
 *		acteon_outbox_purge: removing finished actions from the tables.
 *
 * The replays of an action go together, when all of them are finished and old
 * enough, or not at all: what waits is no part of it (NoneEndedAndWaiting).  Their
 * ids stay (find_action.c, IdsKept), so that no later replay gets an id that was used
 * before.  A session that replays the action at the same moment holds rows of the
 * outbox (hold_found in earlier_replays.c), and so does a redrive; such actions are
 * left for the next purge.
 *
 * One purge is at work at a time; another one that is called meanwhile does nothing, for
 * the two would wait for each other's rows.
 *
 * A purge also tidies up: what is left of cancelled batches is swept into
 * deliveries (batch_stop.c), the old rows of the tally become one for each batch
 * and ending, the refused records of old batches go (refused.c), and so do probes
 * whose action is gone (probes.c), and the names of many consumers of which nothing else
 * is left (relay.c).
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/fault_point.h"
#include "batch/batch_stop.h"
#include "batch/control_log.h"
#include "batch/probes.h"
#include "batch/reason.h"
#include "batch/refused.h"
#include "consumer/call.h"
#include "consumer/purge_part.h"
#include "consumer/trail.h"
#include "queue/delivery.h"
#include "queue/relay.h"
#include "queue/tally.h"
#include "replay/generations.h"

/* Lets one purge work at a time; see batch_flags.c for the others. */
#define PURGE_LOCK_CLASS 10

/* Actions that are fetched, and then deleted, at once. */
#define CHUNK_ACTIONS 1000

/* Nothing is older. */
#define MAX_AGE_YEARS 1000

/* How long the gateway knows the ids that it has seen. */
#define GATEWAY_REMEMBERS (24 * USECS_PER_HOUR)

/*
 * %1$s is the extension's schema, %2$s and %3$s the part of the deliveries and of the
 * outbox; see redrive.c about the search path.
 */
#define OLD_ACTIONS \
	"SELECT o.id, o.original_action_id, o.generation, o.target " \
	"FROM ONLY %1$s.%2$s AS d JOIN ONLY %1$s.%3$s AS o ON o.id = d.outbox_id " \
	"WHERE d.finished_at < $1 FOR UPDATE SKIP LOCKED"

/* A purge under way. */
typedef struct Purge
{
	Oid schema;         /* of the extension */
	TimestampTz before; /* what finished earlier may go */
	int64 most;         /* rows to delete one by one */
	PartFate fates[PARTITIONS];
	ChainReader chains;
	TableFinder deliveries;
	Datum *ids; /* of what goes next */
	int count;
	int allocated;
} Purge;

PG_FUNCTION_INFO_V1(acteon_outbox_purge);

/*
 * Add the id of a row that goes.
 */
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
 * Lock the row that was found last exclusively, if no other session has locked
 * it.
 */
static bool
lock_found(TableFinder *finder, Snapshot snapshot)
{
	ItemPointerData tid = finder->slot->tts_tid;
	TM_FailureData failure;

	return table_tuple_lock(finder->rel, &tid, snapshot, finder->slot, GetCurrentCommandId(false),
							LockTupleExclusive, LockWaitSkip, 0, &failure) == TM_Ok;
}

/*
 * Whether the replay that was found last can be deleted: no session has locked
 * it, and it finished long enough ago.
 */
static bool
may_go(Purge *purge, Datum id, Snapshot snapshot)
{
	bool isnull;

	return lock_found(&purge->chains.actions.outbox, snapshot) &&
		   FindRow(&purge->deliveries, F_INT8EQ, id, snapshot) &&
		   lock_found(&purge->deliveries, snapshot) &&
		   DatumGetTimestampTz(
			   FoundColumn(&purge->deliveries, Anum_delivery_finished_at, &isnull)) < purge->before;
}

/*
 * Add all replays of an action to a target to what goes, if all of them may; the given one may
 * and is locked, and is the first if none of an earlier generation is left.
 */
static void
add_chain(Purge *purge, Datum first_id, const text *action_id, const char *target,
		  int first_generation)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	int count_before = purge->count;
	int generation = first_generation;

	purge->chains.target = target;
	/* Later generations go with the first one that is left. */
	if (NextInChain(&purge->chains, action_id, 0, snapshot) != first_generation)
	{
		UnregisterSnapshot(snapshot);
		return;
	}
	add_id(purge, first_id);
	while ((generation = NextInChain(&purge->chains, action_id, generation, snapshot)) != 0)
	{
		bool isnull;
		Datum id = FoundColumn(&purge->chains.actions.outbox, Anum_outbox_id, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (!may_go(purge, id, snapshot))
		{
			purge->count = count_before;
			break;
		}
		add_id(purge, id);
	}
	UnregisterSnapshot(snapshot);
}

/*
 * Purge everything of a part that may go, row by row, chunk by chunk, as long as more
 * may go.  Returns how many rows of the outbox went.
 */
static int64
thin_part(Purge *purge, const char *schema, int part, int64 most, MemoryContext context)
{
	Oid type = TIMESTAMPTZOID;
	Datum before = TimestampTzGetDatum(purge->before);
	Portal portal =
		SPI_cursor_open_with_args(NULL,
								  psprintf(OLD_ACTIONS, schema, PartitionName(DELIVERY_TABLE, part),
										   PartitionName(OUTBOX_TABLE, part)),
								  1, &type, &before, NULL, false, 0);
	int64 purged = 0;

	while (purged < most)
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
			Datum target = SPI_getbinval(tuple, desc, 4, &isnull);
			const char *target_name = isnull ? NULL : TextDatumGetCString(target);

			CHECK_FOR_INTERRUPTS();
			add_chain(purge, SPI_getbinval(tuple, desc, 1, &isnull),
					  DatumGetTextPP(SPI_getbinval(tuple, desc, 2, &isnull)), target_name,
					  DatumGetInt32(SPI_getbinval(tuple, desc, 3, &isnull)));
		}
		SPI_freetuptable(SPI_tuptable);
		if (purge->count > 0)
		{
			NoteRemoved(purge->schema, REMOVAL_PURGE, purge->ids, purge->count);
			DeleteRows(purge->schema, DELIVERY_TABLE, "outbox_id", purge->ids, purge->count);
			FAULT_POINT("purge-rows");
			DeleteRows(purge->schema, OUTBOX_TABLE, "id", purge->ids, purge->count);
		}
		purged += purge->count;
	}
	SPI_cursor_close(portal);
	return purged;
}

/*
 * Sweep all that is left of cancelled batches.
 */
static void
sweep_all(const ConsumerCall *call)
{
	SegmentTable segments;
	DeliveryWriter deliveries;

	OpenSegments(&segments, call->schema);
	OpenDeliveries(&deliveries, call->schema, call->now);
	(void) SweepCancelled(call->schema, &segments, &deliveries, PG_INT64_MAX);
	CloseDeliveries(&deliveries);
	CloseSegments(&segments);
	CommandCounterIncrement();
}

/*
 * Begin to be the purge that is at work, until the transaction ends.  Returns false, with a
 * NOTICE, if another session is.
 */
static bool
begin_purging(Oid schema)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, OwnTable(schema, OUTBOX_TABLE), 0, PURGE_LOCK_CLASS);
	if (LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
		return true;
	ereport(NOTICE,
			(errmsg("another purge is under way"), errdetail("This one has done nothing.")));
	return false;
}

/*
 * Delete the probes whose actions are gone, and write down which they were.
 */
static void
purge_probes(Purge *purge)
{
	Datum *numbers;
	int count = PurgeProbes(purge->schema, purge->before, purge->most, &numbers);

	NoteRemoved(purge->schema, REMOVAL_PROBES, numbers, count);
}

/*
 * Purge what may go, part by part.  Returns how many rows of the outbox went.
 */
static int64
purge_all(Purge *purge, TimestampTz now, int *busy)
{
	MemoryContext context = CurrentMemoryContext;
	const char *schema = quote_identifier(get_namespace_name(purge->schema));
	int64 purged = 0;

	purge->allocated = CHUNK_ACTIONS;
	purge->ids = palloc(purge->allocated * sizeof(Datum));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(context);
	/* What goes is to have been linked. */
	(void) LinkTrail(purge->schema, PG_INT64_MAX);
	if (OpenChains(&purge->chains, purge->schema))
	{
		OpenPartedFinder(&purge->deliveries, purge->schema, DELIVERY_TABLE,
						 Anum_delivery_outbox_id);
		ChoosePartsToPurge(purge->schema, purge->before, now, purge->fates);
		for (int part = 0; part < PARTITIONS; part++)
		{
			if (purge->fates[part] == PART_IS_THINNED)
				purged += thin_part(purge, schema, part, purge->most - purged, context);
		}
		CloseFinder(&purge->deliveries);
		CloseChains(&purge->chains);
	}
	FoldOldTally(purge->schema, purge->before);
	PurgeRefused(purge->schema, purge->before, purge->most);
	purged += EmptyParts(purge->schema, purge->before, purge->fates, busy);
	purge_probes(purge);
	/* Not at each of many calls that purge some actions each. */
	if (purged < purge->most)
		PurgeRelays(purge->schema, purge->before);
	SPI_finish();
	MemoryContextSwitchTo(context);
	return purged;
}

/*
 * Write down who has purged.
 */
static void
log_purge(const ConsumerCall *call, FunctionCallInfo fcinfo, int64 purged, int busy,
		  const char *reason)
{
	LogDetails details;

	BeginDetails(&details);
	AddIntervalDetail(&details, "older_than", PG_GETARG_INTERVAL_P(0));
	AddNumberDetail(&details, "purged", purged);
	if (busy > 0)
		AddNumberDetail(&details, "parts_in_use", busy);
	LogControl(call->schema, call->caller.user, "purge", 0, reason, EndDetails(&details));
}

/*
 * Warn of a purge of what the gateway still remembers.
 */
static void
warn_of_known_ids(Datum older_than)
{
	Interval known = {.time = GATEWAY_REMEMBERS};

	if (DatumGetBool(DirectFunctionCall2(interval_lt, older_than, IntervalPGetDatum(&known))))
		ereport(
			WARNING,
			(errmsg("older_than is less than the %d hours for which the gateway remembers ids",
					(int) (GATEWAY_REMEMBERS / USECS_PER_HOUR)),
			 errdetail(
				 "A purged action counts as never replayed; its next replay is sent although the gateway may just have executed the previous one."),
			 errhint(
				 "Keep actions at least as long as the audit table keeps its records, for example '90 days'.")));
}

/*
 * Before when an action must have finished to go, by an interval argument.
 */
static TimestampTz
purge_bound(FunctionCallInfo fcinfo, int argument, TimestampTz now)
{
	Interval least = {0};
	Interval most = {.month = MAX_AGE_YEARS * MONTHS_PER_YEAR};

	if (PG_ARGISNULL(argument) ||
		DatumGetBool(
			DirectFunctionCall2(interval_lt, PG_GETARG_DATUM(argument), IntervalPGetDatum(&least))))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("older_than must not be negative or null"),
			 errhint(
				 "Keep actions at least as long as the audit table keeps its records, for example '90 days'.")));
	if (DatumGetBool(
			DirectFunctionCall2(interval_gt, PG_GETARG_DATUM(argument), IntervalPGetDatum(&most))))
		return DT_NOBEGIN;
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
												   TimestampTzGetDatum(now),
												   PG_GETARG_DATUM(argument)));
}

/*
 * acteon_outbox_purge(older_than interval, max_actions bigint, reason text) → bigint
 *
 * Empties the parts of the outbox whose actions finished longer ago than older_than,
 * and deletes the rows of such actions in the others, until max_actions have gone, up
 * to a chunk more; returns how many rows of the outbox went.  A NOTICE tells of parts
 * that are in use, or that another purge is under way and this one has done nothing.
 * Raises insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_outbox_purge(PG_FUNCTION_ARGS)
{
	ConsumerCall call;
	Purge *purge = palloc0(sizeof(Purge));
	int64 purged;
	int busy;
	const char *reason;

	BeginConsumerCall(&call, fcinfo, "acteon_outbox_purge()", true);
	purge->schema = call.schema;
	purge->before = purge_bound(fcinfo, 0, call.now);
	purge->most = PG_ARGISNULL(1) ? PG_INT64_MAX : PG_GETARG_INT64(1);
	if (purge->most < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_actions must be at least 1"),
				 errhint("Leave it out to purge everything that is old enough.")));
	reason = ReasonArgument(fcinfo, 2);
	if (!begin_purging(call.schema))
	{
		EndConsumerCall(&call);
		PG_RETURN_INT64(0);
	}
	LockForWriting(call.schema, WRITES_OF_QUEUE | WRITES_OUTBOX | WRITES_INSTALLATION |
									WRITES_REFUSED | WRITES_OF_TRAIL | WRITES_RELAYS |
									WRITES_ALL_PARTS);
	warn_of_known_ids(PG_GETARG_DATUM(0));
	sweep_all(&call);
	purged = purge_all(purge, call.now, &busy);
	log_purge(&call, fcinfo, purged, busy, reason);
	EndConsumerCall(&call);
	if (busy > 0)
		ereport(NOTICE,
				(errmsg_plural("%d part of the outbox is in use and stays until the next purge",
							   "%d parts of the outbox are in use and stay until the next purge",
							   busy, busy),
				 errhint("Long transactions keep parts in use that they read, or that have changed "
						 "since they began.")));
	PG_RETURN_INT64(purged);
}
