/*
 * metrics.h
 *		What the server has counted, in Prometheus' text format.
 */
#ifndef METRICS_H
#define METRICS_H

#include "common/prometheus.h"
#include "http/pool.h"
#include "http/routes.h"

#define MAX_STATUS 600

typedef struct Figures
{
	int64_t answers[MAX_ROUTES][MAX_STATUS]; /* by route and status */
	Histogram durations;
	int64_t abandoned; /* clients that did not wait for the answer */
	int64_t repeated;  /* answers to an idempotency key that was known */
	int connections;
	int requests; /* under way */
	int64_t started;
} Figures;

extern void FiguresCount(Figures *figures, const Route *route, int status, int64_t duration);
extern void FiguresWrite(const Figures *figures, const PoolFigures *pool, Buffer *out);

#endif
