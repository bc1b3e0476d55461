/*
 * action_trace.c
 *		Writing down each transition of an action, for whoever looks for a fault.
 *
 * With acteon_replay.trace_actions a line of the server log, in JSON, says what becomes of
 * the actions of a segment at each change of it, and how an action ends.  The lines of an
 * action stand in the order of the transactions that wrote them, because each of these has
 * locked its segment.  A line is written when the change is made, and names the transaction,
 * of which pg_xact_status() tells whether it was committed.
 *
 * test/model compares such lines with the model of an action's life, ActionReplay.tla, so
 * they have what that has: nothing of the payload, and no times.
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "queue/action_trace.h"

/* The consumer's call that has begun last, and the statement that it belongs to. */
static const char *traced_call = NULL;
static TimestampTz traced_statement = 0;

/*
 * Note which call what follows in this statement belongs to.
 */
void
BeginTracedCall(const char *function)
{
	traced_call = function;
	traced_statement = GetCurrentStatementStartTimestamp();
}

/*
 * Begin a line; what it says is appended by the caller, without the final brace.
 */
static void
begin_line(StringInfo line)
{
	bool known = traced_call != NULL && traced_statement == GetCurrentStatementStartTimestamp();

	initStringInfo(line);
	appendStringInfo(line, "{\"database\": %u, \"xid\": \"" UINT64_FORMAT "\", \"call\": \"%s\"",
					 MyDatabaseId, U64FromFullTransactionId(GetTopFullTransactionId()),
					 known ? traced_call : "");
}

/*
 * Write a line to the server log and nowhere else.
 */
static void
end_line(StringInfo line)
{
	appendStringInfoChar(line, '}');
	ereport(LOG_SERVER_ONLY, (errmsg_internal("acteon_replay action: %s", line->data),
							  errhidestmt(true), errhidecontext(true)));
	pfree(line->data);
}

/*
 * A value of JSON that is true or false.
 */
static const char *
bool_word(bool value)
{
	return value ? "true" : "false";
}

/*
 * Append the id of an action.
 */
static void
append_action_id(StringInfo line, const pg_uuid_t *action_id)
{
	appendStringInfo(line, ", \"action_id\": \"%s\"",
					 DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(action_id))));
}

/*
 * Say that an action is enqueued: of which action it is a replay, and which one.
 */
void
TraceEnqueued(int64 outbox_id, int64 batch_id, const text *original, const char *target,
			  int generation, const pg_uuid_t *action_id)
{
	StringInfoData line;

	if (!TraceActions)
		return;
	begin_line(&line);
	appendStringInfo(&line,
					 ", \"event\": \"enqueued\", \"id\": " INT64_FORMAT ", \"batch\": " INT64_FORMAT
					 ", \"generation\": %d, \"target\": \"%s\"",
					 outbox_id, batch_id, generation, target == NULL ? "" : target);
	append_action_id(&line, action_id);
	appendStringInfoString(&line, ", \"original\": ");
	escape_json(&line, text_to_cstring(original));
	end_line(&line);
}

/*
 * Say that an action is handed out with a lease, and the id that it is to be sent under.
 */
void
TraceHandedOut(int64 outbox_id, const Segment *lease, const pg_uuid_t *action_id)
{
	StringInfoData line;

	if (!TraceActions)
		return;
	begin_line(&line);
	appendStringInfo(&line,
					 ", \"event\": \"handed out\", \"id\": " INT64_FORMAT
					 ", \"lease_token\": " INT64_FORMAT,
					 outbox_id, lease->lease_token);
	append_action_id(&line, action_id);
	end_line(&line);
}

/*
 * Say what a segment is from now on.
 */
void
TraceSegment(const Segment *segment)
{
	StringInfoData line;

	if (!TraceActions)
		return;
	begin_line(&line);
	appendStringInfo(&line,
					 ", \"event\": \"segment\", \"first_id\": " INT64_FORMAT
					 ", \"last_id\": " INT64_FORMAT
					 ", \"attempt\": %d, \"resend\": %d, \"lease_token\": " INT64_FORMAT
					 ", \"doubt\": %s"
					 ", \"held\": %s, \"refused\": %s, \"unproven\": %s",
					 segment->first_id, segment->last_id, segment->attempt, segment->resend,
					 segment->lease_token, bool_word(segment->doubt_since != 0),
					 bool_word(segment->held != NULL), bool_word(segment->id_refused),
					 bool_word(segment->unproven));
	end_line(&line);
}

/*
 * Say how an action has ended, with which effect if it was delivered.
 */
void
TraceDelivery(const Delivery *delivery, Effect effect)
{
	static const char *const known_by[] = {[KNOWN_BY_ANSWER] = "answer",
										   [KNOWN_BY_RECORD] = KNOWN_BY_RECORD_NAME,
										   [KNOWN_BY_PERSON] = KNOWN_BY_PERSON_NAME};
	StringInfoData line;

	if (!TraceActions)
		return;
	begin_line(&line);
	appendStringInfo(&line,
					 ", \"event\": \"delivery\", \"id\": " INT64_FORMAT
					 ", \"state\": \"%s\", \"effect\": \"%s\", \"resend\": %d, \"unproven\": %s"
					 ", \"known_by\": \"%s\"",
					 delivery->outbox_id, ActionStateNames[delivery->state],
					 delivery->state == ACTION_DELIVERED ? EffectNames[effect] : "",
					 delivery->resend, bool_word(delivery->unproven), known_by[delivery->known_by]);
	end_line(&line);
}

/*
 * Say that what waited is in doubt from now on, because the newest commits may be lost.
 */
void
TraceFailover(void)
{
	StringInfoData line;

	if (!TraceActions)
		return;
	begin_line(&line);
	appendStringInfoString(&line, ", \"event\": \"failover\"");
	end_line(&line);
}
