/*
 * quiet_hours.c
 *		Hours of the day in which a policy does nothing.
 *
 * A time is quiet if the clocks of the time zone show one between from and to then, or if
 * it is between the moment that from names on some day and the one that to names next.
 * The two differ where clocks are changed: an hour that is shown twice is quiet
 * both times, if it is or what lies between is, and one that is left out ends or begins
 * where the clocks jump.
 */
#include "postgres.h"

#include "fmgr.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "policy/quiet_hours.h"

PG_FUNCTION_INFO_V1(acteon_quiet_until);
PG_FUNCTION_INFO_V1(acteon_known_time_zone);

/* The longest that quiet hours can last, with clocks that are set back meanwhile. */
#define MAX_QUIET_MINUTES (26 * MINS_PER_HOUR)

/*
 * Whether there is a time zone of this full name.  What an abbreviation stands for, if
 * anything, depends on the session.
 */
bool
IsTimeZone(const text *name)
{
	return pg_tzset(text_to_cstring(name)) != NULL;
}

/*
 * What the clocks of the time zone show at a time.
 */
static Timestamp
local_time(const QuietHours *hours, TimestampTz at)
{
	return DatumGetTimestamp(DirectFunctionCall2(timestamptz_zone,
												 PointerGetDatum(hours->time_zone),
												 TimestampTzGetDatum(at)));
}

/*
 * The time at which the clocks of the time zone show something: the later one if they do
 * so twice, and, if they never do, the one that they would with the offset of before.
 */
static TimestampTz
time_of(const QuietHours *hours, Timestamp local)
{
	return DatumGetTimestampTz(DirectFunctionCall2(timestamp_zone,
												   PointerGetDatum(hours->time_zone),
												   TimestampGetDatum(local)));
}

/*
 * The first time at which the clocks of the time zone show something.
 */
static TimestampTz
first_time_of(const QuietHours *hours, Timestamp local)
{
	static const int64 set_back[] = {USECS_PER_HOUR, USECS_PER_HOUR / 2};
	TimestampTz time = time_of(hours, local);

	for (int i = 0; i < lengthof(set_back); i++)
	{
		if (local_time(hours, time - set_back[i]) == local)
			return time - set_back[i];
	}
	return time;
}

/*
 * Whether the clocks show a quiet time.
 */
static bool
clock_is_quiet(const QuietHours *hours, TimeADT clock)
{
	if (hours->from < hours->to)
		return clock >= hours->from && clock < hours->to;
	return clock >= hours->from || clock < hours->to;
}

/*
 * Whether a time is quiet.  Raises invalid_parameter_value for an unknown time zone.
 */
bool
IsQuiet(const QuietHours *hours, TimestampTz at)
{
	Timestamp local;
	Timestamp midnight;
	TimeADT clock;

	if (!hours->given || TIMESTAMP_NOT_FINITE(at))
		return false;
	local = local_time(hours, at);
	clock = local % USECS_PER_DAY;
	if (clock < 0)
		clock += USECS_PER_DAY;
	if (clock_is_quiet(hours, clock))
		return true;
	midnight = local - clock;
	for (int day = -1; day <= 0; day++)
	{
		Timestamp begin = midnight + day * USECS_PER_DAY + hours->from;
		Timestamp end = midnight + day * USECS_PER_DAY + hours->to +
						(hours->from < hours->to ? 0 : USECS_PER_DAY);
		TimestampTz ends = time_of(hours, end);

		if (at >= first_time_of(hours, begin) && at < ends && local_time(hours, ends) == end)
			return true;
	}
	return false;
}

/*
 * acteon_quiet_until(at timestamptz, quiet_from time, quiet_to time, time_zone text)
 * → timestamptz
 *
 * Returns until when a time is quiet, to the minute, or NULL if it is not.  Raises
 * invalid_parameter_value for an unknown time zone.
 */
Datum
acteon_quiet_until(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	QuietHours hours = {true, PG_GETARG_TIMEADT(1), PG_GETARG_TIMEADT(2), PG_GETARG_TEXT_PP(3)};
	TimestampTz minute;

	if (!IsQuiet(&hours, at))
		PG_RETURN_NULL();
	minute = at - at % USECS_PER_MINUTE;
	for (int i = 0; i < MAX_QUIET_MINUTES; i++)
	{
		minute += USECS_PER_MINUTE;
		if (!IsQuiet(&hours, minute))
			break;
	}
	PG_RETURN_TIMESTAMPTZ(minute);
}

/*
 * acteon_known_time_zone(name text) → text
 *
 * Returns the name of a time zone, or NULL if there is none of this full name.
 */
Datum
acteon_known_time_zone(PG_FUNCTION_ARGS)
{
	text *name = PG_GETARG_TEXT_PP(0);

	if (!IsTimeZone(name))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(name);
}
