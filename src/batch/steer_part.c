/*
 * steer_part.c
 *		Steering a part of a batch: one tenant, one provider, or actions that are named.
 *
 * What is to hold for a part is written in its segments (queue/part.c), and in the row of
 * the batch (parts.c).  It holds apart from what holds for the whole batch: a part that is
 * paused stays so when the batch is resumed.  What a consumer holds is completed, and what
 * is in doubt is looked up, as where a whole batch is steered; it keeps the mark.
 *
 * The batch is locked against claims: each of them sees all of the change, or none.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "access/visibility.h"
#include "base/catalog.h"
#include "base/error_reason.h"
#include "base/message.h"
#include "base/text.h"
#include "batch/batch_pace.h"
#include "batch/batch_stop.h"
#include "batch/canary.h"
#include "batch/control_log.h"
#include "batch/parts.h"
#include "batch/steer_part.h"
#include "query/query.h"
#include "queue/batch_flags.h"
#include "queue/delivery.h"

/* A part that is being steered. */
typedef struct PartChange
{
	ControlCall *call; /* NULL: what was enqueued is being marked */
	TimestampTz now;
	BatchStop stop;             /* what is to hold from now on, or: */
	bool sets_rate;             /* this is about the rate, */
	int pace;                   /* of which this is the number; NO_PACE: that of the batch */
	DeliveryWriter *deliveries; /* for what is cancelled */
	int64 waiting;              /* actions that were waiting, and in flight or in doubt */
	int64 others;
	int64 first_id;   /* of what waits and is resumed; 0: nothing is */
	bool only_paused; /* nothing else is left of the batch */
} PartChange;

/*
 * Whether an expression depends on what a query finds.
 */
static bool
depends_on_query(Node *node, void *context)
{
	/* What chooses NULL by a condition means it. */
	if (node == NULL || IsA(node, CaseExpr))
		return false;
	if (IsA(node, Var) || IsA(node, Aggref) || IsA(node, WindowFunc) || IsA(node, SubPlan) ||
		(IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC))
		return true;
	return expression_tree_walker(node, depends_on_query, context);
}

/*
 * Refuse an argument that is NULL because a query has found nothing: the call would be
 * about all of the batch.  That of a constant and of a parameter means so: clients pass all
 * arguments as parameters.
 */
static void
refuse_nothing_found(FunctionCallInfo fcinfo, int argument, const char *name)
{
	Node *call = fcinfo->flinfo->fn_expr;

	if (PG_ARGISNULL(argument) && call != NULL && IsA(call, FuncExpr) &&
		depends_on_query(list_nth(((FuncExpr *) call)->args, argument), NULL))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is null, as a query found nothing", name),
						errhint("Without it, all of the batch would be meant.")));
}

/*
 * Read the arguments that select a part: tenant, provider and action_ids, from the given
 * one on.  Returns whether one is given.  Version 1.0 has none of them.  Raises
 * invalid_parameter_value.
 */
bool
ReadPart(PartFilter *part, FunctionCallInfo fcinfo, int argument)
{
	static const char *const names[] = {"tenant", "provider", "action_ids"};

	memset(part, 0, sizeof(*part));
	if (PG_NARGS() <= argument + 2)
		return false;
	for (int i = 0; i < lengthof(names); i++)
		refuse_nothing_found(fcinfo, argument + i, names[i]);
	if (!PG_ARGISNULL(argument))
		part->tenant = PG_GETARG_TEXT_PP(argument);
	if (!PG_ARGISNULL(argument + 1))
		part->provider = PG_GETARG_TEXT_PP(argument + 1);
	if (!PG_ARGISNULL(argument + 2))
		TextListFromArray(&part->action_ids, "action_ids", PG_GETARG_ARRAYTYPE_P(argument + 2));
	if (part->action_ids.given && part->action_ids.count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("action_ids must not be empty"),
				 errhint("Leave it out to steer all of the batch.")));
	return part->tenant != NULL || part->provider != NULL || part->action_ids.given;
}

/*
 * A part in words, as in "… actions of tenant "acme"".
 */
