/*
 * clients.c
 *		The server's side to the clients: HTTP, by libmicrohttpd.
 *
 * The library runs in our loop and in our thread.  A request that the database has
 * to answer suspends its connection, and no further request of it is read until
 * that has its answer.  Meanwhile the library does not look at the socket, so we
 * do: a client that goes away cancels what is done for it.
 *
 * The library ends connections on which nothing moves.  A client that sends or
 * reads a byte now and then is ended by us.
 */
#include "http/server_int.h"

#include <microhttpd.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "http/cors.h"
#include "http/head.h"
#include "http/openapi.h"
#include "http/page.h"
#include "http/problem.h"
#include "http/tls.h"

/* From 1.0 on the library mends a request line with a blank in it by a redirect, which
 * has a POST become a GET.  It shall refuse it, as earlier ones do. */
#if MHD_VERSION >= 0x01000000
#define STRICTNESS MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1,
#else
#define STRICTNESS
#endif

/* How often clients are looked for that take too long. */
#define SWEEP_INTERVAL (250 * MILLISECOND)

/* Of a body that is too large, so much more is read, to answer and not to break off. */
#define EXTRA_BODY (1024 * 1024)

/*
 * The socket of a connection.
 */
static int
socket_of(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

/*
 * The peer of a connection.
 */
static Peer *
peer_of(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/*
 * A request of a peer is over, without an answer to be told of.
 */
static void
drop_request(Server *server, Peer *peer)
{
	if (peer->request == NULL)
		return;
	RequestFree(peer->request);
	peer->request = NULL;
	server->figures.requests--;
}

/*
 * A client has connected, or its connection is closed.
 */
static void
connection_changed(void *owner, struct MHD_Connection *connection, void **context,
				   enum MHD_ConnectionNotificationCode what)
{
	Server *server = owner;
	Peer *peer = *context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED)
	{
		int on = 1;

		peer = Allocate(sizeof(Peer));
		*peer = (Peer){.connection = connection,
					   .fd = socket_of(connection),
					   .since = ClockNow(),
					   .tls_generation = TlsGeneration()};
		/* Answers are small, and nobody should wait for more of them. */
		(void) setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		LoopKeep(peer->fd);
		peer->next = server->peers;
		peer->link = &server->peers;
		if (peer->next != NULL)
			peer->next->link = &peer->next;
		server->peers = peer;
		server->figures.connections++;
		*context = peer;
	}
	else if (peer != NULL)
	{
		/* The library closes the socket after this. */
		LoopForget(peer->fd);
		drop_request(server, peer);
		*peer->link = peer->next;
		if (peer->next != NULL)
			peer->next->link = peer->link;
		server->figures.connections--;
		free(peer);
	}
}

/*
 * We decode paths and parameters ourselves: the library shall leave them as they
 * are.  Some versions refuse what they cannot decode.
 */
static size_t
leave_encoded(void *owner, struct MHD_Connection *connection, char *text)
{
	(void) owner;
	(void) connection;
	return strlen(text);
}

/*
 * A request has begun: the library has read its first line.
 */
static void *
uri_read(void *owner, const char *uri, struct MHD_Connection *connection)
{
	Server *server = owner;
	Request *request = RequestNew(uri);
	Peer *peer = peer_of(connection);
	char *query = (char *) strchr(uri, '?');

	/* We read the query ourselves.  The library would keep each parameter in the
	 * connection's memory, and, if that is too small for them, hang. */
	if (query != NULL)
		query[1] = '\0';
	/* The library does not tell of the end of each request that it has begun with: not of
	 * some whose head is broken. */
	if (peer != NULL)
	{
		drop_request(server, peer);
		peer->request = request;
	}
	request->server = server;
	request->connection = connection;
	server->figures.requests++;
	return request;
}

/*
 * A request is over, whatever came of it.
 */
static void
request_over(void *owner, struct MHD_Connection *connection, void **context,
			 enum MHD_RequestTerminationCode why)
{
	Server *server = owner;
	Request *request = *context;
	Peer *peer = peer_of(connection);

	if (request == NULL)
		return;
	*context = NULL;
	server->figures.requests--;
	if (peer != NULL)
	{
		peer->request = NULL;
		peer->is_busy = peer->is_reading = peer->is_answered = false;
		peer->since = ClockNow();
	}
	if (request->answer.status != 0)
	{
		size_t len = strcspn(request->uri, "?");
		char *path = Duplicate(request->uri, len);
		char *trace = request->trace != NULL
						  ? Duplicate(request->trace->parent + TRACE_ID_AT, TRACE_ID_LEN)
						  : NULL;
		int64_t duration =
			(request->answered != 0 ? request->answered : ClockNow()) - request->started;

		FiguresCount(&server->figures, request->route, request->method, request->answer.status,
					 duration);
		Log(LOG_INFO, "request", LogText("method", request->method), LogText("path", path),
			LogNumber("status", request->answer.status), LogNumber("us", duration),
			LogText("key", request->key_name), LogText("batch", request->answer.batch_id),
			LogText("id", request->id), LogText("code", request->answer.code),
			LogText("trace", trace),
			LogText("ended", request->is_abandoned                        ? "abandoned"
							 : why == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "sent"
																		  : "broken off"));
		free(path);
		free(trace);
	}
	RequestFree(request);
}

/*
 * Add a header to a response, if it has a value.
 */
static void
add_header(struct MHD_Response *response, const char *name, const char *value)
{
	if (value != NULL && MHD_add_response_header(response, name, value) != MHD_YES)
		Log(LOG_WARNING, "cannot add a header", LogText("name", name));
}

/*
 * Add the headers that have a browser give an answer to a page of another origin.
 */
static void
add_cors_headers(const Server *server, const Request *request, struct MHD_Response *response)
{
	const TextList *origins = &server->settings->allow_origin;

	if (origins->count == 0)
		return;
	if (!OriginsHaveAll(origins))
		add_header(response, "Vary", "Origin");
	if (request->allowed_origin == NULL)
		return;
	add_header(response, "Access-Control-Allow-Origin", request->allowed_origin);
	if (request->answer.status == MHD_HTTP_NO_CONTENT)
	{
		add_header(response, "Access-Control-Allow-Methods", CORS_METHODS);
		add_header(response, "Access-Control-Allow-Headers", CORS_HEADERS);
		add_header(response, "Access-Control-Max-Age", CORS_MAX_AGE);
		add_header(response, "Vary",
				   "Access-Control-Request-Method, Access-Control-Request-Headers");
	}
	else
		add_header(response, "Access-Control-Expose-Headers", CORS_EXPOSED);
}

/*
 * Answer the question of a browser whether a page of another origin may send a request.
 */
static void
answer_preflight(const Server *server, Request *request)
{
	const char *method = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
													 "Access-Control-Request-Method");

	if (server->settings->allow_origin.count == 0 || method == NULL ||
		strcmp(request->method, "OPTIONS") != 0 || request->answer.status != 405)
		return;
	if (request->allowed_origin == NULL)
	{
		AnswerCode(request, CODE_ORIGIN_NOT_ALLOWED);
		return;
	}
	BufferClear(&request->answer.body);
	request->answer.status = MHD_HTTP_NO_CONTENT;
	request->answer.code = NULL;
}

