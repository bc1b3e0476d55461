/*
 * throttle.c
 *		How much may be sent to the gateway, and when.
 *
 * Four things slow the relay down: a rate that was asked for; the limit of what
 * the gateway can take at once (limit.c); a tenant that has had enough, of which
 * nothing is sent for as long as the gateway says; and a gateway that fails or
 * refuses again and again, to which only a single action is sent now and then
 * until one is answered, so that an outage does not use up the attempts of all
 * waiting actions.
 *
 * A 429 does not say whether it is the tenant's or everybody's.  The tenant rests;
 * if another one is refused meanwhile, so do all.
 */
#include "relay/throttle.h"

/* How far ahead actions are claimed. */
#define CLAIM_TIME (50 * MILLISECOND)

/* The weight of the last request in the mean of the durations. */
#define DURATION_WEIGHT (1.0 / 16)

#define MAX_PAUSE MINUTE

/* When this many actions in a row are forbidden, it is not the actions' fault. */
#define MAX_FORBIDDEN 5
#define FORBIDDEN_INTERVAL SECOND

/* How many requests to begin with: as many as the gateway executes at once. */
#define INITIAL_CONCURRENCY 10

/* No more actions of tenants that rest are given back in a second: each costs the
 * database a statement's share and a row. */
#define MAX_PUT_OFF 500

/* What the rate has left over is saved for a tenth of a second. */
#define BURSTS_A_SECOND 10

/*
 * Begin.
 */
void
PaceStart(Pace *pace, int concurrency, double share, double rate, int64_t now)
{
	*pace = (Pace){
		.state = PACE_OPEN,
		.down = {SECOND, 30 * SECOND, 0},
		.refused = {5 * SECOND, MINUTE, 0},
		.rate = rate,
		.saved = 1,
		.saved_at = now,
	};
	LimitStart(&pace->limit, INITIAL_CONCURRENCY, concurrency, share, now);
}

/*
 * So many requests may be in flight, however long they take: what takes them has a
 * queue of its own.
 */
void
PaceFix(Pace *pace, int concurrency)
{
	pace->fixed = concurrency;
}

/*
 * How many requests may be in flight while nothing fails.
 */
static int
most_in_flight(const Pace *pace)
{
	return pace->fixed > 0 ? pace->fixed : LimitNow(&pace->limit);
}

/*
 * A number for a text, and for another number before it: FNV-1a.
 */
