/*
 * audit_scan.h
 *		Which records are picked, and what is in them.
 */
#ifndef ACTEON_AUDIT_SCAN_H
#define ACTEON_AUDIT_SCAN_H

#include "executor/spi.h"
#include "utils/array.h"

#include "audit/audit_table.h"
#include "audit/record.h"
#include "query/query.h"

/* A running search for records; see AuditScanBegin. */
typedef struct AuditScan
{
	const AuditTable *table;
	Portal portal;
	SPITupleTable *rows; /* fetched last */
	uint64 count;        /* number of them */
	uint64 taken;        /* of these, handed out */
	long next_fetch;     /* how many to fetch then */
	bool exhausted;      /* nothing is left to fetch */
	ReplayCursor passed; /* records at this place are passed over; alike: so many */
} AuditScan;

extern bool AuditFindAction(const AuditTable *table, const char *action_id, const char *outcome,
							AuditRecord *record);
extern void CopyAuditRecord(AuditRecord *copy, const AuditRecord *record);
extern void
AuditScanBegin(AuditScan *scan, const AuditTable *table, const ReplayQuery *query, int64 most);
extern void AuditScanBeginAmong(AuditScan *scan, const AuditTable *table, const ReplayQuery *query,
								ArrayType *action_ids);
extern int AuditScanTake(AuditScan *scan, int want, AuditRecord **records);
extern bool AuditScanHasMore(AuditScan *scan);
extern void AuditScanEnd(AuditScan *scan);

#endif /* ACTEON_AUDIT_SCAN_H */
