/*
 * batch_state.h
 *		The state of a batch.
 */
#ifndef ACTEON_BATCH_STATE_H
#define ACTEON_BATCH_STATE_H

#include "batch/batch_row.h"
#include "query/states.h"

/*
 * State of a batch; is_queued says whether any of its actions is in the queue.
 * Names and rules of states are here and in query/states.h only: whoever shows a
 * state, or asks for one, has it from here.
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

/*
 * Whether a batch comes to its end by itself, and has not yet.
 */
static inline bool
BatchGoesOn(const BatchRow *batch, bool is_queued)
{
	return batch->stop == BATCH_RUNS && (!batch->is_complete || is_queued);
}

#endif /* ACTEON_BATCH_STATE_H */
