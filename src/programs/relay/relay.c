/*
 * relay.c
 *		The relay as a whole, from start to exit.
 *
 * Everything happens in one thread.  Events only note what has happened; after
 * each round of them the relay advances: it stops if it was asked to, sends
 * what may be sent, and gives the database the next statement.
 */
#include "relay/relay.h"

#include "common/signals.h"
#include "relay/relay_int.h"

/* How long a drain tries to start. */
#define DRAIN_START_TIMEOUT MINUTE

/*
 * How long a drain waits for a gateway that is down or refuses us, and for
 * anything to end: more than the longest back-off.
 */
#define DRAIN_PATIENCE (5 * MINUTE)
#define DRAIN_STALLED (15 * MINUTE)

/* How long results may take to be recorded after the grace time. */
#define LAST_CHANCE (5 * SECOND)

/*
 * Do what signals have asked for.
 */
static void
obey_signals(Relay *relay, int64_t now)
{
	if (signal_flags.reload)
	{
		signal_flags.reload = false;
		Log(LOG_INFO, "reading the key files again");
		SendSideReload(relay);
		ThrottleTryNow(&relay->throttle, now);
	}
	if (signal_flags.stop > 0 && !relay->stopping)
	{
		Log(LOG_INFO, "stopping", LogNumber("in_flight", relay->sink->in_flight),
			LogNumber("unsent", relay->held.unsent));
		relay->stopping = true;
		relay->stop_at = now + relay->settings->grace;
	}
	if (signal_flags.stop > 1 && relay->stop_at > now)
		relay->stop_at = now;
}

/*
 * A drain does not wait forever for a gateway that accepts nothing; what is left
 * stays in the queue.
 */
static void
lose_patience(Relay *relay, int64_t now, int64_t *wake)
{
	int64_t done = counters.delivered + counters.dead;
	int64_t end;

	if (!relay->settings->drain || relay->stopping)
		return;
	if (done != relay->done_before || relay->done_at == 0)
	{
		relay->done_before = done;
		relay->done_at = now;
	}
	end = relay->done_at + DRAIN_STALLED;
	if (relay->throttle.state != THROTTLE_OPEN)
		end = Earlier(end, relay->throttle.stopped_at + DRAIN_PATIENCE);
	if (now < end)
	{
		*wake = Earlier(*wake, end);
		return;
	}
	Log(LOG_ERROR, "cannot drain: nothing is taken, the rest stays in the queue",
		LogText(relay->sink->kind->name, SinkPlace(relay->settings)));
	relay->stopping = true;
	relay->stop_at = now + relay->settings->grace;
}

/*
 * Is it over?
 */
static bool
is_over(Relay *relay, int64_t now, int64_t *wake)
{
	bool at_work = DatabaseIsReady(relay->work) && !DatabaseIsIdle(relay->work);
	bool holds = relay->held.leases != NULL || relay->results.count > 0;

	if (relay->drained)
		return true;
	if (relay->settings->drain && !relay->has_claimed)
	{
		if (now >= relay->started + DRAIN_START_TIMEOUT)
		{
			Log(LOG_ERROR, "cannot drain: the queue could not be used for a minute");
			relay->forced = true;
			return true;
		}
		*wake = Earlier(*wake, relay->started + DRAIN_START_TIMEOUT);
	}
	if (!relay->stopping)
		return false;
	if (signal_flags.stop > 2)
	{
		Log(LOG_WARNING, "stopped at once", LogNumber("in_flight", relay->sink->in_flight),
			LogNumber("unrecorded", relay->results.count));
		relay->forced = true;
		return true;
	}
	if (!holds && !at_work)
		return true;
	if (now >= relay->stop_at && relay->sink->in_flight > 0)
	{
		Log(LOG_WARNING, "requests are broken off, their actions are in doubt",
			LogNumber("requests", relay->sink->in_flight));
		relay->sink->kind->abort(relay->sink, "the relay was stopped before an answer came");
		relay->forced = true;
		*wake = now;
	}
	if (now >= relay->stop_at + LAST_CHANCE)
	{
		Log(LOG_WARNING, "stopped without the database, leases will end by time",
			LogNumber("unrecorded", relay->results.count));
		relay->forced = true;
		return true;
	}
	*wake = Earlier(*wake, now < relay->stop_at ? relay->stop_at : relay->stop_at + LAST_CHANCE);
	return false;
}

