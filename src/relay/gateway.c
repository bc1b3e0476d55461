/*
 * gateway.c
 *		Requests to the gateway.
 *
 * As many requests as there may be in flight are made once and used again;
 * only the body changes from one to the next.  Connections are kept alive by
 * libcurl.  When the gateway closes one just as it is used again, libcurl
 * repeats the request on a fresh one, which the action's id makes harmless.
 */
#include "gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/crypto.h>

#include "clock.h"
#include "loop.h"

#define DISPATCH_PATH "/v1/dispatch"
#define HEALTH_PATH "/health"
#define MAX_CONNECT_TIME (5 * SECOND)

/* A connection is not used for longer, so that changes in DNS are followed. */
#define MAX_CONNECTION_AGE 300L

/* The headers of all requests, used until the key changes. */
typedef struct Headers
{
	struct curl_slist *list;
	int users;
} Headers;

typedef struct Request
{
	struct Request *next; /* among the free ones */
	Gateway *gateway;
	CURL *easy;
	Headers *headers;
	Buffer body; /* of the answer */
	bool too_large;
	void *item;
	int64_t sent_at;
	char error[CURL_ERROR_SIZE + 100];
} Request;

struct Gateway
{
	GatewayHandlers handlers;
	CURLM *multi;
	LoopTimer timer;
	Headers *headers;
	int count;
	Request *requests;
	Request *free;
	int in_flight;
};

/*
 * What must not fail: options that this libcurl lacks, calls that are wrong.
 */
static void
must(bool good, const char *what, const char *why)
{
	if (good)
		return;
	Log(LOG_ERROR, "libcurl cannot do what is needed", LogText("what", what), LogText("why", why));
	exit(1);
}

