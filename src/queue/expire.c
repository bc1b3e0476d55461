/*
 * expire.c
 *		Actions that have expired.
 *
 * The outbox says of each action when it expires, and a segment when the first of its
 * actions does.  A claim that meets a due segment of which that time has come looks at its
 * actions before anything else is decided about it: those that have expired end so, and the
 * others are left as segments of their own, in which nothing has expired.  So nothing is
 * read where nothing expires.  A canary does the same with what it would release next.
 *
 * An action that may have been sent before never ends expired.  It is only not sent again:
 * it is held until a record appears or a person decides.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/damaged.h"
#include "base/subtransaction.h"
#include "queue/doubt.h"
#include "queue/expire.h"

/* Actions of a segment whose rows in the outbox are read. */
typedef struct ExpiryReader
{
	TableFinder *outbox;
	int64 first_id; /* of the segment */
	int64 from;     /* of what is read */
	int64 to;
	OptionalTime expiry[SEGMENT_ACTIONS]; /* of all of the segment */
} ExpiryReader;

/*
 * When the action in a row of the outbox expires; the finder must have its part open.
 */
OptionalTime
OutboxExpiry(const TableFinder *outbox, TupleTableSlot *row)
{
	bool isnull;
	Datum value = slot_getattr(row, ColumnPlace(outbox->columns, Anum_outbox_expires_at), &isnull);
	OptionalTime expiry = {.given = !isnull};

	if (!isnull)
		expiry.time = DatumGetTimestampTz(value);
	return expiry;
}

/*
 * Read when actions expire.  What is not in the outbox does not: it is held when it is to
 * be handed out.
 */
static bool
read_expiry(void *argument)
{
	ExpiryReader *reader = argument;
	TableFinder *outbox = reader->outbox;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *row = table_slot_create(outbox->rel, NULL);
	IndexScanDesc scan = ActeonIndexBeginScan(outbox->rel, outbox->index, snapshot, 2);
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(reader->from));
	ScanKeyInit(&keys[1], 1, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(reader->to));
	index_rescan(scan, keys, 2, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, row))
	{
		bool isnull;
		int64 id = DatumGetInt64(slot_getattr(row, Anum_outbox_id, &isnull));

		reader->expiry[id - reader->first_id] = OutboxExpiry(outbox, row);
	}
	ExecDropSingleTupleTableSlot(row);
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	return true;
}

/*
 * Try to read when actions expire.  Returns false if that cannot be read of one of them;
 * other errors are raised again.
 */
static bool
try_to_read(ExpiryReader *reader, int64 from, int64 to)
{
	ErrorData *error;

	reader->from = from;
	reader->to = to;
	error = TryInSubtransaction(read_expiry, reader, CurrentMemoryContext);
	if (error == NULL)
		return true;
	if (!IsAboutValue(error))
		ReThrowError(error);
	FreeErrorData(error);
	return false;
}

/*
 * Read when the actions of a segment expire: at once or, if one of them is damaged, one by
 * one.  What cannot be read does not expire: it cannot be handed out either.
 */
static void
read_segment_expiry(ExpiryReader *reader, const Segment *segment)
{
	TurnFinder(reader->outbox, segment->first_id);
	if (try_to_read(reader, segment->first_id, segment->last_id))
		return;
	memset(reader->expiry, 0, sizeof(reader->expiry));
	for (int64 id = segment->first_id; id <= segment->last_id; id++)
	{
		CHECK_FOR_INTERRUPTS();
		(void) try_to_read(reader, id, id);
	}
}

/*
 * Add the delivery of an action that has expired.
 */
static void
end_expired(DeliveryWriter *deliveries, const Segment *segment, int64 outbox_id)
{
	Delivery delivery = {.outbox_id = outbox_id,
						 .batch_id = segment->batch_id,
						 .attempts = segment->attempt,
						 .state = ACTION_EXPIRED,
						 .resend = segment->resend,
						 .outcome = {.isnull = true},
						 .error = {.isnull = true}};

	AddDelivery(deliveries, &delivery);
}

/*
 * Let the actions of a segment that have expired end, or be held if they may have been sent
 * before; the segment MayHaveExpired, and is neither leased nor in doubt.  What is left of it
 * becomes segments that are due as it was.  Does nothing if another session has locked it.
 */
Expired
ExpireSegment(SegmentTable *segments, DeliveryWriter *deliveries, TableFinder *outbox,
			  const Segment *segment, TimestampTz now)
{
	ExpiryReader reader = {.outbox = outbox, .first_id = segment->first_id};
	Segment pieces[SEGMENT_ACTIONS];
	bool has_expired[SEGMENT_ACTIONS];
	int count = 0;
	Expired result = {0};

	if (!HoldSegment(segments, segment, false))
		return result;
	read_segment_expiry(&reader, segment);
	for (int i = 0; i < SegmentLength(segment); i++)
	{
		Segment piece = *segment;

		piece.first_id = piece.last_id = segment->first_id + i;
		piece.lease_token = NO_LEASE;
		if (segment->parked_at != 0)
			piece.due_at = DT_NOEND;
		has_expired[i] = reader.expiry[i].given && reader.expiry[i].time <= now;
		if (has_expired[i] && !segment->unproven)
			continue;
		if (has_expired[i])
		{
			MakeDoubt(&piece, now, "an earlier id of it may have been executed", now);
			HoldDoubt(&piece, HELD_EXPIRED);
		}
		if (count > 0 && i > 0 && has_expired[i] == has_expired[i - 1])
			pieces[count - 1].last_id = piece.last_id;
		else
			pieces[count++] = piece;
		if (!has_expired[i])
		{
			/* The earliest of those of this piece. */
			if (pieces[count - 1].first_id == piece.first_id)
				pieces[count - 1].expires_at = 0;
			AddExpiry(&pieces[count - 1], reader.expiry[i]);
		}
	}
	for (int i = 0; i < count; i++)
		result.left += pieces[i].doubt_since == 0;
	if (!ReplaceSegment(segments, segment, pieces, count))
		elog(ERROR, "a segment was changed while it was locked");
	for (int i = 0; i < SegmentLength(segment) && !segment->unproven; i++)
	{
		if (!has_expired[i])
			continue;
		end_expired(deliveries, segment, segment->first_id + i);
		result.ended++;
	}
	return result;
}
