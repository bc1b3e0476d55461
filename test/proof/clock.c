/*
 * clock.c
 *		Proof of the delays of src/programs/common/clock.c.
 *
 * Bounds: delays of up to ten minutes; back-offs within an hour.
 *
 * Unwind: 1
 *
 * Breaks: src/programs/common/clock.c s/delay - delay \/ 4 +/delay +/
 * Breaks: src/programs/common/clock.c s/share >> 8/share >> 7/
 * Breaks: src/programs/common/clock.c s/return Earlier(delay, backoff->most)/return delay/
 * Breaks: src/programs/common/clock.c s/backoff->delay \* 2/backoff->delay \/ 2/
 */
#include "prove.h"

#include "common/clock.c"

#define LONGEST (10 * MINUTE)

/* A delay with jitter is at least three quarters of it, and less than five. */
void
prove_jitter(void)
{
	int64_t delay = nondet_int64();
	int64_t jittered;

	ASSUME(delay >= 0 && delay <= LONGEST);
	jittered = spread(delay, (unsigned char) nondet_int());
	PROVE(jittered >= delay - delay / 4);
	PROVE(jittered <= delay + delay / 4);
}

/*
 * However often it is asked, the next delay of a back-off is from its first to its longest one,
 * and twice the one before or the longest; jitter comes on top.
 */
void
prove_backoff(void)
{
	Backoff backoff = {nondet_int64(), nondet_int64(), nondet_int64()};
	int64_t delay;

	ASSUME(backoff.first >= MILLISECOND && backoff.first <= backoff.most);
	ASSUME(backoff.most <= 60 * MINUTE);
	ASSUME(backoff.delay == 0 || (backoff.delay >= backoff.first && backoff.delay <= backoff.most));
	delay = doubled(&backoff);
	PROVE(delay >= backoff.first && delay <= backoff.most);
	PROVE(backoff.delay != 0 || delay == backoff.first);
	PROVE(backoff.delay == 0 || delay == backoff.most || delay == 2 * backoff.delay);
}
