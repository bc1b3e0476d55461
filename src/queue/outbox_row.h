/*
 * outbox_row.h
 *		Whose an action in the outbox is, and which.
 */
#ifndef ACTEON_OUTBOX_ROW_H
#define ACTEON_OUTBOX_ROW_H

#include "executor/tuptable.h"
#include "utils/uuid.h"

#include "base/table_access.h"

extern bool OutboxRowIsOf(TupleTableSlot *row, const text *namespace, const text *tenant);
extern bool OutboxRowIs(TupleTableSlot *row, const pg_uuid_t *id);
extern char *FoundTarget(TableFinder *outbox);

#endif /* ACTEON_OUTBOX_ROW_H */
