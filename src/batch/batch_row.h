/*
 * batch_row.h
 *		The row of a batch: who called, why, with what query, and its
 *		progress.
 */
#ifndef ACTEON_BATCH_ROW_H
#define ACTEON_BATCH_ROW_H

#include "fmgr.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/digest.h"
#include "base/optional_time.h"
#include "base/table_access.h"
#include "batch/failures.h"
#include "batch/scope.h"
#include "queue/batch_flags.h"

/* How far a batch has come in its canary; see canary.c. */
typedef struct CanaryState
{
	const char *mode; /* CANARY_AUTO or CANARY_HOLD; NULL: the batch has none */
	int step;         /* the open one, from 1; 0: none, it is over */
	int64 first_id;   /* the step's actions have outbox ids from this one */
	int64 last_id;    /* up to this one; those of later ones are held back */
	int64 actions;    /* released so far, in all steps */
	bool is_held;     /* the step has been judged, and a person opens the next one */
	int64 unrecorded; /* actions judged by their answers, as they had no records */
} CanaryState;

/* The hash of the rows of a batch, as FoldBlock makes it. */
typedef struct RowsHash
{
	bool given; /* false: some have none, as in batches of version 1.0 */
	uint8 bytes[LINK_HASH_BYTES];
} RowsHash;

/* A batch, to be written down or read back. */
typedef struct BatchRow
{
	int64 id;
	Oid requested_by; /* of what was read: InvalidOid if the role is no more */
	TimestampTz created_at;
	const char *reason; /* NULL: none given */
	Jsonb *query;
	int64 replayed;
	int64 failed;
	int64 skipped;
	int64 passed_over;
	Scope *scope; /* reading leaves it NULL: it may be large; see HeldScope */
	Failures *failures;
	/* Only of acteon_replay_all. */
	int64 matched; /* -1: unknown */
	int chunk;     /* 0: none */
	bool is_complete;
	char *cursor; /* NULL: at the beginning, or at the end */
	TimestampTz last_chunk_at;
	/* Where its actions are, 0 if there are none. */
	int64 first_outbox_id;
	int64 last_outbox_id;
	RowsHash rows_hash;
	OptionalTime start_at;
	Numeric rate; /* NULL: no limit */
	OptionalTime paced_until;
	int breaker_window; /* 0: no circuit breaker */
	Numeric breaker_share;
	OptionalTime breaker_since; /* later deliveries only; of what was read */
	bool holds_doubts;          /* on_doubt is hold, not resend */
	CanaryState canary;
	const char *plan;          /* digest of its plan; NULL: none */
	bool is_notification;      /* about another batch; of what is written */
	OptionalTime awaits_until; /* until then it waits for approval */
	/* What only reading tells. */
	BatchStop stop;      /* never BATCH_BUSY */
	char *stop_reason;   /* NULL: none */
	bool stopped_itself; /* no role has stopped it */
	bool is_watched;     /* notifications are told about it; see tell.c */
	uint32 told;         /* the events that they were told and that still hold */
	OptionalTime approved_at;
	Oid session_role; /* in whose session it was asked for; InvalidOid as for requested_by */
	bool was_handed_over;
	Oid owner;    /* steers it: requested_by, or whom it was handed over to; InvalidOid the same */
	Jsonb *parts; /* that are steered on their own, see part.c; NULL: none */
} BatchRow;

/* A batch that is locked for changing; see HoldBatch. */
typedef struct HeldBatch
{
	TableWriter writer;
	TableFinder finder; /* its row is the one that was found */
	BatchRow row;       /* the same, read */
} HeldBatch;

extern int64 NextBatchId(Oid schema);
extern void InsertBatch(Oid schema, const BatchRow *batch);
extern bool ReadBatch(Oid schema, int64 id, BatchRow *batch);
extern bool FindBatch(HeldBatch *found, Oid schema, int64 id);
extern bool HoldBatch(HeldBatch *held, Oid schema, int64 id, bool wait);
extern void ReleaseBatch(HeldBatch *held);
extern Scope *HeldScope(HeldBatch *held, Scope *known);
extern void UpdateBatch(HeldBatch *held, const BatchRow *batch);
extern void DropBatch(HeldBatch *held);
extern void
StopBatch(HeldBatch *held, const char *stopped, TimestampTz at, Oid by, const char *reason);
extern void ApproveBatch(HeldBatch *held, TimestampTz at, Oid by);
extern void EndCancelling(HeldBatch *held);
extern void ResumeBatch(HeldBatch *held, TimestampTz since);
extern void SetBatchRate(HeldBatch *held, Numeric rate);
extern void ReadCanaryRow(TableReader *row, BatchRow *batch);
extern int64 ReleasedId(const BatchRow *batch);
extern void SetCanary(HeldBatch *held, const CanaryState *canary);
extern void ReadWatchedRow(TableReader *row, BatchRow *batch);
extern void SetTold(HeldBatch *held, bool is_watched, uint32 told);
extern void NotePatch(HeldBatch *held, Jsonb *patch, int64 actions, int64 last_outbox_id,
					  const RowsHash *rows_hash);
extern void SetPacedUntil(HeldBatch *held, const OptionalTime *until);
extern void SetStartAt(HeldBatch *held, const OptionalTime *start_at);
extern void SetOwner(HeldBatch *held, Oid owner);
extern void SetParts(HeldBatch *held, Jsonb *parts);

#endif /* ACTEON_BATCH_ROW_H */
