/*
 * pace.c
 *		How much may be sent to the gateway, and when.
 *
 * Three things slow the relay down: a rate that was asked for; a gateway that
 * is busy, which is left alone for a while and then gets half as much at once,
 * and one more after each round that went well; and a gateway that fails or
 * refuses again and again, which gets nothing but a single action now and then
 * until one is answered, so that an outage does not use up the attempts of all
 * that waits.
 */
#include "pace.h"

#define MAX_PAUSE MINUTE

/* So many forbidden actions in a row are not the actions' fault. */
#define MAX_FORBIDDEN 5
#define FORBIDDEN_INTERVAL SECOND

/* What the rate has left over is saved for a tenth of a second. */
#define BURSTS_A_SECOND 10

/*
 * Begin at full speed.
 */
void
PaceStart(Pace *pace, int concurrency, double rate, int64_t now)
{
	*pace = (Pace){
		.state = PACE_OPEN,
		.most = concurrency,
		.limit = concurrency,
		.down = {SECOND, 30 * SECOND, 0},
		.refused = {5 * SECOND, MINUTE, 0},
		.rate = rate,
		.saved = 1,
		.saved_at = now,
	};
}

/*
 * May one more request be sent?  If only time is in the way, *wake is brought
 * forward to when it will not be.
 */
bool
PaceMaySend(Pace *pace, int in_flight, int64_t now, int64_t *wake)
{
	if (in_flight >= (pace->state == PACE_OPEN ? pace->limit : 1))
		return false;
	if (now < pace->resume)
	{
		*wake = Earlier(*wake, pace->resume);
		return false;
	}
	if (pace->rate > 0)
	{
		double most = pace->rate / BURSTS_A_SECOND > 1 ? pace->rate / BURSTS_A_SECOND : 1;

		pace->saved += pace->rate * (double) (now - pace->saved_at) / SECOND;
		pace->saved_at = now;
		if (pace->saved > most)
			pace->saved = most;
		if (pace->saved < 1)
		{
			*wake = Earlier(*wake, now + 1 + (int64_t) ((1 - pace->saved) / pace->rate * SECOND));
			return false;
		}
	}
	return true;
}

/*
 * One request was sent.
 */
void
PaceSent(Pace *pace)
{
	if (pace->rate > 0)
		pace->saved -= 1;
}

/*
 * How many actions it makes sense to hold: what is in flight and a batch more,
 * but no more than the rate lets go within a third of the lease; one for a
 * try; none while nothing is sent.
 */
int
PaceRoom(const Pace *pace, int batch_size, int64_t lease, int64_t now)
{
	int room = pace->limit + batch_size;

	if (now < pace->resume)
		return 0;
	if (pace->state != PACE_OPEN)
		return 1;
	if (pace->rate > 0 && pace->rate * (double) lease / (3 * SECOND) < room)
		room = 1 + (int) (pace->rate * (double) lease / (3 * SECOND));
	return room;
}

/*
 * The gateway is busy: leave it alone, and then send half as much at once.
 * What was in flight meanwhile says the same again; that counts once.
 */
static void
slow_down(Pace *pace, int64_t delay, int64_t now)
{
	if (now >= pace->resume && pace->limit > 1)
		pace->limit /= 2;
	pace->successes = 0;
	delay = Earlier(delay, MAX_PAUSE);
	if (pace->resume < now + delay)
		pace->resume = now + delay;
}

/*
 * Stop sending until a try succeeds.
 */
static PaceChange
stop(Pace *pace, PaceState state, int64_t delay, int64_t now)
{
	PaceChange change = pace->state == state ? PACE_UNCHANGED : PACE_STOPPED;

	if (pace->state == PACE_OPEN)
		pace->stopped_at = now;
	pace->state = state;
	pace->failures = 0;
	pace->forbidden = 0;
	pace->proven = false;
	pace->resume = now + delay;
	return change;
}

/*
 * The gateway forbids an action.  If the key was good for others that is the
 * action's own fault, which counts; unless it goes on like that.  Then nothing
 * but tries are sent, one a second, so that what is covered gets its turn
 * however many stand before it.
 */
static PaceChange
forbidden(Pace *pace, Judgement *judgement, int64_t now)
{
	if (pace->state == PACE_OPEN && pace->proven && ++pace->forbidden < MAX_FORBIDDEN)
		return PACE_UNCHANGED;
	judgement->fate = FATE_LATER;
	judgement->delay = FORBIDDEN_INTERVAL;
	return stop(pace, PACE_REFUSED, Jittered(FORBIDDEN_INTERVAL), now);
}

/*
 * Take notice of an answer, and say what is to become of the action, which may
 * depend on what became of others.
 *
 * A try that is refused is put off until after the next one, so that one action
 * that the key does not cover cannot stand before all others.
 */
PaceChange
PaceAnswered(Pace *pace, Judgement *judgement, int64_t now)
{
	bool stopped = pace->state != PACE_OPEN;

	/* An answer to what was in flight when we stopped. */
	if (stopped && now < pace->resume)
	{
		if (judgement->health == GATEWAY_FORBIDS)
		{
			judgement->fate = FATE_LATER;
			judgement->delay = FORBIDDEN_INTERVAL;
		}
		return PACE_UNCHANGED;
	}

	if (judgement->health == GATEWAY_FORBIDS)
		return forbidden(pace, judgement, now);
	if (judgement->health == GATEWAY_REFUSES)
	{
		PaceChange change = stop(pace, PACE_REFUSED, BackoffNext(&pace->refused), now);

		if (stopped)
			judgement->delay = pace->resume - now + SECOND;
		return change;
	}
	if (judgement->health == GATEWAY_FAULTY)
	{
		PaceChange change = PACE_UNCHANGED;

		pace->successes = 0;
		pace->failures++;
		if (stopped || pace->failures >= (pace->most > 10 ? pace->most / 2 : 5))
			change = stop(pace, PACE_DOWN, BackoffNext(&pace->down), now);
		if (judgement->fate == FATE_LATER)
			judgement->delay = Jittered(2 * SECOND);
		return change;
	}

	/* It answered.  One that was down is not flooded. */
	if (pace->state == PACE_DOWN)
		pace->limit = 1;
	pace->state = PACE_OPEN;
	pace->failures = 0;
	pace->forbidden = 0;
	pace->proven = true;
	BackoffReset(&pace->down);
	BackoffReset(&pace->refused);
	if (judgement->health == GATEWAY_BUSY)
		slow_down(pace, judgement->delay, now);
	else if (++pace->successes >= pace->limit && pace->limit < pace->most)
	{
		pace->limit++;
		pace->successes = 0;
	}
	return stopped ? PACE_RESUMED : PACE_UNCHANGED;
}

/*
 * Something has changed on our side: if we have stopped, try now.
 */
void
PaceTryNow(Pace *pace, int64_t now)
{
	if (pace->state != PACE_OPEN && pace->resume > now)
		pace->resume = now;
}
