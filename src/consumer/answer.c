/*
 * answer.c
 *		acteon_outbox_ack, _nack, _reject and _doubt: the results of leased
 *		actions.
 *
 * The answers are processed in the order of ids, segment by segment.  A segment
 * is replaced by the pieces that are left of it, each with its lease, and by
 * those that wait for a retry or are in doubt; deliveries are written for
 * finished actions.  All calls use the same order, so they cannot deadlock with
 * each other.
 *
 * An answer is accepted only if it identifies its action: by the token of a
 * lease that has not expired, or, once the lease is lost, by the id that was
 * sent.  Outbox ids alone are not sufficient: after a failover that lost the
 * most recent commits the same number belongs to another action.  An answer
 * about an id that was given up is accepted only if it says that the action was
 * executed.  That keeps NoneTwice; the invariants are in doc/development.md.
 *
 * The meaning of an outcome is determined here and not by consumers (effect.c
 * interprets it): a throttled action is sent again, under a new id, as the
 * gateway has recorded the old one; an id that was seen before (409) does not
 * show the effect, so the action is in doubt until it has been looked up in the
 * audit table (resolve_doubt.c).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/fault_point.h"
#include "base/installation.h"
#include "base/invariant.h"
#include "base/result.h"
#include "base/settings.h"
#include "base/replay_id.h"
#include "batch/breaker.h"
#include "batch/canary.h"
#include "batch/failover.h"
#include "consumer/call.h"
#include "consumer/resolve_doubt.h"
#include "queue/backoff.h"
#include "queue/delivery.h"
#include "queue/doubt.h"
#include "queue/outbox_row.h"
#include "queue/segment.h"
#include "queue/wake.h"

/* How long a consumer can postpone a retry, in days. */
#define MAX_RETRY_DAYS 1

/* How long the gateway may defer an action, from the first time on. */
#define MAX_DEFERRED USECS_PER_DAY

/* How many ids after the one that ended an action are tried when a late answer comes. */
#define MAX_LATER_IDS 1000

/* Maximum number of pieces of a segment: one for each action. */
#define MAX_PIECES (SEGMENT_ACTIONS + 1)

/* What a consumer says. */
typedef enum AnswerKind
{
	ANSWER_ACK,
	ANSWER_NACK,
	ANSWER_REJECT,
	ANSWER_DOUBT
} AnswerKind;

/* An answer about one action. */
typedef struct Answer
{
	int64 outbox_id;
	int64 lease_token;
	int position;              /* among the arguments */
	NullableDatum value;       /* the outcome of an ack, else an error */
	NullableDatum retry_after; /* an interval */
	NullableDatum sent_id;     /* the id that was sent, a uuid */
	AnswerReading reading;     /* of the outcome of an ack */
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
	bool is_open; /* the outbox and the namespace, which few answers need */
	TableFinder outbox;
	pg_uuid_t namespace;
	MemoryContext context; /* that it lives in */
	/* The segment at hand, what is left of it, and what it finishes. */
	Segment segment;
	bool is_leased; /* at the moment at which it was looked at */
	Segment pieces[MAX_PIECES];
	int piece_count;
	Delivery finished[SEGMENT_ACTIONS];
	int finished_count;
	int retries;
	int doubts;
	/* Counts of the call. */
	int given_back;
	int ended;
	int doubted;
} AnswerCall;

PG_FUNCTION_INFO_V1(acteon_outbox_ack);
PG_FUNCTION_INFO_V1(acteon_outbox_nack);
PG_FUNCTION_INFO_V1(acteon_outbox_reject);
PG_FUNCTION_INFO_V1(acteon_outbox_doubt);

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
 * Read the argument action_id, which consumers of version 1.0 do not pass, into
 * the answers, which are still in the order of the arguments.
 */
static void
read_sent_ids(AnswerCall *call, FunctionCallInfo fcinfo, int argument)
{
	ArrayArgument sent;
	ArrayArgument ids = {.count = call->count};

	CheckArguments(fcinfo, argument + 1);
	if (PG_ARGISNULL(argument))
		return;
	sent = ReadArray(fcinfo, argument, "action_id");
	CheckSameLength(&ids, &sent, "action_id");
	for (int i = 0; i < sent.count; i++)
		call->answers[i].sent_id =
			(NullableDatum){.value = sent.values[i], .isnull = sent.nulls[i]};
}

