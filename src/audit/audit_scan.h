/*
 * audit_scan.h
 *		Which records are picked, and what is in them.
 */
#ifndef ACTEON_AUDIT_SCAN_H
#define ACTEON_AUDIT_SCAN_H

#include "executor/spi.h"
#include "utils/array.h"

#include "audit/audit_sql.h"
#include "audit/audit_table.h"
#include "audit/keys_ahead.h"
#include "audit/record.h"
#include "audit/repeated_actions.h"
#include "audit/time_steps.h"
#include "query/query.h"

/* A running search for records; see AuditScanBegin. */
typedef struct AuditScan
{
	const AuditTable *table;
	const ReplayQuery *query;  /* must live as long as the search */
	Portal portal;             /* NULL: pages are read by keys */
	KeysAhead *ahead;          /* NULL: there are none */
	int64 most;                /* records that are read at most */
	TimeSteps steps;           /* of a table that is partitioned by time */
	bool in_order;             /* of the query; else in any */
	bool checks_picked;        /* page by page, which actions are picked by hand */
	bool others_apart;         /* other records of the actions are looked for page by page */
	SPITupleTable *rows;       /* fetched last */
	uint64 count;              /* number of them */
	uint64 taken;              /* of these, handed out */
	long next_fetch;           /* how many to fetch then */
	RepeatedActions *repeated; /* only of these others are looked for; NULL: of all or of none */
	uint64 dropped;            /* rows that were no candidates because of others */
	bool exhausted;            /* nothing is left to fetch */
	ReplayCursor passed;       /* records at this place are passed over; alike: so many */
} AuditScan;

extern bool AuditFindAction(const AuditTable *table, const char *action_id, const char *outcome,
							const OptionalTime *from, const OptionalTime *to, AuditRecord *record);
extern bool SearchesContents(const ReplayQuery *query);
extern void CopyAuditRecord(AuditRecord *copy, const AuditRecord *record);
extern void AuditScanBegin(AuditScan *scan, const AuditTable *table, const ReplayQuery *query,
						   int64 most, KeysAhead *ahead);
extern void AuditScanBeginAmong(AuditScan *scan, const AuditTable *table, const ReplayQuery *query,
								ArrayType *action_ids);
extern void
AuditScanBeginOutcomes(AuditScan *scan, const AuditTable *table, const ReplayQuery *query);
extern bool AuditScanBeginLeftOut(AuditScan *scan, const AuditTable *table,
								  const ReplayQuery *query, LeftOut which);
extern int AuditScanTake(AuditScan *scan, int want, AuditRecord **records);
extern void AuditScanGiveBack(AuditScan *scan, int count);
extern bool AuditScanHasMore(AuditScan *scan);
extern void AuditScanEnd(AuditScan *scan);

#endif /* ACTEON_AUDIT_SCAN_H */
