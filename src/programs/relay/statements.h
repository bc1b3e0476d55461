/*
 * statements.h
 *		The statements of the queue.
 */
#ifndef STATEMENTS_H
#define STATEMENTS_H

#include "common/array.h"
#include "common/database.h"
#include "common/extension.h"
#include "relay/held.h"
#include "relay/metrics.h"
#include "relay/results.h"

/* The statements, for the schema that the extension is in. */
typedef struct Queue
{
	char *claim;
	char *finish[RESULT_KINDS];
	char *extend;
	char *stats;
	char *batches;
	char *target;   /* whose actions are claimed */
	char *sleep;    /* NULL if a consumer cannot say that it sleeps */
	bool describes; /* a claim tells facts of the actions */
	ExtensionSkills skills;
	Array arrays[5]; /* memory that is used again and again */
} Queue;

/* A row of acteon_outbox_stats. */
typedef struct QueueStats
{
	int64_t depth;
	int64_t due;
	int64_t retrying;
	int64_t scheduled;
	int64_t leased;
	int64_t dead;
	double oldest_due_age; /* seconds */
	int64_t paused;
	int64_t dead_5m;
	int64_t in_doubt;
	int64_t held;   /* of those, what does not end by itself */
	int64_t canary; /* held back, and released without a person */
} QueueStats;

/* The column of a claim with the microseconds in which an action expires. */
#define CLAIMED_EXPIRES_IN 5

/* The oldest extension that the statements can be written for. */
#define OLDEST_EXTENSION "1.0"

#define QUEUE_CHANNEL "acteon_dispatch_outbox"

/* Sets what a session of ours needs; see DatabaseSession. */
extern const char queue_session_sql[];

/* The same where somebody else executes what is delivered. */
extern const char queue_stream_session_sql[];

extern void QueuePrepare(Queue *queue, PGconn *conn, const char *schema, ExtensionSkills skills,
						 const char *target, bool describes);
extern void QueueFree(Queue *queue);
extern void QueueClaim(Queue *queue, Database *database, const char *consumer, const char *place,
					   int count, int64_t lease, DatabaseDone done);
extern Facts *QueueReadFacts(PGresult *result, int row);
extern void QueueFinish(Queue *queue, Database *database, ResultKind kind, const Result *first,
						int count, DatabaseDone done);
extern void QueueTry(Queue *queue, Database *database, ResultKind kind, const Result *result,
					 DatabaseDone done);
extern void QueueExtend(Queue *queue, Database *database, const Lease *leases, int64_t lease,
						DatabaseDone done);
extern void QueueAskStats(Queue *queue, Database *database, DatabaseDone done);
extern void QueueReadStats(PGresult *result, QueueStats *stats);
extern void QueueAskBatches(Queue *queue, Database *database, DatabaseDone done);
extern int QueueReadBatches(PGresult *result, BatchFigures *batches);

#endif
