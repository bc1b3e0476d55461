/*
 * patch_payload.h
 *		Payloads that are patched while they are enqueued.
 */
#ifndef ACTEON_PATCH_PAYLOAD_H
#define ACTEON_PATCH_PAYLOAD_H

#include "utils/jsonb.h"

#include "query/patch.h"
#include "replay/eligibility.h"

extern Reason
PatchPayload(Datum payload, const Patch *patch, bool allow_redacted, Jsonb **before, Jsonb **after);

#endif /* ACTEON_PATCH_PAYLOAD_H */
