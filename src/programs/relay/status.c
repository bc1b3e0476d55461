/*
 * status.c
 *		The relay over HTTP: its metrics, and whether it can work.
 *
 * The library, libmicrohttpd, runs in the relay's loop and thread.  Every answer is
 * made at once from what the relay knows: nothing is asked of the database or the
 * gateway for it, so that a slow client does not keep the relay from its work.  Clients
 * are not authenticated, so answers have no tenants, keys, addresses or texts of errors.
 *
 * One address has few connections, and each ends with its answer, or when its time is up.
 * Clients of many addresses can still take all connections, and others have to wait.
 */
#include "relay/status.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/prometheus.h"

/* Scrapers and probes are few, and quick. */
#define MAX_CLIENTS 32u
#define MAX_CLIENTS_OF_ADDRESS 8u
#define CLIENT_TIME (10 * SECOND)
#define CLIENT_MEMORY 16384u

/* A connection. */
typedef struct Client
{
	struct Client *next;
	int fd;
	int64_t until; /* NEVER: it was told to end */
} Client;

static struct MHD_Daemon *server;
static Client *clients; /* the newest first */
static int listen_fd = -1;
static StatusSource told_by;
static bool has_stirred; /* something has happened on a socket of the library */
static int64_t due;      /* when the library wants to be called again */

/*
 * A connection begins or ends.
 */
static void
note_client(void *owner, struct MHD_Connection *connection, void **context,
			enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info;
	Client **link = &clients;
	Client *client;

	(void) owner;
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
	{
		info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		client = Allocate(sizeof(Client));
		*client = (Client){clients, (int) info->connect_fd, ClockNow() + CLIENT_TIME};
		clients = client;
		*context = client;
		return;
	}
	while (*link != *context)
		link = &(*link)->next;
	client = *link;
	*link = client->next;
	free(client);
}

/*
 * End the connections whose time is up, however busy they are: the library's own time-out
 * begins again with each byte.
 */
static void
end_late_clients(int64_t now, int64_t *wake)
{
	for (Client *client = clients; client != NULL; client = client->next)
	{
		if (now >= client->until)
		{
			(void) shutdown(client->fd, SHUT_RDWR);
			client->until = NEVER;
		}
		*wake = Earlier(*wake, client->until);
	}
}

/*
 * Something has stirred in the library.
 */
static void
stirred(void *owner, int fd, uint32_t events)
{
	(void) owner;
	(void) fd;
	(void) events;
	has_stirred = true;
}

/*
 * Write one reason.
 */
static void
add_reason(Buffer *out, const char *reason, int *count)
{
	if (reason == NULL)
		return;
	BufferAppendText(out, (*count)++ > 0 ? ", " : "");
	JsonAppendString(out, reason, strlen(reason));
}

/*
 * Write whether the relay can work.  Returns the status of the answer.
 */
