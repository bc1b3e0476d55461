/*
 * audit_count.h
 *		How many records there are.
 */
#ifndef ACTEON_AUDIT_COUNT_H
#define ACTEON_AUDIT_COUNT_H

#include "audit/audit_sql.h"

extern int64 AuditCount(const AuditTable *table, const ReplayQuery *query);
extern int64 AuditCountLeftOut(const AuditTable *table, const ReplayQuery *query, LeftOut which);

#endif /* ACTEON_AUDIT_COUNT_H */
