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
#include "batch/batch_row.h"
#include "batch/batch_stop.h"
#include "batch/control.h"
#include "batch/control_log.h"
#include "query/query.h"
#include "queue/batch_flags.h"
#include "queue/schedule.h"
#include "queue/tally.h"
#include "queue/wake.h"

/* Actions that a cancel sweeps itself; claims and purges sweep the rest. */
#define SWEEP_AT_ONCE 100000

PG_FUNCTION_INFO_V1(acteon_replay_pause);
PG_FUNCTION_INFO_V1(acteon_replay_resume);
PG_FUNCTION_INFO_V1(acteon_replay_cancel);
PG_FUNCTION_INFO_V1(acteon_replay_set_rate);

/*
 * A bigint column of the batch's row, 0 if it is NULL.
 */
static int64
batch_int64(ControlCall *call, AttrNumber column)
{
	bool isnull;
	Datum value = FoundColumn(&call->batches, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/*
 * Whether the batch is stopped, by its row.
 */
static BatchStop
batch_stop(ControlCall *call)
{
	return StopOfBatch(&call->batches, call->batch_id, call->snapshot);
}

/*
 * The batch's part of the queue.
 */
static BatchQueue
batch_queue(ControlCall *call)
{
	BatchQueue queue = {.schema = call->schema,
						.batch_id = call->batch_id,
						.first_id = batch_int64(call, Anum_batch_first_outbox_id),
						.last_id = batch_int64(call, Anum_batch_last_outbox_id),
						.now = call->now};

	return queue;
}

/*
 * Whether all of the batch was enqueued.
 */
static bool
is_complete(ControlCall *call)
{
	bool isnull;

	return DatumGetBool(FoundColumn(&call->batches, Anum_batch_is_complete, &isnull));
}

/*
 * Whether the batch is finished: all of it was enqueued and nothing of it is in
 * the queue.  Tells the caller so, as there is nothing to steer.
 */
static bool
is_finished(ControlCall *call)
{
	BatchQueue queue = batch_queue(call);

	if (!is_complete(call) || !QueueIsEmpty(&queue))
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
	if (batch_stop(call) == BATCH_CANCELLED)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("batch " INT64_FORMAT " is cancelled", call->batch_id),
						errhint("Its actions are free to be replayed again, as a new batch.")));
}

/*
 * How the batch is, in a word.
 */
