/*
 * clock.c
 *		Times and durations, in microseconds.
 */
#include "common/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * Microseconds since some moment.  Never steps, and goes on while the machine
 * is suspended, as the leases in the database do.
 */
int64_t
ClockNow(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * SECOND + now.tv_nsec / 1000;
}

/*
 * Microseconds since 1970, for people.
 */
int64_t
ClockWall(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * SECOND + now.tv_nsec / 1000;
}

/*
 * The earlier of two times.
 */
int64_t
Earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/*
 * A delay less a quarter, and a share of half of it more: 0 to 255 of 256 parts.
 */
static int64_t
spread(int64_t delay, unsigned char share)
{
	return delay - delay / 4 + (int64_t) ((uint64_t) (delay / 2) * share >> 8);
}

/*
 * A delay, give or take a quarter, so that many relays do not act in step.
 */
int64_t
Jittered(int64_t delay)
{
	static uint64_t state;

	if (state == 0)
		state = (uint64_t) ClockNow() ^ ((uint64_t) ClockWall() << 20) ^ (uintptr_t) &state;
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return spread(delay, (unsigned char) (state >> 56));
}

/*
 * The delay that follows, without jitter.
 */
static int64_t
doubled(const Backoff *backoff)
{
	int64_t delay = backoff->delay == 0 ? backoff->first : backoff->delay * 2;

	return Earlier(delay, backoff->most);
}

/*
 * The next delay, with jitter.
 */
int64_t
BackoffNext(Backoff *backoff)
{
	backoff->delay = doubled(backoff);
	return Jittered(backoff->delay);
}

/*
 * It works again: the next delay is the first one.
 */
void
BackoffReset(Backoff *backoff)
{
	backoff->delay = 0;
}

/*
 * Read a duration: a number and ms, s or m; without a unit, seconds.  Refuses
 * anything else, and what is longer than ten years.
 */
bool
ParseDuration(const char *text, int64_t *duration)
{
	char *unit;
	double number;
	double scale;

	if (*text < '0' || *text > '9')
		return false;
	number = strtod(text, &unit);
	if (strcmp(unit, "ms") == 0)
		scale = MILLISECOND;
	else if (strcmp(unit, "s") == 0 || *unit == '\0')
		scale = SECOND;
	else if (strcmp(unit, "m") == 0)
		scale = MINUTE;
	else
		return false;
	if (!(number * scale < 3.2e14))
		return false;
	*duration = (int64_t) (number * scale + 0.5);
	return true;
}
