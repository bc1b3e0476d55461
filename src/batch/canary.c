/*
 * canary.c
 *		The careful beginning of a batch.
 *
 * A batch with a canary goes out in steps: 1, 2, 5, 20, 100, 1000 and 10000 actions, each
 * number with those before it, and then all others.  A step opens when the one before
 * has been judged (canary_judge.c), so what makes all actions fail, such as a bad
 * deployment, harms a few of them.
 *
 * What is held back.  The steps are runs of outbox ids.  The batch's row has the last id
 * that is released (CanaryState.last_id); everything of the batch that comes behind it is
 * held back.  Claims respect that number, whatever the due times are (claim.c).
 * So that they do not meet what is held back again and again, its segments are due at
 * infinity, as those of a paused batch that were parked.
 *
 * Who releases.  There is no process for it: those who are at work anyway look at the
 * open canaries, of which a small index lists the batches.  Whoever records answers does
 * so afterwards, and who claims, before; acteon_replay_all does between its chunks;
 * acteon_replay_resume opens the next step.  All of them hold the batch's row while they
 * release or judge, as do the chunks that add to it, so a step opens once, and what is
 * added either is released with its step or stays held back.  Consumers do not wait for
 * the row: who holds it, or the next one, will do the same.
 *
 * Releasing gives the segments of the step due times, from now on at the batch's rate,
 * and cuts the one in which the step ends.  It is committed together with the judgement.
 * What is enqueued later is held back first, too, and then released as far as the open
 * step has room.  So the cutting is in one place, and who enqueues need not know
 * where the steps end.
 *
 * When the last step has been released, or nothing is left behind the open one, the canary
 * is over: the batch is like any other.
 *
 * A step that has not been judged good is held: the batch is paused, with the reason.
 * Where each step is to wait for a person, good ones are held as well.  A person who
 * resumes the batch then opens the next step.  A batch that was paused for another reason
 * just continues with its step.
 *
 * After a failover, what is held back may have been sent, like anything else of the
 * queue (failover.c): it is looked up, and what is found to be free to go is held back
 * by the number in the row.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/damaged.h"
#include "base/subtransaction.h"
#include "batch/batch_pace.h"
#include "batch/canary.h"
#include "batch/canary_judge.h"
#include "batch/control_log.h"
#include "query/states.h"
#include "query/stored_query.h"
#include "queue/batch_scan.h"
#include "queue/delivery.h"
#include "queue/expire.h"
#include "queue/schedule.h"
#include "queue/wake.h"

/* Segments that one call releases at most; the next one continues. */
#define MAX_RELEASED 10000

/* About how many expired actions it ends at once before it releases others. */
#define MAX_EXPIRED 10000

/* Batches whose canaries one call looks at. */
#define MAX_LOOKED_AT 16

/* How soon a session looks again: for missing records, for doubts, and after an error. */
#define SOON (20 * INT64CONST(1000))
#define LATER (1 * USECS_PER_SEC)
#define AFTER_ERROR (10 * USECS_PER_SEC)

static const int64 step_sizes[] = {CANARY_STEPS};

/* A batch whose canary this session does not look at before a time. */
typedef struct Postponed
{
	int64 batch_id;
	TimestampTz until;
} Postponed;

static Postponed postponed[MAX_LOOKED_AT];

/* A release under way. */
typedef struct Release
{
	SegmentTable segments;
	Pacers pacers;
	int64 last_id; /* that is released */
	int64 actions; /* that were */
	int64 room;    /* for so many more */
} Release;

/*
 * How a batch of a number of actions begins, by what was asked for; NULL: at once.
 */
const char *
CanaryMode(const char *asked, int64 actions)
{
	if (asked == NULL)
		return actions > CANARY_ABOVE ? CANARY_AUTO : NULL;
	return strcmp(asked, CANARY_OFF) == 0 ? NULL : asked;
}

/*
 * Let a batch begin in a mode, with nothing released; NULL: without a canary.
 */
void
BeginCanary(CanaryState *canary, const char *mode)
{
	memset(canary, 0, sizeof(*canary));
	canary->mode = mode;
	if (mode != NULL)
		canary->step = canary->first_id = 1;
}

