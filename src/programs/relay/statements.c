/*
 * statements.c
 *		The statements of the queue.
 *
 * Each is complete in itself and needs nothing from the session, so that they
 * work through a pooler, and names everything with its schema.
 */
#include "relay/statements.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "query/states.h"

/* The figures of a long queue take their time. */
#define FIGURES_TIMEOUT MINUTE

/* What the role, the database or the server's configuration say must not keep us
 * from our work.  Settings that this server does not know are left out, but for those
 * of the extension, which it may only know later.  The last one ends with us: only on
 * Linux does the server look after its clients. */
#define SESSION_SQL(more) \
	"SELECT pg_catalog.set_config(s.name, s.value, $2::pg_catalog.bool) FROM (VALUES " \
	"('statement_timeout'::pg_catalog.text, $1::pg_catalog.text), " \
	"('lock_timeout', '0'), " \
	"('transaction_timeout', '0'), " \
	"('idle_session_timeout', '0'), " \
	"('idle_in_transaction_session_timeout', '0'), " \
	"('default_transaction_read_only', 'off'), " \
	"('default_transaction_isolation', 'read committed'), " \
	"('default_transaction_deferrable', 'off'), " \
	"('row_security', 'on'), " \
	"('jit', 'off'), " more "('search_path', 'pg_catalog'), " \
	"('client_connection_check_interval', CASE WHEN pg_catalog.strpos(pg_catalog.version(), " \
	"'linux') OPERATOR(pg_catalog.>) 0 THEN '1s' ELSE '0' END)) AS s(name, value) " \
	"WHERE pg_catalog.current_setting(s.name, true) IS NOT NULL " \
	"OR s.name OPERATOR(pg_catalog.=) 'acteon_replay.hold_doubts'"

const char queue_session_sql[] = SESSION_SQL("");
const char queue_stream_session_sql[] = SESSION_SQL("('acteon_replay.hold_doubts', 'on'), ");

/* In how many microseconds an action expires; NULL: never. */
#define EXPIRES_IN \
	"(EXTRACT(epoch FROM expires_at OPERATOR(pg_catalog.-) pg_catalog.clock_timestamp()) " \
	"OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8"

/* The claim, and with it what the outbox has of the actions, in the claim's order. */
#define CLAIM \
	"SELECT outbox_id, lease_token, attempt, action, %s, %s " \
	"FROM %s.acteon_outbox_claim($1::pg_catalog.text, $2::pg_catalog.int4, " \
	"$3::pg_catalog.interval%s)"
#define DESCRIBED_CLAIM \
	"WITH c AS MATERIALIZED (SELECT * FROM %1$s.acteon_outbox_claim($1::pg_catalog.text, " \
	"$2::pg_catalog.int4, $3::pg_catalog.interval%3$s) WITH ORDINALITY) " \
	"SELECT c.outbox_id, c.lease_token, c.attempt, c.action, c.action_id, %2$s, d.batch_id, " \
	"d.original_action_id, d.generation, d.namespace, d.tenant, d.provider, d.action_type, " \
	"d.fingerprint FROM c LEFT JOIN %1$s.acteon_outbox_describe((SELECT COALESCE(" \
	"pg_catalog.array_agg(c.outbox_id), '{}'::pg_catalog.int8[]) FROM c)) AS d " \
	"ON d.outbox_id OPERATOR(pg_catalog.=) c.outbox_id ORDER BY c.ordinality"

/* What version 1.0 does not take: the target, and where that is. */
#define CLAIM_TARGET ", $4::pg_catalog.text, $5::pg_catalog.text"

/* The first column of a described claim that is a Fact; they are in the order of those. */
#define FIRST_FACT 6

/*
 * Write the statements that record results.  An extension that takes no ids cannot
 * be told of a doubt: there, the action is given back as after a fault.
 */
