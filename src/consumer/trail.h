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
#define TRAIL_SETTLED "settled"       /* up to which numbers everything is linked: TrailMarks */

/* Columns that are hashed; the first one is the number.  Roles are hashed by their names. */
#define LOG_COLUMNS \
	"l.id, l.batch_id, l.logged_at, l.event, l.role_name, l.session_role, l.reason, l.details, l.api_key"
#define BATCH_COLUMNS \
	"b.id, b.created_at, b.requested_by, b.session_role, b.reason, b.query, b.plan, b.on_doubt, b.api_key," \
	" b.probe_of"
#define REMOVAL_COLUMNS \
	"m.id, m.removed_at, m.event, m.first_id, m.last_id, m.part, m.ids, m.hashes"
#define DELIVERY_COLUMNS \
	"d.outbox_id, d.finished_at, d.attempts, d.state, d.outcome, d.error, d.effect, d.resend," \
	" d.unproven, d.known_by, d.relay"
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

/* Up to where everything is linked that ever will be; see trail_link.c. */
typedef struct TrailMarks
{
	int64 hashed_from; /* first id whose row must have a hash */
	int64 log_id;
	int64 batch_id;
	int64 removal_id;
	int64 outbox_id;
	TimestampTz finished_at;
} TrailMarks;

/* How far the chain has come; the row of acteon_replay_trail_head. */
typedef struct TrailHead
{
	bool exists;
	int64 position;
	uint8 hash[LINK_HASH_BYTES];
	TrailMarks marks;
} TrailHead;

/* Something that is not as it was linked. */
typedef struct TrailFinding
{
	const char *violation;
	int64 outbox_id; /* 0: of no action */
	int64 number;    /* of what it is about: the id, entry, batch, removal or link; 0: none */
	const char *detail;
} TrailFinding;

/* Who is told what a check finds, and each link that it reads. */
typedef struct TrailObserver
{
	void *argument;
	void (*found)(void *argument, const TrailFinding *finding);
	void (*linked)(void *argument, const TrailLink *link, const uint8 *hash); /* NULL: nobody */
} TrailObserver;

/* How much of a kind of things was there. */
typedef struct TrailCount
{
	int64 there;
	int64 unlinked; /* of those, without a link, which are not settled yet */
	int64 last;     /* the highest number */
} TrailCount;

/* What a check has looked at. */
typedef struct TrailSeen
{
	TrailHead head;
	TrailCount rows;
	TrailCount deliveries;
	TrailCount log;
	TrailCount batches;
	TrailCount removals;
	int64 unhashed; /* rows of version 1.0 */
	int64 removed;  /* rows that are linked and that a purge has removed */
} TrailSeen;

extern void HashRow(Digest *digest, const char *kind, HeapTuple row, TupleDesc desc, uint8 *hash);
extern void HashOutboxRow(Digest *digest, HeapTuple row, TupleDesc desc, uint8 *hash);
extern void HashDelivery(Digest *digest, HeapTuple row, TupleDesc desc, uint8 *hash);
extern void HashLink(Digest *digest, const TrailLink *link, uint8 *hash);
extern void ReadHead(const char *schema, TrailHead *head);
extern void PackMarks(const TrailMarks *marks, TrailLink *link);
extern bool UnpackMarks(TrailMarks *marks, const uint8 *hashes, int len);
extern void NoteRemoved(Oid schema, const char *event, const Datum *ids, int count);
extern void NotePartRemoved(Oid schema, int part, const int64 *kept, int count);
extern int64 LinkTrail(Oid schema, int64 most);
extern void CheckTrail(const TrailObserver *observer, Oid schema, int64 from_id, int64 to_id,
					   bool everything, TrailSeen *seen);

#endif /* ACTEON_TRAIL_H */
