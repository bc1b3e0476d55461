/*
 * find_action.c
 *		Finding the rows of the outbox by the ids of their actions.
 *
 * The ids that replays have used are in a narrow table of their own, with the
 * places of the rows in the outbox.  Its unique index prevents double replays, and
 * its rows stay when those of the outbox are purged: an id that was used once is
 * never given to another replay.
 */
#include "postgres.h"

#include "utils/fmgroids.h"

#include "base/catalog.h"
#include "queue/find_action.h"
#include "queue/outbox_row.h"

/*
 * Open the outbox for finding actions, in the current memory context.
 */
void
OpenActions(ActionFinder *finder, Oid schema)
{
	OpenFinder(&finder->ids, OwnTable(schema, ACTION_TABLE), Anum_action_action_id);
	OpenPartedFinder(&finder->outbox, schema, OUTBOX_TABLE, Anum_outbox_id);
}

/*
 * Keep scans for all searches that follow; see KeepScan.
 */
void
KeepActionScans(ActionFinder *finder, Snapshot snapshot)
{
	KeepScan(&finder->ids, snapshot);
	KeepScan(&finder->outbox, snapshot);
}

/*
 * Done with finding.
 */
void
CloseActions(ActionFinder *finder)
{
	CloseFinder(&finder->outbox);
	CloseFinder(&finder->ids);
}

/*
 * Find the action with an id that a snapshot shows; its row is then in
 * finder->outbox.
 */
ActionFound
FindAction(ActionFinder *finder, const pg_uuid_t *id, Snapshot snapshot)
{
	bool isnull;

	if (!FindRow(&finder->ids, F_UUID_EQ, UUIDPGetDatum(id), snapshot))
		return ACTION_UNUSED;
	if (!FindRow(&finder->outbox, F_INT8EQ,
				 FoundColumn(&finder->ids, Anum_action_outbox_id, &isnull), snapshot) ||
		!OutboxRowIs(finder->outbox.slot, id))
		return ACTION_PURGED;
	return ACTION_FOUND;
}
