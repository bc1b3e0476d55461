/*
 * results.h
 *		What became of actions, until the database knows.
 */
#ifndef RESULTS_H
#define RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

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
	bool replaced; /* the text is one that can be stored for certain */
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
	int count;
	size_t bytes;
} Results;

extern void ResultsAdd(Results *results, ResultKind kind, const Result *result);
extern int ResultsSlice(const Results *results, ResultKind kind);
extern void ResultsDrop(Results *results, ResultKind kind, int count);
extern bool ResultsUnstorable(Results *results, ResultKind kind, int count, const char *why);
extern int64_t ResultsOldest(const Results *results);
extern void ResultsFree(Results *results);

#endif
