/*
 * metrics.h
 *		What the relay has counted, and the file that tells others.
 */
#ifndef METRICS_H
#define METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/prometheus.h"

#define MAX_STATUS 1000

/* Counters since the start. */
typedef struct Counters
{
	int64_t claimed;
	int64_t sent;
	int64_t answers[MAX_STATUS]; /* by status; 0 is no whole answer */
	int64_t delivered;
	int64_t retried;
	int64_t dead;
	int64_t doubted;
	int64_t given_back;
	int64_t leases_lost; /* actions */
	Histogram durations; /* of requests */
} Counters;

/* Batches that figures are kept of. */
#define MAX_BATCHES 50

/* States of the actions of a batch. */
typedef enum BatchState
{
	BATCH_WAITING,
	BATCH_RUNNING,
	BATCH_DELIVERED,
	BATCH_DEAD,
	BATCH_CANCELLED,
	BATCH_EXPIRED
} BatchState;

#define BATCH_STATES (BATCH_EXPIRED + 1)

/* How a batch stands. */
typedef struct BatchFigures
{
	int64_t id;
	int64_t actions[BATCH_STATES];
	bool paused;
} BatchFigures;

/* How it stands now. */
typedef struct Gauges
{
	int in_flight;
	int held;
	int limit;
	bool running;       /* the relay has not ended */
	bool gateway_known; /* it was found out whether it is up */
	bool gateway_up;
	bool database_up;
	int64_t reconnects;
	bool queue_known;
	int64_t depth;
	int64_t due;
	int64_t retrying;
	int64_t scheduled;
	int64_t leased;
	int64_t dead;
	int64_t dead_5m;
	double oldest_due_age;
	int64_t paused;
	int64_t in_doubt;
	int64_t held_in_doubt;
	const BatchFigures *batches; /* that are not finished */
	int batch_count;
} Gauges;

extern Counters counters;

extern void CountAnswer(long status, int64_t duration);
extern void MetricsText(Buffer *out, const Gauges *gauges);
extern void MetricsWrite(const char *path, const Gauges *gauges);

#endif
