/*
 * untaken.h
 *		Actions that are due and that no consumer takes.
 */
#ifndef ACTEON_UNTAKEN_H
#define ACTEON_UNTAKEN_H

#include "base/optional_time.h"

extern OptionalTime FindUntaken(Oid schema, const char *target, TimestampTz now);

#endif /* ACTEON_UNTAKEN_H */
