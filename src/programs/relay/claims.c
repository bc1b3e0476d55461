/*
 * claims.c
 *		The relay's side to the database: claims, results, leases.
 *
 * One statement at a time goes over the work connection.  Which one is next is
 * decided anew each time: leases that need to be extended first, then results, then
 * a claim.  Other connections are made when this one stands, and have to go
 * when it does not: there may be only one to be had.
 *
 * A statement that hangs must not cost a lease.  So each has to end within a sixth
 * of a lease, is cancelled else, and is repeated, on another connection if need be.
 */
#include "relay/relay_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/target_name.h"
#include "common/extension.h"

#define POLL_INTERVAL SECOND
#define DRAIN_STATS_INTERVAL (2 * SECOND)

/* How long a statement may take: a part of the lease, within bounds. */
#define STATEMENT_PART 6
#define SHORTEST_STATEMENT (300 * MILLISECOND)
#define LONGEST_STATEMENT (10 * SECOND)

/* When others have to go since the work has had no connection for so long. */
#define HOLD_TIME (2 * SECOND)

/* So many leases are extended at once. */
#define MAX_EXTENDED 1000

/* How often we say that a result cannot be recorded. */
#define TOLD_INTERVAL MINUTE

/* Results are recorded when there are so many, or so large, or so old. */
#define FLUSH_COUNT 64
#define FLUSH_BYTES (4 * 1024 * 1024)
#define FLUSH_AGE (20 * MILLISECOND)

/* No more is claimed while so much is unsent, nor, by the size of those before, at once. */
#define MAX_UNSENT_BYTES (16 * 1024 * 1024)

