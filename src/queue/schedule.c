/*
 * schedule.c
 *		What a batch has in the queue, and giving it new due times.
 *
 * Consumers may be at work at the same time.  What one of them claims or answers before
 * its segment is reached here stays as they make it: it is in flight, or its
 * retry keeps its own time.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "queue/action_state.h"
#include "queue/schedule.h"

/* A walk through a batch's part of the queue. */
typedef struct QueueWalk
{
	const BatchQueue *queue;
	SegmentTable segments;
	QueueCounts counts;
	Pacer *pacer;
	bool wait; /* for answers that are being given */
	TimestampTz unpark_at;
} QueueWalk;

/* What to do with a segment that is not leased. */
typedef void (*VisitSegment)(QueueWalk *walk, const Segment *segment);

/*
 * Count the batch's actions, and visit the segments that are not leased, in the
 * order of their ids.
 */
static void
walk_queue(QueueWalk *walk, VisitSegment visit)
{
	const BatchQueue *queue = walk->queue;
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay queue", ALLOCSET_SMALL_SIZES);
	SegmentScan scan;
	Segment segment;
	ActionState state;
	MemoryContext old;

	if (queue->first_id == 0)
		return;
	if (visit == NULL)
		OpenSegmentsToRead(&walk->segments, queue->schema);
	else
		OpenSegments(&walk->segments, queue->schema);
	BeginRangeScan(&scan, &walk->segments, queue->first_id, queue->last_id);
	old = MemoryContextSwitchTo(context);
	while (NextSegment(&scan, &segment))
	{
		CHECK_FOR_INTERRUPTS();
		if (segment.batch_id != queue->batch_id)
			continue;
		state = SegmentState(&segment, queue->now);
		if (state == ACTION_RUNNING)
			walk->counts.in_flight += SegmentLength(&segment);
		else if (state == ACTION_IN_DOUBT)
			walk->counts.in_doubt += SegmentLength(&segment);
		else
			walk->counts.waiting += SegmentLength(&segment);
		if (visit != NULL && state != ACTION_RUNNING)
			visit(walk, &segment);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	EndSegmentScan(&scan);
	CloseSegments(&walk->segments);
	MemoryContextDelete(context);
}

/*
 * Count the batch's actions in the queue.
 */
QueueCounts
CountQueue(const BatchQueue *queue)
{
	QueueWalk walk = {.queue = queue};

	walk_queue(&walk, NULL);
	return walk.counts;
}

/*
 * Whether anything of the batch is in the queue, or, with but_doubts, anything that is
 * not in doubt.
 */
static bool
has_any(const BatchQueue *queue, bool but_doubts)
{
	SegmentTable segments;
	SegmentScan scan;
	Segment segment;
	bool found = false;

	if (queue->first_id == 0)
		return false;
	OpenSegmentsToRead(&segments, queue->schema);
	BeginRangeScan(&scan, &segments, queue->first_id, queue->last_id);
	while (!found && NextSegment(&scan, &segment))
	{
		CHECK_FOR_INTERRUPTS();
		found = segment.batch_id == queue->batch_id &&
				!(but_doubts && SegmentState(&segment, queue->now) == ACTION_IN_DOUBT);
	}
	EndSegmentScan(&scan);
	CloseSegments(&segments);
	return found;
}

/*
 * Whether nothing of the batch is left in the queue.
 */
bool
QueueIsEmpty(const BatchQueue *queue)
{
	return !has_any(queue, false);
}

/*
 * Whether anything of the batch waits or is in flight: what is left otherwise is in
 * doubt.
 */
bool
QueueIsActive(const BatchQueue *queue)
{
	return has_any(queue, true);
}

/*
 * Make a parked segment due.
 */
static void
unpark(QueueWalk *walk, const Segment *segment)
{
	Segment due = *segment;

	if (segment->due_at != DT_NOEND)
		return;
	due.due_at = walk->unpark_at;
	if (HoldSegment(&walk->segments, segment, true))
		(void) ReplaceSegment(&walk->segments, segment, &due, 1);
}

/*
 * Make what was parked due at a time.
 */
void
UnparkQueue(const BatchQueue *queue, TimestampTz due)
{
	QueueWalk walk = {.queue = queue, .unpark_at = due};

	walk_queue(&walk, unpark);
}

/*
 * Make a segment due in its turn, cut into pieces of about a second's worth.
 * What waits for a retry is not due before that; what is in doubt, or was in flight
 * when its lease ran out, is not waiting for its turn.
 */
static void
pace(QueueWalk *walk, const Segment *segment)
{
	bool retries = segment->was_claimed && segment->due_at != DT_NOEND;
	int rows = SegmentRows(walk->pacer->rate);
	Segment pieces[SEGMENT_ACTIONS];
	int count = 0;

	if (segment->lease_token != NO_LEASE || segment->doubt_since != 0)
		return;
	for (int64 id = segment->first_id; id <= segment->last_id; id += rows)
	{
		Segment *piece = &pieces[count++];

		*piece = *segment;
		piece->first_id = id;
		piece->last_id = Min(id + rows - 1, segment->last_id);
		piece->due_at = NextDueTime(walk->pacer, SegmentLength(piece));
		if (retries)
			piece->due_at = Max(piece->due_at, segment->due_at);
	}
	if (HoldSegment(&walk->segments, segment, walk->wait))
		(void) ReplaceSegment(&walk->segments, segment, pieces, count);
}

/*
 * Make everything that waits due by a pacer.  Without wait, segments that a
 * consumer's answer is changing at this moment are left out.
 */
void
PaceQueue(const BatchQueue *queue, Pacer *pacer, bool wait)
{
	QueueWalk walk = {.queue = queue, .pacer = pacer, .wait = wait};

	walk_queue(&walk, pace);
}
