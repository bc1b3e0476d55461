/*
 * approval.h
 *		Batches that a second person has to approve.
 */
#ifndef ACTEON_APPROVAL_H
#define ACTEON_APPROVAL_H

#include "access/grants.h"
#include "batch/batch_row.h"

/* How long a batch waits for approval. */
#define APPROVAL_HOURS 24

extern bool NeedsApproval(Oid schema, Oid caller, int64 count);
extern void RefuseWithoutApproval(Oid schema, Oid caller, int64 count);
extern void RefuseUnapproved(const BatchRow *batch);
extern void CheckMayReplayApproved(const BatchRow *batch, Oid caller);
extern bool MayBeApproved(Oid schema, int64 batch_id, Oid role, Grants *grants);
extern void LogAwaited(Oid schema, Oid caller, const BatchRow *batch, int64 replayable);

#endif /* ACTEON_APPROVAL_H */
