/*
 * replay_id.c
 *		Ids of replayed actions.
 *
 * A new id is a UUIDv5 (RFC 9562, section 5.5) of the installation's random
 * namespace and the name "<original action id>/<generation>".  The same replay
 * of the same action therefore has the same id whenever it is made, also after
 * a failover that lost the first one.  The name is unambiguous: what follows
 * its last slash is the generation, or "<generation>.<resend>" where the replay
 * was given a new id since, because the gateway may refuse the one before.
 *
 * Of a replay to another target than production, "@<target>" comes between the generation
 * and the resend.  The name of a target begins with a letter and has no slash, at sign or
 * full stop (target.c), so the names of such replays are none of others.
 */
#include "postgres.h"

#include <uuid/uuid.h>

#include "base/replay_id.h"
#include "base/target.h"

StaticAssertDecl(sizeof(uuid_t) == UUID_LEN, "libuuid and the server disagree about UUIDs");

/*
 * Set *id to the UUIDv5 of "<action id>/<suffix>".
 */
static void
name_id(pg_uuid_t *id, const pg_uuid_t *namespace, const char *action_id, size_t len,
		const char *suffix)
{
	char fixed[128];
	char *name = fixed;
	size_t suffix_len = strlen(suffix);

	if (len + suffix_len > sizeof(fixed))
		name = palloc(len + suffix_len);
	memcpy(name, action_id, len);
	memcpy(name + len, suffix, suffix_len);
	uuid_generate_sha1(id->data, namespace->data, name, len + suffix_len);
	if (name != fixed)
		pfree(name);
}

/*
 * Set *id to the id of the generation-th replay of an action to a target (NULL:
 * production).
 */
void
ReplayId(pg_uuid_t *id, const pg_uuid_t *namespace, const char *action_id, size_t len,
		 const char *target, int generation)
{
	ResendId(id, namespace, action_id, len, target, generation, 0);
}

/*
 * Set *id to the id under which that replay is sent after it was given a new id
 * the given number of times; with 0 it is the id of ReplayId.
 */
void
ResendId(pg_uuid_t *id, const pg_uuid_t *namespace, const char *action_id, size_t len,
		 const char *target, int generation, int resend)
{
	char suffix[32 + TARGET_MAXLEN];
	int end;

	if (target == NULL)
		end = snprintf(suffix, sizeof(suffix), "/%d", generation);
	else
		end = snprintf(suffix, sizeof(suffix), "/%d@%.*s", generation, TARGET_MAXLEN, target);
	if (resend > 0)
		snprintf(suffix + end, sizeof(suffix) - end, ".%d", resend);
	name_id(id, namespace, action_id, len, suffix);
}

/*
 * Write a digest of a text to hex, QUERY_DIGEST_LEN digits and a terminator.
 * It tells two queries apart, on whatever machine; it keeps nothing secret.
 */
void
QueryDigest(char *hex, const char *text, size_t len)
{
	static const uuid_t nil = {0};
	uuid_t digest;

	uuid_generate_sha1(digest, nil, text, len);
	for (int i = 0; i < QUERY_DIGEST_LEN / 2; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

/*
 * Write the usual text form of an id to dst: UUID_TEXT_LEN bytes, no
 * terminator.
 */
void
UuidToText(char *dst, const pg_uuid_t *id)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*dst++ = '-';
		*dst++ = digits[id->data[i] >> 4];
		*dst++ = digits[id->data[i] & 0x0F];
	}
}

/*
 * Read an id in its usual text form, in either case.  Returns false for any
 * other string: action ids need not be UUIDs.
 */
bool
TextToUuid(const char *src, size_t len, pg_uuid_t *id)
{
	char text[UUID_TEXT_LEN + 1];

	if (len != UUID_TEXT_LEN)
		return false;
	memcpy(text, src, len);
	text[len] = '\0';
	return strlen(text) == len && uuid_parse(text, id->data) == 0;
}
