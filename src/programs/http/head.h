/*
 * head.h
 *		Heads of requests that are refused before it is looked at what is asked.
 */
#ifndef HEAD_H
#define HEAD_H

#include <stddef.h>

#include "base/error_codes.h"

struct MHD_Connection;

/* What a head may take up, and what the library is given for it and for the head of
 * the answer. */
#define MAX_HEAD (32 * 1024)
#define CONNECTION_MEMORY (36 * 1024)

typedef struct HeadFault
{
	ErrorCode code; /* CODE_NONE: the head is good */
	const char *text;
} HeadFault;

extern HeadFault HeadCheck(struct MHD_Connection *connection, const char *uri, size_t sent_len,
						   const char *url, const char *version, int max_body);

#endif
