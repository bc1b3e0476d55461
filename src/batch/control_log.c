/*
 * control_log.c
 *		The log of control operations.
 *
 * Everything that steers a batch or removes actions from the tables writes an
 * entry in its own transaction, so that the log contains only what was
 * committed.
 *
 * The log is append-only.  Entries are inserted without firing triggers
 * (table_access.c), so the trigger that refuses all changes does not prevent
 * them.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/api_key.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/identity.h"
#include "base/jsonb_build.h"
#include "base/numbers.h"
#include "base/table_access.h"
#include "batch/control_log.h"

PG_FUNCTION_INFO_V1(acteon_replay_log_refuse);

/*
 * Begin to build the details of an entry, an object.
 */
void
BeginDetails(LogDetails *details)
{
	details->state = NULL;
	pushJsonbValue(&details->state, WJB_BEGIN_OBJECT, NULL);
}

/*
 * Add a number.
 */
void
AddNumberDetail(LogDetails *details, const char *name, int64 value)
{
	PushNumber(&details->state, name, value);
}

/*
 * Add a numeric, or JSON null for NULL.
 */
void
AddNumericDetail(LogDetails *details, const char *name, Numeric value)
{
	JsonbValue json;

	json.type = value == NULL ? jbvNull : jbvNumeric;
	json.val.numeric = value;
	PushKey(&details->state, name);
	pushJsonbValue(&details->state, WJB_VALUE, &json);
}

/*
 * Add a text; NULL adds nothing.
 */
void
AddTextDetail(LogDetails *details, const char *name, const char *value)
{
	if (value != NULL)
		PushString(&details->state, name, value);
}

/*
 * Add a time, in a form that does not depend on the session's settings; none adds nothing.
 */
void
AddTimeDetail(LogDetails *details, const char *name, const OptionalTime *value)
{
	if (value->given)
		PushTime(&details->state, name, value);
}

/*
 * Add an interval that is not negative, in a form that does not depend on the session's settings.
 */
void
AddIntervalDetail(LogDetails *details, const char *name, Interval *value)
{
	struct pg_itm parts;
	char text[MAXDATELEN + 1];

	if (ActeonIsEndless(value))
		snprintf(text, sizeof(text), "infinity");
	else
	{
		interval2itm(*value, &parts);
		EncodeInterval(&parts, INTSTYLE_POSTGRES, text);
	}
	AddTextDetail(details, name, pstrdup(text));
}

/*
 * Add a jsonb.
 */
void
AddJsonbDetail(LogDetails *details, const char *name, Jsonb *value)
{
	PushJsonb(&details->state, name, value);
}

/*
 * The details that have been built.
 */
Jsonb *
EndDetails(LogDetails *details)
{
	return JsonbValueToJsonb(pushJsonbValue(&details->state, WJB_END_OBJECT, NULL));
}

/*
 * Write an entry: the role that did it, the event, the batch (0: none), the
 * reason (NULL: none) and the details (NULL: none).  Over HTTP the entry has the API key's
 * name, too.
 */
void
LogControl(Oid schema, Oid role, const char *event, int64 batch_id, const char *reason,
		   Jsonb *details)
{
	const char *key = CurrentApiKey();
	TableWriter writer;
	Datum values[Natts_log];
	bool nulls[Natts_log] = {false};

	if (details == NULL)
	{
		LogDetails none;

		BeginDetails(&none);
		details = EndDetails(&none);
	}
	values[Anum_log_id - 1] = Int64GetDatum(NextNumber(schema, LOG_SEQUENCE, LOG_TABLE));
	values[Anum_log_logged_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[Anum_log_event - 1] = CStringGetTextDatum(event);
	values[Anum_log_batch_id - 1] = Int64GetDatum(batch_id);
	nulls[Anum_log_batch_id - 1] = batch_id == 0;
	values[Anum_log_role_name - 1] = RoleName(role);
	values[Anum_log_role_oid - 1] = ObjectIdGetDatum(role);
	values[Anum_log_session_role - 1] = RoleName(GetSessionUserId());
	values[Anum_log_reason - 1] = reason == NULL ? (Datum) 0 : CStringGetTextDatum(reason);
	nulls[Anum_log_reason - 1] = reason == NULL;
	values[Anum_log_details - 1] = JsonbPGetDatum(details);
	nulls[Anum_log_api_key - 1] = key == NULL;
	values[Anum_log_api_key - 1] = key == NULL ? (Datum) 0 : CStringGetTextDatum(key);
	OpenWriter(&writer, OwnTable(schema, LOG_TABLE), false);
	InsertRow(&writer, values, nulls, Natts_log);
	CloseWriter(&writer);
}

/*
 * What an event of a trigger is called in SQL.
 */
static const char *
event_name(TriggerEvent event)
{
	if (TRIGGER_FIRED_BY_UPDATE(event))
		return "UPDATE";
	return TRIGGER_FIRED_BY_DELETE(event) ? "DELETE" : "TRUNCATE";
}

/*
 * acteon_replay_log_refuse() → trigger
 *
 * Refuses the statement that has fired it, for all roles.
 */
Datum
acteon_replay_log_refuse(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("acteon_replay_log_refuse() can only be called as a trigger")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s is refused: table \"%s\" is append-only", event_name(data->tg_event),
					RelationGetRelationName(data->tg_relation)),
			 errdetail("Entries of the log are never changed and never removed."),
			 errhint("To remove entries that are too old to matter, the table's owner can disable "
					 "its trigger for a transaction.")));
}
