/*
 * generations.h
 *		The replays of one action, generation after generation.
 */
#ifndef ACTEON_GENERATIONS_H
#define ACTEON_GENERATIONS_H

#include "utils/uuid.h"

#include "queue/find_action.h"

/* An open view of chains; see OpenChains. */
typedef struct ChainReader
{
	pg_uuid_t namespace;
	const char *target; /* of the replays to follow; NULL: production */
	ActionFinder actions;
} ChainReader;

extern bool OpenChains(ChainReader *reader, Oid schema);
extern void CloseChains(ChainReader *reader);
extern void
SetChainId(const ChainReader *reader, pg_uuid_t *id, const text *action_id, int generation);
extern int
NextInChain(ChainReader *reader, const text *action_id, int generation, Snapshot snapshot);

#endif /* ACTEON_GENERATIONS_H */
