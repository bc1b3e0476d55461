/*
 * claim.c
 *		acteon_outbox_claim: leasing due actions to a consumer.
 *
 * Segments are read in the order (due_at, first_id) of an index and leased by
 * updating each, as it was read, without waiting: whatever another transaction
 * is busy with is left to that one, as with SKIP LOCKED.  A segment that is
 * longer than what is wanted is split.  A lease that ran out is due like any
 * other segment, so nobody has to look after leases.
 *
 * What finished or moved on leaves dead entries at the beginning of the index,
 * which stay as long as the oldest transaction is open.  So a session remembers
 * where its last claim ended and goes on from there, as long as that gives it
 * as much as it wants; it begins from the beginning once a second in any case,
 * as something due may have appeared before.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/stratnum.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "action_json.h"
#include "compat.h"
#include "consumer.h"
#include "delivery.h"
#include "segment.h"
#include "settings.h"

/* Bytes of JSON after which a claim is full. */
#define CLAIM_BYTES (16 * 1024 * 1024)

/*
 * Bytes of a payload above which an action cannot be handed out: as text it can
 * have six times as many, and a value at most 1 GB.
 */
#define PAYLOAD_BYTES (128 * 1024 * 1024)

/* Bytes of a consumer's name at most. */
#define CONSUMER_MAXLEN 200

/* How long a claim may go on from where the last one ended. */
#define RESCAN_INTERVAL (1 * USECS_PER_SEC)

/* Tokens fit into a double, for consumers that have nothing else. */
#define TOKEN_MASK ((INT64CONST(1) << 53) - 1)

/* Columns of the result. */
enum
{
	CLAIM_OUTBOX_ID,
	CLAIM_LEASE_TOKEN,
	CLAIM_ATTEMPT,
	CLAIM_ACTION,
	NUM_CLAIM_COLUMNS
};

/* A claim under way. */
typedef struct Claim
{
	ReturnSetInfo *result;
	SegmentTable segments;
	TableFinder outbox;
	DeliveryWriter deliveries;
	MemoryContext row_context;
	StringInfoData json;
	TimestampTz now;
	TimestampTz lease_end;
	int64 token;
	text *consumer;
	int wanted; /* actions that may still be taken */
	Size bytes; /* of JSON so far */
	bool full;
	bool moved;
	DuePlace place; /* of the last segment that was taken */
} Claim;

/* Where the session's last claim ended, and when one began from the beginning. */
typedef struct Resume
{
	Oid relid; /* the table of segments */
	DuePlace place;
	TimestampTz scanned_at;
} Resume;

static Resume resume;

PG_FUNCTION_INFO_V1(acteon_outbox_claim);

/*
 * Draw a token: random, so that a lease of before a failover or a restore is
 * never mistaken for one of after it.
 */
static int64
draw_token(void)
{
	int64 token;

	do
	{
		if (!pg_strong_random(&token, sizeof(token)))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("could not generate a random lease token")));
		token &= TOKEN_MASK;
	} while (token == NO_LEASE);
	return token;
}

/*
 * Put out the action in the outbox's slot.  Returns false, having put out
 * nothing, if the claim has no room for it.
 */
static bool
put_out_action(Claim *claim, const Segment *lease)
{
	Datum values[NUM_CLAIM_COLUMNS];
	bool nulls[NUM_CLAIM_COLUMNS] = {false};
	MemoryContext old = MemoryContextSwitchTo(claim->row_context);
	bool fits;
	bool isnull;

	resetStringInfo(&claim->json);
	AppendActionJson(&claim->json, claim->outbox.slot);
	fits = claim->bytes == 0 || claim->bytes + claim->json.len <= CLAIM_BYTES;
	if (fits)
	{
		claim->bytes += claim->json.len;
		values[CLAIM_OUTBOX_ID] = FoundColumn(&claim->outbox, Anum_outbox_id, &isnull);
		values[CLAIM_LEASE_TOKEN] = Int64GetDatum(lease->lease_token);
		values[CLAIM_ATTEMPT] = Int32GetDatum(lease->attempt);
		values[CLAIM_ACTION] =
			PointerGetDatum(cstring_to_text_with_len(claim->json.data, claim->json.len));
		tuplestore_putvalues(claim->result->setResult, claim->result->setDesc, values, nulls);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(claim->row_context);
	return fits;
}

/*
 * Whether the action in the outbox's slot can be handed out.  One that cannot
 * must not stop the others: its leases run out until it ends dead.
 */
static bool
can_hand_out(Claim *claim)
{
	bool isnull;

	slot_getallattrs(claim->outbox.slot);
	if (toast_raw_datum_size(FoundColumn(&claim->outbox, Anum_outbox_payload, &isnull)) <=
		PAYLOAD_BYTES)
		return true;
	ereport(WARNING, (errmsg("action " INT64_FORMAT " of the outbox is too large to be handed out",
							 DatumGetInt64(FoundColumn(&claim->outbox, Anum_outbox_id, &isnull))),
					  errdetail("Its payload has more than %d MB.", PAYLOAD_BYTES / (1024 * 1024)),
					  errhint("It ends dead when its attempts are used up.")));
	return false;
}

/*
 * Put out the actions of a segment that has been leased.  Returns the id of the
 * first one that the claim has no room for, or the one after the last.
 */
static int64
put_out_actions(Claim *claim, const Segment *lease)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = ActeonIndexBeginScan(claim->outbox.rel, claim->outbox.index, snapshot, 2);
	int64 next = lease->last_id + 1;
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_INT8GE,
				Int64GetDatum(lease->first_id));
	ScanKeyInit(&keys[1], 1, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(lease->last_id));
	index_rescan(scan, keys, 2, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, claim->outbox.slot))
	{
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		if (can_hand_out(claim) && !put_out_action(claim, lease))
		{
			next = DatumGetInt64(FoundColumn(&claim->outbox, Anum_outbox_id, &isnull));
			break;
		}
	}
	ExecClearTuple(claim->outbox.slot);
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	return next;
}