/*
 * Begin a call, and read its arguments: outbox_id, lease_token and the array
 * with the given name, in the order given, and the argument action_id.
 */
static void
begin_answers(AnswerCall *call, FunctionCallInfo fcinfo, AnswerKind kind, const char *function,
			  const char *value_name, int id_argument)
{
	ArrayArgument ids, tokens, values;

	BeginConsumerCall(&call->consumer, fcinfo, function, true);
	LockForWriting(call->consumer.schema, WRITES_OF_QUEUE);
	/* Before a canary releases what may have been released, and sent, before. */
	NoticeServer(call->consumer.schema, call->consumer.caller.user);
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

		CHECK_FOR_INTERRUPTS();
		answer->outbox_id = DatumGetInt64(ids.values[i]);
		answer->lease_token = DatumGetInt64(tokens.values[i]);
		answer->position = i;
		answer->value.value = values.values[i];
		answer->value.isnull = values.nulls[i];
		answer->retry_after.isnull = answer->sent_id.isnull = true;
		if (kind == ANSWER_ACK && !answer->value.isnull)
			ReadAnswer(DatumGetJsonbP(answer->value.value), &answer->reading);
		else
			answer->reading = (AnswerReading){.effect = EFFECT_UNKNOWN, .retry_after = -1};
	}
	read_sent_ids(call, fcinfo, id_argument);
}

/*
 * Find the row of an action in the outbox.
 */
static bool
find_action(AnswerCall *call, int64 outbox_id)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	MemoryContext old = MemoryContextSwitchTo(call->context);
	bool found;

	if (!call->is_open)
	{
		OpenPartedFinder(&call->outbox, call->consumer.schema, OUTBOX_TABLE, Anum_outbox_id);
		(void) ReadNamespace(call->consumer.schema, &call->namespace);
	}
	call->is_open = true;
	MemoryContextSwitchTo(old);
	found = FindRow(&call->outbox, F_INT8EQ, Int64GetDatum(outbox_id), snapshot);
	UnregisterSnapshot(snapshot);
	return found;
}

/*
 * Which of the ids of an action an answer names: 0 for the one in the outbox, n for
 * the n-th new one, up to the given number; -1 if it names none, or another action's.
 */
static int
named_id(AnswerCall *call, const Answer *answer, int resends)
{
	bool isnull;
	text *original;
	const char *target;
	int generation;

	if (answer->sent_id.isnull || !find_action(call, answer->outbox_id))
		return -1;
	original = DatumGetTextPP(FoundColumn(&call->outbox, Anum_outbox_original_action_id, &isnull));
	generation = DatumGetInt32(FoundColumn(&call->outbox, Anum_outbox_generation, &isnull));
	target = FoundTarget(&call->outbox);
	for (int i = resends; i >= 0; i--)
	{
		pg_uuid_t id;

		ResendId(&id, &call->namespace, VARDATA_ANY(original), VARSIZE_ANY_EXHDR(original), target,
				 generation, i);
		if (memcmp(&id, DatumGetUUIDP(answer->sent_id.value), sizeof(id)) == 0)
			return i;
	}
	return -1;
}

/*
 * Whether an answer about an action of the segment at hand counts, and about which
 * of its ids it is; -1 if it does not.
 *
 * Under a lease that lasts, its token proves that the answer is about the action, and
 * about its present id unless it names one that was given up.  When the lease is lost,
 * only an outcome still counts, and only by the id that was sent.  An answer about an
 * id that was given up counts only if it says that the action was executed.
 */
static int
answered_id(AnswerCall *call, const Answer *answer)
{
	const Segment *segment = &call->segment;
	int id;

	if (segment->lease_token == answer->lease_token && call->is_leased)
	{
		id = segment->resend == 0 ? 0 : named_id(call, answer, segment->resend);
		if (id < 0 || id == segment->resend)
			return segment->resend;
		return call->kind == ANSWER_ACK && answer->reading.effect == EFFECT_DONE ? id : -1;
	}
	if (call->kind != ANSWER_ACK)
		return -1;
	/* It may look as if it had never been claimed: after a failover that lost the claim. */
	id = named_id(call, answer, segment->resend);
	if (id >= 0 && id < segment->resend && answer->reading.effect != EFFECT_DONE)
		return -1;
	/* Who holds it now will be told the same. */
	if ((answer->reading.kind == ANSWER_DEFERRED || answer->reading.kind == ANSWER_DUPLICATE) &&
		call->is_leased)
		return -1;
	return id;
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
	return answer->value.isnull ? now : BackoffTime(now, call->segment.attempt);
}

