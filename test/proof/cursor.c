/*
 * cursor.c
 *		Proof of src/query/cursor.c.
 *
 * Bounds: times and numbers of a digit, ids of a byte; of texts that are no cursors of ours, 20
 * bytes, and 6 behind the digest.
 *
 * Unwind: 26
 * Solver: bitwuzla
 *
 * Breaks: src/query/cursor.c s/place->alike > 1/place->alike > 2/
 * Breaks: src/query/cursor.c s/place->id = end + 1/place->id = end/
 * Breaks: src/query/cursor.c s/end\[1\] >= '1'/end[1] >= '0'/
 * Breaks: src/query/cursor.c s/ || digest\[QUERY_DIGEST_LEN\] != '.'//
 */
#define PRINTED_DIGITS 1
#include "query/cursor.c"

/* What is written is read as the same: the digest, and the place. */
void
prove_round_trip(void)
{
	const char *digest = "0123456789abcdef";
	char id[2];
	ReplayCursor place = {.dispatched_at = nondet_int64(), .id = id, .alike = nondet_int()};
	ReplayCursor again;
	const char *text, *found;

	ASSUME(place.dispatched_at > -10 && place.dispatched_at < 10);
	ASSUME(place.alike >= 1 && place.alike < 10);
	id[0] = nondet_char();
	id[1] = '\0';
	text = CursorText(digest, &place);
	found = CursorDigest(text);
	PROVE(found != NULL && memcmp(found, digest, QUERY_DIGEST_LEN) == 0);
	PROVE(CursorPlace(found, &again));
	PROVE(again.dispatched_at == place.dispatched_at);
	PROVE(again.alike == place.alike);
	PROVE(again.id[0] == id[0] && (id[0] == '\0' || again.id[1] == '\0'));
}

/* A text of so many bytes, with the terminator: reading on is an error. */
static char *
any_text(size_t len)
{
	char *text = palloc(len);

	for (size_t i = 0; i + 1 < len; i++)
		text[i] = nondet_char();
	text[len - 1] = '\0';
	return text;
}

/* What has a digest is long enough for one, with a dot behind it. */
void
prove_digest(void)
{
	char *text = any_text(strlen(CURSOR_VERSION) + QUERY_DIGEST_LEN + 2);
	const char *digest = CursorDigest(text);

	PROVE(digest == NULL ||
		  (digest == text + strlen(CURSOR_VERSION) && digest[QUERY_DIGEST_LEN] == '.'));
}

/* Of a text that is damaged nothing is read beyond its end, and what is taken is a place. */
void
prove_place(void)
{
	size_t len = QUERY_DIGEST_LEN + 1 + 6 + 1;
	char *digest = any_text(len);
	const char *at = digest + QUERY_DIGEST_LEN + 1;
	ReplayCursor place;

	if (!CursorPlace(digest, &place))
		return;
	PROVE(place.alike >= 1);
	PROVE(*at == '-' || (*at >= '0' && *at <= '9'));
	PROVE(place.id > at + 1 && place.id < digest + len);
	PROVE(place.id[-1] == '.');
}
