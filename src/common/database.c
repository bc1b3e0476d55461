/*
 * database.c
 *		A connection to the database that does not block and comes back.
 *
 * It runs one statement at a time, or several that are sent together in libpq's
 * pipeline mode: these are one transaction, and cost one round trip.  When the
 * connection is lost, for whatever reason, whoever waits for results is told so,
 * and it is made anew, with delays that grow, for ever.  What must be done on
 * each new connection is up to the owner's handler.
 *
 * A peer that has died without a word is noticed by TCP (keep-alives, and a
 * limit on what may stay unacknowledged), or because a statement takes longer
 * than its time-out.
 *
 * Only looking up the server's host name can block.
 */
#include "database.h"

#include <stdlib.h>
#include <string.h>

#include "cancel.h"
#include "clock.h"
#include "connect.h"
#include "log.h"
#include "loop.h"

#define CONNECT_TIMEOUT (30 * SECOND)

/* A connection that has lasted so long was a good one: after it, delays begin anew. */
#define GOOD_CONNECTION (10 * SECOND)

typedef enum State
{
	WAITING,    /* until it is time to connect again */
	CONNECTING, /* libpq is at it */
	IDLE,
	BUSY /* a statement is under way */
} State;

struct Database
{
	char *conninfo;
	const char *program;
	const char *purpose; /* for the log */
	DatabaseHandlers handlers;
	PGconn *conn;
	State state;
	int fd; /* what the loop watches, -1 for nothing */
	DatabaseDone done;
	DatabaseAllDone all_done;          /* instead, for statements that were sent together */
	PGresult *results[MAX_STATEMENTS]; /* of what is under way, as far as they came */
	int expected;                      /* how many there will be */
	int complete;                      /* and how many there are, in whole */
	bool is_over;                      /* all that was under way has come to its end */
	Cancel *cancel;                    /* of what is under way, or NULL */
	LoopTimer timer;
	Backoff backoff;
	bool was_connected;
	int64_t connected_at;
	bool failing; /* has been reported */
	int64_t reconnects;
};

static void database_ready(void *owner, int fd, uint32_t events);

/*
 * What the server says on its own.
 */
static void
log_notice(void *owner, const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	bool is_warning = severity != NULL && strcmp(severity, "WARNING") == 0;

	Log(is_warning ? LOG_WARNING : LOG_DEBUG, "the database says",
		LogText("connection", ((Database *) owner)->purpose),
		LogText("message", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)));
}

/*
 * Wait for the connection's socket.
 */
static void
watch(Database *database, uint32_t events)
{
	database->fd = PQsocket(database->conn);
	if (database->fd >= 0)
		LoopWatch(database->fd, events, database_ready, database);
}

/*
 * Stop waiting for it.
 */
static void
unwatch(Database *database)
{
	LoopForget(database->fd);
	database->fd = -1;
}

/*
 * Throw away the results that have come.
 */
static void
clear_results(Database *database)
{
	for (int i = 0; i < MAX_STATEMENTS; i++)
	{
		PQclear(database->results[i]);
		database->results[i] = NULL;
	}
	database->expected = database->complete = 0;
	database->is_over = false;
}

/*
 * Give the connection up, tell whoever waits for it, and try again later.
 */
static void
lose(Database *database, const char *why)
{
	DatabaseDone done = database->done;
	DatabaseAllDone all_done = database->all_done;
	bool was_ready = database->state == IDLE || database->state == BUSY;
	int64_t delay;

	if (was_ready && ClockNow() - database->connected_at >= GOOD_CONNECTION)
		BackoffReset(&database->backoff);
	delay = BackoffNext(&database->backoff);
	if (!database->failing)
		Log(LOG_WARNING, was_ready ? "lost the database" : "cannot connect to the database",
			LogText("connection", database->purpose), LogText("error", why));
	else
		Log(LOG_DEBUG, "still no database", LogText("connection", database->purpose),
			LogText("error", why), LogNumber("retry_ms", delay / MILLISECOND));
	database->failing = true;
	unwatch(database);
	clear_results(database);
	CancelForget(database->cancel);
	PQfinish(database->conn);
	database->conn = NULL;
	database->cancel = NULL;
	database->done = NULL;
	database->all_done = NULL;
	database->state = WAITING;
	database->timer.due = ClockNow() + delay;
	if (done != NULL)
		done(database->handlers.owner, NULL);
	if (all_done != NULL)
		all_done(database->handlers.owner, NULL, 0);
	if (was_ready && database->handlers.lost != NULL)
		database->handlers.lost(database->handlers.owner);
}

/*
 * The connection stands.
 */
static void
connected(Database *database)
{
	/* One that is lost again and again is not worth two lines each time. */
	Log(database->failing && database->was_connected ? LOG_DEBUG : LOG_INFO,
		"connected to the database", LogText("connection", database->purpose),
		LogText("host", PQhost(database->conn)), LogText("database", PQdb(database->conn)),
		LogText("user", PQuser(database->conn)),
		LogText("server", PQparameterStatus(database->conn, "server_version")));
	if (database->was_connected)
		database->reconnects++;
	database->was_connected = true;
	database->connected_at = ClockNow();
	database->state = IDLE;
	database->timer.due = NEVER;
	if (PQsetnonblocking(database->conn, 1) != 0)
	{
		lose(database, PQerrorMessage(database->conn));
		return;
	}
	watch(database, EPOLLIN);
	database->handlers.connected(database->handlers.owner);
}

/*
 * Go on connecting.  libpq may change sockets between the hosts that it tries,
 * so the loop is told anew each time.
 */
