/*
 * database_send.c
 *		Statements on a connection to the database, and their results.
 */
#include "common/database_int.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"

static void conclude(Database *database);

/*
 * Send what libpq still holds.
 */
void
DatabaseFlush(Database *database)
{
	int left = PQflush(database->conn);

	if (left < 0)
		DatabaseLose(database, PQerrorMessage(database->conn));
	else
		DatabaseWatch(database, left == 0 ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

/*
 * Take one result.  libpq ends the results of each statement with NULL, and
 * those that were sent together with one that says so.  False if the connection
 * is lost.
 */
static bool
take_result(Database *database)
{
	PGresult *result = PQgetResult(database->conn);

	if (result == NULL && PQstatus(database->conn) == CONNECTION_BAD)
		return false;
	if (result == NULL)
	{
		/* Each statement has had a result. */
		if (database->complete >= database->expected ||
			database->results[database->complete] == NULL)
			return false;
		database->complete++;
		database->is_over = !database->is_pipeline;
	}
	else if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
	{
		PQclear(result);
		database->is_over = true;
		return database->complete == database->expected && PQexitPipelineMode(database->conn) == 1;
	}
	else if (database->complete >= database->expected)
	{
		PQclear(result);
		return false;
	}
	else
	{
		PQclear(database->results[database->complete]);
		database->results[database->complete] = result;
	}
	return true;
}

/*
 * Note whether the server works, which is said when it had not.
 */
static void
note_success(Database *database)
{
	const char *sqlstate, *message;

	for (int i = 0; i < database->expected; i++)
	{
		if (DatabaseFailed(database->results[i], &sqlstate, &message))
			return;
	}
	if (database->failing && database->was_connected)
		Log(LOG_INFO, "the database works again", LogText("connection", database->purpose));
	database->failing = false;
}

/*
 * If what was under way is over, and so are requests to cancel it, which would
 * else hit what comes next: hand the results over.
 */
static void
conclude(Database *database)
{
	PGresult *results[MAX_STATEMENTS];
	PGresult *result;
	bool is_setup = database->is_setup;
	DatabaseDone done = database->done;
	DatabaseAllDone all_done = database->all_done;
	int count = database->expected;

	if (!database->is_over || (database->cancel != NULL && !CancelFinish(database->cancel)))
		return;
	database->cancel = NULL;
	note_success(database);
	memcpy(results, database->results, sizeof(results));
	memset(database->results, 0, sizeof(database->results));
	DatabaseClearResults(database);
	database->done = NULL;
	database->all_done = NULL;
	database->state = IDLE;
	database->timer.due = NEVER;
	if (done != NULL)
	{
		/* The last one is what was asked for, unless what had to come before has failed. */
		result = results[count - 1];
		for (int i = count - 2; i >= 0; i--)
			result = PQresultStatus(results[i]) == PGRES_FATAL_ERROR ? results[i] : result;
		done(database->handlers.owner, result);
	}
	else
		all_done(is_setup ? database : database->handlers.owner, results, count);
	for (int i = 0; i < count; i++)
		PQclear(results[i]);
}

/*
 * Take what has come: notifications, and results.
 */
static void
take_input(Database *database)
{
	PGconn *conn = database->conn;
	bool notified = false;

	if (PQconsumeInput(conn) == 0)
	{
		DatabaseLose(database, PQerrorMessage(conn));
		return;
	}
	for (PGnotify *notify; (notify = PQnotifies(conn)) != NULL; PQfreemem(notify))
		notified = true;
	while (database->state == BUSY && !database->is_over && PQisBusy(conn) == 0)
	{
		if (!take_result(database))
		{
			DatabaseLose(database, PQerrorMessage(conn));
			return;
		}
		conclude(database);
	}
	if (notified && database->handlers.notified != NULL)
		database->handlers.notified(database->handlers.owner);
}

/*
 * The socket is ready.
 */
void
DatabaseStirred(void *owner, int fd, uint32_t events)
{
	Database *database = owner;

	(void) fd;
	if ((events & EPOLLOUT) != 0)
		DatabaseFlush(database);
	if (database->conn != NULL && (events & ~(uint32_t) EPOLLOUT) != 0)
		take_input(database);
}

/*
 * Give one statement to libpq.
 */
static bool
send_one(Database *database, const Statement *statement)
{
	if (statement->prepare)
		return PQsendPrepare(database->conn, statement->name, statement->sql, 0, NULL) == 1;
	if (statement->name != NULL)
		return PQsendQueryPrepared(database->conn, statement->name, statement->count,
								   statement->values, statement->lengths, statement->formats,
								   0) == 1;
	return PQsendQueryParams(database->conn, statement->sql, statement->count, NULL,
							 statement->values, statement->lengths, statement->formats, 0) == 1;
}

/*
 * The statement that sets a session up, for statements that may take so long.  The
 * server gives them up itself, a little earlier than we do.
 */
Statement
DatabaseSessionStatement(const DatabaseSession *session, int64_t timeout, char *text, size_t size)
{
	snprintf(text, size, "%lld", (long long) (timeout / MILLISECOND * 4 / 5));
	return (Statement){.sql = session->sql, .count = 2, .values = {text, "f"}};
}

/*
 * Statements are about to be sent.
 */
static void
begin_work(Database *database, int count, int64_t timeout)
{
	database->state = BUSY;
	database->expected = count;
	database->timeout = timeout;
	database->is_overdue = database->is_pipeline = false;
	database->timer.due = ClockNow() + timeout;
}

/*
 * Send a statement to an idle connection.  Its values are not needed after the
 * call.
 */
void
DatabaseSend(Database *database, const Statement *statement)
{
	const DatabaseSession *session = database->session;
	int64_t timeout = statement->timeout;

	if (timeout == 0 && session != NULL)
		timeout = session->timeout;
	/* A session of our own has been set up, unless this is to take longer. */
	if (session != NULL && (session->pooled || timeout > session->timeout))
	{
		char text[32];
		Statement statements[2] = {DatabaseSessionStatement(session, timeout, text, sizeof(text)),
								   *statement};

		statements[0].values[1] = "t";
		database->done = statement->done;
		DatabaseSendAll(database, statements, 2, timeout, NULL);
		return;
	}
	begin_work(database, 1, timeout);
	database->done = statement->done;
	if (!send_one(database, statement))
		DatabaseLose(database, PQerrorMessage(database->conn));
	else
		DatabaseFlush(database);
}

/*
 * Send statements, at most MAX_STATEMENTS, to an idle connection, together: they
 * are one transaction, unless one of them begins another.  After one that fails
 * the others are not executed, and have a result that says so.
 */
void
DatabaseSendAll(Database *database, const Statement *statements, int count, int64_t timeout,
				DatabaseAllDone done)
{
	bool sent = PQenterPipelineMode(database->conn) == 1;

	begin_work(database, count, timeout);
	database->is_pipeline = true;
	database->all_done = done;
	for (int i = 0; i < count && sent; i++)
		sent = send_one(database, &statements[i]);
	if (!sent || PQpipelineSync(database->conn) != 1)
		DatabaseLose(database, PQerrorMessage(database->conn));
	else
		DatabaseFlush(database);
}

/*
 * The last request to cancel has been made.
 */
static void
cancel_ended(void *owner)
{
	Database *database = owner;

	database->cancel = NULL;
	conclude(database);
}

/*
 * Have the server cancel what is under way.  Whether or not it does so in time,
 * the results come as ever.
 */
void
DatabaseCancel(Database *database)
{
	if (database->state == BUSY && !database->is_over && database->cancel == NULL)
		database->cancel = CancelStart(database->conn, cancel_ended, database);
}

/*
 * Was this no success?  Then what the server says.
 */
bool
DatabaseFailed(PGresult *result, const char **sqlstate, const char **message)
{
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return false;
	*sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	*message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	if (*sqlstate == NULL)
		*sqlstate = "";
	if (*message == NULL)
		*message = PQresultErrorMessage(result);
	return true;
}
