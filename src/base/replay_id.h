/*
 * replay_id.h
 *		Ids of replayed actions.
 */
#ifndef ACTEON_REPLAY_ID_H
#define ACTEON_REPLAY_ID_H

#include "utils/uuid.h"

/* Length of a UUID as text, without a terminator. */
#define UUID_TEXT_LEN 36

extern void ReplayId(pg_uuid_t *id, const pg_uuid_t *namespace, const char *action_id, size_t len,
					 const char *target, int generation);
extern void ResendId(pg_uuid_t *id, const pg_uuid_t *namespace, const char *action_id, size_t len,
					 const char *target, int generation, int resend);
extern void QueryDigest(char *hex, const char *text, size_t len);
extern void UuidToText(char *dst, const pg_uuid_t *id);
extern bool TextToUuid(const char *src, size_t len, pg_uuid_t *id);

/* Length of a query digest as text, without a terminator. */
#define QUERY_DIGEST_LEN 16

#endif /* ACTEON_REPLAY_ID_H */
