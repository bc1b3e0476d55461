/*
 * preview.c
 *		What a replay would do, without doing it.
 *
 * A preview reads the records that a replay would read (audit_scan.c), judges them
 * as it would (survey.c), and counts.  So its numbers are the replay's, as long as
 * nothing happens in between; and it writes nothing, so it runs in a read only
 * transaction and on a standby.  With the plan that it returns, a replay makes sure that
 * nothing has happened (plan.c).
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
#include "audit/chain_row.h"
#include "audit/closest_values.h"
#include "audit/executed_since.h"
#include "base/catalog.h"
#include "base/identity.h"
#include "base/message.h"
#include "base/rfc3339.h"
#include "base/text.h"
#include "preview/preview.h"
#include "queue/pace.h"
#include "replay/chain_link.h"
#include "replay/expiry.h"
#include "replay/patch_payload.h"
#include "replay/replay_call.h"
#include "replay/survey.h"

/* Payloads that are shown are not larger than this. */
#define SHOWN_PAYLOAD_BYTES 8192

/* Different dedup keys are estimated with an error of a percent: 2^14 registers. */
#define DEDUP_KEY_BITS 14

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
	InitPlanCounts(&preview->counts);
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
	if (query->change == NULL)
		return;
	(void) PatchPayload(record->payload, query->change, query->allow_redacted, &before, &after);
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
	sample->signer_id = record->signer_id != NULL ? ShowText(record->signer_id) : NULL;
	keep_payloads(sample, preview->query, record);
}

/*
 * Whether an action would expire before its turn comes.  It is the next of those that would
 * be replayed; a rate that grows, a canary, pauses and retries are not taken into account.
 */
static bool
expires_before(const Preview *preview, const ReplayItem *item)
{
	const ReplayQuery *query = preview->query;
	OptionalTime expiry;
	double delay = 0;

	if (query->rate_value == 0 && !query->start_at.given)
		return false;
	expiry = RecordExpiry(query, item->record);
	if (query->rate_value > 0)
		delay = preview->replayable / query->rate_value * USECS_PER_SEC;
	return expiry.given && (double) expiry.time <= (double) preview->begins_at + delay;
}

/*
 * Count what one should know of a record that would be replayed.
 */
static void
count_replayable(Preview *preview, ReplayItem *item)
{
	const ReplayQuery *query = preview->query;
	uint32 hash;

	preview->beware[BEWARE_EXPIRES] += expires_before(preview, item);
	preview->replayable++;
	preview->patched += item->is_patched;
	preview->beware[BEWARE_REPLACED] += item->is_replaced;
	if (query->allow_redacted && query->change == NULL) /* then nobody has looked */
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

	preview->matched++;
	preview->reasons[item->reason]++;
	if (item->reason == REASON_NO_GRANT && !GrantsCoverRecord(call->grants, GRANT_READ, record))
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
 * Count which of the first records that would be replayed do not fit into the gateway's
 * chain; with verify, the others have failed.  On another server each would take two round
 * trips, and without the gateway's index on the numbers a look at all records of the tenant.
 */
static void
count_unchained(Preview *preview, ReplayCall *call, const ReplayItem *items, int count)
{
	int left = CHAIN_LINK_LIMIT - preview->linked;
	int pending = 0;

	if (left == 0 || preview->query->requires_chain || !preview->finds_links)
		return;
	for (int i = 0; i < count && pending < left; i++)
		pending += items[i].status == ITEM_PENDING;
	preview->linked += pending;
	preview->beware[BEWARE_UNCHAINED] += CountBrokenLinks(&call->audit, items, count, pending);
}

/* A preview that looks at records. */
typedef struct Viewer
{
	Preview *preview;
	ReplayCall *call;
	ExecutedSearch executed;
} Viewer;

/*
 * Look at a window of records that have been judged; see survey.h.
 */
static void
see_window(void *arg, ReplayItem *items, int count)
{
	Viewer *viewer = arg;
	MemoryContext old;

	count_unchained(viewer->preview, viewer->call, items, count);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (items[i].status != ITEM_PENDING)
			continue;
		count_replayable(viewer->preview, &items[i]);
		if (!TextIs(items[i].record->outcome, EXECUTED_OUTCOME))
			AddToExecutedSearch(&viewer->executed, items[i].record);
	}
	CountForPlan(&viewer->preview->counts, items, count);
	old = MemoryContextSwitchTo(viewer->call->context);
	for (int i = 0; i < count; i++)
		count_item(viewer->preview, viewer->call, &items[i]);
	MemoryContextSwitchTo(old);
}

