/*
 * request.c
 *		A request, from its head to its answer.
 */
#include "http/request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/json.h"
#include "http/body.h"
#include "http/problem.h"

/* As acteon_api_begin has it. */
#define MAX_IDEMPOTENCY_KEY 255

/*
 * The path of a URI and what follows it.  Some clients send the whole URI, as to a
 * proxy, and a server has to take that (RFC 9112, section 3.2.2).
 */
static const char *
path_of(const char *uri)
{
	const char *host = strncasecmp(uri, "http://", 7) == 0    ? uri + 7
					   : strncasecmp(uri, "https://", 8) == 0 ? uri + 8
															  : NULL;

	return host != NULL ? host + strcspn(host, "/?") : uri;
}

/*
 * A request for a URI, as it was sent.
 */
Request *
RequestNew(const char *uri)
{
	Request *request = Allocate(sizeof(Request));

	*request = (Request){.uri = DuplicateText(path_of(uri)),
						 .sent_len = strlen(uri),
						 .started = ClockNow(),
						 .look_at = NEVER};
	RequestIdMake(request->id);
	return request;
}

/*
 * A request has its answer: have it sent.
 */
void
RequestIsAnswered(Request *request)
{
	request->when_answered(request);
}

/*
 * Give a request and its answer back.
 */
void
RequestFree(Request *request)
{
	free(request->uri);
	free(request->method);
	free(request->name);
	ParametersFree(&request->parameters);
	free(request->trace);
	free(request->idempotency_key);
	free(request->key_id);
	free(request->key_name);
	BufferFree(&request->query);
	BufferFree(&request->body);
	BufferFree(&request->answer.body);
	free(request->answer.batch_id);
	free(request->answer.next_cursor);
	free(request->answer.next_page);
	free(request);
}

/*
 * Read the parameters, of which all are there, and check them together.
 */
static void
read_parameters(Request *request)
{
	const char *query = strchr(request->uri, '?');
	CallSet takes = request->route->takes;
	char *wrong = ParametersRead(&request->parameters, query != NULL ? query + 1 : NULL, takes);

	if (wrong == NULL && RouteTakesBody(request->route))
		wrong = BodyRead(&request->parameters, &request->body, takes);
	if (wrong == NULL)
		wrong = ParametersComplete(&request->parameters, takes);
	if (wrong != NULL)
		AnswerProblem(request,
					  request->parameters.fault != CODE_NONE ? request->parameters.fault
															 : CODE_INVALID_PARAMETER,
					  wrong, NULL, NULL);
	else if (ParameterIsTrue(&request->parameters, OPTION_NO_DRY_RUN))
		AnswerProblem(
			request, CODE_MISPLACED_PARAMETER,
			"dry_run: a single action is replayed or not, only bulk replays have a preview", NULL,
			NULL);
	free(wrong);
}

/*
 * Take the idempotency key, which only a request that changes something can have.  The draft
 * draft-ietf-httpapi-idempotency-key-header writes it as a quoted string; most
 * clients do not.
 */
static void
take_idempotency_key(Request *request, const char *key)
{
	size_t len = key != NULL ? strlen(key) : 0;
	Buffer all = {0};

	if (key == NULL || !RouteChanges(request->route))
		return;
	if (len >= 2 && key[0] == '"' && key[len - 1] == '"')
	{
		key++;
		len -= 2;
	}
	if (len == 0 || len > MAX_IDEMPOTENCY_KEY || !IsUtf8(key, len))
	{
		AnswerCode(request, CODE_BAD_IDEMPOTENCY_KEY);
		return;
	}
	request->idempotency_key = Duplicate(key, len);
	BufferPrint(&all, "%s %s", request->method, request->uri);
	Sha256(all.data, all.len, request->hash);
	BufferFree(&all);
}

/* The formats of items, and their media types. */
static const struct
{
	const char *format;
	const char *accepted; /* what a client that accepts it names */
	const char *media_type;
} formats[] = {
	{ITEM_FORMAT_JSON, "application/json", NULL},
	{ITEM_FORMAT_LINES, "application/x-ndjson", "application/x-ndjson"},
	{ITEM_FORMAT_CSV, "text/csv", "text/csv; charset=utf-8; header=present"},
};

/*
 * Where a name stands in a text, in any case; NULL: nowhere.
 */
static const char *
find_name(const char *text, const char *name)
{
	for (; *text != '\0'; text++)
	{
		if (strncasecmp(text, name, strlen(name)) == 0)
			return text;
	}
	return NULL;
}

/*
 * Choose the format of items by what the client accepts, if it has not said: the first
 * one that Accept names, else JSON.
 */
static void
choose_format(Request *request, const char *accept)
{
	char **format = &request->parameters.values[OPTION_ITEM_FORMAT];
	const char *first = NULL;

	if ((request->route->takes & CALL_HTTP_ITEMS) == 0 || *format != NULL)
		return;
	*format = DuplicateText(ITEM_FORMAT_JSON);
	for (size_t i = 0; accept != NULL && i < sizeof(formats) / sizeof(formats[0]); i++)
	{
		const char *place = find_name(accept, formats[i].accepted);

		if (place == NULL || (first != NULL && first < place))
			continue;
		first = place;
		free(*format);
		*format = DuplicateText(formats[i].format);
	}
}

