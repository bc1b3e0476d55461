/*
 * replay_call.c
 *		A call of a replay function, from its checks to its batch.
 *
 * Every call goes the same way.  The caller's role is checked, the audit table
 * is opened, records are read and judged (eligibility.c, earlier_replays.c), what is left is
 * enqueued (enqueue.c), and the call is written down as a batch (batch_row.c).
 * replay_single.c does that for one action,
 * replay_bulk.c for many, replay_all.c for any number, in many transactions.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/error_reason.h"
#include "base/table_access.h"
#include "batch/canary.h"
#include "batch/reason.h"
#include "replay/chain_link.h"
#include "replay/earlier_replays.h"
#include "replay/kin.h"
#include "replay/replay_call.h"

/*
 * Begin a call of the current user, whose rights are read.
 */
static void
open_call(ReplayCall *call, Oid schema)
{
	call->schema = schema;
	call->caller = GetUserId();
	call->now = GetCurrentTimestamp();
	call->context = CurrentMemoryContext;
	call->ahead = NULL;
	call->batch = NULL;
	call->outbox = NULL;
	call->grants = LoadGrants(call->caller, call->schema);
}

/*
 * Refuse the caller for want of a grant of one of the roles that are named.
 */
ACTEON_NORETURN static void
report_no_grant(const ReplayCall *call, const char *what, const char *roles)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_NO_ROLE),
		 errmsg("insufficient permissions: %s requires %s role", what, roles),
		 errdetail("Role \"%s\" has no such grant in acteon_grants.",
				   GetUserNameFromId(call->caller, false)),
		 errhint(
			 "The owner of acteon_grants can insert one for this role, or for a role whose rights it inherits. See \"Who may do what\" in doc/operations.md.")));
}

/*
 * Open the audit table.
 */
static void
open_audit(ReplayCall *call)
{
	OpenAuditTable(&call->audit, call->schema);
	call->audit.grants = call->grants;
}

/*
 * Check the role of the current user, whose call it is, and open the audit
 * table: what each transaction of a call begins with.
 *
 * The role is checked before all else: a caller needs a grant as admin or
 * operator, whatever it covers; a superuser needs none.
 */
void
OpenCall(ReplayCall *call, Oid schema)
{
	open_call(call, schema);
	if (!GrantsMayReplay(call->grants))
		report_no_grant(call, "replay", "admin or operator");
	open_audit(call);
}

/*
 * The same for a call that only shows what a replay would do: a grant as viewer will do.
 */
void
OpenShowingCall(ReplayCall *call, Oid schema)
{
	open_call(call, schema);
	if (!GrantsMayRead(call->grants))
		report_no_grant(call, "preview", "admin, operator or viewer");
	open_audit(call);
}

/*
 * Check that the caller may patch any payload at all, if a query asks for that: it needs a
 * grant as admin, or one that has may_patch.  Raises insufficient_privilege.
 */
void
CheckMayPatch(const ReplayCall *call, const ReplayQuery *query)
{
	if (query->change == NULL || GrantsMayPatch(call->grants))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_NO_PATCH_GRANT),
			 errmsg("insufficient permissions: a patch requires admin role, or may_patch"),
			 errdetail("Role \"%s\" has no such grant in acteon_grants.",
					   GetUserNameFromId(call->caller, false)),
			 errhint("The owner of acteon_grants can set may_patch in an operator's grant.")));
}

/*
 * Begin a call: check that the server can write, that there is a reason if one
 * is required, and that the caller may replay anything, and open the audit
 * table.
 */
void
BeginCall(ReplayCall *call, FunctionCallInfo fcinfo, const char *function, const char *reason)
{
	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
	CheckReason(reason);
	OpenCall(call, CalledSchema(fcinfo));
	LockForWriting(call->schema, WRITES_OF_REPLAY);
}

/*
 * Act as the owner of the extension's tables until RestoreIdentity, and open
 * the outbox if this is the first time.
 */
