/*
 * metrics.c
 *		What the relay has counted, and the file that tells others.
 *
 * The file is in Prometheus' text format, for the textfile collector of its
 * node_exporter, and is replaced as a whole: nobody reads half of it.
 */
#include "metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"
#include "clock.h"
#include "log.h"

#define PREFIX "acteon_relay_"
/* Of figures that are not this relay's: every relay has the same. */
#define BATCH_PREFIX "acteon_replay_batch_"

Counters counters;

static const double bounds[DURATION_BUCKETS] = {
	0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
};

/*
 * Count an answer.
 */
void
CountAnswer(long status, int64_t duration)
{
	int bucket = 0;

	counters.answers[status > 0 && status < MAX_STATUS ? status : 0]++;
	while (bucket < DURATION_BUCKETS && (double) duration > bounds[bucket] * SECOND)
		bucket++;
	counters.durations[bucket]++;
	counters.duration_sum += duration;
}

/*
 * Write the head of a family of figures.
 */
static void
add_head(Buffer *out, const char *prefix, const char *name, const char *type, const char *help)
{
	BufferPrint(out, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, name, help, prefix, name, type);
}

/*
 * Write a counter.
 */
static void
add_counter(Buffer *out, const char *name, int64_t value, const char *help)
{
	add_head(out, PREFIX, name, "counter", help);
	BufferPrint(out, PREFIX "%s %lld\n", name, (long long) value);
}

/*
 * Write a gauge.
 */
static void
add_gauge(Buffer *out, const char *name, double value, const char *help)
{
	add_head(out, PREFIX, name, "gauge", help);
	BufferPrint(out, PREFIX "%s %.15g\n", name, value);
}

/*
 * Write the counters.
 */
static void
add_counters(Buffer *out, const Gauges *gauges)
{
	add_counter(out, "claimed_total", counters.claimed, "Actions claimed.");
	add_counter(out, "sent_total", counters.sent, "Requests sent.");
	add_head(out, PREFIX, "answers_total", "counter",
			 "Answers by HTTP status, none without a whole one.");
	for (int status = 0; status < MAX_STATUS; status++)
	{
		char label[16] = "none";

		if (status > 0 && counters.answers[status] == 0)
			continue;
		if (status > 0)
			snprintf(label, sizeof(label), "%d", status);
		BufferPrint(out, PREFIX "answers_total{status=\"%s\"} %lld\n", label,
					(long long) counters.answers[status]);
	}
	add_counter(out, "delivered_total", counters.delivered, "Deliveries recorded.");
	add_counter(out, "retried_total", counters.retried,
				"Actions given back after a failed attempt.");
	add_counter(out, "dead_total", counters.dead, "Actions that ended dead.");
	add_counter(out, "given_back_total", counters.given_back,
				"Actions given back without an attempt being counted.");
	add_counter(out, "lease_lost_total", counters.leases_lost,
				"Actions dropped because their lease went to somebody else.");
	add_counter(out, "database_reconnects_total", gauges->reconnects,
				"How often the database had to be connected to again.");
}

/*
 * Write the durations of the requests.
 */
static void
add_durations(Buffer *out)
{
	int64_t count = 0;

	add_head(out, PREFIX, "request_duration_seconds", "histogram", "How long requests took.");
	for (int i = 0; i < DURATION_BUCKETS; i++)
	{
		count += counters.durations[i];
		BufferPrint(out, PREFIX "request_duration_seconds_bucket{le=\"%g\"} %lld\n", bounds[i],
					(long long) count);
	}
	count += counters.durations[DURATION_BUCKETS];
	BufferPrint(out, PREFIX "request_duration_seconds_bucket{le=\"+Inf\"} %lld\n",
				(long long) count);
	BufferPrint(out, PREFIX "request_duration_seconds_sum %.6f\n",
				(double) counters.duration_sum / SECOND);
	BufferPrint(out, PREFIX "request_duration_seconds_count %lld\n", (long long) count);
}

/*
 * Write the gauges.
 */
