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
	bool is_cancelled; /* all of the batch is, so nothing of it waits */
	/* For QueueIsEmpty and QueueIsActive. */
	bool moving; /* without what is paused on its own */
	int64 *read; /* where the segments that are read are counted; NULL: nowhere */
} BatchQueue;

/* Actions in it. */
typedef struct QueueCounts
{
	int64 waiting;   /* not leased */
	int64 cancelled; /* the same, of a batch or a part that is cancelled, and not swept yet */
	int64 in_flight; /* a consumer holds them */
	int64 in_doubt;  /* it is unknown whether they were executed */
	int64 held;      /* of these, what waits for a person */
	int64 paused;    /* of those that wait, what is paused on its own */
	int64 apart;     /* the same, and what has a pace of its own */
} QueueCounts;

/* The pace of what waits of a batch, and of parts of it that have rates of their own. */
typedef struct Pacers
{
	Pacer batch;
	Pacer *parts;       /* by Segment.pace, of which the first is 1 */
	int count;          /* of these */
	bool all;           /* also what has no rate, and is due already or will be */
	OptionalTime start; /* until when the batch was to wait before: no retry waits for that */
} Pacers;

extern bool IsPausedApart(const Segment *segment, TimestampTz now);
extern QueueCounts CountQueue(const BatchQueue *queue);
extern bool QueueIsEmpty(const BatchQueue *queue);
extern bool QueueIsActive(const BatchQueue *queue);
extern bool AnyPausedApart(const BatchQueue *queue);
extern TimestampTz NextDueTimeOf(Pacers *pacers, const Segment *segment, int64 actions);
extern int PieceRows(Pacers *pacers, const Segment *segment);
extern void PaceQueue(const BatchQueue *queue, Pacers *pacers, bool wait);

#endif /* ACTEON_SCHEDULE_H */
