/*
 * backoff.c
 *		Proof of src/queue/backoff.c.
 *
 * Bounds: all times, numbers of failures and random numbers.
 *
 * Unwind: 2
 * Solver: bitwuzla
 *
 * Breaks: src/queue/backoff.c s/BACKOFF_MAX 600.0/BACKOFF_MAX 601.0/
 * Breaks: src/queue/backoff.c s/Max(drawn, BACKOFF_MIN)/drawn/
 * Breaks: src/queue/backoff.c s/most \/ 2 \* (1 +/most * (1 +/
 */
#include "queue/backoff.c"

/* When an action is tried again after so many failures, as a delay. */
static int64
any_delay(int failures)
{
	TimestampTz now = nondet_int64();

	ASSUME(now >= 0 && now < END_TIMESTAMP - 1000 * USECS_PER_SEC);
	return BackoffTime(now, failures) - now;
}

/* A delay is from a second to ten minutes, whatever the number of failures is. */
void
prove_bounds(void)
{
	int64 delay = any_delay(nondet_int());

	PROVE(delay >= USECS_PER_SEC);
	PROVE(delay <= 600 * USECS_PER_SEC);
}

/* After the n-th failure in a row it is 2^n seconds at most, half of that at least. */
void
prove_doubles(void)
{
	int failures = nondet_int();
	int64 delay = any_delay(failures);

	ASSUME(failures >= 1 && failures <= 9);
	PROVE(delay >= (USECS_PER_SEC << failures) / 2);
	PROVE(delay <= USECS_PER_SEC << failures);
}

/* From the tenth on it is five to ten minutes. */
void
prove_longest(void)
{
	int failures = nondet_int();
	int64 delay = any_delay(failures);

	ASSUME(failures >= 10);
	PROVE(delay >= 300 * USECS_PER_SEC);
}
