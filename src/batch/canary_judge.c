/*
 * canary_judge.c
 *		Judging a step of a canary.
 *
 * The step's actions are those of the batch in a range of outbox ids.  Each is judged
 * by its record in the audit table: by the effect (effect.c) of the one that decides.
 * An action is good if it took effect, or will (done, later), and bad if it failed as a
 * circuit breaker counts it (failure.c), or is in doubt.  The others (decided, unknown)
 * are neither, and cancelled and expired ones, and those that are paused on their own, do
 * not count at all.  A step of which nothing but these is left is repeated with the next
 * actions.  A step is good
 *
 *	- if none of its actions is bad, in the first steps, which are to limit the harm; in
 *	  later ones, if no more than a tenth is, or breaker_share where that is less;
 *	- and at least half of its actions are good: where a rule suppresses what is
 *	  replayed, nothing fails, and nothing is achieved either.
 *
 * The gateway writes most records a moment after the answer.  So a record that is
 * missing is waited for, for RECORD_PATIENCE from the last answer on.  After that, and at
 * once where the audit table cannot be read or does not count as live, or where the batch
 * goes to another target than production, the action is judged by its answer.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "audit/sent_action.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/installation.h"
#include "base/message.h"
#include "base/partition.h"
#include "batch/canary_judge.h"
#include "query/stored_query.h"
#include "queue/action_state.h"
#include "queue/batch_scan.h"
#include "queue/failure.h"
#include "queue/outcome_type.h"
#include "queue/schedule.h"
#include "queue/segment.h"

/* How long a missing record is waited for. */
#define RECORD_PATIENCE (3 * USECS_PER_SEC)

/* Steps up to so many actions, with those before them, have no bad one. */
#define STRICT_ACTIONS 5

/* Of later steps, this share may be bad. */
#define BAD_SHARE 0.1

/* How many actions, and how many kinds of endings, the reason names at most. */
#define NAMED_ACTIONS 3
#define NAMED_ENDINGS 4

/* An action of the step, and how it ended. */
typedef struct StepAction
{
	LookupKey key;
	text *original_id;
	ActionState state;
	char outcome[NAMEDATALEN]; /* of its answer; empty: none */
	Effect effect;             /* of the same */
} StepAction;

/* How some actions ended that were not good. */
typedef struct Ending
{
	char name[NAMEDATALEN];
	int64 actions;
} Ending;

/* A step that is being judged. */
typedef struct Step
{
	Oid schema;
	const BatchRow *batch;
	bool elsewhere;       /* its records are not in our audit table */
	MemoryContext result; /* for what outlives the judgement */
	int64 in_doubt;
	int64 unsent; /* paused on their own, cancelled or expired */
	StepAction *actions;
	int count;
	int allocated;
	TimestampTz ended_at; /* the last of them */
	Ending endings[NAMED_ENDINGS];
	int ending_count;
	int64 other_endings;
	const text *named[NAMED_ACTIONS];
	int named_count;
} Step;

/* ----------------------------------------------------------------
 * Reading
 * ----------------------------------------------------------------
 */

/*
 * Count the actions of the step that are in doubt.  Returns false if others have not
 * ended.
 */
static bool
has_ended(Step *step)
{
	SegmentTable segments;
	BatchScan scan;
	Segment segment;
	TimestampTz now = GetCurrentTimestamp();
	bool ended = true;

	OpenSegmentsToRead(&segments, step->schema);
	BeginBatchScan(&scan, &segments, step->batch->id, step->batch->canary.first_id,
				   step->batch->canary.last_id);
	while (ended && NextOfBatch(&scan, &segment))
	{
		if (IsPausedApart(&segment, now))
		{
			step->unsent += SegmentLength(&segment);
			continue;
		}
		ended = SegmentState(&segment, now) == ACTION_IN_DOUBT;
		step->in_doubt += SegmentLength(&segment);
	}
	EndBatchScan(&scan);
	CloseSegments(&segments);
	return ended;
}

/*
 * Read how an action ended, from the delivery that was found.  Returns how often it
 * was given a new id.
 */
