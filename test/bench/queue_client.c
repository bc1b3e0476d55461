/*
 * queue_client.c
 *		The client of the queue benchmark: takes actions from a queue and tells
 *		it what became of them, as fast as it can, in two autocommitted
 *		statements a call.  Prints how many actions, in how many seconds, of
 *		which how many were spent waiting for claims and for acks.
 *
 *		queue_client SECONDS LIMIT CLAIM ACK
 *
 * CLAIM is a statement that returns rows of (id, token, action).  ACK takes
 * either ($1 ids, $2 tokens, $3 outcomes), arrays with an element an action,
 * or ($1 token) alone.  It ends when the time is over, when it has had LIMIT
 * actions (0: no limit) or when a claim comes back empty.  The connection
 * follows libpq's environment.
 */
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A text that grows. */
typedef struct Text
{
	char *data;
	size_t length;
	size_t allocated;
} Text;

static PGconn *connection;

/*
 * Say what the server said, and end.
 */
static void
fail(const char *what)
{
	fprintf(stderr, "queue_client: %s: %s", what, PQerrorMessage(connection));
	exit(1);
}

/*
 * The time in seconds, from some moment on.
 */
static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

/*
 * Append bytes to a text; it is always terminated.
 */
static void
append(Text *text, const char *bytes, size_t length)
{
	if (text->length + length + 1 > text->allocated)
	{
		text->allocated = 2 * (text->length + length + 1);
		text->data = realloc(text->data, text->allocated);
		if (text->data == NULL)
			abort();
	}
	memcpy(text->data + text->length, bytes, length);
	text->length += length;
	text->data[text->length] = '\0';
}

/*
 * Begin an array, or its next element.
 */
static void
begin_element(Text *array, int element)
{
	if (element == 0)
		array->length = 0;
	append(array, element == 0 ? "{" : ",", 1);
}

/*
 * Prepare a statement and return how many parameters it has.
 */
static int
prepare(const char *name, const char *statement)
{
	PGresult *result = PQprepare(connection, name, statement, 0, NULL);
	int parameters;

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail(statement);
	PQclear(result);
	result = PQdescribePrepared(connection, name);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail(statement);
	parameters = PQnparams(result);
	PQclear(result);
	return parameters;
}

/*
 * Read what was claimed as a consumer does, the actions byte by byte, and make
 * the arrays of the answer.
 */
static void
handle(const PGresult *claimed, Text *action, Text *ids, Text *tokens, Text *outcomes)
{
	int rows = PQntuples(claimed);

	for (int i = 0; i < rows; i++)
	{
		char outcome[200];
		int length;

		action->length = 0;
		append(action, PQgetvalue(claimed, i, 2), (size_t) PQgetlength(claimed, i, 2));
		length = snprintf(
			outcome, sizeof(outcome),
			"\"{\\\"Executed\\\": {\\\"status\\\": \\\"success\\\", \\\"body\\\": "
			"{\\\"message_id\\\": \\\"msg-%s\\\", \\\"bytes\\\": %zu}, \\\"headers\\\": {}}}\"",
			PQgetvalue(claimed, i, 0), strlen(action->data));
		begin_element(ids, i);
		append(ids, PQgetvalue(claimed, i, 0), (size_t) PQgetlength(claimed, i, 0));
		begin_element(tokens, i);
		append(tokens, PQgetvalue(claimed, i, 1), (size_t) PQgetlength(claimed, i, 1));
		begin_element(outcomes, i);
		append(outcomes, outcome, (size_t) length);
	}
	append(ids, "}", 1);
	append(tokens, "}", 1);
	append(outcomes, "}", 1);
}

/*
 * Send the answer.  Every action of it must be recorded.
 */
static void
acknowledge(int parameters, const PGresult *claimed, const char *const *arrays)
{
	const char *token = PQgetvalue(claimed, 0, 1);
	PGresult *result = PQexecPrepared(connection, "ack", parameters,
									  parameters == 1 ? &token : arrays, NULL, NULL, 0);
	int expected = parameters == 1 ? 1 : PQntuples(claimed);
	int recorded;

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		fail("ack");
	recorded = atoi(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : PQcmdTuples(result));
	if (recorded != expected)
	{
		fprintf(stderr, "queue_client: %d of %d actions were recorded\n", recorded, expected);
		exit(1);
	}
	PQclear(result);
}

int
main(int argc, char **argv)
{
	Text action = {0}, ids = {0}, tokens = {0}, outcomes = {0};
	double began, limit, in_claims = 0, in_acks = 0;
	long messages = 0, most;
	int parameters;

	if (argc != 5)
	{
		fprintf(stderr, "usage: queue_client SECONDS LIMIT CLAIM ACK\n");
		return 2;
	}
	limit = atof(argv[1]);
	most = atol(argv[2]);
	connection = PQconnectdb("");
	if (PQstatus(connection) != CONNECTION_OK)
		fail("connect");
	prepare("claim", argv[3]);
	parameters = prepare("ack", argv[4]);

	began = now();
	while (now() - began < limit && (most == 0 || messages < most))
	{
		double start = now(), claimed_at;
		PGresult *claimed = PQexecPrepared(connection, "claim", 0, NULL, NULL, NULL, 0);

		if (PQresultStatus(claimed) != PGRES_TUPLES_OK)
			fail("claim");
		claimed_at = now();
		in_claims += claimed_at - start;
		if (PQntuples(claimed) == 0)
		{
			PQclear(claimed);
			break;
		}
		handle(claimed, &action, &ids, &tokens, &outcomes);
		start = now();
		acknowledge(parameters, claimed,
					(const char *const[]){ids.data, tokens.data, outcomes.data});
		in_acks += now() - start;
		messages += PQntuples(claimed);
		PQclear(claimed);
	}
	printf("%ld %.6f %.6f %.6f\n", messages, now() - began, in_claims, in_acks);
	PQfinish(connection);
	return 0;
}
