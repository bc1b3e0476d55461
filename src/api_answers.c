/*
 * api_answers.c
 *		Answers of the HTTP server to requests with an Idempotency-Key.
 *
 * The row of a request is made first of all in its transaction, gets its answer
 * last, and is committed with what the request has done: either both are there
 * or neither.  The primary key makes a second request with the same key wait for
 * the first one's transaction; it then finds the answer, or, if that was rolled
 * back, is the first itself.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "api_keys.h"
#include "consumer.h"
#include "identity.h"
#include "tables.h"

/* How long an answer is kept. */
#define KEPT_HOURS 24

/* Answers that one call deletes: what comes in between two calls is far less. */
#define MAX_DELETED "10000"

/* Bytes of an Idempotency-Key, as the table has it. */
#define MAX_KEY_BYTES 255

/*
 * In what follows %1$s is the extension's schema; see redrive.c about the search
 * path.  An answer that is too old counts as not there, so its row is taken over.
 */
#define BEGIN_REQUEST \
	"INSERT INTO %1$s.acteon_api_answers AS a " \
	"(key_id, idempotency_key, request_sha256, created_at) VALUES ($1, $2, $3, $4) " \
	"ON CONFLICT (key_id, idempotency_key) DO UPDATE SET " \
	"request_sha256 = excluded.request_sha256, status = NULL, answer = NULL, " \
	"created_at = excluded.created_at WHERE a.created_at < $5"

#define FIND_ANSWER \
	"SELECT request_sha256 = $3, status, answer FROM %1$s.acteon_api_answers " \
	"WHERE key_id = $1 AND idempotency_key = $2"

/* Columns of FIND_ANSWER. */
enum
{
	FOUND_SAME_REQUEST = 1,
	FOUND_STATUS,
	FOUND_ANSWER
};

#define FIND_BEGUN \
	"SELECT xmin FROM %1$s.acteon_api_answers " \
	"WHERE key_id = $1 AND idempotency_key = $2 AND status IS NULL"

#define FINISH_REQUEST \
	"UPDATE %1$s.acteon_api_answers SET status = $3, answer = $4 " \
	"WHERE key_id = $1 AND idempotency_key = $2"

#define DELETE_ANSWERS \
	"DELETE FROM %1$s.acteon_api_answers WHERE ctid = ANY (ARRAY(" \
	"SELECT ctid FROM %1$s.acteon_api_answers WHERE created_at < $1 " \
	"ORDER BY created_at LIMIT " MAX_DELETED " FOR UPDATE SKIP LOCKED))"

/* Parameters of the statements about a request. */
#define MAX_PARAMETERS 5

/* A call, which acts as the tables' owner; see begin_call. */
typedef struct ApiCall
{
	Oid schema; /* of the extension */
	const char *schema_name;
	MemoryContext context;
	Identity caller;
} ApiCall;

PG_FUNCTION_INFO_V1(acteon_api_begin);
PG_FUNCTION_INFO_V1(acteon_api_finish);
PG_FUNCTION_INFO_V1(acteon_api_housekeeping);

/*
 * Begin a call: check that the server can write; act as the owner of the
 * extension's tables, through SPI, until end_call.  Who may call is decided by
 * EXECUTE alone.
 */
