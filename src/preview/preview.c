/*
 * preview.c
 *		What a replay would do, without doing it.
 *
 * A preview reads the records that a replay would read (audit_scan.c), judges them
 * as it would (eligibility.c), and counts.  It looks at earlier replays without
 * waiting for any (forecast.c).  So its numbers are the replay's, as long as
 * nothing happens in between; and it writes nothing, so it runs in a read only
 * transaction and on a standby.
 *
 * What the caller's grants do not cover is counted, as a replay counts it, and
 * nothing of it is named.
 */
#include "postgres.h"

#include <math.h>

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit/audit_count.h"
#include "audit/audit_scan.h"
#include "audit/closest_values.h"
#include "audit/executed_since.h"
#include "base/catalog.h"
#include "base/identity.h"
#include "base/message.h"
#include "base/rfc3339.h"
#include "base/text.h"
#include "preview/forecast.h"
#include "preview/preview.h"
#include "queue/pace.h"
#include "replay/kin.h"
#include "replay/patch_payload.h"
#include "replay/replay_call.h"

/* Payloads that are shown are not larger than this. */
#define SHOWN_PAYLOAD_BYTES 8192

/* Different dedup keys are estimated with an error of a percent: 2^14 registers. */
#define DEDUP_KEY_BITS 14

/* By what records are looked at. */
typedef struct Look
{
	Judge judge;
	Forecast forecast;
	ExecutedSearch executed;
} Look;

/*
 * Make an empty preview in the current memory context.
 */
static void
init_preview(Preview *preview, ReplayQuery *query, int wanted)
{
	memset(preview, 0, sizeof(*preview));
	preview->query = query;
	preview->wanted_samples = wanted;
	preview->samples = palloc(Max(wanted, 1) * sizeof(PreviewSample));
	initHyperLogLog(&preview->dedup_keys, DEDUP_KEY_BITS);
	for (int i = 0; i < NUM_BREAKDOWNS; i++)
		InitValueCounts(&preview->by[i]);
	preview->causes = MakeCauseCounts(query);
}

/*
 * Widen a range of times.
 */
static void
add_time(OptionalTime *oldest, OptionalTime *newest, TimestampTz time)
{
	if (!oldest->given || time < oldest->time)
		oldest->time = time;
	if (!newest->given || time > newest->time)
		newest->time = time;
	oldest->given = newest->given = true;
}

/*
 * Keep the payload of a sample, and what the query's patch makes of it, unless that is too
 * large to be shown.
 */
static void
keep_payloads(PreviewSample *sample, const ReplayQuery *query, const AuditRecord *record)
{
	Jsonb *before;
	Jsonb *after;

	sample->before = sample->after = NULL;
	if (query->patch == NULL)
		return;
	(void) PatchPayload(record->payload, query->patch, query->allow_redacted, &before, &after);
	sample->is_patched = before != after;
	if (VARSIZE(before) > SHOWN_PAYLOAD_BYTES || VARSIZE(after) > SHOWN_PAYLOAD_BYTES)
		return;
	sample->before = memcpy(palloc(VARSIZE(before)), before, VARSIZE(before));
	sample->after = memcpy(palloc(VARSIZE(after)), after, VARSIZE(after));
}

/*
 * Keep a record as one of the samples.
 */
static void
keep_sample(Preview *preview, const AuditRecord *record)
{
	PreviewSample *sample;

	if (preview->sample_count == preview->wanted_samples)
		return;
	sample = &preview->samples[preview->sample_count++];
	sample->dispatched_at = (OptionalTime){true, record->dispatched_at};
	sample->action_id = text_to_cstring(record->action_id);
	sample->namespace = ShowText(record->namespace);
	sample->tenant = ShowText(record->tenant);
	sample->provider = ShowText(record->provider);
	sample->action_type = ShowText(record->action_type);
	sample->outcome = ShowText(record->outcome);
	keep_payloads(sample, preview->query, record);
}

/*
 * Find out what the query's patch makes of a payload: it is counted if it is changed, and
 * an item whose payload cannot be patched fails.
 */
static void
forecast_patch(Preview *preview, ReplayItem *item)
{
	const ReplayQuery *query = preview->query;
	Jsonb *before;
	Jsonb *after;
	Reason reason =
		PatchPayload(item->record->payload, query->patch, query->allow_redacted, &before, &after);

	if (reason != REASON_NONE)
		SetReason(item, reason, query);
	else
	{
		preview->patched += before != after;
		preview->beware[BEWARE_REPLACED] += !JB_ROOT_IS_OBJECT(before);
	}
	if (after != before)
		pfree(after);
	if ((Pointer) before != DatumGetPointer(item->record->payload))
		pfree(before);
}

