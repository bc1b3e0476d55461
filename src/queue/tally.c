/*
 * tally.c
 *		Reading the counts of finished actions by batch, and keeping them
 *		few.
 *
 * The rows are written by delivery.c, a few for each call.  Those that are older
 * than the window of a batch's circuit breaker are folded from time to time by the
 * calls that write; purges fold the rest.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/steady_plan.h"
#include "queue/tally.h"

/* Rows of a batch that are left alone, the newest ones, unless its breaker wants more. */
#define KEPT_ROWS 1000

/* Rows that are folded at once. */
#define FOLD_AT_ONCE 10000

/* What is folded together: rows of one kind that are old, or of one second. */
#define FOLDED_BY \
	"state, outcome, effect, CASE WHEN finished_at >= $2 - interval '5 min'" \
	"	THEN date_trunc('second', finished_at) END"

/*
 * Fold old rows of batch $1, so that there is one of a kind, and those of the last
 * minutes, so that there is one of a kind and second.  The newest stay as they are: at
 * least as many as the breaker's window, each of which is an action or more.  Rows are
 * found by their places, so that no plan depends on statistics.  %1$s is the
 * extension's schema; see redrive.c about the search path.
 */
#define FOLD_BATCH \
	"WITH oldest AS (" \
	"	SELECT ctid, state, outcome, effect, finished_at FROM %1$s.acteon_replay_tally" \
	"	WHERE batch_id = $1 AND finished_at <" \
	"		(SELECT finished_at FROM %1$s.acteon_replay_tally WHERE batch_id = $1" \
	"		ORDER BY finished_at DESC OFFSET greatest($3, (SELECT breaker_window" \
	"			FROM %1$s.acteon_replay_batch WHERE id = $1)) LIMIT 1)" \
	"	ORDER BY finished_at LIMIT $4), " \
	"several AS (" \
	"	SELECT ctid, count(*) OVER (PARTITION BY " FOLDED_BY ") > 1 AS are_several FROM oldest), " \
	"doomed AS MATERIALIZED (" \
	"	SELECT ctid FROM %1$s.acteon_replay_tally" \
	"	WHERE ctid = ANY (ARRAY(SELECT ctid FROM several WHERE are_several))" \
	"	FOR UPDATE SKIP LOCKED), " \
	"folded AS (DELETE FROM %1$s.acteon_replay_tally" \
	"	WHERE ctid = ANY (ARRAY(SELECT ctid FROM doomed)) RETURNING *) " \
	"INSERT INTO %1$s.acteon_replay_tally (batch_id, finished_at, state, outcome, effect, actions) " \
	"SELECT batch_id, max(finished_at), state, outcome, effect, sum(actions) FROM folded " \
	"GROUP BY batch_id, " FOLDED_BY " HAVING sum(actions) <> 0"

/*
 * Rows of the tally that finished before $1, where there are several of a kind, made
 * one; those of batches with nothing in the queue, whose circuit breakers look at
 * them no more.  Batches up to $2 were folded before.
 */
#define FOLD_OLD \
	"WITH several AS MATERIALIZED (" \
	"	SELECT batch_id, state, outcome, effect FROM %1$s.acteon_replay_tally AS t" \
	"	WHERE batch_id > $2 AND finished_at < $1" \
	"		AND NOT EXISTS (SELECT FROM %1$s.acteon_dispatch_segment AS s WHERE s.batch_id = t.batch_id)" \
	"	GROUP BY batch_id, state, outcome, effect HAVING count(*) > 1), " \
	"folded AS (" \
	"	DELETE FROM %1$s.acteon_replay_tally AS t USING several AS s" \
	"	WHERE t.batch_id > $2 AND t.finished_at < $1 AND t.batch_id = s.batch_id AND t.state = s.state" \
	"		AND t.outcome IS NOT DISTINCT FROM s.outcome" \
	"		AND t.effect IS NOT DISTINCT FROM s.effect RETURNING t.*) " \
	"INSERT INTO %1$s.acteon_replay_tally (batch_id, finished_at, state, outcome, effect, actions) " \
	"SELECT batch_id, max(finished_at), state, outcome, effect, sum(actions) FROM folded " \
	"GROUP BY batch_id, state, outcome, effect HAVING sum(actions) <> 0"

