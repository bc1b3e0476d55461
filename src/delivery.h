/*
 * delivery.h
 *		Deliveries: how finished actions ended.
 */
#ifndef ACTEON_DELIVERY_H
#define ACTEON_DELIVERY_H

#include "state.h"
#include "tables.h"

/* Rows that are written at once. */
#define DELIVERY_ROWS 100

/* The table of deliveries, open for writing; see OpenDeliveries. */
typedef struct DeliveryWriter
{
	Oid schema;
	TimestampTz finished_at;
	MemoryContext context;
	bool is_open; /* the table is opened when first needed */
	TableWriter writer;
	TupleTableSlot *slots[DELIVERY_ROWS];
	int count;                          /* rows that are not written yet */
	Datum states[ACTION_CANCELLED + 1]; /* as texts, made when first needed */
} DeliveryWriter;

/* How an action ended. */
typedef struct Delivery
{
	int64 outbox_id;
	int32 attempts;
	ActionState state;
	NullableDatum outcome; /* jsonb */
	NullableDatum error;   /* text */
} Delivery;

extern void OpenDeliveries(DeliveryWriter *deliveries, Oid schema, TimestampTz finished_at);
extern void AddDelivery(DeliveryWriter *deliveries, const Delivery *delivery);
extern void CloseDeliveries(DeliveryWriter *deliveries);

#endif /* ACTEON_DELIVERY_H */