static char *
part_text(const PartFilter *part)
{
	StringInfoData text;
	const char *and = "";

	initStringInfo(&text);
	if (part->tenant != NULL)
	{
		appendStringInfo(&text, "tenant \"%s\"", ShowText(part->tenant));
		and = " and ";
	}
	if (part->provider != NULL)
	{
		appendStringInfo(&text, "%sprovider \"%s\"", and, ShowText(part->provider));
		and = " and ";
	}
	if (part->action_ids.given)
		appendStringInfo(&text, "%sthe %d that are named", and, part->action_ids.count);
	return text.data;
}

/*
 * Refuse a tenant or provider of which the batch, whose row was found, has nothing: it is
 * likely to be mistyped.
 */
static void
check_part(ControlCall *call, const PartFilter *part)
{
	bool isnull;
	Jsonb *scope = DatumGetJsonbP(FoundColumn(&call->held.finder, Anum_batch_scope, &isnull));
	JsonbIterator *it = JsonbIteratorInit(&scope->root);
	text *parts[SCOPE_PARTS];

	while (NextScopeElement(&it, parts))
	{
		CHECK_FOR_INTERRUPTS();
		if ((part->tenant == NULL || SameText(part->tenant, parts[0])) &&
			(part->provider == NULL || SameText(part->provider, parts[2])))
			return;
	}
	/* It may come. */
	if (!call->held.row.is_complete)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND), errreason(CODE_NO_ACTIONS),
			 errmsg("batch " INT64_FORMAT " has no actions of %s", call->batch_id, part_text(part)),
			 errhint("acteon_replay_items(" INT64_FORMAT
					 ") shows the tenants and providers of its actions.",
					 call->batch_id)));
}

/* ----------------------------------------------------------------
 * What is done with segments
 * ----------------------------------------------------------------
 */

/*
 * Whether a segment waits to be handed out.
 */
static bool
waits(const Segment *segment)
{
	return segment->lease_token == NO_LEASE && segment->doubt_since == 0;
}

/*
 * Have a segment that waits wait for something else than a time, or a limit.  What was
 * given up without proof is looked up first, when its time comes.
 */
static void
park(Segment *run)
{
	if (!waits(run) || run->unproven)
		return;
	run->due_at = DT_NOEND;
	run->provider_limit = run->tenant_limit = NO_LIMIT;
	run->parked_at = 0;
}

static void
count_run(PartChange *change, const Segment *run)
{
	if (waits(run))
		change->waiting += SegmentLength(run);
	else
		change->others += SegmentLength(run);
}

static bool
is_not_stopped(void *argument, const Segment *segment)
{
	return segment->stopped == BATCH_RUNS;
}

static bool
is_paused(void *argument, const Segment *segment)
{
	return segment->stopped == BATCH_PAUSED;
}

static bool
is_not_cancelled(void *argument, const Segment *segment)
{
	return segment->stopped != BATCH_CANCELLED;
}

static bool
pause_run(void *argument, Segment *run)
{
	PartChange *change = argument;

	count_run(change, run);
	run->stopped = BATCH_PAUSED;
	park(run);
	return true;
}

/*
 * Actions become due in their turn, when the batch is paced anew, or when the canary releases
 * them.  What that has passed by goes out by steps as well, when nothing else is left: if it
 * went out beside them, the steps would not keep it back.
 */
static bool
resume_run(void *argument, Segment *run)
{
	PartChange *change = argument;
	const BatchRow *batch = &change->call->held.row;

	if (batch->canary.step > 0 && run->first_id <= batch->canary.last_id && !change->only_paused)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason(CODE_CANARY),
						errmsg("a part of batch " INT64_FORMAT
							   " cannot be resumed before its canary has passed",
							   batch->id),
						errdetail("The steps of the canary have gone on without it."),
						errhint("acteon_replay_batches shows how far the canary is.")));
	if (waits(run) && (change->first_id == 0 || run->first_id < change->first_id))
		change->first_id = run->first_id;
	count_run(change, run);
	run->stopped = BATCH_RUNS;
	return true;
}

/*
 * The same of what has just been enqueued, and marked by a part that came before.
 */
static bool
unmark_run(void *argument, Segment *run)
{
	run->stopped = BATCH_RUNS;
	return true;
}

