/*
 * batch_state.h
 *		The state of a batch.
 */
#ifndef ACTEON_BATCH_STATE_H
#define ACTEON_BATCH_STATE_H

#include "batch/batch_row.h"
#include "query/states.h"

/* What is in the queue of a batch. */
typedef enum BatchQueueContents
{
	QUEUE_EMPTY,
	QUEUE_DOUBTS, /* only actions in doubt */
	QUEUE_MOVES   /* actions that wait or are being sent */
} BatchQueueContents;

extern BatchQueueContents QueueContents(int64 waiting, int64 in_flight, int64 in_doubt);
extern const char *
BatchState(Oid schema, const BatchRow *batch, BatchQueueContents queue, TimestampTz now);
extern bool BatchGoesOn(const char *state);

extern void HoldEnqueuing(Oid schema, int64 batch_id);
extern void ReleaseEnqueuing(Oid schema, int64 batch_id);

#endif /* ACTEON_BATCH_STATE_H */