static void
prepare_results(Queue *queue, const char *s)
{
	const char *id4 = queue->skills.ids ? ", $4::pg_catalog.uuid[]" : "";
	const char *id5 = queue->skills.ids ? ", $5::pg_catalog.uuid[]" : "";

	queue->finish[RESULT_ACK] =
		Format("SELECT %s.acteon_outbox_ack($1::pg_catalog.int8[], $2::pg_catalog.int8[], "
			   "$3::pg_catalog.jsonb[]%s)",
			   s, id4);
	queue->finish[RESULT_NACK] =
		Format("SELECT given_back, dead FROM %s.acteon_outbox_nack($1::pg_catalog.int8[], "
			   "$2::pg_catalog.int8[], $3::pg_catalog.text[], $4::pg_catalog.interval[]%s)",
			   s, id5);
	queue->finish[RESULT_REJECT] =
		Format("SELECT %s.acteon_outbox_reject($1::pg_catalog.int8[], $2::pg_catalog.int8[], "
			   "$3::pg_catalog.text[]%s)",
			   s, id4);
	queue->finish[RESULT_DOUBT] =
		queue->skills.ids
			? Format("SELECT %s.acteon_outbox_doubt($1::pg_catalog.int8[], $2::pg_catalog.int8[], "
					 "$3::pg_catalog.text[], $4::pg_catalog.uuid[])",
					 s)
			: DuplicateText(queue->finish[RESULT_NACK]);
}

/*
 * Write the statements for a schema and a target, and for what the extension in the schema
 * can do.  Claims tell facts of the actions if they are to, which the extension must be able
 * to, as it must for a target other than production.
 */
void
QueuePrepare(Queue *queue, PGconn *conn, const char *schema, ExtensionSkills skills,
			 const char *target, bool describes)
{
	char *s = PQescapeIdentifier(conn, schema, strlen(schema));
	const char *expires_in = skills.expiry ? EXPIRES_IN : "NULL";
	const char *more = skills.targets ? CLAIM_TARGET : "";
	char *stats, *only;

	QueueFree(queue);
	if (s == NULL)
	{
		Log(LOG_ERROR, "cannot quote the schema's name", LogText("error", PQerrorMessage(conn)));
		exit(1);
	}
	queue->skills = skills;
	queue->describes = describes;
	queue->target = DuplicateText(target);
	queue->claim = describes ? Format(DESCRIBED_CLAIM, s, expires_in, more)
							 : Format(CLAIM, skills.ids ? "action_id" : "''", expires_in, s, more);
	prepare_results(queue, s);
	queue->extend =
		Format("SELECT pg_catalog.unnest(%s.acteon_outbox_extend($1::pg_catalog.int8[], "
			   "$2::pg_catalog.interval))",
			   s);
	/* The name of a target has no character that would have to be escaped. */
	stats = skills.targets ? Format("acteon_outbox_read_stats('%s'::pg_catalog.text)", target)
						   : DuplicateText("acteon_outbox_stats");
	queue->stats = Format("SELECT depth, due, retrying, scheduled, leased, dead, "
						  "EXTRACT(epoch FROM oldest_due_age), paused, dead_5m, %s FROM %s.%s",
						  skills.doubts ? "in_doubt, held, canary" : "0, 0, 0", s, stats);
	free(stats);
	only = skills.targets
			   ? Format("target OPERATOR(pg_catalog.=) '%s'::pg_catalog.text AND ", target)
			   : DuplicateText("");
	/* What is in flight of a cancelled batch is not over yet. */
	queue->batches =
		Format("SELECT batch_id, waiting, in_flight, delivered, dead, cancelled, %s, "
			   "state OPERATOR(pg_catalog.=) '" BATCH_STATE_PAUSED "'::pg_catalog.text "
			   "FROM %s.acteon_replay_batches "
			   "WHERE %s(state OPERATOR(pg_catalog.<>) ALL ('" BATCH_STATES_OVER
			   "'::pg_catalog.text[]) "
			   "OR in_flight OPERATOR(pg_catalog.>) 0::pg_catalog.int8) "
			   "ORDER BY batch_id DESC LIMIT %d",
			   skills.expiry ? "expired" : "0", s, only, MAX_BATCHES);
	free(only);
	if (skills.sleep)
		queue->sleep = Format("SELECT %s.acteon_outbox_sleep($1::pg_catalog.bool)", s);
	PQfreemem(s);
}

/*
 * Give the statements back.
 */
