/*
 * batch_flags.h
 *		What the queue has to know of a batch: whether it is stopped, and its locks.
 */
#ifndef ACTEON_BATCH_FLAGS_H
#define ACTEON_BATCH_FLAGS_H

#include "storage/lock.h"
#include "utils/snapshot.h"

#include "base/table_access.h"

/* Values of acteon_replay_batch.stopped. */
#define STOPPED_PAUSED "paused"
#define STOPPED_CANCELLING "cancelling" /* some of its segments are left */
#define STOPPED_CANCELLED "cancelled"

/* SQL for whether a batch, whose row is named, is stopped in one of these ways; NULL: in none. */
#define IS_PAUSED(batch) batch ".stopped = '" STOPPED_PAUSED "'"
#define IS_CANCELLED(batch) batch ".stopped IN ('" STOPPED_CANCELLING "', '" STOPPED_CANCELLED "')"

/* Whether a batch's actions may go out. */
typedef enum BatchStop
{
	BATCH_RUNS,
	BATCH_PAUSED,
	BATCH_CANCELLED,
	BATCH_BUSY /* it is being steered at this moment */
} BatchStop;

extern BatchStop StopOfValue(Datum stopped, bool isnull);
extern BatchStop StopInRow(TupleTableSlot *row);
extern BatchStop StopOfBatch(TableFinder *batches, int64 batch_id, Snapshot snapshot);
extern void LockSteering(Oid schema, int64 batch_id);
extern uint32 BatchLockOf(int64 batch_id);
extern bool LockBatch(Oid schema, int64 batch_id, LOCKMODE mode, bool wait);

#endif /* ACTEON_BATCH_FLAGS_H */
