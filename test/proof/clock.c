/*
 * clock.c
 *		Proof of the delays of src/programs/common/clock.c.
 *
 * Bounds: delays of up to ten minutes; back-offs within an hour.
 *
 * Unwind: 1
 * Solver: bitwuzla
 *
 * Breaks: src/programs/common/clock.c s/delay - delay \/ 4 +/delay +/
 * Breaks: src/programs/common/clock.c s/share >> 8/share >> 7/
 * Breaks: src/programs/common/clock.c s/if (backoff->delay > backoff->most)/if (backoff->delay > 2 * backoff->most)/
 * Breaks: src/programs/common/clock.c s/backoff->delay \* 2/backoff->delay \/ 2/
 */
#include "prove.h"

#include "common/clock.c"

/* A clock shows any time. */
int
clock_gettime(clockid_t clock, struct timespec *now)
{
	(void) clock;
	now->tv_sec = nondet_int();
	now->tv_nsec = nondet_int();
	ASSUME(now->tv_sec >= 0 && now->tv_nsec >= 0 && now->tv_nsec < 1000000000);
	return 0;
}

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
 * give or take a quarter, and on average no shorter than the one before.
 */
void
prove_backoff(void)
{
	Backoff backoff = {nondet_int64(), nondet_int64(), nondet_int64()};
	int64_t before = backoff.delay;
	int64_t delay;

	ASSUME(backoff.first >= MILLISECOND && backoff.first <= backoff.most);
	ASSUME(backoff.most <= 60 * MINUTE);
	ASSUME(before == 0 || (before >= backoff.first && before <= backoff.most));
	delay = BackoffNext(&backoff);
	PROVE(backoff.delay >= backoff.first && backoff.delay <= backoff.most);
	PROVE(backoff.delay >= before);
	PROVE(backoff.delay == backoff.most || before == 0 || backoff.delay == 2 * before);
	PROVE(delay >= backoff.delay - backoff.delay / 4);
	PROVE(delay <= backoff.delay + backoff.delay / 4);
}
