/*
 * time_steps.c
 *		The steps in which a table that is partitioned by time is searched.
 *
 * The record of a single action is the newest one of that action, so a search can
 * stop at the first partition, from the newest on, that has one.  One statement for
 * all partitions would be planned for each of them and lock each of them and all
 * their indexes.  Instead the range of times is searched in steps that do not
 * overlap: first the partitions of the present and the previous one, and then twice
 * as many with each step.  After a few steps the rest is one step, with a plan that is
 * kept: to plan for the very partitions that are left would take longer than to look
 * into all of them.  Pages of records are searched in the same way, in their order.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "audit/time_steps.h"
#include "base/identity.h"

/* Partitions that the first step passes, and how many steps there are before the rest. */
#define FIRST_STRIDE 2
#define STEPS 4

/*
 * Compare two times, for sorting.
 */
static int
compare_times(const void *a, const void *b)
{
	return timestamptz_cmp_internal(*(const TimestampTz *) a, *(const TimestampTz *) b);
}

/*
 * Whether a partitioned table is so by ranges of the time of its records, in the usual
 * order of times.  To be called as the owner of the audit table, since its key may be
 * made of functions.
 */
bool
IsPartitionedByTime(const AuditTable *table)
{
	PartitionKey key = RelationGetPartitionKey(table->rel);

	return key->strategy == PARTITION_STRATEGY_RANGE &&
		   key->partattrs[0] == table->columns[COL_DISPATCHED_AT] &&
		   key->partopfamily[0] ==
			   lookup_type_cache(TIMESTAMPTZOID, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
}

/*
 * The bounds of the partitions of a table that is partitioned by time; NULL of another
 * one.  What they are made of may be functions, which are run as the table's owner.
 */
static PartitionBoundInfo
partition_bounds(const AuditTable *table)
{
	PartitionBoundInfo bounds = NULL;
	Identity caller;

	if (table->rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return NULL;
	SwitchIdentity(&caller, table->owner);
	if (IsPartitionedByTime(table))
		bounds = RelationGetPartitionDesc(table->rel, true)->boundinfo;
	RestoreIdentity(&caller);
	return bounds;
}

/*
 * Find the bounds of the partitions.  The steps do not depend on what lies between
 * two of them, so bounds that have gone since cost time at most.
 */
static void
find_cuts(TimeSteps *steps, const AuditTable *table)
{
	PartitionBoundInfo bounds = partition_bounds(table);

	if (bounds == NULL)
		return;
	steps->cuts = palloc(Max(bounds->ndatums, 1) * sizeof(TimestampTz));
	for (int i = 0; i < bounds->ndatums; i++)
	{
		if (bounds->kind[i][0] == PARTITION_RANGE_DATUM_VALUE)
			steps->cuts[steps->count++] = DatumGetTimestampTz(bounds->datums[i][0]);
	}
	qsort(steps->cuts, steps->count, sizeof(TimestampTz), compare_times);
}

/*
 * Begin a search between two times, in either direction.
 */
static void
begin_steps(TimeSteps *steps, const AuditTable *table, const OptionalTime *from,
			const OptionalTime *to)
{
	memset(steps, 0, sizeof(*steps));
	steps->from = from->given ? from->time : DT_NOBEGIN;
	steps->to = to->given ? to->time : DT_NOEND;
	steps->stride = FIRST_STRIDE;
	find_cuts(steps, table);
}

/*
 * Begin a search for what was recorded between two times, in the current memory
 * context.  A table that is not partitioned by time is searched in one step.
 */
void
BeginTimeSteps(TimeSteps *steps, const AuditTable *table, const OptionalTime *from,
			   const OptionalTime *to)
{
	TimestampTz present = GetCurrentTimestamp();

	begin_steps(steps, table, from, to);
	steps->left = steps->count;
	/* Partitions that were made for the future belong to the first step. */
	while (steps->left > 0 && steps->cuts[steps->left - 1] > Min(present, steps->to))
		steps->left--;
}

/*
 * Take the next step, from the newest to the oldest: the times between which it
 * searches, both inclusive.  Returns false if there is nothing left.  The last step
 * has is_rest set if it covers many partitions.
 */
bool
NextTimeStep(TimeSteps *steps, TimestampTz *from, TimestampTz *to)
{
	if (steps->ended || steps->to < steps->from)
		return false;
	*to = steps->to;
	steps->is_rest = steps->stride == FIRST_STRIDE << STEPS && steps->left > steps->stride &&
					 steps->cuts[steps->left - steps->stride] > steps->from;
	steps->left -= steps->is_rest ? steps->left + 1 : steps->stride;
	steps->stride = Min(steps->stride * 2, FIRST_STRIDE << STEPS);
	*from = steps->left >= 0 ? Max(steps->cuts[steps->left], steps->from) : steps->from;
	steps->ended = *from == steps->from;
	steps->to = *from - 1;
	return true;
}

/*
 * Begin a search from the oldest partitions to the newest, in the same way.
 */
void
BeginTimeStepsUp(TimeSteps *steps, const AuditTable *table, const OptionalTime *from,
				 const OptionalTime *to)
{
	begin_steps(steps, table, from, to);
	while (steps->left < steps->count && steps->cuts[steps->left] <= steps->from)
		steps->left++;
	/* The first bound that is passed ends the partition of the beginning. */
	steps->left--;
}

/*
 * Take the next step of such a search, as NextTimeStep.
 */
bool
NextTimeStepUp(TimeSteps *steps, TimestampTz *from, TimestampTz *to)
{
	if (steps->ended || steps->to < steps->from)
		return false;
	*from = steps->from;
	steps->left += steps->stride;
	steps->stride = Min(steps->stride * 2, FIRST_STRIDE << STEPS);
	*to = steps->left < steps->count ? Min(steps->cuts[steps->left] - 1, steps->to) : steps->to;
	steps->ended = *to == steps->to;
	steps->from = *to + 1;
	return true;
}

/*
 * Begin the steps of a search in a query's order, from its cursor on.
 */
void
BeginQuerySteps(TimeSteps *steps, const AuditTable *table, const ReplayQuery *query)
{
	OptionalTime cursor = {query->cursor_text != NULL, query->cursor.dispatched_at};

	if (query->newest_first)
		BeginTimeSteps(steps, table, &query->from, cursor.given ? &cursor : &query->to);
	else
		BeginTimeStepsUp(steps, table, cursor.given ? &cursor : &query->from, &query->to);
}

/*
 * Take the next step of such a search: the times that its statement is to be limited
 * to.  Returns false if there is none.
 */
bool
NextQueryStep(TimeSteps *steps, const ReplayQuery *query, OptionalTime *first, OptionalTime *last)
{
	TimestampTz from, to;

	if (!(query->newest_first ? NextTimeStep(steps, &from, &to)
							  : NextTimeStepUp(steps, &from, &to)))
		return false;
	if (steps->count == 0)
		return true; /* one step, limited by the query alone */
	*first = (OptionalTime){!TIMESTAMP_IS_NOBEGIN(from), from};
	*last = (OptionalTime){!TIMESTAMP_IS_NOEND(to), to};
	return true;
}
