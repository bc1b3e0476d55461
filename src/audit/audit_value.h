/*
 * audit_value.h
 *		Single values out of the audit table.
 */
#ifndef ACTEON_AUDIT_VALUE_H
#define ACTEON_AUDIT_VALUE_H

#include "datatype/timestamp.h"

#include "audit/audit_table.h"

extern Datum AuditValue(const AuditTable *table, const char *sql, int nargs, Oid *types,
						Datum *values, Datum otherwise);
extern TimestampTz AuditNewest(const AuditTable *table);
extern TimestampTz AuditLatest(const AuditTable *table);

#endif /* ACTEON_AUDIT_VALUE_H */
