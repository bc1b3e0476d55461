/*
 * replay_single.c
 *		acteon_replay: one action, which the caller has named.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "audit/audit_scan.h"
#include "audit/audit_value.h"
#include "base/compat.h"
#include "base/error_reason.h"
#include "base/message.h"
#include "base/result.h"
#include "base/settings.h"
#include "base/replay_id.h"
#include "batch/approval.h"
#include "query/query.h"
#include "replay/asked.h"
#include "replay/chain_link.h"
#include "replay/earlier_replays.h"
#include "replay/enqueue.h"
#include "replay/expiry.h"
#include "replay/replay_call.h"

PG_FUNCTION_INFO_V1(acteon_replay_uuid);
PG_FUNCTION_INFO_V1(acteon_replay_text);

/*
 * The detail of an action that has expired.
 */
static int
expired_detail(const ReplayQuery *query, const AuditRecord *record)
{
	OptionalTime expiry = RecordExpiry(query, record);

	return errdetail("It was of use until %s.", timestamptz_to_str(expiry.time));
}

/*
 * Raise the error of an action that is not replayed.
 */
ACTEON_NORETURN static void
report_reason(const ReplayCall *call, const ReplayQuery *query, const AuditRecord *record,
			  Reason reason)
{
	const char *text = ReasonText(reason, record, query);

	if (reason == REASON_NO_GRANT)
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason_name(ReasonName(reason)),
			 errmsg("%s", text),
			 query->provider_override == NULL
				 ? errdetail(
					   "No admin or operator grant of role \"%s\" covers its tenant, namespace, provider and action type.",
					   GetUserNameFromId(call->caller, false))
				 : errdetail(
					   "Role \"%s\" needs an admin or operator grant for its tenant, namespace and action type with its own provider, and one with provider \"%s\".",
					   GetUserNameFromId(call->caller, false),
					   ClipForMessage(query->provider_override,
									  strlen(query->provider_override)))));
	if (reason == REASON_NO_PATCH_GRANT)
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason_name(ReasonName(reason)),
			 errmsg("%s", text),
			 errdetail("Role \"%s\" needs an admin grant for it, or an operator's with may_patch.",
					   GetUserNameFromId(call->caller, false)),
			 errhint("The owner of acteon_grants can set may_patch.")));
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason_name(ReasonName(reason)),
		 errmsg("%s", text),
		 reason == REASON_REDACTED
			 ? errdetail("Its replay would send \"%s\" to the provider.", RedactionPlaceholder)
			 : 0,
		 reason == REASON_ATTACHMENTS
			 ? errdetail("The audit table records that there were some, but does not store them.")
			 : 0,
		 reason == REASON_MAYBE_ATTACHMENTS
			 ? errdetail("An intent does not show whether its action had any.")
			 : 0,
		 reason == REASON_UNPROVEN
			 ? errdetail("Its action may have been executed, although its outcome is missing.")
			 : 0,
		 reason == REASON_UNPROVEN ? errhint("Pass allow_unproven => true to replay it.") : 0,
		 reason == REASON_NO_PAYLOAD
			 ? errhint(
				   "The gateway stores payloads only with store_payload = true; this action has to be dispatched again by its client.")
			 : 0,
		 reason == REASON_REDACTED ? errhint("Pass allow_redacted => true to replay it anyway.")
								   : 0,
		 reason == REASON_ATTACHMENTS || reason == REASON_MAYBE_ATTACHMENTS
			 ? errhint("Pass allow_partial => true to replay it without them.")
			 : 0,
		 reason == REASON_NO_HASH
			 ? errdetail("It was written outside the gateway's compliance mode, or its hash was "
						 "removed.")
			 : 0,
		 reason == REASON_LINK_BROKEN
			 ? errdetail("That is missing, or has another hash than the record names.")
			 : 0,
		 reason == REASON_HASH_MISMATCH || reason == REASON_LINK_BROKEN
			 ? errhint("acteon_audit_verify shows where the chain does not hold.")
			 : 0,
		 reason == REASON_EXPIRED ? expired_detail(query, record) : 0,
		 reason == REASON_EXPIRED
			 ? IsTooOld(query, record)
				   ? errhint(
						 "Pass a longer expire_after, or leave it out, to replay it nevertheless.")
				   : errhint("Pass allow_ended => true to replay it nevertheless.")
			 : 0));
}

