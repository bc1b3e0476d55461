/*
 * audit_count.h
 *		How many records there are.
 */
#ifndef ACTEON_AUDIT_COUNT_H
#define ACTEON_AUDIT_COUNT_H

#include "audit/audit_sql.h"

/* Hand-picked or excluded ids of which no record is there, of which the first are named. */
#define NAMED_MISSING 3

typedef struct MissingIds
{
	int64 count;
	char *first[NAMED_MISSING]; /* as many as there are of these; the others are NULL */
} MissingIds;

extern int64 AuditCount(const AuditTable *table, const ReplayQuery *query);
extern int64 AuditCountLeftOut(const AuditTable *table, const ReplayQuery *query, LeftOut which);
extern void AuditFindMissing(const AuditTable *table, const TextList *ids, MissingIds *missing);
extern char *NameMissing(const MissingIds *missing);

#endif /* ACTEON_AUDIT_COUNT_H */
