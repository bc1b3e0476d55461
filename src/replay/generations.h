/*
 * generations.h
 *		The replays of one action, generation after generation.
 */
#ifndef ACTEON_GENERATIONS_H
#define ACTEON_GENERATIONS_H

#include "utils/uuid.h"

#include "base/table_access.h"
#include "replay/reached.h"

/* An open view of chains; see OpenChains. */
typedef struct ChainReader
{
	pg_uuid_t namespace;
	TableFinder outbox;
	ReachedReader reached;
} ChainReader;

extern bool OpenChains(ChainReader *reader, Oid schema);
extern void CloseChains(ChainReader *reader);
extern void
SetChainId(const ChainReader *reader, pg_uuid_t *id, const text *action_id, int generation);
extern int FirstGeneration(ChainReader *reader, const text *action_id, Snapshot snapshot);
extern bool
FindInChain(ChainReader *reader, const text *action_id, int generation, Snapshot snapshot);

#endif /* ACTEON_GENERATIONS_H */
