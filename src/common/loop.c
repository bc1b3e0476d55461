/*
 * loop.c
 *		The event loop: file descriptors and timers.
 *
 * What to wait for is kept in a table by descriptor.  One that its owner has
 * asked to keep stays registered with the kernel while nobody waits for it,
 * until it stirs: a kept-alive connection is waited for again soon after, and
 * two system calls a request are saved.
 */
#include "loop.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buffer.h"
#include "log.h"

#define EVENTS_AT_ONCE 64

typedef struct Watch
{
	uint32_t wanted;     /* what the owner waits for */
	uint32_t registered; /* what the kernel was told */
	bool keep;           /* stay registered when nothing is wanted */
	LoopHandler handler;
	void *owner;
} Watch;

static int epoll_fd = -1;
static Watch *watches; /* by descriptor */
static int watch_count;
static LoopTimer *timers; /* a handful, in no order */

/*
 * Make the loop.
 */
void
LoopStart(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
	{
		Log(LOG_ERROR, "cannot make an event loop", LogText("error", strerror(errno)));
		exit(1);
	}
}

/*
 * Take the loop down.
 */
void
LoopEnd(void)
{
	close(epoll_fd);
	free(watches);
	watches = NULL;
	watch_count = 0;
	timers = NULL;
}

/*
 * Tell the kernel what to wait for on a descriptor.  It forgets those that are
 * closed by itself, so taking one out may fail.
 */
static void
tell_kernel(int fd, uint32_t events)
{
	Watch *watch = &watches[fd];
	struct epoll_event event = {.events = events, .data.fd = fd};
	int op = watch->registered == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (events == 0)
		(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(epoll_fd, op, fd, &event) != 0)
		Log(LOG_ERROR, "cannot wait for a descriptor", LogNumber("fd", fd),
			LogText("error", strerror(errno)));
	watch->registered = events;
}

/*
 * The entry of a descriptor.
 */
static Watch *
entry(int fd)
{
	if (fd >= watch_count)
	{
		int count = fd < 64 ? 128 : fd * 2;

		watches = Reallocate(watches, count * sizeof(Watch));
		memset(watches + watch_count, 0, (count - watch_count) * sizeof(Watch));
		watch_count = count;
	}
	return &watches[fd];
}

/*
 * Wait for events on a descriptor, or, with 0, for none any more.
 */
void
LoopWatch(int fd, uint32_t events, LoopHandler handler, void *owner)
{
	Watch *watch = entry(fd);

	watch->wanted = events;
	watch->handler = handler;
	watch->owner = owner;
	if (events != watch->registered && (events != 0 || !watch->keep))
		tell_kernel(fd, events);
}

/*
 * The owner of a descriptor promises to call LoopForget before it closes it.
 */
void
LoopKeep(int fd)
{
	entry(fd)->keep = true;
}

/*
 * A descriptor is about to be closed, or belongs to somebody else from now on.
 */
void
LoopForget(int fd)
{
	if (fd < 0 || fd >= watch_count)
		return;
	if (watches[fd].registered != 0)
		tell_kernel(fd, 0);
	memset(&watches[fd], 0, sizeof(Watch));
}

/*
 * Put a timer under the loop's care.
 */
void
LoopAddTimer(LoopTimer *timer)
{
	timer->next = timers;
	timers = timer;
}

/*
 * Take a timer out.
 */
void
LoopRemoveTimer(LoopTimer *timer)
{
	for (LoopTimer **link = &timers; *link != NULL; link = &(*link)->next)
	{
		if (*link == timer)
		{
			*link = timer->next;
			return;
		}
	}
}

/*
 * How long to wait for the next timer, in milliseconds, rounded up.
 */
static int
wait_time(void)
{
	int64_t due = NEVER;
	int64_t left;

	for (LoopTimer *timer = timers; timer != NULL; timer = timer->next)
		due = Earlier(due, timer->due);
	if (due == NEVER)
		return -1;
	left = due - ClockNow();
	if (left <= 0)
		return 0;
	return (int) (Earlier(left, MINUTE) / MILLISECOND) + 1;
}

/*
 * Call the timers that are due.  One that fires is off until it is set again, and
 * may take others out.
 */
static void
run_timers(void)
{
	int64_t now = ClockNow();

	for (LoopTimer *timer = timers; timer != NULL;)
	{
		if (timer->due > now)
		{
			timer = timer->next;
			continue;
		}
		timer->due = NEVER;
		timer->expired(timer->owner);
		timer = timers;
	}
}

/*
 * Wait until something happens, and handle all that has.  A handler may change
 * the watches of any descriptor: each event looks its watch up anew, and one
 * for a descriptor that has changed hands does no harm to non-blocking code.
 */
void
LoopRunOnce(void)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int count = epoll_wait(epoll_fd, events, EVENTS_AT_ONCE, wait_time());

	if (count < 0 && errno != EINTR)
	{
		Log(LOG_ERROR, "cannot wait for events", LogText("error", strerror(errno)));
		exit(1);
	}
	for (int i = 0; i < count; i++)
	{
		int fd = events[i].data.fd;
		Watch *watch = &watches[fd];

		if (watch->wanted != 0)
			watch->handler(watch->owner, fd, events[i].events);
		else if (watch->registered != 0)
			tell_kernel(fd, 0);
	}
	run_timers();
}
