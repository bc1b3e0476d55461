/*
 * check.c
 *		--check: try everything that the server needs.
 *
 * One line for each thing on stdout: ok, or what is wrong and what to do.
 * Nothing is replayed.
 */
#include "http/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/report.h"
#include "common/secret.h"
#include "http/tls.h"

#define GRANT_HINT \
	"GRANT EXECUTE ON FUNCTION acteon_api_login, acteon_api_begin, acteon_api_finish, " \
	"acteon_api_housekeeping TO the server's role, and USAGE ON SCHEMA where it has none"

/*
 * Check what the role is, and what it can become.
 */
static void
check_memberships(PGconn *conn)
{
	PGresult *result = PQexec(
		conn,
		"SELECT rolsuper, rolinherit, (SELECT pg_catalog.count(*) FROM pg_catalog.pg_auth_members AS m "
		"WHERE m.member OPERATOR(pg_catalog.=) r.oid), "
		"(SELECT pg_catalog.min(s.rolname::pg_catalog.text) FROM pg_catalog.pg_roles AS s WHERE s.rolsuper "
		"AND pg_catalog.pg_has_role(r.oid, s.oid, 'MEMBER'::pg_catalog.text)) "
		"FROM pg_catalog.pg_roles AS r WHERE rolname OPERATOR(pg_catalog.=) CURRENT_USER");

	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
		ReportBad("role", PQerrorMessage(conn), NULL);
	else if (strcmp(PQgetvalue(result, 0, 0), "t") == 0)
		ReportBad("role", "it is a superuser", "use one that can do nothing but look up keys");
	else if (!PQgetisnull(result, 0, 3))
	{
		char *why = Format("it can become the superuser %s", PQgetvalue(result, 0, 3));

		ReportBad("role", why, "REVOKE that role from it");
		free(why);
	}
	else if (strcmp(PQgetvalue(result, 0, 1), "t") == 0)
		ReportBad("role", "it inherits the privileges of the keys' roles",
				  "ALTER ROLE ... NOINHERIT");
	else if (strcmp(PQgetvalue(result, 0, 2), "0") == 0)
		ReportBad("role", "it is a member of no role, so it could not act as the role of any key",
				  "GRANT the roles of the keys to it");
	else
		ReportGood("role: %s, which can become %s other role%s", PQuser(conn),
				   PQgetvalue(result, 0, 2), strcmp(PQgetvalue(result, 0, 2), "1") == 0 ? "" : "s");
	PQclear(result);
}

/*
 * Check what the role may do, and what it should not.
 */
static void
check_role(PGconn *conn, const char *schema)
{
	static const char *const functions[] = {
		"acteon_api_login(pg_catalog.bytea)",
		"acteon_api_begin(pg_catalog.int8,pg_catalog.text,pg_catalog.bytea)",
		"acteon_api_finish(pg_catalog.int8,pg_catalog.text,pg_catalog.int4,pg_catalog.text)",
		"acteon_api_housekeeping(pg_catalog.int8[],pg_catalog.timestamptz[])"};
	PGresult *result;
	char *quoted = PQescapeIdentifier(conn, schema, strlen(schema));

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
	{
		char *signature = Format("%s.%s", quoted, functions[i]);
		const char *values[] = {signature};

		result = PQexecParams(
			conn,
			"SELECT pg_catalog.has_function_privilege($1::pg_catalog.text, 'EXECUTE'::pg_catalog.text)",
			1, NULL, values, NULL, NULL, 0);
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			ReportBad(functions[i], PQerrorMessage(conn), GRANT_HINT);
		else if (strcmp(PQgetvalue(result, 0, 0), "t") != 0)
			ReportBad(functions[i], "the role may not call it", GRANT_HINT);
		PQclear(result);
		free(signature);
	}
	PQfreemem(quoted);
	check_memberships(conn);
}

/*
 * Check that the role of requests without a key can be taken.
 */
static void
check_anonymous(PGconn *conn, const char *role)
{
	const char *values[] = {role};
	PGresult *result =
		PQexecParams(conn,
					 "SELECT pg_catalog.set_config('role'::pg_catalog.text, $1::pg_catalog.text, "
					 "true)",
					 1, NULL, values, NULL, NULL, 0);

	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		ReportGood("requests without a key: act as %s", role);
	else
		ReportBad("requests without a key", PQerrorMessage(conn),
				  "GRANT the role of --allow-anonymous to the server's");
	PQclear(result);
}

/*
 * Check the database.
 */
static void
check_database(const Settings *settings)
{
	PGconn *conn = ReportConnection(settings->database, PROGRAM, "worker");
	char *schema;

	if (conn == NULL)
		return;
	schema = ReportExtension(conn, PROGRAM, EXTENSION_VERSION, NULL);
	if (schema != NULL)
		check_role(conn, schema);
	if (settings->anonymous != NULL)
		check_anonymous(conn, settings->anonymous);
	free(schema);
	PQfinish(conn);
}

/*
 * Check the files of TLS.
 */
static void
check_tls_files(const Settings *settings)
{
	Buffer cert = {0}, key = {0};
	char *error = NULL;
	TlsFault fault;

	if (!SecretRead(settings->tls_cert, &cert, &error) ||
		!SecretRead(settings->tls_key, &key, &error))
		ReportBad("TLS", error, "check --tls-cert and --tls-key");
	else if ((fault = TlsFind(&cert, &key)).text != NULL)
		ReportBad("TLS", fault.text, "check --tls-cert and --tls-key");
	else if (SecretIsExposed(settings->tls_key))
		ReportBad("TLS", "others can read the private key", "chmod 600 it");
	else
		ReportGood("TLS: with the certificate in %s", settings->tls_cert);
	BufferFree(&cert);
	BufferWipe(&key);
	free(error);
}

/*
 * Check TLS.
 */
static void
check_tls(const Settings *settings)
{
	if (settings->tls_cert == NULL)
		ReportGood(
			"TLS: off%s",
			AddressIsLoopback(&settings->listen)
				? ""
				: "; API keys are sent in plain text, unless a proxy in front of the server uses "
				  "TLS");
	else
		check_tls_files(settings);
}

/*
 * Check everything.  Returns the program's exit status.
 */
int
CheckRun(const Settings *settings)
{
	int port, fd;

	check_database(settings);
	check_tls(settings);
	fd = SocketListen(&settings->listen, &port);
	if (fd >= 0)
	{
		ReportGood("listening: %s is available", settings->listen.text);
		close(fd);
	}
	else
		ReportBad("listening", "the address is not available",
				  "check --listen, and whether another program listens there");
	return ReportStatus();
}
