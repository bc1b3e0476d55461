/*
 * listener.c
 *		The connection that listens for notifications.
 *
 * Notifications are only hints: the relay polls as well.  Since an idle
 * connection can be dead without being noticed, a trivial query is sent from
 * time to time.
 *
 * A transaction that enqueues may omit the notification if no consumer is
 * sleeping, so a consumer that has found nothing registers as sleeping, looks
 * once more, and only then waits.  If a transaction is enqueueing that has not
 * seen this yet, it waits only for a short time.
 */
#include "relay/listener.h"

#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/log.h"
#include "relay/statements.h"

#define PING_INTERVAL (15 * SECOND)
#define PING_TIMEOUT (10 * SECOND)

/* Naps, the first and the longest. */
#define FIRST_NAP (2 * MILLISECOND)
#define LONGEST_NAP (100 * MILLISECOND)

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
	listener->is_listening = true;
	listener->timer.due = ClockNow() + PING_INTERVAL;
	listener->notified(listener->owner);
}

/*
 * A new connection: listen.
 */
static void
connected(void *owner)
{
	Listener *listener = owner;
	char *sql = Format("LISTEN %s", listener->channel);

	say(listener, sql, listening);
	free(sql);
}

/*
 * The connection is lost, and with it what we have said.
 */
static void
lost(void *owner)
{
	Listener *listener = owner;

	listener->is_listening = listener->is_refused = false;
	listener->sleep = SLEEP_AWAKE;
	listener->nap = 0;
	listener->timer.due = NEVER;
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
 * Get ready to listen on a channel, whose name is an identifier as it stands, as
 * soon as the connection need not be held back any more.
 */
void
ListenerStart(Listener *listener, const char *conninfo, const char *program, const char *channel,
			  void (*handler)(void *owner), void *owner)
{
	DatabaseHandlers handlers = {.owner = listener,
								 .connected = connected,
								 .lost = lost,
								 .notified = notified};

	*listener = (Listener){.notified = handler, .owner = owner, .channel = channel};
	listener->session = (DatabaseSession){queue_session_sql, PING_TIMEOUT, false};
	listener->timer = (LoopTimer){ping, listener, NEVER, NULL};
	LoopAddTimer(&listener->timer);
	listener->database = DatabaseOpen(conninfo, program, "listen", handlers, &listener->session);
	DatabaseHold(listener->database, true);
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

/*
 * Hold the connection back, or not: others are more important.
 */
void
ListenerHold(Listener *listener, bool hold)
{
	if (listener->database != NULL)
		DatabaseHold(listener->database, hold);
}

/*
 * What we have said about sleeping has come through.
 */
static void
told(void *owner, PGresult *result)
{
	Listener *listener = owner;
	const char *sqlstate, *message;

	if (result == NULL)
		return;
	listener->timer.due = ClockNow() + PING_INTERVAL;
	if (DatabaseFailed(result, &sqlstate, &message))
	{
		/* We are told of everything, or poll. */
		Log(LOG_DEBUG, "cannot say that we sleep", LogText("sqlstate", sqlstate),
			LogText("error", message));
		listener->is_refused = true;
		listener->sleep = SLEEP_AWAKE;
		return;
	}
	listener->may_sleep = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "t") == 0;
	if (listener->sleep == SLEEP_ASKING)
	{
		listener->sleep = SLEEP_LOOKING;
		listener->notified(listener->owner);
	}
	else
		listener->sleep = SLEEP_AWAKE;
}

/*
 * Say that we sleep, or that we do not.
 */
static void
tell(Listener *listener, const char *sql, Sleep sleep)
{
	Statement statement = {.sql = sql,
						   .count = 1,
						   .values = {sleep == SLEEP_ASKING ? "t" : "f"},
						   .timeout = PING_TIMEOUT,
						   .done = told};

	listener->sleep = sleep;
	DatabaseSend(listener->database, &statement);
}

/*
 * Somebody has looked, after all that we have said, and found so many.
 */
void
ListenerFound(Listener *listener, int count)
{
	if (listener->sleep != SLEEP_LOOKING || count > 0)
		return;
	listener->sleep = listener->may_sleep ? SLEEP_ASLEEP : SLEEP_NAPPING;
	listener->nap = listener->nap == 0 ? FIRST_NAP : Earlier(listener->nap * 2, LONGEST_NAP);
	listener->nap_end = ClockNow() + listener->nap;
	if (listener->may_sleep)
		listener->nap = 0;
}

/*
 * Do what there is to do about sleeping, for somebody who has looked and found
 * nothing, or something.  sleep_sql is NULL where a consumer cannot say that it
 * sleeps.  Returns whether it must look again before it waits.
 */
bool
ListenerSleeps(Listener *listener, const char *sleep_sql, bool found_nothing, int64_t now,
			   int64_t *wake)
{
	if (listener->database == NULL || !listener->is_listening || listener->is_refused ||
		sleep_sql == NULL)
		return false;
	if (!DatabaseIsReady(listener->database) || !DatabaseIsIdle(listener->database))
		return listener->sleep == SLEEP_LOOKING;
	if (!found_nothing)
	{
		listener->nap = 0;
		if (listener->sleep == SLEEP_ASLEEP || listener->sleep == SLEEP_NAPPING)
			tell(listener, sleep_sql, SLEEP_RISING);
		return false;
	}
	if (listener->sleep == SLEEP_NAPPING && now < listener->nap_end)
		*wake = Earlier(*wake, listener->nap_end);
	else if (listener->sleep == SLEEP_AWAKE || listener->sleep == SLEEP_NAPPING)
		tell(listener, sleep_sql, SLEEP_ASKING);
	return listener->sleep == SLEEP_LOOKING;
}
