/*
 * delivery.h
 *		Deliveries: how finished actions ended.
 */
#ifndef ACTEON_DELIVERY_H
#define ACTEON_DELIVERY_H

#include "base/table_access.h"
#include "queue/action_state.h"
#include "queue/effect.h"

/* Rows that are written at once. */
#define DELIVERY_ROWS 100

/* Kinds of endings that one call tells apart; what comes beyond is written at once. */
#define TALLY_KINDS 32

/* How many actions of a batch ended in one way. */
typedef struct TallyEntry
{
	int64 batch_id;
	const text *provider; /* NULL: unknown */
	ActionState state;
	char outcome[NAMEDATALEN]; /* empty: none given */
	Effect effect;             /* of the outcome, if they were delivered */
	int64 actions;
} TallyEntry;

/* The table of deliveries, open for writing; see OpenDeliveries. */
typedef struct DeliveryWriter
{
	Oid schema;
	TimestampTz finished_at;
	MemoryContext context;
	bool is_open;  /* a part of the table, which is opened when first needed */
	int partition; /* which one */
	TableWriter writer;
	TupleTableSlot *slots[DELIVERY_ROWS];
	int count;                       /* rows that are not written yet */
	Datum states[NUM_ACTION_STATES]; /* as texts, made when first needed */
	Datum effects[NUM_EFFECTS];      /* the same */
	TallyEntry tally[TALLY_KINDS];   /* of what has been added */
	int tally_count;
	int64 failing[TALLY_KINDS]; /* batches in which something failed */
	int failing_count;
	const text *failing_providers[TALLY_KINDS]; /* providers of actions that failed */
	int failing_provider_count;
} DeliveryWriter;

/* How an outcome is known: names in the column known_by, which is NULL for an answer. */
#define KNOWN_BY_RECORD_NAME "record"
#define KNOWN_BY_PERSON_NAME "settled"

typedef enum KnownBy
{
	KNOWN_BY_ANSWER, /* of the gateway, which a consumer brought */
	KNOWN_BY_RECORD, /* found in the audit table */
	KNOWN_BY_PERSON  /* who settled a doubt */
} KnownBy;

/* How an action ended. */
typedef struct Delivery
{
	int64 outbox_id;
	int64 batch_id;
	const text *provider; /* NULL: unknown, or it has nothing to do with how it ended */
	int32 attempts;
	ActionState state;
	NullableDatum outcome;          /* jsonb */
	char outcome_name[NAMEDATALEN]; /* empty: there is none */
	NullableDatum error;            /* text */
	Effect effect;                  /* of the outcome, if it was delivered */
	int32 resend;                   /* which of its ids ended it */
	bool unproven;                  /* it was sent again without proof */
	int32 relay;                    /* which has brought the answer; NO_RELAY: unknown */
	KnownBy known_by;               /* how the outcome is known */
} Delivery;

extern void OpenDeliveries(DeliveryWriter *deliveries, Oid schema, TimestampTz finished_at);
extern void AddDelivery(DeliveryWriter *deliveries, const Delivery *delivery);
extern void AddToTally(DeliveryWriter *deliveries, int64 batch_id, const text *provider,
					   ActionState state, const char *outcome, Effect effect, int64 actions);
extern void
TallyDoubts(DeliveryWriter *deliveries, int64 batch_id, const text *provider, int64 actions);
extern void CloseDeliveries(DeliveryWriter *deliveries);

#endif /* ACTEON_DELIVERY_H */