/*
 * How many actions have been released when a step is full.
 */
static int64
step_size(int step)
{
	return step <= lengthof(step_sizes) ? step_sizes[step - 1] : PG_INT64_MAX;
}

/*
 * The number of actions of a batch, as far as it is known.
 */
static int64
batch_size(const BatchRow *batch)
{
	return batch->is_complete ? batch->replayed : Max(batch->matched, batch->replayed);
}

/*
 * The number of the last step of a batch, as far as its size is known.
 */
static int
last_step(const BatchRow *batch)
{
	int step = 1;

	while (step_size(step) < batch_size(batch))
		step++;
	return step;
}

/*
 * How far the canary of a batch is, in words, given whether actions of its open step are
 * out.  The batch must have a canary; of the row, that and the numbers of its actions are
 * needed, and whether it is stopped.
 */
char *
CanaryText(const BatchRow *batch, bool is_out)
{
	const CanaryState *canary = &batch->canary;
	const char *waits = is_out ? "waiting for answers" : "waiting for records";
	char *text;

	if (canary->is_held)
		waits = "held";
	else if (batch->stop != BATCH_RUNS)
		waits = BATCH_STATE_PAUSED;
	if (canary->step == 0)
		text = pstrdup(batch->stop == BATCH_CANCELLED ? "ended" : "passed");
	else
		text = psprintf("step %d of %d: " INT64_FORMAT " of " INT64_FORMAT " actions, %s",
						canary->step, last_step(batch), canary->actions, batch_size(batch), waits);
	if (canary->unrecorded > 0)
		text = psprintf("%s, " INT64_FORMAT " judged by their answers, without records", text,
						canary->unrecorded);
	return text;
}

/*
 * End the canary of a held batch: there is no step any more.
 */
void
EndCanary(HeldBatch *held)
{
	CanaryState canary = held->row.canary;

	if (canary.step == 0)
		return;
	canary.step = 0;
	canary.is_held = false;
	SetCanary(held, &canary);
}

/* ----------------------------------------------------------------
 * Releasing
 * ----------------------------------------------------------------
 */

/*
 * Whether a segment that is held back has only to be made due.
 */
static bool
is_parked(const Segment *segment)
{
	return segment->due_at == DT_NOEND && segment->lease_token == NO_LEASE &&
		   segment->doubt_since == 0;
}

/*
 * Release a segment, or as much of it as there is room for.  Returns false if another
 * session is changing it.
 */
static bool
release_segment(Release *release, const Segment *segment)
{
	bool apart = segment->stopped != BATCH_RUNS;
	int64 last_id = apart ? segment->last_id
						  : segment->first_id + Min(SegmentLength(segment), release->room) - 1;
	bool parked = !apart && is_parked(segment);
	Segment pieces[SEGMENT_ACTIONS + 1];
	int count = 0;

	if (parked || last_id < segment->last_id)
	{
		int rows = parked ? PieceRows(&release->pacers, segment) : SEGMENT_ACTIONS;

		for (int64 id = segment->first_id; id <= last_id; id += rows)
		{
			Segment *piece = &pieces[count++];

			*piece = *segment;
			piece->first_id = id;
			piece->last_id = Min(id + rows - 1, last_id);
			if (parked)
				piece->due_at = NextDueTimeOf(&release->pacers, segment, SegmentLength(piece));
		}
		if (last_id < segment->last_id)
		{
			pieces[count] = *segment;
			pieces[count++].first_id = last_id + 1;
		}
		if (!HoldSegment(&release->segments, segment, false) ||
			!ReplaceSegment(&release->segments, segment, pieces, count))
			return false;
	}
	/* What is stopped on its own is passed by: the step has room for others. */
	if (!apart)
	{
		release->room -= last_id - segment->first_id + 1;
		release->actions += last_id - segment->first_id + 1;
	}
	release->last_id = last_id;
	return true;
}

/*
 * Release segments of a batch in the order of their ids, as far as there is room.
 * Returns whether none is left.
 */
