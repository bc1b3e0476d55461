/*
 * database.h
 *		A connection to the database that does not block and comes back.
 */
#ifndef DATABASE_H
#define DATABASE_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "common/buffer.h"

typedef struct Database Database;

/* Called once for a statement: with its result, or with NULL if the connection
 * was lost and nobody knows whether it was executed. */
typedef void (*DatabaseDone)(void *owner, PGresult *result);

/* The same for statements that were sent together: the results of all of them. */
typedef void (*DatabaseAllDone)(void *owner, PGresult *const *results, int count);

typedef struct DatabaseHandlers
{
	void *owner;
	void (*connected)(void *owner); /* statements can be sent */
	void (*lost)(void *owner);      /* may be NULL */
	void (*notified)(void *owner);  /* may be NULL */
} DatabaseHandlers;

/* What a program wants of its sessions. */
typedef struct DatabaseSession
{
	const char *sql; /* a query that sets what is set, with $1 the time-out of statements as the
					  * server takes it, and $2 whether that holds for the transaction alone */
	int64_t timeout; /* of statements that do not say otherwise */
	bool pooled;     /* a pooler may give each transaction another session */
} DatabaseSession;

/* Parameters of a statement: at most as many as any statement here needs. */
#define MAX_PARAMS 32

/* Statements that are sent together: at most so many. */
#define MAX_STATEMENTS 64

typedef struct Statement
{
	const char *sql;
	const char *name; /* of a prepared statement, or NULL */
	bool prepare;     /* prepare sql under that name, and no more */
	int count;
	const char *values[MAX_PARAMS];
	int lengths[MAX_PARAMS];
	int formats[MAX_PARAMS]; /* 0 text, 1 binary */
	int64_t timeout;         /* 0: what the session has */
	DatabaseDone done;
} Statement;

extern Database *DatabaseOpen(const char *conninfo, const char *program, const char *purpose,
							  DatabaseHandlers handlers, const DatabaseSession *session);
extern void DatabaseClose(Database *database);
extern void DatabaseHold(Database *database, bool hold);
extern bool DatabaseIsReady(const Database *database);
extern bool DatabaseIsIdle(const Database *database);
extern void DatabaseSend(Database *database, const Statement *statement);
extern void DatabaseSendAll(Database *database, const Statement *statements, int count,
							int64_t timeout, DatabaseAllDone done);
extern void DatabaseCancel(Database *database);
extern void DatabaseReset(Database *database, const char *why);
extern int64_t DatabaseReconnects(const Database *database);
extern PGconn *DatabaseConnection(const Database *database);
extern bool DatabaseFailed(PGresult *result, const char **sqlstate, const char **message);

#endif
