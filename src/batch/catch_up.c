/*
 * catch_up.c
 *		Batches with a rate that have fallen behind.
 *
 * A rate is kept by due times.  If nobody claims for a while, because no relay
 * runs or the gateway is down, more and more falls due, and all of it would go
 * out at once when things work again: just what a rate is there to prevent.  So
 * the claim that meets an action of a paced batch long after its time gives what
 * waits of the batch new due times, from that moment on, and leaves it to the
 * claims that follow.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "batch/batch_pace.h"
#include "batch/catch_up.h"
#include "queue/batch_flags.h"

/* How late an action of a paced batch may be, in milliseconds. */
#define MAX_LATENESS 5000

/*
 * Whether a segment of a paced batch is so late that the batch has fallen behind.
 * What was in flight and comes back tells nothing.
 */
bool
HasFallenBehind(const Segment *segment, TimestampTz now)
{
	return segment->lease_token == NO_LEASE && segment->doubt_since == 0 && !segment->unproven &&
		   TimestampDifferenceExceeds(segment->due_at, now, MAX_LATENESS);
}

/*
 * Have a paced batch, which the caller has locked as claims do, go on at its rate
 * from now; unless somebody else is at the batch, or it is not paced any more.
 * Then it will be met again.  Waits for nobody.
 */
void
CatchUp(Oid schema, int64 batch_id, TimestampTz now)
{
	HeldBatch held;

	if (!HoldBatch(&held, schema, batch_id, false))
		return;
	if (held.row.rate != NULL && LockBatch(schema, batch_id, ExclusiveLock, false))
	{
		BatchQueue queue = QueueOfBatch(schema, &held.row, now);

		PaceAnew(&held, &queue, now, false, false);
	}
	ReleaseBatch(&held);
}
