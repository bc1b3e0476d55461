/*
 * breaker.h
 *		The circuit breakers of batches.
 */
#ifndef ACTEON_BREAKER_H
#define ACTEON_BREAKER_H

#include "queue/delivery.h"

extern void CheckBreaker(Oid schema, Oid role, int64 batch_id);
extern void CheckBreakers(Oid schema, Oid role, const DeliveryWriter *deliveries);

#endif /* ACTEON_BREAKER_H */
