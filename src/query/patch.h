/*
 * patch.h
 *		What is to be changed in payloads, and by what that is known.
 */
#ifndef ACTEON_PATCH_H
#define ACTEON_PATCH_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "base/jsonb_places.h"

/* The label of an action whose payload was patched: the hash's first digits. */
#define PATCH_LABEL "replay_patch"
#define PATCH_LABEL_DIGITS 16

/* A patch: a merge patch, or a value for places. */
typedef struct Patch
{
	Jsonb *merge; /* an object; NULL: */
	JsonbPlaces *places;
	Jsonb *value;
	Jsonb *written; /* the patch as it is hashed; see patch.c */
} Patch;

extern Patch *ReadMergePatch(Jsonb *merge);
extern Patch *ReadPlacePatch(const char *name, const char *path, Jsonb *value);
extern List *StoredPatches(Jsonb *query, Jsonb *patches);
extern char *PatchHash(Jsonb *written);
extern char *PatchLabel(Jsonb *written);

#endif /* ACTEON_PATCH_H */
