/*
 * limit.c
 *		How many requests the gateway can handle at once without queueing.
 *
 * The gateway executes a few dispatches at once and queues the rest without a
 * limit, ours and everybody else's in one queue.  What we send beyond its free
 * slots is not done any sooner and makes live traffic wait.  It is not known how
 * many slots there are, or how many are free; but requests that queue take
 * longer.
 *
 * So answer times are compared, round by round, with the base: how long the
 * same kind of request takes without a queue.  The wait is what is common to all
 * kinds, since they are in one queue, so fast kinds with steady times are the
 * most informative.  By Little's law the rate of answers times the wait is the
 * number of our requests in the queue, and the limit is reduced by that number.
 * While there is no queue a slightly higher limit is tried from time to time;
 * each time that succeeds, the next step is bigger.
 *
 * Requests that were sent together would end together, so that live traffic which
 * comes in between waits for all of them; they are spread over the time that one
 * takes.
 *
 * The base is the mean at a number well below the limit, tried every few
 * seconds for a fraction of one.  It follows a provider that has become slower
 * or faster, and detects a queue that was there from the start.
 */
#include "relay/limit.h"

#include <math.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

/* A wait below this share of the base is no queue: within bounds, since others may
 * be quicker than what we send. */
#define TOLERANCE 0.04
#define LEAST_WAIT (2 * MILLISECOND)
#define MOST_WAIT (10 * MILLISECOND)

/* A wait counts if it is so many times its standard error, and no round has to
 * find one that is below this share of the base. */
#define CERTAINTY 3
#define COARSE 0.1

/* A round has so many answers for each request in flight, and so many at least. */
#define ANSWERS_EACH 4
#define LEAST_ANSWERS 8

#define LEAST_OF_KIND 3

/* It goes on, while it has not shown anything, for so long. */
#define LONGEST_ROUND SECOND

/* A wait counts if it is so many times what the wait changes by from one round to
 * the next, at the same limit: on a busy machine everything takes longer now and
 * then.  Each round adds this part to what is known of that. */
#define RESTLESSNESS 2
#define RESTLESS_PART 0.1
#define MOST_RESTLESS 0.1 /* of the base */

/* A wait of this share of the base is a queue for certain; a shorter one must be
 * seen in two rounds, since machines falter. */
#define LONG_WAIT 0.25

/* How long not to try upwards after a queue: so many times as long as the try took, so
 * that less than a hundredth of live traffic meets one; but not longer than this where
 * little can be gained, or where much can, than what grows with the limit. */
#define UP_REST 100
#define LONG_UP_INTERVAL (20 * SECOND)
#define UP_INTERVAL SECOND
#define UP_INTERVAL_EACH (SECOND / 2)

/* Little can be gained at this share of the slots, of which there are as many as ever
 * were free, and not fewer than a gateway has by default. */
#define GAINED 0.8
#define USUAL_SLOTS 10

/* How often to try below. */
#define DOWN_INTERVAL (10 * SECOND)

/* How much of the limit is used to find the base. */
#define DOWN_SHARE 0.6

/* A time that is longer than the base by this factor counts as that much. */
#define LONGEST_FACTOR 5

/* Requests are sent apart from each other, by this part of what would spread them evenly
 * over the time that one takes, since slots that all end at once make live traffic wait
 * for all of it.  A shorter gap is not worth a timer, a longer one helps nobody. */
#define SPREAD 0.75
#define LEAST_GAP MILLISECOND
#define MOST_GAP (20 * MILLISECOND)

/* How much the last request counts in the mean of their times. */
#define TIME_WEIGHT (1.0 / 64)

/* How long a number of requests that was refused is not tried again. */
#define CEILING_TIME (30 * SECOND)

/* What a round has shown. */
typedef struct Finding
{
	double wait;  /* in the queue, in microseconds */
	double error; /* its standard error */
	double base;  /* of the kinds that have shown it */
	double rate;  /* answers a microsecond */
	double load;  /* requests in flight, on average */
} Finding;

