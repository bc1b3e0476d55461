/*
 * tally.c
 *		Reading the counts of finished actions by batch.
 *
 * The rows are written by delivery.c.  Purges fold old ones.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "tally.h"

/*
 * Begin to read the rows of a batch that are later than a time, as they are at
 * this moment, newest first.
 */
void
BeginTallyScan(TallyScan *scan, Oid schema, int64 batch_id, TimestampTz since)
{
	static const AttrNumber order[] = {Anum_tally_batch_id, Anum_tally_finished_at};
	ScanKeyData keys[2];

	OpenWriter(&scan->table, OwnTable(schema, TALLY_TABLE), false);
	scan->slot = table_slot_create(scan->table.rel, NULL);
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->scan = ActeonIndexBeginScan(scan->table.rel, WriterIndex(&scan->table, false, 2, order),
									  scan->snapshot, 2);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(batch_id));
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT, TimestampTzGetDatum(since));
	index_rescan(scan->scan, keys, 2, NULL, 0);
}

/*
 * Read the next row.
 */
bool
NextTallyRow(TallyScan *scan, TallyRow *row)
{
	TupleTableSlot *slot = scan->slot;
	bool isnull;
	Datum outcome, effect;
	char *state;

	CHECK_FOR_INTERRUPTS();
	if (!index_getnext_slot(scan->scan, BackwardScanDirection, slot))
		return false;
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
	effect = slot_getattr(slot, Anum_tally_effect, &isnull);
	row->effect = isnull ? EFFECT_UNKNOWN : EffectByName(DatumGetTextPP(effect));
	return true;
}

/*
 * Done with reading.
 */
void
EndTallyScan(TallyScan *scan)
{
	index_endscan(scan->scan);
	UnregisterSnapshot(scan->snapshot);
	ExecDropSingleTupleTableSlot(scan->slot);
	CloseWriter(&scan->table);
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

	BeginTallyScan(&scan, schema, batch_id, DT_NOBEGIN);
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
