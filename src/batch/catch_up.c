/*
 * catch_up.c
 *		Batches with a rate that have fallen behind.
 *
 * A rate is kept by due times.  If nobody claims for a while, because no relay
 * runs or the gateway is down, more and more falls due, and all of it would go
 * out at once when things work again: just what a rate is there to prevent.  So
 * the claim that meets an action of a paced batch long after its time gives what
 * waits of the batch new due times, from that moment on, and leaves it to the
 * claims that follow.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "utils/fmgroids.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "batch/batch_row.h"
#include "batch/catch_up.h"
#include "query/query.h"
#include "queue/batch_flags.h"
#include "queue/schedule.h"
#include "queue/wake.h"

/* How late an action of a paced batch may be, in milliseconds. */
#define MAX_LATENESS 5000

/*
 * Whether a segment of a paced batch is so late that the batch has fallen behind.
 * What was in flight and comes back tells nothing.
 */
bool
HasFallenBehind(const Segment *segment, TimestampTz now)
{
	return segment->lease_token == NO_LEASE && segment->doubt_since == 0 && !segment->unproven &&
		   TimestampDifferenceExceeds(segment->due_at, now, MAX_LATENESS);
}

/*
 * A bigint column of the row that was found, 0 if it is NULL.
 */
static int64
found_int64(TableFinder *finder, AttrNumber column)
{
	bool isnull;
	Datum value = FoundColumn(finder, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/*
 * Give what waits of the batch whose row was found, and is held, new due times.
 */
static void
pace_anew(Oid schema, TableWriter *writer, TableFinder *batches, TimestampTz now)
{
	const AttrNumber column = Anum_batch_paced_until;
	BatchQueue queue = {.schema = schema,
						.batch_id = found_int64(batches, Anum_batch_id),
						.first_id = found_int64(batches, Anum_batch_first_outbox_id),
						.last_id = found_int64(batches, Anum_batch_last_outbox_id),
						.now = now};
	bool isnull;
	Pacer pacer;
	Datum until;

	BeginPace(&pacer, now,
			  RateValue(DatumGetNumeric(FoundColumn(batches, Anum_batch_rate, &isnull))),
			  RampLeft(batches, schema));
	PaceQueue(&queue, &pacer, false);
	until = TimestampTzGetDatum(NextDueTime(&pacer, 0));
	isnull = false;
	if (!ChangeRow(writer, batches->slot, 1, &column, &until, &isnull, true))
		elog(ERROR, "batch " INT64_FORMAT " was changed while it was locked", queue.batch_id);
	NotifyConsumers(schema);
}

/*
 * Have a paced batch, which the caller has locked as claims do, go on at its rate
 * from now; unless somebody else is at the batch, or it is not paced any more.
 * Then it will be met again.  Waits for nobody.
 */
void
CatchUp(Oid schema, int64 batch_id, TimestampTz now)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableWriter writer;
	TableFinder batches;
	TupleTableSlot *held;
	bool isnull = true;

	OpenWriter(&writer, OwnTable(schema, BATCH_TABLE), true);
	OpenFinder(&batches, OwnTable(schema, BATCH_TABLE), Anum_batch_id);
	held = table_slot_create(writer.rel, NULL);
	if (FindRow(&batches, F_INT8EQ, Int64GetDatum(batch_id), snapshot))
		(void) FoundColumn(&batches, Anum_batch_rate, &isnull);
	if (!isnull)
	{
		ItemPointerData tid = batches.slot->tts_tid;

		if (HoldRow(&writer, &tid, held, false) &&
			LockBatch(schema, batch_id, ExclusiveLock, false))
			pace_anew(schema, &writer, &batches, now);
	}
	ExecDropSingleTupleTableSlot(held);
	CloseFinder(&batches);
	CloseWriter(&writer);
	UnregisterSnapshot(snapshot);
}