Outbox *
UseOutbox(ReplayCall *call, const ReplayQuery *query, Identity *saved)
{
	SwitchIdentity(saved, TableOwner(OwnTable(call->schema, OUTBOX_TABLE)));
	if (call->outbox == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(call->context);

		call->outbox = OpenOutbox(call->schema, query, call->now);
		if (call->batch != NULL)
			JoinBatch(call->outbox, call->batch);
		MemoryContextSwitchTo(old);
	}
	return call->outbox;
}

/*
 * Close the outbox, and note in the batch where its actions are and when the
 * next one would be due.  What a canary is to release is held back.
 */
void
CloseBatchOutbox(ReplayCall *call, BatchRow *batch)
{
	int64 first_id;
	int64 last_id;

	OutboxRange(call->outbox, &first_id, &last_id);
	if (first_id != 0)
	{
		batch->first_outbox_id =
			batch->first_outbox_id == 0 ? first_id : Min(batch->first_outbox_id, first_id);
		batch->last_outbox_id = Max(batch->last_outbox_id, last_id);
		batch->rows_hash = OutboxRowsHash(call->outbox);
		if (batch->canary.step == 0)
			batch->paced_until = OutboxPacedUntil(call->outbox);
	}
	if (batch->canary.step > 0)
		HoldOutboxBack(call->outbox);
	CloseOutbox(call->outbox);
	call->outbox = NULL;
}

/*
 * Write a new batch down, as the owner of its table: what the call has set, and
 * what follows from the caller and the query.
 */
void
WriteBatch(const ReplayCall *call, const ReplayQuery *query, BatchRow *batch)
{
	batch->requested_by = call->caller;
	batch->created_at = call->now;
	batch->start_at = query->start_at;
	batch->rate = query->rate;
	batch->breaker_window = query->breaker_window;
	batch->breaker_share = query->breaker_share;
	batch->holds_doubts = query->holds_doubts;
	InsertBatch(call->schema, batch);
}

/*
 * Release the first step of a batch that was just written down.
 */
static void
begin_canary(const ReplayCall *call, int64 batch_id)
{
	HeldBatch held;

	CommandCounterIncrement();
	if (!HoldBatch(&held, call->schema, batch_id, true))
		elog(ERROR, "batch " INT64_FORMAT " has gone", batch_id);
	(void) AdvanceCanary(&held, call->schema, call->caller, call->now);
	ReleaseBatch(&held);
}

/*
 * Finish a call that found something, as the outbox's owner: close the outbox,
 * write the batch down.
 */
void
EndCall(ReplayCall *call, const ReplayQuery *query, BatchRow *batch)
{
	BeginCanary(&batch->canary, CanaryMode(query->canary, batch->replayed));
	CloseBatchOutbox(call, batch);
	WriteBatch(call, query, batch);
	if (batch->canary.step > 0)
		begin_canary(call, batch->id);
}

/*
 * Judge the items of a search for what was lost by their kin, of which other calls
 * may be replaying some at this moment.
 */
static void
judge_lost(ReplayCall *call, const ReplayQuery *query, ReplayItem *items, int count)
{
	bool again;

	do
	{
		Snapshot now = RegisterSnapshot(GetLatestSnapshot());

		/* What was committed before the lock was there is seen the second time. */
		again =
			JudgeKin(call->schema, &call->audit, query, items, count, now) && LockKin(call->schema);
		UnregisterSnapshot(now);
	} while (again);
}

/*
 * Judge a window of records: make items of them, each pending, with its new id,
 * or with the reason for which it is not replayed.
 */
void
JudgeWindow(ReplayCall *call, const ReplayQuery *query, ReplayItem *items,
			const AuditRecord *records, int count)
{
	Judge judge;
	Identity saved;

	InitJudge(&judge, call->schema, call->grants, query);
	BeginItems(&judge, items, records, count);
	if (query->lost)
		judge_lost(call, query, items, count);
	UseOutbox(call, query, &saved);
	ResolveItems(call->outbox, items, count);
	JudgeActions(&judge, items, count);
	RestoreIdentity(&saved);
	CloseJudge(&judge);
	JudgeChainLinks(&call->audit, query, items, count);
}
