/*
 * batch_scan.c
 *		Reading the segments of a batch.
 *
 * A batch knows the first and the last id of its actions in the outbox.  Segments of other
 * batches can lie between them.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "queue/batch_scan.h"

/*
 * Begin to read the segments of a batch whose first ids lie between two ids, inclusive, in
 * the order of these, as they are at this moment.  Until the end of the scan the current
 * memory context is one of its own, which is reset for each segment.
 */
void
BeginBatchScan(BatchScan *scan, SegmentTable *table, int64 batch_id, int64 first_id, int64 last_id)
{
	BeginRangeScan(&scan->segments, table, first_id, last_id);
	scan->batch_id = batch_id;
	scan->read = 0;
	scan->context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay segments", ALLOCSET_SMALL_SIZES);
	scan->caller = MemoryContextSwitchTo(scan->context);
}

/*
 * Read the next segment of the batch.  What was allocated for the one before is freed.
 */
bool
NextOfBatch(BatchScan *scan, Segment *segment)
{
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(scan->context);
		if (!NextSegment(&scan->segments, segment))
			return false;
		scan->read++;
		if (segment->batch_id == scan->batch_id)
			return true;
	}
}

/*
 * Done with a scan; it need not have come to its end.  The last segment is freed.
 */
void
EndBatchScan(BatchScan *scan)
{
	MemoryContextSwitchTo(scan->caller);
	EndSegmentScan(&scan->segments);
	MemoryContextDelete(scan->context);
}
