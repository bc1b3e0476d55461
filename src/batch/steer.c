/*
 * steer.c
 *		acteon_replay_pause, _resume, _cancel, _set_rate and _set_start.
 *
 * Each but the last also steers a part of a batch on its own (steer_part.c).
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

#include "base/error_reason.h"
#include "base/fault_point.h"
#include "base/result.h"
#include "batch/approval.h"
#include "batch/batch_pace.h"
#include "batch/batch_state.h"
#include "batch/batch_stop.h"
#include "batch/canary.h"
#include "batch/control_log.h"
#include "batch/may_steer.h"
#include "batch/steer.h"
#include "batch/steer_part.h"
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
PG_FUNCTION_INFO_V1(acteon_replay_set_start);

/*
 * The batch's part of the queue.
 */
static BatchQueue
batch_queue(ControlCall *call)
{
	return QueueOfBatch(call->schema, &call->held.row, call->now);
}

/*
 * Refuse to steer a cancelled batch.
 */
static void
refuse_cancelled(ControlCall *call)
{
	if (call->held.row.stop == BATCH_CANCELLED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason(CODE_BATCH_CANCELLED),
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
	BatchQueueContents contents =
		QueueContents(counts.waiting + counts.cancelled, counts.in_flight, counts.in_doubt);
	Datum values[4];
	bool nulls[4] = {false};

	values[0] = CStringGetTextDatum(BatchState(call->schema, &call->held.row, contents, call->now));
	values[1] = Int64GetDatum(counts.waiting);
	values[2] = Int64GetDatum(counts.in_flight);
	/* What has not been swept yet is cancelled all the same. */
	values[3] = Int64GetDatum(cancelled + counts.cancelled);
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
 * Pause a whole batch that runs, and log it with some details (NULL: none).
 */
void
PauseWhole(ControlCall *call, Jsonb *details)
{
	stop(call, STOPPED_PAUSED);
	LogControl(call->schema, call->caller, "pause", call->batch_id, call->reason, details);
}

/*
 * acteon_replay_pause(batch_id bigint, reason text, tenant text, provider text,
 * action_ids text[]) → (state, waiting, in_flight, cancelled)
 *
 * Pauses a batch, or a part of it; returns how the batch is then.  Raises no_data_found,
 * insufficient_privilege, object_not_in_prerequisite_state (it is cancelled) and
 * invalid_parameter_value.
 */
Datum
acteon_replay_pause(PG_FUNCTION_ARGS)
{
	TupleDesc desc = ResultRowType(fcinfo);
	PartFilter part;
	bool is_part = ReadPart(&part, fcinfo, 2);
	ControlCall call;

	BeginRestraint(&call, fcinfo, "acteon_replay_pause()", 0, 1);
	refuse_cancelled(&call);
	RefuseUnapproved(&call.held.row);
	if (!is_part && call.held.row.stop == BATCH_PAUSED)
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is paused already", call.batch_id)));
	else if (NoticeFinished(&call))
		;
	else if (is_part)
		PausePart(&call, &part);
	else
	{
		PauseWhole(&call, NULL);
	}
	return end_steering(&call, desc);
}

/*
 * If the canary of a batch that is resumed was held after a step, open the next one, and
 * add that to what the log says.
 */
static void
open_held_step(ControlCall *call, LogDetails *details)
{
	if (!call->held.row.canary.is_held)
		return;
	OpenNextStep(&call->held);
	AddNumberDetail(details, "canary_step", call->held.row.canary.step);
	(void) AdvanceCanary(&call->held, call->schema, call->caller, call->now);
}

/*
 * Tell the caller what stays paused when the batch is resumed.
 */
static void
notice_paused_parts(ControlCall *call)
{
	BatchQueue queue = batch_queue(call);
	int64 paused = CountQueue(&queue).paused;

	if (paused > 0)
		ereport(NOTICE, (errmsg(INT64_FORMAT " actions of batch " INT64_FORMAT
											 " stay paused: they were paused on their own",
								paused, call->batch_id),
						 errhint("acteon_replay_resume(" INT64_FORMAT
								 ", parts => true) resumes them as well.",
								 call->batch_id)));
}

/*
 * Resume a whole batch, if it is paused, and with parts all that was paused on its own, too.
 */
void
ResumeWhole(ControlCall *call, bool parts)
{
	LogDetails details;

	BeginDetails(&details);
	(void) LockBatch(call->schema, call->batch_id, ExclusiveLock, true);
	if (parts)
	{
		ResumeAllParts(call);
		AddTextDetail(&details, "parts", "all");
	}
	if (call->held.row.stop == BATCH_PAUSED)
		ResumeBatch(&call->held, GetCurrentTimestamp());
	PaceAnew(&call->held, call->schema, call->now, false, true);
	open_held_step(call, &details);
	LogControl(call->schema, call->caller, "resume", call->batch_id, call->reason,
			   EndDetails(&details));
}

/*
 * acteon_replay_resume(batch_id bigint, reason text, tenant text, provider text,
 * action_ids text[], parts boolean) → (state, waiting, in_flight, cancelled)
 *
 * Resumes a paused batch, with a circuit breaker that begins anew, or a part of a batch
 * that was paused on its own; with parts, the batch and all such parts.  Returns how the
 * batch is then.  Raises the errors of acteon_replay_pause.
 */
Datum
acteon_replay_resume(PG_FUNCTION_ARGS)
{
	TupleDesc desc = ResultRowType(fcinfo);
	PartFilter part;
	bool is_part = ReadPart(&part, fcinfo, 2);
	bool parts = PG_NARGS() > 5 && !PG_ARGISNULL(5) && PG_GETARG_BOOL(5);
	ControlCall call;

	if (is_part && parts)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("parts cannot be combined with tenant, provider or action_ids")));
	BeginControl(&call, fcinfo, "acteon_replay_resume()", 0, 1);
	refuse_cancelled(&call);
	RefuseUnapproved(&call.held.row);
	if (is_part)
	{
		if (!NoticeFinished(&call))
			ResumePart(&call, &part);
		return end_steering(&call, desc);
	}
	if (call.held.row.stop != BATCH_PAUSED && !parts)
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is not paused", call.batch_id)));
	else
		ResumeWhole(&call, parts);
	notice_paused_parts(&call);
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
 * acteon_replay_cancel(batch_id bigint, reason text, tenant text, provider text,
 * action_ids text[]) → (state, waiting, in_flight, cancelled)
 *
 * Cancels a batch, or a part of it, for good; returns how the batch is then.  Raises no_data_found,
 * insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_replay_cancel(PG_FUNCTION_ARGS)
{
	TupleDesc desc = ResultRowType(fcinfo);
	PartFilter part;
	bool is_part = ReadPart(&part, fcinfo, 2);
	ControlCall call;

	BeginRestraint(&call, fcinfo, "acteon_replay_cancel()", 0, 1);
	if (is_part)
		RefuseUnapproved(&call.held.row);
	if (call.held.row.stop == BATCH_CANCELLED)
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is cancelled already", call.batch_id)));
	else if (NoticeFinished(&call))
		;
	else if (is_part)
		CancelPart(&call, &part);
	else
	{
		(void) LockBatch(call.schema, call.batch_id, ExclusiveLock, true);
		stop(&call, STOPPED_CANCELLING);
		EndCanary(&call.held);
		LogControl(call.schema, call.caller, "cancel", call.batch_id, call.reason, NULL);
		FAULT_POINT("cancel-sweep");
		sweep_some(&call);
	}
	return end_steering(&call, desc);
}

/*
 * Whether a rate is not above that of the batch.
 */
static bool
slows_down(const ControlCall *call, Numeric rate)
{
	const BatchRow *batch = &call->held.row;

	return rate != NULL && (batch->rate == NULL || RateValue(rate) <= RateValue(batch->rate));
}

/*
 * Give a whole batch another rate.
 */
static void
set_batch_rate(ControlCall *call, Numeric rate)
{
	LogDetails details;

	BeginDetails(&details);
	AddNumericDetail(&details, "from", call->held.row.rate);
	AddNumericDetail(&details, "to", rate);
	/* What a claim leaves of a segment that it has cut is to be paced as well. */
	(void) LockBatch(call->schema, call->batch_id, ExclusiveLock, true);
	SetBatchRate(&call->held, rate);
	PaceAnew(&call->held, call->schema, call->now, true, true);
	LogControl(call->schema, call->caller, "set_rate", call->batch_id, call->reason,
			   EndDetails(&details));
}

/*
 * acteon_replay_set_rate(batch_id bigint, rate numeric, reason text, tenant text,
 * provider text, action_ids text[]) → (state, waiting, in_flight, cancelled)
 *
 * Gives a batch another rate, in actions a second; NULL: no limit.  Or gives a part of it
 * a rate of its own; NULL: that of the batch.  Returns how the batch is then.  Raises the
 * errors of acteon_replay_pause.
 */
Datum
acteon_replay_set_rate(PG_FUNCTION_ARGS)
{
	TupleDesc desc = ResultRowType(fcinfo);
	Numeric rate = PG_ARGISNULL(1) ? NULL : PG_GETARG_NUMERIC(1);
	PartFilter part;
	bool is_part = ReadPart(&part, fcinfo, 3);
	ControlCall call;

	(void) RateValue(rate);
	BeginRestraint(&call, fcinfo, "acteon_replay_set_rate()", 0, 2);
	if (is_part ? !SlowsPartDown(&call, &part, rate) : !slows_down(&call, rate))
		RequireSteering(&call);
	refuse_cancelled(&call);
	RefuseUnapproved(&call.held.row);
	if (NoticeFinished(&call))
		;
	else if (is_part)
		SetPartRate(&call, &part, rate);
	else
		set_batch_rate(&call, rate);
	return end_steering(&call, desc);
}

/*
 * acteon_replay_set_start(batch_id bigint, start_at timestamptz, reason text)
 * → (state, waiting, in_flight, cancelled)
 *
 * Has nothing more of a batch go out before a time; NULL: it begins, or goes on, at once.
 * Returns how the batch is then.  Raises the errors of acteon_replay_pause.
 */
Datum
acteon_replay_set_start(PG_FUNCTION_ARGS)
{
	TupleDesc desc = ResultRowType(fcinfo);
	OptionalTime start_at = {.given = !PG_ARGISNULL(1)};
	OptionalTime before;
	ControlCall call;
	LogDetails details;

	if (start_at.given)
		start_at.time = PG_GETARG_TIMESTAMPTZ(1);
	if (start_at.given && TIMESTAMP_NOT_FINITE(start_at.time))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("start_at must be finite"),
						errhint("Use NULL for at once, and acteon_replay_pause() for a time that "
								"is not known.")));
	/* The rest of a batch is enqueued by its query, which has this start. */
	CheckQueryTime("start_at", &start_at);
	BeginRestraint(&call, fcinfo, "acteon_replay_set_start()", 0, 2);
	before = call.held.row.start_at;
	if (!start_at.given || (before.given && start_at.time < before.time))
		RequireSteering(&call);
	refuse_cancelled(&call);
	RefuseUnapproved(&call.held.row);
	if (!NoticeFinished(&call))
	{
		BeginDetails(&details);
		AddTimeDetail(&details, "from", &before);
		AddTimeDetail(&details, "to", &start_at);
		(void) LockBatch(call.schema, call.batch_id, ExclusiveLock, true);
		SetStartAt(&call.held, &start_at);
		before.given = before.given && before.time > call.now;
		PaceFromStart(&call.held, call.schema, &before, call.now, true, true);
		LogControl(call.schema, call.caller, "set_start", call.batch_id, call.reason,
				   EndDetails(&details));
	}
	return end_steering(&call, desc);
}
