/*
 * segment.c
 *		Segments: waiting and leased actions.
 *
 * A segment is a run of at most SEGMENT_ACTIONS consecutive outbox rows that
 * wait, or are leased, together.  It is the only row of the queue that changes:
 * claiming writes a lease into it; finishing some of its actions replaces it by
 * the pieces that are left; finishing all of them deletes it.  A lease ends by
 * itself when the time in due_at has come: nothing runs at that moment, and the
 * next claim finds the segment (SegmentIsLeased).
 *
 * Rows are read with a current snapshot and changed only if they still are what
 * was read, whatever the isolation level of the transaction: if another session
 * was faster, they are read again.
 *
 * A segment that waits for a limit (limit.c) is parked: it is due at no time, and
 * notes the limit, by which it is found again.  Giving it a time unparks it.
 *
 * A segment can be stopped, or have a rate, apart from the rest of its batch (part.c).
 * Pieces into which it is cut keep that.
 *
 * A lane is the sequence of all actions of one tenant with one fingerprint:
 * state changes of one event, which must not overtake each other.  A segment in
 * a lane holds actions of that lane only.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/invariant.h"
#include "base/target.h"
#include "base/text.h"
#include "queue/action_trace.h"
#include "queue/segment.h"

/* Locks that lanes share; see lock_lane. */
#define LANE_LOCKS 512
/* Keeps them apart from what users lock with pg_advisory_lock. */
#define LANE_LOCK_CLASS 3

PG_FUNCTION_INFO_V1(acteon_dispatch_lane);

static const AttrNumber id_column[] = {Anum_segment_first_id};

/*
 * Open the table of segments for reading and changing.
 */
void
OpenSegments(SegmentTable *table, Oid schema)
{
	static const AttrNumber due[] = {Anum_segment_target, Anum_segment_due_at,
									 Anum_segment_first_id};
	static const AttrNumber look[] = {Anum_segment_target, Anum_segment_due_at};
	static const AttrNumber lease[] = {Anum_segment_lease_token};
	static const AttrNumber provider_limit[] = {Anum_segment_provider_limit,
												Anum_segment_lease_token, Anum_segment_first_id};
	static const AttrNumber tenant_limit[] = {Anum_segment_tenant_limit, Anum_segment_lease_token,
											  Anum_segment_first_id};
	static const AttrNumber lane[] = {Anum_segment_lane, Anum_segment_lease_token,
									  Anum_segment_doubt_since, Anum_segment_first_id};
	TableWriter *writer = &table->writer;

	OpenSegmentsToAdd(table, schema);
	table->by_id = WriterIndex(writer, ALL_ROWS, 1, id_column);
	table->by_due = WriterIndex(writer, RowsWithout(Anum_segment_doubt_since), 3, due);
	table->by_look = WriterIndex(writer, RowsWith(Anum_segment_doubt_since), 2, look);
	table->by_lease = WriterIndex(writer, RowsWith(Anum_segment_lease_token), 1, lease);
	table->by_lane = WriterIndex(writer, RowsWith(Anum_segment_lane), 4, lane);
	table->by_limit[LIMIT_PROVIDER] =
		WriterIndex(writer, RowsWith(Anum_segment_provider_limit), 3, provider_limit);
	table->by_limit[LIMIT_TENANT] =
		WriterIndex(writer, RowsWith(Anum_segment_tenant_limit), 3, tenant_limit);
	table->found = table_slot_create(writer->rel, NULL);
}

/*
 * Open the table of segments for InsertSegment only, which needs no search: the
 * conditions of the indexes to search by take long to read.
 */
void
OpenSegmentsToAdd(SegmentTable *table, Oid schema)
{
	TableWriter *writer = &table->writer;

	OpenWriter(writer, OwnTable(schema, SEGMENT_TABLE), true);
	table->rel = writer->rel;
	table->columns = writer->columns;
	table->is_writable = true;
	table->found = NULL;
	table->changed = table_slot_create(writer->rel, NULL);
}

/*
 * Open the table of segments for BeginRangeScan only.
 */
void
OpenSegmentsToRead(SegmentTable *table, Oid schema)
{
	OpenReader(&table->reader, OwnTable(schema, SEGMENT_TABLE), ALL_ROWS, 1, id_column);
	table->rel = table->reader.rel;
	table->columns = table->reader.columns;
	table->is_writable = false;
	table->by_id = table->reader.index;
	table->found = table->reader.slot;
}