static int
read_delivery(Step *step, TableFinder *deliveries, StepAction *action)
{
	bool isnull;
	Datum value = FoundColumn(deliveries, Anum_delivery_state, &isnull);
	AnswerReading reading = {.effect = EFFECT_UNKNOWN};

	action->state = FinishedState(TextDatumGetCString(value));
	value = FoundColumn(deliveries, Anum_delivery_outcome, &isnull);
	if (!isnull)
		ReadAnswer(UnpackOutcome(value), &reading);
	strlcpy(action->outcome, reading.name, sizeof(action->outcome));
	value = FoundColumn(deliveries, Anum_delivery_effect, &isnull);
	action->effect = isnull ? reading.effect : EffectByName(DatumGetTextPP(value));
	value = FoundColumn(deliveries, Anum_delivery_finished_at, &isnull);
	step->ended_at = Max(step->ended_at, DatumGetTimestampTz(value));
	return DatumGetInt32(FoundColumn(deliveries, Anum_delivery_resend, &isnull));
}

/*
 * Add the action of the outbox row that was found, if it belongs to the step's batch
 * and has ended.
 */
static void
add_action(Step *step, TableFinder *outbox, TableFinder *deliveries, const pg_uuid_t *namespace,
		   Snapshot snapshot)
{
	bool isnull;
	StepAction *action;
	int resends;

	if (DatumGetInt64(FoundColumn(outbox, Anum_outbox_batch_id, &isnull)) != step->batch->id ||
		!FindRow(deliveries, F_INT8EQ, FoundColumn(outbox, Anum_outbox_id, &isnull), snapshot))
		return;
	if (step->count == step->allocated)
	{
		step->allocated = Max(2 * step->allocated, 16);
		step->actions = step->actions == NULL
							? palloc(step->allocated * sizeof(StepAction))
							: repalloc_huge(step->actions, step->allocated * sizeof(StepAction));
	}
	action = &step->actions[step->count];
	resends = read_delivery(step, deliveries, action);
	if (action->state == ACTION_CANCELLED || action->state == ACTION_EXPIRED)
	{
		/* What a person has cancelled in doubt may have been sent. */
		(void) FoundColumn(deliveries, Anum_delivery_known_by, &isnull);
		step->unsent += isnull;
		return;
	}
	ReadSentAction(outbox, namespace, resends, &action->key);
	action->original_id = OutboxText(outbox, Anum_outbox_original_action_id);
	step->count++;
}

/*
 * Read the actions of the step that have ended, part by part of the outbox.
 */
static void
read_actions(Step *step)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	int64 last_id = step->batch->canary.last_id;
	TableFinder outbox;
	TableFinder deliveries;
	pg_uuid_t namespace;

	(void) ReadNamespace(step->schema, &namespace);
	OpenPartedFinder(&outbox, step->schema, OUTBOX_TABLE, Anum_outbox_id);
	OpenPartedFinder(&deliveries, step->schema, DELIVERY_TABLE, Anum_delivery_outbox_id);
	for (int64 id = Max(step->batch->canary.first_id, step->batch->first_outbox_id); id <= last_id;)
	{
		int64 last_here = Min(last_id, FirstIdOfRange(RangeOfId(id) + 1) - 1);
		IndexScanDesc scan;
		ScanKeyData keys[2];

		TurnFinder(&outbox, id);
		ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(id));
		ScanKeyInit(&keys[1], 1, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(last_here));
		scan = ActeonIndexBeginScan(outbox.rel, outbox.index, snapshot, 2);
		index_rescan(scan, keys, 2, NULL, 0);
		while (index_getnext_slot(scan, ForwardScanDirection, outbox.slot))
		{
			CHECK_FOR_INTERRUPTS();
			add_action(step, &outbox, &deliveries, &namespace, snapshot);
		}
		ExecClearTuple(outbox.slot);
		index_endscan(scan);
		id = last_here + 1;
	}
	CloseFinder(&deliveries);
	CloseFinder(&outbox);
	UnregisterSnapshot(snapshot);
}

