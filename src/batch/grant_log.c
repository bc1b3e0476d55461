/*
 * grant_log.c
 *		The log of changes of grants: who has changed what.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/identity.h"
#include "base/own_table.h"
#include "batch/control_log.h"

PG_FUNCTION_INFO_V1(acteon_grants_logged);

/*
 * Add a row, as an object, to the details of an entry; NULL adds nothing.
 */
static void
add_row(LogDetails *details, const char *name, HeapTuple row, TupleDesc desc)
{
	text *json;

	if (row == NULL)
		return;
	json = DatumGetTextPP(DirectFunctionCall1(row_to_json, heap_copy_tuple_as_datum(row, desc)));
	AddJsonbDetail(details, name,
				   DatumGetJsonbP(
					   DirectFunctionCall1(jsonb_in, CStringGetDatum(text_to_cstring(json)))));
}

/*
 * acteon_grants_logged() → trigger
 *
 * Logs a change of acteon_grants, to be fired after it: with the old and the new row, or,
 * after TRUNCATE, which has none.  Raises e_r_i_e_trigger_protocol_violated if it is not
 * called as a trigger.
 *
 * What a dump restores was logged before, and the entry's number is in the dump, too.  So
 * nothing is logged with check_function_bodies off, as every dump sets it.  The log is thus
 * no proof against who may change grants and wants to hide that; as the owner of the table
 * he could disable the trigger as well.
 */
Datum
acteon_grants_logged(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	LogDetails details;
	Identity saved;
	Oid schema;
	TupleDesc desc;
	HeapTuple before, after;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("acteon_grants_logged() can only be called as a trigger")));
	if (!check_function_bodies)
		PG_RETURN_POINTER(NULL);
	desc = RelationGetDescr(data->tg_relation);
	before = TRIGGER_FIRED_BY_INSERT(data->tg_event) ? NULL : data->tg_trigtuple;
	after = TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
	if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
		after = NULL;
	schema = RelationGetNamespace(data->tg_relation);
	BeginDetails(&details);
	if (TRIGGER_FIRED_FOR_ROW(data->tg_event))
	{
		add_row(&details, "old", before, desc);
		add_row(&details, "new", after, desc);
	}
	else
		AddTextDetail(&details, "statement", "TRUNCATE");
	/* What its owner has planted on the log must not run as the caller. */
	SwitchIdentity(&saved, TableOwner(OwnTable(schema, LOG_TABLE)));
	LogControl(schema, saved.user, "grant", 0, NULL, EndDetails(&details));
	RestoreIdentity(&saved);
	PG_RETURN_POINTER(NULL);
}
