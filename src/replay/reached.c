/*
 * reached.c
 *		Generations that purged actions had reached.
 *
 * The replays of an action are found one after the other, from the first
 * generation to the one that is missing.  Once they are purged, the next replay
 * must not start with the first generation again: its id was used, and the
 * gateway may still remember it.  So a purge keeps a small row for each action,
 * under the id of its first replay, and the chain continues after that
 * generation.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "replay/reached.h"

/*
 * Open the generations for reading, in the current memory context.  Where nothing
 * was ever purged, reading costs nothing.
 */
void
OpenReached(ReachedReader *reader, Oid schema)
{
	OpenFinder(&reader->finder, OwnTable(schema, REACHED_TABLE), Anum_reached_first_action_id);
	reader->is_empty = RelationGetNumberOfBlocks(reader->finder.rel) == 0;
}

/*
 * Whether nothing was purged until now.
 */
bool
IsReachedEmpty(ReachedReader *reader)
{
	if (reader->is_empty)
		reader->is_empty = RelationGetNumberOfBlocks(reader->finder.rel) == 0;
	return reader->is_empty;
}

/*
 * The generation that the purged replays of an action had reached, by the id of its
 * first replay; 0 if none were purged.
 */
int
ReachedGeneration(ReachedReader *reader, const pg_uuid_t *first_action_id, Snapshot snapshot)
{
	int generation;
	bool isnull;

	if (IsReachedEmpty(reader) ||
		!FindRow(&reader->finder, F_UUID_EQ, UUIDPGetDatum(first_action_id), snapshot))
		return 0;
	generation = DatumGetInt32(FoundColumn(&reader->finder, Anum_reached_generation, &isnull));
	/* The next search may be in another subtransaction, which must not let go of this one's buffer. */
	ExecClearTuple(reader->finder.slot);
	return generation;
}

/*
 * Done with reading.
 */
void
CloseReached(ReachedReader *reader)
{
	CloseFinder(&reader->finder);
}
