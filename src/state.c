/*
 * state.c
 *		How far a replayed action has come.
 *
 * A finished action has a delivery row, which says how it ended.  An
 * unfinished one is covered by a segment: it is running while somebody holds a
 * lease on that, and waiting otherwise.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "segment.h"
#include "state.h"

const char *const ActionStateNames[] = {
	[ACTION_WAITING] = "waiting",     [ACTION_RUNNING] = "running",
	[ACTION_DELIVERED] = "delivered", [ACTION_DEAD] = "dead",
	[ACTION_CANCELLED] = "cancelled",
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
	OpenFinder(&reader->deliveries, OwnTable(reader->schema, DELIVERY_TABLE),
			   Anum_delivery_outbox_id);
	OpenFinder(&reader->segments, OwnTable(reader->schema, SEGMENT_TABLE), Anum_segment_first_id);
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
	reader->is_open = false;
}

/*
 * State of a finished action, by its delivery row.
 */
static ActionState
delivery_state(StateReader *reader)
{
	bool isnull;
	char *name =
		TextDatumGetCString(FoundColumn(&reader->deliveries, Anum_delivery_state, &isnull));

	for (ActionState state = ACTION_DELIVERED; state <= ACTION_CANCELLED; state++)
	{
		if (strcmp(name, ActionStateNames[state]) == 0)
			return state;
	}
	elog(ERROR, "unknown delivery state \"%s\"", name);
}

/*
 * Whether the segment that was found last covers a row and is leased now.
 */
static bool
is_leased(StateReader *reader, int64 outbox_id)
{
	bool isnull;
	TimestampTz until;

	if (DatumGetInt64(FoundColumn(&reader->segments, Anum_segment_last_id, &isnull)) < outbox_id)
		return false;
	(void) FoundColumn(&reader->segments, Anum_segment_lease_token, &isnull);
	if (isnull)
		return false;
	until = DatumGetTimestampTz(FoundColumn(&reader->segments, Anum_segment_due_at, &isnull));
	return until > GetCurrentTimestamp();
}

/*
 * State of an outbox row, as a snapshot shows it.
 */
ActionState
ReadActionState(StateReader *reader, int64 outbox_id, Snapshot snapshot)
{
	open_reader(reader);
	if (FindRow(&reader->deliveries, F_INT8EQ, Int64GetDatum(outbox_id), snapshot))
		return delivery_state(reader);
	if (FindLastRow(&reader->segments, outbox_id - SEGMENT_ACTIONS, outbox_id, snapshot) &&
		is_leased(reader, outbox_id))
		return ACTION_RUNNING;
	return ACTION_WAITING;
}
