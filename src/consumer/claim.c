/*
 * claim.c
 *		acteon_outbox_claim: leasing due actions to a consumer.
 *
 * Segments are read in the order (due_at, first_id) of an index and leased one
 * by one, without waiting: segments that another transaction has locked are
 * skipped, as with SKIP LOCKED. A segment that is longer than needed is split.
 * An expired lease is due like any other segment, so no process has to watch
 * leases; but its actions may have been sent, so it is collected and looked up
 * together with the doubts that are due, which have an index of their own
 * (resolve_doubt.c), after the waiting segments have been claimed.  Actions that
 * may be sent according to the look-up are then claimed, too.
 *
 * What the limit of its provider or tenant does not allow is parked, and handed out
 * by a later claim, before anything else (queue/limit.c).
 *
 * Segments that were finished or moved leave dead entries at the beginning of
 * the index, which stay as long as the oldest transaction is open.  So a session
 * remembers where its last claim ended and continues from there, as long as it
 * finds enough actions; once a second it starts at the beginning in any case,
 * because something due may have appeared before that place.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/damaged.h"
#include "base/installation.h"
#include "base/replay_id.h"
#include "base/settings.h"
#include "base/subtransaction.h"
#include "base/target.h"
#include "base/text.h"
#include "batch/batch_stop.h"
#include "batch/breaker.h"
#include "batch/canary.h"
#include "batch/catch_up.h"
#include "batch/failover.h"
#include "batch/notification.h"
#include "batch/provider_breaker.h"
#include "consumer/call.h"
#include "consumer/resolve_doubt.h"
#include "queue/action_body.h"
#include "queue/batch_flags.h"
#include "queue/delivery.h"
#include "queue/doubt.h"
#include "queue/expire.h"
#include "queue/limit.h"
#include "queue/relay.h"
#include "queue/row_hash.h"
#include "queue/segment.h"
#include "queue/wake.h"
#include "queue/segment_actions.h"
#include "replay/tell.h"

/* Bytes of JSON after which a claim is full. */
#define CLAIM_BYTES (16 * 1024 * 1024)

/* Bytes of JSON above which an action is not handed out at all. */
#define ACTION_BYTES (128 * 1024 * 1024)

/* Maximum number of actions that a claim makes dead, besides those that it hands out. */
#define MAX_ENDED 1000

/* Maximum number of segments of paused batches that a claim parks. */
#define MAX_PARKED 10000

/* Maximum number of segments that a claim parks for limits. */
#define MAX_HELD_BACK 10000

/*
 * Number of segments parked under one limit and refused by another after which a claim
 * leaves the others for the next one: they wait for that limit then.
 */
#define MAX_REFUSED 100

/* Maximum number of actions that a claim looks up before it takes what waits behind them. */
#define MAX_LOOKED_UP_FIRST (5 * MAX_LOOKED_UP)

/*
 * Pieces into which segments are cut, about, before those are claimed, and how often:
 * the next claim goes on with the others.
 */
#define MAX_CUT 1000
#define MAX_PASSES 2

/* Maximum number of batches that have fallen behind their rates that a claim paces anew. */
#define MAX_CATCH_UPS 16

/* About how many actions of cancelled batches a claim sweeps; twice, if it begins from the beginning. */
#define MAX_SWEPT 10000

/*
 * About how many expired actions a claim ends, and how many segments of others it passes
 * before it leaves what is behind them to the next claim.
 */
#define MAX_EXPIRED 10000
#define MAX_UNEXPIRED 10000

/* Maximum length of a consumer's name, in bytes. */
#define CONSUMER_MAXLEN 200

/* How long a claim may go on from where the last one ended. */
#define RESCAN_INTERVAL (1 * USECS_PER_SEC)

/* Tokens fit into a double, for consumers that have nothing else. */
#define TOKEN_MASK ((INT64CONST(1) << 53) - 1)

/* Random numbers that are drawn at once. */
#define NUMBERS_IN_ADVANCE 64

