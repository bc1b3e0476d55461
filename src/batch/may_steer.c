/*
 * may_steer.c
 *		Steering a batch: who may do it, and what all the functions share.
 *
 * The batch's row is locked first, so that callers who steer it take turns with
 * each other and with the chunks of acteon_replay_all.  Then, where claims must be
 * kept out, the batch itself is locked (batch_stop.c).  steer.c has the functions.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "access/visibility.h"
#include "base/catalog.h"
#include "base/table_access.h"
#include "batch/may_steer.h"
#include "batch/reason.h"

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
 * Permitted are the role that started it, as long as it may replay at all,
 * roles with admin grants that cover all of it, and superusers.  For a batch
 * that is still being enqueued, "all of it" is everything that its query
 * selects, because the remaining records can belong to anybody.  Operators may
 * not steer each other's batches.
 */
static void
check_may_steer(ControlCall *call, Grants *grants)
{
	const BatchRow *batch = &call->held.row;
	bool isnull;
	Jsonb *scope = DatumGetJsonbP(FoundColumn(&call->held.finder, Anum_batch_scope, &isnull));

	if (GrantsEverything(grants) ||
		(batch->requested_by == call->caller && GrantsMayReplay(grants)))
		return;
	if (GrantsCoverScope(grants, GRANT_STEER, scope) &&
		(batch->is_complete ? JB_ROOT_COUNT(scope) > 0 : covers_query(grants, batch->query)))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("insufficient permissions: batch " INT64_FORMAT
						   " can be steered by the role that started it, and by admins",
						   call->batch_id),
					errdetail("Role \"%s\" has no admin grant that covers all of it.",
							  GetUserNameFromId(call->caller, false))));
}

/*
 * Begin to steer the batch that an argument names: check that the server can
 * write, the reason, and, with the given check, the caller's rights; lock the batch's
 * row; act as the tables' owner until EndControl.
 */
void
BeginControlBy(ControlCall *call, FunctionCallInfo fcinfo, const char *function, int batch_argument,
			   int reason_argument, ControlCheck check)
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
	LockForWriting(call->schema, WRITES_OF_QUEUE);
	if (!HoldBatch(&call->held, call->schema, call->batch_id, true))
		ReportUnknownBatch(call->batch_id);
	check(call, grants);
}

/*
 * The same for whoever may steer the batch.
 */
void
BeginControl(ControlCall *call, FunctionCallInfo fcinfo, const char *function, int batch_argument,
			 int reason_argument)
{
	BeginControlBy(call, fcinfo, function, batch_argument, reason_argument, check_may_steer);
}

/*
 * Done with steering: be the caller again.
 */
void
EndControl(ControlCall *call)
{
	ReleaseBatch(&call->held);
	CommandCounterIncrement();
	RestoreIdentity(&call->saved);
}
