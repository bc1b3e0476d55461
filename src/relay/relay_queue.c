/*
 * relay_queue.c
 *		The relay's side to the database: claims, results, leases.
 *
 * One statement at a time goes over the work connection.  Which one is next is
 * decided anew each time: results first, then leases that need to be extended,
 * then the figures, when it is time for them, then a claim.
 */
#include "relay_int.h"

#include <stdlib.h>
#include <string.h>

#include "extension.h"

#define POLL_INTERVAL SECOND
#define STATS_INTERVAL (15 * SECOND)
#define DRAIN_STATS_INTERVAL (2 * SECOND)

/* Results are recorded when there are so many, or so large, or so old. */
#define FLUSH_COUNT 64
#define FLUSH_BYTES (4 * 1024 * 1024)
#define FLUSH_AGE (20 * MILLISECOND)

/* No more is claimed while so much is unsent. */
#define MAX_UNSENT_BYTES (16 * 1024 * 1024)

/* After a claim that found nothing, however often we are notified. */
#define NOTIFIED_INTERVAL (20 * MILLISECOND)

/*
 * A statement did not work.  Say so once, and leave the database alone for a
 * while.
 */
static void
in_trouble(Relay *relay, const char *what, const char *sqlstate, const char *message,
		   const char *hint)
{
	if (!relay->complained || strcmp(relay->complaint, sqlstate) != 0)
		Log(LOG_ERROR, what, LogText("sqlstate", sqlstate), LogText("error", message),
			LogText("hint", hint));
	relay->complained = true;
	snprintf(relay->complaint, sizeof(relay->complaint), "%s", sqlstate);
	relay->statement_from = ClockNow() + BackoffNext(&relay->trouble);
}

/*
 * A statement worked.
 */
static void
out_of_trouble(Relay *relay)
{
	if (relay->complained)
		Log(LOG_INFO, "the queue works again");
	relay->complained = false;
	BackoffReset(&relay->trouble);
}

/*
 * Did a statement of the queue fail?  Then decide what that means: a server
 * that only reads is the wrong one, and whoever lacks a function or a right
 * looks at the extension again.
 */
static bool
failed(Relay *relay, PGresult *result)
{
	const char *sqlstate, *message;
	const char *hint = "";

	if (!DatabaseFailed(result, &sqlstate, &message))
	{
		out_of_trouble(relay);
		return false;
	}
	if (strcmp(sqlstate, "42501") == 0)
		hint = "the role needs USAGE on the extension's schema and a row in acteon_grants with the "
			   "role gateway";
	in_trouble(relay, "the queue does not work", sqlstate, message, hint);
	if (strncmp(sqlstate, "42", 2) == 0 || strncmp(sqlstate, "3F", 2) == 0)
		relay->verified = false;
	if (strcmp(sqlstate, "25006") == 0)
		DatabaseReset(relay->work, message);
	return true;
}

/*
 * The extension was looked for: is it there, and is it ours?
 */
static void
found(void *owner, PGresult *result)
{
	Relay *relay = owner;
	const char *sqlstate, *message;
	ExtensionFault fault;

	if (result == NULL)
		return;
	if (DatabaseFailed(result, &sqlstate, &message))
		in_trouble(relay, "cannot look for the extension", sqlstate, message, "");
	else if (!ExtensionFits(result, PROGRAM, OLDEST_EXTENSION, &fault))
	{
		in_trouble(relay, fault.what, "", fault.why != NULL ? fault.why : "", fault.hint);
		free(fault.why);
	}
	else
	{
		QueuePrepare(&relay->queue, DatabaseConnection(relay->work), PQgetvalue(result, 0, 0),
					 ExtensionSkillsRead(result));
		relay->verified = true;
	}
}

/*
 * A new connection: what we know about the last one does not count.
 */
static void
connected(void *owner)
{
	Relay *relay = owner;

	relay->verified = false;
	relay->statement_from = 0;
	relay->claim_from = 0;
}

/*
 * May an error be about what a result says, and not about the statement or the
 * server?  A value that cannot be stored (22, and 0A for what has no equivalent
 * in the server's encoding), a constraint that somebody added (23), a limit (54).
 */
static bool
is_about_data(const char *sqlstate)
{
	static const char *const classes[] = {"22", "0A", "23", "54"};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
	{
		if (strncmp(sqlstate, classes[i], 2) == 0)
			return true;
	}
	return false;
}

/*
 * Results were recorded.
 */
