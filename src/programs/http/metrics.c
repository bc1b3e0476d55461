/*
 * metrics.c
 *		The server's metrics, in Prometheus' text format.
 *
 * They contain no tenants, keys or actions, because everybody who can connect
 * to the port can read them.
 */
#include "http/metrics.h"

#include <string.h>

#include "common/clock.h"

#define PREFIX "acteon_replay_http_"

/*
 * The method of a request, as it is counted.  Clients can send any.
 */
static const char *
counted_method(const char *method)
{
	static const char *const methods[] = {"GET", "HEAD",  "POST",  "OPTIONS",
										  "PUT", "PATCH", "DELETE"};

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
	{
		if (strcmp(method, methods[i]) == 0)
			return methods[i];
	}
	return "other";
}

/*
 * Count an answer; route is NULL for a path that nothing is at.  There are as many
 * counts as there are combinations that have occurred.
 */
void
FiguresCount(Figures *figures, const Route *route, const char *method, int status, int64_t duration)
{
	AnswerCount *answer = figures->answers;

	method = counted_method(method);
	while (answer < figures->answers + figures->answer_count &&
		   (answer->route != route || answer->status != status || answer->method != method))
		answer++;
	if (answer == figures->answers + figures->answer_count)
	{
		figures->answers = Reallocate(figures->answers,
									  (size_t) (figures->answer_count + 1) * sizeof(AnswerCount));
		answer = &figures->answers[figures->answer_count++];
		*answer = (AnswerCount){route, method, status, 0};
	}
	answer->count++;
	HistogramAdd(&figures->durations, duration);
}

/*
 * Write them.
 */
void
FiguresWrite(const Figures *figures, const PoolFigures *pool, Buffer *out)
{
	PrometheusHead(out, PREFIX "requests_total", "counter",
				   "Requests answered, by route and status.");
	for (int i = 0; i < figures->answer_count; i++)
	{
		const AnswerCount *answer = &figures->answers[i];

		BufferPrint(out, PREFIX "requests_total{method=\"%s\",route=\"%s\",status=\"%d\"} %lld\n",
					answer->method, answer->route != NULL ? answer->route->path : "none",
					answer->status, (long long) answer->count);
	}
	PrometheusHistogram(out, PREFIX "request_duration_seconds", &figures->durations,
						"How long requests took, until the answer was ready.");
	PrometheusCounter(out, PREFIX "abandoned_total", figures->abandoned,
					  "Requests whose client went away before the answer.");
	PrometheusCounter(out, PREFIX "repeated_total", figures->repeated,
					  "Requests that got the first answer to their Idempotency-Key again.");
	PrometheusGauge(out, PREFIX "connections", figures->connections, "Connections of clients.");
	PrometheusGauge(out, PREFIX "requests_in_progress", figures->requests, "Requests under way.");
	PrometheusGauge(out, PREFIX "database_connections", pool->ready,
					"Connections to the database that work.");
	PrometheusGauge(out, PREFIX "database_connections_busy", pool->busy, "Those that are at work.");
	PrometheusGauge(out, PREFIX "queue_length", pool->queued,
					"Requests that wait for one of them.");
	PrometheusCounter(out, PREFIX "database_reconnects_total", pool->reconnects,
					  "How often a connection had to be made again.");
	PrometheusGauge(out, PREFIX "start_time_seconds", (double) figures->started / SECOND,
					"When the server was started, since 1970.");
	PrometheusHead(out, PREFIX "build_info", "gauge", "The server's version.");
	BufferPrint(out, PREFIX "build_info{version=\"%s\"} 1\n", ACTEON_VERSION);
}
