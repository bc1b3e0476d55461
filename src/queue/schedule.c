/*
 * schedule.c
 *		What a batch has in the queue, and giving it new due times.
 *
 * Consumers may be at work at the same time.  What one of them claims or answers before
 * its segment is reached here stays as they make it: it is in flight, or its
 * retry keeps its own time.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/catalog.h"
#include "queue/action_state.h"
#include "queue/batch_scan.h"
#include "queue/schedule.h"

/* A walk through a batch's part of the queue. */
typedef struct QueueWalk
{
	const BatchQueue *queue;
	SegmentTable segments;
	QueueCounts counts;
	Pacers *pacers;
	bool wait; /* for answers that are being given */
} QueueWalk;

/* What to do with a segment that is not leased. */
typedef void (*VisitSegment)(QueueWalk *walk, const Segment *segment);

/*
 * Whether a segment waits for nothing but that the part that it is in is resumed.
 */
bool
IsPausedApart(const Segment *segment, TimestampTz now)
{
	return segment->stopped == BATCH_PAUSED && SegmentState(segment, now) == ACTION_WAITING;
}

/*
 * Count the batch's actions, and visit the segments that are not leased, in the
 * order of their ids.
 */
static void
walk_queue(QueueWalk *walk, VisitSegment visit)
{
	const BatchQueue *queue = walk->queue;
	BatchScan scan;
	Segment segment;
	ActionState state;

	if (queue->first_id == 0)
		return;
	if (visit == NULL)
		OpenSegmentsToRead(&walk->segments, queue->schema);
	else
		OpenSegments(&walk->segments, queue->schema);
	BeginBatchScan(&scan, &walk->segments, queue->batch_id, queue->first_id, queue->last_id);
	while (NextOfBatch(&scan, &segment))
	{
		state = SegmentState(&segment, queue->now);
		if (state == ACTION_RUNNING)
			walk->counts.in_flight += SegmentLength(&segment);
		else if (state == ACTION_IN_DOUBT)
			walk->counts.in_doubt += SegmentLength(&segment);
		else if (state == ACTION_CANCELLED || queue->is_cancelled)
			walk->counts.cancelled += SegmentLength(&segment);
		else
			walk->counts.waiting += SegmentLength(&segment);
		if (segment.held != NULL)
			walk->counts.held += SegmentLength(&segment);
		if (IsPausedApart(&segment, queue->now))
			walk->counts.paused += SegmentLength(&segment);
		if (state == ACTION_WAITING && (segment.stopped != BATCH_RUNS || segment.pace != NO_PACE))
			walk->counts.apart += SegmentLength(&segment);
		if (visit != NULL && state != ACTION_RUNNING)
			visit(walk, &segment);
	}
	EndBatchScan(&scan);
	CloseSegments(&walk->segments);
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

/* Whether a segment of the batch is one that is looked for. */
typedef bool (*MatchSegment)(const BatchQueue *queue, const Segment *segment);

/*
 * Whether the queue has a segment of the batch that is looked for.
 */
static bool
has_any(const BatchQueue *queue, MatchSegment matches)
{
	SegmentTable segments;
	BatchScan scan;
	Segment segment;
	bool found = false;

	if (queue->first_id == 0)
		return false;
	OpenSegmentsToRead(&segments, queue->schema);
	BeginBatchScan(&scan, &segments, queue->batch_id, queue->first_id, queue->last_id);
	while (!found && NextOfBatch(&scan, &segment))
		found = matches(queue, &segment);
	if (queue->read != NULL)
		*queue->read += scan.read;
	EndBatchScan(&scan);
	CloseSegments(&segments);
	return found;
}

static bool
is_left(const BatchQueue *queue, const Segment *segment)
{
	return !(queue->moving && IsPausedApart(segment, queue->now));
}

static bool
is_active(const BatchQueue *queue, const Segment *segment)
{
	return is_left(queue, segment) && SegmentState(segment, queue->now) != ACTION_IN_DOUBT;
}

static bool
is_paused_apart(const BatchQueue *queue, const Segment *segment)
{
	return IsPausedApart(segment, queue->now);
}

/*
 * Whether nothing of the batch is left in the queue.
 */
bool
QueueIsEmpty(const BatchQueue *queue)
{
	return !has_any(queue, is_left);
}

/*
 * Whether anything of the batch waits or is in flight: what is left otherwise is in
 * doubt.
 */
bool
QueueIsActive(const BatchQueue *queue)
{
	return has_any(queue, is_active);
}

/*
 * Whether anything of the batch waits for nothing but that the part that it is in is
 * resumed.
 */
bool
AnyPausedApart(const BatchQueue *queue)
{
	return has_any(queue, is_paused_apart);
}

/*
 * The pacer of a segment: of its part, if that has a rate of its own, else of its batch.
 */
static Pacer *
pacer_of(Pacers *pacers, const Segment *segment)
{
	if (segment->pace > NO_PACE && segment->pace <= pacers->count &&
		pacers->parts[segment->pace - 1].rate > 0)
		return &pacers->parts[segment->pace - 1];
	return &pacers->batch;
}

/*
 * When actions of a segment that was held back are due, in their turn; then advance to
 * the next ones.
 */
TimestampTz
NextDueTimeOf(Pacers *pacers, const Segment *segment, int64 actions)
{
	return NextDueTime(pacer_of(pacers, segment), actions);
}

/*
 * How many rows a piece of a segment has, so that it is about a second's worth.
 */
int
PieceRows(Pacers *pacers, const Segment *segment)
{
	return SegmentRows(pacer_of(pacers, segment)->rate);
}

/*
 * Make a segment due in its turn, cut into pieces of about a second's worth.
 * What waits for a retry is not due before that; what is in doubt, or was in flight
 * when its lease ran out, is not waiting for its turn, and what is stopped on its own
 * has none.  Without a rate, only what is parked becomes due, unless all is to be.
 */
static void
pace(QueueWalk *walk, const Segment *segment)
{
	Pacer *pacer = pacer_of(walk->pacers, segment);
	const OptionalTime *start = &walk->pacers->start;
	bool retries = segment->was_claimed && segment->due_at != DT_NOEND &&
				   !(start->given && segment->due_at >= start->time);
	int rows = SegmentRows(pacer->rate);
	Segment pieces[SEGMENT_ACTIONS];
	int count = 0;

	if (segment->lease_token != NO_LEASE || segment->doubt_since != 0 ||
		segment->stopped != BATCH_RUNS)
		return;
	if (pacer->rate == 0 && !walk->pacers->all && segment->due_at != DT_NOEND)
		return;
	for (int64 id = segment->first_id; id <= segment->last_id; id += rows)
	{
		Segment *piece = &pieces[count++];

		*piece = *segment;
		piece->first_id = id;
		piece->last_id = Min(id + rows - 1, segment->last_id);
		piece->due_at = NextDueTime(pacer, SegmentLength(piece));
		if (retries)
			piece->due_at = Max(piece->due_at, segment->due_at);
	}
	if (HoldSegment(&walk->segments, segment, walk->wait))
		(void) ReplaceSegment(&walk->segments, segment, pieces, count);
}

/*
 * Make everything that waits due by pacers.  Without wait, segments that a
 * consumer's answer is changing at this moment are left out.
 */
void
PaceQueue(const BatchQueue *queue, Pacers *pacers, bool wait)
{
	QueueWalk walk = {.queue = queue, .pacers = pacers, .wait = wait};

	walk_queue(&walk, pace);
}
