/*
 * database_int.h
 *		What the parts of a connection to the database share.
 *
 * database.c is its life, database_send.c what is done with it, database_link.c what
 * both stand on.
 */
#ifndef DATABASE_INT_H
#define DATABASE_INT_H

#include "common/abandoned.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/connect.h"
#include "common/database.h"
#include "common/loop.h"

typedef enum State
{
	WAITING,    /* until it is time to connect again */
	CONNECTING, /* a thread is at it */
	IDLE,
	BUSY /* a statement is under way */
} State;

struct Database
{
	char *conninfo;
	const char *program;
	const char *purpose; /* for the log */
	DatabaseHandlers handlers;
	const DatabaseSession *session; /* or NULL */
	Connect *connect;
	PGconn *conn;
	State state;
	bool is_held;        /* do not connect */
	int fd;              /* what the loop watches, -1 for nothing */
	LoopHandler stirred; /* what the loop calls then */
	DatabaseDone done;
	DatabaseAllDone all_done;          /* instead, for statements that were sent together */
	PGresult *results[MAX_STATEMENTS]; /* of what is under way, as far as they came */
	int expected;                      /* how many there will be */
	int complete;                      /* and how many there are, in whole */
	bool is_over;                      /* all that was under way has come to its end */
	bool is_pipeline;                  /* it was sent as more than one statement */
	bool is_setup;                     /* what is under way is our own */
	int64_t timeout;                   /* of what is under way */
	bool is_overdue;                   /* it has been passed */
	Abandoned abandoned;
	Cancel *cancel; /* of what is under way, or NULL */
	LoopTimer timer;
	Backoff backoff;
	bool was_connected;
	int64_t connected_at;
	bool failing; /* has been reported */
	int64_t reconnects;
};

/* database_link.c */
extern void DatabaseWatch(Database *database, uint32_t events);
extern void DatabaseUnwatch(Database *database);
extern void DatabaseClearResults(Database *database);
extern void DatabaseLose(Database *database, const char *why);

/* database_send.c */
extern void DatabaseFlush(Database *database);
extern void DatabaseStirred(void *owner, int fd, uint32_t events);
extern Statement
DatabaseSessionStatement(const DatabaseSession *session, int64_t timeout, char *text, size_t size);

#endif
