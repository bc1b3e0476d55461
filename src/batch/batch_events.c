/*
 * batch_events.c
 *		What happens to batches: that they end, pause themselves, or need a person.
 *
 * Most events are states of a batch (batch_state.c).  They are not noted where they
 * occur: the end of a batch is seen by no single call, as its last actions may be
 * finished by two at once, and a call that was interrupted can note nothing.  So
 * whoever tells of events (replay/tell.c) asks which of them hold, and compares.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "batch/batch_events.h"
#include "batch/batch_state.h"
#include "queue/schedule.h"
#include "queue/segment.h"

/*
 * Segments in doubt that are looked at, those first that are looked up next.  With more
 * of them, others come first the next time.
 */
#define MAX_DOUBTS 10000

/*
 * Whether a batch is among those that have held actions.
 */
static bool
is_holding(const Holding *holding, int64 batch_id)
{
	for (int i = 0; i < holding->count; i++)
	{
		if (holding->batch_ids[i] == batch_id)
			return true;
	}
	return false;
}

static void
add_holding(Holding *holding, int64 batch_id)
{
	if (holding->count == holding->allocated)
	{
		holding->allocated = Max(holding->allocated * 2, 16);
		holding->batch_ids = holding->batch_ids == NULL
								 ? palloc(holding->allocated * sizeof(int64))
								 : repalloc(holding->batch_ids, holding->allocated * sizeof(int64));
	}
	holding->batch_ids[holding->count++] = batch_id;
}

/*
 * Find the batches of which actions are held in doubt, into the current memory context.
 */
void
ReadHolding(Holding *holding, Oid schema)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay held", ALLOCSET_SMALL_SIZES);
	MemoryContext old = CurrentMemoryContext;
	SegmentTable segments;
	SegmentScan scan;
	Segment segment;
	int count = 0;
	bool more = true;

	memset(holding, 0, sizeof(*holding));
	OpenSegments(&segments, schema);
	BeginDoubtScan(&scan, &segments);
	MemoryContextSwitchTo(context);
	while (count++ < MAX_DOUBTS && (more = NextSegment(&scan, &segment)))
	{
		CHECK_FOR_INTERRUPTS();
		if (segment.held != NULL && !is_holding(holding, segment.batch_id))
		{
			MemoryContextSwitchTo(old);
			add_holding(holding, segment.batch_id);
			MemoryContextSwitchTo(context);
		}
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	holding->is_partial = more;
	holding->read = count;
	EndSegmentScan(&scan);
	CloseSegments(&segments);
	MemoryContextDelete(context);
}

/*
 * What is in a batch's queue.
 */
static BatchQueueContents
queue_contents(Oid schema, const BatchRow *batch, Holding *holding, TimestampTz now)
{
	BatchQueue queue = {.schema = schema,
						.batch_id = batch->id,
						.first_id = batch->first_outbox_id,
						.last_id = batch->last_outbox_id,
						.now = now,
						.read = &holding->read};

	if (QueueIsActive(&queue))
		return QUEUE_MOVES;
	return QueueIsEmpty(&queue) ? QUEUE_EMPTY : QUEUE_DOUBTS;
}

/*
 * The events of a batch that hold at a time, which is now.  A cancelled batch has come to
 * its end when nothing of it is in the queue any more.
 */
uint32
BatchEvents(Oid schema, const BatchRow *batch, Holding *holding, TimestampTz now)
{
	static const struct
	{
		const char *state;
		BatchEvent event;
	} states[] = {{BATCH_STATE_FINISHED, EVENT_FINISHED},
				  {BATCH_STATE_AWAITING_APPROVAL, EVENT_APPROVAL},
				  {BATCH_STATE_INTERRUPTED, EVENT_INTERRUPTED}};
	BatchQueueContents queue = queue_contents(schema, batch, holding, now);
	const char *state = BatchState(schema, batch, queue, now);
	uint32 events = is_holding(holding, batch->id) ? EVENT_BIT(EVENT_HELD) : 0;

	/* What was told goes on as long as it is not known to have ended. */
	if (holding->is_partial && queue != QUEUE_EMPTY)
		events |= batch->told & EVENT_BIT(EVENT_HELD);
	for (int i = 0; i < lengthof(states); i++)
	{
		if (strcmp(state, states[i].state) == 0)
			events |= EVENT_BIT(states[i].event);
	}
	if (strcmp(state, BATCH_STATE_CANCELLED) == 0 && queue == QUEUE_EMPTY)
		events |= EVENT_BIT(EVENT_CANCELLED);
	if (batch->stop == BATCH_PAUSED && batch->stopped_itself)
		events |= EVENT_BIT(batch->canary.is_held ? EVENT_CANARY : EVENT_PAUSED);
	return events;
}
