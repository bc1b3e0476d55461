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
 * How many actions of a batch must still be sent at a tenth of its rate, if it has
 * a ramp: those of the first tenth that have not ended.
 */
static int64
ramp_left(Oid schema, const BatchRow *batch)
{
	int64 actions = batch->matched >= 0 ? batch->matched : batch->replayed;
	JsonbValue ramp;

	if (getKeyJsonValueFromContainer(&batch->query->root, "ramp", strlen("ramp"), &ramp) == NULL ||
		ramp.type != jbvBool || !ramp.val.boolean)
		return 0;
	return Max(RampLength(actions) - CountFinished(schema, batch->id), 0);
}

/*
 * Give the waiting actions of a held batch new due times: from the given time on, at
 * the batch's rate and with what is left of its ramp; without a rate, that time.
 * all tells whether actions that were not parked get them, too; with a rate they
 * always do.  Without wait, segments that a consumer's answer is changing at this
 * moment are left out.
 */
void
PaceAnew(HeldBatch *held, const BatchQueue *queue, TimestampTz start, bool all, bool wait)
{
	double rate = RateValue(held->row.rate);
	OptionalTime until = {.given = rate > 0};
	Pacer pacer;

	BeginPace(&pacer, start, rate, rate > 0 ? ramp_left(queue->schema, &held->row) : 0);
	if (rate > 0 || all)
		PaceQueue(queue, &pacer, wait);
	else
		UnparkQueue(queue, start);
	until.time = NextDueTime(&pacer, 0);
	SetPacedUntil(held, &until);
	NotifyConsumers(queue->schema);
}
