/*
 * database.c
 *		A connection to the database that does not block and reconnects.
 *
 * It runs one statement at a time, or several that are sent together in libpq's
 * pipeline mode: these are one transaction, and cost one round trip.  When the
 * connection is lost, for any reason, the caller that waits for results is
 * notified, and the connection is established again, with growing delays,
 * without giving up.  The owner's handler does what is needed on each new
 * connection.
 *
 * A peer that has died silently is noticed by TCP (keep-alives, and a limit on
 * unacknowledged data), or because a statement takes longer than its timeout.
 * Such a statement is cancelled on the server; if that does not help, the
 * connection is given up.  Its backend may continue to hang, so only a few are
 * given up in this way, until the server reports that they are gone: see
 * abandoned.c.
 */
#include "common/database_int.h"

#include <stdlib.h>
#include <string.h>

#include "common/connect.h"
#include "common/log.h"

/* libpq's own connect_timeout ends an attempt earlier, if nobody has turned it off. */
#define CONNECT_TIMEOUT (2 * MINUTE)

/* How long a new session may take to be set up. */
#define SETUP_TIMEOUT (10 * SECOND)

/* How long a statement that is cancelled may take to end, in parts of its time-out. */
#define CANCEL_PART 2
#define LONGEST_CANCEL (2 * SECOND)

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
 * The session is set up: it can be used.
 */
static void
ready(Database *database)
{
	if (database->was_connected)
		database->reconnects++;
	database->was_connected = true;
	database->state = IDLE;
	database->timer.due = NEVER;
	database->handlers.connected(database->handlers.owner);
}

/*
 * The session is set up, or not.
 */
static void
set_up_ended(void *owner, PGresult *const *results, int count)
{
	Database *database = owner;
	const char *sqlstate, *message;

	for (int i = 0; i < count; i++)
	{
		if (DatabaseFailed(results[i], &sqlstate, &message))
		{
			DatabaseLose(database, message);
			return;
		}
	}
	if (!AbandonedIsEmpty(&database->abandoned))
		AbandonedRead(&database->abandoned, results[count - 1]);
	ready(database);
}

/*
 * Set the session up as its owner wants it, and ask whether backends that were
 * given up still exist.
 */
static void
set_up(Database *database)
{
	const DatabaseSession *session = database->session;
	Statement statements[2];
	char timeout[32];
	int count = 0;
	char *pids = AbandonedList(&database->abandoned);

	if (session != NULL && !session->pooled)
	{
		statements[count] =
			DatabaseSessionStatement(session, session->timeout, timeout, sizeof(timeout));
		count++;
	}
	if (pids != NULL)
	{
		statements[count] = (Statement){.sql = abandoned_sql, .count = 1, .values = {pids}};
		count++;
	}
	if (count == 0)
		ready(database);
	else
	{
		database->is_setup = true;
		DatabaseSendAll(database, statements, count, SETUP_TIMEOUT, set_up_ended);
	}
	free(pids);
}

/*
 * The attempt to connect is over.
 */
static void
connected(void *owner, PGconn *conn)
{
	Database *database = owner;

	database->connect = NULL;
	database->conn = conn;
	if (PQstatus(conn) != CONNECTION_OK || PQsetnonblocking(conn, 1) != 0)
	{
		DatabaseLose(database, conn == NULL ? "out of memory" : PQerrorMessage(conn));
		return;
	}
	/* One that is lost again and again is not worth two lines each time. */
	Log(database->failing && database->was_connected ? LOG_DEBUG : LOG_INFO,
		"connected to the database", LogText("connection", database->purpose),
		LogText("host", PQhost(conn)), LogText("database", PQdb(conn)),
		LogText("user", PQuser(conn)),
		LogText("server", PQparameterStatus(conn, "server_version")));
	PQsetNoticeReceiver(conn, log_notice, database);
	database->connected_at = ClockNow();
	database->state = IDLE;
	DatabaseWatch(database, EPOLLIN);
	set_up(database);
}

/*
 * Connect.
 */
static void
connect_now(Database *database)
{
	database->state = CONNECTING;
	database->timer.due = ClockNow() + CONNECT_TIMEOUT;
	database->connect = ConnectBegin(database->conninfo, database->program, connected, database);
	if (database->connect == NULL)
		DatabaseLose(database, "no thread can be had, or earlier attempts hang");
}

/*
 * What is under way takes too long.  Have the server cancel it; if that does not
 * help, give the connection up, unless too many hang already.
 */
static void
take_too_long(Database *database)
{
	int64_t grace = Earlier(database->timeout / CANCEL_PART, LONGEST_CANCEL);

	if (!database->is_overdue)
	{
		Log(LOG_WARNING, "a statement takes too long and is cancelled",
			LogText("connection", database->purpose),
			LogNumber("ms", database->timeout / MILLISECOND));
		database->is_overdue = true;
		DatabaseCancel(database);
		database->timer.due = ClockNow() + grace;
	}
	else if (AbandonedAdd(&database->abandoned, PQbackendPID(database->conn)))
		DatabaseLose(database, "time-out: no answer to a statement");
	else
	{
		/* It is cancelled again and again meanwhile, and TCP notices if nobody is there. */
		Log(LOG_ERROR, "the server's processes hang", LogText("connection", database->purpose),
			LogText("hint", "no more connections are made until one of them goes on"));
		database->timer.due = NEVER;
	}
}

/*
 * It is time: to connect again, or to give up on what takes too long.
 */
static void
timer_expired(void *owner)
{
	Database *database = owner;

	if (database->state == WAITING && !database->is_held)
		connect_now(database);
	else if (database->state == CONNECTING)
		DatabaseLose(database, "time-out while connecting");
	else if (database->state == BUSY)
		take_too_long(database);
}

/*
 * Make a connection, and keep it.  The session's description, or NULL, stays the
 * caller's.
 */
Database *
DatabaseOpen(const char *conninfo, const char *program, const char *purpose,
			 DatabaseHandlers handlers, const DatabaseSession *session)
{
	Database *database = Allocate(sizeof(Database));

	database->conninfo = DuplicateText(conninfo);
	database->program = program;
	database->purpose = purpose;
	database->handlers = handlers;
	database->session = session;
	database->fd = -1;
	database->stirred = DatabaseStirred;
	database->backoff = (Backoff){100 * MILLISECOND, 10 * SECOND, 0};
	database->timer = (LoopTimer){timer_expired, database, ClockNow(), NULL};
	LoopAddPatientTimer(&database->timer);
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
	DatabaseUnwatch(database);
	LoopRemoveTimer(&database->timer);
	DatabaseClearResults(database);
	CancelForget(database->cancel);
	ConnectForget(database->connect);
	PQfinish(database->conn);
	free(database->conninfo);
	free(database);
}

/*
 * Have no connection, and make none, until it is wanted again: it might take the
 * place of a more important one.
 */
void
DatabaseHold(Database *database, bool hold)
{
	if (database->is_held == hold)
		return;
	database->is_held = hold;
	if (hold && database->state != WAITING)
		DatabaseLose(database, "it has to wait for another connection");
	else
		database->timer.due = hold ? NEVER : ClockNow();
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
 * Drop the connection and make a new one.
 */
void
DatabaseReset(Database *database, const char *why)
{
	if (DatabaseIsReady(database))
		DatabaseLose(database, why);
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
