/*
 * replay_bulk.c
 *		acteon_replay_bulk: all actions that match, up to a limit.
 *
 * Records are read and enqueued window by window, so that memory follows the
 * size of a window without the toasted parts of its rows, and not the number of
 * records or the size of their payloads.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "action.h"
#include "ids.h"
#include "jsonb_writer.h"
#include "query.h"
#include "replay.h"

/* What a bulk replay has come to. */
typedef struct BulkResult
{
	int64 batch_id; /* 0: nothing was found */
	int replayed;
	int failed;
	int skipped;
	Jsonb *results;
	char *next_cursor; /* NULL: at the end */
} BulkResult;

PG_FUNCTION_INFO_V1(acteon_replay_bulk);
PG_FUNCTION_INFO_V1(acteon_replay_bulk_jsonb);

/*
 * Make an item of a record: skipped if no grant covers it or there is no
 * payload, failed if a column is NULL that must not be, else pending.
 */
static void
begin_item(ReplayCall *call, ReplayItem *item, const AuditRecord *record)
{
	item->record = record;
	if (!MayReplay(call, record) || !record->has_payload)
		item->status = ITEM_SKIPPED;
	else if (record->missing != NULL)
	{
		item->status = ITEM_FAILED;
		item->error = psprintf(_("audit record has no %s"), record->missing);
	}
	else
		item->status = ITEM_PENDING;
}

/*
 * Add what became of an item to the results.
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
 * Count what became of the items, and note it in results and scope.
 */
static void
count_items(const ReplayItem *items, int count, BulkResult *result, JsonArray *results,
			Scope *scope)
{
	for (int i = 0; i < count; i++)
	{
		const ReplayItem *item = &items[i];

		switch (item->status)
		{
			case ITEM_ENQUEUED:
				result->replayed++;
				break;
			case ITEM_FAILED:
				result->failed++;
				break;
			case ITEM_SKIPPED:
				result->skipped++;
				continue;
			case ITEM_PASSED_OVER:
				continue;
			case ITEM_PENDING:
				elog(ERROR, "item is still pending");
		}
		add_result(results, item);
		if (item->record->missing == NULL)
			AddToScope(scope, item->record);
	}
}

/*
 * Replay a window of records.  A record that fails does not stop the others.
 */
static void
replay_window(ReplayCall *call, const ReplayQuery *query, const AuditRecord *records, int count,
			  BulkResult *result, JsonArray *results, Scope *scope)
{
	ReplayItem *items = palloc0(count * sizeof(ReplayItem));
	Outbox *outbox;
	Identity saved;

	for (int i = 0; i < count; i++)
		begin_item(call, &items[i], &records[i]);
	outbox = UseOutbox(call, query, &saved);
	ResolveItems(outbox, items, count);
	for (int i = 0; i < count; i++)
	{
		if (items[i].status == ITEM_PENDING && !query->allow_redacted &&
			PayloadIsRedacted(items[i].record->payload))
		{
			items[i].status = ITEM_FAILED;
			items[i].error = _(REDACTED_REASON);
		}
	}
	EnqueueItems(outbox, items, count);
	RestoreIdentity(&saved);
	count_items(items, count, result, results, scope);
}

/*
 * Replay window by window, until enough records were attempted or skipped, or
 * there are no more.  Results and next_cursor are made in the current memory
 * context.
 */
static void
replay_windows(ReplayCall *call, const ReplayQuery *query, BulkResult *result, Scope *scope)
{
	MemoryContext bulk_context = CurrentMemoryContext;
	MemoryContext window_context =
		AllocSetContextCreate(bulk_context, "acteon_replay window", ALLOCSET_DEFAULT_SIZES);
	AuditScan scan;
	AuditRecord *records;
	JsonArray results;
	char *cursor = NULL;
	int count;

	JsonArrayInit(&results);
	AuditScanBegin(&scan, &call->audit, query);
	for (;;)
	{
		int wanted = query->max_records - (result->replayed + result->failed + result->skipped);

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(window_context);
		if (wanted == 0 || (count = AuditScanTake(&scan, wanted, &records)) == 0)
			break;
		replay_window(call, query, records, count, result, &results, scope);
		MemoryContextSwitchTo(bulk_context);
		if (cursor != NULL)
			pfree(cursor);
		cursor = MakeCursor(query, records[count - 1].dispatched_at, records[count - 1].id);
		MemoryContextReset(window_context);
	}
	MemoryContextSwitchTo(bulk_context);
	result->next_cursor = AuditScanHasMore(&scan) ? cursor : NULL;
	AuditScanEnd(&scan);
	MemoryContextDelete(window_context);
	result->results = JsonArrayFinish(&results);
}

/*
 * Replay what a query asks for; what all forms of acteon_replay_bulk do.
 */
