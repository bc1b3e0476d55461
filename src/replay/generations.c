/*
 * generations.c
 *		The replays of one action, generation after generation.
 *
 * The ids of an action's replays follow from its own (replay_id.c), so they are found
 * one by one, from the first generation that was not purged to the one that is
 * missing.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"
#include "utils/fmgroids.h"

#include "base/catalog.h"
#include "base/identity.h"
#include "base/installation.h"
#include "base/replay_id.h"
#include "replay/generations.h"

PG_FUNCTION_INFO_V1(acteon_replay_id);

/*
 * Open the outbox for following chains, in the current memory context.  Returns
 * false, with nothing open, if nothing was ever replayed.
 */
bool
OpenChains(ChainReader *reader, Oid schema)
{
	if (!ReadNamespace(schema, &reader->namespace))
		return false;
	OpenFinder(&reader->outbox, OwnTable(schema, OUTBOX_TABLE), Anum_outbox_action_id);
	OpenReached(&reader->reached, schema);
	return true;
}

/*
 * Done with following chains.
 */
void
CloseChains(ChainReader *reader)
{
	CloseReached(&reader->reached);
	CloseFinder(&reader->outbox);
}

/*
 * Set *id to the id of an action's replay of a generation.
 */
void
SetChainId(const ChainReader *reader, pg_uuid_t *id, const text *action_id, int generation)
{
	ReplayId(id, &reader->namespace, VARDATA_ANY(action_id), VARSIZE_ANY_EXHDR(action_id),
			 generation);
}

/*
 * The first generation of an action that there can be: 1, or what follows the
 * generations that were purged.
 */
int
FirstGeneration(ChainReader *reader, const text *action_id, Snapshot snapshot)
{
	pg_uuid_t id;

	SetChainId(reader, &id, action_id, 1);
	return ReachedGeneration(&reader->reached, &id, snapshot) + 1;
}

/*
 * Find an action's replay of a generation; its row is then in reader->outbox.
 */
bool
FindInChain(ChainReader *reader, const text *action_id, int generation, Snapshot snapshot)
{
	pg_uuid_t id;

	SetChainId(reader, &id, action_id, generation);
	return FindRow(&reader->outbox, F_UUID_EQ, UUIDPGetDatum(&id), snapshot);
}

/*
 * acteon_replay_id(action_id text, generation integer, resend integer) → uuid
 *
 * The id under which a replay goes out; NULL if nothing was ever replayed here.
 * Raises invalid_parameter_value.
 */
Datum
acteon_replay_id(PG_FUNCTION_ARGS)
{
	text *action_id = PG_GETARG_TEXT_PP(0);
	int generation = PG_GETARG_INT32(1);
	int resend = PG_GETARG_INT32(2);
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
	ResendId(id, &namespace, VARDATA_ANY(action_id), VARSIZE_ANY_EXHDR(action_id), generation,
			 resend);
	PG_RETURN_UUID_P(id);
}
