/*
 * statement.h
 *		A statement that is being built.
 */
#ifndef ACTEON_STATEMENT_H
#define ACTEON_STATEMENT_H

#include "lib/stringinfo.h"

#include "audit/audit_table.h"
#include "query/query.h"

/*
 * What a record has to meet, and what leaves it out: text filters, two times, a tree of
 * tenants of two, a payload of four, ids; and outcomes of what is left out.
 */
#define CONDITION_PARAMETERS (2 * (NUM_TEXT_FILTERS + 2 + 2 + 4 + 1) + 1)

/* Conditions, perhaps twice, outcomes, a cursor, the age of intents, and ids. */
#define MAX_PARAMETERS (2 * CONDITION_PARAMETERS + MAX_OUTCOMES + 10)

/* A statement, with its parameters. */
typedef struct Statement
{
	StringInfoData sql;
	int nargs;
	Oid types[MAX_PARAMETERS];
	Datum values[MAX_PARAMETERS];
} Statement;

extern void BeginStatement(Statement *st);
extern int AddParameter(Statement *st, Oid type, Datum value);
extern void AddEqual(Statement *st, const AuditTable *table, const char *alias, const char *column,
					 const char *format, int parameter);

#endif /* ACTEON_STATEMENT_H */
