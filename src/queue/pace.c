/*
 * pace.c
 *		When the actions of a batch are due.
 *
 * A rate spreads the due times: the n-th action is due n/rate seconds after the
 * start.  With a ramp the first ones come at a tenth of the rate, so that a
 * provider that has just recovered is not met by all of it at once.
 *
 * That is the rate of a batch, or of a part of one (part.c): claims hand nothing out
 * before it is due, and give what has become late other due times (batch/catch_up.c).
 * Rates of providers and tenants are applied where actions are handed out (limit.c), and
 * the rate of a relay where it sends (programs/relay/throttle.c).
 */
#include "postgres.h"

#include "datatype/timestamp.h"

#include "base/catalog.h"
#include "queue/pace.h"

/* With a ramp, one action out of so many is among the first, slower ones. */
#define RAMP_SHARE 10

/*
 * How many of the given number of actions are sent more slowly at first.
 */
int64
RampLength(int64 actions)
{
	return (actions + RAMP_SHARE - 1) / RAMP_SHARE;
}

/*
 * Rows of a segment at a rate: one lease is about a second's worth, so that a
 * paced batch stays steerable.
 */
int
SegmentRows(double rate)
{
	if (rate == 0 || rate > SEGMENT_ACTIONS)
		return SEGMENT_ACTIONS;
	return Max((int) rate, 1);
}

/*
 * Begin to pace actions: from a time on, at a rate (0: no limit), the first ones
 * slower.
 */
void
BeginPace(Pacer *pacer, TimestampTz start, double rate, int64 ramp)
{
	pacer->start = start;
	pacer->rate = rate;
	pacer->count = 0;
	pacer->ramp = ramp;
}

/*
 * When the next action is due; then advance by the given number of actions,
 * which may be 0.
 */
TimestampTz
NextDueTime(Pacer *pacer, int64 actions)
{
	double slow = Min(pacer->count, pacer->ramp);
	double places = (pacer->count - slow) + slow * RAMP_FACTOR;

	pacer->count += actions;
	if (pacer->rate == 0)
		return pacer->start;
	places = places / pacer->rate * USECS_PER_SEC;
	/* Far beyond what anybody waits for, and what a timestamp holds. */
	if (places >= (double) (END_TIMESTAMP - 1 - pacer->start))
		return END_TIMESTAMP - 1;
	return pacer->start + (int64) places;
}
