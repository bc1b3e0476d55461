/*
 * closest_values.h
 *		Values that exist in place of those that a filter asks for in vain.
 */
#ifndef ACTEON_CLOSEST_VALUES_H
#define ACTEON_CLOSEST_VALUES_H

#include "nodes/pg_list.h"

#include "access/grants.h"
#include "audit/audit_table.h"
#include "query/query.h"

/* How many values are named in place of one. */
#define CLOSEST_VALUES 3

/* A value of a filter that no record was found with, and the closest ones that exist. */
typedef struct NotFound
{
	TextFilter filter;
	const char *value;
	bool is_indexed; /* all records were searched for it; else only some of the newest */
	int count;
	struct
	{
		char *value;
		int distance;
	} closest[CLOSEST_VALUES];
} NotFound;

extern List *FindClosestValues(const AuditTable *table, const ReplayQuery *query, Grants *grants,
							   MemoryContext context);
extern void NoticeClosestValues(const AuditTable *table, const ReplayQuery *query, Grants *grants);
extern char *FilterAndValue(const NotFound *not_found);
extern char *ListClosest(const NotFound *not_found);

#endif /* ACTEON_CLOSEST_VALUES_H */
