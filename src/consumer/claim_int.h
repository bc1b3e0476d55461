/*
 * claim_int.h
 *		The inside of a claim, for claim.c, may_claim.c and hand_out.c.
 */
#ifndef ACTEON_CLAIM_INT_H
#define ACTEON_CLAIM_INT_H

#include "nodes/execnodes.h"
#include "utils/hsearch.h"
#include "utils/uuid.h"

#include "base/digest.h"
#include "batch/batch_stop.h"
#include "consumer/resolve_doubt.h"
#include "queue/delivery.h"
#include "queue/limit.h"
#include "queue/segment.h"

/* Maximum number of batches that have fallen behind their rates that a claim paces anew. */
#define MAX_CATCH_UPS 16

/* About how many actions of cancelled batches a claim sweeps; twice, if it begins from the beginning. */
#define MAX_SWEPT 10000

/* A claim under way. */
typedef struct Claim
{
	ReturnSetInfo *result;
	SegmentTable segments;
	TableFinder outbox;
	DeliveryWriter deliveries;
	BatchGuard guard;
	LimitSet limits;
	MemoryContext row_context;
	StringInfoData json;
	Digest digest;     /* for the hashes of rows */
	int64 hashed_from; /* actions from this id on have a hash; 0: not read yet */
	TimestampTz now;
	TimestampTz lease_end;
	int64 token;
	text *consumer;
	const char *target_name; /* NULL: production */
	text *target;            /* the same */
	text *gateway;           /* where the consumer delivers to; NULL: it does not tell */
	int32 relay;             /* its number; NO_RELAY: not looked up yet */
	int wanted;              /* actions that may still be taken */
	int leave;               /* of these, what is left to others for the moment */
	Size bytes;              /* of JSON so far */
	bool full;
	int ended;        /* actions that ended dead */
	int swept;        /* actions that ended cancelled */
	int expired;      /* actions that ended expired */
	int unexpired;    /* segments that were passed because these were enough */
	int parked;       /* segments of paused batches */
	int held_back;    /* segments parked for limits */
	int refused;      /* segments that a limit did not allow to be claimed */
	int cut;          /* pieces that are to be claimed by this claim still */
	bool lanes_freed; /* what waits behind expired actions counts among these, as one */
	HTAB *busy_lanes; /* that nothing of can be claimed now; NULL: none met */
	Doubts doubts;
	int looked_up;               /* actions, before what waits behind them */
	int64 behind[MAX_CATCH_UPS]; /* batches that have fallen behind their rates */
	int behind_count;
	bool has_namespace;
	pg_uuid_t namespace; /* for new ids, read when it is first needed */
	/* Actions of the segment at hand that cannot be handed out, and why. */
	int64 spoilt[SEGMENT_ACTIONS];
	char *spoilt_because[SEGMENT_ACTIONS];
	bool spoilt_missing[SEGMENT_ACTIONS]; /* its row is not in the outbox */
	int spoilt_count;
	int64 current; /* action that is being put out */
	bool moved;
	DuePlace place; /* of the last segment that was taken */
} Claim;

extern bool BatchLetsPass(Claim *claim, const Segment *segment);
extern bool LaneLetsPass(Claim *claim, const Segment *segment);
extern int LimitsLetPass(Claim *claim, Segment *segment, int length, SharedLimit **limits);
extern int64 PutOutActions(Claim *claim, const Segment *lease);

#endif /* ACTEON_CLAIM_INT_H */
