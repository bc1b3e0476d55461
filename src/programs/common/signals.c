/*
 * signals.c
 *		Signals, as flags for the loop.
 *
 * They are blocked and read from a descriptor like anything else, so nothing
 * is ever interrupted.
 */
#include "common/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"

SignalFlags signal_flags;

static int signal_fd = -1;

/*
 * Note the signals that have come.
 */
static void
signals_ready(void *owner, int fd, uint32_t events)
{
	struct signalfd_siginfo signal;

	(void) owner;
	(void) events;
	while (read(fd, &signal, sizeof(signal)) == (ssize_t) sizeof(signal))
	{
		if (signal.ssi_signo == SIGHUP)
			signal_flags.reload = true;
		else
			signal_flags.stop++;
	}
}

/*
 * Take SIGTERM, SIGINT and SIGHUP from now on; ignore SIGPIPE.
 */
void
SignalsStart(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 ||
		(signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) < 0)
	{
		Log(LOG_ERROR, "cannot take signals", LogText("error", strerror(errno)));
		exit(1);
	}
	LoopWatch(signal_fd, EPOLLIN, signals_ready, NULL);
}

/*
 * Stop taking them; those that come after this are left pending.
 */
void
SignalsEnd(void)
{
	LoopForget(signal_fd);
	close(signal_fd);
}
