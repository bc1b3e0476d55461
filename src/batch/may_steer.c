/*
 * may_steer.c
 *		Steering a batch: who may do it, and what all the functions share.
 *
 * A batch may be paused, resumed, cancelled and otherwise steered by the role that has
 * started it, or to which it was handed over, and by roles with admin grants that cover all
 * of it; it may also be paused, cancelled, delayed and slowed down by roles whose operator
 * grants cover all of it (may_steer).
 *
 * The batch's row is locked first, so that callers who steer it take turns with
 * each other and with the chunks of acteon_replay_all.  Then, where claims must be
 * kept out, the batch itself is locked (batch_stop.c).  steer.c has the functions.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "access/visibility.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/error_reason.h"
#include "base/table_access.h"
#include "batch/batch_pace.h"
#include "batch/failover.h"
#include "batch/may_steer.h"
#include "batch/reason.h"
#include "query/stored_query.h"

/* How many roles an error names at most. */
#define MAX_NAMED_ROLES 5

/*
 * The scope of the batch whose row was found.
 */
static Jsonb *
found_scope(ControlCall *call)
{
	bool isnull;

	return DatumGetJsonbP(FoundColumn(&call->held.finder, Anum_batch_scope, &isnull));
}

/*
 * Find something of the batch, whose row was found, that grants do not cover for a
 * purpose.  Of a batch that is still being enqueued, that is also what its query selects,
 * because the remaining records can belong to anybody; "*" stands for any of them.
 */
bool
FindUncoveredOfBatch(ControlCall *call, Grants *grants, GrantPurpose purpose, text **parts)
{
	const BatchRow *batch = &call->held.row;
	static const OptionId filters[SCOPE_PARTS] = {OPTION_TENANT, OPTION_NAMESPACE, OPTION_PROVIDER,
												  OPTION_ACTION_TYPE};
	GrantTarget target;

	if (GrantsEverything(grants))
		return false;
	if (FindUncovered(grants, purpose, found_scope(call), parts))
		return true;
	if (batch->is_complete && JB_ROOT_COUNT(found_scope(call)) > 0)
		return false;
	for (int i = 0; i < SCOPE_PARTS; i++)
		parts[i] =
			batch->is_complete ? cstring_to_text("*") : StoredFilter(batch->query, filters[i]);
	target = (GrantTarget){.tenant = parts[0],
						   .namespace = parts[1],
						   .provider = parts[2],
						   .action_type = parts[3]};
	/* Nothing tells what an empty batch would be about. */
	return batch->is_complete || !GrantsCover(grants, purpose, &target);
}

/*
 * Whether grants cover all of the batch for a purpose.
 */
static bool
covers_all(ControlCall *call, Grants *grants, GrantPurpose purpose)
{
	text *parts[SCOPE_PARTS];

	return !FindUncoveredOfBatch(call, grants, purpose, parts);
}

/*
 * Whether a role, with its grants, may steer the batch.
 *
 * In every way: the role that started the batch, or to which it was handed over, and
 * members that inherit its rights, as long as they may replay at all; roles with admin
 * grants that cover all of it; superusers.  Restraining it (to pause, cancel or delay it,
 * or to slow it down) does no harm that cannot be seen: this may also those whose grants
 * as operators cover all of it.
 */
static bool
may_steer(ControlCall *call, Oid role, Grants *grants, Steering steering)
{
	Oid owner = call->held.row.owner;

	if (GrantsEverything(grants) ||
		(OidIsValid(owner) && GrantsMayReplay(grants) && has_privs_of_role(role, owner)))
		return true;
	return covers_all(call, grants, GRANT_STEER) ||
		   (steering == STEER_RESTRAIN && covers_all(call, grants, GRANT_REPLAY));
}

/*
 * In which ways a role, with its grants, may steer a batch; STEER_NOT if there is none of this
 * number.  For showing it: nothing is locked, and what is asked for later can be refused.
 */
Steering
MayBeSteered(Oid schema, int64 batch_id, Oid role, Grants *grants)
{
	ControlCall call = {.schema = schema, .caller = role, .grants = grants, .batch_id = batch_id};
	Steering steering = STEER_FREELY;

	if (!FindBatch(&call.held, schema, batch_id))
		return STEER_NOT;
	while (steering > STEER_NOT && !may_steer(&call, role, grants, steering))
		steering--;
	CloseFinder(&call.held.finder);
	return steering;
}

/*
 * Names, for a hint, of roles that may steer the batch as the caller may not: those that
 * it can become by SET ROLE, and the owner, if the caller sees all of the batch, in which
 * the owner is shown.  Which grants other roles hold is not shown to it.  NULL: none.
 */
static char *
who_could(ControlCall *call, Steering steering)
{
	Oid owner = call->held.row.owner;
	const char *names[MAX_NAMED_ROLES];
	StringInfoData list;
	ListCell *lc;
	int count = 0;

	if (OidIsValid(owner) &&
		(ActeonMaySetRole(call->caller, owner) ||
		 (GrantsMayRead(call->grants) && covers_all(call, call->grants, GRANT_READ))) &&
		may_steer(call, owner, LoadGrants(owner, call->schema), steering))
		names[count++] = GetUserNameFromId(owner, true);
	if (count > 0 && names[0] == NULL)
		count = 0;
	foreach (lc, ListGrantees(call->schema))
	{
		Oid grantee = lfirst_oid(lc);
		char *name;

		CHECK_FOR_INTERRUPTS();
		if (count == MAX_NAMED_ROLES || grantee == owner ||
			(name = GetUserNameFromId(grantee, true)) == NULL ||
			!ActeonMaySetRole(call->caller, grantee))
			continue;
		if (may_steer(call, grantee, LoadGrants(grantee, call->schema), steering))
			names[count++] = name;
	}
	if (count == 0)
		return NULL;
	initStringInfo(&list);
	for (int i = 0; i < count; i++)
		appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "", names[i]);
	return list.data;
}

