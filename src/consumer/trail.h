/*
 * trail.h
 *		The trail: the chain of hashes of what was done.
 */
#ifndef ACTEON_TRAIL_H
#define ACTEON_TRAIL_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"

#include "base/digest.h"
#include "queue/row_hash.h"

/* What a link of the chain is about, by its column kind. */
#define TRAIL_LOG "log"               /* an entry of the log */
#define TRAIL_BATCH "batch"           /* what of a batch never changes */
#define TRAIL_REMOVAL "removal"       /* what a purge or redrive has removed */
#define TRAIL_ROWS "rows"             /* the rows of a block of outbox ids */
#define TRAIL_DELIVERIES "deliveries" /* deliveries of such a block */

/* Columns that are hashed; the first one is the number.  Roles are hashed by their names. */
#define LOG_COLUMNS \
	"l.id, l.batch_id, l.logged_at, l.event, l.role_name, l.session_role, l.reason, l.details, l.api_key"
#define BATCH_COLUMNS \
	"b.id, b.created_at, b.requested_by, b.session_role, b.reason, b.query, b.plan, b.on_doubt, b.api_key"
#define REMOVAL_COLUMNS \
	"m.id, m.removed_at, m.event, m.first_id, m.last_id, m.part, m.ids, m.hashes"
#define DELIVERY_COLUMNS \
	"d.outbox_id, d.finished_at, d.attempts, d.state, d.outcome, d.error, d.effect, d.resend," \
	" d.unproven, d.known_by"
enum
{
	DELIVERY_ID = 1,
	DELIVERY_FINISHED_AT,
	DELIVERY_OUTCOME = 5
};

/* Events of removals. */
#define REMOVAL_PURGE "purge"
#define REMOVAL_REDRIVE "redrive"
#define REMOVAL_PROBES "probes" /* its ids are those of batches */

/* A link of the chain. */
typedef struct TrailLink
{
	int64 position;
	TimestampTz linked_at;
	const char *kind;
	int64 reference;                /* number of what is linked, or first id of the block */
	int64 batch_id;                 /* 0: none */
	int count;                      /* of hashes */
	uint8 offsets[SEGMENT_ACTIONS]; /* of the ids from the block's first one */
	uint8 hashes[SEGMENT_ACTIONS][ROW_HASH_BYTES];
} TrailLink;

/* How far the chain has come; the row of acteon_replay_trail_head. */
typedef struct TrailHead
{
	bool exists;
	int64 hashed_from;
	int64 position;
	uint8 hash[LINK_HASH_BYTES];
	/* Everything up to there is linked; see trail_link.c. */
	int64 log_id;
	int64 batch_id;
	int64 removal_id;
	int64 outbox_id;
	TimestampTz finished_at;
} TrailHead;

extern void HashRow(Digest *digest, const char *kind, HeapTuple row, TupleDesc desc, uint8 *hash);
extern void HashOutboxRow(Digest *digest, HeapTuple row, TupleDesc desc, uint8 *hash);
extern void HashDelivery(Digest *digest, HeapTuple row, TupleDesc desc, uint8 *hash);
extern void HashLink(Digest *digest, const TrailLink *link, uint8 *hash);
extern void ReadHead(const char *schema, TrailHead *head);
extern void NoteRemoved(Oid schema, const char *event, const Datum *ids, int count);
extern void NotePartRemoved(Oid schema, int part, const int64 *kept, int count);
extern int64 LinkTrail(Oid schema, int64 most);
extern void
CheckTrail(ReturnSetInfo *result, Oid schema, int64 from_id, int64 to_id, bool everything);

#endif /* ACTEON_TRAIL_H */
