/*
 * server.c
 *		The server as a whole, from start to exit.
 *
 * Everything happens in one thread.  The database does the work; the number of
 * requests that are processed at once is limited by the number of connections
 * to it.
 */
#include "http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/log.h"
#include "common/signals.h"
#include "http/server_int.h"

/* How long what was broken off may take to end after the grace time. */
#define LAST_CHANCE (5 * SECOND)

/*
 * Have room for the connections of all clients.
 */
static void
raise_limit(const Settings *settings)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t) settings->max_connections + settings->workers * 3 + 50;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur =
		limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= wanted ? wanted : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
		Log(LOG_WARNING, "not so many files can be open as --max-connections wants",
			LogNumber("files", (int64_t) limit.rlim_cur),
			LogText("hint", "ulimit -n, or LimitNOFILE="));
}

/*
 * Write the port into a file, whole or not at all.
 */
static bool
write_port(const char *path, int port)
{
	char *temporary = Format("%s.%d.tmp", path, (int) getpid());
	FILE *file = fopen(temporary, "w");
	bool good = file != NULL && fprintf(file, "%d\n", port) > 0;

	good = file != NULL && fclose(file) == 0 && good && rename(temporary, path) == 0;
	if (!good)
		Log(LOG_ERROR, "cannot write the port file", LogText("file", path),
			LogText("error", strerror(errno)));
	free(temporary);
	return good;
}

/*
 * Do what signals have asked for.
 */
static void
obey_signals(Server *server, int64_t now)
{
	if (signal_flags.reload && !server->stopping)
		ClientsReload(server);
	signal_flags.reload = false;
	if (signal_flags.stop == 0 || server->stopping)
		return;
	Log(LOG_INFO, "stopping", LogNumber("requests", server->figures.requests));
	server->stopping = true;
	server->stop_at = now + server->settings->grace;
	ClientsStopListening(server);
}

/*
 * Is it over?
 */
static bool
is_over(Server *server, int64_t now, int64_t *wake)
{
	if (!server->stopping)
		return false;
	if (signal_flags.stop > 1)
	{
		Log(LOG_WARNING, "stopped at once", LogNumber("requests", server->figures.requests));
		server->forced = true;
		return true;
	}
	if (server->figures.requests == 0 && UsageIsOver(server))
		return true;
	if (now >= server->stop_at && !server->forced && server->figures.requests > 0)
	{
		Log(LOG_WARNING, "requests are broken off",
			LogNumber("requests", server->figures.requests));
		server->forced = true;
		PoolBreakOff(server->pool);
	}
	if (now >= server->stop_at + LAST_CHANCE)
		return true;
	*wake = Earlier(*wake, now < server->stop_at ? server->stop_at : server->stop_at + LAST_CHANCE);
	return false;
}

/*
 * Do what there is to do now.  Returns false when it is over.
 */
static bool
advance(Server *server)
{
	int64_t now = ClockNow();
	int64_t wake = NEVER;

	obey_signals(server, now);
	WaitAdvance(server, now, &wake);
	PoolAdvance(server->pool, now, &wake);
	UsageAdvance(server, now, &wake);
	ClientsAdvance(server, now, &wake);
	if (is_over(server, now, &wake))
		return false;
	server->wake.due = wake;
	return true;
}

/*
 * The server only has to wake up; what is to be done is found out by advance.
 */
static void
woken(void *owner)
{
	(void) owner;
}

/*
 * Run until told to stop.  Returns the program's exit status.
 */
int
ServerRun(const Settings *settings)
{
	static Server server;
	int port = 0;

	server.settings = settings;
	server.figures.started = ClockWall();
	server.wake = (LoopTimer){woken, &server, NEVER, NULL};
	raise_limit(settings);
	if (!CredentialsStart())
	{
		Log(LOG_ERROR, "cannot draw random bytes");
		return 1;
	}
	if (!ClientsStart(&server, &port))
		return 1;
	LoopAddTimer(&server.wake);
	server.pool = PoolOpen(settings);
	UsageStart(&server);
	if (settings->anonymous != NULL)
		Log(LOG_WARNING, "requests without a key are taken", LogText("role", settings->anonymous));
	Log(LOG_INFO, "started", LogText("version", ACTEON_VERSION),
		LogText("listen", settings->listen.text), LogNumber("port", port),
		LogText("tls", settings->tls_cert != NULL ? "on" : "off"),
		LogNumber("workers", settings->workers));
	if (settings->port_file != NULL && !write_port(settings->port_file, port))
		return 1;
	while (advance(&server))
		LoopRunOnce();
	Log(LOG_INFO, "stopped", LogNumber("requests", server.figures.requests));
	/* Connections that are still suspended cannot be taken down in order. */
	if (server.figures.requests == 0)
	{
		ClientsEnd(&server);
		PoolClose(server.pool);
		UsageEnd(&server);
		LoopRemoveTimer(&server.wake);
	}
	return server.forced ? 1 : 0;
}
