/*
 * batches.h
 *		What is shown of batches and of their actions.
 */
#ifndef ACTEON_BATCHES_H
#define ACTEON_BATCHES_H

#include "sight.h"

/*
 * An expression for the name of a gateway's outcome, as outcome_name in
 * delivery.c finds it: a bare string, or the first key of an object; NULL if
 * there is none.
 */
#define OUTCOME_NAME(outcome) \
	"nullif(CASE jsonb_typeof(" outcome ") WHEN 'string' THEN " outcome " #>> '{}' WHEN 'object'" \
	" THEN (SELECT key FROM jsonb_object_keys(" outcome ") AS key LIMIT 1) END::name::text, '')"

extern bool SeesBatch(Viewer *viewer, const char *schema, int64 batch_id);

#endif /* ACTEON_BATCHES_H */
