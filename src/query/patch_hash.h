/*
 * patch_hash.h
 *		By what a patch of payloads is known.
 */
#ifndef ACTEON_PATCH_HASH_H
#define ACTEON_PATCH_HASH_H

#include "utils/jsonb.h"

/* The label of an action whose payload was patched: the hash's first digits. */
#define PATCH_LABEL "replay_patch"
#define PATCH_LABEL_DIGITS 16

extern char *PatchHash(Jsonb *patch);
extern char *PatchLabel(Jsonb *patch);

#endif /* ACTEON_PATCH_HASH_H */