static bool
cancel_run(void *argument, Segment *run)
{
	PartChange *change = argument;

	count_run(change, run);
	run->stopped = BATCH_CANCELLED;
	if (!waits(run))
		return true;
	if (run->unproven)
	{
		DoubtCancelled(run, change->now);
		return true;
	}
	AddCancelled(change->deliveries, run);
	return false;
}

/*
 * What is to keep another rate gets its time when the batch is paced anew, but for what
 * waits for a retry.
 */
static bool
pace_run(void *argument, Segment *run)
{
	PartChange *change = argument;

	count_run(change, run);
	run->pace = change->pace;
	if (run->stopped == BATCH_RUNS && run->parked_at == 0 &&
		!(run->was_claimed && run->due_at > change->now))
		park(run);
	return true;
}

/* ----------------------------------------------------------------
 * Steering
 * ----------------------------------------------------------------
 */

/*
 * Change what the batch has in the queue of a part, with claims kept out.
 */
static void
change_part(PartChange *change, const PartFilter *part, ConcernsSegment concerns, ChangeRun run)
{
	ControlCall *call = change->call;
	BatchQueue queue;

	(void) LockBatch(call->schema, call->batch_id, ExclusiveLock, true);
	/* Rows that earlier calls of this command have changed. */
	CommandCounterIncrement();
	queue = QueueOfBatch(call->schema, &call->held.row, call->now);
	change->now = call->now;
	ChangePart(&queue, part, concerns, run, change);
}

/*
 * Refuse actions that are named of which nothing was met, unless the batch has had some:
 * the names are likely to be mistyped, or of another batch.
 */
static void
check_named(const PartChange *change, const PartFilter *part)
{
	ControlCall *call = change->call;
	BatchQueue queue;

	if (!part->action_ids.given || change->waiting + change->others > 0)
		return;
	queue = QueueOfBatch(call->schema, &call->held.row, call->now);
	if (!HasNamed(&queue, part))
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND), errreason(CODE_NO_ACTIONS),
						errmsg("batch " INT64_FORMAT " has none of the actions that are named",
							   call->batch_id),
						errhint("acteon_replay_items(" INT64_FORMAT ") shows its actions.",
								call->batch_id)));
}

/*
 * Note a part in the row of the batch, with what holds for it: if it has no pace, the stop.
 * What holds for actions that are named and stopped is in their segments alone.
 */
static int
note_part(ControlCall *call, const PartFilter *filter, BatchStop stop, int pace, Numeric rate)
{
	BatchPart *part = palloc0(sizeof(BatchPart));

	part->tenant = filter->tenant;
	part->provider = filter->provider;
	part->action_ids = filter->action_ids.count;
	part->stop = stop;
	part->pace = pace;
	part->rate = rate;
	part->reason = call->reason == NULL ? NULL : pstrdup(call->reason);
	part->by = GetUserNameFromId(call->caller, false);
	part->at = call->now;
	if (pace == NO_PACE && filter->action_ids.given)
		return NO_PACE;
	/* That a part goes on matters only for what is enqueued later. */
	SetParts(&call->held, WriteParts(SetPart(ReadParts(call->held.row.parts), part,
											 pace != NO_PACE || stop != BATCH_RUNS ||
												 !call->held.row.is_complete)));
	return part->pace;
}

/*
 * Resume what is paused of a part, with claims kept out.
 */
static void
resume_part(PartChange *change, const PartFilter *part)
{
	ControlCall *call = change->call;
	BatchQueue queue;

	(void) LockBatch(call->schema, call->batch_id, ExclusiveLock, true);
	queue = QueueOfBatch(call->schema, &call->held.row, call->now);
	queue.moving = true;
	change->only_paused = call->held.row.is_complete && QueueIsEmpty(&queue);
	change_part(change, part, is_paused, resume_run);
}

/*
 * Have the steps of a canary that has passed by what was paused go on with what is resumed
 * of it.
 */
static void
rewind_canary(const PartChange *change)
{
	if (change->first_id > 0)
		RewindCanary(&change->call->held, change->first_id);
}

