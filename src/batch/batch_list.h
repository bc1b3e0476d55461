/*
 * batch_list.h
 *		What is shown of batches and of their actions.
 */
#ifndef ACTEON_BATCH_LIST_H
#define ACTEON_BATCH_LIST_H

#include "access/visibility.h"

/*
 * An expression for the name of the gateway's outcome in delivery d, as
 * ReadAnswer finds it: a bare string, or the first key of an
 * object; NULL if there is none.
 */
#define OUTCOME_NAME \
	"nullif(CASE jsonb_typeof(d.outcome) WHEN 'string' THEN d.outcome #>> '{}' WHEN 'object'" \
	" THEN (SELECT key FROM jsonb_object_keys(d.outcome) AS key LIMIT 1) END::name::text, '')"

extern bool SeesBatch(Viewer *viewer, int64 batch_id);

#endif /* ACTEON_BATCH_LIST_H */
