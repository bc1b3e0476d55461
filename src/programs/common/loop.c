/*
 * loop.c
 *		The event loop: file descriptors and timers.
 *
 * What to wait for is kept in a table by descriptor.  After a descriptor is
 * closed its number can be reused, and not every library reports when it closes
 * one.  So the table is relied on only if the owner has promised to report this
 * (LoopKeep); otherwise the kernel is asked each time.  Each entry has a
 * generation, which the kernel returns with an event, so that an event for an
 * earlier descriptor of the same number is not mistaken for one of the new
 * descriptor.
 *
 * A descriptor that its owner has asked to keep also stays registered while
 * nothing waits for it, until it has an event: a kept-alive connection is
 * waited for again soon after, and this saves two system calls for each
 * request.
 *
 * The process may be stopped for a while, alone or with its machine.  Then
 * everything is late, and what has arrived meanwhile is in the sockets.  It is
 * read first; only then do timers run, and those that wait for an answer do not
 * count the time in which the answer could not have been read.
 */
#include "common/loop.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/log.h"

#define EVENTS_AT_ONCE 64

/* A delay above the first counts as a stall, one above the second is logged. */
#define STALL (200 * MILLISECOND)
#define LONG_STALL SECOND

/* How long reading what has arrived meanwhile may take before timers run. */
#define CATCH_UP_TIME SECOND

typedef struct Watch
{
	uint32_t wanted;     /* what the owner waits for */
	uint32_t registered; /* what the kernel was told */
	uint32_t generation; /* of the descriptor, among those of this number */
	int64_t changed;     /* the round in which that changed */
	bool keep;           /* stay registered when nothing is wanted */
	LoopHandler handler;
	void *owner;
} Watch;

static int epoll_fd = -1;
static Watch *watches; /* by descriptor */
static int watch_count;
static LoopTimer *timers; /* a handful, in no order */
static LoopTimer *patient_timers;
static int64_t round_number;
static int64_t seen_at; /* when the loop was last known to move */
static int64_t stalled; /* how long it has stood still, in all */
static bool caught_up = true;

/*
 * Make the kernel's side of the loop.
 */
static void
make_epoll(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
	{
		Log(LOG_ERROR, "cannot make an event loop", LogText("error", strerror(errno)));
		exit(1);
	}
}

/*
 * Make the loop.
 */
void
LoopStart(void)
{
	make_epoll();
	seen_at = ClockNow();
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
	patient_timers = NULL;
}

/*
 * Tell the kernel what to wait for on a descriptor.  It forgets those that are
 * closed by itself, so taking one out may fail, and so may changing one that has
 * the number of another; but it does not forget one that was closed under one number
 * and lives on under another.
 */
