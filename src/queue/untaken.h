/*
 * untaken.h
 *		Actions that are due and that no consumer takes.
 */
#ifndef ACTEON_UNTAKEN_H
#define ACTEON_UNTAKEN_H

#include "base/optional_time.h"

/* What no consumer takes. */
typedef struct Untaken
{
	OptionalTime since;
	char *target;
} Untaken;

extern void FindUntaken(Untaken *untaken, Oid schema, const char *target, TimestampTz now);
extern const char *RelayOptions(const char *target);

#endif /* ACTEON_UNTAKEN_H */
