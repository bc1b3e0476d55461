/*
 * segment.h
 *		Segments: waiting and leased actions.
 */
#ifndef ACTEON_SEGMENT_H
#define ACTEON_SEGMENT_H

#include "utils/snapshot.h"

#include "base/optional_time.h"
#include "base/table_access.h"
#include "queue/batch_flags.h"
#include "queue/lane.h"

/* The token of a segment that is not leased. */
#define NO_LEASE INT64CONST(0)

/* The rate of no part: a segment keeps that of its batch. */
#define NO_PACE 0

/* The key of no limit. */
#define NO_LIMIT INT64CONST(0)

/* The number of no relay. */
#define NO_RELAY 0

/* Whose actions a limit is about. */
typedef enum LimitKind
{
	LIMIT_PROVIDER,
	LIMIT_TENANT
} LimitKind;

#define NUM_LIMIT_KINDS (LIMIT_TENANT + 1)

/* A run of consecutive outbox rows that waits or is leased as one. */
typedef struct Segment
{
	int64 first_id;
	int64 last_id;
	int64 batch_id;
	TimestampTz due_at; /* while it is leased: when the lease ends */
	int32 attempt;
	bool was_claimed; /* ever */
	bool in_lane;
	int64 lane;
	int64 lease_token;       /* NO_LEASE: not leased */
	text *holder;            /* NULL: not leased */
	int32 resend;            /* new ids that its actions were given */
	TimestampTz sent_at;     /* when it was first handed out since its id was given up; 0: never */
	bool id_refused;         /* the gateway has seen the present id, and executed nothing */
	bool unproven;           /* an earlier id was given up without proof */
	TimestampTz doubt_since; /* 0: it is not in doubt */
	text *doubt;             /* why it is; NULL: it is not */
	text *held;              /* why it waits for a person; NULL: it does not */
	text *provider;          /* of all its actions; NULL: unknown, or there are several */
	/* Limits (limit.c) that count it while it is leased; that it waits for while it is parked. */
	int64 provider_limit;   /* NO_LIMIT: none */
	int64 tenant_limit;     /* the same */
	TimestampTz parked_at;  /* since when it waits for a limit; 0: it does not */
	TimestampTz expires_at; /* none of its actions expires earlier; 0: none does at all */
	/* Parts of a batch that are steered on their own (part.c). */
	BatchStop stopped; /* apart from its batch: BATCH_RUNS (not), _PAUSED or _CANCELLED */
	int32 pace;        /* of which part it keeps the rate; NO_PACE: that of its batch */
	text *target;      /* where its actions go; NULL: production */
	int32 relay;       /* the one that has leased it last; NO_RELAY: none, or unknown */
	ItemPointerData tid;
} Segment;

/* The open table of segments; see OpenSegments, OpenSegmentsToAdd and OpenSegmentsToRead. */
typedef struct SegmentTable
{
	Relation rel;
	OwnColumns columns;
	bool is_writable;
	TableReader reader; /* if it is not; else: */
	TableWriter writer;
	Relation by_id;   /* this one is set in any case */
	Relation by_due;  /* what is not in doubt */
	Relation by_look; /* doubts, by target and the time at which they are looked up next */
	Relation by_lease;
	Relation by_lane;
	Relation by_limit[NUM_LIMIT_KINDS]; /* what a limit counts, then what waits for it */
	TupleTableSlot *found;
	TupleTableSlot *changed;
} SegmentTable;

/* A place in the order in which segments are claimed. */
typedef struct DuePlace
{
	TimestampTz due_at;
	int64 first_id;
} DuePlace;

/* A scan of segments; see BeginDueScan and those after it. */
typedef struct SegmentScan
{
	SegmentTable *table;
	MemoryContext context; /* of the index scan */
	IndexScanDesc scan;
	Snapshot snapshot;
	ScanKeyData place_keys[2];
	ScanKeyData keys[3];
} SegmentScan;

