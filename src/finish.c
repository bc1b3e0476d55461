/*
 * finish.c
 *		acteon_outbox_ack, _nack and _reject: what became of leased actions.
 *
 * The answers are gone through in the order of ids, segment by segment.  A
 * segment is replaced by the pieces that are left of it, each with its lease,
 * and by those that wait for a retry; deliveries are written for what is
 * finished.  All calls go in the same order, so none waits in a circle.
 *
 * An ack counts whoever holds the lease by now, as long as the action is not
 * finished: the gateway has taken it.  Nack and reject count only while the
 * lease lasts; afterwards the action is someone else's.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "breaker.h"
#include "consumer.h"
#include "delivery.h"
#include "result.h"
#include "segment.h"
#include "settings.h"

/* Until when a consumer can put a retry off, in days. */
#define MAX_RETRY_DAYS 1

/* Bounds of the back-off, in seconds. */
#define BACKOFF_MIN 1.0
#define BACKOFF_MAX 600.0

/* Pieces that a segment can come to: each action a retry, or every other one. */
#define MAX_PIECES (SEGMENT_ACTIONS + 1)

/* What a consumer says. */
typedef enum AnswerKind
{
	ANSWER_ACK,
	ANSWER_NACK,
	ANSWER_REJECT
} AnswerKind;

/* An answer about one action. */
typedef struct Answer
{
	int64 outbox_id;
	int64 lease_token;
	int position;              /* among the arguments */
	NullableDatum value;       /* the outcome of an ack, else an error */
	NullableDatum retry_after; /* an interval */
} Answer;

/* A call that answers. */
typedef struct AnswerCall
{
	ConsumerCall consumer;
	AnswerKind kind;
	Answer *answers;
	int count;
	SegmentTable segments;
	DeliveryWriter deliveries;
	/* The segment at hand, what is left of it, and what it finishes. */
	Segment segment;
	Segment pieces[MAX_PIECES];
	int piece_count;
	Delivery finished[SEGMENT_ACTIONS];
	int finished_count;
	int retries;
	/* Counts of the call. */
	int given_back;
	int ended;
} AnswerCall;

PG_FUNCTION_INFO_V1(acteon_outbox_ack);
PG_FUNCTION_INFO_V1(acteon_outbox_nack);
PG_FUNCTION_INFO_V1(acteon_outbox_reject);

/*
 * Order of answers: by action; of several about one, the first given.
 */
static int
compare_answers(const void *a, const void *b)
{
	const Answer *aa = a;
	const Answer *ab = b;

	if (aa->outbox_id != ab->outbox_id)
		return aa->outbox_id < ab->outbox_id ? -1 : 1;
	return aa->position - ab->position;
}

/*
 * Begin a call, and read its arguments: outbox_id, lease_token and the array
 * with the given name, in the order of ids.
 */
static void
begin_answers(AnswerCall *call, FunctionCallInfo fcinfo, AnswerKind kind, const char *function,
			  const char *value_name)
{
	ArrayArgument ids, tokens, values;

	BeginConsumerCall(&call->consumer, fcinfo, function, true);
	call->kind = kind;
	ids = ReadIds(fcinfo, 0, "outbox_id");
	tokens = ReadIds(fcinfo, 1, "lease_token");
	values = ReadArray(fcinfo, 2, value_name);
	CheckSameLength(&ids, &tokens, "lease_token");
	CheckSameLength(&ids, &values, value_name);

	call->count = ids.count;
	call->answers = palloc(Max(ids.count, 1) * sizeof(Answer));
	for (int i = 0; i < ids.count; i++)
	{
		Answer *answer = &call->answers[i];

		answer->outbox_id = DatumGetInt64(ids.values[i]);
		answer->lease_token = DatumGetInt64(tokens.values[i]);
		answer->position = i;
		answer->value.value = values.values[i];
		answer->value.isnull = values.nulls[i];
		answer->retry_after.isnull = true;
	}
	call->given_back = call->ended = 0;
}

/*
 * Whether an answer about an action of the segment at hand counts.  An ack from
 * a lost lease counts, but only where there has been a lease at all.
 */
static bool
answer_counts(const AnswerCall *call, const Answer *answer)
{
	const Segment *segment = &call->segment;
	bool holds = segment->lease_token != NO_LEASE && segment->lease_token == answer->lease_token;

	if (call->kind == ANSWER_ACK)
		return holds || segment->was_claimed;
	return holds && SegmentIsLeased(segment, GetCurrentTimestamp());
}

