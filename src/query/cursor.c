/*
 * cursor.c
 *		The text of a cursor.
 *
 * A cursor names the last record that was looked at and the query that looked:
 * "v1.<digest of the query>.<dispatched_at>.<id>", the time in microseconds since 2000-01-01;
 * "+<number>" behind the time, if several records of this time and id were looked at.
 */
#include "postgres.h"

#include "common/string.h"

#include "base/replay_id.h"
#include "query/cursor.h"

#define CURSOR_VERSION "v1."

/*
 * Make the text of the cursor of a query, of which this is the digest, at a place.
 */
char *
CursorText(const char *digest, const ReplayCursor *place)
{
	char alike[16] = "";

	if (place->alike > 1)
		snprintf(alike, sizeof(alike), "+%d", place->alike);
	return psprintf(CURSOR_VERSION "%s." INT64_FORMAT "%s.%s", digest, place->dispatched_at, alike,
					place->id);
}

/*
 * Where the digest stands in a text, QUERY_DIGEST_LEN bytes with a dot behind them; NULL if the
 * text is no cursor.
 */
const char *
CursorDigest(const char *text)
{
	const char *digest = text + strlen(CURSOR_VERSION);

	if (strncmp(text, CURSOR_VERSION, strlen(CURSOR_VERSION)) != 0 ||
		strspn(digest, "0123456789abcdef") != QUERY_DIGEST_LEN || digest[QUERY_DIGEST_LEN] != '.')
		return NULL;
	return digest;
}

/*
 * Read the place behind the digest.  Its id is the rest of the text, which must remain.
 * Returns false if that is no place.
 */
bool
CursorPlace(const char *digest, ReplayCursor *place)
{
	const char *at = digest + QUERY_DIGEST_LEN + 1;
	char *end;

	if (*at != '-' && (*at < '0' || *at > '9'))
		return false;
	errno = 0;
	place->dispatched_at = strtoi64(at, &end, 10);
	place->alike = 1;
	if (errno == 0 && *end == '+' && end[1] >= '1' && end[1] <= '9')
		place->alike = strtoint(end + 1, &end, 10);
	if (errno != 0 || *end != '.')
		return false;
	place->id = end + 1;
	return true;
}