/*
 * Look at all records that a replay would look at.
 */
static void
look_at_records(Preview *preview, ReplayCall *call)
{
	Viewer viewer = {.preview = preview, .call = call};

	BeginExecutedSearch(&viewer.executed);
	SurveyRecords(call, preview->query, see_window, &viewer);
	preview->searched = viewer.executed.count;
	preview->beware[BEWARE_EXECUTED] = EndExecutedSearch(&viewer.executed, &call->audit);
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
 * Make the plan of what was shown, if there is anything to replay, and the caller may.
 */
static void
make_plan(Preview *preview, const ReplayCall *call, uint64 completed)
{
	if (preview->matched == 0 || preview->is_refused || !GrantsMayReplay(call->grants))
		return;
	preview->plan = MakePlan(call->schema, preview->query, completed, &preview->counts,
							 call->caller, call->now);
	preview->plan_expires_at = call->now + PLAN_HOURS * USECS_PER_HOUR;
}

/*
 * Preview what a query asks for; what both forms of acteon_replay_preview do.
 * sample_argument is the place of the number of samples among the arguments.  The
 * role needs a grant for reading.  The preview lives in the current memory context.
 */
void
MakePreview(Preview *preview, FunctionCallInfo fcinfo, ReplayQuery *query, int sample_argument)
{
	MemoryContext caller_context = CurrentMemoryContext;
	ReplayCall call;
	bool has_filter;

	CheckReplayQuery(query);
	(void) TakePlan(query, CalledSchema(fcinfo));
	has_filter = HasFilter(query); /* an end that it is given is none */
	init_preview(preview, query,
				 ReadIntegerArgument(fcinfo, sample_argument, OPTION_SAMPLE,
									 (int) OptionNumber(ReplayOptions[OPTION_SAMPLE].initial)));
	preview->is_refused = IsRefused(query, &preview->refusal);
	OpenShowingCall(&call, CalledSchema(fcinfo));
	CheckMayPatch(&call, query);
	EndQueryAt(query, call.now);
	preview->finds_links =
		!AuditTableIsRemote(&call.audit) && HasChain(&call.audit) && HasChainIndex(&call.audit);
	preview->begins_at = query->start_at.given ? Max(query->start_at.time, call.now) : call.now;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(caller_context);
	look_at_records(preview, &call);
	for (int i = 0; i < NUM_LEFT_OUT; i++)
		preview->left_out[i] = AuditCountLeftOut(&call.audit, query, i);
	if (preview->matched == 0 && query->cursor_text == NULL)
		preview->not_found = FindClosestValues(&call.audit, query, call.grants, caller_context);
	MemoryContextSwitchTo(caller_context);
	AuditFindMissing(&call.audit, &query->action_ids, &preview->missing_ids);
	AuditFindMissing(&call.audit, &query->exclude_ids, &preview->missing_exclude_ids);
	SPI_finish();
	MemoryContextSwitchTo(caller_context);
	CloseAuditTable(&call.audit);
	preview->seconds = query->rate_value > 0 ? replay_seconds(preview) : 0;
	preview->beware[BEWARE_EFFECTIVE] += preview->reasons[REASON_EFFECTIVE];
	if (has_filter)
		make_plan(preview, &call, CompleteQuery(query, &preview->counts));
	else
		query->to = query->uncut_to; /* a replay refuses it, and what is made of it as well */
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
