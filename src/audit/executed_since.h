/*
 * executed_since.h
 *		Whether actions that are to be replayed have been executed after
 *		all.
 */
#ifndef ACTEON_EXECUTED_SINCE_H
#define ACTEON_EXECUTED_SINCE_H

#include "utils/array.h"

#include "audit/action_set.h"
#include "audit/audit_table.h"

/* Records that one search looks for at most. */
#define EXECUTED_SEARCH_LIMIT 20000

/* An action, and a time: of its record, or of the last one that says executed. */
typedef struct ActionTime
{
	uint64 action; /* hashed */
	TimestampTz time;
} ActionTime;

/* A search for records of the same actions; see BeginExecutedSearch. */
typedef struct ExecutedSearch
{
	MemoryContext context;
	ActionSet hasher; /* stays empty */
	ArrayBuildState *action_ids;
	ActionTime *records;
	int count;
	int allocated;
} ExecutedSearch;

extern void BeginExecutedSearch(ExecutedSearch *search);
extern void AddToExecutedSearch(ExecutedSearch *search, const AuditRecord *record);
extern int64 EndExecutedSearch(ExecutedSearch *search, const AuditTable *table);

#endif /* ACTEON_EXECUTED_SINCE_H */
