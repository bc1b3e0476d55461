/*
 * audit_scan.h
 *		Which records are picked, and what is in them.
 */
#ifndef ACTEON_AUDIT_SCAN_H
#define ACTEON_AUDIT_SCAN_H

#include "executor/spi.h"
#include "utils/array.h"
#include "utils/relcache.h"

#include "query/query.h"

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
	COL_DETAILS,
	COL_DURATION,
	COL_ATTACHMENTS, /* these two: which older gateways do not record */
	COL_CHAIN_ID,
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
	bool has[NUM_RECORD_COLUMNS];
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
	text *outcome;
	TimestampTz dispatched_at;
	Datum payload;
	Datum metadata;
	Datum details; /* of the outcome */
	bool has_payload;
	bool has_metadata;
	bool has_details;
	bool has_duration;
	int64 duration_ms;
	bool is_of_chain;     /* it has a chain_id */
	bool is_intent;       /* outcome "pending" */
	bool had_attachments; /* which are not stored with it */
	bool may_have_had;    /* an intent does not tell */
	const char *missing;  /* a column that is NULL and must not be, or that cannot be read */
	const char *damage;   /* why it cannot be read; NULL: it can */
} AuditRecord;

/* Why a record that the filters match is no candidate. */
typedef enum LeftOut
{
	LEFT_OUT_INTENT,   /* an intent, and those are not asked for */
	LEFT_OUT_YOUNG,    /* an intent that the gateway may still be executing */
	LEFT_OUT_FINISHED, /* an intent with a companion, which has the outcome */
	LEFT_OUT_STEP      /* the intent of a chain's step, whose outcome has another action id */
} LeftOut;

#define NUM_LEFT_OUT (LEFT_OUT_STEP + 1)

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
extern bool AuditTableIsLive(const AuditTable *table);
extern TimestampTz AuditNewest(const AuditTable *table);
extern bool AuditFindAction(const AuditTable *table, const char *action_id, const char *outcome,
							AuditRecord *record);
extern void CopyAuditRecord(AuditRecord *copy, const AuditRecord *record);
extern int64 AuditCount(const AuditTable *table, const ReplayQuery *query);
extern void
AuditScanBegin(AuditScan *scan, const AuditTable *table, const ReplayQuery *query, int64 most);
extern void AuditScanBeginAmong(AuditScan *scan, const AuditTable *table, const ReplayQuery *query,
								ArrayType *action_ids);
extern int AuditScanTake(AuditScan *scan, int want, AuditRecord **records);
extern bool AuditScanHasMore(AuditScan *scan);
extern void AuditScanEnd(AuditScan *scan);

extern int64 AuditCountLeftOut(const AuditTable *table, const ReplayQuery *query, LeftOut which);
#endif /* ACTEON_AUDIT_SCAN_H */
