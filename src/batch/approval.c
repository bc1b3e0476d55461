/*
 * approval.c
 *		Batches that a second person has to approve.
 *
 * A batch of acteon_replay_all with more records than acteon_replay.approval_above is
 * written down, but nothing of it is enqueued before another role has approved it.  So
 * nothing of it is in any table from which something is sent, and there is nothing that
 * a claim, a redrive, a purge, a restore or an older consumer could overlook; what waits
 * costs one row.  run_batch.c enqueues no batch that is not approved.
 *
 * Calls that enqueue at once cannot wait; above the limit they are refused.  What a role
 * has replayed without approval within the last hour counts together, so that nobody
 * gets around the limit by many small replays.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "access/visibility.h"
#include "base/api_key.h"
#include "base/catalog.h"
#include "base/error_reason.h"
#include "base/settings.h"
#include "base/table_access.h"
#include "batch/approval.h"
#include "batch/batch_state.h"
#include "batch/control_log.h"
#include "batch/may_steer.h"
#include "batch/notification.h"
#include "queue/batch_flags.h"

/* Keeps its locks apart from others; see batch_flags.c. */
#define ASKED_LOCK_CLASS 10

/* What was replayed within so many hours counts together. */
#define ASKED_HOURS 1

PG_FUNCTION_INFO_V1(acteon_replay_approve);

/* ----------------------------------------------------------------
 * Who has asked for how much
 * ----------------------------------------------------------------
 */

/*
 * Let calls of a role take turns until the end of the transaction, so that each sees
 * what the others have replayed.
 */
static void
lock_asked(Oid schema, Oid role)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, OwnTable(schema, BATCH_TABLE), role, ASKED_LOCK_CLASS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/*
 * A column of a batch's row as a number; 0 for NULL.
 */
