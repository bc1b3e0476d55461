/*
 * throttle.c
 *		Proof of src/programs/relay/throttle.c.
 *
 * The limit of what is in flight, limit.c, and delays, clock.c, are replaced by their contracts.
 *
 * Bounds: all states of a throttle, times, and rates that the relay's settings permit; for what
 * waits for the rate, rates that are whole numbers up to 7 with eighths saved, and rates that are so
 * low that they need more than the longest pause.
 *
 * Unwind: 5
 * Solver: bitwuzla
 *
 * Breaks: src/programs/relay/throttle.c s/in_flight >= ThrottleConcurrency/in_flight > ThrottleConcurrency/
 * Breaks: src/programs/relay/throttle.c s/if (throttle->saved > most)/if (throttle->saved > most + 1)/
 * Breaks: src/programs/relay/throttle.c s/missing < throttle->rate \* MAX_PAUSE/true/
 * Breaks: src/programs/relay/throttle.c s/throttle->saved -= 1;/throttle->saved -= 0.5;/
 * Breaks: src/programs/relay/throttle.c s/return wanted < batch_size ? (int) wanted : batch_size/return (int) wanted/
 */
#include "prove.h"

#include "relay/throttle.h"

/* Fewer tenants can rest than in the relay, so that loops over them are short. */
#undef MAX_RESTING
#define MAX_RESTING 3

#include "relay/throttle.c"

/* A hundred years: of a clock that begins at 0, and as much as leaves room behind it. */
#define LAST_TIME (INT64_C(100) * 366 * 24 * 60 * MINUTE)

/* What the settings permit. */
#define MOST_CONCURRENCY 1000
#define MOST_RATE 1e9
#define LONGEST_LEASE (60 * MINUTE)
#define LARGEST_BATCH 10000

/* A gateway that hangs is given up earlier. */
#define LONGEST_ANSWER (2 * 60 * MINUTE)

/* The longest pause, a quarter longer. */
#define LONGEST_STOP (MAX_PAUSE + MAX_PAUSE / 4)

int64_t
Earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t
Jittered(int64_t delay)
{
	int64_t jittered = nondet_int64();

	ASSUME(jittered >= delay - delay / 4 && jittered <= delay + delay / 4);
	return jittered;
}

int64_t
BackoffNext(Backoff *backoff)
{
	int64_t delay = nondet_int64();

	ASSUME(delay >= backoff->first && delay >= backoff->delay && delay <= backoff->most);
	backoff->delay = delay;
	return Jittered(delay);
}

void
BackoffReset(Backoff *backoff)
{
	backoff->delay = 0;
}

/* A time that a clock can show, not before another one. */
static int64_t
any_time(int64_t from)
{
	int64_t now = nondet_int64();

	ASSUME(now >= from && now <= LAST_TIME);
	return now;
}

/* What goes out at once, with a rate. */
static double
most_saved(const Throttle *throttle)
{
	return throttle->rate / BURSTS_A_SECOND > 1 ? throttle->rate / BURSTS_A_SECOND : 1;
}

static bool
is_backoff(const Backoff *backoff)
{
	return backoff->first >= SECOND && backoff->most <= MINUTE && backoff->first <= backoff->most &&
		   backoff->delay >= 0 && backoff->delay <= backoff->most;
}

/* What is true of a throttle at a time: what ThrottleStart makes, and all others keep. */
static bool
is_sound(const Throttle *throttle, int64_t now)
{
	return (throttle->state == THROTTLE_OPEN || throttle->state == THROTTLE_DOWN ||
			throttle->state == THROTTLE_REFUSED) &&
		   throttle->limit.most >= 1 && throttle->limit.most <= MOST_CONCURRENCY &&
		   throttle->limit.limit >= 1 && throttle->limit.limit <= throttle->limit.most &&
		   throttle->limit.send_from <= now + 20 * MILLISECOND && throttle->fixed >= 0 &&
		   throttle->fixed <= MOST_CONCURRENCY && throttle->failures >= 0 &&
		   throttle->failures < MOST_CONCURRENCY && throttle->forbidden >= 0 &&
		   throttle->forbidden < MAX_FORBIDDEN && throttle->distrusted >= 0 &&
		   throttle->distrusted < MAX_DISTRUSTED && throttle->resume >= 0 &&
		   throttle->resume <= now + LONGEST_STOP && is_backoff(&throttle->down) &&
		   is_backoff(&throttle->refused) && throttle->resting_count >= 0 &&
		   throttle->resting_count <= MAX_RESTING && throttle->mean_duration >= 0 &&
		   throttle->mean_duration <= (double) LONGEST_ANSWER && throttle->rate >= 0 &&
		   throttle->rate <= MOST_RATE && throttle->saved >= 0 &&
		   throttle->saved <= most_saved(throttle) && throttle->saved_at >= 0 &&
		   throttle->saved_at <= now;
}

/* Begins as it is to be, for all that the relay can be told. */
void
prove_start(void)
{
	Throttle throttle;
	int concurrency = nondet_int();
	double rate = nondet_double();
	int64_t now = any_time(0);

	ASSUME(concurrency >= 1 && concurrency <= MOST_CONCURRENCY);
	ASSUME(rate >= 0 && rate <= MOST_RATE);
	ThrottleStart(&throttle, concurrency, 1, rate, now);
	PROVE(is_sound(&throttle, now));
}