static bool
release_segments(Release *release, const BatchRow *batch)
{
	BatchScan scan;
	Segment segment;
	bool more = true;
	int released = 0;

	BeginBatchScan(&scan, &release->segments, batch->id, batch->canary.last_id + 1,
				   batch->last_outbox_id);
	while (release->room > 0 && released < MAX_RELEASED && (more = NextOfBatch(&scan, &segment)))
	{
		if (!release_segment(release, &segment))
			break;
		released++;
	}
	EndBatchScan(&scan);
	return !more;
}

/*
 * End what would be released next, as far as it has expired.
 */
static void
expire_next(Release *release, Oid schema, const BatchRow *batch, TimestampTz now)
{
	DeliveryWriter deliveries;
	TableFinder outbox;
	BatchScan scan;
	Segment segment;
	int ended = 0;

	OpenDeliveries(&deliveries, schema, now);
	OpenPartedFinder(&outbox, schema, OUTBOX_TABLE, Anum_outbox_id);
	BeginBatchScan(&scan, &release->segments, batch->id, batch->canary.last_id + 1,
				   batch->last_outbox_id);
	while (ended < MAX_EXPIRED && NextOfBatch(&scan, &segment))
	{
		Expired expired;

		/* What is paused on its own is kept, as what a paused batch has. */
		if (segment.stopped != BATCH_RUNS)
			continue;
		if (!is_parked(&segment) || !MayHaveExpired(&segment, now))
			break;
		expired = ExpireSegment(&release->segments, &deliveries, &outbox, &segment, now);
		ended += expired.ended;
		if (expired.ended == 0 || expired.left > 0)
			break;
	}
	EndBatchScan(&scan);
	CloseFinder(&outbox);
	CloseDeliveries(&deliveries);
	/* What was ended is not to be released. */
	CommandCounterIncrement();
}

/*
 * Whether the open step of a batch has room for actions that have been enqueued.
 */
static bool
has_work(const BatchRow *batch)
{
	return batch->canary.last_id < batch->last_outbox_id &&
		   batch->canary.actions < step_size(batch->canary.step);
}

/*
 * Whether all that a batch has enqueued is released, and the open step is its last one.
 */
static bool
is_over(const BatchRow *batch)
{
	return batch->canary.last_id >= batch->last_outbox_id &&
		   (batch->is_complete || batch->canary.step > lengthof(step_sizes));
}

/*
 * Whether the canary of a batch has passed by something that is paused on its own, and that
 * is to go out by steps, too, when it is resumed.
 */
static bool
has_passed_paused(const BatchRow *batch, Oid schema, TimestampTz now)
{
	BatchQueue queue = {.schema = schema,
						.batch_id = batch->id,
						.first_id = batch->first_outbox_id,
						.last_id = batch->canary.last_id,
						.now = now};

	return batch->canary.step <= lengthof(step_sizes) && AnyPausedApart(&queue);
}

/*
 * Release what the open step of a held batch has room for, and end the canary with the
 * last step.  Returns false, having done nothing, if claims have locked the batch at this
 * moment.
 */
static bool
release_step(HeldBatch *held, Oid schema, TimestampTz now)
{
	const BatchRow *batch = &held->row;
	CanaryState canary = batch->canary;
	Release release = {.last_id = canary.last_id, .room = step_size(canary.step) - canary.actions};

	if (has_work(batch))
	{
		/*
		 * What a claim puts aside must not be overlooked; see batch_stop.c.  No claim has
		 * met a batch that is just beginning, in a transaction that may take long.
		 */
		if (canary.last_id > 0 && !LockBatch(schema, batch->id, ExclusiveLock, false))
			return false;
		BeginPaceBehind(&release.pacers.batch, batch, canary.actions, now);
		BeginPaceOfParts(&release.pacers, batch, now);
		OpenSegments(&release.segments, schema);
		expire_next(&release, schema, batch, now);
		canary.last_id =
			release_segments(&release, batch) ? batch->last_outbox_id : release.last_id;
		canary.actions += release.actions;
		CloseSegments(&release.segments);
		SetCanary(held, &canary);
		NotePaces(held, &release.pacers);
		if (release.pacers.batch.rate > 0)
		{
			OptionalTime until = {.given = true, .time = NextDueTime(&release.pacers.batch, 0)};

			SetPacedUntil(held, &until);
		}
		if (release.actions > 0)
			NotifyConsumers(schema);
	}
	if (is_over(batch) && !has_passed_paused(batch, schema, now))
		EndCanary(held);
	return true;
}

