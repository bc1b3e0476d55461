/*
 * catch_up.c
 *		Batches with a rate that have fallen behind.
 *
 * A rate is implemented by due times.  If nobody claims for a while, because no
 * relay runs or the gateway is down, more and more actions become due, and all
 * of them would be sent at once when things work again, which a rate is meant
 * to prevent.  So a claim that finds an action of a paced batch long after its
 * due time gives the waiting actions of the batch new due times, from that
 * moment on, and leaves them to later claims.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "batch/batch_pace.h"
#include "batch/catch_up.h"
#include "queue/batch_flags.h"

/* How late an action of a paced batch may be, in milliseconds. */
#define MAX_LATENESS 5000

/*
 * Whether a segment of a paced batch is so late that the batch has fallen
 * behind.  Segments that were in flight and given back do not count.
 */
bool
HasFallenBehind(const Segment *segment, TimestampTz now)
{
	return segment->lease_token == NO_LEASE && segment->doubt_since == 0 && !segment->unproven &&
		   TimestampDifferenceExceeds(segment->due_at, now, MAX_LATENESS);
}

/*
 * Continue a paced batch, which the caller has locked as claims do, at its rate
 * from now on, or from its start; unless another session has locked the batch, or it is no
 * longer paced.  Then a later claim will meet it again.  Does not wait for locks.
 */
void
CatchUp(Oid schema, int64 batch_id, TimestampTz now)
{
	HeldBatch held;

	if (!HoldBatch(&held, schema, batch_id, false))
		return;
	if ((held.row.rate != NULL || held.row.parts != NULL) &&
		LockBatch(schema, batch_id, ExclusiveLock, false))
		PaceAnew(&held, schema, now, false, false);
	ReleaseBatch(&held);
}
