/*
 * trace.c
 *		Traces: what is taken for one can be sent on in headers.
 *
 * Sources: relay/trace.c common/buffer.c
 */
#include "fuzz.h"

#include <string.h>

#include "relay/trace.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = Duplicate((const char *) data, size);
	char parent[TRACEPARENT_LEN + 1];
	Trace trace = {0};

	if (TraceOfBody(&trace, text, size))
	{
		CHECK(ReadTraceparent(trace.parent, strlen(trace.parent), parent));
		CHECK(strcmp(parent, trace.parent) == 0);
		CHECK(trace.state.len == 0 || (IsTracestate(BufferText(&trace.state), trace.state.len) &&
									   strlen(trace.state.data) == trace.state.len));
	}
	else
		CHECK(trace.parent[0] == '\0' && trace.state.len == 0);
	if (ReadTraceparent(text, strlen(text), parent))
		CHECK(strlen(parent) == TRACEPARENT_LEN && strncmp(parent, "00-", 3) == 0);
	BufferFree(&trace.state);
	free(text);
	return 0;
}
