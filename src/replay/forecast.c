/*
 * forecast.c
 *		Earlier replays that a replay would find, for a preview.
 *
 * This finds the same replays as earlier_replays.c, but only reads: as the
 * calling statement sees them, without waiting, and without locking rows, so
 * that it works on a standby, too.  Most of the time of a preview is spent here,
 * so each table is searched in its own order: the replays by their ids, their
 * results by their places in the outbox.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "replay/forecast.h"
#include "queue/outbox_row.h"

/*
 * Open the tables for looking at earlier replays, in the current memory context.
 */
void
OpenForecast(Forecast *forecast, Oid schema, const ReplayQuery *query)
{
	forecast->include_replayed = query->include_replayed;
	forecast->lost = query->lost;
	forecast->snapshot = GetActiveSnapshot();
	forecast->has_chains = OpenChains(&forecast->chains, schema);
	forecast->chains.target = TargetOf(query);
	if (forecast->has_chains)
		KeepActionScans(&forecast->chains.actions, forecast->snapshot);
	InitStateReader(&forecast->states, schema);
	forecast->states.is_steady = true;
	InitActionSet(&forecast->met);
}

/*
 * Done with looking.
 */
void
CloseForecast(Forecast *forecast)
{
	if (forecast->has_chains)
		CloseChains(&forecast->chains);
	CloseStateReader(&forecast->states);
}

/*
 * Whether the replay that was found last is of a record's namespace and tenant.
 */
static bool
found_same_tenant(Forecast *forecast, const AuditRecord *record)
{
	return OutboxRowIsOf(forecast->chains.actions.outbox.slot, record->namespace, record->tenant);
}

/*
 * Order of items: by the place of the replay that was found in the outbox.
 */
static int
compare_places(const void *a, const void *b)
{
	const ReplayItem *ia = *(ReplayItem *const *) a;
	const ReplayItem *ib = *(ReplayItem *const *) b;

	return ia->outbox_id < ib->outbox_id ? -1 : ia->outbox_id > ib->outbox_id;
}

/*
 * Find the replays of a generation of items' actions, and keep those items that have
 * one, with its place in the outbox; 0 for one that was purged or is another
 * tenant's.
 */
static int
find_replays(Forecast *forecast, ReplayItem **items, int count, int generation)
{
	TableFinder *outbox = &forecast->chains.actions.outbox;
	int found = 0;

	for (int i = 0; i < count; i++)
	{
		const text *action_id = items[i]->record->action_id;

		SetChainId(&forecast->chains, &items[i]->action_id, action_id, generation);
	}
	qsort(items, count, sizeof(ReplayItem *), CompareItems);
	for (int i = 0; i < count; i++)
	{
		ReplayItem *item = items[i];
		ActionFound what =
			FindAction(&forecast->chains.actions, &item->action_id, forecast->snapshot);
		bool isnull;

		if (what == ACTION_UNUSED)
			continue;
		item->outbox_id = 0;
		if (what == ACTION_FOUND && found_same_tenant(forecast, item->record))
			item->outbox_id = DatumGetInt64(FoundColumn(outbox, Anum_outbox_id, &isnull));
		items[found++] = item;
	}
	return found;
}

/*
 * Judge items by their replays that were found, and keep those items in whose way
 * these are not.
 */
static int
judge_replays(Forecast *forecast, ReplayItem **items, int count)
{
	int left = 0;

	qsort(items, count, sizeof(ReplayItem *), compare_places);
	for (int i = 0; i < count; i++)
	{
		ReplayItem *item = items[i];

		if (item->outbox_id != 0)
		{
			item->has_earlier = true;
			item->earlier_state =
				ReadActionState(&forecast->states, item->outbox_id, forecast->snapshot);
			item->earlier_had_none = forecast->states.had_no_effect;
			if (JudgeEarlier(item, forecast->include_replayed, forecast->lost))
				continue;
			CountEarlier(item);
		}
		items[left++] = item;
	}
	return left;
}

/*
 * Judge pending items by the replays of their actions, generation after generation,
 * until one is in the way or there are no more.
 */
static void
meet_replays(Forecast *forecast, ReplayItem *items, int count)
{
	ReplayItem **pending = palloc(count * sizeof(ReplayItem *));
	int left = 0;

	for (int i = 0; i < count; i++)
	{
		if (items[i].status == ITEM_PENDING)
			pending[left++] = &items[i];
	}
	for (int generation = 1; left > 0; generation++)
	{
		left = find_replays(forecast, pending, left, generation);
		left = judge_replays(forecast, pending, left);
	}
	pfree(pending);
}

/*
 * Judge pending items by the existing replays of their actions.  Of several
 * records of one action, in one call of this function or in several, the first
 * that has none in its way is taken.
 */
void
ForecastItems(Forecast *forecast, ReplayItem *items, int count)
{
	uint64 *hashes = palloc(count * sizeof(uint64));

	for (int i = 0; i < count; i++)
	{
		if (items[i].status != ITEM_PENDING)
			continue;
		hashes[i] = HashAction(&forecast->met, items[i].record);
		if (ActionSetHas(&forecast->met, hashes[i]))
			SetReason(&items[i], REASON_SAME_ACTION, NULL);
	}
	if (forecast->has_chains)
		meet_replays(forecast, items, count);
	for (int i = 0; i < count; i++)
	{
		if (items[i].status != ITEM_PENDING)
			continue;
		if (ActionSetHas(&forecast->met, hashes[i]))
			SetReason(&items[i], REASON_SAME_ACTION, NULL);
		else
			ActionSetAdd(&forecast->met, hashes[i]);
	}
	pfree(hashes);
}
