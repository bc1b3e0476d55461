/*
 * audit_query.h
 *		The statements that search the audit table.
 */
#ifndef ACTEON_AUDIT_QUERY_H
#define ACTEON_AUDIT_QUERY_H

#include "lib/stringinfo.h"

#include "audit.h"

#define INTENT_OUTCOME "pending"
#define EXECUTED_OUTCOME "executed"

/* Operators and the sort order of ids, spelt so that nobody can plant others. */
#define EQ " OPERATOR(pg_catalog.=) "
#define NE " OPERATOR(pg_catalog.<>) "
#define LT " OPERATOR(pg_catalog.<) "
#define LE " OPERATOR(pg_catalog.<=) "
#define GT " OPERATOR(pg_catalog.>) "
#define GE " OPERATOR(pg_catalog.>=) "
#define C_ORDER " COLLATE pg_catalog.\"C\""
#define IS_INTENT(alias) alias ".outcome" EQ "'" INTENT_OUTCOME "'::pg_catalog.text"
#define IS_NO_INTENT(alias) alias ".outcome" NE "'" INTENT_OUTCOME "'::pg_catalog.text"

/* A statement that is being built, with its parameters. */
typedef struct Statement
{
	StringInfoData sql;
	int nargs;
	Oid types[NUM_TEXT_FILTERS + 5];
	Datum values[NUM_TEXT_FILTERS + 5];
} Statement;

extern void BeginStatement(Statement *st);
extern int AddParameter(Statement *st, Oid type, Datum value);
extern void SelectRecords(Statement *st, const AuditTable *table);
extern void AddConditions(Statement *st, const AuditTable *table, const ReplayQuery *query);
extern bool
AddLeftOut(Statement *st, const AuditTable *table, const ReplayQuery *query, LeftOut which);
extern void GuidePlanner(const AuditTable *table, const ReplayQuery *query);

#endif /* ACTEON_AUDIT_QUERY_H */