/*
 * Add the headers of an answer.
 */
static void
add_headers(const Server *server, const Request *request, struct MHD_Response *response)
{
	const Answer *answer = &request->answer;
	char seconds[16];

	if (answer->status != MHD_HTTP_NO_CONTENT)
		add_header(response, "Content-Type",
				   answer->media_type != NULL ? answer->media_type : "application/json");
	add_header(response, "Cache-Control", answer->etag != NULL ? "no-cache" : "no-store");
	add_header(response, "ETag", answer->etag);
	if (answer->policy != NULL)
	{
		add_header(response, "Content-Security-Policy", answer->policy);
		add_header(response, "Referrer-Policy", "no-referrer");
		add_header(response, "Cross-Origin-Opener-Policy", "same-origin");
		add_header(response, "X-Content-Type-Options", "nosniff");
	}
	add_header(response, "X-Request-Id", request->id);
	add_header(response, "Acteon-Batch-Id", answer->batch_id);
	add_header(response, "Allow", answer->allow);
	if (answer->next_cursor != NULL)
	{
		/* So that it can go into a URL as it is. */
		char *encoded = EncodeText(answer->next_cursor);

		add_header(response, "Acteon-Next-Cursor", encoded);
		free(encoded);
	}
	if (answer->next_page != NULL)
	{
		/* Relative to the request, wherever a proxy has it. */
		char *link = Format("<?%s>; rel=\"next\"", answer->next_page);

		add_header(response, "Link", link);
		free(link);
	}
	if (answer->is_repeated)
		add_header(response, "Idempotency-Replayed", "true");
	if (answer->status == 401)
		add_header(response, "WWW-Authenticate", "Bearer");
	if (answer->retry_after > 0)
	{
		snprintf(seconds, sizeof(seconds), "%d", answer->retry_after);
		add_header(response, "Retry-After", seconds);
	}
	if (server->stopping)
		add_header(response, "Connection", "close");
	add_cors_headers(server, request, response);
}

