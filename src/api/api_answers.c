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

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "api/api_keys.h"
#include "base/catalog.h"
#include "base/error_reason.h"
#include "base/identity.h"
#include "base/table_access.h"
#include "consumer/call.h"

/* How long an answer is kept. */
#define KEPT_HOURS 24

/* Answers that one call deletes: what comes in between two calls is far less. */
#define MAX_DELETED "10000"

/* Bytes of an Idempotency-Key, as the table has it. */
#define MAX_KEY_BYTES 255

/* Parameters of a statement at the most. */
#define MAX_PARAMETERS 5

/* The statements; see the table below. */
typedef enum Statement
{
	BEGIN_REQUEST,
	FIND_ANSWER,
	FIND_BEGUN,
	FINISH_REQUEST,
	DELETE_ANSWERS,
	NUM_STATEMENTS
} Statement;

/* Columns of FIND_ANSWER. */
enum
{
	FOUND_SAME_REQUEST = 1,
	FOUND_STATUS,
	FOUND_ANSWER
};

/*
 * %1$s is the extension's schema; see redrive.c about the search path.  An answer
 * that is too old counts as not there, so BEGIN_REQUEST takes its row over.
 */
static const struct
{
	const char *sql;
	int result;
	int parameters;
	Oid types[MAX_PARAMETERS];
} statements[] = {
	[BEGIN_REQUEST] = {"INSERT INTO %1$s.acteon_api_answers AS a "
					   "(key_id, idempotency_key, request_sha256, created_at) "
					   "VALUES ($1, $2, $3, $4) "
					   "ON CONFLICT (key_id, idempotency_key) DO UPDATE SET "
					   "request_sha256 = excluded.request_sha256, status = NULL, answer = NULL, "
					   "created_at = excluded.created_at WHERE a.created_at < $5",
					   SPI_OK_INSERT,
					   5,
					   {INT8OID, TEXTOID, BYTEAOID, TIMESTAMPTZOID, TIMESTAMPTZOID}},
	[FIND_ANSWER] = {"SELECT request_sha256 = $3, status, answer FROM %1$s.acteon_api_answers "
					 "WHERE key_id = $1 AND idempotency_key = $2",
					 SPI_OK_SELECT,
					 3,
					 {INT8OID, TEXTOID, BYTEAOID}},
	[FIND_BEGUN] = {"SELECT xmin FROM %1$s.acteon_api_answers "
					"WHERE key_id = $1 AND idempotency_key = $2 AND status IS NULL",
					SPI_OK_SELECT,
					2,
					{INT8OID, TEXTOID}},
	[FINISH_REQUEST] = {"UPDATE %1$s.acteon_api_answers SET status = $3, answer = $4 "
						"WHERE key_id = $1 AND idempotency_key = $2",
						SPI_OK_UPDATE,
						4,
						{INT8OID, TEXTOID, INT4OID, TEXTOID}},
	[DELETE_ANSWERS] = {"DELETE FROM %1$s.acteon_api_answers WHERE ctid = ANY (ARRAY("
						"SELECT ctid FROM %1$s.acteon_api_answers WHERE created_at < $1 "
						"ORDER BY created_at LIMIT " MAX_DELETED " FOR UPDATE SKIP LOCKED))",
						SPI_OK_DELETE,
						1,
						{TIMESTAMPTZOID}},
};

/* Their plans, of this session, and the schema that is written in them. */
static SPIPlanPtr plans[NUM_STATEMENTS];
static NameData plans_schema;

