/*
 * canary.h
 *		The careful beginning of a batch.
 */
#ifndef ACTEON_CANARY_H
#define ACTEON_CANARY_H

#include "batch/batch_row.h"

/* How many actions have been released when a step is open; the last step has all. */
#define CANARY_STEPS 1, 2, 5, 20, 100, 1000, 10000

extern const char *CanaryMode(const char *asked, int64 actions);
extern void BeginCanary(CanaryState *canary, const char *mode);
extern int64 AdvanceCanary(HeldBatch *held, Oid schema, Oid role, TimestampTz now);
extern bool AdvanceCanaries(Oid schema, Oid role, TimestampTz now);
extern void RewindCanary(HeldBatch *held, int64 first_id);
extern void OpenNextStep(HeldBatch *held);
extern void EndCanary(HeldBatch *held);
extern char *CanaryText(const BatchRow *batch, bool is_out);
extern bool CanaryWaits(Oid schema);

#endif /* ACTEON_CANARY_H */
