/*
 * watch.c
 *		What the relay lets others see of itself: its metrics and its health.
 *
 * They are told over HTTP (status.c), in a file, or not at all.  If they are, the relay
 * finds out whether the sink can be reached also while there is nothing to send.
 */
#include "relay/relay_int.h"
#include "relay/status.h"

#define METRICS_INTERVAL (5 * SECOND)

/* How often the sink is probed that has not answered meanwhile, and how often one that
 * does not answer. */
#define PROBE_INTERVAL (15 * SECOND)
#define PROBE_AGAIN (2 * SECOND)

/*
 * Does anybody want to know how the relay is?
 */
bool
RelayIsWatched(const Settings *settings)
{
	return settings->metrics_file != NULL || settings->listen.text[0] != '\0';
}

/*
 * Why the sink takes no actions; NULL if it does, as far as is known.
 */
static const char *
fault_of_sink(const Relay *relay, int64_t now)
{
	switch (ThrottleShown(&relay->throttle, now))
	{
		case THROTTLE_REFUSED:
			return "the gateway refuses the relay's key or does not know its URL";
		case THROTTLE_DOWN:
			return "the gateway fails";
		case THROTTLE_OPEN:
			break;
	}
	if (relay->sink->is_away || relay->sink->reach == REACH_NONE)
		return "the gateway cannot be reached";
	return NULL;
}

/*
 * Why the database cannot be used; NULL if it can.
 */
static const char *
fault_of_database(const Relay *relay)
{
	if (!DatabaseIsReady(relay->work))
		return "the database cannot be reached";
	if (!relay->verified || relay->complained)
		return "the queue cannot be used";
	return NULL;
}

/*
 * How the relay is; for status.c.
 */
static RelayHealth
health(void *owner)
{
	const Relay *relay = owner;
	RelayHealth health = {
		.database = fault_of_database(relay),
		.gateway = fault_of_sink(relay, ClockNow()),
		.stopping = relay->stopping,
	};

	if (health.gateway == NULL && relay->sink->reach == REACH_UNKNOWN)
		health.gateway = "it is not known yet whether the gateway can be reached";
	return health;
}

/*
 * The figures, as they are now.
 */
static Gauges
gauges_of(const Relay *relay, int64_t now, bool running)
{
	const QueueStats *stats = &relay->figures.stats;
	bool fresh = FiguresAreFresh(&relay->figures, now);
	const char *fault = fault_of_sink(relay, now);
	Gauges gauges = {
		.in_flight = relay->sink->in_flight,
		.held = relay->held.unsent + relay->sink->in_flight + relay->results.count,
		.limit = ThrottleConcurrency(&relay->throttle),
		.running = running,
		.gateway_known = fault != NULL || relay->sink->reach != REACH_UNKNOWN,
		.gateway_up = fault == NULL,
		.database_up = fault_of_database(relay) == NULL,
		.reconnects = DatabaseReconnects(relay->work),
		.queue_known = fresh,
		.depth = stats->depth,
		.due = stats->due,
		.retrying = stats->retrying,
		.scheduled = stats->scheduled,
		.leased = stats->leased,
		.dead = stats->dead,
		.dead_5m = stats->dead_5m,
		.oldest_due_age = stats->oldest_due_age,
		.paused = stats->paused,
		.in_doubt = stats->in_doubt,
		.held_in_doubt = stats->held,
		.batches = relay->figures.batches,
		.batch_count = BatchesAreFresh(&relay->figures, now) ? relay->figures.batch_count : 0,
	};

	return gauges;
}

/*
 * Write the metrics; for status.c.
 */
static void
write_metrics(void *owner, Buffer *out)
{
	Gauges gauges = gauges_of(owner, ClockNow(), true);

	MetricsText(out, &gauges);
}

/*
 * Probe the sink, if it is time to.
 */
static void
probe(Relay *relay, int64_t now, int64_t *wake)
{
	Sink *sink = relay->sink;

	if (sink->reach == REACH_GOOD && !sink->is_away &&
		relay->probe_from < sink->heard_at + PROBE_INTERVAL)
		relay->probe_from = sink->heard_at + PROBE_INTERVAL;
	/* It has found out itself that it cannot be reached. */
	if (sink->is_away)
		relay->probe_from = Earlier(relay->probe_from, now + PROBE_AGAIN);
	if (now >= relay->probe_from)
	{
		sink->kind->probe(sink);
		relay->probe_from = now + PROBE_AGAIN;
	}
	*wake = Earlier(*wake, relay->probe_from);
}

/*
 * Let others see.  False, after saying why, if it is not possible where it is wanted.
 */
bool
WatchStart(Relay *relay)
{
	const Address *address = &relay->settings->listen;
	StatusSource source = {relay, health, write_metrics};

	return address->text[0] == '\0' || StatusStart(address, source);
}

/*
 * Do what there is to do now.
 */
void
WatchAdvance(Relay *relay, int64_t now, int64_t *wake)
{
	Gauges gauges;

	if (!RelayIsWatched(relay->settings))
		return;
	probe(relay, now, wake);
	StatusAdvance(now, wake);
	if (relay->settings->metrics_file == NULL)
		return;
	if (now >= relay->metrics_from)
	{
		gauges = gauges_of(relay, now, true);
		MetricsWrite(relay->settings->metrics_file, &gauges);
		relay->metrics_from = now + METRICS_INTERVAL;
	}
	*wake = Earlier(*wake, relay->metrics_from);
}

/*
 * Say that the relay ends.
 */
void
WatchEnd(Relay *relay)
{
	Gauges gauges = gauges_of(relay, ClockNow(), false);

	StatusEnd();
	if (relay->settings->metrics_file != NULL)
		MetricsWrite(relay->settings->metrics_file, &gauges);
}
