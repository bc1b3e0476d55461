/*
 * earlier_replays.c
 *		Whether an action may be replayed again, and with which generation.
 *
 * The id of an action's n-th replay is known beforehand (replay_id.c), so the unique
 * index on the ids of replays (find_action.c) shows which exist: it is searched for
 * the first generation, the second, and so on.  A replay that another
 * transaction has not committed yet is waited for; one that was purged is none any
 * more, but its generation is taken.
 *
 * Two tenants may use the same action id.  A row that belongs to another
 * namespace or tenant is not a replay of this action; its generation is taken,
 * though.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/invariant.h"
#include "base/replay_id.h"
#include "queue/find_action.h"
#include "queue/outbox_row.h"
#include "replay/earlier_replays.h"
#include "replay/generations.h"
#include "replay/outbox_int.h"

/*
 * Begin to look for action ids.
 */
static void
begin_probe(Outbox *outbox)
{
	outbox->probe = ActeonIndexBeginScan(outbox->ids.rel, outbox->action_index, &outbox->dirty, 1);
}

/*
 * Done with looking; lets go of all buffers.
 */
static void
end_probe(Outbox *outbox)
{
	ExecClearTuple(outbox->used);
	if (outbox->earlier.slot != NULL)
		ExecClearTuple(outbox->earlier.slot);
	index_endscan(outbox->probe);
	outbox->probe = NULL;
}

/*
 * Wait for another transaction that is changing the row in a slot of a table,
 * holding no buffers.
 */
static void
wait_for(Outbox *outbox, TransactionId other, Relation rel, TupleTableSlot *slot)
{
	ItemPointerData tid = slot->tts_tid;

	end_probe(outbox);
	XactLockTableWait(other, rel, &tid, XLTW_InsertIndex);
	begin_probe(outbox);
}

/*
 * The transaction that is inserting or deleting the row that was just found.
 */
static TransactionId
changed_by(const Outbox *outbox)
{
	return TransactionIdIsValid(outbox->dirty.xmin) ? outbox->dirty.xmin : outbox->dirty.xmax;
}

/*
 * Find what there is of a new action id.  If another transaction is inserting or
 * deleting it, wait for that to end first.
 */
static ActionFound
probe_action_id(Outbox *outbox, const pg_uuid_t *action_id)
{
	for (;;)
	{
		ScanKeyData key;
		bool isnull;
		Datum outbox_id;

		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(action_id));
		index_rescan(outbox->probe, &key, 1, NULL, 0);
		if (!index_getnext_slot(outbox->probe, ForwardScanDirection, outbox->used))
			return ACTION_UNUSED;
		if (TransactionIdIsValid(changed_by(outbox)))
		{
			wait_for(outbox, changed_by(outbox), outbox->ids.rel, outbox->used);
			continue;
		}
		outbox_id = slot_getattr(outbox->used, Anum_action_outbox_id, &isnull);
		if (!FindRow(&outbox->earlier, F_INT8EQ, outbox_id, &outbox->dirty) ||
			!OutboxRowIs(outbox->earlier.slot, action_id))
			return ACTION_PURGED;
		if (!TransactionIdIsValid(changed_by(outbox)))
			return ACTION_FOUND;
		wait_for(outbox, changed_by(outbox), outbox->earlier.rel, outbox->earlier.slot);
	}
}

/*
 * Whether the row that was found belongs to the namespace and the tenant of a
 * record.
 */
static bool
found_same_tenant(Outbox *outbox, const AuditRecord *record)
{
	return OutboxRowIsOf(outbox->earlier.slot, record->namespace, record->tenant);
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
			 VARSIZE_ANY_EXHDR(action_id), outbox->target, generation);
}

/*
 * Note the replay that was found as the item's latest one.
 */
static void
note_earlier(Outbox *outbox, ReplayItem *item)
{
	Snapshot now;
	bool isnull;
	int64 outbox_id = DatumGetInt64(slot_getattr(outbox->earlier.slot, Anum_outbox_id, &isnull));
	int64 batch_id =
		DatumGetInt64(slot_getattr(outbox->earlier.slot, Anum_outbox_batch_id, &isnull));

	item->has_earlier = true;
	item->earlier_id = item->action_id;
	item->in_same_batch = batch_id == outbox->batch_id;
	item->at_same_moment = !table_tuple_satisfies_snapshot(outbox->earlier.rel,
														   outbox->earlier.slot, outbox->statement);
	now = RegisterSnapshot(GetLatestSnapshot());
	item->earlier_state = ReadActionState(&outbox->states, outbox_id, now);
	item->earlier_had_none = outbox->states.had_no_effect;
	if (outbox->states.took_effect)
	{
		item->effective_at = (OptionalTime){true, outbox->states.finished_at};
		item->effective_id = item->action_id;
	}
	UnregisterSnapshot(now);
}

/*
 * Whether the replay that was found prevents another one.
 */
static bool
found_in_the_way(Outbox *outbox, ReplayItem *item)
{
	if (!found_same_tenant(outbox, item->record))
		return false;
	note_earlier(outbox, item);
	return JudgeEarlier(item, outbox->query->include_replayed, outbox->query->lost);
}

/*
 * Keep the replay that was found as it is until the transaction ends: a redrive
 * or a purge of it is waited for, or passes it over.  Returns false if it is
 * gone.  Holds no buffers while it waits.  Raises lock_not_available if it is not to wait.
 */
