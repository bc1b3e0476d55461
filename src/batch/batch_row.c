/*
 * batch_row.c
 *		The row of a batch: who called, why, with what query, and its
 *		progress.
 *
 * A batch is one call of a replay function and everything that it enqueued.  All
 * writes to its row are in this file.
 *
 * To change a batch, its row must be locked first, until the transaction ends;
 * then the latest committed version is visible, whatever the isolation level of
 * the transaction.  So a chunk of a replay, another runner of the same batch,
 * and sessions that pause or cancel it take turns.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/api_key.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/identity.h"
#include "base/numbers.h"
#include "batch/batch_row.h"
#include "batch/control_log.h"
#include "batch/notification.h"
#include "query/stored_query.h"
#include "queue/wake.h"

/*
 * Draw the number of a new batch.
 */
int64
NextBatchId(Oid schema)
{
	return NextNumber(schema, BATCH_SEQUENCE, BATCH_TABLE);
}

/* ----------------------------------------------------------------
 * Writing a new one
 * ----------------------------------------------------------------
 */

/* A new row, being filled. */
typedef struct Row
{
	Datum values[Natts_batch];
	bool nulls[Natts_batch];
} Row;

/*
 * Fill in a column that may be NULL.
 */
static void
fill(Row *row, AttrNumber column, bool given, Datum value)
{
	row->values[column - 1] = given ? value : (Datum) 0;
	row->nulls[column - 1] = !given;
}

/*
 * The share at which a breaker opens, if no other is given: made once a session.
 */
static Datum
default_share(void)
{
	static Datum share = (Datum) 0;

	if (share == (Datum) 0)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		share = DirectFunctionCall1(float8_numeric, Float8GetDatum(BREAKER_SHARE_DEFAULT));
		MemoryContextSwitchTo(old);
	}
	return share;
}

/*
 * Fill in the columns that determine how fast a batch is sent and when it
 * stops.
 */
static void
fill_pace(Row *row, const BatchRow *batch)
{
	bool breaks = batch->breaker_window > 0;
	Datum share = (Datum) 0;

	if (breaks && batch->breaker_share == NULL)
		share = default_share();
	else if (breaks)
		share = NumericGetDatum(batch->breaker_share);
	fill(row, Anum_batch_start_at, batch->start_at.given,
		 TimestampTzGetDatum(batch->start_at.time));
	fill(row, Anum_batch_rate, batch->rate != NULL, NumericGetDatum(batch->rate));
	fill(row, Anum_batch_paced_until, batch->paced_until.given,
		 TimestampTzGetDatum(batch->paced_until.time));
	fill(row, Anum_batch_breaker_window, breaks, Int32GetDatum(batch->breaker_window));
	fill(row, Anum_batch_breaker_share, breaks, share);
}

/*
 * Fill in the columns about the canary.
 */
static void
fill_canary(Row *row, const CanaryState *canary)
{
	bool has_one = canary->mode != NULL;
	bool is_open = canary->step > 0;

	fill(row, Anum_batch_canary, has_one, has_one ? CStringGetTextDatum(canary->mode) : (Datum) 0);
	fill(row, Anum_batch_canary_step, is_open, Int32GetDatum(canary->step));
	fill(row, Anum_batch_canary_first_id, is_open, Int64GetDatum(canary->first_id));
	fill(row, Anum_batch_canary_last_id, is_open, Int64GetDatum(canary->last_id));
	fill(row, Anum_batch_canary_actions, has_one, Int64GetDatum(canary->actions));
	fill(row, Anum_batch_canary_held, true, BoolGetDatum(canary->is_held));
	fill(row, Anum_batch_canary_unrecorded, true, Int64GetDatum(canary->unrecorded));
}

/*
 * The hash of the rows of a batch as a bytea.
 */