/*
 * Done with segments.  Locks stay until the transaction ends.
 */
void
CloseSegments(SegmentTable *table)
{
	if (!table->is_writable)
	{
		CloseReader(&table->reader);
		return;
	}
	if (table->found != NULL)
		ExecDropSingleTupleTableSlot(table->found);
	ExecDropSingleTupleTableSlot(table->changed);
	CloseWriter(&table->writer);
}

/*
 * A bigint column of a row, 0 if it is NULL.
 */
static int64
int64_column(TupleTableSlot *slot, AttrNumber column, bool *isnull)
{
	Datum value = slot_getattr(slot, column, isnull);

	return *isnull ? 0 : DatumGetInt64(value);
}

/*
 * A time of a row, 0 if it is NULL.
 */
static TimestampTz
time_column(TupleTableSlot *slot, AttrNumber column)
{
	bool isnull;
	Datum value = slot_getattr(slot, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

/*
 * A copy of a text of a row, NULL if it is NULL.
 */
static text *
text_column(TupleTableSlot *slot, AttrNumber column)
{
	bool isnull;
	Datum value = slot_getattr(slot, column, &isnull);

	return isnull ? NULL : DatumGetTextPCopy(value);
}

/*
 * Read the segment in the table's slot; its texts are copied into the current
 * memory context.
 */
static void
read_segment(SegmentTable *table, Segment *segment)
{
	TupleTableSlot *slot = table->found;
	OwnColumns columns = table->columns;
	bool isnull;
	Datum stopped;
	Datum pace;

	segment->first_id = int64_column(slot, Anum_segment_first_id, &isnull);
	segment->last_id = int64_column(slot, Anum_segment_last_id, &isnull);
	segment->batch_id = int64_column(slot, Anum_segment_batch_id, &isnull);
	segment->due_at = DatumGetTimestampTz(slot_getattr(slot, Anum_segment_due_at, &isnull));
	segment->attempt = DatumGetInt32(slot_getattr(slot, Anum_segment_attempt, &isnull));
	segment->was_claimed = DatumGetBool(slot_getattr(slot, Anum_segment_was_claimed, &isnull));
	segment->lane = int64_column(slot, Anum_segment_lane, &isnull);
	segment->in_lane = !isnull;
	segment->lease_token = int64_column(slot, Anum_segment_lease_token, &isnull);
	segment->holder = text_column(slot, Anum_segment_holder);
	segment->resend =
		DatumGetInt32(slot_getattr(slot, ColumnPlace(columns, Anum_segment_resend), &isnull));
	segment->sent_at = time_column(slot, ColumnPlace(columns, Anum_segment_sent_at));
	segment->id_refused =
		DatumGetBool(slot_getattr(slot, ColumnPlace(columns, Anum_segment_id_refused), &isnull));
	segment->unproven =
		DatumGetBool(slot_getattr(slot, ColumnPlace(columns, Anum_segment_unproven), &isnull));
	segment->doubt_since = time_column(slot, ColumnPlace(columns, Anum_segment_doubt_since));
	segment->doubt = text_column(slot, ColumnPlace(columns, Anum_segment_doubt));
	segment->held = text_column(slot, ColumnPlace(columns, Anum_segment_held));
	segment->provider = text_column(slot, ColumnPlace(columns, Anum_segment_provider));
	segment->provider_limit =
		int64_column(slot, ColumnPlace(columns, Anum_segment_provider_limit), &isnull);
	segment->tenant_limit =
		int64_column(slot, ColumnPlace(columns, Anum_segment_tenant_limit), &isnull);
	segment->parked_at = time_column(slot, ColumnPlace(columns, Anum_segment_parked_at));
	segment->expires_at = time_column(slot, ColumnPlace(columns, Anum_segment_expires_at));
	stopped = slot_getattr(slot, ColumnPlace(columns, Anum_segment_stopped), &isnull);
	segment->stopped = StopOfValue(stopped, isnull);
	pace = slot_getattr(slot, ColumnPlace(columns, Anum_segment_pace), &isnull);
	segment->pace = isnull ? NO_PACE : DatumGetInt32(pace);
	segment->target = text_column(slot, ColumnPlace(columns, Anum_segment_target));
	segment->relay =
		DatumGetInt32(slot_getattr(slot, ColumnPlace(columns, Anum_segment_relay), &isnull));
	if (isnull)
		segment->relay = NO_RELAY;
	segment->tid = slot->tts_tid;
}

/*
 * Find the segment that covers an outbox row: none, if the row is finished.
 * It begins at most a segment's length before the row; the bound keeps the
 * search from walking through the remains of finished segments.
 */
bool
FindSegment(SegmentTable *table, int64 outbox_id, Segment *segment)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = ActeonIndexBeginScan(table->rel, table->by_id, snapshot, 2);
	ScanKeyData keys[2];
	bool found;

	ScanKeyInit(&keys[0], 1, BTGreaterStrategyNumber, F_INT8GT,
				Int64GetDatum(outbox_id - SEGMENT_ACTIONS));
	ScanKeyInit(&keys[1], 1, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(outbox_id));
	index_rescan(scan, keys, 2, NULL, 0);
	found = index_getnext_slot(scan, BackwardScanDirection, table->found);
	if (found)
	{
		read_segment(table, segment);
		found = segment->last_id >= outbox_id;
	}
	ExecClearTuple(table->found);
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	return found;
}

/*
 * Find what is leased under a token, and add it to an array from palloc, which
 * grows.
 */
void
FindLease(SegmentTable *table, int64 token, Segment **segments, int *count, int *allocated)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = ActeonIndexBeginScan(table->rel, table->by_lease, snapshot, 1);
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(token));
	index_rescan(scan, &key, 1, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, table->found))
	{
		CHECK_FOR_INTERRUPTS();
		if (*count == *allocated)
		{
			*allocated *= 2;
			*segments = repalloc_huge(*segments, *allocated * sizeof(Segment));
		}
		read_segment(table, &(*segments)[(*count)++]);
	}
	ExecClearTuple(table->found);
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
}

