/*
 * outbox.c
 *		What the gateway will see: enqueueing.
 *
 * A call resolves its items and then enqueues those that are left:
 *
 * Resolve.  The id of an action's n-th replay is known beforehand (ids.c), so
 * the unique index on the outbox's action_id tells which replays there are: it
 * is searched for the first generation, the second, and so on.  A replay that
 * another transaction has not committed yet is waited for.
 *
 * Enqueue.  Rows go in with the server's multi-insert, in runs that take
 * consecutive ids and become a segment each.  Then the entries of the unique
 * index are made, in the order of their keys, which keeps the index's pages in
 * the cache and makes racing sessions meet at their first common action.
 * Whoever comes second sees it there (UNIQUE_CHECK_PARTIAL), takes its own row
 * back and resolves that item anew: it waits, and then passes over or moves on
 * to the next generation.  Waiting in one order for all, two calls cannot wait
 * for each other; transactions with several calls can, as with any rows, and
 * the server's deadlock detector then ends one of them.
 *
 * Two tenants may use the same action id.  A row that belongs to another
 * namespace or tenant is not a replay of this action; its generation is taken,
 * though.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/async.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "action.h"
#include "compat.h"
#include "ids.h"
#include "installation.h"
#include "outbox.h"

/* Label bytes after which a run of rows is written. */
#define RUN_BYTES (256 * 1024)

#define NOTIFY_CHANNEL "acteon_dispatch_outbox"

/* Places of the indexes that are kept by hand. */
#define ID_INDEX 0
#define ACTION_ID_INDEX 1
#define OUR_INDEXES 2

/* A run of rows that the gateway will lease as one. */
typedef struct Segment
{
	int64		first_id;
	int64		last_id;
	TimestampTz due_at;
} Segment;

struct Outbox
{
	MemoryContext context;
	Oid			schema;
	pg_uuid_t	namespace;
	int64		batch_id;		/* 0: not drawn yet */
	TimestampTz created_at;
	TimestampTz start_at;
	double		rate;			/* actions a second; 0: no limit */
	int			run_rows;		/* rows of a segment */
	bool		include_replayed;
	Snapshot	statement;		/* what the caller can see */
	TableWriter writer;
	TupleTableSlot *slots[SEGMENT_ACTIONS];
	Relation	action_index;	/* the unique index on action_id */
	SnapshotData dirty;			/* sees rows that are being inserted */
	IndexScanDesc probe;
	TupleTableSlot *found;
	StateReader states;
	int64		enqueued;
	Segment    *segments;
	int			segment_count;
	int			segments_allocated;
};

/*
 * Open the outbox for one batch, in the current memory context.  Due times
 * follow from the query's rate and start_at; now is the batch's time.  Needs an
 * SPI connection.
 */
Outbox *
OpenOutbox(Oid schema, const ReplayQuery *query, TimestampTz now)
{
	Outbox	   *outbox = palloc0(sizeof(Outbox));

	outbox->context = CurrentMemoryContext;
	outbox->schema = schema;
	outbox->created_at = now;
	outbox->start_at = query->start_at.given ? Max(query->start_at.time, now) : now;
	outbox->rate = query->rate_value;
	/* One lease is about a second's worth: a paced batch stays steerable. */
	outbox->run_rows = outbox->rate == 0 || outbox->rate > SEGMENT_ACTIONS ?
		SEGMENT_ACTIONS : Max((int) outbox->rate, 1);
	outbox->include_replayed = query->include_replayed;
	outbox->statement = GetActiveSnapshot();
	outbox->segments_allocated = 16;
	outbox->segments = palloc(outbox->segments_allocated * sizeof(Segment));

	EnsureNamespace(schema, &outbox->namespace);
	OpenWriter(&outbox->writer, OwnTable(schema, OUTBOX_TABLE));
	PutIndexFirst(&outbox->writer, ID_INDEX, Anum_outbox_id);
	PutIndexFirst(&outbox->writer, ACTION_ID_INDEX, Anum_outbox_action_id);
	outbox->action_index = outbox->writer.rri->ri_IndexRelationDescs[ACTION_ID_INDEX];
	outbox->found = table_slot_create(outbox->writer.rel, NULL);
	InitDirtySnapshot(outbox->dirty);
	InitStateReader(&outbox->states, schema);
	return outbox;
}

