/*
 * results.h
 *		Results of actions, until they are recorded in the database.
 */
#ifndef RESULTS_H
#define RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

/* What the database is told: the outcome that came (a JSON text), that it was
 * not executed, that it never will be, or that nobody knows. */
typedef enum ResultKind
{
	RESULT_ACK,
	RESULT_NACK,
	RESULT_REJECT,
	RESULT_DOUBT,
	RESULT_KINDS
} ResultKind;

/* The length of an action id as a text: a UUID. */
#define ACTION_ID_LEN 36

typedef struct Result
{
	struct Result *next;
	int64_t outbox_id;
	int64_t token;
	char action_id[ACTION_ID_LEN + 1]; /* the id that was sent; "" for none: of a NACK,
										* nothing of it reached the gateway */
	char *text;                        /* the outcome or the error; NULL for no error */
	size_t len;
	int64_t retry_after; /* -1: the database chooses */
	int64_t since;
	bool tried;         /* the server takes the text for a value of its own */
	int64_t delay;      /* after which it was tried again last, 0 if it was not */
	int64_t not_before; /* and when it is again */
	ResultKind kind;    /* while it is parked */
} Result;

/* The results of one kind, oldest first. */
typedef struct ResultQueue
{
	Result *first;
	Result *last;
	int count;
	int singles; /* so many of the first must be recorded one by one */
} ResultQueue;

typedef struct Results
{
	ResultQueue queues[RESULT_KINDS];
	Result *parked; /* cannot be recorded now, for a reason of their own */
	int parked_count;
	int count; /* parked ones, too */
	size_t bytes;
	int most; /* to record at once; 0 is as many as may be */
} Results;

extern void ResultsAdd(Results *results, ResultKind kind, const Result *result);
extern int ResultsSlice(const Results *results, ResultKind kind);
extern void ResultsDrop(Results *results, ResultKind kind, int count);
extern void ResultsOneByOne(Results *results, ResultKind kind, int count);
extern void ResultsReplace(Results *results, ResultKind kind, const char *why);
extern void ResultsPark(Results *results, ResultKind kind, int64_t now);
extern void ResultsWake(Results *results, int64_t now, int64_t *wake);
extern void ResultsTooMany(Results *results, int count);
extern void ResultsRecorded(Results *results);
extern int64_t ResultsOldest(const Results *results);
extern void ResultsFree(Results *results);

#endif
