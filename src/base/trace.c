/*
 * trace.c
 *		The trace that a session is a part of, as its settings say.
 */
#include "postgres.h"

#include "base/settings.h"
#include "base/trace.h"

/*
 * The trace of what the session does, as acteon_replay.traceparent and
 * acteon_replay.tracestate name it.  tracestate is set to NULL if there is none, and lives
 * until the setting changes.  Returns false if there is no trace: traces are for people who
 * look for a fault, so that one that is malformed must not stop a replay.
 */
bool
SessionTrace(char traceparent[TRACEPARENT_LEN + 1], const char **tracestate)
{
	*tracestate = NULL;
	if (Traceparent[0] == '\0' || !ReadTraceparent(Traceparent, strlen(Traceparent), traceparent))
		return false;
	if (IsTracestate(Tracestate, strlen(Tracestate)))
		*tracestate = Tracestate;
	return true;
}
