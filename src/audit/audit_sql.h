/*
 * audit_sql.h
 *		The statements that search the audit table.
 */
#ifndef ACTEON_AUDIT_SQL_H
#define ACTEON_AUDIT_SQL_H

#include "lib/stringinfo.h"
#include "utils/array.h"

#include "audit/audit_scan.h"

#define INTENT_OUTCOME "pending"
#define EXECUTED_OUTCOME "executed"
#define CHAIN_ORIGIN_OUTCOME "chain_started"

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

/* Filters and times, perhaps twice, outcomes, a cursor, the age of intents, and ids. */
#define MAX_PARAMETERS (2 * (NUM_TEXT_FILTERS + 2) + MAX_OUTCOMES + 4)

/* A statement that is being built, with its parameters. */
typedef struct Statement
{
	StringInfoData sql;
	int nargs;
	Oid types[MAX_PARAMETERS];
	Datum values[MAX_PARAMETERS];
} Statement;

/* What candidates are selected for. */
typedef struct CandidateUse
{
	bool in_order;    /* they are read in the query's order, and perhaps not all */
	ArrayType *among; /* action ids that they must have; NULL: any */
} CandidateUse;

extern void BeginStatement(Statement *st);
extern int AddParameter(Statement *st, Oid type, Datum value);
extern void SelectRecords(Statement *st, const AuditTable *table);
extern void AddRecords(Statement *st, const AuditTable *table);
extern void AddCandidates(Statement *st, const AuditTable *table, const ReplayQuery *query,
						  const CandidateUse *use);
extern bool
AddLeftOut(Statement *st, const AuditTable *table, const ReplayQuery *query, LeftOut which);
extern void GuidePlanner(const AuditTable *table, const ReplayQuery *query);

#endif /* ACTEON_AUDIT_SQL_H */
