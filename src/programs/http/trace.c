/*
 * trace.c
 *		The trace that a request is a part of: W3C's headers traceparent and
 *		tracestate.
 *
 * We make no spans of our own, so they are passed on as they are: what the gateway does
 * is a child of what the client has done.
 */
#include "http/trace.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <strings.h>

#include "common/buffer.h"

typedef struct Found
{
	const char *parent;
	int parents;
	Buffer state;
} Found;

/*
 * Look at a header.  A tracestate may come in parts.
 */
static enum MHD_Result
look_at(void *owner, enum MHD_ValueKind kind, const char *name, const char *value)
{
	Found *found = owner;

	(void) kind;
	if (value == NULL)
		return MHD_YES;
	if (strcasecmp(name, "traceparent") == 0)
	{
		found->parent = value;
		found->parents++;
	}
	else if (strcasecmp(name, "tracestate") == 0 && *value != '\0' &&
			 found->state.len <= TRACESTATE_MAXLEN)
	{
		BufferAppendText(&found->state, found->state.len > 0 ? "," : "");
		BufferAppendText(&found->state, value);
	}
	return MHD_YES;
}

/*
 * The trace that a request says it is a part of, which the caller frees; NULL if it says
 * none, or what it says is malformed.
 */
RequestTrace *
TraceRead(struct MHD_Connection *connection)
{
	Found found = {0};
	RequestTrace *trace = NULL;

	MHD_get_connection_values(connection, MHD_HEADER_KIND, look_at, &found);
	if (found.parents == 1)
	{
		trace = Allocate(sizeof(RequestTrace));
		if (!ReadTraceparent(found.parent, strlen(found.parent), trace->parent))
		{
			free(trace);
			trace = NULL;
		}
		else if (IsTracestate(BufferText(&found.state), found.state.len))
			memcpy(trace->state, found.state.data, found.state.len);
	}
	BufferFree(&found.state);
	return trace;
}
