/*
 * api_keys.h
 *		API keys of the HTTP server.
 */
#ifndef ACTEON_API_KEYS_H
#define ACTEON_API_KEYS_H

#include "datatype/timestamp.h"

/* When a key was used. */
typedef struct KeyUse
{
	int64 key_id;
	TimestampTz used_at;
} KeyUse;

extern void NoteKeyUses(Oid schema, KeyUse *uses, int count);

#endif /* ACTEON_API_KEYS_H */