static void
connect_further(Database *database)
{
	unwatch(database);
	switch (PQconnectPoll(database->conn))
	{
		case PGRES_POLLING_OK:
			connected(database);
			break;
		case PGRES_POLLING_READING:
			watch(database, EPOLLIN);
			break;
		case PGRES_POLLING_WRITING:
			watch(database, EPOLLOUT);
			break;
		default:
			lose(database, PQerrorMessage(database->conn));
			break;
	}
}

/*
 * Connect.
 */
static void
connect_now(Database *database)
{
	database->state = CONNECTING;
	database->timer.due = ClockNow() + CONNECT_TIMEOUT;
	database->conn = ConnectStart(database->conninfo, database->program, false);
	if (database->conn == NULL)
		lose(database, "out of memory");
	else if (PQstatus(database->conn) == CONNECTION_BAD)
		lose(database, PQerrorMessage(database->conn));
	else
	{
		PQsetNoticeReceiver(database->conn, log_notice, database);
		watch(database, EPOLLOUT);
	}
}

/*
 * It is time: to connect again, or to give up on what takes too long.
 */
static void
timer_expired(void *owner)
{
	Database *database = owner;

	if (database->state == WAITING)
		connect_now(database);
	else if (database->state == CONNECTING)
		lose(database, "time-out while connecting");
	else if (database->state == BUSY)
		lose(database, "time-out: no answer to a statement");
}

/*
 * Send what libpq still holds.
 */
static void
flush(Database *database)
{
	int left = PQflush(database->conn);

	if (left < 0)
		lose(database, PQerrorMessage(database->conn));
	else
		watch(database, left == 0 ? EPOLLIN : EPOLLIN | EPOLLOUT);
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
		database->is_over = database->done != NULL;
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
	DatabaseDone done = database->done;
	DatabaseAllDone all_done = database->all_done;
	int count = database->expected;

	if (!database->is_over || (database->cancel != NULL && !CancelFinish(database->cancel)))
		return;
	database->cancel = NULL;
	note_success(database);
	memcpy(results, database->results, sizeof(results));
	memset(database->results, 0, sizeof(database->results));
	clear_results(database);
	database->done = NULL;
	database->all_done = NULL;
	database->state = IDLE;
	database->timer.due = NEVER;
	if (done != NULL)
		done(database->handlers.owner, results[0]);
	else
		all_done(database->handlers.owner, results, count);
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
		lose(database, PQerrorMessage(conn));
		return;
	}
	for (PGnotify *notify; (notify = PQnotifies(conn)) != NULL; PQfreemem(notify))
		notified = true;
	while (database->state == BUSY && !database->is_over && PQisBusy(conn) == 0)
	{
		if (!take_result(database))
		{
			lose(database, PQerrorMessage(conn));
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
static void
database_ready(void *owner, int fd, uint32_t events)
{
	Database *database = owner;

	(void) fd;
	if (database->state == CONNECTING)
	{
		connect_further(database);
		return;
	}
	if ((events & EPOLLOUT) != 0)
		flush(database);
	if (database->conn != NULL && (events & ~(uint32_t) EPOLLOUT) != 0)
		take_input(database);
}

/*
 * Make a connection, and keep it.
 */
Database *
DatabaseOpen(const char *conninfo, const char *program, const char *purpose,
			 DatabaseHandlers handlers)
{
	Database *database = Allocate(sizeof(Database));

	database->conninfo = DuplicateText(conninfo);
	database->program = program;
	database->purpose = purpose;
	database->handlers = handlers;
	database->fd = -1;
	database->backoff = (Backoff){100 * MILLISECOND, 10 * SECOND, 0};
	database->timer = (LoopTimer){timer_expired, database, ClockNow(), NULL};
	LoopAddTimer(&database->timer);
	return database;
}

/*
 * Close it for good, without telling anybody.
 */
void
DatabaseClose(Database *database)
{
	if (database == NULL)
		return;
	unwatch(database);
	LoopRemoveTimer(&database->timer);
	clear_results(database);
	CancelForget(database->cancel);
	PQfinish(database->conn);
	free(database->conninfo);
	free(database);
}

/*
 * Is there a connection?
 */
bool
DatabaseIsReady(const Database *database)
{
	return database != NULL && (database->state == IDLE || database->state == BUSY);
}

/*
 * Can a statement be sent now?
 */
bool
DatabaseIsIdle(const Database *database)
{
	return database->state == IDLE;
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
 * Statements are about to be sent.
 */
static void
begin_work(Database *database, int count, int64_t timeout)
{
	database->state = BUSY;
	database->expected = count;
	database->timer.due = ClockNow() + timeout;
}

/*
 * Send a statement to an idle connection.  Its values are not needed after the
 * call.
 */
void
DatabaseSend(Database *database, const Statement *statement)
{
	begin_work(database, 1, statement->timeout);
	database->done = statement->done;
	if (!send_one(database, statement))
		lose(database, PQerrorMessage(database->conn));
	else
		flush(database);
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
	database->all_done = done;
	for (int i = 0; i < count && sent; i++)
		sent = send_one(database, &statements[i]);
	if (!sent || PQpipelineSync(database->conn) != 1)
		lose(database, PQerrorMessage(database->conn));
	else
		flush(database);
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
 * Drop the connection and make a new one.
 */
void
DatabaseReset(Database *database, const char *why)
{
	if (DatabaseIsReady(database))
		lose(database, why);
}

/*
 * How often it had to be made anew.
 */
int64_t
DatabaseReconnects(const Database *database)
{
	return database->reconnects;
}

/*
 * libpq's connection, for quoting.
 */
PGconn *
DatabaseConnection(const Database *database)
{
	return database->conn;
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