/*
 * Give the answer to the library, which takes the body over.
 */
static enum MHD_Result
send_answer(Request *request)
{
	Server *server = request->server;
	Answer *answer = &request->answer;
	Peer *peer = peer_of(request->connection);
	struct MHD_Response *response;
	enum MHD_Result result;

	BufferReserve(&answer->body, 1);
	response =
		MHD_create_response_from_buffer(answer->body.len, answer->body.data, MHD_RESPMEM_MUST_FREE);
	if (response == NULL)
		return MHD_NO;
	answer->body = (Buffer){0};
	add_headers(server, request, response);
	if (answer->status == 200)
		add_header(response, "Acteon-Limit", request->parameters.clamped);
	result = MHD_queue_response(request->connection, (unsigned) answer->status, response);
	MHD_destroy_response(response);
	request->answered = ClockNow();
	if (peer != NULL)
	{
		peer->is_reading = false;
		peer->is_answered = true;
		peer->since = request->answered;
	}
	return result;
}

/*
 * The client of a suspended connection has disconnected.
 */
static void
client_gone(void *owner, int fd, uint32_t events)
{
	Request *request = owner;
	Server *server = request->server;

	(void) events;
	LoopWatch(fd, 0, NULL, NULL);
	request->is_abandoned = true;
	server->figures.abandoned++;
	if (request->is_waiting)
		WaitAbandon(request);
	else
		CallAbandon(request);
}

/*
 * A request has its answer: have the library ask for it.
 */
static void
resume(Request *request)
{
	Server *server = request->server;

	if (!request->is_suspended)
		return;
	request->is_suspended = false;
	server->has_resumed = true;
	LoopWatch(socket_of(request->connection), 0, NULL, NULL);
	MHD_resume_connection(request->connection);
}

/*
 * The whole request is there: answer it, or begin to.
 */
