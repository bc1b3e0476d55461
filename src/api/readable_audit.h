/*
 * readable_audit.h
 *		The audit table, for those who may read records.
 */
#ifndef ACTEON_READABLE_AUDIT_H
#define ACTEON_READABLE_AUDIT_H

#include "fmgr.h"

#include "audit/audit_table.h"

extern void OpenReadableAudit(AuditTable *audit, FunctionCallInfo fcinfo);

#endif /* ACTEON_READABLE_AUDIT_H */
