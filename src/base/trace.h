/*
 * trace.h
 *		The trace that a session is a part of.
 */
#ifndef ACTEON_TRACE_H
#define ACTEON_TRACE_H

#include "base/trace_context.h"

extern bool SessionTrace(char traceparent[TRACEPARENT_LEN + 1], const char **tracestate);

#endif /* ACTEON_TRACE_H */