static void
finished(void *owner, PGresult *result)
{
	Relay *relay = owner;
	ResultKind kind = relay->finishing;
	const char *sqlstate, *message;
	int64_t recorded;

	if (result == NULL)
		return;
	if (DatabaseFailed(result, &sqlstate, &message) && is_about_data(sqlstate) &&
		ResultsUnstorable(&relay->results, kind, relay->finishing_count, message))
		return;
	if (failed(relay, result))
		return;
	recorded = PQntuples(result) == 1 ? TextToNumber(PQgetvalue(result, 0, 0)) : 0;
	if (kind == RESULT_ACK)
		counters.delivered += recorded;
	else if (kind == RESULT_REJECT)
		counters.dead += recorded;
	else if (kind == RESULT_DOUBT && relay->queue.skills.ids)
		counters.doubted += recorded;
	else
	{
		int64_t dead = PQntuples(result) == 1 ? TextToNumber(PQgetvalue(result, 0, 1)) : 0;
		const Result *next = relay->results.queues[kind].first;
		int64_t uncounted = 0;

		for (int i = 0; i < relay->finishing_count; i++, next = next->next)
			uncounted += next->text == NULL ? 1 : 0;
		if (dead > 0)
			Log(LOG_WARNING, "actions end dead after their last attempt",
				LogNumber("actions", dead));
		counters.dead += dead;
		counters.given_back += Earlier(uncounted, recorded);
		counters.retried += recorded - Earlier(uncounted, recorded);
	}
	ResultsDrop(&relay->results, kind, relay->finishing_count);

	/* The next action of a fingerprint may be due now. */
	relay->claim_from = 0;
}

/*
 * Actions were leased.
 */
static void
claimed(void *owner, PGresult *result)
{
	Relay *relay = owner;
	int count;

	if (result == NULL || failed(relay, result))
		return;
	count = PQntuples(result);
	for (int i = 0; i < count; i++)
	{
		Lease *lease = HeldLease(&relay->held, TextToNumber(PQgetvalue(result, i, 1)),
								 relay->asked_at + relay->settings->lease);

		HeldAdd(&relay->held, lease, TextToNumber(PQgetvalue(result, i, 0)),
				(int) TextToNumber(PQgetvalue(result, i, 2)), PQgetvalue(result, i, 4),
				PQgetvalue(result, i, 3), (size_t) PQgetlength(result, i, 3));
	}
	counters.claimed += count;
	relay->has_claimed = true;
	relay->claim_from = count > 0 ? 0 : ClockNow() + Jittered(POLL_INTERVAL);
	relay->claim_soonest = count > 0 ? 0 : ClockNow() + NOTIFIED_INTERVAL;
	relay->idle = count == 0 && relay->held.leases == NULL && relay->results.count == 0;
	if (relay->idle && relay->settings->drain)
		relay->stats_from = 0;
	if (count > 0)
		Log(LOG_DEBUG, "claimed", LogNumber("actions", count),
			LogNumber("wanted", relay->asked_for), LogNumber("us", ClockNow() - relay->asked_at));
}

/*
 * Leases were extended.  Those that the answer does not name are lost.
 */
static void
extended(void *owner, PGresult *result)
{
	Relay *relay = owner;

	if (result == NULL || failed(relay, result))
		return;
	for (Lease *lease = relay->held.leases; lease != NULL; lease = lease->next)
	{
		bool held = false;

		for (int i = 0; i < PQntuples(result) && !held; i++)
			held = TextToNumber(PQgetvalue(result, i, 0)) == lease->token;
		if (held)
			lease->until = relay->asked_at + relay->settings->lease;
		else if (!lease->lost)
		{
			lease->lost = true;
			Log(LOG_WARNING, "a lease was lost", LogNumber("actions", lease->users));
		}
	}
}

/*
 * The figures have come.  A drain ends if nothing is left.
 */
static void
counted(void *owner, PGresult *result)
{
	Relay *relay = owner;

	if (result == NULL || failed(relay, result))
		return;
	QueueReadStats(result, &relay->stats);
	if (!relay->stats_known)
		relay->dead_before = relay->stats.dead;
	relay->stats_known = true;
	relay->stats_done = counters.delivered + counters.dead;
	relay->stats_from = relay->settings->drain                  ? ClockNow() + DRAIN_STATS_INTERVAL
						: relay->settings->metrics_file != NULL ? ClockNow() + STATS_INTERVAL
																: NEVER;
	if (relay->settings->drain && relay->idle && relay->stats.due == 0 &&
		relay->stats.leased == 0 && relay->stats.retrying == 0)
		relay->drained = true;
}

/*
 * The batches have come.  If not, the work goes on without them.
 */
static void
listed(void *owner, PGresult *result)
{
	Relay *relay = owner;

	relay->batches_from = ClockNow() + STATS_INTERVAL;
	if (result != NULL && !failed(relay, result))
		relay->batch_count = QueueReadBatches(result, relay->batches);
}

/*
 * Record results, if it is time to.
 */
