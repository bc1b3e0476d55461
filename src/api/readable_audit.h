/*
 * readable_audit.h
 *		What functions about the gateway's records begin with.
 */
#ifndef ACTEON_READABLE_AUDIT_H
#define ACTEON_READABLE_AUDIT_H

#include "fmgr.h"

#include "audit/audit_table.h"
#include "base/optional_time.h"

extern void OpenReadableAudit(AuditTable *audit, FunctionCallInfo fcinfo);
extern OptionalTime ReadTimeArgument(FunctionCallInfo fcinfo, int argument);

#endif /* ACTEON_READABLE_AUDIT_H */
