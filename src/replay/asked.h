/*
 * asked.h
 *		Queries for many records that must be made explicitly.
 */
#ifndef ACTEON_ASKED_H
#define ACTEON_ASKED_H

#include "audit/audit_table.h"
#include "base/compat.h"
#include "query/query.h"

extern void CheckAsked(const AuditTable *table, const ReplayQuery *query);
ACTEON_NORETURN extern void ReportAuditTellsNothing(const AuditTable *table);

#endif /* ACTEON_ASKED_H */