/*
 * The last outbox id in a lane that is of another batch than the given one; 0 if there is
 * none.  What another transaction has added counts, although it has not been committed.
 */
int64
LastInLane(SegmentTable *table, int64 lane, int64 batch_id)
{
	SnapshotData dirty;
	IndexScanDesc scan;
	ScanKeyData key;
	int64 last_id = 0;

	InitDirtySnapshot(dirty);
	scan = ActeonIndexBeginScan(table->rel, table->by_lane, &dirty, 1);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(lane));
	index_rescan(scan, &key, 1, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, table->found))
	{
		Segment other;

		CHECK_FOR_INTERRUPTS();
		read_segment(table, &other);
		if (other.batch_id != batch_id)
			last_id = Max(last_id, other.last_id);
	}
	ExecClearTuple(table->found);
	index_endscan(scan);
	return last_id;
}

/*
 * Lock a lane against other claims until the transaction ends; returns false if
 * another transaction has locked it.  Lanes share a few locks, so that a claim
 * needs few.
 */
static bool
lock_lane(Relation rel, int64 lane)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, RelationGetRelid(rel),
						 (uint32) ((uint64) lane % LANE_LOCKS), LANE_LOCK_CLASS);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * What a lane shows of a segment at a time.
 */
static LaneEntry
lane_entry(const Segment *segment, TimestampTz now)
{
	return (LaneEntry){.first_id = segment->first_id,
					   .due_at = segment->due_at,
					   .has_token = segment->lease_token != NO_LEASE,
					   .is_leased = SegmentIsLeased(segment, now),
					   .in_doubt = segment->doubt_since != 0};
}

/*
 * Whether another segment of the lane of a segment is leased.
 */
static PG_USED_FOR_ASSERTS_ONLY bool
other_is_leased(SegmentTable *table, const Segment *segment, TimestampTz now)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = ActeonIndexBeginScan(table->rel, table->by_lane, snapshot, 2);
	ScanKeyData keys[2];
	bool found = false;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(segment->lane));
	ScanKeyEntryInitialize(&keys[1], SK_ISNULL | SK_SEARCHNOTNULL, 2, InvalidStrategy, InvalidOid,
						   InvalidOid, InvalidOid, (Datum) 0);
	index_rescan(scan, keys, 2, NULL, 0);
	while (!found && index_getnext_slot(scan, ForwardScanDirection, table->found))
	{
		Segment other;

		read_segment(table, &other);
		found = other.first_id != segment->first_id && SegmentIsLeased(&other, now);
	}
	ExecClearTuple(table->found);
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	return found;
}

