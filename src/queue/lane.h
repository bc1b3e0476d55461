/*
 * lane.h
 *		Which segment of a lane may be claimed.
 */
#ifndef ACTEON_LANE_H
#define ACTEON_LANE_H

#include "datatype/timestamp.h"

/* How the lane of a segment that is due is. */
typedef enum LaneState
{
	LANE_FREE,      /* the segment may be claimed */
	LANE_NOT_FIRST, /* another one, which is due, comes first */
	LANE_BUSY       /* nothing of the lane may be claimed now */
} LaneState;

/* What a lane's index shows of a segment. */
typedef struct LaneEntry
{
	int64 first_id;
	TimestampTz due_at;
	bool has_token; /* it is leased, or was and has not been given back */
	bool is_leased;
	bool in_doubt;
} LaneEntry;

/* A lane, as far as it has been looked at; see LookAtEntry. */
typedef struct LaneLook
{
	int64 wanted; /* the first id of the segment that is to be claimed */
	LaneEntry first;
	bool is_busy;
	bool is_over; /* nothing that follows changes the result */
} LaneLook;

extern void BeginLook(LaneLook *look, const LaneEntry *wanted);
extern bool LookAtEntry(LaneLook *look, const LaneEntry *entry);
extern void FindBusy(LaneLook *look);
extern LaneState EndLook(const LaneLook *look, TimestampTz now);
extern int CompareLanes(bool a_in_lane, int64 a, bool b_in_lane, int64 b);

#endif /* ACTEON_LANE_H */