/* Columns of the result. */
enum
{
	CLAIM_OUTBOX_ID,
	CLAIM_LEASE_TOKEN,
	CLAIM_ATTEMPT,
	CLAIM_ACTION,
	CLAIM_ACTION_ID,
	CLAIM_EXPIRES_AT,
	NUM_CLAIM_COLUMNS
};

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

/* Where the session's last claim ended, and when one began from the beginning. */
typedef struct Resume
{
	Oid relid;                      /* the table of segments */
	char target[TARGET_MAXLEN + 1]; /* empty: production */
	DuePlace place;
	TimestampTz scanned_at;
} Resume;

static Resume resume;

/* Whether the session's last claim was full, so that it goes on at once. */
static bool was_full = false;

PG_FUNCTION_INFO_V1(acteon_outbox_claim);

/*
 * A random number.  The source of them is slow to set up for each, so a session draws
 * some in advance.
 */
static int64
draw_number(void)
{
	static int64 drawn[NUMBERS_IN_ADVANCE];
	static int left = 0;

	if (left == 0)
	{
		if (!pg_strong_random(drawn, sizeof(drawn)))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("could not generate a random lease token")));
		left = NUMBERS_IN_ADVANCE;
	}
	return drawn[--left];
}

/*
 * Draw a token: random, so that a lease from before a failover or a restore is
 * never mistaken for one from after it.
 */
static int64
draw_token(void)
{
	int64 token;

	do
		token = draw_number() & TOKEN_MASK;
	while (token == NO_LEASE);
	return token;
}

/*
 * Set *id to the id under which the action in the outbox's slot goes out with a
 * lease.
 */
static void
sent_id(Claim *claim, const Segment *lease, pg_uuid_t *id)
{
	bool isnull;
	text *original;

	*id = *DatumGetUUIDP(FoundColumn(&claim->outbox, Anum_outbox_action_id, &isnull));
	if (lease->resend == 0)
		return;
	if (!claim->has_namespace)
		claim->has_namespace = ReadNamespace(claim->guard.schema, &claim->namespace);
	original = DatumGetTextPP(FoundColumn(&claim->outbox, Anum_outbox_original_action_id, &isnull));
	ResendId(id, &claim->namespace, VARDATA_ANY(original), VARSIZE_ANY_EXHDR(original),
			 claim->target_name,
			 DatumGetInt32(FoundColumn(&claim->outbox, Anum_outbox_generation, &isnull)),
			 lease->resend);
}

/*
 * Make the JSON of the action in the outbox's slot, under an id.  Raises an error
 * if the consumer could not receive it.
 */
static void
make_json(Claim *claim, const pg_uuid_t *id)
{
	resetStringInfo(&claim->json);
	AppendActionJson(&claim->json, claim->outbox.slot, id);
	if (claim->json.len > ACTION_BYTES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("its JSON is %d bytes long, which exceeds the maximum of %d bytes",
							   claim->json.len, ACTION_BYTES)));
	/* The conversion is made again when the row is sent; here it spoils one action, there all. */
	if (pg_get_client_encoding() != GetDatabaseEncoding())
		(void) pg_server_to_client(claim->json.data, claim->json.len);
}

/*
 * Raise an error if the row in the outbox's slot is not what was enqueued.  A row without a
 * hash is one of version 1.0, or has lost it.
 */
static void
check_row(Claim *claim)
{
	RowTrust trust = CheckRowHash(&claim->digest, claim->outbox.slot, claim->outbox.columns);

	if (trust == ROW_WITHOUT_HASH)
	{
		if (claim->hashed_from == 0)
			claim->hashed_from = FirstHashedId(claim->guard.schema);
		if (claim->current < claim->hashed_from)
			return;
	}
	if (trust != ROW_AS_ENQUEUED)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("its row in the outbox was changed after it was enqueued")));
}

/*
 * Put out the action in the outbox's slot.  Returns false, having done nothing, if
 * the claim has no room for it.
 */