/*
 * Whether the lane of a due segment permits it to be claimed (lane.c).
 *
 * Two claims must not check a lane concurrently: each could miss what commits
 * between their snapshots.  So the lane is locked, and checked afterwards.  An
 * expired lease in it may just be being extended; it is locked, so that the
 * session that extends it finds that it has expired.
 */
LaneState
LookAtLane(SegmentTable *table, const Segment *segment, TimestampTz now)
{
	LaneEntry wanted = lane_entry(segment, now);
	LaneLook look;
	LaneState state;
	Snapshot snapshot;
	IndexScanDesc scan;
	ScanKeyData key;

	if (!lock_lane(table->rel, segment->lane))
		return LANE_BUSY;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = ActeonIndexBeginScan(table->rel, table->by_lane, snapshot, 1);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(segment->lane));
	index_rescan(scan, &key, 1, NULL, 0);
	BeginLook(&look, &wanted);
	while (!look.is_over && index_getnext_slot(scan, ForwardScanDirection, table->found))
	{
		Segment other;
		LaneEntry entry;

		CHECK_FOR_INTERRUPTS();
		read_segment(table, &other);
		entry = lane_entry(&other, now);
		if (LookAtEntry(&look, &entry) && !HoldSegment(table, &other, false))
			FindBusy(&look);
	}
	ExecClearTuple(table->found);
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	state = EndLook(&look, now);
	AssertInvariant(LaneLeasedOnce, state != LANE_FREE || !other_is_leased(table, segment, now));
	return state;
}

/*
 * Set the key for the first column of an index, which is the target (NULL: production).
 */
static void
set_target_key(ScanKey key, Relation index, const text *target)
{
	if (target == NULL)
		ScanKeyEntryInitialize(key, SK_ISNULL | SK_SEARCHNULL, 1, InvalidStrategy, InvalidOid,
							   InvalidOid, InvalidOid, (Datum) 0);
	else
		ScanKeyEntryInitialize(key, 0, 1, BTEqualStrategyNumber, InvalidOid,
							   index->rd_indcollation[0], F_TEXTEQ, PointerGetDatum(target));
}

/*
 * Begin to read the segments for a target (NULL: production) that are due and not in
 * doubt, in the order in which they are claimed: after a place, or from the beginning if it is NULL,
 * until a time.  The scan is allocated in the current memory context, the
 * segments' texts in that of the caller that reads them.
 */
void
BeginDueScan(SegmentScan *scan, SegmentTable *table, const text *target, const DuePlace *after,
			 TimestampTz until)
{
	int count = 1;

	scan->table = table;
	scan->context = CurrentMemoryContext;
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	set_target_key(&scan->keys[0], table->by_due, target);
	if (after != NULL)
	{
		/* (due_at, first_id) > (…, …), as the parser would make it */
		ScanKeyEntryInitialize(&scan->place_keys[0], SK_ROW_MEMBER, 2, BTGreaterStrategyNumber,
							   InvalidOid, InvalidOid, F_BTINT8CMP,
							   TimestampTzGetDatum(after->due_at));
		ScanKeyEntryInitialize(&scan->place_keys[1], SK_ROW_MEMBER | SK_ROW_END, 3,
							   BTGreaterStrategyNumber, InvalidOid, InvalidOid, F_BTINT8CMP,
							   Int64GetDatum(after->first_id));
		MemSet(&scan->keys[count], 0, sizeof(ScanKeyData));
		scan->keys[count].sk_flags = SK_ROW_HEADER;
		scan->keys[count].sk_attno = 2;
		scan->keys[count].sk_strategy = BTGreaterStrategyNumber;
		scan->keys[count].sk_argument = PointerGetDatum(scan->place_keys);
		count++;
	}
	ScanKeyInit(&scan->keys[count++], 2, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE,
				TimestampTzGetDatum(until));
	scan->scan = ActeonIndexBeginScan(table->rel, table->by_due, scan->snapshot, count);
	index_rescan(scan->scan, scan->keys, count, NULL, 0);
}

/*
 * Begin to read the doubts of a target (NULL: production) that are to be looked up until a
 * time, in the order of their times.  As with BeginDueScan for the memory.
 */
