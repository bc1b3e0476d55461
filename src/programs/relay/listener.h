/*
 * listener.h
 *		The connection that listens for notifications.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include "common/database.h"
#include "common/loop.h"

/* How far we are with going to sleep. */
typedef enum Sleep
{
	SLEEP_AWAKE,
	SLEEP_ASKING,  /* we say that we sleep from now on */
	SLEEP_LOOKING, /* it is known: now look once more whether there is anything */
	SLEEP_ASLEEP,  /* there was nothing: we are woken */
	SLEEP_NAPPING, /* for some moments: something is under way that does not wake us */
	SLEEP_RISING,  /* we say that we are awake */
} Sleep;

/* Calls notified when something may have become due. */
typedef struct Listener
{
	void (*notified)(void *owner);
	void *owner;
	const char *channel;
	DatabaseSession session;
	Database *database;
	LoopTimer timer; /* for the next sign of life */
	bool is_listening;
	bool is_refused; /* to say that we sleep */
	Sleep sleep;
	bool may_sleep; /* all who enqueue know that we sleep */
	int64_t nap;    /* how long the last one was */
	int64_t nap_end;
} Listener;

extern void ListenerStart(Listener *listener, const char *conninfo, const char *program,
						  const char *channel, void (*notified)(void *owner), void *owner);
extern void ListenerEnd(Listener *listener);
extern void ListenerHold(Listener *listener, bool hold);
extern void ListenerFound(Listener *listener, int count);
extern bool ListenerSleeps(Listener *listener, const char *sleep_sql, bool found_nothing,
						   int64_t now, int64_t *wake);

#endif