/*
 * Add to what is logged of a call which part it was about.
 */
void
AddPartDetails(LogDetails *details, const PartFilter *part)
{
	AddTextDetail(details, "tenant", part->tenant == NULL ? NULL : text_to_cstring(part->tenant));
	AddTextDetail(details, "provider",
				  part->provider == NULL ? NULL : text_to_cstring(part->provider));
	if (part->action_ids.given)
		AddNumberDetail(details, "action_ids", part->action_ids.count);
}

/*
 * Write down in the log what was done with a part, and tell the caller how many actions
 * it was about.
 */
static void
log_part(const PartChange *change, const PartFilter *part, const char *event, const char *done,
		 Numeric rate)
{
	ControlCall *call = change->call;
	LogDetails details;

	BeginDetails(&details);
	AddPartDetails(&details, part);
	if (change->sets_rate)
		AddNumericDetail(&details, "to", rate);
	AddNumberDetail(&details, "waiting", change->waiting);
	AddNumberDetail(&details, "others", change->others);
	LogControl(call->schema, call->caller, event, call->batch_id, call->reason,
			   EndDetails(&details));
	if (change->others == 0)
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT ": " INT64_FORMAT " waiting actions of %s %s",
								call->batch_id, change->waiting, part_text(part), done)));
	else
		ereport(NOTICE,
				(errmsg("batch " INT64_FORMAT ": " INT64_FORMAT
						" waiting actions of %s %s, " INT64_FORMAT " are in flight or in doubt",
						call->batch_id, change->waiting, part_text(part), done, change->others)));
}

/*
 * If the batch runs, give what waits of it, or was put aside, due times from now on, or
 * from its start.
 */
static void
pace_again(ControlCall *call)
{
	if (call->held.row.stop == BATCH_RUNS)
		PaceAnew(&call->held, call->schema, call->now, false, true);
}

/*
 * Pause a part: nothing of it is handed out before it is resumed.
 */
void
PausePart(ControlCall *call, const PartFilter *part)
{
	PartChange change = {.call = call, .stop = BATCH_PAUSED};

	check_part(call, part);
	change_part(&change, part, is_not_stopped, pause_run);
	check_named(&change, part);
	(void) note_part(call, part, BATCH_PAUSED, NO_PACE, NULL);
	log_part(&change, part, "pause", "are paused", NULL);
}

/*
 * Resume what is paused of a part.
 */
void
ResumePart(ControlCall *call, const PartFilter *part)
{
	PartChange change = {.call = call, .stop = BATCH_RUNS};

	check_part(call, part);
	resume_part(&change, part);
	check_named(&change, part);
	rewind_canary(&change);
	(void) note_part(call, part, BATCH_RUNS, NO_PACE, NULL);
	pace_again(call);
	log_part(&change, part, "resume", "are resumed", NULL);
}

/*
 * Resume all parts that are paused, before the batch is resumed.
 */
void
ResumeAllParts(ControlCall *call)
{
	PartChange change = {.call = call, .stop = BATCH_RUNS};
	PartFilter all = {0};
	List *parts = ReadParts(call->held.row.parts);
	ListCell *lc;

	resume_part(&change, &all);
	rewind_canary(&change);
	foreach (lc, parts)
	{
		BatchPart *part = lfirst(lc);

		if (part->pace == NO_PACE && part->stop != BATCH_CANCELLED)
			parts = foreach_delete_current(parts, lc);
	}
	SetParts(&call->held, WriteParts(parts));
}

/*
 * Cancel a part for good: what waits of it ends cancelled at once, and what comes back when
 * a claim meets it.
 */
void
CancelPart(ControlCall *call, const PartFilter *part)
{
	PartChange change = {.call = call, .stop = BATCH_CANCELLED};
	DeliveryWriter deliveries;

	check_part(call, part);
	OpenDeliveries(&deliveries, call->schema, call->now);
	change.deliveries = &deliveries;
	change_part(&change, part, is_not_cancelled, cancel_run);
	CloseDeliveries(&deliveries);
	CommandCounterIncrement();
	check_named(&change, part);
	(void) note_part(call, part, BATCH_CANCELLED, NO_PACE, NULL);
	log_part(&change, part, "cancel", "are cancelled", NULL);
}

