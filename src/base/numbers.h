/*
 * numbers.h
 *		Drawing numbers for the rows of our tables.
 */
#ifndef ACTEON_NUMBERS_H
#define ACTEON_NUMBERS_H

/* Keeps two sessions from moving a sequence at once; see batch_flags.c for the others. */
#define NUMBERS_LOCK_CLASS 8

extern int64 NextNumber(Oid schema, const char *sequence, const char *table);

#endif /* ACTEON_NUMBERS_H */
