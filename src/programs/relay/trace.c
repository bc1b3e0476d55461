/*
 * trace.c
 *		The trace that the delivery of an action is a part of.
 *
 * An action that was replayed in a trace has it at its end, as trace_context.  The
 * gateway takes it from there as little as from anybody, but from the headers of the
 * request.
 */
#include "relay/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#define START ", \"trace_context\": {\"traceparent\": \""
#define STATE ", \"tracestate\": \""
#define CREATED_AT ", \"created_at\": \""

/* Behind the start there is no more than this: a tracestate of which each character is
 * escaped, the time, and what stands between them. */
#define MAX_TAIL (sizeof(START) + TRACEPARENT_LEN + sizeof(STATE) + 2 * TRACESTATE_MAXLEN + 100)

/*
 * There is no trace.
 */
void
TraceClear(Trace *trace)
{
	trace->parent[0] = '\0';
	BufferClear(&trace->state);
}

/*
 * Go past a text in another one.  False, if it does not stand there.
 */
static bool
skip(const char **at, const char *end, const char *text)
{
	size_t len = strlen(text);

	if ((size_t) (end - *at) < len || memcmp(*at, text, len) != 0)
		return false;
	*at += len;
	return true;
}

/*
 * Read a JSON string, of printable ASCII characters and tabs, to its end.
 */
static bool
read_state(const char **at, const char *end, Buffer *state)
{
	while (*at < end && **at != '"')
	{
		bool escaped = **at == '\\';

		if (escaped && ++(*at) == end)
			return false;
		BufferAppendChar(state, escaped && **at == 't' ? '\t' : **at);
		(*at)++;
	}
	return skip(at, end, "\"") && IsTracestate(BufferText(state), state->len);
}

/*
 * Read what stands behind the start, to the end of the body.  In a payload the same
 * words have something else behind them.
 */
static bool
read_tail(Trace *trace, const char *at, const char *end)
{
	if (end - at < TRACEPARENT_LEN || !ReadTraceparent(at, TRACEPARENT_LEN, trace->parent))
		return false;
	at += TRACEPARENT_LEN;
	if (!skip(&at, end, "\""))
		return false;
	if (skip(&at, end, STATE) && !read_state(&at, end, &trace->state))
		return false;
	if (!skip(&at, end, "}" CREATED_AT))
		return false;
	at = memchr(at, '"', (size_t) (end - at));
	return at != NULL && skip(&at, end, "\"}") && at == end;
}

/*
 * Read the trace of an action from its body, which ends with a zero.  Returns whether it
 * has one.
 */
bool
TraceOfBody(Trace *trace, const char *body, size_t len)
{
	size_t tail = len < MAX_TAIL ? len : MAX_TAIL;
	const char *start = memmem(body + len - tail, tail, START, strlen(START));

	TraceClear(trace);
	for (const char *next = start; next != NULL;
		 next = memmem(next + 1, (size_t) (body + len - next - 1), START, strlen(START)))
		start = next;
	if (start != NULL && read_tail(trace, start + strlen(START), body + len))
		return true;
	TraceClear(trace);
	return false;
}

/*
 * Make a trace, of which this is the beginning.  False if there are no random bytes.
 */
bool
TraceMake(Trace *trace)
{
	unsigned char bytes[(TRACE_ID_LEN + PARENT_ID_LEN) / 2];
	char *at = trace->parent;

	TraceClear(trace);
	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	/* All zeros would be no id. */
	bytes[0] |= 1;
	bytes[TRACE_ID_LEN / 2] |= 1;
	at += sprintf(at, "00-");
	for (size_t i = 0; i < sizeof(bytes); i++)
		at += sprintf(at, i == TRACE_ID_LEN / 2 ? "-%02x" : "%02x", bytes[i]);
	sprintf(at, "-01");
	return true;
}

/*
 * The id of the trace, for the log, which the caller frees; NULL: there is none.
 */
char *
TraceId(const Trace *trace)
{
	return trace->parent[0] != '\0' ? Duplicate(trace->parent + TRACE_ID_AT, TRACE_ID_LEN) : NULL;
}
