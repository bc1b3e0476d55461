/*
 * loop.h
 *		The event loop: file descriptors and timers.
 */
#ifndef LOOP_H
#define LOOP_H

#include <stdint.h>
#include <sys/epoll.h>

#include "common/clock.h"

/* Called when a descriptor is ready: events is a set of EPOLLIN and the like. */
typedef void (*LoopHandler)(void *owner, int fd, uint32_t events);

/* Something to do at a time.  Belongs to its owner, who sets the fields. */
typedef struct LoopTimer
{
	void (*expired)(void *owner);
	void *owner;
	int64_t due; /* NEVER while it is off */
	struct LoopTimer *next;
} LoopTimer;

extern void LoopStart(void);
extern void LoopEnd(void);
extern void LoopWatch(int fd, uint32_t events, LoopHandler handler, void *owner);
extern void LoopKeep(int fd);
extern void LoopForget(int fd);
extern void LoopAddTimer(LoopTimer *timer);
extern void LoopAddPatientTimer(LoopTimer *timer);
extern void LoopRemoveTimer(LoopTimer *timer);
extern int64_t LoopTime(void);
extern void LoopRunOnce(void);

#endif
