/*
 * prove.h
 *		What proofs are written with.
 */
#ifndef PROVE_H
#define PROVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values of which nothing is known. */
extern bool nondet_bool(void);
extern char nondet_char(void);
extern int nondet_int(void);
extern int64_t nondet_int64(void);
extern uint64_t nondet_uint64(void);
extern double nondet_double(void);

/* What is taken for granted, and what has to follow. */
#define ASSUME(condition) __ESBMC_assume(condition)
#define PROVE(condition) __ESBMC_assert(condition, #condition)

#endif
