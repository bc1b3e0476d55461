/*
 * request.c
 *		Heads of requests to the HTTP server: each is refused with an answer in JSON, or has
 *		parameters that make a query in JSON.  What is sent is a body, too.
 *
 * The lines are the method, the URI, and headers, as far as there are lines.
 *
 * Sources: http/request.c http/body.c http/request_id.c http/parameters.c http/numbers.c http/routes.c http/credentials.c http/problem.c http/status_map.c common/json.c common/buffer.c common/clock.c common/nearest.c
 */
#include "fuzz.h"

#include <string.h>

#include "common/json.h"
#include "http/problem.h"
#include "http/request.h"

#define MAX_LINES 9

/* What is written into a URI is read from it. */
static void
encode_and_decode(const char *text)
{
	char *encoded = EncodeText(text);
	char *decoded = DecodeName(encoded, strlen(encoded));

	if (*text != '\0' && IsUtf8(text, strlen(text)))
		CHECK(decoded != NULL && strcmp(decoded, text) == 0);
	free(encoded);
	free(decoded);
}

/* What was asked for, as the database gets it. */
static void
check_query(Request *request)
{
	Buffer json = {0};
	const char *page = ParametersPage(request->route->takes);
	char *next;

	ParametersToQuery(&request->parameters, &json);
	CHECK(JsonIsValid(json.data, json.len));
	BufferFree(&json);
	for (int id = 0; id < NUM_OPTIONS; id++)
	{
		const char *value = request->parameters.values[id];

		CHECK(value == NULL || IsUtf8(value, strlen(value)));
	}
	if (page == NULL)
		return;
	next = ParametersNextPage(strchr(request->uri, '?'), page, "1");
	for (const char *c = next; *c != '\0'; c++)
		CHECK(*c > ' ' && *c <= '~' && *c != '>');
	free(next);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = Duplicate((const char *) data, size);
	char *lines[MAX_LINES] = {"", ""};
	RequestHeaders headers;
	Request *request;
	char *rest = text;

	for (int i = 0; i < MAX_LINES && rest != NULL; i++)
		lines[i] = strsep(&rest, "\n");
	headers = (RequestHeaders){.authorization = lines[2],
							   .x_api_key = lines[3],
							   .idempotency_key = lines[4],
							   .origin = lines[5],
							   .sec_fetch_site = lines[6],
							   .host = lines[7],
							   .accept = lines[8]};
	request = RequestNew(lines[1]);
	RequestRead(request, lines[0], &headers, size % 2 == 0);
	RequestTakeBody(request, (const char *) data, size, size);
	CHECK(strlen(request->body_start) < sizeof(request->body_start));
	if (request->answer.status == 0)
		RequestReadBody(request);
	if (request->answer.status != 0)
		CHECK(request->answer.status >= 400 && request->answer.status < 600 &&
			  JsonIsValid(request->answer.body.data, request->answer.body.len));
	else
		check_query(request);
	encode_and_decode(lines[1]);
	RequestFree(request);
	free(text);
	return 0;
}
