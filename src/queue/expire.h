/*
 * expire.h
 *		Actions that have expired.
 */
#ifndef ACTEON_EXPIRE_H
#define ACTEON_EXPIRE_H

#include "base/table_access.h"
#include "queue/delivery.h"
#include "queue/segment.h"

/* What became of a segment of which something may have expired. */
typedef struct Expired
{
	int ended; /* actions */
	int left;  /* segments of which nothing has expired; they are still to be claimed */
} Expired;

/*
 * Whether something of a segment may have expired at a time.
 */
static inline bool
MayHaveExpired(const Segment *segment, TimestampTz now)
{
	return segment->expires_at != 0 && segment->expires_at <= now;
}

extern OptionalTime OutboxExpiry(const TableFinder *outbox, TupleTableSlot *row);
extern Expired ExpireSegment(SegmentTable *segments, DeliveryWriter *deliveries,
							 TableFinder *outbox, const Segment *segment, TimestampTz now);

#endif /* ACTEON_EXPIRE_H */
