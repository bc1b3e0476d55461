/*
 * action_state.c
 *		The state of a replayed action.
 *
 * A finished action has a delivery row, which says how it ended.  An unfinished
 * one is covered by a segment: it is running while a consumer holds a lease on
 * that, in doubt if it may have been sent and the result is unknown (doubt.c),
 * and otherwise waiting, or cancelled if its batch is.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/text.h"
#include "queue/action_state.h"
#include "queue/batch_flags.h"
#include "queue/effect.h"

const char *const ActionStateNames[NUM_ACTION_STATES] = {
	[ACTION_WAITING] = STATE_WAITING,   [ACTION_RUNNING] = STATE_RUNNING,
	[ACTION_IN_DOUBT] = STATE_IN_DOUBT, [ACTION_DELIVERED] = STATE_DELIVERED,
	[ACTION_DEAD] = STATE_DEAD,         [ACTION_CANCELLED] = STATE_CANCELLED,
	[ACTION_EXPIRED] = STATE_EXPIRED,
};

/*
 * Make a reader of states, which lives in the current memory context.  Its
 * tables are opened when it is first asked.
 */
void
InitStateReader(StateReader *reader, Oid schema)
{
	reader->context = CurrentMemoryContext;
	reader->schema = schema;
	reader->is_open = false;
	reader->is_steady = false;
	reader->last_id = 0;
}

/*
 * Open a reader's tables, if they are not open yet.
 */
static void
open_reader(StateReader *reader)
{
	MemoryContext old;

	if (reader->is_open)
		return;
	old = MemoryContextSwitchTo(reader->context);
	OpenPartedFinder(&reader->deliveries, reader->schema, DELIVERY_TABLE, Anum_delivery_outbox_id);
	OpenFinder(&reader->segments, OwnTable(reader->schema, SEGMENT_TABLE), Anum_segment_first_id);
	OpenFinder(&reader->batches, OwnTable(reader->schema, BATCH_TABLE), Anum_batch_id);
	reader->is_open = true;
	MemoryContextSwitchTo(old);
}

/*
 * Done with reading states.
 */
void
CloseStateReader(StateReader *reader)
{
	if (!reader->is_open)
		return;
	CloseFinder(&reader->deliveries);
	CloseFinder(&reader->segments);
	CloseFinder(&reader->batches);
	reader->is_open = false;
}

/*
 * The state with a name, as deliveries and the tally have it.
 */
ActionState
FinishedState(const char *name)
{
	for (ActionState state = ACTION_IN_DOUBT; state < NUM_ACTION_STATES; state++)
	{
		if (strcmp(name, ActionStateNames[state]) == 0)
			return state;
	}
	elog(ERROR, "unknown delivery state \"%s\"", name);
}

/*
 * State of a finished action, from its delivery row.  Also notes the other
 * columns of that row.
 */
static ActionState
delivery_state(StateReader *reader)
{
	bool isnull;
	Datum value = FoundColumn(&reader->deliveries, Anum_delivery_effect, &isnull);

	if (!isnull)
	{
		Effect effect = EffectByName(DatumGetTextPP(value));

		reader->had_no_effect = effect == EFFECT_NONE;
		reader->took_effect = effect == EFFECT_DONE || effect == EFFECT_LATER;
	}
	reader->finished_at =
		DatumGetTimestampTz(FoundColumn(&reader->deliveries, Anum_delivery_finished_at, &isnull));
	reader->resend = DatumGetInt32(FoundColumn(&reader->deliveries, Anum_delivery_resend, &isnull));
	return FinishedState(
		TextDatumGetCString(FoundColumn(&reader->deliveries, Anum_delivery_state, &isnull)));
}

/*
 * The state of the segment whose row was found; see SegmentState.
 */
ActionState
SegmentRowState(TableFinder *segments, TimestampTz now)
{
	Segment segment = {.lease_token = NO_LEASE};
	bool isnull;
	Datum value = FoundColumn(segments, Anum_segment_lease_token, &isnull);

	if (!isnull)
		segment.lease_token = DatumGetInt64(value);
	segment.due_at = DatumGetTimestampTz(FoundColumn(segments, Anum_segment_due_at, &isnull));
	value = FoundColumn(segments, Anum_segment_doubt_since, &isnull);
	if (!isnull)
		segment.doubt_since = DatumGetTimestampTz(value);
	segment.unproven = DatumGetBool(FoundColumn(segments, Anum_segment_unproven, &isnull));
	value = FoundColumn(segments, Anum_segment_stopped, &isnull);
	segment.stopped = StopOfValue(value, isnull);
	return SegmentState(&segment, now);
}

/*
 * State of the actions in the segment that was found last.
 */
static ActionState
segment_state(StateReader *reader, Snapshot snapshot)
{
	bool isnull;
	int64 batch_id;
	ActionState state = SegmentRowState(&reader->segments, GetCurrentTimestamp());

	reader->resend = DatumGetInt32(FoundColumn(&reader->segments, Anum_segment_resend, &isnull));
	if (state != ACTION_WAITING)
		return state;
	batch_id = DatumGetInt64(FoundColumn(&reader->segments, Anum_segment_batch_id, &isnull));
	/* Before the sweep as after it; see batch_stop.c. */
	if (StopOfBatch(&reader->batches, batch_id, snapshot) == BATCH_CANCELLED)
		return ACTION_CANCELLED;
	return ACTION_WAITING;
}

/*
 * State of an outbox row, as a snapshot shows it.
 */
ActionState
ReadActionState(StateReader *reader, int64 outbox_id, Snapshot snapshot)
{
	bool isnull;

	reader->had_no_effect = false;
	reader->took_effect = false;
	reader->resend = 0;
	/* What a segment covers has no delivery. */
	if (outbox_id >= reader->first_id && outbox_id <= reader->last_id)
		return reader->state;
	open_reader(reader);
	if (FindRow(&reader->deliveries, F_INT8EQ, Int64GetDatum(outbox_id), snapshot))
		return delivery_state(reader);
	if (!FindLastRow(&reader->segments, outbox_id - SEGMENT_ACTIONS, outbox_id, snapshot) ||
		DatumGetInt64(FoundColumn(&reader->segments, Anum_segment_last_id, &isnull)) < outbox_id)
		return ACTION_WAITING;
	reader->state = segment_state(reader, snapshot);
	if (reader->is_steady)
	{
		reader->first_id =
			DatumGetInt64(FoundColumn(&reader->segments, Anum_segment_first_id, &isnull));
		reader->last_id =
			DatumGetInt64(FoundColumn(&reader->segments, Anum_segment_last_id, &isnull));
	}
	return reader->state;
}