static bool
put_out_action(Claim *claim, const Segment *lease)
{
	Datum values[NUM_CLAIM_COLUMNS];
	bool nulls[NUM_CLAIM_COLUMNS] = {false};
	MemoryContext old = MemoryContextSwitchTo(claim->row_context);
	OptionalTime expiry = {false};
	pg_uuid_t id;
	bool fits;

	check_row(claim);
	sent_id(claim, lease, &id);
	make_json(claim, &id);
	fits = claim->bytes == 0 || claim->bytes + claim->json.len <= CLAIM_BYTES;
	if (fits)
	{
		claim->bytes += claim->json.len;
		values[CLAIM_OUTBOX_ID] = Int64GetDatum(claim->current);
		values[CLAIM_LEASE_TOKEN] = Int64GetDatum(lease->lease_token);
		values[CLAIM_ATTEMPT] = Int32GetDatum(lease->attempt);
		values[CLAIM_ACTION] =
			PointerGetDatum(cstring_to_text_with_len(claim->json.data, claim->json.len));
		values[CLAIM_ACTION_ID] = UUIDPGetDatum(&id);
		/* Of a segment that does not expire, a person has said so. */
		if (lease->expires_at != 0)
			expiry = OutboxExpiry(&claim->outbox, claim->outbox.slot);
		values[CLAIM_EXPIRES_AT] = TimestampTzGetDatum(expiry.time);
		nulls[CLAIM_EXPIRES_AT] = !expiry.given;
		tuplestore_putvalues(claim->result->setResult, claim->result->setDesc, values, nulls);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(claim->row_context);
	return fits;
}

/*
 * Note that the actions from the current one up to another have no rows in the outbox,
 * as after a restore that failed half way.
 */
static void
note_missing(Claim *claim, int64 last_id)
{
	MemoryContext old = MemoryContextSwitchTo(claim->deliveries.context);

	for (; claim->current <= last_id; claim->current++)
	{
		claim->spoilt[claim->spoilt_count] = claim->current;
		claim->spoilt_missing[claim->spoilt_count] = true;
		claim->spoilt_because[claim->spoilt_count++] =
			psprintf("action " INT64_FORMAT " " CANNOT_BE_HANDED_OUT ": it is not in the outbox",
					 claim->current);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Put out the actions of a leased segment from an id on.  Returns the id of the
 * first one that the claim has no room for, or the one after the last.  Raises the
 * error of an action that cannot be handed out, which is then claim->current; the
 * finder's slot then no longer exists, because the subtransaction has ended.
 */
static int64
put_out_from(Claim *claim, const Segment *lease, int64 from)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = ActeonIndexBeginScan(claim->outbox.rel, claim->outbox.index, snapshot, 2);
	int64 next = lease->last_id + 1;
	TupleTableSlot *slot = claim->outbox.slot;
	ScanKeyData keys[2];

	/* What a slot refers to belongs to the subtransaction, if that ends in an error. */
	claim->outbox.slot = table_slot_create(claim->outbox.rel, NULL);
	ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from));
	ScanKeyInit(&keys[1], 1, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(lease->last_id));
	index_rescan(scan, keys, 2, NULL, 0);
	/* An action that cannot even be read is the one behind the last that could. */
	claim->current = from;
	while (index_getnext_slot(scan, ForwardScanDirection, claim->outbox.slot))
	{
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		note_missing(claim,
					 DatumGetInt64(FoundColumn(&claim->outbox, Anum_outbox_id, &isnull)) - 1);
		if (!put_out_action(claim, lease))
		{
			next = claim->current;
			break;
		}
		claim->current++;
	}
	if (next > lease->last_id)
		note_missing(claim, lease->last_id);
	ExecDropSingleTupleTableSlot(claim->outbox.slot);
	claim->outbox.slot = slot;
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	return next;
}

/*
 * Note that the current action, of a lease, cannot be handed out because of an error.
 * Raises it again if it is about the session, the server or another session, such as a
 * lock that could not be obtained in time.
 */
static void
note_spoilt(Claim *claim, const Segment *lease, ErrorData *error)
{
	if (!IsAboutValue(error) || claim->current > lease->last_id)
		ReThrowError(error);
	claim->spoilt[claim->spoilt_count] = claim->current;
	claim->spoilt_missing[claim->spoilt_count] = false;
	claim->spoilt_because[claim->spoilt_count++] =
		psprintf("action " INT64_FORMAT " " CANNOT_BE_HANDED_OUT ": %s", claim->current,
				 error->message);
	FreeErrorData(error);
	MemoryContextReset(claim->row_context);
}

