/*
 * replay.c
 *		The replay functions: from a call to a batch in the outbox.
 *
 * Every call goes the same way.  The caller's role is checked, the audit table
 * is opened, records are read, each one's grants and payload are checked, what
 * is left is resolved and enqueued (outbox.c), and the call is written down as
 * a batch (batch.c).  A bulk replay does that window by window, so its memory
 * follows the size of a window without the toasted parts of its rows, and not
 * the number of records.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "action.h"
#include "audit.h"
#include "batch.h"
#include "grants.h"
#include "identity.h"
#include "ids.h"
#include "jsonb_writer.h"
#include "message.h"
#include "outbox.h"
#include "query.h"
#include "settings.h"

/* A call of a replay function. */
typedef struct ReplayCall
{
	Oid			schema;			/* of the extension */
	Oid			caller;
	TimestampTz now;
	Grants	   *grants;
	AuditTable	audit;
	Outbox	   *outbox;			/* NULL until there is something to enqueue */
	Oid			outbox_owner;
} ReplayCall;

/* What a bulk replay has come to. */
typedef struct BulkResult
{
	int64		batch_id;		/* 0: nothing was found */
	int			replayed;
	int			failed;
	int			skipped;
	Jsonb	   *results;
	char	   *next_cursor;	/* NULL: at the end */
} BulkResult;

PG_FUNCTION_INFO_V1(acteon_replay_uuid);
PG_FUNCTION_INFO_V1(acteon_replay_text);
PG_FUNCTION_INFO_V1(acteon_replay_bulk);
PG_FUNCTION_INFO_V1(acteon_replay_bulk_jsonb);

/* ----------------------------------------------------------------
 * What single and bulk replays share
 * ----------------------------------------------------------------
 */

/*
 * Begin a call: check that the server can write and that the caller may replay
 * anything, and open the audit table.
 *
 * The role is checked before all else: a caller needs a grant as admin or
 * operator, whatever it covers; a superuser needs none.
 */
static void
begin_call(ReplayCall *call, FunctionCallInfo fcinfo, const char *function)
{
	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);

	call->schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	call->caller = GetUserId();
	call->now = GetCurrentTimestamp();
	call->outbox = NULL;
	call->grants = LoadGrants(call->caller, call->schema);
	if (!GrantsMayReplay(call->grants))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("insufficient permissions: replay requires admin or operator role"),
				 errdetail("Role \"%s\" has no such grant in acteon_grants.",
						   GetUserNameFromId(call->caller, false)),
				 errhint("The owner of acteon_grants can insert one for this role, or for a role whose rights it inherits.")));
	OpenAuditTable(&call->audit, call->schema);
}

/*
 * Open the outbox, the first time, and act as its owner until
 * RestoreIdentity.
 */
static Outbox *
use_outbox(ReplayCall *call, const ReplayQuery *query, Identity *saved)
{
	if (call->outbox == NULL)
	{
		call->outbox_owner = TableOwner(OwnTable(call->schema, OUTBOX_TABLE));
		call->outbox = OpenOutbox(call->schema, query, call->now);
	}
	SwitchIdentity(saved, call->outbox_owner);
	return call->outbox;
}

/*
 * Finish a call that found something, as the outbox's owner: close the outbox,
 * write the batch down.
 */
static void
end_call(ReplayCall *call, BatchRow *batch)
{
	CloseOutbox(call->outbox);
	batch->requested_by = call->caller;
	batch->created_at = call->now;
	InsertBatch(call->schema, batch);
}

/*
 * Whether a grant of the caller covers a record for replay.  No grant covers a
 * record that lacks one of its columns.
 */
static bool
may_replay(ReplayCall *call, const AuditRecord *record)
{
	GrantTarget target = {
		.tenant = record->tenant,
		.namespace = record->namespace,
		.provider = record->provider,
		.action_type = record->action_type
	};

	if (record->missing != NULL)
		return GrantsEverything(call->grants);
	return GrantsCover(call->grants, GRANT_REPLAY, &target);
}

/*
 * Why a payload that is redacted is not replayed, in one place.
 */
static const char *
redacted_reason(void)
{
	return _("payload is redacted");
}

/* ----------------------------------------------------------------
 * One action
 * ----------------------------------------------------------------
 */

/*
 * Find the record of an action and check that it can be replayed; raises the
 * errors of a single replay, in the order record, grant, payload.
 */
