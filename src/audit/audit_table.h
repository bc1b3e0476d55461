/*
 * audit_table.h
 *		The gateway's audit table: where it is, and whether it is one.
 */
#ifndef ACTEON_AUDIT_TABLE_H
#define ACTEON_AUDIT_TABLE_H

#include "access/attnum.h"
#include "utils/relcache.h"

#include "access/grants.h"

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
	COL_ATTACHMENTS, /* these three: which older gateways do not record */
	COL_CHAIN_ID,
	COL_SIGNER_ID,
	NUM_RECORD_COLUMNS
} RecordColumn;

/* Columns of a row that a search selects: these, and perhaps AddExcludedElse's. */
#define NUM_ROW_COLUMNS (NUM_RECORD_COLUMNS + 1)

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
	AttrNumber columns[NUM_RECORD_COLUMNS]; /* InvalidAttrNumber: it has no such */
	Grants *grants; /* of who searches; see SearchesContents; NULL: of nobody */
} AuditTable;

extern void OpenAuditTable(AuditTable *table, Oid schema);
extern void CloseAuditTable(AuditTable *table);
extern AttrNumber AuditColumn(const AuditTable *table, const char *name);
extern void CheckAuditColumn(const AuditTable *table, const char *name, Oid type);
extern char *
TextTest(const AuditTable *table, const char *alias, const char *column, const char *equals);
extern bool IsNeverNull(const AuditTable *table, RecordColumn column);
extern bool HasUniquePlaces(const AuditTable *table);
extern bool AuditTableIsRemote(const AuditTable *table);
extern bool AuditTableIsCopy(const AuditTable *table);
extern bool AuditTableIsLive(const AuditTable *table);

#endif /* ACTEON_AUDIT_TABLE_H */