/*
 * The media type of a good answer; NULL is JSON.
 */
const char *
RequestMediaType(const Request *request)
{
	const char *format = request->parameters.values[OPTION_ITEM_FORMAT];

	for (size_t i = 0; format != NULL && i < sizeof(formats) / sizeof(formats[0]); i++)
	{
		if (strcmp(format, formats[i].format) == 0)
			return formats[i].media_type;
	}
	return NULL;
}

/*
 * Is it the name of this machine for itself, perhaps with a port?
 */
static bool
is_loopback_name(const char *host)
{
	size_t len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");

	return (len == 9 && strncasecmp(host, "localhost", len) == 0) ||
		   (len == 5 && strncmp(host, "[::1]", len) == 0) ||
		   (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == len);
}

/*
 * Could a web page have made a browser send this request?  Then anyone who opens
 * the page would send anonymous requests on behalf of its author.  Origin and
 * Sec-Fetch-Site reveal the page; Host reveals one whose name was made to
 * resolve to the loopback.
 */
static bool
is_from_web_page(const RequestHeaders *headers)
{
	const char *site = headers->sec_fetch_site;

	return headers->origin != NULL || headers->host == NULL || !is_loopback_name(headers->host) ||
		   (site != NULL && strcmp(site, "none") != 0 && strcmp(site, "same-origin") != 0);
}

/*
 * A piece of the body has come.  Anybody can send one, so no more is kept than it may have, and
 * nothing of one that is too long.
 */
void
RequestTakeBody(Request *request, const char *body, size_t len, size_t most)
{
	size_t used = strlen(request->body_start);

	request->body_len += len;
	if (request->body_len > most || request->answer.status != 0)
	{
		BufferFree(&request->body);
		request->keeps_body = false;
	}
	if (request->keeps_body)
		BufferAppend(&request->body, body, len);
	for (size_t i = 0; i < len && used < sizeof(request->body_start) - 1; i++)
	{
		if (strchr(" \t\r\n", body[i]) == NULL || body[i] == '\0')
			request->body_start[used++] = body[i] != '\0' ? body[i] : '?';
	}
}

/*
 * All of the body is there: read the parameters in it.  Of a request that changes something
 * all parameters are in the query string, and a client that writes filters into the body must
 * not get a replay without any.  If something is wrong, that is the answer.
 */
void
RequestReadBody(Request *request)
{
	bool is_empty = request->body_start[0] == '\0' || strcmp(request->body_start, "{}") == 0;

	if (RouteTakesBody(request->route))
		read_parameters(request);
	else if (RouteChanges(request->route) && !is_empty)
		AnswerCode(request, CODE_BODY_NOT_EMPTY);
}

/*
 * A request whose head is so malformed that none of it can be used.
 */
void
RequestRefuse(Request *request, const char *method, ErrorCode code, const char *text)
{
	request->method = DuplicateText(method);
	request->is_refused = true;
	AnswerProblem(request, code, text, NULL, NULL);
}

/*
 * Read the head of a request.  If something is wrong with it, that is the answer.
 */
void
RequestRead(Request *request, const char *method, const RequestHeaders *headers,
			bool allow_anonymous)
{
	Buffer name = {0};
	RouteFound found;
	bool shows_key = CredentialsHash(headers->authorization, headers->x_api_key, request->key_hash);

	request->method = DuplicateText(method);
	found = RouteFind(method, request->uri, &request->route, &name);
	request->has_key = shows_key || !allow_anonymous;
	if (found == ROUTE_OF_GATEWAY)
		AnswerCode(request, CODE_NOT_IMPLEMENTED);
	else if (found == ROUTE_NO_PATH)
		AnswerCode(request, CODE_NO_PATH);
	else if (found == ROUTE_NO_METHOD)
	{
		AnswerCode(request, CODE_METHOD_NOT_ALLOWED);
		request->answer.allow = RouteMethods(request->route);
	}
	else if ((request->name = DecodeName(BufferText(&name), name.len)) == NULL)
		AnswerCode(request, CODE_BAD_PATH);
	else if (!request->has_key && request->route->kind == ROUTE_CALL && is_from_web_page(headers))
		AnswerCode(request, CODE_FROM_WEB_PAGE);
	else
	{
		if (!RouteTakesBody(request->route))
			read_parameters(request);
		choose_format(request, headers->accept);
		if (request->answer.status == 0)
			take_idempotency_key(request, headers->idempotency_key);
		/* Who needs a key and shows none is refused, whatever the body says. */
		request->keeps_body = request->answer.status == 0 && RouteTakesBody(request->route) &&
							  (shows_key || allow_anonymous);
	}
	BufferFree(&name);
}
