/*
 * trace.h
 *		The trace that the delivery of an action is a part of.
 */
#ifndef RELAY_TRACE_H
#define RELAY_TRACE_H

#include <stdbool.h>

#include "base/trace_context.h"
#include "common/buffer.h"

typedef struct Trace
{
	char parent[TRACEPARENT_LEN + 1]; /* "": there is no trace */
	Buffer state;                     /* empty: none */
} Trace;

extern void TraceClear(Trace *trace);
extern bool TraceOfBody(Trace *trace, const char *body, size_t len);
extern bool TraceMake(Trace *trace);
extern char *TraceId(const Trace *trace);

#endif
