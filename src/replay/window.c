/*
 * window.c
 *		How far a call reads.
 *
 * A query with a limit has so many places.  A record that is replayed, that fails or is
 * skipped takes one; one that is passed over does not.  With fill_limit only what is
 * replayed takes one, for clients that cannot continue at a cursor: what they may not
 * replay would fill their limit again with each call.
 *
 * Such a call reads as far as necessary to find something to replay.  Once it has, it looks
 * at FILL_RECORDS more records at most, whether its limit is full or not: the next call
 * passes over what this one has replayed, and so gets further, also without the cursor.
 */
#include "postgres.h"

#include "replay/window.h"

/* Records that a call with fill_limit looks at after the first one that is replayed. */
#define FILL_RECORDS 10000

/*
 * Begin to read what a search finds, for a query whose records this judge judges, and not
 * more than so many records.
 */
void
BeginWindows(Windows *windows, AuditScan *scan, Judge *judge, const ReplayQuery *query,
			 int64 look_at)
{
	windows->scan = scan;
	windows->judge = judge;
	windows->query = query;
	windows->places = query->is_limited ? query->max_records : PG_INT64_MAX;
	windows->look_at = look_at;
	windows->looked_at = 0;
	windows->has_found = false;
	windows->since_found = 0;
}

/*
 * How many of these records, the first ones, the places suffice for: those up to the one that
 * takes the last, unless it turns out not to take any.
 */
static int
fitting_records(const Windows *windows, const AuditRecord *records, int count)
{
	int64 places = windows->places;

	for (int i = 0; i < count; i++)
	{
		Effect effect;

		if (JudgeRecord(windows->judge, &records[i], &effect) == REASON_NONE && --places == 0)
			return i + 1;
	}
	return count;
}

/*
 * Take the next records.  Returns how many there are, 0 if the call has read far enough, or
 * there are no more.  They live until the next call; the array is made in the current
 * memory context.
 */
int
NextWindow(Windows *windows, AuditRecord **records)
{
	int64 left = windows->look_at - windows->looked_at;
	int count, fitting;

	if (!windows->query->fill_limit)
		left = Min(left, windows->places);
	else if (windows->has_found && windows->query->is_limited)
		left = Min(left, FILL_RECORDS - windows->since_found);
	if (left == 0 || windows->places == 0)
		return 0;
	count = AuditScanTake(windows->scan, (int) Min(left, MAX_RECORDS_LIMIT), records);
	if (windows->query->fill_limit)
	{
		fitting = fitting_records(windows, *records, count);
		AuditScanGiveBack(windows->scan, count - fitting);
		count = fitting;
	}
	windows->looked_at += count;
	return count;
}

/*
 * Whether what becomes of a record takes one of the places.
 */
static bool
takes_place(const ReplayQuery *query, ItemStatus status)
{
	return status == ITEM_PENDING || (status != ITEM_PASSED_OVER && !query->fill_limit);
}

/*
 * Count what the records of a window, which have been judged, take.
 */
void
CountWindow(Windows *windows, const ReplayItem *items, int count)
{
	for (int i = 0; i < count; i++)
	{
		windows->places -= takes_place(windows->query, items[i].status);
		windows->since_found += windows->has_found;
		windows->has_found |= items[i].status == ITEM_PENDING;
	}
}
