/*
 * pool.c
 *		The connections to the database, and the queue for them.
 *
 * Each connection is looked over before it is used: the extension must be there
 * in our version, and the session is set up.  A job gets a connection to itself
 * until it gives it back.  If a transaction is still open on it then, the connection
 * is dropped, because a role could be carried from one request to the next.
 *
 * Jobs that may take long get half of the connections, and half of the queue, so that
 * there is room for the others; these pass them in the queue.
 */
#include "http/pool.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/extension.h"
#include "common/log.h"

/* Longer than the server takes to abandon a statement. */
#define EXTRA_TIMEOUT (10 * SECOND)

struct Worker
{
	Pool *pool;
	Database *database;
	bool ready;   /* looked over, statements are prepared */
	bool looking; /* looked over again; it will be ready at once */
	bool suspect; /* look it over again after this job */
	Job *job;
	WorkerDone done; /* for the job's owner */
	Preparation preparation;
};

struct Pool
{
	const Settings *settings;
	Worker *workers;
	Job *first; /* of those that wait */
	Job **last;
	int queued;
	bool warned; /* about the role */
	bool complained;
};

static void worker_connected(void *owner);
static void worker_lost(void *owner);

/*
 * Log what is wrong with a connection, once, and replace it later.
 */
static void
reject(Worker *worker, const char *what, const char *why, const char *hint)
{
	if (!worker->pool->complained)
		Log(LOG_ERROR, what, LogText("error", why), LogText("hint", hint));
	worker->pool->complained = true;
	worker->looking = false;
	DatabaseReset(worker->database, what);
}

/*
 * Take a job out of the queue and let it run; NULL is a worker, too.
 */
static void
run_job(Pool *pool, Job **link, Worker *worker)
{
	Job *job = *link;

	*link = job->next;
	if (pool->last == &job->next)
		pool->last = link;
	pool->queued--;
	job->queued = false;
	job->worker = worker;
	if (worker != NULL)
		worker->job = job;
	job->run(job->owner, worker);
}

/*
 * Is any connection ready, or busy?
 */
static bool
is_up(const Pool *pool)
{
	for (int i = 0; i < pool->settings->workers; i++)
	{
		if (pool->workers[i].ready || pool->workers[i].looking)
			return true;
	}
	return false;
}

/*
 * May a job have a worker now, if one is free?
 */
static bool
may_run(const Pool *pool, const Job *job)
{
	int most = pool->settings->workers > 1 ? pool->settings->workers / 2 : 1;
	int count = 0;

	for (int i = 0; i < pool->settings->workers; i++)
		count += pool->workers[i].job != NULL && pool->workers[i].job->is_long ? 1 : 0;
	return !job->is_long || count < most;
}

/*
 * Is there room in the queue for a job?
 */
static bool
has_room(const Pool *pool, const Job *job)
{
	int count = 0;

	for (const Job *other = pool->first; other != NULL && job->is_long; other = other->next)
		count += other->is_long ? 1 : 0;
	return pool->queued < pool->settings->queue &&
		   (!job->is_long || count < (pool->settings->queue + 1) / 2);
}

/*
 * Give a free worker what waits: the first that may have one.
 */
static void
feed(Worker *worker)
{
	Pool *pool = worker->pool;

	if (!worker->ready || worker->job != NULL)
		return;
	for (Job **link = &pool->first; *link != NULL; link = &(*link)->next)
	{
		if (!may_run(pool, *link))
			continue;
		run_job(pool, link, worker);
		return;
	}
}

/*
 * The statements are prepared, or not.
 */
static void
prepared(void *owner, PGresult *const *results, int count)
{
	Worker *worker = owner;
	const char *sqlstate, *message;

	PreparationFree(&worker->preparation);
	if (results == NULL)
		return;
	for (int i = 0; i < count; i++)
	{
		if (DatabaseFailed(results[i], &sqlstate, &message))
		{
			reject(worker, "the extension cannot be used", message,
				   "the role needs USAGE on its schema");
			return;
		}
	}
	if (worker->pool->complained)
		Log(LOG_INFO, "the extension can be used again");
	else if (!is_up(worker->pool))
		Log(LOG_INFO, "ready");
	worker->pool->complained = false;
	worker->ready = true;
	worker->looking = false;
	feed(worker);
}

/*
 * Warn of a role that may do more than it needs.
 */
static void
judge_role(Pool *pool, const PGresult *result)
{
	if (pool->warned || PQntuples(result) != 1)
		return;
	pool->warned = true;
	if (strcmp(PQgetvalue(result, 0, 0), "t") == 0)
		Log(LOG_WARNING, "the database's role is a superuser",
			LogText("hint", "use a role that may do nothing but become the roles of keys"));
	else if (strcmp(PQgetvalue(result, 0, 1), "t") == 0)
		Log(LOG_WARNING, "the database's role inherits the rights of the roles of keys",
			LogText("hint", "ALTER ROLE … NOINHERIT"));
}