/* Actions of a lease that are being put out, from an id on. */
typedef struct PutOut
{
	Claim *claim;
	const Segment *lease;
	int64 next; /* what follows those that were put out */
} PutOut;

static bool
put_out_rest(void *argument)
{
	PutOut *rest = argument;

	rest->next = put_out_from(rest->claim, rest->lease, rest->next);
	return true;
}

/*
 * Put out the actions of a segment that has been leased, except those that cannot
 * be handed out: each attempt runs in a subtransaction, so that what is damaged in
 * one action stops no other.  Returns the id of the first one that the claim has no
 * room for, or the one after the last.
 */
static int64
put_out_actions(Claim *claim, const Segment *lease)
{
	MemoryContext errors = claim->deliveries.context;
	TupleTableSlot *slot;
	PutOut rest = {.claim = claim, .lease = lease, .next = lease->first_id};
	bool done = false;

	TurnFinder(&claim->outbox, lease->first_id);
	slot = claim->outbox.slot;
	claim->spoilt_count = 0;
	while (!done && rest.next <= lease->last_id)
	{
		ErrorData *error = TryInSubtransaction(put_out_rest, &rest, errors);

		done = error == NULL;
		if (!done)
		{
			MemoryContext old = MemoryContextSwitchTo(errors);

			claim->outbox.slot = slot;
			note_spoilt(claim, lease, error);
			rest.next = claim->current + 1;
			MemoryContextSwitchTo(old);
		}
	}
	for (int i = 0; i < claim->spoilt_count; i++)
		ereport(LOG, (errmsg("%s", claim->spoilt_because[i])));
	return rest.next;
}

/*
 * Make an action dead that cannot be handed out.
 */
static void
end_dead(Claim *claim, int64 outbox_id, const Segment *segment, const char *error)
{
	Delivery delivery = {.outbox_id = outbox_id,
						 .batch_id = segment->batch_id,
						 .attempts = segment->attempt,
						 .state = ACTION_DEAD,
						 .resend = segment->resend,
						 .relay = claim->relay,
						 .outcome = {.isnull = true}};
	MemoryContext old = MemoryContextSwitchTo(claim->deliveries.context);

	delivery.error.value = CStringGetTextDatum(error);
	AddDelivery(&claim->deliveries, &delivery);
	claim->ended++;
	MemoryContextSwitchTo(old);
}

/*
 * Correct a lease after its actions were put out: what cannot be handed out ends
 * dead, or is held if it may have been sent before or its row is missing; what the
 * claim has no room for, from the given action on, is given back.
 */
static void
correct_lease(Claim *claim, const Segment *before, const Segment *lease, int64 from)
{
	Segment pieces[SEGMENT_ACTIONS + 2];
	Segment rest = *lease;
	int count = 0;

	for (int i = 0; i < claim->spoilt_count; i++)
	{
		int64 id = claim->spoilt[i];

		if (id > rest.first_id)
		{
			pieces[count] = rest;
			pieces[count++].last_id = id - 1;
		}
		if (before->unproven || claim->spoilt_missing[i])
		{
			pieces[count] = *before;
			pieces[count].first_id = pieces[count].last_id = id;
			MakeDoubt(&pieces[count], claim->now, claim->spoilt_because[i], claim->now);
			HoldDoubt(&pieces[count++], "it cannot be handed out");
		}
		else
			end_dead(claim, id, before, claim->spoilt_because[i]);
		rest.first_id = id + 1;
	}
	if (from > rest.first_id)
	{
		pieces[count] = rest;
		pieces[count++].last_id = from - 1;
	}
	if (from <= rest.last_id)
	{
		pieces[count] = *before;
		pieces[count].first_id = from;
		pieces[count].last_id = lease->last_id;
		pieces[count++].lease_token = NO_LEASE;
	}
	/* The lease was written by this command, which must not change it again. */
	CommandCounterIncrement();
	if (!ReplaceSegment(&claim->segments, lease, pieces, count))
		elog(ERROR, "a lease was changed while it was being made");
}

