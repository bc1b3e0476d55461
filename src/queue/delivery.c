/*
 * delivery.c
 *		Deliveries: how finished actions ended.
 *
 * A caller that adds one must have removed the action from its segment in the
 * same transaction, so that no other session can finish it.  The primary key
 * would detect that.
 *
 * Besides them a call writes a few rows of the tally: how many actions of which
 * batch ended how.  They are only ever inserted, so concurrent calls that finish
 * actions of one batch do not wait for each other.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/invariant.h"
#include "base/partition.h"
#include "base/text.h"
#include "base/triggers.h"
#include "queue/action_trace.h"
#include "queue/delivery.h"
#include "queue/failure.h"
#include "queue/outcome_type.h"
#include "queue/segment.h"
#include "queue/tally.h"

/* One call in so many folds the tally. */
#define CALLS_A_FOLD 256

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
	deliveries->tally_count = deliveries->failing_count = 0;
	deliveries->failing_provider_count = 0;
	MemSet(deliveries->slots, 0, sizeof(deliveries->slots));
	MemSet(deliveries->states, 0, sizeof(deliveries->states));
	MemSet(deliveries->effects, 0, sizeof(deliveries->effects));
}

/*
 * Write what has been added.
 */
static void
flush_deliveries(DeliveryWriter *deliveries)
{
	TableWriter *writer = &deliveries->writer;
	BlockNumber block = InvalidBlockNumber;
	int by_block;

	if (deliveries->count == 0)
		return;
	/* All rows of a call have the same time, so one entry per page is enough. */
	by_block = PutBlockIndexFirst(writer, Anum_delivery_finished_at);
	table_multi_insert(writer->rel, deliveries->slots, deliveries->count, GetCurrentCommandId(true),
					   0, NULL);
	for (int i = 0; i < deliveries->count; i++)
	{
		TupleTableSlot *slot = deliveries->slots[i];
		BlockNumber its_block = ItemPointerGetBlockNumber(&slot->tts_tid);

		InsertOtherIndexEntries(writer, its_block == block ? by_block : 0, slot);
		block = its_block;
		ResetPerTupleExprContext(writer->estate);
	}
	FireInserted(writer->rel, deliveries->slots, deliveries->count);
	for (int i = 0; i < deliveries->count; i++)
		ExecClearTuple(deliveries->slots[i]);
	deliveries->count = 0;
}

/*
 * Write what is left, and close the part that is open.
 */
static void
close_part(DeliveryWriter *deliveries)
{
	if (!deliveries->is_open)
		return;
	flush_deliveries(deliveries);
	for (int i = 0; i < DELIVERY_ROWS && deliveries->slots[i] != NULL; i++)
	{
		ExecDropSingleTupleTableSlot(deliveries->slots[i]);
		deliveries->slots[i] = NULL;
	}
	CloseWriter(&deliveries->writer);
	deliveries->is_open = false;
}

/*
 * The next free slot for the delivery of an action.
 */
static TupleTableSlot *
next_slot(DeliveryWriter *deliveries, int64 outbox_id)
{
	MemoryContext old = MemoryContextSwitchTo(deliveries->context);
	int partition = PartitionOfId(outbox_id);
	TupleTableSlot **slot;

	if (deliveries->is_open && deliveries->partition != partition)
		close_part(deliveries);
	if (!deliveries->is_open)
		OpenWriter(&deliveries->writer,
				   PartitionTable(deliveries->schema, DELIVERY_TABLE, partition), false);
	deliveries->is_open = true;
	deliveries->partition = partition;
	if (deliveries->count == DELIVERY_ROWS)
		flush_deliveries(deliveries);
	slot = &deliveries->slots[deliveries->count++];
	if (*slot == NULL)
		*slot = table_slot_create(deliveries->writer.rel, NULL);
	MemoryContextSwitchTo(old);
	return *slot;
}

/*
 * Write the tally down.  Now and then, fold what has become old of a batch in it.
 */
