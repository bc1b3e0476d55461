/*
 * secret.c
 *		Files that hold secrets.
 *
 * Secrets are read straight into memory of their final size, and that is
 * overwritten when it is given back.  Nothing here, and no error, shows one.
 */
#include "common/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define MAX_SECRET (64 * 1024)

/* How long a pipe may take. */
#define PIPE_TIMEOUT (10 * SECOND)

/*
 * Read what there is.  Who writes into a pipe is waited for, but not for ever:
 * keys are also read again while leases run.
 */
static ssize_t
read_some(int fd, char *dst, size_t size, int64_t until)
{
	struct pollfd in = {.fd = fd, .events = POLLIN};
	ssize_t got;

	while ((got = read(fd, dst, size)) < 0 && (errno == EAGAIN || errno == EINTR))
	{
		int64_t left = until - ClockNow();

		if (left <= 0)
		{
			errno = ETIMEDOUT;
			return -1;
		}
		poll(&in, 1, (int) (left / MILLISECOND) + 1);
	}
	return got;
}

/*
 * Read a whole file, or all that a pipe gives.  False with an error, which the
 * caller frees, if it cannot be read or is no file of a sensible size.
 */
bool
SecretRead(const char *path, Buffer *secret, char **error)
{
	int64_t until = ClockNow() + PIPE_TIMEOUT;
	ssize_t got = 0;
	/* Else a pipe that nobody writes into would keep us here. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	*secret = (Buffer){0};
	if (fd < 0)
	{
		*error = Format("cannot open \"%s\": %s", path, strerror(errno));
		return false;
	}
	BufferReserve(secret, MAX_SECRET + 1);
	while (secret->len <= MAX_SECRET && (got = read_some(fd, secret->data + secret->len,
														 MAX_SECRET + 1 - secret->len, until)) > 0)
		secret->len += (size_t) got;
	*error = NULL;
	if (got < 0)
		*error = Format("cannot read \"%s\": %s", path, strerror(errno));
	else if (secret->len > MAX_SECRET)
		*error = Format("\"%s\" is too large to hold a key", path);
	close(fd);
	if (*error != NULL)
	{
		BufferWipe(secret);
		return false;
	}
	secret->data[secret->len] = '\0';
	return true;
}

/*
 * Read the key for the gateway: one line of printable ASCII, so that nothing in
 * it can end the header that it is sent in.
 */
bool
SecretReadApiKey(const char *path, Buffer *key, char **error)
{
	if (!SecretRead(path, key, error))
		return false;
	while (key->len > 0 && strchr(" \t\r\n", key->data[key->len - 1]) != NULL)
		key->data[--key->len] = '\0';
	if (key->len == 0)
		*error = Format("\"%s\" is empty", path);
	for (size_t i = 0; i < key->len && *error == NULL; i++)
	{
		if (key->data[i] <= ' ' || key->data[i] > '~')
			*error = Format("\"%s\" must hold one key and nothing else, without blanks", path);
	}
	if (*error == NULL)
		return true;
	BufferWipe(key);
	return false;
}

/*
 * Read a file with keys, one a line, blank lines and comments aside, and have each line
 * taken, without the blanks around it.  False with an error, which the caller frees, if
 * one is not what was expected.  A file without any is refused: it was truncated, or is
 * not yet written.
 */
bool
SecretReadLines(const char *path, bool (*take)(void *owner, const char *line, size_t len),
				void *owner, const char *expected, char **error)
{
	Buffer file;
	int number = 0, taken = 0;

	if (!SecretRead(path, &file, error))
		return false;
	for (char *at = file.data, *end = file.data + file.len; at < end && *error == NULL;)
	{
		char *newline = memchr(at, '\n', (size_t) (end - at));
		char *stop = newline != NULL ? newline : end;
		char *next = stop + 1;

		number++;
		while (at < stop && strchr(" \t\r", *at) != NULL)
			at++;
		while (at < stop && strchr(" \t\r", stop[-1]) != NULL)
			stop--;
		if (at < stop && *at != '#')
		{
			taken++;
			if (!take(owner, at, (size_t) (stop - at)))
				*error =
					Format("line %d of \"%s\" is not a key: expected %s", number, path, expected);
		}
		at = next;
	}
	if (*error == NULL && taken == 0)
		*error = Format("\"%s\" holds no key", path);
	BufferWipe(&file);
	return *error == NULL;
}

/*
 * Can others than the file's owner read it?  What systemd hands to a service is in
 * a directory of that service alone, whatever the modes there.
 */
bool
SecretIsExposed(const char *path)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	size_t len = credentials != NULL ? strlen(credentials) : 0;
	struct stat status;

	if (len > 0 && strncmp(path, credentials, len) == 0 && path[len] == '/')
		return false;
	return stat(path, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 044) != 0;
}

/*
 * Warn if others can read it.
 */
void
SecretWarnIfExposed(const char *path)
{
	if (SecretIsExposed(path))
		Log(LOG_WARNING, "others can read this key file", LogText("file", path),
			LogText("hint", "chmod 600"));
}
