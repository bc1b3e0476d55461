/*
 * outbox.h
 *		What the gateway will see: enqueueing.
 */
#ifndef ACTEON_OUTBOX_H
#define ACTEON_OUTBOX_H

#include "utils/uuid.h"

#include "audit.h"
#include "batch.h"
#include "query.h"
#include "state.h"

/* What becomes of a record in a call. */
typedef enum ItemStatus
{
	ITEM_PENDING, /* to be enqueued */
	ITEM_ENQUEUED,
	ITEM_PASSED_OVER, /* has a replay already */
	ITEM_SKIPPED,     /* no grant or no payload */
	ITEM_FAILED       /* a reason of its own, in error */
} ItemStatus;

/* A record on its way into the outbox. */
typedef struct ReplayItem
{
	const AuditRecord *record;
	ItemStatus status;
	const char *error;
	pg_uuid_t action_id; /* the new id */
	int generation;
	/* The latest earlier replay of the same action, if there is one. */
	bool has_earlier;
	bool at_same_moment; /* the calling statement cannot see it */
	pg_uuid_t earlier_id;
	ActionState earlier_state;
	/* Where the row went. */
	bool in_lane; /* it has a fingerprint */
	int64 lane;
	int64 outbox_id;
	ItemPointerData tid;
} ReplayItem;

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

#endif /* ACTEON_OUTBOX_H */
