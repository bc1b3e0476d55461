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

typedef enum ThrottleState
{
	THROTTLE_OPEN,    /* send */
	THROTTLE_DOWN,    /* the gateway fails: try one now and then */
	THROTTLE_REFUSED, /* our key or URL is wrong: try one now and then */
} ThrottleState;

/* Tenants that have had enough, at most so many; the first to be sent again gives way. */
#define MAX_RESTING 64

/* A tenant that nothing is sent for until a time. */
typedef struct Resting
{
	uint64_t tenant;
	int64_t until;
	bool refused; /* by a 429, and not by an outcome */
} Resting;

typedef struct Throttle
{
	ThrottleState state;
	Limit limit;    /* requests in flight */
	int fixed;      /* that many of them, and no limit is looked for; 0: none */
	int failures;   /* in a row */
	int forbidden;  /* in a row */
	int distrusted; /* tenants that rest for that, in a row */
	bool proven;    /* the key was good for something since the last refusal */
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
} Throttle;

/* What an answer was about. */
typedef struct ThrottleSubject
{
	uint64_t tenant;
	uint64_t kind;    /* the provider and the outcome */
	bool executed;    /* so that its time tells how busy the gateway is */
	int64_t duration; /* from sending it to the answer */
} ThrottleSubject;

/* What an answer changed. */
typedef enum ThrottleChange
{
	THROTTLE_UNCHANGED,
	THROTTLE_STOPPED, /* the state is THROTTLE_DOWN or THROTTLE_REFUSED now */
	THROTTLE_RESUMED
} ThrottleChange;

extern void
ThrottleStart(Throttle *throttle, int concurrency, double share, double rate, int64_t now);
extern void ThrottleFix(Throttle *throttle, int concurrency);
extern bool ThrottleMaySend(Throttle *throttle, int in_flight, int64_t now, int64_t *wake);
extern int64_t ThrottleRest(const Throttle *throttle, uint64_t tenant, int64_t now);
extern void ThrottlePutOff(Throttle *throttle, int64_t now);
extern bool ThrottleIsPuttingOff(const Throttle *throttle, int64_t now, int64_t *wake);
extern void ThrottleSent(Throttle *throttle, int64_t now);
extern int ThrottleConcurrency(const Throttle *throttle);
extern int ThrottleRoom(const Throttle *throttle, int batch_size, int64_t lease, int64_t now);
extern ThrottleChange ThrottleAnswered(Throttle *throttle, Judgement *judgement,
									   const ThrottleSubject *subject, int64_t now);
extern ThrottleState ThrottleShown(const Throttle *throttle, int64_t now);
extern void ThrottleTryNow(Throttle *throttle, int64_t now);
extern uint64_t ThrottleHash(uint64_t seed, const char *text, size_t len);

#endif
