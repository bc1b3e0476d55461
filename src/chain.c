/*
 * chain.c
 *		The replays of one action, generation after generation.
 *
 * The ids of an action's replays follow from its own (ids.c), so they are found
 * one by one, from the first generation to the one that is missing.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "chain.h"
#include "ids.h"
#include "installation.h"

/*
 * Whether two texts are the same, byte for byte.
 */
bool
SameText(const text *a, const text *b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		   memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

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
	return true;
}

/*
 * Done with following chains.
 */
void
CloseChains(ChainReader *reader)
{
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
 * Find an action's replay of a generation; its row is then in reader->outbox.
 */
bool
FindInChain(ChainReader *reader, const text *action_id, int generation, Snapshot snapshot)
{
	pg_uuid_t id;

	SetChainId(reader, &id, action_id, generation);
	return FindRow(&reader->outbox, F_UUID_EQ, UUIDPGetDatum(&id), snapshot);
}