/*
 * Refuse a caller who may not steer the batch in this way.
 */
static void
require(ControlCall *call, Steering steering)
{
	bool restrains = steering == STEER_RESTRAIN;
	const char *owner =
		call->held.row.was_handed_over ? "to which it was handed over" : "that started it";
	char *others;

	if (may_steer(call, call->caller, call->grants, steering))
		return;
	others = who_could(call, steering);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_MAY_NOT_STEER),
			 restrains ? errmsg("insufficient permissions: batch " INT64_FORMAT
								" can be paused and cancelled by the role %s, by its members, and "
								"by admins and operators of all of it",
								call->batch_id, owner)
					   : errmsg("insufficient permissions: batch " INT64_FORMAT
								" can be steered by the role %s, by its members, and by admins",
								call->batch_id, owner),
			 errdetail(restrains
						   ? "Role \"%s\" has no admin or operator grants that cover all of it."
						   : "Role \"%s\" has no admin grant that covers all of it.",
					   GetUserNameFromId(call->caller, false)),
			 others == NULL ? 0 : errhint("Roles known to you that may: %s.", others)));
}

static void
check_may_steer(ControlCall *call, Grants *grants)
{
	require(call, STEER_FREELY);
}

static void
check_may_restrain(ControlCall *call, Grants *grants)
{
	require(call, STEER_RESTRAIN);
}

/*
 * Refuse a caller who may restrain the batch, but not steer it in every way.
 */
void
RequireSteering(ControlCall *call)
{
	require(call, STEER_FREELY);
}

/*
 * Begin to steer any number of batches: check that the server can write, and the reason; act
 * as the tables' owner until EndControlOfMany.
 */
void
BeginControlOfMany(ControlCall *call, FunctionCallInfo fcinfo, const char *function,
				   int reason_argument)
{
	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
	call->reason = ReasonArgument(fcinfo, reason_argument);
	call->schema = CalledSchema(fcinfo);
	call->caller = GetUserId();
	call->now = GetCurrentTimestamp();
	call->grants = LoadGrants(call->caller, call->schema);
	SwitchIdentity(&call->saved, TableOwner(OwnTable(call->schema, BATCH_TABLE)));
	LockForWriting(call->schema, WRITES_OF_QUEUE);
	/* Before anything is cancelled or gets another due time: it may have been sent. */
	NoticeServer(call->schema, call->caller);
}

/*
 * Lock the row of one of many batches, until ReleaseBatch, if the caller may steer it in this
 * way; a row that it may not steer is not waited for, and without wait no row is.  Unless it is
 * waited for, only the row is locked, because there may be more batches than locks of the other
 * kinds.  Returns what came of it; only a batch that is held is to be released.
 */
HoldOutcome
HoldOneOfMany(ControlCall *call, int64 batch_id, Steering steering, bool wait)
{
	call->batch_id = batch_id;
	if (MayBeSteered(call->schema, batch_id, call->caller, call->grants) < steering)
		return HOLD_REFUSED;
	if (!HoldBatch(&call->held, call->schema, batch_id, wait))
		return wait ? HOLD_GONE : HOLD_BUSY;
	if (may_steer(call, call->caller, call->grants, steering))
		return HOLD_HELD;
	ReleaseBatch(&call->held);
	return HOLD_REFUSED;
}

/*
 * Whether the caller sees anything of the batch that HoldOneOfMany has refused, as in
 * acteon_replay_batches.
 */
bool
SeesRefused(ControlCall *call)
{
	Viewer viewer = {.role = call->caller, .grants = call->grants};
	CoveredScope covered = {.context = CurrentMemoryContext};
	bool sees;

	if (!FindBatch(&call->held, call->schema, call->batch_id))
		return false;
	sees = SightOfBatch(&viewer, call->batch_id, call->held.row.requested_by, found_scope(call),
						&covered) != SEES_NOTHING;
	CloseFinder(&call->held.finder);
	return sees;
}

/*
 * Done with steering many batches: be the caller again.
 */
void
EndControlOfMany(ControlCall *call)
{
	CommandCounterIncrement();
	RestoreIdentity(&call->saved);
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
	call->batch_id = BatchArgument(fcinfo, batch_argument);
	BeginControlOfMany(call, fcinfo, function, reason_argument);
	if (!HoldBatch(&call->held, call->schema, call->batch_id, true))
		ReportUnknownBatch(call->batch_id);
	check(call, call->grants);
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
 * The same for whoever may restrain the batch.
 */
void
BeginRestraint(ControlCall *call, FunctionCallInfo fcinfo, const char *function, int batch_argument,
			   int reason_argument)
{
	BeginControlBy(call, fcinfo, function, batch_argument, reason_argument, check_may_restrain);
}

/*
 * Whether the batch is finished: everything was enqueued and nothing of it is in the queue.
 */
bool
IsFinished(ControlCall *call)
{
	BatchQueue queue = QueueOfBatch(call->schema, &call->held.row, call->now);

	return call->held.row.is_complete && QueueIsEmpty(&queue);
}

/*
 * Whether the batch is finished.  If so, raises a NOTICE, as there is nothing to steer.
 */
bool
NoticeFinished(ControlCall *call)
{
	if (!IsFinished(call))
		return false;
	ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is finished", call->batch_id)));
	return true;
}

/*
 * Done with steering: be the caller again.
 */
void
EndControl(ControlCall *call)
{
	ReleaseBatch(&call->held);
	EndControlOfMany(call);
}