static void
tell_kernel(int fd, uint32_t events)
{
	Watch *watch = &watches[fd];
	struct epoll_event event = {.events = events};
	int op = watch->registered == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
	int failed;

	event.data.u64 = (uint64_t) watch->generation << 32 | (uint32_t) fd;
	watch->registered = events;
	if (events == 0)
	{
		(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return;
	}
	failed = epoll_ctl(epoll_fd, op, fd, &event);
	if (failed != 0 && op == EPOLL_CTL_MOD && errno == ENOENT)
		failed = epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
	else if (failed != 0 && op == EPOLL_CTL_ADD && errno == EEXIST)
		failed = epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event);
	if (failed != 0)
	{
		Log(LOG_ERROR, "cannot wait for a descriptor", LogNumber("fd", fd),
			LogText("error", strerror(errno)));
		watch->registered = 0;
	}
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
 * Forget what is known about a number: it means another descriptor from now on.
 */
static void
renew(Watch *watch)
{
	*watch = (Watch){.generation = watch->generation + 1, .changed = round_number};
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
	if (watch->keep ? events != 0 && events != watch->registered
					: events != 0 || watch->registered != 0)
		tell_kernel(fd, events);
}

/*
 * A descriptor is new.  Its owner promises to call LoopForget before it closes
 * it, and until then it stays registered even while nothing waits for it.
 */
void
LoopKeep(int fd)
{
	Watch *watch = entry(fd);

	renew(watch);
	watch->keep = true;
}

/*
 * A descriptor is about to be closed, or to get another owner.
 */
void
LoopForget(int fd)
{
	if (fd < 0 || fd >= watch_count)
		return;
	if (watches[fd].registered != 0)
		tell_kernel(fd, 0);
	renew(&watches[fd]);
}

/*
 * The kernel reports a descriptor that was forgotten long ago: it was closed, but
 * lives on under another number, and cannot be removed.  Begin anew.
 */
static void
start_anew(void)
{
	close(epoll_fd);
	make_epoll();
	for (int fd = 0; fd < watch_count; fd++)
	{
		uint32_t events = watches[fd].registered;

		watches[fd].registered = 0;
		if (events != 0)
			tell_kernel(fd, events);
	}
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
 * The same for a timer that waits for an answer of somebody else: while the loop
 * stands still, its time does.
 */
void
LoopAddPatientTimer(LoopTimer *timer)
{
	timer->next = patient_timers;
	patient_timers = timer;
}

/*
 * Take a timer out of a list.
 */
static void
remove_timer(LoopTimer **list, LoopTimer *timer)
{
	for (LoopTimer **link = list; *link != NULL; link = &(*link)->next)
	{
		if (*link == timer)
		{
			*link = timer->next;
			return;
		}
	}
}

/*
 * Take a timer out.
 */
void
LoopRemoveTimer(LoopTimer *timer)
{
	remove_timer(&timers, timer);
	remove_timer(&patient_timers, timer);
}

/*
 * Microseconds since some moment, without those in which the loop stood still.
 * What is measured with it is how long somebody has had to answer.
 */
int64_t
LoopTime(void)
{
	return ClockNow() - stalled;
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
	for (LoopTimer *timer = patient_timers; timer != NULL; timer = timer->next)
		due = Earlier(due, timer->due);
	if (due == NEVER)
		return -1;
	left = due - ClockNow();
	if (left <= 0)
		return 0;
	return (int) (Earlier(left, MINUTE) / MILLISECOND) + 1;
}

/*
 * Call the timers of a list that are due.  One that fires is off until it is set
 * again, and may take others out.
 */
static void
run_timers(LoopTimer **list, int64_t now)
{
	for (LoopTimer *timer = *list; timer != NULL;)
	{
		if (timer->due > now)
		{
			timer = timer->next;
			continue;
		}
		timer->due = NEVER;
		timer->expired(timer->owner);
		timer = *list;
	}
}

/*
 * The loop moves.  It should have got here by a time: if it is much later, it has
 * stood still.
 */
static void
notice_stall(int64_t expected)
{
	int64_t now = ClockNow();
	int64_t late = now - expected;

	seen_at = now;
	if (late <= STALL)
		return;
	if (late >= LONG_STALL)
		Log(LOG_WARNING, "stood still", LogNumber("ms", late / MILLISECOND));
	stalled += late;
	caught_up = false;
	for (LoopTimer *timer = patient_timers; timer != NULL; timer = timer->next)
	{
		if (timer->due != NEVER)
			timer->due += late;
	}
}

/*
 * Wait until something happens, but not longer than so many milliseconds, and
 * handle what has.  A handler may change the watches of any descriptor: each event
 * looks its watch up anew.  Returns whether there was anything.
 */
static bool
handle_events(int wait)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int count = epoll_wait(epoll_fd, events, EVENTS_AT_ONCE, wait);
	int64_t began = round_number++;

	if (count < 0 && errno != EINTR)
	{
		Log(LOG_ERROR, "cannot wait for events", LogText("error", strerror(errno)));
		exit(1);
	}
	if (wait >= 0)
		notice_stall(seen_at + wait * MILLISECOND);
	else
		seen_at = ClockNow();
	for (int i = 0; i < count; i++)
	{
		int fd = (int) (events[i].data.u64 & UINT32_MAX);
		Watch *watch = &watches[fd];

		if (events[i].data.u64 >> 32 != watch->generation)
		{
			/* What has just been forgotten is no surprise. */
			if (watch->changed <= began)
			{
				start_anew();
				return true;
			}
		}
		else if (watch->wanted != 0)
			watch->handler(watch->owner, fd, events[i].events);
		else if (watch->registered != 0)
			tell_kernel(fd, 0);
	}
	return count > 0;
}

/*
 * Wait until something happens, and handle all that has.  After the loop has
 * stood still, everything that arrived meanwhile is handled before any timer runs.
 */
void
LoopRunOnce(void)
{
	int wait = wait_time();
	int64_t end;

	notice_stall(seen_at);
	handle_events(caught_up ? wait : 0);
	notice_stall(seen_at);
	end = ClockNow() + CATCH_UP_TIME;
	while (!caught_up && handle_events(0) && ClockNow() < end)
		;
	caught_up = true;
	run_timers(&timers, ClockNow());
	run_timers(&patient_timers, ClockNow());
}