/* Up to which batch all was folded for good: before the first that goes on. */
#define FOLDED_UP_TO "SELECT coalesce(folded_batch, 0) FROM %1$s.acteon_replay_installation"
#define SET_FOLDED_UP_TO \
	"UPDATE %1$s.acteon_replay_installation SET folded_batch = n.folded_batch " \
	"FROM (SELECT least((SELECT min(batch_id) - 1 FROM %1$s.acteon_dispatch_segment)," \
	"		(SELECT min(batch_id) - 1 FROM %1$s.acteon_replay_tally WHERE batch_id > $2 AND finished_at >= $1)," \
	"		(SELECT max(batch_id) FROM %1$s.acteon_replay_tally)) AS folded_batch) AS n " \
	"WHERE n.folded_batch > $2"

/*
 * Execute a statement that folds what finished before a time of batches behind one.
 */
static void
execute_fold(const char *sql, Oid schema, TimestampTz before, int64 behind, int expected)
{
	Oid types[] = {TIMESTAMPTZOID, INT8OID};
	Datum values[] = {TimestampTzGetDatum(before), Int64GetDatum(behind)};

	if (SPI_execute_with_args(psprintf(sql, quote_identifier(get_namespace_name(schema))),
							  lengthof(types), types, values, NULL, false, 0) != expected)
		elog(ERROR, "could not fold the tally: %s", SPI_result_code_string(SPI_result));
}

/*
 * Fold the rows of all batches that finished before a time.  Those that earlier calls
 * have folded for good are not read again.  Acts as the current user, who must own the
 * tables.  Needs an SPI connection.
 */
void
FoldOldTally(Oid schema, TimestampTz before)
{
	int nesting;
	int64 behind = 0;
	bool isnull;

	if (SPI_execute(psprintf(FOLDED_UP_TO, quote_identifier(get_namespace_name(schema))), false,
					0) != SPI_OK_SELECT)
		elog(ERROR, "could not fold the tally: %s", SPI_result_code_string(SPI_result));
	if (SPI_processed > 0)
		behind =
			DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	nesting = DenyPlans(DENY_SEQSCAN | DENY_NESTLOOP);
	execute_fold(FOLD_OLD, schema, before, behind, SPI_OK_INSERT);
	execute_fold(SET_FOLDED_UP_TO, schema, before, behind, SPI_OK_UPDATE);
	AllowPlans(nesting);
}

/*
 * Fold the old rows of a batch, as the tables' owner.  Does not wait for locks.
 */
void
FoldTally(Oid schema, int64 batch_id, TimestampTz now)
{
	MemoryContext old = CurrentMemoryContext;
	Oid types[] = {INT8OID, TIMESTAMPTZOID, INT8OID, INT8OID};
	Datum values[] = {Int64GetDatum(batch_id), TimestampTzGetDatum(now), Int64GetDatum(KEPT_ROWS),
					  Int64GetDatum(FOLD_AT_ONCE)};
	char *sql = psprintf(FOLD_BATCH, quote_identifier(get_namespace_name(schema)));

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql, lengthof(types), types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not fold the tally: %s", SPI_result_code_string(SPI_result));
	SPI_finish();
	MemoryContextSwitchTo(old);
}

/*
 * Begin to read the rows of a batch that are later than a time, as a snapshot shows
 * them, newest first.
 */
