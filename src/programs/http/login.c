/*
 * login.c
 *		How a transaction says who asks: by the hash of the key that the request has
 *		(credentials.c), or as the role for requests without one.
 */
#include "http/login.h"

#include "http/server_int.h"

/*
 * A statement that says who asks: by the key, or without one.
 */
static Statement
login_statement(const Request *request, StatementId with_key, StatementId without)
{
	const Server *server = request->server;
	Statement statement = StatementUse(request->has_key ? with_key : without);

	if (request->has_key)
		StatementAddBytes(&statement, request->key_hash, SHA256_BYTES);
	else
		StatementAddText(&statement, server->settings->anonymous);
	StatementAddText(&statement, request->id);
	return statement;
}

/*
 * The statement that has a transaction act as the request's role, and in its trace.
 */
Statement
LoginStatement(const Request *request)
{
	Statement statement = login_statement(request, STATEMENT_LOGIN, STATEMENT_ANONYMOUS);
	const RequestTrace *trace = request->trace;

	StatementAddText(&statement, trace != NULL ? trace->parent : NULL);
	StatementAddText(&statement, trace != NULL ? trace->state : NULL);
	return statement;
}

/*
 * The same where the request has an idempotency key; what belongs to that is to be
 * added.
 */
Statement
LoginBeginStatement(const Request *request)
{
	return login_statement(request, STATEMENT_LOGIN_BEGIN, STATEMENT_ANONYMOUS_BEGIN);
}
