/*
 * gateway.c
 *		Requests to the gateway.
 *
 * As many requests as may be in flight are made once and reused;
 * only the body changes from one to the next.  Connections are kept alive by
 * libcurl.
 *
 * Each request is sent at most once.  By itself, libcurl repeats one, up to
 * five times, when a connection that was used before ends without a byte of an
 * answer; the gateway may have executed the first by then.  So it is stopped
 * before it writes a second time, and what is known depends on how much was sent.
 *
 * How long an answer may take is counted here and not by libcurl, which looks at
 * its clock before it looks at the socket: after a stall of this program or its
 * machine, answers that have long arrived would be thrown away.
 */
#include "relay/gateway.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/secret.h"
#include "relay/easy.h"

#define DISPATCH_PATH "/v1/dispatch"
#define HEALTH_PATH "/health"

/* How long a probe may take. */
#define PROBE_TIME (5 * SECOND)

/* How often an overdue request that has something to read is checked. */
#define MAX_LAST_READS 200

typedef struct Gateway Gateway;

typedef struct Request
{
	struct Request *next; /* among the free ones, or those in flight */
	struct Request *previous;
	Gateway *gateway;
	CURL *easy;
	Headers *headers;
	bool is_traced;              /* they have those of a trace before them */
	struct curl_slist traced[2]; /* which are these */
	Buffer trace_text[2];
	Buffer body; /* of the answer */
	bool too_large;
	Action *action; /* NULL while it is free */
	size_t len;     /* of its own body */
	size_t given;   /* how much of it was handed over, piece by piece */
	const char *own_body;
	bool begun;      /* writing it has begun */
	bool broken_off; /* it would have been written a second time */
	int64_t sent_at;
	int64_t deadline; /* by the loop's own time */
	char error[EASY_ERROR_SIZE];
} Request;

struct Gateway
{
	Sink sink;
	const char *key_file; /* NULL: none */
	CURLM *multi;
	LoopTimer timer;
	LoopTimer deadline; /* of the first in flight */
	int64_t patience;   /* how long an answer may take */
	CURLU *url;         /* parsed once; NULL where each request has to */
	Headers *headers;
	int count;
	Request *requests;
	Request *free;
	Request *first; /* in flight, in the order of their deadlines */
	Request *last;
	CURL *probe;  /* a request that asks whether it can be reached */
	bool probing; /* it is under way */
	char probe_error[EASY_ERROR_SIZE];
};

/*
 * Give the present headers to a request that is not in flight.
 */
static void
use_headers(Request *request, Headers *headers)
{
	if (request->headers == headers)
		return;
	headers->users++;
	SET(request->easy, CURLOPT_HTTPHEADER, headers->list);
	HeadersRelease(request->headers);
	request->headers = headers;
	request->is_traced = false;
}

/*
 * Have the trace of an action, if it has one, sent in headers, before those of all
 * requests.
 */
static void
use_trace(Request *request, const Trace *trace)
{
	bool has_state = trace->state.len > 0;

	if (trace->parent[0] != '\0')
	{
		for (int i = 0; i < 2; i++)
			BufferClear(&request->trace_text[i]);
		BufferPrint(&request->trace_text[0], "traceparent: %s", trace->parent);
		BufferAppendText(&request->trace_text[1], "tracestate: ");
		BufferAppend(&request->trace_text[1], trace->state.data, trace->state.len);
		request->traced[0].data = request->trace_text[0].data;
		request->traced[0].next = has_state ? &request->traced[1] : request->headers->list;
		request->traced[1].data = request->trace_text[1].data;
		request->traced[1].next = request->headers->list;
		SET(request->easy, CURLOPT_HTTPHEADER, request->traced);
		request->is_traced = true;
	}
	else if (request->is_traced)
	{
		SET(request->easy, CURLOPT_HTTPHEADER, request->headers->list);
		request->is_traced = false;
	}
}

