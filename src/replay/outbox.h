/*
 * outbox.h
 *		The outbox, open for one batch.
 */
#ifndef ACTEON_OUTBOX_H
#define ACTEON_OUTBOX_H

#include "base/optional_time.h"
#include "batch/batch_row.h"
#include "query/query.h"

/* The outbox, open for one batch; see OpenOutbox. */
typedef struct Outbox Outbox;

extern Outbox *OpenOutbox(Oid schema, const ReplayQuery *query, TimestampTz now);
extern void JoinBatch(Outbox *outbox, const BatchRow *batch);
extern int64 OutboxBatchId(Outbox *outbox);
extern void OutboxRange(const Outbox *outbox, int64 *first_id, int64 *last_id);
extern void HoldOutboxBack(Outbox *outbox);
extern void WaitForNoRow(Outbox *outbox);
extern RowsHash OutboxRowsHash(const Outbox *outbox);
extern OptionalTime OutboxPacedUntil(const Outbox *outbox);
extern void CloseOutbox(Outbox *outbox);

#endif /* ACTEON_OUTBOX_H */
