/*
 * batch_state.c
 *		The state of a batch.
 *
 * The names are in query/states.h, the rules here and nowhere else: whoever shows a
 * state, or asks for one, has it from here.
 *
 * A call of acteon_replay_all or acteon_replay_continue holds a lock on its batch for
 * the session, from the transaction that writes the batch down (or that logs the
 * continuation) to its end, across its commits.  The server releases it when the call
 * raises an error, and when its session ends, in whichever way.  So a batch that is not
 * complete is being enqueued if somebody holds the lock, and was interrupted if nobody
 * does, whatever the time of its last chunk.  The lock is one of the server's default
 * lock method, because those of the user lock method (advisory locks) outlive an error,
 * and any SQL in the session could release them.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/own_table.h"
#include "batch/batch_state.h"

/* Calls that work on the same batch do not exclude each other: they take turns. */
#define ENQUEUING_LOCK RowExclusiveLock
/* Conflicts with it, and not with itself. */
#define PROBE_LOCK ShareLock

/*
 * The lock of those who enqueue a batch: an object of the table of batches, which only
 * this module locks in this way.  pg_locks shows it with the batch's number as objid.
 */
static LOCKTAG
enqueuing_tag(Oid schema, int64 batch_id)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, OwnTable(schema, BATCH_TABLE), (uint32) batch_id,
					   (uint16) ((uint64) batch_id >> 32));
	return tag;
}

/*
 * Begin to enqueue a batch: until ReleaseEnqueuing, an error, or the end of the session.
 */
void
HoldEnqueuing(Oid schema, int64 batch_id)
{
	LOCKTAG tag = enqueuing_tag(schema, batch_id);

	(void) LockAcquire(&tag, ENQUEUING_LOCK, true, false);
}

/*
 * Done with enqueuing a batch, completely or not.
 */
void
ReleaseEnqueuing(Oid schema, int64 batch_id)
{
	LOCKTAG tag = enqueuing_tag(schema, batch_id);

	(void) LockRelease(&tag, ENQUEUING_LOCK, true);
}

/*
 * Whether somebody holds the lock.
 */
static bool
lock_is_held(Oid schema, int64 batch_id)
{
	LOCKTAG tag = enqueuing_tag(schema, batch_id);

	if (ActeonHoldsLock(&tag, ENQUEUING_LOCK) ||
		LockAcquire(&tag, PROBE_LOCK, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, PROBE_LOCK, false);
	return false;
}

/*
 * Whether a call is enqueuing a batch that is not complete.  A standby does not know the
 * locks of its primary, and takes it for so.  The batch may have been read with an older
 * snapshot, and its call may have come to its end since: then it was so.
 */
static bool
is_being_enqueued(Oid schema, int64 batch_id)
{
	BatchRow now;

	return RecoveryInProgress() || lock_is_held(schema, batch_id) ||
		   !ReadBatch(schema, batch_id, &now) || now.is_complete;
}

/*
 * What is in a batch's queue, by the numbers of its actions there.
 */
BatchQueueContents
QueueContents(int64 waiting, int64 in_flight, int64 in_doubt)
{
	if (waiting + in_flight > 0)
		return QUEUE_MOVES;
	return in_doubt > 0 ? QUEUE_DOUBTS : QUEUE_EMPTY;
}

/*
 * The state of a batch at the given time, which is now.
 */
const char *
BatchState(Oid schema, const BatchRow *batch, BatchQueueContents queue, TimestampTz now)
{
	if (batch->stop == BATCH_PAUSED)
		return BATCH_STATE_PAUSED;
	if (batch->stop == BATCH_CANCELLED)
		return BATCH_STATE_CANCELLED;
	if (ApprovalOf(batch) != APPROVAL_NONE)
		return ApprovalOf(batch) == APPROVAL_AWAITED ? BATCH_STATE_AWAITING_APPROVAL
													 : BATCH_STATE_CANCELLED;
	if (!batch->is_complete)
		return is_being_enqueued(schema, batch->id) ? BATCH_STATE_ENQUEUING
													: BATCH_STATE_INTERRUPTED;
	if (queue == QUEUE_EMPTY)
		return BATCH_STATE_FINISHED;
	if (batch->start_at.given && batch->start_at.time > now)
		return BATCH_STATE_SCHEDULED;
	return queue == QUEUE_DOUBTS ? BATCH_STATE_IN_DOUBT : BATCH_STATE_RUNNING;
}

/*
 * Whether a batch in a state, which BatchState has returned, comes to its end by itself in
 * a time that follows from its speed.  What is left of one in doubt is looked up, or waits
 * for a person.
 */
bool
BatchGoesOn(const char *state)
{
	static const char *const going_on[] = {BATCH_STATE_ENQUEUING, BATCH_STATE_SCHEDULED,
										   BATCH_STATE_RUNNING};

	for (int i = 0; i < lengthof(going_on); i++)
	{
		if (strcmp(state, going_on[i]) == 0)
			return true;
	}
	return false;
}