/*
 * Take a part of an answer's body.  Taking less than all of it interrupts the request.
 */
static size_t
take_body(char *data, size_t size, size_t count, void *owner)
{
	Request *request = owner;

	if (count > MAX_ANSWER - request->body.len)
	{
		request->too_large = true;
		return 0;
	}
	BufferAppend(&request->body, data, size * count);
	return size * count;
}

/*
 * Why there is no whole answer.
 */
static const char *
describe_failure(Request *request, CURLcode code)
{
	if (request->too_large)
		return "the answer is larger than 1 MiB";
	if (request->broken_off)
		return "the connection was closed before an answer came";
	EasyDescribe(request->easy, code, request->error);
	return request->error;
}

/*
 * Is this how a request fails that was being written, or whose answer was read?
 * Any other failure may be one of a second start: libcurl connects once more by
 * itself where a kept connection has ended without an answer.
 */
static bool
is_of_exchange(CURLcode code)
{
	return code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING;
}

/*
 * How much was sent of a request that has no complete answer.  Only what was written
 * counts as sent, and a request whose last byte was not written cannot have been read
 * to its end.  After a second start libcurl's count may have begun anew, and is no
 * longer meaningful.
 */
static Sent
how_much_was_sent(Request *request, CURLcode code)
{
	curl_off_t written = 0;

	if (!request->begun)
		return SENT_NOTHING;
	if (request->broken_off || !is_of_exchange(code) ||
		curl_easy_getinfo(request->easy, CURLINFO_SIZE_UPLOAD_T, &written) != CURLE_OK ||
		written >= (curl_off_t) request->len)
		return SENT_WHOLE;
	return written > 0 ? SENT_PART : SENT_NOTHING;
}

/*
 * Does an answer say that it is JSON?
 */
static bool
says_json(Request *request)
{
	static const char json[] = "application/json";
	const char *type = NULL;

	return curl_easy_getinfo(request->easy, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK &&
		   type != NULL && strncasecmp(type, json, sizeof(json) - 1) == 0 &&
		   strchr("; \t", type[sizeof(json) - 1]) != NULL;
}

/*
 * The next deadline is that of the first in flight.
 */
static void
set_deadline(Gateway *gateway)
{
	gateway->deadline.due =
		gateway->first == NULL ? NEVER : ClockNow() + gateway->first->deadline - LoopTime();
}

/*
 * Put a request behind those in flight; all are given the same time.
 */
static void
enter_flight(Gateway *gateway, Request *request)
{
	request->next = NULL;
	request->previous = gateway->last;
	if (gateway->last != NULL)
		gateway->last->next = request;
	else
		gateway->first = request;
	gateway->last = request;
	gateway->sink.in_flight++;
	if (gateway->first == request)
		set_deadline(gateway);
}

/*
 * Take one out that is over.
 */
static void
leave_flight(Gateway *gateway, Request *request)
{
	bool was_first = gateway->first == request;

	if (request->previous != NULL)
		request->previous->next = request->next;
	else
		gateway->first = request->next;
	if (request->next != NULL)
		request->next->previous = request->previous;
	else
		gateway->last = request->previous;
	gateway->sink.in_flight--;
	if (was_first)
		set_deadline(gateway);
}

/*
 * Tell the owner of a request what came back; or, with a reason of ours, that
 * the wait is over.
 */
static void
finish(Request *request, CURLcode code, const char *why)
{
	Gateway *gateway = request->gateway;
	Answer answer = {.body = BufferText(&request->body), .len = request->body.len};
	curl_off_t retry_after = 0;
	CURLMcode removed = curl_multi_remove_handle(gateway->multi, request->easy);

	EasyMust(removed == CURLM_OK, "curl_multi_remove_handle", curl_multi_strerror(removed));
	if (why != NULL || code != CURLE_OK)
	{
		answer.failure = why != NULL ? why : describe_failure(request, code);
		answer.sent = how_much_was_sent(request, code);
	}
	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &answer.status);
	if (answer.status == 429 || answer.status == 503)
		curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &retry_after);
	if (answer.status == 500)
		answer.is_json = says_json(request);
	answer.retry_after = Earlier(retry_after, 24 * 3600) * SECOND;
	leave_flight(gateway, request);
	gateway->sink.handlers.answered(gateway->sink.handlers.owner, request->action, &answer,
									ClockNow() - request->sent_at);
	request->action = NULL;
	if (request->body.size > 64 * 1024)
		BufferFree(&request->body);
	request->next = gateway->free;
	gateway->free = request;
}

