/*
 * record_list.h
 *		The list of records that the gateway's own interface has.
 */
#ifndef ACTEON_RECORD_LIST_H
#define ACTEON_RECORD_LIST_H

#include "audit/audit_table.h"
#include "query/query.h"

/* A place in the list, which begins with the newest records. */
typedef struct ListPlace
{
	bool given;
	TimestampTz dispatched_at; /* behind the record of this time and id, */
	text *id;                  /* or NULL: behind all of this time and later ones */
} ListPlace;

/* What is listed; see ListRecords. */
typedef struct RecordList
{
	const ReplayQuery *query; /* text filters, outcomes, times */
	const char *signer_id;    /* NULL: any, both */
	const char *kid;
	int64 skip;
	int limit;
	ListPlace after; /* where the list continues */

	StringInfo records; /* the objects, with commas between them */
	bool has_more;
	ListPlace last; /* if so, the last record of these */
} RecordList;

extern void ListRecords(RecordList *list, const AuditTable *table);
extern int64 CountListed(const RecordList *list, const AuditTable *table);
extern bool FindListPlace(ListPlace *place, const AuditTable *table, const char *id,
						  TimestampTz first, TimestampTz last);
extern bool AppendRecordOf(StringInfo out, const AuditTable *table, const char *action_id,
						   const text *id, TimestampTz dispatched_at);

#endif /* ACTEON_RECORD_LIST_H */
