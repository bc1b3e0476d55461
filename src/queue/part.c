/*
 * part.c
 *		A part of what a batch has in the queue.
 *
 * The actions of one tenant or provider, or those that are named, are taken out of the
 * segments of their batch: these are cut into runs of actions that are meant and of others,
 * and the runs are changed.  So whatever happens to segments afterwards happens to parts as
 * well, and nothing has to look at single actions.
 *
 * The caller has locked the batch against claims (batch_flags.c).  Consumers may still be
 * answering: a segment that one of them changes meanwhile is read again.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/text.h"
#include "queue/part.h"
#include "queue/segment_actions.h"

/* A walk through the segments of a batch. */
typedef struct PartWalk
{
	const PartFilter *filter;
	ConcernsSegment concerns;
	ChangeRun change;
	void *argument;
	SegmentTable segments;
	TableFinder outbox;
	int groups[SEGMENT_ACTIONS]; /* of the segment at hand: 1 for actions that are meant */
	int meant;                   /* how many these are */
} PartWalk;

/*
 * Whether a row of the outbox is of an action that is named.
 */
static bool
is_named(const TextList *ids, TupleTableSlot *row)
{
	bool isnull;
	Datum id = slot_getattr(row, Anum_outbox_original_action_id, &isnull);
	char new_id[37];

	if (TextListHas(ids, DatumGetTextPP(id)))
		return true;
	id = slot_getattr(row, Anum_outbox_action_id, &isnull);
	strlcpy(new_id, DatumGetCString(DirectFunctionCall1(uuid_out, id)), sizeof(new_id));
	return TextListHas(ids, cstring_to_text(new_id));
}

/*
 * Whether a column of a row has a value that is asked for; NULL asks for any.
 */
static bool
has_text(TupleTableSlot *row, AttrNumber column, const text *wanted)
{
	bool isnull;

	return wanted == NULL || SameText(DatumGetTextPP(slot_getattr(row, column, &isnull)), wanted);
}

/*
 * Whether a row of the outbox is of an action that is meant.
 */
bool
IsInPart(const PartFilter *filter, TupleTableSlot *row)
{
	return has_text(row, Anum_outbox_tenant, filter->tenant) &&
		   has_text(row, Anum_outbox_provider, filter->provider) &&
		   (!filter->action_ids.given || is_named(&filter->action_ids, row));
}

/*
 * Note whether an action is meant.
 */
static void
note_action(void *argument, int place, TupleTableSlot *row)
{
	PartWalk *walk = argument;

	if (walk->groups[place] == 0 && IsInPart(walk->filter, row))
	{
		walk->groups[place] = 1;
		walk->meant++;
	}
}

/*
 * Look at the actions of a segment one by one, because some cannot be read: they never go
 * out, and are taken for others.
 */
static void
find_readable(PartWalk *walk, const Segment *segment)
{
	Segment one = *segment;
	int groups[SEGMENT_ACTIONS] = {0};
	int meant = 0;

	for (int i = 0; i < SegmentLength(segment); i++)
	{
		one.first_id = one.last_id = segment->first_id + i;
		walk->groups[0] = walk->meant = 0;
		if (ReadSegmentActions(&walk->outbox, &one, note_action, walk))
		{
			groups[i] = walk->groups[0];
			meant += walk->meant;
		}
	}
	memcpy(walk->groups, groups, sizeof(groups));
	walk->meant = meant;
}

/*
 * Find the actions of a segment that are meant.  They are read only if the segment itself
 * does not tell.
 */
static void
find_meant(PartWalk *walk, const Segment *segment)
{
	const PartFilter *filter = walk->filter;
	bool any_provider = filter->provider == NULL;

	memset(walk->groups, 0, sizeof(walk->groups));
	walk->meant = 0;
	if (!any_provider && segment->provider != NULL)
	{
		if (!SameText(segment->provider, filter->provider))
			return;
		any_provider = true;
	}
	if (any_provider && filter->tenant == NULL && !filter->action_ids.given)
	{
		walk->meant = SegmentLength(segment);
		for (int i = 0; i < walk->meant; i++)
			walk->groups[i] = 1;
	}
	else if (!ReadSegmentActions(&walk->outbox, segment, note_action, walk))
		find_readable(walk, segment);
}

/*
 * Change what a segment has of the part.  Returns false, having done nothing, if somebody
 * else has changed the segment meanwhile.
 */
static bool
change_segment(PartWalk *walk, const Segment *segment)
{
	Segment runs[SEGMENT_ACTIONS];
	int count;
	int left = 0;

	find_meant(walk, segment);
	if (walk->meant == 0)
		return true;
	if (!HoldSegment(&walk->segments, segment, true))
		return false;
	count = CutSegment(segment, walk->groups, runs);
	for (int i = 0; i < count; i++)
	{
		if (walk->groups[runs[i].first_id - segment->first_id] == 0 ||
			walk->change(walk->argument, &runs[i]))
			runs[left++] = runs[i];
	}
	if (!ReplaceSegment(&walk->segments, segment, runs, left))
		elog(ERROR, "a segment was changed while it was locked");
	return true;
}

/*
 * Change the part in the segments whose first ids lie between two ids.  Returns 0, or the
 * first id of a segment that somebody else has changed, from which on it is to be done.
 */
static int64
change_range(PartWalk *walk, const BatchQueue *queue, int64 first_id)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay part", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	SegmentScan scan;
	Segment segment;
	int64 again = 0;

	BeginRangeScan(&scan, &walk->segments, first_id, queue->last_id);
	old = MemoryContextSwitchTo(context);
	while (again == 0 && NextSegment(&scan, &segment))
	{
		CHECK_FOR_INTERRUPTS();
		if (segment.batch_id == queue->batch_id && walk->concerns(walk->argument, &segment) &&
			!change_segment(walk, &segment))
			again = segment.first_id;
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	EndSegmentScan(&scan);
	MemoryContextDelete(context);
	return again;
}

/*
 * Change the actions of a batch that a filter selects, as far as their segments are
 * concerned.
 */
void
ChangePart(const BatchQueue *queue, const PartFilter *filter, ConcernsSegment concerns,
		   ChangeRun change, void *argument)
{
	PartWalk walk = {.filter = filter,
					 .concerns = concerns,
					 .change = change,
					 .argument = argument};

	if (queue->first_id == 0)
		return;
	OpenSegments(&walk.segments, queue->schema);
	OpenPartedFinder(&walk.outbox, queue->schema, OUTBOX_TABLE, Anum_outbox_id);
	for (int64 id = queue->first_id; id != 0;)
		id = change_range(&walk, queue, id);
	CloseFinder(&walk.outbox);
	CloseSegments(&walk.segments);
	CommandCounterIncrement();
}