/*
 * Begin a round: with a number of requests that may be in flight.  What is in
 * flight now was sent under another number and does not count.
 */
static void
begin_round(Limit *limit, LimitPhase phase, int allowed, int64_t now)
{
	bool same = limit->phase == phase && limit->allowed == allowed;

	limit->phase = phase;
	limit->allowed = allowed;
	limit->settling = same ? 0 : limit->in_flight;
	limit->round_from = now;
	limit->answers = 0;
	limit->area = 0;
	limit->area_at = now;
	for (int i = 0; i < limit->kind_count; i++)
	{
		limit->kinds[i].count = 0;
		limit->kinds[i].sum = 0;
		limit->kinds[i].squares = 0;
	}
}

/*
 * Begin, knowing nothing.  At most a share of what there is room for is used.
 */
void
LimitStart(Limit *limit, int initial, int most, double share, int64_t now)
{
	*limit = (Limit){.most = most, .ceiling = most, .share = share, .widest = USUAL_SLOTS};
	limit->step = 1;
	limit->limit = initial < most ? initial : most;
	begin_round(limit, LIMIT_STEADY, limit->limit, now);
}

/*
 * Begin again from a number, as after an outage.  Requests that are in flight
 * stay known.
 */
void
LimitRestart(Limit *limit, int initial, int64_t now)
{
	limit->limit = initial < limit->most ? initial : limit->most;
	limit->step = 1;
	limit->up_from = now;
	begin_round(limit, LIMIT_STEADY, limit->limit, now);
}

/*
 * How many requests may be in flight now.
 */
int
LimitNow(const Limit *limit)
{
	int allowed = limit->allowed;

	if (limit->phase == LIMIT_STEADY)
		allowed = (int) (limit->share * allowed + 0.5);
	return allowed > 1 ? allowed : 1;
}

/*
 * Add up what is in flight over time.
 */
static void
add_area(Limit *limit, int64_t now)
{
	limit->area += (double) limit->in_flight * (double) (now - limit->area_at);
	limit->area_at = now;
}

/*
 * When the next request may be sent.
 */
int64_t
LimitSendFrom(const Limit *limit)
{
	return limit->send_from;
}

/*
 * A request was sent.
 */
void
LimitSent(Limit *limit, int64_t now)
{
	int64_t gap = (int64_t) (SPREAD * limit->mean_time / LimitNow(limit));

	add_area(limit, now);
	limit->in_flight++;
	limit->send_from = gap < LEAST_GAP ? now : now + Earlier(gap, MOST_GAP);
}

/*
 * The kind of requests with a key; a new one takes the place of the one that was
 * not seen for longest.
 */
static LimitKind *
find_kind(Limit *limit, uint64_t key)
{
	LimitKind *oldest = &limit->kinds[0];

	for (int i = 0; i < limit->kind_count; i++)
	{
		if (limit->kinds[i].key == key)
			return &limit->kinds[i];
		if (limit->kinds[i].used_at < oldest->used_at)
			oldest = &limit->kinds[i];
	}
	if (limit->kind_count < LIMIT_KINDS)
		oldest = &limit->kinds[limit->kind_count++];
	*oldest = (LimitKind){.key = key};
	return oldest;
}

/*
 * The mean of a kind in this round, and the variance of its times.
 */
static LimitTimes
times_of(const LimitKind *kind)
{
	double n = kind->count;
	double mean = kind->sum / n;
	double spread = (kind->squares - n * mean * mean) / (n - 1);

	return (LimitTimes){kind->count, mean, spread > 0 ? spread : 0};
}

/*
 * What this round has shown, against the base; or, below the limit, against the
 * last round at it.  How sure that is follows from how much times vary without a
 * queue.  Kinds count by how sure they are.
 */
