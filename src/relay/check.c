/*
 * check.c
 *		--check: try everything that the relay needs.
 *
 * One line for each thing on stdout: ok, or what is wrong and what to do.
 * Nothing is claimed and nothing is sent.
 */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "database.h"
#include "gateway.h"
#include "queue.h"
#include "report.h"
#include "sealed.h"
#include "secret.h"

#define PROGRAM "acteon-relay"

/*
 * Check a file that holds a secret.
 */
static bool
check_mode(const char *path)
{
	if (!SecretIsExposed(path))
		return true;
	ReportBad(path, "others can read it", "chmod 600 it");
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
		ReportGood("API key: none, requests carry no Authorization");
	else if (!SecretReadApiKey(settings->api_key_file, api_key, &error))
		ReportBad("API key", error, "check --api-key-file");
	else if (check_mode(settings->api_key_file))
		ReportGood("API key: read from %s", settings->api_key_file);
	free(error);
	if (settings->payload_key_files.count == 0)
	{
		ReportGood("payload keys: none, actions with sealed payloads will end dead");
		return;
	}
	keys = KeyringRead(&settings->payload_key_files, &error);
	if (keys == NULL)
	{
		ReportBad("payload keys", error, "check --payload-key-file");
		free(error);
		return;
	}
	ReportGood("payload keys: %d read", KeyringCount(keys));
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
		ReportBad("gateway", BufferText(&error),
				  "check --gateway-url, and for TLS --ca-file and --client-cert");
	else if (status == 401 || status == 403)
	{
		BufferPrint(&error, "%s answers %ld", settings->gateway_url, status);
		ReportBad("gateway", error.data, "check the key in --api-key-file");
	}
	else
		ReportGood("gateway: %s answers (status %ld)", settings->gateway_url, status);
	BufferFree(&error);
}

/*
 * Check that the role may use the queue.
 */
static void
check_queue(PGconn *conn, const char *schema, ExtensionSkills skills)
{
	Queue queue = {0};
	QueueStats stats;
	PGresult *result;

	QueuePrepare(&queue, conn, schema, skills);
	result = PQexec(conn, queue.stats);
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
	{
		QueueReadStats(result, &stats);
		ReportGood("queue: %s may use it; %lld waiting, %lld of them due, %lld dead", PQuser(conn),
				   (long long) stats.depth, (long long) stats.due, (long long) stats.dead);
	}
	else
		ReportBad(
			"queue", PQerrorMessage(conn),
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
	PGconn *conn = ReportConnection(settings->database, PROGRAM, "work");
	ExtensionSkills skills = {0};
	char *schema;
	PGresult *result;

	if (conn == NULL)
		return;
	schema = ReportExtension(conn, PROGRAM, OLDEST_EXTENSION, &skills);
	if (schema != NULL)
		check_queue(conn, schema, skills);
	free(schema);
	PQfinish(conn);
	if (settings->no_listen)
		return;
	conn = ReportConnection(settings->database, PROGRAM, "listening");
	if (conn == NULL)
		return;
	result = PQexec(conn, "LISTEN " QUEUE_CHANNEL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		ReportBad("listening", PQerrorMessage(conn),
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
	return ReportStatus();
}
