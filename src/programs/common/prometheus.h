/*
 * prometheus.h
 *		Figures in Prometheus' text format.
 */
#ifndef PROMETHEUS_H
#define PROMETHEUS_H

#include <stdint.h>

#include "common/buffer.h"

#define HISTOGRAM_BUCKETS 13

/* Of an answer over HTTP. */
#define PROMETHEUS_MEDIA_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Durations, counted by how long they were. */
typedef struct Histogram
{
	int64_t counts[HISTOGRAM_BUCKETS + 1];
	int64_t sum;
} Histogram;

extern void HistogramAdd(Histogram *histogram, int64_t duration);

extern void PrometheusHead(Buffer *out, const char *name, const char *type, const char *help);
extern void PrometheusCounter(Buffer *out, const char *name, int64_t value, const char *help);
extern void PrometheusGauge(Buffer *out, const char *name, double value, const char *help);
extern void
PrometheusHistogram(Buffer *out, const char *name, const Histogram *histogram, const char *help);

#endif
