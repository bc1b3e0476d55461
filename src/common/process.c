/*
 * process.c
 *		The process: what must be so before anything else is done.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "log.h"

/*
 * Whatever is opened later must not become the standard input or output: the
 * log would go into a connection.
 */
void
ProcessFillStandardFiles(void)
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
void
ProcessProtectMemory(void)
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