static Finding
find(const Limit *limit, int64_t now)
{
	double time = now > limit->round_from ? (double) (now - limit->round_from) : 1;
	Finding found = {.rate = limit->answers / time, .load = limit->area / time};
	bool below = limit->phase == LIMIT_DOWN;
	double weights = 0;

	for (int i = 0; i < limit->kind_count; i++)
	{
		const LimitKind *kind = &limit->kinds[i];
		const LimitTimes *other = below ? &kind->steady : &kind->base;
		LimitTimes times;
		double spread, weight;

		if (kind->count < LEAST_OF_KIND || other->count == 0)
			continue;
		times = times_of(kind);
		spread = below ? times.spread : other->spread;
		/* No mean is surer than a thousandth. */
		weight =
			1 / (spread / times.count + spread / other->count + 1e-6 * other->mean * other->mean);
		found.wait += weight * (below ? other->mean - times.mean : times.mean - other->mean);
		found.base += weight * other->mean;
		weights += weight;
	}
	if (weights > 0)
	{
		found.wait /= weights;
		found.base /= weights;
		found.error = 1 / sqrt(weights);
	}
	return found;
}

/*
 * Is there a queue?  A try above the limit is judged more strictly.
 */
static bool
has_queue(const Limit *limit, const Finding *found)
{
	double wait = found->base * TOLERANCE;

	wait = wait < LEAST_WAIT ? LEAST_WAIT : wait > MOST_WAIT ? MOST_WAIT : wait;
	if (limit->phase == LIMIT_UP)
		wait /= 2;
	if (wait < RESTLESSNESS * limit->restless)
		wait = RESTLESSNESS * limit->restless;
	return found->wait > wait && found->wait > CERTAINTY * found->error;
}

/*
 * What was found in this round is how long requests take without a queue; or,
 * unless it is all, only where it is clearly shorter than what was known.  Returns
 * whether any of it is.
 */
static bool
learn_base(Limit *limit, bool all)
{
	bool better = false;

	for (int i = 0; i < limit->kind_count; i++)
	{
		LimitKind *kind = &limit->kinds[i];
		LimitTimes *base = &kind->base;
		LimitTimes times;
		bool shorter;

		if (kind->count < LEAST_OF_KIND)
			continue;
		times = times_of(kind);
		shorter = base->count > 0 &&
				  times.mean < base->mean - CERTAINTY * sqrt(times.spread / times.count +
															 base->spread / base->count);
		if (all || shorter)
			*base = times;
		better = better || shorter;
	}
	return better;
}

/*
 * Remember the times of this round, at the limit.  A kind that has no base yet
 * has this one, less what the others wait.
 */
static void
remember_steady(Limit *limit, const Finding *found)
{
	for (int i = 0; i < limit->kind_count; i++)
	{
		LimitKind *kind = &limit->kinds[i];

		if (kind->count < LEAST_OF_KIND)
			continue;
		kind->steady = times_of(kind);
		if (kind->base.count == 0 && found->base > 0)
		{
			kind->base = kind->steady;
			kind->base.mean -= found->wait > 0 ? found->wait : 0;
		}
	}
	if (limit->steady_at == limit->allowed)
		limit->restless +=
			RESTLESS_PART * (fabs(found->wait - limit->steady_wait) - limit->restless);
	if (limit->restless > MOST_RESTLESS * found->base)
		limit->restless = MOST_RESTLESS * found->base;
	limit->steady_at = limit->allowed;
	limit->steady_wait = found->wait;
	limit->steady_rate = found->rate;
	limit->steady_load = found->load;
}

/*
 * Are there as many requests in flight as there may be?  If not, more is not asked
 * for, and what there is shows nothing about more.
 */
static bool
is_full(const Limit *limit, const Finding *found)
{
	return found->load > 0.8 * LimitNow(limit);
}

/*
 * How long to leave it at the limit, at most.
 */
