/*
 * sink.c
 *		Which sink the options ask for.
 */
#include "relay/sink.h"

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