static int64
number_in(TupleTableSlot *slot, OwnColumns columns, AttrNumber column)
{
	bool isnull;
	Datum value = slot_getattr(slot, ColumnPlace(columns, column), &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static bool
has_value(TupleTableSlot *slot, OwnColumns columns, AttrNumber column)
{
	bool isnull;

	(void) slot_getattr(slot, ColumnPlace(columns, column), &isnull);
	return !isnull;
}

static Oid
role_in(TupleTableSlot *slot, OwnColumns columns, AttrNumber column)
{
	bool isnull;
	Datum value = slot_getattr(slot, ColumnPlace(columns, column), &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

/*
 * How many actions a batch, whose row this is, has replayed without approval, or is
 * going to.
 */
static int64
replayed_without(TupleTableSlot *slot, OwnColumns columns)
{
	int64 replayed = number_in(slot, columns, Anum_batch_replayed);
	bool isnull;

	if (IsNotificationQuery(
			DatumGetJsonbP(slot_getattr(slot, ColumnPlace(columns, Anum_batch_query), &isnull))))
		return 0;
	if (has_value(slot, columns, Anum_batch_awaits_until) ||
		has_value(slot, columns, Anum_batch_approved_at))
		return 0;
	if (StopInRow(slot) == BATCH_CANCELLED ||
		DatumGetBool(slot_getattr(slot, ColumnPlace(columns, Anum_batch_is_complete), &isnull)))
		return replayed;
	return Max(replayed, number_in(slot, columns, Anum_batch_matched));
}

/*
 * How many actions the caller, or whoever has logged in as this session's role, has
 * replayed lately without approval.
 */
static int64
asked_lately(Oid schema, Oid caller)
{
	Oid session = LoginRole(caller);
	TimestampTz since = GetCurrentTimestamp() - ASKED_HOURS * USECS_PER_HOUR;
	Relation rel;
	OwnColumns columns;
	TupleTableSlot *slot;
	Snapshot snapshot;
	TableScanDesc scan;
	int64 sum = 0;

	lock_asked(schema, Min(caller, session));
	if (caller != session)
		lock_asked(schema, Max(caller, session));
	rel = table_open(OwnTable(schema, BATCH_TABLE), AccessShareLock);
	if (!TableColumns(rel, &columns))
		RefuseOlderObjects();
	slot = table_slot_create(rel, NULL);
	/* Also what other calls of the same statement have replayed. */
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = table_beginscan(rel, snapshot, 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (number_in(slot, columns, Anum_batch_created_at) > since &&
			(role_in(slot, columns, Anum_batch_requested_by_oid) == caller ||
			 role_in(slot, columns, Anum_batch_session_role_oid) == session))
			sum += replayed_without(slot, columns);
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return sum;
}

/*
 * Whether a replay of so many records needs approval.
 */
bool
NeedsApproval(Oid schema, Oid caller, int64 count)
{
	if (ApprovalAbove < 0 || count == 0)
		return false;
	return count > ApprovalAbove || count + asked_lately(schema, caller) > ApprovalAbove;
}

/*
 * Refuse a call that replays so many records at once if that needs approval, with
 * object_not_in_prerequisite_state.
 */
void
RefuseWithoutApproval(Oid schema, Oid caller, int64 count)
{
	if (NeedsApproval(schema, caller, count))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason(CODE_APPROVAL_NEEDED),
				 errmsg("this replay needs the approval of a second person"),
				 errdetail("acteon_replay.approval_above is %d. What the same role has replayed "
						   "within the last hour counts together.",
						   ApprovalAbove),
				 errhint("CALL acteon_replay_all() with the same arguments: its batch waits until "
						 "it is approved.")));
}

/* ----------------------------------------------------------------
 * Waiting and approving
 * ----------------------------------------------------------------
 */

/*
 * Write down in the log that a batch waits for approval, as the owner of the log.
 */
void
LogAwaited(Oid schema, Oid caller, const BatchRow *batch, int64 replayable)
{
	LogDetails details;

	BeginDetails(&details);
	AddTextDetail(&details, "plan", batch->plan);
	AddNumberDetail(&details, "matched", batch->matched);
	AddNumberDetail(&details, "replayable", replayable);
	LogControl(schema, caller, "await_approval", batch->id, batch->reason, EndDetails(&details));
}

/*
 * Refuse, with object_not_in_prerequisite_state, what can be done only with a batch that
 * does not wait for approval.
 */
void
RefuseUnapproved(const BatchRow *batch)
{
	Approval approval = ApprovalOf(batch);

	if (approval == APPROVAL_EXPIRED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errreason(CODE_APPROVAL_EXPIRED),
				 errmsg("batch " INT64_FORMAT " is cancelled: its approval expired", batch->id),
				 errhint("Nothing of it was replayed. CALL acteon_replay_all() with its query asks "
						 "for approval again.")));
	if (approval == APPROVAL_AWAITED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errreason(CODE_AWAITING_APPROVAL),
				 errmsg("batch " INT64_FORMAT " is awaiting approval", batch->id),
				 errhint("Another role, with admin grants for all of it, can approve it: SELECT "
						 "acteon_replay_approve(" INT64_FORMAT
						 ", '%s', reason => '…'). acteon_replay_cancel() withdraws it.",
						 batch->id, batch->plan)));
}

/*
 * Refuse to enqueue an approved batch for another role than the one that has asked for
 * it: the grants of another role may cover records that were not approved.
 */
void
CheckMayReplayApproved(const BatchRow *batch, Oid caller)
{
	if (batch->approved_at.given && batch->requested_by != caller)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_APPROVED_FOR_ANOTHER),
				 errmsg("insufficient permissions: batch " INT64_FORMAT
						" was approved for the role that started it",
						batch->id),
				 errhint("That role can continue it with acteon_replay_continue().")));
}

/*
 * Whether one of two roles can act as the other: they are the same, or one is a member
 * of the other.  That a superuser could act as anybody does not count.
 */
static bool
act_as_one(Oid a, Oid b)
{
	return a == b || is_member_of_role_nosuper(a, b) || is_member_of_role_nosuper(b, a);
}

/*
 * Whether the grants are those of an admin for all that a batch, whose row was found, will
 * replay.
 */
static bool
covers_all(HeldBatch *held, Grants *grants)
{
	bool isnull;
	Jsonb *scope = DatumGetJsonbP(FoundColumn(&held->finder, Anum_batch_scope, &isnull));

	return GrantsEverything(grants) ||
		   (JB_ROOT_COUNT(scope) > 0 && GrantsCoverScope(grants, GRANT_STEER, scope));
}

/*
 * Whether a caller is a second person for a batch.  If not, *asked and *approves get the
 * roles of which that is so; *asked is invalid if it was dropped.
 *
 * Neither the role that approves nor the role of its session may be, be a member of, or
 * have as a member the role that asked or the role of the session in which it asked: the
 * same person could have both.  Over HTTP the role that created an API key takes the place of
 * that of the session (LoginRole).  Superusers are no exception.
 */
