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

#include "executor/tuptable.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "queue/doubt.h"
#include "queue/expire.h"
#include "queue/segment_actions.h"

/* When the actions of a segment expire. */
typedef struct SegmentExpiry
{
	const TableFinder *outbox;
	OptionalTime times[SEGMENT_ACTIONS];
} SegmentExpiry;

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
 * Note when an action expires.
 */
static void
note_expiry(void *argument, int place, TupleTableSlot *row)
{
	SegmentExpiry *expiry = argument;

	expiry->times[place] = OutboxExpiry(expiry->outbox, row);
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
	SegmentExpiry expiry = {.outbox = outbox};
	Segment pieces[SEGMENT_ACTIONS];
	bool has_expired[SEGMENT_ACTIONS];
	int count = 0;
	Expired result = {0};

	if (!HoldSegment(segments, segment, false))
		return result;
	/* What is missing or cannot be read does not expire: it cannot be handed out either. */
	ReadWhatIsReadable(outbox, segment, note_expiry, &expiry);
	for (int i = 0; i < SegmentLength(segment); i++)
	{
		Segment piece = *segment;

		piece.first_id = piece.last_id = segment->first_id + i;
		piece.lease_token = NO_LEASE;
		if (segment->parked_at != 0)
			piece.due_at = DT_NOEND;
		has_expired[i] = expiry.times[i].given && expiry.times[i].time <= now;
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
			AddExpiry(&pieces[count - 1], expiry.times[i]);
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