/*
 * Number of the batch, drawn when it is first needed.
 */
int64
OutboxBatchId(Outbox *outbox)
{
	if (outbox->batch_id == 0)
		outbox->batch_id = nextval_internal(OwnTable(outbox->schema, BATCH_SEQUENCE), false);
	return outbox->batch_id;
}

/* ----------------------------------------------------------------
 * Resolve
 * ----------------------------------------------------------------
 */

static void
begin_probe(Outbox *outbox)
{
	outbox->probe = ActeonIndexBeginScan(outbox->writer.rel, outbox->action_index,
										 &outbox->dirty, 1);
}

static void
end_probe(Outbox *outbox)
{
	ExecClearTuple(outbox->found);
	index_endscan(outbox->probe);
	outbox->probe = NULL;
}

/*
 * Find the row of a new action id.  If another transaction is inserting or
 * deleting it, wait for that to end first, holding no buffers.
 */
static bool
probe_action_id(Outbox *outbox, const pg_uuid_t *action_id)
{
	for (;;)
	{
		ScanKeyData key;
		TransactionId other;
		ItemPointerData tid;

		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(action_id));
		index_rescan(outbox->probe, &key, 1, NULL, 0);
		if (!index_getnext_slot(outbox->probe, ForwardScanDirection, outbox->found))
			return false;
		other = TransactionIdIsValid(outbox->dirty.xmin) ?
			outbox->dirty.xmin : outbox->dirty.xmax;
		if (!TransactionIdIsValid(other))
			return true;
		tid = outbox->found->tts_tid;
		end_probe(outbox);
		XactLockTableWait(other, outbox->writer.rel, &tid, XLTW_InsertIndex);
		begin_probe(outbox);
	}
}

/*
 * Whether two texts are the same, byte for byte.
 */