/*
 * When to try again after a failed attempt: exponential, from 1 or 2 seconds to
 * 5 or 10 minutes, at random in the upper half so that retries spread.
 */
static TimestampTz
backoff_time(TimestampTz now, int attempt)
{
	double most = Min(ldexp(BACKOFF_MIN, Min(attempt, 30)), BACKOFF_MAX);
	double delay = Max(most / 2 * (1 + pg_prng_double(&pg_global_prng_state)), BACKOFF_MIN);

	return now + (int64) (delay * USECS_PER_SEC);
}

/*
 * When an answer wants its action to be tried again.
 */
static TimestampTz
retry_time(const AnswerCall *call, const Answer *answer)
{
	TimestampTz now = call->consumer.now;

	if (!answer->retry_after.isnull)
	{
		Interval most = {.day = MAX_RETRY_DAYS};
		Datum delay = answer->retry_after.value;

		if (DatumGetBool(DirectFunctionCall2(interval_gt, delay, IntervalPGetDatum(&most))))
			delay = IntervalPGetDatum(&most);
		return DatumGetTimestampTz(
			DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now), delay));
	}
	return answer->value.isnull ? now : backoff_time(now, call->segment.attempt);
}

/*
 * Add a piece: actions that wait or stay leased.  Neighbours that are alike
 * stay together.
 */
static void
add_piece(AnswerCall *call, const Segment *piece)
{
	if (call->piece_count > 0)
	{
		Segment *last = &call->pieces[call->piece_count - 1];

		if (last->last_id + 1 == piece->first_id && last->due_at == piece->due_at &&
			last->attempt == piece->attempt && last->lease_token == piece->lease_token)
		{
			last->last_id = piece->last_id;
			return;
		}
	}
	call->pieces[call->piece_count++] = *piece;
}

/*
 * Add the piece that an action becomes which is given back.  An action without
 * an error was not attempted, or is not at fault: the attempt is not counted.
 */
static void
add_retry(AnswerCall *call, const Answer *answer)
{
	Segment piece = call->segment;

	piece.first_id = piece.last_id = answer->outbox_id;
	piece.due_at = retry_time(call, answer);
	piece.attempt -= answer->value.isnull ? 1 : 0;
	piece.lease_token = NO_LEASE;
	add_piece(call, &piece);
	call->retries++;
}

/*
 * Note that an answer finishes its action.
 */
static void
add_finished(AnswerCall *call, const Answer *answer)
{
	Delivery *delivery = &call->finished[call->finished_count++];
	bool delivered = call->kind == ANSWER_ACK;
	const NullableDatum none = {.isnull = true};

	delivery->outbox_id = answer->outbox_id;
	delivery->batch_id = call->segment.batch_id;
	delivery->attempts = call->segment.attempt;
	delivery->state = delivered ? ACTION_DELIVERED : ACTION_DEAD;
	delivery->outcome = delivered ? answer->value : none;
	delivery->error = delivered ? none : answer->value;
}

/*
 * Work out what the answers make of the segment at hand: the pieces that are
 * left and what is finished.  Returns whether any of them counts.
 */
static bool
divide_segment(AnswerCall *call, const Answer *answers, int count)
{
	const Segment *segment = &call->segment;
	Segment rest = *segment;

	call->piece_count = call->finished_count = call->retries = 0;
	for (int i = 0; i < count; i++)
	{
		const Answer *answer = &answers[i];

		if (answer->outbox_id < rest.first_id || !answer_counts(call, answer))
			continue; /* given twice, or too late */
		if (answer->outbox_id > rest.first_id)
		{
			Segment before = rest;

			before.last_id = answer->outbox_id - 1;
			add_piece(call, &before);
		}
		if (call->kind == ANSWER_NACK && (answer->value.isnull || segment->attempt < MaxAttempts))
			add_retry(call, answer);
		else
			add_finished(call, answer);
		rest.first_id = answer->outbox_id + 1;
	}
	if (rest.first_id <= rest.last_id)
		add_piece(call, &rest);
	return call->finished_count + call->retries > 0;
}

/*
 * Apply the answers about the actions of one segment, from answers[0] on.
 * Returns how many answers it got through: none, if the segment has changed
 * meanwhile.
 */
