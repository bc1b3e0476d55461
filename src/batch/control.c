/*
 * control.c
 *		Steering a batch: who may, and what all ways of it share.
 *
 * The batch's row is locked first, so that of several who steer one comes after
 * the other, and between two chunks of acteon_replay_all.  Then, where claims
 * must be kept out, the batch itself (batch_stop.c).  steer.c has the functions.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "access/visibility.h"
#include "batch/batch_row.h"
#include "batch/control.h"
#include "queue/batch_flags.h"

/*
 * Whether grants of an admin cover everything that a batch is about, by its
 * scope.
 */
static bool
covers_scope(Grants *grants, Jsonb *scope)
{
	JsonbIterator *it = JsonbIteratorInit(&scope->root);
	text *parts[SCOPE_PARTS];

	while (NextScopeElement(&it, parts))
	{
		GrantTarget target = {.tenant = parts[0],
							  .namespace = parts[1],
							  .provider = parts[2],
							  .action_type = parts[3]};

		if (!GrantsCover(grants, GRANT_STEER, &target))
			return false;
	}
	return true;
}

/*
 * The text of a query's key, or "*", which only a grant for everything covers.
 */
static text *
query_text(Jsonb *query, const char *key)
{
	JsonbValue value;

	if (getKeyJsonValueFromContainer(&query->root, key, strlen(key), &value) == NULL)
		return cstring_to_text("*");
	return cstring_to_text_with_len(value.val.string.val, value.val.string.len);
}

/*
 * Whether a grant of an admin covers everything that a query can find.
 */
static bool
covers_query(Grants *grants, Jsonb *query)
{
	GrantTarget target = {.tenant = query_text(query, "tenant"),
						  .namespace = query_text(query, "namespace"),
						  .provider = query_text(query, "provider"),
						  .action_type = query_text(query, "action_type")};

	return GrantsCover(grants, GRANT_STEER, &target);
}

/*
 * Refuse a caller who may not steer the batch whose row was found.
 *
 * The role that started it may, as long as it may replay at all; and so may
 * whoever holds admin grants that cover all of it, and a superuser.  Of a batch
 * that is still being enqueued, "all of it" is what its query asks for: the rest
 * may be anybody's.  Operators may not steer each other's batches.
 */
static void
check_may_steer(ControlCall *call, Grants *grants)
{
	bool isnull;
	Datum oid = FoundColumn(&call->batches, Anum_batch_requested_by_oid, &isnull);
	Datum name = FoundColumn(&call->batches, Anum_batch_requested_by, &isnull);
	Jsonb *query = DatumGetJsonbP(FoundColumn(&call->batches, Anum_batch_query, &isnull));
	bool complete = DatumGetBool(FoundColumn(&call->batches, Anum_batch_is_complete, &isnull));
	Jsonb *scope = DatumGetJsonbP(FoundColumn(&call->batches, Anum_batch_scope, &isnull));

	if (GrantsEverything(grants) ||
		(IsRequester(call->caller, name, oid) && GrantsMayReplay(grants)) ||
		(complete && JB_ROOT_COUNT(scope) > 0 && covers_scope(grants, scope)) ||
		(!complete && covers_scope(grants, scope) && covers_query(grants, query)))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("insufficient permissions: batch " INT64_FORMAT
						   " can be steered by the role that started it, and by admins",
						   call->batch_id),
					errdetail("Role \"%s\" has no admin grant that covers all of it.",
							  GetUserNameFromId(call->caller, false))));
}

/*
 * Find the batch's row and lock it until the transaction ends.
 */
static void
hold_batch(ControlCall *call)
{
	TupleTableSlot *locked = table_slot_create(call->writer.rel, NULL);
	bool held = false;

	LockSteering(call->schema, call->batch_id);
	while (!held)
	{
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		call->snapshot = RegisterSnapshot(GetLatestSnapshot());
		if (!FindRow(&call->batches, F_INT8EQ, Int64GetDatum(call->batch_id), call->snapshot))
			ReportUnknownBatch(call->batch_id);
		tid = call->batches.slot->tts_tid;
		held = HoldRow(&call->writer, &tid, locked, true);
		if (!held)
			UnregisterSnapshot(call->snapshot);
	}
	ExecDropSingleTupleTableSlot(locked);
}

/*
 * Begin to steer the batch that an argument names: check that the server can
 * write, the reason, and the caller's rights; lock the batch's row; act as the
 * tables' owner until EndControl.
 */
void
BeginControl(ControlCall *call, FunctionCallInfo fcinfo, const char *function, int batch_argument,
			 int reason_argument)
{
	Grants *grants;

	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
	call->batch_id = BatchArgument(fcinfo, batch_argument);
	call->reason = ReasonArgument(fcinfo, reason_argument);
	call->schema = CalledSchema(fcinfo);
	call->caller = GetUserId();
	call->now = GetCurrentTimestamp();
	grants = LoadGrants(call->caller, call->schema);
	SwitchIdentity(&call->saved, TableOwner(OwnTable(call->schema, BATCH_TABLE)));
	OpenWriter(&call->writer, OwnTable(call->schema, BATCH_TABLE), true);
	OpenFinder(&call->batches, OwnTable(call->schema, BATCH_TABLE), Anum_batch_id);
	hold_batch(call);
	check_may_steer(call, grants);
}

/*
 * Change columns of the batch's row, which is found again as it is then.
 */
void
ChangeBatch(ControlCall *call, int count, const AttrNumber *columns, const Datum *values,
			const bool *nulls)
{
	if (!ChangeRow(&call->writer, call->batches.slot, count, columns, values, nulls, true))
		elog(ERROR, "batch " INT64_FORMAT " was changed while it was locked", call->batch_id);
	CommandCounterIncrement();
	UnregisterSnapshot(call->snapshot);
	call->snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (!FindRow(&call->batches, F_INT8EQ, Int64GetDatum(call->batch_id), call->snapshot))
		elog(ERROR, "batch " INT64_FORMAT " has gone", call->batch_id);
}

/*
 * Done with steering: be the caller again.
 */
void
EndControl(ControlCall *call)
{
	UnregisterSnapshot(call->snapshot);
	CloseFinder(&call->batches);
	CloseWriter(&call->writer);
	CommandCounterIncrement();
	RestoreIdentity(&call->saved);
}