/* After a claim that found nothing, however often we are notified. */
#define NOTIFIED_INTERVAL (2 * MILLISECOND)

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
 * Did a statement of the queue fail? Then decide what that means: a read-only
 * server is the wrong one, and if a function or a privilege is missing, the
 * extension is checked again.
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
	bool is_stream = relay->sink->kind->is_stream;
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
	else if (is_stream && !ExtensionSkillsRead(result).describes)
		in_trouble(relay, "the extension cannot be used with --sink", "",
				   "it has no acteon_outbox_describe", "ALTER EXTENSION acteon_replay UPDATE");
	else if (strcmp(relay->settings->target, PRODUCTION) != 0 &&
			 !ExtensionSkillsRead(result).targets)
		in_trouble(relay, "the extension cannot be used with --target", "",
				   "its acteon_outbox_claim has no argument target",
				   "ALTER EXTENSION acteon_replay UPDATE");
	else
	{
		QueuePrepare(&relay->queue, DatabaseConnection(relay->work), PQgetvalue(result, 0, 0),
					 ExtensionSkillsRead(result), relay->settings->target, is_stream);
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
 * Is an error about the server, or about all that is asked of it, and not about one
 * of the results?  A connection (08), a transaction (25, 40), a login (28), resources
 * (53), a lock (55), an operator or a time-out (57), the system (58).
 */
static bool
is_about_server(const char *sqlstate)
{
	static const char *const classes[] = {"08", "25", "28", "40", "53", "55", "57", "58"};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
	{
		if (strncmp(sqlstate, classes[i], 2) == 0)
			return true;
	}
	return *sqlstate == '\0';
}

/*
 * The first result of the kind under way cannot be recorded at present; the others can.
 */
static void
park(Relay *relay, const char *sqlstate, const char *message)
{
	const Result *result = relay->results.queues[relay->finishing].first;
	int64_t now = ClockNow();

	if (relay->told_at == 0 || now >= relay->told_at + TOLD_INTERVAL)
	{
		Log(LOG_ERROR, "what became of an action cannot be recorded, and is tried again",
			LogNumber("outbox_id", result->outbox_id), LogText("sqlstate", sqlstate),
			LogText("error", message), LogNumber("others", relay->results.parked_count));
		relay->told_at = now;
	}
	ResultsPark(&relay->results, relay->finishing, now);
}

/*
 * The server has tried what the first result says, by itself.
 */
static void
tried(void *owner, PGresult *result)
{
	Relay *relay = owner;
	const char *sqlstate, *message;

	relay->trying = false;
	if (result == NULL)
		return;
	if (!DatabaseFailed(result, &sqlstate, &message))
		relay->results.queues[relay->finishing].first->tried = true;
	else if (is_about_server(sqlstate))
		failed(relay, result);
	else
	{
		ResultsReplace(&relay->results, relay->finishing, message);
		relay->results.queues[relay->finishing].first->tried = true;
	}
}

/*
 * Results could not be recorded.  If the server or time is the reason, wait, and
 * take fewer.  Else find the one that cannot be recorded: if it is what it says that
 * cannot be stored, that is replaced; if it is not, it has to wait, and nobody else.
 */
static void
not_finished(Relay *relay, PGresult *result, const char *sqlstate, const char *message)
{
	const Result *first = relay->results.queues[relay->finishing].first;
	bool took_too_long = strcmp(sqlstate, "57014") == 0;

	if (took_too_long)
		ResultsTooMany(&relay->results, relay->finishing_count);
	if (is_about_server(sqlstate) && !(took_too_long && relay->finishing_count == 1))
		failed(relay, result);
	else if (relay->finishing_count > 1)
		ResultsOneByOne(&relay->results, relay->finishing, relay->finishing_count);
	else if (!took_too_long && !first->tried && first->text != NULL)
		relay->trying = true;
	else
		park(relay, sqlstate, message);
	if (strncmp(sqlstate, "42", 2) == 0 || strncmp(sqlstate, "3F", 2) == 0)
		relay->verified = false;
}

/*
 * Results were recorded.
 */
static void
finished(void *owner, PGresult *result)
{
	Relay *relay = owner;
	ResultKind kind = relay->finishing;
	const Result *done = relay->results.queues[kind].first;
	const char *sqlstate, *message;
	int64_t recorded;

	if (result == NULL)
	{
		ResultsTooMany(&relay->results, relay->finishing_count);
		return;
	}
	if (DatabaseFailed(result, &sqlstate, &message))
	{
		not_finished(relay, result, sqlstate, message);
		return;
	}
	out_of_trouble(relay);
	ResultsRecorded(&relay->results);
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
	for (int i = 0; i < relay->finishing_count; i++, done = done->next)
		HeldRecorded(&relay->held, done->token);
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
	size_t bytes = 0;

	if (result == NULL || failed(relay, result))
	{
		relay->claim_most = relay->asked_for > 1 ? relay->asked_for / 2 : 1;
		return;
	}
	count = PQntuples(result);
	relay->claim_most = relay->claim_most * 2 < relay->settings->batch_size
							? relay->claim_most * 2
							: relay->settings->batch_size;
	for (int i = 0; i < count; i++)
	{
		Lease *lease = HeldLease(&relay->held, TextToNumber(PQgetvalue(result, i, 1)),
								 relay->asked_at + relay->settings->lease);
		Action *action =
			HeldAdd(&relay->held, lease, TextToNumber(PQgetvalue(result, i, 0)),
					(int) TextToNumber(PQgetvalue(result, i, 2)), PQgetvalue(result, i, 4),
					PQgetvalue(result, i, 3), (size_t) PQgetlength(result, i, 3));

		bytes += action->len;
		/* By our clock, counted from when we asked: rather too early than too late. */
		if (!PQgetisnull(result, i, CLAIMED_EXPIRES_IN))
			action->expires_at =
				relay->asked_at + TextToNumber(PQgetvalue(result, i, CLAIMED_EXPIRES_IN));
		if (relay->queue.describes)
			action->facts = QueueReadFacts(result, i);
	}
	if (count > 0)
		relay->claimed_size = bytes / (size_t) count;
	counters.claimed += count;
	relay->has_claimed = true;
	relay->claim_from = count > 0 ? 0 : ClockNow() + Jittered(POLL_INTERVAL);
	relay->claim_soonest = count > 0 ? 0 : ClockNow() + NOTIFIED_INTERVAL;
	relay->found_nothing = count == 0;
	if (relay->looking)
		ListenerFound(&relay->listener, count);
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
	{
		/* One of them may be locked: find it, and let others have their turn. */
		relay->extend_most = relay->extending > 1 ? relay->extending / 2 : 1;
		HeldPutOff(&relay->held, ClockNow() + relay->session.timeout);
		return;
	}
	relay->extend_most = relay->extend_most < MAX_EXTENDED ? relay->extend_most * 2 : MAX_EXTENDED;
	for (Lease *lease = relay->held.leases; lease != NULL; lease = lease->next)
	{
		bool held = false;

		if (!lease->asked)
			continue;
		for (int i = 0; i < PQntuples(result) && !held; i++)
			held = TextToNumber(PQgetvalue(result, i, 0)) == lease->token;
		if (held)
			lease->until = relay->asked_at + relay->settings->lease;
		else if (!lease->lost)
		{
			lease->lost = true;
			Log(LOG_WARNING, "a lease was lost",
				LogNumber("actions", lease->users + lease->results));
		}
	}
}

/*
 * The drain knows how much is left.  It ends if that is nothing, but for doubts
 * that a person has to decide, and for what is scheduled: that which canaries will
 * release by themselves is waited for.
 */
static void
counted(void *owner, PGresult *result)
{
	Relay *relay = owner;
	const QueueStats *stats = &relay->figures.stats;

	relay->stats_from = ClockNow() + DRAIN_STATS_INTERVAL;
	if (result == NULL || failed(relay, result))
		return;
	if (relay->dead_before < 0)
		relay->dead_before = TextToNumber(PQgetvalue(result, 0, 5));
	FiguresTake(&relay->figures, result);
	if (relay->idle && stats->due == 0 && stats->leased == 0 && stats->retrying == 0 &&
		stats->in_doubt <= stats->held && stats->canary == 0)
		relay->drained = true;
}

/*
 * Record results, if it is time to.
 */
static bool
finish(Relay *relay, int64_t now, int64_t *wake)
{
	Results *results = &relay->results;
	bool nothing_else = relay->held.unsent == 0 && relay->sink->in_flight == 0;
	int64_t oldest;
	int kind = 0;

	/* What is tried stays the first. */
	if (!relay->trying)
		ResultsWake(results, now, wake);
	oldest = ResultsOldest(results);
	if (oldest == NEVER)
		return false;
	if (relay->trying)
	{
		QueueTry(&relay->queue, relay->work, relay->finishing,
				 results->queues[relay->finishing].first, tried);
		return true;
	}
	if (!nothing_else && results->count - results->parked_count < FLUSH_COUNT &&
		results->bytes < FLUSH_BYTES && now - oldest < FLUSH_AGE)
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
	int64_t end = HeldEarliestEnd(&relay->held, now, wake);

	if (end == NEVER)
		return false;
	if (now < end - lease / 3 * 2)
	{
		*wake = Earlier(*wake, end - lease / 3 * 2);
		return false;
	}
	relay->extending = HeldAskFor(&relay->held, relay->extend_most, now);
	QueueExtend(&relay->queue, relay->work, relay->held.leases, lease, extended);
	return true;
}

/*
 * How many actions may be claimed at once: as many as can be claimed in time, and, if
 * they have so many bytes each as the last ones had, or 0 if that is not known, held.
 */
int
ClaimAtOnce(int most, size_t size)
{
	size_t fitting = size > 0 ? MAX_UNSENT_BYTES / size : (size_t) most;

	if (fitting < 1)
		fitting = 1;
	return fitting < (size_t) most ? (int) fitting : most;
}

/*
 * Claim actions, if there is room and there may be some.  Half a batch is the
 * least that is worth a claim, and leaves something to send meanwhile.
 */
static bool
claim(Relay *relay, int64_t now, int64_t *wake)
{
	const Settings *settings = relay->settings;
	int room = ThrottleRoom(&relay->throttle, settings->batch_size, settings->lease, now);
	int wanted = room < settings->batch_size ? room : settings->batch_size;

	if (relay->stopping || relay->held.unsent_bytes > MAX_UNSENT_BYTES ||
		relay->results.bytes > MAX_RESULT_BYTES)
		return false;
	if (now < relay->throttle.resume)
		*wake = Earlier(*wake, relay->throttle.resume);
	room -= relay->held.unsent + relay->sink->in_flight;
	if (room <= 0 || room < wanted / 2)
		return false;
	if (now < relay->claim_from)
	{
		*wake = Earlier(*wake, relay->claim_from);
		return false;
	}
	relay->idle = false;
	if (relay->throttle.state == THROTTLE_REFUSED)
		SendSideReloadChanged(relay);
	relay->asked_for = (int) Earlier(room < wanted ? room : wanted,
									 ClaimAtOnce(relay->claim_most, relay->claimed_size));
	relay->looking = relay->listener.sleep == SLEEP_LOOKING;
	QueueClaim(&relay->queue, relay->work, settings->consumer, SinkPlace(settings),
			   relay->asked_for, settings->lease, claimed);
	return true;
}

/*
 * Before a drain begins, and when it has nothing to do, ask how much is left.
 */
static bool
count_queue(Relay *relay, int64_t now, int64_t *wake)
{
	if (relay->dead_before >= 0 && !relay->idle)
		return false;
	if (now < relay->stats_from)
	{
		*wake = Earlier(*wake, relay->stats_from);
		return false;
	}
	QueueAskStats(&relay->queue, relay->work, counted);
	return true;
}

/*
 * Let the other connections do their part.  They have to stand back while the work
 * has none.
 */
static void
advance_others(Relay *relay, int64_t now, int64_t *wake)
{
	bool hold = !DatabaseIsReady(relay->work) || !relay->verified;

	if (!hold)
		relay->ready_at = now;
	else if (relay->ready_at != 0 && now < relay->ready_at + HOLD_TIME)
	{
		*wake = Earlier(*wake, relay->ready_at + HOLD_TIME);
		hold = false;
	}
	ListenerHold(&relay->listener, hold);
	FiguresAdvance(&relay->figures, hold, now, wake);
	if (ListenerSleeps(&relay->listener, relay->queue.sleep, relay->found_nothing, now, wake))
		relay->claim_from = relay->claim_soonest;
}

/*
 * Send the next statement, if one can be sent.
 */
void
QueueSideAdvance(Relay *relay, int64_t now, int64_t *wake)
{
	advance_others(relay, now, wake);
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
		Statement find = {.sql = extension_find_sql, .done = found};

		DatabaseSend(relay->work, &find);
	}
	else if (!extend(relay, now, wake) && !finish(relay, now, wake) &&
			 !count_queue(relay, now, wake))
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
 * How long a statement may take.
 */
static int64_t
statement_time(int64_t lease)
{
	int64_t time = lease / STATEMENT_PART;

	return time < SHORTEST_STATEMENT ? SHORTEST_STATEMENT : Earlier(time, LONGEST_STATEMENT);
}

/*
 * Begin to connect.
 */
void
QueueSideStart(Relay *relay)
{
	const Settings *settings = relay->settings;
	DatabaseHandlers handlers = {.owner = relay, .connected = connected};

	relay->trouble = (Backoff){100 * MILLISECOND, statement_time(settings->lease), 0};
	relay->stats_from = settings->drain ? 0 : NEVER;
	relay->dead_before = -1;
	relay->claim_most = settings->batch_size;
	relay->extend_most = MAX_EXTENDED;
	relay->session = (DatabaseSession){relay->sink->kind->is_stream ? queue_stream_session_sql
																	: queue_session_sql,
									   statement_time(settings->lease), settings->no_listen};
	relay->work = DatabaseOpen(settings->database, PROGRAM, "work", handlers, &relay->session);
	if (RelayIsWatched(settings))
		FiguresStart(&relay->figures, settings->database, PROGRAM, settings->target,
					 settings->no_listen);
	if (!settings->no_listen)
		ListenerStart(&relay->listener, settings->database, PROGRAM, QUEUE_CHANNEL, notified,
					  relay);
}
