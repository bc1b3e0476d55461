/*
 * batch_scan.h
 *		Reading the segments of a batch.
 */
#ifndef ACTEON_BATCH_SCAN_H
#define ACTEON_BATCH_SCAN_H

#include "queue/segment.h"

/* A scan of the segments of a batch. */
typedef struct BatchScan
{
	SegmentScan segments;
	int64 batch_id;
	int64 read;            /* segments, with those of other batches */
	MemoryContext context; /* for one segment, the current one during the scan */
	MemoryContext caller;  /* the current one before */
} BatchScan;

extern void
BeginBatchScan(BatchScan *scan, SegmentTable *table, int64 batch_id, int64 first_id, int64 last_id);
extern bool NextOfBatch(BatchScan *scan, Segment *segment);
extern void EndBatchScan(BatchScan *scan);

#endif /* ACTEON_BATCH_SCAN_H */
