/*
 * batch.h
 *		What is kept of a call: who asked, why, for what, and how it ended.
 */
#ifndef ACTEON_BATCH_H
#define ACTEON_BATCH_H

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "audit.h"

/* The distinct kinds of records that a batch touched; see NewScope. */
typedef struct Scope Scope;

/* What is to be written down. */
typedef struct BatchRow
{
	int64 id;
	Oid requested_by;
	TimestampTz created_at;
	const char *reason; /* NULL: none given */
	Jsonb *query;
	int replayed;
	int failed;
	int skipped;
	Scope *scope;
} BatchRow;

extern Scope *NewScope(void);
extern void AddToScope(Scope *scope, const AuditRecord *record);
extern void InsertBatch(Oid schema, const BatchRow *batch);

#endif /* ACTEON_BATCH_H */
