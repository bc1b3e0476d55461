/*
 * fault_point.h
 *		Places at which tests stop a session, to kill it or something else there.
 *
 * In a normal build they are nothing.  With ACTEON_FAULT_POINTS (make FAULT_POINTS=1), a
 * session that comes to one waits as long as another session holds the advisory lock of
 * its name, as pg_advisory_lock(FAULT_POINT_CLASS, hash of the name) takes it; so who
 * holds that sees in pg_locks who waits.  Else, on a server that was built with injection
 * points, each is one of these, with "acteon_replay-" before its name.
 *
 * A place must not hold a spinlock, a lightweight lock or the lock of a buffer.
 */
#ifndef ACTEON_FAULT_POINT_H
#define ACTEON_FAULT_POINT_H

#include "base/compat.h"

#if defined(ACTEON_FAULT_POINTS)

#include "miscadmin.h"
#include "storage/lock.h"

#define FAULT_POINT_CLASS 20260

/*
 * Wait until nobody holds the lock of a place.
 */
static inline void
PassFaultPoint(const char *name)
{
	LOCKTAG tag;
	uint32 hash = 2166136261U; /* FNV-1a, as test/scenarios has it, without the sign */

	for (const char *c = name; *c != '\0'; c++)
		hash = (hash ^ (unsigned char) *c) * 16777619U;
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, FAULT_POINT_CLASS, hash & 0x7FFFFFFF, 2);
	(void) LockAcquire(&tag, ShareLock, false, false);
	(void) LockRelease(&tag, ShareLock, false);
}

#define FAULT_POINT(name) PassFaultPoint(name)

#elif defined(USE_INJECTION_POINTS)
#define FAULT_POINT(name) ActeonInjectionPoint("acteon_replay-" name)
#else
#define FAULT_POINT(name) ((void) 0)
#endif

#endif /* ACTEON_FAULT_POINT_H */