static unsigned
write_health(Buffer *out)
{
	RelayHealth health = told_by.health(told_by.owner);
	bool good = health.database == NULL && health.gateway == NULL && !health.stopping;
	int count = 0;

	BufferPrint(out,
				"{\"status\": \"%s\", \"version\": \"%s\", \"database\": \"%s\", "
				"\"gateway\": \"%s\", \"why\": [",
				good ? "ok" : "unavailable", ACTEON_VERSION,
				health.database == NULL ? "ok" : "unavailable",
				health.gateway == NULL ? "ok" : "unavailable");
	add_reason(out, health.database, &count);
	add_reason(out, health.gateway, &count);
	add_reason(out, health.stopping ? "the relay is being stopped" : NULL, &count);
	BufferAppendText(out, "]}\n");
	return good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

/*
 * Send an answer, whose body the library takes over.
 */
static enum MHD_Result
send_body(struct MHD_Connection *connection, unsigned status, const char *media_type, Buffer *body,
		  const char *allow)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	BufferReserve(body, 1);
	response = MHD_create_response_from_buffer(body->len, body->data, MHD_RESPMEM_MUST_FREE);
	if (response == NULL)
	{
		BufferFree(body);
		return MHD_NO;
	}
	(void) MHD_add_response_header(response, "Content-Type", media_type);
	(void) MHD_add_response_header(response, "Cache-Control", "no-store");
	(void) MHD_add_response_header(response, "Connection", "close");
	if (allow != NULL)
		(void) MHD_add_response_header(response, "Allow", allow);
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/*
 * Answer a request.  The library calls this when the head is there, for each piece of a
 * body, which is not wanted and not kept, and at the end.
 */
static enum MHD_Result
handle(void *owner, struct MHD_Connection *connection, const char *url, const char *method,
	   const char *version, const char *body, size_t *body_len, void **context)
{
	static const char head_seen;
	Buffer out = {0};
	unsigned status = MHD_HTTP_OK;

	(void) owner;
	(void) version;
	(void) body;
	if (*context == NULL)
	{
		*context = (void *) &head_seen;
		return MHD_YES;
	}
	if (*body_len > 0)
	{
		*body_len = 0;
		return MHD_YES;
	}
	if (strcmp(url, "/metrics") != 0 && strcmp(url, "/health") != 0)
	{
		BufferAppendText(&out, "{\"error\": \"there is nothing at this path\"}\n");
		return send_body(connection, MHD_HTTP_NOT_FOUND, "application/json", &out, NULL);
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
	{
		BufferAppendText(&out, "{\"error\": \"this path supports another method\"}\n");
		return send_body(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "application/json", &out,
						 "GET, HEAD");
	}
	if (strcmp(url, "/health") == 0)
	{
		status = write_health(&out);
		return send_body(connection, status, "application/json", &out, NULL);
	}
	told_by.metrics(told_by.owner, &out);
	return send_body(connection, status, PROMETHEUS_MEDIA_TYPE, &out, NULL);
}

/*
 * Serve from now on.  False, after saying why, if that cannot be.
 */
bool
StatusStart(const Address *address, StatusSource source)
{
	int port;

	told_by = source;
	listen_fd = SocketListen(address, &port);
	if (listen_fd < 0)
		return false;
	server = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle, NULL,
							  MHD_OPTION_EXTERNAL_LOGGER, LogLibmicrohttpd, NULL,
							  MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_CONNECTION_LIMIT,
							  MAX_CLIENTS, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
							  MAX_CLIENTS_OF_ADDRESS, MHD_OPTION_NOTIFY_CONNECTION, note_client,
							  NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CLIENT_MEMORY,
							  MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
	if (server == NULL)
	{
		Log(LOG_ERROR, "cannot begin to take requests");
		close(listen_fd);
		return false;
	}
	LoopWatch(MHD_get_daemon_info(server, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, EPOLLIN, stirred,
			  NULL);
	Log(LOG_INFO, "listening", LogText("listen", address->text), LogNumber("port", port));
	return true;
}

/*
 * Let the library do what there is to do now, which is nothing unless something has
 * stirred.
 */
void
StatusAdvance(int64_t now, int64_t *wake)
{
	MHD_UNSIGNED_LONG_LONG timeout;

	if (server == NULL)
		return;
	if (has_stirred || now >= due)
	{
		has_stirred = false;
		MHD_run(server);
		due = NEVER;
		if (MHD_get_timeout(server, &timeout) == MHD_YES)
			due = now + (int64_t) Earlier((int64_t) timeout, 3600000) * MILLISECOND;
	}
	*wake = Earlier(*wake, due);
	end_late_clients(now, wake);
}

/*
 * Serve no more.
 */
void
StatusEnd(void)
{
	if (server == NULL)
		return;
	LoopForget(MHD_get_daemon_info(server, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
	/* The library closes the socket that it listens on as well. */
	MHD_stop_daemon(server);
	server = NULL;
}
