/*
 * throttle.h
 *		How much may be sent to the gateway, and when.
 */
#ifndef THROTTLE_H
#define THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "relay/answer.h"
#include "relay/limit.h"

typedef enum PaceState
{
	PACE_OPEN,    /* send */
	PACE_DOWN,    /* the gateway fails: try one now and then */
	PACE_REFUSED, /* our key or URL is wrong: try one now and then */
} PaceState;

/* Tenants that have had enough, at most so many; the first to be sent again gives way. */
#define MAX_RESTING 64

/* A tenant that nothing is sent for until a time. */
typedef struct Resting
{
	uint64_t tenant;
	int64_t until;
	bool refused; /* by a 429, and not by an outcome */
} Resting;

typedef struct Pace
{
	PaceState state;
	Limit limit;   /* requests in flight */
	int fixed;     /* that many of them, and no limit is looked for; 0: none */
	int failures;  /* in a row */
	int forbidden; /* in a row */
	bool proven;   /* the key was good for something since the last refusal */
	int64_t stopped_at;
	int64_t resume; /* nothing is sent before */
	Backoff down;
	Backoff refused;
	Resting resting[MAX_RESTING];
	int resting_count;
	int put_off; /* actions of such tenants that were given back in this second */
	int64_t put_off_until;
	double mean_duration; /* of the last requests; 0: not known */
	double rate;          /* actions a second; 0 is no limit */
	double saved;         /* how many may be sent at once now */
	int64_t saved_at;
} Pace;

/* What an answer was about. */
typedef struct PaceSubject
{
	uint64_t tenant;
	uint64_t kind;    /* the provider and the outcome */
	bool executed;    /* so that its time tells how busy the gateway is */
	int64_t duration; /* from sending it to the answer */
} PaceSubject;

/* What an answer changed. */
typedef enum PaceChange
{
	PACE_UNCHANGED,
	PACE_STOPPED, /* the state is PACE_DOWN or PACE_REFUSED now */
	PACE_RESUMED
} PaceChange;

extern void PaceStart(Pace *pace, int concurrency, double share, double rate, int64_t now);
extern void PaceFix(Pace *pace, int concurrency);
extern bool PaceMaySend(Pace *pace, int in_flight, int64_t now, int64_t *wake);
extern int64_t PaceRest(const Pace *pace, uint64_t tenant, int64_t now);
extern void PacePutOff(Pace *pace, int64_t now);
extern bool PaceIsPuttingOff(const Pace *pace, int64_t now, int64_t *wake);
extern void PaceSent(Pace *pace, int64_t now);
extern int PaceConcurrency(const Pace *pace);
extern int PaceRoom(const Pace *pace, int batch_size, int64_t lease, int64_t now);
extern PaceChange
PaceAnswered(Pace *pace, Judgement *judgement, const PaceSubject *subject, int64_t now);
extern void PaceTryNow(Pace *pace, int64_t now);
extern uint64_t PaceHash(uint64_t seed, const char *text, size_t len);

#endif
