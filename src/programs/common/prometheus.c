/*
 * prometheus.c
 *		Figures in Prometheus' text format.
 *
 * See "Exposition formats" in Prometheus' documentation.  Help texts must not
 * hold backslashes or line ends.
 */
#include "common/prometheus.h"

#include "common/clock.h"

/* Upper ends of the buckets, in seconds. */
static const double bounds[HISTOGRAM_BUCKETS] = {
	0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
};

/*
 * Count a duration, in microseconds.
 */
void
HistogramAdd(Histogram *histogram, int64_t duration)
{
	int bucket = 0;

	while (bucket < HISTOGRAM_BUCKETS && (double) duration > bounds[bucket] * SECOND)
		bucket++;
	histogram->counts[bucket]++;
	histogram->sum += duration;
}

/*
 * Write the head of a family of figures.
 */
void
PrometheusHead(Buffer *out, const char *name, const char *type, const char *help)
{
	BufferPrint(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/*
 * Write a counter.
 */
void
PrometheusCounter(Buffer *out, const char *name, int64_t value, const char *help)
{
	PrometheusHead(out, name, "counter", help);
	BufferPrint(out, "%s %lld\n", name, (long long) value);
}

/*
 * Write a gauge.
 */
void
PrometheusGauge(Buffer *out, const char *name, double value, const char *help)
{
	PrometheusHead(out, name, "gauge", help);
	BufferPrint(out, "%s %.15g\n", name, value);
}

/*
 * Write a histogram, in seconds.
 */
void
PrometheusHistogram(Buffer *out, const char *name, const Histogram *histogram, const char *help)
{
	int64_t count = 0;

	PrometheusHead(out, name, "histogram", help);
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
	{
		count += histogram->counts[i];
		BufferPrint(out, "%s_bucket{le=\"%g\"} %lld\n", name, bounds[i], (long long) count);
	}
	count += histogram->counts[HISTOGRAM_BUCKETS];
	BufferPrint(out, "%s_bucket{le=\"+Inf\"} %lld\n", name, (long long) count);
	BufferPrint(out, "%s_sum %.6f\n", name, (double) histogram->sum / SECOND);
	BufferPrint(out, "%s_count %lld\n", name, (long long) count);
}
