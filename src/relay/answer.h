/*
 * answer.h
 *		What an answer of the gateway becomes.
 */
#ifndef ANSWER_H
#define ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"

/* What came back for a request. */
typedef struct Answer
{
	const char *failure; /* why there is no whole answer; NULL if there is one */
	bool unsent;         /* nothing of the request has left */
	long status;
	const char *body;
	size_t len;
	int64_t retry_after; /* what Retry-After asks for; 0 without */
} Answer;

/* What becomes of the action. */
typedef enum Fate
{
	FATE_DELIVERED, /* text is the outcome, JSON */
	FATE_RETRY,     /* text is the error; the database chooses the delay */
	FATE_LATER,     /* it was not the action's fault; after the delay */
	FATE_DEAD       /* text is the error; it will never be taken */
} Fate;

/* What the answer says about the gateway. */
typedef enum Health
{
	GATEWAY_WORKS,
	GATEWAY_BUSY,    /* do not send for the delay, and then less at once */
	GATEWAY_FAULTY,  /* many of these in a row: it is down */
	GATEWAY_FORBIDS, /* our key does not cover the action: this one, or any */
	GATEWAY_REFUSES  /* our key or our URL is wrong */
} Health;

typedef struct Judgement
{
	Fate fate;
	Health health;
	int64_t delay;
} Judgement;

#define MAX_ANSWER (1024 * 1024)
#define MAX_ERROR 1000

extern Judgement JudgeAnswer(const Answer *answer, Buffer *text);

#endif
