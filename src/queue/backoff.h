/*
 * backoff.h
 *		When an action that a consumer gave back is tried again.
 */
#ifndef ACTEON_BACKOFF_H
#define ACTEON_BACKOFF_H

#include "datatype/timestamp.h"

extern TimestampTz BackoffTime(TimestampTz now, int failures);

#endif /* ACTEON_BACKOFF_H */