/* ----------------------------------------------------------------
 * Judging
 * ----------------------------------------------------------------
 */

/*
 * Open the next step of a held batch.  Nothing of it is released yet.
 */
void
OpenNextStep(HeldBatch *held)
{
	CanaryState canary = held->row.canary;

	canary.step++;
	canary.first_id = canary.last_id + 1;
	canary.is_held = false;
	SetCanary(held, &canary);
}

/*
 * How many actions had been released when a step was opened.
 */
static int64
size_before(int step)
{
	return step == 1 ? 0 : step_size(step - 1);
}

/*
 * Repeat the open step of a held batch with the next actions, as its own were not sent.
 * Nothing of it is released yet.
 */
static void
repeat_step(HeldBatch *held)
{
	CanaryState canary = held->row.canary;

	canary.actions = size_before(canary.step);
	canary.first_id = canary.last_id + 1;
	SetCanary(held, &canary);
}

/*
 * Have the canary of a held batch, if it is open, go on from an action that was paused on its
 * own, and that it may have passed by: the open step is repeated from there on.  What follows
 * and is waiting is held back again.
 */
void
RewindCanary(HeldBatch *held, int64 first_id)
{
	CanaryState canary = held->row.canary;

	if (canary.step == 0 || canary.last_id < first_id)
		return;
	canary.last_id = first_id - 1;
	canary.first_id = Min(canary.first_id, first_id);
	/* One that is held has been judged. */
	if (!canary.is_held)
		canary.actions = size_before(canary.step);
	SetCanary(held, &canary);
}

/*
 * Hold a held batch after its open step, for the reason that the judgement gives, and
 * log it for a role.
 */
static void
hold_step(HeldBatch *held, Oid schema, Oid role, const StepJudgement *judgement)
{
	CanaryState canary = held->row.canary;
	int64 actions = canary.actions;
	LogDetails details;
	char *reason;

	if (judgement->verdict == STEP_BAD)
		reason = psprintf("canary: step %d of %d, up to action " INT64_FORMAT ": %s", canary.step,
						  last_step(&held->row), actions, judgement->reason);
	else
		reason = psprintf("canary: step %d of %d, up to action " INT64_FORMAT
						  ", is done: " INT64_FORMAT " of " INT64_FORMAT " took effect",
						  canary.step, last_step(&held->row), actions, judgement->good,
						  judgement->actions);
	canary.is_held = true;
	SetCanary(held, &canary);
	StopBatch(held, STOPPED_PAUSED, GetCurrentTimestamp(), InvalidOid, reason);
	BeginDetails(&details);
	AddNumberDetail(&details, "step", canary.step);
	AddNumberDetail(&details, "actions", judgement->actions);
	AddNumberDetail(&details, "good", judgement->good);
	AddNumberDetail(&details, "bad", judgement->bad);
	AddNumberDetail(&details, "unrecorded", judgement->unrecorded);
	LogControl(schema, role, "canary", held->row.id, reason, EndDetails(&details));
}

/*
 * Whether the canary of a batch has nothing left to hold back: all that was behind the
 * open step has ended, for example because its parts were cancelled.
 */
static bool
holds_nothing_back(const BatchRow *batch, Oid schema, TimestampTz now)
{
	BatchQueue behind = {.schema = schema,
						 .batch_id = batch->id,
						 .first_id = batch->canary.last_id + 1,
						 .last_id = batch->last_outbox_id,
						 .now = now};

	return batch->is_complete && QueueIsEmpty(&behind);
}

/*
 * Let a batch that turns out to be small go without a canary, unless one was asked
 * for.
 */
static void
drop_needless(HeldBatch *held)
{
	const BatchRow *batch = &held->row;
	CanaryState canary = batch->canary;
	JsonbValue asked;

	if (canary.step > 1 || canary.actions > 0 || !batch->is_complete ||
		batch->replayed > CANARY_ABOVE || StoredOption(batch->query, OPTION_CANARY, &asked))
		return;
	canary.mode = NULL;
	/* What has been enqueued is still to be released. */
	canary.step = lengthof(step_sizes) + 1;
	SetCanary(held, &canary);
}

