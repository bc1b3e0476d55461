/*
 * survey.c
 *		What a replay would do with each record, without doing it.
 *
 * The records that a replay would read are read (audit_scan.c) and judged as it would
 * judge them (eligibility.c); earlier replays are looked at without waiting for any
 * (forecast.c).  Nothing is written, and nothing is locked.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "audit/audit_scan.h"
#include "base/catalog.h"
#include "base/identity.h"
#include "base/table_access.h"
#include "replay/chain_link.h"
#include "replay/forecast.h"
#include "replay/kin.h"
#include "replay/patch_payload.h"
#include "replay/survey.h"
#include "replay/window.h"

/* By what records are looked at. */
typedef struct Look
{
	Judge judge;
	Forecast forecast;
} Look;

/*
 * Find out what the query's patch makes of a payload; an item whose payload cannot be
 * patched fails.
 */
static void
forecast_patch(const ReplayQuery *query, ReplayItem *item)
{
	Jsonb *before;
	Jsonb *after;
	Reason reason =
		PatchPayload(item->record->payload, query->change, query->allow_redacted, &before, &after);

	if (reason != REASON_NONE)
		SetReason(item, reason, query);
	else
	{
		item->is_patched = before != after;
		item->is_replaced = query->change->merge != NULL && !JB_ROOT_IS_OBJECT(before);
	}
	if (after != before)
		pfree(after);
	if ((Pointer) before != DatumGetPointer(item->record->payload))
		pfree(before);
}

/*
 * Judge a window of records.
 */
static void
judge_window(ReplayCall *call, const ReplayQuery *query, Look *look, ReplayItem *items,
			 const AuditRecord *records, int count)
{
	Identity saved;

	BeginItems(&look->judge, items, records, count);
	if (query->lost)
		(void) JudgeKin(call->schema, &call->audit, query, items, count, GetActiveSnapshot());
	SwitchIdentity(&saved, TableOwner(OwnTable(call->schema, OUTBOX_TABLE)));
	ForecastItems(&look->forecast, items, count);
	JudgeActions(&look->judge, items, count);
	RestoreIdentity(&saved);
	JudgeChainLinks(&call->audit, query, items, count);
}

/*
 * Find out what the query's patch makes of the payloads of what would be replayed.
 */
static void
forecast_patches(const ReplayQuery *query, ReplayItem *items, int count)
{
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (query->change != NULL && items[i].status == ITEM_PENDING)
			forecast_patch(query, &items[i]);
	}
}

/*
 * Have all records seen that a replay of a query, by the role whose grants the call has,
 * would look at.  Needs an SPI connection and an active snapshot.
 */
void
SurveyRecords(ReplayCall *call, const ReplayQuery *query, SeeWindow see, void *arg)
{
	MemoryContext window =
		AllocSetContextCreate(call->context, "acteon_replay window", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	AuditScan scan;
	Windows windows;
	Look look;
	AuditRecord *records;
	int count;

	InitJudge(&look.judge, call->schema, call->grants, query);
	OpenForecast(&look.forecast, call->schema, query);
	AuditScanBegin(&scan, &call->audit, query, PG_INT64_MAX, NULL);
	BeginWindows(&windows, &scan, &look.judge, query, PG_INT64_MAX);
	old = MemoryContextSwitchTo(window);
	while ((count = NextWindow(&windows, &records)) > 0)
	{
		ReplayItem *items = palloc(count * sizeof(ReplayItem));

		CHECK_FOR_INTERRUPTS();
		judge_window(call, query, &look, items, records, count);
		CountWindow(&windows, items, count);
		forecast_patches(query, items, count);
		see(arg, items, count);
		MemoryContextReset(window);
	}
	MemoryContextSwitchTo(old);
	AuditScanEnd(&scan);
	CloseForecast(&look.forecast);
	CloseJudge(&look.judge);
	MemoryContextDelete(window);
}
