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
#include "replay/forecast.h"
#include "replay/kin.h"
#include "replay/patch_payload.h"
#include "replay/survey.h"

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
 * Judge a window of records.  Returns how many of them a replay would attempt or skip:
 * these count for its limit.
 */
static int
judge_window(ReplayCall *call, const ReplayQuery *query, Look *look, ReplayItem *items,
			 const AuditRecord *records, int count)
{
	int attempts = 0;
	Identity saved;

	BeginItems(&look->judge, items, records, count);
	if (query->lost)
		(void) JudgeKin(call->schema, &call->audit, query, items, count, GetActiveSnapshot());
	SwitchIdentity(&saved, TableOwner(OwnTable(call->schema, OUTBOX_TABLE)));
	ForecastItems(&look->forecast, items, count);
	JudgeActions(&look->judge, items, count);
	RestoreIdentity(&saved);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		attempts += items[i].status != ITEM_PASSED_OVER;
		if (query->change != NULL && items[i].status == ITEM_PENDING)
			forecast_patch(query, &items[i]);
	}
	return attempts;
}

/*
 * Have all records seen that a replay of a query, by the role whose grants the call has,
 * would look at.  Needs an SPI connection and an active snapshot.
 */
void
SurveyRecords(ReplayCall *call, const ReplayQuery *query, SeeWindow see, void *arg)
{
	int64 left = query->is_limited ? query->max_records : PG_INT64_MAX;
	MemoryContext window =
		AllocSetContextCreate(call->context, "acteon_replay window", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	AuditScan scan;
	Look look;
	AuditRecord *records;
	int count;

	InitJudge(&look.judge, call->schema, call->grants, query);
	OpenForecast(&look.forecast, call->schema, query);
	AuditScanBegin(&scan, &call->audit, query, PG_INT64_MAX, NULL);
	old = MemoryContextSwitchTo(window);
	for (;;)
	{
		ReplayItem *items;

		CHECK_FOR_INTERRUPTS();
		if (left == 0 ||
			(count = AuditScanTake(&scan, Min(left, MAX_RECORDS_LIMIT), &records)) == 0)
			break;
		items = palloc(count * sizeof(ReplayItem));
		left -= judge_window(call, query, &look, items, records, count);
		see(arg, items, count);
		MemoryContextReset(window);
	}
	MemoryContextSwitchTo(old);
	AuditScanEnd(&scan);
	CloseForecast(&look.forecast);
	CloseJudge(&look.judge);
	MemoryContextDelete(window);
}
