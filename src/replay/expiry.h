/*
 * expiry.h
 *		When an action is of no use any more.
 */
#ifndef ACTEON_EXPIRY_H
#define ACTEON_EXPIRY_H

#include "audit/record.h"
#include "base/optional_time.h"
#include "query/query.h"

extern OptionalTime
ActionExpiry(const ReplayQuery *query, const AuditRecord *record, const OptionalTime *ends_at);
extern OptionalTime RecordExpiry(const ReplayQuery *query, const AuditRecord *record);
extern bool IsTooOld(const ReplayQuery *query, const AuditRecord *record);
extern bool HasExpired(const ReplayQuery *query, const AuditRecord *record);

#endif /* ACTEON_EXPIRY_H */
