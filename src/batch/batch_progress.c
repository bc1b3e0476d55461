/*
 * batch_progress.c
 *		Batches that go on: read back, locked and changed.
 *
 * Whoever changes a batch locks its row first, until the transaction ends, and
 * then sees what the one before has committed, whatever the isolation level of
 * the transaction.  So a chunk of a replay, another runner of the same batch,
 * and who pauses or cancels it take turns.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "batch/batch_row.h"
#include "queue/batch_flags.h"
#include "queue/pace.h"
#include "queue/tally.h"

/*
 * A column of a row; the value of NULL is 0.
 */
static Datum
get(TupleTableSlot *slot, AttrNumber column, bool *isnull)
{
	Datum value = slot_getattr(slot, column, isnull);

	return *isnull ? (Datum) 0 : value;
}

/*
 * A column that is never NULL, or is as good as 0 then.
 */
static int64
get_int64(TupleTableSlot *slot, AttrNumber column)
{
	bool isnull;

	return DatumGetInt64(get(slot, column, &isnull));
}

static OptionalTime
get_time(TupleTableSlot *slot, AttrNumber column)
{
	bool isnull;
	TimestampTz time = DatumGetTimestampTz(get(slot, column, &isnull));
	OptionalTime result = {!isnull, time};

	return result;
}

