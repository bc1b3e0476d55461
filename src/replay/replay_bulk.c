/*
 * replay_bulk.c
 *		acteon_replay_bulk: all actions that match, up to a limit.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "audit/closest_values.h"
#include "base/jsonb_build.h"
#include "base/jsonb_writer.h"
#include "base/result.h"
#include "batch/approval.h"
#include "base/replay_id.h"
#include "query/query.h"
#include "replay/asked.h"
#include "replay/plan.h"
#include "replay/replay_many.h"

/* What a bulk replay has come to. */
typedef struct BulkResult
{
	int64 batch_id; /* 0: nothing was found */
	int replayed;
	int failed;
	int skipped;
	int64 effective; /* passed over: their actions took effect, or will */
	int64 expired;   /* the same: their actions had expired */
	Jsonb *results;
	char *next_cursor; /* NULL: at the end */
} BulkResult;

PG_FUNCTION_INFO_V1(acteon_replay_bulk);
PG_FUNCTION_INFO_V1(acteon_replay_bulk_jsonb);

/*
 * Add the result of an item to the results.
 */
static void
add_result(JsonArray *results, const ReplayItem *item)
{
	bool enqueued = item->status == ITEM_ENQUEUED;
	const text *original = item->record->action_id;
	char new_id[UUID_TEXT_LEN];
	JsonPair pairs[4] = {
		{.key = "error", .key_len = 5, .type = JENTRY_ISNULL},
		{.key = "success", .key_len = 7, .type = JENTRY_ISBOOL_FALSE},
		{.key = "new_action_id", .key_len = 13, .type = JENTRY_ISNULL},
		{.key = "original_action_id", .key_len = 18, .type = JENTRY_ISNULL},
	};

	if (enqueued)
	{
		UuidToText(new_id, &item->action_id);
		pairs[1].type = JENTRY_ISBOOL_TRUE;
		pairs[2].type = JENTRY_ISSTRING;
		pairs[2].value = new_id;
		pairs[2].value_len = UUID_TEXT_LEN;
	}
	else
	{
		pairs[0].type = JENTRY_ISSTRING;
		pairs[0].value = item->error;
		pairs[0].value_len = strlen(item->error);
	}
	if (original != NULL)
	{
		pairs[3].type = JENTRY_ISSTRING;
		pairs[3].value = VARDATA_ANY(original);
		pairs[3].value_len = VARSIZE_ANY_EXHDR(original);
	}
	JsonArrayAdd(results, pairs, lengthof(pairs));
}

/*
 * The results of what was gathered and has been enqueued, in the current memory
 * context.
 */
static Jsonb *
list_results(const Gathered *gathered)
{
	JsonArray results;

	JsonArrayInit(&results);
	for (int i = 0; i < gathered->count; i++)
	{
		if (gathered->items[i].status != ITEM_PASSED_OVER)
			add_result(&results, &gathered->items[i]);
	}
	return JsonArrayFinish(&results);
}

/*
 * Enqueue what was gathered, as a batch.  There is none if there was nothing to
 * replay, fail or skip.
 */
static void
enqueue_batch(ReplayCall *call, const ReplayQuery *query, const ReplayPlan *plan,
			  Gathered *gathered, BulkResult *result)
{
	Failures failures = {0};
	BatchRow batch = {.reason = query->reason,
					  .query = QueryToJsonb(query),
					  .scope = NewScope(query->provider_override),
					  .failures = &failures,
					  .matched = -1,
					  .is_complete = true,
					  .plan = plan == NULL ? NULL : plan->digest};
	Identity saved;

	if (call->outbox == NULL)
		return;
	UseOutbox(call, query, &saved);
	EnqueueGathered(call, gathered, &batch);
	if (batch.replayed + batch.failed + batch.skipped > 0)
	{
		batch.id = result->batch_id = OutboxBatchId(call->outbox);
		EndCall(call, query, &batch);
		if (plan != NULL)
			LogPlan(call, plan, batch.id, batch.reason);
	}
	else
		CloseOutbox(call->outbox);
	RestoreIdentity(&saved);
	result->replayed = batch.replayed;
	result->failed = batch.failed;
	result->skipped = batch.skipped;
}

/*
 * Replay what a query asks for; what all forms of acteon_replay_bulk do.
 */