static int64_t
longest_rest(const Limit *limit)
{
	if (limit->limit >= GAINED * limit->widest)
		return LONG_UP_INTERVAL;
	return UP_INTERVAL + limit->limit * UP_INTERVAL_EACH;
}

/*
 * A try upwards has found a queue: do not try again for a while, and then
 * carefully.
 */
static void
put_off(Limit *limit, int64_t now)
{
	limit->before = 0;
	limit->step = 1;
	limit->up_from = now + Earlier(UP_REST * (now - limit->try_from), longest_rest(limit));
}

/*
 * So many of ours queue: take them off the limit, at most half of it at once.  What
 * made them wait may have passed soon; so what was good before is tried once more
 * after a second, and only if there is a queue then, too, is it given up.
 */
static void
cut(Limit *limit, double load, double queued, int64_t now)
{
	int fitting = (int) ((load - queued) / limit->share + 0.25);
	int64_t soon = now + UP_INTERVAL;

	if (fitting < limit->limit / 2)
		fitting = limit->limit / 2;
	if (fitting < 1)
		fitting = 1;
	if (limit->before == 0)
		limit->before = limit->limit;
	if (fitting < limit->limit)
		limit->limit = fitting;
	limit->step = limit->before > limit->limit ? limit->before - limit->limit : 1;
	limit->up_from = soon;
	limit->suspected = false;
}

/*
 * Begin the next round at the limit, or, when it is time, above or below it.
 */
static void
next_round(Limit *limit, bool full, int64_t now)
{
	int highest = now < limit->ceiling_until ? limit->ceiling : limit->most;
	int lower = (int) (limit->limit * DOWN_SHARE);

	if (full && limit->limit > 1 && now >= limit->down_from)
		begin_round(limit, LIMIT_DOWN, lower > 1 ? lower : 1, now);
	else if (full && limit->limit < highest && now >= limit->up_from)
	{
		int higher = limit->limit + limit->step;

		limit->try_from = now;
		begin_round(limit, LIMIT_UP, higher < highest ? higher : highest, now);
	}
	else
		begin_round(limit, LIMIT_STEADY, limit->limit, now);
}

/*
 * A round at the limit is over.  When the limit has been cut to almost nothing and
 * requests still take longer, then it is not because of us: it is how long they
 * take.
 */
static void
end_steady(Limit *limit, const Finding *found, int64_t now)
{
	bool full = is_full(limit, found);

	remember_steady(limit, found);
	if (!has_queue(limit, found))
	{
		limit->suspected = false;
		/* Whatever made requests take longer has gone. */
		if (learn_base(limit, false))
			limit->up_from = now;
	}
	else if (LimitNow(limit) == 1)
	{
		learn_base(limit, true);
		limit->before = 0;
		limit->step = 1;
		limit->up_from = now;
		limit->down_from = now + SECOND;
	}
	else if (!limit->suspected && found->wait < LONG_WAIT * found->base)
	{
		limit->suspected = true;
		full = false;
	}
	else
	{
		cut(limit, found->load, found->rate * found->wait, now);
		full = false;
	}
	next_round(limit, full, now);
}

/*
 * A try above the limit is over.  What has worked is the limit from now on, and
 * the next step is longer.
 */
static void
end_up(Limit *limit, const Finding *found, int64_t now)
{
	if (has_queue(limit, found))
		put_off(limit, now);
	else if (is_full(limit, found))
	{
		limit->limit = limit->allowed;
		if (limit->limit > limit->widest)
			limit->widest = limit->limit;
		limit->before = 0;
		limit->step *= 2;
		if (limit->step > limit->limit / 2)
			limit->step = limit->limit > 3 ? limit->limit / 2 : 1;
		learn_base(limit, false);
	}
	next_round(limit, limit->share >= 1 && !has_queue(limit, found), now);
}

/*
 * A try below the limit is over: its times are the base.  If requests were
 * quicker than at the limit, there was a queue; then there may still be one.
 */
