/*
 * cancel.c
 *		Requests to cancel a statement.
 *
 * libpq's PQcancel makes a connection of its own and waits for it, which must
 * not keep the loop: a thread does it.  When it has returned the server has
 * signalled the backend, so the next statement is not hit.
 *
 * A backend that has not begun with the statement yet, or is between two that
 * were sent together, ignores the signal.  So the request is repeated until the
 * statement is over.
 */
#include "common/cancel.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"

/* After how long it is repeated, first and at last. */
#define FIRST_DELAY (20 * MILLISECOND)
#define LAST_DELAY SECOND

struct Cancel
{
	PGcancel *request;
	int fd;          /* tells the loop that the thread has done its work */
	bool is_running; /* a thread is at it */
	bool is_last;    /* it is not repeated */
	bool failed;
	char error[256];
	int64_t delay;
	LoopTimer timer;
	void (*ended)(void *owner); /* NULL if nobody wants to know any more */
	void *owner;
};

/*
 * Give it back.
 */
static void
cancel_free(Cancel *cancel)
{
	LoopRemoveTimer(&cancel->timer);
	LoopForget(cancel->fd);
	close(cancel->fd);
	PQfreeCancel(cancel->request);
	free(cancel);
}

/*
 * The thread: nothing of the program's is touched but the request itself.
 */
static void *
cancel_thread(void *argument)
{
	Cancel *cancel = argument;
	uint64_t one = 1;

	cancel->failed = PQcancel(cancel->request, cancel->error, sizeof(cancel->error)) != 1;
	while (write(cancel->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	return NULL;
}

/*
 * Have a thread make the request.  Returns 0, or what is wrong.
 */
static int
run_thread(Cancel *cancel)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attributes, cancel_thread, cancel);
	pthread_attr_destroy(&attributes);
	cancel->is_running = error == 0;
	return error;
}

/*
 * It is time to make the request again.
 */
static void
timer_expired(void *owner)
{
	Cancel *cancel = owner;

	cancel->delay = Earlier(cancel->delay * 2, LAST_DELAY);
	if (run_thread(cancel) != 0)
		cancel->timer.due = ClockNow() + cancel->delay;
}

/*
 * The thread has done its work.
 */
static void
cancel_ready(void *owner, int fd, uint32_t events)
{
	Cancel *cancel = owner;
	void (*ended)(void *owner) = cancel->ended;
	void *waiting = cancel->owner;
	uint64_t count;

	(void) events;
	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return;
	cancel->is_running = false;
	if (cancel->failed)
		Log(LOG_WARNING, "cannot cancel a statement", LogText("error", cancel->error));
	if (ended != NULL && !cancel->is_last)
	{
		cancel->timer.due = ClockNow() + cancel->delay;
		return;
	}
	cancel_free(cancel);
	if (ended != NULL)
		ended(waiting);
}

/*
 * Ask the server of a connection to cancel what it does, again and again until
 * CancelFinish or CancelForget.  Returns NULL, and does nothing, if that cannot be.
 */
Cancel *
CancelStart(PGconn *conn, void (*ended)(void *owner), void *owner)
{
	Cancel *cancel = Allocate(sizeof(Cancel));
	int error;

	*cancel = (Cancel){.ended = ended,
					   .owner = owner,
					   .request = PQgetCancel(conn),
					   .delay = FIRST_DELAY,
					   .timer = {timer_expired, cancel, NEVER, NULL}};
	LoopAddTimer(&cancel->timer);
	cancel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = cancel->request == NULL || cancel->fd < 0 ? ENOMEM : run_thread(cancel);
	if (error != 0)
	{
		Log(LOG_WARNING, "cannot cancel a statement", LogText("error", strerror(error)));
		cancel_free(cancel);
		return NULL;
	}
	LoopWatch(cancel->fd, EPOLLIN, cancel_ready, cancel);
	return cancel;
}

/*
 * What was to be cancelled is over.  Returns whether that is all; else a request
 * is still under way, which might hit what comes next, and the owner is told when
 * it has been made.
 */
bool
CancelFinish(Cancel *cancel)
{
	cancel->is_last = true;
	if (cancel->is_running)
		return false;
	cancel_free(cancel);
	return true;
}

/*
 * The owner does not want to know any more.  A thread ends by itself.
 */
void
CancelForget(Cancel *cancel)
{
	if (cancel == NULL)
		return;
	cancel->ended = NULL;
	if (!cancel->is_running)
		cancel_free(cancel);
}
