/*
 * batch_state.h
 *		The state of a batch.
 */
#ifndef ACTEON_BATCH_STATE_H
#define ACTEON_BATCH_STATE_H

#include "batch/batch_row.h"

#define BATCH_STATE_ENQUEUING "enqueuing"
#define BATCH_STATE_RUNNING "running"
#define BATCH_STATE_PAUSED "paused"
#define BATCH_STATE_CANCELLED "cancelled"
#define BATCH_STATE_FINISHED "finished"

/*
 * State of a batch; is_queued says whether any of its actions is in the queue.
 */
static inline const char *
BatchState(const BatchRow *batch, bool is_queued)
{
	if (batch->stop == BATCH_PAUSED)
		return BATCH_STATE_PAUSED;
	if (batch->stop == BATCH_CANCELLED)
		return BATCH_STATE_CANCELLED;
	if (!batch->is_complete)
		return BATCH_STATE_ENQUEUING;
	return is_queued ? BATCH_STATE_RUNNING : BATCH_STATE_FINISHED;
}

/* SQL for the same, of a batch whose row is named. */
#define BATCH_STATE(batch, is_queued) \
	"CASE WHEN " IS_PAUSED(batch) " THEN '" BATCH_STATE_PAUSED "' WHEN " IS_CANCELLED( \
		batch) " THEN '" BATCH_STATE_CANCELLED "' WHEN NOT " batch \
			   ".is_complete THEN '" BATCH_STATE_ENQUEUING "' WHEN " is_queued \
			   " THEN '" BATCH_STATE_RUNNING "' ELSE '" BATCH_STATE_FINISHED "' END"

#endif /* ACTEON_BATCH_STATE_H */
