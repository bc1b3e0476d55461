/*
 * sleep.c
 *		acteon_outbox_sleep: a consumer says that it sleeps.
 *
 * wake.c tells how the two sides find each other.
 */
#include "postgres.h"

#include "fmgr.h"

#include "consumer/call.h"
#include "queue/wake.h"

PG_FUNCTION_INFO_V1(acteon_outbox_sleep);

/*
 * acteon_outbox_sleep(asleep boolean) → boolean
 *
 * Tells, for as long as the session lasts or until it is called with false, that
 * a consumer which listens in this session sleeps.  Returns whether it may sleep
 * long: false if a transaction is under way that may commit actions without a
 * NOTIFY.  Raises insufficient_privilege.
 */
Datum
acteon_outbox_sleep(PG_FUNCTION_ARGS)
{
	bool asleep = !PG_ARGISNULL(0) && PG_GETARG_BOOL(0);
	ConsumerCall call;
	bool undisturbed = true;

	BeginConsumerCall(&call, fcinfo, "acteon_outbox_sleep()", true);
	if (asleep)
		undisturbed = BeginSleep(call.schema);
	else
		EndSleep(call.schema);
	EndConsumerCall(&call);
	PG_RETURN_BOOL(undisturbed);
}
