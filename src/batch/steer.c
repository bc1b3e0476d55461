/*
 * steer.c
 *		acteon_replay_pause, _resume, _cancel and _set_rate.
 *
 * Pausing and cancelling change the batch's row, so they take effect at once
 * however many actions wait.  Cancelling then turns what waits into deliveries,
 * some of it in the same call and the rest while others claim (batch_stop.c).
 * Resuming, and another rate, give what waits new due times, segment by segment.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/result.h"
#include "batch/approval.h"
#include "batch/batch_pace.h"
#include "batch/batch_state.h"
#include "batch/batch_stop.h"
#include "batch/canary.h"
#include "batch/may_steer.h"
#include "batch/control_log.h"
#include "query/query.h"
#include "queue/batch_flags.h"
#include "queue/schedule.h"
#include "queue/tally.h"

/* Actions that a cancel sweeps itself; claims and purges sweep the rest. */
#define SWEEP_AT_ONCE 100000

PG_FUNCTION_INFO_V1(acteon_replay_pause);
PG_FUNCTION_INFO_V1(acteon_replay_resume);
PG_FUNCTION_INFO_V1(acteon_replay_cancel);
PG_FUNCTION_INFO_V1(acteon_replay_set_rate);

/*
 * The batch's part of the queue.
 */
static BatchQueue
batch_queue(ControlCall *call)
{
	return QueueOfBatch(call->schema, &call->held.row, call->now);
}

/*
 * Whether the batch is finished: everything was enqueued and nothing of it is
 * in the queue.  If so, raises a NOTICE, as there is nothing to steer.
 */
static bool
is_finished(ControlCall *call)
{
	BatchQueue queue = batch_queue(call);

	if (!call->held.row.is_complete || !QueueIsEmpty(&queue))
		return false;
	ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is finished", call->batch_id)));
	return true;
}

/*
 * Refuse to steer a cancelled batch.
 */
static void
refuse_cancelled(ControlCall *call)
{
	if (call->held.row.stop == BATCH_CANCELLED)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("batch " INT64_FORMAT " is cancelled", call->batch_id),
						errhint("Its actions can be replayed again, in a new batch.")));
}

/*
 * End a call: return how the batch is then, as (state, waiting, in_flight,
 * cancelled).
 */
