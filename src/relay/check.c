/*
 * check.c
 *		--check: try everything that the relay needs.
 *
 * One line for each thing on stdout: ok, or what is wrong and what to do.
 * Nothing is claimed and nothing is sent.
 */
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database.h"
#include "gateway.h"
#include "queue.h"
#include "sealed.h"
#include "secret.h"

static int failures;

/*
 * Report that something is well.
 */
static void __attribute__((format(printf, 1, 2))) good(const char *format, ...)
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
static void
bad(const char *what, const char *why, const char *hint)
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
 * Check a file that holds a secret.
 */
static bool
check_mode(const char *path)
{
	if (!SecretIsExposed(path))
		return true;
	bad(path, "others can read it", "chmod 600 it");
	return false;
}

/*
 * Check the key files, and read the API key.
 */
static void
check_keys(const Settings *settings, Buffer *api_key)
{
	char *error = NULL;
	Keyring *keys;

	if (settings->api_key_file == NULL)
		good("API key: none, requests carry no Authorization");
	else if (!SecretReadApiKey(settings->api_key_file, api_key, &error))
		bad("API key", error, "check --api-key-file");
	else if (check_mode(settings->api_key_file))
		good("API key: read from %s", settings->api_key_file);
	free(error);
	if (settings->payload_key_files.count == 0)
	{
		good("payload keys: none, actions with sealed payloads will end dead");
		return;
	}
	keys = KeyringRead(&settings->payload_key_files, &error);
	if (keys == NULL)
	{
		bad("payload keys", error, "check --payload-key-file");
		free(error);
		return;
	}
	good("payload keys: %d read", KeyringCount(keys));
	KeyringFree(keys);
	for (int i = 0; i < settings->payload_key_files.count; i++)
		check_mode(settings->payload_key_files.texts[i]);
}

/*
 * Check the gateway.
 */
static void
check_gateway(const Settings *settings, const Buffer *api_key)
{
	Buffer error = {0};
	long status = GatewayProbe(settings, api_key, &error);

	if (status == 0)
		bad("gateway", BufferText(&error),
			"check --gateway-url, and for TLS --ca-file and --client-cert");
	else if (status == 401 || status == 403)
	{
		BufferPrint(&error, "%s answers %ld", settings->gateway_url, status);
		bad("gateway", error.data, "check the key in --api-key-file");
	}
	else
		good("gateway: %s answers (status %ld)", settings->gateway_url, status);
	BufferFree(&error);
}

/*
 * Make a connection, or NULL.
 */
static PGconn *
check_connection(const Settings *settings, const char *what)
{
	PGconn *conn = DatabaseConnectStart(settings->database, "acteon-relay", true);

	if (PQstatus(conn) == CONNECTION_OK)
	{
		good("%s connection: database %s on %s as %s, server %s", what, PQdb(conn),
			 PQhost(conn) != NULL ? PQhost(conn) : "", PQuser(conn),
			 PQparameterStatus(conn, "server_version"));
		return conn;
	}
	bad(what, PQerrorMessage(conn), "check --database, PGHOST and the like, and the server");
	PQfinish(conn);
	return NULL;
}

/*
 * Check that the extension is there in our version.  Returns its schema, or
 * NULL; the caller frees it.
 */
static char *
check_extension(PGconn *conn)
{
	PGresult *result = PQexec(conn, queue_find_sql);
	char *schema = NULL;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		bad("extension", PQerrorMessage(conn), NULL);
	else if (PQntuples(result) != 1)
		bad("extension", "acteon_replay is not in this database",
			"check --database, or CREATE EXTENSION acteon_replay");
	else if (strcmp(PQgetvalue(result, 0, 1), ACTEON_VERSION) != 0)
	{
		char *why =
			Format("it has version %s, this relay %s", PQgetvalue(result, 0, 1), ACTEON_VERSION);

		bad("extension", why,
			"install the relay of that version, or ALTER EXTENSION acteon_replay UPDATE");
		free(why);
	}
	else
	{
		good("extension: acteon_replay %s in schema %s", PQgetvalue(result, 0, 1),
			 PQgetvalue(result, 0, 0));
		schema = DuplicateText(PQgetvalue(result, 0, 0));
	}
	PQclear(result);
	return schema;
}

/*
 * Check that the role may use the queue.
 */
static void
check_queue(PGconn *conn, const char *schema)
{
	Queue queue = {0};
	QueueStats stats;
	PGresult *result;

	QueuePrepare(&queue, conn, schema);
	result = PQexec(conn, queue.stats);
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
	{
		QueueReadStats(result, &stats);
		good("queue: %s may use it; %lld waiting, %lld of them due, %lld dead", PQuser(conn),
			 (long long) stats.depth, (long long) stats.due, (long long) stats.dead);
	}
	else
		bad("queue", PQerrorMessage(conn),
			"the role needs USAGE on the extension's schema and a row in acteon_grants with the "
			"role gateway");
	PQclear(result);
	QueueFree(&queue);
}

/*
 * Check the database.
 */
static void
check_database(const Settings *settings)
{
	PGconn *conn = check_connection(settings, "work");
	char *schema;
	PGresult *result;

	if (conn == NULL)
		return;
	schema = check_extension(conn);
	if (schema != NULL)
		check_queue(conn, schema);
	free(schema);
	PQfinish(conn);
	if (settings->no_listen)
		return;
	conn = check_connection(settings, "listening");
	if (conn == NULL)
		return;
	result = PQexec(conn, "LISTEN " QUEUE_CHANNEL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		bad("listening", PQerrorMessage(conn),
			"--no-listen does without, for PgBouncer's transaction pooling and standbys");
	PQclear(result);
	PQfinish(conn);
}

/*
 * Check everything.  Returns the program's exit status.
 */
int
CheckRun(const Settings *settings)
{
	Buffer api_key = {0};

	check_database(settings);
	check_keys(settings, &api_key);
	check_gateway(settings, &api_key);
	BufferWipe(&api_key);
	return failures == 0 ? 0 : 1;
}
