/*
 * audit.h
 *		Which records are picked, and what is in them.
 */
#ifndef ACTEON_AUDIT_H
#define ACTEON_AUDIT_H

#include "executor/spi.h"
#include "utils/relcache.h"

#include "query.h"

/* The columns of a record that are read, in this order. */
typedef enum RecordColumn
{
	COL_ID,
	COL_ACTION_ID,
	COL_NAMESPACE,
	COL_TENANT,
	COL_PROVIDER,
	COL_ACTION_TYPE,
	COL_OUTCOME,
	COL_DISPATCHED_AT,
	COL_PAYLOAD,
	COL_METADATA,
	NUM_RECORD_COLUMNS
} RecordColumn;

extern const char *const RecordColumnNames[NUM_RECORD_COLUMNS];

/*
 * The gateway's audit table, checked and locked for reading.
 */
typedef struct AuditTable
{
	Relation rel;
	Oid owner;
	char *quoted_name; /* schema-qualified, for SQL */
} AuditTable;

/*
 * A record: one row of the audit table.  What it points to lives as long as
 * the window of rows that it came in; payload and metadata may be toasted.
 */
typedef struct AuditRecord
{
	text *id;
	text *action_id;
	text *namespace;
	text *tenant;
	text *provider;
	text *action_type;
	TimestampTz dispatched_at;
	Datum payload;
	Datum metadata;
	bool has_payload;
	bool has_metadata;
	bool is_intent;      /* outcome "pending" */
	const char *missing; /* a column that is NULL and must not be */
} AuditRecord;

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
} AuditScan;

extern void OpenAuditTable(AuditTable *table, Oid schema);
extern void CloseAuditTable(AuditTable *table);
extern AttrNumber AuditColumn(const AuditTable *table, const char *name);
extern void CheckAuditColumn(const AuditTable *table, const char *name, Oid type);
extern bool AuditFindAction(const AuditTable *table, const char *action_id, AuditRecord *record);
extern void CopyAuditRecord(AuditRecord *copy, const AuditRecord *record);
extern int64 AuditCount(const AuditTable *table, const ReplayQuery *query);
extern void AuditScanBegin(AuditScan *scan, const AuditTable *table, const ReplayQuery *query);
extern int AuditScanTake(AuditScan *scan, int want, AuditRecord **records);
extern bool AuditScanHasMore(AuditScan *scan);
extern void AuditScanEnd(AuditScan *scan);

#endif /* ACTEON_AUDIT_H */