static enum MHD_Result
serve(Request *request)
{
	Server *server = request->server;
	PoolFigures pool;

	if (request->body_len > (size_t) server->settings->max_body)
		AnswerCode(request, CODE_BODY_TOO_LARGE);
	else if (request->answer.status != 0 && request->route->kind != ROUTE_CALL)
		return send_answer(request); /* it needs no key, so there is none to check first */
	else if (request->route->kind == ROUTE_METRICS)
	{
		pool = PoolCount(server->pool);
		request->answer.status = 200;
		request->answer.media_type = PROMETHEUS_MEDIA_TYPE;
		FiguresWrite(&server->figures, &pool, &request->answer.body);
	}
	else if (request->route->kind == ROUTE_OPENAPI)
	{
		const Buffer *document = OpenapiDocument();

		request->answer.status = 200;
		BufferAppend(&request->answer.body, document->data, document->len);
	}
	else if (request->route->kind == ROUTE_PAGE)
		PageAnswer(request, MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
														"If-None-Match"));
	else
	{
		Peer *peer = peer_of(request->connection);

		if (request->answer.status == 0)
			RequestReadBody(request);
		/* The client has done its part: how long it waits now is not up to it. */
		if (peer != NULL)
			peer->is_reading = false;
		request->is_served = true;
		MHD_suspend_connection(request->connection);
		request->is_suspended = true;
		request->when_answered = resume;
		LoopWatch(socket_of(request->connection), EPOLLRDHUP, client_gone, request);
		CallStart(request);
		return MHD_YES;
	}
	return send_answer(request);
}

/*
 * Read the head of a request.
 */
static void
read_head(Server *server, Request *request, const char *url, const char *method,
		  const char *version)
{
	struct MHD_Connection *connection = request->connection;
	const RequestHeaders headers = {
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization"),
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "X-API-Key"),
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Idempotency-Key"),
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Origin"),
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Sec-Fetch-Site"),
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host"),
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept"),
	};
	HeadFault fault = HeadCheck(connection, request->uri, request->sent_len, url, version,
								server->settings->max_body);
	Peer *peer = peer_of(connection);

	if (peer != NULL)
	{
		peer->is_busy = peer->is_reading = true;
		peer->since = ClockNow();
	}
	RequestIdTake(request->id,
				  MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "X-Request-Id"));
	request->allowed_origin = OriginAllowed(&server->settings->allow_origin, headers.origin);
	if (fault.code != CODE_NONE)
		RequestRefuse(request, method, fault.code, fault.text);
	else
	{
		request->trace = TraceRead(connection);
		RequestRead(request, method, &headers, server->settings->anonymous != NULL);
		answer_preflight(server, request);
	}
}

/*
 * The library calls this for a request when its head is there, for each piece of
 * its body, at the end of it, and when its connection is resumed.
 */
static enum MHD_Result
handle(void *owner, struct MHD_Connection *connection, const char *url, const char *method,
	   const char *version, const char *body, size_t *body_len, void **context)
{
	Server *server = owner;
	Request *request = *context;

	(void) connection;
	if (request == NULL)
		return MHD_NO;
	if (request->method == NULL)
	{
		read_head(server, request, url, method, version);
		/* Whoever announces too much shall not send it; any other body is read first, so
		 * that the connection can be used again. */
		return request->is_refused ? send_answer(request) : MHD_YES;
	}
	if (*body_len > 0)
	{
		RequestTakeBody(request, body, *body_len, (size_t) server->settings->max_body);
		*body_len = 0;
		return request->body_len > (size_t) server->settings->max_body + EXTRA_BODY ? MHD_NO
																					: MHD_YES;
	}
	/* Who has no key is not told what is wrong with a request of one. */
	if (request->answer.status == 0 || (request->answer.status == 400 && !request->is_served))
		return serve(request);
	return send_answer(request);
}

/*
 * End the connections of clients that take too long: to send a request, or to
 * take an answer.  The library notices, if it looks at the socket, and else by its
 * own time-out.
 */
static void
sweep(Server *server, int64_t now)
{
	int oldest = TlsGeneration();

	for (Peer *peer = server->peers; peer != NULL; peer = peer->next)
	{
		int64_t most = peer->is_reading || peer->is_answered ? server->settings->request_timeout
					   : peer->is_busy                       ? NEVER
					   : server->stopping                    ? 0
															 : server->settings->idle_timeout;

		if (most != NEVER && now >= peer->since + most)
		{
			shutdown(peer->fd, SHUT_RDWR);
			(void) MHD_set_connection_option(peer->connection, MHD_CONNECTION_OPTION_TIMEOUT, 1U);
			peer->since = now;
		}
		if (peer->tls_generation < oldest)
			oldest = peer->tls_generation;
	}
	TlsForget(oldest);
}