/*
 * A probe has its answer, or none.  Whatever the gateway itself answers shows that it is
 * there; a proxy without it answers 502, 503 or 504.
 */
static void
probed(Gateway *gateway, CURLcode code)
{
	CURLMcode removed = curl_multi_remove_handle(gateway->multi, gateway->probe);
	long status = 0;
	char why[40];

	EasyMust(removed == CURLM_OK, "curl_multi_remove_handle", curl_multi_strerror(removed));
	gateway->probing = false;
	curl_easy_getinfo(gateway->probe, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_OK && status != 502 && status != 503 && status != 504)
		SinkIsReached(&gateway->sink);
	else if (code == CURLE_OK)
	{
		snprintf(why, sizeof(why), "it answers %ld", status);
		SinkIsNotReached(&gateway->sink, why);
	}
	else
	{
		EasyDescribe(gateway->probe, code, gateway->probe_error);
		SinkIsNotReached(&gateway->sink, gateway->probe_error);
	}
}

/*
 * Let libcurl do its part, and take the requests that are done.
 */
static void
act(Gateway *gateway, curl_socket_t fd, int what)
{
	int running;
	int left;
	CURLMsg *message;
	CURLMcode code = curl_multi_socket_action(gateway->multi, fd, what, &running);

	EasyMust(code == CURLM_OK, "curl_multi_socket_action", curl_multi_strerror(code));
	while ((message = curl_multi_info_read(gateway->multi, &left)) != NULL)
	{
		Request *request = NULL;
		CURLcode result = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		if (message->easy_handle == gateway->probe)
		{
			probed(gateway, result);
			continue;
		}
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
		finish(request, result, NULL);
	}
}

/*
 * A socket is ready.
 */
static void
socket_ready(void *owner, int fd, uint32_t events)
{
	int what = 0;

	if ((events & (EPOLLIN | EPOLLHUP)) != 0)
		what |= CURL_CSELECT_IN;
	if ((events & EPOLLOUT) != 0)
		what |= CURL_CSELECT_OUT;
	if ((events & EPOLLERR) != 0)
		what |= CURL_CSELECT_ERR;
	act(owner, fd, what);
}

/*
 * libcurl says which sockets to wait for.
 */
static int
want_socket(CURL *easy, curl_socket_t fd, int what, void *owner, void *socket)
{
	uint32_t events = 0;

	(void) easy;
	(void) socket;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= EPOLLOUT;
	LoopWatch(fd, events, socket_ready, owner);
	return 0;
}

/*
 * libcurl says when to call it.
 */
static int
want_timer(CURLM *multi, long timeout, void *owner)
{
	(void) multi;
	((Gateway *) owner)->timer.due = timeout < 0 ? NEVER : ClockNow() + timeout * MILLISECOND;
	return 0;
}

/*
 * libcurl's timer has expired.
 */
static void
timer_expired(void *owner)
{
	act(owner, CURL_SOCKET_TIMEOUT, 0);
}

/*
 * Read what has arrived for a request.  Returns whether that was its end.
 */