static void
begin_call(ApiCall *call, FunctionCallInfo fcinfo, const char *function)
{
	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
	call->schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	call->schema_name = quote_identifier(get_namespace_name(call->schema));
	call->context = CurrentMemoryContext;
	SwitchIdentity(&call->caller, TableOwner(OwnTable(call->schema, API_ANSWERS_TABLE)));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/*
 * End a call: be the caller again.
 */
static void
end_call(ApiCall *call)
{
	SPI_finish();
	MemoryContextSwitchTo(call->context);
	CommandCounterIncrement();
	RestoreIdentity(&call->caller);
}

/*
 * Run one of the statements above, which must come out as expected.
 */
static void
run(const ApiCall *call, const char *sql, int count, const Oid *types, const Datum *values,
	int expected)
{
	int result =
		SPI_execute_with_args(psprintf(sql, call->schema_name), count, unconstify(Oid *, types),
							  unconstify(Datum *, values), NULL, false, 0);

	if (result != expected)
		elog(ERROR, "unexpected result of a statement about acteon_api_answers: %s",
			 SPI_result_code_string(result));
}

/*
 * Before when a row must have been made to be too old.
 */
static Datum
too_old(void)
{
	return TimestampTzGetDatum(GetCurrentTimestamp() - KEPT_HOURS * USECS_PER_HOUR);
}

/*
 * Raise the error of an argument that is missing.
 */
static void
require_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must not be null", name)));
}

/*
 * Check the arguments that name a request, the first two.
 */
static void
check_request_arguments(FunctionCallInfo fcinfo)
{
	int bytes;

	require_argument(fcinfo, 0, "key_id");
	require_argument(fcinfo, 1, "idempotency_key");
	bytes = VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(1));
	if (bytes < 1 || bytes > MAX_KEY_BYTES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("idempotency_key must have 1 to %d bytes", MAX_KEY_BYTES),
						errdetail("It has %d.", bytes), errhint("A UUID is a good one.")));
}

/*
 * Return the answer that the request has, or raise the error if there is none
 * to return to it.
 *
 * The SQLSTATE of another request under the same key is one that nothing else
 * raises that a request does, so that the HTTP server can tell it apart.  A row
 * without an answer is there only if it was committed without one: what its
 * request has done is unknown, so it is not made again.
 */
static void
return_answer(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	HeapTuple tuple;
	TupleDesc desc;
	Datum values[2];
	bool nulls[2] = {false};
	bool isnull;

	if (SPI_processed != 1)
		elog(ERROR, "the row of an Idempotency-Key has gone");
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	if (!DatumGetBool(SPI_getbinval(tuple, desc, FOUND_SAME_REQUEST, &isnull)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("Idempotency-Key was used for another request"),
				 errhint("Use a new key for each request, and the same only to repeat it.")));
	values[0] = SPI_getbinval(tuple, desc, FOUND_STATUS, &isnull);
	if (isnull)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("request with this Idempotency-Key has no answer"),
						errdetail("It was begun without being finished."),
						errhint("Call acteon_api_finish() before the transaction is committed.")));
	values[1] = SPI_getbinval(tuple, desc, FOUND_ANSWER, &isnull);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * acteon_api_begin(key_id bigint, idempotency_key text, request_sha256 bytea)
 * → setof (status integer, answer text)
 *
 * Begins a request: no row if it is to be made, its answer if it was made
 * before.  Waits for another transaction that is making it.  Raises
 * duplicate_object, object_not_in_prerequisite_state and
 * invalid_parameter_value.
 */
Datum
acteon_api_begin(PG_FUNCTION_ARGS)
{
	const Oid types[MAX_PARAMETERS] = {INT8OID, TEXTOID, BYTEAOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[MAX_PARAMETERS];
	ApiCall call;

	InitMaterializedSRF(fcinfo, 0);
	check_request_arguments(fcinfo);
	require_argument(fcinfo, 2, "request_sha256");
	if (VARSIZE_ANY_EXHDR(PG_GETARG_BYTEA_PP(2)) != PG_SHA256_DIGEST_LENGTH)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("request_sha256 must have %d bytes", PG_SHA256_DIGEST_LENGTH)));
	for (int i = 0; i < 3; i++)
		values[i] = PG_GETARG_DATUM(i);
	values[3] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[4] = too_old();
	begin_call(&call, fcinfo, "acteon_api_begin()");
	run(&call, BEGIN_REQUEST, 5, types, values, SPI_OK_INSERT);
	if (SPI_processed == 0)
	{
		/* The row that was in the way is ours to look at: the statement has locked it. */
		run(&call, FIND_ANSWER, 3, types, values, SPI_OK_SELECT);
		return_answer(fcinfo);
	}
	end_call(&call);
	return (Datum) 0;
}

