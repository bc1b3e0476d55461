/*
 * transaction.c
 *		The server's side to the database: what becomes of a request there.
 *
 * A request is one transaction, sent in one go: look the key up, become its role
 * until the end of the transaction, call the function.  With an idempotency key it
 * takes three steps, since the first decides whether there are others:
 *
 *		BEGIN; look the key up, and the first answer to the idempotency key
 *		look the key up again, become its role, call the function
 *		reset the role, keep the answer, COMMIT
 *
 * A request that is repeated while the first one is still in progress waits in the
 * first step.  An error ends the transaction and is not kept: nothing was done.
 */
#include "http/server_int.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "http/login.h"
#include "http/operations.h"
#include "http/problem.h"

/*
 * The request has its answer, and the worker is not needed any more.
 */
static void
finish(Request *request, Worker *worker)
{
	WorkerRelease(worker);
	if (request->answer.status == 200 && WaitWanted(request) && !request->is_abandoned)
		WaitStart(request);
	else
		RequestIsAnswered(request);
}

/*
 * The transaction was rolled back, or died with its connection.
 */
static void
rolled_back(void *owner, PGresult *const *results, int count)
{
	Request *request = owner;

	(void) results;
	(void) count;
	finish(request, request->job.worker);
}

/*
 * The request has its answer; end the transaction if there is one.
 */
static void
end(Request *request)
{
	const Statement rollback = {.sql = "ROLLBACK"};

	if (request->is_begun)
		WorkerSend(request->job.worker, &rollback, 1, rolled_back);
	else
		finish(request, request->job.worker);
}

/*
 * Does this request change anything?
 */
static bool
does_something(const Request *request)
{
	return RouteChanges(request->route) && !ParameterIsTrue(&request->parameters, OPTION_DRY_RUN);
}

/*
 * The connection was lost. may_be_done says whether the server may nevertheless
 * have done what was requested.
 */
static void
lost(Request *request, bool may_be_done)
{
	if (may_be_done && does_something(request))
		AnswerCode(request, CODE_OUTCOME_UNKNOWN);
	else
		AnswerCode(request, CODE_CONNECTION_LOST);
	finish(request, request->job.worker);
}

/*
 * A statement failed: answer with the corresponding HTTP status.  Before the key's role was
 * taken, all that a client can have done wrong is the key or the idempotency key.  What
 * the database says is for the client if the error is the client's: it is what the key's role would
 * be told in psql.
 */
static void
answer_fault(Request *request, PGresult *result, bool is_ours)
{
	const Server *server = request->server;
	const char *sqlstate = "", *message = "";
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
	ErrorCode code;
	int status;

	DatabaseFailed(result, &sqlstate, &message);
	code = FaultFind(sqlstate, PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME));
	status = faults[code].status;
	if (is_ours && status == 403)
		hint =
			"the server's role needs EXECUTE on the functions that --check looks at, and must be "
			"a member of the key's role: GRANT the one to the other";
	if (is_ours && status != 401 && status != 422 && status < 500)
		code = CODE_SERVER_ERROR;
	if (faults[code].text != NULL && !(request->is_abandoned && code == CODE_TIMEOUT))
		Log(LOG_ERROR, "the database refuses", LogText("path", request->route->path),
			LogText("id", request->id), LogText("code", faults[code].code),
			LogText("sqlstate", sqlstate), LogText("error", message), LogText("detail", detail),
			LogText("hint", hint));
	if (code == CODE_TIMEOUT && server->stopping)
		AnswerCode(request, CODE_STOPPING);
	else if (faults[code].text != NULL)
		AnswerCode(request, code);
	else
		AnswerProblem(request, code, message, detail, hint);
}

/*
 * The first of these results that is an error, or NULL.
 */
static PGresult *
first_failure(PGresult *const *results, int count)
{
	const char *sqlstate, *message;

	for (int i = 0; i < count; i++)
	{
		if (DatabaseFailed(results[i], &sqlstate, &message))
			return results[i];
	}
	return NULL;
}

/*
 * A value of a row, to keep; NULL is NULL.
 */
static char *
keep_value(const PGresult *result, int column)
{
	return PQgetisnull(result, 0, column) ? NULL : DuplicateText(PQgetvalue(result, 0, column));
}