/*
 * Do what there is to do now.  Returns false when it is over.
 */
static bool
advance(Relay *relay)
{
	int64_t now = ClockNow();
	int64_t wake = NEVER;
	int64_t left = -1;

	obey_signals(relay, now);
	lose_patience(relay, now, &wake);
	SendSideAdvance(relay, now, &wake);
	QueueSideAdvance(relay, now, &wake);
	if (is_over(relay, now, &wake))
		return false;
	if (relay->figures.stats_known)
	{
		left = relay->figures.stats.due + relay->figures.stats.leased +
			   relay->figures.stats.retrying -
			   (counters.delivered + counters.dead - relay->figures.stats_done);
		left = left > 0 ? left : 0;
	}
	ProgressShow(&relay->progress, left, now, &wake);
	WatchAdvance(relay, now, &wake);
	relay->wake.due = wake;
	return true;
}

/*
 * The relay only has to wake up; what is to be done is found out by advance.
 */
static void
woken(void *owner)
{
	(void) owner;
}

/*
 * The program's exit status.
 */
static int
exit_status(const Relay *relay)
{
	if (relay->forced || (relay->settings->drain && !relay->drained))
		return 1;
	if (relay->settings->drain &&
		(counters.dead > 0 || relay->figures.stats.dead > relay->dead_before ||
		 relay->figures.stats.paused > 0 || relay->figures.stats.held > 0))
		return 1;
	return 0;
}

/*
 * Let go of everything.
 */
static void
end(Relay *relay)
{
	WatchEnd(relay);
	ProgressEnd(&relay->progress, relay->drained, relay->figures.stats.paused,
				relay->figures.stats.held, ClockNow());
	ListenerEnd(&relay->listener);
	FiguresEnd(&relay->figures);
	DatabaseClose(relay->work);
	relay->sink->kind->abort(relay->sink, "the relay has ended");
	relay->sink->kind->close(relay->sink);
	HeldFree(&relay->held);
	ResultsFree(&relay->results);
	QueueFree(&relay->queue);
	KeyringFree(relay->keys);
	BufferFree(&relay->text);
	BufferFree(&relay->tag);
	LoopRemoveTimer(&relay->wake);
}

/*
 * Run until there is nothing left to do, or until told to stop.  Returns the
 * program's exit status.
 */
int
RelayRun(const Settings *settings)
{
	static Relay relay;

	relay.settings = settings;
	relay.started = ClockNow();
	relay.wake = (LoopTimer){woken, &relay, NEVER, NULL};
	LoopAddTimer(&relay.wake);
	ProgressStart(&relay.progress, settings->drain, relay.started);
	/* Threads of a sink, which SendSideStart starts, must not be left at work. */
	if (!WatchStart(&relay) || !SendSideStart(&relay))
		return 1;
	Log(LOG_INFO, "started", LogText("version", ACTEON_VERSION),
		LogText("consumer", settings->consumer), LogText("target", settings->target),
		LogText(relay.sink->kind->name, SinkPlace(settings)),
		LogNumber("concurrency", settings->concurrency),
		LogNumber("payload_keys", KeyringCount(relay.keys)),
		LogNumber("signing_keys", relay.signers != NULL ? SignersCount(relay.signers) : 0));
	QueueSideStart(&relay);
	while (advance(&relay))
		LoopRunOnce();
	end(&relay);
	return exit_status(&relay);
}
