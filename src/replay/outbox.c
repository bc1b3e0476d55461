/*
 * outbox.c
 *		The outbox, open for one batch.
 *
 * A call opens the outbox, resolves its items (earlier_replays.c), enqueues those
 * that are left (enqueue.c), and closes it, which writes the segments.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/fault_point.h"
#include "base/installation.h"
#include "base/numbers.h"
#include "base/partition.h"
#include "batch/failover.h"
#include "query/patch.h"
#include "queue/turn.h"
#include "queue/wake.h"
#include "replay/outbox_int.h"

/*
 * An empty set of actions.
 */
static HTAB *
make_seen(void)
{
	HASHCTL control = {0};

	control.keysize = sizeof(SeenKey);
	control.entrysize = sizeof(SeenKey);
	control.hcxt = CurrentMemoryContext;
	return hash_create("acteon_replay actions", 64, &control,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * Open the outbox for one batch, in the current memory context.  Due times
 * follow from the query's rate and start_at; now is the batch's time.  Needs an
 * SPI connection.
 */
Outbox *
OpenOutbox(Oid schema, const ReplayQuery *query, TimestampTz now)
{
	Outbox *outbox = palloc0(sizeof(Outbox));

	outbox->context = CurrentMemoryContext;
	outbox->schema = schema;
	outbox->query = query;
	outbox->created_at = now;
	BeginPace(&outbox->pacer, query->start_at.given ? Max(query->start_at.time, now) : now,
			  query->rate_value, 0);
	outbox->run_rows = SegmentRows(query->rate_value);
	outbox->ramp = query->ramp;
	if (query->provider_override != NULL)
		outbox->provider_override = cstring_to_text(query->provider_override);
	outbox->target = TargetOf(query);
	if (outbox->target != NULL)
		outbox->target_text = cstring_to_text(outbox->target);
	if (query->change != NULL)
		outbox->patch_label = PatchLabel(query->change->written);
	outbox->rows_hash.given = true;
	outbox->statement = GetActiveSnapshot();
	outbox->segments_allocated = 16;
	outbox->segments = palloc(outbox->segments_allocated * sizeof(Segment));

	EnsureNamespace(schema, &outbox->namespace);
	NoticeServer(schema, GetUserId());
	OpenWriter(&outbox->ids, OwnTable(schema, ACTION_TABLE), false);
	PutIndexFirst(&outbox->ids, ACTION_ID_INDEX, Anum_action_action_id);
	outbox->action_index = outbox->ids.rri->ri_IndexRelationDescs[ACTION_ID_INDEX];
	outbox->used = table_slot_create(outbox->ids.rel, NULL);
	OpenPartedFinder(&outbox->earlier, schema, OUTBOX_TABLE, Anum_outbox_id);
	InitDirtySnapshot(outbox->dirty);
	InitStateReader(&outbox->states, schema);
	outbox->seen = make_seen();
	return outbox;
}

/*
 * Add to an existing batch: its pace continues where an earlier transaction has
 * stopped.  If it has fallen behind, it does not catch up.
 */
void
JoinBatch(Outbox *outbox, const BatchRow *batch)
{
	Pacer *pacer = &outbox->pacer;

	outbox->batch_id = batch->id;
	if (pacer->rate > 0 && batch->paced_until.given)
		pacer->start = Max(pacer->start, batch->paced_until.time);
	if (outbox->ramp)
		pacer->ramp = Max(RampLength(batch->matched) - batch->replayed, 0);
	outbox->ramp = false;
	if (batch->replayed > 0)
		outbox->rows_hash = batch->rows_hash;
}

/*
 * Number of the batch, drawn when it is first needed.
 */
int64
OutboxBatchId(Outbox *outbox)
{
	if (outbox->batch_id == 0)
		outbox->batch_id = NextBatchId(outbox->schema);
	return outbox->batch_id;
}

/*
 * The lowest and the highest id of the rows that are in; both 0 if there are
 * none.
 */
void
OutboxRange(const Outbox *outbox, int64 *first_id, int64 *last_id)
{
	*first_id = *last_id = 0;
	for (int i = 0; i < outbox->segment_count; i++)
	{
		const Segment *segment = &outbox->segments[i];

		if (*first_id == 0 || segment->first_id < *first_id)
			*first_id = segment->first_id;
		if (segment->last_id > *last_id)
			*last_id = segment->last_id;
	}
}

/*
 * The hash of the rows of the batch that are in.
 */
RowsHash
OutboxRowsHash(const Outbox *outbox)
{
	return outbox->rows_hash;
}

/*
 * Hold back what is enqueued, for the batch's canary to release.
 */
void
HoldOutboxBack(Outbox *outbox)
{
	outbox->holds = true;
}

/*
 * From now on, an earlier replay whose row is locked, as by a redrive, is not waited for, but
 * raises lock_not_available: who has locked it may wait for a lock that the caller has.
 */
void
WaitForNoRow(Outbox *outbox)
{
	outbox->never_waits = true;
}

/*
 * With a rate, when the next action of the batch would be due.
 */
OptionalTime
OutboxPacedUntil(const Outbox *outbox)
{
	Pacer pacer = outbox->pacer;
	OptionalTime result = {pacer.rate > 0, NextDueTime(&pacer, 0)};

	return result;
}

/*
 * Write the segments of the batch.
 */
static void
write_segments(Outbox *outbox)
{
	SegmentTable segments;

	OpenSegmentsToAdd(&segments, outbox->schema);
	for (int i = 0; i < outbox->segment_count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (outbox->holds)
			outbox->segments[i].due_at = DT_NOEND;
		InsertSegment(&segments, &outbox->segments[i]);
	}
	CloseSegments(&segments);
}

/*
 * Draw a block of ids, if there is none, and open the part of the outbox that they
 * are in.  A call that finds the part large lets those that follow use the next one.
 */
void
OpenOutboxPart(Outbox *outbox)
{
	MemoryContext old = MemoryContextSwitchTo(outbox->context);

	if (outbox->next_block == 0)
		outbox->next_block = NextNumber(outbox->schema, OUTBOX_SEQUENCE, OUTBOX_TABLE);
	if (outbox->is_open && outbox->partition != PartitionOfId(outbox->next_block))
		CloseOutboxPart(outbox);
	if (!outbox->is_open)
	{
		outbox->partition = PartitionOfId(outbox->next_block);
		OpenWriter(&outbox->writer, PartitionTable(outbox->schema, OUTBOX_TABLE, outbox->partition),
				   false);
		PutIndexFirst(&outbox->writer, ID_INDEX, Anum_outbox_id);
		outbox->is_open = true;
		TurnIfLarge(outbox->schema, outbox->writer.rel, outbox->next_block);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Close it.
 */
void
CloseOutboxPart(Outbox *outbox)
{
	if (!outbox->is_open)
		return;
	for (int i = 0; i < SEGMENT_ACTIONS && outbox->slots[i] != NULL; i++)
	{
		ExecDropSingleTupleTableSlot(outbox->slots[i]);
		outbox->slots[i] = NULL;
	}
	CloseWriter(&outbox->writer);
	outbox->is_open = false;
}

/*
 * Finish the batch: write its segments, and wake the consumers up when the
 * transaction commits.
 */
void
CloseOutbox(Outbox *outbox)
{
	if (outbox->segment_count > 0)
	{
		FAULT_POINT("enqueue-segments");
		write_segments(outbox);
		NotifyConsumers(outbox->schema);
	}
	CloseOutboxPart(outbox);
	for (int i = 0; i < SEGMENT_ACTIONS && outbox->id_slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(outbox->id_slots[i]);
	ExecDropSingleTupleTableSlot(outbox->used);
	CloseFinder(&outbox->earlier);
	CloseWriter(&outbox->ids);
	CloseStateReader(&outbox->states);
}
