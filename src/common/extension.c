/*
 * extension.c
 *		The extension in the database: is it there, and does it fit this program?
 */
#include "extension.h"

#include <string.h>

#include "buffer.h"

const char extension_find_sql[] =
	"SELECT n.nspname, e.extversion FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace "
	"AS n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace "
	"WHERE e.extname OPERATOR(pg_catalog.=) 'acteon_replay'";

/*
 * Does the result of that query, which has worked, tell of an extension of this
 * program's version?  If not, what is wrong.
 */
bool
ExtensionFits(const PGresult *result, const char *program, ExtensionFault *fault)
{
	const char *version;

	if (PQntuples(result) != 1)
	{
		*fault = (ExtensionFault){"the extension acteon_replay is not in this database", NULL,
								  "check --database, or CREATE EXTENSION acteon_replay"};
		return false;
	}
	version = PQgetvalue(result, 0, 1);
	if (strcmp(version, ACTEON_VERSION) == 0)
		return true;
	*fault = (ExtensionFault){
		"the extension and this program do not fit together",
		Format("the extension has version %s, %s %s", version, program, ACTEON_VERSION),
		"install the program of that version, or ALTER EXTENSION acteon_replay UPDATE"};
	return false;
}