/*
 * Count what one should know of a record that would be replayed.
 */
static void
count_replayable(Preview *preview, ReplayItem *item)
{
	const ReplayQuery *query = preview->query;
	uint32 hash;

	preview->replayable++;
	if (query->allow_redacted && query->patch == NULL) /* then nobody has looked */
		item->payload = InspectPayload(item->record->payload);
	preview->beware[BEWARE_SEALED] += item->payload == PAYLOAD_SEALED;
	preview->beware[BEWARE_REPLAYED] += item->has_earlier;
	preview->beware[BEWARE_UNCERTAIN] += query->lost && item->effect != EFFECT_NONE;
	preview->beware[BEWARE_EFFECTIVE] +=
		query->allow_effective && !query->lost && TookEffect(item->record);
	if (!query->drops_dedup && HasDedupKey(item->record, &hash))
	{
		preview->beware[BEWARE_DEDUP_KEY]++;
		addHyperLogLog(&preview->dedup_keys, hash);
	}
}

/*
 * Count a record that has been judged.  A replay covers what it may replay, so
 * grants for reading decide only about what no grant lets the caller replay.
 */
static void
count_item(Preview *preview, ReplayCall *call, const ReplayItem *item)
{
	const AuditRecord *record = item->record;
	bool replayable = item->status == ITEM_PENDING;
	Effect effect;
	GrantTarget target = {.tenant = record->tenant,
						  .namespace = record->namespace,
						  .provider = record->provider,
						  .action_type = record->action_type};

	preview->matched++;
	preview->reasons[item->reason]++;
	if (!preview->first.given || record->dispatched_at < preview->first.time)
		preview->first = (OptionalTime){true, record->dispatched_at};
	if (item->reason == REASON_NO_GRANT &&
		(record->missing != NULL || !GrantsCover(call->grants, GRANT_READ, &target)))
	{
		preview->not_covered++;
		return;
	}
	for (int i = 0; i < NUM_RECORD_COLUMNS && item->reason == REASON_COLUMN_MISSING; i++)
		preview->missing[i] += record->missing == RecordColumnNames[i];
	CountCause(preview->causes, record,
			   item->reason == REASON_NO_GRANT || item->reason == REASON_NO_PATCH_GRANT
				   ? JudgeColumns(preview->query, record, &effect)
				   : item->reason);
	add_time(&preview->oldest, &preview->newest, record->dispatched_at);
	CountValue(&preview->by[BY_PROVIDER], record->provider, replayable);
	CountValue(&preview->by[BY_ACTION_TYPE], record->action_type, replayable);
	CountValue(&preview->by[BY_OUTCOME], record->outcome, replayable);
	CountValue(&preview->by[BY_TENANT], record->tenant, replayable);
	if (replayable)
		keep_sample(preview, record);
}

/*
 * Look at a window of records.  Returns how many of them a replay would attempt
 * or skip: these count for its limit.
 */
static int
look_at_window(Preview *preview, ReplayCall *call, Look *look, const AuditRecord *records,
			   int count)
{
	ReplayItem *items = palloc(count * sizeof(ReplayItem));
	int attempts = 0;
	MemoryContext old;
	Identity saved;

	BeginItems(&look->judge, items, records, count);
	if (preview->query->lost)
		(void) JudgeKin(call->schema, &call->audit, preview->query, items, count,
						GetActiveSnapshot());
	SwitchIdentity(&saved, TableOwner(OwnTable(call->schema, OUTBOX_TABLE)));
	ForecastItems(&look->forecast, items, count);
	JudgeActions(&look->judge, items, count);
	RestoreIdentity(&saved);
	for (int i = 0; i < count; i++)
	{
		attempts += items[i].status != ITEM_PASSED_OVER;
		CHECK_FOR_INTERRUPTS();
		if (items[i].status == ITEM_PENDING && preview->query->patch != NULL)
			forecast_patch(preview, &items[i]);
		if (items[i].status != ITEM_PENDING)
			continue;
		count_replayable(preview, &items[i]);
		if (!TextIs(records[i].outcome, EXECUTED_OUTCOME))
			AddToExecutedSearch(&look->executed, &records[i]);
	}

	old = MemoryContextSwitchTo(call->context);
	for (int i = 0; i < count; i++)
		count_item(preview, call, &items[i]);
	MemoryContextSwitchTo(old);
	return attempts;
}

