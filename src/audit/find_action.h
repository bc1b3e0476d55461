/*
 * find_action.h
 *		Finding the record of an action without a statement.
 */
#ifndef ACTEON_FIND_ACTION_H
#define ACTEON_FIND_ACTION_H

#include "audit/action_index.h"

extern bool FindActionDirectly(const AuditTable *table, ActionSearch *search);

#endif /* ACTEON_FIND_ACTION_H */
