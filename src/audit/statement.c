/*
 * statement.c
 *		A statement that is being built.
 *
 * Its text is made of quoted identifiers and of operators of pg_catalog; values are
 * parameters.
 */
#include "postgres.h"

#include "audit/statement.h"
#include "base/operators.h"

/*
 * Begin a statement, with nothing in it yet.
 */
void
BeginStatement(Statement *st)
{
	initStringInfo(&st->sql);
	st->nargs = 0;
}

/*
 * Add a parameter; returns its number.
 */
int
AddParameter(Statement *st, Oid type, Datum value)
{
	Assert(st->nargs < lengthof(st->types));
	st->types[st->nargs] = type;
	st->values[st->nargs] = value;
	return ++st->nargs;
}

/*
 * Add that a text column is equal to a parameter, or to an element of one.
 */
void
AddEqual(Statement *st, const AuditTable *table, const char *alias, const char *column,
		 const char *format, int parameter)
{
	char *equals = psprintf(EQ "%s", psprintf(format, parameter));

	appendStringInfo(&st->sql, " AND %s", TextTest(table, alias, column, equals));
}
