/*
 * head.c
 *		Heads of requests that are refused before it is looked at what is asked.
 *
 * The library is lenient: it takes heads that can be read in two ways, and what
 * stands between it and the client, a proxy, might read them in the other one and
 * see other requests than we do (RFC 9112, sections 3.2, 5.1 and 6).  And it takes
 * a head that leaves no memory for the answer's, which it finds out when all is
 * done.
 */
#include "http/head.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What the library keeps of each header and cookie beside its text, at most. */
#define MEMORY_PER_VALUE 64

typedef struct Headers
{
	size_t memory; /* beside the head itself */
	int hosts;
	int encodings;
	int lengths;
	const char *encoding;
	const char *length;
	bool has_bad_name;
} Headers;

/*
 * Look at a header.
 */
static enum MHD_Result
look_at(void *owner, enum MHD_ValueKind kind, const char *name, const char *value)
{
	Headers *headers = owner;

	(void) kind;
	for (const char *c = name; *c != '\0'; c++)
		headers->has_bad_name = headers->has_bad_name || *c <= ' ' || *c > '~';
	if (strcasecmp(name, "Host") == 0)
		headers->hosts++;
	else if (strcasecmp(name, "Transfer-Encoding") == 0)
	{
		headers->encodings++;
		headers->encoding = value;
	}
	else if (strcasecmp(name, "Content-Length") == 0)
	{
		headers->lengths++;
		headers->length = value;
	}
	else if (strcasecmp(name, "Cookie") == 0 && value != NULL)
		headers->memory += strlen(value) + 1; /* of which the library makes a copy */
	return MHD_YES;
}

/*
 * Is a URI free of blanks and control characters?  For the library it ends at a
 * zero byte, but the version stands behind all of it.
 */
static bool
uri_is_good(const char *uri, size_t sent_len, const char *url, const char *version)
{
	size_t gap = (size_t) ((uintptr_t) version - (uintptr_t) url);

	/* Somewhere else, it would tell nothing. */
	if (gap < CONNECTION_MEMORY && gap > sent_len + 1)
		return false;
	for (; *uri != '\0'; uri++)
	{
		if ((unsigned char) *uri <= ' ' || *uri == '\x7f')
			return false;
	}
	return true;
}

/*
 * Check a head: uri is what counts of the one that was sent, of that length; url and
 * version are what the library has made of it.  What is wrong is answered at once and
 * ends the connection, since nobody knows where the next request begins.
 */
HeadFault
HeadCheck(struct MHD_Connection *connection, const char *uri, size_t sent_len, const char *url,
		  const char *version, int max_body)
{
	Headers headers = {0};
	int values = MHD_get_connection_values(connection, MHD_HEADER_KIND, look_at, &headers);

	values +=
		MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND | MHD_COOKIE_KIND, NULL, NULL);
	headers.memory += (size_t) values * MEMORY_PER_VALUE;
	headers.memory +=
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
	if (headers.memory > MAX_HEAD)
		return (HeadFault){CODE_HEAD_TOO_LARGE, "the head of the request is too large"};
	if (!uri_is_good(uri, sent_len, url, version))
		return (HeadFault){CODE_BAD_REQUEST, "the URI has a blank or a control character in it"};
	if (headers.has_bad_name)
		return (HeadFault){CODE_BAD_REQUEST,
						   "a header's name has a blank or a control character in it"};
	if (headers.hosts > 1 || (headers.hosts == 0 && strcmp(version, "HTTP/1.0") != 0))
		return (HeadFault){CODE_BAD_REQUEST, "a request has one Host header"};
	if (headers.lengths + headers.encodings > 1)
		return (HeadFault){CODE_BAD_REQUEST,
						   "a request has one Content-Length or one Transfer-Encoding"};
	if (headers.encodings > 0 &&
		(headers.encoding == NULL || strcasecmp(headers.encoding, "chunked") != 0))
		return (HeadFault){CODE_BAD_REQUEST, "Transfer-Encoding: expected chunked"};
	if (headers.lengths > 0 && headers.length != NULL &&
		strtoll(headers.length, NULL, 10) > max_body)
		return (HeadFault){CODE_BODY_TOO_LARGE, "the body is too large"};
	return (HeadFault){0};
}
