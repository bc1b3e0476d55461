/*
 * reached.h
 *		Generations that purged actions had reached.
 */
#ifndef ACTEON_REACHED_H
#define ACTEON_REACHED_H

#include "utils/uuid.h"

#include "base/table_access.h"

/* An open view of them; see OpenReached. */
typedef struct ReachedReader
{
	bool is_empty; /* nothing was ever purged */
	TableFinder finder;
} ReachedReader;

extern void OpenReached(ReachedReader *reader, Oid schema);
extern int
ReachedGeneration(ReachedReader *reader, const pg_uuid_t *first_action_id, Snapshot snapshot);
extern bool IsReachedEmpty(ReachedReader *reader);
extern void CloseReached(ReachedReader *reader);

#endif /* ACTEON_REACHED_H */
