/*
 * optional_time.h
 *		A time that may be absent.
 */
#ifndef ACTEON_OPTIONAL_TIME_H
#define ACTEON_OPTIONAL_TIME_H

#include "datatype/timestamp.h"

/* A time that may be absent. */
typedef struct OptionalTime
{
	bool given;
	TimestampTz time;
} OptionalTime;

#endif /* ACTEON_OPTIONAL_TIME_H */