/*
 * Give back what a claim has leased but has no room for: the actions of a lease
 * from the given one on.
 */
static void
give_back_rest(Claim *claim, const Segment *before, const Segment *lease, int64 from)
{
	Segment pieces[2];
	int count = 0;

	/* The lease was written by this command, which must not change it again. */
	CommandCounterIncrement();
	if (from > lease->first_id)
	{
		pieces[count] = *lease;
		pieces[count++].last_id = from - 1;
	}
	pieces[count] = *lease;
	pieces[count].first_id = from;
	pieces[count].due_at = before->due_at;
	pieces[count].attempt = before->attempt;
	pieces[count].lease_token = NO_LEASE;
	count++;
	if (!ReplaceSegment(&claim->segments, lease, pieces, count, false, NULL))
		elog(ERROR, "a lease was changed while it was being made");
}

/*
 * How many actions of a segment to lease: as many as are wanted, and only one
 * of a lane.
 *
 * Where all attempts have been used up by leases that ran out, nobody has ever
 * said what is wrong; an action may be one that consumers die of.  Its segment
 * is halved from attempt to attempt, so that in the end it stands alone.
 */
static int
lease_length(const Claim *claim, const Segment *segment)
{
	int length = Min(SegmentLength(segment), claim->wanted);

	if (segment->in_lane)
		length = 1;
	if (segment->lease_token != NO_LEASE && segment->attempt >= MaxAttempts)
		length = Min(length, (SegmentLength(segment) + 1) / 2);
	return length;
}

/*
 * End an action dead whose leases all ran out.
 */
static void
end_unanswered(Claim *claim, const Segment *segment)
{
	Delivery delivery = {.outbox_id = segment->first_id,
						 .attempts = segment->attempt,
						 .state = ACTION_DEAD,
						 .outcome = {.isnull = true}};
	MemoryContext old;

	if (!ReplaceSegment(&claim->segments, segment, segment, 0, false, NULL))
		return;
	old = MemoryContextSwitchTo(claim->deliveries.context);
	delivery.error.isnull = false;
	delivery.error.value = PointerGetDatum(
		cstring_to_text(psprintf("lease of \"%s\" ran out on the last attempt, without an answer",
								 text_to_cstring(segment->holder))));
	AddDelivery(&claim->deliveries, &delivery);
	MemoryContextSwitchTo(old);
}

/*
 * Lease a due segment, or a part of it, and put out its actions; or leave it,
 * if somebody else is at it or its lane is not free.
 */
