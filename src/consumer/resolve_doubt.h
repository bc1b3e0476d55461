/*
 * resolve_doubt.h
 *		Actions for which it is unknown whether they were executed.
 */
#ifndef ACTEON_RESOLVE_DOUBT_H
#define ACTEON_RESOLVE_DOUBT_H

#include "audit/audit_lookup.h"
#include "queue/delivery.h"
#include "queue/segment.h"

/* Actions that one call looks up at most. */
#define MAX_LOOKED_UP 1000

/* The doubts that a call resolves; see InitDoubts. */
typedef struct Doubts
{
	MemoryContext context;
	Oid schema;
	Oid role; /* whose call it is, for the log */
	TimestampTz now;
	SegmentTable *segments;
	DeliveryWriter *deliveries;
	Segment *collected;
	int count;
	int allocated;
	int actions;   /* in those */
	bool released; /* something may be handed out now that was in doubt */
} Doubts;

/* What a person can decide about a doubt. */
typedef enum Decision
{
	DECIDE_RESEND,
	DECIDE_DELIVERED,
	DECIDE_CANCEL
} Decision;

extern void InitDoubts(Doubts *doubts, Oid schema, Oid role, TimestampTz now,
					   SegmentTable *segments, DeliveryWriter *deliveries);
extern bool HasRoomForDoubt(const Doubts *doubts, const Segment *segment);
extern void CollectDoubt(Doubts *doubts, const Segment *segment);
extern void ResolveDoubts(Doubts *doubts);
extern void
LogContradiction(Oid schema, Oid role, int64 batch_id, int64 outbox_id, const char *reason);

#endif /* ACTEON_RESOLVE_DOUBT_H */
