/*
 * enqueue.c
 *		Enqueueing actions.
 *
 * Rows are inserted with the server's multi-insert functions, in runs that take
 * consecutive ids and become a segment each, or several if they go to several
 * providers (queue/limit.c), or have fingerprints: one for each lane (segment.c).  Then
 * their action ids are inserted into the table of ids (find_action.c), in order, which
 * keeps the pages of its unique index in the cache.  If another transaction was faster
 * (UNIQUE_CHECK_PARTIAL), all rows are removed by rolling back a subtransaction, the
 * items are resolved again, which waits for the other transaction, and the rest is
 * inserted.  So a call waits only while it holds no locks, and two calls never deadlock.
 * Transactions with several calls can, as with any rows; the server's deadlock detector
 * then ends one of them.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/fault_point.h"
#include "base/numbers.h"
#include "base/partition.h"
#include "base/subtransaction.h"
#include "base/text.h"
#include "base/triggers.h"
#include "queue/action_trace.h"
#include "replay/earlier_replays.h"
#include "replay/enqueue.h"
#include "replay/expiry.h"
#include "replay/outbox_int.h"
#include "replay/patch_payload.h"
#include "replay/reconstruct.h"

/* Bytes of labels and patched payloads after which a run of rows is written. */
#define RUN_BYTES (256 * 1024)

/* Providers that are told apart at once; with more, their actions share runs as they come. */
#define MAX_GATHERED 32

/*
 * Set a column that may be NULL.
 */
static void
set_optional(Datum *values, bool *nulls, AttrNumber column, bool given, Datum value)
{
	values[column - 1] = given ? value : (Datum) 0;
	nulls[column - 1] = !given;
}

/*
 * The provider that an item's action goes to.
 */
static text *
item_provider(const Outbox *outbox, const ReplayItem *item)
{
	return outbox->provider_override == NULL ? item->record->provider : outbox->provider_override;
}

/*
 * Fill a slot with the row of an item, with this payload.
 */
static void
fill_row(Outbox *outbox, TupleTableSlot *slot, const ReplayItem *item, const Action *action,
		 Datum payload)
{
	const AuditRecord *record = item->record;
	Datum values[Natts_outbox];
	bool nulls[Natts_outbox] = {false};

	values[Anum_outbox_id - 1] = (Datum) 0; /* see insert_run */
	set_optional(values, nulls, Anum_outbox_hash, false, (Datum) 0);
	values[Anum_outbox_batch_id - 1] = Int64GetDatum(OutboxBatchId(outbox));
	values[Anum_outbox_created_at - 1] = TimestampTzGetDatum(outbox->created_at);
	values[Anum_outbox_action_id - 1] = UUIDPGetDatum(&item->action_id);
	values[Anum_outbox_generation - 1] = Int32GetDatum(item->generation);
	values[Anum_outbox_original_action_id - 1] = PointerGetDatum(record->action_id);
	values[Anum_outbox_namespace - 1] = PointerGetDatum(record->namespace);
	values[Anum_outbox_tenant - 1] = PointerGetDatum(record->tenant);
	values[Anum_outbox_provider - 1] = PointerGetDatum(item_provider(outbox, item));
	values[Anum_outbox_action_type - 1] = PointerGetDatum(record->action_type);
	values[Anum_outbox_payload - 1] = payload;
	values[Anum_outbox_labels - 1] = JsonbPGetDatum(action->labels);
	set_optional(values, nulls, Anum_outbox_dedup_key,
				 action->dedup_key != NULL && !outbox->query->drops_dedup,
				 PointerGetDatum(action->dedup_key));
	set_optional(values, nulls, Anum_outbox_status, action->status != NULL,
				 PointerGetDatum(action->status));
	set_optional(values, nulls, Anum_outbox_fingerprint, action->fingerprint != NULL,
				 PointerGetDatum(action->fingerprint));
	set_optional(values, nulls, Anum_outbox_starts_at, action->starts_at.given,
				 TimestampTzGetDatum(action->starts_at.time));
	set_optional(values, nulls, Anum_outbox_ends_at, action->ends_at.given,
				 TimestampTzGetDatum(action->ends_at.time));
	set_optional(values, nulls, Anum_outbox_expires_at, item->expires_at.given,
				 TimestampTzGetDatum(item->expires_at.time));
	set_optional(values, nulls, Anum_outbox_target, outbox->target != NULL,
				 PointerGetDatum(outbox->target_text));
	FillSlot(&outbox->writer, slot, values, nulls, Natts_outbox);
}

