/*
 * quiet_hours.h
 *		Hours of the day in which a policy does nothing.
 */
#ifndef ACTEON_QUIET_HOURS_H
#define ACTEON_QUIET_HOURS_H

#include "utils/date.h"
#include "utils/timestamp.h"

/* From a time of the day to another one, by the clocks of a time zone. */
typedef struct QuietHours
{
	bool given; /* false: there are none */
	TimeADT from;
	TimeADT to; /* earlier than from: of the next day */
	text *time_zone;
} QuietHours;

extern bool IsTimeZone(const text *name);
extern bool IsQuiet(const QuietHours *hours, TimestampTz at);

#endif /* ACTEON_QUIET_HOURS_H */
