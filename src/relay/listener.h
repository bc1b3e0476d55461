/*
 * listener.h
 *		The connection that listens for notifications.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include "database.h"
#include "loop.h"

/* Calls notified when something may have become due. */
typedef struct Listener
{
	void (*notified)(void *owner);
	void *owner;
	const char *channel;
	Database *database;
	LoopTimer timer; /* for the next sign of life */
} Listener;

extern void ListenerStart(Listener *listener, const char *conninfo, const char *program,
						  const char *channel, void (*notified)(void *owner), void *owner);
extern void ListenerEnd(Listener *listener);

#endif
