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

/* A tenant for which so many signatures in a row are refused rests; when it is the turn of
 * so many tenants in a row, it is all of our keys. */
#define DISTRUSTED_REST (10 * SECOND)
#define MAX_DISTRUSTED 3

/* How many requests to begin with: as many as the gateway executes at once. */
#define INITIAL_CONCURRENCY 10

/* No more actions of tenants that rest are given back in a second: each costs the
 * database a statement's share and a row. */
#define MAX_PUT_OFF 500

/* A failure is shown until so long after the next try could have been made: then there was
 * nothing to try with. */
#define FAILURE_SHOWN MINUTE

/* What the rate has left over is saved for a tenth of a second. */
#define BURSTS_A_SECOND 10

/*
 * Begin.
 */
void
ThrottleStart(Throttle *throttle, int concurrency, double share, double rate, int64_t now)
{
	*throttle = (Throttle){
		.state = THROTTLE_OPEN,
		.down = {SECOND, 30 * SECOND, 0},
		.refused = {5 * SECOND, MINUTE, 0},
		.rate = rate,
		.saved = 1,
		.saved_at = now,
	};
	LimitStart(&throttle->limit, INITIAL_CONCURRENCY, concurrency, share, now);
}

/*
 * So many requests may be in flight, however long they take: what takes them has a
 * queue of its own.
 */
void
ThrottleFix(Throttle *throttle, int concurrency)
{
	throttle->fixed = concurrency;
}

/*
 * How many requests may be in flight while nothing fails.
 */
static int
most_in_flight(const Throttle *throttle)
{
	return throttle->fixed > 0 ? throttle->fixed : LimitNow(&throttle->limit);
}

/*
 * A number for a text, and for another number before it: FNV-1a.
 */
uint64_t
ThrottleHash(uint64_t seed, const char *text, size_t len)
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
ThrottleConcurrency(const Throttle *throttle)
{
	return throttle->state == THROTTLE_OPEN ? most_in_flight(throttle) : 1;
}

/*
 * How long it takes at the rate until a request may be sent; at most the longest pause, after
 * which that is asked again: a rate may be so low that no number has the time.
 */
static int64_t
time_to_save(const Throttle *throttle)
{
	double missing = (1 - throttle->saved) * SECOND;

	return missing < throttle->rate * MAX_PAUSE ? (int64_t) (missing / throttle->rate) : MAX_PAUSE;
}

/*
 * May one more request be sent?  If it only has to wait, *wake is brought forward to
 * the time from which it may.
 */
bool
ThrottleMaySend(Throttle *throttle, int in_flight, int64_t now, int64_t *wake)
{
	if (in_flight >= ThrottleConcurrency(throttle))
		return false;
	if (now < throttle->resume)
	{
		*wake = Earlier(*wake, throttle->resume);
		return false;
	}
	if (throttle->state == THROTTLE_OPEN && throttle->fixed == 0 &&
		now < LimitSendFrom(&throttle->limit))
	{
		*wake = Earlier(*wake, LimitSendFrom(&throttle->limit));
		return false;
	}
	if (throttle->rate > 0)
	{
		double most = throttle->rate / BURSTS_A_SECOND > 1 ? throttle->rate / BURSTS_A_SECOND : 1;

		throttle->saved += throttle->rate * (double) (now - throttle->saved_at) / SECOND;
		throttle->saved_at = now;
		if (throttle->saved > most)
			throttle->saved = most;
		if (throttle->saved < 1)
		{
			*wake = Earlier(*wake, now + 1 + time_to_save(throttle));
			return false;
		}
	}
	return true;
}

/*
 * How long nothing may be sent for a tenant; 0 if something may be sent now.
 */
int64_t
ThrottleRest(const Throttle *throttle, uint64_t tenant, int64_t now)
{
	for (int i = 0; i < throttle->resting_count; i++)
	{
		if (throttle->resting[i].tenant == tenant && throttle->resting[i].until > now)
			return throttle->resting[i].until - now;
	}
	return 0;
}

/*
 * An action was given back because its tenant rests.
 */
void
ThrottlePutOff(Throttle *throttle, int64_t now)
{
	if (now >= throttle->put_off_until)
	{
		throttle->put_off_until = now + SECOND;
		throttle->put_off = 0;
	}
	throttle->put_off++;
}

/*
 * Have so many actions been given back that no more may be claimed?  Then *wake is
 * brought forward to the time from which they may.
 */
bool
ThrottleIsPuttingOff(const Throttle *throttle, int64_t now, int64_t *wake)
{
	if (throttle->put_off < MAX_PUT_OFF || now >= throttle->put_off_until)
		return false;
	*wake = Earlier(*wake, throttle->put_off_until);
	return true;
}

/*
 * One request was sent.
 */
