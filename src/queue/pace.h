/*
 * pace.h
 *		When the actions of a batch are due.
 */
#ifndef ACTEON_PACE_H
#define ACTEON_PACE_H

#include "datatype/timestamp.h"

/* By how much the first actions of a ramp are slower. */
#define RAMP_FACTOR 10

/* The pace of a batch, and where it has got to. */
typedef struct Pacer
{
	TimestampTz start; /* when the next action is due that is not paced yet */
	double rate;       /* actions a second; 0: no limit */
	int64 count;       /* actions since then */
	int64 ramp;        /* of the first ones, how many go at a tenth of the rate */
} Pacer;

extern int64 RampLength(int64 actions);
extern int SegmentRows(double rate);
extern void BeginPace(Pacer *pacer, TimestampTz start, double rate, int64 ramp);
extern TimestampTz NextDueTime(Pacer *pacer, int64 actions);

#endif /* ACTEON_PACE_H */