/*
 * The piece of its segment that consists of the action of an answer, before the
 * answer is applied.
 */
static Segment
piece_of(const AnswerCall *call, const Answer *answer)
{
	Segment piece = call->segment;

	piece.first_id = piece.last_id = answer->outbox_id;
	return piece;
}

/*
 * Add the piece for an action that is given back: it is known not to have been
 * executed.  An action without an error was not attempted, or is not at fault:
 * the attempt is not counted.  The id that the gateway has answered may be
 * unusable.
 */
static void
add_retry(AnswerCall *call, const Answer *answer)
{
	Segment piece = piece_of(call, answer);

	piece.due_at = DueAgain(&piece, retry_time(call, answer), call->consumer.now);
	piece.attempt -= answer->value.isnull ? 1 : 0;
	piece.lease_token = NO_LEASE;
	piece.id_refused |= !answer->sent_id.isnull;
	AppendPiece(call->pieces, &call->piece_count, &piece);
	call->retries++;
}

/*
 * Add the piece for an action that the gateway has deferred: the attempt is not
 * counted, and the next one has a new id.
 */
static void
add_deferred(AnswerCall *call, const Answer *answer)
{
	Segment piece = piece_of(call, answer);
	TimestampTz now = call->consumer.now;
	int64 delay = Min(answer->reading.retry_after, MAX_RETRY_DAYS * USECS_PER_DAY);

	piece.attempt = Max(piece.attempt - 1, 0);
	DeferAction(&piece, delay >= 0 ? now + delay : BackoffTime(now, piece.resend + 1), now);
	AssertInvariant(NoIdTwice, piece.resend > call->segment.resend);
	AppendPiece(call->pieces, &call->piece_count, &piece);
	call->retries++;
}

/*
 * Add the piece for an action that is in doubt from now on.  Held says why it
 * waits for a person; NULL: it does not wait for one yet.
 */
static void
add_doubt(AnswerCall *call, const Answer *answer, const char *why, const char *held)
{
	Segment piece = piece_of(call, answer);
	bool was_doubt = piece.doubt_since != 0;
	TimestampTz now = call->consumer.now;

	MakeDoubt(&piece, now, why, now + USECS_PER_SEC);
	if (held != NULL)
		HoldDoubt(&piece, held);
	AppendPiece(call->pieces, &call->piece_count, &piece);
	call->doubts += was_doubt ? 0 : 1;
}

/*
 * Add the piece for an action whose id the gateway has seen before: it is
 * looked up at once.  Whether the database knows the id as refused does not
 * change.
 */
static void
add_duplicate(AnswerCall *call, const Answer *answer)
{
	Segment piece = piece_of(call, answer);
	bool was_doubt = piece.doubt_since != 0;
	bool refused = piece.id_refused && !was_doubt;
	TimestampTz now = call->consumer.now;

	MakeDoubt(&piece, now, "409: the gateway has seen the id before", now);
	piece.id_refused = refused;
	/* The 409 of an id that was refused before is no attempt of its own. */
	if (refused)
		piece.attempt = Max(piece.attempt - 1, 0);
	AppendPiece(call->pieces, &call->piece_count, &piece);
	call->doubts += refused || was_doubt ? 0 : 1;
	/* It is looked up by the next claim. */
	call->retries++;
}

/*
 * Note that an answer about an id of an action finishes it.
 */
