/*
 * process.c
 *		The process: what must be so before anything else is done.
 */
#include "common/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "common/log.h"

/*
 * Threads may still speak TLS when the program exits: nothing is to be torn down
 * under them.
 */
void
ProcessKeepLibraries(void)
{
	(void) OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

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

/*
 * With SSLKEYLOGFILE in the environment, the libraries that speak TLS write into
 * that file what opens all that is said: keys, passwords and actions.  Returns false,
 * after saying so, if it is there.
 */
bool
ProcessKeepsSecrets(void)
{
	const char *file = getenv("SSLKEYLOGFILE");

	if (file == NULL || *file == '\0')
		return true;
	Log(LOG_ERROR, "SSLKEYLOGFILE is in the environment", LogText("file", file),
		LogText("why", "the secrets of TLS connections would be written there"),
		LogText("hint", "start the program without it"));
	return false;
}
