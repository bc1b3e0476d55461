/*
 * breaker.h
 *		The circuit breakers of batches.
 */
#ifndef ACTEON_BREAKER_H
#define ACTEON_BREAKER_H

#include "batch/batch_row.h"
#include "queue/delivery.h"

extern void CheckBreaker(Oid schema, Oid role, int64 batch_id);
extern void CheckBreakers(Oid schema, Oid role, const DeliveryWriter *deliveries);
extern char *BreakerText(const BatchRow *batch, Oid schema, Snapshot snapshot);

#endif /* ACTEON_BREAKER_H */
