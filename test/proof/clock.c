/*
 * clock.c
 *		Proof of the delays of src/programs/common/clock.c.
 *
 * Bounds: delays of up to ten minutes.
 *
 * Unwind: 1
 *
 * Breaks: src/programs/common/clock.c s/delay - delay \/ 4 +/delay +/
 * Breaks: src/programs/common/clock.c s/share >> 8/share >> 7/
 */
#include "prove.h"

#include "common/clock.c"

#define LONGEST (10 * MINUTE)

/* A delay with jitter is at least three quarters of it, and less than five. */
void
prove_jitter(void)
{
	int64_t delay = nondet_int64();
	int64_t jittered;

	ASSUME(delay >= 0 && delay <= LONGEST);
	jittered = spread(delay, (unsigned char) nondet_int());
	PROVE(jittered >= delay - delay / 4);
	PROVE(jittered <= delay + delay / 4);
}
