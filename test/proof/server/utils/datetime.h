/*
 * datetime.h
 *		The server's conversions of times of the years 1 to 9999 by their contracts: what they
 *		are given is in the calendar, and what they return may be anything in it.  What was
 *		given and returned last can be looked at.
 */
#ifndef DATETIME_H
#define DATETIME_H

#include "datatype/timestamp.h"

struct pg_tm
{
	int tm_sec;
	int tm_min;
	int tm_hour;
	int tm_mday;
	int tm_mon;
	int tm_year;
};

static const int day_tab[2][13] = {{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0},
								   {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0}};

#define isleap(y) (((y) % 4) == 0 && (((y) % 100) != 0 || ((y) % 400) == 0))

static inline bool
is_in_calendar(const struct pg_tm *tm, fsec_t fsec)
{
	return tm->tm_mon >= 1 && tm->tm_mon <= 12 && tm->tm_mday >= 1 &&
		   tm->tm_mday <= day_tab[isleap(tm->tm_year)][tm->tm_mon - 1] && tm->tm_hour >= 0 &&
		   tm->tm_hour <= 23 && tm->tm_min >= 0 && tm->tm_min <= 59 && tm->tm_sec >= 0 &&
		   fsec >= 0 && fsec < USECS_PER_SEC;
}

static struct pg_tm given_tm, returned_tm;
static fsec_t given_fsec, returned_fsec;
static int given_west;

static inline int
tm2timestamp(struct pg_tm *tm, fsec_t fsec, int *west, TimestampTz *result)
{
	PROVE(is_in_calendar(tm, fsec));
	PROVE(tm->tm_year >= 1 && tm->tm_year <= 9999);
	PROVE(tm->tm_sec <= 60);
	PROVE(*west > -24 * SECS_PER_HOUR && *west < 24 * SECS_PER_HOUR);
	given_tm = *tm;
	given_fsec = fsec;
	given_west = *west;
	*result = nondet_int64();
	return nondet_bool() ? 0 : -1;
}

static inline int
timestamp2tm(TimestampTz time, int *west, struct pg_tm *tm, fsec_t *fsec, const char **zone,
			 void *session_zone)
{
	(void) time;
	PROVE(west == NULL && zone == NULL && session_zone == NULL); /* in UTC */
	*tm = (struct pg_tm){nondet_int(), nondet_int(), nondet_int(),
						 nondet_int(), nondet_int(), nondet_int()};
	*fsec = nondet_int();
	ASSUME(is_in_calendar(tm, *fsec) && tm->tm_sec < SECS_PER_MINUTE);
	ASSUME(tm->tm_year >= 1 && tm->tm_year <= 9999);
	returned_tm = *tm;
	returned_fsec = *fsec;
	return 0;
}

#endif
