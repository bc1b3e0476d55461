/*
 * patch_payload.c
 *		Payloads that are patched while they are enqueued.
 *
 * A payload that the gateway has encrypted cannot be patched.  Whether one holds the
 * redaction placeholder is judged by what would be sent: a patch may replace it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"

#include "base/json_text.h"
#include "base/jsonb_merge.h"
#include "base/jsonb_places.h"
#include "replay/patch_payload.h"

/* What the gateway accepts as the body of a request. */
#define GATEWAY_BODY_BYTES (2 * 1024 * 1024)

/* A jsonb of this size is larger than that as text, whatever it holds. */
#define HUGE_BYTES (32 * GATEWAY_BODY_BYTES)

PG_FUNCTION_INFO_V1(acteon_merge_patch);

/*
 * Whether a payload is larger as JSON text than what the gateway accepts.  One that is
 * much smaller as jsonb is not written out.
 */
static bool
is_too_large(Jsonb *payload)
{
	StringInfoData text;
	bool result;

	if (VARSIZE(payload) < GATEWAY_BODY_BYTES / 8)
		return false;
	initStringInfo(&text);
	AppendJsonb(&text, payload);
	result = text.len > GATEWAY_BODY_BYTES;
	pfree(text.data);
	return result;
}

/*
 * Apply a patch to a payload.  Returns the result in the current memory context, perhaps
 * one of the arguments; NULL if it is too large.
 */
static Jsonb *
apply_patch(Jsonb *payload, const Patch *patch)
{
	const Jsonb *given = patch->merge != NULL ? patch->merge : patch->value;

	if (VARSIZE(payload) >= HUGE_BYTES || VARSIZE(given) >= HUGE_BYTES)
		return NULL;
	if (patch->merge != NULL)
		return MergePatch(payload, patch->merge);
	return SetPlaces(payload, patch->places, patch->value, 2 * HUGE_BYTES);
}

/*
 * Patch a payload, which is fetched for that if it is toasted.  Returns the reason for
 * which its record is not replayed, or REASON_NONE.  *before is the payload, and *after
 * what it becomes: the same pointer if the patch changes nothing.  Both are in the current
 * memory context, or what they were.
 */
Reason
PatchPayload(Datum payload, const Patch *patch, bool allow_redacted, Jsonb **before, Jsonb **after)
{
	Jsonb *changed;

	*before = *after = DatumGetJsonbP(payload);
	if (InspectPayload(JsonbPGetDatum(*before)) == PAYLOAD_SEALED)
		return REASON_SEALED;
	changed = apply_patch(*before, patch);
	if (changed == NULL)
		return REASON_TOO_LARGE;
	if (VARSIZE(changed) != VARSIZE(*before) || memcmp(changed, *before, VARSIZE(changed)) != 0)
		*after = changed;
	else if (changed != *before)
		pfree(changed);
	if (!allow_redacted && InspectPayload(JsonbPGetDatum(*after)) == PAYLOAD_REDACTED)
		return REASON_REDACTED;
	return *after != *before && is_too_large(*after) ? REASON_TOO_LARGE : REASON_NONE;
}

/*
 * acteon_merge_patch(target jsonb, patch jsonb) → jsonb
 *
 * Applies a merge patch, which may be no object here.  No script declares it: its test
 * does.
 */
Datum
acteon_merge_patch(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(MergePatch(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1)));
}
