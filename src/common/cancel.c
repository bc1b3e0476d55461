/*
 * cancel.c
 *		Requests to cancel a statement.
 *
 * libpq's PQcancel makes a connection of its own and waits for it, which must
 * not keep the loop: a thread does it.  When it has returned the server has
 * signalled the backend, so the next statement is not hit.
 */
#include "cancel.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "buffer.h"
#include "log.h"
#include "loop.h"

struct Cancel
{
	PGcancel *request;
	int fd; /* tells the loop that the thread has done its work */
	bool failed;
	char error[256];
	void (*ended)(void *owner); /* NULL if nobody wants to know any more */
	void *owner;
};

/*
 * Give it back.
 */
static void
cancel_free(Cancel *cancel)
{
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
	if (cancel->failed)
		Log(LOG_WARNING, "cannot cancel a statement", LogText("error", cancel->error));
	cancel_free(cancel);
	if (ended != NULL)
		ended(waiting);
}

/*
 * Ask the server of a connection to cancel what it does.  The owner is told when
 * the request has been made, whatever came of it.  Returns NULL, and does
 * nothing, if it cannot be made.
 */
Cancel *
CancelStart(PGconn *conn, void (*ended)(void *owner), void *owner)
{
	Cancel *cancel = Allocate(sizeof(Cancel));
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	*cancel = (Cancel){.ended = ended, .owner = owner, .request = PQgetCancel(conn)};
	cancel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = cancel->request == NULL || cancel->fd < 0 ? ENOMEM : 0;
	if (error == 0)
	{
		pthread_attr_init(&attributes);
		pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
		error = pthread_create(&thread, &attributes, cancel_thread, cancel);
		pthread_attr_destroy(&attributes);
	}
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
 * The owner does not want to know any more.  The thread ends by itself.
 */
void
CancelForget(Cancel *cancel)
{
	if (cancel != NULL)
		cancel->ended = NULL;
}
