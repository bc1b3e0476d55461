/*
 * sink.c
 *		Which sink the options ask for.
 */
#include "relay/sink.h"

#include "common/clock.h"
#include "common/log.h"
#include "relay/gateway.h"
#ifdef WITH_KAFKA
#include "relay/kafka.h"
#endif

/*
 * The kind of sink that was asked for.
 */
const SinkKind *
SinkKindOf(const Settings *settings)
{
#ifdef WITH_KAFKA
	if (settings->kafka_topic != NULL)
		return &kafka_sink;
#endif
	(void) settings;
	return &gateway_sink;
}

/*
 * Where it is, for the log.
 */
const char *
SinkPlace(const Settings *settings)
{
	return settings->sink != NULL ? settings->sink : settings->gateway_url;
}

/*
 * It has answered.
 */
void
SinkIsReached(Sink *sink)
{
	if (sink->reach == REACH_NONE)
		Log(LOG_INFO, "reached again", LogText("sink", sink->kind->name));
	sink->reach = REACH_GOOD;
	sink->heard_at = ClockNow();
}

/*
 * It has not answered a probe.  That is logged once, until it does again.
 */
void
SinkIsNotReached(Sink *sink, const char *why)
{
	if (sink->reach != REACH_NONE)
		Log(LOG_WARNING, "cannot be reached", LogText("sink", sink->kind->name),
			LogText("error", why));
	sink->reach = REACH_NONE;
}
