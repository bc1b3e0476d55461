/*
 * row_hash.h
 *		The hash of a row of the outbox.
 */
#ifndef ACTEON_ROW_HASH_H
#define ACTEON_ROW_HASH_H

#include "base/catalog.h"
#include "base/digest.h"
#include "base/table_access.h"

/* First id of the block of ids that an id is in: a block is drawn by one call, for one batch. */
#define BlockOfId(id) ((id) - ((id) -1) % SEGMENT_ACTIONS)
#define SQL_BLOCK_OF_ID(id) "(" id " - (" id " - 1) %% " SQL_SEGMENT_ACTIONS ")"

/* What is hashed of a row, in this order; row_hash.c has the same columns. */
#define ROW_KIND "row"
#define HASHED_COLUMNS \
	"id, batch_id, created_at, action_id, generation, original_action_id, namespace, tenant," \
	" provider, action_type, payload, labels, dedup_key, status, fingerprint, starts_at, ends_at," \
	" expires_at, target"

/* What the hash of a row says of it. */
typedef enum RowTrust
{
	ROW_AS_ENQUEUED,
	ROW_CHANGED,
	ROW_WITHOUT_HASH
} RowTrust;

/* The hash of a row as a bytea. */
typedef struct StoredHash
{
	char bytes[VARHDRSZ + ROW_HASH_BYTES];
} StoredHash;

extern void
StoreHash(Digest *digest, TupleTableSlot *row, OwnColumns columns, StoredHash *stored, uint8 *hash);
extern RowTrust CheckRowHash(Digest *digest, TupleTableSlot *row, OwnColumns columns);
extern void FoldBlock(Digest *digest, uint8 *fold, const uint8 *hashes, int count);

#endif /* ACTEON_ROW_HASH_H */
