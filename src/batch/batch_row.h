/*
 * batch_row.h
 *		What is kept of a call: who asked, why, for what, and how it ended.
 */
#ifndef ACTEON_BATCH_ROW_H
#define ACTEON_BATCH_ROW_H

#include "fmgr.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "audit/audit_scan.h"
#include "base/optional_time.h"
#include "base/table_access.h"
#include "queue/batch_flags.h"

/* The distinct kinds of records that a batch touched; see NewScope. */
typedef struct Scope Scope;

/* Distinct reasons for failing that are told apart; there are fewer. */
#define MAX_FAILURE_REASONS 64

/* Why records failed, and how many. */
typedef struct Failures
{
	int count;
	const char *reasons[MAX_FAILURE_REASONS];
	int64 counts[MAX_FAILURE_REASONS];
} Failures;

/* A batch, to be written down or read back. */
typedef struct BatchRow
{
	int64 id;
	Oid requested_by;
	TimestampTz created_at;
	const char *reason; /* NULL: none given */
	Jsonb *query;
	int64 replayed;
	int64 failed;
	int64 skipped;
	int64 passed_over;
	Scope *scope;
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
	OptionalTime start_at;
	Numeric rate; /* NULL: no limit */
	OptionalTime paced_until;
	int breaker_window; /* 0: no circuit breaker */
	Numeric breaker_share;
	bool holds_doubts; /* on_doubt is hold, not resend */
	/* What only reading tells. */
	BatchStop stop;    /* never BATCH_BUSY */
	char *stop_reason; /* NULL: none */
} BatchRow;

/* A batch that is locked for changing; see HoldBatch. */
typedef struct HeldBatch
{
	TableWriter writer;
	TableFinder finder; /* its row is the one that was found */
	int scope_size;
} HeldBatch;

extern int64 NextBatchId(Oid schema);
extern Datum RoleName(Oid role);
extern bool IsRequester(Oid role, Datum name, Datum oid);
extern bool IsBlankReason(const char *reason);
extern void CheckReason(const char *reason);
extern const char *ReasonArgument(FunctionCallInfo fcinfo, int argument);
extern Scope *NewScope(const char *provider_override);
extern void AddToScope(Scope *scope, const AuditRecord *record);
extern int ScopeSize(const Scope *scope);
extern Scope *ScopeFromJsonb(Jsonb *json, const char *provider_override);
extern Jsonb *ScopeToJsonb(const Scope *scope);
extern void AddFailure(Failures *failures, const char *reason, int64 count);
extern Jsonb *FailuresToJsonb(const Failures *failures);
extern Failures *FailuresFromJsonb(Jsonb *json);
extern void InsertBatch(Oid schema, const BatchRow *batch);
extern void ReadBatchRow(TupleTableSlot *slot, BatchRow *batch);
extern bool ReadBatch(Oid schema, int64 id, BatchRow *batch);
extern bool HoldBatch(HeldBatch *held, Oid schema, int64 id, BatchRow *batch);
extern void UpdateBatch(HeldBatch *held, const BatchRow *batch);
extern int64 RampLeft(TableFinder *batches, Oid schema);
extern void DropBatch(HeldBatch *held, const BatchRow *batch);
extern void ReleaseBatch(HeldBatch *held);

#endif /* ACTEON_BATCH_ROW_H */