static Datum
rows_hash_datum(const RowsHash *hash)
{
	bytea *result;

	if (!hash->given)
		return (Datum) 0;
	result = palloc(VARHDRSZ + LINK_HASH_BYTES);
	SET_VARSIZE(result, VARHDRSZ + LINK_HASH_BYTES);
	memcpy(VARDATA(result), hash->bytes, LINK_HASH_BYTES);
	return PointerGetDatum(result);
}

/*
 * Whether a batch has got so far that it has something to show, and stays.
 */
static bool
has_begun(const BatchRow *batch)
{
	return batch->replayed + batch->failed + batch->skipped > 0;
}

/*
 * Log the start of a batch, once it has begun.  Its query is in its row.
 */
static void
log_start(Oid schema, const BatchRow *batch)
{
	LogControl(schema, batch->requested_by, "start", batch->id, batch->reason, NULL);
}

/*
 * Write a batch down.
 */
void
InsertBatch(Oid schema, const BatchRow *batch)
{
	const char *key = CurrentApiKey();
	TableWriter writer;
	Row row;

	memset(row.values, 0, sizeof(row.values));
	memset(row.nulls, true, sizeof(row.nulls));
	fill(&row, Anum_batch_id, true, Int64GetDatum(batch->id));
	fill(&row, Anum_batch_created_at, true, TimestampTzGetDatum(batch->created_at));
	fill(&row, Anum_batch_requested_by, true, RoleName(batch->requested_by));
	fill(&row, Anum_batch_requested_by_oid, true, ObjectIdGetDatum(batch->requested_by));
	fill(&row, Anum_batch_session_role, true, RoleName(GetSessionUserId()));
	if (batch->reason != NULL)
		fill(&row, Anum_batch_reason, true, CStringGetTextDatum(batch->reason));
	fill(&row, Anum_batch_query, true, JsonbPGetDatum(batch->query));
	fill(&row, Anum_batch_replayed, true, Int64GetDatum(batch->replayed));
	fill(&row, Anum_batch_failed, true, Int64GetDatum(batch->failed));
	fill(&row, Anum_batch_skipped, true, Int64GetDatum(batch->skipped));
	fill(&row, Anum_batch_scope, true, JsonbPGetDatum(ScopeToJsonb(batch->scope)));
	fill(&row, Anum_batch_passed_over, true, Int64GetDatum(batch->passed_over));
	fill(&row, Anum_batch_failures, true, JsonbPGetDatum(FailuresToJsonb(batch->failures)));
	fill(&row, Anum_batch_matched, batch->matched >= 0, Int64GetDatum(batch->matched));
	fill(&row, Anum_batch_chunk, batch->chunk > 0, Int32GetDatum(batch->chunk));
	fill(&row, Anum_batch_is_complete, true, BoolGetDatum(batch->is_complete));
	fill(&row, Anum_batch_first_outbox_id, batch->first_outbox_id != 0,
		 Int64GetDatum(batch->first_outbox_id));
	fill(&row, Anum_batch_last_outbox_id, batch->first_outbox_id != 0,
		 Int64GetDatum(batch->last_outbox_id));
	fill_pace(&row, batch);
	fill(&row, Anum_batch_on_doubt, true,
		 CStringGetTextDatum(batch->holds_doubts ? ON_DOUBT_HOLD : ON_DOUBT_RESEND));
	fill_canary(&row, &batch->canary);
	if (batch->plan != NULL)
		fill(&row, Anum_batch_plan, true, CStringGetTextDatum(batch->plan));
	fill(&row, Anum_batch_session_role_oid, true, ObjectIdGetDatum(LoginRole(batch->requested_by)));
	fill(&row, Anum_batch_awaits_until, batch->awaits_until.given,
		 TimestampTzGetDatum(batch->awaits_until.time));
	if (key != NULL)
		fill(&row, Anum_batch_api_key, true, CStringGetTextDatum(key));
	fill(&row, Anum_batch_rows_hash, batch->rows_hash.given, rows_hash_datum(&batch->rows_hash));
	if (!batch->is_notification && AnyNotification(schema))
	{
		fill(&row, Anum_batch_told, true, PointerGetDatum(EventsToArray(0)));
		/* Nothing else wakes who is to tell that it awaits approval. */
		if (batch->awaits_until.given)
			NotifyConsumers(schema);
	}

	OpenWriter(&writer, OwnTable(schema, BATCH_TABLE), false);
	InsertRow(&writer, row.values, row.nulls, Natts_batch);
	CloseWriter(&writer);
	if (has_begun(batch))
		log_start(schema, batch);
}