void
ThrottleSent(Throttle *throttle, int64_t now)
{
	LimitSent(&throttle->limit, now);
	if (throttle->rate > 0)
		throttle->saved -= 1;
}

/*
 * How many actions to hold besides those in flight: what is sent while the next
 * claim is made.  Whatever a relay holds is in doubt when it is killed, and goes out
 * when its batch is paused, so with slow answers that is no more than what is in
 * flight; a batch of them is claimed where answers come quickly.
 */
static int
backlog(const Throttle *throttle, int batch_size)
{
	int limit = most_in_flight(throttle);
	double wanted = limit;

	/* Less than a microsecond is no time that a request takes. */
	if (throttle->mean_duration >= 1)
		wanted = limit * (double) CLAIM_TIME / throttle->mean_duration;
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
ThrottleRoom(const Throttle *throttle, int batch_size, int64_t lease, int64_t now)
{
	int room = most_in_flight(throttle) + backlog(throttle, batch_size);
	int64_t wake = NEVER;

	if (now < throttle->resume || ThrottleIsPuttingOff(throttle, now, &wake))
		return 0;
	if (throttle->state != THROTTLE_OPEN)
		return 1;
	if (throttle->rate > 0 && throttle->rate * (double) lease / (3 * SECOND) < room)
		room = 1 + (int) (throttle->rate * (double) lease / (3 * SECOND));
	return room;
}

/*
 * A place for one more resting tenant: that of one which no longer rests, or else
 * of the one whose rest ends first.
 */
static Resting *
free_place(Throttle *throttle)
{
	Resting *place = &throttle->resting[0];

	if (throttle->resting_count < MAX_RESTING)
		return &throttle->resting[throttle->resting_count++];
	for (int i = 1; i < MAX_RESTING; i++)
	{
		if (throttle->resting[i].until < place->until)
			place = &throttle->resting[i];
	}
	return place;
}

/*
 * Nothing is sent for a tenant for a while.  Returns whether another one was
 * refused lately and rests as well.
 */
static bool
let_rest(Throttle *throttle, uint64_t tenant, bool refused, int64_t delay, int64_t now)
{
	Resting *place = NULL;
	bool others = false;

	for (int i = 0; i < throttle->resting_count; i++)
	{
		Resting *resting = &throttle->resting[i];

		if (resting->tenant == tenant)
			place = resting;
		else if (resting->refused && resting->until > now)
			others = true;
	}
	if (place == NULL)
		place = free_place(throttle);
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
slow_down(Throttle *throttle, const Judgement *judgement, const ThrottleSubject *subject,
		  int64_t now)
{
	int64_t delay = Earlier(judgement->delay, MAX_PAUSE);

	LimitRefused(&throttle->limit, now - subject->duration, now);
	if (let_rest(throttle, subject->tenant, true, delay, now) && throttle->resume < now + delay)
		throttle->resume = now + delay;
}

/*
 * Stop sending until a try succeeds.
 */
static ThrottleChange
stop(Throttle *throttle, ThrottleState state, int64_t delay, int64_t now)
{
	ThrottleChange change = throttle->state == state ? THROTTLE_UNCHANGED : THROTTLE_STOPPED;

	if (throttle->state == THROTTLE_OPEN)
		throttle->stopped_at = now;
	throttle->state = state;
	throttle->failures = 0;
	throttle->forbidden = 0;
	throttle->distrusted = 0;
	throttle->proven = false;
	throttle->resume = now + delay;
	return change;
}

/*
 * The gateway forbids an action.  If the key was good for others, it is the
 * action's own fault, which counts, unless this goes on.  Then nothing
 * but tries are sent, one a second, so that what is covered gets its turn
 * however many stand before it.
 */
static ThrottleChange
forbidden(Throttle *throttle, Judgement *judgement, int64_t now)
{
	if (throttle->state == THROTTLE_OPEN && throttle->proven &&
		++throttle->forbidden < MAX_FORBIDDEN)
		return THROTTLE_UNCHANGED;
	judgement->fate = FATE_LATER;
	judgement->delay = FORBIDDEN_INTERVAL;
	return stop(throttle, THROTTLE_REFUSED, Jittered(FORBIDDEN_INTERVAL), now);
}

/*
 * The gateway does not accept the signature of an action.  Keys are those of tenants: if
 * this goes on, it is the tenant's key, and only the tenant rests, unless nothing of others
 * is accepted either.
 */
static ThrottleChange
distrusted(Throttle *throttle, Judgement *judgement, const ThrottleSubject *subject, int64_t now)
{
	if (throttle->state != THROTTLE_OPEN || !throttle->proven ||
		throttle->forbidden + 1 < MAX_FORBIDDEN || throttle->distrusted + 1 >= MAX_DISTRUSTED)
		return forbidden(throttle, judgement, now);
	throttle->forbidden = 0;
	throttle->distrusted++;
	let_rest(throttle, subject->tenant, false, DISTRUSTED_REST, now);
	judgement->fate = FATE_LATER;
	judgement->delay = Jittered(DISTRUSTED_REST);
	return THROTTLE_UNCHANGED;
}

/*
 * The gateway has failed, or what is between it and us.  After some such answers
 * in a row it is down; if an answer says for how long, that is believed.
 */
static ThrottleChange
faulty(Throttle *throttle, Judgement *judgement, int64_t now)
{
	ThrottleChange change = THROTTLE_UNCHANGED;
	int most = throttle->limit.most > 10 ? throttle->limit.most / 2 : 5;

	if (throttle->state != THROTTLE_OPEN || ++throttle->failures >= most)
		change = stop(throttle, THROTTLE_DOWN, BackoffNext(&throttle->down), now);
	if (throttle->resume < now + Earlier(judgement->delay, MAX_PAUSE))
		throttle->resume = now + Earlier(judgement->delay, MAX_PAUSE);
	if (judgement->fate == FATE_LATER)
		judgement->delay = Jittered(2 * SECOND);
	return change;
}

/*
 * The gateway refuses us.  A try that is refused is put off until after the next
 * one, so that one action that the key does not cover cannot stand before all
 * others.
 */
static ThrottleChange
refused(Throttle *throttle, Judgement *judgement, int64_t now)
{
	bool stopped = throttle->state != THROTTLE_OPEN;
	ThrottleChange change = stop(throttle, THROTTLE_REFUSED, BackoffNext(&throttle->refused), now);

	if (stopped)
		judgement->delay = throttle->resume - now + SECOND;
	return change;
}

/*
 * The gateway answers.  One that was down is not flooded.
 */
static ThrottleChange
works(Throttle *throttle, const Judgement *judgement, const ThrottleSubject *subject, int64_t now)
{
	bool stopped = throttle->state != THROTTLE_OPEN;

	if (throttle->state == THROTTLE_DOWN)
		LimitRestart(&throttle->limit, 1, now);
	throttle->state = THROTTLE_OPEN;
	throttle->failures = 0;
	throttle->forbidden = 0;
	throttle->distrusted = 0;
	throttle->proven = true;
	BackoffReset(&throttle->down);
	BackoffReset(&throttle->refused);
	if (judgement->health == GATEWAY_BUSY)
		slow_down(throttle, judgement, subject, now);
	else if (judgement->health == GATEWAY_LIMITS)
		let_rest(throttle, subject->tenant, false, Earlier(judgement->delay, MAX_PAUSE), now);
	return stopped ? THROTTLE_RESUMED : THROTTLE_UNCHANGED;
}

/*
 * Take notice of an answer, and decide what becomes of the action, which may
 * depend on what became of others.
 */
ThrottleChange
ThrottleAnswered(Throttle *throttle, Judgement *judgement, const ThrottleSubject *subject,
				 int64_t now)
{
	if (subject->executed)
		LimitTimed(&throttle->limit, subject->kind, subject->duration, now);
	throttle->mean_duration += (throttle->mean_duration == 0 ? 1 : DURATION_WEIGHT) *
							   ((double) subject->duration - throttle->mean_duration);
	LimitEnded(&throttle->limit, now);

	/* An answer to what was in flight when we stopped. */
	if (throttle->state != THROTTLE_OPEN && now < throttle->resume)
	{
		if (judgement->health == GATEWAY_FORBIDS || judgement->health == GATEWAY_DISTRUSTS)
		{
			judgement->fate = FATE_LATER;
			judgement->delay = FORBIDDEN_INTERVAL;
		}
		return THROTTLE_UNCHANGED;
	}
	switch (judgement->health)
	{
		case GATEWAY_FORBIDS:
			return forbidden(throttle, judgement, now);
		case GATEWAY_DISTRUSTS:
			return distrusted(throttle, judgement, subject, now);
		case GATEWAY_REFUSES:
			return refused(throttle, judgement, now);
		case GATEWAY_FAULTY:
			return faulty(throttle, judgement, now);
		case GATEWAY_WORKS:
		case GATEWAY_BUSY:
		case GATEWAY_LIMITS:
			break;
	}
	return works(throttle, judgement, subject, now);
}

/*
 * The state as it is shown to others: an old failure does not count when nothing has been
 * tried since.
 */
ThrottleState
ThrottleShown(const Throttle *throttle, int64_t now)
{
	return now < throttle->resume + FAILURE_SHOWN ? throttle->state : THROTTLE_OPEN;
}

/*
 * Something has changed on our side: if we have stopped, try now.
 */
void
ThrottleTryNow(Throttle *throttle, int64_t now)
{
	if (throttle->state != THROTTLE_OPEN && throttle->resume > now)
		throttle->resume = now;
}
