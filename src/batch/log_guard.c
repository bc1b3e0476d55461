/*
 * log_guard.c
 *		acteon_replay_log is append-only.
 *
 * Entries are written past triggers (table_access.c), so one that refuses everything
 * else does not stand in their way.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(acteon_replay_log_refuse);

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
 * Refuses the statement that has fired it, whoever makes it.
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