static Datum
end_steering(ControlCall *call, TupleDesc desc)
{
	BatchQueue queue = batch_queue(call);
	QueueCounts counts = CountQueue(&queue);
	int64 cancelled = CountCancelled(call->schema, call->batch_id);
	bool is_cancelled = call->held.row.stop == BATCH_CANCELLED;
	BatchQueueContents contents = QueueContents(counts.waiting, counts.in_flight, counts.in_doubt);
	Datum values[4];
	bool nulls[4] = {false};

	values[0] = CStringGetTextDatum(BatchState(call->schema, &call->held.row, contents, call->now));
	values[1] = Int64GetDatum(is_cancelled ? 0 : counts.waiting);
	values[2] = Int64GetDatum(counts.in_flight);
	/* What has not been swept yet is cancelled all the same. */
	values[3] = Int64GetDatum(cancelled + (is_cancelled ? counts.waiting : 0));
	EndControl(call);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/*
 * Write down that the batch is stopped, by the caller, for his reason.
 */
static void
stop(ControlCall *call, const char *stopped)
{
	StopBatch(&call->held, stopped, call->now, call->caller, call->reason);
}

/*
 * acteon_replay_pause(batch_id bigint, reason text)
 * → (state, waiting, in_flight, cancelled)
 *
 * Pauses a batch; returns how it is then.  Raises no_data_found,
 * insufficient_privilege, object_not_in_prerequisite_state (it is cancelled) and
 * invalid_parameter_value.
 */
Datum
acteon_replay_pause(PG_FUNCTION_ARGS)
{
	TupleDesc desc = ResultRowType(fcinfo);
	ControlCall call;

	BeginControl(&call, fcinfo, "acteon_replay_pause()", 0, 1);
	refuse_cancelled(&call);
	RefuseUnapproved(&call.held.row);
	if (call.held.row.stop == BATCH_PAUSED)
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is paused already", call.batch_id)));
	else if (!is_finished(&call))
	{
		stop(&call, STOPPED_PAUSED);
		LogControl(call.schema, call.caller, "pause", call.batch_id, call.reason, NULL);
	}
	return end_steering(&call, desc);
}

/*
 * Give what the batch has waiting due times from now on, or from its start_at; see
 * PaceAnew.
 */
static void
schedule_anew(ControlCall *call, bool all)
{
	BatchQueue queue = batch_queue(call);
	const OptionalTime *start_at = &call->held.row.start_at;
	TimestampTz start = start_at->given ? Max(call->now, start_at->time) : call->now;

	PaceAnew(&call->held, &queue, start, all, true);
}

/*
 * If the canary of a batch that is resumed was held after a step, open the next one.
 * Returns what the log says of it, NULL for nothing.
 */
static Jsonb *
open_held_step(ControlCall *call)
{
	LogDetails details;

	if (!call->held.row.canary.is_held)
		return NULL;
	OpenNextStep(&call->held);
	BeginDetails(&details);
	AddNumberDetail(&details, "canary_step", call->held.row.canary.step);
	(void) AdvanceCanary(&call->held, call->schema, call->caller, call->now);
	return EndDetails(&details);
}

/*
 * acteon_replay_resume(batch_id bigint, reason text)
 * → (state, waiting, in_flight, cancelled)
 *
 * Resumes a paused batch, with a circuit breaker that begins anew; returns how
 * it is then.  Raises the errors of acteon_replay_pause.
 */
Datum
acteon_replay_resume(PG_FUNCTION_ARGS)
{
	TupleDesc desc = ResultRowType(fcinfo);
	ControlCall call;

	BeginControl(&call, fcinfo, "acteon_replay_resume()", 0, 1);
	refuse_cancelled(&call);
	RefuseUnapproved(&call.held.row);
	if (call.held.row.stop != BATCH_PAUSED)
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is not paused", call.batch_id)));
	else
	{
		(void) LockBatch(call.schema, call.batch_id, ExclusiveLock, true);
		ResumeBatch(&call.held, GetCurrentTimestamp());
		schedule_anew(&call, false);
		LogControl(call.schema, call.caller, "resume", call.batch_id, call.reason,
				   open_held_step(&call));
	}
	return end_steering(&call, desc);
}

/*
 * Turn what a cancelled batch has in the queue into deliveries, as far as that
 * goes in a moment.
 */
static void
sweep_some(ControlCall *call)
{
	SegmentTable segments;
	DeliveryWriter deliveries;

	OpenSegments(&segments, call->schema);
	OpenDeliveries(&deliveries, call->schema, call->now);
	(void) SweepBatch(call->schema, call->batch_id, &segments, &deliveries, SWEEP_AT_ONCE);
	CloseDeliveries(&deliveries);
	CloseSegments(&segments);
	CommandCounterIncrement();
}

/*
 * acteon_replay_cancel(batch_id bigint, reason text)
 * → (state, waiting, in_flight, cancelled)
 *
 * Cancels a batch for good; returns how it is then.  Raises no_data_found,
 * insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_replay_cancel(PG_FUNCTION_ARGS)
{
	TupleDesc desc = ResultRowType(fcinfo);
	ControlCall call;

	BeginControl(&call, fcinfo, "acteon_replay_cancel()", 0, 1);
	if (call.held.row.stop == BATCH_CANCELLED)
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is cancelled already", call.batch_id)));
	else if (!is_finished(&call))
	{
		(void) LockBatch(call.schema, call.batch_id, ExclusiveLock, true);
		stop(&call, STOPPED_CANCELLING);
		EndCanary(&call.held);
		LogControl(call.schema, call.caller, "cancel", call.batch_id, call.reason, NULL);
		sweep_some(&call);
	}
	return end_steering(&call, desc);
}

/*
 * acteon_replay_set_rate(batch_id bigint, rate numeric, reason text)
 * → (state, waiting, in_flight, cancelled)
 *
 * Gives a batch another rate, in actions a second; NULL: no limit.  Returns how
 * it is then.  Raises the errors of acteon_replay_pause.
 */
Datum
acteon_replay_set_rate(PG_FUNCTION_ARGS)
{
	TupleDesc desc = ResultRowType(fcinfo);
	Numeric rate = PG_ARGISNULL(1) ? NULL : PG_GETARG_NUMERIC(1);
	ControlCall call;
	LogDetails details;

	(void) RateValue(rate);
	BeginControl(&call, fcinfo, "acteon_replay_set_rate()", 0, 2);
	refuse_cancelled(&call);
	RefuseUnapproved(&call.held.row);
	if (!is_finished(&call))
	{
		BeginDetails(&details);
		AddNumericDetail(&details, "from", call.held.row.rate);
		AddNumericDetail(&details, "to", rate);
		SetBatchRate(&call.held, rate);
		if (call.held.row.stop == BATCH_RUNS)
			schedule_anew(&call, true);
		LogControl(call.schema, call.caller, "set_rate", call.batch_id, call.reason,
				   EndDetails(&details));
	}
	return end_steering(&call, desc);
}
