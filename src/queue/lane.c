/*
 * lane.c
 *		Which segment of a lane may be claimed.
 *
 * That is the first one, by its ids, if it is due, and if nothing of the lane is leased or in
 * doubt (LaneLeasedOnce, LaneInOrder).  Segments are looked at in the order of the lane's
 * index: what has a token comes first, then doubts, then what waits, by id.  Reading them is
 * segment.c's.
 */
#include "postgres.h"

#include "queue/lane.h"

/*
 * Begin to look at the lane of a segment that is due.
 */
void
BeginLook(LaneLook *look, const LaneEntry *wanted)
{
	look->wanted = wanted->first_id;
	look->first = *wanted;
	look->is_busy = false;
	look->is_over = false;
}

/*
 * Take notice of the next segment of the lane.  Returns whether the caller must lock it, or
 * else call FindBusy: its lease has expired, but may just be being extended.
 */
bool
LookAtEntry(LaneLook *look, const LaneEntry *entry)
{
	if (entry->first_id < look->first.first_id)
		look->first = *entry;
	if (entry->in_doubt || entry->is_leased)
		FindBusy(look);
	else if (!entry->has_token)
		look->is_over = true;
	else
		return entry->first_id > look->wanted;
	return false;
}

/*
 * Nothing of the lane may be claimed.
 */
void
FindBusy(LaneLook *look)
{
	look->is_busy = true;
	look->is_over = true;
}

/*
 * What the lane permits, once all of it has been looked at, or the look is over.
 */
LaneState
EndLook(const LaneLook *look, TimestampTz now)
{
	if (look->is_busy || look->first.due_at > now)
		return LANE_BUSY;
	return look->first.first_id == look->wanted ? LANE_FREE : LANE_NOT_FIRST;
}

/*
 * The order of rows that are enqueued together: those in no lane first, which are alike, then
 * lane by lane.
 */
int
CompareLanes(bool a_in_lane, int64 a, bool b_in_lane, int64 b)
{
	if (a_in_lane != b_in_lane)
		return a_in_lane ? 1 : -1;
	if (!a_in_lane || a == b)
		return 0;
	return a < b ? -1 : 1;
}
