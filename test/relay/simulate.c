/*
 * simulate.c
 *		A gateway with a few slots, live traffic and the relay's limiter, in
 *		simulated time.
 *
 * Requests stand in one line for the slots, whoever sends them.  Nothing here
 * depends on the machine: every run is the same.
 */
#include "simulate.h"

#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"

/* Both ways through the network, and what the relay needs for itself. */
#define OVERHEAD 1000

/* A request. */
typedef struct Simulated
{
	struct Simulated *next;
	bool live;
	int provider;
	int64_t sent_at;
	int64_t time;    /* of its execution */
	int64_t ends_at; /* 0 while it waits for a slot */
} Simulated;

typedef struct Times
{
	int count;
	int size;
	int64_t *times;
} Times;

/*
 * A number from 0 to 1.
 */
static double
chance(World *world)
{
	world->chance = world->chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (double) (world->chance >> 40) / (1 << 24);
}

/*
 * Get ready.
 */
void
WorldStart(World *world, int most, double share)
{
	world->now = 1000 * SECOND;
	world->chance = 1;
	world->next_live = world->now;
	LimitStart(&world->limit, 10, most, share, world->now);
}

/*
 * Forget everything.
 */
void
WorldEnd(World *world)
{
	while (world->first != NULL)
	{
		Simulated *request = world->first;

		world->first = request->next;
		free(request);
	}
}

/*
 * Send a request: it goes to the end of the line.
 */
static void
send_one(World *world, bool live)
{
	Simulated *request = Allocate(sizeof(Simulated));
	Simulated **link = &world->first;

	request->live = live;
	request->provider = !live && chance(world) < world->second_share ? 1 : 0;
	request->sent_at = world->now;
	request->time = live ? world->live_time : world->times[request->provider];
	request->time += (int64_t) ((double) request->time * world->noise * (2 * chance(world) - 1));
	while (*link != NULL)
		link = &(*link)->next;
	*link = request;
	if (!live)
		LimitSent(&world->limit, world->now);
}

/*
 * Begin what there are slots for, in the order of the line.
 */
static void
execute(World *world)
{
	int busy = 0;

	for (Simulated *request = world->first; request != NULL; request = request->next)
		busy += request->ends_at != 0 ? 1 : 0;
	for (Simulated *request = world->first; request != NULL && busy < world->slots;
		 request = request->next)
	{
		if (request->ends_at != 0)
			continue;
		request->ends_at = world->now + request->time;
		busy++;
	}
}

/*
 * Take out the next request that ends before a time, or NULL.
 */
static Simulated *
take_ended(World *world, int64_t before)
{
	Simulated **best = NULL;
	Simulated *request;

	for (Simulated **link = &world->first; *link != NULL; link = &(*link)->next)
	{
		if ((*link)->ends_at != 0 && (*link)->ends_at <= before &&
			(best == NULL || (*link)->ends_at < (*best)->ends_at))
			best = link;
	}
	if (best == NULL)
		return NULL;
	request = *best;
	*best = request->next;
	return request;
}

/*
 * Compare two times, for qsort.
 */
static int
compare_times(const void *a, const void *b)
{
	int64_t left = *(const int64_t *) a, right = *(const int64_t *) b;

	return left < right ? -1 : left > right;
}

/*
 * The time below which a share of them is, in milliseconds.
 */
static double
quantile(Times *times, double share)
{
	if (times->count == 0)
		return 0;
	qsort(times->times, times->count, sizeof(int64_t), compare_times);
	return (double) times->times[(int) (share * (times->count - 1))] / MILLISECOND;
}

/*
 * A request of either side has ended.
 */
static void
end_one(World *world, Simulated *request, Times *live, int *replays)
{
	int64_t took = request->ends_at - request->sent_at + OVERHEAD;

	world->now = request->ends_at;
	if (!request->live)
	{
		LimitTimed(&world->limit, (uint64_t) request->provider + 1, took, world->now);
		LimitEnded(&world->limit, world->now);
		++*replays;
	}
	else
	{
		if (live->count == live->size)
		{
			live->size = live->size * 2 + 1000;
			live->times = Reallocate(live->times, live->size * sizeof(int64_t));
		}
		live->times[live->count++] = took;
	}
	free(request);
}

/*
 * Our side sends what it may; what is too much is refused at once.  *wake is brought
 * forward to when more may be sent.
 */
static void
fill(World *world, Outcome *outcome, int64_t *wake)
{
	int most = world->least_work > 0 ? world->least_work : INT32_MAX;

	while (world->limit.in_flight < LimitNow(&world->limit) && world->limit.in_flight < most)
	{
		int all = 0;

		if (world->now < LimitSendFrom(&world->limit))
		{
			*wake = Earlier(*wake, LimitSendFrom(&world->limit));
			return;
		}
		for (Simulated *request = world->first; request != NULL; request = request->next)
			all++;
		if (world->refuses > 0 && all >= world->refuses)
		{
			LimitSent(&world->limit, world->now);
			LimitEnded(&world->limit, world->now);
			LimitRefused(&world->limit, world->now, world->now);
			outcome->refused++;
			return;
		}
		send_one(world, false);
	}
	if (world->limit.in_flight > outcome->highest)
		outcome->highest = world->limit.in_flight;
}

/*
 * Let time pass, and say what came of it.
 */
Outcome
WorldRun(World *world, int64_t duration)
{
	int64_t end = world->now + duration;
	Outcome outcome = {0};
	Times live = {0};
	int replays = 0;

	if (world->next_live < world->now)
		world->next_live = world->now;
	for (;;)
	{
		int64_t next = world->live_rate > 0 ? Earlier(world->next_live, end) : end;
		int64_t wake = next;
		Simulated *ended;

		fill(world, &outcome, &wake);
		execute(world);
		ended = take_ended(world, wake);
		if (ended != NULL)
			end_one(world, ended, &live, &replays);
		else if (wake < next)
			world->now = wake;
		else if (next < end)
		{
			double gap = SECOND / world->live_rate;

			world->now = next;
			world->next_live += (int64_t) (world->random_live ? 2 * gap * chance(world) : gap);
			send_one(world, true);
		}
		else
			break;
	}
	world->now = end;
	outcome.replays = replays / ((double) duration / SECOND);
	outcome.live_median = quantile(&live, 0.5);
	outcome.live_p99 = quantile(&live, 0.99);
	free(live.times);
	return outcome;
}
