/*
 * keys_ahead.h
 *		Keys of records that are read ahead of their pages.
 */
#ifndef ACTEON_KEYS_AHEAD_H
#define ACTEON_KEYS_AHEAD_H

#include "audit/audit_sql.h"

/* The keys that a call has read ahead; see MakeKeysAhead. */
typedef struct KeysAhead KeysAhead;

extern KeysAhead *MakeKeysAhead(MemoryContext parent);
extern bool UseKeysAhead(KeysAhead *ahead, const AuditTable *table, const ReplayQuery *query);
extern bool TakeKeysAhead(KeysAhead *ahead, const AuditTable *table, const ReplayQuery *query,
						  int64 want, NamedRecords *named);
extern void NotePageTime(KeysAhead *ahead, TimestampTz time);

#endif /* ACTEON_KEYS_AHEAD_H */
