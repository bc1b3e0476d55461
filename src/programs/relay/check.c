/*
 * check.c
 *		--check: try everything that the relay needs.
 *
 * One line for each thing on stdout: ok, or what is wrong and what to do.
 * Nothing is claimed, and nothing is sent that would be executed.
 */
#include "relay/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/target_name.h"
#include "common/clock.h"
#include "common/database.h"
#include "common/report.h"
#include "common/secret.h"
#include "relay/check_gateway.h"
#ifdef WITH_KAFKA
#include "relay/check_kafka.h"
#endif
#include "relay/sealed.h"
#include "relay/signing.h"
#include "relay/sink.h"
#include "relay/statements.h"

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
 * Check the file with the API key, and read it.
 */
static void
check_api_key(const Settings *settings, Buffer *api_key)
{
	char *error = NULL;

	if (settings->api_key_file == NULL)
		ReportGood("API key: none, requests carry no Authorization");
	else if (!SecretReadApiKey(settings->api_key_file, api_key, &error))
		ReportBad("API key", error, "check --api-key-file");
	else if (check_mode(settings->api_key_file))
		ReportGood("API key: read from %s", settings->api_key_file);
	free(error);
}

/*
 * Check the files with keys that open payloads.
 */
static void
check_payload_keys(const Settings *settings)
{
	char *error = NULL;
	Keyring *keys;

	if (settings->payload_key_files.count == 0)
	{
		ReportGood("payload keys: none, actions with sealed payloads will become dead");
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
 * Check the file with keys that sign actions, and read them.  NULL: there are none.
 */
static Signers *
check_signing_keys(const Settings *settings)
{
	char *error = NULL;
	Signers *signers;

	if (settings->signing_key_file == NULL)
		return NULL;
	signers = SignersRead(settings->signing_key_file, &error);
	if (signers == NULL)
		ReportBad("signing keys", error, "check --signing-key-file");
	else
		ReportGood("signing keys: %d read", SignersCount(signers));
	free(error);
	return signers;
}

/*
 * Check that the role may use the queue.
 */
static void
check_queue(const Settings *settings, PGconn *conn, const char *schema, ExtensionSkills skills)
{
	Queue queue = {0};
	QueueStats stats;
	PGresult *result;
	bool is_production = strcmp(settings->target, PRODUCTION) == 0;

	QueuePrepare(&queue, conn, schema, skills, settings->target, false);
	result = PQexec(conn, queue.stats);
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
	{
		QueueReadStats(result, &stats);
		ReportGood("queue: %s may use it; %lld waiting%s%s, %lld of them due, %lld dead",
				   PQuser(conn), (long long) stats.depth, is_production ? "" : " for target ",
				   is_production ? "" : settings->target, (long long) stats.due,
				   (long long) stats.dead);
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
 * Run a query of which a text is wanted: the columns of one row, at most so many.
 * NULL if it fails, with *why, or finds nothing.
 */
static PGresult *
ask(PGconn *conn, char *sql, const char **why)
{
	PGresult *result = PQexec(conn, sql);

	free(sql);
	*why = NULL;
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		return result;
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		*why = PQerrorMessage(conn);
	PQclear(result);
	return NULL;
}

/*
 * Check that no relay for another target delivers where this one would: --target may have
 * been forgotten.
 */
static void
check_place(const Settings *settings, PGconn *conn, const char *schema)
{
	char *s = PQescapeIdentifier(conn, schema, strlen(schema));
	char *place = PQescapeLiteral(conn, SinkPlace(settings), strlen(SinkPlace(settings)));
	const char *why;
	PGresult *result = ask(conn,
						   Format("SELECT %s.acteon_outbox_other_target(%s::pg_catalog.text, "
								  "'%s'::pg_catalog.text)",
								  s, place, settings->target),
						   &why);

	PQfreemem(s);
	PQfreemem(place);
	/* What is amiss with the grant has been reported. */
	if (result == NULL)
		return;
	if (PQgetisnull(result, 0, 0))
		ReportGood("target: %s", settings->target);
	else
	{
		char *reason =
			Format("relays for target %s have delivered to %s, and this one is for target %s",
				   PQgetvalue(result, 0, 0), SinkPlace(settings), settings->target);

		ReportBad("target", reason,
				  "check --target and the address; if both are right, go on in spite of this");
		free(reason);
	}
	PQclear(result);
}

/*
 * Check that the time-outs go together: whoever waits for less time than the gateway
 * can take breaks off what it is executing.
 */
static void
check_times(const Settings *settings, PGconn *conn)
{
	const char *why;
	PGresult *result =
		ask(conn,
			DuplicateText("SELECT pg_catalog.current_setting('acteon_replay.gateway_patience'), "
						  "EXTRACT(epoch FROM pg_catalog.current_setting("
						  "'acteon_replay.gateway_patience')::pg_catalog.interval)"),
			&why);
	int64_t patience;

	if (result == NULL)
		return;
	patience = (int64_t) (strtod(PQgetvalue(result, 0, 1), NULL) * SECOND);
	if (settings->sink == NULL && settings->request_timeout < patience)
		ReportBad(
			"time-outs",
			"--request-timeout is shorter than acteon_replay.gateway_patience, which says how "
			"long the gateway may take: requests that it is still executing would be interrupted",
			"make --request-timeout longer, or acteon_replay.gateway_patience shorter if the "
			"gateway is quicker");
	else if (settings->grace < settings->request_timeout)
		ReportBad(
			"time-outs",
			"--grace is shorter than --request-timeout: at a stop, requests that may still be "
			"answered would be interrupted",
			"make --grace at least as long, and TimeoutStopSec of the unit longer");
	else
		ReportGood(
			"time-outs: the relay waits %lld s for an answer, acteon_replay.gateway_patience is %s",
			(long long) (settings->request_timeout / SECOND), PQgetvalue(result, 0, 0));
	PQclear(result);
}

/*
 * Check how old the newest record of the audit table is.  Without an index on the
 * time alone, it is looked for by outcome.
 */
static void
check_newest(PGconn *conn, const char *table, bool is_live)
{
	const char *why;
	PGresult *result = ask(
		conn,
		Format(
			"SELECT pg_catalog.date_trunc('second', pg_catalog.max(r.dispatched_at))::pg_catalog.text, "
			"pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() "
			"OPERATOR(pg_catalog.-) pg_catalog.max(r.dispatched_at))::pg_catalog.text "
			"FROM pg_catalog.unnest('{executed,failed,pending,circuit_open,suppressed,"
			"deduplicated,rerouted,throttled,scheduled,grouped}'::pg_catalog.text[]) AS o "
			"CROSS JOIN LATERAL (SELECT a.dispatched_at FROM %s AS a WHERE a.outcome "
			"OPERATOR(pg_catalog.=) o ORDER BY a.dispatched_at DESC LIMIT 1) AS r",
			table),
		&why);

	if (result == NULL)
	{
		ReportBad("audit table", why != NULL ? why : "cannot be read",
				  "can its owner read it? The extension reads it as its owner");
		return;
	}
	if (PQgetisnull(result, 0, 0))
		ReportGood("audit table: %s, without any record yet", table);
	else
		ReportGood("audit table: %s, newest record of %s, %s ago%s", table,
				   PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1),
				   is_live ? "" : "; acteon_replay.audit_is_live is off, doubts are held");
	PQclear(result);
}

/*
 * Check that the audit table is there: what became of an action whose answer was
 * lost stands in it.  The extension reads it as its owner; this role may not.
 */
static void
check_audit(PGconn *conn)
{
	const char *why;
	char *name = NULL;
	bool is_live = true;
	bool readable;
	PGresult *result = ask(
		conn,
		DuplicateText(
			"SELECT t.name, t.oid IS NOT NULL, t.oid::pg_catalog.text, "
			"pg_catalog.has_table_privilege(t.oid, 'SELECT') AND "
			"pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE'), "
			"pg_catalog.current_setting('acteon_replay.audit_is_live', true) "
			"FROM (SELECT n.name, pg_catalog.to_regclass(n.name) AS oid FROM "
			"(SELECT pg_catalog.current_setting('acteon_replay.audit_table') AS name) AS n) AS t "
			"LEFT JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) t.oid"),
		&why);

	if (result == NULL)
	{
		ReportBad("audit table", why != NULL ? why : "cannot be looked up", NULL);
		return;
	}
	if (strcmp(PQgetvalue(result, 0, 1), "t") != 0)
		ReportBad(
			"audit table", "there is none under the name in acteon_replay.audit_table",
			"set it to the gateway's table, with its schema; without it nothing is known about "
			"actions whose answers are lost");
	else
		name = DuplicateText(PQgetvalue(result, 0, 2));
	readable = strcmp(PQgetvalue(result, 0, 3), "t") == 0;
	is_live = strcmp(PQgetvalue(result, 0, 4), "off") != 0;
	PQclear(result);
	if (name == NULL)
		return;
	if (readable)
		check_newest(conn, name, is_live);
	else
		ReportGood(
			"audit table: %s is there; the age of its newest record is not known, because %s may "
			"not read it, and need not",
			name, PQuser(conn));
	free(name);
}

/*
 * Find what the key can be tried with: what --check-as says, or one of the newest
 * batches if it was for one tenant, namespace, provider and type.
 */
static void
find_trial(const Settings *settings, PGconn *conn, const char *schema, Trial *trial)
{
	char *s;
	const char *why;
	const char *parts[4];
	PGresult *result;

	if (settings->check_as != NULL)
		return;
	s = PQescapeIdentifier(conn, schema, strlen(schema));
	result = ask(conn,
				 Format("SELECT q.tenant, q.namespace, q.provider, q.action_type FROM "
						"(SELECT b.query FROM %s.acteon_replay_batches AS b "
						"ORDER BY b.batch_id DESC LIMIT 20) AS n CROSS JOIN LATERAL "
						"pg_catalog.jsonb_to_record(n.query) AS q (tenant pg_catalog.text, "
						"namespace pg_catalog.text, provider pg_catalog.text, "
						"action_type pg_catalog.text) WHERE (q.tenant, q.namespace, q.provider, "
						"q.action_type) IS NOT NULL LIMIT 1",
						s),
				 &why);
	PQfreemem(s);
	if (result == NULL)
		return;
	for (int i = 0; i < 4; i++)
		parts[i] = PQgetvalue(result, 0, i);
	TrialTake(trial, parts);
	PQclear(result);
}

/*
 * Take what --check-as says apart: three slashes, as was checked.
 */
static void
take_check_as(const Settings *settings, Trial *trial)
{
	char *text, *rest;
	const char *parts[4];

	if (settings->check_as == NULL)
		return;
	text = DuplicateText(settings->check_as);
	rest = text;
	for (int i = 0; i < 4; i++)
		parts[i] = strsep(&rest, "/");
	TrialTake(trial, parts);
	free(text);
}

/*
 * Check the database.
 */
static void
check_database(const Settings *settings, Trial *trial)
{
	PGconn *conn = ReportConnection(settings->database, PROGRAM, "work");
	ExtensionSkills skills = {0};
	char *schema;
	PGresult *result;

	if (conn == NULL)
		return;
	schema = ReportExtension(conn, PROGRAM, OLDEST_EXTENSION, &skills);
	if (schema != NULL)
	{
		if (!skills.targets && strcmp(settings->target, PRODUCTION) != 0)
			ReportBad(
				"extension",
				"it cannot be used with --target: its acteon_outbox_claim has no such argument",
				"ALTER EXTENSION acteon_replay UPDATE");
		check_queue(settings, conn, schema, skills);
		if (settings->sink != NULL && !skills.describes)
			ReportBad("extension",
					  "it cannot be used with --sink: it has no acteon_outbox_describe",
					  "ALTER EXTENSION acteon_replay UPDATE");
		if (skills.targets)
			check_place(settings, conn, schema);
		check_times(settings, conn);
		check_audit(conn);
		find_trial(settings, conn, schema, trial);
	}
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
	Trial trial = {0};
	Signers *signers;

	check_database(settings, &trial);
	take_check_as(settings, &trial);
	signers = check_signing_keys(settings);
#ifdef WITH_KAFKA
	if (settings->kafka_topic != NULL)
	{
		if (settings->kafka_option_file != NULL)
			check_mode(settings->kafka_option_file);
		check_payload_keys(settings);
		CheckKafka(settings);
	}
#endif
	if (settings->gateway_url != NULL)
	{
		check_api_key(settings, &api_key);
		check_payload_keys(settings);
		CheckGateway(settings, &api_key, &trial, signers);
	}
	SignersFree(signers);
	BufferWipe(&api_key);
	TrialFree(&trial);
	return ReportStatus();
}
