/*
 * batch_stop.h
 *		Batches that are stopped: paused or cancelled.
 */
#ifndef ACTEON_BATCH_STOP_H
#define ACTEON_BATCH_STOP_H

#include "utils/hsearch.h"

#include "base/table_access.h"
#include "queue/batch_flags.h"
#include "queue/delivery.h"
#include "queue/segment.h"

/* What a call knows of the batches that it meets; see LookAtBatch. */
typedef struct BatchGuard
{
	MemoryContext context;
	Oid schema;
	bool is_open; /* the table is opened when first needed */
	TableFinder batches;
	int64 last_id; /* of the batch met last; 0: none yet */
	BatchStop last;
	bool last_paced;         /* it has a rate */
	int64 last_released;     /* the last outbox id of it that the canary does not hold back */
	OptionalTime last_start; /* its start_at */
	HTAB *others;            /* those met before it */
} BatchGuard;

extern void InitBatchGuard(BatchGuard *guard, Oid schema);
extern BatchStop LookAtBatch(BatchGuard *guard, int64 batch_id);
extern void LeaveBatch(BatchGuard *guard, int64 batch_id);
extern void CloseBatchGuard(BatchGuard *guard);
extern void DoubtCancelled(Segment *segment, TimestampTz now);
extern void AddCancelled(DeliveryWriter *deliveries, const Segment *segment);
extern int SweepSegment(SegmentTable *segments, DeliveryWriter *deliveries, const Segment *segment);
extern int64 SweepBatch(Oid schema, int64 batch_id, SegmentTable *segments,
						DeliveryWriter *deliveries, int64 most);
extern int64
SweepCancelled(Oid schema, SegmentTable *segments, DeliveryWriter *deliveries, int64 most);

#endif /* ACTEON_BATCH_STOP_H */
