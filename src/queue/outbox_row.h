/*
 * outbox_row.h
 *		Whose an action in the outbox is.
 */
#ifndef ACTEON_OUTBOX_ROW_H
#define ACTEON_OUTBOX_ROW_H

#include "executor/tuptable.h"

extern bool OutboxRowIsOf(TupleTableSlot *row, const text *namespace, const text *tenant);

#endif /* ACTEON_OUTBOX_ROW_H */
