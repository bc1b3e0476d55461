/*
 * forecast.c
 *		Which earlier replays a replay would meet, for a preview.
 *
 * This finds what resolve.c finds, and only looks: as the calling statement sees
 * it, without waiting for anybody, without a lock on any row, so also on a
 * standby.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "forecast.h"

/*
 * Open the tables for looking at earlier replays, in the current memory context.
 */
void
OpenForecast(Forecast *forecast, Oid schema, const ReplayQuery *query)
{
	forecast->include_replayed = query->include_replayed;
	forecast->snapshot = GetActiveSnapshot();
	forecast->has_chains = OpenChains(&forecast->chains, schema);
	InitStateReader(&forecast->states, schema);
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
	TableFinder *outbox = &forecast->chains.outbox;
	bool isnull;

	return SameText(DatumGetTextPP(FoundColumn(outbox, Anum_outbox_namespace, &isnull)),
					record->namespace) &&
		   SameText(DatumGetTextPP(FoundColumn(outbox, Anum_outbox_tenant, &isnull)),
					record->tenant);
}

/*
 * Go through the replays of an item's action, until one is in the way.
 */
static void
meet_replays(Forecast *forecast, ReplayItem *item)
{
	const text *action_id = item->record->action_id;

	for (int generation = 1;
		 FindInChain(&forecast->chains, action_id, generation, forecast->snapshot); generation++)
	{
		bool isnull;
		int64 outbox_id;

		if (!found_same_tenant(forecast, item->record))
			continue;
		outbox_id = DatumGetInt64(FoundColumn(&forecast->chains.outbox, Anum_outbox_id, &isnull));
		item->has_earlier = true;
		item->earlier_state = ReadActionState(&forecast->states, outbox_id, forecast->snapshot);
		if (JudgeEarlier(item, forecast->include_replayed))
			return;
		CountEarlier(item);
	}
}

/*
 * Judge pending items by the replays that there are of their actions.  Of several
 * records of one action, in one call of this function or in several, the first
 * that has none in its way is taken.
 */
void
ForecastItems(Forecast *forecast, ReplayItem *items, int count)
{
	for (int i = 0; i < count; i++)
	{
		ReplayItem *item = &items[i];
		uint64 hash;

		if (item->status != ITEM_PENDING)
			continue;
		hash = HashAction(&forecast->met, item->record);
		if (ActionSetHas(&forecast->met, hash))
		{
			SetReason(item, REASON_SAME_ACTION, NULL);
			continue;
		}
		if (forecast->has_chains)
			meet_replays(forecast, item);
		if (item->status == ITEM_PENDING)
			ActionSetAdd(&forecast->met, hash);
	}
}
