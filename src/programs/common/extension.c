/*
 * extension.c
 *		The extension in the database: is it there, and does it fit this program?
 */
#include "common/extension.h"

#include <string.h>

#include "common/buffer.h"

/* Is there a function in the extension's schema? */
#define HAS_FUNCTION(signature) \
	"pg_catalog.to_regprocedure(pg_catalog.format('%I." signature "', n.nspname)) IS NOT NULL"

/* Does a claim return a column? */
#define CLAIM_HAS(column) \
	"EXISTS (SELECT FROM pg_catalog.pg_proc AS p " \
	"WHERE p.pronamespace OPERATOR(pg_catalog.=) n.oid " \
	"AND p.proname OPERATOR(pg_catalog.=) 'acteon_outbox_claim' " \
	"AND '" column "'::pg_catalog.text OPERATOR(pg_catalog.=) ANY (p.proargnames))"

/* Do the figures of the queue have a column? */
#define STATS_HAVE(column) \
	"EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid OPERATOR(pg_catalog.=) " \
	"pg_catalog.to_regclass(pg_catalog.format('%I.acteon_outbox_stats', n.nspname)) " \
	"AND a.attname OPERATOR(pg_catalog.=) '" column "')"

/* What an extension can do; see ExtensionSkills. */
#define DOUBTS_NAME_IDS HAS_FUNCTION("acteon_outbox_doubt(int8[],int8[],text[],uuid[])")
#define ACKS_NAME_IDS HAS_FUNCTION("acteon_outbox_ack(int8[],int8[],jsonb[],uuid[])")
#define NACKS_NAME_IDS HAS_FUNCTION("acteon_outbox_nack(int8[],int8[],text[],interval[],uuid[])")
#define REJECTS_NAME_IDS HAS_FUNCTION("acteon_outbox_reject(int8[],int8[],text[],uuid[])")
#define CONSUMERS_SLEEP HAS_FUNCTION("acteon_outbox_sleep(boolean)")
#define STATS_TELL_DOUBTS STATS_HAVE("held")
#define ACTIONS_ARE_DESCRIBED HAS_FUNCTION("acteon_outbox_describe(int8[])")
#define CLAIMS_TELL_EXPIRY CLAIM_HAS("expires_at")
#define CLAIMS_TAKE_TARGETS HAS_FUNCTION("acteon_outbox_claim(text,int4,interval,text,text)")

/* From the third column on it is read by ExtensionSkillsRead.  All of the answers name ids,
 * or none does. */
const char extension_find_sql[] =
	"SELECT n.nspname, e.extversion, " DOUBTS_NAME_IDS " AND " ACKS_NAME_IDS " AND " NACKS_NAME_IDS
	" AND " REJECTS_NAME_IDS ", " CONSUMERS_SLEEP ", " STATS_TELL_DOUBTS ", " ACTIONS_ARE_DESCRIBED
	", " CLAIMS_TELL_EXPIRY ", " CLAIMS_TAKE_TARGETS
	" FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n "
	"ON n.oid OPERATOR(pg_catalog.=) e.extnamespace "
	"WHERE e.extname OPERATOR(pg_catalog.=) 'acteon_replay'";

/*
 * Read what consumers may ask of an extension that was found.
 */
ExtensionSkills
ExtensionSkillsRead(const PGresult *result)
{
	return (ExtensionSkills){
		.ids = strcmp(PQgetvalue(result, 0, 2), "t") == 0,
		.sleep = strcmp(PQgetvalue(result, 0, 3), "t") == 0,
		.doubts = strcmp(PQgetvalue(result, 0, 4), "t") == 0,
		.describes = strcmp(PQgetvalue(result, 0, 5), "t") == 0,
		.expiry = strcmp(PQgetvalue(result, 0, 6), "t") == 0,
		.targets = strcmp(PQgetvalue(result, 0, 7), "t") == 0,
	};
}

/*
 * Does the result of that query, which has worked, tell of an extension of this
 * program's version, or of the oldest one that it can work with?  If not, what is
 * wrong.
 */
bool
ExtensionFits(const PGresult *result, const char *program, const char *oldest,
			  ExtensionFault *fault)
{
	const char *version;

	if (PQntuples(result) != 1)
	{
		*fault = (ExtensionFault){"the extension acteon_replay is not in this database", NULL,
								  "check --database, or CREATE EXTENSION acteon_replay"};
		return false;
	}
	version = PQgetvalue(result, 0, 1);
	if (strcmp(version, EXTENSION_VERSION) == 0 || strcmp(version, oldest) == 0)
		return true;
	*fault = (ExtensionFault){
		"the extension and this program do not fit together",
		Format("the extension has version %s, %s %s", version, program, ACTEON_VERSION),
		"install the program of that version, or ALTER EXTENSION acteon_replay UPDATE"};
	return false;
}
