/*
 * jsonb_merge.h
 *		Merge patches of JSON (RFC 7396), applied to jsonb.
 */
#ifndef ACTEON_JSONB_MERGE_H
#define ACTEON_JSONB_MERGE_H

#include "utils/jsonb.h"

extern Jsonb *MergePatch(Jsonb *target, Jsonb *patch);

#endif /* ACTEON_JSONB_MERGE_H */