/*
 * How many actions of a segment to lease: as many as are wanted, only one of a lane,
 * and none that its batch, which was looked at last, holds back.
 */
static int
lease_length(const Claim *claim, const Segment *segment)
{
	int length = segment->in_lane ? 1 : Min(SegmentLength(segment), claim->wanted - claim->leave);

	return (int) Min(length, claim->guard.last_released - segment->first_id + 1);
}

/*
 * Whether the lane of a due segment lets it be claimed.  A lane of which nothing
 * can be claimed is remembered; one in which another segment just comes first
 * is not, as that one may be met yet.
 */
static bool
lane_lets_pass(Claim *claim, const Segment *segment)
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
static bool
batch_lets_pass(Claim *claim, const Segment *segment)
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
static int
limits_let_pass(Claim *claim, Segment *segment, int length, SharedLimit **limits)
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

/*
 * Collect a segment that must be looked up.  What has been collected before is
 * looked up at once if there is no room for it: what waits behind a dead consumer's
 * thousand leases must not wait for all of them.
 */
static void
collect_doubt(Claim *claim, const Segment *segment)
{
	if (!HasRoomForDoubt(&claim->doubts, segment))
	{
		claim->looked_up += claim->doubts.actions;
		ResolveDoubts(&claim->doubts);
	}
	CollectDoubt(&claim->doubts, segment);
}

/*
 * The number of the consumer, which is looked up when it is first handed something out.
 */
static int32
relay_number(Claim *claim)
{
	if (claim->relay == NO_RELAY)
		claim->relay =
			RelayNumber(claim->guard.schema, claim->consumer, claim->target_name, claim->gateway);
	return claim->relay;
}

/*
 * Lease a due segment, or a part of it, and output its actions; or skip it, if
 * another session has locked it, or its batch, its lane or a limit does not permit it.
 * A parked one counts as due now.
 */
static void
take_segment(Claim *claim, Segment *segment)
{
	Segment pieces[2];
	Segment *lease = &pieces[0];
	SharedLimit *limits[NUM_LIMIT_KINDS];
	int length;
	int64 next;

	if (NeedsLook(segment, claim->now))
	{
		collect_doubt(claim, segment);
		return;
	}
	if (claim->ended >= MAX_ENDED || !batch_lets_pass(claim, segment))
		return;
	/* Before the lane, so that what comes behind a parked one in its lane is parked as well. */
	length = limits_let_pass(claim, segment, lease_length(claim, segment), limits);
	if (length == 0 || !lane_lets_pass(claim, segment) ||
		!HoldSegment(&claim->segments, segment, false))
		return;

	pieces[0] = pieces[1] = *segment;
	lease->last_id = segment->first_id + length - 1;
	lease->due_at = claim->lease_end;
	lease->attempt = segment->attempt + 1;
	lease->was_claimed = true;
	/* Under its first id, and under one that it has not been sent under, nothing is unresolved. */
	if (segment->resend == 0 || segment->sent_at == 0)
		lease->sent_at = claim->now;
	lease->lease_token = claim->token;
	lease->holder = claim->consumer;
	lease->relay = relay_number(claim);
	lease->provider_limit = limits[LIMIT_PROVIDER] == NULL ? NO_LIMIT : limits[LIMIT_PROVIDER]->key;
	lease->tenant_limit = limits[LIMIT_TENANT] == NULL ? NO_LIMIT : limits[LIMIT_TENANT]->key;
	if (segment->parked_at != 0)
		pieces[1].due_at = DT_NOEND;
	pieces[1].first_id = lease->last_id + 1;
	pieces[1].lease_token = NO_LEASE;
	if (!ReplaceSegment(&claim->segments, segment, pieces,
						lease->last_id < segment->last_id ? 2 : 1))
		return;
	claim->wanted -= length;
	next = put_out_actions(claim, lease);
	claim->wanted += claim->spoilt_count;
	if (next <= lease->last_id || claim->spoilt_count > 0)
		correct_lease(claim, segment, lease, next);
	for (int kind = 0; kind < NUM_LIMIT_KINDS; kind++)
		SpendLimit(&claim->limits, limits[kind],
				   (int) (next - lease->first_id) - claim->spoilt_count, lease->first_id);
	claim->full = claim->wanted == 0 || next <= lease->last_id;
	if (segment->parked_at != 0)
		return;
	claim->moved = true;
	claim->place.due_at = segment->due_at;
	claim->place.first_id = segment->first_id;
}