/*
 * Find the record of an action: the newest one in the query's range of times, or that
 * of its beginning if that is of a step or of the end of a chain.  The beginning may
 * lie before the range.  Raises the error of an action that has no records.
 */
static void
find_record(ReplayCall *call, const ReplayQuery *query, const char *action_id, AuditRecord *record)
{
	const OptionalTime any = {false};
	AuditRecord origin;

	if (!AuditFindAction(&call->audit, action_id, NULL, &query->from, &query->to, record))
		ereport(
			ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND), errreason(CODE_NO_RECORD),
			 errmsg("no audit record found for action: %s",
					ClipForMessage(action_id, strlen(action_id))),
			 query->from.given || query->to.given
				 ? errhint("It was looked for between from_time and to_time only.")
				 : errhint(
					   "The gateway deletes records when they expire, and keeps none of actions that it never received.")));
	if (record->missing == NULL && IsChainPart(record) &&
		AuditFindAction(&call->audit, action_id, CHAIN_ORIGIN_OUTCOME, &any, &query->to, &origin))
		*record = origin;
}

/*
 * Whether an intent is younger than the gateway needs to execute it, measured against
 * the newest record; at the ends of time it is not measured.
 */
static bool
is_young(const AuditTable *table, TimestampTz dispatched_at)
{
	TimestampTz newest = AuditNewest(table);

	if (TIMESTAMP_IS_NOBEGIN(dispatched_at))
		return false;
	return TIMESTAMP_IS_NOEND(dispatched_at) || TIMESTAMP_NOT_FINITE(newest) ||
		   !TimestampDifferenceExceeds(dispatched_at, newest, IntentGrace * 1000);
}

/*
 * Refuse an intent if its missing outcome proves nothing, and warn about one
 * that the gateway may still be executing.
 */
static void
check_intent(ReplayCall *call, const char *action_id, const AuditRecord *record)
{
	if (!AuditTableIsLive(&call->audit))
		ReportAuditTellsNothing(&call->audit);
	if (is_young(&call->audit, record->dispatched_at))
		ereport(WARNING, (errmsg("action %s is an intent younger than acteon_replay.intent_grace",
								 ClipForMessage(action_id, strlen(action_id))),
						  errdetail("The gateway may still be executing it.")));
}

/*
 * Find the record of an action and check that it can be replayed; raises the
 * errors of a single replay, in the order record, grant, payload.  The limits
 * that end loops do not apply, and it may have taken effect: the caller has named
 * the action, and is warned.
 */
static void
find_replayable(ReplayCall *call, const ReplayQuery *query, const char *action_id,
				AuditRecord *record)
{
	Judge judge;
	Reason reason;
	PayloadKind payload;
	Effect effect;

	find_record(call, query, action_id, record);
	InitJudge(&judge, call->schema, call->grants, query);
	reason = JudgeRecord(&judge, record, &effect);
	if (reason == REASON_NONE)
		reason = JudgeContents(&judge, record, &payload);
	CloseJudge(&judge);
	if (reason == REASON_NONE && query->requires_chain)
		reason = ChainLinkReason(&call->audit, record);
	if (reason != REASON_NONE)
		report_reason(call, query, record, reason);
	if (record->is_intent)
		check_intent(call, action_id, record);
	else if (TookEffect(record))
		ereport(WARNING, (errmsg("action %s took effect, or will, and is replayed anyway",
								 ClipForMessage(action_id, strlen(action_id))),
						  errdetail("Its latest record, of %s, has outcome %s.",
									timestamptz_to_str(record->dispatched_at),
									text_to_cstring(record->outcome))));
}

/*
 * Warn that an action is replayed again although an earlier replay of it took effect.
 */
static void
warn_effective(const char *action_id, const ReplayItem *item)
{
	char id[UUID_TEXT_LEN];

	UuidToText(id, &item->effective_id);
	ereport(WARNING, (errmsg("action %s took effect, or will, and is replayed anyway",
							 ClipForMessage(action_id, strlen(action_id))),
					  errdetail("Its replay %.*s was delivered at %s; this one is generation %d.",
								UUID_TEXT_LEN, id, timestamptz_to_str(item->effective_at.time),
								item->generation)));
}

/*
 * Tell about an earlier replay of an action that is replayed again because the caller has
 * named it: a WARNING about the latest one that took effect, or will, and a NOTICE about
 * the latest one if that is another.
 */