/*
 * A connection was looked over.
 */
static void
looked_over(void *owner, PGresult *const *results, int count)
{
	Worker *worker = owner;
	const char *sqlstate, *message;
	ExtensionFault fault;

	if (results == NULL)
		return;
	for (int i = 0; i < count; i++)
	{
		if (DatabaseFailed(results[i], &sqlstate, &message))
		{
			reject(worker, "cannot look for the extension", message, "");
			return;
		}
	}
	if (!ExtensionFits(results[0], PROGRAM, EXTENSION_VERSION, &fault))
	{
		reject(worker, fault.what, fault.why, fault.hint);
		free(fault.why);
		return;
	}
	judge_role(worker->pool, results[1]);
	if (PQntuples(results[1]) == 1 && strcmp(PQgetvalue(results[1], 0, 2), "t") == 0)
		reject(worker, "the role of requests without a key is a superuser",
			   worker->pool->settings->anonymous, "grants limit no superuser: take another role");
	else if (!PreparationMake(&worker->preparation, DatabaseConnection(worker->database),
							  PQgetvalue(results[0], 0, 0)))
		reject(worker, "cannot quote the schema's name", "", "");
	else
		DatabaseSendAll(worker->database, worker->preparation.statements, STATEMENTS, MINUTE,
						prepared);
}

/*
 * A connection that is new, or that may no longer be good: look it over, and set its
 * session up.
 */
static void
worker_connected(void *owner)
{
	Worker *worker = owner;
	char *timeout =
		Format("%lld", (long long) (worker->pool->settings->statement_timeout / MILLISECOND));
	const Statement look[] = {
		{.sql = extension_find_sql},
		{.sql = "SELECT rolsuper, rolinherit, EXISTS (SELECT FROM pg_catalog.pg_roles AS a "
				"WHERE a.rolname OPERATOR(pg_catalog.=) $1::pg_catalog.name AND a.rolsuper) "
				"FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) CURRENT_USER",
		 .count = 1,
		 .values = {worker->pool->settings->anonymous}},
		{.sql =
			 "SELECT pg_catalog.set_config('search_path', 'pg_catalog', false), "
			 "pg_catalog.set_config('statement_timeout', $1::pg_catalog.text, false), "
			 "pg_catalog.set_config('idle_in_transaction_session_timeout', $1::pg_catalog.text, false), "
			 "pg_catalog.set_config('TimeZone', 'UTC', false), "
			 "pg_catalog.set_config('DateStyle', 'ISO', false), "
			 "pg_catalog.set_config('IntervalStyle', 'iso_8601', false)",
		 .count = 1,
		 .values = {timeout}},
		{.sql = "DEALLOCATE ALL"},
	};

	DatabaseSendAll(worker->database, look, sizeof(look) / sizeof(look[0]), MINUTE, looked_over);
	free(timeout);
}

/*
 * The connection was lost; a job that had it has been told.
 */
static void
worker_lost(void *owner)
{
	Worker *worker = owner;

	worker->ready = false;
	worker->looking = false;
	worker->suspect = false;
}

/*
 * Connect.
 */
Pool *
PoolOpen(const Settings *settings)
{
	Pool *pool = Allocate(sizeof(Pool));

	*pool = (Pool){.settings = settings};
	pool->last = &pool->first;
	pool->workers = Allocate(settings->workers * sizeof(Worker));
	for (int i = 0; i < settings->workers; i++)
	{
		Worker *worker = &pool->workers[i];
		DatabaseHandlers handlers = {.owner = worker,
									 .connected = worker_connected,
									 .lost = worker_lost};

		*worker = (Worker){.pool = pool};
		worker->database = DatabaseOpen(settings->database, PROGRAM, "worker", handlers, NULL);
	}
	return pool;
}

/*
 * Close the connections.  No job may be there any more.
 */
void
PoolClose(Pool *pool)
{
	for (int i = 0; i < pool->settings->workers; i++)
	{
		DatabaseClose(pool->workers[i].database);
		PreparationFree(&pool->workers[i].preparation);
	}
	free(pool->workers);
	free(pool);
}

/*
 * Give a job to a free worker, or put it into the queue: at its end, or at its
 * head, however full it is, if it is urgent.
 */
PoolAnswer
PoolSubmit(Pool *pool, Job *job, bool urgent)
{
	if (!is_up(pool))
		return POOL_DOWN;
	/* Where a worker is free, those that wait may not have it. */
	for (int i = 0; i < pool->settings->workers && may_run(pool, job); i++)
	{
		Worker *worker = &pool->workers[i];

		if (worker->ready && worker->job == NULL)
		{
			job->worker = worker;
			worker->job = job;
			job->run(job->owner, worker);
			return POOL_TAKEN;
		}
	}
	if (!urgent && !has_room(pool, job))
		return POOL_FULL;
	job->since = ClockNow();
	job->queued = true;
	job->next = urgent ? pool->first : NULL;
	if (pool->first == NULL || !urgent)
	{
		*pool->last = job;
		pool->last = &job->next;
	}
	else
		pool->first = job;
	pool->queued++;
	return POOL_TAKEN;
}

