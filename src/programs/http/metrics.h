/*
 * metrics.h
 *		What the server has counted, in Prometheus' text format.
 */
#ifndef METRICS_H
#define METRICS_H

#include "common/prometheus.h"
#include "http/pool.h"
#include "http/routes.h"

/* How many requests with a method were answered with a status at a path. */
typedef struct AnswerCount
{
	const Route *route; /* NULL: there is nothing at the path */
	const char *method;
	int status;
	int64_t count;
} AnswerCount;

typedef struct Figures
{
	AnswerCount *answers;
	int answer_count;
	Histogram durations;
	int64_t abandoned; /* clients that did not wait for the answer */
	int64_t repeated;  /* answers to an idempotency key that was known */
	int connections;
	int requests; /* under way */
	int64_t started;
} Figures;

extern void FiguresCount(Figures *figures, const Route *route, const char *method, int status,
						 int64_t duration);
extern void FiguresWrite(const Figures *figures, const PoolFigures *pool, Buffer *out);

#endif