/*
 * Something has stirred in the library.
 */
static void
library_ready(void *owner, int fd, uint32_t events)
{
	(void) owner;
	(void) fd;
	(void) events;
}

/*
 * Let the library do what there is to do now.
 */
void
ClientsAdvance(Server *server, int64_t now, int64_t *wake)
{
	MHD_UNSIGNED_LONG_LONG timeout;

	/* It may answer requests at once, whose connections it has to look at again. */
	do
	{
		server->has_resumed = false;
		MHD_run(server->daemon);
	} while (server->has_resumed);
	/* After that, so that no request is cut off that has come just now. */
	if (now >= server->swept_at + SWEEP_INTERVAL)
	{
		sweep(server, now);
		server->swept_at = now;
	}
	if (server->peers != NULL)
		*wake = Earlier(*wake, server->swept_at + SWEEP_INTERVAL);
	if (MHD_get_timeout(server->daemon, &timeout) == MHD_YES)
		*wake = Earlier(*wake, now + (int64_t) Earlier((int64_t) timeout, 3600000) * MILLISECOND);
}

/*
 * Take requests from now on, and tell the port.  False, after saying why, if that
 * cannot be.
 */
bool
ClientsStart(Server *server, int *port)
{
	const Settings *settings = server->settings;
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | MHD_USE_TURBO |
					 (settings->tls_cert != NULL ? MHD_USE_TLS : 0);
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_END, 0, NULL},
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
		{MHD_OPTION_END, 0, NULL},
	};
	unsigned idle = (unsigned) ((settings->idle_timeout + settings->request_timeout) / SECOND + 1);
	const union MHD_DaemonInfo *info;

	if ((settings->tls_cert != NULL && !TlsLoad(settings)) ||
		(server->listen_fd = SocketListen(&settings->listen, port)) < 0)
		return false;
	if (settings->tls_cert != NULL)
		tls[0] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK, 0, TlsChooser()};
	server->daemon =
		MHD_start_daemon(flags, 0, NULL, NULL, handle, server, MHD_OPTION_EXTERNAL_LOGGER,
						 LogLibmicrohttpd, server, MHD_OPTION_LISTEN_SOCKET, server->listen_fd,
						 MHD_OPTION_CONNECTION_LIMIT, (unsigned) settings->max_connections,
						 MHD_OPTION_CONNECTION_TIMEOUT, idle, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
						 (size_t) CONNECTION_MEMORY, MHD_OPTION_NOTIFY_CONNECTION,
						 connection_changed, server, MHD_OPTION_NOTIFY_COMPLETED, request_over,
						 server, MHD_OPTION_URI_LOG_CALLBACK, uri_read, server,
						 MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, NULL,
						 STRICTNESS MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY, tls,
						 MHD_OPTION_END);
	if (server->daemon == NULL)
	{
		Log(LOG_ERROR, "cannot begin to take requests");
		close(server->listen_fd);
		return false;
	}
	info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	LoopWatch(info->epoll_fd, EPOLLIN, library_ready, NULL);
	return true;
}

/*
 * Read again what may have changed: the certificate.  Connections that there are keep
 * theirs.
 */
void
ClientsReload(Server *server)
{
	const Settings *settings = server->settings;

	if (settings->tls_cert == NULL)
		Log(LOG_INFO, "nothing is read again without TLS");
	else if (TlsLoad(settings))
		Log(LOG_INFO, "the certificate was read again", LogText("cert", settings->tls_cert));
}

/*
 * Take no more connections; those that there are stay until they are idle.
 */
void
ClientsStopListening(Server *server)
{
	MHD_quiesce_daemon(server->daemon);
	close(server->listen_fd);
	server->listen_fd = -1;
}

/*
 * Close what is left.  No connection may be suspended.
 */
void
ClientsEnd(Server *server)
{
	LoopForget(MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
	MHD_stop_daemon(server->daemon);
	TlsEnd();
}