static void
find_replayable(ReplayCall *call, const char *action_id, bool allow_redacted,
				AuditRecord *record)
{
	if (!AuditFindAction(&call->audit, action_id, record))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("no audit record found for action: %s", ClipForMessage(action_id, strlen(action_id))),
				 errhint("The gateway deletes records when they expire, and keeps none of actions it never saw.")));
	if (!may_replay(call, record))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("no grant covers this audit record"),
				 errdetail("No admin or operator grant of role \"%s\" is for its tenant, namespace, provider and action type.",
						   GetUserNameFromId(call->caller, false))));
	if (record->missing != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("audit record of action %s has no %s", ClipForMessage(action_id, strlen(action_id)), record->missing)));
	if (!record->has_payload)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("audit record has no stored payload (privacy mode was enabled)"),
				 errhint("The gateway stores payloads only with store_payload = true; this action has to be dispatched again by its client.")));
	if (!allow_redacted && PayloadIsRedacted(record->payload))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s", redacted_reason()),
				 errdetail("Its replay would send \"%s\" to the provider.", RedactionPlaceholder),
				 errhint("Pass allow_redacted => true to replay it all the same.")));
	if (record->is_intent &&
		!TimestampDifferenceExceeds(record->dispatched_at, call->now, IntentGrace * 1000))
		ereport(WARNING,
				(errmsg("action %s is an intent younger than acteon_replay.intent_grace",
						ClipForMessage(action_id, strlen(action_id))),
				 errdetail("The gateway may still be executing it.")));
}

/*
 * What a batch of one keeps as its query.
 */
static Jsonb *
single_query(const char *action_id, bool allow_redacted)
{
	JsonPair	pairs[2];
	int			count = 0;

	pairs[count++] = (JsonPair) {
		.key = "action_id", .key_len = strlen("action_id"),
		.value = action_id, .value_len = strlen(action_id), .type = JENTRY_ISSTRING
	};
	if (allow_redacted)
		pairs[count++] = (JsonPair) {
			.key = "allow_redacted", .key_len = strlen("allow_redacted"), .type = JENTRY_ISBOOL_TRUE
		};
	return JsonObject(pairs, count);
}

/*
 * Tell of an earlier replay of an action that is replayed again because the
 * caller has named it.
 */
static void
notice_earlier(const char *action_id, const ReplayItem *item)
{
	char		id[UUID_TEXT_LEN];

	if (!item->has_earlier)
		return;
	UuidToText(id, &item->earlier_id);
	ereport(NOTICE,
			(errmsg("action %s was replayed before", ClipForMessage(action_id, strlen(action_id))),
			 errdetail("Its replay %.*s is %s; this one is generation %d.",
					   UUID_TEXT_LEN, id, ActionStateNames[item->earlier_state],
					   item->generation)));
}

/*
 * Put the record of one action into the outbox, as a batch of its own.
 */
static void
enqueue_single(ReplayCall *call, const char *action_id, const char *reason,
			   bool allow_redacted, ReplayItem *item)
{
	ReplayQuery query;
	BatchRow	batch = {0};
	Identity	saved;

	InitReplayQuery(&query);
	query.include_replayed = true;	/* the caller has named it */
	use_outbox(call, &query, &saved);
	ResolveItems(call->outbox, item, 1);
	EnqueueItems(call->outbox, item, 1);
	if (item->status == ITEM_ENQUEUED)
	{
		notice_earlier(action_id, item);
		batch.id = OutboxBatchId(call->outbox);
		batch.reason = reason;
		batch.query = single_query(action_id, allow_redacted);
		batch.replayed = 1;
		batch.scope = NewScope();
		AddToScope(batch.scope, item->record);
		end_call(call, &batch);
	}
	else
		CloseOutbox(call->outbox);
	RestoreIdentity(&saved);
}

/*
 * Replay one action and return (original_action_id, new_action_id, success,
 * error).  success is false only if another session, or the same statement,
 * replayed the action at the same moment; then new_action_id is that replay.
 */
static Datum
replay_single(FunctionCallInfo fcinfo, const char *action_id)
{
	const char *reason = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	bool		allow_redacted = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	ReplayCall	call;
	AuditRecord record;
	ReplayItem	item = {.record = &record};
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	begin_call(&call, fcinfo, "acteon_replay()");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	find_replayable(&call, action_id, allow_redacted, &record);
	enqueue_single(&call, action_id, reason, allow_redacted, &item);
	SPI_finish();
	CloseAuditTable(&call.audit);
	if (item.status == ITEM_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s", item.error)));

	values[0] = CStringGetTextDatum(action_id);
	values[1] = UUIDPGetDatum(&item.action_id);
	values[2] = BoolGetDatum(item.status == ITEM_ENQUEUED);
	nulls[3] = item.status == ITEM_ENQUEUED;
	values[3] = nulls[3] ? (Datum) 0 :
		CStringGetTextDatum(_("action was replayed at the same moment, as new_action_id"));
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

static void
check_action_id_given(bool isnull)
{
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("action_id must not be null")));
}

/*
 * acteon_replay(action_id uuid, reason text, allow_redacted boolean)
 *
 * Replays the action whose id is this UUID in its usual lower-case form.
 * Raises insufficient_privilege, undefined_table, no_data_found,
 * object_not_in_prerequisite_state and invalid_parameter_value (a NULL id).
 */
