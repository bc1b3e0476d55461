/*
 * turn.c
 *		Going on to the next part of the outbox.
 *
 * The outbox and its deliveries are kept in parts (partition.c), so that a purge can
 * empty those whose actions are all old.  New actions go to the part of the range of
 * ids that the sequence is in.  When that is large enough, the sequence is moved to
 * the beginning of a later range, whose part is empty.  Sessions that have drawn ids
 * before still insert into the old part, so only locks tell whether it is at rest.
 *
 * Moving a sequence is not transactional, which does no harm: it moves forward only.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_publication.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

#include "base/catalog.h"
#include "base/numbers.h"
#include "base/partition.h"
#include "base/table_access.h"
#include "queue/turn.h"

/* Pages of a part in which only remains are: what a purge had to leave. */
#define REMAINS_PAGES (LARGE_PAGES / 64)

/* A part is full at this share of all: the larger the outbox, the larger the parts. */
#define PART_SHARE 3

/*
 * Pages of a part of the outbox, or of the deliveries, without its values out of line.
 * Nobody waits to know: one that is being emptied, and is locked for it until that is
 * committed, has PAGES_UNKNOWN.
 */
int64
PagesOfPart(Oid schema, const char *table, int partition)
{
	Oid relid = PartitionTable(schema, table, partition);
	Relation rel;
	int64 pages;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return PAGES_UNKNOWN;
	rel = table_open(relid, NoLock);
	pages = RelationGetNumberOfBlocks(rel);
	table_close(rel, AccessShareLock);
	return pages;
}

/*
 * Whether a part of a table has only remains in it.
 */
static bool
has_remains_only(Oid schema, const char *table, int partition)
{
	int64 pages = PagesOfPart(schema, table, partition);

	return pages != PAGES_UNKNOWN && pages <= REMAINS_PAGES;
}

/*
 * Whether a part of a table serves others as well as the table itself: no trigger or
 * foreign key is on the table, which would not see what is in the part, and the
 * part is in every publication that the table is in.  Not known, and so false, while
 * the table is locked.
 */
static bool
serves_as(Oid schema, const char *table, int partition)
{
	Oid parent = OwnTable(schema, table);
	Oid part = PartitionTable(schema, table, partition);
	Relation rel;
	bool has_triggers;

	if (!ConditionalLockRelationOid(parent, AccessShareLock))
		return false;
	rel = table_open(parent, NoLock);
	has_triggers = rel->trigdesc != NULL && rel->trigdesc->numtriggers > 0;
	table_close(rel, AccessShareLock);
	return !has_triggers && list_difference_oid(GetRelationPublications(parent),
												GetRelationPublications(part)) == NIL;
}

/*
 * Whether new actions may go to a part.
 */
bool
IsServed(Oid schema, int partition)
{
	return partition == 0 || (serves_as(schema, OUTBOX_TABLE, partition) &&
							  serves_as(schema, DELIVERY_TABLE, partition));
}

/*
 * The next range after one whose part may be used and, if that is asked for, has
 * only remains in it; -1 if there is none.
 */
static int64
next_range(Oid schema, int64 after, bool empty)
{
	for (int64 range = after + 1; range <= after + PARTITIONS; range++)
	{
		int partition = range % PARTITIONS;

		if ((!empty || (has_remains_only(schema, OUTBOX_TABLE, partition) &&
						has_remains_only(schema, DELIVERY_TABLE, partition))) &&
			IsServed(schema, partition))
			return range;
	}
	return -1;
}

/*
 * Let new actions go to another part, if those of the given range are what is in use.
 * Returns false if no other part is empty or another session is at it.  With wait, a
 * range is left in any case.  Acts as the current user, who must own the tables.
 */
bool
TurnOutbox(Oid schema, int64 range, bool wait)
{
	Oid sequence = OwnTable(schema, OUTBOX_SEQUENCE);
	int64 next = -1;
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, sequence, 0, NUMBERS_LOCK_CLASS);
	if (LockAcquire(&tag, ExclusiveLock, false, !wait) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	if (RangeInUse(schema) == range)
	{
		next = next_range(schema, range, true);
		if (next == -1 && wait)
			next = next_range(schema, range, false);
	}
	/* Its first block stays unused, so that the sequence's last value is in the range. */
	if (next != -1)
		(void) DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence),
								   Int64GetDatum(FirstIdOfRange(next)));
	(void) LockRelease(&tag, ExclusiveLock, false);
	return next != -1;
}

/*
 * Let new actions go to another part if the one that an id is in, which is open, has
 * become large.
 */
void
TurnIfLarge(Oid schema, Relation part, int64 outbox_id)
{
	int64 pages = RelationGetNumberOfBlocks(part);
	int64 all = 0;

	if (pages < LARGE_PAGES)
		return;
	for (int partition = 0; partition < PARTITIONS; partition++)
		all += Max(PagesOfPart(schema, OUTBOX_TABLE, partition), 0);
	if (pages >= all / PART_SHARE)
		(void) TurnOutbox(schema, RangeOfId(outbox_id), false);
}
