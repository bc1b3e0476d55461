/*
 * pace.c
 *		Proof of src/queue/pace.c.
 *
 * Bounds: all starts since 2000; without a rate, up to 10^12 actions; at one a second, 1000; at a rate
 * of 1/128, the last 1000 of 10^12; with a ramp of up to 15 actions, rates of 1/128 and 1, and 31
 * actions; for the order of due times and the rate that they keep, rates that are whole numbers up to
 * 3, and 14 actions; for the length of a ramp, a million; for pieces of segments, all rates.
 *
 * Unwind: 2
 * Solver: bitwuzla
 *
 * Breaks: src/queue/pace.c s/places >= (double) (END_TIMESTAMP - 1 - pacer->start)/false/
 * Breaks: src/queue/pace.c s/slow \* RAMP_FACTOR/slow/
 * Breaks: src/queue/pace.c s/Min(pacer->count, pacer->ramp)/pacer->ramp/
 * Breaks: src/queue/pace.c s/rate > SEGMENT_ACTIONS/false/
 * Breaks: src/queue/pace.c s/actions + RAMP_SHARE - 1/actions/
 */
#include "queue/pace.c"

/* What RateValue takes: one that is lower is refused. */
#define LEAST_RATE 0.001

/* At this rate so many actions take longer than time lasts. */
#define LONG_RATE (1.0 / 128)
#define MOST_ACTIONS INT64CONST(1000000000000)

/* An action is due from the start on, and while there is time. */
static void
prove_due_of(double rate, int64 ramp, int64 before)
{
	Pacer pacer;
	TimestampTz start = nondet_int64();
	TimestampTz due;

	ASSUME(start >= 0 && start < END_TIMESTAMP);
	BeginPace(&pacer, start, rate, ramp);
	pacer.count = before;
	due = NextDueTime(&pacer, 1);
	PROVE(due >= start);
	PROVE(due < END_TIMESTAMP);
	PROVE(rate > 0 || due == start);
	PROVE(before > 0 || due == start);
	PROVE(pacer.count == before + 1);
}

void
prove_due_at_once(void)
{
	int64 before = nondet_int64();

	ASSUME(before >= 0 && before <= MOST_ACTIONS);
	prove_due_of(0, 0, before);
}

void
prove_due(void)
{
	int64 before = nondet_int64();

	ASSUME(before >= 0 && before <= 1000);
	prove_due_of(1, 0, before);
}

void
prove_due_slow(void)
{
	int64 before = nondet_int64();

	ASSUME(before >= MOST_ACTIONS - 1000 && before <= MOST_ACTIONS);
	prove_due_of(LONG_RATE, 0, before);
}

void
prove_due_ramp(void)
{
	int64 ramp = nondet_int64();
	int64 before = nondet_int64();

	ASSUME(ramp >= 0 && ramp <= 15 && before >= 0 && before <= 31);
	prove_due_of(LONG_RATE, ramp, before);
	prove_due_of(1, ramp, before);
}

/*
 * Actions are due in their order, no earlier than the rate permits, and those of a ramp than a
 * tenth of it; a rate that has been reached is kept.
 */
void
prove_rate(void)
{
	Pacer pacer;
	int rate = nondet_int();
	int64 ramp = nondet_int64();
	int64 first = nondet_int64();
	int64 more = nondet_int64();
	int64 slow, wait;
	TimestampTz due;

	ASSUME(rate >= 1 && rate <= 3);
	ASSUME(ramp >= 0 && ramp <= 7);
	ASSUME(first >= 0 && first <= 7 && more >= 0 && more <= 7);
	BeginPace(&pacer, 0, rate, ramp);
	pacer.count = first;
	due = NextDueTime(&pacer, more);
	wait = NextDueTime(&pacer, 0) - due;
	slow = Min(first + more, ramp) - Min(first, ramp);
	PROVE(wait >= 0);
	/* A microsecond for what is cut off. */
	PROVE((wait + 1) * rate >= (more - slow + slow * RAMP_FACTOR) * USECS_PER_SEC);
	PROVE((wait - 1) * rate <= (more - slow + slow * RAMP_FACTOR) * USECS_PER_SEC);
}

/* A piece of a segment has an action at least, and no more than a segment. */
void
prove_rows(void)
{
	double rate = nondet_double();
	int rows;

	ASSUME(rate == 0 || rate >= LEAST_RATE);
	rows = SegmentRows(rate);
	PROVE(rows >= 1 && rows <= SEGMENT_ACTIONS);
	PROVE(rate == 0 || rate < 1 || rows <= rate);
}

/* A ramp is a tenth of the actions, rounded up. */
void
prove_ramp(void)
{
	int64 actions = nondet_int64();

	ASSUME(actions >= 0 && actions <= 1000000);
	PROVE(RampLength(actions) * 10 >= actions);
	PROVE((RampLength(actions) - 1) * 10 < actions);
}
