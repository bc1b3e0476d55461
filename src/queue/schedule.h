/*
 * schedule.h
 *		What a batch has in the queue, and giving it new due times.
 */
#ifndef ACTEON_SCHEDULE_H
#define ACTEON_SCHEDULE_H

#include "queue/pace.h"
#include "queue/segment.h"

/* A batch's part of the queue. */
typedef struct BatchQueue
{
	Oid schema;
	int64 batch_id;
	int64 first_id; /* between which ids its segments are; 0: it has none */
	int64 last_id;
	TimestampTz now;
} BatchQueue;

/* Actions in it. */
typedef struct QueueCounts
{
	int64 waiting;   /* not leased */
	int64 in_flight; /* a consumer holds them */
	int64 in_doubt;  /* it is unknown whether they were executed */
} QueueCounts;

extern QueueCounts CountQueue(const BatchQueue *queue);
extern bool QueueIsEmpty(const BatchQueue *queue);
extern bool QueueIsActive(const BatchQueue *queue);
extern void UnparkQueue(const BatchQueue *queue, TimestampTz due);
extern void PaceQueue(const BatchQueue *queue, Pacer *pacer, bool wait);

#endif /* ACTEON_SCHEDULE_H */
