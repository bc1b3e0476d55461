/*
 * metrics.c
 *		The relay's metrics, and the file for them.
 *
 * The file is in Prometheus' text format, for the textfile collector of its
 * node_exporter.  It is replaced atomically, so that it is never read
 * half-written.  It outlives the relay: the last one has only what has been counted
 * and says that the relay has ended, and that of a relay which was killed is told by the
 * time at which it was written.
 */
#include "relay/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/prometheus.h"
#include "query/states.h"

#define PREFIX "acteon_relay_"
/* Of figures that are not this relay's: every relay has the same. */
#define BATCH_PREFIX "acteon_replay_batch_"

Counters counters;

/*
 * Count an answer.
 */
void
CountAnswer(long status, int64_t duration)
{
	counters.answers[status > 0 && status < MAX_STATUS ? status : 0]++;
	HistogramAdd(&counters.durations, duration);
}

/*
 * Write the counters.
 */
static void
add_counters(Buffer *out, const Gauges *gauges)
{
	PrometheusCounter(out, PREFIX "claimed_total", counters.claimed, "Actions claimed.");
	PrometheusCounter(out, PREFIX "sent_total", counters.sent, "Requests sent.");
	PrometheusHead(out, PREFIX "answers_total", "counter",
				   "Answers by HTTP status, none without a whole one; of Kafka, 200 is an "
				   "acknowledgement.");
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
	PrometheusCounter(out, PREFIX "delivered_total", counters.delivered, "Deliveries recorded.");
	PrometheusCounter(out, PREFIX "retried_total", counters.retried,
					  "Actions given back after a failed attempt.");
	PrometheusCounter(out, PREFIX "dead_total", counters.dead, "Actions that ended dead.");
	PrometheusCounter(out, PREFIX "given_back_total", counters.given_back,
					  "Actions given back without an attempt being counted.");
	PrometheusCounter(out, PREFIX "doubted_total", counters.doubted,
					  "Actions of which the answer did not come.");
	PrometheusCounter(out, PREFIX "lease_lost_total", counters.leases_lost,
					  "Actions dropped because their lease went to somebody else.");
	PrometheusCounter(out, PREFIX "database_reconnects_total", gauges->reconnects,
					  "How often the database had to be connected to again.");
}

/*
 * Write how the queue is.
 */
static void
add_queue(Buffer *out, const Gauges *gauges)
{
	PrometheusGauge(out, PREFIX "queue_depth", (double) gauges->depth,
					"Unfinished actions in the outbox.");
	PrometheusGauge(out, PREFIX "queue_due", (double) gauges->due,
					"Actions that can be claimed now.");
	PrometheusGauge(out, PREFIX "queue_retrying", (double) gauges->retrying,
					"Actions that wait after a failed attempt.");
	PrometheusGauge(out, PREFIX "queue_scheduled", (double) gauges->scheduled,
					"Actions that become due later.");
	PrometheusGauge(out, PREFIX "queue_leased", (double) gauges->leased,
					"Actions that somebody has claimed.");
	PrometheusGauge(out, PREFIX "queue_dead", (double) gauges->dead,
					"Actions that have ended dead.");
	PrometheusGauge(out, PREFIX "queue_dead_5m", (double) gauges->dead_5m,
					"Actions that ended dead in the last five minutes.");
	PrometheusGauge(out, PREFIX "queue_in_doubt", (double) gauges->in_doubt,
					"Actions of which nobody knows yet whether they were executed.");
	PrometheusGauge(out, PREFIX "queue_held", (double) gauges->held_in_doubt,
					"Of these, how many wait for a person or a record.");
	PrometheusGauge(out, PREFIX "queue_paused", (double) gauges->paused,
					"Actions of paused batches.");
	PrometheusGauge(out, PREFIX "queue_oldest_due_age_seconds", gauges->oldest_due_age,
					"How long the oldest due action has been due.");
}

/*
 * Write the gauges.  What is not known, or is no longer so when the relay has ended, is
 * left out.
 */
static void
add_gauges(Buffer *out, const Gauges *gauges)
{
	static double started;

	if (started == 0)
		started = (double) ClockWall() / SECOND;
	PrometheusGauge(out, PREFIX "in_flight", gauges->in_flight, "Requests in flight.");
	PrometheusGauge(out, PREFIX "held", gauges->held,
					"Actions claimed whose result is not recorded yet.");
	if (gauges->running)
		PrometheusGauge(out, PREFIX "effective_concurrency", gauges->limit,
						"Requests that may be in flight now.");
	if (gauges->running && gauges->gateway_known)
		PrometheusGauge(out, PREFIX "gateway_up", gauges->gateway_up,
						"Whether the gateway, or Kafka, can be reached and takes actions.");
	if (gauges->running)
		PrometheusGauge(out, PREFIX "database_up", gauges->database_up,
						"Whether the database can be used.");
	if (gauges->running && gauges->queue_known)
		add_queue(out, gauges);
	PrometheusGauge(out, PREFIX "up", gauges->running, "Whether the relay runs, or has ended.");
	PrometheusGauge(out, PREFIX "written_time_seconds", (double) ClockWall() / SECOND,
					"When these figures were written, since 1970.");
	PrometheusGauge(out, PREFIX "start_time_seconds", started,
					"When the relay was started, since 1970.");
	PrometheusHead(out, PREFIX "build_info", "gauge", "The relay's version.");
	BufferPrint(out, PREFIX "build_info{version=\"%s\"} 1\n", ACTEON_VERSION);
}

/*
 * Write how the batches stand.
 */
static void
add_batches(Buffer *out, const Gauges *gauges)
{
	static const char *const states[BATCH_STATES] = {
		[BATCH_WAITING] = STATE_WAITING,     [BATCH_RUNNING] = STATE_RUNNING,
		[BATCH_DELIVERED] = STATE_DELIVERED, [BATCH_DEAD] = STATE_DEAD,
		[BATCH_CANCELLED] = STATE_CANCELLED, [BATCH_EXPIRED] = STATE_EXPIRED,
	};

	if (!gauges->running || gauges->batch_count == 0)
		return;
	PrometheusHead(out, BATCH_PREFIX "actions", "gauge",
				   "Actions of a batch that is not finished, by state.");
	for (int i = 0; i < gauges->batch_count; i++)
	{
		const BatchFigures *batch = &gauges->batches[i];

		for (int state = 0; state < BATCH_STATES; state++)
			BufferPrint(out, BATCH_PREFIX "actions{batch=\"%lld\",state=\"%s\"} %lld\n",
						(long long) batch->id, states[state], (long long) batch->actions[state]);
	}
	PrometheusHead(out, BATCH_PREFIX "paused", "gauge", "Whether a batch is paused.");
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
		return "there is something that is not a regular file";
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
 * Write all of it.
 */
void
MetricsText(Buffer *out, const Gauges *gauges)
{
	add_counters(out, gauges);
	PrometheusHistogram(out, PREFIX "request_duration_seconds", &counters.durations,
						"How long requests took.");
	add_gauges(out, gauges);
	add_batches(out, gauges);
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

	MetricsText(&out, gauges);
	why = replace_file(path, &out);
	if (why != NULL && !failing)
		Log(LOG_ERROR, "cannot write the metrics file", LogText("file", path),
			LogText("error", why));
	failing = why != NULL;
	BufferFree(&out);
}
