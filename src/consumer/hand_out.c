/*
 * hand_out.c
 *		The actions of a claim: returning those of a lease to the consumer.
 *
 * Each row is compared with the hash that it was enqueued with, and made into the JSON that
 * is sent.  What is damaged in one action stops no other: it is noted, and the claim ends or
 * holds it (claim.c).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/damaged.h"
#include "base/installation.h"
#include "base/replay_id.h"
#include "base/subtransaction.h"
#include "consumer/call.h"
#include "consumer/claim_int.h"
#include "queue/action_body.h"
#include "queue/action_trace.h"
#include "queue/expire.h"
#include "queue/row_hash.h"

/* Bytes of JSON after which a claim is full. */
#define CLAIM_BYTES (16 * 1024 * 1024)

/* Bytes of JSON above which an action is not handed out at all. */
#define ACTION_BYTES (128 * 1024 * 1024)

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
		TraceHandedOut(claim->current, lease, &id);
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
int64
PutOutActions(Claim *claim, const Segment *lease)
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
