/*
 * time_buckets.h
 *		Counts over time, whose extent is not known beforehand.
 */
#ifndef ACTEON_TIME_BUCKETS_H
#define ACTEON_TIME_BUCKETS_H

#include "datatype/timestamp.h"

/* Counts over time; see MakeTimeBuckets. */
typedef struct TimeBuckets TimeBuckets;

/* A bucket: from is in it, to is not. */
typedef struct TimeBucket
{
	TimestampTz from;
	TimestampTz to;
	int64 count;
} TimeBucket;

extern TimeBuckets *MakeTimeBuckets(int most);
extern void CoverTime(TimeBuckets *buckets, TimestampTz time);
extern void CountTime(TimeBuckets *buckets, TimestampTz time);
extern int64 CountedTimes(const TimeBuckets *buckets);
extern int EndTimeBuckets(TimeBuckets *buckets, TimeBucket **result);

#endif /* ACTEON_TIME_BUCKETS_H */