/*
 * The target of a row that is copied; NULL: production.
 */
const char *
CopiedTarget(const CopiedRow *row)
{
	return row->nulls[Anum_outbox_target - 1]
			   ? NULL
			   : TextDatumGetCString(row->values[Anum_outbox_target - 1]);
}

/*
 * Fill a slot with the row of an item that is a copy of another row, and say in which lane
 * it is.  Returns the size of its payload and labels.
 */
static Size
fill_copy(Outbox *outbox, TupleTableSlot *slot, ReplayItem *item)
{
	CopiedRow row = *item->copy;
	bool has_fingerprint = !row.nulls[Anum_outbox_fingerprint - 1];

	row.values[Anum_outbox_id - 1] = (Datum) 0; /* see insert_run */
	row.values[Anum_outbox_batch_id - 1] = Int64GetDatum(OutboxBatchId(outbox));
	row.values[Anum_outbox_created_at - 1] = TimestampTzGetDatum(outbox->created_at);
	row.values[Anum_outbox_action_id - 1] = UUIDPGetDatum(&item->action_id);
	row.values[Anum_outbox_generation - 1] = Int32GetDatum(item->generation);
	FillSlot(&outbox->writer, slot, row.values, row.nulls, Natts_outbox);
	item->in_lane = has_fingerprint;
	item->lane = has_fingerprint
					 ? ActionLane(item->record->tenant,
								  DatumGetTextPP(row.values[Anum_outbox_fingerprint - 1]),
								  CopiedTarget(&row))
					 : 0;
	return VARSIZE_ANY(DatumGetPointer(row.values[Anum_outbox_payload - 1])) +
		   VARSIZE_ANY(DatumGetPointer(row.values[Anum_outbox_labels - 1]));
}

/*
 * Make the slots for the rows of so many items, a run at once, and for their ids.
 * They live as long as the outbox is open.
 */