static bool
hold_found(Outbox *outbox)
{
	ItemPointerData tid = outbox->earlier.slot->tts_tid;
	TM_FailureData failure;
	TM_Result result;

	end_probe(outbox);
	LockRelation(outbox->earlier.rel, RowShareLock);
	result = table_tuple_lock(outbox->earlier.rel, &tid, SnapshotAny, outbox->earlier.slot,
							  GetCurrentCommandId(false), LockTupleKeyShare,
							  outbox->never_waits ? LockWaitError : LockWaitBlock, 0, &failure);
	begin_probe(outbox);
	return result == TM_Ok || result == TM_Invisible;
}

/*
 * Decide whether an earlier replay prevents an item from being replayed, and
 * with which generation it is replayed otherwise: the first one after all
 * replays that do not prevent it.
 */
static void
resolve_item(Outbox *outbox, ReplayItem *item)
{
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		switch (probe_action_id(outbox, &item->action_id))
		{
			case ACTION_UNUSED:
				return;
			case ACTION_PURGED:
				set_generation(outbox, item, item->generation + 1);
				continue;
			case ACTION_FOUND:
				break;
		}
		if (found_in_the_way(outbox, item))
			return;
		/* It may just have been redriven, or purged. */
		if (!hold_found(outbox))
			continue;
		if (found_in_the_way(outbox, item))
			return;
		if (found_same_tenant(outbox, item->record))
			CountEarlier(item);
		set_generation(outbox, item, item->generation + 1);
	}
}

/*
 * Collect the pending items, in the order of their new ids, in which all calls
 * wait for each other.
 */
static int
sort_pending(ReplayItem *items, int count, ReplayItem **sorted)
{
	int pending = 0;

	for (int i = 0; i < count; i++)
	{
		if (items[i].status == ITEM_PENDING)
			sorted[pending++] = &items[i];
	}
	qsort(sorted, pending, sizeof(ReplayItem *), CompareItems);
	return pending;
}

/*
 * What identifies an action: its first replay's id, and the namespace and
 * tenant, as another tenant may use the same action id.
 */
static void
make_key(SeenKey *key, const ReplayItem *item)
{
	const text *namespace = item->record->namespace;
	const text *tenant = item->record->tenant;

	memset(key, 0, sizeof(*key));
	key->first_replay = item->action_id;
	key->namespace = hash_bytes_extended((unsigned char *) VARDATA_ANY(namespace),
										 VARSIZE_ANY_EXHDR(namespace), 0);
	key->tenant =
		hash_bytes_extended((unsigned char *) VARDATA_ANY(tenant), VARSIZE_ANY_EXHDR(tenant), 0);
}

/*
 * Give each pending item its generation and its new id, or pass it over.  Of
 * several records of one action, in one call of this function or in several,
 * the first is taken.
 */
void
ResolveItems(Outbox *outbox, ReplayItem *items, int count)
{
	ReplayItem **sorted = palloc(Max(count, 1) * sizeof(ReplayItem *));
	SeenKey *keys = palloc(Max(count, 1) * sizeof(SeenKey));
	int pending;

	for (int i = 0; i < count; i++)
	{
		bool found;

		if (items[i].status != ITEM_PENDING)
			continue;
		set_generation(outbox, &items[i], 1);
		make_key(&keys[i], &items[i]);
		(void) hash_search(outbox->seen, &keys[i], HASH_ENTER, &found);
		if (found)
			SetReason(&items[i], REASON_SAME_ACTION, NULL);
	}

	pending = sort_pending(items, count, sorted);
	begin_probe(outbox);
	for (int i = 0; i < pending; i++)
	{
		resolve_item(outbox, sorted[i]);
		/* What is passed over is not kept: there may be any number of them. */
		if (sorted[i]->status == ITEM_PASSED_OVER)
			(void) hash_search(outbox->seen, &keys[sorted[i] - items], HASH_REMOVE, NULL);
	}
	end_probe(outbox);
	pfree(keys);
	pfree(sorted);
}

/*
 * Resolve the pending items anew, after a race was lost; waits for the winner.
 */
void
ResolveAgain(Outbox *outbox, ReplayItem *items, int count)
{
	ReplayItem **sorted = palloc(Max(count, 1) * sizeof(ReplayItem *));
	int pending = sort_pending(items, count, sorted);

	begin_probe(outbox);
	for (int i = 0; i < pending; i++)
		resolve_item(outbox, sorted[i]);
	end_probe(outbox);
	pfree(sorted);
}

/*
 * Whether items, in the order of their new ids, each have one of their own.
 */
static PG_USED_FOR_ASSERTS_ONLY bool
ids_differ(ReplayItem *const *sorted, int count)
{
	for (int i = 1; i < count; i++)
	{
		if (memcmp(&sorted[i]->action_id, &sorted[i - 1]->action_id, sizeof(pg_uuid_t)) == 0)
			return false;
	}
	return true;
}

/*
 * Give pending items of different tenants with the same action id, which have
 * been resolved to the same generation, one after the other.
 */
void
SeparateTenants(Outbox *outbox, ReplayItem *items, int count)
{
	ReplayItem **sorted = palloc(Max(count, 1) * sizeof(ReplayItem *));
	bool again = true;

	while (again)
	{
		int pending = sort_pending(items, count, sorted);

		again = false;
		begin_probe(outbox);
		for (int i = 1; i < pending; i++)
		{
			if (memcmp(&sorted[i]->action_id, &sorted[i - 1]->action_id, sizeof(pg_uuid_t)) != 0)
				continue;
			set_generation(outbox, sorted[i], sorted[i]->generation + 1);
			resolve_item(outbox, sorted[i]);
			again = true;
			break;
		}
		end_probe(outbox);
	}
	AssertInvariant(NoneQueuedTwice, ids_differ(sorted, sort_pending(items, count, sorted)));
	pfree(sorted);
}
