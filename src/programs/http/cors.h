/*
 * cors.h
 *		Which web pages of other origins may use the interface (CORS).
 */
#ifndef CORS_H
#define CORS_H

#include <stdbool.h>

#include "common/options.h"

extern const char *ReadOrigins(const Option *option, const char *text, void *place);
extern bool OriginsHaveAll(const TextList *origins);
extern const char *OriginAllowed(const TextList *origins, const char *origin);

/* What a page may send, and what it may read of an answer. */
#define CORS_METHODS "GET, HEAD, POST, DELETE"
#define CORS_HEADERS \
	"Authorization, X-API-Key, Idempotency-Key, X-Request-Id, Accept, Content-Type, traceparent, " \
	"tracestate"
#define CORS_EXPOSED \
	"Acteon-Batch-Id, Acteon-Limit, Acteon-Next-Cursor, Idempotency-Replayed, Retry-After, X-Request-Id, Link, " \
	"Allow"
/* Seconds for which a browser need not ask again. */
#define CORS_MAX_AGE "600"

#endif
