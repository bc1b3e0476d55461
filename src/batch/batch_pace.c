/*
 * batch_pace.c
 *		How fast a batch goes: new due times for what waits of it.
 *
 * A change of the rate, a pause and a resumption give the waiting segments of a
 * batch other due times.  How these follow from a rate is in queue/pace.c.
 */
#include "postgres.h"

#include "batch/batch_pace.h"
#include "query/query.h"
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
						.now = now};

	return queue;
}

/*
 * Whether a batch has a ramp.
 */
bool
HasRamp(const BatchRow *batch)
{
	JsonbValue ramp;

	return getKeyJsonValueFromContainer(&batch->query->root, "ramp", strlen("ramp"), &ramp) !=
			   NULL &&
		   ramp.type == jbvBool && ramp.val.boolean;
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
 * Begin to pace actions of a batch that come behind a number of others: from now on, or
 * from the batch's start_at, and not before those others are due.
 */
void
BeginPaceBehind(Pacer *pacer, const BatchRow *batch, int64 others, TimestampTz now)
{
	double rate = RateValue(batch->rate);
	TimestampTz start = batch->start_at.given ? Max(batch->start_at.time, now) : now;

	if (rate > 0 && batch->paced_until.given)
		start = Max(start, batch->paced_until.time);
	BeginPace(pacer, start, rate, HasRamp(batch) ? RampLeft(batch, others) : 0);
}

/*
 * Give the waiting actions of a held batch new due times: from the given time on, at
 * the batch's rate and with what is left of its ramp; without a rate, that time.
 * all tells whether actions that were not parked get them, too; with a rate they
 * always do.  Without wait, segments that a consumer's answer is changing at this
 * moment are left out.  What the canary holds back stays as it is.
 */
void
PaceAnew(HeldBatch *held, const BatchQueue *whole, TimestampTz start, bool all, bool wait)
{
	BatchQueue part = *whole;
	const BatchQueue *queue = &part;
	double rate = RateValue(held->row.rate);
	OptionalTime until = {.given = rate > 0};
	int64 ramp = 0;
	Pacer pacer;

	part.last_id = Min(part.last_id, ReleasedId(&held->row));
	if (rate > 0 && HasRamp(&held->row))
		ramp = RampLeft(&held->row, CountFinished(queue->schema, held->row.id) -
										CountCancelled(queue->schema, held->row.id));
	BeginPace(&pacer, start, rate, ramp);
	if (rate > 0 || all)
		PaceQueue(queue, &pacer, wait);
	else
		UnparkQueue(queue, start);
	until.time = NextDueTime(&pacer, 0);
	SetPacedUntil(held, &until);
	NotifyConsumers(queue->schema);
}
