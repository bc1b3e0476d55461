/*
 * limit.c
 *		Limits of providers and tenants, which all batches keep together.
 *
 * A provider or a tenant can have a rate, a number of actions that may be in flight,
 * and a provider a circuit breaker (batch/provider_breaker.c).  They are kept where
 * actions are handed out, by claims:
 *
 * - Enqueueing does not look at limits.  It only makes each segment of one provider
 *   and notes that in it (enqueue.c), so that a claim need not read the actions.
 * - A claim reads the table of limits, which is normally empty; then nothing else
 *   changes.
 * - A claim that meets a due segment asks the limits of its provider and of its
 *   actions' tenants how many actions they allow.  If there are none, it parks the
 *   segment: the segment is due at no time, and is noted under the limit that it waits
 *   for.  So each segment that must wait is met once, and then it is out of the way of
 *   others, however many there are.  The due times of a batch are not needed any more,
 *   as they have come.
 * - Each claim first hands out what is parked under limits that allow something, the
 *   lowest ids first, from an index that begins with the limit's key: as many actions
 *   as the limit allows, and at most half of those wanted, so that neither what waits
 *   for limits nor the rest can starve the other.  Nothing has to be done when a limit
 *   is changed or a circuit breaker closes: the next claim finds that more is allowed.
 *   Only what a batch with a rate had parked before gets new due times at that moment,
 *   as after a pause, because it would all go out at once (released_at).
 * - A leased segment notes its limits.  What is in flight is counted from the same
 *   index, so answers and expiring leases need not know of limits.
 * - The rate is a token bucket in the limit's row, in the time of the database.  A claim
 *   locks the row until it commits, without waiting: if another claim has it, nothing
 *   is allowed for the moment, and what is due is parked.
 * - Pausing, cancelling, resuming and pacing a batch give its segments other due times
 *   or end them, which unparks them; claims then park again what must wait.  What is
 *   retried or in doubt is not parked until it is due.
 *
 * Segments of version 1.0 and, where tenants have limits, all segments are read when
 * they are met, and cut into runs of one provider and one limited tenant.
 */
#include "postgres.h"

#include <math.h>

#include "access/table.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/text.h"
#include "queue/limit.h"

/* Seconds' worth of actions that go out at once: consumers that are idle ask every second. */
#define BURST_SECONDS 2.0

/* Keeps the lock apart from those of batch_flags.c, segment.c and failover.c. */
#define LIMITS_LOCK_CLASS 8

const char *const LimitKindNames[NUM_LIMIT_KINDS] = {
	[LIMIT_PROVIDER] = LIMIT_PROVIDER_NAME, [LIMIT_TENANT] = LIMIT_TENANT_NAME};

/*
 * The key of the limit of a provider or tenant.
 */
int64
LimitKey(LimitKind kind, const text *name)
{
	uint64 key = DatumGetUInt64(hash_any_extended((const unsigned char *) VARDATA_ANY(name),
												  VARSIZE_ANY_EXHDR(name), kind + 1));

	return key == (uint64) NO_LIMIT ? 1 : (int64) key;
}

/*
 * Lock the table of limits against other calls that add rows to it, until the
 * transaction ends.  Without wait, returns false if another one has it.
 */
