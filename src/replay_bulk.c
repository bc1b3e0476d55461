/*
 * replay_bulk.c
 *		acteon_replay_bulk: all actions that match, up to a limit.
 *
 * Records are looked at window by window.  Those that the call will attempt, at
 * most max_records, are kept without their toasted parts and then enqueued all
 * at once.  So memory follows neither the size of payloads nor the number of
 * records that are passed over, and the call holds nothing while it waits for
 * another one.
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
 * Count what became of the attempted items, and note it in results and scope.
 */
static void
count_items(const ReplayItem *items, int count, BulkResult *result, Scope *scope,
			Failures *failures)
{
	JsonArray results;

	JsonArrayInit(&results);
	for (int i = 0; i < count; i++)
	{
		const ReplayItem *item = &items[i];

		if (item->status == ITEM_PASSED_OVER)
			continue; /* lost a race for it */
		if (item->status == ITEM_ENQUEUED)
			result->replayed++;
		else
		{
			result->failed++;
			AddFailure(failures, item->error, 1);
		}
		add_result(&results, item);
		if (item->record->missing == NULL)
			AddToScope(scope, item->record);
	}
	result->results = JsonArrayFinish(&results);
}

/*
 * What is gathered for a call: the items that it will attempt, with copies of
 * their records, and where it has got to.
 */
typedef struct Gathered
{
	ReplayItem *items;
	int count;
	int skipped;
	int64 passed_over;
	TimestampTz last_time; /* of the last record that was looked at */
	text *last_id;
} Gathered;

/*
 * Keep an item, with copies of its record and error in the current memory
 * context.
 */
static void
keep_item(Gathered *gathered, const ReplayItem *item)
{
	ReplayItem *kept = &gathered->items[gathered->count++];
	AuditRecord *record = palloc(sizeof(AuditRecord));

	CopyAuditRecord(record, item->record);
	*kept = *item;
	kept->record = record;
	if (item->error != NULL)
		kept->error = pstrdup(item->error);
}

/*
 * Note the last record that was looked at.
 */
static void
note_last(Gathered *gathered, const AuditRecord *record)
{
	if (gathered->last_id != NULL)
		pfree(gathered->last_id);
	gathered->last_id =
		cstring_to_text_with_len(VARDATA_ANY(record->id), VARSIZE_ANY_EXHDR(record->id));
	gathered->last_time = record->dispatched_at;
}

/*
 * Look at a window of records and keep what is to be attempted.  A record that
 * cannot be replayed does not stop the others.
 */
static void
gather_window(ReplayCall *call, const ReplayQuery *query, const AuditRecord *records, int count,
			  Gathered *gathered)
{
	ReplayItem *items = palloc0(count * sizeof(ReplayItem));
	MemoryContext old;
	Identity saved;

	for (int i = 0; i < count; i++)
		begin_item(call, &items[i], &records[i]);
	UseOutbox(call, query, &saved);
	ResolveItems(call->outbox, items, count);
	RestoreIdentity(&saved);
	for (int i = 0; i < count; i++)
	{
		if (items[i].status == ITEM_PENDING && !query->allow_redacted &&
			PayloadIsRedacted(items[i].record->payload))
		{
			items[i].status = ITEM_FAILED;
			items[i].error = _(REDACTED_REASON);
		}
	}

	old = MemoryContextSwitchTo(call->context);
	for (int i = 0; i < count; i++)
	{
		if (items[i].status == ITEM_SKIPPED)
			gathered->skipped++;
		else if (items[i].status == ITEM_PASSED_OVER)
			gathered->passed_over++;
		else
			keep_item(gathered, &items[i]);
	}
	note_last(gathered, &records[count - 1]);
	MemoryContextSwitchTo(old);
}

/*
 * Look at records, window by window, until there are enough to attempt or skip,
 * or no more.  Tells whether there are more.
 */
static bool
gather(ReplayCall *call, const ReplayQuery *query, Gathered *gathered)
{
	MemoryContext window =
		AllocSetContextCreate(call->context, "acteon_replay window", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(window);
	AuditScan scan;
	AuditRecord *records;
	int count;
	bool more;

	AuditScanBegin(&scan, &call->audit, query);
	for (;;)
	{
		int wanted = query->max_records - (gathered->count + gathered->skipped);

		CHECK_FOR_INTERRUPTS();
		if (wanted == 0 || (count = AuditScanTake(&scan, wanted, &records)) == 0)
			break;
		gather_window(call, query, records, count, gathered);
		MemoryContextReset(window);
	}
	more = AuditScanHasMore(&scan);
	AuditScanEnd(&scan);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(window);
	return more;
}

/*
 * Enqueue what was gathered and tell what became of it, in the current memory
 * context.
 */
static void
enqueue_gathered(ReplayCall *call, const ReplayQuery *query, Gathered *gathered, BulkResult *result)
{
	Scope *scope = NewScope();
	Failures failures = {0};
	Identity saved;

	result->skipped = gathered->skipped;
	if (call->outbox == NULL)
	{
		count_items(NULL, 0, result, scope, &failures);
		return;
	}
	UseOutbox(call, query, &saved);
	EnqueueItems(call->outbox, gathered->items, gathered->count);
	count_items(gathered->items, gathered->count, result, scope, &failures);
	if (result->replayed + result->failed + result->skipped > 0)
	{
		BatchRow batch = {.reason = query->reason,
						  .query = QueryToJsonb(query),
						  .replayed = result->replayed,
						  .failed = result->failed,
						  .skipped = result->skipped,
						  .passed_over = gathered->passed_over,
						  .scope = scope,
						  .failures = &failures,
						  .matched = -1,
						  .is_complete = true};

		batch.id = result->batch_id = OutboxBatchId(call->outbox);
		EndCall(call, query, &batch);
	}
	else
		CloseOutbox(call->outbox);
	RestoreIdentity(&saved);
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

	memset(result, 0, sizeof(*result));
	CheckReplayQuery(query);
	BeginCall(&call, fcinfo, "acteon_replay_bulk()", query->reason);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	call.context =
		AllocSetContextCreate(caller_context, "acteon_replay bulk", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(call.context);
	gathered.items = palloc(query->max_records * sizeof(ReplayItem));
	if (gather(&call, query, &gathered))
		result->next_cursor = MakeCursor(query, gathered.last_time, gathered.last_id);
	enqueue_gathered(&call, query, &gathered, result);
	SPI_finish();
	MemoryContextSwitchTo(caller_context);
	CloseAuditTable(&call.audit);
}

/*
 * acteon_replay_bulk(namespace text, … ramp boolean)
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
	ReadReplayArguments(&query, fcinfo, false);
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
	ReadReplayQuery(&query, PG_GETARG_JSONB_P(0), false);
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