void
QueueFree(Queue *queue)
{
	free(queue->claim);
	free(queue->target);
	for (int kind = 0; kind < RESULT_KINDS; kind++)
		free(queue->finish[kind]);
	free(queue->extend);
	free(queue->stats);
	free(queue->batches);
	free(queue->sleep);
	for (size_t i = 0; i < sizeof(queue->arrays) / sizeof(queue->arrays[0]); i++)
		BufferFree(&queue->arrays[i]);
	*queue = (Queue){0};
}

/*
 * Add a parameter that is a text.
 */
static void
add_text(Statement *statement, const char *value)
{
	statement->values[statement->count++] = value;
}

/*
 * Add a parameter that is an array.
 */
static void
add_array(Statement *statement, const Array *array)
{
	statement->values[statement->count] = array->data;
	statement->lengths[statement->count] = (int) array->len;
	statement->formats[statement->count++] = 1;
}

/*
 * Lease some actions, which are to be delivered to a place.
 */
void
QueueClaim(Queue *queue, Database *database, const char *consumer, const char *place, int count,
		   int64_t lease, DatabaseDone done)
{
	Statement statement = {.sql = queue->claim, .done = done};
	char *count_text = Format("%d", count);
	char *lease_text = Format("%lld microseconds", (long long) lease);

	add_text(&statement, consumer);
	add_text(&statement, count_text);
	add_text(&statement, lease_text);
	if (queue->skills.targets)
	{
		add_text(&statement, queue->target);
		add_text(&statement, place);
	}
	DatabaseSend(database, &statement);
	free(count_text);
	free(lease_text);
}

/*
 * Read the facts of an action that was claimed, which the caller frees; NULL if the
 * claim tells none.
 */
Facts *
QueueReadFacts(PGresult *result, int row)
{
	Facts *facts;
	size_t size = 0;
	char *at;

	if (PQnfields(result) < FIRST_FACT + NUM_FACTS)
		return NULL;
	for (int fact = 0; fact < NUM_FACTS; fact++)
		size += (size_t) PQgetlength(result, row, FIRST_FACT + fact) + 1;
	facts = Allocate(sizeof(Facts) + size);
	at = facts->memory;
	for (int fact = 0; fact < NUM_FACTS; fact++)
	{
		size_t len = (size_t) PQgetlength(result, row, FIRST_FACT + fact) + 1;

		if (PQgetisnull(result, row, FIRST_FACT + fact))
			continue;
		facts->texts[fact] = at;
		memcpy(at, PQgetvalue(result, row, FIRST_FACT + fact), len);
		at += len;
	}
	return facts;
}

/*
 * Record results of one kind: a number of them, from the first.
 */
void
QueueFinish(Queue *queue, Database *database, ResultKind kind, const Result *first, int count,
			DatabaseDone done)
{
	Statement statement = {.sql = queue->finish[kind], .done = done};
	Array *ids = &queue->arrays[0], *tokens = &queue->arrays[1];
	Array *texts = &queue->arrays[2], *delays = &queue->arrays[3], *names = &queue->arrays[4];
	bool delayed = kind == RESULT_NACK || (kind == RESULT_DOUBT && !queue->skills.ids);
	const Result *result = first;

	ArrayStart(ids, ARRAY_INT8, count);
	ArrayStart(tokens, ARRAY_INT8, count);
	ArrayStart(texts, kind == RESULT_ACK ? ARRAY_JSONB : ARRAY_TEXT, count);
	ArrayStart(delays, ARRAY_INTERVAL, count);
	ArrayStart(names, ARRAY_UUID, count);
	for (int i = 0; i < count; i++, result = result->next)
	{
		ArrayAddNumber(ids, result->outbox_id);
		ArrayAddNumber(tokens, result->token);
		if (result->text == NULL)
			ArrayAddNull(texts);
		else if (kind == RESULT_ACK)
			ArrayAddJson(texts, result->text, result->len);
		else
			ArrayAddText(texts, result->text, result->len);
		if (result->retry_after < 0)
			ArrayAddNull(delays);
		else
			ArrayAddInterval(delays, result->retry_after);
		ArrayAddUuid(names, result->action_id);
	}
	add_array(&statement, ids);
	add_array(&statement, tokens);
	add_array(&statement, texts);
	if (delayed)
		add_array(&statement, delays);
	if (queue->skills.ids)
		add_array(&statement, names);
	DatabaseSend(database, &statement);
	if (texts->size > 1024 * 1024)
		BufferFree(texts);
}