/*
 * If there is a next page, link to it.  What continues before a number has no cursor.
 */
static void
link_next_page(Request *request)
{
	Answer *answer = &request->answer;
	const char *query = strchr(request->uri, '?');
	const char *parameter = ParametersPage(request->route->takes);

	if (answer->next_cursor == NULL || parameter == NULL)
		return;
	answer->next_page = ParametersNextPage(query, parameter, answer->next_cursor);
	if (strcmp(parameter, "cursor") == 0)
		return;
	free(answer->next_cursor);
	answer->next_cursor = NULL;
}

/*
 * The function has answered: a row of body, batch and cursor, from a column on.
 */
static void
take_answer(Request *request, const PGresult *result, int column)
{
	Answer *answer = &request->answer;

	if (PQntuples(result) != 1)
	{
		char *text = Format("batch %s does not exist", request->name);

		AnswerProblem(request, CODE_NO_BATCH, text, NULL, NULL);
		free(text);
		return;
	}
	answer->status = 200;
	answer->media_type = RequestMediaType(request);
	BufferAppendText(&answer->body, PQgetvalue(result, 0, column));
	answer->batch_id = keep_value(result, column + 1);
	answer->next_cursor = keep_value(result, column + 2);
	link_next_page(request);
}

/* The parameters of a list of records, in the order of its statement's. */
static const OptionId record_options[] = {
	OPTION_RECORD_NAMESPACE,    OPTION_RECORD_TENANT,    OPTION_RECORD_PROVIDER,
	OPTION_RECORD_ACTION_TYPE,  OPTION_RECORD_OUTCOME,   OPTION_RECORD_VERDICT,
	OPTION_RECORD_MATCHED_RULE, OPTION_RECORD_CALLER_ID, OPTION_RECORD_CHAIN_ID,
	OPTION_RECORD_SIGNER_ID,    OPTION_RECORD_KID,       OPTION_RECORD_FROM,
	OPTION_RECORD_TO,           OPTION_RECORD_LIMIT,     OPTION_RECORD_OFFSET,
	OPTION_RECORD_CURSOR,
};

/*
 * The statement that does what was requested.
 */
static Statement
call_statement(Request *request)
{
	char *const *values = request->parameters.values;
	bool dry_run = ParameterIsTrue(&request->parameters, OPTION_DRY_RUN);
	Statement statement = StatementUse(dry_run ? STATEMENT_PREVIEW : request->route->statement);

	if (OperationAddValues(&statement, request->route->statement, request->name,
						   &request->parameters))
		return statement;
	switch (request->route->statement)
	{
		case STATEMENT_REPLAY:
			StatementAddText(&statement, request->name);
			StatementAddOptions(&statement, &request->parameters, CALL_HTTP_SINGLE);
			break;
		case STATEMENT_BULK:
		case STATEMENT_ALL:
			BufferClear(&request->query);
			ParametersToQuery(&request->parameters, &request->query);
			StatementAddText(&statement, request->query.data);
			if (dry_run)
				StatementAddText(&statement, values[OPTION_SAMPLE]);
			break;
		case STATEMENT_RECORD:
			StatementAddText(&statement, request->name);
			break;
		case STATEMENT_RECORDS:
			for (size_t i = 0; i < sizeof(record_options) / sizeof(record_options[0]); i++)
				StatementAddText(&statement, values[record_options[i]]);
			break;
		case STATEMENT_CAUSES:
			StatementAddOptions(&statement, &request->parameters, CALL_HTTP_CAUSES);
			break;
		case STATEMENT_TIMELINE:
			StatementAddOptions(&statement, &request->parameters, CALL_HTTP_TIMELINE);
			break;
		case STATEMENT_BATCHES:
			StatementAddText(&statement, values[OPTION_BEFORE]);
			StatementAddText(&statement, values[OPTION_STATE]);
			StatementAddText(&statement, values[OPTION_BATCH_LIMIT]);
			StatementAddText(&statement, values[OPTION_BATCH_KIND]);
			StatementAddText(&statement, values[OPTION_BATCH_TENANT]);
			break;
		case STATEMENT_ITEMS:
			StatementAddText(&statement, request->name);
			StatementAddText(&statement, values[OPTION_ITEM_STATE]);
			StatementAddText(&statement, values[OPTION_ITEM_CURSOR]);
			StatementAddText(&statement, values[OPTION_ITEM_LIMIT]);
			StatementAddText(&statement, values[OPTION_ITEM_TENANT]);
			StatementAddText(&statement, values[OPTION_ITEM_PROVIDER]);
			StatementAddText(&statement, values[OPTION_ITEM_FROM]);
			StatementAddText(&statement, values[OPTION_ITEM_TO]);
			StatementAddText(&statement, values[OPTION_ITEM_EFFECT]);
			StatementAddText(&statement, values[OPTION_ITEM_FORMAT]);
			break;
		default: /* in operations.c */
			break;
	}
	return statement;
}