void
BeginTallyScan(TallyScan *scan, Oid schema, int64 batch_id, TimestampTz since, Snapshot snapshot)
{
	static const AttrNumber order[] = {Anum_tally_batch_id, Anum_tally_finished_at};
	ScanKeyData keys[2];

	OpenReader(&scan->table, OwnTable(schema, TALLY_TABLE), ALL_ROWS, 2, order);
	scan->snapshot = RegisterSnapshot(snapshot);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(batch_id));
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT, TimestampTzGetDatum(since));
	BeginReading(&scan->table, scan->snapshot, keys, 2);
}

/*
 * Begin to read the rows of actions to a provider that are later than a time, newest
 * first, as BeginTallyScan reads those of a batch.  Rows that were folded are not
 * among them.
 */
void
BeginProviderTallyScan(TallyScan *scan, Oid schema, const text *provider, TimestampTz since)
{
	static const AttrNumber order[] = {Anum_tally_provider, Anum_tally_finished_at};
	ScanKeyData keys[2];

	OpenReader(&scan->table, OwnTable(schema, TALLY_TABLE), RowsWith(Anum_tally_provider), 2,
			   order);
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_TEXTEQ, PointerGetDatum(provider));
	keys[0].sk_collation = scan->table.index->rd_indcollation[0];
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT, TimestampTzGetDatum(since));
	BeginReading(&scan->table, scan->snapshot, keys, 2);
}

/*
 * Read the next row.
 */
bool
NextTallyRow(TallyScan *scan, TallyRow *row)
{
	TupleTableSlot *slot = scan->table.slot;
	bool isnull;
	Datum outcome, effect;
	char *state;

	CHECK_FOR_INTERRUPTS();
	if (!index_getnext_slot(scan->table.scan, BackwardScanDirection, slot))
		return false;
	row->batch_id = DatumGetInt64(slot_getattr(slot, Anum_tally_batch_id, &isnull));
	effect = slot_getattr(slot, ColumnPlace(scan->table.columns, Anum_tally_provider), &isnull);
	row->provider = isnull ? NULL : DatumGetTextPCopy(effect);
	row->finished_at = DatumGetTimestampTz(slot_getattr(slot, Anum_tally_finished_at, &isnull));
	row->actions = DatumGetInt64(slot_getattr(slot, Anum_tally_actions, &isnull));
	state = TextDatumGetCString(slot_getattr(slot, Anum_tally_state, &isnull));
	row->state = FinishedState(state);
	pfree(state);
	outcome = slot_getattr(slot, Anum_tally_outcome, &isnull);
	if (isnull)
		row->outcome[0] = '\0';
	else
		text_to_cstring_buffer(DatumGetTextPP(outcome), row->outcome, sizeof(row->outcome));
	effect = slot_getattr(slot, ColumnPlace(scan->table.columns, Anum_tally_effect), &isnull);
	row->effect = isnull ? EFFECT_UNKNOWN : EffectByName(DatumGetTextPP(effect));
	return true;
}

/*
 * Done with reading.
 */
void
EndTallyScan(TallyScan *scan)
{
	CloseReader(&scan->table);
	UnregisterSnapshot(scan->snapshot);
}

/*
 * How many actions of a batch have ended: in whatever way, or as cancelled only.
 */
static int64
count_ended(Oid schema, int64 batch_id, bool cancelled_only)
{
	TallyScan scan;
	TallyRow row;
	int64 count = 0;

	BeginTallyScan(&scan, schema, batch_id, DT_NOBEGIN, GetLatestSnapshot());
	while (NextTallyRow(&scan, &row))
	{
		if (row.state != ACTION_IN_DOUBT && (!cancelled_only || row.state == ACTION_CANCELLED))
			count += row.actions;
	}
	EndTallyScan(&scan);
	return count;
}

/*
 * How many actions of a batch have ended, in whatever way.
 */
int64
CountFinished(Oid schema, int64 batch_id)
{
	return count_ended(schema, batch_id, false);
}

/*
 * How many actions of a batch have been swept as cancelled.
 */
int64
CountCancelled(Oid schema, int64 batch_id)
{
	return count_ended(schema, batch_id, true);
}
