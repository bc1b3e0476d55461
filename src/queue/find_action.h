/*
 * find_action.h
 *		Finding the rows of the outbox by the ids of their actions.
 */
#ifndef ACTEON_FIND_ACTION_H
#define ACTEON_FIND_ACTION_H

#include "utils/uuid.h"

#include "base/table_access.h"

/* What there is of an action id. */
typedef enum ActionFound
{
	ACTION_UNUSED, /* no replay has this id */
	ACTION_PURGED, /* one had it, and was purged */
	ACTION_FOUND   /* its row was found */
} ActionFound;

/* An open view of the outbox; see OpenActions. */
typedef struct ActionFinder
{
	TableFinder ids;
	TableFinder outbox; /* has the row that was found last */
} ActionFinder;

extern void OpenActions(ActionFinder *finder, Oid schema);
extern void KeepActionScans(ActionFinder *finder, Snapshot snapshot);
extern void CloseActions(ActionFinder *finder);
extern ActionFound FindAction(ActionFinder *finder, const pg_uuid_t *id, Snapshot snapshot);

#endif /* ACTEON_FIND_ACTION_H */