void
BeginLookScan(SegmentScan *scan, SegmentTable *table, const text *target, TimestampTz until)
{
	scan->table = table;
	scan->context = CurrentMemoryContext;
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->scan = ActeonIndexBeginScan(table->rel, table->by_look, scan->snapshot, 2);
	set_target_key(&scan->keys[0], table->by_look, target);
	ScanKeyInit(&scan->keys[1], 2, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE,
				TimestampTzGetDatum(until));
	index_rescan(scan->scan, scan->keys, 2, NULL, 0);
}

/*
 * Begin to read all doubts, of all targets.  As with BeginDueScan for the memory.
 */
void
BeginDoubtScan(SegmentScan *scan, SegmentTable *table)
{
	scan->table = table;
	scan->context = CurrentMemoryContext;
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->scan = ActeonIndexBeginScan(table->rel, table->by_look, scan->snapshot, 0);
	index_rescan(scan->scan, NULL, 0, NULL, 0);
}

/*
 * Begin to read what a limit of a kind counts: the segments that are leased, or
 * those that are parked, the lowest ids first.  As with BeginDueScan for the memory.
 */
void
BeginParkedScan(SegmentScan *scan, SegmentTable *table, LimitKind kind, int64 limit, bool leased)
{
	scan->table = table;
	scan->context = CurrentMemoryContext;
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->scan = ActeonIndexBeginScan(table->rel, table->by_limit[kind], scan->snapshot, 2);
	ScanKeyInit(&scan->keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(limit));
	ScanKeyEntryInitialize(&scan->keys[1], SK_ISNULL | (leased ? SK_SEARCHNOTNULL : SK_SEARCHNULL),
						   2, InvalidStrategy, InvalidOid, InvalidOid, InvalidOid, (Datum) 0);
	index_rescan(scan->scan, scan->keys, 2, NULL, 0);
}

/*
 * Begin to read the segments whose first ids lie between two ids, inclusive, as
 * they are at this moment: those of a batch, and perhaps others.
 */
void
BeginRangeScan(SegmentScan *scan, SegmentTable *table, int64 first_id, int64 last_id)
{
	scan->table = table;
	scan->context = CurrentMemoryContext;
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->scan = ActeonIndexBeginScan(table->rel, table->by_id, scan->snapshot, 2);
	ScanKeyInit(&scan->keys[0], 1, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(first_id));
	ScanKeyInit(&scan->keys[1], 1, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(last_id));
	index_rescan(scan->scan, scan->keys, 2, NULL, 0);
}

/*
 * Read the next segment of a scan; its texts are copied into the current memory
 * context.
 */
bool
NextSegment(SegmentScan *scan, Segment *segment)
{
	MemoryContext old = MemoryContextSwitchTo(scan->context);
	bool found = index_getnext_slot(scan->scan, ForwardScanDirection, scan->table->found);

	MemoryContextSwitchTo(old);
	if (found)
		read_segment(scan->table, segment);
	return found;
}

/*
 * Done with a scan.
 */
void
EndSegmentScan(SegmentScan *scan)
{
	ExecClearTuple(scan->table->found);
	index_endscan(scan->scan);
	UnregisterSnapshot(scan->snapshot);
}

/*
 * Put a segment into a slot as a row.
 */
