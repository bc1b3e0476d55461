/*
 * generations.c
 *		The replays of one action, generation after generation.
 *
 * The ids of an action's replays follow from its own (replay_id.c), so they are found
 * one by one, from the first generation to the one that is missing.  Those that were
 * purged are passed over; their ids stay used (find_action.c).
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/identity.h"
#include "base/installation.h"
#include "base/replay_id.h"
#include "base/target.h"
#include "replay/generations.h"

PG_FUNCTION_INFO_V1(acteon_replay_id);

/*
 * Open the outbox for following chains of replays to production, unless the caller sets
 * another target, in the current memory context.  Returns false, with nothing open, if
 * nothing was ever replayed.
 */
bool
OpenChains(ChainReader *reader, Oid schema)
{
	if (!ReadNamespace(schema, &reader->namespace))
		return false;
	reader->target = NULL;
	OpenActions(&reader->actions, schema);
	return true;
}

/*
 * Done with following chains.
 */
void
CloseChains(ChainReader *reader)
{
	CloseActions(&reader->actions);
}

/*
 * Set *id to the id of an action's replay of a generation.
 */
void
SetChainId(const ChainReader *reader, pg_uuid_t *id, const text *action_id, int generation)
{
	ReplayId(id, &reader->namespace, VARDATA_ANY(action_id), VARSIZE_ANY_EXHDR(action_id),
			 reader->target, generation);
}

/*
 * Find an action's next replay after a generation, passing those over that were
 * purged.  Returns its generation, and its row is then in reader->actions; 0 if there
 * is none.
 */
int
NextInChain(ChainReader *reader, const text *action_id, int generation, Snapshot snapshot)
{
	ActionFound found;
	pg_uuid_t id;

	do
	{
		CHECK_FOR_INTERRUPTS();
		SetChainId(reader, &id, action_id, ++generation);
		found = FindAction(&reader->actions, &id, snapshot);
	} while (found == ACTION_PURGED);
	return found == ACTION_FOUND ? generation : 0;
}

/*
 * acteon_replay_id(action_id text, generation integer, resend integer, target text)
 * → uuid
 *
 * The id under which a replay to a target goes out; NULL if nothing was ever replayed here.
 * Raises invalid_parameter_value.
 */
Datum
acteon_replay_id(PG_FUNCTION_ARGS)
{
	text *action_id = PG_GETARG_TEXT_PP(0);
	int generation = PG_GETARG_INT32(1);
	int resend = PG_GETARG_INT32(2);
	const char *target = CheckTarget(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	Oid schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));
	pg_uuid_t namespace;
	Identity caller;
	bool found;

	if (generation < 1 || resend < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("generation must be at least 1, and resend at least 0"),
						errhint("The first replay of an action has generation 1 and resend 0.")));
	SwitchIdentity(&caller, TableOwner(OwnTable(schema, INSTALLATION_TABLE)));
	found = ReadNamespace(schema, &namespace);
	RestoreIdentity(&caller);
	if (!found)
		PG_RETURN_NULL();
	ResendId(id, &namespace, VARDATA_ANY(action_id), VARSIZE_ANY_EXHDR(action_id), target,
			 generation, resend);
	PG_RETURN_UUID_P(id);
}