static void
end_down(Limit *limit, const Finding *found, int64_t now)
{
	learn_base(limit, true);
	limit->down_from = now + DOWN_INTERVAL;
	if (has_queue(limit, found))
	{
		cut(limit, limit->steady_load, limit->steady_rate * found->wait, now);
		limit->down_from = now;
	}
	begin_round(limit, LIMIT_STEADY, limit->limit, now);
}

/*
 * Has a round shown what it can show?  A try upwards that has failed is over at
 * once, since live traffic feels it, and so is what is very slow.
 */
static bool
has_shown(const Limit *limit, const Finding *found, int64_t now)
{
	if (has_queue(limit, found) &&
		(limit->phase == LIMIT_UP ||
		 (limit->answers >= LEAST_ANSWERS && found->wait > LONG_WAIT * found->base)))
		return true;
	if (limit->answers < LEAST_ANSWERS)
		return false;
	return now - limit->round_from >= LONGEST_ROUND ||
		   (limit->answers >= ANSWERS_EACH * LimitNow(limit) &&
			CERTAINTY * found->error <= COARSE * found->base);
}

/*
 * End the round, if it is time to.
 */
static void
end_round(Limit *limit, int64_t now)
{
	Finding found;

	if (limit->answers < LEAST_OF_KIND)
		return;
	found = find(limit, now);
	if (!has_shown(limit, &found, now))
		return;
	Log(LOG_DEBUG, "round", LogNumber("phase", limit->phase), LogNumber("limit", limit->limit),
		LogNumber("allowed", limit->allowed), LogNumber("answers", limit->answers),
		LogNumber("wait_us", (int64_t) found.wait), LogNumber("error_us", (int64_t) found.error),
		LogNumber("base_us", (int64_t) found.base));
	if (limit->phase == LIMIT_UP)
		end_up(limit, &found, now);
	else if (limit->phase == LIMIT_DOWN)
		end_down(limit, &found, now);
	else
		end_steady(limit, &found, now);
}

/*
 * A request is over, however it has ended.
 */
void
LimitEnded(Limit *limit, int64_t now)
{
	add_area(limit, now);
	limit->in_flight--;
	if (limit->settling > 0 && --limit->settling == 0)
		begin_round(limit, limit->phase, limit->allowed, now);
}

/*
 * The time of a request that the gateway has executed.  Call it before
 * LimitEnded.
 */
void
LimitTimed(Limit *limit, uint64_t key, int64_t duration, int64_t now)
{
	LimitKind *kind = find_kind(limit, key);
	double time = (double) duration;

	kind->used_at = now;
	add_area(limit, now);
	limit->mean_time += (limit->mean_time == 0 ? 1 : TIME_WEIGHT) * (time - limit->mean_time);
	if (limit->settling > 0)
		return;
	if (kind->base.count > 0 && time > LONGEST_FACTOR * kind->base.mean)
		time = LONGEST_FACTOR * kind->base.mean;
	kind->count++;
	kind->sum += time;
	kind->squares += time * time;
	limit->answers++;
	end_round(limit, now);
}

/*
 * The gateway has refused a request because there are too many: go down to half
 * of what is in flight, once for all that were sent before, and do not come near
 * that number for a while.
 */
void
LimitRefused(Limit *limit, int64_t sent_at, int64_t now)
{
	int flying = limit->in_flight < limit->allowed ? limit->in_flight : limit->allowed;

	if (sent_at < limit->round_from && limit->ceiling_until > now)
		return;
	limit->ceiling = flying > 2 ? flying - 1 : 1;
	limit->ceiling_until = now + CEILING_TIME;
	limit->limit = flying > 3 ? flying / 2 : 1;
	limit->step = 1;
	limit->up_from = now + Jittered(SECOND);
	begin_round(limit, LIMIT_STEADY, limit->limit, now);
}
