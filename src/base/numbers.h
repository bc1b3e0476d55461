/*
 * numbers.h
 *		Drawing numbers for the rows of our tables.
 */
#ifndef ACTEON_NUMBERS_H
#define ACTEON_NUMBERS_H

extern int64 NextNumber(Oid schema, const char *sequence, const char *table);

#endif /* ACTEON_NUMBERS_H */
