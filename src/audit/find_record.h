/*
 * find_record.h
 *		Finding the record of an action without a statement.
 */
#ifndef ACTEON_FIND_RECORD_H
#define ACTEON_FIND_RECORD_H

#include "audit/action_index.h"

extern bool FindRecordDirectly(const AuditTable *table, ActionSearch *search);

#endif /* ACTEON_FIND_RECORD_H */
