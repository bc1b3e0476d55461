/*
 * refused.h
 *		The records of a batch that could not be replayed.
 */
#ifndef ACTEON_REFUSED_H
#define ACTEON_REFUSED_H

#include "audit/record.h"
#include "base/table_access.h"

/* Rows that are written at once. */
#define REFUSED_ROWS 100

/* Refused records that are being written; see OpenRefused. */
typedef struct RefusedWriter
{
	Oid schema;
	bool is_open; /* the table, which is opened when first needed */
	TableWriter writer;
	int count;
	TupleTableSlot *slots[REFUSED_ROWS];
} RefusedWriter;

extern void OpenRefused(RefusedWriter *refused, Oid schema);
extern void AddRefused(RefusedWriter *refused, int64 batch_id, int64 number,
					   const AuditRecord *record, const char *reason, const char *error);
extern void CloseRefused(RefusedWriter *refused);
extern void PurgeRefused(Oid schema, TimestampTz before, int64 most);

#endif /* ACTEON_REFUSED_H */
