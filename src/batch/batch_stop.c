/*
 * batch_stop.c
 *		Batches that are stopped: paused or cancelled.
 *
 * That a batch is stopped is written in its row and nowhere else, so stopping a
 * million actions changes one row.  Every claim looks at the rows of the batches
 * that it encounters.  Segments of a paused batch it parks, so that it does not
 * encounter them again; those of a cancelled one it sweeps into deliveries.
 *
 * Cancelling frees the actions for another replay, and resuming brings parked
 * ones back.  Neither may overlook what a claim is doing at that moment.  So a
 * claim locks each batch, shared, before it looks at its row, and cancelling and
 * resuming lock it exclusively: who has the lock knows that earlier claims have
 * committed and that later ones see the row (NoneAfterCancel).  Pausing needs no lock: what a claim
 * hands out at that moment is in flight, as if the claim had come a little earlier.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/invariant.h"
#include "batch/batch_row.h"
#include "batch/batch_stop.h"
#include "queue/batch_flags.h"
#include "queue/batch_scan.h"
#include "queue/doubt.h"

/* What a call has found out about a batch. */
typedef struct KnownBatch
{
	int64 id;
	BatchStop stop;
	bool paced;
	int64 released;
	OptionalTime start;
} KnownBatch;

/*
 * Whether the batch that was found last has a rate.
 */
static bool
is_paced(TableFinder *batches)
{
	bool isnull = true;

	if (!TTS_EMPTY(batches->slot))
		(void) FoundColumn(batches, Anum_batch_rate, &isnull);
	return !isnull;
}

/*
 * The last outbox id of the batch that was found last which its canary does not hold
 * back.
 */
static int64
released_id(TableFinder *batches)
{
	bool isnull = true;
	Datum last_id = (Datum) 0;

	if (!TTS_EMPTY(batches->slot))
		last_id = FoundColumn(batches, Anum_batch_canary_last_id, &isnull);
	return isnull ? PG_INT64_MAX : DatumGetInt64(last_id);
}

/*
 * The start_at of the batch that was found last.
 */
static OptionalTime
start_of(TableFinder *batches)
{
	bool isnull = true;
	Datum value = (Datum) 0;
	OptionalTime start = {false};

	if (!TTS_EMPTY(batches->slot))
		value = FoundColumn(batches, Anum_batch_start_at, &isnull);
	start.given = !isnull;
	if (start.given)
		start.time = DatumGetTimestampTz(value);
	return start;
}

/*
 * Get ready to look at batches, in the current memory context.
 */
void
InitBatchGuard(BatchGuard *guard, Oid schema)
{
	memset(guard, 0, sizeof(*guard));
	guard->context = CurrentMemoryContext;
	guard->schema = schema;
}

/*
 * Remember what has been found out about the batch met last.
 */
