/*
 * record_hash.h
 *		The hash that the gateway writes into a record in its compliance mode.
 */
#ifndef ACTEON_RECORD_HASH_H
#define ACTEON_RECORD_HASH_H

#include "datatype/timestamp.h"

/* What is hashed of a record, and its hash as it is stored; NULL: the column is. */
typedef struct HashedRecord
{
	const text *id;
	const text *action_id;
	const text *namespace;
	const text *tenant;
	const text *provider;
	const text *action_type;
	const text *verdict;
	const text *outcome;
	TimestampTz dispatched_at;
	const text *previous_hash;
	const text *record_hash;
} HashedRecord;

typedef struct RecordHasher RecordHasher;

extern RecordHasher *MakeRecordHasher(void);
extern bool RecordHashFits(RecordHasher *hasher, const HashedRecord *record);

#endif /* ACTEON_RECORD_HASH_H */