/*
 * Whether a segment comes behind a place.
 */
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
	SegmentScan scan;

	BeginDueScan(&scan, &claim->segments, claim->target, after, claim->now);
	old = MemoryContextSwitchTo(context);
	while (!claim->full && claim->looked_up < MAX_LOOKED_UP_FIRST && claim->cut < MAX_CUT &&
		   claim->unexpired < MAX_UNEXPIRED)
	{
		Segment segment;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		if (!NextSegment(&scan, &segment) || (up_to != NULL && is_past(&segment, up_to)))
			break;
		take_segment(claim, &segment);
	}
	MemoryContextSwitchTo(old);
	EndSegmentScan(&scan);
	MemoryContextDelete(context);
}

/*
 * Take what is parked under one limit, as much as it allows.
 */
static void
take_parked_under(Claim *claim, SharedLimit *limit)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay parked", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	SegmentScan scan;
	int refused = claim->refused;

	BeginParkedScan(&scan, &claim->segments, limit->kind, limit->key, false);
	old = MemoryContextSwitchTo(context);
	while (!claim->full && claim->wanted > claim->leave && claim->looked_up < MAX_LOOKED_UP_FIRST &&
		   claim->refused - refused < MAX_REFUSED && claim->unexpired < MAX_UNEXPIRED &&
		   LimitAllows(&claim->limits, &claim->segments, limit) > 0)
	{
		Segment segment;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		if (!NextSegment(&scan, &segment))
			break;
		if (segment.parked_at == 0 || segment.doubt_since != 0)
			continue;
		/* One that was given up without proof is looked up once more before it goes out. */
		if (!segment.unproven)
			segment.due_at = claim->now;
		take_segment(claim, &segment);
	}
	MemoryContextSwitchTo(old);
	EndSegmentScan(&scan);
	MemoryContextDelete(context);
}

/*
 * Take what is parked, as long as more actions are wanted than are to be left to what is
 * due.  No limit always comes first.
 */
static void
take_parked(Claim *claim, int leave)
{
	int count = claim->limits.count;

	claim->leave = leave;
	for (int i = 0; i < count; i++)
		take_parked_under(claim, &claim->limits.limits[(claim->token + i) % count]);
	claim->leave = 0;
}

/*
 * Take what was cut before, and what is left of what is parked.
 */
static void
take_rest(Claim *claim)
{
	for (int pass = 0; pass < MAX_PASSES && claim->cut > 0 && !claim->full; pass++)
	{
		claim->cut = 0;
		claim->lanes_freed = false;
		/* What this command has changed is not to be changed by it again. */
		CommandCounterIncrement();
		take_parked(claim, 0);
		take_due(claim, NULL, NULL);
		ResolveDoubts(&claim->doubts);
	}
	if (claim->limits.count == 0 || claim->full)
		return;
	CommandCounterIncrement();
	take_parked(claim, 0);
}

/*
 * Collect doubts of the claim's target that are to be looked up, as many as there is room
 * for.  What is decided about them depends on the consumer's settings (HoldDoubts), so the
 * consumers of other targets leave them alone.
 */
static void
collect_due_doubts(Claim *claim)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay doubts", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	SegmentScan scan;
	Segment segment;

	BeginLookScan(&scan, &claim->segments, claim->target, claim->now);
	old = MemoryContextSwitchTo(context);
	while (NextSegment(&scan, &segment) && HasRoomForDoubt(&claim->doubts, &segment))
	{
		CHECK_FOR_INTERRUPTS();
		CollectDoubt(&claim->doubts, &segment);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	EndSegmentScan(&scan);
	MemoryContextDelete(context);
}

