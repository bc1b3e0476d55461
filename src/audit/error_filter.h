/*
 * error_filter.h
 *		What a query asks of the errors of records.
 */
#ifndef ACTEON_ERROR_FILTER_H
#define ACTEON_ERROR_FILTER_H

#include "audit/record.h"
#include "query/query.h"

extern bool AsksForError(const ReplayQuery *query);
extern bool ExcludesError(const ReplayQuery *query);
extern bool ChecksErrors(const ReplayQuery *query);
extern void IgnoreErrors(ReplayQuery *query);
extern bool
MatchesError(const AuditRecord *record, const ReplayQuery *query, bool is_excluded_else);

#endif /* ACTEON_ERROR_FILTER_H */
