/*
 * settle.c
 *		acteon_replay_settle: a person's decision about actions in doubt.
 *
 * If the audit table does not show whether an action was executed, a person who
 * has asked the provider may know.  A decision applies to the doubts of one
 * batch, all of them or the given ones; each is logged, and a delivery that is
 * based on it says so.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/error_reason.h"
#include "base/text.h"
#include "batch/may_steer.h"
#include "batch/control_log.h"
#include "batch/reason.h"
#include "consumer/call.h"
#include "consumer/resolve_doubt.h"
#include "queue/batch_scan.h"
#include "queue/doubt.h"
#include "queue/wake.h"

/* Name of the outcome of an action that a person called delivered. */
#define SETTLED_OUTCOME "Settled"

/* A call that settles. */
typedef struct Settling
{
	ControlCall control;
	Decision decision;
	const char *decision_name;
	bool any;      /* no actions are named: all doubts of the batch */
	int64 *wanted; /* else these, in order */
	int wanted_count;
	SegmentTable segments;
	DeliveryWriter deliveries;
	Datum outcome; /* of what was called delivered */
	int64 settled;
} Settling;

/* Outbox ids, inclusive. */
typedef struct IdRange
{
	int64 first;
	int64 last;
} IdRange;

PG_FUNCTION_INFO_V1(acteon_replay_settle);

/*
 * Read what is decided.
 */
static void
read_decision(Settling *settling, FunctionCallInfo fcinfo, int argument)
{
	static const char *const names[] = {[DECIDE_RESEND] = DECISION_RESEND,
										[DECIDE_DELIVERED] = DECISION_DELIVERED,
										[DECIDE_CANCEL] = DECISION_CANCEL};
	const char *given = PG_ARGISNULL(argument) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(argument));

	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(given, names[i]) == 0)
		{
			settling->decision = (Decision) i;
			settling->decision_name = names[i];
			return;
		}
	}
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		 errmsg("decision must be \"%s\", \"%s\" or \"%s\"", DECISION_NAMES),
		 errhint(
			 "resend sends the actions once more; delivered states that they took effect, cancel that they had no effect and will have none.")));
}

/*
 * Order of ids.
 */
static int
compare_ids(const void *a, const void *b)
{
	int64 ia = *(const int64 *) a;
	int64 ib = *(const int64 *) b;

	return ia < ib ? -1 : ia > ib;
}

/*
 * Read which actions the decision is about; NULL is all doubts of the batch.
 */
static void
read_wanted(Settling *settling, FunctionCallInfo fcinfo, int argument)
{
	ArrayArgument ids;

	settling->any = PG_ARGISNULL(argument);
	if (settling->any)
		return;
	ids = ReadIds(fcinfo, argument, "outbox_id");
	settling->wanted = palloc(Max(ids.count, 1) * sizeof(int64));
	settling->wanted_count = ids.count;
	for (int i = 0; i < ids.count; i++)
		settling->wanted[i] = DatumGetInt64(ids.values[i]);
	qsort(settling->wanted, settling->wanted_count, sizeof(int64), compare_ids);
}

/*
 * Whether the decision is about an action.
 */
static bool
is_wanted(const Settling *settling, int64 outbox_id)
{
	return settling->any || bsearch(&outbox_id, settling->wanted, settling->wanted_count,
									sizeof(int64), compare_ids) != NULL;
}

/*
 * What is kept as the outcome of an action that a person called delivered: who, and
 * why.
 */
