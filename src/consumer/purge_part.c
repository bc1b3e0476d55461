/*
 * purge_part.c
 *		Emptying the parts of the outbox whose actions are all old.
 *
 * The outbox is kept in parts (partition.c), which are used in turn.  A part that is
 * not in use any more and whose actions finished long enough ago is truncated, with its
 * deliveries: that takes milliseconds and a few kilobytes of WAL whatever was in it, and
 * gives the space back.  A few actions that must stay, because they are not finished
 * or not old enough, are put back; if there are many, the part is thinned row by row
 * (purge.c) or waits until they are old.
 *
 * The truncation needs an exclusive lock on the part.  It is taken only if nobody has
 * any on the part, so that nobody queues up behind it; if it is not to be had within a
 * second, the part waits for the next purge.  Claims and replays lock only the parts
 * whose rows they need.  Under the lock nobody can be about to finish, redrive or
 * replay an action of the part, so what the current snapshot shows is all there is.
 *
 * As after any TRUNCATE, an older snapshot shows nothing of what was purged.  What is
 * put back is frozen, as by COPY FREEZE, so that older snapshots show that.  So a part
 * is left alone while anybody may hold a snapshot that shows its actions otherwise than
 * they are: one that was finished, redriven or added since would be there without a
 * segment, or its segment without it, for those who have not read the part before, such
 * as pg_dump, which takes its locks after its snapshot.  All that older snapshots miss then
 * is actions that they show as finished.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"

#include "base/catalog.h"
#include "base/steady_plan.h"
#include "base/table_access.h"
#include "consumer/purge_part.h"
#include "consumer/trail.h"
#include "queue/turn.h"

/* Actions of a part that are put back at most, of each kind. */
#define MAX_KEPT 1000

/* How often a lock is tried, and the pause between. */
#define LOCK_TRIES 40
#define LOCK_PAUSE_MS 25

/* A part that is smaller is not left because of its age: 16 MB. */
#define WORTHWHILE_PAGES (LARGE_PAGES / 8)

/* Of the parts, so many hold what is kept; the others are empty or in use. */
#define PARTS_OF_AGE (PARTITIONS - 4)

/* %1$s is the extension's schema, %2$s the table; see redrive.c about the search path. */
#define YOUNG "SELECT outbox_id FROM ONLY %1$s.%2$s WHERE finished_at >= $1 LIMIT $2"
#define UNFINISHED \
	"SELECT s.first_id + n FROM generate_series($1, (SELECT max(first_id)" \
	"		FROM %1$s.acteon_dispatch_segment), $2) AS range (first_id)," \
	"	LATERAL (SELECT s.first_id, s.last_id FROM %1$s.acteon_dispatch_segment AS s" \
	"		WHERE s.first_id >= range.first_id AND s.first_id < range.first_id + $3) AS s," \
	"	generate_series(0, s.last_id - s.first_id) AS n LIMIT $4"
#define COUNT "SELECT count(*) FROM ONLY %1$s.%2$s"
#define OLDEST "SELECT created_at FROM ONLY %1$s.%2$s WHERE id >= $1 ORDER BY id LIMIT 1"

/* The actions of a part that must stay. */
typedef struct Kept
{
	int64 young[MAX_KEPT + 1]; /* finished, but not long enough ago */
	int64 unfinished[MAX_KEPT + 1];
	int young_count; /* MAX_KEPT + 1: too many */
	int unfinished_count;
} Kept;

/*
 * Execute a query of this file, without some ways of reading a table, by what is there
 * at this moment: in a transaction with one snapshot for all, that is not enough to
 * know what must stay.  Needs an SPI connection, which has the result.
 */
