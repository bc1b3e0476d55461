/*
 * filter_sql.h
 *		What a query asks of a record, in a statement.
 */
#ifndef ACTEON_FILTER_SQL_H
#define ACTEON_FILTER_SQL_H

#include "audit/statement.h"

extern void AddTextFilter(Statement *st, const AuditTable *table, const char *alias,
						  const char *name, const char *value);
extern void
AddTimeBound(Statement *st, const char *alias, const char *operator, const OptionalTime * bound);
extern Datum OutcomeArray(const ReplayQuery *query);
extern void AddRecordFilters(Statement *st, const AuditTable *table, const ReplayQuery *query,
							 const char *alias);
extern void AddExcludedElse(Statement *st, const AuditTable *table, const ReplayQuery *query);
extern void AddPicked(Statement *st, const AuditTable *table, const ReplayQuery *query);
extern void AddUnpicked(Statement *st, const AuditTable *table, const ReplayQuery *query);
extern bool PicksActions(const ReplayQuery *query);
extern bool IsPicked(const ReplayQuery *query, const text *action_id);
extern bool SearchesPayloads(const ReplayQuery *query);
extern void AddFilterColumns(Statement *st, const AuditTable *table, const ReplayQuery *query);

#endif /* ACTEON_FILTER_SQL_H */
