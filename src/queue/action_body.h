/*
 * action_body.h
 *		An action as the gateway takes it.
 */
#ifndef ACTEON_ACTION_BODY_H
#define ACTEON_ACTION_BODY_H

#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "utils/uuid.h"

extern void AppendActionJson(StringInfo json, TupleTableSlot *row, const pg_uuid_t *sent_id);

#endif /* ACTEON_ACTION_BODY_H */
