/*
 * may_claim.c
 *		Whether a due segment may be claimed: what its batch, its lane and its limits say.
 *
 * What may not is put out of the way, so that later claims do not meet it again: what is
 * stopped, held back or starts later is parked, what is cancelled or has expired ends, and
 * what a limit does not allow is parked under it.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/text.h"
#include "batch/batch_stop.h"
#include "batch/catch_up.h"
#include "consumer/claim_int.h"
#include "queue/expire.h"
#include "queue/segment_actions.h"

/* Maximum number of segments of paused batches that a claim parks. */
#define MAX_PARKED 10000

/* Maximum number of segments that a claim parks for limits. */
#define MAX_HELD_BACK 10000

/* About how many expired actions a claim ends. */
#define MAX_EXPIRED 10000

/*
 * Whether the lane of a due segment lets it be claimed.  A lane of which nothing
 * can be claimed is remembered; one in which another segment just comes first
 * is not, as that one may be met yet.
 */
bool
LaneLetsPass(Claim *claim, const Segment *segment)
{
	LaneState state;

	if (!segment->in_lane)
		return true;
	if (claim->busy_lanes != NULL &&
		hash_search(claim->busy_lanes, &segment->lane, HASH_FIND, NULL) != NULL)
		return false;
	state = LookAtLane(&claim->segments, segment, claim->now);
	if (state == LANE_BUSY)
	{
		if (claim->busy_lanes == NULL)
		{
			HASHCTL control = {.keysize = sizeof(int64),
							   .entrysize = sizeof(int64),
							   .hcxt = claim->deliveries.context};

			claim->busy_lanes = hash_create("acteon_replay lanes", 64, &control,
											HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		}
		(void) hash_search(claim->busy_lanes, &segment->lane, HASH_ENTER, NULL);
	}
	return state == LANE_FREE;
}

/*
 * Put a segment aside until a time, so that no claim meets it before: one of a batch that
 * starts later.  Or, with DT_NOEND, until something else happens to it: one of a paused
 * batch is resumed, one that the canary holds back is released.
 */
static void
park_segment(Claim *claim, const Segment *segment, TimestampTz until)
{
	Segment parked = *segment;

	parked.due_at = until;
	parked.lease_token = NO_LEASE;
	/* It waits for no limit meanwhile. */
	parked.provider_limit = parked.tenant_limit = NO_LIMIT;
	parked.parked_at = 0;
	if (claim->parked++ < MAX_PARKED && HoldSegment(&claim->segments, segment, false))
		(void) ReplaceSegment(&claim->segments, segment, &parked, 1);
}

/*
 * Whether a segment was parked for a limit that has been changed since, or a circuit
 * breaker that has closed: then much of its batch may go out at once.
 */
static bool
was_released(Claim *claim, const Segment *segment)
{
	for (int kind = 0; kind < NUM_LIMIT_KINDS; kind++)
	{
		const SharedLimit *limit = LimitByKey(&claim->limits, kind, SegmentLimit(segment, kind));

		if (limit != NULL && limit->released_at > segment->parked_at)
			return true;
	}
	return false;
}

/*
 * Whether the batch of a due segment has fallen behind its rate, as this segment
 * or an earlier one shows.  It is paced anew when the claim has done everything
 * else, since that changes segments which the claim may have collected.
 */
static bool
is_behind(Claim *claim, const Segment *segment)
{
	for (int i = 0; i < claim->behind_count; i++)
	{
		if (claim->behind[i] == segment->batch_id)
			return true;
	}
	if (segment->parked_at != 0 ? !was_released(claim, segment)
								: !HasFallenBehind(segment, claim->now))
		return false;
	if (claim->behind_count < MAX_CATCH_UPS)
		claim->behind[claim->behind_count++] = segment->batch_id;
	return true;
}

/*
 * End what has expired of a due segment.  What is left of it is claimed later, by the same
 * claim.
 */
static void
expire_segment(Claim *claim, const Segment *segment)
{
	Expired expired;

	if (claim->expired >= MAX_EXPIRED)
	{
		claim->unexpired++;
		return;
	}
	expired =
		ExpireSegment(&claim->segments, &claim->deliveries, &claim->outbox, segment, claim->now);
	claim->expired += expired.ended;
	claim->cut += expired.left;
	/* What comes behind it in its lane may be claimed as well, once this is seen. */
	if (segment->in_lane && expired.ended > 0 && !claim->lanes_freed)
	{
		claim->lanes_freed = true;
		claim->cut++;
	}
}

/*
 * Whether a segment that is due may go on, as far as its batch is concerned, and the part
 * of it that is steered on its own.
 */
static BatchStop
stop_of(Claim *claim, const Segment *segment)
{
	BatchStop stop = LookAtBatch(&claim->guard, segment->batch_id);

	return stop == BATCH_RUNS || (stop == BATCH_PAUSED && segment->stopped != BATCH_RUNS)
			   ? segment->stopped
			   : stop;
}

/*
 * Whether the batch of a due segment lets it be claimed.  A segment of a stopped
 * one is put out of the way, and so is what has expired; a batch that has fallen behind its
 * rate is paced anew.
 */
bool
BatchLetsPass(Claim *claim, const Segment *segment)
{
	switch (stop_of(claim, segment))
	{
		case BATCH_RUNS:
			if (segment->first_id > claim->guard.last_released)
			{
				park_segment(claim, segment, DT_NOEND);
				return false;
			}
			if (MayHaveExpired(segment, claim->now))
			{
				expire_segment(claim, segment);
				return false;
			}
			if (claim->guard.last_start.given && claim->guard.last_start.time > claim->now)
			{
				park_segment(claim, segment, claim->guard.last_start.time);
				return false;
			}
			return !(claim->guard.last_paced || segment->pace != NO_PACE) ||
				   !is_behind(claim, segment);
		case BATCH_PAUSED:
			park_segment(claim, segment, DT_NOEND);
			return false;
		case BATCH_CANCELLED:
			if (claim->swept < MAX_SWEPT)
				claim->swept += SweepSegment(&claim->segments, &claim->deliveries, segment);
			return false;
		case BATCH_BUSY:
			return false;
	}
	return false;
}

/* Who the actions of a segment are for; see find_owners. */
typedef struct Owners
{
	Claim *claim;
	text *provider[SEGMENT_ACTIONS];
	SharedLimit *tenant[SEGMENT_ACTIONS]; /* the limit of its tenant; NULL: it has none */
	int group[SEGMENT_ACTIONS];           /* neighbours with the same number are alike */
} Owners;

/*
 * Note the provider of an action, and the limit of its tenant.
 */
static void
note_owner(void *argument, int place, TupleTableSlot *row)
{
	Owners *owners = argument;
	bool isnull;

	owners->provider[place] = DatumGetTextPCopy(slot_getattr(row, Anum_outbox_provider, &isnull));
	owners->tenant[place] =
		FindLimit(&owners->claim->limits, LIMIT_TENANT,
				  DatumGetTextPP(slot_getattr(row, Anum_outbox_tenant, &isnull)));
}

/*
 * Find out who the actions of a segment are for.  What is not in the outbox is taken for
 * what is before it: it ends when it is put out.  Returns false if that cannot be read.
 */
static bool
find_owners(Claim *claim, const Segment *segment, Owners *owners)
{
	memset(owners, 0, sizeof(*owners));
	owners->claim = claim;
	if (!ReadSegmentActions(&claim->outbox, segment, note_owner, owners))
		return false;
	for (int i = 1; i < SegmentLength(segment); i++)
	{
		if (owners->provider[i] == NULL)
		{
			owners->provider[i] = owners->provider[i - 1];
			owners->tenant[i] = owners->tenant[i - 1];
		}
		owners->group[i] = owners->group[i - 1] +
						   (owners->tenant[i] != owners->tenant[i - 1] ||
							!SameOptionalText(owners->provider[i], owners->provider[i - 1]));
	}
	return true;
}

/*
 * Cut a segment into pieces that are each for one provider, and one tenant that has a
 * limit.  They are claimed later, by the same claim.
 */
static void
cut_by_owners(Claim *claim, const Segment *segment, const Owners *owners)
{
	Segment pieces[SEGMENT_ACTIONS];
	int count = CutSegment(segment, owners->group, pieces);

	for (int i = 0; i < count; i++)
	{
		pieces[i].provider = owners->provider[pieces[i].first_id - segment->first_id];
		if (segment->parked_at != 0)
			pieces[i].due_at = DT_NOEND;
		pieces[i].lease_token = NO_LEASE;
	}
	if (HoldSegment(&claim->segments, segment, false) &&
		ReplaceSegment(&claim->segments, segment, pieces, count))
		claim->cut += count;
}

/*
 * Leave a segment for a claim that the limit allows to take it.
 */
static void
hold_back(Claim *claim, const Segment *segment, const SharedLimit *limit)
{
	Segment parked = *segment;

	claim->refused++;
	/* Another claim has the limit for a moment: where it waits already it can wait on. */
	if (segment->parked_at != 0 &&
		(limit->hold == LIMIT_BUSY || SegmentLimit(segment, limit->kind) == limit->key))
		return;
	ParkSegment(&parked, limit, claim->now);
	/* Also what was parked for another limit: what its batch had waiting is released once. */
	if (segment->parked_at != 0)
		parked.parked_at = segment->parked_at;
	if (claim->held_back++ < MAX_HELD_BACK && HoldSegment(&claim->segments, segment, false))
		(void) ReplaceSegment(&claim->segments, segment, &parked, 1);
}

/*
 * How many actions of a due segment its limits allow to be claimed, at most the given
 * number; sets the limits.  If they allow none, the segment is parked, or it has been
 * cut into pieces to which different limits apply.
 */
int
LimitsLetPass(Claim *claim, Segment *segment, int length, SharedLimit **limits)
{
	LimitSet *set = &claim->limits;

	limits[LIMIT_PROVIDER] = limits[LIMIT_TENANT] = NULL;
	if (set->count == 0)
		return length;
	if (segment->provider == NULL || set->has_tenants)
	{
		Owners owners;

		/* What is damaged ends when it is put out, alone. */
		if (!find_owners(claim, segment, &owners))
			length = 1;
		else if (owners.group[SegmentLength(segment) - 1] > 0)
		{
			cut_by_owners(claim, segment, &owners);
			return 0;
		}
		else
		{
			segment->provider = owners.provider[0];
			limits[LIMIT_TENANT] = owners.tenant[0];
		}
	}
	if (segment->provider != NULL)
		limits[LIMIT_PROVIDER] = FindLimit(set, LIMIT_PROVIDER, segment->provider);
	for (int kind = 0; kind < NUM_LIMIT_KINDS; kind++)
	{
		length = Min(length, LimitAllows(set, &claim->segments, limits[kind]));
		if (length == 0)
		{
			hold_back(claim, segment, limits[kind]);
			return 0;
		}
	}
	return length;
}
