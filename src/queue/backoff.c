/*
 * backoff.c
 *		When an action that a consumer gave back is tried again.
 *
 * After each failure the time doubles, from 1 or 2 seconds to 5 or 10 minutes, unless
 * the consumer says when: the gateway may have told it.  Trials of a provider whose
 * circuit breaker is open have a back-off of their own (batch/provider_breaker.c).
 */
#include "postgres.h"

#include <math.h>

#include "common/pg_prng.h"

#include "queue/backoff.h"

/* Bounds of the back-off, in seconds. */
#define BACKOFF_MIN 1.0
#define BACKOFF_MAX 600.0

/*
 * When to retry after the given number of failures: exponential, at random in the
 * upper half so that retries are spread.
 */
TimestampTz
BackoffTime(TimestampTz now, int failures)
{
	double most = Min(ldexp(BACKOFF_MIN, Min(failures, 30)), BACKOFF_MAX);
	/* Drawn once: Max may evaluate its arguments twice. */
	double drawn = most / 2 * (1 + pg_prng_double(&pg_global_prng_state));

	return now + (int64) (Max(drawn, BACKOFF_MIN) * USECS_PER_SEC);
}
