/*
 * database_link.c
 *		The link to the database: waiting for its socket, and losing it.
 */
#include "common/database_int.h"

#include "common/log.h"

/* A connection that has lasted so long was a good one: after it, delays begin anew. */
#define GOOD_CONNECTION (10 * SECOND)

/*
 * Wait for the connection's socket.
 */
void
DatabaseWatch(Database *database, uint32_t events)
{
	int fd = PQsocket(database->conn);

	if (fd >= 0 && fd != database->fd)
		LoopKeep(fd);
	database->fd = fd;
	if (fd >= 0)
		LoopWatch(fd, events, database->stirred, database);
}

/*
 * Stop waiting for it.
 */
void
DatabaseUnwatch(Database *database)
{
	LoopForget(database->fd);
	database->fd = -1;
}

/*
 * Throw away the results that have come.
 */
void
DatabaseClearResults(Database *database)
{
	for (int i = 0; i < MAX_STATEMENTS; i++)
	{
		PQclear(database->results[i]);
		database->results[i] = NULL;
	}
	database->expected = database->complete = 0;
	database->is_over = database->is_setup = database->is_overdue = false;
}

/*
 * Give the connection up, notify the caller that waits for it, and try again
 * later.
 */
void
DatabaseLose(Database *database, const char *why)
{
	DatabaseDone done = database->done;
	DatabaseAllDone all_done = database->is_setup ? NULL : database->all_done;
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
	DatabaseUnwatch(database);
	DatabaseClearResults(database);
	CancelForget(database->cancel);
	ConnectForget(database->connect);
	PQfinish(database->conn);
	database->conn = NULL;
	database->connect = NULL;
	database->cancel = NULL;
	database->done = NULL;
	database->all_done = NULL;
	database->state = WAITING;
	database->timer.due = database->is_held ? NEVER : ClockNow() + delay;
	if (done != NULL)
		done(database->handlers.owner, NULL);
	if (all_done != NULL)
		all_done(database->handlers.owner, NULL, 0);
	if (was_ready && database->handlers.lost != NULL)
		database->handlers.lost(database->handlers.owner);
}
