/*
 * selected.h
 *		The records that a query selects and the caller may read.
 */
#ifndef ACTEON_SELECTED_H
#define ACTEON_SELECTED_H

#include "fmgr.h"

#include "audit/record.h"
#include "query/query.h"
#include "replay/eligibility.h"

/*
 * Called with each record, which lives until it returns, and with the reason for which it
 * is not replayed.
 */
typedef void (*SeeRecord)(void *arg, const AuditRecord *record, Reason reason);

extern bool IsAskedFor(const ReplayQuery *query, Reason reason);
extern void SelectLostByDefault(ReplayQuery *query);
extern void SeeSelected(FunctionCallInfo fcinfo, ReplayQuery *query, SeeRecord see, void *arg);

#endif /* ACTEON_SELECTED_H */