/*
 * Whether another rate of a part lets nothing go out sooner than it does now.  A part with a
 * rate goes beside the rest of the batch.  So, where the rest, or a part that may have the
 * same actions, has a rate, only one that exactly this part has already can be lowered.
 */
bool
SlowsPartDown(const ControlCall *call, const PartFilter *filter, Numeric rate)
{
	const BatchRow *batch = &call->held.row;
	double value = RateValue(rate);
	bool has_rate = false;
	bool others = batch->rate != NULL;
	ListCell *lc;

	if (rate == NULL)
		return false;
	foreach (lc, ReadParts(batch->parts))
	{
		const BatchPart *part = lfirst(lc);

		if (part->pace == NO_PACE || part->rate == NULL ||
			!MayOverlap(part, filter->tenant, filter->provider))
			continue;
		if (RateValue(part->rate) < value)
			return false;
		if (!filter->action_ids.given && part->action_ids == 0 &&
			SameOptionalText(part->tenant, filter->tenant) &&
			SameOptionalText(part->provider, filter->provider))
			has_rate = true;
		else
			others = true;
	}
	return has_rate || !others;
}

/*
 * Give a part a rate of its own; with NULL, that of the batch again.
 */
void
SetPartRate(ControlCall *call, const PartFilter *part, Numeric rate)
{
	PartChange change = {.call = call, .sets_rate = true};
	int pace;

	check_part(call, part);
	pace = note_part(call, part, BATCH_RUNS, NO_PACE + 1, rate);
	change.pace = rate == NULL ? NO_PACE : pace;
	change_part(&change, part, is_not_cancelled, pace_run);
	check_named(&change, part);
	pace_again(call);
	log_part(&change, part, "set_rate", "have another rate", rate);
}

/* ----------------------------------------------------------------
 * What is enqueued later
 * ----------------------------------------------------------------
 */

/*
 * Have what holds for parts of a held batch hold for the actions as well that the caller
 * has enqueued, in this transaction, since its row was as given.
 */
void
ApplyParts(HeldBatch *held, Oid schema, const BatchRow *before, TimestampTz now)
{
	OptionalTime until = {.given = held->row.rate != NULL};
	BatchQueue queue = QueueOfBatch(schema, &held->row, now);
	List *parts = ReadParts(held->row.parts);
	Pacers pacers = {0};
	DeliveryWriter deliveries;
	ListCell *lc;

	if (parts == NIL || queue.first_id == 0)
		return;
	queue.first_id = Max(queue.first_id, before->last_outbox_id + 1);
	OpenDeliveries(&deliveries, schema, now);
	foreach (lc, parts)
	{
		const BatchPart *part = lfirst(lc);
		PartFilter filter = {.tenant = part->tenant, .provider = part->provider};
		PartChange change = {.now = now,
							 .pace = part->rate == NULL ? NO_PACE : part->pace,
							 .deliveries = &deliveries};

		if (part->action_ids > 0)
			continue;
		if (part->pace != NO_PACE)
			ChangePart(&queue, &filter, is_not_cancelled, pace_run, &change);
		else if (part->stop == BATCH_PAUSED)
			ChangePart(&queue, &filter, is_not_stopped, pause_run, &change);
		else if (part->stop == BATCH_CANCELLED)
			ChangePart(&queue, &filter, is_not_cancelled, cancel_run, &change);
		else
			ChangePart(&queue, &filter, is_paused, unmark_run, &change);
	}
	CloseDeliveries(&deliveries);
	CommandCounterIncrement();
	/* Where the rates had got to, without what is stopped or has another one. */
	queue.last_id = Min(queue.last_id, ReleasedId(&held->row));
	BeginPaceBehind(&pacers.batch, before, before->replayed, now);
	BeginPaceOfParts(&pacers, &held->row, now);
	PaceQueue(&queue, &pacers, true);
	NotePaces(held, &pacers);
	if (until.given && queue.first_id <= queue.last_id)
	{
		until.time = NextDueTime(&pacers.batch, 0);
		SetPacedUntil(held, &until);
	}
}
