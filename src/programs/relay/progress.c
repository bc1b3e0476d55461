/*
 * progress.c
 *		Progress reports for people.
 *
 * A drain shows one line that is rewritten in place on a terminal, and
 * otherwise a line in the log every few seconds.  The daemon logs a summary once
 * a minute, if anything has happened.
 */
#include "relay/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "relay/metrics.h"

#define TERMINAL_INTERVAL (500 * MILLISECOND)
#define DRAIN_INTERVAL (5 * SECOND)
#define SUMMARY_INTERVAL MINUTE

/*
 * Begin.
 */
void
ProgressStart(Progress *progress, bool draining, int64_t now)
{
	*progress = (Progress){.draining = draining, .started = now, .last_time = now};
	progress->on_terminal = draining && isatty(STDERR_FILENO);
	progress->due = now + (progress->on_terminal ? TERMINAL_INTERVAL
						   : draining            ? DRAIN_INTERVAL
												 : SUMMARY_INTERVAL);
}

/*
 * Write how much time is left, such as 1:05, for a number of seconds.
 */
static void
format_time(char *dst, size_t size, double seconds)
{
	int64_t total = (int64_t) (seconds + 0.5);

	if (total >= 3600)
		snprintf(dst, size, "%lld:%02d:%02d", (long long) (total / 3600), (int) (total % 3600 / 60),
				 (int) (total % 60));
	else
		snprintf(dst, size, "%d:%02d", (int) (total / 60), (int) (total % 60));
}

/*
 * Say how far the drain has come; left is -1 while nobody knows.
 */
static void
show_drain(Progress *progress, int64_t done, int64_t left)
{
	char time[32] = "?";
	char line[200];

	if (left >= 0 && progress->rate > 0.1)
		format_time(time, sizeof(time), (double) left / progress->rate);
	if (!progress->on_terminal)
	{
		Log(LOG_INFO, "draining", LogNumber("done", done),
			LogNumber("total", left < 0 ? -1 : done + left),
			LogNumber("rate", (int64_t) (progress->rate + 0.5)), LogText("time_left", time),
			LogNumber("retries", counters.retried), LogNumber("dead", counters.dead));
		return;
	}
	if (left < 0)
		snprintf(line, sizeof(line), "%lld done", (long long) done);
	else
		snprintf(line, sizeof(line),
				 "%lld of %lld done (%d %%), %.0f/s, %s left, %lld retries, %lld dead",
				 (long long) done, (long long) (done + left),
				 (int) (done + left > 0 ? 100 * done / (done + left) : 100), progress->rate, time,
				 (long long) counters.retried, (long long) counters.dead);
	LogStatus(line);
}

/*
 * Say something, if it is time to; *wake is brought forward to the next time.
 * left is how many actions are left to deliver, -1 if that is not known.
 */
void
ProgressShow(Progress *progress, int64_t left, int64_t now, int64_t *wake)
{
	int64_t done = counters.delivered + counters.dead;
	double seconds = (double) (now - progress->last_time) / SECOND;
	double rate;

	if (now < progress->due)
	{
		*wake = Earlier(*wake, progress->due);
		return;
	}
	rate = (double) (done - progress->last_done) / seconds;
	progress->rate =
		progress->rate == 0 || !progress->on_terminal ? rate : progress->rate * 0.8 + rate * 0.2;
	if (progress->draining)
		show_drain(progress, done, left);
	else if (done != progress->last_done)
		Log(LOG_INFO, "at work", LogNumber("done", done - progress->last_done),
			LogNumber("rate", (int64_t) (rate + 0.5)),
			LogNumber("delivered_total", counters.delivered),
			LogNumber("retried_total", counters.retried), LogNumber("dead_total", counters.dead),
			LogNumber("left", left));
	progress->last_done = done;
	progress->last_time = now;
	progress->due = now + (progress->on_terminal ? TERMINAL_INTERVAL
						   : progress->draining  ? DRAIN_INTERVAL
												 : SUMMARY_INTERVAL);
	*wake = Earlier(*wake, progress->due);
}

/*
 * Say how it ended; paused is how many actions have been left in paused batches, held
 * how many are in doubt until a person decides.
 */
void
ProgressEnd(Progress *progress, bool drained, int64_t paused, int64_t held, int64_t now)
{
	int64_t elapsed = now - progress->started;
	int64_t done = counters.delivered + counters.dead;

	if (progress->on_terminal)
		LogStatus("");
	Log(LOG_INFO, drained ? "drained" : "stopped", LogNumber("claimed", counters.claimed),
		LogNumber("delivered", counters.delivered), LogNumber("retries", counters.retried),
		LogNumber("dead", counters.dead), LogNumber("given_back", counters.given_back),
		LogNumber("in_doubt", counters.doubted), LogNumber("ms", elapsed / MILLISECOND),
		LogNumber("rate", elapsed > 0 ? done * SECOND / elapsed : 0));
	if (drained && paused > 0)
		Log(LOG_WARNING, "batches are paused", LogNumber("actions", paused),
			LogText("hint",
					"acteon_replay_batches tells why, acteon_replay_resume has them go on"));
	if (drained && held > 0)
		Log(LOG_WARNING, "actions are held, since nobody knows whether they were executed",
			LogNumber("actions", held),
			LogText("hint", "acteon_replay_items tells why, acteon_replay_settle decides"));
}
