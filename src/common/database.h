/*
 * database.h
 *		A connection to the database that does not block and comes back.
 */
#ifndef DATABASE_H
#define DATABASE_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "buffer.h"
#include "options.h"

typedef struct Database Database;

/* Called once for a statement: with its result, or with NULL if the connection
 * was lost and nobody knows whether it was executed. */
typedef void (*DatabaseDone)(void *owner, PGresult *result);

typedef struct DatabaseHandlers
{
	void *owner;
	void (*connected)(void *owner); /* statements can be sent */
	void (*lost)(void *owner);      /* may be NULL */
	void (*notified)(void *owner);  /* may be NULL */
} DatabaseHandlers;

/* Parameters of a statement: at most as many as any statement here needs. */
#define MAX_PARAMS 8

typedef struct Statement
{
	const char *sql;
	int count;
	const char *values[MAX_PARAMS];
	int lengths[MAX_PARAMS];
	int formats[MAX_PARAMS]; /* 0 text, 1 binary */
	int64_t timeout;
	DatabaseDone done;
} Statement;

extern Database *DatabaseOpen(const char *conninfo, const char *program, const char *purpose,
							  DatabaseHandlers handlers);
extern void DatabaseClose(Database *database);
extern bool DatabaseIsReady(const Database *database);
extern bool DatabaseIsIdle(const Database *database);
extern void DatabaseSend(Database *database, const Statement *statement);
extern void DatabaseReset(Database *database, const char *why);
extern int64_t DatabaseReconnects(const Database *database);
extern PGconn *DatabaseConnection(const Database *database);
extern PGconn *DatabaseConnectStart(const char *conninfo, const char *program, bool block);
extern const char *ReadConninfo(const Option *option, const char *text, void *place);
extern bool DatabaseFailed(PGresult *result, const char **sqlstate, const char **message);

#endif