/*
 * Release what the open step of a held batch has room for; when it is full, judge it,
 * and go on or hold the batch, for the role whose call this is.  Leaves a batch alone that
 * claims have locked.  Returns how soon the batch should be looked at again, in
 * microseconds: SOON for records that may come, LATER for doubts, and 0 if something else
 * will happen before.  What is released is due from now on.  The current user must be the
 * owner of our tables.
 */
int64
AdvanceCanary(HeldBatch *held, Oid schema, Oid role, TimestampTz now)
{
	const BatchRow *batch = &held->row;

	if (batch->canary.step > 0)
		drop_needless(held);
	while (batch->canary.step > 0 && batch->stop == BATCH_RUNS)
	{
		StepJudgement judgement;

		if (!release_step(held, schema, now))
			return SOON;
		if (batch->canary.step == 0 || batch->canary.actions < step_size(batch->canary.step))
			return 0;
		if (holds_nothing_back(batch, schema, now) && !has_passed_paused(batch, schema, now))
		{
			EndCanary(held);
			return 0;
		}
		JudgeStep(&judgement, schema, batch, GetCurrentTimestamp());
		if (judgement.verdict == STEP_UNFINISHED)
			return 0;
		if (judgement.verdict == STEP_IN_DOUBT)
			return LATER;
		if (judgement.verdict == STEP_UNRECORDED)
			return SOON;
		if (judgement.verdict == STEP_UNSENT)
		{
			repeat_step(held);
			continue;
		}
		if (judgement.unrecorded > 0)
		{
			CanaryState canary = batch->canary;

			canary.unrecorded += judgement.unrecorded;
			SetCanary(held, &canary);
		}
		if (judgement.verdict == STEP_BAD || strcmp(batch->canary.mode, CANARY_HOLD) == 0)
			hold_step(held, schema, role, &judgement);
		else
			OpenNextStep(held);
	}
	return 0;
}

/* ----------------------------------------------------------------
 * Looking at all of them
 * ----------------------------------------------------------------
 */

/*
 * List batches that have an open canary and are not stopped, into an array of
 * MAX_LOOKED_AT: what of their rows says whether there is anything to do.  Returns how
 * many.  Where there are more, each call goes on behind those of the last one, so that
 * canaries that wait for long stop no others: *passed is kept between calls.
 */
static int
list_canaries(Oid schema, BatchRow *open, int *passed)
{
	static const AttrNumber step[] = {Anum_batch_canary_step};
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableReader batches;
	ScanKeyData key;
	int count = 0;
	int met = 0;

	OpenReader(&batches, OwnTable(schema, BATCH_TABLE), RowsWith(step[0]), 1, step);
	ScanKeyInit(&key, 1, BTGreaterEqualStrategyNumber, F_INT4GE, Int32GetDatum(1));
	BeginReading(&batches, snapshot, &key, 1);
	while (count < MAX_LOOKED_AT &&
		   index_getnext_slot(batches.scan, ForwardScanDirection, batches.slot))
	{
		BatchRow *batch = &open[count];

		if (StopInRow(batches.slot) != BATCH_RUNS)
			continue;
		if (met++ < *passed)
			continue;
		ReadCanaryRow(&batches, batch);
		if (batch->first_outbox_id != 0)
			count++;
	}
	*passed = count == MAX_LOOKED_AT ? met : 0;
	CloseReader(&batches);
	UnregisterSnapshot(snapshot);
	return count;
}

/*
 * Whether the actions of the open step of a batch have ended, or, with doubts, are in
 * doubt, as far as is seen without a lock.
 */
static bool
seems_ended(Oid schema, const BatchRow *batch, bool doubts)
{
	BatchQueue queue = {.schema = schema,
						.batch_id = batch->id,
						.first_id = batch->canary.first_id,
						.last_id = batch->canary.last_id,
						.now = GetCurrentTimestamp(),
						.moving = true};

	return batch->canary.actions >= step_size(batch->canary.step) &&
		   (doubts ? !QueueIsActive(&queue) : QueueIsEmpty(&queue));
}