/*
 * Note who it was.
 */
static void
take_login(Request *request, const PGresult *result)
{
	request->key_id = DuplicateText(PQgetvalue(result, 0, 0));
	request->key_name = DuplicateText(PQgetvalue(result, 0, 1));
	if (request->has_key)
		UsageNote(request->server, request->key_id);
}

/*
 * Without an idempotency key: it was done in one go.
 */
static void
called(void *owner, PGresult *const *results, int count)
{
	Request *request = owner;
	PGresult *failure = results != NULL ? first_failure(results, count) : NULL;

	if (results == NULL)
	{
		lost(request, true);
		return;
	}
	if (failure != results[0])
		take_login(request, results[0]);
	if (failure != NULL)
		answer_fault(request, failure, failure == results[0]);
	else
		take_answer(request, results[1], 0);
	finish(request, request->job.worker);
}

/*
 * With one: the answer is kept, and the transaction is committed.
 */
static void
kept(void *owner, PGresult *const *results, int count)
{
	Request *request = owner;
	PGresult *failure = results != NULL ? first_failure(results, count) : NULL;

	if (results == NULL)
	{
		lost(request, true);
		return;
	}
	if (failure != NULL)
		answer_fault(request, failure, true);
	else
		request->is_begun = false;
	end(request);
}

/*
 * The client has disconnected before anything was committed: roll it back.  The
 * client may still read, since one that has only stopped sending looks the
 * same.
 */
static void
give_up(Request *request)
{
	AnswerCode(request, CODE_CLIENT_GONE);
	end(request);
}

/*
 * The function was called: keep its answer.
 */
static void
called_within(void *owner, PGresult *const *results, int count)
{
	Request *request = owner;
	PGresult *failure = results != NULL ? first_failure(results, count) : NULL;
	Statement keep[3];

	if (results == NULL)
	{
		lost(request, false);
		return;
	}
	if (failure != NULL)
		answer_fault(request, failure, failure == results[0]);
	else
		take_answer(request, results[1], 0);
	if (request->answer.status != 200)
	{
		end(request);
		return;
	}
	if (request->is_abandoned)
	{
		give_up(request);
		return;
	}
	keep[0] = StatementUse(STATEMENT_RESIGN);
	keep[1] = StatementUse(STATEMENT_FINISH);
	StatementAddText(&keep[1], request->key_id);
	StatementAddText(&keep[1], request->idempotency_key);
	StatementAddText(&keep[1], BufferText(&request->answer.body));
	StatementAddText(&keep[1], request->answer.batch_id);
	StatementAddText(&keep[1], request->answer.next_cursor);
	keep[2] = (Statement){.sql = "COMMIT"};
	WorkerSend(request->job.worker, keep, 3, kept);
}

/*
 * The key was looked up, and whether the request was made before.
 */
static void
begun(void *owner, PGresult *const *results, int count)
{
	Request *request = owner;
	PGresult *failure = results != NULL ? first_failure(results, count) : NULL;
	Statement call[2];

	if (results == NULL)
	{
		lost(request, false);
		return;
	}
	request->is_begun = failure != results[0];
	if (failure != NULL)
	{
		answer_fault(request, failure, true);
		end(request);
		return;
	}
	take_login(request, results[1]);
	if (request->is_abandoned)
	{
		/* The cancel request came too late for this step, and is not repeated for the next. */
		AnswerCode(request, CODE_CLIENT_GONE);
		end(request);
		return;
	}
	if (!PQgetisnull(results[1], 0, 3))
	{
		Server *server = request->server;

		take_answer(request, results[1], 3);
		request->answer.is_repeated = true;
		server->figures.repeated++;
		end(request);
		return;
	}
	/* That may have waited: by now the key may be revoked, or its role have another name. */
	call[0] = LoginStatement(request);
	call[1] = call_statement(request);
	WorkerSend(request->job.worker, call, 2, called_within);
}