static bool
is_second_person(const BatchRow *batch, Oid caller, Oid *asked, Oid *approves)
{
	const Oid first[] = {batch->requested_by, batch->session_role};
	const Oid second[] = {caller, LoginRole(caller)};

	for (int i = 0; i < lengthof(first); i++)
	{
		for (int k = 0; k < lengthof(second); k++)
		{
			*asked = first[i];
			*approves = second[k];
			/* The role that asked may have been dropped, and made anew. */
			if (!OidIsValid(first[i]) || act_as_one(first[i], second[k]))
				return false;
		}
	}
	return true;
}

/*
 * Refuse a role that is not a second person, or whose grants do not cover the batch.
 */
static void
check_may_approve(ControlCall *call, Grants *grants)
{
	Oid asked;
	Oid approves;

	if (!covers_all(&call->held, grants))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_MAY_NOT_APPROVE),
						errmsg("insufficient permissions: batch " INT64_FORMAT
							   " can be approved by admins",
							   call->batch_id),
						errdetail("Role \"%s\" has no admin grant that covers all of it.",
								  GetUserNameFromId(call->caller, false))));
	if (is_second_person(&call->held.row, call->caller, &asked, &approves))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_SECOND_PERSON_NEEDED),
			 errmsg("insufficient permissions: batch " INT64_FORMAT
					" must be approved by a second person",
					call->batch_id),
			 OidIsValid(asked)
				 ? errdetail("Role \"%s\" has asked for it, and role \"%s\" is the same or "
							 "is connected with it by membership.",
							 GetUserNameFromId(asked, false), GetUserNameFromId(approves, false))
				 : errdetail("The role that has asked for it no longer exists."),
			 errhint("Ask and approve in sessions of different login roles, of which neither "
					 "is a member of a role that the other one uses.")));
}

/*
 * Whether a role, with its grants, may approve a batch, and this waits for it; false if
 * there is none of this number.  For showing it: nothing is locked, and what is asked for
 * later can be refused.
 */
bool
MayBeApproved(Oid schema, int64 batch_id, Oid role, Grants *grants)
{
	HeldBatch found;
	Oid asked;
	Oid approves;
	bool result;

	if (!FindBatch(&found, schema, batch_id))
		return false;
	result = found.row.stop != BATCH_CANCELLED && ApprovalOf(&found.row) == APPROVAL_AWAITED &&
			 covers_all(&found, grants) && is_second_person(&found.row, role, &asked, &approves);
	CloseFinder(&found.finder);
	return result;
}

/*
 * The plan that is approved, which is an argument.
 */
static char *
plan_argument(FunctionCallInfo fcinfo, int argument)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("plan must not be null"),
						errhint("acteon_replay_batches shows the plan of a batch that waits.")));
	return text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

/*
 * acteon_replay_approve(batch_id bigint, plan text, reason text)
 *
 * Approves a batch that waits for it, so that it can be enqueued.  Raises no_data_found,
 * insufficient_privilege, invalid_parameter_value (also for another plan than the
 * batch's) and object_not_in_prerequisite_state (it does not wait, or no longer).
 */
Datum
acteon_replay_approve(PG_FUNCTION_ARGS)
{
	char *plan = plan_argument(fcinfo, 1);
	ControlCall call;
	LogDetails details;
	const BatchRow *batch;

	BeginControlBy(&call, fcinfo, "acteon_replay_approve()", 0, 2, check_may_approve);
	batch = &call.held.row;
	if (batch->stop == BATCH_CANCELLED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason(CODE_BATCH_CANCELLED),
				 errmsg("batch " INT64_FORMAT " is cancelled", call.batch_id)));
	if (ApprovalOf(batch) == APPROVAL_EXPIRED)
		RefuseUnapproved(batch);
	if (ApprovalOf(batch) == APPROVAL_NONE)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errreason(CODE_NOT_AWAITING_APPROVAL),
						errmsg("batch " INT64_FORMAT " is not awaiting approval", call.batch_id)));
	if (strcmp(plan, batch->plan) != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("plan is not that of batch " INT64_FORMAT, call.batch_id),
						errhint("acteon_replay_batches shows its query and its plan.")));
	BeginDetails(&details);
	AddTextDetail(&details, "plan", batch->plan);
	ApproveBatch(&call.held, call.now, call.caller);
	LogControl(call.schema, call.caller, "approve", call.batch_id, call.reason,
			   EndDetails(&details));
	EndControl(&call);
	ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is approved", call.batch_id),
					 errhint("CALL acteon_replay_continue(" INT64_FORMAT
							 ") by the role that started it replays it.",
							 call.batch_id)));
	PG_RETURN_VOID();
}