static void
fill_row(SegmentTable *table, TupleTableSlot *slot, const Segment *segment)
{
	Datum values[Natts_segment];
	bool nulls[Natts_segment] = {false};
	bool leased = segment->lease_token != NO_LEASE;
	bool parked = !leased && segment->doubt_since == 0 && segment->due_at == DT_NOEND;

	values[Anum_segment_first_id - 1] = Int64GetDatum(segment->first_id);
	values[Anum_segment_last_id - 1] = Int64GetDatum(segment->last_id);
	values[Anum_segment_batch_id - 1] = Int64GetDatum(segment->batch_id);
	values[Anum_segment_due_at - 1] = TimestampTzGetDatum(segment->due_at);
	values[Anum_segment_attempt - 1] = Int32GetDatum(segment->attempt);
	values[Anum_segment_was_claimed - 1] = BoolGetDatum(segment->was_claimed);
	values[Anum_segment_lane - 1] = Int64GetDatum(segment->lane);
	nulls[Anum_segment_lane - 1] = !segment->in_lane;
	values[Anum_segment_lease_token - 1] = Int64GetDatum(segment->lease_token);
	nulls[Anum_segment_lease_token - 1] = !leased;
	values[Anum_segment_holder - 1] = PointerGetDatum(segment->holder);
	nulls[Anum_segment_holder - 1] = !leased;
	values[Anum_segment_resend - 1] = Int32GetDatum(segment->resend);
	values[Anum_segment_sent_at - 1] = TimestampTzGetDatum(segment->sent_at);
	nulls[Anum_segment_sent_at - 1] = segment->sent_at == 0;
	values[Anum_segment_id_refused - 1] = BoolGetDatum(segment->id_refused);
	values[Anum_segment_unproven - 1] = BoolGetDatum(segment->unproven);
	values[Anum_segment_doubt_since - 1] = TimestampTzGetDatum(segment->doubt_since);
	nulls[Anum_segment_doubt_since - 1] = segment->doubt_since == 0;
	values[Anum_segment_doubt - 1] = PointerGetDatum(segment->doubt);
	nulls[Anum_segment_doubt - 1] = segment->doubt == NULL;
	values[Anum_segment_held - 1] = PointerGetDatum(segment->held);
	nulls[Anum_segment_held - 1] = segment->held == NULL;
	values[Anum_segment_provider - 1] = PointerGetDatum(segment->provider);
	nulls[Anum_segment_provider - 1] = segment->provider == NULL;
	values[Anum_segment_provider_limit - 1] = Int64GetDatum(segment->provider_limit);
	nulls[Anum_segment_provider_limit - 1] =
		segment->provider_limit == NO_LIMIT || !(leased || parked);
	values[Anum_segment_tenant_limit - 1] = Int64GetDatum(segment->tenant_limit);
	nulls[Anum_segment_tenant_limit - 1] = segment->tenant_limit == NO_LIMIT || !(leased || parked);
	values[Anum_segment_parked_at - 1] = TimestampTzGetDatum(segment->parked_at);
	nulls[Anum_segment_parked_at - 1] = segment->parked_at == 0 || !parked;
	values[Anum_segment_expires_at - 1] = TimestampTzGetDatum(segment->expires_at);
	nulls[Anum_segment_expires_at - 1] = segment->expires_at == 0;
	nulls[Anum_segment_stopped - 1] = segment->stopped == BATCH_RUNS;
	if (segment->stopped != BATCH_RUNS)
		values[Anum_segment_stopped - 1] = CStringGetTextDatum(
			segment->stopped == BATCH_PAUSED ? STOPPED_PAUSED : STOPPED_CANCELLED);
	values[Anum_segment_pace - 1] = Int32GetDatum(segment->pace);
	nulls[Anum_segment_pace - 1] = segment->pace == NO_PACE;
	values[Anum_segment_target - 1] = PointerGetDatum(segment->target);
	nulls[Anum_segment_target - 1] = segment->target == NULL;
	values[Anum_segment_relay - 1] = Int32GetDatum(segment->relay);
	nulls[Anum_segment_relay - 1] = segment->relay == NO_RELAY;
	FillSlot(&table->writer, slot, values, nulls, Natts_segment);
}

/*
 * Insert a segment.
 */
void
InsertSegment(SegmentTable *table, const Segment *segment)
{
	fill_row(table, table->changed, segment);
	InsertSlot(&table->writer, table->changed);
	TraceSegment(segment);
}

/*
 * Lock a segment, which has been read, for changing it.  Returns false if
 * another transaction has changed it meanwhile, or is about to; with wait, one
 * that is about to is waited for first.
 */
bool
HoldSegment(SegmentTable *table, const Segment *segment, bool wait)
{
	ItemPointerData tid = segment->tid;
	bool held = HoldRow(&table->writer, &tid, table->changed, wait);

	ExecClearTuple(table->changed);
	return held;
}

/*
 * Delete a segment, which has been read.  Waits for transactions that are
 * changing it; returns false if it was changed.
 */
bool
RemoveSegment(SegmentTable *table, const Segment *segment)
{
	ItemPointerData tid = segment->tid;

	return DeleteRow(&table->writer, &tid);
}

/*
 * Whether pieces cover nothing that a segment did not, and nothing twice.
 */
