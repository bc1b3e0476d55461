/*
 * answer.h
 *		What an answer of the gateway becomes.
 */
#ifndef ANSWER_H
#define ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"

/* How much of a request has left. */
typedef enum Sent
{
	SENT_WHOLE, /* or all of it may have: the gateway may have executed it */
	SENT_PART,  /* the gateway cannot have read it to its end, and so did nothing */
	SENT_NOTHING
} Sent;

/* What came back for a request. */
typedef struct Answer
{
	const char *failure; /* why there is no whole answer; NULL if there is one */
	Sent sent;           /* only if there is none */
	long status;         /* of HTTP; a sink that is no gateway has codes of its own */
	bool is_json;        /* that is its content type */
	const char *body;
	size_t len;
	int64_t retry_after; /* what Retry-After asks for; 0 without */
} Answer;

/* What becomes of the action. */
typedef enum Fate
{
	FATE_ACK,   /* the gateway has decided; text is the outcome, JSON */
	FATE_RETRY, /* not executed, and the attempt counts; text is the error */
	FATE_LATER, /* not executed, and not the action's fault; after the delay */
	FATE_DEAD,  /* text is the error; it will never be taken */
	FATE_DOUBT  /* it may have been executed; text is why nobody knows */
} Fate;

/* What the answer says about the gateway. */
typedef enum Health
{
	GATEWAY_WORKS,
	GATEWAY_LIMITS,  /* this tenant has had enough, for the delay */
	GATEWAY_BUSY,    /* so have all, or this tenant: which of them is not said */
	GATEWAY_FAULTY,  /* many of these in a row: it is down */
	GATEWAY_FORBIDS, /* our key does not cover the action: this one, or any */
	GATEWAY_DISTRUSTS, /* it does not accept our signature: of this action, of its tenant's, or of any */
	GATEWAY_REFUSES /* our key or our URL is wrong */
} Health;

typedef struct Judgement
{
	Fate fate;
	bool seen; /* the gateway has read the id, which may be used up */
	Health health;
	int64_t delay;
} Judgement;

/* No outcome is nearly as large; of a larger answer nothing is believed. */
#define MAX_ANSWER (1024 * 1024)
#define MAX_ERROR 1000

extern bool IsAboutSignature(long status, const char *body, size_t len);
extern Judgement JudgeAnswer(const Answer *answer, Buffer *text, Buffer *tag);

#endif