/*
 * Resolve the doubts that were met and those that are due, and take what turns out
 * to be free to go.
 */
static void
take_resolved(Claim *claim)
{
	collect_due_doubts(claim);
	ResolveDoubts(&claim->doubts);
	if (!claim->doubts.released || claim->full)
		return;
	/* What this command has changed is not to be changed by it again. */
	CommandCounterIncrement();
	/* A doubt that has ended no longer keeps its lane busy. */
	if (claim->busy_lanes != NULL)
		hash_destroy(claim->busy_lanes);
	claim->busy_lanes = NULL;
	claim->looked_up = 0;
	take_due(claim, NULL, NULL);
	ResolveDoubts(&claim->doubts);
}

/*
 * Pace the batches anew that have fallen behind their rates.
 */
static void
catch_up(Claim *claim, Oid schema)
{
	/* The claim's own changes are not to be changed by the same command. */
	if (claim->behind_count > 0)
		CommandCounterIncrement();
	for (int i = 0; i < claim->behind_count; i++)
		CatchUp(schema, claim->behind[i], claim->now);
}

/*
 * Take what is due, from where the last claim ended if that is good enough.
 */
static void
take_all(Claim *claim, Oid schema)
{
	Oid relid = RelationGetRelid(claim->segments.writer.rel);
	DuePlace place = resume.place;
	const char *target = claim->target_name == NULL ? "" : claim->target_name;
	bool resumes = resume.relid == relid && strcmp(resume.target, target) == 0 &&
				   claim->now >= resume.scanned_at &&
				   claim->now - resume.scanned_at < RESCAN_INTERVAL;
	bool begins = false;

	resume.relid = InvalidOid; /* in case of an error */
	/* Of a single one, now what is parked comes first, and now what is due. */
	take_parked(claim, (claim->wanted + (int) (claim->token & 1)) / 2);
	if (resumes)
		take_due(claim, &place, NULL);
	if (!resumes || !claim->full)
	{
		take_due(claim, NULL, resumes ? &place : NULL);
		resume.scanned_at = claim->now;
		begins = true;
	}
	take_resolved(claim);
	take_rest(claim);
	/* Not before: what was collected must not be changed by something else. */
	if (begins)
		(void) SweepCancelled(schema, &claim->segments, &claim->deliveries, MAX_SWEPT);
	WriteSpent(&claim->limits);
	catch_up(claim, schema);
	if (!claim->moved)
		return;
	resume.relid = relid;
	strlcpy(resume.target, target, sizeof(resume.target));
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
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("consumer must be a name of 1 to %d bytes", CONSUMER_MAXLEN),
			 errhint(
				 "It shows who holds a lease; use a host name and a process id, for example.")));
	return consumer;
}

/*
 * Read which target the consumer delivers to, and where that is; version 1.0 has neither
 * argument.
 */
static void
read_target(Claim *claim, FunctionCallInfo fcinfo)
{
	if (PG_NARGS() > 3)
	{
		if (PG_ARGISNULL(3))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("target must not be NULL"),
					 errhint("Leave it out for %s.", PRODUCTION)));
		claim->target_name = CheckTarget(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	}
	if (claim->target_name != NULL)
		claim->target = cstring_to_text(claim->target_name);
	if (PG_NARGS() <= 4 || PG_ARGISNULL(4))
		return;
	claim->gateway = ClipGateway(PG_GETARG_TEXT_PP(4));
}

/*
 * Warn, once in a session, of a consumer that delivers where consumers for another target
 * have delivered: it may have been started for the wrong one.
 */
