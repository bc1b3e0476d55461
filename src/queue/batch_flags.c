/*
 * batch_flags.c
 *		What the queue has to know of a batch: whether it is stopped, and its locks.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "base/catalog.h"
#include "base/text.h"
#include "queue/batch_flags.h"

/* Locks that batches share; a call that meets thousands of them needs few. */
#define BATCH_LOCKS 512
/* Keeps them apart from lanes and from what users lock with pg_advisory_lock. */
#define BATCH_LOCK_CLASS 4
#define STEERING_LOCK_CLASS 5

/*
 * Whether a batch may continue, by its column stopped.
 */
BatchStop
StopOfValue(Datum stopped, bool isnull)
{
	text *value;

	if (isnull)
		return BATCH_RUNS;
	value = DatumGetTextPP(stopped);
	if (TextIs(value, STOPPED_PAUSED))
		return BATCH_PAUSED;
	if (TextIs(value, STOPPED_CANCELLING) || TextIs(value, STOPPED_CANCELLED))
		return BATCH_CANCELLED;
	elog(ERROR, "unknown value of acteon_replay_batch.stopped: %s", text_to_cstring(value));
}

/*
 * Whether the batch of a row may continue.
 */
BatchStop
StopInRow(TupleTableSlot *row)
{
	bool isnull;
	Datum stopped = slot_getattr(row, Anum_batch_stopped, &isnull);

	return StopOfValue(stopped, isnull);
}

/*
 * Whether a batch may continue, as a snapshot shows it.  One whose row is
 * missing may: acteon_outbox_check reports that.
 */
BatchStop
StopOfBatch(TableFinder *batches, int64 batch_id, Snapshot snapshot)
{
	if (!FindRow(batches, F_INT8EQ, Int64GetDatum(batch_id), snapshot))
		return BATCH_RUNS;
	return StopInRow(batches->slot);
}

/*
 * Which one of the locks of batches is that of a batch: several share one.
 */
uint32
BatchLockOf(int64 batch_id)
{
	return (uint32) ((uint64) batch_id % BATCH_LOCKS);
}

/*
 * Lock a batch until the transaction ends: shared for claiming, exclusively for
 * steering.  Without wait, returns false if that is not possible now.
 */
bool
LockBatch(Oid schema, int64 batch_id, LOCKMODE mode, bool wait)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, OwnTable(schema, BATCH_TABLE), BatchLockOf(batch_id),
						 BATCH_LOCK_CLASS);
	return LockAcquire(&tag, mode, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Get in the queue of those who change a batch: who steers it, and the chunks of
 * acteon_replay_all.  The lock is theirs in the order in which they came, which a
 * row lock does not promise: without it chunk after chunk could overtake who
 * waits to cancel them.  Until the transaction ends.
 */
void
LockSteering(Oid schema, int64 batch_id)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, OwnTable(schema, BATCH_TABLE), (uint32) batch_id,
						 STEERING_LOCK_CLASS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}