/* A call, which acts as the tables' owner; see begin_call. */
typedef struct ApiCall
{
	Oid schema; /* of the extension */
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
	call->context = CurrentMemoryContext;
	SwitchIdentity(&call->caller, TableOwner(OwnTable(call->schema, API_ANSWERS_TABLE)));
	LockForWriting(call->schema, WRITES_ANSWERS);
	/* Plans are kept, and the table may be empty when they are made. */
	SetLocally("enable_seqscan", "off");
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
 * The plan of a statement.  It is kept for the session: planning takes longer
 * than these statements do.  The server plans it anew when a table changes; we,
 * when the extension is in another schema, or that has another name.
 */
static SPIPlanPtr
kept_plan(const ApiCall *call, Statement statement)
{
	const char *schema = get_namespace_name(call->schema);
	const Oid *types;
	SPIPlanPtr plan;

	if (strcmp(NameStr(plans_schema), schema) != 0)
	{
		for (int i = 0; i < NUM_STATEMENTS; i++)
		{
			if (plans[i] != NULL)
				SPI_freeplan(plans[i]);
			plans[i] = NULL;
		}
		namestrcpy(&plans_schema, schema);
	}
	if (plans[statement] != NULL)
		return plans[statement];
	types = statements[statement].types;
	plan = SPI_prepare_cursor(psprintf(statements[statement].sql, quote_identifier(schema)),
							  statements[statement].parameters, unconstify(Oid *, types),
							  CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare a statement about acteon_api_answers: %s",
			 SPI_result_code_string(SPI_result));
	plans[statement] = plan;
	return plan;
}

/*
 * Run a statement.
 */
static void
run(const ApiCall *call, Statement statement, Datum *values)
{
	int result = SPI_execute_plan(kept_plan(call, statement), values, NULL, false, 0);

	if (result != statements[statement].result)
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
						errdetail("It has %d.", bytes), errhint("Use a UUID, for example.")));
}

/*
 * Return the stored answer of the request, or raise the error if there is none
 * to return.
 *
 * If another request used the same key, the SQLSTATE is one that nothing else
 * in a request raises, so that the HTTP server can recognize it.  A row without
 * an answer can only exist if it was committed without one: it is unknown what
 * its request has done, so the request is not repeated.
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
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errreason(CODE_BROKEN_INSTALLATION),
						errmsg("a row that was inserted into table \"%s\" is not there",
							   API_ANSWERS_TABLE),
						errhint("Drop the trigger that keeps answers out of the table.")));
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	if (!DatumGetBool(SPI_getbinval(tuple, desc, FOUND_SAME_REQUEST, &isnull)))
		ereport(
			ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT), errreason(CODE_IDEMPOTENCY_KEY_REUSED),
			 errmsg("Idempotency-Key was used for another request"),
			 errhint(
				 "Use a new key for each request, and the same key only to repeat a request.")));
	values[0] = SPI_getbinval(tuple, desc, FOUND_STATUS, &isnull);
	if (isnull)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errreason(CODE_IDEMPOTENCY_KEY_UNANSWERED),
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
 * invalid_parameter_value; in REPEATABLE READ also serialization_failure, if the
 * answer is newer than the snapshot.
 */
Datum
acteon_api_begin(PG_FUNCTION_ARGS)
{
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
	run(&call, BEGIN_REQUEST, values);
	if (SPI_processed == 0)
	{
		/* The row that was in the way is ours to look at: the statement has locked it. */
		run(&call, FIND_ANSWER, values);
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
	run(&call, FIND_BEGUN, values);
	if (!is_ours())
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("no request with this Idempotency-Key was begun"),
			 errdetail(
				 "Only a request that acteon_api_begin() has begun in this transaction can be finished, and only once.")));
	run(&call, FINISH_REQUEST, values);
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
 * Records when keys were last used and deletes answers that are too old, up to
 * MAX_DELETED; returns how many.  Does not wait for locks.  Raises
 * invalid_parameter_value.
 */
Datum
acteon_api_housekeeping(PG_FUNCTION_ARGS)
{
	int count;
	KeyUse *uses = read_uses(fcinfo, &count);
	Datum before = too_old();
	ApiCall call;
	int64 deleted;

	begin_call(&call, fcinfo, "acteon_api_housekeeping()");
	NoteKeyUses(call.schema, uses, count);
	run(&call, DELETE_ANSWERS, &before);
	deleted = SPI_processed;
	end_call(&call);
	PG_RETURN_INT64(deleted);
}
