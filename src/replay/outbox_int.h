/*
 * outbox_int.h
 *		The inside of an open outbox, for earlier_replays.c and enqueue.c.
 */
#ifndef ACTEON_OUTBOX_INT_H
#define ACTEON_OUTBOX_INT_H

#include "access/genam.h"
#include "utils/hsearch.h"
#include "utils/snapshot.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "queue/action_state.h"
#include "queue/pace.h"
#include "queue/segment.h"
#include "replay/outbox.h"
#include "replay/reached.h"

/* Places of the indexes that are kept by hand. */
#define ID_INDEX 0
#define ACTION_ID_INDEX 1
#define OUR_INDEXES 2

/* An action that the call has met; see earlier_replays.c. */
typedef struct SeenKey
{
	pg_uuid_t first_replay;
	uint64 namespace; /* hashed */
	uint64 tenant;
} SeenKey;

struct Outbox
{
	MemoryContext context;
	Oid schema;
	pg_uuid_t namespace;
	int64 batch_id; /* 0: not drawn yet */
	TimestampTz created_at;
	Pacer pacer;
	int run_rows; /* rows of a segment */
	bool ramp;    /* its length follows from what is enqueued */
	bool include_replayed;
	bool lost; /* is what is asked for */
	bool drops_dedup;
	text *provider_override; /* NULL: each record's own */
	Snapshot statement;      /* what the caller can see */
	TableWriter writer;
	TupleTableSlot *slots[SEGMENT_ACTIONS];
	Relation action_index; /* the unique index on action_id */
	SnapshotData dirty;    /* sees rows that are being inserted */
	IndexScanDesc probe;
	TupleTableSlot *found;
	StateReader states;
	ReachedReader reached;
	HTAB *seen;        /* actions that the call has taken: SeenKey */
	Segment *segments; /* of the rows that are in */
	int segment_count;
	int segments_allocated;
};

#endif /* ACTEON_OUTBOX_INT_H */
