/*
 * hand_over.c
 *		acteon_replay_hand_over: another role steers a batch.
 *
 * The role that has started a batch stays written in it, and is the one whose grants
 * were checked; whom it was handed over to stands beside it (may_steer.c).
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "access/visibility.h"
#include "base/error_reason.h"
#include "base/message.h"
#include "batch/approval.h"
#include "batch/control_log.h"
#include "batch/may_steer.h"

PG_FUNCTION_INFO_V1(acteon_replay_hand_over);

/*
 * Refuse to hand the batch over to a role that could not have started it, and say what it
 * lacks.
 */
static void
check_receiver(ControlCall *call, Oid role)
{
	Grants *grants = LoadGrants(role, call->schema);
	text *parts[SCOPE_PARTS];

	if (!FindUncoveredOfBatch(call, grants, GRANT_REPLAY, parts))
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_NEW_OWNER_LACKS_GRANTS),
		 errmsg(
			 "insufficient permissions: role \"%s\" has no grants for all of batch " INT64_FORMAT,
			 GetUserNameFromId(role, false), call->batch_id),
		 errdetail("It has no admin or operator grant for tenant \"%s\", namespace \"%s\", "
				   "provider \"%s\" and action type \"%s\".",
				   ShowText(parts[0]), ShowText(parts[1]), ShowText(parts[2]), ShowText(parts[3])),
		 errhint("The owner of acteon_grants can insert one.")));
}

/*
 * acteon_replay_hand_over(batch_id bigint, role regrole, reason text)
 *
 * Hands a batch over to another role, which steers it from then on in place of the one
 * that has started it.  A NOTICE tells that nothing is left to steer.  Raises no_data_found, insufficient_privilege (also if the other
 * role has no grants for all of the batch), undefined_object (there is no such role),
 * object_not_in_prerequisite_state (it waits for approval) and invalid_parameter_value.
 */
Datum
acteon_replay_hand_over(PG_FUNCTION_ARGS)
{
	Oid role = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1);
	ControlCall call;
	LogDetails details;

	if (!OidIsValid(role))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("role must not be null")));
	if (GetUserNameFromId(role, true) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errreason(CODE_NO_SUCH_ROLE),
						errmsg("role with OID %u does not exist", role)));
	BeginControl(&call, fcinfo, "acteon_replay_hand_over()", 0, 2);
	RefuseUnapproved(&call.held.row);
	check_receiver(&call, role);
	if (role == call.held.row.owner)
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is steered by role \"%s\" already",
								call.batch_id, GetUserNameFromId(role, false))));
	else
	{
		if (call.held.row.stop == BATCH_CANCELLED)
			ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is cancelled", call.batch_id)));
		else
			(void) NoticeFinished(&call);
		BeginDetails(&details);
		AddTextDetail(&details, "from", GetUserNameFromId(call.held.row.owner, true));
		AddTextDetail(&details, "to", GetUserNameFromId(role, false));
		SetOwner(&call.held, role);
		LogControl(call.schema, call.caller, "hand_over", call.batch_id, call.reason,
				   EndDetails(&details));
	}
	EndControl(&call);
	PG_RETURN_VOID();
}
