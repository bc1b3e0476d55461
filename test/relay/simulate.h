/*
 * simulate.h
 *		A gateway with a few slots, live traffic and the relay's limiter, in
 *		simulated time.
 */
#ifndef SIMULATE_H
#define SIMULATE_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/limit.h"

/* What the gateway is like; may be changed between two runs. */
typedef struct World
{
	int slots;
	double live_rate;    /* a second, evenly spaced */
	int64_t live_time;   /* how long a live dispatch is executed */
	int64_t times[2];    /* and one of ours, by provider */
	double second_share; /* of the second provider in what we send */
	double noise;        /* the times vary by so much of themselves, both ways */
	bool random_live;    /* live dispatches come at random */
	int refuses;         /* so many at once are refused with a 429; 0 is no limit */
	int least_work;      /* we have no more than so many to send at once; 0 is enough */
	Limit limit;
	int64_t now;
	uint64_t chance;
	struct Simulated *first; /* all that there is, see simulate.c */
	int64_t next_live;
} World;

typedef struct Outcome
{
	double replays; /* a second */
	double live_median;
	double live_p99; /* in milliseconds */
	int highest;     /* number of ours in flight */
	int lowest;      /* allowed at the end of the run's rounds */
	int refused;
} Outcome;

extern void WorldStart(World *world, int most, double share);
extern Outcome WorldRun(World *world, int64_t duration);
extern void WorldEnd(World *world);

#endif
