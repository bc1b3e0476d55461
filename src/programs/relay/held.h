/*
 * held.h
 *		What the relay has claimed and not sent yet, and the leases on it.
 */
#ifndef HELD_H
#define HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "relay/results.h"
#include "relay/trace.h"

/* What one claim has leased. */
typedef struct Lease
{
	struct Lease *next;
	int64_t token;
	int64_t until;       /* as far as we know */
	int users;           /* actions that are unsent or in flight, */
	int results;         /* or whose results are not recorded yet */
	bool lost;           /* the database has given it to somebody else */
	bool asked;          /* it is being extended */
	int64_t extend_from; /* not before, since that has just failed */
} Lease;

/* What a stream's readers are told of an action besides its ids, as texts. */
typedef enum Fact
{
	FACT_BATCH_ID,
	FACT_ORIGINAL_ACTION_ID,
	FACT_GENERATION,
	FACT_NAMESPACE,
	FACT_TENANT,
	FACT_PROVIDER,
	FACT_ACTION_TYPE,
	FACT_FINGERPRINT,
	NUM_FACTS
} Fact;

typedef struct Facts
{
	const char *texts[NUM_FACTS]; /* NULL: it has none */
	char memory[];                /* of the texts */
} Facts;

typedef struct Action
{
	struct Action *next;
	Lease *lease;
	int64_t outbox_id;
	int attempt;
	int64_t expires_at; /* from then on it must not be sent; NEVER: there is no such time */
	char action_id[ACTION_ID_LEN + 1]; /* that the body has; "" if the database does not tell */
	Trace trace;                       /* read when it is sent */
	Facts *facts;                      /* NULL where nobody is told */
	Buffer opened;                     /* the body with an opened payload, overwritten afterwards */
	size_t len;
	char body[];
} Action;

typedef struct Held
{
	Lease *leases;
	Action *first; /* unsent, oldest first */
	Action *last;
	int unsent;
	size_t unsent_bytes;
} Held;

extern Lease *HeldLease(Held *held, int64_t token, int64_t until);
extern Action *HeldAdd(Held *held, Lease *lease, int64_t outbox_id, int attempt,
					   const char *action_id, const char *body, size_t len);
extern Action *HeldTake(Held *held);
extern void HeldRelease(Held *held, Action *action);
extern void HeldConclude(Held *held, Action *action);
extern void HeldRecorded(Held *held, int64_t token);
extern int64_t HeldEarliestEnd(const Held *held, int64_t now, int64_t *wake);
extern int HeldAskFor(Held *held, int most, int64_t now);
extern void HeldPutOff(Held *held, int64_t from);
extern void HeldFree(Held *held);

#endif
