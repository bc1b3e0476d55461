/*
 * main.c
 *		acteon-relay: delivers actions from the outbox to the gateway.
 *
 * It claims actions from the extension's queue, posts them to the gateway and
 * records the answers.  No transaction is open while a request is in flight.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <curl/curl.h>

#include "check.h"
#include "loop.h"
#include "relay.h"
#include "signals.h"

/*
 * Whatever is opened later must not become the standard input or output: the
 * log would go into a connection.
 */
static void
fill_standard_files(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
	{
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
			_exit(1);
	}
}

/*
 * Keys must not end up in a core dump, nor be read by another process of the
 * same user.
 */
static void
protect_memory(void)
{
	struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) != 0)
		Log(LOG_WARNING, "cannot turn core dumps off");
#ifndef __SANITIZE_ADDRESS__
	/* The leak checker reads its own process from another. */
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		Log(LOG_WARNING, "cannot close the process to others");
#endif
}

int
main(int argc, char **argv)
{
	static Settings settings;
	int status;

	fill_standard_files();
	SettingsRead(&settings, argc, argv);
	LogStart(settings.log_level);
	protect_memory();
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
	{
		Log(LOG_ERROR, "cannot start libcurl");
		return 1;
	}
	if (settings.check)
		return CheckRun(&settings);
	LoopStart();
	SignalsStart();
	status = RelayRun(&settings);
	SignalsEnd();
	LoopEnd();
	curl_global_cleanup();
	return status;
}