static int
apply_to_segment(AnswerCall *call, const Answer *answers, int count)
{
	int n = 1;

	/* An action that no segment covers is finished, or was never there. */
	if (!FindSegment(&call->segments, answers[0].outbox_id, &call->segment))
		return 1;
	while (n < count && answers[n].outbox_id <= call->segment.last_id)
		n++;
	/* Whether the lease lasts is looked at when nobody can take it over any more. */
	if (call->kind != ANSWER_ACK && !HoldSegment(&call->segments, &call->segment, true))
		return 0;
	if (!divide_segment(call, answers, n))
		return n;
	if (!ReplaceSegment(&call->segments, &call->segment, call->pieces, call->piece_count))
		return 0;
	for (int i = 0; i < call->finished_count; i++)
		AddDelivery(&call->deliveries, &call->finished[i]);
	call->ended += call->finished_count;
	call->given_back += call->retries;
	return n;
}

/*
 * Apply all answers of a call, and end it.
 */
static void
apply_answers(AnswerCall *call)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay answers", ALLOCSET_SMALL_SIZES);

	qsort(call->answers, call->count, sizeof(Answer), compare_answers);
	OpenSegments(&call->segments, call->consumer.schema);
	OpenDeliveries(&call->deliveries, call->consumer.schema, call->consumer.now);
	for (int done = 0; done < call->count;)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		done += apply_to_segment(call, call->answers + done, call->count - done);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	CloseDeliveries(&call->deliveries);
	CloseSegments(&call->segments);
	CheckBreakers(call->consumer.schema, call->consumer.caller.user, &call->deliveries);
	MemoryContextDelete(context);
	if (call->kind == ANSWER_NACK && call->given_back > 0)
		NotifyConsumers();
	EndConsumerCall(&call->consumer);
}

/*
 * acteon_outbox_ack(outbox_id bigint[], lease_token bigint[], outcome jsonb[])
 * → integer
 *
 * Records that the gateway took the actions, with its answers; returns how many
 * deliveries were recorded by this call.  Raises insufficient_privilege and
 * invalid_parameter_value.
 */
Datum
acteon_outbox_ack(PG_FUNCTION_ARGS)
{
	AnswerCall *call = palloc(sizeof(AnswerCall));

	begin_answers(call, fcinfo, ANSWER_ACK, "acteon_outbox_ack()", "outcome");
	apply_answers(call);
	PG_RETURN_INT32(call->ended);
}

/*
 * acteon_outbox_reject(outbox_id bigint[], lease_token bigint[], error text[])
 * → integer
 *
 * Ends leased actions dead with their errors; returns how many.  Raises
 * insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_outbox_reject(PG_FUNCTION_ARGS)
{
	AnswerCall *call = palloc(sizeof(AnswerCall));

	begin_answers(call, fcinfo, ANSWER_REJECT, "acteon_outbox_reject()", "error");
	apply_answers(call);
	PG_RETURN_INT32(call->ended);
}

/*
 * Read the argument retry_after into the answers, which are still in the order
 * of the arguments.
 */
static void
read_retry_after(AnswerCall *call, FunctionCallInfo fcinfo, int argument)
{
	ArrayArgument delays;
	ArrayArgument ids = {.count = call->count};
	Interval zero = {0};

	if (PG_ARGISNULL(argument))
		return;
	delays = ReadArray(fcinfo, argument, "retry_after");
	CheckSameLength(&ids, &delays, "retry_after");
	for (int i = 0; i < delays.count; i++)
	{
		NullableDatum delay = {.value = delays.values[i], .isnull = delays.nulls[i]};

		call->answers[i].retry_after = delay;
		if (!delay.isnull &&
			DatumGetBool(DirectFunctionCall2(interval_lt, delay.value, IntervalPGetDatum(&zero))))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("retry_after must not be negative"),
					 errdetail("Element %d is %s.", i + 1,
							   DatumGetCString(DirectFunctionCall1(interval_out, delay.value)))));
	}
}

/*
 * acteon_outbox_nack(outbox_id bigint[], lease_token bigint[], error text[],
 * retry_after interval[]) → (given_back integer, dead integer)
 *
 * Gives leased actions back for a later attempt, at the latest in a day; those
 * whose last attempt this was end dead with their error.  Raises insufficient_privilege and
 * invalid_parameter_value.
 */
Datum
acteon_outbox_nack(PG_FUNCTION_ARGS)
{
	AnswerCall *call = palloc(sizeof(AnswerCall));
	TupleDesc desc;
	Datum values[2];
	bool nulls[2] = {false};

	desc = ResultRowType(fcinfo);
	begin_answers(call, fcinfo, ANSWER_NACK, "acteon_outbox_nack()", "error");
	read_retry_after(call, fcinfo, 3);
	apply_answers(call);
	values[0] = Int32GetDatum(call->given_back);
	values[1] = Int32GetDatum(call->ended);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}