static bool
finish(Relay *relay, int64_t now, int64_t *wake)
{
	Results *results = &relay->results;
	bool nothing_else = relay->held.unsent == 0 && GatewayInFlight(relay->gateway) == 0;
	int64_t oldest = ResultsOldest(results);
	int kind = 0;

	if (results->count == 0)
		return false;
	if (!nothing_else && results->count < FLUSH_COUNT && results->bytes < FLUSH_BYTES &&
		now - oldest < FLUSH_AGE)
	{
		*wake = Earlier(*wake, oldest + FLUSH_AGE);
		return false;
	}
	/* The oldest first, so that no kind waits behind another. */
	while (results->queues[kind].first == NULL || results->queues[kind].first->since != oldest)
		kind++;
	relay->finishing = (ResultKind) kind;
	relay->finishing_count = ResultsSlice(results, relay->finishing);
	QueueFinish(&relay->queue, relay->work, relay->finishing, results->queues[kind].first,
				relay->finishing_count, finished);
	return true;
}

/*
 * Extend the leases, if a third of one has passed.
 */
static bool
extend(Relay *relay, int64_t now, int64_t *wake)
{
	int64_t lease = relay->settings->lease;
	int64_t end = HeldEarliestEnd(&relay->held);

	if (end == NEVER)
		return false;
	if (now < end - lease / 3 * 2)
	{
		*wake = Earlier(*wake, end - lease / 3 * 2);
		return false;
	}
	QueueExtend(&relay->queue, relay->work, relay->held.leases, lease, extended);
	return true;
}

/*
 * Claim actions, if there is room and there may be some.  Half a batch is the
 * least that is worth a claim, and leaves something to send meanwhile.
 */
static bool
claim(Relay *relay, int64_t now, int64_t *wake)
{
	const Settings *settings = relay->settings;
	int room = PaceRoom(&relay->pace, settings->batch_size, settings->lease, now);
	int wanted = room < settings->batch_size ? room : settings->batch_size;

	if (relay->stopping || relay->held.unsent_bytes > MAX_UNSENT_BYTES ||
		relay->results.bytes > MAX_RESULT_BYTES)
		return false;
	if (now < relay->pace.resume)
		*wake = Earlier(*wake, relay->pace.resume);
	room -= relay->held.unsent + GatewayInFlight(relay->gateway);
	if (room <= 0 || room < wanted / 2)
		return false;
	if (now < relay->claim_from)
	{
		*wake = Earlier(*wake, relay->claim_from);
		return false;
	}
	relay->idle = false;
	if (relay->pace.state == PACE_REFUSED)
		SendSideReload(relay);
	relay->asked_for = room < wanted ? room : wanted;
	QueueClaim(&relay->queue, relay->work, settings->consumer, relay->asked_for, settings->lease,
			   claimed);
	return true;
}

/*
 * Ask for the figures, if it is time to.
 */
static bool
count_queue(Relay *relay, int64_t now, int64_t *wake)
{
	if (now < relay->stats_from)
	{
		*wake = Earlier(*wake, relay->stats_from);
		return false;
	}
	QueueAskStats(&relay->queue, relay->work, counted);
	return true;
}

/*
 * Ask for the batches, if it is time to: only the metrics need them.
 */
static bool
list_batches(Relay *relay, int64_t now, int64_t *wake)
{
	if (now < relay->batches_from)
	{
		*wake = Earlier(*wake, relay->batches_from);
		return false;
	}
	QueueAskBatches(&relay->queue, relay->work, listed);
	return true;
}

/*
 * Send the next statement, if one can be sent.
 */
void
QueueSideAdvance(Relay *relay, int64_t now, int64_t *wake)
{
	if (!DatabaseIsIdle(relay->work))
		return;
	if (now < relay->statement_from)
	{
		*wake = Earlier(*wake, relay->statement_from);
		return;
	}
	relay->asked_at = now;
	if (!relay->verified)
	{
		Statement find = {.sql = extension_find_sql, .timeout = MINUTE, .done = found};

		DatabaseSend(relay->work, &find);
	}
	else if (!finish(relay, now, wake) && !extend(relay, now, wake) &&
			 !count_queue(relay, now, wake) && !list_batches(relay, now, wake))
		claim(relay, now, wake);
}

/*
 * Something may have become due.
 */
static void
notified(void *owner)
{
	Relay *relay = owner;

	relay->claim_from = relay->claim_soonest;
}

/*
 * Begin to connect.
 */
void
QueueSideStart(Relay *relay)
{
	const Settings *settings = relay->settings;
	DatabaseHandlers handlers = {.owner = relay, .connected = connected};

	relay->trouble = (Backoff){100 * MILLISECOND, 10 * SECOND, 0};
	relay->stats_from = settings->drain || settings->metrics_file != NULL ? 0 : NEVER;
	relay->batches_from = settings->metrics_file != NULL ? 0 : NEVER;
	relay->work = DatabaseOpen(settings->database, PROGRAM, "work", handlers);
	if (!settings->no_listen)
		ListenerStart(&relay->listener, settings->database, PROGRAM, QUEUE_CHANNEL, notified,
					  relay);
}
