/*
 * pace.h
 *		How much may be sent to the gateway, and when.
 */
#ifndef PACE_H
#define PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "answer.h"
#include "clock.h"

typedef enum PaceState
{
	PACE_OPEN,    /* send */
	PACE_DOWN,    /* the gateway fails: try one now and then */
	PACE_REFUSED, /* our key or URL is wrong: try one now and then */
} PaceState;

typedef struct Pace
{
	PaceState state;
	int most;      /* requests in flight, at best */
	int limit;     /* and now */
	int successes; /* since the limit changed */
	int failures;  /* in a row */
	int forbidden; /* in a row */
	bool proven;   /* the key was good for something since the last refusal */
	int64_t stopped_at;
	int64_t resume; /* nothing is sent before */
	Backoff down;
	Backoff refused;
	double rate;  /* actions a second; 0 is no limit */
	double saved; /* how many may be sent at once now */
	int64_t saved_at;
} Pace;

/* What an answer changed. */
typedef enum PaceChange
{
	PACE_UNCHANGED,
	PACE_STOPPED, /* the state is PACE_DOWN or PACE_REFUSED now */
	PACE_RESUMED
} PaceChange;

extern void PaceStart(Pace *pace, int concurrency, double rate, int64_t now);
extern bool PaceMaySend(Pace *pace, int in_flight, int64_t now, int64_t *wake);
extern void PaceSent(Pace *pace);
extern int PaceRoom(const Pace *pace, int batch_size, int64_t lease, int64_t now);
extern PaceChange PaceAnswered(Pace *pace, Judgement *judgement, int64_t now);
extern void PaceTryNow(Pace *pace, int64_t now);

#endif