static void
tell_earlier(const char *action_id, const ReplayItem *item)
{
	char id[UUID_TEXT_LEN];

	if (item->effective_at.given)
		warn_effective(action_id, item);
	if (!item->has_earlier ||
		(item->effective_at.given &&
		 memcmp(&item->effective_id, &item->earlier_id, sizeof(pg_uuid_t)) == 0))
		return;
	UuidToText(id, &item->earlier_id);
	ereport(NOTICE,
			(errmsg("action %s was replayed before", ClipForMessage(action_id, strlen(action_id))),
			 errdetail("Its replay %.*s is %s; this one is generation %d.", UUID_TEXT_LEN, id,
					   item->earlier_state == ACTION_IN_DOUBT
						   ? "in doubt"
						   : ActionStateNames[item->earlier_state],
					   item->generation)));
}

/*
 * Put the record of one action into the outbox, as a batch of its own.
 */
static void
enqueue_single(ReplayCall *call, const ReplayQuery *query, const char *action_id, ReplayItem *item)
{
	BatchRow batch = {0};
	Failures failures = {0};
	Identity saved;

	UseOutbox(call, query, &saved);
	ResolveItems(call->outbox, item, 1);
	EnqueueItems(call->outbox, item, 1);
	if (item->status == ITEM_ENQUEUED)
	{
		tell_earlier(action_id, item);
		batch.id = OutboxBatchId(call->outbox);
		batch.reason = query->reason;
		batch.query = SingleQueryToJsonb(query, action_id);
		batch.replayed = 1;
		batch.failures = &failures;
		batch.matched = -1;
		batch.is_complete = true;
		batch.scope = NewScope(query->provider_override);
		(void) AddToScope(batch.scope, item->record);
		EndCall(call, query, &batch);
	}
	else
		CloseOutbox(call->outbox);
	RestoreIdentity(&saved);
	if (item->status == ITEM_FAILED)
		report_reason(call, query, item->record, item->reason);
}

/*
 * Read the arguments behind the action's id.
 */
static void
read_arguments(ReplayQuery *query, FunctionCallInfo fcinfo)
{
	ReadSingleArguments(query, fcinfo);
	query->include_replayed = true; /* the caller has named it */
	query->allow_effective = true;
	CheckReplayQuery(query);
}

/*
 * Replay one action and return (original_action_id, new_action_id, success,
 * error).  success is false only if another session, or the same statement,
 * replayed the action at the same moment; then new_action_id is that replay.
 */
static Datum
replay_single(FunctionCallInfo fcinfo, const char *action_id)
{
	ReplayQuery query;
	ReplayCall call;
	AuditRecord record;
	ReplayItem item = {.record = &record};
	TupleDesc desc;
	Datum values[4];
	bool nulls[4] = {false};

	desc = ResultRowType(fcinfo);
	read_arguments(&query, fcinfo);
	BeginCall(&call, fcinfo, "acteon_replay()", query.reason);
	RefuseWithoutApproval(call.schema, call.caller, 1);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	call.context = CurrentMemoryContext; /* goes with the connection */
	CheckMayPatch(&call, &query);
	find_replayable(&call, &query, action_id, &record);
	enqueue_single(&call, &query, action_id, &item);
	SPI_finish();
	CloseAuditTable(&call.audit);

	values[0] = CStringGetTextDatum(action_id);
	values[1] = UUIDPGetDatum(&item.action_id);
	values[2] = BoolGetDatum(item.status == ITEM_ENQUEUED);
	nulls[3] = item.status == ITEM_ENQUEUED;
	values[3] =
		nulls[3] ? (Datum) 0 : CStringGetTextDatum(ReasonText(REASON_SAME_MOMENT, &record, &query));
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

static void
check_action_id_given(bool isnull)
{
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("action_id must not be null")));
}

/*
 * acteon_replay(action_id uuid, reason text, allow_redacted boolean,
 * allow_partial boolean, dedup text, provider_override text,
 * allow_unproven boolean, on_doubt text, from_time timestamptz,
 * to_time timestamptz)
 *
 * Replays the action whose id is this UUID in its usual lower-case form.
 * Raises insufficient_privilege, undefined_table, no_data_found,
 * object_not_in_prerequisite_state and invalid_parameter_value.
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
 * acteon_replay(action_id text, …)
 *
 * The same for an id that may be any string, compared byte for byte.
 */
Datum
acteon_replay_text(PG_FUNCTION_ARGS)
{
	check_action_id_given(PG_ARGISNULL(0));
	return replay_single(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(0)));
}