static void
warn_of_gateway(const Claim *claim, Oid schema)
{
	static char warned_target[TARGET_MAXLEN + 1];
	static char warned_gateway[GATEWAY_MAXLEN + 1];
	const char *target = NameOfTarget(claim->target_name);
	const char *gateway, *other;

	if (claim->gateway == NULL)
		return;
	gateway = text_to_cstring(claim->gateway);
	if (strcmp(target, warned_target) == 0 && strcmp(gateway, warned_gateway) == 0)
		return;
	other = OtherTarget(schema, claim->target_name, claim->gateway);
	strlcpy(warned_target, target, sizeof(warned_target));
	strlcpy(warned_gateway, gateway, sizeof(warned_gateway));
	if (other != NULL)
		ereport(WARNING,
				(errmsg("a consumer for target \"%s\" delivers to %s, where consumers for target "
						"\"%s\" have delivered",
						target, gateway, other),
				 errhint(
					 "If it was started for the wrong target, stop it at once: what it delivers "
					 "counts as delivered to its own.")));
}

/*
 * Read the limits, after the trials of circuit breakers that have ended were judged.  They
 * are those of production's providers and tenants: other targets have none.
 */
static void
read_limits(Claim *claim, const ConsumerCall *call)
{
	if (claim->target != NULL)
		return;
	ReadLimits(&claim->limits, call->schema, call->now);
	if (!JudgeTrials(&claim->limits, call->caller.user))
		return;
	CloseLimits(&claim->limits);
	ReadLimits(&claim->limits, call->schema, call->now);
}

/*
 * acteon_outbox_claim(consumer text, max_actions integer, lease interval, target text,
 * gateway text) → setof (outbox_id, lease_token, attempt, action, action_id, expires_at)
 *
 * Leases up to max_actions due actions for a target until lease from now and returns them,
 * oldest first, action being the body of the gateway's POST /v1/dispatch and
 * action_id the id in it.  Returns fewer when their JSON comes to more than 16 MB.
 * Before, looks up what is in doubt and due, ends what has expired, releases the next steps
 * of canaries, and enqueues notifications.
 * Raises insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_outbox_claim(PG_FUNCTION_ARGS)
{
	ConsumerCall call;
	Claim claim = {0};
	bool tells;

	InitMaterializedSRF(fcinfo, 0);
	BeginConsumerCall(&call, fcinfo, "acteon_outbox_claim()", true);
	tells = AnyNotification(call.schema);
	LockForWriting(call.schema, WRITES_OF_QUEUE | WRITES_RELAYS | (tells ? WRITES_OF_TELLING : 0));
	NoticeServer(call.schema, call.caller.user);
	claim.result = (ReturnSetInfo *) fcinfo->resultinfo;
	claim.now = call.now;
	claim.consumer = consumer_argument(fcinfo, 0);
	claim.wanted = PositiveInteger(fcinfo, 1, "max_actions");
	claim.lease_end = LeaseEnd(fcinfo, 2, call.now);
	read_target(&claim, fcinfo);
	warn_of_gateway(&claim, call.schema);
	claim.token = draw_token();
	claim.row_context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay action", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&claim.json);
	OpenDigest(&claim.digest);
	OpenSegments(&claim.segments, call.schema);
	OpenPartedFinder(&claim.outbox, call.schema, OUTBOX_TABLE, Anum_outbox_id);
	OpenDeliveries(&claim.deliveries, call.schema, call.now);
	InitBatchGuard(&claim.guard, call.schema);
	read_limits(&claim, &call);
	InitDoubts(&claim.doubts, call.schema, call.caller.user, call.now, &claim.segments,
			   &claim.deliveries);

	(void) AdvanceCanaries(call.schema, call.caller.user, call.now);
	if (tells)
		TellOfBatches(call.schema, call.now, !was_full);
	take_all(&claim, call.schema);
	was_full = claim.full;

	CloseDigest(&claim.digest);
	CloseBatchGuard(&claim.guard);
	CloseLimits(&claim.limits);
	CloseDeliveries(&claim.deliveries);
	CloseFinder(&claim.outbox);
	CloseSegments(&claim.segments);
	CheckBreakers(call.schema, call.caller.user, &claim.deliveries);
	if (claim.unexpired > 0 || (claim.expired > 0 && !claim.full))
		NotifyConsumers(call.schema);
	EndConsumerCall(&call);
	return (Datum) 0;
}
