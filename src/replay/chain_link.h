/*
 * chain_link.h
 *		Whether records fit into the gateway's chain of hashes.
 */
#ifndef ACTEON_CHAIN_LINK_H
#define ACTEON_CHAIN_LINK_H

#include "audit/audit_table.h"
#include "replay/eligibility.h"

extern Reason ChainLinkReason(const AuditTable *table, const AuditRecord *record);
extern void
JudgeChainLinks(const AuditTable *table, const ReplayQuery *query, ReplayItem *items, int count);
extern int CountBrokenLinks(const AuditTable *table, const ReplayItem *items, int count, int most);

#endif /* ACTEON_CHAIN_LINK_H */