/* ----------------------------------------------------------------
 * Judging
 * ----------------------------------------------------------------
 */

/*
 * Note how an action ended that is not good, for the reason.  Of a step with bad
 * actions, those are named.
 */
static void
note_ending(Step *step, const StepAction *action, const char *name, bool first_of_kind)
{
	int i = 0;

	if (first_of_kind)
	{
		step->ending_count = step->named_count = 0;
		step->other_endings = 0;
	}
	if (step->named_count < NAMED_ACTIONS)
		step->named[step->named_count++] = action->original_id;
	while (i < step->ending_count && strcmp(step->endings[i].name, name) != 0)
		i++;
	if (i == NAMED_ENDINGS)
	{
		step->other_endings++;
		return;
	}
	if (i == step->ending_count)
	{
		step->ending_count++;
		step->endings[i].actions = 0;
		strlcpy(step->endings[i].name, name, NAMEDATALEN);
	}
	step->endings[i].actions++;
}

/*
 * Whether a record was found of an action: of the id that ended it, or one that says
 * that an earlier id was executed.
 */
static bool
is_recorded(const StepAction *action, const Finding *finding)
{
	return finding->has_outcome &&
		   (finding->id == action->key.id_count - 1 || finding->effect == EFFECT_DONE);
}

/*
 * Judge an action: by its record, if there is one, else by its answer.  Where the
 * record hides the effect, as after a reroute, the answer may tell it.
 */
static void
judge_action(Step *step, StepJudgement *judgement, const StepAction *action, const Finding *finding)
{
	AnswerReading reading;
	ActionState state = action->state;
	const char *name = action->outcome;
	Effect effect = action->effect;

	if (is_recorded(action, finding))
	{
		ReadAnswer(finding->answer, &reading);
		if (finding->effect != EFFECT_UNKNOWN ||
			IsFailure(ACTION_DELIVERED, reading.name, finding->effect))
			effect = finding->effect;
		if (reading.name[0] != '\0')
			name = reading.name;
		/* What is recorded as done is so, whatever the gateway has answered. */
		if (effect == EFFECT_DONE || effect == EFFECT_LATER)
			state = ACTION_DELIVERED;
	}
	else
		judgement->unrecorded++;
	if (state == ACTION_DEAD)
		name = ActionStateNames[ACTION_DEAD];
	judgement->actions++;
	if (IsFailure(state, name, effect))
	{
		note_ending(step, action, name, judgement->bad == 0);
		judgement->bad++;
	}
	else if (effect == EFFECT_DONE || effect == EFFECT_LATER)
		judgement->good++;
	else if (judgement->bad == 0)
		note_ending(step, action, name[0] != '\0' ? name : EffectNames[effect], false);
}

/*
 * Judge the actions that have ended.  Returns false if records are missing that may
 * still come.  The last actions are looked up first, as their records come last.
 */
static bool
judge_actions(Step *step, StepJudgement *judgement, TimestampTz now)
{
	Lookup *lookup = step->elsewhere ? NULL : OpenLookup(step->schema);
	LookupKey *keys = palloc(LOOKUP_KEYS * sizeof(LookupKey));
	Finding *findings = palloc(LOOKUP_KEYS * sizeof(Finding));
	AuditTells tells =
		lookup == NULL ? AUDIT_UNREADABLE : WhatAuditTells(lookup, step->ended_at, step->ended_at);
	bool waits = now < step->ended_at + RECORD_PATIENCE && tells != AUDIT_NOT_LIVE &&
				 tells != AUDIT_UNREADABLE;
	bool complete = true;

	for (int end = step->count; end > 0 && complete; end -= Min(end, LOOKUP_KEYS))
	{
		int count = Min(end, LOOKUP_KEYS);
		const StepAction *actions = &step->actions[end - count];

		for (int i = 0; i < count; i++)
			keys[i] = actions[i].key;
		if (lookup == NULL)
			memset(findings, 0, count * sizeof(Finding));
		else
			LookUpActions(lookup, keys, count, findings);
		for (int i = 0; i < count && complete; i++)
		{
			/* What never reached the gateway has no record. */
			complete =
				is_recorded(&actions[i], &findings[i]) || !waits || actions[i].state == ACTION_DEAD;
			judge_action(step, judgement, &actions[i], &findings[i]);
		}
	}
	if (lookup != NULL)
		CloseLookup(lookup);
	return complete;
}