static void
replay_bulk(FunctionCallInfo fcinfo, ReplayQuery *query, BulkResult *result)
{
	ReplayCall call;
	Scope *scope;
	MemoryContext caller_context = CurrentMemoryContext;
	MemoryContext old;

	memset(result, 0, sizeof(*result));
	CheckReplayQuery(query);
	BeginCall(&call, fcinfo, "acteon_replay_bulk()");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	call.context =
		AllocSetContextCreate(caller_context, "acteon_replay bulk", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(call.context);
	scope = NewScope();
	replay_windows(&call, query, result, scope);
	if (result->replayed + result->failed + result->skipped > 0)
	{
		BatchRow batch = {.reason = query->reason,
						  .query = QueryToJsonb(query),
						  .replayed = result->replayed,
						  .failed = result->failed,
						  .skipped = result->skipped,
						  .scope = scope};
		Identity saved;

		UseOutbox(&call, query, &saved);
		batch.id = result->batch_id = OutboxBatchId(call.outbox);
		EndCall(&call, &batch);
		RestoreIdentity(&saved);
	}
	else if (call.outbox != NULL)
		CloseOutbox(call.outbox);
	MemoryContextSwitchTo(old);
	SPI_finish();
	CloseAuditTable(&call.audit);
}

/*
 * A text argument as a string, or NULL.
 */
static char *
text_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

static OptionalTime
time_argument(FunctionCallInfo fcinfo, int argument)
{
	OptionalTime result = {!PG_ARGISNULL(argument), 0};

	if (result.given)
		result.time = PG_GETARG_TIMESTAMPTZ(argument);
	return result;
}

static bool
bool_argument(FunctionCallInfo fcinfo, int argument)
{
	return !PG_ARGISNULL(argument) && PG_GETARG_BOOL(argument);
}

/*
 * Read the named arguments of acteon_replay_bulk, in their order.
 */
static void
read_arguments(FunctionCallInfo fcinfo, ReplayQuery *query)
{
	int arg = 0;

	InitReplayQuery(query);
	for (int i = FILTER_NAMESPACE; i <= FILTER_MATCHED_RULE; i++)
		query->filters[i] = text_argument(fcinfo, arg++);
	query->from = time_argument(fcinfo, arg++);
	query->to = time_argument(fcinfo, arg++);
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_records must not be null"),
				 errhint("Leave it out for the default of %d.", MAX_RECORDS_DEFAULT)));
	query->max_records = PG_GETARG_INT32(arg++);
	query->filters[FILTER_CALLER_ID] = text_argument(fcinfo, arg++);
	query->filters[FILTER_CHAIN_ID] = text_argument(fcinfo, arg++);
	query->include_replayed = bool_argument(fcinfo, arg++);
	query->allow_redacted = bool_argument(fcinfo, arg++);
	query->newest_first = bool_argument(fcinfo, arg++);
	query->cursor_text = text_argument(fcinfo, arg++);
	query->rate = PG_ARGISNULL(arg) ? NULL : PG_GETARG_NUMERIC(arg);
	arg++;
	query->start_at = time_argument(fcinfo, arg++);
	query->reason = text_argument(fcinfo, arg++);
}

/*
 * acteon_replay_bulk(namespace text, … reason text)
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

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	read_arguments(fcinfo, &query);
	replay_bulk(fcinfo, &query, &result);
	/* An untyped literal as the only argument is taken for the namespace. */
	if (result.batch_id == 0 && query.filters[FILTER_NAMESPACE] != NULL &&
		query.filters[FILTER_NAMESPACE][0] == '{')
		ereport(NOTICE,
				(errmsg("no records in namespace \"%s\"", query.filters[FILTER_NAMESPACE]),
				 errhint("To pass a query as JSON, write acteon_replay_bulk('…'::jsonb).")));

	nulls[0] = result.batch_id == 0;
	values[0] = Int64GetDatum(result.batch_id);
	values[1] = Int32GetDatum(result.replayed);
	values[2] = Int32GetDatum(result.failed);
	values[3] = Int32GetDatum(result.skipped);
	values[4] = JsonbPGetDatum(result.results);
	nulls[5] = result.next_cursor == NULL;
	values[5] = nulls[5] ? (Datum) 0 : CStringGetTextDatum(result.next_cursor);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * Add a member to an object that is being built.
 */
static void
push_member(JsonbParseState **state, const char *name, JsonbValue *value)
{
	JsonbValue key;

	key.type = jbvString;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	pushJsonbValue(state, WJB_KEY, &key);
	pushJsonbValue(state, WJB_VALUE, value);
}

static void
push_number(JsonbParseState **state, const char *name, int64 number)
{
	JsonbValue value;

	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	push_member(state, name, &value);
}

/*
 * acteon_replay_bulk(query jsonb) → jsonb
 *
 * The same in the gateway's wire form, with the same errors.  batch_id and
 * next_cursor are JSON null where the other form has NULL.
 */
Datum
acteon_replay_bulk_jsonb(PG_FUNCTION_ARGS)
{
	ReplayQuery query;
	BulkResult result;
	JsonbParseState *state = NULL;
	JsonbValue value;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("replay query must not be null"),
				 errhint("Pass '{}' for a query without filters.")));
	ReadReplayQuery(&query, PG_GETARG_JSONB_P(0));
	replay_bulk(fcinfo, &query, &result);

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_number(&state, "replayed", result.replayed);
	push_number(&state, "failed", result.failed);
	push_number(&state, "skipped", result.skipped);
	value.type = jbvBinary;
	value.val.binary.data = &result.results->root;
	value.val.binary.len = VARSIZE_ANY_EXHDR(result.results);
	push_member(&state, "results", &value);
	if (result.batch_id != 0)
		push_number(&state, "batch_id", result.batch_id);
	else
	{
		value.type = jbvNull;
		push_member(&state, "batch_id", &value);
	}
	value.type = jbvNull;
	if (result.next_cursor != NULL)
	{
		value.type = jbvString;
		value.val.string.val = result.next_cursor;
		value.val.string.len = strlen(result.next_cursor);
	}
	push_member(&state, "next_cursor", &value);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
