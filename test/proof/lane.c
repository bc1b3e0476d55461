/*
 * lane.c
 *		Proof of src/queue/lane.c.
 *
 * Bounds: lanes of up to three segments.
 *
 * Unwind: 5
 *
 * Breaks: src/queue/lane.c s/entry->in_doubt || entry->is_leased/entry->in_doubt/
 * Breaks: src/queue/lane.c s/entry->first_id < look->first.first_id/entry->first_id > look->first.first_id/
 * Breaks: src/queue/lane.c s/return entry->first_id > look->wanted/return false/
 * Breaks: src/queue/lane.c s/look->is_busy || look->first.due_at > now/look->is_busy/
 * Breaks: src/queue/lane.c s/!a_in_lane || a == b/a == b/
 */
#include "queue/lane.c"

#define SEGMENTS 3

/* A lane, in the order of its index, and which of its segments this claim can lock. */
typedef struct Lane
{
	LaneEntry entries[SEGMENTS];
	bool can_hold[SEGMENTS];
	bool is_held[SEGMENTS];
	int count;
	TimestampTz now;
} Lane;

/* What has a token, then doubts, then what waits. */
static int
rank_of(const LaneEntry *entry)
{
	return entry->has_token ? 0 : entry->in_doubt ? 1 : 2;
}

/* A segment is leased while it has a token and its time is not over. */
static void
any_lane(Lane *lane)
{
	lane->now = nondet_int64();
	lane->count = nondet_int();
	ASSUME(lane->count >= 1 && lane->count <= SEGMENTS);
	for (int i = 0; i < lane->count; i++)
	{
		LaneEntry *entry = &lane->entries[i];

		entry->first_id = nondet_int64();
		entry->due_at = nondet_int64();
		entry->has_token = nondet_bool();
		entry->in_doubt = nondet_bool();
		entry->is_leased = entry->has_token && entry->due_at > lane->now;
		lane->can_hold[i] = nondet_bool();
		lane->is_held[i] = false;
		for (int k = 0; k < i; k++)
		{
			const LaneEntry *before = &lane->entries[k];

			ASSUME(before->first_id != entry->first_id);
			ASSUME(rank_of(before) < rank_of(entry) ||
				   (rank_of(before) == rank_of(entry) &&
					(rank_of(entry) == 0 || before->first_id < entry->first_id)));
		}
	}
}

/* As LookAtLane does it, for one of its segments. */
static LaneState
look_at(Lane *lane, int wanted)
{
	LaneLook look;

	BeginLook(&look, &lane->entries[wanted]);
	for (int i = 0; i < lane->count && !look.is_over; i++)
	{
		if (!LookAtEntry(&look, &lane->entries[i]))
			continue;
		lane->is_held[i] = lane->can_hold[i];
		if (!lane->can_hold[i])
			FindBusy(&look);
	}
	return EndLook(&look, lane->now);
}

/*
 * What may be claimed is due and comes before all others of its lane, none of which is leased
 * or in doubt; a lease of another one that has expired cannot be extended meanwhile.
 */
void
prove_free(void)
{
	Lane lane;
	int wanted = nondet_int();

	any_lane(&lane);
	ASSUME(wanted >= 0 && wanted < lane.count);
	if (look_at(&lane, wanted) != LANE_FREE)
		return;
	PROVE(lane.entries[wanted].due_at <= lane.now);
	for (int i = 0; i < lane.count; i++)
	{
		PROVE(!lane.entries[i].is_leased && !lane.entries[i].in_doubt);
		PROVE(lane.entries[i].first_id >= lane.entries[wanted].first_id);
		PROVE(i == wanted || !lane.entries[i].has_token || lane.is_held[i]);
	}
}

/* Of two segments of a lane, one at most may be claimed. */
void
prove_one(void)
{
	Lane lane;
	int a = nondet_int();
	int b = nondet_int();

	any_lane(&lane);
	ASSUME(a >= 0 && a < lane.count && b >= 0 && b < lane.count && a != b);
	PROVE(look_at(&lane, a) != LANE_FREE || look_at(&lane, b) != LANE_FREE);
}

/*
 * A lane in which nothing is leased or in doubt goes on: its first segment may be claimed once it
 * is due, and others are told that it comes first.
 */
void
prove_progress(void)
{
	Lane lane;
	int wanted = nondet_int();
	int first = 0;

	any_lane(&lane);
	ASSUME(wanted >= 0 && wanted < lane.count);
	for (int i = 0; i < lane.count; i++)
	{
		ASSUME(!lane.entries[i].is_leased && !lane.entries[i].in_doubt && lane.can_hold[i]);
		if (lane.entries[i].first_id < lane.entries[first].first_id)
			first = i;
	}
	ASSUME(lane.entries[first].due_at <= lane.now);
	PROVE(look_at(&lane, wanted) == (wanted == first ? LANE_FREE : LANE_NOT_FIRST));
}

/* Rows have one order, whichever are compared. */
void
prove_order(void)
{
	bool in_lane[3];
	int64 lane[3];

	for (int i = 0; i < 3; i++)
	{
		in_lane[i] = nondet_bool();
		lane[i] = nondet_int64();
	}
#define COMPARE(i, k) CompareLanes(in_lane[i], lane[i], in_lane[k], lane[k])
	PROVE(COMPARE(0, 1) == -COMPARE(1, 0));
	PROVE((COMPARE(0, 1) == 0) ==
		  (in_lane[0] == in_lane[1] && (!in_lane[0] || lane[0] == lane[1])));
	PROVE(COMPARE(0, 1) > 0 || COMPARE(1, 2) > 0 || COMPARE(0, 2) <= 0);
	PROVE(COMPARE(0, 1) != 0 || COMPARE(1, 2) >= 0 || COMPARE(0, 2) < 0);
}