Datum
acteon_replay_uuid(PG_FUNCTION_ARGS)
{
	char		action_id[UUID_TEXT_LEN + 1] = {0};

	check_action_id_given(PG_ARGISNULL(0));
	UuidToText(action_id, PG_GETARG_UUID_P(0));
	return replay_single(fcinfo, action_id);
}

/*
 * acteon_replay(action_id text, reason text, allow_redacted boolean)
 *
 * The same for an id that may be any string, compared byte for byte.
 */
Datum
acteon_replay_text(PG_FUNCTION_ARGS)
{
	check_action_id_given(PG_ARGISNULL(0));
	return replay_single(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(0)));
}

/* ----------------------------------------------------------------
 * Many actions
 * ----------------------------------------------------------------
 */

/*
 * Make an item of a record: skipped if no grant covers it or there is no
 * payload, failed if a column is NULL that must not be, else pending.
 */
static void
begin_item(ReplayCall *call, ReplayItem *item, const AuditRecord *record)
{
	item->record = record;
	if (!may_replay(call, record) || !record->has_payload)
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
	bool		enqueued = item->status == ITEM_ENQUEUED;
	const text *original = item->record->action_id;
	char		new_id[UUID_TEXT_LEN];
	JsonPair	pairs[4] = {
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
count_items(const ReplayItem *items, int count, BulkResult *result,
			JsonArray *results, Scope *scope)
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
	Outbox	   *outbox;
	Identity	saved;

	for (int i = 0; i < count; i++)
		begin_item(call, &items[i], &records[i]);
	outbox = use_outbox(call, query, &saved);
	ResolveItems(outbox, items, count);
	for (int i = 0; i < count; i++)
	{
		if (items[i].status == ITEM_PENDING && !query->allow_redacted &&
			PayloadIsRedacted(items[i].record->payload))
		{
			items[i].status = ITEM_FAILED;
			items[i].error = redacted_reason();
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
	MemoryContext window_context = AllocSetContextCreate(bulk_context, "acteon_replay window",
														 ALLOCSET_DEFAULT_SIZES);
	AuditScan	scan;
	AuditRecord *records;
	JsonArray	results;
	char	   *cursor = NULL;
	int			count;

	JsonArrayInit(&results);
	AuditScanBegin(&scan, &call->audit, query);
	for (;;)
	{
		int			wanted = query->max_records -
			(result->replayed + result->failed + result->skipped);

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(window_context);
		if (wanted == 0 || (count = AuditScanTake(&scan, wanted, &records)) == 0)
			break;
		/* The outbox, opened in the first window, outlives it. */
		if (call->outbox == NULL)
		{
			Identity	saved;

			MemoryContextSwitchTo(bulk_context);
			use_outbox(call, query, &saved);
			RestoreIdentity(&saved);
			MemoryContextSwitchTo(window_context);
		}
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
	ReplayCall	call;
	Scope	   *scope;
	MemoryContext caller_context = CurrentMemoryContext;
	MemoryContext old;

	memset(result, 0, sizeof(*result));
	CheckReplayQuery(query);
	begin_call(&call, fcinfo, "acteon_replay_bulk()");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	old = MemoryContextSwitchTo(AllocSetContextCreate(caller_context, "acteon_replay bulk",
													  ALLOCSET_DEFAULT_SIZES));
	scope = NewScope();
	replay_windows(&call, query, result, scope);
	if (result->replayed + result->failed + result->skipped > 0)
	{
		BatchRow	batch = {
			.reason = query->reason,
			.query = QueryToJsonb(query),
			.replayed = result->replayed,
			.failed = result->failed,
			.skipped = result->skipped,
			.scope = scope
		};
		Identity	saved;

		use_outbox(&call, query, &saved);
		batch.id = result->batch_id = OutboxBatchId(call.outbox);
		end_call(&call, &batch);
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
	int			arg = 0;

	InitReplayQuery(query);
	for (int i = FILTER_NAMESPACE; i <= FILTER_MATCHED_RULE; i++)
		query->filters[i] = text_argument(fcinfo, arg++);
	query->from = time_argument(fcinfo, arg++);
	query->to = time_argument(fcinfo, arg++);
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_records must not be null"),
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
	BulkResult	result;
	TupleDesc	desc;
	Datum		values[6];
	bool		nulls[6] = {false};

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
	JsonbValue	key;

	key.type = jbvString;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	pushJsonbValue(state, WJB_KEY, &key);
	pushJsonbValue(state, WJB_VALUE, value);
}

static void
push_number(JsonbParseState **state, const char *name, int64 number)
{
	JsonbValue	value;

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
	BulkResult	result;
	JsonbParseState *state = NULL;
	JsonbValue	value;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("replay query must not be null"),
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
