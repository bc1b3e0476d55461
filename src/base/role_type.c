/*
 * role_type.c
 *		The type acteon_role: a role that may be gone.
 *
 * It is the role's OID, as in regrole, so that it follows ALTER ROLE ... RENAME and
 * never means a later role of the same name.  As text it is the name that the role has
 * now, or nothing if the role was dropped; a name of no role is read as no role.  So a
 * dump names roles as they are named when it is made, and loads where some of them do
 * not exist; where it is loaded, the role of that name counts, whatever its OID, as for
 * everything that pg_dump says of owners and privileges.
 */
#include "postgres.h"

#include "fmgr.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/acl.h"

PG_FUNCTION_INFO_V1(acteon_role_in);
PG_FUNCTION_INFO_V1(acteon_role_out);
PG_FUNCTION_INFO_V1(acteon_role_recv);
PG_FUNCTION_INFO_V1(acteon_role_send);

/*
 * The name of a role, empty if there is none of this OID.
 */
static char *
present_name(Oid role)
{
	char *name = OidIsValid(role) ? GetUserNameFromId(role, true) : NULL;

	return name == NULL ? pstrdup("") : name;
}

/*
 * acteon_role_in(cstring) -> acteon_role
 *
 * The role of this name, without quotes; none if there is no such role.
 */
Datum
acteon_role_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(get_role_oid(PG_GETARG_CSTRING(0), true));
}

/*
 * acteon_role_out(acteon_role) -> cstring
 *
 * The present name of the role, empty if there is none.
 */
Datum
acteon_role_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(present_name(PG_GETARG_OID(0)));
}

/*
 * acteon_role_recv(internal) -> acteon_role
 *
 * The binary form, which is the text.
 */
Datum
acteon_role_recv(PG_FUNCTION_ARGS)
{
	StringInfo message = (StringInfo) PG_GETARG_POINTER(0);
	int bytes;
	char *name = pq_getmsgtext(message, message->len - message->cursor, &bytes);

	PG_RETURN_OID(get_role_oid(name, true));
}

/*
 * acteon_role_send(acteon_role) -> bytea
 *
 * The binary form, which is the text.
 */
Datum
acteon_role_send(PG_FUNCTION_ARGS)
{
	char *name = present_name(PG_GETARG_OID(0));
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendtext(&message, name, strlen(name));
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}
