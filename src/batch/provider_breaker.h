/*
 * provider_breaker.h
 *		The circuit breakers of providers.
 */
#ifndef ACTEON_PROVIDER_BREAKER_H
#define ACTEON_PROVIDER_BREAKER_H

#include "queue/delivery.h"
#include "queue/limit.h"
#include "queue/tally.h"

extern bool IsLeftToProvider(LimitSet *limits, const TallyRow *row);
extern void CheckProviders(Oid schema, Oid role, const DeliveryWriter *deliveries);
extern bool JudgeTrials(LimitSet *limits, Oid role);
extern bool
CloseBreaker(LimitSet *limits, SharedLimit *limit, Oid role, const char *reason, bool wait);
extern void HastenTrial(Oid schema, const text *provider, TimestampTz at);
extern void
InsertLimit(Oid schema, LimitKind kind, const text *name, const Datum *values, const bool *nulls);

#endif /* ACTEON_PROVIDER_BREAKER_H */