static void
add_finished(AnswerCall *call, const Answer *answer, int id, NullableDatum error)
{
	Delivery *delivery = &call->finished[call->finished_count++];
	bool delivered = call->kind == ANSWER_ACK && error.isnull;
	const NullableDatum none = {.isnull = true};

	AssertInvariant(DeliveredHasEffect, !delivered || answer->reading.kind == ANSWER_FINAL ||
											answer->reading.kind == ANSWER_DEDUPLICATED);
	delivery->outbox_id = answer->outbox_id;
	delivery->batch_id = call->segment.batch_id;
	/* What the gateway rejects never reached the provider. */
	delivery->provider = call->kind == ANSWER_REJECT ? NULL : ToldProvider(&call->segment);
	delivery->attempts = call->segment.attempt;
	delivery->state = delivered ? ACTION_DELIVERED : ACTION_DEAD;
	delivery->outcome = delivered ? answer->value : none;
	strlcpy(delivery->outcome_name, answer->reading.name, sizeof(delivery->outcome_name));
	delivery->effect = answer->reading.effect;
	delivery->error = error;
	delivery->resend = id;
	delivery->unproven = call->segment.unproven;
	delivery->known_by = KNOWN_BY_ANSWER;
	/* When the lease is lost, another relay may hold it by now. */
	delivery->relay =
		call->segment.lease_token == answer->lease_token ? call->segment.relay : NO_RELAY;
}

/*
 * Make an action dead, or hold it if one of its ids was given up without proof: an
 * action that may have had an effect never becomes dead (EndedHasNoEffect).
 */
static void
add_dead(AnswerCall *call, const Answer *answer, NullableDatum error)
{
	if (call->segment.unproven)
		add_doubt(call, answer, error.isnull ? "it was rejected" : TextDatumGetCString(error.value),
				  "an earlier id of it is in doubt");
	else
		add_finished(call, answer, call->segment.resend, error);
}

/*
 * An error that is not among the arguments, for a delivery, which is written at the end
 * of the call.
 */
static NullableDatum
kept_error(const AnswerCall *call, const char *message)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);
	NullableDatum error = {.value = CStringGetTextDatum(message), .isnull = false};

	MemoryContextSwitchTo(old);
	return error;
}

/*
 * Apply an outcome about an id of its action.
 */
static void
apply_outcome(AnswerCall *call, const Answer *answer, int id)
{
	const Segment *segment = &call->segment;
	const NullableDatum none = {.isnull = true};
	NullableDatum error = none;

	switch (answer->reading.kind)
	{
		case ANSWER_FINAL:
			add_finished(call, answer, id, none);
			break;
		case ANSWER_DEDUPLICATED:
			/* The dedup key may have been taken by the id that is in doubt. */
			if (segment->unproven)
				add_doubt(call, answer, "Deduplicated, perhaps by an earlier id of it", NULL);
			else
				add_finished(call, answer, id, none);
			break;
		case ANSWER_DEFERRED:
			if (segment->resend == 0 || call->consumer.now - segment->sent_at < MAX_DEFERRED)
			{
				add_deferred(call, answer);
				break;
			}
			error = kept_error(call, psprintf("%s for more than a day", answer->reading.name));
			add_dead(call, answer, error);
			break;
		case ANSWER_DUPLICATE:
			/* A late one tells nothing new. */
			if (segment->lease_token == answer->lease_token)
				add_duplicate(call, answer);
			else
			{
				Segment unchanged = piece_of(call, answer);

				AppendPiece(call->pieces, &call->piece_count, &unchanged);
			}
			break;
	}
}

/*
 * Apply an answer that counts to its action.
 */
static void
apply_answer(AnswerCall *call, const Answer *answer, int id)
{
	switch (call->kind)
	{
		case ANSWER_ACK:
			apply_outcome(call, answer, id);
			break;
		case ANSWER_NACK:
			if (answer->value.isnull || call->segment.attempt < MaxAttempts)
				add_retry(call, answer);
			else
				add_dead(call, answer, answer->value);
			break;
		case ANSWER_REJECT:
			add_dead(call, answer, answer->value);
			break;
		case ANSWER_DOUBT:
			add_doubt(call, answer,
					  answer->value.isnull ? "there was no answer"
										   : TextDatumGetCString(answer->value.value),
					  NULL);
			break;
	}
}

/*
 * Apply the answers to the current segment: determine the pieces that are left
 * and what is finished.  Returns whether any of the answers is accepted.
 */
static bool
divide_segment(AnswerCall *call, const Answer *answers, int count)
{
	Segment rest = call->segment;
	bool counts = false;

	call->is_leased = SegmentIsLeased(&rest, GetCurrentTimestamp());
	call->piece_count = call->finished_count = call->retries = call->doubts = 0;
	for (int i = 0; i < count; i++)
	{
		const Answer *answer = &answers[i];
		int id;

		if (answer->outbox_id < rest.first_id || (id = answered_id(call, answer)) < 0)
			continue; /* given twice, or too late */
		if (answer->outbox_id > rest.first_id)
		{
			Segment before = rest;

			before.last_id = answer->outbox_id - 1;
			AppendPiece(call->pieces, &call->piece_count, &before);
		}
		apply_answer(call, answer, id);
		rest.first_id = answer->outbox_id + 1;
		counts = true;
	}
	if (rest.first_id <= rest.last_id)
		AppendPiece(call->pieces, &call->piece_count, &rest);
	return counts;
}

