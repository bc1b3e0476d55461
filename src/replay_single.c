/*
 * replay_single.c
 *		acteon_replay: one action, which the caller has named.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "action.h"
#include "ids.h"
#include "jsonb_writer.h"
#include "message.h"
#include "query.h"
#include "replay.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(acteon_replay_uuid);
PG_FUNCTION_INFO_V1(acteon_replay_text);

/*
 * Find the record of an action and check that it can be replayed; raises the
 * errors of a single replay, in the order record, grant, payload.
 */
static void
find_replayable(ReplayCall *call, const char *action_id, bool allow_redacted, AuditRecord *record)
{
	if (!AuditFindAction(&call->audit, action_id, record))
		ereport(
			ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("no audit record found for action: %s",
					ClipForMessage(action_id, strlen(action_id))),
			 errhint(
				 "The gateway deletes records when they expire, and keeps none of actions it never saw.")));
	if (!MayReplay(call, record))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("no grant covers this audit record"),
			 errdetail(
				 "No admin or operator grant of role \"%s\" is for its tenant, namespace, provider and action type.",
				 GetUserNameFromId(call->caller, false))));
	if (record->missing != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("audit record of action %s has no %s",
							   ClipForMessage(action_id, strlen(action_id)), record->missing)));
	if (!record->has_payload)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("audit record has no stored payload (privacy mode was enabled)"),
			 errhint(
				 "The gateway stores payloads only with store_payload = true; this action has to be dispatched again by its client.")));
	if (!allow_redacted && PayloadIsRedacted(record->payload))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s", _(REDACTED_REASON)),
				 errdetail("Its replay would send \"%s\" to the provider.", RedactionPlaceholder),
				 errhint("Pass allow_redacted => true to replay it all the same.")));
	if (record->is_intent &&
		!TimestampDifferenceExceeds(record->dispatched_at, call->now, IntentGrace * 1000))
		ereport(WARNING, (errmsg("action %s is an intent younger than acteon_replay.intent_grace",
								 ClipForMessage(action_id, strlen(action_id))),
						  errdetail("The gateway may still be executing it.")));
}

/*
 * What a batch of one keeps as its query.
 */
static Jsonb *
single_query(const char *action_id, bool allow_redacted)
{
	JsonPair pairs[2];
	int count = 0;

	pairs[count++] = (JsonPair){.key = "action_id",
								.key_len = strlen("action_id"),
								.value = action_id,
								.value_len = strlen(action_id),
								.type = JENTRY_ISSTRING};
	if (allow_redacted)
		pairs[count++] = (JsonPair){.key = "allow_redacted",
									.key_len = strlen("allow_redacted"),
									.type = JENTRY_ISBOOL_TRUE};
	return JsonObject(pairs, count);
}

/*
 * Tell of an earlier replay of an action that is replayed again because the
 * caller has named it.
 */
static void
notice_earlier(const char *action_id, const ReplayItem *item)
{
	char id[UUID_TEXT_LEN];

	if (!item->has_earlier)
		return;
	UuidToText(id, &item->earlier_id);
	ereport(NOTICE,
			(errmsg("action %s was replayed before", ClipForMessage(action_id, strlen(action_id))),
			 errdetail("Its replay %.*s is %s; this one is generation %d.", UUID_TEXT_LEN, id,
					   ActionStateNames[item->earlier_state], item->generation)));
}

/*
 * Put the record of one action into the outbox, as a batch of its own.
 */
static void
enqueue_single(ReplayCall *call, const char *action_id, const char *reason, bool allow_redacted,
			   ReplayItem *item)
{
	ReplayQuery query;
	BatchRow batch = {0};
	Failures failures = {0};
	Identity saved;

	InitReplayQuery(&query, false);
	query.include_replayed = true; /* the caller has named it */
	UseOutbox(call, &query, &saved);
	ResolveItems(call->outbox, item, 1);
	EnqueueItems(call->outbox, item, 1);
	if (item->status == ITEM_ENQUEUED)
	{
		notice_earlier(action_id, item);
		batch.id = OutboxBatchId(call->outbox);
		batch.reason = reason;
		batch.query = single_query(action_id, allow_redacted);
		batch.replayed = 1;
		batch.failures = &failures;
		batch.matched = -1;
		batch.is_complete = true;
		batch.scope = NewScope();
		AddToScope(batch.scope, item->record);
		EndCall(call, &query, &batch);
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
	bool allow_redacted = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	ReplayCall call;
	AuditRecord record;
	ReplayItem item = {.record = &record};
	TupleDesc desc;
	Datum values[4];
	bool nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	BeginCall(&call, fcinfo, "acteon_replay()", reason);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	call.context = CurrentMemoryContext; /* goes with the connection */
	find_replayable(&call, action_id, allow_redacted, &record);
	enqueue_single(&call, action_id, reason, allow_redacted, &item);
	SPI_finish();
	CloseAuditTable(&call.audit);
	if (item.status == ITEM_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("%s", item.error)));

	values[0] = CStringGetTextDatum(action_id);
	values[1] = UUIDPGetDatum(&item.action_id);
	values[2] = BoolGetDatum(item.status == ITEM_ENQUEUED);
	nulls[3] = item.status == ITEM_ENQUEUED;
	values[3] =
		nulls[3]
			? (Datum) 0
			: CStringGetTextDatum(_("action was replayed at the same moment, as new_action_id"));
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

static void
check_action_id_given(bool isnull)
{
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("action_id must not be null")));
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
	char action_id[UUID_TEXT_LEN + 1] = {0};

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
