/*
 * own_table.c
 *		The extension's own tables: where they are, and whose.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/error_reason.h"
#include "base/own_table.h"

/*
 * Oid of one of the extension's tables or sequences, which lives in the schema
 * of the extension's functions.
 */
Oid
OwnTable(Oid schema, const char *name)
{
	Oid relid = get_relname_relid(name, schema);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE), errreason(CODE_BROKEN_INSTALLATION),
				 errmsg("relation \"%s\" of extension acteon_replay is missing", name),
				 errhint("The functions and tables of the extension must be in one schema.")));
	return relid;
}

/*
 * Owner of a table, as whom its rows are written.
 */
Oid
TableOwner(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}
