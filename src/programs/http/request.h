/*
 * request.h
 *		A request, from its head to its answer.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include "base/error_codes.h"
#include "common/buffer.h"
#include "http/credentials.h"
#include "http/parameters.h"
#include "http/pool.h"
#include "http/request_id.h"
#include "http/routes.h"
#include "http/trace.h"

/* What is sent back. */
typedef struct Answer
{
	int status; /* 0 while there is none */
	Buffer body;
	const char *media_type; /* NULL is JSON */
	const char *code;       /* of an error */
	const char *allow;      /* methods that the path takes */
	int retry_after;        /* seconds, 0 for none */
	char *batch_id;
	char *next_cursor;
	char *next_page;    /* its query string, after the ? */
	const char *etag;   /* of what a client may keep, NULL for what it may not */
	const char *policy; /* the Content-Security-Policy of a page, or NULL */
	bool is_repeated;   /* the first answer to this idempotency key */
} Answer;

typedef struct Request
{
	/* What was asked. */
	void *server;
	void *connection;
	char id[MAX_REQUEST_ID + 1];
	char *uri;       /* path and query, as they were sent */
	size_t sent_len; /* of all of it, with what stood before */
	char *method;
	const Route *route;
	char *name; /* in the path, decoded */
	Parameters parameters;
	bool has_key;
	unsigned char key_hash[SHA256_BYTES];
	RequestTrace *trace; /* NULL: it is a part of none */
	char *idempotency_key;
	unsigned char hash[SHA256_BYTES]; /* of all of it, to tell another one with the same key */
	const char *allowed_origin;       /* of the page that sent it, or NULL */
	size_t body_len;
	char body_start[4]; /* what is not blank of it, as far as it matters */
	Buffer body;        /* all of it, if parameters may stand there */
	bool keeps_body;    /* so far */
	bool is_refused;    /* answered at once, and the connection ends */

	/* What is done about it. */
	void (*when_answered)(struct Request *request); /* what to do when it has its answer */
	Job job;
	char *key_id; /* as the database writes it */
	char *key_name;
	Buffer query;
	bool is_begun;     /* a transaction is open that has to be ended */
	bool is_served;    /* the database was asked, or is about to be */
	bool is_suspended; /* the connection waits for us */
	bool is_abandoned; /* the client has gone */
	int64_t started;
	int64_t answered;

	/* Waiting for deliveries. */
	bool is_waiting;
	int64_t wait_from;
	int64_t wait_until;
	int64_t look_at;    /* NEVER while the database is being asked */
	int64_t look_delay; /* before the next but one */
	struct Request *next_waiting;

	Answer answer;
} Request;

/* Headers that are looked at: NULL for those that are not there. */
typedef struct RequestHeaders
{
	const char *authorization;
	const char *x_api_key;
	const char *idempotency_key;
	const char *origin;
	const char *sec_fetch_site;
	const char *host;
	const char *accept;
} RequestHeaders;

extern Request *RequestNew(const char *uri);
extern void RequestFree(Request *request);
extern void RequestRefuse(Request *request, const char *method, ErrorCode code, const char *text);
extern void RequestRead(Request *request, const char *method, const RequestHeaders *headers,
						bool allow_anonymous);
extern void RequestTakeBody(Request *request, const char *body, size_t len, size_t most);
extern const char *RequestMediaType(const Request *request);
extern void RequestReadBody(Request *request);
extern void RequestIsAnswered(Request *request);

#endif
