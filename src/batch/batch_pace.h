/*
 * batch_pace.h
 *		How fast a batch goes.
 */
#ifndef ACTEON_BATCH_PACE_H
#define ACTEON_BATCH_PACE_H

#include "batch/batch_row.h"
#include "queue/schedule.h"

extern BatchQueue QueueOfBatch(Oid schema, const BatchRow *batch, TimestampTz now);
extern bool HasRamp(const BatchRow *batch);
extern int64 RampLeft(const BatchRow *batch, int64 finished);
extern void BeginPaceBehind(Pacer *pacer, const BatchRow *batch, int64 others, TimestampTz now);
extern void NotePaces(HeldBatch *held, const Pacers *pacers);
extern void BeginPaceOfParts(Pacers *pacers, const BatchRow *batch, TimestampTz now);
extern void PaceAnew(HeldBatch *held, Oid schema, TimestampTz now, bool all, bool wait);
extern void PaceFromStart(HeldBatch *held, Oid schema, const OptionalTime *before, TimestampTz now,
						  bool all, bool wait);

#endif /* ACTEON_BATCH_PACE_H */