/*
 * Take a job out of the queue, if it is there, without running it.
 */
void
PoolWithdraw(Pool *pool, Job *job)
{
	if (!job->queued)
		return;
	for (Job **link = &pool->first; *link != NULL; link = &(*link)->next)
	{
		if (*link != job)
			continue;
		*link = job->next;
		if (pool->last == &job->next)
			pool->last = link;
		pool->queued--;
		job->queued = false;
		return;
	}
}

/*
 * Jobs that have waited too long are told so, and all of them if the database is
 * gone.
 */
void
PoolAdvance(Pool *pool, int64_t now, int64_t *wake)
{
	int64_t most = is_up(pool) ? pool->settings->statement_timeout : 0;

	for (Job **link = &pool->first; *link != NULL;)
	{
		Job *job = *link;

		if (now >= job->since + most)
		{
			run_job(pool, link, NULL);
			/* It may have had others come and go. */
			link = &pool->first;
			continue;
		}
		*wake = Earlier(*wake, job->since + most);
		link = &job->next;
	}
}

/*
 * Cancel what is done for all jobs; those that wait are told that they have waited
 * too long.
 */
void
PoolBreakOff(Pool *pool)
{
	while (pool->first != NULL)
		run_job(pool, &pool->first, NULL);
	for (int i = 0; i < pool->settings->workers; i++)
	{
		if (pool->workers[i].job != NULL)
			WorkerCancel(&pool->workers[i]);
	}
}

/*
 * How the pool is.
 */
PoolFigures
PoolCount(const Pool *pool)
{
	PoolFigures figures = {.queued = pool->queued};

	for (int i = 0; i < pool->settings->workers; i++)
	{
		figures.ready += pool->workers[i].ready ? 1 : 0;
		figures.busy += pool->workers[i].job != NULL ? 1 : 0;
		figures.reconnects += DatabaseReconnects(pool->workers[i].database);
	}
	return figures;
}

/*
 * May an error mean that the extension has changed under the prepared statements?
 */
static bool
is_suspicious(PGresult *result)
{
	static const char *const sqlstates[] = {"26000", "3F000", "42883", "0A000"};
	const char *sqlstate, *message;

	if (!DatabaseFailed(result, &sqlstate, &message))
		return false;
	for (size_t i = 0; i < sizeof(sqlstates) / sizeof(sqlstates[0]); i++)
	{
		if (strcmp(sqlstate, sqlstates[i]) == 0)
			return true;
	}
	return false;
}

/*
 * Look a connection over again, before anybody uses it.
 */
static void
look_again(Worker *worker)
{
	worker->suspect = false;
	worker->ready = false;
	worker->looking = true;
	worker_connected(worker);
}

/*
 * The extension may have changed, for all connections: those that are free are
 * looked over now, the others after their jobs.
 */
static void
suspect_all(Pool *pool)
{
	for (int i = 0; i < pool->settings->workers; i++)
	{
		Worker *worker = &pool->workers[i];

		if (worker->job != NULL)
			worker->suspect = true;
		else if (worker->ready)
			look_again(worker);
	}
}

/*
 * Results have come; or not, and the connection is lost, but the worker stays the
 * job's until it gives it back.
 */
static void
statements_done(void *owner, PGresult *const *results, int count)
{
	Worker *worker = owner;
	WorkerDone done = worker->done;

	worker->ready = worker->ready && results != NULL;
	for (int i = 0; results != NULL && i < count; i++)
	{
		if (is_suspicious(results[i]))
			suspect_all(worker->pool);
	}
	worker->done = NULL;
	done(worker->job->owner, results, count);
}

/*
 * Send statements, as one transaction.
 */
void
WorkerSend(Worker *worker, const Statement *statements, int count, WorkerDone done)
{
	worker->done = done;
	DatabaseSendAll(worker->database, statements, count,
					worker->pool->settings->statement_timeout + EXTRA_TIMEOUT, statements_done);
}

/*
 * Cancel what the worker is doing.  Its job is told how it ended, as ever.
 */
void
WorkerCancel(Worker *worker)
{
	DatabaseCancel(worker->database);
}

/*
 * The job is done; the next one may have the worker.
 */
void
WorkerRelease(Worker *worker)
{
	Pool *pool = worker->pool;
	PGconn *conn = DatabaseConnection(worker->database);

	worker->job->worker = NULL;
	worker->job = NULL;
	if (conn == NULL)
		worker->ready = false;
	else if (worker->ready && PQtransactionStatus(conn) != PQTRANS_IDLE)
	{
		worker->ready = false;
		DatabaseReset(worker->database, "a transaction was left open");
	}
	else if (worker->suspect && worker->ready)
		look_again(worker);
	/* After a long job another one may run, on any worker. */
	for (int i = 0; i < pool->settings->workers; i++)
		feed(&pool->workers[i]);
}