static const char *
state_name(ControlCall *call, const QueueCounts *counts)
{
	switch (batch_stop(call))
	{
		case BATCH_PAUSED:
			return "paused";
		case BATCH_CANCELLED:
			return "cancelled";
		default:
			if (!is_complete(call))
				return "enqueuing";
			return counts->waiting + counts->in_flight + counts->in_doubt > 0 ? "running"
																			  : "finished";
	}
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
	bool is_cancelled = batch_stop(call) == BATCH_CANCELLED;
	Datum values[4];
	bool nulls[4] = {false};

	values[0] = CStringGetTextDatum(state_name(call, &counts));
	values[1] = Int64GetDatum(is_cancelled ? 0 : counts.waiting);
	values[2] = Int64GetDatum(counts.in_flight);
	/* What has not been swept yet is cancelled all the same. */
	values[3] = Int64GetDatum(cancelled + (is_cancelled ? counts.waiting : 0));
	EndControl(call);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/*
 * Write down that the batch is stopped, and by whom and why; or, with NULL, that
 * it is not.
 */
static void
set_stopped(ControlCall *call, const char *stopped)
{
	const AttrNumber columns[] = {Anum_batch_stopped, Anum_batch_stopped_at, Anum_batch_stopped_by,
								  Anum_batch_stop_reason};
	bool runs = stopped == NULL;
	Datum values[4] = {0};
	bool nulls[] = {runs, runs, runs, runs || call->reason == NULL};

	if (!runs)
	{
		values[0] = CStringGetTextDatum(stopped);
		values[1] = TimestampTzGetDatum(call->now);
		values[2] = RoleName(call->caller);
		if (call->reason != NULL)
			values[3] = CStringGetTextDatum(call->reason);
	}
	ChangeBatch(call, lengthof(columns), columns, values, nulls);
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
	if (batch_stop(&call) == BATCH_PAUSED)
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is paused already", call.batch_id)));
	else if (!is_finished(&call))
	{
		set_stopped(&call, STOPPED_PAUSED);
		LogControl(call.schema, call.caller, "pause", call.batch_id, call.reason, NULL);
	}
	return end_steering(&call, desc);
}

/*
 * The rate in the batch's row, NULL for none.
 */
static Numeric
batch_rate(ControlCall *call)
{
	bool isnull;
	Datum rate = FoundColumn(&call->batches, Anum_batch_rate, &isnull);

	return isnull ? NULL : DatumGetNumericCopy(rate);
}

/*
 * Give what the batch has waiting due times from now on, or from its start_at,
 * at its rate, with what is left of its ramp; without one, at once.  all tells whether that is for what was
 * not parked, too; with a rate it is in any case.
 */
static void
schedule_anew(ControlCall *call, bool all)
{
	const AttrNumber column = Anum_batch_paced_until;
	BatchQueue queue = batch_queue(call);
	TimestampTz start = Max(call->now, batch_int64(call, Anum_batch_start_at));
	double rate = RateValue(batch_rate(call));
	bool isnull = rate == 0;
	Pacer pacer;
	Datum paced_until;

	BeginPace(&pacer, start, rate, rate > 0 ? RampLeft(&call->batches, call->schema) : 0);
	if (rate > 0 || all)
		PaceQueue(&queue, &pacer, true);
	else
		UnparkQueue(&queue, start);
	paced_until = TimestampTzGetDatum(NextDueTime(&pacer, 0));
	ChangeBatch(call, 1, &column, &paced_until, &isnull);
	NotifyConsumers(call->schema);
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
	const AttrNumber column = Anum_batch_breaker_since;
	TupleDesc desc = ResultRowType(fcinfo);
	ControlCall call;
	Datum since;
	bool isnull = false;

	BeginControl(&call, fcinfo, "acteon_replay_resume()", 0, 1);
	refuse_cancelled(&call);
	if (batch_stop(&call) != BATCH_PAUSED)
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is not paused", call.batch_id)));
	else
	{
		(void) LockBatch(call.schema, call.batch_id, ExclusiveLock, true);
		set_stopped(&call, NULL);
		since = TimestampTzGetDatum(GetCurrentTimestamp());
		ChangeBatch(&call, 1, &column, &since, &isnull);
		schedule_anew(&call, false);
		LogControl(call.schema, call.caller, "resume", call.batch_id, call.reason, NULL);
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
	if (batch_stop(&call) == BATCH_CANCELLED)
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is cancelled already", call.batch_id)));
	else if (!is_finished(&call))
	{
		(void) LockBatch(call.schema, call.batch_id, ExclusiveLock, true);
		set_stopped(&call, STOPPED_CANCELLING);
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
	const AttrNumber column = Anum_batch_rate;
	TupleDesc desc = ResultRowType(fcinfo);
	Numeric rate = PG_ARGISNULL(1) ? NULL : PG_GETARG_NUMERIC(1);
	Datum value = NumericGetDatum(rate);
	bool isnull = rate == NULL;
	ControlCall call;
	LogDetails details;

	(void) RateValue(rate);
	BeginControl(&call, fcinfo, "acteon_replay_set_rate()", 0, 2);
	refuse_cancelled(&call);
	if (!is_finished(&call))
	{
		BeginDetails(&details);
		AddNumericDetail(&details, "from", batch_rate(&call));
		AddNumericDetail(&details, "to", rate);
		ChangeBatch(&call, 1, &column, &value, &isnull);
		if (batch_stop(&call) == BATCH_RUNS)
			schedule_anew(&call, true);
		LogControl(call.schema, call.caller, "set_rate", call.batch_id, call.reason,
				   EndDetails(&details));
	}
	return end_steering(&call, desc);
}
