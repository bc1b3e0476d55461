/*
 * value_counts.h
 *		How many records have which value.
 */
#ifndef ACTEON_VALUE_COUNTS_H
#define ACTEON_VALUE_COUNTS_H

#include "utils/hsearch.h"

/* How many records have a value, and how many of these would be replayed. */
typedef struct ValueCount
{
	uint64 hash;
	text *value; /* NULL: they have none */
	int64 matched;
	int64 replayable;
} ValueCount;

/* Counts of the values of one column; see InitValueCounts. */
typedef struct ValueCounts
{
	MemoryContext context;
	HTAB *values;
	ValueCount *last; /* counted last */
	ValueCount rest;  /* of values beyond those that are told apart */
} ValueCounts;

extern void InitValueCounts(ValueCounts *counts);
extern void CountValue(ValueCounts *counts, const text *value, bool replayable);
extern int
TopValues(ValueCounts *counts, int wanted, ValueCount **top, ValueCount *others, int *other_values);

#endif /* ACTEON_VALUE_COUNTS_H */
