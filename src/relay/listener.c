/*
 * listener.c
 *		The connection that listens for notifications.
 *
 * They are hints: whoever wants to be told polls as well.  Since a connection
 * on which nothing is said can be dead without anybody noticing, it is asked
 * for a sign of life now and then.
 */
#include "listener.h"

#include <stdlib.h>

#include "buffer.h"
#include "clock.h"
#include "log.h"

#define PING_INTERVAL (15 * SECOND)
#define PING_TIMEOUT (10 * SECOND)

static void listening(void *owner, PGresult *result);

/*
 * Send a statement without parameters.
 */
static void
say(Listener *listener, const char *sql, DatabaseDone done)
{
	Statement statement = {.sql = sql, .timeout = PING_TIMEOUT, .done = done};

	DatabaseSend(listener->database, &statement);
}

/*
 * Did it work?  If not, the connection is made anew.
 */
static bool
succeeded(Listener *listener, PGresult *result)
{
	const char *sqlstate, *message;

	if (result == NULL)
		return false;
	if (!DatabaseFailed(result, &sqlstate, &message))
		return true;
	DatabaseReset(listener->database, message);
	return false;
}

/*
 * It lives.
 */
static void
alive(void *owner, PGresult *result)
{
	Listener *listener = owner;

	if (succeeded(listener, result))
		listener->timer.due = ClockNow() + PING_INTERVAL;
}

/*
 * Ask for a sign of life.
 */
static void
ping(void *owner)
{
	Listener *listener = owner;

	if (DatabaseIsReady(listener->database) && DatabaseIsIdle(listener->database))
		say(listener, "SELECT 1", alive);
}

/*
 * We listen now, but not since when we last did: something may have been missed.
 */
static void
listening(void *owner, PGresult *result)
{
	Listener *listener = owner;

	if (!succeeded(listener, result))
		return;
	listener->timer.due = ClockNow() + PING_INTERVAL;
	listener->notified(listener->owner);
}

/*
 * The search path is pinned; now listen.
 */
static void
pinned(void *owner, PGresult *result)
{
	Listener *listener = owner;
	char *sql;

	if (!succeeded(listener, result))
		return;
	sql = Format("LISTEN %s", listener->channel);
	say(listener, sql, listening);
	free(sql);
}

/*
 * A new connection.
 */
static void
connected(void *owner)
{
	say(owner, "SELECT pg_catalog.set_config('search_path', 'pg_catalog', false)", pinned);
}

/*
 * A notification.
 */
static void
notified(void *owner)
{
	Listener *listener = owner;

	listener->notified(listener->owner);
}

/*
 * Begin to listen on a channel, whose name is an identifier as it stands.
 */
void
ListenerStart(Listener *listener, const char *conninfo, const char *program, const char *channel,
			  void (*handler)(void *owner), void *owner)
{
	DatabaseHandlers handlers = {.owner = listener, .connected = connected, .notified = notified};

	*listener = (Listener){.notified = handler, .owner = owner, .channel = channel};
	listener->timer = (LoopTimer){ping, listener, NEVER, NULL};
	LoopAddTimer(&listener->timer);
	listener->database = DatabaseOpen(conninfo, program, "listen", handlers);
}

/*
 * Stop listening.
 */
void
ListenerEnd(Listener *listener)
{
	if (listener->database == NULL)
		return;
	LoopRemoveTimer(&listener->timer);
	DatabaseClose(listener->database);
	listener->database = NULL;
}
