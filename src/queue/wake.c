/*
 * wake.c
 *		Waking up consumers, if one is sleeping.
 *
 * A NOTIFY makes the commits of the whole cluster wait for each other, so it is
 * sent only if a consumer is sleeping.  Two locks show this.  A consumer that is
 * about to sleep takes the sleepers' lock, shared and for its session, and then
 * checks whether a transaction is enqueueing; a transaction that enqueues takes
 * the enqueuers' lock, shared and until its end, and checks when it is about to
 * commit whether a consumer is sleeping.  The later one sees the other: either
 * the NOTIFY is sent, or the consumer knows that something may be committed
 * without one, and looks again soon.  Neither lock is ever waited for.
 *
 * The check is made as late as possible, so that a consumer that has fallen
 * asleep while a long transaction was open is woken, and one that has woken up
 * meanwhile costs no NOTIFY.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/async.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/own_table.h"
#include "base/settings.h"
#include "queue/wake.h"

/* Keeps the locks apart from those of batch_flags.c, and from what users lock. */
#define WAKE_LOCK_CLASS 6

#define SLEEPERS 1
#define ENQUEUERS 2

/* The segments' table, if the transaction at hand has enqueued; see NotifyConsumers. */
static Oid enqueued_in = InvalidOid;

/*
 * Set *tag to one of the two locks, which stand for the table of the segments.
 */
static void
set_lock_tag(LOCKTAG *tag, Oid segments, uint32 which)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, segments, which, WAKE_LOCK_CLASS);
}

/*
 * Whether another session holds one of the two locks.  What this session holds of
 * it itself does not count.
 */
static bool
is_held(Oid segments, uint32 which)
{
	LOCKTAG tag;

	set_lock_tag(&tag, segments, which);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, ExclusiveLock, true);
	return false;
}

/*
 * Send the NOTIFY.
 */
static void
notify(void)
{
	Async_Notify("acteon_dispatch_outbox", "");
}

/*
 * At the end of a transaction: send the NOTIFY if the transaction enqueues and a
 * consumer is sleeping.  A transaction that has rolled back all that it enqueued
 * has lost the lock as well.  A transaction that is prepared keeps it until it is
 * committed, so consumers look again; a prepared NOTIFY is impossible.
 */
static void
notify_before_commit(XactEvent event, void *arg)
{
	Oid segments = enqueued_in;
	LOCKTAG tag;

	enqueued_in = InvalidOid;
	if (event != XACT_EVENT_PRE_COMMIT || !OidIsValid(segments))
		return;
	set_lock_tag(&tag, segments, ENQUEUERS);
	if (ActeonLockHeldByMe(&tag, ShareLock) && is_held(segments, SLEEPERS))
		notify();
}

/*
 * Have consumers woken up when the transaction commits, according to
 * acteon_replay.notify.  A hint: they poll, too.
 */
void
NotifyConsumers(Oid schema)
{
	static bool is_registered = false;
	Oid segments = OwnTable(schema, SEGMENT_TABLE);
	LOCKTAG tag;

	if (NotifySetting == NOTIFY_OFF)
		return;
	if (NotifySetting == NOTIFY_SMART)
	{
		if (!is_registered)
			RegisterXactCallback(notify_before_commit, NULL);
		is_registered = true;
		set_lock_tag(&tag, segments, ENQUEUERS);
		/* If it is not available, who is just looking for enqueuers has not seen us. */
		if (LockAcquire(&tag, ShareLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
		{
			enqueued_in = segments;
			return;
		}
	}
	notify();
}

/*
 * Note that a consumer sleeps in this session, until EndSleep or the end of the
 * session.  Returns whether it may sleep long: false if a transaction is under way
 * that may commit actions without a NOTIFY.
 */
bool
BeginSleep(Oid schema)
{
	Oid segments = OwnTable(schema, SEGMENT_TABLE);
	LOCKTAG tag;

	set_lock_tag(&tag, segments, SLEEPERS);
	if (!ActeonLockHeldByMe(&tag, ShareLock) &&
		LockAcquire(&tag, ShareLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return false; /* another session is just checking */
	return !is_held(segments, ENQUEUERS);
}

/*
 * Note that it does not sleep any more, if it did.
 */
void
EndSleep(Oid schema)
{
	Oid segments = OwnTable(schema, SEGMENT_TABLE);
	LOCKTAG tag;

	set_lock_tag(&tag, segments, SLEEPERS);
	if (ActeonLockHeldByMe(&tag, ShareLock))
		(void) LockRelease(&tag, ShareLock, true);
}

/*
 * Whether a consumer of another session sleeps.
 */
bool
IsAnyAsleep(Oid schema)
{
	return is_held(OwnTable(schema, SEGMENT_TABLE), SLEEPERS);
}
