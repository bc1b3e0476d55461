/*
 * connect.c
 *		How a program connects to the database.
 *
 * libpq can connect without blocking, but for the names of hosts, which it looks
 * up when it comes to them, for a service that is looked up with LDAP, and for
 * what Kerberos asks.  So a thread connects, and nothing that is said in a
 * connection string, a service file or the environment means anything else than
 * in any other program.
 */
#include "common/connect.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/loop.h"

/* So many attempts that nobody waits for any more may still be under way. */
#define MAX_FORGOTTEN 8

struct Connect
{
	char *conninfo;
	const char *program;
	PGconn *conn;
	int fd;             /* tells the loop that the thread has done its work */
	ConnectEnded ended; /* NULL if nobody waits for it any more */
	void *owner;
	struct Connect *next;
};

static int forgotten;

/*
 * All attempts that are under way.  A program may end before they do: nothing ends a
 * thread that waits in libpq.  What they have is in use until then, and not lost.
 */
static Connect *attempts;

/* What libpq is given before and after the conninfo: it may override the first
 * ones only. */
static const struct
{
	const char *keyword;
	const char *value;
} defaults[] = {
	{"keepalives_idle", "10"},     {"keepalives_interval", "5"}, {"keepalives_count", "3"},
	{"tcp_user_timeout", "15000"}, {"connect_timeout", "10"},
};

/*
 * Connect, and wait for it.
 */
PGconn *
ConnectNow(const char *conninfo, const char *program)
{
	const char *keywords[16], *values[16];
	int n = 0;

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
	{
		keywords[n] = defaults[i].keyword;
		values[n++] = defaults[i].value;
	}
	keywords[n] = "fallback_application_name";
	values[n++] = program;
	keywords[n] = "dbname";
	values[n++] = conninfo != NULL ? conninfo : "";
	keywords[n] = "client_encoding";
	values[n++] = "UTF8";
	keywords[n] = NULL;
	values[n] = NULL;
	return PQconnectdbParams(keywords, values, 1);
}

/*
 * The thread: it touches nothing of the program's but the attempt itself.
 */
static void *
connect_thread(void *argument)
{
	Connect *connect = argument;
	uint64_t one = 1;

	connect->conn = ConnectNow(connect->conninfo, connect->program);
	while (write(connect->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	return NULL;
}

/*
 * Give an attempt back.
 */
static void
connect_free(Connect *connect)
{
	Connect **place = &attempts;

	while (*place != NULL && *place != connect)
		place = &(*place)->next;
	if (*place != NULL)
		*place = connect->next;
	LoopForget(connect->fd);
	if (connect->fd >= 0)
		close(connect->fd);
	free(connect->conninfo);
	free(connect);
}

/*
 * The thread has done its work.
 */
static void
connect_ready(void *owner, int fd, uint32_t events)
{
	Connect *connect = owner;
	ConnectEnded ended = connect->ended;
	void *waiting = connect->owner;
	PGconn *conn = connect->conn;
	uint64_t count;

	(void) events;
	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return;
	connect_free(connect);
	if (ended != NULL)
		ended(waiting, conn);
	else
	{
		forgotten--;
		PQfinish(conn);
	}
}

/*
 * Begin to connect.  The program's name must stay.  Returns NULL if that cannot be:
 * for want of a thread, or since too many attempts hang already.
 */
Connect *
ConnectBegin(const char *conninfo, const char *program, ConnectEnded ended, void *owner)
{
	Connect *connect;
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	if (forgotten >= MAX_FORGOTTEN)
		return NULL;
	connect = Allocate(sizeof(Connect));
	*connect = (Connect){.conninfo = DuplicateText(conninfo != NULL ? conninfo : ""),
						 .program = program,
						 .ended = ended,
						 .owner = owner,
						 .next = attempts};
	attempts = connect;
	connect->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	error =
		connect->fd < 0 ? ENOMEM : pthread_create(&thread, &attributes, connect_thread, connect);
	pthread_attr_destroy(&attributes);
	if (error != 0)
	{
		connect_free(connect);
		return NULL;
	}
	LoopKeep(connect->fd);
	LoopWatch(connect->fd, EPOLLIN, connect_ready, connect);
	return connect;
}

/*
 * The result is no longer needed.  The thread ends by itself, and closes what it
 * has created.
 */
void
ConnectForget(Connect *connect)
{
	if (connect == NULL)
		return;
	connect->ended = NULL;
	forgotten++;
}

/*
 * A connection string, as an option's value.  It may hold a password, so neither
 * it nor libpq's complaint, which quotes from it, is shown.
 */
const char *
ReadConninfo(const Option *option, const char *text, void *place)
{
	PQconninfoOption *parsed;
	bool writes_secrets = false;

	/* libpq takes anything else for the name of a database. */
	if (strchr(text, '=') != NULL || strncmp(text, "postgresql://", 13) == 0 ||
		strncmp(text, "postgres://", 11) == 0)
	{
		parsed = PQconninfoParse(text, NULL);
		if (parsed == NULL)
			return "KEY=VALUE pairs, with quotes around what has blanks, or "
				   "postgresql://USER@HOST:PORT/DATABASE, with special characters percent-encoded";
		for (PQconninfoOption *part = parsed; part->keyword != NULL; part++)
			writes_secrets = writes_secrets || (strcmp(part->keyword, "sslkeylogfile") == 0 &&
												part->val != NULL && *part->val != '\0');
		PQconninfoFree(parsed);
		if (writes_secrets)
			return "no sslkeylogfile: it would let others read what is said";
	}
	return ReadText(option, text, place);
}