/*
 * Look at all records that a replay would look at.
 */
static void
look_at_records(Preview *preview, ReplayCall *call)
{
	const ReplayQuery *query = preview->query;
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
	BeginExecutedSearch(&look.executed);
	AuditScanBegin(&scan, &call->audit, query, PG_INT64_MAX, NULL);
	old = MemoryContextSwitchTo(window);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (left == 0 ||
			(count = AuditScanTake(&scan, Min(left, MAX_RECORDS_LIMIT), &records)) == 0)
			break;
		left -= look_at_window(preview, call, &look, records, count);
		MemoryContextReset(window);
	}
	MemoryContextSwitchTo(old);
	AuditScanEnd(&scan);
	preview->searched = look.executed.count;
	preview->beware[BEWARE_EXECUTED] = EndExecutedSearch(&look.executed, &call->audit);
	CloseForecast(&look.forecast);
	CloseJudge(&look.judge);
	MemoryContextDelete(window);
}

/*
 * The time that a replay takes at the query's rate.
 */
static double
replay_seconds(const Preview *preview)
{
	const ReplayQuery *query = preview->query;
	Pacer pacer;

	BeginPace(&pacer, 0, query->rate_value, query->ramp ? RampLength(preview->replayable) : 0);
	(void) NextDueTime(&pacer, preview->replayable);
	return (double) NextDueTime(&pacer, 0) / USECS_PER_SEC;
}

/*
 * Make the query one that holds for what was shown, whenever it is asked again:
 * give it a beginning and a number of records, as it has an end already.  One
 * that has no filter does not get one so: a replay refuses it still.
 */
static void
complete_query(Preview *preview, bool has_filter)
{
	ReplayQuery *query = preview->query;

	if (!has_filter)
	{
		query->to = query->uncut_to;
		return;
	}
	if (!query->from.given && preview->first.given && IsRfc3339Time(preview->first.time))
		query->from = preview->first;
	if (query->from.given && query->from.time > query->to.time)
		query->to.time = query->from.time; /* all of it lies in the future */
	if (!query->is_limited && preview->matched <= PG_INT32_MAX)
		SetInteger(query, OPTION_MAX_RECORDS, Max(preview->matched, 1));
	if (query->cursor_text != NULL)
		query->cursor_text = MakeCursor(query, &query->cursor);
}

/*
 * Preview what a query asks for; what both forms of acteon_replay_preview do.
 * sample_argument is the place of the number of samples among the arguments.  The
 * role is checked as for a replay.  The preview lives in the current memory
 * context.
 */
void
MakePreview(Preview *preview, FunctionCallInfo fcinfo, ReplayQuery *query, int sample_argument)
{
	MemoryContext caller_context = CurrentMemoryContext;
	ReplayCall call;
	bool has_filter;

	CheckReplayQuery(query);
	has_filter = HasFilter(query); /* an end that it is given is none */
	init_preview(preview, query,
				 ReadIntegerArgument(fcinfo, sample_argument, OPTION_SAMPLE,
									 (int) OptionNumber(ReplayOptions[OPTION_SAMPLE].initial)));
	preview->is_refused = IsRefused(query, &preview->refusal);
	OpenCall(&call, CalledSchema(fcinfo));
	CheckMayPatch(&call, query);
	EndQueryAt(query, call.now);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(caller_context);
	look_at_records(preview, &call);
	for (int i = 0; i < NUM_LEFT_OUT; i++)
		preview->left_out[i] = AuditCountLeftOut(&call.audit, query, i);
	if (preview->matched == 0 && query->cursor_text == NULL)
		preview->not_found = FindClosestValues(&call.audit, query, call.grants, caller_context);
	MemoryContextSwitchTo(caller_context);
	AuditFindMissing(&call.audit, query, &preview->missing_ids);
	SPI_finish();
	MemoryContextSwitchTo(caller_context);
	CloseAuditTable(&call.audit);
	preview->seconds = query->rate_value > 0 ? replay_seconds(preview) : 0;
	preview->beware[BEWARE_EFFECTIVE] += preview->reasons[REASON_EFFECTIVE];
	complete_query(preview, has_filter);
}

/*
 * About how many different dedup keys would be sent along.
 */
int64
DifferentDedupKeys(Preview *preview)
{
	int64 estimate = (int64) rint(estimateHyperLogLog(&preview->dedup_keys));

	return Min(Max(estimate, 1), preview->beware[BEWARE_DEDUP_KEY]);
}