bool
LockLimits(Oid schema, bool wait)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, OwnTable(schema, LIMIT_TABLE), 0, LIMITS_LOCK_CLASS);
	return LockAcquire(&tag, ExclusiveLock, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * A time of a row, 0 if it is NULL.
 */
static TimestampTz
time_of(TupleTableSlot *row, AttrNumber column)
{
	bool isnull;
	Datum value = slot_getattr(row, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

/*
 * A numeric of a row as a number, another one if it is NULL.
 */
static double
numeric_of(TupleTableSlot *row, AttrNumber column, double otherwise)
{
	bool isnull;
	Datum value = slot_getattr(row, column, &isnull);

	return isnull ? otherwise
				  : DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
}

/*
 * An integer of a row, another one if it is NULL.
 */
static int
integer_of(TupleTableSlot *row, AttrNumber column, int otherwise)
{
	bool isnull;
	Datum value = slot_getattr(row, column, &isnull);

	return isnull ? otherwise : DatumGetInt32(value);
}

/*
 * Read the row in a limit's slot.
 */
static void
read_limit(SharedLimit *limit)
{
	TupleTableSlot *row = limit->row;
	bool isnull;
	Datum trial;

	limit->key = DatumGetInt64(slot_getattr(row, Anum_limit_key, &isnull));
	limit->kind = TextIs(DatumGetTextPP(slot_getattr(row, Anum_limit_kind, &isnull)),
						 LimitKindNames[LIMIT_TENANT])
					  ? LIMIT_TENANT
					  : LIMIT_PROVIDER;
	limit->name = DatumGetTextPCopy(slot_getattr(row, Anum_limit_name, &isnull));
	limit->rate = numeric_of(row, Anum_limit_rate, 0);
	limit->concurrency = integer_of(row, Anum_limit_concurrency, 0);
	(void) slot_getattr(row, Anum_limit_concurrency, &isnull);
	limit->has_concurrency = !isnull;
	limit->tokens = DatumGetFloat8(slot_getattr(row, Anum_limit_tokens, &isnull));
	limit->refilled_at = time_of(row, Anum_limit_refilled_at);
	limit->breaker_window = integer_of(row, Anum_limit_breaker_window, DEFAULT_BREAKER_WINDOW);
	limit->breaker_share = numeric_of(row, Anum_limit_breaker_share, DEFAULT_BREAKER_SHARE);
	limit->breaker_since = time_of(row, Anum_limit_breaker_since);
	limit->opened_at = time_of(row, Anum_limit_opened_at);
	limit->retry_at = time_of(row, Anum_limit_retry_at);
	limit->backoff = integer_of(row, Anum_limit_backoff, 0);
	trial = slot_getattr(row, Anum_limit_trial_id, &isnull);
	limit->trial_id = isnull ? 0 : DatumGetInt64(trial);
	limit->released_at = time_of(row, Anum_limit_released_at);
}

/*
 * Whether a table has never had a row: what most calls find, quickly.
 */
static bool
is_empty(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	bool empty = RelationGetNumberOfBlocks(rel) == 0;

	table_close(rel, AccessShareLock);
	return empty;
}

/*
 * Read the limits there are, as they are at this moment, for a call at a time.  Memory
 * is allocated in the current context.
 */
void
ReadLimits(LimitSet *set, Oid schema, TimestampTz now)
{
	static const AttrNumber key[] = {Anum_limit_key};
	Oid relid = OwnTable(schema, LIMIT_TABLE);
	Snapshot snapshot;
	TableReader reader;
	int allocated = 0;

	memset(set, 0, sizeof(*set));
	set->schema = schema;
	set->now = now;
	set->context = CurrentMemoryContext;
	if (is_empty(relid))
		return;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	OpenReader(&reader, relid, ALL_ROWS, 1, key);
	BeginReading(&reader, snapshot, NULL, 0);
	while (index_getnext_slot(reader.scan, ForwardScanDirection, reader.slot))
	{
		SharedLimit *limit;

		CHECK_FOR_INTERRUPTS();
		if (set->count == allocated)
		{
			allocated = Max(allocated * 2, 8);
			set->limits = set->limits == NULL
							  ? palloc(allocated * sizeof(SharedLimit))
							  : repalloc(set->limits, allocated * sizeof(SharedLimit));
		}
		if (set->count == 0 && !RecoveryInProgress())
		{
			OpenWriter(&set->writer, relid, true);
			set->scratch = table_slot_create(set->writer.rel, NULL);
		}
		limit = &set->limits[set->count++];
		memset(limit, 0, sizeof(*limit));
		limit->row = table_slot_create(reader.rel, NULL);
		ExecCopySlot(limit->row, reader.slot);
		limit->row->tts_tid = reader.slot->tts_tid;
		read_limit(limit);
		set->has_tenants |= limit->kind == LIMIT_TENANT;
	}
	CloseReader(&reader);
	UnregisterSnapshot(snapshot);
}

/*
 * Done with limits.  Locks stay until the transaction ends.
 */
void
CloseLimits(LimitSet *set)
{
	if (set->count == 0)
		return;
	for (int i = 0; i < set->count; i++)
		ExecDropSingleTupleTableSlot(set->limits[i].row);
	if (set->scratch != NULL)
	{
		ExecDropSingleTupleTableSlot(set->scratch);
		CloseWriter(&set->writer);
	}
	pfree(set->limits);
	set->limits = NULL;
	set->count = 0;
}

/*
 * The limit of a provider or tenant; NULL if it has none.
 */
SharedLimit *
FindLimit(LimitSet *set, LimitKind kind, const text *name)
{
	for (int i = 0; i < set->count; i++)
	{
		if (set->limits[i].kind == kind && SameText(set->limits[i].name, name))
			return &set->limits[i];
	}
	return NULL;
}

/*
 * The limit with a key; NULL if there is none.
 */
SharedLimit *
LimitByKey(LimitSet *set, LimitKind kind, int64 key)
{
	for (int i = 0; key != NO_LIMIT && i < set->count; i++)
	{
		if (set->limits[i].kind == kind && set->limits[i].key == key)
			return &set->limits[i];
	}
	return NULL;
}

/*
 * Change columns of a limit's row, and not what was read of it.  Returns false if
 * another transaction has changed the row, or is about to; with wait, one that is about
 * to is waited for first.
 */
bool
ChangeLimit(LimitSet *set, SharedLimit *limit, int count, const AttrNumber *columns,
			const Datum *values, const bool *nulls, bool wait)
{
	return ChangeRow(&set->writer, limit->row, count, columns, values, nulls, wait);
}

/*
 * Lock the row of a limit, without waiting.  What was read of it is then how it is.
 */
static bool
hold_limit(LimitSet *set, SharedLimit *limit)
{
	if (limit->hold == LIMIT_UNTRIED)
	{
		ItemPointerData tid = limit->row->tts_tid;

		limit->hold = HoldRow(&set->writer, &tid, set->scratch, false) ? LIMIT_HELD : LIMIT_BUSY;
		ExecClearTuple(set->scratch);
	}
	return limit->hold == LIMIT_HELD;
}

/*
 * How many actions a limit counts that consumers hold.
 */
static int64
count_in_flight(LimitSet *set, SegmentTable *segments, const SharedLimit *limit)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay flight", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	SegmentScan scan;
	Segment segment;
	int64 count = 0;

	BeginParkedScan(&scan, segments, limit->kind, limit->key, true);
	old = MemoryContextSwitchTo(context);
	while (NextSegment(&scan, &segment))
	{
		CHECK_FOR_INTERRUPTS();
		if (SegmentIsLeased(&segment, set->now))
			count += SegmentLength(&segment);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	EndSegmentScan(&scan);
	MemoryContextDelete(context);
	return count;
}

/*
 * Fill the bucket of a limit up to the present.
 */
static void
refill(const LimitSet *set, SharedLimit *limit)
{
	double most = Max(limit->rate * BURST_SECONDS, 1);
	double seconds = Max(set->now - limit->refilled_at, 0) / (double) USECS_PER_SEC;

	limit->tokens =
		limit->refilled_at == 0 ? most : Min(limit->tokens + seconds * limit->rate, most);
	limit->refilled_at = Max(set->now, limit->refilled_at);
}

/*
 * How many actions, of a segment at most, a limit allows to be handed out now.  NULL is
 * no limit.
 */
int
LimitAllows(LimitSet *set, SegmentTable *segments, SharedLimit *limit)
{
	int allowed = SEGMENT_ACTIONS;

	if (limit == NULL || (limit->rate == 0 && !limit->has_concurrency && limit->opened_at == 0))
		return allowed;
	if (!hold_limit(set, limit))
		return 0;
	if (limit->opened_at != 0)
	{
		if (limit->retry_at > set->now || limit->trial_id != 0)
			return 0;
		allowed = 1;
	}
	if (limit->rate > 0)
	{
		refill(set, limit);
		allowed = (int) Min(allowed, floor(limit->tokens));
	}
	if (allowed > 0 && limit->has_concurrency)
	{
		if (!limit->is_counted)
			limit->in_flight = count_in_flight(set, segments, limit);
		limit->is_counted = true;
		allowed = (int) Min(allowed, Max(limit->concurrency - limit->in_flight, 0));
	}
	return allowed;
}

/*
 * Count actions that are handed out, as LimitAllows has allowed, from an id on.
 */
void
SpendLimit(LimitSet *set, SharedLimit *limit, int actions, int64 first_id)
{
	if (limit == NULL || limit->hold != LIMIT_HELD || actions == 0)
		return;
	limit->is_changed |= limit->rate > 0 || limit->opened_at != 0;
	limit->tokens -= actions;
	limit->in_flight += actions;
	if (limit->opened_at != 0)
		limit->trial_id = first_id;
}

/*
 * Write down what was spent.
 */
void
WriteSpent(LimitSet *set)
{
	static const AttrNumber columns[] = {Anum_limit_tokens, Anum_limit_refilled_at,
										 Anum_limit_trial_id};

	for (int i = 0; i < set->count; i++)
	{
		SharedLimit *limit = &set->limits[i];
		Datum values[] = {Float8GetDatum(limit->tokens), TimestampTzGetDatum(limit->refilled_at),
						  Int64GetDatum(limit->trial_id)};
		bool nulls[] = {false, limit->refilled_at == 0, limit->trial_id == 0};

		if (limit->is_changed &&
			!ChangeLimit(set, limit, lengthof(columns), columns, values, nulls, false))
			elog(ERROR, "a limit was changed while it was locked");
		limit->is_changed = false;
	}
}

/*
 * Make a segment one that waits for a limit.
 */
void
ParkSegment(Segment *segment, const SharedLimit *limit, TimestampTz now)
{
	segment->due_at = DT_NOEND;
	segment->lease_token = NO_LEASE;
	segment->provider_limit = limit->kind == LIMIT_PROVIDER ? limit->key : NO_LIMIT;
	segment->tenant_limit = limit->kind == LIMIT_TENANT ? limit->key : NO_LIMIT;
	segment->parked_at = now;
}
