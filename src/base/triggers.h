/*
 * triggers.h
 *		Triggers and rules on our tables.
 */
#ifndef ACTEON_TRIGGERS_H
#define ACTEON_TRIGGERS_H

#include "executor/tuptable.h"
#include "utils/relcache.h"

extern void CheckTriggers(Relation rel, bool changes);
extern void CheckRules(Relation rel);
extern void FireInserted(Relation rel, TupleTableSlot **slots, int count);
extern void FireUpdated(Relation rel, ItemPointer old, TupleTableSlot *slot);
extern void FireDeleted(Relation rel, ItemPointer old);
extern bool HasInsertTriggers(Relation rel);
extern int AllowDeferring(Relation rel);
extern bool DeletesApart(Relation rel);

#endif /* ACTEON_TRIGGERS_H */