static bool
read_to_the_end(Gateway *gateway, Request *request)
{
	const Action *action = request->action;
	curl_socket_t fd = CURL_SOCKET_BAD;

	for (int i = 0; i < MAX_LAST_READS; i++)
	{
		struct pollfd ready = {.events = POLLIN};

		if (curl_easy_getinfo(request->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
			fd == CURL_SOCKET_BAD)
			return false;
		ready.fd = fd;
		if (poll(&ready, 1, 0) <= 0)
			return false;
		act(gateway, fd, CURL_CSELECT_IN);
		if (request->action != action)
			return true;
	}
	return false;
}

/*
 * The first requests have waited long enough, unless their answers have arrived and
 * have merely not been read yet.
 */
static void
deadline_passed(void *owner)
{
	Gateway *gateway = owner;
	char why[80];
	int64_t now = LoopTime();

	snprintf(why, sizeof(why), "no answer within %lld ms: the time-out",
			 (long long) (gateway->patience / MILLISECOND));
	while (gateway->first != NULL && gateway->first->deadline <= now)
	{
		Request *request = gateway->first;

		if (!read_to_the_end(gateway, request))
			finish(request, CURLE_OK, why);
	}
	set_deadline(gateway);
}

#if LIBCURL_VERSION_NUM >= 0x075000

/*
 * libcurl is about to write a request.  The first time it may.
 */
static int
about_to_write(void *owner, char *peer, char *local, int peer_port, int local_port)
{
	Request *request = owner;

	(void) peer;
	(void) local;
	(void) peer_port;
	(void) local_port;
	request->broken_off = request->begun;
	request->begun = true;
	return request->broken_off ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/*
 * Have the body of a request sent, and no second time.
 */
static void
use_body(Request *request, const char *body, size_t len)
{
	SET(request->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) len);
	SET(request->easy, CURLOPT_POSTFIELDS, body);
	SET(request->easy, CURLOPT_PREREQFUNCTION, about_to_write);
	SET(request->easy, CURLOPT_PREREQDATA, request);
}

#else

/*
 * Give libcurl a piece of the body.  Older ones do not say when they write, so
 * they have to ask for what they write.
 */
static size_t
give_body(char *data, size_t size, size_t count, void *owner)
{
	Request *request = owner;
	size_t len = request->len - request->given;

	len = len < size * count ? len : size * count;
	memcpy(data, request->own_body + request->given, len);
	request->given += len;
	request->begun = true;
	return len;
}

/*
 * libcurl wants to write the body once more from the start.  It may do so only if it
 * has not been given any of it.
 */
static int
rewind_body(void *owner, curl_off_t offset, int origin)
{
	Request *request = owner;

	(void) offset;
	(void) origin;
	request->broken_off = request->given > 0;
	return request->broken_off ? CURL_SEEKFUNC_FAIL : CURL_SEEKFUNC_OK;
}

/*
 * Have the body of a request sent, and no second time.
 */
static void
use_body(Request *request, const char *body, size_t len)
{
	request->own_body = body;
	SET(request->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) len);
	SET(request->easy, CURLOPT_READFUNCTION, give_body);
	SET(request->easy, CURLOPT_READDATA, request);
	SET(request->easy, CURLOPT_SEEKFUNCTION, rewind_body);
	SET(request->easy, CURLOPT_SEEKDATA, request);
}

#endif

/*
 * Make one request that will be used for many actions.
 */
static void
make_request(Gateway *gateway, const Settings *settings, Request *request)
{
	request->gateway = gateway;
	request->easy = EasyMake(settings, DISPATCH_PATH);
	SET(request->easy, CURLOPT_POST, 1L);
	SET(request->easy, CURLOPT_PRIVATE, request);
	SET(request->easy, CURLOPT_WRITEDATA, request);
	SET(request->easy, CURLOPT_ERRORBUFFER, request->error);
	SET(request->easy, CURLOPT_WRITEFUNCTION, take_body);
	if (gateway->url != NULL)
		SET(request->easy, CURLOPT_CURLU, gateway->url);
	EasyUseLoop(request->easy);
	use_headers(request, gateway->headers);
	request->next = gateway->free;
	gateway->free = request;
}

