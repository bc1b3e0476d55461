/*
 * batch_state.h
 *		The state of a batch.
 */
#ifndef ACTEON_BATCH_STATE_H
#define ACTEON_BATCH_STATE_H

#include "batch/batch_row.h"
#include "query/states.h"
#include "utils/timestamp.h"

/* Whether a batch waits for the approval of a second person. */
typedef enum Approval
{
	APPROVAL_NONE,    /* it has been given, or is not needed */
	APPROVAL_AWAITED, /* nothing of the batch is enqueued before */
	APPROVAL_EXPIRED  /* it was not given in time: the batch is cancelled */
} Approval;

/* Why a batch whose approval has expired is cancelled. */
#define APPROVAL_EXPIRED_REASON "approval expired"

/*
 * Whether a batch waits for approval now.
 */
static inline Approval
ApprovalOf(const BatchRow *batch)
{
	if (!batch->awaits_until.given)
		return APPROVAL_NONE;
	return batch->awaits_until.time > GetCurrentTimestamp() ? APPROVAL_AWAITED : APPROVAL_EXPIRED;
}

/* SQL for whether the approval of a batch, whose row is named, has not expired. */
#define IS_APPROVABLE(batch) "(" batch ".awaits_until IS NULL OR " batch ".awaits_until > now())"

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
