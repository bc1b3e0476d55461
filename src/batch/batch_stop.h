/*
 * batch_stop.h
 *		Batches that are stopped: paused or cancelled.
 */
#ifndef ACTEON_BATCH_STOP_H
#define ACTEON_BATCH_STOP_H

#include "storage/lock.h"
#include "utils/hsearch.h"

#include "base/table_access.h"
#include "queue/delivery.h"
#include "queue/segment.h"

/* Values of acteon_replay_batch.stopped. */
#define STOPPED_PAUSED "paused"
#define STOPPED_CANCELLING "cancelling" /* some of its segments are left */
#define STOPPED_CANCELLED "cancelled"

/* Whether a batch's actions may go out. */
typedef enum BatchStop
{
	BATCH_RUNS,
	BATCH_PAUSED,
	BATCH_CANCELLED,
	BATCH_BUSY /* it is being steered at this moment */
} BatchStop;

/* What a call knows of the batches that it meets; see LookAtBatch. */
typedef struct BatchGuard
{
	MemoryContext context;
	Oid schema;
	bool is_open; /* the table is opened when first needed */
	TableFinder batches;
	int64 last_id; /* of the batch met last; 0: none yet */
	BatchStop last;
	bool last_paced; /* it has a rate */
	HTAB *others;    /* those met before it */
} BatchGuard;

extern BatchStop StopOfBatch(TableFinder *batches, int64 batch_id, Snapshot snapshot);
extern void LockSteering(Oid schema, int64 batch_id);
extern bool LockBatch(Oid schema, int64 batch_id, LOCKMODE mode, bool wait);
extern void InitBatchGuard(BatchGuard *guard, Oid schema);
extern BatchStop LookAtBatch(BatchGuard *guard, int64 batch_id, bool *paced);
extern void LeaveBatch(BatchGuard *guard, int64 batch_id);
extern void CloseBatchGuard(BatchGuard *guard);
extern int SweepSegment(SegmentTable *segments, DeliveryWriter *deliveries, const Segment *segment);
extern int64 SweepBatch(Oid schema, int64 batch_id, SegmentTable *segments,
						DeliveryWriter *deliveries, int64 most);
extern int64
SweepCancelled(Oid schema, SegmentTable *segments, DeliveryWriter *deliveries, int64 most);

#endif /* ACTEON_BATCH_STOP_H */
