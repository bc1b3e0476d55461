/*
 * wake.c
 *		Waking up consumers, if one is sleeping.
 *
 * A NOTIFY makes the commits of the whole cluster wait for each other, so it is
 * sent only if a consumer is sleeping.  Two locks show this.  A consumer that is
 * about to sleep takes the sleepers' lock, shared and for its session, and then
 * checks whether a transaction is enqueueing; a transaction that enqueues takes
 * the enqueuers' lock, shared and until its end, and then checks whether a
 * consumer is sleeping.  The later one sees the other: either the NOTIFY is
 * sent, or the consumer knows that something may be committed without one, and
 * looks again soon.  Neither lock is ever waited for.
 */
#include "postgres.h"

#include "commands/async.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/settings.h"
#include "base/table_access.h"
#include "queue/wake.h"

/* Keeps the locks apart from those of batch_flags.c, and from what users lock. */
#define WAKE_LOCK_CLASS 6

#define SLEEPERS 1
#define ENQUEUERS 2

/*
 * Set *tag to one of the two locks.
 */
static void
set_lock_tag(LOCKTAG *tag, Oid schema, uint32 which)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, OwnTable(schema, SEGMENT_TABLE), which,
						 WAKE_LOCK_CLASS);
}

/*
 * Whether another session holds one of the two locks.  What this session holds of
 * it itself does not count.
 */
static bool
is_held(Oid schema, uint32 which)
{
	LOCKTAG tag;

	set_lock_tag(&tag, schema, which);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, ExclusiveLock, true);
	return false;
}

/*
 * Have consumers woken up when the transaction commits, according to
 * acteon_replay.notify.  A hint: they poll, too.
 */
void
NotifyConsumers(Oid schema)
{
	LOCKTAG tag;

	if (NotifySetting == NOTIFY_OFF)
		return;
	if (NotifySetting == NOTIFY_SMART)
	{
		set_lock_tag(&tag, schema, ENQUEUERS);
		/* Who is just looking for enqueuers has not seen us. */
		if (LockAcquire(&tag, ShareLock, false, true) != LOCKACQUIRE_NOT_AVAIL &&
			!is_held(schema, SLEEPERS))
			return;
	}
	Async_Notify("acteon_dispatch_outbox", "");
}

/*
 * Note that a consumer sleeps in this session, until EndSleep or the end of the
 * session.  Returns whether it may sleep long: false if a transaction is under way
 * that may commit actions without a NOTIFY.
 */
bool
BeginSleep(Oid schema)
{
	LOCKTAG tag;

	set_lock_tag(&tag, schema, SLEEPERS);
	if (!ActeonLockHeldByMe(&tag, ShareLock) &&
		LockAcquire(&tag, ShareLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return false; /* another session is just checking */
	return !is_held(schema, ENQUEUERS);
}

/*
 * Note that it does not sleep any more, if it did.
 */
void
EndSleep(Oid schema)
{
	LOCKTAG tag;

	set_lock_tag(&tag, schema, SLEEPERS);
	if (ActeonLockHeldByMe(&tag, ShareLock))
		(void) LockRelease(&tag, ShareLock, true);
}
