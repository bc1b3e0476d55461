/*
 * database.c
 *		A connection to the database that does not block and comes back.
 *
 * It runs one statement at a time.  When it is lost, for whatever reason, the
 * statement under way is told so, and the connection is made anew, with delays
 * that grow, for ever.  What must be done on each new connection is up to the
 * owner's handler.
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

#include "clock.h"
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
	PGresult *result; /* of the statement under way, as far as it came */
	LoopTimer timer;
	Backoff backoff;
	bool was_connected;
	int64_t connected_at;
	bool failing; /* has been reported */
	int64_t reconnects;
};

/* What libpq is given before and after the conninfo: it may override the first
 * ones only. */
static const struct
{
	const char *keyword;
	const char *value;
} defaults[] = {
	{"keepalives_idle", "10"},     {"keepalives_interval", "5"}, {"keepalives_count", "3"},
	{"tcp_user_timeout", "15000"}, {"connect_timeout", "10"},
};

static void database_ready(void *owner, int fd, uint32_t events);

/*
 * Begin to connect; or, with block, connect.
 */
PGconn *
DatabaseConnectStart(const char *conninfo, const char *program, bool block)
{
	const char *keywords[16], *values[16];
	int n = 0;

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
	{
		keywords[n] = defaults[i].keyword;
		values[n++] = defaults[i].value;
	}
	keywords[n] = "fallback_application_name";
	values[n++] = program;
	keywords[n] = "dbname";
	values[n++] = conninfo != NULL ? conninfo : "";
	keywords[n] = "client_encoding";
	values[n++] = "UTF8";
	keywords[n] = NULL;
	values[n] = NULL;
	return block ? PQconnectdbParams(keywords, values, 1)
				 : PQconnectStartParams(keywords, values, 1);
}

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
 * Give the connection up, tell whoever waits for it, and try again later.
 */
static void
lose(Database *database, const char *why)
{
	DatabaseDone done = database->done;
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
	PQclear(database->result);
	PQfinish(database->conn);
	database->result = NULL;
	database->conn = NULL;
	database->done = NULL;
	database->state = WAITING;
	database->timer.due = ClockNow() + delay;
	if (done != NULL)
		done(database->handlers.owner, NULL);
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
	database->conn = DatabaseConnectStart(database->conninfo, database->program, false);
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
 * Take what has come: notifications, and the results of the statement.
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
	while (database->state == BUSY && PQisBusy(conn) == 0)
	{
		PGresult *result = PQgetResult(conn);

		if (result != NULL)
		{
			PQclear(database->result);
			database->result = result;
		}
		else if (PQstatus(conn) == CONNECTION_BAD || database->result == NULL)
		{
			lose(database, PQerrorMessage(conn));
			return;
		}
		else
		{
			DatabaseDone done = database->done;
			const char *sqlstate, *message;

			result = database->result;
			database->result = NULL;
			database->done = NULL;
			database->state = IDLE;
			database->timer.due = NEVER;
			if (!DatabaseFailed(result, &sqlstate, &message))
			{
				if (database->failing && database->was_connected)
					Log(LOG_INFO, "the database works again",
						LogText("connection", database->purpose));
				database->failing = false;
			}
			done(database->handlers.owner, result);
			PQclear(result);
		}
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
	PQclear(database->result);
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
 * Send a statement to an idle connection.  Its values are not needed after the
 * call.
 */
void
DatabaseSend(Database *database, const Statement *statement)
{
	database->state = BUSY;
	database->done = statement->done;
	database->timer.due = ClockNow() + statement->timeout;
	if (PQsendQueryParams(database->conn, statement->sql, statement->count, NULL, statement->values,
						  statement->lengths, statement->formats, 0) == 0)
		lose(database, PQerrorMessage(database->conn));
	else
		flush(database);
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
 * A connection string, as an option's value.  It may hold a password, so neither
 * it nor libpq's complaint, which quotes from it, is shown.
 */
const char *
ReadConninfo(const Option *option, const char *text, void *place)
{
	PQconninfoOption *parsed;

	/* libpq takes anything else for the name of a database. */
	if (strchr(text, '=') != NULL || strncmp(text, "postgresql://", 13) == 0 ||
		strncmp(text, "postgres://", 11) == 0)
	{
		parsed = PQconninfoParse(text, NULL);
		if (parsed == NULL)
			return "KEY=VALUE pairs, with quotes around what has blanks, or "
				   "postgresql://USER@HOST:PORT/DATABASE, with special characters percent-encoded";
		PQconninfoFree(parsed);
	}
	return ReadText(option, text, place);
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