uint64_t
PaceHash(uint64_t seed, const char *text, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ seed;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char) text[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/*
 * How many requests may be in flight now.
 */
int
PaceConcurrency(const Pace *pace)
{
	return pace->state == PACE_OPEN ? most_in_flight(pace) : 1;
}

/*
 * May one more request be sent?  If it only has to wait, *wake is brought forward to
 * the time from which it may.
 */
bool
PaceMaySend(Pace *pace, int in_flight, int64_t now, int64_t *wake)
{
	if (in_flight >= PaceConcurrency(pace))
		return false;
	if (now < pace->resume)
	{
		*wake = Earlier(*wake, pace->resume);
		return false;
	}
	if (pace->state == PACE_OPEN && pace->fixed == 0 && now < LimitSendFrom(&pace->limit))
	{
		*wake = Earlier(*wake, LimitSendFrom(&pace->limit));
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
 * How long nothing may be sent for a tenant; 0 if something may be sent now.
 */
int64_t
PaceRest(const Pace *pace, uint64_t tenant, int64_t now)
{
	for (int i = 0; i < pace->resting_count; i++)
	{
		if (pace->resting[i].tenant == tenant && pace->resting[i].until > now)
			return pace->resting[i].until - now;
	}
	return 0;
}

/*
 * An action was given back because its tenant rests.
 */
void
PacePutOff(Pace *pace, int64_t now)
{
	if (now >= pace->put_off_until)
	{
		pace->put_off_until = now + SECOND;
		pace->put_off = 0;
	}
	pace->put_off++;
}

/*
 * Have so many actions been given back that no more may be claimed?  Then *wake is
 * brought forward to the time from which they may.
 */
bool
PaceIsPuttingOff(const Pace *pace, int64_t now, int64_t *wake)
{
	if (pace->put_off < MAX_PUT_OFF || now >= pace->put_off_until)
		return false;
	*wake = Earlier(*wake, pace->put_off_until);
	return true;
}

/*
 * One request was sent.
 */
void
PaceSent(Pace *pace, int64_t now)
{
	LimitSent(&pace->limit, now);
	if (pace->rate > 0)
		pace->saved -= 1;
}

/*
 * How many actions to hold besides those in flight: what is sent while the next
 * claim is made.  Whatever a relay holds is in doubt when it is killed, and goes out
 * when its batch is paused, so with slow answers that is no more than what is in
 * flight; a batch of them is claimed where answers come quickly.
 */
static int
backlog(const Pace *pace, int batch_size)
{
	int limit = most_in_flight(pace);
	double wanted = limit;

	if (pace->mean_duration > 0)
		wanted = limit * (double) CLAIM_TIME / pace->mean_duration;
	if (wanted < limit)
		wanted = limit;
	return wanted < batch_size ? (int) wanted : batch_size;
}

/*
 * How many actions it makes sense to hold: what is in flight and a backlog,
 * but no more than the rate permits within a third of the lease; one for a
 * try; none while nothing is sent.
 */
int
PaceRoom(const Pace *pace, int batch_size, int64_t lease, int64_t now)
{
	int room = most_in_flight(pace) + backlog(pace, batch_size);
	int64_t wake = NEVER;

	if (now < pace->resume || PaceIsPuttingOff(pace, now, &wake))
		return 0;
	if (pace->state != PACE_OPEN)
		return 1;
	if (pace->rate > 0 && pace->rate * (double) lease / (3 * SECOND) < room)
		room = 1 + (int) (pace->rate * (double) lease / (3 * SECOND));
	return room;
}

/*
 * A place for one more resting tenant: that of one which no longer rests, or else
 * of the one whose rest ends first.
 */
static Resting *
free_place(Pace *pace)
{
	Resting *place = &pace->resting[0];

	if (pace->resting_count < MAX_RESTING)
		return &pace->resting[pace->resting_count++];
	for (int i = 1; i < MAX_RESTING; i++)
	{
		if (pace->resting[i].until < place->until)
			place = &pace->resting[i];
	}
	return place;
}

/*
 * Nothing is sent for a tenant for a while.  Returns whether another one was
 * refused lately and rests as well.
 */
static bool
let_rest(Pace *pace, uint64_t tenant, bool refused, int64_t delay, int64_t now)
{
	Resting *place = NULL;
	bool others = false;

	for (int i = 0; i < pace->resting_count; i++)
	{
		Resting *resting = &pace->resting[i];

		if (resting->tenant == tenant)
			place = resting;
		else if (resting->refused && resting->until > now)
			others = true;
	}
	if (place == NULL)
		place = free_place(pace);
	if (place->tenant != tenant)
		*place = (Resting){.tenant = tenant};
	if (place->until < now + delay)
		place->until = now + delay;
	place->refused = refused;
	return others;
}

/*
 * The gateway is busy, for one tenant or for all, and what was sent meanwhile says
 * the same again.
 */
static void
slow_down(Pace *pace, const Judgement *judgement, const PaceSubject *subject, int64_t now)
{
	int64_t delay = Earlier(judgement->delay, MAX_PAUSE);

	LimitRefused(&pace->limit, now - subject->duration, now);
	if (let_rest(pace, subject->tenant, true, delay, now) && pace->resume < now + delay)
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
 * The gateway forbids an action.  If the key was good for others, it is the
 * action's own fault, which counts, unless this goes on.  Then nothing
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
 * The gateway has failed, or what is between it and us.  After some such answers
 * in a row it is down; if an answer says for how long, that is believed.
 */
static PaceChange
faulty(Pace *pace, Judgement *judgement, int64_t now)
{
	PaceChange change = PACE_UNCHANGED;
	int most = pace->limit.most > 10 ? pace->limit.most / 2 : 5;

	if (pace->state != PACE_OPEN || ++pace->failures >= most)
		change = stop(pace, PACE_DOWN, BackoffNext(&pace->down), now);
	if (pace->resume < now + Earlier(judgement->delay, MAX_PAUSE))
		pace->resume = now + Earlier(judgement->delay, MAX_PAUSE);
	if (judgement->fate == FATE_LATER)
		judgement->delay = Jittered(2 * SECOND);
	return change;
}

/*
 * The gateway refuses us.  A try that is refused is put off until after the next
 * one, so that one action that the key does not cover cannot stand before all
 * others.
 */
static PaceChange
refused(Pace *pace, Judgement *judgement, int64_t now)
{
	bool stopped = pace->state != PACE_OPEN;
	PaceChange change = stop(pace, PACE_REFUSED, BackoffNext(&pace->refused), now);

	if (stopped)
		judgement->delay = pace->resume - now + SECOND;
	return change;
}

/*
 * The gateway answers.  One that was down is not flooded.
 */
static PaceChange
works(Pace *pace, const Judgement *judgement, const PaceSubject *subject, int64_t now)
{
	bool stopped = pace->state != PACE_OPEN;

	if (pace->state == PACE_DOWN)
		LimitRestart(&pace->limit, 1, now);
	pace->state = PACE_OPEN;
	pace->failures = 0;
	pace->forbidden = 0;
	pace->proven = true;
	BackoffReset(&pace->down);
	BackoffReset(&pace->refused);
	if (judgement->health == GATEWAY_BUSY)
		slow_down(pace, judgement, subject, now);
	else if (judgement->health == GATEWAY_LIMITS)
		let_rest(pace, subject->tenant, false, Earlier(judgement->delay, MAX_PAUSE), now);
	return stopped ? PACE_RESUMED : PACE_UNCHANGED;
}

/*
 * Take notice of an answer, and decide what becomes of the action, which may
 * depend on what became of others.
 */
PaceChange
PaceAnswered(Pace *pace, Judgement *judgement, const PaceSubject *subject, int64_t now)
{
	if (subject->executed)
		LimitTimed(&pace->limit, subject->kind, subject->duration, now);
	pace->mean_duration += (pace->mean_duration == 0 ? 1 : DURATION_WEIGHT) *
						   ((double) subject->duration - pace->mean_duration);
	LimitEnded(&pace->limit, now);

	/* An answer to what was in flight when we stopped. */
	if (pace->state != PACE_OPEN && now < pace->resume)
	{
		if (judgement->health == GATEWAY_FORBIDS)
		{
			judgement->fate = FATE_LATER;
			judgement->delay = FORBIDDEN_INTERVAL;
		}
		return PACE_UNCHANGED;
	}
	switch (judgement->health)
	{
		case GATEWAY_FORBIDS:
			return forbidden(pace, judgement, now);
		case GATEWAY_REFUSES:
			return refused(pace, judgement, now);
		case GATEWAY_FAULTY:
			return faulty(pace, judgement, now);
		case GATEWAY_WORKS:
		case GATEWAY_BUSY:
		case GATEWAY_LIMITS:
			break;
	}
	return works(pace, judgement, subject, now);
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