/*
 * Whether the row that was found was made in this transaction.
 */
static bool
is_ours(void)
{
	bool isnull;

	return SPI_processed == 1 &&
		   TransactionIdIsCurrentTransactionId(DatumGetTransactionId(
			   SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)));
}

/*
 * acteon_api_finish(key_id bigint, idempotency_key text, status integer, answer text)
 *
 * Keeps the answer to a request that was begun in this transaction.  Raises
 * object_not_in_prerequisite_state, if there is none, and
 * invalid_parameter_value.
 */
Datum
acteon_api_finish(PG_FUNCTION_ARGS)
{
	const Oid types[MAX_PARAMETERS] = {INT8OID, TEXTOID, INT4OID, TEXTOID};
	Datum values[MAX_PARAMETERS];
	ApiCall call;

	check_request_arguments(fcinfo);
	require_argument(fcinfo, 2, "status");
	require_argument(fcinfo, 3, "answer");
	for (int i = 0; i < 4; i++)
		values[i] = PG_GETARG_DATUM(i);
	if (PG_GETARG_INT32(2) < 100 || PG_GETARG_INT32(2) > 599)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("status must be 100 to 599, as in HTTP"),
						errdetail("It is %d.", PG_GETARG_INT32(2))));
	begin_call(&call, fcinfo, "acteon_api_finish()");
	run(&call, FIND_BEGUN, 2, types, values, SPI_OK_SELECT);
	if (!is_ours())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("no request with this Idempotency-Key was begun"),
						errdetail("Only what acteon_api_begin() has begun in this transaction, and "
								  "once, can be finished.")));
	run(&call, FINISH_REQUEST, 4, types, values, SPI_OK_UPDATE);
	end_call(&call);
	PG_RETURN_VOID();
}

/*
 * Read which keys were used when, from the two arguments.
 */
static KeyUse *
read_uses(FunctionCallInfo fcinfo, int *count)
{
	ArrayArgument ids = ReadArray(fcinfo, 0, "key_ids");
	ArrayArgument times = ReadArray(fcinfo, 1, "used_at");
	KeyUse *uses = palloc(Max(ids.count, 1) * sizeof(KeyUse));

	if (ids.count != times.count)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("used_at must have as many elements as key_ids"),
						errdetail("It has %d, key_ids has %d.", times.count, ids.count)));
	for (int i = 0; i < ids.count; i++)
	{
		if (ids.nulls[i] || times.nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s must not contain nulls", ids.nulls[i] ? "key_ids" : "used_at"),
					 errdetail("Element %d is null.", i + 1)));
		uses[i].key_id = DatumGetInt64(ids.values[i]);
		uses[i].used_at = DatumGetTimestampTz(times.values[i]);
	}
	*count = ids.count;
	return uses;
}

/*
 * acteon_api_housekeeping(key_ids bigint[], used_at timestamptz[]) → bigint
 *
 * Writes down when keys were last used and deletes answers that are too old, up
 * to MAX_DELETED; returns how many.  Waits for nobody.  Raises
 * invalid_parameter_value.
 */
Datum
acteon_api_housekeeping(PG_FUNCTION_ARGS)
{
	const Oid type = TIMESTAMPTZOID;
	int count;
	KeyUse *uses = read_uses(fcinfo, &count);
	Datum before = too_old();
	ApiCall call;
	int64 deleted;

	begin_call(&call, fcinfo, "acteon_api_housekeeping()");
	NoteKeyUses(call.schema, uses, count);
	run(&call, DELETE_ANSWERS, 1, &type, &before, SPI_OK_DELETE);
	deleted = SPI_processed;
	end_call(&call);
	PG_RETURN_INT64(deleted);
}
