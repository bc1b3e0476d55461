/*
 * trace_context.h
 *		The context of a trace, as W3C's Trace Context has it (traceparent and
 *		tracestate); trace.c tells that of the session.
 *
 * The extension and the programs include it, so it needs none of the server's headers.
 */
#ifndef ACTEON_TRACE_CONTEXT_H
#define ACTEON_TRACE_CONTEXT_H

#include <stdbool.h>
#include <string.h>

/* version-trace id-parent id-flags, in hexadecimal */
#define TRACEPARENT_LEN 55
#define TRACE_ID_AT 3
#define TRACE_ID_LEN 32
#define PARENT_ID_AT 36
#define PARENT_ID_LEN 16
#define TRACE_FLAGS_AT 53

/* What everybody has to pass on of a tracestate. */
#define TRACESTATE_MAXLEN 512
#define TRACESTATE_MAX_MEMBERS 32

/*
 * Whether these bytes are lower-case hexadecimal digits, and not only zeros.
 */
static inline bool
IsTraceNumber(const char *text, size_t len, bool may_be_zero)
{
	return strspn(text, "0123456789abcdef") >= len && (may_be_zero || strspn(text, "0") < len);
}

/*
 * Read the first so many bytes of a text, which ends with a zero, as a traceparent, into
 * one of the version that we know.  A later version may have more at its end, which is
 * left out, as are flags that we do not know.  Returns false if it is malformed.
 */
static inline bool
ReadTraceparent(const char *text, size_t len, char traceparent[TRACEPARENT_LEN + 1])
{
	bool is_known = strncmp(text, "00", 2) == 0;

	if (len < TRACEPARENT_LEN || (len > TRACEPARENT_LEN && (is_known || text[55] != '-')) ||
		!IsTraceNumber(text, 2, true) || strncmp(text, "ff", 2) == 0 || text[2] != '-' ||
		!IsTraceNumber(text + TRACE_ID_AT, TRACE_ID_LEN, false) || text[35] != '-' ||
		!IsTraceNumber(text + PARENT_ID_AT, PARENT_ID_LEN, false) || text[52] != '-' ||
		!IsTraceNumber(text + TRACE_FLAGS_AT, 2, true))
		return false;
	memcpy(traceparent, text, TRACEPARENT_LEN);
	traceparent[TRACEPARENT_LEN] = '\0';
	memcpy(traceparent, "00", 2);
	if (!is_known)
	{
		/* The last bit is whether the caller has recorded the trace. */
		traceparent[TRACE_FLAGS_AT] = '0';
		traceparent[TRACE_FLAGS_AT + 1] =
			strchr("13579bdf", text[TRACE_FLAGS_AT + 1]) != NULL ? '1' : '0';
	}
	return true;
}

/*
 * Whether these bytes, without commas, are a member of a tracestate: a name and a value,
 * of printable ASCII characters.
 */
static inline bool
IsTracestateMember(const char *text, size_t len)
{
	const char *equals = (const char *) memchr(text, '=', len);

	for (size_t at = 0; at < len; at++)
	{
		if (text[at] < ' ' || text[at] > '~')
			return false;
	}
	return equals != NULL && equals > text && equals < text + len - 1;
}

/*
 * Whether the first so many bytes of a text are a tracestate that can be passed on: a
 * list of members.  There may be blanks and tabs around each, and places in the list may
 * be empty, but not all.
 */
static inline bool
IsTracestate(const char *text, size_t len)
{
	int members = 0;

	if (len > TRACESTATE_MAXLEN)
		return false;
	for (size_t at = 0, next; at < len; at = next)
	{
		size_t end = at;

		while (end < len && text[end] != ',')
			end++;
		next = end + 1;
		while (at < end && (text[at] == ' ' || text[at] == '\t'))
			at++;
		while (at < end && (text[end - 1] == ' ' || text[end - 1] == '\t'))
			end--;
		if (at == end)
			continue;
		if (!IsTracestateMember(text + at, end - at))
			return false;
		members++;
	}
	return members > 0 && members <= TRACESTATE_MAX_MEMBERS;
}

#endif /* ACTEON_TRACE_CONTEXT_H */