static char *
get_text(TupleTableSlot *slot, AttrNumber column)
{
	bool isnull;
	Datum value = get(slot, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static Numeric
get_numeric(TupleTableSlot *slot, AttrNumber column)
{
	bool isnull;
	Datum value = get(slot, column, &isnull);

	return isnull ? NULL : DatumGetNumericCopy(value);
}

static Jsonb *
get_jsonb(TupleTableSlot *slot, AttrNumber column)
{
	bool isnull;

	return DatumGetJsonbPCopy(get(slot, column, &isnull));
}

/*
 * Whether a row says that its batch is stopped.
 */
static BatchStop
get_stop(TupleTableSlot *slot)
{
	const char *stopped = get_text(slot, Anum_batch_stopped);

	if (stopped == NULL)
		return BATCH_RUNS;
	return strcmp(stopped, STOPPED_PAUSED) == 0 ? BATCH_PAUSED : BATCH_CANCELLED;
}

/*
 * The other provider that a batch's query names, or NULL.
 */
static char *
query_provider_override(Jsonb *query)
{
	JsonbValue value;

	if (getKeyJsonValueFromContainer(&query->root, "provider_override", strlen("provider_override"),
									 &value) == NULL)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/*
 * Read the row of a batch in a slot, into the current memory context.
 */
void
ReadBatchRow(TupleTableSlot *slot, BatchRow *batch)
{
	bool isnull;

	memset(batch, 0, sizeof(*batch));
	batch->id = get_int64(slot, Anum_batch_id);
	batch->requested_by = DatumGetObjectId(get(slot, Anum_batch_requested_by_oid, &isnull));
	batch->created_at = get_time(slot, Anum_batch_created_at).time;
	batch->reason = get_text(slot, Anum_batch_reason);
	batch->query = get_jsonb(slot, Anum_batch_query);
	batch->replayed = get_int64(slot, Anum_batch_replayed);
	batch->failed = get_int64(slot, Anum_batch_failed);
	batch->skipped = get_int64(slot, Anum_batch_skipped);
	batch->passed_over = get_int64(slot, Anum_batch_passed_over);
	batch->scope =
		ScopeFromJsonb(get_jsonb(slot, Anum_batch_scope), query_provider_override(batch->query));
	batch->failures = FailuresFromJsonb(get_jsonb(slot, Anum_batch_failures));
	batch->matched = DatumGetInt64(get(slot, Anum_batch_matched, &isnull));
	if (isnull)
		batch->matched = -1;
	batch->chunk = DatumGetInt32(get(slot, Anum_batch_chunk, &isnull));
	batch->is_complete = DatumGetBool(get(slot, Anum_batch_is_complete, &isnull));
	batch->cursor = get_text(slot, Anum_batch_cursor);
	batch->last_chunk_at = get_time(slot, Anum_batch_last_chunk_at).time;
	batch->first_outbox_id = get_int64(slot, Anum_batch_first_outbox_id);
	batch->last_outbox_id = get_int64(slot, Anum_batch_last_outbox_id);
	batch->start_at = get_time(slot, Anum_batch_start_at);
	batch->rate = get_numeric(slot, Anum_batch_rate);
	batch->paced_until = get_time(slot, Anum_batch_paced_until);
	batch->breaker_window = DatumGetInt32(get(slot, Anum_batch_breaker_window, &isnull));
	batch->breaker_share = get_numeric(slot, Anum_batch_breaker_share);
	batch->holds_doubts = strcmp(get_text(slot, Anum_batch_on_doubt), ON_DOUBT_HOLD) == 0;
	batch->stop = get_stop(slot);
	batch->stop_reason = get_text(slot, Anum_batch_stop_reason);
}

/*
 * Find the row of a batch as it is now.
 */
static bool
find_batch(TableFinder *finder, int64 id)
{
	Snapshot now = RegisterSnapshot(GetLatestSnapshot());
	bool found = FindRow(finder, F_INT8EQ, Int64GetDatum(id), now);

	UnregisterSnapshot(now);
	return found;
}

/*
 * Read a batch as it is now, into the current memory context.  Returns false if
 * there is none of this number.
 */
bool
ReadBatch(Oid schema, int64 id, BatchRow *batch)
{
	TableFinder finder;
	bool found;

	OpenFinder(&finder, OwnTable(schema, BATCH_TABLE), Anum_batch_id);
	found = find_batch(&finder, id);
	if (found)
		ReadBatchRow(finder.slot, batch);
	CloseFinder(&finder);
	return found;
}

/*
 * Lock a batch for changing it, waiting for whoever is about to, and read it.
 * Runs as the table's owner.  Returns false if there is none of this number;
 * otherwise UpdateBatch or ReleaseBatch is to follow.
 */
bool
HoldBatch(HeldBatch *held, Oid schema, int64 id, BatchRow *batch)
{
	Oid table = OwnTable(schema, BATCH_TABLE);
	TupleTableSlot *locked;
	bool found;

	LockSteering(schema, id);
	OpenWriter(&held->writer, table, true);
	OpenFinder(&held->finder, table, Anum_batch_id);
	locked = table_slot_create(held->writer.rel, NULL);
	while ((found = find_batch(&held->finder, id)))
	{
		ItemPointerData tid = held->finder.slot->tts_tid;

		CHECK_FOR_INTERRUPTS();
		if (HoldRow(&held->writer, &tid, locked, true))
			break;
	}
	ExecDropSingleTupleTableSlot(locked);
	if (!found)
	{
		ReleaseBatch(held);
		return false;
	}
	ReadBatchRow(held->finder.slot, batch);
	held->scope_size = ScopeSize(batch->scope);
	return true;
}

/* Columns of a row that are to be changed. */
typedef struct Changes
{
	int count;
	AttrNumber columns[Natts_batch];
	Datum values[Natts_batch];
	bool nulls[Natts_batch];
} Changes;

/*
 * Give a column a new value, or NULL.
 */
static void
set(Changes *changes, AttrNumber column, bool given, Datum value)
{
	int i = changes->count++;

	changes->columns[i] = column;
	changes->values[i] = given ? value : (Datum) 0;
	changes->nulls[i] = !given;
}

/*
 * Write down how far a batch that is held has come, and let go of it: counts,
 * failures, scope, cursor, and where its actions are.  Whatever else stands in
 * the row stays.
 */
void
UpdateBatch(HeldBatch *held, const BatchRow *batch)
{
	bool has_actions = batch->first_outbox_id != 0;
	bool has_cursor = batch->cursor != NULL;
	Changes changes = {0};

	set(&changes, Anum_batch_replayed, true, Int64GetDatum(batch->replayed));
	set(&changes, Anum_batch_failed, true, Int64GetDatum(batch->failed));
	set(&changes, Anum_batch_skipped, true, Int64GetDatum(batch->skipped));
	set(&changes, Anum_batch_passed_over, true, Int64GetDatum(batch->passed_over));
	set(&changes, Anum_batch_failures, true, JsonbPGetDatum(FailuresToJsonb(batch->failures)));
	/* A large scope is stored apart, where it can stay. */
	if (ScopeSize(batch->scope) > held->scope_size)
		set(&changes, Anum_batch_scope, true, JsonbPGetDatum(ScopeToJsonb(batch->scope)));
	set(&changes, Anum_batch_cursor, has_cursor,
		has_cursor ? CStringGetTextDatum(batch->cursor) : (Datum) 0);
	set(&changes, Anum_batch_last_chunk_at, true, TimestampTzGetDatum(batch->last_chunk_at));
	set(&changes, Anum_batch_is_complete, true, BoolGetDatum(batch->is_complete));
	set(&changes, Anum_batch_first_outbox_id, has_actions, Int64GetDatum(batch->first_outbox_id));
	set(&changes, Anum_batch_last_outbox_id, has_actions, Int64GetDatum(batch->last_outbox_id));
	set(&changes, Anum_batch_paced_until, batch->paced_until.given,
		TimestampTzGetDatum(batch->paced_until.time));
	if (!ChangeRow(&held->writer, held->finder.slot, changes.count, changes.columns, changes.values,
				   changes.nulls, true))
		elog(ERROR, "batch " INT64_FORMAT " was changed while it was locked", batch->id);
	ReleaseBatch(held);
}

/*
 * How many actions of the batch whose row was found have still to go at a tenth of
 * its rate, if it has a ramp: those of the first tenth that have not ended.
 */
int64
RampLeft(TableFinder *batches, Oid schema)
{
	bool isnull, unknown;
	int64 id = DatumGetInt64(FoundColumn(batches, Anum_batch_id, &isnull));
	Datum matched = FoundColumn(batches, Anum_batch_matched, &unknown);
	Datum replayed = FoundColumn(batches, Anum_batch_replayed, &isnull);
	Jsonb *query = DatumGetJsonbP(FoundColumn(batches, Anum_batch_query, &isnull));
	JsonbValue ramp;

	if (getKeyJsonValueFromContainer(&query->root, "ramp", strlen("ramp"), &ramp) == NULL ||
		ramp.type != jbvBool || !ramp.val.boolean)
		return 0;
	return Max(RampLength(DatumGetInt64(unknown ? replayed : matched)) - CountFinished(schema, id),
			   0);
}

/*
 * Take a batch that is held away, and let go of it.
 */
void
DropBatch(HeldBatch *held, const BatchRow *batch)
{
	if (!DeleteRow(&held->writer, &held->finder.slot->tts_tid))
		elog(ERROR, "batch " INT64_FORMAT " was changed while it was locked", batch->id);
	ReleaseBatch(held);
}

/*
 * Let go of a batch that is held.  Its row stays locked until the transaction
 * ends.
 */
void
ReleaseBatch(HeldBatch *held)
{
	CloseFinder(&held->finder);
	CloseWriter(&held->writer);
}
