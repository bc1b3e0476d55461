/*
 * repeated_actions.h
 *		Which actions have several records.
 */
#ifndef ACTEON_REPEATED_ACTIONS_H
#define ACTEON_REPEATED_ACTIONS_H

#include "executor/spi.h"

#include "audit/action_set.h"
#include "audit/audit_table.h"
#include "query/query.h"

/* Actions that have several records; see FindRepeatedActions. */
typedef struct RepeatedActions RepeatedActions;

extern RepeatedActions *
FindRepeatedActions(const AuditTable *table, const ReplayQuery *query, double most);
extern uint64 PutRepeatedFirst(const RepeatedActions *repeated, SPITupleTable *rows, uint64 count);

#endif /* ACTEON_REPEATED_ACTIONS_H */
