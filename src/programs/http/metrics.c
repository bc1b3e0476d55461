/*
 * metrics.c
 *		The server's metrics, in Prometheus' text format.
 *
 * They contain no tenants, keys or actions, because everybody who can connect
 * to the port can read them.
 */
#include "http/metrics.h"

#include "common/clock.h"

#define PREFIX "acteon_replay_http_"

/*
 * Count an answer; route is NULL for a path that nothing is at.
 */
void
FiguresCount(Figures *figures, const Route *route, int status, int64_t duration)
{
	int index = route != NULL ? (int) (route - routes) : MAX_ROUTES - 1;

	figures->answers[index][status < MAX_STATUS ? status : 0]++;
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
	for (int index = 0; index < MAX_ROUTES; index++)
	{
		const Route *route = index < route_count ? &routes[index] : NULL;

		for (int status = 0; status < MAX_STATUS; status++)
		{
			if (figures->answers[index][status] > 0)
				BufferPrint(out,
							PREFIX
							"requests_total{method=\"%s\",route=\"%s\",status=\"%d\"} %lld\n",
							route != NULL ? route->method : "",
							route != NULL ? route->path : "none", status,
							(long long) figures->answers[index][status]);
		}
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
