/*
 * relay.h
 *		Consumers by numbers.
 */
#ifndef ACTEON_RELAY_H
#define ACTEON_RELAY_H

#include "queue/segment.h"

extern int32 RelayNumber(Oid schema, const text *name, const char *target, const text *gateway);

#endif /* ACTEON_RELAY_H */
