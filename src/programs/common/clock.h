/*
 * clock.h
 *		Times and durations, in microseconds.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define MILLISECOND INT64_C(1000)
#define SECOND (1000 * MILLISECOND)
#define MINUTE (60 * SECOND)
#define NEVER INT64_MAX

/* A delay that doubles from attempt to attempt, up to a bound. */
typedef struct Backoff
{
	int64_t first;
	int64_t most;
	int64_t delay; /* the last one; 0 before the first */
} Backoff;

extern int64_t ClockNow(void);
extern int64_t ClockWall(void);
extern int64_t Earlier(int64_t a, int64_t b);
extern int64_t Jittered(int64_t delay);
extern int64_t BackoffNext(Backoff *backoff);
extern void BackoffReset(Backoff *backoff);
extern bool ParseDuration(const char *text, int64_t *duration);

#endif