/*
 * Whether each action that is finished is so once, in the order of ids.
 */
static PG_USED_FOR_ASSERTS_ONLY bool
finished_differ(const AnswerCall *call)
{
	for (int i = 1; i < call->finished_count; i++)
	{
		if (call->finished[i].outbox_id <= call->finished[i - 1].outbox_id)
			return false;
	}
	return true;
}

/*
 * Whether a piece covers an action that is finished.
 */
static PG_USED_FOR_ASSERTS_ONLY bool
covers_finished(const AnswerCall *call)
{
	for (int i = 0, j = 0; i < call->piece_count && j < call->finished_count;)
	{
		if (call->pieces[i].last_id < call->finished[j].outbox_id)
			i++;
		else if (call->pieces[i].first_id <= call->finished[j].outbox_id)
			return true;
		else
			j++;
	}
	return false;
}

/*
 * Whether the delivery that was found may be of an action that was executed:
 * dead and cancelled actions were not executed, and for deliveries of version
 * 1.0 it is unknown.
 */
static bool
was_done_as_written(TableFinder *deliveries)
{
	bool isnull;
	Datum state = FoundColumn(deliveries, Anum_delivery_state, &isnull);
	Datum effect;

	if (FinishedState(TextDatumGetCString(state)) != ACTION_DELIVERED)
		return false;
	effect = FoundColumn(deliveries, Anum_delivery_effect, &isnull);
	return isnull || EffectByName(DatumGetTextPP(effect)) == EFFECT_DONE;
}

/*
 * Look at an answer about an action that is finished.  One that was executed under
 * another id than the one that ended it, or although it ended otherwise, is a
 * contradiction, which is recorded; the same answer again is not one.
 */
static void
check_finished(AnswerCall *call, const Answer *answer)
{
	Snapshot snapshot;
	TableFinder deliveries;
	bool isnull;

	if (call->kind != ANSWER_ACK || answer->reading.effect != EFFECT_DONE)
		return;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	OpenPartedFinder(&deliveries, call->consumer.schema, DELIVERY_TABLE, Anum_delivery_outbox_id);
	if (FindRow(&deliveries, F_INT8EQ, Int64GetDatum(answer->outbox_id), snapshot))
	{
		int resend = DatumGetInt32(FoundColumn(&deliveries, Anum_delivery_resend, &isnull));
		bool was_done = was_done_as_written(&deliveries);
		int id = named_id(call, answer, resend);

		/* It may have been given more ids before the answer about an earlier one ended it. */
		if (id < 0)
			id = named_id(call, answer, resend + MAX_LATER_IDS);
		if (id >= 0 && (id != resend || !was_done))
			LogContradiction(
				call->consumer.schema, call->consumer.caller.user,
				DatumGetInt64(FoundColumn(&call->outbox, Anum_outbox_batch_id, &isnull)),
				answer->outbox_id,
				"an answer says that the action was executed, which had ended otherwise or under another id");
	}
	CloseFinder(&deliveries);
	UnregisterSnapshot(snapshot);
}

/*
 * Apply the answers about the actions of one segment, from answers[0] on.
 * Returns how many answers were processed: none, if the segment has changed
 * meanwhile.
 */