/* ----------------------------------------------------------------
 * Reading
 * ----------------------------------------------------------------
 */

/*
 * A column of a row; the value of NULL is 0.
 */
static Datum
get(TableFinder *row, AttrNumber column, bool *isnull)
{
	Datum value = FoundColumn(row, column, isnull);

	return *isnull ? (Datum) 0 : value;
}

/*
 * A column that is never NULL, or for which NULL means 0.
 */
static int64
get_int64(TableFinder *row, AttrNumber column)
{
	bool isnull;

	return DatumGetInt64(get(row, column, &isnull));
}

static OptionalTime
get_time(TableFinder *row, AttrNumber column)
{
	bool isnull;
	TimestampTz time = DatumGetTimestampTz(get(row, column, &isnull));
	OptionalTime result = {!isnull, time};

	return result;
}

static char *
get_text(TableFinder *row, AttrNumber column)
{
	bool isnull;
	Datum value = get(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static Numeric
get_numeric(TableFinder *row, AttrNumber column)
{
	bool isnull;
	Datum value = get(row, column, &isnull);

	return isnull ? NULL : DatumGetNumericCopy(value);
}

static Jsonb *
get_jsonb(TableFinder *row, AttrNumber column)
{
	bool isnull;

	return DatumGetJsonbPCopy(get(row, column, &isnull));
}

/*
 * What a row says of the canary.
 */
static void
read_canary(TableFinder *row, CanaryState *canary)
{
	bool isnull;

	canary->mode = get_text(row, Anum_batch_canary);
	canary->step = DatumGetInt32(get(row, Anum_batch_canary_step, &isnull));
	canary->first_id = get_int64(row, Anum_batch_canary_first_id);
	canary->last_id = get_int64(row, Anum_batch_canary_last_id);
	canary->actions = get_int64(row, Anum_batch_canary_actions);
	canary->is_held = DatumGetBool(get(row, Anum_batch_canary_held, &isnull));
	canary->unrecorded = get_int64(row, Anum_batch_canary_unrecorded);
}

/*
 * What a row says of how the batch was stopped.
 */
static void
read_stop(TableFinder *row, BatchRow *batch)
{
	bool isnull;

	batch->stop = StopInRow(row->slot);
	batch->stop_reason = get_text(row, Anum_batch_stop_reason);
	(void) get(row, Anum_batch_stopped_by, &isnull);
	batch->stopped_itself = batch->stop != BATCH_RUNS && isnull;
}

/*
 * What a row says of the events that were told.
 */
static void
read_told(TableFinder *row, BatchRow *batch)
{
	bool isnull;
	Datum told = get(row, Anum_batch_told, &isnull);

	batch->is_watched = !isnull;
	batch->told = isnull ? 0 : EventsFromArray(DatumGetArrayTypeP(told));
}

/*
 * The hash of its rows.
 */
static void
read_rows_hash(TableFinder *row, RowsHash *hash)
{
	bool isnull;
	Datum value = get(row, Anum_batch_rows_hash, &isnull);

	memset(hash, 0, sizeof(*hash));
	hash->given = !isnull && VARSIZE_ANY_EXHDR(DatumGetByteaPP(value)) == LINK_HASH_BYTES;
	if (hash->given)
		memcpy(hash->bytes, VARDATA_ANY(DatumGetByteaPP(value)), LINK_HASH_BYTES);
}

/*
 * Read the row of a batch that was found, into the current memory context.
 */
static void
read_row(TableFinder *row, BatchRow *batch)
{
	bool isnull;
	Datum parts;

	memset(batch, 0, sizeof(*batch));
	batch->id = get_int64(row, Anum_batch_id);
	batch->requested_by = DatumGetObjectId(get(row, Anum_batch_requested_by_oid, &isnull));
	batch->created_at = get_time(row, Anum_batch_created_at).time;
	batch->reason = get_text(row, Anum_batch_reason);
	batch->query = get_jsonb(row, Anum_batch_query);
	batch->replayed = get_int64(row, Anum_batch_replayed);
	batch->failed = get_int64(row, Anum_batch_failed);
	batch->skipped = get_int64(row, Anum_batch_skipped);
	batch->passed_over = get_int64(row, Anum_batch_passed_over);
	batch->failures = FailuresFromJsonb(get_jsonb(row, Anum_batch_failures));
	batch->matched = DatumGetInt64(get(row, Anum_batch_matched, &isnull));
	if (isnull)
		batch->matched = -1;
	batch->chunk = DatumGetInt32(get(row, Anum_batch_chunk, &isnull));
	batch->is_complete = DatumGetBool(get(row, Anum_batch_is_complete, &isnull));
	batch->cursor = get_text(row, Anum_batch_cursor);
	batch->last_chunk_at = get_time(row, Anum_batch_last_chunk_at).time;
	batch->first_outbox_id = get_int64(row, Anum_batch_first_outbox_id);
	batch->last_outbox_id = get_int64(row, Anum_batch_last_outbox_id);
	read_rows_hash(row, &batch->rows_hash);
	batch->start_at = get_time(row, Anum_batch_start_at);
	batch->rate = get_numeric(row, Anum_batch_rate);
	batch->paced_until = get_time(row, Anum_batch_paced_until);
	batch->breaker_window = DatumGetInt32(get(row, Anum_batch_breaker_window, &isnull));
	batch->breaker_share = get_numeric(row, Anum_batch_breaker_share);
	batch->breaker_since = get_time(row, Anum_batch_breaker_since);
	batch->holds_doubts = strcmp(get_text(row, Anum_batch_on_doubt), ON_DOUBT_HOLD) == 0;
	read_canary(row, &batch->canary);
	batch->plan = get_text(row, Anum_batch_plan);
	batch->awaits_until = get_time(row, Anum_batch_awaits_until);
	batch->approved_at = get_time(row, Anum_batch_approved_at);
	batch->session_role = DatumGetObjectId(get(row, Anum_batch_session_role_oid, &isnull));
	batch->owner = DatumGetObjectId(get(row, Anum_batch_owner_oid, &isnull));
	batch->was_handed_over = !isnull;
	if (!batch->was_handed_over)
		batch->owner = batch->requested_by;
	parts = get(row, Anum_batch_parts, &isnull);
	if (!isnull)
		batch->parts = DatumGetJsonbPCopy(parts);
	read_stop(row, batch);
	read_told(row, batch);
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
	HeldBatch found;

	if (!FindBatch(&found, schema, id))
		return false;
	*batch = found.row;
	CloseFinder(&found.finder);
	return true;
}

/*
 * The same, with the row's other columns at hand, for reading only: nothing is locked, and
 * there is no writer.  If it returns true, the finder must be closed.
 */
bool
FindBatch(HeldBatch *found, Oid schema, int64 id)
{
	OpenFinder(&found->finder, OwnTable(schema, BATCH_TABLE), Anum_batch_id);
	if (!find_batch(&found->finder, id))
	{
		CloseFinder(&found->finder);
		return false;
	}
	read_row(&found->finder, &found->row);
	return true;
}

/* ----------------------------------------------------------------
 * Changing
 * ----------------------------------------------------------------
 */

/*
 * Lock a batch for changing it, and read it.  Runs as the table's owner.  Without
 * wait, a batch that another session has locked is skipped; with wait, the lock
 * is waited for.  Returns false, having nothing locked, if the batch was skipped
 * or does not exist; otherwise ReleaseBatch must be called.
 */
bool
HoldBatch(HeldBatch *held, Oid schema, int64 id, bool wait)
{
	Oid table = OwnTable(schema, BATCH_TABLE);
	TupleTableSlot *locked;
	bool found;
	bool is_held = false;

	if (wait)
		LockSteering(schema, id);
	OpenWriter(&held->writer, table, true);
	OpenFinder(&held->finder, table, Anum_batch_id);
	locked = table_slot_create(held->writer.rel, NULL);
	do
	{
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		found = find_batch(&held->finder, id);
		if (found)
		{
			tid = held->finder.slot->tts_tid;
			is_held = HoldRow(&held->writer, &tid, locked, wait);
		}
	} while (wait && found && !is_held);
	ExecDropSingleTupleTableSlot(locked);
	if (is_held)
		read_row(&held->finder, &held->row);
	else
		ReleaseBatch(held);
	return is_held;
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

/*
 * How many elements the scope of a batch that is held has.  Looks at the beginning
 * of it only: a large one is stored apart.
 */
static int
held_scope_size(HeldBatch *held)
{
	bool isnull;
	Datum scope = FoundColumn(&held->finder, Anum_batch_scope, &isnull);
	struct varlena *start = PG_DETOAST_DATUM_SLICE(scope, 0, sizeof(uint32));
	uint32 header;

	memcpy(&header, VARDATA_ANY(start), sizeof(header));
	return (int) (header & JB_CMASK);
}

/*
 * The scope of a locked batch, in the current memory context.  A scope that was
 * read before, with what was written since, is valid as long as no other
 * session has added to it: elements are never removed.
 */
Scope *
HeldScope(HeldBatch *held, Scope *known)
{
	bool isnull;

	if (known != NULL && ScopeSize(known) == held_scope_size(held))
		return known;
	return ScopeFromJsonb(DatumGetJsonbP(FoundColumn(&held->finder, Anum_batch_scope, &isnull)),
						  StoredText(held->row.query, OPTION_PROVIDER_OVERRIDE));
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
 * Change columns of a batch that is held, and read it again as it is then.
 */
static void
change(HeldBatch *held, const Changes *changes)
{
	int64 id = held->row.id;

	if (!ChangeRow(&held->writer, held->finder.slot, changes->count, changes->columns,
				   changes->values, changes->nulls, true))
		elog(ERROR, "batch " INT64_FORMAT " was changed while it was locked", id);
	CommandCounterIncrement();
	if (!find_batch(&held->finder, id))
		elog(ERROR, "batch " INT64_FORMAT " has gone", id);
	read_row(&held->finder, &held->row);
}

/*
 * Write the progress of a locked batch: counts, failures, scope, cursor, and
 * where its actions are.  The other columns are kept.
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
	if (ScopeSize(batch->scope) > held_scope_size(held))
		set(&changes, Anum_batch_scope, true, JsonbPGetDatum(ScopeToJsonb(batch->scope)));
	set(&changes, Anum_batch_cursor, has_cursor,
		has_cursor ? CStringGetTextDatum(batch->cursor) : (Datum) 0);
	set(&changes, Anum_batch_last_chunk_at, true, TimestampTzGetDatum(batch->last_chunk_at));
	set(&changes, Anum_batch_is_complete, true, BoolGetDatum(batch->is_complete));
	set(&changes, Anum_batch_first_outbox_id, has_actions, Int64GetDatum(batch->first_outbox_id));
	set(&changes, Anum_batch_last_outbox_id, has_actions, Int64GetDatum(batch->last_outbox_id));
	set(&changes, Anum_batch_paced_until, batch->paced_until.given,
		TimestampTzGetDatum(batch->paced_until.time));
	set(&changes, Anum_batch_rows_hash, batch->rows_hash.given, rows_hash_datum(&batch->rows_hash));
	if (has_begun(batch) && !has_begun(&held->row))
		log_start(RelationGetNamespace(held->writer.rel), batch);
	change(held, &changes);
}

/*
 * Delete a batch; the caller must have locked it.
 */
void
DropBatch(HeldBatch *held)
{
	if (!DeleteRow(&held->writer, &held->finder.slot->tts_tid))
		elog(ERROR, "batch " INT64_FORMAT " was changed while it was locked", held->row.id);
}

/*
 * Write that a locked batch is stopped, by which role (InvalidOid: none) and
 * why (NULL: no reason); with NULL for how, that it is not stopped.
 */
void
StopBatch(HeldBatch *held, const char *stopped, TimestampTz at, Oid by, const char *reason)
{
	bool stops = stopped != NULL;
	bool has_reason = stops && reason != NULL;
	bool has_role = stops && OidIsValid(by);
	Changes changes = {0};

	set(&changes, Anum_batch_stopped, stops, stops ? CStringGetTextDatum(stopped) : (Datum) 0);
	set(&changes, Anum_batch_stopped_at, stops, TimestampTzGetDatum(at));
	set(&changes, Anum_batch_stopped_by, has_role, has_role ? RoleName(by) : (Datum) 0);
	set(&changes, Anum_batch_stop_reason, has_reason,
		has_reason ? CStringGetTextDatum(reason) : (Datum) 0);
	change(held, &changes);
}

/*
 * Write down that a batch that is held was approved, and by which role.
 */
void
ApproveBatch(HeldBatch *held, TimestampTz at, Oid by)
{
	Changes changes = {0};

	set(&changes, Anum_batch_awaits_until, false, (Datum) 0);
	set(&changes, Anum_batch_approved_at, true, TimestampTzGetDatum(at));
	set(&changes, Anum_batch_approved_by, true, RoleName(by));
	change(held, &changes);
}

/*
 * Write down that nothing is left in the queue of a cancelled batch that is held.
 */
void
EndCancelling(HeldBatch *held)
{
	Changes changes = {0};

	set(&changes, Anum_batch_stopped, true, CStringGetTextDatum(STOPPED_CANCELLED));
	change(held, &changes);
}

/*
 * Write that a locked batch is resumed, with a circuit breaker that starts anew
 * at the given time.
 */
void
ResumeBatch(HeldBatch *held, TimestampTz since)
{
	Changes changes = {0};

	StopBatch(held, NULL, since, InvalidOid, NULL);
	set(&changes, Anum_batch_breaker_since, true, TimestampTzGetDatum(since));
	change(held, &changes);
}

/*
 * Write down the rate of a batch that is held; NULL: none.
 */
void
SetBatchRate(HeldBatch *held, Numeric rate)
{
	Changes changes = {0};

	set(&changes, Anum_batch_rate, rate != NULL, NumericGetDatum(rate));
	change(held, &changes);
}

/*
 * Read what matters for its canary out of the row of a batch.
 */
void
ReadCanaryRow(TableReader *row, BatchRow *batch)
{
	TableFinder found = {.slot = row->slot, .columns = row->columns};
	bool isnull;

	memset(batch, 0, sizeof(*batch));
	batch->id = get_int64(&found, Anum_batch_id);
	batch->is_complete = DatumGetBool(get(&found, Anum_batch_is_complete, &isnull));
	batch->first_outbox_id = get_int64(&found, Anum_batch_first_outbox_id);
	batch->last_outbox_id = get_int64(&found, Anum_batch_last_outbox_id);
	read_canary(&found, &batch->canary);
}

/*
 * The last outbox id of a batch that may be handed out: what comes behind it is held
 * back by the canary.
 */
int64
ReleasedId(const BatchRow *batch)
{
	return batch->canary.step > 0 ? batch->canary.last_id : PG_INT64_MAX;
}

/*
 * Write down how far a batch that is held has come in its canary.
 */
void
SetCanary(HeldBatch *held, const CanaryState *canary)
{
	Row row;
	Changes changes = {0};

	fill_canary(&row, canary);
	for (AttrNumber column = Anum_batch_canary; column <= Anum_batch_canary_unrecorded; column++)
		set(&changes, column, !row.nulls[column - 1], row.values[column - 1]);
	change(held, &changes);
}

/*
 * Read what matters for its events out of the row of a batch that is watched; see
 * batch_events.c.
 */
void
ReadWatchedRow(TableReader *row, BatchRow *batch)
{
	TableFinder found = {.slot = row->slot, .columns = row->columns};

	ReadCanaryRow(row, batch);
	batch->start_at = get_time(&found, Anum_batch_start_at);
	batch->awaits_until = get_time(&found, Anum_batch_awaits_until);
	read_stop(&found, batch);
	read_told(&found, batch);
}

/*
 * Write down which events of a batch that is held were told and still hold, or that it
 * is not watched any more.
 */
void
SetTold(HeldBatch *held, bool is_watched, uint32 told)
{
	Changes changes = {0};

	set(&changes, Anum_batch_told, is_watched,
		is_watched ? PointerGetDatum(EventsToArray(told)) : (Datum) 0);
	change(held, &changes);
}

/*
 * Write that so many actions of a held batch were patched: each was cancelled, and a copy
 * of it is in the outbox, up to this id.
 */
void
NotePatch(HeldBatch *held, Jsonb *patch, int64 actions, int64 last_outbox_id,
		  const RowsHash *rows_hash)
{
	bool none;
	Datum earlier = FoundColumn(&held->finder, Anum_batch_patches, &none);
	JsonbParseState *state = NULL;
	JsonbValue element;
	Jsonb *added;
	Changes changes = {0};

	element.type = jbvBinary;
	element.val.binary.data = &patch->root;
	element.val.binary.len = VARSIZE(patch) - VARHDRSZ;
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	pushJsonbValue(&state, WJB_ELEM, &element);
	added = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
	if (!none)
		added = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, earlier, JsonbPGetDatum(added)));
	set(&changes, Anum_batch_replayed, true, Int64GetDatum(held->row.replayed + actions));
	set(&changes, Anum_batch_last_outbox_id, true,
		Int64GetDatum(Max(held->row.last_outbox_id, last_outbox_id)));
	set(&changes, Anum_batch_patches, true, JsonbPGetDatum(added));
	set(&changes, Anum_batch_rows_hash, rows_hash->given, rows_hash_datum(rows_hash));
	change(held, &changes);
}

/*
 * Write down when the next action of a batch that is held would be due.
 */
void
SetPacedUntil(HeldBatch *held, const OptionalTime *until)
{
	Changes changes = {0};

	set(&changes, Anum_batch_paced_until, until->given, TimestampTzGetDatum(until->time));
	change(held, &changes);
}

/*
 * Write down before which time nothing of a batch that is held goes out; or that there is
 * no such time.
 */
void
SetStartAt(HeldBatch *held, const OptionalTime *start_at)
{
	Changes changes = {0};

	set(&changes, Anum_batch_start_at, start_at->given, TimestampTzGetDatum(start_at->time));
	change(held, &changes);
}

/*
 * Write down to which role a batch that is held was handed over.  To the one that has
 * started it, it is given back.
 */
void
SetOwner(HeldBatch *held, Oid owner)
{
	Changes changes = {0};

	set(&changes, Anum_batch_owner_oid, owner != held->row.requested_by, ObjectIdGetDatum(owner));
	change(held, &changes);
}

/*
 * Write down which parts of a batch that is held are steered on their own; NULL: none.
 */
void
SetParts(HeldBatch *held, Jsonb *parts)
{
	Changes changes = {0};

	set(&changes, Anum_batch_parts, parts != NULL, JsonbPGetDatum(parts));
	change(held, &changes);
}
