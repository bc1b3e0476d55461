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
#include "queue/row_hash.h"
#include "queue/segment.h"
#include "replay/outbox.h"

/* Places of the indexes that are kept by hand: the outbox's, and that of the ids. */
#define ID_INDEX 0
#define ACTION_ID_INDEX 0
#define OUR_INDEXES 1

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
	const ReplayQuery *query; /* that the batch is made by; it outlives the outbox */
	pg_uuid_t namespace;
	int64 batch_id; /* 0: not drawn yet */
	TimestampTz created_at;
	Pacer pacer;
	int run_rows;            /* rows of a segment */
	bool ramp;               /* its length follows from what is enqueued */
	bool holds;              /* what is enqueued is held back; see canary.c */
	bool never_waits;        /* for rows of earlier replays */
	const char *target;      /* where the actions go; NULL: production */
	text *target_text;       /* the same */
	text *provider_override; /* NULL: each record's own */
	char *patch_label;       /* of what it has changed */
	Snapshot statement;      /* what the caller can see */
	int64 next_block;        /* ids that were drawn and not used yet; 0: none */
	bool is_open;            /* the part for them */
	int partition;           /* which one */
	TableWriter writer;      /* to it */
	TupleTableSlot *slots[SEGMENT_ACTIONS];
	Digest digest; /* for the hashes of rows, while they are enqueued */
	StoredHash hashes[SEGMENT_ACTIONS];
	RowsHash rows_hash; /* of the batch */
	TableWriter ids;    /* of the actions; see find_action.c */
	TupleTableSlot *id_slots[SEGMENT_ACTIONS];
	Relation action_index; /* the unique index on them */
	SnapshotData dirty;    /* sees rows that are being inserted */
	IndexScanDesc probe;
	TupleTableSlot *used; /* the id that was found last */
	TableFinder earlier;  /* the replay that was found last */
	StateReader states;
	HTAB *seen;          /* actions that the call has taken: SeenKey */
	text *kept_provider; /* of the segment that was made last */
	Segment *segments;   /* of the rows that are in */
	int segment_count;
	int segments_allocated;
};

extern void OpenOutboxPart(Outbox *outbox);
extern void CloseOutboxPart(Outbox *outbox);

#endif /* ACTEON_OUTBOX_INT_H */