/*
 * What may be sent is within the number that may be in flight, one while the gateway is down,
 * and not before the time until which nothing is sent.  What may not be sent yet may be tried
 * again later, and soon enough.
 */
void
prove_may_send(void)
{
	Throttle throttle;
	int64_t now = any_time(0);
	int64_t wake = nondet_int64();
	int64_t asked = wake;
	int in_flight = nondet_int();

	throttle.rate = 0;
	throttle.saved = 1;
	throttle.mean_duration = 0;
	ASSUME(is_sound(&throttle, now));
	ASSUME(in_flight >= 0);
	if (ThrottleMaySend(&throttle, in_flight, now, &wake))
	{
		PROVE(wake == asked);
		PROVE(in_flight < (throttle.fixed > 0 ? throttle.fixed : throttle.limit.most));
		PROVE(throttle.state == THROTTLE_OPEN || in_flight == 0);
		PROVE(now >= throttle.resume);
		ThrottleSent(&throttle, now);
	}
	else
	{
		PROVE(wake <= asked);
		PROVE(wake == asked || wake > now);
		PROVE(wake == asked || wake <= now + LONGEST_STOP);
		PROVE(wake < asked || in_flight > 0 || asked <= now + LONGEST_STOP);
	}
	PROVE(is_sound(&throttle, now));
}

/*
 * What is sent is within the rate: what is saved grows no faster, not beyond a tenth of a
 * second's worth, and is taken from.
 */
void
prove_rate(void)
{
	Throttle throttle;
	int64_t now = any_time(0);
	int64_t wake = 0;
	double saved, passed;

	throttle.mean_duration = 0;
	ASSUME(is_sound(&throttle, now));
	ASSUME(throttle.rate > 0);
	saved = throttle.saved;
	passed = (double) (now - throttle.saved_at);
	if (ThrottleMaySend(&throttle, 0, now, &wake))
	{
		PROVE(throttle.saved >= 1);
		saved = throttle.saved;
		ThrottleSent(&throttle, now);
		PROVE(throttle.saved == saved - 1);
	}
	else
		PROVE(throttle.saved <= saved + throttle.rate * passed / SECOND);
	PROVE(is_sound(&throttle, now));
}

/*
 * What is held is as much as may be in flight and a batch at most, one for a try; if there is
 * nothing to wait for, it is one at least.
 */
static void
prove_room_of(const Throttle *throttle, int64_t now)
{
	int64_t lease = nondet_int64();
	int batch_size = nondet_int();
	int room;

	ASSUME(is_sound(throttle, now));
	ASSUME(lease >= SECOND && lease <= LONGEST_LEASE);
	ASSUME(batch_size >= 1 && batch_size <= LARGEST_BATCH);
	room = ThrottleRoom(throttle, batch_size, lease, now);
	PROVE(room >= 0);
	PROVE(room <= (throttle->fixed > 0 ? throttle->fixed : throttle->limit.most) + batch_size);
	PROVE(throttle->state == THROTTLE_OPEN || room <= 1);
	PROVE(room > 0 || now < throttle->resume || throttle->put_off >= MAX_PUT_OFF);
	PROVE(room == 0 || now >= throttle->resume);
}

void
prove_room_by_time(void)
{
	Throttle throttle;

	throttle.rate = 0;
	throttle.saved = 1;
	prove_room_of(&throttle, any_time(0));
}

void
prove_room_by_rate(void)
{
	Throttle throttle;

	throttle.mean_duration = 0;
	prove_room_of(&throttle, any_time(0));
}

/* However low the rate is, it is asked again after the longest pause. */
void
prove_slow(void)
{
	Throttle throttle;
	int64_t now = any_time(0);
	int64_t wake = NEVER;

	throttle.mean_duration = 0;
	ASSUME(is_sound(&throttle, now));
	ASSUME(now >= throttle.resume && now >= throttle.limit.send_from);
	ASSUME(throttle.rate > 0 && throttle.rate < 1.0 * SECOND / MAX_PAUSE);
	throttle.saved = 0;
	throttle.saved_at = now;
	PROVE(!ThrottleMaySend(&throttle, 0, now, &wake));
	PROVE(wake == now + 1 + MAX_PAUSE);
}

/* What waits for the rate has its turn when it is told to ask again, or one microsecond later. */
void
prove_turn(void)
{
	Throttle throttle;
	int64_t now = any_time(0);
	int64_t wake = NEVER;
	int rate = nondet_int();
	int saved = nondet_int();

	ASSUME(is_sound(&throttle, now));
	ASSUME(now >= throttle.resume && now >= throttle.limit.send_from);
	ASSUME(rate >= 1 && rate <= 7 && saved >= 0 && saved < 8);
	throttle.rate = rate;
	throttle.saved = saved / 8.0;
	throttle.saved_at = now;
	if (ThrottleMaySend(&throttle, 0, now, &wake))
		return;
	PROVE(wake > now && wake <= now + 1 + SECOND);
	PROVE(ThrottleMaySend(&throttle, 0, wake + 1, &wake));
}
