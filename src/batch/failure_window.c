/*
 * failure_window.c
 *		The window of a circuit breaker: how many of the last deliveries failed.
 *
 * The tally (tally.c) is read, newest first, until the window is full.  The actions
 * that one call ended have no order; of the call in which the window begins, a
 * proportional part counts.
 */
#include "postgres.h"

#include "batch/failure_window.h"
#include "queue/failure.h"

/*
 * Add what ended at one moment to the window.  If there is not enough room for all
 * of it, a proportional part of it is added.
 */
static void
add_moment(FailureWindow *window, int64 ended, int64 failed)
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
 * Fill the window with the last deliveries that a scan reads, which is begun and
 * is not ended here, and that count.  Actions that were redriven, cancelled or expired say
 * nothing about the provider.
 */
void
FillWindow(FailureWindow *window, TallyScan *scan, CountsRow counts, void *argument)
{
	TallyRow row;
	TimestampTz moment = 0;
	int64 ended = 0;
	int64 failed = 0;

	while (window->ended < window->size && NextTallyRow(scan, &row))
	{
		if (row.actions < 0 || row.state == ACTION_CANCELLED || row.state == ACTION_EXPIRED ||
			!counts(argument, &row))
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
}

/*
 * Whether more failed than may.  Also before the window is full: what is still to come
 * cannot make it less.
 */
bool
WindowIsBad(const FailureWindow *window)
{
	return window->failed > window->share * window->size;
}

/*
 * What a circuit breaker that opens says.
 */
char *
WindowText(const FailureWindow *window)
{
	return psprintf("circuit breaker: " INT64_FORMAT " of the last " INT64_FORMAT
					" deliveries failed",
					window->failed, window->ended);
}
