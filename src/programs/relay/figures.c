/*
 * figures.c
 *		How the queue and the batches are: for people, not for the work.
 *
 * The figures have a connection of their own: what they cost must not keep a
 * lease from being prolonged.  If there is none to be had, there are no figures,
 * and nothing else is missing.
 */
#include "relay/figures.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"

#define INTERVAL (15 * SECOND)

/* A statement that takes longer is not worth it. */
#define TIMEOUT MINUTE

/* How long figures are told of for which there are no newer ones. */
#define FRESH_TIME (TIMEOUT + 2 * INTERVAL)

/*
 * Did a statement fail?  Then there is another try later, on which the extension is
 * looked for again.
 */
static bool
failed(Figures *figures, PGresult *result)
{
	const char *sqlstate, *message;

	if (result != NULL && !DatabaseFailed(result, &sqlstate, &message))
		return false;
	if (result != NULL)
		Log(LOG_DEBUG, "no figures", LogText("sqlstate", sqlstate), LogText("error", message));
	figures->verified = false;
	figures->from = ClockNow() + Jittered(INTERVAL);
	return true;
}

/*
 * Take the figures of the queue from a result that is good.
 */
void
FiguresTake(Figures *figures, PGresult *result)
{
	QueueReadStats(result, &figures->stats);
	figures->stats_known = true;
	figures->stats_at = ClockNow();
	figures->stats_done = counters.delivered + counters.dead;
}

/*
 * Whether the figures are recent enough to be told to others, who take them for the
 * present ones.
 */
bool
FiguresAreFresh(const Figures *figures, int64_t now)
{
	return figures->stats_known && now < figures->stats_at + FRESH_TIME;
}

/*
 * The same of the batches, which are asked for separately.
 */
bool
BatchesAreFresh(const Figures *figures, int64_t now)
{
	return figures->batches_at != 0 && now < figures->batches_at + FRESH_TIME;
}

/*
 * The batches have come.
 */
static void
listed(void *owner, PGresult *result)
{
	Figures *figures = owner;

	if (failed(figures, result))
		return;
	figures->batch_count = QueueReadBatches(result, figures->batches);
	figures->batches_at = ClockNow();
}

/*
 * The figures of the queue have come; ask for the batches.
 */
static void
counted(void *owner, PGresult *result)
{
	Figures *figures = owner;

	if (failed(figures, result))
		return;
	FiguresTake(figures, result);
	figures->from = ClockNow() + Jittered(INTERVAL);
	QueueAskBatches(&figures->queue, figures->database, listed);
}

/*
 * The extension was looked for.  What is wrong with it is said by the work.
 */
static void
found(void *owner, PGresult *result)
{
	Figures *figures = owner;
	ExtensionFault fault;

	if (failed(figures, result))
		return;
	if (!ExtensionFits(result, "", OLDEST_EXTENSION, &fault))
	{
		free(fault.why);
		figures->from = ClockNow() + Jittered(INTERVAL);
		return;
	}
	QueuePrepare(&figures->queue, DatabaseConnection(figures->database), PQgetvalue(result, 0, 0),
				 ExtensionSkillsRead(result), figures->target, false);
	figures->verified = true;
}

/*
 * A new connection: what we know about the last one does not count.
 */
static void
connected(void *owner)
{
	((Figures *) owner)->verified = false;
}

/*
 * Get ready to ask, as soon as the connection need not be held back any more.
 */
void
FiguresStart(Figures *figures, const char *conninfo, const char *program, const char *target,
			 bool pooled)
{
	DatabaseHandlers handlers = {.owner = figures, .connected = connected};

	figures->target = target;
	figures->session = (DatabaseSession){queue_session_sql, TIMEOUT, pooled};
	figures->database = DatabaseOpen(conninfo, program, "figures", handlers, &figures->session);
	DatabaseHold(figures->database, true);
}

/*
 * Ask no more.
 */
void
FiguresEnd(Figures *figures)
{
	DatabaseClose(figures->database);
	QueueFree(&figures->queue);
}

/*
 * Ask for the figures, if it is time to; hold the connection back if others are
 * more important now.
 */
void
FiguresAdvance(Figures *figures, bool hold, int64_t now, int64_t *wake)
{
	if (figures->database == NULL)
		return;
	DatabaseHold(figures->database, hold);
	if (!DatabaseIsReady(figures->database) || !DatabaseIsIdle(figures->database))
		return;
	if (now < figures->from)
		*wake = Earlier(*wake, figures->from);
	else if (!figures->verified)
	{
		Statement find = {.sql = extension_find_sql, .done = found};

		DatabaseSend(figures->database, &find);
	}
	else
		QueueAskStats(&figures->queue, figures->database, counted);
}
