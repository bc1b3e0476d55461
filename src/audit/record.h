/*
 * record.h
 *		What the columns of a record tell.
 */
#ifndef ACTEON_RECORD_H
#define ACTEON_RECORD_H

#include "audit/audit_scan.h"
#include "queue/effect.h"

extern Effect RecordEffect(const AuditRecord *record);
extern bool TookEffect(const AuditRecord *record);
extern bool IsLost(const AuditRecord *record, Effect *effect);
extern bool IsInternal(const AuditRecord *record);
extern bool IsChainPart(const AuditRecord *record);

#endif /* ACTEON_RECORD_H */
