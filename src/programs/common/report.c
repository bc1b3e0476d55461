/*
 * report.c
 *		--check: what is well and what is not, one line each on stdout.
 *
 * A line begins with "ok" or "FAILED"; the latter ends with what to do.
 */
#include "common/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/connect.h"
#include "common/extension.h"

static int failures;

/*
 * Report that something is well.
 */
void
ReportGood(const char *format, ...)
{
	va_list args;

	fputs("ok      ", stdout);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/*
 * Report that something is wrong, and what to do.  Line ends within are shown
 * as blanks.
 */
void
ReportBad(const char *what, const char *why, const char *hint)
{
	size_t len = strlen(why);

	failures++;
	while (len > 0 && why[len - 1] == '\n')
		len--;
	printf("FAILED  %s: ", what);
	for (size_t i = 0; i < len; i++)
		putchar(why[i] == '\n' ? ' ' : why[i]);
	if (hint != NULL)
		printf(" -- %s", hint);
	putchar('\n');
}

/*
 * What a program that has reported exits with.
 */
int
ReportStatus(void)
{
	return failures == 0 ? 0 : 1;
}

/*
 * Make a connection, or NULL.
 */
PGconn *
ReportConnection(const char *conninfo, const char *program, const char *what)
{
	PGconn *conn = ConnectNow(conninfo, program);

	if (PQstatus(conn) == CONNECTION_OK)
	{
		ReportGood("%s connection: database %s on %s as %s, server %s", what, PQdb(conn),
				   PQhost(conn) != NULL ? PQhost(conn) : "", PQuser(conn),
				   PQparameterStatus(conn, "server_version"));
		return conn;
	}
	ReportBad(what, PQerrorMessage(conn), "check --database, PGHOST and the like, and the server");
	PQfinish(conn);
	return NULL;
}

/*
 * Check that the extension is there in our version, or in one that is not older
 * than oldest.  Returns its schema, or NULL; the caller frees it.  What consumers may
 * ask of it goes to skills, unless that is NULL.
 */
char *
ReportExtension(PGconn *conn, const char *program, const char *oldest, ExtensionSkills *skills)
{
	PGresult *result = PQexec(conn, extension_find_sql);
	ExtensionFault fault;
	char *schema = NULL;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		ReportBad("extension", PQerrorMessage(conn),
				  "the role needs USAGE ON SCHEMA, for the schema of the extension");
	else if (!ExtensionFits(result, program, oldest, &fault))
	{
		ReportBad("extension", fault.why != NULL ? fault.why : fault.what, fault.hint);
		free(fault.why);
	}
	else
	{
		ReportGood("extension: acteon_replay %s in schema %s", PQgetvalue(result, 0, 1),
				   PQgetvalue(result, 0, 0));
		schema = DuplicateText(PQgetvalue(result, 0, 0));
		if (skills != NULL)
			*skills = ExtensionSkillsRead(result);
	}
	PQclear(result);
	return schema;
}