/*
 * How many actions of a step may be bad.
 */
static int64
tolerated(const BatchRow *batch, int64 actions)
{
	double share = BAD_SHARE;

	if (batch->canary.actions <= STRICT_ACTIONS)
		return 0;
	if (batch->breaker_share != NULL)
		share =
			Min(share, DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
														  NumericGetDatum(batch->breaker_share))));
	return (int64) (share * actions);
}

/*
 * What is wrong with a step, in words.
 */
static char *
reason_text(const Step *step, const StepJudgement *judgement)
{
	MemoryContext old = MemoryContextSwitchTo(step->result);
	StringInfoData text;

	initStringInfo(&text);
	if (judgement->actions == 0)
		appendStringInfoString(&text, "no action is left that could be judged");
	else if (judgement->bad > 0)
		appendStringInfo(&text, INT64_FORMAT " of " INT64_FORMAT " failed", judgement->bad,
						 judgement->actions);
	else
		appendStringInfo(&text, "only " INT64_FORMAT " of " INT64_FORMAT " took effect",
						 judgement->good, judgement->actions);
	for (int i = 0; i < step->ending_count; i++)
		appendStringInfo(&text, "%s" INT64_FORMAT " %s", i == 0 ? " (" : ", ",
						 step->endings[i].actions, step->endings[i].name);
	if (step->other_endings > 0)
		appendStringInfo(&text, ", " INT64_FORMAT " others", step->other_endings);
	if (step->ending_count > 0)
		appendStringInfoChar(&text, ')');
	for (int i = 0; i < step->named_count; i++)
		appendStringInfo(&text, "%s%s", i == 0 ? ", for example " : ", ",
						 ClipForMessage(VARDATA_ANY(step->named[i]),
										VARSIZE_ANY_EXHDR(step->named[i])));
	MemoryContextSwitchTo(old);
	return text.data;
}

/*
 * Decide about a step from what was found of its actions.
 */
static void
decide(Step *step, StepJudgement *judgement)
{
	int64 most = tolerated(step->batch, judgement->actions + step->in_doubt);

	judgement->verdict = STEP_GOOD;
	if (judgement->bad > most)
		judgement->verdict = STEP_BAD;
	else if (judgement->bad + step->in_doubt > most)
		judgement->verdict = STEP_IN_DOUBT;
	else if (judgement->good == 0 || 2 * judgement->good < judgement->actions)
		judgement->verdict = STEP_BAD;
	if (judgement->verdict == STEP_BAD)
		judgement->reason = reason_text(step, judgement);
}

/*
 * Judge the open step of a batch, all of which has been released, at a time.  The
 * current user must be the owner of our tables.
 */
void
JudgeStep(StepJudgement *judgement, Oid schema, const BatchRow *batch, TimestampTz now)
{
	Step step = {.schema = schema, .batch = batch, .result = CurrentMemoryContext};
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay step", ALLOCSET_DEFAULT_SIZES);

	memset(judgement, 0, sizeof(*judgement));
	MemoryContextSwitchTo(context);
	step.elsewhere = StoredTarget(batch->query) != NULL;
	judgement->verdict = STEP_UNFINISHED;
	if (has_ended(&step))
	{
		read_actions(&step);
		if (step.count == 0 && step.unsent > 0 && step.in_doubt == 0)
			judgement->verdict = STEP_UNSENT;
		else if (judge_actions(&step, judgement, now))
			decide(&step, judgement);
		else
			judgement->verdict = STEP_UNRECORDED;
	}
	MemoryContextSwitchTo(step.result);
	MemoryContextDelete(context);
}