static void
write_tally(DeliveryWriter *deliveries)
{
	static uint32 calls = 0;
	TableWriter writer;

	if (deliveries->tally_count == 0)
		return;
	OpenWriter(&writer, OwnTable(deliveries->schema, TALLY_TABLE), false);
	for (int i = 0; i < deliveries->tally_count; i++)
	{
		const TallyEntry *entry = &deliveries->tally[i];
		Datum values[Natts_tally];
		bool nulls[Natts_tally] = {false};

		if (entry->actions == 0)
			continue;
		values[Anum_tally_batch_id - 1] = Int64GetDatum(entry->batch_id);
		values[Anum_tally_finished_at - 1] = TimestampTzGetDatum(deliveries->finished_at);
		values[Anum_tally_state - 1] = CStringGetTextDatum(ActionStateNames[entry->state]);
		values[Anum_tally_outcome - 1] =
			entry->outcome[0] == '\0' ? (Datum) 0 : CStringGetTextDatum(entry->outcome);
		nulls[Anum_tally_outcome - 1] = entry->outcome[0] == '\0';
		values[Anum_tally_actions - 1] = Int64GetDatum(entry->actions);
		nulls[Anum_tally_effect - 1] = entry->state != ACTION_DELIVERED;
		values[Anum_tally_effect - 1] = nulls[Anum_tally_effect - 1]
											? (Datum) 0
											: CStringGetTextDatum(EffectNames[entry->effect]);
		values[Anum_tally_provider - 1] = PointerGetDatum(entry->provider);
		nulls[Anum_tally_provider - 1] = entry->provider == NULL;
		values[Anum_tally_id - 1] = OidFunctionCall0(F_GEN_RANDOM_UUID);
		InsertRow(&writer, values, nulls, Natts_tally);
	}
	CloseWriter(&writer);
	if (++calls % CALLS_A_FOLD == 0)
		FoldTally(deliveries->schema, deliveries->tally[0].batch_id, deliveries->finished_at);
	deliveries->tally_count = 0;
}

/*
 * A copy of a provider's name that lasts until the deliveries are closed.
 */
static const text *
kept_provider(DeliveryWriter *deliveries, const text *provider)
{
	Size size;

	if (provider == NULL)
		return NULL;
	size = VARSIZE_ANY(provider);
	return memcpy(MemoryContextAlloc(deliveries->context, size), provider, size);
}

/*
 * Count actions of a batch to a provider that ended in one way; a negative number takes them
 * back.  Written by CloseDeliveries.
 */
void
AddToTally(DeliveryWriter *deliveries, int64 batch_id, const text *provider, ActionState state,
		   const char *outcome, Effect effect, int64 actions)
{
	TallyEntry *entry;

	for (int i = deliveries->tally_count - 1; i >= 0; i--)
	{
		entry = &deliveries->tally[i];
		if (entry->batch_id == batch_id && entry->state == state && entry->effect == effect &&
			strcmp(entry->outcome, outcome) == 0 && SameOptionalText(entry->provider, provider))
		{
			entry->actions += actions;
			return;
		}
	}
	if (deliveries->tally_count == TALLY_KINDS)
		write_tally(deliveries);
	entry = &deliveries->tally[deliveries->tally_count++];
	entry->batch_id = batch_id;
	entry->provider = kept_provider(deliveries, provider);
	entry->state = state;
	strlcpy(entry->outcome, outcome, sizeof(entry->outcome));
	entry->effect = effect;
	entry->actions = actions;
}

/*
 * Note that an action to a provider has failed, for the provider's circuit breaker.
 */
static void
note_failing_provider(DeliveryWriter *deliveries, const text *provider)
{
	if (provider == NULL)
		return;
	for (int i = 0; i < deliveries->failing_provider_count; i++)
	{
		if (SameText(deliveries->failing_providers[i], provider))
			return;
	}
	if (deliveries->failing_provider_count < TALLY_KINDS)
		deliveries->failing_providers[deliveries->failing_provider_count++] =
			kept_provider(deliveries, provider);
}

/*
 * Note that something of a batch has failed, for its circuit breaker.  Beyond
 * TALLY_KINDS batches none is noted: they are small ones.
 */
static void
note_failing(DeliveryWriter *deliveries, int64 batch_id, const text *provider)
{
	note_failing_provider(deliveries, provider);
	for (int i = deliveries->failing_count - 1; i >= 0; i--)
	{
		if (deliveries->failing[i] == batch_id)
			return;
	}
	if (deliveries->failing_count < TALLY_KINDS)
		deliveries->failing[deliveries->failing_count++] = batch_id;
}

