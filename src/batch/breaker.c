/*
 * breaker.c
 *		The circuit breakers of batches.
 *
 * A batch pauses itself when more than a given share of its last deliveries
 * failed: then the provider is down again, or the actions themselves cause the
 * failures, and continuing would only cause more.  An action that a consumer
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
#include "queue/failure.h"
#include "queue/tally.h"

/* The window of a breaker and what is in it. */
typedef struct Window
{
	int64 batch_id;
	int64 size;        /* deliveries that it holds */
	double share;      /* of these that may fail, as a fraction */
	TimestampTz since; /* later ones only */
	int64 ended;
	int64 failed;
} Window;

/*
 * Add what ended at one moment to the window.  If there is not enough room for all
 * of it, a proportional part of it is added.
 */
static void
add_moment(Window *window, int64 ended, int64 failed)
{
	int64 room = window->size - window->ended;

	if (ended > room)
	{
		failed = (failed * room + ended / 2) / ended;
		ended = room;
	}
	window->ended += ended;
	window->failed += failed;
}

/*
 * Fill the window with the last deliveries of its batch, as a snapshot shows them.
 * Actions that were redriven or cancelled say nothing about the provider.
 */
static void
fill_window(Window *window, Oid schema, Snapshot snapshot)
{
	TallyScan scan;
	TallyRow row;
	TimestampTz moment = 0;
	int64 ended = 0;
	int64 failed = 0;

	BeginTallyScan(&scan, schema, window->batch_id, window->since, snapshot);
	while (window->ended < window->size && NextTallyRow(&scan, &row))
	{
		if (row.actions < 0 || row.state == ACTION_CANCELLED)
			continue;
		if (row.finished_at != moment && ended > 0)
		{
			add_moment(window, ended, failed);
			ended = failed = 0;
		}
		moment = row.finished_at;
		ended += row.actions;
		if (IsFailure(row.state, row.outcome, row.effect))
			failed += row.actions;
	}
	if (ended > 0)
		add_moment(window, ended, failed);
	EndTallyScan(&scan);
}

/*
 * Pause the batch of a window, and log it for the role that recorded the last
 * failure.  If the row is locked, the next failure will pause it.
 */
static void
open_breaker(const Window *window, Oid schema, Oid role)
{
	char *reason =
		psprintf("circuit breaker: " INT64_FORMAT " of the last " INT64_FORMAT " deliveries failed",
				 window->failed, window->ended);
	HeldBatch held;

	if (!HoldBatch(&held, schema, window->batch_id, false))
		return;
	if (held.row.stop == BATCH_RUNS)
	{
		StopBatch(&held, STOPPED_PAUSED, GetCurrentTimestamp(), InvalidOid, reason);
		LogControl(schema, role, "breaker", window->batch_id, reason, NULL);
	}
	ReleaseBatch(&held);
}

/*
 * Read the empty window of a batch out of its row.  Returns false if it has none.
 */
static bool
read_window(Window *window, const BatchRow *batch)
{
	memset(window, 0, sizeof(*window));
	window->batch_id = batch->id;
	window->size = batch->breaker_window;
	if (window->size == 0)
		return false;
	window->share = DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(batch->breaker_share)));
	window->since = batch->breaker_since.given ? batch->breaker_since.time : DT_NOBEGIN;
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
	Window window;

	if (!ReadBatch(schema, batch_id, &batch) || batch.stop != BATCH_RUNS ||
		!read_window(&window, &batch))
		return;
	fill_window(&window, schema, GetLatestSnapshot());
	/* Also before the window is full: what is still to come cannot make it less. */
	if (window.failed > window.share * window.size && !is_over(&batch, schema))
		open_breaker(&window, schema, role);
}

/*
 * Look at the circuit breakers of the batches in which something has failed in
 * a call, after its deliveries were written.  The role is the call's.
 */
void
CheckBreakers(Oid schema, Oid role, const DeliveryWriter *deliveries)
{
	if (deliveries->failing_count > 0)
		CommandCounterIncrement();
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
	Window window;
	Datum percent;
	char *share;

	if (!read_window(&window, batch))
		return pstrdup("off");
	fill_window(&window, schema, snapshot);
	percent = DirectFunctionCall2(numeric_mul, NumericGetDatum(batch->breaker_share),
								  NumericGetDatum(int64_to_numeric(100)));
	share = DatumGetCString(
		DirectFunctionCall1(numeric_out, DirectFunctionCall1(numeric_trim_scale, percent)));
	if (window.ended < window.size)
		return psprintf(INT64_FORMAT " of " INT64_FORMAT
									 " failed, opens above %s %% of " INT64_FORMAT,
						window.failed, window.ended, share, window.size);
	return psprintf(INT64_FORMAT " of the last " INT64_FORMAT " failed, opens above %s %%",
					window.failed, window.ended, share);
}