static PG_USED_FOR_ASSERTS_ONLY bool
are_pieces(const Segment *segment, const Segment *pieces, int count)
{
	int64 free_id = segment->first_id;

	for (int i = 0; i < count; i++)
	{
		if (pieces[i].first_id < free_id || pieces[i].last_id < pieces[i].first_id ||
			pieces[i].last_id > segment->last_id || pieces[i].batch_id != segment->batch_id)
			return false;
		free_id = pieces[i].last_id + 1;
	}
	return true;
}

/*
 * Replace a segment, which has been read, by the pieces that are left of it, by
 * none, or by a changed one.  Waits for transactions that are changing it;
 * returns false, having changed nothing, if it was changed.  The place of the
 * first piece is set.  The pieces cover what the segment did but for what ends in the
 * same transaction (NoneLost, CoveredOnce).
 */
bool
ReplaceSegment(SegmentTable *table, const Segment *old, Segment *pieces, int count)
{
	ItemPointerData tid = old->tid;

	AssertInvariant(CoveredOnce, are_pieces(old, pieces, count));
	if (count == 0)
		return RemoveSegment(table, old);
	fill_row(table, table->changed, &pieces[0]);
	if (!UpdateRow(&table->writer, &tid, table->changed))
		return false;
	pieces[0].tid = table->changed->tts_tid;
	TraceSegment(&pieces[0]);
	for (int i = 1; i < count; i++)
		InsertSegment(table, &pieces[i]);
	return true;
}

/*
 * Cut a segment into runs of neighbours that belong to the same group; groups has the
 * group of each of its actions, and pieces room for as many.  Returns the number of
 * pieces, which are otherwise as the segment, for ReplaceSegment.
 */
int
CutSegment(const Segment *segment, const int *groups, Segment *pieces)
{
	int count = 0;

	for (int i = 0; i < SegmentLength(segment); i++)
	{
		if (i == 0 || groups[i] != groups[i - 1])
		{
			pieces[count] = *segment;
			pieces[count++].first_id = segment->first_id + i;
		}
		pieces[count - 1].last_id = segment->first_id + i;
	}
	return count;
}

/*
 * Whether two pieces of a segment differ in nothing but their actions.
 */
static bool
are_alike(const Segment *a, const Segment *b)
{
	return a->due_at == b->due_at && a->attempt == b->attempt && a->lease_token == b->lease_token &&
		   a->resend == b->resend && a->sent_at == b->sent_at && a->id_refused == b->id_refused &&
		   a->unproven == b->unproven && a->doubt_since == b->doubt_since && a->relay == b->relay &&
		   a->expires_at == b->expires_at && SameOptionalText(a->doubt, b->doubt) &&
		   SameOptionalText(a->held, b->held);
}

/*
 * Add a piece behind the pieces of a segment.  Neighbours that are alike become
 * one, so that there are at most as many pieces as actions.
 */
void
AppendPiece(Segment *pieces, int *count, const Segment *piece)
{
	if (*count > 0)
	{
		Segment *last = &pieces[*count - 1];

		if (last->last_id + 1 == piece->first_id && are_alike(last, piece))
		{
			last->last_id = piece->last_id;
			return;
		}
	}
	pieces[(*count)++] = *piece;
}

/*
 * The lane of a tenant's actions with a fingerprint that go to a target (NULL:
 * production).
 */
int64
ActionLane(const text *tenant, const text *fingerprint, const char *target)
{
	uint64 lane = DatumGetUInt64(hash_any_extended((const unsigned char *) VARDATA_ANY(tenant),
												   VARSIZE_ANY_EXHDR(tenant), 0));

	if (target != NULL)
		lane = DatumGetUInt64(
			hash_any_extended((const unsigned char *) target, (int) strlen(target), lane));
	return (int64) DatumGetUInt64(
		hash_any_extended((const unsigned char *) VARDATA_ANY(fingerprint),
						  VARSIZE_ANY_EXHDR(fingerprint), lane));
}

/*
 * acteon_dispatch_lane(tenant text, fingerprint text, target text) → bigint
 *
 * The lane that actions of the tenant with the fingerprint are in.  Raises
 * invalid_parameter_value.
 */
Datum
acteon_dispatch_lane(PG_FUNCTION_ARGS)
{
	/* Version 1.0 has two arguments. */
	const char *target = PG_NARGS() > 2 ? CheckTarget(text_to_cstring(PG_GETARG_TEXT_PP(2))) : NULL;

	PG_RETURN_INT64(ActionLane(PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1), target));
}
