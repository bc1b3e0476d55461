/*
 * run_batch.h
 *		Working off a batch of acteon_replay_all, chunk by chunk.
 */
#ifndef ACTEON_RUN_BATCH_H
#define ACTEON_RUN_BATCH_H

#include "batch/batch_row.h"

/* How far a batch has come. */
typedef struct BatchCounts
{
	int64 matched;
	int64 replayed;
	int64 failed;
	int64 skipped;
	int64 passed_over;
} BatchCounts;

extern void CountBatch(BatchCounts *counts, const BatchRow *batch);
extern bool RunChunk(Oid schema, int64 batch_id, int chunk, BatchCounts *counts);
extern bool RunBatch(Oid schema, int64 batch_id, int chunk, bool begins, BatchCounts *counts);

#endif /* ACTEON_RUN_BATCH_H */