/*
 * The request is invalid, which is only reported to clients with a key.
 */
static void
known(void *owner, PGresult *const *results, int count)
{
	Request *request = owner;

	if (results == NULL)
	{
		lost(request, false);
		return;
	}
	if (first_failure(results, count) != NULL)
		answer_fault(request, results[0], true);
	else
		take_login(request, results[0]);
	finish(request, request->job.worker);
}

/*
 * A worker is free for the request, or none became free in time.
 */
static void
run(void *owner, Worker *worker)
{
	Request *request = owner;
	Statement statements[2];

	if (worker == NULL)
	{
		AnswerCode(request, CODE_SERVER_BUSY);
		RequestIsAnswered(request);
		return;
	}
	if (request->answer.status != 0)
	{
		statements[0] = LoginStatement(request);
		WorkerSend(worker, statements, 1, known);
		return;
	}
	if (request->idempotency_key != NULL)
	{
		statements[0] = (Statement){.sql = "BEGIN"};
		statements[1] = LoginBeginStatement(request);
		StatementAddText(&statements[1], request->idempotency_key);
		StatementAddBytes(&statements[1], request->hash, SHA256_BYTES);
		WorkerSend(worker, statements, 2, begun);
		return;
	}
	statements[0] = LoginStatement(request);
	statements[1] = call_statement(request);
	WorkerSend(worker, statements, 2, called);
}

/*
 * The database was asked how it is.
 */
static void
felt(void *owner, PGresult *const *results, int count)
{
	Request *request = owner;
	PGresult *failure = results != NULL ? first_failure(results, count) : NULL;
	bool good = results != NULL && failure == NULL && PQntuples(results[0]) == 1 &&
				strcmp(PQgetvalue(results[0], 0, 0), EXTENSION_VERSION) == 0;

	request->answer.status = good ? 200 : 503;
	BufferPrint(&request->answer.body,
				"{\"status\": \"%s\", \"version\": \"%s\", \"database\": \"%s\", \"extension\": ",
				good ? "ok" : "unavailable", ACTEON_VERSION,
				results != NULL && failure == NULL ? "ok" : "unavailable");
	if (results != NULL && failure == NULL && PQntuples(results[0]) == 1)
		BufferPrint(&request->answer.body, "\"%s\"}", PQgetvalue(results[0], 0, 0));
	else
		BufferAppendText(&request->answer.body, "null}");
	if (request->job.worker != NULL)
		WorkerRelease(request->job.worker);
	RequestIsAnswered(request);
}

/*
 * There is a worker to ask the database how it is, or none.
 */
static void
feel(void *owner, Worker *worker)
{
	const Statement statement = StatementUse(STATEMENT_HEALTH);

	if (worker != NULL)
		WorkerSend(worker, &statement, 1, felt);
	else
		felt(owner, NULL, 0);
}

/*
 * Begin with a request that the database has to answer, now or later.
 */
void
CallStart(Request *request)
{
	Server *server = request->server;
	bool is_health = request->route->kind == ROUTE_HEALTH;

	request->job = (Job){.owner = request,
						 .run = is_health ? feel : run,
						 .is_long = request->answer.status == 0 && RouteIsLong(request->route)};
	switch (PoolSubmit(server->pool, &request->job, is_health))
	{
		case POOL_TAKEN:
			return;
		case POOL_FULL:
			AnswerCode(request, CODE_SERVER_BUSY);
			break;
		case POOL_DOWN:
			if (is_health)
			{
				felt(request, NULL, 0);
				return;
			}
			AnswerCode(request, CODE_DATABASE_UNREACHABLE);
			break;
	}
	RequestIsAnswered(request);
}

/*
 * The client has disconnected: cancel what is being done for it.
 */
void
CallAbandon(Request *request)
{
	Server *server = request->server;

	if (request->job.queued)
	{
		PoolWithdraw(server->pool, &request->job);
		AnswerCode(request, CODE_CLIENT_GONE);
		RequestIsAnswered(request);
	}
	else if (request->job.worker != NULL)
		WorkerCancel(request->job.worker);
}