static int
apply_to_segment(AnswerCall *call, const Answer *answers, int count)
{
	int n = 1;

	/* An action that no segment covers is finished, or was never there. */
	if (!FindSegment(&call->segments, answers[0].outbox_id, &call->segment))
	{
		check_finished(call, &answers[0]);
		return 1;
	}
	while (n < count && answers[n].outbox_id <= call->segment.last_id)
		n++;
	/* Check the lease only when no other session can take it over any longer. */
	if (call->kind != ANSWER_ACK && !HoldSegment(&call->segments, &call->segment, true))
		return 0;
	if (!divide_segment(call, answers, n))
		return n;
	AssertInvariant(EndsOnce, finished_differ(call));
	AssertInvariant(NoneEndedAndWaiting, !covers_finished(call));
	AssertInvariant(NoneLost,
					PiecesLength(call->pieces, call->piece_count) + call->finished_count ==
						SegmentLength(&call->segment));
	if (!ReplaceSegment(&call->segments, &call->segment, call->pieces, call->piece_count))
		return 0;
	FAULT_POINT("answer-delivery");
	for (int i = 0; i < call->finished_count; i++)
		AddDelivery(&call->deliveries, &call->finished[i]);
	if (call->doubts > 0)
		TallyDoubts(&call->deliveries, call->segment.batch_id, ToldProvider(&call->segment),
					call->doubts);
	call->ended += call->finished_count;
	call->given_back += call->retries;
	call->doubted += call->doubts;
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

	call->context = CurrentMemoryContext;
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
	if (call->is_open)
		CloseFinder(&call->outbox);
	CloseDeliveries(&call->deliveries);
	CloseSegments(&call->segments);
	CheckBreakers(call->consumer.schema, call->consumer.caller.user, &call->deliveries);
	MemoryContextDelete(context);
	/* Who waits for records looks again soon. */
	if ((call->ended > 0 && AdvanceCanaries(call->consumer.schema, call->consumer.caller.user,
											GetCurrentTimestamp())) ||
		call->given_back > 0)
		NotifyConsumers(call->consumer.schema);
	FAULT_POINT("answer-end");
	EndConsumerCall(&call->consumer);
}

/*
 * acteon_outbox_ack(outbox_id bigint[], lease_token bigint[], outcome jsonb[],
 * action_id uuid[]) → integer
 *
 * Records the outcomes with which the gateway has answered; returns how many
 * deliveries were recorded by this call.  What the gateway has put off goes out
 * again; what it has seen before is in doubt.  Raises insufficient_privilege and
 * invalid_parameter_value.
 */
Datum
acteon_outbox_ack(PG_FUNCTION_ARGS)
{
	AnswerCall *call = palloc0(sizeof(AnswerCall));

	begin_answers(call, fcinfo, ANSWER_ACK, "acteon_outbox_ack()", "outcome", 3);
	apply_answers(call);
	PG_RETURN_INT32(call->ended);
}

/*
 * acteon_outbox_reject(outbox_id bigint[], lease_token bigint[], error text[],
 * action_id uuid[]) → integer
 *
 * Ends leased actions dead with their errors; returns how many.  One of which an
 * earlier id is in doubt is held instead.  Raises
 * insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_outbox_reject(PG_FUNCTION_ARGS)
{
	AnswerCall *call = palloc0(sizeof(AnswerCall));

	begin_answers(call, fcinfo, ANSWER_REJECT, "acteon_outbox_reject()", "error", 3);
	apply_answers(call);
	PG_RETURN_INT32(call->ended);
}

/*
 * acteon_outbox_doubt(outbox_id bigint[], lease_token bigint[], error text[],
 * action_id uuid[]) → integer
 *
 * Puts leased actions in doubt: they may have been sent, and there is no answer.
 * Returns how many.  Raises insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_outbox_doubt(PG_FUNCTION_ARGS)
{
	AnswerCall *call = palloc0(sizeof(AnswerCall));

	begin_answers(call, fcinfo, ANSWER_DOUBT, "acteon_outbox_doubt()", "error", 3);
	apply_answers(call);
	PG_RETURN_INT32(call->doubted);
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
 * retry_after interval[], action_id uuid[]) → (given_back integer, dead integer)
 *
 * Gives leased actions back, which are known not to have been executed, for a later
 * attempt, at the latest in a day; those whose last attempt this was end dead with
 * their error.  Raises insufficient_privilege and
 * invalid_parameter_value.
 */
Datum
acteon_outbox_nack(PG_FUNCTION_ARGS)
{
	AnswerCall *call = palloc0(sizeof(AnswerCall));
	TupleDesc desc;
	Datum values[2];
	bool nulls[2] = {false};

	desc = ResultRowType(fcinfo);
	begin_answers(call, fcinfo, ANSWER_NACK, "acteon_outbox_nack()", "error", 4);
	read_retry_after(call, fcinfo, 3);
	apply_answers(call);
	values[0] = Int32GetDatum(call->given_back);
	values[1] = Int32GetDatum(call->ended);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}