static void
make_slots(Outbox *outbox, int count)
{
	MemoryContext old = MemoryContextSwitchTo(outbox->context);

	for (int i = 0; i < Min(count, outbox->run_rows); i++)
	{
		if (outbox->slots[i] == NULL)
			outbox->slots[i] = table_slot_create(outbox->writer.rel, NULL);
	}
	for (int i = 0; i < Min(count, SEGMENT_ACTIONS); i++)
	{
		if (outbox->id_slots[i] == NULL)
			outbox->id_slots[i] = table_slot_create(outbox->ids.rel, NULL);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Order of the rows of a run: those without a fingerprint first, provider by
 * provider, then lane by lane, each as they came.
 */
static int
compare_lanes(const void *a, const void *b, void *outbox)
{
	const ReplayItem *ia = *(ReplayItem *const *) a;
	const ReplayItem *ib = *(ReplayItem *const *) b;
	int order = CompareLanes(ia->in_lane, ia->lane, ib->in_lane, ib->lane);

	if (order == 0 && !ia->in_lane)
		order = CompareTexts(item_provider(outbox, ia), item_provider(outbox, ib));
	return order != 0 ? order : ia < ib ? -1 : ia > ib;
}

/*
 * A copy of a provider's name that lasts as long as the outbox is open.
 */
static text *
kept_provider(Outbox *outbox, const text *provider)
{
	if (outbox->kept_provider == NULL || !SameText(outbox->kept_provider, provider))
	{
		Size size = VARSIZE_ANY(provider);

		outbox->kept_provider = memcpy(MemoryContextAlloc(outbox->context, size), provider, size);
	}
	return outbox->kept_provider;
}

/*
 * Add a segment for rows that begin with the given item, and return it.
 */
static Segment *
add_segment(Outbox *outbox, const ReplayItem *item)
{
	Segment *segment;

	if (outbox->segment_count == outbox->segments_allocated)
	{
		outbox->segments_allocated *= 2;
		outbox->segments = repalloc(outbox->segments, outbox->segments_allocated * sizeof(Segment));
	}
	segment = &outbox->segments[outbox->segment_count++];
	memset(segment, 0, sizeof(*segment));
	segment->first_id = item->outbox_id;
	segment->batch_id = OutboxBatchId(outbox);
	segment->in_lane = item->in_lane;
	segment->lane = item->lane;
	segment->provider = kept_provider(outbox, item_provider(outbox, item));
	segment->due_at = NextDueTime(&outbox->pacer, 0);
	segment->target = outbox->target_text;
	return segment;
}

/*
 * Give the rows of a run their ids, a block of consecutive ones, and cut them
 * into segments: one for each provider of those without a fingerprint, one for each
 * lane and where its provider changes.
 */
static void
assign_ids(Outbox *outbox, ReplayItem **rows, int count)
{
	int64 next_id = outbox->next_block;
	ReplayItem **ordered = rows;
	Segment *segment = NULL;
	bool mixed = false;

	outbox->next_block = 0;
	for (int i = 0; i < count && !mixed; i++)
		mixed = rows[i]->in_lane ||
				!SameText(item_provider(outbox, rows[i]), item_provider(outbox, rows[0]));
	if (mixed)
	{
		ordered = palloc(count * sizeof(ReplayItem *));
		memcpy(ordered, rows, count * sizeof(ReplayItem *));
		qsort_arg(ordered, count, sizeof(ReplayItem *), compare_lanes, outbox);
	}
	for (int i = 0; i < count; i++)
	{
		ReplayItem *item = ordered[i];

		item->outbox_id = next_id++;
		if (segment == NULL || item->in_lane != segment->in_lane || item->lane != segment->lane ||
			!SameText(item_provider(outbox, item), segment->provider))
			segment = add_segment(outbox, item);
		segment->last_id = item->outbox_id;
		AddExpiry(segment, item->expires_at);
		(void) NextDueTime(&outbox->pacer, 1);
	}
}

/*
 * Patch the payload of an item, if the batch has a patch.  Returns whether that changes it.
 * An item whose payload cannot be patched fails.
 */
static bool
patch_item(const Outbox *outbox, ReplayItem *item, Datum *payload)
{
	const ReplayQuery *query = outbox->query;
	Jsonb *before;
	Jsonb *after;
	Reason reason;

	if (query->change == NULL)
		return false;
	reason =
		PatchPayload(item->record->payload, query->change, query->allow_redacted, &before, &after);
	if ((Pointer) before != DatumGetPointer(item->record->payload) && before != after)
		pfree(before);
	if (reason != REASON_NONE)
		SetReason(item, reason, NULL);
	*payload = JsonbPGetDatum(after);
	return reason == REASON_NONE && before != after;
}

/*
 * Reconstruct the actions of a run of items, from items[0] on: as many as fit
 * into a segment and into a bounded amount of memory.  Fills rows, with the
 * items, and the outbox's slots, with all but the ids.  Items whose payload cannot be
 * patched fail, as do those whose labels cannot be made.  Returns how many items it got
 * through.
 */
static int
prepare_run(Outbox *outbox, ReplayItem **items, int count, ReplayItem **rows, int *row_count)
{
	int done = 0;
	int n = 0;
	Size bytes = 0;

	for (; done < count && n < outbox->run_rows && bytes < RUN_BYTES; done++)
	{
		ReplayItem *item = items[done];
		Datum payload = item->record->payload;
		bool patched;
		Action action;

		CHECK_FOR_INTERRUPTS();
		if (item->copy != NULL)
		{
			bytes += fill_copy(outbox, outbox->slots[n], item);
			rows[n++] = item;
			continue;
		}
		patched = patch_item(outbox, item, &payload);
		if (item->status == ITEM_FAILED)
			continue;
		if (!ReconstructAction(item->record, patched ? outbox->patch_label : NULL, &action))
		{
			SetReason(item, REASON_LABELS, NULL);
			continue;
		}
		item->expires_at = ActionExpiry(outbox->query, item->record, &action.ends_at);
		item->in_lane = action.fingerprint != NULL;
		item->lane = item->in_lane
						 ? ActionLane(item->record->tenant, action.fingerprint, outbox->target)
						 : 0;
		fill_row(outbox, outbox->slots[n], item, &action, payload);
		rows[n++] = item;
		bytes += VARSIZE(action.labels);
		if (payload != item->record->payload)
			bytes += VARSIZE_ANY(DatumGetPointer(payload));
	}
	*row_count = n;
	return done;
}

/*
 * Draw the ids for the next run, if there are none.  Returns false if another part
 * of the outbox is in use now than the one that is open.
 */
static bool
has_ids(Outbox *outbox)
{
	if (outbox->next_block == 0)
		outbox->next_block = NextNumber(outbox->schema, OUTBOX_SEQUENCE, OUTBOX_TABLE);
	return PartitionOfId(outbox->next_block) == outbox->partition;
}

/*
 * Give the rows of a run their hashes, and continue with them that of the batch's rows.
 * They are a block of ids of its own.
 */
static void
hash_run(Outbox *outbox, ReplayItem **rows, int count)
{
	uint8 hashes[SEGMENT_ACTIONS][ROW_HASH_BYTES];

	for (int i = 0; i < count; i++)
		StoreHash(&outbox->digest, outbox->slots[i], outbox->writer.columns, &outbox->hashes[i],
				  hashes[rows[i]->outbox_id - BlockOfId(rows[i]->outbox_id)]);
	if (outbox->rows_hash.given)
		FoldBlock(&outbox->digest, outbox->rows_hash.bytes, hashes[0], count);
}

/*
 * Insert a run of items, which becomes a segment, or several if there are
 * fingerprints.  Makes the index entries of the ids only.  Returns how many items
 * it got through; 0 if another part of the outbox is in use now.
 */
static int
insert_run(Outbox *outbox, ReplayItem **items, int count)
{
	TableWriter *writer = &outbox->writer;
	ReplayItem *rows[SEGMENT_ACTIONS];
	int row_count;
	int done;

	if (!has_ids(outbox))
		return 0;
	done = prepare_run(outbox, items, count, rows, &row_count);
	if (row_count == 0)
		return done;
	assign_ids(outbox, rows, row_count);
	for (int i = 0; i < row_count; i++)
		outbox->slots[i]->tts_values[Anum_outbox_id - 1] = Int64GetDatum(rows[i]->outbox_id);
	hash_run(outbox, rows, row_count);
	for (int i = 0; i < row_count; i++)
	{
		CheckRow(writer, outbox->slots[i]);
		rows[i]->status = ITEM_ENQUEUED;
	}
	table_multi_insert(writer->rel, outbox->slots, row_count, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < row_count; i++)
	{
		TupleTableSlot *slot = outbox->slots[i];

		rows[i]->tid = slot->tts_tid;
		InsertIndexEntry(writer, ID_INDEX, Int64GetDatum(rows[i]->outbox_id), &slot->tts_tid,
						 UNIQUE_CHECK_YES);
		ExecClearTuple(slot);
	}
	ResetPerTupleExprContext(writer->estate);
	return done;
}

/*
 * Insert items in the given order, run by run, with the index entries of the ids
 * only.  Returns false if the outbox went on to another part meanwhile.
 */
static bool
insert_rows(Outbox *outbox, ReplayItem **items, int count)
{
	MemoryContext run_context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay run", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(run_context);
	int done, run;

	for (done = 0; done < count; done += run)
	{
		run = insert_run(outbox, items + done, count - done);
		MemoryContextReset(run_context);
		if (run == 0)
			break;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(run_context);
	return done == count;
}

/*
 * Insert the ids of some items, which are in order, and their places in the outbox.
 * Returns false at the first one that another transaction has, too.
 */
static bool
insert_ids(Outbox *outbox, ReplayItem **items, int count)
{
	TableWriter *writer = &outbox->ids;
	bool nulls[Natts_action] = {false};

	for (int i = 0; i < count; i++)
	{
		Datum values[Natts_action];

		values[Anum_action_action_id - 1] = UUIDPGetDatum(&items[i]->action_id);
		values[Anum_action_outbox_id - 1] = Int64GetDatum(items[i]->outbox_id);
		FillSlot(writer, outbox->id_slots[i], values, nulls, Natts_action);
		CheckRow(writer, outbox->id_slots[i]);
	}
	table_multi_insert(writer->rel, outbox->id_slots, count, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < count; i++)
	{
		TupleTableSlot *slot = outbox->id_slots[i];

		CHECK_FOR_INTERRUPTS();
		if (!InsertIndexEntry(writer, ACTION_ID_INDEX, UUIDPGetDatum(&items[i]->action_id),
							  &slot->tts_tid, UNIQUE_CHECK_PARTIAL))
			return false;
		InsertOtherIndexEntries(writer, OUR_INDEXES, slot);
	}
	FireInserted(writer->rel, outbox->id_slots, count);
	for (int i = 0; i < count; i++)
		ExecClearTuple(outbox->id_slots[i]);
	ResetPerTupleExprContext(writer->estate);
	return true;
}

/*
 * Insert the action ids of what is enqueued, in their order.  Returns false at the
 * first one that another transaction has, too.
 */
static bool
claim_action_ids(Outbox *outbox, ReplayItem **items, int count)
{
	int enqueued = 0;

	qsort(items, count, sizeof(ReplayItem *), CompareItems);
	for (int i = 0; i < count; i++)
	{
		if (items[i]->status == ITEM_ENQUEUED)
			items[enqueued++] = items[i];
	}
	for (int done = 0; done < enqueued; done += SEGMENT_ACTIONS)
	{
		if (!insert_ids(outbox, items + done, Min(enqueued - done, SEGMENT_ACTIONS)))
			return false;
	}
	return true;
}

/*
 * Say what is enqueued.  Not before the race for the action ids is won: the trace names
 * the transaction, which goes on if it is lost.
 */
static void
trace_items(Outbox *outbox, ReplayItem **items, int count)
{
	for (int i = 0; i < count; i++)
	{
		const ReplayItem *item = items[i];

		if (item->status == ITEM_ENQUEUED)
			TraceEnqueued(item->outbox_id, OutboxBatchId(outbox), item->record->action_id,
						  outbox->target, item->generation, &item->action_id);
	}
}

/*
 * Complete the rows: make their entries in the indexes that are not ours, and fire
 * triggers.  Not before the race for the action ids is won: another unique index on
 * them, as REINDEX CONCURRENTLY makes it, would raise an error instead.
 */
static void
complete_rows(Outbox *outbox, ReplayItem **items, int count)
{
	TableWriter *writer = &outbox->writer;
	TupleTableSlot *slot;

	if (writer->rri->ri_NumIndices == OUR_INDEXES && !HasInsertTriggers(writer->rel))
		return;
	slot = table_slot_create(writer->rel, NULL);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (items[i]->status != ITEM_ENQUEUED)
			continue;
		if (!table_tuple_fetch_row_version(writer->rel, &items[i]->tid, SnapshotAny, slot))
			elog(ERROR, "a new row of the outbox has gone");
		InsertOtherIndexEntries(writer, OUR_INDEXES, slot);
		FireInserted(writer->rel, &slot, 1);
		ResetPerTupleExprContext(writer->estate);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * Enqueue copies of rows of the outbox, a segment's worth at most, with the ids and
 * generations that their items have.  Nobody else may be about to use these: the caller has
 * locked the rows that are copied.  Returns the segments that they make, which the caller
 * inserts, and how many these are; they are valid until the next call.
 */
const Segment *
EnqueueCopies(Outbox *outbox, ReplayItem **items, int count, int *made)
{
	ReplayItem *by_key[SEGMENT_ACTIONS];
	int run;

	Assert(count <= SEGMENT_ACTIONS);
	outbox->segment_count = 0;
	OpenDigest(&outbox->digest);
	for (int done = 0; done < count; done += run)
	{
		OpenOutboxPart(outbox);
		make_slots(outbox, count);
		run = insert_run(outbox, items + done, count - done);
		complete_rows(outbox, items + done, run);
		ForgetInsertions(&outbox->writer, false);
	}
	CloseDigest(&outbox->digest);
	memcpy(by_key, items, count * sizeof(ReplayItem *));
	if (!claim_action_ids(outbox, by_key, count))
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("an action is being replayed by another session"),
						errhint("Nothing was done. Try again.")));
	ForgetInsertions(&outbox->ids, false);
	trace_items(outbox, items, count);
	*made = outbox->segment_count;
	outbox->segment_count = 0;
	return outbox->segments;
}

/* Items that are tried to be inserted. */
typedef struct Attempt
{
	Outbox *outbox;
	ReplayItem **items;
	ReplayItem **by_key; /* the same, to be sorted */
	int count;
	bool won;
} Attempt;

static bool
insert_all(void *argument)
{
	Attempt *attempt = argument;

	FAULT_POINT("enqueue-rows");
	attempt->won = insert_rows(attempt->outbox, attempt->items, attempt->count);
	FAULT_POINT("enqueue-ids");
	attempt->won =
		attempt->won && claim_action_ids(attempt->outbox, attempt->by_key, attempt->count);
	if (!attempt->won)
		return false;
	complete_rows(attempt->outbox, attempt->items, attempt->count);
	ForgetInsertions(&attempt->outbox->writer, false);
	ForgetInsertions(&attempt->outbox->ids, false);
	trace_items(attempt->outbox, attempt->items, attempt->count);
	return true;
}

/*
 * Try to insert items, all or nothing: in a subtransaction, which is rolled
 * back when a race is lost, so that no transaction ever waits for a row of the
 * loser, and when the outbox goes on to another part.
 */
static bool
try_insert(Outbox *outbox, ReplayItem **items, int count)
{
	Attempt attempt = {.outbox = outbox,
					   .items = items,
					   .by_key = palloc(Max(count, 1) * sizeof(ReplayItem *)),
					   .count = count};
	Pacer pacer_before = outbox->pacer;
	int segments_before = outbox->segment_count;
	RowsHash hash_before = outbox->rows_hash;
	ErrorData *error;

	memcpy(attempt.by_key, items, count * sizeof(ReplayItem *));
	OpenOutboxPart(outbox);
	make_slots(outbox, count);
	error = TryInSubtransaction(insert_all, &attempt, CurrentMemoryContext);
	if (error != NULL)
		ReThrowError(error);
	if (!attempt.won)
	{
		ForgetInsertions(&outbox->writer, true);
		ForgetInsertions(&outbox->ids, true);
		outbox->pacer = pacer_before;
		outbox->segment_count = segments_before;
		outbox->rows_hash = hash_before;
	}
	pfree(attempt.by_key);
	return attempt.won;
}

/*
 * Whether an item's action has a fingerprint.
 */
static bool
has_fingerprint(const ReplayItem *item)
{
	Jsonb *metadata;
	JsonbValue value;

	if (!item->record->has_metadata)
		return false;
	metadata = DatumGetJsonbP(item->record->metadata);
	return JB_ROOT_IS_OBJECT(metadata) &&
		   getKeyJsonValueFromContainer(&metadata->root, FINGERPRINT_KEY, strlen(FINGERPRINT_KEY),
										&value) != NULL;
}

/* Items that are to become segments together, until there are enough for one. */
typedef struct Gathered
{
	const text *provider; /* NULL: those with a fingerprint */
	ReplayItem **items;
	int count;
} Gathered;

/*
 * Where an item is gathered; NULL if there are too many providers.
 */
static Gathered *
gathering_of(Outbox *outbox, Gathered *gathered, int *count, ReplayItem *item)
{
	const text *provider = has_fingerprint(item) ? NULL : item_provider(outbox, item);
	Gathered *found;

	for (int i = 0; i < *count; i++)
	{
		if (SameOptionalText(gathered[i].provider, provider))
			return &gathered[i];
	}
	if (*count == MAX_GATHERED)
		return NULL;
	found = &gathered[(*count)++];
	found->provider = provider;
	found->items = palloc(outbox->run_rows * sizeof(ReplayItem *));
	found->count = 0;
	return found;
}

/*
 * Put items to several providers into such an order that a run is for one provider, as
 * far as possible: they leave their order only as far as a segment's worth needs.  Those
 * to one provider, and those with a fingerprint, stay in theirs.
 */
static void
gather_providers(Outbox *outbox, ReplayItem **items, int count)
{
	ReplayItem **ordered;
	Gathered gathered[MAX_GATHERED];
	int gatherings = 0;
	int done = 0;
	int same = 1;

	while (same < count &&
		   SameText(item_provider(outbox, items[same]), item_provider(outbox, items[0])))
		same++;
	if (same >= count || outbox->run_rows == 1)
		return;
	ordered = palloc(count * sizeof(ReplayItem *));
	for (int i = 0; i < count; i++)
	{
		Gathered *one = gathering_of(outbox, gathered, &gatherings, items[i]);

		CHECK_FOR_INTERRUPTS();
		if (one == NULL)
			return;
		one->items[one->count++] = items[i];
		if (one->count < outbox->run_rows)
			continue;
		memcpy(ordered + done, one->items, one->count * sizeof(ReplayItem *));
		done += one->count;
		one->count = 0;
	}
	for (int i = 0; i < gatherings; i++)
	{
		memcpy(ordered + done, gathered[i].items, gathered[i].count * sizeof(ReplayItem *));
		done += gathered[i].count;
	}
	memcpy(items, ordered, count * sizeof(ReplayItem *));
}

/*
 * Enqueue the pending items, which have been resolved, in their order, but for what
 * gather_providers changes.  Afterwards each of them is enqueued, passed over or failed.
 */
void
EnqueueItems(Outbox *outbox, ReplayItem *items, int count)
{
	ReplayItem **pending = palloc(Max(count, 1) * sizeof(ReplayItem *));

	OpenDigest(&outbox->digest);
	for (;;)
	{
		int n = 0;

		SeparateTenants(outbox, items, count);
		for (int i = 0; i < count; i++)
		{
			if (items[i].status == ITEM_PENDING)
				pending[n++] = &items[i];
		}
		if (n == 0)
			break;
		if (outbox->ramp)
			outbox->pacer.ramp = RampLength(n);
		gather_providers(outbox, pending, n);
		if (try_insert(outbox, pending, n))
			break;
		for (int i = 0; i < n; i++)
		{
			if (pending[i]->status == ITEM_ENQUEUED)
				pending[i]->status = ITEM_PENDING;
		}
		ResolveAgain(outbox, items, count);
	}
	CloseDigest(&outbox->digest);
	pfree(pending);
}
