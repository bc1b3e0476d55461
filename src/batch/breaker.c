/*
 * breaker.c
 *		The circuit breakers of batches.
 *
 * A batch pauses itself when more than a given share of its last deliveries
 * failed: then the provider is down again, or the actions themselves cause the
 * failures, and continuing would only cause more.  What failed because of a provider
 * is left to the provider's own circuit breaker, which opens first and holds only that
 * provider's actions (provider_breaker.c); here the rest counts.  An action that a consumer
 * puts in doubt counts as failed once, at that time; its later end counts like
 * any other.  When a failure is recorded, the tally of its batch (tally.c) is
 * read, newest first, until the window is full.  The actions that one call ended
 * have no order; of the call in which the window begins, a proportional part
 * counts.  Only actions that ended since the batch was last resumed count, and none that were
 * cancelled.
 *
 * Recording a failure does not wait for the batch's row.  acteon_replay_all
 * holds that most of the time, so it checks the breaker itself, between its
 * chunks (run_batch.c).
 *
 * acteon_replay_batches shows what the window holds (BreakerText).
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "batch/batch_pace.h"
#include "batch/breaker.h"
#include "batch/control_log.h"
#include "batch/failure_window.h"
#include "batch/provider_breaker.h"
#include "queue/tally.h"

/* The circuit breaker of a batch. */
typedef struct Breaker
{
	int64 batch_id;
	TimestampTz since; /* later deliveries only */
	FailureWindow window;
} Breaker;

/*
 * Whether a row of the tally counts for the circuit breaker of a batch, given the
 * limits.
 */
static bool
counts_for_batch(void *limits, const TallyRow *row)
{
	return !IsLeftToProvider(limits, row);
}

/*
 * Fill the window with the last deliveries of the batch, as a snapshot shows them.
 */
static void
fill_window(Breaker *breaker, Oid schema, Snapshot snapshot)
{
	LimitSet limits;
	TallyScan scan;

	BeginTallyScan(&scan, schema, breaker->batch_id, breaker->since, snapshot);
	ReadLimits(&limits, schema, GetCurrentTimestamp());
	FillWindow(&breaker->window, &scan, counts_for_batch, &limits);
	EndTallyScan(&scan);
	CloseLimits(&limits);
}

/*
 * Pause the batch of a window, and log it for the role that recorded the last
 * failure.  If the row is locked, the next failure will pause it.
 */
static void
open_breaker(const Breaker *breaker, Oid schema, Oid role)
{
	char *reason = WindowText(&breaker->window);
	HeldBatch held;

	if (!HoldBatch(&held, schema, breaker->batch_id, false))
		return;
	if (held.row.stop == BATCH_RUNS)
	{
		StopBatch(&held, STOPPED_PAUSED, GetCurrentTimestamp(), InvalidOid, reason);
		LogControl(schema, role, "breaker", breaker->batch_id, reason, NULL);
	}
	ReleaseBatch(&held);
}

/*
 * Read the empty window of a batch out of its row.  Returns false if it has none.
 */
static bool
read_window(Breaker *breaker, const BatchRow *batch)
{
	memset(breaker, 0, sizeof(*breaker));
	breaker->batch_id = batch->id;
	breaker->window.size = batch->breaker_window;
	if (breaker->window.size == 0)
		return false;
	breaker->window.share = DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(batch->breaker_share)));
	breaker->since = batch->breaker_since.given ? batch->breaker_since.time : DT_NOBEGIN;
	return true;
}

/*
 * Whether all of a batch was enqueued and nothing of it is in the queue: then there
 * is nothing to pause.
 */
static bool
is_over(const BatchRow *batch, Oid schema)
{
	BatchQueue queue = QueueOfBatch(schema, batch, GetCurrentTimestamp());

	return batch->is_complete && QueueIsEmpty(&queue);
}

/*
 * Look at the circuit breaker of a batch, for the role whose call this is.
 */
void
CheckBreaker(Oid schema, Oid role, int64 batch_id)
{
	BatchRow batch;
	Breaker breaker;

	if (!ReadBatch(schema, batch_id, &batch) || batch.stop != BATCH_RUNS ||
		!read_window(&breaker, &batch))
		return;
	fill_window(&breaker, schema, GetLatestSnapshot());
	if (WindowIsBad(&breaker.window) && !is_over(&batch, schema))
		open_breaker(&breaker, schema, role);
}

/*
 * Look at the circuit breakers of the providers and batches of which something has failed
 * in a call, after its deliveries were written.  The role is the call's.
 */
void
CheckBreakers(Oid schema, Oid role, const DeliveryWriter *deliveries)
{
	if (deliveries->failing_count > 0)
		CommandCounterIncrement();
	CheckProviders(schema, role, deliveries);
	for (int i = 0; i < deliveries->failing_count; i++)
		CheckBreaker(schema, role, deliveries->failing[i]);
}

/*
 * What a batch's circuit breaker sees, in words, as a snapshot shows it.  Of the row,
 * the id and the columns of the breaker are needed.
 */
char *
BreakerText(const BatchRow *batch, Oid schema, Snapshot snapshot)
{
	Breaker breaker;
	Datum percent;
	char *share;

	if (!read_window(&breaker, batch))
		return pstrdup("off");
	fill_window(&breaker, schema, snapshot);
	percent = DirectFunctionCall2(numeric_mul, NumericGetDatum(batch->breaker_share),
								  NumericGetDatum(int64_to_numeric(100)));
	share = DatumGetCString(
		DirectFunctionCall1(numeric_out, DirectFunctionCall1(numeric_trim_scale, percent)));
	if (breaker.window.ended < breaker.window.size)
		return psprintf(INT64_FORMAT " of " INT64_FORMAT
									 " failed, opens above %s %% of " INT64_FORMAT,
						breaker.window.failed, breaker.window.ended, share, breaker.window.size);
	return psprintf(INT64_FORMAT " of the last " INT64_FORMAT " failed, opens above %s %%",
					breaker.window.failed, breaker.window.ended, share);
}
