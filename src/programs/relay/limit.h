/*
 * limit.h
 *		How many requests the gateway can take at once without queueing.
 */
#ifndef LIMIT_H
#define LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/* Kinds of requests whose times are told apart: the rarest give way. */
#define LIMIT_KINDS 32

/* Times of some requests, in microseconds. */
typedef struct LimitTimes
{
	int count; /* 0: nothing is known */
	double mean;
	double spread; /* the variance */
} LimitTimes;

/* The times of one kind of requests: a provider, and how it ended. */
typedef struct LimitKind
{
	uint64_t key;
	int64_t used_at;
	LimitTimes base;   /* without a queue */
	LimitTimes steady; /* in the last round at the limit */
	int count;         /* in this round */
	double sum;
	double squares;
} LimitKind;

typedef enum LimitPhase
{
	LIMIT_STEADY, /* at the limit */
	LIMIT_UP,     /* a little above it: is there room? */
	LIMIT_DOWN    /* well below it: how long do requests take without us? */
} LimitPhase;

typedef struct Limit
{
	int most;
	double share;
	int limit;   /* what we believe there is room for */
	int widest;  /* what there was room for at best, or has by default */
	int ceiling; /* what was refused lately, less one */
	int64_t ceiling_until;
	LimitPhase phase;
	int allowed;       /* in this phase */
	int before;        /* it was cut from so many, which are to be tried once more; or 0 */
	int step;          /* of the next try upwards */
	bool suspected;    /* a queue, in the last round */
	int64_t up_from;   /* when to try above it */
	int64_t try_from;  /* when the last try above it began */
	int64_t down_from; /* when to try below it */
	double mean_time;  /* of the last requests */
	int64_t send_from; /* when to send the next one */

	/* This round. */
	int in_flight;
	int settling; /* so many answers are not of this round */
	int64_t round_from;
	int answers;
	int64_t area_at;
	double area;        /* requests in flight, summed over time */
	int steady_at;      /* what was allowed in the last round at the limit, */
	double steady_wait; /* the wait that it found, */
	double restless;    /* how much that changes from one to the next, */
	double steady_rate; /* answers a microsecond, and requests in flight, */
	double steady_load; /* in the last round at the limit */

	LimitKind kinds[LIMIT_KINDS];
	int kind_count;
} Limit;

extern void LimitStart(Limit *limit, int initial, int most, double share, int64_t now);
extern void LimitRestart(Limit *limit, int initial, int64_t now);
extern int LimitNow(const Limit *limit);
extern int64_t LimitSendFrom(const Limit *limit);
extern void LimitSent(Limit *limit, int64_t now);
extern void LimitEnded(Limit *limit, int64_t now);
extern void LimitTimed(Limit *limit, uint64_t key, int64_t duration, int64_t now);
extern void LimitRefused(Limit *limit, int64_t sent_at, int64_t now);

#endif
