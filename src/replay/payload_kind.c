/*
 * payload_kind.c
 *		What a payload holds: values that the gateway has redacted or encrypted.
 *
 * A redacted payload is replayed only on request, since the placeholder would be
 * sent (eligibility.c).  An encrypted one is sent as it is; the relay opens it.
 */
#include "postgres.h"

#include "utils/jsonb.h"

#include "base/settings.h"
#include "replay/payload_kind.h"

/* What an encrypted payload begins with. */
#define SEALED_PREFIX "ENC["

/*
 * Whether any string value of a jsonb, at any depth, is the placeholder.
 */
static bool
holds_string(Jsonb *json, const char *string, size_t len)
{
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString &&
			value.val.string.len == len && memcmp(value.val.string.val, string, len) == 0)
			return true;
	}
	return false;
}

/*
 * Whether a payload holds a value that the gateway has redacted.  Strings lie
 * in a jsonb as they are, so a payload without the placeholder's bytes need
 * not be taken apart.
 */
static bool
is_redacted(const struct varlena *payload)
{
	size_t len = strlen(RedactionPlaceholder);

	return len > 0 &&
		   memmem(VARDATA_ANY(payload), VARSIZE_ANY_EXHDR(payload), RedactionPlaceholder, len) !=
			   NULL &&
		   holds_string(DatumGetJsonbP(PointerGetDatum(payload)), RedactionPlaceholder, len);
}

/*
 * Whether a payload is one that the gateway has encrypted: a JSON string that
 * begins like one.  In a jsonb that is an array of one element, marked as
 * scalar, whose bytes follow its entry.
 */
static bool
is_sealed(const struct varlena *payload)
{
	uint32 start[2]; /* the header and the entry */
	const char *string = VARDATA_ANY(payload) + sizeof(start);

	if (VARSIZE_ANY_EXHDR(payload) < sizeof(start) + strlen(SEALED_PREFIX))
		return false;
	memcpy(start, VARDATA_ANY(payload), sizeof(start));
	return (start[0] & JB_FSCALAR) != 0 && JBE_ISSTRING(start[1]) &&
		   memcmp(string, SEALED_PREFIX, strlen(SEALED_PREFIX)) == 0;
}

/*
 * Look into a payload, which is fetched for that if it is toasted, and let go
 * of again.
 */
PayloadKind
InspectPayload(Datum payload)
{
	struct varlena *raw = PG_DETOAST_DATUM_PACKED(payload);
	PayloadKind kind = PAYLOAD_PLAIN;

	if (is_redacted(raw))
		kind = PAYLOAD_REDACTED;
	else if (is_sealed(raw))
		kind = PAYLOAD_SEALED;
	if (raw != (struct varlena *) DatumGetPointer(payload))
		pfree(raw);
	return kind;
}
