/* The server's random numbers: one from 0 to 1, but never 1. */
#ifndef PG_PRNG_H
#define PG_PRNG_H

typedef struct pg_prng_state
{
	uint64 s0, s1;
} pg_prng_state;

static pg_prng_state pg_global_prng_state;

static inline double
pg_prng_double(pg_prng_state *state)
{
	double drawn = nondet_double();

	(void) state;
	ASSUME(drawn >= 0 && drawn < 1);
	return drawn;
}

#endif