static Datum
settled_outcome(const ControlCall *control)
{
	LogDetails details;
	JsonbParseState *state = NULL;
	JsonbValue key, value;

	BeginDetails(&details);
	AddTextDetail(&details, "by", GetUserNameFromId(control->caller, false));
	AddTextDetail(&details, "reason", control->reason);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	key.type = jbvString;
	key.val.string.val = SETTLED_OUTCOME;
	key.val.string.len = strlen(SETTLED_OUTCOME);
	pushJsonbValue(&state, WJB_KEY, &key);
	JsonbToJsonbValue(EndDetails(&details), &value);
	pushJsonbValue(&state, WJB_VALUE, &value);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/*
 * Write down how an action ends by the decision.
 */
static void
end_action(Settling *settling, const Segment *segment, int64 outbox_id)
{
	bool delivered = settling->decision == DECIDE_DELIVERED;
	Delivery delivery = {.outbox_id = outbox_id,
						 .batch_id = segment->batch_id,
						 .attempts = segment->attempt,
						 .state = delivered ? ACTION_DELIVERED : ACTION_CANCELLED,
						 .outcome = {.value = settling->outcome, .isnull = !delivered},
						 .error = {.isnull = true},
						 .effect = EFFECT_DONE,
						 .resend = segment->resend,
						 .unproven = segment->unproven && delivered,
						 .relay = segment->relay,
						 .known_by = KNOWN_BY_PERSON};

	if (delivered)
		strlcpy(delivery.outcome_name, SETTLED_OUTCOME, sizeof(delivery.outcome_name));
	AddDelivery(&settling->deliveries, &delivery);
}

/*
 * Apply the decision to the doubts of a segment.
 */
static void
settle_segment(Settling *settling, const Segment *segment)
{
	Segment pieces[SEGMENT_ACTIONS];
	int count = 0;
	int64 settled = 0;

	for (int64 id = segment->first_id; id <= segment->last_id; id++)
	{
		Segment piece = *segment;

		piece.first_id = piece.last_id = id;
		if (is_wanted(settling, id))
		{
			settled++;
			if (settling->decision != DECIDE_RESEND)
			{
				end_action(settling, segment, id);
				continue;
			}
			/* Who decides this about an action that has expired has been told so. */
			if (piece.held != NULL && TextIs(piece.held, HELD_EXPIRED))
				piece.expires_at = 0;
			RenewId(&piece, settling->control.now);
			piece.unproven = true;
			piece.attempt = 0;
		}
		AppendPiece(pieces, &count, &piece);
	}
	if (settled == 0)
		return;
	if (!ReplaceSegment(&settling->segments, segment, pieces, count))
		elog(ERROR, "a segment was changed while it was locked");
	settling->settled += settled;
}

/*
 * Whether a segment is a doubt that can be settled at this moment: in doubt, or out
 * of a lease that has run out.  What a consumer holds is not.
 */
static bool
is_doubt(const Segment *segment, TimestampTz now)
{
	return SegmentState(segment, now) == ACTION_IN_DOUBT;
}

/*
 * Apply the decision to those doubts among some outbox ids to which it applies.
 * Adds to *missed the ids of segments that another session, such as a claim
 * that has looked them up, has changed meanwhile: what is left of them must be
 * looked at again.
 */
static void
settle_range(Settling *settling, const IdRange *range, List **missed)
{
	ControlCall *control = &settling->control;
	BatchScan scan;
	Segment segment;

	BeginBatchScan(&scan, &settling->segments, control->batch_id, range->first, range->last);
	while (NextOfBatch(&scan, &segment))
	{
		if (!is_doubt(&segment, control->now))
			continue;
		if (HoldSegment(&settling->segments, &segment, true))
			settle_segment(settling, &segment);
		else
		{
			MemoryContext old = MemoryContextSwitchTo(scan.caller);
			IdRange *again = palloc(sizeof(IdRange));

			again->first = segment.first_id;
			again->last = segment.last_id;
			*missed = lappend(*missed, again);
			MemoryContextSwitchTo(old);
		}
	}
	EndBatchScan(&scan);
}

/*
 * Apply the decision to all doubts of the batch that it is about.
 */
static void
settle_batch(Settling *settling)
{
	ControlCall *control = &settling->control;
	const BatchRow *batch = &control->held.row;
	IdRange all = {batch->first_outbox_id, batch->last_outbox_id};
	List *ranges;

	if (all.first == 0)
		return;
	ranges = list_make1(&all);
	while (ranges != NIL)
	{
		List *missed = NIL;
		ListCell *lc;

		foreach (lc, ranges)
			settle_range(settling, lfirst(lc), &missed);
		ranges = missed;
	}
}

/*
 * Write down who has decided what.
 */
static void
log_settling(const Settling *settling)
{
	LogDetails details;

	BeginDetails(&details);
	AddTextDetail(&details, "decision", settling->decision_name);
	if (!settling->any)
		AddNumberDetail(&details, "named", settling->wanted_count);
	AddNumberDetail(&details, "settled", settling->settled);
	LogControl(settling->control.schema, settling->control.caller, "settle",
			   settling->control.batch_id, settling->control.reason, EndDetails(&details));
}

/*
 * acteon_replay_settle(batch_id bigint, decision text, reason text,
 * outbox_id bigint[]) → bigint
 *
 * Ends doubts of a batch by a decision: resend, delivered or cancel; all of them, or
 * those that are named.  Returns how many.  For the role that started the batch and
 * for admins whose grants cover all of it.  Raises no_data_found,
 * insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_replay_settle(PG_FUNCTION_ARGS)
{
	Settling *settling = palloc0(sizeof(Settling));
	ControlCall *control = &settling->control;

	read_decision(settling, fcinfo, 1);
	if (IsBlankReason(PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2))))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errreason(CODE_REASON_NEEDED),
						errmsg("a reason must be given"),
						errhint("State how it is known what happened to the actions.")));
	read_wanted(settling, fcinfo, 3);
	BeginControl(control, fcinfo, "acteon_replay_settle()", 0, 2);
	settling->outcome = settled_outcome(control);
	OpenSegments(&settling->segments, control->schema);
	OpenDeliveries(&settling->deliveries, control->schema, control->now);
	settle_batch(settling);
	CloseDeliveries(&settling->deliveries);
	CloseSegments(&settling->segments);
	log_settling(settling);
	if (settling->decision == DECIDE_RESEND && settling->settled > 0)
		NotifyConsumers(control->schema);
	EndControl(control);
	PG_RETURN_INT64(settling->settled);
}
