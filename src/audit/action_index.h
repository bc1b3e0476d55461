/*
 * action_index.h
 *		Reading the record of an action straight from the index on action ids.
 */
#ifndef ACTEON_ACTION_INDEX_H
#define ACTEON_ACTION_INDEX_H

#include "access/htup.h"

#include "audit/audit_table.h"

extern bool FindByActionIndex(const AuditTable *table, const char *action_id, const char *outcome,
							  HeapTuple *tuple);

#endif /* ACTEON_ACTION_INDEX_H */
