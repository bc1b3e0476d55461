/*
 * chain_row.h
 *		What a record's place in the chain and its hash are made of.
 */
#ifndef ACTEON_CHAIN_ROW_H
#define ACTEON_CHAIN_ROW_H

#include "access/htup.h"
#include "access/tupdesc.h"

#include "audit/audit_table.h"
#include "audit/record_hash.h"
#include "base/optional_time.h"

/* The columns of "a" that ReadChainRow reads, which come first. */
#define CHAIN_COLUMNS \
	"a.id, a.action_id, a.namespace, a.tenant, a.provider, a.action_type, a.verdict, a.outcome," \
	" a.previous_hash, a.record_hash, a.dispatched_at, a.sequence_number"
#define NUM_CHAIN_COLUMNS 12

/* A row; its texts are those of the tuple, or allocated in the current memory context. */
typedef struct ChainRow
{
	HashedRecord record;
	OptionalTime dispatched_at;
	bool has_number;
	int64 number;
} ChainRow;

extern bool HasChain(const AuditTable *table);
extern bool HasChainIndex(const AuditTable *table);
extern void CheckHasChain(const AuditTable *table);
extern void ReadChainRow(ChainRow *row, HeapTuple tuple, TupleDesc desc);

#endif /* ACTEON_CHAIN_ROW_H */
