/*
 * catch_up.h
 *		Batches with a rate that have fallen behind.
 */
#ifndef ACTEON_CATCH_UP_H
#define ACTEON_CATCH_UP_H

#include "queue/segment.h"

extern bool HasFallenBehind(const Segment *segment, TimestampTz now);
extern void CatchUp(Oid schema, int64 batch_id, TimestampTz now);

#endif /* ACTEON_CATCH_UP_H */