static void
replay_bulk(FunctionCallInfo fcinfo, ReplayQuery *query, BulkResult *result)
{
	MemoryContext caller_context = CurrentMemoryContext;
	ReplayCall call;
	Gathered gathered = {0};
	ReplayPlan *plan;
	PlanCounts counts;

	memset(result, 0, sizeof(*result));
	CheckReplayQuery(query);
	plan = TakePlan(query, CalledSchema(fcinfo));
	BeginCall(&call, fcinfo, "acteon_replay_bulk()", query->reason);
	CheckMayPatch(&call, query);
	CheckAsked(&call.audit, query);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	call.context =
		AllocSetContextCreate(caller_context, "acteon_replay bulk", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(call.context);
	if (plan != NULL)
		CheckPlan(&call, plan, &counts);
	if (GatherRecords(&call, query, PG_INT64_MAX, &gathered))
		result->next_cursor = MakeCursor(query, &gathered.last);
	result->effective = gathered.effective;
	result->expired = gathered.expired;
	if (plan == NULL)
		RequirePlan(query, "acteon_replay_bulk", gathered.count);
	RefuseWithoutApproval(call.schema, call.caller, gathered.count);
	NoticeLeftOut(&call.audit, query);
	if (gathered.looked_at == 0 && query->cursor_text == NULL)
		NoticeClosestValues(&call.audit, query, call.grants);
	enqueue_batch(&call, query, plan, &gathered, result);
	if (plan != NULL)
		CheckPlanIsKept(plan, gathered.items, gathered.count);
	result->results = list_results(&gathered);
	SPI_finish();
	MemoryContextSwitchTo(caller_context);
	CloseAuditTable(&call.audit);
	NoticeEffective(result->effective);
	NoticeExpired(result->expired);
}

/*
 * Raise a NOTICE if a call that begins has left out records that match because of the
 * default of max_records, which is not told from the same number as an argument.
 */
static void
notice_limit(const ReplayQuery *query, const BulkResult *result)
{
	if (result->next_cursor == NULL || query->cursor_text != NULL ||
		query->max_records != MAX_RECORDS_DEFAULT)
		return;
	ereport(
		NOTICE,
		(errmsg("more records match: the call ended after %d, the default of max_records",
				query->max_records),
		 errhint(
			 "max_records allows up to %d, next_cursor continues, and CALL acteon_replay_all() replays any number.",
			 MAX_RECORDS_LIMIT)));
}

/*
 * acteon_replay_bulk(namespace text, … on_doubt text)
 *
 * Replays what matches; returns (batch_id, replayed, failed, skipped, results,
 * next_cursor), batch_id NULL if there was nothing to replay, fail or skip.
 * Raises invalid_parameter_value, insufficient_privilege, undefined_table and,
 * for a table of another shape, undefined_column, datatype_mismatch and
 * wrong_object_type.
 */
Datum
acteon_replay_bulk(PG_FUNCTION_ARGS)
{
	ReplayQuery query;
	BulkResult result;
	TupleDesc desc;
	Datum values[6];
	bool nulls[6] = {false};

	desc = ResultRowType(fcinfo);
	ReadReplayArguments(&query, fcinfo, CALL_BULK, 0);
	replay_bulk(fcinfo, &query, &result);
	if (result.batch_id == 0)
		NoticeNamespace(&query, "acteon_replay_bulk");
	notice_limit(&query, &result);

	nulls[0] = result.batch_id == 0;
	values[0] = Int64GetDatum(result.batch_id);
	values[1] = Int32GetDatum(result.replayed);
	values[2] = Int32GetDatum(result.failed);
	values[3] = Int32GetDatum(result.skipped);
	values[4] = JsonbPGetDatum(result.results);
	nulls[5] = result.next_cursor == NULL;
	values[5] = nulls[5] ? (Datum) 0 : CStringGetTextDatum(result.next_cursor);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/*
 * acteon_replay_bulk(query jsonb) → jsonb
 *
 * The same in the gateway's wire form, with the same errors.  batch_id and
 * next_cursor are JSON null where the other form has NULL; effective is what the
 * other form tells in a NOTICE.
 */
Datum
acteon_replay_bulk_jsonb(PG_FUNCTION_ARGS)
{
	ReplayQuery query;
	BulkResult result;
	JsonbParseState *state = NULL;

	ReadQueryArgument(&query, fcinfo, false);
	replay_bulk(fcinfo, &query, &result);

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	PushNumber(&state, "replayed", result.replayed);
	PushNumber(&state, "failed", result.failed);
	PushNumber(&state, "skipped", result.skipped);
	PushJsonb(&state, "results", result.results);
	if (result.batch_id != 0)
		PushNumber(&state, "batch_id", result.batch_id);
	else
		PushNull(&state, "batch_id");
	PushString(&state, "next_cursor", result.next_cursor);
	PushNumber(&state, "effective", result.effective);
	PushNumber(&state, "expired", result.expired);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
