/*
 * enqueue.h
 *		What the gateway will see: enqueueing.
 */
#ifndef ACTEON_ENQUEUE_H
#define ACTEON_ENQUEUE_H

#include "base/optional_time.h"
#include "batch/batch_row.h"
#include "query/query.h"
#include "replay/eligibility.h"

/* The outbox, open for one batch; see OpenOutbox. */
typedef struct Outbox Outbox;

extern Outbox *OpenOutbox(Oid schema, const ReplayQuery *query, TimestampTz now);
extern void JoinBatch(Outbox *outbox, const BatchRow *batch);
extern void ResolveItems(Outbox *outbox, ReplayItem *items, int count);
extern void EnqueueItems(Outbox *outbox, ReplayItem *items, int count);
extern int64 OutboxBatchId(Outbox *outbox);
extern void OutboxRange(const Outbox *outbox, int64 *first_id, int64 *last_id);
extern OptionalTime OutboxPacedUntil(const Outbox *outbox);
extern void CloseOutbox(Outbox *outbox);

#endif /* ACTEON_ENQUEUE_H */