/*
 * Read the key for the gateway, if there is a file for it.  False, with an error
 * logged, if it is wrong.
 */
static bool
read_key(const Gateway *gateway, Buffer *key)
{
	char *error = NULL;

	*key = (Buffer){0};
	if (gateway->key_file == NULL || SecretReadApiKey(gateway->key_file, key, &error))
		return true;
	Log(LOG_ERROR, "cannot read a key file", LogText("error", error));
	free(error);
	return false;
}

/*
 * Parse the address of all requests, which libcurl would do anew for each of them:
 * that is a tenth of what a request costs here.  What it does not accept is left to it
 * to complain about.
 */
static CURLU *
parse_url(const Settings *settings)
{
	CURLU *url = curl_url();
	char *text = Format("%s%s", settings->gateway_url, DISPATCH_PATH);

	if (url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
	{
		curl_url_cleanup(url);
		url = NULL;
	}
	free(text);
	return url;
}

/*
 * Make the requests, as many as may be in flight.
 */
static void
make_requests(Gateway *gateway, const Settings *settings)
{
	gateway->count = settings->concurrency;
	gateway->requests = Allocate(gateway->count * sizeof(Request));
	for (int i = 0; i < gateway->count; i++)
		make_request(gateway, settings, &gateway->requests[i]);
}

/*
 * Take a part of the answer to a probe, of which only the status counts.
 */
static size_t
ignore_body(char *data, size_t size, size_t count, void *owner)
{
	(void) data;
	(void) owner;
	return size * count;
}

/*
 * Make the request that asks whether the gateway can be reached.  It needs no key.
 */
static void
make_probe(Gateway *gateway, const Settings *settings)
{
	int64_t patience = Earlier(settings->request_timeout, PROBE_TIME);

	gateway->probe = EasyMake(settings, HEALTH_PATH);
	SET(gateway->probe, CURLOPT_WRITEFUNCTION, ignore_body);
	SET(gateway->probe, CURLOPT_ERRORBUFFER, gateway->probe_error);
	SET(gateway->probe, CURLOPT_TIMEOUT_MS, (long) (patience / MILLISECOND));
	EasyUseLoop(gateway->probe);
}

/*
 * Get ready to send.
 */
static Sink *
open_gateway(const Settings *settings, SinkHandlers handlers)
{
	Gateway *gateway = Allocate(sizeof(Gateway));
	Buffer key;

	gateway->sink = (Sink){.kind = &gateway_sink, .handlers = handlers};
	gateway->key_file = settings->api_key_file;
	if (gateway->key_file != NULL)
		SecretWarnIfExposed(gateway->key_file);
	if (!read_key(gateway, &key))
	{
		free(gateway);
		return NULL;
	}
	gateway->multi = curl_multi_init();
	EasyMust(gateway->multi != NULL, "curl_multi_init", "out of memory");
	SET_MULTI(gateway->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	SET_MULTI(gateway->multi, CURLMOPT_SOCKETDATA, gateway);
	SET_MULTI(gateway->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	SET_MULTI(gateway->multi, CURLMOPT_TIMERDATA, gateway);
	SET_MULTI(gateway->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING);
	SET_MULTI(gateway->multi, CURLMOPT_MAXCONNECTS, (long) settings->concurrency);
	gateway->timer = (LoopTimer){timer_expired, gateway, NEVER, NULL};
	LoopAddTimer(&gateway->timer);
	gateway->deadline = (LoopTimer){deadline_passed, gateway, NEVER, NULL};
	LoopAddPatientTimer(&gateway->deadline);
	gateway->patience = settings->request_timeout;
	gateway->headers = HeadersMake(&key);
	BufferWipe(&key);
	gateway->url = parse_url(settings);
	make_requests(gateway, settings);
	make_probe(gateway, settings);
	return &gateway->sink;
}

/*
 * Break off what is in flight, without telling anybody, and close everything.
 */
static void
close_gateway(Sink *sink)
{
	Gateway *gateway = (Gateway *) sink;

	for (int i = 0; i < gateway->count; i++)
	{
		Request *request = &gateway->requests[i];

		if (request->action != NULL)
			curl_multi_remove_handle(gateway->multi, request->easy);
		curl_easy_cleanup(request->easy);
		HeadersRelease(request->headers);
		BufferFree(&request->body);
		for (int n = 0; n < 2; n++)
			BufferFree(&request->trace_text[n]);
	}
	if (gateway->probing)
		curl_multi_remove_handle(gateway->multi, gateway->probe);
	curl_easy_cleanup(gateway->probe);
	curl_multi_cleanup(gateway->multi);
	HeadersRelease(gateway->headers);
	curl_url_cleanup(gateway->url);
	LoopRemoveTimer(&gateway->timer);
	LoopRemoveTimer(&gateway->deadline);
	free(gateway->requests);
	free(gateway);
}

/*
 * Read the key again, and use it from the next request on.
 */
static void
reload_gateway(Sink *sink)
{
	Gateway *gateway = (Gateway *) sink;
	Buffer key;

	if (!read_key(gateway, &key))
		return;
	HeadersRelease(gateway->headers);
	gateway->headers = HeadersMake(&key);
	BufferWipe(&key);
	for (Request *request = gateway->free; request != NULL; request = request->next)
		use_headers(request, gateway->headers);
}

/*
 * Post an action.  There must be a request free.
 */
static void
post_action(Sink *sink, Action *action, const char *body, size_t len)
{
	Gateway *gateway = (Gateway *) sink;
	Request *request = gateway->free;
	CURLMcode code;

	gateway->free = request->next;
	use_headers(request, gateway->headers);
	use_trace(request, &action->trace);
	request->action = action;
	request->len = len;
	request->given = 0;
	request->begun = false;
	request->broken_off = false;
	request->too_large = false;
	request->error[0] = '\0';
	BufferClear(&request->body);
	use_body(request, body, len);
	request->sent_at = ClockNow();
	request->deadline = LoopTime() + gateway->patience;
	code = curl_multi_add_handle(gateway->multi, request->easy);
	EasyMust(code == CURLM_OK, "curl_multi_add_handle", curl_multi_strerror(code));
	enter_flight(gateway, request);
}

/*
 * Ask the gateway whether it is there.
 */
static void
probe_gateway(Sink *sink)
{
	Gateway *gateway = (Gateway *) sink;
	CURLMcode code;

	if (gateway->probing)
		return;
	gateway->probe_error[0] = '\0';
	code = curl_multi_add_handle(gateway->multi, gateway->probe);
	EasyMust(code == CURLM_OK, "curl_multi_add_handle", curl_multi_strerror(code));
	gateway->probing = true;
}

/*
 * Break off what is in flight.
 */
static void
abort_requests(Sink *sink, const char *why)
{
	Gateway *gateway = (Gateway *) sink;

	while (gateway->first != NULL)
	{
		Request *request = gateway->first;

		if (!read_to_the_end(gateway, request))
			finish(request, CURLE_OK, why);
	}
}

/*
 * What to do about a status with which the gateway refuses us.
 */
static const char *
hint_for_status(long status)
{
	if (status == 401)
		return "check the key in --api-key-file";
	if (status == 403)
		return "check what the key in --api-key-file is granted";
	if (status == 400)
		return "check --signing-key-file, and the keyring of the gateway";
	return "check --gateway-url";
}

const SinkKind gateway_sink = {
	.name = "gateway",
	.open = open_gateway,
	.reload = reload_gateway,
	.send = post_action,
	.probe = probe_gateway,
	.abort = abort_requests,
	.close = close_gateway,
	.judge = JudgeAnswer,
	.hint = hint_for_status,
};
