/*
 * enqueue.h
 *		What the gateway will see: enqueueing.
 */
#ifndef ACTEON_ENQUEUE_H
#define ACTEON_ENQUEUE_H

#include "base/catalog.h"
#include "queue/segment.h"
#include "replay/eligibility.h"
#include "replay/outbox.h"

/* The columns of a row of the outbox that is enqueued again; see EnqueueCopies. */
typedef struct CopiedRow
{
	Datum values[Natts_outbox];
	bool nulls[Natts_outbox];
} CopiedRow;

extern void EnqueueItems(Outbox *outbox, ReplayItem *items, int count);
extern const char *CopiedTarget(const CopiedRow *row);
extern const Segment *EnqueueCopies(Outbox *outbox, ReplayItem **items, int count, int *made);

#endif /* ACTEON_ENQUEUE_H */