/*
 * Postpone looking at the canary of a batch.  The one that would be looked at first makes
 * room for it.
 */
static void
postpone(int64 batch_id, TimestampTz until)
{
	Postponed *place = &postponed[0];

	for (int i = 0; i < MAX_LOOKED_AT; i++)
	{
		if (postponed[i].batch_id == batch_id)
		{
			place = &postponed[i];
			break;
		}
		if (postponed[i].until < place->until)
			place = &postponed[i];
	}
	*place = (Postponed){batch_id, until};
}

/*
 * Whether looking at the canary of a batch is postponed at a time.
 */
static bool
is_postponed(int64 batch_id, TimestampTz now)
{
	for (int i = 0; i < MAX_LOOKED_AT; i++)
	{
		if (postponed[i].batch_id == batch_id)
			return now < postponed[i].until;
	}
	return false;
}

/* A canary that is to be advanced. */
typedef struct Advance
{
	Oid schema;
	Oid role;
	TimestampTz now;
	int64 batch_id;
	int64 again; /* see AdvanceCanary */
} Advance;

static bool
advance(void *argument)
{
	Advance *this = argument;
	HeldBatch held;

	if (HoldBatch(&held, this->schema, this->batch_id, false))
	{
		this->again = AdvanceCanary(&held, this->schema, this->role, this->now);
		ReleaseBatch(&held);
	}
	return true;
}

/*
 * Advance one canary, in a subtransaction: what is damaged in one batch stops no
 * consumer.
 */
static void
advance_guarded(Advance *this)
{
	TimestampTz start = GetCurrentTimestamp();
	ErrorData *error = TryInSubtransaction(advance, this, CurrentMemoryContext);

	if (error == NULL && this->again == 0)
		return;
	if (error == NULL)
	{
		/* Looking at many takes a while, and leaves time for other things then. */
		TimestampTz now = GetCurrentTimestamp();

		postpone(this->batch_id, now + this->again + 2 * Max(now - start, 0));
		return;
	}
	if (!IsAboutValue(error))
		ReThrowError(error);
	postpone(this->batch_id, start + AFTER_ERROR);
	ereport(LOG, (errmsg("the canary of batch " INT64_FORMAT " could not be judged: %s",
						 this->batch_id, error->message)));
	FreeErrorData(error);
}

/*
 * Look at the open canaries, and release, from now on, or judge what is to be released or
 * judged, for the role whose call this is.  Returns whether one of them waits for records, and so
 * should be looked at again soon.  The current user must be the owner of our tables.
 */
bool
AdvanceCanaries(Oid schema, Oid role, TimestampTz now)
{
	BatchRow open[MAX_LOOKED_AT];
	static int passed = 0;
	int count = list_canaries(schema, open, &passed);
	bool waits = false;

	/* What the call itself has ended is still there for the command that has ended it. */
	if (count > 0)
		CommandCounterIncrement();
	for (int i = 0; i < count; i++)
	{
		const BatchRow *batch = &open[i];
		Advance this = {.schema = schema, .role = role, .now = now, .batch_id = batch->id};

		CHECK_FOR_INTERRUPTS();
		if (!has_work(batch) && !(is_over(batch) && !has_passed_paused(batch, schema, now)) &&
			!seems_ended(schema, batch, true))
			continue;
		if (is_postponed(batch->id, GetCurrentTimestamp()))
		{
			waits = true;
			continue;
		}
		advance_guarded(&this);
		waits |= this.again == SOON;
	}
	if (count > 0)
		CommandCounterIncrement();
	return waits;
}

/*
 * Whether an open canary is to be looked at again soon, as its step has ended and has
 * not been judged.
 */
bool
CanaryWaits(Oid schema)
{
	static int passed = 0;
	BatchRow open[MAX_LOOKED_AT];
	int count = list_canaries(schema, open, &passed);

	for (int i = 0; i < count; i++)
	{
		if (has_work(&open[i]) || seems_ended(schema, &open[i], false))
			return true;
	}
	return false;
}
