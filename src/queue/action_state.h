/*
 * action_state.h
 *		How far a replayed action has come.
 */
#ifndef ACTEON_ACTION_STATE_H
#define ACTEON_ACTION_STATE_H

#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "utils/snapshot.h"

#include "base/table_access.h"
#include "query/states.h"
#include "queue/segment.h"

/* How far an action has come; see ReadActionState. */
typedef enum ActionState
{
	ACTION_WAITING,
	ACTION_RUNNING,
	ACTION_IN_DOUBT,
	ACTION_DELIVERED,
	ACTION_DEAD,
	ACTION_CANCELLED,
	ACTION_EXPIRED
} ActionState;

#define NUM_ACTION_STATES (ACTION_EXPIRED + 1)

/* Their names; see query/states.h. */
extern const char *const ActionStateNames[NUM_ACTION_STATES];

/*
 * The state of a segment, as far as the whole of its batch does not matter: running, in
 * doubt, cancelled with a part of the batch, before the sweep as after it (batch_stop.c),
 * or waiting.  It is in doubt once its lease has run out, whether a claim has
 * noticed that or not, and from the moment at which an id was given up without
 * proof until that is resolved.
 */
static inline ActionState
SegmentState(const Segment *segment, TimestampTz now)
{
	if (SegmentIsLeased(segment, now))
		return ACTION_RUNNING;
	if (segment->lease_token != NO_LEASE || segment->doubt_since != 0 || segment->unproven)
		return ACTION_IN_DOUBT;
	return segment->stopped == BATCH_CANCELLED ? ACTION_CANCELLED : ACTION_WAITING;
}

/*
 * SQL for the same, which is asked of every segment of a list; sql/proof.sql compares
 * the two.
 */
#define SEGMENT_STATE(segment, now) \
	"CASE WHEN " SEGMENT_IS_LEASED(segment, now) " THEN " SQL_RUNNING " WHEN " segment \
												 ".lease_token IS NOT NULL OR " segment \
												 ".doubt_since IS NOT NULL OR " segment \
												 ".unproven THEN " SQL_IN_DOUBT " WHEN " segment \
												 ".stopped = '" STOPPED_CANCELLED \
												 "' THEN " SQL_CANCELLED " ELSE " SQL_WAITING \
												 " END"

/* An open view of how far actions have come. */
typedef struct StateReader
{
	MemoryContext context;
	Oid schema;
	bool is_open; /* the tables are opened when first needed */
	TableFinder deliveries;
	TableFinder segments;
	TableFinder batches;
	bool is_steady; /* asked with one snapshot only: what was met last still holds */
	int64 first_id; /* the segment that was met last, if it is steady */
	int64 last_id;  /* 0: none */
	ActionState state;
	bool had_no_effect;      /* what was read last was delivered, and its effect is none */
	bool took_effect;        /* it was delivered, and its effect is done or later */
	TimestampTz finished_at; /* when it was, if it took effect */
	int resend;              /* of what was read last, if it is finished */
} StateReader;

extern ActionState FinishedState(const char *name);
extern ActionState SegmentRowState(TableFinder *segments, TimestampTz now);
extern void InitStateReader(StateReader *reader, Oid schema);
extern ActionState ReadActionState(StateReader *reader, int64 outbox_id, Snapshot snapshot);
extern void CloseStateReader(StateReader *reader);

#endif /* ACTEON_ACTION_STATE_H */