#define SET(easy, option, value) \
	do \
	{ \
		CURLcode set_code = curl_easy_setopt(easy, option, value); \
\
		must(set_code == CURLE_OK, #option, curl_easy_strerror(set_code)); \
	} while (0)

#define SET_MULTI(multi, option, value) \
	do \
	{ \
		CURLMcode set_code = curl_multi_setopt(multi, option, value); \
\
		must(set_code == CURLM_OK, #option, curl_multi_strerror(set_code)); \
	} while (0)

/*
 * Make the headers of all requests.
 */
static Headers *
make_headers(const Buffer *key)
{
	static const char *const fixed[] = {
		"Content-Type: application/json",
		"Accept: application/json",
		"Expect:",
	};
	Headers *headers = Allocate(sizeof(Headers));
	struct curl_slist *list;

	headers->users = 1;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
	{
		list = curl_slist_append(headers->list, fixed[i]);
		must(list != NULL, "headers", "out of memory");
		headers->list = list;
	}
	if (key->len > 0)
	{
		Buffer line = {0};

		BufferReserve(&line, key->len + 32);
		BufferAppendText(&line, "Authorization: Bearer ");
		BufferAppend(&line, key->data, key->len);
		list = curl_slist_append(headers->list, line.data);
		must(list != NULL, "headers", "out of memory");
		headers->list = list;
		BufferWipe(&line);
	}
	return headers;
}

/*
 * Somebody does not use the headers any more; overwrite them after the last.
 */
static void
release_headers(Headers *headers)
{
	if (headers == NULL || --headers->users > 0)
		return;
	for (struct curl_slist *line = headers->list; line != NULL; line = line->next)
		OPENSSL_cleanse(line->data, strlen(line->data));
	curl_slist_free_all(headers->list);
	free(headers);
}

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
	release_headers(request->headers);
	request->headers = headers;
}

/*
 * Take a part of an answer's body.  To take less than all breaks it off.
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
 * Open a socket for a connection.  The sockets that libcurl makes for itself do
 * not come from here.
 */
static curl_socket_t
open_socket(void *owner, curlsocktype purpose, struct curl_sockaddr *address)
{
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

	(void) owner;
	(void) purpose;
	if (fd < 0)
		return CURL_SOCKET_BAD;
	LoopKeep(fd);
	return fd;
}

/*
 * Close it: the loop must know before.
 */
static int
close_socket(void *owner, curl_socket_t fd)
{
	(void) owner;
	LoopForget(fd);
	return close(fd);
}

/*
 * Set what all requests have in common.  Certificates are always verified, and
 * neither a proxy nor credentials are taken from the environment.
 */
static CURL *
make_easy(const Settings *settings, const char *path)
{
	CURL *easy = curl_easy_init();
	char *url = Format("%s%s", settings->gateway_url, path);
	int64_t connect_time = Earlier(settings->request_timeout, MAX_CONNECT_TIME);

	must(easy != NULL, "curl_easy_init", "out of memory");
	SET(easy, CURLOPT_URL, url);
	free(url);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	SET(easy, CURLOPT_PROTOCOLS, (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	SET(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(easy, CURLOPT_USERAGENT, "acteon-relay/" ACTEON_VERSION);
	SET(easy, CURLOPT_FOLLOWLOCATION, 0L);
	SET(easy, CURLOPT_NOPROXY, "*");
	SET(easy, CURLOPT_PROXY, "");
	SET(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Do not wait for the thread that looks a name up, when that takes too long. */
	SET(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	SET(easy, CURLOPT_NOPROGRESS, 1L);
	SET(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	SET(easy, CURLOPT_MAXLIFETIME_CONN, MAX_CONNECTION_AGE);
	SET(easy, CURLOPT_TIMEOUT_MS, (long) (settings->request_timeout / MILLISECOND));
	SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) (connect_time / MILLISECOND));
	SET(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	SET(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	SET(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (settings->ca_file != NULL)
	{
		SET(easy, CURLOPT_CAINFO, settings->ca_file);
		SET(easy, CURLOPT_CAPATH, NULL);
	}
	if (settings->client_cert != NULL)
		SET(easy, CURLOPT_SSLCERT, settings->client_cert);
	if (settings->client_key != NULL)
		SET(easy, CURLOPT_SSLKEY, settings->client_key);
	SET(easy, CURLOPT_WRITEFUNCTION, take_body);
	return easy;
}

/*
 * Why there is no whole answer.  With TLS 1.3 a client learns that its
 * certificate was refused when it reads, and often only that the connection is
 * gone; curl's words alone do not lead anybody there.
 */
static const char *
describe_failure(Request *request, CURLcode code)
{
	const char *url = NULL;
	size_t len;

	if (request->too_large)
		return "the answer is larger than 1 MiB";
	if (request->error[0] == '\0')
		snprintf(request->error, sizeof(request->error), "%s", curl_easy_strerror(code));
	len = strlen(request->error);
	if ((code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING) &&
		curl_easy_getinfo(request->easy, CURLINFO_EFFECTIVE_URL, &url) == CURLE_OK && url != NULL &&
		strncasecmp(url, "https:", 6) == 0)
		snprintf(request->error + len, sizeof(request->error) - len,
				 " (over TLS: was the client certificate refused?)");
	return request->error;
}

/*
 * Tell the owner of a request what came back.
 */
static void
finish(Request *request, CURLcode code)
{
	Gateway *gateway = request->gateway;
	Answer answer = {.body = BufferText(&request->body), .len = request->body.len};
	curl_off_t retry_after = 0;
	curl_off_t sent_after = 0;
	CURLMcode removed = curl_multi_remove_handle(gateway->multi, request->easy);

	must(removed == CURLM_OK, "curl_multi_remove_handle", curl_multi_strerror(removed));
	if (code != CURLE_OK)
		answer.failure = describe_failure(request, code);
	curl_easy_getinfo(request->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_after);
	answer.unsent = code != CURLE_OK && sent_after == 0;
	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &answer.status);
	if (answer.status == 429 || answer.status == 503)
		curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &retry_after);
	answer.retry_after = Earlier(retry_after, 24 * 3600) * SECOND;
	gateway->in_flight--;
	gateway->handlers.answered(gateway->handlers.owner, request->item, &answer,
							   ClockNow() - request->sent_at);
	request->item = NULL;
	if (request->body.size > 64 * 1024)
		BufferFree(&request->body);
	request->next = gateway->free;
	gateway->free = request;
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

	must(code == CURLM_OK, "curl_multi_socket_action", curl_multi_strerror(code));
	while ((message = curl_multi_info_read(gateway->multi, &left)) != NULL)
	{
		Request *request = NULL;
		CURLcode result = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
		finish(request, result);
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
 * Make one request that will be used for many actions.
 */
static void
make_request(Gateway *gateway, const Settings *settings, Request *request)
{
	request->gateway = gateway;
	request->easy = make_easy(settings, DISPATCH_PATH);
	SET(request->easy, CURLOPT_POST, 1L);
	SET(request->easy, CURLOPT_PRIVATE, request);
	SET(request->easy, CURLOPT_WRITEDATA, request);
	SET(request->easy, CURLOPT_ERRORBUFFER, request->error);
	SET(request->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(request->easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	use_headers(request, gateway->headers);
	request->next = gateway->free;
	gateway->free = request;
}

/*
 * Get ready to send.
 */
Gateway *
GatewayOpen(const Settings *settings, const Buffer *key, GatewayHandlers handlers)
{
	Gateway *gateway = Allocate(sizeof(Gateway));

	gateway->handlers = handlers;
	gateway->multi = curl_multi_init();
	must(gateway->multi != NULL, "curl_multi_init", "out of memory");
	SET_MULTI(gateway->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	SET_MULTI(gateway->multi, CURLMOPT_SOCKETDATA, gateway);
	SET_MULTI(gateway->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	SET_MULTI(gateway->multi, CURLMOPT_TIMERDATA, gateway);
	SET_MULTI(gateway->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING);
	SET_MULTI(gateway->multi, CURLMOPT_MAXCONNECTS, (long) settings->concurrency);
	gateway->timer = (LoopTimer){timer_expired, gateway, NEVER, NULL};
	LoopAddTimer(&gateway->timer);
	gateway->headers = make_headers(key);
	gateway->count = settings->concurrency;
	gateway->requests = Allocate(gateway->count * sizeof(Request));
	for (int i = 0; i < gateway->count; i++)
		make_request(gateway, settings, &gateway->requests[i]);
	return gateway;
}

/*
 * Break off what is in flight, without telling anybody, and close everything.
 */
void
GatewayClose(Gateway *gateway)
{
	if (gateway == NULL)
		return;
	for (int i = 0; i < gateway->count; i++)
	{
		Request *request = &gateway->requests[i];

		if (request->item != NULL)
			curl_multi_remove_handle(gateway->multi, request->easy);
		curl_easy_cleanup(request->easy);
		release_headers(request->headers);
		BufferFree(&request->body);
	}
	curl_multi_cleanup(gateway->multi);
	release_headers(gateway->headers);
	LoopRemoveTimer(&gateway->timer);
	free(gateway->requests);
	free(gateway);
}

/*
 * Use another key, from the next request on.
 */
void
GatewaySetKey(Gateway *gateway, const Buffer *key)
{
	release_headers(gateway->headers);
	gateway->headers = make_headers(key);
	for (Request *request = gateway->free; request != NULL; request = request->next)
		use_headers(request, gateway->headers);
}

/*
 * Post an action.  There must be a request free, and the body must stay until
 * the answer.  The item is what the handlers are told.
 */
void
GatewaySend(Gateway *gateway, const char *body, size_t len, void *item)
{
	Request *request = gateway->free;
	CURLMcode code;

	gateway->free = request->next;
	use_headers(request, gateway->headers);
	request->item = item;
	request->too_large = false;
	request->error[0] = '\0';
	BufferClear(&request->body);
	SET(request->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) len);
	SET(request->easy, CURLOPT_POSTFIELDS, body);
	request->sent_at = ClockNow();
	code = curl_multi_add_handle(gateway->multi, request->easy);
	must(code == CURLM_OK, "curl_multi_add_handle", curl_multi_strerror(code));
	gateway->in_flight++;
}

/*
 * Break off what is in flight.
 */
void
GatewayAbort(Gateway *gateway)
{
	for (int i = 0; i < gateway->count; i++)
	{
		Request *request = &gateway->requests[i];

		if (request->item == NULL)
			continue;
		curl_multi_remove_handle(gateway->multi, request->easy);
		gateway->in_flight--;
		gateway->handlers.aborted(gateway->handlers.owner, request->item);
		request->item = NULL;
		request->next = gateway->free;
		gateway->free = request;
	}
}

/*
 * How many requests are in flight.
 */
int
GatewayInFlight(const Gateway *gateway)
{
	return gateway->in_flight;
}

/*
 * Ask the gateway how it is, and wait for the answer.  Returns the status, or
 * 0 with an error.
 */
long
GatewayProbe(const Settings *settings, const Buffer *key, Buffer *error)
{
	Headers *headers = make_headers(key);
	CURL *easy = make_easy(settings, HEALTH_PATH);
	Request request = {.easy = easy};
	long status = 0;
	CURLcode code;

	SET(easy, CURLOPT_WRITEDATA, &request);
	SET(easy, CURLOPT_ERRORBUFFER, request.error);
	SET(easy, CURLOPT_HTTPHEADER, headers->list);
	code = curl_easy_perform(easy);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK)
	{
		BufferAppendText(error, describe_failure(&request, code));
		status = 0;
	}
	curl_easy_cleanup(easy);
	release_headers(headers);
	BufferFree(&request.body);
	return status;
}