/*
 * Count actions of a batch that a consumer has put in doubt, for its circuit
 * breaker, which counts each doubt once, when it begins.  An expired lease does
 * not count: that concerns the consumer, and not the provider.
 */
void
TallyDoubts(DeliveryWriter *deliveries, int64 batch_id, const text *provider, int64 actions)
{
	AddToTally(deliveries, batch_id, provider, ACTION_IN_DOUBT, "", EFFECT_UNKNOWN, actions);
	note_failing(deliveries, batch_id, provider);
}

/*
 * A word as a text, which is made once and kept.
 */
static Datum
kept_text(Datum *kept, const char *word)
{
	if (*kept == (Datum) 0)
		*kept = CStringGetTextDatum(word);
	return *kept;
}

/*
 * The effect of an action that was delivered (EndedHasNoEffect).  Where an earlier id of it
 * was given up without proof, an outcome of the last one without effect does not say that the
 * action had none.
 */
static Effect
effect_of(const Delivery *delivery)
{
	return delivery->unproven && delivery->effect == EFFECT_NONE ? EFFECT_UNKNOWN
																 : delivery->effect;
}

/*
 * Add a delivery.  Its outcome and error must stay where they are until
 * CloseDeliveries.
 */
void
AddDelivery(DeliveryWriter *deliveries, const Delivery *delivery)
{
	TupleTableSlot *slot = next_slot(deliveries, delivery->outbox_id);
	Effect effect = effect_of(delivery);
	Datum values[Natts_delivery];
	bool nulls[Natts_delivery] = {false};
	MemoryContext old = MemoryContextSwitchTo(deliveries->context);

	AssertInvariant(EndedHasNoEffect, !delivery->unproven || (delivery->state == ACTION_DELIVERED &&
															  effect != EFFECT_NONE));
	values[Anum_delivery_outbox_id - 1] = Int64GetDatum(delivery->outbox_id);
	values[Anum_delivery_finished_at - 1] = TimestampTzGetDatum(deliveries->finished_at);
	values[Anum_delivery_attempts - 1] = Int32GetDatum(delivery->attempts);
	values[Anum_delivery_state - 1] =
		kept_text(&deliveries->states[delivery->state], ActionStateNames[delivery->state]);
	if (!delivery->outcome.isnull)
		values[Anum_delivery_outcome - 1] = PackOutcome(delivery->outcome.value);
	nulls[Anum_delivery_outcome - 1] = delivery->outcome.isnull;
	values[Anum_delivery_error - 1] = delivery->error.value;
	nulls[Anum_delivery_error - 1] = delivery->error.isnull;
	nulls[Anum_delivery_effect - 1] = delivery->state != ACTION_DELIVERED;
	if (delivery->state == ACTION_DELIVERED)
		values[Anum_delivery_effect - 1] =
			kept_text(&deliveries->effects[effect], EffectNames[effect]);
	values[Anum_delivery_resend - 1] = Int32GetDatum(delivery->resend);
	values[Anum_delivery_unproven - 1] = BoolGetDatum(delivery->unproven);
	nulls[Anum_delivery_known_by - 1] = delivery->known_by == KNOWN_BY_ANSWER;
	if (delivery->known_by != KNOWN_BY_ANSWER)
		values[Anum_delivery_known_by - 1] = CStringGetTextDatum(
			delivery->known_by == KNOWN_BY_RECORD ? KNOWN_BY_RECORD_NAME : KNOWN_BY_PERSON_NAME);
	values[Anum_delivery_relay - 1] = Int32GetDatum(delivery->relay);
	nulls[Anum_delivery_relay - 1] = delivery->relay == NO_RELAY;
	FillSlot(&deliveries->writer, slot, values, nulls, Natts_delivery);
	CheckRow(&deliveries->writer, slot);
	MemoryContextSwitchTo(old);
	TraceDelivery(delivery, effect);
	if (IsFailure(delivery->state, delivery->outcome_name, effect))
		note_failing(deliveries, delivery->batch_id, delivery->provider);
	AddToTally(deliveries, delivery->batch_id, delivery->provider, delivery->state,
			   delivery->outcome_name, effect, 1);
}

/*
 * Write the remaining rows, and close the table.
 */
void
CloseDeliveries(DeliveryWriter *deliveries)
{
	write_tally(deliveries);
	close_part(deliveries);
}