static void
remember_last(BatchGuard *guard)
{
	KnownBatch *known;

	if (guard->last_id == 0)
		return;
	if (guard->others == NULL)
	{
		HASHCTL control = {.keysize = sizeof(int64),
						   .entrysize = sizeof(KnownBatch),
						   .hcxt = guard->context};

		guard->others = hash_create("acteon_replay batches", 64, &control,
									HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	known = hash_search(guard->others, &guard->last_id, HASH_ENTER, NULL);
	known->stop = guard->last;
	known->paced = guard->last_paced;
	known->released = guard->last_released;
	known->start = guard->last_start;
}

/*
 * Whether actions of a batch may be handed out; then guard->last_paced says whether it
 * has a rate, guard->last_released up to which outbox id they may, and guard->last_start
 * from which time on.  The answer holds until the transaction ends, unless the batch is paused.
 */
BatchStop
LookAtBatch(BatchGuard *guard, int64 batch_id)
{
	KnownBatch *known = NULL;

	if (batch_id == guard->last_id)
		return guard->last;
	remember_last(guard);
	if (guard->others != NULL)
		known = hash_search(guard->others, &batch_id, HASH_FIND, NULL);
	guard->last_id = batch_id;
	guard->last_paced = known != NULL && known->paced;
	guard->last_released = known != NULL ? known->released : PG_INT64_MAX;
	guard->last_start = known != NULL ? known->start : (OptionalTime){false};
	if (known != NULL)
		guard->last = known->stop;
	else if (!LockBatch(guard->schema, batch_id, ShareLock, false))
		guard->last = BATCH_BUSY;
	else
	{
		Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
		MemoryContext old = MemoryContextSwitchTo(guard->context);

		if (!guard->is_open)
			OpenFinder(&guard->batches, OwnTable(guard->schema, BATCH_TABLE), Anum_batch_id);
		guard->is_open = true;
		guard->last = StopOfBatch(&guard->batches, batch_id, snapshot);
		guard->last_paced = is_paced(&guard->batches);
		guard->last_released = released_id(&guard->batches);
		guard->last_start = start_of(&guard->batches);
		MemoryContextSwitchTo(old);
		UnregisterSnapshot(snapshot);
	}
	return guard->last;
}

/*
 * Leave the batch that was met last alone for the rest of the call.
 */
void
LeaveBatch(BatchGuard *guard, int64 batch_id)
{
	Assert(guard->last_id == batch_id);
	guard->last = BATCH_BUSY;
}

/*
 * Done with looking at batches.  The locks stay until the transaction ends.
 */
void
CloseBatchGuard(BatchGuard *guard)
{
	if (guard->is_open)
		CloseFinder(&guard->batches);
	guard->is_open = false;
}

/* ----------------------------------------------------------------
 * Sweeping
 * ----------------------------------------------------------------
 */

/*
 * Put a segment that is cancelled in doubt again, because an earlier id of it was given up
 * without proof: it is looked up, and is not sent.
 */
void
DoubtCancelled(Segment *segment, TimestampTz now)
{
	MakeDoubt(segment, now, "an earlier id of it may have been executed", now);
	HoldDoubt(segment, "its batch is cancelled");
}

/*
 * Add deliveries of the actions of a segment, which are cancelled.
 */
void
AddCancelled(DeliveryWriter *deliveries, const Segment *segment)
{
	Delivery delivery = {.batch_id = segment->batch_id,
						 .attempts = segment->attempt,
						 .state = ACTION_CANCELLED,
						 .resend = segment->resend,
						 .outcome = {.isnull = true},
						 .error = {.isnull = true}};

	AssertInvariant(EndedHasNoEffect, segment->lease_token == NO_LEASE &&
										  segment->doubt_since == 0 && !segment->unproven);
	for (int64 id = segment->first_id; id <= segment->last_id; id++)
	{
		delivery.outbox_id = id;
		AddDelivery(deliveries, &delivery);
	}
}

/*
 * Put a segment in the table in doubt so, unless another session has locked it.
 */
static void
doubt_segment(SegmentTable *segments, const Segment *segment, TimestampTz now)
{
	Segment doubt = *segment;

	DoubtCancelled(&doubt, now);
	if (HoldSegment(segments, segment, false))
		(void) ReplaceSegment(segments, segment, &doubt, 1);
}

/*
 * Turn a segment of a cancelled batch, which no consumer holds, into
 * deliveries.  Returns how many; none if another session has locked it, or if
 * its actions may have been sent: actions in doubt never become cancelled
 * (EndedHasNoEffect).
 */
int
SweepSegment(SegmentTable *segments, DeliveryWriter *deliveries, const Segment *segment)
{
	if (segment->doubt_since != 0 || segment->lease_token != NO_LEASE)
		return 0;
	if (segment->unproven)
	{
		doubt_segment(segments, segment, deliveries->finished_at);
		return 0;
	}
	if (!HoldSegment(segments, segment, false) || !RemoveSegment(segments, segment))
		return 0;
	AddCancelled(deliveries, segment);
	return SegmentLength(segment);
}

/*
 * Sweep segments of a cancelled batch, given its row, until the given number of
 * actions are cancelled.  Returns how many were cancelled; *left says whether
 * segments are left, held or not.
 */
static int64
sweep_batch(TupleTableSlot *row, SegmentTable *segments, DeliveryWriter *deliveries, int64 most,
			bool *left)
{
	TimestampTz now = deliveries->finished_at;
	bool isnull, none;
	int64 batch_id = DatumGetInt64(slot_getattr(row, Anum_batch_id, &isnull));
	int64 first = DatumGetInt64(slot_getattr(row, Anum_batch_first_outbox_id, &none));
	int64 last = DatumGetInt64(slot_getattr(row, Anum_batch_last_outbox_id, &isnull));
	int64 swept = 0;
	BatchScan scan;
	Segment segment;

	*left = false;
	if (none)
		return 0;
	BeginBatchScan(&scan, segments, batch_id, first, last);
	while (NextOfBatch(&scan, &segment))
	{
		int count = 0;

		if (!SegmentIsLeased(&segment, now) && swept < most)
			count = SweepSegment(segments, deliveries, &segment);
		swept += count;
		*left |= count == 0;
		if (*left && swept >= most)
			break;
	}
	EndBatchScan(&scan);
	return swept;
}

/*
 * Note in its row that nothing of a cancelled batch is left in the queue,
 * unless the row is locked.
 */
static void
note_swept(Oid schema, int64 batch_id)
{
	HeldBatch held;

	if (!HoldBatch(&held, schema, batch_id, false))
		return;
	EndCancelling(&held);
	ReleaseBatch(&held);
}

/*
 * Sweep the rest of one cancelled batch, up to about the given number of
 * actions.  Returns how many were cancelled.
 */
int64
SweepBatch(Oid schema, int64 batch_id, SegmentTable *segments, DeliveryWriter *deliveries,
		   int64 most)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableFinder batches;
	int64 swept = 0;
	bool left = true;

	OpenFinder(&batches, OwnTable(schema, BATCH_TABLE), Anum_batch_id);
	if (FindRow(&batches, F_INT8EQ, Int64GetDatum(batch_id), snapshot))
		swept = sweep_batch(batches.slot, segments, deliveries, most, &left);
	CloseFinder(&batches);
	UnregisterSnapshot(snapshot);
	if (!left)
		note_swept(schema, batch_id);
	return swept;
}

/*
 * Sweep the rest of cancelled batches, up to about the given number of actions.
 * Returns how many were cancelled.
 */
int64
SweepCancelled(Oid schema, SegmentTable *segments, DeliveryWriter *deliveries, int64 most)
{
	static const AttrNumber stopped[] = {Anum_batch_stopped};
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableReader batches;
	ScanKeyData key;
	int64 swept = 0;

	OpenReader(&batches, OwnTable(schema, BATCH_TABLE), RowsWith(stopped[0]), 1, stopped);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(STOPPED_CANCELLING));
	key.sk_collation = batches.index->rd_indcollation[0];
	BeginReading(&batches, snapshot, &key, 1);
	while (swept < most && index_getnext_slot(batches.scan, ForwardScanDirection, batches.slot))
	{
		bool isnull;
		int64 batch_id = DatumGetInt64(slot_getattr(batches.slot, Anum_batch_id, &isnull));
		bool left;

		/* What this command has changed already must not be met again. */
		CommandCounterIncrement();
		swept += sweep_batch(batches.slot, segments, deliveries, most - swept, &left);
		if (!left)
			note_swept(schema, batch_id);
	}
	CloseReader(&batches);
	UnregisterSnapshot(snapshot);
	return swept;
}
