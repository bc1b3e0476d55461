/*
 * sleep.c
 *		acteon_outbox_sleep: a consumer announces that it is sleeping.
 *
 * wake.c explains the protocol.
 */
#include "postgres.h"

#include "fmgr.h"

#include "batch/canary.h"
#include "consumer/call.h"
#include "queue/wake.h"
#include "replay/tell.h"

PG_FUNCTION_INFO_V1(acteon_outbox_sleep);

/*
 * acteon_outbox_sleep(asleep boolean) → boolean
 *
 * Registers a consumer that listens in this session as sleeping, until the
 * session ends or the function is called with false.  Returns whether it may
 * sleep long: false if a transaction is in progress that may commit actions
 * without a NOTIFY, a canary waits for records, or a notification is to be enqueued.
 * Raises insufficient_privilege.
 */
Datum
acteon_outbox_sleep(PG_FUNCTION_ARGS)
{
	bool asleep = !PG_ARGISNULL(0) && PG_GETARG_BOOL(0);
	ConsumerCall call;
	bool undisturbed = true;

	BeginConsumerCall(&call, fcinfo, "acteon_outbox_sleep()", true);
	if (asleep)
		undisturbed =
			BeginSleep(call.schema) && !CanaryWaits(call.schema) && !TellingWaits(call.schema);
	else
		EndSleep(call.schema);
	EndConsumerCall(&call);
	PG_RETURN_BOOL(undisturbed);
}
