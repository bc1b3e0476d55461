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
 * How many actions of a batch are sent at a tenth of its rate: the first tenth, if it
 * has a ramp.
 */
static int64
ramp_length(const BatchRow *batch)
{
	JsonbValue ramp;

	if (getKeyJsonValueFromContainer(&batch->query->root, "ramp", strlen("ramp"), &ramp) == NULL ||
		ramp.type != jbvBool || !ramp.val.boolean)
		return 0;
	return RampLength(batch->matched >= 0 ? batch->matched : batch->replayed);
}

/*
 * How many actions of a batch must still be sent at a tenth of its rate: those of the
 * ramp that have not ended.
 */
static int64
ramp_left(Oid schema, const BatchRow *batch)
{
	int64 length = ramp_length(batch);

	return length > 0 ? Max(length - CountFinished(schema, batch->id), 0) : 0;
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
	BeginPace(pacer, start, rate, Max(ramp_length(batch) - others, 0));
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
	Pacer pacer;

	part.last_id = Min(part.last_id, ReleasedId(&held->row));
	BeginPace(&pacer, start, rate, rate > 0 ? ramp_left(queue->schema, &held->row) : 0);
	if (rate > 0 || all)
		PaceQueue(queue, &pacer, wait);
	else
		UnparkQueue(queue, start);
	until.time = NextDueTime(&pacer, 0);
	SetPacedUntil(held, &until);
	NotifyConsumers(queue->schema);
}
