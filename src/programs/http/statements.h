/*
 * statements.h
 *		What the server asks of the database.
 */
#ifndef STATEMENTS_H
#define STATEMENTS_H

#include <libpq-fe.h>

#include "common/database.h"
#include "http/parameters.h"

/* Prepared on each connection. */
typedef enum StatementId
{
	/* Who asks: columns are key id, key's name, and what set_config returns. */
	STATEMENT_LOGIN,     /* SHA-256 of the key, request id */
	STATEMENT_ANONYMOUS, /* role, request id */

	/* The same with an idempotency key, before the role is changed: key id, key's
	 * name, role, and the first answer's body, batch and cursor, if there is one. */
	STATEMENT_LOGIN_BEGIN, /* SHA-256 of the key, request id, idempotency key, SHA-256 of the request */
	STATEMENT_ANONYMOUS_BEGIN, /* role, request id, idempotency key, SHA-256 of the request */
	STATEMENT_RESIGN,
	STATEMENT_FINISH, /* key id, idempotency key, body, batch, cursor */

	/* What is asked: one row of body, batch and cursor, or none. */
	STATEMENT_REPLAY,   /* action id, options */
	STATEMENT_BULK,     /* query */
	STATEMENT_RECORD,   /* action id */
	STATEMENT_RECORDS,  /* see record_options in transaction.c */
	STATEMENT_PREVIEW,  /* query, sample */
	STATEMENT_TIMELINE, /* options */
	STATEMENT_CAUSES,   /* options */
	STATEMENT_BATCHES,  /* before, state, limit, kinds, tenant */
	STATEMENT_BATCH,    /* batch */
	/* batch, state, cursor, limit, tenant, provider, from, to, effect, format */
	STATEMENT_ITEMS,
	STATEMENT_PAUSE, /* these: what operations.c says */
	STATEMENT_RESUME,
	STATEMENT_CANCEL,
	STATEMENT_PAUSE_ALL,
	STATEMENT_RESUME_ALL,
	STATEMENT_RATE,
	STATEMENT_START,
	STATEMENT_SETTLE,
	STATEMENT_APPROVE,
	STATEMENT_HAND_OVER,
	STATEMENT_CONTINUE,
	STATEMENT_PATCH,
	STATEMENT_BATCH_LOG,
	STATEMENT_LOG,
	STATEMENT_LINEAGE,
	STATEMENT_DEAD_LETTERS,
	STATEMENT_REDRIVE,
	STATEMENT_ALL, /* query */
	STATEMENT_MAY, /* batch */
	STATEMENT_LIMITS,
	STATEMENT_LIMIT_SET,
	STATEMENT_LIMIT_REMOVE,
	STATEMENT_CHAIN,
	STATEMENT_TRAIL,
	STATEMENT_WITNESS,
	STATEMENT_ME,

	STATEMENT_OUTCOMES, /* body of a replay: the same with what became of it, and how many are not over */
	STATEMENT_HOUSEKEEPING, /* key ids, times of use */
	STATEMENT_HEALTH,       /* extension's version */
	STATEMENTS,
	STATEMENT_NONE = STATEMENTS
} StatementId;

/* Statements that prepare all of them, for the schema that the extension is in. */
typedef struct Preparation
{
	Statement statements[STATEMENTS];
	char *texts[STATEMENTS];
} Preparation;

extern bool PreparationMake(Preparation *preparation, PGconn *conn, const char *schema);
extern void PreparationFree(Preparation *preparation);

extern Statement StatementUse(StatementId id);
extern void StatementAddText(Statement *statement, const char *value);
extern void StatementAddOptions(Statement *statement, const Parameters *parameters, CallSet call);
extern void StatementAddBytes(Statement *statement, const void *bytes, int len);

#endif
