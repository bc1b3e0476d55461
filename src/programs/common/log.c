/*
 * log.c
 *		What the program has to say: one line an event on stderr.
 *
 * A line is the time, the level, the event and fields, as key=value:
 *
 *		2026-01-15T12:00:00.123Z info event="connected to the database" server=15.4
 *
 * Under systemd, whose journal has times and levels of its own, the time is
 * left out and the level goes first as sd-daemon(3) wants it.  On a terminal
 * one status line may stand below the last event.
 *
 * Who reads the lines may be slow, or stalled.  Leases cannot wait for that:
 * what cannot be written now is lost, and how many lines were is told later.
 */
#include "common/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"

LogLevel log_level = LOG_INFO;

/* The names of the levels, and what syslog calls them. */
static const struct
{
	const char *name;
	char priority;
} levels[] = {
	[LOG_ERROR] = {"error", '3'},
	[LOG_WARNING] = {"warning", '4'},
	[LOG_INFO] = {"info", '6'},
	[LOG_DEBUG] = {"debug", '7'},
};

static bool to_journal;
static Buffer line;
static Buffer status; /* the status line that is shown now */
static int64_t lost;  /* lines that could not be written */
static bool is_torn;  /* the last one that was written lacks its end */

/*
 * Begin to log what is at least as important as a level.
 */
void
LogStart(LogLevel level)
{
	log_level = level;
	to_journal = getenv("JOURNAL_STREAM") != NULL && !isatty(STDERR_FILENO);
}

/*
 * Find a level by its name.
 */
bool
LogParseLevel(const char *name, LogLevel *level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
	{
		if (strcmp(name, levels[i].name) == 0)
		{
			*level = (LogLevel) i;
			return true;
		}
	}
	return false;
}

/*
 * Append a value, in quotes if it has anything but plain characters.
 */
static void
append_value(const char *text, bool always_quote)
{
	bool plain = !always_quote && *text != '\0';

	for (const char *c = text; *c != '\0' && plain; c++)
		plain = (unsigned char) *c > ' ' && strchr("\"=\\\177", *c) == NULL;
	if (plain)
	{
		BufferAppendText(&line, text);
		return;
	}
	BufferAppendChar(&line, '"');
	for (const char *c = text; *c != '\0'; c++)
	{
		if (*c == '"' || *c == '\\')
			BufferAppendChar(&line, '\\');
		if (*c == '\n')
			BufferAppendText(&line, c[1] == '\0' ? "" : "\\n");
		else
			BufferAppendChar(&line, (unsigned char) *c < ' ' || *c == '\177' ? ' ' : *c);
	}
	BufferAppendChar(&line, '"');
}

/*
 * Append the time in UTC, with milliseconds.
 */
static void
append_time(void)
{
	int64_t now = ClockWall();
	time_t seconds = now / SECOND;
	struct tm utc;

	gmtime_r(&seconds, &utc);
	BufferPrint(&line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ", utc.tm_year + 1900, utc.tm_mon + 1,
				utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
				(int) (now % SECOND / MILLISECOND));
}

/*
 * Write the line out, in one piece unless it is longer than a pipe can take for
 * sure.  False if nobody takes it now; there is nobody to tell of other
 * failures.
 */
static bool
write_out(void)
{
	/* A file and a terminal can always be written to. */
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	size_t done = 0;

	while (done < line.len)
	{
		size_t piece = line.len - done < PIPE_BUF ? line.len - done : PIPE_BUF;
		ssize_t written = 0;

		if (poll(&out, 1, 0) <= 0 ||
			((written = write(STDERR_FILENO, line.data + done, piece)) < 0 && errno == EAGAIN))
		{
			is_torn = is_torn || done > 0;
			return false;
		}
		if (written <= 0)
			break;
		done += (size_t) written;
	}
	is_torn = false;
	return true;
}

/*
 * Write the line of an event.  False if nobody takes it now.
 */
static bool
write_event(LogLevel level, const char *event, const LogField *fields, size_t count)
{
	BufferClear(&line);
	if (is_torn)
		BufferAppendChar(&line, '\n');
	if (status.len > 0)
		BufferAppendText(&line, "\r\033[K");
	if (to_journal)
		BufferPrint(&line, "<%c>", levels[level].priority);
	else
		append_time();
	BufferPrint(&line, "%s event=", levels[level].name);
	append_value(event, true);
	for (size_t i = 0; i < count; i++)
	{
		BufferPrint(&line, " %s=", fields[i].key);
		if (fields[i].text != NULL)
			append_value(fields[i].text, false);
		else
			BufferPrint(&line, "%lld", (long long) fields[i].number);
	}
	BufferAppendChar(&line, '\n');
	BufferAppend(&line, status.data, status.len);
	return write_out();
}

/*
 * Log one event.  Callers use the macro Log, which looks at the level first.
 */
void
LogWrite(LogLevel level, const char *event, const LogField *fields, size_t count)
{
	if (lost > 0 &&
		write_event(LOG_WARNING, "lines of the log were lost", &LogNumber("lines", lost), 1))
		lost = 0;
	if (lost > 0 || !write_event(level, event, fields, count))
		lost++;
}

/*
 * Show a status line on the terminal instead of the last one; "" takes it away.
 */
void
LogStatus(const char *text)
{
	BufferClear(&status);
	BufferAppendText(&status, text);
	BufferClear(&line);
	BufferAppendText(&line, "\r\033[K");
	BufferAppend(&line, status.data, status.len);
	write_out();
}

/*
 * Log what libmicrohttpd complains about, which is mostly a client's doing; for
 * MHD_OPTION_EXTERNAL_LOGGER.
 */
void
LogLibmicrohttpd(void *owner, const char *format, va_list args)
{
	char message[400];

	(void) owner;
	vsnprintf(message, sizeof(message), format, args);
	Log(LOG_DEBUG, "libmicrohttpd says", LogText("message", message));
}