static void
add_gauges(Buffer *out, const Gauges *gauges)
{
	static double started;

	if (started == 0)
		started = (double) ClockWall() / SECOND;
	add_gauge(out, "in_flight", gauges->in_flight, "Requests in flight.");
	add_gauge(out, "held", gauges->held, "Actions claimed whose result is not recorded yet.");
	add_gauge(out, "effective_concurrency", gauges->limit, "Requests that may be in flight now.");
	add_gauge(out, "gateway_up", gauges->gateway_up, "Whether the gateway takes actions.");
	add_gauge(out, "database_up", gauges->database_up, "Whether the database can be used.");
	if (gauges->queue_known)
	{
		add_gauge(out, "queue_depth", (double) gauges->depth, "Unfinished actions in the outbox.");
		add_gauge(out, "queue_due", (double) gauges->due, "Actions that can be claimed now.");
		add_gauge(out, "queue_leased", (double) gauges->leased,
				  "Actions that somebody has claimed.");
		add_gauge(out, "queue_dead", (double) gauges->dead, "Actions that have ended dead.");
		add_gauge(out, "queue_paused", (double) gauges->paused, "Actions of paused batches.");
		add_gauge(out, "queue_oldest_due_age_seconds", gauges->oldest_due_age,
				  "How long the oldest due action has been due.");
	}
	add_gauge(out, "start_time_seconds", started, "When the relay was started, since 1970.");
	add_head(out, PREFIX, "build_info", "gauge", "The relay's version.");
	BufferPrint(out, PREFIX "build_info{version=\"%s\"} 1\n", ACTEON_VERSION);
}

/*
 * Write how the batches stand.
 */
static void
add_batches(Buffer *out, const Gauges *gauges)
{
	static const char *const states[BATCH_STATES] = {
		[BATCH_WAITING] = "waiting",     [BATCH_RUNNING] = "running",
		[BATCH_DELIVERED] = "delivered", [BATCH_DEAD] = "dead",
		[BATCH_CANCELLED] = "cancelled",
	};

	if (gauges->batch_count == 0)
		return;
	add_head(out, BATCH_PREFIX, "actions", "gauge",
			 "Actions of a batch that is not finished, by state.");
	for (int i = 0; i < gauges->batch_count; i++)
	{
		const BatchFigures *batch = &gauges->batches[i];

		for (int state = 0; state < BATCH_STATES; state++)
			BufferPrint(out, BATCH_PREFIX "actions{batch=\"%lld\",state=\"%s\"} %lld\n",
						(long long) batch->id, states[state], (long long) batch->actions[state]);
	}
	add_head(out, BATCH_PREFIX, "paused", "gauge", "Whether a batch is paused.");
	for (int i = 0; i < gauges->batch_count; i++)
		BufferPrint(out, BATCH_PREFIX "paused{batch=\"%lld\"} %d\n",
					(long long) gauges->batches[i].id, gauges->batches[i].paused ? 1 : 0);
}

/*
 * Write a text to a new file.  Returns 0 or an errno.
 */
static int
write_file(const char *path, const Buffer *text)
{
	/* Nothing that somebody else has put there is followed or waited for. */
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = open(path, flags, 0644);
	ssize_t written;
	int error = 0;

	/* One that has crashed may have had our process id. */
	if (fd < 0 && errno == EEXIST && unlink(path) == 0)
		fd = open(path, flags, 0644);
	if (fd < 0)
		return errno;
	written = fchmod(fd, 0644) == 0 ? write(fd, text->data, text->len) : -1;
	if (written != (ssize_t) text->len)
		error = written < 0 ? errno : ENOSPC;
	if (close(fd) != 0 && error == 0)
		error = errno;
	if (error != 0)
		unlink(path);
	return error;
}

/*
 * Replace a file by one with this text.  Returns NULL, or what is wrong.
 */
static const char *
replace_file(const char *path, const Buffer *text)
{
	char *temporary;
	struct stat status;
	int error;

	/* A device or the like must not be lost to a mistake. */
	if (lstat(path, &status) == 0 && !S_ISREG(status.st_mode))
		return "there is something that is no regular file";
	temporary = Format("%s.%d.tmp", path, (int) getpid());
	error = write_file(temporary, text);
	if (error == 0 && rename(temporary, path) != 0)
	{
		error = errno;
		unlink(temporary);
	}
	free(temporary);
	return error != 0 ? strerror(error) : NULL;
}

/*
 * Write the file.  A failure is reported once, until it works again.
 */
void
MetricsWrite(const char *path, const Gauges *gauges)
{
	static bool failing;
	Buffer out = {0};
	const char *why;

	add_counters(&out, gauges);
	add_durations(&out);
	add_gauges(&out, gauges);
	add_batches(&out, gauges);
	why = replace_file(path, &out);
	if (why != NULL && !failing)
		Log(LOG_ERROR, "cannot write the metrics file", LogText("file", path),
			LogText("error", why));
	failing = why != NULL;
	BufferFree(&out);
}
