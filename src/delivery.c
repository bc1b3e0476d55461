/*
 * delivery.c
 *		Deliveries: how finished actions ended.
 *
 * Whoever adds one has taken the action out of its segment in the same
 * transaction, so nobody else can finish it.  The primary key would tell.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "delivery.h"

/*
 * Get ready to add deliveries, in the current memory context.
 */
void
OpenDeliveries(DeliveryWriter *deliveries, Oid schema, TimestampTz finished_at)
{
	deliveries->schema = schema;
	deliveries->finished_at = finished_at;
	deliveries->context = CurrentMemoryContext;
	deliveries->is_open = false;
	deliveries->count = 0;
	MemSet(deliveries->slots, 0, sizeof(deliveries->slots));
	MemSet(deliveries->states, 0, sizeof(deliveries->states));
}

/*
 * Write what has been added.
 */
static void
flush_deliveries(DeliveryWriter *deliveries)
{
	TableWriter *writer = &deliveries->writer;

	if (deliveries->count == 0)
		return;
	table_multi_insert(writer->rel, deliveries->slots, deliveries->count, GetCurrentCommandId(true),
					   0, NULL);
	for (int i = 0; i < deliveries->count; i++)
	{
		InsertOtherIndexEntries(writer, 0, deliveries->slots[i]);
		ExecClearTuple(deliveries->slots[i]);
		ResetPerTupleExprContext(writer->estate);
	}
	deliveries->count = 0;
}

/*
 * The next free slot.
 */
static TupleTableSlot *
next_slot(DeliveryWriter *deliveries)
{
	MemoryContext old = MemoryContextSwitchTo(deliveries->context);
	TupleTableSlot **slot;

	if (!deliveries->is_open)
		OpenWriter(&deliveries->writer, OwnTable(deliveries->schema, DELIVERY_TABLE), false);
	deliveries->is_open = true;
	if (deliveries->count == DELIVERY_ROWS)
		flush_deliveries(deliveries);
	slot = &deliveries->slots[deliveries->count++];
	if (*slot == NULL)
		*slot = table_slot_create(deliveries->writer.rel, NULL);
	MemoryContextSwitchTo(old);
	return *slot;
}

/*
 * Add a delivery.  Its outcome and error must stay where they are until
 * CloseDeliveries.
 */
void
AddDelivery(DeliveryWriter *deliveries, const Delivery *delivery)
{
	TupleTableSlot *slot = next_slot(deliveries);
	Datum values[Natts_delivery];
	bool nulls[Natts_delivery] = {false};
	Datum *state = &deliveries->states[delivery->state];
	MemoryContext old = MemoryContextSwitchTo(deliveries->context);

	if (*state == (Datum) 0)
		*state = CStringGetTextDatum(ActionStateNames[delivery->state]);
	values[Anum_delivery_outbox_id - 1] = Int64GetDatum(delivery->outbox_id);
	values[Anum_delivery_finished_at - 1] = TimestampTzGetDatum(deliveries->finished_at);
	values[Anum_delivery_attempts - 1] = Int32GetDatum(delivery->attempts);
	values[Anum_delivery_state - 1] = *state;
	values[Anum_delivery_outcome - 1] = delivery->outcome.value;
	nulls[Anum_delivery_outcome - 1] = delivery->outcome.isnull;
	values[Anum_delivery_error - 1] = delivery->error.value;
	nulls[Anum_delivery_error - 1] = delivery->error.isnull;
	FillSlot(slot, values, nulls, Natts_delivery);
	CheckRow(&deliveries->writer, slot);
	MemoryContextSwitchTo(old);
}

/*
 * Write what is left, and close the table.
 */
void
CloseDeliveries(DeliveryWriter *deliveries)
{
	if (!deliveries->is_open)
		return;
	flush_deliveries(deliveries);
	for (int i = 0; i < DELIVERY_ROWS && deliveries->slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(deliveries->slots[i]);
	CloseWriter(&deliveries->writer);
}
