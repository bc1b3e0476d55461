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
#include "base/installation.h"
#include "base/partition.h"
#include "base/replay_id.h"
#include "base/text.h"
#include "queue/batch_scan.h"
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
	Oid schema;
	int64 batch_id;
	int resend; /* new ids that the actions of the segment at hand were given */
	bool has_namespace;
	pg_uuid_t namespace;
	int groups[SEGMENT_ACTIONS]; /* of the segment at hand: 1 for actions that are meant */
	int meant;                   /* how many these are */
} PartWalk;

/*
 * Whether a list has an id.
 */
static bool
has_uuid(const TextList *ids, const pg_uuid_t *id)
{
	return TextListHas(ids, cstring_to_text(
								DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)))));
}

/*
 * Whether a row of the outbox is of an action that is named by its original or its first new
 * id.
 */
static bool
is_named(const TextList *ids, TupleTableSlot *row)
{
	bool isnull;
	Datum original = slot_getattr(row, Anum_outbox_original_action_id, &isnull);

	return TextListHas(ids, DatumGetTextPP(original)) ||
		   has_uuid(ids, DatumGetUUIDP(slot_getattr(row, Anum_outbox_action_id, &isnull)));
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
 * Whether a row of the outbox is of the tenant and of the provider that are asked for.
 */
static bool
is_of_owners(const PartFilter *filter, TupleTableSlot *row)
{
	return has_text(row, Anum_outbox_tenant, filter->tenant) &&
		   has_text(row, Anum_outbox_provider, filter->provider);
}

/*
 * Whether a row of the outbox is of an action that is meant.  What was named by an id that it
 * was given when it was sent again is left out.
 */
bool
IsInPart(const PartFilter *filter, TupleTableSlot *row)
{
	return is_of_owners(filter, row) &&
		   (!filter->action_ids.given || is_named(&filter->action_ids, row));
}

/*
 * Whether a row of the segment at hand is of an action that is named by an id that it was
 * given when it was sent again.
 */
static bool
was_sent_as_named(PartWalk *walk, TupleTableSlot *row)
{
	const PartFilter *filter = walk->filter;
	bool isnull;
	text *original;
	Datum target;
	char *name;
	int generation;

	if (walk->resend == 0 || !filter->action_ids.given || !is_of_owners(filter, row))
		return false;
	if (!walk->has_namespace)
		walk->has_namespace = ReadNamespace(walk->schema, &walk->namespace);
	original = DatumGetTextPP(slot_getattr(row, Anum_outbox_original_action_id, &isnull));
	generation = DatumGetInt32(slot_getattr(row, Anum_outbox_generation, &isnull));
	target = slot_getattr(row, Anum_outbox_target, &isnull);
	name = isnull ? NULL : TextDatumGetCString(target);
	for (int resend = 1; walk->has_namespace && resend <= walk->resend; resend++)
	{
		pg_uuid_t id;

		ResendId(&id, &walk->namespace, VARDATA_ANY(original), VARSIZE_ANY_EXHDR(original), name,
				 generation, resend);
		if (has_uuid(&filter->action_ids, &id))
			return true;
	}
	return false;
}

/*
 * Note whether an action is meant, if that was not found before.
 */
static void
note_action(void *argument, int place, TupleTableSlot *row)
{
	PartWalk *walk = argument;
	bool isnull;

	if (walk->groups[place] == 0 &&
		DatumGetInt64(slot_getattr(row, Anum_outbox_batch_id, &isnull)) == walk->batch_id &&
		(IsInPart(walk->filter, row) || was_sent_as_named(walk, row)))
	{
		walk->groups[place] = 1;
		walk->meant++;
	}
}

/*
 * Find the actions of a segment that are meant.  They are read only if the segment itself
 * does not tell.  What cannot be read never goes out, and is taken for others.
 */
static void
find_meant(PartWalk *walk, const Segment *segment)
{
	const PartFilter *filter = walk->filter;
	bool any_provider = filter->provider == NULL;

	memset(walk->groups, 0, sizeof(walk->groups));
	walk->meant = 0;
	walk->resend = segment->resend;
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
	else
		ReadWhatIsReadable(&walk->outbox, segment, note_action, walk);
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
	BatchScan scan;
	Segment segment;
	int64 again = 0;

	BeginBatchScan(&scan, &walk->segments, queue->batch_id, first_id, queue->last_id);
	while (again == 0 && NextOfBatch(&scan, &segment))
	{
		if (walk->concerns(walk->argument, &segment) && !change_segment(walk, &segment))
			again = segment.first_id;
	}
	EndBatchScan(&scan);
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
					 .argument = argument,
					 .schema = queue->schema,
					 .batch_id = queue->batch_id};

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

/*
 * Whether a batch has, or has had, any action that a filter selects, by their original and
 * their first new ids.
 */
bool
HasNamed(const BatchQueue *queue, const PartFilter *filter)
{
	PartWalk walk = {.filter = filter, .schema = queue->schema, .batch_id = queue->batch_id};
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay part", ALLOCSET_DEFAULT_SIZES);
	int64 next;

	if (queue->first_id == 0)
		return false;
	OpenPartedFinder(&walk.outbox, queue->schema, OUTBOX_TABLE, Anum_outbox_id);
	for (int64 id = queue->first_id; walk.meant == 0 && id <= queue->last_id; id = next)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		Segment rows = {.first_id = id, .batch_id = queue->batch_id};

		CHECK_FOR_INTERRUPTS();
		next =
			Min(Min(id + SEGMENT_ACTIONS, FirstIdOfRange(RangeOfId(id) + 1)), queue->last_id + 1);
		rows.last_id = next - 1;
		find_meant(&walk, &rows);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	CloseFinder(&walk.outbox);
	MemoryContextDelete(context);
	return walk.meant > 0;
}
