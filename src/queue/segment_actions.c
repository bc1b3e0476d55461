/*
 * segment_actions.c
 *		Reading the actions of a segment from the outbox.
 *
 * What is damaged in one action stops no other: it is read in a subtransaction.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/damaged.h"
#include "base/subtransaction.h"
#include "queue/segment_actions.h"

/* A segment whose actions are being read. */
typedef struct Reading
{
	TableFinder *outbox;
	const Segment *segment;
	int64 from; /* ids of it that are read */
	int64 to;
	VisitAction visit;
	void *argument;
} Reading;

static bool
read_actions(void *argument)
{
	Reading *reading = argument;
	TableFinder *outbox = reading->outbox;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(outbox->rel, NULL);
	IndexScanDesc scan = ActeonIndexBeginScan(outbox->rel, outbox->index, snapshot, 2);
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(reading->from));
	ScanKeyInit(&keys[1], 1, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(reading->to));
	index_rescan(scan, keys, 2, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		bool isnull;
		int64 id = DatumGetInt64(slot_getattr(slot, Anum_outbox_id, &isnull));

		reading->visit(reading->argument, (int) (id - reading->segment->first_id), slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	return true;
}

/*
 * Have rows visited.  Returns false if something cannot be read; other errors are raised
 * again.
 */
static bool
try_to_read(Reading *reading, int64 from, int64 to)
{
	ErrorData *error;

	reading->from = from;
	reading->to = to;
	error = TryInSubtransaction(read_actions, reading, CurrentMemoryContext);
	if (error == NULL)
		return true;
	if (!IsAboutValue(error))
		ReThrowError(error);
	FreeErrorData(error);
	return false;
}

/*
 * Have the rows of a segment's actions visited, in their order; those that are not in the
 * outbox are left out.  Returns false if something cannot be read: then some may have been
 * visited.
 */
bool
ReadSegmentActions(TableFinder *outbox, const Segment *segment, VisitAction visit, void *argument)
{
	Reading reading = {.outbox = outbox, .segment = segment, .visit = visit, .argument = argument};

	TurnFinder(outbox, segment->first_id);
	return try_to_read(&reading, segment->first_id, segment->last_id);
}

/*
 * The same, leaving out what cannot be read: if there is anything, the actions are read one
 * by one.  So an action may be visited twice.
 */
void
ReadWhatIsReadable(TableFinder *outbox, const Segment *segment, VisitAction visit, void *argument)
{
	Reading reading = {.outbox = outbox, .segment = segment, .visit = visit, .argument = argument};

	if (ReadSegmentActions(outbox, segment, visit, argument))
		return;
	for (int64 id = segment->first_id; id <= segment->last_id; id++)
	{
		CHECK_FOR_INTERRUPTS();
		(void) try_to_read(&reading, id, id);
	}
}
