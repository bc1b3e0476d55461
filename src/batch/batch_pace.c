/*
 * batch_pace.c
 *		How fast a batch goes: new due times for what waits of it.
 *
 * A change of the rate, a pause and a resumption give the waiting segments of a
 * batch other due times.  How these follow from a rate is in queue/pace.c.
 */
#include "postgres.h"

#include "batch/batch_pace.h"
#include "batch/parts.h"
#include "query/query.h"
#include "query/stored_query.h"
#include "queue/tally.h"
#include "queue/wake.h"

/*
 * A batch's part of the queue, at a time.
 */
BatchQueue
QueueOfBatch(Oid schema, const BatchRow *batch, TimestampTz now)
{
	BatchQueue queue = {.schema = schema,
						.batch_id = batch->id,
						.first_id = batch->first_outbox_id,
						.last_id = batch->last_outbox_id,
						.now = now,
						.is_cancelled = batch->stop == BATCH_CANCELLED};

	return queue;
}

/*
 * Whether a batch has a ramp.
 */
bool
HasRamp(const BatchRow *batch)
{
	return StoredFlag(batch->query, OPTION_RAMP);
}

/*
 * How many actions of a batch with a ramp must still be sent at a tenth of its rate:
 * those of the first tenth but a number of others, which have ended or are before them.
 */
int64
RampLeft(const BatchRow *batch, int64 others)
{
	int64 actions = batch->matched >= 0 ? batch->matched : batch->replayed;

	return Max(RampLength(actions) - others, 0);
}

/*
 * When what waits of a batch can go out at the earliest: at a time, or at its start_at, if
 * that is later.
 */
static TimestampTz
start_of_batch(const BatchRow *batch, TimestampTz now)
{
	return batch->start_at.given ? Max(batch->start_at.time, now) : now;
}

/*
 * Begin to pace actions of a batch that come behind a number of others: from now on, or
 * from the batch's start_at, and not before those others are due.
 */
void
BeginPaceBehind(Pacer *pacer, const BatchRow *batch, int64 others, TimestampTz now)
{
	double rate = RateValue(batch->rate);
	TimestampTz start = start_of_batch(batch, now);

	if (rate > 0 && batch->paced_until.given)
		start = Max(start, batch->paced_until.time);
	BeginPace(pacer, start, rate, HasRamp(batch) ? RampLeft(batch, others) : 0);
}

/*
 * Begin to pace actions of parts that have rates of their own: from now on, or from the
 * batch's start_at, and behind those of the part that have been paced before.
 */
void
BeginPaceOfParts(Pacers *pacers, const BatchRow *batch, TimestampTz now)
{
	TimestampTz start = start_of_batch(batch, now);
	List *parts = ReadParts(batch->parts);
	ListCell *lc;

	pacers->count = NumPaces(parts);
	pacers->parts = palloc0((pacers->count + 1) * sizeof(Pacer));
	foreach (lc, parts)
	{
		BatchPart *part = lfirst(lc);

		if (part->pace != NO_PACE)
			BeginPace(&pacers->parts[part->pace - 1],
					  part->paced_until.given ? Max(start, part->paced_until.time) : start,
					  RateValue(part->rate), 0);
	}
}

/*
 * The same, forgetting how far the parts have been paced.
 */
static void
begin_parts_anew(Pacers *pacers, const BatchRow *batch, TimestampTz now)
{
	BeginPaceOfParts(pacers, batch, now);
	for (int i = 0; i < pacers->count; i++)
		pacers->parts[i].start = start_of_batch(batch, now);
}

/*
 * Note in the row of a held batch how far its parts with rates of their own have been
 * paced.
 */
void
NotePaces(HeldBatch *held, const Pacers *pacers)
{
	List *parts = ReadParts(held->row.parts);
	bool changes = false;
	ListCell *lc;

	foreach (lc, parts)
	{
		BatchPart *part = lfirst(lc);
		Pacer pacer;

		if (part->pace == NO_PACE || part->rate == NULL)
			continue;
		pacer = pacers->parts[part->pace - 1];
		part->paced_until.given = changes = true;
		part->paced_until.time = NextDueTime(&pacer, 0);
	}
	if (changes)
		SetParts(held, WriteParts(parts));
}

/*
 * Give the waiting actions of a held batch new due times: from now on, or from its start_at,
 * at the batch's rate and with what is left of its ramp; without a rate, that time.
 * all tells whether actions that were not parked get them, too; with a rate they
 * always do.  Without wait, segments that a consumer's answer is changing at this
 * moment are left out.  What the canary holds back stays as it is, and what is paused
 * on its own; a part with a rate of its own keeps that.
 */
void
PaceAnew(HeldBatch *held, Oid schema, TimestampTz now, bool all, bool wait)
{
	PaceFromStart(held, schema, NULL, now, all, wait);
}

/*
 * The same, given until when the batch was to wait before, NULL for none: what waits for
 * that does not wait for a retry, though it came back from a consumer.
 */
void
PaceFromStart(HeldBatch *held, Oid schema, const OptionalTime *before, TimestampTz now, bool all,
			  bool wait)
{
	BatchQueue queue = QueueOfBatch(schema, &held->row, now);
	double rate = RateValue(held->row.rate);
	OptionalTime until = {.given = rate > 0};
	Pacers pacers = {.all = all};
	int64 ramp = 0;

	if (before != NULL)
		pacers.start = *before;
	queue.last_id = Min(queue.last_id, ReleasedId(&held->row));
	if (rate > 0 && HasRamp(&held->row))
		ramp = RampLeft(&held->row, CountFinished(queue.schema, held->row.id) -
										CountCancelled(queue.schema, held->row.id));
	BeginPace(&pacers.batch, start_of_batch(&held->row, now), rate, ramp);
	begin_parts_anew(&pacers, &held->row, now);
	PaceQueue(&queue, &pacers, wait);
	until.time = NextDueTime(&pacers.batch, 0);
	SetPacedUntil(held, &until);
	NotePaces(held, &pacers);
	NotifyConsumers(queue.schema);
}
