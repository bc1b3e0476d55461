/*
 * action_body.h
 *		An action as the gateway takes it.
 */
#ifndef ACTEON_ACTION_BODY_H
#define ACTEON_ACTION_BODY_H

#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "utils/uuid.h"

/*
 * Labels that are none: a time as the gateway wrote it, where timestamptz cannot hold
 * it, and the trace in which the action was replayed.  The gateway drops all labels that
 * begin so.
 */
#define EXACT_STARTS_AT "__starts_at"
#define EXACT_ENDS_AT "__ends_at"
#define TRACEPARENT_LABEL "__traceparent"
#define TRACESTATE_LABEL "__tracestate"

extern void AppendActionJson(StringInfo json, TupleTableSlot *row, const pg_uuid_t *sent_id);

#endif /* ACTEON_ACTION_BODY_H */