/*
 * The limit of a kind that is noted in a segment.
 */
static inline int64
SegmentLimit(const Segment *segment, LimitKind kind)
{
	return kind == LIMIT_PROVIDER ? segment->provider_limit : segment->tenant_limit;
}

/*
 * The provider that a segment's results tell something about: none, if they come from
 * another target than production.
 */
static inline text *
ToldProvider(const Segment *segment)
{
	return segment->target == NULL ? segment->provider : NULL;
}

static inline int
SegmentLength(const Segment *segment)
{
	return (int) (segment->last_id - segment->first_id + 1);
}

/*
 * How many actions there are in pieces.
 */
static inline int
PiecesLength(const Segment *pieces, int count)
{
	int length = 0;

	for (int i = 0; i < count; i++)
		length += SegmentLength(&pieces[i]);
	return length;
}

/*
 * Note that an action of a segment expires, if it does.
 */
static inline void
AddExpiry(Segment *segment, OptionalTime expires_at)
{
	if (expires_at.given && (segment->expires_at == 0 || expires_at.time < segment->expires_at))
		segment->expires_at = expires_at.time;
}

/*
 * Whether a segment is leased at a time: a lease expires by itself.
 */
static inline bool
SegmentIsLeased(const Segment *segment, TimestampTz now)
{
	return segment->lease_token != NO_LEASE && segment->due_at > now;
}

/* SQL for the same. */
#define SEGMENT_IS_LEASED(segment, now) \
	segment ".lease_token IS NOT NULL AND " segment ".due_at > " now

/*
 * When a segment is due that is to go out again at a time.  What is cancelled with a part of
 * its batch does not go out, so it is due at once, for a claim to sweep it: until then it keeps
 * others of its lane waiting, and the canary and the end of its batch.
 */
static inline TimestampTz
DueAgain(const Segment *segment, TimestampTz at, TimestampTz now)
{
	return segment->stopped == BATCH_CANCELLED ? now : at;
}

extern void OpenSegments(SegmentTable *table, Oid schema);
extern void OpenSegmentsToAdd(SegmentTable *table, Oid schema);
extern void OpenSegmentsToRead(SegmentTable *table, Oid schema);
extern void CloseSegments(SegmentTable *table);
extern bool FindSegment(SegmentTable *table, int64 outbox_id, Segment *segment);
extern void
FindLease(SegmentTable *table, int64 token, Segment **segments, int *count, int *allocated);
extern int64 LastInLane(SegmentTable *table, int64 lane, int64 batch_id);
extern LaneState LookAtLane(SegmentTable *table, const Segment *segment, TimestampTz now);
extern void BeginDueScan(SegmentScan *scan, SegmentTable *table, const text *target,
						 const DuePlace *after, TimestampTz until);
extern void
BeginLookScan(SegmentScan *scan, SegmentTable *table, const text *target, TimestampTz until);
extern void BeginDoubtScan(SegmentScan *scan, SegmentTable *table);
extern void
BeginParkedScan(SegmentScan *scan, SegmentTable *table, LimitKind kind, int64 limit, bool leased);
extern void BeginRangeScan(SegmentScan *scan, SegmentTable *table, int64 first_id, int64 last_id);
extern bool NextSegment(SegmentScan *scan, Segment *segment);
extern void EndSegmentScan(SegmentScan *scan);
extern void InsertSegment(SegmentTable *table, const Segment *segment);
extern bool HoldSegment(SegmentTable *table, const Segment *segment, bool wait);
extern bool RemoveSegment(SegmentTable *table, const Segment *segment);
extern bool ReplaceSegment(SegmentTable *table, const Segment *old, Segment *pieces, int count);
extern int CutSegment(const Segment *segment, const int *groups, Segment *pieces);
extern void AppendPiece(Segment *pieces, int *count, const Segment *piece);
extern int64 ActionLane(const text *tenant, const text *fingerprint, const char *target);

#endif /* ACTEON_SEGMENT_H */