static void
take_segment(Claim *claim, const Segment *segment)
{
	Segment pieces[2];
	Segment lease;
	int length = lease_length(claim, segment);
	int64 next;

	if (segment->in_lane && !LaneLetsPass(&claim->segments, segment, claim->now))
		return;
	if (segment->lease_token != NO_LEASE && segment->attempt >= MaxAttempts &&
		SegmentLength(segment) == 1)
	{
		end_unanswered(claim, segment);
		return;
	}

	lease = *segment;
	lease.last_id = segment->first_id + length - 1;
	lease.due_at = claim->lease_end;
	lease.attempt = segment->attempt + 1;
	lease.lease_token = claim->token;
	lease.holder = claim->consumer;
	pieces[0] = lease;
	pieces[1] = *segment;
	pieces[1].first_id = lease.last_id + 1;
	pieces[1].lease_token = NO_LEASE;
	if (!ReplaceSegment(&claim->segments, segment, pieces, lease.last_id < segment->last_id ? 2 : 1,
						false, &lease.tid))
		return;
	claim->wanted -= length;
	next = put_out_actions(claim, &lease);
	if (next <= lease.last_id)
		give_back_rest(claim, segment, &lease, next);
	claim->full = claim->wanted == 0 || next <= lease.last_id;
	claim->moved = true;
	claim->place.due_at = segment->due_at;
	claim->place.first_id = segment->first_id;
}

static bool
is_past(const Segment *segment, const DuePlace *place)
{
	return segment->due_at > place->due_at ||
		   (segment->due_at == place->due_at && segment->first_id > place->first_id);
}

/*
 * Take what is due after a place (NULL: from the beginning) and up to another
 * (NULL: to the end), until the claim is full.
 */
static void
take_due(Claim *claim, const DuePlace *after, const DuePlace *up_to)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay due", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	DueScan scan;

	BeginDueScan(&scan, &claim->segments, after, claim->now);
	old = MemoryContextSwitchTo(context);
	while (!claim->full)
	{
		Segment segment;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		if (!NextDue(&scan, &segment) || (up_to != NULL && is_past(&segment, up_to)))
			break;
		take_segment(claim, &segment);
	}
	MemoryContextSwitchTo(old);
	EndDueScan(&scan);
	MemoryContextDelete(context);
}

/*
 * Take what is due, from where the last claim ended if that is good enough.
 */
static void
take_all(Claim *claim)
{
	Oid relid = RelationGetRelid(claim->segments.writer.rel);
	DuePlace place = resume.place;
	bool resumes = resume.relid == relid && claim->now >= resume.scanned_at &&
				   claim->now - resume.scanned_at < RESCAN_INTERVAL;

	resume.relid = InvalidOid; /* in case of an error */
	if (resumes)
		take_due(claim, &place, NULL);
	if (!resumes || !claim->full)
	{
		take_due(claim, NULL, resumes ? &place : NULL);
		resume.scanned_at = claim->now;
	}
	if (!claim->moved)
		return;
	resume.relid = relid;
	resume.place = claim->place;
}

/*
 * The name of the consumer, by an argument.
 */
static text *
consumer_argument(FunctionCallInfo fcinfo, int argument)
{
	text *consumer = PG_ARGISNULL(argument) ? NULL : PG_GETARG_TEXT_PP(argument);

	if (consumer == NULL || VARSIZE_ANY_EXHDR(consumer) == 0 ||
		VARSIZE_ANY_EXHDR(consumer) > CONSUMER_MAXLEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("consumer must be a name of 1 to %d bytes", CONSUMER_MAXLEN),
				 errhint("It tells people who holds a lease; a host name and a process id do.")));
	return consumer;
}

/*
 * acteon_outbox_claim(consumer text, max_actions integer, lease interval)
 * → setof (outbox_id, lease_token, attempt, action)
 *
 * Leases up to max_actions due actions until lease from now and returns them,
 * oldest first, action being the body of the gateway's POST /v1/dispatch.
 * Returns fewer when their JSON comes to more than 16 MB.  Raises
 * insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_outbox_claim(PG_FUNCTION_ARGS)
{
	ConsumerCall call;
	Claim claim = {0};

	InitMaterializedSRF(fcinfo, 0);
	BeginConsumerCall(&call, fcinfo, "acteon_outbox_claim()", true);
	claim.result = (ReturnSetInfo *) fcinfo->resultinfo;
	claim.now = call.now;
	claim.consumer = consumer_argument(fcinfo, 0);
	if (PG_ARGISNULL(1) || PG_GETARG_INT32(1) < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_actions must be at least 1")));
	claim.wanted = PG_GETARG_INT32(1);
	claim.lease_end = LeaseEnd(fcinfo, 2, call.now);
	claim.token = draw_token();
	claim.row_context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay action", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&claim.json);
	OpenSegments(&claim.segments, call.schema);
	OpenFinder(&claim.outbox, OwnTable(call.schema, OUTBOX_TABLE), Anum_outbox_id);
	OpenDeliveries(&claim.deliveries, call.schema, call.now);

	take_all(&claim);

	CloseDeliveries(&claim.deliveries);
	CloseFinder(&claim.outbox);
	CloseSegments(&claim.segments);
	EndConsumerCall(&call);
	return (Datum) 0;
}
