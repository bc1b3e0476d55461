/*
 * recent_losses.h
 *		Actions that were lost lately.
 */
#ifndef ACTEON_RECENT_LOSSES_H
#define ACTEON_RECENT_LOSSES_H

#include "utils/array.h"

#include "access/grants.h"
#include "audit/audit_table.h"

/* What was lost lately, as far as it was looked for; see FindRecentLosses. */
typedef struct RecentLosses
{
	TimestampTz from; /* the last day begins here */
	TimestampTz newest;
	ArrayType *action_ids; /* of the newest ones; NULL: none */
	bool has_more;         /* there may be others */
} RecentLosses;

extern bool
FindRecentLosses(const AuditTable *table, Grants *grants, TimestampTz now, RecentLosses *losses);

#endif /* ACTEON_RECENT_LOSSES_H */
