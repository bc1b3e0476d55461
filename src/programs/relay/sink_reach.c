/*
 * sink_reach.c
 *		Whether a sink can be reached, as it finds out itself.
 */
#include "common/clock.h"
#include "common/log.h"
#include "relay/sink.h"

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
