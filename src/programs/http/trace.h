/*
 * trace.h
 *		The trace that a request is a part of.
 */
#ifndef HTTP_TRACE_H
#define HTTP_TRACE_H

#include "base/trace_context.h"

struct MHD_Connection;

typedef struct RequestTrace
{
	char parent[TRACEPARENT_LEN + 1]; /* "": there is no trace */
	char state[TRACESTATE_MAXLEN + 1];
} RequestTrace;

extern RequestTrace *TraceRead(struct MHD_Connection *connection);

#endif