/*
 * Try whether the server takes what a result says, for a value of its own.  There
 * must be a text.
 */
void
QueueTry(Queue *queue, Database *database, ResultKind kind, const Result *result, DatabaseDone done)
{
	Statement statement = {.sql = kind == RESULT_ACK ? "SELECT $1::pg_catalog.jsonb[] IS NULL"
													 : "SELECT $1::pg_catalog.text[] IS NULL",
						   .done = done};
	Array *text = &queue->arrays[0];

	ArrayStart(text, kind == RESULT_ACK ? ARRAY_JSONB : ARRAY_TEXT, 1);
	if (kind == RESULT_ACK)
		ArrayAddJson(text, result->text, result->len);
	else
		ArrayAddText(text, result->text, result->len);
	add_array(&statement, text);
	DatabaseSend(database, &statement);
}

/*
 * Extend the leases that were chosen, of which there is at least one.
 */
void
QueueExtend(Queue *queue, Database *database, const Lease *leases, int64_t duration,
			DatabaseDone done)
{
	Statement statement = {.sql = queue->extend, .done = done};
	Array *tokens = &queue->arrays[0];
	char *duration_text = Format("%lld microseconds", (long long) duration);
	int count = 0;

	for (const Lease *lease = leases; lease != NULL; lease = lease->next)
		count += lease->asked ? 1 : 0;
	ArrayStart(tokens, ARRAY_INT8, count);
	for (const Lease *lease = leases; lease != NULL; lease = lease->next)
	{
		if (lease->asked)
			ArrayAddNumber(tokens, lease->token);
	}
	add_array(&statement, tokens);
	add_text(&statement, duration_text);
	DatabaseSend(database, &statement);
	free(duration_text);
}

/*
 * Ask how the queue is.
 */
void
QueueAskStats(Queue *queue, Database *database, DatabaseDone done)
{
	Statement statement = {.sql = queue->stats, .timeout = FIGURES_TIMEOUT, .done = done};

	DatabaseSend(database, &statement);
}

/*
 * Read the answer.
 */
void
QueueReadStats(PGresult *result, QueueStats *stats)
{
	*stats = (QueueStats){0};
	if (PQntuples(result) != 1)
		return;
	stats->depth = TextToNumber(PQgetvalue(result, 0, 0));
	stats->due = TextToNumber(PQgetvalue(result, 0, 1));
	stats->retrying = TextToNumber(PQgetvalue(result, 0, 2));
	stats->scheduled = TextToNumber(PQgetvalue(result, 0, 3));
	stats->leased = TextToNumber(PQgetvalue(result, 0, 4));
	stats->dead = TextToNumber(PQgetvalue(result, 0, 5));
	stats->oldest_due_age = strtod(PQgetvalue(result, 0, 6), NULL);
	stats->paused = TextToNumber(PQgetvalue(result, 0, 7));
	stats->dead_5m = TextToNumber(PQgetvalue(result, 0, 8));
	stats->in_doubt = TextToNumber(PQgetvalue(result, 0, 9));
	stats->held = TextToNumber(PQgetvalue(result, 0, 10));
	stats->canary = TextToNumber(PQgetvalue(result, 0, 11));
}

/*
 * Ask how the batches are that are not finished, the latest ones.
 */
void
QueueAskBatches(Queue *queue, Database *database, DatabaseDone done)
{
	Statement statement = {.sql = queue->batches, .timeout = FIGURES_TIMEOUT, .done = done};

	DatabaseSend(database, &statement);
}

/*
 * Read the answer into an array of MAX_BATCHES; returns how many there are.
 */
int
QueueReadBatches(PGresult *result, BatchFigures *batches)
{
	int count = PQntuples(result) < MAX_BATCHES ? PQntuples(result) : MAX_BATCHES;

	for (int i = 0; i < count; i++)
	{
		batches[i].id = TextToNumber(PQgetvalue(result, i, 0));
		for (int state = 0; state < BATCH_STATES; state++)
			batches[i].actions[state] = TextToNumber(PQgetvalue(result, i, 1 + state));
		batches[i].paused = strcmp(PQgetvalue(result, i, 1 + BATCH_STATES), "t") == 0;
	}
	return count;
}