static void
query(const char *sql, int count, Oid *types, Datum *values, int denied)
{
	int nesting = DenyPlans(denied);
	SPIPlanPtr plan = SPI_prepare(sql, count, types);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	if (plan == NULL || SPI_execute_snapshot(plan, values, NULL, snapshot, InvalidSnapshot, true,
											 false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the outbox: %s", SPI_result_code_string(SPI_result));
	UnregisterSnapshot(snapshot);
	SPI_freeplan(plan);
	AllowPlans(nesting);
}

/*
 * Copy the ids that a query has returned.  Returns how many.
 */
static int
take_ids(int64 *ids)
{
	int count = SPI_processed;

	for (int i = 0; i < count; i++)
	{
		bool isnull;

		ids[i] =
			DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	return count;
}

/*
 * Find the actions of a part that must stay.  The young ones are found by the block
 * range index on their times, the unfinished ones by their segments, range by range: of
 * all there are, as the sequence can be behind them (numbers.c).
 */
static void
find_kept(Oid schema, int part, TimestampTz before, Kept *kept)
{
	const char *schema_name = quote_identifier(get_namespace_name(schema));
	Oid young_types[] = {TIMESTAMPTZOID, INT8OID};
	Datum young_values[] = {TimestampTzGetDatum(before), Int64GetDatum(MAX_KEPT + 1)};
	Oid range_types[] = {INT8OID, INT8OID, INT8OID, INT8OID};
	Datum range_values[] = {Int64GetDatum(FirstIdOfRange(part)),
							Int64GetDatum(PARTITIONS * RANGE_IDS), Int64GetDatum(RANGE_IDS),
							Int64GetDatum(MAX_KEPT + 1)};

	query(psprintf(YOUNG, schema_name, PartitionName(DELIVERY_TABLE, part)), lengthof(young_types),
		  young_types, young_values, DENY_SEQSCAN | DENY_INDEXSCAN);
	kept->young_count = take_ids(kept->young);
	query(psprintf(UNFINISHED, schema_name), lengthof(range_types), range_types, range_values,
		  DENY_SEQSCAN);
	kept->unfinished_count = take_ids(kept->unfinished);
}

/*
 * Whether subscribers would be left with other rows than are here if rows were put
 * back into a table after its truncation: a publication has only one of the two.
 */
static bool
subscribers_lag(Relation rel)
{
	List *publications = list_concat(list_concat(GetRelationPublications(RelationGetRelid(rel)),
												 GetSchemaPublications(RelationGetNamespace(rel))),
									 GetAllTablesPublications());
	ListCell *lc;

	foreach (lc, publications)
	{
		PublicationActions actions = GetPublication(lfirst_oid(lc))->pubactions;

		if (actions.pubtruncate != actions.pubinsert)
			return true;
	}
	return false;
}

/*
 * Whether a table can be truncated: nothing refers to it or runs on its changes.
 */
static bool
is_plain(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	bool plain =
		(rel->trigdesc == NULL || rel->trigdesc->numtriggers == 0) && !subscribers_lag(rel);

	table_close(rel, AccessShareLock);
	return plain;
}

/*
 * What to do with a part that is not in use.
 */
static PartFate
fate_of_rest(Oid schema, int part, TimestampTz before)
{
	int64 pages = PagesOfPart(schema, OUTBOX_TABLE, part);
	int64 delivery_pages = PagesOfPart(schema, DELIVERY_TABLE, part);
	Kept *kept;
	PartFate fate = PART_GOES;

	if (pages == PAGES_UNKNOWN || delivery_pages == PAGES_UNKNOWN)
		return PART_IS_BUSY;
	if (pages == 0 && delivery_pages == 0)
		return PART_STAYS;
	if (!is_plain(PartitionTable(schema, OUTBOX_TABLE, part)) ||
		!is_plain(PartitionTable(schema, DELIVERY_TABLE, part)))
		return PART_IS_THINNED;
	kept = palloc(sizeof(Kept));
	find_kept(schema, part, before, kept);
	if (kept->young_count > MAX_KEPT)
		fate = PART_STAYS;
	else if (kept->unfinished_count > MAX_KEPT)
		fate = PART_IS_THINNED;
	pfree(kept);
	return fate;
}

/*
 * Whether the part in use has been so for long, compared with how long actions are
 * kept, so that another one is due.
 */
static bool
is_of_age(Oid schema, int64 range, TimestampTz before, TimestampTz now)
{
	Oid type = INT8OID;
	Datum first = Int64GetDatum(FirstIdOfRange(range));
	int part = range % PARTITIONS;
	bool isnull = true;
	TimestampTz since = 0;

	if (PagesOfPart(schema, OUTBOX_TABLE, part) < WORTHWHILE_PAGES || TIMESTAMP_NOT_FINITE(before))
		return false;
	query(psprintf(OLDEST, quote_identifier(get_namespace_name(schema)),
				   PartitionName(OUTBOX_TABLE, part)),
		  1, &type, &first, DENY_SEQSCAN);
	if (SPI_processed > 0)
		since = DatumGetTimestampTz(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return !isnull && now - since > (now - before) / PARTS_OF_AGE;
}

/*
 * Decide what becomes of each part when what finished before a time is purged.  The
 * part in use is left first if it has become large or old.  Acts as the current
 * user, who must own the tables.  Needs an SPI connection.
 */
void
ChoosePartsToPurge(Oid schema, TimestampTz before, TimestampTz now, PartFate fates[PARTITIONS])
{
	int64 range = RangeInUse(schema);
	int part = range % PARTITIONS;
	Relation rel = table_open(PartitionTable(schema, OUTBOX_TABLE, part), AccessShareLock);

	TurnIfLarge(schema, rel, FirstIdOfRange(range));
	table_close(rel, AccessShareLock);
	if (RangeInUse(schema) == range && is_of_age(schema, range, before, now))
		(void) TurnOutbox(schema, range, false);
	range = RangeInUse(schema);
	for (part = 0; part < PARTITIONS; part++)
	{
		CHECK_FOR_INTERRUPTS();
		fates[part] =
			part == range % PARTITIONS ? PART_IS_THINNED : fate_of_rest(schema, part, before);
	}
}

/*
 * Lock a table exclusively, if nobody else has locked it and this session does not
 * use it either.
 */
static bool
lock_unused(Oid relid)
{
	Relation rel;
	bool unused;

	if (!ConditionalLockRelationOid(relid, AccessExclusiveLock))
		return false;
	rel = table_open(relid, NoLock);
	unused = rel->rd_refcnt == 1;
	table_close(rel, NoLock);
	if (!unused)
		UnlockRelationOid(relid, AccessExclusiveLock);
	return unused;
}

/*
 * Lock a part exclusively, both of its tables; tries for a while, waiting for no
 * lock.
 */
static bool
lock_part(Oid outbox, Oid deliveries, int *tries)
{
	for (;;)
	{
		if (lock_unused(outbox))
		{
			if (lock_unused(deliveries))
				return true;
			UnlockRelationOid(outbox, AccessExclusiveLock);
		}
		if (--*tries <= 0)
			return false;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOCK_PAUSE_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Whether all snapshots show a page as it is now: those of transactions from the given
 * one on.
 */
static bool
page_is_settled(Relation rel, BlockNumber block, TransactionId horizon,
				BufferAccessStrategy strategy)
{
	Buffer buffer = ReadBufferExtended(rel, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
	Page page = BufferGetPage(buffer);
	bool settled = true;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	for (OffsetNumber offset = FirstOffsetNumber; settled && offset <= PageGetMaxOffsetNumber(page);
		 offset++)
	{
		ItemId item = PageGetItemId(page, offset);
		TransactionId dead_after;
		HeapTupleData tuple;

		if (!ItemIdIsNormal(item))
			continue;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(rel);
		ItemPointerSet(&tuple.t_self, block, offset);
		switch (HeapTupleSatisfiesVacuumHorizon(&tuple, buffer, &dead_after))
		{
			case HEAPTUPLE_DEAD:
				break;
			case HEAPTUPLE_LIVE:
				settled = TransactionIdPrecedes(HeapTupleHeaderGetXmin(tuple.t_data), horizon);
				break;
			case HEAPTUPLE_RECENTLY_DEAD:
				settled = TransactionIdPrecedes(dead_after, horizon);
				break;
			default: /* by this transaction: nobody else has a lock */
				settled = false;
		}
	}
	UnlockReleaseBuffer(buffer);
	return settled;
}

/*
 * Whether all snapshots from a transaction on show a table as it is now, which must be
 * locked exclusively.  Pages of which the visibility map says so are not read.
 */
static bool
is_settled(Oid relid, TransactionId horizon)
{
	Relation rel = table_open(relid, NoLock);
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	Buffer map = InvalidBuffer;
	bool settled = true;

	for (BlockNumber block = 0; settled && block < blocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		settled =
			VM_ALL_VISIBLE(rel, block, &map) || page_is_settled(rel, block, horizon, strategy);
	}
	if (BufferIsValid(map))
		ReleaseBuffer(map);
	FreeAccessStrategy(strategy);
	table_close(rel, NoLock);
	return settled;
}

/*
 * Copy the rows of some ids out of a table, with all their values.  Returns false if a
 * snapshot from the given transaction on may not show one of them.
 */
static bool
copy_rows(Tuplestorestate *rows, Oid relid, AttrNumber column, const int64 *ids, int count,
		  TransactionId horizon)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableFinder finder;
	bool settled = true;

	OpenFinder(&finder, relid, column);
	for (int i = 0; settled && i < count; i++)
	{
		HeapTuple tuple;

		CHECK_FOR_INTERRUPTS();
		if (!FindRow(&finder, F_INT8EQ, Int64GetDatum(ids[i]), snapshot))
			continue;
		tuple = ExecCopySlotHeapTuple(finder.slot);
		settled = TransactionIdPrecedes(HeapTupleHeaderGetXmin(tuple->t_data), horizon);
		if (HeapTupleHasExternal(tuple))
		{
			HeapTuple whole = toast_flatten_tuple(tuple, RelationGetDescr(finder.rel));

			heap_freetuple(tuple);
			tuple = whole;
		}
		tuplestore_puttuple(rows, tuple);
		heap_freetuple(tuple);
	}
	CloseFinder(&finder);
	UnregisterSnapshot(snapshot);
	return settled;
}

/*
 * Put rows back into a table that was truncated.
 */
static void
put_back(Tuplestorestate *rows, Oid relid)
{
	TableWriter writer;
	TupleTableSlot *from, *slot;

	OpenWriter(&writer, relid, false);
	from = MakeSingleTupleTableSlot(RelationGetDescr(writer.rel), &TTSOpsMinimalTuple);
	slot = table_slot_create(writer.rel, NULL);
	while (tuplestore_gettupleslot(rows, true, false, from))
	{
		CHECK_FOR_INTERRUPTS();
		ExecCopySlot(slot, from);
		InsertFrozen(&writer, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(from);
	CloseWriter(&writer);
}

/*
 * Truncate a part, which is locked, and put some rows back.
 */
static void
truncate_part(Oid schema, int part, Tuplestorestate *actions, Tuplestorestate *ends)
{
	const char *schema_name = quote_identifier(get_namespace_name(schema));

	if (SPI_execute(psprintf("TRUNCATE ONLY %s.%s, ONLY %s.%s", schema_name,
							 PartitionName(OUTBOX_TABLE, part), schema_name,
							 PartitionName(DELIVERY_TABLE, part)),
					false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not truncate the outbox: %s", SPI_result_code_string(SPI_result));
	CommandCounterIncrement();
	put_back(actions, PartitionTable(schema, OUTBOX_TABLE, part));
	put_back(ends, PartitionTable(schema, DELIVERY_TABLE, part));
	CommandCounterIncrement();
	/* Else the planner takes an empty part for one of some hundred rows. */
	if (SPI_execute(psprintf("ANALYZE %s.%s, %s.%s", schema_name, PartitionName(OUTBOX_TABLE, part),
							 schema_name, PartitionName(DELIVERY_TABLE, part)),
					false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not analyze the outbox: %s", SPI_result_code_string(SPI_result));
}

/*
 * Write down, for the trail, what is left of a part that is going to be emptied.
 */
static void
note_removed(Oid schema, int part, const Kept *kept)
{
	int64 *ids = palloc((kept->young_count + kept->unfinished_count + 1) * sizeof(int64));

	memcpy(ids, kept->young, kept->young_count * sizeof(int64));
	memcpy(ids + kept->young_count, kept->unfinished, kept->unfinished_count * sizeof(int64));
	NotePartRemoved(schema, part, ids, kept->young_count + kept->unfinished_count);
	pfree(ids);
}

/*
 * Empty a part, which is locked, but for some rows.  Returns false, having done nothing,
 * if anybody may hold a snapshot that shows its actions otherwise than they are.
 */
static bool
empty_part(Oid schema, int part, const Kept *kept)
{
	Oid outbox = PartitionTable(schema, OUTBOX_TABLE, part);
	Oid deliveries = PartitionTable(schema, DELIVERY_TABLE, part);
	Tuplestorestate *actions = tuplestore_begin_heap(false, false, work_mem);
	Tuplestorestate *ends = tuplestore_begin_heap(false, false, work_mem);
	Relation rel = table_open(deliveries, NoLock);
	TransactionId horizon = GetOldestNonRemovableTransactionId(rel);
	bool settled;

	table_close(rel, NoLock);
	settled = is_settled(deliveries, horizon) &&
			  copy_rows(actions, outbox, Anum_outbox_id, kept->young, kept->young_count, horizon) &&
			  copy_rows(actions, outbox, Anum_outbox_id, kept->unfinished, kept->unfinished_count,
						horizon) &&
			  copy_rows(ends, deliveries, Anum_delivery_outbox_id, kept->young, kept->young_count,
						horizon);
	if (settled)
	{
		note_removed(schema, part, kept);
		truncate_part(schema, part, actions, ends);
	}
	tuplestore_end(actions);
	tuplestore_end(ends);
	return settled;
}

/*
 * The number of deliveries in a part.
 */
static int64
count_part(Oid schema, int part)
{
	bool isnull;
	int64 count;

	query(psprintf(COUNT, quote_identifier(get_namespace_name(schema)),
				   PartitionName(DELIVERY_TABLE, part)),
		  0, NULL, NULL, 0);
	count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return count;
}

/*
 * Empty the parts that go, but for what must stay.  Those that are in use by other
 * sessions all the time, or that older snapshots show otherwise, are left, and counted
 * in *busy.  Returns how many actions went.
 * The locks stay until the transaction ends, so this comes last.  Needs an SPI connection.
 */
int64
EmptyParts(Oid schema, TimestampTz before, const PartFate fates[PARTITIONS], int *busy)
{
	Kept *kept = palloc(sizeof(Kept));
	int64 counts[PARTITIONS];
	int64 purged = 0;
	int tries = LOCK_TRIES;

	*busy = 0;
	for (int part = 0; part < PARTITIONS; part++)
		counts[part] = fates[part] == PART_GOES ? count_part(schema, part) : 0;
	for (int part = 0; part < PARTITIONS; part++)
	{
		Oid outbox, deliveries;

		if (fates[part] == PART_IS_BUSY)
			(*busy)++;
		if (fates[part] != PART_GOES || counts[part] == 0)
			continue;
		outbox = PartitionTable(schema, OUTBOX_TABLE, part);
		deliveries = PartitionTable(schema, DELIVERY_TABLE, part);
		if (!lock_part(outbox, deliveries, &tries))
		{
			(*busy)++;
			continue;
		}
		find_kept(schema, part, before, kept);
		if (kept->young_count <= MAX_KEPT && kept->unfinished_count <= MAX_KEPT &&
			kept->young_count < counts[part])
		{
			if (empty_part(schema, part, kept))
			{
				purged += counts[part] - kept->young_count;
				continue;
			}
			(*busy)++;
		}
		UnlockRelationOid(deliveries, AccessExclusiveLock);
		UnlockRelationOid(outbox, AccessExclusiveLock);
	}
	pfree(kept);
	return purged;
}
