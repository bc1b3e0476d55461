/*
 * replay_call.h
 *		A call of a replay function: what single and bulk replays share.
 */
#ifndef ACTEON_REPLAY_CALL_H
#define ACTEON_REPLAY_CALL_H

#include "fmgr.h"

#include "access/grants.h"
#include "audit/audit_table.h"
#include "audit/keys_ahead.h"
#include "base/identity.h"
#include "batch/batch_row.h"
#include "replay/eligibility.h"
#include "replay/outbox.h"

/* A call of a replay function. */
typedef struct ReplayCall
{
	MemoryContext context; /* what lives as long as the call */
	Oid schema;            /* of the extension */
	Oid caller;
	TimestampTz now;
	Grants *grants;
	AuditTable audit;
	KeysAhead *ahead;      /* of a call that reads page by page; NULL: it reads one */
	const BatchRow *batch; /* that it adds to; NULL: a new one */
	Outbox *outbox;        /* NULL until there is something to enqueue */
} ReplayCall;

extern void OpenCall(ReplayCall *call, Oid schema);
extern void OpenShowingCall(ReplayCall *call, Oid schema);
extern void
BeginCall(ReplayCall *call, FunctionCallInfo fcinfo, const char *function, const char *reason);
extern void CheckMayPatch(const ReplayCall *call, const ReplayQuery *query);
extern Outbox *UseOutbox(ReplayCall *call, const ReplayQuery *query, Identity *saved);
extern void CloseBatchOutbox(ReplayCall *call, BatchRow *batch);
extern void WriteBatch(const ReplayCall *call, const ReplayQuery *query, BatchRow *batch);
extern void EndCall(ReplayCall *call, const ReplayQuery *query, BatchRow *batch);
extern void JudgeWindow(ReplayCall *call, const ReplayQuery *query, ReplayItem *items,
						const AuditRecord *records, int count);

#endif /* ACTEON_REPLAY_CALL_H */