static bool
same_text(const text *a, const text *b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/*
 * Whether the row that was found belongs to the namespace and the tenant of a
 * record.
 */
static bool
found_same_tenant(Outbox *outbox, const AuditRecord *record)
{
	bool		isnull;

	return same_text(DatumGetTextPP(slot_getattr(outbox->found, Anum_outbox_namespace, &isnull)),
					 record->namespace) &&
		same_text(DatumGetTextPP(slot_getattr(outbox->found, Anum_outbox_tenant, &isnull)),
				  record->tenant);
}

/*
 * Give an item a generation, and the new id that goes with it.
 */
static void
set_generation(Outbox *outbox, ReplayItem *item, int generation)
{
	const text *action_id = item->record->action_id;

	item->generation = generation;
	ReplayId(&item->action_id, &outbox->namespace, VARDATA_ANY(action_id),
			 VARSIZE_ANY_EXHDR(action_id), generation);
}

/*
 * Note the replay that was found as the item's latest one.
 */
static void
note_earlier(Outbox *outbox, ReplayItem *item)
{
	Snapshot	now;
	bool		isnull;
	int64		outbox_id = DatumGetInt64(slot_getattr(outbox->found, Anum_outbox_id, &isnull));

	item->has_earlier = true;
	item->earlier_id = item->action_id;
	item->at_same_moment = !table_tuple_satisfies_snapshot(outbox->writer.rel, outbox->found,
														   outbox->statement);
	now = RegisterSnapshot(GetLatestSnapshot());
	item->earlier_state = ReadActionState(&outbox->states, outbox_id, now);
	UnregisterSnapshot(now);
}

/*
 * Decide whether an item may be replayed, and with which generation.
 *
 * An action that has a replay which is waiting, running or delivered is passed
 * over, unless the query includes those; one whose replays were cancelled or
 * ended dead is free again.  A replay that the calling statement cannot see was
 * made at the same moment, by another session or by the same statement: nobody
 * can have meant a second one, so the action is passed over in any case.
 */
static void
resolve_item(Outbox *outbox, ReplayItem *item)
{
	for (;; set_generation(outbox, item, item->generation + 1))
	{
		CHECK_FOR_INTERRUPTS();
		if (!probe_action_id(outbox, &item->action_id))
			return;
		if (!found_same_tenant(outbox, item->record))
			continue;
		note_earlier(outbox, item);
		if (item->at_same_moment ||
			(!outbox->include_replayed &&
			 item->earlier_state != ACTION_DEAD && item->earlier_state != ACTION_CANCELLED))
		{
			item->status = ITEM_PASSED_OVER;
			return;
		}
	}
}

/*
 * Order of items: by new id; records of one action as they came.
 */
static int
compare_items(const void *a, const void *b)
{
	const ReplayItem *ia = *(ReplayItem *const *) a;
	const ReplayItem *ib = *(ReplayItem *const *) b;
	int			order = memcmp(&ia->action_id, &ib->action_id, sizeof(pg_uuid_t));

	return order != 0 ? order : (ia < ib ? -1 : ia > ib);
}

/*
 * The items that are pending, in the order of their new ids.
 */
static ReplayItem **
sort_pending(ReplayItem *items, int count, int *pending)
{
	ReplayItem **sorted = palloc(Max(count, 1) * sizeof(ReplayItem *));

	*pending = 0;
	for (int i = 0; i < count; i++)
	{
		if (items[i].status == ITEM_PENDING)
			sorted[(*pending)++] = &items[i];
	}
	qsort(sorted, *pending, sizeof(ReplayItem *), compare_items);
	return sorted;
}

/*
 * Pass over all but the first of several records of one action.
 */
static void
pass_over_duplicates(ReplayItem **sorted, int count)
{
	int			first = 0;

	for (int i = 1; i < count; i++)
	{
		if (memcmp(&sorted[i]->action_id, &sorted[first]->action_id, sizeof(pg_uuid_t)) != 0)
			first = i;
		for (int k = first; k < i; k++)
		{
			if (same_text(sorted[k]->record->namespace, sorted[i]->record->namespace) &&
				same_text(sorted[k]->record->tenant, sorted[i]->record->tenant))
			{
				sorted[i]->status = ITEM_PASSED_OVER;
				break;
			}
		}
	}
}

/*
 * Give each pending item its generation and its new id, or pass it over.
 */
void
ResolveItems(Outbox *outbox, ReplayItem *items, int count)
{
	ReplayItem **sorted;
	int			pending;

	for (int i = 0; i < count; i++)
	{
		if (items[i].status == ITEM_PENDING)
			set_generation(outbox, &items[i], 1);
	}
	sorted = sort_pending(items, count, &pending);
	pass_over_duplicates(sorted, pending);

	begin_probe(outbox);
	for (int i = 0; i < pending; i++)
	{
		if (sorted[i]->status == ITEM_PENDING)
			resolve_item(outbox, sorted[i]);
	}
	end_probe(outbox);
	pfree(sorted);
}

/* ----------------------------------------------------------------
 * Enqueue
 * ----------------------------------------------------------------
 */

/*
 * Fill a slot with the row of an item.
 */
static void
fill_row(Outbox *outbox, TupleTableSlot *slot, const ReplayItem *item, const Action *action)
{
	const AuditRecord *record = item->record;
	Datum		values[Natts_outbox];
	bool		nulls[Natts_outbox] = {false};

#define SET(column, value) (values[Anum_outbox_##column - 1] = (value))
#define SET_OPTIONAL(column, given, value) \
	(nulls[Anum_outbox_##column - 1] = !(given), SET(column, value))

	SET(id, Int64GetDatum(item->outbox_id));
	SET(batch_id, Int64GetDatum(OutboxBatchId(outbox)));
	SET(created_at, TimestampTzGetDatum(outbox->created_at));
	SET(action_id, UUIDPGetDatum(&item->action_id));
	SET(generation, Int32GetDatum(item->generation));
	SET(original_action_id, PointerGetDatum(record->action_id));
	SET(namespace, PointerGetDatum(record->namespace));
	SET(tenant, PointerGetDatum(record->tenant));
	SET(provider, PointerGetDatum(record->provider));
	SET(action_type, PointerGetDatum(record->action_type));
	SET(payload, record->payload);
	SET(labels, JsonbPGetDatum(action->labels));
	SET_OPTIONAL(dedup_key, action->dedup_key != NULL, PointerGetDatum(action->dedup_key));
	SET_OPTIONAL(status, action->status != NULL, PointerGetDatum(action->status));
	SET_OPTIONAL(fingerprint, action->fingerprint != NULL, PointerGetDatum(action->fingerprint));
	SET_OPTIONAL(starts_at, action->starts_at.given, TimestampTzGetDatum(action->starts_at.time));
	SET_OPTIONAL(ends_at, action->ends_at.given, TimestampTzGetDatum(action->ends_at.time));

#undef SET
#undef SET_OPTIONAL

	FillSlot(slot, values, nulls, Natts_outbox);
}

/*
 * A slot for a row, which lives as long as the outbox is open.
 */
static TupleTableSlot *
new_slot(Outbox *outbox)
{
	MemoryContext old = MemoryContextSwitchTo(outbox->context);
	TupleTableSlot *slot = table_slot_create(outbox->writer.rel, NULL);

	MemoryContextSwitchTo(old);
	return slot;
}

/*
 * Insert a run of items, from items[0] on: as many as fit into a segment and
 * into a bounded amount of memory.  Items whose labels cannot be made fail.
 * Makes all index entries but those of the action ids.  Returns how many items
 * it got through.
 */
static int
insert_run(Outbox *outbox, ReplayItem **items, int count, int block)
{
	TableWriter *writer = &outbox->writer;
	int64		next_id = nextval_internal(OwnTable(outbox->schema, OUTBOX_SEQUENCE), false);
	int			rows = 0;
	int			done = 0;
	Size		bytes = 0;

	for (; done < count && rows < outbox->run_rows && bytes < RUN_BYTES; done++)
	{
		ReplayItem *item = items[done];
		Action		action;
		TupleTableSlot *slot;

		CHECK_FOR_INTERRUPTS();
		if (!ReconstructAction(item->record, &action))
		{
			item->status = ITEM_FAILED;
			item->error = _("labels are too large");
			continue;
		}
		if (outbox->slots[rows] == NULL)
			outbox->slots[rows] = new_slot(outbox);
		slot = outbox->slots[rows++];
		item->outbox_id = next_id++;
		item->block = block;
		fill_row(outbox, slot, item, &action);
		CheckRow(writer, slot);
		item->status = ITEM_ENQUEUED;
		bytes += VARSIZE(action.labels);
	}
	if (rows == 0)
		return done;

	table_multi_insert(writer->rel, outbox->slots, rows, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0, row = 0; i < done; i++)
	{
		TupleTableSlot *slot = outbox->slots[row];

		if (items[i]->status != ITEM_ENQUEUED)
			continue;
		items[i]->tid = slot->tts_tid;
		InsertIndexEntry(writer, ID_INDEX, Int64GetDatum(items[i]->outbox_id),
						 &slot->tts_tid, UNIQUE_CHECK_YES);
		InsertOtherIndexEntries(writer, OUR_INDEXES, slot);
		ExecClearTuple(slot);
		row++;
	}
	ResetPerTupleExprContext(writer->estate);
	return done;
}

/*
 * Insert items in the given order, run by run, with all index entries but
 * those of the action ids.
 */
static void
insert_rows(Outbox *outbox, ReplayItem **items, int count)
{
	MemoryContext run_context = AllocSetContextCreate(CurrentMemoryContext,
													  "acteon_replay run",
													  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(run_context);

	for (int done = 0, block = 0; done < count; block++)
	{
		done += insert_run(outbox, items + done, count - done, block);
		MemoryContextReset(run_context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(run_context);
}

/*
 * Take back the row of an item that has lost a race, and resolve the item
 * anew, which waits for the winner.  The row goes first, so that the winner
 * never has to wait for us.
 */
static void
take_back(Outbox *outbox, ReplayItem *item)
{
	CommandCounterIncrement();
	simple_table_tuple_delete(outbox->writer.rel, &item->tid, outbox->statement);
	item->status = ITEM_PENDING;
	begin_probe(outbox);
	resolve_item(outbox, item);
	end_probe(outbox);
}

/*
 * Make the entries of the unique index on action ids, in the order of the
 * keys.  Returns whether items are pending again because they lost a race.
 */
static bool
claim_action_ids(Outbox *outbox, ReplayItem **items, int count)
{
	bool		again = false;

	qsort(items, count, sizeof(ReplayItem *), compare_items);
	for (int i = 0; i < count; i++)
	{
		ReplayItem *item = items[i];

		CHECK_FOR_INTERRUPTS();
		if (item->status != ITEM_ENQUEUED ||
			InsertIndexEntry(&outbox->writer, ACTION_ID_INDEX, UUIDPGetDatum(&item->action_id),
							 &item->tid, UNIQUE_CHECK_PARTIAL))
			continue;
		take_back(outbox, item);
		again |= item->status == ITEM_PENDING;
	}
	return again;
}

/*
 * Note the segments of items that have just been enqueued, in the order of
 * their rows.  The write itself comes at the end of the batch.
 */
static void
note_segments(Outbox *outbox, ReplayItem **items, int count)
{
	Segment    *segment = NULL;
	int			block = -1;

	for (int i = 0; i < count; i++)
	{
		if (items[i]->status != ITEM_ENQUEUED)
			continue;
		if (items[i]->block != block)
		{
			if (outbox->segment_count == outbox->segments_allocated)
			{
				outbox->segments_allocated *= 2;
				outbox->segments = repalloc(outbox->segments,
											outbox->segments_allocated * sizeof(Segment));
			}
			segment = &outbox->segments[outbox->segment_count++];
			segment->first_id = items[i]->outbox_id;
			segment->due_at = outbox->start_at;
			if (outbox->rate > 0)
				segment->due_at += (int64) (outbox->enqueued / outbox->rate * USECS_PER_SEC);
			block = items[i]->block;
		}
		segment->last_id = items[i]->outbox_id;
		outbox->enqueued++;
	}
}

/*
 * Enqueue the pending items, which have been resolved, in their order.
 * Afterwards each of them is enqueued, passed over or failed.
 */
void
EnqueueItems(Outbox *outbox, ReplayItem *items, int count)
{
	ReplayItem **pending = palloc(Max(count, 1) * sizeof(ReplayItem *));
	ReplayItem **by_key = palloc(Max(count, 1) * sizeof(ReplayItem *));
	bool		again = true;

	while (again)
	{
		int			n = 0;

		for (int i = 0; i < count; i++)
		{
			if (items[i].status == ITEM_PENDING)
				pending[n++] = &items[i];
		}
		insert_rows(outbox, pending, n);
		memcpy(by_key, pending, n * sizeof(ReplayItem *));
		again = claim_action_ids(outbox, by_key, n);
		note_segments(outbox, pending, n);
	}
	pfree(pending);
	pfree(by_key);
}

/*
 * Write the segments of the batch.
 */
static void
write_segments(Outbox *outbox)
{
	TableWriter writer;
	Datum		values[Natts_segment] = {0};
	bool		nulls[Natts_segment] = {false};

	OpenWriter(&writer, OwnTable(outbox->schema, SEGMENT_TABLE));
	nulls[Anum_segment_lease_token - 1] = true;
	nulls[Anum_segment_holder - 1] = true;
	values[Anum_segment_batch_id - 1] = Int64GetDatum(outbox->batch_id);
	values[Anum_segment_attempt - 1] = Int32GetDatum(0);
	for (int i = 0; i < outbox->segment_count; i++)
	{
		const Segment *segment = &outbox->segments[i];

		values[Anum_segment_first_id - 1] = Int64GetDatum(segment->first_id);
		values[Anum_segment_last_id - 1] = Int64GetDatum(segment->last_id);
		values[Anum_segment_due_at - 1] = TimestampTzGetDatum(segment->due_at);
		InsertRow(&writer, values, nulls, Natts_segment);
	}
	CloseWriter(&writer);
}

/*
 * Finish the batch: write its segments, and wake the consumers up when the
 * transaction commits.
 */
void
CloseOutbox(Outbox *outbox)
{
	if (outbox->segment_count > 0)
	{
		write_segments(outbox);
		Async_Notify(NOTIFY_CHANNEL, "");
	}
	for (int i = 0; i < SEGMENT_ACTIONS && outbox->slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(outbox->slots[i]);
	ExecDropSingleTupleTableSlot(outbox->found);
	CloseStateReader(&outbox->states);
	CloseWriter(&outbox->writer);
}
