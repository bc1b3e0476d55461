/*
 * usage.c
 *		House-keeping: when keys were last used, and old answers deleted.
 *
 * To write it down in each request would have requests of one key wait for each
 * other, so it is noted here and told now and then.
 */
#include "http/server_int.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"

/* How soon the use of a key is told, and how often old answers are looked for. */
#define TELL_INTERVAL (10 * SECOND)
#define SWEEP_INTERVAL MINUTE

/* As acteon_api_housekeeping has it. */
#define DELETED_AT_ONCE 10000

/*
 * It was told, or not.  The keys that have come meanwhile are told the next time.
 */
static void
told(void *owner, PGresult *const *results, int count)
{
	Server *server = owner;
	Usage *usage = &server->usage;
	const char *sqlstate = "", *message = "";
	bool good = results != NULL && !DatabaseFailed(results[0], &sqlstate, &message);

	(void) count;
	/* On a standby there is nothing to be written. */
	if (!good && results != NULL && strcmp(sqlstate, "25006") != 0)
		Log(LOG_WARNING, "cannot keep house", LogText("error", message));
	if (results != NULL)
	{
		for (int i = 0; i < usage->telling; i++)
			free(usage->keys[i].key_id);
		usage->count -= usage->telling;
		if (usage->count > 0)
			memmove(usage->keys, usage->keys + usage->telling, usage->count * sizeof(KeyUse));
	}
	usage->telling = 0;
	/* There are more to be deleted than one call does. */
	if (good && PQntuples(results[0]) == 1 &&
		strtoll(PQgetvalue(results[0], 0, 0), NULL, 10) >= DELETED_AT_ONCE)
		usage->due = ClockNow();
	WorkerRelease(usage->job.worker);
}

/*
 * There is a worker to tell it with, or none in time.
 */
static void
tell(void *owner, Worker *worker)
{
	Server *server = owner;
	Usage *usage = &server->usage;
	Statement statement = StatementUse(STATEMENT_HOUSEKEEPING);
	Buffer ids = {0}, times = {0};

	if (worker == NULL)
		return;
	usage->telling = usage->count;
	for (int i = 0; i < usage->telling; i++)
	{
		time_t seconds = usage->keys[i].at / SECOND;
		struct tm utc;
		char text[32];

		gmtime_r(&seconds, &utc);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
		BufferPrint(&ids, "%s%s", i > 0 ? "," : "{", usage->keys[i].key_id);
		BufferPrint(&times, "%s%s", i > 0 ? "," : "{", text);
	}
	BufferAppendText(&ids, usage->telling > 0 ? "}" : "{}");
	BufferAppendText(&times, usage->telling > 0 ? "}" : "{}");
	StatementAddText(&statement, ids.data);
	StatementAddText(&statement, times.data);
	WorkerSend(worker, &statement, 1, told);
	BufferFree(&ids);
	BufferFree(&times);
}

/*
 * Begin.
 */
void
UsageStart(Server *server)
{
	server->usage = (Usage){.due = ClockNow() + TELL_INTERVAL};
	server->usage.job = (Job){.owner = server, .run = tell};
}

/*
 * A key was used.
 */
void
UsageNote(Server *server, const char *key_id)
{
	Usage *usage = &server->usage;

	/* Those that are being told are done with. */
	for (int i = usage->telling; i < usage->count; i++)
	{
		if (strcmp(usage->keys[i].key_id, key_id) == 0)
		{
			usage->keys[i].at = ClockWall();
			return;
		}
	}
	usage->keys = Reallocate(usage->keys, (usage->count + 1) * sizeof(KeyUse));
	usage->keys[usage->count++] = (KeyUse){DuplicateText(key_id), ClockWall()};
	usage->due = Earlier(usage->due, ClockNow() + TELL_INTERVAL);
}

/*
 * Is everything told that can be?
 */
bool
UsageIsOver(const Server *server)
{
	return server->usage.count == 0 && server->usage.job.worker == NULL &&
		   !server->usage.job.queued;
}

/*
 * Tell it, if it is time to.
 */
void
UsageAdvance(Server *server, int64_t now, int64_t *wake)
{
	Usage *usage = &server->usage;

	if (usage->job.worker != NULL || usage->job.queued)
		return;
	if (now < usage->due && !(server->stopping && usage->count > 0))
	{
		*wake = Earlier(*wake, usage->due);
		return;
	}
	usage->due = now + (server->stopping ? SECOND : SWEEP_INTERVAL);
	if (PoolSubmit(server->pool, &usage->job, false) != POOL_TAKEN && server->stopping)
		UsageEnd(server);
	*wake = Earlier(*wake, usage->due);
}

/*
 * Forget what has not been told.
 */
void
UsageEnd(Server *server)
{
	for (int i = 0; i < server->usage.count; i++)
		free(server->usage.keys[i].key_id);
	free(server->usage.keys);
	server->usage.keys = NULL;
	server->usage.count = 0;
}
